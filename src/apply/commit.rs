//! Writing what was staged to the image, so that no crash leaves it half written.
//!
//! Order: log → log durable → space for the writes in place → trailer → log and its directory
//! durable → image written in place → image durable → log removed → directory durable. Whoever
//! finds a log with its trailer can finish the commit ([`replay`]); whoever finds one without knows
//! that the image is untouched.
//!
//! A full disk is found out before the trailer: by then the log is on the disk, and what is to be
//! written into holes of the image or behind its end has its space. Where the host's filesystem
//! cannot reserve (no `fallocate`), or writes every block to a new place (Btrfs, ZFS), a disk that
//! fills up meanwhile stops the commit half-way; once there is space, a recovery finishes it.

use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::redo::{self, Header, Log, Record, Writer};
use super::{ApplyError, LeftLog};
use crate::block::{Changes, Overlay, Piece, ReadBlocks};

/// How many bytes are copied at a time.
const CHUNK: usize = 1 << 20;

/// A log being read.
pub trait LogSource: Read + Seek {}

impl<T: Read + Seek> LogSource for T {}

/// What a commit does to the host: one image file and one log file beside it.
///
/// Nothing is durable until the matching sync returned; a crash may keep, lose or tear every
/// write that was not synced. Nothing but `sync_directory` makes the log's name or its removal
/// durable.
pub trait Host {
    /// The image as it is now.
    fn image(&self) -> io::Result<Arc<dyn ReadBlocks>>;

    /// Takes the space that writing these ranges of the image needs, where they are holes or lie
    /// behind its end; neither its content nor its length changes. Does nothing where the host
    /// cannot.
    fn reserve(&mut self, ranges: &[(u64, u64)]) -> io::Result<()>;

    /// Gives back what [`reserve`](Self::reserve) took, of an image that was not written since.
    fn give_back(&mut self) -> io::Result<()>;

    /// Sets the image's length; bytes gained read as zeroes.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Writes to the image.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes a range of the image read as zeroes, releasing its storage where possible; gives how
    /// many bytes of it held data. Bytes behind the image's end do not matter.
    fn punch(&mut self, at: u64, len: u64) -> io::Result<u64>;

    /// Makes the image durable.
    fn sync_image(&mut self) -> io::Result<()>;

    /// Makes the log, empty; `AlreadyExists` when there is one.
    fn create_log(&mut self) -> io::Result<()>;

    /// Adds to the log this host created.
    fn append_log(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the log's content durable.
    fn sync_log(&mut self) -> io::Result<()>;

    /// Opens the log to read it; `None` when there is none.
    fn open_log(&self) -> io::Result<Option<Box<dyn LogSource>>>;

    /// Where the log is, for messages.
    fn log_path(&self) -> &Path;

    /// Removes the log.
    fn remove_log(&mut self) -> io::Result<()>;

    /// Makes the log's existence, or its removal, durable.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// What a commit or a recovery wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The redo log's size in bytes.
    pub log_bytes: u64,
    /// Bytes written to the image.
    pub bytes: u64,
    /// Bytes of data that became holes (or zeroes, where the host makes no holes).
    pub punched: u64,
    /// Time taken to write the log and make it durable.
    pub logging: Duration,
    /// Time taken to write the image in place, make it durable and remove the log.
    pub writing: Duration,
}

/// Brings the host's image, which equals the overlay's base, to the overlay's content.
///
/// # Errors
/// [`ApplyError::RecoveryPending`] when there is a log already;
/// [`ApplyError::LogNotWritten`]: the image is untouched, and the log is gone or the error says so;
/// [`ApplyError::HalfWritten`]: the log is complete and stays, a recovery finishes the work;
/// [`ApplyError::LogNotRemoved`]: the image is done.
pub fn commit(host: &mut dyn Host, overlay: &Overlay) -> Result<Written, ApplyError> {
    let changes = overlay.changes();
    if changes.is_empty() {
        return Ok(Written::default());
    }
    let started = Instant::now();
    match host.create_log() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ApplyError::RecoveryPending);
        }
        other => other.map_err(|source| ApplyError::LogNotWritten { source, leftover: None })?,
    }
    let mut is_complete = false;
    let log_bytes = write_log(host, overlay, &changes, &mut is_complete).map_err(|source| {
        // Space that is not given back is worth no other error than the one that is told.
        let _ = host.give_back();
        let removed = host.remove_log().and_then(|()| host.sync_directory());
        let leftover = removed.err().map(|source| LeftLog { source, is_complete });
        ApplyError::LogNotWritten { source, leftover }
    })?;
    let logged = Instant::now();
    let mut written = Written { log_bytes, logging: logged - started, ..Written::default() };
    write_image(host, overlay, &changes, &mut written)
        .and_then(|()| host.sync_image())
        .map_err(|source| ApplyError::HalfWritten { source })?;
    remove(host)?;
    written.writing = logged.elapsed();
    Ok(written)
}

/// Writes the log and makes it durable; says when it has its trailer, whatever fails then.
fn write_log(
    host: &mut dyn Host,
    overlay: &Overlay,
    changes: &Changes,
    is_complete: &mut bool,
) -> io::Result<u64> {
    // Each list is gone before the next is made: there may be a quarter of a million ranges.
    let ranges = |which: fn(Piece) -> bool| -> Vec<(u64, u64)> {
        let pieces = changes.pieces.iter().filter(|(_, piece)| which(*piece));
        pieces.map(|(at, piece)| (*at, piece.len())).collect()
    };
    let zeroes = |&(_, piece): &(u64, Piece)| match piece {
        Piece::Zero(len) => len,
        Piece::Bytes(_) => 0,
    };
    let base = &**overlay.base();
    let header = Header {
        len_before: changes.base_len,
        len_after: changes.len,
        zeroed: changes.pieces.iter().map(zeroes).sum(),
        samples: redo::samples(base, &ranges(|_| true), changes.len)?,
    };
    let mut length = 0;
    let mut sink = |bytes: &[u8]| {
        length += bytes.len() as u64;
        host.append_log(bytes)
    };
    let mut log = Writer::new(&mut sink, &header)?;
    each_chunk(overlay, changes, &mut |record| match record {
        Record::Bytes { at, bytes } => log.bytes(base, at, bytes),
        Record::Zero { at, len } => log.zero(base, at, len),
    })?;
    let trailer = log.finish()?;
    host.sync_log()?;
    let written = ranges(|piece| matches!(piece, Piece::Bytes(_)));
    host.reserve(&written).map_err(|error| {
        let problem = format!("taking the space that the image will need: {error}");
        io::Error::new(error.kind(), problem)
    })?;
    host.append_log(&trailer)?;
    *is_complete = true;
    host.sync_log()?;
    host.sync_directory()?;
    Ok(length + trailer.len() as u64)
}

fn write_image(
    host: &mut dyn Host,
    overlay: &Overlay,
    changes: &Changes,
    written: &mut Written,
) -> io::Result<()> {
    if changes.len != changes.base_len {
        host.set_len(changes.len)?;
    }
    each_chunk(overlay, changes, &mut |record| write_record(host, record, written))
}

/// Shows every change in order, bytes in pieces of at most [`CHUNK`].
fn each_chunk(
    overlay: &Overlay,
    changes: &Changes,
    each: &mut dyn FnMut(Record<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    for &(start, piece) in &changes.pieces {
        match piece {
            Piece::Zero(len) => each(Record::Zero { at: start, len })?,
            Piece::Bytes(len) => {
                let mut at = start;
                let end = start + len;
                while at < end {
                    // Where the file ends until it grows, a sector may be cut in two.
                    let end = if at < changes.base_len { end.min(changes.base_len) } else { end };
                    buffer.resize((end - at).min(CHUNK as u64) as usize, 0);
                    overlay.read_at(at, &mut buffer)?;
                    each(Record::Bytes { at, bytes: &buffer })?;
                    at += buffer.len() as u64;
                }
            }
        }
    }
    Ok(())
}

fn write_record(host: &mut dyn Host, record: Record<'_>, written: &mut Written) -> io::Result<()> {
    match record {
        Record::Bytes { at, bytes } => {
            host.write_at(at, bytes)?;
            written.bytes += bytes.len() as u64;
        }
        Record::Zero { at, len } => written.punched += host.punch(at, len)?,
    }
    Ok(())
}

/// Does again everything a checked log says, and removes it. The image must be the log's.
///
/// # Errors
/// [`ApplyError::HalfWritten`] or [`ApplyError::LogNotRemoved`], as [`commit`].
pub fn replay<R: Read + Seek>(host: &mut dyn Host, mut log: Log<R>) -> Result<Written, ApplyError> {
    let started = Instant::now();
    let mut written = Written { log_bytes: log.length(), ..Written::default() };
    let mut run = || {
        let after = log.header().len_after;
        if host.image()?.len() != after {
            host.set_len(after)?;
        }
        while let Some(entry) = log.next().map_err(io::Error::other)? {
            write_record(host, entry.record, &mut written)?;
        }
        host.sync_image()
    };
    run().map_err(|source| ApplyError::HalfWritten { source })?;
    remove(host)?;
    written.writing = started.elapsed();
    Ok(written)
}

/// Removes the log of a finished commit.
fn remove(host: &mut dyn Host) -> Result<(), ApplyError> {
    host.remove_log()
        .and_then(|()| host.sync_directory())
        .map_err(|source| ApplyError::LogNotRemoved { source })
}
