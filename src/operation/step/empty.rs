//! `empty`: removes what is in directories; the directories stay as they are.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "empty",
    help: "removes what is in directories, hidden files too; the directories stay, symlinks to them are followed",
    fields: &[TARGET_FIELDS],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(Empty(Targets::from_fields(fields)?))),
};

#[derive(Debug)]
struct Empty(Targets);

impl Propose for Empty {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let kept = draft.kept(&self.0)?;
        let found = draft.find(&self.0)?;
        draft.agree();
        for target in found {
            let named = target.path.clone();
            let Some(dir) = draft.directory(target)? else { continue };
            if let Some(reason) = draft.is_elsewhere(&named, &dir) {
                draft.refuse(&named, reason);
                continue;
            }
            let children = draft.children(&dir)?;
            draft.agree();
            for mut child in children {
                child.matched = format!("{}/*", dir.matched);
                draft.remove(&child, &kept)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        self.0.describe().into_iter().map(|path| format!("{path}/*")).collect()
    }

    fn scan(&self) -> Option<&Scan> {
        self.0.scan()
    }
}
