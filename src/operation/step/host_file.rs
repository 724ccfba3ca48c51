//! Files of the host that a step brings along.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::StepError;
use crate::operation::content::HostContent;
use crate::volume::VolumeId;

/// A file of the host, or a stretch of one, and what it holds once that was asked for: the same for
/// the plan and for what proves it.
#[derive(Debug)]
pub(super) struct HostFile {
    path: PathBuf,
    /// Where it begins, and how long it is.
    part: Option<(u64, u64)>,
    content: OnceLock<HostContent>,
}

impl HostFile {
    /// All of a file, which has an absolute path.
    pub(super) fn whole(path: PathBuf) -> Self {
        Self { path, part: None, content: OnceLock::new() }
    }

    /// So many bytes of a file, from `at` on.
    pub(super) fn part(path: PathBuf, at: u64, length: u64) -> Self {
        Self { path, part: Some((at, length)), content: OnceLock::new() }
    }

    /// Makes sure that the file is not larger than a whole filesystem; its holes take no space.
    ///
    /// # Errors
    /// It is, and how large it is.
    pub(super) fn fits(&self, size: u64, volume: &VolumeId) -> Result<(), StepError> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(()) };
        let stored = metadata.len().min(metadata.blocks().saturating_mul(512));
        if stored <= size {
            return Ok(());
        }
        Err(StepError::Host(format!(
            "{}: {stored} bytes, and the whole filesystem of {volume} has {size}",
            self.path.display()
        )))
    }

    /// What it holds.
    ///
    /// # Errors
    /// The file cannot be read, or ends before.
    pub(super) fn content(&self) -> Result<&HostContent, StepError> {
        if let Some(content) = self.content.get() {
            return Ok(content);
        }
        let content = HostContent::of(&self.path, self.part).map_err(StepError::Host)?;
        Ok(self.content.get_or_init(|| content))
    }
}
