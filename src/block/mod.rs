//! Byte devices: what an image format, a volume or a filesystem is read from and staged to.

use std::io;
use std::path::PathBuf;

pub mod file;
pub mod memory;
pub mod overlay;
mod spill;
pub mod watched;
pub mod window;

pub use file::{HostFile, check_file_size_limit};
pub use memory::Memory;
pub use overlay::{Changes, MOST_HELD, Overlay, Piece};
pub use watched::Watched;
pub use window::{Window, WindowMut};

/// What lies at an offset: how many bytes of one kind follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At least this many bytes (never 0) that have to be read.
    Data(u64),
    /// This many bytes (never 0) read as zeroes and need not be read.
    Zero(u64),
}

impl Extent {
    /// The length in bytes, whichever kind it is.
    pub fn len(self) -> u64 {
        match self {
            Self::Data(len) | Self::Zero(len) => len,
        }
    }

    /// An extent is never empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The same kind, cut to at most `max` bytes.
    #[must_use]
    pub fn at_most(self, max: u64) -> Self {
        match self {
            Self::Data(len) => Self::Data(len.min(max)),
            Self::Zero(len) => Self::Zero(len.min(max)),
        }
    }
}

/// Why a byte device refused or failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockError {
    /// The caller asked for bytes outside the device.
    OutOfRange {
        /// First byte asked for.
        at: u64,
        /// How many bytes were asked for.
        len: u64,
        /// The device's size in bytes.
        size: u64,
    },
    /// The layer below failed at this byte offset.
    Io {
        /// Byte offset in this device.
        at: u64,
        /// What the layer below said.
        source: io::Error,
    },
    /// The temporary file for staged bytes that memory has no room for failed.
    Spill {
        /// The folder it is in, or could not be made in.
        folder: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}

impl std::fmt::Display for BlockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfRange { at, len, size } => {
                write!(f, "bytes {at}+{len} lie outside a device of {size} bytes")
            }
            Self::Io { at, source } => write!(f, "at byte {at}: {source}"),
            Self::Spill { folder, source } => write!(
                f,
                "the temporary file in {}, for changes that memory has no room for: {source}",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for BlockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OutOfRange { .. } => None,
            Self::Io { source, .. } | Self::Spill { source, .. } => Some(source),
        }
    }
}

impl From<BlockError> for io::Error {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::OutOfRange { .. } => Self::new(io::ErrorKind::UnexpectedEof, error),
            BlockError::Io { source, .. } => source,
            BlockError::Spill { ref source, .. } => Self::new(source.kind(), error),
        }
    }
}

/// A byte device that can be read at any position.
///
/// Contract, which `tests/conformance/block.rs` holds every implementation to:
/// - The implementation checks ranges: a range that ends past [`len`](Self::len), or whose end
///   overflows, is [`BlockError::OutOfRange`] and reads nothing. An empty range inside is allowed.
/// - `read_at` fills `dst` wholly or fails. No value read from a disk makes it panic.
/// - `extent_at(at)` with `at < len` gives a non-empty extent that ends at or before `len`;
///   `Zero` is a promise that those bytes read as zeroes; with `at >= len` it is `OutOfRange`.
/// - Reads are positional, take `&self` and may come from several threads.
pub trait ReadBlocks: Send + Sync {
    /// The size in bytes.
    fn len(&self) -> u64;

    /// Whether the device has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `dst` with the bytes at `at`.
    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError>;

    /// Says whether the bytes at `at` are known to be zeroes, and how far that holds.
    fn extent_at(&self, at: u64) -> Result<Extent, BlockError>;
}

/// A byte device that can also be written at any position within its size.
///
/// - A range outside the device is `OutOfRange` and writes nothing.
/// - A read after a write or a zero sees it.
/// - After `zero`, the range reads as zeroes and the storage behind it may be released
///   (a hole in raw, an unmapped or zero cluster in qcow2). It is the only way to discard.
pub trait WriteBlocks: ReadBlocks {
    /// Writes `src` at `at`.
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError>;

    /// Makes `len` bytes at `at` read as zeroes, releasing what stores them where possible.
    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError>;

    /// Hands everything written so far to the layer below.
    fn flush(&self) -> Result<(), BlockError>;
}

/// A byte device whose size can change: what an image format is laid on.
pub trait ResizeBlocks: WriteBlocks {
    /// Sets the size in bytes; bytes gained read as zeroes, bytes cut are gone.
    fn set_len(&self, len: u64) -> Result<(), BlockError>;
}

/// Checks that `len` bytes at `at` lie inside a device of `size` bytes.
///
/// # Errors
/// [`BlockError::OutOfRange`] when they do not.
pub fn check_range(at: u64, len: u64, size: u64) -> Result<(), BlockError> {
    match at.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(BlockError::OutOfRange { at, len, size }),
    }
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// How much [`reads_as_zero`] reads at a time.
const PIECE: u64 = 64 << 10;

/// Whether `len` bytes at `at` are all zero; what the device knows to be zero is not read.
///
/// # Errors
/// Those of `device`.
pub fn reads_as_zero(device: &dyn ReadBlocks, at: u64, len: u64) -> Result<bool, BlockError> {
    check_range(at, len, device.len())?;
    let (mut at, end) = (at, at + len);
    let mut bytes = Vec::new();
    while at < end {
        let mut extent = device.extent_at(at)?.at_most(end - at);
        if let Extent::Data(_) = extent {
            extent = extent.at_most(PIECE);
            bytes.resize(extent.len() as usize, 0);
            device.read_at(at, &mut bytes)?;
            if !is_zero(&bytes) {
                return Ok(false);
            }
        }
        at += extent.len();
    }
    Ok(true)
}
