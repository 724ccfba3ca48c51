//! What is said of a file while it is checked, and where in the file what is checked stands.

use crate::printable;
use crate::problem::{At, Problem};
use crate::yaml::{self, Document};

/// Problems of a file, and what else is to be known of it.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<Problem>,
}

/// Where a text that is checked comes from: the file itself, lines of it, or something packed in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// How many lines, and characters of each line, stand before it.
    lines: u64,
    columns: u64,
    /// What it is packed in, if it is, and where that stands.
    within: Option<(At, String)>,
}

impl Origin {
    /// What begins so many lines, and so many characters in each of them, further on.
    pub(super) fn shifted(&self, lines: u64, columns: u64) -> Self {
        Self {
            lines: self.lines + lines,
            columns: self.columns + columns,
            within: self.within.clone(),
        }
    }

    /// What is packed at a place: its own lines are no lines of the file.
    pub(super) fn packed(&self, at: At, what: &str) -> Self {
        let within = match &self.within {
            Some((outer, other)) => (*outer, format!("{other}, {what}")),
            None => (self.shift(at), what.to_owned()),
        };
        Self { lines: 0, columns: 0, within: Some(within) }
    }

    fn shift(&self, at: At) -> At {
        At { line: at.line + self.lines, column: at.column + self.columns }
    }

    fn problem(&self, at: At, message: &str) -> Problem {
        let at = self.shift(at);
        // A key of the file may hold anything.
        let message = printable::line(message);
        match &self.within {
            None => Problem::new(at, message),
            Some((outer, what)) => {
                let At { line, column } = at;
                Problem::new(*outer, format!("{what}, line {line}, column {column}: {message}"))
            }
        }
    }
}

impl Said {
    /// Something is wrong.
    pub(super) fn wrong(&mut self, origin: &Origin, at: At, message: impl AsRef<str>) {
        self.problems.push(origin.problem(at, message.as_ref()));
    }

    /// Something is to be known.
    pub(super) fn note(&mut self, origin: &Origin, at: At, message: impl AsRef<str>) {
        self.notes.push(origin.problem(at, message.as_ref()));
    }

    /// A content as one YAML document. What is wrong with it, and every key that is given twice, is
    /// said; `None` where there is none.
    pub(super) fn document(&mut self, origin: &Origin, content: &[u8]) -> Option<Document> {
        let read = utf8(content)
            .map_err(|at| Problem::new(at, NO_TEXT))
            .and_then(yaml::parse)
            .map_err(|problem| self.wrong(origin, problem.at, problem.message));
        let document = read.ok()?;
        self.repeated(origin, &document);
        Some(document)
    }

    /// Says which keys are given twice.
    pub(super) fn repeated(&mut self, origin: &Origin, document: &Document) {
        for problem in &document.repeated {
            self.wrong(origin, problem.at, &problem.message);
        }
    }
}

/// Why a content that is not UTF-8 is not taken.
pub(super) const NO_TEXT: &str =
    "not text: what cloud-init takes is UTF-8, or packed by gzip as a whole";

/// The first line's first character.
pub(super) const START: At = At { line: 1, column: 1 };

/// The beginning of a line, which is counted from 0.
pub(super) fn line(number: usize) -> At {
    At { line: number as u64 + 1, column: 1 }
}

/// Where a byte of a text stands.
pub(super) fn place(text: &str, byte: usize) -> At {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.bytes().filter(|&it| it == b'\n').count() as u64 + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() as u64 + 1;
    At { line, column }
}

/// A content as text.
///
/// # Errors
/// Where it stops being text.
pub(super) fn utf8(content: &[u8]) -> Result<&str, At> {
    std::str::from_utf8(content).map_err(|error| {
        let right = content.get(..error.valid_up_to()).unwrap_or_default();
        let right = std::str::from_utf8(right).unwrap_or_default();
        place(right, right.len())
    })
}
