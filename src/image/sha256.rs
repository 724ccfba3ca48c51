//! The digest of a disk's content.

use sha2::{Digest as _, Sha256};

use crate::block::{BlockError, Extent, ReadBlocks};

/// How much is read at once: large enough for the host, small in memory.
const CHUNK: usize = 1 << 20;

/// SHA-256 of every byte of the disk, in lower-case hexadecimal. Reads all that is not a hole.
///
/// # Errors
/// What reading the disk says.
pub fn sha256(disk: &dyn ReadBlocks) -> Result<String, BlockError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let zeroes = vec![0; CHUNK];
    let mut at = 0;
    while at < disk.len() {
        let extent = disk.extent_at(at)?.at_most(CHUNK as u64);
        let len = usize::try_from(extent.len()).unwrap_or(CHUNK);
        match extent {
            Extent::Zero(_) => hash.update(&zeroes[..len]),
            Extent::Data(_) => {
                disk.read_at(at, &mut buffer[..len])?;
                hash.update(&buffer[..len]);
            }
        }
        at += extent.len();
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
