//! A sparse device in memory.

use std::sync::Arc;

use super::overlay::Overlay;
use super::{BlockError, Extent, ReadBlocks, ResizeBlocks, WriteBlocks, check_range};

/// A sparse device in memory: it costs what is written to it, and reads as zeroes elsewhere.
#[derive(Debug)]
pub struct Memory(Overlay);

impl Memory {
    /// A device of `len` bytes, all zero.
    pub fn new(len: u64) -> Self {
        Self(Overlay::new(Arc::new(Nothing(len))))
    }

    /// A device that holds `bytes`.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let memory = Self::new(bytes.len() as u64);
        // Only a spill fails, and this one holds everything in memory.
        let _ = memory.0.stage(0, &bytes);
        memory
    }

    /// The bytes held in memory.
    pub fn held_bytes(&self) -> u64 {
        self.0.staged_bytes()
    }
}

impl ReadBlocks for Memory {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        self.0.read_at(at, dst)
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        self.0.extent_at(at)
    }
}

impl WriteBlocks for Memory {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        self.0.write_at(at, src)
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        self.0.zero(at, len)
    }

    fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }
}

impl ResizeBlocks for Memory {
    fn set_len(&self, len: u64) -> Result<(), BlockError> {
        self.0.set_len(len)
    }
}

/// A device of this many zero bytes.
#[derive(Debug)]
struct Nothing(u64);

impl ReadBlocks for Nothing {
    fn len(&self) -> u64 {
        self.0
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.0)?;
        dst.fill(0);
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        match self.0.checked_sub(at) {
            Some(rest) if rest > 0 => Ok(Extent::Zero(rest)),
            _ => Err(BlockError::OutOfRange { at, len: 1, size: self.0 }),
        }
    }
}
