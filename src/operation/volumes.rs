//! What steps know of the disk's volumes beside the guest's files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::block::{BlockError, ReadBlocks};
use crate::fs::{FsInfo, ReadFs, uuid};
use crate::guest::{Disk, Swap};
use crate::volume::{self, BootCode, Layout, VolumeId};

/// A volume with a UUID or a filesystem.
#[derive(Clone)]
pub struct VolumeFacts {
    /// Which.
    pub volume: VolumeId,
    /// The UUID of what is on it, as `blkid` prints it.
    pub uuid: Option<String>,
    /// Makes another UUID of random bytes; or why it keeps the one it has.
    pub renew: Result<fn(&[u8; 32]) -> String, String>,
    /// The filesystem, where it is opened.
    pub fs: Option<Arc<dyn ReadFs>>,
    /// The swap area, where it is one.
    pub swap: Option<Swap>,
}

impl fmt::Debug for VolumeFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.volume, self.uuid)
    }
}

/// The volumes of a disk, and where new UUIDs for them come from.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    /// Every volume that has a UUID or an opened filesystem, in the disk's order.
    pub all: Vec<VolumeFacts>,
    /// What new UUIDs are made of: random, or the same where the same result is wanted.
    pub seed: [u8; 32],
    /// UUIDs that are settled already, old and new: a plan's, so that planning again gives the same
    /// ones, and none to a volume that has got its own.
    pub settled: BTreeMap<VolumeId, (String, String)>,
    /// The disk as a whole, where it is one.
    pub device: Option<Device>,
}

/// A disk and how it is divided.
#[derive(Clone)]
pub struct Device(Arc<dyn ReadBlocks>, Layout);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a disk of {} bytes", self.0.len())
    }
}

impl Volumes {
    /// The volumes of a disk.
    pub fn of(disk: &Disk, seed: [u8; 32], settled: BTreeMap<VolumeId, (String, String)>) -> Self {
        let mut all = Vec::new();
        for volume in &disk.layout.volumes {
            let found = disk.filesystems.iter().find(|it| it.volume == volume.id);
            let facts = match (found.map(|it| (it.driver, &it.fs)), &volume.not_opened) {
                (Some((driver, Ok(fs))), _) => {
                    let info = fs.info();
                    let renew = match (driver.edit, driver.uuid, &info) {
                        (_, _, FsInfo { read_only_because: Some(why), kind, .. }) => {
                            Err(format!("{kind} cannot be edited: {why}"))
                        }
                        (Some(_), Some(uuid), info) => match (uuid.fixed)(info) {
                            Some(why) => Err(why),
                            None => Ok(uuid.made_of),
                        },
                        (_, _, info) => Err(format!("that of {} cannot be changed", info.kind)),
                    };
                    let fs = Some(Arc::clone(fs));
                    VolumeFacts {
                        volume: volume.id.clone(),
                        uuid: info.uuid,
                        renew,
                        fs,
                        swap: None,
                    }
                }
                (Some((_, Err(error))), _) => VolumeFacts {
                    volume: volume.id.clone(),
                    uuid: volume.uuid.clone(),
                    renew: Err(format!("it cannot be opened: {error}")),
                    fs: None,
                    swap: None,
                },
                (None, Some(what)) => {
                    let swap = disk.swaps.iter().find(|it| it.volume == volume.id).cloned();
                    let sound = swap
                        .as_ref()
                        .is_some_and(|it| !it.area.suspended && it.area.problem.is_none());
                    VolumeFacts {
                        volume: volume.id.clone(),
                        uuid: volume.uuid.clone(),
                        renew: match sound {
                            true => Ok(uuid::made_of),
                            false => Err(format!("it is {what}, which is not opened")),
                        },
                        fs: None,
                        swap,
                    }
                }
                (None, None) => continue,
            };
            all.push(facts);
        }
        let device = disk.device.clone().map(|device| Device(device, disk.layout.clone()));
        Self { all, seed, settled, device }
    }

    /// What boot code the disk has outside its filesystems.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(crate) fn boot_code(&self) -> Result<Vec<BootCode>, BlockError> {
        match &self.device {
            Some(Device(device, layout)) => volume::boot_code(&**device, layout),
            None => Ok(Vec::new()),
        }
    }

    /// The UUID that a volume is to get: the old one and the new one. `None` where it has none, or
    /// got its new one already.
    ///
    /// # Errors
    /// Why it keeps the one it has.
    pub(crate) fn renewal(&self, facts: &VolumeFacts) -> Result<Option<(String, String)>, String> {
        let Some(old) = &facts.uuid else { return Ok(None) };
        match self.settled.get(&facts.volume) {
            Some((_, new)) if new == old => return Ok(None),
            Some((from, new)) if from == old && facts.renew.is_ok() => {
                return Ok(Some((from.clone(), new.clone())));
            }
            _ => {}
        }
        let made_of = facts.renew.as_ref().map_err(Clone::clone)?;
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        for part in [&facts.volume.0, old] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Ok(Some((old.clone(), made_of(hasher.finalize().as_bytes()))))
    }
}
