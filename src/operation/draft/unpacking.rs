//! Unpacking: what a tar file holds takes the place of what has its name, as tar(1) does it.

use super::copying::is_kept;
use super::{Draft, Extra, New, Owned, Target};
use crate::fs::{Kind, Xattr};
use crate::operation::step::StepError;

/// The label of SELinux: a file that takes the place of another one has it, too, because a guest
/// does not label anew by itself.
const LABEL: &str = "security.selinux";

impl Draft<'_> {
    /// Whether these are all the names of one object, which is on the disk as it would be made.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn is_unpacked(
        &mut self,
        names: &[Target],
        new: &New,
        owned: Owned,
        extra: &Extra,
    ) -> Result<bool, StepError> {
        let mut nodes = Vec::new();
        for name in names {
            // What an earlier step made or changed is not looked at: it goes.
            match &name.place {
                Some(place) if !self.pending.contains_key(&name.path) && name.kind.is_some() => {
                    nodes.push((&place.volume, place.node));
                }
                _ => return Ok(false),
            }
        }
        let Some(target) = names.first() else { return Ok(false) };
        let Some(stat) = self.stat(target)? else { return Ok(false) };
        nodes.dedup();
        if nodes.len() != 1 || usize::try_from(stat.links) != Ok(names.len()) || stat.encrypted {
            return Ok(false);
        }
        let same = match new {
            New::File(content) => self.holds(target, content.len(), content.digest())?,
            New::Symlink(link) => self.link_target(target)?.as_ref() == Some(link),
            New::Special(kind, device) => {
                target.kind == Some(*kind) && self.device(target)? == *device
            }
            New::Directory => false,
        };
        if !same || !self.keeps_owners(&target.volume) {
            return Ok(same);
        }
        let is = self.extra(target)?;
        let time = extra.mtime.filter(is_kept).map(|it| it.seconds);
        let labelled = extra.xattrs.iter().any(|it| it.name == LABEL);
        let mut xattrs = is.xattrs.clone();
        xattrs.retain(|it| labelled || it.name != LABEL);
        let mut wanted = extra.xattrs.clone();
        xattrs.sort();
        wanted.sort();
        Ok(self.owned(target)? == Some(owned)
            && time.is_none_or(|time| is.mtime.is_some_and(|it| it.seconds == time))
            && xattrs == wanted)
    }

    /// Makes an object in place of what has its name: a file is a new one, whatever other names the
    /// old one has; a link is not followed; an empty directory goes. A directory that is there
    /// stays, and is given owner and mode. `false` with a refusal where that cannot be.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn unpack(
        &mut self,
        to: &Target,
        new: New,
        owned: Owned,
        mut extra: Extra,
        group: Option<usize>,
        why: &str,
    ) -> Result<bool, StepError> {
        let stays = new == New::Directory && to.kind == Some(Kind::Directory);
        if stays || !self.keeps_owners(&to.volume) {
            return self.make(to, new, owned, extra, group, why);
        }
        if to.kind.is_some()
            && let Some(reason) = self.needed(to)
        {
            self.refuse(&to.path, reason);
            return Ok(false);
        }
        if to.kind == Some(Kind::Directory) && !self.children(to)?.is_empty() {
            self.refuse(&to.path, "a directory that is not empty is there");
            return Ok(false);
        }
        if matches!(new, New::File(_)) && to.kind == Some(Kind::File) {
            let label = self.label(to)?;
            if extra.xattrs.iter().all(|it| it.name != LABEL) {
                extra.xattrs.extend(label);
            }
        }
        let group = match new {
            // Without one it would be what is there, with other content.
            New::File(_) => group.or_else(|| Some(self.new_group())),
            _ => None,
        };
        let free = Target { kind: None, ..to.clone() };
        self.make(&free, new, owned, extra, group, why)
    }

    fn label(&self, target: &Target) -> Result<Option<Xattr>, StepError> {
        Ok(self.extra(target)?.xattrs.into_iter().find(|it| it.name == LABEL))
    }
}
