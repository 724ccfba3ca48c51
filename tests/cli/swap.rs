//! `swap-contents`, end to end: what is left is what `mkswap` makes, and no more.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use sysprep_rs::operation::Selection;

use super::interrupted::interrupt_with;
use super::*;
use crate::support::disk::find;
use crate::support::marker::content;
use crate::support::recipe::{self, Part};
use crate::support::spec::Spec;

const UUID: &str = "99999999-8888-4777-8666-555555555555";
const MIB: u64 = 1 << 20;
const ROOT_MIB: u64 = 24;
const SWAP_MIB: u64 = 6;
/// The marker of what was in memory.
const MARKER: u32 = 77;

/// What mkswap makes of a file of zeroes.
fn swap_area(place: &Place, page: u64, len: u64) -> Vec<u8> {
    let path = place.path("area");
    fs::write(&path, vec![0; len as usize]).unwrap();
    let page = page.to_string();
    let words = ["-q", "-p", &page, "-U", UUID, "-L", "the swap", path.to_str().unwrap()];
    oracle::succeed("mkswap", "util-linux", &words);
    let area = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    area
}

/// The same after it was in use.
fn used(area: &[u8], page: u64) -> Vec<u8> {
    let mut used = area.to_vec();
    let behind = &mut used[page as usize..];
    behind.copy_from_slice(&content(MARKER, behind.len()));
    used
}

/// A disk with a root of 24 MiB and a swap partition, both in use.
struct Guest {
    place: Place,
    image: PathBuf,
    /// The areas as mkswap made them: in the partition, and in the file.
    areas: (Vec<u8>, Vec<u8>),
}

/// What the guest's settings say of its swap file.
enum NamedBy {
    Fstab,
    /// A file and its content.
    Unit(&'static str, &'static str),
}

fn guest(page: u64, file: &dyn Fn(&mut Vec<u8>), partition: &dyn Fn(&mut Vec<u8>)) -> Guest {
    guest_with(page, file, partition, NamedBy::Fstab)
}

fn guest_with(
    page: u64,
    file: &dyn Fn(&mut Vec<u8>),
    partition: &dyn Fn(&mut Vec<u8>),
    by: NamedBy,
) -> Guest {
    let place = Place::new();
    let areas = (swap_area(&place, page, SWAP_MIB * MIB), swap_area(&place, page, 3 * MIB));
    let mut spec = Spec::default();
    for dir in ["/etc", "/usr", "/swap"] {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let mut fstab = format!("/dev/vda1 / ext4 defaults 0 1\nUUID={UUID} none swap sw 0 0\n");
    match by {
        NamedBy::Fstab => fstab += "/swap/file none swap sw 0 0\n",
        NamedBy::Unit(path, text) => {
            let unit: sysprep_rs::path::GuestPath = path.parse().unwrap();
            let mut dir = String::new();
            for name in unit.parent().unwrap().names() {
                dir += &format!("/{}", String::from_utf8_lossy(name));
                if !["/etc", "/usr"].contains(&dir.as_str()) {
                    spec.directory(&dir);
                }
            }
            spec.file(path, text);
        }
    }
    spec.file("/etc/fstab", fstab);
    let (mut in_file, mut in_partition) = (used(&areas.1, page), used(&areas.0, page));
    file(&mut in_file);
    partition(&mut in_partition);
    spec.file("/swap/file", in_file).mode = 0o600;
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let root = recipe::ext4(&scratch, &mut spec, &["-t", "ext4"], ROOT_MIB * MIB);
    let swap = scratch.join("swap.img");
    fs::write(&swap, in_partition).unwrap();
    let parts = [
        Part { kind: "8300", name: "root", image: &root },
        Part { kind: "8200", name: "swap", image: &swap },
    ];
    let (disk, _) = recipe::gpt(&scratch, &parts);
    let image = place.path("disk.img");
    fs::rename(disk, &image).unwrap();
    fs::remove_dir_all(scratch).unwrap();
    Guest { place, image, areas }
}

fn nothing(_: &mut Vec<u8>) {}

impl Guest {
    fn bytes(&self, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        fs::File::open(&self.image).unwrap().read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    fn partition(&self) -> Vec<u8> {
        self.bytes((1 + ROOT_MIB) * MIB, SWAP_MIB * MIB)
    }

    fn root(&self) -> PathBuf {
        let path = self.place.path("root.img");
        fs::write(&path, self.bytes(MIB, ROOT_MIB * MIB)).unwrap();
        path
    }

    fn debugfs(&self, command: &str) -> Vec<u8> {
        oracle::succeed("debugfs", "e2fsprogs", &["-R", command, self.root().to_str().unwrap()])
    }
}

#[test]
fn swap_areas_are_left_as_mkswap_makes_them() {
    for page in [4096, 65536] {
        let guest = guest(page, &nothing, &nothing);
        let Guest { place, image, areas } = &guest;
        let blocks = guest.debugfs("blocks /swap/file");
        let taken = fs::metadata(image).unwrap().blocks();
        let (text, _) = place.expect("seal --operations swap-contents --verify full disk.img", 0);
        assert!(text.contains("1 file, 1 volume"), "{text}");
        assert!(text.contains("Proved: planning again yields nothing"), "{text}");
        assert!(guest.partition() == areas.0, "a page of {page}: the partition");
        assert!(guest.debugfs("cat /swap/file") == areas.1, "a page of {page}: the file");
        // swapon(8) takes no file with holes, and it has none.
        assert_eq!(guest.debugfs("blocks /swap/file"), blocks);
        oracle::e2fsck_clean(&guest.root());
        assert_eq!(find(&fs::read(image).unwrap(), &content(MARKER, 64)[..16]), None);
        let freed = (taken - fs::metadata(image).unwrap().blocks()) * 512;
        assert!(freed > 8 * MIB, "only {freed} bytes of the host's storage came back");
        let (text, _) = place.expect("audit --operations swap-contents disk.img", 0);
        assert!(text.contains("Nothing to clean.") && !text.contains("all of part2"), "{text}");
    }
}

#[test]
fn a_sealed_qcow2_holds_no_swap_either() {
    let guest = guest(4096, &nothing, &nothing);
    let qcow2 = guest.place.path("disk.qcow2");
    oracle::qemu_img_convert(&guest.image, "raw", &qcow2, &["-O", "qcow2"]);
    let before = fs::metadata(&qcow2).unwrap().blocks();
    guest.place.expect("seal --operations swap-contents disk.qcow2", 0);
    oracle::qemu_img_check(&qcow2);
    assert_eq!(find(&fs::read(&qcow2).unwrap(), &content(MARKER, 64)[..16]), None);
    assert!((before - fs::metadata(&qcow2).unwrap().blocks()) * 512 > 8 * MIB);
    oracle::qemu_img_convert(&qcow2, "qcow2", &guest.image, &["-O", "raw"]);
    assert!(guest.partition() == guest.areas.0);
}

#[test]
fn a_suspended_system_is_not_sealed() {
    let mark = |area: &mut Vec<u8>| area[4086..4096].copy_from_slice(b"S1SUSPEND\0");
    for (file, partition, name) in [
        (&mark as &dyn Fn(&mut Vec<u8>), &nothing as &dyn Fn(&mut Vec<u8>), "/swap/file: "),
        (&nothing, &mark, "part2: "),
    ] {
        let guest = guest(4096, file, partition);
        let before = fs::read(&guest.image).unwrap();
        let (_, error) = guest.place.expect("seal disk.img", 1);
        assert!(error.contains(name) && error.contains("it holds a suspended system"), "{error}");
        assert!(error.contains("nothing was written"), "{error}");
        assert!(fs::read(&guest.image).unwrap() == before);
        guest.place.expect("audit disk.img", 3);
    }
}

#[test]
fn an_operation_that_fails_by_itself_can_be_left_out_as_is_said() {
    let mark = |area: &mut Vec<u8>| area[4086..4096].copy_from_slice(b"S1SUSPEND\0");
    let guest = guest(4096, &nothing, &mark);
    for (given, advice) in [
        ("", "; to go on without it say --operations defaults,-swap-contents\n"),
        (
            "--operations defaults,-logfiles",
            "; to go on without it say --operations defaults,-logfiles,-swap-contents\n",
        ),
        (
            "--enable swap-contents,utmp",
            "; to go on without it say --operations swap-contents,utmp,-swap-contents\n",
        ),
        ("--enable swap-contents", "; nothing was written\n"),
    ] {
        let words = format!("seal -q disk.img {given}");
        let (_, error) = guest.place.expect(words.trim(), 1);
        assert!(error.contains("it holds a suspended system"), "{error}");
        assert!(error.ends_with(advice), "{given}: {error}");
        if let Some((_, advised)) = advice.split_once("say ") {
            guest.place.expect(format!("seal -q -n disk.img {advised}").trim(), 0);
        }
    }
}

#[test]
fn what_is_no_swap_area_stays() {
    let other = |area: &mut Vec<u8>| area[4086..4096].fill(b'x');
    let guest = guest(4096, &other, &other);
    let (before, file) = (guest.partition(), guest.debugfs("cat /swap/file"));
    let (text, _) = guest.place.expect("seal --operations swap-contents disk.img", 3);
    assert!(
        text.contains("/swap/file (swap-contents): /etc/fstab names it as a swap file"),
        "{text}"
    );
    assert!(guest.partition() == before && guest.debugfs("cat /swap/file") == file);
}

#[test]
fn swap_gets_another_uuid_and_fstab_follows() {
    let guest = guest(4096, &nothing, &nothing);
    guest.place.expect("seal --operations fs-uuids,swap-contents disk.img", 0);
    let swap = guest.place.path("swap.img");
    fs::write(&swap, guest.partition()).unwrap();
    let words = ["-p", "-o", "value", "-s", "UUID", swap.to_str().unwrap()];
    let said = oracle::succeed("blkid", "util-linux", &words);
    let new = String::from_utf8(said).unwrap().trim().to_owned();
    assert!(new != UUID && new.len() == 36, "{new}");
    let fstab = String::from_utf8(guest.debugfs("cat /etc/fstab")).unwrap();
    assert!(fstab.contains(&format!("UUID={new} none swap")), "{fstab}");
    // Nothing else of the header changed.
    let words = ["-U", UUID, swap.to_str().unwrap()];
    oracle::succeed("swaplabel", "util-linux", &words);
    assert!(fs::read(&swap).unwrap() == guest.areas.0);
}

#[test]
fn a_seal_that_is_stopped_leaves_the_old_disk_or_the_new_one() {
    let guest = guest(4096, &nothing, &nothing);
    let mut selection = Selection::default();
    selection.operations("fs-uuids,swap-contents").unwrap();
    let old = fs::read(&guest.image).unwrap();
    let (mut new, mut finished): (Option<Vec<u8>>, u32) = (None, 0);
    for step in (1..).step_by(2) {
        fs::write(&guest.image, &old).unwrap();
        if interrupt_with(&selection, &guest.image, step).is_ok() {
            break;
        }
        guest.place.expect("recover disk.img", 0);
        let left = fs::read(&guest.image).unwrap();
        if left == old {
            assert_eq!(finished, 0, "step {step}");
            continue;
        }
        finished += 1;
        match &new {
            Some(new) => assert!(left == *new, "step {step} left something between"),
            None => new = Some(left),
        }
    }
    assert!(finished > 3, "{finished}");
    fs::write(&guest.image, new.unwrap()).unwrap();
    oracle::e2fsck_clean(&guest.root());
    let swap = guest.partition();
    assert!(swap[4096..].iter().all(|&byte| byte == 0));
    assert_ne!(swap[1036..1052], guest.areas.0[1036..1052]);
}

#[test]
fn a_swap_file_that_a_unit_names_is_wiped() {
    for (path, text) in [
        ("/etc/systemd/system/swap-file.swap", "[Swap]\nWhat=/swap/file\n"),
        ("/usr/lib/systemd/system/swap-file.swap", "[Unit]\n[Swap]\nWhat = /swap/file \n"),
        ("/etc/systemd/system/x.swap.d/10-file.conf", "[Swap]\nWhat=/dev/vda2\nWhat=/swap/file\n"),
    ] {
        let guest = guest_with(4096, &nothing, &nothing, NamedBy::Unit(path, text));
        let (text, _) = guest.place.expect("seal --operations swap-contents disk.img", 0);
        assert!(text.contains("1 file, 1 volume"), "{path}: {text}");
        assert!(guest.debugfs("cat /swap/file") == guest.areas.1, "{path}");
        oracle::e2fsck_clean(&guest.root());
        assert_eq!(find(&fs::read(&guest.image).unwrap(), &content(MARKER, 64)[..16]), None);
    }
}

#[test]
fn a_swap_file_of_a_tool_is_wiped() {
    let place = Place::new();
    let area = swap_area(&place, 4096, MIB);
    let mut spec = Spec::default();
    for dir in ["/etc", "/usr", "/var", "/var/lib", "/var/lib/swapspace"] {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\n");
    spec.file("/var/swap", used(&area, 4096));
    spec.file("/var/lib/swapspace/1", used(&area, 4096));
    spec.file("/var/lib/swapspace/notes", "no swap area");
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let root = recipe::ext4(&scratch, &mut spec, &["-t", "ext4"], ROOT_MIB * MIB);
    let image = place.path("disk.img");
    fs::rename(root, &image).unwrap();
    let (text, _) = place.expect("seal --operations swap-contents disk.img", 0);
    assert!(text.contains("2 files"), "{text}");
    let cat = |path: &str| {
        let words = ["-R", &format!("cat {path}"), image.to_str().unwrap()];
        oracle::succeed("debugfs", "e2fsprogs", &words)
    };
    assert!(cat("/var/swap") == area && cat("/var/lib/swapspace/1") == area);
    assert_eq!(cat("/var/lib/swapspace/notes"), b"no swap area");
}

#[test]
fn a_swap_file_that_is_moved_is_wiped_too() {
    for (flags, at, code) in [
        ("--move /swap/file:/swap/other", "/swap/other", 0),
        ("--move /swap/file:/moved --chmod 0640:/moved --move /moved:/etc/swap", "/etc/swap", 0),
        ("--move /swap:/areas", "/areas/file", 0),
        ("--edit /swap/file:s/./x/", "/swap/file", 0),
        // No copy of what was in memory is made.
        ("--copy /swap/file:/swap/copy", "/swap/file", 3),
    ] {
        let guest = guest(4096, &nothing, &nothing);
        let words = format!(
            "seal --operations swap-contents,customize --verify full {flags} --write /etc/done:x \
             disk.img"
        );
        let (text, _) = guest.place.expect(&words, code);
        assert_eq!(text.contains("Left alone: /swap/file"), code == 3, "{flags}: {text}");
        let held = guest.debugfs(&format!("cat {at}"));
        match flags.starts_with("--edit") {
            // An edit that reads it reads what is left.
            true => assert!(held[4096..].iter().all(|&byte| matches!(byte, 0 | b'x')), "{flags}"),
            false => assert!(held == guest.areas.1, "{flags}"),
        }
        oracle::e2fsck_clean(&guest.root());
        let left = fs::read(&guest.image).unwrap();
        assert_eq!(find(&left, &content(MARKER, 64)[..16]), None, "{flags}");
        assert_eq!(guest.debugfs("cat /etc/done"), b"x");
    }
}
