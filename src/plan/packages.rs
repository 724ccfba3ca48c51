//! Files that a package owns: an operation of the catalogue does not take them away.
//!
//! What a package brings is there because its programs want it, and its package manager does not put
//! back what is deleted. That an operation names such a file is a surprise, and not its purpose.

use crate::guest::{Guest, packages};
use crate::operation::{Action, CUSTOMIZE, Drafted, Operation, Refused, StepError};
use crate::path::GuestPath;

/// Where packages put what is not state.
const PLACES: [&[u8]; 7] = [b"usr", b"etc", b"lib", b"lib64", b"bin", b"sbin", b"boot"];

/// Whether a package may own it. Backups and host keys, which nearly every guest has, are of none:
/// the lists of all packages are not read for them.
fn may_be_owned(path: &GuestPath) -> bool {
    let Some(first) = path.names().next().filter(|it| PLACES.contains(it)) else { return false };
    let name = path.name().unwrap_or_default();
    let is_backup =
        [&b"-"[..], b"~", b".bak", b".orig", b".old"].iter().any(|it| name.ends_with(it));
    !(is_backup || first == b"etc" && name.starts_with(b"ssh_host_"))
}

/// Takes the removal of such files out of what was worked out, and says why.
pub(super) fn keep(
    guest: &Guest,
    operations: &[&Operation],
    drafted: &mut Drafted,
) -> Result<(), StepError> {
    let asked = |by: &[usize]| {
        by.iter().any(|&by| operations.get(by).is_some_and(|it| it.name == CUSTOMIZE))
    };
    let paths: Vec<GuestPath> = drafted
        .proposals
        .iter()
        .filter(|it| matches!(it.action, Action::Remove { nodes: 1, .. }) && !asked(&it.by))
        .filter(|it| may_be_owned(&it.path))
        .map(|it| it.path.clone())
        .collect();
    let owners = packages::owners(&guest.tree, &paths)?;
    let mut refused = Vec::new();
    drafted.proposals.retain(|proposal| {
        let Some(package) = owners.get(&proposal.path) else { return true };
        let reason = format!(
            "the package {package} owns it, and may not work without; --delete removes it all the \
             same"
        );
        for &by in &proposal.by {
            let (path, reason) = (proposal.path.clone(), reason.clone());
            refused.push(Refused { by, path, reason, stays: true });
        }
        false
    });
    drafted.refused.extend(refused);
    Ok(())
}
