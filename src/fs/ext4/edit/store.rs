//! The state an edit works on: what has changed so far, over what is on the device.
//!
//! File content goes to the device at once; metadata (inodes, directory and mapping blocks,
//! bitmaps, descriptors) is kept here and written once, in [`super::seal`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bitmap::{self, Bitmap};
use super::groups::{Groups, Of};
use crate::block::{Watched, WriteBlocks};
use crate::fs::ext4::features::incompat;
use crate::fs::ext4::group::GroupDescriptor;
use crate::fs::ext4::inode::Inode;
use crate::fs::ext4::source::{DeviceSource, Source, read_inode};
use crate::fs::ext4::superblock::Superblock;
use crate::fs::{EditOptions, FsError, Timestamp};

/// The editor's state. Every method takes `&self`: the view reads through the same value.
pub(super) struct Store {
    pub(super) device: Arc<dyn WriteBlocks>,
    /// The same device, which says whether it became different.
    pub(super) watched: Arc<Watched>,
    pub(super) superblock: Superblock,
    pub(super) options: EditOptions,
    /// Where the filesystem's own metadata lies, ascending: first block and the block past it.
    zones: Vec<(u64, u64)>,
    on_disk: DeviceSource,
    state: Mutex<State>,
}

/// What has changed.
pub(super) struct State {
    pub(super) groups: Groups,
    pub(super) blocks: BTreeMap<u64, Arc<[u8]>>,
    pub(super) inodes: HashMap<u32, Inode>,
    /// A file longer than 2 GiB was written: the feature has to be on.
    pub(super) large_file: bool,
    /// An attribute block was made: the feature has to be on.
    pub(super) ext_attr: bool,
    /// A counter that makes the generations of new inodes differ.
    pub(super) created: u32,
}

impl Store {
    pub(super) fn open(
        watched: Arc<Watched>,
        superblock: Superblock,
        options: EditOptions,
    ) -> Result<Self, FsError> {
        let device: Arc<dyn WriteBlocks> = watched.clone();
        let on_disk = DeviceSource::new(Arc::clone(&device) as _, superblock.clone());
        let mut groups = Groups::new(&superblock);
        for number in 0..superblock.group_count() {
            groups.push(&on_disk.group(number)?);
        }
        let zones = zones(&superblock, &groups);
        let state = State {
            groups,
            blocks: BTreeMap::new(),
            inodes: HashMap::new(),
            large_file: false,
            ext_attr: false,
            created: 0,
        };
        Ok(Self { device, watched, superblock, options, zones, on_disk, state: Mutex::new(state) })
    }

    /// The changes. Not held over a call of another method of the store.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.options.now
    }

    pub(super) fn block_len(&self) -> usize {
        self.superblock.block_len()
    }

    /// Bytes of a cluster, the unit of allocation.
    pub(super) fn cluster_bytes(&self) -> u64 {
        u64::from(self.superblock.block_size()) * u64::from(self.superblock.cluster_blocks())
    }

    /// Whether any of these blocks is the filesystem's own metadata.
    pub(super) fn is_metadata(&self, block: u64, count: u64) -> bool {
        let end = block.saturating_add(count);
        let after = self.zones.partition_point(|&(start, _)| start < end);
        after.checked_sub(1).and_then(|n| self.zones.get(n)).is_some_and(|&(_, past)| past > block)
    }

    /// An inode in use.
    pub(super) fn inode(&self, number: u32) -> Result<Inode, FsError> {
        read_inode(self, number)
    }

    /// Keeps a changed inode.
    pub(super) fn put_inode(&self, mut inode: Inode) {
        inode.update_checksum(&self.superblock);
        self.state().inodes.insert(inode.number(), inode);
    }

    /// Keeps a changed block of metadata.
    pub(super) fn put_block(&self, block: u64, bytes: Vec<u8>) {
        self.state().blocks.insert(block, bytes.into());
    }

    /// Reads a bitmap of clusters from the disk, or works out one that was never written.
    pub(super) fn read_clusters(
        &self,
        descriptor: &GroupDescriptor,
        number: u32,
    ) -> Result<Bitmap, FsError> {
        let superblock = &self.superblock;
        if descriptor.block_bitmap_is_uninit(superblock) {
            return Ok(self.initial_clusters(descriptor, number));
        }
        let bytes = self.read_bitmap(descriptor.block_bitmap())?;
        if !descriptor.block_bitmap_is_right(superblock, &bytes) {
            return Err(FsError::corrupt(
                "block bitmap",
                format_args!("group {number}"),
                "wrong checksum",
            ));
        }
        Ok(Bitmap::new(&bytes, superblock.group_clusters(number)))
    }

    /// Reads a bitmap of inodes from the disk, or makes one that was never written.
    pub(super) fn read_inodes(
        &self,
        descriptor: &GroupDescriptor,
        number: u32,
    ) -> Result<Bitmap, FsError> {
        let superblock = &self.superblock;
        let bits = superblock.inodes_per_group();
        if descriptor.inode_bitmap_is_uninit(superblock) {
            return Ok(Bitmap::new(&vec![0; self.block_len()], bits));
        }
        let bytes = self.read_bitmap(descriptor.inode_bitmap())?;
        if !descriptor.inode_bitmap_is_right(superblock, &bytes) {
            return Err(FsError::corrupt(
                "inode bitmap",
                format_args!("group {number}"),
                "wrong checksum",
            ));
        }
        Ok(Bitmap::new(&bytes, bits))
    }

    fn read_bitmap(&self, block: u64) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; self.block_len()];
        self.device.read_at(block * bytes.len() as u64, &mut bytes)?;
        Ok(bytes)
    }

    /// The bitmap of a group that holds nothing but its own metadata.
    fn initial_clusters(&self, descriptor: &GroupDescriptor, number: u32) -> Bitmap {
        let superblock = &self.superblock;
        let mut bytes = vec![0; self.block_len()];
        let first = superblock.group_first_block(number);
        let past = first + u64::from(superblock.group_blocks(number));
        let mut mark = |block: u64, count: u64| {
            for block in block.max(first)..block.saturating_add(count).min(past) {
                if let Some((group, cluster)) = superblock.group_of_block(block)
                    && group == number
                {
                    bitmap::set(&mut bytes, cluster);
                }
            }
        };
        mark(first, base_blocks(superblock, number));
        mark(descriptor.block_bitmap(), 1);
        mark(descriptor.inode_bitmap(), 1);
        mark(descriptor.inode_table(), u64::from(superblock.inode_table_blocks()));
        Bitmap::new(&bytes, superblock.group_clusters(number))
    }
}

/// How many blocks at a group's start hold the superblock's copy and the descriptors.
fn base_blocks(superblock: &Superblock, group: u32) -> u64 {
    // With bigalloc block 0 is the first group's even where the superblock is block 1.
    let boot = superblock.block_size() == 1024 && superblock.first_data_block() == 0;
    let boot = u64::from(boot && group == 0);
    let per_block = superblock.block_size() / u32::from(superblock.desc_size()).max(1);
    let has_copy = superblock.group_has_superblock(group);
    let meta = superblock.has_incompat(incompat::META_BG);
    if meta && group / per_block >= superblock.first_meta_group() {
        let within = group % per_block;
        let descriptors = within == 0 || within == 1 || within == per_block - 1;
        return boot + u64::from(has_copy) + u64::from(descriptors);
    }
    if !has_copy {
        return 0;
    }
    let descriptor_blocks = if meta {
        superblock.first_meta_group()
    } else {
        superblock.group_count().div_ceil(per_block)
    };
    boot + 1 + u64::from(descriptor_blocks) + u64::from(superblock.reserved_descriptor_blocks())
}

/// Where the filesystem's own metadata lies, merged.
fn zones(superblock: &Superblock, groups: &Groups) -> Vec<(u64, u64)> {
    let table = u64::from(superblock.inode_table_blocks());
    let mut zones = vec![(0, u64::from(superblock.first_data_block()) + 1)];
    for (number, descriptor) in (0..).zip(groups.descriptors()) {
        let first = superblock.group_first_block(number);
        zones.push((first, first + base_blocks(superblock, number)));
        for (at, count) in [
            (descriptor.block_bitmap(), 1),
            (descriptor.inode_bitmap(), 1),
            (descriptor.inode_table(), table),
        ] {
            zones.push((at, at + count));
        }
    }
    zones.retain(|(start, end)| start < end);
    zones.sort_unstable();
    zones.dedup_by(|next, kept| {
        let touches = next.0 <= kept.1;
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
    zones.shrink_to_fit();
    zones
}

impl Source for Store {
    fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    fn block(&self, block: u64) -> Result<Arc<[u8]>, FsError> {
        if let Some(bytes) = self.state().blocks.get(&block) {
            return Ok(Arc::clone(bytes));
        }
        self.on_disk.block(block)
    }

    fn content(&self, at: u64, dst: &mut [u8]) -> Result<(), FsError> {
        self.on_disk.content(at, dst)
    }

    fn is_zero(&self, at: u64, len: u64) -> Result<bool, FsError> {
        self.on_disk.is_zero(at, len)
    }

    fn group(&self, group: u32) -> Result<GroupDescriptor, FsError> {
        self.state().groups.descriptor(group)
    }

    fn inode_bytes(&self, number: u32) -> Result<Inode, FsError> {
        let (group, index) = self.superblock.group_of_inode(number).ok_or(FsError::NotFound)?;
        let changed = {
            let state = self.state();
            if let Some(inode) = state.inodes.get(&number) {
                return Ok(inode.clone());
            }
            state.groups.is_changed(group)
        };
        // A removed inode's bytes stay on the device, or in the cache, for some time.
        if changed && !self.with_bitmap(Of::Inodes, group, |_, bitmap| bitmap.is_set(index))? {
            return Err(FsError::NotFound);
        }
        self.on_disk.inode_bytes(number)
    }
}
