//! Commands, exit codes, and errors in words.

mod args;
mod catalogue;
mod failure;
mod inspect;
mod opened;
mod out;
mod own_files;
mod plan_file;
mod progress;
mod recover;
mod run;
mod stopwatch;
mod support;
mod virt_sysprep;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use args::{Cli, Command};
use failure::Failure;

/// `audit`: there is something to clean.
const SOMETHING_TO_CLEAN: u8 = 3;

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
    match result {
        Ok(code) => code,
        Err(failure) => {
            out::note(format_args!("sysprep-rs: {failure}"));
            failure.code()
        }
    }
}

/// Answers what is said on the command line and needs no image.
fn answered(given: &ArgMatches) -> Result<(), Failure> {
    match given.subcommand() {
        Some((name, given)) if CLEANING.contains(&name) => {
            virt_sysprep::answer(given)?;
            args::check_order(given)
        }
        _ => Ok(()),
    }
}

/// Help, the version, or a usage error (exit code 2), which clap words and prints.
fn said_by_clap(error: &clap::Error) -> Result<ExitCode, Failure> {
    let printed = error.print();
    match u8::try_from(error.exit_code()) {
        Ok(0) => out::printed(printed).map(|()| ExitCode::SUCCESS),
        code => Ok(ExitCode::from(code.unwrap_or(2))),
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Audit(args) => run::audit(&args),
        Command::Seal(args) => run::seal(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Operations(args) => catalogue::operations(&args),
        Command::Check(args) => catalogue::check(&args),
        Command::Schema(_) => catalogue::schema(),
        Command::Support(args) => support::support(&args),
        Command::Recover(args) => recover::recover(&args),
    }
}
