//! Where the reader gets an ext4 filesystem's blocks from: the device, or an editor's pending state.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::group::{GroupDescriptor, descriptor_at};
use super::inode::Inode;
use super::superblock::Superblock;
use crate::block::{ReadBlocks, reads_as_zero};
use crate::fs::FsError;

/// The filesystem's state as the reader sees it.
///
/// The reader is written against this, so that an editor can show what it has not yet written.
/// Contract: numbers out of range are errors, never panics; what is given holds at the time of the
/// call; each group descriptor was checked with [`GroupDescriptor::check`].
pub trait Source: Send + Sync {
    /// The superblock.
    fn superblock(&self) -> &Superblock;

    /// One block of metadata, of the filesystem's block size. May be cached.
    fn block(&self, block: u64) -> Result<Arc<[u8]>, FsError>;

    /// Bytes of file content, by byte offset in the filesystem. Not cached.
    fn content(&self, at: u64, dst: &mut [u8]) -> Result<(), FsError>;

    /// Whether bytes of file content are all zero, by byte offset in the filesystem.
    fn is_zero(&self, at: u64, len: u64) -> Result<bool, FsError>;

    /// A group's descriptor.
    fn group(&self, group: u32) -> Result<GroupDescriptor, FsError>;

    /// An inode's bytes from the table, whatever they hold.
    fn inode_bytes(&self, number: u32) -> Result<Inode, FsError>;
}

/// Reads an inode that is in use.
///
/// # Errors
/// `NotFound` when there is no such inode or it is not in use; `Corrupt` when its checksum, type
/// or extra size is wrong.
pub fn read_inode(source: &dyn Source, number: u32) -> Result<Inode, FsError> {
    let superblock = source.superblock();
    if superblock.group_of_inode(number).is_none() {
        return Err(FsError::NotFound);
    }
    let inode = source.inode_bytes(number)?;
    if inode.mode() == 0 && inode.links() == 0 {
        return Err(FsError::NotFound);
    }
    if !inode.checksum_is_right(superblock) {
        return Err(inode.corrupt("inode", "wrong checksum"));
    }
    inode.check_extra_isize()?;
    Ok(inode)
}

/// Where an inode is: its block and its byte offset there.
///
/// # Errors
/// `NotFound` when there is no such inode; what [`Source::group`] says.
pub fn inode_location(source: &dyn Source, number: u32) -> Result<(u64, usize), FsError> {
    let superblock = source.superblock();
    let (group, index) = superblock.group_of_inode(number).ok_or(FsError::NotFound)?;
    let table = source.group(group)?.inode_table();
    let at = u64::from(index) * u64::from(superblock.inode_size());
    let block_size = u64::from(superblock.block_size());
    Ok((table + at / block_size, (at % block_size) as usize))
}

/// How many bytes of metadata blocks are kept: a few thousand blocks of 4 KiB, so that walking a
/// tree does not read a block of the inode table once for each of its inodes.
const CACHE_BYTES: usize = 4 << 20;

/// A device that holds an ext4 filesystem, with a small cache of metadata blocks.
pub struct DeviceSource {
    device: Arc<dyn ReadBlocks>,
    superblock: Superblock,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    blocks: HashMap<u64, Arc<[u8]>>,
    /// Oldest first.
    order: VecDeque<u64>,
}

impl DeviceSource {
    /// A source over a device whose superblock was read.
    pub fn new(device: Arc<dyn ReadBlocks>, superblock: Superblock) -> Self {
        Self { device, superblock, cache: Mutex::default() }
    }

    /// The device.
    pub fn device(&self) -> &Arc<dyn ReadBlocks> {
        &self.device
    }
}

impl Source for DeviceSource {
    fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    fn block(&self, block: u64) -> Result<Arc<[u8]>, FsError> {
        if block >= self.superblock.blocks_count() {
            return Err(FsError::corrupt(
                "block number",
                format_args!("block {block}"),
                format_args!("the filesystem has {} blocks", self.superblock.blocks_count()),
            ));
        }
        if let Some(bytes) =
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).blocks.get(&block)
        {
            return Ok(Arc::clone(bytes));
        }
        let len = self.superblock.block_len();
        let mut bytes = vec![0; len];
        self.device.read_at(block * len as u64, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.blocks.insert(block, Arc::clone(&bytes)).is_none() {
            cache.order.push_back(block);
        }
        while cache.order.len() > (CACHE_BYTES / len).max(1) {
            if let Some(oldest) = cache.order.pop_front() {
                cache.blocks.remove(&oldest);
            }
        }
        Ok(bytes)
    }

    fn content(&self, at: u64, dst: &mut [u8]) -> Result<(), FsError> {
        Ok(self.device.read_at(at, dst)?)
    }

    fn is_zero(&self, at: u64, len: u64) -> Result<bool, FsError> {
        Ok(reads_as_zero(&*self.device, at, len)?)
    }

    fn group(&self, group: u32) -> Result<GroupDescriptor, FsError> {
        if group >= self.superblock.group_count() {
            return Err(FsError::NotFound);
        }
        let at = descriptor_at(&self.superblock, group);
        let len = self.superblock.block_len();
        let block = self.block(at / len as u64)?;
        let within = (at % len as u64) as usize;
        let raw = block.get(within..within + usize::from(self.superblock.desc_size())).ok_or_else(
            || FsError::corrupt("group descriptor", format_args!("group {group}"), "cut off"),
        )?;
        let descriptor = GroupDescriptor::from_bytes(raw);
        descriptor.check(&self.superblock, group)?;
        Ok(descriptor)
    }

    fn inode_bytes(&self, number: u32) -> Result<Inode, FsError> {
        let (block, at) = inode_location(self, number)?;
        let block = self.block(block)?;
        let raw = block
            .get(at..at + usize::from(self.superblock.inode_size()))
            .ok_or_else(|| FsError::corrupt("inode", format_args!("inode {number}"), "cut off"))?;
        Inode::from_bytes(number, raw)
    }
}
