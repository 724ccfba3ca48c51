//! Proving a staged image before it is committed: read back cold, by readers that did not write it.

mod compare;
mod expected;
mod witness;

use serde::{Deserialize, Serialize};

pub use compare::{Comparison, Finding, compare};
pub use expected::Expected;
pub use witness::Witness;

/// How much of a staged image is read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyLevel {
    /// Each changed path, each directory on the way with everything it names, and the
    /// filesystem's accounting.
    #[default]
    Touched,
    /// Both whole trees, but for the content of files that the plan does not name.
    Names,
    /// Both whole trees, content included: the difference has to equal the plan.
    Full,
}

impl VerifyLevel {
    /// This level, or another one where that is more.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        self.max(other)
    }
}
