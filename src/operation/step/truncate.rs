//! `truncate`: empties regular files; owner, mode and labels stay.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "truncate",
    help: "empties regular files; owner, mode and labels stay, symlinks are followed",
    fields: &[TARGET_FIELDS],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(Truncate(Targets::from_fields(fields)?.following()))),
};

#[derive(Debug)]
struct Truncate(Targets);

impl Propose for Truncate {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let found = draft.find(&self.0)?;
        draft.agree();
        for target in found {
            let Some(file) = draft.file(target)? else { continue };
            if draft.size(&file)? > 0 {
                let why = format!("matches {}", file.matched);
                draft.set_content(&file, Vec::new(), why)?;
            }
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
