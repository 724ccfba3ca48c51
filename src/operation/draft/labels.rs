//! SELinux labels of what is made: those that the guest's own policy gives the paths.

use super::pending::{After, is_content};
use super::{Draft, Owned, Pending};
use crate::fs::{Kind, Stat, Xattr};
use crate::guest::selinux::Policy;
use crate::operation::step::StepError;
use crate::path::GuestPath;

/// The attribute that holds a label, with a NUL at its end (SELinux's `XATTR_NAME_SELINUX`).
const LABEL: &str = "security.selinux";

/// What holds a signature or digest of a file's content (the kernel's IMA).
const CONTENT_SIGNATURE: &str = "security.ima";

/// The same of its owner, mode and security attributes, that of the content included (EVM).
const SIGNATURE: &str = "security.evm";

/// How many paths are told one by one.
const TOLD: usize = 20;

/// What became of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// How many new objects got one.
    pub given: u64,
    /// How many got none, and why, with the first paths.
    pub without: u64,
    /// Those of them that are told.
    pub without_paths: Vec<GuestPath>,
    /// Why they got none.
    pub why: Option<String>,
    /// Files that change and are signed: the signature is of what they held.
    pub signed: Vec<GuestPath>,
}

impl Pending {
    /// Whether an object is made that is not there yet.
    fn makes(&self) -> Result<bool, StepError> {
        if self.from.is_some() {
            return Ok(false);
        }
        let Some(original) = self.original.as_ref().filter(|_| !self.left) else {
            return Ok(self.after.kind().is_some());
        };
        Ok(match &self.after {
            After::Absent | After::Wiped { .. } | After::Same { .. } => false,
            After::File { .. } => original.stat.kind != Kind::File || self.group.is_some(),
            After::Symlink { target, .. } if original.stat.kind == Kind::Symlink => {
                let failed = |error| StepError::Fs(original.place.path.clone(), error);
                original.place.link_target().map_err(failed)? != *target
            }
            _ => true,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.extra.as_ref().is_some_and(|it| it.xattrs.iter().any(|it| it.name == name))
    }
}

impl Draft<'_> {
    /// Gives everything that is made the label of its path, where the guest has a policy: nothing
    /// has to be labelled anew at the next boot.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn give_labels(&mut self) -> Result<Labels, StepError> {
        let mut labels = Labels { signed: self.signed()?, ..Labels::default() };
        let mut new: Vec<(GuestPath, Kind)> = Vec::new();
        for (path, pending) in &self.pending {
            if let Some(kind) = pending.after.kind()
                && pending.makes()?
                && !pending.has(LABEL)
                && self.keeps_owners(&pending.volume)
            {
                new.push((path.clone(), kind));
            }
        }
        if new.is_empty() {
            return Ok(labels);
        }
        let policy = match Policy::read(self) {
            Policy::Off => return Ok(labels),
            Policy::Unusable(why) => {
                labels.without = new.len() as u64;
                labels.without_paths = new.into_iter().take(TOLD).map(|it| it.0).collect();
                labels.why = Some(why);
                return Ok(labels);
            }
            Policy::Labels(contexts) => contexts,
        };
        for (path, kind) in new {
            let label = match policy.label(&path, kind) {
                Ok(Some(label)) => label,
                Ok(None) => continue,
                Err(unknown) => {
                    labels.without += 1;
                    labels.why.get_or_insert_with(|| unknown.to_string());
                    if labels.without_paths.len() < TOLD {
                        labels.without_paths.push(path);
                    }
                    continue;
                }
            };
            let value = [label.as_bytes(), b"\0"].concat();
            if let Some(pending) = self.pending.get_mut(&path) {
                let extra = pending.extra.get_or_insert_default();
                extra.xattrs.push(Xattr { name: LABEL.to_owned(), value });
                extra.xattrs.sort();
                labels.given += 1;
            }
        }
        Ok(labels)
    }

    /// Files that change in what is signed of them.
    fn signed(&self) -> Result<Vec<GuestPath>, StepError> {
        let mut signed = Vec::new();
        for (path, pending) in &self.pending {
            let Some(original) = pending.object().filter(|it| it.stat.kind == Kind::File) else {
                continue;
            };
            let (content, wiped) = match &pending.after {
                After::File { content, .. } => (content.as_ref(), false),
                After::Wiped { .. } => (None, true),
                After::Same { .. } => (None, false),
                _ => continue,
            };
            let Stat { mode, uid, gid, .. } = original.stat;
            let other_owner = pending.after.owned() != Some(Owned { mode, uid, gid });
            if !(content.is_some() || wiped || other_owner) {
                continue;
            }
            let failed = |error| StepError::Fs(path.clone(), error);
            let xattrs = original.place.xattrs().map_err(failed)?;
            let has = |name: &str| xattrs.iter().any(|it| it.name == name);
            let (of_content, of_all) = (has(CONTENT_SIGNATURE), has(SIGNATURE));
            if !(of_content || of_all) {
                continue;
            }
            let same = match content {
                Some(content) => {
                    pending.keeps() && is_content(original, content).map_err(failed)?
                }
                None => !wiped,
            };
            if same && !(of_all && other_owner) {
                continue;
            }
            signed.push(path.clone());
        }
        Ok(signed)
    }
}
