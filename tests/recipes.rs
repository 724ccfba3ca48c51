//! The tests' own footing: recipes put in what they were asked to, and the reference readers agree.

use std::sync::Arc;

use sysprep_rs::block::{Extent, ReadBlocks, WriteBlocks};
use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use crate::support::disk::Disk;
use crate::support::marker::{content, marker};
use crate::support::model::{self, Model};
use crate::support::recipe::{self, Part};
use crate::support::snapshot::{assert_same, of_fs};
use crate::support::spec::{Body, Spec, path};
use crate::support::{debugfs, ext4_view, mtools, oracle};

/// A tree with one of everything.
pub(crate) fn everything() -> Spec {
    let mut spec = Spec::default();
    spec.directory("/etc").mode = 0o750;
    let shadow = spec.file("/etc/shadow", "root:*:1::::::\n");
    (shadow.mode, shadow.gid) = (0o640, 42);
    let owned = spec.file("/etc/owned", content(1, 5000));
    (owned.mode, owned.uid, owned.gid) = (0o4755, 100_000, 200_000);
    owned.xattrs.insert("user.note".to_owned(), b"hello \0 there".to_vec());
    owned.xattrs.insert("security.selinux".to_owned(), b"system_u:object_r:etc_t:s0\0".to_vec());
    spec.file("/etc/empty", "");
    spec.directory("/var");
    let mut sparse = vec![0; 300_000];
    sparse[100_000..100_010].copy_from_slice(b"in the sea");
    spec.file("/var/sparse", sparse);
    spec.add(path("/var/twin"), Body::HardLink(path("/etc/owned")));
    spec.symlink("/short", "etc/shadow");
    spec.symlink("/var/long", marker(7).repeat(20));
    spec.add(path("/var/null"), Body::Special(Kind::CharDevice, 1, 3));
    spec.add(path("/var/disk"), Body::Special(Kind::BlockDevice, 8, 17)).mode = 0o660;
    spec.add(path("/var/pipe"), Body::Special(Kind::Fifo, 0, 0));
    spec.add(path("/var/socket"), Body::Special(Kind::Socket, 0, 0)).mode = 0o777;
    spec.directory("/many");
    for number in 0..150 {
        spec.file(&format!("/many/name-{number}"), content(number, number as usize * 40));
    }
    spec
}

#[test]
fn ext4_recipes_hold_their_tree_and_readers_agree() {
    for args in [&["-t", "ext4"][..], &["-t", "ext2", "-b", "1024", "-I", "128"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = everything();
        let image = recipe::ext4(dir.path(), &mut spec, args, 16 << 20);
        let expected = of_fs(&Model::new(model::UNIX, &spec)).unwrap();
        assert_same("debugfs", &expected, &debugfs::snapshot(&image));
        let disk = Arc::new(Disk::from_file(&image));
        let unreadable = |at: &GuestPath| args.contains(&"ext2") && *at == path("/var/sparse");
        assert_same("ext4-view", &expected, &ext4_view::snapshot(disk, &unreadable).unwrap());
    }
}

#[test]
fn fat_recipes_hold_their_tree() {
    for (bits, len) in [(12, 2 << 20), (16, 20 << 20), (32, 40 << 20)] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::default();
        spec.directory("/EFI");
        spec.directory("/EFI/debian");
        spec.file("/EFI/debian/a long name.cfg", content(1, 5000));
        spec.file("/EFI/debian/GRUB.CFG", "");
        let image = recipe::fat(dir.path(), &spec, bits, &[], len);
        oracle::fsck_vfat_clean(&image);
        let expected = of_fs(&Model::new(model::FAT, &spec)).unwrap();
        assert_same("mtools", &model::FAT.reduce(expected), &mtools::snapshot(&image));
    }
}

#[test]
fn partitioned_disks_hold_their_filesystems() {
    let dir = tempfile::tempdir().unwrap();
    let root = recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4"], 8 << 20);
    let esp = recipe::fat(dir.path(), &Spec::default(), 12, &[], 2 << 20);
    let parts = [
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8300", name: "root", image: &root },
        Part { kind: "8300", name: "twin", image: &root },
    ];
    let (gpt, gpt_starts) = recipe::gpt(dir.path(), &parts);
    let check = |disk: &Disk, start: u64| {
        let mut bytes = vec![0; 8 << 20];
        disk.read_at(start, &mut bytes).unwrap();
        let out = dir.path().join("out.img");
        Disk::from_bytes(&bytes).save(&out);
        oracle::e2fsck_clean(&out);
    };
    let disk = Disk::from_file(&gpt);
    check(&disk, gpt_starts[1]);
    check(&disk, gpt_starts[2]);
    let mut magic = [0; 8];
    disk.read_at(512, &mut magic).unwrap();
    assert_eq!(&magic, b"EFI PART");

    let parts = parts.map(|part| Part { kind: "83", ..part });
    let (mbr, mbr_starts) = recipe::mbr(dir.path(), &parts);
    let disk = Disk::from_file(&mbr);
    check(&disk, mbr_starts[2]);
    let dump = oracle::run("sfdisk", "fdisk", &["-d", mbr.to_str().unwrap()]);
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert_eq!(dump.matches("type=83").count(), 3, "{dump}");
}

#[test]
fn a_complaint_of_e2fsck_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4"], 8 << 20);
    debugfs::script(&image, true, &[b"sif /etc links_count 7".to_vec()]);
    assert!(oracle::e2fsck_complaint(&image).is_some());
}

#[test]
fn the_test_disk_reads_what_was_written_and_zeroed() {
    let disk = Disk::new(20_000);
    disk.write_at(4090, &[7; 5000]).unwrap();
    let copy = disk.clone();
    disk.zero(4100, 8000).unwrap();
    let mut bytes = [1; 20];
    disk.read_at(4085, &mut bytes).unwrap();
    assert_eq!(bytes[..], [&[0; 5][..], &[7; 10], &[0; 5]].concat());
    assert_eq!(disk.extent_at(0).unwrap(), Extent::Data(4096));
    assert_eq!(disk.extent_at(12_300).unwrap(), Extent::Zero(7700));
    assert_eq!(copy.first_nonzero(9000, 90), Some(9000));
    assert_eq!(copy.first_nonzero(9090, 9000), None);
    assert!(disk.read_at(19_990, &mut bytes).is_err());
    let file = tempfile::NamedTempFile::new().unwrap();
    copy.save(file.path());
    let again = Disk::from_file(file.path());
    assert_eq!(again.find(&[7; 5000]), Some(4090));
    assert_eq!(again.len(), 20_000);
}
