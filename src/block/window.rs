//! A part of a device, as a device: a partition on its disk.

use std::fmt;
use std::sync::Arc;

use super::{BlockError, Extent, ReadBlocks, WriteBlocks, check_range};

/// `len` bytes of a device from `start` on, read only.
#[derive(Clone)]
pub struct Window {
    device: Arc<dyn ReadBlocks>,
    start: u64,
    len: u64,
}

impl Window {
    /// The `len` bytes of `device` at `start`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`] when they do not lie inside the device.
    pub fn new(device: Arc<dyn ReadBlocks>, start: u64, len: u64) -> Result<Self, BlockError> {
        check_range(start, len, device.len())?;
        Ok(Self { device, start, len })
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({}+{})", self.start, self.len)
    }
}

impl ReadBlocks for Window {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.len)?;
        self.device.read_at(self.start + at, dst).map_err(|error| here(error, self.start))
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        extent(&*self.device, self.start, self.len, at)
    }
}

/// `len` bytes of a device from `start` on.
#[derive(Clone)]
pub struct WindowMut {
    device: Arc<dyn WriteBlocks>,
    start: u64,
    len: u64,
}

impl WindowMut {
    /// The `len` bytes of `device` at `start`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`] when they do not lie inside the device.
    pub fn new(device: Arc<dyn WriteBlocks>, start: u64, len: u64) -> Result<Self, BlockError> {
        check_range(start, len, device.len())?;
        Ok(Self { device, start, len })
    }
}

impl fmt::Debug for WindowMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowMut({}+{})", self.start, self.len)
    }
}

impl ReadBlocks for WindowMut {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.len)?;
        self.device.read_at(self.start + at, dst).map_err(|error| here(error, self.start))
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        extent(&*self.device, self.start, self.len, at)
    }
}

impl WriteBlocks for WindowMut {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        check_range(at, src.len() as u64, self.len)?;
        self.device.write_at(self.start + at, src).map_err(|error| here(error, self.start))
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        check_range(at, len, self.len)?;
        self.device.zero(self.start + at, len).map_err(|error| here(error, self.start))
    }

    fn flush(&self) -> Result<(), BlockError> {
        self.device.flush().map_err(|error| here(error, self.start))
    }
}

fn extent<D: ReadBlocks + ?Sized>(
    device: &D,
    start: u64,
    len: u64,
    at: u64,
) -> Result<Extent, BlockError> {
    match len.checked_sub(at) {
        Some(rest) if rest > 0 => {
            let extent = device.extent_at(start + at).map_err(|error| here(error, start))?;
            Ok(extent.at_most(rest))
        }
        _ => Err(BlockError::OutOfRange { at, len: 1, size: len }),
    }
}

/// The same error, its place counted from the window's start.
fn here(error: BlockError, start: u64) -> BlockError {
    match error {
        BlockError::Io { at, source } => BlockError::Io { at: at.saturating_sub(start), source },
        other => other,
    }
}
