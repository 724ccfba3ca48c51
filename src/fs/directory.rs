//! A host directory read as a filesystem: a guest tree that lies unpacked on the host.
//!
//! Ownership, modes and times are the host's. Nothing is followed: every name is opened below a
//! directory that is held open, by its last component alone, so that no symlink and no `..` leads
//! out of the tree. Other filesystems mounted inside the tree are part of it.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{Entry, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing, Timestamp, Xattr};
use crate::block::BlockError;

/// What is remembered of each node that was seen takes memory; more nodes than this are refused.
/// 2^32 is what the largest ext4 holds, and no unpacked guest comes near a hundredth of this.
const MAX_NODES: usize = 1 << 26;

/// How many directories are held open at once: a walk goes down one path at a time.
const OPEN_DIRECTORIES: usize = 16;

/// Linux takes at most 64 KiB of names and 64 KiB of one value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX_XATTR: usize = 1 << 16;

/// A host directory.
pub struct Directory {
    root: Arc<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each node seen, by its number: the directory it was found in, and its name there.
    nodes: Vec<Place>,
    /// Host device and inode of each node: two names of one file are one node.
    known: HashMap<(u32, u32, u64), Node>,
    /// Directories held open, the last used last.
    open: Vec<(Node, Arc<OwnedFd>)>,
}

#[derive(Clone)]
struct Place {
    dir: Node,
    name: Arc<[u8]>,
}

const ROOT: Node = Node(0);

impl Directory {
    /// Opens a host directory; `path` itself may be a symlink to one.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(host)?;
        let directory = Self { root: Arc::new(root), state: Mutex::default() };
        let stat = statx(&directory.root, b".")?;
        let mut state = directory.state();
        state.nodes.push(Place { dir: ROOT, name: (*b".").into() });
        state.known.insert(identity(&stat), ROOT);
        drop(state);
        Ok(directory)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, node: Node) -> Result<Place, FsError> {
        let at = usize::try_from(node.0).map_err(|_| FsError::NotFound)?;
        self.state().nodes.get(at).cloned().ok_or(FsError::NotFound)
    }

    /// The directory a node is named in, held open, and its name there.
    fn named(&self, node: Node) -> Result<(Arc<OwnedFd>, Arc<[u8]>), FsError> {
        let Place { dir, name } = self.place(node)?;
        Ok((self.directory(dir)?, name))
    }

    /// A directory, held open.
    fn directory(&self, node: Node) -> Result<Arc<OwnedFd>, FsError> {
        // From the node up to one that is open, then down again: no recursion, however deep.
        let mut down = Vec::new();
        let mut at = node;
        let mut fd = loop {
            if at == ROOT {
                break Arc::clone(&self.root);
            }
            let mut state = self.state();
            if let Some(found) = state.open.iter().position(|(open, _)| *open == at) {
                let held = state.open.remove(found);
                let fd = Arc::clone(&held.1);
                state.open.push(held);
                break fd;
            }
            drop(state);
            let place = self.place(at)?;
            down.push((at, place.name));
            at = place.dir;
        };
        while let Some((at, name)) = down.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&fd, &*name, flags, Mode::empty()).map_err(host)?;
            fd = Arc::new(opened);
            let mut state = self.state();
            if state.open.len() >= OPEN_DIRECTORIES {
                state.open.remove(0);
            }
            state.open.push((at, Arc::clone(&fd)));
        }
        Ok(fd)
    }

    /// The number of what `stat` describes, found in `dir` under `name`.
    fn node(&self, dir: Node, name: &[u8], stat: &Statx) -> Result<Node, FsError> {
        let mut state = self.state();
        if let Some(node) = state.known.get(&identity(stat)) {
            return Ok(*node);
        }
        if state.nodes.len() >= MAX_NODES {
            return Err(FsError::unsupported(format!("a tree of more than {MAX_NODES} nodes")));
        }
        let node = Node(state.nodes.len() as u64);
        state.nodes.push(Place { dir, name: name.into() });
        state.known.insert(identity(stat), node);
        Ok(node)
    }

    /// A path to a node for calls that take no directory: through the held directory, and so of
    /// one component that is not followed.
    fn proc_path(dir: &OwnedFd, name: &[u8]) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        path.push(OsStr::from_bytes(name));
        path
    }
}

impl ReadFs for Directory {
    /// Those are the host's own.
    fn bad_bytes(&self) -> Result<u64, FsError> {
        Ok(0)
    }

    fn folds_case(&self) -> bool {
        false
    }

    fn spelling(&self, _: Node, _: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        Ok(None)
    }

    fn most_free(&self) -> Result<Option<u64>, FsError> {
        Ok(None)
    }

    fn can_store(&self, _: &Storing<'_>) -> Result<(), FsError> {
        Err(FsError::CannotStore("anything: a host directory is only read"))
    }

    fn info(&self) -> FsInfo {
        let (unit, size, free) = rustix::fs::fstatvfs(&self.root)
            .map_or((4096, 0, 0), |stat| (stat.f_frsize, stat.f_blocks, stat.f_bavail));
        FsInfo {
            kind: "directory".to_owned(),
            uuid: None,
            label: None,
            block_size: u32::try_from(unit).unwrap_or(4096),
            size: size.saturating_mul(unit),
            free: free.saturating_mul(unit),
            features: Vec::new(),
            dirty: false,
            read_only_because: Some("a host directory is only read".to_owned()),
        }
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        let fd = self.directory(dir)?;
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return Ok(None);
        }
        match statx(&fd, name) {
            Ok(stat) => self.node(dir, name, &stat).map(Some),
            Err(FsError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        let fd = self.directory(dir)?;
        for entry in Dir::read_from(&fd).map_err(host)? {
            let entry = entry.map_err(host)?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let stat = match statx(&fd, name) {
                Ok(stat) => stat,
                // Removed by somebody since the directory was read.
                Err(FsError::NotFound) => continue,
                Err(error) => return Err(error),
            };
            let node = self.node(dir, name, &stat)?;
            if visit(Entry { name, node, kind: kind(&stat) }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        let (dir, name) = self.named(node)?;
        let stat = statx(&dir, &name)?;
        let kind = kind(&stat)
            .ok_or_else(|| FsError::unsupported("a kind of file Linux does not have"))?;
        let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        Ok(Stat {
            kind,
            mode: stat.stx_mode & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            size: stat.stx_size,
            allocated: stat.stx_blocks.saturating_mul(512),
            links: stat.stx_nlink,
            device: matches!(kind, Kind::BlockDevice | Kind::CharDevice)
                .then_some((stat.stx_rdev_major, stat.stx_rdev_minor)),
            mtime: timestamp(stat.stx_mtime),
            ctime: timestamp(stat.stx_ctime),
            atime: timestamp(stat.stx_atime),
            immutable: stat.stx_attributes.intersects(fixed),
            encrypted: false,
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        let (dir, name) = self.named(node)?;
        statx(&dir, &name)?;
        let path = Self::proc_path(&dir, &name);
        let mut names = vec![0; MAX_XATTR];
        let len = match rustix::fs::llistxattr(&path, &mut names[..]) {
            Ok(len) => len,
            Err(Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(host(error)),
        };
        names.truncate(len);
        let mut found = Vec::new();
        for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; MAX_XATTR];
            let attribute = CString::new(name).map_err(|_| FsError::BadName)?;
            match rustix::fs::lgetxattr(&path, &attribute, &mut value[..]) {
                Ok(len) => value.truncate(len),
                Err(Errno::NODATA) => continue,
                Err(error) => return Err(host(error)),
            }
            value.shrink_to_fit();
            found.push(Xattr { name: String::from_utf8_lossy(name).into_owned(), value });
        }
        found.sort();
        Ok(found)
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        let (dir, name) = self.named(file)?;
        match kind(&statx(&dir, &name)?) {
            Some(Kind::File) => {}
            Some(Kind::Directory) => return Err(FsError::IsADirectory),
            _ => return Err(FsError::unsupported("reading the content of what is no file")),
        }
        // A pipe put in the file's place meanwhile must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&dir, &*name, flags, Mode::empty()).map_err(host)?;
        let opened = std::fs::File::from(opened);
        let mut done = 0;
        while let Some(rest) = dst.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(from) = at.checked_add(done as u64) else { break };
            match opened.read_at(rest, from) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BlockError::Io { at: from, source }.into()),
            }
        }
        Ok(done)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        let (dir, name) = self.named(link)?;
        if kind(&statx(&dir, &name)?) != Some(Kind::Symlink) {
            return Err(FsError::unsupported("the target of what is no symlink"));
        }
        let target = rustix::fs::readlinkat(&dir, &*name, Vec::new()).map_err(host)?;
        Ok(target.into_bytes())
    }
}

fn statx(dir: &OwnedFd, name: &[u8]) -> Result<Statx, FsError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS).map_err(host)
}

fn identity(stat: &Statx) -> (u32, u32, u64) {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

fn kind(stat: &Statx) -> Option<Kind> {
    use rustix::fs::FileType;
    Some(match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return None,
    })
}

fn timestamp(time: rustix::fs::StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanos: time.tv_nsec }
}

/// What the host said, in the filesystem's terms where it has them.
fn host(error: Errno) -> FsError {
    match error {
        Errno::NOENT => FsError::NotFound,
        Errno::NOTDIR | Errno::LOOP => FsError::NotADirectory,
        Errno::NAMETOOLONG => FsError::NotFound,
        error => BlockError::Io { at: 0, source: error.into() }.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(fs: &Directory, dir: Node) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        fs.entries(dir, &mut |entry| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
        names.sort();
        names
    }

    #[test]
    fn a_tree_reads_as_the_host_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "no").unwrap();
        fs::create_dir_all(dir.path().join("etc/ssh")).unwrap();
        fs::write(dir.path().join("etc/ssh/key"), "the key").unwrap();
        fs::hard_link(dir.path().join("etc/ssh/key"), dir.path().join("etc/copy")).unwrap();
        symlink(outside.path(), dir.path().join("etc/out")).unwrap();
        let fs = Directory::open(dir.path()).unwrap();
        let etc = fs.lookup(fs.root(), b"etc").unwrap().unwrap();
        assert_eq!(names(&fs, etc), [&b"copy"[..], b"out", b"ssh"]);
        let ssh = fs.lookup(etc, b"ssh").unwrap().unwrap();
        let key = fs.lookup(ssh, b"key").unwrap().unwrap();
        assert_eq!(fs.lookup(etc, b"copy").unwrap(), Some(key));
        assert_eq!(fs.read(key, 100).unwrap(), b"the key");
        let mut part = [0; 10];
        assert_eq!(fs.read_at(key, 4, &mut part).unwrap(), 3);
        let stat = fs.stat(key).unwrap();
        assert_eq!((stat.kind, stat.size, stat.links), (Kind::File, 7, 2));
        assert_eq!(fs.stat(fs.root()).unwrap().kind, Kind::Directory);
        // A symlink is itself: it is neither read nor entered.
        let out = fs.lookup(etc, b"out").unwrap().unwrap();
        assert_eq!(fs.stat(out).unwrap().kind, Kind::Symlink);
        assert_eq!(fs.link_target(out).unwrap(), outside.path().as_os_str().as_bytes());
        assert!(matches!(fs.lookup(out, b"secret"), Err(FsError::NotADirectory)));
        for name in [&b".."[..], b".", b"", b"ssh/key", b"\0"] {
            assert_eq!(fs.lookup(etc, name).unwrap(), None);
        }
        assert!(matches!(fs.lookup(key, b"x"), Err(FsError::NotADirectory)));
        assert!(matches!(fs.stat(Node(u64::MAX)), Err(FsError::NotFound)));
        assert!(matches!(fs.read_at(etc, 0, &mut part), Err(FsError::IsADirectory)));
    }

    #[test]
    fn many_directories_are_not_all_held_open() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().to_owned();
        for _ in 0..OPEN_DIRECTORIES * 4 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("leaf"), "x").unwrap();
        let fs = Directory::open(dir.path()).unwrap();
        let mut at = fs.root();
        while let Some(next) = fs.lookup(at, b"d").unwrap() {
            at = next;
        }
        let leaf = fs.lookup(at, b"leaf").unwrap().unwrap();
        assert_eq!(fs.read(leaf, 1).unwrap(), b"x");
        assert_eq!(fs.state().open.len(), OPEN_DIRECTORIES);
    }

    #[test]
    fn extended_attributes_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let set = |name, value: &[u8]| {
            rustix::fs::setxattr(&file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
        };
        set("user.b", b"two");
        set("user.a", b"one");
        let fs = Directory::open(dir.path()).unwrap();
        let node = fs.lookup(fs.root(), b"file").unwrap().unwrap();
        let found: Vec<(String, Vec<u8>)> =
            fs.xattrs(node).unwrap().into_iter().map(|xattr| (xattr.name, xattr.value)).collect();
        let ours: Vec<_> =
            found.into_iter().filter(|(name, _)| name.starts_with("user.")).collect();
        assert_eq!(
            ours,
            [("user.a".to_owned(), b"one".to_vec()), ("user.b".to_owned(), b"two".to_vec())]
        );
    }
}
