//! What a package owns: an operation of the catalogue does not take it away.
//!
//! What a package brings is there because its programs want it, and its package manager does not put
//! back what is deleted. That an operation names such a file is a surprise, and not its purpose. A
//! directory of a package stays, unless it is made anew at boot; what is in it may go.

use std::collections::BTreeSet;

use crate::fs::Kind;
use crate::guest::boot::Loaded;
use crate::guest::{Guest, GuestError, packages};
use crate::operation::evidence::Sight;
use crate::operation::{CUSTOMIZE, Draft, Going, Operation, StepError};
use crate::path::GuestPath;

/// Where packages put what is not state.
const PLACES: [&[u8]; 7] = [b"usr", b"etc", b"lib", b"lib64", b"bin", b"sbin", b"boot"];

/// Where they have directories of state besides.
const STATE: [&[u8]; 3] = [b"var", b"srv", b"opt"];

/// What is below these is made at boot, whoever's it is.
const VOLATILE: [&str; 3] = ["/var/run", "/var/lock", "/var/tmp"];

/// Settings of services for which systemd makes directories, and where (systemd.exec(5)).
const DIRECTORIES: [(&str, &str); 4] = [
    ("StateDirectory", "/var/lib"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
    ("ConfigurationDirectory", "/etc"),
];

/// Whether a package may own it. Backups and host keys, which nearly every guest has, are of none:
/// the lists of all packages are not read for them.
fn may_be_owned(going: &Going) -> bool {
    let path = &going.path;
    let Some(first) = path.names().next() else { return false };
    if going.kind == Kind::Directory && STATE.contains(&first) {
        let below = |dir: &str| dir.parse().is_ok_and(|dir: GuestPath| path.starts_with(&dir));
        return !VOLATILE.iter().any(|dir| below(dir));
    }
    let name = path.name().unwrap_or_default();
    let is_backup =
        [&b"-"[..], b"~", b".bak", b".orig", b".old"].iter().any(|it| name.ends_with(it));
    PLACES.contains(&first) && !(is_backup || first == b"etc" && name.starts_with(b"ssh_host_"))
}

/// Whether a directory is made anew at boot, by tmpfiles.d or for a service that starts.
fn made_at_boot(sight: &Sight<'_>, dir: &GuestPath) -> Result<bool, GuestError> {
    if let Some(tmpfiles) = sight.tmpfiles()?
        && tmpfiles.makes(sight.files, dir)?.is_some_and(|it| it.kind == Kind::Directory)
    {
        return Ok(true);
    }
    let (Some(units), Some(boot)) = (sight.units()?, sight.boot()?) else { return Ok(false) };
    for reached in boot.reached().iter().filter(|it| it.failed.is_empty()) {
        let Loaded::Unit(unit) = units.unit(&reached.unit)? else { continue };
        for (key, base) in DIRECTORIES {
            for word in unit.settings.words("Service", key) {
                let name = word.split(':').next().unwrap_or_default();
                let made = format!("{base}/{name}").parse::<GuestPath>();
                if !name.contains('%') && made.is_ok_and(|made| made.starts_with(dir)) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Takes such removals back, and says why.
pub(super) fn keep(
    draft: &mut Draft<'_>,
    guest: &Guest,
    operations: &[&Operation],
) -> Result<(), StepError> {
    let asked = |by: &[usize]| {
        by.iter().any(|&by| operations.get(by).is_some_and(|it| it.name == CUSTOMIZE))
    };
    let mut seen = BTreeSet::new();
    loop {
        let mut going = draft.going();
        going.retain(|it| !asked(&it.by) && may_be_owned(it) && seen.insert(it.path.clone()));
        let paths: Vec<GuestPath> = going.iter().map(|it| it.path.clone()).collect();
        // By the lists that stay: the next run has no others.
        let owners = packages::owners(&*draft, &paths)?;
        going.retain(|it| owners.contains_key(&it.path));
        if going.is_empty() {
            return Ok(());
        }
        let mut made = BTreeSet::new();
        if going.iter().any(|it| it.kind == Kind::Directory) {
            let sight = Sight::new(&*draft, &guest.facts);
            for it in going.iter().filter(|it| it.kind == Kind::Directory) {
                // Where that is not known, it stays.
                if made_at_boot(&sight, &it.path).unwrap_or(false) {
                    made.insert(it.path.clone());
                }
            }
        }
        for it in going.iter().filter(|it| !made.contains(&it.path)) {
            let package = &owners[&it.path];
            match it.kind {
                // What is in it is looked at in the next round.
                Kind::Directory => draft.has_stay_empty(
                    it,
                    &format!(
                        "the package {package} owns the directory, and nothing makes it anew at \
                         boot: it stays, and what is in it goes; --delete removes it all the same"
                    ),
                )?,
                _ => draft.has_stay(
                    it,
                    &format!(
                        "the package {package} owns it, and may not work without; --delete removes \
                         it all the same"
                    ),
                ),
            }
        }
    }
}
