//! Which blocks of the device hold a file's content, and which hold the map itself.

use std::ops::{ControlFlow, Range};

use super::inode::{self, Inode};
use super::source::Source;
use super::superblock::Superblock;
use super::{block_map, extent};
use crate::fs::{FsError, Kind};

/// A stretch of content whose blocks lie side by side on the device. Numbers are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block within the file.
    pub logical: u64,
    /// First block on the device.
    pub physical: u64,
    /// How many blocks, never 0.
    pub blocks: u64,
    /// False where the blocks are allocated but read as zeroes.
    pub written: bool,
}

/// What a map is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// Blocks with content.
    Run(Run),
    /// A block of the map itself: an extent tree's node or an indirect block. It comes before
    /// what it maps.
    Metadata(u64),
}

/// Called with each part of a map.
pub type Visit<'a> = &'a mut dyn FnMut(Mapped) -> ControlFlow<()>;

/// The whole of a map.
pub const WHOLE: Range<u64> = 0..u64::MAX;

/// Whether `i_block` is a map of blocks, and not a short symlink's target, inline content or a
/// device number.
pub fn is_mapped(inode: &Inode, superblock: &Superblock) -> bool {
    if inode.has_flag(inode::INLINE_DATA) {
        return false;
    }
    match inode.kind() {
        Some(Kind::File | Kind::Directory) => true,
        Some(Kind::Symlink) => !is_fast_symlink(inode, superblock),
        // Reserved inodes may have no type at all.
        None => inode.mode() == 0,
        _ => false,
    }
}

/// Whether a symlink's target is in `i_block` itself.
pub fn is_fast_symlink(inode: &Inode, superblock: &Superblock) -> bool {
    inode.kind() == Some(Kind::Symlink)
        && !inode.has_flag(inode::EXTENTS | inode::INLINE_DATA)
        && inode.size(superblock) < inode::BLOCK_AREA_LEN as u64
}

/// Shows the runs that touch `range` (in blocks of the file) in ascending order, and the map's own
/// blocks on the way there, until `Break`. Holes are not shown. Runs may reach beyond `range`.
///
/// With [`WHOLE`] every block that the file owns is shown, but for its xattr block.
///
/// # Errors
/// `Corrupt` when the map is.
pub fn walk(
    source: &dyn Source,
    inode: &Inode,
    range: Range<u64>,
    visit: Visit<'_>,
) -> Result<(), FsError> {
    if range.is_empty() || !is_mapped(inode, source.superblock()) {
        return Ok(());
    }
    let mut budget = Budget::new(inode, source.superblock());
    let _: ControlFlow<()> = if inode.has_flag(inode::EXTENTS) {
        extent::walk(source, inode, &range, &mut budget, visit)?
    } else {
        block_map::walk(source, inode, &range, &mut budget, visit)?
    };
    Ok(())
}

/// The run that holds a block of the file; `None` in a hole.
///
/// # Errors
/// As [`walk`].
pub fn find(source: &dyn Source, inode: &Inode, logical: u64) -> Result<Option<Run>, FsError> {
    let mut found = None;
    walk(source, inode, logical..logical.saturating_add(1), &mut |mapped| match mapped {
        Mapped::Run(run) => {
            found = Some(run);
            ControlFlow::Break(())
        }
        Mapped::Metadata(_) => ControlFlow::Continue(()),
    })?;
    Ok(found)
}

/// How many blocks a map may still show: no file has more than the filesystem, so a map that
/// names a block over and over ends, too.
pub(super) struct Budget {
    number: u32,
    left: u64,
    first: u64,
    end: u64,
}

impl Budget {
    fn new(inode: &Inode, superblock: &Superblock) -> Self {
        let end = superblock.blocks_count();
        let first = u64::from(superblock.first_data_block()) + 1;
        // Written and unwritten extents of a sparse file cannot pass this either.
        Self { number: inode.number(), left: end, first, end }
    }

    /// Takes `blocks` at `physical`, which must lie in the filesystem.
    pub(super) fn take(&mut self, physical: u64, blocks: u64) -> Result<(), FsError> {
        let inside = physical >= self.first
            && physical.checked_add(blocks).is_some_and(|past| past <= self.end);
        if !inside {
            return Err(FsError::corrupt(
                "block map",
                format_args!("inode {}", self.number),
                format_args!("blocks {physical}+{blocks} lie outside {}..{}", self.first, self.end),
            ));
        }
        self.left = self.left.checked_sub(blocks).ok_or_else(|| {
            FsError::corrupt(
                "block map",
                format_args!("inode {}", self.number),
                format_args!("more blocks than the filesystem's {}", self.end),
            )
        })?;
        Ok(())
    }
}
