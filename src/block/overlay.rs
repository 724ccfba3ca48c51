//! Everything a run writes, kept apart from the host file until it is committed.
//!
//! An overlay lies on a read-only base and holds what differs from it: ranges of bytes, and
//! ranges of zeroes that cost no bytes. It sits below the image format, so image tables,
//! filesystem metadata and file data are one set of changes.
//!
//! The bytes are held in memory, and in a temporary file where they are many
//! ([`Overlay::spilling`]): a journal that is replayed, a large file that is rewritten.
//!
//! # Committing it
//! [`Overlay::changes`] gives the set in ascending order, without overlaps. To bring a file that
//! equals the base to the overlay's content, in any order of the pieces:
//! 1. where [`Changes::len`] exceeds [`Changes::base_len`], grow the file to it;
//! 2. write each [`Piece::Bytes`] (its bytes come from [`ReadBlocks::read_at`] on the overlay), and
//!    make each [`Piece::Zero`] a hole, or zeroes where holes cannot be made; every piece ends at
//!    or before [`Changes::len`];
//! 3. where [`Changes::len`] is below [`Changes::base_len`], cut the file.
//!
//! Doing it twice, or again after stopping halfway, gives the same file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::spill::Spill;
use super::{BlockError, Extent, ReadBlocks, ResizeBlocks, WriteBlocks, check_range, is_zero};

/// The longest run of staged bytes in one piece: what a split has to copy at most.
const LONGEST_RUN: usize = 64 << 10;

/// How many staged bytes an image's overlay holds in memory, of the 64 MiB that a run may take: most
/// seals stage less.
pub const MOST_HELD: u64 = 8 << 20;

/// Aligned blocks of this size that are written as zeroes are staged as zeroes: the common
/// filesystem block, and what most hosts can make a hole of.
const ZERO_BLOCK: u64 = 4096;

/// One changed range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This many bytes, to be read from the overlay.
    Bytes(u64),
    /// This many zero bytes.
    Zero(u64),
}

impl Piece {
    /// The length in bytes, whichever kind it is.
    pub fn len(self) -> u64 {
        match self {
            Self::Bytes(len) | Self::Zero(len) => len,
        }
    }

    /// A piece is never empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// What an overlay changes about its base. The module's text says how to commit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The base's size in bytes.
    pub base_len: u64,
    /// The new size in bytes.
    pub len: u64,
    /// Offset and kind of each changed range: ascending, not overlapping, neighbours of the same
    /// kind merged, all below [`len`](Self::len).
    pub pieces: Vec<(u64, Piece)>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.len == self.base_len
    }
}

/// A staged range; the map's key is where it starts.
enum Staged {
    Bytes(Vec<u8>),
    /// This many bytes, which lie at `place` in the spill file.
    Spilled {
        place: u64,
        len: u64,
    },
    Zero(u64),
}

impl Staged {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spilled { len, .. } | Self::Zero(len) => *len,
        }
    }

    fn piece(&self) -> Piece {
        match self {
            Self::Bytes(_) | Self::Spilled { .. } => Piece::Bytes(self.len()),
            Self::Zero(len) => Piece::Zero(*len),
        }
    }
}

/// A writable device over a read-only base; see the [module](self).
pub struct Overlay {
    base: Arc<dyn ReadBlocks>,
    state: RwLock<State>,
}

struct State {
    len: u64,
    /// Not overlapping, never empty, all below `len`.
    staged: BTreeMap<u64, Staged>,
    /// How many bytes are staged, in memory or in the spill file.
    bytes: u64,
    /// How many of them are in memory.
    held: u64,
    /// Where they go when they are more than `most_held`.
    spill: Spill,
    most_held: u64,
}

impl Overlay {
    /// An overlay that changes nothing yet and holds all its bytes in memory.
    pub fn new(base: Arc<dyn ReadBlocks>) -> Self {
        Self::spilling(base, Path::new(""), u64::MAX)
    }

    /// An overlay that changes nothing yet and holds at most about `most_held` bytes in memory;
    /// more go to a temporary file in `folder`, or in the system's temporary folder where none can
    /// be made there. What that file says is [`BlockError::Spill`].
    pub fn spilling(base: Arc<dyn ReadBlocks>, folder: &Path, most_held: u64) -> Self {
        let spill = Spill::new(folder);
        let staged = BTreeMap::new();
        let state = State { len: base.len(), staged, bytes: 0, held: 0, spill, most_held };
        Self { base, state: RwLock::new(state) }
    }

    /// What lies below.
    pub fn base(&self) -> &Arc<dyn ReadBlocks> {
        &self.base
    }

    /// How many bytes are staged, in memory or in the temporary file (zero ranges hold none).
    pub fn staged_bytes(&self) -> u64 {
        self.read().bytes
    }

    /// What differs from the base, as it is now.
    pub fn changes(&self) -> Changes {
        let state = self.read();
        let mut pieces: Vec<(u64, Piece)> = Vec::new();
        for (&at, staged) in &state.staged {
            match (pieces.last_mut(), staged.piece()) {
                (Some((start, Piece::Bytes(len))), Piece::Bytes(more))
                | (Some((start, Piece::Zero(len))), Piece::Zero(more))
                    if *start + *len == at =>
                {
                    *len += more;
                }
                (_, piece) => pieces.push((at, piece)),
            }
        }
        Changes { base_len: self.base.len(), len: state.len, pieces }
    }

    // A panic while the lock is held cannot leave the map torn: every step keeps it ordered.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stages bytes that lie inside the device.
    pub(super) fn stage(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        self.write().put(at, src)
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("Overlay")
            .field("len", &state.len)
            .field("pieces", &state.staged.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl State {
    /// The staged range that `at` lies in, if any.
    fn covering(&self, at: u64) -> Option<(u64, &Staged)> {
        let (&start, staged) = self.staged.range(..=at).next_back()?;
        (at - start < staged.len()).then_some((start, staged))
    }

    /// Where the first staged range after `at` starts.
    fn next_after(&self, at: u64) -> Option<u64> {
        self.staged.range((Excluded(at), Unbounded)).next().map(|(&start, _)| start)
    }

    /// Forgets what is staged in `start..end`; what sticks out on either side stays.
    fn carve(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        if let Some((first, _)) = self.covering(start)
            && first < start
        {
            self.split(first, start);
        }
        while let Some((&at, staged)) = self.staged.range((Included(start), Excluded(end))).next() {
            let len = staged.len();
            if at + len > end {
                self.split(at, end);
            }
            match self.staged.remove(&at) {
                Some(Staged::Bytes(bytes)) => {
                    self.bytes -= bytes.len() as u64;
                    self.held -= bytes.len() as u64;
                }
                Some(Staged::Spilled { len, .. }) => self.bytes -= len,
                Some(Staged::Zero(_)) | None => {}
            }
        }
    }

    /// Cuts the range that starts at `first` in two, the second starting at `middle` inside it.
    fn split(&mut self, first: u64, middle: u64) {
        let Some(staged) = self.staged.get_mut(&first) else { return };
        let keep = middle - first;
        let second = match staged {
            Staged::Bytes(bytes) => Staged::Bytes(bytes.split_off(keep as usize)),
            Staged::Spilled { place, len } => {
                let rest = Staged::Spilled { place: *place + keep, len: *len - keep };
                *len = keep;
                rest
            }
            Staged::Zero(len) => {
                let rest = *len - keep;
                *len = keep;
                Staged::Zero(rest)
            }
        };
        self.staged.insert(middle, second);
    }

    /// Stages `src` at `at`, whatever it holds.
    fn put(&mut self, mut at: u64, mut src: &[u8]) -> Result<(), BlockError> {
        while !src.is_empty() {
            // Rewriting what is staged already is the common case: tables written again.
            let len = self.rewrite(at, src)?;
            if len > 0 {
                src = &src[len..];
                at += len as u64;
                continue;
            }
            let len = src.len().min(LONGEST_RUN);
            let (now, later) = src.split_at(len);
            self.carve(at, at + len as u64);
            self.bytes += len as u64;
            self.held += len as u64;
            match self.staged.range_mut(..at).next_back() {
                Some((&start, Staged::Bytes(bytes)))
                    if start + bytes.len() as u64 == at && bytes.len() + len <= LONGEST_RUN =>
                {
                    bytes.extend_from_slice(now);
                }
                _ => {
                    self.staged.insert(at, Staged::Bytes(now.to_vec()));
                }
            }
            src = later;
            at += len as u64;
            if self.held > self.most_held {
                self.spill()?;
            }
        }
        Ok(())
    }

    /// Writes as much of `src` as falls into the range of bytes that `at` lies in, where there is
    /// one; gives how much that is.
    fn rewrite(&mut self, at: u64, src: &[u8]) -> Result<usize, BlockError> {
        let Some((&start, staged)) = self.staged.range_mut(..=at).next_back() else { return Ok(0) };
        let from = at - start;
        let len = src.len().min(staged.len().saturating_sub(from) as usize);
        match staged {
            _ if len == 0 => return Ok(0),
            Staged::Zero(_) => return Ok(0),
            Staged::Bytes(bytes) => {
                let from = from as usize;
                bytes[from..from + len].copy_from_slice(&src[..len]);
            }
            Staged::Spilled { place, .. } => self.spill.write_at(*place + from, &src[..len])?,
        }
        Ok(len)
    }

    /// Moves all bytes in memory to the file.
    fn spill(&mut self) -> Result<(), BlockError> {
        for staged in self.staged.values_mut() {
            if let Staged::Bytes(bytes) = staged {
                let (place, len) = (self.spill.append(bytes)?, bytes.len() as u64);
                *staged = Staged::Spilled { place, len };
                self.held -= len;
            }
        }
        Ok(())
    }

    /// Stages zeroes over a range in which nothing is staged.
    fn put_zero(&mut self, at: u64, len: u64) {
        match self.staged.range_mut(..at).next_back() {
            Some((&start, Staged::Zero(before))) if start + *before == at => *before += len,
            _ => {
                self.staged.insert(at, Staged::Zero(len));
            }
        }
    }

    /// Makes `start..end` read as zeroes, staging nothing where the base does that already.
    fn zero(&mut self, base: &dyn ReadBlocks, start: u64, end: u64) -> Result<(), BlockError> {
        let mut at = start;
        let base_end = end.min(base.len());
        // The base is asked first, so that an error from it leaves the overlay as it was.
        let mut wanted = Vec::new();
        while at < base_end {
            let extent = base.extent_at(at)?.at_most(base_end - at);
            if let Extent::Data(len) = extent {
                wanted.push((at, len));
            }
            at += extent.len();
        }
        self.carve(start, end);
        for (at, len) in wanted {
            self.put_zero(at, len);
        }
        Ok(())
    }
}

impl ReadBlocks for Overlay {
    fn len(&self) -> u64 {
        self.read().len
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        let state = self.read();
        check_range(at, dst.len() as u64, state.len)?;
        let mut at = at;
        let mut dst = dst;
        while !dst.is_empty() {
            let wanted = dst.len() as u64;
            if let Some((start, staged)) = state.covering(at) {
                let from = at - start;
                let len = wanted.min(staged.len() - from);
                let (now, later) = dst.split_at_mut(len as usize);
                match staged {
                    Staged::Bytes(bytes) => {
                        let from = from as usize;
                        now.copy_from_slice(&bytes[from..from + now.len()]);
                    }
                    Staged::Spilled { place, .. } => state.spill.read_at(*place + from, now)?,
                    Staged::Zero(_) => now.fill(0),
                }
                dst = later;
                at += len;
                continue;
            }
            let gap = state.next_after(at).map_or(wanted, |next| (next - at).min(wanted));
            let below = self.base.len().saturating_sub(at).min(gap);
            let (now, later) = dst.split_at_mut(gap as usize);
            let (from_base, past_base) = now.split_at_mut(below as usize);
            if !from_base.is_empty() {
                self.base.read_at(at, from_base)?;
            }
            past_base.fill(0);
            dst = later;
            at += gap;
        }
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        let state = self.read();
        if at >= state.len {
            return Err(BlockError::OutOfRange { at, len: 1, size: state.len });
        }
        if let Some((start, staged)) = state.covering(at) {
            let len = staged.len() - (at - start);
            return Ok(match staged {
                Staged::Bytes(_) | Staged::Spilled { .. } => Extent::Data(len),
                Staged::Zero(_) => Extent::Zero(len),
            });
        }
        let gap = state.next_after(at).unwrap_or(state.len) - at;
        if at >= self.base.len() {
            return Ok(Extent::Zero(gap));
        }
        Ok(self.base.extent_at(at)?.at_most(gap))
    }
}

impl WriteBlocks for Overlay {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        let mut state = self.write();
        check_range(at, src.len() as u64, state.len)?;
        // Aligned blocks of zeroes become zero ranges; runs of the same kind go in together.
        let mut at = at;
        let mut src = src;
        while !src.is_empty() {
            let mut run = 0;
            let mut zeroes = false;
            while run < src.len() {
                let here = at + run as u64;
                let block = (ZERO_BLOCK - here % ZERO_BLOCK).min((src.len() - run) as u64) as usize;
                let zero = block as u64 == ZERO_BLOCK && is_zero(&src[run..run + block]);
                if run > 0 && zero != zeroes {
                    break;
                }
                zeroes = zero;
                run += block;
            }
            let (now, later) = src.split_at(run);
            if zeroes {
                state.zero(&*self.base, at, at + run as u64)?;
            } else {
                state.put(at, now)?;
            }
            src = later;
            at += run as u64;
        }
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        let mut state = self.write();
        check_range(at, len, state.len)?;
        state.zero(&*self.base, at, at + len)
    }

    fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }
}

impl ResizeBlocks for Overlay {
    fn set_len(&self, len: u64) -> Result<(), BlockError> {
        let mut state = self.write();
        let old = state.len;
        if len < old {
            state.carve(len, u64::MAX);
            state.len = len;
        } else {
            // Bytes of the base that were cut earlier must not come back.
            state.zero(&*self.base, old, len)?;
            state.len = len;
        }
        Ok(())
    }
}
