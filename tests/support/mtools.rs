//! A FAT tree as mtools shows it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use crate::support::oracle::succeed;
use crate::support::snapshot::{Object, Snapshot};

/// The whole tree, copied out with `mcopy`.
pub(crate) fn snapshot(image: &Path) -> Snapshot {
    let out = tempfile::tempdir().unwrap();
    let image = image.to_str().expect("test paths are text");
    let into = out.path().to_str().expect("test paths are text");
    let listed = succeed("mdir", "mtools", &["-i", image, "-b", "-a", "::/"]);
    if !listed.is_empty() {
        succeed("mcopy", "mtools", &["-i", image, "-s", "-n", "-m", "::/*", into]);
    }
    let mut tree = Snapshot::new();
    let mut found: Vec<(GuestPath, PathBuf)> = vec![(GuestPath::root(), out.path().to_owned())];
    while let Some((path, host)) = found.pop() {
        let metadata = fs::symlink_metadata(&host).unwrap();
        if metadata.is_dir() {
            for entry in fs::read_dir(&host).unwrap() {
                let entry = entry.unwrap();
                found.push((path.join(entry.file_name().as_bytes()), entry.path()));
            }
        }
        let file = metadata.is_file();
        tree.insert(
            path,
            Object {
                kind: Some(if file { Kind::File } else { Kind::Directory }),
                mode: None,
                owner: None,
                size: if file { metadata.len() } else { 0 },
                content: file.then(|| Digest::of(&fs::read(&host).unwrap())),
                target: None,
                device: None,
                xattrs: None,
                mtime: file.then(|| metadata.mtime()),
                links: None,
                same_as: None,
            },
        );
    }
    tree
}
