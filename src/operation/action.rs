//! What a step asks for, worked out to the last byte.

use serde::{Deserialize, Serialize};

use super::content::Content;
use crate::fs::{Kind, MetaChange, NewMeta};
use crate::path::GuestPath;

/// One change of one path. Concrete: no pattern, no expression, nothing left to look up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Remove the path; a directory with everything below it.
    Remove {
        /// What it is.
        kind: Kind,
        /// How many nodes go, the path's own included.
        nodes: u64,
        /// How many bytes of content go.
        bytes: u64,
    },
    /// Make a regular file where nothing is, or in place of what is there.
    CreateFile {
        /// Its content.
        content: Content,
        /// Its owner, mode and xattrs.
        meta: NewMeta,
        /// What is removed first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Make a directory where nothing is, or in place of what is there.
    CreateDirectory {
        /// Its owner, mode and xattrs.
        meta: NewMeta,
        /// What is removed first; a directory with everything below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Make a symlink where nothing is, or in place of what is there.
    CreateSymlink {
        /// Its target.
        #[serde(with = "crate::content::as_text_or_base64")]
        target: Vec<u8>,
        /// Its owner and xattrs (the mode is 0777).
        meta: NewMeta,
        /// What is removed first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Make a device, pipe or socket where nothing is, or in place of what is there.
    CreateSpecial {
        /// What it is.
        kind: Kind,
        /// A device's major and minor number.
        device: (u32, u32),
        /// Its owner, mode and xattrs.
        meta: NewMeta,
        /// What is removed first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Give a file that is at another path of the same filesystem this name, too, where nothing is
    /// or in place of what is there.
    CreateLink {
        /// Where the file is at the end, within the filesystem.
        to: GuestPath,
        /// What is removed first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Move what is at another path of the same filesystem to this one, with everything below it.
    /// All other changes name paths as they are once everything is moved.
    Move {
        /// Where it is before the run, within the filesystem.
        from: GuestPath,
        /// What it is.
        kind: Kind,
        /// A file's whole new content, or `None` to leave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Content>,
        /// The first byte of a file that is zeroed, with all behind it; length and storage stay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wiped_from: Option<u64>,
        /// How many bytes of content it had before.
        bytes_before: u64,
        /// Metadata to change.
        #[serde(default)]
        meta: MetaChange,
        /// What is removed first; a directory with everything below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Replaced>,
    },
    /// Change a file's content, or metadata, or both; everything not named stays.
    Update {
        /// The whole new content, or `None` to leave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Content>,
        /// How many bytes of content the file had before.
        bytes_before: u64,
        /// Metadata to change.
        #[serde(default)]
        meta: MetaChange,
    },
    /// Zero a file's content from a byte on; its length and its storage stay.
    Wipe {
        /// First byte that is zeroed.
        from: u64,
        /// How many bytes that is.
        bytes: u64,
        /// Metadata to change.
        #[serde(default)]
        meta: MetaChange,
    },
}

/// One change of a volume as a whole. Concrete, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VolumeAction {
    /// Give its filesystem another UUID.
    SetUuid {
        /// The one it has, as `blkid` prints it.
        from: String,
        /// The one it gets.
        to: String,
    },
    /// Discard what its swap area holds; header, UUID and label stay.
    WipeSwap {
        /// How many bytes that is.
        bytes: u64,
    },
}

impl VolumeAction {
    /// Changes of one volume come in the order of this number.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::WipeSwap { .. } => 0,
            Self::SetUuid { .. } => 1,
        }
    }

    /// How many bytes of content go by it.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::SetUuid { .. } => 0,
            Self::WipeSwap { bytes } => *bytes,
        }
    }
}

/// How many objects a change is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// Files, symlinks, devices: everything that is no directory.
    pub files: u64,
    /// Directories.
    pub directories: u64,
}

impl Objects {
    /// One object of this kind.
    pub fn one(kind: Kind) -> Self {
        Self::among(1, u64::from(kind == Kind::Directory))
    }

    /// `nodes` objects, of which so many are directories.
    pub fn among(nodes: u64, directories: u64) -> Self {
        Self { files: nodes.saturating_sub(directories), directories }
    }
}

impl std::ops::AddAssign for Objects {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.directories = self.directories.saturating_add(other.directories);
    }
}

impl Action {
    /// The content that it gives a file.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::CreateFile { content, .. } => Some(content),
            Self::Update { content, .. } | Self::Move { content, .. } => content.as_ref(),
            _ => None,
        }
    }

    /// How many bytes of content go by it.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Remove { bytes, .. } | Self::Wipe { bytes, .. } => *bytes,
            Self::CreateFile { replaces, .. }
            | Self::CreateDirectory { replaces, .. }
            | Self::CreateSymlink { replaces, .. }
            | Self::CreateSpecial { replaces, .. }
            | Self::CreateLink { replaces, .. } => replaces.map_or(0, |gone| gone.bytes),
            Self::Move { content, wiped_from, bytes_before, replaces, .. } => {
                let kept = content.as_ref().map(Content::len).or(*wiped_from);
                let gone = replaces.map_or(0, |gone| gone.bytes);
                gone.saturating_add(kept.map_or(0, |kept| bytes_before.saturating_sub(kept)))
            }
            Self::Update { content: None, .. } => 0,
            Self::Update { content: Some(content), bytes_before, .. } => {
                bytes_before.saturating_sub(content.len())
            }
        }
    }
}

/// What a new object takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// What it is.
    pub kind: Kind,
    /// How many nodes go, the path's own included.
    pub nodes: u64,
    /// How many bytes of content go.
    pub bytes: u64,
}
