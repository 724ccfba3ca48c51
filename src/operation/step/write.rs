//! `write`: gives one file a content.

use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::digest::Digest;
use crate::fs::Kind;
use crate::operation::draft::{Draft, New};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;

pub(super) const VERB: Verb = Verb {
    name: "write",
    help: "gives one file a content; an existing file keeps what is not given (owner, mode, labels)",
    fields: &[
        new::FIELDS,
        &[
            Field::required("content", Shape::Text, "the whole content"),
            Field::optional(
                "only-if",
                Shape::OneOf(&["exists", "missing"]),
                "write only over an existing file, or only where nothing is",
            ),
        ],
    ],
    short: None,
    build: |fields| {
        Ok(Arc::new(Write {
            place: Place::from_fields(fields)?,
            content: fields.text("content").unwrap_or_default().as_bytes().to_vec(),
            exists: fields.text("only-if").map(|word| word == "exists"),
        }))
    },
};

#[derive(Debug)]
pub(super) struct Write {
    place: Place,
    content: Vec<u8>,
    /// What has to be: there already, or not.
    exists: Option<bool>,
}

impl Write {
    /// Gives a file a content, whether it is there or not.
    pub(super) fn of(path: GuestPath, content: Vec<u8>) -> Self {
        Self { place: Place::at(path), content, exists: None }
    }
}

impl Propose for Write {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if self.exists == Some(true) && draft.at(&self.place.path, true)?.is_none() {
            return Ok(());
        }
        let Some(target) = self.place.target(draft, true)? else { return Ok(()) };
        match target.kind {
            Some(Kind::File) if self.exists != Some(false) => {
                let (length, digest) = (self.content.len() as u64, Digest::of(&self.content));
                if !draft.holds(&target, length, digest)? {
                    let why = format!("names {}", self.place.path);
                    draft.set_content(&target, self.content.clone(), why)?;
                }
                self.place.make(draft, &target, New::File(Vec::new().into()), 0o644)
            }
            None if self.exists != Some(true) => {
                self.place.make(draft, &target, New::File(self.content.clone().into()), 0o644)
            }
            Some(kind) if kind != Kind::File => {
                draft.refuse(&target.path, "not a regular file");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn paths(&self) -> Vec<String> {
        vec![self.place.path.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
