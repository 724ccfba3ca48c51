//! Linear directory blocks: names, their slack and the checksum tail.
//!
//! Kernel documentation, "ext4 Data Structures and Algorithms", 4.3 "Directory Entries".
//! A directory block is a chain of records that fills it exactly; with `metadata_csum` the last
//! twelve bytes are a record of no name that holds the checksum. Nothing here does I/O, and no
//! byte of a block makes it panic.

use super::checksum::crc32c;
use crate::bytes::{le16, le32};

/// Bytes of a directory record before its name.
pub const RECORD_HEADER: usize = 8;
/// Bytes of the checksum record at the end of a block.
pub const TAIL: usize = 12;
/// The longest name in bytes.
pub const NAME_MAX: usize = 255;
/// The checksum record's file type.
const TAIL_TYPE: u8 = 0xde;

/// How a filesystem lays out its directory records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Block size in bytes.
    pub block_size: usize,
    /// The `filetype` feature: records say what they name.
    pub file_type: bool,
    /// The `metadata_csum` feature: blocks end in a checksum record.
    pub checksum: bool,
}

impl Format {
    /// How many bytes of a block hold names.
    pub fn usable(self) -> usize {
        self.block_size.saturating_sub(if self.checksum { TAIL } else { 0 })
    }
}

/// A record as it stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Byte offset in the block.
    pub at: usize,
    /// Bytes up to the next record.
    pub len: usize,
    /// The inode named; 0 when the record is unused.
    pub inode: u32,
    /// The file type, 0 where the filesystem does not say.
    pub file_type: u8,
    /// The name; empty only in unused records.
    pub name: &'a [u8],
}

/// The bytes a record with a name this long needs.
pub fn needed(name_len: usize) -> usize {
    (RECORD_HEADER + name_len).next_multiple_of(4)
}

/// Decodes a record length: lengths past 65,532 keep their high bits in the low ones.
pub fn record_len(disk: u16, block_size: usize) -> usize {
    let len = usize::from(disk);
    if block_size < 65_536 {
        return len;
    }
    if disk == 0 || disk == 0xffff { block_size } else { (len & 0xfffc) | ((len & 3) << 16) }
}

/// Encodes a record length; the reverse of [`record_len`]. `None` when it cannot be stored.
pub fn record_len_to_disk(len: usize, block_size: usize) -> Option<u16> {
    if !len.is_multiple_of(4) || len > block_size {
        return None;
    }
    match u16::try_from(len) {
        Ok(short) => Some(short),
        Err(_) if len == block_size => Some(if block_size == 65_536 { 0xffff } else { 0 }),
        Err(_) => u16::try_from((len & 0xfffc) | ((len >> 16) & 3)).ok(),
    }
}

/// Goes through the records of a block, the checksum record left out.
///
/// A damaged record is given as a text and ends the walk.
pub fn records(block: &[u8], format: Format) -> Records<'_> {
    Records { block, format, at: 0 }
}

/// See [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    block: &'a [u8],
    format: Format,
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.format.usable().min(self.block.len());
        if self.at >= end {
            return None;
        }
        let record = record_at(self.block, self.format, self.at, end);
        self.at = match &record {
            Ok(record) => record.at + record.len,
            Err(_) => end,
        };
        Some(record)
    }
}

fn record_at(block: &[u8], format: Format, at: usize, end: usize) -> Result<Record<'_>, String> {
    let header = block.get(at..at + RECORD_HEADER).filter(|_| at + RECORD_HEADER <= end);
    let Some(header) = header else {
        return Err(format!("byte {at}: no room for a record header"));
    };
    let inode = le32(header, 0).unwrap_or(0);
    let len = record_len(le16(header, 4).unwrap_or(0), format.block_size);
    let name_len = usize::from(header[6]);
    if len < needed(1).max(needed(name_len)) || !len.is_multiple_of(4) || at + len > end {
        return Err(format!(
            "byte {at}: a record of {len} bytes with a name of {name_len}, {} bytes from the end",
            end - at
        ));
    }
    if inode != 0 && name_len == 0 {
        return Err(format!("byte {at}: inode {inode} has an empty name"));
    }
    let start = at + RECORD_HEADER;
    let name = block.get(start..start + name_len).unwrap_or(&[]);
    // Without `filetype` the byte is the high half of the name's length, always 0.
    let file_type = if format.file_type { header[7] } else { 0 };
    Ok(Record { at, len, inode, file_type, name })
}

/// Finds the record with this name.
///
/// # Errors
/// What is wrong with the block.
pub fn find<'a>(
    block: &'a [u8],
    format: Format,
    name: &[u8],
) -> Result<Option<Record<'a>>, String> {
    for record in records(block, format) {
        let record = record?;
        if record.inode != 0 && record.name == name {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// A block without names: one unused record and, with checksums, the tail (its sum still 0).
pub fn empty_block(format: Format) -> Vec<u8> {
    let mut block = vec![0; format.block_size];
    set_len(&mut block, format, 0, format.usable());
    init_tail(&mut block, format);
    block
}

/// Writes the checksum record, its sum 0; nothing without checksums.
pub fn init_tail(block: &mut [u8], format: Format) {
    if format.checksum
        && let Some(tail) = block.get_mut(format.usable()..format.block_size)
        && tail.len() == TAIL
    {
        tail.fill(0);
        tail[4] = TAIL as u8;
        tail[7] = TAIL_TYPE;
    }
}

fn set_len(block: &mut [u8], format: Format, at: usize, len: usize) {
    if let Some(disk) = record_len_to_disk(len, format.block_size)
        && let Some(field) = block.get_mut(at + 4..at + 6)
    {
        field.copy_from_slice(&disk.to_le_bytes());
    }
}

/// Writes a whole record; the caller knows that `len` fits the name and the block.
fn put(block: &mut [u8], format: Format, record: Record<'_>) {
    let Record { at, len, inode, file_type, name } = record;
    let Some(bytes) = block.get_mut(at..at + len) else { return };
    bytes.fill(0);
    bytes[..4].copy_from_slice(&inode.to_le_bytes());
    bytes[6] = name.len() as u8;
    bytes[7] = if format.file_type { file_type } else { 0 };
    bytes[RECORD_HEADER..RECORD_HEADER + name.len()].copy_from_slice(name);
    set_len(block, format, at, len);
}

/// Adds a name where the block has room for it; `false` when it has not.
///
/// # Errors
/// What is wrong with the block.
pub fn insert(
    block: &mut [u8],
    format: Format,
    name: &[u8],
    inode: u32,
    file_type: u8,
) -> Result<bool, String> {
    if name.is_empty() || name.len() > NAME_MAX || inode == 0 {
        return Err("a name that no record can hold".to_owned());
    }
    let need = needed(name.len());
    let mut place = None;
    for record in records(block, format) {
        let record = record?;
        let used = if record.inode == 0 { 0 } else { needed(record.name.len()) };
        if record.len - used >= need {
            place = Some((record.at, used, record.len));
            break;
        }
    }
    let Some((at, used, len)) = place else { return Ok(false) };
    if used > 0 {
        set_len(block, format, at, used);
    }
    put(block, format, Record { at: at + used, len: len - used, inode, file_type, name });
    Ok(true)
}

/// Takes the record at byte `at` away: its bytes become slack of the record before it, all zero.
///
/// # Errors
/// What is wrong with the block, or that no record is there.
pub fn remove(block: &mut [u8], format: Format, at: usize) -> Result<(), String> {
    let mut before: Option<(usize, usize, usize)> = None;
    let mut found = None;
    for record in records(block, format) {
        let record = record?;
        if record.at == at {
            found = Some(record.len);
            break;
        }
        let used = if record.inode == 0 { RECORD_HEADER } else { needed(record.name.len()) };
        before = Some((record.at, record.len, used));
    }
    let Some(len) = found else { return Err(format!("byte {at}: no record is there")) };
    match before {
        Some((previous, previous_len, used)) => {
            set_len(block, format, previous, previous_len + len);
            if let Some(slack) = block.get_mut(previous + used..at + len) {
                slack.fill(0);
            }
        }
        None => put(block, format, Record { at, len, inode: 0, file_type: 0, name: &[] }),
    }
    Ok(())
}

/// Makes the record at byte `at` name another inode.
pub fn retarget(block: &mut [u8], format: Format, at: usize, inode: u32, file_type: u8) {
    if let Some(field) = block.get_mut(at..at + 4) {
        field.copy_from_slice(&inode.to_le_bytes());
    }
    if format.file_type
        && let Some(byte) = block.get_mut(at + 7)
    {
        *byte = file_type;
    }
}

/// Zeroes every byte that belongs to no name: stale names live there. Says whether any was not 0.
///
/// # Errors
/// What is wrong with the block.
pub fn scrub(block: &mut [u8], format: Format) -> Result<bool, String> {
    let mut changed = false;
    let mut at = 0;
    let end = format.usable().min(block.len());
    while at < end {
        let record = record_at(block, format, at, end)?;
        let (len, unused) = (record.len, record.inode == 0);
        let used = if unused { RECORD_HEADER } else { RECORD_HEADER + record.name.len() };
        if unused {
            // An unused record's name is nobody's, so it has no length either.
            for byte in &mut block[at + 6..at + 8] {
                changed |= std::mem::take(byte) != 0;
            }
        }
        let slack = &mut block[at + used..at + len];
        if slack.iter().any(|&byte| byte != 0) {
            slack.fill(0);
            changed = true;
        }
        at += len;
    }
    Ok(changed)
}

/// Whether a block has a checksum record at its end.
pub fn has_tail(block: &[u8], format: Format) -> bool {
    let tail = block.get(format.usable()..format.block_size).unwrap_or(&[]);
    le32(tail, 0) == Some(0)
        && le16(tail, 4) == Some(TAIL as u16)
        && tail.get(6..8) == Some(&[0, TAIL_TYPE])
}

/// The checksum of a linear block; `inode_seed` is the CRC of the filesystem's seed, the
/// directory's inode number and its generation.
pub fn checksum(block: &[u8], format: Format, inode_seed: u32) -> u32 {
    crc32c(inode_seed, block.get(..format.usable()).unwrap_or(block))
}

/// Writes the checksum into the tail; nothing without checksums.
pub fn seal(block: &mut [u8], format: Format, inode_seed: u32) {
    if format.checksum {
        let sum = checksum(block, format, inode_seed);
        if let Some(field) = block.get_mut(format.block_size - 4..format.block_size) {
            field.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// Whether the tail's checksum is right; always so without checksums.
pub fn verify(block: &[u8], format: Format, inode_seed: u32) -> bool {
    !format.checksum
        || (has_tail(block, format)
            && le32(block, format.block_size - 4) == Some(checksum(block, format, inode_seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Format = Format { block_size: 1024, file_type: true, checksum: false };
    const SUMMED: Format = Format { block_size: 1024, file_type: true, checksum: true };

    fn names(block: &[u8], format: Format) -> Vec<(Vec<u8>, u32)> {
        records(block, format)
            .map(Result::unwrap)
            .filter(|record| record.inode != 0)
            .map(|record| (record.name.to_vec(), record.inode))
            .collect()
    }

    #[test]
    fn names_come_back_and_leave_nothing() {
        for format in [PLAIN, SUMMED] {
            let mut block = empty_block(format);
            let mut count = 0u32;
            while insert(&mut block, format, format!("name-{count:04}").as_bytes(), count + 11, 1)
                .unwrap()
            {
                count += 1;
            }
            assert_eq!(count as usize, format.usable() / 20);
            seal(&mut block, format, 7);
            assert!(verify(&block, format, 7) && verify(&block, format, 8) != format.checksum);
            for n in (0..count).step_by(2).chain((1..count).step_by(2)) {
                let name = format!("name-{n:04}");
                let at = find(&block, format, name.as_bytes()).unwrap().unwrap().at;
                remove(&mut block, format, at).unwrap();
                assert!(!String::from_utf8_lossy(&block).contains(&name));
                assert!(!scrub(&mut block, format).unwrap());
            }
            assert_eq!(names(&block, format), []);
            assert!(insert(&mut block, format, b"again", 12, 1).unwrap());
            assert_eq!(names(&block, format), [(b"again".to_vec(), 12)]);
            assert_eq!(has_tail(&block, format), format.checksum);
        }
    }

    #[test]
    fn stale_names_are_scrubbed() {
        let mut block = empty_block(PLAIN);
        insert(&mut block, PLAIN, b"kept", 12, 1).unwrap();
        insert(&mut block, PLAIN, b"secret", 13, 1).unwrap();
        // As a kernel without scrubbing removes: only the record before grows.
        set_len(&mut block, PLAIN, 0, 1024);
        assert!(scrub(&mut block, PLAIN).unwrap());
        assert!(!scrub(&mut block, PLAIN).unwrap());
        assert_eq!(names(&block, PLAIN), [(b"kept".to_vec(), 12)]);
        assert!(!String::from_utf8_lossy(&block).contains("secret"));
    }

    #[test]
    fn record_lengths_of_large_blocks() {
        assert_eq!(record_len_to_disk(65_536, 65_536), Some(0xffff));
        assert_eq!(record_len(0xffff, 65_536), 65_536);
        assert_eq!(record_len_to_disk(65_524, 65_536), Some(65_524));
        for len in [12, 65_532, 65_536, 131_068, 131_072, 262_144] {
            let disk = record_len_to_disk(len, 262_144).unwrap();
            assert_eq!(record_len(disk, 262_144), len);
        }
        assert_eq!(record_len_to_disk(13, 1024), None);
        assert_eq!(record_len_to_disk(2048, 1024), None);
    }

    #[test]
    fn damaged_records_are_told() {
        let mut block = empty_block(PLAIN);
        for (len, name_len) in [(0u16, 1u8), (8, 0), (11, 1), (2000, 1), (12, 9), (1020, 1)] {
            block[0] = 12;
            block[4..6].copy_from_slice(&len.to_le_bytes());
            block[6] = name_len;
            assert!(records(&block, PLAIN).any(|record| record.is_err()), "{len} {name_len}");
        }
    }
}
