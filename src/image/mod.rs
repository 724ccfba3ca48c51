//! Disk image formats: a driver each.
//!
//! ```text
//! Image::open ─▶ Image ── disk() ─▶ the guest's disk, read only        (audit stops here)
//!                  └─ stage() ─▶ StagedImage ── disk() ─▶ the guest's disk, editable
//!                                    └─ finish() ─▶ Arc<Overlay>: the file's changes
//! ```
//! The overlay lies on the image *file*, below the format: format tables, filesystem metadata and
//! data are one set of changes, and [`crate::block::overlay`] says how to commit it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::{HostFile, MOST_HELD, Overlay, ReadBlocks, WriteBlocks};

mod backing;
mod error;
mod export;
mod in_use;
mod lock;
mod loop_device;
mod new_file;
mod probe;
mod qcow2;
mod same_file;
mod sha256;

pub use error::ImageError;
pub use export::{ExportOptions, Exported, export, folder_of};
pub use in_use::refuse_to_replace_in_use;
pub use same_file::is_same_file;
pub use sha256::sha256;

use backing::Chain;
use qcow2::{Header, Independent, Qcow2, Qcow2Edit};

/// A disk image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The guest's disk, byte for byte.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(format!("'{other}' is not a format that can be opened (raw, qcow2)")),
        }
    }
}

/// What the program can do with a format.
#[derive(Clone, Copy, Debug)]
pub struct ImageDriver {
    /// The format.
    pub format: Format,
    /// Which of its features are understood, in a line.
    pub summary: &'static str,
    /// Its guest's disk can be read.
    pub read: bool,
    /// It can be changed in place.
    pub edit: bool,
    /// A new image can be written ([`export`]).
    pub create: bool,
}

/// Every format that can be opened.
pub const DRIVERS: &[ImageDriver] = &[
    ImageDriver {
        format: Format::Raw,
        summary: "sparse files kept sparse",
        read: true,
        edit: true,
        create: true,
    },
    ImageDriver {
        format: Format::Qcow2,
        summary: "versions 2 and 3, clusters of 512 B to 2 MiB, zlib-compressed clusters, \
                  extended L2 entries, backing files, internal snapshots kept; not: encryption, \
                  zstd, external data files",
        read: true,
        edit: true,
        create: true,
    },
];

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read: others may read as well, and nobody may write. A block device is nobody else's.
    Audit,
    /// To be changed in place: nobody else may have it open.
    Seal,
}

/// How to open an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// The format; without it, it is told by the file's content.
    pub format: Option<Format>,
    /// Backing files may lie outside the image's own folder.
    pub allow_backing: bool,
}

/// What to do about an encrypted disk or volume, none of which is opened here.
pub const DECRYPT: &str = "open the encrypted volume yourself (cryptsetup open) and seal the \
                           mapped device with --output, or seal the image before it is encrypted";

/// A kind of content that an edit of the guest's disk does not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResidueKind {
    /// Internal snapshots.
    Snapshots,
    /// A backing file.
    BackingFile,
    /// Persistent dirty bitmaps.
    Bitmaps,
}

/// Content that an edit of the guest's disk does not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residue {
    /// What kind it is.
    pub kind: ResidueKind,
    /// What it is, in a sentence for a report.
    pub text: String,
}

/// An image's file, opened and locked, of which nothing was read yet.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    access: Access,
    host: Arc<HostFile>,
    allocated: u64,
}

/// An opened image, locked against others for as long as it lives.
pub struct Image {
    path: PathBuf,
    format: Format,
    access: Access,
    file: Arc<HostFile>,
    host: Arc<dyn ReadBlocks>,
    disk: Arc<dyn ReadBlocks>,
    header: Option<Header>,
    backing: Option<Arc<dyn ReadBlocks>>,
    backing_files: Vec<PathBuf>,
    residue: Vec<Residue>,
    allocated: u64,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}, {}, {:?})", self.path.display(), self.format, self.access)
    }
}

impl Image {
    /// Opens the image at `path`, and locks it.
    ///
    /// # Errors
    /// As [`ImageFile::open`] and [`ImageFile::image`].
    pub fn open(path: &Path, options: &OpenOptions, access: Access) -> Result<Self, ImageError> {
        let file = ImageFile::open(path, access)?;
        let host = file.host.clone();
        file.image(options, host)
    }
}

impl ImageFile {
    /// Opens and locks the file at `path`.
    ///
    /// # Errors
    /// [`ImageError::Caller`] when it is no file that can be opened so, [`ImageError::InUse`] when
    /// another process uses it.
    pub fn open(path: &Path, access: Access) -> Result<Self, ImageError> {
        // Looked at before it is opened, which alone would hang on a FIFO without a writer.
        let metadata = path.metadata().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ImageError::caller(path, "no such file"),
            _ => ImageError::io(path, "look at", error),
        })?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(ImageError::caller(path, "it is a directory, not a disk image"));
        }
        if !kind.is_file() && !kind.is_block_device() {
            return Err(ImageError::caller(path, "it is not a regular file or a block device"));
        }
        if kind.is_block_device() && access == Access::Seal {
            return Err(ImageError::unsupported(
                format!("sealing the block device {} in place", path.display()),
                "write the sealed image to a file with --output",
            ));
        }
        let file = in_use::open(path, access, "open")?;
        let host = Arc::new(
            HostFile::from_file(file)
                .map_err(|error| ImageError::caller(path, error.to_string()))?,
        );
        if host.is_empty() {
            return Err(ImageError::caller(path, "it is empty"));
        }
        Ok(Self { path: path.to_owned(), access, host, allocated: metadata.blocks() * 512 })
    }

    /// The open, locked file.
    pub fn file(&self) -> &File {
        self.host.file()
    }

    /// The file's content.
    pub fn host(&self) -> Arc<dyn ReadBlocks> {
        self.host.clone()
    }

    /// The image in this file, whose content is taken to be that of `host`.
    ///
    /// # Errors
    /// [`ImageError::Unsupported`] and [`ImageError::Corrupt`] by its content;
    /// [`ImageError::Caller`] about its backing files.
    pub fn image(
        self,
        options: &OpenOptions,
        host: Arc<dyn ReadBlocks>,
    ) -> Result<Image, ImageError> {
        let format = match options.format {
            Some(format) => format,
            None => probe::probe(&*host)?,
        };
        let mut image = Image {
            path: self.path,
            format,
            access: self.access,
            file: self.host,
            disk: host.clone(),
            host,
            header: None,
            backing: None,
            backing_files: Vec::new(),
            residue: Vec::new(),
            allocated: self.allocated,
        };
        if format == Format::Qcow2 {
            image.open_qcow2(options)?;
        }
        Ok(image)
    }
}

impl Image {
    fn open_qcow2(&mut self, options: &OpenOptions) -> Result<(), ImageError> {
        let header = Header::read(&*self.host)?;
        if let Some(named) = &header.backing {
            let mut chain = Chain::new(&self.path, options.allow_backing)?;
            self.backing = Some(chain.open(&self.path, named)?);
            let files: Vec<String> =
                chain.files.iter().map(|file| file.display().to_string()).collect();
            self.residue.push(Residue {
                kind: ResidueKind::BackingFile,
                text: format!("the backing file keeps its content: {}", files.join(", ")),
            });
            self.backing_files = chain.files;
        }
        let disk = Qcow2::open(self.host.clone(), header.clone(), self.backing.clone())?;
        self.residue.extend(disk.residue()?);
        self.disk = Arc::new(disk);
        self.header = Some(header);
        Ok(())
    }

    /// The image's format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of the guest's disk in bytes.
    pub fn virtual_size(&self) -> u64 {
        self.disk.len()
    }

    /// The image file's size in bytes.
    pub fn file_size(&self) -> u64 {
        self.host.len()
    }

    /// What the image file takes on the host, in bytes, when it was opened.
    pub fn allocated_size(&self) -> u64 {
        self.allocated
    }

    /// Where the image is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that the image's file is in, symlinks resolved: where its redo log stands.
    pub fn folder(&self) -> PathBuf {
        folder_of(&self.path.canonicalize().unwrap_or_else(|_| self.path.clone())).to_owned()
    }

    /// The files of its backing chain, nearest first.
    pub fn backing_files(&self) -> &[PathBuf] {
        &self.backing_files
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The image file, byte for byte.
    pub fn host(&self) -> Arc<dyn ReadBlocks> {
        self.host.clone()
    }

    /// The open, locked file: writable when it was opened with [`Access::Seal`].
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// The guest's disk.
    pub fn disk(&self) -> Arc<dyn ReadBlocks> {
        self.disk.clone()
    }

    /// Content that an edit of the guest's disk does not reach.
    pub fn residue(&self) -> Vec<Residue> {
        self.residue.clone()
    }

    /// Opens the image for editing, on an overlay over its file. Host clusters that nothing uses
    /// are wiped when the edit is finished.
    ///
    /// # Errors
    /// [`ImageError::Unsupported`] and [`ImageError::Corrupt`] where an edit would not be safe.
    pub fn stage(&self) -> Result<StagedImage, ImageError> {
        self.stage_with(false, &self.folder())
    }

    /// As [`stage`](Self::stage); with `keep_free_space`, host clusters that were free already are
    /// left as they are, and only what the edit itself gives up is wiped. What memory has no room
    /// for is held in a temporary file in `folder`.
    ///
    /// # Errors
    /// As [`stage`](Self::stage).
    pub fn stage_with(
        &self,
        keep_free_space: bool,
        folder: &Path,
    ) -> Result<StagedImage, ImageError> {
        let overlay = Arc::new(Overlay::spilling(self.host.clone(), folder, MOST_HELD));
        let qcow2 = match &self.header {
            None => None,
            Some(header) => {
                let backing = self.backing.clone();
                let edit =
                    Qcow2Edit::open(overlay.clone(), header.clone(), backing, keep_free_space)?;
                Some(Arc::new(edit))
            }
        };
        Ok(StagedImage { overlay, qcow2 })
    }

    /// Opens the guest's disk in `host`, changed content of this image's file, from nothing but
    /// its bytes: what a committed overlay will be read as. Every reference in a qcow2 image is
    /// held against its refcounts first; the disk is then read through `imago`, an implementation
    /// that is not ours, where that one knows the image's features.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where the content is not an image of this format any more, or its
    /// tables contradict each other.
    pub fn reopen(&self, host: Arc<dyn ReadBlocks>) -> Result<Arc<dyn ReadBlocks>, ImageError> {
        if self.format == Format::Raw {
            return Ok(host);
        }
        let header = Header::read(&*host)?;
        let independent = Independent::can_read(&header);
        let disk = Qcow2::open(host.clone(), header, self.backing.clone())?;
        disk.check()?;
        if !independent {
            return Ok(Arc::new(disk));
        }
        match Independent::open(host, self.backing.clone()) {
            Ok(disk) => Ok(Arc::new(disk)),
            // What it would not open before the edit either says nothing about the edit.
            Err(_) if Independent::open(self.host.clone(), self.backing.clone()).is_err() => {
                Ok(Arc::new(disk))
            }
            Err(error) => Err(ImageError::corrupt("qcow2 image", 0, error.to_string())),
        }
    }
}

/// An image opened for editing; nothing reaches its file.
#[derive(Clone)]
pub struct StagedImage {
    overlay: Arc<Overlay>,
    qcow2: Option<Arc<Qcow2Edit>>,
}

impl StagedImage {
    /// The guest's disk. Once the edit is finished, a qcow2 disk can only be read.
    pub fn disk(&self) -> Arc<dyn WriteBlocks> {
        match &self.qcow2 {
            Some(edit) => edit.clone(),
            None => self.overlay.clone(),
        }
    }

    /// Ends the edit: brings the format's tables into the overlay, wipes the host clusters that
    /// are free, cuts the file after the last one in use, and gives the overlay to commit.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where the image contradicts itself; what reading the file says.
    pub fn finish(self) -> Result<Arc<Overlay>, ImageError> {
        if let Some(edit) = &self.qcow2 {
            edit.finish()?;
        }
        Ok(self.overlay)
    }
}
