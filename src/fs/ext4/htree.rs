//! Hashed directories: the hashes of names and the index blocks over the leaf blocks.
//!
//! Kernel documentation, "ext4 Data Structures and Algorithms", 4.3.2 "Hash Tree Directories".
//! Block 0 is the root; it and the inner nodes hold (hash, block) pairs in ascending order, and
//! look like empty directory blocks to a reader that knows nothing of the index. The leaves are
//! linear blocks (see [`super::dir`]). Nothing here does I/O, and no byte of a block makes it panic.

use super::checksum::crc32c;
use super::dir::{self, Format, record_len_to_disk};
use crate::bytes::{le16, le32};

/// Bytes of one (hash, block) pair.
const PAIR: usize = 8;
/// Bytes of the checksum behind an index block's pairs.
const TAIL: usize = 8;
/// Where the root's information starts, behind the records of `.` and `..`.
const ROOT_INFO: usize = 24;
/// The largest hash means the end of the directory to `readdir`, so no name may have it.
const END_OF_DIRECTORY: u32 = 0x7fff_ffff;

/// How names are hashed; `signed` tells whether bytes count as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// The first one, without a seed.
    Legacy {
        /// Bytes are signed.
        signed: bool,
    },
    /// Half of MD4.
    HalfMd4 {
        /// Bytes are signed.
        signed: bool,
    },
    /// The Tiny Encryption Algorithm.
    Tea {
        /// Bytes are signed.
        signed: bool,
    },
}

impl Hash {
    /// From the root's `hash_version` and the superblock's `EXT2_FLAGS_UNSIGNED_HASH`. `None` for
    /// SipHash (encrypted directories: its key is not on the disk) and what is not known.
    pub fn from_disk(version: u8, unsigned: bool) -> Option<Self> {
        let signed = version < 3 && !unsigned;
        match version {
            0 | 3 => Some(Self::Legacy { signed }),
            1 | 4 => Some(Self::HalfMd4 { signed }),
            2 | 5 => Some(Self::Tea { signed }),
            _ => None,
        }
    }

    /// The name's hash under the superblock's `s_hash_seed`; its lowest bit is always 0.
    pub fn of(self, name: &[u8], seed: [u32; 4]) -> u32 {
        let start = if seed == [0; 4] {
            [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]
        } else {
            seed
        };
        let hash = match self {
            Self::Legacy { signed } => legacy(name, signed),
            Self::HalfMd4 { signed } => {
                let mut state = start;
                for at in (0..name.len()).step_by(32) {
                    half_md4(&mut state, words::<8>(&name[at..], signed));
                }
                state[1]
            }
            Self::Tea { signed } => {
                let mut state = start;
                for at in (0..name.len()).step_by(16) {
                    tea(&mut state, words::<4>(&name[at..], signed));
                }
                state[0]
            }
        } & !1;
        if hash == END_OF_DIRECTORY << 1 { (END_OF_DIRECTORY - 1) << 1 } else { hash }
    }
}

fn widen(byte: u8, signed: bool) -> u32 {
    if signed { i32::from(byte.cast_signed()).cast_unsigned() } else { u32::from(byte) }
}

fn legacy(name: &[u8], signed: bool) -> u32 {
    let (mut hash, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    for &byte in name {
        let mut next = before.wrapping_add(hash ^ widen(byte, signed).wrapping_mul(7_152_373));
        if next & 0x8000_0000 != 0 {
            next = next.wrapping_sub(0x7fff_ffff);
        }
        (before, hash) = (hash, next);
    }
    hash << 1
}

/// The name as `N` words; what it does not fill is padded with its remaining length.
fn words<const N: usize>(name: &[u8], signed: bool) -> [u32; N] {
    let short = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let pad = short | (short << 8);
    let pad = pad | (pad << 16);
    let name = &name[..name.len().min(N * 4)];
    let mut out = [pad; N];
    for (word, chunk) in out.iter_mut().zip(name.chunks(4)) {
        for &byte in chunk {
            *word = widen(byte, signed).wrapping_add(*word << 8);
        }
    }
    out
}

fn half_md4(state: &mut [u32; 4], x: [u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    const ROUNDS: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (|x, y, z| z ^ (x & (y ^ z)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (|x, y, z| x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in ROUNDS {
        for (step, index) in order.into_iter().enumerate() {
            let sum = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(x[index])
                .wrapping_add(constant)
                .rotate_left(shifts[step % 4]);
            (a, b, c, d) = (d, sum, b, c);
        }
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

fn tea(state: &mut [u32; 4], [a, b, c, d]: [u32; 4]) {
    let [mut x, mut y, ..] = *state;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        x = x.wrapping_add(
            (y << 4).wrapping_add(a) ^ y.wrapping_add(sum) ^ (y >> 5).wrapping_add(b),
        );
        y = y.wrapping_add(
            (x << 4).wrapping_add(c) ^ x.wrapping_add(sum) ^ (x >> 5).wrapping_add(d),
        );
    }
    state[0] = state[0].wrapping_add(x);
    state[1] = state[1].wrapping_add(y);
}

/// One pair of an index block: names from `hash` on (up to the next pair's) are under `block`.
///
/// A hash with its lowest bit set says that names of the same hash are in the block before, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The lowest hash under `block`; 0 in a block's first pair, which stores none.
    pub hash: u32,
    /// The directory's logical block.
    pub block: u32,
}

/// What only the root says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// `hash_version` as on the disk.
    pub hash_version: u8,
    /// How many levels of nodes there are between root and leaves.
    pub levels: u8,
    /// The directory's inode number, from the record of `.`.
    pub dot: u32,
    /// The parent's inode number, from the record of `..`.
    pub dotdot: u32,
    /// File type of the two records (directory, or 0 without `filetype`).
    pub file_type: u8,
}

/// An index block: the root with [`Root`], an inner node without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What only the root says.
    pub root: Option<Root>,
    /// The pairs, never empty, ascending.
    pub pairs: Vec<Pair>,
    /// How many pairs fit.
    pub limit: usize,
}

impl Index {
    /// How many pairs fit in a root or an inner node.
    pub fn limit_of(format: Format, is_root: bool) -> usize {
        let start = if is_root { ROOT_INFO + 8 } else { dir::RECORD_HEADER };
        let tail = if format.checksum { TAIL } else { 0 };
        format.block_size.saturating_sub(start + tail) / PAIR
    }

    /// Reads the root, the directory's block 0.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub fn root_from_bytes(block: &[u8], format: Format) -> Result<Self, String> {
        let word = |at| le32(block, at).unwrap_or(0);
        let byte = |at: usize| block.get(at).copied().unwrap_or(0);
        let dotdot_len = dir::record_len(le16(block, 16).unwrap_or(0), format.block_size);
        if le16(block, 4) != Some(12) || dotdot_len != format.block_size - 12 {
            return Err("the records of '.' and '..' do not fill the block".to_owned());
        }
        if word(24) != 0 || byte(29) != 8 {
            return Err(format!("reserved {:#x}, information length {}", word(24), byte(29)));
        }
        let root = Root {
            hash_version: byte(28),
            levels: byte(30),
            dot: word(0),
            dotdot: word(12),
            file_type: if format.file_type { byte(7) } else { 0 },
        };
        let (pairs, limit) = read_pairs(block, format, ROOT_INFO + 8)?;
        Ok(Self { root: Some(root), pairs, limit })
    }

    /// Reads an inner node.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub fn node_from_bytes(block: &[u8], format: Format) -> Result<Self, String> {
        let len = dir::record_len(le16(block, 4).unwrap_or(0), format.block_size);
        if le32(block, 0) != Some(0) || len != format.block_size {
            return Err(format!("an inner node starts with a record of {len} bytes"));
        }
        let (pairs, limit) = read_pairs(block, format, dir::RECORD_HEADER)?;
        Ok(Self { root: None, pairs, limit })
    }

    /// Whether no pair fits any more.
    pub fn is_full(&self) -> bool {
        self.pairs.len() >= self.limit
    }

    /// Which pair covers `hash`: the last one whose hash is not above it.
    pub fn covering(&self, hash: u32) -> usize {
        self.pairs.partition_point(|pair| pair.hash <= hash).saturating_sub(1)
    }

    /// The block's bytes, its checksum set (`inode_seed` as in [`dir::checksum`]) and every byte
    /// that means nothing 0. `None` when the pairs do not fit.
    pub fn to_bytes(&self, format: Format, inode_seed: u32) -> Option<Vec<u8>> {
        let size = format.block_size;
        let mut block = vec![0; size];
        let start = match self.root {
            Some(root) => {
                block[..4].copy_from_slice(&root.dot.to_le_bytes());
                block[4..6].copy_from_slice(&12u16.to_le_bytes());
                block[6..10].copy_from_slice(&[1, root.file_type, b'.', 0]);
                block[12..16].copy_from_slice(&root.dotdot.to_le_bytes());
                let len = record_len_to_disk(size - 12, size)?;
                block[16..18].copy_from_slice(&len.to_le_bytes());
                block[18..22].copy_from_slice(&[2, root.file_type, b'.', b'.']);
                block[28] = root.hash_version;
                block[29] = 8;
                block[30] = root.levels;
                ROOT_INFO + 8
            }
            None => {
                block[4..6].copy_from_slice(&record_len_to_disk(size, size)?.to_le_bytes());
                dir::RECORD_HEADER
            }
        };
        if self.pairs.len() > self.limit
            || self.limit != Self::limit_of(format, self.root.is_some())
        {
            return None;
        }
        for (pair, bytes) in self.pairs.iter().zip(block[start..].chunks_exact_mut(PAIR)) {
            bytes[..4].copy_from_slice(&pair.hash.to_le_bytes());
            bytes[4..].copy_from_slice(&pair.block.to_le_bytes());
        }
        let count = u16::try_from(self.pairs.len()).ok()?;
        block[start..start + 2].copy_from_slice(&u16::try_from(self.limit).ok()?.to_le_bytes());
        block[start + 2..start + 4].copy_from_slice(&count.to_le_bytes());
        if format.checksum {
            let sum = checksum(&block, start, self.pairs.len(), self.limit, inode_seed)?;
            let at = start + self.limit * PAIR + 4;
            block.get_mut(at..at + 4)?.copy_from_slice(&sum.to_le_bytes());
        }
        Some(block)
    }
}

fn read_pairs(block: &[u8], format: Format, start: usize) -> Result<(Vec<Pair>, usize), String> {
    let limit = usize::from(le16(block, start).unwrap_or(0));
    let count = usize::from(le16(block, start + 2).unwrap_or(0));
    let expected = Index::limit_of(format, start != dir::RECORD_HEADER);
    if limit != expected || count == 0 || count > limit {
        return Err(format!("{count} of {limit} pairs, where {expected} fit"));
    }
    let mut pairs = Vec::with_capacity(count);
    for n in 0..count {
        let at = start + n * PAIR;
        let (Some(hash), Some(block)) = (le32(block, at), le32(block, at + 4)) else {
            return Err(format!("pair {n} lies outside the block"));
        };
        // The high four bits of a block number are reserved.
        pairs.push(Pair { hash: if n == 0 { 0 } else { hash }, block: block & 0x0fff_ffff });
    }
    if !pairs.is_sorted_by(|a, b| a.hash <= b.hash) {
        return Err("the hashes do not ascend".to_owned());
    }
    Ok((pairs, limit))
}

fn checksum(
    block: &[u8],
    start: usize,
    count: usize,
    limit: usize,
    inode_seed: u32,
) -> Option<u32> {
    let sum = crc32c(inode_seed, block.get(..start + count * PAIR)?);
    let tail = start + limit * PAIR;
    let sum = crc32c(sum, block.get(tail..tail + 4)?);
    Some(crc32c(sum, &[0; 4]))
}

/// Whether an index block's checksum is right; always so without checksums.
pub fn verify(block: &[u8], format: Format, is_root: bool, inode_seed: u32) -> bool {
    if !format.checksum {
        return true;
    }
    let start = if is_root { ROOT_INFO + 8 } else { dir::RECORD_HEADER };
    let limit = usize::from(le16(block, start).unwrap_or(0));
    let count = usize::from(le16(block, start + 2).unwrap_or(0));
    let stored = le32(block, start + limit * PAIR + 4);
    count <= limit && stored.is_some() && checksum(block, start, count, limit, inode_seed) == stored
}

/// Writes the checksum into an index block; whether there is room for one.
pub fn seal(block: &mut [u8], is_root: bool, inode_seed: u32) -> bool {
    let start = if is_root { ROOT_INFO + 8 } else { dir::RECORD_HEADER };
    let limit = usize::from(le16(block, start).unwrap_or(0));
    let count = usize::from(le16(block, start + 2).unwrap_or(0));
    let at = start + limit * PAIR + 4;
    let sum = checksum(block, start, count, limit, inode_seed);
    match (sum, block.get_mut(at..at + 4)) {
        (Some(sum), Some(field)) if count <= limit => {
            field.copy_from_slice(&sum.to_le_bytes());
            true
        }
        _ => false,
    }
}

/// A name of a leaf about to be split, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The name's hash.
    pub hash: u32,
    /// The inode named.
    pub inode: u32,
    /// Its file type.
    pub file_type: u8,
    /// The name.
    pub name: Vec<u8>,
}

/// Where to cut names, ascending by hash, so that both halves hold about as many bytes, and the
/// hash to enter for the upper half (with the lowest bit set when the cut is within one hash).
/// `None` when there are fewer than two names.
pub fn split_point(names: &[Hashed]) -> Option<(usize, u32)> {
    let total: usize = names.iter().map(|name| dir::needed(name.name.len())).sum();
    let mut cut = 0;
    let mut below = 0;
    while cut < names.len() && below < total.div_ceil(2) {
        below += dir::needed(names[cut].name.len());
        cut += 1;
    }
    let cut = cut.min(names.len().checked_sub(1)?);
    if cut == 0 {
        return None;
    }
    let hash = names[cut].hash;
    Some((cut, hash | u32::from(names[cut - 1].hash == hash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `debugfs -R "dx_hash -h ALGORITHM [-s SEED] NAME"` prints.
    #[test]
    fn hashes_are_those_of_debugfs() {
        let long = &b"a_rather_long_name_that_needs_more_than_one_round_of_the_hash.txt"[..];
        let accented = "caf\u{e9}".as_bytes();
        let seed = [0x0403_0201, 0x0807_0605, 0x0c0b_0a09, 0x100f_0e0d];
        let (legacy, half, tea) = (
            Hash::Legacy { signed: true },
            Hash::HalfMd4 { signed: true },
            Hash::Tea { signed: true },
        );
        for (hash, name, plain, seeded) in [
            (legacy, &b"hello"[..], 0x3225_2546, 0x3225_2546),
            (legacy, long, 0x078a_1f52, 0x078a_1f52),
            (legacy, accented, 0x96ca_5a2c, 0x96ca_5a2c),
            (half, b"hello", 0x1746_da32, 0xe2dd_f968),
            (half, long, 0xdf73_bc00, 0xfbe2_53e4),
            (half, accented, 0xfb9c_5e5c, 0xeeef_3446),
            (tea, b"hello", 0x6f5b_b1a8, 0x1a56_92b6),
            (tea, long, 0xb79d_76c6, 0xa715_d87c),
            (tea, accented, 0x1058_42ea, 0x3037_ce66),
        ] {
            assert_eq!(hash.of(name, [0; 4]), plain, "{hash:?}");
            assert_eq!(hash.of(name, seed), seeded, "{hash:?}");
        }
        assert_eq!(Hash::from_disk(1, true), Some(Hash::HalfMd4 { signed: false }));
        assert_eq!(Hash::from_disk(6, false), None);
        let unsigned = Hash::HalfMd4 { signed: false };
        assert_eq!(unsigned.of(b"hello", [0; 4]), 0x1746_da32);
        assert_ne!(unsigned.of(accented, [0; 4]), half.of(accented, [0; 4]));
    }

    #[test]
    fn index_blocks_come_back() {
        for checksum in [false, true] {
            let format = Format { block_size: 1024, file_type: true, checksum };
            for root in
                [None, Some(Root { hash_version: 1, levels: 1, dot: 12, dotdot: 2, file_type: 2 })]
            {
                let limit = Index::limit_of(format, root.is_some());
                let pairs = (0..limit as u32).map(|n| Pair { hash: n * 2, block: n + 1 }).collect();
                let index = Index { root, pairs, limit };
                let block = index.to_bytes(format, 99).unwrap();
                assert!(verify(&block, format, root.is_some(), 99));
                assert_eq!(verify(&block, format, root.is_some(), 98), !checksum);
                let again = if root.is_some() {
                    Index::root_from_bytes(&block, format)
                } else {
                    Index::node_from_bytes(&block, format)
                };
                assert_eq!(again.unwrap(), index);
                assert!(index.is_full());
                assert_eq!((index.covering(0), index.covering(5)), (0, 2));
                assert_eq!(index.covering(u32::MAX), limit - 1);
            }
        }
    }

    #[test]
    fn a_split_within_one_hash_says_so() {
        let name =
            |hash| Hashed { hash, inode: 12, file_type: 1, name: format!("{hash:08}").into() };
        let names: Vec<_> = [2, 4, 6, 8].into_iter().map(name).collect();
        assert_eq!(split_point(&names), Some((2, 6)));
        let names: Vec<_> = [2, 4, 4, 4].into_iter().map(name).collect();
        assert_eq!(split_point(&names), Some((2, 5)));
        assert_eq!(split_point(&names[..1]), None);
        assert_eq!(split_point(&[]), None);
    }
}
