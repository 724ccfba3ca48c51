//! Moving: what is somewhere on the disk shows at another path, with all that is below it.

use super::pending::{After, From, Original, Pending};
use super::{Draft, Kept, Owned, Target};
use crate::fs::Kind;
use crate::guest::Place;
use crate::operation::before;
use crate::operation::step::StepError;
use crate::path::GuestPath;

impl Draft<'_> {
    /// Moves what is at a path within its filesystem, without copying anything. What is at the
    /// other path goes. `false` where it is another filesystem; what cannot be moved is noted.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn relocate(
        &mut self,
        source: &Target,
        to: &Target,
        why: impl Into<String>,
    ) -> Result<bool, StepError> {
        let tree = &self.guest.tree;
        let one_mount = source
            .place
            .as_ref()
            .is_none_or(|place| tree.fs_path_of(place, &to.path).as_ref() == Some(&to.fs_path));
        if source.volume != to.volume || !one_mount {
            return Ok(false);
        }
        if let Some(reason) = self.stays(source, to)? {
            self.refuse(&source.path, reason);
            return Ok(true);
        }
        if !self.can_store_name(to)? {
            return Ok(true);
        }
        if to.kind.is_some() {
            self.remove(to, &Kept::default())?;
            // What the guest needs was not removed, and that is noted.
            if self.at(&to.path, false)?.is_some_and(|it| it.kind.is_some()) {
                return Ok(true);
            }
        } else if !self.may_create(to)? {
            return Ok(true);
        }
        let (extra, group) = match self.pending.get(&source.path) {
            Some(pending) => (pending.extra.clone(), pending.group),
            None => (None, None),
        };
        let Some((from, after)) = self.take(source)? else { return Ok(true) };
        self.changes_names_at(&source.path);
        self.changes_names_at(&to.path);
        self.bring_below(source, to);
        let earlier = self.pending.remove(&to.path);
        let mut pending = Pending {
            volume: to.volume.clone(),
            fs_path: to.fs_path.clone(),
            original: None,
            left: false,
            from: from.map(|from| Box::new(from.shown_at(&to.path, &to.fs_path))),
            after,
            extra,
            group,
            by: vec![self.by],
            why: why.into(),
        };
        if let Some(earlier) = earlier {
            (pending.original, pending.left) = (earlier.original, earlier.left);
            pending.attribute(&earlier.by);
        }
        let node = |original: &Original| (original.place.volume.clone(), original.place.node);
        let home = pending.from.as_ref().is_some_and(|from| {
            pending.left && pending.original.as_deref().map(node) == Some(node(&from.original))
        });
        if home {
            (pending.from, pending.left) = (None, false);
        }
        self.pending.insert(to.path.clone(), pending);
        Ok(true)
    }

    /// Why something is not moved.
    fn stays(&mut self, source: &Target, to: &Target) -> Result<Option<String>, StepError> {
        if let Some(reason) = self.needed(source) {
            return Ok(Some(reason.to_owned()));
        }
        if to.path.starts_with(&source.path) {
            return Ok(Some(format!("a directory cannot go into itself ({})", to.path)));
        }
        let mounts = self.guest.tree.mounts();
        if mounts.iter().any(|mount| mount.at.starts_with(&source.path)) {
            return Ok(Some("another filesystem is mounted in it".into()));
        }
        if let Some(reason) = (self.read_only)(&source.volume) {
            return Ok(Some(reason));
        }
        let Some(place) = &source.place else { return Ok(None) };
        let stat = place.stat().map_err(|error| StepError::Fs(source.path.clone(), error))?;
        if let Some(reason) = before::obstacle(&stat) {
            return Ok(Some(reason.to_owned()));
        }
        let Some(dir) = source.path.parent() else { return Ok(None) };
        let Some(place) = self.locate(&dir)? else { return Ok(None) };
        let stat = place.stat().map_err(|error| StepError::Fs(dir.clone(), error))?;
        Ok(before::obstacle(&stat).map(|reason| format!("its directory: {reason}")))
    }

    /// Takes what is at a path away from it: where it is on the disk, if it is there, and what
    /// becomes of it.
    fn take(&mut self, source: &Target) -> Result<Option<(Option<From>, After)>, StepError> {
        let physical = self.physical(source);
        let Some(mut pending) = self.pending.remove(&source.path) else {
            let Some(place) = source.place.clone() else { return Ok(None) };
            let stat = place.stat().map_err(|error| StepError::Fs(source.path.clone(), error))?;
            let owned = Owned { mode: stat.mode, uid: stat.uid, gid: stat.gid };
            let after = After::Same { kind: stat.kind, owned };
            let original = Original { place, stat, survey: None };
            self.leave(source, Box::new(original.clone()), Vec::new(), true);
            return Ok(Some((Some(From { original, path: physical }), after)));
        };
        if let Some(from) = pending.from.take() {
            if let Some(original) = pending.original {
                self.leave(source, original, pending.by, pending.left);
            }
            return Ok(Some((Some(*from), pending.after)));
        }
        match pending.original.take() {
            Some(original)
                if !pending.left && pending.group.is_none() && pending.after.keeps(&original) =>
            {
                self.leave(source, original.clone(), pending.by, true);
                Ok(Some((Some(From { original: *original, path: physical }), pending.after)))
            }
            // Something new, which is made where it goes.
            Some(original) => {
                self.leave(source, original, pending.by, pending.left);
                Ok(Some((None, pending.after)))
            }
            None => Ok(Some((None, pending.after))),
        }
    }

    /// Nothing is at a path any more: what was there is `left`, it is elsewhere, or goes.
    fn leave(&mut self, source: &Target, original: Box<Original>, by: Vec<usize>, left: bool) {
        let mut pending = Pending {
            volume: source.volume.clone(),
            fs_path: source.fs_path.clone(),
            original: Some(original),
            left,
            from: None,
            after: After::Absent,
            extra: None,
            group: None,
            by,
            why: format!("moves {}", source.path),
        };
        pending.attribute(&[self.by]);
        self.pending.insert(source.path.clone(), pending);
    }

    /// What was planned below a directory goes with it.
    fn bring_below(&mut self, source: &Target, to: &Target) {
        let below: Vec<GuestPath> = self
            .pending
            .range(source.path.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&source.path))
            .filter(|path| **path != source.path)
            .cloned()
            .collect();
        for path in below {
            let (Some(mut pending), Some(rest)) =
                (self.pending.remove(&path), path.below(&source.path))
            else {
                continue;
            };
            let path = to.path.append(&rest);
            pending.fs_path = to.fs_path.append(&rest);
            pending.volume = to.volume.clone();
            if let Some(original) = &mut pending.original {
                original.place = original.place.clone().shown_at(&path, &pending.fs_path);
            }
            let shown = |from: Box<From>| Box::new(from.shown_at(&path, &pending.fs_path));
            pending.from = pending.from.map(shown);
            self.pending.insert(path, pending);
        }
    }

    /// The path within its filesystem that something has on the disk.
    pub(super) fn physical(&self, target: &Target) -> GuestPath {
        let own = self.pending.get_key_value(&target.path);
        let moved = match own.and_then(|(path, it)| Some((path.clone(), it.from.as_deref()?))) {
            Some(own) => Some(own),
            // What is planned for the path itself does not hide where it is.
            None => target
                .path
                .parent()
                .and_then(|dir| self.moved_above(&dir).map(|(dir, from)| (dir.clone(), from))),
        };
        match moved {
            Some((dir, from)) => from.path.append(&target.path.below(&dir).unwrap_or_default()),
            None => target.fs_path.clone(),
        }
    }

    /// The nearest directory above a path, or the path, that was moved to where it is.
    fn moved_above(&self, path: &GuestPath) -> Option<(&GuestPath, &From)> {
        let mut above = Some(path.clone());
        while let Some(path) = above {
            if let Some((path, pending)) = self.pending.get_key_value(&path) {
                match &pending.from {
                    Some(from) => return Some((path, from)),
                    None if pending.hides() => return None,
                    None => {}
                }
            }
            above = path.parent();
        }
        None
    }

    /// Where a path leads once what is moved is where it goes; as the guest's tree does otherwise.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(super) fn locate(&self, path: &GuestPath) -> Result<Option<Place>, StepError> {
        let Some((dir, from)) = self.moved_above(path) else {
            return Ok(self.guest.tree.locate(path)?);
        };
        let mut place = from.original.place.clone();
        for name in path.below(dir).unwrap_or_default().names() {
            match self.guest.tree.child(&place, name)? {
                Some((next, _)) => place = next,
                None => return Ok(None),
            }
        }
        Ok(Some(place))
    }

    /// The directories that were moved to where they are.
    pub(super) fn moved_directories(&self) -> Vec<Target> {
        self.pending
            .iter()
            .filter(|(_, it)| it.from.is_some() && it.after.kind() == Some(Kind::Directory))
            .map(|(path, it)| it.target(path, ""))
            .collect()
    }

    /// What was moved to a path is to go, or to be replaced: it goes where it is on the disk.
    pub(super) fn goes_at_home(&mut self, path: &GuestPath) {
        let Some(pending) = self.pending.get_mut(path) else { return };
        let Some(original) = pending.from.take().map(|from| from.original) else { return };
        pending.after = After::Absent;
        if pending.original.is_none() {
            self.pending.remove(path);
        }
        let at_home = self.pending.values_mut().find(|it| {
            it.left
                && it.original.as_ref().is_some_and(|it| {
                    it.place.node == original.place.node && it.place.volume == original.place.volume
                })
        });
        if let Some(pending) = at_home {
            pending.left = false;
            pending.attribute(&[self.by]);
        }
    }
}

impl From {
    fn shown_at(mut self, path: &GuestPath, fs_path: &GuestPath) -> Self {
        self.original.place = self.original.place.shown_at(path, fs_path);
        self
    }
}
