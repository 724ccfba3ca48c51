//! What a guest does by itself at its first boot, and who may log in then.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sysprep_rs::plan::Plan;

use super::sample::{Sample, with_steps};
use super::steps::{changes, content, refusals, sealed};
use crate::support::oracle;

const SYSTEMD: &str = "/usr/lib/systemd/systemd = \"\"\n/sbin/init -> /usr/lib/systemd/systemd\n\
    /etc/systemd/system/\n";
const STEPS: &str = "  - firstboot: { name: a-first, script: 'echo one' }\n\
    \x20 - firstboot: { name: b-second, script: \"#!/bin/sh\\necho two\\n\" }\n";
const FOLDER: &str = "/usr/lib/sysprep-rs/firstboot";

fn set(tree: &str, steps: &str) -> (Plan, Sample) {
    sealed(Sample::new(tree), &with_steps(steps))
}

/// What a plan makes outside of the folder for scripts.
fn started_by(plan: &Plan) -> Vec<String> {
    changes(plan).into_iter().filter(|it| !it.starts_with("/usr")).collect()
}

#[test]
fn the_guests_own_init_system_starts_first_boot_scripts() {
    let (plan, mut sample) = set(SYSTEMD, STEPS);
    let unit = "/etc/systemd/system/sysprep-rs-firstboot.service";
    let wanted = [
        "/etc/systemd/system/multi-user.target.wants directory",
        "/etc/systemd/system/multi-user.target.wants/sysprep-rs-firstboot.service symlink",
        "/etc/systemd/system/sysprep-rs-firstboot.service file",
        "/etc/systemd/system-preset directory",
        "/etc/systemd/system-preset/00-sysprep-rs.preset file",
    ];
    let mut found = started_by(&plan);
    found.sort();
    let mut wanted = wanted.map(str::to_owned);
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(content(&mut sample, &format!("{FOLDER}/scripts/a-first")), "echo one");

    // systemd's own check; the program it starts is not on this machine.
    let text = content(&mut sample, unit);
    let text =
        text.replace("ExecStart=/usr/lib/sysprep-rs/firstboot/run start", "ExecStart=/bin/true");
    assert!(text.contains("/bin/true"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sysprep-rs-firstboot.service");
    fs::write(&file, text).unwrap();
    let said = Command::new("systemd-analyze")
        .args(["verify", file.to_str().unwrap()])
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze (Debian package systemd): {error}"));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.contains("sysprep-rs-firstboot"), "{said}");

    let openrc = "/etc/os-release = \"ID=alpine\\n\"\n/sbin/openrc = \"\"\n/etc/init.d/\n\
        /etc/runlevels/default/";
    let (plan, _) = set(openrc, STEPS);
    let wanted = [
        "/etc/init.d/sysprep-rs-firstboot file",
        "/etc/runlevels/default/sysprep-rs-firstboot symlink",
    ];
    assert_eq!(started_by(&plan), wanted);

    let sysv = "/etc/inittab = \"id:3:initdefault:\\n\"\n/sbin/init = \"\"\n";
    for above in ["/etc", "/etc/rc.d", "/etc/init.d"] {
        let tree = format!("{sysv}{above}/rc3.d/\n{above}/rc5.d/");
        let (plan, _) = set(&tree, STEPS);
        let link = |level| format!("{above}/rc{level}.d/S99sysprep-rs-firstboot symlink");
        assert_eq!(started_by(&plan), [link(3), link(5)], "{above}");
    }
    for (tree, part) in [
        (format!("{sysv}/etc/rc3.d/\n/etc/init.d/.depend.start = \"\""), "insserv"),
        (sysv.to_owned(), "no folder"),
        ("/etc/x = \"\"".to_owned(), "not known"),
    ] {
        let (plan, _) = set(&tree, STEPS);
        assert_eq!(plan.changes, [], "{tree}");
        assert!(refusals(&plan)[0].contains(part), "{:?}", refusals(&plan));
    }
}

#[test]
fn the_runner_runs_each_script_once_and_in_order() {
    let (_, mut sample) = set(SYSTEMD, STEPS);
    let place = tempfile::tempdir().unwrap();
    let inside = |text: String| {
        let here = place.path().to_str().unwrap();
        text.replace(FOLDER, here).replace("/root/", &format!("{here}/"))
    };
    let write = |name: &str, text: String, mode: u32| {
        let file = place.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("run", inside(content(&mut sample, &format!("{FOLDER}/run"))), 0o755);
    fs::create_dir(place.path().join("scripts")).unwrap();
    for name in ["a-first", "b-second"] {
        let text = content(&mut sample, &format!("{FOLDER}/scripts/{name}"));
        write(&format!("scripts/{name}"), text, 0o700);
    }
    // One that ends the boot takes the runner with it, and is not begun again.
    write("scripts/c-third", "echo three; kill -9 $PPID; exit 1\n".into(), 0o700);
    write("scripts/d-fourth", "echo four; exit 7\n".into(), 0o700);
    let boot = |word: &str| {
        Command::new("sh").arg(place.path().join("run")).arg(word).status().unwrap().success()
    };
    assert!(boot("stop"));
    assert!(!boot("start"), "it was killed");
    assert!(boot("start") && boot("start"));
    let log = place.path().join("sysprep-rs-firstboot.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("=== ") || line.contains("exit")).collect();
    let wanted = [
        "one",
        "=== a-first: exit code 0",
        "two",
        "=== b-second: exit code 0",
        "three",
        "four",
        "=== d-fourth: exit code 7",
    ];
    assert_eq!(lines, wanted);
    let left = |folder: &str| fs::read_dir(place.path().join(folder)).unwrap().count();
    assert_eq!((left("scripts"), left("begun")), (0, 0));
}

/// Mode and owner of a path, as `MODE UID:GID`.
fn owned(sample: &Sample, path: &str) -> String {
    let tree = sample.tree("part1");
    let object = &tree[&path.parse().unwrap()];
    let (uid, gid) = object.owner.unwrap();
    format!("{:04o} {uid}:{gid}", object.mode.unwrap())
}

#[test]
fn keys_log_in_as_a_user_that_is_there() {
    let passwd = "/etc/passwd = \"root:x:0:0::/root:/bin/sh\\nme:x:1000:100::/srv/me:/bin/sh\\n\
        gone:x:1001:100::/home/gone:/bin/sh\\n\"\n/srv/me/ 0755 1000:100\n";
    let step = "  - authorize-key: { user: me, keys: ['ssh-ed25519 AAAA a', 'ssh-rsa BBBB'] }\n";
    let keys = "/srv/me/.ssh/authorized_keys";
    let (plan, mut sample) = set(passwd, step);
    assert_eq!(changes(&plan), ["/srv/me/.ssh directory", &format!("{keys} file")]);
    assert_eq!(content(&mut sample, keys), "ssh-ed25519 AAAA a\nssh-rsa BBBB\n");
    assert_eq!(owned(&sample, "/srv/me/.ssh"), "0700 1000:100");
    assert_eq!(owned(&sample, keys), "0600 1000:100");

    // Keys that are there stay, with owner and mode.
    let there =
        format!("{passwd}/srv/me/.ssh/ 0711 1000:100\n{keys} 0640 1000:7 = \"ssh-rsa BBBB\"");
    let (plan, mut sample) = set(&there, step);
    assert_eq!(changes(&plan), [format!("{keys} update")]);
    assert_eq!(content(&mut sample, keys), "ssh-rsa BBBB\nssh-ed25519 AAAA a\n");
    assert_eq!(owned(&sample, keys), "0640 1000:7");

    // After everything that was there went, none but these log in.
    let after = format!("  - remove: ['~/.ssh']\n{step}");
    let (_, mut sample) = set(&format!("{there}\n/srv/me/.ssh/id_rsa = \"secret\""), &after);
    assert_eq!(content(&mut sample, keys), "ssh-ed25519 AAAA a\nssh-rsa BBBB\n");
    assert_eq!(owned(&sample, "/srv/me/.ssh"), "0700 1000:100");
    assert_eq!(owned(&sample, keys), "0600 1000:100");
    assert!(!sample.files("part1").contains(&"/srv/me/.ssh/id_rsa".to_owned()));

    for (user, part) in [("nobody", "no user 'nobody'"), ("gone", "home of 'gone' is not there")] {
        let (plan, _) = set(passwd, &format!("  - authorize-key: {{ user: {user}, keys: k }}\n"));
        assert_eq!(plan.changes, []);
        assert!(refusals(&plan)[0].contains(part), "{:?}", refusals(&plan));
    }
    // The account goes before the key comes.
    let steps = format!("  - remove-accounts: {{ only: me }}\n{step}");
    let plan = Sample::new(passwd).plan(&[with_steps(&steps)]);
    assert!(refusals(&plan)[0].contains("no user 'me'"), "{:?}", refusals(&plan));
}

#[test]
fn services_are_scripts_that_the_shell_reads() {
    let place = tempfile::tempdir().unwrap();
    let (_, mut sample) = set(SYSTEMD, STEPS);
    let check = |name: &str, text: &str| {
        let file = place.path().join(name);
        fs::write(&file, text).unwrap();
        oracle::succeed("sh", "dash", &["-n", Path::new(&file).to_str().unwrap()]);
    };
    check("run", &content(&mut sample, &format!("{FOLDER}/run")));
    let (_, mut sample) = set("/sbin/openrc = \"\"\n/etc/runlevels/default/", STEPS);
    check("openrc", &content(&mut sample, "/etc/init.d/sysprep-rs-firstboot"));
}
