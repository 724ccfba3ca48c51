//! What a PC's firmware runs outside every filesystem: boot sectors, the gap before the first
//! partition, and the partitions that boot loaders fill with themselves.
//!
//! GRUB's core image is where the boot sector says (`boot.S`, `diskboot.S`, `startup_raw.S` and
//! `offsets.h` of GRUB 2): a sector that lists where the others are, a program that unpacks, and the
//! image, packed as LZMA. Its prefix and its configuration may name filesystems.

use std::io::Read as _;

use lzma_rust2::LzmaReader;

use super::{Layout, Table};
use crate::block::{BlockError, ReadBlocks};
use crate::bytes::{le16, le32, le64};

/// A sector, as a PC's firmware counts them.
const SECTOR: u64 = 512;

/// The longest stretch that is read: the usual gap has 1 MiB, a PReP partition 8 MiB.
const MOST: u64 = 16 << 20;

/// The longest core image that is put together; a real one has 30 to 300 KiB.
const MOST_CORE: u64 = 4 << 20;

/// How long the program that unpacks may be; that of GRUB 2.06 has 2848 bytes.
const UNPACKER: usize = 8 << 10;

/// What stands in GRUB's boot sector.
const BOOT_SECTOR: &[u8] = b"GRUB \0Geom\0Hard Disk\0Read\0 Error";
/// Where it names the first sector of the core image; GRUB 1 had code there.
const CORE_AT: usize = 0x5c;

/// Types of partitions that a boot loader fills with itself: the BIOS boot partition, and PReP.
const TYPES: [&str; 3] =
    ["21686148-6449-6e6f-744e-656564454649", "9e1a2d38-c612-4316-aa26-8b49521e5a8b", "0x41"];

/// What the core image is packed with: `lc`, `lp`, `pb` and the dictionary of GRUB's `lzma.h`.
const LZMA: (u32, u32, u32, u32) = (3, 0, 2, 1 << 16);

/// The module header's magic number, which is in every core image.
const MODULES: &[u8] = b"mimg";

/// Boot code outside every filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootCode {
    /// What it is and where, for people.
    pub name: String,
    /// Its bytes, unpacked; or why they could not be.
    pub content: Result<Vec<u8>, String>,
}

/// Reads what boot code a disk has outside its filesystems.
///
/// # Errors
/// The device failed.
pub fn boot_code(disk: &dyn ReadBlocks, layout: &Layout) -> Result<Vec<BootCode>, BlockError> {
    let mut found = Vec::new();
    for (name, start, len) in stretches(disk, layout) {
        let mut content = vec![0; usize::try_from(len.min(MOST)).unwrap_or(0)];
        disk.read_at(start, &mut content)?;
        found.push(BootCode { name, content: Ok(content) });
    }
    let mut cores: Vec<u64> = Vec::new();
    for start in std::iter::once(0).chain(layout.volumes.iter().map(|it| it.start)) {
        let Some(sector) = sector(disk, start)? else { continue };
        let Some(core) = core_of(&sector).filter(|core| !cores.contains(core)) else { continue };
        if let Some(core) = read_core(disk, core)? {
            found.push(core);
        }
        cores.push(core);
    }
    Ok(found)
}

/// The stretches of a disk that hold boot code as it is: a name, the first byte, and the length.
fn stretches(disk: &dyn ReadBlocks, layout: &Layout) -> Vec<(String, u64, u64)> {
    let mut stretches = Vec::new();
    let first = layout.volumes.iter().map(|it| it.start).min().unwrap_or(0).min(disk.len());
    if layout.table != Table::None && first > SECTOR {
        let name = "the boot code before the first partition".to_owned();
        stretches.push((name, SECTOR, first - SECTOR));
    }
    for volume in &layout.volumes {
        let kind = volume.partition_type.as_deref().unwrap_or_default();
        if TYPES.iter().any(|it| it.eq_ignore_ascii_case(kind)) {
            let len = volume.len.min(disk.len().saturating_sub(volume.start));
            stretches.push((format!("the boot code in {}", volume.id), volume.start, len));
        }
    }
    stretches
}

fn sector(disk: &dyn ReadBlocks, at: u64) -> Result<Option<[u8; 512]>, BlockError> {
    if at.checked_add(SECTOR).is_none_or(|end| end > disk.len()) {
        return Ok(None);
    }
    let mut sector = [0; 512];
    disk.read_at(at, &mut sector)?;
    Ok(Some(sector))
}

/// Where the core image of a boot sector of GRUB begins, in sectors.
fn core_of(sector: &[u8; 512]) -> Option<u64> {
    memchr::memmem::find(sector, BOOT_SECTOR)?;
    le64(sector, CORE_AT).filter(|&core| core > 0)
}

/// The core image that begins at a sector, where one does.
fn read_core(disk: &dyn ReadBlocks, first: u64) -> Result<Option<BootCode>, BlockError> {
    let Some(start) = first.checked_mul(SECTOR) else { return Ok(None) };
    let Some(head) = sector(disk, start)? else { return Ok(None) };
    if [b"loading".as_slice(), b"Geom", b" Error"]
        .iter()
        .any(|text| memchr::memmem::find(&head, text).is_none())
    {
        return Ok(None);
    }
    let name = format!("GRUB's core image at sector {first}");
    let mut body: Vec<u8> = Vec::new();
    // Twelve bytes a stretch, from the sector's end downwards: where, how many, and the segment
    // that it is loaded to.
    for at in (0..=500).rev().step_by(12) {
        let (Some(from), Some(count)) = (le64(&head, at), le16(&head, at + 8)) else { break };
        if count == 0 {
            break;
        }
        let len = u64::from(count) * SECTOR;
        let from = from.checked_mul(SECTOR).filter(|from| *from < disk.len());
        let (Some(from), true) = (from, body.len() as u64 + len <= MOST_CORE) else {
            let content = Err("the list of its sectors makes no sense".to_owned());
            return Ok(Some(BootCode { name, content }));
        };
        let at = body.len();
        // The last sectors of an image that was cut are no part of it.
        let len = len.min(disk.len() - from);
        body.resize(at + usize::try_from(len).unwrap_or(0), 0);
        disk.read_at(from, &mut body[at..])?;
    }
    let content = unpacked(&body).ok_or_else(|| "it cannot be unpacked".to_owned());
    Ok(Some(BootCode { name, content }))
}

/// The kernel, modules and configuration of a core image without its first sector.
fn unpacked(body: &[u8]) -> Option<Vec<u8>> {
    let (packed, length) = (le32(body, 8)?, le32(body, 12)?);
    let (packed, length) = (usize::try_from(packed).ok()?, usize::try_from(length).ok()?);
    if length as u64 > MOST_CORE {
        return None;
    }
    // Where the program ends that unpacks stands nowhere; what follows it begins with a zero byte,
    // as all LZMA does, at a multiple of sixteen.
    (SECTOR as usize..UNPACKER).step_by(16).find_map(|at| {
        let rest = body.get(at..)?;
        let rest = rest.get(..packed.min(rest.len())).filter(|it| it.first() == Some(&0))?;
        let (lc, lp, pb, dictionary) = LZMA;
        let reader = LzmaReader::new(rest, length as u64, lc, lp, pb, dictionary, None).ok()?;
        let mut content = Vec::new();
        reader.take(length as u64).read_to_end(&mut content).ok()?;
        let whole = content.len() == length && memchr::memmem::find(&content, MODULES).is_some();
        whole.then_some(content)
    })
}
