//! The test suite: one binary, a module a subject.

mod apply;
mod cli;
mod conformance;
mod crash;
mod ext4_edit;
mod ext4_read;
mod guest;
mod hostile;
mod images;
mod fat;
mod layers;
mod operations;
mod plan;
mod random;
mod random_edits;
mod recipes;
mod residue;
mod seed_check;
mod seed_volume;
#[allow(dead_code, reason = "each test module uses its share")]
mod support;
mod volumes;
