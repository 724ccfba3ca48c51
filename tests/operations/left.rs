//! What a draft shows of a guest is what the guest will have.

use std::collections::{BTreeMap, BTreeSet};

use sysprep_rs::fs::Kind;
use sysprep_rs::guest::{FileState, Files, Guest};
use sysprep_rs::operation::{Draft, Operation, Surroundings, Volumes};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::Outcome;
use sysprep_rs::volume::{Layout, Table};

use super::sample::{Sample, with_steps};
use crate::random::Random;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "a.b"];

/// A path of one to four names.
fn path(random: &mut Random) -> String {
    let depth = 1 + random.below(4);
    (0..depth).map(|_| format!("/{}", NAMES[random.below(5) as usize])).collect()
}

fn tree(random: &mut Random) -> String {
    let mut tree = BTreeMap::new();
    for _ in 0..random.below(25) {
        let at = path(random);
        let body = match random.below(5) {
            0 => format!("{at}/"),
            1 => format!("{at} -> {}", path(random)),
            2 => format!("{at} -> ..{}/../{}", path(random), NAMES[random.below(5) as usize]),
            mode => format!("{at} 0{}44 = \"{at}\"", 4 + mode % 4),
        };
        // One line a path, and nothing below what is no directory.
        let taken = |it: &String| {
            format!("{it}/").starts_with(&format!("{at}/")) || at.starts_with(&format!("{it}/"))
        };
        if !tree.keys().any(taken) {
            tree.insert(at, body);
        }
    }
    tree.into_values().map(|line| line + "\n").collect()
}

fn steps(random: &mut Random) -> String {
    let mut steps = String::new();
    for _ in 0..1 + random.below(7) {
        let (at, other) = (path(random), path(random));
        steps += &match random.below(9) {
            0 | 1 => format!("  - remove: '{at}'\n"),
            2 => format!("  - remove: '{at}/*'\n"),
            3 => format!("  - write: {{ path: '{at}', content: new }}\n"),
            4 => format!("  - mkdir: {{ path: '{at}', mode: '0700' }}\n"),
            5 => format!("  - symlink: {{ path: '{at}', target: '{other}' }}\n"),
            6 => format!("  - chmod: {{ paths: '{at}', mode: '0711' }}\n"),
            7 => format!("  - truncate: '{at}'\n"),
            _ => format!("  - move: {{ from: '{at}', to: '{other}' }}\n"),
        };
    }
    steps
}

/// Everything that a guest's files say of a path.
fn said(files: &dyn Files, path: &GuestPath) -> String {
    // A directory's length is the filesystem's own affair.
    let shown = |state: Option<FileState>| {
        state.map(|it| FileState { size: if it.kind == Kind::File { it.size } else { 0 }, ..it })
    };
    format!(
        "located {:?}\nfollowed {:?}\nread {:?}\nread of 3 bytes {:?}\ntarget {:?}\nnames {:?}",
        shown(files.locate(path).unwrap()),
        shown(files.follow(path).unwrap()),
        files.read(path, 100).unwrap(),
        files.read(path, 3).map_err(|it| it.to_string().split(':').next().map(str::to_owned)),
        files.link_target(path).unwrap(),
        files.names(path).unwrap(),
    )
}

/// The operation's steps in a draft; `None` where one fails.
fn drafted<'a>(
    guest: &'a Guest,
    operation: &Operation,
    around: Surroundings<'a>,
) -> Option<Draft<'a>> {
    let mut draft = Draft::new(guest, &|_| None, &[], around);
    operation.steps.iter().all(|step| step.does.propose(&mut draft).is_ok()).then_some(draft)
}

#[test]
fn a_draft_shows_what_the_guest_will_have() {
    let mut random = Random::new("a_draft_shows_what_the_guest_will_have", 1);
    let layout =
        Layout { table: Table::None, disk_uuid: None, volumes: Vec::new(), warnings: Vec::new() };
    let disk = sysprep_rs::guest::Disk {
        device: None,
        layout,
        filesystems: Vec::new(),
        swaps: Vec::new(),
    };
    let volumes = Volumes::of(&disk, [7; 32], BTreeMap::new());
    let (owners, kept) = (BTreeMap::new(), BTreeSet::new());
    let around = Surroundings { volumes: &volumes, owners: &owners, kept: &kept, guest: 0 };
    let (mut changed, mut failed) = (0, 0);
    for _ in 0..400 {
        let (tree, steps) = (tree(&mut random), steps(&mut random));
        let operation = with_steps(&steps);
        let mut sample = Sample::new(&tree);
        let guests = sample.guests();
        let Some(draft) = drafted(&guests[0], &operation, around) else {
            failed += 1;
            continue;
        };
        let plan = sample.plan(std::slice::from_ref(&operation));
        assert!(!matches!(plan.outcomes[0].outcome, Outcome::Failed(_) | Outcome::Damaged(_)));
        changed += plan.changes.len();
        sample.seal(&plan);
        let sealed = sample.guests();
        for _ in 0..60 {
            let path: GuestPath = path(&mut random).parse().unwrap();
            let (shown, there) = (said(&draft, &path), said(&sealed[0].tree, &path));
            assert_eq!(shown, there, "{path} of\n{tree}after\n{steps}");
        }
        let root = GuestPath::root();
        assert_eq!(said(&draft, &root), said(&sealed[0].tree, &root), "{tree}after\n{steps}");
    }
    assert!(changed > 300 && failed == 0, "{changed} changes, {failed} failed");
}
