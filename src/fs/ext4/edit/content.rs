//! What inodes hold: content written, cut and given back, and the maps over it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::store::Store;
use crate::fs::ext4::extent::{self, MAX_WRITTEN_LEN, RECORD};
use crate::fs::ext4::features::incompat;
use crate::fs::ext4::inode::{BLOCK_AREA_LEN, EXTENTS, INLINE_DATA, Inode};
use crate::fs::ext4::map::{self, Mapped, Run};
use crate::fs::ext4::{block_map, xattr};
use crate::fs::{FsError, Source, source_of};

/// Records in an inode's own `i_block`.
const ROOT_RECORDS: usize = 4;
/// Longest content without `large_file`: `i_size` of 31 bits.
const MAX_SMALL_FILE: u64 = 0x7fff_ffff;

/// How much of a file's content is written at a time: whole blocks of any size.
const PIECE: u64 = 1 << 20;

/// The most pieces a map that is held in memory may have (64 MiB of them). Files that are only
/// removed may have more; a directory or a truncated file of so many is no sound one.
const MAX_MAP: usize = 2 << 20;

/// All blocks of an inode's map.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    /// Content, ascending.
    pub(super) runs: Vec<Run>,
    /// The map's own blocks.
    pub(super) metadata: Vec<u64>,
}

impl Store {
    /// An inode's map.
    pub(super) fn map_of(&self, inode: &Inode) -> Result<Map, FsError> {
        let mut found = Map::default();
        let mut full = false;
        map::walk(self, inode, map::WHOLE, &mut |mapped| {
            match mapped {
                Mapped::Run(run) => found.runs.push(run),
                Mapped::Metadata(block) => found.metadata.push(block),
            }
            full = found.runs.len() + found.metadata.len() > MAX_MAP;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if full {
            return Err(FsError::unsupported(format!(
                "inode {} in more than {MAX_MAP} pieces",
                inode.number()
            )));
        }
        Ok(found)
    }

    /// Gives back all content; the inode is left empty, of the same form (extents or block map).
    pub(super) fn release_content(&self, inode: &mut Inode) -> Result<(), FsError> {
        if inode.has_flag(INLINE_DATA) {
            self.remove_inline_rest(inode)?;
            inode.set_flag(INLINE_DATA, false);
            inode.set_flag(EXTENTS, self.superblock.has_incompat(incompat::EXTENT));
        } else {
            // One at a time: a file may be in more pieces than memory should hold. The map's own
            // blocks come last, they are still read from; each but once, or the map goes in circles.
            let mut freed = 0;
            let mut last = None;
            let mut metadata = HashSet::new();
            let mut result = Ok(());
            map::walk(self, inode, map::WHOLE, &mut |mapped| {
                result =
                    match mapped {
                        Mapped::Run(run) => {
                            self.release(run.physical, run.blocks, last).map(|(bytes, cluster)| {
                                freed += bytes;
                                last = cluster;
                            })
                        }
                        Mapped::Metadata(block) if metadata.insert(block) => Ok(()),
                        Mapped::Metadata(block) => Err(inode
                            .corrupt("block map", format_args!("block {block} is in it twice"))),
                    };
                if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            result?;
            for block in metadata {
                freed += self.release(block, 1, None)?.0;
            }
            self.charge(inode, 0, freed)?;
        }
        inode.set_size(0);
        empty_map(inode);
        Ok(())
    }

    /// Zeroes content from byte `at` on; the map stays. Blocks that read as zeroes anyway are not
    /// looked at: they stay unwritten.
    pub(super) fn wipe_content(&self, inode: &Inode, at: u64) -> Result<(), FsError> {
        let block_size = self.block_len() as u64;
        let mut result = Ok(());
        map::walk(self, inode, at / block_size..u64::MAX, &mut |mapped| {
            let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
            let start = (run.logical * block_size).max(at);
            let stop = (run.logical + run.blocks) * block_size;
            let own = self.is_metadata(run.physical, run.blocks);
            result = match start < stop {
                _ if own => Err(inode.corrupt("block map", "it holds the filesystem's own blocks")),
                true => {
                    let from = run.physical * block_size + (start - run.logical * block_size);
                    self.device.zero(from, stop - start).map_err(Into::into)
                }
                false => Ok(()),
            };
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result
    }

    /// Changes how much storage an inode takes.
    fn charge(&self, inode: &mut Inode, taken: u64, freed: u64) -> Result<(), FsError> {
        let before = inode.allocated(&self.superblock);
        let after = before.saturating_add(taken).checked_sub(freed).ok_or_else(|| {
            inode.corrupt("i_blocks", format_args!("{before} bytes, of which {freed} were freed"))
        })?;
        inode.set_allocated(&self.superblock, after)
    }

    /// Writes the content of an inode that has none.
    pub(super) fn write_content(&self, inode: &mut Inode, content: &[u8]) -> Result<(), FsError> {
        self.write_from(inode, content.len() as u64, &mut source_of(content))
    }

    /// Writes the content of an inode that has none: `size` bytes of `source`.
    pub(super) fn write_from(
        &self,
        inode: &mut Inode,
        size: u64,
        source: Source<'_>,
    ) -> Result<(), FsError> {
        if size > MAX_SMALL_FILE {
            self.state().large_file = true;
        }
        if size > BLOCK_AREA_LEN as u64 {
            self.write_runs(inode, size, source)?;
        } else if size > 0 {
            let mut small = vec![0; size as usize];
            source(&mut small)?;
            if !self.write_inline(inode, &small)? {
                self.write_runs(inode, size, &mut source_of(&small))?;
            }
        }
        inode.set_size(size);
        Ok(())
    }

    /// Writes content into clusters of its own.
    fn write_runs(&self, inode: &mut Inode, size: u64, source: Source<'_>) -> Result<(), FsError> {
        if size.div_ceil(self.cluster_bytes()) > self.free_clusters() {
            return Err(FsError::NoSpace);
        }
        let block_size = self.block_len() as u64;
        let group = self.group_of(inode);
        let mut runs: Vec<Run> = Vec::new();
        let mut taken = 0;
        let mut left = size;
        let mut piece = vec![0; size.min(PIECE) as usize];
        while left > 0 {
            let wanted = left.div_ceil(block_size);
            let (physical, got) = self.allocate(group, wanted)?;
            let blocks = got.min(wanted);
            let bytes = left.min(blocks * block_size);
            let mut done = 0;
            while done < bytes {
                let piece = &mut piece[..(bytes - done).min(PIECE) as usize];
                source(piece)?;
                let at = done / block_size;
                done += piece.len() as u64;
                let blocks = if done < bytes { PIECE / block_size } else { got - at };
                self.write_padded(physical + at, piece, blocks)?;
            }
            let logical = runs.last().map_or(0, |run| run.logical + run.blocks);
            let run = Run { logical, physical, blocks, written: true };
            match runs.last_mut().filter(|last| last.physical + last.blocks == physical) {
                Some(last) => last.blocks += blocks,
                None => runs.push(run),
            }
            taken += got * block_size;
            left -= bytes;
        }
        self.charge(inode, taken, 0)?;
        self.store_map(inode, &runs, Vec::new())
    }

    /// Writes bytes from a block on; what `blocks` blocks hold beyond them becomes zero.
    fn write_padded(&self, physical: u64, bytes: &[u8], blocks: u64) -> Result<(), FsError> {
        let block_size = self.block_len();
        let at = physical * block_size as u64;
        let whole = bytes.len() / block_size * block_size;
        self.device.write_at(at, &bytes[..whole])?;
        let mut done = whole as u64;
        if whole < bytes.len() {
            let mut last = vec![0; block_size];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.device.write_at(at + done, &last)?;
            done += block_size as u64;
        }
        let len = blocks * block_size as u64;
        if done < len {
            self.device.zero(at + done, len - done)?;
        }
        Ok(())
    }

    /// Puts content in the inode itself where the filesystem does that and it fits `i_block`.
    fn write_inline(&self, inode: &mut Inode, content: &[u8]) -> Result<bool, FsError> {
        if !self.superblock.has_incompat(incompat::INLINE_DATA)
            || content.len() > BLOCK_AREA_LEN
            || inode.kind() != Some(crate::fs::Kind::File)
        {
            return Ok(false);
        }
        let Ok(mut attributes) = xattr::from_inode(inode.xattr_area()) else { return Ok(false) };
        // The kernel looks for this attribute even when all is in `i_block`.
        attributes.push(xattr::Attribute {
            index: xattr::SYSTEM,
            name: xattr::INLINE_DATA.to_vec(),
            value: xattr::Value::Here(Vec::new()),
        });
        let Some(area) = xattr::to_inode(&attributes, inode.xattr_area().len()) else {
            return Ok(false);
        };
        inode.set_xattr_area(&area)?;
        inode.set_flag(EXTENTS, false);
        inode.set_flag(INLINE_DATA, true);
        inode.set_block_area(content);
        Ok(true)
    }

    /// Cuts an inode's content to its `i_size`, as a truncation that a crash cut off.
    pub(super) fn truncate_to_size(&self, inode: &mut Inode) -> Result<(), FsError> {
        let size = inode.size(&self.superblock);
        let block_size = u64::from(self.superblock.block_size());
        let keep = size.div_ceil(block_size);
        if !map::is_mapped(inode, &self.superblock) {
            return Ok(());
        }
        let map = self.map_of(inode)?;
        let ratio = u64::from(self.superblock.cluster_blocks());
        let mut kept: Vec<Run> = Vec::new();
        let mut freed = 0;
        let mut last = None;
        for run in map.runs {
            let stay = keep.saturating_sub(run.logical).min(run.blocks);
            if stay > 0 {
                kept.push(Run { blocks: stay, ..run });
                let end = run.physical + stay - u64::from(self.superblock.first_data_block());
                last = Some((end - 1) / ratio);
            }
            if stay < run.blocks {
                let cut = run.physical + stay;
                if let Some(kept) = last {
                    // A cluster that stays in use is not zeroed with those that are free.
                    let lowest = u64::from(self.superblock.first_data_block());
                    let end = (run.physical + run.blocks).min(lowest + (kept + 1) * ratio);
                    self.device.zero(cut * block_size, end.saturating_sub(cut) * block_size)?;
                }
                let (bytes, cluster) = self.release(cut, run.blocks - stay, last)?;
                freed += bytes;
                last = cluster;
            }
        }
        let tail = size % block_size;
        if tail != 0
            && let Some(run) = kept.last()
            && run.logical + run.blocks == keep
            && run.written
        {
            let at = (run.physical + run.blocks - 1) * block_size;
            self.device.zero(at + tail, block_size - tail)?;
        }
        self.charge(inode, 0, freed)?;
        self.store_map(inode, &kept, map.metadata)
    }

    /// Adds one block at the end of an inode's content (a directory's) and gives its numbers:
    /// in the file and on the device. Its bytes are the caller's to put.
    pub(super) fn append_block(&self, inode: &mut Inode) -> Result<(u64, u64), FsError> {
        let map = self.map_of(inode)?;
        let mut runs = map.runs;
        let block_size = u64::from(self.superblock.block_size());
        let logical = inode.size(&self.superblock).div_ceil(block_size);
        if runs.last().is_some_and(|run| run.logical + run.blocks > logical) {
            return Err(inode.corrupt("directory", "blocks beyond its size"));
        }
        let ratio = u64::from(self.superblock.cluster_blocks());
        let neighbour = runs.last().filter(|run| {
            // With bigalloc the cluster that holds the block before may have room.
            !logical.is_multiple_of(ratio)
                && (run.logical + run.blocks - 1) / ratio == logical / ratio
        });
        let (physical, taken) = match neighbour {
            Some(run) => (run.physical + (logical - run.logical), 0),
            None => {
                let (start, got) = self.allocate(self.group_of(inode), 1)?;
                self.device.zero(start * block_size, got * block_size)?;
                (start + logical % ratio, got * block_size)
            }
        };
        runs.push(Run { logical, physical, blocks: 1, written: true });
        self.charge(inode, taken, 0)?;
        self.store_map(inode, &runs, map.metadata)?;
        inode.set_size((logical + 1) * block_size);
        Ok((logical, physical))
    }

    /// Writes an inode's map, in the form the inode has. `spare` are the map's blocks so far:
    /// what is not needed any more is given back.
    fn store_map(
        &self,
        inode: &mut Inode,
        runs: &[Run],
        mut spare: Vec<u64>,
    ) -> Result<(), FsError> {
        let mut taken = 0;
        if inode.has_flag(EXTENTS) {
            self.store_extents(inode, runs, &mut spare, &mut taken)?;
        } else {
            let map = BlockMap { store: self, group: self.group_of(inode), runs };
            map.store(inode, &mut spare, &mut taken)?;
        }
        let mut freed = 0;
        for block in spare {
            freed += self.release(block, 1, None)?.0;
        }
        self.charge(inode, taken, freed)
    }

    /// A block for a map: one it had, or a new one.
    fn map_block(&self, group: u32, spare: &mut Vec<u64>, taken: &mut u64) -> Result<u64, FsError> {
        if let Some(block) = spare.pop() {
            return Ok(block);
        }
        let (block, got) = self.allocate(group, 1)?;
        if got > 1 {
            let block_size = u64::from(self.superblock.block_size());
            self.device.zero((block + 1) * block_size, (got - 1) * block_size)?;
        }
        *taken += got * u64::from(self.superblock.block_size());
        Ok(block)
    }

    fn store_extents(
        &self,
        inode: &mut Inode,
        runs: &[Run],
        spare: &mut Vec<u64>,
        taken: &mut u64,
    ) -> Result<(), FsError> {
        let mut records: Vec<(u64, [u8; RECORD])> = Vec::new();
        for run in merged(runs) {
            // An unwritten extent's length is stored above the longest written one.
            let most = u64::from(MAX_WRITTEN_LEN) - u64::from(!run.written);
            let mut at = 0;
            while at < run.blocks {
                let len = (run.blocks - at).min(most);
                let record =
                    extent_record(inode, run.logical + at, run.physical + at, len, run.written)?;
                records.push((run.logical + at, record));
                at += len;
            }
        }
        let capacity = self.block_len() / RECORD - 1;
        let group = self.group_of(inode);
        let seed = inode.checksum_seed(&self.superblock);
        let mut depth = 0;
        while records.len() > ROOT_RECORDS {
            let mut above = Vec::new();
            for chunk in records.chunks(capacity) {
                let block = self.map_block(group, spare, taken)?;
                let mut bytes = vec![0; self.block_len()];
                write_node(&mut bytes, chunk, capacity, depth);
                if self.superblock.metadata_csum() {
                    let sum = extent::checksum(&bytes, seed);
                    let at = extent::checksum_at(&bytes);
                    if let Some(field) = bytes.get_mut(at..at + 4) {
                        field.copy_from_slice(&sum.to_le_bytes());
                    }
                }
                self.put_block(block, bytes);
                if let Some((logical, _)) = chunk.first() {
                    above.push((*logical, index_record(*logical, block)));
                }
            }
            records = above;
            depth += 1;
        }
        let mut root = [0; BLOCK_AREA_LEN];
        write_node(&mut root, &records, ROOT_RECORDS, depth);
        inode.set_block_area(&root);
        Ok(())
    }
}

/// Makes `i_block` a map of nothing.
pub(super) fn empty_map(inode: &mut Inode) {
    let mut root = [0; BLOCK_AREA_LEN];
    if inode.has_flag(EXTENTS) {
        write_node(&mut root, &[], ROOT_RECORDS, 0);
    }
    inode.set_block_area(&root);
}

/// Runs with neighbours joined.
fn merged(runs: &[Run]) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last)
                if last.logical + last.blocks == run.logical
                    && last.physical + last.blocks == run.physical
                    && last.written == run.written =>
            {
                last.blocks += run.blocks;
            }
            _ => joined.push(*run),
        }
    }
    joined
}

fn extent_record(
    inode: &Inode,
    logical: u64,
    physical: u64,
    len: u64,
    written: bool,
) -> Result<[u8; RECORD], FsError> {
    let too_far = |_| inode.corrupt("extent", format_args!("logical block {logical}"));
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&u32::try_from(logical).map_err(too_far)?.to_le_bytes());
    let len = len as u16 + if written { 0 } else { MAX_WRITTEN_LEN };
    record[4..6].copy_from_slice(&len.to_le_bytes());
    let start = physical.to_le_bytes();
    record[6..8].copy_from_slice(&start[4..6]);
    record[8..12].copy_from_slice(&start[..4]);
    Ok(record)
}

fn index_record(logical: u64, block: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&logical.to_le_bytes()[..4]);
    record[4..10].copy_from_slice(&block.to_le_bytes()[..6]);
    record
}

fn write_node(bytes: &mut [u8], records: &[(u64, [u8; RECORD])], capacity: usize, depth: u16) {
    let fields = [extent::MAGIC, records.len() as u16, capacity as u16, depth];
    for (word, field) in bytes.chunks_exact_mut(2).zip(fields) {
        word.copy_from_slice(&field.to_le_bytes());
    }
    for (slot, (_, record)) in bytes.chunks_exact_mut(RECORD).skip(1).zip(records) {
        slot.copy_from_slice(record);
    }
}

/// A block map being written.
struct BlockMap<'a> {
    store: &'a Store,
    group: u32,
    runs: &'a [Run],
}

impl BlockMap<'_> {
    fn store(
        &self,
        inode: &mut Inode,
        spare: &mut Vec<u64>,
        taken: &mut u64,
    ) -> Result<(), FsError> {
        let mut area = [0; BLOCK_AREA_LEN];
        let mut slots = area.chunks_exact_mut(4);
        for (logical, slot) in (0..).zip(slots.by_ref().take(block_map::DIRECT)) {
            slot.copy_from_slice(&self.data(logical)?.to_le_bytes());
        }
        let per_block = (self.store.block_len() / 4) as u64;
        let mut logical = block_map::DIRECT as u64;
        let mut span = 1;
        for slot in slots {
            span *= per_block;
            let block = self.indirect(logical, span, spare, taken)?;
            slot.copy_from_slice(&block.to_le_bytes());
            logical += span;
        }
        if self.runs.last().is_some_and(|run| run.logical + run.blocks > logical) {
            return Err(FsError::NoSpace);
        }
        inode.set_block_area(&area);
        Ok(())
    }

    /// The block that holds a block of content, 0 in a hole.
    fn data(&self, logical: u64) -> Result<u32, FsError> {
        let after = self.runs.partition_point(|run| run.logical <= logical);
        let run = after.checked_sub(1).and_then(|n| self.runs.get(n));
        match run.filter(|run| logical < run.logical + run.blocks) {
            Some(run) => narrow(run.physical + (logical - run.logical)),
            None => Ok(0),
        }
    }

    /// Writes the block that maps `span` blocks from `logical` on; 0 when all is a hole.
    fn indirect(
        &self,
        logical: u64,
        span: u64,
        spare: &mut Vec<u64>,
        taken: &mut u64,
    ) -> Result<u32, FsError> {
        let first = self.runs.partition_point(|run| run.logical + run.blocks <= logical);
        if self.runs.get(first).is_none_or(|run| run.logical >= logical + span) {
            return Ok(0);
        }
        let block = self.store.map_block(self.group, spare, taken)?;
        let mut bytes = vec![0; self.store.block_len()];
        let child_span = span / (bytes.len() / 4) as u64;
        for (n, slot) in (0..).zip(bytes.chunks_exact_mut(4)) {
            let logical = logical + n * child_span;
            let child = if child_span == 1 {
                self.data(logical)?
            } else {
                self.indirect(logical, child_span, spare, taken)?
            };
            slot.copy_from_slice(&child.to_le_bytes());
        }
        self.store.put_block(block, bytes);
        narrow(block)
    }
}

/// Block maps hold 32-bit block numbers.
fn narrow(block: u64) -> Result<u32, FsError> {
    u32::try_from(block)
        .map_err(|_| FsError::unsupported("a file without extents beyond the first 2^32 blocks"))
}
