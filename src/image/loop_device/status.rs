//! What the kernel says of a loop device (`LOOP_GET_STATUS64`, loop(4)).

use std::fs::OpenOptions;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use rustix::fs::OFlags;
use rustix::ioctl::{Getter, ioctl};

const LOOP_GET_STATUS64: rustix::ioctl::Opcode = 0x4c05;

/// `struct loop_info64` of `linux/loop.h`, 232 bytes: the device and the inode number of the file
/// behind it come first, as stat(2) gives them.
type LoopInfo64 = [u64; 29];

/// The file behind the loop device `/dev/NAME`, whose number sysfs gives as `MAJOR:MINOR`, by its
/// device and inode number. `None` where the device cannot be opened, which takes root on most
/// hosts, or is another one here.
pub(super) fn file_behind(name: &str, number: &str) -> Option<(u64, u64)> {
    let device = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32)
        .open(format!("/dev/{name}"))
        .ok()?;
    let metadata = device.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    if !metadata.file_type().is_block_device() || number.trim_end() != format!("{major}:{minor}") {
        return None;
    }
    // SAFETY: the kernel writes one `loop_info64` to where the call points, of which any bytes are
    // a value of `LoopInfo64`, and the opcode is this structure's. Another kind of device answers
    // ENOTTY and writes nothing.
    #[allow(unsafe_code)]
    let info = unsafe { ioctl(&device, Getter::<LOOP_GET_STATUS64, LoopInfo64>::new()) }.ok()?;
    Some((info[0], info[1]))
}
