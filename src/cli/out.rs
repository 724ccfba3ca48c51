//! Standard output, whose closed pipe is the reader's choice and not an error, and standard error,
//! which is where an error is told: where that fails there is nobody left to tell.

use std::fmt;
use std::io::{self, Write as _};

use serde::Serialize;

use super::failure::Failure;

/// Prints text as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What printing on standard output came to.
pub(crate) fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        // The exit code is still the command's.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!("standard output: {error}"))),
    }
}

/// Prints a line on standard error; what cannot be printed is lost, and never ends a run half-way
/// as `eprintln!` does.
pub(crate) fn note(line: impl fmt::Display) {
    // One write, so that lines of processes that share it do not mix.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Prints a value as JSON with a line end.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut json = serde_json::to_string_pretty(value).map_err(Failure::new)?;
    json.push('\n');
    text(&json)
}
