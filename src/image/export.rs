//! Writing a disk to a new image file in one pass.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::block::{Extent, ReadBlocks, is_zero};

use super::in_use::refuse_to_replace_in_use;
use super::new_file::NewFile;
use super::qcow2::Writer;
use super::{Format, ImageError};

/// How much is read at once: enough to keep a disk busy, and a multiple of every block below.
const CHUNK: u64 = 1 << 20;
/// The smallest run of zeroes left out of a raw file: what most hosts can make a hole of.
const HOLE: usize = 4096;

/// How to write a new image.
#[derive(Clone, Copy, Debug)]
pub struct ExportOptions {
    /// Replace a file that is there already; without it, that is an error.
    pub overwrite: bool,
    /// The new file's permission bits, of which the umask takes away what others may not do.
    pub mode: u32,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { overwrite: false, mode: 0o666 }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The new file's size in bytes.
    pub file_size: u64,
    /// What it takes on the host, in bytes.
    pub allocated: u64,
}

/// Writes `disk` to a new image at `to`: zeroes are left out, everything else is read once, in
/// order. The file appears under its name only when it is complete and on the disk; until then it
/// has none where the host can do that, or else a temporary one in the same folder.
///
/// # Errors
/// [`ImageError::Caller`] when `to` exists and may not be replaced, or is no place for a file;
/// [`ImageError::InUse`] when it exists and is in use; what reading `disk` or writing says.
pub fn export(
    disk: &dyn ReadBlocks,
    to: &Path,
    format: Format,
    options: &ExportOptions,
) -> Result<Exported, ImageError> {
    let folder = folder_of(to);
    let exists = || ImageError::caller(to, "the file exists already");
    match to.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {
            return Err(ImageError::caller(to, "it is a directory"));
        }
        Ok(_) if !options.overwrite => return Err(exists()),
        // A symlink is replaced itself.
        Ok(metadata) if !metadata.is_file() && !metadata.is_symlink() => {
            return Err(ImageError::caller(to, "only a regular file is replaced"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ImageError::io(to, "look at", error)),
    }
    refuse_to_replace_in_use(to)?;
    let failed = |error| ImageError::io(to, "write the image", error);
    let new = NewFile::create_in(folder, options.mode).map_err(failed)?;
    match format {
        Format::Raw => raw(disk, new.file(), &failed)?,
        Format::Qcow2 => qcow2(disk, new.file(), &failed)?,
    }
    new.file().sync_all().map_err(failed)?;
    // Somebody may have come to use it meanwhile.
    refuse_to_replace_in_use(to)?;
    let file = new.persist(to, folder, options.overwrite).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error),
    })?;
    // That it has a name is the file's own to keep, too.
    file.sync_all().map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    Ok(Exported {
        file_size: metadata.len(),
        allocated: std::os::unix::fs::MetadataExt::blocks(&metadata) * 512,
    })
}

/// The folder that a file's path names it in.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Reads what is not known to be zero, in pieces that start at multiples of `unit` and are at most
/// [`CHUNK`] long; the last may end at the disk's end.
fn for_each_chunk(
    disk: &dyn ReadBlocks,
    unit: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let mut buffer = vec![0; CHUNK as usize];
    let mut at = 0;
    while at < disk.len() {
        let end = match disk.extent_at(at)? {
            Extent::Zero(len) => {
                let end = at + len;
                // A unit that is zero only in part has to be read.
                let skipped = if end == disk.len() { end } else { end / unit * unit };
                if skipped > at {
                    at = skipped;
                    continue;
                }
                end
            }
            Extent::Data(len) => at + len,
        };
        let end = end.next_multiple_of(unit).min(disk.len()).min(at + CHUNK);
        let chunk = &mut buffer[..(end - at) as usize];
        disk.read_at(at, chunk)?;
        visit(at, chunk)?;
        at = end;
    }
    Ok(())
}

fn raw(
    disk: &dyn ReadBlocks,
    file: &File,
    failed: &dyn Fn(io::Error) -> ImageError,
) -> Result<(), ImageError> {
    file.set_len(disk.len()).map_err(failed)?;
    for_each_chunk(disk, HOLE as u64, |at, chunk| {
        let mut from = 0;
        while from < chunk.len() {
            let block = |from: usize| &chunk[from..chunk.len().min(from + HOLE)];
            let zero = is_zero(block(from));
            let mut to = from;
            while to < chunk.len() && is_zero(block(to)) == zero {
                to += block(to).len();
            }
            if !zero {
                file.write_all_at(&chunk[from..to], at + from as u64).map_err(failed)?;
            }
            from = to;
        }
        Ok(())
    })
}

fn qcow2(
    disk: &dyn ReadBlocks,
    file: &File,
    failed: &dyn Fn(io::Error) -> ImageError,
) -> Result<(), ImageError> {
    let mut image = Writer::new(file, disk.len()).map_err(failed)?;
    let mut last = vec![0; Writer::CLUSTER as usize];
    for_each_chunk(disk, Writer::CLUSTER, |at, chunk| {
        let mut at = at;
        for cluster in chunk.chunks(Writer::CLUSTER as usize) {
            if !is_zero(cluster) {
                // The disk's last cluster may not be whole; its place in the file is.
                let content = if cluster.len() == last.len() {
                    cluster
                } else {
                    last.fill(0);
                    last[..cluster.len()].copy_from_slice(cluster);
                    &last
                };
                image.cluster(at, content).map_err(failed)?;
            }
            at += cluster.len() as u64;
        }
        Ok(())
    })?;
    image.finish().map_err(failed)
}
