//! What an image will be once its log was replayed, to be read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Entry, Log, LogError, Record};
use crate::block::{BlockError, Extent, ReadBlocks, check_range};

/// One range of the image that the log changes.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u64,
    len: u64,
    /// Where its bytes are in the log; `None` for zeroes.
    log_at: Option<u64>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.at + self.len
    }
}

/// An image read through its log, which holds the bytes: memory has only their places.
pub struct Ahead {
    image: Arc<dyn ReadBlocks>,
    log: File,
    len: u64,
    /// Ascending and apart.
    pieces: Vec<Piece>,
}

impl Ahead {
    /// Reads a log that was [checked](Log::check) against `image`.
    ///
    /// # Errors
    /// As [`Log::next`].
    pub fn new(image: Arc<dyn ReadBlocks>, mut log: Log<File>) -> Result<Self, LogError> {
        let len = log.header().len_after;
        let mut pieces = Vec::new();
        while let Some(Entry { record, bytes_at, .. }) = log.next()? {
            let (at, len) = record.range();
            let log_at = matches!(record, Record::Bytes { .. }).then_some(bytes_at);
            pieces.push(Piece { at, len, log_at });
        }
        Ok(Self { image, log: log.into_source(), len, pieces })
    }

    /// The piece that `at` lies in, or else how far it is to the next one, at most `most`.
    fn piece(&self, at: u64, most: u64) -> Result<Piece, u64> {
        let next = self.pieces.partition_point(|piece| piece.end() <= at);
        match self.pieces.get(next) {
            Some(piece) if piece.at <= at => Ok(*piece),
            Some(piece) => Err((piece.at - at).min(most)),
            None => Err(most),
        }
    }
}

impl ReadBlocks for Ahead {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.len)?;
        let (mut at, mut dst) = (at, dst);
        while !dst.is_empty() {
            let piece = self.piece(at, dst.len() as u64);
            let len = match piece {
                Ok(piece) => (piece.end() - at).min(dst.len() as u64),
                Err(gap) => gap,
            };
            let (now, later) = dst.split_at_mut(len as usize);
            match piece {
                Ok(Piece { at: start, log_at: Some(log_at), .. }) => self
                    .log
                    .read_exact_at(now, log_at + (at - start))
                    .map_err(|source| BlockError::Io { at, source })?,
                Ok(_) => now.fill(0),
                // The commit may have been stopped before the image grew.
                Err(_) => super::touched::read_padded(&*self.image, at, now)?,
            }
            dst = later;
            at += len;
        }
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        check_range(at, 1, self.len)?;
        match self.piece(at, self.len - at) {
            Ok(piece) if piece.log_at.is_some() => Ok(Extent::Data(piece.end() - at)),
            Ok(piece) => Ok(Extent::Zero(piece.end() - at)),
            Err(gap) if at >= self.image.len() => Ok(Extent::Zero(gap)),
            Err(gap) => Ok(self.image.extent_at(at)?.at_most(gap)),
        }
    }
}
