//! Reading FAT.
//!
//! FAT has no inodes: a node is the place of an entry, and is known once its directory was read.
//! That bounds what a node number can make us read to what a directory really names.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check;
use super::directory::{MAX_BYTES, READ_ONLY, Short, Slots};
use super::geometry::{Geometry, Root, SLOT, Width};
use super::name;
use super::serial;
use super::storing;
use super::table::{Link, Table};
use crate::block::ReadBlocks;
use crate::fs::{Entry, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing, Timestamp, Xattr};

/// Each node that was seen is remembered, with some 100 bytes; a FAT that a guest boots from holds
/// some hundred files.
const MAX_NODES: usize = 1 << 20;

/// The root's node: the boot sector lies there, and no entry. 0 names nothing in any filesystem.
pub(super) const ROOT: Node = Node(1);

/// Numbers for nodes whose own place is the number of one that was moved away.
const MOVED: u64 = 1 << 62;

/// A FAT filesystem, open for reading.
pub(super) struct Fat<'a> {
    pub(super) device: Arc<dyn ReadBlocks + 'a>,
    pub(super) geometry: Geometry,
    pub(super) table: Table,
    state: Mutex<State>,
}

/// Where a node's entry is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The directory it is in.
    pub(super) dir: Node,
    /// First byte of its 32 on the device.
    pub(super) at: u64,
}

#[derive(Default)]
struct State {
    places: HashMap<Node, Place>,
    nodes: HashMap<u64, Node>,
    /// Which directory begins at a cluster: one that two entries name would make a loop.
    directories: HashMap<u32, Node>,
    moved: u64,
    /// The cluster a file was read at last: its node, the cluster's place in the chain, its number.
    cursor: Option<(Node, u32, u64, u32)>,
}

/// A directory's slots, and where they lie.
pub(super) struct Listing {
    pub(super) slots: Slots,
    /// First byte and length of each piece, in order.
    pieces: Vec<(u64, usize)>,
}

impl Listing {
    /// Where a slot lies on the device.
    pub(super) fn place(&self, slot: usize) -> Option<u64> {
        let mut within = slot.checked_mul(SLOT)?;
        for &(at, len) in &self.pieces {
            match within.checked_sub(len) {
                Some(rest) => within = rest,
                None => return Some(at + within as u64),
            }
        }
        None
    }

    /// Adds a piece of free slots.
    pub(super) fn grow(&mut self, at: u64, len: usize) {
        self.slots.grow(len);
        self.pieces.push((at, len));
    }

    /// The pieces with their bytes.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.slots.bytes();
        self.pieces.iter().map(move |&(at, len)| {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            (at, piece)
        })
    }
}

impl<'a> Fat<'a> {
    /// Opens a filesystem.
    pub(super) fn open(device: Arc<dyn ReadBlocks + 'a>) -> Result<Self, FsError> {
        let geometry = Geometry::read(&*device)?
            .map_err(|problem| FsError::corrupt("boot sector", "sector 0", problem))?;
        let mut state = State::default();
        if let Root::Cluster(cluster) = geometry.root {
            state.directories.insert(cluster, ROOT);
        }
        Ok(Self { device, geometry, table: Table::default(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wide(&self) -> bool {
        self.geometry.width == Width::Fat32
    }

    /// What the table says of a cluster.
    pub(super) fn link(&self, cluster: u32) -> Result<Link, FsError> {
        self.table.link(&*self.device, &self.geometry, cluster)
    }

    /// The cluster after this one.
    pub(super) fn next(&self, cluster: u32) -> Result<Option<u32>, FsError> {
        self.table.next(&*self.device, &self.geometry, cluster)
    }

    /// The clusters of a chain; one of more than `most` is a loop, or too long for what it holds.
    pub(super) fn chain(&self, first: u32, most: u64) -> Result<Vec<u32>, FsError> {
        let mut chain = Vec::new();
        let mut at = (first != 0).then_some(first);
        while let Some(cluster) = at {
            if chain.len() as u64 >= most {
                return Err(FsError::corrupt(
                    "cluster chain",
                    format!("cluster {first}"),
                    format!("it has more than {most} clusters"),
                ));
            }
            chain.push(cluster);
            at = self.next(cluster)?;
        }
        Ok(chain)
    }

    /// How many clusters `size` bytes take.
    pub(super) fn clusters_for(&self, size: u64) -> u64 {
        size.div_ceil(self.geometry.cluster)
    }

    /// Where a node's entry is; `NotFound` for one that was never seen.
    pub(super) fn place(&self, node: Node) -> Result<Place, FsError> {
        self.state().places.get(&node).copied().ok_or(FsError::NotFound)
    }

    /// A node's entry.
    pub(super) fn short(&self, node: Node) -> Result<Short, FsError> {
        let place = self.place(node)?;
        let mut bytes = [0; SLOT];
        self.device.read_at(place.at, &mut bytes)?;
        Ok(Short(bytes))
    }

    /// The node whose entry lies at `at` in `dir`.
    pub(super) fn node(&self, dir: Node, at: u64) -> Result<Node, FsError> {
        let mut state = self.state();
        if let Some(node) = state.nodes.get(&at) {
            return Ok(*node);
        }
        if state.places.len() >= MAX_NODES {
            return Err(FsError::unsupported(format!("more than {MAX_NODES} files")));
        }
        let mut node = Node(at / SLOT as u64);
        if state.places.contains_key(&node) {
            state.moved += 1;
            node = Node(MOVED + state.moved);
        }
        state.nodes.insert(at, node);
        state.places.insert(node, Place { dir, at });
        Ok(node)
    }

    /// Forgets a node that is gone, and what was known of its content.
    pub(super) fn forget(&self, at: u64, directory: Option<u32>) {
        let mut state = self.state();
        if let Some(node) = state.nodes.remove(&at) {
            state.places.remove(&node);
        }
        if let Some(cluster) = directory {
            state.directories.remove(&cluster);
        }
        state.cursor = None;
    }

    /// Says that a node's entry lies elsewhere now.
    pub(super) fn moved(&self, node: Node, to: Place) {
        let mut state = self.state();
        state.places.insert(node, to);
        state.nodes.insert(to.at, node);
    }

    /// Says that a node has no entry for now: what lies in its place is another.
    pub(super) fn detached(&self, node: Node) {
        let mut state = self.state();
        if let Some(old) = state.places.get(&node).copied() {
            state.nodes.remove(&old.at);
        }
    }

    /// Forgets where a file was read last: its chain is another now.
    pub(super) fn forget_cursor(&self) {
        self.state().cursor = None;
    }

    /// The first cluster of a directory; `None` for a root in a region of its own.
    pub(super) fn directory_cluster(&self, dir: Node) -> Result<Option<u32>, FsError> {
        if dir == ROOT {
            return Ok(match self.geometry.root {
                Root::Region(..) => None,
                Root::Cluster(cluster) => Some(cluster),
            });
        }
        let short = self.short(dir)?;
        if !short.is_directory() {
            return Err(FsError::NotADirectory);
        }
        let cluster = short.cluster(self.wide());
        // A directory is opened after the one it is in: a loop comes to a cluster that has a name.
        let owner = *self.state().directories.entry(cluster).or_insert(dir);
        if owner != dir {
            return Err(FsError::corrupt(
                "directory",
                format!("cluster {cluster}"),
                "two entries name it",
            ));
        }
        Ok(Some(cluster))
    }

    /// A directory's slots.
    pub(super) fn list(&self, dir: Node) -> Result<Listing, FsError> {
        let pieces = match self.directory_cluster(dir)? {
            None => match self.geometry.root {
                Root::Region(at, len) => vec![(at, usize::try_from(len).unwrap_or_default())],
                Root::Cluster(_) => Vec::new(),
            },
            Some(cluster) => self.pieces(cluster)?,
        };
        self.listing(pieces)
    }

    /// The slots of a directory that begins at a cluster, whoever names it.
    pub(super) fn list_at(&self, cluster: u32) -> Result<Listing, FsError> {
        self.listing(self.pieces(cluster)?)
    }

    fn pieces(&self, cluster: u32) -> Result<Vec<(u64, usize)>, FsError> {
        if cluster == 0 {
            return Err(FsError::corrupt("directory", "cluster 0", "it has no cluster"));
        }
        let len = usize::try_from(self.geometry.cluster).unwrap_or_default();
        let chain = self.chain(cluster, self.clusters_for(MAX_BYTES))?;
        Ok(chain.into_iter().map(|cluster| (self.geometry.cluster_at(cluster), len)).collect())
    }

    fn listing(&self, pieces: Vec<(u64, usize)>) -> Result<Listing, FsError> {
        let mut bytes = vec![0; pieces.iter().map(|(_, len)| len).sum()];
        let mut rest = &mut bytes[..];
        for &(at, len) in &pieces {
            let (piece, after) = rest.split_at_mut(len);
            self.device.read_at(at, piece)?;
            rest = after;
        }
        Ok(Listing { slots: Slots::new(bytes), pieces })
    }

    /// The cluster at `index` of a file's chain, from where the file was read last.
    fn cluster_of(&self, file: Node, first: u32, index: u64) -> Result<u32, FsError> {
        let (mut at, mut cluster) = match self.state().cursor {
            Some((node, start, at, cluster)) if node == file && start == first && at <= index => {
                (at, cluster)
            }
            _ => (0, first),
        };
        while at < index {
            cluster = self.next(cluster)?.ok_or_else(|| {
                FsError::corrupt(
                    "cluster chain",
                    format!("cluster {first}"),
                    "it ends before the file does",
                )
            })?;
            at += 1;
        }
        if !self.geometry.has_cluster(cluster) {
            return Err(FsError::corrupt(
                "directory entry",
                format!("cluster {cluster}"),
                "there is no such cluster",
            ));
        }
        self.state().cursor = Some((file, first, index, cluster));
        Ok(cluster)
    }

    /// The volume's label: the root directory's, or the boot sector's.
    fn label(&self) -> Option<String> {
        let raw = self
            .list(ROOT)
            .ok()
            .and_then(|listing| listing.slots.label())
            .or(self.geometry.label.filter(|label| label != b"NO NAME    "))?;
        let text: String = raw.iter().map(|&byte| name::decode(byte)).collect();
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether the filesystem was not unmounted cleanly: a bit in the boot sector, or in entry 1.
    pub(super) fn is_dirty(&self) -> bool {
        let clean = match self.geometry.width {
            Width::Fat12 => return self.geometry.state & 1 != 0,
            Width::Fat16 => 1 << 15,
            Width::Fat32 => 1 << 27,
        };
        let entry = self.table.raw(&*self.device, &self.geometry, 1).unwrap_or(u32::MAX);
        self.geometry.state & 1 != 0 || entry & clean == 0
    }

    /// How many clusters the table says this of.
    fn clusters_that_are(&self, wanted: Link) -> Result<u64, FsError> {
        let mut count = 0;
        self.table.each(&*self.device, &self.geometry, |_, link| {
            count += u64::from(link == wanted);
            Ok(())
        })?;
        Ok(count)
    }
}

impl ReadFs for Fat<'_> {
    fn folds_case(&self) -> bool {
        true
    }

    fn spelling(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
        Ok(self.list(dir)?.slots.find(name).map(|found| found.name.into_bytes()))
    }

    /// What is in use by no file is freed.
    fn most_free(&self) -> Result<Option<u64>, FsError> {
        let used = check::check(self)?.used;
        let mut free = 0_u64;
        self.table.each(&*self.device, &self.geometry, |cluster, link| {
            free += u64::from(link != Link::Bad && !used.has(cluster));
            Ok(())
        })?;
        Ok(Some(free.saturating_mul(self.geometry.cluster)))
    }

    fn can_store(&self, what: &Storing<'_>) -> Result<(), FsError> {
        storing::can_store(what)
    }

    fn bad_bytes(&self) -> Result<u64, FsError> {
        Ok(self.clusters_that_are(Link::Bad)? * self.geometry.cluster)
    }

    fn info(&self) -> FsInfo {
        FsInfo {
            kind: "vfat".to_owned(),
            uuid: self.geometry.serial.map(serial::text),
            label: self.label(),
            block_size: u32::try_from(self.geometry.cluster).unwrap_or(u32::MAX),
            size: self.geometry.size,
            free: self.clusters_that_are(Link::Free).unwrap_or(0) * self.geometry.cluster,
            features: vec![self.geometry.width.name().to_owned()],
            dirty: self.is_dirty(),
            read_only_because: (!self.geometry.mirrored)
                .then(|| "its tables are not kept the same".to_owned()),
        }
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        let listing = self.list(dir)?;
        let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
        match listing.slots.find(name).and_then(|found| listing.place(found.slot)) {
            Some(at) => self.node(dir, at).map(Some),
            None => Ok(None),
        }
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        let listing = self.list(dir)?;
        for found in listing.slots.all() {
            let Some(at) = listing.place(found.slot) else { break };
            let node = self.node(dir, at)?;
            let kind = if found.short.is_directory() { Kind::Directory } else { Kind::File };
            if visit(Entry { name: found.name.as_bytes(), node, kind: Some(kind) }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Owners and modes are what Linux shows without mount options: root's, 0755, 0555 for a file
    /// with the read-only attribute.
    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        let short = if node == ROOT { None } else { Some(self.short(node)?) };
        let directory = short.is_none_or(|short| short.is_directory());
        let read_only = short.is_some_and(|short| short.attributes() & READ_ONLY != 0);
        let (mtime, atime) = short.map_or_else(Default::default, |short| short.times());
        let size = if directory {
            self.list(node)?.slots.bytes().len() as u64
        } else {
            short.map_or(0, |short| u64::from(short.size()))
        };
        Ok(Stat {
            kind: if directory { Kind::Directory } else { Kind::File },
            mode: if read_only && !directory { 0o555 } else { 0o755 },
            uid: 0,
            gid: 0,
            size,
            allocated: self.clusters_for(size) * self.geometry.cluster,
            links: if directory { 2 } else { 1 },
            device: None,
            mtime,
            ctime: mtime,
            atime: if node == ROOT { Timestamp::default() } else { atime },
            immutable: false,
            encrypted: false,
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        if node != ROOT {
            self.place(node)?;
        }
        Ok(Vec::new())
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        if file == ROOT {
            return Err(FsError::IsADirectory);
        }
        let short = self.short(file)?;
        if short.is_directory() {
            return Err(FsError::IsADirectory);
        }
        let size = u64::from(short.size());
        let len = usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX).min(dst.len());
        let dst = &mut dst[..len];
        let mut done = 0;
        while let Some(rest) = dst.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let from = at + done as u64;
            let cluster = self.geometry.cluster;
            let number = self.cluster_of(file, short.cluster(self.wide()), from / cluster)?;
            let within = from % cluster;
            let room = usize::try_from(cluster - within).unwrap_or(usize::MAX).min(rest.len());
            let (piece, _) = rest.split_at_mut(room);
            self.device.read_at(self.geometry.cluster_at(number) + within, piece)?;
            done += room;
        }
        Ok(len)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        self.stat(link)?;
        Err(FsError::CannotStore("symlinks"))
    }
}
