//! What ends a log and makes it complete.

use crc32c::crc32c;

use crate::bytes::{array, le32, le64};

/// What a trailer begins with.
const MAGIC: &[u8; 8] = b"SYSPREND";

/// Magic, number of records, log length, digest, checksum.
pub(super) const SIZE: usize = 8 + 8 + 8 + 32 + 4;

/// The log's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// How many records the log has.
    pub(super) records: u64,
    /// Length of the whole log in bytes, this trailer included.
    pub(super) length: u64,
    /// BLAKE3 digest of header and records.
    pub(super) digest: [u8; 32],
}

impl Trailer {
    /// The trailer as it is stored.
    pub(super) fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.digest);
        let checksum = crc32c(&bytes[..56]);
        bytes[56..60].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a trailer; `None` when these bytes are not a whole one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let body = bytes.get(..56)?;
        (array::<8>(bytes, 0)? == *MAGIC && le32(bytes, 56)? == crc32c(body)).then_some(())?;
        Some(Self { records: le64(bytes, 8)?, length: le64(bytes, 16)?, digest: array(bytes, 24)? })
    }
}
