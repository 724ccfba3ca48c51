//! What a path is before a change: how much is there, whether it may be touched, and a digest by
//! which applying knows that nothing changed since.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::action::{Action, Objects, Replaced};
use super::content::Content;
use super::moves::{Moves, node_at};
use crate::digest::Digest;
use crate::fs::{FsError, Kind, Node, ReadFs, Stat, Timestamp};
use crate::path::{GuestPath, escape};

/// How deep a removed tree may be, in directories: `PATH_MAX` (4096) bytes name no deeper one.
const TREE_DEPTH: usize = 2048;

/// Files with several names that are counted exactly while a tree is surveyed. Beyond them a
/// file's bytes are left out of the count, so that a hostile tree cannot fill the memory.
const COUNTED_LINKS: usize = 100_000;

/// How much of a file is read at a time.
const PIECE: usize = 64 * 1024;

/// What goes with a removed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The digest of everything below, names and metadata, the path's own included.
    pub(crate) digest: Digest,
    /// How many nodes there are, the path's own included.
    pub(crate) nodes: u64,
    /// How many of them are directories.
    pub(crate) directories: u64,
    /// How many bytes of content only these names hold.
    pub(crate) bytes: u64,
    /// How many bytes of storage become free with it, at most.
    pub(crate) allocated: u64,
    /// Files that have other names, too: their content stays when these go.
    pub(crate) shared: Vec<Shared>,
    /// Why it should not be removed: what is immutable or encrypted, and where below.
    pub(crate) obstacle: Option<String>,
}

/// A file with names within what was surveyed, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The file.
    pub node: Node,
    /// How many of its names were seen.
    pub names: u32,
    /// How many it has.
    pub links: u32,
}

/// What an action finds at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The digest of it (see [`before`]).
    pub digest: Digest,
    /// How many objects the action is about.
    pub objects: Objects,
    /// The action, whose counts and kinds are those of what is there.
    pub action: Action,
}

/// The digest of what `action` would find at `path` (a path within `fs`), before the moves.
///
/// It is of absence where nothing is there; else of kind, mode, owner, size, times of content and
/// metadata, node number, extended attributes and link target; of the content too where the action
/// gives the file a new one that is not empty; and, where the action takes a directory away, of
/// the whole tree below. Of a move it is of what is moved and of what that takes the place of.
///
/// # Errors
/// What the filesystem says; a tree that is not one (a loop, too deep).
pub fn before(
    fs: &dyn ReadFs,
    moves: &Moves<'_>,
    path: &GuestPath,
    action: &Action,
) -> Result<Digest, FsError> {
    Ok(seen(fs, moves, path, action)?.digest)
}

/// What `action` would find at `path` (a path within `fs`), and how much of it.
///
/// # Errors
/// As [`before`].
pub fn seen(
    fs: &dyn ReadFs,
    moves: &Moves<'_>,
    path: &GuestPath,
    action: &Action,
) -> Result<Seen, FsError> {
    let mut action = action.clone();
    let there = match &action {
        Action::Update { .. } | Action::Wipe { .. } | Action::Remove { .. } => moves.origin(path),
        _ => moves.replaced_in(fs, path)?,
    };
    let node = there.map_or(Ok(None), |path| node_at(fs, &path))?;
    if let Action::Move { from, kind, content, bytes_before, replaces, .. } = &mut action {
        let Some(moved) = node_at(fs, from)? else {
            return Ok(Seen { digest: absent(), objects: Objects::default(), action });
        };
        let survey = node.map(|node| survey(fs, node)).transpose()?;
        let stat = fs.stat(moved)?;
        *kind = stat.kind;
        *bytes_before = if stat.kind == Kind::File { stat.size } else { 0 };
        let gone = survey.as_ref().map(|it| it.digest);
        let digest = of_move(fs, moved, content.as_ref(), gone)?;
        *replaces = match (node, survey) {
            (Some(node), Some(Survey { nodes, bytes, .. })) => {
                Some(Replaced { kind: fs.stat(node)?.kind, nodes, bytes })
            }
            _ => None,
        };
        return Ok(Seen { digest, objects: Objects::one(stat.kind), action });
    }
    let Some(node) = node else {
        let kind = match &mut action {
            Action::CreateFile { replaces, .. } => Some((replaces, Kind::File)),
            Action::CreateDirectory { replaces, .. } => Some((replaces, Kind::Directory)),
            Action::CreateSymlink { replaces, .. } => Some((replaces, Kind::Symlink)),
            Action::CreateSpecial { kind, replaces, .. } => Some((replaces, *kind)),
            Action::CreateLink { replaces, .. } => Some((replaces, Kind::File)),
            Action::Remove { .. }
            | Action::Update { .. }
            | Action::Wipe { .. }
            | Action::Move { .. } => None,
        };
        let objects = kind.map_or_else(Objects::default, |(replaces, kind)| {
            *replaces = None;
            Objects::one(kind)
        });
        return Ok(Seen { digest: absent(), objects, action });
    };
    let Stat { kind, size, .. } = fs.stat(node)?;
    let replaced = |survey: &Survey| Replaced { kind, nodes: survey.nodes, bytes: survey.bytes };
    let survey = match &mut action {
        Action::Update { content, bytes_before, .. } => {
            *bytes_before = if kind == Kind::File { size } else { 0 };
            let digest = match content {
                Some(content) if !content.is_empty() => with_content(fs, node)?,
                _ => of_node(fs, node)?,
            };
            return Ok(Seen { digest, objects: Objects::one(kind), action });
        }
        Action::Wipe { from, bytes, .. } => {
            *bytes = size.saturating_sub(*from);
            return Ok(Seen { digest: of_node(fs, node)?, objects: Objects::one(kind), action });
        }
        Action::Remove { kind: planned, nodes, bytes } => {
            let survey = survey(fs, node)?;
            (*planned, *nodes, *bytes) = (kind, survey.nodes, survey.bytes);
            survey
        }
        Action::CreateFile { replaces, .. }
        | Action::CreateDirectory { replaces, .. }
        | Action::CreateSymlink { replaces, .. }
        | Action::CreateSpecial { replaces, .. }
        | Action::CreateLink { replaces, .. }
        | Action::Move { replaces, .. } => {
            let survey = survey(fs, node)?;
            *replaces = Some(replaced(&survey));
            survey
        }
    };
    let objects = Objects::among(survey.nodes, survey.directories);
    Ok(Seen { digest: survey.digest, objects, action })
}

/// The digest where nothing is.
pub(crate) fn absent() -> Digest {
    Digest::of(b"absent")
}

fn time(hasher: &mut blake3::Hasher, time: Timestamp) {
    hasher.update(&time.seconds.to_le_bytes());
    hasher.update(&time.nanos.to_le_bytes());
}

/// Fixed-size fields first and every variable one behind its length: no two states share bytes.
fn feed_stat(hasher: &mut blake3::Hasher, node: Node, stat: &Stat) {
    let kind = match stat.kind {
        Kind::File => 1u8,
        Kind::Directory => 2,
        Kind::Symlink => 3,
        Kind::BlockDevice => 4,
        Kind::CharDevice => 5,
        Kind::Fifo => 6,
        Kind::Socket => 7,
    };
    hasher.update(&[kind]);
    hasher.update(&node.0.to_le_bytes());
    hasher.update(&stat.mode.to_le_bytes());
    hasher.update(&stat.uid.to_le_bytes());
    hasher.update(&stat.gid.to_le_bytes());
    hasher.update(&stat.size.to_le_bytes());
    time(hasher, stat.mtime);
    time(hasher, stat.ctime);
}

fn feed_bytes(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn feed_node(hasher: &mut blake3::Hasher, fs: &dyn ReadFs, node: Node) -> Result<Stat, FsError> {
    let stat = fs.stat(node)?;
    feed_stat(hasher, node, &stat);
    if stat.kind == Kind::Symlink {
        feed_bytes(hasher, &fs.link_target(node)?);
    }
    for xattr in fs.xattrs(node)? {
        feed_bytes(hasher, xattr.name.as_bytes());
        feed_bytes(hasher, &xattr.value);
    }
    Ok(stat)
}

/// The digest of a node without its content.
pub(crate) fn of_node(fs: &dyn ReadFs, node: Node) -> Result<Digest, FsError> {
    let mut hasher = blake3::Hasher::new();
    feed_node(&mut hasher, fs, node)?;
    Ok(hasher.finalize().into())
}

/// The digest of a file with its content.
pub(crate) fn with_content(fs: &dyn ReadFs, node: Node) -> Result<Digest, FsError> {
    let mut hasher = blake3::Hasher::new();
    let stat = feed_node(&mut hasher, fs, node)?;
    if stat.kind == Kind::File {
        feed_content(&mut hasher, fs, node, stat.size)?;
    }
    Ok(hasher.finalize().into())
}

/// The digest of what a move finds: the node, with its content where it gets another one, and what
/// goes in its place.
pub(crate) fn of_move(
    fs: &dyn ReadFs,
    node: Node,
    content: Option<&Content>,
    gone: Option<Digest>,
) -> Result<Digest, FsError> {
    let moved = match content {
        Some(content) if !content.is_empty() => with_content(fs, node)?,
        _ => of_node(fs, node)?,
    };
    Ok(Digest::of(&[*moved.as_bytes(), *gone.unwrap_or_else(absent).as_bytes()].concat()))
}

/// The digest of a regular file's content alone.
pub(crate) fn of_content(fs: &dyn ReadFs, node: Node, size: u64) -> Result<Digest, FsError> {
    let mut hasher = blake3::Hasher::new();
    feed_content(&mut hasher, fs, node, size)?;
    Ok(hasher.finalize().into())
}

fn feed_content(
    hasher: &mut blake3::Hasher,
    fs: &dyn ReadFs,
    node: Node,
    size: u64,
) -> Result<(), FsError> {
    let mut piece = vec![0; PIECE];
    let mut at = 0u64;
    while at < size {
        let read = fs.read_at(node, at, &mut piece)?.min(PIECE);
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        at = at.saturating_add(read as u64);
    }
    Ok(())
}

/// A directory that is still to be read.
struct Ahead {
    dir: Node,
    depth: usize,
}

/// Looks at everything from `top` down, within its filesystem.
pub(crate) fn survey(fs: &dyn ReadFs, top: Node) -> Result<Survey, FsError> {
    let mut hasher = blake3::Hasher::new();
    let stat = feed_node(&mut hasher, fs, top)?;
    let directories = u64::from(stat.kind == Kind::Directory);
    let mut found = Survey {
        digest: absent(),
        nodes: 1,
        directories,
        bytes: 0,
        allocated: allocated(&stat),
        shared: Vec::new(),
        obstacle: None,
    };
    let mut links = HashMap::new();
    count(&mut found, &mut links, top, &stat);
    if let Some(why) = obstacle(&stat) {
        found.obstacle = Some(why.to_owned());
    }
    let mut seen = HashSet::new();
    let mut ahead = Vec::new();
    if stat.kind == Kind::Directory && !stat.encrypted {
        ahead.push(Ahead { dir: top, depth: 0 });
    }
    while let Some(Ahead { dir, depth }) = ahead.pop() {
        if !seen.insert(dir) || depth > TREE_DEPTH {
            let problem = "the directory is below itself, has two names or is too deep";
            return Err(FsError::corrupt("directory tree", format!("node {}", dir.0), problem));
        }
        hasher.update(&dir.0.to_le_bytes());
        let mut failed = None;
        fs.entries(dir, &mut |entry| {
            let stat = match fs.stat(entry.node) {
                Ok(stat) => stat,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            feed_bytes(&mut hasher, entry.name);
            feed_stat(&mut hasher, entry.node, &stat);
            found.nodes = found.nodes.saturating_add(1);
            let directories = u64::from(stat.kind == Kind::Directory);
            found.directories = found.directories.saturating_add(directories);
            count(&mut found, &mut links, entry.node, &stat);
            found.allocated = found.allocated.saturating_add(allocated(&stat));
            if let (None, Some(why)) = (&found.obstacle, obstacle(&stat)) {
                found.obstacle = Some(format!("{why} ('{}' in it)", escape(entry.name)));
            }
            if stat.kind == Kind::Directory && !stat.encrypted {
                ahead.push(Ahead { dir: entry.node, depth: depth + 1 });
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    found.digest = hasher.finalize().into();
    found.shared = links
        .into_iter()
        .filter(|(_, (names, links))| names < links)
        .map(|(node, (names, links))| Shared { node, names, links })
        .collect();
    found.shared.sort_unstable_by_key(|it| it.node);
    Ok(found)
}

/// How many bytes of storage an object takes, at most. FAT does not say it of a directory, which has
/// 2 MiB of names there at most.
fn allocated(stat: &Stat) -> u64 {
    const NAMES: u64 = 2 << 20;
    let names = if stat.kind == Kind::Directory { NAMES } else { 0 };
    stat.allocated.saturating_add(names)
}

/// Why a node is left alone.
pub(crate) fn obstacle(stat: &Stat) -> Option<&'static str> {
    if stat.encrypted {
        Some("encrypted by its filesystem")
    } else if stat.immutable {
        Some("the immutable or append-only attribute is set (chattr +i, +a)")
    } else {
        None
    }
}

/// A file's bytes go when its last name goes.
fn count(found: &mut Survey, links: &mut HashMap<Node, (u32, u32)>, node: Node, stat: &Stat) {
    if stat.kind != Kind::File {
        return;
    }
    if stat.links > 1 {
        if links.len() >= COUNTED_LINKS && !links.contains_key(&node) {
            return;
        }
        let (names, _) = links.entry(node).or_insert((0, stat.links));
        *names = names.saturating_add(1);
        if *names != stat.links {
            return;
        }
    }
    found.bytes = found.bytes.saturating_add(stat.size);
}
