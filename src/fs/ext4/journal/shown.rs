//! A device on which logged blocks are read from the journal.

use std::sync::Arc;

use super::log::MAGIC;
use crate::block::{BlockError, Extent, ReadBlocks, check_range};

/// A block's copy in the journal. A journal of 1 GiB has a quarter of a million of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockCopy {
    /// The block where it belongs.
    pub(super) block: u64,
    /// Byte offset of the copy on the device, which is even, and [`ESCAPED`].
    at: u64,
}

/// The copy's first four bytes were the magic number and are zero in the journal.
const ESCAPED: u64 = 1;

impl BlockCopy {
    /// The copy at byte `at` of the device of the block that belongs at `block`.
    pub(super) fn new(block: u64, at: u64, escaped: bool) -> Self {
        Self { block, at: at & !ESCAPED | if escaped { ESCAPED } else { 0 } }
    }

    /// Reads the block as it was logged.
    pub(super) fn read(&self, device: &dyn ReadBlocks, block: &mut [u8]) -> Result<(), BlockError> {
        self.read_part(device, 0, block)
    }

    /// Reads the block from its byte `from` on.
    fn read_part(
        &self,
        device: &dyn ReadBlocks,
        from: u64,
        dst: &mut [u8],
    ) -> Result<(), BlockError> {
        device.read_at((self.at & !ESCAPED) + from, dst)?;
        if self.at & ESCAPED != 0 {
            let magic = MAGIC.to_be_bytes();
            let missing = magic.iter().skip(from.min(4) as usize);
            dst.iter_mut().zip(missing).for_each(|(byte, magic)| *byte = *magic);
        }
        Ok(())
    }
}

/// See the [module](self).
pub(super) struct Shown {
    device: Arc<dyn ReadBlocks>,
    block_size: u64,
    /// Ascending by the block where they belong, one of each.
    copies: Vec<BlockCopy>,
}

impl Shown {
    /// `copies` lie on the device, and so do the blocks that they belong in; they are ascending by
    /// these, one of each.
    pub(super) fn new(
        device: Arc<dyn ReadBlocks>,
        block_size: u64,
        copies: Vec<BlockCopy>,
    ) -> Self {
        Self { device, block_size, copies }
    }

    /// How many bytes from `at` on are not shown from the journal, up to `most`.
    fn gap(&self, at: u64, most: u64) -> u64 {
        let first = at.div_ceil(self.block_size);
        let next = self.copies.get(self.copies.partition_point(|copy| copy.block < first));
        next.map_or(most, |copy| (copy.block * self.block_size - at).min(most))
    }

    fn copy(&self, block: u64) -> Option<&BlockCopy> {
        let at = self.copies.binary_search_by_key(&block, |copy| copy.block).ok()?;
        self.copies.get(at)
    }
}

impl ReadBlocks for Shown {
    fn len(&self) -> u64 {
        self.device.len()
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.len())?;
        let (mut at, mut dst) = (at, dst);
        while !dst.is_empty() {
            let (block, from) = (at / self.block_size, at % self.block_size);
            let copy = self.copy(block);
            let len = match copy {
                Some(_) => (self.block_size - from).min(dst.len() as u64),
                None => self.gap(at, dst.len() as u64),
            };
            let (now, later) = dst.split_at_mut(len as usize);
            match copy {
                Some(copy) => copy.read_part(&*self.device, from, now)?,
                None => self.device.read_at(at, now)?,
            }
            dst = later;
            at += len;
        }
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        let (block, from) = (at / self.block_size, at % self.block_size);
        if self.copy(block).is_some() {
            return Ok(Extent::Data(self.block_size - from));
        }
        let extent = self.device.extent_at(at)?;
        Ok(extent.at_most(self.gap(at, extent.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Memory;

    #[test]
    fn every_part_reads_as_what_a_replay_writes() {
        let bytes: Vec<u8> = (0..8 * 1024_u32).map(|n| (n / 1024 * 31 + n) as u8).collect();
        let copies = [(1, 5, false), (2, 6, true), (4, 7, true)];
        let mut expected = bytes.clone();
        for (block, from, escaped) in copies {
            expected.copy_within(from * 1024..(from + 1) * 1024, block * 1024);
            if escaped {
                expected[block * 1024..][..4].copy_from_slice(&MAGIC.to_be_bytes());
            }
        }
        let copies = copies.map(|(block, from, escaped)| {
            BlockCopy::new(block as u64, from as u64 * 1024, escaped)
        });
        let device = Arc::new(Memory::from_bytes(bytes));
        let shown = Shown::new(device, 1024, copies.to_vec());
        for at in (0..8192).step_by(341).chain(2040..2056) {
            for len in [0, 1, 2, 3, 5, 1000, 1024, 4000] {
                let mut found = vec![0; len];
                let result = shown.read_at(at as u64, &mut found);
                match expected.get(at..at + len) {
                    Some(part) => assert!(result.is_ok() && found == part, "{at}+{len}"),
                    None => assert!(result.is_err(), "{at}+{len}"),
                }
            }
        }
        let mut at = 0;
        while at < 8192 {
            at += shown.extent_at(at).unwrap().len();
        }
        assert_eq!(at, 8192);
        assert!(shown.extent_at(8192).is_err());
    }
}
