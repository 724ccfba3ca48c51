//! The names in a directory: linear, indexed or inline.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::content;
use super::dir::{self, Format, Record};
use super::features::{compat, incompat};
use super::htree::{self, Hash, Index};
use super::inode::{self, BLOCK_AREA_LEN, Inode};
use super::map::{self, Mapped};
use super::raw::{u16_at, u32_at};
use super::source::Source;
use super::superblock::Superblock;
use crate::fs::{FsError, Kind};

/// `s_flags`: directory hashes take bytes as unsigned.
const UNSIGNED_HASH: u32 = 2;
/// An index has at most this many levels below its root (the kernel's `ext4_dir_htree_level`).
const MAX_LEVELS: u8 = 2;

/// How this filesystem lays out directory blocks.
pub fn format(superblock: &Superblock) -> Format {
    Format {
        block_size: superblock.block_len(),
        file_type: superblock.has_incompat(incompat::FILETYPE),
        checksum: superblock.metadata_csum(),
    }
}

/// Shows every name of a directory, `.` and `..` too where they are stored, until `Break`.
///
/// # Errors
/// `NotADirectory`; `Corrupt`.
pub fn records(
    source: &dyn Source,
    inode: &Inode,
    visit: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), FsError> {
    if inode.kind() != Some(Kind::Directory) {
        return Err(FsError::NotADirectory);
    }
    let format = format(source.superblock());
    if inode.has_flag(inode::INLINE_DATA) {
        return inline_records(source, inode, format, visit);
    }
    blocks(source, inode, &mut |logical, block| {
        if is_index(block, logical, format) {
            return Ok(ControlFlow::Continue(()));
        }
        if !dir::verify(block, format, inode.checksum_seed(source.superblock())) {
            return Err(corrupt(inode, logical, "wrong checksum"));
        }
        for record in dir::records(block, format) {
            let record = record.map_err(|problem| corrupt(inode, logical, problem))?;
            if record.inode != 0 && visit(record).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Shows the names but `.` and `..`, as they may be passed on: in an encrypted directory, where a
/// name may be any bytes, its base64url form.
///
/// # Errors
/// `NotADirectory`; `Corrupt`, also for a name with a slash or a NUL.
pub fn names(
    source: &dyn Source,
    inode: &Inode,
    visit: &mut dyn FnMut(&[u8], Record<'_>) -> ControlFlow<()>,
) -> Result<(), FsError> {
    let encrypted = inode.has_flag(inode::ENCRYPT);
    let mut bad = None;
    records(source, inode, &mut |record| {
        if record.name == b"." || record.name == b".." {
            return ControlFlow::Continue(());
        }
        if encrypted {
            return visit(URL_SAFE_NO_PAD.encode(record.name).as_bytes(), record);
        }
        if record.name.iter().any(|&byte| byte == b'/' || byte == 0) {
            bad = Some(record.inode);
            return ControlFlow::Break(());
        }
        visit(record.name, record)
    })?;
    match bad {
        Some(named) => Err(inode.corrupt(
            "directory",
            format_args!("the name of inode {named} holds a slash or a NUL"),
        )),
        None => Ok(()),
    }
}

/// The inode a name stands for.
///
/// A name is compared byte by byte, in a casefolded directory too.
///
/// # Errors
/// `NotADirectory`; `Corrupt`.
pub fn lookup(source: &dyn Source, inode: &Inode, name: &[u8]) -> Result<Option<u32>, FsError> {
    if name.is_empty() || name == b"." || name == b".." {
        return Ok(None);
    }
    let plain = !inode.has_flag(inode::ENCRYPT | inode::CASEFOLD | inode::INLINE_DATA);
    if plain
        && inode.kind() == Some(Kind::Directory)
        && inode.has_flag(inode::INDEX)
        && source.superblock().has_compat(compat::DIR_INDEX)
        // As the kernel does: a broken index is passed by and the blocks are searched.
        && let Ok(found) = indexed_lookup(source, inode, name)
    {
        return Ok(found);
    }
    let mut found = None;
    names(source, inode, &mut |shown, record| {
        if shown == name {
            found = Some(record.inode);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn inline_records(
    source: &dyn Source,
    inode: &Inode,
    format: Format,
    visit: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), FsError> {
    let content = content::inline(source, inode)?;
    // The parent's number comes first; the rest are two chains, one in `i_block`, one behind it.
    let (first, second) = content.split_at(content.len().min(BLOCK_AREA_LEN));
    for (logical, area) in [first.get(4..).unwrap_or_default(), second].into_iter().enumerate() {
        let format = Format { block_size: area.len(), checksum: false, ..format };
        for record in dir::records(area, format) {
            let record = record.map_err(|problem| corrupt(inode, logical as u64, problem))?;
            if record.inode != 0 && visit(record).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The parent's inode number, from `..` or from the head of an inline directory.
///
/// # Errors
/// `Corrupt`.
pub fn parent(source: &dyn Source, inode: &Inode) -> Result<u32, FsError> {
    if inode.has_flag(inode::INLINE_DATA) {
        return Ok(u32_at(inode.block_area(), 0));
    }
    let block = block_at(source, inode, 0)?;
    // Records of 12 bytes and more: `.` takes 12, in an indexed directory too.
    if block.get(20..22) == Some(b"..") {
        return Ok(u32_at(&block, 12));
    }
    Err(corrupt(inode, 0, "no '..'"))
}

/// Called with a block's place in the directory and its bytes.
type VisitBlock<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<ControlFlow<()>, FsError>;

/// Shows each allocated block of a directory with its place in the directory.
fn blocks(source: &dyn Source, inode: &Inode, visit: VisitBlock<'_>) -> Result<(), FsError> {
    let superblock = source.superblock();
    let count = inode.size(superblock).div_ceil(u64::from(superblock.block_size()));
    let mut result = Ok(());
    map::walk(source, inode, 0..count, &mut |mapped| {
        let Mapped::Run(run) = mapped else { return ControlFlow::Continue(()) };
        if !run.written {
            return ControlFlow::Continue(());
        }
        for step in 0..run.blocks.min(count.saturating_sub(run.logical)) {
            let flow = source
                .block(run.physical + step)
                .and_then(|block| visit(run.logical + step, &block));
            match flow {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
                Err(error) => {
                    result = Err(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    result
}

/// Whether a block is part of the index: names would be read from it wrongly.
pub(super) fn is_index(block: &[u8], logical: u64, format: Format) -> bool {
    let len_at = |at| dir::record_len(u16_at(block, at), format.block_size);
    if logical == 0 {
        // The root's `..` spans the index.
        return len_at(4) == 12
            && block.get(20..22) == Some(b"..")
            && len_at(16) == format.block_size - 12
            && u32_at(block, 24) == 0
            && block.get(29) == Some(&8);
    }
    // An inner node is one unused record; without checksums a leaf without names looks the same,
    // and shows as little.
    u32_at(block, 0) == 0 && len_at(4) == format.block_size
}

fn indexed_lookup(source: &dyn Source, inode: &Inode, name: &[u8]) -> Result<Option<u32>, FsError> {
    let superblock = source.superblock();
    let format = format(superblock);
    let seed = inode.checksum_seed(superblock);
    let block = block_at(source, inode, 0)?;
    if !htree::verify(&block, format, true, seed) {
        return Err(corrupt(inode, 0, "wrong checksum"));
    }
    let index =
        Index::root_from_bytes(&block, format).map_err(|problem| corrupt(inode, 0, problem))?;
    let (version, levels) = index.root.map_or((0, 0), |root| (root.hash_version, root.levels));
    let hash = Hash::from_disk(version, superblock.flags() & UNSIGNED_HASH != 0)
        .ok_or_else(|| FsError::unsupported(format!("directory hash {version}")))?
        .of(name, superblock.hash_seed());
    if levels > MAX_LEVELS {
        return Err(corrupt(inode, 0, format!("an index of {levels} levels")));
    }
    let blocks = inode.size(superblock) / u64::from(superblock.block_size());
    Search { source, inode, name, format, seed, hash, left: blocks }.node(&index, levels)
}

struct Search<'a> {
    source: &'a dyn Source,
    inode: &'a Inode,
    name: &'a [u8],
    format: Format,
    seed: u32,
    hash: u32,
    /// Blocks that may still be read: no sound search reads one twice.
    left: u64,
}

impl Search<'_> {
    fn node(&mut self, index: &Index, levels: u8) -> Result<Option<u32>, FsError> {
        let first = index.covering(self.hash);
        for (at, pair) in index.pairs.iter().enumerate().skip(first) {
            // A hash with its lowest bit set goes on with the names of the block before.
            if at != first && pair.hash & !1 != self.hash {
                break;
            }
            let logical = u64::from(pair.block);
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| corrupt(self.inode, logical, "the index goes in circles"))?;
            let block = block_at(self.source, self.inode, logical)?;
            let found = if levels > 0 {
                if !htree::verify(&block, self.format, false, self.seed) {
                    return Err(corrupt(self.inode, logical, "wrong checksum"));
                }
                let index = Index::node_from_bytes(&block, self.format)
                    .map_err(|problem| corrupt(self.inode, logical, problem))?;
                self.node(&index, levels - 1)?
            } else {
                if !dir::verify(&block, self.format, self.seed) {
                    return Err(corrupt(self.inode, logical, "wrong checksum"));
                }
                dir::find(&block, self.format, self.name)
                    .map_err(|problem| corrupt(self.inode, logical, problem))?
                    .map(|record| record.inode)
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// A block of a directory by its place there.
fn block_at(
    source: &dyn Source,
    inode: &Inode,
    logical: u64,
) -> Result<std::sync::Arc<[u8]>, FsError> {
    match map::find(source, inode, logical)? {
        Some(run) if run.written => source.block(run.physical + (logical - run.logical)),
        _ => Err(corrupt(inode, logical, "a hole")),
    }
}

fn corrupt(inode: &Inode, logical: u64, problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt(
        "directory block",
        format_args!("block {logical} of inode {}", inode.number()),
        problem,
    )
}
