//! `append`: adds lines to a file's end, those that it does not have yet.

use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, New};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;

pub(super) const VERB: Verb = Verb {
    name: "append",
    help: "adds lines to the end of one file, those that it does not have yet; makes it where it is not there",
    fields: &[
        new::FIELDS,
        &[
            Field::required("lines", Shape::Some(&Shape::Line), "the lines"),
            Field::optional("only-if", Shape::OneOf(&["exists"]), "only to an existing file"),
        ],
    ],
    short: None,
    build: |fields| {
        Ok(Arc::new(Append {
            place: Place::from_fields(fields)?,
            lines: fields.texts("lines"),
            exists: fields.has("only-if"),
        }))
    },
};

#[derive(Debug)]
struct Append {
    place: Place,
    lines: Vec<String>,
    exists: bool,
}

impl Append {
    fn to(&self, mut content: Vec<u8>) -> Vec<u8> {
        for line in &self.lines {
            if content.split(|&byte| byte == b'\n').any(|there| there == line.as_bytes()) {
                continue;
            }
            if content.last().is_some_and(|&byte| byte != b'\n') {
                content.push(b'\n');
            }
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
        }
        content
    }
}

impl Propose for Append {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if self.exists
            && draft.at(&self.place.path, true)?.and_then(|it| it.kind) != Some(Kind::File)
        {
            return Ok(());
        }
        let Some(target) = self.place.target(draft, true)? else { return Ok(()) };
        match target.kind {
            None => self.place.make(draft, &target, New::File(self.to(Vec::new()).into()), 0o644),
            Some(Kind::File) => {
                let Some(content) = draft.content(&target)? else { return Ok(()) };
                let longer = self.to(content.clone());
                if longer != content {
                    draft.set_content(&target, longer, "lines added at its end")?;
                }
                self.place.make(draft, &target, New::File(Vec::new().into()), 0o644)
            }
            Some(_) => {
                draft.refuse(&target.path, "not a regular file");
                Ok(())
            }
        }
    }

    fn paths(&self) -> Vec<String> {
        vec![self.place.path.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_once() {
        let path = "/etc/x".parse().unwrap();
        let place = Place::at(path);
        let append = Append { place, lines: vec!["a".into(), "b".into()], exists: false };
        let once = append.to(b"b\nc".to_vec());
        assert_eq!(once, b"b\nc\na\n");
        assert_eq!(append.to(once.clone()), once);
    }
}
