//! From a disk to its layout.

use crate::block::{BlockError, ReadBlocks};

use super::gpt::{self, Found, Gpt, guid_text};
use super::mbr::{self, BootRecord};
use super::signature::{self, Area, Recognised};
use super::{Layout, Table, Volume, VolumeError, VolumeId};

/// Partition types whose content needs no look: their name says that we do not open them.
const GPT_NOT_OPENED: &[(&str, &str)] = &[
    ("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "LDM"),
    ("af9b60a0-1431-4f62-bc68-3311714a69ad", "LDM"),
    ("e75caf8f-f680-4cee-afa3-b001e56efc2d", "Storage Spaces"),
];

/// Windows dynamic disks take a whole MBR disk under this type.
const MBR_LDM: u8 = 0x42;

/// Finds out how a disk is divided and what is on it that is not opened.
///
/// A GPT wins over an MBR; a whole-disk filesystem is told from an MBR by whether its first sector
/// names partitions that can be. Nothing that can be tolerated is an error: it is a warning.
///
/// # Errors
/// `Corrupt` when a protective MBR says that there is a GPT, and neither of its headers is right;
/// `Block` when the device below failed.
pub fn scan(disk: &dyn ReadBlocks) -> Result<Layout, VolumeError> {
    let whole = Area { disk, start: 0, len: disk.len() };
    let mut warnings = Vec::new();
    let mut sector = [0; mbr::SECTOR as usize];
    let record = if disk.len() >= mbr::SECTOR {
        disk.read_at(0, &mut sector)?;
        BootRecord::from_bytes(&sector)
    } else {
        None
    };
    if let Some(record) = &record
        && record.is_protective()
    {
        return match gpt::read(disk, &mut warnings)? {
            Found::Table(table) => {
                if record.is_hybrid() {
                    warnings.push(
                        "the MBR beside the GPT names partitions too (hybrid); the GPT is followed"
                            .to_owned(),
                    );
                }
                Ok(gpt_layout(disk, &table, warnings)?)
            }
            // The kernel then takes the MBR, and on a hybrid one finds partitions in it.
            Found::Damaged(_) | Found::Nothing if record.is_hybrid() => {
                warnings.push(
                    "the GPT is damaged; the MBR beside it (hybrid) is followed instead".to_owned(),
                );
                Ok(mbr_layout(disk, record, warnings)?)
            }
            Found::Damaged(problem) => {
                Err(VolumeError::Corrupt { structure: "GPT header", at: mbr::SECTOR, problem })
            }
            Found::Nothing => Err(VolumeError::Corrupt {
                structure: "GPT header",
                at: mbr::SECTOR,
                problem: "the protective MBR says there is one, and there is none".to_owned(),
            }),
        };
    }
    let filesystem = signature::looks_like_fat(whole)? || signature::looks_like_ext(whole)?;
    if let Some(record) = &record
        && record.is_plausible(disk.len())
    {
        if signature::looks_like_fat(whole)? {
            warnings.push(
                "the first sector is a partition table and looks like a FAT boot sector too"
                    .to_owned(),
            );
        }
        warnings.extend(misread(disk, record)?);
        return Ok(mbr_layout(disk, record, warnings)?);
    }
    let recognised = signature::recognise(whole)?;
    if !filesystem && recognised.is_none() {
        // A table that lost its protective MBR; only its first header counts, since a backup
        // alone is what a disk keeps that was made anew.
        if record.is_none()
            && let Found::Table(table) = gpt::read(disk, &mut Vec::new())?
            && table.header.own_lba == 1
        {
            warnings.push("the GPT has no protective MBR".to_owned());
            return Ok(gpt_layout(disk, &table, warnings)?);
        }
        if let Some(record) = &record {
            return Ok(mbr_layout(disk, record, warnings)?);
        }
    }
    let mut volume = Volume {
        id: VolumeId("disk".to_owned()),
        number: 0,
        start: 0,
        len: disk.len(),
        partition_type: None,
        partition_uuid: None,
        partition_label: None,
        not_opened: None,
        encrypted: false,
        uuid: None,
        label: None,
    };
    if let Some(found) = recognised {
        holds(&mut volume, found);
    }
    Ok(Layout { table: Table::None, disk_uuid: None, volumes: vec![volume], warnings })
}

/// The other size that sectors have. An MBR does not tell which it counts in.
const LARGE_SECTOR: u64 = 4096;

/// Where none of a table's partitions begins with anything known, what the disk may be instead.
fn misread(disk: &dyn ReadBlocks, record: &BootRecord) -> Result<Option<String>, BlockError> {
    let known = |start: u64| {
        let Some(len) = disk.len().checked_sub(start) else { return Ok(false) };
        let area = Area { disk, start, len };
        Ok(signature::looks_like_ext(area)?
            || signature::looks_like_fat(area)?
            || signature::recognise(area)?.is_some())
    };
    let mut large = None;
    for sector in record.starts() {
        if known(sector * mbr::SECTOR)? {
            return Ok(None);
        }
        if large.is_none() && known(sector * LARGE_SECTOR)? {
            large = Some(sector);
        }
    }
    if let Some(sector) = large {
        return Ok(Some(format!(
            "the partition table counts sectors of {LARGE_SECTOR} bytes, as what begins at sector \
             {sector} shows, and is read in sectors of {}: make the disk anew with a GPT, or with \
             sectors of that size",
            mbr::SECTOR
        )));
    }
    let whole = Area { disk, start: 0, len: disk.len() };
    Ok(signature::looks_like_ext(whole)?.then(|| {
        "the whole disk looks like an ext filesystem, and its first sector like a partition table, \
         which is followed; if that is left from earlier, zero bytes 446 to 511 of the disk"
            .to_owned()
    }))
}

fn gpt_layout(
    disk: &dyn ReadBlocks,
    table: &Gpt,
    mut warnings: Vec<String>,
) -> Result<Layout, BlockError> {
    let sector = table.header.sector;
    let mut volumes = Vec::new();
    for entry in &table.entries {
        let span = entry
            .last
            .checked_sub(entry.first)
            .and_then(|sectors| sectors.checked_add(1)?.checked_mul(sector))
            .zip(entry.first.checked_mul(sector))
            .filter(|_| entry.first > 0);
        let Some((len, start)) = span else {
            warnings.push(format!(
                "partition {} runs from sector {} to {}; left out",
                entry.number, entry.first, entry.last
            ));
            continue;
        };
        let kind = guid_text(&entry.kind);
        let named = GPT_NOT_OPENED.iter().find(|(guid, _)| *guid == kind).map(|(_, name)| *name);
        let volume = Volume {
            id: VolumeId(format!("part{}", entry.number)),
            number: entry.number,
            start,
            len,
            partition_type: Some(kind),
            partition_uuid: Some(guid_text(&entry.guid)),
            partition_label: Some(entry.label.clone()).filter(|label| !label.is_empty()),
            not_opened: named.map(str::to_owned),
            encrypted: false,
            uuid: None,
            label: None,
        };
        add(disk, volume, &table.places, &mut volumes, &mut warnings)?;
    }
    Ok(Layout {
        table: Table::Gpt,
        disk_uuid: Some(guid_text(&table.header.disk_guid)),
        volumes,
        warnings,
    })
}

fn mbr_layout(
    disk: &dyn ReadBlocks,
    record: &BootRecord,
    mut warnings: Vec<String>,
) -> Result<Layout, BlockError> {
    let id = (record.disk_id != 0).then(|| format!("{:08x}", record.disk_id));
    let mut volumes = Vec::new();
    let mut places = Vec::new();
    for partition in mbr::partitions(disk, record, &mut places, &mut warnings)? {
        let volume = Volume {
            id: VolumeId(format!("part{}", partition.number)),
            number: partition.number,
            start: partition.start,
            len: partition.len,
            partition_type: Some(format!("{:#x}", partition.kind)),
            partition_uuid: id.as_ref().map(|id| format!("{id}-{:02x}", partition.number)),
            partition_label: None,
            not_opened: (partition.kind == MBR_LDM).then(|| "LDM".to_owned()),
            encrypted: false,
            uuid: None,
            label: None,
        };
        add(disk, volume, &places, &mut volumes, &mut warnings)?;
    }
    Ok(Layout { table: Table::Mbr, disk_uuid: id, volumes, warnings })
}

/// Adds a partition: cut to the disk, looked at for what is not opened, and not opened where it
/// overlaps an earlier one, nor that one: the free space of either may be the other's content, as
/// it may be the partition table's, which lies in `places`.
fn add(
    disk: &dyn ReadBlocks,
    mut volume: Volume,
    places: &[(u64, u64)],
    volumes: &mut Vec<Volume>,
    warnings: &mut Vec<String>,
) -> Result<(), BlockError> {
    let id = &volume.id;
    let Some(room) = disk.len().checked_sub(volume.start).filter(|room| *room > 0) else {
        warnings.push(format!("{id} begins after the disk's end; left out"));
        return Ok(());
    };
    if volume.len > room {
        warnings.push(format!("{id} ends {} bytes after the disk's end; cut", volume.len - room));
        volume.len = room;
    }
    let end = volume.start + volume.len;
    let lies_in = |start: u64, len: u64| start < end && volume.start < start.saturating_add(len);
    let mut in_the_way = None;
    for other in volumes.iter_mut() {
        if lies_in(other.start, other.len) {
            warnings.push(format!("{id} overlaps {}; neither is opened", other.id));
            other.not_opened = Some(format!("a partition that overlaps {id}"));
            in_the_way.get_or_insert_with(|| format!("a partition that overlaps {}", other.id));
        }
    }
    if places.iter().any(|&(start, len)| lies_in(start, len)) {
        warnings.push(format!("partition table structures lie inside {id}; it is not opened"));
        in_the_way = Some("a partition with partition table structures inside".to_owned());
    }
    if in_the_way.is_some() {
        volume.not_opened = in_the_way;
    } else if volume.not_opened.is_none()
        && let Some(found) =
            signature::recognise(Area { disk, start: volume.start, len: volume.len })?
    {
        holds(&mut volume, found);
    }
    volumes.push(volume);
    Ok(())
}

/// What is on a volume, which is not opened for it.
fn holds(volume: &mut Volume, found: Recognised) {
    let Recognised { name, encrypted, uuid, label } = found;
    volume.not_opened = Some(name);
    (volume.encrypted, volume.uuid, volume.label) = (encrypted, uuid, label);
}
