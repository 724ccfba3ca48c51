//! How often each host cluster is used (`docs/interop/qcow2.txt`, "Host cluster management").

use std::collections::HashSet;

use crate::block::ResizeBlocks;
use crate::image::ImageError;

use super::table::Tables;

/// The bits of a refcount table entry that are a host offset.
const BLOCK_OFFSET: u64 = 0xffff_ffff_ffff_fe00;

/// The rest is reserved, and has to be zero.
pub(super) const BLOCK_RESERVED: u64 = !BLOCK_OFFSET;

/// The counts of consecutive clusters.
pub(super) enum Counts {
    /// No block covers this many clusters: all of them are free.
    Free(u64),
    /// A count each.
    Each(Vec<u64>),
}

impl Tables {
    /// How many clusters a refcount block counts.
    pub(super) fn block_entries(&self) -> u64 {
        (self.header.cluster() * 8) >> self.header.refcount_order
    }

    /// How many blocks the refcount table has room for.
    pub(super) fn table_entries(&self) -> u64 {
        u64::from(self.header.refcount_table_clusters) * self.header.cluster() / 8
    }

    /// The host offset of the refcount block with this index, if it exists.
    pub(super) fn block(&mut self, index: u64) -> Result<Option<u64>, ImageError> {
        if index >= self.table_entries() {
            return Ok(None);
        }
        let place = self.header.refcount_table_offset + index * 8;
        let offset = self.pages.word(place)? & BLOCK_OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        if !offset.is_multiple_of(self.header.cluster()) || offset >= self.host.len() {
            return Err(ImageError::corrupt(
                "refcount table entry",
                place,
                format!("a refcount block at {offset}"),
            ));
        }
        Ok(Some(offset))
    }

    /// The counts from `cluster` on, as many as are at hand.
    pub(super) fn counts(&mut self, cluster: u64) -> Result<Counts, ImageError> {
        let entries = self.block_entries();
        let index = cluster / entries;
        let within = cluster % entries;
        let Some(block) = self.block(index)? else {
            return Ok(Counts::Free(entries - within));
        };
        let order = self.header.refcount_order;
        let bit = within << order;
        let bytes = self.pages.rest(block + bit / 8)?;
        Ok(Counts::Each(decode(bytes, (bit % 8) as u32, order)))
    }

    /// How often `cluster` is used.
    pub(super) fn refcount(&mut self, cluster: u64) -> Result<u64, ImageError> {
        let entries = self.block_entries();
        let Some(block) = self.block(cluster / entries)? else { return Ok(0) };
        let order = self.header.refcount_order;
        let bit = (cluster % entries) << order;
        let bytes = self.pages.rest(block + bit / 8)?;
        let first = bytes.first().copied().unwrap_or(0);
        Ok(if order < 3 {
            u64::from(first >> (bit % 8)) & ((1 << (1 << order)) - 1)
        } else {
            bytes.iter().take(1 << (order - 3)).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
    }

    /// Changes the count of a cluster that a block covers.
    pub(super) fn set_refcount(&mut self, cluster: u64, count: u64) -> Result<(), ImageError> {
        let entries = self.block_entries();
        let Some(block) = self.block(cluster / entries)? else {
            return Err(ImageError::corrupt(
                "refcount table",
                self.header.refcount_table_offset,
                format!("no refcount block covers cluster {cluster}"),
            ));
        };
        let order = self.header.refcount_order;
        let bit = (cluster % entries) << order;
        let place = block + bit / 8;
        if order < 3 {
            let mask = ((1_u32 << (1 << order)) - 1) as u8;
            let shift = bit % 8;
            let first = self.pages.rest(place)?.first().copied().unwrap_or(0);
            let byte = first & !(mask << shift) | ((count as u8 & mask) << shift);
            self.pages.set(place, &[byte])?;
        } else {
            let width = 1 << (order - 3);
            self.pages.set(place, &count.to_be_bytes()[8 - width..])?;
        }
        Ok(())
    }
}

/// The counts in `bytes`, the first of which starts at bit `skip`.
fn decode(bytes: &[u8], skip: u32, order: u32) -> Vec<u64> {
    match order {
        0..3 => {
            let width = 1 << order;
            let mask = (1_u64 << width) - 1;
            bytes
                .iter()
                .flat_map(|byte| {
                    (0..8 / width).map(move |i| u64::from(*byte) >> (i * width) & mask)
                })
                .skip((skip / width) as usize)
                .collect()
        }
        _ => bytes
            .chunks_exact(1 << (order - 3))
            .map(|count| count.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            .collect(),
    }
}

/// Takes and gives back host clusters.
pub(super) struct Allocator {
    /// No cluster below is free.
    first_free: u64,
    /// Whether a cluster that becomes free is wiped at once.
    wipe: bool,
    /// The clusters taken so far.
    taken: HashSet<u64>,
}

impl Allocator {
    pub(super) fn new(wipe: bool) -> Self {
        Self { first_free: 0, wipe, taken: HashSet::new() }
    }

    /// Whether `cluster` was ever taken by this allocator.
    pub(super) fn took(&self, cluster: u64) -> bool {
        self.taken.contains(&cluster)
    }

    /// Takes a free cluster, zeroed, and gives its host offset.
    pub(super) fn allocate(
        &mut self,
        tables: &mut Tables,
        host: &dyn ResizeBlocks,
    ) -> Result<u64, ImageError> {
        let mut cluster = self.first_free;
        loop {
            match tables.counts(cluster)? {
                Counts::Free(_) => self.add_block(tables, host, cluster)?,
                Counts::Each(counts) => {
                    if let Some(free) = counts.iter().position(|count| *count == 0) {
                        cluster += free as u64;
                        break;
                    }
                    cluster += counts.len() as u64;
                }
            }
        }
        tables.set_refcount(cluster, 1)?;
        self.first_free = cluster + 1;
        self.taken.insert(cluster);
        clear(tables, host, cluster, 1)?;
        Ok(cluster << tables.header.cluster_bits)
    }

    /// Gives back one use of the cluster at `offset`.
    pub(super) fn free(
        &mut self,
        tables: &mut Tables,
        host: &dyn ResizeBlocks,
        offset: u64,
    ) -> Result<(), ImageError> {
        let cluster = offset >> tables.header.cluster_bits;
        let Some(count) = tables.refcount(cluster)?.checked_sub(1) else {
            return Err(ImageError::corrupt("refcount", offset, "a cluster in use counts as free"));
        };
        tables.set_refcount(cluster, count)?;
        if count == 0 {
            self.first_free = self.first_free.min(cluster);
            if self.wipe {
                clear(tables, host, cluster, 1)?;
            }
        }
        Ok(())
    }

    /// Makes the free cluster `cluster`, which no block covers, the block that covers it.
    fn add_block(
        &mut self,
        tables: &mut Tables,
        host: &dyn ResizeBlocks,
        cluster: u64,
    ) -> Result<(), ImageError> {
        let index = cluster / tables.block_entries();
        if index >= tables.table_entries() {
            return self.grow_table(tables, host);
        }
        clear(tables, host, cluster, 1)?;
        let place = tables.header.refcount_table_offset + index * 8;
        tables.pages.set_word(place, cluster << tables.header.cluster_bits)?;
        tables.set_refcount(cluster, 1)
    }

    /// Moves the refcount table to behind all that it covers, with room for as much again.
    fn grow_table(
        &mut self,
        tables: &mut Tables,
        host: &dyn ResizeBlocks,
    ) -> Result<(), ImageError> {
        let cluster = tables.header.cluster();
        let per_block = tables.block_entries();
        let old_entries = tables.table_entries();
        let old_offset = tables.header.refcount_table_offset;
        let old_clusters = u64::from(tables.header.refcount_table_clusters);
        let start = old_entries * per_block;
        let table_clusters = old_clusters * 2;
        // The new blocks count themselves and the new table.
        let mut blocks = 1;
        while blocks * per_block < table_clusters + blocks {
            blocks += 1;
        }
        if old_entries + blocks > table_clusters * cluster / 8 {
            return Err(ImageError::unsupported(
                "a refcount table that outgrows its own blocks",
                "convert the image with larger clusters",
            ));
        }
        clear(tables, host, start, table_clusters + blocks)?;
        let table = start << tables.header.cluster_bits;
        for entry in 0..old_entries {
            let word = tables.pages.word(old_offset + entry * 8)?;
            if word != 0 {
                tables.pages.set_word(table + entry * 8, word)?;
            }
        }
        for block in 0..blocks {
            let offset = (start + table_clusters + block) << tables.header.cluster_bits;
            tables.pages.set_word(table + (old_entries + block) * 8, offset)?;
        }
        tables.header.refcount_table_offset = table;
        tables.header.refcount_table_clusters = table_clusters as u32;
        tables.pages.set_word(48, table)?;
        tables.pages.set(56, &(table_clusters as u32).to_be_bytes())?;
        for used in start..start + table_clusters + blocks {
            tables.set_refcount(used, 1)?;
        }
        for index in 0..old_clusters {
            self.free(tables, host, old_offset + index * cluster)?;
        }
        Ok(())
    }
}

/// Makes clusters zero, the file long enough to hold them, and what is known of them as tables
/// forgotten.
pub(super) fn clear(
    tables: &mut Tables,
    host: &dyn ResizeBlocks,
    cluster: u64,
    count: u64,
) -> Result<(), ImageError> {
    let size = tables.header.cluster();
    let (Some(at), Some(len)) = (cluster.checked_mul(size), count.checked_mul(size)) else {
        return Err(ImageError::unsupported("a file of more than 2^63 bytes", ""));
    };
    let Some(end) = at.checked_add(len).filter(|end| i64::try_from(*end).is_ok()) else {
        return Err(ImageError::unsupported("a file of more than 2^63 bytes", ""));
    };
    tables.pages.forget(at, len);
    if host.len() < end {
        host.set_len(end)?;
    }
    host.zero(at, len)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn narrow_counts_are_taken_from_the_low_bits_up() {
        assert_eq!(decode(&[0b1110_0100], 0, 1), [0, 1, 2, 3]);
        assert_eq!(decode(&[0b1110_0100], 4, 1), [2, 3]);
        assert_eq!(decode(&[0xA5], 0, 2), [5, 10]);
        assert_eq!(decode(&[0b101], 0, 0), [1, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn wide_counts_are_big_endian() {
        assert_eq!(decode(&[1, 2], 0, 3), [1, 2]);
        assert_eq!(decode(&[1, 2, 3, 4], 0, 4), [0x102, 0x304]);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 1, 0], 0, 6), [256]);
    }
}
