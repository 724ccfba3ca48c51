//! Random trees of unit files, links, masks and drop-ins, beside systemctl.

use std::fmt::Write as _;

use sysprep_rs::guest::boot::Units;

use super::GuestDir;
use crate::support::oracle;
use crate::support::random::{Random, rounds, seed};

const DIRS: [&str; 6] = [
    "etc/systemd/system",
    "etc/systemd/system.control",
    "etc/systemd/system.attached",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
const NAMES: [&str; 16] = [
    "a.service",
    "b.service",
    "c.service",
    "t@.service",
    "t@x.service",
    "t@y.service",
    "u@.service",
    "u@x.service",
    "s.socket",
    "m.mount",
    "m@.mount",
    "g.target",
    "d.timer",
    "p-q.service",
    "o.slice",
    "a.socket",
];
const VALUES: [&str; 11] = [
    "",
    "g.target",
    "z.service",
    "x",
    "y",
    "t@z.service",
    "\"g.target\"",
    "b.service a.service",
    "%i",
    "%p.service",
    "x \\\n y",
];

/// A unit file, now and then empty or broken.
fn text(random: &mut Random) -> String {
    let mut text = String::new();
    if random.one_in(4) {
        text += "[Unit]\nDescription=x\n";
    }
    if !random.one_in(4) {
        text += "[Install]\n";
        for _ in 0..random.below(5) {
            let key = random.pick(&["Alias", "WantedBy", "RequiredBy", "Also", "DefaultInstance"]);
            writeln!(text, "{key}={}", random.pick(&VALUES)).unwrap();
        }
    }
    if random.one_in(25) {
        text += "[Broken\n";
    }
    if random.one_in(12) { String::new() } else { text }
}

fn guest(random: &mut Random) -> GuestDir {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = GuestDir(dir).dir("/usr/lib").dir("/opt");
    let merged = !random.one_in(3);
    if merged {
        guest = guest.link("/lib", "usr/lib");
    }
    let mut dirs = Vec::new();
    for dir in DIRS {
        if (merged && dir.starts_with("lib")) || (random.one_in(5) && dir != DIRS[0]) {
            continue;
        }
        dirs.push(dir);
        guest = guest.dir(dir);
    }
    for name in NAMES {
        if random.one_in(3) {
            guest = guest.file(format!("/opt/{name}"), text(random));
        }
    }
    let is_free = |guest: &GuestDir, path: &str| guest.host(path).symlink_metadata().is_err();
    for _ in 0..3 + random.below(12) {
        let (dir, name) = (*random.pick(&dirs), *random.pick(&NAMES));
        let path = format!("{dir}/{name}");
        if !is_free(&guest, &path) {
            continue;
        }
        guest = match random.below(25) {
            0..=11 => guest.file(&path, text(random)),
            12..=13 => guest.link(&path, "/dev/null"),
            14 => guest.dir(&path),
            15 => guest.link(&path, *random.pick(&NAMES)),
            at => {
                let there = match random.below(3) {
                    0 => "opt",
                    1 if at == 16 => "missing",
                    _ => *random.pick(&dirs),
                };
                let there = match there.strip_prefix("usr/") {
                    Some(lib) if merged && lib.starts_with("lib") && random.one_in(2) => lib,
                    _ => there,
                };
                let target = format!("{there}/{}", random.pick(&NAMES));
                let up = "../".repeat(dir.split('/').count());
                guest
                    .link(&path, if random.one_in(3) { up + &target } else { format!("/{target}") })
            }
        };
    }
    for _ in 0..random.below(9) {
        let beside =
            ["g.target.wants", "z.service.wants", "a.service.requires", "g.target.requires"];
        let dir = format!("{}/{}", random.pick(&dirs), random.pick(&beside));
        let name = *random.pick(&[
            "a.service",
            "t@x.service",
            "t@.service",
            "z.service",
            "t@z.service",
            "s.socket",
            "g.target",
            "u@x.service",
            "o.slice",
        ]);
        let path = format!("{dir}/{name}");
        if is_free(&guest, &path) {
            let target = random.pick(&["../x", "/usr/lib/systemd/system/a.service", "/dev/null"]);
            guest =
                if random.one_in(10) { guest.file(&path, "") } else { guest.link(&path, *target) };
        }
    }
    for _ in 0..random.below(4) {
        let dir = format!("{}/{}.d", random.pick(&dirs), random.pick(&NAMES));
        let name = *random.pick(&["1.conf", "2.conf", ".h.conf", "x.txt"]);
        let path = format!("{dir}/{name}");
        if is_free(&guest, &path) {
            guest = guest.file(&path, text(random));
        }
    }
    guest
}

#[test]
fn states_are_systemctl_s_on_random_trees() {
    let first = seed(8_000);
    for round in 0..rounds(25) as u64 {
        let seed = first + round;
        let mut random = Random::new(seed);
        let guest = guest(&mut random);
        let tree = guest.tree();
        let wanted = super::systemctl_states(guest.0.path());
        assert_eq!(super::our_states(&tree), wanted, "seed {seed}");
        // Names that no file has: instances, and what is not there.
        let units = Units::new(&tree).unwrap();
        let root = format!("--root={}", guest.0.path().display());
        for name in ["t@x.service", "t@q.service", "u@y.service", "z.service", "m@x.mount"] {
            let output = oracle::run("systemctl", "systemd", &[&root, "is-enabled", name]);
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            // Older ones fail with a message where newer ones say `not-found`.
            let lost = String::from_utf8_lossy(&output.stderr).contains("No such file");
            let wanted = match said.as_str() {
                "" if lost => "not-found",
                "" => "bad",
                state => state,
            };
            assert_eq!(units.state(name).unwrap().to_string(), wanted, "{name}, seed {seed}");
        }
    }
}
