//! A guest's files with a few more, to ask what these would come to before they are written.

use std::collections::BTreeMap;

use crate::fs::Kind;
use crate::guest::{FileState, Files, GuestError};
use crate::path::GuestPath;

/// Files that root alone writes, in the place of what has their paths; the directories on the way are
/// there.
pub(super) struct With<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) added: BTreeMap<GuestPath, Vec<u8>>,
}

impl With<'_> {
    fn state(&self, path: &GuestPath) -> Option<FileState> {
        let (kind, mode, size) = match self.added.get(path) {
            Some(content) => (Kind::File, 0o644, content.len() as u64),
            None if self.below(path).next().is_some() => (Kind::Directory, 0o755, 0),
            None => return None,
        };
        Some(FileState { path: path.clone(), kind, mode, uid: 0, gid: 0, size, file: None })
    }

    /// What is directly in a directory of what is added.
    fn below(&self, dir: &GuestPath) -> impl Iterator<Item = (Vec<u8>, Kind)> {
        self.added.keys().filter_map(move |path| {
            let rest = path.below(dir)?;
            let kind = if rest.depth() > 1 { Kind::Directory } else { Kind::File };
            rest.names().next().map(|name| (name.to_vec(), kind))
        })
    }
}

impl Files for With<'_> {
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        if self.added.contains_key(path) {
            return Ok(self.state(path));
        }
        Ok(self.files.locate(path)?.or_else(|| self.state(path)))
    }

    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        if self.added.contains_key(path) {
            return Ok(self.state(path));
        }
        Ok(self.files.follow(path)?.or_else(|| self.state(path)))
    }

    fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        match self.added.get(path) {
            Some(content) => Ok(Some(content.clone())),
            None => self.files.read(path, limit),
        }
    }

    fn link_target(&self, path: &GuestPath) -> Result<Option<Vec<u8>>, GuestError> {
        match self.added.contains_key(path) {
            true => Ok(None),
            false => self.files.link_target(path),
        }
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        let mut names: BTreeMap<Vec<u8>, Kind> = self.files.names(dir)?.into_iter().collect();
        names.extend(self.below(dir));
        Ok(names.into_iter().collect())
    }
}
