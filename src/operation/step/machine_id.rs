//! `machine-id`: leaves a guest without a machine id, as its init system makes a new one from.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::Init;
use crate::operation::draft::{Draft, Kept, Owned, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

/// The file (machine-id(5)).
const FILE: &str = "/etc/machine-id";

/// D-Bus's own copies (dbus-uuidgen(1)), Linux's and the BSDs'.
const COPIES: &[&str] = &["/var/lib/dbus/machine-id", "/var/db/dbus/machine-id"];

/// What systemd takes for the file of a system that never booted.
const UNINITIALIZED: &[u8] = b"uninitialized\n";

/// The file is one line; a longer one is none.
const FILE_BYTES: u64 = 4096;

pub(super) const VERB: Verb = Verb {
    name: "machine-id",
    help: "leaves no machine id: for systemd a file that it fills at boot, for other init systems none, because D-Bus takes an empty one for damaged",
    fields: &[&[Field::required(
        "leave",
        Shape::OneOf(&["empty", "uninitialized", "absent"]),
        "what a guest with systemd gets: an empty file; one that makes the next boot a first boot, at which presets decide which units are on; or none, which does the same where the root can be written",
    )]],
    short: Some("leave"),
    build: |fields| {
        let leave = match fields.text("leave").unwrap_or_default() {
            "uninitialized" => Leave::Uninitialized,
            "absent" => Leave::Absent,
            "empty" => Leave::Empty,
            other => return Err(Problem::new(fields.at(), format!("'{other}' is not known"))),
        };
        Ok(Arc::new(MachineId { leave }))
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Empty,
    Uninitialized,
    Absent,
}

#[derive(Debug)]
struct MachineId {
    leave: Leave,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

impl MachineId {
    /// The content that the file is to have; `None` where it is to go.
    fn content(&self, init: Option<Init>) -> Option<&'static [u8]> {
        match (init, self.leave) {
            (Some(Init::Systemd) | None, Leave::Empty) => Some(b""),
            (Some(Init::Systemd) | None, Leave::Uninitialized) => Some(UNINITIALIZED),
            _ => None,
        }
    }
}

/// The regular file that a path is or leads to.
fn file(draft: &mut Draft<'_>, at: &str) -> Result<Option<Target>, StepError> {
    match draft.at(&path(at), false)? {
        Some(target) if target.kind.is_some() && !awaits_a_copy(draft, &target)? => {
            draft.file_that_matters(target)
        }
        _ => Ok(None),
    }
}

/// Whether it is a link to D-Bus's copy, which is not there: made anew, it is the id.
fn awaits_a_copy(draft: &Draft<'_>, target: &Target) -> Result<bool, StepError> {
    let Some(link) = draft.link_target(target)? else { return Ok(false) };
    let mut rest = link.as_slice();
    while let Some(up) = rest.strip_prefix(b"../") {
        rest = up;
    }
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let is_copy = COPIES.iter().any(|it| it.as_bytes().strip_prefix(b"/") == Some(rest));
    let leads = draft.followed(target.clone())?.and_then(|it| it.kind);
    Ok(is_copy && leads.is_none())
}

/// Whether the file says that the next boot is the first.
fn is_uninitialized(draft: &mut Draft<'_>, file: &Target) -> Result<bool, StepError> {
    let short = draft.size(file)? <= FILE_BYTES;
    let content = if short { draft.content(file)? } else { None };
    Ok(content.is_some_and(|it| it.trim_ascii_end() == UNINITIALIZED.trim_ascii_end()))
}

fn remove(draft: &mut Draft<'_>, at: &str) -> Result<(), StepError> {
    match draft.at(&path(at), false)? {
        Some(target) if target.kind == Some(Kind::File) => draft.remove(&target, &Kept::default()),
        // A link to where the id is kept besides.
        Some(link) if link.kind == Some(Kind::Symlink) => {
            let main = file(draft, FILE)?.map(|it| it.path);
            let Some(target) = draft.followed(link.clone())? else { return Ok(()) };
            let is_other = Some(&target.path) != main.as_ref() && target.path != path(FILE);
            if target.kind == Some(Kind::File) && is_other {
                draft.remove(&target, &Kept::default())?;
                draft.remove(&link, &Kept::default())?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

impl Propose for MachineId {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let why = format!("matches {FILE}");
        let init = draft.guest().facts.init;
        let content = self.content(init);
        if let Some(target) = draft.at(&path(FILE), false)? {
            let link = draft.link_target(&target)?;
            let leads_to = draft.followed(target.clone())?.and_then(|it| it.kind);
            // One that leads nowhere is no id, and keeps one from being made.
            let dangles =
                link.is_some() && leads_to.is_none() && !draft.is_made_at_boot(&target)?;
            if content.is_none() && dangles && !awaits_a_copy(draft, &target)? {
                draft.remove(&target, &Kept::default())?;
            }
        }
        let main = file(draft, FILE)?;
        match (content, &main) {
            (Some(content), Some(main)) => {
                // It asks for a first boot already.
                let stays = content.is_empty() && is_uninitialized(draft, main)?;
                if !stays && draft.content(main)?.as_deref() != Some(content) {
                    draft.set_content(main, content.to_vec(), &why)?;
                }
                if let Some(owned) = draft.owned(main)? {
                    draft.set_owned(main, Owned { mode: 0o444, ..owned }, &why)?;
                }
            }
            (None, Some(main)) => draft.remove(main, &Kept::default())?,
            (_, None) => {}
        }
        // The link to it goes, too: asked for is that nothing is there. Without systemd one to D-Bus's
        // copy stays, which D-Bus makes anew.
        if content.is_none()
            && let Some(link) = draft.at(&path(FILE), false)?
            && link.kind == Some(Kind::Symlink)
        {
            let awaits = awaits_a_copy(draft, &link)?;
            let goes = match init {
                Some(Init::Systemd) | None => main.is_some() || awaits,
                Some(_) => main.is_some() && !awaits,
            };
            if goes {
                draft.remove(&link, &Kept::default())?;
            }
        }
        // D-Bus's copy: a link to the file above stays; a file of its own is made anew. Where the
        // file above is a link to it, it is what was dealt with.
        for copy in COPIES {
            if main.as_ref().is_none_or(|main| main.path != path(copy)) {
                remove(draft, copy)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        [FILE].iter().chain(COPIES).map(|it| (*it).to_owned()).collect()
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
