//! Why an image cannot be opened, edited or written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::block::BlockError;

/// Why an image cannot be opened, edited or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// The caller named something that cannot be used as asked.
    Caller {
        /// The file concerned.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The image is open elsewhere.
    InUse {
        /// The image.
        path: PathBuf,
        /// How it is used, as far as can be told, and what to do about it.
        how: String,
    },
    /// The image uses something that is not supported here.
    Unsupported {
        /// The feature, by the name its format gives it.
        what: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// The image contradicts itself.
    Corrupt {
        /// The on-disk structure.
        structure: &'static str,
        /// Byte offset in the image file.
        at: u64,
        /// What was found, and what was expected.
        message: String,
    },
    /// The host failed.
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the host said.
        source: io::Error,
    },
    /// A device failed.
    Block(BlockError),
}

impl ImageError {
    pub(super) fn caller(path: &Path, message: impl Into<String>) -> Self {
        Self::Caller { path: path.to_owned(), message: message.into() }
    }

    pub(super) fn unsupported(what: impl Into<String>, remedy: &str) -> Self {
        let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
        Self::Unsupported { what: what.into(), remedy }
    }

    pub(super) fn corrupt(structure: &'static str, at: u64, message: impl Into<String>) -> Self {
        Self::Corrupt { structure, at, message: message.into() }
    }

    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), doing, source }
    }

    /// The same error as a device's error: what a reader of the guest's disk sees.
    pub(super) fn at(self, at: u64) -> BlockError {
        match self {
            Self::Block(error) => error,
            Self::Io { source, .. } => BlockError::Io { at, source },
            other => {
                BlockError::Io { at, source: io::Error::new(io::ErrorKind::InvalidData, other) }
            }
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller { path, message } => write!(f, "{}: {message}", path.display()),
            Self::InUse { path, how } => write!(f, "{}: {how}", path.display()),
            Self::Unsupported { what, remedy: None } => write!(f, "not supported: {what}"),
            Self::Unsupported { what, remedy: Some(remedy) } => {
                write!(f, "not supported: {what}; {remedy}")
            }
            Self::Corrupt { structure, at, message } => {
                write!(f, "corrupt {structure} at byte {at} of the image: {message}")
            }
            Self::Io { path, doing, source } => {
                write!(f, "{}: cannot {doing}: {source}", path.display())
            }
            Self::Block(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Block(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BlockError> for ImageError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}
