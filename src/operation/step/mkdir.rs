//! `mkdir`: makes a directory where nothing is.

use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, New};
use crate::operation::targets::Scan;

pub(super) const VERB: Verb = Verb {
    name: "mkdir",
    help: "makes a directory where nothing is; an existing one keeps what is in it",
    fields: &[new::FIELDS],
    short: Some("path"),
    build: |fields| Ok(Arc::new(Mkdir(Place::from_fields(fields)?))),
};

#[derive(Debug)]
struct Mkdir(Place);

impl Propose for Mkdir {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(target) = self.0.target(draft, true)? else { return Ok(()) };
        match target.kind {
            None | Some(Kind::Directory) => self.0.make(draft, &target, New::Directory, 0o755),
            Some(_) => {
                draft.refuse(&target.path, "not a directory");
                Ok(())
            }
        }
    }

    fn paths(&self) -> Vec<String> {
        vec![self.0.path.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
