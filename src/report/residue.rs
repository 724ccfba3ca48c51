//! What stays readable in the volumes that are edited, because no editor reaches it.

use super::words::bytes;
use crate::block::{BlockError, ReadBlocks, reads_as_zero};
use crate::guest::Disk;
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
    }
    Ok(lines)
}
