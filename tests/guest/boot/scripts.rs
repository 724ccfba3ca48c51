//! OpenRC, SysV and runit.

use sysprep_rs::guest::boot::{default_runlevel, openrc_runlevel, runit_directory, sysv_directory};

use super::GuestDir;

#[test]
fn openrc_starts_what_its_runlevels_hold() {
    let guest = GuestDir::new()
        .script("/etc/init.d/sshd")
        .script("/etc/init.d/hostname")
        .script("/etc/init.d/stacked")
        .script("/etc/init.d/idle")
        .script("/etc/init.d/dropbear")
        .file("/etc/init.d/plain", "")
        .link("/etc/runlevels/default/sshd", "/etc/init.d/sshd")
        .link("/etc/runlevels/boot/hostname", "/etc/init.d/hostname")
        .link("/etc/runlevels/default/plain", "/etc/init.d/plain")
        .link("/etc/runlevels/default/gone", "/etc/init.d/gone")
        .link("/etc/runlevels/shutdown/idle", "/etc/init.d/idle")
        .link("/etc/runlevels/default/more", "/etc/runlevels/more")
        .link("/etc/runlevels/more/stacked", "/etc/init.d/stacked")
        .link("/etc/runlevels/more/default", "/etc/runlevels/default");
    let tree = guest.tree();
    for (script, level) in [
        ("sshd", Some("default")),
        ("hostname", Some("boot")),
        ("stacked", Some("more")),
        ("idle", None),
        ("dropbear", None),
        ("plain", None),
        ("gone", None),
        ("../sshd", None),
        ("", None),
    ] {
        assert_eq!(openrc_runlevel(&tree, script).unwrap().as_deref(), level, "{script}");
    }
}

#[test]
fn sysv_starts_the_links_of_its_default_runlevel() {
    let guest = GuestDir::new()
        .file(
            "/etc/inittab",
            "# id:5:initdefault:\nid:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\n",
        )
        .script("/etc/init.d/ssh")
        .script("/etc/init.d/networking")
        .script("/etc/init.d/other")
        .file("/etc/init.d/plain", "")
        .link("/etc/rc2.d/S01ssh", "../init.d/ssh")
        .link("/etc/rc2.d/K01other", "../init.d/other")
        .link("/etc/rc3.d/S01other", "../init.d/other")
        .link("/etc/rc2.d/S01plain", "../init.d/plain")
        .link("/etc/rcS.d/S05networking", "../init.d/networking");
    let tree = guest.tree();
    for (script, dir) in [
        ("ssh", Some("rc2.d")),
        ("networking", Some("rcS.d")),
        ("other", None),
        ("plain", None),
        ("none", None),
    ] {
        assert_eq!(sysv_directory(&tree, script).unwrap().as_deref(), dir, "{script}");
    }
    assert_eq!(default_runlevel(&tree).unwrap(), Some('2'));
    let guest = guest.file("/etc/inittab", "id:3:initdefault:\n");
    assert_eq!(sysv_directory(&guest.tree(), "other").unwrap().as_deref(), Some("rc3.d"));
    assert_eq!(sysv_directory(&guest.tree(), "ssh").unwrap(), None);
}

#[test]
fn runit_starts_what_its_directory_holds_and_no_down_file_keeps() {
    let guest = GuestDir::new()
        .script("/etc/sv/sshd/run")
        .script("/etc/sv/off/run")
        .file("/etc/sv/off/down", "")
        .file("/etc/sv/plain/run", "")
        .link("/etc/runit/runsvdir/current", "default")
        .link("/etc/runit/runsvdir/default/sshd", "/etc/sv/sshd")
        .link("/etc/runit/runsvdir/default/off", "/etc/sv/off")
        .link("/etc/runit/runsvdir/default/plain", "/etc/sv/plain")
        .script("/etc/sv/dhcpcd/run");
    let tree = guest.tree();
    let dir = |service| runit_directory(&tree, service).unwrap().map(|it| it.to_string());
    assert_eq!(dir("sshd").as_deref(), Some("/etc/runit/runsvdir/current"));
    for service in ["off", "plain", "dhcpcd", "none", "a/b"] {
        assert_eq!(dir(service), None, "{service}");
    }
}
