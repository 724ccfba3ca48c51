//! A filesystem in memory that implements the public traits in the plainest way: what drivers are
//! compared with.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sysprep_rs::fs::{
    EditFs, EditOptions, Entry, Freed, FsError, FsInfo, Kind, MetaChange, NewKind, NewMeta, Node,
    ReadFs, Source, Stat, Storing, Timestamp, Xattr,
};

use crate::support::snapshot::Snapshot;
use crate::support::spec::{Body, Spec, THEN};

/// What a filesystem can store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// Owners, modes, symlinks, special files, hard links and xattrs: all of Unix or none.
    pub(crate) unix: bool,
    /// Names that differ in case only are the same name.
    pub(crate) folds_case: bool,
    /// Directories have times that are kept like files'.
    pub(crate) directory_times: bool,
}

pub(crate) const UNIX: Profile =
    Profile { name: "unix", unix: true, folds_case: false, directory_times: true };

pub(crate) const FAT: Profile =
    Profile { name: "fat", unix: false, folds_case: true, directory_times: false };

impl Profile {
    /// Drops from a snapshot what this filesystem does not keep.
    pub(crate) fn reduce(&self, mut tree: Snapshot) -> Snapshot {
        for object in tree.values_mut() {
            if !self.unix {
                object.mode = None;
                object.owner = None;
                object.xattrs = None;
                object.links = None;
                object.same_as = None;
            }
            if !self.directory_times && object.kind == Some(Kind::Directory) {
                object.mtime = None;
            }
        }
        tree
    }
}

#[derive(Clone)]
enum Content {
    File(Arc<[u8]>),
    Directory(BTreeMap<Vec<u8>, Node>),
    Symlink(Vec<u8>),
    Special(Kind, u32, u32),
}

#[derive(Clone)]
struct ModelNode {
    content: Content,
    mode: u16,
    uid: u32,
    gid: u32,
    links: u32,
    mtime: Timestamp,
    ctime: Timestamp,
    atime: Timestamp,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// The model's state: a reader of itself.
#[derive(Clone)]
pub(crate) struct Model {
    profile: Profile,
    nodes: BTreeMap<Node, ModelNode>,
    next: u64,
    /// How often a name was looked up, in this and in every copy of it.
    pub(crate) lookups: Arc<AtomicU64>,
}

const ROOT: Node = Node(2);

impl Model {
    /// The tree that `spec` describes.
    pub(crate) fn new(profile: Profile, spec: &Spec) -> Self {
        let (nodes, lookups) = Default::default();
        let mut model = Self { profile, nodes, next: 11, lookups };
        model.nodes.insert(
            ROOT,
            ModelNode {
                content: Content::Directory(BTreeMap::new()),
                mode: 0o755,
                uid: 0,
                gid: 0,
                links: 2,
                mtime: THEN,
                ctime: THEN,
                atime: THEN,
                xattrs: BTreeMap::new(),
            },
        );
        for (path, item) in &spec.0 {
            let content = match &item.body {
                Body::HardLink(first) => {
                    let node = model.at(&first.to_bytes());
                    let dir = model.at(&path.parent().expect("not the root").to_bytes());
                    model.enter(dir, path.name().expect("not the root"), node);
                    continue;
                }
                Body::File(bytes) => Content::File(bytes.as_slice().into()),
                Body::Directory => Content::Directory(BTreeMap::new()),
                Body::Symlink(target) => Content::Symlink(target.clone()),
                Body::Special(kind, major, minor) => Content::Special(*kind, *major, *minor),
            };
            let node = ModelNode {
                content,
                mode: item.mode,
                uid: item.uid,
                gid: item.gid,
                links: 0,
                mtime: item.mtime,
                ctime: item.mtime,
                atime: item.mtime,
                xattrs: item.xattrs.clone(),
            };
            if path.is_root() {
                model.nodes.insert(ROOT, node);
                continue;
            }
            let number = model.number();
            model.nodes.insert(number, node);
            let dir = model.at(&path.parent().expect("not the root").to_bytes());
            model.enter(dir, path.name().expect("not the root"), number);
        }
        model
    }

    /// The node at a path that exists.
    pub(crate) fn at(&self, path: &[u8]) -> Node {
        let mut node = ROOT;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            node =
                self.lookup(node, name).ok().flatten().unwrap_or_else(|| {
                    panic!("the model has no {}", String::from_utf8_lossy(path))
                });
        }
        node
    }

    fn number(&mut self) -> Node {
        self.next += 1;
        Node(self.next)
    }

    fn enter(&mut self, dir: Node, name: &[u8], node: Node) {
        if let Some(ModelNode { content: Content::Directory(names), .. }) = self.nodes.get_mut(&dir)
        {
            names.insert(name.to_vec(), node);
        }
        self.nodes.get_mut(&node).expect("a node").links += 1;
    }

    fn node(&self, node: Node) -> Result<&ModelNode, FsError> {
        self.nodes.get(&node).ok_or(FsError::NotFound)
    }

    fn names(&self, dir: Node) -> Result<&BTreeMap<Vec<u8>, Node>, FsError> {
        match &self.node(dir)?.content {
            Content::Directory(names) => Ok(names),
            _ => Err(FsError::NotADirectory),
        }
    }

    fn names_mut(&mut self, dir: Node, now: Timestamp) -> &mut BTreeMap<Vec<u8>, Node> {
        let node = self.nodes.get_mut(&dir).expect("checked by the caller");
        node.mtime = now;
        node.ctime = now;
        match &mut node.content {
            Content::Directory(names) => names,
            _ => unreachable!("checked by the caller"),
        }
    }

    /// The stored form of a name in a directory.
    fn stored(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        let names = self.names(dir)?;
        if self.profile.folds_case {
            return Ok(names.keys().find(|have| have.eq_ignore_ascii_case(name)).cloned());
        }
        Ok(names.contains_key(name).then(|| name.to_vec()))
    }

    /// Drops one name's worth of a node, and a directory's subtree with it.
    fn release(&mut self, node: Node, now: Timestamp) {
        if let Content::Directory(names) = &self.nodes[&node].content {
            for child in names.values().copied().collect::<Vec<_>>() {
                self.release(child, now);
            }
            self.nodes.remove(&node);
            return;
        }
        let gone = {
            let node = self.nodes.get_mut(&node).expect("a node");
            node.links -= 1;
            node.ctime = now;
            node.links == 0
        };
        if gone {
            self.nodes.remove(&node);
        }
    }
}

impl ReadFs for Model {
    fn folds_case(&self) -> bool {
        self.profile.folds_case
    }

    fn spelling(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        self.stored(dir, name)
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
            kind: self.profile.name.to_owned(),
            uuid: None,
            label: None,
            block_size: 4096,
            size: 1 << 40,
            free: 1 << 40,
            features: Vec::new(),
            dirty: false,
            read_only_because: None,
        }
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(self.stored(dir, name)?.map(|name| self.names(dir).expect("a directory")[&name]))
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        for (name, &node) in self.names(dir)? {
            let kind = Some(self.stat(node)?.kind);
            if visit(Entry { name, node, kind }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        let node = self.node(node)?;
        let (kind, size, device) = match &node.content {
            Content::File(bytes) => (Kind::File, bytes.len(), None),
            Content::Directory(_) => (Kind::Directory, 0, None),
            Content::Symlink(target) => (Kind::Symlink, target.len(), None),
            Content::Special(kind, major, minor) => {
                let numbered = matches!(kind, Kind::BlockDevice | Kind::CharDevice);
                (*kind, 0, numbered.then_some((*major, *minor)))
            }
        };
        Ok(Stat {
            kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            size: size as u64,
            allocated: size as u64,
            links: node.links,
            device,
            mtime: node.mtime,
            ctime: node.ctime,
            atime: node.atime,
            immutable: false,
            encrypted: false,
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        let xattrs = &self.node(node)?.xattrs;
        Ok(xattrs
            .iter()
            .map(|(name, value)| Xattr { name: name.clone(), value: value.clone() })
            .collect())
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        match &self.node(file)?.content {
            Content::File(bytes) => {
                let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
                let len = rest.len().min(dst.len());
                dst[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
            Content::Directory(_) => Err(FsError::IsADirectory),
            _ => Err(FsError::unsupported("not a regular file")),
        }
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        match &self.node(link)?.content {
            Content::Symlink(target) => Ok(target.clone()),
            Content::Directory(_) => Err(FsError::IsADirectory),
            _ => Err(FsError::unsupported("not a symlink")),
        }
    }
}

/// Edits a copy of a model; `finish` puts it in the place it came from.
pub(crate) struct ModelEditor {
    model: Model,
    now: Timestamp,
    place: Arc<Mutex<Model>>,
}

impl ModelEditor {
    pub(crate) fn new(place: &Arc<Mutex<Model>>, options: &EditOptions) -> Self {
        let model = place.lock().unwrap().clone();
        Self { model, now: options.now, place: place.clone() }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    fn check_new(&self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let bad = name.is_empty() || name.len() > 255 || name == b"." || name == b"..";
        if bad || name.contains(&b'/') || name.contains(&0) {
            return Err(FsError::BadName);
        }
        match self.model.stored(dir, name)? {
            Some(_) => Err(FsError::Exists),
            None => Ok(()),
        }
    }

    fn take(&mut self, dir: Node, name: &[u8]) -> Result<Node, FsError> {
        let name = self.model.stored(dir, name)?.ok_or(FsError::NotFound)?;
        Ok(self.model.names_mut(dir, self.now).remove(&name).expect("looked up"))
    }
}

impl EditFs for ModelEditor {
    fn view(&self) -> &dyn ReadFs {
        &self.model
    }

    fn create(
        &mut self,
        dir: Node,
        name: &[u8],
        kind: NewKind<'_>,
        meta: &NewMeta,
    ) -> Result<Node, FsError> {
        self.check_new(dir, name)?;
        let content = match kind {
            NewKind::File(bytes) => Content::File(bytes.into()),
            NewKind::Directory => Content::Directory(BTreeMap::new()),
            NewKind::Symlink(_) if !self.model.profile.unix => {
                return Err(FsError::CannotStore("symlinks"));
            }
            NewKind::Symlink(target) => Content::Symlink(target.to_vec()),
            NewKind::Special(..) if !self.model.profile.unix => {
                return Err(FsError::CannotStore("devices, pipes and sockets"));
            }
            NewKind::Special(kind, (major, minor)) => Content::Special(kind, major, minor),
        };
        let mode = if matches!(content, Content::Symlink(_)) { 0o777 } else { meta.mode };
        let number = self.model.number();
        self.model.nodes.insert(
            number,
            ModelNode {
                content,
                mode,
                uid: meta.uid,
                gid: meta.gid,
                links: 0,
                mtime: meta.mtime.unwrap_or(self.now),
                ctime: self.now,
                atime: meta.atime.unwrap_or(self.now),
                xattrs: meta
                    .xattrs
                    .iter()
                    .map(|xattr| (xattr.name.clone(), xattr.value.clone()))
                    .collect(),
            },
        );
        self.model.names_mut(dir, self.now);
        self.model.enter(dir, name, number);
        Ok(number)
    }

    fn replace_from(&mut self, file: Node, size: u64, source: Source<'_>) -> Result<(), FsError> {
        match &self.model.node(file)?.content {
            Content::File(_) => {}
            Content::Directory(_) => return Err(FsError::IsADirectory),
            _ => return Err(FsError::unsupported("not a regular file")),
        }
        let now = self.now;
        let node = self.model.nodes.get_mut(&file).expect("looked up");
        let mut content = vec![0; usize::try_from(size).unwrap()];
        source(&mut content)?;
        node.content = Content::File(content.into());
        node.mtime = now;
        node.ctime = now;
        Ok(())
    }

    fn wipe(&mut self, file: Node, at: u64) -> Result<(), FsError> {
        let node = self.model.nodes.get_mut(&file).ok_or(FsError::NotFound)?;
        let content = match &mut node.content {
            Content::File(content) => content,
            Content::Directory(_) => return Err(FsError::IsADirectory),
            _ => return Err(FsError::unsupported("not a regular file")),
        };
        let mut bytes = content.to_vec();
        bytes.iter_mut().skip(at as usize).for_each(|byte| *byte = 0);
        *content = bytes.into();
        Ok(())
    }

    fn remove(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let node = self.model.lookup(dir, name)?.ok_or(FsError::NotFound)?;
        if self.model.names(node).is_ok_and(|names| !names.is_empty()) {
            return Err(FsError::IsADirectory);
        }
        self.remove_tree(dir, name)
    }

    fn remove_tree(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let node = self.take(dir, name)?;
        let now = self.now;
        self.model.release(node, now);
        Ok(())
    }

    fn detach(&mut self, dir: Node, name: &[u8]) -> Result<Node, FsError> {
        self.take(dir, name)
    }

    fn attach(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let mut below = vec![node];
        while let Some(node) = below.pop() {
            if node == dir {
                return Err(FsError::BadName);
            }
            below.extend(self.model.names(node).into_iter().flat_map(BTreeMap::values));
        }
        self.check_new(dir, name)?;
        let now = self.now;
        self.model.names_mut(dir, now).insert(name.to_vec(), node);
        self.model.nodes.get_mut(&node).expect("a node").ctime = now;
        Ok(())
    }

    fn link(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError> {
        if !self.model.profile.unix {
            return Err(FsError::CannotStore("a second name of a file"));
        }
        self.check_new(dir, name)?;
        if matches!(self.model.node(node)?.content, Content::Directory(_)) {
            return Err(FsError::IsADirectory);
        }
        let now = self.now;
        self.model.names_mut(dir, now);
        self.model.enter(dir, name, node);
        self.model.nodes.get_mut(&node).expect("a node").ctime = now;
        Ok(())
    }

    fn set_meta(&mut self, node: Node, change: &MetaChange) -> Result<(), FsError> {
        let now = self.now;
        let node = self.model.nodes.get_mut(&node).ok_or(FsError::NotFound)?;
        node.mode = change.mode.unwrap_or(node.mode);
        node.uid = change.uid.unwrap_or(node.uid);
        node.gid = change.gid.unwrap_or(node.gid);
        node.mtime = change.mtime.unwrap_or(node.mtime);
        node.atime = change.atime.unwrap_or(node.atime);
        node.ctime = now;
        for (name, value) in &change.xattrs {
            match value {
                Some(value) => node.xattrs.insert(name.clone(), value.clone()),
                None => node.xattrs.remove(name),
            };
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Freed, FsError> {
        let mut place = self.place.lock().unwrap();
        let gone = place.nodes.keys().filter(|node| !self.model.nodes.contains_key(node)).count();
        *place = self.model;
        Ok(Freed { bytes: 0, nodes: gone as u64, discarded: 0 })
    }
}
