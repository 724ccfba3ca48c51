//! The locks by which QEMU tells others that it uses an image.
//!
//! QEMU holds byte-range locks of the open file description on the image itself: byte `100 + p`
//! is read-locked while it has permission `p`, byte `200 + p` while it does not let others have
//! it (`block/file-posix.c`). The same locks keep two runs of this program apart.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{Access, ImageError};

/// Where the bytes of held permissions start.
const HELD: i64 = 100;
/// Where the bytes of permissions denied to others start.
const DENIED: i64 = 200;
/// How many permissions there are, and have been.
const PERMISSIONS: i64 = 5;
/// To read consistent content.
const READ: i64 = 0;
/// To write.
const WRITE: i64 = 1;
/// To change the size.
const RESIZE: i64 = 3;

/// Takes the locks that `access` needs; they last as long as `file` is open.
///
/// # Errors
/// [`ImageError::InUse`] when another process holds what is not compatible.
pub(super) fn lock(file: &File, path: &Path, access: Access) -> Result<(), ImageError> {
    match access {
        // Nobody else may even read: they would see a change halfway.
        Access::Seal => {
            take(file, path, libc::F_WRLCK, HELD, PERMISSIONS)?;
            take(file, path, libc::F_WRLCK, DENIED, PERMISSIONS)
        }
        Access::Audit => {
            take(file, path, libc::F_RDLCK, HELD + READ, 1)?;
            take(file, path, libc::F_RDLCK, DENIED + WRITE, 1)?;
            take(file, path, libc::F_RDLCK, DENIED + RESIZE, 1)?;
            // What a reader holds must not be held against it, so only these bytes are asked for.
            for byte in [HELD + WRITE, HELD + RESIZE, DENIED + READ] {
                if is_held(file, path, byte, 1)? {
                    return Err(in_use(path));
                }
            }
            Ok(())
        }
    }
}

/// Takes no lock, and fails when another process holds any.
///
/// # Errors
/// [`ImageError::InUse`] when one does.
pub(super) fn refuse_held(file: &File, path: &Path) -> Result<(), ImageError> {
    for start in [HELD, DENIED] {
        if is_held(file, path, start, PERMISSIONS)? {
            return Err(in_use(path));
        }
    }
    Ok(())
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

fn take(file: &File, path: &Path, kind: i32, start: i64, len: i64) -> Result<(), ImageError> {
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&range(kind, start, len))) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(in_use(path)),
        Err(errno) => without_locks(path, errno),
    }
}

fn is_held(file: &File, path: &Path, start: i64, len: i64) -> Result<bool, ImageError> {
    let mut asked = range(libc::F_WRLCK, start, len);
    match fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut asked)) {
        Ok(_) => Ok(i32::from(asked.l_type) != libc::F_UNLCK),
        Err(errno) => without_locks(path, errno).map(|()| false),
    }
}

fn in_use(path: &Path) -> ImageError {
    ImageError::InUse {
        path: path.to_owned(),
        how: "the image is in use by another process (QEMU, or another run of this program); \
              shut the guest down or wait"
            .to_owned(),
    }
}

/// A host filesystem without these locks cannot say that an image is in use; QEMU goes on too.
fn without_locks(path: &Path, errno: Errno) -> Result<(), ImageError> {
    match errno {
        Errno::EINVAL | Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP => Ok(()),
        errno => Err(ImageError::io(path, "lock the image", io::Error::from(errno))),
    }
}
