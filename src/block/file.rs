//! A host file, or host block device, that is only read.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{BlockError, Extent, ReadBlocks, check_range};

/// A host file or block device, read with positional reads; holes are [`Extent::Zero`].
///
/// Its size is taken once, when it is opened. A file that is cut short meanwhile gives
/// [`BlockError::Io`] where bytes are missing.
#[derive(Debug)]
pub struct HostFile {
    file: File,
    len: u64,
}

impl HostFile {
    /// Opens `path` for reading only.
    ///
    /// # Errors
    /// What the host says; `InvalidInput` when `path` is neither a file nor a block device.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_file(File::open(path)?)
    }

    /// Wraps a file that is open for reading. The file's own position is not kept.
    ///
    /// # Errors
    /// What the host says; `InvalidInput` when it is neither a file nor a block device.
    pub fn from_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let len = if kind.is_file() {
            metadata.len()
        } else if kind.is_block_device() {
            // A block device's metadata has no size; its end has.
            seek(&file, SeekFrom::End(0))?
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a file nor a block device",
            ));
        };
        Ok(Self { file, len })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadBlocks for HostFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.len)?;
        self.file.read_exact_at(dst, at).map_err(|source| BlockError::Io { at, source })
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        if at >= self.len {
            return Err(BlockError::OutOfRange { at, len: 1, size: self.len });
        }
        let rest = self.len - at;
        match seek(&self.file, SeekFrom::Data(at)) {
            Ok(data) if data > at => Ok(Extent::Zero(data.min(self.len) - at)),
            Ok(_) => match seek(&self.file, SeekFrom::Hole(at)) {
                Ok(hole) if hole > at => Ok(Extent::Data(hole.min(self.len) - at)),
                _ => Ok(Extent::Data(rest)),
            },
            // No data up to the end of the file, as the file is now: a file that was cut short
            // must fail when read, not read as zeroes.
            Err(Errno::NXIO) => match self.file.metadata() {
                Ok(metadata) if metadata.is_file() && metadata.len() >= self.len => {
                    Ok(Extent::Zero(rest))
                }
                _ => Ok(Extent::Data(rest)),
            },
            // A host filesystem or device that cannot tell: everything has to be read.
            Err(_) => Ok(Extent::Data(rest)),
        }
    }
}

/// Checks that this process may write a file up to byte `end`: the signal that a write behind the
/// limit raises would end the program half-way.
///
/// # Errors
/// `FileTooLarge`, with the limit.
pub fn check_file_size_limit(end: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < end => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("files of this process end at {limit} bytes (ulimit -f)"),
        )),
        _ => Ok(()),
    }
}
