//! Looking for secrets in a guest's whole tree.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::kinds::{KINDS, PASSWORD_HASH, named};
use super::{Finding, Scanner, shadow};
use crate::fs::{FsError, Kind, Node};
use crate::guest::{Guest, GuestError, Place, Unread, Walk};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// How much of one file is looked at, in bytes: a sparse file may say that it is larger than any
/// disk.
const FILE_BYTES: u64 = 1 << 30;

/// The largest account file that is read.
const ACCOUNT_BYTES: u64 = 4 << 20;

/// How many findings are listed; beyond, the image is not one with a few forgotten secrets.
const FINDINGS: usize = 10_000;

/// How many threads look at content.
const THREADS: usize = 4;

/// Where configuration and users' files are kept: a `password = …` elsewhere is mostly an example.
const CONFIGURATION: [&str; 9] =
    ["etc", "root", "home", "opt", "srv", "usr/local", "var/lib/cloud", "var/www", "boot"];

/// Below those, what packages bring along again.
const NOT_CONFIGURATION: [&str; 3] = ["etc/ssl/certs", "etc/ca-certificates", "etc/services"];

/// What was found in a guest.
#[derive(Debug, Default)]
pub struct Searched {
    /// The secrets, by path.
    pub findings: Vec<Finding>,
    /// There are more than those listed.
    pub more: bool,
    /// What could not be looked at, or not wholly.
    pub unread: Vec<Unread>,
    /// How many files were looked at.
    pub files: u64,
    /// How many bytes of content were.
    pub bytes: u64,
}

/// Looks for secrets in every regular file of the guest, in several threads. A file with more names
/// is looked at under one of them. What is in archives and compressed files is not seen.
///
/// # Errors
/// The guest's root cannot be read.
pub fn search(guest: &Guest, scanner: &Scanner) -> Result<Searched, GuestError> {
    let (queue, files) = sync_channel::<Place>(256);
    let files = Mutex::new(files);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let mut all = Searched::default();
    let walked = thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map_while(|_| {
                thread::Builder::new().spawn_scoped(scope, || work(guest, scanner, &files)).ok()
            })
            .collect();
        let mut shared: HashSet<(VolumeId, Node)> = HashSet::new();
        let mut alone = Searched::default();
        let walked = guest.tree.walk(&GuestPath::root(), &mut |entry| {
            if entry.kind == Kind::File {
                let twice = matches!(entry.fs.stat(entry.node), Ok(stat) if stat.links > 1)
                    && !shared.insert((entry.volume.clone(), entry.node));
                if !twice {
                    match running.is_empty() {
                        // No thread can be had.
                        true => alone.file(guest, scanner, &entry.place()),
                        // Fails only where all of them have panicked, which joining tells.
                        false => drop(queue.send(entry.place())),
                    }
                }
            }
            Walk::Into
        });
        drop(queue);
        for worker in running {
            match worker.join() {
                Ok(found) => all.add(found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all.add(alone);
        walked
    })?;
    all.unread.extend(walked.unread);
    all.findings.sort();
    all.more = all.findings.len() > FINDINGS;
    all.findings.truncate(FINDINGS);
    all.unread.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

fn work(guest: &Guest, scanner: &Scanner, files: &Mutex<Receiver<Place>>) -> Searched {
    let mut found = Searched::default();
    loop {
        let next = files.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(place) => found.file(guest, scanner, &place),
            Err(_) => return found,
        }
    }
}

impl Searched {
    fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.unread.extend(other.unread);
        self.files += other.files;
        self.bytes += other.bytes;
    }

    fn file(&mut self, guest: &Guest, scanner: &Scanner, place: &Place) {
        self.files += 1;
        if let Err(error) = self.look(guest, scanner, place) {
            self.unread.push(Unread { path: place.path.clone(), why: error.to_string() });
        }
    }

    fn look(&mut self, guest: &Guest, scanner: &Scanner, place: &Place) -> Result<(), FsError> {
        let mut add = |at, kind: &str| {
            if self.findings.len() <= FINDINGS {
                self.findings.push(Finding { path: place.path.clone(), at, kind: kind.to_owned() });
            }
        };
        let stat = place.stat()?;
        if stat.size == 0 {
            return Ok(());
        }
        if stat.encrypted {
            return Err(FsError::unsupported("the file is encrypted by its filesystem"));
        }
        let accounts = shadow::FILES.contains(&place.path.to_string().as_str());
        if accounts {
            for spot in shadow::hashes(&place.read(ACCOUNT_BYTES)?, guest.accounts()) {
                add(spot, PASSWORD_HASH);
            }
        }
        let hash = named(PASSWORD_HASH);
        let mut read_bytes = 0;
        let fs = place.fs();
        scanner.file(
            is_configuration(&place.path),
            &mut |at, dst| {
                if at >= FILE_BYTES {
                    return Ok(0);
                }
                let read = fs.read_at(place.node, at, dst)?;
                read_bytes += read as u64;
                Ok::<usize, FsError>(read)
            },
            &mut |spot, kind| {
                if !(accounts && Some(kind) == hash) {
                    add(spot, KINDS[kind].name);
                }
            },
        )?;
        self.bytes += read_bytes;
        if stat.size > FILE_BYTES {
            return Err(FsError::unsupported(
                "the file is larger than 1 GiB: its rest was not looked at",
            ));
        }
        Ok(())
    }
}

fn is_configuration(path: &GuestPath) -> bool {
    let below = |dirs: &[&str]| {
        dirs.iter().any(|dir| {
            let mut names = path.names();
            dir.split('/').all(|part| names.next() == Some(part.as_bytes()))
        })
    };
    below(&CONFIGURATION) && !below(&NOT_CONFIGURATION)
}
