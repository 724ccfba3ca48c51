//! Loop devices: the kernel takes no lock on the file behind one.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Whether a loop device of this host has the file behind it (`/sys/block/loopN/loop`, Linux's
/// ABI documentation sysfs-block-loop). What cannot be told counts as no.
pub(super) fn of(path: &Path) -> bool {
    let (Ok(path), Ok(devices)) = (path.canonicalize(), fs::read_dir("/sys/block")) else {
        return false;
    };
    devices.flatten().any(|device| {
        fs::read(device.path().join("loop/backing_file")).is_ok_and(|file| {
            file.strip_suffix(b"\n").unwrap_or(&file) == path.as_os_str().as_bytes()
        })
    })
}
