//! Commands, exit codes, and errors in words.

mod args;
mod attention;
mod catalogue;
mod clock;
mod customize;
mod explain;
mod failure;
mod first_boot;
mod inspect;
mod opened;
mod out;
mod output;
mod own_files;
mod plan_file;
mod progress;
mod recover;
mod run;
mod secrets;
mod seed;
mod stopwatch;
mod stray_log;
mod support;
mod usage;
mod virt_sysprep;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use args::{Cli, Command};
use failure::Failure;

/// The commands that take virt-sysprep's flags.
const CLEANING: [&str; 2] = ["audit", "seal"];

pub(crate) fn main() -> ExitCode {
    let command = CLEANING
        .into_iter()
        .fold(Cli::command(), |command, name| command.mut_subcommand(name, virt_sysprep::taught));
    let parsed = command
        .try_get_matches()
        .and_then(|given| Cli::from_arg_matches(&given).map(|cli| (cli, given)));
    let result = match parsed {
        Ok((cli, given)) => answered(&given).and_then(|()| dispatch(cli.command)),
        Err(error) => said_by_clap(&error),
    };
    result.unwrap_or_else(|failure| failure.tell(asks_for_json()))
}

/// Whether the command line has `--json` in it, right or wrong as it may be otherwise.
fn asks_for_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// Answers what is said on the command line and needs no image.
fn answered(given: &ArgMatches) -> Result<(), Failure> {
    match given.subcommand() {
        Some((name, given)) if CLEANING.contains(&name) => {
            virt_sysprep::answer(name, given)?;
            args::check_order(given)
        }
        _ => Ok(()),
    }
}

/// Help, the version, or a usage error (exit code 2), which clap words where we do not.
fn said_by_clap(error: &clap::Error) -> Result<ExitCode, Failure> {
    match error.exit_code() {
        0 => out::printed(error.print()).map(|()| ExitCode::SUCCESS),
        _ => Err(match usage::one_line(error) {
            Some(line) => Failure::usage(line),
            None => Failure::of_clap(error.render().to_string()),
        }),
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Audit(args) => run::audit(&args),
        Command::Seal(args) => run::seal(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Operations(args) => catalogue::operations(&args),
        Command::Check(args) => catalogue::check(&args),
        Command::Schema(args) => catalogue::schema(&args),
        Command::Support(args) => support::support(&args),
        Command::Recover(args) => recover::recover(&args),
        Command::Seed(args) => seed::seed(args),
    }
}
