//! A commit that is stopped at any instant leaves the old image or the new one, never half.

mod full;
mod killed;
pub(crate) mod model;
mod process;
pub(crate) mod stopping;

use std::io;
use std::sync::Arc;

use model::{Fault, Model, Skip};
use sysprep_rs::apply::{ApplyError, Recovery, commit, recover_on};
use sysprep_rs::block::{Memory, Overlay, ReadBlocks, ResizeBlocks, WriteBlocks};

use crate::random::Random;

/// The first operation of a small commit that changes the image: the log was made, written, made
/// durable, space reserved, the trailer written, log and directory made durable.
pub(crate) const IN_PLACE: usize = 7;

/// The bytes of a device.
fn bytes(device: &dyn ReadBlocks) -> Vec<u8> {
    let mut bytes = vec![0; device.len() as usize];
    device.read_at(0, &mut bytes).unwrap();
    bytes
}

/// An image and seeded changes to it: small and large writes, zeroed ranges, another length.
fn change(random: &mut Random) -> (Vec<u8>, Overlay) {
    let len = 40 * 4096 + random.below(20 * 4096) as usize;
    let old = random.bytes(len);
    let overlay = Overlay::new(Arc::new(Memory::from_bytes(old.clone())));
    match random.below(4) {
        0 => overlay.set_len(len as u64 + random.below(9 * 4096)).unwrap(),
        1 => overlay.set_len(len as u64 - random.below(9 * 4096)).unwrap(),
        _ => {}
    }
    for _ in 0..2 + random.below(8) {
        let at = random.below(overlay.len() - 8192);
        let len = 1 + random.below(8192);
        if random.below(3) == 0 {
            overlay.zero(at, len).unwrap();
        } else {
            let new = random.bytes(len as usize);
            overlay.write_at(at, &new).unwrap();
        }
    }
    (old, overlay)
}

/// Crashes a commit at every operation, then the recovery at every operation, and recovers.
/// Gives how often the old and how often the new image came out, or what was wrong.
fn crash_everywhere(seeds: std::ops::Range<u64>, skip: Skip) -> Result<(u32, u32), String> {
    let (mut olds, mut news) = (0, 0);
    for seed in seeds {
        let mut random = Random::new("crash", seed);
        let (old, overlay) = change(&mut random);
        let new = bytes(&overlay);
        let mut at = 0;
        loop {
            let mut host = Model::new(old.clone(), skip);
            host.fail_at(at, Fault::Crash);
            let done = match commit(&mut host, &overlay) {
                Ok(_) if !host.failed() => break,
                result => result.is_ok(),
            };
            // The recovery may be stopped as well, again and again.
            let mut host = host.after_crash(&mut random);
            for stop in 0..random.below(6) {
                host.fail_at(stop as usize, Fault::Crash);
                // Whether it got through does not matter.
                let _ = recover_on(&mut host);
                host = host.after_crash(&mut random);
            }
            let wrong = |what: &str| Err(format!("seed {seed}, crash at {at}: {what}"));
            let recovered = recover_on(&mut host);
            if let Err(error) = recovered {
                return wrong(&format!("the recovery failed: {error}"));
            }
            if host.has_log() {
                return wrong("the log is still there");
            }
            let found = host.durable_image();
            if found == new {
                news += 1;
            } else if found == old && !done {
                olds += 1;
            } else {
                return wrong("the image is neither the old nor the new one");
            }
            at += 1;
        }
        assert!(at > 8, "seed {seed}: only {at} operations");
    }
    Ok((olds, news))
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_image_or_the_new_one() {
    let (olds, news) = crash_everywhere(0..120, Skip::Nothing).unwrap();
    assert!(olds > 100 && news > 100, "{olds} old, {news} new");
}

#[test]
fn the_model_catches_a_commit_that_leaves_a_sync_out() {
    for skip in [Skip::SyncImage, Skip::SyncLog, Skip::SyncDirectory] {
        let result = crash_everywhere(0..120, skip);
        assert!(result.is_err(), "{skip:?}: {result:?}");
    }
}

#[test]
fn a_write_that_fails_at_any_operation_says_what_state_the_image_is_in() {
    for seed in 0..40 {
        let mut random = Random::new("crash", seed);
        let (old, overlay) = change(&mut random);
        let new = bytes(&overlay);
        let mut seen = [0; 3];
        for at in 0.. {
            let mut host = Model::new(old.clone(), Skip::Nothing);
            host.fail_at(at, Fault::Error(io::ErrorKind::StorageFull));
            let result = commit(&mut host, &overlay);
            if !host.failed() {
                result.unwrap();
                break;
            }
            let context = format!("seed {seed}, failure at {at}");
            match result {
                Err(ApplyError::LogNotWritten { leftover: None, .. }) => {
                    seen[0] += 1;
                    assert_eq!(host.current_image(), old, "{context}");
                    assert!(!host.has_log(), "{context}");
                }
                Err(ApplyError::HalfWritten { .. }) => {
                    seen[1] += 1;
                    assert!(host.has_log(), "{context}");
                    assert!(matches!(
                        commit(&mut host, &overlay),
                        Err(ApplyError::RecoveryPending)
                    ));
                    assert!(matches!(recover_on(&mut host).unwrap(), Recovery::Finished(_)));
                    assert_eq!(host.current_image(), new, "{context}");
                    assert!(!host.has_log(), "{context}");
                }
                Err(ApplyError::LogNotRemoved { .. }) => {
                    seen[2] += 1;
                    assert_eq!(host.current_image(), new, "{context}");
                    recover_on(&mut host).unwrap();
                    assert_eq!(host.current_image(), new, "{context}");
                    assert!(!host.has_log(), "{context}");
                }
                other => panic!("{context}: {other:?}"),
            }
        }
        assert!(seen.iter().all(|count| *count > 0), "seed {seed}: {seen:?}");
    }
}

#[test]
fn a_complete_log_beside_another_image_is_refused_and_kept() {
    for seed in 0..20 {
        let mut random = Random::new("crash", seed);
        let (old, overlay) = change(&mut random);
        let mut host = Model::new(old.clone(), Skip::Nothing);
        // Stopped at the image's first operation: log complete, image untouched.
        host.fail_at(IN_PLACE, Fault::Error(io::ErrorKind::Other));
        commit(&mut host, &overlay).unwrap_err();
        assert_eq!(host.current_image(), old);
        let other: Vec<u8> = random.bytes(old.len());
        host.replace_image(other.clone());
        let error = recover_on(&mut host).unwrap_err();
        assert!(matches!(error, ApplyError::NotThisImage { .. }), "seed {seed}: {error}");
        assert_eq!(host.current_image(), other, "seed {seed}");
        assert!(host.has_log(), "seed {seed}");
        host.replace_image(old);
        assert!(matches!(recover_on(&mut host).unwrap(), Recovery::Finished(_)), "seed {seed}");
        assert_eq!(host.current_image(), bytes(&overlay), "seed {seed}");
    }
}

#[test]
fn a_complete_log_that_was_damaged_is_refused_and_kept() {
    let mut random = Random::new("crash", 7);
    let (old, overlay) = change(&mut random);
    let mut host = Model::new(old.clone(), Skip::Nothing);
    host.fail_at(IN_PLACE, Fault::Error(io::ErrorKind::Other));
    commit(&mut host, &overlay).unwrap_err();
    let length = host.log().len();
    for at in (0..length - 60).step_by(97) {
        host.log()[at] ^= 1;
        let error = recover_on(&mut host).unwrap_err();
        assert!(matches!(error, ApplyError::Log(_)), "byte {at}: {error}");
        assert_eq!(host.current_image(), old, "byte {at}");
        assert!(host.has_log(), "byte {at}");
        host.log()[at] ^= 1;
    }
    assert!(matches!(recover_on(&mut host).unwrap(), Recovery::Finished(_)));
    assert_eq!(host.current_image(), bytes(&overlay));
}

/// The sectors of the ranges an overlay changes.
fn touched(overlay: &Overlay) -> Vec<(usize, usize)> {
    let mut sectors = Vec::new();
    for (start, piece) in overlay.changes().pieces {
        let (mut at, end) = (start as usize, (start + piece.len()) as usize);
        while at < end {
            let next = (at / 512 * 512 + 512).min(end);
            sectors.push((at, next));
            at = next;
        }
    }
    sectors
}

#[test]
fn an_image_that_was_changed_after_the_crash_is_not_written_over() {
    let mut refused = 0;
    for seed in 0..60 {
        let mut random = Random::new("changed after a crash", seed);
        let (old, overlay) = change(&mut random);
        let new = bytes(&overlay);
        let sectors = touched(&overlay);
        // From the first operation in place on.
        for at in IN_PLACE.. {
            let mut host = Model::new(old.clone(), Skip::Nothing);
            host.fail_at(at, Fault::Crash);
            let done = commit(&mut host, &overlay).is_ok();
            if done && !host.failed() {
                break;
            }
            let mut host = host.after_crash(&mut random);
            if !host.has_log() {
                continue;
            }
            let left = host.current_image().to_vec();
            let usable: Vec<_> = sectors.iter().filter(|(_, end)| *end <= left.len()).collect();
            let &(from, to) = usable[random.below(usable.len() as u64) as usize];
            let byte = from + random.below((to - from) as u64) as usize;
            let known = |at: usize| [old.get(at).copied().unwrap_or(0), new[at]];
            let other = (0..=255).find(|value| !known(byte).contains(value)).unwrap();
            let mut changed = left.clone();
            changed[byte] = other;
            host.replace_image(changed.clone());
            let error = recover_on(&mut host).unwrap_err();
            let context = format!("seed {seed}, crash at {at}, byte {byte}: {error}");
            assert!(matches!(error, ApplyError::NotThisImage { .. }), "{context}");
            assert!(error.to_string().contains("delete the log"), "{context}");
            assert_eq!(host.current_image(), changed, "{context}");
            assert!(host.has_log(), "{context}");
            refused += 1;
            // Put back as it was, it is finished.
            host.replace_image(left);
            assert!(matches!(recover_on(&mut host).unwrap(), Recovery::Finished(_)), "{context}");
            assert_eq!(host.current_image(), new, "{context}");
        }
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn an_image_put_back_from_a_copy_made_before_is_sealed_by_its_log() {
    let mut random = Random::new("put back", 0);
    let (old, overlay) = change(&mut random);
    let mut host = Model::new(old.clone(), Skip::Nothing);
    host.fail_at(IN_PLACE + 3, Fault::Error(io::ErrorKind::Other));
    commit(&mut host, &overlay).unwrap_err();
    assert_ne!(host.current_image(), old);
    host.replace_image(old);
    assert!(matches!(recover_on(&mut host).unwrap(), Recovery::Finished(_)));
    assert_eq!(host.current_image(), bytes(&overlay));
}
