//! ext2, ext3 and ext4: our own reader and editor.

pub mod checksum;
pub mod dir;
pub mod htree;
pub mod xattr;
