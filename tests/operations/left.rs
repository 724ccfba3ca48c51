//! What a draft shows of a guest is what the guest will have.

use std::collections::{BTreeMap, BTreeSet};

use sysprep_rs::fs::Kind;
use sysprep_rs::guest::boot::{UnitFiles, Units};
use sysprep_rs::guest::{Disk, FileState, Files, Guest};
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
    // A directory's length, and which file of an image it is, are the filesystem's own affair.
    let shown = |state: Option<FileState>| {
        let size = |it: &FileState| if it.kind == Kind::File { it.size } else { 0 };
        state.map(|it| FileState { size: size(&it), file: None, ..it })
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

fn no_volumes() -> Volumes {
    let layout =
        Layout { table: Table::None, disk_uuid: None, volumes: Vec::new(), warnings: Vec::new() };
    let disk = Disk { device: None, layout, filesystems: Vec::new(), swaps: Vec::new() };
    Volumes::of(&disk, [7; 32], BTreeMap::new())
}

#[test]
fn a_draft_shows_what_the_guest_will_have() {
    let mut random = Random::new("a_draft_shows_what_the_guest_will_have", 1);
    let volumes = no_volumes();
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

const UNITS: [&str; 6] =
    ["a.service", "b.service", "c@.service", "c@x.service", "d.socket", "e.target"];

/// Where something of a unit is.
fn unit_path(random: &mut Random) -> String {
    let mut unit = || UNITS[random.below(6) as usize];
    let (unit, other) = (unit(), unit());
    let dir = ["/etc/systemd/system", "/usr/lib/systemd/system"][random.below(2) as usize];
    match random.below(5) {
        0 | 1 => format!("{dir}/{unit}"),
        2 => format!("{dir}/{other}.wants/{unit}"),
        3 => format!("{dir}/default.target.requires/{unit}"),
        _ => format!("{dir}/{unit}.d/{}.conf", NAMES[random.below(5) as usize]),
    }
}

fn unit_text(random: &mut Random) -> String {
    let mut unit = || UNITS[random.below(6) as usize];
    let (one, two) = (unit(), unit());
    match random.below(6) {
        0 => String::new(),
        1 => "[Broken".to_owned(),
        2 => format!("[Unit]\\nConditionPathExists=/{}", NAMES[random.below(5) as usize]),
        3 => format!("[Unit]\\nRequires={one}\\nWants={two}\\n[Install]\\nWantedBy={one}"),
        4 => format!("[Install]\\nWantedBy=default.target\\nAlias={two}"),
        _ => format!("[Unit]\\nDefaultDependencies=no\\nWants={one} {two}"),
    }
}

fn unit_tree(random: &mut Random) -> String {
    let mut tree = BTreeMap::new();
    for _ in 0..5 + random.below(20) {
        let at = unit_path(random);
        let body = match random.below(4) {
            0 => format!("{at} -> /usr/lib/systemd/system/{}", UNITS[random.below(6) as usize]),
            _ => format!("{at} = \"{}\"", unit_text(random)),
        };
        tree.insert(at, body);
    }
    let own = "/usr/lib/systemd/system/default.target = \"[Unit]\\nWants=a.service\"\n";
    own.to_owned() + &tree.into_values().map(|line| line + "\n").collect::<String>()
}

fn unit_steps(random: &mut Random) -> String {
    let mut steps = String::new();
    for _ in 0..1 + random.below(4) {
        let at = unit_path(random);
        steps += &match random.below(5) {
            0 => format!("  - remove: '{at}'\n"),
            1 => format!("  - symlink: {{ path: '{at}', target: /dev/null, parents: true }}\n"),
            2 => format!("  - truncate: '{at}'\n"),
            _ => {
                let text = unit_text(random);
                format!("  - write: {{ path: '{at}', content: \"{text}\", parents: true }}\n")
            }
        };
    }
    steps
}

/// Everything that a guest's units come to.
fn units(units: &Units<'_>) -> String {
    let boot = units.boot().unwrap();
    let states: Vec<_> = units.all().iter().map(|it| units.state(it).unwrap()).collect();
    let unable: Vec<_> = boot.unable().collect();
    format!("{:#?}\n{unable:?}\n{:?}\n{states:?}\n{:?}", boot.reached(), units.all(), units.notes())
}

#[test]
fn units_are_looked_at_again_as_if_for_the_first_time() {
    let mut random = Random::new("units_are_looked_at_again_as_if_for_the_first_time", 1);
    let volumes = no_volumes();
    let (owners, kept) = (BTreeMap::new(), BTreeSet::new());
    let around = Surroundings { volumes: &volumes, owners: &owners, kept: &kept, guest: 0 };
    let mut differing = 0;
    for _ in 0..300 {
        let tree = unit_tree(&mut random);
        let (before, between) = (unit_steps(&mut random), unit_steps(&mut random));
        let sample = Sample::new(&tree);
        let guests = sample.guests();
        let mut draft = drafted(&guests[0], &with_steps(&before), around).unwrap();
        let files = UnitFiles::default();
        let first = units(&Units::with(&draft, files.clone()).unwrap());
        for step in &with_steps(&between).steps {
            step.does.propose(&mut draft).unwrap();
        }
        let again = units(&Units::with(&draft, files).unwrap());
        let anew = units(&Units::new(&draft).unwrap());
        assert_eq!(again, anew, "{tree}after\n{before}and\n{between}");
        differing += usize::from(first != anew);
    }
    assert!(differing > 50, "{differing} differ");
}
