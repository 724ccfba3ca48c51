//! What is printed of a run, and that nothing in it comes to a terminal as a command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sysprep_rs::operation::Catalogue;

use super::{Place, root_filesystem};
use crate::support::oracle;

/// A Debian guest on an ext4 filesystem, with these files more.
fn guest(place: &Place, label: &str, files: &[(&str, &str)]) -> PathBuf {
    let tree = place.path("tree");
    let guest = [("etc/os-release", "ID=debian\n"), ("usr/keep", "")];
    for (path, content) in guest.iter().chain(files) {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let image = place.path("guest.img");
    let (tree, to) = (tree.to_str().unwrap(), image.to_str().unwrap());
    oracle::succeed(
        "mke2fs",
        "e2fsprogs",
        &["-q", "-t", "ext4", "-N", "12000", "-L", label, "-d", tree, to, "16m"],
    );
    fs::remove_dir_all(tree).unwrap();
    image
}

/// Nothing but text and the line ends that the program itself prints.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
}

#[test]
fn names_of_a_hostile_guest_are_printed_as_they_are_and_obeyed_by_nothing() {
    let place = Place::new();
    let forged = "Proved: nothing";
    let bad = format!("tmp/\x1b[2J\u{202e}x\n{forged}");
    let image = guest(
        &place,
        "a\x1b[31m\n\u{9b}1m",
        &[
            (&bad, "1"),
            (&format!("{bad}-dir/b\rc\n{forged}"), "2"),
            ("etc/hostname", "host\x1b[2J\u{9b}31m\n"),
            ("etc/os-release", "ID=debian\nPRETTY_NAME=\"x\x1b[2J\u{202e}\"\n"),
            ("etc/fstab", "UUID=\x1b[2J /a\x07 ext4\nLABEL=\u{9b}x /b ext4\n"),
        ],
    );
    let named = format!("image\x1b[2J\n{forged}.img");
    fs::rename(&image, place.path(&named)).unwrap();
    for words in
        ["inspect", "audit", "audit -v", "audit --json", "seal -v -x", "audit --format raw"]
    {
        let mut all: Vec<&str> = words.split(' ').collect();
        all.push(&named);
        let output = place.run_words(&all);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(is_plain(&text), "{words}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with(forged)), "{words}: {text}");
        assert!(text.contains("\\x1b[2J") || words.contains("json"), "{words}: {text}");
        let all_named = text.contains("/tmp/\\x1b[2J\\xe2\\x80\\xaex\\x0aProved: nothing-dir/b");
        assert_eq!(all_named, words.contains("-v"), "{words}: {text}");
    }
    oracle::e2fsck_clean(&place.path(&named));
    // Names on the command line, too, and in errors.
    let missing = format!("missing\x1b[2J\n{forged}");
    let option = format!("--x\u{202e}{forged}");
    for words in [["audit", &missing], ["check", &missing], ["seal", &option]] {
        let output = place.run_words(&words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(is_plain(&text) && text.contains("\\x"), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with(forged)), "{text}");
    }
}

#[test]
fn neither_a_partitions_label_nor_a_plans_operation_is_obeyed() {
    let place = Place::new();
    let bad = "a\x1b[2J\u{9b}\u{202e}\nProved: nothing";
    let raw = place.path("disk.raw");
    oracle::qemu_img_convert(&place.image(), "qcow2", &raw, &["-O", "raw"]);
    let words = ["-q", "--no-reread", "--no-tell-kernel", "--part-label"];
    let disk = [raw.to_str().unwrap(), "2", bad];
    oracle::succeed("sfdisk", "fdisk", &[&words[..], &disk[..]].concat());
    place.expect("audit -q --save-plan plan.json disk.raw", 3);
    let mut plan: Value =
        serde_json::from_slice(&fs::read(place.path("plan.json")).unwrap()).unwrap();
    let name = plan["changes"][0]["operation"].as_str().unwrap().to_owned();
    let as_bad = |it: &mut Value| {
        if *it == name.as_str() {
            *it = bad.into();
        }
    };
    plan["operations"].as_array_mut().unwrap().iter_mut().for_each(|it| as_bad(&mut it["name"]));
    plan["changes"].as_array_mut().unwrap().iter_mut().for_each(|it| as_bad(&mut it["operation"]));
    fs::write(place.path("plan.json"), plan.to_string()).unwrap();
    for words in [
        "inspect disk.raw",
        "audit -v disk.raw",
        "seal -n --plan plan.json disk.raw",
        "seal -v --plan plan.json disk.raw",
    ] {
        let output = place.run(words);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(is_plain(&text), "{words}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("Proved: nothing")), "{words}: {text}");
        let is_shown = words.contains("inspect") || words.contains("seal -v");
        assert!(!is_shown || text.contains("a\\x1b[2J\\xc2\\x9b"), "{words}: {text}");
    }
}

#[test]
fn the_files_that_go_with_a_directory_are_named() {
    let place = Place::new();
    let files = ["var/tmp/d/z/1", "var/tmp/d/a", "var/tmp/d/b"];
    let image = guest(&place, "", &files.map(|it| (it, "four")));
    let link = "symlink /var/tmp/d/link a";
    oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", link, image.to_str().unwrap()]);
    let listed = "    remove           /var/tmp/d, 4 files, 2 directories, 12 B\n\
                  \x20                    /var/tmp/d/a, 4 B\n\
                  \x20                    /var/tmp/d/b, 4 B\n\
                  \x20                    /var/tmp/d/link, 1 B\n\
                  \x20                    /var/tmp/d/z/1, 4 B\n";
    let enable = "--enable tmp-files guest.img";
    let (text, _) = place.expect(&format!("audit -v {enable}"), 3);
    assert!(text.contains(listed), "{text}");
    let (text, _) = place.expect(&format!("audit {enable}"), 3);
    assert!(!text.contains("/var/tmp/d"), "{text}");
    // Once it is sealed there is nothing left to list, and it is listed all the same.
    for words in ["seal -v -n", "seal -v --output new.img", "seal -v"] {
        let code = if words.contains("-n") { 3 } else { 0 };
        let (text, _) = place.expect(&format!("{words} {enable}"), code);
        assert!(text.contains(listed), "{words}: {text}");
        assert_eq!(text.matches("guest.img: raw").count(), 1, "{words}: {text}");
        let done = text.contains("\n\nCleaned: 4 files, 2 directories in 1 operation");
        assert_eq!(done, !words.contains("-n"), "{words}: {text}");
    }
    oracle::e2fsck_clean(&image);
}

#[test]
fn more_files_than_are_sorted_are_all_named() {
    let place = Place::new();
    let names: Vec<String> = (0..10_500).map(|n| format!("var/tmp/d/{n:05}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|it| (it.as_str(), "")).collect();
    guest(&place, "", &files);
    let (text, _) = place.expect("audit -v --enable tmp-files guest.img", 3);
    for name in &names {
        assert!(text.contains(&format!(" /{name}, 0 B\n")), "{name}");
    }
}

#[test]
fn what_is_being_done_is_said_in_its_order() {
    let place = Place::new();
    for (words, stages) in [
        ("audit -q -x image.qcow2", &["open", "plan"][..]),
        (
            "seal -q -x --digest image.qcow2",
            &["open", "plan", "digest", "stage", "verify", "write", "digest after"],
        ),
    ] {
        let output = place.run(words);
        let told = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), stages.len() * 2, "{told}");
        for (stage, pair) in stages.iter().zip(lines.chunks(2)) {
            assert_eq!(pair[0], format!("{stage} …"), "{told}");
            assert!(pair[1].starts_with(&format!("{stage}: ")), "{told}");
        }
    }
}

#[test]
fn exit_code_3_says_why_in_one_closing_line() {
    let place = Place::new();
    let last = |words: &str, code| {
        let (text, error) = place.expect(words, code);
        (text.lines().last().unwrap_or_default().to_owned(), error)
    };
    let dirty = "Exit code 3: there is something to clean.";
    assert_eq!(last("audit image.qcow2", 3), (dirty.to_owned(), String::new()));
    assert_eq!(last("audit -q image.qcow2", 3), (String::new(), String::new()));
    let root = root_filesystem(&place, &place.image(), "qcow2");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o600)).unwrap();
    let immutable = "set_inode_field /etc/ssh/ssh_host_rsa_key flags 0x80010";
    oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", immutable, root.to_str().unwrap()]);
    // Every clone has the key that stays.
    let stays = "1 thing does not come back at first boot ('first boot' in the report)";
    let left = format!("1 path would be left alone ('Left alone' in the report says why); {stays}");
    let (line, _) = last("audit root.ext4", 3);
    assert_eq!(line, format!("Exit code 3: there is something to clean; {left}."));
    let sealed = format!(
        "root.ext4: sealed. Exit code 3: 1 path left alone ('Left alone' in the report says why); \
         {stays}."
    );
    let (line, error) = last("seal root.ext4", 3);
    assert!(!line.contains("Exit code"), "{line}");
    assert_eq!(error, format!("sysprep-rs: {sealed}\n"));
    assert_eq!(last("audit root.ext4", 3).0, format!("Exit code 3: {left}."));
    // Nothing to attend to, nothing said.
    place.expect("seal -q image.qcow2", 0);
    assert!(!last("audit image.qcow2", 0).0.contains("Exit code"));
}

/// Everything that a step of a file says, at any depth.
fn leaves(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|it| leaves(it, into)),
        Value::Object(fields) => fields.values().for_each(|it| leaves(it, into)),
        Value::String(text) => into.push(text.clone()),
        other => into.push(other.to_string()),
    }
}

#[test]
fn an_operation_is_explained_to_the_last_argument() {
    let place = Place::new();
    for operation in Catalogue::embedded().unwrap().operations() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&operation.file);
        let file: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let (text, _) = place.expect(&format!("operations {}", operation.name), 0);
        let described = place.json(&format!("operations --json {}", operation.name), 0);
        let mut said = Vec::new();
        leaves(file.get("steps").unwrap_or(&Value::Array(Vec::new())), &mut said);
        let mut in_json = Vec::new();
        leaves(&described["steps"], &mut in_json);
        for leaf in said.into_iter().filter(|leaf| !leaf.contains('{')) {
            let quoted = Value::String(leaf.clone()).to_string();
            assert!(text.contains(&leaf) || text.contains(&quoted), "{leaf} is not in\n{text}");
            assert!(in_json.contains(&leaf), "{leaf} is not in\n{described}");
        }
    }
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    let steps = r#"- set-key: { paths: "/etc/{app}.ini", format: ini, section: a, key: id, value: " x" }
- edit: { paths: /etc/b, replace: { match: "^a=(.*)$", with: "b=$1", first: true }, insert: { line: "c", after: "^d" }, delete-lines: ["^e", "^f"] }
- write: { path: /etc/g, content: "one\ntwo\n", mode: "0640", owner: root, only-if: missing }
- remove: { paths: /h/*, keep: "/h/{app}", containing: "i", unless: "" }
"#;
    let text = format!(
        "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nparameters:\n\
         - {{ name: app, type: text, default: my, help: Which }}\nsteps:\n{steps}"
    );
    fs::write(folder.join("own.yaml"), text).unwrap();
    let (text, _) = place.expect("operations own --operations-dir mine", 0);
    let shown = r#"
steps
  set-key
    paths    /etc/my.ini
    format   ini
    section  a
    key      id
    value    " x"
  edit
    paths         /etc/b
    replace       first true, match "^a=(.*)$", with "b=$1"
    delete-lines  ^e
                  ^f
    insert        after "^d", line "c"
  write
    path     /etc/g
    mode     0640
    owner    root
    content  "one\ntwo\n"
    only-if  missing
  remove
    paths       /h/*
    keep        /h/my
    containing  i
    unless      ""
"#;
    assert!(text.contains(shown), "{text}");
}

#[test]
fn an_fstab_that_cannot_be_read_is_something_to_attend_to() {
    let place = Place::new();
    let long = "#".repeat(2 << 20);
    for (content, damage) in
        [("/dev/sda9 /x ext4\n", Some("sif /etc/fstab flags 0x80800")), (&long, None)]
    {
        let image = guest(&place, "", &[("etc/fstab", content)]);
        if let Some(damage) = damage {
            let args = ["-w", "-R", damage, image.to_str().unwrap()];
            oracle::succeed("debugfs", "e2fsprogs", &args);
        }
        let (text, error) = place.expect("seal guest.img", 3);
        let left = "Left alone: /etc/fstab (all operations): not read, so what it mounts was not \
                    looked at\n";
        assert!(text.contains(left), "{text}");
        assert!(error.contains("Exit code 3: 1 path left alone"), "{error}");
        place.expect("audit -q guest.img", 3);
    }
}
