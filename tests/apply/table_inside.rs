//! A partition table that lies in the free space of a partition: discarding it would take the
//! partitions away, so that partition is not opened, and everything else is sealed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::support::oracle::{e2fsck_clean, free_blocks};
use crate::support::recipe::{self, Part};
use crate::support::spec::Spec;

const MIB: u64 = 1 << 20;

/// An ext4 filesystem of 8 MiB, with a guest on it or only a file.
fn filesystem(dir: &Path, guest: bool) -> PathBuf {
    fs::create_dir(dir).unwrap();
    let mut spec = Spec::default();
    if guest {
        spec.directory("/etc");
        spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        spec.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        spec.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    } else {
        spec.file("/kept", "kept");
    }
    recipe::ext4(dir, &mut spec, &["-t", "ext4", "-b", "4096"], 8 * MIB)
}

/// The first byte of the last free blocks, 16 KiB at least.
fn free(image: &Path) -> u64 {
    let (ranges, size) = free_blocks(image);
    let (_, last) = ranges.into_iter().rfind(|(first, last)| last - first > 8).unwrap();
    (last - 7) * size
}

fn write(disk: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(disk).unwrap().write_all_at(bytes, at).unwrap();
}

/// A disk of two partitions, the first of which has the array of the GPT in its free space.
fn gpt(dir: &Path, first: &Path, second: &Path) -> PathBuf {
    let parts = [first, second].map(|image| Part { kind: "8300", name: "part", image });
    let (disk, starts) = recipe::gpt(dir, &parts);
    let inside = starts[0] + free(first);
    let bytes = fs::read(&disk).unwrap();
    write(&disk, inside, &bytes[1024..1024 + 128 * 128]);
    let mut header = bytes[512..512 + 92].to_vec();
    header[72..80].copy_from_slice(&(inside / 512).to_le_bytes());
    header[16..20].fill(0);
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    write(&disk, 512, &header);
    disk
}

/// A disk of a primary partition, which has the extended boot record in its free space, and a
/// logical one.
fn mbr(dir: &Path, first: &Path, second: &Path) -> PathBuf {
    let disk = dir.join("disk.img");
    File::create(&disk).unwrap().set_len(20 * MIB).unwrap();
    let record = |entries: [(u8, u64, u64); 2]| {
        let mut sector = [0; 512];
        for (entry, (kind, start, len)) in sector[446..].chunks_exact_mut(16).zip(entries) {
            entry[4] = kind;
            entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
            entry[12..].copy_from_slice(&((len / 512) as u32).to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    };
    let inside = MIB + free(first);
    write(&disk, MIB, &fs::read(first).unwrap());
    write(&disk, 10 * MIB, &fs::read(second).unwrap());
    write(&disk, 0, &record([(0x83, MIB, 8 * MIB), (0x05, inside, 20 * MIB - inside)]));
    write(&disk, inside, &record([(0x83, 10 * MIB - inside, 8 * MIB), (0, 0, 0)]));
    disk
}

/// Runs `seal`; gives its exit code, standard output and standard error.
fn seal(disk: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs")).arg("seal").arg(disk).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

type Make = fn(&Path, &Path, &Path) -> PathBuf;

#[test]
fn a_partition_with_the_partition_table_in_it_is_not_opened() {
    for (make, table) in [(gpt as Make, "GPT"), (mbr, "MBR")] {
        let dir = tempfile::tempdir().unwrap();
        let guest = filesystem(&dir.path().join("guest"), true);
        let other = filesystem(&dir.path().join("other"), false);

        let disk = make(dir.path(), &guest, &other);
        let before = fs::read(&disk).unwrap();
        let (code, said, error) = seal(&disk);
        assert_eq!(code, Some(1), "{table}: {said}{error}");
        let inside = "part1: not opened: a partition with partition table structures inside";
        assert!(error.lines().count() == 1 && !error.contains("bug"), "{table}: {error}");
        assert!(error.contains(inside), "{table}: {error}");
        assert!(fs::read(&disk).unwrap() == before, "{table}: the image is untouched");

        // The guest is on the other one.
        let disk = make(dir.path(), &other, &guest);
        let before = fs::read(&disk).unwrap();
        let (code, said, error) = seal(&disk);
        assert_eq!(code, Some(0), "{table}: {said}{error}");
        let warning = "warning: partition table structures lie inside part1; it is not opened";
        assert!(said.contains(warning) && said.contains("all of part1: "), "{table}: {said}");
        let after = fs::read(&disk).unwrap();
        let second = if table == "GPT" { 9 * MIB } else { 10 * MIB } as usize;
        assert!(after[..second] == before[..second], "{table}: part1 is as it was");
        assert!(after != before, "{table}");
        let part = dir.path().join("part");
        fs::write(&part, &after[second..second + 8 * MIB as usize]).unwrap();
        e2fsck_clean(&part);
    }
}
