//! Volumes that carry a seed: a small read-only disc (ISO 9660) or FAT filesystem, which is
//! attached to a virtual machine as a disk of its own.
//!
//! A [`Tree`] is what files there are, [`nocloud`] and [`config_drive`] say which ones cloud-init
//! looks for, and [`build`] makes the volume's bytes. Equal trees at an equal time give equal bytes.

pub mod config_drive;
mod iso9660;
mod network_data;
pub mod nocloud;
mod vfat;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::block::{BlockError, Memory};
use crate::fs::{FsError, Timestamp};
use crate::seed::SeedFile;

/// The longest name of a file or folder, which is Joliet's limit.
const NAME: usize = 64;
/// How many names a path may have: ECMA-119, section 6.8.2.1, allows eight levels, and the root is
/// the first.
const DEPTH: usize = 8;

/// What a volume is formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ISO 9660 with Rock Ridge and Joliet: a CD-ROM.
    #[serde(rename = "iso")]
    Iso9660,
    /// FAT without a partition table: a disk.
    Vfat,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iso9660 => "iso",
            Self::Vfat => "vfat",
        })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "iso" | "iso9660" => Ok(Self::Iso9660),
            "vfat" => Ok(Self::Vfat),
            other => Err(format!("'{other}' is no format of a volume (iso, vfat)")),
        }
    }
}

/// Why a volume cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum VolumeError {
    /// A path that not every one of the trees in a volume can hold, and why.
    Path(String, &'static str),
    /// More than the format can hold.
    TooLarge,
    /// A file of a seed that this kind of volume cannot carry, and why.
    NotCarried(SeedFile, String),
    /// The filesystem refused.
    Fs(FsError),
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path, why) => write!(f, "{path}: {why}"),
            Self::TooLarge => f.write_str("more than a volume of this format can hold"),
            Self::NotCarried(file, why) => write!(f, "{}: {why}", file.name()),
            Self::Fs(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for VolumeError {}

impl From<FsError> for VolumeError {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

impl From<BlockError> for VolumeError {
    fn from(error: BlockError) -> Self {
        Self::Fs(error.into())
    }
}

/// The files of a volume, by path without a slash in front. Folders are those that files are in.
#[derive(Clone, Debug, Default)]
pub struct Tree<'a> {
    files: BTreeMap<String, Cow<'a, [u8]>>,
}

impl<'a> Tree<'a> {
    /// Adds a file, in place of one at the same path.
    ///
    /// # Errors
    /// [`VolumeError::Path`]: names are 1 to 64 letters, digits, `.`, `_` and `-` (POSIX's portable
    /// ones), end in no dot, and are at most eight a path; a path is that of a file or of a folder,
    /// and differs from others in more than its capitals.
    pub fn insert(
        &mut self,
        path: &str,
        content: impl Into<Cow<'a, [u8]>>,
    ) -> Result<(), VolumeError> {
        let refused = |why| Err(VolumeError::Path(path.to_owned(), why));
        let portable = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        for name in path.split('/') {
            if !(1..=NAME).contains(&name.len()) {
                return refused("a name has 1 to 64 characters");
            }
            if !name.chars().all(portable) || name.ends_with('.') {
                return refused(
                    "a name holds letters, digits, '.', '_' and '-', and ends in no dot",
                );
            }
        }
        if path.split('/').count() > DEPTH {
            return refused("deeper than eight levels");
        }
        for other in self.files.keys().filter(|other| *other != path) {
            if clash(path, other) {
                return refused("another path is the same to a filesystem without capitals");
            }
        }
        self.files.insert(path.to_owned(), content.into());
        Ok(())
    }

    /// Each file's path and content, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_ref()))
    }
}

/// Whether two paths of files cannot be in one volume: they are the same but for capitals, one is
/// the other's folder, or a folder of theirs is spelled in two ways.
fn clash(one: &str, other: &str) -> bool {
    let mut names = one.split('/').zip(other.split('/'));
    match names.find(|(one, other)| one != other) {
        Some((one, other)) => one.eq_ignore_ascii_case(other),
        None => true,
    }
}

/// Makes a volume's bytes. `label` is ASCII of at most 11 characters, `now` the time of every file.
///
/// # Errors
/// [`VolumeError::TooLarge`].
pub fn build(
    tree: &Tree<'_>,
    label: &str,
    format: Format,
    now: Timestamp,
) -> Result<Memory, VolumeError> {
    match format {
        Format::Iso9660 => iso9660::build(tree, label, now),
        Format::Vfat => vfat::build(tree, label, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_volume_cannot_hold_are_refused() {
        let mut tree = Tree::default();
        tree.insert("a/b", &b"1"[..]).unwrap();
        tree.insert("a/b", &b"2"[..]).unwrap();
        tree.insert("a/B.c", &b""[..]).unwrap();
        let long = "n".repeat(NAME + 1);
        let names = ["", "a/", "/a", "a//c", "..", "a/.", "x.", "x y", "x\u{e4}", &long];
        let taken = ["a", "a/b/c", "A/x", "A/B", "a/b.C"];
        for path in names.into_iter().chain(taken).chain(["1/2/3/4/5/6/7/8/9"]) {
            assert!(tree.insert(path, &b""[..]).is_err(), "{path}");
        }
        tree.insert("1/2/3/4/5/6/7/8", &b""[..]).unwrap();
        let files: Vec<_> = tree.files().skip(1).collect();
        assert_eq!(files, [("a/B.c", &b""[..]), ("a/b", b"2")]);
    }
}
