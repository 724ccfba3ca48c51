//! Standard output, whose closed pipe is the reader's choice and not an error, and standard error,
//! which is where an error is told: where that fails there is nobody left to tell. Nothing gets to
//! either that a terminal would obey.

use std::fmt;
use std::io::{self, Write as _};

use serde::Serialize;
use sysprep_rs::printable;

use super::failure::Failure;

/// How much text is collected before it is printed.
const COLLECTED: usize = 64 * 1024;

/// Text on its way to standard output.
struct Printed {
    text: String,
    result: io::Result<()>,
}

impl Printed {
    fn flush(&mut self) {
        if self.result.is_ok() {
            let mut stdout = io::stdout().lock();
            let text = printable::lines(&self.text);
            self.result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        }
        self.text.clear();
    }
}

impl fmt::Write for Printed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text.push_str(text);
        if self.text.len() >= COLLECTED {
            self.flush();
        }
        // Nobody reads on.
        if self.result.is_ok() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Prints what is written, while it is written.
pub(crate) fn written(
    write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
) -> Result<(), Failure> {
    let mut out = Printed { text: String::new(), result: Ok(()) };
    // It fails only where the printing does.
    let _ = write(&mut out);
    out.flush();
    printed(out.result)
}

/// Prints text.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    written(|out| out.write_str(text))
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
    notes(&printable::line(&line.to_string()));
}

/// The same for text of several lines.
pub(crate) fn notes(lines: &str) {
    // One write, so that lines of processes that share it do not mix.
    let lines = format!("{}\n", printable::lines(lines.trim_end()));
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Prints a value as JSON with a line end.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut json = serde_json::to_string_pretty(value).map_err(Failure::new)?;
    json.push('\n');
    text(&printable::json(&json))
}
