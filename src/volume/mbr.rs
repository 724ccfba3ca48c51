//! The master boot record and its chain of extended boot records.
//!
//! There is no standard; the kernel's `block/partitions/msdos.c` decides what a partition is.

use std::collections::BTreeSet;

use crate::block::{BlockError, ReadBlocks};
use crate::bytes::{array, le32};

/// Bytes in a sector as the table counts them. A 4Kn disk counts in 4096, but carries a GPT.
pub(super) const SECTOR: u64 = 512;

/// The kernel gives a disk at most 256 minor numbers (`DISK_MAX_PARTS`), the disk's own included.
const MAX_PARTITIONS: u32 = 255;

/// A link to the next extended boot record that names no partition gains nothing; the kernel
/// follows at most 100 of them.
const MAX_EMPTY_LINKS: u32 = 100;

/// The type that says the real table is a GPT.
const GPT_PROTECTIVE: u8 = 0xee;

/// One of a boot record's four entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// 0x80 where the partition is active, else 0.
    pub(super) flag: u8,
    /// What the partition is for; 0: the entry is unused.
    pub(super) kind: u8,
    /// First sector, counted from the record or from the extended partition.
    pub(super) start: u32,
    /// Length in sectors.
    pub(super) sectors: u32,
}

impl Entry {
    fn is_used(self) -> bool {
        self.kind != 0 && self.sectors != 0
    }

    fn is_extended(self) -> bool {
        // DOS, Windows 95 LBA, Linux.
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// A boot record: the first sector of a disk or of a logical partition's own little disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BootRecord {
    /// The disk's id, 0 where it was never given one.
    pub(super) disk_id: u32,
    /// The four entries.
    pub(super) entries: [Entry; 4],
}

impl BootRecord {
    /// Reads a record from a sector; `None` without the 0x55AA mark, or where an entry's flag is
    /// neither 0 nor 0x80: then these bytes are boot code or a text, as in a FAT boot sector.
    pub(super) fn from_bytes(sector: &[u8]) -> Option<Self> {
        if sector.get(510..512)? != [0x55, 0xaa] {
            return None;
        }
        let mut entries = [Entry { flag: 0, kind: 0, start: 0, sectors: 0 }; 4];
        for (entry, at) in entries.iter_mut().zip((446..510).step_by(16)) {
            let [flag, _, _, _, kind] = array(sector, at)?;
            if flag & 0x7f != 0 {
                return None;
            }
            *entry =
                Entry { flag, kind, start: le32(sector, at + 8)?, sectors: le32(sector, at + 12)? };
        }
        Some(Self { disk_id: le32(sector, 440)?, entries })
    }

    /// Whether it protects a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == GPT_PROTECTIVE)
    }

    /// Whether it protects a GPT and names partitions of its own as well.
    pub(super) fn is_hybrid(&self) -> bool {
        self.is_protective()
            && self.entries.iter().any(|entry| entry.is_used() && entry.kind != GPT_PROTECTIVE)
    }

    /// Whether it names any partition.
    pub(super) fn is_used(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_used())
    }

    /// The sectors that its partitions begin at, of primary ones.
    pub(super) fn starts(&self) -> impl Iterator<Item = u64> {
        let partitions = self.entries.iter().filter(|it| it.is_used() && !it.is_extended());
        partitions.map(|it| u64::from(it.start))
    }

    /// Whether it can be a partition table and not a boot sector that only looks like one: it names
    /// a partition, and each one it names begins after the record and inside `disk_len` bytes.
    pub(super) fn is_plausible(&self, disk_len: u64) -> bool {
        self.is_used()
            && self.entries.iter().all(|entry| {
                !entry.is_used()
                    || (entry.start > 0 && u64::from(entry.start) < disk_len.div_ceil(SECTOR))
            })
    }
}

/// A partition that a boot record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// 1 to 4 for primary ones, from 5 for logical ones.
    pub(super) number: u32,
    /// The type.
    pub(super) kind: u8,
    /// First byte on the disk.
    pub(super) start: u64,
    /// Length in bytes.
    pub(super) len: u64,
}

/// Every partition of a record: primary ones, then logical ones, as the kernel numbers them.
/// Extended partitions are left out: they hold nothing but the logical ones.
///
/// Adds where the records lie to `places`: first byte and length of each.
///
/// # Errors
/// The device below failed.
pub(super) fn partitions(
    disk: &dyn ReadBlocks,
    record: &BootRecord,
    places: &mut Vec<(u64, u64)>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Partition>, BlockError> {
    places.push((0, SECTOR));
    let mut found = Vec::new();
    let mut next_number = 5;
    for (entry, number) in record.entries.iter().zip(1..) {
        if entry.is_used() && !entry.is_extended() {
            found.push(Partition {
                number,
                kind: entry.kind,
                start: u64::from(entry.start) * SECTOR,
                len: u64::from(entry.sectors) * SECTOR,
            });
        }
    }
    for entry in record.entries.iter().filter(|entry| entry.is_used() && entry.is_extended()) {
        logical(disk, *entry, &mut next_number, &mut found, places, warnings)?;
    }
    Ok(found)
}

/// Follows the chain of extended boot records of one extended partition.
fn logical(
    disk: &dyn ReadBlocks,
    extended: Entry,
    next_number: &mut u32,
    found: &mut Vec<Partition>,
    places: &mut Vec<(u64, u64)>,
    warnings: &mut Vec<String>,
) -> Result<(), BlockError> {
    let base = u64::from(extended.start);
    let end = base + u64::from(extended.sectors);
    let mut at = base;
    let mut seen = BTreeSet::new();
    let mut empty = 0;
    loop {
        if !seen.insert(at) {
            warnings.push(format!(
                "the chain of logical partitions comes back to sector {at}; followed no further"
            ));
            return Ok(());
        }
        let mut sector = [0; SECTOR as usize];
        if (at + 1).saturating_mul(SECTOR) > disk.len() {
            warnings.push(format!("an extended boot record at sector {at} lies outside the disk"));
            return Ok(());
        }
        disk.read_at(at * SECTOR, &mut sector)?;
        places.push((at * SECTOR, SECTOR));
        let Some(record) = BootRecord::from_bytes(&sector) else {
            warnings.push(format!("no extended boot record at sector {at}, which is named as one"));
            return Ok(());
        };
        empty += 1;
        for (place, entry) in record.entries.iter().enumerate() {
            if !entry.is_used() || entry.is_extended() {
                continue;
            }
            let start = at + u64::from(entry.start);
            // Only the first two entries are of use; some tools left rubbish in the others.
            if place >= 2 && (start < base || start + u64::from(entry.sectors) > end || start < at)
            {
                continue;
            }
            if *next_number > MAX_PARTITIONS {
                warnings.push(format!("more than {MAX_PARTITIONS} partitions; the rest left out"));
                return Ok(());
            }
            found.push(Partition {
                number: *next_number,
                kind: entry.kind,
                start: start * SECTOR,
                len: u64::from(entry.sectors) * SECTOR,
            });
            *next_number += 1;
            empty = 0;
        }
        if empty > MAX_EMPTY_LINKS {
            warnings.push("a chain of extended boot records that name nothing".to_owned());
            return Ok(());
        }
        match record.entries.iter().find(|entry| entry.is_used() && entry.is_extended()) {
            Some(link) => at = base + u64::from(link.start),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(entries: &[(u8, u8, u32, u32)]) -> Vec<u8> {
        let mut sector = vec![0; 512];
        for (n, &(flag, kind, start, sectors)) in entries.iter().enumerate() {
            let at = 446 + n * 16;
            sector[at] = flag;
            sector[at + 4] = kind;
            sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn boot_code_in_the_entries_is_no_table() {
        assert!(BootRecord::from_bytes(&sector(&[(0x80, 0x83, 1, 1)])).is_some());
        assert!(BootRecord::from_bytes(&sector(&[(0x4e, 0x83, 1, 1)])).is_none());
        assert!(BootRecord::from_bytes(&sector(&[])[..511]).is_none());
        let mut unmarked = sector(&[]);
        unmarked[511] = 0;
        assert!(BootRecord::from_bytes(&unmarked).is_none());
    }

    #[test]
    fn a_protective_record_with_a_partition_is_hybrid() {
        let protective = BootRecord::from_bytes(&sector(&[(0, 0xee, 1, 100)])).unwrap();
        assert!(protective.is_protective() && !protective.is_hybrid());
        let hybrid = BootRecord::from_bytes(&sector(&[(0, 0xee, 1, 100), (0, 7, 200, 1)])).unwrap();
        assert!(hybrid.is_hybrid());
    }

    #[test]
    fn a_table_that_begins_at_sector_zero_is_a_boot_sector() {
        let fake = BootRecord::from_bytes(&sector(&[(0, 0x0c, 0, 100)])).unwrap();
        assert!(!fake.is_plausible(1 << 20));
    }
}
