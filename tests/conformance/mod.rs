//! Suites that every implementation of a contract runs.

pub(crate) mod block;
pub(crate) mod image;
pub(crate) mod drivers;
pub(crate) mod fs;
