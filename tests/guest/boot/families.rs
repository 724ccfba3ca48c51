//! The SSH units of the families, cut down to the settings that decide, each with what is started.

use super::{ETC, GuestDir, LIB};

const MULTI: &str = "default.target multi-user.target";

/// Fedora, RHEL and their kin.
fn fedora() -> GuestDir {
    GuestDir::systemd()
        .unit(
            "sshd.service",
            "[Unit]\nAfter=network.target sshd-keygen.target\nWants=sshd-keygen.target\n\
            [Service]\nType=notify\nExecStart=/usr/sbin/sshd -D\n[Install]\nWantedBy=multi-user.target\n",
        )
        .unit(
            "sshd.socket",
            "[Unit]\nConflicts=sshd.service\n[Socket]\nListenStream=22\nAccept=yes\n\
            [Install]\nWantedBy=sockets.target\n",
        )
        .unit("sshd@.service", "[Unit]\nWants=sshd-keygen.target\nAfter=sshd-keygen.target\n")
        .unit(
            "sshd-keygen.target",
            "[Unit]\nWants=sshd-keygen@rsa.service\nWants=sshd-keygen@ecdsa.service\n\
            Wants=sshd-keygen@ed25519.service\nPartOf=sshd.service\n",
        )
        .unit(
            "sshd-keygen@.service",
            "[Unit]\nConditionFileNotEmpty=|!/etc/ssh/ssh_host_%i_key\n\
            [Service]\nType=oneshot\nExecStart=/usr/libexec/openssh/sshd-keygen %i\n\
            [Install]\nWantedBy=sshd-keygen.target\n",
        )
        .dir("/etc/ssh")
}

#[test]
fn fedora_makes_the_keys_that_are_missing() {
    let guest = fedora().wanted("multi-user.target", "sshd.service");
    guest.agrees();
    let way = format!("{MULTI} sshd.service sshd-keygen.target sshd-keygen@");
    assert_eq!(guest.way("sshd-keygen@*.service"), format!("{way}rsa.service"));
    assert_eq!(guest.way("sshd-keygen@ecdsa.service"), format!("{way}ecdsa.service"));
    let guest = guest.file("/etc/ssh/ssh_host_rsa_key", "a key");
    assert!(guest.way("sshd-keygen@rsa.service").contains("Condition(["));
    assert_eq!(guest.way("sshd-keygen@ed25519.service"), format!("{way}ed25519.service"));
}

#[test]
fn fedora_leaves_the_keys_to_cloud_init_where_that_runs() {
    let drop_in =
        format!("{ETC}/sshd-keygen@.service.d/disable-sshd-keygen-if-cloud-init-active.conf");
    let condition = "ConditionPathExists=!/run/systemd/generator.early/multi-user.target.wants/cloud-init.target";
    let guest = fedora()
        .wanted("multi-user.target", "sshd.service")
        .file(drop_in, format!("[Unit]\n{condition}\n"));
    guest.agrees();
    let way = format!("{MULTI} sshd.service sshd-keygen.target sshd-keygen@rsa.service");
    assert_eq!(guest.way("sshd-keygen@rsa.service"), format!("{way} [{condition}]"));
}

#[test]
fn a_connection_starts_what_the_instance_of_a_socket_wants() {
    let guest = fedora().wanted("sockets.target", "sshd.socket");
    guest.agrees();
    let way = "default.target multi-user.target basic.target sockets.target sshd.socket";
    assert_eq!(guest.way("sshd@*.service"), format!("{way} -sshd@.service"));
    assert_eq!(
        guest.way("sshd-keygen@rsa.service"),
        format!("{way} -sshd@.service sshd-keygen.target sshd-keygen@rsa.service")
    );
    assert_eq!(guest.way("sshd.service"), "NotPulled");
}

#[test]
fn a_mask_stops_what_it_masks_and_what_requires_it() {
    let enabled = || fedora().wanted("multi-user.target", "sshd.service");
    let guest = enabled().link(format!("{ETC}/sshd-keygen.target"), "/dev/null");
    guest.agrees();
    assert_eq!(guest.way("sshd-keygen.target"), format!("Masked({ETC}/sshd-keygen.target)"));
    assert_eq!(guest.way("sshd-keygen@rsa.service"), "NotPulled");
    assert_eq!(guest.way("sshd.service"), format!("{MULTI} sshd.service"));
    let guest = enabled().file(format!("{ETC}/sshd-keygen@rsa.service"), "");
    guest.agrees();
    assert_eq!(
        guest.way("sshd-keygen@rsa.service"),
        format!("Masked({ETC}/sshd-keygen@rsa.service)")
    );
    assert!(guest.way("sshd-keygen@*.service").ends_with("sshd-keygen@ecdsa.service"));
    let guest = enabled()
        .file(format!("{ETC}/sshd.service.d/need.conf"), "[Unit]\nRequires=sshd-keygen.target\n")
        .link(format!("{ETC}/sshd-keygen.target"), "/dev/null");
    guest.agrees();
    assert_eq!(guest.way("sshd.service"), "Requires(\"sshd-keygen.target\")");
}

#[test]
fn suse_starts_its_script_from_the_service_itself() {
    let guest = GuestDir::systemd()
        .unit(
            "sshd.service",
            "[Service]\nType=notify\nExecStartPre=/usr/sbin/sshd-gen-keys-start\n\
            ExecStartPre=/usr/sbin/sshd -t $SSHD_OPTS\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n\
            [Install]\nWantedBy=multi-user.target\n",
        )
        .wanted("multi-user.target", "sshd.service");
    guest.agrees();
    assert_eq!(guest.way("sshd.service"), format!("{MULTI} sshd.service"));
    let tree = guest.tree();
    let units = sysprep_rs::guest::boot::Units::new(&tree).unwrap();
    let sysprep_rs::guest::boot::Loaded::Unit(unit) = units.unit("sshd.service").unwrap() else {
        panic!("no sshd.service");
    };
    assert_eq!(
        unit.settings.list("Service", "ExecStartPre"),
        ["/usr/sbin/sshd-gen-keys-start", "/usr/sbin/sshd -t $SSHD_OPTS"]
    );
    assert_eq!(unit.fragment.to_string(), format!("{LIB}/sshd.service"));
}

#[test]
fn arch_wants_its_unit_of_keys() {
    let conditions: String = ["rsa", "ecdsa", "ed25519"]
        .map(|kind| format!("ConditionPathExists=|!/etc/ssh/ssh_host_{kind}_key\n"))
        .concat();
    let guest = GuestDir::systemd()
        .unit(
            "sshd.service",
            "[Unit]\nWants=sshdgenkeys.service\nAfter=sshdgenkeys.service\n\
            [Install]\nWantedBy=multi-user.target\n",
        )
        .unit(
            "sshdgenkeys.service",
            &format!(
                "[Unit]\n{conditions}[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n"
            ),
        )
        .wanted("multi-user.target", "sshd.service")
        .file("/etc/ssh/ssh_host_rsa_key", "a key");
    guest.agrees();
    // One missing key is enough.
    assert_eq!(
        guest.way("sshdgenkeys.service"),
        format!("{MULTI} sshd.service sshdgenkeys.service")
    );
    let guest = guest
        .file("/etc/ssh/ssh_host_ecdsa_key", "a key")
        .file("/etc/ssh/ssh_host_ed25519_key", "a key");
    assert!(guest.way("sshdgenkeys.service").starts_with("Condition(["));
}

/// Debian 12: no unit makes keys.
fn bookworm() -> GuestDir {
    let condition = "[Unit]\nConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n";
    GuestDir::systemd()
        .unit(
            "ssh.service",
            &format!("{condition}[Service]\nExecStart=/usr/sbin/sshd -D\n[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n"),
        )
        .unit(
            "ssh.socket",
            &format!("{condition}Before=sockets.target\n[Socket]\nListenStream=22\nAccept=no\n[Install]\nWantedBy=sockets.target\n"),
        )
        .unit("rescue-ssh.target", "[Unit]\nRequires=network-online.target ssh.service\n")
}

#[test]
fn debian_goes_by_either_name_and_by_its_socket() {
    let guest = bookworm()
        .link(
            format!("{ETC}/multi-user.target.wants/ssh.service"),
            "/lib/systemd/system/ssh.service",
        )
        .link(format!("{ETC}/sshd.service"), "/lib/systemd/system/ssh.service");
    guest.agrees();
    assert_eq!(guest.way("ssh.service"), format!("{MULTI} ssh.service"));
    assert_eq!(guest.way("sshd.service"), format!("{MULTI} ssh.service"));
    let guest = bookworm().wanted("sockets.target", "ssh.socket");
    guest.agrees();
    let way =
        "default.target multi-user.target basic.target sockets.target ssh.socket -ssh.service";
    assert_eq!(guest.way("ssh.service"), way);
    let guest = guest.file("/etc/ssh/sshd_not_to_be_run", "");
    assert_eq!(guest.way("ssh.service"), "NotPulled");
    assert!(guest.way("ssh.socket").starts_with("Condition(["));
}

#[test]
fn debian_13_makes_keys_at_a_first_boot_only() {
    let guest = |id: Option<&str>| {
        let guest = bookworm()
            .unit(
                "sshd-keygen.service",
                "[Unit]\nConditionFirstBoot=yes\nConditionPathIsReadWrite=/etc/ssh\n\
                ConditionPathIsSymbolicLink=!/etc/ssh\nBefore=ssh.service\n\
                [Service]\nType=oneshot\nExecStart=ssh-keygen -A\n\
                [Install]\nWantedBy=ssh.service sshd.service sshd@.service ssh.socket\n",
            )
            .wanted("multi-user.target", "ssh.service")
            .wanted("ssh.service", "sshd-keygen.service")
            .wanted("ssh.socket", "sshd-keygen.service")
            .file("/usr/lib/systemd/system-preset/90.preset", "disable *\n")
            .dir("/etc/ssh");
        std::fs::remove_file(guest.host("/etc/machine-id")).unwrap();
        match id {
            Some(id) => guest.file("/etc/machine-id", id),
            None => guest,
        }
    };
    guest(None).agrees();
    let way =
        format!("{MULTI} ssh.service sshd-keygen.service [ConditionPathIsReadWrite=/etc/ssh]");
    assert_eq!(guest(None).way("sshd-keygen.service"), way);
    assert_eq!(guest(Some("uninitialized\n")).way("sshd-keygen.service"), way);
    // An empty file makes a new id, and is no first boot.
    for id in ["", "0123456789abcdef0123456789abcdef\n"] {
        let why = guest(Some(id)).way("sshd-keygen.service");
        assert!(why.starts_with("Condition([") && why.contains("FirstBoot"), "{id:?}: {why}");
    }
}

#[test]
fn ubuntu_starts_ssh_by_its_socket_and_its_alias() {
    let guest = bookworm()
        .file(
            format!("{LIB}/ssh.service.d/00-socket.conf"),
            "[Unit]\nRequires=ssh.socket\nAfter=ssh.socket\n",
        )
        .wanted("sockets.target", "ssh.socket")
        .link(format!("{ETC}/ssh.service.requires/ssh.socket"), format!("{LIB}/ssh.socket"));
    guest.agrees();
    let way =
        "default.target multi-user.target basic.target sockets.target ssh.socket -ssh.service";
    assert_eq!(guest.way("ssh.service"), way);
}

#[test]
fn photon_and_flatcar_have_a_unit_of_their_own() {
    let conditions: String = ["rsa", "ecdsa", "ed25519"]
        .map(|kind| format!("ConditionPathExists=|!/etc/ssh/ssh_host_{kind}_key\n"))
        .concat();
    let service = "[Unit]\nAfter=sshd-keygen.service\n[Install]\nWantedBy=multi-user.target\n";
    let photon = GuestDir::systemd()
        .unit("sshd.service", service)
        .unit(
            "sshd-keygen.service",
            &format!(
                "[Unit]\n{conditions}Before=sshd.service\n[Install]\nWantedBy=multi-user.target\n"
            ),
        )
        .wanted("multi-user.target", "sshd.service");
    photon.agrees();
    // `After=` alone starts nothing.
    assert_eq!(photon.way("sshd-keygen.service"), "NotPulled");
    let photon = photon.wanted("multi-user.target", "sshd-keygen.service");
    photon.agrees();
    assert_eq!(photon.way("sshd-keygen.service"), format!("{MULTI} sshd-keygen.service"));
    let flatcar = GuestDir::systemd()
        .unit("sshd-keygen.service", "[Unit]\nBefore=sshd.service\n[Service]\nType=oneshot\n")
        .link(
            format!("{LIB}/multi-user.target.wants/sshd-keygen.service"),
            "../sshd-keygen.service",
        );
    flatcar.agrees();
    assert_eq!(flatcar.way("sshd-keygen.service"), format!("{MULTI} sshd-keygen.service"));
}
