//! Why a command failed, in words, with its exit code.

use std::fmt;
use std::process::ExitCode;

use sysprep_rs::apply::ApplyError;

/// A failure: one line that names the file, the place and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The image, the guest or the host is at fault: exit code 1.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Something about `path`; the path is named once, also where the message names it already.
    pub(crate) fn at(path: &std::path::Path, message: impl fmt::Display) -> Self {
        let (path, message) = (path.display().to_string(), message.to_string());
        if message.starts_with(&path) {
            Self::new(message)
        } else {
            Self::new(format!("{path}: {message}"))
        }
    }

    /// Applying to `path` failed; a command that helps names the path, too.
    pub(crate) fn of(path: &std::path::Path, error: &ApplyError) -> Self {
        let command = format!("'sysprep-rs recover {}'", path.display());
        Self::at(path, error.to_string().replace("'sysprep-rs recover IMAGE'", &command))
    }

    /// The command line is at fault: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
