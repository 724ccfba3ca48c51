//! Dirty journals, made by debugfs, judged by e2fsck.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::block::{Overlay, ReadBlocks, WriteBlocks};
use sysprep_rs::fs::ext4::journal::{self, JournalArea, Replayed};
use sysprep_rs::fs::ext4::superblock::Superblock;
use sysprep_rs::fs::{FsError, ReadFs};

use super::{device, open};
use crate::recipes::everything;
use crate::support::disk::Disk;
use crate::support::oracle::{self, run};
use crate::support::random::Random;
use crate::support::snapshot::{assert_same, of_fs};
use crate::support::{debugfs, recipe};

const MIB: u64 = 1 << 20;
/// What a block of the journal starts with, so that a block of content that does is escaped.
const MAGIC: [u8; 4] = [0xc0, 0x3b, 0x39, 0x98];

/// Leaves transactions in the journal: some blocks twice, some revoked, some escaped, the last
/// one without its commit. `options` are those of debugfs's `journal_open`. Gives how many
/// transactions are whole.
pub(super) fn make_dirty(image: &Path, dir: &Path, options: &[&str]) -> u32 {
    let (free, block_size) = oracle::free_blocks(image);
    let (first, last) = *free.iter().max_by_key(|(first, last)| last - first).unwrap();
    assert!(last - first > 400);
    let mut random = Random::new(first);
    let mut file = |blocks: usize| {
        let mut bytes: Vec<u8> = Vec::new();
        for block in 0..blocks {
            let mut content: Vec<u8> =
                (0..block_size / 8).flat_map(|_| random.next().to_le_bytes()).collect();
            if block % 3 == 0 {
                content[..4].copy_from_slice(&MAGIC);
            }
            bytes.extend(content);
        }
        let path = dir.join(format!("blocks-{}", random.next()));
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let list = |from: u64, count: u64, step: u64| {
        (0..count).map(|n| (first + from + n * step).to_string()).collect::<Vec<_>>().join(",")
    };
    // Without metadata_csum debugfs makes checksums of v1, and counts revocations in, which
    // neither the kernel nor e2fsck does.
    let sums = Superblock::read(&*device(image)).unwrap().metadata_csum();
    let revoke = sums || !options.contains(&"-c");
    let mut commands = vec![format!("jo {}", options.join(" ")).trim_end().to_owned()];
    commands.push(format!("jw -b {} {}", list(0, 200, 1), file(200)));
    if revoke {
        commands.push(format!("jw -r {}", list(0, 100, 3)));
    }
    commands.push(format!("jw -b {} {}", list(10, 20, 2), file(20)));
    if revoke {
        // In a transaction of its own: debugfs would write it over the one before.
        commands.push(format!("jw -r {}", list(150, 30, 1)));
    }
    commands.push(format!("jw -b {} {}", list(300, 5, 1), file(5)));
    commands.push(format!("jw -b {} {}", list(100, 30, 3), file(30)));
    let whole = commands.len() - 1;
    commands.push(format!("jw -b {} -c {}", list(5, 5, 1), file(5)));
    commands.push("jc".to_owned());
    debugfs::script(image, true, &commands.into_iter().map(String::into_bytes).collect::<Vec<_>>());
    whole as u32
}

fn replay_to(image: &Path, out: &Path) -> Option<Replayed> {
    let overlay = Arc::new(Overlay::new(device(image)));
    let writable: Arc<dyn WriteBlocks> = Arc::<Overlay>::clone(&overlay);
    let replayed = journal::replay(&writable).unwrap();
    let mut bytes = vec![0; overlay.len() as usize];
    overlay.read_at(0, &mut bytes).unwrap();
    fs::write(out, bytes).unwrap();
    replayed
}

/// The bytes in which two images differ, but for what e2fsck counts in the superblock.
fn different_bytes(one: &Path, two: &Path) -> Vec<usize> {
    let (mut one, mut two) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    for bytes in [&mut one, &mut two] {
        // s_wtime, s_kbytes_written, and the checksum over them.
        bytes[1024 + 0x30..1024 + 0x34].fill(0);
        bytes[1024 + 0x178..1024 + 0x180].fill(0);
        bytes[1024 + 0x3fc..1024 + 0x400].fill(0);
    }
    assert_eq!(one.len(), two.len());
    (0..one.len()).filter(|&at| one[at] != two[at]).collect()
}

#[test]
fn a_replay_leaves_the_bytes_that_e2fsck_leaves() {
    let args = [
        &["-t", "ext4", "-b", "1024"][..],
        &["-t", "ext4", "-b", "4096"],
        &["-t", "ext4", "-b", "1024", "-O", "^64bit"],
        &["-t", "ext3", "-b", "1024"],
    ];
    for args in args {
        for options in [&[][..], &["-c"], &["-c", "-v", "2"], &["-c", "-v", "3"]] {
            let dir = tempfile::tempdir().unwrap();
            let image = recipe::ext4(dir.path(), &mut everything(), args, 16 * MIB);
            let clean = of_fs(&open(&image)).unwrap();
            let whole = make_dirty(&image, dir.path(), options);
            let what = format!("{args:?} {options:?}");

            let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
            fs::copy(&image, &theirs).unwrap();
            let output =
                run("e2fsck", "e2fsprogs", &["-y", "-E", "journal_only", theirs.to_str().unwrap()]);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{what}: {output:?}");
            let replayed = replay_to(&image, &ours).unwrap();
            // Without 64bit, debugfs counts the tags of v2 wrongly: e2fsck finds nothing whole either.
            let miscounted = args.contains(&"^64bit") && options.contains(&"2");
            assert_eq!(replayed.transactions, if miscounted { 0 } else { whole }, "{what}");
            assert!(miscounted || replayed.blocks > 100, "{what}: {replayed:?}");
            assert_eq!(different_bytes(&theirs, &ours), Vec::<usize>::new(), "{what}");
            assert!(miscounted || different_bytes(&image, &ours).len() > 1000, "{what}");
            oracle::e2fsck_clean(&ours);

            // Opened for reading, the image is as it is after the replay.
            let dirty = open(&image);
            assert!(dirty.info().dirty);
            assert_same(&what, &clean, &of_fs(&dirty).unwrap());
            assert_eq!(replay_to(&ours, &theirs), None);
        }
    }
}

#[test]
fn what_was_logged_is_seen_before_it_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let image =
        recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4", "-b", "1024"], 16 * MIB);
    // A changed block of a directory goes through the journal.
    let said = debugfs::script(&image, false, &[b"bmap /etc/owned 1".to_vec()]);
    let block = String::from_utf8_lossy(&said[0]).trim().to_owned();
    let data = dir.path().join("data");
    fs::write(&data, [b'J'; 1024]).unwrap();
    let commands = ["jo".to_owned(), format!("jw -b {block} {}", data.display()), "jc".to_owned()];
    debugfs::script(&image, true, &commands.map(String::into_bytes));
    let fs = open(&image);
    let mut bytes = [0; 1024];
    let owned = super::node(&fs, "/etc/owned");
    assert_eq!(fs.read_at(owned, 1024, &mut bytes).unwrap(), 1024);
    assert_eq!(bytes, [b'J'; 1024]);
}

/// Moves the log within the journal so that it goes round its end.
#[test]
fn a_log_that_goes_round_is_replayed_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let image =
        recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4", "-b", "1024"], 16 * MIB);
    make_dirty(&image, dir.path(), &[]);
    let (straight, round) = (dir.path().join("straight"), dir.path().join("round"));
    replay_to(&image, &straight).unwrap();

    let superblock = Superblock::read(&*device(&image)).unwrap();
    let area = JournalArea::open(&device(&image), &superblock).unwrap().unwrap();
    let [run] = area.runs() else { panic!("mke2fs makes a journal in one piece") };
    let (at, len) = (run.physical as usize * 1024, run.blocks as usize);
    let mut bytes = fs::read(&image).unwrap();
    let log = bytes[at + 1024..at + len * 1024].to_vec();
    let shift = (len - 1 - 50) * 1024;
    for (number, block) in log.chunks(1024).enumerate() {
        let to = at + 1024 + (number * 1024 + shift) % log.len();
        bytes[to..to + 1024].copy_from_slice(block);
    }
    // s_start was 1.
    let start = at + 0x1c;
    assert_eq!(bytes[start..start + 4], 1_u32.to_be_bytes());
    bytes[start..start + 4].copy_from_slice(&((1 + shift / 1024) as u32).to_be_bytes());
    let moved = dir.path().join("moved");
    fs::write(&moved, bytes).unwrap();

    assert_eq!(replay_to(&moved, &round).unwrap().transactions, 6);
    // All but the journal itself is the same.
    let differ = different_bytes(&straight, &round);
    let journal = at..at + len * 1024;
    assert!(differ.iter().all(|byte| journal.contains(byte)));
    oracle::e2fsck_clean(&round);
}

#[test]
fn damage_in_a_checksummed_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let image =
        recipe::ext4(dir.path(), &mut everything(), &["-t", "ext4", "-b", "1024"], 16 * MIB);
    make_dirty(&image, dir.path(), &["-c", "-v", "3"]);
    let superblock = Superblock::read(&*device(&image)).unwrap();
    let area = JournalArea::open(&device(&image), &superblock).unwrap().unwrap();
    let log = area.runs()[0].physical * 1024;
    let disk = Disk::from_file(&image);
    // A descriptor, a block of content that was not revoked, the journal's superblock.
    for at in [log + 1024 + 40, log + 3 * 1024 + 7, log + 0x20] {
        let copy = disk.clone();
        let mut byte = [0];
        copy.read_at(at, &mut byte).unwrap();
        copy.write_at(at, &[byte[0] ^ 1]).unwrap();
        let copy: Arc<dyn ReadBlocks> = Arc::new(copy);
        let result = sysprep_rs::fs::ext4::open(copy).map(|_| ());
        assert!(matches!(result, Err(FsError::Corrupt(_))), "byte {at}: {result:?}");
    }
}

#[test]
fn fast_commits_that_go_on_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-t", "ext4", "-b", "1024", "-O", "fast_commit"];
    let image = recipe::ext4(dir.path(), &mut everything(), &args, 16 * MIB);
    make_dirty(&image, dir.path(), &[]);
    let superblock = Superblock::read(&*device(&image)).unwrap();
    let area = |image: &Path| JournalArea::open(&device(image), &superblock).unwrap().unwrap();
    // What a kernel does when it first mounts: the journal has the feature, too.
    let at = area(&image).runs()[0].physical * 1024 + 0x28;
    let mut bytes = fs::read(&image).unwrap();
    bytes[at as usize + 3] |= 0x20;
    fs::write(&image, bytes).unwrap();
    let fs = open(&image);
    assert!(fs.info().dirty);
    let area = area(&image);
    let journal = area.superblock();
    assert!(journal.end() < journal.total_blocks(), "it has an area for fast commits");
    let at = (area.runs()[0].physical + u64::from(journal.end()) + 1) * 1024;
    let next = journal.sequence() + 6;
    for (tid, refused) in [(next - 1, false), (next, true)] {
        let disk = Disk::from_file(&image);
        let head = [&[9, 0, 8, 0, 0, 0, 0, 0][..], &tid.to_le_bytes()].concat();
        disk.write_at(at, &head).unwrap();
        let result = sysprep_rs::fs::ext4::open(Arc::new(disk));
        match result {
            Err(FsError::Unsupported(what)) => assert!(refused && what.contains("fast_commit")),
            other => assert!(!refused && other.is_ok()),
        }
    }
}

#[test]
fn a_wiped_journal_holds_nothing_and_is_valid() {
    for args in
        [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext4"], &["-t", "ext3"], &["-t", "ext2"]]
    {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut everything(), args, 16 * MIB);
        let has_journal = !args.contains(&"ext2");
        if has_journal {
            make_dirty(&image, dir.path(), &["-c"]);
        }
        let overlay: Arc<dyn WriteBlocks> = Arc::new(Overlay::new(device(&image)));
        if has_journal {
            assert!(journal::wipe(&overlay).is_err(), "it has to be replayed first");
        }
        journal::replay(&overlay).unwrap();
        let wiped = journal::wipe(&overlay).unwrap();
        assert_eq!(wiped > 0, has_journal);
        let mut bytes = vec![0; overlay.len() as usize];
        overlay.read_at(0, &mut bytes).unwrap();
        let out = dir.path().join("out");
        fs::write(&out, &bytes).unwrap();
        oracle::e2fsck_clean(&out);
        if !has_journal {
            continue;
        }
        let superblock = Superblock::read(&*device(&out)).unwrap();
        let area = JournalArea::open(&device(&out), &superblock).unwrap().unwrap();
        for run in area.runs() {
            let block_size = superblock.block_len();
            let at = run.physical as usize * block_size;
            let log = &bytes[at..at + run.blocks as usize * block_size];
            let log = if run.logical == 0 { &log[1024..] } else { log };
            assert!(log.iter().all(|&byte| byte == 0));
        }
        // And it can be written to again.
        let whole = make_dirty(&out, dir.path(), &["-c"]);
        assert_eq!(replay_to(&out, &image).unwrap().transactions, whole);
        oracle::e2fsck_clean(&image);
    }
}
