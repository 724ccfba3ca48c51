//! The accounts of a filesystem: checksums and free counts of every group against its bitmaps and
//! inodes, and their sums against the superblock.
//!
//! It finds what an editor could get wrong; it is no fsck, and walks no tree.

use super::features::{compat, incompat, ro_compat};
use super::group::{GroupDescriptor, descriptor_at};
use super::inode::Inode;
use super::superblock::Superblock;
use crate::block::ReadBlocks;
use crate::fs::{FsError, Kind};

/// After this many problems nobody reads on.
const MAX_PROBLEMS: usize = 100;

/// Checks the superblock, every group descriptor, bitmap and inode in use; gives what is wrong, a
/// line each. Memory: a few blocks, whatever the size.
///
/// # Errors
/// `Unsupported`; the device failed. What is wrong on the disk is a problem, not an error.
pub fn check(device: &dyn ReadBlocks) -> Result<Vec<String>, FsError> {
    let superblock = match Superblock::read(device) {
        Ok(superblock) => superblock,
        Err(error @ FsError::Corrupt(_)) => return Ok(vec![error.to_string()]),
        Err(error) => return Err(error),
    };
    let mut check = Check {
        device,
        superblock: &superblock,
        problems: Vec::new(),
        bitmap: vec![0; superblock.block_len()],
        table: vec![0; superblock.block_len()],
        descriptors: vec![0; superblock.block_len()],
        descriptors_at: u64::MAX,
    };
    let mut free_clusters = 0;
    let mut free_inodes = 0;
    for group in 0..superblock.group_count() {
        if check.problems.len() >= MAX_PROBLEMS {
            check.problems.push("and more".to_owned());
            return Ok(check.problems);
        }
        let descriptor = check.descriptor(group)?;
        if let Err(error) = descriptor.check(&superblock, group) {
            check.problems.push(error.to_string());
            continue;
        }
        free_clusters += u64::from(descriptor.free_clusters());
        free_inodes += u64::from(descriptor.free_inodes());
        check.blocks(group, &descriptor)?;
        check.inodes(group, &descriptor)?;
    }
    for (what, found, expected) in [
        (
            "free blocks",
            superblock.free_blocks(),
            free_clusters * u64::from(superblock.cluster_blocks()),
        ),
        ("free inodes", u64::from(superblock.free_inodes()), free_inodes),
    ] {
        if found != expected {
            check.problems.push(format!("superblock: {found} {what}, the groups have {expected}"));
        }
    }
    Ok(check.problems)
}

struct Check<'a> {
    device: &'a dyn ReadBlocks,
    superblock: &'a Superblock,
    problems: Vec<String>,
    bitmap: Vec<u8>,
    table: Vec<u8>,
    descriptors: Vec<u8>,
    descriptors_at: u64,
}

impl Check<'_> {
    fn descriptor(&mut self, group: u32) -> Result<GroupDescriptor, FsError> {
        let at = descriptor_at(self.superblock, group);
        let len = self.superblock.block_len();
        let block_at = at - at % len as u64;
        if block_at != self.descriptors_at {
            self.device.read_at(block_at, &mut self.descriptors)?;
            self.descriptors_at = block_at;
        }
        let within = (at - block_at) as usize;
        let end = within + usize::from(self.superblock.desc_size());
        Ok(GroupDescriptor::from_bytes(self.descriptors.get(within..end).unwrap_or_default()))
    }

    fn read_bitmap(&mut self, block: u64) -> Result<(), FsError> {
        let at = block * u64::from(self.superblock.block_size());
        Ok(self.device.read_at(at, &mut self.bitmap)?)
    }

    fn say(&mut self, group: u32, problem: impl std::fmt::Display) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(format!("group {group}: {problem}"));
        }
    }

    fn blocks(&mut self, group: u32, descriptor: &GroupDescriptor) -> Result<(), FsError> {
        let clusters = self.superblock.group_clusters(group);
        let free = if descriptor.block_bitmap_is_uninit(self.superblock) {
            match self.uninit_free_clusters(group, descriptor) {
                Some(free) => free,
                None => return Ok(()),
            }
        } else {
            self.read_bitmap(descriptor.block_bitmap())?;
            if !descriptor.block_bitmap_is_right(self.superblock, &self.bitmap) {
                self.say(group, "wrong checksum of the block bitmap");
            }
            if !padding_is_set(&self.bitmap, clusters) {
                self.say(group, "the block bitmap's end is not filled with ones");
            }
            clusters - ones(&self.bitmap, clusters)
        };
        if free != descriptor.free_clusters() {
            let found = descriptor.free_clusters();
            self.say(group, format_args!("{found} free clusters, the bitmap has {free}"));
        }
        Ok(())
    }

    /// Free clusters of a group whose bitmap was never written: all but its own metadata. `None`
    /// with bigalloc, where clusters may be shared between kinds of metadata.
    fn uninit_free_clusters(&self, group: u32, descriptor: &GroupDescriptor) -> Option<u32> {
        let superblock = self.superblock;
        if superblock.has_ro_compat(ro_compat::BIGALLOC) {
            return None;
        }
        let per_block = superblock.block_size() / u32::from(superblock.desc_size());
        let meta_from = if superblock.has_incompat(incompat::META_BG) {
            superblock.first_meta_group()
        } else {
            u32::MAX
        };
        let has_super = superblock.group_has_superblock(group);
        let mut used = u32::from(has_super);
        if group / per_block < meta_from {
            if has_super {
                used += superblock.group_count().div_ceil(per_block).min(meta_from);
                if superblock.has_compat(compat::RESIZE_INODE) {
                    used += u32::from(superblock.reserved_descriptor_blocks());
                }
            }
        } else {
            let place = group % per_block;
            used += u32::from(place == 0 || place == 1 || place == per_block - 1);
        }
        let first = superblock.group_first_block(group);
        let own = first..first + u64::from(superblock.group_blocks(group));
        used += u32::from(own.contains(&descriptor.block_bitmap()));
        used += u32::from(own.contains(&descriptor.inode_bitmap()));
        let table = descriptor.inode_table();
        let past = table + u64::from(superblock.inode_table_blocks());
        let shared = past.min(own.end).saturating_sub(table.max(own.start));
        used += u32::try_from(shared).unwrap_or(u32::MAX);
        superblock.group_clusters(group).checked_sub(used)
    }

    fn inodes(&mut self, group: u32, descriptor: &GroupDescriptor) -> Result<(), FsError> {
        let inodes = self.superblock.inodes_per_group();
        let (mut free, mut directories) = (inodes, 0);
        if !descriptor.inode_bitmap_is_uninit(self.superblock) {
            self.read_bitmap(descriptor.inode_bitmap())?;
            if !descriptor.inode_bitmap_is_right(self.superblock, &self.bitmap) {
                self.say(group, "wrong checksum of the inode bitmap");
            }
            if !padding_is_set(&self.bitmap, inodes) {
                self.say(group, "the inode bitmap's end is not filled with ones");
            }
            free = inodes - ones(&self.bitmap, inodes);
            if self.superblock.has_group_checksum() {
                let unused = descriptor.unused_inodes();
                match inodes.checked_sub(unused) {
                    Some(used) if ones(&self.bitmap, inodes) == ones(&self.bitmap, used) => {}
                    _ => self.say(
                        group,
                        format_args!("inodes are in use among the {unused} unused at the end"),
                    ),
                }
            }
            directories = self.used_inodes(group, descriptor)?;
        }
        for (what, found, expected) in [
            ("free inodes", descriptor.free_inodes(), free),
            ("directories", descriptor.used_directories(), directories),
        ] {
            if found != expected {
                self.say(group, format_args!("{found} {what}, there are {expected}"));
            }
        }
        Ok(())
    }

    /// Looks at each inode in use; gives how many are directories.
    fn used_inodes(&mut self, group: u32, descriptor: &GroupDescriptor) -> Result<u32, FsError> {
        let superblock = self.superblock;
        let size = usize::from(superblock.inode_size());
        let per_block = superblock.block_len() / size;
        let inodes = superblock.inodes_per_group();
        let mut directories = 0;
        for (step, first) in (0..inodes).step_by(per_block).enumerate() {
            let last = (first + per_block as u32).min(inodes);
            if !(first..last).any(|bit| is_set(&self.bitmap, bit)) {
                continue;
            }
            let block = descriptor.inode_table() + step as u64;
            self.device.read_at(block * u64::from(superblock.block_size()), &mut self.table)?;
            for bit in (first..last).filter(|&bit| is_set(&self.bitmap, bit)) {
                let number = group * inodes + bit + 1;
                let at = (bit - first) as usize * size;
                let raw = self.table.get(at..at + size).unwrap_or_default();
                let inode = Inode::from_bytes(number, raw)?;
                let is_unused = raw.iter().all(|&byte| byte == 0);
                if is_unused && number < superblock.first_inode() {
                    continue;
                }
                directories += u32::from(inode.kind() == Some(Kind::Directory));
                let problem = if !inode.checksum_is_right(superblock) {
                    "wrong checksum"
                } else if inode.links() == 0 && number >= superblock.first_inode() {
                    "in use without a name"
                } else {
                    continue;
                };
                if self.problems.len() < MAX_PROBLEMS {
                    self.problems.push(format!("inode {number}: {problem}"));
                }
            }
        }
        Ok(directories)
    }
}

fn is_set(bitmap: &[u8], bit: u32) -> bool {
    bitmap.get(bit as usize / 8).is_some_and(|byte| byte >> (bit % 8) & 1 != 0)
}

/// How many of the first `bits` are set.
fn ones(bitmap: &[u8], bits: u32) -> u32 {
    let whole = bits as usize / 8;
    let full: u32 = bitmap.iter().take(whole).map(|byte| byte.count_ones()).sum();
    let rest = bitmap.get(whole).copied().unwrap_or(0) & ((1_u16 << (bits % 8)) - 1) as u8;
    full + rest.count_ones()
}

/// Whether every bit from `bits` to the block's end is set.
fn padding_is_set(bitmap: &[u8], bits: u32) -> bool {
    let total = u32::try_from(bitmap.len() * 8).unwrap_or(u32::MAX);
    total - bits.min(total) == ones(bitmap, total) - ones(bitmap, bits.min(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_to_the_bit() {
        let bitmap = [0xff, 0b1010_0101, 0xf0, 0xff];
        assert_eq!(
            [0, 8, 9, 10, 11, 16, 32].map(|bits| ones(&bitmap, bits)),
            [0, 8, 9, 9, 10, 12, 24]
        );
        assert!(padding_is_set(&bitmap, 20) && !padding_is_set(&bitmap, 19));
    }
}
