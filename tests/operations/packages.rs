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
