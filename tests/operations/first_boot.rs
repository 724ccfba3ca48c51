//! What comes back at first boot: evidence in the guest, and remedies where there is none.

use sysprep_rs::operation::Operation;
use sysprep_rs::plan::{Comeback, Plan};

use super::sample::Sample;
use super::steps::changes;

/// An operation that takes a key away; who needs it, what makes it, and what else would.
const KEY: &str = r#"
name: key
summary: Remove the key
why: Every clone would have it
class: identity
default: true
parameters:
  - { name: maker, type: text, default: makekey, help: The program that makes a key }
steps:
  - remove: [/etc/key]
comes-back:
  what: the key
  needed-by:
    - file: /usr/bin/needs-key
  evidence:
    - file: { paths: "/usr/lib/*/{maker}", says: made by the maker }
    - line: { paths: [/etc/rc.local, "/etc/rc.d/*.sh"], regex: '^\s*{maker}', unless: '--help' }
    - all:
        of:
          - file: /etc/makes
          - line: { paths: /etc/makes, regex: key }
        says: the two together
    - all:
        of:
          - file: /etc/makes-too
          - none: { of: [{ line: { paths: /etc/switch, regex: '^off$' } }, { file: /etc/off }] }
  otherwise:
    adds: /etc/rc.d/key.sh
    steps:
      - write: { path: /etc/rc.d/key.sh, content: "{maker}\n", mode: "0755", parents: true, when: { init: systemd } }
  missing: nobody makes it
"#;

const SYSTEMD: &str = "/usr/lib/systemd/systemd = \"\"\n/sbin/init -> /usr/lib/systemd/systemd\n";

fn planned(tree: &str) -> (Plan, Sample, Operation) {
    let operation = Operation::from_yaml("key.yaml", KEY).unwrap_or_else(|it| panic!("{it}"));
    let sample = Sample::new(tree);
    let plan = sample.plan(std::slice::from_ref(&operation));
    (plan, sample, operation)
}

fn comes(tree: &str) -> Vec<Comeback> {
    let found = planned(tree).0.first_boot.into_iter();
    found.filter(|it| it.operation.is_some()).map(|it| it.comes).collect()
}

#[test]
fn evidence_is_looked_for_in_order_and_told_in_its_words() {
    let needs = "/usr/bin/needs-key = \"\"\n/etc/key = \"k\"\n";
    let made = |words: &str| vec![Comeback::Made(words.to_owned())];
    assert_eq!(comes("/etc/key = \"k\"\n"), [], "nobody needs it");
    let missing = vec![Comeback::Missing("nobody makes it".to_owned())];
    assert_eq!(comes(needs), missing, "no remedy for an unknown init system");
    let with = |more: &str| comes(&format!("{needs}{more}"));
    assert_eq!(with("/usr/lib/x/makekey = \"\"\n"), made("made by the maker"));
    assert_eq!(with("/usr/lib/makekey = \"\"\n"), missing, "a level higher");
    assert_eq!(with("/usr/lib/x/makekey -> nowhere\n"), missing, "a link that leads nowhere");
    assert_eq!(with("/etc/rc.local = \"#!/bin/sh\\nmakekey\\n\"\n"), made("/etc/rc.local"));
    assert_eq!(with("/etc/rc.local = \"# makekey\\n\"\n"), missing);
    assert_eq!(with("/etc/rc.local = \"makekey --help\\n\"\n"), missing);
    assert_eq!(
        with("/etc/rc.d/a.sh = \"\"\n/etc/rc.d/b.sh = \"makekey\"\n"),
        made("/etc/rc.d/b.sh")
    );
    assert_eq!(with("/etc/makes = \"a key\"\n"), made("the two together"));
    assert_eq!(with("/etc/makes = \"nothing\"\n"), missing);
    assert_eq!(with("/etc/makes-too = \"\"\n"), made("/etc/makes-too"));
    assert_eq!(with("/etc/makes-too = \"\"\n/etc/switch = \"on\"\n"), made("/etc/makes-too"));
    assert_eq!(with("/etc/makes-too = \"\"\n/etc/switch = \"off\"\n"), missing);
    assert_eq!(with("/etc/makes-too = \"\"\n/etc/off = \"\"\n"), missing);
}

#[test]
fn a_remedy_is_put_in_once_and_is_evidence_from_then_on() {
    let tree = format!("{SYSTEMD}/usr/bin/needs-key = \"\"\n/etc/key = \"k\"\n");
    let (plan, mut sample, operation) = planned(&tree);
    let of_ours = plan.first_boot.iter().filter(|it| it.operation.is_some());
    let found: Vec<_> = of_ours.map(|it| (&it.what[..], &it.comes)).collect();
    assert_eq!(found, [("the key", &Comeback::Added("/etc/rc.d/key.sh".to_owned()))]);
    assert_eq!(changes(&plan), ["/etc/key remove", "/etc/rc.d directory", "/etc/rc.d/key.sh file"]);
    sample.seal(&plan);
    let again = sample.plan(&[operation]);
    assert!(again.is_empty(), "{:?}", again.changes);
    assert_eq!(again.first_boot[0].comes, Comeback::Made("/etc/rc.d/key.sh".to_owned()));
}

#[test]
fn evidence_is_looked_for_in_the_guest_as_the_run_leaves_it() {
    let mut operation = Operation::from_yaml("key.yaml", KEY).unwrap();
    operation.set("maker", "other").unwrap();
    let text = KEY.replace("name: key", "name: clean").replace("[/etc/key]", "[/etc/rc.local]");
    let clean = Operation::from_yaml("clean.yaml", &text[..text.find("comes-back").unwrap()].replace(
        "parameters:\n  - { name: maker, type: text, default: makekey, help: The program that makes a key }\n",
        "",
    ));
    let clean = clean.unwrap_or_else(|it| panic!("{it}"));
    let tree = "/usr/bin/needs-key = \"\"\n/etc/key = \"k\"\n/etc/rc.local = \"other\\n\"\n";
    let sample = Sample::new(tree);
    let comes = |operations: &[Operation]| sample.plan(operations).first_boot[0].comes.clone();
    assert_eq!(comes(&[operation.clone()]), Comeback::Made("/etc/rc.local".to_owned()));
    assert!(comes(&[operation, clean]).is_open(), "its maker goes in the same run");
}

#[test]
fn what_comes_back_is_checked_like_all_else() {
    let wrong = r#"
name: key
summary: Remove the key
why: Every clone would have it
class: identity
default: true
steps:
  - remove: [/etc/key]
comes-back:
  what: the key
  evidence:
    - fiel: /etc/x
    - file: etc/x
    - line: { paths: /etc/x, regex: "(" }
    - file: { paths: /etc/x, says: a, sais: b }
    - all: { of: [] }
  otherwise:
    adds: a file
    steps:
      - wriet: { path: /x, content: x }
"#;
    let error = Operation::from_yaml("bad.yaml", wrong).unwrap_err().to_string();
    for wanted in [
        "bad.yaml:12:7: unknown kind of evidence 'fiel'; did you mean 'file'?",
        "bad.yaml:13:13: 'paths': 'etc/x' begins neither",
        "bad.yaml:14:37: 'regex': not a regular expression",
        "bad.yaml:15:39: unknown field 'sais' in the piece of evidence 'file'; did you mean 'says'?",
        "bad.yaml:16:18: 'of' is empty",
        "bad.yaml:20:9: unknown verb 'wriet'; did you mean 'write'?",
    ] {
        assert!(error.contains(wanted), "no «{wanted}» in\n{error}");
    }
    let none = wrong.split("  evidence:").next().unwrap();
    let error = Operation::from_yaml("bad.yaml", none).unwrap_err().to_string();
    assert!(error.contains("'comes-back' has no 'evidence'"), "{error}");
}
