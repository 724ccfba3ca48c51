//! Directories of every shape: all hashes, several levels, made by e2fsck, ignoring case.

use super::*;
use crate::support::oracle::{run, succeed};
use crate::support::random::{Random, seed};

fn debug(image: &Path, commands: &[&str]) {
    let commands: Vec<Vec<u8>> = commands.iter().map(|line| line.as_bytes().to_vec()).collect();
    debugfs::script(image, true, &commands);
}

fn names(fs: &dyn ReadFs, path: &str) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    fs.entries(at(fs, path), &mut |entry| {
        names.push(entry.name.to_vec());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    names.sort();
    names
}

/// Adds and removes random names, and holds the directory against a set of them.
fn churn(image: &Path, dir: &str, rounds: usize, longest: usize, random: &mut Random) {
    let place = Mutex::new(Vec::new());
    let state = Mutex::new(random.clone());
    edit(image, &|edit| {
        let random = &mut *state.lock().unwrap();
        let node = at(edit.view(), dir);
        let mut expected: std::collections::BTreeSet<Vec<u8>> =
            names(edit.view(), dir).into_iter().collect();
        for round in 0..rounds {
            if random.one_in(4) && !expected.is_empty() {
                let name = expected.iter().nth(random.below(expected.len())).unwrap().clone();
                edit.remove(node, &name).unwrap();
                expected.remove(&name);
            } else {
                let mut name = format!("{round}-").into_bytes();
                for _ in 0..random.below(longest) {
                    // Any byte but NUL and '/': high ones tell signed hashes from unsigned.
                    name.push(*random.pick(b"abcXYZ .-\x80\xc3\xa9\xff"));
                }
                let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
                edit.create(node, &name, NewKind::File(b""), &meta).unwrap();
                expected.insert(name);
            }
        }
        let expected: Vec<Vec<u8>> = expected.into_iter().collect();
        assert!(names(edit.view(), dir) == expected, "what the view shows");
        for name in &expected {
            assert!(edit.view().lookup(node, name).unwrap().is_some());
        }
        *place.lock().unwrap() = expected;
    });
    *random = state.into_inner().unwrap();
    let fs = (DRIVER.open)(Arc::new(Disk::from_file(image))).unwrap();
    assert!(names(&*fs, dir) == *place.lock().unwrap(), "what the image holds");
}

#[test]
fn every_hash_orders_names_as_the_kernel_does() {
    let seed = seed(0x5eed_0001);
    println!("seed {seed:#x}");
    let mut random = Random::new(seed);
    for algorithm in ["legacy", "half_md4", "tea"] {
        for flags in [1, 2] {
            let dir = tempfile::tempdir().unwrap();
            let mut spec = Spec::default();
            spec.directory("/d");
            let args = ["-t", "ext4", "-b", "1024"];
            let image = recipe::ext4(dir.path(), &mut spec, &args, 16 << 20);
            let text = image.to_str().unwrap();
            let hash = format!("hash_alg={algorithm}");
            succeed("tune2fs", "e2fsprogs", &["-E", &hash, text]);
            debug(&image, &[&format!("ssv flags {flags}")]);
            churn(&image, "/d", 900, 60, &mut random);
            let shown = run("debugfs", "e2fsprogs", &["-R", "htree_dump /d", text]);
            assert!(String::from_utf8_lossy(&shown.stdout).contains("Number of entries (count)"));
        }
    }
}

#[test]
fn an_index_grows_to_the_levels_it_may_have() {
    for (args, count, levels) in [
        (&["-t", "ext4", "-b", "1024", "-N", "20000"][..], 2_000, 1),
        (&["-t", "ext4", "-b", "1024", "-N", "40000", "-O", "large_dir"], 33_000, 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::default();
        spec.directory("/d");
        let image = recipe::ext4(dir.path(), &mut spec, args, 96 << 20);
        let name = |number: usize| format!("{number:05}{}", "x".repeat(240));
        edit(&image, &|edit| {
            let node = at(edit.view(), "/d");
            for number in 0..count {
                let meta = NewMeta::default();
                edit.create(node, name(number).as_bytes(), NewKind::File(b""), &meta)
                    .unwrap_or_else(|error| panic!("name {number}: {error}"));
            }
        });
        let text = image.to_str().unwrap();
        let shown = run("debugfs", "e2fsprogs", &["-R", "htree_dump /d", text]);
        let shown = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.contains(&format!("Indirect levels: {levels}")), "{}", &shown[..300]);
        edit(&image, &|edit| {
            let node = at(edit.view(), "/d");
            for number in (0..count).step_by(3) {
                edit.remove(node, name(number).as_bytes()).unwrap();
            }
        });
        edit(&image, &|edit| remove_tree(edit, "/d"));
    }
}

#[test]
fn an_index_that_e2fsck_made_is_kept() {
    let seed = seed(0x5eed_0002);
    println!("seed {seed:#x}");
    let mut random = Random::new(seed);
    for args in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext3", "-b", "1024"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::default();
        spec.directory("/d");
        for number in 0..600 {
            spec.file(&format!("/d/a-name-that-is-there-{number}"), "");
        }
        let image = recipe::ext4(dir.path(), &mut spec, args, 16 << 20);
        run("e2fsck", "e2fsprogs", &["-fyD", image.to_str().unwrap()]);
        churn(&image, "/d", 800, 100, &mut random);
    }
}

#[test]
fn a_directory_that_ignores_case_is_ordered_by_folded_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.directory("/d");
    let args = ["-t", "ext4", "-b", "1024", "-O", "casefold", "-E", "encoding=utf8"];
    let image = recipe::ext4(dir.path(), &mut spec, &args, 16 << 20);
    debug(&image, &["sif /d flags 0x40080000"]);
    edit(&image, &|edit| {
        for number in 0..200 {
            create(edit, &format!("/d/A Name With CAPITALS {number}"), NewKind::File(b"x"));
        }
        let (dir, meta) = (at(edit.view(), "/d"), NewMeta::default());
        let again = edit.create(dir, b"a name with capitals 7", NewKind::Directory, &meta);
        assert!(matches!(again, Err(FsError::Exists)));
    });
    edit(&image, &|edit| {
        remove(edit, "/d/A Name With CAPITALS 3");
        create(edit, "/d/below", NewKind::Directory);
        create(edit, "/d/below/Name", NewKind::File(b"x"));
    });
    let mut editor = open(&Arc::new(Disk::from_file(&image)), &OPTIONS).unwrap();
    let (dir, meta) = (at(editor.view(), "/d"), NewMeta::default());
    let other = editor.create(dir, "\u{e9}".as_bytes(), NewKind::Directory, &meta);
    assert!(matches!(other, Err(FsError::Unsupported(_))));
}

#[test]
fn a_directory_of_many_subdirectories_counts_them_as_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.directory("/d");
    let args = ["-t", "ext4", "-b", "1024", "-N", "70000", "-I", "128"];
    let image = recipe::ext4(dir.path(), &mut spec, &args, 128 << 20);
    edit(&image, &|edit| {
        let (node, meta) = (at(edit.view(), "/d"), NewMeta { mode: 0o755, ..NewMeta::default() });
        for number in 0..65_010 {
            let name = format!("{number}");
            edit.create(node, name.as_bytes(), NewKind::Directory, &meta)
                .unwrap_or_else(|error| panic!("directory {number}: {error}"));
        }
        assert_eq!(edit.view().stat(node).unwrap().links, 1);
    });
    edit(&image, &|edit| {
        for number in 0..100 {
            remove(edit, &format!("/d/{number}"));
        }
    });
    edit(&image, &|edit| remove_tree(edit, "/d"));
}
