//! Bitmaps that call free what is in use, and blocks with two owners: nothing may be discarded or
//! given away then, so the edit is refused.

use std::fs::File;

use sysprep_rs::block::{ReadBlocks, WriteBlocks};
use sysprep_rs::fs::ext4::source::{DeviceSource, Source};
use sysprep_rs::fs::ext4::superblock::Superblock;

use super::*;
use crate::support::oracle::succeed;

/// Runs debugfs commands on a copy of the image and edits that: it is refused with a text that has
/// all of `expected` in it, also when new files are given what is called free.
pub(super) fn refused(what: &str, image: &Path, commands: &[String], expected: &[&str]) {
    let scratch = image.with_extension("damaged");
    fs::copy(image, &scratch).unwrap();
    let commands: Vec<Vec<u8>> = commands.iter().map(|line| line.clone().into_bytes()).collect();
    debugfs::script(&scratch, true, &commands);
    refused_disk(what, &Disk::from_file(&scratch), expected);
}

fn refused_disk(what: &str, damaged: &Disk, expected: &[&str]) {
    let disk = Arc::new(damaged.clone());
    let result = open(&disk, &OPTIONS).and_then(|editor| editor.finish());
    let Err(error @ FsError::Corrupt(_)) = result else { panic!("{what}: {result:?}") };
    let said = error.to_string();
    for word in expected {
        assert!(said.contains(word), "{what}: '{word}' is not in: {said}");
    }
    let disk = Arc::new(damaged.clone());
    let options = EditOptions { keep_free_space: true, ..OPTIONS };
    let result = open(&disk, &options).and_then(|mut editor| {
        let meta = NewMeta::default();
        let root = editor.view().root();
        editor.create(root, b"new", NewKind::File(&content(60, 50_000)), &meta)?;
        editor.create(root, b"another", NewKind::File(b"x"), &meta)?;
        editor.finish()
    });
    assert!(matches!(result, Err(FsError::Corrupt(_))), "{what}: {result:?}");
}

/// What `debugfs` says of the blocks of a path or `<inode>`: those of content, and of the map.
pub(super) fn blocks(image: &Path, path: &str) -> (Vec<u64>, Vec<u64>) {
    let said = debugfs::script(image, false, &[format!("stat {path}").into_bytes()]);
    let said = String::from_utf8_lossy(&said[0]).into_owned();
    let list = said.split_once("EXTENTS:").or_else(|| said.split_once("BLOCKS:")).unwrap().1;
    let (mut content, mut map) = (Vec::new(), Vec::new());
    for part in list.split(&[',', '\n'][..]) {
        let Some((place, numbers)) = part.trim().split_once("):") else { continue };
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let run: std::ops::RangeInclusive<u64> = first.parse().unwrap()..=last.parse().unwrap();
        let is_map = ["(ETB", "(IND", "(DIND", "(TIND"].iter().any(|it| place.starts_with(it));
        if is_map { &mut map } else { &mut content }.extend(run);
    }
    (content, map)
}

#[test]
fn a_live_block_that_is_called_free() {
    for args in [
        &["-t", "ext4", "-b", "4096", "-O", "orphan_file"][..],
        &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"],
        &["-t", "ext3", "-b", "1024", "-I", "128"],
        &["-t", "ext4", "-b", "4096", "-O", "bigalloc", "-C", "16384"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), args, 12 << 20);
        let source = Disk::from_file(&image);
        let superblock = Superblock::read(&source).unwrap();
        let freed = |block: u64| vec![format!("freeb {block}")];
        let check = |what: &str, block: u64, owner: &str| {
            let what = format!("{args:?}, {what}");
            // Of a cluster the first block is named.
            let first = if args.contains(&"bigalloc") { block & !3 } else { block };
            let number = if owner == "own" { String::new() } else { format!("block {first} ") };
            refused(&what, &image, &freed(block), &["block bitmap", "group", owner, &number]);
        };
        let inode = |path: &str| format!("inode {}", node(&image, path));
        let (content, map) = blocks(&image, "/var/log/holes");
        check("the first block of a file", content[0], &inode("/var/log/holes"));
        check("the last block of a file", *content.last().unwrap(), &inode("/var/log/holes"));
        check("a block of a file's map", map[0], &inode("/var/log/holes"));
        check("a directory", blocks(&image, "/many").0[0], &inode("/many"));
        let (journal, _) = blocks(&image, "<8>");
        check("the journal", *journal.last().unwrap(), "inode 8");
        if args.contains(&"1024") {
            let (_, map) = blocks(&image, "<7>");
            check("the resize inode", map[0], "inode 7");
        }
        let orphans = superblock.orphan_file_inode();
        if orphans != 0 {
            let (content, _) = blocks(&image, &format!("<{orphans}>"));
            check("the orphan file", content[0], &format!("inode {orphans}"));
        }
        let group = DeviceSource::new(Arc::new(source), superblock.clone()).group(0).unwrap();
        for (what, block) in [
            ("the block bitmap", group.block_bitmap()),
            ("the inode bitmap", group.inode_bitmap()),
            ("the inode table", group.inode_table() + 1),
            ("the group descriptors", u64::from(superblock.first_data_block()) + 1),
        ] {
            check(what, block, "own");
        }
    }
}

/// debugfs waits for other hosts before it writes with MMP, so the bit is cleared by hand.
#[test]
fn a_multi_mount_block_that_is_called_free() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("fs.img");
    File::create(&image).unwrap().set_len(12 << 20).unwrap();
    let args = ["-q", "-t", "ext4", "-O", "mmp,^metadata_csum,^64bit", image.to_str().unwrap()];
    succeed("mke2fs", "e2fsprogs", &args);
    let disk = Disk::from_file(&image);
    let superblock = Superblock::read(&disk).unwrap();
    let (group, bit) = superblock.group_of_block(superblock.mmp_block()).unwrap();
    let source = DeviceSource::new(Arc::new(disk.clone()), superblock.clone());
    let bitmap = source.group(group).unwrap().block_bitmap();
    let at = bitmap * u64::from(superblock.block_size()) + u64::from(bit / 8);
    let mut byte = [0];
    disk.read_at(at, &mut byte).unwrap();
    disk.write_at(at, &[byte[0] & !(1 << (bit % 8))]).unwrap();
    refused_disk("multi-mount protection", &disk, &["block bitmap", "multi-mount"]);
}

#[test]
fn a_block_of_attributes_that_is_called_free() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-b", "4096"];
    let image = recipe::ext4(dir.path(), &mut tree(), &args, 12 << 20);
    let said = debugfs::script(&image, false, &[b"stat /etc/shadow".to_vec()]);
    let said = String::from_utf8_lossy(&said[0]).into_owned();
    let block = said.split_once("File ACL: ").unwrap().1.split_whitespace().next().unwrap();
    assert_ne!(block, "0");
    let free = [format!("freeb {block}")];
    refused("its own", &image, &free, &["block bitmap", &format!("block {block}")]);
    // Many inodes may share one.
    let share = format!("sif /etc/hostname file_acl {block}");
    debugfs::script(&image, true, &[share.into_bytes()]);
    refused("shared", &image, &free, &["block bitmap", &format!("block {block}")]);
    let editor = open(&Arc::new(Disk::from_file(&image)), &OPTIONS).unwrap();
    editor.finish().unwrap();
}

#[test]
fn a_block_with_two_owners() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext2", "-b", "1024"];
    let image = recipe::ext4(dir.path(), &mut tree(), &args, 12 << 20);
    let (big, _) = blocks(&image, "/var/log/big");
    let twice = [format!("sif /var/log/log.1 block[1] {}", big[3])];
    let block = format!("block {}", big[3]);
    refused("two files", &image, &twice, &["inode", "block map", &block, "too"]);
    let own = [format!("sif /var/log/log.1 block[1] {}", blocks(&image, "/var/log/log.1").0[0])];
    refused("one file", &image, &own, &["block map", &inode_text(&image, "/var/log/log.1")]);
    let metadata = ["sif /var/log/log.1 block[1] 2".to_owned()];
    refused("metadata", &image, &metadata, &["block map", "block 2", "own"]);
}

fn inode_text(image: &Path, path: &str) -> String {
    format!("inode {}", node(image, path))
}

#[test]
fn a_live_inode_that_is_called_free() {
    let dir = tempfile::tempdir().unwrap();
    for (args, what) in [
        (&["-t", "ext4", "-b", "4096"][..], "ext4"),
        (&["-t", "ext3", "-b", "1024", "-I", "128"], "ext3"),
    ] {
        let dir = dir.path().join(what);
        fs::create_dir(&dir).unwrap();
        let image = recipe::ext4(&dir, &mut tree(), args, 12 << 20);
        for path in ["/etc/hostname", "/var/log/short", "/etc/empty"] {
            let number = inode_text(&image, path);
            let free = [format!("freei <{}>", node(&image, path))];
            refused(path, &image, &free, &["inode bitmap", &number]);
        }
        // Without a word of it in the table: the name tells.
        let number = node(&image, "/etc/hostname");
        let gone = [
            format!("sif <{number}> links_count 0"),
            format!("sif <{number}> dtime 1"),
            format!("freei <{number}>"),
        ];
        refused("a name", &image, &gone, &["inode bitmap", &format!("inode {number}"), "hostname"]);
    }
}
