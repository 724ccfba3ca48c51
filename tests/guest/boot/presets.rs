//! Presets, beside `systemctl preset-all` on a copy of the same files.

use std::collections::BTreeSet;
use std::path::Path;

use sysprep_rs::guest::boot::Units;

use super::{ETC, GuestDir};
use crate::support::oracle;

fn guest() -> GuestDir {
    GuestDir::systemd()
        .file("/usr/lib/systemd/system-preset/90-base.preset", "enable a.service\n# disable all\ndisable *.timer\nenable t@.service one two\nenable plain@.service\ndisable t@*\n")
        .file("/usr/lib/systemd/system-preset/10-vendor.preset", "disable masked-by-etc.service\n")
        .file("/etc/systemd/system-preset/10-vendor.preset", "disable b.service\nbroken line\n")
        .unit("a.service", "[Install]\nWantedBy=multi-user.target\nAlias=alias.service\nAlso=also.socket\n")
        .unit("also.socket", "[Install]\nWantedBy=sockets.target\n")
        .unit("b.service", "[Install]\nWantedBy=multi-user.target\n")
        .unit("c.timer", "[Install]\nWantedBy=timers.target\n")
        .unit("masked-by-etc.service", "[Install]\nRequiredBy=multi-user.target\n")
        .unit("t@.service", "[Install]\nWantedBy=multi-user.target\n")
        .unit("plain@.service", "[Install]\nWantedBy=multi-user.target\nDefaultInstance=first\n")
        .unit("static.service", "")
        .unit("off.service", "[Install]\nWantedBy=multi-user.target\n")
        .link(format!("{ETC}/off.service"), "/dev/null")
}

/// Links below /etc/systemd/system, `DIR/NAME` or `NAME`.
fn links(root: &Path) -> BTreeSet<String> {
    let etc = root.join(ETC.trim_start_matches('/'));
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(&etc).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_symlink() {
            found.insert(name);
        } else if entry.file_type().unwrap().is_dir() {
            for inner in std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
                found.insert(format!("{name}/{}", inner.file_name().into_string().unwrap()));
            }
        }
    }
    found
}

#[test]
fn presets_enable_what_systemctl_enables() {
    let guest = guest();
    let tree = guest.tree();
    let enabling = Units::new(&tree).unwrap().after_presets().unwrap();
    let mut ours: BTreeSet<String> =
        enabling.links.iter().map(|(dir, unit)| format!("{dir}/{unit}")).collect();
    ours.extend(enabling.aliases.into_keys());
    let before = links(guest.0.path());
    let root = format!("--root={}", guest.0.path().display());
    oracle::succeed("systemctl", "systemd", &[&root, "preset-all", "--preset-mode=enable-only"]);
    let added: BTreeSet<String> = links(guest.0.path()).difference(&before).cloned().collect();
    assert_eq!(ours, added);
    for link in [
        "multi-user.target.wants/t@two.service",
        "alias.service",
        "multi-user.target.wants/plain@first.service",
    ] {
        assert!(added.contains(link), "{link}");
    }
}

#[test]
fn a_first_boot_starts_what_presets_enable() {
    let way = |id: &str| guest().file("/etc/machine-id", id).way("a.service");
    assert_eq!(way("0123456789abcdef0123456789abcdef\n"), "NotPulled");
    assert_eq!(way("uninitialized\n"), "default.target multi-user.target a.service");
    let first = guest().file("/etc/machine-id", "uninitialized\n");
    assert_eq!(first.way("alias.service"), "default.target multi-user.target a.service");
    assert_eq!(first.way("b.service"), "NotPulled");
    assert_eq!(first.way("off.service"), format!("Masked({ETC}/off.service)"));
    assert_eq!(first.way("t@two.service"), "default.target multi-user.target t@two.service");
    // What presets will do is no state of the files.
    first.agrees();
}
