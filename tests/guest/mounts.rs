//! Trees of several filesystems, as `/etc/fstab` puts them together.

use std::sync::Arc;

use sysprep_rs::block::{BlockError, ReadBlocks};
use sysprep_rs::fs::{FsDriver, FsError, ReadFs};
use sysprep_rs::guest::{Disk, Filesystem, Guest, Walk};
use sysprep_rs::volume::{Layout, Table, Volume, VolumeId};

use super::memory::MemoryFs;
use super::{path, shown};

fn never(_: &dyn ReadBlocks) -> Result<bool, FsError> {
    Ok(false)
}

fn refuse(_: Arc<dyn ReadBlocks>) -> Result<Box<dyn ReadFs>, FsError> {
    Err(FsError::Block(BlockError::OutOfRange { at: 0, len: 1, size: 0 }))
}

/// Stands in the place of a driver: these disks are put together, not probed.
static DRIVER: FsDriver = FsDriver {
    name: "memory",
    covers: "memory",
    probe: never,
    open: refuse,
    edit: None,
    judge: None,
    judge_name: "",
    uuid: None,
    check: None,
};

/// What a partition holds.
pub(crate) enum Holds {
    Fs(MemoryFs),
    Broken,
    Container(&'static str),
    Unknown,
}

/// A disk with these partitions.
pub(crate) fn disk(partitions: Vec<Holds>) -> Disk {
    let mut volumes = Vec::new();
    let mut filesystems = Vec::new();
    for (number, holds) in (1..).zip(partitions) {
        let id = VolumeId(format!("part{number}"));
        let mut not_opened = None;
        match holds {
            Holds::Fs(fs) => filesystems.push(Filesystem {
                volume: id.clone(),
                driver: &DRIVER,
                fs: Ok(fs.open()),
            }),
            Holds::Broken => filesystems.push(Filesystem {
                volume: id.clone(),
                driver: &DRIVER,
                fs: Err(FsError::corrupt("superblock", "block 0", "made wrong")),
            }),
            Holds::Container(name) => not_opened = Some(name.to_owned()),
            Holds::Unknown => {}
        }
        volumes.push(Volume {
            id,
            number,
            start: u64::from(number) << 20,
            len: 1 << 20,
            partition_type: None,
            partition_uuid: Some(format!("0000000{number}-aa")),
            partition_label: Some(format!("label {number}")),
            uuid: not_opened.as_ref().map(|_| format!("container-{number}")),
            not_opened,
            encrypted: false,
            label: None,
        });
    }
    Disk {
        device: None,
        layout: Layout { table: Table::Gpt, disk_uuid: None, volumes, warnings: Vec::new() },
        filesystems,
        swaps: Vec::new(),
    }
}

pub(crate) fn guests(partitions: Vec<MemoryFs>) -> Vec<Guest> {
    disk(partitions.into_iter().map(Holds::Fs).collect()).guests().unwrap()
}

fn root(fstab: &str) -> MemoryFs {
    MemoryFs::new()
        .file("/etc/os-release", "ID=debian\n")
        .file("/etc/fstab", fstab)
        .dir("/boot/efi")
        .dir("/var")
        .dir("/home")
        .dir("/srv")
        .dir("/mnt/my disk")
}

fn mounts(guest: &Guest) -> Vec<String> {
    guest.tree.mounts().iter().map(|mount| format!("{mount:?}")).collect()
}

#[test]
fn separate_filesystems_are_mounted_in_any_order_of_lines() {
    let fstab = "\
        UUID=ABCD-1234 /boot/efi vfat umask=0077 0 1\n\
        /dev/vda3 /var/log ext4 defaults 0 2\n\
        LABEL=var /var ext4 defaults 0 2\n\
        PARTUUID=00000005-AA /boot ext4 defaults 0 2\n\
        PARTLABEL=label\\0406 /home ext4 noauto 0 2\n\
        /dev/disk/by-partlabel/label\\134x207 /mnt/my\\040disk ext4 defaults 0 2\n\
        UUID=0f00 / ext4 errors=remount-ro 0 1\n\
        proc /proc proc defaults 0 0\n\
        tmpfs /tmp tmpfs defaults 0 0\n\
        /swapfile none swap sw 0 0\n";
    let found = guests(vec![
        root(fstab).uuid("0f00"),
        MemoryFs::new().file("/EFI/BOOT/x", "").uuid("ABCD-1234"),
        MemoryFs::new().file("/syslog", "log"),
        MemoryFs::new().dir("/log").file("/lib/x", "").label("var"),
        MemoryFs::new().dir("/efi").file("/vmlinuz-6.1.0", ""),
        MemoryFs::new().file("/user/.bash_history", ""),
        MemoryFs::new().file("/data", ""),
    ]);
    let [guest] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        mounts(guest),
        [
            "part1 on /",
            "part4 on /var",
            "part3 on /var/log",
            "part5 on /boot",
            "part2 on /boot/efi",
            "part6 on /home",
            "part7 on /mnt/my disk",
        ]
    );
    let volumes: Vec<String> = guest.volumes().iter().map(ToString::to_string).collect();
    assert_eq!(volumes, ["part1", "part4", "part3", "part5", "part2", "part6", "part7"]);
    let place = guest.tree.locate(&path("/var/log/syslog")).unwrap().unwrap();
    assert_eq!(place.volume.to_string(), "part3");
    assert_eq!(place.fs_path, path("/syslog"));
    assert_eq!(place.read(10).unwrap(), b"log");
    assert_eq!(
        shown(&guest.tree.glob("/**/{syslog,x,.bash_history}").unwrap()),
        ["/boot/efi/EFI/BOOT/x", "/home/user/.bash_history", "/var/lib/x", "/var/log/syslog"]
    );
    let point = guest.tree.locate(&path("/var/log")).unwrap().unwrap();
    assert!(guest.tree.is_mount_point(&point));
    assert_eq!(point.fs_path, path("/"));
    assert!(!guest.tree.is_mount_point(&place));
    let mut points = Vec::new();
    guest
        .tree
        .walk(&path("/"), &mut |entry| {
            if entry.mount_point {
                points.push(entry.path().to_string());
                assert_eq!(entry.node, entry.fs.root());
            }
            Walk::Into
        })
        .unwrap();
    points.sort();
    assert_eq!(points, ["/boot", "/boot/efi", "/home", "/mnt/my disk", "/var", "/var/log"]);
    // The root's own /boot/efi is below the mount on /boot: hidden, and worth a note. So is noauto.
    assert_eq!(guest.notes.len(), 2, "{:?}", guest.notes);
    assert!(guest.notes[0].contains("/boot below the mount is not empty"), "{:?}", guest.notes);
    assert!(guest.notes[1].contains("noauto"), "{:?}", guest.notes);
}

#[test]
fn what_is_not_mounted_is_noted_with_the_reason() {
    let fstab = "\
        /dev/sda1 / ext4 defaults 0 1\n\
        /dev/sdb1 /srv ext4 defaults 0 2\n\
        /dev/sda9 /srv ext4 defaults 0 2\n\
        UUID=none /srv ext4 defaults 0 2\n\
        /dev/mapper/vg-home /home ext4 defaults 0 2\n\
        /dev/vg/var /var ext4 defaults 0 2\n\
        server:/x /srv nfs defaults 0 0\n\
        /dev/sda2 /srv ext4 defaults 0 0\n\
        UUID=container-3 /srv ext4 defaults 0 0\n\
        /dev/sda4 /srv xfs defaults 0 0\n\
        /dev/sda5 /nowhere ext4 defaults 0 0\n\
        /dev/sda5 /etc/fstab ext4 defaults 0 0\n\
        /dev/sda5 /srv btrfs subvol=@srv 0 0\n\
        /gone /srv none bind 0 0\n\
        /etc/fstab /srv none bind 0 0\n\
        /dev/sda5 /a/../srv ext4 defaults 0 0\n\
        /images/disk.img /srv ext4 loop 0 0\n";
    let found = disk(vec![
        Holds::Fs(root(fstab)),
        Holds::Broken,
        Holds::Container("LUKS"),
        Holds::Unknown,
        Holds::Fs(MemoryFs::new().file("/x", "")),
    ]);
    let guests = found.guests().unwrap();
    let [guest] = guests.as_slice() else { panic!("{guests:?}") };
    assert_eq!(mounts(guest), ["part1 on /"]);
    let expected = [
        ("/a/../srv", "'..'"),
        ("/dev/sdb1", "another disk"),
        ("/dev/sda9", "no such partition"),
        ("UUID=none", "this UUID"),
        ("vg-home", "LVM"),
        ("/dev/vg/var", "LVM"),
        ("server:/x", "network"),
        ("/dev/sda2", "corrupt superblock"),
        ("UUID=container-3", "part3 is LUKS"),
        ("/dev/sda4", "no filesystem that we read"),
        ("/nowhere", "no such directory"),
        ("/etc/fstab", "not a directory"),
        ("/dev/sda5", "subvol=@srv"),
        ("/dev/sda5", "a subvolume"),
        ("/gone", "no /gone"),
        ("/etc/fstab", "not a directory"),
        ("disk.img", "in a file"),
    ];
    assert_eq!(guest.notes.len(), expected.len(), "{:#?}", guest.notes);
    for ((line, why), note) in expected.iter().zip(&guest.notes) {
        assert!(note.contains(line) && note.contains(why), "{note} should say {line}: {why}");
        assert!(!note.contains('\n'));
    }
    let alone: Vec<String> = found.without_guest(&guests).iter().map(ToString::to_string).collect();
    assert_eq!(alone, ["part5"]);
}

#[test]
fn bind_mounts_show_a_directory_twice_and_are_walked_once() {
    let fstab = "\
        /dev/sda2 /home ext4 defaults 0 2\n\
        /home/data /srv none bind 0 0\n\
        / /mnt none rbind 0 0\n\
        /dev/sda2 /var ext4 defaults 0 2\n";
    let found = guests(vec![
        root(fstab).file("/top", ""),
        MemoryFs::new().file("/data/file", "").dir("/other"),
    ]);
    let [guest] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        mounts(guest),
        [
            "part1 on /",
            "part2 on /home",
            "part2 on /srv from /data",
            "part1 on /mnt",
            "part2 on /mnt/home",
            "part2 on /mnt/srv from /data",
            "part2 on /var",
        ]
    );
    let tree = &guest.tree;
    for (at, volume, fs_path) in [
        ("/home/data/file", "part2", "/data/file"),
        ("/srv/file", "part2", "/data/file"),
        ("/mnt/srv/file", "part2", "/data/file"),
        ("/var/data/file", "part2", "/data/file"),
        ("/mnt/top", "part1", "/top"),
    ] {
        let place = tree.locate(&path(at)).unwrap().unwrap();
        let seen = (place.volume.to_string(), place.fs_path);
        assert_eq!(seen, (volume.to_owned(), path(fs_path)), "{at}");
        assert_eq!(place.path, path(at));
    }
    let mut seen = Vec::new();
    tree.walk(&path("/"), &mut |entry| {
        if entry.name == b"file" || entry.name == b"top" {
            seen.push(entry.path().to_string());
        }
        Walk::Into
    })
    .unwrap();
    seen.sort();
    assert_eq!(seen, ["/home/data/file", "/top"]);
    assert_eq!(shown(&tree.glob("/**/file").unwrap()), ["/home/data/file"]);
    assert_eq!(shown(&tree.glob("/{srv,home/data}/*").unwrap()), ["/home/data/file"]);
    // From inside the second view, and where the first is not part of the walk, it is seen.
    let mut below = 0;
    let mut count = |from: &str| {
        below = 0;
        tree.walk(&path(from), &mut |_| {
            below += 1;
            Walk::Into
        })
        .unwrap();
        below
    };
    assert_eq!(count("/srv"), 1);
    assert_eq!(shown(&tree.glob("/srv/**").unwrap()), ["/srv/file"]);
}

#[test]
fn dot_dot_at_a_mount_leads_to_its_own_parent() {
    let fstab = "/dev/sda2 /home ext4 defaults 0 2\n/home/data /srv none bind 0 0\n";
    let found = guests(vec![
        root(fstab).file("/top", "root"),
        MemoryFs::new()
            .dir("/data")
            .link("/up", "../top")
            .link("/data/up", "../top")
            .link("/abs", "/srv/up"),
    ]);
    let tree = &found[0].tree;
    for from in ["/home/up", "/srv/up", "/home/abs"] {
        let place = tree.follow(&path(from)).unwrap().unwrap();
        assert_eq!(place.path, path("/top"), "{from}");
    }
    assert!(tree.follow(&path("/home/data/up")).unwrap().is_none());
}

#[test]
fn mount_points_are_found_through_links_and_may_be_stacked() {
    let fstab = "/dev/sda2 /data ext4 defaults 0 2\n/dev/sda3 /data ext4 defaults 0 2\n";
    let found = guests(vec![
        root(fstab).link("/data", "srv"),
        MemoryFs::new().file("/below", ""),
        MemoryFs::new().file("/above", ""),
    ]);
    let tree = &found[0].tree;
    assert_eq!(shown(&tree.glob("/data/*").unwrap()), ["/srv/above"]);
    assert_eq!(found[0].notes.len(), 1, "{:?}", found[0].notes);
}

#[test]
fn recursive_binds_of_one_another_stay_bounded() {
    let mut fstab = String::new();
    let mut fs = MemoryFs::new().file("/etc/os-release", "ID=x");
    for at in 0..30 {
        fs = fs.dir(format!("/m{at}"));
        fstab += &format!("/ /m{at} none rbind 0 0\n");
    }
    let found = guests(vec![fs.file("/etc/fstab", fstab)]);
    assert!(found[0].tree.mounts().len() <= 1024);
    assert!(found[0].notes.iter().any(|note| note.contains("more than 1024 mounts")));
    let mut count = 0;
    found[0]
        .tree
        .walk(&path("/"), &mut |_| {
            count += 1;
            Walk::Into
        })
        .unwrap();
    assert_eq!(count, 33);
}

#[test]
fn each_guest_of_an_image_has_its_own_filesystems() {
    let first = root("/dev/sda2 /home ext4 defaults 0 2\n/dev/sda4 /boot/efi vfat x 0 2\n");
    let second = root(
        "UUID=22 /home ext4 defaults 0 2\n\
         /dev/sda1 /mnt ext4 defaults 0 2\n\
         /dev/sda5 /srv ext4 defaults 0 2\n",
    )
    .file("/etc/os-release", "ID=fedora\n");
    let all = disk(vec![
        Holds::Fs(first),
        Holds::Fs(MemoryFs::new().uuid("22")),
        Holds::Fs(second),
        Holds::Fs(MemoryFs::new()),
        Holds::Fs(MemoryFs::new()),
        Holds::Fs(MemoryFs::new()),
    ]);
    let guests = all.guests().unwrap();
    let [debian, fedora] = guests.as_slice() else { panic!("{guests:?}") };
    assert_eq!(debian.facts.distro.as_deref(), Some("debian"));
    assert_eq!(mounts(debian), ["part1 on /", "part2 on /home", "part4 on /boot/efi"]);
    assert_eq!(fedora.facts.distro.as_deref(), Some("fedora"));
    assert_eq!(mounts(fedora), ["part3 on /", "part5 on /srv"]);
    assert_eq!(fedora.notes.len(), 2, "{:?}", fedora.notes);
    assert!(fedora.notes[0].contains("belongs to another guest"), "{:?}", fedora.notes);
    assert!(fedora.notes[1].contains("belongs to another guest"), "{:?}", fedora.notes);
    let alone: Vec<String> = all.without_guest(&guests).iter().map(ToString::to_string).collect();
    assert_eq!(alone, ["part6"]);
}

#[test]
fn data_filesystems_are_no_guests() {
    let found = guests(vec![
        MemoryFs::new().dir("/etc").dir("/usr"),
        MemoryFs::new().file("/etc", "").file("/usr/lib/os-release", ""),
        MemoryFs::new().file("/lib/os-release", "").dir("/bin"),
        MemoryFs::new().link("/etc", "/../host/etc"),
        MemoryFs::new().link("/etc", "/etc"),
        MemoryFs::new().file("/EFI/BOOT/BOOTX64.EFI", ""),
        MemoryFs::new().dir("/etc").unreadable("/etc"),
        MemoryFs::new().file("/etc/os-release", "").encrypted("/etc"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

/// The system that runs makes the directory, and writes to the filesystem.
#[test]
fn a_filesystem_whose_mount_point_is_missing_is_to_be_attended_to() {
    let data = || MemoryFs::new().file("/log/syslog", "x");
    for (fstab, missing) in [
        ("/dev/sda2 /srv/data ext4\n", &["/srv/data"][..]),
        ("/dev/sda2 /srv/data ext4\n/dev/sda3 /srv/data/b ext4\n", &["/srv/data", "/srv/data/b"]),
        ("/dev/sda2 /srv/data ext4 noauto\n", &[]),
        ("/dev/sda2 /var ext4\n/dev/sda2 /srv/data ext4\n", &[]),
    ] {
        let found = guests(vec![root(fstab).dir("/var"), data(), data()]);
        let unseen: Vec<String> = found[0].unseen.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(unseen, missing, "{fstab}");
        let said = "part2 is mounted on is not there (systemd makes it at boot): what is in part2 \
                    was not looked at";
        assert!(missing.is_empty() || found[0].unseen[0].reason.contains(said), "{:?}", found[0]);
    }
}

#[test]
fn an_fstab_that_is_no_file_mounts_nothing() {
    let fs = MemoryFs::new().file("/etc/os-release", "").huge("/etc/fstab", 10 << 30);
    let found = guests(vec![fs]);
    assert!(found[0].notes[0].contains("fstab: not read"), "{:?}", found[0].notes);
    // It may have mounted what is in this image: that is to be attended to.
    let unseen = &found[0].unseen[0];
    assert_eq!(unseen.path.to_string(), "/etc/fstab");
    assert_eq!(unseen.reason, "not read, so what it mounts was not looked at");
    let long = "/dev/sda2 /a ext4\n".repeat(300);
    let found = guests(vec![root(&long)]);
    let unseen = found[0].unseen.iter().find(|it| it.path.to_string() == "/etc/fstab").unwrap();
    assert!(unseen.reason.starts_with("too long, so what its last lines mount"), "{unseen:?}");
    let fs = MemoryFs::new().file("/etc/os-release", "").fifo("/etc/fstab");
    assert!(guests(vec![fs])[0].notes.is_empty());
}
