//! Changes of whole volumes, and what a guest has to do with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Draft;
use crate::block::BlockError;
use crate::fs::ReadFs;
use crate::guest::Swap;
use crate::operation::action::VolumeAction;
use crate::operation::step::StepError;
use crate::operation::volumes::{VolumeFacts, Volumes};
use crate::path::GuestPath;
use crate::volume::{BootCode, VolumeId};

/// The disk that a guest is on.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Its volumes.
    pub volumes: &'a Volumes,
    /// Which guest each volume belongs to, by its place in the plan.
    pub owners: &'a BTreeMap<VolumeId, u32>,
    /// Those that keep their UUID for the sake of something that names it, in whichever guest.
    pub kept: &'a BTreeSet<VolumeId>,
    /// This guest's place in the plan.
    pub guest: u32,
}

/// A change of a volume as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeProposal {
    /// Which volume.
    pub volume: VolumeId,
    /// Which operation asks for it, by its place in the run.
    pub by: usize,
    /// What is done.
    pub action: VolumeAction,
    /// Which argument asks for it.
    pub why: String,
}

/// A volume that gets another UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// Which.
    pub(crate) volume: VolumeId,
    /// The UUID that it has.
    pub(crate) from: String,
    /// The one that it gets.
    pub(crate) to: String,
    /// It is this guest's: else the guest has to be told alone.
    pub(crate) mine: bool,
    /// It stays as it is, for the sake of something that is known to name it.
    pub(crate) kept: bool,
}

impl Draft<'_> {
    /// How many bytes a volume's filesystem has, used ones included.
    pub fn size_of(&self, volume: &VolumeId) -> Option<u64> {
        self.filesystem(volume).map(|fs| fs.info().size)
    }

    /// The volumes that are to get another UUID, those of other guests of the disk included. Which
    /// of this guest's cannot is noted.
    pub(crate) fn renewals(&mut self) -> Vec<Renewal> {
        let Surroundings { volumes, owners, guest, kept } = self.around;
        let mut renewals = Vec::new();
        for facts in &volumes.all {
            let Some(&owner) = owners.get(&facts.volume) else { continue };
            match volumes.renewal(facts) {
                Ok(None) => {}
                Ok(Some((from, to))) => renewals.push(Renewal {
                    volume: facts.volume.clone(),
                    from,
                    to,
                    mine: owner == guest,
                    kept: kept.contains(&facts.volume),
                }),
                Err(why) if owner == guest && facts.uuid.is_some() => {
                    let reason = format!("{} keeps its UUID: {why}", facts.volume);
                    self.refuse(&self.mount_point(&facts.volume), reason);
                }
                Err(_) => {}
            }
        }
        renewals
    }

    /// Says that a volume keeps its UUID, whichever guest's it is.
    pub(crate) fn keep_uuid(&mut self, volume: &VolumeId) {
        self.kept.insert(volume.clone());
    }

    /// What boot code the disk has outside its filesystems.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(crate) fn boot_code(&self) -> Result<Vec<BootCode>, StepError> {
        let failed = |error: BlockError| StepError::Fs(GuestPath::root(), error.into());
        self.around.volumes.boot_code().map_err(failed)
    }

    /// Where a volume is mounted; the root where it is not.
    pub fn mount_point(&self, volume: &VolumeId) -> GuestPath {
        let mounts = self.guest.tree.mounts().iter();
        let mut at = mounts.filter(|it| it.volume == *volume).map(|it| it.at.clone());
        at.next().unwrap_or_default()
    }

    /// The swap areas that fill volumes of this guest.
    pub fn swap_volumes(&self) -> Vec<(VolumeId, Swap)> {
        let Surroundings { volumes, owners, guest, .. } = self.around;
        let mine = |it: &&VolumeFacts| owners.get(&it.volume) == Some(&guest);
        let swap = |it: &VolumeFacts| Some((it.volume.clone(), it.swap.clone()?));
        volumes.all.iter().filter(mine).filter_map(swap).collect()
    }

    /// The filesystems of the disk that no guest mounts.
    pub fn unmounted(&self) -> Vec<(VolumeId, Arc<dyn ReadFs>)> {
        let Surroundings { volumes, owners, .. } = self.around;
        let unmounted = |it: &&VolumeFacts| !owners.contains_key(&it.volume);
        let opened = |it: &VolumeFacts| Some((it.volume.clone(), it.fs.clone()?));
        volumes.all.iter().filter(unmounted).filter_map(opened).collect()
    }

    /// Changes a volume as a whole.
    pub fn change_volume(
        &mut self,
        volume: VolumeId,
        action: VolumeAction,
        why: impl Into<String>,
    ) {
        let proposal = VolumeProposal { volume, by: self.by, action, why: why.into() };
        // Of several that ask for the same, the first is told.
        if !self
            .volumes
            .iter()
            .any(|it| it.volume == proposal.volume && it.action == proposal.action)
        {
            self.volumes.push(proposal);
        }
    }
}
