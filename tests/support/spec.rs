//! A tree to put into an image or a model: what is where, in data.

use std::collections::BTreeMap;

use sysprep_rs::fs::{Kind, Timestamp};
use sysprep_rs::path::GuestPath;

/// What an item is.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A file; long runs of zeroes become holes.
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    /// A device, pipe or socket with its numbers.
    Special(Kind, u32, u32),
    /// Another name of the file at this path, which sorts before.
    HardLink(GuestPath),
}

/// One path of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) body: Body,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// A whole tree. The root is implied (mode 0755, owner 0:0) unless it is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec(pub(crate) BTreeMap<GuestPath, Item>);

/// The time of everything that is not given another: 2021-03-04 05:06:08 UTC (even: FAT).
pub(crate) const THEN: Timestamp = Timestamp { seconds: 1_614_834_368, nanos: 0 };

/// A path from text.
pub(crate) fn path(text: &str) -> GuestPath {
    text.parse().expect("a path")
}

impl Spec {
    pub(crate) fn add(&mut self, at: GuestPath, body: Body) -> &mut Item {
        let mode = match body {
            Body::Directory => 0o755,
            Body::Symlink(_) => 0o777,
            _ => 0o644,
        };
        self.0.insert(
            at.clone(),
            Item { body, mode, uid: 0, gid: 0, mtime: THEN, xattrs: BTreeMap::new() },
        );
        self.0.get_mut(&at).expect("just put there")
    }

    pub(crate) fn file(&mut self, at: &str, content: impl Into<Vec<u8>>) -> &mut Item {
        self.add(path(at), Body::File(content.into()))
    }

    pub(crate) fn directory(&mut self, at: &str) -> &mut Item {
        self.add(path(at), Body::Directory)
    }

    pub(crate) fn symlink(&mut self, at: &str, target: impl Into<Vec<u8>>) -> &mut Item {
        self.add(path(at), Body::Symlink(target.into()))
    }
}
