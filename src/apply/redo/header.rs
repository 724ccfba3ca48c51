//! The log's header.

use crc32c::crc32c;

use super::LogError;
use crate::bytes::{array, le32, le64};
use crate::digest::Digest;

/// What a log begins with.
pub(super) const MAGIC: &[u8; 8] = b"SYSPREDO";

/// The format's version.
pub(super) const VERSION: u32 = 2;

/// How many samples a header holds at most: enough that no two images agree in all of them,
/// few enough that taking them costs nothing (64 reads of 4 KiB).
pub(super) const MAX_SAMPLES: usize = 64;

/// Magic, version, number of samples, length before, length after, bytes zeroed.
pub(super) const FIXED: usize = 8 + 4 + 4 + 8 + 8 + 8;

/// Offset, length, digest.
const SAMPLE: usize = 8 + 4 + 32;

/// The checksum behind the samples.
const CHECKSUM: usize = 4;

/// Whether a log that was never finished may begin with these bytes, as many of the magic ones as
/// there are: they are it, or zero where the host lost them in a crash.
pub(super) fn may_begin(first: &[u8]) -> bool {
    MAGIC.starts_with(first) || first.iter().all(|&byte| byte == 0)
}

/// A digest of some bytes of the image that the log does not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Byte offset in the image.
    pub at: u64,
    /// How many bytes.
    pub len: u32,
    /// Their BLAKE3 digest.
    pub digest: [u8; 32],
}

impl Sample {
    /// A sample of `bytes` at byte `at`.
    pub fn of(at: u64, bytes: &[u8]) -> Self {
        Self {
            at,
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            digest: *Digest::of(bytes).as_bytes(),
        }
    }
}

/// Which image a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The image file's length before the commit, in bytes.
    pub len_before: u64,
    /// Its length after it.
    pub len_after: u64,
    /// How many bytes of data become zeroes: tells every how many blocks they are sampled.
    pub zeroed: u64,
    /// Bytes that are the same before, during and after the commit.
    pub samples: Vec<Sample>,
}

impl Header {
    /// How many bytes the header of `count` samples takes.
    pub(super) fn size(count: usize) -> usize {
        FIXED + count * SAMPLE + CHECKSUM
    }

    /// The header as it is stored. Samples beyond the limit are left out.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let samples = &self.samples[..self.samples.len().min(MAX_SAMPLES)];
        let mut bytes = Vec::with_capacity(Self::size(samples.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(samples.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.len_before.to_le_bytes());
        bytes.extend_from_slice(&self.len_after.to_le_bytes());
        bytes.extend_from_slice(&self.zeroed.to_le_bytes());
        for sample in samples {
            bytes.extend_from_slice(&sample.at.to_le_bytes());
            bytes.extend_from_slice(&sample.len.to_le_bytes());
            bytes.extend_from_slice(&sample.digest);
        }
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// How long the header is that starts with `fixed` (its first [`FIXED`] bytes).
    ///
    /// # Errors
    /// Not a header, or one of another version.
    pub(super) fn size_from(fixed: &[u8]) -> Result<usize, LogError> {
        let short = || LogError::damaged(0, "the header is cut off");
        if array::<8>(fixed, 0).ok_or_else(short)? != *MAGIC {
            return Err(LogError::damaged(0, "the magic bytes are wrong"));
        }
        let version = le32(fixed, 8).ok_or_else(short)?;
        if version != VERSION {
            return Err(LogError::Version(version));
        }
        let count = le32(fixed, 12).ok_or_else(short)? as usize;
        if count > MAX_SAMPLES {
            return Err(LogError::damaged(
                12,
                format_args!("{count} samples, more than {MAX_SAMPLES}"),
            ));
        }
        Ok(Self::size(count))
    }

    /// Reads a whole header.
    ///
    /// # Errors
    /// Not a header, of another version, cut off, or its checksum is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LogError> {
        let short = || LogError::damaged(0, "the header is cut off");
        let size = Self::size_from(bytes)?;
        let body = bytes.get(..size - CHECKSUM).ok_or_else(short)?;
        let stored = le32(bytes, size - CHECKSUM).ok_or_else(short)?;
        if crc32c(body) != stored {
            return Err(LogError::damaged(0, "the header's checksum is wrong"));
        }
        let samples = body[FIXED..]
            .chunks_exact(SAMPLE)
            .map(|raw| {
                Some(Sample { at: le64(raw, 0)?, len: le32(raw, 8)?, digest: array(raw, 12)? })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(short)?;
        Ok(Self {
            len_before: le64(bytes, 16).ok_or_else(short)?,
            len_after: le64(bytes, 24).ok_or_else(short)?,
            zeroed: le64(bytes, 32).ok_or_else(short)?,
            samples,
        })
    }
}
