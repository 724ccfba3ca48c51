//! What a file is going to hold: the bytes, or where they are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::content::as_text_or_base64;
use crate::digest::Digest;
use crate::fs::{FsError, source_of};

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
}

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
        }
    }

    /// Where its bytes come from, in order.
    ///
    /// # Errors
    /// [`FsError::Source`] where it is not there, also later, when the last byte is read and it was
    /// another content.
    pub fn source(&self) -> Result<ContentSource<'_>, FsError> {
        match self {
            Self::Inline(bytes) => Ok(Box::new(source_of(bytes))),
            Self::Host(host) => host.source(),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub fn bytes(&self) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX)];
        self.source()?(&mut bytes)?;
        Ok(bytes)
    }
}

impl HostContent {
    /// What a whole file holds now.
    ///
    /// # Errors
    /// What the host says, and the file's name.
    pub fn of(file: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", file.display());
        let mut opened = open(file).map_err(failed)?;
        let (length, digest) = digest_of(&mut opened, u64::MAX).map_err(failed)?;
        let file = std::path::absolute(file).map_err(failed)?;
        Ok(Self { file, at: 0, length, digest })
    }

    fn source(&self) -> Result<ContentSource<'_>, FsError> {
        let mut file = open(&self.file).map_err(|error| self.failed(error))?;
        file.seek(SeekFrom::Start(self.at)).map_err(|error| self.failed(error))?;
        let mut hasher = blake3::Hasher::new();
        let mut left = self.length;
        Ok(Box::new(move |dst| {
            if let Err(error) = file.read_exact(dst) {
                return Err(match error.kind() {
                    io::ErrorKind::UnexpectedEof => self.failed(CHANGED),
                    _ => self.failed(error),
                });
            }
            hasher.update(dst);
            left = left.saturating_sub(dst.len() as u64);
            if left == 0 && Digest::from(hasher.finalize()) != self.digest {
                return Err(self.failed(CHANGED));
            }
            Ok(())
        }))
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
pub(super) fn digest_of(from: &mut dyn io::Read, limit: u64) -> io::Result<(u64, Digest)> {
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
        let content = Content::Host(HostContent::of(&file).unwrap());
        assert_eq!((content.len(), content.digest()), (200_000, Digest::of(&bytes)));
        assert_eq!(content.bytes().unwrap(), bytes);
        let json = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content);
        // What was added behind is not asked for.
        fs::write(&file, [&bytes[..], b"more"].concat()).unwrap();
        assert_eq!(content.bytes().unwrap(), bytes);
        let mut other = bytes;
        other[199_999] ^= 1;
        for (now, said) in [(&other[..], "changed since"), (&other[..10], "changed since")] {
            fs::write(&file, now).unwrap();
            let error = content.bytes().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("/file"), "{error}");
        }
        fs::remove_file(&file).unwrap();
        assert!(content.bytes().unwrap_err().to_string().contains("/file"));
        fs::create_dir(&file).unwrap();
        assert!(content.bytes().unwrap_err().to_string().contains("not a regular file"));
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
        ] {
            let json = serde_json::to_string(&content).unwrap();
            assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content, "{json}");
        }
        let relative = format!("{{\"host-file\":\"a\",\"length\":1,\"digest\":\"{digest}\"}}");
        assert!(serde_json::from_str::<Content>(&relative).is_err());
    }
}
