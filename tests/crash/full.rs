//! A disk that is full: found out before the image is touched.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::apply::{ApplyError, FileHost, Host, LogSource, commit};
use sysprep_rs::block::{HostFile, Overlay, ReadBlocks, ResizeBlocks, WriteBlocks};

/// What the host's filesystem gives out as one.
const BLOCK: u64 = 4096;

/// What the host may need to remember where an image of many pieces lies, in sectors of 512 bytes.
const OWN: u64 = 4096 / 512;

/// A real host on a disk with so many blocks left.
struct Full {
    host: FileHost,
    left: u64,
    /// Blocks of the image that have their space.
    taken: Vec<u64>,
    log: u64,
}

impl Full {
    fn new(path: &Path, left: u64) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let image = HostFile::open(path).unwrap();
        let is_data = |block: &u64| {
            let extent = image.extent_at(block * BLOCK).unwrap();
            matches!(extent, sysprep_rs::block::Extent::Data(_))
        };
        let taken = (0..image.len().div_ceil(BLOCK)).filter(is_data).collect();
        Self { host: FileHost::new(path, file).unwrap(), left, taken, log: 0 }
    }

    fn take(&mut self, at: u64, len: u64) -> io::Result<()> {
        for block in at / BLOCK..(at + len).div_ceil(BLOCK) {
            if !self.taken.contains(&block) {
                self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
                self.taken.push(block);
            }
        }
        Ok(())
    }
}

impl Host for Full {
    fn image(&self) -> io::Result<Arc<dyn ReadBlocks>> {
        self.host.image()
    }

    fn reserve(&mut self, ranges: &[(u64, u64)]) -> io::Result<()> {
        for (n, &(at, len)) in ranges.iter().enumerate() {
            if let Err(error) = self.take(at, len) {
                self.host.reserve(&ranges[..n])?;
                return Err(error);
            }
        }
        self.host.reserve(ranges)
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.host.give_back()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.host.set_len(len)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.take(at, bytes.len() as u64)?;
        self.host.write_at(at, bytes)
    }

    fn punch(&mut self, at: u64, len: u64) -> io::Result<u64> {
        self.host.punch(at, len)
    }

    fn sync_image(&mut self) -> io::Result<()> {
        self.host.sync_image()
    }

    fn create_log(&mut self) -> io::Result<()> {
        self.host.create_log()
    }

    fn append_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.log.div_ceil(BLOCK);
        self.log += bytes.len() as u64;
        let more = self.log.div_ceil(BLOCK) - before;
        self.left = self.left.checked_sub(more).ok_or(io::ErrorKind::StorageFull)?;
        self.host.append_log(bytes)
    }

    fn sync_log(&mut self) -> io::Result<()> {
        self.host.sync_log()
    }

    fn open_log(&self) -> io::Result<Option<Box<dyn LogSource>>> {
        self.host.open_log()
    }

    fn log_path(&self) -> &Path {
        self.host.log_path()
    }

    fn remove_log(&mut self) -> io::Result<()> {
        self.host.remove_log()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.host.sync_directory()
    }
}

/// A sparse image of 1 MiB, with data in its first and last 64 KiB.
fn make(path: &Path) -> Vec<u8> {
    let file = File::create(path).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(&[7; 65_536], 0).unwrap();
    file.write_all_at(&[9; 65_536], (1 << 20) - 65_536).unwrap();
    file.sync_all().unwrap();
    fs::read(path).unwrap()
}

/// Bytes over data, over holes, over both, and behind the end.
fn changes(path: &Path) -> Overlay {
    let overlay = Overlay::new(Arc::new(HostFile::open(path).unwrap()));
    overlay.write_at(100, &[1; 5000]).unwrap();
    overlay.write_at(60_000, &[2; 20_000]).unwrap();
    overlay.write_at(500_000, &[3; 10_000]).unwrap();
    overlay.zero((1 << 20) - 30_000, 10_000).unwrap();
    overlay.set_len((1 << 20) + 40_000).unwrap();
    overlay.write_at((1 << 20) - 100, &[4; 30_000]).unwrap();
    overlay
}

#[test]
fn a_full_disk_is_found_out_before_the_image_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let old = make(&path);
    let allocated = || fs::metadata(&path).unwrap().blocks();
    let before = allocated();
    let (mut failed, mut left) = (0, 0);
    let new = loop {
        let overlay = changes(&path);
        let result = commit(&mut Full::new(&path, left), &overlay);
        let Err(error) = result else {
            let mut new = vec![0; overlay.len() as usize];
            overlay.read_at(0, &mut new).unwrap();
            break new;
        };
        let context = format!("{left} blocks: {error}");
        assert!(matches!(error, ApplyError::LogNotWritten { leftover: None, .. }), "{context}");
        assert!(fs::read(&path).unwrap() == old, "{context}");
        assert!(allocated() <= before + OWN, "{context}: {before} → {}", allocated());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{context}");
        failed += 1;
        left += 1;
    };
    // The log takes 18 blocks, and what becomes data 16 more.
    assert!(failed > 25, "{failed}");
    assert!(fs::read(&path).unwrap()[..old.len() - 100] == new[..old.len() - 100]);
}

#[test]
fn reserving_changes_neither_content_nor_length_and_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let old = make(&path);
    let allocated = || fs::metadata(&path).unwrap().blocks() * 512;
    let before = allocated();
    let mut host =
        FileHost::new(&path, File::options().read(true).write(true).open(&path).unwrap()).unwrap();
    host.reserve(&[(0, 4096), (60_000, 200_000), (1 << 20, 100_000)]).unwrap();
    assert!(allocated() >= before + 290_000, "{before} → {}", allocated());
    assert!(fs::read(&path).unwrap() == old);
    host.give_back().unwrap();
    assert!(allocated() <= before + OWN * 512, "{before} → {}", allocated());
    assert!(fs::read(&path).unwrap() == old);
}
