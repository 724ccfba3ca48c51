//! The rest of a cluster: with bigalloc a cluster is in use as a whole, and the blocks in it that
//! nothing maps hold what was there before it was allocated, or before the file was cut.

use super::claims::{Owner, RESIZE_INODE};
use super::store::Store;
use crate::block::reads_as_zero;
use crate::fs::FsError;
use crate::fs::ext4::inode::BAD;
use crate::fs::ext4::map::Run;

/// The clusters of one owner, come to in a file's order. Without bigalloc nothing is done; where
/// earlier free space is kept, what lies in them is checked and left.
pub(super) struct ClusterRest<'a> {
    store: &'a Store,
    owner: Owner,
    /// Blocks in a cluster; 1 where nothing is done.
    ratio: u64,
    /// Where the last run ended.
    end: Option<u64>,
}

impl<'a> ClusterRest<'a> {
    /// Nothing of the file was seen so far.
    pub(super) fn new(store: &'a Store, owner: Owner) -> Self {
        let ratio = match owner {
            // Nothing touches what lies beside bad blocks, and the reserved descriptors lie beside
            // the filesystem's own blocks, wherever in their clusters.
            Owner::Inode(BAD | RESIZE_INODE) => 1,
            _ => u64::from(store.superblock.cluster_blocks()),
        };
        Self { store, owner, ratio, end: None }
    }

    /// Zeroes what lies between the last run and this one, in the clusters of both.
    ///
    /// # Errors
    /// `Corrupt` when a block does not lie in its cluster as in the file, which is how the kernel
    /// finds the cluster, or the rest holds what is the filesystem's own.
    pub(super) fn run(&mut self, run: Run) -> Result<(), FsError> {
        if self.ratio == 1 {
            return Ok(());
        }
        let start = self.cluster_of(run.physical);
        let misplaced = run.logical % self.ratio != run.physical - start;
        let from = match self.end {
            Some(end) if self.cluster_of(end - 1) == start => end,
            _ => {
                self.finish()?;
                start
            }
        };
        if misplaced || from > run.physical {
            return Err(FsError::corrupt(
                "block map",
                self.owner,
                format_args!("block {} lies at another place in its cluster", run.physical),
            ));
        }
        self.zero(from, run.physical)?;
        self.end = Some(run.physical + run.blocks);
        Ok(())
    }

    /// Zeroes what lies behind the last run.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn finish(&mut self) -> Result<(), FsError> {
        let Some(end) = self.end.take() else { return Ok(()) };
        self.zero(end, self.cluster_of(end - 1) + self.ratio)
    }

    /// Zeroes all but one block of a cluster: a block of a map or of attributes has its own.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn but(&self, block: u64) -> Result<(), FsError> {
        if self.ratio == 1 {
            return Ok(());
        }
        let start = self.cluster_of(block);
        self.zero(start, block)?;
        self.zero(block + 1, start + self.ratio)
    }

    /// The first block of the cluster that a block lies in.
    fn cluster_of(&self, block: u64) -> u64 {
        let lowest = u64::from(self.store.superblock.first_data_block());
        block - (block - lowest) % self.ratio
    }

    /// Zeroes blocks where they are not zero already, so that only what is there costs anything.
    fn zero(&self, from: u64, until: u64) -> Result<(), FsError> {
        let until = until.min(self.store.superblock.blocks_count());
        if from >= until {
            return Ok(());
        }
        if self.store.is_metadata(from, until - from) {
            return Err(FsError::corrupt(
                "block map",
                self.owner,
                format_args!("the cluster of block {from} holds the filesystem's own blocks"),
            ));
        }
        if self.store.options.keep_free_space {
            return Ok(());
        }
        let size = self.store.block_len() as u64;
        let (at, len) = (from * size, (until - from) * size);
        if !reads_as_zero(&*self.store.device, at, len)? {
            self.store.device.zero(at, len)?;
        }
        Ok(())
    }
}
