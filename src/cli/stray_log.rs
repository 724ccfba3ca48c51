//! The redo log of an interrupted seal whose image is not beside it any more: what looks like a
//! damaged image may be that image, half written, under another name.

use std::fs;
use std::path::Path;

use sysprep_rs::apply::redo;
use sysprep_rs::image::folder_of;

/// How many files of a folder are looked at.
const LOOKED_AT: usize = 10_000;

/// Words to be put behind an error about a damaged image, where such a log lies beside it.
pub(crate) fn hint(image: &Path) -> String {
    let folder = folder_of(image);
    let Ok(entries) = fs::read_dir(folder) else { return String::new() };
    let stray = entries
        .take(LOOKED_AT)
        .filter_map(|entry| {
            let log = entry.ok()?.file_name();
            let name = redo::image_of(&log)?.to_owned();
            (!folder.join(&name).exists()).then_some((log, name))
        })
        .min();
    stray.map_or_else(String::new, |(log, name)| {
        format!(
            ". Beside it lies {}, the log of an interrupted seal of {}: if this is that image, give \
             it that name again and run 'sysprep-rs recover {}'",
            log.display(),
            name.display(),
            folder.join(&name).display()
        )
    })
}
