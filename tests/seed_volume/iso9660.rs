//! ISO 9660, by libarchive, libisofs (xorriso), 7-Zip, isoinfo, isovfy, and beside what genisoimage
//! and xorriso make of the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sysprep_rs::seed::SeedFile;
use sysprep_rs::seed::volume::{Format, Tree, config_drive, nocloud};

use super::{
    CARRIED, Everything, NOW, Place, blkid, contents, edges, everything, given, random_tree, seed,
    text,
};
use crate::random::Random;
use crate::support::oracle::succeed;
use crate::support::random::{rounds, seed as random_seed};

/// Trees that libarchive can be told not to look at: then it reads Joliet, or the plain names.
const JOLIET: &str = "!rockridge";
const PLAIN: &str = "!rockridge,!joliet";

/// Everything that libarchive unpacks.
fn by_libarchive(volume: &Path, without: Option<&str>) -> Everything {
    let to = tempfile::tempdir().unwrap();
    let mut words = vec!["-xpf", text(volume), "--no-same-owner", "-C", text(to.path())];
    words.extend(without.iter().flat_map(|it| ["--options", it]));
    succeed("bsdtar", "libarchive-tools", &words);
    everything(to.path())
}

fn by_xorriso(volume: &Path) -> Everything {
    let to = tempfile::tempdir().unwrap();
    let to = to.path().join("all");
    let words = ["-osirrox", "on", "-indev", text(volume), "-extract", "/", text(&to)];
    succeed("xorriso", "xorriso", &words);
    everything(&to)
}

fn by_7zip(volume: &Path) -> Everything {
    let to = tempfile::tempdir().unwrap();
    succeed("7zz", "7zip", &["x", "-y", &format!("-o{}", text(to.path())), text(volume)]);
    everything(to.path())
}

/// isovfy walks every directory and looks for records and extents that do not fit.
fn isovfy_clean(volume: &Path) {
    let said = String::from_utf8(succeed("isovfy", "genisoimage", &[text(volume)])).unwrap();
    assert!(said.ends_with("No errors found\n"), "{said}");
}

/// Every reader finds every file as it was given, with its names in full.
fn readers_agree(volume: &Path, tree: &Tree<'_>) {
    isovfy_clean(volume);
    let given = given(tree);
    for (reader, found) in [
        ("libarchive, Rock Ridge", by_libarchive(volume, None)),
        ("libarchive, Joliet", by_libarchive(volume, Some(JOLIET))),
        ("xorriso", by_xorriso(volume)),
        ("7-Zip", by_7zip(volume)),
    ] {
        assert!(contents(&found) == given, "{reader}: {:?}", found.keys());
        for (path, it) in &found {
            assert_eq!(it.mtime, NOW.seconds, "{reader}: {path}");
            if ["libarchive, Rock Ridge", "xorriso"].contains(&reader) {
                let mode = if it.content.is_some() { 0o400 } else { 0o555 };
                assert_eq!(it.mode, mode, "{reader}: {path}");
            }
        }
    }
    // Plain names are others, but no two the same: as many, with the same contents.
    let plain = by_libarchive(volume, Some(PLAIN));
    let sorted = |all: &BTreeMap<&str, &[u8]>| {
        let mut all: Vec<Vec<u8>> = all.values().map(|it| it.to_vec()).collect();
        all.sort();
        all
    };
    assert!(sorted(&contents(&plain)) == sorted(&given), "plain: {:?}", plain.keys());
    for name in plain.keys().flat_map(|path| path.split('/')) {
        let (base, extension) = name.split_once('.').unwrap_or((name, ""));
        let is_capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!((1..=8).contains(&base.len()) && extension.len() <= 3, "{name}");
        assert!(name.chars().all(|c| is_capital(c) || c == '.'), "{name}");
    }
}

#[test]
fn every_reader_finds_files_at_the_edges_of_blocks() {
    let place = Place::new();
    let tree = edges();
    let volume = place.volume("edges.iso", &tree, "cidata", Format::Iso9660);
    readers_agree(&volume, &tree);
    assert_eq!(blkid(&volume, "TYPE"), "iso9660");
    assert_eq!(blkid(&volume, "LABEL"), "cidata");
    assert_eq!(blkid(&volume, "UUID"), "2023-11-14-22-13-20-00");
    let size = fs::metadata(&volume).unwrap().len();
    let said = String::from_utf8(succeed("isoinfo", "genisoimage", &["-d", "-i", text(&volume)]));
    let said = said.unwrap();
    for line in [
        &format!("Volume size is: {}", size / 2048) as &str,
        "Logical block size is: 2048",
        "Joliet with UCS level 3 found",
        "Rock Ridge signatures version 1 found",
    ] {
        assert!(said.lines().any(|it| it == line), "{line}\n{said}");
    }
}

#[test]
fn every_reader_finds_random_trees() {
    let place = Place::new();
    for round in 0..rounds(12) as u64 {
        let mut random = Random::new("random ISO 9660 trees", random_seed(0x150) + round);
        let tree = random_tree(&mut random);
        let volume = place.volume("random.iso", &tree, "cidata", Format::Iso9660);
        readers_agree(&volume, &tree);
        super::structure::is_sound(&fs::read(&volume).unwrap());
    }
}

/// Lays the files out on the host as they are in the volume: with its modes and times.
fn lay_out(tree: &Tree<'_>, folder: &Path) {
    let mut folders = BTreeSet::from([folder.to_owned()]);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.seconds as u64);
    let set = |path: &Path, mode| {
        let file = fs::File::open(path).unwrap();
        file.set_modified(time).unwrap();
        file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
    };
    for (path, content) in tree.files() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        set(&path, 0o400);
        let above = path.ancestors().skip(1).take_while(|it| it.starts_with(folder));
        folders.extend(above.map(Path::to_owned));
    }
    for folder in folders.iter().rev() {
        set(folder, 0o555);
    }
}

/// What isoinfo lists, without where things lie.
fn listed(volume: &Path, names: &[&str]) -> Vec<String> {
    let words = [names, &["-l", "-i", text(volume)]].concat();
    let said = String::from_utf8(succeed("isoinfo", "genisoimage", &words)).unwrap();
    let line = |line: &str| match (line.split_once('['), line.split_once(']')) {
        (Some((front, _)), Some((_, back))) => format!("{front}{back}"),
        _ => line.to_owned(),
    };
    said.lines().map(line).collect()
}

#[test]
fn it_is_what_genisoimage_and_xorriso_make() {
    let (all, carried) = (seed(&SeedFile::ALL), seed(&CARRIED));
    for (tree, label) in [
        (nocloud::tree(&all).unwrap(), nocloud::LABEL),
        (config_drive::tree(&carried).unwrap(), config_drive::LABEL),
    ] {
        let place = Place::new();
        let ours = place.volume("ours.iso", &tree, label, Format::Iso9660);
        let (files, theirs) = (place.path("files"), place.path("theirs.iso"));
        fs::create_dir(&files).unwrap();
        lay_out(&tree, &files);
        // As cloud-localds calls it; the owner is root in ours.
        let words = ["-quiet", "-output", text(&theirs), "-volid", label, "-joliet", "-rock"];
        let words = [&words[..], &["-uid", "0", "-gid", "0", text(&files)]].concat();
        succeed("genisoimage", "genisoimage", &words);
        for names in [&["-R"][..], &["-J"], &[]] {
            assert_eq!(listed(&ours, names), listed(&theirs, names), "{names:?}");
        }
        let tables = |volume| {
            let said = succeed("isoinfo", "genisoimage", &["-p", "-i", text(volume)]);
            let said = String::from_utf8(said).unwrap();
            // Number, directory above, block, name.
            let without_places = |line: &str| {
                let words = line.split_whitespace().enumerate().filter(|(at, _)| *at != 2);
                words.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
            };
            said.lines().skip(1).map(without_places).collect::<Vec<_>>()
        };
        assert_eq!(tables(&ours), tables(&theirs));
        for without in [None, Some(JOLIET), Some(PLAIN)] {
            let read = |volume| by_libarchive(volume, without);
            assert_eq!(read(&ours), read(&theirs), "{without:?}");
        }
        assert_eq!(by_7zip(&ours), by_7zip(&theirs));
        for tag in ["LABEL", "TYPE", "BLOCK_SIZE", "VERSION"] {
            assert_eq!(blkid(&ours, tag), blkid(&theirs, tag));
        }
        fs::remove_file(&theirs).unwrap();
        let words = ["-as", "mkisofs", "-quiet", "-iso-level", "1", "-uid", "0", "-gid", "0", "-J"];
        let words = [&words[..], &["-R", "-V", label, "-o", text(&theirs), text(&files)]].concat();
        succeed("xorriso", "xorriso", &words);
        for without in [None, Some(JOLIET), Some(PLAIN)] {
            let read = |volume| by_libarchive(volume, without);
            assert_eq!(read(&ours), read(&theirs), "{without:?}");
        }
        // So that the folder can be removed.
        everything(&files);
    }
}
