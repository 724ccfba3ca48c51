//! What is said when a command fails, to people and to programs.

use std::fs;

use serde_json::{Value, json};

use super::{Place, root_filesystem};
use crate::support::recipe::{self, Part};

/// The object that is printed in place of a report.
fn error(place: &Place, words: &str, exit: i32) -> (String, String) {
    let (text, told) = place.expect(words, exit);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|it| panic!("{it}: {text}"));
    let message = value["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(value, json!({ "error": { "message": message, "exit": exit } }), "{words}");
    (message, told)
}

#[test]
fn an_error_is_json_where_json_is_asked_for() {
    let place = Place::new();
    fs::write(place.path("bad.yaml"), "name: bad\n").unwrap();
    fs::create_dir(place.path("mine")).unwrap();
    fs::copy(place.path("bad.yaml"), place.path("mine/bad.yaml")).unwrap();
    for (words, exit) in [
        ("audit --json missing.qcow2", 1),
        ("seal --json missing.qcow2", 1),
        ("inspect --json missing.qcow2", 1),
        ("recover --json missing.qcow2", 1),
        ("operations --json nothing", 2),
        ("audit --json --operations-dir mine image.qcow2", 1),
        ("audit --json --enable nothing image.qcow2", 2),
        ("seal --json --output nodir/x image.qcow2", 1),
        ("audit --json --save-plan nodir/x image.qcow2", 1),
        ("audit --json", 2),
        ("seal --json --run x image.qcow2", 2),
    ] {
        let (message, told) = error(&place, words, exit);
        assert_eq!(told, format!("sysprep-rs: {message}\n"), "{words}");
    }
    let (message, told) = error(&place, "audit --no-such-flag --json image.qcow2", 2);
    assert_eq!(message, "there is no option '--no-such-flag' here; --help lists them");
    assert_eq!(told, format!("sysprep-rs: {message}\n"));
    // Behind `--` it is an image's name.
    assert_eq!(place.expect("audit -- --json", 1).0, "");
    // A report and an error are one object.
    fs::write(place.path("zero.img"), vec![0; 1 << 20]).unwrap();
    for words in ["audit --json zero.img", "seal -n --json zero.img"] {
        let report = place.json(words, 1);
        assert_eq!(report["error"]["exit"], 1, "{report}");
        assert_eq!(report["found"]["volumes"][0]["id"], "disk", "{report}");
    }
}

#[test]
fn a_new_file_needs_a_folder() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    for (words, flag) in [("seal image.qcow2", "--output"), ("audit image.qcow2", "--save-plan")] {
        for (file, problem) in [
            ("nodir/new", "the folder nodir does not exist"),
            ("image.qcow2/new", "image.qcow2 is not a folder"),
        ] {
            let (_, error) = place.expect(&format!("{words} {flag} {file}"), 1);
            assert_eq!(error, format!("sysprep-rs: {file}: {problem}\n"));
        }
    }
    assert_eq!(fs::read(place.image()).unwrap(), before);
}

/// As /dev/stdout is a link: the pipe takes what is written, and the link stays.
#[test]
fn a_link_to_standard_output_is_not_replaced() {
    let place = Place::new();
    let link = |name: &str, to: &str| std::os::unix::fs::symlink(to, place.path(name)).unwrap();
    link("out", "/proc/self/fd/1");
    link("nowhere", "none");
    let (text, _) = place.expect("audit -q --save-plan out image.qcow2", 3);
    assert!(text.starts_with("{\n") && text.contains("\"changes\""), "{text}");
    let (_, error) = place.expect("seal --force --output out image.qcow2", 1);
    assert_eq!(error, "sysprep-rs: out: --force replaces regular files only\n");
    let (_, error) = place.expect("audit -q --save-plan nowhere image.qcow2", 1);
    assert_eq!(error, "sysprep-rs: nowhere: a symlink that leads nowhere; name a file\n");
    for name in ["out", "nowhere"] {
        assert!(place.path(name).is_symlink(), "{name}");
    }
}

#[test]
fn what_is_named_and_is_not_there_is_an_error_of_one_kind() {
    let place = Place::new();
    for words in [
        "audit --operations-dir nodir image.qcow2",
        "seal --operations-dir nodir image.qcow2",
        "seal --list-operations --operations-dir nodir",
        "operations --operations-dir nodir",
        "operations machine-id --operations-dir nodir",
    ] {
        assert_eq!(place.expect(words, 1).1, "sysprep-rs: nodir: no such folder\n", "{words}");
    }
    for (words, file) in [
        ("audit nofile", "nofile"),
        ("recover nofile", "nofile"),
        ("seal --plan nofile image.qcow2", "nofile"),
    ] {
        let (_, error) = place.expect(words, 1);
        assert_eq!(error, format!("sysprep-rs: {file}: no such file\n"), "{words}");
    }
    let (_, error) = place.expect("operations --operations-dir image.qcow2", 1);
    assert!(error.starts_with("sysprep-rs: image.qcow2: Not a directory"), "{error}");
}

#[test]
fn check_tells_every_problem_of_every_file() {
    let place = Place::new();
    let good = "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps:\n";
    fs::write(place.path("good.yaml"), format!("{good}  - remove: /x\n")).unwrap();
    fs::write(place.path("two.yaml"), format!("{good}  - remove: /x\n---\nname: b\n")).unwrap();
    fs::write(place.path("colon.yaml"), good.replace("Own", "Remove: all")).unwrap();
    let words = "check missing.yaml two.yaml good.yaml colon.yaml";
    let (text, error) = place.expect(words, 1);
    assert_eq!(text, "good.yaml: own is valid, 1 step\n");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("missing.yaml: no such file"), "{error}");
    assert!(lines[1].starts_with("two.yaml:9:1: a second document begins here"), "{error}");
    assert!(lines[2].starts_with("colon.yaml:2:16: ") && lines[2].contains("quotes"), "{error}");
    let found = place.json(&words.replace("check", "check --json"), 1);
    let found = found.as_array().unwrap();
    let line: Vec<Option<u64>> = found.iter().map(|it| it["line"].as_u64()).collect();
    assert_eq!(line, [None, Some(9), Some(2)]);
}

#[test]
fn what_is_encrypted_is_told_with_what_to_do() {
    let place = Place::new();
    let luks = place.path("luks.img");
    fs::File::create(&luks).unwrap().set_len(20 << 20).unwrap();
    crate::volumes::luks(&luks, "luks2");
    let advice = "open the encrypted volume yourself (cryptsetup open) and seal the mapped device \
                  with --output, or seal the image before it is encrypted";
    for command in ["audit", "seal", "inspect"] {
        let (_, error) = place.expect(&format!("{command} luks.img"), 1);
        assert_eq!(error, format!("sysprep-rs: luks.img: not supported: a LUKS image; {advice}\n"));
    }
    // As a partition, alone and beside a guest.
    let part = |image, name| Part { kind: "8309", name, image };
    let (alone, _) = recipe::gpt(place.folder.path(), &[part(&luks, "alone")]);
    fs::rename(alone, place.path("alone.img")).unwrap();
    let (_, error) = place.expect("seal alone.img", 1);
    let said = format!(
        "no operating system found (part1: not opened: LUKS2); part1 is encrypted: {advice}\n"
    );
    assert!(error.ends_with(&said), "{error}");
    let (text, _) = place.expect("audit alone.img", 1);
    assert!(text.contains(said.trim_end().trim_start_matches("no ")), "{text}");
    let root = root_filesystem(&place, &place.image(), "qcow2");
    let (both, _) = recipe::gpt(
        place.folder.path(),
        &[Part { kind: "8300", name: "root", image: &root }, part(&luks, "data")],
    );
    fs::rename(both, place.path("both.img")).unwrap();
    let (text, _) = place.expect("audit both.img", 3);
    let said = format!("all of part2: it is LUKS2, which is not opened; {advice}");
    assert_eq!(text.matches(&said).count(), 1, "{text}");
    for flag in ["--key all:key:x", "--keys-from-stdin"] {
        let (_, error) = place.expect(&format!("seal {flag} image.qcow2"), 2);
        assert!(error.ends_with(&format!(": {advice}\n")), "{error}");
    }
}

#[test]
fn slips_of_the_command_line_are_answered() {
    let place = Place::new();
    for (words, said) in [
        ("audit file:///tmp/image.qcow2", "URIs are not taken: name a file"),
        ("seal image.qcow2 --output -", "./-"),
        ("audit --operations -machine-id,defaults image.qcow2", "'-machine-id' stands before"),
        ("audit --operations default image.qcow2", "did you mean 'defaults'?"),
        ("frobnicate", "there is no command 'frobnicate'; --help lists them"),
        ("audits image.qcow2", "there is no command 'audits'; did you mean 'audit'?; --help"),
        ("audit -Z image.qcow2", "there is no option '-Z' here; --help lists them"),
        ("seal --first-bot=auto image.qcow2", "did you mean '--first-boot'?; --help lists them"),
        ("operations net utmp", "'utmp' is one word too many; --help says what is taken"),
        ("check", "FILE... is missing; --help says what for"),
        ("audit --operations nothing x", "known operation; 'sysprep-rs operations' lists them"),
        ("operations lvm-uuids", "is an operation of virt-sysprep that is not built here yet"),
    ] {
        let (_, error) = place.expect(words, 2);
        assert!(error.lines().count() == 1 && error.contains(said), "{words}: {error}");
    }
    assert!(!place.path("-").exists());
}

#[test]
fn a_path_that_two_operations_want_stands_with_both() {
    let place = Place::new();
    let report = place.json("audit --json image.qcow2", 3);
    let mut shared = 0;
    for operation in report["operations"].as_array().unwrap() {
        let paths = operation["paths"].as_array().unwrap();
        assert_eq!(paths.is_empty(), operation["is"] != "changed", "{operation}");
        let files: u64 = paths.iter().map(|it| it["files"].as_u64().unwrap()).sum();
        assert_eq!(operation["files"], files);
        shared += paths.iter().filter(|it| it["counted_with"] != operation["operation"]).count();
    }
    assert!(shared > 0, "no path that two operations want in the fixture");
    let (text, _) = place.expect("audit -v image.qcow2", 3);
    assert_eq!(text.matches(" (counted with ").count(), shared, "{text}");
}
