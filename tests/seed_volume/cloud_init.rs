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
        ("region: {name: north, zones: [1, 2]}", "/metadata/region"),
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
    ] {
        let seed = with_meta_data(&format!("instance-id: a\n{more}\n"));
        let told = config_drive::tree(&seed).unwrap_err().to_string();
        assert!(told.starts_with("meta-data: ") && told.contains(problem), "{told}");
    }
}
