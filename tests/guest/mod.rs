//! Guests: the tree that a guest sees, what is found in it, and what it is.

mod boot;
mod cloud_init;
mod cloud_init_start;
mod facts;
mod images;
mod memory;
mod mounts;
mod network;
mod search;
mod sshd_config;
mod selinux;
mod tmpfiles;
mod tree;
mod way_in;

use sysprep_rs::guest::{Place, Tree};
use sysprep_rs::path::GuestPath;
use sysprep_rs::volume::VolumeId;

use memory::MemoryFs;

fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

fn single(fs: MemoryFs) -> Tree {
    Tree::single(VolumeId("part1".into()), fs.open())
}

/// The paths of places as text, in their order.
fn shown(places: &[Place]) -> Vec<String> {
    places.iter().map(|place| place.path.to_string()).collect()
}
