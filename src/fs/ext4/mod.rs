//! ext2, ext3 and ext4: our own reader and editor.
//!
//! The format is described in the kernel's documentation,
//! [ext4 Data Structures and Algorithms](https://docs.kernel.org/filesystems/ext4/).

mod raw;

pub mod checksum;
pub mod dir;
pub mod features;
pub mod group;
pub mod htree;
pub mod inode;
pub mod source;
pub mod superblock;
pub mod xattr;
