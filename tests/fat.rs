//! FAT: read as `mtools` reads it, edited as `mtools` edits it, judged by `fsck.vfat -n` and by the
//! driver's own judge; nothing of what was removed stays; damage never panics.

mod damage;
mod edits;
mod residue;
mod uuid;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sysprep_rs::block::{ReadBlocks, WriteBlocks};
use sysprep_rs::fs::fat::DRIVER;
use sysprep_rs::fs::{
    EditFs, EditOptions, Freed, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Timestamp,
};
use sysprep_rs::path::GuestPath;

use crate::random::Random;
use crate::support::disk::Disk;
use crate::support::marker::{content, marker, on_disk};
use crate::support::oracle::{fsck_vfat_clean, run, succeed};
use crate::support::snapshot::{self, Snapshot, assert_same};
use crate::support::spec::{Spec, THEN};
use crate::support::{mtools, recipe};

const MIB: u64 = 1 << 20;

/// 2022-02-03 04:05:06 UTC: even, as FAT keeps it.
const NOW: Timestamp = Timestamp { seconds: 1_643_861_106, nanos: 0 };

/// Bits, arguments of `mkfs.vfat`, size in MiB.
const SHAPES: [(u8, &[&str], u64); 7] = [
    (12, &["-s", "1"], 1),
    (12, &["-s", "8", "-f", "1"], 8),
    (16, &["-s", "1"], 8),
    (16, &["-s", "4"], 40),
    (16, &["-S", "4096", "-s", "1"], 64),
    (32, &["-s", "1"], 40),
    (32, &["-s", "8", "-n", "ESP LABEL"], 300),
];

fn tree() -> Spec {
    let mut spec = Spec::default();
    spec.directory("/EFI");
    spec.directory("/EFI/BOOT");
    spec.file("/EFI/BOOT/BOOTX64.EFI", content(1, 70_000));
    spec.file("/EFI/BOOT/a long name with blanks.txt", content(2, 513));
    spec.directory("/EFI/debian");
    spec.file("/EFI/debian/grub.cfg", content(3, 4096));
    spec.file("/EFI/debian/grün → ☃.conf", content(4, 1));
    spec.directory("/EFI/debian/empty directory");
    spec.file("/EMPTY", "");
    spec.directory("/many");
    for n in 0..60_u32 {
        spec.file(&format!("/many/file number {n:03} of the many"), content(100 + n, 600));
    }
    spec
}

fn image(dir: &Path, (bits, args, mib): (u8, &[&str], u64)) -> PathBuf {
    recipe::fat(dir, &tree(), bits, args, mib * MIB)
}

fn options() -> EditOptions {
    EditOptions { now: NOW, keep_free_space: false }
}

fn open(disk: &Arc<Disk>) -> Box<dyn ReadFs> {
    (DRIVER.open)(Arc::clone(disk) as Arc<dyn ReadBlocks>).unwrap()
}

fn edit(disk: &Arc<Disk>, options: &EditOptions) -> Box<dyn EditFs> {
    (DRIVER.edit.unwrap())(Arc::clone(disk) as Arc<dyn WriteBlocks>, options).unwrap()
}

fn judged(disk: &Arc<Disk>) -> Snapshot {
    let judge = (DRIVER.judge.unwrap())(Arc::clone(disk) as Arc<dyn ReadBlocks>).unwrap();
    snapshot::of_judge(&*judge).unwrap()
}

fn check(disk: &Disk) -> Vec<String> {
    (DRIVER.check.unwrap())(disk).unwrap()
}

fn at(fs: &dyn ReadFs, path: &str) -> Node {
    path.split('/').filter(|name| !name.is_empty()).fold(fs.root(), |node, name| {
        fs.lookup(node, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("no {path}"))
    })
}

/// The file system on a disk is right: by `fsck.vfat`, by its own check, and by every reader.
fn right(disk: &Arc<Disk>, dir: &Path) -> Snapshot {
    let path = dir.join("judged.img");
    disk.save(&path);
    fsck_vfat_clean(&path);
    assert_eq!(check(disk), Vec::<String>::new());
    let ours = snapshot::of_fs(&*open(disk)).unwrap();
    let theirs = mtools::snapshot(&path);
    assert_same("mtools", &theirs, &without_root_time(ours.clone()));
    assert_same("the judge", &judged(disk), &ours);
    fs::remove_file(&path).unwrap();
    theirs
}

fn without_root_time(mut tree: Snapshot) -> Snapshot {
    for object in tree.values_mut() {
        if object.kind == Some(Kind::Directory) {
            object.mtime = None;
        }
    }
    tree
}

#[test]
fn every_shape_reads_as_mtools_reads_it() {
    for shape in SHAPES {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), shape);
        let disk = Arc::new(Disk::from_file(&path));
        assert!((DRIVER.probe)(&*disk).unwrap());
        right(&disk, dir.path());
        let info = open(&disk).info();
        let blkid = |tag: &str| {
            let said = succeed(
                "blkid",
                "util-linux",
                &["-p", "-s", tag, "-o", "value", path.to_str().unwrap()],
            );
            String::from_utf8(said).unwrap().trim().to_owned()
        };
        assert_eq!(info.uuid, Some(blkid("UUID")));
        assert_eq!(info.label.unwrap_or_default(), blkid("LABEL"));
        assert_eq!(info.kind, "vfat");
        assert_eq!(info.features, [format!("FAT{}", shape.0)]);
        assert!(!info.dirty && info.read_only_because.is_none());
        let minfo = succeed("fsck.vfat", "dosfstools", &["-n", "-v", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&minfo).into_owned();
        // "… files, used/total clusters".
        let counts = said.lines().find(|line| line.contains(" files, ")).unwrap();
        let (used, total) = counts.split_once(" files, ").unwrap().1.split_once('/').unwrap();
        let total = total.split(' ').next().unwrap();
        let free = total.parse::<u64>().unwrap() - used.parse::<u64>().unwrap();
        assert_eq!(info.free, free * u64::from(info.block_size), "{said}");
    }
}

#[test]
fn other_boot_sectors_are_not_taken_for_fat() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), SHAPES[2]);
    let disk = Disk::from_file(&path);
    for (place, bytes) in [
        (3, &b"NTFS    "[..]),
        (3, b"EXFAT   "),
        (3, b"-FVE-FS-"),
        (11, b"\0\x03"),
        (13, b"\x03"),
        (14, b"\0\0"),
        (16, b"\0"),
        (21, b"\0"),
        (22, b"\0\0"),
        (510, b"\0\0"),
    ] {
        let copy = disk.clone();
        copy.write_at(place, bytes).unwrap();
        assert!(!(DRIVER.probe)(&copy).unwrap(), "{bytes:?} at {place}");
        let opened = (DRIVER.open)(Arc::new(copy));
        assert!(matches!(opened.map(|_| ()), Err(FsError::Corrupt(_))));
    }
    assert!(!(DRIVER.probe)(&Disk::new(MIB)).unwrap());
    assert!(!(DRIVER.probe)(&Disk::new(100)).unwrap());
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
