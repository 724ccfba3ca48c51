//! The files an image is read from, which no result may be written to.

use std::path::Path;

use sysprep_rs::image::{Image, is_same_file};

use super::failure::Failure;

/// Refuses to write to a file that the image is read from, under whatever name.
pub(crate) fn refuse(flag: &str, file: &Path, image: &Image) -> Result<(), Failure> {
    if is_same_file(file, image.path()) {
        return Err(Failure::usage(format!("{flag} names the image itself; name another file")));
    }
    match image.backing_files().iter().find(|it| is_same_file(file, it)) {
        Some(backing) => Err(Failure::usage(format!(
            "{flag} names {}, a backing file of the image; name another file",
            backing.display()
        ))),
        None => Ok(()),
    }
}
