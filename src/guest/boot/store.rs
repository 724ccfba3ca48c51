//! Unit files as they are read, each once, within bounds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::search_path;
use super::unit_file::Settings;
use crate::fs::Kind;
use crate::guest::{FileId, Files, GuestError};
use crate::path::GuestPath;

/// The longest unit file or drop-in: systemd itself reads no line that is longer.
const MAX_FILE: u64 = 1 << 20;

/// How much memory all that is read takes, in bytes: the units of a large server take three million.
const MAX_TEXT: u64 = 16 << 20;

/// How many names in directories of units are looked at in all, one looked at twice counted twice.
const MAX_NAMES: usize = 5_000_000;

/// What was read of the files of an image, so that who looks at the guest again, after some of them
/// are to change, reads the others no more.
#[derive(Clone, Debug, Default)]
pub struct UnitFiles(Rc<RefCell<HashMap<FileId, Option<Rc<Settings>>>>>);

/// What a path leads to.
#[derive(Clone, Copy)]
struct There {
    kind: Kind,
    size: u64,
    file: Option<FileId>,
}

/// The texts of a guest's units.
pub(super) struct Store<'a> {
    pub(super) files: &'a dyn Files,
    known: UnitFiles,
    read: RefCell<HashMap<GuestPath, Option<Rc<Settings>>>>,
    followed: RefCell<HashMap<GuestPath, Option<There>>>,
    left: Cell<u64>,
    names_left: Cell<usize>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Store<'a> {
    pub(super) fn new(files: &'a dyn Files, known: UnitFiles) -> Self {
        Self {
            files,
            known,
            read: RefCell::default(),
            followed: RefCell::default(),
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
        let settings = match self.readable(path, MAX_FILE)? {
            Some(there) => {
                let settings = self.parsed(path, there.file)?;
                if settings.is_none() {
                    self.note(
                        path,
                        "systemd refuses this file: a broken section header, or not UTF-8",
                    );
                }
                settings
            }
            None => None,
        };
        let size = settings.as_ref().map_or(0, |settings| settings.size());
        let left = self.left.get().checked_sub(size);
        if left.is_none() {
            self.note(path, "not read: the guest's units are too many and too long");
        }
        let settings = settings.filter(|_| left.is_some());
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

    /// Whether a unit file at a path masks: `/dev/null`, a device, or an empty file, by symlinks or
    /// not.
    pub(super) fn masks(&self, path: &GuestPath) -> Result<bool, GuestError> {
        if search_path::is_dev_null(path) {
            return Ok(true);
        }
        Ok(match self.follow(path)? {
            Some(There { kind: Kind::File, size, .. }) => size == 0,
            Some(There { kind, .. }) => matches!(kind, Kind::CharDevice | Kind::BlockDevice),
            None => search_path::leads_to_dev_null(self.files, path)?,
        })
    }

    /// What a path leads to, looked at once.
    fn follow(&self, path: &GuestPath) -> Result<Option<There>, GuestError> {
        if let Some(known) = self.followed.borrow().get(path) {
            return Ok(*known);
        }
        let found = self.files.follow(path)?;
        let there = found.map(|it| There {
            // Whatever an image has at its path: a booted guest has the device.
            kind: if search_path::is_dev_null(&it.path) { Kind::CharDevice } else { it.kind },
            size: it.size,
            file: it.file,
        });
        self.followed.borrow_mut().insert(path.clone(), there);
        Ok(there)
    }

    /// The regular file of at most `limit` bytes that a path leads to.
    fn readable(&self, path: &GuestPath, limit: u64) -> Result<Option<There>, GuestError> {
        let Some(there) = self.follow(path)?.filter(|it| it.kind == Kind::File) else {
            return Ok(None);
        };
        if there.size > limit || there.size > self.left.get() {
            self.note(path, &format!("not read: {} bytes are too many for what it is", there.size));
            return Ok(None);
        }
        Ok(Some(there))
    }

    /// The settings of a file that can be read; `None` where systemd refuses it.
    fn parsed(
        &self,
        path: &GuestPath,
        file: Option<FileId>,
    ) -> Result<Option<Rc<Settings>>, GuestError> {
        if let Some(known) = file.and_then(|file| self.known.0.borrow().get(&file).cloned()) {
            return Ok(known);
        }
        let Some(text) = self.files.read(path, MAX_FILE)? else { return Ok(None) };
        let settings = Settings::parse(&text).map(Rc::new);
        if let Some(file) = file {
            self.known.0.borrow_mut().insert(file, settings.clone());
        }
        Ok(settings)
    }

    /// The text of a file of at most `limit` bytes.
    pub(super) fn text(&self, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, GuestError> {
        match self.readable(path, limit)? {
            Some(_) => self.files.read(path, limit),
            None => Ok(None),
        }
    }
}
