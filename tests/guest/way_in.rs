//! Who can log in to a guest, and how.

use std::process::Command;

use sysprep_rs::guest::cloud_init::CloudInit;
use sysprep_rs::guest::way_in::{By, WaysIn};
use sysprep_rs::guest::{Facts, Init};

use super::memory::MemoryFs;
use super::single;

/// A day of 2026, counted from 1970.
const TODAY: i64 = 20_700;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me\n";
const HASH: &str = "$6$salt$hash";
const KEYS: &str = "/home/bob/.ssh/authorized_keys";

/// Accounts with these fields of shadow for root and bob.
fn guest(root: &str, bob: &str) -> MemoryFs {
    MemoryFs::new()
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nbin:x:1:1::/bin:/usr/sbin/nologin\nbob:x:1000:1000::/home/bob:/bin/sh\n")
        .file("/etc/shadow", format!("root:{root}\nbin:*:19000::::::\nbob:{bob}\n"))
        .file("/etc/group", "root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n")
        .file("/bin/sh", "ELF")
        .file("/usr/lib/systemd/system/getty@.service", "[Service]\nExecStart=-/sbin/agetty -o '-p -- \\\\u' --noclear - $TERM\n")
}

/// With an SSH server that is set up so, and PAM.
fn sshd(fs: MemoryFs, config: &str) -> MemoryFs {
    fs.file("/usr/sbin/sshd", "ELF")
        .file("/etc/ssh/sshd_config", config)
        .file("/etc/pam.d/sshd", "")
}

fn keyed(fs: MemoryFs) -> MemoryFs {
    fs.file(KEYS, KEY)
        .owned("/home/bob", 1000, 1000, 0o700)
        .owned("/home/bob/.ssh", 1000, 1000, 0o700)
        .owned(KEYS, 1000, 1000, 0o600)
}

fn facts(init: Init) -> Facts {
    let architecture = Some("x86_64".to_owned());
    Facts { init: Some(init), architecture, ..Facts::default() }
}

fn read_with(fs: MemoryFs, init: Init) -> WaysIn {
    let (tree, facts) = (single(fs), facts(init));
    let cloud = CloudInit::read(&tree, &facts).unwrap();
    WaysIn::read(&tree, &facts, cloud.as_ref(), TODAY, &[]).unwrap()
}

fn read(fs: MemoryFs) -> WaysIn {
    read_with(fs, Init::Systemd)
}

/// Each way in a few words; one that is not sure ends with a question mark.
fn ways(found: &WaysIn) -> String {
    let mut all: Vec<String> = found
        .ways
        .iter()
        .map(|way| {
            let by = match &way.by {
                By::ConsolePassword => "console".to_owned(),
                By::ConsoleEmptyPassword => "console-empty".to_owned(),
                By::Autologin(_) => "auto".to_owned(),
                By::SshPassword => "ssh".to_owned(),
                By::SshEmptyPassword => "ssh-empty".to_owned(),
                By::SshKey { keys, .. } => format!("key{keys}"),
                By::SshKeyAndPassword { .. } => "key+password".to_owned(),
                By::CloudInit(what) => format!("cloud({what})"),
            };
            format!("{}:{by}{}", way.account, if way.is_sure() { "" } else { "?" })
        })
        .collect();
    all.sort();
    all.join(" ")
}

#[test]
fn passwords_open_what_their_state_and_time_allow() {
    let hash = |rest: &str| format!("{HASH}:{rest}");
    let plain = "19000:0:99999:7:::";
    for (root, bob, wanted) in [
        ("*:19000::::::".to_owned(), "!:19000::::::".to_owned(), ""),
        (hash(plain), "*:19000::::::".into(), "root:console"),
        (format!("!{HASH}:{plain}"), hash(plain), "bob:console bob:ssh"),
        (format!("x:{plain}"), hash(plain), "bob:console bob:ssh"),
        (format!(":{plain}"), format!(":{plain}"), "bob:console-empty root:console-empty"),
        ("*::::::".into(), hash("19000:0:99999:7::1:"), ""),
        ("*::::::".into(), hash("19000:0:99999:7::20699:"), ""),
        ("*::::::".into(), hash("19000:0:99999:7::20701:"), "bob:console bob:ssh"),
        ("*::::::".into(), hash("19000:0:90:7:10::"), ""),
        ("*::::::".into(), hash("0:0:90:7:10::"), "bob:console bob:ssh"),
    ] {
        let found = read(sshd(guest(&root, &bob), "UsePAM yes\n"));
        assert_eq!(ways(&found), wanted, "{root} {bob}: {found:?}");
    }
    let must = read(guest("*::::::", &hash("0:0:90:7:10::")));
    assert!(must.ways[0].notes[0].contains("has to be changed"), "{must:?}");
    let over = read(guest("*::::::", &hash("19000:0:99999:7::1:")));
    assert!(over.notes.iter().any(|it| it.contains("bob: the account is expired")), "{over:?}");
    // Without shadow, and with a shell that is none.
    let own = guest("*::", "*::").file("/etc/passwd", format!("root:{HASH}:0:0::/root:/bin/sh\na::1:1::/:/bin/sh\nb:{HASH}:2:2::/:/bin/none\nc:{HASH}:3:3::/:/bin/false\nd:x:4:4::/:\n"));
    assert_eq!(ways(&read(own)), "a:console-empty root:console");
}

#[test]
fn sshd_lets_in_whom_its_settings_name() {
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let with = |config: &str| {
        ways(&read(keyed(sshd(guest(&hash, &hash), config))))
            .replace("bob:console root:console", "")
            .trim()
            .to_owned()
    };
    let strip =
        |text: &str| text.replace("bob:console ", "").replace("root:console", "").trim().to_owned();
    for (config, wanted) in [
        ("", "bob:key1 bob:ssh"),
        ("PermitRootLogin yes\n", "bob:key1 bob:ssh  root:ssh"),
        ("PasswordAuthentication no\n", "bob:key1"),
        ("PasswordAuthentication no\nUsePAM yes\n", "bob:key1 bob:ssh"),
        ("PasswordAuthentication no\nUsePAM yes\nKbdInteractiveAuthentication no\n", "bob:key1"),
        ("PubkeyAuthentication no\n", "bob:ssh"),
        ("AuthorizedKeysFile /etc/ssh/%u\n", "bob:ssh"),
        ("AuthorizedKeysFile %h/.ssh/authorized_keys\n", "bob:key1 bob:ssh"),
        ("AllowUsers root\nPermitRootLogin yes\n", "root:ssh"),
        ("AllowUsers bob@10.0.0.1\n", "bob:key1? bob:ssh?"),
        ("DenyUsers bob@10.0.0.1\n", "bob:key1? bob:ssh?"),
        ("DenyUsers b?b\n", ""),
        ("AllowGroups wheel\n", "bob:key1 bob:ssh"),
        ("DenyGroups wheel\n", ""),
        ("Match Address 10.0.0.0/8\nPasswordAuthentication no\n", "bob:key1 bob:ssh?"),
        (
            "PasswordAuthentication no\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\nPermitRootLogin yes\n",
            "bob:key1 bob:ssh?  root:ssh?",
        ),
        ("AuthenticationMethods publickey,password\n", "bob:key+password"),
        ("AuthenticationMethods publickey,hostbased\n", ""),
        ("AuthenticationMethods publickey\n", "bob:key1"),
        ("ForceCommand internal-sftp\n", ""),
        ("ForceCommand /usr/bin/menu\n", "bob:key1? bob:ssh?"),
        ("ForceCommand none\nChrootDirectory none\n", "bob:key1 bob:ssh"),
        ("Match User bob\nChrootDirectory /srv\n", "bob:key1? bob:ssh?"),
        ("RevokedKeys /etc/shadow\n", "bob:key1? bob:ssh"),
        ("RevokedKeys /etc/missing\n", "bob:ssh"),
        ("PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512\n", "bob:key1 bob:ssh"),
        ("PubkeyAcceptedAlgorithms rsa-sha2-*\n", "bob:ssh"),
        ("PubkeyAcceptedKeyTypes -ssh-ed25519*\n", "bob:ssh"),
        ("PubkeyAcceptedAlgorithms +ssh-rsa\n", "bob:key1 bob:ssh"),
        ("ListenAddress 127.0.0.1\n", "bob:key1? bob:ssh?"),
        ("ListenAddress 127.0.0.1\nListenAddress 10.1.1.1\n", "bob:key1 bob:ssh"),
    ] {
        assert_eq!(
            strip(&with(config)).split_whitespace().collect::<Vec<_>>(),
            wanted.split_whitespace().collect::<Vec<_>>(),
            "{config}"
        );
    }
    let options = keyed(sshd(guest("*::", &hash), "PasswordAuthentication yes\n")).file(
        "/etc/default/ssh",
        "# x\nSSHD_OPTS=\"-o PasswordAuthentication=no -oPubkeyAuthentication=no\"\n",
    );
    assert_eq!(ways(&read(options)), "bob:console");
    // Without PAM sshd takes '!' for a lock, keys or not; '*' it does not.
    let locked = |bob: &str, config: &str| ways(&read(keyed(sshd(guest("*::", bob), config))));
    assert_eq!(locked("!:19000::::::", ""), "");
    assert_eq!(locked("*:19000::::::", ""), "bob:key1");
    assert_eq!(locked("!:19000::::::", "UsePAM yes\n"), "bob:key1");
    assert_eq!(
        locked(":19000::::::", "PermitEmptyPasswords yes\n"),
        "bob:console-empty bob:key1 bob:ssh-empty"
    );
    let none = keyed(guest("*::", "*::")).file("/usr/sbin/sshd", "ELF");
    let none = read(none);
    assert!(none.ways.is_empty() && none.notes[0].contains("not there"), "{none:?}");
}

type Change<'a> = &'a dyn Fn(MemoryFs) -> MemoryFs;

#[test]
fn keys_that_others_may_write_are_left_aside() {
    let with = |change: Change, config: &str| {
        let found = read(change(keyed(sshd(guest("*::", "*:19000::::::"), config))));
        (ways(&found), found.notes.join("\n"))
    };
    let cases: [(Change, &str, &str); 6] = [
        (&|fs| fs, "bob:key1", ""),
        (&|fs| fs.owned(KEYS, 1001, 1000, 0o600), "", "belongs to user 1001"),
        (&|fs| fs.owned(KEYS, 0, 0, 0o644), "bob:key1", ""),
        (&|fs| fs.owned("/home/bob", 1000, 1000, 0o777), "", "anyone may write to /home/bob"),
        (&|fs| fs.owned("/home/bob/.ssh", 1000, 10, 0o770), "", "group 10 may write"),
        (&|fs| fs.owned("/home/bob", 1000, 1000, 0o770), "bob:key1?", ""),
    ];
    for (change, wanted, note) in cases {
        let (found, notes) = with(change, "");
        assert_eq!(found, wanted, "{notes}");
        assert!(notes.contains(note), "{note}: {notes}");
        assert_eq!(with(change, "StrictModes no\n").0, "bob:key1");
    }
    let forced =
        |fs: MemoryFs| fs.file("/root/.ssh/authorized_keys", format!("command=\"echo no\" {KEY}"));
    let (found, notes) = with(&forced, "");
    assert!(found == "bob:key1" && notes.contains("one command"), "{notes}");
    let (_, notes) =
        with(&|fs| fs, "AuthorizedKeysCommand /usr/bin/x\nAuthorizedKeysCommandUser nobody\n");
    assert!(notes.contains("AuthorizedKeysCommand /usr/bin/x"), "{notes}");
}

#[test]
fn a_console_lets_in_whom_its_units_name() {
    let drop = "/etc/systemd/system/getty@tty1.service.d/a.conf";
    let auto =
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin bob \\\n  --noclear %I\n";
    let base = || guest("*::", "*:19000::::::");
    assert_eq!(ways(&read(base())), "");
    assert_eq!(ways(&read(base().file(drop, auto))), "bob:auto");
    // Of two the last by name counts; one of the same name in /etc stands in for another's.
    let later = "/usr/lib/systemd/system/getty@.service.d/b.conf";
    let plain = "[Service]\nExecStart=\nExecStart=-/sbin/agetty - $TERM\n";
    assert_eq!(ways(&read(base().file(drop, auto).file(later, plain))), "");
    let masked =
        base().file(drop, auto).link("/etc/systemd/system/getty@tty1.service", "/dev/null");
    assert_eq!(ways(&read(masked)), "");
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let deaf = guest("*::", &hash)
        .link("/etc/systemd/system/getty@tty1.service", "/dev/null")
        .file("/etc/systemd/system/getty@.service", "");
    assert_eq!(ways(&read(deaf)), "");
    let nobody = read(base().file(drop, auto.replace("bob", "carol")));
    assert!(nobody.ways.is_empty() && nobody.notes[0].contains("'carol'"), "{nobody:?}");
    let inittab = |text: &str| {
        ways(&read_with(guest("*::", &hash).file("/etc/inittab", text), Init::Sysvinit))
    };
    assert_eq!(inittab("1:2345:respawn:/sbin/getty 38400 tty1\n"), "bob:console");
    assert_eq!(
        inittab("#1:2345:respawn:/sbin/getty 38400 tty1\nca::ctrlaltdel:/sbin/reboot\n"),
        ""
    );
    assert_eq!(inittab("tty1::respawn:/bin/login -f root\n"), "root:auto");
    assert_eq!(inittab("::askfirst:-/bin/sh\n"), "root:auto");
    for (at, text) in [
        ("/etc/gdm3/daemon.conf", "[daemon]\nAutomaticLoginEnable = true\nAutomaticLogin = bob\n"),
        ("/etc/lightdm/lightdm.conf.d/x.conf", "[Seat:*]\nautologin-user=bob\n"),
        ("/etc/sddm.conf", "[Autologin]\nUser=bob\n"),
        ("/etc/greetd/config.toml", "[initial_session]\ncommand = \"sway\"\nuser = \"bob\"\n"),
    ] {
        assert_eq!(ways(&read(base().file(at, text))), "bob:auto", "{at}");
        let other = text.replace("[", "[x").replace("= true", "= false");
        assert_eq!(ways(&read(base().file(at, other))), "", "{at}");
    }
    let closed = guest(&hash, &hash).file("/etc/nologin", "");
    assert_eq!(ways(&read(closed)), "root:console");
    let securetty = guest(&hash, "*::")
        .file("/etc/securetty", "# none\n")
        .file("/etc/pam.d/login", "auth required pam_securetty.so\n");
    assert_eq!(ways(&read(securetty)), "");
}

#[test]
fn dropbear_has_options_of_its_own() {
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let with = |options: &str| {
        let fs = keyed(guest(&hash, &hash))
            .file("/usr/sbin/dropbear", "ELF")
            .file("/etc/shells", "/bin/sh\n");
        let fs = fs.file("/etc/default/dropbear", format!("DROPBEAR_EXTRA_ARGS=\"{options}\"\n"));
        ways(&read(fs))
            .replace("bob:console ", "")
            .replace("root:console", "")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(with(""), "bob:key1 bob:ssh root:ssh");
    assert_eq!(with("-w"), "bob:key1 bob:ssh");
    assert_eq!(with("-g -I 5"), "bob:key1 bob:ssh");
    assert_eq!(with("-s"), "bob:key1");
}

/// cloud-init, without ds-identify: it runs.
fn with_cloud(fs: MemoryFs, settings: &str) -> MemoryFs {
    let main = "cloud_init_modules: [users-groups, ssh]\ncloud_config_modules: [set-passwords]\nusers: [default]\n\
                system_info: {default_user: {name: bob, sudo: x}}\n";
    fs.file("/usr/bin/cloud-init", "#!")
        .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .file("/usr/lib/systemd/system/cloud-init.service", "[Unit]\n")
        .file("/etc/systemd/system/cloud-init.target.wants/cloud-init.service", "")
        .file("/usr/lib/systemd/system-generators/cloud-init-generator", "#!")
        .file("/etc/cloud/cloud.cfg", main)
        .file("/etc/cloud/cloud.cfg.d/a.cfg", settings)
}

#[test]
fn what_cloud_init_gives_and_takes_counts() {
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let with = |settings: &str| {
        ways(&read(with_cloud(sshd(guest("*::", &hash), "UsePAM yes\n"), settings)))
    };
    // The default account's password is locked, one that it has, too.
    assert_eq!(with(""), "bob:cloud(a key of the cloud's metadata)?");
    assert_eq!(with("allow_public_ssh_keys: false\n"), "");
    assert_eq!(with("users: []\n"), "bob:console bob:ssh");
    assert_eq!(with("users: [{name: bob, lock_passwd: false}]\n"), "bob:console bob:ssh");
    assert_eq!(
        with(
            "users: [{name: eve, plain_text_passwd: x, lock_passwd: false, ssh_authorized_keys: [k]}]\nssh_pwauth: no\n"
        ),
        "bob:console bob:ssh eve:cloud(a key of its settings) eve:cloud(a password of its settings)",
    );
    assert_eq!(
        with("password: x\nallow_public_ssh_keys: false\n"),
        "bob:cloud(a password of its settings) bob:console bob:ssh"
    );
    let closed = with_cloud(sshd(guest("*::", "*::"), "AllowUsers root\n"), "");
    assert_eq!(ways(&read(closed)), "");
    let server = with_cloud(guest("*::", "*::"), "");
    let found = read(server);
    assert!(
        found.ways.is_empty() && found.notes.iter().any(|it| it.contains("no SSH server")),
        "{found:?}"
    );
    let off = with_cloud(sshd(guest("*::", &hash), "UsePAM yes\n"), "")
        .file("/etc/cloud/cloud-init.disabled", "");
    assert_eq!(ways(&read(off)), "bob:console bob:ssh");
    let again = with_cloud(
        sshd(guest("*::", "*::"), ""),
        "users: [{name: eve, ssh_authorized_keys: [k]}]\n",
    )
    .file("/var/lib/cloud/data/instance-id", "iid-datasource-none\n");
    assert_eq!(ways(&read(again)), "eve:cloud(a key of its settings)?");
}

#[test]
fn what_is_not_looked_into_is_said() {
    let fs = guest("*::", "*::")
        .file("/etc/nsswitch.conf", "passwd: files systemd sss [NOTFOUND=return] ldap\n")
        .file("/etc/pam.d/sshd", "account required pam_access.so\n")
        .file("/etc/security/access.conf", "# nothing\n");
    let found = read(fs.clone());
    let notes = found.notes.join("\n");
    assert!(notes.contains("accounts from sss, ldap"), "{notes}");
    assert!(found.rules.is_empty(), "without rules pam_access lets everybody in: {found:?}");
    let found = read(fs.file("/etc/security/access.conf", "-:ALL:ALL\n"));
    assert_eq!(found.rules, ["/etc/pam.d/sshd: what pam_access decides is not known here"]);
    let began = std::time::Instant::now();
    let circle = "Include /etc/ssh/sshd_config /etc/ssh/sshd_config\n";
    let mut passwd = String::new();
    let mut shadow = String::new();
    for number in 0..2000 {
        passwd += &format!("u{number}:x:{number}:{number}::/home/u:/bin/sh\n");
        shadow += &format!("u{number}:{HASH}:::::::\n");
    }
    let mut config = circle.to_owned();
    for number in 0..3000 {
        config += &format!("Match Address 10.0.{number}.0/8\nAllowUsers {}\n", "*a".repeat(50));
    }
    let fs =
        sshd(guest("*::", "*::"), &config).file("/etc/passwd", passwd).file("/etc/shadow", shadow);
    let found = read(fs);
    assert!(
        found.notes.iter().any(|it| it.contains("more than 200 accounts")),
        "{:?}",
        found.notes
    );
    assert!(found.notes.iter().any(|it| it.contains("included too deep")), "{:?}", found.notes);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn the_state_of_passwords_is_that_of_passwd() {
    let fields =
        ["", "*", "!", "!!", "!*", "!$6$a$b", "$6$salt$hash", "$y$j9T$a$b", "abJnggxhB/yWI"];
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    let mut passwd = "root:x:0:0::/root:/bin/sh\n".to_owned();
    let mut shadow = "root:*:19000:0:99999:7:::\n".to_owned();
    for (number, field) in fields.iter().enumerate() {
        passwd += &format!("u{number}:x:{}:1000::/:/bin/sh\n", 1000 + number);
        shadow += &format!("u{number}:{field}:19000:0:99999:7:::\n");
    }
    std::fs::write(folder.path().join("etc/passwd"), &passwd).unwrap();
    std::fs::write(folder.path().join("etc/shadow"), &shadow).unwrap();
    // 'passwd -R' changes its root, which takes root.
    let output = Command::new("unshare")
        .args(["-r", "passwd", "-S", "-a", "-R", folder.path().to_str().unwrap()])
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("unshare (package util-linux) cannot be run: {error}"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let fs = guest("*::", "*::").file("/etc/passwd", passwd).file("/etc/shadow", shadow);
    let found = read(fs);
    for (number, field) in fields.iter().enumerate() {
        let name = format!("u{number}");
        let line = said.lines().find(|it| it.starts_with(&format!("{name} "))).unwrap();
        let theirs = line.split_whitespace().nth(1).unwrap();
        let ours = match found.ways.iter().find(|it| it.account == name).map(|it| &it.by) {
            Some(By::ConsolePassword) => "P",
            Some(By::ConsoleEmptyPassword) => "NP",
            None => "L",
            other => panic!("{other:?}"),
        };
        assert_eq!(ours, theirs, "{field}");
    }
}

#[test]
fn sshd_lets_nobody_in_where_it_does_not_start_or_gives_no_session() {
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let with = |config: &str| read(keyed(sshd(guest("*::", &hash), config)));
    for (config, wanted) in [
        ("UsePAM yes\n", "bob:console bob:key1 bob:ssh"),
        ("Nonsense yes\n", "bob:console bob:key1? bob:ssh?"),
        ("UsePAM maybe\n", "bob:console bob:key1? bob:ssh?"),
        ("Match User bob\nX11Forwarding no\nUsePAM yes\n", "bob:console bob:key1? bob:ssh?"),
        ("MaxAuthTries 0\n", "bob:console bob:key1? bob:ssh?"),
        ("Match User eve\nMaxAuthTries 0\n", "bob:console bob:key1 bob:ssh"),
        // Releases since 9.5 take it there.
        ("Match User eve\nSubsystem sftp /x\n", "bob:console bob:key1 bob:ssh"),
        ("MaxSessions 0\n", "bob:console"),
        ("Match User bob\nRefuseConnection yes\n", "bob:console"),
        ("MaxStartups 1\nLoginGraceTime 1\n", "bob:console bob:key1 bob:ssh"),
    ] {
        let found = with(config);
        assert_eq!(ways(&found), wanted, "{config}: {found:?}");
    }
    let found = with("UsePAM yes\n\nNonsense yes\n");
    let why = "sshd may not start: /etc/ssh/sshd_config line 3: unknown keyword 'nonsense'";
    assert!(found.ways.iter().any(|it| it.unsure == [why]), "{found:?}");
    let notes = with("MaxSessions 0\n").notes;
    assert!(notes.iter().any(|it| it.contains("no session ('MaxSessions 0')")), "{notes:?}");
}

#[test]
fn an_account_without_a_line_in_shadow_is_refused_by_pam() {
    let fs =
        |config: &str| keyed(sshd(guest("*::", "*::"), config)).file("/etc/shadow", "root:*::\n");
    let found = read(fs("UsePAM yes\n"));
    assert_eq!(ways(&found), "", "{found:?}");
    let note = "bob: /etc/shadow has no line for it, and PAM refuses such an account";
    assert!(found.notes.iter().any(|it| it == note), "{found:?}");
    assert_eq!(ways(&read(fs("UsePAM no\n"))), "bob:key1");
}

/// Debian's, and Red Hat's, as they are installed.
const DEBIAN_AUTH: &str = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n\
    auth\trequisite\t\t\tpam_deny.so\nauth\trequired\t\t\tpam_permit.so\n";
const DEBIAN_ACCOUNT: &str = "account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so\n\
    account\trequisite\t\t\tpam_deny.so\naccount\trequired\t\t\tpam_permit.so\n";
const RED_HAT: &str = "auth        required      pam_env.so\n\
    auth        sufficient    pam_unix.so try_first_pass nullok\n\
    auth        required      pam_deny.so\n\
    account     required      pam_unix.so\n";

#[test]
fn pam_deny_before_all_that_lets_pass_keeps_everybody_out() {
    let hash = format!("{HASH}:19000:0:99999:7:::");
    let all = "bob:console bob:key1 bob:ssh";
    let debian = |before: &str| {
        format!(
            "{before}@include common-auth\naccount required pam_nologin.so\n@include common-account\n"
        )
    };
    let red_hat = |before: &str| {
        format!("{before}auth substack password-auth\naccount include password-auth\n")
    };
    for (service, content, wanted) in [
        ("sshd", debian(""), all),
        ("login", debian(""), all),
        ("sshd", red_hat(""), all),
        ("login", red_hat(""), all),
        ("sshd", debian("account required pam_deny.so\n"), "bob:console"),
        (
            "sshd",
            debian("account [success=ok default=bad] /lib/security/pam_deny.so\n"),
            "bob:console",
        ),
        ("sshd", debian("auth requisite pam_deny.so\n"), "bob:console bob:key1"),
        ("sshd", red_hat("auth required pam_deny.so\n"), "bob:console bob:key1"),
        (
            "sshd",
            red_hat("account sufficient pam_localuser.so\naccount required pam_deny.so\n"),
            all,
        ),
        ("sshd", debian("# account required pam_deny.so\naccount optional pam_deny.so\n"), all),
        (
            "sshd",
            debian("account [success=1 default=ignore] pam_x.so\naccount required pam_deny.so\n"),
            all,
        ),
        (
            "sshd",
            debian(
                "account [success=1 default=ignore] pam_x.so\naccount required pam_y.so\naccount required pam_deny.so\n",
            ),
            "bob:console",
        ),
        ("sshd", "account substack closed\n".to_owned(), "bob:console"),
        ("sshd", "account include circle\n".to_owned(), all),
        ("login", debian("auth required pam_deny.so\n"), "bob:key1 bob:ssh"),
        ("login", debian("account required pam_deny.so\n"), "bob:key1 bob:ssh"),
    ] {
        let mut fs = keyed(sshd(guest("*::", &hash), "UsePAM yes\n"))
            .file("/etc/pam.d/common-auth", DEBIAN_AUTH)
            .file("/etc/pam.d/common-account", DEBIAN_ACCOUNT)
            .file("/etc/pam.d/password-auth", RED_HAT)
            .file(
                "/etc/pam.d/closed",
                "account sufficient pam_deny.so\naccount required pam_deny.so\n",
            )
            .file("/etc/pam.d/circle", "account include circle\naccount include circle\n");
        fs = fs.file(format!("/etc/pam.d/{service}"), &content);
        let found = read(fs);
        assert_eq!(ways(&found), wanted, "{service}: {content}: {found:?}");
        let told = found.notes.iter().any(|it| it.contains("pam_deny lets nobody pass"));
        assert_eq!(told, wanted != all, "{service}: {content}: {found:?}");
    }
}
