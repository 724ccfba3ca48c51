//! Extended attributes: in the inode's tail, in a block of their own, or with values in inodes.
//!
//! Kernel documentation, "ext4 Data Structures and Algorithms", 4.5 "Extended Attributes".
//! Nothing here does I/O, and no byte of a disk makes it panic.

use super::checksum::crc32c;
use crate::bytes::{le16, le32};
use crate::fs::FsError;
use crate::path::escape;

/// `h_magic` of both forms.
pub const MAGIC: u32 = 0xea02_0000;
/// Bytes of the header in an inode.
pub const INODE_HEADER: usize = 4;
/// Bytes of the header of a block.
pub const BLOCK_HEADER: usize = 32;
/// How many inodes may share a block.
pub const MAX_REFERENCES: u32 = 1024;
/// Bytes of an entry before its name.
const ENTRY: usize = 16;

/// The name index of `system.posix_acl_access`.
pub const ACL_ACCESS: u8 = 2;
/// The name index of `system.posix_acl_default`.
pub const ACL_DEFAULT: u8 = 3;
/// The name index of `system.`.
pub const SYSTEM: u8 = 7;
/// The name index of encryption contexts (`c` alone, not shown to users).
pub const ENCRYPTION: u8 = 9;
/// `XATTR_NAME_MAX` of Linux, without the prefix.
const MAX_NAME: usize = 255;
/// The name under [`SYSTEM`] that holds the rest of an inline file.
pub const INLINE_DATA: &[u8] = b"data";

/// Prefixes by name index; the longest comes first where one starts with another.
const PREFIXES: [(u8, &str); 8] = [
    (ACL_ACCESS, "system.posix_acl_access"),
    (ACL_DEFAULT, "system.posix_acl_default"),
    (8, "system.richacl"),
    (1, "user."),
    (4, "trusted."),
    (6, "security."),
    (SYSTEM, "system."),
    (10, "gnu."),
];

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Beside its entry.
    Here(Vec<u8>),
    /// In an inode of its own (`ea_inode`).
    Inode {
        /// The inode's number.
        inode: u32,
        /// Bytes of the value.
        size: u32,
        /// `e_hash` as stored: it depends on the inode's own hash.
        hash: u32,
    },
}

/// One attribute as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name's prefix by number.
    pub index: u8,
    /// The name without its prefix.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Value,
}

impl Attribute {
    /// The order in a block, which the kernel's search relies on.
    fn order(&self) -> (u8, usize, &[u8]) {
        (self.index, self.name.len(), &self.name)
    }

    /// The full name, as in `security.selinux`; bytes that are no text escaped. `None` for what
    /// the kernel does not list: inline data, encryption contexts, unknown prefixes.
    pub fn full_name(&self) -> Option<String> {
        if self.index == SYSTEM && self.name == INLINE_DATA {
            return None;
        }
        let (_, prefix) = PREFIXES.iter().find(|(index, _)| *index == self.index)?;
        Some(format!("{prefix}{}", escape(&self.name)))
    }
}

/// A full name's index and remaining name; `None` where ext4 has no prefix for it.
pub fn split_name(full: &str) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(index, prefix)| {
        let rest = full.strip_prefix(prefix)?;
        // A prefix that ends in a dot needs a name behind it; one that does not is the whole name.
        (prefix.ends_with('.') != rest.is_empty()).then_some((*index, rest.as_bytes()))
    })
}

/// Attributes by where they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// In the inode.
    pub inside: Vec<Attribute>,
    /// In the block.
    pub outside: Vec<Attribute>,
    /// Those whose values, in inodes of their own, nothing refers to any more.
    pub dropped: Vec<Attribute>,
}

impl Placed {
    /// Sets (`Some`) and removes (`None`) attributes by their full names. A value goes into the
    /// inode's `room` bytes where it fits, else into the block of `block_size` bytes.
    ///
    /// # Errors
    /// `CannotStore`: no name or value of an attribute, or too much.
    pub fn change(
        &mut self,
        room: usize,
        block_size: usize,
        changes: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), FsError> {
        for (full, value) in changes {
            let no_name = FsError::CannotStore("an extended attribute of this name");
            let Some((index, name)) = split_name(full) else { return Err(no_name) };
            // What a list would not show as it is could not be proved.
            let shown = value.is_none() || escape(name).as_bytes() == name;
            if (index, name) == (SYSTEM, INLINE_DATA) || name.len() > MAX_NAME || !shown {
                return Err(no_name);
            }
            for list in [&mut self.inside, &mut self.outside] {
                list.retain(|attribute| {
                    let same = attribute.index == index && attribute.name == name;
                    if same && matches!(attribute.value, Value::Inode { .. }) {
                        self.dropped.push(attribute.clone());
                    }
                    !same
                });
            }
            let Some(value) = value else { continue };
            let value = if matches!(index, ACL_ACCESS | ACL_DEFAULT) {
                acl_to_disk(value).ok_or(FsError::CannotStore("a malformed ACL"))?
            } else {
                value.clone()
            };
            let new = Attribute { index, name: name.to_vec(), value: Value::Here(value) };
            self.inside.push(new);
            if !fit(&self.inside, room, INODE_HEADER)
                && let Some(new) = self.inside.pop()
            {
                self.outside.push(new);
            }
        }
        match fit(&self.outside, block_size, BLOCK_HEADER) {
            true => Ok(()),
            false => Err(FsError::CannotStore("extended attributes of more than a block")),
        }
    }
}

/// The bytes an attribute takes: its entry, and its value beside it.
fn footprint(attribute: &Attribute) -> usize {
    let value = match &attribute.value {
        Value::Here(value) => value.len().next_multiple_of(4),
        Value::Inode { .. } => 0,
    };
    (ENTRY + attribute.name.len()).next_multiple_of(4) + value
}

/// Reads what follows an inode's fixed part (`128 + i_extra_isize` up to the inode's end).
/// Nothing there is no attribute.
///
/// # Errors
/// What is wrong with the region.
pub fn from_inode(region: &[u8]) -> Result<Vec<Attribute>, String> {
    if le32(region, 0) != Some(MAGIC) {
        return Ok(Vec::new());
    }
    entries(region, INODE_HEADER, INODE_HEADER)
}

/// A block of attributes, which several inodes may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many inodes refer to it.
    pub references: u32,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

impl Block {
    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(block: &[u8]) -> Result<Self, String> {
        let magic = le32(block, 0).unwrap_or(0);
        let references = le32(block, 4).unwrap_or(0);
        let blocks = le32(block, 8).unwrap_or(0);
        if magic != MAGIC || blocks != 1 || references == 0 {
            return Err(format!("magic {magic:#x}, {references} references, {blocks} blocks"));
        }
        Ok(Self { references, attributes: entries(block, BLOCK_HEADER, 0)? })
    }

    /// The block's bytes, hashes set, without its checksum (see [`seal_block`]). `None` when the
    /// attributes do not fit.
    pub fn to_bytes(&self, block_size: usize) -> Option<Vec<u8>> {
        let mut block = vec![0; block_size];
        let mut sorted: Vec<&Attribute> = self.attributes.iter().collect();
        sorted.sort_by(|a, b| a.order().cmp(&b.order()));
        let hashes = lay_out(&mut block, BLOCK_HEADER, 0, &sorted, true)?;
        let mut hash = 0u32;
        for entry in hashes {
            if entry == 0 {
                hash = 0;
                break;
            }
            hash = hash.rotate_left(16) ^ entry;
        }
        for (at, word) in [(0, MAGIC), (4, self.references), (8, 1), (12, hash)] {
            block.get_mut(at..at + 4)?.copy_from_slice(&word.to_le_bytes());
        }
        Some(block)
    }
}

/// Whether attributes fit in a region of `room` bytes behind a header of `header` bytes.
pub fn fit(attributes: &[Attribute], room: usize, header: usize) -> bool {
    // Four zero bytes end the entries.
    header + 4 + attributes.iter().map(footprint).sum::<usize>() <= room
}

/// Lays attributes out in an inode's tail of `room` bytes; all zero when there are none.
/// `None` when they do not fit.
pub fn to_inode(attributes: &[Attribute], room: usize) -> Option<Vec<u8>> {
    let mut region = vec![0; room];
    if !attributes.is_empty() {
        let attributes: Vec<&Attribute> = attributes.iter().collect();
        lay_out(&mut region, INODE_HEADER, INODE_HEADER, &attributes, false)?;
        region.get_mut(..4)?.copy_from_slice(&MAGIC.to_le_bytes());
    }
    Some(region)
}

/// Writes entries from `start` and values from the end; `base` is what value offsets count from.
/// Gives the entries' hashes, which an inode's own entries store as 0.
fn lay_out(
    region: &mut [u8],
    start: usize,
    base: usize,
    attributes: &[&Attribute],
    hashed: bool,
) -> Option<Vec<u32>> {
    let mut hashes = Vec::with_capacity(attributes.len());
    let mut at = start;
    let mut values = region.len();
    for attribute in attributes {
        let name_len = u8::try_from(attribute.name.len()).ok()?;
        let next = at + (ENTRY + attribute.name.len()).next_multiple_of(4);
        let (offset, inode, size, hash) = match &attribute.value {
            Value::Inode { inode, size, hash } => (0, *inode, *size, *hash),
            Value::Here(value) => {
                let padded = value.len().next_multiple_of(4);
                values = values.checked_sub(padded)?;
                if next + 4 > values {
                    return None;
                }
                region.get_mut(values..values + value.len())?.copy_from_slice(value);
                let hash = entry_hash(&attribute.name, region.get(values..values + padded)?);
                let offset = if value.is_empty() { 0 } else { values - base };
                let size = u32::try_from(value.len()).ok()?;
                (u16::try_from(offset).ok()?, 0, size, if hashed { hash } else { 0 })
            }
        };
        if next + 4 > values {
            return None;
        }
        let entry = region.get_mut(at..next)?;
        entry[0] = name_len;
        entry[1] = attribute.index;
        entry[2..4].copy_from_slice(&offset.to_le_bytes());
        entry[4..8].copy_from_slice(&inode.to_le_bytes());
        entry[8..12].copy_from_slice(&size.to_le_bytes());
        entry[12..16].copy_from_slice(&hash.to_le_bytes());
        entry[ENTRY..ENTRY + attribute.name.len()].copy_from_slice(&attribute.name);
        hashes.push(hash);
        at = next;
    }
    Some(hashes)
}

fn entries(region: &[u8], start: usize, base: usize) -> Result<Vec<Attribute>, String> {
    let mut attributes = Vec::new();
    let mut at = start;
    // Every entry takes 16 bytes or more of the region: this ends.
    while le32(region, at).is_some_and(|word| word != 0) {
        let bad = |what: &str| format!("entry at byte {at}: {what}");
        let entry = region.get(at..at + ENTRY).ok_or_else(|| bad("cut off"))?;
        let name_len = usize::from(entry[0]);
        let name = region
            .get(at + ENTRY..at + ENTRY + name_len)
            .ok_or_else(|| bad("its name lies outside"))?;
        let offset = usize::from(le16(entry, 2).unwrap_or(0));
        let inode = le32(entry, 4).unwrap_or(0);
        let size = le32(entry, 8).unwrap_or(0);
        let value = if inode != 0 {
            Value::Inode { inode, size, hash: le32(entry, 12).unwrap_or(0) }
        } else if size == 0 {
            Value::Here(Vec::new())
        } else {
            let value = usize::try_from(size).ok().and_then(|size| {
                let from = base.checked_add(offset)?;
                region.get(from..from.checked_add(size)?)
            });
            Value::Here(value.ok_or_else(|| bad("its value lies outside"))?.to_vec())
        };
        attributes.push(Attribute { index: entry[1], name: name.to_vec(), value });
        at += (ENTRY + name_len).next_multiple_of(4);
    }
    Ok(attributes)
}

/// `e_hash` of an entry over its name and its value, padded with zeroes to whole words.
pub fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let mut hash = 0u32;
    for &byte in name {
        hash = hash.rotate_left(5) ^ u32::from(byte);
    }
    for chunk in value.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = hash.rotate_left(16) ^ u32::from_le_bytes(word);
    }
    hash
}

/// The checksum of a block at block number `number` under the filesystem's seed.
pub fn block_checksum(block: &[u8], number: u64, seed: u32) -> u32 {
    let sum = crc32c(seed, &number.to_le_bytes());
    let sum = crc32c(sum, block.get(..16).unwrap_or(&[]));
    let sum = crc32c(sum, &[0; 4]);
    crc32c(sum, block.get(20..).unwrap_or(&[]))
}

/// Writes the checksum into a block.
pub fn seal_block(block: &mut [u8], number: u64, seed: u32) {
    let sum = block_checksum(block, number, seed);
    if let Some(field) = block.get_mut(16..20) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Tags of ACL entries that name a user or a group.
const NAMED: [u16; 2] = [0x02, 0x08];
/// What `getxattr(2)` gives as the name of the others.
const UNNAMED: u32 = u32::MAX;

/// A POSIX ACL as stored (version 1) in the form of `getxattr(2)` (version 2). `None` when it is
/// none.
pub fn acl_to_kernel(disk: &[u8]) -> Option<Vec<u8>> {
    if le32(disk, 0)? != 1 {
        return None;
    }
    let mut kernel = 2u32.to_le_bytes().to_vec();
    let mut at = 4;
    while at < disk.len() {
        let tag = le16(disk, at)?;
        kernel.extend_from_slice(disk.get(at..at + 4)?);
        at += 4;
        let id = if NAMED.contains(&tag) {
            at += 4;
            le32(disk, at - 4)?
        } else {
            UNNAMED
        };
        kernel.extend_from_slice(&id.to_le_bytes());
    }
    Some(kernel)
}

/// The reverse of [`acl_to_kernel`].
pub fn acl_to_disk(kernel: &[u8]) -> Option<Vec<u8>> {
    if le32(kernel, 0)? != 2 || !(kernel.len() - 4).is_multiple_of(8) {
        return None;
    }
    let mut disk = 1u32.to_le_bytes().to_vec();
    for entry in kernel[4..].chunks_exact(8) {
        let named = NAMED.contains(&le16(entry, 0)?);
        disk.extend_from_slice(if named { entry } else { &entry[..4] });
    }
    Some(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(full: &str, value: &[u8]) -> Attribute {
        let (index, name) = split_name(full).unwrap();
        Attribute { index, name: name.to_vec(), value: Value::Here(value.to_vec()) }
    }

    #[test]
    fn names_split_and_join() {
        for name in [
            "user.a",
            "security.selinux",
            "security.capability",
            "trusted.overlay.opaque",
            "system.posix_acl_access",
            "system.posix_acl_default",
            "system.other",
        ] {
            assert_eq!(attribute(name, b"").full_name().as_deref(), Some(name));
        }
        for name in ["user.", "user", "security.", "other.name", ""] {
            assert_eq!(split_name(name), None, "{name}");
        }
        assert_eq!(attribute("system.data", b"").full_name(), None);
    }

    #[test]
    fn attributes_come_back_from_inode_and_block() {
        let mut attributes = vec![
            attribute("user.b", b"12345"),
            attribute("security.selinux", b"system_u:object_r:etc_t:s0\0"),
            attribute("user.a", b""),
            Attribute {
                index: 1,
                name: b"big".to_vec(),
                value: Value::Inode { inode: 13, size: 70_000, hash: 5 },
            },
        ];
        let region = to_inode(&attributes, 160).unwrap();
        assert_eq!(from_inode(&region).unwrap(), attributes);
        assert!(fit(&attributes, 160, INODE_HEADER));
        assert_eq!(to_inode(&attributes, 100), None);
        assert!(!fit(&attributes, 100, INODE_HEADER));
        assert_eq!(to_inode(&[], 100).unwrap(), [0; 100]);
        assert_eq!(from_inode(&[]).unwrap(), []);

        let block = Block { references: 3, attributes: attributes.clone() };
        let mut bytes = block.to_bytes(1024).unwrap();
        seal_block(&mut bytes, 77, 5);
        assert_eq!(le32(&bytes, 16), Some(block_checksum(&bytes, 77, 5)));
        let read = Block::from_bytes(&bytes).unwrap();
        attributes.sort_by(|a, b| a.order().cmp(&b.order()));
        assert_eq!(read, Block { references: 3, attributes });
    }

    #[test]
    fn what_fits_is_what_can_be_laid_out() {
        for len in 0..80 {
            let attributes = [attribute("user.a", &vec![1; len]), attribute("user.bc", b"1")];
            for room in 0..160 {
                assert_eq!(
                    fit(&attributes, room, INODE_HEADER),
                    to_inode(&attributes, room).is_some(),
                    "{len} bytes in {room}"
                );
            }
        }
    }

    #[test]
    fn damaged_entries_are_told() {
        let whole = to_inode(&[attribute("user.name", b"value")], 64).unwrap();
        for (at, byte) in [(4, 200), (6, 100), (12, 200)] {
            let mut region = whole.clone();
            region[at] = byte;
            assert!(from_inode(&region).is_err(), "byte {at}");
        }
        for len in 0..64 {
            let _ = from_inode(&whole[..len]);
        }
        assert!(Block::from_bytes(&[0; 1024]).is_err());
    }

    #[test]
    fn acls_change_form() {
        let mut kernel = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in
            [(1u16, 6u16, UNNAMED), (2, 4, 1000), (4, 4, UNNAMED), (16, 4, UNNAMED)]
        {
            kernel.extend(tag.to_le_bytes());
            kernel.extend(perm.to_le_bytes());
            kernel.extend(id.to_le_bytes());
        }
        let disk = acl_to_disk(&kernel).unwrap();
        assert_eq!(disk.len(), 4 + 3 * 4 + 8);
        assert_eq!(acl_to_kernel(&disk).unwrap(), kernel);
        for len in 0..disk.len() {
            let _ = acl_to_kernel(&disk[..len]);
        }
        assert_eq!(acl_to_disk(&[]), None);
        assert_eq!(acl_to_kernel(&[2, 0, 0, 0]), None);
    }
}
