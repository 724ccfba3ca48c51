//! The volume's serial number, which `blkid` shows as its UUID (Microsoft FAT specification 1.03,
//! section 3.1, `BS_VolID`).

use std::sync::Arc;

use super::geometry::Geometry;
use crate::block::WriteBlocks;
use crate::bytes::le32;
use crate::fs::{FsError, FsInfo};

/// Why a filesystem keeps its serial number, where it does.
pub(super) fn fixed(info: &FsInfo) -> Option<String> {
    info.uuid.is_none().then(|| "its boot sector has no serial number".to_owned())
}

/// A serial number of four random bytes, never 0: `blkid` takes that for none.
pub(super) fn made_of(random: &[u8; 32]) -> String {
    let serial = random
        .chunks_exact(4)
        .find_map(|bytes| le32(bytes, 0).filter(|&serial| serial != 0))
        .unwrap_or(1);
    text(serial)
}

/// As `blkid` prints it.
pub(super) fn text(serial: u32) -> String {
    format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)
}

/// Sets it in the boot sector and in the copy of that.
pub(super) fn set(device: &Arc<dyn WriteBlocks>, uuid: &str) -> Result<(), FsError> {
    let digits = uuid.replace('-', "");
    let serial = u32::from_str_radix(&digits, 16)
        .ok()
        .filter(|&serial| text(serial) == uuid)
        .ok_or_else(|| FsError::unsupported(format!("'{uuid}' is no serial number of FAT")))?;
    let geometry = Geometry::read(&**device)?
        .map_err(|problem| FsError::corrupt("boot sector", "byte 0", problem))?;
    if geometry.serial.is_none() {
        return Err(FsError::CannotStore("a serial number"));
    }
    // It stands two bytes behind the state.
    let at = geometry.state_at + 2;
    device.write_at(at, &serial.to_le_bytes())?;
    if let Some(copy) = geometry.backup_at {
        // A copy that is none is left as it is.
        let mut sector = [0; 512];
        device.read_at(copy, &mut sector)?;
        if matches!(Geometry::from_bytes(&sector, device.len()), Ok(it) if it.serial.is_some()) {
            device.write_at(copy + at, &serial.to_le_bytes())?;
        }
    }
    Ok(device.flush()?)
}
