//! Taking everything out of a clean journal that ever went through it.

use std::sync::Arc;

use super::area::JournalArea;
use super::superblock::LEN;
use crate::block::{ReadBlocks, WriteBlocks};
use crate::fs::FsError;
use crate::fs::ext4::features::incompat;
use crate::fs::ext4::superblock::Superblock;

/// Zeroes all blocks of the journal but its superblock, and marks it as clean; gives how many
/// bytes it zeroed (0 without a journal). The kernel mounts it and starts a new log.
///
/// # Errors
/// `Corrupt` when it still has to be replayed, or is wrong; `Unsupported` as
/// [`JournalArea::open`].
pub fn wipe(device: &Arc<dyn WriteBlocks>) -> Result<u64, FsError> {
    let readable: Arc<dyn ReadBlocks> = Arc::<dyn WriteBlocks>::clone(device);
    let superblock = Superblock::read(&*readable)?;
    if superblock.has_incompat(incompat::NEEDS_RECOVERY) {
        return Err(FsError::corrupt("journal", "superblock", "it was not replayed"));
    }
    let Some(mut area) = JournalArea::open(&readable, &superblock)? else { return Ok(0) };
    let sequence = area.superblock().sequence();
    area.superblock_mut().set_clean(sequence);
    area.write_superblock(&**device)?;
    let block_size = area.block_size();
    let mut zeroed = 0;
    for run in area.runs() {
        let mut at = run.physical * block_size;
        let mut len = run.blocks * block_size;
        if run.logical == 0 {
            at += LEN as u64;
            len -= LEN as u64;
        }
        device.zero(at, len)?;
        zeroed += len;
    }
    Ok(zeroed)
}
