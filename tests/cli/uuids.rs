//! `fs-uuids`, end to end: what `blkid` says afterwards, and that every file that named the old
//! UUIDs names the new ones.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::support::recipe::{self, Part};
use crate::support::spec::Spec;

pub(super) const ROOT: &str = "11111111-2222-4333-8444-555555555555";
const ESP: &str = "ABCD-1234";
pub(super) const MIB: u64 = 1 << 20;

/// A disk with an EFI system partition of 8 MiB and a root of 24 MiB.
pub(super) fn disk(place: &Place, root: &mut Spec, esp: &Spec) -> PathBuf {
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let fat = recipe::fat(&scratch, esp, 16, &["-i", "ABCD1234", "-s", "1"], 8 * MIB);
    let ext4 = recipe::ext4(&scratch, root, &["-t", "ext4", "-U", ROOT], 24 * MIB);
    let parts = [
        Part { kind: "ef00", name: "ESP", image: &fat },
        Part { kind: "8300", name: "root", image: &ext4 },
    ];
    let (disk, _) = recipe::gpt(&scratch, &parts);
    let image = place.path("disk.img");
    fs::rename(disk, &image).unwrap();
    fs::remove_dir_all(scratch).unwrap();
    image
}

pub(super) fn guest(fstab: &str) -> Spec {
    let mut spec = Spec::default();
    for dir in ["/etc", "/boot", "/boot/efi", "/boot/grub", "/usr", "/etc/default"] {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    spec.file("/etc/fstab", fstab);
    spec.file("/etc/default/grub", format!("GRUB_CMDLINE_LINUX=\"resume=UUID={ROOT}\"\n"));
    spec.file(
        "/boot/grub/grub.cfg",
        format!("search --fs-uuid --set=root {ROOT}\nlinux /vmlinuz root=UUID={ROOT} ro\n"),
    );
    spec
}

pub(super) fn esp() -> Spec {
    let mut spec = Spec::default();
    spec.directory("/EFI");
    spec.directory("/EFI/debian");
    spec.file("/EFI/debian/grub.cfg", format!("search.fs_uuid {ROOT} root hd0,gpt2 \n"));
    spec
}

fn fstab() -> String {
    format!("UUID={ROOT} / ext4 defaults 0 1\nUUID={ESP} /boot/efi vfat umask=0077 0 1\n")
}

/// The partitions as files: the EFI system partition and the root.
pub(super) fn parts(place: &Place, image: &Path) -> (PathBuf, PathBuf) {
    let file = fs::File::open(image).unwrap();
    let take = |name: &str, at: u64, len: u64| {
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, at).unwrap();
        let path = place.path(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    (take("esp.img", MIB, 8 * MIB), take("root.img", 9 * MIB, 24 * MIB))
}

pub(super) fn uuid(image: &Path) -> String {
    let words = ["-p", "-o", "value", "-s", "UUID", image.to_str().unwrap()];
    let said = oracle::succeed("blkid", "util-linux", &words);
    String::from_utf8(said).unwrap().trim().to_owned()
}

fn cat(root: &Path, path: &str) -> String {
    let said = oracle::succeed(
        "debugfs",
        "e2fsprogs",
        &["-R", &format!("cat {path}"), root.to_str().unwrap()],
    );
    String::from_utf8(said).unwrap()
}

#[test]
fn filesystems_get_other_uuids_and_every_file_follows() {
    let place = Place::new();
    let image = disk(&place, &mut guest(&fstab()), &esp());
    let whole = fs::read(&image).unwrap();
    let words = "--operations fs-uuids disk.img";
    let (text, _) = place.expect(&format!("audit {words}"), 3);
    assert!(text.contains("4 files, 2 volumes"), "{text}");
    assert!(text.contains(&format!("part2, {ROOT} becomes ")), "{text}");
    place.expect(&format!("audit --save-plan plan.json {words}"), 3);
    let (text, _) = place.expect(&format!("seal --verify full {words}"), 0);
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");

    let (esp, root) = parts(&place, &image);
    oracle::e2fsck_clean(&root);
    oracle::fsck_vfat_clean(&esp);
    let (new_root, new_esp) = (uuid(&root), uuid(&esp));
    assert!(new_root != ROOT && new_root.len() == 36 && new_root.as_bytes()[14] == b'4');
    assert!(new_esp != ESP && new_esp.len() == 9);
    let follows = |text: &str| text.replace(ROOT, &new_root).replace(ESP, &new_esp);
    assert_eq!(cat(&root, "/etc/fstab"), follows(&fstab()));
    for path in ["/etc/default/grub", "/boot/grub/grub.cfg"] {
        let text = cat(&root, path);
        assert!(text.contains(&new_root) && !text.contains(ROOT), "{path}: {text}");
    }
    let words = ["-i", esp.to_str().unwrap(), "::/EFI/debian/grub.cfg"];
    let stub = String::from_utf8(oracle::succeed("mtype", "mtools", &words)).unwrap();
    assert_eq!(stub, format!("search.fs_uuid {new_root} root hd0,gpt2 \n"));
    let sealed = fs::read(&image).unwrap();
    let find = |text: &str| sealed.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!find(ROOT) && !find(ESP), "an old UUID is left somewhere");

    // What is approved is what happens: the plan has the values.
    fs::write(&image, &whole).unwrap();
    let (text, _) = place.expect("seal --plan plan.json disk.img", 0);
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    assert!(fs::read(&image).unwrap() == sealed);
    let (_, error) = place.expect("seal --plan plan.json disk.img", 1);
    assert!(error.contains("UUID"), "{error}");

    // Every time another one.
    place.expect("seal --operations fs-uuids disk.img", 0);
    let (esp, root) = parts(&place, &image);
    assert!(uuid(&root) != new_root && uuid(&esp) != new_esp);
}

#[test]
fn what_cannot_follow_keeps_its_filesystem_as_it_is() {
    // A program that holds the UUID, as grub-install writes where it signs nothing.
    let place = Place::new();
    let mut program = esp();
    program.file("/EFI/debian/grubx64.efi", format!("MZ\0\0search.fs_uuid {ROOT} root\n\0"));
    let image = disk(&place, &mut guest(&fstab()), &program);
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    let line = "Left alone: /boot/efi/EFI/debian/grubx64.efi (fs-uuids): it names the UUID of part2, \
                which part2 keeps therefore: it is no text, so it cannot be changed";
    assert!(text.contains(line), "{text}");
    let (esp, root) = parts(&place, &image);
    assert_eq!(uuid(&root), ROOT);
    assert_ne!(uuid(&esp), ESP);
    assert_eq!(cat(&root, "/etc/fstab"), fstab().replace(ESP, &uuid(&esp)));

    // A partition that fstab does not name: whatever boots from it would not find the root.
    let place = Place::new();
    let only_root = format!("UUID={ROOT} / ext4 defaults 0 1\n");
    let image = disk(&place, &mut guest(&only_root), &self::esp());
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("/EFI/debian/grub.cfg on part1 names the UUID of part2"), "{text}");
    let (esp, root) = parts(&place, &image);
    assert_eq!((uuid(&root).as_str(), uuid(&esp).as_str()), (ROOT, ESP));

    // A symlink to the device; a directory of settings that is named after it.
    let escaped = ROOT.replace('-', "\\x2d");
    for settings in [false, true] {
        let place = Place::new();
        let mut root = guest(&fstab());
        let (at, why) = match settings {
            false => {
                root.symlink("/etc/homedev", format!("/dev/disk/by-uuid/{ROOT}"));
                ("/etc/homedev".to_owned(), "it is a symlink that is made of it")
            }
            true => {
                let dir = format!("dev-disk-by\\x2duuid-{escaped}.device.d");
                let dir = format!("/etc/systemd/system/{dir}");
                root.directory("/etc/systemd");
                root.directory("/etc/systemd/system");
                root.directory(&dir);
                root.file(&format!("{dir}/x.conf"), "[Unit]\nJobTimeoutSec=1\n");
                (dir.replace('\\', "\\\\"), "its name is made of it")
            }
        };
        let image = disk(&place, &mut root, &Spec::default());
        let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
        let line = format!("Left alone: {at} (fs-uuids): it names the UUID of part2");
        assert!(text.contains(&line) && text.contains(why), "{text}");
        assert_eq!(uuid(&parts(&place, &image).1), ROOT);
    }

    // A core image in no file, of which load.cfg tells; an initramfs; an immutable file.
    let place = Place::new();
    let mut root = guest(&fstab());
    root.directory("/boot/grub/i386-pc");
    root.file("/boot/grub/i386-pc/load.cfg", format!("search.fs_uuid {ROOT} root hd0,msdos1\n"));
    root.file("/boot/initrd.img-6.1", b"\x28\xb5\x2f\xfdpacked".to_vec());
    let image = disk(&place, &mut root, &Spec::default());
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("GRUB's core image holds the same text"), "{text}");
    assert!(text.contains("/boot/initrd.img-6.1 (fs-uuids): not all of it was searched"), "{text}");
    assert_eq!(uuid(&parts(&place, &image).1), ROOT);
}

/// A disk with two guests, each on 24 MiB: the first one's UUID is [`ROOT`].
fn two_guests(place: &Place, first: &mut Spec, second: &mut Spec) -> PathBuf {
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let first = recipe::ext4(&scratch, first, &["-t", "ext4", "-U", ROOT], 24 * MIB);
    let other = scratch.join("other");
    fs::create_dir(&other).unwrap();
    let second = recipe::ext4(&other, second, &["-t", "ext4", "-U", SECOND], 24 * MIB);
    let parts = [
        Part { kind: "8300", name: "first", image: &first },
        Part { kind: "8300", name: "second", image: &second },
    ];
    let (disk, _) = recipe::gpt(&scratch, &parts);
    let image = place.path("disk.img");
    fs::rename(disk, &image).unwrap();
    fs::remove_dir_all(scratch).unwrap();
    image
}

const SECOND: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";

/// What one guest cannot be told anew holds for all: none names a UUID that no filesystem has.
#[test]
fn a_uuid_that_one_guest_keeps_stays_in_the_others() {
    let menu = format!("linux root=UUID={ROOT}\nlinux root=UUID={SECOND}\n");
    let program = format!("MZ\0\0search.fs_uuid {ROOT} root\n\0");
    // The first guest's filesystem, kept for its own sake or for the other's.
    for keeps_first in [true, false] {
        let place = Place::new();
        let system = |root: &str, program: Option<&str>| {
            let mut spec = guest(&format!("UUID={root} / ext4 defaults 0 1\n"));
            spec.file("/boot/grub/os-prober.cfg", menu.clone());
            if let Some(program) = program {
                spec.file("/boot/grub/core.bin", program);
            }
            spec
        };
        let image = two_guests(
            &place,
            &mut system(ROOT, keeps_first.then_some(program.as_str())),
            &mut system(SECOND, (!keeps_first).then_some(program.as_str())),
        );
        let (text, _) = place.expect("seal --verify full --operations fs-uuids disk.img", 3);
        let line = "/boot/grub/core.bin (fs-uuids): it names the UUID of part1, which part1 keeps";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("Proved: planning again yields nothing"), "{text}");
        let bytes = fs::read(&image).unwrap();
        let volumes = [1, 25].map(|at: usize| {
            let path = place.path("part.img");
            let at = at * MIB as usize;
            fs::write(&path, &bytes[at..at + 24 * MIB as usize]).unwrap();
            (uuid(&path), cat(&path, "/boot/grub/os-prober.cfg"), cat(&path, "/etc/fstab"))
        });
        let [(first, menu_1, fstab_1), (second, menu_2, fstab_2)] = &volumes;
        assert!(first == ROOT && second != SECOND, "{keeps_first}");
        let follows = |text: &str| text.replace(SECOND, second);
        assert_eq!((menu_1, menu_2), (&follows(&menu), &follows(&menu)), "{keeps_first}");
        assert!(fstab_1.contains(ROOT) && fstab_2.contains(second), "{keeps_first}");
    }
}
