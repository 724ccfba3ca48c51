//! What the steps of a run come to.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::pending::After;
use super::{Draft, Proposal, Refused, Told, Unsettled, VolumeProposal, removal};
use crate::fs::{FsError, Kind};
use crate::operation::action::Action;
use crate::operation::step::StepError;
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// What all steps together come to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// Every change, by path.
    pub proposals: Vec<Proposal>,
    /// Every change of a volume as a whole, in the order they were asked for.
    pub volumes: Vec<VolumeProposal>,
    /// Volumes that keep their UUIDs, those of other guests included.
    pub kept: BTreeSet<VolumeId>,
    /// What is left alone.
    pub refused: Vec<Refused>,
    /// Secrets in files that stay.
    pub found: Vec<Told>,
    /// What the next run would change again.
    pub unsettled: Vec<Unsettled>,
}

impl Draft<'_> {
    /// Whether nothing of the file's content will be left.
    pub(super) fn goes(&self, path: &GuestPath) -> bool {
        match self.pending.get(path).map(|pending| &pending.after) {
            Some(After::File { content: Some(content), .. }) => content.is_empty(),
            Some(after) => after.kind() != Some(Kind::File),
            None => self.hidden(path),
        }
    }

    /// What the steps come to, changes by path. Changes that undo each other are none; what
    /// shows at two paths is changed once.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn finish(mut self) -> Result<Drafted, StepError> {
        // A later step may have taken the file away.
        let mut found = std::mem::take(&mut self.found);
        found.retain(|told| !self.goes(&told.finding.path));
        let mut unsettled = std::mem::take(&mut self.unsettled);
        unsettled.retain(|it| !self.goes(&it.path));
        let mut proposals: Vec<Proposal> = Vec::new();
        let mut places: HashMap<(VolumeId, GuestPath), usize> = HashMap::new();
        let mut files: HashMap<(VolumeId, u64), usize> = HashMap::new();
        let mut refused = std::mem::take(&mut self.refused);
        let mut firsts = HashMap::new();
        for (group, anchor) in std::mem::take(&mut self.anchors) {
            // A later step may have taken it away.
            if self.at(&anchor.path, false)?.is_some_and(|it| it.kind == Some(Kind::File)) {
                firsts.insert((group, anchor.volume), anchor.fs_path);
            }
        }
        for (path, pending) in self.pending {
            let node = pending.object().map(|original| original.place.node.0);
            let several = pending.object().is_some_and(|it| it.stat.links > 1);
            let failed = |error: FsError| StepError::Fs(path.clone(), error);
            let group = pending.group;
            let Some(mut proposal) = pending.into_proposal(&path).map_err(failed)? else {
                continue;
            };
            if let (Some(group), Action::CreateFile { replaces, .. }) = (group, &proposal.action) {
                match firsts.entry((group, proposal.volume.clone())) {
                    Entry::Occupied(first) => {
                        let (to, replaces) = (first.get().clone(), *replaces);
                        proposal.action = Action::CreateLink { to, replaces };
                    }
                    Entry::Vacant(first) => {
                        first.insert(proposal.fs_path.clone());
                    }
                }
            }
            let place = (proposal.volume.clone(), proposal.fs_path.clone());
            let mut earlier = places.get(&place).copied();
            // Content and metadata belong to the file, whichever of its names led to it.
            if let (true, Some(node), None) = (several && proposal.is_update(), node, earlier) {
                let file = (proposal.volume.clone(), node);
                earlier = files.get(&file).copied();
                files.entry(file).or_insert(proposals.len());
            }
            match earlier.and_then(|index| proposals.get_mut(index)) {
                Some(same) if same.action == proposal.action => same.attribute(&proposal.by),
                Some(other) => {
                    let reason = format!("the same file as {}, which is to differ", other.path);
                    for by in proposal.by {
                        let (path, reason) = (path.clone(), reason.clone());
                        refused.push(Refused { by, path, reason, stays: true });
                    }
                }
                None => {
                    places.insert(place, proposals.len());
                    proposals.push(proposal);
                }
            }
        }
        let (proposals, refused) = removal::once(proposals, refused);
        unsettled.retain(|it| proposals.iter().any(|proposal| proposal.path == it.path));
        let (volumes, kept) = (self.volumes, self.kept);
        Ok(Drafted { proposals, volumes, kept, refused, found, unsettled })
    }
}
