//! The program itself, killed while it seals, at instants that nothing chooses.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::support::oracle::{e2fsck_clean, qemu_img_check, qemu_img_convert};
use crate::support::spec::Spec;
use crate::support::{random, recipe};

/// How often each image's seal is killed: a second or two's worth.
const KILLS: usize = 12;

const LEN: u64 = 6 << 20;

fn guest(dir: &Path) -> PathBuf {
    let mut spec = Spec::default();
    for directory in ["/etc", "/etc/ssh", "/var", "/var/log", "/tmp"] {
        spec.directory(directory);
    }
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\nNAME=Debian\n");
    spec.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    spec.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    spec.file("/etc/ssh/ssh_host_rsa_key", "a key");
    for number in 0..40 {
        spec.file(&format!("/tmp/{number}"), vec![b'x'; 20_000]);
        spec.file(&format!("/var/log/{number}.log"), vec![b'y'; 9000]);
    }
    recipe::ext4(dir, &mut spec, &["-t", "ext4"], LEN)
}

fn program(command: &str, image: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"));
    program.arg(command).arg(image).env("SOURCE_DATE_EPOCH", "1700000000").stdout(Stdio::null());
    program
}

fn judge(image: &Path, is_qcow2: bool) {
    let alone = image.with_file_name("alone");
    if is_qcow2 {
        qemu_img_check(image);
        qemu_img_convert(image, "qcow2", &alone, &["-O", "raw"]);
    } else {
        fs::copy(image, &alone).unwrap();
    }
    e2fsck_clean(&alone);
    fs::remove_file(&alone).unwrap();
}

#[test]
fn the_program_killed_at_any_instant_leaves_the_old_image_or_the_new_one() {
    let seed = random::seed(1);
    println!("seed {seed}");
    let mut random = Random::new("the program killed", seed);
    for is_qcow2 in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let made = guest(dir.path());
        let folder = dir.path().join("images");
        fs::create_dir(&folder).unwrap();
        let image = folder.join("image");
        let log = folder.join(".image.sysprep-redo");
        if is_qcow2 {
            qemu_img_convert(&made, "raw", &image, &["-O", "qcow2"]);
        } else {
            fs::copy(&made, &image).unwrap();
        }
        let old = fs::read(&image).unwrap();
        judge(&image, is_qcow2);
        let started = Instant::now();
        assert!(program("seal", &image).status().unwrap().success());
        let took = started.elapsed();
        let new = fs::read(&image).unwrap();
        assert!(old != new);
        // What is byte for byte one of the two is as sound as it is.
        judge(&image, is_qcow2);

        let (mut olds, mut news, mut logs) = (0, 0, 0);
        for kill in 0..KILLS {
            fs::write(&image, &old).unwrap();
            let mut seal = program("seal", &image).spawn().unwrap();
            let part = random.below(1000) as u32;
            if kill % 2 == 0 {
                std::thread::sleep(took * 11 / 10 * part / 1000);
            } else {
                // From the log's appearance on: most of a run is before it.
                let deadline = Instant::now() + Duration::from_secs(30);
                while !log.exists() && seal.try_wait().unwrap().is_none() {
                    assert!(Instant::now() < deadline, "no log, and no end");
                    std::thread::sleep(Duration::from_micros(50));
                }
                std::thread::sleep(took / 4 * part / 1000 * u32::from(kill % 4 == 3));
            }
            // It may have ended by itself.
            let _ = seal.kill();
            let status = seal.wait().unwrap();
            let context = format!("seed {seed}, kill {kill}, {status}, qcow2: {is_qcow2}");
            assert!(status.success() || status.signal() == Some(9), "{context}");
            logs += usize::from(log.exists());
            assert!(program("recover", &image).status().unwrap().success(), "{context}");
            assert!(!log.exists(), "{context}");
            let found = fs::read(&image).unwrap();
            if found == new {
                news += 1;
            } else {
                assert!(found == old && !status.success(), "{context}: neither old nor new");
                olds += 1;
            }
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{context}");
        }
        println!("{olds} old, {news} new, {logs} with a log; a seal took {took:?}");
        assert!(olds > 0 && logs > 0, "{olds} old, {news} new, {logs} with a log");
    }
}

/// Stopped while it commits, it finds a directory in the log's place when it goes on.
#[test]
fn a_sealed_image_whose_log_stays_is_sealed_and_the_exit_code_says_that_something_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let made = guest(dir.path());
    let folder = dir.path().join("images");
    fs::create_dir(&folder).unwrap();
    let (image, moved) = (folder.join("image"), dir.path().join("log"));
    let log = folder.join(".image.sysprep-redo");
    let signal = |process: &std::process::Child, signal| {
        let id = rustix::process::Pid::from_child(process);
        rustix::process::kill_process(id, signal).unwrap();
    };
    let mut tries = 0;
    let said = loop {
        tries += 1;
        assert!(tries < 50, "the log was never seen in time");
        fs::copy(&made, &image).unwrap();
        let mut seal = program("seal", &image).stderr(Stdio::piped()).spawn().unwrap();
        while !log.exists() && seal.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
        if seal.try_wait().unwrap().is_none() {
            signal(&seal, rustix::process::Signal::STOP);
            if fs::rename(&log, &moved).is_ok() {
                fs::create_dir(&log).unwrap();
            }
            signal(&seal, rustix::process::Signal::CONT);
        }
        let output = seal.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => assert!(!log.exists()),
            Some(3) => break String::from_utf8(output.stderr).unwrap(),
            // It was stopped before the image was touched: its log's name was not its own.
            _ => fs::remove_dir(&log).unwrap(),
        }
    };
    assert_eq!(said.lines().count(), 1, "{said}");
    let recover = format!("'sysprep-rs recover {}' does that", image.display());
    for part in ["the image is sealed, but its redo log could not be removed", &recover] {
        assert!(said.contains(part), "{part}: {said}");
    }
    judge(&image, false);
    fs::remove_dir(&log).unwrap();
    fs::rename(&moved, &log).unwrap();
    let sealed = fs::read(&image).unwrap();
    assert!(program("recover", &image).status().unwrap().success());
    assert!(!log.exists() && fs::read(&image).unwrap() == sealed);
}

/// What a signal leaves of a new file: nothing, or all of it under its name.
#[test]
fn a_new_file_that_a_signal_cuts_short_leaves_nothing() {
    let seed = random::seed(1);
    println!("seed {seed}");
    let mut random = Random::new("a new file cut short", seed);
    let dir = tempfile::tempdir().unwrap();
    let image = guest(dir.path());
    let folder = dir.path().join("new");
    fs::create_dir(&folder).unwrap();
    let output = folder.join("sealed.qcow2");
    let seal = || {
        let mut seal = program("seal", &image);
        seal.arg("--force").arg("--output").arg(&output);
        seal
    };
    let nameless = fs::OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::TMPFILE.bits() as i32)
        .open(&folder);
    nameless.expect("files without a name where the tests' files are: set TMPDIR");
    let started = Instant::now();
    assert!(seal().status().unwrap().success());
    let took = started.elapsed();
    let new = fs::read(&output).unwrap();
    let (mut cut, mut whole) = (0, 0);
    for (replaces, signal) in [false, true].into_iter().flat_map(|replaces| {
        use rustix::process::Signal;
        [Signal::TERM, Signal::KILL, Signal::INT, Signal::HUP].map(|signal| (replaces, signal))
    }) {
        for _ in 0..KILLS / 2 {
            fs::remove_dir_all(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
            if replaces {
                fs::write(&output, "old").unwrap();
            }
            let mut child = seal().spawn().unwrap();
            // The first half looks and plans.
            let part = 400 + random.below(650) as u32;
            std::thread::sleep(took * part / 1000);
            let id = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(id, signal);
            let status = child.wait().unwrap();
            let context = format!("seed {seed}, {signal:?}, {status}, replaces: {replaces}");
            match fs::read(&output) {
                Ok(found) if found == new => whole += 1,
                Ok(found) => assert!(replaces && found == b"old" && !status.success(), "{context}"),
                Err(_) => assert!(!replaces && !status.success(), "{context}"),
            }
            cut += usize::from(!status.success());
            let beside = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            for beside in beside.filter(|path| *path != output) {
                // A whole file has two names for as long as the replacing one takes.
                let whole = replaces && fs::read(&beside).unwrap() == new;
                assert!(whole, "{context}: {} is left", beside.display());
            }
        }
    }
    println!("{cut} cut short, {whole} whole; a seal took {took:?}");
    assert!(cut > 10, "{cut} cut short, {whole} whole");
}
