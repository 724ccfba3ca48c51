//! The real netplan and ifupdown, of Debian's packages as `tests/run` unpacks them, and never
//! installed: they would take the machine's network over.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/network-tools")
}

/// The first of these files of the packages.
fn part(names: &[&str]) -> PathBuf {
    let found = names.iter().map(|it| unpacked().join(it)).find(|it| it.exists());
    found.unwrap_or_else(|| {
        panic!("{names:?} is missing in target/network-tools: tests/run fetches it")
    })
}

fn run(program: &Path, words: &[&str]) -> Output {
    let libraries: Vec<String> = std::fs::read_dir(unpacked().join("usr/lib"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.is_dir())
        .map(|it| it.display().to_string())
        .collect();
    Command::new(program)
        .args(words)
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()))
}

/// Has netplan's generator write what it makes of a tree's files into the tree's `/run`.
pub(crate) fn netplan_generates(tree: &Path) {
    let program = part(&["usr/libexec/netplan/generate", "usr/lib/netplan/generate"]);
    let output = run(&program, &["--root-dir", tree.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "netplan: {said}");
}

/// Why netplan's generator makes nothing of a tree's files, in its own words.
pub(crate) fn netplan_refuses(tree: &Path) -> Option<String> {
    let program = part(&["usr/libexec/netplan/generate", "usr/lib/netplan/generate"]);
    let output = run(&program, &["--root-dir", tree.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// Why ifupdown takes nothing of a file, in its own words.
pub(crate) fn ifupdown_refuses(file: &Path) -> Option<String> {
    let words = ["--list", "--interfaces", file.to_str().unwrap()];
    let output = run(&part(&["sbin/ifquery", "usr/sbin/ifquery"]), &words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.contains("couldn't read interfaces file").then_some(said)
}

/// The interfaces of a file that ifupdown brings up at boot, or that it waits for udev with.
pub(crate) fn interfaces(file: &Path, hotplug: bool) -> Vec<String> {
    let mut words = vec!["--list", "--interfaces", file.to_str().unwrap()];
    if hotplug {
        words.extend(["--allow", "hotplug"]);
    }
    let output = run(&part(&["sbin/ifquery", "usr/sbin/ifquery"]), &words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ifquery {}: {said}", file.display());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|it| *it != "lo").map(str::to_owned).collect()
}

/// The commands that ifupdown would run to bring an interface up.
pub(crate) fn commands(file: &Path, state: &Path, interface: &str) -> String {
    let file = file.to_str().unwrap();
    let state = format!("--state-dir={}", state.display());
    let words = [
        "--no-act",
        "--verbose",
        "--force",
        "--no-scripts",
        "--interfaces",
        file,
        &state,
        interface,
    ];
    let output = run(&part(&["sbin/ifup", "usr/sbin/ifup"]), &words);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
