//! A filesystem in memory, made from a list of paths, that can also be made wrong on purpose.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use sysprep_rs::fs::{Entry, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing, Timestamp, Xattr};

/// What a node is.
#[derive(Clone, Debug)]
enum Object {
    Directory {
        names: BTreeMap<Vec<u8>, Node>,
        encrypted: bool,
        unreadable: bool,
    },
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    /// A file of zeroes that says it is this long.
    Huge(u64),
}

/// The filesystem.
#[derive(Clone, Debug)]
pub(crate) struct MemoryFs {
    objects: Vec<Object>,
    /// Owner, group and mode where they are not root's 0755.
    owners: BTreeMap<Node, (u32, u32, u16)>,
    uuid: Option<String>,
    label: Option<String>,
    /// Whether directories say what kind their entries are.
    pub(crate) kinds: bool,
}

impl MemoryFs {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let root =
            Object::Directory { names: BTreeMap::new(), encrypted: false, unreadable: false };
        Self { objects: vec![root], owners: BTreeMap::new(), uuid: None, label: None, kinds: true }
    }

    /// With a UUID.
    pub(crate) fn uuid(mut self, uuid: &str) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// With a label.
    pub(crate) fn label(mut self, label: &str) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a directory, and those above it.
    pub(crate) fn dir(mut self, path: impl AsRef<[u8]>) -> Self {
        self.make(path.as_ref(), |_| Object::Directory {
            names: BTreeMap::new(),
            encrypted: false,
            unreadable: false,
        });
        self
    }

    /// With a file.
    pub(crate) fn file(mut self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.make(path.as_ref(), |_| Object::File(content.as_ref().to_vec()));
        self
    }

    /// With a symlink.
    pub(crate) fn link(mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.make(path.as_ref(), |_| Object::Symlink(target.as_ref().to_vec()));
        self
    }

    /// With a named pipe.
    pub(crate) fn fifo(mut self, path: impl AsRef<[u8]>) -> Self {
        self.make(path.as_ref(), |_| Object::Fifo);
        self
    }

    /// With a file that claims a size.
    pub(crate) fn huge(mut self, path: impl AsRef<[u8]>, size: u64) -> Self {
        self.make(path.as_ref(), |_| Object::Huge(size));
        self
    }

    /// With a second name for what is at `to`, directories too, as no sound filesystem has it.
    pub(crate) fn hard_link(mut self, path: impl AsRef<[u8]>, to: &str) -> Self {
        let node = self.node(to.as_bytes()).unwrap();
        self.name(path.as_ref(), node);
        self
    }

    /// With an owner, a group and a mode for what is at `path`.
    pub(crate) fn owned(mut self, path: &str, uid: u32, gid: u32, mode: u16) -> Self {
        let node = self.node(path.as_bytes()).unwrap();
        self.owners.insert(node, (uid, gid, mode));
        self
    }

    /// With the directory at `path` encrypted.
    pub(crate) fn encrypted(mut self, path: &str) -> Self {
        let node = self.node(path.as_bytes()).unwrap();
        if let Object::Directory { encrypted, .. } = &mut self.objects[node.0 as usize] {
            *encrypted = true;
        }
        self
    }

    /// With the directory at `path` corrupt.
    pub(crate) fn unreadable(mut self, path: &str) -> Self {
        let node = self.node(path.as_bytes()).unwrap();
        if let Object::Directory { unreadable, .. } = &mut self.objects[node.0 as usize] {
            *unreadable = true;
        }
        self
    }

    /// As a reader.
    pub(crate) fn open(self) -> Arc<dyn ReadFs> {
        Arc::new(self)
    }

    fn names_of(path: &[u8]) -> Vec<&[u8]> {
        path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect()
    }

    fn node(&self, path: &[u8]) -> Option<Node> {
        Self::names_of(path)
            .into_iter()
            .try_fold(Node(0), |dir, name| self.lookup(dir, name).ok().flatten())
    }

    fn make(&mut self, path: &[u8], object: impl Fn(()) -> Object) {
        let node = Node(self.objects.len() as u64);
        self.objects.push(object(()));
        self.name(path, node);
    }

    fn name(&mut self, path: &[u8], node: Node) {
        let mut names = Self::names_of(path);
        let last = names.pop().unwrap();
        let mut dir = Node(0);
        for name in names {
            let next = Node(self.objects.len() as u64);
            let known = self.lookup(dir, name).unwrap();
            if known.is_none() {
                self.objects.push(Object::Directory {
                    names: BTreeMap::new(),
                    encrypted: false,
                    unreadable: false,
                });
                self.insert(dir, name, next);
            }
            dir = known.unwrap_or(next);
        }
        self.insert(dir, last, node);
    }

    fn insert(&mut self, dir: Node, name: &[u8], node: Node) {
        match &mut self.objects[dir.0 as usize] {
            Object::Directory { names, .. } => names.insert(name.to_vec(), node),
            other => panic!("{other:?} is no directory"),
        };
    }

    fn object(&self, node: Node) -> Result<&Object, FsError> {
        self.objects.get(node.0 as usize).ok_or(FsError::NotFound)
    }
}

impl ReadFs for MemoryFs {
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
        Ok(())
    }

    fn bad_bytes(&self) -> Result<u64, FsError> {
        Ok(0)
    }

    fn info(&self) -> FsInfo {
        FsInfo {
            kind: "memory".into(),
            uuid: self.uuid.clone(),
            label: self.label.clone(),
            block_size: 4096,
            size: 1 << 30,
            free: 1 << 29,
            features: Vec::new(),
            dirty: false,
            read_only_because: None,
        }
    }

    fn root(&self) -> Node {
        Node(0)
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        match self.object(dir)? {
            Object::Directory { unreadable: true, .. } => {
                Err(FsError::corrupt("directory", format!("node {}", dir.0), "made wrong"))
            }
            Object::Directory { names, .. } => Ok(names.get(name).copied()),
            _ => Err(FsError::NotADirectory),
        }
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        let Object::Directory { names, unreadable, .. } = self.object(dir)? else {
            return Err(FsError::NotADirectory);
        };
        if *unreadable {
            return Err(FsError::corrupt("directory", format!("node {}", dir.0), "made wrong"));
        }
        for (name, &node) in names {
            let kind = if self.kinds { Some(self.stat(node)?.kind) } else { None };
            if visit(Entry { name, node, kind }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        let object = self.object(node)?;
        let (kind, size) = match object {
            Object::Directory { .. } => (Kind::Directory, 4096),
            Object::File(content) => (Kind::File, content.len() as u64),
            Object::Symlink(target) => (Kind::Symlink, target.len() as u64),
            Object::Fifo => (Kind::Fifo, 0),
            Object::Huge(size) => (Kind::File, *size),
        };
        let (uid, gid, mode) = self.owners.get(&node).copied().unwrap_or((0, 0, 0o755));
        Ok(Stat {
            kind,
            mode,
            uid,
            gid,
            size,
            allocated: size,
            links: 1,
            device: None,
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            atime: Timestamp::default(),
            immutable: false,
            encrypted: matches!(object, Object::Directory { encrypted: true, .. }),
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        self.object(node).map(|_| Vec::new())
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        match self.object(file)? {
            Object::File(content) => {
                let rest = content.get(at as usize..).unwrap_or_default();
                let read = rest.len().min(dst.len());
                dst[..read].copy_from_slice(&rest[..read]);
                Ok(read)
            }
            Object::Huge(size) => {
                let read = size.saturating_sub(at).min(dst.len() as u64) as usize;
                dst[..read].fill(0);
                Ok(read)
            }
            Object::Directory { .. } => Err(FsError::IsADirectory),
            _ => Err(FsError::unsupported("not a regular file")),
        }
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        match self.object(link)? {
            Object::Symlink(target) => Ok(target.clone()),
            _ => Err(FsError::unsupported("not a symlink")),
        }
    }
}
