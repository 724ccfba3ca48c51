//! What else of a guest matters at its first boot as a clone: what ties it to the machine that it was
//! built on, what cloud-init finds of earlier runs, and names that are made of the old machine id.

use super::first_boot::{Comeback, Found};
use crate::guest::cloud_init::Leftover;
use crate::guest::{Files, GuestError, MachineId};
use crate::operation::evidence::Sight;
use crate::path::GuestPath;

/// How many notes of a kind are told one by one.
const TOLD: usize = 10;

/// Where kernels and boot loader entries stand under the machine's id (the Boot Loader
/// Specification; kernel-install(8)).
const NAMED_BY_ID: [&str; 6] = [
    "/boot",
    "/boot/loader/entries",
    "/boot/efi",
    "/boot/efi/loader/entries",
    "/efi",
    "/efi/loader/entries",
];

/// Files that hold the token by which kernels are named.
const TOKENS: [&str; 3] =
    ["/etc/kernel/entry-token", "/boot/efi/loader/entries.srel", "/etc/kernel/tokens"];

/// A machine id's length, in hexadecimal digits.
const ID_DIGITS: usize = 32;

/// All notes of a guest.
pub(super) fn read(sight: &Sight<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let parts: [(&str, Result<Vec<String>, GuestError>); 3] = [
        ("network settings", pins(sight)),
        ("cloud-init", leftovers(sight)),
        ("machine id", named_by_id(sight)),
    ];
    for (what, lines) in parts {
        match lines {
            Ok(mut lines) => {
                let more = lines.len().saturating_sub(TOLD);
                lines.truncate(TOLD);
                if more > 0 {
                    lines.push(format!("{more} more"));
                }
                found.extend(lines.into_iter().map(|it| Found::of_all(what, Comeback::Note(it))));
            }
            Err(error) => found.push(Found::of_all(what, Comeback::Unknown(error.to_string()))),
        }
    }
    found
}

/// What ties the network to the machine that the guest was built on.
fn pins(sight: &Sight<'_>) -> Result<Vec<String>, GuestError> {
    let pins = &sight.network()?.pins;
    Ok(pins.iter().map(|it| format!("{}: {}", it.file, it.words)).collect())
}

/// What cloud-init finds of earlier runs, and of installers.
fn leftovers(sight: &Sight<'_>) -> Result<Vec<String>, GuestError> {
    let Some(cloud) = sight.cloud()? else { return Ok(Vec::new()) };
    let line = |Leftover { at, what, operation }: &Leftover| match operation {
        Some(operation) => format!("{at}: {what} (the operation {operation} takes it away)"),
        None => format!("{at}: {what}"),
    };
    Ok(cloud.leftovers.iter().map(line).collect())
}

/// Kernels and boot entries that are named after a machine id. They boot all the same; what is
/// installed in a clone is named after its own, beside them.
fn named_by_id(sight: &Sight<'_>) -> Result<Vec<String>, GuestError> {
    let mut lines = Vec::new();
    for dir in NAMED_BY_ID {
        let dir: GuestPath = dir.parse().unwrap_or_default();
        for (name, _) in sight.files.names(&dir)? {
            if begins_with_an_id(&name) {
                lines.push(format!("{}: named after the machine id of the build", dir.join(&name)));
            }
        }
    }
    for token in TOKENS {
        let path: GuestPath = token.parse().unwrap_or_default();
        let text = text(sight.files, &path)?;
        if begins_with_an_id(text.trim_ascii()) {
            lines.push(format!("{path}: new kernels are named after the machine id of the build"));
        }
    }
    if !lines.is_empty() && sight.facts.machine_id != MachineId::Set {
        // From an earlier seal: told once is enough.
        lines.truncate(1);
    }
    Ok(lines)
}

/// The longest such file.
const TOKEN_BYTES: u64 = 4096;

fn text(files: &dyn Files, path: &GuestPath) -> Result<Vec<u8>, GuestError> {
    match files.follow(path)? {
        Some(state) if state.size <= TOKEN_BYTES => {
            Ok(files.read(path, TOKEN_BYTES)?.unwrap_or_default())
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether it is an id, or begins with one and a dash.
fn begins_with_an_id(name: &[u8]) -> bool {
    let Some((id, rest)) = name.split_at_checked(ID_DIGITS) else { return false };
    id.iter().all(u8::is_ascii_hexdigit) && matches!(rest.first(), None | Some(b'-'))
}
