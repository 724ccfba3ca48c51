//! Filesystems in other states than cleanly unmounted, and what is refused.

use std::fs::File;
use std::os::unix::fs::FileExt;

use sysprep_rs::block::{ReadBlocks, WriteBlocks};
use sysprep_rs::fs::ext4::features::{incompat, ro_compat};
use sysprep_rs::fs::ext4::map;
use sysprep_rs::fs::ext4::orphan;
use sysprep_rs::fs::ext4::source::{DeviceSource, read_inode};
use sysprep_rs::fs::ext4::superblock::{STATE_ERROR, SUPERBLOCK_AT, Superblock};

use super::*;
use crate::support::marker::markers;

/// Unlinks two files and cuts a third short, as a crash leaves them: still to be finished.
fn make_orphans(image: &Path) -> [u64; 3] {
    let [id, short, big] =
        ["/etc/machine-id", "/var/log/short", "/var/log/big"].map(|path| node(image, path));
    let commands = [
        "unlink /etc/machine-id".to_owned(),
        "unlink /var/log/short".to_owned(),
        format!("sif <{id}> links_count 0"),
        format!("sif <{short}> links_count 0"),
        format!("sif <{big}> size 5000"),
    ];
    debugfs::script(image, true, &commands.map(String::into_bytes));
    [id, short, big]
}

fn assert_orphans_are_finished(image: &Path) {
    let mut before = std::collections::BTreeSet::new();
    Disk::from_file(image).stored(|_, bytes| markers(bytes, &mut before));
    assert!(before.contains(&2) && before.contains(&7));
    edit(image, &|_| {});
    let disk = Arc::new(Disk::from_file(image));
    let after = on_disk(&disk);
    assert!(!after.contains(&2) && !after.contains(&7), "the unlinked files are gone");
    let fs = (DRIVER.open)(disk).unwrap();
    let big = at(&*fs, "/var/log/big");
    assert_eq!(fs.read(big, 10_000).unwrap(), content(5, 5000));
    assert_eq!(fs.stat(big).unwrap().allocated, 8192);
}

#[test]
fn orphans_in_the_list_are_finished() {
    for args in [&["-t", "ext4", "-b", "4096"][..], &["-t", "ext3", "-b", "4096"]] {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), args, 24 << 20);
        let [id, short, big] = make_orphans(&image);
        let commands = [
            format!("sif <{id}> dtime @{big}"),
            format!("sif <{big}> dtime @{short}"),
            format!("sif <{short}> dtime @0"),
            format!("ssv last_orphan {id}"),
        ];
        debugfs::script(&image, true, &commands.map(String::into_bytes));
        assert_orphans_are_finished(&image);
    }
}

#[test]
fn orphans_in_the_orphan_file_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-b", "4096", "-O", "orphan_file"];
    let image = recipe::ext4(dir.path(), &mut tree(), &args, 24 << 20);
    let orphans = make_orphans(&image);
    let disk = Arc::new(Disk::from_file(&image));
    let mut superblock = Superblock::read(&*disk).unwrap();
    let source = DeviceSource::new(Arc::clone(&disk) as _, superblock.clone());
    let file = read_inode(&source, superblock.orphan_file_inode()).unwrap();
    let number = map::find(&source, &file, 1).unwrap().unwrap().physical + 1;
    let mut block = vec![0; 4096];
    disk.read_at(number * 4096, &mut block).unwrap();
    for (slot, orphan) in block.chunks_exact_mut(4).skip(7).zip(orphans) {
        slot.copy_from_slice(&(orphan as u32).to_le_bytes());
    }
    let sum = orphan::checksum(&block, number, file.checksum_seed(&superblock));
    block[4092..].copy_from_slice(&sum.to_le_bytes());
    disk.write_at(number * 4096, &block).unwrap();
    superblock.set_ro_compat(ro_compat::ORPHAN_PRESENT, true);
    disk.write_at(SUPERBLOCK_AT, &superblock.to_bytes()).unwrap();
    disk.save(&image);
    assert_orphans_are_finished(&image);
}

#[test]
fn a_dirty_journal_is_replayed_and_wiped() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = tree();
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-b", "4096"], 24 << 20);
    // The journal holds a newer block of a file than the file itself.
    let disk = Arc::new(Disk::from_file(&image));
    let source = DeviceSource::new(Arc::clone(&disk) as _, Superblock::read(&*disk).unwrap());
    let inode = read_inode(&source, node(&image, "/etc/machine-id") as u32).unwrap();
    let block = map::find(&source, &inode, 0).unwrap().unwrap().physical;
    let newer = dir.path().join("newer");
    std::fs::write(&newer, content(77, 4096)).unwrap();
    debugfs::script(
        &image,
        true,
        &[
            b"jo".to_vec(),
            format!("jw -b {block} {}", newer.display()).into_bytes(),
            b"jc".to_vec(),
        ],
    );
    assert!(Superblock::read(&Disk::from_file(&image)).unwrap().is_dirty());
    edit(&image, &|edit| {
        let node = at(edit.view(), "/etc/machine-id");
        assert_eq!(edit.view().read(node, 100).unwrap(), content(77, 33));
        remove(edit, "/etc/machine-id");
    });
    let left = on_disk(&Disk::from_file(&image));
    assert!(!left.contains(&77) && !left.contains(&2), "neither version is left");
    assert!(!Superblock::read(&Disk::from_file(&image)).unwrap().is_dirty());
}

fn refusal(disk: &Arc<Disk>) -> String {
    match open(disk, &OPTIONS) {
        Err(FsError::Unsupported(reason)) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn what_we_do_not_know_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut Spec::default(), &["-t", "ext4"], 8 << 20);
    let original = Disk::from_file(&image);
    let with = |change: &dyn Fn(&mut Superblock)| {
        let disk = Arc::new(original.clone());
        let mut superblock = Superblock::read(&*disk).unwrap();
        change(&mut superblock);
        disk.write_at(SUPERBLOCK_AT, &superblock.to_bytes()).unwrap();
        refusal(&disk)
    };
    for (bits, name) in [(0x2000_0000, "FEATURE_I29"), (incompat::JOURNAL_DEV, "journal_dev")] {
        let reason = with(&|superblock| superblock.set_incompat(bits, true));
        assert!(reason.contains(name), "{reason}");
    }
    for (bits, name) in [
        (0x2000_0000, "FEATURE_R29"),
        (ro_compat::READ_ONLY, "read-only"),
        (ro_compat::SHARED_BLOCKS, "shared_blocks"),
        (ro_compat::QUOTA, "quota"),
    ] {
        let reason = with(&|superblock| superblock.set_ro_compat(bits, true));
        assert!(reason.contains(name), "{reason}");
    }
    let reason = with(&|superblock| superblock.set_state(superblock.state() | STATE_ERROR));
    assert!(reason.contains("e2fsck"), "{reason}");
}

#[test]
fn a_filesystem_that_another_host_has_mounted_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-O", "mmp"];
    let image = recipe::ext4(dir.path(), &mut tree(), &args, 24 << 20);
    edit(&image, &|edit| remove_tree(edit, "/var/log"));
    let disk = Arc::new(Disk::from_file(&image));
    let superblock = Superblock::read(&*disk).unwrap();
    let at = superblock.mmp_block() * u64::from(superblock.block_size());
    disk.write_at(at + 4, &12345u32.to_le_bytes()).unwrap();
    let reason = refusal(&disk);
    assert!(reason.contains("mmp"), "{reason}");
}

#[test]
fn edits_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &["-t", "ext4"], 24 << 20);
    let original = Disk::from_file(&image);
    let fails = |change: &dyn Fn(&mut dyn EditFs) -> Result<(), FsError>| {
        let mut editor = open(&Arc::new(original.clone()), &OPTIONS).unwrap();
        change(&mut *editor).expect_err("it has to be refused")
    };
    let meta = NewMeta::default();
    let etc = |edit: &dyn EditFs| at(edit.view(), "/etc");
    let make = |name: &'static [u8], content: usize| {
        move |edit: &mut dyn EditFs| {
            let dir = at(edit.view(), "/etc");
            edit.create(dir, name, NewKind::File(&vec![1; content]), &NewMeta::default()).map(drop)
        }
    };
    assert!(matches!(fails(&make(b"hostname", 0)), FsError::Exists));
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0", &[b'x'; 256]] {
        let made = fails(&|edit| edit.create(etc(edit), name, NewKind::Directory, &meta).map(drop));
        assert!(matches!(made, FsError::BadName), "{made}");
    }
    assert!(matches!(fails(&make(b"huge", 30 << 20)), FsError::NoSpace));
    let error = fails(&|edit| edit.remove(etc(edit), b"nothing"));
    assert!(matches!(error, FsError::NotFound), "{error}");
    let error = fails(&|edit| edit.remove(at(edit.view(), "/"), b"etc"));
    assert!(matches!(error, FsError::IsADirectory), "{error}");
    let error = fails(&|edit| edit.replace(etc(edit), b""));
    assert!(matches!(error, FsError::IsADirectory), "{error}");
    let error = fails(&|edit| edit.remove(at(edit.view(), "/etc/hostname"), b"x"));
    assert!(matches!(error, FsError::NotADirectory), "{error}");
    let error = fails(&|edit| edit.remove_tree(at(edit.view(), "/"), b"lost+found"));
    assert!(matches!(error, FsError::Unsupported(_)), "{error}");
    for number in [0, 1, 7, 8, 5_000_000, u64::MAX] {
        let error = fails(&|edit| edit.set_meta(Node(number), &MetaChange::default()));
        assert!(matches!(error, FsError::NotFound), "{error}");
    }
}

#[test]
fn every_inode_and_every_group_can_be_used() {
    for args in [
        &["-t", "ext4", "-b", "1024", "-N", "600", "-O", "^resize_inode"][..],
        &["-t", "ext4", "-b", "1024", "-N", "600", "-O", "^resize_inode,^metadata_csum,uninit_bg"],
        &["-t", "ext2", "-b", "1024", "-N", "600", "-O", "^resize_inode"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        // Not zeroed when made, and full of what was there before.
        let image = dir.path().join("fs.img");
        std::fs::write(&image, content(99, 40 << 20)).unwrap();
        let mut all = vec!["-q", "-F", "-E", "lazy_itable_init=1,nodiscard"];
        all.extend(args);
        all.push(image.to_str().unwrap());
        crate::support::oracle::succeed("mke2fs", "e2fsprogs", &all);
        assert!(on_disk(&Disk::from_file(&image)).contains(&99));
        let large = content(50, 30 << 20);
        edit(&image, &|edit| {
            create(edit, "/large", NewKind::File(&large));
            create(edit, "/dir", NewKind::Directory);
            let mut made = 0;
            loop {
                let (dir, meta) = (at(edit.view(), "/dir"), NewMeta::default());
                let name = format!("file-{made}");
                match edit.create(dir, name.as_bytes(), NewKind::File(b"x"), &meta) {
                    Ok(_) => made += 1,
                    Err(FsError::NoSpace) => break,
                    Err(other) => panic!("{other}"),
                }
                // Room for the inodes, not more: the last one must not fail half made.
                if made == 580 {
                    break;
                }
            }
            assert_eq!(made, 580);
        });
        let disk = Disk::from_file(&image);
        assert_eq!(disk.find(&marker(99)), None, "nothing of before is left");
        let disk = Arc::new(Disk::from_file(&image));
        let fs = (DRIVER.open)(disk).unwrap();
        assert!(fs.read(at(&*fs, "/large"), 31 << 20).unwrap() == large);
        edit(&image, &|edit| {
            remove(edit, "/large");
            remove_tree(edit, "/dir");
        });
        assert!(!on_disk(&Disk::from_file(&image)).contains(&50));
    }
}

#[test]
fn what_was_deleted_before_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["-t", "ext4", "-b", "4096"][..], &["-t", "ext2", "-I", "128"]] {
        let dir = dir.path().join(args[1]);
        std::fs::create_dir(&dir).unwrap();
        let image = recipe::ext4(&dir, &mut tree(), args, 24 << 20);
        // debugfs leaves the name in the slack, the target in the inode and the data in its blocks.
        let commands = ["rm /var/log/short", "rm /etc/machine-id", "rm /many/~M000003f0~-name-8"];
        debugfs::script(&image, true, &commands.map(|line| line.as_bytes().to_vec()));
        let before = on_disk(&Disk::from_file(&image));
        assert!([2, 7, 1008].iter().all(|number| before.contains(number)), "{before:?}");
        // And something lies in a journal that was written long ago.
        if args.contains(&"ext4") {
            let disk = Arc::new(Disk::from_file(&image));
            let superblock = Superblock::read(&*disk).unwrap();
            let source = DeviceSource::new(disk, superblock.clone());
            let journal = read_inode(&source, superblock.journal_inode()).unwrap();
            let run = map::find(&source, &journal, 20).unwrap().unwrap();
            let at = (run.physical + 20 - run.logical) * 4096;
            File::options()
                .write(true)
                .open(&image)
                .unwrap()
                .write_all_at(&content(88, 4096), at)
                .unwrap();
        }
        edit(&image, &|_| {});
        let after = on_disk(&Disk::from_file(&image));
        assert!([2, 7, 88, 1008].iter().all(|number| !after.contains(number)), "{after:?}");
    }
}
