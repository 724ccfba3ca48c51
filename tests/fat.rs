//! FAT: read as `mtools` reads it, edited as `mtools` edits it, judged by `fsck.vfat -n` and by the
//! driver's own judge; nothing of what was removed stays; damage never panics.

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

/// One edit, for our editor and for mtools.
enum Step {
    Create(String, Vec<u8>),
    Directory(String),
    Replace(String, Vec<u8>),
    Remove(String),
    RemoveTree(String),
    Rename(String, String),
    ReadOnly(String, bool),
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap()
}

fn ours(editor: &mut dyn EditFs, step: &Step) {
    let dir = |editor: &dyn EditFs, path: &str| at(editor.view(), split(path).0);
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    match step {
        Step::Create(path, bytes) => {
            let dir = dir(editor, path);
            editor.create(dir, split(path).1.as_bytes(), NewKind::File(bytes), &meta).unwrap();
        }
        Step::Directory(path) => {
            let dir = dir(editor, path);
            editor.create(dir, split(path).1.as_bytes(), NewKind::Directory, &meta).unwrap();
        }
        Step::Replace(path, bytes) => {
            let node = at(editor.view(), path);
            editor.replace(node, bytes).unwrap();
        }
        Step::Remove(path) => {
            let dir = dir(editor, path);
            editor.remove(dir, split(path).1.as_bytes()).unwrap();
        }
        Step::RemoveTree(path) => {
            let dir = dir(editor, path);
            editor.remove_tree(dir, split(path).1.as_bytes()).unwrap();
        }
        Step::Rename(from, to) => {
            let node = at(editor.view(), from);
            let (from_dir, to_dir) = (dir(editor, from), dir(editor, to));
            let (name, new_name) = (split(from).1.as_bytes(), split(to).1.as_bytes());
            editor.rename(from_dir, name, to_dir, new_name).unwrap();
            assert_eq!(at(editor.view(), to), node, "a node stays what it is");
        }
        Step::ReadOnly(path, read_only) => {
            let mode = Some(if *read_only { 0o555 } else { 0o755 });
            let node = at(editor.view(), path);
            editor.set_meta(node, &MetaChange { mode, ..MetaChange::default() }).unwrap();
        }
    }
}

fn theirs(image: &Path, dir: &Path, step: &Step) {
    let image = image.to_str().unwrap();
    let place = |path: &str| format!("::{path}");
    let tool = |name: &str, args: &[&str]| {
        let mut all = vec!["-i", image];
        all.extend(args);
        succeed(name, "mtools", &all);
    };
    match step {
        Step::Create(path, bytes) | Step::Replace(path, bytes) => {
            let file = dir.join("content");
            fs::write(&file, bytes).unwrap();
            tool("mcopy", &["-D", "o", "-o", file.to_str().unwrap(), &place(path)]);
        }
        Step::Directory(path) => tool("mmd", &[&place(path)]),
        Step::Remove(path) => {
            tool("mattrib", &["-r", &place(path)]);
            tool("mdel", &[&place(path)]);
        }
        Step::RemoveTree(path) => tool("mdeltree", &[&place(path)]),
        Step::Rename(from, to) => tool("mmove", &[&place(from), &place(to)]),
        Step::ReadOnly(path, on) => tool("mattrib", &[if *on { "+r" } else { "-r" }, &place(path)]),
    }
}

/// The paths there are.
struct Paths {
    files: Vec<String>,
    directories: Vec<String>,
}

impl Paths {
    fn step(&mut self, random: &mut Random, number: u64, largest: u64) -> Step {
        let file = |paths: &Self, random: &mut Random| {
            paths.files[random.below(paths.files.len() as u64) as usize].clone()
        };
        let dir = |paths: &Self, random: &mut Random| {
            paths.directories[random.below(paths.directories.len() as u64) as usize].clone()
        };
        let kind = random.below(10);
        let new = |paths: &Self, random: &mut Random| {
            let names = [
                "NEW",
                "new name",
                "a rather long new name that takes slots",
                "ein neuer Name mit ü ",
            ];
            let name = names[random.below(names.len() as u64) as usize];
            format!("{}/{name}{number}", dir(paths, random))
        };
        let bytes = |random: &mut Random| {
            let len = random.below(largest) as usize;
            random.bytes(len)
        };
        match kind {
            0..=2 => {
                let path = new(self, random);
                self.files.push(path.clone());
                Step::Create(path, bytes(random))
            }
            3 => {
                let path = new(self, random);
                self.directories.push(path.clone());
                Step::Directory(path)
            }
            4 if !self.files.is_empty() => Step::Replace(file(self, random), bytes(random)),
            5 | 6 if !self.files.is_empty() => {
                let path = file(self, random);
                self.files.retain(|other| *other != path);
                Step::Remove(path)
            }
            7 if self.directories.len() > 2 => {
                let path = self.directories
                    [1 + random.below(self.directories.len() as u64 - 1) as usize]
                    .clone();
                let below = format!("{path}/");
                self.files.retain(|other| !other.starts_with(&below));
                self.directories.retain(|other| *other != path && !other.starts_with(&below));
                Step::RemoveTree(path)
            }
            8 if !self.files.is_empty() => {
                let from = file(self, random);
                let to = new(self, random);
                self.files.retain(|other| *other != from);
                self.files.push(to.clone());
                Step::Rename(from, to)
            }
            9 if self.directories.len() > 2 => {
                let from = self.directories
                    [1 + random.below(self.directories.len() as u64 - 1) as usize]
                    .clone();
                let to = new(self, random);
                let below = format!("{from}/");
                if to.starts_with(&below) {
                    return self.step(random, number, largest);
                }
                for path in self.files.iter_mut().chain(&mut self.directories) {
                    if *path == from || path.starts_with(&below) {
                        *path = format!("{to}{}", &path[from.len()..]);
                    }
                }
                Step::Rename(from, to)
            }
            _ => match self.files.first() {
                Some(path) => Step::ReadOnly(path.clone(), number.is_multiple_of(2)),
                None => {
                    let path = new(self, random);
                    self.files.push(path.clone());
                    Step::Create(path, bytes(random))
                }
            },
        }
    }
}

fn random_edits(which: usize, keep_free_space: bool) {
    let shape = SHAPES[which];
    let mut random = Random::new("random FAT edits", which as u64 + 70);
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), shape);
    let disk = Arc::new(Disk::from_file(&path));
    let mut paths = Paths { files: Vec::new(), directories: vec![String::new()] };
    for (path, object) in snapshot::of_fs(&*open(&disk)).unwrap() {
        let text = String::from_utf8(path.to_bytes()).unwrap();
        match object.kind {
            _ if path.is_root() => {}
            Some(Kind::Directory) => paths.directories.push(text),
            _ => paths.files.push(text),
        }
    }
    let mut number = 0;
    for round in 0..3 {
        let options = EditOptions { now: NOW, keep_free_space };
        let mut editor = edit(&disk, &options);
        for _ in 0..12 {
            number += 1;
            let step = paths.step(&mut random, number, 20_000);
            ours(&mut *editor, &step);
            theirs(&path, dir.path(), &step);
        }
        let seen = snapshot::of_fs(editor.view()).unwrap();
        editor.finish().unwrap();
        let mut mtools_did = mtools::snapshot(&path);
        // The other image's new files have the time of the test.
        for object in mtools_did.values_mut() {
            object.mtime = None;
        }
        let we_did = right(&disk, dir.path());
        assert_same(&format!("round {round}"), &mtools_did, &we_did);
        assert_same("the editor's view", &seen, &snapshot::of_fs(&*open(&disk)).unwrap());
        // What was made read-only is so for both.
        let fs = open(&disk);
        for file in &paths.files {
            let mode = fs.stat(at(&*fs, file)).unwrap().mode;
            let place = format!("::{file}");
            let listed = succeed("mattrib", "mtools", &["-i", text(&path), &place]);
            let listed = String::from_utf8_lossy(&listed).into_owned();
            let flags = listed.split("::").next().unwrap();
            assert_eq!(mode == 0o555, flags.contains('R'), "{file}: {listed}");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn random_edits_of_fat12() {
    random_edits(0, false);
    random_edits(1, true);
}

#[test]
fn random_edits_of_fat16() {
    random_edits(2, false);
    random_edits(4, false);
}

#[test]
fn random_edits_of_fat32() {
    random_edits(5, false);
    random_edits(6, true);
}

#[test]
fn the_same_edit_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let base = Disk::from_file(&image(dir.path(), SHAPES[5]));
    let run = || {
        let disk = Arc::new(base.clone());
        let mut editor = edit(&disk, &options());
        for step in [
            Step::RemoveTree("/many".to_owned()),
            Step::Create("/new file".to_owned(), content(9, 5000)),
            Step::Rename("/EFI/debian".to_owned(), "/Debian".to_owned()),
        ] {
            ours(&mut *editor, &step);
        }
        editor.finish().unwrap();
        let mut hasher = blake3::Hasher::new();
        disk.stored(|at, bytes| {
            hasher.update(&at.to_le_bytes());
            hasher.update(bytes);
        });
        hasher.finalize()
    };
    assert_eq!(run(), run());
}

/// A tree in which every name and content carries a marker of its own.
fn marked() -> Spec {
    let mut spec = Spec::default();
    let name = |number: u32| String::from_utf8(marker(number)).unwrap();
    for n in 0..8_u32 {
        spec.directory(&format!("/{}", name(10 + n)));
        for m in 0..4_u32 {
            let number = 100 + n * 10 + m;
            spec.file(
                &format!("/{}/{}.x", name(10 + n), name(number)),
                content(number + 500, 3000),
            );
        }
    }
    spec
}

/// Marker numbers in short names, which have room for the last digits alone, and in long ones,
/// which are UTF-16.
fn in_names(disk: &Disk) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    disk.stored(|_, bytes| {
        for slot in bytes.chunks(32).filter(|slot| slot.len() == 32 && slot[11] & 0x3f == 0x0f) {
            // The marker of 11 characters lies in the first slot's 13 units.
            let units: Vec<u8> =
                [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24].map(|at| slot[at]).to_vec();
            crate::support::marker::markers(&units, &mut found);
        }
    });
    found
}

#[test]
fn nothing_of_what_was_removed_stays() {
    for shape in [SHAPES[0], SHAPES[3], SHAPES[5]] {
        for keep_free_space in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (bits, args, mib) = shape;
            let path = recipe::fat(dir.path(), &marked(), bits, args, mib * MIB);
            let name = |number: u32| String::from_utf8(marker(number)).unwrap();
            // Removed before, by a tool that leaves everything in place.
            let gone = format!("::/{}", name(10));
            succeed("mdeltree", "mtools", &["-i", text(&path), &gone]);
            let single = format!("::/{}/{}.x", name(11), name(110));
            succeed("mdel", "mtools", &["-i", text(&path), &single]);
            let disk = Arc::new(Disk::from_file(&path));
            assert!(on_disk(&disk).contains(&600) && on_disk(&disk).contains(&610));
            assert!(in_names(&disk).contains(&110), "{:?}", in_names(&disk));
            let options = EditOptions { now: NOW, keep_free_space };
            let mut editor = edit(&disk, &options);
            let before = editor.view().info();
            let root = editor.view().root();
            editor.remove_tree(root, name(12).as_bytes()).unwrap();
            let dir13 = at(editor.view(), &name(13));
            editor.remove(dir13, format!("{}.x", name(130)).as_bytes()).unwrap();
            let file = at(editor.view(), &format!("{}/{}.x", name(13), name(131)));
            editor.replace(file, &content(900, 100)).unwrap();
            editor
                .rename(dir13, format!("{}.x", name(132)).as_bytes(), root, b"other name")
                .unwrap();
            let made = editor.create(
                root,
                name(901).as_bytes(),
                NewKind::File(&content(902, 9000)),
                &NewMeta::default(),
            );
            made.unwrap();
            editor.remove(root, name(901).as_bytes()).unwrap();
            let freed: Freed = editor.finish().unwrap();
            right(&disk, dir.path());
            let after = open(&disk).info();
            assert_eq!(freed.nodes, 6);
            // What took a new place counts as freed at its old one.
            let new = 4 * u64::from(before.block_size);
            let net = after.free - before.free;
            assert!((net..=net + new).contains(&freed.bytes), "{freed:?}, net {net}");
            let (contents, names) = (on_disk(&disk), in_names(&disk));
            for number in (620..624).chain([630, 631, 902]) {
                assert!(!contents.contains(&number), "content {number}, {shape:?}");
            }
            for number in [12, 120, 121, 122, 123, 130, 132, 901] {
                assert!(!names.contains(&number), "name {number}, {shape:?}");
            }
            for number in [632, 633, 640, 900] {
                assert!(contents.contains(&number), "{number} was kept");
            }
            if !keep_free_space {
                assert_eq!(freed.discarded, after.free);
                for number in [600, 601, 602, 603, 610] {
                    assert!(!contents.contains(&number), "earlier content {number}, {shape:?}");
                }
                assert!(![10, 100, 101, 110].iter().any(|number| names.contains(number)));
                // Short names say the first digits of theirs: as many as there are names.
                let mut short = 0;
                disk.stored(|_, bytes| {
                    short += bytes.windows(7).filter(|window| window == b"~M0000~").count();
                });
                let tree = snapshot::of_fs(&*open(&disk)).unwrap();
                let named = tree.keys().filter_map(|path| path.name());
                assert_eq!(short, named.filter(|name| name.starts_with(b"~M")).count());
            } else {
                assert!(contents.contains(&610), "earlier free space is left alone");
            }
        }
    }
}

#[test]
fn slack_behind_files_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), SHAPES[1]);
    let base = Disk::from_file(&path);
    let file = base.find(&marker(2)).unwrap();
    base.write_at(file + 513, b"slack of a former file").unwrap();
    for keep_free_space in [true, false] {
        let disk = Arc::new(base.clone());
        edit(&disk, &EditOptions { now: NOW, keep_free_space }).finish().unwrap();
        assert_eq!(disk.find(b"slack of a former file").is_some(), keep_free_space);
        right(&disk, dir.path());
    }
}

#[test]
fn what_fat_cannot_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::from_file(&image(dir.path(), SHAPES[2])));
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    let file = NewKind::File(b"x");
    for name in [&b""[..], b".", b"..", b"a/b", b"a:b", b"dot.", b"blank ", b"\xff", &[b'x'; 256]] {
        let made = editor.create(root, name, file.clone(), &meta);
        assert!(matches!(made, Err(FsError::BadName)), "{name:?}: {made:?}");
    }
    let exists = editor.create(root, b"efi", file.clone(), &meta);
    assert!(matches!(exists, Err(FsError::Exists)), "names differ by more than their case");
    let link = editor.create(root, b"link", NewKind::Symlink(b"x"), &meta);
    assert!(matches!(link, Err(FsError::CannotStore(_))));
    let owned = editor.create(root, b"o", file.clone(), &NewMeta { uid: 1, ..meta.clone() });
    assert!(matches!(owned, Err(FsError::CannotStore(_))));
    let special =
        editor.create(root, b"o", file.clone(), &NewMeta { mode: 0o4755, ..meta.clone() });
    assert!(matches!(special, Err(FsError::CannotStore(_))));
    assert!(matches!(editor.remove(root, b"EFI"), Err(FsError::IsADirectory)));
    assert!(matches!(editor.remove(root, b"none"), Err(FsError::NotFound)));
    let efi = at(editor.view(), "/efi");
    assert!(matches!(editor.replace(efi, b""), Err(FsError::IsADirectory)));
    let below = at(editor.view(), "/EFI/BOOT");
    assert!(matches!(editor.rename(root, b"EFI", below, b"x"), Err(FsError::BadName)));
    assert!(matches!(editor.rename(root, b"EFI", root, b"many"), Err(FsError::Exists)));
    editor.rename(root, b"EFI", root, b"Efi").unwrap();
    let boot = at(editor.view(), "/EFI/BOOT/bootx64.efi");
    let change = |mode| MetaChange { mode: Some(mode), ..MetaChange::default() };
    for mode in [0o644, 0o600, 0o777, 0o4755] {
        assert!(matches!(editor.set_meta(boot, &change(mode)), Err(FsError::CannotStore(_))));
    }
    editor.set_meta(boot, &change(0o555)).unwrap();
    assert_eq!(editor.view().stat(boot).unwrap().mode, 0o555);
    let times = MetaChange { mtime: Some(THEN), atime: Some(THEN), ..MetaChange::default() };
    editor.set_meta(boot, &times).unwrap();
    assert_eq!(editor.view().stat(boot).unwrap().mtime, THEN);
    let owner = MetaChange { uid: Some(0), gid: Some(0), ..MetaChange::default() };
    editor.set_meta(boot, &owner).unwrap();
    let owner = MetaChange { uid: Some(5), ..MetaChange::default() };
    assert!(matches!(editor.set_meta(boot, &owner), Err(FsError::CannotStore(_))));
    // Reading what is not there, or is something else.
    let view = editor.view();
    assert!(matches!(view.stat(Node(77)), Err(FsError::NotFound)));
    assert!(matches!(view.read_at(efi, 0, &mut [0]), Err(FsError::IsADirectory)));
    assert!(matches!(view.lookup(boot, b"x"), Err(FsError::NotADirectory)));
    editor.finish().unwrap();
    right(&disk, dir.path());
    assert!(snapshot::of_fs(&*open(&disk)).unwrap().contains_key(&"/Efi/BOOT".parse().unwrap()));
}

#[test]
fn full_directories_and_full_disks() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::from_file(&image(dir.path(), SHAPES[0])));
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    // Whether the root directory of FAT12, which cannot grow, takes what fits, and no more.
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    let fill = |editor: &mut dyn EditFs, dir: Node, len: usize| {
        let mut made = 0;
        loop {
            let name = format!("one more file of a long name {made}");
            match editor.create(dir, name.as_bytes(), NewKind::File(&vec![7; len]), &meta) {
                Ok(_) => made += 1,
                Err(FsError::NoSpace) => return made,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let made = fill(&mut *editor, root, 0);
    assert!(made > 100, "{made}");
    editor.finish().unwrap();
    right(&disk, dir.path());
    // A directory grows cluster by cluster, until the disk is full; then all of it goes.
    let before = open(&disk).info().free;
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    let made = fill(&mut *editor, many, 4000);
    assert!(made > 100, "{made}");
    let view = snapshot::of_fs(editor.view()).unwrap();
    assert!(view.len() > made);
    let disk = Arc::new(Disk::from_file(&dir.path().join("fat.img")));
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    for n in 0..150 {
        let name = format!("one more file of a long name {n}");
        editor.create(many, name.as_bytes(), NewKind::File(&[7; 600]), &meta).unwrap();
    }
    editor.finish().unwrap();
    right(&disk, dir.path());
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    for n in (0..150).step_by(2) {
        editor.remove(many, format!("ONE MORE file of a long name {n}").as_bytes()).unwrap();
    }
    editor.finish().unwrap();
    right(&disk, dir.path());
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    editor.remove_tree(root, b"many").unwrap();
    editor.finish().unwrap();
    right(&disk, dir.path());
    assert!(open(&disk).info().free > before);
}

#[test]
fn fat32_of_fewer_clusters_than_the_specification_asks_for() {
    // As many an ESP is made. mtools takes it for FAT16 and fatfs refuses it; firmware, the kernel
    // and fsck.vfat go by the boot sector.
    let dir = tempfile::tempdir().unwrap();
    let path = recipe::fat(dir.path(), &Spec::default(), 32, &["-s", "1"], 24 * MIB);
    let disk = Arc::new(Disk::from_file(&path));
    let mut editor = edit(&disk, &options());
    for path in ["/EFI", "/EFI/BOOT", "/EFI/debian"] {
        ours(&mut *editor, &Step::Directory(path.to_owned()));
    }
    for (number, path) in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/debian/grub.cfg"].iter().enumerate() {
        let bytes = content(number as u32, 60_000);
        ours(&mut *editor, &Step::Create((*path).to_owned(), bytes));
    }
    ours(&mut *editor, &Step::Rename("/EFI/debian".to_owned(), "/moved to the root".to_owned()));
    editor.finish().unwrap();
    disk.save(&path);
    clean_but_for_its_size(&path);
    assert_eq!(check(&disk), Vec::<String>::new());
    let tree = snapshot::of_fs(&*open(&disk)).unwrap();
    assert_eq!(tree.len(), 6);
    assert_same("the judge", &judged(&disk), &tree);
    let mut editor = edit(&disk, &options());
    ours(&mut *editor, &Step::RemoveTree("/EFI".to_owned()));
    editor.finish().unwrap();
    disk.save(&path);
    clean_but_for_its_size(&path);
    assert!(!on_disk(&disk).contains(&0) && on_disk(&disk).contains(&1));
}

/// `fsck.vfat -n` finds nothing but that there are few clusters, which it warns of.
fn clean_but_for_its_size(image: &Path) {
    let found = run("fsck.vfat", "dosfstools", &["-n", text(image)]);
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    let complaint =
        said.lines().find(|line| !(line.starts_with("fsck.fat ") || line.contains(" files, ")));
    assert!(found.status.success() && complaint.is_none(), "{said}");
    let warned = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(warned.contains("has only 48364 clusters") && warned.lines().count() == 3, "{warned}");
}

#[test]
fn leftovers_of_a_crash_are_mended() {
    for shape in [SHAPES[2], SHAPES[5]] {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), shape);
        let disk = Arc::new(Disk::from_file(&path));
        let mut bytes = [0; 512];
        disk.read_at(0, &mut bytes).unwrap();
        let wide = shape.0 == 32;
        let word = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let reserved = word(14) * 512;
        let state = if wide { 65 } else { 37 };
        disk.write_at(state, &[1]).unwrap();
        // A chain that nobody owns, in one copy of the table.
        let entry = if wide { 4 } else { 2 };
        let lost = 3000_u64;
        let mut pair = [0; 8];
        disk.read_at(reserved + lost * entry, &mut pair[..2 * entry as usize]).unwrap();
        assert_eq!(pair, [0; 8], "free so far");
        let next =
            if wide { 3001_u32.to_le_bytes().to_vec() } else { 3001_u16.to_le_bytes().to_vec() };
        disk.write_at(reserved + lost * entry, &next).unwrap();
        let end = vec![0xff; entry as usize];
        disk.write_at(reserved + (lost + 1) * entry, &end).unwrap();
        let findings = check(&disk);
        let wants: &[&str] = if wide {
            &["belong to no file", "cleanly", "differ", "FSInfo"]
        } else {
            &["belong to no file", "cleanly", "differ"]
        };
        for want in wants {
            assert!(findings.iter().any(|line| line.contains(want)), "{want}: {findings:?}");
        }
        assert!(open(&disk).info().dirty);
        let freed = edit(&disk, &options()).finish().unwrap();
        assert_eq!(freed.bytes, 2 * u64::from(open(&disk).info().block_size));
        right(&disk, dir.path());
    }
}

/// Walks a tree that may be anything: never further than it has nodes.
fn walk(fs: &dyn ReadFs) -> Result<usize, FsError> {
    let mut todo = vec![(fs.root(), GuestPath::root())];
    let mut seen = 0;
    let mut piece = vec![0; 100_000];
    while let Some((node, path)) = todo.pop() {
        seen += 1;
        assert!(seen < 100_000, "the walk does not end: {path}");
        match fs.stat(node) {
            Ok(stat) if stat.kind == Kind::Directory => {
                let listed = fs.entries(node, &mut |entry| {
                    assert!(!entry.name.is_empty() && !entry.name.contains(&b'/'));
                    todo.push((entry.node, path.join(entry.name)));
                    ControlFlow::Continue(())
                });
                if listed.is_err() {
                    continue;
                }
            }
            Ok(_) => {
                let _ = fs.read_at(node, 0, &mut piece);
                let _ = fs.read_at(node, 66_000, &mut piece[..10]);
            }
            Err(_) => {}
        }
    }
    Ok(seen)
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let mut random = Random::new("damaged FAT", 11);
    let (mut edited, mut refused) = (0, 0);
    for (shape, rounds) in [(SHAPES[0], 120), (SHAPES[2], 80), (SHAPES[5], 15)] {
        let dir = tempfile::tempdir().unwrap();
        let base = Disk::from_file(&image(dir.path(), shape));
        // Bytes of metadata, which are what is stored before the first file's content.
        let mut places = Vec::new();
        base.stored(|at, bytes| {
            let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
            places.extend(used.map(|(n, _)| at + n as u64));
        });
        places.truncate(4000);
        for round in 0..rounds {
            let disk = Arc::new(base.clone());
            for _ in 0..1 + random.below(3) {
                let place = if round % 3 == 0 {
                    random.below(64) + 11
                } else {
                    places[random.below(places.len() as u64) as usize]
                };
                let byte = match random.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => random.number() as u8,
                };
                disk.write_at(place, &[byte]).unwrap();
            }
            let _ = (DRIVER.probe)(&*disk);
            if let Ok(fs) = (DRIVER.open)(Arc::clone(&disk) as Arc<dyn ReadBlocks>) {
                fs.info();
                walk(&*fs).unwrap();
            }
            let _ = (DRIVER.check.unwrap())(&*disk);
            if let Ok(judge) = (DRIVER.judge.unwrap())(Arc::clone(&disk) as Arc<dyn ReadBlocks>) {
                let _ = snapshot::of_judge(&*judge);
            }
            let options = options();
            let opened =
                (DRIVER.edit.unwrap())(Arc::clone(&disk) as Arc<dyn WriteBlocks>, &options);
            let Ok(mut editor) = opened else {
                refused += 1;
                continue;
            };
            let root = editor.view().root();
            let removed = editor.remove_tree(root, b"many");
            let _ =
                editor.create(root, b"a new file", NewKind::File(&[1; 3000]), &NewMeta::default());
            if removed.is_ok() && editor.finish().is_ok() {
                assert_eq!(check(&disk), Vec::<String>::new(), "round {round}, {shape:?}");
                edited += 1;
            }
        }
    }
    assert!(edited > 20 && refused > 20, "{edited} edited, {refused} refused");
}

#[test]
fn loops_and_cross_links_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), SHAPES[5]);
    let base = Disk::from_file(&path);
    let fs = open(&Arc::new(base.clone()));
    // A node is the place of its entry.
    let entry = |path: &str| at(&*fs, path).0 * 32;
    let cluster = |place: u64| {
        let mut entry = [0; 32];
        base.read_at(place, &mut entry).unwrap();
        [entry[26], entry[27]]
    };
    let efi = cluster(entry("/EFI"));
    for (place, what) in [(entry("/EFI/BOOT"), "a loop"), (entry("/many"), "two names")] {
        let disk = Arc::new(base.clone());
        disk.write_at(place + 26, &efi).unwrap();
        assert!(walk(&*open(&disk)).unwrap() < 200, "{what}");
        assert!(!check(&disk).is_empty(), "{what}");
        let opened = (DRIVER.edit.unwrap())(disk.clone(), &options());
        assert!(matches!(opened.map(|_| ()), Err(FsError::Corrupt(_))), "{what}");
        let judge = (DRIVER.judge.unwrap())(disk);
        assert!(matches!(judge.map(|_| ()), Err(FsError::Corrupt(_))), "{what}");
    }
    let complaint = run("fsck.vfat", "dosfstools", &["-n", text(&path)]);
    assert!(complaint.status.success(), "the base is clean");
}
