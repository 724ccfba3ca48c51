//! Loop devices: the kernel takes no lock on the file behind one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::same_file::is_same_file;

/// Whether a loop device of this host has the file behind it (`/sys/block/loopN/loop`, Linux's
/// ABI documentation sysfs-block-loop), by whatever name. What cannot be told counts as no.
pub(super) fn of(path: &Path) -> bool {
    let Ok(devices) = fs::read_dir("/sys/block") else { return false };
    devices.flatten().any(|device| {
        let Ok(file) = fs::read(device.path().join("loop/backing_file")) else { return false };
        let file = file.strip_suffix(b"\n").unwrap_or(&file);
        is_same_file(Path::new(OsStr::from_bytes(file)), path)
    })
}
