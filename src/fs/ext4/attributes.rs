//! An inode's extended attributes, wherever they are kept.

use super::content;
use super::inode::{self, Inode};
use super::raw::u32_at;
use super::source::{Source, read_inode};
use super::xattr::{self, ACL_ACCESS, ACL_DEFAULT, Attribute, INLINE_DATA, SYSTEM, Value};
use crate::fs::{FsError, Xattr};

/// `XATTR_SIZE_MAX` of Linux: the longest value there can be.
const MAX_VALUE: u32 = 65_536;

/// The attributes as stored: those in the inode, then those in its block.
///
/// # Errors
/// `Corrupt`.
pub fn stored(source: &dyn Source, inode: &Inode) -> Result<Vec<Attribute>, FsError> {
    let mut attributes = in_inode(inode)?;
    if inode.xattr_block() != 0 {
        attributes.extend(in_block(source, inode)?.attributes);
    }
    Ok(attributes)
}

/// The attributes in the inode itself.
///
/// # Errors
/// `Corrupt`.
pub fn in_inode(inode: &Inode) -> Result<Vec<Attribute>, FsError> {
    xattr::from_inode(inode.xattr_area())
        .map_err(|problem| inode.corrupt("extended attributes", problem))
}

/// The inode's block of attributes; only where [`Inode::xattr_block`] is not 0.
///
/// # Errors
/// `Corrupt`.
pub fn in_block(source: &dyn Source, inode: &Inode) -> Result<xattr::Block, FsError> {
    let number = inode.xattr_block();
    let corrupt = |problem: String| {
        FsError::corrupt(
            "extended attributes",
            format_args!("block {number} of inode {}", inode.number()),
            problem,
        )
    };
    let raw = source.block(number)?;
    let superblock = source.superblock();
    if superblock.metadata_csum() {
        let found = u32_at(&raw, 16);
        let expected = xattr::block_checksum(&raw, number, superblock.checksum_seed());
        if found != expected {
            return Err(corrupt(format!("checksum {found:#010x}, expected {expected:#010x}")));
        }
    }
    xattr::Block::from_bytes(&raw).map_err(corrupt)
}

/// An attribute's value, read from its own inode where it has one.
///
/// # Errors
/// `Corrupt`.
pub fn value(source: &dyn Source, attribute: &Attribute) -> Result<Vec<u8>, FsError> {
    match &attribute.value {
        Value::Here(value) => Ok(value.clone()),
        Value::Inode { inode, size, .. } => {
            let holder = read_inode(source, *inode)?;
            if !holder.has_flag(inode::EA_INODE)
                || *size > MAX_VALUE
                || holder.size(source.superblock()) != u64::from(*size)
            {
                return Err(
                    holder.corrupt("extended attribute", format_args!("no value of {size} bytes"))
                );
            }
            let mut value = vec![0; *size as usize];
            content::read_mapped(source, &holder, 0, &mut value)?;
            Ok(value)
        }
    }
}

/// The part of inline content that does not fit in `i_block`; empty when there is none.
///
/// # Errors
/// `Corrupt`.
pub fn inline_rest(source: &dyn Source, inode: &Inode) -> Result<Vec<u8>, FsError> {
    match in_inode(inode)?.iter().find(|it| it.index == SYSTEM && it.name == INLINE_DATA) {
        Some(attribute) => value(source, attribute),
        None => Ok(Vec::new()),
    }
}

/// The attributes as `listxattr(2)` and `getxattr(2)` give them to root, sorted by name.
///
/// # Errors
/// `Corrupt`.
pub fn shown(source: &dyn Source, inode: &Inode) -> Result<Vec<Xattr>, FsError> {
    let mut shown = Vec::new();
    for attribute in stored(source, inode)? {
        let Some(name) = attribute.full_name() else { continue };
        let mut value = value(source, &attribute)?;
        if attribute.index == ACL_ACCESS || attribute.index == ACL_DEFAULT {
            value = xattr::acl_to_kernel(&value).ok_or_else(|| {
                inode.corrupt("extended attribute", format_args!("{name}: no ACL"))
            })?;
        }
        shown.push(Xattr { name, value });
    }
    shown.sort();
    Ok(shown)
}
