//! The files an image is read from, which no result may be written to.

use std::io;
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

/// Whether a name stands for standard output with other programs.
pub(crate) fn is_standard_output(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Makes sure that `--output` can write a file there, as far as it can be told before the work is
/// done; it is asked again when it is written.
pub(crate) fn is_free(output: &Path, force: bool) -> Result<(), Failure> {
    if is_standard_output(output) {
        return Err(Failure::usage("--output writes a file; for one called '-' write ./-"));
    }
    in_a_folder(output)?;
    match output.symlink_metadata() {
        Ok(it) if it.is_dir() => Ok(()),
        Ok(_) if !force => Err(Failure::at(output, "the file exists already; --force replaces it")),
        // What a link leads to counts: /dev/stdout is one.
        Ok(_) if !output.metadata().is_ok_and(|it| it.is_file()) => {
            Err(Failure::at(output, "--force replaces regular files only"))
        }
        _ => Ok(()),
    }
}

/// Makes sure that a new file has a folder to stand in.
pub(crate) fn in_a_folder(file: &Path) -> Result<(), Failure> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match folder.metadata() {
        Ok(it) if it.is_dir() => Ok(()),
        Ok(_) => Err(Failure::at(file, format!("{} is not a folder", folder.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::at(file, format!("the folder {} does not exist", folder.display())))
        }
        Err(error) => Err(Failure::at(file, format!("the folder {}: {error}", folder.display()))),
    }
}
