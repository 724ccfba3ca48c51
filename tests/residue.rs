//! Nothing stays behind: markers in every kind of place are in the image file before `seal` and in no
//! byte of it after. This runs the program itself, on raw and on qcow2.

mod kept;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sysprep_rs::fs::Kind;

use crate::support::disk::{Disk, find};
use crate::support::marker::{self, content, marker, target};
use crate::support::recipe::{self, Part};
use crate::support::spec::{Body, Spec, path};
use crate::support::{debugfs, oracle};

/// What the operation removes.
const OPERATION: &str = "\
name: residue
summary: Remove what the test put there
why: To look for what stays behind.
class: cache
default: false
steps:
  - remove: [\"/gone\", \"/stays/*gone*\", \"/stays-many/*gone*\", \"/boot/efi/gone\", \"/boot/efi/GONE8X3Q.TXT\"]
";

/// Markers that have to go: of what is removed (1…), of what was deleted before (20…), on FAT (40…).
const GONE: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 21, 22, 23, 24, 25, 40, 42];

/// Markers that have to stay.
const STAY: &[u32] = &[30, 31, 32, 33, 34, 45];

/// Names on FAT, which are UTF-16 in pieces or 8.3 without the dot.
const FAT_LONG: &[&str] = &["longGoneName", "longDeletedNa"];
const FAT_SHORT: &[&[u8]] = &[b"ONE8X3QTXT", b"ELD8X3QTXT"];

fn named(number: u32, rest: &str) -> String {
    String::from_utf8(marker(number)).unwrap() + rest
}

fn root_tree() -> Spec {
    let mut spec = Spec::default();
    for dir in
        ["/etc", "/boot", "/boot/efi", "/gone", "/gone/many", "/stays", "/stays-many", "/usr"]
    {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\nNAME=Debian\n");
    spec.file(
        "/etc/fstab",
        "LABEL=root / ext4 defaults 0 1\nUUID=1234-ABCD /boot/efi vfat defaults 0 2\n",
    );
    spec.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    spec.file("/gone/file", content(1, 30_000));
    spec.file("/gone/tiny", content(2, 50));
    spec.file("/gone/small", content(11, 120));
    let item = spec.file("/gone/attributes", "x");
    item.xattrs.insert("user.a".to_owned(), content(3, 30));
    item.xattrs.insert("user.b".to_owned(), content(4, 500));
    spec.symlink("/gone/short", target(5, 50));
    spec.symlink("/gone/long", target(6, 400));
    spec.file(&format!("/gone/{}", named(7, "in a linear directory")), "");
    spec.add(
        path(&format!("/gone/{}", named(12, "device"))),
        Body::Special(Kind::CharDevice, 1, 3),
    );
    spec.add(path(&format!("/gone/{}", named(13, "socket"))), Body::Special(Kind::Socket, 0, 0));
    spec.file(&format!("/stays/{}", named(9, "gone")), "");
    spec.file("/stays/aaa", "");
    spec.file("/stays/zzz", "");
    for number in 0..400 {
        spec.file(&format!("/gone/many/{}", named(8, &format!("entry {number:05}"))), "");
        spec.file(&format!("/stays-many/entry that stays {number:05}"), "");
    }
    for number in 0..20 {
        spec.file(&format!("/stays-many/{}", named(10, &format!("gone {number}"))), "");
    }
    spec.file("/stays/kept", content(30, 5000)).xattrs.insert("user.k".to_owned(), content(31, 40));
    spec.symlink("/stays/link", target(32, 40));
    spec.symlink("/stays/long-link", target(33, 200));
    spec.file(&format!("/stays/{}", named(34, "kept")), "");
    spec
}

/// Files made and deleted the ordinary way before the run, and a journal that has seen use.
fn use_root(image: &Path, dir: &Path) {
    let at = dir.join("deleted");
    let write = |number: u32, name: &str| {
        let from = dir.join(format!("deleted-{number}"));
        fs::write(&from, content(number, 20_000)).unwrap();
        format!("write {} {name}", from.display()).into_bytes()
    };
    let value = dir.join("value");
    fs::write(&value, content(23, 30)).unwrap();
    let commands = vec![
        write(20, &named(21, "deleted")),
        format!("symlink deleted-link {}", String::from_utf8(target(22, 50)).unwrap()).into_bytes(),
        write(25, "deleted-attributes"),
        format!("ea_set -f {} deleted-attributes user.d", value.display()).into_bytes(),
        b"rm deleted-attributes".to_vec(),
        b"rm deleted-link".to_vec(),
        format!("rm {}", named(21, "deleted")).into_bytes(),
    ];
    debugfs::script(image, true, &commands);
    fs::write(&at, content(24, 4096)).unwrap();
    let free = oracle::free_blocks(image).0.last().expect("free space").1;
    let commands = vec![
        b"journal_open".to_vec(),
        format!("journal_write -b {free} {}", at.display()).into_bytes(),
        b"journal_close".to_vec(),
    ];
    debugfs::script(image, true, &commands);
    oracle::run("e2fsck", "e2fsprogs", &["-fy", "-E", "journal_only", image.to_str().unwrap()]);
    oracle::run("e2fsck", "e2fsprogs", &["-fy", image.to_str().unwrap()]);
    oracle::e2fsck_clean(image);
}

fn esp(dir: &Path) -> PathBuf {
    let mut spec = Spec::default();
    spec.directory("/EFI");
    spec.directory("/gone");
    spec.file("/EFI/kept.cfg", content(45, 3000));
    spec.file("/gone/longGoneName in the ESP.txt", content(40, 9000));
    spec.file("/GONE8X3Q.TXT", "x");
    spec.file("/longDeletedName in the ESP.txt", content(42, 9000));
    spec.file("/DELD8X3Q.TXT", "x");
    let image = recipe::fat(dir, &spec, 16, &["-i", "1234ABCD"], 12 << 20);
    let text = image.to_str().unwrap();
    for name in ["::/longDeletedName in the ESP.txt", "::/DELD8X3Q.TXT"] {
        oracle::succeed("mdel", "mtools", &["-i", text, name]);
    }
    image
}

/// What is left in an image file: markers, and FAT names.
fn left(file: &Path) -> (BTreeSet<u32>, Vec<String>) {
    let disk = Disk::from_file(file);
    let mut names = BTreeSet::new();
    disk.stored(|_, bytes| {
        for entry in bytes.chunks_exact(32).filter(|entry| entry[11] == 0x0f) {
            let units =
                entry[1..11].chunks(2).chain(entry[14..26].chunks(2)).chain(entry[28..].chunks(2));
            let text: String =
                units.map(|unit| char::from(unit[0])).filter(char::is_ascii_graphic).collect();
            names.extend(
                FAT_LONG
                    .iter()
                    .filter(|name| text.starts_with(**name))
                    .map(|name| (*name).to_owned()),
            );
        }
        for name in FAT_SHORT {
            if find(bytes, name).is_some() {
                names.insert(String::from_utf8_lossy(name).into_owned());
            }
        }
    });
    (marker::on_disk(&disk), names.into_iter().collect())
}

fn sealed(format: &str, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let mut all = args.to_vec();
    all.extend(["-L", "root"]);
    let root = recipe::ext4(dir.path(), &mut root_tree(), &all, 24 << 20);
    use_root(&root, dir.path());
    let esp = esp(dir.path());
    let parts = [
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8304", name: "root", image: &root },
    ];
    let (disk, starts) = recipe::gpt(dir.path(), &parts);
    let image = dir.path().join(format!("image.{format}"));
    if format == "qcow2" {
        let text = image.to_str().unwrap();
        oracle::qemu_img_convert(&disk, "raw", &image, &["-O", "qcow2", "-o", "cluster_size=4096"]);
        // Clusters that lost their mapping and kept their bytes: marker 20 is only in them.
        let old = Disk::from_file(&disk).find(&marker(20)).expect("marker 20");
        let discard = format!("discard {} 24576", old - old % 4096);
        oracle::succeed(
            "qemu-io",
            "qemu-utils",
            &["-d", "off", "-f", "qcow2", "-c", &discard, text],
        );
    } else {
        fs::rename(&disk, &image).unwrap();
    }
    let (before, names) = left(&image);
    let absent: Vec<&u32> =
        GONE.iter().chain(STAY).filter(|number| !before.contains(number)).collect();
    assert!(absent.is_empty(), "{format} {args:?}: not there to begin with: {absent:?}");
    assert_eq!(names.len(), FAT_LONG.len() + FAT_SHORT.len(), "{names:?}");

    let operations = dir.path().join("operations");
    fs::create_dir(&operations).unwrap();
    fs::write(operations.join("residue.yaml"), OPERATION).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .args(["seal", "--enable", "residue", "--operations-dir"])
        .arg(&operations)
        .arg(&image)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{format} {args:?}: {said}");

    let (after, names) = left(&image);
    let kept: Vec<&u32> = GONE.iter().filter(|number| after.contains(number)).collect();
    assert!(kept.is_empty(), "{format} {args:?}: still there: {kept:?}\n{said}");
    assert!(names.is_empty(), "{format} {args:?}: FAT names still there: {names:?}");
    let lost: Vec<&u32> = STAY.iter().filter(|number| !after.contains(number)).collect();
    assert!(lost.is_empty(), "{format} {args:?}: lost: {lost:?}");

    let raw = if format == "qcow2" {
        oracle::qemu_img_check(&image);
        let raw = dir.path().join("sealed.raw");
        oracle::qemu_img_convert(&image, "qcow2", &raw, &["-O", "raw"]);
        raw
    } else {
        image
    };
    let window = |start: u64, len: u64, name: &str| {
        let out = dir.path().join(name);
        let words = [
            format!("if={}", raw.display()),
            format!("of={}", out.display()),
            "bs=1M".to_owned(),
            format!("skip={}", start >> 20),
            format!("count={}", len >> 20),
            "conv=sparse".to_owned(),
        ];
        oracle::succeed("dd", "coreutils", &words.each_ref().map(String::as_str));
        out
    };
    oracle::fsck_vfat_clean(&window(starts[0], 12 << 20, "esp.out"));
    oracle::e2fsck_clean(&window(starts[1], 24 << 20, "root.out"));
}

#[test]
fn raw_ext4() {
    sealed("raw", &["-t", "ext4"]);
}

#[test]
fn raw_ext4_with_inline_data() {
    sealed("raw", &["-t", "ext4", "-O", "inline_data", "-I", "512"]);
}

#[test]
fn raw_ext3() {
    sealed("raw", &["-t", "ext3", "-b", "1024", "-I", "128"]);
}

#[test]
fn qcow2_ext4() {
    sealed("qcow2", &["-t", "ext4"]);
}

/// Blocks that are allocated and were never written read as zeroes; the device holds what was there
/// before.
#[test]
fn unwritten_blocks_of_a_kept_file_hold_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut root_tree(), &["-t", "ext4", "-L", "root"], 24 << 20);
    let (free, block) = oracle::free_blocks(&image);
    let mut bytes = fs::read(&image).unwrap();
    for (first, last) in free {
        for number in first..=last {
            let at = usize::try_from(number * block).unwrap();
            let len = usize::try_from(block).unwrap();
            bytes[at..at + len].copy_from_slice(&content(26, len));
        }
    }
    fs::write(&image, bytes).unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let write = format!("write {} preallocated", empty.display()).into_bytes();
    debugfs::script(&image, true, &[write, b"fallocate preallocated 0 499".to_vec()]);
    oracle::e2fsck_clean(&image);
    assert!(marker::on_disk(&Disk::from_file(&image)).contains(&26));
    let status = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .args(["seal", "-q", image.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(status.success());
    oracle::e2fsck_clean(&image);
    assert!(!marker::on_disk(&Disk::from_file(&image)).contains(&26));
    let mapped = debugfs::script(&image, false, &[b"dump_extents preallocated".to_vec()]);
    assert!(String::from_utf8_lossy(&mapped[0]).contains("Uninit"));
}

/// mke2fs writes the superblock and its copies, and leaves the rest of their blocks as it was.
#[test]
fn nothing_stays_beside_superblocks() {
    for args in [
        &["-t", "ext4", "-b", "4096", "-g", "1024"][..],
        &["-t", "ext4", "-b", "2048", "-g", "2048"],
        &["-t", "ext4", "-b", "1024", "-g", "2048"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let all = [args, &["-L", "root"]].concat();
        let image = recipe::ext4(dir.path(), &mut root_tree(), &all, 24 << 20);
        let bytes = fs::read(&image).unwrap();
        let file = fs::File::options().write(true).open(&image).unwrap();
        file.write_all_at(&content(35, 1024), 0).unwrap();
        let block: u64 = args[3].parse().unwrap();
        let group: u64 = args[5].parse().unwrap();
        let first = u64::from(block == 1024);
        let mut copies = 0;
        for number in 0..(24 << 20) / (block * group) {
            let at = if number == 0 { 1024 } else { (number * group + first) * block };
            if bytes[at as usize + 56..][..2] == [0x53, 0xef] {
                let behind = at + 1024;
                let len = behind.next_multiple_of(block) - behind;
                file.write_all_at(&content(27, len as usize), behind).unwrap();
                copies += 1;
            }
        }
        assert!(copies > 3, "{copies} copies");
        let before = marker::on_disk(&Disk::from_file(&image));
        assert_eq!(before.contains(&27), block > 1024);
        let status = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
            .args(["seal", "-q", image.to_str().unwrap()])
            .status()
            .unwrap();
        assert!(status.success());
        oracle::e2fsck_clean(&image);
        let left = marker::on_disk(&Disk::from_file(&image));
        assert!(!left.contains(&27), "{args:?}");
        assert!(left.contains(&35), "the boot loader's bytes stay");
    }
}
