//! What is at a path, as the steps so far will leave it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::pending::Pending;
use super::{CHANGES, Draft, Target};
use crate::fs::Kind;
use crate::guest::Place;
use crate::operation::step::StepError;
use crate::path::GuestPath;

/// Symlinks that one path may lead through, those not yet made included: Linux's `MAXSYMLINKS`.
const SYMLINKS: usize = 40;

impl Draft<'_> {
    /// What is at a path, symlinks to directories followed inside the guest, and with `follow` one
    /// at its end too. `None` when the directory it would be in is not there.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn at(&self, path: &GuestPath, follow: bool) -> Result<Option<Target>, StepError> {
        let matched = path.to_string();
        let mut here = GuestPath::root();
        // Where `here` is, if it is known: so that no name is looked up from the root.
        let mut place = None;
        let mut target = None;
        let mut ahead: Vec<Vec<u8>> = path.names().rev().map(<[u8]>::to_vec).collect();
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    here = here.parent().unwrap_or_default();
                    (place, target) = (None, None);
                    continue;
                }
                _ => {}
            }
            let child = here.join(&name);
            let Some(found) = self.child(&here, place.as_ref(), child, &matched)? else {
                return Ok(None);
            };
            match found.kind {
                None if ahead.is_empty() => return Ok(Some(found)),
                None => return Ok(None),
                Some(Kind::Symlink) if follow || !ahead.is_empty() => {
                    symlinks += 1;
                    if symlinks > SYMLINKS {
                        return Ok(None);
                    }
                    let link = self.link(&found)?;
                    if link.first() == Some(&b'/') {
                        (here, place) = (GuestPath::root(), None);
                    }
                    target = None;
                    ahead.extend(link.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
                }
                Some(kind) => {
                    if kind != Kind::Directory && !ahead.is_empty() {
                        return Ok(None);
                    }
                    here = found.path.clone();
                    place.clone_from(&found.place);
                    target = Some(found);
                }
            }
        }
        match target {
            Some(target) => Ok(Some(target)),
            // The way ended in `..` or at the root itself.
            None => match self.locate(&here)? {
                Some(place) => self.target(place, &matched),
                None => Ok(None),
            },
        }
    }

    /// What is at a name in a directory that was found; a symlink is followed.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn within(&self, dir: &Target, name: &[u8]) -> Result<Option<Target>, StepError> {
        let path = dir.path.join(name);
        match self.child(&dir.path, dir.place.as_ref(), path, &dir.matched)? {
            Some(found) => self.followed(found),
            None => Ok(None),
        }
    }

    /// A name in a canonical directory, which is at `place` where that is known.
    pub(super) fn child(
        &self,
        dir: &GuestPath,
        place: Option<&Place>,
        path: GuestPath,
        matched: &str,
    ) -> Result<Option<Target>, StepError> {
        let path = self.spelled(dir, place, path)?;
        if let Some(pending) = self.pending.get(&path) {
            return Ok(Some(pending.target(&path, matched)));
        }
        let gone = self.hidden(&path);
        let found = match (place, path.name()) {
            _ if gone => None,
            (Some(place), Some(name)) => {
                self.guest.tree.child(place, name)?.map(|(place, _)| place)
            }
            _ => self.locate(&path)?,
        };
        if let Some(found) = found {
            return self.target(found, matched);
        }
        // Nothing is there; where it would be is known by its directory.
        let above = match self.pending.get(dir) {
            Some(pending) if pending.after.kind() == Some(Kind::Directory) => {
                Some((pending.volume.clone(), pending.fs_path.clone()))
            }
            Some(_) => None,
            None if self.hidden(dir) => None,
            None => self.locate(dir)?.map(|place| (place.volume, place.fs_path)),
        };
        Ok(above.zip(path.name().map(<[u8]>::to_vec)).map(|((volume, fs_path), name)| Target {
            fs_path: fs_path.join(&name),
            path,
            volume,
            kind: None,
            matched: matched.to_owned(),
            place: None,
        }))
    }

    /// What is in a directory, as the steps so far will leave it, sorted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn children(&mut self, dir: &Target) -> Result<Vec<Target>, StepError> {
        let mut paths = BTreeSet::new();
        if let Some(place) = &dir.place
            && !self.pending.get(&dir.path).map_or_else(|| self.hidden(&dir.path), Pending::hides)
        {
            let read = self.guest.tree.entries(place, &mut |entry| {
                paths.insert(dir.path.join(entry.name));
                if paths.len() > CHANGES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if let Err(error) = read {
                self.refuse(&dir.path, error.to_string());
            }
            if paths.len() > CHANGES {
                return Err(StepError::TooMany(CHANGES));
            }
        }
        let made = self.pending.range(dir.path.clone()..);
        for (path, _) in made.take_while(|(path, _)| path.starts_with(&dir.path)) {
            if path.parent().as_ref() == Some(&dir.path) {
                paths.insert(path.clone());
            }
        }
        let mut children = Vec::new();
        for path in paths {
            match self.child(&dir.path, dir.place.as_ref(), path, &dir.matched)? {
                Some(child) if child.kind.is_some() => children.push(child),
                Some(child) => self.gone.push(child.path),
                None => {}
            }
        }
        Ok(children)
    }
}
