//! Files of the host that the caller names: plans, operations, seeds.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a regular file of at most `limit` bytes; a symlink to one is one.
///
/// # Errors
/// What the host says; anything but a regular file (a pipe would wait for ever, a device may never
/// end); a longer file; text that is not UTF-8.
pub fn read(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_bytes(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text: no valid UTF-8"))
}

/// The same, whatever is in it.
///
/// # Errors
/// Those of [`read`], but for text that is none.
pub fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe waits for its writer.
    if !fs::metadata(path).map_err(|error| absent(error, "no such file"))?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    let read = File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if read as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes, which is the limit")));
    }
    Ok(content)
}

/// An error in `words` where the host says that nothing is there.
pub fn absent(error: io::Error, words: &'static str) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, words),
        _ => error,
    }
}
