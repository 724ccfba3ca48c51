//! ext2, ext3 and ext4: our own reader and editor.
//!
//! The format is described in the kernel's documentation,
//! [ext4 Data Structures and Algorithms](https://docs.kernel.org/filesystems/ext4/).

mod raw;

pub mod attributes;
pub mod block_map;
pub mod check;
pub mod checksum;
pub mod content;
pub mod dir;
pub mod directory;
pub mod edit;
pub mod extent;
pub mod features;
pub mod group;
pub mod htree;
pub mod inode;
pub mod journal;
pub mod judge;
pub mod map;
pub mod orphan;
pub mod reader;
pub mod source;
mod storing;
pub mod superblock;
mod uuid;
pub mod xattr;

pub use reader::Ext4;

use std::sync::Arc;

use self::source::DeviceSource;
use self::superblock::Superblock;
use crate::block::ReadBlocks;
use crate::fs::{FsDriver, FsError, ReadFs, UuidChange};

/// The driver of ext2, ext3 and ext4.
pub const DRIVER: FsDriver = FsDriver {
    name: "ext4",
    covers: "ext2, ext3, ext4",
    probe: Superblock::probe,
    open: |device| Ok(Box::new(open(device)?) as Box<dyn ReadFs>),
    edit: Some(edit::open),
    judge: Some(judge::judge),
    judge_name: "ext4-view",
    check: Some(check::check),
    uuid: Some(UuidChange {
        fixed: uuid::fixed,
        made_of: crate::fs::uuid::made_of,
        set: uuid::set,
    }),
};

/// Opens a filesystem for reading.
///
/// # Errors
/// `Unsupported` with a feature's name; `Corrupt`.
pub fn open(device: Arc<dyn ReadBlocks>) -> Result<Ext4<DeviceSource>, FsError> {
    let superblock = Superblock::read(&*device)?;
    let dirty = superblock.is_dirty();
    if superblock.has_incompat(features::incompat::NEEDS_RECOVERY) {
        // Readers see what a mount would show.
        if let Some(device) = journal::replayed(&device)? {
            let superblock = Superblock::read(&*device)?;
            return Ok(Ext4::new(DeviceSource::new(device, superblock), dirty));
        }
    }
    Ok(Ext4::new(DeviceSource::new(device, superblock), dirty))
}
