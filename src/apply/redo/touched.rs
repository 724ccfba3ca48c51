//! What the bytes that a commit changes were before it, so that a log is never replayed over
//! what somebody else wrote since.
//!
//! A commit that was stopped leaves each sector of its ranges as it was or as it will be: disks
//! write sectors whole, and hosts copy whole pages between two chances to be killed. So the log
//! holds a short digest of what every sector was, and a sector that is neither was written by
//! others since.
//!
//! A range that becomes zero may be far larger than the log (deleted films, a preallocated disk),
//! so its blocks are sampled, from its first on, where filesystems place new files. Every range
//! has at least one, and all are taken where the ranges together hold at most [`SAMPLED`] bytes.

use super::{Mismatch, Record};
use crate::block::{BlockError, ReadBlocks, is_zero};

/// What a disk writes as one.
const SECTOR: u64 = 512;

/// What is kept of a sector's digest. Nobody gains from a forgery (whoever can write the image can
/// write what they want into it), so chance is all it has to exclude.
pub(super) const DIGEST: usize = 8;

/// What a sample is long: the block of most filesystems.
const BLOCK: u64 = 4096;

/// About how many bytes of the ranges that become zero are looked at: a hundredth of a second or two,
/// and 128 KiB of log.
const SAMPLED: u64 = 8 << 20;

/// Every how many blocks a range that becomes zero is sampled, when all of them together hold
/// `zeroed` bytes.
pub(super) fn stride(zeroed: u64) -> u64 {
    zeroed.div_ceil(SAMPLED).max(1)
}

/// How many sectors a range touches.
fn sectors(at: u64, len: u64) -> u64 {
    match len {
        0 => 0,
        _ => (at + (len - 1)) / SECTOR - at / SECTOR + 1,
    }
}

/// How many bytes the digests of a range of bytes take.
pub(super) fn size_of_bytes(at: u64, len: u64) -> u64 {
    sectors(at, len) * DIGEST as u64
}

/// How many bytes the digests of a range that becomes zero take.
pub(super) fn size_of_zero(at: u64, len: u64, stride: u64) -> u64 {
    // A sample that starts inside a sector touches one more.
    let whole = BLOCK / SECTOR + u64::from(!at.is_multiple_of(SECTOR));
    let last = samples(at, len, stride).next_back().map_or(0, |(at, len)| sectors(at, len));
    let count = len.div_ceil(BLOCK).div_ceil(stride);
    (count.saturating_sub(1).saturating_mul(whole).saturating_add(last)) * DIGEST as u64
}

/// Where a range that becomes zero is sampled.
fn samples(at: u64, len: u64, stride: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> {
    (0..len.div_ceil(BLOCK).div_ceil(stride)).map(move |n| {
        let from = n * stride * BLOCK;
        (at + from, BLOCK.min(len - from))
    })
}

/// The parts of `bytes`, which lie at byte `at`, that lie in different sectors.
fn in_sectors(at: u64, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut room = (SECTOR - at % SECTOR) as usize;
    std::iter::from_fn(move || {
        let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        (bytes, room) = (later, SECTOR as usize);
        (!now.is_empty()).then_some(now)
    })
}

fn digest(sector: &[u8]) -> [u8; DIGEST] {
    let mut short = [0; DIGEST];
    short.copy_from_slice(&blake3::hash(sector).as_bytes()[..DIGEST]);
    short
}

/// Adds the digests of what a range of bytes was.
pub(super) fn push_bytes(at: u64, before: &[u8], digests: &mut Vec<u8>) {
    in_sectors(at, before).for_each(|sector| digests.extend_from_slice(&digest(sector)));
}

/// Adds the digests of what a range of `image` was that becomes zero.
pub(super) fn push_zero(
    image: &dyn ReadBlocks,
    at: u64,
    len: u64,
    stride: u64,
    digests: &mut Vec<u8>,
) -> Result<(), BlockError> {
    let mut buffer = Vec::new();
    for (at, len) in samples(at, len, stride) {
        buffer.resize(len as usize, 0);
        read_padded(image, at, &mut buffer)?;
        push_bytes(at, &buffer, digests);
    }
    Ok(())
}

/// Reads an image as if zeroes came behind its end: what it reads as once it has grown.
pub(super) fn read_padded(
    image: &dyn ReadBlocks,
    at: u64,
    buffer: &mut [u8],
) -> Result<(), BlockError> {
    let held = image.len().saturating_sub(at).min(buffer.len() as u64) as usize;
    let (held, behind) = buffer.split_at_mut(held);
    behind.fill(0);
    if held.is_empty() { Ok(()) } else { image.read_at(at, held) }
}

/// Where `image` is neither what it was before a record nor what it is after it, as far as the
/// record's digests tell.
pub(super) fn changed(
    image: &dyn ReadBlocks,
    record: Record<'_>,
    digests: &[u8],
    stride: u64,
    buffer: &mut Vec<u8>,
) -> Result<Option<Mismatch>, BlockError> {
    let mut digests = digests.chunks_exact(DIGEST);
    // Whether one part of the image is as it may be; the second part is what it becomes.
    let mut compare = |mut at: u64, found: &[u8], after: Option<&[u8]>| {
        let mut from = 0;
        for sector in in_sectors(at, found) {
            let before = digests.next();
            let done = match after {
                Some(after) => after.get(from..from + sector.len()) == Some(sector),
                None => is_zero(sector),
            };
            if !done && before != Some(&digest(sector)[..]) {
                return Some(Mismatch::Touched { at });
            }
            from += sector.len();
            at += sector.len() as u64;
        }
        None
    };
    match record {
        Record::Bytes { at, bytes } => {
            buffer.resize(bytes.len(), 0);
            read_padded(image, at, buffer)?;
            Ok(compare(at, buffer, Some(bytes)))
        }
        Record::Zero { at, len } => {
            for (at, len) in samples(at, len, stride) {
                buffer.resize(len as usize, 0);
                read_padded(image, at, buffer)?;
                if let Some(mismatch) = compare(at, buffer, None) {
                    return Ok(Some(mismatch));
                }
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Memory;

    #[test]
    fn the_sizes_are_those_of_what_is_pushed() {
        let image = Memory::from_bytes(vec![7; 100_000]);
        for at in [0, 1, 511, 512, 4096, 5000] {
            for len in [1, 511, 512, 513, 4096, 4097, 70_000] {
                let mut digests = Vec::new();
                push_bytes(at, &vec![7; len as usize], &mut digests);
                assert_eq!(digests.len() as u64, size_of_bytes(at, len), "{at}+{len}");
                for stride in [1, 2, 3, 17, 100] {
                    digests.clear();
                    push_zero(&image, at, len, stride, &mut digests).unwrap();
                    let size = size_of_zero(at, len, stride);
                    assert_eq!(digests.len() as u64, size, "{at}+{len}, every {stride}");
                }
            }
        }
    }

    #[test]
    fn large_ranges_are_sampled_and_small_ones_read_whole() {
        assert_eq!(stride(0), 1);
        assert_eq!(stride(SAMPLED), 1);
        let (tib, huge) = (1 << 40, u64::MAX / 2);
        assert!(size_of_zero(0, tib, stride(tib)) <= SAMPLED / BLOCK * 64);
        assert!(size_of_zero(3, huge, stride(huge)) <= SAMPLED / BLOCK * 72);
        assert!(size_of_zero(3, huge, 1) > huge / 4096);
    }

    #[test]
    fn a_sector_that_is_neither_old_nor_new_is_found_and_any_mixture_is_not() {
        let old: Vec<u8> = (0..8192_u32).map(|n| (n / 512 * 3 + n) as u8 | 1).collect();
        let new: Vec<u8> = old.iter().map(|byte| byte ^ 0x80).collect();
        let (at, len) = (700, 5000);
        let mut bytes_digests = Vec::new();
        push_bytes(at as u64, &old[at..at + len], &mut bytes_digests);
        let mut zero_digests = Vec::new();
        push_zero(&Memory::from_bytes(old.clone()), at as u64, len as u64, 1, &mut zero_digests)
            .unwrap();
        let check = |image: &[u8], zero: bool| {
            let image = Memory::from_bytes(image.to_vec());
            let (record, digests) = if zero {
                (Record::Zero { at: at as u64, len: len as u64 }, &zero_digests)
            } else {
                (Record::Bytes { at: at as u64, bytes: &new[at..at + len] }, &bytes_digests)
            };
            changed(&image, record, digests, 1, &mut Vec::new()).unwrap()
        };
        for zero in [false, true] {
            for mixture in 0..1 << 11 {
                let mut image = old.clone();
                for sector in (0..11).filter(|n| mixture >> n & 1 != 0) {
                    let from = (at / 512 + sector) * 512;
                    for at in from.max(at)..(from + 512).min(at + len) {
                        image[at] = if zero { 0 } else { new[at] };
                    }
                }
                assert_eq!(check(&image, zero), None, "{mixture:b}");
            }
            for byte in (at..at + len).step_by(37) {
                let mut image = old.clone();
                image[byte] ^= 0x10;
                assert!(matches!(check(&image, zero), Some(Mismatch::Touched { .. })), "{byte}");
            }
            let mut image = old.clone();
            image[at - 1] ^= 1;
            image[at + len] ^= 1;
            assert_eq!(check(&image, zero), None);
        }
    }
}
