//! What files and symlinks hold.

use std::ops::ControlFlow;

use super::attributes;
use super::inode::{self, BLOCK_AREA_LEN, Inode};
use super::map::{self, Mapped};
use super::source::Source;
use crate::fs::{FsError, Kind};

/// Reads a regular file's content; gives how many bytes were there.
///
/// # Errors
/// `IsADirectory`; `Unsupported` for what has no content we can read; `Corrupt`.
pub fn read_at(
    source: &dyn Source,
    inode: &Inode,
    at: u64,
    dst: &mut [u8],
) -> Result<usize, FsError> {
    match inode.kind() {
        Some(Kind::File) => {}
        Some(Kind::Directory) => return Err(FsError::IsADirectory),
        _ => return Err(FsError::unsupported("reading what is not a regular file")),
    }
    if inode.has_flag(inode::ENCRYPT) {
        return Err(FsError::unsupported("reading an encrypted file"));
    }
    let left = inode.size(source.superblock()).saturating_sub(at);
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(dst.len());
    let dst = &mut dst[..len];
    if len == 0 {
        return Ok(0);
    }
    if inode.has_flag(inode::INLINE_DATA) {
        let content = inline(source, inode)?;
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = start.checked_add(len).and_then(|end| content.get(start..end));
        dst.copy_from_slice(bytes.unwrap_or_default());
    } else {
        read_mapped(source, inode, at, dst)?;
    }
    Ok(len)
}

/// Reads through the inode's map of blocks; holes and unwritten blocks give zeroes.
///
/// # Errors
/// `Corrupt`.
pub fn read_mapped(
    source: &dyn Source,
    inode: &Inode,
    at: u64,
    dst: &mut [u8],
) -> Result<(), FsError> {
    let block_size = u64::from(source.superblock().block_size());
    let end = at.saturating_add(dst.len() as u64);
    let range = at / block_size..end.div_ceil(block_size);
    // Everything in `dst` before this offset of the file is filled.
    let mut filled = at;
    let mut failed = None;
    map::walk(source, inode, range, &mut |mapped| {
        let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
        // Runs lie below 2^45 blocks of at most 64 KiB: nothing here overflows.
        let start = (run.logical * block_size).max(at);
        let stop = ((run.logical + run.blocks) * block_size).min(end);
        if start < filled || start >= stop {
            return ControlFlow::Continue(());
        }
        dst[(filled - at) as usize..(start - at) as usize].fill(0);
        let part = &mut dst[(start - at) as usize..(stop - at) as usize];
        if run.written {
            let from = run.physical * block_size + (start - run.logical * block_size);
            if let Err(error) = source.content(from, part) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        } else {
            part.fill(0);
        }
        filled = stop;
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    dst[(filled - at) as usize..].fill(0);
    Ok(())
}

/// Whether a regular file's content is all zero from byte `at` on. What the device knows to be zero
/// is not read.
///
/// # Errors
/// As [`read_at`].
pub fn is_zero(source: &dyn Source, inode: &Inode, at: u64) -> Result<bool, FsError> {
    // Asks for no byte, and refuses what cannot be read.
    read_at(source, inode, at, &mut [])?;
    let size = inode.size(source.superblock());
    if inode.has_flag(inode::INLINE_DATA) {
        let content = inline(source, inode)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        return Ok(content[at..].iter().all(|&byte| byte == 0));
    }
    let block_size = u64::from(source.superblock().block_size());
    let mut result = Ok(true);
    map::walk(source, inode, at / block_size..size.div_ceil(block_size), &mut |mapped| {
        let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
        let start = (run.logical * block_size).max(at);
        let stop = ((run.logical + run.blocks) * block_size).min(size);
        if !run.written || start >= stop {
            return ControlFlow::Continue(());
        }
        let from = run.physical * block_size + (start - run.logical * block_size);
        result = source.is_zero(from, stop - start);
        if matches!(result, Ok(true)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

/// Content kept in the inode, `i_size` bytes.
///
/// # Errors
/// `Corrupt` when the inode does not hold that much.
pub fn inline(source: &dyn Source, inode: &Inode) -> Result<Vec<u8>, FsError> {
    let size = inode.size(source.superblock());
    let mut content = inode.block_area().to_vec();
    if size > BLOCK_AREA_LEN as u64 {
        content.extend(attributes::inline_rest(source, inode)?);
    }
    match usize::try_from(size) {
        Ok(size) if size <= content.len() => content.truncate(size),
        _ => {
            return Err(inode.corrupt(
                "inline content",
                format_args!("i_size {size}, of which {} bytes are there", content.len()),
            ));
        }
    }
    Ok(content)
}

/// A symlink's target.
///
/// # Errors
/// `Unsupported` for what is no symlink or an encrypted one; `Corrupt`.
pub fn link_target(source: &dyn Source, inode: &Inode) -> Result<Vec<u8>, FsError> {
    if inode.kind() != Some(Kind::Symlink) {
        return Err(FsError::unsupported("the target of what is not a symlink"));
    }
    if inode.has_flag(inode::ENCRYPT) {
        return Err(FsError::unsupported("reading an encrypted symlink"));
    }
    let superblock = source.superblock();
    let size = inode.size(superblock);
    // The kernel stores a target in one block, with a NUL behind it.
    if size == 0 || size > u64::from(superblock.block_size()) {
        return Err(inode.corrupt("symlink", format_args!("a target of {size} bytes")));
    }
    if inode.has_flag(inode::INLINE_DATA) {
        return inline(source, inode);
    }
    let mut target = vec![0; size as usize];
    if map::is_fast_symlink(inode, superblock) {
        let len = target.len();
        target.copy_from_slice(&inode.block_area()[..len]);
    } else {
        read_mapped(source, inode, 0, &mut target)?;
    }
    Ok(target)
}
