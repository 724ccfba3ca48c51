//! `chmod`: sets permission bits.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, Owned};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "chmod",
    help: "sets permission bits; symlinks are followed",
    fields: &[TARGET_FIELDS, &[Field::required("mode", Shape::Mode, "the permission bits")]],
    short: None,
    build: |fields| {
        let mode = fields.mode("mode").unwrap_or_default();
        Ok(Arc::new(Chmod { targets: Targets::from_fields(fields)?, mode }))
    },
};

#[derive(Debug)]
struct Chmod {
    targets: Targets,
    mode: u16,
}

impl Propose for Chmod {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        for target in draft.find(&self.targets)? {
            let Some(target) = draft.followed(target)? else { continue };
            if target.kind == Some(Kind::Symlink) {
                continue;
            }
            if let Some(owned) = draft.owned(&target)? {
                let why = format!("matches {}", target.matched);
                draft.set_owned(&target, Owned { mode: self.mode, ..owned }, why)?;
            }
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
