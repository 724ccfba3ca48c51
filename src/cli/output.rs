//! `--output`: the new file.

use std::path::{Path, PathBuf};

use sysprep_rs::apply;
use sysprep_rs::image::{self, Format};

use super::args::SealArgs;
use super::failure::Failure;
use super::own_files;

/// Where `--output` writes to.
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    /// Its format, where it is not the source's.
    pub(crate) format: Option<Format>,
}

impl Output {
    /// What the command line says, as far as it can be checked before the work is done.
    pub(crate) fn of(args: &SealArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.output else {
            let flags =
                [("--force", args.force), ("--output-format", args.output_format.is_some())];
            return match flags.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Failure::usage(format!(
                    "{flag} is about the new file of --output NEW, which is not given: without it \
                     the image is sealed in place"
                ))),
                None => Ok(None),
            };
        };
        if image::is_same_file(path, args.image.path()?) {
            return Err(Failure::usage(
                "--output names the image itself; leave it out to seal in place",
            ));
        }
        own_files::is_free(path, args.force)?;
        let format = match args.output_format.as_deref() {
            Some(name) => Some(name.parse().map_err(|_| {
                Failure::usage(format!("--output-format '{name}': write raw or qcow2"))
            })?),
            None => Self::named(path)?,
        };
        // Asked again, too, and seldom the answer to hours of work then.
        image::refuse_to_replace_in_use(path).map_err(|it| Failure::at(path, it))?;
        apply::no_log_beside(path).map_err(|it| Failure::of(path, &it))?;
        Ok(Some(Self { path: path.clone(), format }))
    }

    /// The format that a file's name promises, where it does.
    fn named(path: &Path) -> Result<Option<Format>, Failure> {
        let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "raw" => Ok(Some(Format::Raw)),
            "qcow2" => Ok(Some(Format::Qcow2)),
            it @ ("vmdk" | "vdi" | "vhd" | "vhdx" | "qed" | "qcow") => {
                Err(Failure::usage(format!(
                    "--output: {it} is not written yet; to write raw or qcow2 under that name say \
                 --output-format"
                )))
            }
            _ => Ok(None),
        }
    }
}
