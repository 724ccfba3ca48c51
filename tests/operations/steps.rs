//! The verbs, and the order of what they do to each other.

use sysprep_rs::operation::{Action, CHANGES, EDITABLE_BYTES, Objects, Operation};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::{Change, Outcome, Plan};

use super::sample::{Sample, differing, embedded, spec, with_steps};
use crate::support::snapshot::Object;

/// Plans and seals; the plan, and the sealed sample. A second plan has to be empty.
pub(super) fn sealed(mut sample: Sample, operation: &Operation) -> (Plan, Sample) {
    let before = sample.tree("part1");
    let operations = std::slice::from_ref(operation);
    let plan = sample.plan(operations);
    sample.seal(&plan);
    let planned = |path: &GuestPath| plan.changes.iter().any(|it| path.starts_with(&it.path));
    for path in differing(&before, &sample.tree("part1")) {
        // A file changes under each of its names.
        let file = before.get(&path).and_then(|object| object.same_as.as_ref());
        let same = |(other, object): (&GuestPath, &Object)| {
            object.same_as.as_ref() == file && planned(other)
        };
        assert!(
            planned(&path) || file.is_some() && before.iter().any(same),
            "{path} is not planned"
        );
    }
    assert_eq!(sample.plan(operations).changes, [], "the second time changes something");
    (plan, sample)
}

/// The changes of a plan as `PATH VERB`.
pub(super) fn changes(plan: &Plan) -> Vec<String> {
    let verb = |action: &Action| match action {
        Action::Remove { .. } => "remove",
        Action::CreateFile { .. } => "file",
        Action::CreateDirectory { .. } => "directory",
        Action::CreateSymlink { .. } => "symlink",
        Action::Update { .. } => "update",
        Action::Move { .. } => "move",
        Action::CreateSpecial { .. } => "special",
        Action::CreateLink { .. } => "link",
        Action::Wipe { .. } => "wipe",
    };
    plan.changes.iter().map(|it| format!("{} {}", it.path, verb(&it.action))).collect()
}

pub(super) fn content(sample: &mut Sample, path: &str) -> String {
    use sysprep_rs::fs::ReadFs as _;
    let fs = sample.fs("part1");
    let node = fs.model.at(path.as_bytes());
    String::from_utf8(fs.read(node, 1 << 20).unwrap()).unwrap()
}

#[test]
fn a_later_step_sees_what_earlier_ones_do() {
    let tree = "/a/x = \"1\"\n/a/y = \"2\"\n/b/z = \"3\"\n/c = \"old\"\n/d/e = \"5\"";
    let steps = "
  - remove: /a
  - remove: /a/x
  - truncate: /a/y
  - write: { path: /b/new, content: 'n' }
  - append: { path: /b/new, lines: m }
  - chmod: { paths: '/b/n*', mode: '0600' }
  - write: { path: /b/gone, content: '' }
  - remove: /b/gone
  - write: { path: /c, content: 'new' }
  - write: { path: /c, content: 'old' }
  - remove: /d
  - mkdir: { path: /d, mode: '0700' }
  - touch: /d/f
";
    let (plan, mut sample) = sealed(Sample::new(tree), &with_steps(steps));
    let wanted = ["/a remove", "/b/new file", "/d update", "/d/e remove", "/d/f file"];
    assert_eq!(changes(&plan), wanted);
    assert_eq!(content(&mut sample, "/b/new"), "n\nm\n");
    let Action::CreateFile { meta, .. } = &plan.changes[1].action else { panic!() };
    assert_eq!((meta.mode, meta.uid, meta.gid), (0o600, 0, 0));
    // A directory that is made again is the old one, emptied: it keeps its labels.
    let Action::Update { content: None, meta, .. } = &plan.changes[2].action else { panic!() };
    assert_eq!((meta.mode, meta.uid), (Some(0o700), None));
    assert_eq!(plan.changes[3].why, "matches /d");
    assert_eq!(sample.files("part1"), ["/b/new", "/b/z", "/c", "/d/f", "/etc/os-release"]);
}

#[test]
fn removed_and_made_again_is_one_change() {
    let tree = "/f 0640 5:6 = \"old\"\n/l -> a\n/g = \"x\"\n/h = \"h\"";
    let steps = "
  - remove: [/f, /l, /g, /h]
  - write: { path: /f, content: new }
  - symlink: { path: /l, target: a }
  - symlink: { path: /g, target: /f }
  - remove: /h
";
    let (plan, _) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/f update", "/g symlink", "/h remove"]);
    let Action::Update { content, meta, .. } = &plan.changes[0].action else { panic!() };
    assert_eq!(content.as_ref(), Some(&b"new".to_vec().into()));
    assert_eq!((meta.mode, meta.uid, meta.gid), (Some(0o644), Some(0), Some(0)));
}

#[test]
fn a_link_goes_itself_and_content_is_that_of_the_file_it_leads_to() {
    let tree = "/etc/a -> ../real/file\n/real/file 0600 = \"x\"\n/real/dir/in = \"y\"\n/d -> real/dir\n\
        /loop -> loop\n/out -> ../../../real/file\n/gone -> nowhere";
    let (plan, sample) = sealed(Sample::new(tree), &with_steps("  - remove: [/etc/a, /d]\n"));
    assert_eq!(changes(&plan), ["/d remove", "/etc/a remove"]);
    assert!(sample.files("part1").contains(&"/real/dir/in".to_owned()));

    let steps = "  - truncate: [/etc/a, /loop, /gone]\n  - empty: /d\n  - chmod: { paths: /out, mode: '0644' }\n";
    let (plan, _) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/real/dir/in remove", "/real/file update"]);
}

#[test]
fn patterns_through_a_link_and_through_the_real_path_meet() {
    let tree = "/run/a = \"1\"\n/run/b = \"2\"\n/var/run -> /run";
    let steps = "  - remove: { paths: '/var/run/*', keep: /run/b }\n  - remove: /run/a\n";
    let (plan, _) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/run/a remove"]);
}

#[test]
fn what_is_kept_keeps_the_way_to_it() {
    let tree = "/a/b/keep/x = \"1\"\n/a/b/go = \"2\"\n/a/c/go = \"3\"\n/a/f = \"4\"";
    let steps = "  - remove: { paths: [/a], keep: ['/a/*/keep'] }\n";
    let (plan, sample) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/a/b/go remove", "/a/c remove", "/a/f remove"]);
    assert!(sample.files("part1").contains(&"/a/b/keep/x".to_owned()));
}

/// How many bytes of content go by a plan.
fn bytes(plan: &Plan) -> u64 {
    plan.changes.iter().map(|it| it.action.bytes()).sum()
}

/// The refusals of a plan as `PATH: REASON`.
pub(super) fn refusals(plan: &Plan) -> Vec<String> {
    plan.refusals.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect()
}

#[test]
fn what_guest_and_filesystems_need_stays_and_is_said() {
    let root = "/etc/fstab = \"UUID=uuid-part2 /srv/data ext4 defaults 0 0\\n\"\n/srv/data/hidden = \"below the mount\"\n\
        /srv/x = \"1\"\n/bin -> usr/bin\n/usr/bin/sh = \"#!\"\n/vmlinuz -> boot/vmlinuz\n/opt/own/f = \"1\"";
    let sample = Sample::new(root).volume("part2", &spec("/sub/a.log = \"1\"\n/b.log = \"22\""));
    let (plan, sealed) = sealed(sample, &with_steps("  - remove: ['/*', '/srv/*', /opt/own]\n"));
    assert_eq!(changes(&plan), ["/opt/own remove", "/srv/x remove", "/vmlinuz remove"]);
    let refused: Vec<String> = plan.refusals.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(refused, ["/bin", "/etc", "/opt", "/srv", "/srv/data", "/usr"]);
    let reasons = refusals(&plan).join("\n");
    assert!(reasons.contains("/srv/data: another filesystem is mounted there"), "{reasons}");
    assert_eq!(sealed.files("part2"), ["/b.log", "/sub/a.log"]);
    assert_eq!(plan.filesystems.len(), 2);
}

#[test]
fn what_a_guest_needs_is_not_emptied_under_another_path() {
    let twice = "UUID=uuid-part1 / ext4 defaults 0 1\\nUUID=uuid-part1 /tmp ext4 defaults 0 0";
    let fstab = |lines: &str| {
        format!("/etc/fstab = \"{lines}\\n\"\n/tmp/\n/srv/data = \"1\"\n/usr/x = \"1\"")
    };
    for (tree, steps) in [
        (fstab(twice), "  - empty: /tmp\n"),
        (fstab(twice), "  - remove: '/tmp/*'\n"),
        (fstab("/ /tmp none bind 0 0"), "  - empty: /tmp\n"),
        (fstab("/ /tmp none bind 0 0"), "  - remove: ['/tmp/etc', '/tmp/usr', '/tmp/srv']\n"),
        (fstab("/srv /tmp none bind 0 0"), "  - empty: /tmp\n"),
        ("/tmp -> /etc\n/etc/passwd = \"x\"".to_owned(), "  - empty: /tmp\n"),
        ("/tmp -> /\n/usr/x = \"x\"".to_owned(), "  - empty: /tmp\n"),
    ] {
        let plan = Sample::new(&tree).plan(&[with_steps(steps)]);
        assert_eq!(changes(&plan), [""; 0], "{tree}\n{steps}");
        assert!(!plan.refusals.is_empty(), "{tree}\n{steps}");
    }
    // What is there to be emptied may be elsewhere.
    let (plan, _) = sealed(
        Sample::new("/tmp -> /var/tmp\n/var/tmp/x = \"1\""),
        &with_steps("  - empty: /tmp\n"),
    );
    assert_eq!(changes(&plan), ["/var/tmp/x remove"]);
}

#[test]
fn a_mount_point_is_emptied_by_its_own_verb_and_kept_around() {
    let root = "/etc/fstab = \"UUID=uuid-part2 /d/m ext4 defaults 0 0\\n\"\n/d/m/\n/d/x = \"1\"";
    let sample = Sample::new(root).volume("part2", &spec("/sub/a = \"1\"\n/b = \"22\""));
    let (plan, _) = sealed(sample, &with_steps("  - empty: /d/m\n  - remove: /d\n"));
    assert_eq!(changes(&plan), ["/d/m/b remove", "/d/m/sub remove", "/d/x remove"]);
    assert_eq!(plan.changes[0].volume.0, "part2");
    assert_eq!(plan.changes[0].fs_path.to_string(), "/b");
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
}

#[test]
fn what_is_in_a_removed_directory_goes_with_it_once() {
    let tree = "/v/x/y/f = \"12\"\n/v/x/y/z/g = \"3\"\n/v/x/h = \"4\"\n/v/w = \"5\"";
    let dir = "/v/x";
    for steps in [
        "  - remove: [/v/x, /v/x/y, /v/x/y/f]\n",
        "  - remove: [/v/x/y/f, /v/x/y, /v/x]\n",
        "  - remove: /v/x/y\n  - remove: ['/v/x', '/v/x/**']\n",
        "  - remove: /v/x\n  - remove: /v/x/y\n  - truncate: /v/x/h\n",
        "  - truncate: /v/x/y/f\n  - remove: [/v/x/h]\n  - remove: [/v/x, '/v/x/*']\n",
        "  - empty: /v/x/y\n  - remove: { paths: ['/v/*', '/v/x/**'], keep: /v/w }\n",
        "  - write: { path: /v/x/y/new, content: n }\n  - remove: ['/v/x/**', /v/x]\n",
    ] {
        let (plan, _) = sealed(Sample::new(tree), &with_steps(steps));
        assert_eq!(changes(&plan), [format!("{dir} remove")], "{steps}");
        let Change { objects: Objects { files, directories }, action, .. } = &plan.changes[0];
        assert_eq!((*files, *directories, action.bytes()), (3, 3, 4), "{steps}");
    }
    // Directories within each other are emptied once, too.
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - empty: [/v, /v/x, /v/x/y/z]\n"));
    assert_eq!(changes(&plan), ["/v/w remove", "/v/x remove"]);

    // Another operation asks for a part of it, before or after.
    let named = |name: &str, paths: &str| {
        let text = format!(
            "name: {name}\nsummary: One\nwhy: So.\nclass: log\ndefault: true\nsteps: [{{remove: {paths}}}]\n"
        );
        Operation::from_yaml("x.yaml", &text).unwrap()
    };
    for (first, second) in [("/v/x", "[/v/x/y, /v/x/h]"), ("[/v/x/y, /v/x/h]", "/v/x")] {
        let mut sample = Sample::new(tree);
        let plan = sample.plan(&[named("a", first), named("b", second)]);
        assert_eq!(changes(&plan), ["/v/x remove"]);
        for it in &plan.outcomes {
            let changes = plan.changes_by(0, &it.operation).count();
            assert_eq!((changes, &it.outcome), (1, &Outcome::Changed));
        }
        sample.seal(&plan);
        assert_eq!(sample.files("part1"), ["/etc/os-release", "/v/w"]);
    }
}

#[test]
fn what_is_written_below_a_removed_directory_is_there_afterwards() {
    let tree = "/v/x/y/f = \"12\"\n/v/x/h = \"4\"";
    let steps = "
  - remove: [/v/x, /v/x/y]
  - write: { path: /v/x/y/f, content: new, parents: true }
  - touch: /v/x/h2
";
    let (plan, mut sample) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/v/x/h remove", "/v/x/h2 file", "/v/x/y/f update"]);
    assert_eq!(content(&mut sample, "/v/x/y/f"), "new");
    assert_eq!(sample.files("part1"), ["/etc/os-release", "/v/x/h2", "/v/x/y/f"]);
    // Without 'parents' its directory is not there, and that is said.
    let steps = "  - remove: [/v/x, /v/x/y]\n  - write: { path: /v/x/y/f, content: new }\n";
    let (plan, _) = sealed_but_for_refusals(tree, steps);
    assert_eq!(changes(&plan), ["/v/x remove"]);
    assert!(refusals(&plan)[0].contains("its directory is not there"), "{:?}", refusals(&plan));
    // A file on the way is none, and stays.
    let steps = "  - write: { path: /v/x/h/a/b, content: new, parents: true }\n";
    let (plan, _) = sealed_but_for_refusals(tree, steps);
    assert_eq!(changes(&plan), [""; 0]);
    assert_eq!(refusals(&plan), ["/v/x/h/a/b: /v/x/h is no directory"]);
}

fn sealed_but_for_refusals(tree: &str, steps: &str) -> (Plan, Sample) {
    let mut sample = Sample::new(tree);
    let plan = sample.plan(&[with_steps(steps)]);
    sample.seal(&plan);
    (plan, sample)
}

#[test]
fn a_directory_that_shows_twice_goes_once() {
    let root = "/etc/fstab = \"/a /b none bind 0 0\\n\"\n/a/d/f = \"1\"\n/a/d/g = \"2\"\n/b/";
    let steps = "  - remove: [/a/d, /b/d/f]\n  - truncate: /b/d/g\n";
    let (plan, sample) = sealed_but_for_refusals(root, steps);
    assert_eq!(changes(&plan), ["/a/d remove"]);
    assert!(refusals(&plan)[0].starts_with("/b/d/g: the same directory shows at /a/d"));
    assert_eq!(sample.files("part1"), ["/etc/fstab", "/etc/os-release"]);
}

#[test]
fn a_link_that_leads_to_no_file_is_said() {
    for (link, said) in [
        ("/etc/machine-id -> /dev/sda", "'/dev/sda', which leads nowhere"),
        ("/etc/machine-id -> machine-id", "which leads nowhere"),
        ("/etc/machine-id -> ../../../../nowhere/x", "which leads nowhere"),
        ("/etc/machine-id -> ../var", "'../var', which is a directory"),
        ("/etc/machine-id/", "a directory, not a regular file"),
    ] {
        let plan = Sample::new(&format!("{link}\n/var/x = \"1\"")).plan(&[embedded("machine-id")]);
        assert_eq!(plan.changes, [], "{link}");
        let Outcome::Refused(why) = &plan.outcomes[0].outcome else { panic!("{link}") };
        assert!(why.contains(said), "{link}: {why}");
    }
    // Made anew by each boot: there is nothing in the image to clean.
    let plan = Sample::new("/etc/machine-id -> /run/machine-id").plan(&[embedded("machine-id")]);
    assert_eq!((&plan.outcomes[0].outcome, plan.refusals.len()), (&Outcome::AlreadyClean, 0));
    // D-Bus's file is the machine id: emptied, not removed, or the link would lead nowhere.
    let tree = "/etc/machine-id -> /var/lib/dbus/machine-id\n/var/lib/dbus/machine-id = \"0\\n\"";
    let (plan, _) = sealed(Sample::new(tree), &embedded("machine-id"));
    assert_eq!(changes(&plan), ["/var/lib/dbus/machine-id update"]);
    // Removed for another init system, whose D-Bus makes it anew where the link leads.
    let (plan, sample) = sealed(
        Sample::new(&format!("{tree}\n/sbin/init = \"\"\n/etc/inittab = \"\"")),
        &embedded("machine-id"),
    );
    assert_eq!(changes(&plan), ["/var/lib/dbus/machine-id remove"]);
    let plan = sample.plan(&[embedded("machine-id")]);
    assert_eq!((&plan.outcomes[0].outcome, plan.refusals.len()), (&Outcome::AlreadyClean, 0));
    // What a wildcard meets is not what was named.
    let plan = Sample::new("/d/a -> nowhere\n/d/b/").plan(&[with_steps("  - truncate: '/d/*'\n")]);
    assert_eq!(plan.refusals, []);
}

#[test]
fn bits_and_owners_of_whole_trees() {
    let tree = "/d 0700 1:1\n/d/a/b 0600 1:1 = \"\"\n/d/a/x 0700 1:1 = \"\"\n/d/l -> /etc/shadow\n/etc/shadow 0600 1:1 = \"\"\n/d/keep 0600 1:1 = \"\"";
    let tree = tree.replace("/d 0700", "/d/ 0700");
    let steps = "
  - chmod: { paths: /d, keep: /d/keep, mode: 'go+rX', recursive: true }
  - chown: { paths: /d/a, owner: 0, group: 0, recursive: true }
";
    let (plan, sample) = sealed(Sample::new(&tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/d update", "/d/a/b update", "/d/a/x update"]);
    let tree = sample.tree("part1");
    let of = |path: &str| {
        let it = &tree[&path.parse::<GuestPath>().unwrap()];
        let owner = it.owner.unwrap();
        (it.mode.unwrap(), owner.0, owner.1)
    };
    assert_eq!(of("/d"), (0o755, 1, 1));
    assert_eq!(of("/d/a/b"), (0o644, 0, 0));
    assert_eq!(of("/d/a/x"), (0o755, 0, 0));
    assert_eq!(of("/d/keep"), (0o600, 1, 1));
    assert_eq!(of("/etc/shadow"), (0o600, 1, 1));
    // What is named and leads nowhere is said.
    let plan =
        Sample::new("/l -> gone").plan(&[with_steps("  - chmod: { paths: /l, mode: a+r }\n")]);
    assert!(refusals(&plan)[0].contains("leads nowhere"), "{:?}", refusals(&plan));
}

#[test]
fn lines_are_put_in_and_the_first_match_replaced() {
    let tree = "/c = \"# Port\\nPort 22\\nPort 23\\n\"";
    let steps = "
  - edit:
      paths: /c
      replace: { match: '^Port 2\\d$', with: 'Port 2022', first: true }
      insert:
        - { line: 'Banner none', after: '^Port ' }
        - { line: '# head', before: '^#' }
        - { line: 'nowhere', before: '^Host' }
";
    // Replacing the first match again would replace the next: that is done once, and told.
    let plan = Sample::new(tree).plan(&[with_steps(steps)]);
    let told: Vec<_> =
        plan.unsettled.iter().map(|it| (&*it.operation, it.path.to_string())).collect();
    assert_eq!(told, [("sample", "/c".to_owned())]);
    let steps = steps.replace("2\\d$", "22$");
    let (_, mut sample) = sealed(Sample::new(tree), &with_steps(&steps));
    assert_eq!(content(&mut sample, "/c"), "# head\n# Port\nPort 2022\nPort 23\nBanner none\n");
    for wrong in [
        "{ paths: /c, insert: { line: a } }",
        "{ paths: /c, insert: { line: a, before: b, after: c } }",
        "{ paths: /c }",
    ] {
        let text = format!(
            "name: x\nsummary: X\nwhy: X.\nclass: log\ndefault: true\nsteps: [{{edit: {wrong}}}]\n"
        );
        assert!(Operation::from_yaml("x.yaml", &text).is_err(), "{wrong}");
    }
}

#[test]
fn deep_paths_are_made_in_time() {
    let deep = "/a".repeat(1500);
    let steps = format!(
        "  - mkdir: {{ path: {deep}, parents: true }}\n  - symlink: {{ path: {deep}/l, target: x }}\n"
    );
    let started = std::time::Instant::now();
    let plan = Sample::new("").plan(&[with_steps(&steps)]);
    assert_eq!((plan.changes.len(), plan.refusals.len()), (1501, 0));
    // Superlinear more than once, this took minutes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // And once they are there.
    let depths = (1..=1500).map(|depth| format!("{}/\n", "/a".repeat(depth)));
    let mut sample = Sample::new(&depths.collect::<String>());
    let count = sample.fs("part1").model.lookups.clone();
    let lookups = || count.swap(0, std::sync::atomic::Ordering::Relaxed);
    lookups();
    assert_eq!(sample.plan(&[with_steps(&steps)]).changes.len(), 1);
    let lookups = lookups();
    assert!((1500..40 * 1500).contains(&lookups), "{lookups} lookups");
    println!("{lookups} lookups");
}

#[test]
fn a_filesystem_that_cannot_be_edited_is_refused() {
    let root = "/etc/fstab = \"UUID=uuid-part2 /data xfs defaults 0 0\\n\"\n/data/";
    let mut sample = Sample::new(root).volume("part2", &spec("/a = \"1\"\n/d/"));
    sample.read_only = Some(sysprep_rs::volume::VolumeId("part2".into()));
    let steps = "  - remove: /data/a\n  - touch: /data/d/new\n";
    let plan = sample.plan(&[with_steps(steps)]);
    assert_eq!(plan.changes, []);
    assert_eq!(plan.refusals.len(), 2, "{:?}", plan.refusals);
    assert!(plan.refusals.iter().all(|it| it.reason.contains("cannot be edited")));
    assert!(matches!(&plan.outcomes[0].outcome, Outcome::Refused(why) if why.contains("/data/a")));
    assert_eq!(plan.filesystems.len(), 1);
}

#[test]
fn immutable_and_encrypted_things_are_left_alone() {
    let tree = "/a/fixed = \"1\"\n/a/b/c = \"2\"\n/e/secret = \"3\"\n/free = \"4\"";
    let mut sample = Sample::new(tree);
    let fs = sample.fs("part1");
    let (fixed, secret) = (fs.model.at(b"/a/fixed"), fs.model.at(b"/e"));
    fs.immutable.insert(fixed);
    fs.encrypted.insert(secret);
    let steps = "  - remove: [/a, /e, /free]\n  - truncate: /a/fixed\n  - remove: /a/b\n";
    let plan = sample.plan(&[with_steps(steps)]);
    assert_eq!(changes(&plan), ["/a/b remove", "/free remove"]);
    let reasons: Vec<String> =
        plan.refusals.iter().map(|it| format!("{} {}", it.path, it.reason)).collect();
    assert!(reasons.iter().any(|it| it.starts_with("/a the immutable") && it.contains("'fixed'")));
    assert!(reasons.iter().any(|it| it.starts_with("/a/fixed the immutable")), "{reasons:?}");
    assert!(reasons.iter().any(|it| it.starts_with("/e encrypted")), "{reasons:?}");
    assert_eq!(plan.outcomes[0].outcome, Outcome::Changed);
}

#[test]
fn directories_that_a_guest_needs_stay() {
    let tree = "/tmp -> /\n/usr/bin/sh = \"\"\n/var/x = \"1\"";
    let plan = Sample::new(tree).plan(&[with_steps("  - remove: ['/tmp/*', /usr/bin]\n")]);
    assert_eq!(plan.changes, []);
    let refused: Vec<String> = plan.refusals.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(refused, ["/etc", "/tmp", "/usr", "/usr/bin", "/var"]);
}

#[test]
fn several_names_of_one_file() {
    let tree = "/a/x = \"12345\"\n/b/y == /a/x\n/c/z == /a/x";
    // The content stays as long as a name is left.
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - remove: [/a, /b]\n"));
    assert_eq!(bytes(&plan), 0);
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - truncate: ['/?/?']\n"));
    assert_eq!(changes(&plan), ["/a/x update"]);
    assert_eq!(bytes(&plan), 5);
}

#[test]
fn writing() {
    let tree = "/etc/passwd = \"app:x:70:71::/:\\nnone:x:4294967295:0::/:\\n\"\n/etc/group = \"adm:x:4:\\n\"\n\
        /f 0600 3:3 = \"old\"\n/dir/";
    let steps = "
  - write: { path: /f, content: new }
  - write: { path: /g, content: g, mode: '0640', owner: app, group: adm }
  - write: { path: /h, content: h, only-if: exists }
  - write: { path: /f, content: no, only-if: missing }
  - write: { path: /x/y/z, content: z, parents: true }
  - write: { path: /no/such, content: z }
  - write: { path: /dir, content: z }
  - touch: { path: /t, owner: ghost }
  - chown: { paths: /f, owner: none }
  - symlink: { path: /f, target: x }
  - symlink: { path: /dir, target: x, replace: true }
";
    let (plan, mut sample) = sealed(Sample::new(tree), &with_steps(steps));
    let made = ["/f update", "/g file", "/x directory", "/x/y directory", "/x/y/z file"];
    assert_eq!(changes(&plan), made);
    assert_eq!(content(&mut sample, "/f"), "new");
    let Action::CreateFile { meta, .. } = &plan.changes[1].action else { panic!() };
    assert_eq!((meta.mode, meta.uid, meta.gid), (0o640, 70, 4));
    let refused: Vec<String> =
        plan.refusals.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect();
    assert_eq!(refused.len(), 6, "{refused:?}");
    for (line, wanted) in refused.iter().zip([
        "/no/such: its directory is not there",
        "/dir: not a regular file",
        "/t: the guest has no user 'ghost'",
        "/f: the guest gives a name the number 4294967295, which is none",
        "/f: something else is there",
        "/dir: a directory",
    ]) {
        assert!(line.starts_with(wanted), "{line}");
    }
}

#[test]
fn content_decides_where_it_is_asked() {
    let tree = "/a = \"id=1\\n\"\n/b = \"none\\n\"\n/c = \"id=2\\nkeep\\n\"";
    let steps = "  - remove: { paths: '/?', containing: '^id=', unless: '^keep$' }\n";
    let (plan, _) = sealed(Sample::new(tree), &with_steps(steps));
    assert_eq!(changes(&plan), ["/a remove"]);
}

#[test]
fn a_file_too_large_to_edit_is_refused_and_can_be_emptied() {
    let mut tree = spec("");
    let size = usize::try_from(EDITABLE_BYTES).unwrap() + 1;
    tree.file("/big", vec![b'a'; size]);
    tree.directory("/etc");
    tree.file("/etc/os-release", "ID=debian\n");
    let sample = Sample::of(&tree);
    let plan = sample.plan(&[with_steps("  - edit: { paths: /big, delete-lines: a }\n")]);
    assert!(plan.changes.is_empty() && plan.refusals[0].reason.contains("more than"));
    let plan = sample.plan(&[with_steps("  - truncate: /big\n")]);
    assert_eq!(bytes(&plan), size as u64);
}

#[test]
fn an_operation_that_fails_leaves_nothing_behind() {
    let tree = "/a = \"x\"\n/b = \"y\"";
    // A file of the host that can be opened and not be read.
    let failing = with_steps(
        "  - remove: /b\n  - edit: { paths: /a, replace: { match: x, with: xx } }\n  - upload: { \
         from: /proc/self/mem, to: /d }\n",
    );
    let text = "name: other\nsummary: Another\nwhy: So.\nclass: log\ndefault: true\nsteps: [{touch: /c}]\n";
    let other = Operation::from_yaml("other.yaml", text).unwrap();
    let plan = Sample::new(tree).plan(&[failing, other]);
    assert_eq!(changes(&plan), ["/c file"]);
    assert_eq!(plan.unsettled, []);
    let outcome =
        |name: &str| &plan.outcomes.iter().find(|it| it.operation == name).unwrap().outcome;
    assert!(matches!(outcome("sample"), Outcome::Failed(why) if why.contains("/proc/self/mem")));
    assert_eq!(*outcome("other"), Outcome::Changed);
}

#[test]
fn more_changes_than_a_plan_holds_fail() {
    let mut tree = spec("/etc/os-release = \"ID=debian\\n\"\n/many/\n/one/");
    for number in 0..=CHANGES {
        tree.file(&format!("/many/{number}~"), "");
    }
    let sample = Sample::of(&tree);
    let failed = |steps: &str| {
        let plan = sample.plan(&[with_steps(steps)]);
        assert_eq!(plan.changes, []);
        let Outcome::Failed(why) = &plan.outcomes[0].outcome else { panic!("{steps}") };
        assert!(why.contains("more than"), "{why}");
    };
    failed("  - remove: { names: '*~', under: /many }\n");
    failed("  - empty: /many\n");
    // A directory is one change, however much is in it.
    let plan = sample.plan(&[with_steps("  - remove: /many\n")]);
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].objects, Objects { files: CHANGES as u64 + 1, directories: 1 });
}

#[test]
fn steps_and_operations_are_for_some_guests_only() {
    let steps = "
  - touch: { path: /deb, when: { distro: [debian, ubuntu] } }
  - touch: { path: /rpm, when: { package-manager: rpm } }
  - touch: { path: /ci, when: { cloud-init: false } }
";
    let (plan, _) = sealed(Sample::new(""), &with_steps(steps));
    assert_eq!(changes(&plan), ["/ci file", "/deb file"]);
    let plan =
        Sample::new("").plan(&[with_steps("  - touch: { path: /w, when: { family: windows } }\n")]);
    assert!(matches!(&plan.outcomes[0].outcome, Outcome::Skipped(why) if why.contains("linux")));
}

#[test]
fn a_file_with_other_names_stays_readable() {
    let tree = "/d/one = \"secret\"\n/d/two == /d/one\n/e/three == /d/one\n/f = \"x\"";
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - remove: [/d, /f]\n"));
    assert_eq!(plan.residue, ["/d: a file that goes there has other names, too (1 left)"]);
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - remove: /d/one\n"));
    assert_eq!(plan.residue, ["/d/one: a file that goes there has other names, too (2 left)"]);
    let (plan, _) = sealed(Sample::new(tree), &with_steps("  - remove: [/d/two, /d/one, /e]\n"));
    assert_eq!(plan.residue, Vec::<String>::new());
}

#[test]
fn a_link_that_leads_nowhere_is_moved_once() {
    let operations = [with_steps("  - move: { from: /srv/link, to: /srv/moved }\n")];
    let mut sample = Sample::new("/srv/link -> /nowhere\n");
    let plan = sample.plan(&operations);
    assert_eq!(refusals(&plan), [""; 0]);
    sample.seal(&plan);
    let again = sample.plan(&operations);
    assert!(again.changes.is_empty() && again.refusals.is_empty(), "{:?}", refusals(&again));
}
