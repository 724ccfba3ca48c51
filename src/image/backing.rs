//! Backing files: which of them an image may make us open.
//!
//! An image names its backing file itself, and a guest with a raw disk can write a whole qcow2
//! header into it. So the name is a claim: the file is opened only from the image's own folder,
//! or with the caller's leave, and its format is only what the header says.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{ffi::OsStr, fs};

use crate::block::{HostFile, ReadBlocks};

use super::qcow2::{Backing, Qcow2};
use super::{Access, ImageError, in_use};

/// How long a chain of backing files may be. QEMU itself warns from about 200 on; real chains are
/// a handful.
const DEEPEST_CHAIN: usize = 32;

/// The files of a chain opened so far.
pub(super) struct Chain {
    /// The backing files, nearest first.
    pub(super) files: Vec<PathBuf>,
    seen: Vec<(u64, u64)>,
    folder: PathBuf,
    anywhere: bool,
}

impl Chain {
    /// A chain that starts at the image `path`; with `anywhere`, its backing files may lie outside
    /// the image's folder.
    pub(super) fn new(path: &Path, anywhere: bool) -> Result<Self, ImageError> {
        let real = fs::canonicalize(path).map_err(|error| ImageError::io(path, "find", error))?;
        let metadata =
            fs::metadata(&real).map_err(|error| ImageError::io(&real, "look at", error))?;
        let folder = real.parent().unwrap_or(Path::new("/")).to_owned();
        let seen = vec![(metadata.dev(), metadata.ino())];
        Ok(Self { files: Vec::new(), seen, folder, anywhere })
    }

    /// Opens what the image at `path` names as its backing file, and what that one names.
    pub(super) fn open(
        &mut self,
        path: &Path,
        backing: &Backing,
    ) -> Result<Arc<dyn ReadBlocks>, ImageError> {
        let name = OsStr::from_bytes(&backing.name);
        if self.files.len() >= DEEPEST_CHAIN {
            return Err(ImageError::unsupported(
                format!("a chain of more than {DEEPEST_CHAIN} backing files"),
                "flatten it with qemu-img convert",
            ));
        }
        let format = match backing.format.as_deref() {
            Some(b"qcow2") => true,
            Some(b"raw" | b"file" | b"host_device") => false,
            Some(other) => {
                return Err(ImageError::unsupported(
                    format!("a backing file of format '{}'", String::from_utf8_lossy(other)),
                    "flatten the image with qemu-img convert",
                ));
            }
            // Guessing would let whoever wrote the backing file's content choose.
            None => {
                return Err(ImageError::unsupported(
                    format!("backing file '{}' without its format", name.to_string_lossy()),
                    "name the format with qemu-img rebase -u -b FILE -F FORMAT IMAGE",
                ));
            }
        };
        let real = self.resolve(path, name)?;
        let metadata =
            fs::metadata(&real).map_err(|error| ImageError::io(&real, "look at", error))?;
        let identity = (metadata.dev(), metadata.ino());
        if self.seen.contains(&identity) {
            return Err(ImageError::corrupt(
                "backing file name",
                0,
                format!("the chain of backing files comes back to {}", real.display()),
            ));
        }
        self.seen.push(identity);
        let file = in_use::open(&real, Access::Audit, "open the backing file")?;
        let host: Arc<dyn ReadBlocks> = Arc::new(
            HostFile::from_file(file)
                .map_err(|error| ImageError::caller(&real, error.to_string()))?,
        );
        self.files.push(real.clone());
        if !format {
            return Ok(host);
        }
        let header = super::qcow2::Header::read(&*host)?;
        let below = match &header.backing {
            Some(next) => Some(self.open(&real, next)?),
            None => None,
        };
        Ok(Arc::new(Qcow2::open(host, header, below)?))
    }

    /// The real path of a backing file, if it may be opened.
    fn resolve(&self, image: &Path, name: &OsStr) -> Result<PathBuf, ImageError> {
        let bytes = name.as_bytes();
        // QEMU takes what stands before a colon as a protocol, unless a slash comes first.
        let protocol = bytes
            .iter()
            .position(|byte| *byte == b':' || *byte == b'/')
            .is_some_and(|at| bytes[at] == b':');
        if protocol {
            return Err(ImageError::unsupported(
                format!("backing file '{}', which is not a file name", name.to_string_lossy()),
                "flatten the image with qemu-img convert",
            ));
        }
        let real_image =
            fs::canonicalize(image).map_err(|error| ImageError::io(image, "find", error))?;
        let named = real_image.parent().unwrap_or(Path::new("/")).join(name);
        let real = fs::canonicalize(&named)
            .map_err(|error| ImageError::io(&named, "find the backing file", error))?;
        // An image in the root folder does not open the whole host.
        let inside = real.parent() == Some(&self.folder)
            || (self.folder.parent().is_some() && real.starts_with(&self.folder));
        if !self.anywhere && !inside {
            return Err(ImageError::caller(
                image,
                format!(
                    "its backing file {} lies outside the image's folder; if you trust the image, \
                     say --allow-backing",
                    real.display()
                ),
            ));
        }
        let metadata =
            fs::metadata(&real).map_err(|error| ImageError::io(&real, "look at", error))?;
        if !metadata.is_file() && !self.anywhere {
            return Err(ImageError::caller(&real, "the backing file is not a regular file"));
        }
        Ok(real)
    }
}
