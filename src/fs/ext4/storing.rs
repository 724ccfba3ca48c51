//! What ext2, ext3 and ext4 can store, wherever there is room.

use std::ops::ControlFlow;

use super::inode::{CASEFOLD, Inode};
use super::source::{Source, read_inode};
use super::xattr::Placed;
use super::{attributes, directory};
use crate::fs::{FsError, Kind, NewKind, Storing};

/// `EXT4_NAME_LEN`.
const MAX_NAME: usize = 255;

/// Whether it can be stored.
///
/// # Errors
/// `BadName`, `CannotStore`; of a node's metadata what reading it says.
pub(super) fn can_store(source: &dyn Source, what: &Storing<'_>) -> Result<(), FsError> {
    match what {
        Storing::Name(_, name) if !(1..=MAX_NAME).contains(&name.len()) => Err(FsError::BadName),
        Storing::Name(None, _) => Ok(()),
        Storing::Name(Some(dir), name) => {
            let number = u32::try_from(dir.0).map_err(|_| FsError::NotFound)?;
            match folded_name(source, &read_inode(source, number)?, name)? {
                Folded::Free | Folded::Taken(true) => Ok(()),
                Folded::Taken(false) => Err(FsError::CannotStore(
                    "a name beside one that differs in large and small letters only, in a directory \
                     that ignores them",
                )),
                Folded::Unknown => Err(FsError::CannotStore(OUTSIDE_ASCII)),
            }
        }
        Storing::New(kind, meta) => {
            object(source, kind)?;
            let changes: Vec<_> =
                meta.xattrs.iter().map(|it| (it.name.clone(), Some(it.value.clone()))).collect();
            new_attributes(source, &changes)
        }
        Storing::Content(_) => Ok(()),
        Storing::Meta(None, _, change) => new_attributes(source, &change.xattrs),
        Storing::Meta(Some(_), _, change) if change.xattrs.is_empty() => Ok(()),
        Storing::Meta(Some(node), _, change) => {
            let number = u32::try_from(node.0).map_err(|_| FsError::NotFound)?;
            let inode = read_inode(source, number)?;
            let mut placed = Placed { inside: attributes::in_inode(&inode)?, ..Placed::default() };
            if inode.xattr_block() != 0 {
                placed.outside = attributes::in_block(source, &inode)?.attributes;
            }
            placed.change(inode.xattr_area().len(), block_size(source), &change.xattrs)
        }
    }
}

/// Names are folded as Unicode asks, by tables that are not here.
pub(super) const OUTSIDE_ASCII: &str = "a name outside ASCII in a directory that ignores case";

/// What a directory that ignores case has of a name.
pub(super) enum Folded {
    Free,
    /// It is there, written so or in another way.
    Taken(bool),
    Unknown,
}

/// What a directory has of a name, by its folded form where it ignores case; elsewhere it is free.
///
/// # Errors
/// What reading the directory says.
pub(super) fn folded_name(
    source: &dyn Source,
    dir: &Inode,
    name: &[u8],
) -> Result<Folded, FsError> {
    if !dir.has_flag(CASEFOLD) || dir.kind() != Some(Kind::Directory) {
        return Ok(Folded::Free);
    }
    if !name.is_ascii() {
        return Ok(Folded::Unknown);
    }
    let mut folded = Folded::Free;
    directory::records(source, dir, &mut |record| {
        if !record.name.eq_ignore_ascii_case(name) {
            return ControlFlow::Continue(());
        }
        folded = Folded::Taken(record.name == name);
        ControlFlow::Break(())
    })?;
    Ok(folded)
}

/// Whether there can be such an object, whatever its metadata.
///
/// # Errors
/// `CannotStore`.
pub(super) fn object(source: &dyn Source, kind: &NewKind<'_>) -> Result<(), FsError> {
    match kind {
        NewKind::Symlink(target)
            if target.is_empty() || target.contains(&0) || target.len() >= block_size(source) =>
        {
            Err(FsError::CannotStore("a symlink to a name as long as this"))
        }
        NewKind::Special(_, device) if !Inode::keeps_device(*device) => {
            Err(FsError::CannotStore("a device's number over 4095 (major) or 1048575 (minor)"))
        }
        _ => Ok(()),
    }
}

fn new_attributes(
    source: &dyn Source,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<(), FsError> {
    let room = source.superblock().new_attribute_room();
    Placed::default().change(room, block_size(source), changes)
}

fn block_size(source: &dyn Source) -> usize {
    usize::try_from(source.superblock().block_size()).unwrap_or(usize::MAX)
}
