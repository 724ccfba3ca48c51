//! Whether two names are of one file of the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether two paths lead to one file, under whatever names; no where one cannot be looked at.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
