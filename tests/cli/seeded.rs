//! `--cloud-init`: a seeded image, read by cloud-init's own code.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::{Place, root_filesystem, seal};
use crate::support::{cloud_init, oracle};

const USER: &str = "#cloud-config\nusers: [{name: ann, passwd: '$6$abc$def'}]\nruncmd: [ls]\n";
const NETWORK: &str = "network:\n  version: 2\n  ethernets:\n    lan: {match: {macaddress: '52:54:00:00:00:01'}, dhcp4: true}\n";

/// The folders of cloud-init in a sealed image's guest.
fn tree(place: &Place) -> PathBuf {
    let root = root_filesystem(place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let tree = place.path("tree");
    fs::create_dir_all(tree.join("var/lib")).unwrap();
    for (from, to) in [("/etc", ""), ("/var/lib/cloud", "var/lib")] {
        let command = format!("rdump {from} {}", tree.join(to).display());
        oracle::succeed("debugfs", "e2fsprogs", &["-R", &command, root.to_str().unwrap()]);
    }
    tree
}

fn decoded(answer: &Json, name: &str) -> String {
    let bytes = STANDARD.decode(answer[name].as_str().unwrap_or_else(|| panic!("{answer}")));
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[test]
fn cloud_init_itself_finds_the_seed() {
    let place = Place::new();
    fs::write(place.path("user"), USER).unwrap();
    fs::write(place.path("net"), NETWORK).unwrap();
    fs::write(place.path("vendor"), "#!/bin/sh\n").unwrap();
    let words = [
        "seal",
        "--verify=full",
        "--cloud-init=user-data=user,network-config=net",
        "--cloud-init",
        "vendor-data=vendor",
        "--operations=defaults,cloud-init-seed",
    ];
    let (text, _) = seal(&place, &words, 0);
    assert!(text.contains("settings\n  customize"), "{text}");
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    assert!(!text.contains("$6$abc"), "{text}");
    // The same again finds nothing to do.
    let sealed = fs::read(place.image()).unwrap();
    seal(&place, &words, 0);
    assert!(fs::read(place.image()).unwrap() == sealed);

    let tree = tree(&place);
    // What an installer would have left behind.
    fs::write(tree.join("etc/cloud/cloud.cfg.d/99-installer.cfg"), "datasource_list: [None]\n")
        .unwrap();
    let answer = cloud_init::asked("datasource", std::slice::from_ref(&tree)).remove(0);
    assert_eq!(answer["taken"], true, "{answer}");
    assert_eq!(answer["instance"], "nocloud", "{answer}");
    assert!(answer["seed"].as_str().unwrap().ends_with("var/lib/cloud/seed/nocloud"), "{answer}");
    assert_eq!(decoded(&answer, "user-data"), USER);
    assert_eq!(decoded(&answer, "vendor-data"), "#!/bin/sh\n");
    assert_eq!(answer["network"]["network"]["ethernets"]["lan"]["dhcp4"], true, "{answer}");
    assert_eq!(answer["list"], serde_json::json!(["NoCloud", "None"]), "{answer}");
    let list = cloud_init::identified(&tree).expect("ds-identify finds a datasource");
    assert!(list.contains("datasource_list: [ NoCloud, None ]"), "{list}");
    // A clone's own seed disk says which instance it is, and what more it is to do.
    let disk = tree.join("cidata-of-the-test");
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("meta-data"), "instance-id: i-clone\n").unwrap();
    fs::write(disk.join("user-data"), "#cloud-config\n{}\n").unwrap();
    let answer = cloud_init::asked("datasource", std::slice::from_ref(&tree)).remove(0);
    assert_eq!(answer["instance"], "i-clone", "{answer}");
    assert_eq!(decoded(&answer, "user-data"), "#cloud-config\n{}\n");
    // Without the list ds-identify goes by the folder, too.
    fs::remove_file(tree.join("etc/cloud/cloud.cfg.d/zz-sysprep-rs-seed.cfg")).unwrap();
    fs::remove_file(tree.join("run/cloud-init/cloud.cfg")).unwrap();
    fs::write(
        tree.join("etc/cloud/cloud.cfg.d/99-installer.cfg"),
        "datasource_list: [Ec2, NoCloud, None]\n",
    )
    .unwrap();
    let list = cloud_init::identified(&tree).expect("ds-identify finds the folder");
    assert!(list.contains("NoCloud") && !list.contains("Ec2"), "{list}");
}

#[test]
fn a_wrong_seed_stops_before_the_image_is_opened() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    fs::write(place.path("user"), "#cloud-config\nusres: []\nruncmd: ls\n").unwrap();
    fs::write(place.path("meta"), "[]\n").unwrap();
    let (_, error) =
        seal(&place, &["seal", "--cloud-init=user-data=user,meta-data=meta,vendor-data=none"], 1);
    let lines: Vec<&str> = error.lines().collect();
    let wanted = [
        "sysprep-rs: user:2:1: there is no key 'usres'; did you mean 'user' or 'users'?",
        "user:3:9: runcmd: takes a list, not text",
        "meta:1:1: meta-data is a map such as 'instance-id: …', not a list",
        "none: no such file",
    ];
    assert_eq!(lines, wanted, "{error}");
    let (_, error) = seal(&place, &["audit", "--cloud-init=userdata=user"], 2);
    assert!(error.contains("--cloud-init: a seed has no 'userdata'; did you mean"), "{error}");
    let (_, error) = seal(&place, &["audit", "--cloud-init=unchecked"], 2);
    assert!(error.contains("'unchecked' without a file"), "{error}");
    assert!(fs::read(place.image()).unwrap() == before);
    // Unchecked they are taken as they are.
    seal(&place, &["audit", "--cloud-init=user-data=user,unchecked"], 3);
    // What is taken and will not be for ever is told.
    fs::write(place.path("user"), "#cloud-config\napt_update: true\n").unwrap();
    let (_, error) = seal(&place, &["audit", "--cloud-init=user-data=user"], 3);
    assert!(error.contains("sysprep-rs: user:2:13: apt_update: deprecated"), "{error}");
    let (_, error) = seal(&place, &["audit", "-q", "--cloud-init=user-data=user"], 3);
    assert!(!error.contains("deprecated"), "{error}");
}

#[test]
fn seeding_alone_changes_nothing_else() {
    let place = Place::new();
    fs::write(place.path("user"), USER).unwrap();
    let before = fs::read(place.image()).unwrap();
    let words = ["seed", "--user-data", "user", "--output", "new.qcow2", "--json", "--verify=full"];
    let (text, _) = seal(&place, &words, 0);
    let report: Json = serde_json::from_str(&text).unwrap();
    let operations = report["operations"].as_array().unwrap();
    let names: Vec<&str> = operations.iter().map(|it| it["operation"].as_str().unwrap()).collect();
    assert_eq!(names, ["customize"], "{text}");
    let folder = "/var/lib/cloud/seed/nocloud";
    let mut paths: Vec<&str> = operations[0]["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .filter(|it| !folder.starts_with(it))
        .collect();
    paths.sort_unstable();
    let wanted = [
        "/etc/cloud/cloud.cfg.d".to_owned(),
        "/etc/cloud/cloud.cfg.d/zz-sysprep-rs-seed.cfg".to_owned(),
        format!("{folder}/meta-data"),
        format!("{folder}/user-data"),
    ];
    assert_eq!(paths, wanted);
    assert!(fs::read(place.image()).unwrap() == before);

    seal(&place, &["seed", "-q", "--user-data=user"], 0);
    let tree = tree(&place);
    assert_eq!(fs::read_to_string(tree.join(&folder[1..]).join("user-data")).unwrap(), USER);
    // What a seal would clean is there.
    assert!(tree.join("etc/ssh/ssh_host_ed25519_key").exists());
    let seeded = fs::read(place.image()).unwrap();
    seal(&place, &["seed", "--user-data=user"], 0);
    assert!(fs::read(place.image()).unwrap() == seeded);

    for (words, part) in [
        (&["seed"][..], "add --user-data FILE"),
        (&["seed", "--user-data=user", "--config-drive"], "cannot be given together"),
        (&["seed", "--user-data=user", "--force"], "--output FILE is missing"),
    ] {
        let (_, error) = seal(&place, words, 2);
        assert!(error.contains(part), "{words:?}: {error}");
    }
    fs::write(place.path("user"), "nothing\n").unwrap();
    let (_, error) = seal(&place, &["seed", "--user-data=user"], 1);
    assert!(error.starts_with("sysprep-rs: user:1:1: cloud-init knows what this is"), "{error}");
    seal(&place, &["seed", "-n", "--unchecked", "--user-data=user"], 3);
}

#[test]
fn an_image_to_seed_is_named_as_for_a_seal() {
    let place = Place::new();
    fs::write(place.path("user"), "#!/bin/sh\n").unwrap();
    let report = place.json("seed --json --user-data user -a image.qcow2 --output new.raw", 0);
    assert_eq!(report["command"], "seed");
    let report = place.json("seed -n --json --user-data user image.qcow2", 3);
    assert_eq!(report["command"], "seed");
    place.expect("seed --user-data user -a image.qcow2 image.qcow2", 2);
    place.expect("seed --config-drive --user-data user -a image.qcow2 --output x.raw", 2);
    // A volume or an image, and not one under the other's name.
    let (_, error) = place.expect("seed --user-data user image.qcow2 --output seed.ISO", 2);
    assert!(error.contains("leave the image out for a volume that carries the seed"), "{error}");
    assert!(!place.path("seed.ISO").exists());
    place.expect("seed --user-data user image.qcow2 --output x.iso --output-format raw", 0);
    assert!(place.path("x.iso").exists());
}
