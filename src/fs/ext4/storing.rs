//! What ext2, ext3 and ext4 can store, wherever there is room.

use super::attributes;
use super::inode::Inode;
use super::source::{Source, read_inode};
use super::xattr::Placed;
use crate::fs::{FsError, NewKind, Storing};

/// `EXT4_NAME_LEN`.
const MAX_NAME: usize = 255;

/// Whether it can be stored.
///
/// # Errors
/// `BadName`, `CannotStore`; of a node's metadata what reading it says.
pub(super) fn can_store(source: &dyn Source, what: &Storing<'_>) -> Result<(), FsError> {
    match what {
        Storing::Name(name) => match (1..=MAX_NAME).contains(&name.len()) {
            true => Ok(()),
            false => Err(FsError::BadName),
        },
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
