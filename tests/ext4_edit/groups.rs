//! More groups than bitmaps are held of: some are put away while the edit goes on.

use sysprep_rs::block::WriteBlocks;

use super::inconsistent::blocks;
use super::*;

const FILES: u32 = 2600;
const BIG: u64 = 560 << 10;

/// 2560 groups of 256 KiB with 8 inodes each; what is below `/gone` has inodes in 325 of them and
/// blocks in nearly all. Markers: 31 in small files, 32 in the large one, 33 in free space.
fn image(dir: &Path) -> PathBuf {
    let mut spec = Spec::default();
    spec.directory("/kept");
    spec.file("/kept/file", content(30, 5000));
    spec.directory("/gone");
    for number in 0..FILES {
        spec.file(&format!("/gone/{number}"), content(31, 40));
    }
    let args = ["-t", "ext4", "-b", "1024", "-g", "256", "-N", "20480", "-O", "^resize_inode"];
    let image = recipe::ext4(dir, &mut spec, &[&args[..], &["-J", "size=4"]].concat(), 640 << 20);
    let empty = dir.join("empty");
    fs::write(&empty, "").unwrap();
    let commands = [
        "cd /gone".to_owned(),
        format!("write {} big", empty.display()),
        format!("fallocate big 0 {}", BIG - 1),
    ];
    debugfs::script(&image, true, &commands.map(String::into_bytes));
    e2fsck_clean(&image);
    let (big, _) = blocks(&image, "/gone/big");
    assert_eq!(big.len() as u64, BIG);
    let disk = Disk::from_file(&image);
    for block in big.iter().step_by(5000) {
        disk.write_at(block * 1024, &marker(32)).unwrap();
    }
    let free = free_blocks(&image).0.last().unwrap().1;
    disk.write_at(free * 1024, &marker(33)).unwrap();
    disk.save(&image);
    image
}

#[test]
fn bitmaps_that_make_room_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path());
    let scratch = dir.path().join("edited.img");
    for keep_free_space in [false, true] {
        fs::copy(&image, &scratch).unwrap();
        let freed = edit_with(&scratch, &EditOptions { keep_free_space, ..OPTIONS }, &|edit| {
            remove_tree(edit, "/gone");
            // These take inodes and blocks of what is gone, and some of them go again.
            create(edit, "/new", NewKind::Directory);
            for number in 0..300 {
                create(edit, &format!("/new/{number}"), NewKind::File(&content(34, 3000)));
            }
            create(edit, "/large", NewKind::File(&content(35, 3 << 20)));
            for number in 0..100 {
                remove(edit, &format!("/new/{number}"));
            }
            replace(edit, "/kept/file", &content(36, 9000));
        });
        let nodes = u64::from(FILES) + 2;
        assert!((nodes - 302..=nodes).contains(&freed.nodes), "{freed:?}");
        assert!(freed.bytes > (BIG - (4 << 10)) << 10 && freed.discarded >= freed.bytes);
        let left = on_disk(&Disk::from_file(&scratch));
        assert!([30, 31, 32].iter().all(|gone| !left.contains(gone)), "{left:?}");
        assert_eq!(left.contains(&33), keep_free_space);
        if !keep_free_space {
            assert_free_space_is_zero("groups", &scratch);
        }
        let fs = (DRIVER.open)(Arc::new(Disk::from_file(&scratch))).unwrap();
        for number in 100..300 {
            let file = at(&*fs, &format!("/new/{number}"));
            assert_eq!(fs.read(file, 4096).unwrap(), content(34, 3000));
        }
        assert_eq!(fs.read(at(&*fs, "/large"), 4 << 20).unwrap(), content(35, 3 << 20));
        assert_eq!(fs.read(at(&*fs, "/kept/file"), 1 << 20).unwrap(), content(36, 9000));
    }
}
