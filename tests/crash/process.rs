//! A process that is killed while it commits to a real file, at every operation.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sysprep_rs::apply::{
    ApplyError, FileHost, Pending, Recovery, commit, pending, recover, recover_on,
};
use sysprep_rs::block::{HostFile, Overlay, ReadBlocks, ResizeBlocks, WriteBlocks};

use super::stopping::{Stop, Stopping};

/// Names the image to the child process, and the operation at which it kills itself.
const IMAGE: &str = "SYSPREP_TEST_CRASH_IMAGE";
const OPERATION: &str = "SYSPREP_TEST_CRASH_OPERATION";

const MIB: usize = 1 << 20;

/// An image of 8 MiB, half of it holes.
fn make(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(8 * MIB as u64).unwrap();
    for n in (0..8).step_by(2) {
        let block: Vec<u8> = (0..MIB).map(|at| (at / 512 + at % 251 + n) as u8 | 1).collect();
        file.write_all_at(&block, (n * MIB) as u64).unwrap();
    }
}

/// What is going to be done to it: bytes over data and over holes, zeroes, another length.
fn changes(path: &Path) -> Overlay {
    let overlay = Overlay::new(Arc::new(HostFile::open(path).unwrap()));
    overlay.write_at(5000, &[0xa5; 10_000]).unwrap();
    overlay.write_at(MIB as u64 + 77, &[0x5a; 5000]).unwrap();
    overlay.zero(2 * MIB as u64 + 4096, 500_000).unwrap();
    overlay.zero(4 * MIB as u64 + 100, 99).unwrap();
    overlay.set_len(7 * MIB as u64 + 4096).unwrap();
    overlay.write_at(7 * MIB as u64, &[0x77; 3000]).unwrap();
    overlay
}

fn open(path: &Path) -> FileHost {
    FileHost::new(path, File::options().read(true).write(true).open(path).unwrap()).unwrap()
}

/// What the child process runs; without a parent, a commit that nothing stops.
#[test]
fn a_commit_in_a_process_of_its_own() {
    let own = tempfile::tempdir().unwrap();
    let path = match std::env::var_os(IMAGE) {
        Some(path) => path.into(),
        None => {
            make(&own.path().join("image"));
            own.path().join("image")
        }
    };
    let left = std::env::var(OPERATION).map_or(u32::MAX - 1, |number| number.parse().unwrap());
    let overlay = changes(&path);
    let mut new = vec![0; overlay.len() as usize];
    overlay.read_at(0, &mut new).unwrap();
    let written = commit(&mut Stopping::new(open(&path), left, Stop::Kill), &overlay).unwrap();
    assert_eq!(fs::read(&path).unwrap(), new);
    assert!(written.punched >= 495_616, "{written:?}");
    assert!(written.log_bytes > written.bytes && written.log_bytes < written.bytes + 16_384);
}

#[test]
fn a_process_killed_at_any_operation_leaves_the_old_image_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    make(&path);
    let old = fs::read(&path).unwrap();
    let overlay = changes(&path);
    let mut new = vec![0; overlay.len() as usize];
    overlay.read_at(0, &mut new).unwrap();
    drop(overlay);

    let mut seen = [0; 3];
    let mut operation = 0;
    loop {
        fs::remove_file(&path).unwrap();
        make(&path);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::process::a_commit_in_a_process_of_its_own"])
            .env(IMAGE, &path)
            .env(OPERATION, operation.to_string())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "operation {operation}");
        let before = pending(&path).unwrap();
        let recovery = recover(&path).unwrap();
        match (before, recovery) {
            (Pending::Nothing, Recovery::Nothing) => seen[0] += 1,
            (Pending::Unfinished, Recovery::Forgotten) => {
                seen[1] += 1;
                assert!(fs::read(&path).unwrap() == old, "operation {operation}");
            }
            (Pending::Complete { .. }, Recovery::Finished(_)) => {
                seen[2] += 1;
                assert!(fs::read(&path).unwrap() == new, "operation {operation}");
            }
            other => panic!("operation {operation}: {other:?}"),
        }
        let found = fs::read(&path).unwrap();
        assert!(found == old || found == new, "operation {operation}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "operation {operation}");
        operation += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert!(fs::read(&path).unwrap() == new);
}

/// From the failing operation on all fail, the removal of the log as well.
#[test]
fn a_log_that_cannot_be_removed_is_said_to_be_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    make(&path);
    let old = fs::read(&path).unwrap();
    let overlay = changes(&path);
    let mut new = vec![0; overlay.len() as usize];
    overlay.read_at(0, &mut new).unwrap();
    let mut seen = [0; 3];
    for operation in 1.. {
        fs::remove_file(&path).unwrap();
        make(&path);
        let result = commit(&mut Stopping::new(open(&path), operation, Stop::Fail), &overlay);
        let Err(error) = result else { break };
        let said = error.to_string();
        let (before, found) = (pending(&path).unwrap(), fs::read(&path).unwrap());
        let context = format!("operation {operation}, {before:?}: {said}");
        match error {
            ApplyError::LogNotWritten { leftover: Some(left), .. } => {
                assert!(found == old && said.contains("the image is untouched"), "{context}");
                let is_complete = matches!(before, Pending::Complete { .. });
                assert_eq!(left.is_complete, is_complete, "{context}");
                assert_eq!(said.contains("unfinished log"), !is_complete, "{context}");
                let seals = said.contains("'sysprep-rs recover IMAGE' seals the image by it");
                assert_eq!(seals, is_complete, "{context}");
                seen[usize::from(is_complete)] += 1;
            }
            ApplyError::LogNotRemoved { .. } => {
                assert!(found == new && said.contains("the image is sealed"), "{context}");
                seen[2] += 1;
            }
            ApplyError::HalfWritten { .. } => {}
            other => panic!("{context}: {other:?}"),
        }
        // What cannot be removed still cannot be, and then it can.
        if before == Pending::Unfinished {
            let mut host = Stopping::new(open(&path), 0, Stop::Fail);
            let said = recover_on(&mut host).unwrap_err().to_string();
            assert!(
                said.contains("the image is untouched") && said.contains("unfinished"),
                "{said}"
            );
        }
        recover(&path).unwrap();
        let expected = if before == Pending::Unfinished { &old } else { &new };
        assert!(fs::read(&path).unwrap() == *expected, "{context}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{context}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn what_becomes_zero_takes_no_storage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    make(&path);
    let before = fs::metadata(&path).unwrap().blocks() * 512;
    let overlay = Overlay::new(Arc::new(HostFile::open(&path).unwrap()));
    overlay.zero(0, 6 * MIB as u64).unwrap();
    let written = commit(&mut open(&path), &overlay).unwrap();
    let after = fs::metadata(&path).unwrap().blocks() * 512;
    assert_eq!(written.punched, 3 * MIB as u64);
    assert_eq!(written.bytes, 0);
    assert!(before >= after + 3 * MIB as u64 - 65_536, "{before} → {after}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 * MIB as u64);
    assert!(fs::read(&path).unwrap()[..6 * MIB].iter().all(|&byte| byte == 0));
}

#[test]
fn a_log_beside_another_file_or_through_a_symlink_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    make(&path);
    let overlay = changes(&path);
    // Stopped when the first byte was to be written in place.
    let log = dir.path().join(".image.sysprep-redo");
    let stopped = |overlay: &Overlay| {
        commit(&mut Stopping::new(open(&path), super::IN_PLACE as u32, Stop::Fail), overlay)
            .unwrap_err()
    };
    assert!(matches!(stopped(&overlay), ApplyError::HalfWritten { .. }));
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
    assert!(matches!(stopped(&overlay), ApplyError::RecoveryPending));

    // Another file of the same length under the image's name.
    let kept = dir.path().join("kept");
    fs::rename(&path, &kept).unwrap();
    fs::write(&path, vec![3; 8 * MIB]).unwrap();
    assert!(matches!(recover(&path), Err(ApplyError::NotThisImage { .. })));
    assert!(matches!(pending(&path), Err(ApplyError::NotThisImage { .. })));
    assert_eq!(fs::read(&path).unwrap(), vec![3; 8 * MIB]);
    fs::rename(&kept, &path).unwrap();

    // The log replaced by a symlink to itself elsewhere.
    let moved = dir.path().join("log");
    fs::rename(&log, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &log).unwrap();
    assert!(matches!(recover(&path), Err(ApplyError::Host(_))));
    fs::rename(&moved, &log).unwrap();

    // The image's name may be a symlink: the log lies beside the file.
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&path, elsewhere.join("alias")).unwrap();
    assert!(matches!(recover(&elsewhere.join("alias")), Ok(Recovery::Finished(_))));
    assert!(!log.exists());
    let mut new = vec![0; overlay.len() as usize];
    overlay.read_at(0, &mut new).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..5000], new[..5000]);
    assert_eq!(fs::read(&path).unwrap().len(), new.len());
}
