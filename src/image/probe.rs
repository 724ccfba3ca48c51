//! Which format a file has, by its first and last bytes.

use crate::block::ReadBlocks;

use super::{DECRYPT, Format, ImageError};

/// How much of either end of a file is looked at: the furthest magic (tar's) ends at byte 262.
const LOOKED_AT: u64 = 512;

/// A format that is recognised, and that this program does not open.
struct Known {
    name: &'static str,
    remedy: &'static str,
    start: u64,
    magic: &'static [u8],
}

const CONVERT: &str = "convert it with qemu-img convert, or say --format raw if it is a raw disk";
const DECOMPRESS: &str = "decompress it first, or say --format raw if it is a raw disk";
const UNPACK: &str = "unpack it first, or say --format raw if it is a raw disk";

/// Recognised by what is at the start of the file.
const AT_START: &[Known] = &[
    Known { name: "a VMDK image", remedy: CONVERT, start: 0, magic: b"KDMV" },
    Known { name: "a VMDK image", remedy: CONVERT, start: 0, magic: b"COWD" },
    Known { name: "a VMDK image", remedy: CONVERT, start: 0, magic: b"# Disk DescriptorFile" },
    Known { name: "a VDI image", remedy: CONVERT, start: 64, magic: b"\x7f\x10\xda\xbe" },
    Known { name: "a VHD image", remedy: CONVERT, start: 0, magic: b"conectix" },
    Known { name: "a VHDX image", remedy: CONVERT, start: 0, magic: b"vhdxfile" },
    Known {
        name: "a qcow version 1 image",
        remedy: CONVERT,
        start: 0,
        magic: b"QFI\xfb\0\0\0\x01",
    },
    Known { name: "a QED image", remedy: CONVERT, start: 0, magic: b"QED\0" },
    Known { name: "a Parallels image", remedy: CONVERT, start: 0, magic: b"WithoutFreeSpace" },
    Known { name: "a Parallels image", remedy: CONVERT, start: 0, magic: b"WithouFreSpacExt" },
    Known { name: "a LUKS image", remedy: DECRYPT, start: 0, magic: b"LUKS\xba\xbe" },
    Known { name: "a gzip file", remedy: DECOMPRESS, start: 0, magic: b"\x1f\x8b\x08" },
    Known { name: "an xz file", remedy: DECOMPRESS, start: 0, magic: b"\xfd7zXZ\0" },
    Known { name: "a zstd file", remedy: DECOMPRESS, start: 0, magic: b"\x28\xb5\x2f\xfd" },
    Known { name: "a bzip2 file", remedy: DECOMPRESS, start: 0, magic: b"BZh" },
    Known { name: "a tar archive (OVA?)", remedy: UNPACK, start: 257, magic: b"ustar" },
    Known { name: "a zip archive", remedy: UNPACK, start: 0, magic: b"PK\x03\x04" },
];

/// Recognised by the last 512 bytes of the file.
const AT_END: &[Known] = &[
    Known { name: "a VHD image of fixed size", remedy: CONVERT, start: 0, magic: b"conectix" },
    Known { name: "a DMG image", remedy: CONVERT, start: 0, magic: b"koly" },
];

/// The format of `file` by its content: qcow2 by its magic, raw when nothing else is recognised.
///
/// # Errors
/// [`ImageError::Unsupported`] naming a recognised format that cannot be opened.
pub(super) fn probe(file: &dyn ReadBlocks) -> Result<Format, ImageError> {
    let len = file.len().min(LOOKED_AT);
    let mut start = vec![0; len as usize];
    file.read_at(0, &mut start)?;
    if is_qcow2(&start) {
        return Ok(Format::Qcow2);
    }
    let mut end = vec![0; len as usize];
    file.read_at(file.len() - len, &mut end)?;
    for (bytes, list) in [(&start, AT_START), (&end, AT_END)] {
        for known in list {
            let from = known.start as usize;
            if bytes.get(from..).is_some_and(|rest| rest.starts_with(known.magic)) {
                return Err(ImageError::unsupported(known.name, known.remedy));
            }
        }
    }
    Ok(Format::Raw)
}

/// Whether these first bytes of a file are those of a qcow2 image, version 2 or later.
pub(super) fn is_qcow2(start: &[u8]) -> bool {
    start.starts_with(b"QFI\xfb") && crate::bytes::be32(start, 4).is_some_and(|it| it >= 2)
}
