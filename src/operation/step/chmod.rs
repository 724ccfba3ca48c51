//! `chmod`: sets permission bits.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, Owned, Target};
use crate::operation::mode::ModeChange;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{RECURSIVE, Scan, TARGET_FIELDS, Targets};
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "chmod",
    help: "sets permission bits; symlinks are followed",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::required(
                "mode",
                Shape::ModeChange,
                "the permission bits, in octal or as changes: \"0640\", \"go-w,a+rX\"",
            ),
            RECURSIVE,
        ],
    ],
    short: None,
    build: |fields| {
        let mode = ModeChange::parse(fields.text("mode").unwrap_or_default())
            .map_err(|message| Problem::new(fields.at_field("mode"), message))?;
        let recursive = fields.flag("recursive", false);
        let targets = Targets::from_fields(fields)?.following();
        Ok(Arc::new(Chmod { targets, mode, recursive }))
    },
};

#[derive(Debug)]
struct Chmod {
    targets: Targets,
    mode: ModeChange,
    recursive: bool,
}

impl Chmod {
    fn one(&self, target: &Target, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(kind) = target.kind.filter(|kind| *kind != Kind::Symlink) else { return Ok(()) };
        let Some(owned) = draft.owned(target)? else { return Ok(()) };
        let mode = self.mode.of(owned.mode, kind == Kind::Directory);
        draft.set_owned(target, Owned { mode, ..owned }, format!("matches {}", target.matched))
    }
}

impl Propose for Chmod {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let kept = draft.kept(&self.targets)?;
        for target in draft.find(&self.targets)? {
            let Some(target) = draft.anything(target)? else { continue };
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
