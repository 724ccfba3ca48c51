//! `unit`: systemd starts a unit at the next boot.

use std::sync::Arc;

use super::cloud_init::makes_host_keys;
use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::guest::boot::{Condition, Loaded, Reached, Units};
use crate::guest::cloud_init::Runs;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Shape};

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
    build: |fields| Ok(Arc::new(Unit { names: fields.texts("names"), runs: fields.regex("runs") })),
};

#[derive(Debug)]
struct Unit {
    names: Vec<String>,
    runs: Option<Expression>,
}

impl Unit {
    /// Whether a command of it is one that is looked for.
    fn fits(&self, units: &Units<'_>, name: &str) -> Result<bool, GuestError> {
        let Some(runs) = &self.runs else { return Ok(true) };
        let Loaded::Unit(unit) = units.unit(name)? else { return Ok(false) };
        Ok(unit.settings.iter().any(|it| {
            it.section == "Service"
                && it.key.starts_with("Exec")
                && runs.is_match(it.value.as_bytes())
        }))
    }
}

impl Attest for Unit {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let (Some(units), Some(boot)) = (sight.units()?, sight.boot()?) else { return Ok(None) };
        for name in &self.names {
            let Some(mut found) = boot.starts(name)? else { continue };
            if !self.fits(units, &found.unit)? {
                continue;
            }
            match leaves_it_to_cloud_init(&mut found, sight)? {
                Leaves::No => return Ok(Some(words(&found))),
                Leaves::Where => {
                    return Ok(Some(format!("{}, or cloud-init where that runs", words(&found))));
                }
                Leaves::Yes => {}
            }
        }
        Ok(None)
    }
}

/// Whether a unit stays off where cloud-init runs.
enum Leaves {
    No,
    Yes,
    /// cloud-init does its work where the unit does not.
    Where,
}

/// Whether the unit leaves its work to cloud-init, as Red Hat's makers of host keys do by the link
/// that cloud-init's generator makes at boot. That condition is taken out where it is decided.
fn leaves_it_to_cloud_init(found: &mut Reached, sight: &Sight<'_>) -> Result<Leaves, GuestError> {
    let link = |it: &Condition| it.negated && it.value.ends_with("/cloud-init.target");
    if !found.conditions.iter().any(link) {
        return Ok(Leaves::No);
    }
    let cloud = sight.cloud()?;
    let leaves = match cloud.map(|it| (&it.runs, it)) {
        None | Some((Runs::No { .. }, _)) => Leaves::No,
        Some((Runs::Yes, _)) => Leaves::Yes,
        Some((Runs::WithSource(_) | Runs::NotKnown { .. }, cloud)) => {
            match makes_host_keys(cloud, sight)? {
                true => Leaves::Where,
                false => Leaves::Yes,
            }
        }
    };
    found.conditions.retain(|it| !link(it));
    Ok(leaves)
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
