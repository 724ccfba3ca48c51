//! `symlink`: makes a symbolic link.

use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, New};
use crate::operation::shape::{Field, PATH_BYTES, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "symlink",
    help: "makes a symbolic link where nothing is, or with 'replace' in place of a file or link",
    fields: &[
        new::FIELDS,
        &[
            Field::required("target", Shape::Line, "what it points at"),
            Field::optional("replace", Shape::Bool, "take the place of a file or another link"),
        ],
    ],
    short: None,
    build: |fields| {
        if fields.has("mode") {
            let message = "a symlink has no mode of its own; leave 'mode' out";
            return Err(Problem::new(fields.at_field("mode"), message));
        }
        let length = fields.text("target").map_or(0, str::len);
        if length > PATH_BYTES {
            let message = format!("'target' is {length} bytes long; {PATH_BYTES} are possible");
            return Err(Problem::new(fields.at_field("target"), message));
        }
        Ok(Arc::new(Symlink {
            place: Place::from_fields(fields)?,
            target: fields.text("target").unwrap_or_default().as_bytes().to_vec(),
            replace: fields.flag("replace", false),
        }))
    },
};

#[derive(Debug)]
pub(super) struct Symlink {
    place: Place,
    target: Vec<u8>,
    replace: bool,
}

impl Symlink {
    /// Makes a link in place of a file or another link.
    pub(super) fn in_place(path: GuestPath, target: Vec<u8>) -> Self {
        Self { place: Place::at(path), target, replace: true }
    }
}

impl Propose for Symlink {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(mut target) = self.place.target(draft, false)? else { return Ok(()) };
        let new = New::Symlink(self.target.clone());
        match target.kind {
            Some(Kind::Symlink) if draft.link_target(&target)?.as_ref() == Some(&self.target) => {}
            None => {}
            Some(Kind::Directory) => {
                draft.refuse(&target.path, "a directory; a link does not take its place");
                return Ok(());
            }
            Some(_) if self.replace => {
                // What is there goes; the link is a new object, not the old one changed.
                target.kind = None;
            }
            Some(_) => {
                draft.refuse(&target.path, "something else is there ('replace: true' replaces it)");
                return Ok(());
            }
        }
        self.place.make(draft, &target, new, 0o777)
    }

    fn paths(&self) -> Vec<String> {
        vec![self.place.path.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
