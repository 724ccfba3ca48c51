//! `fs-uuids` and boot loaders that no file holds: GRUB's core image, as `grub-mkimage` makes it and
//! `grub-install` puts it on a disk.

use std::os::unix::fs::FileExt as _;

use super::uuids::{MIB, ROOT, guest, uuid};
use super::*;
use crate::support::recipe::{self, Part};

/// Where Debian's grub-pc-bin keeps what the images are made of.
const GRUB: &str = "/usr/lib/grub/i386-pc";

/// A core image with this configuration built in.
fn core(place: &Place, config: &str, prefix: &str) -> Vec<u8> {
    let (early, core) = (place.path("early.cfg"), place.path("core.img"));
    fs::write(&early, config).unwrap();
    let mut words = vec!["-d", GRUB, "-O", "i386-pc", "-p", prefix, "-o", core.to_str().unwrap()];
    if !config.is_empty() {
        words.extend(["-c", early.to_str().unwrap()]);
    }
    words.extend(["biosdisk", "part_gpt", "ext2", "search_fs_uuid"]);
    oracle::succeed("grub-mkimage", "grub-common", &words);
    fs::read(core).unwrap()
}

/// A disk with a first partition of 1 MiB and a root.
fn disk(place: &Place, kind: &str) -> PathBuf {
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let fstab = format!("UUID={ROOT} / ext4 defaults 0 1\n");
    let ext4 = recipe::ext4(&scratch, &mut guest(&fstab), &["-t", "ext4", "-U", ROOT], 24 * MIB);
    let first = scratch.join("first.img");
    fs::write(&first, vec![0; MIB as usize]).unwrap();
    let parts = [
        Part { kind, name: "first", image: &first },
        Part { kind: "8300", name: "root", image: &ext4 },
    ];
    let (disk, _) = recipe::gpt(&scratch, &parts);
    let image = place.path("disk.img");
    fs::rename(disk, &image).unwrap();
    fs::remove_dir_all(scratch).unwrap();
    image
}

/// What grub-bios-setup does: the boot sector names where the core image is, whose first sector
/// names where its others are.
fn install(image: &Path, core: &[u8], sector: u64) {
    let disk = fs::File::options().read(true).write(true).open(image).unwrap();
    let mut boot = fs::read(format!("{GRUB}/boot.img")).unwrap();
    boot[0x5c..0x64].copy_from_slice(&sector.to_le_bytes());
    // The partition table and the disk's id stay.
    disk.write_all_at(&boot[..440], 0).unwrap();
    let mut core = core.to_vec();
    core.resize(core.len().next_multiple_of(512), 0);
    let count = u16::try_from(core.len() / 512 - 1).unwrap();
    core[500..508].copy_from_slice(&(sector + 1).to_le_bytes());
    core[508..510].copy_from_slice(&count.to_le_bytes());
    disk.write_all_at(&core, sector * 512).unwrap();
}

fn root_uuid(place: &Place, image: &Path) -> String {
    let mut bytes = vec![0; 24 * MIB as usize];
    fs::File::open(image).unwrap().read_exact_at(&mut bytes, 2 * MIB).unwrap();
    let path = place.path("root.img");
    fs::write(&path, bytes).unwrap();
    uuid(&path)
}

#[test]
fn a_core_image_is_unpacked_and_searched() {
    let early = format!("search.fs_uuid {ROOT} root hd0,gpt2\nset prefix=($root)/boot/grub\n");
    for (config, prefix, names_it) in [
        ("", "(,gpt2)/boot/grub", false),
        (early.as_str(), "(,gpt2)/boot/grub", true),
        ("", &format!("(fs_uuid/{ROOT})/boot/grub") as &str, true),
    ] {
        // In the BIOS boot partition, and behind the partition table as on a disk with an MBR.
        for (kind, sector) in [("ef02", 2048), ("8301", 64)] {
            let place = Place::new();
            let image = disk(&place, kind);
            let core = core(&place, config, prefix);
            assert!(!core.windows(36).any(|it| it == ROOT.as_bytes()), "it is packed");
            install(&image, &core, sector);
            let code = if names_it { 3 } else { 0 };
            let (text, _) = place.expect("seal --operations fs-uuids disk.img", code);
            let line = format!(
                "GRUB's core image at sector {sector} names the UUID of part2, which part2 keeps \
                 therefore: it cannot be changed: run grub-install"
            );
            assert_eq!(text.contains(&line), names_it, "{kind} {prefix}: {text}");
            assert!(!text.contains("not searched"), "{text}");
            assert_eq!(root_uuid(&place, &image) == ROOT, names_it, "{kind} {prefix}");
        }
    }
}

#[test]
fn boot_code_that_is_not_packed_is_searched_as_it_is() {
    // PReP (the core image of PowerPC is no LZMA), the BIOS boot partition, and the gap.
    for (kind, at, name) in [
        ("4100", 2048 * 512 + 777, "the boot code in part1"),
        ("ef02", 2048 * 512 + 777, "the boot code in part1"),
        ("8301", 700 * 512, "the boot code before the first partition"),
    ] {
        let place = Place::new();
        let image = disk(&place, kind);
        let disk = fs::File::options().write(true).open(&image).unwrap();
        disk.write_all_at(format!("\x7fELF search.fs_uuid {ROOT} root\0").as_bytes(), at).unwrap();
        let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
        assert!(text.contains(&format!("{name} names the UUID of part2")), "{kind}: {text}");
        assert_eq!(root_uuid(&place, &image), ROOT);
    }
}

#[test]
fn a_core_image_that_cannot_be_unpacked_is_told() {
    let place = Place::new();
    let image = disk(&place, "ef02");
    let mut core = core(&place, "", "(,gpt2)/boot/grub");
    core[8000..8100].fill(0x55);
    install(&image, &core, 2048);
    let (text, _) = place.expect("seal --operations fs-uuids disk.img", 3);
    assert!(text.contains("GRUB's core image at sector 2048 was not searched"), "{text}");
    assert_ne!(root_uuid(&place, &image), ROOT);

    // Sectors that lie nowhere, and more of them than any core image has.
    for (from, count) in [(u64::MAX, 1), (2049, u16::MAX), (1 << 40, 9)] {
        let bytes: Vec<u8> = [from.to_le_bytes().as_slice(), &count.to_le_bytes()].concat();
        let disk = fs::File::options().write(true).open(&image).unwrap();
        disk.write_all_at(&bytes, 2048 * 512 + 500).unwrap();
        let (text, _) = place.expect("audit --operations fs-uuids disk.img", 3);
        assert!(text.contains("the list of its sectors makes no sense"), "{from}: {text}");
    }
}
