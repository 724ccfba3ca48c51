//! How much memory the program takes, and where it puts what it has no room for.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::oracle::{e2fsck_clean, fsck_vfat_clean, succeed};
use crate::support::recipe::Part;
use crate::support::spec::Spec;
use crate::support::{debugfs, recipe};

const MIB: usize = 1 << 20;

/// What a run may take.
const MOST: u64 = 64 << 20;

/// What the journal holds: alone more than a run may take.
const LOGGED: usize = 80 * MIB;

/// Bytes of which no block is like another, or zero.
fn bytes(seed: u8) -> Vec<u8> {
    let block = |n: usize| [&n.to_le_bytes()[..], &[seed; 4088]].concat();
    (0..LOGGED / 4096).flat_map(block).collect()
}

fn debian() -> Spec {
    let mut spec = Spec::default();
    for directory in ["/etc", "/var", "/var/log"] {
        spec.directory(directory);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
    spec.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    spec.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    spec.file("/var/log/syslog", "a line\n");
    spec
}

/// A Debian whose journal holds every block of `/large`, to become `bytes(2)`.
fn unclean(dir: &Path) -> PathBuf {
    let mut spec = debian();
    spec.file("/large", bytes(1));
    let args = ["-t", "ext4", "-b", "4096", "-J", "size=128"];
    let image = recipe::ext4(dir, &mut spec, &args, 512 << 20);
    let said = debugfs::script(&image, false, &[b"blocks /large".to_vec()]);
    let blocks = String::from_utf8_lossy(&said[0]).into_owned();
    let blocks: Vec<u64> = blocks.split_whitespace().map(|it| it.parse().unwrap()).collect();
    assert_eq!(blocks.len(), LOGGED / 4096);
    let runs = blocks.chunk_by(|one, next| one + 1 == *next);
    let runs: Vec<_> = runs.map(|run| format!("{}-{}", run[0], run[run.len() - 1])).collect();
    let content = dir.join("content");
    fs::write(&content, bytes(2)).unwrap();
    let write = format!("jw -b {} {}", runs.join(","), content.display());
    debugfs::script(&image, true, &["jo -c -v 3", &write, "jc"].map(|it| it.as_bytes().to_vec()));
    image
}

/// Runs the program to its end; gives the most memory it was seen to hold, in bytes.
fn peak(program: &mut Command) -> u64 {
    let mut child = program.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // Gone from a process that has ended and is not waited for.
        let status = fs::read_to_string(&status).unwrap_or_default();
        let held = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = held.and_then(|it| it.trim().strip_suffix(" kB"));
        peak = held.map_or(peak, |it| it.trim().parse::<u64>().unwrap() << 10);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return peak;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn program(arguments: &[&str], image: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"));
    program.args(arguments).arg(image);
    program
}

#[test]
fn an_unclean_filesystem_is_sealed_in_little_memory_whatever_its_journal_holds() {
    let dir = tempfile::tempdir().unwrap();
    let image = unclean(dir.path());
    let folder = dir.path().join("images");
    fs::create_dir(&folder).unwrap();
    let output = folder.join("output.raw");
    let copied = peak(&mut program(&["seal", "--output", output.to_str().unwrap()], &image));
    let in_place = peak(&mut program(&["seal"], &image));
    for (peak, sealed) in [(copied, &output), (in_place, &image)] {
        println!("{}: {} MiB", sealed.display(), peak >> 20);
        assert!((4 << 20..MOST).contains(&peak), "{peak} bytes held");
        e2fsck_clean(sealed);
        let dump = dir.path().join("dump");
        let command = format!("dump /large {}", dump.display());
        succeed("debugfs", "e2fsprogs", &["-R", &command, sealed.to_str().unwrap()]);
        assert!(fs::read(&dump).unwrap() == bytes(2), "the journal was replayed");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing beside the new image");
}

#[test]
fn a_temporary_file_that_cannot_grow_leaves_the_image_and_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let image = unclean(dir.path());
    let before = fs::read(&image).unwrap();
    let folder = dir.path().join("images");
    fs::create_dir(&folder).unwrap();
    // In KiB: the image is longer, what is staged as well.
    let limited = format!("ulimit -f {}; exec \"$@\"", 40 << 10);
    let output = Command::new("bash")
        .args(["-c", &limited, "bash", env!("CARGO_BIN_EXE_sysprep-rs"), "seal"])
        .args([image.to_str().unwrap(), "--output", folder.join("output.raw").to_str().unwrap()])
        .stderr(File::create(dir.path().join("said")).unwrap())
        .output()
        .unwrap();
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert_eq!(output.status.signal(), None, "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    let folder_text = folder.display().to_string();
    for part in [&folder_text, "temporary file", "ulimit -f"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert!(fs::read(&image).unwrap() == before);
}

/// Most groups of the filesystem change, and each has a bitmap.
#[test]
fn a_file_of_most_of_a_large_filesystem_goes_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut debian(), &["-t", "ext4", "-b", "4096"], 1 << 40);
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let commands = [
        "cd /var/log".to_owned(),
        format!("write {} large.log", empty.display()),
        format!("fallocate large.log 0 {}", (900_u64 << 18) - 1),
    ];
    debugfs::script(&image, true, &commands.map(String::into_bytes));
    e2fsck_clean(&image);
    let peak = peak(&mut program(&["seal"], &image));
    println!("{} MiB", peak >> 20);
    assert!((4 << 20..MOST).contains(&peak), "{peak} bytes held");
    e2fsck_clean(&image);
    let said = succeed("dumpe2fs", "e2fsprogs", &["-h", image.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&said).into_owned();
    let free = said.lines().find_map(|line| line.strip_prefix("Free blocks:")).unwrap();
    assert!(free.trim().parse::<u64>().unwrap() > 1000 << 18, "the file is gone");
}

/// What a FAT filesystem holds of chains that belong to no file is freed a run at a time.
#[test]
fn a_fat_filesystem_of_lost_clusters_is_mended_in_little_memory() {
    const LOST: usize = 12 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut spec = debian();
    spec.directory("/boot");
    spec.file("/etc/fstab", "UUID=1234-ABCD /boot vfat defaults 0 2\n");
    let root = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 8 << 20);
    let args = ["-i", "1234ABCD", "-s", "1"];
    let boot = recipe::fat(dir.path(), &Spec::default(), 32, &args, 6656 << 20);
    let file = File::options().read(true).write(true).open(&boot).unwrap();
    let mut reserved = [0; 2];
    file.read_exact_at(&mut reserved, 14).unwrap();
    let table = u64::from(u16::from_le_bytes(reserved)) * 512;
    file.write_all_at(&0x0fff_ffff_u32.to_le_bytes().repeat(LOST), table + 400).unwrap();
    let parts = [
        Part { kind: "8300", name: "root", image: &root },
        Part { kind: "8300", name: "boot", image: &boot },
    ];
    let (image, starts) = recipe::gpt(dir.path(), &parts);
    let peak = peak(&mut program(&["seal"], &image));
    println!("{} MiB", peak >> 20);
    assert!((4 << 20..MOST).contains(&peak), "{peak} bytes held");
    let skip = format!("skip={}", starts[1] >> 20);
    let words = [&format!("if={}", image.display()), &format!("of={}", boot.display()), &skip];
    let mut words: Vec<&str> = words.map(String::as_str).to_vec();
    words.extend(["bs=1M", "count=6656", "conv=sparse"]);
    succeed("dd", "coreutils", &words);
    fsck_vfat_clean(&boot);
}

/// What a host's file holds is never in memory as a whole, whichever filesystem it goes to.
#[test]
fn a_large_file_of_the_host_comes_along_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = debian();
    spec.directory("/boot");
    spec.file("/etc/fstab", "UUID=1234-ABCD /boot vfat defaults 0 2\n");
    let root = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 256 << 20);
    let args = ["-i", "1234ABCD", "-s", "4"];
    let boot = recipe::fat(dir.path(), &Spec::default(), 32, &args, 200 << 20);
    let parts = [
        Part { kind: "8300", name: "root", image: &root },
        Part { kind: "8300", name: "boot", image: &boot },
    ];
    let (image, starts) = recipe::gpt(dir.path(), &parts);
    let (large, boots) = (dir.path().join("large"), dir.path().join("boots"));
    fs::write(&large, bytes(7)).unwrap();
    fs::write(&boots, bytes(8)).unwrap();
    let to_root = format!("--upload={}:/var", large.display());
    let to_boot = format!("--upload={}:/boot", boots.display());
    let peak = peak(&mut program(&["seal", &to_root, &to_boot], &image));
    println!("{} MiB", peak >> 20);
    assert!((4 << 20..MOST).contains(&peak), "{peak} bytes held");
    let part = |file: &Path, at: usize, mib: u64| {
        let skip = format!("skip={}", starts[at] >> 20);
        let (from, to) = (format!("if={}", image.display()), format!("of={}", file.display()));
        let count = format!("count={mib}");
        succeed("dd", "coreutils", &[&from, &to, &skip, &count, "bs=1M", "conv=sparse"]);
    };
    part(&root, 0, 256);
    e2fsck_clean(&root);
    let dump = dir.path().join("dump");
    let command = format!("dump /var/large {}", dump.display());
    succeed("debugfs", "e2fsprogs", &["-R", &command, root.to_str().unwrap()]);
    assert!(fs::read(&dump).unwrap() == bytes(7));
    part(&boot, 1, 200);
    fsck_vfat_clean(&boot);
    let words = ["-n", "-o", "-i", boot.to_str().unwrap(), "::boots", dump.to_str().unwrap()];
    succeed("mcopy", "mtools", &words);
    assert!(fs::read(&dump).unwrap() == bytes(8));
}
