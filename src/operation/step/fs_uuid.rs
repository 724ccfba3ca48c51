//! `fs-uuid`: another UUID for every filesystem, and for it wherever the guest names the old one.
//!
//! A guest that names a UUID where it cannot be changed (in a program of the boot loader, in a file
//! on a filesystem that is not edited) keeps it: it would not boot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::{Kind, ReadFs};
use crate::guest::{Tree, Walk};
use crate::operation::action::VolumeAction;
use crate::operation::draft::{Draft, EDITABLE_BYTES, Renewal, Target};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::operation::uuid::{Finder, Pair};
use crate::path::{GuestPath, escape};
use crate::volume::VolumeId;

/// The largest file that is searched: kernels and initramfs images have some 100 MB.
const MOST_BYTES: u64 = 1 << 30;

/// What is searched on a filesystem that no guest mounts: where boot loaders keep their settings.
const BOOT: &[&str] = &["/EFI", "/loader", "/boot", "/grub", "/grub2", "/extlinux", "/syslinux"];

pub(super) const VERB: Verb = Verb {
    name: "fs-uuid",
    help: "gives every filesystem another UUID, and writes it where these files name the old one; a \
           filesystem whose old one is named where it cannot be changed keeps it",
    fields: &[TARGET_FIELDS],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(FsUuid { targets: Targets::from_fields(fields)? })),
};

#[derive(Debug)]
struct FsUuid {
    targets: Targets,
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
            kept: BTreeSet::new(),
            texts: Vec::new(),
        };
        for target in draft.find(&self.targets)? {
            if target.kind == Some(Kind::File) {
                search.file(draft, target)?;
            }
        }
        for (volume, fs) in draft.unmounted() {
            search.unmounted(draft, &volume, fs)?;
        }
        let Search { kept, texts, .. } = search;
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
        self.targets.describe()
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
    /// Files to rewrite.
    texts: Vec<Target>,
}

impl Search<'_> {
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
        if is_initramfs(name, &head) {
            let reason = match found.is_empty() {
                true => format!(
                    "it is packed, so it was not searched for the old UUID of {}; if it names that \
                     (a resume device, a host-only dracut), have the guest make it anew \
                     (update-initramfs -u, dracut -f)",
                    volumes(self.renewals, &(0..self.renewals.len()).collect())
                ),
                false => format!(
                    "it names the old UUID of {}; have the guest make it anew (update-initramfs -u, \
                     dracut -f)",
                    volumes(self.renewals, &found)
                ),
            };
            draft.refuse(&target.path, reason);
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
        let mine: BTreeSet<usize> = these
            .iter()
            .filter(|&&at| self.renewals.get(at).is_some_and(|it| it.mine))
            .copied()
            .collect();
        let reason = match mine.is_empty() {
            false => format!(
                "it names the UUID of {0}, which {0} keeps therefore: {why}",
                volumes(self.renewals, &mine)
            ),
            true => format!("it names the old UUID of {}: {why}", volumes(self.renewals, &these)),
        };
        draft.refuse(path, reason);
        self.kept.extend(these);
    }

    /// A filesystem of no guest: nothing on it is changed.
    fn unmounted(
        &mut self,
        draft: &mut Draft<'_>,
        volume: &VolumeId,
        fs: Arc<dyn ReadFs>,
    ) -> Result<(), StepError> {
        let tree = Tree::single(volume.clone(), fs);
        let mut hits: BTreeMap<GuestPath, BTreeSet<usize>> = BTreeMap::new();
        for dir in BOOT {
            let Ok(dir) = dir.parse::<GuestPath>() else { continue };
            let Some(dir) = tree.follow(&dir)? else { continue };
            if dir.stat().map_err(|it| StepError::Fs(dir.path.clone(), it))?.kind != Kind::Directory
            {
                continue;
            }
            tree.walk_below(&dir, &mut |entry| {
                if entry.kind != Kind::File {
                    return Walk::Into;
                }
                let place = entry.place();
                // What is longer is a kernel or an initramfs; a boot loader's program is not.
                let Ok(content) = place.read(EDITABLE_BYTES) else { return Walk::Into };
                let found = self.finder.in_text(&content);
                if !found.is_empty() {
                    hits.insert(place.path, found);
                }
                Walk::Into
            })?;
        }
        for (path, found) in hits {
            let why = format!("no guest mounts {volume}, so {path} there cannot be changed");
            self.keep(draft, &GuestPath::root(), found, why);
        }
        Ok(())
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

/// Whether a file is a packed initramfs: by its name, and by what cpio archives and packers begin
/// with.
fn is_initramfs(name: &[u8], head: &[u8]) -> bool {
    const HEADS: &[&[u8]] = &[
        b"070701",
        b"070702",
        b"\x1f\x8b",
        b"\xfd7zXZ",
        b"\x28\xb5\x2f\xfd",
        b"\x02\x21\x4c\x18",
        b"\x5d\0\0",
        b"BZh",
        b"\x89LZO",
    ];
    let name = escape(name).to_ascii_lowercase();
    name.contains("init") && HEADS.iter().any(|magic| head.starts_with(magic))
}

/// The volumes of renewals, for people.
fn volumes(renewals: &[Renewal], these: &BTreeSet<usize>) -> String {
    let names = these.iter().filter_map(|&at| renewals.get(at)).map(|it| it.volume.0.as_str());
    names.collect::<Vec<_>>().join(", ")
}
