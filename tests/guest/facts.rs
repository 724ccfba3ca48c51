//! What guests are, from the files that each distribution has.

use sysprep_rs::guest::{Facts, Family, Init, MachineId, Packages, SelinuxMode};

use super::memory::MemoryFs;
use super::mounts::guests;
use super::path;

/// The start of a program for a machine.
fn program(machine: u8) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(64, 0);
    header[18] = machine;
    header
}

/// A system with /bin, /sbin and /lib in /usr.
fn merged(machine: u8) -> MemoryFs {
    MemoryFs::new()
        .link("/bin", "usr/bin")
        .link("/sbin", "usr/sbin")
        .link("/lib", "usr/lib")
        .file("/usr/bin/bash", program(machine))
        .link("/usr/bin/sh", "bash")
        .dir("/usr/sbin")
}

fn facts(fs: MemoryFs) -> Facts {
    let found = guests(vec![fs]);
    let [guest] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(guest.notes, [""; 0]);
    let facts = guest.facts.clone();
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts, "{json}");
    facts
}

fn like(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

#[test]
fn debian() {
    let facts = facts(
        merged(62)
            .file(
                "/usr/lib/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                 VERSION_ID=\"12\"\nID=debian\n",
            )
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/etc/debian_version", "12.5\n")
            .file("/etc/hostname", "debian\n")
            .file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("/var/lib/dpkg/status", "")
            .file("/usr/lib/systemd/systemd", program(62))
            .link("/usr/sbin/init", "../lib/systemd/systemd")
            .file("/boot/vmlinuz-6.1.0-18-amd64", "")
            .dir("/usr/lib/modules/6.1.0-18-amd64"),
    );
    assert_eq!(
        facts,
        Facts {
            family: Family::Linux,
            distro: Some("debian".into()),
            like: vec![],
            version: Some("12".into()),
            name: Some("Debian GNU/Linux 12 (bookworm)".into()),
            hostname: Some("debian".into()),
            architecture: Some("x86_64".into()),
            package_manager: Some(Packages::Dpkg),
            init: Some(Init::Systemd),
            kernels: like(&["6.1.0-18-amd64"]),
            cloud_init: false,
            machine_id: MachineId::Set,
            selinux: None,
        }
    );
}

#[test]
fn debian_unstable_has_its_version_elsewhere() {
    let facts = facts(
        merged(62)
            .file("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\nID=debian\n")
            .file("/etc/debian_version", "trixie/sid\n"),
    );
    assert_eq!(facts.version.as_deref(), Some("trixie/sid"));
}

#[test]
fn ubuntu_cloud_image() {
    let facts = facts(
        merged(183)
            .file(
                "/usr/lib/os-release",
                "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n",
            )
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/etc/fstab", "")
            .file("/var/lib/dpkg/status", "")
            .file("/usr/lib/systemd/systemd", "")
            .link("/usr/sbin/init", "/lib/systemd/systemd")
            .file("/usr/bin/cloud-init", "#!/usr/bin/python3")
            .file("/etc/machine-id", ""),
    );
    assert_eq!(facts.distro.as_deref(), Some("ubuntu"));
    assert_eq!(facts.like, like(&["debian"]));
    assert_eq!(facts.architecture.as_deref(), Some("aarch64"));
    assert_eq!(facts.init, Some(Init::Systemd));
    assert_eq!(facts.machine_id, MachineId::Empty);
    assert!(facts.cloud_init);
}

#[test]
fn rhel_like() {
    let facts = facts(
        merged(62)
            .file(
                "/etc/os-release",
                "NAME=\"Rocky Linux\"\nVERSION_ID=\"9.3\"\nID=\"rocky\"\n\
                 ID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"Rocky Linux 9.3 (Blue Onyx)\"\n",
            )
            .file("/etc/redhat-release", "Rocky Linux release 9.3 (Blue Onyx)\n")
            .file("/var/lib/rpm/rpmdb.sqlite", "")
            .file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n")
            .file("/usr/lib/systemd/systemd", "")
            .link("/usr/sbin/init", "../lib/systemd/systemd")
            .file("/boot/vmlinuz-5.14.0-362.el9.x86_64", "")
            .file("/boot/vmlinuz-0-rescue-0123456789abcdef0123456789abcdef", "")
            .dir("/usr/lib/modules/5.14.0-362.el9.x86_64")
            .dir("/usr/lib/modules/5.14.0-427.el9.x86_64")
            .file("/etc/machine-id", "uninitialized\n"),
    );
    assert_eq!(facts.distro.as_deref(), Some("rocky"));
    assert_eq!(facts.like, like(&["rhel", "centos", "fedora"]));
    assert_eq!(facts.package_manager, Some(Packages::Rpm));
    assert_eq!(facts.selinux, Some(SelinuxMode::Enforcing));
    assert_eq!(facts.machine_id, MachineId::Uninitialized);
    assert_eq!(facts.kernels, like(&["5.14.0-362.el9.x86_64", "5.14.0-427.el9.x86_64"]));
}

#[test]
fn centos_6_from_before_os_release() {
    let facts = facts(
        MemoryFs::new()
            .file("/etc/redhat-release", "CentOS release 6.10 (Final)\n")
            .file("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old.example.org\n")
            .file("/bin/bash", program(62))
            .link("/bin/sh", "bash")
            .file("/sbin/init", program(62))
            .file("/sbin/initctl", "")
            .dir("/etc/init")
            .file("/var/lib/rpm/Packages", ""),
    );
    assert_eq!(facts.distro.as_deref(), Some("centos"));
    assert_eq!(facts.version.as_deref(), Some("6.10"));
    assert_eq!(facts.hostname.as_deref(), Some("old.example.org"));
    assert_eq!(facts.init, Some(Init::Upstart));
    assert_eq!(facts.package_manager, Some(Packages::Rpm));
    assert_eq!(facts.architecture.as_deref(), Some("x86_64"));
    assert_eq!(facts.machine_id, MachineId::Absent);
}

#[test]
fn runit_is_told_from_the_services_that_packages_bring_for_it() {
    let debian = |files: &[&str]| {
        let guest = MemoryFs::new()
            .file("/etc/os-release", "ID=debian\n")
            .file("/etc/sv/ssh/run", "#!/bin/sh\n")
            .link("/etc/runit/runsvdir/default/ssh", "/etc/sv/ssh");
        facts(files.iter().fold(guest, |guest, file| guest.file(*file, ""))).init
    };
    // What Debian's openssh-server leaves, whatever the init system.
    assert_eq!(debian(&["/sbin/init", "/etc/inittab"]), Some(Init::Sysvinit));
    assert_eq!(debian(&["/usr/lib/systemd/systemd"]), Some(Init::Systemd));
    assert_eq!(debian(&[]), None);
    // runit's second stage starts them.
    assert_eq!(debian(&["/sbin/init", "/etc/runit/1", "/etc/runit/2"]), Some(Init::Runit));
}

#[test]
fn fedora_with_its_database_in_usr() {
    let facts = facts(
        merged(62)
            .file("/usr/lib/os-release", "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=40\n")
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/usr/lib/sysimage/rpm/rpmdb.sqlite", "")
            .link("/var/lib/rpm", "../../usr/lib/sysimage/rpm")
            .link("/usr/sbin/init", "../lib/systemd/systemd"),
    );
    assert_eq!((facts.distro.as_deref(), facts.version.as_deref()), (Some("fedora"), Some("40")));
    assert_eq!(facts.name.as_deref(), Some("Fedora Linux"));
    assert_eq!(facts.package_manager, Some(Packages::Rpm));
    assert_eq!(facts.init, Some(Init::Systemd));
}

#[test]
fn suse_new_and_old() {
    let leap = facts(
        merged(62)
            .file(
                "/etc/os-release",
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.5\"\n",
            )
            .file("/usr/lib/sysimage/rpm/Packages.db", "")
            .link("/usr/sbin/init", "../lib/systemd/systemd"),
    );
    assert_eq!(leap.distro.as_deref(), Some("opensuse-leap"));
    assert_eq!(leap.package_manager, Some(Packages::Rpm));
    let old = facts(
        MemoryFs::new()
            .file(
                "/etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
            )
            .file("/etc/HOSTNAME", "sles.example.org\n")
            .file("/etc/inittab", "")
            .file("/sbin/init", ""),
    );
    assert_eq!((old.distro.as_deref(), old.version.as_deref()), (Some("sles"), Some("11.4")));
    assert_eq!(old.hostname.as_deref(), Some("sles.example.org"));
    assert_eq!(old.init, Some(Init::Sysvinit));
}

#[test]
fn arch() {
    let facts = facts(
        merged(62)
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/usr/lib/os-release", "NAME=\"Arch Linux\"\nID=arch\n")
            .file("/etc/arch-release", "")
            .dir("/var/lib/pacman/local")
            .link("/usr/bin/init", "../lib/systemd/systemd")
            .file("/boot/vmlinuz-linux", "")
            .dir("/usr/lib/modules/6.9.1-arch1-1"),
    );
    assert_eq!((facts.distro.as_deref(), facts.version.as_deref()), (Some("arch"), None));
    assert_eq!(facts.package_manager, Some(Packages::Pacman));
    assert_eq!(facts.kernels, like(&["6.9.1-arch1-1"]));
}

#[test]
fn alpine() {
    let facts = facts(
        MemoryFs::new()
            .file("/etc/alpine-release", "3.19.1\n")
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/usr/lib/os-release", "ID=alpine\nVERSION_ID=3.19.1\n")
            .file("/bin/busybox", program(62))
            .link("/bin/sh", "/bin/busybox")
            .link("/sbin/init", "/bin/busybox")
            .file("/sbin/openrc", "")
            .file("/lib/apk/db/installed", "")
            .file("/boot/vmlinuz-lts", "")
            .dir("/lib/modules/6.6.14-0-lts"),
    );
    assert_eq!(facts.distro.as_deref(), Some("alpine"));
    assert_eq!(facts.init, Some(Init::Openrc));
    assert_eq!(facts.package_manager, Some(Packages::Apk));
    assert_eq!(facts.architecture.as_deref(), Some("x86_64"));
    assert_eq!(facts.kernels, like(&["6.6.14-0-lts"]));
}

#[test]
fn amazon() {
    let facts = facts(
        merged(183)
            .file(
                "/etc/os-release",
                "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\n\
                 VERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux 2023.4\"\n",
            )
            .file("/etc/system-release", "Amazon Linux release 2023.4 (Amazon Linux)\n")
            .file("/var/lib/rpm/rpmdb.sqlite", "")
            .file("/usr/lib/systemd/system/cloud-init.service", "")
            .file("/etc/selinux/config", "SELINUX=permissive\n")
            .link("/usr/sbin/init", "../lib/systemd/systemd"),
    );
    assert_eq!(facts.distro.as_deref(), Some("amzn"));
    assert_eq!(facts.selinux, Some(SelinuxMode::Permissive));
    assert!(facts.cloud_init);
}

#[test]
fn usr_on_its_own_filesystem() {
    let found = guests(vec![
        MemoryFs::new()
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/etc/fstab", "/dev/vda2 /usr ext4 defaults 0 1\n")
            .link("/bin", "usr/bin")
            .dir("/usr"),
        MemoryFs::new().file("/lib/os-release", "ID=debian\n").file("/bin/sh", program(62)),
    ]);
    let [guest] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(guest.facts.distro.as_deref(), Some("debian"));
    assert_eq!(guest.facts.architecture.as_deref(), Some("x86_64"));
}

#[test]
fn without_a_release_file_accounts_and_a_userland_are_enough() {
    let facts =
        facts(MemoryFs::new().file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n").dir("/bin"));
    assert_eq!(facts, Facts { family: Family::Linux, ..Facts::default() });
}

#[test]
fn freebsd_is_no_linux() {
    let facts = facts(
        MemoryFs::new()
            .file("/etc/os-release", "NAME=FreeBSD\nID=freebsd\nVERSION_ID=14.0\n")
            .file("/etc/rc.conf", "hostname=\"bsd.local\"\n")
            .file("/etc/rc", "")
            .dir("/etc/rc.d")
            .file("/sbin/init", "")
            .file("/var/db/pkg/local.sqlite", ""),
    );
    assert_eq!(facts.family, Family::Bsd);
    assert_eq!(facts.hostname.as_deref(), Some("bsd.local"));
    assert_eq!(facts.package_manager, Some(Packages::Pkg));
    assert_eq!(facts.init, Some(Init::Bsd));
}

#[test]
fn hostile_files_are_noted_and_passed_over() {
    let found = guests(vec![
        MemoryFs::new()
            .huge("/etc/os-release", 10 << 30)
            .huge("/etc/passwd", 10 << 30)
            .huge("/etc/machine-id", 1 << 40)
            .link("/etc/hostname", "/etc/hostname")
            .fifo("/bin/sh")
            .file("/bin/bash", "\x7fELF"),
    ]);
    let [guest] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(guest.facts.distro, None);
    assert_eq!(guest.facts.architecture, None);
    assert!(guest.accounts().is_empty());
    assert_eq!(guest.notes.len(), 3, "{:?}", guest.notes);
    assert!(guest.notes.iter().all(|note| note.starts_with("facts: /etc/")), "{:?}", guest.notes);
}

#[test]
fn accounts_are_listed() {
    let found = guests(vec![MemoryFs::new().file("/etc/os-release", "ID=x\n").file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/srv/user:/bin/sh\n",
    )]);
    let homes: Vec<_> =
        found[0].accounts().iter().map(|account| (account.uid, account.home.clone())).collect();
    assert_eq!(homes, [(0, Some(path("/root"))), (1000, Some(path("/srv/user")))]);
}
