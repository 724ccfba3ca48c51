//! `chown`: sets owner and group.

use std::sync::Arc;

use super::new::Meta;
use super::{Propose, StepError, Verb};
use crate::operation::draft::{Draft, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{RECURSIVE, Scan, TARGET_FIELDS, Targets};
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "chown",
    help: "sets owner and group; a symlink's own, not its target's",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::optional("owner", Shape::Owner, "user, by name or number"),
            Field::optional("group", Shape::Owner, "group, by name or number"),
            RECURSIVE,
            Field::optional("follow", Shape::Bool, "of what a symlink leads to, instead"),
        ],
    ],
    short: None,
    build: |fields| {
        let meta = Meta::from_fields(fields);
        if meta.owner.is_none() && meta.group.is_none() {
            return Err(Problem::new(fields.at(), "give 'owner', 'group' or both"));
        }
        let recursive = fields.flag("recursive", false);
        let mut targets = Targets::from_fields(fields)?;
        if fields.flag("follow", false) {
            targets = targets.following();
        }
        Ok(Arc::new(Chown { targets, meta, recursive }))
    },
};

#[derive(Debug)]
struct Chown {
    targets: Targets,
    meta: Meta,
    recursive: bool,
}

impl Chown {
    fn one(&self, target: &Target, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(owned) = draft.owned(target)? else { return Ok(()) };
        if let Some(owned) = self.meta.over(owned, &target.path, draft)? {
            let why = format!("matches {}", target.matched);
            draft.set_owned(target, owned, why)?;
        }
        Ok(())
    }
}

impl Propose for Chown {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let kept = draft.kept(&self.targets)?;
        for mut target in draft.find(&self.targets)? {
            if self.targets.follows() {
                let Some(followed) = draft.anything(target)? else { continue };
                target = followed;
            }
            self.one(&target, draft)?;
            if self.recursive {
                draft.each_below(&target, &kept, &mut |target, draft| self.one(target, draft))?;
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
