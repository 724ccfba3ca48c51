//! What became of each operation: no silent no-op.

use serde::{Deserialize, Serialize};

use crate::path::GuestPath;
use crate::secret::Finding;

/// What became of one operation in one guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "why", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// It has something to change.
    Changed,
    /// There is nothing to change.
    AlreadyClean,
    /// It changes nothing, and found secrets in files that stay.
    Found,
    /// The guest is not one it is for.
    Skipped(String),
    /// All that there is to change is left alone; the first reason.
    Refused(String),
    /// It could not be worked out.
    Failed(String),
    /// It could not be worked out because a filesystem of the guest is damaged where it looks.
    Damaged(String),
}

impl Outcome {
    /// Why it could not be worked out, where it could not.
    pub fn failed(&self) -> Option<&str> {
        match self {
            Self::Failed(why) | Self::Damaged(why) => Some(why),
            _ => None,
        }
    }
}

/// An operation's outcome in a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationOutcome {
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// The operation.
    pub operation: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A path that is left alone although an operation names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// The operation; `None` where it is left alone by every one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The path in the guest.
    pub path: GuestPath,
    /// Why.
    pub reason: String,
}

/// A file that an edit would change again, because it matches its own result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsettled {
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// The operation.
    pub operation: String,
    /// The path in the guest.
    pub path: GuestPath,
}

/// A secret in a file that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// The operation that found it.
    pub operation: String,
    /// Where, and of what kind.
    #[serde(flatten)]
    pub finding: Finding,
}
