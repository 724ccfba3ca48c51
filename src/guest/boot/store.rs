//! Unit files as they are read, each once, within bounds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::search_path;
use super::unit_file::Settings;
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The longest unit file or drop-in: systemd itself reads no line that is longer.
const MAX_FILE: u64 = 1 << 20;

/// How much memory all that is read takes, in bytes: the units of a large server take three million.
const MAX_TEXT: u64 = 16 << 20;

/// How many names in directories of units are looked at in all, one looked at twice counted twice.
const MAX_NAMES: usize = 5_000_000;

/// The texts of a guest's units.
pub(super) struct Store<'a> {
    pub(super) files: &'a dyn Files,
    read: RefCell<HashMap<GuestPath, Option<Rc<Settings>>>>,
    masked: RefCell<HashMap<GuestPath, bool>>,
    left: Cell<u64>,
    names_left: Cell<usize>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Store<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            read: RefCell::default(),
            masked: RefCell::default(),
            left: Cell::new(MAX_TEXT),
            names_left: Cell::new(MAX_NAMES),
            notes: RefCell::default(),
        }
    }

    /// What was not read, or not understood: one line each.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    pub(super) fn note(&self, path: &GuestPath, problem: &str) {
        let mut notes = self.notes.borrow_mut();
        // As many as someone reads.
        if notes.len() < 100 {
            notes.push(format!("{path}: {problem}"));
        }
    }

    /// The settings of a file; `None` where there is none that systemd would take.
    pub(super) fn settings(&self, path: &GuestPath) -> Result<Option<Rc<Settings>>, GuestError> {
        if let Some(known) = self.read.borrow().get(path) {
            return Ok(known.clone());
        }
        let settings = self.text(path, MAX_FILE)?.and_then(|text| {
            let settings = Settings::parse(&text);
            if settings.is_none() {
                self.note(path, "systemd refuses this file: a broken section header, or not UTF-8");
            }
            settings
        });
        let size = settings.as_ref().map_or(0, Settings::size);
        let left = self.left.get().checked_sub(size);
        if left.is_none() {
            self.note(path, "not read: the guest's units are too many and too long");
        }
        let settings = settings.filter(|_| left.is_some()).map(Rc::new);
        self.left.set(left.unwrap_or_default());
        self.read.borrow_mut().insert(path.clone(), settings.clone());
        Ok(settings)
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        if self.names_left.get() == 0 {
            return Ok(Vec::new());
        }
        let names = self.files.names(dir)?;
        self.names_left.set(self.names_left.get().saturating_sub(names.len()));
        if self.names_left.get() == 0 {
            self.note(dir, "directories of units past this one are not looked at: too many names");
        }
        Ok(names)
    }

    /// Whether a file [masks](search_path::masks), looked at once.
    pub(super) fn masks(&self, path: &GuestPath) -> Result<bool, GuestError> {
        if let Some(known) = self.masked.borrow().get(path) {
            return Ok(*known);
        }
        let masks = search_path::masks(self.files, path)?;
        self.masked.borrow_mut().insert(path.clone(), masks);
        Ok(masks)
    }

    /// The text of a file of at most `limit` bytes.
    pub(super) fn text(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        let Some(found) = self.files.follow(path)? else { return Ok(None) };
        if found.kind != Kind::File {
            return Ok(None);
        }
        if found.size > limit || found.size > self.left.get() {
            self.note(path, &format!("not read: {} bytes are too many for what it is", found.size));
            return Ok(None);
        }
        self.files.read(path, limit)
    }
}
