//! The guest's files as the steps so far will leave them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Draft, Pending, Target};
use crate::fs::{FsError, Kind};
use crate::guest::{FileState, Files, GuestError, NAMES};
use crate::operation::step::StepError;
use crate::path::GuestPath;

/// What a guest's reader says, of what the draft says.
fn of_guest(path: &GuestPath, error: StepError) -> GuestError {
    match error {
        StepError::Guest(error) => error,
        StepError::Fs(path, source) => GuestError::Fs { path, source },
        other => {
            GuestError::Fs { path: path.clone(), source: FsError::unsupported(other.to_string()) }
        }
    }
}

impl Draft<'_> {
    fn state_of(&self, path: &GuestPath, follow: bool) -> Result<Option<FileState>, GuestError> {
        let failed = |error| of_guest(path, error);
        let Some(target) = self.at(path, follow).map_err(failed)? else { return Ok(None) };
        let Some(kind) = target.kind else { return Ok(None) };
        let Some(owned) = self.owned(&target).map_err(failed)? else { return Ok(None) };
        let size = self.size(&target).map_err(failed)?;
        let (mode, uid, gid) = (owned.mode, owned.uid, owned.gid);
        Ok(Some(FileState { path: target.path, kind, mode, uid, gid, size }))
    }

    /// The names in a directory, as they are or will be.
    fn names_in(&self, dir: &Target) -> Result<BTreeSet<(Vec<u8>, Kind)>, StepError> {
        let mut paths = BTreeSet::new();
        let hidden =
            self.pending.get(&dir.path).map_or_else(|| self.hidden(&dir.path), Pending::hides);
        let mut names = BTreeSet::new();
        if let Some(place) = dir.place.as_ref().filter(|_| !hidden) {
            self.guest().tree.entries(place, &mut |entry| {
                let path = dir.path.join(entry.name);
                if !self.pending.contains_key(&path) {
                    names.insert((entry.name.to_vec(), entry.kind));
                }
                if names.len() < NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let made = self.pending.range(dir.path.clone()..);
        for (path, pending) in made.take_while(|(path, _)| path.starts_with(&dir.path)) {
            if path.parent().as_ref() == Some(&dir.path) && pending.after.kind().is_some() {
                paths.insert((path, pending.after.kind()));
            }
        }
        for (path, kind) in paths {
            names.extend(path.name().map(<[u8]>::to_vec).zip(kind));
        }
        Ok(names)
    }
}

impl Files for Draft<'_> {
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        self.state_of(path, false)
    }

    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        self.state_of(path, true)
    }

    fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        let failed = |error| of_guest(path, error);
        let Some(target) = self.at(path, true).map_err(failed)? else { return Ok(None) };
        if target.kind != Some(Kind::File) {
            return Ok(None);
        }
        let size = self.size(&target).map_err(failed)?;
        if size > limit {
            let source = FsError::unsupported(format!("{size} bytes long, more than {limit}"));
            return Err(GuestError::Fs { path: target.path, source });
        }
        let mut content = Vec::new();
        self.pieces(&target, &mut |piece| {
            content.extend_from_slice(piece);
            ControlFlow::Continue(())
        })
        .map_err(failed)?;
        Ok(Some(content))
    }

    fn link_target(&self, path: &GuestPath) -> Result<Option<Vec<u8>>, GuestError> {
        let failed = |error| of_guest(path, error);
        match self.at(path, false).map_err(failed)? {
            Some(target) => Draft::link_target(self, &target).map_err(failed),
            None => Ok(None),
        }
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        let failed = |error| of_guest(dir, error);
        let Some(target) = self.at(dir, true).map_err(failed)? else { return Ok(Vec::new()) };
        if target.kind != Some(Kind::Directory) {
            return Ok(Vec::new());
        }
        Ok(self.names_in(&target).map_err(failed)?.into_iter().collect())
    }
}
