//! `chown`: sets owner and group.

use std::sync::Arc;

use super::new::Meta;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::problem::Problem;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

pub(super) const VERB: Verb = Verb {
    name: "chown",
    help: "sets owner and group; a symlink's own, not its target's",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::optional("owner", Shape::Owner, "user, by name or number"),
            Field::optional("group", Shape::Owner, "group, by name or number"),
        ],
    ],
    short: None,
    build: |fields| {
        let meta = Meta::from_fields(fields);
        if meta.owner.is_none() && meta.group.is_none() {
            return Err(Problem::new(fields.at(), "give 'owner', 'group' or both"));
        }
        Ok(Arc::new(Chown { targets: Targets::from_fields(fields)?, meta }))
    },
};

#[derive(Debug)]
struct Chown {
    targets: Targets,
    meta: Meta,
}

impl Propose for Chown {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        for target in draft.find(&self.targets)? {
            let Some(owned) = draft.owned(&target)? else { continue };
            if let Some(owned) = self.meta.over(owned, &target.path, draft)? {
                let why = format!("matches {}", target.matched);
                draft.set_owned(&target, owned, why)?;
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
