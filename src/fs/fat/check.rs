//! Whether a FAT filesystem is right: what has to be so before it is edited, and is after.

use super::directory::MAX_BYTES;
use super::geometry::{Root, Width};
use super::reader::{Fat, ROOT};
use super::table::{Link, Table};
use crate::bytes::le32;
use crate::fs::FsError;

/// More findings than this say nothing more.
const MAX_FINDINGS: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong: an edit could make it worse.
    pub(super) damage: Vec<String>,
    /// What an edit mends: leftovers of a filesystem that was not unmounted.
    pub(super) leftovers: Vec<String>,
    /// Which clusters are reached from the root, by number.
    pub(super) used: Bits,
}

/// One bit a cluster.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn new(clusters: u32) -> Self {
        Self(vec![0; (clusters as usize).div_ceil(64)])
    }

    /// Whether the cluster's bit is set.
    pub(super) fn has(&self, cluster: u32) -> bool {
        self.0.get(cluster as usize / 64).is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }

    /// Sets the bit; gives whether it was set already.
    fn set(&mut self, cluster: u32) -> bool {
        let was = self.has(cluster);
        if let Some(word) = self.0.get_mut(cluster as usize / 64) {
            *word |= 1 << (cluster % 64);
        }
        was
    }
}

impl Findings {
    fn damaged(&mut self, problem: String) {
        if self.damage.len() < MAX_FINDINGS {
            self.damage.push(problem);
        }
    }

    fn left(&mut self, problem: String) {
        if self.leftovers.len() < MAX_FINDINGS {
            self.leftovers.push(problem);
        }
    }
}

/// Looks through the whole filesystem.
///
/// # Errors
/// The device below failed.
pub(super) fn check(fat: &Fat<'_>) -> Result<Findings, FsError> {
    let geometry = &fat.geometry;
    let mut findings = Findings { used: Bits::new(geometry.end_cluster()), ..Findings::default() };
    walk(fat, &mut findings)?;
    let first = fat.table.raw(&*fat.device, geometry, 0)?;
    if first & 0xff != u32::from(geometry.media) {
        findings.damaged(format!("the table begins with {first:#x}, not with the media byte"));
    }
    let (mut free, mut lost) = (0_u32, 0_u32);
    fat.table.each(&*fat.device, geometry, |cluster, link| {
        match link {
            Link::Free => free += 1,
            Link::Bad => {}
            _ if findings.used.has(cluster) => {}
            _ => lost += 1,
        }
        Ok(())
    })?;
    if lost > 0 {
        findings.left(format!("{lost} clusters are in use and belong to no file"));
    }
    if fat.is_dirty() {
        findings.left("it was not unmounted cleanly".to_owned());
    }
    if geometry.mirrored && !tables_are_same(fat)? {
        findings.left("the copies of the table differ".to_owned());
        compare_tables(fat, &mut findings)?;
    }
    if let Some(count) = info_free(fat)?
        && count != free
    {
        findings.left(format!("{free} clusters are free and FSInfo says {count}"));
    }
    Ok(findings)
}

/// Follows every directory and chain from the root.
fn walk(fat: &Fat<'_>, findings: &mut Findings) -> Result<(), FsError> {
    let wide = fat.wide();
    let root = match fat.geometry.root {
        Root::Region(..) => 0,
        Root::Cluster(cluster) => cluster,
    };
    // The cluster of each directory, and what its `..` may say: 0 stands for the root, and some
    // systems write the root's own cluster.
    let mut todo = vec![(root, None)];
    while let Some((cluster, above)) = todo.pop() {
        let in_region = above.is_none() && !wide;
        if !in_region && !chain(fat, cluster, Length::AtMost(MAX_BYTES), "a directory", findings)? {
            continue;
        }
        let listing = if in_region { fat.list(ROOT)? } else { fat.list_at(cluster)? };
        if let Some(above) = above
            && !listing.slots.dots(wide).is_some_and(|(own, parent)| {
                own == cluster && (parent == above || (parent == root && above == 0))
            })
        {
            findings.damaged(format!("the directory at cluster {cluster} is not linked rightly"));
        }
        if listing.slots.orphans() > 0 {
            findings.left(format!("the directory at cluster {cluster} has parts of lost names"));
        }
        for found in listing.slots.all() {
            let first = found.short.cluster(wide);
            let size = u64::from(found.short.size());
            if found.short.is_directory() {
                todo.push((first, Some(if above.is_none() { 0 } else { cluster })));
            } else if first != 0 || size != 0 {
                let what = format!("'{}'", found.name.escape_default());
                chain(fat, first, Length::Exactly(size), &what, findings)?;
            }
        }
    }
    Ok(())
}

/// How many bytes a chain has to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// A file's size.
    Exactly(u64),
    /// The most that a directory may have.
    AtMost(u64),
}

/// Follows a chain; `false`: it is wrong.
fn chain(
    fat: &Fat<'_>,
    first: u32,
    length: Length,
    what: &str,
    findings: &mut Findings,
) -> Result<bool, FsError> {
    let most = match length {
        Length::Exactly(bytes) | Length::AtMost(bytes) => fat.clusters_for(bytes),
    };
    let mut at = Some(first);
    let mut count = 0;
    while let Some(cluster) = at {
        let problem = if !fat.geometry.has_cluster(cluster) {
            format!("{what} goes on at cluster {cluster}, which is none")
        } else if count >= most {
            format!("{what} has more than {most} clusters")
        } else if findings.used.set(cluster) {
            format!("cluster {cluster} of {what} belongs to something else too")
        } else {
            count += 1;
            match fat.link(cluster)? {
                Link::Next(next) => {
                    at = Some(next);
                    continue;
                }
                Link::End => {
                    at = None;
                    continue;
                }
                other => format!("cluster {cluster} of {what} is {other:?}"),
            }
        };
        findings.damaged(problem);
        return Ok(false);
    }
    if matches!(length, Length::Exactly(_)) && count != most {
        findings.damaged(format!("{what} has {count} clusters instead of {most}"));
        return Ok(false);
    }
    Ok(true)
}

/// Looks for clusters that a copy of the table calls in use, and the first table free or another
/// chain's: nobody can tell which is right, and what is free goes.
fn compare_tables(fat: &Fat<'_>, findings: &mut Findings) -> Result<(), FsError> {
    for copy in 1..fat.geometry.tables {
        let mut geometry = fat.geometry.clone();
        geometry.table_at += copy * geometry.table_len;
        let table = Table::default();
        fat.table.each(&*fat.device, &fat.geometry, |cluster, link| {
            let other = table.link(&*fat.device, &geometry, cluster)?;
            if other != link && other != Link::Free {
                findings.damaged(format!(
                    "cluster {cluster} is {link:?} in the first table and {other:?} in copy {copy}"
                ));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Whether every copy of the table has the same bytes.
fn tables_are_same(fat: &Fat<'_>) -> Result<bool, FsError> {
    let mut same = true;
    differing_pieces(fat, |_, _| {
        same = false;
        Ok(())
    })?;
    Ok(same)
}

/// Shows each piece of a copy of the table that differs from the first, with what it should be.
pub(super) fn differing_pieces(
    fat: &Fat<'_>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), FsError>,
) -> Result<(), FsError> {
    const PIECE: u64 = 64 * 1024;
    let geometry = &fat.geometry;
    let mut first = vec![0; PIECE as usize];
    let mut other = vec![0; PIECE as usize];
    let mut at = 0;
    while at < geometry.table_len {
        let len = usize::try_from(PIECE.min(geometry.table_len - at)).unwrap_or_default();
        let (first, other) = (&mut first[..len], &mut other[..len]);
        fat.device.read_at(geometry.table_at + at, first)?;
        for copy in 1..geometry.tables {
            let place = geometry.table_at + copy * geometry.table_len + at;
            fat.device.read_at(place, other)?;
            if first != other {
                visit(place, first)?;
            }
        }
        at += len as u64;
    }
    Ok(())
}

/// The free count that `FSInfo` names (section 5, FAT32 only).
fn info_free(fat: &Fat<'_>) -> Result<Option<u32>, FsError> {
    let Some(at) = fat.geometry.info_at.filter(|_| fat.geometry.width == Width::Fat32) else {
        return Ok(None);
    };
    let mut sector = [0; 512];
    fat.device.read_at(at, &mut sector)?;
    let signed = is_info(&sector);
    Ok(le32(&sector, 488).filter(|count| signed && *count != u32::MAX))
}

/// Whether a sector is an `FSInfo` sector.
pub(super) fn is_info(sector: &[u8; 512]) -> bool {
    sector.starts_with(b"RRaA") && &sector[484..488] == b"rrAa" && sector[510..] == [0x55, 0xaa]
}
