//! Files that are made to hold us up.

use std::time::{Duration, Instant};

use sysprep_rs::seed::SeedFile::{self, MetaData, NetworkConfig, UserData};
use sysprep_rs::seed::{FILE_BYTES, Seed};

use super::{gzip, wrong};

/// How long any file takes at most, in a build that is not optimized much and beside others.
const LONG: Duration = Duration::from_secs(20);

fn refused(file: SeedFile, content: impl AsRef<[u8]>, part: &str) {
    let began = Instant::now();
    let found = wrong(file, content);
    assert!(began.elapsed() < LONG, "{part}: {:?}", began.elapsed());
    assert!(found.len() <= 100 && found.iter().any(|it| it.contains(part)), "{part}: {found:?}");
}

fn taken(file: SeedFile, content: impl AsRef<[u8]>) {
    let began = Instant::now();
    assert_eq!(wrong(file, content), [""; 0]);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("#cloud-config\na: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for level in b'b'..=b'z' {
        let (above, level) = (char::from(level - 1), char::from(level));
        let aliases = vec![format!("*{above}"); 10].join(", ");
        laughs.push_str(&format!("{level}: &{level} [{aliases}]\n"));
    }
    refused(UserData, &laughs, "aliases written out");
    refused(MetaData, &laughs, "aliases written out");
    refused(NetworkConfig, &laughs, "aliases written out");
    refused(UserData, "#cloud-config\na: &a {<<: *a}\n", "stands in itself");

    let deep = 1 << 20;
    refused(UserData, format!("#cloud-config\na: {}", "[".repeat(deep)), "nested deeper");
    refused(UserData, format!("#cloud-config\n{}", "- ".repeat(deep)), "nested deeper");
    let below: String = (0..3000).map(|it| format!("{}a:\n", " ".repeat(it))).collect();
    refused(UserData, format!("#cloud-config\n{below}"), "nested deeper");
    refused(UserData, format!("## template: jinja\n{}", "{% if x %}".repeat(deep / 8)), "'endif'");
    refused(UserData, format!("## template: jinja\n{}", "{{ '".repeat(deep)), "not closed");
    refused(UserData, format!("#cloud-config\nruncmd: [{}]", "a,".repeat(deep)), "values");
    let keys: String = (0..40_000).map(|it| format!("key{it}: 1\n")).collect();
    refused(UserData, format!("#cloud-config\n{keys}"), "there is no key");
    // What is to be known does not keep what is wrong from being told.
    let old = "{name: a, sudo: false}, ".repeat(300);
    refused(UserData, format!("#cloud-config\nusers: [{old} {{nam: b}}]\n"), "no key 'nam'");
    let items = "[5, [5]],".repeat(20_000);
    refused(UserData, format!("#cloud-config\nruncmd: [{items}]"), "takes text");

    let bomb = gzip(&vec![b'#'; 64 << 20]);
    assert!(bomb.len() < 100_000);
    refused(UserData, bomb, "when it is unpacked");
    let bombs = gzip(&vec![b' '; 1 << 20]).repeat(1000);
    refused(UserData, bombs, "when it is unpacked");
}

#[test]
fn messages_within_messages_end() {
    let head = |boundary: usize| {
        format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b{boundary}\n\n--b{boundary}\n"
        )
    };
    let nested: String = (0..20_000).map(head).collect();
    refused(UserData, nested, "within each other");
    let parts = format!("{}{}", head(0), "\n#!/bin/sh\n--b0\n".repeat(200_000));
    refused(UserData, parts, "more than 1000 parts");
    let folded = format!("MIME-Version: 1.0\nContent-Type: a;{}\n", "\n a;".repeat(500_000));
    taken(UserData, folded);
    let mut lines = String::from("MIME-Version: 1.0\n");
    lines.extend((0..200_000).map(|it| format!("X{it}: y\n")));
    taken(UserData, lines);
}

#[test]
fn a_file_is_read_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long");
    std::fs::write(&long, vec![b'#'; FILE_BYTES as usize + 1]).unwrap();
    let missing = folder.path().join("missing");
    let files = [(UserData, long.as_path()), (MetaData, &missing), (NetworkConfig, folder.path())];
    let error = Seed::read(files).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].contains("long: longer than 4194304 bytes"), "{error}");
    assert!(lines[1].ends_with("missing: no such file"), "{error}");
    assert!(lines[2].ends_with("not a regular file"), "{error}");
}
