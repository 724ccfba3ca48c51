//! bigalloc: clusters that are in use as a whole and mapped in part.

use std::collections::BTreeSet;

use sysprep_rs::block::WriteBlocks;
use sysprep_rs::fs::ext4::source::{DeviceSource, Source};
use sysprep_rs::fs::ext4::superblock::Superblock;

use super::inconsistent::{blocks, refused};
use super::*;

const BLOCK: u64 = 4096;
/// Blocks in a cluster.
const RATIO: u64 = 4;
const ARGS: [&str; 8] = ["-t", "ext4", "-b", "4096", "-O", "bigalloc,orphan_file", "-C", "16384"];

const WITHOUT_CHECKSUMS: [&str; 8] =
    ["-t", "ext4", "-b", "4096", "-O", "bigalloc,^metadata_csum", "-C", "16384"];

/// An image with files cut, with holes, and in so many pieces that their map has a block of its own;
/// markers 70 lie in the rest of every cluster that one of them has.
fn image(dir: &Path) -> PathBuf {
    let image = recipe::ext4(dir, &mut tree(), &ARGS, 24 << 20);
    let cut = [
        "punch /var/log/big 9 11",
        "punch /var/log/big 200",
        "sif /var/log/big size 819000",
        "punch /var/log/log.1 0 0",
        "sif /var/log/log.1 size 9000",
    ];
    debugfs::script(&image, true, &cut.map(|line| line.as_bytes().to_vec()));
    e2fsck_clean(&image);
    let paths = ["/", "/many", "/var/log/big", "/var/holes", "/etc/shadow", "<8>"];
    let mut mapped = BTreeSet::new();
    for path in paths {
        let (content, map) = blocks(&image, path);
        mapped.extend(content.into_iter().chain(map));
    }
    assert!(!blocks(&image, "/var/holes").1.is_empty(), "a map of its own");
    let said = debugfs::script(&image, false, &[b"stat /etc/shadow".to_vec()]);
    let said = String::from_utf8_lossy(&said[0]).into_owned();
    let attributes = said.split_once("File ACL: ").unwrap().1.split_whitespace().next().unwrap();
    assert_ne!(attributes, "0");
    mapped.insert(attributes.parse().unwrap());
    let disk = Disk::from_file(&image);
    let clusters: BTreeSet<u64> = mapped.iter().map(|block| block / RATIO).collect();
    let blocks = clusters.into_iter().flat_map(|it| it * RATIO..(it + 1) * RATIO);
    let mut count = 0;
    for block in blocks.filter(|block| !mapped.contains(block)) {
        disk.write_at(block * BLOCK, &content(70, BLOCK as usize)).unwrap();
        count += 1;
    }
    assert!(count > 30, "{count} blocks");
    disk.save(&image);
    e2fsck_clean(&image);
    image
}

#[test]
fn nothing_stays_in_the_rest_of_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path());
    let before = debugfs::snapshot(&image);
    assert!(on_disk(&Disk::from_file(&image)).contains(&70));
    let scratch = dir.path().join("edited.img");
    for keep_free_space in [true, false] {
        fs::copy(&image, &scratch).unwrap();
        edit_with(&scratch, &EditOptions { keep_free_space, ..OPTIONS }, &|_| {});
        let left = on_disk(&Disk::from_file(&scratch));
        assert_eq!(left.contains(&70), keep_free_space, "{left:x?}");
        assert_same("debugfs", &before, &debugfs::snapshot(&scratch));
    }
}

#[test]
fn what_a_crash_cut_off_goes_out_of_a_cluster_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &ARGS, 24 << 20);
    let big = node(&image, "/var/log/big");
    let (content, _) = blocks(&image, "/var/log/big");
    let disk = Disk::from_file(&image);
    disk.write_at(content[2] * BLOCK, &marker(71)).unwrap();
    disk.save(&image);
    let cut = [
        format!("sif <{big}> size 5000"),
        format!("sif <{big}> dtime @0"),
        format!("ssv last_orphan {big}"),
    ];
    debugfs::script(&image, true, &cut.map(String::into_bytes));
    edit_with(&image, &EditOptions { keep_free_space: true, ..OPTIONS }, &|_| {});
    assert!(!on_disk(&Disk::from_file(&image)).contains(&71));
}

#[test]
fn a_block_at_another_place_in_its_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &WITHOUT_CHECKSUMS, 24 << 20);
    let (content, _) = blocks(&image, "/etc/hostname");
    let moved = [format!("sif /etc/hostname block[5] {}", content[0] + 1)];
    refused("moved", &image, &moved, &["block map", "another place in its cluster"]);
}

#[test]
fn a_block_beside_the_filesystems_own_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &WITHOUT_CHECKSUMS, 24 << 20);
    let disk = Disk::from_file(&image);
    let superblock = Superblock::read(&disk).unwrap();
    let group = DeviceSource::new(Arc::new(disk), superblock.clone()).group(0).unwrap();
    let behind = group.inode_table() + u64::from(superblock.inode_table_blocks());
    assert_ne!(behind % RATIO, 0, "it shares a cluster with the table");
    let moved = [
        format!("sif /etc/hostname block[3] {}", behind % RATIO),
        format!("sif /etc/hostname block[5] {behind}"),
    ];
    refused("moved", &image, &moved, &["block map", "holds the filesystem's own"]);
}
