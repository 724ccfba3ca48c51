//! Each operation against a small guest: exactly these changes, and none the second time.
//!
//! `tests/golden/NAME.txt` holds the tree, a line of dashes, and what has to come of it. With
//! `UPDATE_GOLDEN=1` the second part is written anew: read the difference before it is committed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sysprep_rs::fs::{MetaChange, NewMeta};
use sysprep_rs::operation::{Action, Catalogue, Operation, Replaced, Selection, VolumeAction};
use sysprep_rs::plan::{Comeback, Outcome, Plan, Return};

use super::sample::{Sample, differing};

const DASHES: &str = "----\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn text(bytes: &[u8]) -> String {
    serde_json::to_string(&String::from_utf8_lossy(bytes)).unwrap()
}

fn meta(meta: &NewMeta) -> String {
    format!("{:04o} {}:{}", meta.mode, meta.uid, meta.gid)
}

fn in_place_of(replaces: Option<&Replaced>) -> String {
    replaces.map_or_else(String::new, |it| format!(" in place of {:?}", it.kind))
}

fn action(action: &Action) -> String {
    match action {
        Action::Remove { kind, nodes, bytes } => {
            format!("remove {kind:?}, {nodes} nodes, {bytes} bytes").to_lowercase()
        }
        Action::CreateFile { content, meta: new, replaces } => {
            format!(
                "file {} {}{}",
                text(&content.bytes(&|_| None).unwrap()),
                meta(new),
                in_place_of(replaces.as_ref())
            )
        }
        Action::CreateDirectory { meta: new, replaces } => {
            format!("directory {}{}", meta(new), in_place_of(replaces.as_ref()))
        }
        Action::CreateSymlink { target, replaces, .. } => {
            format!("symlink to {}{}", text(target), in_place_of(replaces.as_ref()))
        }
        Action::CreateSpecial { kind, device: (major, minor), .. } => {
            format!("{kind:?} {major}:{minor}").to_lowercase()
        }
        Action::CreateLink { to, .. } => format!("another name of {to}"),
        Action::Move { from, replaces, .. } => {
            format!("move from {from}{}", in_place_of(replaces.as_ref()))
        }
        Action::Wipe { from, bytes, .. } => format!("wipe {bytes} bytes from {from}"),
        Action::Update { content, meta: MetaChange { mode, uid, gid, .. }, .. } => {
            let mut line = String::from("update");
            if let Some(content) = content {
                write!(line, " content {}", text(&content.bytes(&|_| None).unwrap())).unwrap();
            }
            if let Some(mode) = mode {
                write!(line, " mode {mode:04o}").unwrap();
            }
            if uid.is_some() || gid.is_some() {
                write!(line, " owner {uid:?}:{gid:?}").unwrap();
            }
            line
        }
    }
}

/// What a golden file says of a plan.
fn show(plan: &Plan) -> String {
    let mut shown = String::new();
    for change in &plan.changes {
        writeln!(shown, "{}: {} ({})", change.path, action(&change.action), change.why).unwrap();
    }
    for change in &plan.volumes {
        let VolumeAction::SetUuid { from, to } = &change.action else {
            panic!("a sample has no swap partition")
        };
        writeln!(shown, "{}: UUID {from} to {to} ({})", change.volume, change.why).unwrap();
    }
    for refusal in &plan.refusals {
        writeln!(shown, "{}: refused: {}", refusal.path, refusal.reason).unwrap();
    }
    // Who can log in is not an operation's matter.
    for Return { what, comes, .. } in plan.first_boot.iter().filter(|it| it.operation.is_some()) {
        let is = match comes {
            Comeback::Made(_) => "made by",
            Comeback::Added(_) => "added",
            Comeback::Missing(_) => "missing",
            Comeback::Unknown(_) => "not known",
            Comeback::Note(_) => "note",
        };
        writeln!(shown, "first boot: {what}: {is}: {}", comes.words()).unwrap();
    }
    shown
}

/// Seals a tree: nothing that is not planned changes, and the second time nothing does. Gives what a
/// golden file says of the plan, and the plan.
fn sealed(tree: &str, operations: &[Operation], name: &str) -> (String, Plan) {
    let mut sample = Sample::new(tree);
    let before = sample.tree("part1");
    let plan = sample.plan(operations);
    sample.seal(&plan);
    let after = sample.tree("part1");
    for path in differing(&before, &after) {
        assert!(
            plan.changes.iter().any(|change| path.starts_with(&change.path)),
            "{name}: {path} changed and is not planned"
        );
    }
    let again = sample.plan(operations);
    assert!(again.is_empty(), "{name} changes its own result: {}", show(&again));
    assert!(again.outcomes.iter().all(|it| it.outcome != Outcome::Changed), "{name}");
    (show(&plan), plan)
}

#[test]
fn every_operation_changes_exactly_what_its_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let catalogue = Catalogue::embedded().unwrap();
    let mut wrong = Vec::new();
    let mut files: BTreeSet<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|it| it.is_file());
    for operation in catalogue.operations() {
        let name = &operation.name;
        let file = folder().join(format!("{name}.txt"));
        if !files.remove(&file) {
            wrong.push(format!("{name} has no golden file"));
            continue;
        }
        let golden = fs::read_to_string(&file).unwrap();
        let (tree, expected) = golden.split_once(DASHES).unwrap_or((&golden, ""));
        let (shown, plan) = sealed(tree, std::slice::from_ref(operation), name);
        if update {
            fs::write(&file, format!("{tree}{DASHES}{shown}")).unwrap();
        } else if shown != expected {
            wrong.push(format!("{name}:\nexpected\n{expected}planned\n{shown}"));
        }
        let sees = match operation.steps.is_empty() {
            true => plan.first_boot.iter().any(|it| it.operation.is_some()),
            false => plan.outcomes[0].outcome == Outcome::Changed,
        };
        assert!(sees, "{name}: nothing to see");
    }
    wrong.extend(files.iter().map(|file| format!("{} is of no operation", file.display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `tests/golden/families/NAME.txt` is a guest as its family lays it out, and what the default
/// operations come to in it.
#[test]
fn the_default_operations_change_exactly_what_each_familys_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let operations = Catalogue::embedded().unwrap().select(&Selection::defaults()).unwrap();
    let mut wrong = Vec::new();
    for family in ["debian", "rhel", "suse", "arch", "alpine"] {
        let file = folder().join(format!("families/{family}.txt"));
        let golden = fs::read_to_string(&file).unwrap();
        let (tree, expected) = golden.split_once(DASHES).unwrap_or((&golden, ""));
        let (shown, _) = sealed(tree, &operations, family);
        if update {
            fs::write(&file, format!("{tree}{DASHES}{shown}")).unwrap();
        } else if shown != expected {
            wrong.push(format!("{family}:\nexpected\n{expected}planned\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
