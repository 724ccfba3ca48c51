//! Applying a plan: stage, verify, commit; and recovering a commit that was stopped.

mod commit;
mod error;
mod host;
mod recover;
pub mod redo;

pub use commit::{Host, LogSource, Written, commit, replay};
pub use error::ApplyError;
pub use host::FileHost;
pub use recover::{Pending, Recovery, pending, recover_on};
