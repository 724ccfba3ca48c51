//! `firstboot`: a script that runs once, at the next boot.
//!
//! Scripts stand in a folder of ours and run by name; a runner takes each out of it before it runs.
//! What starts the runner is the guest's own init system.

use std::sync::Arc;

use super::new::{self, Meta, Place};
use super::symlink::Symlink;
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::{Family, Init};
use crate::operation::draft::Draft;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

const FOLDER: &str = "/usr/lib/sysprep-rs/firstboot";
const RUNNER: &str = "/usr/lib/sysprep-rs/firstboot/run";
const UNIT: &str = "/etc/systemd/system/sysprep-rs-firstboot.service";

/// What runs the scripts, with a head that sysvinit's tools read.
const RUNNER_TEXT: &str = include_str!("run.sh");
/// systemd.service(5).
const UNIT_TEXT: &str = include_str!("sysprep-rs-firstboot.service");
/// A service of OpenRC.
const OPENRC_TEXT: &str = include_str!("openrc.sh");

pub(super) const VERB: Verb = Verb {
    name: "firstboot",
    help: "has the guest run a script once, as root, at its next boot; its output goes to /root/sysprep-rs-firstboot.log",
    fields: &[&[
        Field::required(
            "name",
            Shape::Name,
            "the script's name; scripts run in the order of names",
        ),
        Field::required("script", Shape::Text, "the script; without '#!' the shell runs it"),
    ]],
    short: None,
    build: |fields| {
        let name = fields.text("name").unwrap_or_default();
        let path = format!("{FOLDER}/scripts/{name}").parse::<GuestPath>();
        let path = path.map_err(|it| Problem::new(fields.at_field("name"), it))?;
        let script = fields.text("script").unwrap_or_default();
        if script.trim().is_empty() {
            return Err(Problem::new(fields.at_field("script"), "'script' is empty"));
        }
        Ok(Arc::new(Firstboot { path, script: script.as_bytes().to_vec() }))
    },
};

#[derive(Debug)]
struct Firstboot {
    path: GuestPath,
    script: Vec<u8>,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

/// A file of root's, and the directories that lead there.
fn file(draft: &mut Draft<'_>, path: GuestPath, text: &[u8], mode: u16) -> Result<(), StepError> {
    new::file(draft, path, text, mode, "runs scripts at first boot")
}

impl Firstboot {
    /// What starts the runner: `false`, with a refusal, where nothing known does.
    fn start(&self, draft: &mut Draft<'_>) -> Result<bool, StepError> {
        let facts = &draft.guest().facts;
        let init = facts.init.filter(|_| facts.family == Family::Linux);
        match init {
            Some(Init::Systemd) => {
                file(draft, path(UNIT), UNIT_TEXT.as_bytes(), 0o644)?;
                // A guest without a machine id sets its units by presets when it boots.
                let preset = path("/etc/systemd/system-preset/00-sysprep-rs.preset");
                file(draft, preset, b"enable sysprep-rs-firstboot.service\n", 0o644)?;
                let wants = "/etc/systemd/system/multi-user.target.wants";
                link(draft, &format!("{wants}/sysprep-rs-firstboot.service"), UNIT)?;
                Ok(true)
            }
            Some(Init::Openrc) => {
                let service = "/etc/init.d/sysprep-rs-firstboot";
                file(draft, path(service), OPENRC_TEXT.as_bytes(), 0o755)?;
                link(draft, "/etc/runlevels/default/sysprep-rs-firstboot", service)?;
                Ok(true)
            }
            Some(Init::Sysvinit | Init::Upstart) => sysvinit(draft),
            _ => {
                let reason = "what this guest's init system runs at boot is not known";
                draft.refuse(&self.path, reason);
                Ok(false)
            }
        }
    }
}

/// Links for each runlevel that has a login, wherever the guest keeps them.
fn sysvinit(draft: &mut Draft<'_>) -> Result<bool, StepError> {
    // insserv's: what is not in it is not started, and only insserv writes it.
    let depend = path("/etc/init.d/.depend.start");
    if draft.at(&depend, true)?.is_some_and(|it| it.kind.is_some()) {
        let reason = "this guest starts what insserv wrote down, which has to be run in it";
        draft.refuse(&depend, reason);
        return Ok(false);
    }
    let mut any = false;
    for level in 2..=5 {
        for above in ["/etc", "/etc/rc.d", "/etc/init.d"] {
            let folder = format!("{above}/rc{level}.d");
            let there = draft.at(&path(&folder), true)?.and_then(|it| it.kind);
            if there == Some(Kind::Directory) {
                link(draft, &format!("{folder}/S99sysprep-rs-firstboot"), RUNNER)?;
                any = true;
                break;
            }
        }
    }
    if !any {
        draft.refuse(&path("/etc/rc3.d"), "no folder for what is started at boot is there");
    }
    Ok(any)
}

fn link(draft: &mut Draft<'_>, at: &str, target: &str) -> Result<(), StepError> {
    let place = Place::with(path(at), Meta::default());
    if place.target(draft, false)?.is_none() {
        return Ok(());
    }
    Symlink::in_place(path(at), target.as_bytes().to_vec()).propose(draft)
}

impl Propose for Firstboot {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if !self.start(draft)? {
            return Ok(());
        }
        file(draft, path(RUNNER), RUNNER_TEXT.as_bytes(), 0o755)?;
        file(draft, self.path.clone(), &self.script, 0o700)
    }

    fn paths(&self) -> Vec<String> {
        vec![self.path.to_string(), RUNNER.to_owned()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
