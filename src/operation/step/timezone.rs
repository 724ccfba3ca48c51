//! `timezone`: sets the time zone.

use std::sync::Arc;

use super::symlink::Symlink;
use super::write::Write;
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::Draft;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "timezone",
    help: "makes /etc/localtime a link to a zone that is in the guest; writes /etc/timezone where it is there",
    fields: &[&[Field::required("zone", Shape::Line, "the zone, such as Europe/London")]],
    short: Some("zone"),
    build: |fields| {
        let zone = fields.text("zone").unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-+/".contains(c);
        let file = format!("/usr/share/zoneinfo/{zone}").parse::<GuestPath>().ok();
        match file.filter(|_| zone.chars().all(fits) && !zone.starts_with('/')) {
            Some(file) => Ok(Arc::new(Timezone { zone: zone.to_owned(), file })),
            None => {
                let message = format!("'{zone}' is no time zone; write one such as Europe/London");
                Err(Problem::new(fields.at_field("zone"), message))
            }
        }
    },
};

#[derive(Debug)]
struct Timezone {
    zone: String,
    file: GuestPath,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

impl Propose for Timezone {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if draft.at(&self.file, true)?.and_then(|it| it.kind) != Some(Kind::File) {
            let reason = "the guest has no such time zone; name one that is there, or have its \
                          tzdata package in the guest";
            draft.refuse(&self.file, reason);
            return Ok(());
        }
        let (localtime, file) = (path("/etc/localtime"), self.file.to_string());
        // systemd makes the same link in its short form.
        let there = match draft.at(&localtime, false)? {
            Some(target) => draft.link_target(&target)?,
            None => None,
        };
        if there.as_deref() != Some(format!("..{file}").as_bytes()) {
            Symlink::in_place(localtime, file.into_bytes()).propose(draft)?;
        }
        let named = path("/etc/timezone");
        if draft.at(&named, true)?.and_then(|it| it.kind) == Some(Kind::File) {
            Write::of(named, format!("{}\n", self.zone).into_bytes()).propose(draft)?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec!["/etc/localtime".into(), "/etc/timezone".into()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
