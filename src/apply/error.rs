//! Why a plan was not applied, or a commit not finished.

use std::fmt;
use std::io;

use super::redo::{LogError, Mismatch};

/// Why applying stopped.
///
/// The caller's: `RecoveryPending`, `NotThisImage`. The host's: `Host`, `LogNotWritten`,
/// `HalfWritten`, `LogNotRemoved`. Corrupt: `Log`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// An earlier commit of this image was stopped; it has to be recovered first.
    RecoveryPending,
    /// The log beside the image was written for another file. Nothing was written.
    NotThisImage(Mismatch),
    /// The log cannot be used. Nothing was written and nothing removed.
    Log(LogError),
    /// The host failed before anything was written.
    Host(io::Error),
    /// The log could not be written (no space?): the image is untouched.
    LogNotWritten {
        /// What the host said.
        source: io::Error,
        /// Why the unfinished log could not be removed, where it could not. It means nothing and
        /// the next run removes it.
        leftover: Option<io::Error>,
    },
    /// Writing the image in place failed: it is half written, the log is complete and stays, and
    /// a recovery finishes the work.
    HalfWritten {
        /// What the host said.
        source: io::Error,
    },
    /// The image is done and durable, only its log could not be removed: a recovery does that.
    LogNotRemoved {
        /// What the host said.
        source: io::Error,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecoveryPending => f.write_str(
                "an earlier run was stopped while it wrote this image; finish it with \
                 'sysprep-rs recover IMAGE'",
            ),
            Self::NotThisImage(mismatch) => write!(
                f,
                "the redo log beside this image belongs to another file: {mismatch}; put the image \
                 it was written for back and recover that, or remove the log if that image is gone"
            ),
            Self::Log(error @ LogError::Damaged { .. }) => write!(
                f,
                "{error}; the image may be half written: restore it from a copy, or remove the log \
                 to go on with the image as it is"
            ),
            Self::Log(error) => error.fmt(f),
            Self::Host(error) => error.fmt(f),
            Self::LogNotWritten { source, leftover: None } => {
                write!(f, "the redo log could not be written: {source}; the image is untouched")
            }
            Self::LogNotWritten { source, leftover: Some(leftover) } => write!(
                f,
                "the redo log could not be written: {source}; the image is untouched, but the \
                 unfinished log could not be removed: {leftover}"
            ),
            Self::HalfWritten { source } => write!(
                f,
                "writing the image failed: {source}; it is half written, and everything still to \
                 be written is safe in the redo log: once the cause is gone, finish with \
                 'sysprep-rs recover IMAGE'"
            ),
            Self::LogNotRemoved { source } => write!(
                f,
                "the image is complete, but its redo log could not be removed: {source}; \
                 'sysprep-rs recover IMAGE' does that"
            ),
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log(error) => Some(error),
            Self::Host(source)
            | Self::LogNotWritten { source, .. }
            | Self::HalfWritten { source }
            | Self::LogNotRemoved { source } => Some(source),
            Self::RecoveryPending | Self::NotThisImage(_) => None,
        }
    }
}
