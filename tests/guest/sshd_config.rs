//! What the SSH server's configuration says of an account: `sshd -T` is the judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sysprep_rs::fs::directory::Directory;
use sysprep_rs::guest::Tree;
use sysprep_rs::guest::way_in::{SshdConfig, Who};
use sysprep_rs::volume::VolumeId;

use super::path;
use crate::support::oracle;

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\n\
                      sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
                      bob:x:1000:1000::/home/bob:/bin/sh\n\
                      eve:x:1001:1001::/home/eve:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbob:x:1000:\neve:x:1001:\nwheel:x:10:bob\nusers:x:100:bob,eve\n";

/// `sshd_config`, and files beside it, of which `sshd -T` may think otherwise.
const CONFIGS: &[(&str, &[(&str, &str)])] = &[
    ("", &[]),
    ("PermitRootLogin yes\nPermitRootLogin no\n", &[]),
    ("permitrootlogin=without-password\nPasswordAuthentication = no\n", &[]),
    ("PermitRootLogin \"forced-commands-only\" # why\nUsePAM yes\n", &[]),
    ("ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\n", &[]),
    ("PasswordAuthentication no\nMatch User bob\nPasswordAuthentication yes\n", &[]),
    (
        "Match User bob\n PasswordAuthentication no\nMatch User b*\n PasswordAuthentication yes\n",
        &[],
    ),
    ("Match User !bob,*\n PermitEmptyPasswords yes\n PubkeyAuthentication no\n", &[]),
    (
        "Match Group wheel\nPermitRootLogin no\nAllowUsers a* bob\nMatch all\nPermitRootLogin yes\n",
        &[],
    ),
    ("Match Group wheel,!users\nPubkeyAuthentication no\n", &[]),
    ("Match User root Group root\nPasswordAuthentication no\n", &[]),
    ("Match User=bob Group=\"wh*\"\nPasswordAuthentication no\n", &[]),
    ("Match User bob\nMatch All\nKbdInteractiveAuthentication no\n", &[]),
    (
        "AllowUsers bob eve@10.*\nAllowUsers root\nDenyUsers x y\nAllowGroups a\nDenyGroups b c\n",
        &[],
    ),
    ("AllowUsers bob\nMatch User bob\nAllowUsers eve\nDenyGroups wheel\n", &[]),
    ("AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\nStrictModes no\n", &[]),
    ("AuthorizedKeysFile none\nAuthorizedKeysFile .ssh/x\n", &[]),
    ("AuthenticationMethods publickey,password publickey,keyboard-interactive:pam\n", &[]),
    ("Match User eve\nAuthenticationMethods password\nAuthorizedKeysFile %h/k\n", &[]),
    ("Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n", &[]),
    ("ForceCommand internal-sftp -l INFO\nMatch User bob\nForceCommand none\n", &[]),
    ("Match User eve\nForceCommand /bin/a \"b c\"\nChrootDirectory /srv/%u\n", &[]),
    ("ChrootDirectory none\nRevokedKeys /etc/revoked\nMatch User bob\nRevokedKeys none\n", &[]),
    ("PubkeyAcceptedKeyTypes rsa-sha2-256,rsa-sha2-512\n", &[]),
    ("Match User bob\nPubkeyAcceptedAlgorithms ssh-ed25519\n", &[]),
    ("ListenAddress 127.0.0.1\nListenAddress [::1]:2222\n", &[]),
    ("ListenAddress 127.0.0.1\nListenAddress 0.0.0.0\n", &[]),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\nUsePAM no\n",
        &[
            ("10-a.conf", "PermitRootLogin yes\n"),
            ("20-b.conf", "PermitRootLogin no\nUsePAM yes\n"),
        ],
    ),
    (
        "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n",
        &[
            ("10-a.conf", "Match User bob\nPubkeyAuthentication no\n"),
            (".hidden.conf", "UsePAM yes\n"),
        ],
    ),
    (
        "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n",
        &[("a.conf", "PasswordAuthentication yes\nMatch all\nPubkeyAuthentication no\n")],
    ),
    (
        "Include /etc/ssh/sshd_config.d/?.conf /etc/ssh/sshd_config.d/bb.conf\n",
        &[
            ("a.conf", "PermitRootLogin yes\n"),
            ("bb.conf", "UsePAM yes\n"),
            ("cc.conf", "StrictModes no\n"),
        ],
    ),
];

fn openssh() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openssh");
    assert!(folder.is_dir(), "{} is missing: tests/run fetches it", folder.display());
    folder
}

/// A file below a folder whose name begins so.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = below(&path, name) {
                return Some(found);
            }
        } else if entry.file_name().to_string_lossy().starts_with(name) {
            return Some(path);
        }
    }
    None
}

/// Runs a script where one may be root and mount, with nothing of it left.
fn apart(script: &str, environment: &[(&str, &str)]) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .envs(environment.iter().copied())
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("unshare (package util-linux) cannot be run: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// sshd of Debian's package, its accounts, and a host key for it.
struct Judge {
    package: PathBuf,
    folder: tempfile::TempDir,
}

impl Judge {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        oracle::succeed(
            "ssh-keygen",
            "openssh-client",
            &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
        );
        for (name, content) in [("passwd", PASSWD), ("group", GROUP)] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        Self { package: openssh(), folder }
    }

    /// How it is called.
    fn sshd(&self) -> String {
        let library =
            below(&self.package, "libnss_wrapper.so").expect("libnss-wrapper is unpacked");
        format!(
            "LD_PRELOAD={} {}/usr/sbin/sshd -h {}",
            library.display(),
            self.package.display(),
            self.folder.path().join("key").display(),
        )
    }

    /// What a script says in which it is called.
    fn said(&self, script: &str) -> String {
        let wrap = below(&self.package, "libwrap.so").expect("libwrap0 is unpacked");
        apart(
            script,
            &[
                ("LD_LIBRARY_PATH", wrap.parent().unwrap().to_str().unwrap()),
                ("NSS_WRAPPER_PASSWD", self.folder.path().join("passwd").to_str().unwrap()),
                ("NSS_WRAPPER_GROUP", self.folder.path().join("group").to_str().unwrap()),
            ],
        )
    }
}

#[test]
fn its_configuration_says_what_sshd_itself_reads_of_it() {
    let judge = Judge::new();
    let folder = &judge.folder;
    let sshd = judge.sshd();
    let users = ["root", "bob", "eve"];
    let mut script =
        String::from("mount -t tmpfs tmpfs /run && mkdir /run/sshd || exit 1\nset -e\n");
    for (number, (main, beside)) in CONFIGS.iter().enumerate() {
        let tree = folder.path().join(number.to_string());
        let ssh = tree.join("etc/ssh");
        fs::create_dir_all(ssh.join("sshd_config.d")).unwrap();
        fs::write(ssh.join("sshd_config"), main).unwrap();
        let here = |text: &str| {
            text.replace("Include /etc", &format!("Include {}/etc", tree.display())).replace(
                " /etc/ssh/sshd_config.d",
                &format!(" {}/etc/ssh/sshd_config.d", tree.display()),
            )
        };
        fs::write(tree.join("asked"), here(main)).unwrap();
        for (name, content) in *beside {
            fs::write(ssh.join("sshd_config.d").join(name), content).unwrap();
        }
        for user in users {
            script += &format!(
                "echo '== {number} {user}'\n{sshd} -T -C user={user},host=h,addr=1.2.3.4 -f {}/asked\n",
                tree.display(),
            );
        }
    }
    let said = judge.said(&script);
    let answers: Vec<&str> = said.split("== ").skip(1).collect();
    assert_eq!(answers.len(), CONFIGS.len() * users.len());
    for (at, theirs) in answers.into_iter().enumerate() {
        let (number, user) = (at / users.len(), users[at % users.len()]);
        let tree = folder.path().join(number.to_string());
        let fs = Arc::new(Directory::open(&tree).unwrap());
        let tree = Tree::single(VolumeId("host".into()), fs);
        let config = SshdConfig::read(&tree, &path("/etc/ssh/sshd_config"), &[]).unwrap();
        let groups: &[&str] = match user {
            "root" => &["root"],
            "bob" => &["bob", "wheel", "users"],
            _ => &["eve", "users"],
        };
        let groups: Vec<String> = groups.iter().map(|it| (*it).to_owned()).collect();
        let ours = config.effective(Who { user, groups: &groups });
        assert_eq!(ours.len(), 1, "{:?}", CONFIGS[number]);
        let ours = &ours[0];
        let values = |key: &str| -> Vec<String> {
            let lines = theirs.lines().filter_map(|it| it.strip_prefix(key)?.strip_prefix(' '));
            lines.flat_map(|it| it.split(' ').map(str::to_owned)).collect()
        };
        let flag = |key: &str| values(key) == ["yes"];
        let told = format!("{:?} {user}", CONFIGS[number]);
        let root = values("permitrootlogin")[0].replace("without-password", "prohibit-password");
        assert_eq!(ours.permit_root, root, "{told}");
        assert_eq!(ours.password, flag("passwordauthentication"), "{told}");
        assert_eq!(ours.keyboard_interactive, flag("kbdinteractiveauthentication"), "{told}");
        assert_eq!(ours.pubkey, flag("pubkeyauthentication"), "{told}");
        assert_eq!(ours.empty_passwords, flag("permitemptypasswords"), "{told}");
        assert_eq!(ours.use_pam, flag("usepam"), "{told}");
        assert_eq!(ours.strict_modes, flag("strictmodes"), "{told}");
        let mut files = values("authorizedkeysfile");
        files.retain(|it| it != "none");
        assert_eq!(ours.key_files, files, "{told}");
        assert_eq!(ours.allow_users, values("allowusers"), "{told}");
        assert_eq!(ours.deny_users, values("denyusers"), "{told}");
        assert_eq!(ours.allow_groups, values("allowgroups"), "{told}");
        assert_eq!(ours.deny_groups, values("denygroups"), "{told}");
        let one = |key: &str| Some(values(key).join(" ")).filter(|it| it != "none");
        assert_eq!(
            ours.force_command.clone().map(|it| it.replace('"', "")),
            one("forcecommand").map(|it| it.replace('"', "")),
            "{told}"
        );
        assert_eq!(ours.chroot, one("chrootdirectory"), "{told}");
        assert_eq!(ours.revoked_keys, one("revokedkeys"), "{told}");
        if let Some(list) = &ours.key_algorithms {
            assert_eq!(Some(list), one("pubkeyacceptedalgorithms").as_ref(), "{told}");
        }
        let own = |it: &String| it.starts_with("127.") || it.starts_with("[::1]");
        assert_eq!(config.listens_to_itself(), values("listenaddress").iter().all(own), "{told}");
        let mut methods = values("authenticationmethods");
        methods.retain(|it| it != "any");
        assert_eq!(ours.methods, methods, "{told}");
    }
}

/// Settings that sshd starts with or not.
const STARTS: &[&str] = &[
    "Nonsense yes",
    "UsePAM yes\n# fine\nCiphersFoo x",
    "PermitRootLogin maybe",
    "PermitRootLogin true",
    "PermitRootLogin WITHOUT-password",
    "PermitRootLogin Yes",
    "PasswordAuthentication YES",
    "PasswordAuthentication true",
    "PasswordAuthentication on",
    "PasswordAuthentication",
    "PasswordAuthentication yes no",
    "PasswordAuthentication yes # why",
    "PasswordAuthentication \"yes",
    "UsePAM yes\nUsePAM maybe",
    "UsePAM = yes",
    "UsePAM=\"yes\"",
    "StrictModes 1",
    "KbdInteractiveAuthentication no\nChallengeResponseAuthentication maybe",
    "SkeyAuthentication no",
    "PermitEmptyPasswords x",
    "PubkeyAuthentication x",
    "Match User bob\nNonsense yes",
    "Match User bob\nUsePAM no",
    "Match User nobody\nPort 22",
    "Match all\nUsePAM no",
    "Match User bob\nMatch all\nUsePAM no",
    "Match User bob\nPasswordAuthentication maybe",
    "Match User bob\nPasswordAuthentication no\nAllowUsers bob\nX11Forwarding no",
    "Match",
    "Match User",
    "Match Foo bar",
    "Match all User x",
    "Port 0",
    "Port 99999",
    "Port ssh",
    "Port abc",
    "MaxAuthTries 0",
    "MaxAuthTries -1",
    "MaxAuthTries x",
    "MaxSessions 0",
    "MaxStartups 0",
    "MaxStartups 10:30:5",
    "MaxStartups 10:0:20",
    "MaxStartups 10:30",
    "MaxStartups 10:30:100",
    "MaxStartups 5",
    "LoginGraceTime 0",
    "RSAAuthentication yes",
    "Protocol 2",
    "UsePrivilegeSeparation yes",
    "KeepAlive yes",
    "GSSAPIKeyExchange yes",
    "KerberosGetAFSToken no",
    "DebianBanner no",
    "AllowUsers",
    "Include",
    "Include /nowhere/*",
    "AddressFamily ipv4",
    "AddressFamily inet",
    "LogLevel FOO",
    "LogLevel debug3",
    "SyslogFacility LOCAL7",
    "SyslogFacility LOCAL8",
    "AllowTcpForwarding maybe",
    "AllowTcpForwarding remote",
    "GatewayPorts clientspecified",
    "Compression delayed",
    "PermitTTY maybe",
    "UseDNS 7",
    "= x",
    "\tPort 22",
    "PermitRootLogin yes\r",
];

#[test]
fn what_sshd_does_not_start_with_is_known_by_its_line() {
    let judge = Judge::new();
    let folder = &judge.folder;
    let trees: Vec<PathBuf> =
        (0..STARTS.len()).map(|it| folder.path().join(it.to_string())).collect();
    let mut script = String::from("mount -t tmpfs tmpfs /run && mkdir /run/sshd || exit 1\n");
    script += &format!("sshd() {{ {} \"$@\" 2>&1; echo \"rc $?\"; }}\n", judge.sshd());
    let config = |tree: &Path| tree.join("etc/ssh/sshd_config");
    for (tree, text) in trees.iter().zip(STARTS) {
        fs::create_dir_all(tree.join("etc/ssh")).unwrap();
        fs::write(config(tree), format!("{text}\n")).unwrap();
        script += &format!("echo '== '; sshd -t -f {}\n", config(tree).display());
    }
    script += "echo '== '; sshd -T -f /dev/null\n";
    let said = judge.said(&script);
    let answers: Vec<&str> = said.split("== ").skip(1).collect();
    assert_eq!(answers.len(), STARTS.len() + 1);
    let refused = |tree: &Path| {
        let fs = Arc::new(Directory::open(tree).unwrap());
        let tree = Tree::single(VolumeId("host".into()), fs);
        SshdConfig::read(&tree, &path("/etc/ssh/sshd_config"), &[]).unwrap().refused
    };
    let mut both = [0, 0];
    for ((tree, text), theirs) in trees.iter().zip(STARTS).zip(&answers) {
        let ours = refused(tree);
        let starts = theirs.contains("rc 0\n");
        assert!(starts || theirs.contains("rc 255\n"), "{text}: {theirs}");
        assert_eq!(ours.is_none(), starts, "{text:?}: {ours:?}: {theirs}");
        both[usize::from(starts)] += 1;
        if let Some(ours) = ours {
            // The last line of each is the one that is wrong.
            let last = format!("/etc/ssh/sshd_config line {}: ", text.lines().count());
            assert!(ours.starts_with(&last), "{text:?}: {ours}: {theirs}");
        }
    }
    assert!(both[0] > 30 && both[1] > 25, "{both:?}");
    // Every keyword that it has a value of is one to us.
    let shown = answers[STARTS.len()];
    let keys: std::collections::BTreeSet<&str> =
        shown.lines().filter_map(|it| it.split_once(' ')).map(|it| it.0).collect();
    let keys: Vec<&str> = keys.into_iter().filter(|it| *it != "rc").collect();
    assert!(keys.len() > 60, "{shown}");
    for key in keys {
        let tree = folder.path().join(format!("key-{key}"));
        fs::create_dir_all(tree.join("etc/ssh")).unwrap();
        fs::write(config(&tree), format!("{key} x\n")).unwrap();
        let ours = refused(&tree).unwrap_or_default();
        assert!(!ours.contains("unknown keyword"), "{ours}");
    }
}
