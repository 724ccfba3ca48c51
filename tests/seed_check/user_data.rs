//! What cloud-init takes a part for, and how parts are put together.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sysprep_rs::seed::SeedFile::{MetaData, NetworkConfig, UserData};

use super::{assert_all_wrong, assert_wrong, gzip, notes, wrong};

/// Parts of every kind that are right.
pub(super) const TAKEN: &[&str] = &[
    "",
    "#!/bin/sh\necho hi\n",
    "#! /usr/bin/env python3\r\nprint(1)\r\n",
    "#include\nhttps://example.org/a\n# a comment\n\n/run/b\n",
    "#include-once https://example.org/a\n",
    "#cloud-boothook\n#!/bin/sh\ntrue\n",
    "#part-handler\ndef list_types():\n    return ['a/b']\ndef handle_part(d, t, f, p):\n    pass\n",
    "#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/runcmd\", \"value\": [\"ls\"]}]\n",
    "#cloud-config-archive\n- '#!/bin/sh'\n- content: |\n    #cloud-config\n    runcmd: [ls]\n- {type: text/cloud-config, content: 'hostname: a'}\n",
    "## template: jinja\n#cloud-config\nhostname: {{ v1.local_hostname }}\n",
    "## Template: Jinja\n#cloud-config\nhostname: a\n",
    "## template: jinja\n{# why #}{% if x %}\n#!/bin/sh\n{% endif %}\n",
];

/// What cloud-init would leave aside, and what is said of it.
pub(super) const IGNORED: &[(&str, &str, &str)] = &[
    (" \n", "1:1", "nothing but blanks"),
    ("\u{feff}#cloud-config\n{}\n", "1:1", "byte order mark"),
    ("# mine\n#cloud-config\n{}\n", "2:1", "'#cloud-config' counts in the first line only"),
    ("#cloudconfig\n{}\n", "1:1", "did you mean '#cloud-config'?"),
    ("# cloud-config\n{}\n", "1:1", "did you mean '#cloud-config'?"),
    ("runcmd: [ls]\n", "1:1", "for settings it is '#cloud-config'"),
    ("Hello.\n", "1:1", "would ignore this (it takes"),
    ("#upstart-job\nstart on x\n", "1:1", "an upstart job"),
];

#[test]
fn each_kind_of_part_is_checked() {
    assert_all_wrong(UserData, TAKEN.iter().map(|text| (*text, &[][..])));
    for (text, place, part) in IGNORED {
        assert_wrong(UserData, text, &[(place, part)]);
    }
    let cases: &[(&str, &str, &str)] = &[
        ("\n#!/bin/sh\n", "1:1", "a script has to begin with '#!'"),
        ("#!sh\n", "1:1", "the whole path of an interpreter"),
        ("#include\n", "1:1", "without a URL"),
        ("#include\nhttps://a/\nexample.org\n", "3:1", "takes a URL a line"),
        ("#cloud-boothook\necho\n", "2:1", "a boothook is run as a program"),
        ("#part-handler\ndef list_types(): pass\n", "1:1", "a function 'handle_part'"),
        ("#cloud-config-jsonp\n[{\"op\": \"add\",}]\n", "2:15", "not JSON"),
        ("#cloud-config-jsonp {}\n", "1:20", "a list of operations"),
        ("#cloud-config-jsonp\n[{\"op\": \"put\"}]\n", "1:20", "operation 0 of the patch: 'op' is"),
        ("#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/a\"}]\n", "1:20", "has no 'value'"),
        ("#cloud-config-archive\na: b\n", "2:1", "a list of parts, not a map"),
        ("#cloud-config-archive\n- 5\n", "2:3", "a part of an archive is text"),
        ("#cloud-config-archive\n- '#include'\n", "2:3", "takes no part of this type"),
        (
            "#cloud-config-archive\n- content: |\n\n    #cloud-config\n    usres: []\n",
            "5:5",
            "'users'",
        ),
        ("#cloud-config-archive\n- content: \"a: b: c\"\n", "2:12", "part 0, line 1, column 5: "),
        ("## template: jinja2\n#cloud-config\n{}\n", "1:1", "nothing beside it"),
        ("\n## template: jinja\n#cloud-config\n{}\n", "1:1", "as its first line"),
        ("## template: jinja\n#cloud-config\nhostname: {{ a\n", "3:11", "'{{' is not closed"),
        ("## template: jinja\n#cloud-config\n\nusres: []\n", "4:1", "there is no key 'usres'"),
        ("## template: jinja\n#include\n{{ url }}\n", "2:1", "begins with none of them"),
        ("## template: jinja\n\nhi\n", "3:1", "begins with none of them"),
    ];
    let wanted: Vec<_> =
        cases.iter().map(|(text, place, part)| (text, [(*place, *part)])).collect();
    assert_all_wrong(UserData, wanted.iter().map(|(text, wanted)| (text, &wanted[..])));
    assert_wrong(UserData, b"#!/bin/sh\n\xe9\xff\n", &[("2:1", "not text")]);
    assert_wrong(UserData, "#!/bin/sh\n# \u{e9}\u{4e2d}\n", &[]);
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let said = notes(UserData, "## template: jinja\n#cloud-config\na: {{ b }}\n");
    assert!(said[0].starts_with("2:1: a template") && said.len() == 1, "{said:?}");
    let said = notes(UserData, "#include\nhttp://a\n");
    assert!(said[0].contains("not looked at"), "{said:?}");
    let said =
        notes(UserData, "#cloud-config\napt_update: true\nusers: [{name: a, sudo: false}]\n");
    assert!(said[0].starts_with("2:13: apt_update: deprecated in cloud-init 22.2."), "{said:?}");
    assert!(said.iter().any(|it| it.starts_with("3:25: users.0.sudo")), "{said:?}");
    assert!(notes(UserData, "#cloud-configs\n{}\n")[0].contains("takes '#cloud-configs' for"));
    let said = notes(
        NetworkConfig,
        "version: 2\nwifis: {}\nethernets: {a: {routes: [{to: default, on-link: true}]}}\n",
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("2:1: there is no key 'wifis'") && said[0].contains("netplan"));
    assert!(notes(MetaData, "instance-id: i-1\nlocal-hostname: a\nregion: x\n").is_empty());
    assert!(notes(MetaData, "{}")[0].contains("'nocloud'"));
    assert!(notes(MetaData, "instance_id: a\n").iter().any(|it| it.contains("mean 'instance-id'")));
}

#[test]
fn meta_data_names_a_machine() {
    let long = format!("local-hostname: {}\n", "a".repeat(64));
    assert_wrong(MetaData, long, &[("1:17", "parts of 63 at most")]);
    for good in [
        "local-hostname: web-1.example.org\n",
        "hostname: 5\n",
        "",
        "{\"instance-id\": \"a\"}",
        "instance-id: 5\n",
        "\u{feff}instance-id: a\n",
    ] {
        assert_wrong(MetaData, good, &[]);
    }
    for (text, place, part) in [
        ("a\n", "1:1", "a map such as 'instance-id: …', not text"),
        ("instance-id:\n", "1:1", "a text that is not empty"),
        ("local-hostname: on\n", "1:1", "a host's name; put it in quotes"),
        ("instance-id: a\ndsmode: disabled\n", "2:9", "would not take the seed"),
        ("instance-id: a\ninstance-id: b\n", "2:1", "given twice"),
        ("instance-id: [a\n", "1:14", "unclosed bracket"),
        ("instance-id: \"a\\nb\"\n", "1:14", "'instance-id': has line ends or control"),
        ("instance-id: ..\n", "1:14", "an instance is a directory's name"),
        ("local-hostname: \"a\\nb\"\n", "1:17", "'local-hostname': no host's name"),
        ("hostname: web 1\n", "1:11", "'hostname': no host's name"),
        ("local-hostname: -a.lan\n", "1:17", "no host's name"),
        ("local-hostname: a..lan\n", "1:17", "no host's name"),
    ] {
        assert_wrong(MetaData, text, &[(place, part)]);
    }
    assert_wrong(NetworkConfig, "network: {config: disabled}\n", &[]);
    assert_wrong(NetworkConfig, "\n", &[("1:1", "not nothing")]);
}

#[test]
fn what_is_packed_is_unpacked_and_checked() {
    assert_wrong(UserData, gzip(b"#cloud-config\nruncmd: [ls]\n"), &[]);
    let wanted = [("1:1", "what gzip packed, line 2, column 1: there is no key 'usres'")];
    assert_wrong(UserData, gzip(b"#cloud-config\nusres: []\n"), &wanted);
    let twice = gzip(&gzip(b"#!/bin/sh\n"));
    assert_wrong(UserData, twice, &[("1:1", "packed by gzip twice")]);
    let two = [gzip(b"#cloud-config\n"), gzip(b"runcmd: [ls]\n"), vec![0; 512]].concat();
    assert_wrong(UserData, two, &[]);
    let whole = gzip(b"#!/bin/sh\necho a longer script\n");
    for cut in 2..whole.len() {
        let found = wrong(UserData, &whole[..cut]);
        assert!(found.len() == 1 && found[0].starts_with("1:1: gzip: "), "{cut}: {found:?}");
    }
    for at in 3..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        // What has no checksum is the head: a time, a system, a name.
        assert!(at < 10 || !wrong(UserData, &damaged).is_empty(), "{at}");
    }
    assert_wrong(UserData, [whole, b"x".to_vec()].concat(), &[("1:1", "not packed by gzip")]);
}

/// A message of these parts: head lines and body each.
fn message(parts: &[(&str, &str)]) -> String {
    let mut text =
        String::from("Content-Type: multipart/mixed;\n boundary=\"==x=\"\nMIME-Version: 1.0\n\n");
    for (head, body) in parts {
        write!(text, "--==x=\n{head}\n\n{body}\n").unwrap();
    }
    text.push_str("--==x=--\n");
    text
}

#[test]
fn every_part_of_a_message_is_checked() {
    let packed = STANDARD.encode(gzip(b"#cloud-config\nusres: []\n"));
    let config = STANDARD.encode("#cloud-config\nruncmd: [ls]\n");
    let base64 = "Content-Transfer-Encoding: base64";
    let good = message(&[
        ("Content-Type: text/cloud-config", "runcmd: [ls]"),
        ("Content-Type: text/x-shellscript; charset=\"us-ascii\"", "#!/bin/sh\n--==x\n"),
        (&format!("Content-Type: text/cloud-config\n{base64}"), &config),
        (
            "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable",
            "#cloud-config=\n\nhostname: \"a=3Db\"=20",
        ),
        ("X: y", "#cloud-boothook\n#!/bin/sh"),
        ("Content-Type: text/x-shellscript-per-boot", "#!/bin/sh\n"),
        ("Content-Type: text/cloud-config", ""),
    ]);
    assert_wrong(UserData, &good, &[]);
    assert_wrong(UserData, good.replace('\n', "\r\n"), &[]);
    assert_wrong(UserData, gzip(good.as_bytes()), &[]);
    let nested = message(&[(
        "Content-Type: multipart/alternative; boundary=y",
        "--y\n\nusres: []\n--y\nContent-Type: text/cloud-config\n\nusres: []\n--y--",
    )]);
    assert_wrong(UserData, nested, &[("10:1", "first line"), ("14:1", "there is no key 'usres'")]);

    let cases: &[(&str, &str, &str, &str)] = &[
        ("Content-Type: text/cloud-config", "a: 1\nusres: 2", "8:1", "no key 'a'"),
        ("Content-Type: image/png", "x", "8:1", "no use for a part of the type image/png"),
        ("Content-Type: text/plain", "hello", "8:1", "would ignore this"),
        ("Content-Type: text/x-shellscript", "echo", "8:1", "has to begin with '#!'"),
        (
            "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64",
            "?",
            "9:1",
            "not base64",
        ),
        ("Content-Transfer-Encoding: x-uuencode", "?", "6:1", "'x-uuencode' is not looked into"),
        ("Content-Type: multipart/mixed", "?", "6:1", "without a boundary"),
        ("Content-Type: multipart/mixed; boundary=z", "?", "8:1", "no part begins with"),
        ("Content-Type: application/gzip", "?", "8:1", "gzip: "),
    ];
    for (head, body, place, part) in cases {
        let found = wrong(UserData, message(&[(head, body)]));
        assert!(found[0].starts_with(&format!("{place}: ")), "{head}: {found:?}");
        assert!(found[0].contains(part), "{head}: {found:?}");
    }
    let packed = message(&[(&format!("Content-Type: application/x-gzip\n{base64}"), &packed)]);
    assert_wrong(
        UserData,
        packed,
        &[("9:1", "part 1 (unpacked), line 2, column 1: there is no key")],
    );
    // A part handler takes what nobody else does.
    let handler =
        "#part-handler\ndef list_types():\n  return ['image/png']\ndef handle_part(): pass";
    let handled =
        message(&[("Content-Type: text/plain", handler), ("Content-Type: image/png", "x")]);
    assert_wrong(UserData, handled, &[]);
}
