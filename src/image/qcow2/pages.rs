//! The image's tables, read and changed a page at a time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::block::{BlockError, ReadBlocks, ResizeBlocks};

/// The largest page: what most hosts and filesystems read at least.
const PAGE: u64 = 4096;
/// How many bytes of pages are kept. QEMU's own L2 cache takes up to 32 MiB; ours is refilled
/// from the host's page cache, so it only has to hold what is used over and over.
const BUDGET: u64 = 2 << 20;

/// Pages of an image file's tables. All tables, of whatever size, go through it, so that memory
/// does not depend on what an image claims.
pub(super) struct Pages {
    host: Arc<dyn ReadBlocks>,
    writer: Option<Arc<dyn ResizeBlocks>>,
    /// In bytes: not above a cluster, so that no page holds tables and data.
    size: u64,
    pages: HashMap<u64, Page>,
}

struct Page {
    bytes: Box<[u8]>,
    dirty: bool,
}

impl Pages {
    /// Pages of the tables in `host`, changed through `writer`, with clusters of `cluster` bytes.
    pub(super) fn new(
        host: Arc<dyn ReadBlocks>,
        writer: Option<Arc<dyn ResizeBlocks>>,
        cluster: u64,
    ) -> Self {
        Self { host, writer, size: PAGE.min(cluster), pages: HashMap::new() }
    }

    /// The page that `at` lies in, and the offset in it. Past the end of the file are zeroes, as
    /// they are to QEMU.
    fn page(&mut self, at: u64) -> Result<(&mut Page, usize), BlockError> {
        let from = at % self.size;
        let start = at - from;
        if !self.pages.contains_key(&start) {
            if self.pages.len() as u64 * self.size >= BUDGET {
                self.flush()?;
                self.pages.clear();
            }
            let mut bytes = vec![0; self.size as usize].into_boxed_slice();
            let len = self.host.len().saturating_sub(start).min(self.size);
            self.host.read_at(start, &mut bytes[..len as usize])?;
            self.pages.insert(start, Page { bytes, dirty: false });
        }
        match self.pages.get_mut(&start) {
            Some(page) => Ok((page, from as usize)),
            None => Err(BlockError::OutOfRange { at, len: 1, size: self.host.len() }),
        }
    }

    /// The big-endian number at `at`, which is a multiple of 8.
    pub(super) fn word(&mut self, at: u64) -> Result<u64, BlockError> {
        let (page, from) = self.page(at)?;
        Ok(crate::bytes::be64(&page.bytes, from).unwrap_or(0))
    }

    /// Changes the big-endian number at `at`, which is a multiple of 8.
    pub(super) fn set_word(&mut self, at: u64, value: u64) -> Result<(), BlockError> {
        self.set(at, &value.to_be_bytes())
    }

    /// The rest of the page from `at` on.
    pub(super) fn rest(&mut self, at: u64) -> Result<&[u8], BlockError> {
        let (page, from) = self.page(at)?;
        Ok(&page.bytes[from..])
    }

    /// Changes bytes that lie in one page.
    pub(super) fn set(&mut self, at: u64, value: &[u8]) -> Result<(), BlockError> {
        let (page, from) = self.page(at)?;
        if let Some(place) = page.bytes.get_mut(from..from + value.len())
            && place != value
        {
            place.copy_from_slice(value);
            page.dirty = true;
        }
        Ok(())
    }

    /// Whether a page of this range was changed and not yet written.
    pub(super) fn holds(&self, at: u64, len: u64) -> bool {
        let first = at - at % self.size;
        (first..at + len)
            .step_by(self.size as usize)
            .any(|start| self.pages.get(&start).is_some_and(|page| page.dirty))
    }

    /// Forgets the pages of a range: it is no table any more, or not yet.
    pub(super) fn forget(&mut self, at: u64, len: u64) {
        let mut start = at - at % self.size;
        while start < at + len {
            self.pages.remove(&start);
            start += self.size;
        }
    }

    /// Writes the changed pages.
    pub(super) fn flush(&mut self) -> Result<(), BlockError> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut dirty: Vec<u64> =
            self.pages.iter().filter(|(_, page)| page.dirty).map(|(&at, _)| at).collect();
        dirty.sort_unstable();
        for at in dirty {
            if let Some(page) = self.pages.get_mut(&at) {
                let end = at + self.size;
                if writer.len() < end {
                    writer.set_len(end)?;
                }
                writer.write_at(at, &page.bytes)?;
                page.dirty = false;
            }
        }
        Ok(())
    }
}
