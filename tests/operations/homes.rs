//! What `~` stands for.

use super::sample::{Sample, with_steps};
use super::steps::{changes, sealed};

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\\na:x:1:1::/srv/a:/bin/sh\\nb:x:2:2::/gone:/bin/sh\\n\
    c:x:3:3::/link:/bin/sh\\nd:x:4:4::/home/d:/bin/sh\\ne:x:5:5::/we*ird[x]:/bin/sh\\n\
    f:x:6:6::/:/bin/sh\\ng:x:7:7::/srv/file:/bin/sh\\nh:x:8:8::/made:/bin/sh";

fn tree() -> String {
    let homes = ["", "/root", "/srv/a", "/srv/c", "/home/d", "/we*ird[x]", "/srv/none", "/weird"];
    let files = homes.map(|home| format!("{home}/.x = \"x\"\n{home}/.keep = \"k\"\n")).concat();
    format!("/etc/passwd = \"{PASSWD}\"\n/link -> srv/c\n/srv/file = \"f\"\n{files}")
}

#[test]
fn a_home_is_that_of_any_account_there_or_made() {
    let steps = "
  - write: { path: /made/.x, content: new, parents: true }
  - write: { path: /made/.keep, content: new }
  - remove: { paths: '~/.*', keep: '~/.keep' }
";
    let (plan, sample) = sealed(Sample::new(&tree()), &with_steps(steps));
    let removed = ["/.x", "/home/d/.x", "/root/.x", "/srv/a/.x", "/srv/c/.x", "/we*ird[x]/.x"];
    let made = ["/made directory", "/made/.keep file"].map(str::to_owned);
    let mut expected: Vec<String> = removed.iter().map(|it| format!("{it} remove")).collect();
    expected.extend(made);
    expected.sort();
    let mut found = changes(&plan);
    found.sort();
    assert_eq!(found, expected);
    let left = sample.files("part1").into_iter().filter(|it| it.ends_with("/.x"));
    assert_eq!(left.collect::<Vec<_>>(), ["/srv/none/.x", "/weird/.x"]);
}

#[test]
fn a_home_that_cannot_be_reached_is_told() {
    use sysprep_rs::fs::ReadFs as _;
    let mut sample = Sample::new(&tree());
    let fs = sample.fs("part1");
    let srv = fs.lookup(fs.root(), b"srv").unwrap().unwrap();
    fs.encrypted.insert(srv);
    let plan = sample.plan(&[with_steps("  - remove: '~/.x'\n")]);
    let changed = ["/.x remove", "/home/d/.x remove", "/root/.x remove", "/we*ird[x]/.x remove"];
    assert_eq!(changes(&plan), changed);
    let refused: Vec<String> =
        plan.refusals.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect();
    assert!(refused.iter().any(|it| it.starts_with("/srv: not searched")), "{refused:?}");
}
