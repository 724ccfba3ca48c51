//! `remove`: takes paths away, a directory with everything below it.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "remove",
    help: "takes paths away, a directory with everything below it; a symlink itself, not its target",
    fields: &[TARGET_FIELDS],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(Remove(Targets::from_fields(fields)?))),
};

#[derive(Debug)]
struct Remove(Targets);

impl Propose for Remove {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let kept = draft.kept(&self.0)?;
        let found = draft.find(&self.0)?;
        draft.agree();
        for target in found {
            draft.remove(&target, &kept)?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        self.0.describe()
    }

    fn scan(&self) -> Option<&Scan> {
        self.0.scan()
    }
}
