//! What the filesystem that it goes to can store, and under which name: told while it is planned,
//! and not found out while it is made.

use super::pending::Pending;
use super::{Draft, Extra, New, Owned, Target};
use crate::fs::{FsError, Kind, MetaChange, NewKind, NewMeta, Node, Storing, folded_alike};
use crate::guest::Place;
use crate::operation::step::StepError;
use crate::path::GuestPath;
use crate::volume::VolumeId;

impl Draft<'_> {
    /// Whether a target's filesystem can store something; that it cannot is noted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(super) fn can_store(
        &mut self,
        target: &Target,
        what: &Storing<'_>,
    ) -> Result<bool, StepError> {
        let Some(fs) = self.filesystem(&target.volume) else { return Ok(true) };
        match fs.can_store(what) {
            Ok(()) => Ok(true),
            Err(error @ (FsError::BadName | FsError::CannotStore(_))) => {
                self.refuse(&target.path, error.to_string());
                Ok(false)
            }
            Err(error) => Err(StepError::Fs(target.path.clone(), error)),
        }
    }

    /// Whether a new object can be stored; that it cannot is noted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(super) fn can_create(
        &mut self,
        target: &Target,
        new: &New,
        owned: Owned,
        extra: Option<&Extra>,
    ) -> Result<bool, StepError> {
        let (kind, size) = match new {
            New::File(content) => (NewKind::File(b""), content.len()),
            New::Directory => (NewKind::Directory, 0),
            New::Symlink(link) => (NewKind::Symlink(link), 0),
            New::Special(kind, device) => (NewKind::Special(*kind, *device), 0),
        };
        let Owned { mode, uid, gid } = owned;
        let xattrs = extra.map(|extra| extra.xattrs.clone()).unwrap_or_default();
        let meta = NewMeta { mode, uid, gid, xattrs, ..NewMeta::default() };
        Ok(self.can_store_name(target)?
            && self.can_store(target, &Storing::Content(size))?
            && self.can_store(target, &Storing::New(kind, &meta))?)
    }

    /// Whether a target's name can be stored where nothing of that name is; that it cannot is noted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(super) fn can_store_name(&mut self, target: &Target) -> Result<bool, StepError> {
        let dir = target.path.parent().unwrap_or_default();
        let is_new = self.pending.get(&dir).is_some_and(Pending::hides);
        let dir = if is_new { None } else { self.locate(&dir)? };
        let dir = dir.filter(|dir| dir.volume == target.volume).map(|dir| dir.node);
        self.can_store(target, &Storing::Name(dir, target.path.name().unwrap_or_default()))
    }

    /// Whether a new object can have the permission bits that a step names; that it cannot is noted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn can_have_mode(
        &mut self,
        target: &Target,
        kind: Kind,
        mode: u16,
    ) -> Result<bool, StepError> {
        let change = MetaChange { mode: Some(mode), ..MetaChange::default() };
        self.can_store(target, &Storing::Meta(None, kind, &change))
    }

    /// The node that a target is at the end, where it is on the disk.
    pub(super) fn node(&self, target: &Target) -> Option<Node> {
        let place = target.place.as_ref()?;
        self.pending.get(&target.path).is_none_or(Pending::keeps).then_some(place.node)
    }

    /// Whether a volume's filesystem takes names for one whatever the size of their letters.
    pub fn folds_case(&self, volume: &VolumeId) -> bool {
        self.filesystem(volume).is_some_and(|fs| fs.folds_case())
    }

    /// The place beside what is at a target, for the same name written in another way.
    pub fn respelled(&self, target: &Target, name: &[u8]) -> Target {
        let beside = |path: &GuestPath| path.parent().unwrap_or_default().join(name);
        Target {
            path: beside(&target.path),
            fs_path: beside(&target.fs_path),
            kind: None,
            place: None,
            ..target.clone()
        }
    }

    /// A path by the spelling that what is there has, or will have: on FAT, `A` and `a` are one.
    pub(super) fn spelled(
        &self,
        dir: &GuestPath,
        place: Option<&Place>,
        path: GuestPath,
    ) -> Result<GuestPath, StepError> {
        let is_there = |path: &GuestPath| {
            self.pending.get(path).is_some_and(|pending| pending.after.kind().is_some())
        };
        let Some(name) = path.name() else { return Ok(path) };
        let fs = match (self.pending.get(dir), place) {
            (Some(pending), _) => self.filesystem(&pending.volume),
            (None, Some(place)) => Some(std::sync::Arc::clone(place.fs())),
            (None, None) => self.locate(dir)?.map(|place| std::sync::Arc::clone(place.fs())),
        };
        if !fs.is_some_and(|fs| fs.folds_case()) || is_there(&path) {
            return Ok(path);
        }
        let beside = self.pending.range(dir.clone()..).take_while(|(it, _)| it.starts_with(dir));
        for (other, pending) in beside {
            if pending.after.kind().is_some()
                && other.parent().as_ref() == Some(dir)
                && other.name().is_some_and(|other| folded_alike(other, name))
            {
                return Ok(other.clone());
            }
        }
        if self.hidden(&path) {
            return Ok(path);
        }
        let found = match place {
            Some(place) => self.guest.tree.child(place, name)?.map(|(place, _)| place),
            None => self.locate(&path)?,
        };
        let spelled = found.as_ref().and_then(|found| found.path.name());
        Ok(spelled.map_or_else(|| path.clone(), |name| dir.join(name)))
    }
}
