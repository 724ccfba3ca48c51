//! The superblock ([ext4 disk layout, "Super Block"](https://docs.kernel.org/filesystems/ext4/globals.html)).

use super::checksum::{START, crc32c};
use super::features::{Features, compat, incompat, ro_compat};
use super::raw::{high32, low32, put, put16, put32, u8_at, u16_at, u32_at, u64_at};
use crate::block::ReadBlocks;
use crate::bytes;
use crate::fs::FsError;

/// Where the superblock is on the device, in bytes.
pub const SUPERBLOCK_AT: u64 = 1024;
/// Its length in bytes.
pub const SUPERBLOCK_LEN: usize = 1024;

const MAGIC: u16 = 0xef53;
const MAGIC_AT: usize = 0x38;
const CHECKSUM_AT: usize = 0x3fc;
/// The kernel's `EXT4_MAX_BLOCK_LOG_SIZE` (16) less its minimum (10): blocks of 64 KiB at most.
const MAX_LOG_BLOCK_SIZE: u32 = 6;
/// The kernel's `EXT4_MAX_CLUSTER_LOG_SIZE` (30) less 10.
const MAX_LOG_CLUSTER_SIZE: u32 = 20;

/// `s_state`: unmounted cleanly.
pub const STATE_VALID: u16 = 1;
/// `s_state`: errors were seen.
pub const STATE_ERROR: u16 = 2;
/// `s_state`: orphans are being recovered.
pub const STATE_ORPHAN: u16 = 4;

/// A superblock whose geometry was checked: every derived number is sane and nothing divides by
/// zero. Its other fields are read from and written to the raw bytes.
#[derive(Clone, Debug)]
pub struct Superblock {
    raw: Box<[u8]>,
    features: Features,
    block_size: u32,
    cluster_blocks: u32,
    blocks_count: u64,
    blocks_per_group: u32,
    inodes_per_group: u32,
    inodes_count: u32,
    inode_size: u16,
    desc_size: u16,
    first_data_block: u32,
    group_count: u32,
    checksum_seed: u32,
}

impl Superblock {
    /// Whether the magic number and the few fields nobody could have by chance are there.
    ///
    /// # Errors
    /// The device failed.
    pub fn probe(device: &dyn ReadBlocks) -> Result<bool, FsError> {
        if device.len() < SUPERBLOCK_AT + SUPERBLOCK_LEN as u64 {
            return Ok(false);
        }
        let mut raw = [0; SUPERBLOCK_LEN];
        device.read_at(SUPERBLOCK_AT, &mut raw)?;
        Ok(u16_at(&raw, MAGIC_AT) == MAGIC
            && u32_at(&raw, 0x18) <= MAX_LOG_BLOCK_SIZE
            && u32_at(&raw, 0) != 0
            && u32_at(&raw, 0x28) != 0)
    }

    /// Reads and checks the primary superblock, and that the device holds all its blocks.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes); the device is too short.
    pub fn read(device: &dyn ReadBlocks) -> Result<Self, FsError> {
        if device.len() < SUPERBLOCK_AT + SUPERBLOCK_LEN as u64 {
            return Err(corrupt(format!("the device has only {} bytes", device.len())));
        }
        let mut raw = [0; SUPERBLOCK_LEN];
        device.read_at(SUPERBLOCK_AT, &mut raw)?;
        let superblock = Self::from_bytes(&raw)?;
        if superblock.size() > device.len() {
            return Err(corrupt(format!(
                "{} blocks of {} bytes, on a device of {} bytes",
                superblock.blocks_count,
                superblock.block_size,
                device.len()
            )));
        }
        Ok(superblock)
    }

    /// Parses 1024 bytes.
    ///
    /// # Errors
    /// `Unsupported` with the names of features we cannot read; `Corrupt` when the magic number,
    /// the checksum or the geometry is wrong.
    pub fn from_bytes(raw: &[u8; SUPERBLOCK_LEN]) -> Result<Self, FsError> {
        if u16_at(raw, MAGIC_AT) != MAGIC {
            return Err(corrupt(format!(
                "magic {:#06x}, expected {MAGIC:#06x}",
                u16_at(raw, MAGIC_AT)
            )));
        }
        let revision = u32_at(raw, 0x4c);
        let features = if revision == 0 {
            Features { compat: 0, incompat: 0, ro_compat: 0 }
        } else {
            Features {
                compat: u32_at(raw, 0x5c),
                incompat: u32_at(raw, 0x60),
                ro_compat: u32_at(raw, 0x64),
            }
        };
        if features.has_ro_compat(ro_compat::METADATA_CSUM) {
            let found = u32_at(raw, CHECKSUM_AT);
            let expected = crc32c(START, &raw[..CHECKSUM_AT]);
            if found != expected {
                return Err(corrupt(format!("checksum {found:#010x}, expected {expected:#010x}")));
            }
        }
        if features.has_incompat(incompat::JOURNAL_DEV) {
            return Err(FsError::unsupported("an external journal device (journal_dev)"));
        }
        let unreadable = features.unreadable();
        if !unreadable.is_empty() {
            return Err(FsError::unsupported(format!("feature {}", unreadable.join(", "))));
        }

        let log_block_size = u32_at(raw, 0x18);
        if log_block_size > MAX_LOG_BLOCK_SIZE {
            return Err(corrupt(format!("s_log_block_size {log_block_size}")));
        }
        let block_size = 1024_u32 << log_block_size;
        let cluster_blocks = if features.has_ro_compat(ro_compat::BIGALLOC) {
            let log = u32_at(raw, 0x1c);
            if log < log_block_size || log > MAX_LOG_CLUSTER_SIZE {
                return Err(corrupt(format!("s_log_cluster_size {log}")));
            }
            1 << (log - log_block_size)
        } else {
            1
        };

        let blocks_high =
            if features.has_incompat(incompat::BITS64) { u32_at(raw, 0x150) } else { 0 };
        let blocks_count = u64::from(blocks_high) << 32 | u64::from(u32_at(raw, 4));
        let blocks_per_group = u32_at(raw, 0x20);
        let clusters_per_group = blocks_per_group / cluster_blocks;
        if blocks_per_group == 0
            || !blocks_per_group.is_multiple_of(cluster_blocks)
            || clusters_per_group > 8 * block_size
            || !clusters_per_group.is_multiple_of(8)
        {
            return Err(corrupt(format!("s_blocks_per_group {blocks_per_group}")));
        }
        let first_data_block = u32_at(raw, 0x14);
        if first_data_block > 1 || u64::from(first_data_block) >= blocks_count {
            return Err(corrupt(format!("s_first_data_block {first_data_block}")));
        }
        let inode_size = if revision == 0 { 128 } else { u16_at(raw, 0x58) };
        if inode_size < 128 || !inode_size.is_power_of_two() || u32::from(inode_size) > block_size {
            return Err(corrupt(format!("s_inode_size {inode_size}")));
        }
        let inodes_per_group = u32_at(raw, 0x28);
        if inodes_per_group == 0 || inodes_per_group > 8 * block_size {
            return Err(corrupt(format!("s_inodes_per_group {inodes_per_group}")));
        }
        let desc_size =
            if features.has_incompat(incompat::BITS64) { u16_at(raw, 0xfe) } else { 32 };
        if desc_size < 32
            || !desc_size.is_power_of_two()
            || u32::from(desc_size) > block_size.min(1024)
        {
            return Err(corrupt(format!("s_desc_size {desc_size}")));
        }
        if features.has_incompat(incompat::BITS64) && desc_size < 64 {
            return Err(corrupt(format!("s_desc_size {desc_size} with 64bit")));
        }
        let groups =
            (blocks_count - u64::from(first_data_block)).div_ceil(u64::from(blocks_per_group));
        let inodes_count = u32_at(raw, 0);
        let group_count = u32::try_from(groups)
            .ok()
            .filter(|groups| u64::from(*groups) * u64::from(inodes_per_group) == u64::from(inodes_count))
            .ok_or_else(|| {
                corrupt(format!(
                    "s_inodes_count {inodes_count}, with {groups} groups of {inodes_per_group} inodes"
                ))
            })?;
        if blocks_count.checked_mul(u64::from(block_size)).is_none() {
            return Err(corrupt(format!("s_blocks_count {blocks_count}")));
        }

        let checksum_seed = if features.has_incompat(incompat::METADATA_CSUM_SEED) {
            u32_at(raw, 0x270)
        } else {
            crc32c(START, &raw[0x68..0x78])
        };
        Ok(Self {
            raw: raw.to_vec().into_boxed_slice(),
            features,
            block_size,
            cluster_blocks,
            blocks_count,
            blocks_per_group,
            inodes_per_group,
            inodes_count,
            inode_size,
            desc_size,
            first_data_block,
            group_count,
            checksum_seed,
        })
    }

    /// The 1024 bytes, with the checksum brought up to date where there is one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut raw = self.raw.to_vec();
        if self.features.has_ro_compat(ro_compat::METADATA_CSUM) {
            let checksum = crc32c(START, &raw[..CHECKSUM_AT]);
            put32(&mut raw, CHECKSUM_AT, checksum);
        }
        raw
    }

    /// The bytes of a backup copy in `group`: the same but for `s_block_group_nr`.
    pub fn to_backup_bytes(&self, group: u32) -> Vec<u8> {
        let mut copy = self.clone();
        put16(&mut copy.raw, 0x5a, (group & 0xffff) as u16);
        copy.to_bytes()
    }

    /// The feature words.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Sets or clears bits of `s_feature_incompat`.
    pub fn set_incompat(&mut self, bits: u32, on: bool) {
        self.features.incompat = with_bits(self.features.incompat, bits, on);
        put32(&mut self.raw, 0x60, self.features.incompat);
    }

    /// Sets or clears bits of `s_feature_ro_compat`.
    pub fn set_ro_compat(&mut self, bits: u32, on: bool) {
        self.features.ro_compat = with_bits(self.features.ro_compat, bits, on);
        put32(&mut self.raw, 0x64, self.features.ro_compat);
    }

    /// Sets or clears bits of `s_feature_compat`.
    pub fn set_compat(&mut self, bits: u32, on: bool) {
        self.features.compat = with_bits(self.features.compat, bits, on);
        put32(&mut self.raw, 0x5c, self.features.compat);
    }

    /// A feature of `compat` is on.
    pub fn has_compat(&self, bit: u32) -> bool {
        self.features.has_compat(bit)
    }

    /// A feature of `incompat` is on.
    pub fn has_incompat(&self, bit: u32) -> bool {
        self.features.has_incompat(bit)
    }

    /// A feature of `ro_compat` is on.
    pub fn has_ro_compat(&self, bit: u32) -> bool {
        self.features.has_ro_compat(bit)
    }

    /// Metadata carries crc32c checksums.
    pub fn metadata_csum(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM)
    }

    /// Group descriptors carry a checksum and may be uninitialised (`metadata_csum` or `uninit_bg`).
    pub fn has_group_checksum(&self) -> bool {
        self.has_ro_compat(ro_compat::METADATA_CSUM | ro_compat::UNINIT_BG)
    }

    /// Block size in bytes.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Block size in bytes, for slices.
    pub fn block_len(&self) -> usize {
        self.block_size as usize
    }

    /// Blocks in a cluster, the unit of allocation (1 without bigalloc).
    pub fn cluster_blocks(&self) -> u32 {
        self.cluster_blocks
    }

    /// How many blocks the filesystem has.
    pub fn blocks_count(&self) -> u64 {
        self.blocks_count
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.blocks_count.saturating_mul(u64::from(self.block_size))
    }

    /// Blocks a group (`s_blocks_per_group`).
    pub fn blocks_per_group(&self) -> u32 {
        self.blocks_per_group
    }

    /// Clusters a group: the bits its block bitmap uses.
    pub fn clusters_per_group(&self) -> u32 {
        self.blocks_per_group / self.cluster_blocks
    }

    /// Inodes a group.
    pub fn inodes_per_group(&self) -> u32 {
        self.inodes_per_group
    }

    /// How many inodes the filesystem has.
    pub fn inodes_count(&self) -> u32 {
        self.inodes_count
    }

    /// Bytes an inode takes in the table.
    pub fn inode_size(&self) -> u16 {
        self.inode_size
    }

    /// Blocks of a group's inode table.
    pub fn inode_table_blocks(&self) -> u32 {
        let bytes = u64::from(self.inodes_per_group) * u64::from(self.inode_size);
        u32::try_from(bytes.div_ceil(u64::from(self.block_size))).unwrap_or(u32::MAX)
    }

    /// Bytes a group descriptor takes.
    pub fn desc_size(&self) -> u16 {
        self.desc_size
    }

    /// The block the first group starts at: 1 with 1 KiB blocks, else 0.
    pub fn first_data_block(&self) -> u32 {
        self.first_data_block
    }

    /// How many groups there are.
    pub fn group_count(&self) -> u32 {
        self.group_count
    }

    /// First block of a group (which must be below [`group_count`](Self::group_count)).
    pub fn group_first_block(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// How many blocks a group has; the last may have fewer than the others.
    pub fn group_blocks(&self, group: u32) -> u32 {
        let rest = self.blocks_count.saturating_sub(self.group_first_block(group));
        u32::try_from(rest).unwrap_or(u32::MAX).min(self.blocks_per_group)
    }

    /// How many clusters a group has.
    pub fn group_clusters(&self, group: u32) -> u32 {
        self.group_blocks(group).div_ceil(self.cluster_blocks)
    }

    /// The group a block lies in and its cluster there; `None` outside the groups.
    pub fn group_of_block(&self, block: u64) -> Option<(u32, u32)> {
        if block >= self.blocks_count {
            return None;
        }
        let from_first = block.checked_sub(u64::from(self.first_data_block))?;
        let group = u32::try_from(from_first / u64::from(self.blocks_per_group)).ok()?;
        let within = u32::try_from(from_first % u64::from(self.blocks_per_group)).ok()?;
        Some((group, within / self.cluster_blocks))
    }

    /// The group an inode lies in and its place there; `None` when there is no such inode.
    pub fn group_of_inode(&self, inode: u32) -> Option<(u32, u32)> {
        if inode > self.inodes_count {
            return None;
        }
        let index = inode.checked_sub(1)?;
        Some((index / self.inodes_per_group, index % self.inodes_per_group))
    }

    /// Whether a group holds a copy of the superblock and of the descriptors.
    pub fn group_has_superblock(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if self.has_compat(compat::SPARSE_SUPER2) {
            return group == u32_at(&self.raw, 0x24c) || group == u32_at(&self.raw, 0x250);
        }
        if group == 1 || !self.has_ro_compat(ro_compat::SPARSE_SUPER) {
            return true;
        }
        [3, 5, 7].iter().any(|&base| is_power_of(group, base))
    }

    /// The seed of every crc32c in this filesystem.
    pub fn checksum_seed(&self) -> u32 {
        self.checksum_seed
    }

    /// First inode number free for files (`s_first_ino`); below it are the reserved ones.
    pub fn first_inode(&self) -> u32 {
        if self.revision() == 0 { 11 } else { u32_at(&self.raw, 0x54) }
    }

    /// `s_rev_level`.
    pub fn revision(&self) -> u32 {
        u32_at(&self.raw, 0x4c)
    }

    /// Free blocks. Blocks with bigalloc, too: only group descriptors count clusters.
    pub fn free_blocks(&self) -> u64 {
        let high = if self.has_incompat(incompat::BITS64) { u32_at(&self.raw, 0x158) } else { 0 };
        u64::from(high) << 32 | u64::from(u32_at(&self.raw, 0xc))
    }

    /// Sets the count of free blocks.
    pub fn set_free_blocks(&mut self, count: u64) {
        put32(&mut self.raw, 0xc, low32(count));
        if self.has_incompat(incompat::BITS64) {
            put32(&mut self.raw, 0x158, high32(count));
        }
    }

    /// Free inodes.
    pub fn free_inodes(&self) -> u32 {
        u32_at(&self.raw, 0x10)
    }

    /// Sets the count of free inodes.
    pub fn set_free_inodes(&mut self, count: u32) {
        put32(&mut self.raw, 0x10, count);
    }

    /// Blocks only root may take (`s_r_blocks_count`).
    pub fn reserved_blocks(&self) -> u64 {
        let high = if self.has_incompat(incompat::BITS64) { u32_at(&self.raw, 0x154) } else { 0 };
        u64::from(high) << 32 | u64::from(u32_at(&self.raw, 8))
    }

    /// `s_state`.
    pub fn state(&self) -> u16 {
        u16_at(&self.raw, 0x3a)
    }

    /// Sets `s_state`.
    pub fn set_state(&mut self, state: u16) {
        put16(&mut self.raw, 0x3a, state);
    }

    /// Sets the time of the last write, in seconds since the epoch (40 bits are kept).
    pub fn set_write_time(&mut self, seconds: i64) {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        put32(&mut self.raw, 0x30, low32(seconds));
        put(&mut self.raw, 0x274, &[(high32(seconds) & 0xff) as u8]);
    }

    /// The 16 bytes of the UUID.
    pub fn uuid(&self) -> [u8; 16] {
        bytes::array(&self.raw, 0x68).unwrap_or_default()
    }

    /// Sets the UUID, and with it the seed of every checksum where there is no other.
    pub fn set_uuid(&mut self, uuid: [u8; 16]) {
        put(&mut self.raw, 0x68, &uuid);
        if !self.has_incompat(incompat::METADATA_CSUM_SEED) {
            self.checksum_seed = crc32c(START, &uuid);
        }
    }

    /// The volume label's bytes up to the first NUL.
    pub fn label(&self) -> &[u8] {
        let label = self.raw.get(0x78..0x88).unwrap_or_default();
        label.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// `s_last_mounted`'s bytes up to the first NUL.
    pub fn last_mounted(&self) -> &[u8] {
        let path = self.raw.get(0x88..0xc8).unwrap_or_default();
        path.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The journal's inode, or 0.
    pub fn journal_inode(&self) -> u32 {
        u32_at(&self.raw, 0xe0)
    }

    /// The device number of an external journal, or 0.
    pub fn journal_device(&self) -> u32 {
        u32_at(&self.raw, 0xe4)
    }

    /// The 16 bytes of the external journal's UUID.
    pub fn journal_uuid(&self) -> [u8; 16] {
        bytes::array(&self.raw, 0xd0).unwrap_or_default()
    }

    /// Reserved descriptor blocks after each copy of the descriptors (`resize_inode`).
    pub fn reserved_descriptor_blocks(&self) -> u16 {
        u16_at(&self.raw, 0xce)
    }

    /// Head of the list of orphaned inodes, or 0.
    pub fn last_orphan(&self) -> u32 {
        u32_at(&self.raw, 0xe8)
    }

    /// Sets the head of the list of orphaned inodes.
    pub fn set_last_orphan(&mut self, inode: u32) {
        put32(&mut self.raw, 0xe8, inode);
    }

    /// The orphan file's inode, or 0.
    pub fn orphan_file_inode(&self) -> u32 {
        if self.has_compat(compat::ORPHAN_FILE) { u32_at(&self.raw, 0x280) } else { 0 }
    }

    /// The seed of directory hashes.
    pub fn hash_seed(&self) -> [u32; 4] {
        std::array::from_fn(|word| u32_at(&self.raw, 0xec + 4 * word))
    }

    /// The default directory hash (`s_def_hash_version`).
    pub fn default_hash_version(&self) -> u8 {
        u8_at(&self.raw, 0xfc)
    }

    /// `s_flags`: 1 directory hashes take signed chars, 2 unsigned, 4 a test filesystem.
    pub fn flags(&self) -> u32 {
        u32_at(&self.raw, 0x160)
    }

    /// First group of descriptor blocks laid out by `meta_bg`.
    pub fn first_meta_group(&self) -> u32 {
        u32_at(&self.raw, 0x104)
    }

    /// Groups whose metadata lie together (`flex_bg`), as a power of two.
    pub fn log_groups_per_flex(&self) -> u8 {
        u8_at(&self.raw, 0x174)
    }

    /// `i_extra_isize` that new inodes should have (`s_want_extra_isize`).
    pub fn want_extra_isize(&self) -> u16 {
        u16_at(&self.raw, 0x15e)
    }

    /// `i_extra_isize` that a new inode gets; `None` for inodes that have none.
    pub fn new_extra_isize(&self) -> Option<u16> {
        /// Up to and with `i_projid`: what the kernel gives new inodes.
        const EXTRA: u16 = 32;
        let room = self.inode_size().checked_sub(128).filter(|room| *room > 0)?;
        let wanted = self.want_extra_isize();
        let fits = wanted >= 4 && wanted.is_multiple_of(4) && wanted <= room;
        Some(if fits { wanted } else { EXTRA.min(room) })
    }

    /// How many bytes a new inode has for extended attributes.
    pub fn new_attribute_room(&self) -> usize {
        let extra = self.new_extra_isize();
        extra.map_or(0, |extra| usize::from(self.inode_size().saturating_sub(128 + extra)))
    }

    /// `i_extra_isize` that every inode has at least (`s_min_extra_isize`).
    pub fn min_extra_isize(&self) -> u16 {
        u16_at(&self.raw, 0x15c)
    }

    /// The block of the multi-mount protection, or 0.
    pub fn mmp_block(&self) -> u64 {
        if self.has_incompat(incompat::MMP) { u64_at(&self.raw, 0x168) } else { 0 }
    }

    /// The inodes of the user, group and project quota files (each 0 where there is none).
    pub fn quota_inodes(&self) -> [u32; 3] {
        [u32_at(&self.raw, 0x240), u32_at(&self.raw, 0x244), u32_at(&self.raw, 0x26c)]
    }

    /// The encoding of casefolded names (`s_encoding`, `s_encoding_flags`).
    pub fn encoding(&self) -> (u16, u16) {
        (u16_at(&self.raw, 0x27c), u16_at(&self.raw, 0x27e))
    }

    /// The journal was not replayed, or, without one, the filesystem not unmounted cleanly.
    pub fn is_dirty(&self) -> bool {
        self.has_incompat(incompat::NEEDS_RECOVERY)
            || !self.has_compat(compat::HAS_JOURNAL) && self.state() & STATE_VALID == 0
    }

    /// Why this filesystem must not be edited, when there is a reason.
    pub fn uneditable(&self) -> Option<String> {
        let features = self.features.uneditable();
        if !features.is_empty() {
            return Some(format!("feature {}", features.join(", ")));
        }
        if self.has_compat(compat::HAS_JOURNAL) && self.journal_inode() == 0 {
            return Some("its journal is on another device".to_owned());
        }
        if self.state() & STATE_ERROR != 0 {
            return Some("it records errors: run e2fsck first".to_owned());
        }
        if self.state() & STATE_VALID == 0 {
            return Some("it was not unmounted cleanly: run e2fsck first".to_owned());
        }
        None
    }
}

fn corrupt(problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt("superblock", format_args!("byte {SUPERBLOCK_AT}"), problem)
}

fn with_bits(word: u32, bits: u32, on: bool) -> u32 {
    if on { word | bits } else { word & !bits }
}

fn is_power_of(mut number: u32, base: u32) -> bool {
    while number > 1 && number.is_multiple_of(base) {
        number /= base;
    }
    number == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers() {
        let of3: Vec<u32> = (1..100).filter(|&n| is_power_of(n, 3)).collect();
        assert_eq!(of3, [1, 3, 9, 27, 81]);
    }
}
