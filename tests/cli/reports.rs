//! What a report says, as text and as JSON, and that the README says it, too.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{Place, seal};

/// The README's table of the report's fields: each row's name and the words in it that are code.
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("### The report as JSON").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let code = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut rows = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let (name, text) = row[2..].split_once(" | ").unwrap();
        let words: BTreeSet<String> = code(text).into_iter().collect();
        rows.extend(code(name).into_iter().map(|name| (name, words.clone())));
    }
    rows
}

/// Every key of an object, or of the objects in a list.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

/// Keys of a report, two levels of them, and of paths, which no row of the README has.
fn undocumented(report: &Value) -> Vec<String> {
    let rows = documented();
    let row = |name: &str| {
        let names = [name.to_owned(), format!("{name}[]")];
        rows.iter().find(|(row, _)| names.contains(row)).map(|(_, words)| words)
    };
    let mut missing = Vec::new();
    let mut hold = |name: &str, value: &Value| match row(name) {
        None => missing.push(name.to_owned()),
        Some(words) => {
            let unknown = keys(value).into_iter().filter(|it| !words.contains(it));
            missing.extend(unknown.map(|key| format!("{name}.{key}")));
        }
    };
    for (name, value) in report.as_object().unwrap() {
        hold(name, value);
    }
    for operation in report["operations"].as_array().unwrap() {
        hold("operations[].paths", &operation["paths"]);
    }
    missing
}

#[test]
fn the_readme_has_every_field_of_a_report() {
    let place = Place::new();
    fs::write(place.path("more"), "x").unwrap();
    fs::create_dir(place.path("mine")).unwrap();
    let own = "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps:\n\
               - scan: { paths: /etc/shadow, regex: root, kind: own }\n";
    fs::write(place.path("mine/own.yaml"), own).unwrap();
    let reports = [
        ("audit --secrets --digest --upload more:/more --operations-dir mine", 3),
        ("audit --chmod 0600:/none", 3),
        ("seal -n", 3),
        ("seal --digest --output new.raw --append-line /etc/motd:x --copy /etc/motd:/motd", 0),
        ("seal --chmod 0600:/none", 3),
    ];
    for (words, code) in reports {
        let report = place.json(&format!("{words} --json image.qcow2"), code);
        assert_eq!(undocumented(&report), [""; 0], "{words}");
        assert_eq!(report["schema"], report["found"]["schema"]);
        assert_eq!(report["command"], words.split(' ').next().unwrap());
    }
    // A key that no row has is found.
    let report = serde_json::json!({ "plan": "", "totals": { "chages": 1 }, "operations": [] });
    assert_eq!(undocumented(&report), ["totals.chages"]);
    fs::write(place.path("empty.img"), vec![0; 1 << 20]).unwrap();
    let report = place.json("audit --json empty.img", 1);
    assert_eq!(undocumented(&report), [""; 0]);
}

#[test]
fn what_is_uploaded_is_told_with_its_size_and_source() {
    let place = Place::new();
    fs::write(place.path("small"), "twelve bytes").unwrap();
    fs::write(place.path("large"), vec![7; 300_000]).unwrap();
    let words = ["--enable", "customize", "--upload", "small:/small", "--upload=large:/large"];
    let (text, _) = seal(&place, &[&["audit", "-v"], &words[..]].concat(), 3);
    assert!(text.contains("create-file      /small, 12 B written\n"), "{text}");
    let large = place.path("large").canonicalize().unwrap();
    let told = format!("create-file      /large, 293 KiB written from {}\n", large.display());
    assert!(text.contains(&told), "{told} is not in\n{text}");
}

#[test]
fn what_is_made_or_changed_is_not_called_cleaned() {
    let place = Place::new();
    for (words, code, said) in [
        (&["audit", "--mkdir=/new/dir"][..], 3, "To make: 2 directories in 1 operation. Nothing"),
        (&["seal", "-n", "--chmod=0600:/etc/fstab"], 3, "Would change: 1 file in 1 operation. "),
        (
            &["seal", "--touch=/a", "--delete=/etc/motd", "--append-line=/etc/hosts:1.2.3.4 x"],
            0,
            "Cleaned: 1 file in 1 operation, ",
        ),
    ] {
        let words = [words, &["--enable", "customize"]].concat();
        let (text, _) = seal(&place, &words, code);
        assert!(text.contains(said), "{said} is not in\n{text}");
        if code == 0 {
            assert!(text.contains(" of content; changed: 1 file; made: 1 file.\n"), "{text}");
        }
    }
    let place = Place::new();
    let (text, _) = seal(&place, &["seal", "--enable=customize", "--touch=/a"], 0);
    assert!(text.contains(" and 1 directory as planned"), "{text}");
}

#[test]
fn what_flags_work_on_together_is_named() {
    let place = Place::new();
    let mut words = vec!["seal".to_owned(), "--enable=customize".to_owned()];
    // A line that is added and then edited is added again by the next run.
    for name in ["motd", "hosts", "fstab", "group", "passwd", "hostname", "os-release"] {
        words.push(format!("--append-line=/etc/{name}:a"));
        words.push(format!("--edit=/etc/{name}:s/^a$/b/"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (text, _) = seal(&place, &words, 0);
    let line = text.lines().find(|it| it.starts_with("Not proved: ")).unwrap();
    let named = "/etc/fstab, /etc/group, /etc/hostname, /etc/hosts, /etc/motd and 2 more again";
    assert!(line.contains(named), "{line}");
}

#[test]
fn a_flag_on_the_wrong_command_is_sent_to_the_right_one() {
    let place = Place::new();
    for (words, advice) in [
        ("seal --user-data=x image.qcow2", "--cloud-init user-data=FILE"),
        ("audit --network-config x image.qcow2", "'sysprep-rs seed'"),
        ("seal --secrets image.qcow2", "'sysprep-rs audit --secrets IMAGE'"),
        ("seal --allow-secrets x image.qcow2", "audit --secrets"),
        ("seal --save-plan x image.qcow2", "'sysprep-rs audit --save-plan FILE IMAGE'"),
        ("audit --plan x image.qcow2", "'sysprep-rs seal -n --plan FILE IMAGE'"),
    ] {
        let (_, error) = place.expect(words, 2);
        assert!(error.lines().count() == 1 && error.contains(advice), "{words}: {error}");
    }
    for command in ["audit", "seal"] {
        let (help, _) = place.expect(&format!("{command} --help"), 0);
        assert!(!help.contains("--user-data"), "{help}");
    }
}
