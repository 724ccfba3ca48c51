//! The qcow2 header and its extensions (`docs/interop/qcow2.txt`, "Header").

use crate::block::ReadBlocks;
use crate::bytes::{array, be32, be64};
use crate::image::ImageError;

/// QEMU's own limit for an L1 table (`QCOW_MAX_L1_SIZE`), in bytes.
const LARGEST_L1: u64 = 32 << 20;
/// QEMU's own limit for a refcount table (`QCOW_MAX_REFTABLE_SIZE`), in bytes.
const LARGEST_REFCOUNT_TABLE: u64 = 8 << 20;
/// QEMU's own limit (`QCOW_MAX_SNAPSHOTS`).
const MOST_SNAPSHOTS: u32 = 65536;
/// The longest backing file name, by the specification.
const LONGEST_BACKING_NAME: u32 = 1023;
/// The header of version 2, and where version 3's fields start.
const V2_LENGTH: u64 = 72;
/// The shortest header of version 3.
const V3_LENGTH: u64 = 104;
/// How much of the first cluster is read for the header: everything that its extensions may fill.
const HEADER_READ: u64 = 1 << 16;

/// The dirty bit of the incompatible features.
const DIRTY: u64 = 1;
/// The corrupt bit of the incompatible features.
const CORRUPT: u64 = 1 << 1;
/// Data lies in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// The header names a compression type.
const COMPRESSION_TYPE: u64 = 1 << 3;
/// L2 entries have subclusters.
const EXTENDED_L2: u64 = 1 << 4;

/// What an image says of its backing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::image) struct Backing {
    /// The file's name, as it stands in the header.
    pub(in crate::image) name: Vec<u8>,
    /// The format's name, where the header has it.
    pub(in crate::image) format: Option<Vec<u8>>,
}

/// A header that was checked: every field is within QEMU's limits, and every feature is known.
#[derive(Clone, Debug)]
pub(in crate::image) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    /// The guest's disk, in bytes.
    pub(super) size: u64,
    pub(super) l1_size: u32,
    pub(super) l1_offset: u64,
    pub(super) refcount_table_offset: u64,
    pub(super) refcount_table_clusters: u32,
    /// log2 of a refcount's width in bits.
    pub(super) refcount_order: u32,
    pub(super) snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) autoclear: u64,
    pub(super) extended_l2: bool,
    pub(super) zstd: bool,
    /// How many persistent bitmaps there are.
    pub(super) bitmaps: u32,
    pub(in crate::image) backing: Option<Backing>,
}

impl Header {
    /// Reads and checks the header of the image in `host`.
    pub(in crate::image) fn read(host: &dyn ReadBlocks) -> Result<Self, ImageError> {
        let mut bytes = vec![0; host.len().min(HEADER_READ) as usize];
        host.read_at(0, &mut bytes)?;
        Self::from_bytes(&bytes, host.len())
    }

    /// Checks the header in `bytes`, the start of a file of `file_len` bytes.
    pub(super) fn from_bytes(bytes: &[u8], file_len: u64) -> Result<Self, ImageError> {
        let corrupt = |at: u64, message: String| ImageError::corrupt("qcow2 header", at, message);
        let short = || corrupt(0, format!("the file ends inside it, after {file_len} bytes"));
        let word = |at: usize| be32(bytes, at).ok_or_else(short);
        let long = |at: usize| be64(bytes, at).ok_or_else(short);

        if array::<4>(bytes, 0) != Some(*b"QFI\xfb") {
            return Err(ImageError::unsupported(
                "a file without the magic of qcow2",
                "give its real format with --format",
            ));
        }
        let version = word(4)?;
        if !(2..=3).contains(&version) {
            return Err(ImageError::unsupported(
                format!("qcow2 version {version}"),
                "convert it with qemu-img convert",
            ));
        }
        let cluster_bits = word(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(corrupt(
                20,
                format!("clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 exist"),
            ));
        }
        let cluster = 1_u64 << cluster_bits;
        match word(32)? {
            0 => {}
            1 => return Err(encrypted("AES")),
            2 => return Err(encrypted("LUKS")),
            other => return Err(encrypted(&format!("method {other}"))),
        }

        let (mut incompatible, mut autoclear, mut refcount_order, mut length) =
            (0, 0, 4, V2_LENGTH);
        if version == 3 {
            incompatible = long(72)?;
            autoclear = long(88)?;
            refcount_order = word(96)?;
            length = u64::from(word(100)?);
            if length < V3_LENGTH || length > cluster || !length.is_multiple_of(8) {
                return Err(corrupt(100, format!("a header of {length} bytes")));
            }
        }
        if incompatible & CORRUPT != 0 {
            return Err(ImageError::unsupported(
                "an image that is marked corrupt",
                "repair it with qemu-img check -r all",
            ));
        }
        if incompatible & DIRTY != 0 {
            return Err(ImageError::unsupported(
                "an image that was not closed properly (dirty bit)",
                "repair it with qemu-img check -r leaks",
            ));
        }
        if incompatible & EXTERNAL_DATA != 0 {
            return Err(ImageError::unsupported(
                "a qcow2 image with an external data file",
                "convert it with qemu-img convert",
            ));
        }
        let unknown = incompatible & !(COMPRESSION_TYPE | EXTENDED_L2);
        if unknown != 0 {
            return Err(ImageError::unsupported(
                format!("qcow2 with unknown incompatible features ({unknown:#x})"),
                "convert it with qemu-img convert",
            ));
        }
        let extended_l2 = incompatible & EXTENDED_L2 != 0;
        // A subcluster is a 32nd of a cluster, and at least a sector.
        if extended_l2 && cluster_bits < 14 {
            return Err(corrupt(20, "extended L2 entries need clusters of 16 KiB".into()));
        }
        let compression = if length > V3_LENGTH { bytes.get(104).copied() } else { None };
        let zstd = match compression.unwrap_or(0) {
            0 => false,
            1 => true,
            other => {
                return Err(ImageError::unsupported(
                    format!("qcow2 compression type {other}"),
                    "convert it with qemu-img convert",
                ));
            }
        };
        if refcount_order > 6 {
            return Err(corrupt(96, format!("refcounts of 2^{refcount_order} bits")));
        }

        let size = long(24)?;
        let l1_size = word(36)?;
        let l1_offset = long(40)?;
        let l1_bytes = u64::from(l1_size) * 8;
        let l2_entries = cluster / if extended_l2 { 16 } else { 8 };
        let needed = size.div_ceil(cluster * l2_entries);
        if size > i64::MAX as u64 || needed > LARGEST_L1 / 8 {
            return Err(corrupt(24, format!("a disk of {size} bytes in clusters of {cluster}")));
        }
        if l1_bytes > LARGEST_L1 || u64::from(l1_size) < needed {
            return Err(corrupt(36, format!("{l1_size} L1 entries, where {needed} are needed")));
        }
        let inside = |offset: u64, len: u64| {
            offset != 0
                && offset.is_multiple_of(cluster)
                && offset.checked_add(len).is_some_and(|end| end <= file_len)
        };
        if l1_size > 0 && !inside(l1_offset, l1_bytes) {
            return Err(corrupt(40, format!("an L1 table at {l1_offset}")));
        }
        let refcount_table_offset = long(48)?;
        let refcount_table_clusters = word(56)?;
        let table = u64::from(refcount_table_clusters) * cluster;
        if table == 0 || table > LARGEST_REFCOUNT_TABLE.max(cluster) {
            return Err(corrupt(56, format!("{refcount_table_clusters} refcount table clusters")));
        }
        // The last table of a file may end before its cluster does.
        if !inside(refcount_table_offset, 8) {
            return Err(corrupt(48, format!("a refcount table at {refcount_table_offset}")));
        }
        let snapshots = word(60)?;
        let snapshots_offset = long(64)?;
        if snapshots > MOST_SNAPSHOTS {
            return Err(corrupt(
                60,
                format!("{snapshots} snapshots; {MOST_SNAPSHOTS} are the most"),
            ));
        }
        if snapshots > 0 && !inside(snapshots_offset, u64::from(snapshots)) {
            return Err(corrupt(64, format!("a snapshot table at {snapshots_offset}")));
        }

        let backing_offset = long(8)?;
        // Extensions end where the backing file's name starts, if not by their own end mark.
        let end = if backing_offset == 0 { cluster } else { backing_offset.min(cluster) };
        let extensions = Extensions::from_bytes(bytes, length, end)?;
        let backing = match backing_offset {
            0 => None,
            offset => {
                let len = word(16)?;
                let name = usize::try_from(offset)
                    .ok()
                    .and_then(|from| bytes.get(from..from.checked_add(len as usize)?))
                    .filter(|_| len <= LONGEST_BACKING_NAME && offset < cluster);
                match name {
                    Some([]) => None,
                    Some(name) => {
                        Some(Backing { name: name.to_vec(), format: extensions.backing_format })
                    }
                    None => {
                        return Err(corrupt(8, format!("a backing file name at {offset}+{len}")));
                    }
                }
            }
        };
        Ok(Self {
            version,
            cluster_bits,
            size,
            l1_size,
            l1_offset,
            refcount_table_offset,
            refcount_table_clusters,
            refcount_order,
            snapshots,
            snapshots_offset,
            autoclear,
            extended_l2,
            zstd,
            bitmaps: extensions.bitmaps,
            backing,
        })
    }

    /// A cluster's size in bytes.
    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The size of an L2 entry in bytes.
    pub(super) fn l2_entry(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// How many clusters an L2 table maps.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster() / self.l2_entry()
    }
}

fn encrypted(how: &str) -> ImageError {
    ImageError::unsupported(
        format!("an encrypted qcow2 image ({how})"),
        "decrypt it with qemu-img convert",
    )
}

/// What is read from the header's extensions.
#[derive(Default)]
struct Extensions {
    backing_format: Option<Vec<u8>>,
    bitmaps: u32,
}

impl Extensions {
    fn from_bytes(bytes: &[u8], header_len: u64, end: u64) -> Result<Self, ImageError> {
        let mut found = Self::default();
        let mut at = header_len;
        let end = end.min(bytes.len() as u64);
        while at + 8 <= end {
            let corrupt =
                |message: String| ImageError::corrupt("qcow2 header extension", at, message);
            let (Some(kind), Some(len)) = (be32(bytes, at as usize), be32(bytes, at as usize + 4))
            else {
                break;
            };
            let from = at + 8;
            let to = from + u64::from(len);
            let Some(data) = bytes.get(from as usize..to as usize).filter(|_| to <= end) else {
                return Err(corrupt(format!("{len} bytes do not fit before {end}")));
            };
            match kind {
                0 => break,
                0xE279_2ACA => found.backing_format = Some(data.to_vec()),
                0x2385_2875 => {
                    found.bitmaps = be32(data, 0)
                        .ok_or_else(|| corrupt("a bitmap extension cut short".into()))?;
                }
                // Names of features and of files we do not open, and what we do not know: an
                // unknown extension may be ignored, by the specification.
                _ => {}
            }
            at = from + u64::from(len).next_multiple_of(8);
        }
        Ok(found)
    }
}
