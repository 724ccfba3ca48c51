//! `truncate`: empties regular files; owner, mode and labels stay.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::operation::draft::{Draft, Target};
use crate::operation::targets::{RECURSIVE, Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "truncate",
    help: "empties regular files; owner, mode and labels stay, symlinks are followed",
    fields: &[TARGET_FIELDS, &[RECURSIVE]],
    short: Some("paths"),
    build: |fields| {
        Ok(Arc::new(Truncate {
            targets: Targets::from_fields(fields)?.following(),
            recursive: fields.flag("recursive", false),
        }))
    },
};

#[derive(Debug)]
struct Truncate {
    targets: Targets,
    recursive: bool,
}

impl Truncate {
    fn one(file: &Target, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if draft.size(file)? > 0 {
            let why = format!("matches {}", file.matched);
            draft.set_content(file, Vec::new(), why)?;
        }
        Ok(())
    }
}

impl Propose for Truncate {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let kept = draft.kept(&self.targets)?;
        let found = draft.find(&self.targets)?;
        draft.agree();
        for target in found {
            if !self.recursive {
                let Some(file) = draft.file(target)? else { continue };
                Self::one(&file, draft)?;
                continue;
            }
            let Some(top) = draft.anything(target)? else { continue };
            Self::one(&top, draft)?;
            draft.each_below(&top, &kept, &mut |target, draft| Self::one(target, draft))?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        self.targets.describe()
    }

    fn scan(&self) -> Option<&Scan> {
        self.targets.scan()
    }
}
