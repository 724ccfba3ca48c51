//! The groups: their descriptors, and the bitmaps that are worked on.
//!
//! A large filesystem has more bitmaps than memory should hold, and removing a large file changes
//! most of them. A bitmap that has to make room is put away: written to the device, and read again
//! where it is needed again. What it gave back is counted, and cleared where that is not done later.

use std::collections::{HashMap, VecDeque};

use super::bitmap::Bitmap;
use super::store::Store;
use crate::fs::ext4::group::{GroupDescriptor, descriptor_at};
use crate::fs::ext4::superblock::Superblock;
use crate::fs::{Freed, FsError};

/// How many bytes of bitmap blocks are held, each of which is in memory three times: of the 64 MiB
/// that a run may take, 6.
const HELD: usize = 2 << 20;

/// What a bitmap is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Of {
    /// A group's clusters.
    Clusters,
    /// A group's inodes.
    Inodes,
}

/// The groups as the edit leaves them.
pub(super) struct Groups {
    /// One descriptor behind the other.
    descriptors: Vec<u8>,
    descriptor_len: usize,
    /// Whether a group differs from the disk.
    changed: Vec<bool>,
    held: HashMap<(Of, u32), Bitmap>,
    /// Those held, the oldest first.
    order: VecDeque<(Of, u32)>,
    /// What bitmaps that were put away gave back. Where a new file takes some of that after the
    /// bitmap was read again, it counts as given back all the same.
    pub(super) freed: Freed,
}

impl Groups {
    pub(super) fn new(superblock: &Superblock) -> Self {
        Self {
            descriptors: Vec::new(),
            descriptor_len: usize::from(superblock.desc_size()).max(1),
            changed: Vec::new(),
            held: HashMap::new(),
            order: VecDeque::new(),
            freed: Freed::default(),
        }
    }

    /// Adds the next group.
    pub(super) fn push(&mut self, descriptor: &GroupDescriptor) {
        self.descriptors.extend_from_slice(descriptor.as_bytes());
        self.changed.push(false);
    }

    /// A group's descriptor; `NotFound` for a group that there is not.
    pub(super) fn descriptor(&self, number: u32) -> Result<GroupDescriptor, FsError> {
        let raw = self.descriptors.chunks_exact(self.descriptor_len).nth(number as usize);
        raw.map(GroupDescriptor::from_bytes).ok_or(FsError::NotFound)
    }

    /// Every group's descriptor, in order.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = GroupDescriptor> {
        self.descriptors.chunks_exact(self.descriptor_len).map(GroupDescriptor::from_bytes)
    }

    /// A bitmap that is held.
    pub(super) fn held(&self, of: Of, number: u32) -> Option<&Bitmap> {
        self.held.get(&(of, number))
    }

    /// Whether a group differs from the disk, be its bitmaps held or not.
    pub(super) fn is_changed(&self, number: u32) -> bool {
        self.changed.get(number as usize).is_some_and(|changed| *changed)
    }

    fn put(&mut self, number: u32, descriptor: &GroupDescriptor) {
        let place = self.descriptors.chunks_exact_mut(self.descriptor_len).nth(number as usize);
        if let Some(place) = place {
            place.copy_from_slice(descriptor.as_bytes());
        }
    }
}

impl Store {
    /// A group with one of its bitmaps.
    pub(super) fn with_bitmap<T>(
        &self,
        of: Of,
        number: u32,
        with: impl FnOnce(&mut GroupDescriptor, &mut Bitmap) -> T,
    ) -> Result<T, FsError> {
        let groups = &mut self.state().groups;
        let mut descriptor = groups.descriptor(number)?;
        if !groups.held.contains_key(&(of, number)) {
            let bitmap = self.read(of, &descriptor, number)?;
            while groups.order.len() >= (HELD / self.block_len()).max(1) {
                self.put_oldest_away(groups)?;
            }
            groups.held.insert((of, number), bitmap);
            groups.order.push_back((of, number));
        }
        let bitmap = groups.held.get_mut(&(of, number)).ok_or(FsError::NotFound)?;
        let result = with(&mut descriptor, bitmap);
        if bitmap.is_changed() {
            groups.put(number, &descriptor);
            if let Some(changed) = groups.changed.get_mut(number as usize) {
                *changed = true;
            }
        }
        Ok(result)
    }

    /// A group's bitmap as the edit leaves it, not to be changed.
    pub(super) fn bitmap(&self, of: Of, number: u32) -> Result<Bitmap, FsError> {
        let descriptor = {
            let groups = &self.state().groups;
            if let Some(bitmap) = groups.held(of, number) {
                return Ok(bitmap.clone());
            }
            groups.descriptor(number)?
        };
        self.read(of, &descriptor, number)
    }

    fn read(&self, of: Of, descriptor: &GroupDescriptor, number: u32) -> Result<Bitmap, FsError> {
        match of {
            Of::Clusters => self.read_clusters(descriptor, number),
            Of::Inodes => self.read_inodes(descriptor, number),
        }
    }

    /// Writes every bitmap that is held and changed, and every changed group's descriptor.
    pub(super) fn write_groups(&self) -> Result<(), FsError> {
        let superblock = &self.superblock;
        let groups = &mut self.state().groups;
        while !groups.order.is_empty() {
            self.put_oldest_away(groups)?;
        }
        for number in 0..superblock.group_count() {
            if groups.is_changed(number) {
                let mut descriptor = groups.descriptor(number)?;
                descriptor.update_checksum(superblock, number);
                groups.put(number, &descriptor);
                let at = descriptor_at(superblock, number);
                self.device.write_at(at, descriptor.as_bytes())?;
            }
        }
        Ok(())
    }

    fn put_oldest_away(&self, groups: &mut Groups) -> Result<(), FsError> {
        let Some((of, number)) = groups.order.pop_front() else { return Ok(()) };
        let Some(bitmap) = groups.held.remove(&(of, number)) else { return Ok(()) };
        if !bitmap.is_changed() {
            return Ok(());
        }
        let mut descriptor = groups.descriptor(number)?;
        let at = match of {
            Of::Clusters => {
                groups.freed.bytes += u64::from(bitmap.freed()) * self.cluster_bytes();
                // Else all free clusters are zeroed at the end.
                if self.options.keep_free_space {
                    let mut runs = Vec::new();
                    bitmap.freed_runs(|at, len| runs.push((at, len)));
                    for (at, len) in runs {
                        let (start, end) = self.free_range(number, at, len)?;
                        groups.freed.discarded += end - start;
                        self.device.zero(start, end - start)?;
                    }
                }
                descriptor.set_block_bitmap_checksum(&self.superblock, bitmap.as_bytes());
                descriptor.block_bitmap()
            }
            Of::Inodes => {
                groups.freed.nodes += u64::from(bitmap.freed());
                let size = u64::from(self.superblock.inode_size());
                let table = descriptor.inode_table() * self.block_len() as u64;
                let mut runs = Vec::new();
                bitmap.freed_runs(|index, count| runs.push((index, count)));
                for (index, count) in runs {
                    let at = table + u64::from(index) * size;
                    self.device.zero(at, u64::from(count) * size)?;
                }
                descriptor.set_inode_bitmap_checksum(&self.superblock, bitmap.as_bytes());
                descriptor.inode_bitmap()
            }
        };
        groups.put(number, &descriptor);
        Ok(self.device.write_at(at * self.block_len() as u64, bitmap.as_bytes())?)
    }

    /// The bytes that free clusters of a group lie at: the first, and the one past the last.
    ///
    /// # Errors
    /// `Corrupt` when they are the filesystem's own.
    pub(super) fn free_range(&self, number: u32, at: u32, len: u32) -> Result<(u64, u64), FsError> {
        let superblock = &self.superblock;
        let ratio = u64::from(superblock.cluster_blocks());
        let block = superblock.group_first_block(number) + u64::from(at) * ratio;
        if self.is_metadata(block, u64::from(len) * ratio) {
            return Err(FsError::corrupt(
                "block bitmap",
                format_args!("group {number}"),
                format_args!(
                    "it calls the filesystem's own blocks free, within {len} clusters from block \
                     {block}"
                ),
            ));
        }
        let start = block * self.block_len() as u64;
        let end = start + u64::from(len) * self.cluster_bytes();
        Ok((start, end.min(superblock.size())))
    }
}
