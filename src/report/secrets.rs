//! What was found of secrets.

use serde::Serialize;

use crate::guest::Unread;
use crate::path::GuestPath;
use crate::secret::{Finding, Spot};

/// A secret in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretReport {
    /// Which guest, by its place in the report.
    pub guest: u32,
    /// The file.
    pub path: GuestPath,
    /// Where in it.
    pub at: Spot,
    /// What it is.
    pub kind: String,
    /// The operation whose step found it; `None` where the whole tree was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The selected operation that takes it away, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_with: Option<String>,
}

impl SecretReport {
    /// The report of a finding.
    pub fn new(
        guest: u32,
        finding: Finding,
        operation: Option<String>,
        goes_with: Option<String>,
    ) -> Self {
        let Finding { path, at, kind } = finding;
        Self { guest, path, at, kind, operation, goes_with }
    }
}

/// What a search of the whole tree looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SearchReport {
    /// How many files.
    pub files: u64,
    /// How many bytes of content.
    pub bytes: u64,
    /// How many findings an allow list covers.
    pub allowed: u64,
    /// There are more secrets than those listed.
    pub more: bool,
    /// What could not be looked at, or not wholly, a line each.
    pub unread: Vec<String>,
}

impl SearchReport {
    /// Adds what was looked at in a guest.
    pub fn add(&mut self, files: u64, bytes: u64, more: bool, unread: &[Unread]) {
        self.files += files;
        self.bytes += bytes;
        self.more |= more;
        self.unread.extend(unread.iter().map(ToString::to_string));
    }
}
