//! `none`: something is switched off by no setting.

use std::sync::Arc;

use super::{Attest, Evidence, Kind, Sight};
use crate::guest::GuestError;
use crate::operation::shape::{Field, Shape};

pub(super) const KIND: Kind = Kind {
    name: "none",
    help: "none of several pieces of evidence holds; of use within 'all', beside what a setting turns off",
    fields: &[Field::required("of", Shape::Evidence, "the pieces")],
    short: None,
    build: |fields| Ok(Arc::new(Absent { of: Evidence::pieces(fields)? })),
};

#[derive(Debug)]
struct Absent {
    of: Vec<Evidence>,
}

impl Attest for Absent {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        for piece in &self.of {
            if piece.attest(sight)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some("nothing against it".to_owned()))
    }

    fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        let telling = self.of.iter().filter(|it| it.tells_why());
        telling.filter_map(|it| it.attest(sight).ok()?).next()
    }
}
