//! FAT12, FAT16 and FAT32 with long names (Microsoft FAT specification 1.03): the EFI system
//! partition.
//!
//! Reader and editor are ours; `fatfs` judges what was staged. It could edit too, but then the
//! writer would mark its own homework; and it leaves names in the entries it frees, a moved
//! directory with its old `..`, and attributes as they are.

mod check;
mod directory;
mod edit;
mod format;
mod geometry;
mod judge;
mod name;
mod reader;
mod serial;
mod storing;
mod table;
mod time;

use std::sync::Arc;

use super::{FsDriver, FsError, ReadFs, UuidChange};
use crate::block::{BlockError, Extent, ReadBlocks};

pub use format::{SIZES, format};

/// The driver for FAT12, FAT16 and FAT32.
pub const DRIVER: FsDriver = FsDriver {
    name: "vfat",
    covers: "FAT12, FAT16, FAT32",
    probe,
    open,
    edit: Some(edit::edit),
    judge: Some(judge::open),
    judge_name: "fatfs",
    check: Some(check),
    uuid: Some(UuidChange { fixed: serial::fixed, made_of: serial::made_of, set: serial::set }),
};

/// FAT has no magic number: the boot sector has to make sense, and the table has to repeat its
/// media byte.
fn probe(device: &dyn ReadBlocks) -> Result<bool, FsError> {
    let Ok(geometry) = geometry::Geometry::read(device)? else { return Ok(false) };
    let mut first = [0];
    device.read_at(geometry.table_at, &mut first)?;
    Ok(first[0] == geometry.media)
}

fn open(device: Arc<dyn ReadBlocks>) -> Result<Box<dyn ReadFs>, FsError> {
    Ok(Box::new(reader::Fat::open(device)?))
}

/// Chains, sizes, cross-links, the copies of the table, free counts, the dirty mark.
fn check(device: &dyn ReadBlocks) -> Result<Vec<String>, FsError> {
    let mut findings = check::check(&reader::Fat::open(Arc::new(Borrowed(device)))?)?;
    findings.damage.append(&mut findings.leftovers);
    Ok(findings.damage)
}

/// A device that is only lent, where a reader wants to share one.
struct Borrowed<'a>(&'a dyn ReadBlocks);

impl ReadBlocks for Borrowed<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        self.0.read_at(at, dst)
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        self.0.extent_at(at)
    }
}
