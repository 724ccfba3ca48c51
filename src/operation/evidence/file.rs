//! `file`: something is at a path.

use std::sync::Arc;

use super::{Attest, Kind, Sight, paths};
use crate::guest::GuestError;
use crate::operation::shape::{Field, Shape};

pub(super) const KIND: Kind = Kind {
    name: "file",
    help: "something is at one of the paths; a symlink there leads somewhere",
    fields: &[Field::required(
        "paths",
        Shape::Some(&Shape::Pattern),
        "paths with wildcards within names",
    )],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(File { patterns: fields.texts("paths") })),
};

#[derive(Debug)]
struct File {
    patterns: Vec<String>,
}

impl Attest for File {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        for pattern in &self.patterns {
            for path in paths::find(sight.files, pattern)? {
                if sight.files.follow(&path)?.is_some() {
                    return Ok(Some(path.to_string()));
                }
            }
        }
        Ok(None)
    }
}
