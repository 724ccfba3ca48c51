//! The block maps of ext2 and ext3: direct, indirect, double and triple indirect blocks
//! ([ext4 disk layout, "Direct/Indirect Block Addressing"](https://docs.kernel.org/filesystems/ext4/dynamic.html#direct-indirect-block-addressing)).

use std::ops::{ControlFlow, Range};

use super::inode::Inode;
use super::map::{Budget, Mapped, Run, Visit};
use super::raw::u32_at;
use super::source::Source;
use crate::fs::FsError;

/// How many blocks `i_block` names itself.
pub const DIRECT: usize = 12;

/// Shows what touches `range`; neighbours on the device come as one run.
pub(super) fn walk(
    source: &dyn Source,
    inode: &Inode,
    range: &Range<u64>,
    budget: &mut Budget,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, FsError> {
    let area = inode.block_area();
    let per_block = u64::from(source.superblock().block_size()) / 4;
    let mut map = Map { source, range, budget, visit, per_block, pending: None };
    for slot in 0..DIRECT {
        if map.data(slot as u64, u32_at(area, 4 * slot))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    let mut logical = DIRECT as u64;
    let mut span = 1;
    for level in 1..=3 {
        span *= per_block;
        let block = u32_at(area, 4 * (DIRECT + level - 1));
        if map.indirect(logical, block, span)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        logical += span;
    }
    map.flush()
}

struct Map<'a, 'v> {
    source: &'a dyn Source,
    range: &'a Range<u64>,
    budget: &'a mut Budget,
    visit: Visit<'v>,
    per_block: u64,
    pending: Option<Run>,
}

impl Map<'_, '_> {
    fn flush(&mut self) -> Result<ControlFlow<()>, FsError> {
        Ok(match self.pending.take() {
            Some(run) => (self.visit)(Mapped::Run(run)),
            None => ControlFlow::Continue(()),
        })
    }

    /// One block of content, 0 for a hole.
    fn data(&mut self, logical: u64, block: u32) -> Result<ControlFlow<()>, FsError> {
        if block == 0 || !self.range.contains(&logical) {
            return Ok(ControlFlow::Continue(()));
        }
        let physical = u64::from(block);
        self.budget.take(physical, 1)?;
        if let Some(run) = &mut self.pending
            && run.logical + run.blocks == logical
            && run.physical + run.blocks == physical
        {
            run.blocks += 1;
            return Ok(ControlFlow::Continue(()));
        }
        let flow = self.flush()?;
        self.pending = Some(Run { logical, physical, blocks: 1, written: true });
        Ok(flow)
    }

    /// A block of block numbers that maps `span` blocks from `logical`, 0 for a hole.
    fn indirect(
        &mut self,
        logical: u64,
        block: u32,
        span: u64,
    ) -> Result<ControlFlow<()>, FsError> {
        if block == 0 || logical >= self.range.end || logical + span <= self.range.start {
            return Ok(ControlFlow::Continue(()));
        }
        let physical = u64::from(block);
        self.budget.take(physical, 1)?;
        // What was before it comes before it.
        if self.flush()?.is_break() || (self.visit)(Mapped::Metadata(physical)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let raw = self.source.block(physical)?;
        let child_span = span / self.per_block;
        for slot in 0..self.per_block {
            let child = u32_at(&raw, 4 * slot as usize);
            let logical = logical + slot * child_span;
            let flow = if child_span == 1 {
                self.data(logical, child)?
            } else {
                self.indirect(logical, child, child_span)?
            };
            if flow.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
