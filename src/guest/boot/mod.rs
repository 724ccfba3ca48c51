//! What of a guest starts at boot, read from its files alone: systemd's units, OpenRC's runlevels,
//! SysV's links, runit's services, BusyBox's scripts.

mod condition;
mod generated;
mod name;
mod preset;
mod scripts;
mod search_path;
mod start;
mod state;
mod store;
mod unit_file;
mod units;

pub use condition::{Condition, Conditions};
pub use preset::{Enabling, Preset, Presets};
pub use scripts::{
    busybox_script, default_runlevel, openrc_runlevel, runit_directory, sysv_directory,
};
pub use start::{Boot, NotStarted, Reached};
pub use state::UnitState;
pub use store::UnitFiles;
pub use unit_file::{Setting, Settings};
pub use units::{Loaded, Unit, Units};
