//! What a file is going to hold: the bytes, or where they are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::moves::node_at;
use crate::content::as_text_or_base64;
use crate::digest::Digest;
use crate::fs::{FsError, ReadFs, source_of};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// What a file is going to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// These bytes.
    Inline(#[serde(with = "as_text_or_base64")] Vec<u8>),
    /// What a file of the host holds.
    Host(HostContent),
    /// What a file of the guest held before the run.
    Guest(GuestContent),
}

/// What a file of a guest holds before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestContent {
    /// The volume of its filesystem.
    pub volume: VolumeId,
    /// The path within that filesystem.
    #[serde(rename = "guest-file")]
    pub file: GuestPath,
    /// How many bytes.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
}

/// Gives a volume's filesystem as it is before anything is changed.
pub type Originals<'a> = &'a dyn Fn(&VolumeId) -> Option<Arc<dyn ReadFs>>;

/// A stretch of a host's file, which is read when the plan is applied and has to hold then what it
/// held when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostContent {
    /// The file, by an absolute path.
    #[serde(rename = "host-file", serialize_with = "write_path", deserialize_with = "read_path")]
    pub file: PathBuf,
    /// Where in it, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
    /// How many bytes.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
}

/// Gives the next bytes of a content.
pub type ContentSource<'a> = Box<dyn FnMut(&mut [u8]) -> Result<(), FsError> + 'a>;

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Inline(bytes)
    }
}

impl Content {
    /// How many bytes it is.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Host(host) => host.length,
            Self::Guest(guest) => guest.length,
        }
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Inline(bytes) => Digest::of(bytes),
            Self::Host(host) => host.digest,
            Self::Guest(guest) => guest.digest,
        }
    }

    /// Where its bytes come from, in order.
    ///
    /// # Errors
    /// [`FsError::Source`] where it is not there, also later, when the last byte is read and it was
    /// another content.
    pub fn source(&self, originals: Originals<'_>) -> Result<ContentSource<'_>, FsError> {
        match self {
            Self::Inline(bytes) => Ok(Box::new(source_of(bytes))),
            Self::Host(host) => host.source(),
            Self::Guest(guest) => guest.source(originals),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn bytes(&self, originals: Originals<'_>) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX)];
        self.source(originals)?(&mut bytes)?;
        Ok(bytes)
    }
}

impl GuestContent {
    fn source(&self, originals: Originals<'_>) -> Result<ContentSource<'_>, FsError> {
        let fs = originals(&self.volume).ok_or_else(|| self.failed("it is not opened"))?;
        let node = node_at(&*fs, &self.file)?.ok_or_else(|| self.failed(CHANGED))?;
        let mut at = 0;
        Ok(checked(
            self.length,
            self.digest,
            move |dst| match fs.read_at(node, at, dst)? {
                read if read == dst.len() => {
                    at += read as u64;
                    Ok(())
                }
                _ => Err(self.failed(CHANGED)),
            },
            || self.failed(CHANGED),
        ))
    }

    fn failed(&self, why: &str) -> FsError {
        FsError::Source(format!("{} on {}: {why}", self.file, self.volume))
    }
}

/// A source whose bytes have to be these, once the last one is given.
fn checked<'a>(
    length: u64,
    digest: Digest,
    mut source: impl FnMut(&mut [u8]) -> Result<(), FsError> + 'a,
    changed: impl Fn() -> FsError + 'a,
) -> ContentSource<'a> {
    let mut hasher = blake3::Hasher::new();
    let mut left = length;
    Box::new(move |dst| {
        source(dst)?;
        hasher.update(dst);
        left = left.saturating_sub(dst.len() as u64);
        match left == 0 && Digest::from(hasher.finalize()) != digest {
            true => Err(changed()),
            false => Ok(()),
        }
    })
}

impl HostContent {
    /// What a file holds now: all of it, or of a `part` where it begins and how long it is.
    ///
    /// # Errors
    /// What the host says, or that the file ends before, and its name.
    pub fn of(file: &Path, part: Option<(u64, u64)>) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", file.display());
        let (at, wanted) = part.unwrap_or((0, u64::MAX));
        let mut opened = open(file).map_err(failed)?;
        opened.seek(SeekFrom::Start(at)).map_err(failed)?;
        let (length, digest) = digest_of(&mut opened, wanted).map_err(failed)?;
        if part.is_some() && length != wanted {
            return Err(failed(io::Error::other("it became shorter while it was read")));
        }
        let file = std::path::absolute(file).map_err(failed)?;
        Ok(Self { file, at, length, digest })
    }

    fn source(&self) -> Result<ContentSource<'_>, FsError> {
        let mut file = open(&self.file).map_err(|error| self.failed(error))?;
        // What begins the file is all of it: what a tar file holds has a header before.
        if self.at == 0 && file.metadata().is_ok_and(|now| now.len() != self.length) {
            return Err(self.failed(CHANGED));
        }
        file.seek(SeekFrom::Start(self.at)).map_err(|error| self.failed(error))?;
        let read = move |dst: &mut [u8]| {
            file.read_exact(dst).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.failed(CHANGED),
                _ => self.failed(error),
            })
        };
        Ok(checked(self.length, self.digest, read, || self.failed(CHANGED)))
    }

    fn failed(&self, why: impl fmt::Display) -> FsError {
        FsError::Source(format!("{} of the host: {why}", self.file.display()))
    }
}

/// What is wrong with a file that holds something else by now.
const CHANGED: &str = "it changed since the plan was made; plan again";

/// Opens a regular file: a pipe would wait for ever, a device may never end.
///
/// # Errors
/// What the host says; anything but a regular file.
pub(super) fn open(file: &Path) -> io::Result<File> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(file)
}

/// How many bytes, of `limit` at most, a reader gives, and their digest.
///
/// # Errors
/// What the host says.
fn digest_of(from: &mut dyn io::Read, limit: u64) -> io::Result<(u64, Digest)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut from = from.take(limit);
    let mut length = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok((length, hasher.finalize().into())),
            Ok(read) => {
                hasher.update(&piece[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn write_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    as_text_or_base64::serialize(path.as_os_str().as_bytes(), serializer)
}

fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let bytes = as_text_or_base64::deserialize(deserializer)?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    match path.is_absolute() {
        true => Ok(path),
        false => Err(serde::de::Error::custom("a file of the host without its absolute path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_what_it_held_or_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let bytes: Vec<u8> = (0..200_000_u32).map(|it| (it % 251) as u8).collect();
        fs::write(&file, &bytes).unwrap();
        let content = Content::Host(HostContent::of(&file, None).unwrap());
        assert_eq!((content.len(), content.digest()), (200_000, Digest::of(&bytes)));
        assert_eq!(content.bytes(&|_| None).unwrap(), bytes);
        let json = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content);
        let longer = [&bytes[..], b"more"].concat();
        let mut other = bytes;
        other[199_999] ^= 1;
        for now in [&other[..], &other[..10], &longer] {
            fs::write(&file, now).unwrap();
            let error = content.bytes(&|_| None).unwrap_err().to_string();
            assert!(error.contains("changed since") && error.contains("/file"), "{error}");
        }
        fs::remove_file(&file).unwrap();
        assert!(content.bytes(&|_| None).unwrap_err().to_string().contains("/file"));
        fs::create_dir(&file).unwrap();
        assert!(content.bytes(&|_| None).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn every_form_is_read_as_it_was_written() {
        let digest = Digest::of(b"x");
        let host = |file: &[u8]| {
            let file = PathBuf::from(std::ffi::OsString::from_vec(file.to_vec()));
            Content::Host(HostContent { file, at: 7, length: 9, digest })
        };
        for content in [
            Content::Inline(b"text".to_vec()),
            Content::Inline(vec![0xff, 0]),
            host(b"/a"),
            host(b"/\xff"),
            Content::Guest(GuestContent {
                volume: VolumeId("part1".into()),
                file: "/a".parse().unwrap(),
                length: 9,
                digest,
            }),
        ] {
            let json = serde_json::to_string(&content).unwrap();
            assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content, "{json}");
        }
        let relative = format!("{{\"host-file\":\"a\",\"length\":1,\"digest\":\"{digest}\"}}");
        assert!(serde_json::from_str::<Content>(&relative).is_err());
    }
}
