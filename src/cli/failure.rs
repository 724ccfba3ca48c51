//! Why a command failed, in words, with its exit code.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use sysprep_rs::apply::ApplyError;
use sysprep_rs::printable;

use super::{attention, out, stray_log};

/// A failure: one line that names the file, the place and what to do.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    message: String,
    #[serde(rename = "exit")]
    code: u8,
    /// More than the message, where there is more for people.
    #[serde(skip)]
    text: Option<String>,
    /// It is in the JSON that was printed already.
    #[serde(skip)]
    in_json: bool,
}

/// What is printed as JSON in place of a report.
#[derive(Serialize)]
struct Told<'a> {
    error: &'a Failure,
}

impl Failure {
    /// The image, the guest or the host is at fault: exit code 1.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::lines([message])
    }

    /// The same, with a line for each thing that is wrong.
    pub(crate) fn lines(messages: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        // Names in them may hold line ends.
        let lines: Vec<String> =
            messages.into_iter().map(|it| printable::line(&it.to_string()).into_owned()).collect();
        Self { message: lines.join("\n"), code: 1, text: None, in_json: false }
    }

    /// Something about `path`; the path is named once, also where the message names it already.
    pub(crate) fn at(path: &Path, message: impl fmt::Display) -> Self {
        let (path, message) = (path.display().to_string(), message.to_string());
        if message.starts_with(&path) {
            Self::new(message)
        } else {
            Self::new(format!("{path}: {message}"))
        }
    }

    /// Applying to `path` failed, or left something to do; a command that helps names the path, too.
    pub(crate) fn of(path: &Path, error: &ApplyError) -> Self {
        let command = format!("'sysprep-rs recover {}'", path.display());
        let message = error.to_string().replace("'sysprep-rs recover IMAGE'", &command);
        match error {
            error if error.is_damage() => Self::damaged(path, message),
            ApplyError::LogNotRemoved { .. } => {
                Self { code: attention::CODE, ..Self::at(path, message) }
            }
            _ => Self::at(path, message),
        }
    }

    /// The image at `path` is damaged, or looks so.
    pub(crate) fn damaged(path: &Path, message: impl fmt::Display) -> Self {
        Self::at(path, format!("{message}{}", stray_log::hint(path)))
    }

    /// The command line is at fault: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// The command line is at fault, which clap words at length.
    pub(crate) fn of_clap(text: String) -> Self {
        let first = text.lines().next().unwrap_or_default();
        let failure = Self::usage(first.strip_prefix("error: ").unwrap_or(first));
        Self { text: Some(text), ..failure }
    }

    /// The same, of which the JSON that was printed tells already.
    pub(crate) fn in_json(self) -> Self {
        Self { in_json: true, ..self }
    }

    /// Tells it: on standard error, and on standard output where JSON is asked for.
    pub(crate) fn tell(&self, json: bool) -> ExitCode {
        if json && !self.in_json {
            // Where it cannot be printed the exit code still tells.
            let _ = out::json(&Told { error: self });
        }
        match &self.text {
            Some(text) => out::notes(text),
            None => out::notes(&format!("sysprep-rs: {self}")),
        }
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
