//! Inodes ([ext4 disk layout, "Index Nodes"](https://docs.kernel.org/filesystems/ext4/dynamic.html#index-nodes)).

use super::checksum::{crc32c, inode_seed};
use super::features::{incompat, ro_compat};
use super::raw::{high16, high32, low16, low32, put, put16, put32, u16_at, u32_at};
use super::superblock::Superblock;
use crate::fs::{FsError, Kind, Timestamp};

/// The inode of the bad blocks (`EXT2_BAD_INO`).
pub const BAD: u32 = 1;
/// The root directory's inode.
pub const ROOT: u32 = 2;

/// `i_flags`: append only.
pub const APPEND: u32 = 0x20;
/// `i_flags`: immutable.
pub const IMMUTABLE: u32 = 0x10;
/// `i_flags`: encrypted by fscrypt.
pub const ENCRYPT: u32 = 0x800;
/// `i_flags`: the directory has a hashed index.
pub const INDEX: u32 = 0x1000;
/// `i_flags`: `i_blocks` counts filesystem blocks.
pub const HUGE_FILE: u32 = 0x4_0000;
/// `i_flags`: the block area holds an extent tree.
pub const EXTENTS: u32 = 0x8_0000;
/// `i_flags`: protected by fs-verity.
pub const VERITY: u32 = 0x10_0000;
/// `i_flags`: the inode holds an extended attribute's value.
pub const EA_INODE: u32 = 0x20_0000;
/// `i_flags`: content is in the inode.
pub const INLINE_DATA: u32 = 0x1000_0000;
/// `i_flags`: names are looked up without regard to case.
pub const CASEFOLD: u32 = 0x4000_0000;

/// The length of the part every inode has.
pub const OLD_SIZE: usize = 128;
/// Where `i_block` is.
pub const BLOCK_AREA_AT: usize = 0x28;
/// The length of `i_block`: 15 block numbers, an extent tree's root, or inline content.
pub const BLOCK_AREA_LEN: usize = 60;

const CHECKSUM_LOW_AT: usize = 0x7c;
const CHECKSUM_HIGH_AT: usize = 0x82;

/// A time of an inode, by where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// When the content was last read.
    Access,
    /// When the metadata last changed.
    Change,
    /// When the content last changed.
    Modify,
    /// When the inode was made; only inodes with room beyond 128 bytes have it.
    Create,
}

impl Time {
    fn at(self) -> (usize, usize) {
        match self {
            Self::Access => (0x08, 0x8c),
            Self::Change => (0x0c, 0x84),
            Self::Modify => (0x10, 0x88),
            Self::Create => (0x90, 0x94),
        }
    }
}

/// One inode: its number and all its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    number: u32,
    raw: Box<[u8]>,
}

impl Inode {
    /// Takes an inode's bytes as they are in the table (at least 128).
    ///
    /// # Errors
    /// `Corrupt` when they are too few.
    pub fn from_bytes(number: u32, raw: &[u8]) -> Result<Self, FsError> {
        if raw.len() < OLD_SIZE {
            return Err(FsError::corrupt("inode", format_args!("inode {number}"), "too short"));
        }
        Ok(Self { number, raw: raw.into() })
    }

    /// The bytes; [`update_checksum`](Self::update_checksum) comes first after a change.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// A corruption of this inode.
    pub fn corrupt(&self, structure: &'static str, problem: impl std::fmt::Display) -> FsError {
        FsError::corrupt(structure, format_args!("inode {}", self.number), problem)
    }

    /// `i_mode`, type bits included.
    pub fn mode(&self) -> u16 {
        u16_at(&self.raw, 0)
    }

    /// Sets `i_mode`, type bits included.
    pub fn set_mode(&mut self, mode: u16) {
        put16(&mut self.raw, 0, mode);
    }

    /// The kind of object; `None` when the type bits say nothing known.
    pub fn kind(&self) -> Option<Kind> {
        kind_of_mode(self.mode())
    }

    /// Owner.
    pub fn uid(&self) -> u32 {
        u32::from(u16_at(&self.raw, 0x78)) << 16 | u32::from(u16_at(&self.raw, 2))
    }

    /// Sets the owner.
    pub fn set_uid(&mut self, uid: u32) {
        put16(&mut self.raw, 2, low16(uid));
        put16(&mut self.raw, 0x78, high16(uid));
    }

    /// Group.
    pub fn gid(&self) -> u32 {
        u32::from(u16_at(&self.raw, 0x7a)) << 16 | u32::from(u16_at(&self.raw, 0x18))
    }

    /// Sets the group.
    pub fn set_gid(&mut self, gid: u32) {
        put16(&mut self.raw, 0x18, low16(gid));
        put16(&mut self.raw, 0x7a, high16(gid));
    }

    /// Content length in bytes. The high half counts for regular files, and for directories
    /// with `large_dir`; ext2 kept a directory's ACL block there.
    pub fn size(&self, superblock: &Superblock) -> u64 {
        let low = u64::from(u32_at(&self.raw, 4));
        let wide = match self.kind() {
            Some(Kind::File) | None => true,
            Some(Kind::Directory) => superblock.has_incompat(incompat::LARGE_DIR),
            _ => false,
        };
        if wide { u64::from(u32_at(&self.raw, 0x6c)) << 32 | low } else { low }
    }

    /// Sets the content length in bytes.
    pub fn set_size(&mut self, size: u64) {
        put32(&mut self.raw, 4, low32(size));
        put32(&mut self.raw, 0x6c, high32(size));
    }

    /// Storage taken, in bytes.
    pub fn allocated(&self, superblock: &Superblock) -> u64 {
        let low = u64::from(u32_at(&self.raw, 0x1c));
        if !superblock.has_ro_compat(ro_compat::HUGE_FILE) {
            return low * 512;
        }
        let count = u64::from(u16_at(&self.raw, 0x74)) << 32 | low;
        let unit = if self.has_flag(HUGE_FILE) { u64::from(superblock.block_size()) } else { 512 };
        count * unit
    }

    /// Sets the storage taken, in bytes (a multiple of the block size).
    ///
    /// # Errors
    /// `NoSpace` when the field cannot hold it (more than 2 TiB without `huge_file`).
    pub fn set_allocated(&mut self, superblock: &Superblock, bytes: u64) -> Result<(), FsError> {
        let sectors = bytes / 512;
        let (count, huge) = if sectors <= u64::from(u32::MAX) {
            (sectors, false)
        } else if !superblock.has_ro_compat(ro_compat::HUGE_FILE) {
            return Err(FsError::NoSpace);
        } else if sectors >> 48 == 0 {
            (sectors, false)
        } else {
            (bytes / u64::from(superblock.block_size()), true)
        };
        self.set_flag(HUGE_FILE, huge);
        put32(&mut self.raw, 0x1c, low32(count));
        if superblock.has_ro_compat(ro_compat::HUGE_FILE) {
            put16(&mut self.raw, 0x74, low16(high32(count)));
        }
        Ok(())
    }

    /// How many names point here (1 for a directory with more than 64,998 subdirectories).
    pub fn links(&self) -> u16 {
        u16_at(&self.raw, 0x1a)
    }

    /// Sets how many names point here.
    pub fn set_links(&mut self, links: u16) {
        put16(&mut self.raw, 0x1a, links);
    }

    /// `i_flags`.
    pub fn flags(&self) -> u32 {
        u32_at(&self.raw, 0x20)
    }

    /// Whether any of these flags is set.
    pub fn has_flag(&self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    /// Sets or clears flags.
    pub fn set_flag(&mut self, flag: u32, on: bool) {
        let flags = if on { self.flags() | flag } else { self.flags() & !flag };
        put32(&mut self.raw, 0x20, flags);
    }

    /// `i_dtime`: when it was deleted; while orphaned, the next orphan.
    pub fn dtime(&self) -> u32 {
        u32_at(&self.raw, 0x14)
    }

    /// Sets `i_dtime`.
    pub fn set_dtime(&mut self, value: u32) {
        put32(&mut self.raw, 0x14, value);
    }

    /// `i_generation`.
    pub fn generation(&self) -> u32 {
        u32_at(&self.raw, 0x64)
    }

    /// Sets `i_generation`.
    pub fn set_generation(&mut self, generation: u32) {
        put32(&mut self.raw, 0x64, generation);
    }

    /// The block with extended attributes, or 0.
    pub fn xattr_block(&self) -> u64 {
        u64::from(u16_at(&self.raw, 0x76)) << 32 | u64::from(u32_at(&self.raw, 0x68))
    }

    /// Sets the block with extended attributes.
    pub fn set_xattr_block(&mut self, block: u64) {
        put32(&mut self.raw, 0x68, low32(block));
        put16(&mut self.raw, 0x76, low16(high32(block)));
    }

    /// `i_block`, 60 bytes.
    pub fn block_area(&self) -> &[u8] {
        self.raw.get(BLOCK_AREA_AT..BLOCK_AREA_AT + BLOCK_AREA_LEN).unwrap_or_default()
    }

    /// Writes `i_block`; what is not given becomes zero.
    pub fn set_block_area(&mut self, area: &[u8]) {
        put(&mut self.raw, BLOCK_AREA_AT, &[0; BLOCK_AREA_LEN]);
        put(&mut self.raw, BLOCK_AREA_AT, &area[..area.len().min(BLOCK_AREA_LEN)]);
    }

    /// `i_extra_isize`: bytes of fixed fields beyond the first 128; 0 in a 128-byte inode.
    pub fn extra_isize(&self) -> u16 {
        u16_at(&self.raw, 0x80)
    }

    /// Sets `i_extra_isize`.
    pub fn set_extra_isize(&mut self, bytes: u16) {
        put16(&mut self.raw, 0x80, bytes);
    }

    /// Checks `i_extra_isize` against the inode's size, as the kernel does.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn check_extra_isize(&self) -> Result<(), FsError> {
        let extra = usize::from(self.extra_isize());
        if self.raw.len() > OLD_SIZE
            && (OLD_SIZE + extra > self.raw.len() || !extra.is_multiple_of(4))
        {
            return Err(self.corrupt("inode", format_args!("i_extra_isize {extra}")));
        }
        Ok(())
    }

    /// The bytes after the fixed fields: extended attributes in the inode, with their magic
    /// number. Empty when there is no room.
    pub fn xattr_area(&self) -> &[u8] {
        self.raw.get(self.xattr_area_at()..).unwrap_or_default()
    }

    /// Where [`xattr_area`](Self::xattr_area) begins in the inode.
    pub fn xattr_area_at(&self) -> usize {
        if self.raw.len() <= OLD_SIZE || self.extra_isize() == 0 {
            return self.raw.len();
        }
        (OLD_SIZE + usize::from(self.extra_isize())).min(self.raw.len())
    }

    /// Writes the area of extended attributes; what is not given becomes zero.
    ///
    /// # Errors
    /// `NoSpace` when it does not fit.
    pub fn set_xattr_area(&mut self, area: &[u8]) -> Result<(), FsError> {
        let at = self.xattr_area_at();
        let room = self.raw.get_mut(at..).unwrap_or_default();
        if area.len() > room.len() {
            return Err(FsError::NoSpace);
        }
        room.fill(0);
        put(room, 0, area);
        Ok(())
    }

    /// One of the times. Without room for its extra half it has whole seconds up to 2038.
    pub fn time(&self, which: Time) -> Timestamp {
        let (at, extra_at) = which.at();
        let seconds = i64::from(u32_at(&self.raw, at).cast_signed());
        if !self.has_field(extra_at) {
            return Timestamp { seconds, nanos: 0 };
        }
        let extra = u32_at(&self.raw, extra_at);
        Timestamp {
            seconds: seconds + (i64::from(extra & 3) << 32),
            nanos: (extra >> 2).min(999_999_999),
        }
    }

    /// Sets one of the times, clamped to what the inode can store. Nothing where the inode has no
    /// room for a creation time.
    pub fn set_time(&mut self, which: Time, time: Timestamp) {
        let (at, extra_at) = which.at();
        if which == Time::Create && !self.has_field(extra_at) {
            return;
        }
        let wide = self.has_field(extra_at);
        let most = i64::from(i32::MAX) + if wide { 3 << 32 } else { 0 };
        let seconds = time.seconds.clamp(i64::from(i32::MIN), most);
        let low = (seconds & 0xffff_ffff) as u32;
        put32(&mut self.raw, at, low);
        if wide {
            let epoch = (seconds - i64::from(low.cast_signed())) >> 32 & 3;
            put32(&mut self.raw, extra_at, time.nanos.min(999_999_999) << 2 | epoch as u32);
        }
    }

    /// A device node's major and minor number, in the old or the new encoding.
    pub fn device(&self) -> (u32, u32) {
        let old = u32_at(&self.raw, BLOCK_AREA_AT);
        if old != 0 {
            return (old >> 8 & 0xff, old & 0xff);
        }
        let new = u32_at(&self.raw, BLOCK_AREA_AT + 4);
        (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
    }

    /// Whether a device's numbers can be kept: 12 bits of the major one and 20 of the minor one.
    pub fn keeps_device((major, minor): (u32, u32)) -> bool {
        major <= 0xfff && minor <= 0xf_ffff
    }

    /// Sets a device node's numbers, in the encoding that the kernel chooses for them.
    pub fn set_device(&mut self, (major, minor): (u32, u32)) {
        let (old, new) = if major < 256 && minor < 256 {
            (major << 8 | minor, 0)
        } else {
            (0, minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12)
        };
        put32(&mut self.raw, BLOCK_AREA_AT, old);
        put32(&mut self.raw, BLOCK_AREA_AT + 4, new);
    }

    /// The value's reference count, in an inode that holds an extended attribute's value.
    pub fn ea_references(&self) -> u64 {
        u64::from(u32_at(&self.raw, 0xc)) << 32 | u64::from(u32_at(&self.raw, 0x24))
    }

    /// Sets the value's reference count.
    pub fn set_ea_references(&mut self, count: u64) {
        put32(&mut self.raw, 0xc, high32(count));
        put32(&mut self.raw, 0x24, low32(count));
    }

    /// The value's hash, in an inode that holds an extended attribute's value.
    pub fn ea_hash(&self) -> u32 {
        u32_at(&self.raw, 8)
    }

    /// The seed of the checksums of this inode's blocks.
    pub fn checksum_seed(&self, superblock: &Superblock) -> u32 {
        inode_seed(superblock.checksum_seed(), self.number, self.generation())
    }

    /// Whether the checksum is right; always so without `metadata_csum`.
    pub fn checksum_is_right(&self, superblock: &Superblock) -> bool {
        if !superblock.metadata_csum() {
            return true;
        }
        let sum = self.checksum(superblock);
        u16_at(&self.raw, CHECKSUM_LOW_AT) == low16(sum)
            && (!self.has_checksum_high() || u16_at(&self.raw, CHECKSUM_HIGH_AT) == high16(sum))
    }

    /// Brings the checksum up to date, where inodes have one.
    pub fn update_checksum(&mut self, superblock: &Superblock) {
        if superblock.metadata_csum() {
            let sum = self.checksum(superblock);
            put16(&mut self.raw, CHECKSUM_LOW_AT, low16(sum));
            if self.has_checksum_high() {
                put16(&mut self.raw, CHECKSUM_HIGH_AT, high16(sum));
            }
        }
    }

    fn checksum(&self, superblock: &Superblock) -> u32 {
        let seed = self.checksum_seed(superblock);
        let (old, extra) = self.raw.split_at(OLD_SIZE.min(self.raw.len()));
        let mut sum = crc32c(seed, &old[..CHECKSUM_LOW_AT]);
        sum = crc32c(sum, &[0, 0]);
        sum = crc32c(sum, &old[CHECKSUM_LOW_AT + 2..]);
        if extra.is_empty() {
            return sum;
        }
        if !self.has_checksum_high() {
            return crc32c(sum, extra);
        }
        let high = CHECKSUM_HIGH_AT - OLD_SIZE;
        sum = crc32c(sum, &extra[..high]);
        sum = crc32c(sum, &[0, 0]);
        crc32c(sum, &extra[high + 2..])
    }

    fn has_checksum_high(&self) -> bool {
        self.raw.len() > OLD_SIZE && self.extra_isize() >= 4
    }

    /// Whether `i_extra_isize` says that the `u32` at `at` is there.
    fn has_field(&self, at: usize) -> bool {
        self.raw.len() > OLD_SIZE
            && at + 4 <= OLD_SIZE + usize::from(self.extra_isize())
            && at + 4 <= self.raw.len()
    }
}

/// The kind of object a mode's type bits say.
pub fn kind_of_mode(mode: u16) -> Option<Kind> {
    Some(match mode & 0xf000 {
        0x1000 => Kind::Fifo,
        0x2000 => Kind::CharDevice,
        0x4000 => Kind::Directory,
        0x6000 => Kind::BlockDevice,
        0x8000 => Kind::File,
        0xa000 => Kind::Symlink,
        0xc000 => Kind::Socket,
        _ => return None,
    })
}

/// A mode's type bits for a kind of object.
pub fn mode_of_kind(kind: Kind) -> u16 {
    match kind {
        Kind::Fifo => 0x1000,
        Kind::CharDevice => 0x2000,
        Kind::Directory => 0x4000,
        Kind::BlockDevice => 0x6000,
        Kind::File => 0x8000,
        Kind::Symlink => 0xa000,
        Kind::Socket => 0xc000,
    }
}

/// The kind of object a directory record's file type says; `None` where it does not.
pub fn kind_of_file_type(file_type: u8) -> Option<Kind> {
    Some(match file_type {
        1 => Kind::File,
        2 => Kind::Directory,
        3 => Kind::CharDevice,
        4 => Kind::BlockDevice,
        5 => Kind::Fifo,
        6 => Kind::Socket,
        7 => Kind::Symlink,
        _ => return None,
    })
}

/// A directory record's file type for a kind of object.
pub fn file_type_of_kind(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(size: usize, extra: u16) -> Inode {
        let mut inode = Inode::from_bytes(12, &vec![0; size]).unwrap();
        inode.set_extra_isize(extra);
        inode
    }

    #[test]
    fn times_beyond_2038_and_before_1970() {
        for seconds in
            [0, -1, -2_147_483_648, 2_147_483_647, 2_147_483_648, 4_294_967_296, 15_032_385_535]
        {
            let time = Timestamp { seconds, nanos: 123_456_789 };
            let mut inode = inode(256, 32);
            for which in [Time::Access, Time::Change, Time::Modify, Time::Create] {
                inode.set_time(which, time);
                assert_eq!(inode.time(which), time);
            }
        }
    }

    #[test]
    fn times_are_clamped_to_what_fits() {
        let mut small = inode(128, 0);
        small.set_time(Time::Modify, Timestamp { seconds: 4_294_967_296, nanos: 5 });
        assert_eq!(small.time(Time::Modify), Timestamp { seconds: 2_147_483_647, nanos: 0 });
        small.set_time(Time::Create, Timestamp { seconds: 1, nanos: 0 });
        assert_eq!(small.as_bytes().len(), 128);
    }

    #[test]
    fn owners_have_high_halves() {
        let mut inode = inode(128, 0);
        inode.set_uid(0x1234_5678);
        inode.set_gid(0x9abc_def0);
        assert_eq!((inode.uid(), inode.gid()), (0x1234_5678, 0x9abc_def0));
    }

    #[test]
    fn devices_in_both_encodings() {
        let mut inode = inode(128, 0);
        inode.set_block_area(&0x0803_u32.to_le_bytes());
        assert_eq!(inode.device(), (8, 3));
        let mut area = [0; 8];
        area[4..].copy_from_slice(&0x1230_0345_u32.to_le_bytes());
        inode.set_block_area(&area);
        assert_eq!(inode.device(), (0x003, 0x12345));
        for device in [(8, 3), (0, 0), (255, 255), (256, 0), (3, 0x12345), (0xfff, 0xf_ffff)] {
            inode.set_device(device);
            assert_eq!(inode.device(), device);
        }
    }

    #[test]
    fn kinds_and_types_agree() {
        for kind in [
            Kind::File,
            Kind::Directory,
            Kind::Symlink,
            Kind::BlockDevice,
            Kind::CharDevice,
            Kind::Fifo,
            Kind::Socket,
        ] {
            assert_eq!(kind_of_mode(mode_of_kind(kind) | 0o644), Some(kind));
            assert_eq!(kind_of_file_type(file_type_of_kind(kind)), Some(kind));
        }
    }
}
