//! What FAT can store: of owners root only, of permissions whether a file may be written, no links
//! and no devices.

use super::name;
use super::reader::ROOT;
use crate::fs::{FsError, Kind, MetaChange, NewKind, NewMeta, Storing};

/// Permission bits as the kernel shows them without mount options that say otherwise.
const WRITABLE: u16 = 0o755;
const READ_ONLY: u16 = 0o555;

/// Whether it can be stored.
///
/// # Errors
/// `BadName`, `CannotStore`.
pub(super) fn can_store(what: &Storing<'_>) -> Result<(), FsError> {
    match what {
        Storing::Name(_, name) => name::storable(name).map(drop).ok_or(FsError::BadName),
        Storing::New(kind, meta) => new(kind, meta),
        Storing::Content(size) => length(*size).map(drop),
        Storing::Meta(node, kind, change) => metadata(*node == Some(ROOT), *kind, change),
    }
}

/// A file's length as an entry holds it.
///
/// # Errors
/// `CannotStore`.
pub(super) fn length(size: u64) -> Result<u32, FsError> {
    u32::try_from(size).map_err(|_| FsError::CannotStore("a file of 4 GiB or more"))
}

fn new(kind: &NewKind<'_>, meta: &NewMeta) -> Result<(), FsError> {
    match kind {
        NewKind::File(_) | NewKind::Directory => {}
        NewKind::Symlink(_) => return Err(FsError::CannotStore("symlinks")),
        NewKind::Special(..) => {
            return Err(FsError::CannotStore("devices, pipes and sockets"));
        }
    }
    if meta.uid != 0 || meta.gid != 0 {
        return Err(FsError::CannotStore("owners"));
    }
    if meta.mode & 0o7000 != 0 {
        return Err(FsError::CannotStore("set-uid, set-gid and sticky bits"));
    }
    if !meta.xattrs.is_empty() {
        return Err(FsError::CannotStore("extended attributes"));
    }
    Ok(())
}

/// A mode has to be one that can be kept: all of `r` and `x`, and `w` for the owner or for
/// nobody (a file's read-only attribute), as the kernel asks.
fn metadata(root: bool, kind: Kind, change: &MetaChange) -> Result<(), FsError> {
    if change.uid.is_some_and(|uid| uid != 0) || change.gid.is_some_and(|gid| gid != 0) {
        return Err(FsError::CannotStore("owners"));
    }
    if change.xattrs.iter().any(|(_, value)| value.is_some()) {
        return Err(FsError::CannotStore("extended attributes"));
    }
    if root {
        let same = change.mode.is_none_or(|mode| mode == WRITABLE);
        return match same && change.mtime.is_none() && change.atime.is_none() {
            true => Ok(()),
            false => Err(FsError::CannotStore("metadata of the root directory")),
        };
    }
    match change.mode {
        None | Some(WRITABLE) => Ok(()),
        Some(READ_ONLY) if kind != Kind::Directory => Ok(()),
        Some(_) => Err(FsError::CannotStore("permissions other than 0755 and 0555")),
    }
}
