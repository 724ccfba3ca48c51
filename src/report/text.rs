//! Reports as text, made to be read: grouped, short, every path only when asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::guest::{Facts, MachineId};
use crate::plan::{Outcome, Refusal};
use crate::volume::Table;

use super::words::{bytes, count, objects, seconds};
use super::{Command, Inspection, OperationReport, PathReport, Report, VolumeReport};

/// An inspection.
pub fn inspection(found: &Inspection) -> String {
    let mut text = image(found);
    for volume in &found.volumes {
        volume_details(&mut text, volume);
    }
    for guest in &found.guests {
        let _ = writeln!(text, "\n{} on {}", name(&guest.facts), guest.root);
        for (what, value) in facts(&guest.facts) {
            let _ = writeln!(text, "  {what:<16} {value}");
        }
        for mount in &guest.mounts {
            let _ = writeln!(text, "  {:<16} {} on {}", "mounted", mount.volume, mount.at);
        }
        for note in &guest.notes {
            let _ = writeln!(text, "  {:<16} {note}", "note");
        }
    }
    if found.guests.is_empty() {
        let _ = writeln!(text, "\nNo operating system found{}", why_no_guest(found));
    }
    text
}

/// Why no operating system was found, to be put behind those words: each volume and what it is.
pub fn why_no_guest(found: &Inspection) -> String {
    if found.volumes.is_empty() {
        return ": the disk has no partition and no known filesystem".into();
    }
    let volume = |volume: &VolumeReport| match &volume.filesystem {
        Some(fs) => format!("{}: {} without an operating system's /etc", volume.id, fs.kind),
        None => format!("{}: {}", volume.id, holds(volume)),
    };
    format!(" ({})", found.volumes.iter().map(volume).collect::<Vec<_>>().join("; "))
}

/// An audit's or a seal's report; `verbose` names every path.
pub fn report(report: &Report, verbose: bool) -> String {
    let mut text = image(&report.found);
    volumes_in_short(&mut text, &report.found);
    let guests = &report.found.guests;
    for (at, guest) in guests.iter().enumerate() {
        let _ = writeln!(text, "{}: {}", guest.root, one_line(&guest.facts));
        for note in &guest.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        guest_operations(&mut text, report, at, verbose);
    }
    if guests.is_empty() {
        let _ = writeln!(text, "No operating system found{}", why_no_guest(&report.found));
    }
    for line in &report.residue {
        let _ = writeln!(text, "Stays readable: {line}");
    }
    text.push('\n');
    summary(&mut text, report);
    text
}

fn image(found: &Inspection) -> String {
    let image = &found.image;
    let table = match found.table {
        Table::None => "no partition table",
        Table::Mbr => "MBR",
        Table::Gpt => "GPT",
    };
    let mut text = format!(
        "{}: {}, a disk of {} in {} on the host, {table}\n",
        image.path,
        image.format,
        bytes(image.virtual_size),
        bytes(image.allocated),
    );
    if let Some(sha256) = &image.sha256 {
        let _ = writeln!(text, "  content SHA-256 {sha256}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}

/// What a volume holds, in a few words.
fn holds(volume: &VolumeReport) -> String {
    match (&volume.filesystem, &volume.not_opened) {
        (Some(fs), _) => match &fs.label {
            Some(label) => format!("{} \"{label}\"", fs.kind),
            None => fs.kind.clone(),
        },
        (None, Some(what)) => format!("not opened: {what}"),
        (None, None) => "nothing known".to_owned(),
    }
}

fn volumes_in_short(text: &mut String, found: &Inspection) {
    for volume in &found.volumes {
        let mounted: Vec<&str> = found
            .guests
            .iter()
            .flat_map(|guest| &guest.mounts)
            .filter(|mount| mount.volume == volume.id)
            .map(|mount| mount.at.as_str())
            .collect();
        let mut line = format!("  {:<7} {:>9}  {}", volume.id.0, bytes(volume.size), holds(volume));
        if !mounted.is_empty() {
            let _ = write!(line, " on {}", mounted.join(", "));
        } else if volume.filesystem.is_some() && !found.guests.is_empty() {
            line.push_str(", of no guest: left alone");
        }
        if let Some(reason) =
            volume.filesystem.as_ref().and_then(|fs| fs.read_only_because.as_ref())
        {
            let _ = write!(line, ", not edited: {reason}");
        }
        text.push_str(&line);
        text.push('\n');
    }
}

fn volume_details(text: &mut String, volume: &VolumeReport) {
    let _ = writeln!(text, "\n{}: {}, {}", volume.id, bytes(volume.size), holds(volume));
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<16} {value}");
    };
    if let Some(kind) = &volume.partition_type {
        line("partition type", kind);
    }
    if let Some(uuid) = &volume.partition_uuid {
        line("partition UUID", uuid);
    }
    if let Some(label) = &volume.partition_label {
        line("partition label", label);
    }
    let Some(fs) = &volume.filesystem else { return };
    if let Some(uuid) = &fs.uuid {
        line("UUID", uuid);
    }
    line("free", &format!("{} of {}", bytes(fs.free), bytes(fs.size)));
    line("block size", &bytes(u64::from(fs.block_size)));
    if !fs.features.is_empty() {
        line("features", &fs.features.join(" "));
    }
    if fs.dirty {
        line("state", "not cleanly unmounted");
    }
    if let Some(reason) = &fs.read_only_because {
        line("not edited", reason);
    }
}

fn name(facts: &Facts) -> String {
    facts.name.clone().or_else(|| facts.distro.clone()).unwrap_or_else(|| "unknown system".into())
}

/// Facts as pairs of what and value.
fn facts(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut add = |what, value: Option<String>| lines.extend(value.map(|value| (what, value)));
    add("distribution", facts.distro.clone());
    add("version", facts.version.clone());
    add("like", (!facts.like.is_empty()).then(|| facts.like.join(", ")));
    add("architecture", facts.architecture.clone());
    add("host name", facts.hostname.clone());
    add("packages", facts.package_manager.and_then(word));
    add("init", facts.init.and_then(word));
    add("kernels", (!facts.kernels.is_empty()).then(|| facts.kernels.join(", ")));
    add("cloud-init", facts.cloud_init.then(|| "installed".into()));
    add("machine id", word(facts.machine_id));
    add("SELinux", facts.selinux.and_then(word));
    lines
}

/// An enumeration's word, as its JSON has it.
pub fn word(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn one_line(facts: &Facts) -> String {
    let mut parts = vec![name(facts)];
    parts.extend(facts.architecture.clone());
    parts.extend(facts.hostname.as_ref().map(|name| format!("host name {name}")));
    parts.extend(facts.init.and_then(word));
    if facts.cloud_init {
        parts.push("cloud-init".into());
    }
    if facts.machine_id == MachineId::Set {
        parts.push("has a machine id".into());
    }
    parts.join(", ")
}

fn guest_operations(text: &mut String, report: &Report, guest: usize, verbose: bool) {
    let here: Vec<&OperationReport> =
        report.operations.iter().filter(|it| it.guest as usize == guest).collect();
    let mut changed: BTreeMap<_, Vec<&OperationReport>> = BTreeMap::new();
    for operation in &here {
        if operation.outcome == Outcome::Changed {
            changed.entry(operation.class).or_default().push(operation);
        }
    }
    let width = here.iter().map(|it| it.operation.len()).max().unwrap_or(0);
    let counted = here
        .iter()
        .filter(|it| it.outcome == Outcome::Changed)
        .map(|it| objects(it.files, it.directories).len())
        .max()
        .unwrap_or(0);
    for (class, operations) in changed {
        let _ = writeln!(text, "\n{}", word(class).unwrap_or_default());
        for operation in operations {
            let what = objects(operation.files, operation.directories);
            let _ = writeln!(
                text,
                "  {:<width$}  {what:>counted$}  {:>9}",
                operation.operation,
                bytes(operation.bytes),
            );
            if verbose {
                operation.paths.iter().for_each(|path| path_line(text, path));
            }
        }
    }
    text.push('\n');
    let named = |wanted: fn(&Outcome) -> bool| -> Vec<&str> {
        here.iter().filter(|it| wanted(&it.outcome)).map(|it| it.operation.as_str()).collect()
    };
    let clean = named(|it| *it == Outcome::AlreadyClean);
    if !clean.is_empty() {
        wrapped(text, "Already clean: ", &clean.join(", "));
    }
    let skipped = named(|it| matches!(it, Outcome::Skipped(_)));
    if !skipped.is_empty() && !verbose {
        wrapped(text, "Not for this guest: ", &skipped.join(", "));
    }
    let refused = named(|it| matches!(it, Outcome::Refused(_)));
    if !refused.is_empty() {
        wrapped(text, "Refused: ", &refused.join(", "));
    }
    for operation in &here {
        match &operation.outcome {
            Outcome::Skipped(why) if verbose => {
                let _ = writeln!(text, "Not for this guest: {}: {why}", operation.operation);
            }
            Outcome::Failed(why) => {
                let _ = writeln!(text, "FAILED: {}: {why}", operation.operation);
            }
            _ => {}
        }
    }
    left_alone(text, report.refusals.iter().filter(|it| it.guest as usize == guest), verbose);
}

/// How many paths that are left alone for one reason are named.
const LEFT_ALONE: usize = 3;

/// What is left alone, a line for each reason that many paths have: a filesystem that cannot be
/// edited has as many as there are paths in it.
fn left_alone<'a>(text: &mut String, all: impl Iterator<Item = &'a Refusal>, verbose: bool) {
    let mut reasons: Vec<(&str, Vec<&Refusal>)> = Vec::new();
    for refusal in all {
        match reasons.iter_mut().find(|(reason, _)| *reason == refusal.reason) {
            Some((_, refusals)) => refusals.push(refusal),
            None => reasons.push((&refusal.reason, vec![refusal])),
        }
    }
    for (reason, refusals) in reasons {
        let paths: BTreeSet<_> = refusals.iter().map(|refusal| &refusal.path).collect();
        if verbose || paths.len() <= LEFT_ALONE {
            for Refusal { path, operation, .. } in refusals {
                let _ = writeln!(text, "Left alone: {path} ({operation}): {reason}");
            }
        } else {
            let some: Vec<String> =
                paths.iter().take(LEFT_ALONE).map(|it| it.to_string()).collect();
            let more = paths.len() - LEFT_ALONE;
            let _ = writeln!(text, "Left alone: {} and {more} more: {reason}", some.join(", "));
        }
    }
}

fn path_line(text: &mut String, path: &PathReport) {
    let PathReport { path, action, files, directories, bytes: gone, also, .. } = path;
    let _ = write!(text, "    {action:<16} {path}");
    if *directories > 0 || *files > 1 {
        let _ = write!(text, ", {}", objects(*files, *directories));
    }
    if *gone > 0 {
        let _ = write!(text, ", {}", bytes(*gone));
    }
    if !also.is_empty() {
        let _ = write!(text, " (also {})", also.join(", "));
    }
    text.push('\n');
}

/// Words after a head, broken at 100 columns and set in under the head.
fn wrapped(text: &mut String, head: &str, words: &str) {
    let mut line = head.to_owned();
    let mut empty = true;
    for word in words.split(' ') {
        if !empty && line.len() + 1 + word.len() > 100 {
            let _ = writeln!(text, "{line}");
            line = "  ".to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

fn summary(text: &mut String, report: &Report) {
    let totals = &report.totals;
    let what = format!(
        "{} in {}, {} of content",
        objects(totals.files, totals.directories),
        count(totals.operations, "operation", "operations"),
        bytes(totals.bytes),
    );
    match (report.command, &report.sealed) {
        _ if report.found.guests.is_empty() => {}
        (Command::Audit, _) if totals.changes == 0 => text.push_str("Nothing to clean.\n"),
        (Command::Audit, _) => {
            let _ = writeln!(text, "To clean: {what}. Nothing was written.");
        }
        (Command::Seal, None) if totals.changes == 0 => {
            text.push_str("Nothing to clean. Nothing was written.\n");
        }
        (Command::Seal, None) => {
            let _ = writeln!(text, "Would clean: {what}. Nothing was written.");
        }
        (Command::Seal, Some(sealed)) => {
            let _ = match totals.changes {
                0 => writeln!(text, "Nothing to clean."),
                _ => writeln!(text, "Cleaned: {what}."),
            };
            for freed in sealed.filesystems.iter().filter(|it| it.discarded > 0) {
                let _ = writeln!(
                    text,
                    "{}: {} freed, {} of free space holds nothing now",
                    freed.volume,
                    bytes(freed.bytes),
                    bytes(freed.discarded)
                );
            }
            for proof in &sealed.proofs {
                let _ = writeln!(text, "Proved: {proof}");
            }
            for proof in &sealed.not_proved {
                let _ = writeln!(text, "Not proved: {proof}");
            }
            let place = report.place();
            let _ = writeln!(
                text,
                "{place}: {} on the host, before {}",
                bytes(sealed.allocated),
                bytes(report.found.image.allocated)
            );
            if let Some(sha256) = &sealed.sha256 {
                let _ = writeln!(text, "  content SHA-256 {sha256}");
            }
        }
    }
    let duration = |millis: f64| seconds(std::time::Duration::from_secs_f64(millis / 1000.0));
    let total: f64 = report.timings.iter().map(|(_, millis)| millis).sum();
    let stages: Vec<String> = report
        .timings
        .iter()
        .map(|(stage, millis)| format!("{stage} {}", duration(*millis)))
        .collect();
    if !stages.is_empty() {
        let _ = writeln!(text, "{} ({})", duration(total), stages.join(", "));
    }
}
