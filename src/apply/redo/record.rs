//! One write of a commit.

use crc32c::{crc32c, crc32c_append};

use super::{Entry, LogError, touched};
use crate::bytes::{le32, le64};

/// Kind, checksum, offset, length.
pub(super) const HEAD: usize = 4 + 4 + 8 + 8;

/// The most bytes one record carries: bounds what reading a log holds in memory.
pub(super) const MAX_BYTES: usize = 1 << 20;

const BYTES: u32 = 1;
const ZERO: u32 = 2;

/// What a commit does to one range of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Write these bytes.
    Bytes {
        /// Byte offset in the image.
        at: u64,
        /// At most 1 MiB, never empty.
        bytes: &'a [u8],
    },
    /// Make the range read as zeroes and release what stores it.
    Zero {
        /// Byte offset in the image.
        at: u64,
        /// In bytes, never 0.
        len: u64,
    },
}

impl Record<'_> {
    /// First byte and length.
    pub fn range(&self) -> (u64, u64) {
        match *self {
            Self::Bytes { at, bytes } => (at, bytes.len() as u64),
            Self::Zero { at, len } => (at, len),
        }
    }

    /// The record's head as it is stored, before the digests and its bytes.
    pub(super) fn head(&self, digests: &[u8]) -> [u8; HEAD] {
        let (at, len) = self.range();
        let (kind, bytes) = match *self {
            Self::Bytes { bytes, .. } => (BYTES, bytes),
            Self::Zero { .. } => (ZERO, &[][..]),
        };
        let mut head = [0; HEAD];
        head[0..4].copy_from_slice(&kind.to_le_bytes());
        head[8..16].copy_from_slice(&at.to_le_bytes());
        head[16..24].copy_from_slice(&len.to_le_bytes());
        let checksum = checksum(&head, &[digests, bytes]);
        head[4..8].copy_from_slice(&checksum.to_le_bytes());
        head
    }
}

fn checksum(head: &[u8; HEAD], payload: &[&[u8]]) -> u32 {
    let head = crc32c_append(crc32c(&head[0..4]), &head[8..HEAD]);
    payload.iter().fold(head, |sum, part| crc32c_append(sum, part))
}

/// A record's head, read back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    raw: [u8; HEAD],
    zero: bool,
    /// Byte offset in the image.
    pub(super) at: u64,
    /// Length of the range in bytes.
    pub(super) len: u64,
}

impl Head {
    /// Reads a head found at byte `place` of the log.
    ///
    /// # Errors
    /// An unknown kind, an empty range, one whose end overflows, or more bytes than a record holds.
    pub(super) fn from_bytes(raw: [u8; HEAD], place: u64) -> Result<Self, LogError> {
        let short = || LogError::damaged(place, "the record is cut off");
        let kind = le32(&raw, 0).ok_or_else(short)?;
        let at = le64(&raw, 8).ok_or_else(short)?;
        let len = le64(&raw, 16).ok_or_else(short)?;
        let zero = match kind {
            BYTES => false,
            ZERO => true,
            _ => return Err(LogError::damaged(place, format_args!("unknown record kind {kind}"))),
        };
        if len == 0 || at.checked_add(len).is_none() || (!zero && len > MAX_BYTES as u64) {
            return Err(LogError::damaged(place, format_args!("a record of {len} bytes at {at}")));
        }
        Ok(Self { raw, zero, at, len })
    }

    /// How many bytes of digests and how many of content follow the head.
    pub(super) fn payload(&self, stride: u64) -> (u64, u64) {
        if self.zero {
            (touched::size_of_zero(self.at, self.len, stride), 0)
        } else {
            (touched::size_of_bytes(self.at, self.len), self.len)
        }
    }

    /// The whole record, once its checksum is right; `payload` is its digests, then its bytes.
    ///
    /// # Errors
    /// The checksum is wrong.
    pub(super) fn with<'a>(
        &self,
        payload: &'a [u8],
        digests: usize,
        place: u64,
        bytes_at: u64,
    ) -> Result<Entry<'a>, LogError> {
        if le32(&self.raw, 4) != Some(checksum(&self.raw, &[payload])) {
            return Err(LogError::damaged(place, "a record's checksum is wrong"));
        }
        let (before, bytes) = payload.split_at(digests);
        let record = if self.zero {
            Record::Zero { at: self.at, len: self.len }
        } else {
            Record::Bytes { at: self.at, bytes }
        };
        Ok(Entry { record, before, bytes_at })
    }
}
