//! A whole tree as data, from whichever reader, so that readers can be compared.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::{FsError, Judge, Kind, Node, ReadFs};
use sysprep_rs::path::{GuestPath, escape};

/// What a reader says of one path; `None` where that reader cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Option<Kind>,
    pub(crate) mode: Option<u16>,
    pub(crate) owner: Option<(u32, u32)>,
    /// A file's length; 0 for everything else.
    pub(crate) size: u64,
    pub(crate) content: Option<Digest>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: Option<BTreeMap<String, Vec<u8>>>,
    /// Seconds.
    pub(crate) mtime: Option<i64>,
    /// A file's link count.
    pub(crate) links: Option<u32>,
    /// The first path, in order, of the same file, where the reader numbers its nodes.
    pub(crate) same_as: Option<GuestPath>,
}

/// Path → object.
pub(crate) type Snapshot = BTreeMap<GuestPath, Object>;

/// The tree as one of our readers (or the model) shows it.
pub(crate) fn of_fs(fs: &dyn ReadFs) -> Result<Snapshot, FsError> {
    let mut tree = Snapshot::new();
    let mut first: BTreeMap<Node, GuestPath> = BTreeMap::new();
    let mut found = vec![(GuestPath::root(), fs.root())];
    let mut all = BTreeMap::new();
    while let Some((path, node)) = found.pop() {
        let stat = fs.stat(node)?;
        if stat.kind == Kind::Directory {
            fs.entries(node, &mut |entry| {
                found.push((path.join(entry.name), entry.node));
                ControlFlow::Continue(())
            })?;
        }
        assert!(all.insert(path.clone(), (node, stat)).is_none(), "{path} is listed twice");
    }
    for (path, (node, stat)) in all {
        let file = stat.kind == Kind::File;
        let target = match stat.kind {
            Kind::Symlink => Some(fs.link_target(node)?),
            _ => None,
        };
        tree.insert(
            path.clone(),
            Object {
                kind: Some(stat.kind),
                mode: Some(stat.mode),
                owner: Some((stat.uid, stat.gid)),
                size: if file { stat.size } else { 0 },
                content: if file { Some(content(fs, node, stat.size)?) } else { None },
                target,
                device: stat.device,
                xattrs: Some(
                    fs.xattrs(node)?.into_iter().map(|xattr| (xattr.name, xattr.value)).collect(),
                ),
                mtime: Some(stat.mtime.seconds),
                links: file.then_some(stat.links),
                same_as: file.then(|| first.entry(node).or_insert(path).clone()),
            },
        );
    }
    Ok(tree)
}

fn content(fs: &dyn ReadFs, node: Node, size: u64) -> Result<Digest, FsError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let read = fs.read_at(node, at, &mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    assert_eq!(at, size, "a file has as many bytes as stat says");
    Ok(hasher.finalize().into())
}

/// The tree as a driver's independent judge shows it.
pub(crate) fn of_judge(judge: &dyn Judge) -> Result<Snapshot, FsError> {
    let mut tree = Snapshot::new();
    let mut found = vec![GuestPath::root()];
    while let Some(path) = found.pop() {
        let judged = judge.stat(&path)?.unwrap_or_else(|| panic!("the judge lists {path} only"));
        if judged.kind == Some(Kind::Directory) {
            found.extend(judge.names(&path)?.iter().map(|name| path.join(name)));
        }
        let file = judged.kind == Some(Kind::File);
        let content = if file {
            let mut hasher = blake3::Hasher::new();
            judge.read(&path, &mut |piece| {
                hasher.update(piece);
            })?;
            Some(hasher.finalize().into())
        } else {
            None
        };
        let target = match judged.kind {
            Some(Kind::Symlink) => Some(judge.link_target(&path)?),
            _ => None,
        };
        tree.insert(
            path,
            Object {
                kind: judged.kind,
                mode: judged.mode,
                owner: judged.owner,
                size: if file { judged.size } else { 0 },
                content,
                target,
                device: None,
                xattrs: None,
                mtime: None,
                links: None,
                same_as: None,
            },
        );
    }
    Ok(tree)
}

fn differs<T: PartialEq>(left: &Option<T>, right: &Option<T>) -> bool {
    matches!((left, right), (Some(left), Some(right)) if left != right)
}

/// How two trees differ, one line a difference, in what both readers can tell; empty when they do not.
pub(crate) fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, want) in expected {
        let Some(have) = found.get(path) else {
            lines.push(format!("{path}: missing"));
            continue;
        };
        let mut say = |what: &str, want: &dyn std::fmt::Debug, have: &dyn std::fmt::Debug| {
            lines.push(format!("{path}: {what}: expected {want:?}, found {have:?}"));
        };
        if differs(&want.kind, &have.kind) {
            say("kind", &want.kind, &have.kind);
        }
        if differs(&want.mode, &have.mode) {
            say("mode (octal 0o)", &want.mode.map(octal), &have.mode.map(octal));
        }
        if differs(&want.owner, &have.owner) {
            say("owner", &want.owner, &have.owner);
        }
        if want.size != have.size {
            say("size", &want.size, &have.size);
        } else if differs(&want.content, &have.content) {
            say("content", &want.content, &have.content);
        }
        if differs(&want.target, &have.target) {
            let shown = |target: &Option<Vec<u8>>| target.as_deref().map(escape);
            say("target", &shown(&want.target), &shown(&have.target));
        }
        if differs(&want.device, &have.device) {
            say("device", &want.device, &have.device);
        }
        if differs(&want.xattrs, &have.xattrs) {
            let shown = |xattrs: &Option<BTreeMap<String, Vec<u8>>>| -> Vec<String> {
                let shown = |(name, value): (&String, &Vec<u8>)| {
                    format!("{name} ({} bytes, {})", value.len(), Digest::of(value))
                };
                xattrs.iter().flatten().map(shown).collect()
            };
            say("xattrs", &shown(&want.xattrs), &shown(&have.xattrs));
        }
        if differs(&want.mtime, &have.mtime) {
            say("mtime", &want.mtime, &have.mtime);
        }
        if differs(&want.links, &have.links) {
            say("links", &want.links, &have.links);
        }
        if differs(&want.same_as, &have.same_as) {
            say("same file as", &want.same_as, &have.same_as);
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        lines.push(format!("{path}: should not be there"));
    }
    lines
}

fn octal(mode: u16) -> String {
    format!("{mode:o}")
}

/// Panics with the first differences when two trees differ.
pub(crate) fn assert_same(what: &str, expected: &Snapshot, found: &Snapshot) {
    let lines = differences(expected, found);
    assert!(
        lines.is_empty(),
        "{what}: {} differences:\n{}",
        lines.len(),
        lines
            .iter()
            .take(20)
            .map(|line| line.chars().take(300).collect())
            .collect::<Vec<String>>()
            .join("\n"),
    );
}
