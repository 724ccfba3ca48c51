//! What makes SSH host keys and machine ids anew, system by system, from the files that these have.

use sysprep_rs::operation::Operation;
use sysprep_rs::plan::{Comeback, Plan};

use super::sample::{Sample, embedded};
use super::steps::{changes, content};

/// A tree of files with these contents; one that begins with `->` is a symlink.
pub(super) fn tree(files: &[(&str, &str)]) -> String {
    let line = |(path, content): &(&str, &str)| match content.strip_prefix("-> ") {
        Some(target) => format!("{path} -> {target}\n"),
        None => format!("{path} 0755 = {}\n", serde_json::to_string(content).unwrap()),
    };
    files.iter().map(line).collect()
}

pub(super) const SYSTEMD: &[(&str, &str)] = &[
    ("/usr/lib/systemd/systemd", ""),
    ("/sbin/init", "-> ../usr/lib/systemd/systemd"),
    ("/usr/lib/systemd/system/default.target", "-> multi-user.target"),
    (
        "/usr/lib/systemd/system/multi-user.target",
        "[Unit]\nRequires=basic.target\nAfter=basic.target\n",
    ),
    (
        "/usr/lib/systemd/system/basic.target",
        "[Unit]\nRequires=sysinit.target\nWants=sockets.target\n",
    ),
    ("/usr/lib/systemd/system/sysinit.target", "[Unit]\nDescription=System Initialization\n"),
    ("/usr/lib/systemd/system/sockets.target", "[Unit]\nDescription=Socket Units\n"),
    ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("/usr/sbin/sshd", ""),
    ("/usr/bin/ssh-keygen", ""),
    ("/etc/ssh/ssh_host_ed25519_key", "a key"),
    ("/etc/ssh/ssh_host_ed25519_key.pub", "a key's half"),
];

pub(super) const RED_HAT: &[(&str, &str)] = &[
    ("/etc/os-release", "ID=rhel\nID_LIKE=fedora\n"),
    (
        "/usr/lib/systemd/system/sshd.service",
        "[Unit]\nAfter=network.target sshd-keygen.target\nWants=sshd-keygen.target\n[Service]\n\
         ExecStart=/usr/sbin/sshd -D $OPTIONS\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "/usr/lib/systemd/system/sshd-keygen.target",
        "[Unit]\nWants=sshd-keygen@rsa.service\nWants=sshd-keygen@ecdsa.service\n\
         Wants=sshd-keygen@ed25519.service\nPartOf=sshd.service\n",
    ),
    (
        "/usr/lib/systemd/system/sshd-keygen@.service",
        "[Unit]\nConditionFileNotEmpty=|!/etc/ssh/ssh_host_%i_key\n[Service]\nType=oneshot\n\
         ExecStart=/usr/libexec/openssh/sshd-keygen %i\n[Install]\nWantedBy=sshd-keygen.target\n",
    ),
];
pub(super) const SSHD_IS_ON: (&str, &str) = (
    "/etc/systemd/system/multi-user.target.wants/sshd.service",
    "-> /usr/lib/systemd/system/sshd.service",
);

pub(super) const DEBIAN: &[(&str, &str)] = &[
    (
        "/usr/lib/systemd/system/ssh.service",
        "[Unit]\nAfter=network.target\nConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n[Service]\n\
         EnvironmentFile=-/etc/default/ssh\nExecStartPre=/usr/sbin/sshd -t\n\
         ExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n[Install]\nWantedBy=multi-user.target\n\
         Alias=sshd.service\n",
    ),
    (
        "/etc/systemd/system/multi-user.target.wants/ssh.service",
        "-> /usr/lib/systemd/system/ssh.service",
    ),
    ("/etc/systemd/system/sshd.service", "-> /usr/lib/systemd/system/ssh.service"),
];
/// Debian 13 has a maker of keys that runs at a first boot only.
const TRIXIE: &[(&str, &str)] = &[
    (
        "/usr/lib/systemd/system/sshd-keygen.service",
        "[Unit]\nConditionFirstBoot=yes\nConditionPathIsReadWrite=/etc/ssh\n\
         ConditionPathIsSymbolicLink=!/etc/ssh\nBefore=ssh.service sshd.service sshd@.service\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=ssh-keygen -A\n[Install]\n\
         WantedBy=ssh.service sshd.service sshd@.service ssh.socket\n",
    ),
    (
        "/etc/systemd/system/ssh.service.wants/sshd-keygen.service",
        "-> /usr/lib/systemd/system/sshd-keygen.service",
    ),
];

const SUSE: &[(&str, &str)] = &[
    ("/etc/os-release", "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n"),
    (
        "/usr/lib/systemd/system/sshd.service",
        "[Service]\nType=notify\nEnvironmentFile=-/etc/sysconfig/ssh\n\
         ExecStartPre=/usr/sbin/sshd-gen-keys-start\nExecStartPre=/usr/sbin/sshd -t $SSHD_OPTS\n\
         ExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n[Install]\nWantedBy=multi-user.target\n",
    ),
];
const ARCH: &[(&str, &str)] = &[
    ("/etc/os-release", "ID=arch\n"),
    (
        "/usr/lib/systemd/system/sshd.service",
        "[Unit]\nWants=sshdgenkeys.service\nAfter=sshdgenkeys.service\n[Service]\n\
         ExecStart=/usr/bin/sshd -D\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "/usr/lib/systemd/system/sshdgenkeys.service",
        "[Unit]\nConditionPathExists=|!/etc/ssh/ssh_host_ed25519_key\n\
         ConditionPathExists=|!/etc/ssh/ssh_host_rsa_key\n[Service]\nExecStart=/usr/bin/ssh-keygen -A\n\
         Type=oneshot\nRemainAfterExit=yes\n",
    ),
];

const ALPINE: &[(&str, &str)] = &[
    ("/etc/os-release", "ID=alpine\n"),
    ("/sbin/openrc", ""),
    ("/sbin/openrc-run", ""),
    ("/etc/inittab", "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\n"),
    ("/usr/sbin/sshd", ""),
    ("/etc/ssh/ssh_host_ed25519_key", "a key"),
    (
        "/etc/init.d/sshd",
        "#!/sbin/openrc-run\ngenerate_host_key_type() {\n\tssh-keygen -q -f \"$keyfile\" -t \"$type\"\n}\n\
         start_pre() { generate_host_keys; }\n",
    ),
];

pub(super) fn planned(parts: &[&[(&str, &str)]], operation: &Operation) -> (Plan, Sample) {
    let sample = Sample::new(&tree(&parts.concat()));
    (sample.plan(std::slice::from_ref(operation)), sample)
}

pub(super) fn of(plan: &Plan, what: &str) -> Vec<Comeback> {
    plan.first_boot.iter().filter(|it| it.what == what).map(|it| it.comes.clone()).collect()
}

pub(super) fn made(words: &str) -> Vec<Comeback> {
    vec![Comeback::Made(words.to_owned())]
}

pub(super) fn host_keys(parts: &[&[(&str, &str)]]) -> Vec<Comeback> {
    of(&planned(parts, &embedded("ssh-hostkeys")).0, "SSH host keys")
}

#[test]
fn host_keys_come_back_by_what_the_system_has() {
    let on: &[(&str, &str)] = &[SSHD_IS_ON];
    assert_eq!(host_keys(&[SYSTEMD, RED_HAT, on]), made("sshd-keygen@rsa.service"));
    assert_eq!(host_keys(&[SYSTEMD, SUSE, on]), made("sshd.service"));
    assert_eq!(host_keys(&[SYSTEMD, ARCH, on]), made("sshdgenkeys.service"));
    let default: &[(&str, &str)] = &[("/etc/runlevels/default/sshd", "-> /etc/init.d/sshd")];
    assert_eq!(host_keys(&[ALPINE, default]), made("sshd (default)"));
    let none = host_keys(&[ALPINE]);
    assert!(matches!(none.as_slice(), [Comeback::Missing(_)]), "in no runlevel: {none:?}");
    // A maker that is masked makes nothing.
    let masked: &[(&str, &str)] =
        &[SSHD_IS_ON, ("/etc/systemd/system/sshd-keygen.target", "-> /dev/null")];
    let found = host_keys(&[SYSTEMD, RED_HAT, masked]);
    assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{found:?}");
}

#[test]
fn debian_gets_the_means_where_nothing_makes_host_keys() {
    let keys = embedded("ssh-hostkeys");
    let (plan, mut sample) = planned(&[SYSTEMD, DEBIAN], &keys);
    let found = of(&plan, "SSH host keys");
    assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{found:?}");
    let made: Vec<String> = changes(&plan);
    for path in [
        "/usr/lib/sysprep-rs/ssh-host-keys file",
        "/etc/systemd/system/sysprep-rs-ssh-host-keys.service file",
        "/etc/systemd/system/multi-user.target.wants/sysprep-rs-ssh-host-keys.service symlink",
        "/etc/systemd/system-preset/00-sysprep-rs-ssh-host-keys.preset file",
    ] {
        assert!(made.iter().any(|it| it == path), "{path} in {made:?}");
    }
    sample.seal(&plan);
    let again = sample.plan(std::slice::from_ref(&keys));
    assert_eq!(again.changes, []);
    assert_eq!(of(&again, "SSH host keys"), self::made("sysprep-rs-ssh-host-keys.service"));
}

#[test]
fn a_maker_for_first_boots_counts_where_the_next_boot_is_one() {
    let machine_id = embedded("machine-id");
    let mut first_boot = machine_id.clone();
    first_boot.set("leave", "uninitialized").unwrap();
    let sample = Sample::new(&tree(&[SYSTEMD, DEBIAN, TRIXIE].concat()));
    let keys = |machine_id: Operation| {
        of(&sample.plan(&[embedded("ssh-hostkeys"), machine_id]), "SSH host keys")
    };
    let found = keys(machine_id);
    assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{found:?}");
    assert_eq!(keys(first_boot), made("sshd-keygen.service"));
}

pub(super) const SYSVINIT: &[(&str, &str)] = &[
    // openssh-server brings this wherever it is.
    ("/etc/runit/runsvdir/default/ssh", "-> /etc/sv/ssh"),
    ("/etc/sv/ssh/run", "#!/bin/sh\nexec /usr/sbin/sshd -D\n"),
    ("/sbin/init", ""),
    ("/etc/inittab", "id:2:initdefault:\n"),
    ("/var/lib/dpkg/status", ""),
    ("/usr/sbin/sshd", ""),
    ("/usr/bin/ssh-keygen", ""),
    ("/etc/ssh/ssh_host_ed25519_key", "a key"),
    ("/etc/default/ssh", "SSHD_OPTS=\n"),
    ("/etc/init.d/ssh", "#!/bin/sh\nif test -f /etc/default/ssh; then\n. /etc/default/ssh\nfi\n"),
    ("/etc/rc2.d/S01ssh", "-> ../init.d/ssh"),
];

#[test]
fn a_debian_with_sysvinit_makes_them_when_the_server_starts() {
    let keys = embedded("ssh-hostkeys");
    let (plan, mut sample) = planned(&[SYSVINIT], &keys);
    let found = of(&plan, "SSH host keys");
    assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{found:?} {:?}", plan.guests);
    sample.seal(&plan);
    let text = content(&mut sample, "/etc/default/ssh");
    assert_eq!(text, "SSHD_OPTS=\n/usr/lib/sysprep-rs/ssh-host-keys\n");
    assert_eq!(sample.plan(&[keys]).changes, []);
}

#[test]
fn host_keys_in_other_places_go_and_come_back_too() {
    let on: &[(&str, &str)] = &[
        SSHD_IS_ON,
        (
            "/etc/ssh/sshd_config",
            "Include /etc/ssh/sshd_config.d/*.conf\nHostKey /etc/ssh/ssh_host_rsa_key\n",
        ),
        (
            "/etc/ssh/sshd_config.d/10-keys.conf",
            "hostkey \"/srv/keys/ed25519\"\nHostCertificate /srv/keys/cert.pub\n",
        ),
        ("/srv/keys/ed25519", "a key"),
        ("/srv/keys/ed25519.pub", "its half"),
        ("/srv/keys/cert.pub", "a certificate"),
        ("/srv/keys/other", "stays"),
    ];
    let (plan, _) = planned(&[SYSTEMD, RED_HAT, on], &embedded("ssh-hostkeys"));
    let found = changes(&plan);
    assert!(found.iter().any(|it| it == "/srv/keys/ed25519 remove"), "{found:?}");
    assert!(found.iter().any(|it| it == "/srv/keys/ed25519.pub remove"), "{found:?}");
    assert!(!found.iter().any(|it| it.contains("other") || it.contains("cert")), "{found:?}");
    let told: Vec<String> = plan.refusals.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(told, ["/srv/keys/cert.pub"]);
    assert_eq!(of(&plan, "SSH host keys"), made("sshd-keygen@rsa.service"));
    let others = of(&plan, "SSH host keys in other places");
    assert!(matches!(others.as_slice(), [Comeback::Added(_)]), "{others:?}");
}

#[test]
fn no_machine_id_stays_whatever_is_asked_for() {
    let customize = Operation::from_yaml(
        "customize.yaml",
        "name: customize\nsummary: Set up\nwhy: As asked\nclass: settings\ndefault: true\nsteps:\n\
         \x20 - write: { path: /etc/machine-id, content: \"ffffffffffffffffffffffffffffffff\\n\" }\n",
    )
    .unwrap();
    let mut sample = Sample::new(&tree(SYSTEMD));
    let plan = sample.plan(&[customize, embedded("machine-id")]);
    sample.seal(&plan);
    assert_eq!(content(&mut sample, "/etc/machine-id"), "");
}

#[test]
fn an_empty_machine_id_is_for_systemd_alone() {
    let id = "0123456789abcdef0123456789abcdef\n";
    let with = |init: &[(&str, &str)]| {
        let files: &[(&str, &str)] = &[
            ("/etc/machine-id", id),
            ("/var/lib/dbus/machine-id", id),
            ("/etc/init.d/dbus", "#!/bin/sh\ndbus-uuidgen --ensure\n"),
        ];
        let (plan, _) = planned(&[init, files], &embedded("machine-id"));
        (changes(&plan), of(&plan, "machine id"))
    };
    let systemd = with(&SYSTEMD[..2]);
    assert_eq!(systemd.0, ["/etc/machine-id update", "/var/lib/dbus/machine-id remove"]);
    assert_eq!(systemd.1, made("systemd, before anything else starts"));
    // dbus-uuidgen --ensure fails on a file that is empty.
    let sysvinit = with(&[("/sbin/init", ""), ("/etc/inittab", "id:2:initdefault:\n")]);
    assert_eq!(sysvinit.0, ["/etc/machine-id remove", "/var/lib/dbus/machine-id remove"]);
    assert_eq!(sysvinit.1, made("dbus-uuidgen, when D-Bus starts"));
}

#[test]
fn what_is_put_in_is_looked_for_again() {
    // The default target pulls the server in, and nothing that multi-user.target wants.
    let other: &[(&str, &str)] = &[
        ("/etc/systemd/system/default.target", "-> app.target"),
        ("/etc/systemd/system/app.target", "[Unit]\nRequires=basic.target\nWants=ssh.service\n"),
    ];
    let found = host_keys(&[SYSTEMD, DEBIAN, other]);
    assert!(
        matches!(found.as_slice(), [Comeback::Missing(why)] if why.contains("not found to work")),
        "{found:?}"
    );
    // One means does for both.
    let elsewhere: &[(&str, &str)] =
        &[("/etc/ssh/sshd_config", "HostKey \"/etc/my keys/ed25519\"\n")];
    let (plan, _) = planned(&[SYSTEMD, DEBIAN, elsewhere], &embedded("ssh-hostkeys"));
    for what in ["SSH host keys", "SSH host keys in other places"] {
        let found = of(&plan, what);
        assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{what}: {found:?}");
    }
}

#[test]
fn what_a_link_leads_to_goes_with_it() {
    let links: &[(&str, &str)] = &[
        SSHD_IS_ON,
        ("/etc/ssh/ssh_host_rsa_key", "-> /var/lib/keys/rsa"),
        ("/var/lib/keys/rsa", "a key"),
        ("/var/lib/keys/other", "stays"),
        ("/var/lib/dbus/machine-id", "-> /var/lib/foo"),
        ("/var/lib/foo", "0123456789abcdef0123456789abcdef\n"),
    ];
    let sample = Sample::new(&tree(&[SYSTEMD, RED_HAT, links].concat()));
    let plan = sample.plan(&[embedded("ssh-hostkeys"), embedded("machine-id")]);
    let found = changes(&plan);
    for path in [
        "/etc/ssh/ssh_host_rsa_key remove",
        "/var/lib/keys/rsa remove",
        "/var/lib/dbus/machine-id remove",
        "/var/lib/foo remove",
    ] {
        assert!(found.iter().any(|it| it == path), "{path} in {found:?}");
    }
    assert!(!found.iter().any(|it| it.contains("other")), "{found:?}");
}

#[test]
fn a_console_that_does_not_start_lets_nobody_in() {
    let users: &[(&str, &str)] = &[
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/shadow", "root:$6$a$b:20000:0:99999:7:::\n"),
        ("/bin/sh", ""),
        ("/sbin/agetty", ""),
        ("/usr/lib/systemd/system/getty.target", "[Unit]\n"),
        ("/usr/lib/systemd/system/getty@.service", "[Service]\nExecStart=-/sbin/agetty %I\n"),
        ("/usr/lib/systemd/system/multi-user.target.wants/getty.target", "-> ../getty.target"),
        (
            "/etc/systemd/system/getty.target.wants/getty@tty1.service",
            "-> /usr/lib/systemd/system/getty@.service",
        ),
    ];
    let way_in = |more: &[(&str, &str)]| {
        of(&planned(&[SYSTEMD, users, more], &embedded("ssh-hostkeys")).0, "way in")
    };
    let found = way_in(&[]);
    assert!(matches!(found.as_slice(), [Comeback::Made(_)]), "{found:?}");
    let rules = way_in(&[
        ("/etc/pam.d/login", "account required pam_access.so\n"),
        ("/etc/security/access.conf", "-:ALL EXCEPT admin:ALL\n"),
    ]);
    let words = "root with its password, at a console; /etc/pam.d/login: what pam_access decides is \
                 not known here";
    assert_eq!(rules, made(words));
    let found = way_in(&[("/etc/systemd/system/getty.target", "-> /dev/null")]);
    assert!(matches!(found.as_slice(), [Comeback::Missing(_)]), "{found:?}");
}

#[test]
fn options_of_the_servers_unit_decide_who_gets_in() {
    let users: &[(&str, &str)] = &[
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/shadow", "root:$6$a$b:20000:0:99999:7:::\n"),
        ("/bin/sh", ""),
        ("/etc/ssh/sshd_config", "PermitRootLogin yes\n"),
        ("/etc/default/ssh", "SSHD_OPTS=\"-o PasswordAuthentication=no\"\n"),
    ];
    let way_in = |more: &[(&str, &str)]| {
        let parts = [SYSTEMD, DEBIAN, users, more];
        of(&planned(&parts, &embedded("ssh-hostkeys")).0, "way in")
    };
    let drop_in = |command: &str| {
        let drop_in = format!("[Service]\nExecStart=\nExecStart={command}\n");
        way_in(&[("/etc/systemd/system/ssh.service.d/x.conf", &drop_in)])
    };
    let by_password = made("root with its password, by SSH");
    assert!(
        matches!(way_in(&[]).as_slice(), [Comeback::Missing(_)]),
        "Debian's unit has SSHD_OPTS"
    );
    assert_eq!(drop_in("-/usr/sbin/sshd -D"), by_password);
    let off = drop_in("/usr/sbin/sshd -D -oPermitRootLogin=no");
    assert!(matches!(off.as_slice(), [Comeback::Missing(_)]), "{off:?}");
    let other = drop_in("/usr/sbin/sshd -D -f /etc/ssh/other");
    assert!(matches!(other.as_slice(), [Comeback::Missing(_)]), "its file is not there: {other:?}");
}

#[test]
fn what_systemd_tmpfiles_makes_comes_back() {
    let dbus: &[(&str, &str)] = &[
        ("/usr/bin/dbus-daemon", ""),
        ("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ];
    let setup: &[(&str, &str)] = &[
        (
            "/usr/lib/systemd/system/systemd-tmpfiles-setup.service",
            "[Unit]\nDefaultDependencies=no\n[Service]\n\
             ExecStart=systemd-tmpfiles --create --remove --boot --exclude-prefix=/dev\n",
        ),
        (
            "/usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
            "-> ../systemd-tmpfiles-setup.service",
        ),
    ];
    // dbus 1.14's, of Debian 12.
    let line: &[(&str, &str)] = &[(
        "/usr/lib/tmpfiles.d/dbus.conf",
        "L /var/lib/dbus/machine-id - - - - /etc/machine-id\n",
    )];
    let off: &[(&str, &str)] = &[("/etc/tmpfiles.d/dbus.conf", "-> /dev/null")];
    let found = |parts: &[&[(&str, &str)]]| {
        let all = [&[SYSTEMD, dbus], parts].concat();
        of(&planned(&all, &embedded("machine-id")).0, "D-Bus's machine id")
    };
    let by_tmpfiles = made("systemd-tmpfiles, at boot (tmpfiles.d/dbus.conf)");
    let by_itself = made("D-Bus, which reads /etc/machine-id");
    assert_eq!(found(&[setup, line]), by_tmpfiles);
    assert_eq!(found(&[line]), by_itself, "systemd-tmpfiles does not run");
    assert_eq!(found(&[setup, line, off]), by_itself, "its file is masked");
    assert_eq!(found(&[setup]), by_itself);
    // A link stays, and nothing is to be told.
    let link: &[(&str, &str)] = &[("/var/lib/dbus/machine-id", "-> /etc/machine-id")];
    let all: &[&[(&str, &str)]] = &[SYSTEMD, &dbus[..1], setup, line, link];
    assert_eq!(of(&planned(all, &embedded("machine-id")).0, "D-Bus's machine id"), []);
}

/// Debian 12's tinysshd (20230101-1): its socket starts a service for each client, which makes the
/// keys where their directory is not there, and not where it is.
#[test]
fn tinyssh_makes_its_keys_where_their_directory_is_gone() {
    let tinyssh: &[(&str, &str)] = &[
        ("/usr/sbin/tinysshd", ""),
        ("/etc/tinyssh/sshkeydir/.ed25519.sk", "secret"),
        ("/etc/tinyssh/sshkeydir/ed25519.pk", "public"),
        (
            "/usr/lib/systemd/system/tinysshd.socket",
            "[Unit]\nConditionPathExists=!/etc/tinyssh/disable_tinysshd\n[Socket]\n\
             ListenStream=22\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
        ),
        (
            "/usr/lib/systemd/system/tinysshd@.service",
            "[Unit]\nAfter=network.target auditd.service\n[Service]\n\
             ExecStartPre=-/usr/sbin/tinysshd-makekey -q /etc/tinyssh/sshkeydir\n\
             EnvironmentFile=-/etc/default/tinysshd\n\
             ExecStart=/usr/sbin/tinysshd ${TINYSSHDOPTS} -- /etc/tinyssh/sshkeydir\n\
             StandardInput=socket\n",
        ),
    ];
    let on: &[(&str, &str)] = &[(
        "/etc/systemd/system/sockets.target.wants/tinysshd.socket",
        "-> /usr/lib/systemd/system/tinysshd.socket",
    )];
    let keys = embedded("ssh-hostkeys");
    let (plan, mut sample) = planned(&[&SYSTEMD[..8], tinyssh, on], &keys);
    assert_eq!(changes(&plan), ["/etc/tinyssh/sshkeydir remove"]);
    let found = of(&plan, "host keys of tinyssh");
    let [Comeback::Made(by)] = found.as_slice() else { panic!("{found:?}") };
    assert!(by.starts_with("tinysshd@"), "{by}");
    sample.seal(&plan);
    assert!(!sample.files("part1").iter().any(|it| it.contains("sshkeydir")));
    let found = of(&planned(&[&SYSTEMD[..8], tinyssh], &keys).0, "host keys of tinyssh");
    assert!(matches!(found.as_slice(), [Comeback::Missing(_)]), "not on: {found:?}");
}
