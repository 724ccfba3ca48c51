//! The verbs that give a guest settings: names, zone and keyboard, line by line edits.

use sysprep_rs::operation::Operation;
use sysprep_rs::plan::{Outcome, Plan};

use super::sample::{Sample, with_steps};
use super::steps::{changes, content, refusals, sealed};

const DEBIAN: &str = "/etc/dpkg/\n/var/lib/dpkg/status = \"\"\n/sbin/init -> /lib/systemd/systemd\n\
    /lib/systemd/systemd = \"\"\n";
const FEDORA: &str = "/etc/os-release = \"ID=fedora\\nVERSION_ID=41\\n\"\n/var/lib/rpm/rpmdb.sqlite = \"\"\n\
    /usr/lib/systemd/systemd = \"\"\n/sbin/init -> /usr/lib/systemd/systemd\n";

fn set(tree: &str, steps: &str) -> (Plan, Sample) {
    sealed(Sample::new(tree), &with_steps(steps))
}

#[test]
fn a_host_name_goes_where_the_distribution_keeps_it() {
    let tree = format!(
        "{DEBIAN}/etc/hostname = \"old\\n\"\n\
         /etc/hosts 0640 = \"127.0.0.1 localhost\\n127.0.1.1\\told.lan old\\n\""
    );
    let (plan, mut sample) = set(&tree, "  - hostname: new.org\n");
    assert_eq!(changes(&plan), ["/etc/hostname update", "/etc/hosts update"]);
    assert_eq!(content(&mut sample, "/etc/hostname"), "new.org\n");
    let hosts = content(&mut sample, "/etc/hosts");
    assert_eq!(hosts, "127.0.0.1 localhost\n127.0.1.1\tnew.org new\n");

    // The name that an earlier step takes away is still the one to look for.
    let steps = "  - remove: /etc/hostname\n  - hostname: new\n";
    let (_, mut sample) = set(&tree, steps);
    assert!(content(&mut sample, "/etc/hosts").ends_with("127.0.1.1\tnew.lan new\n"));

    let (plan, mut sample) = set(FEDORA, "  - hostname: new.org\n");
    assert_eq!(changes(&plan), ["/etc/hostname file", "/etc/machine-info file"]);
    assert_eq!(content(&mut sample, "/etc/machine-info"), "PRETTY_HOSTNAME=new.org\n");

    let old = "/etc/os-release = \"ID=centos\\nVERSION_ID=6\\n\"\n/var/lib/rpm/Packages = \"\"\n\
        /etc/sysconfig/network = \"NETWORKING=yes\\nHOSTNAME=old\\n\"";
    let (plan, mut sample) = set(old, "  - hostname: new\n");
    assert_eq!(changes(&plan), ["/etc/sysconfig/network update"]);
    assert_eq!(content(&mut sample, "/etc/sysconfig/network"), "NETWORKING=yes\nHOSTNAME=new\n");

    let suse = "/etc/os-release = \"ID=sles\\nID_LIKE=suse\\nVERSION_ID=11.4\\n\"\n\
        /var/lib/rpm/Packages = \"\"\n/etc/HOSTNAME = \"old\\n\"";
    let (plan, _) = set(suse, "  - hostname: new\n");
    assert_eq!(changes(&plan), ["/etc/HOSTNAME update"]);

    let gentoo = "/etc/os-release = \"ID=gentoo\\n\"\n/sbin/openrc = \"\"\n/etc/conf.d/hostname = \"# x\\nhostname=\\\"old\\\"\\n\"";
    let (plan, mut sample) = set(gentoo, "  - hostname: new\n");
    assert_eq!(changes(&plan), ["/etc/conf.d/hostname update"]);
    assert_eq!(content(&mut sample, "/etc/conf.d/hostname"), "# x\nhostname=new\n");
}

#[test]
fn what_is_no_name_zone_or_keyboard_is_not_taken() {
    for step in [
        "hostname: ''",
        "hostname: 'a b'",
        "hostname: a..b",
        "hostname: -a",
        "hostname: '../x'",
        "timezone: ../../etc/passwd",
        "timezone: /Europe/London",
        "timezone: 'a b'",
        "keymap: 'a;b'",
    ] {
        let text = format!(
            "name: x\nsummary: s\nwhy: w\nclass: settings\ndefault: true\nsteps:\n  - {step}\n"
        );
        let error = Operation::from_yaml("x.yaml", &text).map(drop).unwrap_err().to_string();
        assert!(error.contains("x.yaml:7:"), "{step}: {error}");
    }
    let long = format!("  - hostname: {}\n", "a".repeat(65));
    assert!(std::panic::catch_unwind(|| with_steps(&long)).is_err());
}

#[test]
fn a_zone_has_to_be_in_the_guest() {
    let zones =
        "/usr/share/zoneinfo/Europe/London = \"TZif\"\n/usr/share/zoneinfo/UTC = \"TZif\"\n";
    let step = "  - timezone: Europe/London\n";
    let (plan, sample) = set(&format!("{zones}/etc/timezone = \"Etc/UTC\\n\""), step);
    assert_eq!(changes(&plan), ["/etc/localtime symlink", "/etc/timezone update"]);
    assert_eq!(sealed(sample, &with_steps(step)).0.changes, []);
    // A copy of a zone, as old distributions have it, gives way; systemd's short form is the same.
    let (plan, _) = set(&format!("{zones}/etc/localtime = \"TZif\""), step);
    assert_eq!(changes(&plan), ["/etc/localtime symlink"]);
    let short = "/etc/localtime -> ../usr/share/zoneinfo/Europe/London";
    assert_eq!(set(&format!("{zones}{short}"), step).0.changes, []);
    let (plan, _) = set("/etc/localtime -> ../usr/share/zoneinfo/UTC", step);
    assert_eq!(plan.changes, []);
    assert!(refusals(&plan)[0].contains("the guest has no such time zone"), "{plan:?}");
}

#[test]
fn a_keyboard_is_set_where_there_is_one() {
    let keyboard = format!(
        "{DEBIAN}/etc/default/keyboard = \"XKBMODEL=\\\"pc105\\\"\\nXKBLAYOUT=\\\"us\\\"\\n\""
    );
    let (plan, mut sample) = set(&keyboard, "  - keymap: de\n");
    assert_eq!(changes(&plan), ["/etc/default/keyboard update"]);
    let text = content(&mut sample, "/etc/default/keyboard");
    assert_eq!(text, "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\n");
    let (plan, _) = set(FEDORA, "  - keymap: de-latin1\n");
    assert_eq!(changes(&plan), ["/etc/vconsole.conf file"]);
    for tree in [DEBIAN, "/etc/os-release = \"ID=alpine\\n\"\n/sbin/openrc = \"\""] {
        let (plan, _) = set(tree, "  - keymap: de\n");
        assert_eq!((plan.changes.len(), plan.refusals.len()), (0, 1), "{plan:?}");
    }
}

#[test]
fn lines_are_edited_one_by_one_by_every_statement() {
    let tree = "/f 0600 7:8 = \"a=1 a=2\\nb=3\\n# c\\nlast a=\"";
    let steps = r#"
  - edit-lines:
      paths: /f
      do:
        - { match: "^a=(\\d)", with: "A=${1}$$" }
        - { set: "", if: "^#" }
        - { match: "3", with: "4\nnew", unless: "A" }
        - { match: "\n", with: ";\n", if: "4\nnew" }
"#;
    let (plan, mut sample) = set(tree, steps);
    assert_eq!(changes(&plan), ["/f update"]);
    assert_eq!(content(&mut sample, "/f"), "A=1$ a=2\nb=4;\nnew\nlast a=");
    // What would go on and on is done once, and told.
    let endless = with_steps("  - edit-lines: { paths: /f, do: { match: a, with: aa } }\n");
    let mut sample = Sample::new(tree);
    let plan = sample.plan(std::slice::from_ref(&endless));
    sample.seal(&plan);
    assert_eq!(content(&mut sample, "/f"), "aa=1 a=2\nb=3\n# c\nlaast a=");
    let told: Vec<String> = plan.unsettled.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(told, ["/f"]);
}

#[test]
fn a_required_path_that_is_not_there_is_told() {
    let tree = "/a = \"1\"\n/b[1] = \"2\"\n/d/l -> /a\n/d/e/f = \"3\"\n/d/g = \"4\"";
    let steps = r"
  - remove: { paths: '/b\[1\]', required: true }
  - truncate: { paths: [/a, /gone, '/no\*ne'], required: true }
  - chown: { paths: /d/l, owner: 5, follow: true, required: true }
  - remove: /d/g
  - chmod: { paths: /d/g, mode: '0600', required: true }
  - truncate: { paths: /d, recursive: true, required: true }
";
    let (plan, mut sample) = set(tree, steps);
    assert_eq!(changes(&plan), ["/a update", "/b[1] remove", "/d/e/f update", "/d/g remove"]);
    let there = ["/gone: nothing is there", "/no*ne: nothing is there", "/d/g: nothing is there"];
    let mut found = refusals(&plan);
    found.sort();
    let mut wanted = there.map(str::to_owned);
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(content(&mut sample, "/d/e/f"), "");
}

#[test]
fn a_step_may_ask_for_selinux() {
    let steps = "  - touch: { path: /.autorelabel, when: { selinux: true } }\n";
    for (mode, wanted) in [("enforcing", 1), ("permissive", 1), ("disabled", 0)] {
        let tree = format!("/etc/selinux/config = \"SELINUX={mode}\\n\"");
        assert_eq!(set(&tree, steps).0.changes.len(), wanted, "{mode}");
    }
    let (plan, _) = set("/etc/x = \"\"", steps);
    assert!(matches!(&plan.outcomes[0].outcome, Outcome::Skipped(why) if why.contains("SELinux")));
}

#[test]
fn what_is_asked_for_by_flags_comes_last() {
    let values = serde_json::json!({
        "name": "customize", "summary": "s", "why": "w", "class": "settings", "default": true,
        "steps": [{ "write": { "path": "/zz", "content": "{keep} me" } }],
    });
    let operation = Operation::from_values("customize", &values).unwrap();
    let mut other = with_steps("  - remove: /zz\n");
    other.name = "zz-last".into();
    let both = [operation, other];
    let mut sample = Sample::new("/zz = \"x\"");
    let plan = sample.plan(&both);
    let names: Vec<&str> = plan.operations.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["zz-last", "customize"]);
    sample.seal(&plan);
    assert_eq!(content(&mut sample, "/zz"), "{keep} me");
    assert_eq!(sample.plan(&both).changes, []);
}
