//! Our reading against netplan's own generator and ifupdown's own tools.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::fs::directory::Directory;
use sysprep_rs::guest::Tree;
use sysprep_rs::guest::network::{Component, Method, Network};
use sysprep_rs::volume::VolumeId;

use super::{Spec, told};
use crate::support::network_tools;

fn write(root: &Path, files: &[(&str, &str)]) {
    use std::os::unix::fs::PermissionsExt;
    for (path, content) in files {
        let file = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        let mode = if path.ends_with(".yaml") { 0o600 } else { 0o755 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn open(root: &Path) -> Tree {
    Tree::single(VolumeId("part1".into()), Arc::new(Directory::open(root).unwrap()))
}

const UDEV: (&str, &str) = ("/usr/lib/udev/rules.d/80-net-setup-link.rules", "x");
const NETWORKD: (&str, &str) = ("/usr/lib/systemd/systemd-networkd", "x");
const MANAGER: (&str, &str) = ("/usr/sbin/NetworkManager", "x");

/// What the settings of one component come to, apart from their files.
fn settings(network: &Network, by: Component) -> BTreeSet<String> {
    let own = network.profiles.iter().filter(|it| it.by == by);
    // The connection that NetworkManager makes up is none of netplan's.
    let own = own.filter(|it| it.file.to_string() != MANAGER.0);
    own.map(|it| format!("{} {:?} {:?} idle {}", it.fits, it.over, it.method, it.idle.is_some()))
        .collect()
}

#[test]
fn netplan_makes_what_we_read() {
    let ethernets = "\
network:
  version: 2
  ethernets:
    all-en: {match: {name: 'en*'}, dhcp4: yes, dhcp6: ON}
    lan: {match: {macaddress: 52:54:00:12:34:56}, set-name: lan0, dhcp4: true}
    ens9: {addresses: [192.0.2.5/24, '2001:db8::5/64': {label: x, lifetime: 0}]}
    driven: {match: {driver: [ena, virtio_net]}, dhcp6: true}
    driven2: {match: {driver: virtio_net, name: 'e*'}, dhcp4: true}
    bare: {}
    kept: {dhcp4: true, activation-mode: manual}
    v6: {accept-ra: true}
";
    // Of `match: {}`, netplan makes a section that networkd takes for no match at all.
    let any = "network: {ethernets: {x: {match: {}, dhcp4: true}, y: {match: {name: '*'}, dhcp4: true}}}\n";
    let bridge = "\
network:
  ethernets:
    port: {match: {name: 'e*'}}
    ens4: {}
    ens5: {dhcp4: true}
  bridges:
    br0: {interfaces: [port], dhcp4: true}
  bonds:
    bond0: {interfaces: [ens4], addresses: [192.0.2.7/24]}
  vlans:
    vlan7: {id: 7, link: ens5, dhcp4: true}
";
    let first = "network:\n  ethernets:\n    a: {match: {name: 'x*'}, dhcp4: true}\n    b: {addresses: [192.0.2.1/24]}\n";
    let second = "network:\n  ethernets:\n    a: {match: {name: 'e*'}}\n    b: {addresses: [192.0.2.2/24]}\n    c: &c {dhcp4: true}\n    d: *c\n";
    let manager = "\
network:
  renderer: NetworkManager
  ethernets:
    eth0: {dhcp4: true}
    any-en: {match: {name: 'en*'}, addresses: [192.0.2.9/24]}
    lan: {match: {macaddress: 52:54:00:12:34:56}, dhcp4: true}
    port: {}
  bridges:
    br0: {interfaces: [port], dhcp4: true}
";
    for (files, renderer) in [
        (&[("/etc/netplan/a.yaml", ethernets)][..], Component::Networkd),
        (&[("/etc/netplan/a.yaml", any)], Component::Networkd),
        (&[("/etc/netplan/a.yaml", bridge)], Component::Networkd),
        (&[("/etc/netplan/a.yaml", first), ("/etc/netplan/b.yaml", second)], Component::Networkd),
        (&[("/lib/netplan/a.yaml", first), ("/etc/netplan/a.yaml", second)], Component::Networkd),
        (&[("/etc/netplan/a.yaml", manager)], Component::NetworkManager),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (plan, made) = (place.path().join("plan"), place.path().join("made"));
        write(&plan, &[UDEV, NETWORKD, MANAGER]);
        write(&plan, &[("/usr/lib/systemd/system-generators/netplan", "x")]);
        write(&plan, files);
        network_tools::netplan_generates(&plan);
        let (from, to, starts) = match renderer {
            Component::Networkd => {
                ("run/systemd/network", "etc/systemd/network", "systemd-networkd.service")
            }
            _ => (
                "run/NetworkManager/system-connections",
                "etc/NetworkManager/system-connections",
                "NetworkManager.service",
            ),
        };
        write(&made, &[UDEV, NETWORKD, MANAGER]);
        fs::create_dir_all(made.join(to).parent().unwrap()).unwrap();
        fs::rename(plan.join(from), made.join(to)).unwrap();
        let starts = [starts];
        let spec = Spec { starts: &starts, ..Spec::default() };
        let mut ours = settings(&spec.read(&open(&plan)), Component::Netplan);
        if files[0].1 == any {
            assert!(ours.remove("any Ethernet interface None Dhcp idle true"), "{ours:?}");
        }
        let theirs = settings(&spec.read(&open(&made)), renderer);
        assert!(!theirs.is_empty(), "{files:?}");
        assert_eq!(ours, theirs, "{files:?}");
    }
}

#[test]
fn ifupdown_brings_up_what_we_read() {
    let main = "\
# a comment
auto lo
iface lo inet loopback
source interfaces.d/*.cfg
source-directory more
auto ens3 \\
  ens5
allow-hotplug ens4
iface ens4 inet dhcp
iface ens4 inet6 auto

iface ens5 inet6 dhcp
iface ens6 inet manual
auto ens6 ens7
iface ens7 inet static
  address 192.0.2.7
  netmask 255.255.255.0
iface unused inet dhcp
";
    let files = [
        ("/etc/network/interfaces", main),
        ("/etc/network/interfaces.d/a.cfg", "iface ens3 inet static\n\taddress 192.0.2.5/24\n"),
        ("/etc/network/interfaces.d/b.conf", "auto not1\niface not1 inet dhcp\n"),
        ("/etc/network/more/ok-1_A", "auto eth0\niface eth0 inet dhcp\n"),
        ("/etc/network/more/not.cfg", "auto not2\niface not2 inet dhcp\n"),
        ("/usr/sbin/ifup", "x"),
        ("/usr/sbin/dhclient", "x"),
        ("/usr/lib/udev/rules.d/80-ifupdown.rules", "RUN+=\"ifupdown-hotplug\""),
    ];
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &files);
    let file = place.path().join("etc/network/interfaces");
    let tree = open(place.path());
    let names = |starts: &[&str]| -> BTreeSet<String> {
        let network = Spec { starts, ..Spec::default() }.read(&tree);
        let own = network.profiles.iter().filter(|it| it.starts && it.idle.is_none());
        own.map(|it| it.fits.to_string()).collect()
    };
    let hotplug = names(&[]);
    let all = names(&["networking.service"]);
    let set = |names: Vec<String>| -> BTreeSet<String> { names.into_iter().collect() };
    assert_eq!(hotplug, set(network_tools::interfaces(&file, true)));
    let auto: BTreeSet<String> = all.difference(&hotplug).cloned().collect();
    assert_eq!(auto, set(network_tools::interfaces(&file, false)));
    assert_eq!(auto.len(), 5);
    let network = Spec { starts: &["networking.service"], ..Spec::default() }.read(&tree);
    for profile in network.profiles.iter().filter(|it| it.idle.is_none()) {
        let state = place.path().join("state");
        let commands = network_tools::commands(&file, &state, &profile.fits.to_string());
        // ifupdown looks for a client on this machine, which need not have one.
        let dhcp = ["dhclient", "udhcpc", "dhcpcd", "client software"]
            .iter()
            .any(|it| commands.contains(it));
        let address = commands.contains("ip addr add 192.0.2.");
        match &profile.method {
            Method::Dhcp => assert!(dhcp, "{commands}"),
            Method::Static(_) => assert!(address && !dhcp, "{commands}"),
            _ => assert!(!address && !dhcp, "{commands}"),
        }
    }
}

#[test]
fn netplan_makes_nothing_of_what_we_refuse() {
    let version = |text: &str| format!("network: {{{text}ethernets: {{eth0: {{dhcp4: true}}}}}}\n");
    let texts = [
        version(""),
        version("version: 2, "),
        version("version: '2', "),
        version("version: 02, "),
        version("renderer: networkd, "),
        version("version: 1, "),
        version("version: 3, "),
        version("version: two, "),
        version("version: , "),
        version("renderer: ifupdown, "),
        version("bogus: 1, "),
        "network: {ethernets: {eth0: {dhcp4: true}}, version: 1}\n".to_owned(),
        "network: {ethernets: {eth0: {dhcp4: true}}}\nother: x\n".to_owned(),
        "network: {ethernets: {eth0: {dhcp4: maybe}}}\n".to_owned(),
        "network: {ethernets: {eth0: {dhcp6: 1}}}\n".to_owned(),
        "network: {ethernets: {eth0: {dhcp6: Yes}}}\n".to_owned(),
        "network: {ethernets: {eth0: }}\n".to_owned(),
        "network: {ethernets: []}\n".to_owned(),
        "network:\n".to_owned(),
        "# nothing\n".to_owned(),
        "x\n".to_owned(),
    ];
    let mut refused = 0;
    for text in texts {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let good = "network: {ethernets: {eth1: {dhcp4: true}}}\n";
        write(root, &[UDEV, NETWORKD, ("/usr/lib/systemd/system-generators/netplan", "x")]);
        write(root, &[("/etc/netplan/a.yaml", good), ("/etc/netplan/b.yaml", &text)]);
        let theirs = network_tools::netplan_refuses(root);
        let network = Spec::default().read(&open(root));
        let ours = told(&network);
        assert_eq!(theirs.is_some(), network.profiles.is_empty(), "{text}: {theirs:?}: {ours}");
        if theirs.is_some() {
            refused += 1;
            assert!(ours.starts_with("not known: /etc/netplan/b.yaml: "), "{text}: {ours}");
            assert!(ours.ends_with("; netplan makes nothing of any file then"), "{text}: {ours}");
        }
    }
    assert_eq!(refused, 14);
}

#[test]
fn ifupdown_takes_nothing_of_what_we_refuse() {
    let dhcp = "auto eth0\niface eth0 inet dhcp\n";
    let texts = [
        dhcp,
        "iface eth1\n",
        "iface\n",
        "iface eth1 inet\n",
        "iface eth1 inet bogus\n",
        "iface eth1 foo dhcp\n",
        "iface eth1 inet dhcp extra\n",
        "iface eth1 inet dhcp\n hostname\n",
        "iface eth1 inet dhcp\n# a comment \\\n metric \\\n 5\n",
        "iface eth1 inet dhcp\n# a comment \\\n metric\n",
        "iface eth1 inherits none\n",
        "iface eth1 inherits eth0\n",
        "iface eth1 inet inherits eth0\n",
        "iface eth1 inet6 inherits eth0\n",
        "iface eth1 inet dhcp inherits\n",
        "iface eth1 inet6 6to4\niface eth1 can static\niface eth1 ipx dynamic\n",
        "iface eth1 inet6 ipv4ll\n",
        "iface eth1 inet loopback\n",
        "iface eth1 inet6 loopback\n",
        "iface lo inet\n",
        "iface lo inet loopback\n",
        "auto eth1\n address 192.0.2.1\n",
        "no-auto-down eth0\n up x\n",
        "rename eth0=lan\n up x\n",
        "source nowhere\n up x\n",
        "mapping eth*\n script /a\n map b\n",
        "mapping eth*\n script /a\n script /b\n",
        "mapping eth*\n up x\n",
        "auto\nallow-hotplug\nmapping\n",
    ];
    let mut refused = 0;
    for (text, first) in texts.iter().flat_map(|text| [(text, true), (text, false)]) {
        // What is wrong counts before and after what is not.
        let text = if first { format!("{text}{dhcp}") } else { format!("{dhcp}{text}") };
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        write(root, &[("/usr/sbin/ifup", "x"), ("/usr/sbin/dhclient", "x")]);
        write(root, &[("/etc/network/interfaces", &text)]);
        let theirs = network_tools::ifupdown_refuses(&root.join("etc/network/interfaces"));
        let spec = Spec { starts: &["networking.service"], ..Spec::default() };
        let ours = told(&spec.read(&open(root)));
        let Some(theirs) = theirs else {
            assert!(
                ours.starts_with("up: ifupdown (/etc/network/interfaces): DHCP"),
                "{ours}: {text}"
            );
            continue;
        };
        refused += 1;
        assert!(
            ours.starts_with("nothing: ifupdown (/etc/network/interfaces): "),
            "{ours}: {text}"
        );
        // "ifquery: PATH:4: words", of a line that goes on its last one.
        let line = theirs.split("interfaces:").nth(1).and_then(|it| it.split(':').next()).unwrap();
        assert!(
            ours.contains(&format!("/etc/network/interfaces line {line}: ")),
            "{ours}: {theirs}"
        );
        let words = spec.boot(|boot| {
            sysprep_rs::guest::network::fallback(&open(root), boot).unwrap().unwrap_err()
        });
        assert!(words.contains(&format!("line {line}: ")), "{words}");
    }
    assert!(refused > 30, "{refused}");
}
