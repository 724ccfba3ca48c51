//! Host keys of the SSH server: which commands make them, which means work, and which keys go.

use std::fs;
use std::process::Command;

use sysprep_rs::plan::{Comeback, Plan};

use super::comes_back::{
    DEBIAN, RED_HAT, SSHD_IS_ON, SYSTEMD, SYSVINIT, host_keys, made, of, planned,
};
use super::sample::embedded;
use super::steps::{changes, content};

const SCRIPT: &str = "/usr/lib/sysprep-rs/ssh-host-keys";
const UNIT: &str = "/etc/systemd/system/sysprep-rs-ssh-host-keys.service";

/// Debian, whose server looks at its keys before anything else, with a drop-in.
fn with_drop_in(lines: &str) -> Vec<Comeback> {
    let drop_in = format!("[Service]\n{lines}\n");
    host_keys(&[SYSTEMD, DEBIAN, &[("/etc/systemd/system/ssh.service.d/x.conf", drop_in.as_str())]])
}

#[test]
fn only_a_command_that_makes_keys_before_the_server_asks_for_them_counts() {
    let is_made = made("ssh.service");
    for lines in [
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A",
        "ExecStartPre=\nExecStartPre=-/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t",
        "ExecStartPre=\nExecStartPre=mkdir -p /run/sshd\nExecStartPre=/bin/sh -c 'ssh-keygen -A'",
        "ExecStartPre=\nExecStartPre=-/usr/sbin/sshd -t\nExecStartPre=/usr/bin/ssh-keygen -A",
        "ExecStartPre=\nExecStartPre=ssh-keygen -q -t rsa -N '' -f /etc/ssh/ssh_host_rsa_key",
        "ExecStartPre=\nExecCondition=-/bin/false\nExecStartPre=ssh-keygen -A\nExecCondition=",
    ] {
        assert_eq!(with_drop_in(lines), is_made, "{lines}");
    }
    let asks = with_drop_in(
        "ExecStartPre=\nExecCondition=/usr/bin/test -e /x\nExecStartPre=ssh-keygen -A",
    );
    assert_eq!(asks, made("ssh.service, where ExecCondition=/usr/bin/test -e /x holds"));
    for lines in [
        // Debian's own 'sshd -t' comes first, and fails.
        "ExecStartPre=/usr/bin/ssh-keygen -A",
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=",
        "ExecStartPost=/usr/bin/ssh-keygen -A",
        "ExecStopPost=/usr/bin/ssh-keygen -A",
        "ExecReload=/usr/bin/ssh-keygen -R foo",
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -R foo",
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -l -f /etc/ssh/ssh_host_rsa_key",
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -y -f /etc/ssh/ssh_host_rsa_key",
        "ExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -t rsa -f /root/key",
        "ExecStartPre=\nExecCondition=/bin/false\nExecStartPre=/usr/bin/ssh-keygen -A",
        "ExecStartPre=\nExecStartPre=/bin/false\nExecStartPre=/usr/bin/ssh-keygen -A",
    ] {
        let found = with_drop_in(lines);
        assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{lines}: {found:?}");
    }
}

/// Why they do not come back.
fn missing(found: &[Comeback]) -> &str {
    match found {
        [Comeback::Missing(why)] => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn means_that_cannot_work_are_not_told_as_put_in() {
    let why = |more: &[(&str, &str)], words: &str| {
        let found = host_keys(&[SYSTEMD, DEBIAN, more]);
        let said = missing(&found);
        assert!(said.contains("put in, and not found to work: ") && said.contains(words), "{said}");
    };
    why(
        &[("/etc/fstab", "LABEL=root / ext4 ro,noatime 0 1\n")],
        "does not start: ConditionPathIsReadWrite=/etc does not hold",
    );
    let rw = host_keys(&[SYSTEMD, DEBIAN, &[("/etc/fstab", "LABEL=r / ext4 ro,rw 0 1\n")]]);
    assert!(matches!(rw.as_slice(), [Comeback::Added(_)]), "{rw:?}");
    why(
        &[
            (
                "/usr/local/lib/systemd/system/secure-shell.service",
                "[Service]\nExecStart=-/usr/sbin/sshd -D -p 2222\n",
            ),
            (
                "/etc/systemd/system/multi-user.target.wants/secure-shell.service",
                "-> /usr/local/lib/systemd/system/secure-shell.service",
            ),
        ],
        "secure-shell.service does not wait for sysprep-rs-ssh-host-keys.service",
    );
    let waits = host_keys(&[
        SYSTEMD,
        DEBIAN,
        &[
            (
                "/etc/systemd/system/secure-shell.service",
                "[Unit]\nAfter=sysprep-rs-ssh-host-keys.service\n[Service]\nExecStart=/usr/sbin/sshd\n",
            ),
            (
                "/etc/systemd/system/multi-user.target.wants/secure-shell.service",
                "-> ../secure-shell.service",
            ),
        ],
    ]);
    assert!(matches!(waits.as_slice(), [Comeback::Added(_)]), "{waits:?}");

    let no_keygen: Vec<_> =
        SYSTEMD.iter().copied().filter(|it| it.0 != "/usr/bin/ssh-keygen").collect();
    let found = host_keys(&[&no_keygen, DEBIAN]);
    assert!(missing(&found).contains("the guest has no ssh-keygen"), "{found:?}");
}

#[test]
fn a_start_script_has_to_read_the_file_with_the_means() {
    let own = |text: &str, fstab: &str| {
        host_keys(&[SYSVINIT, &[("/etc/init.d/ssh", text), ("/etc/fstab", fstab)]])
    };
    let reads = "#!/bin/sh\n[ -f /etc/default/ssh ] && . /etc/default/ssh\n/usr/sbin/sshd\n";
    let found = own(reads, "");
    assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{found:?}");
    let found = own(reads, "/dev/vda1 / ext4 defaults,ro 0 1\n");
    assert!(missing(&found).contains("/etc/fstab mounts the root read-only"), "{found:?}");
    let found = own("#!/bin/sh\n# . /etc/default/ssh\nexec /usr/sbin/sshd\n", "");
    let said = "/etc/init.d/ssh does not read /etc/default/ssh";
    assert!(missing(&found).contains(said), "{found:?}");
}

#[test]
fn a_key_on_what_is_mounted_later_is_not_made() {
    let others = |options: &str| {
        let fstab = format!("LABEL=keys /srv/keys ext4 {options} 0 2\n");
        let more: &[(&str, &str)] = &[
            ("/etc/fstab", fstab.as_str()),
            ("/etc/ssh/sshd_config", "HostKey /srv/keys/ssh_host_ed25519_key\n"),
        ];
        of(
            &planned(&[SYSTEMD, DEBIAN, more], &embedded("ssh-hostkeys")).0,
            "SSH host keys in other places",
        )
    };
    for options in ["nofail", "noauto", "_netdev", "ro"] {
        let found = others(options);
        let said = "/srv/keys/ssh_host_ed25519_key is on /srv/keys, which is mounted ";
        assert!(missing(&found).contains(said), "{options}: {found:?}");
    }
    for options in ["defaults", "nofail,x-systemd.automount"] {
        let found = others(options);
        assert!(matches!(found.as_slice(), [Comeback::Added(_)]), "{options}: {found:?}");
    }
}

#[test]
fn a_masked_unit_is_not_written_through_its_mask() {
    for has_null in [false, true] {
        // The root directory of a container's export has an empty /dev.
        let null = if has_null { ("/dev/null", "no device") } else { ("/dev/x", "") };
        let more: &[(&str, &str)] = &[null, (UNIT, "-> /dev/null")];
        let (plan, mut sample) = planned(&[SYSTEMD, DEBIAN, more], &embedded("ssh-hostkeys"));
        let found = of(&plan, "SSH host keys");
        let said = format!("{UNIT} masks sysprep-rs-ssh-host-keys.service");
        assert!(missing(&found).contains(&said), "{found:?}");
        assert!(!changes(&plan).iter().any(|it| it.starts_with("/dev/")), "{:?}", changes(&plan));
        assert!(plan.refusals.iter().any(|it| it.path.to_string() == UNIT), "{:?}", plan.refusals);
        sample.seal(&plan);
        assert!(sample.plan(&[embedded("ssh-hostkeys")]).changes.is_empty());
    }
}

/// Its configuration, with files that it includes, a path in quotes, and one without a slash.
const CONFIGURED: &[(&str, &str)] = &[
    SSHD_IS_ON,
    (
        "/etc/ssh/sshd_config",
        "Include /etc/ssh/extra/*.conf more/[ab].conf\nHostKey srv/k/x\nHostKey '/srv/my keys/x'\n\
         HostKey none\nHostKey /srv/a\\ b\nHostKey /srv/last",
    ),
    ("/etc/ssh/extra/1.conf", "hostkey=/srv/extra\nInclude /etc/ssh/deep/*"),
    ("/etc/ssh/deep/x", "HostKey \"/srv/deep\" # why\nMatch all\nHostKey /srv/all\n"),
    ("/etc/ssh/more/a.conf", "HostKey /srv/more"),
    ("/etc/ssh/more/c.conf", "HostKey /srv/not\n"),
];
const KEYS: [&str; 8] = [
    "/srv/all",
    "/srv/k/x",
    "/srv/my keys/x",
    "/srv/a b",
    "/srv/last",
    "/srv/extra",
    "/srv/deep",
    "/srv/more",
];

fn sealed(more: &[(&str, &str)]) -> (Plan, super::sample::Sample) {
    planned(&[SYSTEMD, RED_HAT, CONFIGURED, more], &embedded("ssh-hostkeys"))
}

#[test]
fn every_key_that_the_server_would_find_goes() {
    let model = [("/srv/not", "stays"), ("/srv/k/x.pub", "a half")];
    let mut more: Vec<(&str, &str)> = model.to_vec();
    more.extend(KEYS.iter().filter(|it| !it.contains(' ')).map(|it| (*it, "a key")));
    let (plan, _) = sealed(&more);
    let found = changes(&plan);
    for (path, _) in more.iter().filter(|it| it.0 != "/srv/not") {
        assert!(found.contains(&format!("{path} remove")), "{path} in {found:?}");
    }
    assert!(!found.iter().any(|it| it.contains("/srv/not")), "{found:?}");
    let others = of(&plan, "SSH host keys in other places");
    assert!(matches!(others.as_slice(), [Comeback::Added(_)]), "{others:?}");
    // Each way to name one alone makes that they have to come back.
    for line in ["HostKey srv/k/x", "HostKey '/srv/my keys/x'", "Include extra/*"] {
        let more: &[(&str, &str)] = &[
            SSHD_IS_ON,
            ("/etc/ssh/sshd_config", line),
            ("/etc/ssh/extra/1.conf", "HostKey /srv/extra"),
        ];
        let (plan, _) = planned(&[SYSTEMD, RED_HAT, more], &embedded("ssh-hostkeys"));
        let others = of(&plan, "SSH host keys in other places");
        assert!(matches!(others.as_slice(), [Comeback::Added(_)]), "{line}: {others:?}");
    }
    let usual: &[(&str, &str)] = &[
        SSHD_IS_ON,
        ("/etc/ssh/sshd_config", "HostKey '/etc/ssh/ssh_host_rsa_key'\nHostKey none\n"),
    ];
    let (plan, _) = planned(&[SYSTEMD, RED_HAT, usual], &embedded("ssh-hostkeys"));
    assert_eq!(of(&plan, "SSH host keys in other places"), []);
}

#[test]
fn another_name_of_a_key_is_told() {
    let text = |names: &[(&str, &str)]| -> Vec<String> {
        let (mut links, mut files) = (String::new(), Vec::new());
        for (path, of) in names {
            match of.strip_prefix("== ") {
                Some(to) => links.push_str(&format!("{path} == {to}\n")),
                None => files.push((*path, *of)),
            }
        }
        let parts = [SYSTEMD, RED_HAT, &[SSHD_IS_ON], &files].concat();
        let mut sample =
            super::sample::Sample::new(&format!("{}{links}", super::comes_back::tree(&parts)));
        let plan = sample.plan(&[embedded("ssh-hostkeys")]);
        sample.seal(&plan);
        assert!(sample.plan(&[embedded("ssh-hostkeys")]).changes.is_empty());
        plan.refusals.iter().map(|it| format!("{}: {}", it.path, it.reason)).collect()
    };
    let said = "1 other name keeps its content (hard links), in every clone";
    let usual = "/etc/ssh/ssh_host_ed25519_key";
    assert_eq!(text(&[("/root/backup", &format!("== {usual}"))]), [format!("{usual}: {said}")]);
    let elsewhere = [("/etc/ssh/sshd_config", "HostKey /srv/x\n"), ("/srv/x", "a key")];
    assert_eq!(
        text(&[elsewhere[0], elsewhere[1], ("/var/backup", "== /srv/x")]),
        [format!("/srv/x: {said}")]
    );
    // Both go.
    let both = ("/etc/ssh/ssh_host_rsa_key", "a key");
    let other = ("/srv/x", "== /etc/ssh/ssh_host_rsa_key");
    assert_eq!(text(&[elsewhere[0], both, other]), [""; 0]);
}

/// Runs what is put in, in a shell, with a folder in place of the root directory.
#[test]
fn what_is_put_in_makes_each_key_that_the_server_would_find() {
    let (plan, mut sample) = sealed(&[("/etc/ssh/sshd_config.d/1.conf", "HostKey /srv/beside")]);
    sample.seal(&plan);
    let script = content(&mut sample, SCRIPT);
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    let guest = |path: &str| root.join(path.strip_prefix('/').unwrap_or(path));
    let beside = ("/etc/ssh/sshd_config.d/1.conf", "HostKey /srv/beside");
    for (path, text) in CONFIGURED.iter().chain([&beside]).filter(|it| it.0 != SSHD_IS_ON.0) {
        fs::create_dir_all(guest(path).parent().unwrap()).unwrap();
        fs::write(guest(path), text).unwrap();
    }
    fs::create_dir_all(guest("/srv")).unwrap();
    // An empty file is no key, and asks nothing of anybody.
    fs::write(guest("/srv/extra"), "").unwrap();
    fs::write(guest("/srv/deep"), "there already").unwrap();
    fs::write(place.path().join("script"), script).unwrap();
    let run = format!(
        "set -e\ncd {0}\nmkdir -p usr bin lib lib64 sbin dev\n\
         for dir in usr bin lib lib64 sbin dev; do [ ! -d /$dir ] || mount --rbind /$dir $dir; done\n\
         cp {1} etc/script\ncp /etc/passwd etc/\nexec chroot . /bin/sh /etc/script\n",
        root.display(),
        place.path().join("script").display()
    );
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &run]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for key in KEYS.iter().copied().chain(["/srv/beside", "/etc/ssh/ssh_host_ed25519_key"]) {
        let text = fs::read_to_string(guest(key)).unwrap_or_else(|it| panic!("{key}: {it} {said}"));
        assert!(text.contains("PRIVATE KEY") || key == "/srv/deep", "{key}: {text}");
    }
    assert_eq!(fs::read_to_string(guest("/srv/deep")).unwrap(), "there already");
    assert!(!guest("/srv/not").exists() && !guest("/none").exists());
}
