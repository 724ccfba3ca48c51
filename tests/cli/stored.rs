//! What a filesystem cannot store is told before, left alone, and keeps nothing else from being done;
//! on FAT a name is the same however its letters are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sysprep_rs::fs::Kind;
use sysprep_rs::fs::ext4::DRIVER;
use tar::{Builder, EntryType, Header};

use super::{Place, partition, root_filesystem};
use crate::support::disk::Disk;
use crate::support::mtools;
use crate::support::oracle::{e2fsck_clean, fsck_vfat_clean, succeed};
use crate::support::recipe;
use crate::support::snapshot::of_fs;
use crate::support::spec::{Spec, path};

fn esp(place: &Place) -> PathBuf {
    let esp = partition(place, &place.image(), "qcow2", 0, "esp.vfat");
    fsck_vfat_clean(&esp);
    esp
}

/// The names on the ESP, by mtools, with what files hold.
fn names(esp: &std::path::Path) -> BTreeMap<String, Option<sysprep_rs::digest::Digest>> {
    mtools::snapshot(esp).into_iter().map(|(path, it)| (path.to_string(), it.content)).collect()
}

#[test]
fn a_name_on_fat_is_one_however_it_is_written() {
    let place = Place::new();
    fs::write(place.path("one"), "one").unwrap();
    let seal = |words: &str, code| {
        let words = format!("seal --verify=full --operations=customize {words} image.qcow2");
        place.expect(&words, code).0
    };
    let flags = "--mkdir=/boot/efi/DIR --upload=one:/boot/efi/A.TXT --upload=one:/boot/efi/DIR/f \
                 --upload=one:/boot/efi/Long-Name-Of.cfg";
    seal(flags, 0);
    // Nothing is made beside what is there.
    seal("--copy=/etc/hosts:/boot/efi/a.txt --upload=one:/boot/efi/dir/F", 0);
    seal("--append-line=/boot/efi/long-name-of.CFG:two --touch=/boot/efi/LONG-N~1.CFG", 0);
    let before = esp(&place);
    let listed = names(&before);
    assert!(listed.contains_key("/A.TXT") && listed.contains_key("/DIR/f"), "{listed:?}");
    let reference = place.path("reference.vfat");
    fs::copy(&before, &reference).unwrap();
    let moves = [
        ("/A.TXT", "/a.Txt"),
        ("/DIR", "/Dir"),
        ("/Long-Name-Of.cfg", "/LONG-name-of.cfg"),
        ("/DIR/f", "/dir/G"),
    ];
    let mut flags = Vec::new();
    for (from, to) in moves {
        let image = reference.to_str().unwrap();
        // mren finds what a name is to become under it already, where only letters differ.
        let (dir, _) = to.rsplit_once('/').unwrap();
        let (from_there, to_there) = (format!("::{from}"), format!("::{to}"));
        let between = format!("::{dir}/between");
        succeed("mren", "mtools", &["-i", image, &from_there, &between]);
        succeed("mren", "mtools", &["-i", image, &between, &to_there]);
        flags.push(format!("--move=/boot/efi{from}:/boot/efi{to}"));
    }
    let flags = flags.join(" ");
    let said = seal(&flags, 0);
    assert!(said.contains("Proved: planning again yields nothing"), "{said}");
    assert_eq!(names(&esp(&place)), names(&reference));
    let sealed = fs::read(place.image()).unwrap();
    seal(&flags, 0);
    assert!(fs::read(place.image()).unwrap() == sealed);
    // Away, and another file under the name, which keeps its spelling; gone by any name.
    seal("--move=/boot/efi/A.txt:/boot/efi/away --upload=one:/boot/efi/A.TXT", 0);
    seal("--delete=/boot/efi/AWAY --delete=/boot/efi/dir", 0);
    let listed = names(&esp(&place));
    assert!(listed.contains_key("/a.Txt") && !listed.contains_key("/A.TXT"), "{listed:?}");
    assert!(!listed.keys().any(|it| it.to_lowercase().starts_with("/dir")), "{listed:?}");
    assert!(!listed.contains_key("/away"), "{listed:?}");
}

/// Members that cannot be stored, among one that can.
fn odd_members(place: &Place) {
    let mut builder = Builder::new(Vec::new());
    let header = |kind: EntryType| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        header
    };
    for (name, major, minor) in
        [("major", 5000, 1), ("minor", 1, 1 << 20), ("most", 4095, (1 << 20) - 1)]
    {
        let mut header = header(EntryType::Char);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        builder.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let large = vec![b'x'; 8000];
    let long = format!("SCHILY.xattr.user.{}", "n".repeat(256));
    for (name, field, value) in [
        ("space", "SCHILY.xattr.other.name", &b"1"[..]),
        ("none", "SCHILY.xattr.user.", b"1"),
        ("large", "SCHILY.xattr.user.large", &large),
        ("long", &long, b"1"),
        ("acl", "SCHILY.xattr.system.posix_acl_access", b"1"),
        ("good", "SCHILY.xattr.user.good", b"1"),
    ] {
        builder.append_pax_extensions([(field, value)]).unwrap();
        builder.append_data(&mut header(EntryType::Regular), name, &b""[..]).unwrap();
    }
    let record = b"25 SCHILY.xattr.user.\xff=1\n";
    let mut unnamed = header(EntryType::XHeader);
    unnamed.set_size(record.len() as u64);
    builder.append_data(&mut unnamed, "extended", &record[..]).unwrap();
    builder.append_data(&mut header(EntryType::Regular), "unnamed", &b""[..]).unwrap();
    let long = "l".repeat(256);
    builder.append_data(&mut header(EntryType::Regular), &long, &b""[..]).unwrap();
    let mut link = header(EntryType::Symlink);
    builder.append_link(&mut link, "link", "good").unwrap();
    fs::write(place.path("odd.tar"), builder.into_inner().unwrap()).unwrap();
}

#[test]
fn what_cannot_be_stored_is_told_and_the_rest_is_done() {
    let place = Place::new();
    fs::write(place.path("one"), "one").unwrap();
    odd_members(&place);
    place.expect(
        "seal --operations=customize --upload=one:/boot/efi/one --mkdir=/opt/in image.qcow2",
        0,
    );
    let name = "the filesystem cannot store this name";
    let xattr = "cannot store an extended attribute of this name";
    let cases = [
        ("--touch=/boot/efi/a:b".to_owned(), "/boot/efi/a:b", name),
        ("--mkdir=/boot/efi/dot.".to_owned(), "/boot/efi/dot.", name),
        ("--move=/etc/issue:/boot/efi/a|b".to_owned(), "/boot/efi/a|b", name),
        ("--copy=/etc/ssh:/boot/efi/q|".to_owned(), "/boot/efi/q|", name),
        ("--upload=one:/boot/efi/<one>".to_owned(), "/boot/efi/<one>", name),
        ("--chmod=0600:/boot/efi/one".to_owned(), "/boot/efi/one", "cannot store permissions"),
        ("--chown=5:5:/boot/efi/one".to_owned(), "/boot/efi/one", "cannot store owners"),
        ("--link=one:/boot/efi/link".to_owned(), "/boot/efi/link", "cannot store symlinks"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/major", "cannot store a device's number"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/minor", "cannot store a device's number"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/space", xattr),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/none", xattr),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/long", xattr),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/unnamed", "a name that is not UTF-8"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/large", "of more than a block"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in/acl", "cannot store a malformed ACL"),
        ("--tar-in=odd.tar:/opt/in".to_owned(), "/opt/in ", "a name of 256 bytes"),
        ("--tar-in=odd.tar:/boot/efi".to_owned(), "/boot/efi/link", "files and directories only"),
    ];
    let mut flags: Vec<&str> = Vec::new();
    for (flag, at, reason) in &cases {
        let words = ["audit", "--operations=customize", "--write=/opt/done:x", flag];
        let (said, _) = super::seal(&place, &words, 3);
        let left = said
            .lines()
            .any(|it| it.starts_with("Left alone:") && it.contains(at) && it.contains(reason));
        assert!(left, "{flag}: {said}");
        if !flags.contains(&flag.as_str()) {
            flags.push(flag);
        }
    }
    let words = [
        &["seal", "-v", "--verify=full", "--operations=customize", "--write=/opt/done:x"][..],
        &flags,
    ]
    .concat();
    for _ in 0..2 {
        let (said, _) = super::seal(&place, &words, 3);
        assert!(said.matches("Left alone:").count() >= cases.len(), "{said}");
    }
    let root = root_filesystem(&place, &place.image(), "qcow2");
    e2fsck_clean(&root);
    let tree = of_fs(&*(DRIVER.open)(Arc::new(Disk::from_file(&root))).unwrap()).unwrap();
    assert!(tree.contains_key(&path("/opt/done")) && tree.contains_key(&path("/etc/issue")));
    assert_eq!(tree[&path("/opt/in/most")].device, Some((4095, (1 << 20) - 1)));
    assert_eq!(tree[&path("/opt/in/link")].kind, Some(Kind::Symlink));
    let below: Vec<String> =
        tree.keys().map(ToString::to_string).filter(|it| it.starts_with("/opt/in/")).collect();
    assert_eq!(below, ["/opt/in/good", "/opt/in/link", "/opt/in/most"]);
    let listed = names(&esp(&place));
    assert!(listed.contains_key("/good") && listed.contains_key("/one"), "{listed:?}");
}

/// Told by an audit, too; what fits because something else goes is not refused.
#[test]
fn what_does_not_fit_is_told_with_how_much_there_is() {
    let place = Place::new();
    for (name, mib) in [("huge", 100), ("large", 60), ("half", 40)] {
        fs::File::create(place.path(name)).unwrap().set_len(mib << 20).unwrap();
    }
    let seal = |words: &str, code| place.expect(&format!("{words} image.qcow2"), code);
    let before = fs::read(place.image()).unwrap();
    for (flags, said) in [
        ("--upload=huge:/opt/x", "part2 (/): the files to be written need 104857600 bytes and "),
        (
            "--upload=half:/opt/x --upload=half:/opt/y",
            "part2 (/): the files to be written need 83886080",
        ),
        ("--upload=large:/boot/efi/x", "part1 (/boot/efi): the files to be written need 62914560"),
    ] {
        for command in ["audit", "seal"] {
            let (_, error) = seal(&format!("{command} --operations=customize {flags}"), 1);
            assert!(error.contains(said) && error.contains(" bytes are free"), "{flags}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
    assert!(fs::read(place.image()).unwrap() == before);
    seal("seal --operations=customize --upload=half:/opt/x", 0);
    seal("audit --operations=customize --upload=half:/opt/y", 1);
    seal("seal --operations=customize --upload=large:/opt/x", 0);
    seal("seal --operations=customize --delete=/opt/x --upload=half:/opt/y", 0);
    e2fsck_clean(&root_filesystem(&place, &place.image(), "qcow2"));
    // More names than there are inodes: no count of bytes foresees it.
    let mut builder = Builder::new(Vec::new());
    for number in 0..2_000 {
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Regular);
        builder.append_data(&mut header, format!("many/{number}"), &b""[..]).unwrap();
    }
    fs::write(place.path("many.tar"), builder.into_inner().unwrap()).unwrap();
    let (_, error) = seal("seal --operations=customize --tar-in=many.tar:/opt", 1);
    let said = "on part2: no space left in the filesystem (blocks, or inodes): the files to be \
                written need 0 bytes and ";
    assert!(error.contains("/opt/many/") && error.contains(said), "{error}");
}

/// In ext4's directories that ignore case.
#[test]
fn a_name_beside_one_in_other_letters_is_told() {
    let place = Place::new();
    let mut spec = Spec::default();
    for dir in ["/etc", "/usr", "/d"] {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\n");
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let args = ["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"];
    let root = recipe::ext4(&scratch, &mut spec, &args, 16 << 20);
    let image = place.path("disk.img");
    fs::rename(root, &image).unwrap();
    let debugfs = |command: &str| {
        succeed("debugfs", "e2fsprogs", &["-w", "-R", command, image.to_str().unwrap()])
    };
    debugfs("sif /d flags 0x40080000");
    let seal = |flags: &str, code| {
        place.expect(&format!("seal --operations=customize --verify=full {flags} disk.img"), code).0
    };
    seal("--write=/d/Name:one --mkdir=/d/New", 0);
    for (flag, at, reason) in [
        ("--write=/d/name:two", "/d/name", "differs in large and small letters only"),
        ("--mkdir=/d/NEW", "/d/NEW", "differs in large and small letters only"),
        ("--move=/etc/os-release:/d/nAME", "/d/nAME", "differs in large and small letters only"),
        ("--touch=/d/\u{e9}", "/d/\u{e9}", "outside ASCII in a directory that ignores case"),
    ] {
        let said = seal(&format!("{flag} --write=/etc/done:x"), 3);
        let left =
            said.lines().any(|it| it.contains(&format!("Left alone: {at}")) && it.contains(reason));
        assert!(left, "{flag}: {said}");
    }
    seal("--write=/d/Name:three --write=/d/New/name:x --touch=/etc/Done", 0);
    assert_eq!(debugfs("cat /d/Name"), b"three");
    e2fsck_clean(&image);
}

#[test]
fn permission_bits_that_fat_cannot_keep_are_told() {
    let place = Place::new();
    fs::create_dir(place.path("mine")).unwrap();
    let text = "name: own\nsummary: Own\nwhy: So.\nclass: settings\ndefault: true\nsteps:\n\
                - write: { path: /boot/efi/secret, content: x, mode: '0600' }\n\
                - mkdir: { path: /boot/efi/folder, mode: '0700' }\n\
                - write: { path: /boot/efi/plain, content: x, mode: '0755' }\n\
                - write: { path: /boot/efi/any, content: x }\n\
                - write: { path: /opt/secret, content: x, mode: '0600' }\n";
    fs::write(place.path("mine/own.yaml"), text).unwrap();
    let (said, _) = place.expect("seal --operations-dir mine --operations own image.qcow2", 3);
    for at in ["/boot/efi/secret", "/boot/efi/folder"] {
        let left = format!("Left alone: {at} (own): the filesystem cannot store permissions");
        assert!(said.contains(&left), "{said}");
    }
    let listed = names(&esp(&place));
    assert!(listed.contains_key("/plain") && listed.contains_key("/any"), "{listed:?}");
    assert!(!listed.contains_key("/secret") && !listed.contains_key("/folder"), "{listed:?}");
}
