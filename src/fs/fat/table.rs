//! The file allocation table: which cluster follows which (Microsoft FAT specification 1.03,
//! section 5).

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::geometry::{Geometry, Width};
use crate::block::{ReadBlocks, WriteBlocks, is_zero};
use crate::bytes::{le16, le32};
use crate::fs::FsError;

/// From this many zeroes on the table's bytes are discarded and not written: what most hosts can make
/// a hole of.
const HOLE: usize = 4096;

/// Bytes of the table held at once. Divisible by 3 and by 4, so that no entry lies across two.
const PAGE: u64 = 48 * 1024;

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing is in it.
    Free,
    /// It is followed by this one.
    Next(u32),
    /// It is the last of its chain.
    End,
    /// It cannot be used.
    Bad,
    /// A number that means nothing.
    Wrong(u32),
}

/// The part of the table that was read last.
#[derive(Default)]
pub(super) struct Table {
    page: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Table {
    /// The raw entry of a cluster; entries 0 and 1 are no clusters and can be asked for too.
    pub(super) fn raw(
        &self,
        device: &dyn ReadBlocks,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<u32, FsError> {
        let at = u64::from(cluster) * geometry.width.bits() / 8;
        let (start, within) = (at / PAGE * PAGE, at % PAGE);
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if page.as_ref().is_none_or(|(held, _)| *held != start) {
            let len = geometry.table_len.saturating_sub(start).min(PAGE);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
            device.read_at(geometry.table_at + start, &mut bytes)?;
            *page = Some((start, bytes));
        }
        let bytes = page.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        entry(geometry, bytes, within, cluster)
            .ok_or_else(|| FsError::corrupt("file allocation table", cluster, "past its end"))
    }

    /// What the table says of a cluster.
    pub(super) fn link(
        &self,
        device: &dyn ReadBlocks,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<Link, FsError> {
        if !geometry.has_cluster(cluster) {
            return Err(FsError::corrupt(
                "cluster chain",
                format!("cluster {cluster}"),
                format!("the last cluster is {}", geometry.end_cluster().saturating_sub(1)),
            ));
        }
        Ok(meaning(geometry, self.raw(device, geometry, cluster)?))
    }

    /// Shows what the table says of each cluster, in order.
    pub(super) fn each(
        &self,
        device: &dyn ReadBlocks,
        geometry: &Geometry,
        mut visit: impl FnMut(u32, Link) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let mut bytes = Vec::new();
        let mut held = None;
        for cluster in 2..geometry.end_cluster() {
            let at = u64::from(cluster) * geometry.width.bits() / 8;
            let start = at / PAGE * PAGE;
            if held != Some(start) {
                let len = geometry.table_len.saturating_sub(start).min(PAGE);
                bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
                device.read_at(geometry.table_at + start, &mut bytes)?;
                held = Some(start);
            }
            let raw = entry(geometry, &bytes, at - start, cluster).unwrap_or_default();
            visit(cluster, meaning(geometry, raw))?;
        }
        Ok(())
    }

    /// The cluster after `cluster` in its chain; `None` at its end.
    ///
    /// # Errors
    /// `Corrupt` when the chain leads to what is no cluster of a chain.
    pub(super) fn next(
        &self,
        device: &dyn ReadBlocks,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<Option<u32>, FsError> {
        match self.link(device, geometry, cluster)? {
            Link::Next(next) => Ok(Some(next)),
            Link::End => Ok(None),
            other => Err(FsError::corrupt(
                "cluster chain",
                format!("cluster {cluster}"),
                format!("it is {other:?} and not part of a chain"),
            )),
        }
    }

    /// Sets the raw entry of a cluster, in the table that counts.
    pub(super) fn set(
        &self,
        device: &dyn WriteBlocks,
        geometry: &Geometry,
        cluster: u32,
        value: u32,
    ) -> Result<(), FsError> {
        let at = u64::from(cluster) * geometry.width.bits() / 8;
        let mut bytes = [0; 4];
        // The bits that share bytes with this entry are not its own.
        let bytes = if geometry.width == Width::Fat32 { &mut bytes[..] } else { &mut bytes[..2] };
        device.read_at(geometry.table_at + at, bytes)?;
        set_entry(geometry, bytes, 0, cluster, value);
        self.put(device, geometry, at, bytes)
    }

    /// Says that clusters side by side are free, in the table that counts.
    pub(super) fn clear(
        &self,
        device: &dyn WriteBlocks,
        geometry: &Geometry,
        clusters: Range<u32>,
    ) -> Result<(), FsError> {
        self.clear_where(device, geometry, clusters, |_, _| Ok(true))
    }

    /// Says that those clusters are free which `which` picks, in the table that counts. A page of
    /// the table is written at a time, whatever is picked in it.
    pub(super) fn clear_where(
        &self,
        device: &dyn WriteBlocks,
        geometry: &Geometry,
        clusters: Range<u32>,
        mut which: impl FnMut(u32, Link) -> Result<bool, FsError>,
    ) -> Result<(), FsError> {
        let bits = geometry.width.bits();
        let per_page = u32::try_from(PAGE * 8 / bits).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        let mut next = clusters.start;
        while next < clusters.end {
            let page = next - next % per_page..(next - next % per_page).saturating_add(per_page);
            let end = page.end.min(clusters.end);
            let at = u64::from(next) * bits / 8;
            let len = (u64::from(end) * bits).div_ceil(8) - at;
            bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
            device.read_at(geometry.table_at + at, &mut bytes)?;
            let mut dirty: Option<Range<usize>> = None;
            for cluster in next..end {
                let within = u64::from(cluster) * bits / 8 - at;
                let raw = entry(geometry, &bytes, within, cluster).unwrap_or_default();
                if which(cluster, meaning(geometry, raw))? {
                    let place = set_entry(geometry, &mut bytes, within, cluster, 0);
                    dirty = Some(dirty.map_or(place.clone(), |it| it.start..place.end));
                }
            }
            if let Some(dirty) = dirty
                && let Some(piece) = bytes.get(dirty.clone())
            {
                self.put(device, geometry, at + dirty.start as u64, piece)?;
            }
            next = end;
        }
        Ok(())
    }

    /// Writes bytes of the table, and into the page that is held.
    fn put(
        &self,
        device: &dyn WriteBlocks,
        geometry: &Geometry,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), FsError> {
        if bytes.len() >= HOLE && is_zero(bytes) {
            device.zero(geometry.table_at + at, bytes.len() as u64)?;
        } else {
            device.write_at(geometry.table_at + at, bytes)?;
        }
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let held = page.as_mut().and_then(|(start, held)| {
            let within = usize::try_from(at.checked_sub(*start)?).ok()?;
            held.get_mut(within..within.checked_add(bytes.len())?)
        });
        match held {
            Some(held) => held.copy_from_slice(bytes),
            None => *page = None,
        }
        Ok(())
    }
}

/// The number that ends a chain, cut to the entry's width when it is stored.
pub(super) const END: u32 = 0x0fff_ffff;

/// The raw entry of a cluster, which begins `within` these bytes of the table.
fn entry(geometry: &Geometry, bytes: &[u8], within: u64, cluster: u32) -> Option<u32> {
    let within = usize::try_from(within).ok()?;
    match geometry.width {
        Width::Fat12 => le16(bytes, within).map(|pair| {
            u32::from(if cluster.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 })
        }),
        Width::Fat16 => le16(bytes, within).map(u32::from),
        Width::Fat32 => le32(bytes, within),
    }
}

/// Sets the entry of a cluster, which begins `within` these bytes of the table; gives the bytes that
/// hold it. One past their end is left.
fn set_entry(
    geometry: &Geometry,
    bytes: &mut [u8],
    within: u64,
    cluster: u32,
    value: u32,
) -> Range<usize> {
    // Of FAT32 the upper 4 bits are not the table's to change, of FAT12 4 are another entry's.
    let (mask, shift) = match geometry.width {
        Width::Fat12 if cluster.is_multiple_of(2) => (0x0fff, 0),
        Width::Fat12 => (0xfff0, 4),
        Width::Fat16 => (0xffff, 0),
        Width::Fat32 => (0x0fff_ffff, 0),
    };
    let within = usize::try_from(within).unwrap_or(usize::MAX);
    let len = if geometry.width == Width::Fat32 { 4 } else { 2 };
    let place = within..within.saturating_add(len);
    if let Some(raw) = bytes.get_mut(place.clone()) {
        let mut old = [0; 4];
        old[..len].copy_from_slice(raw);
        let new = u32::from_le_bytes(old) & !mask | value << shift & mask;
        raw.copy_from_slice(&new.to_le_bytes()[..len]);
    }
    place
}

/// What a raw entry says.
fn meaning(geometry: &Geometry, raw: u32) -> Link {
    // The same special numbers, as wide as an entry is.
    let value = match geometry.width {
        Width::Fat12 if raw >= 0xff0 => raw | 0x0fff_f000,
        Width::Fat16 if raw >= 0xfff0 => raw | 0x0fff_0000,
        _ => raw & 0x0fff_ffff,
    };
    match value {
        0 => Link::Free,
        0x0fff_fff7 => Link::Bad,
        0x0fff_fff8.. => Link::End,
        next if geometry.has_cluster(next) => Link::Next(next),
        wrong => Link::Wrong(wrong),
    }
}
