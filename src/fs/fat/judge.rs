//! The `fatfs` crate as judge: a reader that we did not write, opened cold.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::check;
use super::geometry::{Geometry, Width};
use super::name;
use super::reader::Fat;
use crate::block::ReadBlocks;
use crate::fs::{Corrupt, FsError, Judge, Judged, Kind, Node, ReadFs, Stat};
use crate::path::GuestPath;

/// What `fatfs` reads: a position on the device. It never has a reason to write, and it reads a
/// field at a time: so a block is held.
struct Stream {
    device: Arc<dyn ReadBlocks>,
    at: u64,
    held_at: u64,
    held: Vec<u8>,
}

impl Stream {
    const BLOCK: u64 = 4096;

    fn new(device: Arc<dyn ReadBlocks>) -> Self {
        Self { device, at: 0, held_at: 0, held: Vec::new() }
    }
}

impl Read for Stream {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let left = self.device.len().saturating_sub(self.at);
        let start = self.at / Self::BLOCK * Self::BLOCK;
        let within = usize::try_from(self.at - start).unwrap_or_default();
        if left == 0 || dst.is_empty() {
            return Ok(0);
        }
        if self.held.is_empty() || self.held_at != start {
            let len = (self.device.len() - start).min(Self::BLOCK);
            self.held.resize(usize::try_from(len).unwrap_or_default(), 0);
            self.held_at = start;
            if let Err(error) = self.device.read_at(start, &mut self.held) {
                self.held.clear();
                return Err(error.into());
            }
        }
        let from = self.held.get(within..).unwrap_or_default();
        let len = from.len().min(dst.len());
        dst[..len].copy_from_slice(&from[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.device.len().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Write for Stream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The code page that our reader takes too.
#[derive(Debug)]
struct CodePage;

impl fatfs::OemCpConverter for CodePage {
    fn decode(&self, byte: u8) -> char {
        name::decode(byte)
    }

    fn encode(&self, c: char) -> Option<u8> {
        name::encode(c)
    }
}

static CODE_PAGE: CodePage = CodePage;

type Dir<'a> = fatfs::Dir<'a, Stream>;
type Entry<'a> = fatfs::DirEntry<'a, Stream>;

struct FatFs(fatfs::FileSystem<Stream>);

/// Opens the judge. `fatfs` follows chains without a bound and adds without a check, so what it is
/// given is looked through first.
///
/// It refuses FAT32 with fewer clusters than the specification asks for, which `mkfs.vfat` makes
/// all the same and firmware and kernels read: there our own reader, opened cold, has to do.
pub(super) fn open(device: Arc<dyn ReadBlocks>) -> Result<Box<dyn Judge>, FsError> {
    let fat = Fat::open(Arc::clone(&device))?;
    let findings = check::check(&fat)?;
    if let Some(problem) = findings.damage.into_iter().next() {
        let at = "the whole filesystem".to_owned();
        return Err(FsError::Corrupt(Corrupt { structure: "FAT filesystem", at, problem }));
    }
    if !is_for_fatfs(&fat.geometry) {
        return Ok(Box::new(Cold(fat)));
    }
    let options = fatfs::FsOptions::new().oem_cp_converter(&CODE_PAGE);
    let opened = fatfs::FileSystem::new(Stream::new(device), options)
        .map_err(|error| FsError::unsupported(format!("fatfs does not open it: {error}")))?;
    Ok(Box::new(FatFs(opened)))
}

/// Whether `fatfs` takes a filesystem like this. It counts a table's bits in 32 bits.
fn is_for_fatfs(geometry: &Geometry) -> bool {
    const FEWEST_OF_FAT32: u32 = 65_525;
    geometry.table_len < u64::from(u32::MAX) / 8
        && (geometry.width != Width::Fat32 || geometry.clusters >= FEWEST_OF_FAT32)
}

/// Our own reader, opened cold.
struct Cold(Fat<'static>);

impl Cold {
    fn node(&self, path: &GuestPath) -> Result<Option<Node>, FsError> {
        let mut node = self.0.root();
        for name in path.names() {
            match self.0.lookup(node, name) {
                Ok(Some(next)) => node = next,
                Ok(None) | Err(FsError::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(node))
    }

    fn existing(&self, path: &GuestPath) -> Result<Node, FsError> {
        self.node(path)?.ok_or(FsError::NotFound)
    }
}

impl Judge for Cold {
    fn stat(&self, path: &GuestPath) -> Result<Option<Judged>, FsError> {
        let Some(node) = self.node(path)? else { return Ok(None) };
        let Stat { kind, size, .. } = self.0.stat(node)?;
        let size = if kind == Kind::Directory { 0 } else { size };
        Ok(Some(Judged { kind: Some(kind), mode: None, owner: None, size }))
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError> {
        let mut names = Vec::new();
        self.0.entries(self.existing(dir)?, &mut |entry| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    fn read(&self, file: &GuestPath, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError> {
        let node = self.existing(file)?;
        let mut piece = vec![0; 64 * 1024];
        let mut at = 0;
        loop {
            match self.0.read_at(node, at, &mut piece)? {
                0 => return Ok(()),
                len => {
                    each(&piece[..len]);
                    at += len as u64;
                }
            }
        }
    }

    fn link_target(&self, link: &GuestPath) -> Result<Vec<u8>, FsError> {
        self.0.link_target(self.existing(link)?)
    }
}

fn failed(error: io::Error) -> FsError {
    FsError::Block(crate::block::BlockError::Io { at: 0, source: error })
}

impl FatFs {
    fn directory(&self, path: &GuestPath) -> Result<Dir<'_>, FsError> {
        match self.entry(path)? {
            None if path.is_root() => Ok(self.0.root_dir()),
            None => Err(FsError::NotFound),
            Some(entry) if entry.is_dir() => Ok(entry.to_dir()),
            Some(_) => Err(FsError::NotADirectory),
        }
    }

    /// The entry at a path; `None` for the root, and where there is nothing.
    fn entry(&self, path: &GuestPath) -> Result<Option<Entry<'_>>, FsError> {
        let mut dir = self.0.root_dir();
        let mut last = None;
        for (number, name) in path.names().enumerate() {
            let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
            let Some(found) = find(&dir, name)? else { return Ok(None) };
            if found.is_dir() {
                dir = found.to_dir();
            } else if number + 1 < path.names().len() {
                return Ok(None);
            }
            last = Some(found);
        }
        Ok(last)
    }
}

fn find<'a>(dir: &Dir<'a>, name: &str) -> Result<Option<Entry<'a>>, FsError> {
    for entry in dir.iter() {
        let entry = entry.map_err(failed)?;
        if name::same(&entry.file_name(), name) || name::same(&entry.short_file_name(), name) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

impl Judge for FatFs {
    fn stat(&self, path: &GuestPath) -> Result<Option<Judged>, FsError> {
        let judged = |directory, size| Judged {
            kind: Some(if directory { Kind::Directory } else { Kind::File }),
            mode: None,
            owner: None,
            size,
        };
        if path.is_root() {
            return Ok(Some(judged(true, 0)));
        }
        Ok(self.entry(path)?.map(|entry| judged(entry.is_dir(), entry.len())))
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<Vec<u8>>, FsError> {
        let mut names = Vec::new();
        for entry in self.directory(dir)?.iter() {
            let name = entry.map_err(failed)?.file_name();
            // Only a damaged directory has one of these; a path cannot.
            if name.is_empty() || name.contains(['/', '\0']) {
                let problem = format!("the name {name:?}");
                return Err(FsError::corrupt("FAT directory", dir, problem));
            }
            if name != "." && name != ".." {
                names.push(name.into_bytes());
            }
        }
        Ok(names)
    }

    fn read(&self, file: &GuestPath, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError> {
        let entry = self.entry(file)?.ok_or(FsError::NotFound)?;
        if entry.is_dir() {
            return Err(FsError::IsADirectory);
        }
        let mut file = entry.to_file();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => each(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn link_target(&self, link: &GuestPath) -> Result<Vec<u8>, FsError> {
        self.entry(link)?.ok_or(FsError::NotFound)?;
        Err(FsError::CannotStore("symlinks"))
    }
}
