//! What is unpacked from a tar file is what tar(1) makes of it in a plain folder.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use sysprep_rs::fs::Kind;
use sysprep_rs::fs::ext4::DRIVER;

use super::elsewhere::Guest;
use crate::support::disk::Disk;
use crate::support::marker::content;
use crate::support::oracle::{run, succeed};
use crate::support::recipe;
use crate::support::snapshot::of_fs;
use crate::support::spec::{Body, Spec, THEN, path};

/// A folder to pack, beside the guest: long names, several names of one file, links, a pipe.
fn folder(guest: &Guest) -> std::path::PathBuf {
    let mut spec = Spec::default();
    let long = "a-long-name-".repeat(9);
    for dir in ["/d", "/d/empty", "/b"] {
        spec.directory(dir);
    }
    spec.directory(&format!("/d/{long}"));
    spec.directory(&format!("/d/{long}/{long}"));
    spec.file(&format!("/d/{long}/{long}/{long}"), content(20, 7000));
    spec.file("/d/large", content(21, 300_000));
    spec.file("/d/none", "");
    spec.file("/d/one", content(22, 700));
    spec.add(path("/d/two"), Body::HardLink(path("/d/one")));
    spec.add(path("/a-first"), Body::HardLink(path("/d/one")));
    spec.symlink("/d/link", "/etc/os-release");
    spec.symlink("/d/long", "x/".repeat(150));
    spec.add(path("/d/pipe"), Body::Special(Kind::Fifo, 0, 0));
    // What is there already, in the guest's own directory.
    spec.file("/b/three", content(23, 60_000));
    spec.file("/to-three", "in place of a link");
    // A second name comes before the file in the order of paths, and behind it in the tar file.
    let first = spec.0.remove(&path("/a-first")).unwrap();
    let at = guest.folder.path().join("packed");
    recipe::write_tree(&at, &spec);
    assert!(matches!(first.body, Body::HardLink(_)));
    fs::hard_link(at.join("d/one"), at.join("a-first")).unwrap();
    at
}

fn pack(guest: &Guest, words: &[&str], members: &[&str]) -> String {
    let from = guest.folder.path().join("packed");
    let tar = guest.folder.path().join("packed.tar");
    let mtime = format!("--mtime=@{}", THEN.seconds);
    let mut all = vec!["-C", from.to_str().unwrap(), &mtime, "-cf", tar.to_str().unwrap()];
    all.extend(words);
    all.extend(members);
    succeed("tar", "tar", &all);
    tar.to_str().unwrap().to_owned()
}

#[test]
fn what_is_unpacked_is_what_tar_makes() {
    for format in ["gnu", "posix", "ustar"] {
        let guest = Guest::new(&["-t", "ext4"]);
        let packed = folder(&guest);
        if format == "ustar" {
            // It has no room for such names and links.
            fs::remove_file(packed.join("d/long")).unwrap();
            let long = "a-long-name-".repeat(9);
            fs::remove_dir_all(packed.join("d").join(long)).unwrap();
        }
        let how = format!("--format={format}");
        let tar = pack(&guest, &[&how, "--sort=name"], &["d", "a-first", "b", "to-three"]);
        let to = guest.host("/work");
        succeed("tar", "tar", &["-C", to.to_str().unwrap(), "-xpf", &tar]);
        guest.sealed(&[format!("--tar-in={tar}:/work")], true);
        guest.compare(format);
    }
    // The directory itself is a member, and is given its owner.
    let guest = Guest::new(&["-t", "ext4"]);
    folder(&guest);
    let owned = ["--owner=:1234", "--group=:70000", "--numeric-owner"];
    let tar = pack(&guest, &owned, &["."]);
    let to = guest.host("/work/empty");
    succeed("tar", "tar", &["-C", to.to_str().unwrap(), "-xpf", &tar, "--no-same-owner"]);
    guest.sealed(&[format!("--tar-in={tar}:/work/empty")], true);
    guest.compare("a directory");
    let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
    let tree = of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap();
    for at in ["/work/empty", "/work/empty/d/two", "/work/empty/d/link"] {
        assert_eq!(tree[&path(at)].owner, Some((1234, 70_000)), "{at}");
    }
}

/// What needs root to be made here is put into the tar file by hand.
#[test]
fn devices_times_and_attributes_are_unpacked() {
    let guest = Guest::new(&["-t", "ext4"]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    for (name, kind) in [("null", tar::EntryType::Char), ("disk", tar::EntryType::Block)] {
        header.set_entry_type(kind);
        header.set_mode(0o660);
        header.set_uid(0);
        header.set_gid(6);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        header.set_device_major(259).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_path(format!("dev/{name}")).unwrap();
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    let capability = [&b"\x01\0\0\x02\n\x20\0\0"[..], &[0; 12]].concat();
    builder
        .append_pax_extensions([
            ("SCHILY.xattr.security.capability", capability.as_slice()),
            ("mtime", &b"1000000007.25"[..]),
            ("uid", b"70000"),
        ])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o4755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(4);
    header.set_path("bin/ping").unwrap();
    header.set_cksum();
    builder.append(&header, &b"ping"[..]).unwrap();
    let file = guest.folder.path().join("made.tar");
    fs::write(&file, builder.into_inner().unwrap()).unwrap();
    guest.sealed(&["--tar-in=made.tar:/work/b".to_owned()], true);
    let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
    let tree = of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap();
    for (at, kind) in
        [("/work/b/dev/null", Kind::CharDevice), ("/work/b/dev/disk", Kind::BlockDevice)]
    {
        let found = &tree[&path(at)];
        assert_eq!((found.kind, found.device), (Some(kind), Some((259, 3))), "{at}");
        assert_eq!((found.mode, found.owner), (Some(0o660), Some((0, 6))), "{at}");
        assert_eq!(found.mtime, Some(1_000_000_000), "{at}");
    }
    let ping = &tree[&path("/work/b/bin/ping")];
    assert_eq!(
        (ping.mode, ping.owner, ping.mtime),
        (Some(0o4755), Some((70_000, 0)), Some(1_000_000_007))
    );
    let xattrs = ping.xattrs.as_ref().unwrap();
    assert_eq!(xattrs["security.capability"], capability);
}

#[test]
fn names_stay_below_the_directory() {
    let guest = Guest::new(&["-t", "ext4"]);
    let packed = guest.folder.path().join("packed");
    fs::create_dir_all(packed.join("to-b/made")).unwrap();
    fs::write(packed.join("to-b/made/file"), "x").unwrap();
    fs::write(packed.join("absolute"), "y").unwrap();
    let absolute = packed.join("absolute").display().to_string();
    // A link of the guest leads on within the guest, and a leading slash is none.
    let tar =
        pack(&guest, &["-P", "--transform=s,^.*/absolute,/absolute,"], &["to-b/made", &absolute]);
    guest.sealed(&[format!("--tar-in={tar}:/work")], true);
    let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
    let fs = (DRIVER.open)(disk).unwrap();
    let tree = of_fs(&*fs).unwrap();
    for at in ["/work/b/made/file", "/work/absolute", "/work/b/three"] {
        assert!(tree.contains_key(&path(at)), "{at}");
    }
    assert_eq!(tree[&path("/work/to-b")].kind, Some(Kind::Symlink));
    assert_eq!(fs.info().kind, "ext4");
}

#[test]
fn what_is_no_tar_file_is_refused_in_a_line() {
    let guest = Guest::new(&["-t", "ext4"]);
    let at = |name: &str| guest.folder.path().join(name);
    let packed = guest.folder.path().join("packed");
    fs::create_dir_all(&packed).unwrap();
    fs::write(packed.join("one"), content(30, 5000)).unwrap();
    fs::File::create(packed.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    let tar = pack(&guest, &[], &["one"]);
    let whole = fs::read(&tar).unwrap();
    fs::write(at("cut.tar"), &whole[..2000]).unwrap();
    fs::write(at("cut2.tar"), &whole[..300]).unwrap();
    fs::write(at("cut3.tar"), &whole[..512 + 5000]).unwrap();
    let mut damaged = whole.clone();
    damaged[5632..5640].copy_from_slice(b"nonsense");
    fs::write(at("damaged.tar"), &damaged).unwrap();
    fs::write(at("text.tar"), "no tar file at all".repeat(100)).unwrap();
    let zipped = run("gzip", "gzip", &["-kf", &tar]);
    assert!(zipped.status.success());
    pack(&guest, &["-P", "--transform=s,^,../,"], &["one"]);
    fs::rename(&tar, at("up.tar")).unwrap();
    for format in ["gnu", "posix"] {
        pack(&guest, &["-S", &format!("--format={format}")], &["sparse"]);
        fs::rename(&tar, at(&format!("sparse-{format}.tar"))).unwrap();
    }
    let before = fs::read(&guest.image).unwrap();
    for (file, part) in [
        ("cut.tar", "byte 0: the file ends in this member"),
        ("cut2.tar", "no tar file"),
        ("cut3.tar", "byte 0: the file ends in this member"),
        ("damaged.tar", "byte 5632: no header of a tar file"),
        ("text.tar", "no tar file"),
        ("packed.tar.gz", "compressed by gzip; unpack it"),
        ("up.tar", "'../one' leads elsewhere"),
        ("sparse-gnu.tar", "a sparse file is not supported"),
        ("sparse-posix.tar", "a sparse file is not supported"),
        ("none.tar", "No such file"),
        ("packed", "not a regular file"),
    ] {
        let output = guest.seal(&[format!("--tar-in={file}:/work")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{file}: {said}");
        assert!(said.contains(part) && said.contains(file), "{file}: {said}");
        assert_eq!(said.lines().count(), 1, "{file}: {said}");
    }
    assert!(fs::read(&guest.image).unwrap() == before);
    let mut short = whole;
    short.truncate(512 + 5120);
    fs::write(at("short.tar"), &short).unwrap();
    let output = guest.seal(&["--tar-in=short.tar:/nowhere".to_owned()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("no directory is there"), "{said}");
}

/// GNU tar writes both.
#[test]
fn a_hard_link_to_a_symlink_and_a_time_before_1970_are_unpacked() {
    let guest = Guest::new(&["-t", "ext4"]);
    let packed = guest.folder.path().join("packed");
    fs::create_dir_all(&packed).unwrap();
    std::os::unix::fs::symlink("elsewhere", packed.join("one")).unwrap();
    fs::hard_link(packed.join("one"), packed.join("two")).unwrap();
    fs::write(packed.join("old"), "old").unwrap();
    let then = std::time::UNIX_EPOCH - std::time::Duration::from_secs(1 << 27);
    let times = fs::FileTimes::new().set_modified(then);
    fs::File::options().write(true).open(packed.join("old")).unwrap().set_times(times).unwrap();
    let tar = pack(&guest, &["--sort=name"], &["old", "one", "two"]);
    guest.sealed(&[format!("--tar-in={tar}:/work")], true);
    let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
    let tree = of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap();
    for at in ["/work/one", "/work/two"] {
        assert_eq!(tree[&path(at)].target.as_deref(), Some(&b"elsewhere"[..]), "{at}");
    }
    assert!(tree[&path("/work/old")].mtime.is_some_and(|seconds| seconds >= 0));
}

/// tar(1) takes the name away first: what else had it, by another name or behind a link, stays.
#[test]
fn what_is_there_is_replaced_and_not_written_through() {
    let guest = Guest::new(&["-t", "ext4"]);
    let packed = guest.folder.path().join("packed");
    for dir in ["a", "b", "empty", "to-b", "d"] {
        fs::create_dir_all(packed.join(dir)).unwrap();
    }
    // One of two names; a name of one file that becomes a name of another; the same content.
    fs::write(packed.join("b/outside"), "other").unwrap();
    fs::write(packed.join("a/one"), content(1, 5000)).unwrap();
    fs::set_permissions(packed.join("a/one"), Permissions::from_mode(0o4755)).unwrap();
    fs::write(packed.join("b/three"), "three").unwrap();
    fs::hard_link(packed.join("b/three"), packed.join("d/four")).unwrap();
    // Through a link, in place of one, of a pipe and of an empty directory, and over a directory.
    fs::write(packed.join("to-three"), "no link").unwrap();
    fs::write(packed.join("a/pipe"), "no pipe").unwrap();
    fs::remove_dir(packed.join("empty")).unwrap();
    fs::write(packed.join("empty"), "no directory").unwrap();
    fs::write(packed.join("to-b/in-b"), "in").unwrap();
    std::os::unix::fs::symlink("one", packed.join("a/link")).unwrap();
    fs::set_permissions(packed.join("b"), Permissions::from_mode(0o700)).unwrap();
    let all = ["a", "b", "d", "to-three", "empty", "to-b"];
    let tar = pack(&guest, &["--sort=name"], &all);
    // The same file again, as `tar -r` adds it: the last one is what is left.
    fs::write(packed.join("to-three"), "the last").unwrap();
    let mtime = format!("--mtime=@{}", THEN.seconds);
    succeed("tar", "tar", &["-C", packed.to_str().unwrap(), &mtime, "-rf", &tar, "to-three"]);
    let to = guest.host("/work");
    succeed("tar", "tar", &["-C", to.to_str().unwrap(), "-xpf", &tar]);
    guest.sealed(&[format!("--tar-in={tar}:/work")], true);
    guest.compare("replaced");
}

/// A link that the guest needs is none that a directory takes the place of; of a directory with
/// something in it no file does.
#[test]
fn what_the_guest_needs_is_not_replaced() {
    let guest = Guest::new(&["-t", "ext4"]);
    let packed = guest.folder.path().join("packed");
    fs::create_dir_all(packed.join("lib")).unwrap();
    fs::write(packed.join("lib/new"), "new").unwrap();
    fs::write(packed.join("work"), "no directory").unwrap();
    let tar = pack(&guest, &[], &["lib"]);
    let words = ["--mkdir=/usr/lib", "--link=usr/lib:/lib"].map(String::from);
    guest.sealed(&words, true);
    guest.sealed(&[format!("--tar-in={tar}:/")], true);
    let tree = |guest: &Guest| {
        let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
        of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap()
    };
    assert_eq!(tree(&guest)[&path("/lib")].kind, Some(Kind::Symlink));
    assert!(tree(&guest).contains_key(&path("/usr/lib/new")));
    let tar = pack(&guest, &[], &["work"]);
    let output = guest.seal(&[format!("--tar-in={tar}:/")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("a directory that is not empty is there"), "{said}");
    assert_eq!(
        (output.status.code(), tree(&guest)[&path("/work")].kind),
        (Some(3), Some(Kind::Directory))
    );
}

/// Another file under a name that was deleted is a new one, as it is for the shell.
#[test]
fn a_file_under_a_deleted_name_is_a_new_one() {
    let guest = Guest::new(&["-t", "ext4"]);
    let words = ["--delete=/work/b/outside", "--write=/work/b/outside:new"].map(String::from);
    guest.sealed(&words, true);
    fs::remove_file(guest.host("/work/b/outside")).unwrap();
    fs::write(guest.host("/work/b/outside"), "new").unwrap();
    guest.compare("deleted and written");
}

/// As with `--upload`: a time that cannot be kept everywhere becomes that of the run.
#[test]
fn a_time_before_1970_or_after_2038_becomes_that_of_the_run() {
    let guest = Guest::new(&["-t", "ext4"]);
    let packed = folder(&guest);
    let tar = guest.folder.path().join("times.tar");
    for (member, time) in [("a-first", "-5"), ("to-three", "2493072000"), ("b", "-0.5")] {
        let words = [
            "-C",
            packed.to_str().unwrap(),
            "--format=posix",
            &format!("--mtime=@{time}"),
            "-rf",
            tar.to_str().unwrap(),
            member,
        ];
        succeed("tar", "tar", &words);
    }
    let flags =
        [format!("--tar-in={}:/opt", tar.display()), "--copy=/opt/to-three:/work/b".to_owned()];
    guest.sealed(&flags, true);
    let disk = std::sync::Arc::new(Disk::from_file(&guest.image));
    let found = of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap();
    for at in ["/opt/a-first", "/opt/to-three", "/opt/b/three", "/work/b/to-three"] {
        assert_eq!(found[&path(at)].mtime, Some(1_700_000_000), "{at}");
    }
}
