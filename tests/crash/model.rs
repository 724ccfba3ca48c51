//! A host whose durable and volatile bytes are apart.

use std::io::{self, Cursor};
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::apply::{Host, LogSource};
use sysprep_rs::block::{Memory, ReadBlocks};

use crate::random::Random;

/// What a disk writes as one.
const SECTOR: usize = 512;

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The machine stops: this and every later operation fails; what this one did is volatile.
    Crash,
    /// This operation alone fails, and does nothing.
    Error(io::ErrorKind),
}

/// A sync that is left out, to see that the test notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    Nothing,
    SyncImage,
    SyncLog,
    SyncDirectory,
}

enum Pending {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Default)]
struct LogFile {
    durable: Vec<u8>,
    current: Vec<u8>,
}

impl LogFile {
    /// What is left of it: any length and any sectors of what was not made durable.
    fn after_crash(self, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable;
        if let Some(volatile) = self.current.get(left.len()..) {
            let start = left.len();
            let len = match random.below(3) {
                0 => 0,
                1 => volatile.len(),
                _ => random.below(volatile.len() as u64 + 1) as usize,
            };
            left.resize(start + len, 0);
            keep_some(&mut left, start, volatile, random);
        }
        left
    }
}

/// Writes `bytes` at `at` as far as the crash and the image's end let it: wholly, not at all, or
/// some of the sectors.
fn keep_some(image: &mut [u8], at: usize, bytes: &[u8], random: &mut Random) {
    let fate = random.below(3);
    let mut done = 0;
    while done < bytes.len() {
        let start = at + done;
        let len = (SECTOR - start % SECTOR).min(bytes.len() - done);
        let keep = match fate {
            0 => true,
            1 => false,
            _ => random.below(2) == 0,
        };
        if keep && start < image.len() {
            let len = len.min(image.len() - start);
            image[start..start + len].copy_from_slice(&bytes[done..done + len]);
        }
        done += len;
    }
}

/// An image, a log and a directory, each with a durable and a current state.
pub(crate) struct Model {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Pending>,
    /// The log's name as it is now, and as the directory last was made durable.
    log: Option<LogFile>,
    durable_name: bool,
    /// The file behind a name that was removed and may come back.
    removed: Option<LogFile>,
    skip: Skip,
    operations: usize,
    fault: Option<(usize, Fault)>,
    failed: bool,
    dead: bool,
}

impl Model {
    pub(crate) fn new(image: Vec<u8>, skip: Skip) -> Self {
        Self {
            durable: image.clone(),
            current: image,
            pending: Vec::new(),
            log: None,
            durable_name: false,
            removed: None,
            skip,
            operations: 0,
            fault: None,
            failed: false,
            dead: false,
        }
    }

    /// Chooses the operation, counted from now, that fails.
    pub(crate) fn fail_at(&mut self, operation: usize, fault: Fault) {
        self.operations = 0;
        self.failed = false;
        self.fault = Some((operation, fault));
    }

    /// Whether the chosen operation was reached.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    pub(crate) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    pub(crate) fn log(&mut self) -> &mut Vec<u8> {
        &mut self.log.as_mut().unwrap().current
    }

    pub(crate) fn current_image(&self) -> &[u8] {
        &self.current
    }

    pub(crate) fn durable_image(&self) -> &[u8] {
        &self.durable
    }

    pub(crate) fn replace_image(&mut self, image: Vec<u8>) {
        self.durable = image.clone();
        self.current = image;
        self.pending.clear();
    }

    /// The host after the machine came back: of what was volatile, any part.
    pub(crate) fn after_crash(self, random: &mut Random) -> Self {
        let mut image = self.durable;
        for pending in self.pending {
            match pending {
                Pending::SetLen(len) => {
                    if random.below(2) == 0 {
                        image.resize(len, 0);
                    }
                }
                Pending::Write(at, bytes) => keep_some(&mut image, at, &bytes, random),
            }
        }
        let name = if self.log.is_some() == self.durable_name {
            self.durable_name
        } else {
            random.below(2) == 0
        };
        let file = self.log.or(self.removed).unwrap_or_default();
        let mut host = Self::new(image, self.skip);
        if name {
            let content = file.after_crash(random);
            host.log = Some(LogFile { durable: content.clone(), current: content });
            host.durable_name = true;
        }
        host
    }

    /// Counts an operation; fails where it is the chosen one.
    fn operation(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the machine has stopped"));
        }
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == now => {
                self.failed = true;
                match fault {
                    Fault::Crash => {
                        self.dead = true;
                        Ok(())
                    }
                    Fault::Error(kind) => Err(kind.into()),
                }
            }
            _ => Ok(()),
        }
    }

    /// What an operation gives that has done its volatile part.
    fn result<T>(&self, value: T) -> io::Result<T> {
        if self.dead { Err(io::Error::other("the machine has stopped")) } else { Ok(value) }
    }
}

impl Host for Model {
    fn image(&self) -> io::Result<Arc<dyn ReadBlocks>> {
        self.result(Arc::new(Memory::from_bytes(self.current.clone())) as Arc<dyn ReadBlocks>)
    }

    fn reserve(&mut self, _: &[(u64, u64)]) -> io::Result<()> {
        self.operation()?;
        self.result(())
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.result(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.operation()?;
        self.current.resize(len as usize, 0);
        self.pending.push(Pending::SetLen(len as usize));
        self.result(())
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.operation()?;
        let at = at as usize;
        self.current[at..at + bytes.len()].copy_from_slice(bytes);
        self.pending.push(Pending::Write(at, bytes.to_vec()));
        self.result(())
    }

    fn punch(&mut self, at: u64, len: u64) -> io::Result<u64> {
        self.operation()?;
        let at = at as usize;
        self.current[at..at + len as usize].fill(0);
        self.pending.push(Pending::Write(at, vec![0; len as usize]));
        self.result(len)
    }

    fn sync_image(&mut self) -> io::Result<()> {
        self.operation()?;
        self.result(())?;
        if self.skip != Skip::SyncImage {
            self.durable = self.current.clone();
            self.pending.clear();
        }
        Ok(())
    }

    fn create_log(&mut self) -> io::Result<()> {
        self.operation()?;
        if self.log.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.log = Some(LogFile::default());
        self.result(())
    }

    fn append_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.operation()?;
        self.log.as_mut().unwrap().current.extend_from_slice(bytes);
        self.result(())
    }

    fn sync_log(&mut self) -> io::Result<()> {
        self.operation()?;
        self.result(())?;
        if self.skip != Skip::SyncLog {
            let log = self.log.as_mut().unwrap();
            log.durable = log.current.clone();
        }
        Ok(())
    }

    fn open_log(&self) -> io::Result<Option<Box<dyn LogSource>>> {
        self.result(())?;
        Ok(self.log.as_ref().map(|log| Box::new(Cursor::new(log.current.clone())) as _))
    }

    fn log_path(&self) -> &Path {
        Path::new("the log")
    }

    fn remove_log(&mut self) -> io::Result<()> {
        self.operation()?;
        self.removed = self.log.take();
        self.result(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.operation()?;
        self.result(())?;
        if self.skip != Skip::SyncDirectory {
            self.durable_name = self.log.is_some();
        }
        Ok(())
    }
}
