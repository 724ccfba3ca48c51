//! Markers: byte strings that cannot be mistaken, put wherever a guest can put bytes, so that a
//! search of the whole image tells what is still there.

use std::collections::BTreeSet;

use crate::support::disk::Disk;

/// Marker number `number` as it is stored.
pub(crate) fn marker(number: u32) -> Vec<u8> {
    format!("~M{number:08x}~").into_bytes()
}

/// Every marker number found in `bytes`.
pub(crate) fn markers(bytes: &[u8], into: &mut BTreeSet<u32>) {
    let mut from = 0;
    while let Some(step) = bytes[from..].windows(2).position(|pair| pair == b"~M") {
        from += step + 2;
        let number = bytes
            .get(from..from + 9)
            .filter(|rest| rest[8] == b'~')
            .and_then(|rest| std::str::from_utf8(&rest[..8]).ok())
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        into.extend(number);
    }
}

/// Every marker number on a disk.
pub(crate) fn on_disk(disk: &Disk) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    disk.stored(|_, bytes| markers(bytes, &mut found));
    found
}

/// `len` bytes that repeat a marker.
pub(crate) fn content(number: u32, len: usize) -> Vec<u8> {
    let mut line = marker(number);
    line.push(b'\n');
    line.iter().copied().cycle().take(len).collect()
}

/// A symlink target of `len` bytes that repeats a marker, in names of ordinary length.
pub(crate) fn target(number: u32, len: usize) -> Vec<u8> {
    let mut name = marker(number);
    name.push(b'/');
    name.iter().copied().cycle().take(len).collect()
}
