//! Large and odd directories.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use sysprep_rs::fs::ext4::inode::INDEX;
use sysprep_rs::fs::ext4::judge;
use sysprep_rs::fs::{FsError, ReadFs};
use sysprep_rs::path::GuestPath;

use super::{device, node, open};
use crate::support::debugfs;
use crate::support::oracle::{run, succeed};

fn name(number: usize) -> String {
    format!("{number:05}-{}", "n".repeat(number * 7 % 40))
}

fn directory_of(count: usize, dir: &Path, args: &[&str], size: &str) -> std::path::PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("many")).unwrap();
    for number in 0..count {
        fs::write(tree.join("many").join(name(number)), "").unwrap();
    }
    let image = dir.join("fs.img");
    let mut all = vec!["-q", "-F", "-N", "20000", "-d", tree.to_str().unwrap()];
    all.extend(args);
    all.extend([image.to_str().unwrap(), size]);
    succeed("mke2fs", "e2fsprogs", &all);
    // Builds the index; exits with 1 for a filesystem it changed.
    let output = run("e2fsck", "e2fsprogs", &["-fyD", image.to_str().unwrap()]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    image
}

#[test]
fn ten_thousand_names_through_their_index() {
    through_the_index(10_000, &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum"]);
}

/// Blocks so small that the index has an inner level.
#[test]
fn two_thousand_names_through_a_deeper_index() {
    through_the_index(2500, &["-t", "ext4", "-b", "1024"]);
}

fn through_the_index(count: usize, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let image = directory_of(count, dir.path(), args, "64M");
    let fs = open(&image);
    let many = node(&fs, "/many");
    assert!(fs.inode(many).unwrap().has_flag(INDEX), "e2fsck -D made an index");
    let mut listed = BTreeMap::new();
    fs.entries(many, &mut |entry| {
        assert!(listed.insert(entry.name.to_vec(), entry.node).is_none());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(listed.len(), count);
    for number in 0..count {
        let name = name(number);
        let found = fs.lookup(many, name.as_bytes()).unwrap();
        assert_eq!(found, listed.get(name.as_bytes()).copied(), "{name}");
        assert_eq!(fs.lookup(many, format!("{name}.").as_bytes()).unwrap(), None);
    }
}

#[test]
fn the_walk_stops_where_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let image = directory_of(300, dir.path(), &["-t", "ext4"], "16M");
    let fs = open(&image);
    let mut seen = 0;
    fs.entries(node(&fs, "/many"), &mut |_| {
        seen += 1;
        if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 7);
}

#[test]
fn a_broken_index_is_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    let image =
        directory_of(700, dir.path(), &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], "16M");
    // The root's hash version: no such hash.
    let said = debugfs::script(&image, false, &[b"bmap /many 0".to_vec()]);
    let block: u64 = String::from_utf8_lossy(&said[0]).trim().parse().unwrap();
    let mut bytes = fs::read(&image).unwrap();
    bytes[block as usize * 1024 + 28] = 99;
    fs::write(&image, bytes).unwrap();
    let fs = open(&image);
    let many = node(&fs, "/many");
    for number in (0..700).step_by(97) {
        assert!(fs.lookup(many, name(number).as_bytes()).unwrap().is_some());
    }
}

#[test]
fn encrypted_directories_are_flagged_and_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let image = directory_of(3, dir.path(), &["-t", "ext4", "-O", "encrypt"], "16M");
    let file = format!("/many/{}", name(1));
    let commands = ["sif /many flags 0x80800".to_owned(), format!("sif {file} flags 0x80800")];
    debugfs::script(&image, true, &commands.map(String::into_bytes));
    let fs = open(&image);
    let many = node(&fs, "/many");
    assert!(fs.stat(many).unwrap().encrypted);
    let mut names = Vec::new();
    fs.entries(many, &mut |entry| {
        names.push((entry.name.to_vec(), entry.node));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(names.len(), 3);
    for (name, node) in names {
        assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
        assert_eq!(fs.lookup(many, &name).unwrap(), Some(node));
        if fs.stat(node).unwrap().encrypted {
            assert!(fs.read_at(node, 0, &mut [0; 4]).is_err());
        }
    }
}

/// ext4-view looks a thousand names up before it says that a path has too many.
#[test]
fn the_judge_says_at_once_that_a_path_is_too_deep_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let image = directory_of(1, dir.path(), &["-t", "ext4"], "16M");
    let judge = judge::judge(device(&image)).unwrap();
    let deep = |names: usize| GuestPath::from_bytes("/d".repeat(names).as_bytes()).unwrap();
    assert!(matches!(judge.stat(&deep(1000)), Ok(None)));
    assert!(matches!(judge.stat(&deep(1001)), Err(FsError::Unsupported(_))));
}
