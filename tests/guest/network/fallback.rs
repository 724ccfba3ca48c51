//! The DHCP configuration that is written where nothing brings a link up: the guest is read again
//! with it, and the tools that will read it take it.

use sysprep_rs::guest::network::{Component, Fallback, fallback};

use super::{Spec, told};
use crate::guest::single;
use crate::support::network_tools;

const RULES: &str = "/usr/lib/udev/rules.d/80-net-setup-link.rules = x";
const NETWORKD: &str = "/usr/lib/systemd/systemd-networkd = x";
const SYSTEMD: &str = "/usr/lib/systemd/systemd = x";
const MANAGER: &str = "/usr/sbin/NetworkManager = x";
const NETPLAN: &str = "/usr/lib/systemd/system-generators/netplan = x";
const GENERATORS: &[&str] = &[RULES, NETPLAN, NETWORKD];

/// A name, files, what starts; the component that the fallback is for, and the verdict with it.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Component, &'a str);

fn made(spec: &Spec<'_>) -> Result<Fallback, String> {
    spec.boot(|boot| fallback(&spec.tree(), boot).unwrap())
}

/// What the guest with these files is.
fn after(spec: &Spec<'_>, found: &Fallback) -> String {
    let mut fs = spec.memory();
    for (path, content, mode) in &found.files {
        let path = path.to_string();
        fs = fs.file(&path, content).owned(&path, 0, 0, *mode);
    }
    let mut starts = spec.starts.to_vec();
    let names: Vec<String> = found
        .links
        .iter()
        .map(|(path, target)| {
            assert!(target.starts_with(b"/"), "{path}");
            String::from_utf8_lossy(path.name().unwrap()).into_owned()
        })
        .collect();
    for (path, target) in &found.links {
        fs = fs.link(path.to_string(), target);
    }
    starts.extend(names.iter().map(String::as_str));
    let spec = Spec { starts: &starts, ..spec.clone() };
    told(&spec.read(&single(fs)))
}

#[test]
fn each_dialect_brings_the_link_up() {
    let unit = |name: &str| format!("/usr/lib/systemd/system/{name} = [Unit]");
    let networkd_unit = unit("systemd-networkd.service");
    let manager_unit = unit("NetworkManager.service");
    let networking_unit = unit("networking.service");
    let dhcpcd_unit = unit("dhcpcd.service");
    let ifupdown: &[&str] = &[
        SYSTEMD,
        RULES,
        &networking_unit,
        "/usr/sbin/ifup = x",
        "/usr/sbin/dhclient = x",
        "/etc/network/interfaces = auto lo\niface lo inet loopback",
    ];
    let cases: &[Case<'_>] = &[
        (
            "netplan",
            GENERATORS,
            &[],
            Component::Netplan,
            "up: netplan (/etc/netplan/95-sysprep-dhcp.yaml): DHCP on e*",
        ),
        (
            "netplan and NetworkManager that leaves Ethernet alone",
            &[
                RULES,
                NETPLAN,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf = [keyfile]\nunmanaged-devices=*,except:type:wifi",
            ],
            &["NetworkManager.service"],
            Component::Netplan,
            "up: netplan (/etc/netplan/95-sysprep-dhcp.yaml): DHCP on e*",
        ),
        (
            "networkd",
            &[RULES, NETWORKD],
            &["systemd-networkd.service"],
            Component::Networkd,
            "up: systemd-networkd (/etc/systemd/network/89-sysprep-dhcp.network): DHCP on en* eth*",
        ),
        (
            "networkd with a file that leaves all alone",
            &[
                RULES,
                NETWORKD,
                "/etc/systemd/network/50-no.network = [Match]\nName=*\n[Link]\nUnmanaged=yes",
            ],
            &["systemd-networkd.service"],
            Component::Networkd,
            "up: systemd-networkd (/etc/systemd/network/05-sysprep-dhcp.network): DHCP on en* eth*",
        ),
        (
            "NetworkManager",
            &[
                RULES,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/00-server.conf = [main]\nno-auto-default=*",
            ],
            &["NetworkManager.service"],
            Component::NetworkManager,
            "up: NetworkManager (/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection): DHCP on any",
        ),
        (
            "NetworkManager that leaves all alone, in two ways",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/conf.d/a.conf = [keyfile]\nunmanaged-devices=*\n[device-x]\nmanaged=0",
            ],
            &["NetworkManager.service"],
            Component::NetworkManager,
            "up: NetworkManager (/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection): DHCP on any",
        ),
        (
            "ifupdown",
            ifupdown,
            &["networking.service"],
            Component::Ifupdown,
            "up: ifupdown (/etc/network/interfaces): DHCP on e*",
        ),
        (
            "ifupdown that does not start",
            ifupdown,
            &[],
            Component::Ifupdown,
            "up: ifupdown (/etc/network/interfaces): DHCP on e*",
        ),
        (
            "Alpine",
            &[
                "/sbin/ifup -> /bin/busybox",
                "/sbin/udhcpc -> /bin/busybox",
                "/bin/busybox = x",
                "/etc/network/interfaces = auto lo\niface lo inet loopback\n",
            ],
            &["networking"],
            Component::Ifupdown,
            "up: ifupdown (/etc/network/interfaces): DHCP on eth0",
        ),
        (
            "Alpine without the script in a runlevel",
            &[
                "/sbin/ifup -> /bin/busybox",
                "/sbin/udhcpc -> /bin/busybox",
                "/bin/busybox = x",
                "/etc/init.d/networking = x",
                "/etc/runlevels/boot/hostname = x",
                "/etc/network/interfaces = iface eth0 inet dhcp\n",
            ],
            &[],
            Component::Ifupdown,
            "up: ifupdown (/etc/network/interfaces): DHCP on eth0",
        ),
        (
            "wicked",
            &[RULES, "/usr/sbin/wicked = x"],
            &["wicked.service"],
            Component::Wicked,
            "up: wicked (/etc/sysconfig/network/ifcfg-eth0): DHCP, where its interface is named eth0",
        ),
        (
            "network-scripts",
            &["/etc/rc.d/init.d/network = x"],
            &["network.service"],
            Component::NetworkScripts,
            "up: network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): DHCP on eth0",
        ),
        (
            "networkd that does not start",
            &[SYSTEMD, RULES, NETWORKD, &networkd_unit],
            &[],
            Component::Networkd,
            "up: systemd-networkd (/etc/systemd/network/89-sysprep-dhcp.network): DHCP on en* eth*",
        ),
        (
            "NetworkManager that does not start, and a masked networkd",
            &[
                SYSTEMD,
                RULES,
                NETWORKD,
                &networkd_unit,
                "/etc/systemd/system/systemd-networkd.service -> /dev/null",
                MANAGER,
                &manager_unit,
            ],
            &[],
            Component::NetworkManager,
            "up: NetworkManager (/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection): DHCP on any",
        ),
        (
            "dhcpcd that does not start",
            &[SYSTEMD, RULES, "/usr/sbin/dhcpcd = x", &dhcpcd_unit],
            &[],
            Component::Dhcpcd,
            "up: dhcpcd (/usr/sbin/dhcpcd): DHCP on any Ethernet interface",
        ),
        (
            "dhcpcd beside what is left of ifupdown",
            &[SYSTEMD, RULES, "/usr/sbin/dhcpcd = x", &dhcpcd_unit, &networking_unit],
            &[],
            Component::Dhcpcd,
            "up: dhcpcd (/usr/sbin/dhcpcd): DHCP on any Ethernet interface",
        ),
        (
            "Void without dhcpcd's service",
            &["/usr/sbin/dhcpcd = x", "/etc/sv/dhcpcd/run = x"],
            &[],
            Component::Dhcpcd,
            "up: dhcpcd (/usr/sbin/dhcpcd): DHCP on any Ethernet interface",
        ),
    ];
    for (name, files, starts, by, wanted) in cases {
        let spec = Spec { files, starts, ..Spec::default() };
        let before = told(&spec.read(&spec.tree()));
        assert!(before.starts_with("nothing: "), "{name}: {before}");
        let found = made(&spec).unwrap_or_else(|words| panic!("{name}: {words}"));
        assert_eq!(found.by, *by, "{name}");
        let words = after(&spec, &found);
        assert!(words.starts_with(wanted), "{name}: {words}");
    }
}

#[test]
fn where_nothing_could_the_words_say_what_to_install() {
    for (files, starts, kernel, wanted) in [
        (&[RULES, SYSTEMD][..], &[][..], None, "nothing is installed that could ask"),
        (
            &[RULES, "/usr/sbin/ifup = x"],
            &["networking.service"],
            None,
            "ifupdown has no DHCP client",
        ),
        (
            &[RULES, "/usr/sbin/dhclient = x"],
            &["networking.service"],
            None,
            "ifupdown is not installed, only its service",
        ),
        (
            &[RULES, "/usr/sbin/wicked = x"],
            &["wicked.service"],
            Some("quiet"),
            "boot with net.ifnames=0",
        ),
        (&[RULES, "/usr/sbin/dhcpcd = x"], &["dhcpcd.service"], None, "dhcpcd starts, and its own"),
    ] {
        let words = made(&Spec { files, starts, kernel, cloud: None }).unwrap_err();
        assert!(words.contains(wanted), "{words}");
    }
}

#[test]
fn what_is_written_is_written_once() {
    let files = [RULES, "/usr/sbin/ifup = x", "/usr/sbin/dhclient = x"];
    let spec = Spec { files: &files, starts: &["networking.service"], ..Spec::default() };
    let first = made(&spec).unwrap();
    let text = String::from_utf8(first.files[0].1.clone()).unwrap();
    // Something that comes after it keeps it from being enough.
    let later = format!("/etc/network/interfaces = {text}no-auto-down x\n");
    let again = made(&Spec { files: &[&files[..], &[&later]].concat(), ..spec }).unwrap();
    assert_eq!(again.files[0].1, format!("{text}no-auto-down x\n").into_bytes());
}

#[test]
fn netplan_and_ifupdown_take_what_is_written() {
    let place = tempfile::tempdir().unwrap();
    let write = |found: &Fallback| {
        for (path, content, _) in &found.files {
            let file = place.path().join(path.to_string().trim_start_matches('/'));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
    };
    write(&made(&Spec { files: GENERATORS, ..Spec::default() }).unwrap());
    network_tools::netplan_generates(place.path());
    let made_of = place.path().join("run/systemd/network/10-netplan-sysprep-dhcp.network");
    let text = std::fs::read_to_string(made_of).unwrap();
    assert!(text.contains("Name=e*\n") && text.contains("DHCP=yes\n"), "{text}");
    let files = [RULES, "/usr/sbin/ifup = x", "/usr/sbin/dhclient = x"];
    write(
        &made(&Spec { files: &files, starts: &["networking.service"], ..Spec::default() }).unwrap(),
    );
    let file = place.path().join("etc/network/interfaces");
    // Whichever interfaces this machine has, each that fits the pattern takes the same stanza.
    network_tools::interfaces(&file, false);
    let state = place.path().join("state");
    let commands = network_tools::commands(&file, &state, "ens3=sysprep");
    let clients = ["dhclient", "udhcpc", "dhcpcd", "client software"];
    assert!(clients.iter().any(|it| commands.contains(it)), "{commands}");
}
