//! The plan as a value: what is in it, its file, its digests.

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::{Kind, MetaChange};
use sysprep_rs::operation::{Action, Catalogue, Moves, Operation, Selection};
use sysprep_rs::plan::{self, Outcome, Plan, SCHEMA};

use crate::operations::sample::{Sample, embedded, spec, with_steps};

const TREE: &str = "
/etc/machine-id = \"0123456789abcdef0123456789abcdef\\n\"
/etc/ssh/ssh_host_rsa_key 0600 = \"key\"
/etc/hosts.bak = \"old\"
/home/ann/.bash_history 1000:1000 = \"secret\"
/tmp/x/y = \"1\"
/tmp/z~ = \"22\"
/var/log/syslog = \"line\"
";

fn defaults() -> Vec<Operation> {
    Catalogue::embedded().unwrap().select(&Selection::defaults()).unwrap()
}

#[test]
fn the_default_operations_seal_a_guest_and_find_nothing_more() {
    let mut sample = Sample::new(TREE);
    let plan = sample.plan(&defaults());
    assert_eq!(plan.outcomes.len(), defaults().len());
    assert!(plan.outcomes.iter().all(|it| !matches!(it.outcome, Outcome::Failed(_))));
    let ids: Vec<u32> = plan.changes.iter().map(|it| it.id).collect();
    assert_eq!(ids, (1..=ids.len() as u32).collect::<Vec<_>>());
    sample.seal(&plan);
    let again = sample.plan(&defaults());
    assert_eq!(again.changes, []);
    let left = ["/etc/machine-id", "/etc/os-release"];
    assert_eq!(sample.files("part1"), left);
}

#[test]
fn a_path_that_several_operations_want_is_changed_once() {
    let plan = Sample::new(TREE).plan(&defaults());
    let change = plan.changes.iter().find(|it| it.path.to_string() == "/tmp/z~").unwrap();
    assert_eq!(
        (change.operation.as_str(), change.also.as_slice()),
        ("backup-files", &["tmp-files".to_owned()][..])
    );
    for name in ["backup-files", "tmp-files"] {
        let outcome = plan.outcomes.iter().find(|it| it.operation == name).unwrap();
        let changes = plan.changes_by(0, name).count();
        assert_eq!((&outcome.outcome, changes), (&Outcome::Changed, 2), "{name}");
    }
}

#[test]
fn the_order_of_operations_does_not_matter_and_equal_plans_are_equal_bytes() {
    let mut backwards = defaults();
    backwards.reverse();
    let plan = Sample::new(TREE).plan(&defaults());
    let same = Sample::new(TREE).plan(&backwards);
    assert_eq!(plan.to_json().unwrap(), same.to_json().unwrap());
    assert_eq!(plan.digest().unwrap(), same.digest().unwrap());
    assert_eq!(plan.digest().unwrap(), Digest::of(plan.to_json().unwrap().as_bytes()));
}

#[test]
fn a_plan_comes_back_from_its_file() {
    let mut tree = spec(TREE);
    tree.file("/etc/os-release", "ID=debian\n");
    tree.add(
        sysprep_rs::path::GuestPath::from_bytes(b"/tmp/\xff\n\\").unwrap(),
        crate::support::spec::Body::File(vec![0xff]),
    );
    let steps = "  - write: { path: /etc/new, content: 'text' }\n  - symlink: { path: /l, target: t }\n  - edit: { paths: '/tmp/**', only: file, replace: { match: '(?-u:\\xff)', with: '' } }\n";
    let mut operations = defaults();
    operations.push(with_steps(steps));
    let plan = Sample::of(&tree).plan(&operations);
    let text = plan.to_json().unwrap();
    let back = Plan::from_json(&text).unwrap();
    assert_eq!(back, plan);
    assert_eq!(back.to_json().unwrap(), text);
}

#[test]
fn a_wrong_plan_file_says_where() {
    let plan = Sample::new(TREE).plan(&[embedded("machine-id"), embedded("tmp-files")]);
    assert!(plan.changes.len() >= 2);
    let text = plan.to_json().unwrap();
    let line = |needle: &str| text.lines().position(|it| it.contains(needle)).unwrap() + 1;
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Plan::from_json(&text.replacen(from, to, 1)).unwrap_err()
    };
    let error = wrong("\"keep_free_space\"", "\"keep_space\"");
    assert_eq!(error.line, line("\"keep_free_space\""), "{error}");
    assert!(error.message.contains("keep_space"), "{error}");
    let error = wrong("\"before\": \"", "\"before\": \"x");
    assert_eq!(error.line, line("\"before\": \""), "{error}");
    assert!(error.message.contains("64 hexadecimal digits"), "{error}");
    let schema = format!("\"schema\": {SCHEMA}");
    assert!(wrong(&schema, "\"schema\": 1").message.contains("schema 1"));
    assert!(wrong("\"id\": 2", "\"id\": 7").message.contains("change 7"));
    assert!(wrong("\"do\": \"remove\"", "\"do\": \"format\"").message.contains("format"));
    assert!(Plan::from_json("{").is_err());

    let altered = |alter: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        alter(&mut plan);
        Plan::from_json(&plan.to_json().unwrap()).unwrap_err().message
    };
    assert!(altered(&|plan| plan.changes[0].guest = 9).contains("guest 9"));
    assert!(altered(&|plan| plan.filesystems.clear()).contains("not planned"));
    assert!(altered(&|plan| plan.changes[1].path = plan.changes[0].path.clone()).contains("order"));
    assert!(altered(&|plan| plan.changes[0].fs_path = Default::default()).contains("root"));
    let mode = altered(&|plan| {
        let meta = MetaChange { mode: Some(0o170_777), ..MetaChange::default() };
        plan.changes[0].action = Action::Update { content: None, bytes_before: 0, meta };
    });
    assert!(mode.contains("the mode 170777"), "{mode}");
}

#[test]
fn the_digest_before_a_change_tells_of_every_change_since() {
    let tree = "/d/sub/f = \"1\"\n/d/g = \"2\"\n/f 0600 1:1 = \"abc\"\n/l -> a";
    let digest = |text: &str, path: &str, action: &Action| {
        let mut sample = Sample::new(text);
        plan::before(sample.fs("part1"), &Moves::default(), &path.parse().unwrap(), action).unwrap()
    };
    let remove = |kind| Action::Remove { kind, nodes: 1, bytes: 0 };
    let write = Action::Update {
        content: Some(b"new".to_vec().into()),
        bytes_before: 3,
        meta: Default::default(),
    };
    let empty =
        Action::Update { content: Some(vec![].into()), bytes_before: 3, meta: Default::default() };
    type Alterations = &'static [(&'static str, &'static str)];
    let cases: [(&str, Action, Alterations); 5] = [
        (
            "/d",
            remove(Kind::Directory),
            &[("= \"1\"", "= \"12\""), ("/d/g", "/d/h"), ("/d/sub/f", "/d/sub/f 0600")],
        ),
        ("/f", write, &[("abc", "abd"), ("0600", "0644"), ("1:1", "1:2"), ("\n/f ", "\n/e ")]),
        ("/f", empty, &[("abc", "abcd"), ("0600", "0644")]),
        ("/l", remove(Kind::Symlink), &[("-> a", "-> b"), ("/l", "/m")]),
        ("/new", remove(Kind::File), &[("\n/f ", "\n/new = \"\"\n/f ")]),
    ];
    for (path, action, alterations) in cases {
        let before = digest(tree, path, &action);
        assert_eq!(before, digest(tree, path, &action));
        for (from, to) in alterations {
            let altered = tree.replacen(from, to, 1);
            assert_ne!(before, digest(&altered, path, &action), "{path}: {from} to {to}");
        }
    }
}

#[test]
fn two_guests_in_one_image_are_planned_apart() {
    let other = "/etc/os-release = \"ID=alpine\\n\"\n/etc/machine-id = \"x\\n\"";
    let sample = Sample::new(TREE).volume("part2", &spec(other));
    let plan = sample.plan(&[embedded("machine-id"), embedded("logfiles")]);
    assert_eq!(plan.guests.len(), 2);
    assert_eq!(plan.outcomes.len(), 4);
    let of = |guest: u32, operation: &str| {
        let found = plan.outcomes.iter().find(|it| it.guest == guest && it.operation == operation);
        &found.unwrap().outcome
    };
    assert_eq!(of(0, "logfiles"), &Outcome::Changed);
    assert_eq!(of(1, "logfiles"), &Outcome::AlreadyClean);
    assert_eq!(of(1, "machine-id"), &Outcome::Changed);
    let guests: Vec<u32> = plan.changes.iter().map(|it| it.guest).collect();
    assert!(guests.is_sorted() && guests.contains(&1));
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
}
