//! The names in directories, held against the inodes in use.
//!
//! A name whose inode is called free would lead to what is discarded or given to a new file; an
//! inode that is in use without a name keeps what it holds where nobody sees it, and one that counts
//! fewer names than it has is freed when the first of them goes.

use super::bitmap::{self, Bitmap};
use super::claims::{clear, is_set};
use super::store::Store;
use crate::fs::FsError;
use crate::fs::Kind;
use crate::fs::ext4::features::ro_compat;
use crate::fs::ext4::inode::{EA_INODE, Inode, ROOT};

/// In place of a number of links: they are not counted. A directory that says it has one has more
/// than it can count (`dir_nlink`).
const MANY: u32 = u32::MAX;

/// Every inode in use and the names it was found to have. Memory: two bits an inode up to a group's
/// last one in use, and eight bytes a directory or file of several names.
pub(super) struct Names<'a> {
    store: &'a Store,
    per_group: u32,
    groups: Vec<Group>,
    /// Directories and files of several names, ascending, with how many of their links were not
    /// come to yet.
    links: Vec<(u32, u32)>,
}

struct Group {
    /// In use.
    used: Box<[u8]>,
    /// No name was come to yet.
    unnamed: Box<[u8]>,
}

impl<'a> Names<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let per_group = store.superblock.inodes_per_group();
        Self { store, per_group, groups: Vec::new(), links: Vec::new() }
    }

    /// Adds the next group's bitmap.
    pub(super) fn push(&mut self, bitmap: &Bitmap) {
        let bits = bitmap.as_bytes();
        let bits = bits.get(..self.per_group.div_ceil(8) as usize).unwrap_or(bits);
        let used = bits.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        // Whatever is set behind the last inode is padding.
        self.groups.push(Group { used: bits[..used].into(), unnamed: vec![0; used].into() });
    }

    /// Adds an inode in use.
    ///
    /// # Errors
    /// `Corrupt` when it says that it has no name.
    pub(super) fn expect(&mut self, inode: &Inode) -> Result<(), FsError> {
        let (number, superblock) = (inode.number(), &self.store.superblock);
        if number < superblock.first_inode() && number != ROOT || inode.has_flag(EA_INODE) {
            return Ok(());
        }
        if number == superblock.orphan_file_inode()
            || number == superblock.journal_inode()
            || superblock.quota_inodes().contains(&number)
        {
            // The superblock is what leads to it; a journal made on a mounted filesystem has a name.
            self.links.push((number, MANY));
            return Ok(());
        }
        let is_directory = inode.kind() == Some(Kind::Directory);
        if number != ROOT
            && let Some((group, bit)) = self.place(number)
        {
            bitmap::set(&mut group.unnamed, bit);
        }
        match inode.links() {
            0 => return Err(without_a_name(number)),
            1 if !is_directory => {}
            1 if superblock.has_ro_compat(ro_compat::DIR_NLINK) => self.links.push((number, MANY)),
            links => self.links.push((number, links.into())),
        }
        Ok(())
    }

    /// Says that no inode will be added any more.
    pub(super) fn complete(&mut self) {
        self.links.sort_unstable();
    }

    /// Comes to a directory, which `..` says is in `parent`.
    ///
    /// # Errors
    /// `Corrupt` when one of them has more links than it counts.
    pub(super) fn directory(&mut self, number: u32, parent: u32) -> Result<(), FsError> {
        self.count(number)?;
        self.count(parent)
    }

    /// Comes to a name that is neither `.` nor `..`.
    ///
    /// # Errors
    /// `Corrupt` when its inode is called free, is none that can have a name, or has more names
    /// than it counts.
    pub(super) fn name(&mut self, directory: u32, number: u32, name: &[u8]) -> Result<(), FsError> {
        let place = self.place(number).map(|(group, bit)| {
            (is_set(&group.used, bit), clear(&mut group.unnamed, bit, 1).is_ok())
        });
        let Some((true, was_unnamed)) = place else {
            return Err(FsError::corrupt(
                "inode bitmap",
                format_args!("group {}", number.saturating_sub(1) / self.per_group),
                format_args!(
                    "it calls inode {number} free, which directory inode {directory} names '{}'",
                    crate::path::escape(name)
                ),
            ));
        };
        match self.links.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(_) => self.count(number),
            Err(_) if was_unnamed => Ok(()),
            Err(_) => Err(FsError::corrupt(
                "inode",
                format_args!("inode {number}"),
                format_args!(
                    "directory inode {directory} names it '{}', and it counts no such name",
                    crate::path::escape(name)
                ),
            )),
        }
    }

    /// Says that no name will be come to any more.
    ///
    /// # Errors
    /// `Corrupt` when an inode has no name, or fewer links than it counts.
    pub(super) fn finish(self) -> Result<(), FsError> {
        for (number, group) in (0..).zip(&self.groups) {
            if let Some(bit) = bitmap::first_set(&group.unnamed, 0) {
                return Err(without_a_name(number * self.per_group + bit + 1));
            }
        }
        match self.links.iter().find(|(_, left)| !matches!(*left, 0 | MANY)) {
            Some((number, left)) => {
                Err(wrong_links(*number, format_args!("it counts {left} more than it has")))
            }
            None => Ok(()),
        }
    }

    /// Takes one link of a directory or of a file of several names.
    fn count(&mut self, number: u32) -> Result<(), FsError> {
        let at = self.links.binary_search_by_key(&number, |(number, _)| *number);
        match at.ok().and_then(|at| self.links.get_mut(at)) {
            Some((_, 0)) => Err(wrong_links(number, format_args!("it has more than it counts"))),
            Some((_, MANY)) => Ok(()),
            Some((_, left)) => {
                *left -= 1;
                Ok(())
            }
            None => Err(FsError::corrupt(
                "directory",
                format_args!("inode {number}"),
                "a '..' names it, and it is no directory",
            )),
        }
    }

    fn place(&mut self, number: u32) -> Option<(&mut Group, u32)> {
        let index = number.checked_sub(1)?;
        let group = self.groups.get_mut((index / self.per_group) as usize)?;
        Some((group, index % self.per_group))
    }
}

fn without_a_name(number: u32) -> FsError {
    FsError::corrupt("inode", format_args!("inode {number}"), "it is in use and has no name")
}

fn wrong_links(number: u32, problem: std::fmt::Arguments<'_>) -> FsError {
    FsError::corrupt("link count", format_args!("inode {number}"), problem)
}
