//! `fs-uuids` and initramfs images: made by cpio and the packers themselves.

use super::uuids::{ROOT, guest, parts, uuid};
use super::*;
use crate::support::random::{Random, seed};
use crate::support::spec::Spec;

/// A packer's name, its package, and how it packs what it is given.
const PACKERS: [(&str, &str, &str); 6] = [
    ("cat", "coreutils", "cat"),
    ("gzip", "gzip", "gzip -9n"),
    ("zstd", "zstd", "zstd -q -19"),
    ("xz", "xz-utils", "xz --check=crc32"),
    ("lzma", "xz-utils", "xz --format=lzma"),
    ("lz4", "lz4", "lz4 -l -9"),
];

/// An initramfs with these files, packed: an archive of microcode before it, and zeros between, as
/// initramfs-tools and dracut lay it out.
fn initramfs(place: &Place, packer: (&str, &str, &str), files: &[(&str, &str)]) -> Vec<u8> {
    let tree = place.path("tree");
    for (path, text) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // Something that takes more than one buffer, and is no text.
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    let busybox: Vec<u8> = (0..75_000u32).flat_map(|it| (it / 3).to_le_bytes()).collect();
    fs::write(tree.join("usr/bin/busybox"), busybox).unwrap();
    fs::create_dir_all(place.path("early/kernel/x86/microcode")).unwrap();
    fs::write(place.path("early/kernel/x86/microcode/AuthenticAMD.bin"), [7; 5001]).unwrap();
    let (tool, package, pack) = packer;
    oracle::succeed(tool, package, &["--version"]);
    let script = format!(
        "set -e; cd {}; (cd early && find . | cpio -o -H newc --quiet) > initramfs
         (cd tree && find . | sort | cpio -o -H newc --quiet) | {pack} >> initramfs",
        place.path("").display()
    );
    oracle::succeed("cpio", "cpio", &["--version"]);
    oracle::succeed("sh", "dash", &["-c", &script]);
    let bytes = fs::read(place.path("initramfs")).unwrap();
    fs::remove_dir_all(tree).unwrap();
    bytes
}

/// A disk whose guest has these files in /boot.
fn disk(place: &Place, boot: Vec<(String, Vec<u8>)>) -> PathBuf {
    let fstab = format!("UUID={ROOT} / ext4 defaults 0 1\n");
    let mut root = guest(&fstab);
    for (name, bytes) in boot {
        root.file(&format!("/boot/{name}"), bytes);
    }
    super::uuids::disk(place, &mut root, &Spec::default())
}

fn root_uuid(place: &Place, image: &Path) -> String {
    uuid(&parts(place, image).1)
}

const HOOKS: (&str, &str) = ("init", "#!/bin/sh\nexport BOOT=local\n");

#[test]
fn one_that_names_nothing_is_no_hindrance() {
    let place = Place::new();
    let boot = PACKERS.map(|packer| {
        let other = ("etc/fstab", "UUID=11111111-2222-4333-8444-55555555555a / ext4\n");
        (format!("initrd.img-{}", packer.0), initramfs(&place, packer, &[HOOKS, other]))
    });
    let image = disk(&place, boot.into());
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 0);
    assert!(!text.contains("Left alone"), "{text}");
    assert_ne!(root_uuid(&place, &image), ROOT);
}

#[test]
fn a_filesystem_that_one_names_keeps_its_uuid() {
    let escaped = ROOT.replace('-', "\\x2d");
    let unit = format!("etc/systemd/system/dev-disk-by\\x2duuid-{escaped}.device");
    let hook = format!(
        "usr/lib/dracut/hooks/finished/devexists-\\x2fdev\\x2fdisk\\x2fby-uuid\\x2f{ROOT}.sh"
    );
    let cmdline = format!(" root=UUID={} rootfstype=ext4\n", ROOT.to_uppercase());
    let forms: [(&str, &str); 3] =
        [("etc/cmdline.d/95root-dev.conf", &cmdline), (&unit, "[Unit]\n"), (&hook, "true\n")];
    for (number, packer) in PACKERS.into_iter().enumerate() {
        let place = Place::new();
        let form = forms[number % 3];
        let image =
            disk(&place, vec![("initramfs.img".into(), initramfs(&place, packer, &[HOOKS, form]))]);
        let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
        let line = format!(
            "Left alone: /boot/initramfs.img (fs-uuids): {} in it names the UUID of part2, which \
             part2 keeps therefore",
            form.0
        );
        assert!(text.replace("\\\\", "\\").contains(&line), "{packer:?}: {text}");
        assert_eq!(root_uuid(&place, &image), ROOT, "{packer:?}");

        let words = "--operations fs-uuids --set fs-uuids.initramfs=change disk.img";
        let (text, _) = place.expect(&format!("seal {words}"), 3);
        assert!(
            text.contains("names the old UUID of part2: have the guest make it anew"),
            "{text}"
        );
        assert_ne!(root_uuid(&place, &image), ROOT, "{packer:?}");
    }
}

#[test]
fn what_only_delays_a_boot_is_told_and_changed() {
    let place = Place::new();
    let resume = format!("RESUME=UUID={ROOT}\n");
    let packed = initramfs(&place, PACKERS[2], &[HOOKS, ("conf/conf.d/resume", &resume)]);
    let root = format!("root=UUID={ROOT}\n");
    let dump = initramfs(&place, PACKERS[1], &[HOOKS, ("etc/cmdline.d/95root-dev.conf", &root)]);
    let boot = vec![("initrd.img".into(), packed), ("initramfs-6.1kdump.img".into(), dump)];
    let image = disk(&place, boot);
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("its resume device is the old UUID of part2"), "{text}");
    assert!(text.contains("only a kernel that dumps a crash uses it"), "{text}");
    assert_ne!(root_uuid(&place, &image), ROOT);
}

#[test]
fn one_on_a_filesystem_of_no_guest_counts() {
    let place = Place::new();
    let root = format!("root=UUID={ROOT}\n");
    let packed = initramfs(&place, PACKERS[2], &[HOOKS, ("etc/cmdline.d/95root-dev.conf", &root)]);
    let mut boot = Spec::default();
    boot.file("/initrd.img", packed);
    let fstab = format!("UUID={ROOT} / ext4 defaults 0 1\n");
    let image = super::uuids::disk(&place, &mut guest(&fstab), &boot);
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("/initrd.img on part1 names the UUID of part2"), "{text}");
    assert!(!text.contains("not all of it"), "{text}");
    assert_eq!(root_uuid(&place, &image), ROOT);
}

#[test]
fn one_that_cannot_be_unpacked_is_told() {
    let place = Place::new();
    let bzip2 = initramfs(&place, ("bzip2", "bzip2", "bzip2"), &[HOOKS]);
    // A window that would take 2 GiB, of which the header alone is there.
    let long = b"\x28\xb5\x2f\xfd\x04\xa8".to_vec();
    // A dictionary of nearly 4 GiB, likewise.
    let mut wide = b"\x5d\0\0\0\xf0".to_vec();
    wide.extend([0xff; 8]);
    wide.extend([0; 40]);
    let boot = vec![
        ("initrd.img-bzip2".into(), bzip2),
        ("initrd.img-long".into(), long),
        ("initrd.img-wide".into(), wide),
    ];
    let image = disk(&place, boot);
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("it is packed by bzip2, which is not unpacked here"), "{text}");
    for name in ["long", "wide"] {
        let line = format!("/boot/initrd.img-{name} (fs-uuids): not all of it was searched");
        assert!(text.contains(&line), "{text}");
    }
    assert_ne!(root_uuid(&place, &image), ROOT);
}

#[test]
fn damaged_ones_are_told_or_searched() {
    let place = Place::new();
    let mut random = Random::new(seed(1));
    let mut boot = Vec::new();
    for packer in PACKERS {
        let whole = initramfs(&place, packer, &[HOOKS]);
        // Behind the first archive: a cut, and changed bytes.
        let early = 5632;
        for number in 0..12 {
            let mut bytes = whole.clone();
            if number < 3 {
                bytes.truncate(early + 10 + random.below(whole.len() - early - 20));
            } else {
                for _ in 0..=random.below(4) {
                    // The beginning has the headers.
                    let reach = if number % 2 == 0 { 64 } else { whole.len() - early };
                    let at = early + random.below(reach.min(whole.len() - early));
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            boot.push((format!("initrd.img-{}-{number}", packer.0), bytes));
        }
    }
    // The bytes of ext4's 24 MiB are too few for all of them at once.
    let (mut told, mut all) = (0, 0);
    for some in boot.chunks(12) {
        all += some.len();
        let place = Place::new();
        disk(&place, some.to_vec());
        let (code, text) = audited(&place);
        assert!(code == 0 || code == 3, "{text}");
        told += text.matches("not all of it was searched").count();
    }
    assert!(told > all / 4, "{told} of {all}");
}

/// The exit code and the text of an audit.
fn audited(place: &Place) -> (i32, String) {
    let ran = place.run("audit --operations fs-uuids disk.img");
    (ran.status.code().unwrap(), String::from_utf8_lossy(&ran.stdout).into_owned())
}
