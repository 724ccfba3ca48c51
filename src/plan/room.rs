//! Whether what files are to hold fits: told before anything is made.

use std::collections::BTreeMap;
use std::fmt;

use crate::fs::FsError;
use crate::guest::Guest;
use crate::operation::{Action, Proposal, StepError};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// The longest file that takes no block of its own: ext4 keeps so much in an inode.
const SMALL: u64 = 60;

/// What files are to hold does not fit in a filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Its volume.
    pub volume: VolumeId,
    /// Where it is mounted.
    pub at: Option<GuestPath>,
    /// How many bytes of storage the files take, at least.
    pub needed: u64,
    /// How many are free or become free, at most.
    pub free: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { volume, at, needed, free } = self;
        write!(f, "{volume}")?;
        if let Some(at) = at {
            write!(f, " ({at})")?;
        }
        write!(
            f,
            ": the files to be written need {needed} bytes and {free} bytes are free; make room, or \
             write less"
        )
    }
}

/// How many bytes of storage the content of new files takes at least, in units of `block` bytes.
pub fn content_bytes<'a>(actions: impl IntoIterator<Item = &'a Action>, block: u64) -> u64 {
    let sizes = actions.into_iter().filter_map(|action| action.content()).map(|it| it.len());
    sizes.filter(|size| *size > SMALL).fold(0, |sum: u64, size| {
        sum.saturating_add(size.checked_next_multiple_of(block.max(1)).unwrap_or(size))
    })
}

/// The first filesystem that lacks room. Of what is needed the content of files alone is counted, and
/// all that may become free: what fits is never refused.
pub(super) fn missing(
    guest: &Guest,
    proposals: &[Proposal],
) -> Result<Option<NoRoom>, (VolumeId, StepError)> {
    let mut volumes: BTreeMap<&VolumeId, Vec<&Proposal>> = BTreeMap::new();
    for proposal in proposals {
        volumes.entry(&proposal.volume).or_default().push(proposal);
    }
    for (volume, proposals) in volumes {
        let actions = || proposals.iter().map(|it| &it.action);
        let frees = proposals.iter().fold(0, |sum: u64, it| sum.saturating_add(it.frees));
        // Each unit is larger than its content: most runs need no look at the filesystem.
        if content_bytes(actions(), 1) == 0 {
            continue;
        }
        let Some(mount) = guest.tree.mounts().iter().find(|it| it.volume == *volume) else {
            continue;
        };
        let failed = |error: FsError| (volume.clone(), StepError::Fs(mount.at.clone(), error));
        let Some(free) = mount.fs.most_free().map_err(failed)? else { continue };
        let needed = content_bytes(actions(), mount.fs.info().block_size.into());
        let free = free.saturating_add(frees);
        if needed > free {
            let at = Some(mount.at.clone());
            return Ok(Some(NoRoom { volume: volume.clone(), at, needed, free }));
        }
    }
    Ok(None)
}
