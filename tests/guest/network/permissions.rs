//! What systemd-networkd may read as the user that it runs as.

use super::{Spec, told};
use crate::guest::single;

const RULES: &str = "/usr/lib/udev/rules.d/80-net-setup-link.rules = x";
const DAEMON: &str = "/usr/lib/systemd/systemd-networkd = x";
const PASSWD: &str = "/etc/passwd = systemd-network:x:998:997::/:/usr/sbin/nologin";
const GROUP: &str = "/etc/group = systemd-network:x:997:\nnet:x:50:a,systemd-network\n";
const DHCP: &str = "/etc/systemd/network/10-a.network = [Match]\nName=e*\n[Network]\nDHCP=yes\n";

const FILE: &str = "/etc/systemd/network/10-a.network";

/// The verdict where paths have these owners and modes.
fn with(files: &[&str], owned: &[(&str, u32, u32, u16)]) -> String {
    let spec = Spec { files, starts: &["systemd-networkd.service"], ..Spec::default() };
    let mut fs = spec.memory();
    for (path, uid, gid, mode) in owned {
        fs = fs.owned(path, *uid, *gid, *mode);
    }
    told(&spec.read(&single(fs)))
}

#[test]
fn a_file_that_networkd_cannot_read_brings_nothing_up() {
    let files = [RULES, DAEMON, PASSWD, GROUP, DHCP];
    let up = "up: systemd-networkd (/etc/systemd/network/10-a.network): DHCP on e*";
    for (uid, gid, mode, takes) in [
        (0, 0, 0o644, true),
        (0, 0, 0o600, false),
        (0, 0, 0o640, false),
        (0, 997, 0o640, true),
        (0, 50, 0o640, true),
        (0, 51, 0o640, false),
        (998, 0, 0o400, true),
        // Whose file it is has its own bits alone.
        (998, 997, 0o044, false),
        (0, 997, 0o604, false),
    ] {
        let words = with(&files, &[(FILE, uid, gid, mode)]);
        if takes {
            assert_eq!(words, up, "{uid}:{gid} {mode:o}");
        } else {
            assert!(words.starts_with("nothing: "), "{uid}:{gid} {mode:o}: {words}");
            let place = format!("(mode {mode:04o} of {uid}:{gid})");
            assert!(
                words.contains("the user systemd-network") && words.contains(&place),
                "{words}"
            );
        }
    }
    for (mode, takes) in [(0o755, true), (0o700, false), (0o711, false), (0o754, false)] {
        let words = with(&files, &[("/etc/systemd/network", 0, 0, mode)]);
        assert_eq!(words == up, takes, "{mode:o}: {words}");
        assert!(takes || words.contains("/etc/systemd/network keeps out the user"), "{words}");
    }
    let words = with(&files, &[("/etc/systemd", 0, 0, 0o711)]);
    assert_eq!(words, up, "a folder above need not be listed");
    assert!(with(&files, &[("/etc/systemd", 0, 0, 0o700)]).starts_with("nothing: "));
}

#[test]
fn the_next_file_counts_where_one_cannot_be_read() {
    let other =
        "/etc/systemd/network/20-b.network = [Match]\nName=e*\n[Network]\nAddress=192.0.2.1/24\n";
    let files = [RULES, DAEMON, PASSWD, GROUP, DHCP, other];
    let words = with(&files, &[(FILE, 0, 0, 0o600)]);
    assert!(
        words.starts_with("up: systemd-networkd (/etc/systemd/network/20-b.network)"),
        "{words}"
    );
    let words = with(&files, &[]);
    assert!(!words.contains("cannot"), "{words}");
    // A drop-in is read with its file, or neither is.
    let drop_in = "/etc/systemd/network/10-a.network.d/x.conf = [Network]\nDHCP=yes\n";
    let files = [RULES, DAEMON, PASSWD, GROUP, DHCP, drop_in];
    let at = "/etc/systemd/network/10-a.network.d/x.conf";
    assert!(with(&files, &[]).starts_with("up: "));
    let words = with(&files, &[(at, 0, 0, 0o600)]);
    assert!(words.starts_with("nothing: ") && words.contains(at), "{words}");
    // A bridge that is not made.
    let files = [
        RULES,
        DAEMON,
        PASSWD,
        GROUP,
        "/etc/systemd/network/a.netdev = [NetDev]\nName=br0\nKind=bridge\n",
        "/etc/systemd/network/b.network = [Match]\nName=e*\n[Network]\nBridge=br0\n",
        "/etc/systemd/network/c.network = [Match]\nName=br0\n[Network]\nDHCP=yes\n",
    ];
    let at = "/etc/systemd/network/a.netdev";
    assert!(with(&files, &[]).starts_with("up: "), "{}", with(&files, &[]));
    let words = with(&files, &[(at, 0, 0, 0o600)]);
    assert!(
        words.starts_with("nothing: ") && words.contains("a.netdev, which makes br0: "),
        "{words}"
    );
}
