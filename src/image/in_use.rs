//! Opening a file that nobody else uses, and replacing one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{Access, ImageError, lock, loop_device};

/// Opens a regular file or a block device for `access`, and locks it: nobody has it open in a way
/// that is not compatible, no loop device has it, and nothing mounts a block device meanwhile.
/// `doing` says what for, in an error.
///
/// # Errors
/// [`ImageError::InUse`] when it is used; [`ImageError::Caller`] when it cannot be written, and
/// [`ImageError::Io`] when it cannot be opened.
pub(super) fn open(path: &Path, access: Access, doing: &'static str) -> Result<File, ImageError> {
    let failed = |error| ImageError::io(path, doing, error);
    let is_device = path.metadata().map_err(failed)?.file_type().is_block_device();
    // Without O_CREAT this is for block devices alone: open(2) fails where the kernel itself has
    // one in use, and keeps it from that as long as the file is open.
    let exclusive = if is_device { OFlags::EXCL } else { OFlags::empty() };
    let file = OpenOptions::new()
        .read(true)
        .write(access == Access::Seal)
        .custom_flags((OFlags::NONBLOCK | exclusive).bits() as i32)
        .open(path)
        .map_err(|error| match (error.kind(), access) {
            (io::ErrorKind::ResourceBusy, _) if is_device => ImageError::InUse {
                path: path.to_owned(),
                how: "the block device is mounted, part of another device (device mapper, MD), or \
                      open elsewhere; unmount it or give it free first"
                    .to_owned(),
            },
            (
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::ExecutableFileBusy,
                Access::Seal,
            ) => ImageError::caller(path, format!("it cannot be written: {error}")),
            _ => failed(error),
        })?;
    loop_device::refuse(&file.metadata().map_err(failed)?, path, access)?;
    lock::lock(&file, path, access)?;
    Ok(file)
}

/// Makes sure that the file at `path` may be replaced by another: whoever has it open would go on
/// with the old one, which has no name then. Only a regular file can be in use so; a symlink is
/// replaced itself.
///
/// # Errors
/// [`ImageError::InUse`] when it is open elsewhere, or attached to a loop device;
/// [`ImageError::Io`] when it cannot be looked at.
pub fn refuse_to_replace_in_use(path: &Path) -> Result<(), ImageError> {
    let failed = |error| ImageError::io(path, "see whether it is in use", error);
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32)
        .open(path)
        .map_err(failed)?;
    loop_device::refuse(&file.metadata().map_err(failed)?, path, Access::Seal)?;
    lock::refuse_held(&file, path)
}
