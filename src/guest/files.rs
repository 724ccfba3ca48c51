//! A guest's files as something sees them: as they are in the image, or as a run will leave them.

use super::resolve::Reached;
use super::{GuestError, Tree};
use crate::fs::{Kind, Node};
use crate::path::GuestPath;

/// How many names of one directory are listed: more than any that holds configuration.
pub const NAMES: usize = 100_000;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its path without symlinks to directories on the way.
    pub path: GuestPath,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of a regular file, in bytes.
    pub size: u64,
    /// Which file of the image it is, where it is one as it is there: what was read of it holds for
    /// whoever meets it again.
    pub file: Option<FileId>,
}

/// A file of an image, as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    pub(super) mount: usize,
    pub(super) node: Node,
}

/// A guest's files, for what only reads them: whether units start, who may log in, what cloud-init
/// would do.
///
/// Contract: symlinks resolve inside the guest, and one that leads nowhere or in a circle is
/// nothing; names in a directory are sorted. Two calls see the same files.
pub trait Files {
    /// What is at a path, a symlink at its end not followed; `None` where nothing is.
    ///
    /// # Errors
    /// The guest cannot be read there.
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError>;

    /// What a path leads to, a symlink at its end followed; `None` where nothing is.
    ///
    /// # Errors
    /// The guest cannot be read there.
    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError>;

    /// The content of the regular file that a path leads to, of at most `limit` bytes; `None` where
    /// there is no regular file.
    ///
    /// # Errors
    /// The guest cannot be read there, or the file is longer.
    fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError>;

    /// The target of the symlink at a path; `None` where there is no symlink.
    ///
    /// # Errors
    /// The guest cannot be read there.
    fn link_target(&self, path: &GuestPath) -> Result<Option<Vec<u8>>, GuestError>;

    /// Each name in the directory that a path leads to and what it is, sorted; none where there is
    /// no directory.
    ///
    /// # Errors
    /// The guest cannot be read there.
    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError>;
}

impl Files for Tree {
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        Ok(self.reached(path, false)?.map(Reached::state))
    }

    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        Ok(self.reached(path, true)?.map(Reached::state))
    }

    fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        let file = self.reached(path, true)?.filter(|it| it.kind() == Kind::File);
        file.map(|it| self.content(&it, limit)).transpose()
    }

    fn link_target(&self, path: &GuestPath) -> Result<Option<Vec<u8>>, GuestError> {
        let link = self.reached(path, false)?.filter(|it| it.kind() == Kind::Symlink);
        link.map(|it| self.target(&it)).transpose()
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        self.reached(dir, true)?.map_or_else(|| Ok(Vec::new()), |it| Tree::names(self, &it))
    }
}
