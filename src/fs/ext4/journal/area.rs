//! Where the journal's blocks are on the device.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::superblock::{JournalSuperblock, LEN};
use crate::block::{ReadBlocks, WriteBlocks};
use crate::fs::FsError;
use crate::fs::ext4::features::compat;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::map::{self, Mapped, Run};
use crate::fs::ext4::source::{DeviceSource, Source, read_inode};
use crate::fs::ext4::superblock::Superblock;

/// The most pieces a journal may lie in: mke2fs and resize2fs make a handful, an ancient journal
/// file on a full ext3 perhaps thousands.
const MAX_RUNS: usize = 1 << 20;

/// The journal's file, read off a device.
pub struct JournalArea {
    /// Ascending and without a hole, from the journal's block 0.
    runs: Vec<Run>,
    /// First block and length of each run, ascending by where it lies.
    by_place: Vec<(u64, u64)>,
    block_size: u64,
    superblock: JournalSuperblock,
}

impl JournalArea {
    /// Finds the journal; `None` where the filesystem has none.
    ///
    /// # Errors
    /// `Unsupported` when it is on another device or has features we do not know; `Corrupt`.
    pub fn open(
        device: &Arc<dyn ReadBlocks>,
        superblock: &Superblock,
    ) -> Result<Option<Self>, FsError> {
        if !superblock.has_compat(compat::HAS_JOURNAL) {
            return Ok(None);
        }
        if superblock.journal_inode() == 0 {
            return Err(FsError::unsupported("a journal on another device"));
        }
        let source = DeviceSource::new(Arc::clone(device), superblock.clone());
        let inode = read_inode(&source, superblock.journal_inode())?;
        let runs = runs(&source, &inode)?;
        let block_size = u64::from(superblock.block_size());
        let blocks = runs.iter().map(|run| run.blocks).sum();
        let mut raw = vec![0; LEN];
        let first = runs.first().ok_or_else(|| inode.corrupt("journal", "it has no block"))?;
        device.read_at(first.physical * block_size, &mut raw)?;
        let superblock = JournalSuperblock::from_bytes(&raw, superblock.block_size(), blocks)?;
        let mut by_place: Vec<_> = runs.iter().map(|run| (run.physical, run.blocks)).collect();
        by_place.sort_unstable();
        Ok(Some(Self { runs, by_place, block_size, superblock }))
    }

    /// The journal's own superblock.
    pub fn superblock(&self) -> &JournalSuperblock {
        &self.superblock
    }

    /// The journal's own superblock, to change it.
    pub fn superblock_mut(&mut self) -> &mut JournalSuperblock {
        &mut self.superblock
    }

    /// Every run of the journal's file.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes a block has.
    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Whether a block of the filesystem is the journal's.
    pub(super) fn holds(&self, block: u64) -> bool {
        let after = self.by_place.partition_point(|&(physical, _)| physical <= block);
        let run = after.checked_sub(1).and_then(|index| self.by_place.get(index));
        run.is_some_and(|&(physical, blocks)| block - physical < blocks)
    }

    /// Byte offset on the device of one of the journal's blocks.
    pub(super) fn at(&self, block: u32) -> Result<u64, FsError> {
        let logical = u64::from(block);
        let after = self.runs.partition_point(|run| run.logical <= logical);
        after
            .checked_sub(1)
            .and_then(|index| self.runs.get(index))
            .filter(|run| logical < run.logical + run.blocks)
            .map(|run| (run.physical + logical - run.logical) * self.block_size)
            .ok_or_else(|| {
                FsError::corrupt("journal", format_args!("journal block {block}"), "no such block")
            })
    }

    /// Writes the journal's own superblock.
    pub(super) fn write_superblock(&self, device: &dyn WriteBlocks) -> Result<(), FsError> {
        Ok(device.write_at(self.at(0)?, &self.superblock.to_bytes())?)
    }
}

fn runs(source: &dyn Source, inode: &Inode) -> Result<Vec<Run>, FsError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut next = 0;
    let mut problem = None;
    map::walk(source, inode, map::WHOLE, &mut |mapped| {
        let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
        if run.logical != next {
            problem = Some(format!("a hole at block {next}"));
        } else if runs.len() == MAX_RUNS {
            problem = Some(format!("more than {MAX_RUNS} pieces"));
        }
        if problem.is_some() {
            return ControlFlow::Break(());
        }
        next = run.logical + run.blocks;
        match runs.last_mut() {
            Some(last) if last.physical + last.blocks == run.physical => last.blocks += run.blocks,
            _ => runs.push(run),
        }
        ControlFlow::Continue(())
    })?;
    match problem {
        Some(problem) => Err(inode.corrupt("journal", problem)),
        None => Ok(runs),
    }
}
