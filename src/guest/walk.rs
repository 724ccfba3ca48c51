//! Walking the guest's tree: streaming, across mounts, through no symlink.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::GuestError;
use super::tree::{Place, Spot, Tree, Unread, encrypted, note_unread};
use crate::fs::{Entry, FsError, Kind, Node, ReadFs};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// How deep a walk goes, in names: a path of `PATH_MAX` (4096) bytes has no more, and nothing
/// deeper can be named by the guest's own tools.
const MAX_DEPTH: usize = 2048;

/// What a walk does after it showed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Go on, into the entry where it is a directory.
    Into,
    /// Go on, past the entry.
    Over,
    /// End the walk.
    Stop,
}

/// An entry of a directory of the guest.
pub struct WalkEntry<'a> {
    /// The directory, canonical.
    pub dir: &'a GuestPath,
    /// The name in it.
    pub name: &'a [u8],
    /// What kind of object it is.
    pub kind: Kind,
    /// The node; at a mount point the root of what is mounted.
    pub node: Node,
    /// The volume of the filesystem that the node is in.
    pub volume: &'a VolumeId,
    /// The filesystem that the node is in.
    pub fs: &'a Arc<dyn ReadFs>,
    /// A filesystem is mounted here.
    pub mount_point: bool,
    tree: &'a Tree,
    mount: usize,
}

impl<'a> WalkEntry<'a> {
    /// An entry as it shows in a directory that is seen through `mount`.
    pub(super) fn new(
        tree: &'a Tree,
        dir: &'a GuestPath,
        mount: usize,
        entry: &Entry<'a>,
    ) -> Result<Self, FsError> {
        let kind = match entry.kind {
            Some(kind) => kind,
            None => tree.fs(mount).stat(entry.node)?.kind,
        };
        let below = Spot { mount, node: entry.node };
        let spot = if kind == Kind::Directory { tree.cross(below) } else { below };
        Ok(Self {
            dir,
            name: entry.name,
            kind,
            node: spot.node,
            volume: tree.volume(spot.mount),
            fs: tree.fs(spot.mount),
            mount_point: spot.mount != mount,
            tree,
            mount: spot.mount,
        })
    }

    /// The entry's path in the guest.
    pub fn path(&self) -> GuestPath {
        self.dir.join(self.name)
    }

    /// The entry as a place.
    pub fn place(&self) -> Place {
        self.tree.place(self.path(), self.spot())
    }

    pub(super) fn spot(&self) -> Spot {
        Spot { mount: self.mount, node: self.node }
    }
}

/// How a walk ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Directories that were left out and why; a bounded list.
    pub unread: Vec<Unread>,
    /// The visitor stopped it.
    pub stopped: bool,
}

/// Directories already seen, as a bit for each node: a sound filesystem gives each directory one
/// name, and a hostile one must not make the walk exponential or endless.
#[derive(Default)]
pub(super) struct Seen(HashMap<(usize, u64), u64>);

impl Seen {
    /// Whether the directory is new.
    fn insert(&mut self, spot: Spot) -> bool {
        let bits = self.0.entry((spot.mount, spot.node.0 / 64)).or_default();
        let bit = 1 << (spot.node.0 % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }
}

/// A directory still to be read: its name is the last bytes of the names kept.
struct Ahead {
    depth: usize,
    spot: Spot,
    name_len: usize,
}

impl Tree {
    /// Shows everything below a path, a directory before what is in it. Crosses mounts, follows no
    /// symlink (nor one at the path's end). What shows at two places by a bind mount is entered at
    /// one of them only. Nothing is shown when the path leads to no directory.
    ///
    /// # Errors
    /// The path itself cannot be reached; below it a directory that cannot be read is listed in
    /// the answer and the walk goes on.
    pub fn walk(
        &self,
        from: &GuestPath,
        visit: &mut dyn FnMut(&WalkEntry<'_>) -> Walk,
    ) -> Result<Walked, GuestError> {
        match self.locate(from)? {
            Some(place) => self.walk_below(&place, visit),
            None => Ok(Walked::default()),
        }
    }

    /// Shows everything below a place, as [`walk`](Self::walk).
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    pub fn walk_below(
        &self,
        from: &Place,
        visit: &mut dyn FnMut(&WalkEntry<'_>) -> Walk,
    ) -> Result<Walked, GuestError> {
        let mut again = Vec::new();
        let mut walked = self.walk_unseen(from, &mut Seen::default(), &mut again, visit)?;
        for unread in again {
            note_unread(&mut walked.unread, unread.path, unread.why);
        }
        Ok(walked)
    }

    /// Walks what is not seen yet; directories that are go to `again`, a bounded list.
    pub(super) fn walk_unseen(
        &self,
        from: &Place,
        seen: &mut Seen,
        again: &mut Vec<Unread>,
        visit: &mut dyn FnMut(&WalkEntry<'_>) -> Walk,
    ) -> Result<Walked, GuestError> {
        let failed = |source| GuestError::Fs { path: from.path.clone(), source };
        if from.stat().map_err(failed)?.kind != Kind::Directory {
            return Ok(Walked::default());
        }
        let mut walked = Walked::default();
        let mut dir = from.path.clone();
        let mut names: Vec<u8> = Vec::new();
        let mut ahead = vec![Ahead {
            depth: from.path.depth(),
            spot: Spot { mount: from.mount, node: from.node },
            name_len: 0,
        }];
        while let Some(Ahead { depth, spot, name_len }) = ahead.pop() {
            let name_at = names.len().saturating_sub(name_len);
            if let (Some(above), false) = (depth.checked_sub(1), name_len == 0) {
                dir.truncate(above);
                dir.push(&names[name_at..]);
                names.truncate(name_at);
            }
            if !seen.insert(spot) {
                note_unread(again, dir.clone(), "the directory was seen under another name");
                continue;
            }
            if depth > MAX_DEPTH {
                let why = format!("deeper than {MAX_DEPTH} directories");
                note_unread(&mut walked.unread, dir.clone(), why);
                continue;
            }
            let fs = self.fs(spot.mount);
            match fs.stat(spot.node) {
                Ok(stat) if stat.kind != Kind::Directory => {
                    let why = "its entry says directory, its node does not";
                    note_unread(&mut walked.unread, dir.clone(), why);
                    continue;
                }
                Ok(stat) if stat.encrypted => {
                    note_unread(&mut walked.unread, dir.clone(), encrypted());
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    note_unread(&mut walked.unread, dir.clone(), error);
                    continue;
                }
            }
            let read = fs.entries(spot.node, &mut |entry| {
                let entry = match WalkEntry::new(self, &dir, spot.mount, &entry) {
                    Ok(entry) => entry,
                    Err(error) => {
                        note_unread(&mut walked.unread, dir.join(entry.name), error);
                        return ControlFlow::Continue(());
                    }
                };
                match visit(&entry) {
                    Walk::Into if entry.kind == Kind::Directory => {
                        let twice =
                            entry.mount_point && self.shows_elsewhere(entry.mount, &from.path);
                        if !twice {
                            names.extend_from_slice(entry.name);
                            ahead.push(Ahead {
                                depth: depth + 1,
                                spot: entry.spot(),
                                name_len: entry.name.len(),
                            });
                        }
                        ControlFlow::Continue(())
                    }
                    Walk::Into | Walk::Over => ControlFlow::Continue(()),
                    Walk::Stop => {
                        walked.stopped = true;
                        ControlFlow::Break(())
                    }
                }
            });
            if walked.stopped {
                break;
            }
            if let Err(error) = read {
                note_unread(&mut walked.unread, dir.clone(), error);
            }
        }
        Ok(walked)
    }
}
