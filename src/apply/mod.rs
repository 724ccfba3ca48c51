//! Applying a plan: stage, verify, commit; and recovering a commit that was stopped.

mod commit;
mod edit;
mod error;
mod host;
mod recover;
pub mod redo;
pub mod verify;

pub use commit::{Host, LogSource, Written, commit, replay};
pub use edit::{edit, edit_all};
pub use error::ApplyError;
pub use host::FileHost;
pub use recover::{Pending, Recovery, pending, recover_on};
