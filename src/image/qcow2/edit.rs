//! Editing a qcow2 image through an overlay.
//!
//! Nothing is ordered or flushed on the way: the overlay is committed whole or not at all. A
//! cluster that the guest zeroes loses its mapping, and what it held is wiped from the file.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::block::{
    BlockError, Extent, ReadBlocks, ResizeBlocks, WriteBlocks, check_range, is_zero,
};
use crate::image::ImageError;

use super::refcount::{Allocator, Counts, clear};
use super::references::{self, for_each_entry};
use super::table::{COMPRESSED, COPIED, Compressed, Entry, Mapping, Tables, ZERO};
use super::{Header, Qcow2, compressed, extent_padded};

/// Every subcluster allocated.
const ALL_ALLOCATED: u64 = 0xffff_ffff;
/// Every subcluster zero.
const ALL_ZERO: u64 = 0xffff_ffff << 32;

/// A qcow2 image's guest disk, editable.
pub(in crate::image) struct Qcow2Edit {
    disk: Qcow2,
    host: Arc<dyn ResizeBlocks>,
    state: Mutex<State>,
}

struct State {
    allocator: Allocator,
    /// Guest clusters of which a part was zeroed: perhaps nothing is left of them.
    zeroed_in_part: BTreeSet<u64>,
    /// Guest bytes, one in each L2 table that lost entries.
    thinned: BTreeSet<u64>,
    /// Compressed clusters that were given up.
    given_up: Vec<Compressed>,
    keep_free_space: bool,
    finished: bool,
}

impl Qcow2Edit {
    /// Opens the image in `host` for editing. With `keep_free_space`, host clusters that were free
    /// or leaked before are left as they are.
    pub(in crate::image) fn open(
        host: Arc<dyn ResizeBlocks>,
        header: Header,
        backing: Option<Arc<dyn ReadBlocks>>,
        keep_free_space: bool,
    ) -> Result<Self, ImageError> {
        if header.bitmaps > 0 {
            return Err(ImageError::unsupported(
                "editing a qcow2 image with persistent bitmaps, which would become wrong",
                "remove them with qemu-img bitmap --remove",
            ));
        }
        let autoclear = header.version >= 3 && header.autoclear != 0;
        let disk = Qcow2::with_writer(host.clone(), Some(host.clone()), header, backing)?;
        {
            let mut tables = disk.tables();
            references::check(&mut tables, !keep_free_space)?;
            // Who changes an image without knowing a feature clears its bit, says the format.
            if autoclear {
                tables.pages.set_word(88, 0)?;
            }
        }
        let state = State {
            allocator: Allocator::new(keep_free_space),
            zeroed_in_part: BTreeSet::new(),
            thinned: BTreeSet::new(),
            given_up: Vec::new(),
            keep_free_space,
            finished: false,
        };
        Ok(Self { disk, host, state: Mutex::new(state) })
    }

    fn state(&self, at: u64) -> Result<MutexGuard<'_, State>, BlockError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.finished {
            let source = std::io::Error::other("the edit of the image is finished");
            return Err(BlockError::Io { at, source });
        }
        Ok(state)
    }

    /// Brings the image's tables and what is free in it into the overlay; no edit may follow.
    pub(in crate::image) fn finish(&self) -> Result<(), ImageError> {
        let mut state = self.state(0)?;
        let state = &mut *state;
        let tables = &mut *self.disk.tables();
        let mut edit = Edit { disk: &self.disk, host: &*self.host, tables, state };
        for at in std::mem::take(&mut edit.state.zeroed_in_part) {
            if edit.is_all_zero(at)? {
                edit.discard(at)?;
            }
        }
        edit.wipe_compressed()?;
        edit.drop_empty_tables()?;
        edit.tables.pages.flush()?;
        edit.sweep()?;
        edit.state.finished = true;
        Ok(())
    }
}

impl ReadBlocks for Qcow2Edit {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        self.disk.read_at(at, dst)
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        self.disk.extent_at(at)
    }
}

impl WriteBlocks for Qcow2Edit {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        check_range(at, src.len() as u64, self.len())?;
        let mut state = self.state(at)?;
        let tables = &mut *self.disk.tables();
        let mut edit = Edit { disk: &self.disk, host: &*self.host, tables, state: &mut state };
        let mut at = at;
        let mut src = src;
        while !src.is_empty() {
            let rest = self.disk.cluster - at % self.disk.cluster;
            let (now, later) = src.split_at((src.len() as u64).min(rest) as usize);
            edit.write(at, now).map_err(|error| error.at(at))?;
            src = later;
            at += now.len() as u64;
        }
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        check_range(at, len, self.len())?;
        let mut state = self.state(at)?;
        let tables = &mut *self.disk.tables();
        let mut edit = Edit { disk: &self.disk, host: &*self.host, tables, state: &mut state };
        let (mut at, end) = (at, at + len);
        while at < end {
            at = edit.zero(at, end).map_err(|error| error.at(at))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), BlockError> {
        let _state = self.state(0)?;
        self.disk.tables().pages.flush()?;
        self.host.flush()
    }
}

/// One edit, with everything it needs locked.
struct Edit<'a> {
    disk: &'a Qcow2,
    host: &'a dyn ResizeBlocks,
    tables: &'a mut Tables,
    state: &'a mut State,
}

impl Edit<'_> {
    fn cluster(&self) -> u64 {
        self.disk.cluster
    }

    /// Whether the backing file has nothing but zeroes here, or there is none.
    fn backing_is_zero(&self, at: u64, len: u64) -> Result<bool, ImageError> {
        let Some(backing) = &self.disk.backing else { return Ok(true) };
        let (mut at, end) = (at, at + len);
        while at < end {
            match extent_padded(&**backing, at, end - at)? {
                Extent::Zero(len) => at += len,
                Extent::Data(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether these guest bytes are known to read as zeroes.
    fn reads_zero(&mut self, at: u64, len: u64) -> Result<bool, ImageError> {
        let (mut at, end) = (at, at + len);
        while at < end {
            let (mapping, len) = self.tables.map(at)?;
            let len = len.min(end - at);
            let zero = match mapping {
                Mapping::Zero => true,
                Mapping::Backing => self.backing_is_zero(at, len)?,
                Mapping::Data(host) => self.host_is_zero(host, len)?,
                Mapping::Compressed(_) => false,
            };
            if !zero {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }

    fn host_is_zero(&self, at: u64, len: u64) -> Result<bool, ImageError> {
        let (mut at, end) = (at, at + len);
        while at < end {
            match extent_padded(self.host, at, end - at)? {
                Extent::Zero(len) => at += len,
                Extent::Data(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// How many of a guest cluster's bytes are the disk's: the last one may stick out.
    fn held(&self, cluster_at: u64) -> u64 {
        (self.disk.size - cluster_at).min(self.cluster())
    }

    fn is_all_zero(&mut self, cluster_at: u64) -> Result<bool, ImageError> {
        self.reads_zero(cluster_at, self.held(cluster_at))
    }

    fn is_sole_user(&mut self, offset: u64) -> Result<bool, ImageError> {
        Ok(self.tables.refcount(offset >> self.tables.header.cluster_bits)? == 1)
    }

    fn allocate(&mut self) -> Result<u64, ImageError> {
        self.state.allocator.allocate(self.tables, self.host)
    }

    fn free(&mut self, offset: u64) -> Result<(), ImageError> {
        self.state.allocator.free(self.tables, self.host, offset)
    }

    /// Gives up what an entry refers to.
    fn release(&mut self, entry: Entry) -> Result<(), ImageError> {
        if entry.word & COMPRESSED != 0 {
            let place = self.tables.compressed(entry.word);
            let bits = self.tables.header.cluster_bits;
            for cluster in place.offset >> bits..=(place.offset + (place.len - 1)) >> bits {
                self.free(cluster << bits)?;
            }
            self.state.given_up.push(place);
        } else if let Some(offset) = entry.host() {
            self.free(offset)?;
        }
        Ok(())
    }

    /// The L2 table for guest byte `at`, this image's own to change.
    fn own_l2_table(&mut self, at: u64) -> Result<u64, ImageError> {
        let old = self.tables.l2_table(at)?;
        if let Some(table) = old
            && self.is_sole_user(table)?
        {
            return Ok(table);
        }
        let table = self.allocate()?;
        if let Some(old) = old {
            for offset in (0..self.cluster()).step_by(8) {
                let word = self.tables.pages.word(old + offset)?;
                if word != 0 {
                    self.tables.pages.set_word(table + offset, word)?;
                }
            }
        }
        let place = self.tables.l1_at(at);
        self.tables.pages.set_word(place, table | COPIED)?;
        if let Some(old) = old {
            self.free(old)?;
        }
        Ok(table)
    }

    /// Changes the L2 entry for guest byte `at`.
    fn set_entry(&mut self, at: u64, entry: Entry) -> Result<(), ImageError> {
        let table = self.own_l2_table(at)?;
        let place = self.tables.entry_at(table, at);
        self.tables.set_entry(place, entry)
    }

    /// The L2 entry for guest byte `at`; an empty one where there is no table.
    fn entry(&mut self, at: u64) -> Result<Entry, ImageError> {
        match self.tables.l2_table(at)? {
            Some(table) => {
                let place = self.tables.entry_at(table, at);
                self.tables.entry(place)
            }
            None => Ok(Entry { word: 0, bitmap: 0 }),
        }
    }

    /// Reads guest bytes inside one cluster.
    fn read(&mut self, at: u64, dst: &mut [u8]) -> Result<(), ImageError> {
        let (mut at, mut dst) = (at, dst);
        while !dst.is_empty() {
            let (mapping, len) = self.tables.map(at)?;
            let (now, later) = dst.split_at_mut(len.min(dst.len() as u64) as usize);
            self.disk.read_mapped(mapping, at, now)?;
            at += now.len() as u64;
            dst = later;
        }
        Ok(())
    }

    /// The host cluster that holds the whole of the guest cluster with this entry and no other's
    /// content, if there is one.
    fn whole(&mut self, entry: Entry) -> Result<Option<u64>, ImageError> {
        let Some(offset) = entry.host() else { return Ok(None) };
        let whole = if self.tables.header.extended_l2 {
            entry.bitmap == ALL_ALLOCATED
        } else {
            entry.word & ZERO == 0 || self.tables.header.version < 3
        };
        Ok((whole && self.is_sole_user(offset)?).then_some(offset))
    }

    /// Writes guest bytes inside one cluster.
    fn write(&mut self, at: u64, src: &[u8]) -> Result<(), ImageError> {
        let cluster = self.cluster();
        let within = at % cluster;
        let start = at - within;
        let entry = self.entry(at)?;
        if let Some(offset) = self.whole(entry)? {
            self.reach(offset + within + src.len() as u64)?;
            self.host.write_at(offset + within, src)?;
            return Ok(());
        }
        if is_zero(src) && self.reads_zero(at, src.len() as u64)? {
            return Ok(());
        }
        let mut content = vec![0; self.held(start) as usize];
        if src.len() < content.len() {
            self.read(start, &mut content)?;
        }
        if let Some(place) = content.get_mut(within as usize..within as usize + src.len()) {
            place.copy_from_slice(src);
        }
        let kept = match entry.host() {
            Some(offset) if self.is_sole_user(offset)? => Some(offset),
            _ => None,
        };
        let offset = match kept {
            Some(offset) => {
                clear(self.tables, self.host, offset >> self.tables.header.cluster_bits, 1)?;
                offset
            }
            None => self.allocate()?,
        };
        self.host.write_at(offset, &content)?;
        let bitmap = if self.tables.header.extended_l2 { ALL_ALLOCATED } else { 0 };
        self.set_entry(at, Entry { word: offset | COPIED, bitmap })?;
        if kept.is_none() {
            self.release(entry)?;
        }
        Ok(())
    }

    /// The file's last cluster need not be whole.
    fn reach(&mut self, end: u64) -> Result<(), ImageError> {
        if self.host.len() < end {
            self.host.set_len(end)?;
        }
        Ok(())
    }

    /// Zeroes guest bytes from `at` on, up to `end` at most, and gives how far it got.
    fn zero(&mut self, at: u64, end: u64) -> Result<u64, ImageError> {
        let cluster = self.cluster();
        let start = at - at % cluster;
        let cluster_end = start + self.held(start);
        if self.tables.l2_table(at)?.is_none() {
            let (_, covered) = self.tables.map(at)?;
            let stop = end.min(at + covered);
            if self.backing_is_zero(at, stop - at)? {
                return Ok(stop);
            }
        }
        if at == start && end >= cluster_end {
            self.discard(at)?;
            return Ok(cluster_end);
        }
        let stop = end.min(cluster_end);
        if self.reads_zero(at, stop - at)? {
            self.state.zeroed_in_part.insert(start);
            return Ok(stop);
        }
        let entry = self.entry(at)?;
        if let Some(offset) = self.whole(entry)? {
            self.reach(offset + (stop - start))?;
            self.host.zero(offset + (at - start), stop - at)?;
        } else {
            self.write(at, &vec![0; (stop - at) as usize])?;
        }
        self.state.zeroed_in_part.insert(start);
        Ok(stop)
    }

    /// Takes a guest cluster's mapping away, so that it reads as zeroes.
    fn discard(&mut self, cluster_at: u64) -> Result<(), ImageError> {
        let entry = self.entry(cluster_at)?;
        let extended = self.tables.header.extended_l2;
        let empty = Entry { word: 0, bitmap: 0 };
        let wanted = if self.backing_is_zero(cluster_at, self.held(cluster_at))? {
            empty
        } else if self.tables.header.version >= 3 {
            if extended {
                Entry { word: 0, bitmap: ALL_ZERO }
            } else {
                Entry { word: ZERO, bitmap: 0 }
            }
        } else {
            // Version 2 cannot hide the backing file without a cluster; a hole costs nothing.
            if let Some(offset) = self.whole(entry)? {
                clear(self.tables, self.host, offset >> self.tables.header.cluster_bits, 1)?;
                return Ok(());
            }
            Entry { word: self.allocate()? | COPIED, bitmap: 0 }
        };
        let hides_nothing = wanted == empty && entry.host().is_none();
        if entry == wanted || (hides_nothing && entry.word & COMPRESSED == 0) {
            return Ok(());
        }
        self.set_entry(cluster_at, wanted)?;
        if wanted == empty {
            let covered = self.cluster() * self.tables.header.l2_entries();
            self.state.thinned.insert(cluster_at / covered * covered);
        }
        self.release(entry)
    }

    /// Frees L2 tables that map nothing any more.
    fn drop_empty_tables(&mut self) -> Result<(), ImageError> {
        for at in std::mem::take(&mut self.state.thinned) {
            let Some(table) = self.tables.l2_table(at)? else { continue };
            let mut empty = true;
            for_each_entry(self.tables, table, |_, _, _| {
                empty = false;
                Ok(())
            })?;
            if empty {
                let place = self.tables.l1_at(at);
                self.tables.pages.set_word(place, 0)?;
                self.tables.pages.forget(table, self.cluster());
                self.free(table)?;
            }
        }
        Ok(())
    }

    /// Wipes the compressed clusters that were given up from host clusters that stay in use.
    fn wipe_compressed(&mut self) -> Result<(), ImageError> {
        let given_up = std::mem::take(&mut self.state.given_up);
        // Shared with a snapshot, which cannot be told from shared with a neighbour.
        if given_up.is_empty() || self.tables.header.snapshots > 0 {
            return Ok(());
        }
        let bits = self.tables.header.cluster_bits;
        let mut shared = Vec::new();
        for place in given_up {
            let clusters = place.offset >> bits..=(place.offset + (place.len - 1)) >> bits;
            for cluster in clusters {
                if self.holds_others(cluster)? {
                    shared.push(place);
                    break;
                }
            }
        }
        shared.sort_unstable_by_key(|place| place.offset);
        let live = self.live_among(&shared)?;
        for place in shared {
            // What does not inflate has no length; its sectors belong to its neighbours too.
            let Ok((_, len)) = compressed::read(self.host, place, self.cluster()) else { continue };
            let end = place.offset + len;
            let end = live.range(place.offset..).next().map_or(end, |next| end.min(*next));
            for cluster in place.offset >> bits..=end >> bits {
                let from = place.offset.max(cluster << bits);
                let to = end.min((cluster + 1) << bits);
                if from < to && self.holds_others(cluster)? {
                    self.host.zero(from, to - from)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a host cluster still holds what it held before the edit.
    fn holds_others(&mut self, cluster: u64) -> Result<bool, ImageError> {
        Ok(!self.state.allocator.took(cluster) && self.tables.refcount(cluster)? > 0)
    }

    /// Where compressed clusters in use start inside the given ones, which are in order.
    fn live_among(&mut self, places: &[Compressed]) -> Result<BTreeSet<u64>, ImageError> {
        let mut live = BTreeSet::new();
        if places.is_empty() {
            return Ok(live);
        }
        for index in 0..u64::from(self.tables.header.l1_size) {
            let place = self.tables.header.l1_offset + index * 8;
            let word = self.tables.pages.word(place)?;
            let Some(table) = self.tables.table_offset(word, "L1 entry", place)? else { continue };
            for_each_entry(self.tables, table, |tables, _, entry| {
                if entry.word & COMPRESSED != 0 {
                    let offset = tables.compressed(entry.word).offset;
                    let before = places.partition_point(|place| place.offset <= offset);
                    let inside = |place: &Compressed| offset < place.offset + place.len;
                    if places[..before].last().is_some_and(inside) {
                        live.insert(offset);
                    }
                }
                Ok(())
            })?;
        }
        Ok(live)
    }

    /// Sweeps the free clusters: wiped, unless asked not to, and the file cut after the last used.
    fn sweep(&mut self) -> Result<(), ImageError> {
        if self.state.keep_free_space {
            return Ok(());
        }
        let bits = self.tables.header.cluster_bits;
        let len = self.host.len();
        let clusters = len.div_ceil(self.cluster());
        let (mut cluster, mut used_end, mut free_from) = (0, 0, None);
        while cluster < clusters {
            match self.tables.counts(cluster)? {
                Counts::Free(count) => {
                    free_from.get_or_insert(cluster);
                    cluster += count;
                }
                Counts::Each(counts) => {
                    for count in counts {
                        if count == 0 {
                            free_from.get_or_insert(cluster);
                        } else {
                            if let Some(from) = free_from.take() {
                                self.wipe(from << bits, cluster << bits)?;
                            }
                            used_end = cluster + 1;
                        }
                        cluster += 1;
                    }
                }
            }
        }
        let end = used_end << bits;
        if end < len {
            self.host.set_len(end)?;
        }
        Ok(())
    }

    fn wipe(&mut self, from: u64, to: u64) -> Result<(), ImageError> {
        let to = to.min(self.host.len());
        if from < to {
            self.host.zero(from, to - from)?;
        }
        Ok(())
    }
}
