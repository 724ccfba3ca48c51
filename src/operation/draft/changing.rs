//! Changes of one path, each over what earlier steps made of it.

use super::pending::{After, Original, Pending};
use super::{Draft, Extra, New, Owned, Target};
use crate::fs::{FsError, Kind, MetaChange, Stat, Storing};
use crate::guest::Place;
use crate::operation::before::{self, Survey};
use crate::operation::content::Content;
use crate::operation::step::StepError;
use crate::path::GuestPath;

/// How many paths one plan changes at most. A removed directory is one path, so no real guest
/// comes near, and a hostile one cannot make the plan fill the memory.
pub const CHANGES: usize = 50_000;

impl Draft<'_> {
    /// Gives a regular file new content; owner, mode and extended attributes stay.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn set_content(
        &mut self,
        target: &Target,
        content: impl Into<Content>,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(owned) = self.owned(target)? else { return Ok(()) };
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        let content = content.into();
        if !self.can_store(target, &Storing::Content(content.len()))? {
            return Ok(());
        }
        let content = Some(content);
        self.put(target, original, After::File { content, owned }, why.into())?;
        self.each_name(&target.path, |pending| {
            if let Some(extra) = &mut pending.extra {
                (extra.mtime, extra.atime) = (None, None);
            }
        });
        Ok(())
    }

    /// Zeroes a regular file's content from a byte on, where it is not zero; length, storage, owner,
    /// mode and extended attributes stay.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn wipe(
        &mut self,
        target: &Target,
        from: u64,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(owned) = self.owned(target)? else { return Ok(()) };
        // What gets other content keeps nothing of it.
        if matches!(
            self.pending.get(&target.path).map(|pending| &pending.after),
            Some(After::File { content: Some(_), .. })
        ) {
            return Ok(());
        }
        let from = self.wiped_from(target).map_or(from, |earlier| earlier.min(from));
        let Some(place) = &target.place else { return Ok(()) };
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if place.fs().is_zero(place.node, from).map_err(failed)? {
            return Ok(());
        }
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        self.put(target, original, After::Wiped { from, owned }, why.into())
    }

    /// Changes permission bits or owner.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn set_owned(
        &mut self,
        target: &Target,
        owned: Owned,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(now) = self.owned(target)? else { return Ok(()) };
        let Some(kind) = target.kind.filter(|_| now != owned) else { return Ok(()) };
        let change = difference(now, owned);
        if !self.can_store(target, &Storing::Meta(self.node(target), kind, &change))? {
            return Ok(());
        }
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        let after = match self.pending.get(&target.path) {
            Some(pending) => pending.after.clone().with(owned),
            None => After::Same { kind, owned },
        };
        self.put(target, original, after, why.into())?;
        self.each_name(&target.path, |_| {});
        Ok(())
    }

    /// Changes what a path will be, and with it all other names of a file that is made with them.
    pub(super) fn each_name(&mut self, path: &GuestPath, change: impl Fn(&mut Pending)) {
        let Some(pending) = self.pending.get_mut(path) else { return };
        change(pending);
        let (after, group) = (pending.after.clone(), pending.group);
        if group.is_some() {
            for pending in self.pending.values_mut().filter(|it| it.group == group) {
                pending.after = after.clone();
                change(pending);
            }
        }
    }

    /// Makes a new object at a path where nothing is, or in place of what is there.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn create(
        &mut self,
        target: &Target,
        new: New,
        owned: Owned,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        self.create_with(target, new, owned, None, why)
    }

    /// The same, with times and extended attributes.
    pub(super) fn create_with(
        &mut self,
        target: &Target,
        new: New,
        owned: Owned,
        extra: Option<Extra>,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        if !self.can_create(target, &new, owned, extra.as_ref())? {
            return Ok(());
        }
        if new == New::Directory && self.made_again(target, owned)? {
            return Ok(());
        }
        let moved = self.pending.get(&target.path).is_some_and(|it| it.from.is_some());
        let free = Target { place: None, kind: None, ..target.clone() };
        let target = if moved { &free } else { target };
        self.goes_at_home(&target.path);
        let Some(original) = self.original(target, true)? else { return Ok(()) };
        if original.is_none() && !self.may_create(target)? {
            return Ok(());
        }
        // Its other names keep what they have.
        let several =
            original.as_ref().is_some_and(|it| it.stat.kind == Kind::File && it.stat.links > 1);
        let group = matches!(new, New::File(_)) && several;
        let group = group.then(|| self.new_group());
        let after = match new {
            New::File(content) => After::File { content: Some(content), owned },
            New::Directory => After::Directory { owned },
            New::Symlink(target) => After::Symlink { target, owned },
            New::Special(kind, device) => After::Special { kind, device, owned },
        };
        self.put(target, original, after, why.into())?;
        if let Some(pending) = self.pending.get_mut(&target.path) {
            (pending.extra, pending.group) = (extra, group);
        }
        Ok(())
    }

    /// Whether the directory of a new path takes it.
    pub(super) fn may_create(&mut self, target: &Target) -> Result<bool, StepError> {
        if let Some(reason) = (self.read_only)(&target.volume) {
            self.refuse(&target.path, reason);
            return Ok(false);
        }
        let Some(dir) = target.path.parent() else { return Ok(false) };
        if self.pending.contains_key(&dir) {
            return Ok(true);
        }
        let Some(place) = self.locate(&dir)? else { return Ok(true) };
        let stat = place.stat().map_err(|error| StepError::Fs(dir.clone(), error))?;
        if let Some(reason) = before::obstacle(&stat) {
            self.refuse(&target.path, format!("its directory: {reason}"));
            return Ok(false);
        }
        Ok(true)
    }

    /// What is at a path on the disk, surveyed with everything below where `whole`. The outer
    /// `None` is a refusal, which is noted; the inner one says that nothing is there.
    #[allow(clippy::option_option, reason = "refused, absent and present are three answers")]
    pub(super) fn original(
        &mut self,
        target: &Target,
        whole: bool,
    ) -> Result<Option<Option<Box<Original>>>, StepError> {
        if let Some(pending) = self.pending.get(&target.path) {
            let mut original = pending.original.clone();
            if let (Some(original), true) = (&mut original, whole)
                && original.survey.is_none()
            {
                match survey(&original.place)? {
                    Ok(survey) => original.survey = Some(survey),
                    Err(reason) => {
                        self.refuse_as(&target.path, reason, true);
                        return Ok(None);
                    }
                }
            }
            return Ok(Some(original));
        }
        let Some(place) = target.place.clone() else { return Ok(Some(None)) };
        if let Some(reason) = (self.read_only)(&target.volume) {
            self.refuse_as(&target.path, reason, true);
            return Ok(None);
        }
        let stat: Stat = place.stat().map_err(|error| StepError::Fs(target.path.clone(), error))?;
        if let Some(reason) = before::obstacle(&stat) {
            self.refuse_as(&target.path, reason.into(), true);
            return Ok(None);
        }
        let mut original = Original { place, stat, survey: None };
        if whole {
            match survey(&original.place)? {
                Ok(survey) => original.survey = Some(survey),
                Err(reason) => {
                    self.refuse_as(&target.path, reason, true);
                    return Ok(None);
                }
            }
        }
        Ok(Some(Some(Box::new(original))))
    }

    pub(super) fn put(
        &mut self,
        target: &Target,
        original: Option<Box<Original>>,
        after: After,
        why: String,
    ) -> Result<(), StepError> {
        self.asked += 1;
        let mut by = vec![self.by];
        let (mut left, mut from, mut extra, mut group) = (false, None, None, None);
        let was_there = match self.pending.get(&target.path) {
            Some(earlier) => earlier.after.kind().is_some(),
            None => original.is_some(),
        };
        if was_there != after.kind().is_some() {
            self.changes_names_at(&target.path);
        }
        if let Some(earlier) = self.pending.remove(&target.path) {
            by.extend(earlier.by);
            (left, from) = (earlier.left, earlier.from);
            (extra, group) = (earlier.extra, earlier.group);
        } else if self.pending.len() >= CHANGES {
            return Err(StepError::TooMany(CHANGES));
        }
        let pending = Pending {
            volume: target.volume.clone(),
            fs_path: target.fs_path.clone(),
            original,
            left,
            from,
            after,
            extra,
            group,
            by: Vec::new(),
            why,
        };
        self.pending.insert(target.path.clone(), pending);
        self.attribute(&target.path, &by);
        Ok(())
    }

    /// A name comes or goes: its directory has the time of the run, whatever it was given before.
    pub(super) fn changes_names_at(&mut self, path: &GuestPath) {
        let dir = path.parent().and_then(|dir| self.pending.get_mut(&dir));
        if let Some(Pending { extra: Some(extra), .. }) = dir {
            (extra.mtime, extra.atime) = (None, None);
        }
    }
}

/// Surveys a place; the inner error is why it is not to be touched.
fn survey(place: &Place) -> Result<Result<Survey, String>, StepError> {
    match before::survey(&**place.fs(), place.node) {
        Ok(Survey { obstacle: Some(reason), .. }) => Ok(Err(reason)),
        Ok(survey) => Ok(Ok(survey)),
        Err(FsError::Block(error)) => Err(StepError::Fs(place.path.clone(), error.into())),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// What [`MetaChange`] turns `from` into `to`.
pub(super) fn difference(from: Owned, to: Owned) -> MetaChange {
    MetaChange {
        mode: (from.mode != to.mode).then_some(to.mode),
        uid: (from.uid != to.uid).then_some(to.uid),
        gid: (from.gid != to.gid).then_some(to.gid),
        ..MetaChange::default()
    }
}
