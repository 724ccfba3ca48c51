//! `move`: what is at one path of the guest goes to another.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, Kept, Target};
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "move",
    help: "moves a file or directory as mv(1) does: into a directory that is there, else to be what 'to' says; where nothing is at 'from' and something at 'to', it was done",
    fields: &[FIELDS],
    short: None,
    build: |fields| Ok(Arc::new(Move(Way::from_fields(fields)?))),
};

/// The arguments of the verbs that take something of the guest elsewhere.
pub(super) const FIELDS: &[Field] = &[
    Field::required("from", Shape::Path, "what; a symlink is meant itself"),
    // The root is a directory, too.
    Field::required(
        "to",
        Shape::Line,
        "the absolute path it gets, or of the directory it goes into",
    ),
];

/// From where to where.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) from: GuestPath,
    pub(super) to: GuestPath,
}

impl Way {
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let path = |name: &str| {
            let text = fields.text(name).unwrap_or_default();
            text.parse().map_err(|message: String| Problem::new(fields.at_field(name), message))
        };
        let way = Self { from: path("from")?, to: path("to")? };
        if way.from.is_root() {
            return Err(Problem::new(fields.at_field("from"), "the whole guest"));
        }
        Ok(way)
    }

    /// What is to be taken; `None` where nothing is.
    pub(super) fn source(&self, draft: &Draft<'_>) -> Result<Option<Target>, StepError> {
        Ok(draft.at(&self.from, false)?.filter(|it| it.kind.is_some()))
    }

    /// Where it goes: into a directory that is there, under its own name, else to the path itself,
    /// where `follow` tells whether that is what a link there leads to. `None`, with a refusal,
    /// where no directory is.
    pub(super) fn destination(
        &self,
        draft: &mut Draft<'_>,
        source: &Target,
        follow: bool,
    ) -> Result<Option<Target>, StepError> {
        let there = draft.at(&self.to, true)?;
        let found = match (there, source.path.name()) {
            (Some(dir), Some(name)) if dir.kind == Some(Kind::Directory) => {
                draft.at(&dir.path.join(name), follow)?
            }
            _ => draft.at(&self.to, follow)?,
        };
        if found.is_none() {
            draft.refuse(&self.to, "its directory is not there; make it first");
        }
        Ok(found)
    }
}

#[derive(Debug)]
struct Move(Way);

impl Propose for Move {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(source) = self.0.source(draft)? else { return self.is_done(draft) };
        let Some(to) = self.0.destination(draft, &source, false)? else { return Ok(()) };
        let mut to = to;
        if let Some(name) = self.0.to.name().filter(|_| self.is_other_spelling(draft, &source)) {
            if source.path.name() == Some(name) {
                return Ok(());
            }
            to = draft.respelled(&source, name);
        }
        if to.path == source.path {
            draft.refuse(&source.path, "it is there already");
            return Ok(());
        }
        match (source.kind, to.kind) {
            (Some(Kind::Directory), Some(Kind::Directory)) if !draft.children(&to)?.is_empty() => {
                draft.refuse(&to.path, "a directory that is not empty is there");
                return Ok(());
            }
            (_, None) | (Some(Kind::Directory), Some(Kind::Directory)) => {}
            (Some(Kind::Directory), Some(_)) | (_, Some(Kind::Directory)) => {
                draft.refuse(&to.path, "something of another kind is there");
                return Ok(());
            }
            _ => {}
        }
        let why = format!("moved from {}", source.path);
        if !draft.relocate(&source, &to, why.clone())? {
            // Another filesystem: what could not be copied as a whole stays, too.
            if let Some(reason) = draft.needed(&source) {
                draft.refuse(&source.path, reason);
            } else if draft.copy(&source, &to, &why)? {
                draft.remove(&source, &Kept::default())?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec![self.0.from.to_string(), self.0.to.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

impl Move {
    /// Whether both paths name one object, with other letters large.
    fn is_other_spelling(&self, draft: &Draft<'_>, source: &Target) -> bool {
        let Way { from, to } = &self.0;
        let there = draft.at(to, false).ok().flatten().is_some_and(|it| it.path == source.path);
        there && from.name() != to.name() && draft.folds_case(&source.volume)
    }

    /// Nothing is at the one path: it was moved before where something is at the other. A directory
    /// that every guest has is none that was moved.
    fn is_done(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Way { from, to } = &self.0;
        // A link that leads nowhere is something, too.
        let there = match draft.at(to, true)?.filter(|it| it.kind.is_some()) {
            None => draft.at(to, false)?.filter(|it| it.kind.is_some()),
            there => there,
        };
        let done = match (there, from.name()) {
            (Some(dir), Some(name)) if draft.needed(&dir).is_some() => {
                draft.at(&dir.path.join(name), false)?.is_some_and(|it| it.kind.is_some())
            }
            (there, _) => there.is_some(),
        };
        if !done {
            draft.refuse(from, "nothing is there");
        }
        Ok(())
    }
}
