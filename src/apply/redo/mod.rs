//! The redo log: everything a commit will write, beside the image, before the image is touched.
//!
//! A log is `header, records, trailer`, all integers little-endian:
//!
//! | part    | holds |
//! |---------|-------|
//! | header  | magic, version, the image's length before and after, samples of bytes the commit does not touch (so that a log is never applied to another file), how many bytes become zero (which tells how they are sampled), checksum |
//! | records | where, how long, digests of what was there before, and bytes or "zeroes"; each with a checksum |
//! | trailer | number of records, the log's length, a digest of header and records, checksum |
//!
//! The trailer is written after header and records are durable. So a log without a trailer was
//! never acted on and may be thrown away, and a log with one whose records do not match it was
//! damaged since: the image may be half written, and the log must be kept.

mod ahead;
mod header;
mod identity;
mod reader;
mod record;
mod touched;
mod trailer;
mod writer;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::block::BlockError;

pub use ahead::Ahead;
pub use header::{Header, Sample};
pub use identity::{Mismatch, differs, samples};
pub use reader::{Entry, Log};
pub use record::Record;
pub use writer::{Sink, Writer};

/// What ends a log's file name.
const SUFFIX: &str = ".sysprep-redo";

/// The longest file name Linux takes (NAME_MAX).
const NAME_MAX: usize = 255;

/// Where the log of `image` lies: in the same directory, `.NAME.sysprep-redo`; a name that would
/// be too long is replaced by its digest. `image` must not be a symlink (the caller resolves it).
///
/// # Errors
/// The path has no file name.
pub fn log_path(image: &Path) -> io::Result<PathBuf> {
    let name = image.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the image's path has no file name")
    })?;
    let mut log = std::ffi::OsString::from(".");
    if 1 + name.len() + SUFFIX.len() > NAME_MAX {
        log.push(blake3::hash(name.as_encoded_bytes()).to_hex().as_str());
    } else {
        log.push(name);
    }
    log.push(SUFFIX);
    Ok(image.with_file_name(log))
}

/// The name of the image that a log of this name is of; `None` where it is no log's name, or one
/// with a digest in place of a name that was too long.
pub fn image_of(log: &OsStr) -> Option<&OsStr> {
    let name = log.as_bytes().strip_prefix(b".")?.strip_suffix(SUFFIX.as_bytes())?;
    let is_digest = name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit);
    (!name.is_empty() && !is_digest).then(|| OsStr::from_bytes(name))
}

/// Why a log cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// It has no valid trailer: it was never finished, so the image was never touched.
    Incomplete,
    /// It has neither a log's end nor a log's beginning: another file of that name.
    Foreign,
    /// It was finished, and its content is not what was written.
    Damaged {
        /// Byte offset in the log.
        at: u64,
        /// What is wrong there.
        problem: String,
    },
    /// It was written by another version of the format.
    Version(u32),
    /// Reading it failed.
    Io(io::Error),
}

impl LogError {
    fn damaged(at: u64, problem: impl fmt::Display) -> Self {
        Self::Damaged { at, problem: problem.to_string() }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the redo log was never finished"),
            Self::Foreign => f.write_str("it is no redo log"),
            Self::Damaged { at, problem } => {
                write!(f, "the redo log is damaged at byte {at}: {problem}")
            }
            Self::Version(version) => {
                write!(
                    f,
                    "the redo log has format version {version}, which this program cannot read"
                )
            }
            Self::Io(error) => write!(f, "reading the redo log: {error}"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BlockError> for LogError {
    fn from(error: BlockError) -> Self {
        Self::Io(error.into())
    }
}

#[cfg(test)]
mod tests;
