//! FAT, by mtools and fsck.vfat, and beside what mkfs.vfat and mcopy make of the same files.

use std::fs;
use std::path::Path;

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::Kind;
use sysprep_rs::seed::SeedFile;
use sysprep_rs::seed::volume::{Format, Tree, config_drive, nocloud};

use super::{CARRIED, NOW, Place, blkid, edges, random_tree, seed, text};
use crate::random::Random;
use crate::support::random::{rounds, seed as random_seed};
use crate::support::{mtools, oracle};

/// mtools finds every file as it was given, and fsck.vfat nothing to say.
fn readers_agree(volume: &Path, tree: &Tree<'_>) {
    oracle::fsck_vfat_clean(volume);
    let found = mtools::snapshot(volume);
    let files: Vec<(String, Digest)> = found
        .iter()
        .filter(|(_, it)| it.kind == Some(Kind::File))
        .map(|(path, it)| {
            assert_eq!(it.mtime, Some(NOW.seconds), "{path}");
            (path.to_string().trim_start_matches('/').to_owned(), it.content.unwrap())
        })
        .collect();
    let given: Vec<_> = tree.files().map(|(path, it)| (path.to_owned(), Digest::of(it))).collect();
    let sorted = |mut files: Vec<(String, Digest)>| {
        files.sort_by(|one, other| one.0.cmp(&other.0));
        files
    };
    assert_eq!(sorted(files), sorted(given));
}

#[test]
fn readers_find_files_at_the_edges_of_clusters() {
    let place = Place::new();
    let tree = edges();
    let volume = place.volume("edges.img", &tree, "cidata", Format::Vfat);
    readers_agree(&volume, &tree);
    for (tag, value) in [("TYPE", "vfat"), ("LABEL", "cidata"), ("LABEL_FATBOOT", "cidata")] {
        assert_eq!(blkid(&volume, tag), value);
    }
}

#[test]
fn readers_find_random_trees() {
    let place = Place::new();
    for round in 0..rounds(12) as u64 {
        let mut random = Random::new("random FAT trees", random_seed(0xfa7) + round);
        let tree = random_tree(&mut random);
        let volume = place.volume("random.img", &tree, "cidata", Format::Vfat);
        readers_agree(&volume, &tree);
    }
}

#[test]
fn it_is_what_mkfs_vfat_and_mcopy_make() {
    let seed = seed(&SeedFile::ALL);
    let tree = nocloud::tree(&seed).unwrap();
    let place = Place::new();
    let ours = place.volume("ours.img", &tree, nocloud::LABEL, Format::Vfat);
    readers_agree(&ours, &tree);
    // As cloud-localds does.
    let theirs = place.path("theirs.img");
    fs::File::create(&theirs).unwrap().set_len(128 << 10).unwrap();
    oracle::succeed("mkfs.vfat", "dosfstools", &["-n", "cidata", text(&theirs)]);
    for (path, content) in tree.files() {
        fs::write(place.path(path), content).unwrap();
        let from = place.path(path);
        oracle::succeed("mcopy", "mtools", &["-oi", text(&theirs), text(&from), "::"]);
    }
    let names = |volume| {
        let listed = oracle::succeed("mdir", "mtools", &["-b", "-i", text(volume), "::"]);
        String::from_utf8(listed).unwrap()
    };
    assert_eq!(names(&ours), names(&theirs));
    for tag in ["LABEL", "LABEL_FATBOOT", "TYPE", "VERSION", "SEC_TYPE", "BLOCK_SIZE"] {
        assert_eq!(blkid(&ours, tag), blkid(&theirs, tag), "{tag}");
    }
    assert_eq!(fs::metadata(&ours).unwrap().len(), fs::metadata(&theirs).unwrap().len());
}

#[test]
fn a_config_drive_is_one_in_fat_too() {
    let seed = seed(&CARRIED);
    let tree = config_drive::tree(&seed).unwrap();
    let place = Place::new();
    let volume = place.volume("drive.img", &tree, config_drive::LABEL, Format::Vfat);
    readers_agree(&volume, &tree);
    assert_eq!(blkid(&volume, "LABEL"), "config-2");
}
