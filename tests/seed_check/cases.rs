//! Documents that are checked here and by cloud-init's own code.

use sysprep_rs::seed::SeedFile;

use super::assert_all_wrong;

/// A document, and its problems: the place of each, and a part of what is said.
pub(super) type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// Documents that cloud-init takes silently and that are refused here, by a part of what is said:
/// what their author wrote is lost.
pub(super) const STRICTER: [&str; 1] = ["is given twice"];

/// cloud-config.
pub(super) const CLOUD_CONFIG: &[Case] = &[
    ("#cloud-config\n{}\n", &[]),
    ("#cloud-config\nhostname: web\nusers: [default, {name: ann, groups: [adm, sudo]}]\n", &[]),
    ("\n  #Cloud-Config\r\nruncmd:\r\n- [ls, -l]\r\n- echo on\r\n", &[]),
    ("#cloud-config\npassword: x\nchpasswd: {expire: no}\nssh_pwauth: yes\n", &[]),
    (
        "#cloud-config\nwrite_files:\n- path: /a\n  permissions: '0644'\n  content: !!binary aGk=\n",
        &[],
    ),
    ("#cloud-config\nx-base: &b {name: ann}\n", &[("2:1", "no key 'x-base'")]),
    ("#cloud-config\nusers:\n- &b {name: ann, shell: /bin/sh}\n- {<<: *b, name: bob}\n", &[]),
    ("#cloud-config\nntp: {enabled: true, servers: []}\n", &[]),
    ("#cloud-config\ngroups: [a, {b: [c]}]\npower_state: {mode: reboot, delay: '+5'}\n", &[]),
    // Words that are another thing to YAML 1.1 than they look.
    (
        "#cloud-config\nhostname: no\n",
        &[("2:11", "hostname: takes text, not a boolean; yes, no, on and off")],
    ),
    (
        "#cloud-config\nruncmd:\n- [sleep, 5]\n- 7\n",
        &[("3:11", "runcmd.0.1: takes text, not a number; put it in quotes"), ("4:3", "runcmd.1")],
    ),
    (
        "#cloud-config\nwrite_files:\n  - path: /a\n    permissions: 0644\n",
        &[("4:18", "permissions: takes text, not a number; put it in quotes")],
    ),
    (
        "#cloud-config\nusers: [{name: a, expiredate: 2030-01-01}]\n",
        &[("2:31", "expiredate: takes text, not a date; put it in quotes")],
    ),
    (
        "#cloud-config\nusers: [{name: a, expiredate: '2030-02-30'}]\n",
        &[("2:31", "expiredate: takes a date, as in 2030-12-31")],
    ),
    ("#cloud-config\nusers: [{name: a, expiredate: '2030-02-28'}]\n", &[]),
    // Keys.
    (
        "#cloud-config\nusres:\n- name: a\n",
        &[("2:1", "there is no key 'usres'; did you mean 'user' or 'users'?")],
    ),
    ("#cloud-config\nrun-cmd: [ls]\n", &[("2:1", "did you mean 'runcmd'")]),
    ("#cloud-config\non: 1\n", &[("2:1", "the key 'true' is a boolean")]),
    (
        "#cloud-config\nwrite_files:\n  - pth: /a\n    content: x\n",
        &[
            ("3:5", "write_files.0: 'path' is missing"),
            ("3:5", "no key 'pth'; did you mean 'path'"),
        ],
    ),
    (
        "#cloud-config\nchpasswd:\n  users:\n  - {name: a, type: RANDM}\n",
        &[("4:21", "takes one of RANDOM; did you mean 'RANDOM'?")],
    ),
    (
        "#cloud-config\nruncmd: [ls]\nhostname: a\nruncmd: [id]\n",
        &[("4:1", "'runcmd' is given twice, first on line 2")],
    ),
    // Values.
    ("#cloud-config\nruncmd: ls\n", &[("2:9", "runcmd: takes a list, not text")]),
    ("#cloud-config\nruncmd:\n  a: b\n", &[("2:1", "runcmd: takes a list, not a map")]),
    ("#cloud-config\nruncmd:\n", &[("2:1", "runcmd: takes a list, not nothing")]),
    ("#cloud-config\nruncmd: []\n", &[("2:1", "has 1 item at least, and 0 here")]),
    ("#cloud-config\nusers: 5\n", &[("2:8", "users: takes text or a list or a map, not a number")]),
    (
        "#cloud-config\npower_state:\n  mode: rebot\n  timeout: 5\n",
        &[("3:9", "takes one of poweroff, reboot, halt; did you mean 'reboot'?")],
    ),
    ("#cloud-config\nswap: {filename: /s, size: 1X}\n", &[("2:28", "swap.size")]),
    ("#cloud-config\nntp: {servers: [a, a]}\n", &[("2:20", "an item stands in it twice")]),
    (
        "#cloud-config\nkeyboard: {layout: us, model: 5}\n",
        &[("2:31", "keyboard.model: takes text")],
    ),
    (
        "#cloud-config\nrh_subscription: {add_pool: [a], add-pool: [b]}\n",
        &[("2:1", "'add_pool' and 'add-pool' do not go together")],
    ),
    (
        "#cloud-config\nssh_keys: {rsa_private: a, rsa_pubic: b}\n",
        &[("2:28", "no key 'rsa_pubic'")],
    ),
    // Not settings, or no YAML.
    ("#cloud-config\n", &[("1:1", "no settings are in it")]),
    ("#cloud-config\n- a\n", &[("2:1", "a map of settings, not a list")]),
    ("#cloud-config\na: 1\n---\nb: 2\n", &[("3:1", "a second document")]),
    ("#cloud-config\na: b: c\n", &[("2:5", "': ' has to be in quotes")]),
    ("#cloud-config\nruncmd:\n\t- ls\n", &[("3:2", "a tab")]),
    ("#cloud-config\nhostname: {{ v1.name }}\n", &[("2:12", "'## template: jinja' alone")]),
    ("#cloud-config\nhostname: \"a\n", &[("2:11", "the quote is not closed")]),
    ("#cloud-config\nhostname: !!python/name:os.system x\n", &[("2:11", "known to nobody")]),
    ("#cloud-config\nhostname: a\u{1}b\n", &[("2:12", "U+0001")]),
];

/// network-config.
pub(super) const NETWORK: &[Case] = &[
    ("version: 2\nethernets: {eth0: {dhcp4: true}}\n", &[]),
    (
        "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    a: {match: {macaddress: '52:54:00:00:00:01'}, set-name: lan0}\n",
        &[],
    ),
    ("version: 1\nconfig:\n- {type: physical, name: eth0, subnets: [{type: dhcp}]}\n", &[]),
    ("version: 1\nconfig:\n- {type: nameserver, address: 9.9.9.9}\n", &[]),
    (
        "version: 1\nconfig:\n- type: physical\n  nam: eth0\n",
        &[("3:3", "config.0: 'name' is missing"), ("4:3", "config.0: there is no key 'nam'")],
    ),
    ("version: 1\nconfig:\n- {type: phisical, name: eth0}\n", &[("3:10", "config.0.type")]),
    (
        "version: 1\nconfig:\n- {type: physical, name: a-name-that-is-too-long}\n",
        &[("3:26", "has 15 characters at most")],
    ),
    ("version: 1\n", &[("1:1", "'config' is missing")]),
    ("version: 2\nethernets: [eth0]\n", &[("2:1", "ethernets: takes a map, not a list")]),
    ("version: 2\nethernets: {eth0: {mtu: large}}\n", &[("2:25", "mtu: takes a whole number")]),
    (
        "version: 2\nethernets: {eth0: {addresses: 10.0.0.1/8}}\n",
        &[("2:31", "takes a list, not text")],
    ),
    ("version: 2\nrenderer: network\n", &[("2:11", "takes one of networkd, NetworkManager")]),
    ("ethernets: {eth0: {dhcp4: true}}\n", &[("1:1", "'version' is missing")]),
    ("version: 3\n", &[("1:10", "'version' is 1 or 2")]),
    ("network: {version: 2}\nethernets: {}\n", &[("2:1", "'ethernets' beside 'network'")]),
    ("- version: 2\n", &[("1:1", "a map with 'version' is due, not a list")]),
];

#[test]
fn what_is_wrong_is_told_with_its_place() {
    assert_all_wrong(SeedFile::NetworkConfig, NETWORK.iter().copied());
    assert_all_wrong(SeedFile::UserData, CLOUD_CONFIG.iter().copied());
    assert_all_wrong(SeedFile::VendorData, CLOUD_CONFIG.iter().copied());
}

/// network-config whose form is right and whose addresses make no sense; cloud-init finds that out
/// in the guest.
const SENSELESS: &[Case] = &[
    (
        "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.300/24, 10.0.0.1/33, 10.0.0.1]\n",
        &[
            ("4:17", "'addresses': '10.0.0.300/24' is no IP address"),
            ("4:32", "a prefix length of 10.0.0.1 is 0 to 32"),
            ("4:45", "'10.0.0.1' has no prefix length; write 10.0.0.1/24"),
        ],
    ),
    (
        "version: 2\nethernets:\n  eth0: {addresses: ['fe80::1/129', 'fe80::1/+64'], gateway6: 10.0.0.1}\n",
        &[
            ("3:22", "a prefix length of fe80::1 is 0 to 128"),
            ("3:37", "a prefix length of fe80::1 is 0 to 128"),
            ("3:63", "'gateway6': '10.0.0.1' is an address, and none of IPv6"),
        ],
    ),
    (
        "version: 2\nethernets:\n  a: {gateway4: router, nameservers: {addresses: [9.9.9, 9.9.9.9]}}\n",
        &[("3:17", "'gateway4': 'router' is no IP address"), ("3:51", "'addresses': '9.9.9'")],
    ),
    (
        "version: 2\nethernets:\n  a:\n    routes: [{to: default, via: 10.0.0.x}, {to: 10.0.0.0/8, via: 'fe80::1'}]\n",
        &[
            ("4:33", "'via': '10.0.0.x' is no IP address"),
            ("4:66", "'via': fe80::1 is another kind of address than 10.0.0.0"),
        ],
    ),
    // PyYAML makes numbers of some of these, in base 60.
    (
        "version: 2\nethernets:\n  a: {match: {macaddress: 52:54:00:12:34:56}}\n",
        &[(
            "3:27",
            "'macaddress': a number for cloud-init, which reads digits with colons in base 60",
        )],
    ),
    (
        "version: 1\nconfig:\n- {type: physical, name: a, mac_address: 52:54:00:12:34:56}\n",
        &[("3:42", "'mac_address': a number for cloud-init")],
    ),
    (
        "version: 2\nethernets:\n  a: {match: {macaddress: 52-54-00-12-34-5g}, macaddress: rndom}\n",
        &[("3:27", "is no MAC address, as in"), ("3:59", "'rndom' is no MAC address")],
    ),
    (
        "version: 1\nconfig:\n- type: physical\n  name: a\n  subnets:\n  - {type: static, address: 10.0.0, netmask: 255.0.255.0, gateway: 10.0.0.256, broadcast: 'fe80::1', dns_nameservers: [x]}\n- {type: nameserver, address: 9.9.9.9/8}\n- {type: route, destination: 10.0.0.0/40, gateway: 10.0.0.1}\n",
        &[
            ("6:29", "'address': '10.0.0' is no IP address"),
            ("6:46", "'netmask': '255.0.255.0' is no netmask"),
            ("6:68", "'gateway': '10.0.0.256' is no IP address"),
            ("6:91", "'broadcast': 'fe80::1' is an address, and none of IPv4"),
            ("6:120", "'dns_nameservers': 'x' is no IP address"),
            ("7:31", "'address': '9.9.9.9/8' is no IP address"),
            ("8:30", "'destination': '10.0.0.0/40': a prefix length of 10.0.0.0 is 0 to 32"),
        ],
    ),
];

/// network-config with addresses of every kind.
const SENSE: &[&str] = &[
    "version: 2\nethernets:\n  a:\n    match: {macaddress: '52:54:00:12:34:56'}\n    macaddress: random\n    \
     addresses: [10.0.0.1/24, 'fd00::1/64']\n    gateway4: 10.0.0.254\n    gateway6: 'fe80::1'\n    \
     nameservers: {addresses: [9.9.9.9, '2620:fe::fe'], search: [lan]}\n    \
     routes: [{to: default, via: 10.0.0.2}, {to: 'fd01::/48', via: 'fe80::2', metric: 5}]\n",
    "version: 1\nconfig:\n- type: physical\n  name: a\n  mac_address: 52:54:00:aB:34:56\n  subnets:\n  \
     - {type: static, address: 10.0.0.1/24, gateway: 10.0.0.254, dns_nameservers: [9.9.9.9]}\n  \
     - {type: static, address: 10.0.1.1, netmask: 255.255.255.0, broadcast: 10.0.1.255}\n  \
     - {type: static6, address: 'fd00::1', netmask: '64'}\n  - {type: dhcp}\n- \
     {type: route, network: 10.1.0.0, netmask: 255.255.0.0, gateway: 10.0.0.1}\n- \
     {type: nameserver, address: [9.9.9.9, 'fe80::1%eth0']}\n",
];

#[test]
fn addresses_have_to_make_sense() {
    assert_all_wrong(SeedFile::NetworkConfig, SENSELESS.iter().copied());
    assert_all_wrong(SeedFile::NetworkConfig, SENSE.iter().map(|it| (*it, &[][..])));
}
