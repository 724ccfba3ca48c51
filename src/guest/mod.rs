//! The guest as its users see it: a mounted tree, symlinks resolved inside it, and facts about it.

mod accounts;
pub mod boot;
pub mod cloud_init;
mod disk;
mod facts;
mod files;
mod fstab;
mod glob;
mod looked;
pub mod network;
pub(crate) mod packages;
mod resolve;
pub mod selinux;
mod swap_unit;
pub mod tmpfiles;
mod tree;
mod walk;
pub mod way_in;

use std::fmt;

use crate::fs::FsError;
use crate::path::GuestPath;
use crate::volume::{VolumeError, VolumeId};

pub use accounts::Account;
pub(crate) use accounts::parse as parse_accounts;
pub use disk::{Disk, Filesystem, Swap};
pub use facts::{Facts, Family, Init, MachineId, Packages, SelinuxMode};
pub use files::{FileId, FileState, Files, NAMES};
pub(crate) use fstab::{MountedAt, swap_files as fstab_swap_files};
pub use glob::{NamePattern, Pattern};
pub use resolve::{Reached, Way};
pub(crate) use swap_unit::swap_unit_files;
pub use tree::{Found, Mount, Place, Tree, Unread};
pub use walk::{Walk, WalkEntry, Walked};

/// One operating system in an image.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The volume of its root filesystem.
    pub root: VolumeId,
    /// What it is.
    pub facts: Facts,
    /// Its files, mounted as its `/etc/fstab` says.
    pub tree: Tree,
    /// What was odd, one line each: `fstab` lines that are not mounted and why, files hidden
    /// under a mount point, facts that could not be read.
    pub notes: Vec<String>,
    /// What the guest has in this image and was not looked at.
    pub unseen: Vec<Unseen>,
    accounts: Vec<Account>,
}

/// A part of a guest that is not looked at although it is, or may be, in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Where: a mount point, or the file that would say what is mounted.
    pub path: GuestPath,
    /// Why, and what that means.
    pub reason: String,
}

impl Guest {
    /// The guest's accounts, from its `/etc/passwd`, in the file's order.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Every volume with a filesystem mounted in this guest, each once, the root's first.
    pub fn volumes(&self) -> Vec<&VolumeId> {
        let mut volumes: Vec<&VolumeId> = Vec::new();
        for mount in self.tree.mounts() {
            if !volumes.contains(&&mount.volume) {
                volumes.push(&mount.volume);
            }
        }
        volumes
    }
}

/// Why a guest could not be looked at.
#[derive(Debug)]
#[non_exhaustive]
pub enum GuestError {
    /// The caller's pattern is none.
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A part of the tree that had to be searched cannot be read.
    Unread(Unread),
    /// The guest's files do not tell what was asked; what and why, in words.
    NotKnown(String),
    /// The disk cannot be read, or not be taken apart into volumes.
    Layout(VolumeError),
    /// A volume cannot be read.
    Probe {
        /// The volume.
        volume: VolumeId,
        /// What was said when its filesystem was looked for.
        source: FsError,
    },
    /// A filesystem failed at a path of the guest.
    Fs {
        /// Where in the guest.
        path: GuestPath,
        /// What the filesystem said.
        source: FsError,
    },
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPattern { pattern, problem } => write!(f, "pattern '{pattern}': {problem}"),
            Self::Unread(unread) => unread.fmt(f),
            Self::NotKnown(words) => f.write_str(words),
            Self::Layout(error) => error.fmt(f),
            Self::Probe { volume, source } => write!(f, "{volume}: {source}"),
            Self::Fs { path, source } => write!(f, "{path}: {source}"),
        }
    }
}

impl std::error::Error for GuestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadPattern { .. } | Self::Unread(_) | Self::NotKnown(_) => None,
            Self::Layout(error) => Some(error),
            Self::Probe { source, .. } | Self::Fs { source, .. } => Some(source),
        }
    }
}
