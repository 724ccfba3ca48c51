//! Reading a guest's configuration within limits, and noting what was not understood.

use std::cell::RefCell;

use super::link::Naming;
use super::{Boot, Component, path};
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The longest configuration file that is read. Real ones have some KiB.
const FILE: u64 = 1 << 20;

/// How many files of one kind are read. Real guests have dozens.
pub(super) const FILES: usize = 4096;

/// How many notes of what was not understood are kept.
const NOTES: usize = 100;

/// A guest, and what is to be said of it.
pub(super) struct Look<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) boot: Boot<'a>,
    pub(super) naming: Naming,
    odd: RefCell<Vec<(GuestPath, String)>>,
}

impl<'a> Look<'a> {
    pub(super) fn new(files: &'a dyn Files, boot: Boot<'a>) -> Result<Self, GuestError> {
        let odd = RefCell::new(Vec::new());
        let mut look = Self { files, boot, naming: Naming::NotKnown, odd };
        look.naming = Naming::read(&look)?;
        Ok(look)
    }

    pub(super) fn end(self) -> (Naming, Vec<(GuestPath, String)>) {
        let mut odd = self.odd.into_inner();
        odd.sort();
        odd.dedup();
        (self.naming, odd)
    }

    /// Notes what could not be read or is not understood.
    pub(super) fn odd(&self, path: &GuestPath, words: impl Into<String>) {
        let mut odd = self.odd.borrow_mut();
        if odd.len() < NOTES {
            odd.push((path.clone(), words.into()));
        }
    }

    /// What starts a component.
    pub(super) fn started(&self, component: Component) -> Result<Option<String>, GuestError> {
        for name in component.starters() {
            if let Some(by) = (self.boot.starts)(name)? {
                // `network.service` is another name of wicked's or NetworkManager's unit on SUSE.
                if component == Component::NetworkScripts
                    && !self.is_file("/etc/rc.d/init.d/network")?
                    && !self.is_file("/etc/init.d/network")?
                {
                    return Ok(None);
                }
                return Ok(Some(by));
            }
        }
        Ok(None)
    }

    pub(super) fn is_file(&self, text: &str) -> Result<bool, GuestError> {
        Ok(self.files.follow(&path(text))?.is_some_and(|it| it.kind == Kind::File))
    }

    /// The first of these files that is there.
    pub(super) fn first(&self, paths: &[&str]) -> Result<Option<GuestPath>, GuestError> {
        for text in paths {
            if self.is_file(text)? {
                return Ok(Some(path(text)));
            }
        }
        Ok(None)
    }

    /// A program of this name where programs are.
    pub(super) fn program(&self, name: &str) -> Result<Option<GuestPath>, GuestError> {
        for folder in ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"] {
            let text = format!("{folder}/{name}");
            if self.is_file(&text)? {
                return Ok(Some(path(&text)));
            }
        }
        Ok(None)
    }

    /// The text of a configuration file; `None`, with a note where it matters, where there is none.
    pub(super) fn text(&self, path: &GuestPath) -> Result<Option<String>, GuestError> {
        let Some(state) = self.files.follow(path)? else { return Ok(None) };
        if state.kind != Kind::File {
            return Ok(None);
        }
        if state.size > FILE {
            self.odd(path, format!("longer than {} MiB: not read", FILE >> 20));
            return Ok(None);
        }
        let Some(bytes) = self.files.read(path, FILE)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Ok(Some(String::from_utf8_lossy(error.as_bytes()).into_owned())),
        }
    }

    /// The names in a folder, sorted, at most [`FILES`].
    pub(super) fn names(&self, folder: &GuestPath) -> Result<Vec<Vec<u8>>, GuestError> {
        let mut names: Vec<Vec<u8>> =
            self.files.names(folder)?.into_iter().map(|it| it.0).collect();
        if names.len() > FILES {
            self.odd(folder, format!("more than {FILES} files: the rest is not read"));
            names.truncate(FILES);
        }
        Ok(names)
    }

    /// The files of folders whose names end so, sorted by name; a name counts in the first folder
    /// that has it, and one that leads to /dev/null or is empty there hides the others.
    pub(super) fn layered(
        &self,
        folders: &[&str],
        end: &str,
    ) -> Result<Vec<(Vec<u8>, GuestPath)>, GuestError> {
        let mut found: Vec<(Vec<u8>, GuestPath)> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for folder in folders {
            let folder = path(folder);
            for name in self.names(&folder)? {
                if name.ends_with(end.as_bytes()) && known.insert(name.clone()) {
                    let file = folder.join(&name);
                    found.push((name, file));
                }
            }
        }
        found.sort();
        found.truncate(FILES);
        let mut left = Vec::new();
        for (name, file) in found {
            let masked = self.files.link_target(&file)?.is_some_and(|it| it == b"/dev/null");
            if !masked && self.files.follow(&file)?.is_some_and(|it| it.kind == Kind::File) {
                left.push((name, file));
            }
        }
        Ok(left)
    }
}
