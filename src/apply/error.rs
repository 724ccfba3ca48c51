//! Why a plan was not applied, or a commit not finished.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::redo::{LogError, Mismatch};
use super::verify::Finding;
use crate::block::BlockError;
use crate::fs::FsError;
use crate::guest::GuestError;
use crate::image::ImageError;
use crate::path::GuestPath;
use crate::plan::PlanError;
use crate::volume::{VolumeError, VolumeId};

/// How many findings an error's text names.
const SHOWN: usize = 10;

/// How many changed paths it names: a line is enough to see what became of the image.
const SHOWN_CHANGED: usize = 3;

/// What to do about a damaged filesystem.
pub const REPAIR: &str = "repair the filesystem first, with e2fsck -f or fsck.vfat";

/// A path that is not as the plan saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The guest, by its place in the plan.
    pub guest: u32,
    /// The path in the guest.
    pub path: GuestPath,
    /// The change it is about, by its id in the plan.
    pub change: u32,
}

/// A log that is left beside an untouched image.
#[derive(Debug)]
pub struct LeftLog {
    /// Why it could not be removed.
    pub source: io::Error,
    /// Whether it has its trailer: a recovery seals the image by it. Without one it means nothing,
    /// and the next run removes it.
    pub is_complete: bool,
}

/// Why applying stopped.
///
/// The caller's: `RecoveryPending`, `NotThisImage`, `LogOfAnother`, `NotALog`,
/// `WrongImage`, `ChangedSince`, `NotWritable`, `NoRoom`.
/// Unsupported: `CannotEdit`. Corrupt: `Log`, `Inconsistent`, and what `Image`, `Volume`, `Fs`, `Guest`, `Plan` and
/// `Block` say in their own families. The host's: `Host`, `LogNotWritten`, `HalfWritten`,
/// `LogNotRemoved`. Ours: `NotAsPlanned`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// An earlier commit of this image was stopped; it has to be recovered first.
    RecoveryPending,
    /// The image is not what the stopped commit left: it was changed since, or is another file.
    /// Nothing was written.
    NotThisImage {
        /// Where it is not.
        mismatch: Mismatch,
        /// The log.
        log: PathBuf,
    },
    /// Where a new image is to be, the log of another lies.
    LogOfAnother {
        /// The log.
        log: PathBuf,
    },
    /// The file that has the name of the image's log is none. Nothing was written and nothing
    /// removed.
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The log cannot be used. Nothing was written and nothing removed.
    Log(LogError),
    /// The plan was made for another image, or is none.
    WrongImage(String),
    /// What the plan saw has changed since. Nothing was written.
    ChangedSince(Vec<Changed>),
    /// The image was opened for reading only.
    NotWritable,
    /// The driver of a planned filesystem cannot edit.
    CannotEdit {
        /// The volume.
        volume: VolumeId,
        /// The driver's name.
        driver: &'static str,
    },
    /// A filesystem was inconsistent before the edit, and the edit came of it wrong. Nothing was
    /// written.
    Inconsistent {
        /// The volume.
        volume: VolumeId,
        /// The first thing that is wrong with it.
        problem: String,
    },
    /// The staged image is not what the plan says: an editor is wrong. Nothing was written.
    NotAsPlanned {
        /// The volume.
        volume: VolumeId,
        /// What is not as planned; at most a hundred.
        findings: Vec<Finding>,
        /// How many more there are.
        more: u64,
    },
    /// The image's format.
    Image(ImageError),
    /// The disk's layout.
    Volume(VolumeError),
    /// A filesystem.
    Fs {
        /// The volume.
        volume: VolumeId,
        /// The path within it, where it is about one.
        path: Option<GuestPath>,
        /// What it said.
        source: FsError,
    },
    /// Something did not fit in a filesystem. Nothing was written.
    NoRoom {
        /// The volume.
        volume: VolumeId,
        /// The path within it.
        path: GuestPath,
        /// How many bytes of storage the files to be written take, at least.
        needed: u64,
        /// How many were free before.
        free: u64,
    },
    /// Opening the staged disk to plan again.
    Guest(GuestError),
    /// Planning again.
    Plan(PlanError),
    /// Reading the image.
    Block(BlockError),
    /// The host failed before anything was written.
    Host(io::Error),
    /// The log could not be written, or there is no space for what is to be written into the image,
    /// which is untouched.
    LogNotWritten {
        /// What the host said.
        source: io::Error,
        /// The log, where it could not be removed.
        leftover: Option<LeftLog>,
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
            Self::NotThisImage { mismatch, log } => write!(
                f,
                "the image was changed after the interrupted seal, or is another file: {mismatch}; \
                 nothing was written. To give up that seal, delete {}; what it wrote until it was \
                 interrupted stays, so check the filesystems then, or restore the image from a copy",
                log.display()
            ),
            Self::LogOfAnother { log } => write!(
                f,
                "beside it lies {}, the log of an interrupted seal, which a new image of this name \
                 would be taken for: finish that seal with 'sysprep-rs recover IMAGE', or delete \
                 the log",
                log.display()
            ),
            Self::NotALog { path } => write!(
                f,
                "{} has the name of this image's redo log and is none; move it away or delete it \
                 first; nothing was written",
                path.display()
            ),
            Self::WrongImage(why) => write!(f, "the plan is not for this image: {why}"),
            Self::ChangedSince(changed) => {
                write!(
                    f,
                    "{} of the plan's paths changed since it was made; plan again: ",
                    changed.len()
                )?;
                list(f, changed.iter().map(|changed| &changed.path), SHOWN_CHANGED, 0)
            }
            Self::NotWritable => f.write_str("the image was opened for reading only"),
            Self::CannotEdit { volume, driver } => {
                write!(f, "not supported: editing {driver} (on {volume})")
            }
            Self::NotAsPlanned { volume, findings, more } => {
                write!(
                    f,
                    "the result was read back and is not what the plan says; nothing was written. \
                     This is a bug in sysprep-rs: please report it. On {volume}: "
                )?;
                list(f, findings.iter(), SHOWN, *more)
            }
            Self::Inconsistent { volume, problem } => inconsistent(f, volume, problem),
            Self::Image(error) => error.fmt(f),
            Self::Volume(error) => error.fmt(f),
            Self::Fs { volume, source: source @ FsError::Corrupt(_), .. } => {
                inconsistent(f, volume, source)
            }
            Self::Fs { volume, path: Some(path), source } => {
                write!(f, "{path} on {volume}: {source}")
            }
            Self::NoRoom { volume, path, needed, free } => write!(
                f,
                "{path} on {volume}: no space left in the filesystem (blocks, or inodes): the files \
                 to be written need {needed} bytes and {free} bytes were free; make room, or write \
                 less"
            ),
            Self::Fs { volume, path: None, source } => write!(f, "{volume}: {source}"),
            Self::Guest(error) => error.fmt(f),
            Self::Plan(error) => write!(f, "planning again: {error}"),
            Self::Block(error) => error.fmt(f),
            Self::Log(error @ LogError::Damaged { .. }) => write!(
                f,
                "{error}; the image may be half written: restore it from a copy, or remove the log \
                 to go on with the image as it is"
            ),
            Self::Log(error) => error.fmt(f),
            Self::Host(error) => error.fmt(f),
            Self::LogNotWritten { source, leftover: None } => {
                write!(
                    f,
                    "the seal could not be logged beside the image: {source}; the image is \
                     untouched (--output NEW seals into another folder)"
                )
            }
            Self::LogNotWritten {
                source,
                leftover: Some(LeftLog { source: why, is_complete }),
            } => {
                write!(
                    f,
                    "the seal could not be logged beside the image: {source}; the image is \
                     untouched, but "
                )?;
                if *is_complete {
                    write!(
                        f,
                        "its redo log, which is complete, could not be removed: {why}; \
                         'sysprep-rs recover IMAGE' seals the image by it"
                    )
                } else {
                    write!(f, "the unfinished log could not be removed: {why}")
                }
            }
            Self::HalfWritten { source } => write!(
                f,
                "writing the image failed: {source}; it is half written, and everything still to \
                 be written is safe in the redo log: once the cause is gone, finish with \
                 'sysprep-rs recover IMAGE'"
            ),
            Self::LogNotRemoved { source } => write!(
                f,
                "the image is sealed, but its redo log could not be removed: {source}; \
                 'sysprep-rs recover IMAGE' does that"
            ),
        }
    }
}

/// What is wrong with a filesystem on the disk and what mends it.
fn inconsistent(
    f: &mut fmt::Formatter<'_>,
    volume: &VolumeId,
    problem: &dyn fmt::Display,
) -> fmt::Result {
    write!(
        f,
        "the filesystem on {volume} is inconsistent: {problem}; nothing was written: {REPAIR}"
    )
}

/// The first few of many, and how many more there are.
fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl ExactSizeIterator<Item = T>,
    shown: usize,
    more: u64,
) -> fmt::Result {
    let more = more + items.len().saturating_sub(shown) as u64;
    for (n, item) in items.take(shown).enumerate() {
        write!(f, "{}{item}", if n == 0 { "" } else { "; " })?;
    }
    if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
}

impl ApplyError {
    /// Whether the image is damaged, or half written by a seal that was interrupted.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Inconsistent { .. }
                | Self::Fs { source: FsError::Corrupt(_), .. }
                | Self::Image(ImageError::Corrupt { .. })
                | Self::Volume(VolumeError::Corrupt { .. })
                | Self::Guest(GuestError::Layout(VolumeError::Corrupt { .. }))
        )
    }

    /// A filesystem's error that is about no one path.
    pub(super) fn fs(volume: &VolumeId, source: FsError) -> Self {
        Self::Fs { volume: volume.clone(), path: None, source }
    }
}

impl From<ImageError> for ApplyError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<VolumeError> for ApplyError {
    fn from(error: VolumeError) -> Self {
        Self::Volume(error)
    }
}

impl From<GuestError> for ApplyError {
    fn from(error: GuestError) -> Self {
        Self::Guest(error)
    }
}

impl From<PlanError> for ApplyError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<BlockError> for ApplyError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Image(error) => Some(error),
            Self::Volume(error) => Some(error),
            Self::Fs { source, .. } => Some(source),
            Self::Guest(error) => Some(error),
            Self::Plan(error) => Some(error),
            Self::Block(error) => Some(error),
            Self::Log(error) => Some(error),
            Self::Host(source)
            | Self::LogNotWritten { source, .. }
            | Self::HalfWritten { source }
            | Self::LogNotRemoved { source } => Some(source),
            Self::RecoveryPending
            | Self::NotThisImage { .. }
            | Self::LogOfAnother { .. }
            | Self::NotALog { .. }
            | Self::WrongImage(_)
            | Self::ChangedSince(_)
            | Self::NotWritable
            | Self::CannotEdit { .. }
            | Self::NoRoom { .. }
            | Self::Inconsistent { .. }
            | Self::NotAsPlanned { .. } => None,
        }
    }
}
