//! CRC-32C as ext4 uses it.

use crc::{Algorithm, CRC_32_ISCSI, Crc, Table};

// ext4 chains raw CRCs: no inversion at the end, the previous value at the start.
const RAW: Algorithm<u32> = Algorithm { xorout: 0, ..CRC_32_ISCSI };
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&RAW);

/// Carries the raw CRC-32C `seed` on over `bytes`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}
