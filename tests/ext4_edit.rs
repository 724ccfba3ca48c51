//! The ext4 editor: each edit over every kind of filesystem mke2fs makes, judged by `e2fsck -fn`,
//! by `debugfs` and by a model that was edited the same way.

mod attributes;
mod clusters;
mod directories;
mod groups;
mod inconsistent;
mod large;
mod links;
mod states;
mod uuid;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sysprep_rs::fs::ext4::DRIVER;
use sysprep_rs::fs::{
    EditFs, EditOptions, Freed, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Timestamp, Xattr,
};

use crate::support::disk::Disk;
use crate::support::marker::{content, marker, on_disk};
use crate::support::model::{self, Model, ModelEditor};
use crate::support::oracle::{e2fsck_clean, free_blocks};
use crate::support::snapshot::{assert_same, of_fs};
use crate::support::spec::{Body, Spec, path};
use crate::support::{debugfs, recipe};

const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };
const OPTIONS: EditOptions = EditOptions { now: NOW, keep_free_space: false };

fn at(fs: &dyn ReadFs, path: &str) -> Node {
    path.split('/').filter(|name| !name.is_empty()).fold(fs.root(), |node, name| {
        fs.lookup(node, name.as_bytes()).unwrap().unwrap_or_else(|| panic!("{path} is not there"))
    })
}

/// The number of a path's inode.
fn node(image: &Path, path: &str) -> u64 {
    let disk = Arc::new(Disk::from_file(image));
    at(&*(DRIVER.open)(disk).unwrap(), path).0
}

/// Splits a path into its directory's node and its name.
fn split<'a>(edit: &dyn EditFs, path: &'a str) -> (Node, &'a [u8]) {
    let (dir, name) = path.rsplit_once('/').expect("absolute");
    (at(edit.view(), dir), name.as_bytes())
}

fn remove(edit: &mut dyn EditFs, path: &str) {
    let (dir, name) = split(edit, path);
    edit.remove(dir, name).unwrap_or_else(|error| panic!("remove {path}: {error}"));
}

fn remove_tree(edit: &mut dyn EditFs, path: &str) {
    let (dir, name) = split(edit, path);
    edit.remove_tree(dir, name).unwrap_or_else(|error| panic!("remove tree {path}: {error}"));
}

fn replace(edit: &mut dyn EditFs, path: &str, content: &[u8]) {
    let node = at(edit.view(), path);
    edit.replace(node, content).unwrap_or_else(|error| panic!("replace {path}: {error}"));
}

fn create(edit: &mut dyn EditFs, path: &str, kind: NewKind<'_>) -> Node {
    let (dir, name) = split(edit, path);
    let meta = NewMeta { mode: 0o640, uid: 1000, gid: 70_000, ..NewMeta::default() };
    edit.create(dir, name, kind, &meta).unwrap_or_else(|error| panic!("create {path}: {error}"))
}

fn rename(edit: &mut dyn EditFs, from: &str, to: &str) {
    let (from_dir, name) = split(edit, from);
    let (to_dir, new_name) = split(edit, to);
    edit.rename(from_dir, name, to_dir, new_name)
        .unwrap_or_else(|error| panic!("rename {from} to {to}: {error}"));
}

fn set_meta(edit: &mut dyn EditFs, path: &str, change: &MetaChange) {
    let node = at(edit.view(), path);
    edit.set_meta(node, change).unwrap_or_else(|error| panic!("set_meta {path}: {error}"));
}

fn open(disk: &Arc<Disk>, options: &EditOptions) -> Result<Box<dyn EditFs>, FsError> {
    (DRIVER.edit.expect("ext4 is edited"))(Arc::clone(disk) as _, options)
}

/// Edits an image in place.
fn edit_with(image: &Path, options: &EditOptions, edit: &dyn Fn(&mut dyn EditFs)) -> Freed {
    let disk = Arc::new(Disk::from_file(image));
    let mut editor = open(&disk, options).unwrap();
    edit(&mut *editor);
    let freed = editor.finish().unwrap();
    disk.save(image);
    e2fsck_clean(image);
    freed
}

fn edit(image: &Path, edit: &dyn Fn(&mut dyn EditFs)) -> Freed {
    edit_with(image, &OPTIONS, edit)
}

/// Edits an image and a model of it the same way: the same tree has to come of it, and no byte of
/// free space may be left.
fn edit_and_compare(what: &str, image: &Path, spec: &Spec, change: &dyn Fn(&mut dyn EditFs)) {
    edit(image, change);
    let place = Arc::new(Mutex::new(Model::new(model::UNIX, spec)));
    let mut editor: Box<dyn EditFs> = Box::new(ModelEditor::new(&place, &OPTIONS));
    change(&mut *editor);
    editor.finish().unwrap();
    let expected = of_fs(&*place.lock().unwrap()).unwrap();
    let disk = Arc::new(Disk::from_file(image));
    let ours = (DRIVER.open)(Arc::clone(&disk) as _).unwrap();
    assert_same(&format!("{what}: our reader"), &expected, &of_fs(&*ours).unwrap());
    let mut theirs = debugfs::snapshot(image);
    for object in theirs.values_mut() {
        // debugfs shows inline content as an attribute, and dumps what is in the inode wrongly.
        if object.xattrs.as_mut().is_some_and(|xattrs| xattrs.remove("system.data").is_some()) {
            object.content = None;
        }
    }
    assert_same(&format!("{what}: debugfs"), &expected, &theirs);
    assert_free_space_is_zero(what, image);
}

fn assert_free_space_is_zero(what: &str, image: &Path) {
    let disk = Disk::from_file(image);
    let (ranges, block_size) = free_blocks(image);
    for (first, last) in ranges {
        let found = disk.first_nonzero(first * block_size, (last - first + 1) * block_size);
        assert_eq!(found, None, "{what}: free blocks {first}-{last}");
    }
}

fn tree() -> Spec {
    let mut spec = Spec::default();
    spec.directory("/etc").mode = 0o750;
    spec.file("/etc/hostname", content(1, 20));
    spec.file("/etc/machine-id", content(2, 33));
    let shadow = spec.file("/etc/shadow", content(3, 700));
    (shadow.mode, shadow.uid, shadow.gid) = (0o640, 100_000, 42);
    shadow
        .xattrs
        .insert("security.selinux".to_owned(), b"system_u:object_r:shadow_t:s0\0".to_vec());
    shadow.xattrs.insert("user.long".to_owned(), content(4, 600));
    spec.directory("/etc/empty");
    spec.directory("/var");
    spec.directory("/var/log");
    spec.file("/var/log/big", content(5, 1_500_000));
    for number in 0..10u32 {
        let file = spec.file(&format!("/var/log/log.{number}"), content(100 + number, 3000));
        file.xattrs.insert("user.note".to_owned(), content(200 + number, 40));
    }
    // Every other KiB a hole: more extents than an inode holds.
    let mut holes = vec![0; 400 << 10];
    for piece in holes.chunks_mut(8 << 10) {
        piece[..4096].copy_from_slice(&content(6, 4096));
    }
    // mke2fs -d forgets a hole at the end of a file with inline_data.
    holes.truncate((400 << 10) - 4096);
    spec.file("/var/log/holes", holes.clone());
    spec.file("/var/holes", holes);
    spec.add(path("/var/log/twin"), Body::HardLink(path("/etc/shadow")));
    spec.add(path("/var/log/zero"), Body::Special(Kind::CharDevice, 1, 5));
    spec.add(path("/var/log/disk"), Body::Special(Kind::BlockDevice, 8, 17));
    spec.add(path("/var/log/pipe"), Body::Special(Kind::Fifo, 0, 0));
    spec.add(path("/var/log/socket"), Body::Special(Kind::Socket, 0, 0));
    spec.symlink("/var/log/short", marker(7));
    spec.symlink("/var/log/long", marker(8).repeat(30));
    spec.directory("/var/log/deep");
    spec.directory("/var/log/deep/deeper");
    spec.file("/var/log/deep/deeper/file", content(9, 50));
    spec.directory("/many");
    for number in 0..60u32 {
        spec.file(&format!("/many/~M{:08x}~-name-{number}", 1000 + number), content(10, 10));
    }
    spec.symlink("/link", "etc/hostname");
    spec
}

/// A change, by its name.
type Edit = (&'static str, fn(&mut dyn EditFs));

/// The edits that a model makes, too.
const EDITS: &[Edit] = &[
    ("nothing", |_| {}),
    ("remove", trees_and_names_are_removed),
    ("replace", content_is_replaced),
    ("create", files_directories_and_symlinks_are_made),
    ("grow", directories_grow_and_shrink),
    ("rename", names_are_moved),
    ("metadata", metadata_is_changed),
];

fn every_edit(what: &str, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = tree();
    let image = recipe::ext4(dir.path(), &mut spec, args, 24 << 20);
    let scratch = dir.path().join("edited.img");
    removing_leaves_no_byte(what, &image, &scratch);
    for (name, change) in EDITS {
        fs::copy(&image, &scratch).unwrap();
        edit_and_compare(&format!("{what}: {name}"), &scratch, &spec, change);
    }
}

/// Every kind of filesystem mke2fs makes: a test each, which makes every edit.
macro_rules! matrix {
    ($($name:ident: $args:expr;)*) => {
        $(#[test]
        fn $name() {
            every_edit(stringify!($name), &$args);
        })*
    };
}

matrix! {
    ext4: ["-b", "4096", "-t", "ext4"];
    ext4_of_1_kib_blocks: ["-t", "ext4", "-b", "1024"];
    ext4_of_2_kib_blocks: ["-t", "ext4", "-b", "2048", "-O", "^64bit"];
    ext3: ["-b", "4096", "-t", "ext3"];
    ext2_of_1_kib_blocks_and_old_inodes: ["-t", "ext2", "-b", "1024", "-I", "128"];
    ext2_without_file_types_and_index: ["-b", "4096", "-t", "ext2", "-O", "^filetype,^dir_index"];
    uninit_bg: ["-b", "4096", "-t", "ext4", "-O", "^metadata_csum,uninit_bg", "-g", "1024"];
    metadata_csum_seed_and_orphan_file: ["-b", "4096", "-t", "ext4", "-O", "metadata_csum_seed,orphan_file"];
    inline_data: ["-b", "4096", "-t", "ext4", "-O", "inline_data", "-I", "256"];
    inline_data_in_large_inodes: ["-b", "4096", "-t", "ext4", "-O", "inline_data", "-I", "1024"];
    ea_inode_and_large_dir: ["-b", "4096", "-t", "ext4", "-O", "ea_inode,large_dir"];
    bigalloc: ["-b", "4096", "-t", "ext4", "-O", "bigalloc", "-C", "16384"];
    bigalloc_of_1_kib_blocks: ["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "8192"];
    meta_bg: ["-b", "4096", "-t", "ext4", "-O", "meta_bg,^resize_inode", "-g", "1024"];
    sparse_super2: ["-b", "4096", "-t", "ext4", "-O", "sparse_super2,^resize_inode", "-g", "1024"];
    no_flex_bg_no_extents: ["-b", "4096", "-t", "ext4", "-O", "^flex_bg,^extent,^64bit"];
    casefold: ["-b", "4096", "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"];
}

/// After a removal no marker of what was removed is anywhere on the device, in both modes.
fn removing_leaves_no_byte(what: &str, image: &Path, scratch: &Path) {
    for keep_free_space in [false, true] {
        let what = format!("{what}, keep_free_space {keep_free_space}");
        fs::copy(image, scratch).unwrap();
        let before = on_disk(&Disk::from_file(scratch));
        let gone: Vec<u32> =
            [2, 5, 7, 8, 9].into_iter().chain(100..110).chain(200..210).chain(1000..1060).collect();
        for number in &gone {
            assert!(before.contains(number), "{what}: marker {number} is in the image");
        }
        let options = EditOptions { keep_free_space, ..OPTIONS };
        let freed = edit_with(scratch, &options, &|edit| {
            remove(edit, "/etc/machine-id");
            remove_tree(edit, "/var/log");
            for number in 0..60 {
                remove(edit, &format!("/many/~M{:08x}~-name-{number}", 1000 + number));
            }
            remove(edit, "/etc/empty");
        });
        // Files, devices, symlinks and directories; the hard link's other name stays.
        assert_eq!(freed.nodes, 1 + 10 + 2 + 4 + 2 + 4 + 1 + 60, "{what}");
        assert!(freed.bytes > 1_500_000 && freed.discarded >= freed.bytes, "{what}: {freed:?}");
        let after = on_disk(&Disk::from_file(scratch));
        let left: Vec<&u32> = gone.iter().filter(|number| after.contains(number)).collect();
        assert!(left.is_empty(), "{what}: markers {left:?} are still there");
        for kept in [1, 3, 4, 6] {
            assert!(after.contains(&kept), "{what}: marker {kept} has to stay");
        }
    }
}

fn trees_and_names_are_removed(edit: &mut dyn EditFs) {
    remove_tree(edit, "/var/log");
    remove(edit, "/link");
    for number in (0..60).step_by(3) {
        remove(edit, &format!("/many/~M{:08x}~-name-{number}", 1000 + number));
    }
}

fn content_is_replaced(edit: &mut dyn EditFs) {
    replace(edit, "/etc/hostname", b"");
    replace(edit, "/etc/machine-id", &content(20, 900_000));
    replace(edit, "/etc/shadow", b"root:!::\n");
    replace(edit, "/var/log/big", &content(21, 70));
    replace(edit, "/var/log/holes", &content(22, 123_456));
    replace(edit, "/var/log/log.1", &content(23, 60));
    replace(edit, "/var/log/log.2", &content(24, 61));
}

fn files_directories_and_symlinks_are_made(edit: &mut dyn EditFs) {
    create(edit, "/etc/new", NewKind::File(&content(30, 12_345)));
    create(edit, "/etc/short", NewKind::File(b"short"));
    create(edit, "/etc/none", NewKind::File(b""));
    create(edit, "/etc/dir", NewKind::Directory);
    create(edit, "/etc/dir/below", NewKind::Directory);
    create(edit, "/etc/dir/below/file", NewKind::File(b"x"));
    create(edit, "/etc/fast", NewKind::Symlink(b"target"));
    create(edit, "/etc/slow", NewKind::Symlink(&marker(31).repeat(20)));
    remove_tree(edit, "/var/log");
    create(edit, "/var/log", NewKind::Directory);
    create(edit, "/var/log/again", NewKind::File(&content(32, 5000)));
}

fn directories_grow_and_shrink(edit: &mut dyn EditFs) {
    create(edit, "/grown", NewKind::Directory);
    for number in 0..700 {
        create(edit, &format!("/grown/a-rather-long-file-name-{number:05}"), NewKind::File(b""));
        create(edit, &format!("/many/other-{number}"), NewKind::Symlink(b"x"));
    }
    for number in (0..700).step_by(2) {
        remove(edit, &format!("/grown/a-rather-long-file-name-{number:05}"));
    }
    for number in 700..800 {
        create(edit, &format!("/grown/a-rather-long-file-name-{number:05}"), NewKind::File(b""));
    }
}

fn names_are_moved(edit: &mut dyn EditFs) {
    rename(edit, "/etc/hostname", "/etc/a-longer-name-than-it-had");
    rename(edit, "/etc/machine-id", "/var/machine-id");
    rename(edit, "/var/log/deep", "/etc/empty/deep");
    rename(edit, "/many", "/var/many");
    rename(edit, "/link", "/var/many/link");
}

fn metadata_is_changed(edit: &mut dyn EditFs) {
    set_meta(
        edit,
        "/etc/hostname",
        &MetaChange {
            mode: Some(0o4711),
            uid: Some(123_456),
            gid: Some(7),
            mtime: Some(Timestamp { seconds: 1_000_000_000, nanos: 0 }),
            atime: Some(Timestamp { seconds: 1_100_000_000, nanos: 0 }),
            xattrs: vec![
                ("security.selinux".to_owned(), Some(b"system_u:object_r:etc_t:s0\0".to_vec())),
                ("user.large".to_owned(), Some(content(40, 500))),
                ("user.empty".to_owned(), Some(Vec::new())),
            ],
        },
    );
    set_meta(
        edit,
        "/etc/shadow",
        &MetaChange {
            xattrs: vec![
                ("user.long".to_owned(), None),
                ("security.selinux".to_owned(), Some(b"system_u:object_r:x_t:s0\0".to_vec())),
                ("user.more".to_owned(), Some(content(41, 300))),
            ],
            ..MetaChange::default()
        },
    );
    set_meta(
        edit,
        "/var/log/log.3",
        &MetaChange { xattrs: vec![("user.note".to_owned(), None)], ..MetaChange::default() },
    );
    set_meta(edit, "/", &MetaChange { mode: Some(0o711), ..MetaChange::default() });
    remove(edit, "/var/log/log.4");
}
