//! Orphans: inodes that lost their last name, or were being truncated, while still in use.
//!
//! They are in a list through the inodes ([`Superblock::last_orphan`](super::superblock::Superblock::last_orphan)),
//! in the orphan file ([ext4 disk layout, "Orphan file"](https://docs.kernel.org/filesystems/ext4/orphan.html)),
//! or in both.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::checksum::crc32c;
use super::inode::Inode;
use super::map::{self, Mapped};
use super::raw::u32_at;
use super::source::{Source, read_inode};
use crate::fs::FsError;

/// The magic number at the end of each block of the orphan file.
pub const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of the magic number and the checksum there.
pub const TAIL: usize = 8;

/// An orphan and where it is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its inode number.
    pub inode: u32,
    /// Noted in the orphan file, not in the list.
    pub in_file: bool,
}

/// Every orphan: the list in its order, then the orphan file in its order.
///
/// # Errors
/// `Corrupt`, also for a list that goes in circles.
pub fn orphans(source: &dyn Source) -> Result<Vec<Orphan>, FsError> {
    let superblock = source.superblock();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut next = superblock.last_orphan();
    while next != 0 {
        let corrupt =
            |problem| FsError::corrupt("orphan list", format_args!("inode {next}"), problem);
        if next < superblock.first_inode() || superblock.group_of_inode(next).is_none() {
            return Err(corrupt("no such inode for files"));
        }
        if !seen.insert(next) {
            return Err(corrupt("the list goes in circles"));
        }
        found.push(Orphan { inode: next, in_file: false });
        let inode = source.inode_bytes(next)?;
        if !inode.checksum_is_right(superblock) {
            return Err(corrupt("wrong checksum"));
        }
        next = inode.dtime();
    }
    if superblock.orphan_file_inode() != 0 {
        let file = read_inode(source, superblock.orphan_file_inode())?;
        each_block(source, &file, &mut |_, block| {
            for at in (0..block.len() - TAIL).step_by(4) {
                let inode = u32_at(block, at);
                if inode != 0 {
                    found.push(Orphan { inode, in_file: true });
                }
            }
        })?;
    }
    Ok(found)
}

/// Shows each block of the orphan file with its number on the device, its tail checked.
///
/// # Errors
/// `Corrupt`.
pub fn each_block(
    source: &dyn Source,
    file: &Inode,
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Result<(), FsError> {
    let superblock = source.superblock();
    let mut result = Ok(());
    map::walk(source, file, map::WHOLE, &mut |mapped| {
        let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
        for number in run.physical..run.physical + run.blocks {
            let block = match source.block(number) {
                Ok(block) => block,
                Err(error) => {
                    result = Err(error);
                    return ControlFlow::Break(());
                }
            };
            let tail = block.len() - TAIL;
            let sum_is_right = !superblock.metadata_csum()
                || u32_at(&block, tail + 4)
                    == checksum(&block, number, file.checksum_seed(superblock));
            if u32_at(&block, tail) != MAGIC || !sum_is_right {
                result = Err(FsError::corrupt(
                    "orphan file",
                    format_args!("block {number}"),
                    "wrong magic number or checksum",
                ));
                return ControlFlow::Break(());
            }
            visit(number, &block);
        }
        ControlFlow::Continue(())
    })?;
    result
}

/// The checksum of a block of the orphan file; `seed` is that file's inode's.
pub fn checksum(block: &[u8], number: u64, seed: u32) -> u32 {
    let entries = block.get(..block.len().saturating_sub(TAIL)).unwrap_or_default();
    crc32c(crc32c(seed, &number.to_le_bytes()), entries)
}
