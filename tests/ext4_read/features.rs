//! A tree with one of everything, on every combination of features.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::fs::ext4::xattr::Value;
use sysprep_rs::fs::ext4::{DRIVER, attributes, check, judge};
use sysprep_rs::fs::{FsError, ReadFs, probe};

use super::{device, node, open};
use crate::recipes::everything;
use crate::support::disk::Disk;
use crate::support::model::{self, Model};
use crate::support::oracle::succeed;
use crate::support::snapshot::{assert_same, of_fs, of_judge};
use crate::support::spec::{Spec, path};
use crate::support::{debugfs, ext4_view, recipe};

const MIB: u64 = 1 << 20;

fn header(image: &Path) -> String {
    let said = succeed("dumpe2fs", "e2fsprogs", &["-h", image.to_str().unwrap()]);
    String::from_utf8(said).unwrap()
}

fn field<'a>(header: &'a str, label: &str) -> &'a str {
    header
        .lines()
        .find_map(|line| line.strip_prefix(label))
        .unwrap_or_else(|| panic!("{label}"))
        .trim()
}

/// Reads an image with a tree and compares it with all other readers. `view` says whether
/// ext4-view can read it.
fn compare(args: &[&str], kind: &str, spec: &mut Spec, len: u64, view: bool) {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), spec, args, len);
    let expected = of_fs(&Model::new(model::UNIX, spec)).unwrap();
    let fs = open(&image);
    let what = args.join(" ");
    let ours = of_fs(&fs).unwrap();
    assert_same(&format!("{what}: ours"), &expected, &ours);
    // debugfs shows the place of inline content as an attribute, and dumps all 60 bytes of it.
    if !args.contains(&"inline_data") {
        assert_same(&format!("{what}: debugfs"), &debugfs::snapshot(&image), &ours);
    }

    // ext4-view takes a hole in a file without extents for block 0.
    let extents = fs.info().features.contains(&"extent".to_owned());
    let unreadable = |at: &_| !extents && *at == path("/var/sparse");
    match ext4_view::snapshot(Arc::new(Disk::from_file(&image)), &unreadable) {
        Ok(tree) => {
            assert!(view, "{what}: ext4-view reads it");
            assert_same(&format!("{what}: ext4-view"), &tree, &ours);
            if extents {
                let judge = judge::judge(device(&image)).unwrap();
                assert_same(&format!("{what}: judge"), &of_judge(&*judge).unwrap(), &ours);
            }
        }
        Err(error) => assert!(!view, "{what}: ext4-view: {error}"),
    }

    let info = fs.info();
    let header = header(&image);
    let features: BTreeSet<&str> =
        field(&header, "Filesystem features:").split_whitespace().collect();
    assert_eq!(
        info.features.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        features,
        "{what}"
    );
    assert_eq!(info.uuid.as_deref(), Some(field(&header, "Filesystem UUID:")));
    let number = |label| -> u64 { field(&header, label).parse().unwrap() };
    assert_eq!(info.free, number("Free blocks:") * u64::from(info.block_size), "{what}");
    assert_eq!(info.size, number("Block count:") * u64::from(info.block_size), "{what}");
    assert_eq!(info.kind, kind, "{what}");
    assert!(!info.dirty);
    assert_eq!(probe(&*device(&image)).unwrap().map(|driver| driver.name), Some(DRIVER.name));
    assert_eq!(check::check(&*device(&image)).unwrap(), Vec::<String>::new(), "{what}");
}

fn compare_all(cases: &[(&[&str], &str, bool)]) {
    for (args, kind, view) in cases {
        compare(args, kind, &mut everything(), 16 * MIB, *view);
    }
}

#[test]
fn block_sizes() {
    compare_all(&[
        (&["-t", "ext4", "-b", "1024"], "ext4", true),
        (&["-t", "ext4", "-b", "2048"], "ext4", true),
        (&["-t", "ext4", "-b", "4096"], "ext4", true),
    ]);
}

#[test]
fn ext2_and_ext3() {
    compare_all(&[
        (&["-t", "ext2", "-b", "1024", "-I", "128"], "ext2", true),
        (&["-t", "ext2", "-b", "4096"], "ext2", true),
        (&["-t", "ext3", "-b", "1024"], "ext3", true),
        (&["-t", "ext4", "-O", "^extents,^64bit", "-b", "1024"], "ext4", true),
        (&["-t", "ext4", "-O", "^has_journal"], "ext4", true),
    ]);
}

#[test]
fn group_descriptors() {
    compare_all(&[
        (&["-t", "ext4", "-O", "^64bit", "-g", "1024", "-b", "1024"], "ext4", true),
        (&["-t", "ext4", "-O", "64bit", "-g", "1024", "-b", "1024"], "ext4", true),
        (&["-t", "ext4", "-O", "^flex_bg", "-g", "1024", "-b", "1024"], "ext4", true),
        (&["-t", "ext4", "-O", "meta_bg,^resize_inode", "-g", "256", "-b", "1024"], "ext4", false),
        (&["-t", "ext4", "-O", "sparse_super2", "-g", "1024", "-b", "1024"], "ext4", true),
        (
            &["-t", "ext4", "-O", "^sparse_super,^resize_inode", "-g", "1024", "-b", "1024"],
            "ext4",
            true,
        ),
    ]);
}

#[test]
fn checksums() {
    compare_all(&[
        (&["-t", "ext4", "-O", "^metadata_csum,uninit_bg"], "ext4", true),
        (&["-t", "ext4", "-O", "^metadata_csum,uninit_bg,64bit"], "ext4", true),
        (&["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"], "ext4", true),
        (&["-t", "ext4", "-O", "metadata_csum_seed"], "ext4", true),
        (&["-t", "ext4", "-I", "128"], "ext4", false),
        (&["-t", "ext4", "-I", "1024"], "ext4", true),
    ]);
}

#[test]
fn newer_features() {
    compare_all(&[
        (&["-t", "ext4", "-O", "orphan_file"], "ext4", true),
        (&["-t", "ext4", "-O", "large_dir"], "ext4", false),
        (&["-t", "ext4", "-O", "casefold"], "ext4", false),
        (&["-t", "ext4", "-O", "encrypt"], "ext4", true),
        (&["-t", "ext4", "-O", "verity"], "ext4", true),
    ]);
}

#[test]
fn more_of_the_newer_features() {
    compare_all(&[
        (&["-t", "ext4", "-O", "stable_inodes"], "ext4", true),
        (&["-t", "ext4", "-O", "project"], "ext4", true),
        (&["-t", "ext4", "-O", "fast_commit"], "ext4", true),
        (&["-t", "ext4", "-O", "mmp"], "ext4", false),
    ]);
}

#[test]
fn inline_data() {
    for args in [
        &["-t", "ext4", "-O", "inline_data"][..],
        &["-t", "ext4", "-O", "inline_data", "-I", "1024"],
    ] {
        let mut spec = everything();
        // mke2fs makes it too short with this feature.
        spec.0.remove(&path("/var/sparse"));
        spec.directory("/small");
        for len in [1, 59, 60, 61, 100, 130, 160, 200, 500, 800, 900] {
            spec.file(&format!("/small/{len}"), vec![b'a' + (len % 26) as u8; len]);
            spec.symlink(&format!("/small/to-{len}"), "t".repeat(len));
        }
        compare(args, "ext4", &mut spec, 16 * MIB, false);
    }
}

#[test]
fn bigalloc() {
    compare_all(&[
        (&["-t", "ext4", "-O", "bigalloc", "-C", "16384"], "ext4", true),
        (&["-t", "ext4", "-O", "bigalloc", "-b", "1024", "-C", "65536"], "ext4", true),
    ]);
}

#[test]
fn attribute_values_in_inodes() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.file("/file", "content");
    let args = ["-t", "ext4", "-b", "4096", "-O", "ea_inode"];
    let image = recipe::ext4(dir.path(), &mut spec, &args, 16 * MIB);
    // The longest debugfs takes; none of the long ones fits in a block with its entry.
    let values = [vec![b's'], (0..4096_u32).map(|n| (n % 251) as u8).collect(), vec![b'm'; 4096]];
    for (number, value) in values.iter().enumerate() {
        let from = dir.path().join("value");
        std::fs::write(&from, value).unwrap();
        let command = format!("ea_set -f {} /file user.{number}", from.display());
        debugfs::script(&image, true, &[command.into_bytes()]);
    }
    let fs = open(&image);
    let found = fs.xattrs(node(&fs, "/file")).unwrap();
    assert_eq!(
        found.iter().map(|it| &it.value).collect::<Vec<_>>(),
        values.iter().collect::<Vec<_>>()
    );
    let stored = attributes::stored(fs.source(), &fs.inode(node(&fs, "/file")).unwrap()).unwrap();
    let apart = stored.iter().filter(|it| matches!(it.value, Value::Inode { .. })).count();
    assert_eq!(apart, 2);
    assert_same("debugfs", &debugfs::snapshot(&image), &of_fs(&fs).unwrap());
}

#[test]
fn quota_files_do_not_matter_to_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    std::fs::write(tree.join("a/b/file"), vec![b'x'; 5000]).unwrap();
    let (image, tree) = (dir.path().join("fs.img"), tree.to_str().unwrap().to_owned());
    let args = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "quota,project",
        "-d",
        &tree,
        image.to_str().unwrap(),
        "8M",
    ];
    succeed("mke2fs", "e2fsprogs", &args);
    let ours = of_fs(&open(&image)).unwrap();
    assert_eq!(ours.len(), 5);
    assert_same("debugfs", &debugfs::snapshot(&image), &ours);
}

#[test]
fn what_the_editor_would_refuse_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("fs.img");
    let image_text = image.to_str().unwrap();
    for (args, reason) in [
        ("quota", Some("feature quota")),
        ("mmp,orphan_file,inline_data,casefold,ea_inode,verity,encrypt,large_dir", None),
    ] {
        succeed("mke2fs", "e2fsprogs", &["-q", "-F", "-t", "ext4", "-O", args, image_text, "8M"]);
        assert_eq!(open(&image).info().read_only_because.as_deref(), reason, "{args}");
    }
    debugfs::script(&image, true, &[b"ssv state 2".to_vec()]);
    assert!(open(&image).info().read_only_because.unwrap().contains("errors"));
    debugfs::script(&image, true, &[b"feature FEATURE_I30".to_vec()]);
    match sysprep_rs::fs::ext4::open(device(&image)).map(|_| ()) {
        Err(FsError::Unsupported(what)) => assert_eq!(what, "feature FEATURE_I30"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_accounts_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4"], 16 * MIB);
    let fresh = std::fs::read(&image).unwrap();
    for (command, problem) in [
        ("ssv free_blocks_count 5", "free blocks"),
        ("ssv free_inodes_count 5", "free inodes"),
        ("set_bg 0 free_inodes_count 5", "free inodes"),
        ("set_bg 0 free_blocks_count 5", "free clusters"),
        ("set_bg 0 used_dirs_count 1", "directories"),
        ("set_bg 0 checksum 1", "checksum"),
        ("freei /etc/shadow", "free inodes"),
        ("freeb 100", "free clusters"),
        ("sif /etc/shadow links_count 0", "without a name"),
    ] {
        std::fs::write(&image, &fresh).unwrap();
        let mut commands = vec![command.as_bytes().to_vec()];
        if command.starts_with("set_bg") && !command.contains("checksum") {
            commands.push(b"set_bg 0 checksum calc".to_vec());
        }
        debugfs::script(&image, true, &commands);
        let problems = check::check(&*device(&image)).unwrap();
        assert!(problems.iter().any(|it| it.contains(problem)), "{command}: {problems:?}");
    }
}
