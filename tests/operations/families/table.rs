//! Each family, its tree, and what its first boot part says.

/// A system.
pub(super) struct Family {
    /// What it shows.
    pub(super) name: &'static str,
    /// Its files: names of texts in `families/`, or paths of its own.
    pub(super) parts: &'static [&'static str],
    /// Every line of its first boot part; `…` at an end stands for the rest.
    pub(super) says: &'static [&'static str],
}

const fn of(
    name: &'static str,
    parts: &'static [&'static str],
    says: &'static [&'static str],
) -> Family {
    Family { name, parts, says }
}

const NETWORKD: &str =
    "network | made | systemd-networkd (/etc/systemd/network/99-dhcp-en.network): DHCP on e*";
const MANAGER: &str =
    "network | made | NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface";
const IFUPDOWN: &str = "network | made | ifupdown (/etc/network/interfaces): DHCP on eth0";
const DHCPCD: &str = "network | made | dhcpcd (/sbin/dhcpcd): DHCP on any Ethernet interface";
const SEED: &str = "random seed | made | systemd-random-seed.service";
const MACHINE_ID: &str = "machine id | made | systemd, before anything else starts";
const UUIDGEN: &str = "machine id | made | dbus-uuidgen, when D-Bus starts";
const ROOT: &str = "way in | made | root with its password, at a console";
const ROOT_SSH: &str =
    "way in | made | root with its password, at a console; root with its password, by SSH";
const ADDED: &str = "SSH host keys | added | /usr/lib/sysprep-rs/ssh-host-keys, which makes those \
                     that are missing before the server starts";
const NO_KEYS: &str = "SSH host keys | missing | nothing known makes them, and the SSH server does \
                       not start without…";
const BY_CLOUD_INIT: &str = "SSH host keys | made | cloud-init";
const PINNED: &str =
    "cloud-init | note | /etc/cloud/cloud.cfg: cloud-init takes its data from Ec2 alone…";

// Systems by what their os-release says.
const RED_HAT: &str = "/etc/os-release:\n    ID=rhel\n    ID_LIKE=fedora";
const UBUNTU: &str = "/etc/os-release:\n    ID=ubuntu\n    ID_LIKE=debian";
const COREOS: &str = "/etc/os-release:\n    ID=fedora\n    VARIANT_ID=coreos";
/// Which of these the clone's machine has is found out at boot.
const SEARCHES: &str =
    "/etc/cloud/cloud.cfg.d/90-list.cfg:\n    datasource_list: [Ec2, OpenStack, None]";
const GENTOO: &str = "/etc/os-release:\n    ID=gentoo";
const VOID: &str = "/etc/os-release:\n    ID=void";
const POKY: &str = "/etc/os-release:\n    ID=poky";
const BUILDROOT: &str = "/etc/os-release:\n    ID=buildroot";
const ALPINE: &str = "/etc/os-release:\n    ID=alpine";

pub(super) const TABLE: &[Family] = &[
    of(
        "Photon OS",
        &[
            "systemd",
            "networkd",
            "photon",
            "photon-on",
            "sshd-on",
            "/etc/os-release:\n    ID=photon",
        ],
        &[NETWORKD, SEED, "SSH host keys | made | sshd-keygen.service", MACHINE_ID, ROOT],
    ),
    of(
        "Photon OS, its maker not enabled",
        &["systemd", "networkd", "photon", "sshd-on", "/etc/os-release:\n    ID=photon"],
        &[NETWORKD, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Azure Linux",
        &["systemd", "networkd", "azure-linux", "sshd-on", "/etc/os-release:\n    ID=azurelinux"],
        &[NETWORKD, SEED, "SSH host keys | made | sshd-keygen.service", MACHINE_ID, ROOT],
    ),
    of(
        "Fedora CoreOS at its first boot",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "coreos",
            "/boot/ignition.firstboot",
            COREOS,
        ],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service",
            MACHINE_ID,
            "way in | not known | whom Ignition's configuration names (/boot/ignition.firstboot); core with a key of the cloud's metadata, from afterburn-sshkeys@core.service",
        ],
    ),
    of(
        "Fedora CoreOS after its first boot",
        &["systemd", "networkmanager", "red-hat", "sshd-on", "coreos", COREOS],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service",
            MACHINE_ID,
            "way in | not known | core with a key of the cloud's metadata, from afterburn-sshkeys@core.service",
        ],
    ),
    of(
        "Red Hat 9",
        &["systemd", "networkmanager", "red-hat", "sshd-on", RED_HAT],
        &[MANAGER, SEED, "SSH host keys | made | sshd-keygen@rsa.service", MACHINE_ID, ROOT],
    ),
    of(
        "Red Hat 9, by its socket",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            RED_HAT,
            "/etc/systemd/system/sockets.target.wants/sshd.socket -> /usr/lib/systemd/system/sshd.socket",
        ],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service, once sshd.socket asks for it",
            MACHINE_ID,
            ROOT,
        ],
    ),
    of(
        "Red Hat 9 with cloud-init",
        &["systemd", "networkmanager", "red-hat", "sshd-on", "cloud-init", "cloud-keygen", RED_HAT],
        &[MANAGER, SEED, BY_CLOUD_INIT, MACHINE_ID, ROOT, PINNED],
    ),
    of(
        "Red Hat 9 with cloud-init switched off",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            "cloud-keygen",
            RED_HAT,
            "/etc/cloud/cloud-init.disabled",
        ],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service",
            MACHINE_ID,
            ROOT,
            "cloud-init | note | /etc/cloud/cloud-init.disabled: cloud-init is turned off…",
            PINNED,
        ],
    ),
    of(
        "Red Hat 9 with cloud-init that looks for a datasource and makes no keys",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            "cloud-keygen",
            RED_HAT,
            SEARCHES,
            "/etc/cloud/cloud.cfg.d/99-keys.cfg:\n    ssh_genkeytypes: []",
        ],
        &[MANAGER, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Red Hat 9 with cloud-init that looks for a datasource",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            "cloud-keygen",
            RED_HAT,
            SEARCHES,
        ],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service, or cloud-init where that runs",
            MACHINE_ID,
            ROOT,
        ],
    ),
    of(
        "Red Hat 9 with cloud-init that makes no keys",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            "cloud-keygen",
            RED_HAT,
            "/etc/cloud/cloud.cfg.d/99-keys.cfg:\n    ssh_genkeytypes: []",
        ],
        &[MANAGER, SEED, ADDED, MACHINE_ID, ROOT, PINNED],
    ),
    of(
        "Red Hat 9 with cloud-init that keeps keys",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            "cloud-keygen",
            RED_HAT,
            "/etc/cloud/cloud.cfg.d/99-keys.cfg:\n    ssh_deletekeys: false",
        ],
        &[MANAGER, SEED, BY_CLOUD_INIT, MACHINE_ID, ROOT, PINNED],
    ),
    of(
        "Red Hat 9 with cloud-init without the drop-in",
        &[
            "systemd",
            "networkmanager",
            "red-hat",
            "sshd-on",
            "cloud-init",
            RED_HAT,
            "/etc/cloud/cloud.cfg.d/99-keys.cfg:\n    ssh_genkeytypes: []",
        ],
        &[
            MANAGER,
            SEED,
            "SSH host keys | made | sshd-keygen@rsa.service",
            MACHINE_ID,
            ROOT,
            PINNED,
        ],
    ),
    of(
        "Red Hat 7",
        &["systemd", "networkmanager", "red-hat-7", "sshd-on", RED_HAT],
        &[MANAGER, SEED, "SSH host keys | made | sshd-keygen.service", MACHINE_ID, ROOT],
    ),
    of(
        "Red Hat 7, told to make no keys",
        &[
            "systemd",
            "networkmanager",
            "red-hat-7",
            "sshd-on",
            RED_HAT,
            "/etc/sysconfig/sshd:\n    AUTOCREATE_SERVER_KEYS=NO",
        ],
        &[MANAGER, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Clear Linux",
        &["systemd", "networkd", "clear-linux", "/etc/os-release:\n    ID=clear-linux-os"],
        &[
            NETWORKD,
            SEED,
            "SSH host keys | made | sshd-keygen.service, once sshd.socket asks for it",
            MACHINE_ID,
            ROOT,
        ],
    ),
    of(
        "Gentoo with systemd",
        &["systemd", "networkd", "gentoo-systemd", "sshd-on", GENTOO],
        &[NETWORKD, SEED, "SSH host keys | made | sshd.service", MACHINE_ID, ROOT],
    ),
    of(
        "Ubuntu 22.04",
        &["systemd", "networkd", "ubuntu", UBUNTU],
        &[NETWORKD, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Ubuntu 22.04 with cloud-init",
        &["systemd", "networkd", "ubuntu", "cloud-init", UBUNTU],
        &[NETWORKD, SEED, BY_CLOUD_INIT, MACHINE_ID, ROOT, PINNED],
    ),
    of(
        "Ubuntu 24.04",
        &["systemd", "networkd", "ubuntu-socket", UBUNTU],
        &[NETWORKD, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Ubuntu 24.04 with cloud-init",
        &["systemd", "networkd", "ubuntu-socket", "cloud-init", UBUNTU],
        &[NETWORKD, SEED, BY_CLOUD_INIT, MACHINE_ID, ROOT, PINNED],
    ),
    of(
        "Raspberry Pi OS that never booted",
        &["systemd", "networkd", "ubuntu", "raspberry-pi", "raspberry-pi-on"],
        &[
            NETWORKD,
            SEED,
            "SSH host keys | made | regenerate_ssh_host_keys.service",
            MACHINE_ID,
            ROOT,
        ],
    ),
    of(
        "Raspberry Pi OS that has",
        &["systemd", "networkd", "ubuntu", "raspberry-pi"],
        &[NETWORKD, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Armbian that never booted",
        &["systemd", "networkd", "ubuntu", "armbian", "armbian-on"],
        &[NETWORKD, SEED, "SSH host keys | made | armbian-firstrun.service", MACHINE_ID, ROOT],
    ),
    of(
        "Armbian that has",
        &["systemd", "networkd", "ubuntu", "armbian"],
        &[NETWORKD, SEED, ADDED, MACHINE_ID, ROOT],
    ),
    of(
        "Yocto with systemd",
        &["systemd", "networkd", "yocto-systemd", POKY],
        &[
            NETWORKD,
            SEED,
            "SSH host keys | made | sshdgenkeys.service, once sshd.socket asks for it",
            MACHINE_ID,
            ROOT,
        ],
    ),
    of(
        "Yocto with System V init",
        &["people", "yocto-sysvinit", POKY],
        &[
            IFUPDOWN,
            "random seed | made | urandom (rcS.d)",
            "SSH host keys | made | sshd (rc5.d)",
            ROOT,
        ],
    ),
    of(
        "Yocto with dropbear",
        &["people", "yocto-dropbear", POKY],
        &[
            IFUPDOWN,
            "random seed | made | urandom (rcS.d)",
            "host keys of dropbear | made | dropbear (rc5.d)",
            ROOT_SSH,
        ],
    ),
    of(
        "Buildroot with OpenSSH",
        &["people", "buildroot", "buildroot-openssh", BUILDROOT],
        &[
            IFUPDOWN,
            "random seed | made | seedrng (S20seedrng)",
            "SSH host keys | made | sshd (S50sshd)",
            ROOT,
        ],
    ),
    of(
        "Buildroot with dropbear",
        &["people", "buildroot", "buildroot-dropbear", BUILDROOT],
        &[
            IFUPDOWN,
            "random seed | made | seedrng (S20seedrng)",
            "host keys of dropbear | made | dropbear (S50dropbear)",
            ROOT_SSH,
        ],
    ),
    of(
        "OpenWrt",
        &["people", "openwrt", "/etc/os-release:\n    ID=openwrt"],
        &[
            "network | not known | /etc/config/network: OpenWrt's settings, which are not looked into",
            "random seed | made | urandom_seed, at each boot",
            "host keys of dropbear | made | dropbear (rc.d)",
            ROOT_SSH,
        ],
    ),
    of(
        "Void",
        &["people", "void", "void-on", VOID],
        &[
            "network | made | dhcpcd (/usr/sbin/dhcpcd): DHCP on any Ethernet interface",
            "random seed | made | /etc/runit/core-services/05-misc.sh",
            "SSH host keys | made | sshd (/etc/runit/runsvdir/default)",
            UUIDGEN,
            ROOT_SSH,
        ],
    ),
    of(
        "Void, the server not enabled",
        &["people", "void", VOID],
        &[
            "network | made | dhcpcd (/usr/sbin/dhcpcd): DHCP on any Ethernet interface",
            "random seed | made | /etc/runit/core-services/05-misc.sh",
            NO_KEYS,
            UUIDGEN,
            ROOT,
        ],
    ),
    of(
        "Gentoo",
        &["people", "openrc", "gentoo", GENTOO],
        &[
            DHCPCD,
            "random seed | made | seedrng (boot)",
            "SSH host keys | made | sshd (default)",
            ROOT,
        ],
    ),
    of(
        "Alpine",
        &["people", "openrc", "alpine", ALPINE],
        &[
            DHCPCD,
            "random seed | made | seedrng (boot)",
            "SSH host keys | made | sshd (default)",
            UUIDGEN,
            ROOT,
        ],
    ),
    of(
        "Alpine, told to make no keys",
        &["people", "openrc", "alpine", ALPINE, "/etc/conf.d/sshd:\n    sshd_disable_keygen=yes"],
        &[DHCPCD, "random seed | made | seedrng (boot)", NO_KEYS, UUIDGEN, ROOT],
    ),
    of(
        "Devuan",
        &["people", "devuan", "/etc/os-release:\n    ID=devuan\n    ID_LIKE=debian"],
        &[IFUPDOWN, "random seed | made | urandom (rcS.d)", ADDED, ROOT],
    ),
    of(
        "NixOS",
        &["nixos"],
        &[
            "network | not known | /etc/NIXOS: NixOS's programs are in its store, which is not looked into",
            SEED,
            "SSH host keys | made | sshd.service",
            ROOT,
        ],
    ),
];
