//! The independent reader: the `ext4-view` crate.
//!
//! It cannot tell a hole from block 0 in files without extents, so the content it gives of a
//! sparse one on ext2 and ext3 is not to be trusted.

use std::error::Error;
use std::sync::Arc;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Path};

use super::superblock::Superblock;
use crate::block::ReadBlocks;
use crate::fs::{FsError, Judge, Judged, Kind};
use crate::path::GuestPath;

/// Content is read in pieces of this size.
const PIECE: usize = 64 << 10;

struct Device(Arc<dyn ReadBlocks>);

impl Ext4Read for Device {
    fn read(
        &mut self,
        start: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.0.read_at(start, dst)?)
    }
}

struct View(Ext4);

/// The most names that it takes in a path.
const MOST_NAMES: usize = 1000;

/// `i_checksum_hi` ends here: ext4-view takes an inode without it for a damaged one.
const CHECKED_INODE: u16 = 0x84;

/// Opens a filesystem with `ext4-view`.
///
/// # Errors
/// `Unsupported` for what it is known not to read; what it says.
pub fn judge(device: Arc<dyn ReadBlocks>) -> Result<Box<dyn Judge>, FsError> {
    let superblock = Superblock::read(&*device)?;
    if superblock.metadata_csum() && superblock.inode_size() < CHECKED_INODE {
        return Err(FsError::unsupported(format!(
            "{}-byte inodes with checksums",
            superblock.inode_size()
        )));
    }
    let view = Ext4::load(Box::new(Device(device))).map_err(|error| match error {
        Ext4Error::Incompatible(what) => FsError::unsupported(format!("it: {what}")),
        error => told("superblock", error),
    })?;
    Ok(Box::new(View(view)))
}

impl Judge for View {
    fn stat(&self, path: &GuestPath) -> Result<Option<Judged>, FsError> {
        let bytes = path.to_bytes();
        let metadata = match self.0.symlink_metadata(as_path(&bytes)?) {
            Ok(metadata) => metadata,
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => return Ok(None),
            Err(error) => return Err(told(path, error)),
        };
        Ok(Some(Judged {
            kind: Some(match metadata.file_type() {
                FileType::Regular => Kind::File,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Symlink,
                FileType::BlockDevice => Kind::BlockDevice,
                FileType::CharacterDevice => Kind::CharDevice,
                FileType::Fifo => Kind::Fifo,
                FileType::Socket => Kind::Socket,
            }),
            mode: Some(metadata.mode() & 0o7777),
            owner: Some((metadata.uid(), metadata.gid())),
            size: metadata.len(),
        }))
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError> {
        let bytes = dir.to_bytes();
        let mut names = Vec::new();
        for entry in self.0.read_dir(as_path(&bytes)?).map_err(|error| told(dir, error))? {
            let entry = entry.map_err(|error| told(dir, error))?;
            let name = entry.file_name();
            let name: &[u8] = name.as_ref();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    fn read(&self, file: &GuestPath, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError> {
        let bytes = file.to_bytes();
        let mut open = self.0.open(as_path(&bytes)?).map_err(|error| told(file, error))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = open.read_bytes(&mut piece).map_err(|error| told(file, error))?;
            match piece.get(..read) {
                None | Some([]) => return Ok(()),
                Some(bytes) => each(bytes),
            }
        }
    }

    fn link_target(&self, link: &GuestPath) -> Result<Vec<u8>, FsError> {
        let bytes = link.to_bytes();
        let target = self.0.read_link(as_path(&bytes)?).map_err(|error| match &error {
            // A target may be any text; it takes one with a name of over 255 bytes for corrupt.
            Ext4Error::Corrupt(corrupt) if corrupt.to_string().contains("invalid symlink path") => {
                FsError::unsupported(format!("ext4-view: {link}: {corrupt}"))
            }
            _ => told(link, error),
        })?;
        let target: &[u8] = target.as_ref();
        Ok(target.to_vec())
    }
}

fn as_path(bytes: &[u8]) -> Result<Path<'_>, FsError> {
    // It would look a thousand of them up before it says so.
    if bytes.iter().filter(|&&byte| byte == b'/').count() > MOST_NAMES {
        return Err(FsError::unsupported(format!("ext4-view: more than {MOST_NAMES} names")));
    }
    Path::try_from(bytes).map_err(|error| FsError::unsupported(format!("ext4-view: {error}")))
}

fn told(at: impl std::fmt::Display, error: Ext4Error) -> FsError {
    match error {
        Ext4Error::NotFound => FsError::NotFound,
        Ext4Error::NotADirectory => FsError::NotADirectory,
        Ext4Error::IsADirectory => FsError::IsADirectory,
        Ext4Error::Corrupt(corrupt) => FsError::corrupt("filesystem (ext4-view)", at, corrupt),
        other => FsError::unsupported(format!("ext4-view: {at}: {other}")),
    }
}
