//! qcow2 images, versions 2 and 3 (QEMU's `docs/interop/qcow2.txt`).
//!
//! Reading is here; [`edit`] changes an image through an overlay, [`refcount`] keeps count of host
//! clusters, [`references`] checks the count before an edit, [`create`] writes new images, and
//! [`independent`] reads an image through code that is not ours, to verify an edit.

mod compressed;
mod create;
mod edit;
mod header;
mod independent;
mod pages;
mod refcount;
mod references;
mod snapshot;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::block::{BlockError, Extent, ReadBlocks, ResizeBlocks, check_range};

use super::{ImageError, Residue, ResidueKind};
use table::{Compressed, Mapping, Tables};

pub(super) use create::Writer;
pub(super) use edit::Qcow2Edit;
pub(super) use header::{Backing, Header};
pub(super) use independent::Independent;

/// How far one call follows a mapping, in bytes: far enough to skip holes in large steps, and not
/// so far that asking for every block costs more than reading it.
const LONGEST_DATA_RUN: u64 = 2 << 20;
const LONGEST_HOLE: u64 = 1 << 30;

/// The guest's disk in a qcow2 image.
pub(super) struct Qcow2 {
    size: u64,
    cluster: u64,
    host: Arc<dyn ReadBlocks>,
    backing: Option<Arc<dyn ReadBlocks>>,
    tables: Mutex<Tables>,
    /// The compressed cluster read last: readers come in smaller steps than a cluster.
    inflated: Mutex<Option<(Compressed, Vec<u8>)>>,
}

impl Qcow2 {
    /// Opens the image in `host` for reading.
    pub(super) fn open(
        host: Arc<dyn ReadBlocks>,
        header: Header,
        backing: Option<Arc<dyn ReadBlocks>>,
    ) -> Result<Self, ImageError> {
        Self::with_writer(host, None, header, backing)
    }

    fn with_writer(
        host: Arc<dyn ReadBlocks>,
        writer: Option<Arc<dyn ResizeBlocks>>,
        header: Header,
        backing: Option<Arc<dyn ReadBlocks>>,
    ) -> Result<Self, ImageError> {
        if header.zstd {
            return Err(ImageError::unsupported(
                "qcow2 with zstd compression",
                "convert it with qemu-img convert",
            ));
        }
        let (size, cluster) = (header.size, header.cluster());
        let tables = Mutex::new(Tables::new(header, host.clone(), writer, backing.is_some()));
        Ok(Self { size, cluster, host, backing, tables, inflated: Mutex::new(None) })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds every reference against the refcounts.
    pub(super) fn check(&self) -> Result<(), ImageError> {
        references::check(&mut self.tables(), false)
    }

    /// What the image keeps that its guest's disk does not show.
    pub(super) fn residue(&self) -> Result<Vec<Residue>, ImageError> {
        let mut tables = self.tables();
        let mut found = Vec::new();
        let snapshots = snapshot::list(&mut tables)?;
        if !snapshots.is_empty() {
            let mut names: Vec<&str> =
                snapshots.iter().take(8).map(|snapshot| snapshot.name.as_str()).collect();
            if snapshots.len() > names.len() {
                names.push("…");
            }
            found.push(Residue {
                kind: ResidueKind::Snapshots,
                text: format!(
                    "{} internal snapshot(s) keep older content: {}",
                    snapshots.len(),
                    names.join(", ")
                ),
            });
        }
        if tables.header.bitmaps > 0 {
            found.push(Residue {
                kind: ResidueKind::Bitmaps,
                text: format!(
                    "{} persistent bitmap(s) tell what was written",
                    tables.header.bitmaps
                ),
            });
        }
        Ok(found)
    }

    /// Reads what `mapping` says of the bytes at guest byte `at`.
    fn read_mapped(&self, mapping: Mapping, at: u64, dst: &mut [u8]) -> Result<(), ImageError> {
        match mapping {
            Mapping::Zero => dst.fill(0),
            Mapping::Backing => match &self.backing {
                Some(backing) => read_padded(&**backing, at, dst)?,
                None => dst.fill(0),
            },
            Mapping::Data(host) => read_padded(&*self.host, host, dst)?,
            Mapping::Compressed(place) => {
                let mut inflated = self.inflated.lock().unwrap_or_else(PoisonError::into_inner);
                if !inflated.as_ref().is_some_and(|(held, _)| *held == place) {
                    let (bytes, _) = compressed::read(&*self.host, place, self.cluster)?;
                    *inflated = Some((place, bytes));
                }
                let from = (at % self.cluster) as usize;
                match inflated.as_ref().and_then(|(_, bytes)| bytes.get(from..from + dst.len())) {
                    Some(bytes) => dst.copy_from_slice(bytes),
                    None => {
                        return Err(ImageError::corrupt(
                            "compressed cluster",
                            place.offset,
                            "shorter than a cluster",
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads from a device that goes on with zeroes past its end, as QEMU sees a shorter backing file
/// or a last cluster that the file does not hold whole.
fn read_padded(device: &dyn ReadBlocks, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
    let held = device.len().saturating_sub(at).min(dst.len() as u64);
    let (now, past) = dst.split_at_mut(held as usize);
    if !now.is_empty() {
        device.read_at(at, now)?;
    }
    past.fill(0);
    Ok(())
}

/// As [`read_padded`], for extents.
fn extent_padded(device: &dyn ReadBlocks, at: u64, len: u64) -> Result<Extent, BlockError> {
    if at >= device.len() {
        return Ok(Extent::Zero(len));
    }
    Ok(device.extent_at(at)?.at_most(len))
}

impl ReadBlocks for Qcow2 {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.size)?;
        let mut at = at;
        let mut dst = dst;
        while !dst.is_empty() {
            // The tables are let go before the data is read: other readers need not wait for it.
            let (mapping, len) =
                self.tables().run(at, dst.len() as u64).map_err(|error| error.at(at))?;
            let (now, later) = dst.split_at_mut(len as usize);
            self.read_mapped(mapping, at, now).map_err(|error| error.at(at))?;
            dst = later;
            at += len;
        }
        Ok(())
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        if at >= self.size {
            return Err(BlockError::OutOfRange { at, len: 1, size: self.size });
        }
        let rest = self.size - at;
        let (mapping, len) = {
            let mut tables = self.tables();
            let (mapping, _) = tables.map(at).map_err(|error| error.at(at))?;
            let most = match mapping {
                Mapping::Zero | Mapping::Backing => LONGEST_HOLE,
                Mapping::Data(_) | Mapping::Compressed(_) => LONGEST_DATA_RUN,
            };
            tables.run(at, most.min(rest)).map_err(|error| error.at(at))?
        };
        match mapping {
            Mapping::Zero => Ok(Extent::Zero(len)),
            Mapping::Compressed(_) => Ok(Extent::Data(len)),
            Mapping::Data(host) => extent_padded(&*self.host, host, len),
            Mapping::Backing => match &self.backing {
                Some(backing) => extent_padded(&**backing, at, len),
                None => Ok(Extent::Zero(len)),
            },
        }
    }
}
