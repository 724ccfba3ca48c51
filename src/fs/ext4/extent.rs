//! Extent trees ([ext4 disk layout, "Extent Tree"](https://docs.kernel.org/filesystems/ext4/dynamic.html#extent-tree)).

use std::ops::{ControlFlow, Range};

use super::checksum::crc32c;
use super::inode::{BLOCK_AREA_LEN, Inode};
use super::map::{Budget, Mapped, Run, Visit};
use super::raw::{u16_at, u32_at};
use super::source::Source;
use crate::fs::FsError;

/// `eh_magic`.
pub const MAGIC: u16 = 0xf30a;
/// Bytes of a header, of an index and of an extent.
pub const RECORD: usize = 12;
/// The deepest tree there can be: 4 * 340^5 blocks of 4 KiB are more than a file's 2^32.
pub const MAX_DEPTH: u16 = 5;
/// A longer `ee_len` is that of an unwritten extent this much shorter.
pub const MAX_WRITTEN_LEN: u16 = 32_768;

/// A node of an extent tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How many records fit (`eh_max`).
    pub max: u16,
    /// Levels below this one; 0 in a leaf.
    pub depth: u16,
    /// What it holds.
    pub records: Records,
}

/// The records of a node, ascending by logical block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// A leaf's.
    Extents(Vec<Run>),
    /// An inner node's: first logical block and the child's block.
    Index(Vec<(u64, u64)>),
}

impl Node {
    /// Parses a node: `i_block`'s 60 bytes, or a block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(raw: &[u8]) -> Result<Self, String> {
        let (magic, entries, max, depth) =
            (u16_at(raw, 0), u16_at(raw, 2), u16_at(raw, 4), u16_at(raw, 6));
        if magic != MAGIC {
            return Err(format!("magic {magic:#06x}, expected {MAGIC:#06x}"));
        }
        if entries > max || usize::from(max) > raw.len() / RECORD - 1 || depth > MAX_DEPTH {
            return Err(format!("{entries} of {max} records at depth {depth}"));
        }
        if entries == 0 && depth > 0 {
            return Err(format!("no record at depth {depth}"));
        }
        let records = raw.chunks_exact(RECORD).skip(1).take(usize::from(entries));
        let records = if depth == 0 {
            Records::Extents(records.map(extent).collect())
        } else {
            Records::Index(records.map(index).collect())
        };
        Ok(Self { max, depth, records })
    }
}

fn extent(raw: &[u8]) -> Run {
    let len = u16_at(raw, 4);
    let written = len <= MAX_WRITTEN_LEN;
    let blocks = if written { len } else { len - MAX_WRITTEN_LEN };
    Run {
        logical: u64::from(u32_at(raw, 0)),
        physical: u64::from(u16_at(raw, 6)) << 32 | u64::from(u32_at(raw, 8)),
        blocks: u64::from(blocks),
        written,
    }
}

fn index(raw: &[u8]) -> (u64, u64) {
    let child = u64::from(u16_at(raw, 8)) << 32 | u64::from(u32_at(raw, 4));
    (u64::from(u32_at(raw, 0)), child)
}

/// Where a block's checksum is: behind the records there is room for.
pub fn checksum_at(block: &[u8]) -> usize {
    RECORD + RECORD * usize::from(u16_at(block, 4))
}

/// The checksum of a node in a block of its own; `seed` is the inode's.
pub fn checksum(block: &[u8], seed: u32) -> u32 {
    crc32c(seed, block.get(..checksum_at(block)).unwrap_or(block))
}

/// Shows what touches `range`.
pub(super) fn walk(
    source: &dyn Source,
    inode: &Inode,
    range: &Range<u64>,
    budget: &mut Budget,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, FsError> {
    let root = inode.block_area();
    debug_assert_eq!(root.len(), BLOCK_AREA_LEN);
    let node = Node::from_bytes(root).map_err(|problem| inode.corrupt("extent header", problem))?;
    // A file has at most 2^32 blocks; the root covers them all.
    let covered = 0..u64::from(u32::MAX) + 1;
    Tree { source, inode, range, budget, visit }.node(&node, covered)
}

struct Tree<'a, 'v> {
    source: &'a dyn Source,
    inode: &'a Inode,
    range: &'a Range<u64>,
    budget: &'a mut Budget,
    visit: Visit<'v>,
}

impl Tree<'_, '_> {
    /// Shows a node that may hold nothing outside `covered`.
    fn node(&mut self, node: &Node, covered: Range<u64>) -> Result<ControlFlow<()>, FsError> {
        match &node.records {
            Records::Extents(extents) => self.leaf(extents, covered),
            Records::Index(index) => self.inner(index, node.depth, covered),
        }
    }

    fn leaf(&mut self, extents: &[Run], covered: Range<u64>) -> Result<ControlFlow<()>, FsError> {
        let mut lowest = covered.start;
        for run in extents {
            let past = run.logical + run.blocks;
            if run.blocks == 0 || run.logical < lowest || past > covered.end {
                return Err(self.inode.corrupt(
                    "extent",
                    format_args!(
                        "blocks {}+{}, expected within {lowest}..{}",
                        run.logical, run.blocks, covered.end
                    ),
                ));
            }
            lowest = past;
            if past <= self.range.start || run.logical >= self.range.end {
                continue;
            }
            self.budget.take(run.physical, run.blocks)?;
            if (self.visit)(Mapped::Run(*run)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn inner(
        &mut self,
        index: &[(u64, u64)],
        depth: u16,
        covered: Range<u64>,
    ) -> Result<ControlFlow<()>, FsError> {
        let mut lowest = covered.start;
        for (at, &(logical, child)) in index.iter().enumerate() {
            let end = index.get(at + 1).map_or(covered.end, |next| next.0);
            if logical < lowest || end <= logical || end > covered.end {
                return Err(self.inode.corrupt(
                    "extent index",
                    format_args!(
                        "blocks {logical}..{end}, expected within {lowest}..{}",
                        covered.end
                    ),
                ));
            }
            lowest = end;
            if end <= self.range.start || logical >= self.range.end {
                continue;
            }
            self.budget.take(child, 1)?;
            if (self.visit)(Mapped::Metadata(child)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let node = self.child(child, depth)?;
            if self.node(&node, logical..end)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn child(&self, block: u64, parent_depth: u16) -> Result<Node, FsError> {
        let corrupt = |problem: String| {
            FsError::corrupt(
                "extent block",
                format_args!("block {block} of inode {}", self.inode.number()),
                problem,
            )
        };
        let raw = self.source.block(block)?;
        let node = Node::from_bytes(&raw).map_err(corrupt)?;
        if node.depth + 1 != parent_depth {
            return Err(corrupt(format!("depth {} below {parent_depth}", node.depth)));
        }
        let superblock = self.source.superblock();
        if superblock.metadata_csum() {
            let found = u32_at(&raw, checksum_at(&raw));
            let expected = checksum(&raw, self.inode.checksum_seed(superblock));
            if found != expected {
                return Err(corrupt(format!("checksum {found:#010x}, expected {expected:#010x}")));
            }
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(entries: u16, max: u16, depth: u16) -> Vec<u8> {
        let mut raw = vec![0; 60];
        for (word, value) in [MAGIC, entries, max, depth].into_iter().enumerate() {
            raw[2 * word..2 * word + 2].copy_from_slice(&value.to_le_bytes());
        }
        raw
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for (entries, max, depth) in [(5, 4, 0), (1, 5, 0), (0, 4, 1), (1, 4, 6), (1, u16::MAX, 0)]
        {
            assert!(Node::from_bytes(&header(entries, max, depth)).is_err());
        }
        assert!(Node::from_bytes(&header(0, 4, 0)).is_ok());
        assert!(Node::from_bytes(&[0; 60]).is_err());
    }

    #[test]
    fn long_extents_are_unwritten() {
        let mut raw = header(2, 4, 0);
        raw[16..18].copy_from_slice(&32_768_u16.to_le_bytes());
        raw[28..30].copy_from_slice(&32_769_u16.to_le_bytes());
        let Records::Extents(runs) = Node::from_bytes(&raw).unwrap().records else { panic!() };
        assert_eq!((runs[0].blocks, runs[0].written), (32_768, true));
        assert_eq!((runs[1].blocks, runs[1].written), (1, false));
    }
}
