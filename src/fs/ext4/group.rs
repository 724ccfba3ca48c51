//! Group descriptors ([ext4 disk layout, "Block Group Descriptors"](https://docs.kernel.org/filesystems/ext4/globals.html#block-group-descriptors)).

use super::checksum::{START, crc16, crc32c};
use super::features::{incompat, ro_compat};
use super::raw::{high16, low16, put16, u16_at, u32_at};
use super::superblock::{SUPERBLOCK_AT, Superblock};
use crate::fs::FsError;

/// `bg_flags`: the inode bitmap and table were never written; no inode is in use.
pub const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap was never written; only the group's own metadata is in use.
pub const BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the inode table was zeroed.
pub const INODE_ZEROED: u16 = 4;

const CHECKSUM_AT: usize = 0x1e;
/// The bytes with the high halves; descriptors this long have them.
const LONG: usize = 64;

/// One group's descriptor, 32 bytes or longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescriptor {
    raw: Box<[u8]>,
}

/// Byte offset on the device of a group's descriptor in the primary table.
///
/// With `meta_bg` the descriptors of a block's worth of groups lie in the first of these groups.
/// `group` must be below [`Superblock::group_count`].
pub fn descriptor_at(superblock: &Superblock, group: u32) -> u64 {
    let block_size = u64::from(superblock.block_size());
    let desc_size = u64::from(superblock.desc_size());
    let per_block = block_size / desc_size;
    let index = u64::from(group) / per_block;
    let superblock_block = SUPERBLOCK_AT / block_size;
    let meta = superblock.has_incompat(incompat::META_BG)
        && index >= u64::from(superblock.first_meta_group());
    let block = if meta {
        // Both lie below group_count, so they fit.
        let first = u32::try_from(index * per_block).unwrap_or(u32::MAX);
        let mut skip = u64::from(superblock.group_has_superblock(first));
        if first == 0 && block_size == 1024 && superblock.first_data_block() == 0 {
            skip += 1;
        }
        superblock.group_first_block(first) + skip
    } else {
        superblock_block + 1 + index
    };
    block * block_size + u64::from(group) % per_block * desc_size
}

impl GroupDescriptor {
    /// Takes the bytes of one descriptor; fields are judged where they are used.
    pub fn from_bytes(raw: &[u8]) -> Self {
        Self { raw: raw.into() }
    }

    /// The bytes; [`update_checksum`](Self::update_checksum) comes first after a change.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Checks the checksum and that bitmaps and inode table lie in the filesystem.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn check(&self, superblock: &Superblock, group: u32) -> Result<(), FsError> {
        let corrupt = |problem| {
            Err(FsError::corrupt("group descriptor", format_args!("group {group}"), problem))
        };
        if let Some(expected) = self.expected_checksum(superblock, group)
            && expected != self.checksum()
        {
            return corrupt(format!("checksum {:#06x}, expected {expected:#06x}", self.checksum()));
        }
        if superblock.has_group_checksum() && self.unused_inodes() > superblock.inodes_per_group() {
            return corrupt(format!("{} unused inodes", self.unused_inodes()));
        }
        let lowest = u64::from(superblock.first_data_block());
        let end = superblock.blocks_count();
        let table_blocks = u64::from(superblock.inode_table_blocks());
        for (name, first, len) in [
            ("block bitmap", self.block_bitmap(), 1),
            ("inode bitmap", self.inode_bitmap(), 1),
            ("inode table", self.inode_table(), table_blocks),
        ] {
            if first <= lowest || first.checked_add(len).is_none_or(|past| past > end) {
                return corrupt(format!("{name} at block {first}"));
            }
        }
        Ok(())
    }

    /// First block of the block bitmap.
    pub fn block_bitmap(&self) -> u64 {
        self.wide(0, 0x20)
    }

    /// First block of the inode bitmap.
    pub fn inode_bitmap(&self) -> u64 {
        self.wide(4, 0x24)
    }

    /// First block of the inode table.
    pub fn inode_table(&self) -> u64 {
        self.wide(8, 0x28)
    }

    /// Free clusters (blocks without bigalloc).
    pub fn free_clusters(&self) -> u32 {
        self.half(0xc, 0x2c)
    }

    /// Sets the count of free clusters.
    pub fn set_free_clusters(&mut self, count: u32) {
        self.set_half(0xc, 0x2c, count);
    }

    /// Free inodes.
    pub fn free_inodes(&self) -> u32 {
        self.half(0xe, 0x2e)
    }

    /// Sets the count of free inodes.
    pub fn set_free_inodes(&mut self, count: u32) {
        self.set_half(0xe, 0x2e, count);
    }

    /// Inodes in use that are directories.
    pub fn used_directories(&self) -> u32 {
        self.half(0x10, 0x30)
    }

    /// Sets the count of directories.
    pub fn set_used_directories(&mut self, count: u32) {
        self.set_half(0x10, 0x30, count);
    }

    /// Inodes at the end of the table that were never used. Means something only where group
    /// descriptors have checksums.
    pub fn unused_inodes(&self) -> u32 {
        self.half(0x1c, 0x32)
    }

    /// How many inodes at the table's start may have been used; the rest is not to be read.
    pub fn used_inodes(&self, superblock: &Superblock) -> u32 {
        let all = superblock.inodes_per_group();
        if self.inode_bitmap_is_uninit(superblock) {
            0
        } else if superblock.has_group_checksum() {
            all.saturating_sub(self.unused_inodes())
        } else {
            all
        }
    }

    /// Sets the count of never used inodes at the table's end.
    pub fn set_unused_inodes(&mut self, count: u32) {
        self.set_half(0x1c, 0x32, count);
    }

    /// `bg_flags`.
    pub fn flags(&self) -> u16 {
        u16_at(&self.raw, 0x12)
    }

    /// Sets `bg_flags`.
    pub fn set_flags(&mut self, flags: u16) {
        put16(&mut self.raw, 0x12, flags);
    }

    /// Whether the block bitmap was never written. The flag counts only with group checksums.
    pub fn block_bitmap_is_uninit(&self, superblock: &Superblock) -> bool {
        superblock.has_group_checksum() && self.flags() & BLOCK_UNINIT != 0
    }

    /// Whether the inode bitmap was never written. The flag counts only with group checksums.
    pub fn inode_bitmap_is_uninit(&self, superblock: &Superblock) -> bool {
        superblock.has_group_checksum() && self.flags() & INODE_UNINIT != 0
    }

    /// `bg_checksum`.
    pub fn checksum(&self) -> u16 {
        u16_at(&self.raw, CHECKSUM_AT)
    }

    /// What the checksum should be; `None` where descriptors have none.
    pub fn expected_checksum(&self, superblock: &Superblock, group: u32) -> Option<u16> {
        let head = self.raw.get(..CHECKSUM_AT).unwrap_or_default();
        let rest = self.raw.get(CHECKSUM_AT + 2..).unwrap_or_default();
        if superblock.metadata_csum() {
            let mut sum = crc32c(superblock.checksum_seed(), &group.to_le_bytes());
            sum = crc32c(sum, head);
            sum = crc32c(sum, &[0, 0]);
            Some(low16(crc32c(sum, rest)))
        } else if superblock.has_ro_compat(ro_compat::UNINIT_BG) {
            let mut sum = crc16(low16(START), &superblock.uuid());
            sum = crc16(sum, &group.to_le_bytes());
            Some(crc16(crc16(sum, head), rest))
        } else {
            None
        }
    }

    /// Brings the checksum up to date, where descriptors have one.
    pub fn update_checksum(&mut self, superblock: &Superblock, group: u32) {
        if let Some(sum) = self.expected_checksum(superblock, group) {
            put16(&mut self.raw, CHECKSUM_AT, sum);
        }
    }

    /// Whether the block bitmap's checksum is right; always so without `metadata_csum`.
    pub fn block_bitmap_is_right(&self, superblock: &Superblock, bitmap: &[u8]) -> bool {
        self.bitmap_is_right(superblock, bitmap, superblock.clusters_per_group(), 0x18, 0x38)
    }

    /// Whether the inode bitmap's checksum is right; always so without `metadata_csum`.
    pub fn inode_bitmap_is_right(&self, superblock: &Superblock, bitmap: &[u8]) -> bool {
        self.bitmap_is_right(superblock, bitmap, superblock.inodes_per_group(), 0x1a, 0x3a)
    }

    /// Records the checksum of a block bitmap (one block), where there is one.
    pub fn set_block_bitmap_checksum(&mut self, superblock: &Superblock, bitmap: &[u8]) {
        self.set_bitmap_checksum(superblock, bitmap, superblock.clusters_per_group(), 0x18, 0x38);
    }

    /// Records the checksum of an inode bitmap (one block), where there is one.
    pub fn set_inode_bitmap_checksum(&mut self, superblock: &Superblock, bitmap: &[u8]) {
        self.set_bitmap_checksum(superblock, bitmap, superblock.inodes_per_group(), 0x1a, 0x3a);
    }

    fn bitmap_is_right(
        &self,
        superblock: &Superblock,
        bitmap: &[u8],
        bits: u32,
        low: usize,
        high: usize,
    ) -> bool {
        if !superblock.metadata_csum() {
            return true;
        }
        let sum = bitmap_checksum(superblock, bitmap, bits);
        u16_at(&self.raw, low) == low16(sum)
            && (self.raw.len() < LONG || u16_at(&self.raw, high) == high16(sum))
    }

    fn set_bitmap_checksum(
        &mut self,
        superblock: &Superblock,
        bitmap: &[u8],
        bits: u32,
        low: usize,
        high: usize,
    ) {
        if superblock.metadata_csum() {
            let sum = bitmap_checksum(superblock, bitmap, bits);
            put16(&mut self.raw, low, low16(sum));
            if self.raw.len() >= LONG {
                put16(&mut self.raw, high, high16(sum));
            }
        }
    }

    fn wide(&self, low: usize, high: usize) -> u64 {
        let high = if self.raw.len() >= LONG { u32_at(&self.raw, high) } else { 0 };
        u64::from(high) << 32 | u64::from(u32_at(&self.raw, low))
    }

    fn half(&self, low: usize, high: usize) -> u32 {
        let high = if self.raw.len() >= LONG { u16_at(&self.raw, high) } else { 0 };
        u32::from(high) << 16 | u32::from(u16_at(&self.raw, low))
    }

    fn set_half(&mut self, low: usize, high: usize, value: u32) {
        put16(&mut self.raw, low, low16(value));
        if self.raw.len() >= LONG {
            put16(&mut self.raw, high, high16(value));
        }
    }
}

fn bitmap_checksum(superblock: &Superblock, bitmap: &[u8], bits: u32) -> u32 {
    let bytes = (bits as usize).div_ceil(8).min(bitmap.len());
    crc32c(superblock.checksum_seed(), &bitmap[..bytes])
}
