//! `copy`: makes what is at one path of the guest anew at another.

use std::sync::Arc;

use super::move_path::{FIELDS, Way};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::Draft;
use crate::operation::targets::Scan;

pub(super) const VERB: Verb = Verb {
    name: "copy",
    help: "copies a file or directory of the guest as 'cp -a' does: into a directory that is there, unless that is such a copy already, else to be what 'to' says",
    fields: &[FIELDS],
    short: None,
    build: |fields| Ok(Arc::new(Copy(Way::from_fields(fields)?))),
};

#[derive(Debug)]
struct Copy(Way);

impl Propose for Copy {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(source) = self.0.source(draft)? else {
            draft.refuse(&self.0.from, "nothing is there");
            return Ok(());
        };
        // What a link leads to takes a file's content; what is copied otherwise is its own.
        let follow = source.kind == Some(Kind::File);
        let Some(mut to) = self.0.destination(draft, &source, follow)? else { return Ok(()) };
        if source.kind == Some(Kind::Directory)
            && to.kind.is_none()
            && let Some(there) = draft.at(&self.0.to, true)?
            && there.kind == Some(Kind::Directory)
            && there.path != source.path
            && !there.path.starts_with(&source.path)
            && draft.is_copy(&source, &there)?
        {
            // The copy itself, which a first run made; what is in it may have to be set again.
            to = there;
        }
        if to.path == source.path {
            draft.refuse(&source.path, "it is this file itself");
            return Ok(());
        }
        draft.copy(&source, &to, &format!("a copy of {}", source.path))?;
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec![self.0.from.to_string(), self.0.to.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
