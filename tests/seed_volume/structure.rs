//! ISO 9660 by the letter (ECMA-119), where readers are lenient: they take one of two byte orders,
//! and ignore the path tables.

use std::collections::BTreeSet;

use sysprep_rs::seed::volume::Format;

use super::{Place, edges};

const BLOCK: usize = 2048;

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A number in both orders (section 7.3.3).
fn both32(bytes: &[u8], at: usize) -> u32 {
    let big = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
    assert_eq!(le32(bytes, at), big, "the byte orders differ at {at}");
    big
}

/// The same of 16 bits (section 7.2.3).
fn both16(bytes: &[u8], at: usize) -> u16 {
    let [a, b, c, d] = bytes[at..at + 4].try_into().unwrap();
    assert_eq!([a, b], [d, c], "the byte orders differ at {at}");
    u16::from_le_bytes([a, b])
}

/// A directory record: identifier, first block, length, and whether it is a directory.
struct Record<'a> {
    identifier: &'a [u8],
    block: u32,
    len: u32,
    is_directory: bool,
}

fn record(bytes: &[u8]) -> Record<'_> {
    let (own, name) = (usize::from(bytes[0]), usize::from(bytes[32]));
    assert!(own.is_multiple_of(2) && own >= 33 + name, "a record of {own} bytes");
    assert_eq!(both16(bytes, 28), 1, "volume sequence number");
    Record {
        identifier: &bytes[33..33 + name],
        block: both32(bytes, 2),
        len: both32(bytes, 10),
        is_directory: bytes[25] & 2 != 0,
    }
}

fn records<'a>(disc: &'a [u8], of: &Record<'_>) -> Vec<Record<'a>> {
    let bytes = &disc[of.block as usize * BLOCK..][..of.len as usize];
    let mut records = Vec::new();
    for block in bytes.chunks(BLOCK) {
        let mut at = 0;
        while at < BLOCK && block[at] != 0 {
            records.push(record(&block[at..]));
            at += usize::from(block[at]);
        }
        assert!(block[at..].iter().all(|it| *it == 0), "bytes behind the last record");
    }
    records
}

/// Checks one tree, from its volume descriptor; notes which blocks it takes.
fn check_tree(
    disc: &[u8],
    descriptor: &[u8],
    taken: &mut BTreeSet<u32>,
    files: &mut BTreeSet<u32>,
) {
    assert_eq!(both32(descriptor, 80) as usize * BLOCK, disc.len());
    assert_eq!((both16(descriptor, 120), both16(descriptor, 124)), (1, 1));
    assert_eq!(usize::from(both16(descriptor, 128)), BLOCK);
    let mut take = |block: u32, len: u32| {
        for block in block..block + len.div_ceil(BLOCK as u32) {
            assert!(taken.insert(block), "block {block} is taken twice");
            assert!((block as usize + 1) * BLOCK <= disc.len(), "block {block} is outside");
        }
    };
    let root = record(&descriptor[156..]);
    let mut directories = vec![(root, 0)];
    let mut at = 0;
    while at < directories.len() {
        let all = records(disc, &directories[at].0);
        take(directories[at].0.block, directories[at].0.len);
        let own = |it: &Record<'_>| (it.block, it.len);
        let above = &directories[directories[at].1].0;
        assert!(all[0].identifier == [0] && own(&all[0]) == own(&directories[at].0));
        assert!(all[1].identifier == [1] && own(&all[1]) == own(above));
        for it in all.into_iter().skip(2) {
            if it.is_directory {
                directories.push((it, at));
            } else if it.len > 0 && files.insert(it.block) {
                take(it.block, it.len);
            }
        }
        at += 1;
    }
    // Directories were met in the path tables' order: level by level, in the order of those above.
    let size = both32(descriptor, 132);
    let little = le32(descriptor, 140);
    let big = u32::from_be_bytes(descriptor[148..152].try_into().unwrap());
    let expected = |long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]| {
        let mut table = Vec::new();
        for (it, parent) in &directories {
            table.extend([it.identifier.len() as u8, 0]);
            table.extend(long(it.block));
            table.extend(short(*parent as u16 + 1));
            table.extend(it.identifier);
            table.extend(vec![0; it.identifier.len() % 2]);
        }
        table
    };
    for (block, table) in [
        (little, expected(u32::to_le_bytes, u16::to_le_bytes)),
        (big, expected(u32::to_be_bytes, u16::to_be_bytes)),
    ] {
        take(block, size);
        assert_eq!(&disc[block as usize * BLOCK..][..size as usize], table);
    }
}

/// Both trees are sound and share nothing but the files' content; every block is somebody's.
pub(super) fn is_sound(disc: &[u8]) {
    assert!(disc[..16 * BLOCK].iter().all(|it| *it == 0), "the system area");
    let descriptor = |number: usize| &disc[(16 + number) * BLOCK..][..BLOCK];
    for (number, kind) in [1, 2, 255].into_iter().enumerate() {
        assert_eq!(descriptor(number)[..7], *[&[kind], &b"CD001\x01"[..]].concat());
    }
    assert_eq!(&descriptor(1)[88..91], b"%/E");
    let (mut taken, mut files) = (BTreeSet::from([16, 17, 18]), BTreeSet::new());
    check_tree(disc, descriptor(0), &mut taken, &mut files);
    let in_plain = files.clone();
    check_tree(disc, descriptor(1), &mut taken, &mut files);
    assert_eq!(files, in_plain, "Joliet names other files");
    let unknown: Vec<u32> =
        (16..(disc.len() / BLOCK) as u32).filter(|it| !taken.contains(it)).collect();
    // Rock Ridge goes on there from the root's record: `ER` names it.
    let [continued] = unknown[..] else { panic!("blocks of nobody: {unknown:?}") };
    assert_eq!(&disc[continued as usize * BLOCK..][..2], b"ER");
}

#[test]
fn every_block_is_somebodys_and_both_byte_orders_say_the_same() {
    let place = Place::new();
    let volume = place.volume("edges.iso", &edges(), "cidata", Format::Iso9660);
    is_sound(&std::fs::read(volume).unwrap());
}
