//! Who says what a filesystem holds: the independent reader, and our own opened afresh.

use std::cell::RefCell;
use std::ops::ControlFlow;

use crate::apply::way::Way;
use crate::digest::Digest;
use crate::fs::{FsError, Judge, Judged, Node, ReadFs};
use crate::path::GuestPath;

/// How much of a file is read at a time.
const PIECE: usize = 64 << 10;

/// One state of a filesystem, as its readers see it.
#[derive(Clone, Copy)]
pub struct Witness<'a> {
    /// Our own reader, opened afresh.
    pub own: &'a dyn ReadFs,
    /// The reader that we did not write, where there is one that can read this filesystem.
    pub judge: Option<&'a dyn Judge>,
}

/// Our own reader in the place of a judge, where there is no other.
pub(super) struct Own<'a> {
    pub(super) fs: &'a dyn ReadFs,
    way: RefCell<Way>,
}

impl<'a> Own<'a> {
    pub(super) fn new(fs: &'a dyn ReadFs) -> Self {
        Self { fs, way: RefCell::default() }
    }

    /// The node at a path, without following symlinks; `None` when nothing is there.
    pub(super) fn find(&self, path: &GuestPath) -> Result<Option<Node>, FsError> {
        self.way.borrow_mut().find(self.fs, path)
    }

    fn node(&self, path: &GuestPath) -> Result<Node, FsError> {
        self.find(path)?.ok_or(FsError::NotFound)
    }
}

impl Judge for Own<'_> {
    fn stat(&self, path: &GuestPath) -> Result<Option<Judged>, FsError> {
        let Some(node) = self.find(path)? else { return Ok(None) };
        let stat = self.fs.stat(node)?;
        Ok(Some(Judged {
            kind: Some(stat.kind),
            mode: Some(stat.mode),
            owner: Some((stat.uid, stat.gid)),
            size: stat.size,
        }))
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError> {
        let mut names = Vec::new();
        self.fs.entries(self.node(dir)?, &mut |entry| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    fn read(&self, file: &GuestPath, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError> {
        let node = self.node(file)?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        loop {
            let read = self.fs.read_at(node, at, &mut piece)?.min(PIECE);
            if read == 0 {
                return Ok(());
            }
            each(&piece[..read]);
            at += read as u64;
        }
    }

    fn link_target(&self, link: &GuestPath) -> Result<Vec<u8>, FsError> {
        self.fs.link_target(self.node(link)?)
    }
}

/// The digest of a file's content.
pub(super) fn content(judge: &dyn Judge, file: &GuestPath) -> Result<Digest, FsError> {
    let mut hasher = blake3::Hasher::new();
    judge.read(file, &mut |piece| {
        hasher.update(piece);
    })?;
    Ok(hasher.finalize().into())
}

/// The names in a directory, sorted.
pub(super) fn names(judge: &dyn Judge, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError> {
    let mut names = judge.names(dir)?;
    names.sort_unstable();
    Ok(names)
}
