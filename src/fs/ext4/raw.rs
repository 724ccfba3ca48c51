//! Fields of a structure kept as its raw bytes.
//!
//! Structures keep every byte they were read with, so that bytes no one here knows survive an
//! edit. A field past the end of a short structure (a 128-byte inode, a 32-byte group descriptor)
//! reads as zero, and writing it changes nothing: that is what its absence means on the disk.

use crate::bytes;

/// The little-endian `u16` at `at`, or 0 past the end.
pub(super) fn u16_at(raw: &[u8], at: usize) -> u16 {
    bytes::le16(raw, at).unwrap_or(0)
}

/// The little-endian `u32` at `at`, or 0 past the end.
pub(super) fn u32_at(raw: &[u8], at: usize) -> u32 {
    bytes::le32(raw, at).unwrap_or(0)
}

/// The little-endian `u64` at `at`, or 0 past the end.
pub(super) fn u64_at(raw: &[u8], at: usize) -> u64 {
    bytes::le64(raw, at).unwrap_or(0)
}

/// The byte at `at`, or 0 past the end.
pub(super) fn u8_at(raw: &[u8], at: usize) -> u8 {
    raw.get(at).copied().unwrap_or(0)
}

/// Writes `src` at `at`, when it fits wholly.
pub(super) fn put(raw: &mut [u8], at: usize, src: &[u8]) {
    if let Some(dst) = at.checked_add(src.len()).and_then(|end| raw.get_mut(at..end)) {
        dst.copy_from_slice(src);
    }
}

/// Writes a little-endian `u16` at `at`, when it fits.
pub(super) fn put16(raw: &mut [u8], at: usize, value: u16) {
    put(raw, at, &value.to_le_bytes());
}

/// Writes a little-endian `u32` at `at`, when it fits.
pub(super) fn put32(raw: &mut [u8], at: usize, value: u32) {
    put(raw, at, &value.to_le_bytes());
}

/// The low 16 bits.
pub(super) fn low16(value: u32) -> u16 {
    (value & 0xffff) as u16
}

/// The high 16 bits.
pub(super) fn high16(value: u32) -> u16 {
    (value >> 16) as u16
}

/// The low 32 bits.
pub(super) fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The high 32 bits.
pub(super) fn high32(value: u64) -> u32 {
    (value >> 32) as u32
}
