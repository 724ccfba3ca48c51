//! What is on a disk: partitions, and containers that are recognised but not opened.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::block::BlockError;

mod boot_code;
mod gpt;
mod mbr;
mod scan;
mod signature;
pub mod swap;

pub use boot_code::{BootCode, boot_code};
pub use scan::scan;

/// Which volume of an image: `disk` for the whole disk, `part1` … for partitions by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeId(pub String);

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the disk is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// One volume without a partition table.
    None,
    /// A master boot record.
    Mbr,
    /// A GUID partition table.
    Gpt,
}

/// One volume: a partition, or the whole disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name in plans and reports.
    pub id: VolumeId,
    /// The partition's number as the kernel counts it (logical partitions from 5); 0: the whole disk.
    pub number: u32,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// The partition type: a GUID, or an MBR type as `0x83`.
    pub partition_type: Option<String>,
    /// PARTUUID as `blkid` prints it.
    pub partition_uuid: Option<String>,
    /// PARTLABEL, where it is not empty.
    pub partition_label: Option<String>,
    /// A container that we recognise and do not open, by its common name: `LVM2`, `LUKS`,
    /// `BitLocker`, `MD RAID`, `ZFS`, `swap`, …; also a filesystem that no driver opens (`XFS`,
    /// `NTFS`), and a partition that overlaps another or the partition table.
    pub not_opened: Option<String>,
    /// Whether what `not_opened` names is encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// The UUID of what `not_opened` names, as `blkid` prints it (fstab names swap by it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The label of what `not_opened` names, where it has one that is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Volume {
    /// Whether a swap area fills it, one that holds a suspended system included.
    pub fn is_swap(&self) -> bool {
        self.not_opened.as_ref().is_some_and(|what| what.starts_with(signature::SWAP))
    }
}

/// The layout of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The partition table's kind.
    pub table: Table,
    /// The disk's own id, as `blkid` prints it (PTUUID).
    pub disk_uuid: Option<String>,
    /// Every volume, in the table's order.
    pub volumes: Vec<Volume>,
    /// What was odd but tolerated, one line each: a damaged backup header, overlapping entries.
    pub warnings: Vec<String>,
}

/// Why a disk's layout could not be read.
///
/// What merely looks odd is a line in [`Layout::warnings`]; these are what leaves no layout at all.
#[derive(Debug)]
#[non_exhaustive]
pub enum VolumeError {
    /// The disk is wrong: the structure, where it lies, and what is wrong with it.
    Corrupt {
        /// The on-disk structure: `"GPT"`.
        structure: &'static str,
        /// First byte on the disk.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// The device below failed.
    Block(BlockError),
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { structure, at, problem } => {
                write!(f, "corrupt {structure} at byte {at}: {problem}")
            }
            Self::Block(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for VolumeError {}

impl From<BlockError> for VolumeError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
