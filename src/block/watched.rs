//! A device that notices whether what is on it becomes different: an edit that changes nothing must
//! leave no time of its own either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{BlockError, Extent, ReadBlocks, WriteBlocks, check_range, reads_as_zero};

/// How much is compared at a time.
const PIECE: usize = 64 << 10;

/// What hosts can release at the least.
const BLOCK: u64 = 4096;

/// A device, watched. Until it changes for the first time all that is written is compared with what
/// is there, and what is there already is not written again; from then on everything passes.
pub struct Watched {
    device: Arc<dyn WriteBlocks>,
    is_changed: AtomicBool,
}

impl Watched {
    /// Watches a device from now on.
    pub fn new(device: Arc<dyn WriteBlocks>) -> Self {
        Self { device, is_changed: AtomicBool::new(false) }
    }

    /// Whether any byte is another than it was.
    pub fn is_changed(&self) -> bool {
        self.is_changed.load(Ordering::Relaxed)
    }

    fn holds(&self, at: u64, bytes: &[u8]) -> Result<bool, BlockError> {
        let mut there = vec![0; bytes.len().min(PIECE)];
        let mut at = at;
        for piece in bytes.chunks(PIECE) {
            let there = &mut there[..piece.len()];
            self.device.read_at(at, there)?;
            if there != piece {
                return Ok(false);
            }
            at += piece.len() as u64;
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("is_changed", &self.is_changed()).finish_non_exhaustive()
    }
}

impl ReadBlocks for Watched {
    fn len(&self) -> u64 {
        self.device.len()
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        self.device.read_at(at, dst)
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        self.device.extent_at(at)
    }
}

impl WriteBlocks for Watched {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        check_range(at, src.len() as u64, self.len())?;
        if !self.is_changed() {
            if self.holds(at, src)? {
                return Ok(());
            }
            self.is_changed.store(true, Ordering::Relaxed);
        }
        self.device.write_at(at, src)
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        check_range(at, len, self.len())?;
        if self.is_changed() || !reads_as_zero(&*self.device, at, len)? {
            self.is_changed.store(true, Ordering::Relaxed);
            return self.device.zero(at, len);
        }
        // Storage that holds zeroes is released all the same; parts of a block cannot be.
        let (start, end) = (at.next_multiple_of(BLOCK), (at + len) / BLOCK * BLOCK);
        if start < end { self.device.zero(start, end - start) } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), BlockError> {
        self.device.flush()
    }
}
