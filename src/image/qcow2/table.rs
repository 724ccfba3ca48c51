//! From guest to host: L1 and L2 tables (`docs/interop/qcow2.txt`, "Cluster mapping").

use std::sync::Arc;

use crate::block::{ReadBlocks, ResizeBlocks};
use crate::image::ImageError;

use super::Header;
use super::pages::Pages;

/// The entry's cluster is referred to once: it can be written in place.
pub(super) const COPIED: u64 = 1 << 63;
/// The cluster is compressed.
pub(super) const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeroes.
pub(super) const ZERO: u64 = 1;
/// The bits of an entry that are a host offset.
pub(super) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The bits of an L1 entry that are reserved, and have to be zero.
pub(super) const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
/// Those of an L2 entry's descriptor of a cluster that is not compressed. [`ZERO`] is another in
/// version 2, and with extended entries.
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
/// How many subclusters a cluster with extended L2 entries has.
const SUBCLUSTERS: u64 = 32;

/// An L2 entry: its descriptor, and its subclusters' bitmap where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) word: u64,
    /// Low half: which subclusters are allocated; high half: which read as zeroes.
    pub(super) bitmap: u64,
}

impl Entry {
    /// The host cluster, data or kept for later, if any. Not for compressed clusters.
    pub(super) fn host(self) -> Option<u64> {
        match self.word & OFFSET {
            0 => None,
            _ if self.word & COMPRESSED != 0 => None,
            offset => Some(offset),
        }
    }
}

/// Where a stretch of the guest's disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// In the backing file.
    Backing,
    /// Nowhere: it reads as zeroes.
    Zero,
    /// At this byte of the host file.
    Data(u64),
    /// In a compressed cluster.
    Compressed(Compressed),
}

/// A compressed cluster's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compressed {
    /// First byte in the host file.
    pub(super) offset: u64,
    /// At most this many bytes: sectors are counted, not bytes.
    pub(super) len: u64,
}

/// The tables of an open image.
pub(super) struct Tables {
    pub(super) header: Header,
    pub(super) pages: Pages,
    pub(super) host: Arc<dyn ReadBlocks>,
    /// What unallocated clusters are: [`Mapping::Zero`] where there is no backing file.
    unallocated: Mapping,
}

impl Tables {
    pub(super) fn new(
        header: Header,
        host: Arc<dyn ReadBlocks>,
        writer: Option<Arc<dyn ResizeBlocks>>,
        has_backing: bool,
    ) -> Self {
        let pages = Pages::new(host.clone(), writer, header.cluster());
        let unallocated = if has_backing { Mapping::Backing } else { Mapping::Zero };
        Self { header, pages, host, unallocated }
    }

    /// Where the L1 entry for guest byte `at` is in the host file.
    pub(super) fn l1_at(&self, at: u64) -> u64 {
        self.header.l1_offset + at / (self.header.cluster() * self.header.l2_entries()) * 8
    }

    /// The host offset of the L2 table for guest byte `at`, if there is one.
    pub(super) fn l2_table(&mut self, at: u64) -> Result<Option<u64>, ImageError> {
        let place = self.l1_at(at);
        let word = self.pages.word(place)?;
        self.table_offset(word, "L1 entry", place)
    }

    /// The aligned offset in a table entry; none for 0.
    pub(super) fn table_offset(
        &self,
        word: u64,
        structure: &'static str,
        place: u64,
    ) -> Result<Option<u64>, ImageError> {
        let offset = word & OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        if !offset.is_multiple_of(self.header.cluster()) || offset >= self.host.len() {
            return Err(ImageError::corrupt(structure, place, format!("a table at {offset}")));
        }
        Ok(Some(offset))
    }

    /// Where the L2 entry for guest byte `at` is in an L2 table at `table`.
    pub(super) fn entry_at(&self, table: u64, at: u64) -> u64 {
        let index = at / self.header.cluster() % self.header.l2_entries();
        table + index * self.header.l2_entry()
    }

    /// Reads the L2 entry at `place` in the host file.
    pub(super) fn entry(&mut self, place: u64) -> Result<Entry, ImageError> {
        let word = self.pages.word(place)?;
        let bitmap = if self.header.extended_l2 { self.pages.word(place + 8)? } else { 0 };
        let entry = Entry { word, bitmap };
        if let Some(offset) = entry.host()
            && !offset.is_multiple_of(self.header.cluster())
        {
            return Err(ImageError::corrupt("L2 entry", place, format!("a cluster at {offset}")));
        }
        if self.header.extended_l2
            && word & COMPRESSED == 0
            && (bitmap & (bitmap >> SUBCLUSTERS) & 0xffff_ffff != 0
                || (bitmap & 0xffff_ffff != 0 && entry.host().is_none()))
        {
            return Err(ImageError::corrupt("L2 entry", place, format!("subclusters {bitmap:#x}")));
        }
        Ok(entry)
    }

    /// The reserved bits that are set in an L2 entry's descriptor.
    pub(super) fn reserved(&self, entry: Entry) -> u64 {
        let zero = if self.header.version < 3 || self.header.extended_l2 { ZERO } else { 0 };
        if entry.word & COMPRESSED != 0 { 0 } else { entry.word & (L2_RESERVED | zero) }
    }

    /// Changes the L2 entry at `place`.
    pub(super) fn set_entry(&mut self, place: u64, entry: Entry) -> Result<(), ImageError> {
        self.pages.set_word(place, entry.word)?;
        if self.header.extended_l2 {
            self.pages.set_word(place + 8, entry.bitmap)?;
        }
        Ok(())
    }

    /// Where a compressed cluster is.
    pub(super) fn compressed(&self, word: u64) -> Compressed {
        // The more bits a cluster has, the more are needed to count its sectors.
        let bits = 62 - (self.header.cluster_bits - 8);
        let offset = word & ((1 << bits) - 1);
        let sectors = (word & (COMPRESSED - 1)) >> bits;
        Compressed { offset, len: (sectors + 1) * 512 - offset % 512 }
    }

    /// Where guest byte `at` is, and how many bytes from it on are there (contiguously).
    pub(super) fn map(&mut self, at: u64) -> Result<(Mapping, u64), ImageError> {
        let cluster = self.header.cluster();
        let Some(table) = self.l2_table(at)? else {
            let covered = cluster * self.header.l2_entries();
            return Ok((self.unallocated, covered - at % covered));
        };
        let place = self.entry_at(table, at);
        let entry = self.entry(place)?;
        Ok(self.piece(entry, at))
    }

    /// Where guest byte `at` is by its L2 entry, and how many bytes of its cluster go on there.
    pub(super) fn piece(&self, entry: Entry, at: u64) -> (Mapping, u64) {
        let cluster = self.header.cluster();
        let within = at % cluster;
        if entry.word & COMPRESSED != 0 {
            return (Mapping::Compressed(self.compressed(entry.word)), cluster - within);
        }
        if self.header.extended_l2 {
            let subcluster = cluster / SUBCLUSTERS;
            let index = within / subcluster;
            let left = subcluster - within % subcluster;
            let allocated = entry.bitmap >> index & 1 != 0;
            let zero = entry.bitmap >> (index + SUBCLUSTERS) & 1 != 0;
            let mapping = match entry.host() {
                Some(host) if allocated => Mapping::Data(host + within),
                _ if zero => Mapping::Zero,
                _ => self.unallocated,
            };
            return (mapping, left);
        }
        let mapping = match entry.host() {
            _ if entry.word & ZERO != 0 && self.header.version >= 3 => Mapping::Zero,
            Some(host) => Mapping::Data(host + within),
            None => self.unallocated,
        };
        (mapping, cluster - within)
    }

    /// As [`map`](Self::map), gone on with for as long as it is the same kind and contiguous, up
    /// to `max` bytes.
    pub(super) fn run(&mut self, at: u64, max: u64) -> Result<(Mapping, u64), ImageError> {
        let (first, mut len) = self.map(at)?;
        while len < max && !matches!(first, Mapping::Compressed(_)) {
            let (next, more) = self.map(at + len)?;
            let goes_on = match (first, next) {
                (Mapping::Data(start), Mapping::Data(next)) => start.checked_add(len) == Some(next),
                (Mapping::Zero, Mapping::Zero) | (Mapping::Backing, Mapping::Backing) => true,
                _ => false,
            };
            if !goes_on {
                break;
            }
            len += more;
        }
        Ok((first, len.min(max)))
    }
}
