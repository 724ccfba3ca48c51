//! `all`: several pieces of evidence together.

use std::sync::Arc;

use super::{Attest, Evidence, Kind, Sight};
use crate::guest::GuestError;
use crate::operation::shape::{Field, Shape};

pub(super) const KIND: Kind = Kind {
    name: "all",
    help: "each of several pieces of evidence holds; the report says the first",
    fields: &[Field::required("of", Shape::Evidence, "the pieces")],
    short: None,
    build: |fields| Ok(Arc::new(All { of: Evidence::pieces(fields)? })),
};

#[derive(Debug)]
struct All {
    of: Vec<Evidence>,
}

impl Attest for All {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let mut first = None;
        for piece in &self.of {
            match piece.attest(sight)? {
                Some(found) => first = first.or(Some(found)),
                None => return Ok(None),
            }
        }
        Ok(first)
    }

    fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        self.of.iter().find(|it| matches!(it.attest(sight), Ok(None)))?.why_not(sight)
    }
}
