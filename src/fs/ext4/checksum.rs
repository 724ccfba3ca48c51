//! The two checksums of ext4: crc32c (`metadata_csum`) and crc16 (`uninit_bg`).
//!
//! ext4 chains them without the usual final inversion: a checksum is the seed of the next.

use crc::{Algorithm, Crc};

/// The polynomial 0x8005, reflected, seed given by the caller.
const IBM16: Algorithm<u16> = Algorithm {
    width: 16,
    poly: 0x8005,
    init: 0,
    refin: true,
    refout: true,
    xorout: 0,
    check: 0,
    residue: 0,
};

static CRC16: Crc<u16> = Crc::<u16>::new(&IBM16);

/// The seed a chain of either checksum starts with when nothing goes before.
pub const START: u32 = 0xffff_ffff;

/// crc32c of `bytes` going on from `seed`.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    // The crate inverts before and after, as everyone but ext4 does.
    !crc32c::crc32c_append(!seed, bytes)
}

/// crc16 of `bytes` going on from `seed`.
#[must_use]
pub fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    let mut digest = CRC16.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// The seed for everything that belongs to one inode: its extent and directory blocks, itself.
#[must_use]
pub fn inode_seed(filesystem_seed: u32, number: u32, generation: u32) -> u32 {
    crc32c(crc32c(filesystem_seed, &number.to_le_bytes()), &generation.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogued_check_values() {
        assert_eq!(!crc32c(START, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0xffff, b"123456789"), 0x4b37);
    }

    #[test]
    fn a_chain_equals_the_whole() {
        assert_eq!(crc32c(crc32c(7, b"12345"), b"6789"), crc32c(7, b"123456789"));
        assert_eq!(crc16(crc16(7, b"12345"), b"6789"), crc16(7, b"123456789"));
    }
}
