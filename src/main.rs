//! The command line: the only code that prints, exits or reads arguments.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
