//! The boot sector: where everything lies (Microsoft FAT specification 1.03, sections 3 and 4).

use crate::block::{BlockError, ReadBlocks};
use crate::bytes::{array, le16, le32};

/// Bytes of a directory entry.
pub(super) const SLOT: usize = 32;

/// The width of a table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// 12 bits.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 28 of 32 bits.
    Fat32,
}

impl Width {
    /// Bits that an entry occupies.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Fat12 => 12,
            Self::Fat16 => 16,
            Self::Fat32 => 32,
        }
    }

    /// The field's own name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fat12 => "FAT12",
            Self::Fat16 => "FAT16",
            Self::Fat32 => "FAT32",
        }
    }
}

/// Where the root directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// In a region of its own: first byte and length (FAT12, FAT16).
    Region(u64, u64),
    /// In a chain of clusters like every other directory (FAT32).
    Cluster(u32),
}

/// What the boot sector says, checked against itself and the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The width of a table entry.
    pub(super) width: Width,
    /// Bytes in a sector.
    pub(super) sector: u64,
    /// Bytes in a cluster.
    pub(super) cluster: u64,
    /// First byte of the table that counts.
    pub(super) table_at: u64,
    /// Bytes of one table.
    pub(super) table_len: u64,
    /// How many copies of the table there are.
    pub(super) tables: u64,
    /// All copies are kept the same, and the first is the one that counts.
    pub(super) mirrored: bool,
    /// The root directory.
    pub(super) root: Root,
    /// First byte of the first cluster, whose number is 2.
    pub(super) data_at: u64,
    /// How many clusters there are.
    pub(super) clusters: u32,
    /// Bytes that the filesystem covers.
    pub(super) size: u64,
    /// The media byte, which the table repeats.
    pub(super) media: u8,
    /// First byte of the `FSInfo` sector (FAT32).
    pub(super) info_at: Option<u64>,
    /// First byte of the copy of the boot sector (FAT32).
    pub(super) backup_at: Option<u64>,
    /// First byte of the state byte, whose bit 0 says that the filesystem is not clean.
    pub(super) state_at: u64,
    /// The state byte.
    pub(super) state: u8,
    /// The volume's serial number.
    pub(super) serial: Option<u32>,
    /// The boot sector's label, 11 bytes padded with blanks.
    pub(super) label: Option<[u8; 11]>,
}

impl Geometry {
    /// Reads the boot sector; the inner error says why it is none.
    pub(super) fn read(device: &dyn ReadBlocks) -> Result<Result<Self, String>, BlockError> {
        if device.len() < 512 {
            return Ok(Err(format!("a device of {} bytes", device.len())));
        }
        let mut sector = [0; 512];
        device.read_at(0, &mut sector)?;
        Ok(Self::from_bytes(&sector, device.len()))
    }

    /// Reads a boot sector of a device of `len` bytes.
    ///
    /// # Errors
    /// What keeps it from being one, as a text.
    pub(super) fn from_bytes(bytes: &[u8; 512], len: u64) -> Result<Self, String> {
        let field16 = |at| u64::from(le16(bytes, at).unwrap_or_default());
        let field32 = |at| u64::from(le32(bytes, at).unwrap_or_default());
        if !matches!(bytes[0], 0xeb | 0xe9) || bytes[510..] != [0x55, 0xaa] {
            return Err("no jump at its start or no mark at its end".to_owned());
        }
        // BitLocker To Go wears a FAT32 boot sector, with its own GUID in the boot code.
        let bitlocker = bytes[424..432] == *b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a";
        if [&b"NTFS    "[..], b"EXFAT   ", b"-FVE-FS-"].contains(&&bytes[3..11]) || bitlocker {
            return Err("the boot sector of something else".to_owned());
        }
        let sector = field16(11);
        if !(512..=4096).contains(&sector) || !sector.is_power_of_two() {
            return Err(format!("a sector of {sector} bytes"));
        }
        let per_cluster = u64::from(bytes[13]);
        if !per_cluster.is_power_of_two() {
            return Err(format!("a cluster of {per_cluster} sectors"));
        }
        let reserved = field16(14);
        let tables = u64::from(bytes[16]);
        if reserved == 0 || !(1..=4).contains(&tables) {
            return Err(format!("{reserved} reserved sectors, {tables} tables"));
        }
        let media = bytes[21];
        if media != 0xf0 && media < 0xf8 {
            return Err(format!("a media byte of {media:#x}"));
        }
        let sectors = if field16(19) != 0 { field16(19) } else { field32(32) };
        let short = field16(22);
        let wide = short == 0;
        let table_sectors = if wide { field32(36) } else { short };
        let root_entries = field16(17);
        if table_sectors == 0 || (root_entries == 0) != wide {
            return Err(format!("tables of {table_sectors} sectors, {root_entries} root entries"));
        }
        let root_sectors = (root_entries * SLOT as u64).div_ceil(sector);
        let first_data = reserved + tables * table_sectors + root_sectors;
        let clusters = sectors.saturating_sub(first_data) / per_cluster;
        let size = sectors * sector;
        if clusters == 0 || size > len {
            return Err(format!("{sectors} sectors on a device of {len} bytes"));
        }
        let (width, most) = match (wide, clusters) {
            (true, _) => (Width::Fat32, 0x0fff_fff5),
            (false, ..=4084) => (Width::Fat12, 4084),
            (false, _) => (Width::Fat16, 65524),
        };
        let table_len = table_sectors * sector;
        if clusters > most || (clusters + 2) * width.bits() > table_len * 8 {
            return Err(format!("{clusters} clusters in a table of {table_len} bytes"));
        }
        if wide && field16(42) != 0 {
            return Err(format!("version {}", field16(42)));
        }
        // The flags and what follows them lie further on in FAT32.
        let tail = if wide { 64 } else { 36 };
        let mirrored = !wide || bytes[40] & 0x80 == 0;
        let active = if mirrored { 0 } else { u64::from(bytes[40] & 0x0f) };
        if active >= tables {
            return Err(format!("table {active} of {tables} is the active one"));
        }
        let root = if wide {
            let cluster = le32(bytes, 44).unwrap_or_default();
            if cluster < 2 || u64::from(cluster) >= clusters + 2 {
                return Err(format!("a root directory at cluster {cluster}"));
            }
            Root::Cluster(cluster)
        } else {
            Root::Region((reserved + tables * table_sectors) * sector, root_sectors * sector)
        };
        let inside = |at: u64| (wide && at != 0 && at < reserved).then(|| at * sector);
        let signed = matches!(bytes[tail + 2], 0x28 | 0x29);
        Ok(Self {
            width,
            sector,
            cluster: per_cluster * sector,
            table_at: (reserved + active * table_sectors) * sector,
            table_len,
            tables,
            mirrored,
            root,
            data_at: first_data * sector,
            clusters: u32::try_from(clusters).unwrap_or(u32::MAX),
            size,
            media,
            info_at: inside(field16(48)),
            backup_at: inside(field16(50)),
            state_at: tail as u64 + 1,
            state: bytes[tail + 1],
            serial: le32(bytes, tail + 3).filter(|_| signed),
            label: array(bytes, tail + 7).filter(|_| bytes[tail + 2] == 0x29),
        })
    }

    /// One more than the last cluster's number.
    pub(super) fn end_cluster(&self) -> u32 {
        self.clusters.saturating_add(2)
    }

    /// Whether a cluster has this number.
    pub(super) fn has_cluster(&self, cluster: u32) -> bool {
        (2..self.end_cluster()).contains(&cluster)
    }

    /// First byte of a cluster that there is.
    pub(super) fn cluster_at(&self, cluster: u32) -> u64 {
        debug_assert!(self.has_cluster(cluster));
        self.data_at + u64::from(cluster.saturating_sub(2)) * self.cluster
    }
}
