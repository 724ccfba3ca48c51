//! Copying: what is at one path, and below it, is made anew at another.

use std::collections::{HashMap, HashSet};

use super::pending::{After, Pending};
use super::privileges::{ACL, DEFAULT_ACL};
use super::{Draft, Extra, New, Owned, Target};
use crate::fs::{Kind, MetaChange, Node, Stat, Storing, Timestamp, Xattr};
use crate::operation::before;
use crate::operation::content::{Content, GuestContent};
use crate::operation::step::StepError;
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// A file with several names, by what it is where it is copied from.
#[derive(PartialEq, Eq, Hash)]
enum Names {
    Node(VolumeId, u64),
    Group(usize),
}

impl Draft<'_> {
    /// Copies what is at a path, a directory with all that is below it, as the steps so far leave
    /// it: content, owner, mode, times and extended attributes; names of one file stay names of one
    /// file. What is there keeps what the copy does not have. `false` where something could not be
    /// copied, which is noted.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn copy(&mut self, source: &Target, to: &Target, why: &str) -> Result<bool, StepError> {
        if source.kind == Some(Kind::Directory) && to.path.starts_with(&source.path) {
            let reason = format!("a directory cannot go into itself ({})", to.path);
            self.refuse(&source.path, reason);
            return Ok(false);
        }
        let mut groups = HashMap::new();
        let mut whole = true;
        let mut seen = HashSet::new();
        let mut directories = Vec::new();
        let mut ahead = vec![(source.clone(), to.clone())];
        while let Some((source, to)) = ahead.pop() {
            if source.kind == Some(Kind::Directory) {
                directories.push((to.path.clone(), self.extra(&source)?));
            }
            if !self.copy_one(&mut groups, &source, &to, why)? {
                whole = false;
                continue;
            }
            if source.kind != Some(Kind::Directory) {
                continue;
            }
            if is_again(&mut seen, &source) {
                self.refuse(&source.path, "the same directory shows elsewhere in what is copied");
                whole = false;
                continue;
            }
            for child in self.children(&source)? {
                let Some(name) = child.path.name() else { continue };
                // Not followed: what is there is what the copy takes the place of.
                if let Some(to) = self.at(&to.path.join(name), false)? {
                    ahead.push((child, to));
                }
            }
        }
        self.set_times(directories, why)?;
        Ok(whole)
    }

    /// Gives directories their times, once everything is in them.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn set_times(
        &mut self,
        directories: Vec<(GuestPath, Extra)>,
        why: &str,
    ) -> Result<(), StepError> {
        for (path, extra) in directories.into_iter().rev() {
            let dir = self.at(&path, false)?.filter(|it| it.kind == Some(Kind::Directory));
            if let Some(dir) = dir.filter(|it| self.keeps_owners(&it.volume)) {
                self.set_extra(&dir, extra, why)?;
            }
        }
        Ok(())
    }

    fn copy_one(
        &mut self,
        groups: &mut HashMap<Names, usize>,
        source: &Target,
        to: &Target,
        why: &str,
    ) -> Result<bool, StepError> {
        let (Some(kind), Some(owned)) = (source.kind, self.owned(source)?) else {
            return Ok(true);
        };
        let stat = self.stat(source)?;
        if stat.as_ref().is_some_and(|stat| stat.encrypted) {
            self.refuse(&source.path, "encrypted by its filesystem");
            return Ok(false);
        }
        if self.wiped_from(source).is_some() {
            self.refuse(&source.path, "what it holds is wiped, and not copied before");
            return Ok(false);
        }
        let new = match kind {
            Kind::File => New::File(self.content_of(source)?),
            Kind::Directory => New::Directory,
            Kind::Symlink => New::Symlink(self.link(source)?),
            kind => New::Special(kind, self.device(source)?),
        };
        let mut extra = self.extra(source)?;
        // A list is replaced, also by none.
        extra.without = [ACL, DEFAULT_ACL]
            .into_iter()
            .filter(|name| kind == Kind::Directory || *name == ACL)
            .filter(|name| extra.xattrs.iter().all(|it| it.name != *name))
            .collect();
        let group = self.pending.get(&source.path).and_then(|it| it.group);
        let names = match (kind, group, &source.place) {
            (Kind::File, Some(group), _) => Some(Names::Group(group)),
            (Kind::File, None, Some(place)) if stat.is_some_and(|stat| stat.links > 1) => {
                Some(Names::Node(place.volume.clone(), place.node.0))
            }
            _ => None,
        };
        let group = names.map(|names| *groups.entry(names).or_insert_with(|| self.new_group()));
        self.make(to, new, owned, extra, group, why)
    }

    /// Files made with one group are names of one file.
    pub fn new_group(&mut self) -> usize {
        self.groups += 1;
        self.groups
    }

    /// Makes an object, or gives what is there its content and metadata; a directory's times are
    /// left to [`set_times`](Self::set_times). `false` with a refusal where that cannot be.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn make(
        &mut self,
        to: &Target,
        new: New,
        owned: Owned,
        extra: Extra,
        group: Option<usize>,
        why: &str,
    ) -> Result<bool, StepError> {
        let (mut owned, mut extra, mut group) = (owned, extra, group);
        extra.mtime = extra.mtime.filter(is_kept);
        extra.atime = extra.atime.filter(is_kept);
        if !self.keeps_owners(&to.volume) {
            if !matches!(new, New::File(_) | New::Directory) {
                self.refuse(&to.path, "its FAT filesystem stores files and directories only");
                return Ok(false);
            }
            owned = self.owned(to)?.unwrap_or(Owned { mode: 0o755, uid: 0, gid: 0 });
            // An existing file's time is in units of its own.
            extra = Extra { mtime: extra.mtime.filter(|_| to.kind.is_none()), ..Extra::default() };
            group = None;
        }
        if new == New::Directory {
            (extra.mtime, extra.atime) = (None, None);
        }
        let refusals = self.refused.len();
        match (&new, to.kind) {
            (New::Directory, Some(Kind::Directory)) => {
                self.set_owned(to, owned, why)?;
                self.set_extra(to, extra, why)?;
            }
            (New::Directory, Some(_)) | (_, Some(Kind::Directory)) => {
                self.refuse(&to.path, "something of another kind is there");
                return Ok(false);
            }
            (New::File(content), Some(Kind::File)) if self.takes(to, group) => {
                if !self.holds(to, content.len(), content.digest())? {
                    self.set_content(to, content.clone(), why)?;
                }
                self.set_owned(to, owned, why)?;
                self.set_extra(to, extra, why)?;
            }
            (New::Symlink(link), Some(Kind::Symlink))
                if self.link_target(to)?.as_ref() == Some(link) =>
            {
                self.set_owned(to, owned, why)?;
            }
            (New::Special(kind, device), there)
                if there == Some(*kind) && self.device(to)? == *device =>
            {
                self.set_owned(to, owned, why)?;
                self.set_extra(to, extra, why)?;
            }
            _ => {
                let free = Target { kind: None, ..to.clone() };
                self.create_with(&free, new, owned, Some(extra), why)?;
                if let Some(pending) = self.pending.get_mut(&to.path).filter(|_| group.is_some()) {
                    pending.group = group;
                }
            }
        }
        Ok(self.refused.len() == refusals)
    }

    /// Whether an existing file can be the one of a group: the first of them is, and its other
    /// names are.
    fn takes(&mut self, to: &Target, group: Option<usize>) -> bool {
        let Some(group) = group else { return true };
        let node = |it: &Target| it.place.as_ref().map(|it| (it.volume.clone(), it.node));
        let anchor = self.anchors.entry(group).or_insert_with(|| to.clone());
        anchor.path == to.path || node(anchor).is_some() && node(anchor) == node(to)
    }

    /// Whether a tree is a copy of another one already: both have the same in them.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn is_copy(&mut self, source: &Target, copy: &Target) -> Result<bool, StepError> {
        let mut ahead = vec![(source.clone(), copy.clone())];
        let mut any = false;
        let mut seen = HashSet::new();
        while let Some((source, copy)) = ahead.pop() {
            let owners = self.keeps_owners(&copy.volume);
            if source.kind != copy.kind || owners && self.owned(&source)? != self.owned(&copy)? {
                return Ok(false);
            }
            let same = match source.kind {
                Some(Kind::File) => {
                    let size = self.size(&source)?;
                    size == self.size(&copy)? && {
                        let content = self.content_of(&source)?;
                        self.holds(&copy, size, content.digest())?
                    }
                }
                Some(Kind::Symlink) => self.link(&source)? == self.link(&copy)?,
                Some(Kind::Directory) if is_again(&mut seen, &source) => false,
                Some(Kind::Directory) => {
                    let children = self.children(&source)?;
                    if children.len() != self.children(&copy)?.len() {
                        return Ok(false);
                    }
                    for child in children {
                        any = true;
                        let Some(name) = child.path.name() else { continue };
                        match self.at(&copy.path.join(name), false)? {
                            Some(other) => ahead.push((child, other)),
                            None => return Ok(false),
                        }
                    }
                    true
                }
                _ => self.device(&source)? == self.device(&copy)?,
            };
            if !same {
                return Ok(false);
            }
        }
        // Of an empty directory nothing but its time tells.
        let time = self.extra(source)?.mtime.filter(is_kept);
        Ok(any || time.is_none() || time == self.extra(copy)?.mtime)
    }

    /// What a regular file will hold.
    fn content_of(&self, target: &Target) -> Result<Content, StepError> {
        if let Some(content) = self.new_content(target) {
            return Ok(content.clone());
        }
        let (Some(place), Some(stat)) = (&target.place, self.stat(target)?) else {
            return Ok(Vec::new().into());
        };
        let digest = before::of_content(&**place.fs(), place.node, stat.size)
            .map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(Content::Guest(GuestContent {
            volume: place.volume.clone(),
            file: self.physical(target),
            length: stat.size,
            digest,
        }))
    }

    pub(super) fn stat(&self, target: &Target) -> Result<Option<Stat>, StepError> {
        let stat = target.place.as_ref().map(|place| place.stat()).transpose();
        stat.map_err(|error| StepError::Fs(target.path.clone(), error))
    }

    pub(super) fn device(&self, target: &Target) -> Result<(u32, u32), StepError> {
        if let Some(After::Special { device, .. }) =
            self.pending.get(&target.path).map(|pending| &pending.after)
        {
            return Ok(*device);
        }
        Ok(self.stat(target)?.and_then(|stat| stat.device).unwrap_or_default())
    }

    /// Times and extended attributes as the steps so far will leave them; times that this run sets
    /// are left out.
    pub(super) fn extra(&self, target: &Target) -> Result<Extra, StepError> {
        let mut extra = Extra::default();
        let pending = self.pending.get(&target.path);
        let made = pending.and_then(|it| it.extra.as_ref());
        let kept = pending.is_none_or(Pending::keeps);
        if let (true, Some(place), Some(stat)) = (kept, &target.place, self.stat(target)?) {
            let failed = |error| StepError::Fs(target.path.clone(), error);
            extra.xattrs = place.xattrs().map_err(failed)?;
            extra.mtime = Some(stat.mtime).filter(|_| self.new_content(target).is_none());
            extra.atime = Some(stat.atime);
        }
        if let Some(made) = made {
            (extra.mtime, extra.atime) = (made.mtime, made.atime);
            extra.xattrs.retain(|it| {
                made.xattrs.iter().all(|new| new.name != it.name)
                    && !made.without.contains(&it.name.as_str())
            });
            extra.xattrs.extend(made.xattrs.iter().cloned());
        }
        if target.kind == Some(Kind::Directory) && self.changes_in(&target.path) {
            extra.mtime = None;
        }
        Ok(extra)
    }

    /// Whether names come into a directory or go from it.
    fn changes_in(&self, dir: &GuestPath) -> bool {
        let below = self.pending.range(dir.clone()..).take_while(|(path, _)| path.starts_with(dir));
        below
            .filter(|(path, _)| path.parent().as_ref() == Some(dir))
            .any(|(_, it)| it.from.is_some() || !it.keeps())
    }

    /// Sets times and extended attributes, where they are not so.
    fn set_extra(&mut self, target: &Target, mut extra: Extra, why: &str) -> Result<(), StepError> {
        extra.mtime = extra.mtime.filter(is_kept);
        extra.atime = extra.atime.filter(is_kept);
        let (Some(now), Some(kind)) = (self.owned(target)?, target.kind) else { return Ok(()) };
        let was = self.extra(target)?;
        let seconds = |extra: &Extra| extra.mtime.map(|it| it.seconds);
        let same_time = extra.mtime.is_none() || seconds(&extra) == seconds(&was);
        let has = |name: &str| was.xattrs.iter().any(|it| it.name == name);
        if same_time
            && extra.xattrs.iter().all(|it| was.xattrs.contains(it))
            && !extra.without.iter().any(|name| has(name))
        {
            return Ok(());
        }
        let sets = extra.xattrs.iter().filter(|it| !was.xattrs.contains(it));
        let change = MetaChange {
            mtime: extra.mtime,
            xattrs: sets.map(|it| (it.name.clone(), Some(it.value.clone()))).collect(),
            ..MetaChange::default()
        };
        if !self.can_store(target, &Storing::Meta(self.node(target), kind, &change))? {
            return Ok(());
        }
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        let after = match self.pending.get(&target.path) {
            Some(pending) => pending.after.clone(),
            None => After::Same { kind, owned: now },
        };
        self.put(target, original, after, why.to_owned())?;
        if let Some(pending) = self.pending.get_mut(&target.path) {
            if let Some(earlier) = pending.extra.take() {
                let set = |name: &str| extra.xattrs.iter().any(|it| it.name == name);
                let without: Vec<_> =
                    earlier.without.into_iter().filter(|name| !set(name)).collect();
                let kept =
                    |it: &Xattr| !set(&it.name) && !extra.without.contains(&it.name.as_str());
                let xattrs: Vec<_> = earlier.xattrs.into_iter().filter(kept).collect();
                extra.without.extend(without);
                extra.xattrs.extend(xattrs);
            }
            pending.extra = Some(extra);
        }
        Ok(())
    }
}

/// Whether a time can be set anywhere: ext4's small inodes end in 2038, and the reader that proves the
/// result takes none before 1970. Another becomes that of the run.
pub(super) fn is_kept(time: &Timestamp) -> bool {
    (0..=i64::from(i32::MAX)).contains(&time.seconds)
}

/// Whether a directory was met before: a hostile tree may be none.
fn is_again(seen: &mut HashSet<(VolumeId, Node)>, dir: &Target) -> bool {
    let node = dir.place.as_ref().map(|place| (place.volume.clone(), place.node));
    node.is_some_and(|node| !seen.insert(node))
}
