//! Another UUID: the same bytes that `tune2fs -U` makes of the same filesystem, but for times.

use sysprep_rs::block::{ReadBlocks, WriteBlocks};

use super::*;
use crate::support::ext4_shapes::SHAPES;
use crate::support::oracle::{e2fsck_complaint, run, succeed};

const NEW: &str = "0f1e2d3c-4b5a-4697-8877-665544332211";

/// Fields of a superblock that tune2fs changes beside the UUID, and the checksum over them: the
/// times of mounting and writing, the kilobytes written.
const OTHERS: &[(usize, usize)] = &[(0x2c, 8), (0x178, 8), (0x274, 4), (0x3fc, 4)];

fn set(disk: &Arc<Disk>, uuid: &str) -> Result<(), FsError> {
    (DRIVER.uuid.expect("ext4 has one").set)(&(Arc::clone(disk) as Arc<dyn WriteBlocks>), uuid)
}

/// What is at the superblocks is compared field by field, everything else by bytes.
fn differences(ours: &Disk, theirs: &Disk, block_size: u64) -> Vec<String> {
    let mut found = Vec::new();
    let (mut a, mut b) = (vec![0; block_size as usize], vec![0; block_size as usize]);
    for block in 0..ours.len() / block_size {
        ours.read_at(block * block_size, &mut a).unwrap();
        theirs.read_at(block * block_size, &mut b).unwrap();
        if a == b {
            continue;
        }
        let at = if block == 0 && block_size > 1024 { 1024 } else { 0 };
        if a[at + 0x38..at + 0x3a] == [0x53, 0xef]
            && a[at + 0x68..at + 0x78] == b[at + 0x68..at + 0x78]
        {
            for bytes in [&mut a, &mut b] {
                for (field, len) in OTHERS {
                    bytes[at + field..at + field + len].fill(0);
                }
            }
        }
        // Multi-mount protection: tune2fs writes the time and the host's name there.
        if a.starts_with(b"PMM\0") {
            for bytes in [&mut a, &mut b] {
                bytes[8..144].fill(0);
                bytes[1020..1024].fill(0);
            }
        }
        let bytes: Vec<usize> = (0..a.len()).filter(|&at| a[at] != b[at]).collect();
        if !bytes.is_empty() {
            found.push(format!("block {block}: {} bytes from {:#x}", bytes.len(), bytes[0]));
        }
    }
    found
}

fn block_size(image: &Path) -> u64 {
    free_blocks(image).1
}

/// How many tests share the shapes.
const SHARES: usize = 4;

#[test]
fn shapes_get_what_tune2fs_gives_them() {
    assert!(share(0).is_empty());
}

#[test]
fn shapes_get_what_tune2fs_gives_them_2() {
    assert!(share(1).is_empty());
}

#[test]
fn shapes_get_what_tune2fs_gives_them_3() {
    assert_eq!(share(2), ["ext4 ea_inode"]);
}

#[test]
fn shapes_get_what_tune2fs_gives_them_4() {
    assert!(share(3).is_empty());
}

/// Makes every shape of a share and changes its UUID; gives those that keep theirs.
fn share(share: usize) -> Vec<&'static str> {
    let mut shapes: Vec<(&'static str, Vec<&str>, u64)> =
        SHAPES.iter().map(|it| (it.name, it.args.to_vec(), it.mib)).collect();
    shapes.push(("ext4 mmp", vec!["-t", "ext4", "-O", "mmp"], 24));
    shapes.push((
        "ext4 seed, bigalloc",
        vec!["-t", "ext4", "-O", "metadata_csum_seed,bigalloc"],
        64,
    ));
    shapes.push((
        "ext4 small groups, flex_bg off",
        vec!["-t", "ext4", "-b", "1024", "-g", "256", "-O", "^flex_bg,^resize_inode"],
        32,
    ));
    shapes.push((
        "ext4 meta_bg, small groups",
        vec!["-t", "ext4", "-b", "1024", "-g", "256", "-O", "meta_bg,^resize_inode"],
        32,
    ));
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for (name, args, mib) in shapes.into_iter().skip(share).step_by(SHARES) {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = tree();
        let image = recipe::ext4(dir.path(), &mut spec, &args, mib << 20);
        edit(&image, &|it| {
            directories_grow_and_shrink(it);
            let fragments: Vec<u8> = content(50, 200 << 10);
            create(it, "/large", NewKind::File(&fragments));
        });
        let theirs = dir.path().join("theirs.img");
        fs::copy(&image, &theirs).unwrap();
        let disk = Arc::new(Disk::from_file(&image));
        let info = (DRIVER.open)(Arc::clone(&disk) as _).unwrap().info();
        let before = of_fs(&*(DRIVER.open)(Arc::clone(&disk) as _).unwrap()).unwrap();
        if let Some(why) = (DRIVER.uuid.unwrap().fixed)(&info) {
            refused.push(name);
            assert!(matches!(set(&disk, NEW), Err(FsError::Unsupported(_))), "{name}: {why}");
            assert!(differences(&disk, &Disk::from_file(&theirs), 1024).is_empty(), "{name}");
            continue;
        }
        set(&disk, NEW).unwrap_or_else(|error| panic!("{name}: {error}"));
        disk.save(&image);
        e2fsck_clean(&image);
        let text = theirs.to_str().unwrap();
        succeed("tune2fs", "e2fsprogs", &["-U", NEW, text]);
        // Of the orphan file it forgets the checksums (e2fsprogs 1.47.0), and e2fsck says so.
        let forgets = info.features.iter().any(|it| it == "orphan_file")
            && !info.features.iter().any(|it| it == "metadata_csum_seed");
        let found = differences(&disk, &Disk::from_file(&theirs), block_size(&image));
        match (forgets, e2fsck_complaint(&theirs), found.as_slice()) {
            (false, None, []) => {}
            (true, Some(complaint), [_, ..]) if complaint.contains("rphan file") => {}
            (_, complaint, found) => wrong.push(format!("{name}: {complaint:?} {found:#?}")),
        }
        let fs = (DRIVER.open)(Arc::clone(&disk) as _).unwrap();
        assert_eq!(fs.info().uuid.as_deref(), Some(NEW), "{name}");
        assert_same(name, &before, &of_fs(&*fs).unwrap());
        let said = run(
            "blkid",
            "util-linux",
            &["-p", "-o", "value", "-s", "UUID", image.to_str().unwrap()],
        );
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), NEW, "{name}");
        let wrong = (DRIVER.check.unwrap())(&*disk).unwrap();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    refused
}
