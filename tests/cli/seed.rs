//! `seed`, as far as it is the command's: what it takes, says and leaves. That a volume is right is
//! for `seed_volume` to show.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::Place;
use crate::support::oracle::succeed;

fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("user-data"), "#cloud-config\nhostname: web\n").unwrap();
    fs::write(place.path("meta-data"), "instance-id: i-1\n").unwrap();
    fs::write(place.path("network"), "version: 2\nethernets: {eth0: {dhcp4: true}}\n").unwrap();
    place
}

fn blkid(volume: &Path) -> String {
    let words = ["-p", "-s", "LABEL", "-s", "TYPE", "-o", "value", volume.to_str().unwrap()];
    let said = String::from_utf8(succeed("blkid", "util-linux", &words)).unwrap();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_format_is_the_names_or_the_one_that_is_asked_for() {
    let place = place();
    for (words, volume) in [
        ("--output seed.iso", "cidata iso9660"),
        ("--output SEED.ISO", "cidata iso9660"),
        ("-o seed.img", "cidata vfat"),
        ("-o seed.raw", "cidata vfat"),
        ("-o seed.vfat", "cidata vfat"),
        ("-o seed --format iso", "cidata iso9660"),
        ("-o other.iso --format vfat", "cidata vfat"),
        ("-o drive.iso --config-drive", "config-2 iso9660"),
        ("-o drive.img --config-drive", "config-2 vfat"),
    ] {
        let (text, told) = place.expect(&format!("seed --user-data user-data {words}"), 0);
        let file = words.split(' ').nth(1).unwrap();
        assert_eq!(blkid(&place.path(file)), volume, "{words}");
        assert!(text.starts_with(&format!("{file}: ")), "{text}");
        assert_eq!(told, "");
    }
}

#[test]
fn it_says_what_it_made() {
    let place = place();
    let words = "seed --user-data user-data --meta-data meta-data --network-config network";
    let made = place.json(&format!("{words} --output seed.iso --json"), 0);
    let sum = succeed("sha256sum", "coreutils", &[place.path("seed.iso").to_str().unwrap()]);
    let sum = String::from_utf8(sum).unwrap();
    let size = fs::metadata(place.path("seed.iso")).unwrap().len();
    let expected = json!({
        "path": "seed.iso",
        "format": "iso",
        "label": "cidata",
        "size": size,
        "sha256": sum.split(' ').next().unwrap(),
        "files": [
            { "path": "meta-data", "size": 17 },
            { "path": "network-config", "size": 44 },
            { "path": "user-data", "size": 28 },
        ],
    });
    assert_eq!(made, expected);
    let (text, _) = place.expect(&format!("{words} --output seed.img"), 0);
    let expected = "seed.img: vfat, labelled cidata, 128 KiB\n  meta-data           17 B\n  \
                    network-config      44 B\n  user-data           28 B\n";
    assert_eq!(text, expected);
    // The same again, at the same time.
    let again = place.json(&format!("{words} --output again.iso --json"), 0);
    assert_eq!(again["sha256"], made["sha256"]);
}

#[test]
fn what_cannot_be_written_is_told_and_leaves_nothing() {
    let place = place();
    fs::write(place.path("there.iso"), "mine").unwrap();
    fs::create_dir(place.path("folder.iso")).unwrap();
    let count = || fs::read_dir(place.path(".")).unwrap().count();
    let before = count();
    for (words, exit, problem) in [
        ("--user-data user-data", 2, "--output FILE.iso"),
        ("--user-data user-data -o seed", 2, "add --format iso or --format vfat"),
        ("--user-data user-data -o seed.qcow2", 2, "add --format iso or --format vfat"),
        ("--user-data user-data -o seed.iso --format ext4", 2, "write iso or vfat"),
        ("--user-data user-data -o -", 2, "add --format"),
        ("--user-data user-data -o - --format iso", 2, "write ./-"),
        ("--output seed.iso", 2, "add --user-data FILE"),
        ("--user-data user-data -o user-data --format iso --force", 2, "the file of --user-data"),
        ("--user-data user-data -o there.iso", 1, "there.iso: the file exists already; --force"),
        ("--user-data user-data -o folder.iso --force", 1, "folder.iso: it is a directory"),
        ("--user-data user-data -o nodir/seed.iso", 1, "the folder nodir does not exist"),
        ("--user-data missing -o seed.iso", 1, "missing: no such file"),
        ("--user-data . -o seed.iso", 1, ".: not a regular file"),
        (
            "--user-data user-data --network-config network --config-drive -o seed.iso",
            1,
            "network: a ConfigDrive holds a network's settings in OpenStack's form: 'eth0' is not",
        ),
    ] {
        let (text, told) = place.expect(&format!("seed {words}"), exit);
        assert_eq!(text, "", "{words}");
        assert!(told.contains(problem) && told.lines().count() == 1, "{words}: {told}");
        assert_eq!(count(), before, "{words}");
    }
    assert_eq!(fs::read(place.path("there.iso")).unwrap(), b"mine");
    place.expect("seed --user-data user-data -o there.iso --force", 0);
    assert_eq!(blkid(&place.path("there.iso")), "cidata iso9660");
    assert_eq!(count(), before);
}

#[test]
fn a_volume_is_read_by_those_who_may_read_what_is_in_it() {
    let place = place();
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    let set = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("meta-data", 0o644);
    for (given, allowed) in [(0o600, 0o600), (0o640, 0o640), (0o400, 0o600), (0o644, 0o644)] {
        set("user-data", given);
        place.expect("seed --user-data user-data --meta-data meta-data -o seed.iso --force", 0);
        // The umask may take more.
        assert_eq!(mode("seed.iso") & !allowed, 0, "{given:o}");
        assert_eq!(mode("seed.iso") & 0o600, 0o600, "{given:o}");
    }
}
