//! Filesystems: one driver each, with a reader, where there is one an editor, and an independent judge.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::{BlockError, ReadBlocks, WriteBlocks, is_zero};
use crate::path::GuestPath;

pub mod directory;
pub mod ext4;
pub mod fat;
pub mod uuid;

/// A file, directory or other object of one filesystem, by the driver's own number.
///
/// On ext4 it is the inode number. A node stays valid while the object has a name;
/// an editor may give the number of a removed object to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

/// What kind of object a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A point in time: seconds since 1970-01-01 UTC (may be negative) and nanoseconds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub nanos: u32,
}

/// What a node is, apart from its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kind of object.
    pub kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky (`0o7777`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content length in bytes (a symlink's: its target's length).
    pub size: u64,
    /// How many bytes of storage the content occupies.
    pub allocated: u64,
    /// How many names point at the node.
    pub links: u32,
    /// Device number of a device node: major, minor.
    pub device: Option<(u32, u32)>,
    /// When the content last changed.
    pub mtime: Timestamp,
    /// When the metadata last changed.
    pub ctime: Timestamp,
    /// When the content was last read.
    pub atime: Timestamp,
    /// The immutable or append-only attribute is set (`chattr +i`, `+a`).
    pub immutable: bool,
    /// Content and, for a directory, names are encrypted by the filesystem: not to be read or edited.
    pub encrypted: bool,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name's bytes; never `.` or `..`, never with a slash or NUL.
    pub name: &'a [u8],
    /// What it names.
    pub node: Node,
    /// The kind, where the directory itself says it (ext4 with `filetype`).
    pub kind: Option<Kind>,
}

/// An extended attribute under its full name, as in `security.selinux`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Xattr {
    /// Full name with its namespace.
    pub name: String,
    /// The value, as `getxattr(2)` gives it (POSIX ACLs in the kernel's xattr form).
    #[serde(with = "crate::content::as_text_or_base64")]
    pub value: Vec<u8>,
}

/// What a filesystem says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsInfo {
    /// The driver's name: `ext4`, `ext3`, `ext2`, `vfat`.
    pub kind: String,
    /// UUID as `blkid` prints it, where the filesystem has one.
    pub uuid: Option<String>,
    /// Label as text, where it has one that is not empty.
    pub label: Option<String>,
    /// Allocation unit in bytes (block or cluster).
    pub block_size: u32,
    /// Size in bytes.
    pub size: u64,
    /// Free bytes.
    pub free: u64,
    /// Features in the field's own terms, as `dumpe2fs` names them.
    pub features: Vec<String>,
    /// Whether it was not unmounted cleanly (its journal has to be replayed).
    pub dirty: bool,
    /// Why the editor would refuse it, where it would: an unknown feature, read-only compat bits.
    pub read_only_because: Option<String>,
}

/// Why a filesystem refused or failed. Three families: the caller's fault, unsupported, corrupt.
#[derive(Debug)]
#[non_exhaustive]
pub enum FsError {
    /// The caller named something that is not there.
    NotFound,
    /// The caller used a non-directory as a directory.
    NotADirectory,
    /// The caller used a directory as a file, or removed one that is not empty.
    IsADirectory,
    /// The name is taken.
    Exists,
    /// The name is empty, too long, `.`, `..`, or holds bytes this filesystem cannot store.
    BadName,
    /// The change does not fit: no free block, inode or directory room.
    NoSpace,
    /// This filesystem has no such thing (owners on FAT, a symlink on FAT).
    CannotStore(&'static str),
    /// What a file was to hold could not be had, and why.
    Source(String),
    /// A feature or shape we do not handle, by its name.
    Unsupported(String),
    /// The disk is wrong.
    Corrupt(Corrupt),
    /// The device below failed.
    Block(BlockError),
}

/// What is wrong on a disk, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The on-disk structure: `"extent header"`, `"directory entry"`.
    pub structure: &'static str,
    /// Where: `"inode 12"`, `"block 345"`, `"group 2"`.
    pub at: String,
    /// What is wrong: found and expected.
    pub problem: String,
}

impl FsError {
    /// A corruption of `structure` at `at`.
    pub fn corrupt(
        structure: &'static str,
        at: impl fmt::Display,
        problem: impl fmt::Display,
    ) -> Self {
        Self::Corrupt(Corrupt { structure, at: at.to_string(), problem: problem.to_string() })
    }

    /// A feature we do not handle.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::Unsupported(what.to_string())
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file or directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::Exists => f.write_str("the name is taken"),
            Self::BadName => f.write_str("the filesystem cannot store this name"),
            Self::NoSpace => f.write_str("no space left in the filesystem"),
            Self::CannotStore(what) => write!(f, "the filesystem cannot store {what}"),
            Self::Source(why) => f.write_str(why),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Corrupt(Corrupt { structure, at, problem }) => {
                write!(f, "corrupt {structure} at {at}: {problem}")
            }
            Self::Block(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FsError {}

impl From<BlockError> for FsError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

/// Reading a filesystem, by node and not by path.
///
/// Contract, which `tests/conformance/fs.rs` holds every driver to:
/// - Any `Node` value may be passed; one that names nothing is `NotFound` or `Corrupt`, never a panic.
/// - No value on the disk makes it panic, loop for ever, or hold memory beyond a few blocks and
///   what the caller asked for.
/// - A file's holes read as zeroes. `read_at` gives fewer bytes than asked only at the end of the file.
pub trait ReadFs: Send + Sync {
    /// What the filesystem says of itself.
    fn info(&self) -> FsInfo;

    /// The root directory.
    fn root(&self) -> Node;

    /// The node that `name` names in `dir`; `Ok(None)` when there is none.
    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError>;

    /// Shows each name of `dir` (without `.` and `..`) in the directory's order, until `Break`.
    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError>;

    /// What `node` is.
    fn stat(&self, node: Node) -> Result<Stat, FsError>;

    /// Its extended attributes, sorted by name.
    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError>;

    /// Reads content at byte `at` into `dst`; gives how many bytes were there.
    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError>;

    /// A symlink's target.
    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError>;

    /// Whether a file's content is all zero from byte `at` on.
    fn is_zero(&self, file: Node, mut at: u64) -> Result<bool, FsError> {
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = self.read_at(file, at, &mut piece)?.min(piece.len());
            if read == 0 || !is_zero(&piece[..read]) {
                return Ok(read == 0);
            }
            at += read as u64;
        }
    }

    /// Whether a name is found however its letters are written, large or small.
    fn folds_case(&self) -> bool;

    /// How `dir` spells a name that [`lookup`](Self::lookup) finds there; `None` where it has none
    /// such, and where [`folds_case`](Self::folds_case) says that names are what they are.
    fn spelling(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError>;

    /// Whether an editor of this filesystem can store something, wherever there is room.
    ///
    /// # Errors
    /// The editor's own: `BadName`, `CannotStore`.
    fn can_store(&self, what: &Storing<'_>) -> Result<(), FsError>;

    /// How many bytes an editor finds free, at most; `None` where only opening it for editing tells.
    fn most_free(&self) -> Result<Option<u64>, FsError>;

    /// How many bytes the filesystem's list of bad blocks (clusters) takes out of use: no editor
    /// writes or zeroes them.
    fn bad_bytes(&self) -> Result<u64, FsError>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `Unsupported` when it is longer.
    fn read(&self, file: Node, limit: u64) -> Result<Vec<u8>, FsError> {
        let size = self.stat(file)?.size;
        if size > limit {
            return Err(FsError::unsupported(format!("a file of {size} bytes, more than {limit}")));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut done = 0;
        while done < bytes.len() {
            let read = self.read_at(file, done as u64, &mut bytes[done..])?;
            if read == 0 {
                break;
            }
            done += read;
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// What [`ReadFs::can_store`] is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Storing<'a> {
    /// A new name: in a directory that is there, or in a new one.
    Name(Option<Node>, &'a [u8]),
    /// A new object. A file's content is asked for by itself.
    New(NewKind<'a>, &'a NewMeta),
    /// So many bytes in a file.
    Content(u64),
    /// Changed metadata: of a node that is there, or of an object that is new.
    Meta(Option<Node>, Kind, &'a MetaChange),
}

/// Whether two names are one to a filesystem that does not tell large letters from small ones.
pub fn folded_alike(a: &[u8], b: &[u8]) -> bool {
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => {
            a.chars().flat_map(char::to_uppercase).eq(b.chars().flat_map(char::to_uppercase))
        }
        _ => a == b,
    }
}

/// What to make with [`EditFs::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKind<'a> {
    /// A regular file with this content.
    File(&'a [u8]),
    /// An empty directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A device with its major and minor number, a named pipe or a socket (whose numbers are 0).
    Special(Kind, (u32, u32)),
}

impl NewKind<'_> {
    /// The kind of object.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::File,
            Self::Directory => Kind::Directory,
            Self::Symlink(_) => Kind::Symlink,
            Self::Special(kind, _) => *kind,
        }
    }
}

/// Gives the next bytes of what a file is to hold: all of the slice, or an error.
pub type Source<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), FsError>;

/// A source of these bytes.
pub fn source_of(content: &[u8]) -> impl FnMut(&mut [u8]) -> Result<(), FsError> {
    let mut rest = content;
    move |dst| {
        let (now, later) = rest
            .split_at_checked(dst.len())
            .ok_or_else(|| FsError::Source("the content is shorter than it was said".into()))?;
        dst.copy_from_slice(now);
        rest = later;
        Ok(())
    }
}

/// The number that is no user and no group: chown(2) takes it for "leave this one as it is".
pub const NO_ID: u32 = u32::MAX;

/// A new node's metadata. Times that are not given are the editor's [`EditOptions::now`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMeta {
    /// Permission bits (`0o7777`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// Access time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atime: Option<Timestamp>,
    /// Extended attributes to set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
}

/// Which metadata to change; `None` leaves a value as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaChange {
    /// Permission bits (`0o7777`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u16>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Modification time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
    /// Access time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atime: Option<Timestamp>,
    /// Extended attributes to set, or with `None` to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, Option<Vec<u8>>)>,
}

/// How an editor works.
#[derive(Clone, Copy, Debug)]
pub struct EditOptions {
    /// The time given to everything that is changed; no clock is read.
    pub now: Timestamp,
    /// Leave space that was free before this run as it is, instead of discarding it too.
    pub keep_free_space: bool,
}

/// What an edit freed, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// Bytes of storage that held content or metadata before and are free now.
    pub bytes: u64,
    /// Inodes (records) that were in use before and are free now.
    pub nodes: u64,
    /// Bytes of free space discarded, those of `bytes` included.
    pub discarded: u64,
}

/// Editing a filesystem on a staged device.
///
/// The device is a private overlay: nobody else reads it, so an editor needs no journal and no
/// order of writes; it may keep all its changes until `finish`. After an error the editor is
/// spent and the caller throws the overlay away.
///
/// Contract, beside [`ReadFs`]'s: reads through [`view`](Self::view) see every edit made so far;
/// what was removed leaves no byte behind once `finish` returned (blocks, slack, names, inodes,
/// journal); the filesystem's own checker finds nothing to say.
pub trait EditFs: Send {
    /// The filesystem as it is now.
    fn view(&self) -> &dyn ReadFs;

    /// Makes a new node. `Exists` when the name is taken.
    fn create(
        &mut self,
        dir: Node,
        name: &[u8],
        kind: NewKind<'_>,
        meta: &NewMeta,
    ) -> Result<Node, FsError>;

    /// Puts `content` in place of a regular file's content; owner, mode, xattrs and other names
    /// stay. Empty content truncates. Sets mtime and ctime.
    fn replace(&mut self, file: Node, content: &[u8]) -> Result<(), FsError> {
        self.replace_from(file, content.len() as u64, &mut source_of(content))
    }

    /// The same with `size` bytes that `source` gives in pieces: memory does not grow with them.
    /// `NoSpace` before anything is read where there is no room.
    fn replace_from(&mut self, file: Node, size: u64, source: Source<'_>) -> Result<(), FsError>;

    /// Zeroes a regular file's content from byte `at` on, up to the end of its last block; the file
    /// keeps its length, its storage and its times.
    fn wipe(&mut self, file: Node, at: u64) -> Result<(), FsError>;

    /// Removes a name. When it was the node's last, the node goes too. A directory has to be empty.
    fn remove(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError>;

    /// Removes a name and, where it is a directory, everything below it.
    fn remove_tree(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError>;

    /// Gives a node another name, in the same or another directory. `Exists` when the new name is
    /// taken; a directory cannot be moved below itself (`BadName`).
    fn rename(
        &mut self,
        from: Node,
        name: &[u8],
        to: Node,
        new_name: &[u8],
    ) -> Result<(), FsError> {
        let node = self.detach(from, name)?;
        match self.attach(node, to, new_name) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.attach(node, from, name)?;
                Err(error)
            }
        }
    }

    /// The first half of a rename: takes a name away and keeps the node with all that is below it.
    /// It has to be [attached](Self::attach) before `finish`, and is not to be looked at until then.
    fn detach(&mut self, dir: Node, name: &[u8]) -> Result<Node, FsError>;

    /// The other half: gives a detached node its name. Errors as of [`rename`](Self::rename).
    fn attach(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError>;

    /// Gives what is no directory one more name (a hard link).
    fn link(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError>;

    /// Changes metadata; ctime follows.
    fn set_meta(&mut self, node: Node, change: &MetaChange) -> Result<(), FsError>;

    /// Writes everything to the device, scrubs and discards what is free, and flushes.
    fn finish(self: Box<Self>) -> Result<Freed, FsError>;
}

/// What an independent reader says of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The kind of object; `None` where the reader does not tell devices, pipes and sockets apart.
    pub kind: Option<Kind>,
    /// Permission bits, where the filesystem has them.
    pub mode: Option<u16>,
    /// Owner and group, where the filesystem has them.
    pub owner: Option<(u32, u32)>,
    /// Content length in bytes.
    pub size: u64,
}

/// A reader of the same filesystem that we did not write: what a staged change is proved by.
///
/// Paths are the filesystem's own, from its root; symlinks are not followed.
pub trait Judge {
    /// What is at `path`; `Ok(None)` when nothing is.
    fn stat(&self, path: &GuestPath) -> Result<Option<Judged>, FsError>;

    /// The names in a directory in any order: never `.` or `..`, empty, or with a slash or NUL.
    fn names(&self, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError>;

    /// Shows a file's content in pieces, in order.
    fn read(&self, file: &GuestPath, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError>;

    /// A symlink's target.
    fn link_target(&self, link: &GuestPath) -> Result<Vec<u8>, FsError>;
}

/// One filesystem driver: what it can do is data, printed by `sysprep-rs support`.
#[derive(Clone, Copy)]
pub struct FsDriver {
    /// The family's name: `ext4` (which reads ext2 and ext3 too), `vfat`.
    pub name: &'static str,
    /// What it covers, for people: `"ext2, ext3, ext4"`.
    pub covers: &'static str,
    /// Whether the device holds this filesystem: by its magic numbers, cheap, no judgement.
    pub probe: fn(&dyn ReadBlocks) -> Result<bool, FsError>,
    /// Opens for reading. A dirty filesystem is shown as its journal replay would leave it.
    pub open: OpenFn,
    /// Opens for editing, where we can.
    pub edit: Option<EditFn>,
    /// Opens the independent reader, where there is one.
    pub judge: Option<JudgeFn>,
    /// The independent reader's name, for the report.
    pub judge_name: &'static str,
    /// Checks the filesystem's accounts without walking its tree, where we can.
    pub check: Option<CheckFn>,
    /// Gives the filesystem another UUID, where we can.
    pub uuid: Option<UuidChange>,
}

/// How a filesystem gets another UUID (or what `blkid` shows as one).
#[derive(Clone, Copy)]
pub struct UuidChange {
    /// Why it keeps the one it has, where it does.
    pub fixed: fn(&FsInfo) -> Option<String>,
    /// A new one, made of random bytes, as `blkid` prints it.
    pub made_of: fn(&[u8; 32]) -> String,
    /// Sets it on a staged device, once an editor's [`finish`](EditFs::finish) returned: its
    /// superblock, the copies of that, and every checksum that it is part of.
    pub set: SetUuidFn,
}

/// Sets a filesystem's UUID.
pub type SetUuidFn = fn(&Arc<dyn WriteBlocks>, &str) -> Result<(), FsError>;

/// Opens a filesystem for reading.
pub type OpenFn = fn(Arc<dyn ReadBlocks>) -> Result<Box<dyn ReadFs>, FsError>;

/// Opens a filesystem on a staged device for editing.
pub type EditFn = fn(Arc<dyn WriteBlocks>, &EditOptions) -> Result<Box<dyn EditFs>, FsError>;

/// Opens a filesystem with the independent reader.
pub type JudgeFn = fn(Arc<dyn ReadBlocks>) -> Result<Box<dyn Judge>, FsError>;

/// Checks free counts, bitmaps and checksums; gives what is wrong, a line each. Fast, and bounded
/// in memory whatever the size.
pub type CheckFn = fn(&dyn ReadBlocks) -> Result<Vec<String>, FsError>;

/// Every driver, in the order they are probed.
pub const DRIVERS: &[FsDriver] = &[ext4::DRIVER, fat::DRIVER];

/// The driver whose magic numbers are on the device, if any.
///
/// # Errors
/// The device below failed.
pub fn probe(device: &dyn ReadBlocks) -> Result<Option<&'static FsDriver>, FsError> {
    for driver in DRIVERS {
        if (driver.probe)(device)? {
            return Ok(Some(driver));
        }
    }
    Ok(None)
}
