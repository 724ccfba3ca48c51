//! Internal snapshots (`docs/interop/qcow2.txt`, "Snapshots"): known, not edited.

use crate::bytes::{array, be32, be64};
use crate::image::ImageError;

use super::table::Tables;

/// The fixed part of a snapshot's entry.
const ENTRY: u64 = 40;
/// QEMU's own limit for an entry's extra data (`QCOW_MAX_SNAPSHOT_EXTRA_DATA`), in bytes.
const MOST_EXTRA: u32 = 1024;
/// L1 entries of all snapshots together: as many as QEMU allows one of them, four times over.
const MOST_L1_ENTRIES: u64 = 16 << 20;

/// An internal snapshot.
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) l1_offset: u64,
    pub(super) l1_size: u32,
}

/// Where the snapshot table ends in the host file, and its snapshots.
pub(super) fn table(tables: &mut Tables) -> Result<(Vec<Snapshot>, u64), ImageError> {
    let mut at = tables.header.snapshots_offset;
    let mut found = Vec::new();
    let mut l1_entries = 0;
    for _ in 0..tables.header.snapshots {
        let corrupt = |message: String| ImageError::corrupt("snapshot table", at, message);
        let fixed = bytes(tables, at, ENTRY)?;
        let number = |from: usize| be32(&fixed, from).unwrap_or(0);
        let short =
            |from: usize| u64::from(u16::from_be_bytes(array(&fixed, from).unwrap_or([0; 2])));
        let (l1_offset, l1_size) = (be64(&fixed, 0).unwrap_or(0), number(8));
        let (id_len, name_len, extra) = (short(12), short(14), number(36));
        if extra > MOST_EXTRA {
            return Err(corrupt(format!("{extra} bytes of extra data")));
        }
        let end = l1_offset.checked_add(u64::from(l1_size) * 8);
        if !l1_offset.is_multiple_of(tables.header.cluster())
            || end.is_none_or(|end| end > tables.host.len())
        {
            return Err(corrupt(format!("an L1 table at {l1_offset}")));
        }
        l1_entries += u64::from(l1_size);
        if l1_entries > MOST_L1_ENTRIES {
            return Err(corrupt(format!("more than {MOST_L1_ENTRIES} L1 entries in snapshots")));
        }
        let text = bytes(tables, at + ENTRY + u64::from(extra) + id_len, name_len)?;
        // A name is text for a report, and the image's to choose.
        let name = String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).collect();
        found.push(Snapshot { name, l1_offset, l1_size });
        at = (at + ENTRY + u64::from(extra) + id_len + name_len).next_multiple_of(8);
    }
    Ok((found, at))
}

/// The image's snapshots.
pub(super) fn list(tables: &mut Tables) -> Result<Vec<Snapshot>, ImageError> {
    Ok(table(tables)?.0)
}

fn bytes(tables: &Tables, at: u64, len: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = vec![0; len as usize];
    match tables.host.read_at(at, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(crate::block::BlockError::OutOfRange { .. }) => {
            Err(ImageError::corrupt("snapshot table", at, "it goes on past the end of the file"))
        }
        Err(error) => Err(error.into()),
    }
}
