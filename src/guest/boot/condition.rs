//! Conditions of units (`Condition…=` and `Assert…=`, systemd.unit(5)), held against the guest's
//! files as far as those can tell.

use std::fmt;

use super::preset::glob;
use super::units::{Unit, Units};
use crate::fs::Kind;
use crate::guest::{FileState, GuestError, MountedAt};
use crate::path::GuestPath;

/// Trees that are not the image's in a booted guest: what is there is made by the kernel, or at boot.
const VOLATILE: [&[u8]; 5] = [b"dev", b"proc", b"run", b"sys", b"tmp"];

/// How many patterns of names of a `ConditionPathExistsGlob=` are followed.
const MAX_GLOB: usize = 10_000;

/// One condition of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The setting's key, such as `ConditionPathExists`.
    pub key: String,
    /// Its value as it is written, specifiers filled in where they are known, `|` and `!` in front.
    pub value: String,
    /// Whether it is one of those of which one must hold (`|`).
    pub trigger: bool,
    /// Whether the opposite is meant (`!`).
    pub negated: bool,
    /// Whether it holds in these files; `None` where they do not tell.
    pub holds: Option<bool>,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// What the conditions of a unit come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Those that do not hold, so that the unit is not started.
    pub failed: Vec<Condition>,
    /// Those that the files do not tell about, and on which the unit depends.
    pub undecided: Vec<Condition>,
}

/// The conditions of a unit.
pub(super) fn of(units: &Units<'_>, unit: &Unit) -> Result<Conditions, GuestError> {
    let mut verdict = Conditions::default();
    for family in ["Condition", "Assert"] {
        let mut triggers = Vec::new();
        for condition in list(unit, family) {
            let holds = held(units, &condition, family)?;
            let condition = Condition { holds, ..condition };
            if condition.trigger {
                triggers.push(condition);
            } else if holds == Some(false) {
                verdict.failed.push(condition);
            } else if holds.is_none() {
                verdict.undecided.push(condition);
            }
        }
        if triggers.iter().any(|it| it.holds == Some(true)) {
            continue;
        }
        let (open, failed): (Vec<_>, Vec<_>) =
            triggers.into_iter().partition(|it| it.holds.is_none());
        if open.is_empty() {
            verdict.failed.extend(failed);
        } else {
            verdict.undecided.extend(open);
        }
    }
    Ok(verdict)
}

/// The conditions as they stand there; an empty assignment of any takes back all before it.
fn list(unit: &Unit, family: &str) -> Vec<Condition> {
    let mut list = Vec::new();
    for setting in unit.settings.iter() {
        if setting.section != "Unit" || !setting.key.starts_with(family) {
            continue;
        }
        if setting.value.is_empty() {
            list.clear();
            continue;
        }
        let value = unit.expanded(setting.value).unwrap_or_else(|| setting.value.to_owned());
        let rest = value.strip_prefix('|');
        let trigger = rest.is_some();
        let negated = rest.unwrap_or(&value).starts_with('!');
        list.push(Condition { key: setting.key.to_owned(), value, trigger, negated, holds: None });
    }
    list
}

fn held(
    units: &Units<'_>,
    condition: &Condition,
    family: &str,
) -> Result<Option<bool>, GuestError> {
    let text = condition.value.trim_start_matches('|').trim_start_matches('!').trim_start();
    let kind = condition.key.strip_prefix(family).unwrap_or_default();
    let plain = match kind {
        "FirstBoot" => match super::unit_file::truth(text) {
            Some(wanted) => Some(units.is_first_boot()? == wanted),
            None => None,
        },
        _ if text.contains('%') => None,
        "PathExistsGlob" => exists_by_glob(units, text)?,
        _ => match GuestPath::from_bytes(text.as_bytes()) {
            Ok(path) => of_path(units, kind, &path)?,
            Err(_) => None,
        },
    };
    Ok(plain.map(|holds| holds != condition.negated))
}

fn of_path(units: &Units<'_>, kind: &str, path: &GuestPath) -> Result<Option<bool>, GuestError> {
    if volatile(units, path)? {
        return Ok(None);
    }
    let files = units.store.files;
    let there = |test: &dyn Fn(&FileState) -> bool| -> Result<Option<bool>, GuestError> {
        Ok(Some(files.follow(path)?.is_some_and(|it| test(&it))))
    };
    match kind {
        "PathExists" => there(&|_| true),
        "PathIsDirectory" => there(&|it| it.kind == Kind::Directory),
        "PathIsSymbolicLink" => {
            Ok(Some(files.locate(path)?.is_some_and(|it| it.kind == Kind::Symlink)))
        }
        // Whatever else may keep it from being written: a line for reading alone does.
        "PathIsReadWrite" => {
            let mounted = MountedAt::of(files, path)?;
            Ok(mounted.filter(MountedAt::is_read_only).map(|_| false))
        }
        "FileNotEmpty" => there(&|it| it.kind == Kind::File && it.size > 0),
        "FileIsExecutable" => there(&|it| it.kind == Kind::File && it.mode & 0o111 != 0),
        "DirectoryNotEmpty" => {
            if files.follow(path)?.is_none_or(|it| it.kind != Kind::Directory) {
                return Ok(Some(false));
            }
            let hidden = |name: &[u8]| name.starts_with(b".") || name.ends_with(b"~");
            Ok(Some(units.store.names(path)?.iter().any(|(name, _)| !hidden(name))))
        }
        _ => Ok(None),
    }
}

/// Whether a path is, or leads to, where the image does not say what a booted guest has.
fn volatile(units: &Units<'_>, path: &GuestPath) -> Result<bool, GuestError> {
    let outside = |path: &GuestPath| path.names().next().is_some_and(|it| VOLATILE.contains(&it));
    let mut here = path.clone();
    // Up to the deepest directory that is there: /var/run leads to /run.
    loop {
        if outside(&here) {
            return Ok(true);
        }
        if let Some(found) = units.store.files.follow(&here)? {
            return Ok(outside(&found.path));
        }
        if let Some(target) = units.store.files.link_target(&here)? {
            return Ok(outside(&super::search_path::destination(
                units.store.files,
                &here,
                &target,
            )?));
        }
        let Some(parent) = here.parent() else { return Ok(false) };
        here = parent;
    }
}

/// `None` where the files do not tell.
fn exists_by_glob(units: &Units<'_>, pattern: &str) -> Result<Option<bool>, GuestError> {
    if !pattern.starts_with('/') {
        return Ok(None);
    }
    let mut found = vec![GuestPath::root()];
    for part in pattern.split('/').filter(|it| !it.is_empty()) {
        let mut next = Vec::new();
        if !part.contains(['*', '?', '[']) {
            for dir in &found {
                if matches!(part, "." | "..") || part.contains('\0') {
                    return Ok(None);
                }
                let path = dir.join(part.as_bytes());
                if volatile(units, &path)? {
                    return Ok(None);
                }
                if units.store.files.follow(&path)?.is_some() {
                    next.push(path);
                }
            }
        } else {
            let Some(pattern) = glob(part) else { return Ok(None) };
            for dir in &found {
                let names = units.store.names(dir)?;
                let Some(left) = units.glob_left.get().checked_sub(names.len() + 1) else {
                    return Ok(None);
                };
                units.glob_left.set(left);
                for (name, _) in names {
                    if pattern.matches(&name) {
                        next.push(dir.join(&name));
                    }
                }
            }
        }
        if next.len() > MAX_GLOB {
            return Ok(None);
        }
        found = next;
    }
    Ok(Some(!found.is_empty()))
}
