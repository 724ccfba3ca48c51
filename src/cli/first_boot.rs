//! `--first-boot` and `--require-way-in`: what is done about what would not come back.

use clap::{Args, ValueEnum};
use sysprep_rs::guest::Guest;
use sysprep_rs::operation::CUSTOMIZE;
use sysprep_rs::plan::{Comeback, FirstBoot, Plan, Refusal, Return};

use super::failure::Failure;
use super::opened::Opened;
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
    /// Put nothing in, nor what net.fallback asks for, and only tell
    Report,
    /// Put nothing in either, and fail where something would not come back
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
pub(crate) fn tell(returns: &[Return], guests: &[Guest], image: &dyn std::fmt::Display) {
    let locked =
        |it: &&Return| it.what == Return::WAY_IN && matches!(it.comes, Comeback::Missing(_));
    for found in returns.iter().filter(locked) {
        out::note(format_args!("sysprep-rs: {image}: {}", words(found, guests)));
    }
}

/// What is said of a thing, with the guest where there are several.
fn words(found: &Return, guests: &[Guest]) -> String {
    let guest = usize::try_from(found.guest).ok().and_then(|at| guests.get(at));
    let root = guest.filter(|_| guests.len() > 1).map(|it| format!("{}: ", it.root));
    let what = match (found.what == Return::WAY_IN, &found.comes) {
        (true, Comeback::Unknown(_)) => "it is not known whether anybody can log in: ".to_owned(),
        (true, _) => String::new(),
        (false, _) => format!("{}: ", found.what),
    };
    format!("{}{what}{}", root.unwrap_or_default(), found.comes.words())
}

impl FirstBootArgs {
    /// Fails where these flags do not allow what a plan says of the first boot.
    pub(crate) fn check(&self, plan: &Plan, opened: &Opened) -> Result<(), Failure> {
        let (returns, path) = (&plan.first_boot, &opened.path);
        let way_in = returns.iter().find(|it| it.what == Return::WAY_IN && it.comes.is_open());
        if let (true, Some(found)) = (self.require_way_in, way_in) {
            let left = left_alone(plan, found.guest);
            let message = format!("--require-way-in: {}{left}", words(found, &opened.guests));
            return Err(Failure::at(path, message));
        }
        let counts = |it: &&Return| it.what != Return::WAY_IN && it.comes.is_open();
        let open: Vec<String> = returns
            .iter()
            .filter(|it| self.mode == FirstBootArg::Refuse && counts(it))
            .map(|it| words(it, &opened.guests))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let message = format!(
            "not everything would come back at first boot ({}); --first-boot=auto puts in what it \
             can, and --first-boot=report only tells",
            open.join("; ")
        );
        Err(Failure::at(path, message))
    }
}

/// What flags asked for in a guest and could not be done: a key, a password.
fn left_alone(plan: &Plan, guest: u32) -> String {
    let asked = |it: &&Refusal| it.guest == guest && it.operation.as_deref() == Some(CUSTOMIZE);
    match plan.refusals.iter().find(asked) {
        Some(Refusal { path, reason, .. }) => format!("; left alone: {path}: {reason}"),
        None => String::new(),
    }
}
