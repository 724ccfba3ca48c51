//! Editing ext2, ext3 and ext4 on a staged device.
//!
//! Nothing is journalled and nothing is ordered: nobody sees the device before
//! [`EditFs::finish`] returns. Metadata changes are collected in [`store`] and written once, so
//! that removing thousands of files is one change of each bitmap and inode table they lie in.

mod attributes;
mod bitmap;
mod claims;
mod cluster_rest;
mod content;
mod directory;
mod groups;
mod names;
mod nodes;
mod orphans;
mod seal;
mod space;
mod store;

use std::sync::Arc;

use self::directory::Directory;
use self::store::Store;
use super::features::incompat;
use super::inode::{ENCRYPT, INLINE_DATA, ROOT, Time, VERITY, file_type_of_kind};
use super::journal;
use super::reader::Ext4;
use super::superblock::Superblock;
use crate::block::{Watched, WriteBlocks};
use crate::bytes::le32;
use crate::fs::{
    EditFs, EditOptions, Freed, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs, Source,
};

/// An open edit.
struct Editor {
    fs: Ext4<Store>,
}

/// Opens a filesystem for editing: replays its journal where it has to be, and finishes what was
/// cut off (orphaned inodes).
///
/// # Errors
/// `Unsupported` with the name of the feature or the state that forbids editing; `Corrupt`.
pub fn open(
    device: Arc<dyn WriteBlocks>,
    options: &EditOptions,
) -> Result<Box<dyn EditFs>, FsError> {
    let watched = Arc::new(Watched::new(device));
    let device: Arc<dyn WriteBlocks> = watched.clone();
    let mut superblock = editable(&device)?;
    if superblock.has_incompat(incompat::NEEDS_RECOVERY) {
        journal::replay(&device)?;
        superblock = editable(&device)?;
    }
    let store = Store::open(watched, superblock, *options)?;
    orphans::process(&store)?;
    Ok(Box::new(Editor { fs: Ext4::new(store, false) }))
}

/// Reads the superblock of a filesystem that may be edited.
fn editable(device: &Arc<dyn WriteBlocks>) -> Result<Superblock, FsError> {
    let superblock = Superblock::read(&**device)?;
    if let Some(reason) = superblock.uneditable() {
        return Err(FsError::Unsupported(reason));
    }
    check_not_in_use(&**device, &superblock)?;
    Ok(superblock)
}

/// Refuses a filesystem that another host has mounted or checks, as its multi-mount protection
/// block says ([ext4 disk layout, "Multiple Mount Protection"](https://docs.kernel.org/filesystems/ext4/globals.html#multiple-mount-protection)).
fn check_not_in_use(device: &dyn WriteBlocks, superblock: &Superblock) -> Result<(), FsError> {
    const MAGIC: u32 = 0x004d_4d50;
    /// `EXT4_MMP_SEQ_CLEAN`.
    const CLEAN: u32 = 0xff4d_4d50;
    let block = superblock.mmp_block();
    if block == 0 {
        return Ok(());
    }
    let mut head = [0; 8];
    let at = block.checked_mul(u64::from(superblock.block_size()));
    let corrupt = |problem| FsError::corrupt("MMP block", format_args!("block {block}"), problem);
    let at = at.filter(|_| block < superblock.blocks_count());
    device.read_at(at.ok_or_else(|| corrupt("no such block".to_owned()))?, &mut head)?;
    match (le32(&head, 0), le32(&head, 4)) {
        (Some(MAGIC), Some(CLEAN)) => Ok(()),
        (Some(MAGIC), _) => {
            Err(FsError::unsupported("a filesystem that another host has mounted (feature mmp)"))
        }
        (magic, _) => Err(corrupt(format!("magic {:#x}", magic.unwrap_or(0)))),
    }
}

impl Editor {
    fn store(&self) -> &Store {
        self.fs.source()
    }

    /// The number of a node that may be edited: the root, or one of those not reserved.
    fn number(&self, node: Node) -> Result<u32, FsError> {
        u32::try_from(node.0)
            .ok()
            .filter(|&number| number == ROOT || number >= self.store().superblock.first_inode())
            .ok_or(FsError::NotFound)
    }

    /// Opens a directory one of whose names is about to go.
    fn directory_without(&self, dir: Node, name: &[u8]) -> Result<Directory<'_>, FsError> {
        let number = self.number(dir)?;
        if number == ROOT && name == b"lost+found" {
            return Err(FsError::unsupported("removing lost+found, which e2fsck needs"));
        }
        Directory::open(self.store(), number)
    }
}

impl EditFs for Editor {
    fn view(&self) -> &dyn ReadFs {
        &self.fs
    }

    fn create(
        &mut self,
        dir: Node,
        name: &[u8],
        kind: NewKind<'_>,
        meta: &NewMeta,
    ) -> Result<Node, FsError> {
        let mut dir = Directory::open(self.store(), self.number(dir)?)?;
        if dir.is_taken(name)? {
            return Err(FsError::Exists);
        }
        let file_type = file_type_of_kind(kind.kind());
        let made = self.store().create(&mut dir.inode, kind, meta)?;
        dir.insert(name, made, file_type)?;
        dir.touch();
        Ok(Node(u64::from(made)))
    }

    fn replace_from(&mut self, file: Node, size: u64, source: Source<'_>) -> Result<(), FsError> {
        let store = self.store();
        let mut inode = store.inode(self.number(file)?)?;
        match inode.kind() {
            Some(Kind::File) => {}
            Some(Kind::Directory) => return Err(FsError::IsADirectory),
            _ => return Err(FsError::CannotStore("content in what is not a regular file")),
        }
        if inode.has_flag(ENCRYPT) {
            return Err(FsError::unsupported("changing an encrypted file"));
        }
        if inode.has_flag(VERITY) {
            return Err(FsError::unsupported("changing a file that fs-verity protects"));
        }
        store.release_content(&mut inode)?;
        store.write_from(&mut inode, size, source)?;
        inode.set_time(Time::Modify, store.now());
        inode.set_time(Time::Change, store.now());
        store.put_inode(inode);
        Ok(())
    }

    fn wipe(&mut self, file: Node, at: u64) -> Result<(), FsError> {
        let store = self.store();
        let inode = store.inode(self.number(file)?)?;
        match inode.kind() {
            Some(Kind::File) if !inode.has_flag(ENCRYPT | VERITY | INLINE_DATA) => {}
            Some(Kind::Directory) => return Err(FsError::IsADirectory),
            _ => {
                let what = "wiping what is no plain file in blocks of its own";
                return Err(FsError::unsupported(what));
            }
        }
        store.wipe_content(&inode, at)
    }

    fn remove(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let mut dir = self.directory_without(dir, name)?;
        let found = dir.find(name)?.ok_or(FsError::NotFound)?;
        let store = self.store();
        let inode = store.named_inode(found.inode)?;
        if inode.kind() == Some(Kind::Directory) {
            if !Directory::open(store, found.inode)?.is_empty()? {
                return Err(FsError::IsADirectory);
            }
            store.drop_directory(inode)?;
            store.count_subdirectory(&mut dir.inode, false)?;
        } else {
            store.unlink(inode)?;
        }
        dir.remove(found)?;
        dir.touch();
        Ok(())
    }

    fn remove_tree(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let mut dir = self.directory_without(dir, name)?;
        let found = dir.find(name)?.ok_or(FsError::NotFound)?;
        let store = self.store();
        let inode = store.named_inode(found.inode)?;
        if inode.kind() == Some(Kind::Directory) {
            store.drop_tree(&inode, dir.inode.number())?;
            store.count_subdirectory(&mut dir.inode, false)?;
        } else {
            store.unlink(inode)?;
        }
        dir.remove(found)?;
        dir.touch();
        Ok(())
    }

    fn detach(&mut self, dir: Node, name: &[u8]) -> Result<Node, FsError> {
        let mut old = self.directory_without(dir, name)?;
        let found = old.find(name)?.ok_or(FsError::NotFound)?;
        let store = self.store();
        if store.named_inode(found.inode)?.kind() == Some(Kind::Directory) {
            store.count_subdirectory(&mut old.inode, false)?;
        }
        old.remove(found)?;
        old.touch();
        Ok(Node(u64::from(found.inode)))
    }

    fn attach(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let (number, dir) = (self.number(node)?, self.number(dir)?);
        let store = self.store();
        let mut new = Directory::open(store, dir)?;
        if new.is_taken(name)? {
            return Err(FsError::Exists);
        }
        let mut moved = store.named_inode(number)?;
        let kind = moved.kind().ok_or_else(|| moved.corrupt("inode", "no kind"))?;
        if kind == Kind::Directory {
            if store.is_below(dir, number)? {
                return Err(FsError::BadName);
            }
            let mut directory = Directory::open(store, number)?;
            directory.set_parent(dir)?;
            moved = directory.inode;
            store.count_subdirectory(&mut new.inode, true)?;
        }
        new.insert(name, number, file_type_of_kind(kind))?;
        new.touch();
        moved.set_time(Time::Change, store.now());
        store.put_inode(moved);
        Ok(())
    }

    fn link(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let (number, dir) = (self.number(node)?, self.number(dir)?);
        let store = self.store();
        let mut new = Directory::open(store, dir)?;
        if new.is_taken(name)? {
            return Err(FsError::Exists);
        }
        let inode = store.named_inode(number)?;
        let kind = inode.kind().ok_or_else(|| inode.corrupt("inode", "no kind"))?;
        if kind == Kind::Directory {
            return Err(FsError::IsADirectory);
        }
        store.count_name(inode)?;
        new.insert(name, number, file_type_of_kind(kind))?;
        new.touch();
        Ok(())
    }

    fn set_meta(&mut self, node: Node, change: &MetaChange) -> Result<(), FsError> {
        let store = self.store();
        let mut inode = store.inode(self.number(node)?)?;
        if let Some(mode) = change.mode {
            inode.set_mode(inode.mode() & 0xf000 | mode & 0o7777);
        }
        if let Some(uid) = change.uid {
            inode.set_uid(uid);
        }
        if let Some(gid) = change.gid {
            inode.set_gid(gid);
        }
        for (which, time) in [(Time::Modify, change.mtime), (Time::Access, change.atime)] {
            if let Some(time) = time {
                inode.set_time(which, time);
            }
        }
        store.change_attributes(&mut inode, &change.xattrs)?;
        inode.set_time(Time::Change, store.now());
        store.put_inode(inode);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Freed, FsError> {
        seal::seal(self.fs.source())
    }
}
