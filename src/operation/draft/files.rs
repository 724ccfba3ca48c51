//! The guest's files as the steps so far will leave them.

use std::ops::{Bound, ControlFlow};

use super::{Draft, Pending, Target};
use crate::fs::{FsError, Kind};
use crate::guest::{FileState, Files, GuestError, NAMES, Way};
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
    /// Where a path leads in the guest as it is, where no step changes anything on the way.
    fn unchanged(&self, path: &GuestPath, follow: bool) -> Result<Way, GuestError> {
        // A directory at and below which no step changes anything.
        let mut free: Option<GuestPath> = None;
        self.guest.tree.way(path, follow, &mut |here| {
            if free.as_ref().is_some_and(|free| here.starts_with(free)) {
                return true;
            }
            match self.first_change(here) {
                Some(changed) if changed == here => return false,
                Some(_) => {}
                None => free = Some(here.clone()),
            }
            true
        })
    }

    /// The first path at or below this one that a step changes.
    fn first_change(&self, path: &GuestPath) -> Option<&GuestPath> {
        let from = (Bound::Included(path), Bound::Unbounded);
        let (first, _) = self.pending.range::<GuestPath, _>(from).next()?;
        first.starts_with(path).then_some(first)
    }

    fn state_of(&self, path: &GuestPath, follow: bool) -> Result<Option<FileState>, GuestError> {
        let failed = |error| of_guest(path, error);
        match self.unchanged(path, follow)? {
            Way::To(reached) => {
                let state = reached.state();
                let size = if state.kind == Kind::File { state.size } else { 0 };
                return Ok(Some(FileState { size, ..state }));
            }
            Way::Nowhere => return Ok(None),
            Way::Turned => {}
        }
        let Some(target) = self.at(path, follow).map_err(failed)? else { return Ok(None) };
        let Some(kind) = target.kind else { return Ok(None) };
        let Some(owned) = self.owned(&target).map_err(failed)? else { return Ok(None) };
        let size = self.size(&target).map_err(failed)?;
        let (mode, uid, gid) = (owned.mode, owned.uid, owned.gid);
        Ok(Some(FileState { path: target.path, kind, mode, uid, gid, size, file: None }))
    }

    /// The names in a directory, as they are or will be.
    fn names_in(&self, dir: &Target) -> Result<Vec<(Vec<u8>, Kind)>, StepError> {
        let hidden =
            self.pending.get(&dir.path).map_or_else(|| self.hidden(&dir.path), Pending::hides);
        let mut names = Vec::new();
        if let Some(place) = dir.place.as_ref().filter(|_| !hidden) {
            self.guest().tree.entries(place, &mut |entry| {
                names.push((entry.name.to_vec(), entry.kind));
                if names.len() < NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            names.sort();
        }
        Ok(self.as_left(&dir.path, names))
    }

    /// The names in a directory, of those that it has in the guest as it is.
    fn as_left(&self, dir: &GuestPath, mut names: Vec<(Vec<u8>, Kind)>) -> Vec<(Vec<u8>, Kind)> {
        let depth = dir.depth() + 1;
        let below = self.pending.range(dir.clone()..).take_while(|(it, _)| it.starts_with(dir));
        let changed: Vec<_> = below.filter(|(path, _)| path.depth() == depth).collect();
        if !changed.is_empty() {
            names.retain(|(name, _)| !self.pending.contains_key(&dir.join(name)));
            let kinds = changed.into_iter().map(|(path, pending)| (path, pending.after.kind()));
            names.extend(kinds.filter_map(|(path, kind)| Some((path.name()?.to_vec(), kind?))));
            names.sort();
        }
        names
    }
}

fn too_long(path: GuestPath, size: u64, limit: u64) -> GuestError {
    let source = FsError::unsupported(format!("{size} bytes long, more than {limit}"));
    GuestError::Fs { path, source }
}

impl Files for Draft<'_> {
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        self.state_of(path, false)
    }

    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        self.state_of(path, true)
    }

    fn read(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        match self.unchanged(path, true)? {
            Way::To(file) if file.kind() != Kind::File => return Ok(None),
            Way::To(file) if file.size() > limit => {
                return Err(too_long(file.path().clone(), file.size(), limit));
            }
            Way::To(file) => return self.guest.tree.content(&file, limit).map(Some),
            Way::Nowhere => return Ok(None),
            Way::Turned => {}
        }
        let failed = |error| of_guest(path, error);
        let Some(target) = self.at(path, true).map_err(failed)? else { return Ok(None) };
        if target.kind != Some(Kind::File) {
            return Ok(None);
        }
        let size = self.size(&target).map_err(failed)?;
        if size > limit {
            return Err(too_long(target.path, size, limit));
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
        match self.unchanged(path, false)? {
            Way::To(link) if link.kind() == Kind::Symlink => {
                return self.guest.tree.target(&link).map(Some);
            }
            Way::To(_) | Way::Nowhere => return Ok(None),
            Way::Turned => {}
        }
        let failed = |error| of_guest(path, error);
        match self.at(path, false).map_err(failed)? {
            Some(target) => Draft::link_target(self, &target).map_err(failed),
            None => Ok(None),
        }
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        match self.unchanged(dir, true)? {
            Way::To(dir) => return Ok(self.as_left(dir.path(), self.guest.tree.names(&dir)?)),
            Way::Nowhere => return Ok(Vec::new()),
            Way::Turned => {}
        }
        let failed = |error| of_guest(dir, error);
        let Some(target) = self.at(dir, true).map_err(failed)? else { return Ok(Vec::new()) };
        if target.kind != Some(Kind::Directory) {
            return Ok(Vec::new());
        }
        self.names_in(&target).map_err(failed)
    }
}
