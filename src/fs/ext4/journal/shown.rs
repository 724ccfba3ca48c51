//! A device on which logged blocks are read from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::log::MAGIC;
use crate::block::{BlockError, Extent, ReadBlocks, check_range};

/// A block's copy in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockCopy {
    /// Byte offset on the device.
    pub(super) at: u64,
    /// Its first four bytes were the magic number and are zero in the journal.
    pub(super) escaped: bool,
}

impl BlockCopy {
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
        device.read_at(self.at + from, dst)?;
        if self.escaped {
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
    /// By the block where it belongs.
    copies: BTreeMap<u64, BlockCopy>,
}

impl Shown {
    /// `copies` lie on the device, and so do the blocks that they belong in.
    pub(super) fn new(
        device: Arc<dyn ReadBlocks>,
        block_size: u64,
        copies: BTreeMap<u64, BlockCopy>,
    ) -> Self {
        Self { device, block_size, copies }
    }

    /// How many bytes from `at` on are not shown from the journal, up to `most`.
    fn gap(&self, at: u64, most: u64) -> u64 {
        let next = self.copies.range(at.div_ceil(self.block_size)..).next();
        next.map_or(most, |(block, _)| (block * self.block_size - at).min(most))
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
            let copy = self.copies.get(&block);
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
        if self.copies.contains_key(&block) {
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
            (block as u64, BlockCopy { at: from as u64 * 1024, escaped })
        });
        let device = Arc::new(Memory::from_bytes(bytes));
        let shown = Shown::new(device, 1024, BTreeMap::from(copies));
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
