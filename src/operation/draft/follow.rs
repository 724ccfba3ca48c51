//! Where a found path leads: to itself, or to what a symlink points at inside the guest.

use super::pending::After;
use super::{Draft, Target};
use crate::fs::Kind;
use crate::operation::step::StepError;
use crate::path::escape;

impl Draft<'_> {
    /// The file that a found path leads to: itself, or what a symlink points at inside the guest.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn followed(&self, target: Target) -> Result<Option<Target>, StepError> {
        if target.kind != Some(Kind::Symlink) {
            return Ok(Some(target));
        }
        let found = self.at(&target.path, true)?;
        Ok(found.map(|found| Target { matched: target.matched, ..found }))
    }

    pub(super) fn link(&self, target: &Target) -> Result<Vec<u8>, StepError> {
        match self.pending.get(&target.path).map(|pending| &pending.after) {
            Some(After::Symlink { target, .. }) => Ok(target.clone()),
            _ => match &target.place {
                Some(place) => {
                    place.link_target().map_err(|error| StepError::Fs(target.path.clone(), error))
                }
                None => Ok(Vec::new()),
            },
        }
    }

    /// A symlink's target as the steps so far will leave it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn link_target(&self, target: &Target) -> Result<Option<Vec<u8>>, StepError> {
        if target.kind != Some(Kind::Symlink) {
            return Ok(None);
        }
        self.link(target).map(Some)
    }

    /// Whether a path is a symlink to what each boot makes anew, which no image holds.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn is_made_at_boot(&self, target: &Target) -> Result<bool, StepError> {
        Ok(self.link_target(target)?.as_deref().is_some_and(is_volatile))
    }

    /// The regular file that a found path is or leads to. Where it is none although the step names
    /// the path itself and not by a wildcard, that is noted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn file(&mut self, target: Target) -> Result<Option<Target>, StepError> {
        self.leading_to(target, Some(Kind::File), false)
    }

    /// The same of one that had to be dealt with: where it is no regular file, it is noted that what
    /// is there stays in every clone.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn file_that_matters(&mut self, target: Target) -> Result<Option<Target>, StepError> {
        self.leading_to(target, Some(Kind::File), true)
    }

    /// The directory that a found path is or leads to; otherwise as [`file`](Self::file).
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn directory(&mut self, target: Target) -> Result<Option<Target>, StepError> {
        self.leading_to(target, Some(Kind::Directory), false)
    }

    /// What a found path is or leads to, whatever it is; otherwise as [`file`](Self::file).
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn anything(&mut self, target: Target) -> Result<Option<Target>, StepError> {
        self.leading_to(target, None, false)
    }

    fn leading_to(
        &mut self,
        target: Target,
        wanted: Option<Kind>,
        stays: bool,
    ) -> Result<Option<Target>, StepError> {
        let (path, is) = (target.path.clone(), target.kind);
        let by_wildcard = target.matched.contains(['*', '?', '[', '{']);
        let link = self.link_target(&target)?;
        let found = self.followed(target)?;
        let kind = match found {
            Some(found) if found.kind.is_some() && wanted.is_none_or(|_| found.kind == wanted) => {
                return Ok(Some(found));
            }
            found => found.and_then(|found| found.kind),
        };
        if by_wildcard || link.as_deref().is_some_and(is_volatile) {
            return Ok(None);
        }
        let reason = match (link, kind) {
            (Some(link), None) => {
                format!("a symlink to '{}', which leads nowhere in the guest", escape(&link))
            }
            (Some(link), Some(kind)) => {
                format!("a symlink to '{}', which is {}", escape(&link), words(kind))
            }
            (None, _) => {
                let wanted = wanted.map_or("anything", words);
                format!("{}, not {wanted}", is.map_or("nothing", words))
            }
        };
        self.refuse_as(&path, reason, stays);
        Ok(None)
    }
}

/// Whether a symlink points at what each boot makes anew: nothing of it is in an image.
fn is_volatile(link: &[u8]) -> bool {
    let mut rest = link;
    while let Some(up) = rest.strip_prefix(b"../") {
        rest = up;
    }
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    rest.strip_prefix(b"var/").unwrap_or(rest).starts_with(b"run/")
}

/// A kind of object, for people.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a regular file",
        Kind::Directory => "a directory",
        Kind::Symlink => "a symlink",
        Kind::BlockDevice | Kind::CharDevice => "a device",
        Kind::Fifo => "a fifo",
        Kind::Socket => "a socket",
    }
}
