//! What a package owns stays, where no flag asks for its removal.

use sysprep_rs::operation::Operation;
use sysprep_rs::plan::Outcome;

use super::sample::{Sample, embedded, with_steps};
use super::steps::changes;

const TREE: &str = "/etc/netplan/01-own.yaml = \"network: {}\"\n\
    /usr/lib/netplan/00-network-manager-all.yaml = \"network: {}\"\n\
    /lib -> usr/lib\n\
    /etc/owned~ = \"a backup, whatever the list says\"\n\
    /var/lib/dpkg/info/bash.list = \"/.\\n/bin\\n/etc/owned~\\n\"\n\
    /var/lib/dpkg/info/network-manager.list = \"/.\\n/lib\\n/lib/netplan/00-network-manager-all.yaml\\n\"\n";

#[test]
fn an_operation_leaves_alone_what_a_package_owns() {
    let sample = Sample::new(TREE);
    let plan = sample.plan(&[embedded("netplan-config")]);
    assert_eq!(changes(&plan), ["/etc/netplan/01-own.yaml remove"]);
    let told: Vec<String> =
        plan.refusals.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with(
            "/usr/lib/netplan/00-network-manager-all.yaml: the package network-manager owns it"
        ),
        "{told:?}"
    );
    // Alone it is refused.
    let own = with_steps("  - remove: /usr/lib/netplan/00-network-manager-all.yaml\n");
    let plan = sample.plan(std::slice::from_ref(&own));
    assert!(plan.is_empty());
    assert!(matches!(plan.outcomes[0].outcome, Outcome::Refused(_)), "{:?}", plan.outcomes);
}

#[test]
fn what_is_asked_for_by_a_flag_goes() {
    let text = "name: customize\nsummary: Set up\nwhy: As asked\nclass: settings\ndefault: true\nsteps:\n\
                \x20 - remove: /usr/lib/netplan/00-network-manager-all.yaml\n";
    let customize = Operation::from_yaml("customize.yaml", text).unwrap();
    let plan = Sample::new(TREE).plan(&[customize]);
    assert_eq!(changes(&plan), ["/usr/lib/netplan/00-network-manager-all.yaml remove"]);
    let backup = with_steps("  - remove: /etc/owned~\n");
    assert_eq!(changes(&Sample::new(TREE).plan(&[backup])), ["/etc/owned~ remove"]);
}

const SERVICE: &str = "/usr/lib/systemd/systemd = \"\"\n/sbin/init -> ../usr/lib/systemd/systemd\n\
    /usr/lib/systemd/system/default.target = \"[Unit]\\nWants=systemd-tmpfiles-setup.service app.service\\n\"\n\
    /usr/lib/systemd/system/systemd-tmpfiles-setup.service = \"[Unit]\\nDefaultDependencies=no\\n\"\n\
    /usr/lib/systemd/system/app.service = \"[Unit]\\nDefaultDependencies=no\\n[Service]\\nStateDirectory=made-by-unit/sub other\\n\"\n\
    /usr/lib/systemd/system/off.service = \"[Service]\\nStateDirectory=off\\n\"\n\
    /usr/lib/tmpfiles.d/app.conf = \"d /var/lib/made-by-line 0700\\n\"\n\
    /var/lib/made-by-unit/sub/x = \"1\"\n\
    /var/lib/made-by-line/x = \"1\"\n\
    /var/lib/off/sub/deeper/x 0600 7:7 = \"1\"\n\
    /var/lib/off/own/x = \"1\"\n\
    /var/lib/empty/\n\
    /var/lib/of-none/x = \"1\"\n\
    /etc/app/app.conf = \"1\"\n\
    /etc/app/mine = \"1\"\n\
    /var/lib/dpkg/info/app.list = \"/.\\n/var/lib/made-by-unit\\n/var/lib/made-by-unit/sub\\n/var/lib/made-by-line\\n/var/lib/off\\n/var/lib/off/sub\\n/var/lib/empty\\n/etc/app\\n/etc/app/app.conf\\n\"\n";

#[test]
fn a_directory_of_a_package_stays_where_nothing_makes_it_anew() {
    let all = "  - remove: [/var/lib/made-by-unit, /var/lib/made-by-line, /var/lib/off, /var/lib/empty, /var/lib/of-none, /etc/app]\n";
    let own = with_steps(all);
    let (plan, sample) = super::steps::sealed(Sample::new(SERVICE), &own);
    assert_eq!(
        changes(&plan),
        [
            "/etc/app/mine remove",
            "/var/lib/made-by-line remove",
            "/var/lib/made-by-unit remove",
            "/var/lib/of-none remove",
            "/var/lib/off/own remove",
            "/var/lib/off/sub/deeper remove",
        ]
    );
    let told: Vec<String> = plan.refusals.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(told, ["/etc/app", "/var/lib/off", "/etc/app/app.conf", "/var/lib/off/sub"]);
    assert!(plan.refusals[1].reason.starts_with("the package app owns the directory"));
    assert!(sample.files("part1").contains(&"/etc/app/app.conf".to_owned()));
    // Where the lists go, too, nothing tells whose it is, and the next run must come to the same.
    let lists = with_steps("  - remove: [/var/lib/off, /var/lib/dpkg/info]\n");
    let (plan, _) = super::steps::sealed(Sample::new(SERVICE), &lists);
    assert_eq!(changes(&plan), ["/var/lib/dpkg/info remove", "/var/lib/off remove"]);
    // Asked for by a flag, they go.
    let text = format!(
        "name: customize\nsummary: Set up\nwhy: As asked\nclass: settings\ndefault: true\nsteps:\n{all}"
    );
    let customize = Operation::from_yaml("customize.yaml", &text).unwrap();
    let plan = Sample::new(SERVICE).plan(&[customize]);
    assert_eq!((changes(&plan).len(), plan.refusals.len()), (6, 0));
}

#[test]
fn what_stays_is_there_at_first_boot() {
    let text = "name: key\nsummary: Remove it\nwhy: To see\nclass: identity\ndefault: true\nsteps:\n\
        \x20 - remove: /etc/owned-maker\ncomes-back:\n  what: the key\n  evidence:\n    - file: /etc/owned-maker\n";
    let key = Operation::from_yaml("key.yaml", text).unwrap();
    let tree =
        "/etc/owned-maker = \"\"\n/var/lib/dpkg/info/maker.list = \"/.\\n/etc/owned-maker\\n\"\n";
    let plan = Sample::new(tree).plan(&[key]);
    assert!(plan.is_empty());
    let comes: Vec<_> = plan.first_boot.iter().filter(|it| it.what == "the key").collect();
    assert_eq!(comes[0].comes, sysprep_rs::plan::Comeback::Made("/etc/owned-maker".into()));
}
