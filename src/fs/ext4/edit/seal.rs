//! Writing an edit to the device, and zeroing everything that is nobody's.

use super::bitmap::{Bitmap, first_set};
use super::claims::{Claims, is_live};
use super::groups::Of;
use super::names::Names;
use super::store::Store;
use crate::block::{Extent, reads_as_zero};
use crate::fs::ext4::features::{compat, ro_compat};
use crate::fs::ext4::group::GroupDescriptor;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::journal;
use crate::fs::ext4::source::inode_location;
use crate::fs::ext4::superblock::{STATE_ORPHAN, STATE_VALID, SUPERBLOCK_AT, SUPERBLOCK_LEN};
use crate::fs::{Freed, FsError, Kind};

/// How much of an inode table is read at a time.
const TABLE_CHUNK: u64 = 256 << 10;

/// Writes everything, scrubs, discards and flushes.
pub(super) fn seal(store: &Store) -> Result<Freed, FsError> {
    let mut claims = Claims::new(store)?;
    let Tables { directories, mut names } = look_at_tables(store, &mut claims)?;
    while claims.next_pass()? {
        claim_again(store, &mut claims)?;
    }
    drop(claims);
    for number in directories {
        super::directory::seal(store, number, &mut names)?;
    }
    names.finish()?;
    write_inodes(store)?;
    write_blocks(store)?;
    store.write_groups()?;
    let mut freed = store.state().groups.freed;
    if !store.options.keep_free_space {
        discard(store, &mut freed)?;
        zero_beside_superblocks(store)?;
    }
    // Names and content that were removed went through it once.
    journal::wipe(&store.device)?;
    write_superblock(store)?;
    store.device.flush()?;
    Ok(freed)
}

/// A group's inode table: where it is, and how many of its inodes were ever used.
struct Table {
    at: u64,
    used: u32,
    size: u64,
}

impl Table {
    fn of(store: &Store, descriptor: &GroupDescriptor) -> Self {
        let superblock = &store.superblock;
        Self {
            used: descriptor.used_inodes(superblock),
            at: descriptor.inode_table() * u64::from(superblock.block_size()),
            size: u64::from(superblock.inode_size()),
        }
    }

    fn zero(&self, store: &Store, index: u32, count: u32) -> Result<(), FsError> {
        let at = self.at + u64::from(index) * self.size;
        Ok(store.device.zero(at, u64::from(count) * self.size)?)
    }
}

/// What the inode tables say.
struct Tables<'a> {
    /// The directories in use.
    directories: Vec<u32>,
    /// What every inode in use says of its names.
    names: Names<'a>,
}

/// Looks at every inode: claims the blocks of those in use, and zeroes every free one that is not
/// (names of old symlinks and inline content live there), unless free space is kept.
fn look_at_tables<'a>(store: &'a Store, claims: &mut Claims<'_>) -> Result<Tables<'a>, FsError> {
    let superblock = &store.superblock;
    let wipe = !store.options.keep_free_space;
    let mut directories = Vec::new();
    let mut names = Names::new(store);
    for number in 0..superblock.group_count() {
        let (descriptor, bitmap) = inode_bitmap(store, number)?;
        let table = Table::of(store, &descriptor);
        names.push(&bitmap);
        if table.used > 0 {
            if !bitmap.is_free_from(table.used, superblock.inodes_per_group()) {
                return Err(FsError::corrupt(
                    "group descriptor",
                    format_args!("group {number}"),
                    format_args!(
                        "inodes from {} on are in use, and it says they never were",
                        table.used
                    ),
                ));
            }
            let first = number * superblock.inodes_per_group() + 1;
            let mut stale: Option<(u32, u32)> = None;
            for_each_inode(store, &table, &bitmap, &mut |index, raw| {
                if bitmap.is_set(index) {
                    let inode = as_it_is_now(store, first + index, raw)?;
                    names.expect(&inode)?;
                    if inode.kind() == Some(Kind::Directory) {
                        directories.push(first + index);
                    }
                    return claims.inode(&inode);
                }
                if raw.iter().all(|&byte| byte == 0) {
                    return Ok(());
                }
                let inode = Inode::from_bytes(first + index, raw)?;
                if !bitmap.was_set(index) && is_live(store, &inode) {
                    return Err(FsError::corrupt(
                        "inode bitmap",
                        format_args!("group {number}"),
                        format_args!("it calls inode {} free, which is a file", first + index),
                    ));
                }
                stale = match stale {
                    _ if !wipe => None,
                    Some((start, count)) if start + count == index => Some((start, count + 1)),
                    other => {
                        if let Some((start, count)) = other {
                            table.zero(store, start, count)?;
                        }
                        Some((index, 1))
                    }
                };
                Ok(())
            })?;
            if let Some((start, count)) = stale {
                table.zero(store, start, count)?;
            }
        }
        let rest = superblock.inodes_per_group() - table.used;
        // Whatever the zeroed flag says: a checker moves the mark of the unused inodes down over
        // freed ones and leaves their bytes.
        if rest > 0 && wipe {
            table.zero(store, table.used, rest)?;
        }
    }
    names.complete();
    Ok(Tables { directories, names })
}

/// Another pass of claims, for the groups that the one before had no memory for.
fn claim_again(store: &Store, claims: &mut Claims<'_>) -> Result<(), FsError> {
    let superblock = &store.superblock;
    for number in 0..superblock.group_count() {
        let (descriptor, bitmap) = inode_bitmap(store, number)?;
        let first = number * superblock.inodes_per_group() + 1;
        for_each_inode(store, &Table::of(store, &descriptor), &bitmap, &mut |index, raw| {
            if !bitmap.is_set(index) {
                return Ok(());
            }
            claims.inode(&as_it_is_now(store, first + index, raw)?)
        })?;
    }
    Ok(())
}

/// A group's descriptor and its bitmap of inodes.
fn inode_bitmap(store: &Store, number: u32) -> Result<(GroupDescriptor, Bitmap), FsError> {
    let descriptor = store.state().groups.descriptor(number)?;
    Ok((descriptor, store.bitmap(Of::Inodes, number)?))
}

/// An inode in use of which the device holds `raw`: this edit may have changed it.
fn as_it_is_now(store: &Store, number: u32, raw: &[u8]) -> Result<Inode, FsError> {
    match store.state().inodes.get(&number) {
        Some(changed) => Ok(changed.clone()),
        None => Inode::from_bytes(number, raw),
    }
}

/// Called with an inode's index in its group and its bytes.
type VisitInode<'a> = &'a mut dyn FnMut(u32, &[u8]) -> Result<(), FsError>;

/// Shows the inodes of a table's used part, but for free ones that the device knows to be zero.
fn for_each_inode(
    store: &Store,
    table: &Table,
    bitmap: &Bitmap,
    visit: VisitInode<'_>,
) -> Result<(), FsError> {
    let size = usize::try_from(table.size).unwrap_or(usize::MAX);
    let end = u64::from(table.used) * table.size;
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < end {
        let extent = store.device.extent_at(table.at + at)?.at_most(end - at);
        let whole = extent.len() / table.size * table.size;
        let first = u32::try_from(at / table.size).unwrap_or(u32::MAX);
        if matches!(extent, Extent::Zero(_)) && whole > 0 {
            // Those that this edit made are not on the device yet.
            let past = first + (whole / table.size) as u32;
            let zeroes = vec![0; size];
            let mut next = first;
            while let Some(index) = first_set(bitmap.as_bytes(), next).filter(|it| *it < past) {
                visit(index, &zeroes)?;
                next = index + 1;
            }
            at += whole;
            continue;
        }
        let len = whole.max(table.size).min(TABLE_CHUNK);
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        store.device.read_at(table.at + at, &mut buffer)?;
        for (index, raw) in (first..).zip(buffer.chunks_exact(size)) {
            visit(index, raw)?;
        }
        at += len;
    }
    Ok(())
}

fn write_inodes(store: &Store) -> Result<(), FsError> {
    let inodes = std::mem::take(&mut store.state().inodes);
    let mut places = Vec::with_capacity(inodes.len());
    for inode in inodes.values() {
        let (block, at) = inode_location(store, inode.number())?;
        places.push((block * store.block_len() as u64 + at as u64, inode));
    }
    places.sort_unstable_by_key(|(at, _)| *at);
    for (at, inode) in places {
        store.device.write_at(at, inode.as_bytes())?;
    }
    Ok(())
}

fn write_blocks(store: &Store) -> Result<(), FsError> {
    let blocks = std::mem::take(&mut store.state().blocks);
    for (block, bytes) in blocks {
        store.device.write_at(block * bytes.len() as u64, &bytes)?;
    }
    Ok(())
}

fn write_superblock(store: &Store) -> Result<(), FsError> {
    let mut superblock = store.superblock.clone();
    let state = store.state();
    let (mut clusters, mut inodes) = (0u64, 0u32);
    for descriptor in state.groups.descriptors() {
        clusters = clusters.saturating_add(u64::from(descriptor.free_clusters()));
        inodes = inodes.saturating_add(descriptor.free_inodes());
    }
    // The superblock counts blocks where the descriptors count clusters.
    let ratio = u64::from(superblock.cluster_blocks());
    superblock.set_free_blocks(clusters.saturating_mul(ratio));
    superblock.set_free_inodes(inodes);
    superblock.set_last_orphan(0);
    superblock.set_ro_compat(ro_compat::ORPHAN_PRESENT, false);
    superblock.set_state(superblock.state() & !STATE_ORPHAN | STATE_VALID);
    if state.large_file {
        superblock.set_ro_compat(ro_compat::LARGE_FILE, true);
    }
    if state.ext_attr {
        superblock.set_compat(compat::EXT_ATTR, true);
    }
    // Sealed again, a filesystem stays as it is to the last byte.
    if !store.watched.is_changed() {
        let mut there = [0; SUPERBLOCK_LEN];
        store.device.read_at(SUPERBLOCK_AT, &mut there)?;
        if superblock.to_bytes() == there {
            return Ok(());
        }
    }
    superblock.set_write_time(store.now().seconds);
    Ok(store.device.write_at(SUPERBLOCK_AT, &superblock.to_bytes())?)
}

/// Zeroes the free clusters.
fn discard(store: &Store, freed: &mut Freed) -> Result<(), FsError> {
    let mut pending: Option<(u64, u64)> = None;
    for number in 0..store.superblock.group_count() {
        let mut runs = Vec::new();
        store.bitmap(Of::Clusters, number)?.free_runs(|at, len| runs.push((at, len)));
        for (at, len) in runs {
            let (start, end) = store.free_range(number, at, len)?;
            // Free space often goes on over a group's end.
            pending = match pending {
                Some((from, to)) if to == start => Some((from, end)),
                other => {
                    zero(store, other, freed)?;
                    Some((start, end))
                }
            };
        }
    }
    zero(store, pending, freed)
}

/// Zeroes what lies behind the superblock and its copies in their blocks, which nothing uses: mke2fs
/// leaves what it finds there. What comes before the first of them is for a boot loader.
fn zero_beside_superblocks(store: &Store) -> Result<(), FsError> {
    let superblock = &store.superblock;
    let block_size = u64::from(superblock.block_size());
    for number in (0..superblock.group_count()).filter(|it| superblock.group_has_superblock(*it)) {
        let at = match number {
            0 => SUPERBLOCK_AT,
            _ => superblock.group_first_block(number) * block_size,
        };
        let behind = at + SUPERBLOCK_LEN as u64;
        let len = behind.next_multiple_of(block_size) - behind;
        if !reads_as_zero(&*store.device, behind, len)? {
            store.device.zero(behind, len)?;
        }
    }
    Ok(())
}

fn zero(store: &Store, range: Option<(u64, u64)>, freed: &mut Freed) -> Result<(), FsError> {
    if let Some((start, end)) = range
        && start < end
    {
        freed.discarded += end - start;
        store.device.zero(start, end - start)?;
    }
    Ok(())
}
