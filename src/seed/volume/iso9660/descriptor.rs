//! Volume descriptors (ECMA-119, section 8): what a volume is called, how large it is, and where its
//! trees begin.

use super::field::{NO_DATE, both16, both32, long_date};
use super::hierarchy::Hierarchy;
use super::{BLOCK, name};
use crate::fs::Timestamp;

/// Selects UCS-2 at Joliet's level 3 (Joliet specification, section 2).
const JOLIET_LEVEL_3: &[u8] = b"%/E";
/// The program that made it, in a-characters.
const APPLICATION: &str = "SYSPREP-RS";

/// What the descriptors of both trees have in common.
pub(super) struct Volume<'a> {
    pub(super) label: &'a str,
    /// Size in blocks.
    pub(super) blocks: u32,
    pub(super) now: Timestamp,
}

impl Volume<'_> {
    /// The descriptor of a tree: the primary one (section 8.4), or Joliet's (section 8.5).
    pub(super) fn descriptor(&self, tree: &Hierarchy<'_>, joliet: bool) -> Vec<u8> {
        let text = |text: &str, len| filled(text, len, joliet);
        let none = |len| filled("", len, joliet);
        let mut escape = [0; 32];
        if joliet {
            escape[..JOLIET_LEVEL_3.len()].copy_from_slice(JOLIET_LEVEL_3);
        }
        let (little, big) = tree.path_tables();
        let table_size = both32(tree.path_table_size());
        let made = long_date(self.now);
        let parts: [&[u8]; 33] = [
            &[if joliet { 2 } else { 1 }],
            b"CD001",
            &[1],
            &[0],
            // The system that the first blocks are for: none.
            &none(32),
            &text(self.label, 32),
            &[0; 8],
            &both32(self.blocks),
            &escape,
            // One volume of a set of one.
            &both16(1),
            &both16(1),
            &both16(BLOCK as u16),
            &table_size,
            &little.to_le_bytes(),
            &[0; 4],
            &big.to_be_bytes(),
            &[0; 4],
            &tree.root_record(self.now),
            // Volume set, publisher, preparer.
            &none(128),
            &none(128),
            &none(128),
            &text(APPLICATION, 128),
            // Files with the copyright, an abstract, a bibliography.
            &none(37),
            &none(37),
            &none(37),
            &made,
            &made,
            // It never expires, and holds at once.
            &NO_DATE,
            &NO_DATE,
            &[1],
            &[0],
            &[0; 512],
            &[0; 653],
        ];
        parts.concat()
    }
}

/// What ends the list of descriptors (section 8.3).
pub(super) fn terminator() -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..7].copy_from_slice(b"\xffCD001\x01");
    block
}

/// Text filled up with blanks, which in UCS-2 are two bytes; a field of odd length ends in a zero.
fn filled(text: &str, len: usize, wide: bool) -> Vec<u8> {
    let mut bytes = if wide { name::ucs2(text) } else { text.as_bytes().to_vec() };
    bytes.truncate(len);
    while bytes.len() < len {
        match wide {
            false => bytes.push(b' '),
            true if bytes.len() + 1 == len => bytes.push(0),
            true => bytes.extend([0, b' ']),
        }
    }
    bytes
}
