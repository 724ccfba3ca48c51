//! Whether the block bitmaps call in use what is in use.
//!
//! Free space is discarded and given to new files, so a bitmap that calls a live block free would
//! cost a file. What every inode refers to is held against the bitmaps before that.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::cluster_rest::ClusterRest;
use super::groups::Of;
use super::store::Store;
use crate::fs::FsError;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::map::{self, Mapped};

/// How many bytes of bitmaps are held at a time: half a TiB of blocks of 4 KiB, a quarter of the
/// memory that a run may take. A larger filesystem takes more than one pass over the inodes.
const HELD: usize = 16 << 20;

/// The inode of the reserved group descriptors (`EXT2_RESIZE_INO`), which lie in the filesystem's
/// own metadata.
pub(super) const RESIZE_INODE: u32 = 7;

/// Whether what an inode's place in the table holds is a file, whatever the bitmap says.
pub(super) fn is_live(store: &Store, inode: &Inode) -> bool {
    inode.links() > 0
        && inode.dtime() == 0
        && inode.kind().is_some()
        && inode.checksum_is_right(&store.superblock)
}

/// Unwritten blocks read as zeroes and hold what was there before they were allocated.
fn zero_unwritten(store: &Store, block: u64, count: u64) -> Result<(), FsError> {
    let size = store.block_len() as u64;
    Ok(store.device.zero(block * size, count * size)?)
}

/// The blocks that inodes claim, against the block bitmaps.
pub(super) struct Claims<'a> {
    store: &'a Store,
    /// This pass looks at the groups from here…
    from: u32,
    /// …up to here.
    until: u32,
    groups: BTreeMap<u32, Unclaimed>,
    held: usize,
}

/// The clusters of a group that are in use and that nobody has claimed so far.
struct Unclaimed {
    /// Empty where there are none any more, as in most groups of a large file.
    clusters: Box<[u8]>,
    /// Those claimed as blocks of attributes, which many inodes may share.
    attributes: Option<Box<[u8]>>,
}

impl<'a> Claims<'a> {
    /// No claims yet, but for what no inode has.
    ///
    /// # Errors
    /// As [`inode`](Self::inode).
    pub(super) fn new(store: &'a Store) -> Result<Self, FsError> {
        let until = store.superblock.group_count();
        let groups = BTreeMap::new();
        let mut claims = Self { store, from: 0, until, groups, held: 0 };
        claims.multi_mount()?;
        Ok(claims)
    }

    /// Goes on to the groups that memory was too small for; false when there are none.
    ///
    /// # Errors
    /// As [`inode`](Self::inode).
    pub(super) fn next_pass(&mut self) -> Result<bool, FsError> {
        if self.until == self.store.superblock.group_count() {
            return Ok(false);
        }
        self.from = self.until;
        self.until = self.store.superblock.group_count();
        self.groups.clear();
        self.held = 0;
        self.multi_mount()?;
        Ok(true)
    }

    fn multi_mount(&mut self) -> Result<(), FsError> {
        match self.store.superblock.mmp_block() {
            0 => Ok(()),
            block => {
                self.claim(Owner::MultiMount, block, 1, &mut None)?;
                ClusterRest::new(self.store, Owner::MultiMount).but(block)
            }
        }
    }

    /// Claims all blocks of an inode in use.
    ///
    /// # Errors
    /// `Corrupt` when one is called free, belongs to another inode, or when they cannot be read.
    pub(super) fn inode(&mut self, inode: &Inode) -> Result<(), FsError> {
        let store = self.store;
        let is_deleted = inode.links() == 0 && inode.number() >= store.superblock.first_inode();
        if is_deleted {
            return Ok(());
        }
        let owner = Owner::Inode(inode.number());
        let mut last = None;
        let mut rest = ClusterRest::new(store, owner);
        let mut result = Ok(());
        map::walk(store, inode, map::WHOLE, &mut |mapped| {
            let (block, count) = match mapped {
                Mapped::Run(run) => (run.physical, run.blocks),
                Mapped::Metadata(block) => (block, 1),
            };
            if inode.number() == RESIZE_INODE && store.is_metadata(block, count) {
                return ControlFlow::Continue(());
            }
            result = match mapped {
                Mapped::Run(run) if !run.written && !store.options.keep_free_space => self
                    .claim(owner, block, count, &mut last)
                    .and_then(|()| zero_unwritten(store, block, count))
                    .and_then(|()| rest.run(run)),
                Mapped::Run(run) => {
                    self.claim(owner, block, count, &mut last).and_then(|()| rest.run(run))
                }
                Mapped::Metadata(_) => {
                    self.claim(owner, block, count, &mut None).and_then(|()| rest.but(block))
                }
            };
            if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        result.and_then(|()| rest.finish())?;
        match inode.xattr_block() {
            0 => Ok(()),
            block => self.attributes(owner, block),
        }
    }

    /// Claims blocks but for the cluster `last`, and says which is the last now: with bigalloc
    /// neighbouring extents of a file share one.
    fn claim(
        &mut self,
        owner: Owner,
        block: u64,
        count: u64,
        last: &mut Option<u64>,
    ) -> Result<(), FsError> {
        let superblock = &self.store.superblock;
        let end = block.checked_add(count).filter(|&end| end <= superblock.blocks_count());
        let lowest = u64::from(superblock.first_data_block());
        let (Some(end), Some(first)) = (end, block.checked_sub(lowest)) else {
            return Err(FsError::corrupt("block map", owner, format_args!("no block {block}")));
        };
        if self.store.is_metadata(block, count) {
            return Err(FsError::corrupt(
                "block map",
                owner,
                format_args!("block {block} is the filesystem's own"),
            ));
        }
        let ratio = u64::from(superblock.cluster_blocks());
        let per_group = u64::from(superblock.clusters_per_group());
        let past = (end - lowest).div_ceil(ratio);
        let mut cluster = first / ratio;
        if *last == Some(cluster) {
            cluster += 1;
        }
        if ratio > 1 {
            *last = past.checked_sub(1);
        }
        while cluster < past {
            let group = u32::try_from(cluster / per_group).unwrap_or(u32::MAX);
            let within = (cluster % per_group) as u32;
            let len = (past - cluster).min(per_group - u64::from(within)) as u32;
            if let Some(unclaimed) = self.group(group)? {
                if let Err(bit) = clear(&mut unclaimed.clusters, within, len) {
                    return Err(self.refused(owner, group, bit, block));
                }
                let is_large = u64::from(len) * 8 >= per_group;
                if is_large && unclaimed.clusters.iter().all(|&byte| byte == 0) {
                    let held = std::mem::take(&mut unclaimed.clusters).len();
                    self.held -= held;
                }
            }
            cluster += u64::from(len);
        }
        Ok(())
    }

    /// Claims a block of attributes.
    fn attributes(&mut self, owner: Owner, block: u64) -> Result<(), FsError> {
        let store = self.store;
        let Some((number, cluster)) = store.superblock.group_of_block(block) else {
            return Err(FsError::corrupt(
                "extended attributes",
                owner,
                format_args!("block {block}"),
            ));
        };
        let Some(group) = self.group(number)? else { return Ok(()) };
        let shared = group.attributes.as_ref().is_some_and(|bits| is_set(bits, cluster));
        if shared {
            return Ok(());
        }
        self.claim(owner, block, 1, &mut None)?;
        ClusterRest::new(store, owner).but(block)?;
        let Some(group) = self.group(number)? else { return Ok(()) };
        let mut held = 0;
        let bits = group.attributes.get_or_insert_with(|| {
            held = group.clusters.len();
            vec![0; held].into()
        });
        super::bitmap::set(bits, cluster);
        self.held += held;
        Ok(())
    }

    /// A group's clusters, where this pass looks at them.
    fn group(&mut self, number: u32) -> Result<Option<&mut Unclaimed>, FsError> {
        if number < self.from || number >= self.until {
            return Ok(None);
        }
        if !self.groups.contains_key(&number) {
            let clusters: Box<[u8]> = self.store.bitmap(Of::Clusters, number)?.as_bytes().into();
            self.held += clusters.len();
            self.groups.insert(number, Unclaimed { clusters, attributes: None });
            while self.held > HELD
                && self.groups.len() > 1
                && let Some((last, dropped)) = self.groups.pop_last()
            {
                self.until = last;
                let attributes = dropped.attributes.map_or(0, |bits| bits.len());
                self.held -= dropped.clusters.len() + attributes;
            }
        }
        Ok(self.groups.get_mut(&number))
    }

    /// Why a cluster cannot be claimed.
    fn refused(&self, owner: Owner, group: u32, bit: u32, block: u64) -> FsError {
        let superblock = &self.store.superblock;
        let ratio = superblock.cluster_blocks();
        let first = superblock.group_first_block(group) + u64::from(bit) * u64::from(ratio);
        let block = block.max(first);
        let was_in_use =
            self.store.with_bitmap(Of::Clusters, group, |_, bitmap| bitmap.was_set_before(bit));
        match was_in_use {
            Ok(true) => FsError::corrupt(
                "block map",
                owner,
                format_args!("block {block} (group {group}) belongs to something else, too"),
            ),
            Ok(false) => {
                // It may have been given to a new file before the old one was come to.
                let owner = match owner {
                    Owner::Inode(number) if self.is_new(number) => "a file".to_owned(),
                    owner => owner.to_string(),
                };
                FsError::corrupt(
                    "block bitmap",
                    format_args!("group {group}"),
                    format_args!("it calls block {block} free, which {owner} uses"),
                )
            }
            Err(error) => error,
        }
    }

    /// Whether this edit made the inode.
    fn is_new(&self, number: u32) -> bool {
        let Some((group, index)) = self.store.superblock.group_of_inode(number) else {
            return false;
        };
        let was_in_use =
            self.store.with_bitmap(Of::Inodes, group, |_, bitmap| bitmap.was_set_before(index));
        was_in_use.is_ok_and(|was| !was)
    }
}

/// What uses a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Inode(u32),
    MultiMount,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inode(number) => write!(f, "inode {number}"),
            Self::MultiMount => f.write_str("the multi-mount protection"),
        }
    }
}

/// Whether a bit is set; bits outside are not.
pub(super) fn is_set(bits: &[u8], bit: u32) -> bool {
    bits.get((bit / 8) as usize).is_some_and(|byte| byte >> (bit % 8) & 1 != 0)
}

/// Clears a run of bits; gives the first that was clear already.
pub(super) fn clear(bits: &mut [u8], from: u32, count: u32) -> Result<(), u32> {
    let end = from.saturating_add(count);
    let mut bit = from;
    while bit < end {
        let next = (bit / 8 + 1).saturating_mul(8).min(end);
        let mask = (0xff_u16 << (bit % 8) & 0xff_u16 >> (8 - (next - bit / 8 * 8))) as u8;
        let byte = bits.get_mut((bit / 8) as usize).ok_or(bit)?;
        let missing = mask & !*byte;
        if missing != 0 {
            return Err(bit / 8 * 8 + missing.trailing_zeros());
        }
        *byte &= !mask;
        bit = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bits_are_cleared_once() {
        for from in 0..24 {
            for count in 1..=(40 - from) {
                let mut bits = [0xff; 5];
                assert_eq!(clear(&mut bits, from, count), Ok(()));
                for bit in 0..40 {
                    assert_eq!(is_set(&bits, bit), !(from..from + count).contains(&bit));
                }
                assert_eq!(clear(&mut bits, 0, 40), Err(from));
                let last = from + count - 1;
                assert_eq!(clear(&mut bits, last, 1), Err(last));
            }
        }
        assert_eq!(clear(&mut [0xff], 4, 8), Err(8));
    }
}
