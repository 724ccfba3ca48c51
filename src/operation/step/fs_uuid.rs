//! `fs-uuid`: another UUID for every filesystem, and for it wherever the guest names the old one.
//!
//! A guest that names a UUID where it cannot be changed (in a program of the boot loader, in an
//! initramfs, in a file on a filesystem that is not edited) keeps it: it would not boot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use self::packed::{Inside, Packed};
use super::{Propose, StepError, Verb};
use crate::fs::{FsError, Kind, ReadFs};
use crate::guest::{Place, Tree, Walk};
use crate::operation::action::VolumeAction;
use crate::operation::draft::{Draft, EDITABLE_BYTES, Renewal, Target};
use crate::operation::initramfs;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::operation::uuid::{Finder, Pair};
use crate::path::GuestPath;
use crate::volume::{BootCode, VolumeId};

mod packed;

/// The largest file that is searched: kernels and initramfs images have some 100 MB.
const MOST_BYTES: u64 = 1 << 30;

/// The directories that are searched on a filesystem that no guest mounts, beside the files at its
/// top: where boot loaders keep their settings, also where the filesystem is a guest's `/boot`.
const BOOT: &[&str] = &["EFI", "loader", "boot", "grub", "grub2", "extlinux", "syslinux"];

/// How many files of such a filesystem are told one by one.
const HITS: usize = 100;

pub(super) const VERB: Verb = Verb {
    name: "fs-uuid",
    help: "gives every filesystem another UUID, and writes it where these files name the old one; a \
           filesystem whose old one is named where it cannot be changed keeps it",
    fields: &[TARGET_FIELDS, FIELDS],
    short: Some("paths"),
    build: |fields| {
        Ok(Arc::new(FsUuid {
            targets: Targets::from_fields(fields)?,
            in_spite_of_initramfs: fields.text("initramfs") == Some(CHANGE),
        }))
    },
};

const FIELDS: &[Field] = &[Field::optional(
    "initramfs",
    Shape::OneOf(&["keep", CHANGE]),
    "a filesystem that an initramfs names keeps its UUID, or gets another all the same: then the guest \
     has to make the initramfs anew before it boots",
)];
const CHANGE: &str = "change";

/// How the guest makes an initramfs anew.
const ANEW: &str = "have the guest make it anew (update-initramfs -u, dracut -f)";

#[derive(Debug)]
struct FsUuid {
    targets: Targets,
    /// Whether a filesystem that an initramfs names gets another UUID all the same.
    in_spite_of_initramfs: bool,
}

/// What a file that names a UUID is.
enum Named {
    /// Text that can be rewritten.
    Text,
    /// What the guest does not need to boot, and why it is left.
    Told(&'static str),
    /// What the guest needs, and why it cannot be changed.
    Fixed(String),
}

impl Propose for FsUuid {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let renewals = draft.renewals();
        if renewals.is_empty() {
            return Ok(());
        }
        let pairs = renewals.iter().map(|it| Pair { from: &it.from, to: &it.to }).collect();
        let finder = Finder::new(pairs).map_err(|it| StepError::Scanner(it.to_string()))?;
        let mut search = Search {
            finder: &finder,
            renewals: &renewals,
            kept: (0..).zip(&renewals).filter(|(_, it)| it.kept).map(|(at, _)| at).collect(),
            unpack: initramfs::UNPACKED,
            in_spite_of_initramfs: self.in_spite_of_initramfs,
            texts: Vec::new(),
        };
        for target in draft.find(&self.targets)? {
            if target.kind == Some(Kind::File) {
                search.file(draft, target)?;
            }
        }
        if let Some(scan) = self.targets.scan() {
            search.no_files(draft, scan.under())?;
        }
        for (volume, fs) in draft.unmounted() {
            search.unmounted(draft, &volume, fs)?;
        }
        for code in draft.boot_code()? {
            search.boot_code(draft, code);
        }
        let Search { kept, texts, .. } = search;
        for renewal in kept.iter().filter_map(|&at| renewals.get(at)) {
            draft.keep_uuid(&renewal.volume);
        }
        for (at, renewal) in renewals.iter().enumerate() {
            if renewal.mine && !kept.contains(&at) {
                let Renewal { volume, from, to, .. } = renewal.clone();
                draft.change_volume(volume, VolumeAction::SetUuid { from, to }, "every filesystem");
            }
        }
        for target in texts {
            let Some(content) = draft.content(&target)? else { continue };
            let named: BTreeSet<usize> =
                finder.in_text(&content).difference(&kept).copied().collect();
            if named.is_empty() {
                continue;
            }
            let volumes = volumes(&renewals, &named);
            let new = finder.rewritten(&content, &kept);
            draft.set_content(&target, new, format!("it names the UUID of {volumes}"))?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = self.targets.describe();
        let boot = BOOT.join(", /");
        paths.push(format!("/{boot} and the files at the top of filesystems that no guest mounts"));
        paths.push("what is inside of each initramfs".to_owned());
        paths.push("GRUB's core image, and other boot code outside filesystems".to_owned());
        paths
    }

    fn scan(&self) -> Option<&Scan> {
        self.targets.scan()
    }
}

/// Looks for the old UUIDs.
struct Search<'a> {
    finder: &'a Finder<'a>,
    renewals: &'a [Renewal],
    /// Those that stay, by their place.
    kept: BTreeSet<usize>,
    /// How much of what is packed may still be unpacked.
    unpack: u64,
    in_spite_of_initramfs: bool,
    /// Files to rewrite.
    texts: Vec<Target>,
}

impl Search<'_> {
    /// What is no file and cannot follow: a symlink to a device, a unit's directory of settings,
    /// which is named after its device.
    fn no_files(&mut self, draft: &mut Draft<'_>, roots: &[GuestPath]) -> Result<(), StepError> {
        let mut hits = Vec::new();
        let tree = &draft.guest().tree;
        for root in roots {
            tree.walk(root, &mut |entry| {
                let (text, why) = match entry.kind {
                    Kind::Directory => (entry.name.to_vec(), "its name is made of it"),
                    Kind::Symlink => {
                        let target = entry.place().link_target().unwrap_or_default();
                        ([entry.name, b" ", &target].concat(), "it is a symlink that is made of it")
                    }
                    _ => return Walk::Into,
                };
                let found = self.finder.in_text(&text);
                if !found.is_empty() {
                    hits.push((entry.path(), found, why));
                }
                if hits.len() > HITS { Walk::Stop } else { Walk::Into }
            })?;
        }
        for (path, found, why) in hits {
            if draft.at(&path, false)?.is_some_and(|it| it.kind.is_some()) {
                self.keep(draft, &path, found, why.to_owned());
            }
        }
        Ok(())
    }

    fn file(&mut self, draft: &mut Draft<'_>, target: Target) -> Result<(), StepError> {
        let name = target.path.name().unwrap_or_default();
        let in_name = self.finder.in_text(name);
        if !in_name.is_empty() {
            self.keep(draft, &target.path, in_name, "its name is made of it".to_owned());
            return Ok(());
        }
        let size = draft.size(&target)?;
        if size > MOST_BYTES {
            let reason = format!("not searched for the old UUIDs: {size} bytes long");
            draft.refuse(&target.path, reason);
            return Ok(());
        }
        let (mut kept, mut found, mut head) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut binary = size > EDITABLE_BYTES;
        draft.pieces(&target, &mut |piece| {
            if head.is_empty() {
                head.extend_from_slice(piece.get(..8).unwrap_or(piece));
            }
            binary |= memchr::memchr(0, piece).is_some();
            self.finder.in_piece(&mut kept, piece, &mut found);
            ControlFlow::Continue(())
        })?;
        if initramfs::is_one(name, &head) {
            let inside = draft.reading(&target, |source| {
                Packed::new(self.finder).look_into(source, &mut self.unpack)
            })?;
            self.initramfs(draft, &target.path, inside, &found);
            return Ok(());
        }
        if !binary && !found.is_empty() {
            // Read whole, it is known better.
            let content = draft.content(&target)?.unwrap_or_default();
            found = self.finder.in_text(&content);
        }
        if found.is_empty() {
            return Ok(());
        }
        match named(draft, &target, binary)? {
            Named::Text => self.texts.push(target),
            Named::Told(why) => {
                let volumes = volumes(self.renewals, &found);
                draft.refuse(&target.path, format!("it names the old UUID of {volumes}: {why}"));
            }
            Named::Fixed(why) => self.keep(draft, &target.path, found, why),
        }
        Ok(())
    }

    /// Leaves these filesystems their UUIDs, for this path's sake.
    fn keep(
        &mut self,
        draft: &mut Draft<'_>,
        path: &GuestPath,
        these: BTreeSet<usize>,
        why: String,
    ) {
        let volumes = volumes(self.renewals, &these);
        let reason =
            format!("it names the UUID of {volumes}, which {volumes} keeps therefore: {why}");
        draft.refuse(path, reason);
        self.kept.extend(these);
    }

    /// The same for what is on the disk and in no guest: each guest sees to its own filesystems.
    fn keep_mine(
        &mut self,
        draft: &mut Draft<'_>,
        these: BTreeSet<usize>,
        where_: &str,
        why: &str,
    ) {
        let mine = |at: &usize| self.renewals.get(*at).is_some_and(|it| it.mine);
        let these: BTreeSet<usize> = these.into_iter().filter(mine).collect();
        if these.is_empty() {
            return;
        }
        let volumes = volumes(self.renewals, &these);
        let reason =
            format!("{where_} names the UUID of {volumes}, which {volumes} keeps therefore: {why}");
        draft.refuse(&GuestPath::root(), reason);
        self.kept.extend(these);
    }

    /// Boot code outside every filesystem: nothing of it is changed.
    fn boot_code(&mut self, draft: &mut Draft<'_>, code: BootCode) {
        let BootCode { name, content } = code;
        match content {
            Ok(content) => {
                let mut found = BTreeSet::new();
                self.finder.in_piece(&mut Vec::new(), &content, &mut found);
                self.keep_mine(draft, found, &name, "it cannot be changed: run grub-install");
            }
            // grub-install leaves load.cfg beside its modules where the image looks for a UUID.
            Err(why) => {
                let reason = format!(
                    "{name} was not searched for the old UUIDs: {why}; where it looks for one, \
                     grub-install left load.cfg in /boot/grub/i386-pc, which was searched"
                );
                draft.refuse(&GuestPath::root(), reason);
            }
        }
    }

    /// What an initramfs that the guest can make anew has inside; `outside` is what it names as it
    /// is.
    fn initramfs(
        &mut self,
        draft: &mut Draft<'_>,
        path: &GuestPath,
        inside: Inside,
        outside: &BTreeSet<usize>,
    ) {
        let Inside { mut needed, delays, unread } = inside;
        for at in outside {
            if !delays.contains(at) && !needed.values().any(|it| it.contains(at)) {
                needed.entry(String::new()).or_default().insert(*at);
            }
        }
        if path.name().is_some_and(|name| memchr::memmem::find(name, b"kdump").is_some()) {
            let these: BTreeSet<usize> = needed.into_values().flatten().collect();
            if !these.is_empty() {
                let volumes = volumes(self.renewals, &these);
                let reason = format!(
                    "it names the old UUID of {volumes}: only a kernel that dumps a crash uses it; \
                     have the guest make it anew (kdumpctl rebuild, kdump-config)"
                );
                draft.refuse(path, reason);
            }
            needed = BTreeMap::new();
        }
        for (inner, these) in needed {
            let inner = if inner.is_empty() { "it".to_owned() } else { format!("{inner} in it") };
            if self.in_spite_of_initramfs {
                let volumes = volumes(self.renewals, &these);
                draft.refuse(path, format!("{inner} names the old UUID of {volumes}: {ANEW}"));
                continue;
            }
            let volumes = volumes(self.renewals, &these);
            let reason = format!(
                "{inner} names the UUID of {volumes}, which {volumes} keeps therefore: the guest might \
                 not boot; with initramfs=change it gets another, and then {ANEW}"
            );
            draft.refuse(path, reason);
            self.kept.extend(these);
        }
        if !delays.is_empty() {
            let volumes = volumes(self.renewals, &delays);
            let reason = format!(
                "its resume device is the old UUID of {volumes}, for which the guest waits some time \
                 when it boots, and goes on: {ANEW}"
            );
            draft.refuse(path, reason);
        }
        if let Some(why) = unread {
            let volumes = volumes(self.renewals, &(0..self.renewals.len()).collect());
            let reason = format!(
                "not all of it was searched for the old UUID of {volumes}: {why}; if it names that, \
                 {ANEW}"
            );
            draft.refuse(path, reason);
        }
    }

    /// A filesystem of no guest: nothing on it is changed.
    fn unmounted(
        &mut self,
        draft: &mut Draft<'_>,
        volume: &VolumeId,
        fs: Arc<dyn ReadFs>,
    ) -> Result<(), StepError> {
        let tree = Tree::single(volume.clone(), fs);
        let mut hits: Vec<(GuestPath, Inside)> = Vec::new();
        let mut failed = None;
        let searched = |name: &[u8]| BOOT.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name));
        tree.walk(&GuestPath::root(), &mut |entry| {
            if entry.kind == Kind::Directory && entry.dir.is_root() && !searched(entry.name) {
                return Walk::Over;
            }
            if entry.kind == Kind::File {
                let place = entry.place();
                match self.in_place(&place) {
                    Ok(found) if found == Inside::default() => {}
                    Ok(found) => hits.push((place.path, found)),
                    Err(error) => {
                        failed = Some(StepError::Fs(place.path, error));
                        return Walk::Stop;
                    }
                }
            }
            if hits.len() > HITS { Walk::Stop } else { Walk::Into }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (path, Inside { needed, unread, .. }) in hits {
            let name = format!("{path} on {volume}");
            let why = format!("no guest mounts {volume}, so nothing on it is changed");
            self.keep_mine(draft, needed.into_values().flatten().collect(), &name, &why);
            if let Some(unread) = unread {
                let reason =
                    format!("{name}: not all of it was searched for the old UUIDs: {unread}");
                draft.refuse(&GuestPath::root(), reason);
            }
        }
        Ok(())
    }

    /// What a file on such a filesystem names.
    fn in_place(&mut self, place: &Place) -> Result<Inside, FsError> {
        let mut head = vec![0; 8];
        let read = place.fs().read_at(place.node, 0, &mut head)?;
        head.truncate(read);
        if initramfs::is_one(place.path.name().unwrap_or_default(), &head) {
            let inside = Packed::new(self.finder).look_into(&mut place.reader(), &mut self.unpack);
            return Ok(inside);
        }
        let mut inside = Inside::default();
        // What is longer is a kernel; a boot loader's program is not.
        if place.stat()?.size <= EDITABLE_BYTES {
            let found = self.finder.in_text(&place.read(EDITABLE_BYTES)?);
            inside.needed.extend((!found.is_empty()).then(|| (String::new(), found)));
        }
        Ok(inside)
    }
}

/// What is to be done about a file that names a UUID.
fn named(draft: &Draft<'_>, target: &Target, binary: bool) -> Result<Named, StepError> {
    let name = target.path.name().unwrap_or_default();
    let dir = target.path.parent().unwrap_or_default();
    let in_grub_efi = dir.name().is_some_and(|name| name.ends_with(b"-efi"));
    // grub-install puts this text into the image that it writes where no file is.
    if name == b"load.cfg" && !in_grub_efi {
        let why = "GRUB's core image holds the same text, and cannot be changed: run grub-install";
        return Ok(Named::Fixed(why.to_owned()));
    }
    if binary {
        if in_grub_efi && [b"core.efi".as_slice(), b"grub.efi"].contains(&name) {
            return Ok(Named::Told("nothing boots from this copy, and grub-install makes it anew"));
        }
        return Ok(Named::Fixed("it is no text, so it cannot be changed".to_owned()));
    }
    Ok(match draft.obstacle(target)? {
        Some(why) => Named::Fixed(why),
        None => Named::Text,
    })
}

/// The volumes of renewals, for people.
fn volumes(renewals: &[Renewal], these: &BTreeSet<usize>) -> String {
    let names = these.iter().filter_map(|&at| renewals.get(at)).map(|it| it.volume.0.as_str());
    names.collect::<Vec<_>>().join(", ")
}
