//! `recover`: finishes what an interrupted seal began.

use std::process::ExitCode;

use sysprep_rs::apply::{self, Recovery};
use sysprep_rs::printable;
use sysprep_rs::text_file;

use super::args::RecoverArgs;
use super::failure::Failure;
use super::out;

pub(crate) fn recover(args: &RecoverArgs) -> Result<ExitCode, Failure> {
    let path = args.image.path()?;
    // Without this a mistyped name would pass for an image that needs nothing.
    path.metadata().map_err(|it| Failure::at(path, text_file::absent(it, "no such file")))?;
    let recovery = apply::recover(path).map_err(|it| Failure::of(path, &it))?;
    let (word, sentence) = match recovery {
        Recovery::Nothing => ("nothing", "no seal was interrupted, nothing to do"),
        Recovery::Forgotten => {
            ("forgotten", "a seal was interrupted before it wrote the image: untouched as it was")
        }
        Recovery::Finished(_) => ("finished", "an interrupted seal was finished"),
        Recovery::Ahead => ("pending", "an interrupted seal waits to be finished"),
    };
    let image = path.display().to_string();
    let said = if args.json.json {
        out::json(&serde_json::json!({ "image": image, "recovery": word }))
    } else {
        out::text(&format!("{}\n", printable::line(&format!("{image}: {sentence}"))))
    };
    // What became of the image is not lost with the report.
    said.map_err(|it| Failure::new(format!("{image}: {sentence}; but {it}")))?;
    Ok(ExitCode::SUCCESS)
}
