//! Volumes that the real cloud-init finds, by their label, and reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sysprep_rs::seed::volume::{Format, Tree, config_drive, nocloud};
use sysprep_rs::seed::{Seed, SeedFile};

use super::{CARRIED, Place, everything, seed, text};
use crate::support::cloud_init;
use crate::support::oracle::succeed;

const DATASOURCE: &str = include_str!("datasource.py");

/// What a datasource of cloud-init's finds on a volume with these files.
fn found(datasource: &str, tree: &Tree<'_>, label: &str, format: Format) -> Value {
    let place = Place::new();
    let volume = place.volume("volume", tree, label, format);
    let files = tempfile::tempdir().unwrap();
    let to = text(files.path());
    match format {
        Format::Iso9660 => {
            let words = ["-xf", text(&volume), "--no-same-owner", "-C", to];
            succeed("bsdtar", "libarchive-tools", &words);
        }
        Format::Vfat => {
            succeed("mcopy", "mtools", &["-i", text(&volume), "-s", "::/*", to]);
        }
    }
    let found = cloud_init::run(DATASOURCE, &[datasource, text(&volume), to]);
    // So that the folder can be removed.
    everything(files.path());
    if found["found"] == true {
        assert_eq!(found["from"], text(&volume), "{found}");
    }
    found
}

fn document(found: &Value, name: &str) -> Option<Vec<u8>> {
    found[name].as_str().map(|it| STANDARD.decode(it).unwrap())
}

#[test]
fn nocloud_finds_every_file_as_it_was_given() {
    let seed = seed(&SeedFile::ALL);
    let tree = nocloud::tree(&seed).unwrap();
    for format in [Format::Iso9660, Format::Vfat] {
        let found = found("NoCloud", &tree, nocloud::LABEL, format);
        assert_eq!(found["found"], true, "{found}");
        for (file, name) in
            [(SeedFile::UserData, "user-data"), (SeedFile::VendorData, "vendor-data")]
        {
            assert_eq!(document(&found, name).as_deref(), seed.get(file), "{name}");
        }
        let metadata = &found["metadata"];
        assert_eq!(metadata["instance-id"], "i-0a1b");
        assert_eq!(metadata["local-hostname"], "web1.example");
        assert_eq!(found["keys"], json!(["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"]));
        assert_eq!(found["network"]["ethernets"]["nic"]["dhcp4"], true, "{found}");
    }
}

#[test]
fn a_seed_without_meta_data_names_an_instance() {
    for files in [&[SeedFile::UserData][..], &[SeedFile::VendorData]] {
        let seed = seed(files);
        let tree = nocloud::tree(&seed).unwrap();
        let nocloud = found("NoCloud", &tree, nocloud::LABEL, Format::Iso9660);
        assert_eq!(nocloud["found"], true, "{nocloud}");
        let tree = config_drive::tree(&seed).unwrap();
        let drive = found("ConfigDrive", &tree, config_drive::LABEL, Format::Iso9660);
        assert_eq!(drive["found"], true, "{drive}");
        let id = nocloud["metadata"]["instance-id"].as_str().unwrap();
        assert!(id.starts_with("iid-"), "{nocloud}");
        assert_eq!(drive["metadata"]["instance-id"], id);
    }
}

#[test]
fn config_drive_finds_what_nocloud_finds() {
    let seed = seed(&CARRIED);
    let tree = config_drive::tree(&seed).unwrap();
    let other = nocloud::tree(&seed).unwrap();
    for format in [Format::Iso9660, Format::Vfat] {
        let drive = found("ConfigDrive", &tree, config_drive::LABEL, format);
        assert_eq!(drive["found"], true, "{drive}");
        let nocloud = found("NoCloud", &other, nocloud::LABEL, format);
        for part in ["user-data", "vendor-data", "keys", "network"] {
            assert_eq!(drive[part], nocloud[part], "{part}");
        }
        for key in ["instance-id", "local-hostname", "role"] {
            assert!(drive["metadata"][key].is_string(), "{drive}");
            assert_eq!(drive["metadata"][key], nocloud["metadata"][key], "{key}");
        }
    }
}

#[test]
fn a_volume_with_another_label_is_not_nocloud() {
    let seed = seed(&SeedFile::ALL);
    let tree = nocloud::tree(&seed).unwrap();
    for (label, is_found) in [("cidata", true), ("CIDATA", true), ("cidat", false)] {
        for format in [Format::Iso9660, Format::Vfat] {
            let found = found("NoCloud", &tree, label, format);
            assert_eq!(found["found"], is_found, "{label}: {found}");
        }
    }
}

/// A seed with this meta-data alone.
fn with_meta_data(text: &str) -> Seed {
    let mut seed = Seed::default();
    seed.add(SeedFile::MetaData, "meta-data", text.as_bytes().to_vec()).unwrap();
    seed
}

#[test]
fn meta_data_means_the_same_in_a_config_drive() {
    const INTERFACES: &str = "auto eth0\niface eth0 inet dhcp\n";
    for (more, part) in [
        ("local-hostname: a\nhostname: b", "/metadata/local-hostname"),
        ("public-keys: 'ssh-rsa A\n\n  ssh-rsa B'", "/keys"),
        ("public-keys: [ssh-rsa B, ssh-rsa A]", "/keys"),
        ("public-keys: {first: ssh-rsa A, second: [ssh-rsa B, ssh-rsa C]}", "/keys"),
        ("dsmode: local", "/mode"),
        ("dsmode: net", "/mode"),
        (&format!("network-interfaces: {}", json!(INTERFACES)), "/network"),
        (
            "region: {name: north, zones: [1, 0x10, 010, '2'], flags: [yes, n, null]}",
            "/metadata/region",
        ),
        ("meta: {role: db}\nlocal-hostname: x", "/metadata/meta"),
    ] {
        let seed = with_meta_data(&format!("instance-id: 17\n{more}\n"));
        let tree = nocloud::tree(&seed).unwrap();
        let nocloud = found("NoCloud", &tree, nocloud::LABEL, Format::Iso9660);
        let tree = config_drive::tree(&seed).unwrap();
        let drive = found("ConfigDrive", &tree, config_drive::LABEL, Format::Iso9660);
        assert_eq!(drive["found"], true, "{more}: {drive}");
        let value = nocloud.pointer(part).unwrap();
        assert!(!value.is_null(), "{more}: {nocloud}");
        assert_eq!(drive.pointer(part), Some(value), "{more}");
        assert_eq!(drive["metadata"]["instance-id"], "17");
    }
    for (more, problem) in [
        ("seedfrom: /srv/seed/", "seedfrom"),
        ("uuid: x", "'uuid'"),
        ("files: []", "'files'"),
        ("public-keys: [1]", "public-keys"),
        ("on: x", "line 2, column 1: a key is text"),
        ("made: 2024-02-29", "line 2, column 7: fractions, dates"),
    ] {
        let seed = with_meta_data(&format!("instance-id: a\n{more}\n"));
        let told = config_drive::tree(&seed).unwrap_err().to_string();
        assert!(told.starts_with("meta-data: ") && told.contains(problem), "{told}");
    }
}

/// What both datasources make of the same settings, as files of the guest.
fn network(settings: &str) -> [Value; 2] {
    let mut seed = with_meta_data("instance-id: a\n");
    let content = settings.as_bytes().to_vec();
    seed.add(SeedFile::NetworkConfig, "network-config", content).unwrap();
    let tree = nocloud::tree(&seed).unwrap();
    let nocloud = found("NoCloud", &tree, nocloud::LABEL, Format::Iso9660);
    let tree = config_drive::tree(&seed).unwrap_or_else(|it| panic!("{it}\n{settings}"));
    let drive = found("ConfigDrive", &tree, config_drive::LABEL, Format::Iso9660);
    [nocloud, drive].map(|mut it| {
        let files = &mut it["rendered"];
        let text = files["eni"].as_str().unwrap_or_else(|| panic!("{settings}"));
        let lines = text.lines().filter(|it| !its_own(it)).collect::<Vec<_>>();
        files["eni"] = json!(lines);
        files.take()
    })
}

/// What cloud-init adds by itself: to OpenStack's form whether advertisements are taken (no with a
/// fixed address of IPv6, yes with its DHCP), and to version 2 a line that ifupdown does not know.
fn its_own(line: &str) -> bool {
    line.starts_with("    accept_ra ") || line.starts_with("    dns {'nameservers'")
}

#[test]
fn a_config_drive_sets_up_the_network_that_nocloud_does() {
    const V1: &str = "version: 1\nconfig:\n- type: physical\n  name: nic0\n  mac_address: \
                      '52:54:00:12:34:56'\n  ";
    const V2: &str = "version: 2\nethernets:\n  nic0:\n    match: {macaddress: \
                      '52:54:00:12:34:56'}\n    ";
    for settings in [
        "subnets: [{type: dhcp}]",
        "subnets: [{type: dhcp4}, {type: dhcp6}]",
        "mtu: 1400\n  subnets: [{type: ipv6_slaac}]",
        "subnets: [{type: ipv6_dhcpv6-stateless}]",
        "subnets: [{type: static, address: 192.0.2.9/24, gateway: 192.0.2.1}]",
        "subnets: [{type: static, address: 192.0.2.9, netmask: 255.255.255.0, metric: 7}]",
        "subnets:\n  - {type: static, address: 192.0.2.9/28, dns_nameservers: [192.0.2.2], \
         dns_search: [a.example]}\n  - {type: dhcp4}",
        "subnets:\n  - type: static\n    address: 192.0.2.9/24\n    routes:\n    - {network: \
         198.51.100.0, netmask: 255.255.255.0, gateway: 192.0.2.3}\n    - {destination: \
         203.0.113.0/24, gateway: 192.0.2.4, metric: 3}",
        "subnets: [{type: dhcp4}]\n- {type: nameserver, address: [192.0.2.2, 192.0.2.3], search: \
         [a.example, b.example]}\n- {type: nameserver, address: 192.0.2.4}",
        "subnets: [{type: dhcp4}]\n- type: physical\n  name: nic1\n  mac_address: \
         '52:54:00:12:34:57'\n  subnets: [{type: static, address: 10.0.0.1/8}]",
        "subnets: [{type: static6, address: '2001:db8::9/64'}]",
        "subnets: [{type: static, address: '2001:db8::9', netmask: '64', gateway: '2001:db8::1'}]",
    ] {
        let [nocloud, drive] = network(&format!("{V1}{settings}\n"));
        assert!(nocloud.is_object() && nocloud == drive, "{settings}\n{nocloud:#}\n{drive:#}");
    }
    for settings in [
        "dhcp4: true",
        "dhcp4: true\n    dhcp6: true\n    mtu: 1400",
        "addresses: [192.0.2.9/24]\n    gateway4: 192.0.2.1",
        "addresses: [192.0.2.9/24, 198.51.100.9/24]\n    nameservers: {addresses: [192.0.2.2, \
         192.0.2.3], search: [a.example]}",
        "addresses: [192.0.2.9/24]\n    routes: [{to: 0.0.0.0/0, via: 192.0.2.1}, {to: \
         198.51.100.0/24, via: 192.0.2.3}]",
        "dhcp4: true\n  nic1:\n    match: {macaddress: '52:54:00:12:34:57'}\n    set-name: nic1\n    \
         addresses: [10.0.0.1/8]",
        "addresses: ['2001:db8::9/64']\n    gateway6: 2001:db8::1",
        "dhcp4: true\n    nameservers: {addresses: [192.0.2.2], search: [a.example]}",
        "addresses: ['192.0.2.9/24', '2001:db8::9/64']\n    routes: [{to: '2001:db8:1::/48', via: \
         '2001:db8::1'}]",
    ] {
        let [nocloud, drive] = network(&format!("{V2}{settings}\n"));
        assert!(nocloud.is_object() && nocloud == drive, "{settings}\n{nocloud:#}\n{drive:#}");
    }
    // A word that this version of NoCloud does not know.
    let made = with_network(&format!(
        "{V2}addresses: [192.0.2.9/24]\n    routes: [{{to: default, via: 192.0.2.1}}]\n"
    ));
    assert_eq!(
        made.unwrap()["networks"][0]["routes"],
        json!([{ "network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1" }])
    );
    // The same below a key of its own, which this version of NoCloud does not look below.
    let settings = format!("{V2}dhcp4: true\n").replace('\n', "\n  ");
    let below = with_network(&format!("network:\n  {settings}\n")).unwrap();
    assert_eq!(below, with_network(&format!("{V2}dhcp4: true\n")).unwrap());
}

/// A ConfigDrive's network settings, or why it has none.
fn with_network(settings: &str) -> Result<Value, String> {
    let mut seed = Seed::default();
    let content = settings.as_bytes().to_vec();
    seed.add(SeedFile::NetworkConfig, "network-config", content).unwrap();
    let tree = config_drive::tree(&seed).map_err(|it| it.to_string())?;
    let file = tree.files().find(|it| it.0 == "openstack/latest/network_data.json").unwrap().1;
    Ok(serde_json::from_slice(file).unwrap())
}

#[test]
fn settings_without_a_place_in_a_config_drive_are_named() {
    const MAC: &str = "match: {macaddress: '52:54:00:12:34:56'}";
    for (settings, problem) in [
        ("version: 2\nethernets: {eth0: {dhcp4: true}}", "'eth0' is not known by its MAC address"),
        (
            "version: 2\nethernets: {e: {match: {name: 'en*'}, dhcp4: true}}",
            "'name' (match of 'e')",
        ),
        ("version: 2\nbonds: {bond0: {interfaces: [a]}}", "'bonds' (version 2)"),
        (
            "version: 1\nconfig: [{type: bond, name: bond0, bond_interfaces: [a]}]",
            "stands for 'bond'",
        ),
        ("version: 1\nconfig: [{type: physical, name: eth0}]", "'eth0' is not known by its MAC"),
        (&format!("version: 2\nethernets: {{e: {{{MAC}, wakeonlan: true}}}}"), "'wakeonlan' (e)"),
        (
            &format!("version: 2\nethernets: {{e: {{{MAC}, gateway4: 10.0.0.1}}}}"),
            "a gateway of 'e'",
        ),
        ("config: disabled", "it says no version"),
    ] {
        let told = with_network(settings).unwrap_err();
        let form = "network-config: a ConfigDrive holds a network's settings in OpenStack's form: ";
        assert!(told.starts_with(form) && told.contains(problem), "{settings}: {told}");
        assert!(told.ends_with("; change it, or make a NoCloud volume"), "{told}");
    }
}
