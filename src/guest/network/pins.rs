//! Files beside a component's own that give an interface a name by the builder's MAC address.

use std::sync::LazyLock;

use regex::Regex;

use super::Pin;
use super::key_file::{all, last, settings};
use super::look::Look;
use crate::guest::GuestError;
use crate::path::GuestPath;

/// Where `.link` files are that are not udev's own.
const LINKS: &[&str] = &["/etc/systemd/network"];

/// How many lines of a udev rule file are told.
const RULES: usize = 64;

/// Pins, and the names that they give.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pub(super) pins: Vec<Pin>,
    pub(super) given: Vec<String>,
}

pub(super) fn pin(file: &GuestPath, words: impl Into<String>) -> Pin {
    Pin { file: file.clone(), words: words.into() }
}

/// Reads them.
pub(super) fn read(look: &Look<'_>) -> Result<Pins, GuestError> {
    let mut found = Pins::default();
    for (_, file) in look.layered(LINKS, ".link")? {
        let Some(text) = look.text(&file)? else { continue };
        let lines = settings(&text, true);
        let mut macs = all(&lines, "Match", "MACAddress");
        macs.extend(all(&lines, "Match", "PermanentMACAddress"));
        let name = last(&lines, "Link", "Name").filter(|it| !it.is_empty());
        if !macs.is_empty() {
            let what =
                name.map_or_else(|| "sets up".into(), |it| format!("gives the name {it} to"));
            found.pins.push(pin(
                &file,
                format!("{what} the interface with MAC address {}", macs.join(" ")),
            ));
            found.given.extend(name.map(str::to_owned));
        } else if let Some(name) = name {
            let by = ["Path", "OriginalName", "Driver", "Property", "Host"];
            let by = by.iter().find(|key| !all(&lines, "Match", key).is_empty());
            found.pins.push(pin(
                &file,
                match by {
                    Some(key) => format!("gives the name {name} by {key}"),
                    None => format!("gives the name {name}"),
                },
            ));
        }
        if let Some(mac) = last(&lines, "Link", "MACAddress").filter(|it| !it.is_empty()) {
            found.pins.push(pin(&file, format!("gives every clone MAC address {mac}")));
        }
    }
    rules(look, &mut found)?;
    // A name that a clone's interface has anyway is no less its own.
    found.given.retain(|it| !it.starts_with("eth") && !it.starts_with("en"));
    Ok(found)
}

/// Made where a rule names an address: few guests have one.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"ATTRS?\{address\}=="([^"]{1,40})""#).ok());
static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"NAME:?="([^"]{1,40})""#).ok());

/// Rules such as those of `70-persistent-net.rules`.
fn rules(look: &Look<'_>, found: &mut Pins) -> Result<(), GuestError> {
    for (_, file) in look.layered(&["/etc/udev/rules.d"], ".rules")? {
        let Some(text) = look.text(&file)? else { continue };
        let lines = text.lines().filter(|it| !it.trim_start().starts_with('#'));
        for line in lines.filter(|it| it.contains("{address}==")).take(RULES) {
            let part = |pattern: &LazyLock<Option<Regex>>| {
                Some(pattern.as_ref()?.captures(line)?.get(1)?.as_str().to_owned())
            };
            let (Some(mac), Some(name)) = (part(&ADDRESS), part(&NAME)) else { continue };
            let words = format!("gives the name {name} to the interface with MAC address {mac}");
            found.pins.push(pin(&file, words));
            found.given.push(name);
        }
    }
    Ok(())
}
