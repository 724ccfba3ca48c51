//! Bytes one after another, of which the next ones can be looked at.

use std::io::{self, BufRead, Read};

/// How much is read at a time.
const BUFFER: usize = 64 << 10;

/// Reads a source through a buffer.
pub(super) struct Input<'a> {
    source: &'a mut dyn Read,
    buffer: Vec<u8>,
    /// What of the buffer is still to be taken.
    start: usize,
    taken: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(source: &'a mut dyn Read) -> Self {
        Self { source, buffer: Vec::new(), start: 0, taken: 0 }
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next bytes, at most `len` and fewer at the end alone. They stay.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.buffer.len() - self.start < len {
            self.buffer.drain(..self.start);
            self.start = 0;
            let held = self.buffer.len();
            self.buffer.resize(held + BUFFER, 0);
            let read = self.source.read(&mut self.buffer[held..]);
            self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        let held = self.buffer.get(self.start..).unwrap_or_default();
        Ok(held.get(..len).unwrap_or(held))
    }

    /// Puts bytes that were taken last before the next ones.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        self.buffer.splice(..self.start, bytes.iter().copied());
        self.start = 0;
        self.taken = self.taken.saturating_sub(bytes.len() as u64);
    }

    /// Takes the zero bytes that come next; `left` is how much may still be unpacked.
    pub(super) fn skip_zeros(&mut self, left: &mut u64) -> io::Result<()> {
        loop {
            let next = self.fill_buf()?;
            let zeros = next.iter().position(|&byte| byte != 0).unwrap_or(next.len());
            let more = zeros > 0 && zeros == next.len();
            self.consume(zeros);
            spend(left, zeros)?;
            if !more {
                return Ok(());
            }
        }
    }
}

/// Counts bytes that were unpacked.
pub(super) fn spend(left: &mut u64, bytes: usize) -> io::Result<()> {
    *left = left.checked_sub(bytes as u64).ok_or_else(|| {
        let why = "it comes to more than is unpacked here, so its end was not looked at";
        io::Error::new(io::ErrorKind::QuotaExceeded, why)
    })?;
    Ok(())
}

impl Read for Input<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let next = self.fill_buf()?;
        let len = next.len().min(dst.len());
        dst[..len].copy_from_slice(&next[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)?;
        Ok(self.buffer.get(self.start..).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.start = (self.start + len).min(self.buffer.len());
        self.taken += len as u64;
    }
}
