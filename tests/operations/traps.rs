//! The traps that image builders name in comments and commit messages, as far as they concern an
//! image at rest: each is a guest, the operations run on it, and what must come of it.

use sysprep_rs::fs::{Kind, ReadFs as _};
use sysprep_rs::operation::{Catalogue, Selection};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::Plan;

use super::sample::Sample;
use super::steps::content;
use crate::support::snapshot::{Object, Snapshot};

/// What a run leaves of a guest.
struct Sealed {
    plan: Plan,
    sample: Sample,
    tree: Snapshot,
}

impl Sealed {
    fn object(&self, path: &str) -> Option<&Object> {
        self.tree.get(&path.parse::<GuestPath>().unwrap())
    }

    fn there(&self, path: &str) -> bool {
        self.object(path).is_some()
    }

    fn content(&mut self, path: &str) -> String {
        content(&mut self.sample, path)
    }

    fn mode(&self, path: &str) -> Option<u16> {
        self.object(path).and_then(|it| it.mode)
    }

    fn refused(&self, path: &str) -> Option<&str> {
        let found = self.plan.refusals.iter().find(|it| it.path.to_string() == path);
        found.map(|it| it.reason.as_str())
    }
}

/// A guest with one file that has the immutable attribute.
fn immutable(tree: &str, path: &str) -> Sample {
    let mut sample = Sample::new(tree);
    let fs = sample.fs("part1");
    let path: GuestPath = path.parse().unwrap();
    let node = path.names().fold(fs.root(), |at, name| fs.lookup(at, name).unwrap().unwrap());
    fs.immutable.insert(node);
    sample
}

/// Runs the default operations, and those given, on a guest.
fn sealed_with(mut sample: Sample, also: &str) -> Sealed {
    let mut selection = Selection::defaults();
    selection.operations("defaults").unwrap();
    if !also.is_empty() {
        selection.operations(also).unwrap();
    }
    let operations = Catalogue::embedded().unwrap().select(&selection).unwrap();
    let plan = sample.plan(&operations);
    sample.seal(&plan);
    assert!(sample.plan(&operations).changes.is_empty(), "the second time something changes");
    let tree = sample.tree("part1");
    Sealed { plan, sample, tree }
}

fn sealed(tree: &str) -> Sealed {
    sealed_with(Sample::new(tree), "")
}

const ID: &str = "= \"0123456789abcdef0123456789abcdef\\n\"";

#[test]
fn a_machine_id_that_asks_for_a_first_boot_stays_as_it_is() {
    let mut left = sealed("/etc/machine-id 0444 = \"uninitialized\\n\"");
    assert_eq!(left.content("/etc/machine-id"), "uninitialized\n");
}

#[test]
fn no_machine_id_is_made_where_there_was_none() {
    assert!(!sealed("/etc/hostname = \"h\\n\"").there("/etc/machine-id"));
}

#[test]
fn an_emptied_machine_id_can_only_be_read() {
    let mut left = sealed(&format!("/etc/machine-id 0644 {ID}"));
    assert_eq!(
        (left.content("/etc/machine-id").as_str(), left.mode("/etc/machine-id")),
        ("", Some(0o444))
    );
}

#[test]
fn the_machine_id_of_d_bus_may_be_a_link_or_a_file_or_the_links_target() {
    let mut link =
        sealed(&format!("/etc/machine-id 0444 {ID}\n/var/lib/dbus/machine-id -> /etc/machine-id"));
    assert_eq!(link.object("/var/lib/dbus/machine-id").unwrap().kind, Some(Kind::Symlink));
    assert_eq!(link.content("/etc/machine-id"), "");
    let file = sealed(&format!("/etc/machine-id 0444 {ID}\n/var/lib/dbus/machine-id {ID}"));
    assert!(!file.there("/var/lib/dbus/machine-id"));
    let mut target = sealed(&format!(
        "/var/lib/dbus/machine-id {ID}\n/etc/machine-id -> /var/lib/dbus/machine-id"
    ));
    assert_eq!(target.content("/var/lib/dbus/machine-id"), "");
}

#[test]
fn what_cloud_inits_log_is_a_link_to_stays() {
    let left = sealed(
        "/usr/bin/cloud-init 0755 = \"x\"\n/etc/cloud/cloud.cfg = \"x\"\n\
         /var/log/cloud-init.log -> /srv/console\n/srv/console = \"x\"",
    );
    assert!(left.there("/srv/console"));
}

#[test]
fn the_cloud_users_sudo_rule_stays_even_when_the_build_tools_rules_go() {
    let tree =
        "/etc/sudoers.d/90-cloud-init-users 0440 = \"x\"\n/etc/sudoers.d/packer 0440 = \"x\"";
    let left = sealed_with(Sample::new(tree), "build-sudoers");
    assert!(left.there("/etc/sudoers.d/90-cloud-init-users"));
    assert!(!left.there("/etc/sudoers.d/packer"));
}

#[test]
fn a_directory_that_is_emptied_stays_with_owner_and_mode() {
    let tree = "/var/lib/waagent/ 0700\n/var/lib/waagent/x = \"x\"\n/tmp/ 1777\n/tmp/a/b = \"x\"\n\
                /var/lib/dhcp/ 0750 7:8\n/var/lib/dhcp/l = \"x\"\n/var/lib/apt/lists/partial/ 0700 42:0\n\
                /var/lib/apt/lists/l = \"x\"\n/var/log/journal/ 2755 0:999\n/var/log/journal/i/j = \"x\"\n\
                /var/cache/yum/x = \"x\"";
    let left = sealed_with(Sample::new(tree), "apt-lists");
    for (path, mode, in_it) in [
        ("/var/lib/waagent", 0o700, "/var/lib/waagent/x"),
        ("/tmp", 0o1777, "/tmp/a"),
        ("/var/lib/dhcp", 0o750, "/var/lib/dhcp/l"),
        ("/var/lib/apt/lists/partial", 0o700, "/var/lib/apt/lists/l"),
        ("/var/log/journal", 0o2755, "/var/log/journal/i"),
        ("/var/cache/yum", 0o755, "/var/cache/yum/x"),
    ] {
        assert_eq!(left.mode(path), Some(mode), "{path}");
        assert!(!left.there(in_it), "{in_it}");
    }
}

#[test]
fn name_servers_behind_a_link_or_an_immutable_file_stay() {
    let link = "/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf";
    assert!(sealed_with(Sample::new(link), "resolv-conf").there("/etc/resolv.conf"));
    let fixed = immutable("/etc/resolv.conf = \"nameserver 10.0.0.1\\n\"", "/etc/resolv.conf");
    let left = sealed_with(fixed, "resolv-conf");
    assert!(left.there("/etc/resolv.conf"));
    assert!(left.refused("/etc/resolv.conf").is_some_and(|it| it.contains("immutable")));
}

#[test]
fn an_immutable_udev_rule_is_not_passed_over_in_silence() {
    let rule = "/etc/udev/rules.d/70-persistent-net.rules";
    let left = sealed_with(immutable(&format!("{rule} = \"rule\""), rule), "");
    assert!(left.refused(rule).is_some_and(|it| it.contains("immutable")));
}

#[test]
fn an_installers_connection_goes_where_files_of_the_old_kind_are_missing() {
    let left = sealed(
        "/etc/os-release = \"ID=almalinux\\nID_LIKE=\\\"rhel centos fedora\\\"\\n\"\n\
         /etc/NetworkManager/system-connections/eth0.nmconnection 0600 = \"[connection]\\n\"",
    );
    assert!(!left.there("/etc/NetworkManager/system-connections/eth0.nmconnection"));
}

#[test]
fn netplan_that_fits_the_builders_card_goes_on_request_and_other_settings_stay() {
    let tree = "/etc/netplan/50-mac.yaml = \"network:\\n ethernets:\\n  a:\\n   match:\\n    macaddress: '52:54:00:00:00:01'\\n\"\n\
                /etc/netplan/60-any.yaml = \"network:\\n ethernets:\\n  a:\\n   match: {name: 'e*'}\\n\"";
    let left = sealed_with(Sample::new(tree), "net-mac-match");
    assert!(!left.there("/etc/netplan/50-mac.yaml") && left.there("/etc/netplan/60-any.yaml"));
}

#[test]
fn popularity_contest_is_emptied_and_not_removed() {
    let mut left = sealed("/etc/popularity-contest.conf = \"MY_HOSTID=\\\"x\\\"\\n\"");
    assert_eq!(left.content("/etc/popularity-contest.conf"), "");
}

#[test]
fn the_name_of_the_iscsi_initiator_is_made_anew_as_each_family_wants_it() {
    let name = "/etc/iscsi/initiatorname.iscsi = \"InitiatorName=iqn.x\\n\"";
    assert_eq!(sealed(name).content("/etc/iscsi/initiatorname.iscsi"), "GenerateName=yes\n");
    for release in ["ID=fedora", "ID=opensuse-leap\\nID_LIKE=\\\"suse opensuse\\\""] {
        let left = sealed(&format!("/etc/os-release = \"{release}\\n\"\n{name}"));
        assert!(!left.there("/etc/iscsi/initiatorname.iscsi"), "{release}");
    }
}

#[test]
fn what_was_asked_for_by_name_is_not_forgotten_by_the_package_manager() {
    assert!(sealed("/var/lib/dnf/history.sqlite = \"x\"").there("/var/lib/dnf/history.sqlite"));
}

#[test]
fn azures_state_goes_and_the_password_of_root_stays() {
    let shadow = "root:$6$salt$hash:19000:0:99999:7:::\n";
    let mut left = sealed(&format!(
        "/etc/shadow 0640 = {}\n/var/lib/waagent/provisioned = \"x\"",
        serde_json::to_string(shadow).unwrap()
    ));
    assert_eq!(left.content("/etc/shadow"), shadow);
    assert!(!left.there("/var/lib/waagent/provisioned"));
}

#[test]
fn a_log_that_a_package_owns_can_be_emptied_where_it_must_not_be_missing() {
    let tree = "/var/log/service/own.txt 0640 5:5 = \"x\"";
    let mut left = sealed_with(Sample::new(tree), "logs-all");
    assert_eq!(
        (left.content("/var/log/service/own.txt").as_str(), left.mode("/var/log/service/own.txt")),
        ("", Some(0o640))
    );
}
