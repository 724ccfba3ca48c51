//! The mounted tree: which filesystem shows at which path, and the way from a path to a node.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::GuestError;
use super::looked::Looked;
use super::resolve::spelled;
use super::walk::WalkEntry;
use crate::fs::{FsError, Kind, Node, ReadFs, Stat, Xattr};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// How many unread places are listed one by one, so that a hostile tree cannot fill the memory.
const MAX_UNREAD: usize = 1000;

/// How many mounts a tree has: recursive binds of one another would double them without end.
const MAX_MOUNTS: usize = 1024;

/// A filesystem, or a directory of one, at a place in the guest.
#[derive(Clone)]
#[non_exhaustive]
pub struct Mount {
    /// The mount point, canonical.
    pub at: GuestPath,
    /// The filesystem's volume.
    pub volume: VolumeId,
    /// The filesystem.
    pub fs: Arc<dyn ReadFs>,
    /// The directory that shows at the mount point.
    pub root: Node,
    /// That directory's path within the filesystem: `/`, or for a bind mount the bound directory.
    pub root_path: GuestPath,
    /// Where the same directory already shows, for a bind mount or a filesystem mounted twice.
    pub same_as: Option<GuestPath>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.volume, self.at)?;
        if !self.root_path.is_root() {
            write!(f, " from {}", self.root_path)?;
        }
        Ok(())
    }
}

/// A path that leads to something in the guest.
///
/// Several paths may lead to the same `(volume, fs_path)` where a directory is bound to a second
/// place; what is changed is known by that pair.
#[derive(Clone)]
pub struct Place {
    /// The path in the guest: the real path of its directory, and its name.
    pub path: GuestPath,
    /// The volume of the filesystem it is in.
    pub volume: VolumeId,
    /// The path within that filesystem.
    pub fs_path: GuestPath,
    /// The node.
    pub node: Node,
    fs: Arc<dyn ReadFs>,
    pub(super) mount: usize,
}

impl Place {
    /// The filesystem it is in.
    pub fn fs(&self) -> &Arc<dyn ReadFs> {
        &self.fs
    }

    /// What it is.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn stat(&self) -> Result<Stat, FsError> {
        self.fs.stat(self.node)
    }

    /// The same, shown at another path of its filesystem.
    #[must_use]
    pub fn shown_at(mut self, path: &GuestPath, fs_path: &GuestPath) -> Self {
        (self.path, self.fs_path) = (path.clone(), fs_path.clone());
        self
    }

    /// A regular file's content, of at most `limit` bytes.
    ///
    /// # Errors
    /// `Unsupported` when it is longer; what the filesystem says.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>, FsError> {
        self.fs.read(self.node, limit)
    }

    /// A regular file's content, read from its beginning.
    pub fn reader(&self) -> impl Read + '_ {
        FileReader { place: self, at: 0 }
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn link_target(&self) -> Result<Vec<u8>, FsError> {
        self.fs.link_target(self.node)
    }

    /// Its extended attributes, sorted by name.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn xattrs(&self) -> Result<Vec<Xattr>, FsError> {
        self.fs.xattrs(self.node)
    }
}

/// Reads a regular file.
struct FileReader<'a> {
    place: &'a Place,
    at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let read =
            self.place.fs.read_at(self.place.node, self.at, dst).map_err(io::Error::other)?;
        let read = read.min(dst.len());
        self.at += read as u64;
        Ok(read)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {}, node {})", self.path, self.volume, self.fs_path, self.node.0)
    }
}

/// A part of the tree that a search had to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Where in the guest.
    pub path: GuestPath,
    /// Why, as text: what the filesystem said, an encrypted directory, a loop.
    pub why: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// Adds to a list of unread places, which stays bounded: the last one says that there are more.
pub(super) fn note_unread(list: &mut Vec<Unread>, path: GuestPath, why: impl fmt::Display) {
    match list.len() {
        0..MAX_UNREAD => list.push(Unread { path, why: why.to_string() }),
        MAX_UNREAD => {
            list.push(Unread { path, why: format!("{why}; further places are not listed") });
        }
        _ => {}
    }
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The places, sorted by path.
    pub places: Vec<Place>,
    /// Directories on the way that could not be searched.
    pub unread: Vec<Unread>,
}

/// The refusal to look into a directory that the filesystem has encrypted.
pub(super) fn encrypted() -> FsError {
    FsError::unsupported("the directory is encrypted by its filesystem")
}

/// A node under the mount it is seen through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) mount: usize,
    pub(super) node: Node,
}

/// The guest's files: its filesystems, each at its mount point.
#[derive(Clone)]
pub struct Tree {
    /// The root's mount first.
    mounts: Vec<Mount>,
    /// Which mount covers a directory, by the directory as seen below it. A directory has one
    /// name only, so its node stands for its path.
    points: HashMap<Spot, usize>,
    /// Mount points whose own directory holds something, which the mount hides.
    hidden: Vec<GuestPath>,
    pub(super) looked: Looked,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.mounts).finish()
    }
}

impl Tree {
    /// One filesystem as the whole tree, whatever its `fstab` says.
    pub fn single(volume: VolumeId, fs: Arc<dyn ReadFs>) -> Self {
        let root = Mount {
            at: GuestPath::root(),
            volume,
            root: fs.root(),
            fs,
            root_path: GuestPath::root(),
            same_as: None,
        };
        Self {
            mounts: vec![root],
            points: HashMap::new(),
            hidden: Vec::new(),
            looked: Looked::default(),
        }
    }

    /// The mounts, the root's first, each after those it lies below.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Mount points whose own directory, which nobody sees below the mount, is not empty.
    pub fn hidden(&self) -> &[GuestPath] {
        &self.hidden
    }

    /// Shows a filesystem, or a directory of one, at `at`.
    ///
    /// Gives the mount point and whether it hides files of the filesystem below.
    ///
    /// # Errors
    /// The reason, as text, when there is no directory to mount on.
    pub(super) fn mount(
        &mut self,
        at: &GuestPath,
        volume: VolumeId,
        fs: Arc<dyn ReadFs>,
        root: Node,
        root_path: GuestPath,
        same_as: Option<GuestPath>,
    ) -> Result<(GuestPath, bool), String> {
        if self.mounts.len() >= MAX_MOUNTS {
            return Err(format!("more than {MAX_MOUNTS} mounts"));
        }
        let point = match self.follow(at) {
            Ok(Some(point)) => point,
            Ok(None) => return Err("there is no such directory to mount on".into()),
            Err(error) => return Err(error.to_string()),
        };
        if point.stat().map_err(|error| error.to_string())?.kind != Kind::Directory {
            return Err("the mount point is not a directory".into());
        }
        let mut hides = false;
        // Whether it hides anything is for the notes only: an unreadable directory hides nothing
        // that we could clean.
        let _ = point.fs.entries(point.node, &mut |entry| {
            hides = entry.name != b"lost+found";
            if hides { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let spot = Spot { mount: point.mount, node: point.node };
        self.points.insert(spot, self.mounts.len());
        let at = point.path.clone();
        if hides {
            self.hidden.push(at.clone());
        }
        self.mounts.push(Mount { at: point.path, volume, fs, root, root_path, same_as });
        Ok((at, hides))
    }

    pub(super) fn fs(&self, mount: usize) -> &Arc<dyn ReadFs> {
        &self.mounts[mount].fs
    }

    pub(super) fn volume(&self, mount: usize) -> &VolumeId {
        &self.mounts[mount].volume
    }

    /// The root directory.
    pub(super) fn root_spot(&self) -> Spot {
        self.cross(Spot { mount: 0, node: self.mounts[0].root })
    }

    /// What shows at a directory: itself, or the root of the topmost mount on it.
    pub(super) fn cross(&self, mut spot: Spot) -> Spot {
        // Each mount is a later one than the mount it lies on, so this ends.
        while let Some(&mount) = self.points.get(&spot) {
            spot = Spot { mount, node: self.mounts[mount].root };
        }
        spot
    }

    /// Whether a mount shows what also shows elsewhere below `from`, so that a walk from there
    /// need not see it twice.
    pub(super) fn shows_elsewhere(&self, mount: usize, from: &GuestPath) -> bool {
        self.mounts[mount].same_as.as_ref().is_some_and(|other| other.starts_with(from))
    }

    /// The place at a path whose directory is already canonical.
    pub(super) fn place(&self, path: GuestPath, spot: Spot) -> Place {
        let mount = &self.mounts[spot.mount];
        let below = path.below(&mount.at).unwrap_or_default();
        Place {
            fs_path: mount.root_path.append(&below),
            path,
            volume: mount.volume.clone(),
            node: spot.node,
            fs: Arc::clone(&mount.fs),
            mount: spot.mount,
        }
    }

    /// The path within a place's filesystem that a path of the guest has through the same mount.
    pub fn fs_path_of(&self, place: &Place, path: &GuestPath) -> Option<GuestPath> {
        let mount = self.mounts.get(place.mount)?;
        Some(mount.root_path.append(&path.below(&mount.at)?))
    }

    /// Whether a filesystem is mounted right at a place: it can be emptied, not removed.
    pub fn is_mount_point(&self, place: &Place) -> bool {
        self.mounts[place.mount].at == place.path
    }

    /// Where a path leads: symlinks to directories on the way are followed inside the guest, a
    /// symlink at its end is not. `None` when nothing is there, or the way leads through a
    /// non-directory or more than 40 symlinks.
    ///
    /// # Errors
    /// A filesystem failed on the way, or a directory on the way is encrypted.
    pub fn locate(&self, path: &GuestPath) -> Result<Option<Place>, GuestError> {
        self.resolve(path, false)
    }

    /// Where a path leads, a symlink at its end followed too.
    ///
    /// # Errors
    /// As [`locate`](Self::locate).
    pub fn follow(&self, path: &GuestPath) -> Result<Option<Place>, GuestError> {
        self.resolve(path, true)
    }

    /// The content of the regular file that a path leads to, symlinks followed; `None` when there
    /// is no regular file.
    ///
    /// # Errors
    /// As [`locate`](Self::locate), and when it is longer than `limit` bytes.
    pub fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        let Some(place) = self.follow(path)? else { return Ok(None) };
        let failed = |source| GuestError::Fs { path: place.path.clone(), source };
        if place.stat().map_err(failed)?.kind != Kind::File {
            return Ok(None);
        }
        place.read(limit).map(Some).map_err(failed)
    }

    /// Shows each name in a directory, in the directory's order, mount points as what is mounted
    /// there. A place that is not a directory has none.
    ///
    /// # Errors
    /// The filesystem failed, or the directory is encrypted.
    pub fn entries(
        &self,
        dir: &Place,
        visit: &mut dyn FnMut(&WalkEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), GuestError> {
        let failed = |source| GuestError::Fs { path: dir.path.clone(), source };
        let stat = dir.stat().map_err(failed)?;
        if stat.kind != Kind::Directory {
            return Ok(());
        }
        if stat.encrypted {
            return Err(failed(encrypted()));
        }
        let mut problem = None;
        dir.fs
            .entries(
                dir.node,
                &mut |entry| match WalkEntry::new(self, &dir.path, dir.mount, &entry) {
                    Ok(entry) => visit(&entry),
                    Err(source) => {
                        let path = dir.path.join(entry.name);
                        problem = Some(GuestError::Fs { path, source });
                        ControlFlow::Break(())
                    }
                },
            )
            .map_err(failed)?;
        problem.map_or(Ok(()), Err)
    }

    /// What a name in a directory leads to, and its kind; a symlink is not followed. `None` when
    /// nothing has the name, or the place is not a directory.
    ///
    /// # Errors
    /// The filesystem failed, or the directory is encrypted.
    pub fn child(&self, dir: &Place, name: &[u8]) -> Result<Option<(Place, Kind)>, GuestError> {
        let failed = |source| GuestError::Fs { path: dir.path.clone(), source };
        let stat = self.looked.stat(&*dir.fs, dir.mount, dir.node).map_err(failed)?;
        if stat.kind != Kind::Directory {
            return Ok(None);
        }
        if stat.encrypted {
            return Err(failed(encrypted()));
        }
        let found = self.looked.lookup(&*dir.fs, dir.mount, dir.node, name).map_err(failed)?;
        let Some(node) = found else { return Ok(None) };
        let spot = self.cross(Spot { mount: dir.mount, node });
        let spelled = spelled(&*dir.fs, dir.node, name).map_err(failed)?;
        let path = dir.path.join(&spelled);
        let kind = match self.looked.stat(&**self.fs(spot.mount), spot.mount, spot.node) {
            Ok(stat) => stat.kind,
            Err(source) => return Err(GuestError::Fs { path, source }),
        };
        Ok(Some((self.place(path, spot), kind)))
    }
}
