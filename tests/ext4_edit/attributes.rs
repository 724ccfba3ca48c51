//! Extended attributes: shared blocks, values in inodes, ACLs.

use std::fs::File;
use std::os::unix::fs::FileExt;

use sysprep_rs::fs::ext4::source::{DeviceSource, read_inode};
use sysprep_rs::fs::ext4::superblock::Superblock;

use super::*;
use crate::support::oracle::{run, succeed};

fn set(name: &str, value: Option<&[u8]>) -> MetaChange {
    MetaChange {
        xattrs: vec![(name.to_owned(), value.map(<[u8]>::to_vec))],
        ..MetaChange::default()
    }
}

fn values(image: &Path, path: &str) -> Vec<(String, Vec<u8>)> {
    let fs = (DRIVER.open)(Arc::new(Disk::from_file(image))).unwrap();
    let xattrs = fs.xattrs(at(&*fs, path)).unwrap();
    xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect()
}

/// Three files that share one attribute block.
fn shared(dir: &Path) -> std::path::PathBuf {
    let mut spec = Spec::default();
    for name in ["/a", "/b", "/c"] {
        spec.file(name, "x");
    }
    let large = content(1, 600);
    spec.0.get_mut(&path("/a")).unwrap().xattrs.insert("user.large".to_owned(), large);
    let args = ["-t", "ext4", "-I", "128", "-O", "^metadata_csum,^extra_isize"];
    let image = recipe::ext4(dir, &mut spec, &args, 8 << 20);
    let disk = Arc::new(Disk::from_file(&image));
    let source = DeviceSource::new(Arc::clone(&disk) as _, Superblock::read(&*disk).unwrap());
    let fs = (DRIVER.open)(disk).unwrap();
    let block = read_inode(&source, at(&*fs, "/a").0 as u32).unwrap().xattr_block();
    let block_size = source_block_size(&source);
    let mut commands = Vec::new();
    for name in ["b", "c"] {
        commands.push(format!("sif {name} file_acl {block}").into_bytes());
        commands.push(format!("sif {name} blocks {}", 2 * block_size / 512).into_bytes());
    }
    debugfs::script(&image, true, &commands);
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .write_all_at(&3u32.to_le_bytes(), block * block_size + 4)
        .unwrap();
    e2fsck_clean(&image);
    image
}

fn source_block_size(source: &DeviceSource) -> u64 {
    use sysprep_rs::fs::ext4::source::Source as _;
    u64::from(source.superblock().block_size())
}

#[test]
fn a_shared_block_goes_with_its_last_inode() {
    let dir = tempfile::tempdir().unwrap();
    let image = shared(dir.path());
    let large = content(1, 600);
    edit(&image, &|edit| {
        remove(edit, "/a");
        set_meta(edit, "/b", &set("user.more", Some(b"more")));
    });
    assert_eq!(values(&image, "/c"), [("user.large".to_owned(), large.clone())]);
    let both = [("user.large".to_owned(), large), ("user.more".to_owned(), b"more".to_vec())];
    assert_eq!(values(&image, "/b"), both);
    edit(&image, &|edit| {
        set_meta(edit, "/b", &set("user.large", None));
        remove(edit, "/c");
    });
    assert_eq!(values(&image, "/b"), [("user.more".to_owned(), b"more".to_vec())]);
    assert!(!on_disk(&Disk::from_file(&image)).contains(&1));
    edit(&image, &|edit| set_meta(edit, "/b", &set("user.more", None)));
    assert_eq!(values(&image, "/b"), []);
}

#[test]
fn values_in_inodes_go_with_their_attribute() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    let names = ["/removed", "/dropped", "/replaced", "/kept"];
    for name in names {
        spec.file(name, "x");
    }
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-O", "ea_inode"], 16 << 20);
    let mut commands = Vec::new();
    for (number, name) in (1..).zip(names) {
        let value = dir.path().join(format!("value-{number}"));
        std::fs::write(&value, content(number, 1000)).unwrap();
        commands.push(format!("ea_set -f {} {name} user.huge", value.display()).into_bytes());
    }
    debugfs::script(&image, true, &commands);
    // debugfs does not count the value as the file's storage.
    run("e2fsck", "e2fsprogs", &["-fy", image.to_str().unwrap()]);
    e2fsck_clean(&image);
    let freed = edit(&image, &|edit| {
        remove(edit, "/removed");
        set_meta(edit, "/dropped", &set("user.huge", None));
        set_meta(edit, "/replaced", &set("user.huge", Some(b"small")));
        set_meta(edit, "/kept", &set("user.other", Some(b"other")));
    });
    assert_eq!(freed.nodes, 4, "a file and three values");
    assert_eq!(values(&image, "/dropped"), []);
    assert_eq!(values(&image, "/replaced"), [("user.huge".to_owned(), b"small".to_vec())]);
    assert_eq!(values(&image, "/kept")[0].1, content(4, 1000));
    let left = on_disk(&Disk::from_file(&image));
    assert!([1, 2, 3].iter().all(|number| !left.contains(number)), "{left:?}");
}

#[test]
fn acls_are_stored_in_their_own_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.file("/file", "x");
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 8 << 20);
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in [
        (1u16, 6u16, u32::MAX),
        (2, 4, 1000),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(perm.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    edit(&image, &|edit| {
        set_meta(edit, "/file", &set(name, Some(&acl)));
        let (dir, meta) = (
            edit.view().root(),
            NewMeta {
                mode: 0o755,
                xattrs: vec![Xattr {
                    name: "system.posix_acl_default".to_owned(),
                    value: acl.clone(),
                }],
                ..NewMeta::default()
            },
        );
        edit.create(dir, b"dir", NewKind::Directory, &meta).unwrap();
    });
    assert_eq!(values(&image, "/file"), [(name.to_owned(), acl.clone())]);
    assert_eq!(values(&image, "/dir"), [("system.posix_acl_default".to_owned(), acl)]);
    let mut editor = open(&Arc::new(Disk::from_file(&image)), &OPTIONS).unwrap();
    let file = at(editor.view(), "/file");
    for change in [set(name, Some(b"no ACL")), set("other.name", Some(b"x"))] {
        assert!(matches!(editor.set_meta(file, &change), Err(FsError::CannotStore(_))));
    }
    let large = vec![1; 5000];
    let change = set("user.too-large", Some(&large));
    assert!(matches!(editor.set_meta(file, &change), Err(FsError::CannotStore(_))));
}

#[test]
fn a_filesystem_without_attributes_says_that_it_has_some_once_it_does() {
    for size in ["128", "256"] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::default();
        spec.file("/a", "x");
        spec.file("/b", "x");
        let args = ["-t", "ext4", "-I", size, "-O", "^ext_attr"];
        let image = recipe::ext4(dir.path(), &mut spec, &args, 8 << 20);
        let has = || {
            let said = succeed("dumpe2fs", "e2fsprogs", &["-h", image.to_str().unwrap()]);
            String::from_utf8(said).unwrap().contains(" ext_attr ")
        };
        edit(&image, &|edit| {
            set_meta(edit, "/b", &MetaChange { mode: Some(0o600), ..MetaChange::default() })
        });
        assert!(!has(), "{size}: there are none yet");
        edit(&image, &|edit| set_meta(edit, "/a", &set("user.one", Some(b"1"))));
        assert!(has(), "{size}");
        let listed = debugfs::script(&image, false, &[b"ea_list /a".to_vec()]);
        assert!(String::from_utf8_lossy(&listed[0]).contains("user.one"), "{size}: {listed:?}");
    }
}
