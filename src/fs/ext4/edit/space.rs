//! Taking and giving back clusters and inodes.

use super::claims::is_live;
use super::groups::Of;
use super::store::Store;
use crate::fs::FsError;
use crate::fs::ext4::checksum::crc32c;
use crate::fs::ext4::group::{BLOCK_UNINIT, INODE_UNINIT};
use crate::fs::ext4::inode::{Inode, Time};
use crate::fs::ext4::source::inode_location;

impl Store {
    /// How many clusters are free.
    pub(super) fn free_clusters(&self) -> u64 {
        let state = self.state();
        state.groups.descriptors().map(|group| u64::from(group.free_clusters())).sum()
    }

    /// Takes up to `blocks` contiguous blocks, as near to the start of `group` as there are any,
    /// `group`'s own first. Gives the first block and how many there are, whole clusters.
    pub(super) fn allocate(&self, group: u32, blocks: u64) -> Result<(u64, u64), FsError> {
        let superblock = &self.superblock;
        let ratio = superblock.cluster_blocks();
        let wanted = u32::try_from(blocks.div_ceil(u64::from(ratio))).unwrap_or(u32::MAX).max(1);
        let count = superblock.group_count();
        for n in 0..count {
            let number = ((u64::from(group) + u64::from(n)) % u64::from(count)) as u32;
            if self.state().groups.descriptor(number)?.free_clusters() == 0 {
                continue;
            }
            let uninit = superblock.has_group_checksum();
            let run = self.with_bitmap(Of::Clusters, number, |descriptor, bitmap| {
                // The first run that holds all, else the first at all.
                let mut best = None;
                let mut from = 0;
                while let Some((start, len)) = bitmap.free_run(from, wanted) {
                    best = best.or(Some((start, len)));
                    if descriptor.free_clusters() < wanted {
                        break;
                    }
                    if len == wanted {
                        best = Some((start, len));
                        break;
                    }
                    from = start + len;
                }
                let (start, len) = best?;
                bitmap.take(start, len);
                let free = descriptor.free_clusters().saturating_sub(len);
                descriptor.set_free_clusters(free);
                if uninit {
                    descriptor.set_flags(descriptor.flags() & !BLOCK_UNINIT);
                }
                Some((start, len))
            })?;
            if let Some((start, len)) = run {
                let first =
                    superblock.group_first_block(number) + u64::from(start) * u64::from(ratio);
                let blocks = u64::from(len) * u64::from(ratio);
                if self.is_metadata(first, blocks) {
                    return Err(FsError::corrupt(
                        "block bitmap",
                        format_args!("group {number}"),
                        format_args!("it calls the filesystem's own blocks free, near {first}"),
                    ));
                }
                return Ok((first, blocks));
            }
        }
        Err(FsError::NoSpace)
    }

    /// Gives back the clusters that hold these blocks, without the cluster `but` (already given
    /// back: with bigalloc two extents may share one). Gives the bytes and the last cluster.
    pub(super) fn release(
        &self,
        block: u64,
        count: u64,
        but: Option<u64>,
    ) -> Result<(u64, Option<u64>), FsError> {
        let superblock = &self.superblock;
        let end = block.checked_add(count).filter(|&end| end <= superblock.blocks_count());
        let first = block.checked_sub(u64::from(superblock.first_data_block()));
        let (Some(end), Some(first)) = (end, first.filter(|_| count > 0)) else {
            return Err(corrupt_block(block, format_args!("{count} blocks outside")));
        };
        if self.is_metadata(block, count) {
            return Err(corrupt_block(block, "a file holds the filesystem's own metadata"));
        }
        let ratio = u64::from(superblock.cluster_blocks());
        let per_group = u64::from(superblock.clusters_per_group());
        let mut cluster = first / ratio;
        let past = (end - u64::from(superblock.first_data_block())).div_ceil(ratio);
        if but == Some(cluster) {
            cluster += 1;
        }
        let bytes = past.saturating_sub(cluster) * self.cluster_bytes();
        while cluster < past {
            let group = u32::try_from(cluster / per_group).map_err(|_| FsError::NotFound)?;
            let within = (cluster % per_group) as u32;
            let len = (past - cluster).min(per_group - u64::from(within)) as u32;
            self.with_bitmap(Of::Clusters, group, |descriptor, bitmap| {
                bitmap.release(within, len)?;
                let free = descriptor.free_clusters().saturating_add(len);
                descriptor.set_free_clusters(free);
                if superblock.has_group_checksum() {
                    descriptor.set_flags(descriptor.flags() & !BLOCK_UNINIT);
                }
                Ok(())
            })?
            .map_err(|bit: u32| {
                FsError::corrupt(
                    "block bitmap",
                    format_args!("group {group}"),
                    format_args!("it calls cluster {bit} free, which a file uses at block {block}"),
                )
            })?;
            cluster += u64::from(len);
        }
        let mut state = self.state();
        let stale: Vec<u64> = state.blocks.range(block..end).map(|(&block, _)| block).collect();
        for block in stale {
            state.blocks.remove(&block);
        }
        Ok((bytes, Some(past.saturating_sub(1))))
    }

    /// Takes an inode, in `group` where it has one free. Gives it empty, numbered, with its
    /// generation, times and extra size.
    pub(super) fn allocate_inode(&self, group: u32, directory: bool) -> Result<Inode, FsError> {
        let superblock = &self.superblock;
        let count = superblock.group_count();
        let per_group = superblock.inodes_per_group();
        for n in 0..count {
            let number = ((u64::from(group) + u64::from(n)) % u64::from(count)) as u32;
            if self.state().groups.descriptor(number)?.free_inodes() == 0 {
                continue;
            }
            let reserved = superblock
                .first_inode()
                .saturating_sub(1)
                .saturating_sub(number.saturating_mul(per_group));
            let sums = superblock.has_group_checksum();
            let found = self.with_bitmap(Of::Inodes, number, |descriptor, bitmap| {
                let (index, _) = bitmap.free_run(reserved, 1)?;
                let mine = bitmap.was_set(index);
                bitmap.take(index, 1);
                descriptor.set_free_inodes(descriptor.free_inodes().saturating_sub(1));
                if directory {
                    let directories = descriptor.used_directories().saturating_add(1);
                    descriptor.set_used_directories(directories);
                }
                let mut fresh = None;
                if sums {
                    let used = descriptor.used_inodes(superblock);
                    descriptor.set_flags(descriptor.flags() & !INODE_UNINIT);
                    if index >= used {
                        descriptor.set_unused_inodes(per_group - index - 1);
                        fresh = Some(used);
                    }
                }
                Some((index, fresh, descriptor.inode_table(), mine))
            })?;
            let Some((index, fresh, table, mine)) = found else { continue };
            if !mine && fresh.is_none() {
                let number = number * per_group + index + 1;
                if is_live(self, &self.inode_on_device(number)?) {
                    return Err(FsError::corrupt(
                        "inode bitmap",
                        format_args!("inode {number}"),
                        "it is called free and is a file",
                    ));
                }
            }
            if sums {
                // As the kernel does: a group with inodes has a written bitmap of blocks.
                self.with_bitmap(Of::Clusters, number, |descriptor, bitmap| {
                    if descriptor.flags() & BLOCK_UNINIT != 0 {
                        descriptor.set_flags(descriptor.flags() & !BLOCK_UNINIT);
                        bitmap.mark_changed();
                    }
                })?;
            }
            if let Some(used) = fresh {
                // The table may never have been zeroed here, and from now on it is read.
                let size = u64::from(superblock.inode_size());
                let at = table * u64::from(superblock.block_size()) + u64::from(used) * size;
                self.device.zero(at, (u64::from(index - used) + 1) * size)?;
            }
            return self.new_inode(number * per_group + index + 1);
        }
        Err(FsError::NoSpace)
    }

    /// What the device holds in an inode's place now, which the reader's cache may not know of.
    fn inode_on_device(&self, number: u32) -> Result<Inode, FsError> {
        let (block, at) = inode_location(self, number)?;
        let mut raw = vec![0; usize::from(self.superblock.inode_size())];
        self.device.read_at(block * self.block_len() as u64 + at as u64, &mut raw)?;
        Inode::from_bytes(number, &raw)
    }

    fn new_inode(&self, number: u32) -> Result<Inode, FsError> {
        let superblock = &self.superblock;
        let size = superblock.inode_size();
        let mut inode = Inode::from_bytes(number, &vec![0; usize::from(size)])?;
        if let Some(extra) = superblock.new_extra_isize() {
            inode.set_extra_isize(extra);
        }
        let created = {
            let mut state = self.state();
            state.created = state.created.wrapping_add(1);
            state.created
        };
        // Deterministic, so that the same edit gives the same bytes; all that matters is that an
        // inode's next use has another one.
        let now = self.now();
        let mut seed = crc32c(!0, &superblock.uuid());
        for word in [number, created, now.nanos] {
            seed = crc32c(seed, &word.to_le_bytes());
        }
        inode.set_generation(crc32c(seed, &now.seconds.to_le_bytes()));
        for time in [Time::Access, Time::Change, Time::Modify, Time::Create] {
            inode.set_time(time, now);
        }
        Ok(inode)
    }

    /// Gives an inode back; what it refers to was given back before.
    pub(super) fn release_inode(&self, number: u32, directory: bool) -> Result<(), FsError> {
        let superblock = &self.superblock;
        let (group, index) = superblock.group_of_inode(number).ok_or(FsError::NotFound)?;
        if number < superblock.first_inode() {
            return Err(FsError::corrupt("inode", format_args!("inode {number}"), "is reserved"));
        }
        self.with_bitmap(Of::Inodes, group, |descriptor, bitmap| {
            bitmap.release(index, 1)?;
            descriptor.set_free_inodes(descriptor.free_inodes().saturating_add(1));
            if directory {
                let directories = descriptor.used_directories().saturating_sub(1);
                descriptor.set_used_directories(directories);
            }
            Ok(())
        })?
        .map_err(|_: u32| {
            FsError::corrupt("inode bitmap", format_args!("inode {number}"), "it is called free")
        })?;
        self.state().inodes.remove(&number);
        Ok(())
    }

    /// The group an inode's blocks should be near.
    pub(super) fn group_of(&self, inode: &Inode) -> u32 {
        self.superblock.group_of_inode(inode.number()).map_or(0, |(group, _)| group)
    }
}

fn corrupt_block(block: u64, problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt("block number", format_args!("block {block}"), problem)
}
