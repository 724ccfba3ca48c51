//! Making an empty FAT12 or FAT16 filesystem (Microsoft FAT specification 1.03, sections 3 and 4).

use super::directory::{LABEL, Short};
use super::geometry::Width;
use crate::block::{BlockError, WriteBlocks};
use crate::fs::Timestamp;

/// The sizes that can be formatted, in bytes, each a power of two: from what room there has to be
/// beside tables and root directory, to the most clusters of the largest size.
pub const SIZES: std::ops::RangeInclusive<u64> = 1 << 17..=1 << 30;

const SECTOR: u32 = 512;
/// Entries of the root directory, and the sectors they take.
const ROOT: (u16, u32) = (512, 32);
const TABLES: u32 = 2;
/// What a disk that cannot be taken out says in its boot sector and tables.
const MEDIA: u8 = 0xf8;
/// With no more sectors than these, in clusters of one, it is FAT12.
const FAT12_SECTORS: u32 = 4096;
/// With no more, in clusters of one, it is FAT16: 65,536 less what the tables take.
const FAT16_SECTORS: u32 = 65_536;
/// Jumps over the fields to code that asks for the next device to boot from, and waits.
const JUMP: [u8; 3] = [0xeb, 0x3c, 0x90];
const CODE: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];

/// Makes an empty filesystem of the whole of `device`, which holds zeroes, with a label and a serial
/// number.
///
/// # Errors
/// What writing the device says. The device's size is one of [`SIZES`].
pub fn format(
    device: &dyn WriteBlocks,
    label: &[u8; 11],
    serial: u32,
    now: Timestamp,
) -> Result<(), BlockError> {
    let sectors = u32::try_from(device.len() / u64::from(SECTOR)).unwrap_or(u32::MAX);
    debug_assert!(SIZES.contains(&device.len()) && sectors.is_power_of_two());
    let per_cluster = (sectors / FAT16_SECTORS).max(1);
    let width = if sectors <= FAT12_SECTORS { Width::Fat12 } else { Width::Fat16 };
    // Room for more clusters than there are, since the tables take some.
    let bits = u64::from(sectors / per_cluster) * width.bits();
    let table = u32::try_from(bits.div_ceil(8 * u64::from(SECTOR))).unwrap_or(u32::MAX);

    let small = |number: u32| u8::try_from(number).unwrap_or_default();
    let short = |number: u32| u16::try_from(number).unwrap_or_default().to_le_bytes();
    let parts: [&[u8]; 22] = [
        &JUMP,
        b"SYSPREP ",
        &short(SECTOR),
        &[small(per_cluster)],
        // The boot sector alone is reserved.
        &short(1),
        &[small(TABLES)],
        &ROOT.0.to_le_bytes(),
        &short(sectors),
        &[MEDIA],
        &short(table),
        // Sectors a track and heads, which nobody asks for.
        &short(32),
        &short(64),
        &[0; 4],
        &(if sectors > u32::from(u16::MAX) { sectors } else { 0 }).to_le_bytes(),
        // The drive's number, no state, and the mark that what follows is there.
        &[0x80, 0, 0x29],
        &serial.to_le_bytes(),
        label,
        width.name().as_bytes(),
        b"   ",
        &CODE,
        &[0; 443],
        &[0x55, 0xaa],
    ];
    device.write_at(0, &parts.concat())?;
    let at = |sector: u32| u64::from(sector) * u64::from(SECTOR);
    // The first two entries name no clusters.
    let entries = [MEDIA, 0xff, 0xff, 0xff];
    let entries = if width == Width::Fat12 { &entries[..3] } else { &entries[..] };
    for number in 0..TABLES {
        device.write_at(at(1 + number * table), entries)?;
    }
    let root = at(1 + TABLES * table);
    device.write_at(root, &Short::new(label, LABEL, 0, now).0)
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Geometry;
    use super::*;
    use crate::block::Memory;

    #[test]
    fn every_size_is_what_its_reader_takes_it_for() {
        let mut size = *SIZES.start();
        while size <= *SIZES.end() {
            let device = Memory::new(size);
            format(&device, b"label      ", 7, Timestamp::default()).unwrap();
            let geometry = Geometry::read(&device).unwrap().unwrap();
            let width = if size <= 2 << 20 { Width::Fat12 } else { Width::Fat16 };
            let cluster = (size >> 16).max(512);
            assert_eq!((geometry.width, geometry.cluster, geometry.size), (width, cluster, size));
            assert_eq!((geometry.serial, geometry.label), (Some(7), Some(*b"label      ")));
            size *= 2;
        }
    }
}
