//! What a crash left half done: unlinked inodes are freed, truncations finished.

use std::collections::HashSet;

use super::store::Store;
use crate::bytes::le32;
use crate::fs::FsError;
use crate::fs::ext4::checksum::crc32c;
use crate::fs::ext4::features::ro_compat;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::source::Source;

/// `ob_magic` of a block of the orphan file.
const MAGIC: u32 = 0x0b10_ca04;
/// Magic and checksum at the end of such a block.
const TAIL: usize = 8;

/// Finishes every orphan, in the superblock's list and in the orphan file.
///
/// # Errors
/// `Corrupt`.
pub(super) fn process(store: &Store) -> Result<(), FsError> {
    let mut seen = HashSet::new();
    let mut next = store.superblock.last_orphan();
    while next != 0 {
        if !seen.insert(next) {
            return Err(corrupt(next, "the list of orphans goes in circles"));
        }
        let inode = orphan(store, next)?;
        next = inode.dtime();
        finish(store, inode)?;
    }
    if store.superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT)
        && store.superblock.orphan_file_inode() != 0
    {
        process_file(store)?;
    }
    Ok(())
}

fn corrupt(number: u32, problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt("orphan", format_args!("inode {number}"), problem)
}

fn orphan(store: &Store, number: u32) -> Result<Inode, FsError> {
    if number < store.superblock.first_inode() {
        return Err(corrupt(number, "is reserved"));
    }
    store.inode(number).map_err(|error| match error {
        FsError::NotFound => corrupt(number, "is not in use"),
        other => other,
    })
}

fn finish(store: &Store, mut inode: Inode) -> Result<(), FsError> {
    if inode.links() == 0 {
        return store.free(inode);
    }
    store.truncate_to_size(&mut inode)?;
    inode.set_dtime(0);
    store.put_inode(inode);
    Ok(())
}

fn process_file(store: &Store) -> Result<(), FsError> {
    let number = store.superblock.orphan_file_inode();
    let file = store.inode(number)?;
    let seed = file.checksum_seed(&store.superblock);
    let len = store.block_len();
    for run in store.map_of(&file)?.runs {
        for block in run.physical..run.physical + run.blocks {
            let bytes = store.block(block)?;
            let entries = bytes.get(..len - TAIL).unwrap_or_default();
            if le32(&bytes, len - TAIL) != Some(MAGIC) {
                return Err(FsError::corrupt(
                    "orphan file",
                    format_args!("block {block}"),
                    "magic",
                ));
            }
            let sum = |entries: &[u8]| crc32c(crc32c(seed, &block.to_le_bytes()), entries);
            let checked = store.superblock.metadata_csum();
            if checked && le32(&bytes, len - 4) != Some(sum(entries)) {
                return Err(FsError::corrupt(
                    "orphan file",
                    format_args!("block {block}"),
                    "wrong checksum",
                ));
            }
            if entries.iter().all(|&byte| byte == 0) {
                continue;
            }
            for entry in entries.chunks_exact(4) {
                let number = le32(entry, 0).unwrap_or(0);
                if number != 0 {
                    finish(store, orphan(store, number)?)?;
                }
            }
            let mut empty = vec![0; len];
            empty[len - TAIL..len - 4].copy_from_slice(&MAGIC.to_le_bytes());
            if checked {
                let sum = sum(&empty[..len - TAIL]);
                empty[len - 4..].copy_from_slice(&sum.to_le_bytes());
            }
            store.put_block(block, empty);
        }
    }
    Ok(())
}
