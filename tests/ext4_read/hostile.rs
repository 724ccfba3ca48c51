//! Damaged filesystems: an error or a result, never a panic, a hang or much memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use sysprep_rs::block::{Memory, ReadBlocks, WriteBlocks};
use sysprep_rs::fs::ext4::{self, check, orphan};
use sysprep_rs::fs::{FsError, Kind, ReadFs};

use crate::recipes::everything;
use crate::support::disk::Disk;
use crate::support::random::{Random, rounds, seed};
use crate::support::{debugfs, oracle, recipe};

/// Reads whatever can be reached, with an end: a damaged directory may hold itself.
fn read_all(device: Arc<dyn ReadBlocks>) -> Result<(), FsError> {
    let fs = ext4::open(device)?;
    fs.info();
    let _ = orphan::orphans(fs.source());
    let mut found = vec![fs.root()];
    let mut left = 2000;
    let mut buffer = vec![0; 1 << 16];
    while let Some(node) = found.pop() {
        left -= 1;
        if left == 0 {
            break;
        }
        let _ = fs.xattrs(node);
        let Ok(stat) = fs.stat(node) else { continue };
        match stat.kind {
            Kind::Directory => {
                let mut names = Vec::new();
                let _ = fs.entries(node, &mut |entry| {
                    assert!(!entry.name.is_empty() && !entry.name.contains(&b'/'));
                    found.push(entry.node);
                    names.push(entry.name.to_vec());
                    if names.len() < 500 {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                for name in names.iter().take(20) {
                    let _ = fs.lookup(node, name);
                }
            }
            Kind::File => {
                for at in [0, stat.size / 2, stat.size.saturating_sub(10)] {
                    let _ = fs.read_at(node, at, &mut buffer);
                }
            }
            Kind::Symlink => {
                let _ = fs.link_target(node);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Damages blocks that hold metadata, a few bytes at a time.
fn damage(args: &[&str], dirty: bool, default_seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut everything(), args, 8 << 20);
    if dirty {
        super::journal::make_dirty(&image, dir.path(), &[]);
    }
    let disk = Disk::from_file(&image);
    let mut used = Vec::new();
    for block in 0..disk.len() / 1024 {
        if disk.first_nonzero(block * 1024, 1024).is_some() {
            used.push(block * 1024);
        }
    }
    let seed = seed(default_seed);
    println!("seed {seed:#x}, {args:?}");
    let mut random = Random::new(seed);
    let mut opened = 0;
    let count = rounds(300);
    for _ in 0..count {
        let copy = disk.clone();
        for _ in 0..=random.below(4) {
            // Half of all damage goes to the superblock, the descriptors and the first tables.
            let range = if random.one_in(2) { used.len().min(40) } else { used.len() };
            let at = used[random.below(range)] + random.below(1024) as u64;
            let len = [1, 1, 2, 4, 8][random.below(5)].min(disk.len() - at);
            let bytes = match random.below(3) {
                0 => vec![0xff; len as usize],
                1 => vec![0; len as usize],
                _ => random.next().to_le_bytes()[..len as usize].to_vec(),
            };
            copy.write_at(at, &bytes).unwrap();
        }
        let copy = Arc::new(copy);
        let _ = check::check(&*copy);
        opened += usize::from(read_all(copy).is_ok());
    }
    assert!(opened > count / 10, "most damage lets it open: {opened} of {count}");
}

// Without checksums, so that damage is not turned away at the door.

#[test]
fn damaged_ext4() {
    damage(&["-t", "ext4", "-O", "^metadata_csum,^uninit_bg", "-b", "1024"], false, 1);
}

#[test]
fn damaged_ext2() {
    damage(&["-t", "ext2", "-b", "1024"], false, 2);
}

#[test]
fn damaged_inline_data() {
    damage(
        &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg,inline_data,ea_inode", "-b", "1024"],
        false,
        3,
    );
}

#[test]
fn damaged_with_checksums() {
    damage(&["-t", "ext4", "-O", "orphan_file,bigalloc", "-b", "1024", "-C", "4096"], false, 4);
}

#[test]
fn damaged_journal() {
    damage(&["-t", "ext4", "-O", "^metadata_csum,^uninit_bg", "-b", "1024"], true, 5);
}

#[test]
fn what_is_too_short_or_something_else_is_refused() {
    for len in [0, 1, 1024, 2047, 2048, 65_536] {
        let memory = Memory::new(len);
        assert!(!(ext4::DRIVER.probe)(&memory).unwrap());
        assert!(ext4::open(Arc::new(memory)).is_err());
    }
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4"], 8 << 20);
    let whole = std::fs::read(&image).unwrap();
    let cut = Memory::from_bytes(whole[..4 << 20].to_vec());
    assert!(matches!(ext4::open(Arc::new(cut)), Err(FsError::Corrupt(_))));
}

#[test]
fn a_list_of_orphans_that_goes_in_circles_ends() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4"], 8 << 20);
    let inode = |at: &str| {
        let said = debugfs::script(&image, false, &[format!("stat {at}").into_bytes()]);
        let text = String::from_utf8_lossy(&said[0]).into_owned();
        text.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap()
    };
    let (one, two) = (inode("/etc/shadow"), inode("/etc/owned"));
    let list = |last: u32| {
        let commands = [
            format!("ssv last_orphan {one}"),
            format!("sif <{one}> dtime {two}"),
            format!("sif <{two}> dtime {last}"),
        ];
        debugfs::script(&image, true, &commands.map(String::into_bytes));
        let fs = super::open(&image);
        orphan::orphans(fs.source())
    };
    let found: Vec<u32> = list(0).unwrap().into_iter().map(|orphan| orphan.inode).collect();
    assert_eq!(found, [one, two]);
    assert!(matches!(list(one), Err(FsError::Corrupt(_))));
    assert!(oracle::e2fsck_complaint(&image).is_some());
}
