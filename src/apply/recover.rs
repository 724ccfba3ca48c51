//! Finishing, or forgetting, a commit that was stopped.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::ApplyError;
use super::commit::{self, Host, LogSource, Written};
use super::host::FileHost;
use super::redo::{self, Ahead, Log, LogError, Mismatch};
use crate::block::ReadBlocks;
use crate::image::{Access, Format, Image, ImageFile, OpenOptions};

/// What a recovery found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// There was no log: no commit was stopped.
    Nothing,
    /// A commit was stopped before its log was complete: the log was removed, the image is as it
    /// was before.
    Forgotten,
    /// A commit was stopped while it wrote the image: it was finished.
    Finished(Written),
    /// A commit was stopped while it wrote the image: nothing was written, and the image is read as
    /// it will be once a recovery finished it.
    Ahead,
}

/// What a stopped commit left beside an image, found without writing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// No log.
    Nothing,
    /// A log that was never completed; the image is as it was before.
    Unfinished,
    /// A complete log of this image: the image may be half written until a recovery.
    Complete {
        /// How many writes it holds.
        records: u64,
        /// Its size in bytes.
        log_bytes: u64,
    },
}

/// Finishes or forgets the stopped commit of the image at `path`, under the image's exclusive
/// lock. Without a log it does nothing. Stopped itself, it can be run again.
///
/// # Errors
/// The image cannot be opened or locked; the image was changed since, or is another file; the
/// log belongs to another user, is damaged, or of another version (nothing is written and nothing
/// is removed);
/// [`ApplyError::HalfWritten`] when writing failed again.
pub fn recover(path: &Path) -> Result<Recovery, ApplyError> {
    // Looking first spares an image without a log the opening for writing.
    if matches!(pending(path)?, Pending::Nothing) {
        return Ok(Recovery::Nothing);
    }
    // As raw: what is half written need not look like an image of any format.
    let options = OpenOptions { format: Some(Format::Raw), ..OpenOptions::default() };
    let image = Image::open(path, &options, Access::Seal)?;
    let file = image.file().try_clone().map_err(ApplyError::Host)?;
    recover_on(&mut FileHost::new(image.path(), file).map_err(ApplyError::Host)?)
}

/// Opens an image, after the stopped commit of an earlier run was finished or forgotten where the
/// image is opened to be sealed. Opened to be read it is never written: it is read through the log
/// then, as it will be.
///
/// # Errors
/// As [`recover`] and [`Image::open`].
pub fn open(
    path: &Path,
    options: &OpenOptions,
    access: Access,
) -> Result<(Image, Recovery), ApplyError> {
    if access == Access::Seal {
        let recovery = recover(path)?;
        return Ok((Image::open(path, options, access)?, recovery));
    }
    // Locked first: nobody finishes or replaces the commit while it is looked at.
    let file = ImageFile::open(path, access)?;
    let host = file.host();
    match ahead(path, &file)? {
        Some(ahead) => Ok((file.image(options, ahead)?, Recovery::Ahead)),
        None => Ok((file.image(options, host)?, Recovery::Nothing)),
    }
}

/// An image as it will be once its stopped commit is finished; `None` when there is none to finish.
fn ahead(path: &Path, file: &ImageFile) -> Result<Option<Arc<dyn ReadBlocks>>, ApplyError> {
    let metadata = file.file().metadata().map_err(ApplyError::Host)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let image = file.host();
    let file = file.file().try_clone().map_err(ApplyError::Host)?;
    let host = FileHost::new(path, file).map_err(ApplyError::Host)?;
    let Some(log) = host.log_file().map_err(ApplyError::Host)? else { return Ok(None) };
    let log = match Log::open(log) {
        Err(LogError::Incomplete) => return Ok(None),
        other => other.map_err(|error| of_log(host.log_path(), error))?,
    };
    let log = match log.check(&*image).map_err(ApplyError::Log)? {
        Ok(log) => log,
        Err(mismatch) => return Err(not_this_image(&host, mismatch)),
    };
    let ahead = Log::open(log).and_then(|log| Ahead::new(image, log));
    Ok(Some(Arc::new(ahead.map_err(ApplyError::Log)?)))
}

/// What a stopped commit left beside the image at `path`. Reads the log's ends and not every
/// record; writes nothing.
///
/// # Errors
/// The image cannot be read; the log belongs to another file or another user, is damaged (as far
/// as its ends tell), or of another version.
pub fn pending(path: &Path) -> Result<Pending, ApplyError> {
    // Only a regular file is ever written in place. What is wrong with a path that leads to none
    // is for the opening of the image to say.
    if !path.metadata().is_ok_and(|it| it.is_file()) {
        return Ok(Pending::Nothing);
    }
    let host = FileHost::open_read_only(path)?;
    let Some(source) = host.open_log().map_err(ApplyError::Host)? else {
        return Ok(Pending::Nothing);
    };
    match Log::open(source) {
        Err(LogError::Incomplete) => Ok(Pending::Unfinished),
        Err(error) => Err(of_log(host.log_path(), error)),
        Ok(log) => {
            belongs(&host, &log)?;
            Ok(Pending::Complete { records: log.records(), log_bytes: log.length() })
        }
    }
}

/// Makes sure that no log lies where that of a new image at `path` would: the new image would be
/// taken for the one that the log is of, and refused.
///
/// # Errors
/// [`ApplyError::LogOfAnother`] when one does; what the host says.
pub fn no_log_beside(path: &Path) -> Result<(), ApplyError> {
    let log = redo::log_path(path).map_err(ApplyError::Host)?;
    match log.symlink_metadata() {
        Ok(_) => Err(ApplyError::LogOfAnother { log }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ApplyError::Host(error)),
    }
}

/// Finishes or forgets the stopped commit of the host's image, which the caller holds alone.
/// Without a log it does nothing. Stopped itself, it can be run again.
///
/// # Errors
/// The image was changed since, or is another file; the log belongs to another user, is damaged, or
/// of another version (nothing is written and nothing is removed); [`ApplyError::HalfWritten`] when writing failed again.
pub fn recover_on(host: &mut dyn Host) -> Result<Recovery, ApplyError> {
    let Some(source) = host.open_log().map_err(ApplyError::Host)? else {
        return Ok(Recovery::Nothing);
    };
    let log = match Log::open(source) {
        Err(LogError::Incomplete) => {
            host.remove_log().and_then(|()| host.sync_directory()).map_err(|error| {
                let log = host.log_path().display();
                ApplyError::Host(io::Error::new(
                    error.kind(),
                    format!(
                        "the image is untouched, and {log}, which is unfinished, stays: {error}"
                    ),
                ))
            })?;
            return Ok(Recovery::Forgotten);
        }
        other => other.map_err(|error| of_log(host.log_path(), error))?,
    };
    // Every record is read and checked before the first is acted on.
    let image = host.image().map_err(ApplyError::Host)?;
    let source = match log.check(&*image).map_err(ApplyError::Log)? {
        Ok(source) => source,
        Err(mismatch) => return Err(not_this_image(host, mismatch)),
    };
    let log = Log::open(source).map_err(ApplyError::Log)?;
    commit::replay(host, log).map(Recovery::Finished)
}

fn belongs(host: &dyn Host, log: &Log<Box<dyn LogSource>>) -> Result<(), ApplyError> {
    let image = host.image().map_err(ApplyError::Host)?;
    match redo::differs(log.header(), &*image).map_err(|error| ApplyError::Host(error.into()))? {
        None => Ok(()),
        Some(mismatch) => Err(not_this_image(host, mismatch)),
    }
}

fn of_log(path: &Path, error: LogError) -> ApplyError {
    match error {
        LogError::Foreign => ApplyError::NotALog { path: path.to_owned() },
        error => ApplyError::Log(error),
    }
}

fn not_this_image(host: &dyn Host, mismatch: Mismatch) -> ApplyError {
    ApplyError::NotThisImage { mismatch, log: host.log_path().to_owned() }
}
