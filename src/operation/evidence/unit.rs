//! `unit`: systemd starts a unit at the next boot.

use std::sync::Arc;

use regex::Regex;

use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::guest::boot::{Condition, Loaded, Reached, Units};
use crate::guest::cloud_init::{HostKeys, Runs};
use crate::operation::shape::{Field, Shape};
use crate::problem::Problem;

pub(super) const KIND: Kind = Kind {
    name: "unit",
    help: "systemd starts one of the units at the next boot, or once its socket, timer or path asks \
           for it: it is enabled or pulled in, not masked, and its conditions hold",
    fields: &[
        Field::required(
            "names",
            Shape::Some(&Shape::Line),
            "names with wildcards: 'sshd-keygen@*.service'",
        ),
        Field::optional(
            "runs",
            Shape::Regex,
            "only those with a command that matches (ExecStart, ExecStartPre, …)",
        ),
    ],
    short: Some("names"),
    build: |fields| {
        let runs = match fields.regex("runs") {
            Some(regex) => {
                let text = Regex::new(regex.as_str());
                Some(text.map_err(|it| Problem::new(fields.at_field("runs"), it.to_string()))?)
            }
            None => None,
        };
        Ok(Arc::new(Unit { names: fields.texts("names"), runs }))
    },
};

#[derive(Debug)]
struct Unit {
    names: Vec<String>,
    runs: Option<Regex>,
}

impl Unit {
    /// Whether a command of it is one that is looked for.
    fn fits(&self, units: &Units<'_>, name: &str) -> Result<bool, GuestError> {
        let Some(runs) = &self.runs else { return Ok(true) };
        let Loaded::Unit(unit) = units.unit(name)? else { return Ok(false) };
        Ok(unit.settings.iter().any(|it| {
            it.section == "Service" && it.key.starts_with("Exec") && runs.is_match(&it.value)
        }))
    }
}

impl Attest for Unit {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let (Some(units), Some(boot)) = (sight.units()?, sight.boot()?) else { return Ok(None) };
        for name in &self.names {
            if let Some(found) = boot.starts(name)?
                && self.fits(units, &found.unit)?
                && !leaves_it_to_cloud_init(&found, sight)?
            {
                return Ok(Some(words(&found)));
            }
        }
        Ok(None)
    }
}

/// Whether the unit stays off where cloud-init runs, as Red Hat's makers of host keys do, and
/// cloud-init runs and does not do its work: by the link that cloud-init's generator makes at boot.
fn leaves_it_to_cloud_init(found: &Reached, sight: &Sight<'_>) -> Result<bool, GuestError> {
    let link = |it: &Condition| it.negated && it.value.ends_with("/cloud-init.target");
    if !found.conditions.iter().any(link) {
        return Ok(false);
    }
    let Some(cloud) = sight.cloud()? else { return Ok(false) };
    let runs = matches!(cloud.runs, Runs::Yes | Runs::WithSource(_));
    Ok(runs && !matches!(cloud.host_keys, HostKeys::Made { .. }))
}

/// Whether it holds in every machine: a root that cannot be written has no keys to be made, and an
/// image with a boot loader is no container.
fn goes_without_saying(condition: &Condition) -> bool {
    condition.key == "ConditionPathIsReadWrite"
        || condition.key == "ConditionVirtualization" && condition.value == "!container"
}

/// What starts, and on what that depends.
fn words(found: &Reached) -> String {
    let mut words = found.unit.clone();
    if let Some(by) = &found.on_demand {
        words.push_str(&format!(", once {by} asks for it"));
    }
    if let Some(condition) = found.conditions.iter().find(|it| !goes_without_saying(it)) {
        words.push_str(&format!(", where {condition} holds"));
    }
    words
}
