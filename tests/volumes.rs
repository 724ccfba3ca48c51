//! Partition tables made by `sfdisk` and `sgdisk`, and read back by them; what `blkid` says of the
//! contents; damage and bit flips.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sysprep_rs::block::{HostFile, Memory, ReadBlocks, WriteBlocks};
use sysprep_rs::volume::{Layout, Table, Volume, VolumeError, scan};
use tempfile::TempDir;

use crate::random::Random;
use crate::support::disk as sparse;

const MIB: u64 = 1 << 20;

struct Disk {
    _dir: TempDir,
    path: PathBuf,
}

impl Disk {
    fn new(mib: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        File::create(&path).unwrap().set_len(mib * MIB).unwrap();
        Self { _dir: dir, path }
    }

    fn sfdisk(&self, script: &str) {
        use std::io::Write;
        let mut child = tool("sfdisk")
            .args(["-q", "--no-reread", "--no-tell-kernel"])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn json(&self) -> Value {
        let text = run(tool("sfdisk").arg("--json").arg(&self.path));
        serde_json::from_str::<Value>(&text).unwrap()["partitiontable"].clone()
    }

    fn scan(&self) -> Layout {
        scan(&HostFile::open(&self.path).unwrap()).unwrap()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        File::open(&self.path).unwrap().read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// Puts a filesystem made by `make` on a file of its own into the disk at `at`.
    fn put(&self, at: u64, mib: u64, make: impl FnOnce(&Path)) {
        let part = Self::new(mib);
        make(&part.path);
        self.write(at, &fs::read(&part.path).unwrap());
    }

    /// What `blkid` says of one tag of the bytes from `start`.
    fn blkid(&self, volume: &Volume, tag: &str) -> Option<String> {
        let out = tool("blkid")
            .args(["-p", "-s", tag, "-o", "value", "-O", &volume.start.to_string(), "-S"])
            .arg(volume.len.to_string())
            .arg(&self.path)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
    command
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        out.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Compares numbers, places and types with what `sfdisk --json` says; extended partitions, which
/// hold nothing themselves, are not volumes.
fn same_as_sfdisk(disk: &Disk, layout: &Layout) {
    let json = disk.json();
    let sector = json["sectorsize"].as_u64().unwrap();
    let gpt = json["label"] == "gpt";
    let theirs: Vec<_> = json["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| gpt || !matches!(entry["type"].as_str(), Some("5" | "f" | "85")))
        .map(|entry| {
            let node = entry["node"].as_str().unwrap();
            let number = node.rsplit_once("img").unwrap().1.trim_start_matches('p');
            let kind = entry["type"].as_str().unwrap().to_lowercase();
            (
                number.parse::<u32>().unwrap(),
                entry["start"].as_u64().unwrap() * sector,
                entry["size"].as_u64().unwrap() * sector,
                if gpt { kind } else { format!("0x{kind}") },
                entry["uuid"].as_str().map(str::to_lowercase),
                entry["name"].as_str().map(str::to_owned),
            )
        })
        .collect();
    let ours: Vec<_> = layout
        .volumes
        .iter()
        .map(|volume| {
            assert_eq!(volume.id.0, format!("part{}", volume.number));
            (
                volume.number,
                volume.start,
                volume.len,
                volume.partition_type.clone().unwrap(),
                volume.partition_uuid.clone().filter(|_| gpt),
                volume.partition_label.clone(),
            )
        })
        .collect();
    assert_eq!(ours, theirs);
    let id = json["id"].as_str().unwrap().to_lowercase();
    assert_eq!(layout.disk_uuid.as_deref(), Some(id.trim_start_matches("0x")));
}

#[test]
fn mbr_with_logical_partitions() {
    let disk = Disk::new(64);
    disk.sfdisk(
        "label: dos\nlabel-id: 0x1234abcd\nsize=8M, type=83\nsize=4M, type=82\n\
         size=30M, type=f\nsize=4M, type=c, bootable\nsize=3M, type=83\nsize=3M, type=8e\n\
         size=3M, type=83\n",
    );
    let layout = disk.scan();
    assert_eq!(layout.table, Table::Mbr);
    assert_eq!(layout.warnings, Vec::<String>::new());
    same_as_sfdisk(&disk, &layout);
    let uuids: Vec<_> =
        layout.volumes.iter().map(|volume| volume.partition_uuid.as_deref().unwrap()).collect();
    assert_eq!(
        uuids,
        ["1234abcd-01", "1234abcd-02", "1234abcd-04", "1234abcd-05", "1234abcd-06", "1234abcd-07"]
    );
    // Without the middle one, the chain has a record that names nothing.
    run(tool("sfdisk")
        .args(["-q", "--no-reread", "--no-tell-kernel", "--delete"])
        .arg(&disk.path)
        .arg("6"));
    same_as_sfdisk(&disk, &disk.scan());
}

#[test]
fn a_chain_of_logical_partitions_that_loops_ends() {
    let disk = Disk::new(64);
    disk.sfdisk("label: dos\nsize=30M, type=5\ndisk.img5 : size=3M, type=83\ndisk.img6 : size=3M, type=83\n");
    let layout = disk.scan();
    assert_eq!(layout.volumes.len(), 2);
    // The second record's link points at itself; then the first one's at the first.
    let second = disk.json()["partitions"][2]["start"].as_u64().unwrap() * 512 - MIB;
    let link = (second / 512 - 2048) as u32;
    for (record, target) in [(second, link), (MIB, 0)] {
        let mut entry = vec![0, 0, 0, 0, 5, 0, 0, 0];
        entry.extend_from_slice(&target.to_le_bytes());
        entry.extend_from_slice(&2048_u32.to_le_bytes());
        disk.write(record + 446 + 16, &entry);
        let layout = disk.scan();
        assert!(layout.warnings.iter().any(|line| line.contains("comes back")), "{layout:?}");
        assert!(layout.volumes.len() <= 2);
    }
    // A link out of the disk.
    disk.write(MIB + 446 + 16 + 8, &u32::MAX.to_le_bytes());
    assert!(disk.scan().warnings.iter().any(|line| line.contains("outside the disk")));
}

fn gpt() -> Disk {
    let disk = Disk::new(64);
    disk.sfdisk(
        "label: gpt\n\
         size=8M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"EFI System\"\n\
         size=20M, type=L, name=\"Wurzel \u{e4}\u{2192} \"\n\
         size=4M, type=S\n",
    );
    disk
}

#[test]
fn gpt_as_sfdisk_and_sgdisk_read_it() {
    let disk = gpt();
    let layout = disk.scan();
    assert_eq!((layout.table, &layout.warnings), (Table::Gpt, &vec![]));
    for volume in &layout.volumes {
        let text = run(tool("sgdisk").arg("-i").arg(volume.number.to_string()).arg(&disk.path));
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.split(' ').next().unwrap().to_lowercase()
        };
        assert_eq!(volume.partition_uuid, Some(value("Partition unique GUID")));
        assert_eq!(volume.partition_type, Some(value("Partition GUID code")));
        assert_eq!(volume.start, value("First sector").parse::<u64>().unwrap() * 512);
        assert_eq!(volume.len, value("Partition size").parse::<u64>().unwrap() * 512);
    }
    // sfdisk keeps the trailing blank that blkid (and so udev) cuts.
    assert_eq!(layout.volumes[1].partition_label.as_deref(), Some("Wurzel \u{e4}\u{2192}"));
    assert_eq!(layout.volumes[2].partition_label, None);
    assert_eq!(layout.disk_uuid, {
        let out = run(tool("blkid").args(["-p", "-s", "PTUUID", "-o", "value"]).arg(&disk.path));
        Some(out.trim().to_owned())
    });
}

#[test]
fn gpt_with_gaps_in_its_numbers() {
    let disk = Disk::new(64);
    run(tool("sgdisk")
        .args(["-n", "1:0:+1M", "-n", "15:0:+5M", "-n", "128:0:+8M", "-t", "15:ef00"])
        .args(["-c", "15:x", "-n", "3:40000:40000"])
        .arg(&disk.path));
    let layout = disk.scan();
    let numbers: Vec<_> = layout.volumes.iter().map(|volume| volume.number).collect();
    assert_eq!(numbers, [1, 3, 15, 128]);
    same_as_sfdisk(&disk, &layout);
}

#[test]
fn a_damaged_gpt_is_read_by_its_other_copy() {
    let disk = gpt();
    let good = disk.scan();
    let end = 64 * MIB - 512;
    for (at, what) in [
        (512, "first header"),
        (512 + 40, "first header"),
        (1024 + 130, "first header"),
        (end, "backup header"),
        (end + 60, "backup header"),
        (end - 32 * 512 + 56, "backup header"),
    ] {
        let was = disk.read(at, 1);
        disk.write(at, &[!was[0]]);
        let layout = disk.scan();
        assert_eq!(layout.volumes, good.volumes, "byte {at}");
        assert!(layout.warnings.iter().any(|line| line.contains(what)), "{:?}", layout.warnings);
        disk.write(at, &was);
    }
    // A disk that was made larger: the backup is not at the end any more.
    OpenOptions::new().write(true).open(&disk.path).unwrap().set_len(80 * MIB).unwrap();
    let layout = disk.scan();
    assert_eq!(layout.volumes, good.volumes);
    assert!(layout.warnings[0].contains("not at the disk's end"), "{:?}", layout.warnings);
    // A disk that was cut: the backup is gone, and so is a part of nothing yet.
    OpenOptions::new().write(true).open(&disk.path).unwrap().set_len(20 * MIB).unwrap();
    let layout = disk.scan();
    assert_eq!(layout.volumes.len(), 2);
    assert_eq!(layout.volumes[1].len, 11 * MIB);
    for line in ["backup header is damaged", "part2 ends", "part3 begins"] {
        assert!(layout.warnings.iter().any(|it| it.contains(line)), "{:?}", layout.warnings);
    }
    // Neither copy.
    disk.write(512, &[0; 512]);
    assert!(matches!(scan(&HostFile::open(&disk.path).unwrap()), Err(VolumeError::Corrupt { .. })));
}

#[test]
fn gpt_in_sectors_of_4096_bytes() {
    // The tools take the sector size from the device, so that such a table on a file has to be
    // made from one of 512-byte sectors: the same header and entries, a sector each.
    let disk = gpt();
    let mut header = disk.read(512, 512);
    let entries = disk.read(1024, 128 * 128);
    let large = Disk::new(64 * 8);
    large.write(0, &disk.read(0, 512));
    let last = 64 * 8 * MIB / 4096 - 1;
    let put = |header: &mut Vec<u8>, own: u64, other: u64, array: u64| {
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&array.to_le_bytes());
        header[16..20].fill(0);
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&header[..92]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        large.write(own * 4096, header);
        large.write(array * 4096, &entries);
    };
    put(&mut header, 1, last, 2);
    put(&mut header, last, 1, last - 4);
    let small = disk.scan();
    let layout = large.scan();
    assert_eq!(layout.warnings, Vec::<String>::new());
    assert_eq!(layout.disk_uuid, small.disk_uuid);
    for (large, small) in layout.volumes.iter().zip(&small.volumes) {
        assert_eq!((large.start, large.len), (small.start * 8, small.len * 8));
    }
    assert_eq!(layout.volumes.len(), small.volumes.len());
    large.write(4096, &[0; 4096]);
    assert_eq!(large.scan().volumes, layout.volumes);
}

#[test]
fn a_hybrid_mbr_loses_against_its_gpt() {
    let disk = gpt();
    let good = disk.scan();
    run(tool("sgdisk").args(["-h", "1:2"]).arg(&disk.path));
    assert!(disk.read(446, 64).chunks(16).filter(|entry| entry[4] != 0).count() > 1);
    let layout = disk.scan();
    assert_eq!((layout.table, &layout.volumes), (Table::Gpt, &good.volumes));
    assert!(layout.warnings[0].contains("hybrid"));
}

#[test]
fn overlapping_partitions_are_not_opened_twice() {
    let disk = Disk::new(64);
    let mut sector = vec![0; 512];
    for (n, (start, len)) in [(2048_u32, 20000_u32), (4096, 100), (30000, 10)].iter().enumerate() {
        let at = 446 + n * 16;
        sector[at + 4] = 0x83;
        sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write(0, &sector);
    let layout = disk.scan();
    let not_opened: Vec<_> =
        layout.volumes.iter().map(|volume| volume.not_opened.as_deref()).collect();
    assert_eq!(
        not_opened,
        [Some("a partition that overlaps part2"), Some("a partition that overlaps part1"), None,]
    );
    assert_eq!(layout.warnings, ["part2 overlaps part1; neither is opened"]);
    // No id: blkid gives no PARTUUID then.
    assert_eq!(layout.volumes[0].partition_uuid, None);
}

#[test]
fn whole_disk_filesystems_are_no_tables() {
    for mbr in ["n", "y"] {
        for fat in ["12", "16", "32"] {
            let disk = Disk::new(if fat == "32" { 64 } else { 16 });
            run(tool("mkfs.vfat")
                .args(["-F", fat, "-s", "1", &format!("--mbr={mbr}")])
                .args(if fat == "12" { &["-s", "16"][..] } else { &[] })
                .arg(&disk.path));
            assert_eq!(disk.read(510, 2), [0x55, 0xaa]);
            let layout = disk.scan();
            assert_eq!(layout.table, Table::None, "FAT{fat}, --mbr={mbr}");
            assert_eq!(
                (layout.volumes[0].id.0.as_str(), layout.volumes[0].len),
                ("disk", disk.scan().volumes[0].len)
            );
            assert_eq!(layout.volumes[0].not_opened, None);
        }
    }
    for mark in [false, true] {
        let disk = Disk::new(16);
        run(tool("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&disk.path));
        if mark {
            // As a boot loader in front of the superblock leaves it.
            disk.write(510, &[0x55, 0xaa]);
        }
        let layout = disk.scan();
        assert_eq!((layout.table, layout.volumes.len()), (Table::None, 1));
        assert_eq!(layout.volumes[0].not_opened, None);
    }
    // A table without partitions, and a disk of nothing.
    let disk = Disk::new(16);
    let layout = disk.scan();
    assert_eq!((layout.table, layout.volumes.len()), (Table::None, 1));
    disk.sfdisk("label: dos\n");
    let layout = disk.scan();
    assert_eq!((layout.table, layout.volumes.len()), (Table::Mbr, 0));
    // Partitions put over a former whole-disk FAT, whose boot sector keeps its fields.
    let disk = Disk::new(64);
    run(tool("mkfs.vfat").arg("--mbr=n").arg(&disk.path));
    disk.sfdisk("label: dos\nsize=8M, type=83\n");
    assert_eq!(disk.scan().table, Table::Mbr);
    // A disk made anew as one ext4: the old GPT's backup is still at the end.
    let disk = gpt();
    run(tool("mke2fs").args(["-q", "-F", "-E", "nodiscard"]).arg(&disk.path).arg("32M"));
    assert_eq!(disk.scan().table, Table::None);
}

#[test]
fn a_table_that_leads_to_nothing_is_told_what_the_disk_may_be() {
    let warned = |disk: &Disk| disk.scan().warnings.join("\n");
    let ext = |disk: &Disk, offset: &str| {
        run(tool("mke2fs").args(["-q", "-F", "-E", offset]).arg(&disk.path).arg("8M"));
    };
    let disk = Disk::new(16);
    disk.sfdisk("label: dos\nstart=256, size=2000, type=83\n");
    assert_eq!(warned(&disk), "");
    ext(&disk, "offset=1048576");
    let said = "counts sectors of 4096 bytes, as what begins at sector 256 shows";
    assert!(warned(&disk).contains(said), "{}", warned(&disk));
    // What the table does lead to settles it.
    disk.sfdisk("label: dos\nstart=256, size=500, type=83\nstart=2048, size=16384, type=83\n");
    assert_eq!(warned(&disk), "");

    let disk = Disk::new(16);
    disk.sfdisk("label: dos\nstart=2048, size=8192, type=83\n");
    let table = disk.read(446, 66);
    ext(&disk, "nodiscard");
    disk.write(446, &table);
    let said = "the whole disk looks like an ext filesystem";
    assert!(warned(&disk).contains(said), "{}", warned(&disk));
    disk.write(446, &[0; 66]);
    assert_eq!((disk.scan().table, warned(&disk)), (Table::None, String::new()));
    disk.write(446, &table);
    ext(&disk, "offset=1048576");
    assert_eq!(warned(&disk), "");
}

#[test]
fn a_gpt_without_its_protective_mbr_is_still_found() {
    let disk = gpt();
    let good = disk.scan();
    disk.write(0, &[0; 512]);
    let layout = disk.scan();
    assert_eq!(layout.volumes, good.volumes);
    assert_eq!(layout.warnings, ["the GPT has no protective MBR"]);
}

#[test]
fn what_is_not_opened_is_named_as_blkid_does() {
    type Make = fn(&Path);
    let made: [(&str, &str, u64, Make); 8] = [
        ("swap", "swap", 4, |path| {
            run(tool("mkswap").args(["-q", "-L", "swap-label"]).arg(path));
        }),
        ("swap", "swap", 4, |path| {
            run(tool("mkswap").args(["-q", "-p", "65536"]).arg(path));
        }),
        ("LUKS1", "crypto_LUKS", 20, |path| luks(path, "luks1")),
        ("LUKS2", "crypto_LUKS", 20, |path| luks(path, "luks2")),
        ("Btrfs", "btrfs", 120, |path| {
            run(tool("mkfs.btrfs").args(["-q", "-L", "butter"]).arg(path));
        }),
        ("XFS", "xfs", 310, |path| {
            run(tool("mkfs.xfs").args(["-q", "-L", "ixeffess"]).arg(path));
        }),
        ("NTFS", "ntfs", 8, |path| {
            run(tool("mkfs.ntfs").args(["-q", "-F", "-f"]).arg(path));
        }),
        ("squashfs", "squashfs", 8, |path| {
            let source = tempfile::tempdir().unwrap();
            run(tool("mksquashfs").arg(source.path()).arg(path).args(["-noappend", "-quiet"]));
        }),
    ];
    for (name, blkid, mib, make) in made {
        let disk = Disk::new(mib + 2);
        disk.sfdisk("label: gpt\nstart=2048\n");
        let part = Disk::new(mib);
        make(&part.path);
        // Sparse: the large ones are mostly holes.
        sparse::Disk::from_file(&part.path).stored(|at, bytes| disk.write(MIB + at, bytes));
        let layout = disk.scan();
        let volume = &layout.volumes[0];
        assert_eq!(volume.not_opened.as_deref(), Some(name));
        assert_eq!(volume.encrypted, name.starts_with("LUKS"), "{name}");
        assert_eq!(disk.blkid(volume, "TYPE").as_deref(), Some(blkid));
        assert_eq!(volume.uuid, disk.blkid(volume, "UUID"), "{name}");
        assert_eq!(volume.label, disk.blkid(volume, "LABEL"), "{name}");
    }
    // What drivers open is not claimed here.
    let disk = Disk::new(32);
    disk.sfdisk("label: dos\nsize=8M\nsize=8M\n");
    disk.put(MIB, 8, |path| {
        run(tool("mke2fs").args(["-q", "-F"]).arg(path));
    });
    disk.put(9 * MIB, 8, |path| {
        run(tool("mkfs.vfat").arg(path));
    });
    assert!(disk.scan().volumes.iter().all(|volume| volume.not_opened.is_none()));
}

/// An encrypted volume in the file.
pub(crate) fn luks(path: &Path, kind: &str) {
    use std::io::Write;
    let mut child = tool("cryptsetup")
        .args(["luksFormat", "-q", "--type", kind, "--pbkdf", "pbkdf2"])
        .args(["--pbkdf-force-iterations", "1000", "--key-file", "-"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"key").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn containers_whose_tools_need_a_kernel() {
    let len = 4 * MIB;
    let mut raid = [0_u8; 256];
    raid[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    raid[4] = 1;
    let at_sector = |sector: u64| {
        let mut raid = raid;
        raid[144..152].copy_from_slice(&sector.to_le_bytes());
        raid.to_vec()
    };
    let mut label = vec![0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..64].copy_from_slice(b"LVM2 001abcdefGHIJklmnOPQRstuvWXYZ012345");
    let mut nvlist = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    nvlist.extend_from_slice(b"\0\0\0\x09pool_guid");
    let end = len / 512 - 16;
    let cases: Vec<(&str, u64, Vec<u8>)> = vec![
        ("MD RAID 1.0", end * 512, at_sector(end)),
        ("MD RAID 1.1", 0, at_sector(0)),
        ("MD RAID 1.2", 4096, at_sector(8)),
        ("MD RAID 0.90", len - 65536, b"\xfc\x4e\x2b\xa9\0\0\0\0\x5a".to_vec()),
        ("MD RAID 0.90", len - 65536, b"\xa9\x2b\x4e\xfc\0\0\0\0\0\0\0\x5a".to_vec()),
        ("LVM2", 512, label),
        ("ZFS", 16384, nvlist),
        ("BitLocker", 0, b"\xeb\x58\x90-FVE-FS-".to_vec()),
        (
            "bcache",
            4120,
            b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81".to_vec(),
        ),
        ("ISO 9660", 32769, b"CD001".to_vec()),
        ("APFS", 32, b"NXSB".to_vec()),
        ("HFS+", 1024, b"H+\0\x04".to_vec()),
        ("ReFS", 3, b"ReFS\0\0\0\0".to_vec()),
        ("EROFS", 1024, b"\xe2\xe1\xf5\xe0".to_vec()),
    ];
    for (name, at, bytes) in cases {
        let memory = Memory::new(len);
        memory.write_at(at, &bytes).unwrap();
        let layout = scan(&memory).unwrap();
        assert_eq!(layout.volumes[0].not_opened.as_deref(), Some(name));
        if name == "LVM2" {
            let uuid = "abcdef-GHIJ-klmn-OPQR-stuv-WXYZ-012345";
            assert_eq!(layout.volumes[0].uuid.as_deref(), Some(uuid));
        }
        if name.starts_with("MD RAID 1") && at != 0 {
            // A superblock that is not where it says it is was left by something else.
            memory.write_at(at + 144, &[7]).unwrap();
            assert_eq!(scan(&memory).unwrap().volumes[0].not_opened, None);
        }
    }
}

#[test]
fn every_short_disk_reads_as_one_volume() {
    for len in [0, 1, 511, 512, 513, 1024, 4096, 65536] {
        let layout = scan(&Memory::new(len)).unwrap();
        assert_eq!((layout.volumes.len(), layout.volumes[0].len), (1, len));
    }
}

#[test]
fn damaged_tables_never_panic_and_never_lead_out_of_the_disk() {
    let mut random = Random::new("damaged tables", 3);
    let gpt = gpt();
    let mbr = Disk::new(64);
    mbr.sfdisk(
        "label: dos\nsize=8M, type=83\nsize=30M, type=f\ndisk.img5 : size=3M, type=83\n\
         disk.img6 : size=3M, type=8e\n",
    );
    for disk in [&gpt, &mbr] {
        let len = 64 * MIB;
        // Only these bytes matter, and only they are kept: the start, the records, the end.
        let pristine = Memory::new(len);
        let mut places = Vec::new();
        for at in (0..len).step_by(MIB as usize).chain([len - 64 * 512]) {
            let piece = disk.read(at, 64 * 512);
            if piece.iter().any(|&byte| byte != 0) {
                pristine.write_at(at, &piece).unwrap();
                places.extend((0..64 * 512).filter(|n| piece[*n] != 0).map(|n| at + n as u64));
            }
        }
        for _ in 0..1500 {
            let mut undo = Vec::new();
            for _ in 0..1 + random.below(4) {
                let at = places[random.below(places.len() as u64) as usize];
                let mut byte = [0];
                pristine.read_at(at, &mut byte).unwrap();
                undo.push((at, byte));
                pristine.write_at(at, &[random.number() as u8]).unwrap();
                if random.below(4) == 0 {
                    // Half the time the checksum is made right again, to get past it.
                    mend(&pristine, &mut undo);
                }
            }
            if let Ok(layout) = scan(&pristine) {
                for volume in &layout.volumes {
                    assert!(volume.start.checked_add(volume.len).unwrap() <= len, "{volume:?}");
                }
            }
            for (at, byte) in undo.into_iter().rev() {
                pristine.write_at(at, &byte).unwrap();
            }
        }
    }
}

/// Makes the first GPT's checksums right, if there is one.
fn mend(disk: &Memory, undo: &mut Vec<(u64, [u8; 1])>) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut header = [0; 92];
    disk.read_at(512, &mut header).unwrap();
    if !header.starts_with(b"EFI PART") {
        return;
    }
    let mut entries = vec![0; 128 * 128];
    disk.read_at(1024, &mut entries).unwrap();
    header[88..92].copy_from_slice(&crc.checksum(&entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc.checksum(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    for n in (16..20).chain(88..92) {
        let mut byte = [0];
        disk.read_at(512 + n as u64, &mut byte).unwrap();
        undo.push((512 + n as u64, byte));
        disk.write_at(512 + n as u64, &header[n..=n]).unwrap();
    }
}
