//! Inodes without a name and wrong link counts: what e2fsck would mend is refused, and nothing else.

use super::inconsistent::refused;
use super::*;
use crate::support::oracle::e2fsck_complaint;
use crate::support::random::{Random, rounds, seed};

const KINDS: [&[&str]; 5] = [
    &["-t", "ext4", "-b", "4096", "-O", "orphan_file"],
    &["-t", "ext4", "-b", "1024", "-O", "inline_data,ea_inode"],
    &["-t", "ext4", "-b", "1024", "-O", "encrypt,casefold"],
    &["-t", "ext4", "-b", "4096", "-O", "^dir_nlink,^metadata_csum,uninit_bg"],
    &["-t", "ext3", "-b", "1024", "-I", "128"],
];

#[test]
fn what_has_no_name_or_counts_its_names_wrongly_is_refused() {
    for args in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), args, 24 << 20);
        let inode = |path: &str| format!("inode {}", node(&image, path));
        let check = |command: &str, path: &str, word: &str| {
            let what = format!("{args:?}, {command}");
            refused(&what, &image, &[command.to_owned()], &[&inode(path), word]);
        };
        for path in ["/etc/hostname", "/link", "/var/log/pipe", "/var/log/deep/deeper"] {
            check(&format!("unlink {path}"), path, "no name");
        }
        check("unlink /var/log/twin", "/etc/shadow", "1 more than it has");
        check("ln /etc/hostname /etc/again", "/etc/hostname", "names it");
        check("ln /var/log/deep /etc/again", "/var/log/deep", "more than it counts");
        check("sif /etc/hostname links_count 2", "/etc/hostname", "1 more than it has");
        check("sif /etc/hostname links_count 0", "/etc/hostname", "no name");
        check("sif /etc/shadow links_count 1", "/etc/shadow", "names it");
        check("sif /var/log links_count 7", "/var/log", "4 more than it has");
        check("sif /var/log links_count 2", "/var/log", "more than it counts");
        check("sif / links_count 9", "/", "3 more than it has");
        let reserved = ["ln <8> /etc/journal".to_owned()];
        refused("a name of the journal", &image, &reserved, &["inode 8", "names it"]);
    }
}

/// With `dir_nlink` one is what a directory says that has more links than it can count, and it
/// says so still when it has fewer again.
#[test]
fn a_directory_that_does_not_count_its_links_is_edited() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &["-t", "ext4"], 24 << 20);
    debugfs::script(&image, true, &[b"sif /var/log links_count 1".to_vec()]);
    let disk = Arc::new(Disk::from_file(&image));
    let mut editor = open(&disk, &OPTIONS).unwrap();
    remove_tree(&mut *editor, "/var/log/deep");
    create(&mut *editor, "/var/log/new", NewKind::Directory);
    editor.finish().unwrap();
    disk.save(&image);
    assert_eq!(
        (DRIVER.open)(Arc::new(Disk::from_file(&image)))
            .unwrap()
            .stat(Node(node(&image, "/var/log")))
            .unwrap()
            .links,
        1
    );
}

#[test]
fn the_names_in_encrypted_directories_count() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-b", "1024", "-O", "encrypt"];
    let image = recipe::ext4(dir.path(), &mut tree(), &args, 24 << 20);
    // EXT4_ENCRYPT_FL beside EXT4_EXTENTS_FL.
    let encrypt = "sif /var/log flags 0x80800";
    let scratch = dir.path().join("encrypted.img");
    fs::copy(&image, &scratch).unwrap();
    debugfs::script(&scratch, true, &[encrypt.as_bytes().to_vec()]);
    let disk = Arc::new(Disk::from_file(&scratch));
    open(&disk, &OPTIONS).unwrap().finish().unwrap();
    let number = format!("inode {}", node(&image, "/var/log/big"));
    let commands = ["unlink /var/log/big", encrypt].map(str::to_owned);
    refused("in an encrypted directory", &image, &commands, &[&number, "no name"]);
}

/// Files that are made lie in inodes that the table does not hold yet, and may be where it has
/// no block so far.
#[test]
fn what_is_made_is_counted_too() {
    for keep_free_space in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), &["-t", "ext4"], 24 << 20);
        edit_with(&image, &EditOptions { keep_free_space, ..OPTIONS }, &|edit| {
            create(edit, "/etc/made", NewKind::Directory);
            for number in 0..100 {
                create(edit, &format!("/etc/made/{number}"), NewKind::Directory);
                create(edit, &format!("/etc/made/{number}/file"), NewKind::File(b"x"));
            }
            remove_tree(edit, "/etc/made/5");
            rename(edit, "/etc/made/6", "/var/6");
        });
    }
}

/// A block that is called free is given to a new file, whose inode lies where the table has none:
/// it is found all the same.
#[test]
fn a_live_block_that_a_new_inode_of_an_empty_table_was_given_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = tree();
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-b", "4096"], 24 << 20);
    // Until the next inode is the first of a block of the table.
    let mut count = 0;
    while {
        edit(&image, &|edit| {
            create(edit, &format!("/etc/empty/{count}"), NewKind::File(b""));
        });
        !node(&image, &format!("/etc/empty/{count}")).is_multiple_of(16)
    } {
        count += 1;
    }
    let said = debugfs::script(&image, false, &[b"blocks /var/log/big".to_vec()]);
    let said = String::from_utf8_lossy(&said[0]).into_owned();
    let free = said.split_whitespace().map(|it| format!("freeb {it}").into_bytes());
    debugfs::script(&image, true, &free.collect::<Vec<_>>());
    for keep_free_space in [false, true] {
        let disk = Arc::new(Disk::from_file(&image));
        let mut editor = open(&disk, &EditOptions { keep_free_space, ..OPTIONS }).unwrap();
        // All that is free: the live blocks are among it.
        let mut made = 0;
        let meta = NewMeta::default();
        let root = editor.view().root();
        let name = |made: i32| format!("new{made}").into_bytes();
        while editor
            .create(root, &name(made), NewKind::File(&content(60, 3_000_000)), &meta)
            .is_ok()
        {
            made += 1;
        }
        let result = editor.finish();
        let Err(error @ FsError::Corrupt(_)) = result else { panic!("{made}: {result:?}") };
        assert!(made > 0 && error.to_string().contains("block bitmap"), "{made}: {error}");
    }
}

/// Random damage to names and counts: refused exactly where e2fsck complains.
#[test]
fn what_is_refused_is_what_e2fsck_complains_of() {
    let paths = [
        "/",
        "/etc",
        "/etc/hostname",
        "/etc/shadow",
        "/var/log",
        "/var/log/twin",
        "/var/log/deep",
        "/var/log/deep/deeper",
        "/var/log/short",
        "/var/log/disk",
        "/lost+found",
        "/many",
    ];
    let first = seed(1);
    let (mut refusals, mut passed) = (0, 0);
    for args in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), args, 24 << 20);
        for round in 0..rounds(25) as u64 {
            let mut random = Random::new(first + round);
            let commands: Vec<String> = (0..=random.below(2))
                .map(|step| {
                    let path = *random.pick(&paths);
                    match random.below(4) {
                        0 if path != "/" && path != "/lost+found" => format!("unlink {path}"),
                        1 if path != "/" => format!("ln {path} /var/again{step}"),
                        2 => format!("sif {path} links_count {}", 1 + random.below(5)),
                        _ => format!("sif {path} mtime 2001010{step}"),
                    }
                })
                .collect();
            let what = format!("{args:?}, SYSPREP_TEST_SEED={}: {commands:?}", first + round);
            let scratch = dir.path().join("damaged.img");
            fs::copy(&image, &scratch).unwrap();
            for command in &commands {
                // One may unlink what another one names.
                let text = scratch.to_str().unwrap();
                crate::support::oracle::run("debugfs", "e2fsprogs", &["-w", "-R", command, text]);
            }
            let complaint = e2fsck_complaint(&scratch);
            let disk = Arc::new(Disk::from_file(&scratch));
            let result = open(&disk, &OPTIONS).and_then(|editor| editor.finish());
            // The kernel and the editor take a directory's 1 for "many", e2fsck without -n as well.
            let uncounted = commands.iter().any(|it| it.ends_with("links_count 1"));
            match (&result, &complaint) {
                (Err(FsError::Corrupt(_)), Some(_)) => refusals += 1,
                (Ok(_), None) => passed += 1,
                (Ok(_), Some(_)) if uncounted => {}
                _ => panic!("{what}: {result:?}, and e2fsck: {complaint:?}"),
            }
        }
    }
    println!("{refusals} refused, {passed} passed");
    assert!(refusals > 20 && passed > 10, "{refusals} refused, {passed} passed");
}
