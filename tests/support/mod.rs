//! What the tests share: reference tools, image recipes, a model filesystem, tree snapshots.

pub(crate) mod cloud_init;
pub(crate) mod debugfs;
pub(crate) mod disk;
pub(crate) mod ext4_shapes;
pub(crate) mod ext4_view;
pub(crate) mod marker;
pub(crate) mod model;
pub(crate) mod mtools;
pub(crate) mod network_tools;
pub(crate) mod oracle;
pub(crate) mod random;
pub(crate) mod recipe;
pub(crate) mod selinux;
pub(crate) mod snapshot;
pub(crate) mod spec;
