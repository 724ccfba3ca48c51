//! A regular expression of an operation.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use regex::bytes::{Regex, RegexBuilder};

/// Compiled size that a regular expression may have; a guest's text is matched in linear time
/// whatever it is, and no sensible step comes near this.
const SIZE: usize = 1 << 20;

/// Who wrote an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// It is in the program; a test compiles its expressions, a run those that it needs.
    Program,
    /// Somebody who has to be told what is wrong with it.
    User,
}

/// A regular expression; `^` and `$` are a line's ends.
#[derive(Clone)]
pub(crate) struct Expression {
    text: Arc<str>,
    compiled: Arc<OnceLock<Regex>>,
}

impl Expression {
    /// # Errors
    /// What is wrong with it, for its author.
    pub(crate) fn new(text: &str, author: Author) -> Result<Self, String> {
        let compiled = match author {
            Author::Program => OnceLock::new(),
            Author::User => OnceLock::from(compile(text)?),
        };
        Ok(Self { text: text.into(), compiled: Arc::new(compiled) })
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Deref for Expression {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        self.compiled.get_or_init(|| match compile(&self.text) {
            Ok(regex) => regex,
            Err(why) => {
                unreachable!("a test compiles what is in the program: {}: {why}", self.text)
            }
        })
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    let built =
        RegexBuilder::new(text).multi_line(true).size_limit(SIZE).dfa_size_limit(SIZE).build();
    built.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim();
        format!("not a regular expression: {}", last.trim_start_matches("error: "))
    })
}
