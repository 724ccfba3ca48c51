//! The file for staged bytes that memory has no room for.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::BlockError;
use super::file::check_file_size_limit;

/// A temporary file without a name, made when it is first needed. The host frees it when the
/// program ends, however it ends.
pub(super) struct Spill {
    folder: PathBuf,
    file: Option<File>,
    /// Where the next bytes go. What was dropped since is not used again: the file grows by what
    /// is spilled, which is less than what is written to the overlay.
    end: u64,
}

impl Spill {
    /// A file in `folder`, or in the system's temporary folder where none can be made there.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, end: 0 }
    }

    /// Adds bytes; gives where they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, BlockError> {
        let place = self.end;
        let end = place + bytes.len() as u64;
        check_file_size_limit(end).map_err(|source| self.failed(source))?;
        self.open()?;
        self.write_at(place, bytes)?;
        self.end = end;
        Ok(place)
    }

    /// Writes over bytes that were added.
    pub(super) fn write_at(&self, place: u64, bytes: &[u8]) -> Result<(), BlockError> {
        self.file()?.write_all_at(bytes, place).map_err(|source| self.failed(source))
    }

    /// Reads bytes that were added.
    pub(super) fn read_at(&self, place: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        self.file()?.read_exact_at(dst, place).map_err(|source| self.failed(source))
    }

    fn open(&mut self) -> Result<(), BlockError> {
        if self.file.is_some() {
            return Ok(());
        }
        let file = tempfile::tempfile_in(&self.folder).or_else(|error| {
            let folder = env::temp_dir();
            // Where that has none either, what the first folder says is what can be mended.
            let file = tempfile::tempfile_in(&folder).map_err(|_| error)?;
            self.folder = folder;
            Ok(file)
        });
        self.file = Some(file.map_err(|source| self.failed(source))?);
        Ok(())
    }

    fn file(&self) -> Result<&File, BlockError> {
        self.file.as_ref().ok_or_else(|| self.failed(io::ErrorKind::NotFound.into()))
    }

    fn failed(&self, source: io::Error) -> BlockError {
        BlockError::Spill { folder: self.folder.clone(), source }
    }
}
