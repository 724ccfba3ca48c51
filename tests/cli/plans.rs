//! `audit --save-plan` and `seal --plan`: what was approved is what is done, and nothing that the
//! file says besides is taken for true.

use std::fs;

use serde_json::Value;
use sysprep_rs::plan::SCHEMA;

use super::{IMAGE, Place, root_filesystem};
use crate::support::oracle;

#[test]
fn an_approved_plan_is_applied_exactly_and_only_to_what_it_saw() {
    let place = Place::new();
    fs::copy(IMAGE, place.path("other.qcow2")).unwrap();
    place.expect("audit --save-plan plan.json image.qcow2", 3);
    let report = place.json("seal --json --plan plan.json image.qcow2", 0);
    assert_eq!(report["sealed"]["output"], Value::Null);
    let proofs = report["sealed"]["proofs"].to_string();
    assert!(proofs.contains("planning again yields nothing"), "{proofs}");
    assert_eq!(report["sealed"]["not_proved"], Value::Array(Vec::new()));
    place.expect("audit image.qcow2", 0);
    // The same plan again: what it saw is gone.
    let before = fs::read(place.image()).unwrap();
    let (_, error) = place.expect("seal --plan plan.json image.qcow2", 1);
    assert!(error.lines().count() == 1 && error.contains("changed"), "{error}");
    assert!(error.len() < 300 && error.contains(" more"), "a stale plan in a short line: {error}");
    assert_eq!(fs::read(place.image()).unwrap(), before);
    // The plan applies to an equal image, and gives equal bytes.
    place.expect("seal --plan plan.json other.qcow2", 0);
    assert_eq!(fs::read(place.path("other.qcow2")).unwrap(), before);
}

#[test]
fn a_plan_is_planned_again_with_its_own_operations_and_with_no_others() {
    let place = Place::new();
    fs::copy(IMAGE, place.path("other.qcow2")).unwrap();
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    let own = |path: &str| {
        let text = format!(
            "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nparameters:\n\
             - {{ name: at, type: text, default: /etc/none, help: Which }}\n\
             steps:\n- remove: ['{{at}}', {path}]\n"
        );
        fs::write(folder.join("own.yaml"), text).unwrap();
    };
    own("/etc/none");
    let dir = "--operations-dir mine";
    let plan = format!("audit -q --save-plan plan.json {dir} --set at=/etc/hostname image.qcow2");
    place.expect(&plan, 3);
    // Not there, or another by now: said, and the plan is applied all the same.
    for (folder, why) in [("", "'own' is not here"), (dir, "'own' here is not the plan's")] {
        own("/etc/other");
        fs::copy(IMAGE, place.path("image.qcow2")).unwrap();
        let words = format!("seal --plan plan.json image.qcow2 {folder}");
        let (text, _) = place.expect(words.trim(), 0);
        let said = format!("Not proved: planning again yields nothing: the operation {why}");
        assert!(text.contains(&said) && !text.contains("Proved: planning"), "{text}");
    }
    own("/etc/none");
    let (text, _) = place.expect(&format!("seal --plan plan.json other.qcow2 {dir}"), 0);
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    // A plan that leaves something out is no less exactly what is done.
    fs::copy(IMAGE, place.path("image.qcow2")).unwrap();
    let mut plan: Value =
        serde_json::from_slice(&fs::read(place.path("plan.json")).unwrap()).unwrap();
    plan["changes"].as_array_mut().unwrap().pop();
    fs::write(place.path("plan.json"), plan.to_string()).unwrap();
    let (text, _) = place.expect(&format!("seal --plan plan.json image.qcow2 {dir}"), 0);
    assert!(text.contains("Not proved: planning again yields nothing: the plan is not"), "{text}");
}

/// The plan in a file, altered.
fn alter(place: &Place, alter: &dyn Fn(&mut Value)) {
    let mut plan: Value =
        serde_json::from_slice(&fs::read(place.path("plan.json")).unwrap()).unwrap();
    let before = plan.clone();
    alter(&mut plan);
    assert_ne!(plan, before);
    fs::write(place.path("altered.json"), plan.to_string()).unwrap();
}

/// The plan's change of a path.
fn change<'a>(plan: &'a mut Value, path: &str) -> &'a mut Value {
    let changes = plan["changes"].as_array_mut().unwrap();
    changes.iter_mut().find(|it| it["path"] == path).unwrap()
}

#[test]
fn a_plan_gives_nothing_to_the_number_that_is_no_user() {
    let place = Place::new();
    place.expect("audit -q --save-plan plan.json image.qcow2", 3);
    for id in ["uid", "gid"] {
        alter(&place, &|plan| {
            change(plan, "/etc/machine-id")["action"]["meta"][id] = u32::MAX.into();
        });
        let (_, error) = place.expect("seal -q --plan altered.json image.qcow2", 1);
        assert!(error.contains("gives to 4294967295, which is no user or group"), "{error}");
    }
}

#[test]
fn a_plan_that_counts_wrongly_is_refused() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    place.expect("audit -q --save-plan plan.json image.qcow2", 3);
    type Falsify = &'static dyn Fn(&mut Value);
    let cases: [(&str, Falsify); 5] = [
        ("/root/.ssh", &|it| it["objects"]["files"] = 0.into()),
        ("/root/.ssh", &|it| it["action"]["nodes"] = 1.into()),
        ("/root/.ssh", &|it| it["action"]["bytes"] = 0.into()),
        ("/etc/machine-id", &|it| it["action"]["bytes_before"] = 0.into()),
        ("/etc/machine-id", &|it| it["objects"]["files"] = 7.into()),
    ];
    for (path, falsify) in cases {
        alter(&place, &|plan| falsify(change(plan, path)));
        let (_, error) = place.expect("seal -q --plan altered.json image.qcow2", 1);
        let said = format!("of {path} than what is there; the file was edited, so plan again");
        assert!(
            error.starts_with("sysprep-rs: altered.json: change ") && error.contains(&said),
            "{error}"
        );
        assert_eq!(fs::read(place.image()).unwrap(), before);
    }
    // Where the plan's operations are not there to compare with, too.
    alter(&place, &|plan| {
        change(plan, "/root/.ssh")["objects"]["files"] = 0.into();
        plan["operations"][0]["digest"] = "0".repeat(64).into();
    });
    let (_, error) = place.expect("seal -q --plan altered.json image.qcow2", 1);
    assert!(error.contains("of /root/.ssh than what is there"), "{error}");
    assert_eq!(fs::read(place.image()).unwrap(), before);
    place.expect("seal -q --plan plan.json image.qcow2", 0);
}

#[test]
fn what_a_plan_says_besides_its_changes_is_planned_again() {
    let place = Place::new();
    let root = root_filesystem(&place, &place.image(), "qcow2");
    let immutable = "set_inode_field /etc/ssh/ssh_host_rsa_key flags 0x80010";
    oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", immutable, root.to_str().unwrap()]);
    let original = fs::read(&root).unwrap();
    place.expect("audit -q --save-plan plan.json root.ext4", 3);
    let honest = place.json("seal --json --plan plan.json root.ext4", 3);
    let sealed = fs::read(&root).unwrap();
    assert_eq!(honest["refusals"][0]["path"], "/etc/ssh/ssh_host_rsa_key");
    alter(&place, &|plan| {
        plan["refusals"] = Value::Array(Vec::new());
        plan["tool"] = "another".into();
        plan["guests"][0]["facts"]["hostname"] = "another".into();
        for outcome in plan["outcomes"].as_array_mut().unwrap() {
            outcome["outcome"] = serde_json::json!({ "is": "already-clean" });
        }
        for change in plan["changes"].as_array_mut().unwrap() {
            change["operation"] = "another".into();
            change["why"] = "because".into();
        }
    });
    fs::write(&root, &original).unwrap();
    let report = place.json("seal --json --plan altered.json root.ext4", 3);
    for field in ["refusals", "operations", "totals", "tool", "residue"] {
        assert_eq!(report[field], honest[field], "{field}");
    }
    assert_eq!(fs::read(&root).unwrap(), sealed);
    oracle::e2fsck_clean(&root);
    // One of the format before says so.
    let text = fs::read_to_string(place.path("plan.json")).unwrap();
    let old = text.replacen(&format!("\"schema\": {SCHEMA}"), "\"schema\": 1", 1);
    assert_ne!(old, text);
    fs::write(place.path("altered.json"), old).unwrap();
    let (_, error) = place.expect("seal --plan altered.json root.ext4", 1);
    let wanted = format!("a plan of schema 1, and this tool reads {SCHEMA}; make it anew");
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn a_plan_replaces_plans_only() {
    let place = Place::new();
    fs::write(place.path("golden.img"), "an image that cannot be made again").unwrap();
    let (_, error) = place.expect("audit -q --save-plan golden.img image.qcow2", 1);
    assert!(error.contains("golden.img") && error.contains("is no plan"), "{error}");
    let kept = fs::read_to_string(place.path("golden.img")).unwrap();
    assert_eq!(kept, "an image that cannot be made again");
    let (_, error) = place.expect("audit -q --save-plan - image.qcow2", 2);
    assert!(error.contains("./-"), "{error}");
    fs::write(place.path("empty"), "").unwrap();
    for file in ["new.json", "new.json", "empty"] {
        place.expect(&format!("audit -q --save-plan {file} image.qcow2"), 3);
        assert!(fs::metadata(place.path(file)).unwrap().len() > 0, "{file}");
    }
    place.expect("audit --save-plan /dev/null image.qcow2", 3);
}

#[test]
fn a_report_is_not_taken_for_a_plan() {
    let place = Place::new();
    let (report, _) = place.expect("audit --json image.qcow2", 3);
    fs::write(place.path("report.json"), report).unwrap();
    let (_, error) = place.expect("seal --plan report.json image.qcow2", 1);
    assert!(error.contains("report.json:1:1: a report, and no plan"), "{error}");
}

#[test]
fn a_plan_is_saved_whole_or_not_at_all() {
    let place = Place::new();
    let audit =
        format!("ulimit -f 8; trap '' XFSZ; exec {} \"$@\"", env!("CARGO_BIN_EXE_sysprep-rs"));
    let saved = |limited: bool| {
        let words = ["audit", "-q", "--save-plan", "plan.json", "image.qcow2"];
        let mut command = match limited {
            true => {
                let mut command = std::process::Command::new("bash");
                command.args(["-c", &audit, "audit"]);
                command
            }
            false => std::process::Command::new(env!("CARGO_BIN_EXE_sysprep-rs")),
        };
        command.args(words).current_dir(place.folder.path()).output().unwrap()
    };
    let names = || {
        let entries = fs::read_dir(place.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let output = saved(true);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("sysprep-rs: plan.json: "), "{error}");
    assert_eq!(names(), before, "nothing is left of a plan that was not written");
    assert_eq!(saved(false).status.code(), Some(3));
    let whole = fs::read(place.path("plan.json")).unwrap();
    assert_eq!(saved(true).status.code(), Some(1));
    assert_eq!(fs::read(place.path("plan.json")).unwrap(), whole, "the plan before is still there");
    // What a symlink leads to is written, and what is no file takes it.
    std::os::unix::fs::symlink("plan.json", place.path("link")).unwrap();
    place.expect("audit -q --enable machine-id --save-plan link image.qcow2", 3);
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    assert!(fs::read(place.path("plan.json")).unwrap().len() < whole.len());
    place.expect("audit -q --save-plan /dev/null image.qcow2", 3);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_shortened_plan_is_told_as_that_whatever_asked_for_it() {
    let place = Place::new();
    place.expect(
        "audit -q --enable machine-id,customize --touch /a --save-plan plan.json image.qcow2",
        3,
    );
    let mut plan: Value =
        serde_json::from_slice(&fs::read(place.path("plan.json")).unwrap()).unwrap();
    let (text, _) = place.expect("seal --plan plan.json image.qcow2 --output whole.raw", 0);
    assert!(text.contains("'customize' is what flags asked for"), "{text}");
    let changes = plan["changes"].as_array_mut().unwrap();
    changes.retain(|it| it["operation"] != "customize");
    for (number, change) in (1..).zip(changes) {
        change["id"] = number.into();
    }
    fs::write(place.path("plan.json"), plan.to_string()).unwrap();
    let (text, _) = place.expect("seal --plan plan.json image.qcow2", 0);
    let told = "Not proved: planning again yields nothing: the plan is not all that its operations \
                would change\n";
    assert!(text.contains(told), "{text}");
}
