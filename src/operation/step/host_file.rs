//! Files of the host that a step brings along.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::StepError;
use crate::operation::content::HostContent;

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
