//! What is recognised by its magic numbers and not opened: containers, swap, other filesystems.

use super::swap::SwapArea;
use crate::block::{BlockError, ReadBlocks};
use crate::bytes::{array, be32, le16, le32, le64};

/// A part of a disk, read by its own offsets.
#[derive(Clone, Copy)]
pub(super) struct Area<'a> {
    /// The disk.
    pub(super) disk: &'a dyn ReadBlocks,
    /// First byte on the disk.
    pub(super) start: u64,
    /// Length in bytes; the area lies inside the disk.
    pub(super) len: u64,
}

impl Area<'_> {
    /// The `N` bytes at `at`; `None` where they do not all lie in the area.
    fn bytes<const N: usize>(self, at: u64) -> Result<Option<[u8; N]>, BlockError> {
        if at.checked_add(N as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.disk.read_at(self.start + at, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn has(self, at: u64, magic: &[u8]) -> Result<bool, BlockError> {
        let mut bytes = [0; 32];
        let Some(found) = bytes.get_mut(..magic.len()) else { return Ok(false) };
        if at.checked_add(magic.len() as u64).is_none_or(|end| end > self.len) {
            return Ok(false);
        }
        self.disk.read_at(self.start + at, found)?;
        Ok(found == magic)
    }
}

/// What was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    /// Its common name.
    pub(super) name: String,
    /// Whether it can be read with a key only.
    pub(super) encrypted: bool,
    /// Its UUID as `blkid` prints it.
    pub(super) uuid: Option<String>,
    /// Its label, where it is not empty.
    pub(super) label: Option<String>,
}

impl Recognised {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), encrypted: name == BITLOCKER, uuid: None, label: None }
    }
}

/// Magic numbers that say all there is to say. Those of containers stand in [`CONTAINERS`].
const FILESYSTEMS: &[(&str, u64, &[u8])] = &[
    ("exFAT", 3, b"EXFAT   "),
    ("ReFS", 3, b"\0\0\0\0\0ReFS\0"),
    ("ReFS", 3, b"ReFS\0\0\0\0"),
    ("squashfs", 0, b"hsqs"),
    ("EROFS", 1024, b"\xe2\xe1\xf5\xe0"),
    ("F2FS", 1024, b"\x10\x20\xf5\xf2"),
    ("APFS", 32, b"NXSB"),
    ("HFS+", 1024, b"H+\0\x04"),
    ("HFS+", 1024, b"HX\0\x05"),
    ("HFS", 1024, b"BD"),
    ("bcachefs", 4096 + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"),
    ("ISO 9660", 32769, b"CD001"),
    ("UDF", 32769, b"BEA01"),
    ("JFS", 32768, b"JFS1"),
    ("ReiserFS", 65536 + 52, b"ReIsErFs"),
    ("ReiserFS", 65536 + 52, b"ReIsEr2Fs"),
    ("ReiserFS", 65536 + 52, b"ReIsEr3Fs"),
    ("NILFS2", 1024 + 6, b"\x34\x34"),
    ("UFS2", 65536 + 1372, b"\x19\x01\x54\x19"),
    ("UFS1", 8192 + 1372, b"\x54\x19\x01\x00"),
    ("GFS2", 65536, b"\x01\x16\x19\x70\0\0\0\x01"),
    ("VMFS", 1 << 20, b"\x0d\xd0\x01\xc0"),
    ("BSD disklabel", 512, b"\x57\x45\x56\x82"),
];

/// What a swap area is called that holds no suspended system.
pub(super) const SWAP: &str = "swap";

const BITLOCKER: &str = "BitLocker";

/// Containers whose magic numbers say all there is to say.
const CONTAINERS: &[(&str, u64, &[u8])] = &[
    (BITLOCKER, 3, b"-FVE-FS-"),
    // BitLocker To Go wears a FAT32 boot sector.
    (BITLOCKER, 424, b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"),
    ("bcache", 4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"),
    ("Storage Spaces", 0, b"SPACEDB "),
    ("Stratis", 512 + 4, b"!Stra0tis\x86\xff\x02^\x41rh"),
    ("VDO", 0, b"dmvdo001"),
    ("dm-verity", 0, b"verity\0\0"),
    ("dm-integrity", 0, b"integrt\0"),
    ("LDM", 6 * 512, b"PRIVHEAD"),
];

/// Recognises what an area holds, where it is something that no driver of ours opens.
///
/// A container wins over the filesystem inside it (a RAID mirror's member looks like the
/// filesystem), and a filesystem of ours over what an older filesystem left elsewhere.
///
/// # Errors
/// The device below failed.
pub(super) fn recognise(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    type Check = fn(Area<'_>) -> Result<Option<Recognised>, BlockError>;
    let containers: [Check; 3] = [luks, lvm2, raid];
    for check in containers {
        if let Some(found) = check(area)? {
            return Ok(Some(found));
        }
    }
    if let Some(name) = first_magic(area, CONTAINERS)? {
        return Ok(Some(Recognised::named(name)));
    }
    if looks_like_ext(area)? || looks_like_fat(area)? {
        return Ok(None);
    }
    let others: [Check; 5] = [swap, xfs, btrfs, ntfs, zfs];
    for check in others {
        if let Some(found) = check(area)? {
            return Ok(Some(found));
        }
    }
    Ok(first_magic(area, FILESYSTEMS)?.map(Recognised::named))
}

fn first_magic(
    area: Area<'_>,
    magics: &[(&'static str, u64, &[u8])],
) -> Result<Option<&'static str>, BlockError> {
    for &(name, at, magic) in magics {
        if area.has(at, magic)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether an ext2, ext3 or ext4 superblock is in its place.
pub(super) fn looks_like_ext(area: Area<'_>) -> Result<bool, BlockError> {
    let Some(bytes) = area.bytes::<64>(1024)? else { return Ok(false) };
    Ok(le16(&bytes, 56) == Some(0xef53)
        && le32(&bytes, 0).is_some_and(|inodes| inodes > 0)
        && le32(&bytes, 24).is_some_and(|log_block_size| log_block_size <= 6))
}

/// Whether the first sector is a FAT boot sector: its fields make sense together, and the table it
/// points at begins with its media byte.
pub(super) fn looks_like_fat(area: Area<'_>) -> Result<bool, BlockError> {
    let Some(sector) = area.bytes::<512>(0)? else { return Ok(false) };
    let Some((at, media)) = fat_start(&sector) else { return Ok(false) };
    // Entry 0 is the media byte with all ones above it; entry 1 carries flags in its high bits only.
    let first = area.bytes::<2>(at)?;
    Ok(first.is_some_and(|entry| entry[0] == media && entry[1] & 0x0f == 0x0f))
}

/// Where the first FAT lies, in bytes, and the media byte.
fn fat_start(sector: &[u8; 512]) -> Option<(u64, u8)> {
    let jump = matches!(sector[0], 0xeb | 0xe9);
    let foreign = [&b"NTFS    "[..], b"EXFAT   ", b"-FVE-FS-"].contains(&&sector[3..11]);
    let bytes = le16(sector, 11)?;
    let cluster = sector[13];
    let reserved = le16(sector, 14)?;
    let media = sector[21];
    let fat_sectors = if le16(sector, 22)? != 0 { 1 } else { le32(sector, 36)? };
    let sectors = if le16(sector, 19)? != 0 { 1 } else { le32(sector, 32)? };
    let sane = jump
        && !foreign
        && (512..=4096).contains(&bytes)
        && bytes.is_power_of_two()
        && cluster.is_power_of_two()
        && reserved > 0
        && matches!(sector[16], 1..=4)
        && (media == 0xf0 || media >= 0xf8)
        && fat_sectors > 0
        && sectors > 0;
    sane.then(|| (u64::from(reserved) * u64::from(bytes), media))
}

fn luks(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(bytes) = area.bytes::<208>(0)? else { return Ok(None) };
    if !bytes.starts_with(b"LUKS\xba\xbe") {
        return Ok(None);
    }
    let version = u16::from_be_bytes([bytes[6], bytes[7]]);
    Ok(Some(Recognised {
        name: format!("LUKS{version}"),
        encrypted: true,
        uuid: text(&bytes[168..208]),
        label: if version == 2 { text(&bytes[24..72]) } else { None },
    }))
}

/// The label lies in one of the first four sectors and names its own sector.
fn lvm2(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    for sector in 0..4_u64 {
        let Some(bytes) = area.bytes::<512>(sector * 512)? else { return Ok(None) };
        if &bytes[..8] != b"LABELONE"
            || &bytes[24..32] != b"LVM2 001"
            || le64(&bytes, 8) != Some(sector)
        {
            continue;
        }
        let id = le32(&bytes, 20)
            .and_then(|at| array::<32>(&bytes, usize::try_from(at).ok()?))
            .filter(|id| id.is_ascii());
        let uuid = id.map(|id| {
            let mut text = String::new();
            for (n, byte) in id.into_iter().enumerate() {
                if matches!(n, 6 | 10 | 14 | 18 | 22 | 26) {
                    text.push('-');
                }
                text.push(char::from(byte));
            }
            text
        });
        return Ok(Some(Recognised { uuid, ..Recognised::named("LVM2") }));
    }
    Ok(None)
}

/// Linux software RAID (four places for its superblock) and the firmware RAIDs it knows.
fn raid(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    const MAGIC: u32 = 0xa92b_4efc;
    let sectors = area.len / 512;
    // Version 1.0 at the end, 1.1 at the start, 1.2 4 KiB in.
    let places = [("1.0", (sectors.saturating_sub(16)) & !7), ("1.1", 0), ("1.2", 8)];
    for (version, sector) in places {
        let Some(bytes) = area.bytes::<256>(sector * 512)? else { continue };
        if le32(&bytes, 0) == Some(MAGIC)
            && le32(&bytes, 4) == Some(1)
            && le64(&bytes, 144) == Some(sector)
        {
            return Ok(Some(Recognised {
                uuid: array(&bytes, 16).map(|uuid| uuid_text(&uuid)),
                label: text(&bytes[32..64]),
                ..Recognised::named(&format!("MD RAID {version}"))
            }));
        }
    }
    // Version 0.90: 64 KiB before the last 64 KiB boundary, in the order of the host's bytes.
    if let Some(at) = (area.len & !0xffff).checked_sub(0x1_0000)
        && let Some(bytes) = area.bytes::<64>(at)?
        && ((le32(&bytes, 0) == Some(MAGIC) && le32(&bytes, 4) == Some(0))
            || (be32(&bytes, 0) == Some(MAGIC) && be32(&bytes, 4) == Some(0)))
    {
        return Ok(Some(Recognised::named("MD RAID 0.90")));
    }
    if let Some(at) = area.len.checked_sub(1024)
        && area.has(at, b"Intel Raid ISM Cfg Sig. ")?
    {
        return Ok(Some(Recognised::named("Intel RAID")));
    }
    if let Some(at) = area.len.checked_sub(512)
        && (area.has(at, b"\xde\x11\xde\x11")? || area.has(at, b"\x11\xde\x11\xde")?)
    {
        return Ok(Some(Recognised::named("DDF RAID")));
    }
    Ok(None)
}

fn swap(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(swap) = SwapArea::read(area.disk, area.start, area.len)? else { return Ok(None) };
    let name = if swap.suspended { "swap (holds a suspended system)" } else { SWAP };
    Ok(Some(Recognised {
        uuid: swap.uuid.map(|uuid| uuid_text(&uuid)),
        label: text(&swap.label),
        ..Recognised::named(name)
    }))
}

fn xfs(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(bytes) = area.bytes::<128>(0)? else { return Ok(None) };
    Ok(bytes.starts_with(b"XFSB").then(|| Recognised {
        uuid: array(&bytes, 32).map(|uuid| uuid_text(&uuid)),
        label: text(&bytes[108..120]),
        ..Recognised::named("XFS")
    }))
}

fn btrfs(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(bytes) = area.bytes::<0x22b>(65536)? else { return Ok(None) };
    Ok((&bytes[64..72] == b"_BHRfS_M").then(|| Recognised {
        uuid: array(&bytes, 32).map(|uuid| uuid_text(&uuid)),
        label: text(&bytes[0x12b..0x22b]),
        ..Recognised::named("Btrfs")
    }))
}

fn ntfs(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(bytes) = area.bytes::<80>(0)? else { return Ok(None) };
    Ok((&bytes[3..11] == b"NTFS    ").then(|| Recognised {
        uuid: le64(&bytes, 72).map(|serial| format!("{serial:016X}")),
        ..Recognised::named("NTFS")
    }))
}

/// A member's first label: an XDR name-value list at 16 KiB that begins with its encoding and
/// version and names a GUID.
fn zfs(area: Area<'_>) -> Result<Option<Recognised>, BlockError> {
    let Some(bytes) = area.bytes::<4096>(16384)? else { return Ok(None) };
    let head = bytes[0] == 1 && bytes[1] <= 1 && bytes[2..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    Ok((head && bytes.windows(4).any(|window| window == b"guid")).then(|| Recognised::named("ZFS")))
}

/// The text up to the first NUL; `None` when it is empty.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// A UUID whose bytes are in the order of its text (RFC 9562).
fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (n, byte) in uuid.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
