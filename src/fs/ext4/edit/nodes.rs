//! Inodes as a whole: made, unlinked, freed with everything below them.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::content::empty_map;
use super::directory::Directory;
use super::store::Store;
use crate::fs::ext4::directory;
use crate::fs::ext4::features::{incompat, ro_compat};
use crate::fs::ext4::inode::{CASEFOLD, EXTENTS, Inode, ROOT, Time, mode_of_kind};
use crate::fs::ext4::storing;
use crate::fs::{FsError, Kind, NewKind, NewMeta};

/// `EXT4_LINK_MAX`: with `dir_nlink` a directory with more says 1, for "many".
const MAX_LINKS: u16 = 65_000;
/// A symlink's target shorter than this is in `i_block`.
const FAST_SYMLINK: usize = 60;

impl Store {
    /// Makes an inode for a name in `parent`, with its content. A new directory's `..` is
    /// `parent`, which counts it.
    pub(super) fn create(
        &self,
        parent: &mut Inode,
        kind: NewKind<'_>,
        meta: &NewMeta,
    ) -> Result<u32, FsError> {
        let is_directory = kind == NewKind::Directory;
        storing::object(self, &kind)?;
        let mut inode = self.allocate_inode(self.group_of(parent), is_directory)?;
        let number = inode.number();
        inode.set_uid(meta.uid);
        inode.set_gid(meta.gid);
        inode.set_links(1);
        let mode = meta.mode & 0o7777;
        let extents = self.superblock.has_incompat(incompat::EXTENT);
        match kind {
            NewKind::File(content) => {
                inode.set_mode(mode_of_kind(Kind::File) | mode);
                inode.set_flag(EXTENTS, extents);
                empty_map(&mut inode);
                self.write_content(&mut inode, content)?;
            }
            NewKind::Symlink(target) => {
                inode.set_mode(mode_of_kind(Kind::Symlink) | 0o777);
                if target.len() < FAST_SYMLINK {
                    inode.set_block_area(target);
                    inode.set_size(target.len() as u64);
                } else {
                    inode.set_flag(EXTENTS, extents);
                    empty_map(&mut inode);
                    self.write_content(&mut inode, target)?;
                }
            }
            NewKind::Special(kind @ (Kind::File | Kind::Directory | Kind::Symlink), _) => {
                return Err(FsError::unsupported(format!("a special file of the kind {kind:?}")));
            }
            NewKind::Special(kind, device) => {
                inode.set_mode(mode_of_kind(kind) | mode);
                inode.set_device(device);
            }
            NewKind::Directory => {
                inode.set_mode(mode_of_kind(Kind::Directory) | mode);
                inode.set_links(2);
                inode.set_flag(EXTENTS, extents);
                inode.set_flag(CASEFOLD, parent.has_flag(CASEFOLD));
                empty_map(&mut inode);
                self.count_subdirectory(parent, true)?;
                self.put_inode(inode);
                let mut directory = Directory::open(self, number)?;
                directory.make_first_block(parent.number())?;
                inode = directory.inode;
            }
        }
        let attributes: Vec<(String, Option<Vec<u8>>)> =
            meta.xattrs.iter().map(|it| (it.name.clone(), Some(it.value.clone()))).collect();
        self.change_attributes(&mut inode, &attributes)?;
        for (which, time) in [(Time::Modify, meta.mtime), (Time::Access, meta.atime)] {
            if let Some(time) = time {
                inode.set_time(which, time);
            }
        }
        self.put_inode(inode);
        Ok(number)
    }

    /// The inode behind a name.
    pub(super) fn named_inode(&self, number: u32) -> Result<Inode, FsError> {
        if number < self.superblock.first_inode() {
            return Err(named_badly(number, "is reserved"));
        }
        self.inode(number).map_err(|error| match error {
            FsError::NotFound => named_badly(number, "is not in use"),
            other => other,
        })
    }

    /// Takes one name of what is no directory away; the last one frees the inode.
    pub(super) fn unlink(&self, mut inode: Inode) -> Result<(), FsError> {
        match inode.links() {
            0 => Err(inode.corrupt("inode", "it has a name and counts none")),
            1 => self.free(inode),
            links => {
                inode.set_links(links - 1);
                inode.set_time(Time::Change, self.now());
                self.put_inode(inode);
                Ok(())
            }
        }
    }

    /// Counts one more name of what is no directory.
    pub(super) fn count_name(&self, mut inode: Inode) -> Result<(), FsError> {
        let links = inode.links();
        if links >= MAX_LINKS {
            return Err(FsError::NoSpace);
        }
        inode.set_links(links + 1);
        inode.set_time(Time::Change, self.now());
        self.put_inode(inode);
        Ok(())
    }

    /// Frees an inode with everything it holds.
    pub(super) fn free(&self, mut inode: Inode) -> Result<(), FsError> {
        self.release_content(&mut inode)?;
        self.release_attributes(&mut inode)?;
        self.release_inode(inode.number(), inode.kind() == Some(Kind::Directory))
    }

    /// Frees a directory that no name is in.
    pub(super) fn drop_directory(&self, inode: Inode) -> Result<(), FsError> {
        self.free(inode)
    }

    /// Frees a directory with everything below it.
    pub(super) fn drop_tree(&self, top: &Inode, parent: u32) -> Result<(), FsError> {
        let mut pending = vec![(top.number(), parent)];
        while let Some((number, parent)) = pending.pop() {
            let inode = self.named_inode(number)?;
            if inode.kind() != Some(Kind::Directory) {
                return Err(inode.corrupt("inode", "it was a directory"));
            }
            // A directory has one place: what says otherwise leads into what is not to go.
            let dotdot = directory::parent(self, &inode)?;
            if dotdot != parent {
                return Err(inode.corrupt(
                    "directory",
                    format_args!("'..' is inode {dotdot}, and it is in inode {parent}"),
                ));
            }
            let mut below = Vec::new();
            directory::records(self, &inode, &mut |record| {
                if !matches!(record.name, b"." | b"..") {
                    below.push(record.inode);
                }
                ControlFlow::Continue(())
            })?;
            // Freed before what is below it: a directory below itself is then found out.
            self.free(inode)?;
            for child in below {
                let child = self.named_inode(child)?;
                if child.kind() == Some(Kind::Directory) {
                    pending.push((child.number(), number));
                } else {
                    self.unlink(child)?;
                }
            }
        }
        Ok(())
    }

    /// Counts a subdirectory in or out of its parent's links.
    pub(super) fn count_subdirectory(&self, parent: &mut Inode, more: bool) -> Result<(), FsError> {
        let links = parent.links();
        let links = match (links, more) {
            // "Many" stays.
            (0 | 1, _) => links,
            (2, false) => 2,
            (_, false) => links - 1,
            (_, true) if links < MAX_LINKS => links + 1,
            (_, true) if self.superblock.has_ro_compat(ro_compat::DIR_NLINK) => 1,
            (_, true) => return Err(FsError::NoSpace),
        };
        parent.set_links(links);
        Ok(())
    }

    /// Whether a directory is `above` or lies below it.
    pub(super) fn is_below(&self, number: u32, above: u32) -> Result<bool, FsError> {
        let mut seen = HashSet::new();
        let mut at = number;
        while at != above {
            if at == ROOT {
                return Ok(false);
            }
            if !seen.insert(at) {
                return Err(named_badly(at, "is its own parent"));
            }
            at = directory::parent(self, &self.inode(at)?)?;
        }
        Ok(true)
    }
}

fn named_badly(number: u32, problem: &str) -> FsError {
    FsError::corrupt("directory", format_args!("inode {number}"), problem)
}
