//! `--first-boot` and `--require-way-in`: what is done about what would not come back.

use std::path::Path;

use clap::{Args, ValueEnum};
use sysprep_rs::plan::{Comeback, FirstBoot, Return};

use super::failure::Failure;
use super::out;

/// What is done about what would not come back.
#[derive(Debug, Default, Args)]
pub(crate) struct FirstBootArgs {
    /// Where nothing in the guest makes anew what it needs at first boot
    #[arg(id = "mode", long = "first-boot", value_name = "MODE", value_enum, default_value_t)]
    pub(crate) mode: FirstBootArg,

    /// Fail where nobody could log in to the sealed guest
    #[arg(long)]
    pub(crate) require_way_in: bool,
}

/// The modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirstBootArg {
    /// Put in the means
    #[default]
    Auto,
    /// Only tell
    Report,
    /// Put nothing in, nor what net.fallback asks for, and fail where something would not come back
    Refuse,
}

impl From<FirstBootArg> for FirstBoot {
    fn from(arg: FirstBootArg) -> Self {
        match arg {
            FirstBootArg::Auto => Self::Auto,
            FirstBootArg::Report | FirstBootArg::Refuse => Self::Report,
        }
    }
}

/// Says on standard error, too, that nobody could log in: who pipes the report away has to know.
pub(crate) fn tell(returns: &[Return], image: &dyn std::fmt::Display) {
    let locked =
        |it: &&Return| it.what == Return::WAY_IN && matches!(it.comes, Comeback::Missing(_));
    if let Some(found) = returns.iter().find(locked) {
        out::note(format_args!("sysprep-rs: {image}: {}", found.comes.words()));
    }
}

impl FirstBootArgs {
    /// Fails where these flags do not allow what a plan says of the first boot.
    pub(crate) fn check(&self, returns: &[Return], image: &Path) -> Result<(), Failure> {
        let way_in = returns.iter().find(|it| it.what == Return::WAY_IN && it.comes.is_open());
        if let (true, Some(found)) = (self.require_way_in, way_in) {
            let message = format!("--require-way-in: {}", found.comes.words());
            return Err(Failure::at(image, message));
        }
        let counts = |it: &&Return| it.what != Return::WAY_IN && it.comes.is_open();
        let open: Vec<String> = returns
            .iter()
            .filter(|it| self.mode == FirstBootArg::Refuse && counts(it))
            .map(|it| format!("{}: {}", it.what, it.comes.words()))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let message = format!(
            "not everything would come back at first boot ({}); --first-boot=auto puts in what it \
             can, and --first-boot=report only tells",
            open.join("; ")
        );
        Err(Failure::at(image, message))
    }
}
