//! What stays readable in the volumes that are edited, because no editor reaches it, or nobody sees
//! it.

use super::words::bytes;
use crate::block::{BlockError, ReadBlocks, reads_as_zero};
use crate::guest::{Disk, Guest};
use crate::path::GuestPath;
use crate::plan::Plan;

/// What the volumes that a plan edits keep, a line each. `device` is the disk itself.
///
/// # Errors
/// The disk cannot be read.
pub fn kept_by_volumes(
    disk: &Disk,
    device: &dyn ReadBlocks,
    plan: &Plan,
) -> Result<Vec<String>, BlockError> {
    let mut lines = Vec::new();
    for edited in &plan.filesystems {
        let volume = disk.layout.volumes.iter().find(|it| it.id == edited.volume);
        let found = disk.filesystems.iter().find(|it| it.volume == edited.volume);
        let fs = found.and_then(|it| it.fs.as_ref().ok());
        let Some((volume, fs)) = volume.zip(fs) else { continue };
        // Whoever put it there may need it: a bootloader, a hash tree, another layer's superblock.
        let behind = volume.len.saturating_sub(fs.info().size);
        if !reads_as_zero(device, volume.start + (volume.len - behind), behind)? {
            lines.push(format!(
                "the last {} of {}: its filesystem ends before, so nothing says what uses them; \
                 zero them, or grow the filesystem over them, and seal again",
                bytes(behind),
                volume.id
            ));
        }
        match fs.bad_bytes() {
            Ok(0) => {}
            Ok(bad) => lines.push(format!(
                "{} of {} in blocks that are marked as bad: nothing writes them",
                bytes(bad),
                volume.id
            )),
            Err(error) => {
                lines.push(format!("blocks of {} that are marked as bad: {error}", volume.id));
            }
        }
    }
    Ok(lines)
}

/// What lies in guests below mount points, a line each.
pub fn hidden_below_mounts(guests: &[Guest]) -> Vec<String> {
    let line = |at: &GuestPath| {
        format!(
            "what the directory {at} holds below the filesystem that is mounted on it: it is not \
             looked at; mount the filesystem below alone, empty the directory, and seal again"
        )
    };
    guests.iter().flat_map(|guest| guest.tree.hidden()).map(line).collect()
}
