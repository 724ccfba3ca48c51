//! A real host that stops in the middle of an operation.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::apply::{FileHost, Host, LogSource};
use sysprep_rs::block::ReadBlocks;

/// How it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As kill -9: nothing is flushed, no destructor runs.
    Kill,
    /// This operation and every later one fail.
    Fail,
}

/// A host that does half of the chosen operation, counted from 0, and nothing after it.
pub(crate) struct Stopping {
    host: FileHost,
    left: u32,
    stop: Stop,
}

impl Stopping {
    pub(crate) fn new(host: FileHost, operation: u32, stop: Stop) -> Self {
        Self { host, left: operation, stop }
    }

    /// Whether the next operation is the chosen one; an error behind it.
    fn now(&mut self) -> io::Result<bool> {
        match self.left {
            0 => {
                self.left = u32::MAX;
                Ok(true)
            }
            u32::MAX => Err(io::ErrorKind::StorageFull.into()),
            _ => {
                self.left -= 1;
                Ok(false)
            }
        }
    }

    fn stop<T>(&self) -> io::Result<T> {
        if self.stop == Stop::Kill {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn step(&mut self) -> io::Result<()> {
        if self.now()? { self.stop() } else { Ok(()) }
    }
}

/// About half of a range: what is torn ends with a sector.
fn half(at: u64, len: u64) -> u64 {
    ((at + len / 2) / 512 * 512).saturating_sub(at)
}

impl Host for Stopping {
    fn image(&self) -> io::Result<Arc<dyn ReadBlocks>> {
        self.host.image()
    }

    fn reserve(&mut self, ranges: &[(u64, u64)]) -> io::Result<()> {
        if self.now()? {
            self.host.reserve(&ranges[..ranges.len() / 2])?;
            return self.stop();
        }
        self.host.reserve(ranges)
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.host.give_back()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.step()?;
        self.host.set_len(len)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.now()? {
            self.host.write_at(at, &bytes[..half(at, bytes.len() as u64) as usize])?;
            return self.stop();
        }
        self.host.write_at(at, bytes)
    }

    fn punch(&mut self, at: u64, len: u64) -> io::Result<u64> {
        if self.now()? {
            self.host.punch(at, half(at, len))?;
            return self.stop();
        }
        self.host.punch(at, len)
    }

    fn sync_image(&mut self) -> io::Result<()> {
        self.step()?;
        self.host.sync_image()
    }

    fn create_log(&mut self) -> io::Result<()> {
        self.step()?;
        self.host.create_log()
    }

    fn append_log(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.now()? {
            self.host.append_log(&bytes[..bytes.len() / 2])?;
            return self.stop();
        }
        self.host.append_log(bytes)
    }

    fn sync_log(&mut self) -> io::Result<()> {
        self.step()?;
        self.host.sync_log()
    }

    fn open_log(&self) -> io::Result<Option<Box<dyn LogSource>>> {
        self.host.open_log()
    }

    fn log_path(&self) -> &Path {
        self.host.log_path()
    }

    fn remove_log(&mut self) -> io::Result<()> {
        self.step()?;
        self.host.remove_log()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.step()?;
        self.host.sync_directory()
    }
}
