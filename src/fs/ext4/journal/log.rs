//! The blocks of the log: descriptors with their tags, revocations, commits.

use crc::{Algorithm, Crc, Table};

use super::superblock::JournalSuperblock;
use crate::bytes::{be32, be64, le16, le32};
use crate::fs::ext4::checksum::crc32c;

/// `h_magic`.
pub(super) const MAGIC: u32 = 0xc03b_3998;
/// `h_blocktype`: block numbers of the blocks that follow.
pub(super) const DESCRIPTOR: u32 = 1;
/// `h_blocktype`: the transaction is whole.
pub(super) const COMMIT: u32 = 2;
/// `h_blocktype`: a superblock without features.
pub(super) const SUPERBLOCK_V1: u32 = 3;
/// `h_blocktype`: a superblock with features.
pub(super) const SUPERBLOCK_V2: u32 = 4;
/// `h_blocktype`: blocks that earlier transactions must not write any more.
pub(super) const REVOKE: u32 = 5;

const HEADER: usize = 12;
const FLAG_ESCAPED: u32 = 1;
const FLAG_SAME_UUID: u32 = 2;
const FLAG_LAST: u32 = 8;
/// Bytes of the checksum at the end of descriptors and revocations.
const TAIL: usize = 4;
/// Where a commit block's checksum is.
const COMMIT_CHECKSUM_AT: usize = 0x10;
/// `h_chksum_type`: crc32.
const CRC32: u8 = 1;

/// The crc32 of v1: most significant bit first, nothing inverted at the end.
static CRC32_BE: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    init: 0,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0,
    residue: 0,
});

/// The crc32 of v1 of `bytes` going on from `seed`.
pub(super) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC32_BE.digest_with_initial(seed);
    digest.update(bytes);
    digest.finalize()
}

/// What a block of the log says it is: its type and sequence number; `None` when it is no such block.
pub(super) fn header(block: &[u8]) -> Option<(u32, u32)> {
    if be32(block, 0)? != MAGIC {
        return None;
    }
    Some((be32(block, 4)?, be32(block, 8)?))
}

/// One block that a descriptor announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// The filesystem's block it belongs in.
    pub(super) block: u64,
    /// Its first four bytes were the magic number and are zero in the log.
    pub(super) escaped: bool,
    checksum: u32,
}

/// The tags of a descriptor block.
pub(super) fn tags(block: &[u8], journal: &JournalSuperblock) -> Vec<Tag> {
    let v3 = journal.has_checksum_v3();
    let wide = journal.is_64bit();
    let len = if v3 {
        16
    } else {
        8 + if wide { 4 } else { 0 } + if journal.has_checksum_v2() { 2 } else { 0 }
    };
    let end = block.len() - if journal.has_block_checksums() { TAIL } else { 0 };
    let mut tags = Vec::new();
    let mut at = HEADER;
    while at + len <= end {
        let word = |offset| be32(block, at + offset).unwrap_or(0);
        let (flags, checksum) =
            if v3 { (word(4), word(12)) } else { (word(4) & 0xffff, word(4) >> 16) };
        let high = if wide { u64::from(word(8)) << 32 } else { 0 };
        tags.push(Tag {
            block: high | u64::from(word(0)),
            escaped: flags & FLAG_ESCAPED != 0,
            checksum,
        });
        at += len + if flags & FLAG_SAME_UUID == 0 { 16 } else { 0 };
        if flags & FLAG_LAST != 0 {
            break;
        }
    }
    tags
}

/// Whether a block announced by `tag` is what was written to the log; always so without checksums.
pub(super) fn tag_is_right(
    tag: Tag,
    block: &[u8],
    sequence: u32,
    journal: &JournalSuperblock,
) -> bool {
    if !journal.has_block_checksums() {
        return true;
    }
    let sum = crc32c(crc32c(journal.seed(), &sequence.to_be_bytes()), block);
    tag.checksum == if journal.has_checksum_v3() { sum } else { sum & 0xffff }
}

/// Whether the checksum at the end of a descriptor or revocation is right; always so without.
pub(super) fn tail_is_right(block: &[u8], journal: &JournalSuperblock) -> bool {
    if !journal.has_block_checksums() {
        return true;
    }
    let Some(at) = block.len().checked_sub(TAIL) else { return false };
    let sum = crc32c(crc32c(journal.seed(), &block[..at]), &[0; TAIL]);
    be32(block, at) == Some(sum)
}

/// The blocks a revocation names; `None` when it says it is longer than it can be.
pub(super) fn revoked<'a>(
    block: &'a [u8],
    journal: &JournalSuperblock,
) -> Option<impl Iterator<Item = u64> + use<'a>> {
    let used = usize::try_from(be32(block, HEADER)?).ok()?;
    let tail = if journal.has_block_checksums() { TAIL } else { 0 };
    if used > block.len().checked_sub(tail)? {
        return None;
    }
    let len = if journal.is_64bit() { 8 } else { 4 };
    let records = block.get(HEADER + 4..used.max(HEADER + 4))?;
    Some(records.chunks_exact(len).filter_map(move |record| {
        if len == 8 { be64(record, 0) } else { be32(record, 0).map(u64::from) }
    }))
}

/// When a transaction was committed, in seconds since the epoch.
pub(super) fn commit_seconds(block: &[u8]) -> u64 {
    be64(block, 0x30).unwrap_or(0)
}

/// Whether a commit block's own checksum (v2, v3) is right; always so without.
///
/// The kernel also takes a sum of the block in which only its first 60 bytes are not zero: a
/// commit block that was only partly written, in the part that matters.
pub(super) fn commit_is_right(block: &[u8], journal: &JournalSuperblock) -> bool {
    if !journal.has_block_checksums() {
        return true;
    }
    let sum = |block: &[u8]| {
        let sum = crc32c(journal.seed(), &block[..COMMIT_CHECKSUM_AT]);
        crc32c(crc32c(sum, &[0; 4]), &block[COMMIT_CHECKSUM_AT + 4..])
    };
    /// Bytes of `struct commit_header`.
    const COMMIT_HEADER: usize = 60;
    let found = be32(block, COMMIT_CHECKSUM_AT);
    if found == Some(sum(block)) {
        return true;
    }
    let mut partial = block.to_vec();
    partial[COMMIT_HEADER..].fill(0);
    found == Some(sum(&partial))
}

/// Whether a commit block of v1 agrees with the crc32 of its transaction, or carries none.
pub(super) fn commit_agrees_v1(block: &[u8], sum: u32) -> bool {
    let found = be32(block, COMMIT_CHECKSUM_AT).unwrap_or(0);
    let kind = (block.get(0xc).copied(), block.get(0xd).copied());
    (kind == (Some(CRC32), Some(4)) && found == sum) || (kind == (Some(0), Some(0)) && found == 0)
}

/// The transaction that a fast commit area goes on from; `None` when it holds none.
pub(super) fn fast_commit_of(block: &[u8]) -> Option<u32> {
    /// `EXT4_FC_TAG_HEAD`. This area alone is little-endian.
    const HEAD: u16 = 9;
    if le16(block, 0)? != HEAD {
        return None;
    }
    le32(block, 8)
}
