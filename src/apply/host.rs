//! The real host: an image file, and the log file beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use super::ApplyError;
use super::commit::{Host, LogSource};
use super::prove::Size;
use super::redo::log_path;
use crate::block::{HostFile, ReadBlocks};

/// How many zero bytes are written at a time where the host makes no holes.
const FILL: usize = 1 << 20;

/// The block of most hosts.
const BLOCK: u64 = 4096;

/// An image file with its redo log beside it, in the same directory.
#[derive(Debug)]
pub struct FileHost {
    image: File,
    log_path: PathBuf,
    directory: File,
    log: Option<File>,
    makes_holes: bool,
    /// What was reserved, to be given back.
    reserved: Vec<(u64, u64)>,
}

impl FileHost {
    /// An image that is open for writing already, by whoever holds its lock. Symlinks in `path`
    /// are resolved: the log lies beside the file itself.
    ///
    /// # Errors
    /// `Unsupported` when it is not a regular file: a block device has no directory beside it that
    /// would outlive a crash. What the host says.
    pub fn new(path: &Path, image: File) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let (metadata, named) = (image.metadata()?, std::fs::metadata(&path)?);
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only a regular file can be written in place; use --output for anything else",
            ));
        }
        if (metadata.dev(), metadata.ino()) != (named.dev(), named.ino()) {
            return Err(io::Error::other("the image was replaced by another file meanwhile"));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok(Self {
            image,
            log_path: log_path(&path)?,
            directory: File::open(parent)?,
            log: None,
            makes_holes: true,
            reserved: Vec::new(),
        })
    }

    /// Opens an image for reading: enough to look at its log.
    ///
    /// # Errors
    /// What the host says.
    pub fn open_read_only(path: &Path) -> Result<Self, ApplyError> {
        File::open(path).and_then(|file| Self::new(path, file)).map_err(ApplyError::Host)
    }

    /// The image file's size.
    ///
    /// # Errors
    /// What the host says.
    pub fn size(&self) -> io::Result<Size> {
        let metadata = self.image.metadata()?;
        Ok(Size { file: metadata.len(), allocated: metadata.blocks() * 512 })
    }

    /// Opens the log to read it; `None` when there is none.
    ///
    /// # Errors
    /// What the host says; `PermissionDenied` when somebody else put it there.
    pub(super) fn log_file(&self) -> io::Result<Option<File>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let log = match OpenOptions::new().read(true).custom_flags(flags).open(&self.log_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| {
                let log = self.log_path.display();
                // O_NOFOLLOW's word for it is of no help.
                let problem = match Errno::from_io_error(&error) {
                    Some(Errno::LOOP) => format!(
                        "{log} has the name of this image's redo log and is a symlink, which no \
                         log is; move it away or delete it first"
                    ),
                    _ => format!("opening the redo log {log}: {error}"),
                };
                io::Error::new(error.kind(), problem)
            })?,
        };
        let metadata = log.metadata()?;
        // Acting on a log that somebody else put beside the image would write what they want.
        let trusted = [0, rustix::process::geteuid().as_raw(), self.image.metadata()?.uid()];
        if !metadata.is_file() || !trusted.contains(&metadata.uid()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} is not a file of this user, of root, or of the image's owner",
                    self.log_path.display()
                ),
            ));
        }
        Ok(Some(log))
    }

    fn log(&mut self) -> io::Result<&mut File> {
        self.log.as_mut().ok_or_else(|| io::Error::other("no redo log was created"))
    }

    /// Where the data nearest to `at` lies, from `at` on and before `end`. A host that cannot tell
    /// has it everywhere.
    fn data(&self, at: u64, end: u64) -> Option<(u64, u64)> {
        if at >= end {
            return None;
        }
        let data = match seek(&self.image, SeekFrom::Data(at)) {
            Ok(data) if data >= end => return None,
            Ok(data) => data.max(at),
            Err(Errno::NXIO) => return None,
            Err(_) => at,
        };
        let hole = match seek(&self.image, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => hole.min(end),
            _ => end,
        };
        Some((data, hole))
    }

    /// Takes the space of a hole; whether the host can.
    fn allocate(&mut self, at: u64, len: u64) -> io::Result<bool> {
        let blocks = self.blocks_around(at, at + len);
        match retry(|| fallocate(&self.image, FallocateFlags::KEEP_SIZE, at, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            result => {
                // It may have got part of it before it failed.
                self.reserved.push(blocks);
                Ok(result.map(|()| true)?)
            }
        }
    }

    /// The range of whole blocks around a part of a hole, as far as they are in the hole as well:
    /// only a whole block can be given back.
    fn blocks_around(&self, start: u64, end: u64) -> (u64, u64) {
        let is_hole = |at, end| self.data(at, end).is_none();
        let before = start - start % BLOCK;
        let first = if is_hole(before, start) { before } else { start };
        let after = end.next_multiple_of(BLOCK);
        let last = if is_hole(end, after) { after } else { end };
        (first, last - first)
    }

    /// Makes a range that holds data a hole, or fills it with zeroes.
    fn release(&mut self, at: u64, len: u64) -> io::Result<()> {
        if self.makes_holes {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match retry(|| fallocate(&self.image, flags, at, len)) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.makes_holes = false,
                other => return Ok(other?),
            }
        }
        let end = at.saturating_add(len).min(self.image.metadata()?.len());
        let mut buffer = vec![0; FILL];
        let mut at = at;
        while at < end {
            let part = (end - at).min(FILL as u64) as usize;
            self.image.read_exact_at(&mut buffer[..part], at)?;
            // Writing what is there already would only allocate it.
            if buffer[..part].iter().any(|&byte| byte != 0) {
                buffer[..part].fill(0);
                self.image.write_all_at(&buffer[..part], at)?;
            }
            at += part as u64;
        }
        Ok(())
    }
}

/// Calls again when a signal came in between.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

impl Host for FileHost {
    fn image(&self) -> io::Result<Arc<dyn ReadBlocks>> {
        Ok(Arc::new(HostFile::from_file(self.image.try_clone()?)?))
    }

    fn reserve(&mut self, ranges: &[(u64, u64)]) -> io::Result<()> {
        for &(start, len) in ranges {
            let (mut at, end) = (start, start.saturating_add(len));
            while at < end {
                let (data, hole) = self.data(at, end).unwrap_or((end, end));
                if data > at && !self.allocate(at, data - at)? {
                    return Ok(());
                }
                at = hole;
            }
        }
        Ok(())
    }

    fn give_back(&mut self) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if self.reserved.is_empty() {
            return Ok(());
        }
        for (at, len) in std::mem::take(&mut self.reserved) {
            retry(|| fallocate(&self.image, flags, at, len))?;
        }
        // What lies behind the end is given back by cutting the file where it ends.
        self.image.set_len(self.image.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.image.set_len(len)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.image.write_all_at(bytes, at)
    }

    fn punch(&mut self, at: u64, len: u64) -> io::Result<u64> {
        let end = at.saturating_add(len);
        let mut at = at;
        let mut released = 0;
        while let Some((data, hole)) = self.data(at, end) {
            self.release(data, hole - data)?;
            released += hole - data;
            at = hole;
        }
        Ok(released)
    }

    fn sync_image(&mut self) -> io::Result<()> {
        self.image.sync_all()
    }

    fn create_log(&mut self) -> io::Result<()> {
        // It holds what the image holds: nobody else's to read.
        let log =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.log_path)?;
        self.log = Some(log);
        Ok(())
    }

    fn append_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log()?.write_all(bytes)
    }

    fn sync_log(&mut self) -> io::Result<()> {
        self.log()?.sync_all()
    }

    fn open_log(&self) -> io::Result<Option<Box<dyn LogSource>>> {
        Ok(self.log_file()?.map(|log| Box::new(log) as _))
    }

    fn log_path(&self) -> &Path {
        &self.log_path
    }

    fn remove_log(&mut self) -> io::Result<()> {
        self.log = None;
        std::fs::remove_file(&self.log_path)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.directory.sync_all()
    }
}
