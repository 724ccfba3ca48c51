//! Guests that mean harm: each ends in an answer, soon, and what was not read is told.

use std::time::{Duration, Instant};

use super::{Spec, told};
use crate::guest::single;

const RULES: &str = "/usr/lib/udev/rules.d/80-net-setup-link.rules = x";

#[test]
fn what_is_too_long_or_goes_round_is_told() {
    let stanzas: String =
        (0..200_000).map(|it| format!("auto i{it}\niface i{it} inet dhcp\n")).collect();
    let units: Vec<String> = (0..6_000)
        .map(|it| format!("/etc/systemd/network/{it}.network = [Match]\nName=wl{it}\n"))
        .collect();
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let drop_ins: Vec<String> =
        std::iter::once("/etc/systemd/network/a.network = [Match]\nName=wl0\n".to_owned())
            .chain((0..400).map(|it| {
                format!("/etc/systemd/network/a.network.d/{it}.conf = [Network]\nDHCP=no\n")
            }))
            .collect();
    let drop_ins: Vec<&str> = drop_ins.iter().map(String::as_str).collect();
    let stars = format!(
        "/etc/systemd/network/a.network = [Match]\nName={}b\n[Network]\nDHCP=yes\n",
        "*a".repeat(400_000)
    );
    let deep = format!("/etc/netplan/a.yaml = {}", "[".repeat(500_000));
    let long = format!("/etc/network/interfaces = {}", &stanzas[..1_000_000]);
    let networkd: &[&str] = &["systemd-networkd.service"];
    let networking: &[&str] = &["networking.service"];
    let cases: &[(&str, &[&str], &[&str], &str)] = &[
        ("many units", &units, networkd, "not known: /etc/systemd/network: more than 4096 files"),
        (
            "many drop-ins",
            &drop_ins,
            networkd,
            "not known: /etc/systemd/network/a.network: more than 256 drop-ins",
        ),
        ("stars", &[RULES, &stars], networkd, "nothing: "),
        (
            "deep",
            &["/usr/lib/systemd/system-generators/netplan = x", &deep],
            &[],
            "not known: /etc/netplan/a.yaml: line ",
        ),
        (
            "stanzas",
            &[RULES, &long],
            networking,
            "not known: /etc/network/interfaces: more than 4096 interfaces",
        ),
        (
            "a file that takes itself in",
            &[
                RULES,
                "/etc/network/interfaces = source /etc/network/interfaces\nsource-directory /etc/network\nsource ../../../../etc/network/*\n",
            ],
            networking,
            "nothing: ifupdown starts, and has no settings",
        ),
        (
            "a chain of files",
            &[RULES, "/etc/network/interfaces = source d/../x/../*\n"],
            networking,
            "nothing: ifupdown starts",
        ),
        (
            "a pattern of folders",
            &[RULES, "/etc/network/interfaces = source /*/*/x\n"],
            networking,
            "not known: /etc/network/interfaces: source /*/*/x",
        ),
        (
            "control characters",
            &[
                "/usr/sbin/ifup = x",
                "/usr/sbin/dhclient = x",
                "/etc/network/interfaces = auto \u{1b}[2J\niface \u{1b}[2J inet dhcp\n",
            ],
            networking,
            "nothing: ifupdown (/etc/network/interfaces): for interfaces named \\x1b[2J",
        ),
    ];
    for (name, files, starts, wanted) in cases {
        let spec = Spec { files, starts, ..Spec::default() };
        let tree = spec.tree();
        let begun = Instant::now();
        let words = told(&spec.read(&tree));
        assert!(words.starts_with(wanted), "{name}: {words}");
        assert!(words.len() < 4_000, "{name}: {} bytes of words", words.len());
        assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn huge_files_are_not_read() {
    let spec = Spec { starts: &["networking.service"], ..Spec::default() };
    let fs = spec.memory().huge("/etc/network/interfaces", 1 << 40);
    let words = told(&spec.read(&single(fs)));
    assert!(words.starts_with("not known: /etc/network/interfaces: longer than 1 MiB"), "{words}");
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let files = ["/etc/systemd/network/a.network = x"];
    let spec = Spec { files: &files, ..Spec::default() };
    let tree = single(spec.memory().unreadable("/etc/systemd/network"));
    let error = spec.boot(|boot| sysprep_rs::guest::network::read(&tree, boot)).unwrap_err();
    assert!(error.to_string().contains("/etc/systemd/network"), "{error}");
}
