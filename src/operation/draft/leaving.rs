//! Taking back a removal that the steps ask for.

use super::pending::{After, Pending};
use super::{Draft, Kept};
use crate::fs::Kind;
use crate::operation::step::StepError;
use crate::path::GuestPath;

/// Something that goes, with all that is below.
#[derive(Clone, Debug)]
pub struct Going {
    /// Where.
    pub path: GuestPath,
    /// What it is.
    pub kind: Kind,
    /// The operations that ask for it, by their place in the run.
    pub by: Vec<usize>,
}

impl Draft<'_> {
    /// What goes as the steps so far will leave the guest.
    pub fn going(&self) -> Vec<Going> {
        let going = |(path, pending): (&GuestPath, &Pending)| {
            let original = pending.original.as_deref().filter(|_| !pending.left)?;
            let goes = pending.after == After::Absent && pending.from.is_none();
            let (kind, by) = (original.stat.kind, pending.by.clone());
            goes.then(|| Going { path: path.clone(), kind, by })
        };
        self.pending.iter().filter_map(going).collect()
    }

    /// Has one of these stay, and notes why.
    pub fn has_stay(&mut self, going: &Going, reason: &str) {
        if self.pending.remove(&going.path).is_some() {
            self.note_for(going, reason);
        }
    }

    /// Has a directory among these stay, with owner and mode; what is in it goes, which is noted where
    /// there is something.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn has_stay_empty(&mut self, going: &Going, reason: &str) -> Result<(), StepError> {
        let Some(removed) = self.pending.remove(&going.path) else { return Ok(()) };
        let Some(original) = removed.original else { return Ok(()) };
        let Some(dir) = self.target(original.place, "")? else { return Ok(()) };
        let children = self.children(&dir)?;
        for child in &children {
            self.remove(child, &Kept::default())?;
            if let Some(pending) = self.pending.get_mut(&child.path) {
                pending.by.clone_from(&removed.by);
                pending.why.clone_from(&removed.why);
            }
        }
        if !children.is_empty() {
            self.note_for(going, reason);
        }
        Ok(())
    }

    fn note_for(&mut self, going: &Going, reason: &str) {
        let running = self.by;
        for &by in &going.by {
            self.by = by;
            self.refuse(&going.path, reason);
        }
        self.by = running;
    }
}
