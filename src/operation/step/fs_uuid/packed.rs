//! The old UUIDs that an initramfs names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::ControlFlow;

use crate::operation::initramfs::{Seen, bare, look_into};
use crate::operation::uuid::Finder;
use crate::path::escape;

/// Where initramfs-tools keeps the swap area to resume from; without it the guest boots after some
/// time.
const RESUME: &[u8] = b"conf/conf.d/resume";

/// How many files in it are told one by one.
const MOST: usize = 20;

/// What an initramfs names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inside {
    /// What the guest may need to boot, by the file in it, each once.
    pub(super) needed: BTreeMap<String, BTreeSet<usize>>,
    /// What it only waits for.
    pub(super) delays: BTreeSet<usize>,
    /// Why not all of it was looked at.
    pub(super) unread: Option<String>,
}

/// Looks for the old UUIDs in an initramfs.
pub(super) struct Packed<'a> {
    finder: &'a Finder<'a>,
    /// The file that is being read.
    name: Vec<u8>,
    /// The end of what was read of it.
    kept: Vec<u8>,
    /// What was told already.
    told: BTreeSet<usize>,
    inside: Inside,
}

impl<'a> Packed<'a> {
    pub(super) fn new(finder: &'a Finder<'a>) -> Self {
        Self {
            finder,
            name: Vec::new(),
            kept: Vec::new(),
            told: BTreeSet::new(),
            inside: Inside::default(),
        }
    }

    /// Reads it; `left` is how much may still be unpacked.
    pub(super) fn look_into(mut self, source: &mut dyn Read, left: &mut u64) -> Inside {
        let read = look_into(source, left, &mut |seen| {
            let mut found = BTreeSet::new();
            match seen {
                Seen::Archive => {}
                Seen::Name(name) => {
                    self.name = bare(name).to_vec();
                    self.kept.clear();
                    // dracut and systemd have files that are named after a device.
                    self.finder.in_piece(&mut Vec::new(), name, &mut found);
                }
                Seen::Piece(piece) => self.finder.in_piece(&mut self.kept, piece, &mut found),
            }
            self.found(found);
            ControlFlow::Continue(())
        });
        self.inside.unread = read.err();
        // What the guest needs is told as that.
        for needed in self.inside.needed.values() {
            self.inside.delays.retain(|it| !needed.contains(it));
        }
        self.inside
    }

    fn found(&mut self, found: BTreeSet<usize>) {
        if found.is_empty() {
            return;
        }
        if self.name == RESUME {
            self.inside.delays.extend(found);
            return;
        }
        let new: BTreeSet<usize> = found.difference(&self.told).copied().collect();
        if new.is_empty() {
            return;
        }
        self.told.extend(&new);
        let name = match self.inside.needed.len() < MOST {
            true => escape(&self.name),
            false => String::new(),
        };
        self.inside.needed.entry(name).or_default().extend(new);
    }
}
