//! The disk's volumes and filesystems, and the guests found on them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::facts::Reader;
use super::fstab::{self, Line, Named, Source};
use super::tree::{Mount, Tree};
use super::{Guest, GuestError, Unseen};
use crate::block::{BlockError, ReadBlocks, Window, reads_as_zero};
use crate::fs::{self, FsDriver, FsError, Kind, ReadFs};
use crate::path::{GuestPath, escape};
use crate::volume::swap::SwapArea;
use crate::volume::{self, Layout, Volume, VolumeId};

/// The longest `/etc/fstab` read; real ones have a few KiB.
const MAX_FSTAB: u64 = 1024 * 1024;

/// What an image's disk holds.
pub struct Disk {
    /// The disk's bytes; none where only its volumes are known.
    pub device: Option<Arc<dyn ReadBlocks>>,
    /// How the disk is divided.
    pub layout: Layout,
    /// Every volume on which a driver found its filesystem, in the table's order.
    pub filesystems: Vec<Filesystem>,
    /// Every swap area that fills a volume, in the table's order.
    pub swaps: Vec<Swap>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("layout", &self.layout)
            .field("filesystems", &self.filesystems)
            .field("swaps", &self.swaps)
            .finish_non_exhaustive()
    }
}

/// A swap area that fills a volume.
#[derive(Clone)]
pub struct Swap {
    /// Its volume.
    pub volume: VolumeId,
    /// Its header.
    pub area: SwapArea,
    /// The volume's bytes.
    pub device: Arc<dyn ReadBlocks>,
}

impl Swap {
    /// Whether nothing is in it.
    ///
    /// # Errors
    /// The device cannot be read.
    pub fn is_empty(&self) -> Result<bool, BlockError> {
        let SwapArea { page, .. } = self.area;
        reads_as_zero(&*self.device, page, self.area.content())
    }
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "swap on {}", self.volume)
    }
}

/// A filesystem, opened or not.
pub struct Filesystem {
    /// Its volume.
    pub volume: VolumeId,
    /// The driver whose magic numbers are there.
    pub driver: &'static FsDriver,
    /// The opened filesystem, or why it could not be opened.
    pub fs: Result<Arc<dyn ReadFs>, FsError>,
}

impl fmt::Debug for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.driver.name, self.volume)?;
        match &self.fs {
            Ok(_) => Ok(()),
            Err(error) => write!(f, ": {error}"),
        }
    }
}

/// A filesystem that a guest can be on or mount.
struct Opened<'a> {
    named: Named,
    fs: &'a Arc<dyn ReadFs>,
}

impl Disk {
    /// Finds out how a disk is divided and opens every filesystem on it.
    ///
    /// A filesystem that cannot be opened, and a volume that no driver knows, stay visible: the
    /// one with its error, the other in the layout alone.
    ///
    /// # Errors
    /// The disk itself cannot be read, or its partition table is beyond use.
    pub fn open(disk: Arc<dyn ReadBlocks>) -> Result<Self, GuestError> {
        let layout = volume::scan(&*disk).map_err(GuestError::Layout)?;
        let mut filesystems = Vec::new();
        let mut swaps = Vec::new();
        let window = |volume: &Volume| -> Result<Arc<dyn ReadBlocks>, GuestError> {
            match Window::new(Arc::clone(&disk), volume.start, volume.len) {
                Ok(window) => Ok(Arc::new(window)),
                Err(error) => Err(GuestError::Layout(error.into())),
            }
        };
        for volume in layout.volumes.iter() {
            if volume.is_swap() {
                let device = window(volume)?;
                let area = SwapArea::read(&*device, 0, volume.len)
                    .map_err(|error| GuestError::Layout(error.into()))?;
                swaps.extend(area.map(|area| Swap { volume: volume.id.clone(), area, device }));
            }
            if volume.not_opened.is_some() {
                continue;
            }
            let device = window(volume)?;
            let probed = fs::probe(&*device)
                .map_err(|source| GuestError::Probe { volume: volume.id.clone(), source })?;
            if let Some(driver) = probed {
                let fs = (driver.open)(device).map(Arc::from);
                filesystems.push(Filesystem { volume: volume.id.clone(), driver, fs });
            }
        }
        Ok(Self { device: Some(disk), layout, filesystems, swaps })
    }

    /// The guests on the disk: one for each filesystem that looks like the root of an operating
    /// system, in the table's order. A filesystem that several of them mount is mounted in the
    /// first only, so that nothing is changed twice; the others have a note.
    ///
    /// # Errors
    /// None at present: what cannot be read is a note of the guest.
    pub fn guests(&self) -> Result<Vec<Guest>, GuestError> {
        let named = self.named();
        let opened: Vec<Opened<'_>> = self
            .filesystems
            .iter()
            .filter_map(|filesystem| {
                let fs = filesystem.fs.as_ref().ok()?;
                let named = named.iter().find(|named| named.id == filesystem.volume)?.clone();
                Some(Opened { named, fs })
            })
            .collect();
        let roots: Vec<&Opened<'_>> = opened
            .iter()
            .filter(|it| is_root(&Tree::single(it.named.id.clone(), Arc::clone(it.fs))))
            .collect();
        let mut taken: HashSet<VolumeId> = roots.iter().map(|root| root.named.id.clone()).collect();
        let mut guests = Vec::new();
        for root in &roots {
            let (mut notes, mut unseen) = (Vec::new(), Vec::new());
            let tree = self.mounted(root, &opened, &named, &mut taken, &mut notes, &mut unseen);
            let mut reader = Reader::new(&tree, &mut notes);
            let facts = reader.facts();
            let accounts = reader.accounts();
            guests.push(Guest {
                root: root.named.id.clone(),
                facts,
                tree,
                notes,
                unseen,
                accounts,
            });
        }
        Ok(guests)
    }

    /// Volumes with a filesystem that is opened and belongs to none of these guests: nothing in
    /// them will be cleaned.
    pub fn without_guest(&self, guests: &[Guest]) -> Vec<&VolumeId> {
        self.filesystems
            .iter()
            .filter(|filesystem| filesystem.fs.is_ok())
            .map(|filesystem| &filesystem.volume)
            .filter(|volume| !guests.iter().any(|guest| guest.volumes().contains(volume)))
            .collect()
    }

    /// The volumes as `fstab` may name them.
    fn named(&self) -> Vec<Named> {
        self.layout
            .volumes
            .iter()
            .map(|volume| {
                let info = self
                    .filesystems
                    .iter()
                    .find(|filesystem| filesystem.volume == volume.id)
                    .and_then(|filesystem| filesystem.fs.as_ref().ok())
                    .map(|fs| fs.info());
                Named {
                    id: volume.id.clone(),
                    number: volume.number,
                    uuid: info
                        .as_ref()
                        .and_then(|info| info.uuid.clone())
                        .or_else(|| volume.uuid.clone()),
                    label: info.and_then(|info| info.label).or_else(|| volume.label.clone()),
                    partition_uuid: volume.partition_uuid.clone(),
                    partition_label: volume.partition_label.clone(),
                }
            })
            .collect()
    }

    /// The guest's tree, mounted as its `fstab` says.
    fn mounted(
        &self,
        root: &Opened<'_>,
        opened: &[Opened<'_>],
        named: &[Named],
        taken: &mut HashSet<VolumeId>,
        notes: &mut Vec<String>,
        unseen: &mut Vec<Unseen>,
    ) -> Tree {
        let mut tree = Tree::single(root.named.id.clone(), Arc::clone(root.fs));
        let fstab = GuestPath::root().join(b"etc").join(b"fstab");
        let text = match tree.read(&fstab, MAX_FSTAB) {
            Ok(Some(text)) => text,
            Ok(None) => return tree,
            Err(error) => {
                notes.push(format!("fstab: not read, so nothing is mounted: {error}"));
                let reason = "not read, so what it mounts was not looked at".into();
                unseen.push(Unseen { path: fstab, reason });
                return tree;
            }
        };
        let (lines, cut) = fstab::parse(&text);
        if cut {
            notes.push("fstab: too long, its last lines are not mounted".into());
            let reason = "too long, so what its last lines mount was not looked at".into();
            unseen.push(Unseen { path: fstab, reason });
        }
        let mut wanted = Vec::new();
        let mut root_disk = None;
        for line in lines {
            let source = fstab::source(&line);
            if source == Source::Nothing {
                continue;
            }
            match GuestPath::from_bytes(&line.at) {
                Ok(at) if at.is_root() => {
                    if let Source::Device { disk, .. } = &source {
                        root_disk = Some(disk.clone());
                    }
                    check_root(&line, &source, root, named, notes);
                }
                Ok(at) => wanted.push((line, at, source)),
                Err(problem) => notes.push(format!("{}: not mounted: {problem}", line.shown())),
            }
        }
        // Something in this image was not read: what fstab names and is not found may be that.
        let unread =
            self.layout.volumes.iter().any(|it| !opened.iter().any(|fs| fs.named.id == it.id));
        let mut mounting = Mounting { tree: &mut tree, taken, mine: HashSet::new(), notes, unseen };
        mounting.mine.insert(root.named.id.clone());
        for (line, at, source) in fstab::in_order(wanted) {
            let result = match source {
                Source::Bind(from, recursive) => mounting.bind(&line, &at, &from, recursive),
                source => fstab::volume_of(&source, named, root_disk.as_deref())
                    .map_err(str::to_owned)
                    .and_then(|volume| self.find(volume, opened))
                    .inspect_err(|why| {
                        if unread && may_be_here(&source) && !line.has_option(b"noauto") {
                            let reason = format!("{why}: what is there was not looked at");
                            mounting.unseen.push(Unseen { path: at.clone(), reason });
                        }
                    })
                    .and_then(|found| mounting.volume(&line, &at, found)),
            };
            if let Err(why) = result {
                mounting.notes.push(format!("{}: not mounted: {why}", line.shown()));
            }
        }
        tree
    }

    fn find<'a>(&self, volume: &Named, opened: &'a [Opened<'a>]) -> Result<&'a Opened<'a>, String> {
        if let Some(found) = opened.iter().find(|it| it.named.id == volume.id) {
            return Ok(found);
        }
        let id = &volume.id;
        if let Some(Filesystem { fs: Err(error), .. }) =
            self.filesystems.iter().find(|it| it.volume == *id)
        {
            return Err(format!("{id} cannot be opened: {error}"));
        }
        let container = self.layout.volumes.iter().find(|it| it.id == *id);
        match container.and_then(|volume| volume.not_opened.as_ref()) {
            Some(name) => Err(format!("{id} is {name}, which is not opened")),
            None => Err(format!("{id} holds no filesystem that we read")),
        }
    }
}

/// Whether what a line names can be in this image, in a container that is not opened perhaps.
fn may_be_here(source: &Source) -> bool {
    !matches!(source, Source::Elsewhere(_))
}

/// Notes a root line that is about another filesystem than the one the file is on.
fn check_root(
    line: &Line,
    source: &Source,
    root: &Opened<'_>,
    named: &[Named],
    notes: &mut Vec<String>,
) {
    // A device name that is not the only disk's still names it: the root is on that disk.
    let disk = if let Source::Device { disk, .. } = source { Some(disk.as_str()) } else { None };
    if let Ok(Named { id, .. }) = fstab::volume_of(source, named, disk)
        && *id != root.named.id
    {
        notes.push(format!("{}: that is {id}; the root is {}", line.shown(), root.named.id));
    }
    note_subvolume(line, notes);
}

fn note_subvolume(line: &Line, notes: &mut Vec<String>) {
    let subvolume = line
        .options
        .iter()
        .find(|option| option.starts_with(b"subvol=") || option.starts_with(b"subvolid="));
    if let Some(option) = subvolume {
        notes.push(format!("{}: {} is not supported", line.shown(), escape(option)));
    }
}

/// The tree while it is being mounted.
struct Mounting<'a> {
    tree: &'a mut Tree,
    /// Volumes that belong to a guest, roots included.
    taken: &'a mut HashSet<VolumeId>,
    /// Those of this guest.
    mine: HashSet<VolumeId>,
    notes: &'a mut Vec<String>,
    unseen: &'a mut Vec<Unseen>,
}

impl Mounting<'_> {
    fn volume(&mut self, line: &Line, at: &GuestPath, found: &Opened<'_>) -> Result<(), String> {
        let id = &found.named.id;
        note_subvolume(line, self.notes);
        if line.options.iter().any(|option| option.starts_with(b"subvol")) {
            return Err("a subvolume".into());
        }
        if self.mine.contains(id) {
            let before = self.tree.mounts().iter().find(|it| it.volume == *id);
            let same_as = before.map(|mount| mount.at.clone());
            return self.show(line, at, found.named.id.clone(), found.fs, same_as);
        }
        if self.taken.contains(id) {
            return Err(format!("{id} belongs to another guest of this image"));
        }
        self.show(line, at, id.clone(), found.fs, None)?;
        self.taken.insert(id.clone());
        self.mine.insert(id.clone());
        if line.has_option(b"noauto") {
            self.notes.push(format!(
                "{}: not mounted at boot (noauto), looked at all the same",
                line.shown()
            ));
        }
        Ok(())
    }

    fn show(
        &mut self,
        line: &Line,
        at: &GuestPath,
        volume: VolumeId,
        fs: &Arc<dyn ReadFs>,
        same_as: Option<GuestPath>,
    ) -> Result<(), String> {
        // systemd makes a mount point that is missing (systemd.mount(5)), so the filesystem is in
        // use all the same.
        let is_missing = matches!(self.tree.follow(at), Ok(None));
        if is_missing && same_as.is_none() && !line.has_option(b"noauto") {
            let reason = format!(
                "the directory that {volume} is mounted on is not there (systemd makes it at boot): \
                 what is in {volume} was not looked at; make the directory in the guest"
            );
            self.unseen.push(Unseen { path: at.clone(), reason });
        }
        let root = fs.root();
        let fs = Arc::clone(fs);
        let (at, hides) = self.tree.mount(at, volume, fs, root, GuestPath::root(), same_as)?;
        self.note_hidden(line, &at, hides);
        Ok(())
    }

    fn bind(
        &mut self,
        line: &Line,
        at: &GuestPath,
        from: &GuestPath,
        recursive: bool,
    ) -> Result<(), String> {
        let from = match self.tree.follow(from) {
            Ok(Some(place)) => place,
            Ok(None) => return Err(format!("there is no {from} in the guest")),
            Err(error) => return Err(error.to_string()),
        };
        if from.stat().map_err(|error| error.to_string())?.kind != Kind::Directory {
            return Err(format!("{} is not a directory", from.path));
        }
        // What is mounted below the bound directory now, for a recursive bind.
        let below: Vec<Mount> = self
            .tree
            .mounts()
            .iter()
            .filter(|it| recursive && it.at != from.path && it.at.starts_with(&from.path))
            .cloned()
            .collect();
        let fs = Arc::clone(from.fs());
        let same_as = Some(from.path.clone());
        let (at, hides) =
            self.tree.mount(at, from.volume.clone(), fs, from.node, from.fs_path, same_as)?;
        self.note_hidden(line, &at, hides);
        for mount in below {
            let Some(rest) = mount.at.below(&from.path) else { continue };
            let same_as = Some(mount.at.clone());
            let point = at.append(&rest);
            let Mount { volume, fs, root, root_path, .. } = mount;
            self.tree.mount(&point, volume, fs, root, root_path, same_as)?;
        }
        Ok(())
    }

    fn note_hidden(&mut self, line: &Line, at: &GuestPath, hides: bool) {
        if hides {
            self.notes.push(format!(
                "{}: the directory {at} below the mount is not empty; what it holds is hidden and not looked at",
                line.shown()
            ));
        }
    }
}

/// Whether a filesystem looks like the root of an operating system.
fn is_root(tree: &Tree) -> bool {
    let there =
        |path: &str| path.parse().is_ok_and(|path| matches!(tree.locate(&path), Ok(Some(_))));
    let etc = GuestPath::root().join(b"etc");
    let is_dir = |path: &GuestPath| {
        tree.follow(path)
            .ok()
            .flatten()
            .and_then(|place| place.stat().ok())
            .is_some_and(|stat| stat.kind == Kind::Directory)
    };
    if !is_dir(&etc) {
        return false;
    }
    const RELEASES: &[&str] = &[
        "/etc/os-release",
        "/usr/lib/os-release",
        "/etc/redhat-release",
        "/etc/system-release",
        "/etc/SuSE-release",
        "/etc/debian_version",
        "/etc/lsb-release",
        "/etc/alpine-release",
        "/etc/arch-release",
        "/etc/gentoo-release",
        "/etc/slackware-version",
    ];
    RELEASES.iter().any(|path| there(path))
        || ["/etc/fstab", "/etc/passwd"].iter().any(|path| there(path))
            && ["/usr", "/bin", "/sbin"].iter().any(|path| there(path))
}
