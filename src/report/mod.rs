//! Reports of what was found and done, as text and as JSON.
//!
//! A report is a value; serde makes its JSON, [`text`] its text. Nothing here prints.

mod first_boot;
mod inspection;
mod residue;
mod run;
mod secrets;
pub mod text;
mod words;

pub use inspection::{GuestReport, ImageReport, Inspection, MountReport, VolumeReport};
pub use residue::{hidden_below_mounts, kept_by_volumes};
pub use run::{
    ChangedVolume, Command, FreedReport, OperationReport, PathReport, Report, SealReport,
    StageTime, Totals,
};
pub use secrets::{SearchReport, SecretReport};
pub use words::bytes;

/// The number of the JSON's format; a change that a reader could trip over raises it.
pub const SCHEMA: u32 = 3;
