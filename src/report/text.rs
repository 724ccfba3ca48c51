//! Reports as text, made to be read: grouped, short, every path only when asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use crate::guest::{Facts, MachineId};
use crate::image::DECRYPT;
use crate::operation::VolumeAction;
use crate::path::GuestPath;
use crate::plan::{Outcome, Refusal, Unsettled};
use crate::printable;
use crate::volume::Table;

use super::first_boot;
pub use super::words::count;
use super::words::{bytes, objects, seconds, things};
use super::{
    ChangedVolume, Command, Inspection, OperationReport, PathReport, Report, StageTime,
    VolumeReport,
};

/// Writes one line, whatever is in it: names and messages may come from the guest.
macro_rules! line {
    ($out:expr, $($part:tt)*) => {
        writeln!($out, "{}", printable::line(&format!($($part)*)))
    };
}

/// An inspection.
///
/// # Errors
/// Those of `out`.
pub fn inspection(out: &mut dyn Write, found: &Inspection) -> fmt::Result {
    image(out, found)?;
    for volume in &found.volumes {
        volume_details(out, volume)?;
    }
    for guest in &found.guests {
        writeln!(out)?;
        line!(out, "{} on {}", name(&guest.facts), guest.root)?;
        for (what, value) in facts(&guest.facts) {
            line!(out, "  {what:<16} {value}")?;
        }
        for mount in &guest.mounts {
            line!(out, "  {:<16} {} on {}", "mounted", mount.volume, mount.at)?;
        }
        for note in &guest.notes {
            line!(out, "  {:<16} {note}", "note")?;
        }
    }
    if found.guests.is_empty() {
        writeln!(out)?;
        line!(out, "No operating system found{}", why_no_guest(found))?;
    }
    Ok(())
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
    let volumes = found.volumes.iter().map(volume).collect::<Vec<_>>().join("; ");
    match found.volumes.iter().find(|it| it.encrypted) {
        Some(encrypted) => format!(" ({volumes}); {} is encrypted: {DECRYPT}", encrypted.id),
        None => format!(" ({volumes})"),
    }
}

/// Takes a file's path and its size in bytes.
pub type Visit<'a> = dyn FnMut(&GuestPath, u64) + 'a;

/// Shows every file below a directory of a guest (by its place in the report); the answer is what
/// could not be looked into, a line each.
pub type Below<'a> = dyn FnMut(usize, &GuestPath, &mut Visit<'_>) -> Vec<String> + 'a;

/// The first part of an audit's or a seal's report, which is all known before anything is written:
/// what was found, and what each operation changes; every path is named where `below` is given.
///
/// # Errors
/// Those of `out`.
pub fn findings(
    out: &mut dyn Write,
    report: &Report,
    mut below: Option<&mut Below<'_>>,
) -> fmt::Result {
    image(out, &report.found)?;
    volumes_in_short(out, &report.found)?;
    let guests = &report.found.guests;
    for (at, guest) in guests.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        line!(out, "{}: {}", guest.root, one_line(&guest.facts))?;
        for note in &guest.notes {
            line!(out, "  note: {note}")?;
        }
        guest_operations(out, report, at, below.as_deref_mut())?;
    }
    if guests.is_empty() {
        line!(out, "No operating system found{}", why_no_guest(&report.found))?;
    }
    secrets(out, report)?;
    for residue in &report.residue {
        line!(out, "Stays readable: {residue}")?;
    }
    Ok(())
}

/// Where secrets are and what was looked at for them.
fn secrets(out: &mut dyn Write, report: &Report) -> fmt::Result {
    let several = report.found.guests.len() > 1;
    for secret in &report.secrets {
        let guest = report.found.guests.get(secret.guest as usize).filter(|_| several);
        let root = guest.map(|it| format!("{}:", it.root)).unwrap_or_default();
        let more = match (&secret.goes_with, &secret.operation) {
            (Some(operation), _) => format!(", goes with {operation}"),
            (None, Some(operation)) => format!(" ({operation})"),
            (None, None) => String::new(),
        };
        line!(out, "Secret: {root}{} {}: {}{more}", secret.path, secret.at, secret.kind)?;
    }
    let Some(searched) = &report.searched else { return Ok(()) };
    for unread in &searched.unread {
        line!(out, "Not looked at for secrets: {unread}")?;
    }
    let kept = report.secrets.iter().filter(|it| it.goes_with.is_none()).count() as u64;
    let found = match (report.secrets.len() as u64, kept) {
        (0, _) => "no secret found".to_owned(),
        (all, 0) => format!("{} found, all of which go", count(all, "secret", "secrets")),
        (all, kept) if all == kept => format!("{} found", count(all, "secret", "secrets")),
        (all, kept) => {
            format!("{} found, of which {kept} stay", count(all, "secret", "secrets"))
        }
    };
    let more = if searched.more { ", and more that are not listed" } else { "" };
    let allowed = match searched.allowed {
        0 => String::new(),
        allowed => format!(", {allowed} allowed"),
    };
    line!(
        out,
        "{} of {} looked through: {found}{more}{allowed}",
        count(searched.files, "file", "files"),
        bytes(searched.bytes)
    )
}

fn image(out: &mut dyn Write, found: &Inspection) -> fmt::Result {
    let image = &found.image;
    let table = match found.table {
        Table::None => "no partition table",
        Table::Mbr => "MBR",
        Table::Gpt => "GPT",
    };
    line!(
        out,
        "{}: {}, a disk of {} in {} on the host, {table}",
        image.path,
        image.format,
        bytes(image.virtual_size),
        bytes(image.allocated),
    )?;
    if let Some(sha256) = &image.sha256 {
        line!(out, "  content SHA-256 {sha256}")?;
    }
    for warning in &found.warnings {
        line!(out, "  warning: {warning}")?;
    }
    Ok(())
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

fn volumes_in_short(out: &mut dyn Write, found: &Inspection) -> fmt::Result {
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
            line.push_str(&format!(" on {}", mounted.join(", ")));
        } else if volume.filesystem.is_some() && !found.guests.is_empty() {
            line.push_str(", of no guest: left alone");
        }
        if let Some(reason) =
            volume.filesystem.as_ref().and_then(|fs| fs.read_only_because.as_ref())
        {
            line.push_str(&format!(", not edited: {reason}"));
        }
        line!(out, "{line}")?;
    }
    Ok(())
}

fn volume_details(out: &mut dyn Write, volume: &VolumeReport) -> fmt::Result {
    writeln!(out)?;
    line!(out, "{}: {}, {}", volume.id, bytes(volume.size), holds(volume))?;
    let mut line = |what: &str, value: &str| line!(out, "  {what:<16} {value}");
    if let Some(kind) = &volume.partition_type {
        line("partition type", kind)?;
    }
    if let Some(uuid) = &volume.partition_uuid {
        line("partition UUID", uuid)?;
    }
    if let Some(label) = &volume.partition_label {
        line("partition label", label)?;
    }
    let Some(fs) = &volume.filesystem else { return Ok(()) };
    if let Some(uuid) = &fs.uuid {
        line("UUID", uuid)?;
    }
    line("free", &format!("{} of {}", bytes(fs.free), bytes(fs.size)))?;
    line("block size", &bytes(u64::from(fs.block_size)))?;
    if !fs.features.is_empty() {
        line("features", &fs.features.join(" "))?;
    }
    if fs.dirty {
        line("state", "not cleanly unmounted")?;
    }
    if let Some(reason) = &fs.read_only_because {
        line("not edited", reason)?;
    }
    Ok(())
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

fn guest_operations(
    out: &mut dyn Write,
    report: &Report,
    guest: usize,
    mut below: Option<&mut Below<'_>>,
) -> fmt::Result {
    let verbose = below.is_some();
    let mut here: Vec<&OperationReport> =
        report.operations.iter().filter(|it| it.guest as usize == guest).collect();
    // Not in the order that they are worked out in, which says nothing to a reader.
    here.sort_by_key(|it| &it.operation);
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
        .map(|it| amount(it).len())
        .max()
        .unwrap_or(0);
    for (class, operations) in changed {
        writeln!(out)?;
        line!(out, "{}", word(class).unwrap_or_default())?;
        for operation in operations {
            let what = amount(operation);
            line!(
                out,
                "  {:<width$}  {what:>counted$}  {:>9}",
                operation.operation,
                bytes(operation.bytes),
            )?;
            for ChangedVolume { volume, action } in &operation.volumes {
                match action {
                    VolumeAction::SetUuid { from, to } => {
                        line!(out, "    {:<16} {volume}, {from} becomes {to}", "set-uuid")?;
                    }
                    VolumeAction::WipeSwap { .. } if !verbose => {}
                    VolumeAction::WipeSwap { bytes: gone } => {
                        line!(out, "    {:<16} {volume}, {}", "wipe-swap", bytes(*gone))?;
                    }
                }
            }
            if let Some(below) = below.as_deref_mut() {
                for path in &operation.paths {
                    path_lines(out, guest, &operation.operation, path, below)?;
                }
            }
        }
    }
    first_boot::part(out, report.first_boot.iter().filter(|it| it.guest as usize == guest))?;
    writeln!(out)?;
    let named = |wanted: fn(&Outcome) -> bool| -> Vec<&str> {
        here.iter().filter(|it| wanted(&it.outcome)).map(|it| it.operation.as_str()).collect()
    };
    let clean = named(|it| *it == Outcome::AlreadyClean);
    if !clean.is_empty() {
        wrapped(out, "Already clean: ", &clean.join(", "))?;
    }
    let skipped = named(|it| matches!(it, Outcome::Skipped(_)));
    if !skipped.is_empty() && !verbose {
        wrapped(out, "Not for this guest: ", &skipped.join(", "))?;
    }
    let found = named(|it| *it == Outcome::Found);
    if !found.is_empty() {
        wrapped(out, "Found secrets: ", &found.join(", "))?;
    }
    let refused = named(|it| matches!(it, Outcome::Refused(_)));
    if !refused.is_empty() {
        wrapped(out, "Refused: ", &refused.join(", "))?;
    }
    for operation in &here {
        match &operation.outcome {
            Outcome::Skipped(why) if verbose => {
                line!(out, "Not for this guest: {}: {why}", operation.operation)?;
            }
            outcome => {
                if let Some(why) = outcome.failed() {
                    line!(out, "FAILED: {}: {why}", operation.operation)?;
                }
            }
        }
    }
    for Unsettled { path, operation, .. } in
        report.unsettled.iter().filter(|it| it.guest as usize == guest)
    {
        line!(
            out,
            "Note: {path} ({operation}): the edit matches its own result; sealing again would change \
             it again"
        )?;
    }
    left_alone(out, report.refusals.iter().filter(|it| it.guest as usize == guest), verbose)
}

/// How much an operation changes.
fn amount(operation: &OperationReport) -> String {
    things(operation.files, operation.directories, operation.volumes.len() as u64)
}

/// How many paths that are left alone for one reason are named.
const LEFT_ALONE: usize = 3;

/// What is left alone, a line for each reason that many paths have: a filesystem that cannot be
/// edited has as many as there are paths in it.
fn left_alone<'a>(
    out: &mut dyn Write,
    all: impl Iterator<Item = &'a Refusal>,
    verbose: bool,
) -> fmt::Result {
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
                let operation = operation.as_deref().unwrap_or("all operations");
                line!(out, "Left alone: {path} ({operation}): {reason}")?;
            }
        } else {
            let some: Vec<String> =
                paths.iter().take(LEFT_ALONE).map(|it| it.to_string()).collect();
            let more = paths.len() - LEFT_ALONE;
            line!(out, "Left alone: {} and {more} more: {reason}", some.join(", "))?;
        }
    }
    Ok(())
}

/// How many files below a directory are put in order before they are named: beyond, they come as the
/// directory has them, so that little memory is taken.
const SORTED: u64 = 10_000;

/// A path, and the files that go with it where it is a directory.
fn path_lines(
    out: &mut dyn Write,
    guest: usize,
    operation: &str,
    path: &PathReport,
    below: &mut Below<'_>,
) -> fmt::Result {
    let PathReport {
        path: at,
        action,
        files,
        directories,
        bytes: gone,
        writes,
        from,
        also,
        counted_with,
        ..
    } = path;
    if counted_with != operation {
        return line!(out, "    {action:<16} {at} (counted with {counted_with})");
    }
    let mut line = format!("    {action:<16} {at}");
    if *directories > 0 || *files > 1 {
        line.push_str(&format!(", {}", objects(*files, *directories)));
    }
    if let Some(size) = writes.filter(|size| *size > 0) {
        line.push_str(&format!(", {} written", bytes(size)));
    }
    if let Some(from) = from {
        line.push_str(&format!(" from {from}"));
    }
    match writes {
        _ if *gone == 0 => {}
        Some(size) if *size > 0 => line.push_str(&format!(", {} less", bytes(*gone))),
        _ => line.push_str(&format!(", {}", bytes(*gone))),
    }
    if !also.is_empty() {
        line.push_str(&format!(" (also {})", also.join(", ")));
    }
    line!(out, "{line}")?;
    if *directories == 0 || *files == 0 {
        return Ok(());
    }
    let mut sorted = Vec::new();
    let mut result = Ok(());
    let mut file = |path: &GuestPath, size: u64| line!(out, "{:21}{path}, {}", "", bytes(size));
    let unread = below(guest, at, &mut |path, size| {
        if *files <= SORTED && sorted.len() as u64 <= SORTED {
            sorted.push((path.clone(), size));
        } else if result.is_ok() {
            result = file(path, size);
        }
    });
    sorted.sort_unstable();
    sorted.iter().try_for_each(|(path, size)| file(path, *size))?;
    unread.iter().try_for_each(|unread| line!(out, "{:21}not listed: {unread}", ""))?;
    result
}

/// Words after a head, broken at 100 columns and set in under the head.
fn wrapped(out: &mut dyn Write, head: &str, words: &str) -> fmt::Result {
    let mut line = head.to_owned();
    let mut empty = true;
    for word in words.split(' ') {
        if !empty && line.len() + 1 + word.len() > 100 {
            line!(out, "{line}")?;
            line = "  ".to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    line!(out, "{line}")
}

/// What is done in sum: what goes, what is there and becomes different, what is new.
fn what(report: &Report, words: [&str; 3]) -> String {
    let mut sums = [(0, 0, 0); 3];
    for operation in &report.operations {
        for path in operation.paths.iter().filter(|it| it.counted_with == operation.operation) {
            let kind = match path.action {
                "remove" | "truncate" | "wipe" => 0,
                action if action.starts_with("create-") => 2,
                _ => 1,
            };
            sums[kind].0 += path.files;
            sums[kind].1 += path.directories;
        }
    }
    let wiped: BTreeSet<_> = report
        .operations
        .iter()
        .flat_map(|it| &it.volumes)
        .filter(|it| matches!(it.action, VolumeAction::WipeSwap { .. }))
        .map(|it| &it.volume)
        .collect();
    let renamed: BTreeSet<_> =
        report.operations.iter().flat_map(|it| &it.volumes).map(|it| &it.volume).collect();
    sums[0].2 = wiped.len() as u64;
    sums[1].2 = renamed.difference(&wiped).count() as u64;
    let totals = &report.totals;
    let mut tail = format!(" in {}", count(totals.operations, "operation", "operations"));
    if totals.bytes > 0 {
        tail.push_str(&format!(", {} of content", bytes(totals.bytes)));
    }
    let mut parts = Vec::new();
    for ((files, directories, volumes), word) in sums.into_iter().zip(words) {
        if files + directories + volumes > 0 {
            parts.push(format!("{word}: {}{tail}", things(files, directories, volumes)));
            // It is said once.
            tail.clear();
        }
    }
    let text = parts.join("; ");
    let mut letters = text.chars();
    letters.next().map(|it| it.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The last part of a report: the sums, and what sealing did and proved.
///
/// # Errors
/// Those of `out`.
pub fn summary(out: &mut dyn Write, report: &Report) -> fmt::Result {
    writeln!(out)?;
    let totals = &report.totals;
    match (report.command, &report.sealed) {
        _ if report.found.guests.is_empty() => {}
        (Command::Audit, _) if totals.changes == 0 => line!(out, "Nothing to clean.")?,
        (Command::Audit, _) => {
            let what = what(report, ["to clean", "to change", "to make"]);
            line!(out, "{what}. Nothing was written.")?;
        }
        (_, None) if totals.changes == 0 => {
            line!(out, "Nothing to clean. Nothing was written.")?;
        }
        (_, None) => {
            let what = what(report, ["would clean", "would change", "would make"]);
            line!(out, "{what}. Nothing was written.")?;
        }
        (_, Some(sealed)) => {
            match totals.changes {
                0 => line!(out, "Nothing to clean.")?,
                _ => line!(out, "{}.", what(report, ["cleaned", "changed", "made"]))?,
            }
            for freed in sealed.filesystems.iter().filter(|it| it.discarded > 0) {
                line!(
                    out,
                    "{}: {} freed, {} of free space holds nothing now",
                    freed.volume,
                    bytes(freed.bytes),
                    bytes(freed.discarded)
                )?;
            }
            for proof in &sealed.proofs {
                line!(out, "Proved: {proof}")?;
            }
            for proof in &sealed.not_proved {
                line!(out, "Not proved: {proof}")?;
            }
            let place = report.place();
            let untouched = sealed.written == 0 && sealed.released == 0;
            if untouched && sealed.output.is_none() {
                line!(out, "{place}: already clean, every byte is as it was")?;
            } else {
                line!(
                    out,
                    "{place}: {} on the host, before {}",
                    bytes(sealed.allocated),
                    bytes(report.found.image.allocated)
                )?;
            }
            if let Some(sha256) = &sealed.sha256 {
                line!(out, "  content SHA-256 {sha256}")?;
            }
        }
    }
    let duration = |millis: f64| seconds(std::time::Duration::from_secs_f64(millis / 1000.0));
    let total: f64 = report.timings.iter().map(|it| it.ms).sum();
    let stages: Vec<String> = report
        .timings
        .iter()
        .map(|StageTime { stage, ms }| format!("{stage} {}", duration(*ms)))
        .collect();
    if !stages.is_empty() {
        line!(out, "{} ({})", duration(total), stages.join(", "))?;
    }
    Ok(())
}
