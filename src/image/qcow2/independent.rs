//! qcow2 read through `imago`, which we did not write: what an edit is verified with.

use std::fmt;
use std::io;
use std::sync::Arc;

use imago::io_buffers::{IoVector, IoVectorMut};
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::storage::drivers::CommonStorageHelper;
use imago::{FormatAccess, Mapping, Storage};

use crate::block::{BlockError, Extent, ReadBlocks, check_range};

use super::{Header, extent_padded, read_padded};

/// How many L2 tables imago keeps, whatever their size.
const TABLES_KEPT: u64 = 128;
/// What they may take, in bytes.
const MOST_KEPT: u64 = 16 << 20;

/// The guest's disk in a qcow2 image, as imago reads it.
pub(in crate::image) struct Independent {
    image: FormatAccess<Host>,
    size: u64,
}

impl Independent {
    /// Whether imago knows every feature of an image, and reads it within bounds of memory.
    pub(in crate::image) fn can_read(header: &Header) -> bool {
        !header.extended_l2
            && u64::from(header.l1_size).min(TABLES_KEPT) * header.cluster() <= MOST_KEPT
    }

    /// Opens the image in `host`, whose header was checked.
    pub(in crate::image) fn open(
        host: Arc<dyn ReadBlocks>,
        backing: Option<Arc<dyn ReadBlocks>>,
    ) -> io::Result<Self> {
        let mut qcow2 = Qcow2::<Host>::open_image(Host::new(host), false)?;
        qcow2.set_data_file(None);
        // The chain below is one device to it.
        let backing = match backing {
            Some(backing) => Some(FormatAccess::new(Raw::open_image(Host::new(backing), false)?)),
            None => None,
        };
        qcow2.set_backing(backing);
        let image = FormatAccess::new(qcow2);
        let size = image.size();
        Ok(Self { image, size })
    }
}

impl ReadBlocks for Independent {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, at: u64, dst: &mut [u8]) -> Result<(), BlockError> {
        check_range(at, dst.len() as u64, self.size)?;
        self.image.read(dst, at).map_err(|source| BlockError::Io { at, source })
    }

    fn extent_at(&self, at: u64) -> Result<Extent, BlockError> {
        if at >= self.size {
            return Err(BlockError::OutOfRange { at, len: 1, size: self.size });
        }
        let rest = self.size - at;
        let (mapping, len) =
            self.image.get_mapping(at, rest).map_err(|source| BlockError::Io { at, source })?;
        match (mapping, len.min(rest)) {
            // A backing file that has ended.
            (Mapping::Eof { .. }, _) | (_, 0) => Ok(Extent::Data(rest.min(512))),
            (Mapping::Zero { .. }, len) => Ok(Extent::Zero(len)),
            (Mapping::Raw { storage, offset, .. }, len) => {
                extent_padded(&*storage.device, offset, len)
            }
            (_, len) => Ok(Extent::Data(len)),
        }
    }
}

/// One of our devices, as imago's storage.
struct Host {
    device: Arc<dyn ReadBlocks>,
    helper: CommonStorageHelper,
}

impl Host {
    fn new(device: Arc<dyn ReadBlocks>) -> Self {
        Self { device, helper: CommonStorageHelper::default() }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("image file")
    }
}

// The trait's methods are declared unsafe, for what callers of writes must heed; there is nothing
// unsafe in what stands here.
#[allow(unsafe_code)]
impl Storage for Host {
    fn size(&self) -> io::Result<u64> {
        Ok(self.device.len())
    }

    unsafe fn pure_readv(&self, bufv: IoVectorMut<'_>, offset: u64) -> io::Result<()> {
        let mut offset = offset;
        for mut part in bufv.into_inner() {
            read_padded(&*self.device, offset, &mut part)?;
            offset = offset.checked_add(part.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        }
        Ok(())
    }

    unsafe fn pure_writev(&self, _: IoVector<'_>, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    unsafe fn invalidate_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn get_storage_helper(&self) -> &CommonStorageHelper {
        &self.helper
    }
}
