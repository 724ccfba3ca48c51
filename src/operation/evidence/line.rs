//! `line`: a file holds a line.

use std::sync::Arc;

use super::{Attest, Kind, Sight, paths};
use crate::guest::GuestError;
use crate::operation::EDITABLE_BYTES;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Shape};
use crate::problem::Problem;

pub(super) const KIND: Kind = Kind {
    name: "line",
    help: "one of the files has a line that matches",
    fields: &[
        Field::required(
            "paths",
            Shape::Some(&Shape::Pattern),
            "files, with wildcards within names",
        ),
        Field::required("regex", Shape::Regex, "what a line matches"),
        Field::optional("unless", Shape::Regex, "lines that match this do not count"),
    ],
    short: None,
    build: |fields| {
        let regex = fields.regex("regex");
        let regex = regex.ok_or_else(|| Problem::new(fields.at(), "'regex' is missing"))?;
        Ok(Arc::new(Line {
            patterns: fields.texts("paths"),
            regex,
            unless: fields.regex("unless"),
        }))
    },
};

#[derive(Debug)]
struct Line {
    patterns: Vec<String>,
    regex: Expression,
    unless: Option<Expression>,
}

impl Attest for Line {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        for pattern in &self.patterns {
            for path in paths::regular(sight.files, pattern)? {
                let content = sight.files.read(&path, EDITABLE_BYTES)?.unwrap_or_default();
                let fits = |line: &[u8]| {
                    self.regex.is_match(line)
                        && !self.unless.as_ref().is_some_and(|unless| unless.is_match(line))
                };
                if content.split(|&byte| byte == b'\n').any(fits) {
                    return Ok(Some(path.to_string()));
                }
            }
        }
        Ok(None)
    }
}
