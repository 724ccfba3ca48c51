//! Nothing of what was removed stays.

use super::*;

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
