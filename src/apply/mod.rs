//! Applying a plan: stage, verify, commit; and recovering a commit that was stopped.

mod commit;
mod edit;
mod error;
mod host;
mod prove;
mod recover;
pub mod redo;
mod stage;
pub mod verify;
mod way;

pub use commit::{Host, LogSource, Written, commit, replay};
pub use edit::{edit, edit_all, edit_all_from};
pub use error::{ApplyError, Changed, LeftLog, REPAIR};
pub use host::FileHost;
pub use prove::{Committed, Proof, Replan, Size, Verified};
pub use recover::{Pending, Recovery, no_log_beside, open, pending, recover, recover_on};
pub use stage::{Staged, Timings, stage, stage_in};
