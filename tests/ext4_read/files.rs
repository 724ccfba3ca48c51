//! Files in many pieces, attributes and times.

use std::ops::ControlFlow;

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::ext4::map::{self, Mapped};
use sysprep_rs::fs::{ReadFs, Timestamp};

use super::{node, open};
use crate::support::spec::Spec;
use crate::support::{debugfs, recipe};

const MIB: u64 = 1 << 20;

/// Every other block of 1 KiB is a hole.
fn striped(blocks: usize) -> Vec<u8> {
    let mut content = vec![0; blocks * 1024];
    for (number, block) in content.chunks_mut(1024).enumerate().step_by(2) {
        block[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    }
    content
}

#[test]
fn deep_maps_are_read_at_any_offset() {
    for args in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "1024"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::default();
        let content = striped(20_000);
        spec.file("/striped", content.clone());
        let image = recipe::ext4(dir.path(), &mut spec, args, 64 * MIB);
        let fs = open(&image);
        let file = node(&fs, "/striped");
        assert_eq!(Digest::of(&fs.read(file, 1 << 30).unwrap()), Digest::of(&content));
        for (at, len) in
            [(0, 10), (1023, 2), (1024, 1024), (2000, 5000), (20_479_990, 100), (30_000_000, 5)]
        {
            let mut part = vec![7; len];
            let read = fs.read_at(file, at as u64, &mut part).unwrap();
            let expected = content.get(at..(at + len).min(content.len())).unwrap_or_default();
            assert_eq!(&part[..read], expected, "{at}+{len}");
        }

        // The map's own blocks and the content's are what debugfs counts.
        let (mut content_blocks, mut own) = (0, 0);
        let inode = fs.inode(file).unwrap();
        map::walk(fs.source(), &inode, map::WHOLE, &mut |mapped| {
            match mapped {
                Mapped::Run(run) => content_blocks += run.blocks,
                Mapped::Metadata(_) => own += 1,
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(content_blocks, 10_000);
        assert!(own > 60, "{own}");
        assert_eq!((content_blocks + own) * 1024, fs.stat(file).unwrap().allocated);
        let said = debugfs::script(&image, false, &[b"blocks /striped".to_vec()]);
        let listed = String::from_utf8_lossy(&said[0]).split_whitespace().count() as u64;
        // debugfs lists an extent tree's nodes, too.
        assert_eq!(listed, content_blocks + own);
    }
}

#[test]
fn unwritten_extents_read_as_zeroes() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.file("/file", vec![7; 5000]);
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-b", "1024"], 8 * MIB);
    let commands = ["fallocate /file 0 99", "sif /file size 100000", "punch /file 2 3"];
    debugfs::script(&image, true, &commands.map(|line| line.as_bytes().to_vec()));
    let fs = open(&image);
    let file = node(&fs, "/file");
    let mut expected = vec![0; 100_000];
    expected[..5000].fill(7);
    expected[2048..4096].fill(0);
    assert!(fs.read(file, 1 << 20).unwrap() == expected);
    let mut unwritten = 0;
    map::walk(fs.source(), &fs.inode(file).unwrap(), map::WHOLE, &mut |mapped| {
        if let Mapped::Run(run) = mapped
            && !run.written
        {
            unwritten += run.blocks;
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(unwritten, 95);
}

#[test]
fn attributes_in_the_inode_in_a_block_and_acls() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 7, 1000),
        (4, 4, u32::MAX),
        (8, 5, 1001),
        (16, 7, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(bits.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let file = spec.file("/file", "x");
    file.xattrs.insert("system.posix_acl_access".to_owned(), acl.clone());
    file.xattrs.insert("user.long".to_owned(), vec![b'v'; 3000]);
    file.xattrs.insert("trusted.t".to_owned(), b"t".to_vec());
    file.xattrs.insert("security.capability".to_owned(), vec![1, 0, 0, 2, 0, 4, 0, 0]);
    let expected = file.xattrs.clone();
    spec.directory("/dir").xattrs.insert("system.posix_acl_default".to_owned(), acl);
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-b", "4096"], 8 * MIB);
    let fs = open(&image);
    let found = fs.xattrs(node(&fs, "/file")).unwrap();
    assert!(found.is_sorted());
    assert_eq!(
        found
            .into_iter()
            .map(|it| (it.name, it.value))
            .collect::<std::collections::BTreeMap<_, _>>(),
        expected
    );
    assert_eq!(fs.xattrs(node(&fs, "/dir")).unwrap().len(), 1);
}

#[test]
fn times_owners_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.file("/file", "x");
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 8 * MIB);
    let commands = [
        "sif /file mtime_lo 0x10",
        "sif /file mtime_extra 0x1d",
        "sif /file atime_lo 0xffffffff",
        "sif /file atime_extra 0",
        "sif /file uid 4000000000",
        "sif /file gid 70000",
        "sif /file flags 0x80010",
        "sif /file mode 0104711",
    ];
    debugfs::script(&image, true, &commands.map(|line| line.as_bytes().to_vec()));
    let fs = open(&image);
    let stat = fs.stat(node(&fs, "/file")).unwrap();
    assert_eq!(stat.mtime, Timestamp { seconds: 16 + (1 << 32), nanos: 7 });
    assert_eq!(stat.atime, Timestamp { seconds: -1, nanos: 0 });
    assert_eq!((stat.uid, stat.gid, stat.mode), (4_000_000_000, 70_000, 0o4711));
    assert!(stat.immutable && !stat.encrypted);
}
