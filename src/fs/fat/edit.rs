//! Editing FAT, straight on the staged device: an entry, a chain, a table, each as it is asked for.
//!
//! A freed cluster is zeroed at once, and a directory is written without anything of removed
//! entries, so that `finish` has only to look after what was free before.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::check::{self, Bits};
use super::directory::{ARCHIVE, DIRECTORY, MAX_BYTES, READ_ONLY, Short};
use super::geometry::Width;
use super::name;
use super::reader::{Fat, Listing, Place, ROOT};
use super::storing::{can_store, length};
use super::table::{END, Link};
use crate::block::{ReadBlocks, Watched, WriteBlocks};
use crate::fs::{
    Corrupt, EditFs, EditOptions, Freed, FsError, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Source, Storing, source_of,
};

/// A FAT filesystem, open for editing.
pub(super) struct Editor {
    fat: Fat<'static>,
    device: Arc<dyn WriteBlocks>,
    options: EditOptions,
    /// The clusters that files had when it was opened.
    used: Bits,
    /// Clusters that were in use by no file, freed when it was opened.
    lost: u64,
    /// How many entries are gone that were there before.
    removed: u64,
    created: HashSet<Node>,
    /// Entries of nodes that have no name for now.
    detached: HashMap<Node, Short>,
    /// No cluster below this one is free.
    lowest_free: u32,
}

/// Opens for editing. What a checker would call damage is refused; leftovers of a filesystem that
/// was not unmounted (lost clusters, a dirty mark, a copy of the table that lags behind, stale
/// counts) are mended, as `fsck.vfat -a` does.
pub(super) fn edit(
    device: Arc<dyn WriteBlocks>,
    options: &EditOptions,
) -> Result<Box<dyn EditFs>, FsError> {
    // Zeroes over zeroes are nothing to write.
    let device: Arc<dyn WriteBlocks> = Arc::new(Watched::new(device));
    let fat = Fat::open(Arc::clone(&device) as Arc<dyn ReadBlocks>)?;
    if !fat.geometry.mirrored {
        return Err(FsError::unsupported("FAT32 whose tables are not kept the same"));
    }
    let findings = check::check(&fat)?;
    if let Some(problem) = findings.damage.into_iter().next() {
        let at = "the whole filesystem".to_owned();
        return Err(FsError::Corrupt(Corrupt { structure: "FAT filesystem", at, problem }));
    }
    let mut editor = Editor {
        fat,
        device,
        options: *options,
        used: findings.used,
        lost: 0,
        removed: 0,
        created: HashSet::new(),
        detached: HashMap::new(),
        lowest_free: 2,
    };
    editor.free_lost()?;
    Ok(Box::new(editor))
}

impl Editor {
    /// Frees what is marked as in use and belongs to no file.
    fn free_lost(&mut self) -> Result<(), FsError> {
        let mut lost = 0;
        let mut run = 0..0;
        let clusters = 2..self.fat.geometry.end_cluster();
        let geometry = &self.fat.geometry;
        self.fat.table.clear_where(&*self.device, geometry, clusters, |cluster, link| {
            if matches!(link, Link::Free | Link::Bad) || self.used.has(cluster) {
                return Ok(false);
            }
            lost += 1;
            if run.end != cluster {
                self.zero(run.clone())?;
                run.start = cluster;
            }
            run.end = cluster + 1;
            Ok(true)
        })?;
        self.zero(run)?;
        self.lost = lost;
        Ok(())
    }

    fn set(&self, cluster: u32, value: u32) -> Result<(), FsError> {
        self.fat.table.set(&*self.device, &self.fat.geometry, cluster, value)
    }

    fn cluster_size(&self) -> u64 {
        self.fat.geometry.cluster
    }

    /// Zeroes clusters that lie side by side.
    fn zero(&self, clusters: Range<u32>) -> Result<(), FsError> {
        let len = u64::from(clusters.end.saturating_sub(clusters.start)) * self.cluster_size();
        if len > 0 {
            self.device.zero(self.fat.geometry.cluster_at(clusters.start), len)?;
        }
        Ok(())
    }

    /// Frees a chain; 0: none.
    fn free_chain(&mut self, first: u32) -> Result<(), FsError> {
        let chain = self.fat.chain(first, u64::from(self.fat.geometry.clusters))?;
        for run in chain.chunk_by(|one, next| one + 1 == *next) {
            let (Some(&first), Some(&last)) = (run.first(), run.last()) else { continue };
            let clusters = first..last + 1;
            self.fat.table.clear(&*self.device, &self.fat.geometry, clusters.clone())?;
            self.zero(clusters)?;
            self.lowest_free = self.lowest_free.min(first);
        }
        Ok(())
    }

    /// Takes free clusters and makes a chain of them.
    fn allocate(&mut self, count: u64) -> Result<Vec<u32>, FsError> {
        let mut chain = Vec::new();
        let mut at = self.lowest_free;
        while (chain.len() as u64) < count {
            if !self.fat.geometry.has_cluster(at) {
                return Err(FsError::NoSpace);
            }
            if self.fat.link(at)? == Link::Free {
                chain.push(at);
            }
            at += 1;
        }
        self.lowest_free = at;
        for pair in chain.windows(2) {
            if let [from, to] = *pair {
                self.set(from, to)?;
            }
        }
        if let Some(&last) = chain.last() {
            self.set(last, END)?;
        }
        Ok(chain)
    }

    /// Stores content in clusters of its own; gives the first, 0 for no content.
    fn store(&mut self, size: u32, source: Source<'_>) -> Result<u32, FsError> {
        let cluster_size = self.cluster_size();
        let mut left = u64::from(size);
        let chain = self.allocate(self.fat.clusters_for(left))?;
        let mut piece = vec![0; cluster_size.min(left) as usize];
        for &cluster in &chain {
            let len = cluster_size.min(left);
            let piece = &mut piece[..len as usize];
            source(piece)?;
            let at = self.fat.geometry.cluster_at(cluster);
            self.device.write_at(at, piece)?;
            // What was in the cluster before must not stay behind the file's end.
            self.device.zero(at + len, cluster_size - len)?;
            left -= len;
        }
        Ok(chain.first().copied().unwrap_or(0))
    }

    /// Writes a directory, without anything of removed entries, where it differs.
    fn save(&self, listing: &mut Listing) -> Result<(), FsError> {
        const SECTOR: usize = 512;
        listing.slots.clean();
        for (at, piece) in listing.pieces() {
            let mut old = vec![0; piece.len()];
            self.device.read_at(at, &mut old)?;
            let sectors = piece.chunks(SECTOR).zip(old.chunks(SECTOR));
            for (number, (new, old)) in sectors.enumerate() {
                if new != old {
                    self.device.write_at(at + (number * SECTOR) as u64, new)?;
                }
            }
        }
        Ok(())
    }

    /// Puts an entry into a directory; gives where it lies.
    fn add(&mut self, dir: Node, name: &str, short: Short) -> Result<u64, FsError> {
        let mut listing = self.fat.list(dir)?;
        let slot = loop {
            if let Some(slot) = listing.slots.insert(name, short).map_err(|()| FsError::NoSpace)? {
                break slot;
            }
            let len = listing.slots.bytes().len() as u64 + self.cluster_size();
            let first = self.fat.directory_cluster(dir)?.filter(|_| len <= MAX_BYTES);
            let first = first.ok_or(FsError::NoSpace)?;
            let last = self.fat.chain(first, self.fat.clusters_for(MAX_BYTES))?.last().copied();
            let new = self.allocate(1)?.first().copied();
            let (last, new) = last.zip(new).ok_or(FsError::NoSpace)?;
            self.set(last, new)?;
            self.zero(new..new + 1)?;
            let len = usize::try_from(self.cluster_size()).unwrap_or_default();
            listing.grow(self.fat.geometry.cluster_at(new), len);
        };
        self.save(&mut listing)?;
        listing.place(slot).ok_or(FsError::NoSpace)
    }

    /// The cluster that `..` names for a directory in `dir`: 0 for the root.
    fn parent_cluster(&self, dir: Node) -> Result<u32, FsError> {
        let cluster = if dir == ROOT { None } else { self.fat.directory_cluster(dir)? };
        Ok(cluster.unwrap_or(0))
    }

    /// Makes an empty directory below `dir`; gives its cluster.
    fn new_directory(&mut self, dir: Node) -> Result<u32, FsError> {
        let parent = self.parent_cluster(dir)?;
        let cluster = self.allocate(1)?.first().copied().ok_or(FsError::NoSpace)?;
        self.zero(cluster..cluster + 1)?;
        let now = self.options.now;
        let own = Short::new(b".          ", DIRECTORY, cluster, now);
        let above = Short::new(b"..         ", DIRECTORY, parent, now);
        let at = self.fat.geometry.cluster_at(cluster);
        self.device.write_at(at, &[own.0, above.0].concat())?;
        Ok(cluster)
    }

    /// Notes that the entry at `at` in `dir` is gone.
    fn gone(&mut self, dir: Node, at: u64, short: &Short) -> Result<(), FsError> {
        let node = self.fat.node(dir, at)?;
        if !self.created.remove(&node) {
            self.removed += 1;
        }
        let cluster = short.is_directory().then(|| short.cluster(self.fat.wide()));
        self.fat.forget(at, cluster);
        Ok(())
    }

    fn remove_entry(&mut self, dir: Node, name: &[u8], tree: bool) -> Result<(), FsError> {
        let mut listing = self.fat.list(dir)?;
        let found = std::str::from_utf8(name)
            .ok()
            .and_then(|name| listing.slots.find(name))
            .ok_or(FsError::NotFound)?;
        let at = listing.place(found.slot).ok_or(FsError::NotFound)?;
        let node = self.fat.node(dir, at)?;
        if found.short.is_directory() {
            let below = self.fat.list(node)?.slots.all();
            if !below.is_empty() && !tree {
                return Err(FsError::IsADirectory);
            }
            self.remove_below(node)?;
        }
        self.free_chain(found.short.cluster(self.fat.wide()))?;
        self.gone(dir, at, &found.short)?;
        listing.slots.remove(&found);
        self.save(&mut listing)
    }

    /// Removes everything below a directory, which goes itself right after: its slots need no
    /// writing, since its clusters are zeroed.
    fn remove_below(&mut self, dir: Node) -> Result<(), FsError> {
        let mut todo = vec![dir];
        let mut below = Vec::new();
        while let Some(dir) = todo.pop() {
            let listing = self.fat.list(dir)?;
            for found in listing.slots.all() {
                let at = listing.place(found.slot).ok_or(FsError::NotFound)?;
                if found.short.is_directory() {
                    todo.push(self.fat.node(dir, at)?);
                }
                below.push((dir, at, found.short));
            }
        }
        for (dir, at, short) in below.into_iter().rev() {
            self.free_chain(short.cluster(self.fat.wide()))?;
            self.gone(dir, at, &short)?;
        }
        Ok(())
    }

    /// Discards what is not in use: behind the end of each file and directory, and free clusters.
    fn discard_free(&self) -> Result<(), FsError> {
        let mut todo = vec![ROOT];
        while let Some(dir) = todo.pop() {
            let mut listing = self.fat.list(dir)?;
            self.save(&mut listing)?;
            for found in listing.slots.all() {
                let at = listing.place(found.slot).ok_or(FsError::NotFound)?;
                if found.short.is_directory() {
                    todo.push(self.fat.node(dir, at)?);
                } else {
                    self.discard_slack(&found.short)?;
                }
            }
        }
        let geometry = &self.fat.geometry;
        let mut run: Option<(u32, u32)> = None;
        let flush = |run: Option<(u32, u32)>| match run {
            Some((first, count)) => {
                self.device.zero(geometry.cluster_at(first), u64::from(count) * geometry.cluster)
            }
            None => Ok(()),
        };
        self.fat.table.each(&*self.device, geometry, |cluster, link| {
            run = match (link, run) {
                (Link::Free, Some((first, count))) => Some((first, count + 1)),
                (Link::Free, None) => Some((cluster, 1)),
                (_, run) => {
                    flush(run)?;
                    None
                }
            };
            Ok(())
        })?;
        flush(run)?;
        // Sectors too few to make one more cluster.
        let end = geometry.data_at + u64::from(geometry.clusters) * geometry.cluster;
        self.device.zero(end, geometry.size.saturating_sub(end))?;
        Ok(())
    }

    /// Zeroes what is behind a file's end in its last cluster, where it is not zero already.
    fn discard_slack(&self, short: &Short) -> Result<(), FsError> {
        let size = u64::from(short.size());
        let within = size % self.cluster_size();
        if within == 0 {
            return Ok(());
        }
        let chain = self.fat.chain(short.cluster(self.fat.wide()), self.fat.clusters_for(size))?;
        let Some(&last) = chain.last() else { return Ok(()) };
        let at = self.fat.geometry.cluster_at(last) + within;
        let mut slack = vec![0; usize::try_from(self.cluster_size() - within).unwrap_or_default()];
        self.device.read_at(at, &mut slack)?;
        if slack.iter().any(|&byte| byte != 0) {
            self.device.zero(at, slack.len() as u64)?;
        }
        Ok(())
    }

    /// Marks the filesystem as clean, in the boot sector, its copy and the table.
    fn mark_clean(&self) -> Result<(), FsError> {
        let geometry = &self.fat.geometry;
        for sector in [Some(0), geometry.backup_at].into_iter().flatten() {
            let mut mark = [0; 2];
            self.device.read_at(sector + 510, &mut mark)?;
            let mut state = [0];
            self.device.read_at(sector + geometry.state_at, &mut state)?;
            if mark == [0x55, 0xaa] && state[0] & 1 != 0 {
                self.device.write_at(sector + geometry.state_at, &[state[0] & !1])?;
            }
        }
        let clean = match geometry.width {
            Width::Fat12 => return Ok(()),
            Width::Fat16 => 1 << 15,
            Width::Fat32 => 1 << 27,
        };
        let entry = self.fat.table.raw(&*self.device, geometry, 1)?;
        if entry & clean == 0 { self.set(1, entry | clean) } else { Ok(()) }
    }

    /// Writes how many clusters are free, and where to look for the first.
    fn write_info(&self, free: u32, first: u32) -> Result<(), FsError> {
        let Some(at) = self.fat.geometry.info_at else { return Ok(()) };
        let mut sector = [0; 512];
        self.device.read_at(at, &mut sector)?;
        if check::is_info(&sector) {
            let bytes = [free.to_le_bytes(), first.to_le_bytes()].concat();
            if sector[488..496] != bytes {
                self.device.write_at(at + 488, &bytes)?;
            }
        }
        Ok(())
    }
}

impl EditFs for Editor {
    fn view(&self) -> &dyn ReadFs {
        &self.fat
    }

    /// Of the permission bits only whether a file may be written is kept. An owner other than
    /// root, special bits and extended attributes cannot be stored.
    fn create(
        &mut self,
        dir: Node,
        name: &[u8],
        kind: NewKind<'_>,
        meta: &NewMeta,
    ) -> Result<Node, FsError> {
        let name = name::storable(name).ok_or(FsError::BadName)?;
        if self.fat.list(dir)?.slots.find(name).is_some() {
            return Err(FsError::Exists);
        }
        can_store(&Storing::New(kind, meta))?;
        let (attributes, cluster, size) = match kind {
            NewKind::File(content) => {
                let size = length(content.len() as u64)?;
                let read_only = if meta.mode & 0o222 == 0 { READ_ONLY } else { 0 };
                (ARCHIVE | read_only, self.store(size, &mut source_of(content))?, size)
            }
            NewKind::Directory => (DIRECTORY, self.new_directory(dir)?, 0),
            NewKind::Symlink(_) => return Err(FsError::CannotStore("symlinks")),
            NewKind::Special(..) => {
                return Err(FsError::CannotStore("devices, pipes and sockets"));
            }
        };
        let mut short = Short::new(b"           ", attributes, cluster, self.options.now);
        short.set_size(size);
        if let Some(mtime) = meta.mtime {
            short.set_mtime(mtime);
        }
        if let Some(atime) = meta.atime {
            short.set_atime(atime);
        }
        let at = self.add(dir, name, short)?;
        let node = self.fat.node(dir, at)?;
        self.created.insert(node);
        Ok(node)
    }

    fn wipe(&mut self, file: Node, at: u64) -> Result<(), FsError> {
        if file == ROOT {
            return Err(FsError::IsADirectory);
        }
        let short = self.fat.short(file)?;
        if short.is_directory() {
            return Err(FsError::IsADirectory);
        }
        let geometry = &self.fat.geometry;
        let first = short.cluster(self.fat.wide());
        let mut start = 0;
        for cluster in self.fat.chain(first, u64::from(geometry.clusters))? {
            let keep = at.saturating_sub(start).min(geometry.cluster);
            if keep < geometry.cluster {
                self.device.zero(geometry.cluster_at(cluster) + keep, geometry.cluster - keep)?;
            }
            start += geometry.cluster;
        }
        Ok(())
    }

    fn replace_from(&mut self, file: Node, size: u64, source: Source<'_>) -> Result<(), FsError> {
        if file == ROOT {
            return Err(FsError::IsADirectory);
        }
        let place = self.fat.place(file)?;
        let mut short = self.fat.short(file)?;
        if short.is_directory() {
            return Err(FsError::IsADirectory);
        }
        let size = length(size)?;
        self.free_chain(short.cluster(self.fat.wide()))?;
        self.fat.forget_cursor();
        short.set_cluster(self.store(size, source)?);
        short.set_size(size);
        short.set_mtime(self.options.now);
        short.set_attributes(short.attributes() | ARCHIVE);
        self.device.write_at(place.at, &short.0)?;
        Ok(())
    }

    fn remove(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        self.remove_entry(dir, name, false)
    }

    fn remove_tree(&mut self, dir: Node, name: &[u8]) -> Result<(), FsError> {
        self.remove_entry(dir, name, true)
    }

    fn detach(&mut self, dir: Node, name: &[u8]) -> Result<Node, FsError> {
        let mut listing = self.fat.list(dir)?;
        let found = std::str::from_utf8(name)
            .ok()
            .and_then(|name| listing.slots.find(name))
            .ok_or(FsError::NotFound)?;
        let at = listing.place(found.slot).ok_or(FsError::NotFound)?;
        let node = self.fat.node(dir, at)?;
        listing.slots.remove(&found);
        self.save(&mut listing)?;
        self.fat.detached(node);
        self.detached.insert(node, found.short);
        Ok(node)
    }

    fn attach(&mut self, node: Node, dir: Node, name: &[u8]) -> Result<(), FsError> {
        let name = name::storable(name).ok_or(FsError::BadName)?;
        let old_dir = self.fat.place(node)?.dir;
        let mut above = dir;
        while above != ROOT {
            if above == node {
                return Err(FsError::BadName);
            }
            above = self.fat.place(above)?.dir;
        }
        if self.fat.list(dir)?.slots.find(name).is_some() {
            return Err(FsError::Exists);
        }
        let short = self.detached.remove(&node).ok_or(FsError::NotFound)?;
        let at = self.add(dir, name, short)?;
        self.fat.moved(node, Place { dir, at });
        if short.is_directory() && old_dir != dir {
            let parent = self.parent_cluster(dir)?;
            let mut listing = self.fat.list(node)?;
            listing.slots.set_parent(parent);
            self.save(&mut listing)?;
        }
        Ok(())
    }

    fn link(&mut self, _: Node, _: Node, _: &[u8]) -> Result<(), FsError> {
        Err(FsError::CannotStore("a second name of a file"))
    }

    fn set_meta(&mut self, node: Node, change: &MetaChange) -> Result<(), FsError> {
        let stat = self.fat.stat(node)?;
        can_store(&Storing::Meta(Some(node), stat.kind, change))?;
        if node == ROOT {
            return Ok(());
        }
        let place = self.fat.place(node)?;
        let mut short = self.fat.short(node)?;
        match change.mode {
            Some(mode) if !short.is_directory() && mode & 0o222 == 0 => {
                short.set_attributes(short.attributes() | READ_ONLY);
            }
            Some(_) if !short.is_directory() => {
                short.set_attributes(short.attributes() & !READ_ONLY);
            }
            _ => {}
        }
        if let Some(mtime) = change.mtime {
            short.set_mtime(mtime);
        }
        if let Some(atime) = change.atime {
            short.set_atime(atime);
        }
        self.device.write_at(place.at, &short.0)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Freed, FsError> {
        if !self.detached.is_empty() {
            return Err(FsError::unsupported(
                "a file that was taken from its place and put nowhere",
            ));
        }
        if !self.options.keep_free_space {
            self.discard_free()?;
        }
        let (mut free, mut freed, mut first) = (0_u32, self.lost, None);
        self.fat.table.each(&*self.device, &self.fat.geometry, |cluster, link| {
            if link == Link::Free {
                free += 1;
                first = first.or(Some(cluster));
                freed += u64::from(self.used.has(cluster));
            }
            Ok(())
        })?;
        self.mark_clean()?;
        self.write_info(free, first.unwrap_or(u32::MAX))?;
        check::differing_pieces(&self.fat, |at, bytes| {
            self.device.write_at(at, bytes)?;
            Ok(())
        })?;
        self.device.flush()?;
        let bytes = freed * self.cluster_size();
        Ok(Freed {
            bytes,
            nodes: self.removed,
            discarded: if self.options.keep_free_space {
                bytes
            } else {
                u64::from(free) * self.cluster_size()
            },
        })
    }
}
