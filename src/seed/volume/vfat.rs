//! Writes FAT: formatted empty, and the files put in by the editor that edits guests' FAT, too.

use std::sync::Arc;

use super::{Tree, VolumeError};
use crate::block::{Memory, WriteBlocks};
use crate::digest::Digest;
use crate::fs::{EditOptions, FsError, NewKind, NewMeta, Timestamp, fat};

/// What the tables, the root directory and the boot sector of a small volume take, and more.
const TABLES: u64 = 64 << 10;

/// Makes the volume.
pub(super) fn build(tree: &Tree<'_>, label: &str, now: Timestamp) -> Result<Memory, VolumeError> {
    let content: u64 = tree.files().map(|(_, content)| content.len() as u64).sum();
    let mut size = (content + TABLES).next_power_of_two().max(*fat::SIZES.start());
    // Clusters that are not filled and directories may need more, but not without end.
    while size <= *fat::SIZES.end() {
        match filled(tree, label, now, size) {
            Err(VolumeError::Fs(FsError::NoSpace)) => size *= 2,
            other => return other,
        }
    }
    Err(VolumeError::TooLarge)
}

/// A volume of `size` bytes with the files in.
fn filled(tree: &Tree<'_>, label: &str, now: Timestamp, size: u64) -> Result<Memory, VolumeError> {
    let device = Arc::new(Memory::new(size));
    fat::format(&*device, &filled_up(label), serial(tree), now)?;
    let options = EditOptions { now, keep_free_space: true };
    let edit = fat::DRIVER.edit.ok_or_else(|| FsError::unsupported("editing FAT"))?;
    let mut editor = edit(Arc::clone(&device) as Arc<dyn WriteBlocks>, &options)?;
    let root = editor.view().root();
    let meta = NewMeta { mode: 0o755, ..NewMeta::default() };
    for (path, content) in tree.files() {
        let mut names: Vec<&str> = path.split('/').collect();
        let name = names.pop().unwrap_or_default();
        let mut folder = root;
        for above in names {
            folder = match editor.view().lookup(folder, above.as_bytes())? {
                Some(there) => there,
                None => editor.create(folder, above.as_bytes(), NewKind::Directory, &meta)?,
            };
        }
        editor.create(folder, name.as_bytes(), NewKind::File(content), &meta)?;
    }
    editor.finish()?;
    Arc::into_inner(device).ok_or_else(|| FsError::unsupported("a device that is kept open").into())
}

/// The label as FAT keeps it, in the small letters that cloud-localds writes, too; cloud-init takes
/// either.
fn filled_up(label: &str) -> [u8; 11] {
    let mut bytes = [b' '; 11];
    for (to, from) in bytes.iter_mut().zip(label.bytes()) {
        *to = from;
    }
    bytes
}

/// A serial number that is the same of equal trees.
fn serial(tree: &Tree<'_>) -> u32 {
    let mut hash = blake3::Hasher::new();
    for (path, content) in tree.files() {
        for part in [path.as_bytes(), content] {
            hash.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }
    let [a, b, c, d, ..] = *Digest::from(hash.finalize()).as_bytes();
    u32::from_le_bytes([a, b, c, d])
}
