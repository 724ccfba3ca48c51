//! Loop devices: the kernel takes no lock on the file behind one.
//!
//! Which file that is only the device itself can say, to who may open it. sysfs gives a path to
//! everybody (`/sys/block/loopN/loop`, Linux's ABI documentation sysfs-block-loop), as it was when
//! the device was attached and where it was attached: the name may be gone since, or mean another
//! file in this mount namespace. Where nothing better is known, the sizes decide, and on doubt the
//! file counts as attached.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Access, ImageError};

mod status;

/// The unit of `/sys/block/*/size`.
const SECTOR: u64 = 512;

/// A loop device with a file behind it.
#[derive(Clone, Debug)]
struct LoopDevice {
    /// `loopN`.
    name: String,
    /// What sysfs calls the file.
    path: PathBuf,
    /// Where in the file the device begins, in bytes.
    offset: u64,
    /// How much of the file it has at most, in bytes; 0 is all of it.
    limit: u64,
    /// Its size in bytes.
    size: u64,
    /// Nobody can write through it.
    read_only: bool,
    /// The file's device and inode number, where the loop device says them.
    identity: Option<(u64, u64)>,
}

/// A file, by what stat(2) says of it.
#[derive(Clone, Copy, Debug)]
struct Stat {
    /// Device and inode number.
    identity: (u64, u64),
    /// In bytes.
    size: u64,
}

/// Whether a file is the one behind a loop device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    No,
    Yes,
    CannotTell,
}

/// Refuses a file that is, or may be, behind a loop device of this host. One that is only read may
/// have a read-only loop device.
///
/// # Errors
/// [`ImageError::InUse`], with the device's name.
pub(super) fn refuse(metadata: &Metadata, path: &Path, access: Access) -> Result<(), ImageError> {
    let attached = attached(Path::new("/sys/block"), status::file_behind);
    judge(&attached, Stat::from(metadata), access, |path| fs::metadata(path).ok().map(Stat::from))
        .map_err(|how| ImageError::InUse { path: path.to_owned(), how })
}

impl From<Metadata> for Stat {
    fn from(metadata: Metadata) -> Self {
        Self::from(&metadata)
    }
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        Self { identity: (metadata.dev(), metadata.ino()), size: metadata.len() }
    }
}

/// The loop devices below `block`, a `/sys/block`, that have a file. `file_behind` asks the device
/// of a name and number for its file.
fn attached(
    block: &Path,
    file_behind: impl Fn(&str, &str) -> Option<(u64, u64)>,
) -> Vec<LoopDevice> {
    let Ok(devices) = fs::read_dir(block) else { return Vec::new() };
    devices
        .flatten()
        .filter_map(|device| {
            let folder = device.path();
            let file = fs::read(folder.join("loop/backing_file")).ok()?;
            let file = file.strip_suffix(b"\n").unwrap_or(&file);
            let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            let number = |name: &str| text(name).trim_end().parse().unwrap_or(0);
            let name = device.file_name().to_string_lossy().into_owned();
            let identity = file_behind(&name, &text("dev"));
            // One that was detached meanwhile says nothing either.
            if identity.is_none() && !folder.join("loop/backing_file").exists() {
                return None;
            }
            Some(LoopDevice {
                path: PathBuf::from(OsStr::from_bytes(file)),
                offset: number("loop/offset"),
                limit: number("loop/sizelimit"),
                size: number("size").saturating_mul(SECTOR),
                read_only: number("ro") == 1,
                identity,
                name,
            })
        })
        .collect()
}

/// Whether nothing stands against using `file`; else what does, and what to do about it.
fn judge(
    devices: &[LoopDevice],
    file: Stat,
    access: Access,
    stat: impl Fn(&Path) -> Option<Stat>,
) -> Result<(), String> {
    for device in devices {
        if access == Access::Audit && device.read_only {
            continue;
        }
        let name = &device.name;
        match device.behind(file, &stat) {
            Behind::No => {}
            Behind::Yes => {
                return Err(format!(
                    "it is attached to the loop device /dev/{name}; unmount it and detach it \
                     (losetup -d /dev/{name}) first"
                ));
            }
            Behind::CannotTell => {
                return Err(format!(
                    "it may be attached to the loop device /dev/{name}, which has a file of this \
                     size whose name ({}) leads nowhere; detach that (losetup -d /dev/{name}) \
                     first, or run this as root, who can tell",
                    device.path.display()
                ));
            }
        }
    }
    Ok(())
}

impl LoopDevice {
    fn behind(&self, file: Stat, stat: impl Fn(&Path) -> Option<Stat>) -> Behind {
        if let Some(identity) = self.identity {
            return match identity {
                it if it == file.identity => Behind::Yes,
                // An overlay mount (of a container) shows the file below it under its own device.
                (_, inode) if inode == file.identity.1 && self.fits(file) => Behind::CannotTell,
                _ => Behind::No,
            };
        }
        match stat(&self.path) {
            Some(named) if named.identity == file.identity => Behind::Yes,
            // A file of that name that can be the one is taken to be it.
            Some(named) if self.fits(named) => Behind::No,
            _ if self.fits(file) => Behind::CannotTell,
            _ => Behind::No,
        }
    }

    /// Whether the device would be as large as it is, had it this file.
    fn fits(&self, file: Stat) -> bool {
        let most = if self.limit == 0 { u64::MAX } else { self.limit };
        let size = file.size.saturating_sub(self.offset).min(most);
        size / SECTOR * SECTOR == self.size
    }
}

#[cfg(test)]
mod tests;
