//! Reading of small files.

use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The longest file of settings that is read; real ones have a few KiB.
pub(super) const FILE_BYTES: u64 = 1 << 20;

/// A path that is written in this program.
pub(super) fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

/// The content of a regular file; one that is too long is told and left out.
pub(super) fn content(
    files: &dyn Files,
    at: &GuestPath,
    limit: u64,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, GuestError> {
    let Some(state) = files.follow(at)? else { return Ok(None) };
    if state.kind != Kind::File {
        return Ok(None);
    }
    if state.size > limit {
        notes.push(format!("{at}: longer than {limit} bytes, and was not read"));
        return Ok(None);
    }
    files.read(at, limit)
}

/// The same as text, by lines.
pub(super) fn lines(
    files: &dyn Files,
    at: &GuestPath,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, GuestError> {
    let content = content(files, at, FILE_BYTES, notes)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&content).lines().map(|it| it.trim().to_owned()).collect())
}

/// Whether a program that may be run is there.
pub(super) fn is_program(files: &dyn Files, at: &GuestPath) -> Result<bool, GuestError> {
    Ok(files.follow(at)?.is_some_and(|it| it.kind == Kind::File && it.mode & 0o111 != 0))
}

/// Words of a line, with quotes taken off as sshd's and systemd's own splitting does.
pub(crate) fn words(line: &str) -> Vec<String> {
    split(line).0
}

/// Whether a quote of a line is not closed, which sshd refuses.
pub(super) fn has_open_quote(line: &str) -> bool {
    split(line).1
}

fn split(line: &str) -> (Vec<String>, bool) {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (_, '\\') if letters.peek().is_some_and(|it| matches!(it, '\\' | '"' | '\'')) => {
                word.get_or_insert_default().extend(letters.next());
            }
            (None, '\\') if letters.peek() == Some(&' ') => {
                word.get_or_insert_default().extend(letters.next());
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            // A comment begins with a word.
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (words, quote.is_some())
}
