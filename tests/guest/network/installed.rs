//! What brings a link up, on small trees of each distribution as its installer leaves it.

use super::{Spec, shown};

const RULES: &str = "/usr/lib/udev/rules.d/80-net-setup-link.rules = x";
const NETPLAN: &str = "/usr/lib/systemd/system-generators/netplan = x";
const NETWORKD: &str = "/usr/lib/systemd/systemd-networkd = x";
const MANAGER: &str = "/usr/sbin/NetworkManager = x";
const IFUP: &str = "/usr/sbin/ifup = x";
const HOTPLUG: &str = "/usr/lib/udev/rules.d/80-ifupdown.rules = RUN+=\"ifupdown-hotplug\"";
const CLIENT: &str = "/usr/sbin/dhclient = x";

const MANAGER_STARTS: &[&str] = &["NetworkManager.service"];
const NETWORKD_STARTS: &[&str] = &["systemd-networkd.service"];
const NETWORKING: &[&str] = &["networking.service"];

#[test]
fn each_distribution_as_installed() {
    let wifi =
        "/usr/lib/systemd/network/80-wifi-adhoc.network = [Match]\nType=wlan\n[Network]\nDHCP=yes";
    let veth = "/usr/lib/systemd/network/80-container-ve.network = [Match]\nKind=veth\nName=ve-*\n[Network]\nAddress=0.0.0.0/28\nDHCPServer=yes";
    let host = "/usr/lib/systemd/network/80-container-host0.network = [Match]\nVirtualization=container\nName=host0\n[Network]\nDHCP=yes";
    let debian_manager = "/etc/NetworkManager/NetworkManager.conf = [main]\nplugins=ifupdown,keyfile\n\n[ifupdown]\nmanaged=false\n";
    let cases: &[(&str, &[&str], &[&str], &str)] = &[
        (
            "Debian 12 cloud image",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                wifi,
                veth,
                host,
                "/etc/netplan/90-default.yaml = network:\n    version: 2\n    ethernets:\n        all-en:\n            match:\n                name: en*\n            dhcp4: true\n            dhcp6: true\n        all-eth:\n            match:\n                name: eth*\n            dhcp4: true\n",
            ],
            &[],
            "up: netplan (/etc/netplan/90-default.yaml): DHCP, where its interface is named en*; \
             netplan (/etc/netplan/90-default.yaml): DHCP, where its interface is named eth*",
        ),
        (
            "Debian 11 cloud image",
            &[
                RULES,
                IFUP,
                CLIENT,
                HOTPLUG,
                "/etc/network/interfaces = source-directory /run/network/interfaces.d\nauto lo\niface lo inet loopback\n",
                "/etc/network/cloud-ifupdown-helper = x",
                "/etc/udev/rules.d/75-cloud-ifupdown.rules = RUN+=\"/etc/network/cloud-ifupdown-helper\"",
            ],
            NETWORKING,
            "up: ifupdown (/etc/network/cloud-ifupdown-helper): DHCP on any Ethernet interface",
        ),
        (
            "Debian installer, server",
            &[
                RULES,
                IFUP,
                CLIENT,
                HOTPLUG,
                "/etc/network/interfaces = source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n# The primary network interface\nallow-hotplug ens3\niface ens3 inet dhcp\n",
            ],
            NETWORKING,
            "up: ifupdown (/etc/network/interfaces): DHCP, where its interface is named ens3",
        ),
        (
            "Debian installer, no DHCP client",
            &[
                RULES,
                IFUP,
                HOTPLUG,
                "/etc/network/interfaces = allow-hotplug ens3\niface ens3 inet dhcp\n",
            ],
            NETWORKING,
            "nothing: ifupdown (/etc/network/interfaces): no DHCP client is installed that it calls (dhclient, dhcpcd, udhcpc)",
        ),
        (
            "Debian installer, desktop",
            &[
                RULES,
                MANAGER,
                debian_manager,
                IFUP,
                HOTPLUG,
                CLIENT,
                "/etc/network/interfaces = auto lo\niface lo inet loopback\n",
            ],
            &["NetworkManager.service", "networking.service"],
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "debootstrap",
            &[
                RULES,
                IFUP,
                CLIENT,
                HOTPLUG,
                "/etc/network/interfaces = source /etc/network/interfaces.d/*\n",
                "/etc/network/interfaces.d/.keep = ",
            ],
            NETWORKING,
            "nothing: ifupdown starts, and has no settings for an Ethernet interface",
        ),
        (
            "Ubuntu server by subiquity",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                "/etc/netplan/50-cloud-init.yaml = network:\n  version: 2\n  ethernets:\n    enp1s0:\n      dhcp4: true\n",
                "/etc/netplan/00-installer-config.yaml = network:\n  ethernets:\n    enp1s0:\n      dhcp4: true\n  version: 2\n",
            ],
            &[],
            "up: netplan (/etc/netplan/50-cloud-init.yaml): DHCP, where its interface is named enp1s0",
        ),
        (
            "Ubuntu cloud image that booted on the builder",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                "/etc/netplan/50-cloud-init.yaml = network:\n    version: 2\n    ethernets:\n        ens3:\n            dhcp4: true\n            match:\n                macaddress: 52:54:00:12:34:56\n            set-name: ens3\n",
            ],
            &[],
            "nothing: netplan (/etc/netplan/50-cloud-init.yaml): only for the MAC address 52:54:00:12:34:56",
        ),
        (
            "Ubuntu desktop",
            &[
                RULES,
                NETPLAN,
                MANAGER,
                "/etc/netplan/01-network-manager-all.yaml = network:\n  version: 2\n  renderer: NetworkManager\n",
                "/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf = [keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm,except:type:cdma\n",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "Ubuntu desktop without its netplan file",
            &[
                RULES,
                NETPLAN,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf = [keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm,except:type:cdma\n",
            ],
            MANAGER_STARTS,
            "nothing: NetworkManager (/usr/sbin/NetworkManager): unmanaged-devices in /usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf keeps NetworkManager off",
        ),
        (
            "Fedora and RHEL 9",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/NetworkManager.conf = [main]\n#plugins=keyfile,ifcfg-rh\n\n[logging]\n",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "RHEL 9 by Anaconda, server",
            &[
                RULES,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/00-server.conf = [main]\nno-auto-default=*\nignore-carrier=*\n",
                "/etc/NetworkManager/system-connections/ens3.nmconnection = [connection]\nid=ens3\ntype=ethernet\ninterface-name=ens3\n[ipv4]\nmethod=auto\n",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/etc/NetworkManager/system-connections/ens3.nmconnection): DHCP, where its interface is named ens3",
        ),
        (
            "RHEL 9 server whose connections are gone",
            &[
                RULES,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/00-server.conf = [main]\nno-auto-default=*\nignore-carrier=*\n",
            ],
            MANAGER_STARTS,
            "nothing: NetworkManager (/usr/sbin/NetworkManager): no-auto-default in /usr/lib/NetworkManager/conf.d/00-server.conf turns it off",
        ),
        (
            "RHEL 7",
            &[
                RULES,
                MANAGER,
                "/usr/lib64/NetworkManager/1.18.8-1.el7/libnm-settings-plugin-ifcfg-rh.so = x",
                "/etc/rc.d/init.d/network = x",
                "/etc/sysconfig/network = # Created by anaconda",
                "/etc/sysconfig/network-scripts/ifcfg-eth0 = TYPE=\"Ethernet\"\nBOOTPROTO=\"dhcp\"\nNAME=\"eth0\"\nDEVICE=\"eth0\"\nONBOOT=\"yes\"\n",
                "/etc/sysconfig/network-scripts/ifcfg-lo = DEVICE=lo\nIPADDR=127.0.0.1\n",
                "/usr/lib/NetworkManager/conf.d/00-server.conf = [main]\nno-auto-default=*\n",
            ],
            &["NetworkManager.service", "network.service"],
            "up: NetworkManager (/etc/sysconfig/network-scripts/ifcfg-eth0): DHCP, where its interface is named eth0; \
             network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): DHCP, where its interface is named eth0",
        ),
        (
            "RHEL 7 with the builder's MAC address",
            &[
                RULES,
                "/etc/rc.d/init.d/network = x",
                "/etc/sysconfig/network = NETWORKING=yes",
                "/etc/sysconfig/network-scripts/ifcfg-eth0 = BOOTPROTO=dhcp\nHWADDR=52:54:00:12:34:56\nDEVICE=eth0\nONBOOT=yes\n",
            ],
            &["network.service"],
            "nothing: network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): only for the MAC address 52:54:00:12:34:56",
        ),
        (
            "openSUSE with wicked",
            &[
                RULES,
                "/usr/sbin/wicked = x",
                "/etc/sysconfig/network/ifcfg-eth0 = BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
                "/etc/sysconfig/network/ifcfg-lo = IPADDR=127.0.0.1/8\n",
            ],
            &["wicked.service", "network.service"],
            "up: wicked (/etc/sysconfig/network/ifcfg-eth0): DHCP, where its interface is named eth0",
        ),
        (
            "openSUSE with NetworkManager",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/NetworkManager.conf = [main]\nplugins=keyfile\ndhcp=internal\n",
            ],
            &["NetworkManager.service", "network.service"],
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "Arch with systemd-networkd, as its own images",
            &[
                RULES,
                NETWORKD,
                wifi,
                veth,
                host,
                "/etc/systemd/network/80-ethernet.network = [Match]\nName=en*\nName=eth*\n\n[Network]\nDHCP=yes\n",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/etc/systemd/network/80-ethernet.network): DHCP on en* eth*",
        ),
        (
            "Arch by archinstall, the medium's network copied",
            &[
                RULES,
                NETWORKD,
                "/etc/systemd/network/20-ethernet.network = [Match]\n# by type\nType=ether\nKind=!*\n\n[Link]\nRequiredForOnline=routable\n\n[Network]\nDHCP=yes\nMulticastDNS=yes\n",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/etc/systemd/network/20-ethernet.network): DHCP on any Ethernet interface",
        ),
        (
            "Arch without any network",
            &[RULES, NETWORKD, wifi, veth, host],
            NETWORKD_STARTS,
            "nothing: systemd-networkd starts, and has no settings for an Ethernet interface",
        ),
        (
            "Alpine",
            &[
                "/sbin/ifup -> /bin/busybox",
                "/sbin/udhcpc -> /bin/busybox",
                "/bin/busybox = x",
                "/etc/network/interfaces = auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n",
            ],
            &["networking"],
            "up: ifupdown (/etc/network/interfaces): DHCP on eth0",
        ),
        (
            "Flatcar",
            &[
                RULES,
                NETWORKD,
                "/usr/lib/systemd/network/zz-default.network = [Network]\nDHCP=yes\n\n[Match]\nName=*\nType=!loopback bridge tunnel vxlan wireguard\nDriver=!veth dummy\n",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/usr/lib/systemd/network/zz-default.network): DHCP on any Ethernet interface",
        ),
        (
            "Fedora CoreOS",
            &[
                RULES,
                MANAGER,
                "/usr/lib/NetworkManager/conf.d/20-client-id-from-mac.conf = [connection]\nipv4.dhcp-client-id=mac\n",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "Amazon Linux 2023",
            &[
                RULES,
                NETWORKD,
                "/usr/lib/systemd/network/80-ec2.network = [Match]\nDriver=ena ixgbevf vif\n\n[Link]\nMTUBytes=9001\n\n[Network]\nDHCP=yes\n",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/usr/lib/systemd/network/80-ec2.network): DHCP, where it is one with Driver=ena ixgbevf vif",
        ),
        (
            "Photon",
            &[
                RULES,
                NETWORKD,
                "/etc/systemd/network/99-dhcp-en.network = [Match]\nName=e*\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=no\n",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/etc/systemd/network/99-dhcp-en.network): DHCP on e*",
        ),
        (
            "Void",
            &[
                "/usr/lib/udev/rules.d/80-net-name-slot.rules = x",
                "/usr/sbin/dhcpcd = x",
                "/etc/dhcpcd.conf = duid\npersistent\n",
            ],
            &["dhcpcd"],
            "up: dhcpcd (/etc/dhcpcd.conf): DHCP on any Ethernet interface",
        ),
        (
            "Raspberry Pi OS with a fixed address",
            &[
                "/usr/sbin/dhcpcd = x",
                "/etc/dhcpcd.conf = denyinterfaces wlan0\ninterface eth0\nstatic ip_address=192.0.2.5/24\n",
            ],
            &["dhcpcd.service"],
            "up: dhcpcd (/etc/dhcpcd.conf): the fixed address 192.0.2.5/24, the same in every clone on eth0; \
             dhcpcd (/etc/dhcpcd.conf): DHCP on any interface but wlan0",
        ),
        (
            "ConnMan",
            &[
                RULES,
                "/usr/sbin/connmand = x",
                "/etc/connman/main.conf = [General]\nNetworkInterfaceBlacklist=vmnet,vboxnet\n",
            ],
            &["connman.service"],
            "up: ConnMan (/etc/connman/main.conf): DHCP on any interface but vmnet* vboxnet*",
        ),
        ("nothing at all", &[RULES], &[], "nothing: nothing that brings a link up starts at boot"),
        (
            "installed and not started",
            &[RULES, MANAGER],
            &[],
            "nothing: nothing that brings a link up starts at boot; NetworkManager (/usr/sbin/NetworkManager): it does not start",
        ),
    ];
    for (name, files, starts, wanted) in cases {
        let spec = Spec { files, starts, ..Spec::default() };
        assert_eq!(shown(&spec), *wanted, "{name}");
    }
}

#[test]
fn what_keeps_a_link_down_is_found() {
    let dhcp = "[Match]\nName=e*\n[Network]\nDHCP=yes";
    let masked = format!("/usr/lib/systemd/network/50-a.network = {dhcp}");
    let own = format!("/etc/systemd/network/50-a.network = {dhcp}");
    let cases: &[(&str, &[&str], &[&str], &str)] = &[
        (
            "a mask",
            &[RULES, &masked, "/etc/systemd/network/50-a.network -> /dev/null"],
            NETWORKD_STARTS,
            "nothing: systemd-networkd starts, and has",
        ),
        (
            "a drop-in",
            &[
                RULES,
                &own,
                "/etc/systemd/network/50-a.network.d/no.conf = [Network]\nDHCP=no\nLinkLocalAddressing=no",
            ],
            NETWORKD_STARTS,
            "nothing: systemd-networkd (/etc/systemd/network/50-a.network): no address",
        ),
        (
            "a file before it",
            &[
                RULES,
                &own,
                "/etc/systemd/network/10-b.network = [Match]\nType=ether\n[Link]\nUnmanaged=yes",
            ],
            NETWORKD_STARTS,
            "nothing: systemd-networkd (/etc/systemd/network/10-b.network): Unmanaged=yes",
        ),
        (
            "another name before it",
            &[
                RULES,
                &own,
                "/etc/systemd/network/10-b.network = [Match]\nName=wl*\n[Link]\nUnmanaged=yes",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/etc/systemd/network/50-a.network): DHCP on e*",
        ),
        (
            "netplan's file goes before one of a later name",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                &own,
                "/etc/netplan/a.yaml = {network: {ethernets: {x: {match: {name: 'e*'}, addresses: [192.0.2.5/24]}}}}",
            ],
            &[],
            "up: netplan (/etc/netplan/a.yaml): the fixed address 192.0.2.5/24, the same in every clone on e*",
        ),
        (
            "a bridge over every interface",
            &[
                RULES,
                "/etc/systemd/network/a.network = [Match]\nName=e*\n[Network]\nBridge=br0",
                "/etc/systemd/network/b.network = [Match]\nName=br0\n[Network]\nDHCP=ipv4",
            ],
            NETWORKD_STARTS,
            "up: systemd-networkd (/etc/systemd/network/a.network): DHCP on e* by br0",
        ),
        (
            "a bridge over a connection of NetworkManager",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/conf.d/a.conf = [main]\nno-auto-default=*",
                "/etc/NetworkManager/system-connections/br.nmconnection = [connection]\ntype=bridge\nuuid=7\ninterface-name=br0",
                "/etc/NetworkManager/system-connections/port.nmconnection = [connection]\ntype=ethernet\ncontroller=7\nport-type=bridge",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/etc/NetworkManager/system-connections/port.nmconnection): DHCP on any Ethernet interface by br0",
        ),
        (
            "a bridge of ifupdown",
            &[
                IFUP,
                CLIENT,
                "/etc/network/interfaces = auto br0\niface br0 inet dhcp\n bridge_ports eth0\niface eth0 inet manual\n",
            ],
            NETWORKING,
            "up: ifupdown (/etc/network/interfaces): DHCP on eth0 by br0",
        ),
        (
            "names that only the builder had",
            &[IFUP, CLIENT, "/etc/network/interfaces = auto ens3\niface ens3 inet dhcp\n"],
            NETWORKING,
            "nothing: ifupdown (/etc/network/interfaces): for ens3, and the guest names its interfaces eth0",
        ),
        (
            "a name by the builder's MAC address",
            &[
                RULES,
                "/etc/systemd/network/10-lan.link = [Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=lan0",
                "/etc/systemd/network/lan.network = [Match]\nName=lan0\n[Network]\nDHCP=yes",
            ],
            NETWORKD_STARTS,
            "nothing: systemd-networkd (/etc/systemd/network/lan.network): only the builder's interface is named lan0",
        ),
        (
            "a key file that others may read",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/conf.d/a.conf = [main]\nno-auto-default=*",
                "/etc/NetworkManager/system-connections/open = [connection]\ntype=ethernet",
            ],
            MANAGER_STARTS,
            "nothing: NetworkManager (/etc/NetworkManager/system-connections/open): NetworkManager passes it over, because its mode 0755 lets others at it",
        ),
        (
            "a static connection with the builder's MAC address, and the default",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/system-connections/a.nmconnection = [connection]\ntype=ethernet\n[ethernet]\nmac-address=52:54:00:12:34:56\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24,192.0.2.1",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/usr/sbin/NetworkManager): DHCP on any Ethernet interface",
        ),
        (
            "a fixed address",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/system-connections/a.nmconnection = [connection]\ntype=ethernet\n[ipv4]\nmethod=manual\naddress1=192.0.2.5/24,192.0.2.1",
            ],
            MANAGER_STARTS,
            "up: NetworkManager (/etc/NetworkManager/system-connections/a.nmconnection): the fixed address 192.0.2.5/24, the same in every clone on any Ethernet interface",
        ),
        (
            "ifcfg files that NetworkManager has no plugin for",
            &[
                RULES,
                MANAGER,
                "/etc/NetworkManager/conf.d/a.conf = [main]\nno-auto-default=*",
                "/etc/sysconfig/network-scripts/ifcfg-eth0 = DEVICE=eth0\nBOOTPROTO=dhcp",
            ],
            MANAGER_STARTS,
            "nothing: NetworkManager (/usr/sbin/NetworkManager): no-auto-default",
        ),
        (
            "ONBOOT=no",
            &[
                RULES,
                "/etc/rc.d/init.d/network = x",
                "/etc/sysconfig/network = ",
                "/etc/sysconfig/network-scripts/ifcfg-eth0 = DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=no",
            ],
            &["network.service"],
            "nothing: network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): ONBOOT=no",
        ),
        (
            "netplan without its generator",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                "/etc/systemd/system-generators/netplan -> /dev/null",
                "/etc/netplan/a.yaml = {network: {ethernets: {eth0: {dhcp4: true}}}}",
            ],
            &[],
            "nothing: nothing that brings a link up starts at boot; netplan (/etc/netplan/a.yaml): netplan's generator does not run",
        ),
        (
            "netplan with a file that it stops at",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                "/etc/netplan/a.yaml = {network: {ethernets: {eth0: {dhcp4: true}}}}",
                "/etc/netplan/b.yaml = network: [\n",
            ],
            &[],
            "not known: /etc/netplan/b.yaml: line ",
        ),
        (
            "netplan's later file says otherwise",
            &[
                RULES,
                NETPLAN,
                NETWORKD,
                "/etc/netplan/a.yaml = {network: {ethernets: {eth0: {dhcp4: true}}}}",
                "/etc/netplan/b.yaml = {network: {ethernets: {eth0: {dhcp4: false}}}}",
            ],
            &[],
            "nothing: netplan (/etc/netplan/b.yaml): link-local addresses alone",
        ),
        (
            "netplan for a NetworkManager that does not start",
            &[
                RULES,
                NETPLAN,
                MANAGER,
                "/etc/netplan/a.yaml = {network: {renderer: NetworkManager, ethernets: {eth0: {dhcp4: true}}}}",
            ],
            &[],
            "nothing: nothing that brings a link up starts at boot; netplan (/etc/netplan/a.yaml): NetworkManager does not start",
        ),
        (
            "a mapping",
            &[
                IFUP,
                CLIENT,
                "/etc/network/interfaces = auto eth0\nmapping eth0\n script /x\niface home inet dhcp\n",
            ],
            NETWORKING,
            "not known: /etc/network/interfaces: a mapping",
        ),
    ];
    for (name, files, starts, wanted) in cases {
        let words = shown(&Spec { files, starts, ..Spec::default() });
        assert!(words.starts_with(wanted), "{name}: {words}");
    }
}

#[test]
fn cloud_init_needs_the_component_that_it_writes_for() {
    use sysprep_rs::guest::network::Cloud;
    let fixed = crate::guest::path("/etc/cloud/cloud.cfg.d/99-installer.cfg");
    let writes = |renderers| Cloud::Writes { renderers, only_where: None, fixed: None };
    let renderers = |name: &str| [name.to_owned()];
    let (eni, netplan, networkd, manager) = (
        renderers("eni"),
        renderers("netplan"),
        renderers("networkd"),
        renderers("network-manager"),
    );
    let ifupdown: &[&str] = &[RULES, IFUP, CLIENT];
    for (files, starts, cloud, wanted) in [
        (
            ifupdown,
            NETWORKING,
            writes(&eni),
            "up: cloud-init (by eni): what its data source says, or DHCP on the first interface",
        ),
        (
            ifupdown,
            &[][..],
            writes(&eni),
            "nothing: nothing that brings a link up starts at boot; cloud-init writes for eni, and ifupdown does not start",
        ),
        (
            &[RULES, IFUP],
            NETWORKING,
            writes(&eni),
            "nothing: cloud-init writes for eni, and ifupdown has no DHCP client",
        ),
        (&[RULES, NETPLAN, NETWORKD], &[], writes(&netplan), "up: cloud-init (by netplan)"),
        (
            &[RULES, NETPLAN],
            &[],
            writes(&netplan),
            "nothing: nothing that brings a link up starts at boot; cloud-init writes for netplan, and neither",
        ),
        (
            &[RULES, NETWORKD],
            &[],
            writes(&networkd),
            "nothing: nothing that brings a link up starts at boot; cloud-init writes for networkd, and systemd-networkd does not start",
        ),
        (
            &[RULES, MANAGER],
            MANAGER_STARTS,
            writes(&manager),
            "up: cloud-init (by network-manager)",
        ),
        (
            &[RULES],
            &[],
            writes(&[]),
            "nothing: nothing that brings a link up starts at boot; cloud-init finds no program",
        ),
        (
            &[
                RULES,
                IFUP,
                CLIENT,
                "/etc/network/interfaces = auto lo\niface lo inet loopback\niface eth0 inet\n",
            ],
            NETWORKING,
            writes(&eni),
            "nothing: cloud-init writes for eni, and /etc/network/interfaces line 3: 'iface' without a method",
        ),
        (
            &[RULES, NETPLAN, NETWORKD, "/etc/netplan/x.yaml = network: {version: 1}"],
            &[],
            writes(&netplan),
            "not known: cloud-init writes for netplan, and /etc/netplan/x.yaml: 'version: 1'",
        ),
        (
            &[RULES, NETPLAN, NETWORKD, "/etc/netplan/50-cloud-init.yaml = network: {version: 1}"],
            &[],
            writes(&netplan),
            "up: cloud-init (by netplan)",
        ),
        (
            &[RULES],
            &[],
            Cloud::NotKnown("its settings cannot be read"),
            "not known: its settings cannot be read",
        ),
        (
            &[RULES, NETPLAN, NETWORKD],
            &[],
            Cloud::Writes {
                renderers: &netplan,
                only_where: Some("a data source is found"),
                fixed: Some(&fixed),
            },
            "up: cloud-init, where a data source is found (by netplan): what /etc/cloud/cloud.cfg.d/99-installer.cfg fixes, the same in every clone; where not, no link comes up, and net.fallback=dhcp writes nothing beside",
        ),
    ] {
        let words = shown(&Spec { files, starts, cloud: Some(cloud), kernel: None });
        assert!(words.starts_with(wanted), "{words}");
    }
    // Beside another setting that brings a link up, nothing depends on cloud-init.
    let cloud = Cloud::Writes { renderers: &eni, only_where: Some("one is found"), fixed: None };
    let files: &[&str] =
        &[RULES, IFUP, CLIENT, "/etc/network/interfaces = auto eth0\niface eth0 inet dhcp\n"];
    let words = shown(&Spec { files, starts: NETWORKING, cloud: Some(cloud), kernel: None });
    assert!(words.starts_with("up: ") && !words.contains("where not"), "{words}");
}

#[test]
fn what_ties_the_network_to_the_builder_is_told() {
    let files = [
        "/etc/systemd/network/10-lan.link = [Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=lan0",
        "/etc/systemd/network/20-path.link = [Match]\nPath=pci-0000:00:03.0\n[Link]\nName=wan0",
        "/etc/systemd/network/a.network = [Match]\nName=e*\n[Link]\nMACAddress=52:54:00:12:34:57",
        "/etc/udev/rules.d/70-persistent-net.rules = # a comment\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"52:54:00:12:34:58\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n",
        "/etc/netplan/a.yaml = {network: {ethernets: {x: {match: {macaddress: 52:54:00:12:34:59}, set-name: ens3}}}}",
        "/usr/sbin/NetworkManager = x",
        "/var/lib/NetworkManager/no-auto-default.state = 52:54:00:12:34:5a\n",
        "/etc/NetworkManager/system-connections/a.nmconnection = [connection]\ntype=ethernet\n[ethernet]\nmac-address=52:54:00:12:34:5b\ncloned-mac-address=52:54:00:12:34:5c",
        "/etc/rc.d/init.d/network = x",
        "/etc/sysconfig/network-scripts/ifcfg-eth0 = HWADDR=\"52:54:00:12:34:5d\"\nDEVICE=eth0",
        "/etc/network/interfaces = iface eth0 inet dhcp\n  hwaddress ether 52:54:00:12:34:5e\n",
    ];
    let network = Spec { files: &files, ..Spec::default() };
    let network = network.read(&network.tree());
    let pins: Vec<String> =
        network.pins.iter().map(|it| format!("{}: {}", it.file, it.words)).collect();
    assert_eq!(
        pins,
        [
            "/etc/NetworkManager/system-connections/a.nmconnection: fits MAC address 52:54:00:12:34:5b alone",
            "/etc/NetworkManager/system-connections/a.nmconnection: gives every clone MAC address 52:54:00:12:34:5c",
            "/etc/netplan/a.yaml: x fits MAC address 52:54:00:12:34:59 alone",
            "/etc/netplan/a.yaml: x is renamed ens3",
            "/etc/network/interfaces: hwaddress 52:54:00:12:34:5e is given to every clone",
            "/etc/sysconfig/network-scripts/ifcfg-eth0: HWADDR=52:54:00:12:34:5d fits that interface alone",
            "/etc/systemd/network/10-lan.link: gives the name lan0 to the interface with MAC address 52:54:00:12:34:56",
            "/etc/systemd/network/20-path.link: gives the name wan0 by Path",
            "/etc/systemd/network/a.network: gives every clone MAC address 52:54:00:12:34:57",
            "/etc/udev/rules.d/70-persistent-net.rules: gives the name eth0 to the interface with MAC address 52:54:00:12:34:58",
            "/var/lib/NetworkManager/no-auto-default.state: MAC addresses that get no connection made up for them",
        ]
    );
    assert_eq!(network.odd, []);
}

#[test]
fn the_kernels_command_line_decides_on_names() {
    let files =
        [RULES, IFUP, CLIENT, "/etc/network/interfaces = auto ens3\niface ens3 inet dhcp\n"];
    for (kernel, wanted) in [
        (None, "up: ifupdown (/etc/network/interfaces): DHCP, where its interface is named ens3"),
        (Some("root=/dev/vda1 quiet"), "up: ifupdown"),
        (
            Some("net.ifnames=0 quiet"),
            "nothing: ifupdown (/etc/network/interfaces): for ens3, and the guest names its interfaces eth0",
        ),
        (Some("net.ifnames=0 net.ifnames=1"), "up: ifupdown"),
        (
            Some("net.ifnames=0 ip=dhcp"),
            "not known: /proc/cmdline: ip=dhcp: the initramfs may bring a link up",
        ),
    ] {
        let words = shown(&Spec { files: &files, starts: NETWORKING, kernel, cloud: None });
        assert!(words.starts_with(wanted), "{kernel:?}: {words}");
    }
}
