//! The GUID partition table: UEFI specification 2.10, section 5.3.

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::block::{BlockError, ReadBlocks};
use crate::bytes::{array, le16, le32, le64};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The specification reserves at least 16 KiB for the array; no tool writes more than a few times
/// that. A larger one is a hostile count.
const MAX_ARRAY: u64 = 1 << 20;

/// Sector sizes in use: a header lies one sector into the disk.
pub(super) const SECTOR_SIZES: [u64; 2] = [512, 4096];

/// A GPT header (section 5.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The sector size that it was found with.
    pub(super) sector: u64,
    /// Where it says that it lies, in sectors.
    pub(super) own_lba: u64,
    /// Where the other header lies, in sectors.
    pub(super) other_lba: u64,
    /// The disk's GUID.
    pub(super) disk_guid: [u8; 16],
    array_lba: u64,
    count: u32,
    entry_size: u32,
    array_crc: u32,
}

/// One used entry of the array (section 5.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The partition's number, from 1.
    pub(super) number: u32,
    /// The type.
    pub(super) kind: [u8; 16],
    /// The partition's own GUID.
    pub(super) guid: [u8; 16],
    /// First sector.
    pub(super) first: u64,
    /// Last sector.
    pub(super) last: u64,
    /// The label, without trailing blanks.
    pub(super) label: String,
}

impl Header {
    /// Reads a header from the sector at `lba`.
    ///
    /// # Errors
    /// What is wrong with it, as a text.
    fn from_bytes(bytes: &[u8], sector: u64, lba: u64) -> Result<Self, String> {
        Self::fields(bytes, sector, lba).unwrap_or_else(|| Err("it is cut short".to_owned()))
    }

    fn fields(bytes: &[u8], sector: u64, lba: u64) -> Option<Result<Self, String>> {
        if bytes.get(..8)? != b"EFI PART" {
            return Some(Err("it has no signature".to_owned()));
        }
        let size = le32(bytes, 12)?;
        if size < 92 || u64::from(size) > sector {
            return Some(Err(format!("its size is {size} bytes")));
        }
        let expected = le32(bytes, 16)?;
        let covered = bytes.get(..usize::try_from(size).ok()?)?;
        let mut digest = CRC.digest();
        digest.update(covered.get(..16)?);
        digest.update(&[0; 4]);
        digest.update(covered.get(20..)?);
        let found = digest.finalize();
        if found != expected {
            return Some(Err(format!("its checksum is {found:08x}, not {expected:08x}")));
        }
        let header = Self {
            sector,
            own_lba: le64(bytes, 24)?,
            other_lba: le64(bytes, 32)?,
            disk_guid: array(bytes, 56)?,
            array_lba: le64(bytes, 72)?,
            count: le32(bytes, 80)?,
            entry_size: le32(bytes, 84)?,
            array_crc: le32(bytes, 88)?,
        };
        if header.own_lba != lba {
            return Some(Err(format!("it says it lies at sector {}", header.own_lba)));
        }
        if header.entry_size < 128 || !header.entry_size.is_power_of_two() {
            return Some(Err(format!("its entries have {} bytes", header.entry_size)));
        }
        if header.array_len() > MAX_ARRAY {
            return Some(Err(format!(
                "it names {} entries of {} bytes",
                header.count, header.entry_size
            )));
        }
        Some(Ok(header))
    }

    fn array_len(&self) -> u64 {
        u64::from(self.count) * u64::from(self.entry_size)
    }

    /// Reads the array that the header names; the inner error says what is wrong with it.
    fn entries(&self, disk: &dyn ReadBlocks) -> Result<Result<Vec<Entry>, String>, BlockError> {
        let len = self.array_len();
        let Some(at) = self
            .array_lba
            .checked_mul(self.sector)
            .filter(|at| at.checked_add(len).is_some_and(|end| end <= disk.len()))
        else {
            return Ok(Err("its entries lie outside the disk".to_owned()));
        };
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        disk.read_at(at, &mut bytes)?;
        let found = CRC.checksum(&bytes);
        if found != self.array_crc {
            return Ok(Err(format!(
                "the checksum of its entries is {found:08x}, not {:08x}",
                self.array_crc
            )));
        }
        let size = usize::try_from(self.entry_size).unwrap_or(usize::MAX);
        Ok(Ok((1..)
            .zip(bytes.chunks_exact(size))
            .filter_map(|(number, entry)| Entry::from_bytes(entry, number))
            .collect()))
    }
}

impl Entry {
    /// Reads an entry; `None` when it is unused.
    fn from_bytes(bytes: &[u8], number: u32) -> Option<Self> {
        let kind: [u8; 16] = array(bytes, 0)?;
        if kind == [0; 16] {
            return None;
        }
        let units: Vec<u16> =
            (56..128).step_by(2).filter_map(|at| le16(bytes, at)).take_while(|&u| u != 0).collect();
        Some(Self {
            number,
            kind,
            guid: array(bytes, 16)?,
            first: le64(bytes, 32)?,
            last: le64(bytes, 40)?,
            label: String::from_utf16_lossy(&units).trim_end().to_owned(),
        })
    }
}

/// A whole table: a header that is right, and its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gpt {
    /// The header it was read by.
    pub(super) header: Header,
    /// The used entries, in order.
    pub(super) entries: Vec<Entry>,
    /// Where both headers and their arrays lie, right or damaged: first byte and length of each.
    pub(super) places: Vec<(u64, u64)>,
}

/// Reads the table whose header lies at sector `lba`, and adds what it read to `places`; the inner
/// error says what is wrong with it.
fn read_at(
    disk: &dyn ReadBlocks,
    sector: u64,
    lba: u64,
    places: &mut Vec<(u64, u64)>,
) -> Result<Result<Gpt, String>, BlockError> {
    let mut bytes = vec![0; usize::try_from(sector).unwrap_or_default()];
    match lba
        .checked_mul(sector)
        .filter(|at| at.checked_add(sector).is_some_and(|end| end <= disk.len()) && lba > 0)
    {
        Some(at) => {
            places.push((at, sector));
            disk.read_at(at, &mut bytes)?;
        }
        None => return Ok(Err("it lies outside the disk".to_owned())),
    }
    let header = match Header::from_bytes(&bytes, sector, lba) {
        Ok(header) => header,
        Err(problem) => return Ok(Err(problem)),
    };
    places.push((header.array_lba.saturating_mul(sector), header.array_len()));
    Ok(header.entries(disk)?.map(|entries| Gpt { header, entries, places: Vec::new() }))
}

/// What was found where a GPT would be.
pub(super) enum Found {
    /// A table, read by its first header or, where that is damaged, by its backup.
    Table(Gpt),
    /// No header has even a signature.
    Nothing,
    /// There are headers, and neither is right.
    Damaged(String),
}

/// Looks for a table by its first header and then by the backup in the disk's last sector.
///
/// # Errors
/// The device below failed.
pub(super) fn read(disk: &dyn ReadBlocks, warnings: &mut Vec<String>) -> Result<Found, BlockError> {
    let mut damage = None;
    for sector in SECTOR_SIZES {
        let mut places = Vec::new();
        match read_at(disk, sector, 1, &mut places)? {
            Ok(table) => {
                check_backup(disk, &table, &mut places, warnings)?;
                return Ok(Found::Table(Gpt { places, ..table }));
            }
            Err(problem) => {
                if has_signature(disk, sector)? {
                    damage = Some(problem);
                }
            }
        }
    }
    for sector in SECTOR_SIZES {
        let Some(last) = (disk.len() / sector).checked_sub(1) else { continue };
        let mut places = vec![(sector, sector)];
        if let Ok(table) = read_at(disk, sector, last, &mut places)? {
            warnings.push(format!(
                "the GPT's first header is damaged ({}); read by its backup",
                damage.as_deref().unwrap_or("it has no signature")
            ));
            return Ok(Found::Table(Gpt { places, ..table }));
        }
    }
    Ok(damage.map_or(Found::Nothing, Found::Damaged))
}

/// Whether the sector at LBA 1 carries the signature, whatever else is wrong with it.
fn has_signature(disk: &dyn ReadBlocks, sector: u64) -> Result<bool, BlockError> {
    let mut signature = [0; 8];
    if disk.len() < sector + 8 {
        return Ok(false);
    }
    disk.read_at(sector, &mut signature)?;
    Ok(&signature == b"EFI PART")
}

/// Warns when the backup of a good first table is damaged, elsewhere, or says something else.
fn check_backup(
    disk: &dyn ReadBlocks,
    table: &Gpt,
    places: &mut Vec<(u64, u64)>,
    warnings: &mut Vec<String>,
) -> Result<(), BlockError> {
    let header = &table.header;
    match read_at(disk, header.sector, header.other_lba, places)? {
        Err(problem) => warnings.push(format!("the GPT's backup header is damaged: {problem}")),
        Ok(backup) if backup.entries != table.entries => {
            warnings
                .push("the GPT's backup names other partitions than its first table".to_owned());
        }
        Ok(_) if header.other_lba != (disk.len() / header.sector).saturating_sub(1) => {
            warnings.push("the GPT's backup header is not at the disk's end".to_owned());
        }
        Ok(_) => {}
    }
    Ok(())
}

/// A GUID as `blkid` prints it: the first three fields are little-endian (UEFI appendix A).
pub(super) fn guid_text(guid: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *guid;
    format!(
        "{:08x}-{:04x}-{:04x}-{i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}",
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
        u16::from_le_bytes([g, h]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"EFI PART");
        bytes[12..16].copy_from_slice(&92_u32.to_le_bytes());
        bytes[24] = 1;
        bytes[72] = 2;
        bytes[80..84].copy_from_slice(&128_u32.to_le_bytes());
        bytes[84..88].copy_from_slice(&128_u32.to_le_bytes());
        bytes
    }

    fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
        let size = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        bytes[16..20].fill(0);
        let crc = CRC.checksum(&bytes[..size]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_is_taken_only_whole() {
        assert!(Header::from_bytes(&seal(header()), 512, 1).is_ok());
        assert!(Header::from_bytes(&header(), 512, 1).unwrap_err().contains("checksum"));
        assert!(Header::from_bytes(&seal(header()), 512, 2).unwrap_err().contains("sector 1"));
        assert!(Header::from_bytes(&header()[..90], 512, 1).is_err());
    }

    #[test]
    fn hostile_counts_and_sizes_are_refused() {
        for (at, value) in [(80, u32::MAX), (84, 0), (84, 64), (84, 200), (84, 1 << 31)] {
            let mut bytes = header();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(Header::from_bytes(&seal(bytes), 512, 1).is_err(), "{value} at {at}");
        }
        for size in [0_u32, 91, 513, u32::MAX] {
            let mut bytes = header();
            bytes[12..16].copy_from_slice(&size.to_le_bytes());
            assert!(Header::from_bytes(&bytes, 512, 1).is_err(), "{size}");
        }
    }

    #[test]
    fn guids_read_as_blkid_prints_them() {
        let esp = *b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";
        assert_eq!(guid_text(&esp), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
