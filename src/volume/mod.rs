//! What is on a disk: partitions, and containers that are recognised but not opened.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// `BitLocker`, `MD RAID`, `ZFS`, `swap`, …
    pub not_opened: Option<String>,
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
