//! What else of a guest matters at its first boot as a clone: what ties it to the machine that it was
//! built on, what cloud-init finds of earlier runs, and names that are made of the old machine id.

use super::first_boot::{Comeback, Found};
use crate::fs::Kind;
use crate::guest::cloud_init::Leftover;
use crate::guest::{Files, GuestError, Init, MachineId, Tree};
use crate::operation::evidence::Sight;
use crate::operation::initramfs;
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

/// Where each initramfs is, and directories that are named after the machine with one in them.
const BOOT_FILES: [&str; 3] = ["/boot", "/boot/efi", "/efi"];

/// How many directories are listed for them.
const MOST_DIRECTORIES: usize = 256;

/// How many are looked into; and how much is unpacked of all of them, in bytes: an initramfs is
/// sorted, and what is looked for stands near its begin.
const MOST_INITRAMFS: usize = 32;
const UNPACKED: u64 = 64 << 20;

/// All notes of a guest that has this tree in its image.
pub(super) fn read(sight: &Sight<'_>, tree: &Tree) -> Vec<Found> {
    let mut found = Vec::new();
    let parts: [(&str, Result<Vec<String>, GuestError>); 4] = [
        ("network settings", pins(sight)),
        ("cloud-init", leftovers(sight)),
        ("machine id", named_by_id(sight)),
        ("machine id", initramfs_ids(sight, tree)),
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

/// Each initramfs that carries a machine id: systemd in it takes that for the machine's, so that its
/// journal and its DHCP client's identifier are alike in all clones.
fn initramfs_ids(sight: &Sight<'_>, tree: &Tree) -> Result<Vec<String>, GuestError> {
    let mut lines = Vec::new();
    if sight.facts.init != Some(Init::Systemd) {
        return Ok(lines);
    }
    let mut left = UNPACKED;
    for path in boot_files(sight.files)?.into_iter().take(MOST_INITRAMFS) {
        // One that the run puts there is for whoever made it to know.
        let (Some(there), Some(place)) = (sight.files.follow(&path)?, tree.follow(&path)?) else {
            continue;
        };
        let failed = |source| GuestError::Fs { path: path.clone(), source };
        let mut head = [0; 8];
        if there.kind != Kind::File || place.stat().map_err(failed)?.kind != Kind::File {
            continue;
        }
        let read = place.fs().read_at(place.node, 0, &mut head).map_err(failed)?;
        if !initramfs::is_one(path.name().unwrap_or_default(), &head[..read.min(head.len())]) {
            continue;
        }
        match initramfs::has_machine_id(&mut place.reader(), &mut left) {
            Ok(false) => {}
            Ok(true) => lines.push(format!(
                "{path}: it carries the machine id of the build, which is used until the root \
                 filesystem is mounted; the guest makes it anew with 'dracut --force'"
            )),
            Err(why) => lines.push(format!("{path}: not searched for a machine id: {why}")),
        }
    }
    Ok(lines)
}

/// What may be an initramfs: `NAME` and `TOKEN/VERSION/NAME` of the boot files' directories
/// (kernel-install(8)).
fn boot_files(files: &dyn Files) -> Result<Vec<GuestPath>, GuestError> {
    let mut found = Vec::new();
    let mut ahead: Vec<(GuestPath, usize)> =
        BOOT_FILES.iter().filter_map(|it| it.parse().ok()).map(|it| (it, 0)).collect();
    let mut listed = 0;
    while let Some((dir, depth)) = ahead.pop().filter(|_| listed < MOST_DIRECTORIES) {
        listed += 1;
        for (name, kind) in files.names(&dir)? {
            let is_init = memchr::memmem::find(&name, b"init").is_some();
            match kind {
                Kind::Directory if depth < 2 && !is_boot_loader(&name) => {
                    ahead.push((dir.join(&name), depth + 1));
                }
                Kind::File if is_init => found.push(dir.join(&name)),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether it is a boot loader's own directory, which has no initramfs.
fn is_boot_loader(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(b"grub") || [b"efi".as_slice(), b"loader", b"extlinux"].contains(&&*name)
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
