//! What refers to host clusters, held against their refcounts before anything is changed.
//!
//! An edit takes clusters that count as free and wipes them, so a count that is too low would
//! cost content: such an image is refused. A cluster that is counted and not used (a leak) keeps
//! old content that nothing can reach any more: it is freed. So is what is counted behind the
//! file's end: it would become a leak once the file grew over it.

use crate::block::Extent;
use crate::image::ImageError;

use super::refcount::{BLOCK_RESERVED, Counts};
use super::snapshot;
use super::table::{COMPRESSED, COPIED, Entry, L1_RESERVED, Tables};

/// The most host clusters an image may have to be edited: 8 TiB of them at 64 KiB, at two bits of
/// memory each.
const MOST_CLUSTERS: u64 = 1 << 27;

/// How many clusters a compressed one may reach past the file's end: its length has room for two,
/// and it may start inside a third.
const OVERHANG: u64 = 3;

/// One bit for each host cluster.
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: u64) -> Self {
        Self(vec![0; len.div_ceil(64) as usize])
    }

    fn get(&self, at: u64) -> bool {
        self.0.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    fn set(&mut self, at: u64) {
        if let Some(word) = self.0.get_mut((at / 64) as usize) {
            *word |= 1 << (at % 64);
        }
    }
}

struct References {
    /// How many clusters the file has, the last perhaps not whole.
    clusters: u64,
    cluster_bits: u32,
    tables: Bits,
    data: Bits,
}

/// Checks every reference and every count; with `free_leaks`, counts that nothing refers to are
/// set to 0. Those behind the file's end are in any case.
///
/// # Errors
/// [`ImageError::Corrupt`] where references overlap, are counted too low, or have reserved bits.
pub(super) fn check(tables: &mut Tables, free_leaks: bool) -> Result<(), ImageError> {
    let cluster_bits = tables.header.cluster_bits;
    let clusters = tables.host.len().div_ceil(1 << cluster_bits);
    if clusters > MOST_CLUSTERS {
        return Err(ImageError::unsupported(
            format!("editing a qcow2 file of more than {MOST_CLUSTERS} clusters"),
            "convert it with larger clusters",
        ));
    }
    let mut references = References {
        clusters,
        cluster_bits,
        tables: Bits::new(clusters),
        data: Bits::new(clusters + OVERHANG),
    };
    let header = tables.header.clone();
    let cluster = header.cluster();
    references.table("qcow2 header", 0, cluster)?;
    references.table("L1 table", header.l1_offset, u64::from(header.l1_size) * 8)?;
    let refcount_table = u64::from(header.refcount_table_clusters) * cluster;
    references.table("refcount table", header.refcount_table_offset, refcount_table)?;
    for index in 0..tables.table_entries() {
        let place = header.refcount_table_offset + index * 8;
        let word = tables.pages.word(place)?;
        reserved("refcount table entry", place, word & BLOCK_RESERVED)?;
        if let Some(block) = tables.block(index)? {
            references.table("refcount block", block, cluster)?;
        }
    }
    let (snapshots, end) = snapshot::table(tables)?;
    if !snapshots.is_empty() {
        let from = header.snapshots_offset;
        references.table("snapshot table", from, end - from)?;
    }
    for snapshot in &snapshots {
        let len = u64::from(snapshot.l1_size) * 8;
        references.table("snapshot's L1 table", snapshot.l1_offset, len)?;
    }

    // Tables first, so that data inside them is noticed.
    for place in entries(header.l1_offset, header.l1_size) {
        let word = tables.pages.word(place)?;
        reserved("L1 entry", place, word & L1_RESERVED)?;
        if let Some(table) = tables.table_offset(word, "L1 entry", place)? {
            references.table("L2 table", table, cluster)?;
            copied(tables, "L1 entry", place, word, table)?;
        }
    }
    let mut of_snapshots = Bits::new(if snapshots.is_empty() { 0 } else { clusters });
    for snapshot in &snapshots {
        for place in entries(snapshot.l1_offset, snapshot.l1_size) {
            let word = tables.pages.word(place)?;
            reserved("snapshot's L1 entry", place, word & L1_RESERVED)?;
            if let Some(table) = tables.table_offset(word, "snapshot's L1 entry", place)?
                && !references.tables.get(table >> cluster_bits)
            {
                references.table("snapshot's L2 table", table, cluster)?;
                of_snapshots.set(table >> cluster_bits);
            }
        }
    }
    for place in entries(header.l1_offset, header.l1_size) {
        let word = tables.pages.word(place)?;
        if let Some(table) = tables.table_offset(word, "L1 entry", place)? {
            references.l2_table(tables, table, true)?;
        }
    }
    for cluster in 0..clusters {
        if of_snapshots.get(cluster) {
            references.l2_table(tables, cluster << cluster_bits, false)?;
        }
    }
    references.counts(tables, free_leaks)
}

/// Where the entries of an L1 table are.
fn entries(offset: u64, count: u32) -> impl Iterator<Item = u64> {
    (0..u64::from(count)).map(move |index| offset + index * 8)
}

/// Calls `visit` with each L2 entry of a table, and where it is; a hole has none.
pub(super) fn for_each_entry(
    tables: &mut Tables,
    table: u64,
    mut visit: impl FnMut(&mut Tables, u64, Entry) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let (cluster, step) = (tables.header.cluster(), tables.header.l2_entry());
    let hole = match tables.host.extent_at(table)? {
        Extent::Zero(len) => len,
        Extent::Data(_) => 0,
    };
    // Tables that are being edited are in pages, and only there.
    if hole >= cluster && !tables.pages.holds(table, cluster) {
        return Ok(());
    }
    let mut place = table;
    while place < table + cluster {
        let entry = tables.entry(place)?;
        if entry != (Entry { word: 0, bitmap: 0 }) {
            visit(tables, place, entry)?;
        }
        place += step;
    }
    Ok(())
}

/// Bits that mean nothing yet must be zero: a later version of the format may have written them, or
/// something broke the table.
fn reserved(structure: &'static str, place: u64, bits: u64) -> Result<(), ImageError> {
    if bits == 0 {
        return Ok(());
    }
    Err(ImageError::corrupt(
        structure,
        place,
        format!("reserved bits are set ({bits:#x}); make a sound copy with qemu-img convert"),
    ))
}

/// The copied flag must say what the count says.
fn copied(
    tables: &mut Tables,
    structure: &'static str,
    place: u64,
    word: u64,
    offset: u64,
) -> Result<(), ImageError> {
    let count = tables.refcount(offset >> tables.header.cluster_bits)?;
    if (word & COPIED != 0) != (count == 1) {
        return Err(ImageError::corrupt(
            structure,
            place,
            format!(
                "the cluster at {offset} is used {count} time(s), and flagged otherwise; repair \
                 the image with qemu-img check -r all"
            ),
        ));
    }
    Ok(())
}

impl References {
    /// Marks a table's clusters, which nothing else may use.
    fn table(&mut self, structure: &'static str, at: u64, len: u64) -> Result<(), ImageError> {
        if len == 0 {
            return Ok(());
        }
        for cluster in at >> self.cluster_bits..=(at + (len - 1)) >> self.cluster_bits {
            if cluster >= self.clusters {
                return Err(ImageError::corrupt(structure, at, "past the end of the file"));
            }
            if self.tables.get(cluster) {
                return Err(ImageError::corrupt(structure, at, "it overlaps another table"));
            }
            self.tables.set(cluster);
        }
        Ok(())
    }

    /// Marks what an L2 table refers to.
    fn l2_table(
        &mut self,
        tables: &mut Tables,
        table: u64,
        active: bool,
    ) -> Result<(), ImageError> {
        for_each_entry(tables, table, |tables, place, entry| {
            reserved("L2 entry", place, tables.reserved(entry))?;
            let corrupt = |message: &str| ImageError::corrupt("L2 entry", place, message);
            if entry.word & COMPRESSED != 0 {
                let place = tables.compressed(entry.word);
                let last = (place.offset + (place.len - 1)) >> self.cluster_bits;
                if place.offset >= tables.host.len() {
                    return Err(corrupt("a compressed cluster past the end of the file"));
                }
                for cluster in place.offset >> self.cluster_bits..=last {
                    if self.tables.get(cluster) {
                        return Err(corrupt("a compressed cluster inside a table"));
                    }
                    self.data.set(cluster);
                }
                return Ok(());
            }
            let Some(offset) = entry.host() else { return Ok(()) };
            let cluster = offset >> self.cluster_bits;
            if cluster >= self.clusters {
                return Err(corrupt("a cluster past the end of the file"));
            }
            if self.tables.get(cluster) {
                return Err(corrupt("a cluster inside a table"));
            }
            if active {
                if entry.word & COPIED != 0 && self.data.get(cluster) {
                    return Err(corrupt("a cluster of one user that has two"));
                }
                copied(tables, "L2 entry", place, entry.word, offset)?;
            }
            self.data.set(cluster);
            Ok(())
        })
    }

    /// Holds the counts against the marks.
    fn counts(&self, tables: &mut Tables, free_leaks: bool) -> Result<(), ImageError> {
        let counted = tables.table_entries() * tables.block_entries();
        let mut cluster = 0;
        while cluster < self.clusters.max(counted) {
            let counts = match tables.counts(cluster)? {
                Counts::Each(counts) => counts,
                Counts::Free(len) => {
                    for free in cluster..self.clusters.min(cluster + len) {
                        self.uncounted(free)?;
                    }
                    cluster += len;
                    continue;
                }
            };
            for count in counts {
                let behind = cluster >= self.clusters;
                if count == 0 {
                    if !behind {
                        self.uncounted(cluster)?;
                    }
                } else if (free_leaks || behind) && !self.is_used(cluster) {
                    tables.set_refcount(cluster, 0)?;
                }
                cluster += 1;
            }
        }
        Ok(())
    }

    fn is_used(&self, cluster: u64) -> bool {
        self.tables.get(cluster) || self.data.get(cluster)
    }

    fn uncounted(&self, cluster: u64) -> Result<(), ImageError> {
        if self.is_used(cluster) {
            return Err(ImageError::corrupt(
                "refcount",
                cluster << self.cluster_bits,
                "a cluster in use counts as free; repair the image with qemu-img check -r all",
            ));
        }
        Ok(())
    }
}
