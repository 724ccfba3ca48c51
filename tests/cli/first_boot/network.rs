//! `--set net.fallback=dhcp` in each dialect, judged by the tools that read it.

use std::fs;

use crate::cli::carried::{Carried, GONE};
use crate::support::network_tools;
use crate::support::oracle::e2fsck_clean;

/// The carried guest without what brings its link up.
const NO_LINK: &[(&str, &str)] = &[
    ("/etc/network/interfaces.d/eth0", GONE),
    ("/usr/sbin/ifup", GONE),
    ("/etc/systemd/system/multi-user.target.wants/networking.service", GONE),
];

const NETWORKD: (&str, &str) = ("/usr/lib/systemd/systemd-networkd", "");
const MANAGER: &[(&str, &str)] = &[
    ("/usr/sbin/NetworkManager", ""),
    (
        "/usr/lib/systemd/system/NetworkManager.service",
        "[Unit]\nWants=network.target\n[Service]\nType=dbus\nBusName=org.freedesktop.NetworkManager\n\
         ExecStart=/usr/sbin/NetworkManager --no-daemon\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("/etc/NetworkManager/conf.d/no.conf", "[main]\nno-auto-default=*\n"),
];

/// Files, where something starts; what is written, and what brings the link up then.
type Dialect<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn the_fallback_of_each_dialect_brings_the_link_up_once_and_is_not_made_twice() {
    let ifupdown = &NO_LINK[..1];
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let wicked = format!("{wants}/wicked.service");
    let scripts = format!("{wants}/network.service");
    let service = |program: &str| format!("[Service]\nExecStart={program}\n");
    let (wicked_unit, scripts_unit, dhcpcd_unit) = (
        service("/usr/sbin/wicked"),
        service("/etc/rc.d/init.d/network start"),
        service("/usr/sbin/dhcpcd"),
    );
    let cases: &[Dialect<'_>] = &[
        (ifupdown, "/etc/network/interfaces", "ifupdown (/etc/network/interfaces): DHCP on e*"),
        (
            &[NO_LINK, &[NETWORKD, ("/usr/lib/systemd/system-generators/netplan", "")]].concat(),
            "/etc/netplan/95-sysprep-dhcp.yaml",
            "netplan (/etc/netplan/95-sysprep-dhcp.yaml): DHCP on e*",
        ),
        (
            &[NO_LINK, &[NETWORKD]].concat(),
            "/etc/systemd/network/89-sysprep-dhcp.network",
            "systemd-networkd (/etc/systemd/network/89-sysprep-dhcp.network): DHCP on en* eth*",
        ),
        (
            &[NO_LINK, MANAGER].concat(),
            "/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection",
            "NetworkManager (/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection): DHCP \
             on any",
        ),
        (
            &[
                NO_LINK,
                &[
                    ("/usr/sbin/wicked", ""),
                    ("/usr/lib/systemd/system/wicked.service", &wicked_unit),
                    (&wicked, "-> /usr/lib/systemd/system/wicked.service"),
                ],
            ]
            .concat(),
            "/etc/sysconfig/network/ifcfg-eth0",
            "wicked (/etc/sysconfig/network/ifcfg-eth0): DHCP on eth0",
        ),
        (
            &[
                NO_LINK,
                &[
                    ("/etc/rc.d/init.d/network", ""),
                    ("/usr/lib/systemd/system/network.service", &scripts_unit),
                    (&scripts, "-> /usr/lib/systemd/system/network.service"),
                ],
            ]
            .concat(),
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): DHCP on eth0",
        ),
        // Of ifupdown the service alone is left.
        (
            &[
                NO_LINK,
                &[
                    ("/usr/sbin/dhcpcd", ""),
                    ("/usr/lib/systemd/system/dhcpcd.service", &dhcpcd_unit),
                ],
            ]
            .concat(),
            "/etc/systemd/system/multi-user.target.wants/dhcpcd.service",
            "dhcpcd (/usr/sbin/dhcpcd): DHCP on any",
        ),
    ];
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    for (number, (files, at, by)) in cases.iter().enumerate() {
        guest.reset(&before);
        guest.change(files);
        let now = guest.bytes();
        let fallback = "--enable=net --set net.fallback=dhcp";
        let (is, why) = guest.told("audit --enable=net", "network");
        let hint = "no link comes up (--set net.fallback=dhcp has it ask for an address): ";
        assert!(is == "missing" && why.starts_with(hint), "{at}: {is}: {why}");
        assert_eq!(guest.told(&format!("audit {fallback}"), "network").0, "added", "{at}");
        if number == 0 {
            // The other modes put nothing in.
            for mode in ["report", "refuse"] {
                let words = format!("audit {fallback} --first-boot={mode}");
                assert_eq!(guest.told(&words, "network").0, "missing", "{mode}");
            }
            let (_, error) = guest.run(&format!("seal {fallback} --first-boot=refuse"), 1);
            assert!(error.contains("at first boot (network: no link comes up"), "{error}");
            assert!(guest.bytes() == now);
            // Nothing that is taken away is missed.
            let (text, error) = guest.run("seal", 0);
            assert!(text.contains("\n  network        MISSING: ") && error.is_empty(), "{text}");
            assert!(guest.cat(at) == before_of(&now, &guest, at));
            guest.reset(&now);
        }
        let (text, _) = guest.run(&format!("seal {fallback}"), 0);
        assert!(text.contains("  ADDED: DHCP on every Ethernet interface\n"), "{at}: {text}");
        e2fsck_clean(&guest.image);
        judge(&guest, at);
        let sealed = guest.bytes();
        let command = if number == 0 { "seal" } else { "audit" };
        let words = format!("{command} --enable=net");
        for words in [&words, &format!("{words} --set net.fallback=dhcp --first-boot=refuse")] {
            let (text, _) = guest.run(words, 0);
            assert!(text.contains(&format!("  {by}")), "{at}: {by} is not in {text}");
            assert!(guest.bytes() == sealed, "{at}: {words} changes what is sealed");
        }
    }
}

/// A file's content in an image that was.
fn before_of(bytes: &[u8], guest: &Carried, at: &str) -> String {
    let sealed = guest.bytes();
    guest.reset(bytes);
    let text = guest.cat(at);
    guest.reset(&sealed);
    text
}

/// Has the tool that reads what was written judge it, where it is at hand.
fn judge(guest: &Carried, at: &str) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(at.trim_start_matches('/'));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if at.ends_with(".service") {
        assert!(
            guest.asked("stat", at).contains("Fast link dest: \"/usr/lib/systemd/system/dhcpcd")
        );
        return;
    }
    let text = guest.cat(at);
    fs::write(&file, &text).unwrap();
    let secret = at.contains("netplan") || at.ends_with("nmconnection");
    let mode = if secret { "Mode:  0600" } else { "Mode:  0644" };
    let stat = guest.asked("stat", at);
    assert!(stat.contains(mode) && stat.contains("User:     0   Group:     0"), "{at}: {stat}");
    match at {
        "/etc/netplan/95-sysprep-dhcp.yaml" => {
            network_tools::netplan_generates(place.path());
            let made = "run/systemd/network/10-netplan-sysprep-dhcp.network";
            let made = fs::read_to_string(place.path().join(made)).unwrap();
            assert!(made.contains("Name=e*\n") && made.contains("DHCP=yes\n"), "{made}");
        }
        "/etc/network/interfaces" => {
            network_tools::interfaces(&file, false);
            let state = place.path().join("state");
            let commands = network_tools::commands(&file, &state, "ens3=sysprep");
            let clients = ["dhclient", "udhcpc", "dhcpcd", "client software"];
            assert!(clients.iter().any(|it| commands.contains(it)), "{commands}");
        }
        _ => assert!(text.contains("DHCP on every Ethernet interface"), "{at}: {text}"),
    }
}
