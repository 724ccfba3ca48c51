//! `touch`: makes an empty file where nothing is.

use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::operation::draft::{Draft, New};
use crate::operation::targets::Scan;

pub(super) const VERB: Verb = Verb {
    name: "touch",
    help: "makes an empty file where nothing is; an existing file keeps content and times",
    fields: &[new::FIELDS],
    short: Some("path"),
    build: |fields| Ok(Arc::new(Touch(Place::from_fields(fields)?))),
};

#[derive(Debug)]
struct Touch(Place);

impl Propose for Touch {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(target) = self.0.target(draft, true)? else { return Ok(()) };
        match target.kind {
            None | Some(crate::fs::Kind::File) => {
                self.0.make(draft, &target, New::File(Vec::new().into()), 0o644)
            }
            Some(_) => {
                draft.refuse(&target.path, "not a regular file");
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
