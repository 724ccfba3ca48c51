//! Guests on real disks, made with the reference tools.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sysprep_rs::block::HostFile;
use sysprep_rs::guest::{Disk, Guest, Init, MachineId, Walk};

use super::{path, shown};
use crate::support::recipe::{self, Part};
use crate::support::spec::Spec;

const MIB: u64 = 1 << 20;

/// A tree's files and symlinks, each with the directories above it.
fn spec(files: &[(&str, &str)], links: &[(&str, &str)], dirs: &[&str]) -> Spec {
    let mut spec = Spec::default();
    let above = |spec: &mut Spec, at: &str| {
        let mut dir = path(at);
        while let Some(parent) = dir.parent().filter(|parent| !parent.is_root()) {
            if !spec.0.contains_key(&parent) {
                spec.directory(&parent.to_string());
            }
            dir = parent;
        }
    };
    for (at, content) in files {
        above(&mut spec, at);
        spec.file(at, *content);
    }
    for (at, target) in links {
        above(&mut spec, at);
        spec.symlink(at, *target);
    }
    for at in dirs {
        above(&mut spec, at);
        spec.directory(at);
    }
    spec
}

/// An ext4 filesystem in a folder of its own.
fn ext4(dir: &Path, name: &str, mut spec: Spec, args: &[&str]) -> PathBuf {
    let dir = dir.join(name);
    std::fs::create_dir(&dir).unwrap();
    recipe::ext4(&dir, &mut spec, args, 8 * MIB)
}

fn debian(fstab: &str) -> Spec {
    spec(
        &[
            ("/etc/fstab", fstab),
            ("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
            ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nu:x:1000:1000::/home/u:/bin/sh\n"),
            ("/etc/machine-id", "uninitialized\n"),
            ("/usr/bin/dash", "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0"),
            ("/usr/lib/systemd/systemd", ""),
        ],
        &[
            ("/bin", "usr/bin"),
            ("/sbin", "usr/sbin"),
            ("/lib", "usr/lib"),
            ("/etc/os-release", "../usr/lib/os-release"),
            ("/usr/bin/sh", "dash"),
            ("/usr/sbin/init", "/lib/systemd/systemd"),
            ("/var/escape", "/../../../../../../etc/machine-id"),
            ("/var/host", "/proc/self/root/etc/shadow"),
        ],
        &["/boot", "/home", "/usr/sbin", "/srv"],
    )
}

fn open(image: &Path) -> Disk {
    Disk::open(Arc::new(HostFile::open(image).unwrap())).unwrap()
}

fn mounts(guest: &Guest) -> Vec<String> {
    guest.tree.mounts().iter().map(|mount| format!("{mount:?}")).collect()
}

#[test]
fn a_gpt_disk_with_separate_filesystems() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let uuid = "11111111-2222-4333-8444-555555555555";
    let boot = ext4(dir, "boot", spec(&[("/vmlinuz-6.1.0-1", "k")], &[], &["/efi"]), &["-U", uuid]);
    let root = ext4(
        dir,
        "root",
        debian(&format!("UUID={uuid} /boot ext4 defaults 0 2\nLABEL=homes /home ext4 x 0 2\n")),
        &[],
    );
    let home = ext4(dir, "home", spec(&[("/u/.bash_history", "h")], &[], &[]), &["-L", "homes"]);
    let part = |name, image| Part { kind: "8300", name, image };
    let (disk, _) =
        recipe::gpt(dir, &[part("boot", &boot), part("root", &root), part("home", &home)]);
    let disk = open(&disk);
    let guests = disk.guests().unwrap();
    let [guest] = guests.as_slice() else { panic!("{guests:?}") };
    assert_eq!(guest.notes, [""; 0]);
    assert_eq!(guest.root.to_string(), "part2");
    assert_eq!(mounts(guest), ["part2 on /", "part1 on /boot", "part3 on /home"]);
    assert_eq!(guest.facts.distro.as_deref(), Some("debian"));
    assert_eq!(guest.facts.architecture.as_deref(), Some("x86_64"));
    assert_eq!(guest.facts.init, Some(Init::Systemd));
    assert_eq!(guest.facts.kernels, ["6.1.0-1"]);
    assert_eq!(guest.facts.machine_id, MachineId::Uninitialized);
    assert_eq!(guest.accounts().len(), 2);
    let found = guest.tree.glob("/{root,home/*}/.bash_history").unwrap();
    assert_eq!(shown(&found), ["/home/u/.bash_history"]);
    assert_eq!(found[0].volume.to_string(), "part3");
    assert_eq!(found[0].fs_path, path("/u/.bash_history"));
    assert_eq!(found[0].read(10).unwrap(), b"h");
    let escape = guest.tree.follow(&path("/var/escape")).unwrap().unwrap();
    assert_eq!(escape.path, path("/etc/machine-id"));
    assert!(guest.tree.follow(&path("/var/host")).unwrap().is_none());
    let mut count = 0;
    let walked = guest
        .tree
        .walk(&path("/"), &mut |entry| {
            assert_eq!(entry.fs.stat(entry.node).unwrap().kind, entry.kind);
            count += 1;
            Walk::Into
        })
        .unwrap();
    assert_eq!(walked, sysprep_rs::guest::Walked::default());
    // Files, symlinks and directories of the root, then /boot and /home; a lost+found in each.
    assert_eq!(count, (6 + 8 + 10 + 1) + (2 + 1) + (2 + 1));
}

#[test]
fn an_mbr_disk_with_logical_partitions() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let root =
        ext4(dir, "root", debian("/dev/sda6 /home ext4 x 0 2\n/dev/sdb1 /srv ext4 x 0 2\n"), &[]);
    let data = ext4(dir, "data", Spec::default(), &[]);
    let home = ext4(dir, "home", spec(&[("/x", "")], &[], &[]), &["-t", "ext3"]);
    let part = |image| Part { kind: "83", name: "", image };
    let (disk, _) = recipe::mbr(dir, &[part(&root), part(&data), part(&home)]);
    let disk = open(&disk);
    let guests = disk.guests().unwrap();
    let [guest] = guests.as_slice() else { panic!("{guests:?}") };
    assert_eq!(mounts(guest), ["part1 on /", "part6 on /home"]);
    assert_eq!(guest.notes.len(), 1, "{:?}", guest.notes);
    assert!(guest.notes[0].contains("another disk"), "{:?}", guest.notes);
    let alone: Vec<String> = disk.without_guest(&guests).iter().map(ToString::to_string).collect();
    assert_eq!(alone, ["part5"]);
}

#[test]
fn a_filesystem_on_the_whole_disk() {
    let temp = tempfile::tempdir().unwrap();
    let disk = open(&ext4(temp.path(), "root", debian("/dev/vda / ext4 x 0 1\n"), &[]));
    let guests = disk.guests().unwrap();
    let [guest] = guests.as_slice() else { panic!("{guests:?}") };
    assert_eq!(guest.root.to_string(), "disk");
    assert_eq!(guest.notes, [""; 0]);
}

#[test]
fn two_guests_and_a_damaged_filesystem_in_one_image() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let first = ext4(dir, "first", debian("PARTLABEL=bad /home ext4 x 0 2\n"), &[]);
    let second = ext4(
        dir,
        "second",
        spec(&[("/etc/alpine-release", "3.4.6\n")], &[], &["/bin"]),
        &["-t", "ext2"],
    );
    let bad = ext4(dir, "bad", Spec::default(), &[]);
    // A superblock whose magic number is right and whose size is not.
    let file = File::options().write(true).open(&bad).unwrap();
    file.write_all_at(&[0xff; 4], 1024 + 4).unwrap();
    let part = |name, image| Part { kind: "8300", name, image };
    let (disk, _) =
        recipe::gpt(dir, &[part("one", &first), part("two", &second), part("bad", &bad)]);
    let disk = open(&disk);
    assert_eq!(disk.filesystems.len(), 3);
    assert!(disk.filesystems[2].fs.is_err());
    assert_eq!(disk.filesystems[2].driver.name, "ext4");
    let guests = disk.guests().unwrap();
    let names: Vec<_> = guests.iter().map(|guest| guest.facts.distro.clone().unwrap()).collect();
    assert_eq!(names, ["debian", "alpine"]);
    assert!(guests[0].notes[0].contains("part3 cannot be opened"), "{:?}", guests[0].notes);
}

#[test]
fn an_empty_disk_has_no_guest() {
    let disk = Disk::open(Arc::new(sysprep_rs::block::Memory::new(4 * MIB))).unwrap();
    assert!(disk.filesystems.is_empty());
    assert!(disk.guests().unwrap().is_empty());
}

#[test]
fn a_host_directory_is_a_guest_that_cannot_see_the_host() {
    use std::os::unix::fs::symlink;
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/os-release"), "ID=alpine\n").unwrap();
    std::fs::write(temp.path().join("secret"), "host").unwrap();
    symlink(temp.path().join("secret"), root.join("absolute")).unwrap();
    symlink("../secret", root.join("relative")).unwrap();
    symlink("/", root.join("top")).unwrap();
    let fs = sysprep_rs::fs::directory::Directory::open(&root).unwrap();
    let tree =
        sysprep_rs::guest::Tree::single(sysprep_rs::volume::VolumeId("disk".into()), Arc::new(fs));
    assert!(tree.follow(&path("/absolute")).unwrap().is_none());
    assert!(tree.follow(&path("/relative")).unwrap().is_none());
    let release = tree.follow(&path("/top/top/etc/os-release")).unwrap().unwrap();
    assert_eq!(release.path, path("/etc/os-release"));
    assert_eq!(release.read(100).unwrap(), b"ID=alpine\n");
    assert_eq!(
        shown(&tree.glob("/**").unwrap()),
        ["/absolute", "/etc", "/etc/os-release", "/relative", "/top"]
    );
}
