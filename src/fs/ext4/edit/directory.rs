//! Names in directories: found, added, removed, turned to another inode.

use std::ops::ControlFlow;

use super::names::Names;
use super::store::Store;
use crate::fs::ext4::dir::{self, Format, Record};
use crate::fs::ext4::features::{compat, incompat};
use crate::fs::ext4::htree::{self, Hash, Index, Pair, Root};
use crate::fs::ext4::inode::{
    BLOCK_AREA_LEN, CASEFOLD, ENCRYPT, EXTENTS, INDEX, INLINE_DATA, Inode, Time,
};
use crate::fs::ext4::map::Run;
use crate::fs::ext4::raw::{put32, u32_at};
use crate::fs::ext4::source::Source;
use crate::fs::ext4::storing::{self, Folded, OUTSIDE_ASCII};
use crate::fs::ext4::{attributes, directory, xattr};
use crate::fs::{FsError, Kind};

/// Bytes of an inline directory before its first record: the parent's number.
const INLINE_HEAD: usize = 4;

/// Where a record is.
#[derive(Clone, Copy, Debug)]
enum Spot {
    /// In the inode: in `i_block` (false) or in the attribute behind it (true).
    Inline { rest: bool, at: usize },
    /// In this block of the device.
    Block { block: u64, at: usize },
}

/// A name that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    spot: Spot,
    /// The inode named.
    pub(super) inode: u32,
}

/// A directory being edited.
pub(super) struct Directory<'a> {
    pub(super) store: &'a Store,
    pub(super) inode: Inode,
    pub(super) format: Format,
    runs: Vec<Run>,
}

impl<'a> Directory<'a> {
    /// Opens a directory whose names may be read and changed.
    pub(super) fn open(store: &'a Store, number: u32) -> Result<Self, FsError> {
        let inode = store.inode(number)?;
        if inode.kind() != Some(Kind::Directory) {
            return Err(FsError::NotADirectory);
        }
        if inode.has_flag(ENCRYPT) {
            return Err(FsError::unsupported("changing an encrypted directory"));
        }
        let format = directory::format(&store.superblock);
        let mut directory = Self { store, inode, format, runs: Vec::new() };
        directory.read_map()?;
        Ok(directory)
    }

    fn read_map(&mut self) -> Result<(), FsError> {
        self.runs = self.store.map_of(&self.inode)?.runs;
        Ok(())
    }

    /// Whether names are found by their hash.
    pub(super) fn is_indexed(&self) -> bool {
        self.inode.has_flag(INDEX) && self.store.superblock.has_compat(compat::DIR_INDEX)
    }

    fn is_inline(&self) -> bool {
        self.inode.has_flag(INLINE_DATA)
    }

    fn seed(&self) -> u32 {
        self.inode.checksum_seed(&self.store.superblock)
    }

    fn corrupt(&self, logical: u64, problem: impl std::fmt::Display) -> FsError {
        FsError::corrupt(
            "directory",
            format_args!("block {logical} of inode {}", self.inode.number()),
            problem,
        )
    }

    /// How many blocks it has.
    fn blocks(&self) -> u64 {
        self.inode.size(&self.store.superblock) / self.format.block_size as u64
    }

    /// The device's block behind a block of the directory.
    fn physical(&self, logical: u64) -> Result<u64, FsError> {
        let after = self.runs.partition_point(|run| run.logical <= logical);
        let run = after.checked_sub(1).and_then(|n| self.runs.get(n));
        run.filter(|run| logical < run.logical + run.blocks && run.written)
            .map(|run| run.physical + (logical - run.logical))
            .ok_or_else(|| self.corrupt(logical, "a hole"))
    }

    /// A block of names with its number on the device.
    fn leaf(&self, logical: u64) -> Result<(u64, Vec<u8>), FsError> {
        let block = self.physical(logical)?;
        let bytes = self.store.block(block)?.to_vec();
        if !dir::verify(&bytes, self.format, self.seed()) {
            return Err(self.corrupt(logical, "wrong checksum"));
        }
        Ok((block, bytes))
    }

    fn put_leaf(&self, block: u64, mut bytes: Vec<u8>) {
        dir::seal(&mut bytes, self.format, self.seed());
        self.store.put_block(block, bytes);
    }

    /// An index block: the root where `logical` is 0.
    pub(super) fn index(&self, logical: u64) -> Result<Index, FsError> {
        let bytes = self.store.block(self.physical(logical)?)?;
        if !htree::verify(&bytes, self.format, logical == 0, self.seed()) {
            return Err(self.corrupt(logical, "wrong checksum"));
        }
        if logical == 0 {
            Index::root_from_bytes(&bytes, self.format)
        } else {
            Index::node_from_bytes(&bytes, self.format)
        }
        .map_err(|problem| self.corrupt(logical, problem))
    }

    fn put_index(&self, logical: u64, index: &Index) -> Result<(), FsError> {
        let bytes = index
            .to_bytes(self.format, self.seed())
            .ok_or_else(|| self.corrupt(logical, "an index that does not fit"))?;
        self.store.put_block(self.physical(logical)?, bytes);
        Ok(())
    }

    /// Adds a block at the end.
    fn append(&mut self) -> Result<u64, FsError> {
        let (logical, _) = self.store.append_block(&mut self.inode)?;
        self.read_map()?;
        Ok(logical)
    }

    /// The blocks that hold names, of which block 0 of an indexed directory is none.
    fn leaves(&self) -> impl Iterator<Item = u64> {
        let first = u64::from(self.is_indexed());
        let end = self.blocks();
        let runs = self.runs.clone();
        runs.into_iter()
            .filter(|run| run.written)
            .flat_map(move |run| run.logical.max(first)..(run.logical + run.blocks).min(end))
    }

    /// Whether a block of an indexed directory is an inner node (or a leaf without names, which
    /// can look the same without checksums).
    fn is_node(&self, bytes: &[u8]) -> bool {
        self.is_indexed()
            && u32_at(bytes, 0) == 0
            && dir::record_len(crate::bytes::le16(bytes, 4).unwrap_or(0), self.format.block_size)
                == self.format.block_size
    }

    /// Finds a name, byte by byte.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<Found>, FsError> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err(FsError::BadName);
        }
        if self.is_inline() {
            return self.find_inline(name);
        }
        if self.is_indexed()
            && let Ok(hash) = self.hash(name)
        {
            let path = self.path(hash)?;
            if let Some(last) = path.last() {
                let logical = u64::from(last.index.pairs[last.at].block);
                if let Some(found) = self.find_in(logical, name)? {
                    return Ok(Some(found));
                }
                // Names of one hash may go on in the next leaf; its lowest hash is the next pair's,
                // in this index block or the closest one above that has a next pair.
                let next = path.iter().rev().find_map(|step| step.index.pairs.get(step.at + 1));
                if next.is_none_or(|next| next.hash & !1 != hash) {
                    return Ok(None);
                }
            }
        }
        for logical in self.leaves() {
            if let Some(found) = self.find_in(logical, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, logical: u64, name: &[u8]) -> Result<Option<Found>, FsError> {
        let block = self.physical(logical)?;
        let bytes = self.store.block(block)?;
        if self.is_node(&bytes) {
            return Ok(None);
        }
        if !dir::verify(&bytes, self.format, self.seed()) {
            return Err(self.corrupt(logical, "wrong checksum"));
        }
        let record = dir::find(&bytes, self.format, name)
            .map_err(|problem| self.corrupt(logical, problem))?;
        Ok(record.map(|record| Found {
            spot: Spot::Block { block, at: record.at },
            inode: record.inode,
        }))
    }

    /// Whether a new name is taken, in a casefolded directory whatever its case.
    pub(super) fn is_taken(&self, name: &[u8]) -> Result<bool, FsError> {
        check_name(name)?;
        if !self.inode.has_flag(CASEFOLD) {
            return Ok(self.find(name)?.is_some());
        }
        match storing::folded_name(self.store, &self.inode, name)? {
            Folded::Free => Ok(false),
            Folded::Taken(_) => Ok(true),
            Folded::Unknown => Err(FsError::unsupported(OUTSIDE_ASCII)),
        }
    }

    /// Whether it holds no name but `.` and `..`.
    pub(super) fn is_empty(&self) -> Result<bool, FsError> {
        let mut empty = true;
        directory::records(self.store, &self.inode, &mut |record| {
            empty &= matches!(record.name, b"." | b"..");
            if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(empty)
    }

    /// Takes a name away; its bytes become zero.
    pub(super) fn remove(&mut self, found: Found) -> Result<(), FsError> {
        match found.spot {
            Spot::Inline { rest, at } => {
                self.change_inline(rest, |area, format| dir::remove(area, format, at))
            }
            Spot::Block { block, at } => {
                let mut bytes = self.store.block(block)?.to_vec();
                dir::remove(&mut bytes, self.format, at).map_err(|problem| {
                    FsError::corrupt("directory", format_args!("block {block}"), problem)
                })?;
                self.put_leaf(block, bytes);
                Ok(())
            }
        }
    }

    /// Adds a name that is not there.
    pub(super) fn insert(&mut self, name: &[u8], inode: u32, file_type: u8) -> Result<(), FsError> {
        if self.is_inline() && !self.insert_inline(name, inode, file_type)? {
            self.leave_inline()?;
        } else if self.is_inline() {
            return Ok(());
        }
        if self.is_indexed() {
            return self.insert_indexed(name, inode, file_type);
        }
        // An index that the filesystem's features do not have would no longer fit the names.
        if self.inode.has_flag(INDEX) {
            return Err(FsError::unsupported("an indexed directory without dir_index"));
        }
        let leaves: Vec<u64> = self.leaves().collect();
        for &logical in &leaves {
            let (block, mut bytes) = self.leaf(logical)?;
            if self.insert_into(logical, &mut bytes, name, inode, file_type)? {
                self.put_leaf(block, bytes);
                return Ok(());
            }
        }
        if self.blocks() == 1 && self.store.superblock.has_compat(compat::DIR_INDEX) {
            self.make_index()?;
            return self.insert_indexed(name, inode, file_type);
        }
        let logical = self.append()?;
        let mut bytes = dir::empty_block(self.format);
        if !self.insert_into(logical, &mut bytes, name, inode, file_type)? {
            return Err(FsError::BadName);
        }
        self.put_leaf(self.physical(logical)?, bytes);
        Ok(())
    }

    fn insert_into(
        &self,
        logical: u64,
        bytes: &mut [u8],
        name: &[u8],
        inode: u32,
        file_type: u8,
    ) -> Result<bool, FsError> {
        dir::insert(bytes, self.format, name, inode, file_type)
            .map_err(|problem| self.corrupt(logical, problem))
    }

    /// Makes `..` name another directory.
    pub(super) fn set_parent(&mut self, parent: u32) -> Result<(), FsError> {
        if self.is_inline() {
            let mut area = self.inode.block_area().to_vec();
            put32(&mut area, 0, parent);
            self.inode.set_block_area(&area);
            return Ok(());
        }
        if self.is_indexed() {
            let mut index = self.index(0)?;
            if let Some(root) = &mut index.root {
                root.dotdot = parent;
            }
            return self.put_index(0, &index);
        }
        let (block, mut bytes) = self.leaf(0)?;
        let record = dir::find(&bytes, self.format, b"..")
            .map_err(|problem| self.corrupt(0, problem))?
            .ok_or_else(|| self.corrupt(0, "no '..'"))?;
        let (at, file_type) = (record.at, record.file_type);
        dir::retarget(&mut bytes, self.format, at, parent, file_type);
        self.put_leaf(block, bytes);
        Ok(())
    }

    /// Keeps the directory's inode, whose content has changed now.
    pub(super) fn touch(mut self) {
        self.inode.set_time(Time::Modify, self.store.now());
        self.inode.set_time(Time::Change, self.store.now());
        self.store.put_inode(self.inode);
    }

    /// The first block of a new directory.
    pub(super) fn make_first_block(&mut self, parent: u32) -> Result<(), FsError> {
        let (_, block) = self.store.append_block(&mut self.inode)?;
        self.read_map()?;
        let mut bytes = dir::empty_block(self.format);
        self.put_dots(&mut bytes, parent)?;
        self.put_leaf(block, bytes);
        Ok(())
    }

    fn put_dots(&self, bytes: &mut [u8], parent: u32) -> Result<(), FsError> {
        /// The file type of a directory.
        const DIRECTORY: u8 = 2;
        self.insert_into(0, bytes, b".", self.inode.number(), DIRECTORY)?;
        self.insert_into(0, bytes, b"..", parent, DIRECTORY)?;
        Ok(())
    }

    /// All names but `.` and `..`, owned.
    fn owned_names(&self) -> Result<Vec<(Vec<u8>, u32, u8)>, FsError> {
        let mut names = Vec::new();
        directory::records(self.store, &self.inode, &mut |record| {
            if !matches!(record.name, b"." | b"..") {
                names.push((record.name.to_vec(), record.inode, record.file_type));
            }
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }
}

/// Whether a directory can hold a name.
fn check_name(name: &[u8]) -> Result<(), FsError> {
    let bad = name.is_empty()
        || name.len() > dir::NAME_MAX
        || matches!(name, b"." | b"..")
        || name.iter().any(|&byte| byte == b'/' || byte == 0);
    if bad { Err(FsError::BadName) } else { Ok(()) }
}

/// Directories kept in their inode.
impl Directory<'_> {
    /// The records behind `i_block`, where there are some.
    fn inline_rest(&self) -> Result<Vec<u8>, FsError> {
        attributes::inline_rest(self.store, &self.inode)
    }

    fn inline_format(&self, area: &[u8]) -> Format {
        Format { block_size: area.len(), checksum: false, ..self.format }
    }

    fn find_inline(&self, name: &[u8]) -> Result<Option<Found>, FsError> {
        let rest = self.inline_rest()?;
        let first = self.inode.block_area().get(INLINE_HEAD..).unwrap_or_default();
        for (is_rest, area) in [(false, first), (true, &rest)] {
            let record = dir::find(area, self.inline_format(area), name)
                .map_err(|problem| self.corrupt(0, problem))?;
            if let Some(Record { at, inode, .. }) = record {
                return Ok(Some(Found { spot: Spot::Inline { rest: is_rest, at }, inode }));
            }
        }
        Ok(None)
    }

    fn change_inline<T>(
        &mut self,
        rest: bool,
        change: impl FnOnce(&mut [u8], Format) -> Result<T, String>,
    ) -> Result<T, FsError> {
        if !rest {
            let mut area = self.inode.block_area().to_vec();
            let records = area.get_mut(INLINE_HEAD..).unwrap_or_default();
            let format = self.inline_format(records);
            let result = change(records, format).map_err(|problem| self.corrupt(0, problem))?;
            self.inode.set_block_area(&area);
            return Ok(result);
        }
        let mut stored = attributes::in_inode(&self.inode)?;
        let value = stored.iter_mut().find_map(|attribute| match &mut attribute.value {
            xattr::Value::Here(value)
                if (attribute.index, attribute.name.as_slice())
                    == (xattr::SYSTEM, xattr::INLINE_DATA) =>
            {
                Some(value)
            }
            _ => None,
        });
        let Some(value) = value else {
            return Err(self.corrupt(0, "no attribute with the rest of its names"));
        };
        let format = self.inline_format(value);
        let result = change(value, format).map_err(|problem| self.corrupt(0, problem))?;
        let area =
            xattr::to_inode(&stored, self.inode.xattr_area().len()).ok_or(FsError::NoSpace)?;
        self.inode.set_xattr_area(&area)?;
        Ok(result)
    }

    fn insert_inline(&mut self, name: &[u8], inode: u32, file_type: u8) -> Result<bool, FsError> {
        let insert =
            |area: &mut [u8], format: Format| dir::insert(area, format, name, inode, file_type);
        if self.change_inline(false, insert)? {
            return Ok(true);
        }
        if self.inline_rest()?.is_empty() {
            return Ok(false);
        }
        self.change_inline(true, insert)
    }

    /// Turns an inline directory into one of blocks.
    fn leave_inline(&mut self) -> Result<(), FsError> {
        let parent = u32_at(self.inode.block_area(), 0);
        let names = self.owned_names()?;
        self.store.remove_inline_rest(&mut self.inode)?;
        self.inode.set_flag(INLINE_DATA, false);
        self.inode.set_flag(EXTENTS, self.store.superblock.has_incompat(incompat::EXTENT));
        self.inode.set_block_area(&[0; BLOCK_AREA_LEN]);
        super::content::empty_map(&mut self.inode);
        self.inode.set_size(0);
        let (_, block) = self.store.append_block(&mut self.inode)?;
        self.read_map()?;
        let mut bytes = dir::empty_block(self.format);
        self.put_dots(&mut bytes, parent)?;
        for (name, inode, file_type) in names {
            if !self.insert_into(0, &mut bytes, &name, inode, file_type)? {
                return Err(self.corrupt(0, "inline names that do not fit a block"));
            }
        }
        self.put_leaf(block, bytes);
        Ok(())
    }
}

/// One step of the way from the root to a leaf.
pub(super) struct Step {
    /// The index block's place in the directory.
    logical: u64,
    index: Index,
    /// Which pair leads on.
    at: usize,
}

/// Directories with an index.
impl Directory<'_> {
    fn hash_of(&self, version: u8, name: &[u8]) -> Result<u32, FsError> {
        /// `s_flags`: directory hashes take bytes as unsigned.
        const UNSIGNED_HASH: u32 = 2;
        let superblock = &self.store.superblock;
        let hash = Hash::from_disk(version, superblock.flags() & UNSIGNED_HASH != 0)
            .ok_or_else(|| FsError::unsupported(format!("directory hash {version}")))?;
        if !self.inode.has_flag(CASEFOLD) {
            return Ok(hash.of(name, superblock.hash_seed()));
        }
        if !name.is_ascii() {
            return Err(FsError::unsupported(
                "a name outside ASCII in a directory that ignores case",
            ));
        }
        Ok(hash.of(&name.to_ascii_lowercase(), superblock.hash_seed()))
    }

    fn hash(&self, name: &[u8]) -> Result<u32, FsError> {
        let version = self.index(0)?.root.map_or(0, |root| root.hash_version);
        self.hash_of(version, name)
    }

    /// How many levels of inner nodes an index may have.
    fn max_levels(&self) -> u8 {
        if self.store.superblock.has_incompat(incompat::LARGE_DIR) { 2 } else { 1 }
    }

    /// The way to the leaf of a hash; its last step's pair names the leaf.
    fn path(&self, hash: u32) -> Result<Vec<Step>, FsError> {
        let index = self.index(0)?;
        let levels = index.root.map_or(0, |root| root.levels);
        if levels > self.max_levels() {
            return Err(self.corrupt(0, format_args!("an index of {levels} levels")));
        }
        let at = index.covering(hash);
        let mut path = vec![Step { logical: 0, index, at }];
        for _ in 0..levels {
            let Some(above) = path.last() else { break };
            let logical = u64::from(above.index.pairs[above.at].block);
            let index = self.index(logical)?;
            let at = index.covering(hash);
            path.push(Step { logical, index, at });
        }
        Ok(path)
    }

    fn insert_indexed(&mut self, name: &[u8], inode: u32, file_type: u8) -> Result<(), FsError> {
        /// Every split halves a leaf, and every index block on the way may be split first.
        const ROUNDS: usize = 24;
        let hash = self.hash(name)?;
        for _ in 0..ROUNDS {
            let path = self.path(hash)?;
            let Some(last) = path.last() else { break };
            let logical = u64::from(last.index.pairs[last.at].block);
            let (block, mut bytes) = self.leaf(logical)?;
            if self.insert_into(logical, &mut bytes, name, inode, file_type)? {
                self.put_leaf(block, bytes);
                return Ok(());
            }
            if last.index.is_full() {
                self.grow(path)?;
            } else {
                self.split_leaf(path, logical, &bytes)?;
            }
        }
        Err(FsError::NoSpace)
    }

    /// Moves the upper half of a leaf's names to a new block.
    fn split_leaf(
        &mut self,
        mut path: Vec<Step>,
        logical: u64,
        bytes: &[u8],
    ) -> Result<(), FsError> {
        let version =
            path.first().and_then(|step| step.index.root).map_or(0, |root| root.hash_version);
        let mut names = Vec::new();
        for record in dir::records(bytes, self.format) {
            let record = record.map_err(|problem| self.corrupt(logical, problem))?;
            if record.inode != 0 {
                names.push(htree::Hashed {
                    hash: self.hash_of(version, record.name)?,
                    inode: record.inode,
                    file_type: record.file_type,
                    name: record.name.to_vec(),
                });
            }
        }
        names.sort_by_key(|name| name.hash);
        let Some((cut, hash)) = htree::split_point(&names) else {
            return Err(self.corrupt(logical, "a leaf that is full without names"));
        };
        let upper = self.append()?;
        let new_block = narrow(upper)?;
        self.fill(logical, &names[..cut])?;
        self.fill(upper, &names[cut..])?;
        if let Some(last) = path.last_mut() {
            last.index.pairs.insert(last.at + 1, Pair { hash, block: new_block });
            self.put_index(last.logical, &last.index)?;
        }
        Ok(())
    }

    fn fill(&self, logical: u64, names: &[htree::Hashed]) -> Result<(), FsError> {
        let mut bytes = dir::empty_block(self.format);
        for name in names {
            if !self.insert_into(logical, &mut bytes, &name.name, name.inode, name.file_type)? {
                return Err(self.corrupt(logical, "half its names do not fit a block"));
            }
        }
        self.put_leaf(self.physical(logical)?, bytes);
        Ok(())
    }

    /// Makes room in the index above a leaf: splits the topmost full block whose parent has room,
    /// or puts a level under the root.
    fn grow(&mut self, mut path: Vec<Step>) -> Result<(), FsError> {
        let full = path.iter().rposition(|step| !step.index.is_full()).map_or(0, |n| n + 1);
        if full == 0 {
            let Some(root_step) = path.first_mut() else { return Err(FsError::NoSpace) };
            let mut index = root_step.index.clone();
            let Some(root) = &mut index.root else { return Err(FsError::NoSpace) };
            if root.levels >= self.max_levels() {
                return Err(FsError::NoSpace);
            }
            root.levels += 1;
            let node = self.append()?;
            let pairs =
                std::mem::replace(&mut index.pairs, vec![Pair { hash: 0, block: narrow(node)? }]);
            let limit = Index::limit_of(self.format, false);
            self.put_index(node, &Index { root: None, pairs, limit })?;
            return self.put_index(0, &index);
        }
        let node = self.append()?;
        let [.., parent, child] = &mut path[..=full] else { return Err(FsError::NoSpace) };
        let mut upper = child.index.pairs.split_off(child.index.pairs.len() / 2);
        let Some(first) = upper.first_mut() else { return Err(FsError::NoSpace) };
        let hash = std::mem::take(&mut first.hash);
        let limit = Index::limit_of(self.format, false);
        self.put_index(node, &Index { root: None, pairs: upper, limit })?;
        self.put_index(child.logical, &child.index)?;
        parent.index.pairs.insert(parent.at + 1, Pair { hash, block: narrow(node)? });
        self.put_index(parent.logical, &parent.index)
    }

    /// Turns a directory of one block into an indexed one of two.
    fn make_index(&mut self) -> Result<(), FsError> {
        let parent = directory::parent(self.store, &self.inode)?;
        let names = self.owned_names()?;
        let version = self.store.superblock.default_hash_version();
        // Nothing is changed when some name cannot be hashed.
        for (name, ..) in &names {
            self.hash_of(version, name)?;
        }
        let leaf = self.append()?;
        let mut bytes = dir::empty_block(self.format);
        for (name, inode, file_type) in &names {
            if !self.insert_into(leaf, &mut bytes, name, *inode, *file_type)? {
                return Err(self.corrupt(0, "more names than a block holds"));
            }
        }
        self.put_leaf(self.physical(leaf)?, bytes);
        self.inode.set_flag(INDEX, true);
        let root = Root {
            hash_version: version,
            levels: 0,
            dot: self.inode.number(),
            dotdot: parent,
            file_type: if self.format.file_type { 2 } else { 0 },
        };
        let index = Index {
            root: Some(root),
            pairs: vec![Pair { hash: 0, block: narrow(leaf)? }],
            limit: Index::limit_of(self.format, true),
        };
        self.put_index(0, &index)
    }
}

/// Index blocks hold directory block numbers of 28 bits.
fn narrow(logical: u64) -> Result<u32, FsError> {
    u32::try_from(logical).ok().filter(|&block| block <= 0x0fff_ffff).ok_or(FsError::NoSpace)
}

/// Looks at a directory that may not have been touched at all: each name's inode has to be in
/// use, and unless free space is kept, what belongs to no name is zeroed.
///
/// # Errors
/// `Corrupt`.
pub(super) fn seal(store: &Store, number: u32, names: &mut Names<'_>) -> Result<(), FsError> {
    let inode = store.inode(number)?;
    names.directory(number, directory::parent(store, &inode)?)?;
    // Records of encrypted directories that ignore case have bytes behind their names.
    let is_left = store.options.keep_free_space || inode.has_flag(ENCRYPT);
    if is_left || inode.has_flag(INLINE_DATA) {
        check_names(store, &inode, names)?;
    }
    if is_left {
        return Ok(());
    }
    let mut directory = Directory::open(store, number)?;
    if directory.is_inline() {
        let mut changed = directory.change_inline(false, dir::scrub)?;
        if !directory.inline_rest()?.is_empty() {
            changed |= directory.change_inline(true, dir::scrub)?;
        }
        if changed {
            store.put_inode(directory.inode);
        }
        return Ok(());
    }
    let nodes = if directory.is_indexed() { directory.scrub_index()? } else { Vec::new() };
    let leaves: Vec<u64> = directory.leaves().collect();
    for logical in leaves {
        if nodes.binary_search(&logical).is_err() {
            let (block, mut bytes) = directory.leaf(logical)?;
            for record in dir::records(&bytes, directory.format) {
                let record = record.map_err(|problem| directory.corrupt(logical, problem))?;
                if record.inode != 0 && !matches!(record.name, b"." | b"..") {
                    names.name(number, record.inode, record.name)?;
                }
            }
            if dir::scrub(&mut bytes, directory.format)
                .map_err(|problem| directory.corrupt(logical, problem))?
            {
                directory.put_leaf(block, bytes);
            }
        }
    }
    Ok(())
}

fn check_names(store: &Store, directory: &Inode, names: &mut Names<'_>) -> Result<(), FsError> {
    let mut result = Ok(());
    directory::records(store, directory, &mut |record| {
        if !matches!(record.name, b"." | b"..") {
            result = names.name(directory.number(), record.inode, record.name);
        }
        if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    result
}

impl Directory<'_> {
    /// Zeroes the root's unused pairs: it was a block of names once. Gives the inner nodes,
    /// ascending.
    fn scrub_index(&self) -> Result<Vec<u64>, FsError> {
        let root = self.index(0)?;
        let block = self.physical(0)?;
        let clean = root
            .to_bytes(self.format, self.seed())
            .ok_or_else(|| self.corrupt(0, "an index that does not fit"))?;
        if *self.store.block(block)? != *clean {
            self.store.put_block(block, clean);
        }
        let levels = root.root.map_or(0, |root| root.levels);
        if levels > self.max_levels() {
            return Err(self.corrupt(0, format_args!("an index of {levels} levels")));
        }
        let mut nodes: Vec<u64> = Vec::new();
        let mut above = vec![root];
        for _ in 0..levels {
            let level: Vec<u64> = above
                .iter()
                .flat_map(|index| index.pairs.iter().map(|pair| u64::from(pair.block)))
                .collect();
            // No index has more nodes than its directory has blocks.
            if nodes.len() + level.len() > usize::try_from(self.blocks()).unwrap_or(usize::MAX) {
                return Err(self.corrupt(0, "more inner nodes than blocks"));
            }
            above = level.iter().map(|&logical| self.index(logical)).collect::<Result<_, _>>()?;
            nodes.extend(level);
        }
        nodes.sort_unstable();
        Ok(nodes)
    }
}
