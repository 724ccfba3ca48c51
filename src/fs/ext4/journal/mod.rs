//! The journal, jbd2 ([ext4 disk layout, "Journal (jbd2)"](https://docs.kernel.org/filesystems/ext4/journal.html)).
//!
//! It is replayed as the kernel does when it mounts, and wiped so that nothing of what went
//! through it stays. All its numbers are big-endian.

mod area;
mod log;
mod replay;
mod shown;
mod superblock;
mod wipe;

pub use area::JournalArea;
pub use replay::{Replayed, replay, replayed};
pub use superblock::JournalSuperblock;
pub use wipe::wipe;
