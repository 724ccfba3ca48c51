//! Writes ISO 9660 (ECMA-119, 4th edition) with Joliet, and Rock Ridge beside the plain names, so
//! that each reader finds the names as they are.
//!
//! ```text
//! block 0   16 blocks that are not ours     16 primary descriptor, 17 Joliet's, 18 the end of them
//!       19  path tables and directories of the plain tree, then of Joliet's
//!           where Rock Ridge goes on        the files, in order
//! ```

mod descriptor;
mod field;
mod hierarchy;
mod name;
mod rock_ridge;

use std::collections::HashMap;

use super::{Tree, VolumeError};
use crate::block::{Memory, WriteBlocks as _};
use crate::fs::Timestamp;
use descriptor::{Volume, terminator};
use hierarchy::{Extent, File, Folder, Hierarchy};

/// Bytes a block.
const BLOCK: usize = 2048;
/// Where the descriptors begin (section 6.2.1).
const DESCRIPTORS: u32 = 16;

/// Makes the volume.
pub(super) fn build(tree: &Tree<'_>, label: &str, now: Timestamp) -> Result<Memory, VolumeError> {
    let (folders, mut files) = folders_and_files(tree)?;
    let mut trees = [false, true].map(|joliet| Hierarchy::new(&folders, &files, joliet));
    // Behind the two descriptors and the end of them.
    let mut next = DESCRIPTORS + 3;
    for tree in &mut trees {
        tree.place(&files, &mut next);
    }
    let continuation = next;
    next += 1;
    for file in &mut files {
        file.extent.block = next;
        let blocks = file.extent.len.div_ceil(BLOCK as u32);
        next = next.checked_add(blocks).ok_or(VolumeError::TooLarge)?;
    }
    let at = |block: u32| u64::from(block) * BLOCK as u64;
    let disc = Memory::new(at(next));
    let volume = Volume { label, blocks: next, now };
    for (tree, joliet) in trees.iter().zip([false, true]) {
        disc.write_at(at(DESCRIPTORS + u32::from(joliet)), &volume.descriptor(tree, joliet))?;
        for (block, bytes) in tree.bytes(&files, now, continuation) {
            disc.write_at(at(block), &bytes)?;
        }
    }
    disc.write_at(at(DESCRIPTORS + 2), &terminator())?;
    disc.write_at(at(continuation), &rock_ridge::extension())?;
    for (file, (_, content)) in files.iter().zip(tree.files()) {
        disc.write_at(at(file.extent.block), content)?;
    }
    Ok(disc)
}

/// The folders, the root first, and the files in the tree's order, not yet placed.
fn folders_and_files<'a>(
    tree: &'a Tree<'_>,
) -> Result<(Vec<Folder<'a>>, Vec<File<'a>>), VolumeError> {
    let mut folders = vec![Folder { name: "", parent: 0 }];
    let mut known = HashMap::from([("", 0)]);
    let mut files = Vec::new();
    for (path, content) in tree.files() {
        let mut folder = 0;
        for (at, _) in path.match_indices('/') {
            let within = &path[..at];
            let name = within.rsplit('/').next().unwrap_or(within);
            folder = *known.entry(within).or_insert_with(|| {
                folders.push(Folder { name, parent: folder });
                folders.len() - 1
            });
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let len = u32::try_from(content.len()).map_err(|_| VolumeError::TooLarge)?;
        files.push(File { name, folder, extent: Extent { block: 0, len } });
    }
    // A path table counts in 16 bits.
    if folders.len() > usize::from(u16::MAX) {
        Err(VolumeError::TooLarge)
    } else {
        Ok((folders, files))
    }
}
