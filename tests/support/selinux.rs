//! Debian's SELinux policy, of the package as `tests/run` builds it, and what `matchpathcon` says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sysprep_rs::fs::Kind;

/// Every kind, and the word `matchpathcon -m` has for it.
pub(crate) const KINDS: [(Kind, &str); 7] = [
    (Kind::File, "file"),
    (Kind::Directory, "dir"),
    (Kind::Symlink, "link"),
    (Kind::BlockDevice, "b"),
    (Kind::CharDevice, "c"),
    (Kind::Fifo, "pipe"),
    (Kind::Socket, "sock"),
];

/// How many paths one `matchpathcon` is asked for: the longest of them fit a command line.
const AT_ONCE: usize = 4000;

/// What `matchpathcon` says of each path.
pub(crate) fn matchpathcon(file_contexts: &Path, asked: &[(Kind, Vec<u8>)]) -> Vec<String> {
    let mut answers = vec![String::new(); asked.len()];
    for (kind, word) in KINDS {
        let of: Vec<usize> = (0..asked.len()).filter(|&at| asked[at].0 == kind).collect();
        for some in of.chunks(AT_ONCE) {
            let path = std::env::var("PATH").unwrap_or_default();
            let output = Command::new("matchpathcon")
                .env("PATH", format!("{path}:/usr/sbin:/sbin"))
                .args(["-n", "-N", "-m", word, "-f"])
                .arg(file_contexts)
                .args(some.iter().map(|&at| OsStr::from_bytes(&asked[at].1)))
                .output()
                .expect("matchpathcon (package selinux-utils) cannot be run");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && errors.is_empty(), "matchpathcon: {errors}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.lines().count(), some.len(), "a line for each path");
            for (&at, line) in some.iter().zip(text.lines()) {
                answers[at] = line.to_owned();
            }
        }
    }
    answers
}

/// The directory of the files of Debian's policy.
pub(crate) fn debian() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/selinux-policy/etc/selinux/default/contexts/files")
}
