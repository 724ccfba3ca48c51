//! Writing a log, in pieces handed to a sink.

use std::io;

use super::record::{HEAD, MAX_BYTES};
use super::trailer::Trailer;
use super::{Header, Record, touched};
use crate::block::ReadBlocks;

/// Where a log's bytes go, appended in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// How much is gathered before it is handed on, so that small records do not cost a call each.
const BUFFER: usize = 256 << 10;

/// Writes a log's header and records; [`finish`](Self::finish) gives the trailer, which the caller
/// appends once everything before it is durable.
pub struct Writer<'a> {
    sink: Sink<'a>,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// What a record's range was before, and its digests: kept for the next record's.
    before: Vec<u8>,
    digests: Vec<u8>,
    stride: u64,
    records: u64,
    length: u64,
}

impl<'a> Writer<'a> {
    /// Begins a log.
    ///
    /// # Errors
    /// What the sink says.
    pub fn new(sink: Sink<'a>, header: &Header) -> io::Result<Self> {
        let buffer = Vec::with_capacity(BUFFER + HEAD);
        let mut writer = Self {
            sink,
            hasher: blake3::Hasher::new(),
            buffer,
            before: Vec::new(),
            digests: Vec::new(),
            stride: touched::stride(header.zeroed),
            records: 0,
            length: 0,
        };
        writer.push(&header.to_bytes())?;
        Ok(writer)
    }

    /// Adds bytes to be written at byte `at` of the image `before`, behind whose end zeroes come.
    ///
    /// # Errors
    /// What reading the image or the sink says.
    pub fn bytes(&mut self, before: &dyn ReadBlocks, mut at: u64, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(MAX_BYTES) {
            self.before.resize(chunk.len(), 0);
            touched::read_padded(before, at, &mut self.before)?;
            self.digests.clear();
            touched::push_bytes(at, &self.before, &mut self.digests);
            self.record(Record::Bytes { at, bytes: chunk }, chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// Adds a range of the image `before` to be made zero.
    ///
    /// # Errors
    /// What reading the image or the sink says.
    pub fn zero(&mut self, before: &dyn ReadBlocks, at: u64, len: u64) -> io::Result<()> {
        if len > 0 {
            self.digests.clear();
            touched::push_zero(before, at, len, self.stride, &mut self.digests)?;
            self.record(Record::Zero { at, len }, &[])?;
        }
        Ok(())
    }

    fn record(&mut self, record: Record<'_>, bytes: &[u8]) -> io::Result<()> {
        let digests = std::mem::take(&mut self.digests);
        self.push(&record.head(&digests))?;
        self.push(&digests)?;
        self.push(bytes)?;
        self.digests = digests;
        self.records += 1;
        Ok(())
    }

    /// Hands on what is still gathered and gives the trailer's bytes.
    ///
    /// # Errors
    /// What the sink says.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.spill()?;
        let trailer = Trailer {
            records: self.records,
            length: self.length + super::trailer::SIZE as u64,
            digest: *self.hasher.finalize().as_bytes(),
        };
        Ok(trailer.to_bytes().to_vec())
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.spill()?;
        }
        if bytes.len() >= BUFFER {
            self.hasher.update(bytes);
            return (self.sink)(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.hasher.update(&self.buffer);
            (self.sink)(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
