//! Reading a log back, streamed: at most one record is held in memory.

use std::io::{self, Read, Seek, SeekFrom};

use super::header::{self, FIXED};
use super::record::{HEAD, Head, MAX_BYTES};
use super::trailer::{self, Trailer};
use super::{Header, LogError, Mismatch, Record, identity, touched};
use crate::block::ReadBlocks;

/// The most bytes behind one record's head: more than a record of the most bytes has, or of as
/// many zeroes as there can be, with their digests.
const MOST_PAYLOAD: u64 = MAX_BYTES as u64 + (64 << 10);

/// One record with what the log knows of the bytes it changes.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What is to be done.
    pub record: Record<'a>,
    /// Digests of what was there before.
    pub(super) before: &'a [u8],
    /// Byte offset in the log of the bytes to be written.
    pub bytes_at: u64,
}

/// A finished log. Every record is checked for itself as it is read, and the whole against the
/// trailer's digest when the last one has been.
pub struct Log<R> {
    source: R,
    header: Header,
    trailer: Trailer,
    hasher: blake3::Hasher,
    /// Every how many blocks a range of zeroes was sampled.
    stride: u64,
    /// Byte offset of the next record in the log.
    place: u64,
    records: u64,
    /// Where the last record's range ended in the image: ranges are in order and apart.
    end: u64,
    payload: Vec<u8>,
}

impl<R: Read + Seek> Log<R> {
    /// Opens a log by its trailer and header.
    ///
    /// # Errors
    /// [`LogError::Incomplete`] when it has no valid trailer; `Foreign` when it has not a log's
    /// first bytes either; `Damaged` when it has a trailer and the header is wrong.
    pub fn open(mut source: R) -> Result<Self, LogError> {
        let length = source.seek(SeekFrom::End(0))?;
        let Some(trailer) = Self::trailer(&mut source, length)? else {
            let mut first = Vec::new();
            source.seek(SeekFrom::Start(0))?;
            source.take(header::MAGIC.len() as u64).read_to_end(&mut first)?;
            let may_begin = header::may_begin(&first);
            return Err(if may_begin { LogError::Incomplete } else { LogError::Foreign });
        };
        let start = length - trailer::SIZE as u64;
        source.seek(SeekFrom::Start(0))?;
        let cut = || LogError::damaged(0, "the header is cut off");
        if start < FIXED as u64 {
            return Err(cut());
        }
        let mut bytes = vec![0; FIXED];
        source.read_exact(&mut bytes)?;
        let size = Header::size_from(&bytes)?;
        if (size as u64) > start {
            return Err(cut());
        }
        bytes.resize(size, 0);
        source.read_exact(&mut bytes[FIXED..])?;
        let header = Header::from_bytes(&bytes)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        Ok(Self {
            source,
            stride: touched::stride(header.zeroed),
            header,
            trailer,
            hasher,
            place: size as u64,
            records: 0,
            end: 0,
            payload: Vec::new(),
        })
    }

    /// The trailer of a log of this length, if it has one.
    fn trailer(source: &mut R, length: u64) -> io::Result<Option<Trailer>> {
        let Some(start) = length.checked_sub(trailer::SIZE as u64) else { return Ok(None) };
        let mut raw = [0; trailer::SIZE];
        source.seek(SeekFrom::Start(start))?;
        source.read_exact(&mut raw)?;
        // A trailer says how long its log is; another length's ends another log's remains.
        Ok(Trailer::from_bytes(&raw).filter(|trailer| trailer.length == length))
    }

    /// The log itself.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// Which image it belongs to.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The log's length in bytes.
    pub fn length(&self) -> u64 {
        self.trailer.length
    }

    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.trailer.records
    }

    /// The next record, in ascending order of its range; `None` behind the last one, when the
    /// whole log has been found to be what was written.
    ///
    /// # Errors
    /// `Damaged` where the log is not what was written.
    #[allow(clippy::should_implement_trait, reason = "it lends its buffer")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, LogError> {
        let body_end = self.trailer.length - trailer::SIZE as u64;
        let place = self.place;
        if place == body_end {
            if self.records != self.trailer.records {
                return Err(LogError::damaged(place, "the number of records is wrong"));
            }
            if *self.hasher.finalize().as_bytes() != self.trailer.digest {
                return Err(LogError::damaged(place, "the digest is wrong"));
            }
            return Ok(None);
        }
        let left = body_end - place;
        let cut = || LogError::damaged(place, "the record is cut off");
        if left < HEAD as u64 {
            return Err(cut());
        }
        let mut raw = [0; HEAD];
        self.source.read_exact(&mut raw)?;
        let head = Head::from_bytes(raw, place)?;
        let (digests, bytes) = head.payload(self.stride);
        let size = digests.saturating_add(bytes);
        if left - (HEAD as u64) < size {
            return Err(cut());
        }
        if size > MOST_PAYLOAD {
            return Err(LogError::damaged(place, format_args!("a record of {size} bytes")));
        }
        self.payload.resize(size as usize, 0);
        self.source.read_exact(&mut self.payload)?;
        self.hasher.update(&raw);
        self.hasher.update(&self.payload);
        let bytes_at = place + HEAD as u64 + digests;
        let entry = head.with(&self.payload, digests as usize, place, bytes_at)?;
        let end = head.at.saturating_add(head.len);
        if head.at < self.end || end > self.header.len_after {
            return Err(LogError::damaged(
                place,
                format_args!(
                    "a record for bytes {}+{} is out of order or range",
                    head.at, head.len
                ),
            ));
        }
        self.end = end;
        self.place = place + HEAD as u64 + size;
        self.records += 1;
        Ok(Some(entry))
    }

    /// Reads every record and acts on none: the log is what was written, and `image` is what the
    /// commit left, at whatever instant it was stopped, or this says how not.
    ///
    /// # Errors
    /// As [`next`](Self::next); reading the image failed.
    pub fn check(mut self, image: &dyn ReadBlocks) -> Result<Result<R, Mismatch>, LogError> {
        if let Some(mismatch) = identity::differs(&self.header, image)? {
            return Ok(Err(mismatch));
        }
        let stride = self.stride;
        let mut buffer = Vec::new();
        while let Some(Entry { record, before, .. }) = self.next()? {
            let changed = touched::changed(image, record, before, stride, &mut buffer)?;
            if let Some(mismatch) = changed {
                return Ok(Err(mismatch));
            }
        }
        Ok(Ok(self.source))
    }
}
