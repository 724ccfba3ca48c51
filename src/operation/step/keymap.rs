//! `keymap`: sets the keyboard of the console.

use std::sync::Arc;

use super::set_key::set_in_shell;
use super::write::Write;
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::{Init, Packages};
use crate::operation::draft::Draft;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "keymap",
    help: "sets the keyboard: on Debian the layout in /etc/default/keyboard, elsewhere systemd's /etc/vconsole.conf",
    fields: &[&[Field::required("name", Shape::Line, "the keyboard, such as us or de-latin1")]],
    short: Some("name"),
    build: |fields| {
        let name = fields.text("name").unwrap_or_default();
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            let message = format!("'{name}' is no keyboard; write one such as us or de-latin1");
            return Err(Problem::new(fields.at_field("name"), message));
        }
        Ok(Arc::new(Keymap(name.to_owned())))
    },
};

#[derive(Debug)]
struct Keymap(String);

/// keyboard(5), of Debian's keyboard-configuration.
const DEBIAN: &str = "/etc/default/keyboard";

/// vconsole.conf(5), of systemd.
const SYSTEMD: &str = "/etc/vconsole.conf";

impl Propose for Keymap {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let facts = &draft.guest().facts;
        let debian = facts.package_manager == Some(Packages::Dpkg);
        let systemd = facts.init == Some(Init::Systemd);
        let (file, key, value) = match debian {
            true => (DEBIAN, "XKBLAYOUT", format!("\"{}\"", self.0)),
            false => (SYSTEMD, "KEYMAP", self.0.clone()),
        };
        let path: GuestPath = file.parse().unwrap_or_default();
        let there = draft.at(&path, true)?.filter(|it| it.kind == Some(Kind::File));
        let content = match there {
            Some(there) => draft.content(&there)?,
            None if debian => {
                let reason = "the guest has no keyboard-configuration, so no layout to set";
                draft.refuse(&path, reason);
                None
            }
            None if !systemd => {
                draft.refuse(&path, "where this guest keeps its keyboard is not known");
                None
            }
            None => Some(Vec::new()),
        };
        match content {
            Some(content) => Write::of(path, set_in_shell(key, &value, &content)).propose(draft),
            None => Ok(()),
        }
    }

    fn paths(&self) -> Vec<String> {
        vec![DEBIAN.into(), SYSTEMD.into()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
