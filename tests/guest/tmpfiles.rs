//! What tmpfiles.d makes at boot, beside what systemd-tmpfiles makes in the same directory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::fs::Kind;
use sysprep_rs::fs::directory::Directory;
use sysprep_rs::guest::Tree;
use sysprep_rs::guest::tmpfiles::Tmpfiles;
use sysprep_rs::path::GuestPath;
use sysprep_rs::volume::VolumeId;

use super::path;
use crate::support::oracle;
use crate::support::random::{Random, rounds, seed};

fn tree(root: &Path) -> Tree {
    Tree::single(VolumeId("part1".into()), Arc::new(Directory::open(root).unwrap()))
}

fn text(path: &GuestPath) -> String {
    String::from_utf8(path.to_bytes()).unwrap()
}

fn kind(root: &Path, at: &str) -> Option<Kind> {
    use std::os::unix::fs::FileTypeExt as _;
    let found = fs::symlink_metadata(root.join(at.trim_start_matches('/'))).ok()?.file_type();
    Some(match found {
        it if it.is_dir() => Kind::Directory,
        it if it.is_symlink() => Kind::Symlink,
        it if it.is_fifo() => Kind::Fifo,
        it if it.is_file() => Kind::File,
        _ => Kind::CharDevice,
    })
}

const FOLDERS: [&str; 3] = ["etc/tmpfiles.d", "usr/local/lib/tmpfiles.d", "usr/lib/tmpfiles.d"];
const NAMES: [&str; 5] = ["a.conf", "b.conf", "c.conf", ".d.conf", "e.txt"];
/// As they stand in a line, and what they are.
const PATHS: [(&str, &str); 16] = [
    ("/a", "/a"),
    ("/a/b", "/a/b"),
    ("/a/b/c", "/a/b/c"),
    ("/a//b/./d/", "/a/b/d"),
    ("\"/e f\"", "/e f"),
    ("'/e f'/\"g\"", "/e f/g"),
    ("/h", "/h"),
    // With --root systemd 252 puts the root in front of %S twice.
    ("/var/lib/i", "/var/lib/i"),
    ("/j%%k", "/j%k"),
    ("/file/l", "/file/l"),
    ("/link/m", "/link/m"),
    ("/gone/n", "/gone/n"),
    ("/src/o", "/src/o"),
    ("/p/%m", "/p"),
    ("%q/r", "/r"),
    ("/*", "/*"),
];
// Without `=`, which takes away what is in the way: that is not reckoned with.
const TYPES: [&str; 29] = [
    "d", "d", "D", "v", "q", "Q", "e", "f", "f", "F", "f+", "f+!", "L", "L", "L+", "L+!", "p",
    "p+", "C", "C+", "w", "x", "z", "d!", "d-", "f~", "f^", "k", "d++",
];
const MODES: [&str; 7] = ["-", "0755", ":0700", "~01777", "0799", "17777", "-"];
const ACCOUNTS: [&str; 5] = ["-", "root", ":0", "-", "nobody-here"];
const AGES: [&str; 7] = ["-", "10d", "~1h30min", "bm:2w", "5x", "0", "-"];
const ARGUMENTS: [&str; 9] =
    ["", "-", "/src", "/src/s", "/none", "dGV4dA==", "a\\tb", "a\\qb", "../x"];

fn configuration(random: &mut Random) -> String {
    let mut text = String::from("# random\n");
    for _ in 0..random.below(6) {
        let kind = random.pick(&TYPES);
        let (at, _) = random.pick(&PATHS);
        let (mode, user) = (random.pick(&MODES), random.pick(&ACCOUNTS));
        let (age, argument) = (random.pick(&AGES), random.pick(&ARGUMENTS));
        match random.below(4) {
            0 => writeln!(text, "{kind} {at}"),
            1 => writeln!(text, "{kind}\t{at}  {mode}"),
            _ => writeln!(text, "{kind} {at} {mode} {user} - {age} {argument}"),
        }
        .unwrap();
    }
    text
}

/// A guest with some files, and random configuration.
fn guest(random: &mut Random) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for folder in ["src", "etc", "usr/share/factory/a"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("src/s"), "s").unwrap();
    fs::write(root.join("file"), "f").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("src", root.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("gone")).unwrap();
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder)).unwrap();
        for name in NAMES {
            match random.below(6) {
                0..=2 => fs::write(root.join(folder).join(name), configuration(random)).unwrap(),
                3 => std::os::unix::fs::symlink("/dev/null", root.join(folder).join(name)).unwrap(),
                _ => {}
            }
        }
    }
    dir
}

#[test]
fn what_is_made_is_what_systemd_makes() {
    let seed = seed(1);
    for round in (seed..).take(rounds(60)) {
        let mut random = Random::new(round);
        let dir = guest(&mut random);
        let root = dir.path();
        let before = tree(root);
        let tmpfiles = Tmpfiles::read(&before).unwrap();
        let mut candidates: Vec<GuestPath> = PATHS.iter().map(|it| path(it.1)).collect();
        candidates.extend([path("/var"), path("/var/lib"), path("/e f"), path("/var/log")]);
        candidates.retain(|it| kind(root, &text(it)).is_none());
        let ours: Vec<_> =
            candidates.iter().map(|it| tmpfiles.makes(&before, it).unwrap()).collect();
        let at = format!("--root={}", root.display());
        let said = oracle::run(
            "systemd-tmpfiles",
            "systemd",
            &[&at, "--create", "--remove", "--boot", "--exclude-prefix=/dev"],
        );
        for (at, ours) in candidates.iter().zip(ours) {
            let theirs = kind(root, &text(at));
            let mut files = String::new();
            for folder in FOLDERS {
                for name in NAMES {
                    if let Ok(text) = fs::read_to_string(root.join(folder).join(name)) {
                        write!(files, "== {folder}/{name}\n{text}").unwrap();
                    }
                }
            }
            assert_eq!(
                ours.as_ref().map(|it| it.kind),
                theirs,
                "seed {round}: {at} ({ours:?})\n{files}\nsystemd-tmpfiles says:\n{}\nwe:\n{:?}",
                String::from_utf8_lossy(&said.stderr),
                tmpfiles.notes(),
            );
            if let Some(target) = ours.and_then(|it| it.target) {
                let link = root.join(text(at).trim_start_matches('/'));
                let theirs = fs::read_link(link).unwrap();
                assert_eq!(theirs.to_str().unwrap().as_bytes(), target, "{at}\n{files}");
            }
        }
    }
}
