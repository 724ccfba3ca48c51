//! `inspect`: what is in an image.

use std::process::ExitCode;

use sysprep_rs::image::Access;
use sysprep_rs::report::text;

use super::args::InspectArgs;
use super::failure::Failure;
use super::opened::Opened;
use super::out;

pub(crate) fn inspect(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let opened = Opened::open(args.image.path()?, &args.open, Access::Audit)?;
    let found = opened.inspection();
    if args.json.json {
        out::json(&found)?;
    } else {
        out::written(|out| text::inspection(out, &found))?;
    }
    Ok(ExitCode::SUCCESS)
}
