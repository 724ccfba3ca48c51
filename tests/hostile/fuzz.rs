//! The fuzz targets: their bodies are compiled and run here, on a seeded share.

use std::fs;
use std::path::Path;

use super::*;

/// What a target does.
type Body = fn(&[u8]);

/// Each target whose input is an image, by the name of its file in `tests/fuzz/fuzz_targets`.
/// (Those of texts are below; operations, plans and redo logs go through theirs in the tests of those.)
const IMAGES: [(&str, Body); 4] = [
    ("ext4", targets::ext4),
    ("fat", targets::fat),
    ("disk", targets::disk),
    ("qcow2", targets::qcow2),
];

/// A small image for a target to start from.
fn base(target: &str, dir: &Path) -> Vec<u8> {
    let mut spec = small_tree(target != "fat");
    let filesystem = match target {
        "fat" => recipe::fat(dir, &spec, 12, &[], 1 << 20),
        _ => recipe::ext4(dir, &mut spec, &["-t", "ext2", "-b", "1024"], 2 << 20),
    };
    let image = match target {
        "disk" => {
            let part = Part { kind: "8300", name: "root", image: &filesystem };
            recipe::gpt(dir, &[part]).0
        }
        "qcow2" => {
            let image = dir.join("image.qcow2");
            oracle::qemu_img_convert(&filesystem, "raw", &image, &["-O", "qcow2"]);
            image
        }
        _ => filesystem,
    };
    fs::read(image).unwrap()
}

#[test]
fn the_targets_of_images() {
    for (name, target) in IMAGES {
        let dir = tempfile::tempdir().unwrap();
        let bytes = base(name, dir.path());
        let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        cases(&format!("target {name}"), 60, move |random| {
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(6) {
                let at = *random.pick(&used);
                bytes[at] = *random.pick(&[0, 0xff, 0x7f, 1, bytes[at] ^ 1, bytes[at] ^ 0x80]);
            }
            if random.one_in(20) {
                bytes.truncate(random.below(bytes.len()));
            }
            target(&bytes);
        });
    }
}

/// Texts that each target of a seed starts from.
const CLOUD_CONFIG: &str = "#cloud-config
users: &all
  - default
  - {name: ada, groups: [sudo, 'adm'], sudo: \"ALL=(ALL) NOPASSWD:ALL\", lock_passwd: no}
write_files:
  - path: /etc/motd
    permissions: 0o644
    encoding: b64
    content: !!binary aGVsbG8=
  - {path: /x, content: |
      line
      line, permissions: '0755'}
more: *all
<<: {package_update: yes, timezone: UTC}
runcmd:
- [sh, -c, >-
    echo
    folded]
ntp: ~
power_state: {delay: 1_0, timeout: 190:20:30, condition: .inf}
";
const TEMPLATE: &str = "## template: jinja
#cloud-config
hostname: {{ ds.meta_data['local-hostname'] | default(\"x\") }}
{% if v1.region == 'a' %}
runcmd: [ls]
{% else %}{# nothing #}{% endif %}
";
const MIME: &str = "Content-Type: multipart/mixed; boundary=\"==a==\"
MIME-Version: 1.0

--==a==
Content-Type: text/cloud-config; charset=\"us-ascii\"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=\"=?utf-8?q?a?=\"

I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo=
--==a==
Content-Type: text/x-shellscript
Content-Transfer-Encoding: quoted-printable

#!/bin/sh
echo =3D=
--==a==
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/jinja2

## template: jinja
#cloud-config
--b--
--==a==--
";
const META_DATA: &str = "instance-id: &id i-1
local-hostname: \"b\\x61\\u0062\"
public-keys: {0: ssh-ed25519 AAAA a, b: ['ssh-rsa AAAA']}
network-interfaces: |
  auto lo
  iface lo inet loopback
other: [*id, !!str 1, 0x1F, 017, 1e3, 2001-12-14t21:59:43.10-05:00]
";
const NETWORK_1: &str = "network:
  version: 1
  config:
  - {type: physical, name: eth0, mac_address: '52:54:00:12:34:56', mtu: 1500,
     subnets: [{type: static, address: 10.0.0.2/24, gateway: 10.0.0.1, dns_nameservers: [1.1.1.1]}, {type: dhcp6}]}
  - {type: bond, name: bond0, bond_interfaces: [eth0], params: {bond-mode: active-backup}}
  - {type: vlan, name: eth0.5, vlan_link: eth0, vlan_id: 5}
  - {type: nameserver, address: [9.9.9.9], search: example.org}
  - {type: route, destination: 10.1.0.0/16, gateway: 10.0.0.9, metric: 3}
";
const NETWORK_2: &str = "version: 2
renderer: networkd
ethernets:
  id0:
    match: {macaddress: '52:54:00:12:34:56', name: en*}
    set-name: lan
    dhcp4: true
    addresses: [2001:db8::2/64, {10.0.0.3/24: {label: 'a:b', lifetime: 0}}]
    nameservers: {addresses: [1.1.1.1], search: []}
    routes: [{to: default, via: 10.0.0.1, metric: 1}]
    wakeonlan: yes
vlans: {v: {id: 5, link: id0}}
bridges: {br0: {interfaces: [id0, v], parameters: {stp: off}}}
";

/// What gzip makes of a text.
fn gzip(text: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text");
    fs::write(&path, text).unwrap();
    oracle::succeed("gzip", "gzip", &["-nc", path.to_str().unwrap()])
}

#[test]
fn the_targets_of_seeds() {
    let bases: [(&str, Body, Vec<u8>); 7] = [
        ("user_data", targets::user_data, CLOUD_CONFIG.into()),
        ("user_data", targets::user_data, TEMPLATE.into()),
        ("user_data", targets::user_data, MIME.into()),
        ("user_data", targets::user_data, gzip(CLOUD_CONFIG)),
        ("meta_data", targets::meta_data, META_DATA.into()),
        ("network_config", targets::network_config, NETWORK_1.into()),
        ("network_config", targets::network_config, NETWORK_2.into()),
    ];
    let all: Vec<Vec<u8>> = bases.iter().map(|it| it.2.clone()).collect();
    for (name, target, base) in bases {
        let others = all.clone();
        cases(&format!("target {name}"), 400, move |random| {
            let mut bytes = base.clone();
            for _ in 0..=random.below(4) {
                edit(&mut bytes, &others, random);
            }
            target(&bytes);
        });
    }
}

/// One change of a text: of a byte, of what means something in YAML and MIME, of a stretch that is
/// taken out, doubled, or comes from another text.
fn edit(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    const WORDS: &[&str] = &[
        "&a ",
        "*a",
        "!!",
        "!!python/x ",
        "|2-\n",
        ">+\n",
        "---\n",
        "...\n",
        "? ",
        "<<: ",
        "- ",
        "%YAML 1.1\n",
        "{{",
        "}}",
        "{%",
        "{#",
        "\t",
        "\r",
        "\u{feff}",
        "\u{2028}",
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        ": ",
        "# ",
        "\n--==a==\n",
        "\n\n",
        "\0",
        "0x",
        "1:2:3",
        "yes",
        "~",
        "\u{1f600}",
        "\\x",
        "\\U00110000",
        ",",
    ];
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(40)).min(bytes.len());
    match random.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 | 2 => {
            let word = random.pick(WORDS).repeat(1 + random.below(3) * random.below(60));
            bytes.splice(at..at, word.into_bytes());
        }
        3 => {
            bytes.drain(at..end);
        }
        4 => {
            let piece = bytes[at..end].repeat(1 + random.below(200));
            bytes.splice(at..at, piece);
        }
        5 => {
            let other = random.pick(others);
            let from = random.below(other.len());
            let to = (from + random.below(200)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => bytes.truncate(end),
    }
}

#[test]
fn every_target_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let bodies = fs::read_to_string(folder.join("targets.rs")).unwrap();
    let mut found = 0;
    for file in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let call = format!("fuzz_target!(|data: &[u8]| sysprep_rs_fuzz::targets::{name}(data));");
        assert!(text.contains(&call), "{text}");
        assert!(bodies.contains(&format!("pub fn {name}(data: &[u8])")), "{name} has no body");
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name} is not built");
        found += 1;
    }
    assert_eq!(found, bodies.matches("pub fn ").count());
}
