//! What runs programs of the guest, as scripts that it runs at its first boot.

use std::path::Path;

use serde_json::{Value as Json, json};
use sysprep_rs::digest::Digest;
use sysprep_rs::text_file;

/// The longest script, in bytes: a plan holds it.
const FILE_BYTES: u64 = 4 << 20;

/// How much of what it does is in a script's name.
const NAME_CHARS: usize = 40;

/// A step for a script. What is equal has one name: asked for twice, it is there once.
fn step(what: &str, script: &str) -> Vec<Json> {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = what.chars().map(word).take(NAME_CHARS).collect();
    let digest = Digest::of(script.as_bytes()).to_string();
    let digest: String = digest.chars().filter(char::is_ascii_hexdigit).rev().take(8).collect();
    let name = format!("run-{name}-{digest}");
    vec![json!({ "firstboot": { "name": name, "script": script } })]
}

/// A script of the host.
pub(super) fn script(file: &str) -> Result<Vec<Json>, String> {
    let text =
        text_file::read(Path::new(file), FILE_BYTES).map_err(|it| format!("{file}: {it}"))?;
    let name = Path::new(file).file_name().unwrap_or_default();
    Ok(step(&name.to_string_lossy(), &text))
}

/// A command line, for the shell.
pub(super) fn command(text: &str) -> Result<Vec<Json>, String> {
    Ok(step(text, &format!("#!/bin/sh\n{text}\n")))
}

/// The package managers, the first that is there being the guest's: the program, and what it is
/// called with to install, to remove and to update.
const MANAGERS: &[(&str, [&str; 3])] = &[
    (
        "apt-get",
        [
            "apt-get -q -y update; apt-get -q -y install",
            "apt-get -q -y remove",
            "apt-get -q -y update; apt-get -q -y upgrade",
        ],
    ),
    ("dnf", ["dnf -y install", "dnf -y remove", "dnf -y upgrade"]),
    ("tdnf", ["tdnf -y install", "tdnf -y erase", "tdnf -y upgrade"]),
    ("yum", ["yum -y install", "yum -y remove", "yum -y update"]),
    ("zypper", ["zypper -n install -l", "zypper -n remove", "zypper -n update -l"]),
    ("apk", ["apk update; apk add", "apk del", "apk update; apk upgrade"]),
    ("pacman", ["pacman -Sy --noconfirm", "pacman -R --noconfirm", "pacman -Syu --noconfirm"]),
];

fn packages(list: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+-:~=/@^".contains(c);
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    match names.iter().find(|it| it.is_empty() || it.starts_with('-') || !it.chars().all(fits)) {
        Some(wrong) => Err(format!("'{wrong}' is no package's name; write PKG,PKG..")),
        None => Ok(names.join(" ")),
    }
}

fn manage(how: usize, what: &str, packages: &str) -> Vec<Json> {
    let mut script = String::from("#!/bin/sh\nexport DEBIAN_FRONTEND=noninteractive\n");
    let mut word = "if";
    for (program, calls) in MANAGERS {
        let call = calls.get(how).copied().unwrap_or_default();
        let line = format!("{call} {packages}");
        script.push_str(&format!(
            "{word} command -v {program} >/dev/null; then\n    {}\n",
            line.trim_end()
        ));
        word = "elif";
    }
    script.push_str("else\n    echo 'no package manager that is known here'\n    exit 1\nfi\n");
    step(what, &script)
}

/// Installs packages.
pub(super) fn install(list: &str) -> Result<Vec<Json>, String> {
    let packages = packages(list)?;
    Ok(manage(0, &format!("install {packages}"), &packages))
}

/// Removes packages.
pub(super) fn uninstall(list: &str) -> Result<Vec<Json>, String> {
    let packages = packages(list)?;
    Ok(manage(1, &format!("uninstall {packages}"), &packages))
}

/// Updates every package.
pub(super) fn update(_: &str) -> Result<Vec<Json>, String> {
    Ok(manage(2, "update", ""))
}
