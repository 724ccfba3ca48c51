//! Thousands of broken images: an error or success, never a panic, a hang, or a lot of memory.
//!
//! `SYSPREP_TEST_SEED` gives another seed, `SYSPREP_TEST_ROUNDS` multiplies the cases. A failure says
//! the seed of its case, which alone repeats it: the case is the mutation, not its place in the run.

mod allocator;
mod entries;
mod fuzz;
#[allow(unreachable_pub, reason = "the crate of the fuzz targets shows them")]
#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sysprep_rs::apply::redo::{Header, Sample, Writer};
use sysprep_rs::block::Memory;
use sysprep_rs::block::{ReadBlocks, WriteBlocks};
use sysprep_rs::fs::Timestamp;
use sysprep_rs::guest;
use sysprep_rs::image::{Access, Image, OpenOptions};
use sysprep_rs::operation::{Catalogue, Selection, Volumes};
use sysprep_rs::plan::{self, FilesystemFacts, FirstBoot, ImageFacts, Plan, PlanOptions};

use crate::conformance::drivers::driver;
use crate::support::disk::Disk;
use crate::support::marker::{content, target};
use crate::support::random::{Random, rounds, seed};
use crate::support::recipe::{self, Part};
use crate::support::spec::{Body, Spec, path};
use crate::support::{debugfs, oracle};

/// How long one case may take. Cases take milliseconds; a loaded host gets some grace.
const TIME: Duration = Duration::from_secs(10);

/// How much memory one case may hold at once.
const MEMORY: usize = 256 << 20;

/// Runs `count` cases, each from its own seed, watched.
fn cases(what: &str, count: usize, case: impl Fn(&mut Random) + Send + 'static) {
    let first = seed(1);
    let single = std::env::var_os("SYSPREP_TEST_SEED").is_some() && rounds(1) == 1;
    let count = if single { 1 } else { rounds(count) };
    let (report, results) = mpsc::channel();
    thread::spawn(move || {
        for number in 0..count as u64 {
            let mut random = Random::new(first + number);
            let (result, peak) =
                allocator::peak_of(|| catch_unwind(AssertUnwindSafe(|| case(&mut random))));
            if report.send((number, result.is_err(), peak)).is_err() {
                return;
            }
        }
    });
    let mut failures = Vec::new();
    for number in 0..count as u64 {
        let repeat = format!("{what}: SYSPREP_TEST_SEED={}", first + number);
        match results.recv_timeout(TIME) {
            Ok((_, true, _)) => failures.push(format!("{repeat}: panicked (see above)")),
            Ok((_, _, peak)) if peak > MEMORY => {
                failures.push(format!("{repeat}: held {} MiB", peak >> 20));
            }
            Ok(_) => {}
            Err(_) => panic!("{repeat}: took over {TIME:?}; before it: {failures:#?}"),
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures: {:#?}",
        failures.len(),
        &failures[..failures.len().min(10)]
    );
}

/// Where a mutation goes: ranges of the disk, and how likely each is.
struct Places(Vec<(u64, u64)>);

impl Places {
    /// Everything that is not zeroes, in pieces of 1 KiB, with `more` beside it.
    fn of(disk: &Disk, more: &[(u64, u64)]) -> Self {
        let mut places = Vec::new();
        disk.stored(|at, bytes| {
            for (index, piece) in bytes.chunks(1024).enumerate() {
                if piece.iter().any(|&byte| byte != 0) {
                    places.push((at + index as u64 * 1024, piece.len() as u64));
                }
            }
        });
        let extra = places.len().div_ceil(4 * more.len().max(1));
        for &place in more {
            places.extend(std::iter::repeat_n(place, extra));
        }
        Self(places)
    }
}

/// A few changes in interesting places.
fn mutate(disk: &Disk, places: &Places, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let &(start, len) = random.pick(&places.0);
        let at = start + random.below(len as usize) as u64;
        let room = (disk.len() - at).min(8) as usize;
        let mut bytes = [0; 8];
        disk.read_at(at, &mut bytes[..room]).unwrap();
        let put = |at: u64, bytes: &[u8]| {
            let room = disk.len().saturating_sub(at).min(bytes.len() as u64) as usize;
            disk.write_at(at, &bytes[..room]).unwrap();
        };
        match random.below(10) {
            0..3 => put(at, &[bytes[0] ^ 1 << random.below(8)]),
            3 => put(at, &[*random.pick(&[0, 1, 0x7f, 0x80, 0xff])]),
            4 => put(
                at & !1,
                &[0u16, 1, 2, 0xff00, 0xffff, 0x7fff][random.below(6)].to_le_bytes()[..2],
            ),
            5 | 6 => {
                let near = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let values = [
                    0,
                    1,
                    u32::MAX,
                    i32::MAX as u32,
                    near.wrapping_add(1),
                    near.wrapping_sub(1),
                    near.wrapping_mul(2),
                    (disk.len() / 1024) as u32,
                    (at / 1024) as u32,
                    random.below(64) as u32,
                ];
                let value = *random.pick(&values);
                let bytes =
                    if random.one_in(8) { value.to_be_bytes() } else { value.to_le_bytes() };
                put(at & !3, &bytes);
            }
            7 => put(
                at & !7,
                &random.pick(&[0u64, u64::MAX, 1 << 63, 1 << 40, 1 << 32]).to_le_bytes(),
            ),
            8 => {
                // Bytes of one place in another.
                let &(from, len) = random.pick(&places.0);
                let mut piece = vec![0; len.min(1 << random.below(11)) as usize];
                disk.read_at(from, &mut piece).unwrap();
                put(start, &piece);
            }
            _ => {
                let filler = vec![*random.pick(&[0, 0xff]); 1 << random.below(10)];
                put(at, &filler);
            }
        }
    }
}

fn small_tree(unix: bool) -> Spec {
    let mut spec = Spec::default();
    for dir in ["/etc", "/etc/ssh", "/var", "/var/log"] {
        spec.directory(dir);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
    spec.file("/etc/fstab", "UUID=0 / ext4 defaults 0 1\n");
    spec.file("/etc/tiny", "tiny");
    spec.file("/var/log/syslog", content(1, 60_000));
    for number in 0..60 {
        spec.file(&format!("/etc/ssh/a long name of a key {number}"), content(number, 20));
    }
    let mut comb = vec![0; 40 * 2048];
    for tooth in comb.chunks_mut(2048) {
        tooth[..1024].copy_from_slice(&content(3, 1024));
    }
    spec.file("/var/comb", comb);
    if unix {
        let item = spec.file("/etc/shadow", "x");
        item.xattrs.insert("user.a".to_owned(), content(4, 30));
        item.xattrs.insert("user.big".to_owned(), content(5, 500));
        spec.symlink("/etc/short", "tiny");
        spec.symlink("/etc/long", target(6, 300));
        spec.add(path("/etc/twin"), Body::HardLink(path("/etc/tiny")));
    }
    spec
}

fn ext4(what: &'static str, args: &[&str], mib: u64, dirty: bool, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut small_tree(true), args, mib << 20);
    if dirty {
        // A transaction that was committed to the journal and not yet written home.
        let block = dir.path().join("block");
        std::fs::write(&block, [b'j'; 4096]).unwrap();
        let write = format!("journal_write -b 3000,3001,3002 {}", block.display());
        let commands = [b"journal_open -c".to_vec(), write.into_bytes(), b"journal_close".to_vec()];
        debugfs::script(&image, true, &commands);
    }
    let base = Disk::from_file(&image);
    let places = Places::of(&base, &[(1024, 264), (1024 + 88, 40), (2048, 128), (4096, 128)]);
    cases(what, count, move |random| {
        let disk = Disk::clone(&base);
        mutate(&disk, &places, random);
        entries::filesystem(driver("ext4"), Arc::new(disk));
    });
}

#[test]
fn ext2_without_checksums() {
    ext4("ext2", &["-t", "ext2", "-b", "1024", "-N", "128"], 4, false, 1500);
}

#[test]
fn ext4_without_checksums() {
    let features = "^metadata_csum,^uninit_bg,inline_data,ea_inode";
    ext4("ext4", &["-t", "ext4", "-b", "1024", "-N", "128", "-O", features], 8, false, 2000);
}

#[test]
fn ext4_with_checksums() {
    ext4("ext4 checksums", &["-t", "ext4", "-b", "1024", "-N", "128"], 8, false, 700);
}

#[test]
fn ext4_bigalloc() {
    let features = "^metadata_csum,^uninit_bg,bigalloc";
    ext4("bigalloc", &["-t", "ext4", "-b", "1024", "-N", "128", "-O", features], 16, false, 500);
}

#[test]
fn ext4_with_a_dirty_journal() {
    let args = ["-t", "ext4", "-b", "1024", "-N", "128", "-O", "^metadata_csum,^uninit_bg"];
    ext4("dirty journal", &args, 8, true, 1200);
}

fn fat(what: &'static str, bits: u8, mib: u64, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::fat(dir.path(), &small_tree(false), bits, &[], mib << 20);
    let base = Disk::from_file(&image);
    let places = Places::of(&base, &[(0, 90), (0, 90), (512, 64)]);
    cases(what, count, move |random| {
        let disk = Disk::clone(&base);
        mutate(&disk, &places, random);
        entries::filesystem(driver("vfat"), Arc::new(disk));
    });
}

#[test]
fn fat_12_and_16() {
    fat("FAT12", 12, 2, 800);
    fat("FAT16", 16, 20, 800);
}

#[test]
fn fat_32() {
    fat("FAT32", 32, 34, 500);
}

#[test]
fn partition_tables() {
    let dir = tempfile::tempdir().unwrap();
    let root =
        recipe::ext4(dir.path(), &mut small_tree(true), &["-t", "ext2", "-N", "128"], 2 << 20);
    let esp = recipe::fat(dir.path(), &small_tree(false), 12, &[], 2 << 20);
    let parts = [
        Part { kind: "8300", name: "root", image: &root },
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8300", name: "twin", image: &root },
    ];
    let (gpt, _) = recipe::gpt(dir.path(), &parts);
    let gpt = Disk::from_file(&gpt);
    let len = gpt.len();
    let parts = parts.map(|part| Part { kind: "83", ..part });
    let (mbr, starts) = recipe::mbr(dir.path(), &parts);
    let mbr = Disk::from_file(&mbr);
    let heads = [(0, 512), (440, 72), (512, 92), (1024, 384), (len - 512, 92), (len - 16_896, 384)];
    let logical: Vec<(u64, u64)> =
        starts.iter().skip(1).map(|start| (start - (1 << 20) + 440, 72)).collect();
    let gpt_places = Places(heads.to_vec());
    let mbr_places = Places([&[(440, 72)][..], &logical].concat());
    cases("partition tables", 1500, move |random| {
        let (base, places) =
            if random.one_in(2) { (&gpt, &gpt_places) } else { (&mbr, &mbr_places) };
        let disk = Disk::clone(base);
        mutate(&disk, places, random);
        entries::disk(Arc::new(disk));
    });
}

#[test]
fn guests_on_broken_filesystems() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-b", "1024", "-N", "128", "-O", "^metadata_csum,^uninit_bg"];
    let image = recipe::ext4(dir.path(), &mut small_tree(true), &args, 8 << 20);
    let base = Disk::from_file(&image);
    let places = Places::of(&base, &[]);
    cases("guests", 700, move |random| {
        let disk = Disk::clone(&base);
        mutate(&disk, &places, random);
        entries::disk(Arc::new(disk));
    });
}

#[test]
fn qcow2_files() {
    let dir = tempfile::tempdir().unwrap();
    let root =
        recipe::ext4(dir.path(), &mut small_tree(true), &["-t", "ext2", "-N", "128"], 4 << 20);
    let mut bases = Vec::new();
    for (index, args) in [
        &["-O", "qcow2", "-o", "cluster_size=4096"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-o", "compat=0.10,cluster_size=512"],
        &["-O", "qcow2", "-o", "extended_l2=on"],
        &["-O", "qcow2", "-o", "refcount_bits=1,cluster_size=8192"],
    ]
    .into_iter()
    .enumerate()
    {
        let file = dir.path().join(format!("{index}.qcow2"));
        oracle::qemu_img_convert(&root, "raw", &file, args);
        let disk = Disk::from_file(&file);
        // The header and the tables, which lie at the start.
        let places =
            Places::of(&disk, &[(0, 112), (4096, 64), (0x10000, 64), (0x20000, 64), (0x30000, 64)]);
        let places = places.0.into_iter().filter(|&(at, len)| at + len <= disk.len()).collect();
        bases.push((disk, Places(places)));
    }
    let file = dir.path().join("case.qcow2");
    cases("qcow2", 800, move |random| {
        let (base, places) = random.pick(&bases);
        let disk = Disk::clone(base);
        mutate(&disk, places, random);
        disk.save(&file);
        entries::qcow2(&file);
    });
    drop(dir);
}

/// Changes to a text or a byte string.
fn garble(bytes: &mut Vec<u8>, random: &mut Random, words: &[&str]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => {
                let word = random.pick(words).as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
            1 => bytes.truncate(at),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => {
                let from = random.below(bytes.len() + 1);
                let piece = bytes[from..(from + random.below(60)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let to = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..to);
            }
        }
    }
}

#[test]
fn operation_files() {
    let mut texts: Vec<Vec<u8>> = vec![
        b"name: x\nsummary: X.\nwhy: Y.\nclass: log\nsteps:\n  - remove: [\"/var/log/*\"]\n"
            .to_vec(),
    ];
    let mut dirs = vec![std::path::PathBuf::from("operations")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let at = entry.unwrap().path();
            if at.is_dir() {
                dirs.push(at);
            } else {
                texts.push(std::fs::read(at).unwrap());
            }
        }
    }
    texts.sort();
    let words = [
        "[",
        "]",
        "{",
        "}",
        "*a",
        "&a ",
        "!!str ",
        "<<: *a",
        "- ",
        ": ",
        "\n",
        "\t",
        "'",
        "\"",
        "|",
        "\\x00",
        "**/**/**",
        "[a-",
        "(((((",
        "(a*)*",
        "{1,99999}",
        "name: ",
        "99999999999999999999",
        "\u{feff}",
        "~",
        "&a [*a,*a,*a,*a]",
        "? ",
        "---\n",
    ];
    cases("operation files", 3000, move |random| {
        let mut bytes = random.pick(&texts).clone();
        garble(&mut bytes, random, &words);
        targets::operation(&bytes);
    });
    // Depth and anchors that grow without bound.
    entries::operation(&"[".repeat(100_000));
    entries::operation(&format!("name: {}", "{a: ".repeat(50_000)));
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        let refs = format!("*a{},", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    let ((), peak) = allocator::peak_of(|| entries::operation(&bomb));
    assert!(peak < MEMORY, "aliases grew to {} MiB", peak >> 20);
}

/// The plan of the image that the repository carries.
fn fixture_plan() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images/debian-mini.qcow2");
    let image = Image::open(&path, &OpenOptions::default(), Access::Audit).unwrap();
    let disk = guest::Disk::open(image.disk()).unwrap();
    let guests = disk.guests().unwrap();
    let options = PlanOptions {
        image: ImageFacts {
            format: "qcow2".to_owned(),
            virtual_size: image.virtual_size(),
            disk_uuid: disk.layout.disk_uuid.clone(),
        },
        now: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        keep_free_space: false,
        first_boot: FirstBoot::Auto,
        filesystems: FilesystemFacts::of(&disk),
        volumes: Volumes::default(),
    };
    let catalogue = Catalogue::embedded().unwrap();
    let operations = catalogue.select(&Selection::default()).unwrap();
    plan::plan(&guests, &operations, &options).unwrap().to_json().unwrap()
}

#[test]
fn plan_files() {
    let text = fixture_plan();
    assert!(Plan::from_json(&text).is_ok());
    let text = text.into_bytes();
    let words = [
        "{",
        "}",
        "[",
        "]",
        "null",
        "-1",
        "1e999",
        "\"\\ud800\"",
        "\"",
        "18446744073709551616",
        ":",
        ",",
    ];
    cases("plan files", 3000, move |random| {
        let mut bytes = text.clone();
        garble(&mut bytes, random, &words);
        targets::plan(&bytes);
    });
    entries::plan(&"[".repeat(1_000_000));
    entries::plan(&"{\"a\":".repeat(1_000_000));
}

#[test]
fn redo_logs() {
    let before = Memory::from_bytes(vec![1; 10_000]);
    let samples = vec![Sample::of(0, &[1; 5])];
    let header = Header { len_before: 10_000, len_after: 1 << 20, zeroed: 5000, samples };
    let mut log = Vec::new();
    let mut sink = |bytes: &[u8]| {
        log.extend_from_slice(bytes);
        Ok(())
    };
    let mut writer = Writer::new(&mut sink, &header).unwrap();
    writer.bytes(&before, 5, b"hello").unwrap();
    writer.zero(&before, 100, 5000).unwrap();
    writer.bytes(&before, 8192, &[9; 3000]).unwrap();
    let trailer = writer.finish().unwrap();
    log.extend_from_slice(&trailer);
    cases("redo logs", 2000, move |random| {
        let mut bytes = log.clone();
        if random.one_in(3) {
            garble(&mut bytes, random, &["\0\0\0\0\0\0\0\0"]);
        } else {
            // Whole fields, also in the header and the trailer.
            for _ in 0..=random.below(2) {
                let end = if random.one_in(2) { 200 } else { bytes.len() - 8 };
                let start = if end == 200 || random.one_in(2) { 0 } else { bytes.len() - 120 };
                let at = start + random.below(end - start);
                let value = *random.pick(&[0, 1, u64::MAX, 1 << 62, 5, 10_001]);
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        targets::redo(&bytes);
    });
}
