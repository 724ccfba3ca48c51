//! Seals offline disk images before they become templates.
//!
//! The layers, each importing only those above it:
//! [`block`] → [`image`] → [`volume`] → [`fs`] → [`guest`] → [`secret`] → [`seed`] → [`operation`] → [`plan`]
//! → [`apply`] → [`report`]. `tests/layers.rs` enforces it.

pub mod bytes;
pub mod calendar;
pub mod content;
pub mod digest;
mod gzip;
pub mod path;
pub mod printable;
pub mod problem;
pub mod text_file;
mod yaml;
mod yaml_error;

pub mod block;
pub mod image;
pub mod volume;
pub mod fs;
pub mod guest;
pub mod secret;
pub mod seed;
pub mod operation;
pub mod plan;
pub mod apply;
pub mod report;
