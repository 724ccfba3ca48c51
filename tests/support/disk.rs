//! A sparse in-memory disk that is cheap to copy, so that many cases start from one image.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, RwLock};

use sysprep_rs::block::{BlockError, Extent, ReadBlocks, ResizeBlocks, WriteBlocks, check_range};

const PAGE: u64 = 4096;

type Pages = BTreeMap<u64, Arc<[u8]>>;

/// A disk of zeroes and the pages that were written.
pub(crate) struct Disk {
    state: RwLock<(u64, Pages)>,
}

impl Clone for Disk {
    fn clone(&self) -> Self {
        Self { state: RwLock::new(self.state.read().unwrap().clone()) }
    }
}

impl Disk {
    pub(crate) fn new(len: u64) -> Self {
        Self { state: RwLock::new((len, Pages::new())) }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let disk = Self::new(bytes.len() as u64);
        for (number, page) in bytes.chunks(PAGE as usize).enumerate() {
            if page.iter().any(|&byte| byte != 0) {
                disk.write_at(number as u64 * PAGE, page).unwrap();
            }
        }
        disk
    }

    /// Reads a file whole; its holes and zeroes cost nothing.
    pub(crate) fn from_file(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let len = file.metadata().unwrap().len();
        let disk = Self::new(len);
        let mut at = 0;
        let mut buffer = vec![0; 1 << 20];
        while at < len {
            at = match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(rustix::io::Errno::NXIO) => break,
                Err(error) => panic!("{}: {error}", path.display()),
            };
            let take = (len - at).min(buffer.len() as u64 - at % PAGE) as usize;
            file.read_exact_at(&mut buffer[..take], at).unwrap();
            let mut done = 0;
            while done < take {
                let step = ((PAGE - (at + done as u64) % PAGE) as usize).min(take - done);
                let piece = &buffer[done..done + step];
                if piece.iter().any(|&byte| byte != 0) {
                    disk.write_at(at + done as u64, piece).unwrap();
                }
                done += step;
            }
            at += take as u64;
        }
        disk
    }

    /// Writes the disk to a file, sparse.
    pub(crate) fn save(&self, path: &Path) {
        let file = File::create(path).unwrap();
        let state = self.state.read().unwrap();
        file.set_len(state.0).unwrap();
        for (&number, page) in &state.1 {
            let at = number * PAGE;
            let len = (state.0 - at).min(PAGE) as usize;
            file.write_all_at(&page[..len], at).unwrap();
        }
    }

    /// Shows each run of adjoining pages that are stored, with its offset.
    pub(crate) fn stored(&self, mut visit: impl FnMut(u64, &[u8])) {
        let state = self.state.read().unwrap();
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (&number, page) in &state.1 {
            if run.0 + run.1.len() as u64 != number * PAGE {
                if !run.1.is_empty() {
                    visit(run.0, &run.1);
                }
                run = (number * PAGE, Vec::new());
            }
            run.1.extend_from_slice(page);
        }
        if !run.1.is_empty() {
            visit(run.0, &run.1);
        }
    }

    /// The offset of `needle` among the stored bytes.
    pub(crate) fn find(&self, needle: &[u8]) -> Option<u64> {
        let mut found = None;
        self.stored(|at, bytes| {
            if found.is_none() {
                found = find(bytes, needle).map(|offset| at + offset as u64);
            }
        });
        found
    }

    /// Where, in a range, the first byte that is not zero lies.
    pub(crate) fn first_nonzero(&self, at: u64, len: u64) -> Option<u64> {
        let state = self.state.read().unwrap();
        for (&number, page) in state.1.range(at / PAGE..=(at + len) / PAGE) {
            for (offset, &byte) in page.iter().enumerate() {
                let position = number * PAGE + offset as u64;
                if byte != 0 && position >= at && position < at + len {
                    return Some(position);
                }
            }
        }
        None
    }
}

/// Where `needle` first lies in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (&first, _) = needle.split_first().expect("a needle");
    let mut from = 0;
    while let Some(step) = bytes[from..].iter().position(|&byte| byte == first) {
        if bytes[from + step..].starts_with(needle) {
            return Some(from + step);
        }
        from += step + 1;
    }
    None
}

impl ReadBlocks for Disk {
    fn len(&self) -> u64 {
        self.state.read().unwrap().0
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        let state = self.state.read().unwrap();
        check_range(at, dst.len() as u64, state.0)?;
        let mut done = 0;
        while done < dst.len() {
            let position = at + done as u64;
            let offset = (position % PAGE) as usize;
            let step = (PAGE as usize - offset).min(dst.len() - done);
            match state.1.get(&(position / PAGE)) {
                Some(page) => dst[done..done + step].copy_from_slice(&page[offset..offset + step]),
                None => dst[done..done + step].fill(0),
            }
            done += step;
        }
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        let state = self.state.read().unwrap();
        if at >= state.0 {
            return Err(BlockError::OutOfRange { at, len: 1, size: state.0 });
        }
        let next = state.1.range(at / PAGE..).next().map_or(u64::MAX, |(&number, _)| number);
        Ok(if next == at / PAGE {
            Extent::Data((PAGE - at % PAGE).min(state.0 - at))
        } else {
            Extent::Zero(next.saturating_mul(PAGE).min(state.0) - at)
        })
    }
}

impl WriteBlocks for Disk {
    fn write_at(&self, at: u64, src: &[u8]) -> Result<(), BlockError> {
        let mut state = self.state.write().unwrap();
        check_range(at, src.len() as u64, state.0)?;
        let mut done = 0;
        while done < src.len() {
            let position = at + done as u64;
            let offset = (position % PAGE) as usize;
            let step = (PAGE as usize - offset).min(src.len() - done);
            let page =
                state.1.entry(position / PAGE).or_insert_with(|| Arc::from(vec![0; PAGE as usize]));
            if Arc::get_mut(page).is_none() {
                *page = Arc::from(&page[..]);
            }
            Arc::get_mut(page).expect("just made")[offset..offset + step]
                .copy_from_slice(&src[done..done + step]);
            done += step;
        }
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result<(), BlockError> {
        let mut state = self.state.write().unwrap();
        check_range(at, len, state.0)?;
        if len == 0 {
            return Ok(());
        }
        let touched: Vec<u64> =
            state.1.range(at / PAGE..=(at + len - 1) / PAGE).map(|(&number, _)| number).collect();
        for number in touched {
            let page_start = number * PAGE;
            let from = at.max(page_start) - page_start;
            let to = (at + len).min(page_start + PAGE) - page_start;
            if from == 0 && to == PAGE {
                state.1.remove(&number);
            } else if let Some(page) = state.1.get_mut(&number) {
                let mut bytes = page.to_vec();
                bytes[from as usize..to as usize].fill(0);
                *page = Arc::from(bytes);
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }
}

impl ResizeBlocks for Disk {
    fn set_len(&self, len: u64) -> Result<(), BlockError> {
        let old = self.len();
        if len < old {
            self.zero(len, old - len)?;
        }
        self.state.write().unwrap().0 = len;
        Ok(())
    }
}
