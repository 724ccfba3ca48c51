//! The journal's own superblock, in its first block.

use crate::bytes;
use crate::fs::FsError;
use crate::fs::ext4::checksum::{START, crc32c};

use super::log::{MAGIC, SUPERBLOCK_V1, SUPERBLOCK_V2};

/// Its length in bytes.
pub(super) const LEN: usize = 1024;

const CHECKSUM_AT: usize = 0xfc;
/// `s_checksum_type`: crc32c.
const CRC32C: u8 = 4;
/// `JBD2_MIN_JOURNAL_BLOCKS` of Linux.
const MIN_BLOCKS: u32 = 1024;
/// `JBD2_DEFAULT_FAST_COMMIT_BLOCKS` of Linux.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// `s_feature_compat`: commit blocks carry a crc32 of their transaction.
const COMPAT_CHECKSUM: u32 = 1;
const INCOMPAT_64BIT: u32 = 2;
const INCOMPAT_ASYNC_COMMIT: u32 = 4;
const INCOMPAT_CSUM_V2: u32 = 8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
/// revoke, 64bit, async_commit, csum_v2, csum_v3, fast_commit.
const INCOMPAT_KNOWN: u32 = 0x3f;

/// A journal superblock whose numbers were checked.
#[derive(Clone, Debug)]
pub struct JournalSuperblock {
    raw: Box<[u8]>,
    compat: u32,
    incompat: u32,
}

impl JournalSuperblock {
    /// Parses the start of the journal's first block. `blocks` is how many blocks the journal's
    /// file has, each of `block_size` bytes.
    ///
    /// # Errors
    /// `Unsupported` with features we do not know; `Corrupt`.
    pub fn from_bytes(raw: &[u8], block_size: u32, blocks: u64) -> Result<Self, FsError> {
        let raw: Box<[u8]> =
            raw.get(..LEN).ok_or_else(|| corrupt("cut off"))?.to_vec().into_boxed_slice();
        let word = |at| bytes::be32(&raw, at).unwrap_or(0);
        let kind = word(4);
        if word(0) != MAGIC || (kind != SUPERBLOCK_V1 && kind != SUPERBLOCK_V2) {
            return Err(corrupt(format!("magic {:#010x}, type {kind}", word(0))));
        }
        let (compat, incompat, ro_compat) =
            if kind == SUPERBLOCK_V1 { (0, 0, 0) } else { (word(0x24), word(0x28), word(0x2c)) };
        if incompat & !INCOMPAT_KNOWN != 0 || ro_compat != 0 {
            return Err(FsError::unsupported(format!(
                "journal features {:#x} (incompat), {ro_compat:#x} (ro_compat)",
                incompat & !INCOMPAT_KNOWN
            )));
        }
        let this = Self { compat, incompat, raw };
        let sums =
            [compat & COMPAT_CHECKSUM, incompat & INCOMPAT_CSUM_V2, incompat & INCOMPAT_CSUM_V3];
        if sums.iter().filter(|&&bit| bit != 0).count() > 1 {
            return Err(corrupt("more than one kind of checksum"));
        }
        if this.has_block_checksums() {
            let kind = this.raw.get(0x50).copied().unwrap_or(0);
            if kind != CRC32C {
                return Err(FsError::unsupported(format!("journal checksum type {kind}")));
            }
            let (found, expected) = (this.word(CHECKSUM_AT), this.expected_checksum());
            if found != expected {
                return Err(corrupt(format!("checksum {found:#010x}, expected {expected:#010x}")));
            }
        }
        if this.word(0xc) != block_size {
            return Err(corrupt(format!("s_blocksize {}, expected {block_size}", this.word(0xc))));
        }
        let total = this.total_blocks();
        if u64::from(total) > blocks || total < MIN_BLOCKS {
            return Err(corrupt(format!("s_maxlen {total}, in a file of {blocks} blocks")));
        }
        if this.first() == 0 || this.first() >= this.end() {
            return Err(corrupt(format!("s_first {}, of {total} blocks", this.first())));
        }
        if this.start() != 0 && !(this.first()..this.end()).contains(&this.start()) {
            return Err(corrupt(format!("s_start {}, of {total} blocks", this.start())));
        }
        Ok(this)
    }

    /// The 1024 bytes, with the checksum brought up to date where there is one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut raw = self.raw.to_vec();
        if self.has_block_checksums() {
            raw[CHECKSUM_AT..CHECKSUM_AT + 4]
                .copy_from_slice(&self.expected_checksum().to_be_bytes());
        }
        raw
    }

    /// How many blocks the journal has, this one included.
    pub fn total_blocks(&self) -> u32 {
        self.word(0x10)
    }

    /// First block of the log.
    pub fn first(&self) -> u32 {
        self.word(0x14)
    }

    /// The block behind the log: the journal's end, or the fast commit area's beginning.
    pub fn end(&self) -> u32 {
        let total = self.total_blocks();
        if !self.has_fast_commit() {
            return total;
        }
        let blocks = match self.word(0x54) {
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            blocks => blocks,
        };
        match total.checked_sub(blocks) {
            Some(end) if end >= MIN_BLOCKS => end,
            _ => total,
        }
    }

    /// The sequence number the log starts with.
    pub fn sequence(&self) -> u32 {
        self.word(0x18)
    }

    /// The block the log starts with; 0 when the journal is clean.
    pub fn start(&self) -> u32 {
        self.word(0x1c)
    }

    /// The error a filesystem recorded while it could not write to itself, or 0.
    pub fn errno(&self) -> u32 {
        self.word(0x20)
    }

    /// Marks the log as empty; the next transaction will have this sequence number.
    pub fn set_clean(&mut self, sequence: u32) {
        self.put(0x18, sequence);
        self.put(0x1c, 0);
    }

    /// Forgets the recorded error.
    pub fn clear_errno(&mut self) {
        self.put(0x20, 0);
    }

    /// Block numbers have 64 bits.
    pub(super) fn is_64bit(&self) -> bool {
        self.incompat & INCOMPAT_64BIT != 0
    }

    /// Blocks of the log carry crc32c checksums (v2 or v3).
    pub(super) fn has_block_checksums(&self) -> bool {
        self.incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) != 0
    }

    /// Tags have the form of v3.
    pub(super) fn has_checksum_v3(&self) -> bool {
        self.incompat & INCOMPAT_CSUM_V3 != 0
    }

    /// Tags carry a checksum of 16 bits.
    pub(super) fn has_checksum_v2(&self) -> bool {
        self.incompat & INCOMPAT_CSUM_V2 != 0
    }

    /// Commit blocks carry a crc32 of the whole transaction.
    pub(super) fn has_checksum_v1(&self) -> bool {
        self.compat & COMPAT_CHECKSUM != 0
    }

    /// A commit block may reach the disk before what it commits, so a wrong one is no damage.
    pub(super) fn has_async_commit(&self) -> bool {
        self.incompat & INCOMPAT_ASYNC_COMMIT != 0
    }

    /// There is an area for fast commits.
    pub(super) fn has_fast_commit(&self) -> bool {
        self.incompat & INCOMPAT_FAST_COMMIT != 0
    }

    /// The seed of the log's checksums.
    pub(super) fn seed(&self) -> u32 {
        crc32c(START, &self.raw[0x30..0x40])
    }

    fn word(&self, at: usize) -> u32 {
        bytes::be32(&self.raw, at).unwrap_or(0)
    }

    fn put(&mut self, at: usize, value: u32) {
        self.raw[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn expected_checksum(&self) -> u32 {
        let sum = crc32c(START, &self.raw[..CHECKSUM_AT]);
        crc32c(crc32c(sum, &[0; 4]), &self.raw[CHECKSUM_AT + 4..])
    }
}

fn corrupt(problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt("journal superblock", "the journal's block 0", problem)
}
