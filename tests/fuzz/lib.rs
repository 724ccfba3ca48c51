//! The targets' library: what they run is the test suite's own.

#[path = "../hostile/entries.rs"]
mod entries;

#[allow(dead_code)]
#[path = "../support"]
mod support {
    pub(crate) mod disk;
}

pub mod targets;
