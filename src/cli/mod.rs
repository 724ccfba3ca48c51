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

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use failure::Failure;

/// `audit`: there is something to clean.
const SOMETHING_TO_CLEAN: u8 = 3;

pub(crate) fn main() -> ExitCode {
    // clap prints usage errors itself, with exit code 2.
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("sysprep-rs: {failure}");
            failure.code()
        }
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
