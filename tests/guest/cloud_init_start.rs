//! What starts cloud-init, and what earlier runs of it left, in guests in memory.

use sysprep_rs::guest::cloud_init::{CloudInit, HostKeys, Network, Runs, UserData};
use sysprep_rs::guest::{Facts, Init};

use super::memory::MemoryFs;
use super::single;

const GENERATOR: &str = "/usr/lib/systemd/system-generators/cloud-init-generator";
const IDENTIFY: &str = "/usr/lib/cloud-init/ds-identify";
const WANTS: &str = "/etc/systemd/system/cloud-init.target.wants/cloud-init.service";
const UNIT: &str = "/usr/lib/systemd/system/cloud-init.service";
const GRUB: &str = "/boot/grub/grub.cfg";
const ID: &str = "/etc/machine-id";

/// A script with what is read of ds-identify.
const SCRIPT: &str = "#!/bin/sh\nDI_DEFAULT_POLICY=\"search,found=all,maybe=none,notfound=${DI_DISABLED}\"\n\
                      DI_DEFAULT_POLICY_NO_DMI=\"search,found=all,maybe=none,notfound=${DI_ENABLED}\"\n\
                      DI_DSLIST_DEFAULT=\"MAAS NoCloud \\\nEc2\"\n";

const SETTINGS: &str = "cloud_init_modules: [users-groups, ssh]\ncloud_config_modules: [set-passwords]\n\
                        users: [default]\nsystem_info: {default_user: {name: debian, sudo: x}}\n";

/// A guest with systemd and cloud-init; what is changed is given, and `None` takes a file away.
fn guest(changes: &[(&str, Option<&str>)]) -> MemoryFs {
    let installed = [
        ("/usr/bin/cloud-init", "#!"),
        (ID, "0123456789abcdef0123456789abcdef\n"),
        (WANTS, "[Unit]\n"),
        (UNIT, "[Unit]\n"),
        (GENERATOR, "#!/bin/sh\netc_file() {\n"),
        (IDENTIFY, SCRIPT),
        ("/etc/cloud/cloud.cfg", SETTINGS),
    ];
    let mut fs = MemoryFs::new();
    for (path, content) in installed {
        if !changes.iter().any(|it| it.0 == path) {
            fs = fs.file(path, content);
        }
    }
    for (path, content) in changes {
        if let Some(content) = content {
            fs = fs.file(path, content);
        }
    }
    fs
}

fn facts(init: Init, architecture: &str) -> Facts {
    let architecture = Some(architecture.to_owned());
    Facts { init: Some(init), architecture, ..Facts::default() }
}

fn with(fs: MemoryFs, init: Init) -> CloudInit {
    CloudInit::read(&single(fs), &facts(init, "x86_64")).unwrap().unwrap()
}

fn read(fs: MemoryFs) -> CloudInit {
    with(fs, Init::Systemd)
}

/// In a word, and what says so.
fn shown(runs: &Runs) -> String {
    match runs {
        Runs::Yes => "yes".into(),
        Runs::WithSource(what) => format!("with: {what}"),
        Runs::No { at, reason } => format!("no: {at}: {reason}"),
        Runs::NotKnown { at, reason } => format!("not known: {at}: {reason}"),
    }
}

#[test]
fn a_guest_without_it_has_none() {
    let fs = guest(&[("/usr/bin/cloud-init", None)]);
    assert_eq!(CloudInit::read(&single(fs), &facts(Init::Systemd, "x86_64")).unwrap(), None);
}

#[test]
fn what_starts_it_is_seen() {
    let entry = "linux /vmlinuz root=/dev/vda1 cloud-init=disabled\n";
    let both = "linux /vmlinuz root=/dev/vda1\nlinux /vmlinuz single cloud-init=disabled\n";
    let off = "GRUB_CMDLINE_LINUX=\"quiet cloud-init=disabled\"\n";
    let disabled = "/etc/cloud/cloud-init.disabled";
    let newer = "#!/bin/sh\nds-identify\n";
    for (changes, wanted) in [
        (vec![], "with: ds-identify finds a datasource at boot, one of MAAS, NoCloud, Ec2"),
        (vec![(IDENTIFY, None)], "yes"),
        (
            vec![
                (IDENTIFY, None),
                ("/etc/cloud/cloud.cfg.d/a.cfg", Some("datasource_list: [Ec2]\n")),
            ],
            "with: it finds a datasource, one of Ec2",
        ),
        (
            vec![(WANTS, None)],
            "no: /usr/lib/systemd/system/cloud-init.service: none of its services",
        ),
        (vec![(WANTS, None), (ID, None)], "not known: /usr/lib/systemd/system/cloud-init.service"),
        (vec![(WANTS, None), (ID, Some("uninitialized\n"))], "not known: "),
        (vec![(WANTS, None), (ID, Some(""))], "no: "),
        (vec![(GENERATOR, None)], "no: /usr/lib/systemd/system-generators: nothing brings"),
        (vec![(UNIT, None)], "no: /usr/lib/systemd/system: none of its services is there"),
        (
            vec![("/etc/systemd/system/cloud-init.service", Some(""))],
            "no: /etc/systemd/system/cloud-init.service: cloud-init.service is masked",
        ),
        (vec![(disabled, Some(""))], "no: /etc/cloud/cloud-init.disabled: the file"),
        (vec![(disabled, Some("")), ("/etc/cloud/cloud-init.enabled", Some(""))], "with: "),
        // A newer version knows no such file.
        (
            vec![
                (GENERATOR, Some(newer)),
                (disabled, Some("")),
                ("/etc/cloud/cloud-init.enabled", Some("")),
            ],
            "no: /etc/cloud/cloud-init.disabled",
        ),
        (vec![(GRUB, Some(entry))], "no: /boot/grub/grub.cfg: the kernel's command line"),
        (vec![(GRUB, Some(both))], "not known: /boot/grub/grub.cfg: one of the kernels"),
        (vec![("/etc/default/grub", Some(off))], "no: /etc/default/grub: the kernel's"),
        (
            vec![("/etc/default/grub.d/x.cfg", Some(off))],
            "no: /etc/default/grub.d/x.cfg: the kernel's",
        ),
        // What GRUB boots counts, not what its file is to be made of.
        (vec![("/etc/default/grub", Some(off)), (GRUB, Some("linux /vmlinuz quiet\n"))], "with: "),
        (vec![("/etc/kernel/cmdline", Some("cloud-init=disabled\n"))], "no: /etc/kernel/cmdline"),
        (
            vec![
                ("/boot/loader/entries/a.conf", Some("options $kernelopts\n")),
                ("/boot/grub2/grubenv", Some("kernelopts=ro cloud-init=disabled\n")),
            ],
            "no: /boot/loader/entries/a.conf",
        ),
        (
            vec![("/boot/extlinux/extlinux.conf", Some("  APPEND ro ci.di.policy=disabled\n"))],
            "no: ",
        ),
        (vec![("/boot/firmware/cmdline.txt", Some("ds=nocloud;i=x rootwait\n"))], "yes"),
        (vec![("/boot/cmdline.txt", Some("cc: datasource_list: [Ec2]\n"))], "not known: "),
        (
            vec![("/etc/cloud/ds-identify.cfg", Some("policy: disabled\n"))],
            "no: /etc/cloud/ds-identify.cfg",
        ),
    ] {
        let runs = read(guest(&changes)).runs;
        assert!(shown(&runs).starts_with(wanted), "{changes:?}: {}", shown(&runs));
    }
    let masked = guest(&[]).link("/etc/systemd/system/cloud-init.target", "/dev/null");
    assert!(shown(&read(masked).runs).contains("cloud-init.target is masked"));
    // A script that distributions have changed is read as it is, and where there is no DMI it differs.
    let changed = SCRIPT.replace("notfound=${DI_DISABLED}", "notfound=enabled");
    assert_eq!(read(guest(&[(IDENTIFY, Some(&changed))])).runs, Runs::Yes);
    let arm = facts(Init::Systemd, "aarch64");
    assert_eq!(CloudInit::read(&single(guest(&[])), &arm).unwrap().unwrap().runs, Runs::Yes);
}

#[test]
fn other_init_systems_start_it_by_their_links() {
    let openrc = |fs: MemoryFs| shown(&with(fs, Init::Openrc).runs);
    assert!(openrc(guest(&[])).starts_with("no: /etc/runlevels"));
    let there = || guest(&[("/etc/runlevels/boot/cloud-init-local", Some("")), (IDENTIFY, None)]);
    assert_eq!(openrc(there()), "yes");
    assert!(
        openrc(there().file("/etc/cloud/cloud-init.disabled", "")).starts_with("no: /etc/cloud")
    );
    let sysv = |fs: MemoryFs| shown(&with(fs, Init::Sysvinit).runs);
    assert!(sysv(guest(&[])).starts_with("no: /etc/init.d"));
    assert_eq!(sysv(guest(&[("/etc/rc2.d/S01cloud-init", Some(""))])), "yes");
    assert!(sysv(guest(&[("/etc/rc2.d/K01cloud-init", Some(""))])).starts_with("no: "));
    assert!(sysv(guest(&[("/etc/rc2.d/S01cloud-initx", Some(""))])).starts_with("no: "));
    assert!(shown(&with(guest(&[]), Init::Bsd).runs).starts_with("not known: /etc/rc.conf"));
}

#[test]
fn what_is_left_is_told_with_what_takes_it_away() {
    let fs = guest(&[
        ("/etc/cloud/cloud-init.disabled", Some("")),
        ("/etc/cloud/ds-identify.cfg", Some("policy: enabled\n")),
        ("/etc/cloud/cloud.cfg.d/99-installer.cfg", Some("datasource_list: [None]\n")),
        (
            "/etc/cloud/cloud.cfg.d/zz.cfg",
            Some(
                "network: {config: disabled}\nfqdn: a.b\nmanual_cache_clean: true\ndatasource_list: [Ec2]\n",
            ),
        ),
        ("/var/lib/cloud/data/instance-id", Some("i-7\n")),
        ("/var/lib/cloud/instances/i-7/user-data.txt", Some("")),
        ("/var/lib/cloud/sem/config_x.once", Some("")),
        ("/var/lib/cloud/seed/nocloud/meta-data", Some("instance-id: i-7\n")),
        ("/var/lib/cloud/seed/nocloud/user-data", Some("#!/bin/sh\n")),
        ("/etc/netplan/50-cloud-init.yaml", Some("")),
        ("/etc/netplan/51-mine.yaml", Some("")),
        ("/etc/systemd/network/10-cloud-init-eth0.network", Some("")),
        ("/etc/network/interfaces.d/50-cloud-init", Some("")),
        (
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            Some("# Created by cloud-init automatically\n"),
        ),
        ("/etc/sysconfig/network-scripts/ifcfg-eth1", Some("DEVICE=eth1\n")),
        ("/etc/fstab", Some("/dev/vdb /mnt auto defaults,comment=cloudconfig 0 2\n")),
        ("/etc/sudoers.d/90-cloud-init-users", Some("")),
        ("/etc/default/grub", Some("GRUB_CMDLINE_LINUX_DEFAULT=\"cloud-init=disabled\"\n")),
    ]);
    let cloud = read(fs);
    let mut left: Vec<(String, Option<&str>)> =
        cloud.leftovers.iter().map(|it| (it.at.to_string(), it.operation)).collect();
    left.sort();
    let (pins, state) = (Some("cloud-init-installer-pins"), Some("cloud-init-state"));
    let network = Some("cloud-init-network");
    let wanted = [
        ("/etc/cloud/cloud-init.disabled", pins),
        ("/etc/cloud/cloud.cfg.d/99-installer.cfg", pins),
        ("/etc/cloud/cloud.cfg.d/zz.cfg", None),
        ("/etc/cloud/cloud.cfg.d/zz.cfg", None),
        ("/etc/cloud/cloud.cfg.d/zz.cfg", None),
        ("/etc/cloud/cloud.cfg.d/zz.cfg", None),
        ("/etc/cloud/ds-identify.cfg", pins),
        ("/etc/default/grub", None),
        ("/etc/fstab", Some("cloud-init-fstab")),
        ("/etc/netplan/50-cloud-init.yaml", network),
        ("/etc/network/interfaces.d/50-cloud-init", network),
        ("/etc/sudoers.d/90-cloud-init-users", None),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", None),
        ("/etc/systemd/network/10-cloud-init-eth0.network", network),
        ("/var/lib/cloud/data/instance-id", state),
        ("/var/lib/cloud/instances", state),
        ("/var/lib/cloud/seed/nocloud", Some("cloud-init-seed")),
        ("/var/lib/cloud/sem", state),
    ];
    let wanted: Vec<(String, Option<&str>)> =
        wanted.iter().map(|it| (it.0.to_owned(), it.1)).collect();
    assert_eq!(left, wanted);
    // What no operation takes away comes with what to do.
    for left in cloud.leftovers.iter().filter(|it| it.operation.is_none()) {
        let does = ["remove", "take", "takes that away"].iter().any(|it| left.what.contains(it));
        assert!(does, "{left:?}");
    }
    assert_eq!(read(guest(&[])).leftovers, []);
}

#[test]
fn an_instance_that_comes_again_is_seen() {
    let same = |changes: &[(&str, Option<&str>)]| read(guest(changes)).recorded.map(|it| it.same);
    let id = "/var/lib/cloud/data/instance-id";
    let seed = "/var/lib/cloud/seed/nocloud/meta-data";
    let user = ("/var/lib/cloud/seed/nocloud/user-data", Some(""));
    assert_eq!(same(&[]), None);
    assert_eq!(same(&[(id, Some("i-abc\n"))]), Some(false));
    assert_eq!(same(&[(id, Some("iid-datasource-none\n"))]), Some(true));
    assert_eq!(same(&[(id, Some("i-7\n")), (seed, Some("instance-id: i-7\n")), user]), Some(true));
    assert_eq!(same(&[(id, Some("i-8\n")), (seed, Some("instance-id: i-7\n")), user]), Some(false));
    assert_eq!(same(&[(id, Some("nocloud\n")), (seed, Some("{}")), user]), Some(true));
    let link = guest(&[]).link("/var/lib/cloud/instance", "/var/lib/cloud/instances/i-9");
    assert_eq!(read(link).recorded.unwrap().instance, "i-9");
}

#[test]
fn a_seed_is_told_with_what_it_is() {
    let meta = ("/var/lib/cloud/seed/nocloud/meta-data", Some("instance-id: 5\n"));
    let user = "/var/lib/cloud/seed/nocloud/user-data";
    for (content, wanted) in [
        ("", UserData::Empty),
        ("#cloud-config\nusers: []\n", UserData::CloudConfig),
        ("#!/bin/sh\n", UserData::Script),
        ("Content-Type: multipart/mixed; boundary=x\n", UserData::Parts),
        ("## template: jinja\n#cloud-config\n", UserData::Template),
        ("#include\nhttp://x/\n", UserData::Include),
        ("users: []\n", UserData::Other),
    ] {
        let cloud = read(guest(&[meta, (user, Some(content))]));
        let seed = cloud.seed.unwrap();
        assert_eq!((seed.user_data, seed.instance.as_str()), (wanted, "5"), "{content}");
        let opaque = matches!(wanted, UserData::Parts | UserData::Template | UserData::Include);
        assert_eq!(!cloud.odd.is_empty(), opaque, "{content}: {:?}", cloud.odd);
    }
    let pinned = ("/etc/cloud/cloud.cfg.d/a.cfg", Some("datasource_list: [Ec2, GCE]\n"));
    assert_eq!(read(guest(&[meta, (user, Some("")), pinned])).seed, None);
    let half = read(guest(&[meta]));
    assert!(half.seed.is_none() && half.odd[0].1.contains("without"), "{:?}", half.odd);
}

#[test]
fn keys_of_settings_are_no_keys_of_a_clone() {
    let own = "ssh_keys: {rsa_private: x}\n";
    let cloud = read(guest(&[("/etc/cloud/cloud.cfg.d/a.cfg", Some(own))]));
    assert!(matches!(cloud.host_keys, HostKeys::Fixed(_)), "{:?}", cloud.host_keys);
}

#[test]
fn its_renderers_are_those_that_the_guest_has() {
    let renderers = |fs: MemoryFs| match read(fs).network {
        Network::Renders { renderers, .. } => renderers.join(" "),
        Network::Disabled(at) => format!("off: {at}"),
    };
    assert_eq!(renderers(guest(&[])), "");
    let nm = |fs: MemoryFs| {
        fs.file("/usr/bin/nmcli", "")
            .file("/etc/NetworkManager/NetworkManager.conf", "")
            .file("/usr/sbin/netplan", "")
    };
    assert_eq!(renderers(nm(guest(&[]))), "netplan");
    let wants = "/etc/systemd/system/multi-user.target.wants/NetworkManager.service";
    assert_eq!(renderers(nm(guest(&[(wants, Some(""))]))), "netplan network-manager");
    let own = "system_info: {network: {renderers: [network-manager, eni]}}\n";
    let fs = nm(guest(&[(wants, Some("")), ("/etc/cloud/cloud.cfg.d/a.cfg", Some(own))]));
    assert_eq!(renderers(fs), "network-manager");
    let upgraded = "/var/lib/cloud/data/upgraded-network";
    assert_eq!(renderers(guest(&[(upgraded, Some(""))])), format!("off: {upgraded}"));
}

#[test]
fn a_hostile_guest_is_told_and_does_not_hold_us_up() {
    let began = std::time::Instant::now();
    let mut fs = guest(&[]).huge("/etc/cloud/cloud.cfg.d/0-huge.cfg", 1 << 40).huge(GRUB, 1 << 40);
    for number in 0..1500 {
        fs = fs
            .file(format!("/etc/cloud/cloud.cfg.d/{number:05}.cfg"), format!("fqdn: u{number}\n"));
        fs = fs.file(
            format!("/boot/loader/entries/{number}.conf"),
            format!("options ci.datasource=X{number}\n"),
        );
    }
    let many: String = (0..30_000).map(|it| format!("u{it}: {{}}\n ")).collect();
    fs = fs.file("/etc/cloud/cloud.cfg.d/00.cfg", format!("users:\n {many}\n"));
    let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    fs = fs.file("/etc/cloud/cloud.cfg.d/0.cfg", deep);
    let cloud = read(fs);
    for part in ["0-huge.cfg", "more than 1000 files", "grub.cfg: longer", "nested", "kernels"] {
        let told = cloud.odd.iter().any(|(at, what)| format!("{at}: {what}").contains(part));
        assert!(told, "{part}: {:?}", cloud.odd);
    }
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
