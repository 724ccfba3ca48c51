//! What is in an image, as found: its format, partitions, filesystems and guests.

use serde::Serialize;

use crate::fs::FsInfo;
use crate::guest::{Disk, Facts, Guest};
use crate::volume::{Layout, Table, VolumeId};

/// The image file.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// As the caller named it.
    pub path: String,
    /// Its format.
    pub format: String,
    /// The disk's size as the guest sees it, in bytes.
    pub virtual_size: u64,
    /// The file's size in bytes.
    pub file_size: u64,
    /// How much of the host's storage the file takes, in bytes.
    pub allocated: u64,
    /// SHA-256 of the disk's content, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A volume and what is on it.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeReport {
    /// Its name.
    pub id: VolumeId,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
    /// The partition's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_type: Option<String>,
    /// PARTUUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_uuid: Option<String>,
    /// PARTLABEL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_label: Option<String>,
    /// The filesystem, where one was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FsInfo>,
    /// What it holds that is not opened, or why it could not be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_opened: Option<String>,
    /// Whether that is encrypted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
}

/// A guest and where it is.
#[derive(Clone, Debug, Serialize)]
pub struct GuestReport {
    /// The volume of its root filesystem.
    pub root: VolumeId,
    /// What it is.
    pub facts: Facts,
    /// Where its filesystems are mounted.
    pub mounts: Vec<MountReport>,
    /// What was odd, one line each.
    pub notes: Vec<String>,
}

/// A mounted filesystem.
#[derive(Clone, Debug, Serialize)]
pub struct MountReport {
    /// Where in the guest.
    pub at: String,
    /// Which volume.
    pub volume: VolumeId,
}

/// What is in an image.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The format of this report.
    pub schema: u32,
    /// The image file.
    pub image: ImageReport,
    /// How the disk is divided.
    pub table: Table,
    /// The partition table's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_uuid: Option<String>,
    /// What was odd about the partition table.
    pub warnings: Vec<String>,
    /// Every volume, in the table's order.
    pub volumes: Vec<VolumeReport>,
    /// Every guest.
    pub guests: Vec<GuestReport>,
}

impl Inspection {
    /// What was found in an image.
    pub fn new(image: ImageReport, disk: &Disk, guests: &[Guest]) -> Self {
        let Layout { table, disk_uuid, volumes, warnings } = &disk.layout;
        Self {
            schema: super::SCHEMA,
            image,
            table: *table,
            disk_uuid: disk_uuid.clone(),
            warnings: warnings.clone(),
            volumes: volumes
                .iter()
                .map(|volume| {
                    let found = disk.filesystems.iter().find(|it| it.volume == volume.id);
                    let (filesystem, failed) = match found.map(|it| (it.driver, &it.fs)) {
                        Some((_, Ok(fs))) => (Some(fs.info()), None),
                        Some((driver, Err(error))) => {
                            (None, Some(format!("{}, {error}", driver.name)))
                        }
                        None => (None, None),
                    };
                    VolumeReport {
                        id: volume.id.clone(),
                        start: volume.start,
                        size: volume.len,
                        partition_type: volume.partition_type.clone(),
                        partition_uuid: volume.partition_uuid.clone(),
                        partition_label: volume.partition_label.clone(),
                        filesystem,
                        not_opened: failed.or_else(|| volume.not_opened.clone()),
                        encrypted: volume.encrypted,
                    }
                })
                .collect(),
            guests: guests
                .iter()
                .map(|guest| GuestReport {
                    root: guest.root.clone(),
                    facts: guest.facts.clone(),
                    mounts: guest
                        .tree
                        .mounts()
                        .iter()
                        .map(|mount| MountReport {
                            at: mount.at.to_string(),
                            volume: mount.volume.clone(),
                        })
                        .collect(),
                    notes: guest.notes.clone(),
                })
                .collect(),
        }
    }
}
