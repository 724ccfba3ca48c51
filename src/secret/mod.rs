//! Secrets found by content: private keys, tokens, passwords and password hashes.
//!
//! A finding says where and of what kind, never what.

mod allow;
mod kinds;
mod shadow;
mod stream;
mod walk;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::GuestPath;

pub use allow::{AllowList, BadAllowList};
pub use kinds::{KINDS, SecretKind};
pub use stream::{ReadAt, Scanner};
pub use walk::{Searched, search};

/// Where a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spot {
    /// A line of a text file, from 1.
    Line(u64),
    /// A byte of a binary file, from 0.
    Byte(u64),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Byte(byte) => write!(f, "byte {byte}"),
        }
    }
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The file.
    pub path: GuestPath,
    /// Where in it.
    pub at: Spot,
    /// What it is: a name of [`KINDS`], or the one that a step gives.
    pub kind: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.path, self.at, self.kind)
    }
}
