//! `unit`: systemd starts a unit at the next boot.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cloud_init::makes_host_keys;
use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::guest::boot::{
    Boot, Condition, Loaded, NotStarted, Reached, Settings, Unit as Loading, Units,
};
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
            "only those that start with a command that matches (ExecStartPre and ExecStart, after what empty lines take back)",
        ),
        Field::optional("unless", Shape::Regex, "commands that match this do not count for 'runs'"),
        Field::optional(
            "before",
            Shape::Regex,
            "a command counts for 'runs' where none that matches this comes before it in the order in which systemd runs them, but for those that may fail ('-')",
        ),
        Field::optional(
            "ahead-of",
            Shape::Regex,
            "only those that every service of the next boot with a command that matches this waits for (Before, After)",
        ),
    ],
    short: Some("names"),
    build: |fields| {
        Ok(Arc::new(Unit {
            names: fields.texts("names"),
            runs: fields.regex("runs"),
            unless: fields.regex("unless"),
            before: fields.regex("before"),
            ahead_of: fields.regex("ahead-of"),
        }))
    },
};

#[derive(Debug)]
struct Unit {
    names: Vec<String>,
    runs: Option<Expression>,
    unless: Option<Expression>,
    before: Option<Expression>,
    ahead_of: Option<Expression>,
}

impl Unit {
    /// Whether a command of it is one that is looked for, and is come to.
    fn fits(&self, settings: &Settings) -> bool {
        let conditions = settings.list("Service", "ExecCondition");
        if conditions.iter().any(|it| cannot_succeed(it)) {
            return false;
        }
        let Some(runs) = &self.runs else { return true };
        for command in conditions.into_iter().chain(starting(settings)) {
            let is = |regex: &Expression| regex.is_match(command.as_bytes());
            if is(runs) && !self.unless.as_ref().is_some_and(is) {
                return true;
            }
            let stops = !may_fail(&command) && self.before.as_ref().is_some_and(is);
            if stops || cannot_succeed(&command) {
                return false;
            }
        }
        false
    }

    /// The unit with a command that is to wait for this one and does not.
    fn overtaken(
        &self,
        units: &Units<'_>,
        boot: &Boot,
        own: &Loading,
    ) -> Result<Option<String>, GuestError> {
        let Some(ahead_of) = &self.ahead_of else { return Ok(None) };
        for other in boot.reached().iter().filter(|it| it.failed.is_empty()) {
            if other.unit == own.name || !other.unit.ends_with(".service") {
                continue;
            }
            let Loaded::Unit(unit) = units.unit(&other.unit)? else { continue };
            if !starting(&unit.settings).iter().any(|it| ahead_of.is_match(it.as_bytes())) {
                continue;
            }
            let mut waits = waits_for(&unit, own);
            if let Some(by) = &other.on_demand
                && let Loaded::Unit(by) = units.unit(by)?
            {
                waits = waits || waits_for(&by, own);
            }
            if !waits {
                return Ok(Some(other.unit.clone()));
            }
        }
        Ok(None)
    }
}

/// What a service runs until it has started, in the order in which systemd does.
fn starting(settings: &Settings) -> Vec<String> {
    ["ExecStartPre", "ExecStart"].iter().flat_map(|key| settings.list("Service", key)).collect()
}

/// Whether its failure does not matter (systemd.service(5), "Command lines").
fn may_fail(command: &str) -> bool {
    command.chars().take_while(|it| "@-:+!|".contains(*it)).any(|it| it == '-')
}

/// Whether it ends what begins with it, in every machine.
fn cannot_succeed(command: &str) -> bool {
    let program = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let program = program.split_whitespace().next().unwrap_or_default();
    !may_fail(command) && matches!(program, "false" | "/bin/false" | "/usr/bin/false")
}

/// Whether systemd starts a unit after another.
fn waits_for(unit: &Loading, other: &Loading) -> bool {
    let names = |unit: &Loading| -> BTreeSet<String> {
        unit.aliases.iter().chain([&unit.name]).cloned().collect()
    };
    let says = |unit: &Loading, key: &str, names: &BTreeSet<String>| {
        unit.settings.dependencies(key).iter().any(|it| names.contains(it))
    };
    says(other, "Before", &names(unit)) || says(unit, "After", &names(other))
}

impl Attest for Unit {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let (Some(units), Some(boot)) = (sight.units()?, sight.boot()?) else { return Ok(None) };
        for name in &self.names {
            let Some(mut found) = boot.starts(name)? else { continue };
            let Loaded::Unit(unit) = units.unit(&found.unit)? else { continue };
            if !self.fits(&unit.settings) || self.overtaken(units, boot, &unit)?.is_some() {
                continue;
            }
            for command in unit.settings.list("Service", "ExecCondition") {
                found.conditions.push(Condition {
                    key: "ExecCondition".into(),
                    value: command,
                    trigger: false,
                    negated: false,
                    holds: None,
                });
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

    /// Where it is about one unit alone, and that is there.
    fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        let (Some(units), Some(boot)) = (sight.units().ok()?, sight.boot().ok()?) else {
            return None;
        };
        let [name] = self.names.as_slice() else { return None };
        if boot.starts(name).ok()?.is_none() {
            return Some(match units.why_not(boot, name).ok()? {
                NotStarted::Masked(path) => format!("{path} masks {name}"),
                NotStarted::Condition(failed) => {
                    format!("{name} does not start: {} does not hold", failed.first()?)
                }
                NotStarted::Requires(other) => {
                    format!("{name} does not start: it requires {other}")
                }
                NotStarted::Missing | NotStarted::Broken(_) | NotStarted::NotPulled => return None,
            });
        }
        let Loaded::Unit(unit) = units.unit(name).ok()? else { return None };
        let other = self.overtaken(units, boot, &unit).ok()??;
        Some(format!("{other} does not wait for {name}"))
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
