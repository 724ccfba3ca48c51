//! Writing a new qcow2 image in one pass, front to back.
//!
//! Header, refcounts and L1 table come last in time: by then it is known how many clusters there
//! are. Every cluster is used once, so every count is 1.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Clusters of 64 KiB, as `qemu-img create` makes them.
const CLUSTER: u64 = 1 << 16;
/// How many clusters an L2 table maps.
const L2_ENTRIES: u64 = CLUSTER / 8;
/// How many clusters a block of 16-bit refcounts counts.
const BLOCK_ENTRIES: u64 = CLUSTER / 2;
/// A cluster of one user.
const COPIED: u64 = 1 << 63;

/// A new image of version 3 without backing file.
pub(in crate::image) struct Writer<'a> {
    file: &'a File,
    size: u64,
    /// The first cluster that is not yet used.
    next: u64,
    l1_at: u64,
    l1: Vec<u64>,
    /// The L2 table being filled, and its index in the L1 table.
    l2: Option<(u64, Vec<u8>)>,
}

impl<'a> Writer<'a> {
    /// A cluster's size in bytes.
    pub(in crate::image) const CLUSTER: u64 = CLUSTER;

    /// Starts an image of a disk of `size` bytes in an empty file.
    pub(in crate::image) fn new(file: &'a File, size: u64) -> io::Result<Self> {
        // qcow2 itself has no odd sectors; QEMU rounds as well.
        let Some(size) = size.checked_next_multiple_of(512) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let entries = size.div_ceil(CLUSTER * L2_ENTRIES);
        // QEMU's own limit for an L1 table (QCOW_MAX_L1_SIZE): 2 PiB.
        if entries * 8 > 32 << 20 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let l1 = vec![0; entries as usize];
        let next = 1 + (entries * 8).div_ceil(CLUSTER).max(1);
        Ok(Self { file, size, next, l1_at: CLUSTER, l1, l2: None })
    }

    fn take(&mut self) -> u64 {
        let at = self.next * CLUSTER;
        self.next += 1;
        at
    }

    /// Adds the guest cluster at `at`, a whole one, further on than every one before.
    pub(in crate::image) fn cluster(&mut self, at: u64, content: &[u8]) -> io::Result<()> {
        let index = at / CLUSTER / L2_ENTRIES;
        if self.l2.as_ref().is_some_and(|(held, _)| *held != index) {
            self.end_table()?;
        }
        let host = self.take();
        self.file.write_all_at(content, host)?;
        let (_, table) = self.l2.get_or_insert_with(|| (index, vec![0; CLUSTER as usize]));
        let entry = (at / CLUSTER % L2_ENTRIES * 8) as usize;
        table[entry..entry + 8].copy_from_slice(&(host | COPIED).to_be_bytes());
        Ok(())
    }

    fn end_table(&mut self) -> io::Result<()> {
        if let Some((index, table)) = self.l2.take() {
            let host = self.take();
            self.file.write_all_at(&table, host)?;
            self.l1[index as usize] = host | COPIED;
        }
        Ok(())
    }

    /// Writes the tables and the header.
    pub(in crate::image) fn finish(mut self) -> io::Result<()> {
        self.end_table()?;
        let l1: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        self.file.write_all_at(&l1, self.l1_at)?;

        // The counts' own clusters are counted as well.
        let (mut blocks, mut table) = (0, 0);
        loop {
            let clusters = self.next + blocks + table;
            let (more, wider) =
                (clusters.div_ceil(BLOCK_ENTRIES), (blocks * 8).div_ceil(CLUSTER).max(1));
            if (more, wider) == (blocks, table) {
                break;
            }
            (blocks, table) = (more, wider);
        }
        let table_at = self.next * CLUSTER;
        let blocks_at = table_at + table * CLUSTER;
        let used = self.next + table + blocks;
        let mut entries = vec![0; (table * CLUSTER) as usize];
        for block in 0..blocks {
            let at = blocks_at + block * CLUSTER;
            let entry = (block * 8) as usize;
            entries[entry..entry + 8].copy_from_slice(&at.to_be_bytes());
            let ones = (used - block * BLOCK_ENTRIES).min(BLOCK_ENTRIES) as usize;
            let mut counts = vec![0; CLUSTER as usize];
            for count in counts[..ones * 2].chunks_exact_mut(2) {
                count[1] = 1;
            }
            self.file.write_all_at(&counts, at)?;
        }
        self.file.write_all_at(&entries, table_at)?;

        let mut header = Vec::with_capacity(112);
        header.extend_from_slice(b"QFI\xfb");
        header.extend_from_slice(&3_u32.to_be_bytes());
        header.extend_from_slice(&[0; 12]); // no backing file
        header.extend_from_slice(&CLUSTER.trailing_zeros().to_be_bytes());
        header.extend_from_slice(&self.size.to_be_bytes());
        header.extend_from_slice(&[0; 4]); // not encrypted
        header.extend_from_slice(&(self.l1.len() as u32).to_be_bytes());
        header.extend_from_slice(&self.l1_at.to_be_bytes());
        header.extend_from_slice(&table_at.to_be_bytes());
        header.extend_from_slice(&(table as u32).to_be_bytes());
        header.extend_from_slice(&[0; 12]); // no snapshots
        header.extend_from_slice(&[0; 24]); // no feature bits
        header.extend_from_slice(&4_u32.to_be_bytes()); // refcounts of 2^4 bits
        header.extend_from_slice(&104_u32.to_be_bytes());
        header.extend_from_slice(&[0; 8]); // no extensions
        self.file.write_all_at(&header, 0)
    }
}
