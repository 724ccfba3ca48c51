//! What a crash left half done: unlinked inodes are freed, truncations finished.

use super::store::Store;
use crate::fs::FsError;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::orphan::{self, MAGIC, TAIL};

/// Finishes every orphan, in the superblock's list and in the orphan file, which is emptied.
///
/// # Errors
/// `Corrupt`.
pub(super) fn process(store: &Store) -> Result<(), FsError> {
    for found in orphan::orphans(store)? {
        if found.inode < store.superblock.first_inode() {
            return Err(FsError::corrupt(
                "orphan",
                format_args!("inode {}", found.inode),
                "is reserved",
            ));
        }
        match store.inode(found.inode) {
            // One that is noted twice is gone already.
            Err(FsError::NotFound) if found.in_file => {}
            inode => finish(store, inode?)?,
        }
    }
    if store.superblock.orphan_file_inode() != 0 {
        empty_file(store)?;
    }
    Ok(())
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

/// Writes the blocks of the orphan file that name something anew, without a name.
fn empty_file(store: &Store) -> Result<(), FsError> {
    let file = store.inode(store.superblock.orphan_file_inode())?;
    let seed = file.checksum_seed(&store.superblock);
    let mut named = Vec::new();
    orphan::each_block(store, &file, &mut |number, block| {
        let entries = block.len().saturating_sub(TAIL);
        if block.iter().take(entries).any(|&byte| byte != 0) {
            named.push(number);
        }
    })?;
    for number in named {
        let mut block = vec![0; store.block_len()];
        let tail = block.len() - TAIL;
        block[tail..tail + 4].copy_from_slice(&MAGIC.to_le_bytes());
        if store.superblock.metadata_csum() {
            let sum = orphan::checksum(&block, number, seed);
            block[tail + 4..].copy_from_slice(&sum.to_le_bytes());
        }
        store.put_block(number, block);
    }
    Ok(())
}
