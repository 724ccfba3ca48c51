//! Finding what a step is about: patterns and scans, seen through what earlier steps will do.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{CHANGES, Draft, Kept, Target, homes};
use crate::fs::Kind;
use crate::guest::{Place, Unread, Walk};
use crate::operation::step::StepError;
use crate::operation::targets::{Scan, Targets};
use crate::path::GuestPath;

impl Draft<'_> {
    /// Answers every scan with one walk of the guest.
    pub(super) fn walk(&mut self, scans: &[&Scan]) {
        let mut unlike: Vec<&Scan> = Vec::new();
        for scan in scans {
            if !unlike.contains(scan) {
                unlike.push(scan);
            }
        }
        let mut roots: BTreeSet<&GuestPath> = BTreeSet::new();
        for root in unlike.iter().flat_map(|scan| scan.under()) {
            roots.insert(root);
        }
        let tops: Vec<&GuestPath> = roots
            .iter()
            .filter(|root| !roots.iter().any(|other| other != *root && root.starts_with(other)))
            .copied()
            .collect();
        let mut found: Vec<Vec<GuestPath>> = vec![Vec::new(); unlike.len()];
        let mut total = 0;
        for top in tops {
            let walked = self.guest.tree.walk(top, &mut |entry| {
                // Only regular files are looked for: a directory with such a name is not a backup.
                if entry.kind == Kind::File {
                    for (scan, found) in unlike.iter().zip(&mut found) {
                        if scan.matching(entry.name).is_some()
                            && scan.under().iter().any(|root| entry.dir.starts_with(root))
                        {
                            found.push(entry.path());
                            total += 1;
                        }
                    }
                }
                if total > CHANGES { Walk::Stop } else { Walk::Into }
            });
            match walked {
                Ok(walked) => {
                    self.overflow |= walked.stopped;
                    self.unread.extend(walked.unread);
                }
                Err(error) => {
                    self.unread.push(Unread { path: top.clone(), why: error.to_string() });
                }
            }
        }
        self.scans = unlike.into_iter().cloned().zip(found).collect();
    }

    /// The existing paths that a step is about, sorted; what earlier steps remove is not there.
    ///
    /// # Errors
    /// The guest cannot be read where it has to be.
    pub fn find(&mut self, targets: &Targets) -> Result<Vec<Target>, StepError> {
        self.gone.clear();
        let keep = self.kept(targets)?;
        let mut found: BTreeMap<GuestPath, Target> = BTreeMap::new();
        let moved = self.moved_directories();
        let made: Vec<GuestPath> = self
            .pending
            .iter()
            .filter(|(_, it)| {
                (it.original.is_none() || it.left || it.from.is_some()) && it.after.kind().is_some()
            })
            .map(|(path, _)| path.clone())
            .collect();
        for text in &targets.patterns {
            let mut any = !targets.required;
            for sought in homes::expand(text, &self.homes)? {
                let searched = sought.search(&self.guest.tree);
                for unread in searched.unread {
                    self.refuse(&unread.path, format!("not searched: {}", unread.why));
                }
                for place in searched.places {
                    let path = place.path.clone();
                    match self.target(place, text)? {
                        Some(target) => {
                            any = true;
                            found.entry(path).or_insert(target);
                        }
                        None => self.note_gone(&path, &keep, targets),
                    }
                }
                for dir in &moved {
                    self.each_below(dir, &Kept::default(), &mut |target, _| {
                        if sought.matches(&target.path) {
                            any = true;
                            let target = Target { matched: text.clone(), ..target.clone() };
                            found.entry(target.path.clone()).or_insert(target);
                        }
                        Ok(())
                    })?;
                }
                for path in made.iter().filter(|path| sought.matches(path)) {
                    let Some(pending) = self.pending.get(path) else { continue };
                    any = true;
                    let target = pending.target(path, text);
                    found.entry(path.clone()).or_insert(target);
                }
            }
            if !any {
                let path = GuestPath::from_bytes(text.replace('\\', "").as_bytes());
                self.refuse(&path.unwrap_or_default(), "nothing is there");
            }
        }
        if let Some(scan) = &targets.scan {
            if self.overflow {
                return Err(StepError::TooMany(CHANGES));
            }
            for Unread { path, why } in self.unread.clone() {
                if scan.under().iter().any(|root| path.starts_with(root)) {
                    self.refuse(&path, format!("not searched: {why}"));
                }
            }
            let paths =
                self.scans.iter().find(|(it, _)| it == scan).map(|(_, paths)| paths.clone());
            for path in paths.unwrap_or_default() {
                let Some(place) = self.guest.tree.locate(&path)? else { continue };
                let name = path.name().and_then(|name| scan.matching(name)).unwrap_or_default();
                match self.target(place, name)? {
                    Some(target) => {
                        found.entry(path).or_insert(target);
                    }
                    None => self.note_gone(&path, &keep, targets),
                }
            }
        }
        let mut chosen = Vec::new();
        for target in found.into_values() {
            let kept = keep.0.contains(&target.path);
            if kept || !target.kind.is_some_and(|kind| targets.fits(kind)) {
                continue;
            }
            if targets.reads_content() {
                let file = if targets.follows() { self.file(target.clone())? } else { None };
                match self.content(file.as_ref().unwrap_or(&target))? {
                    Some(content) if targets.fits_content(&content) => {}
                    _ => continue,
                }
            }
            chosen.push(target);
        }
        Ok(chosen)
    }

    /// Shows everything below a directory that was found, a directory before what is in it, as the
    /// steps so far will leave it; symlinks are not followed, and what is kept is left out.
    ///
    /// # Errors
    /// The guest cannot be read; what `visit` says.
    pub fn each_below(
        &mut self,
        top: &Target,
        kept: &Kept,
        visit: &mut dyn FnMut(&Target, &mut Self) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        // A hostile tree may be none: each directory is entered once.
        let mut seen = HashSet::new();
        let mut ahead = Vec::from_iter((top.kind == Some(Kind::Directory)).then(|| top.clone()));
        while let Some(dir) = ahead.pop() {
            let node = dir.place.as_ref().map(|place| (place.volume.clone(), place.node));
            if node.is_some_and(|node| !seen.insert(node)) {
                continue;
            }
            for child in self.children(&dir)? {
                if kept.0.contains(&child.path) {
                    continue;
                }
                visit(&child, self)?;
                if child.kind == Some(Kind::Directory) {
                    ahead.push(child);
                }
            }
        }
        Ok(())
    }

    /// The paths that a step leaves alone.
    ///
    /// # Errors
    /// A pattern is none.
    pub fn kept(&self, targets: &Targets) -> Result<Kept, StepError> {
        let mut kept = BTreeSet::new();
        for text in &targets.keep {
            for sought in homes::expand(text, &self.homes)? {
                let found = sought.search(&self.guest.tree);
                kept.extend(found.places.into_iter().map(|place| place.path));
                let made = self.pending.keys().filter(|path| sought.matches(path));
                kept.extend(made.cloned());
            }
        }
        Ok(Kept(kept))
    }

    /// A place as the steps so far will leave it; `None` when they remove it.
    pub(super) fn target(&self, place: Place, matched: &str) -> Result<Option<Target>, StepError> {
        if let Some(pending) = self.pending.get(&place.path) {
            let target = pending.target(&place.path, matched);
            return Ok(target.kind.is_some().then_some(target));
        }
        if self.hidden(&place.path) {
            return Ok(None);
        }
        let stat = self.guest.tree.stat(&place);
        let kind = stat.map_err(|error| StepError::Fs(place.path.clone(), error))?.kind;
        Ok(Some(Target {
            path: place.path.clone(),
            volume: place.volume.clone(),
            fs_path: place.fs_path.clone(),
            kind: Some(kind),
            matched: matched.to_owned(),
            place: Some(place),
        }))
    }

    /// The directory above that is removed or replaced, so that what was below it is gone.
    pub(super) fn hidden_by(&self, path: &GuestPath) -> Option<GuestPath> {
        let mut above = path.parent()?;
        // The greatest pending path that is not behind `above` is the nearest directory above, or
        // shares with it all that a directory above could be: no need to look at each.
        loop {
            let (near, pending) = self.pending.range(..=above.clone()).next_back()?;
            let shared = above.names().zip(near.names()).take_while(|(a, b)| a == b).count();
            if shared < near.depth() {
                above.truncate(shared);
            } else if pending.hides() {
                return Some(near.clone());
            } else if pending.from.is_some() {
                return None;
            } else {
                above = near.parent()?;
            }
        }
    }

    /// Whether what was there is gone with a directory above.
    pub(super) fn hidden(&self, path: &GuestPath) -> bool {
        self.hidden_by(path).is_some()
    }

    /// Notes that a search met a path which is removed by now, itself or with a directory above.
    fn note_gone(&mut self, path: &GuestPath, kept: &Kept, targets: &Targets) {
        if kept.0.contains(path) || targets.reads_content() {
            return;
        }
        let by = match self.pending.get(path) {
            Some(pending) => {
                let kind = pending.original.as_ref().map(|original| original.stat.kind);
                kind.is_some_and(|kind| targets.fits(kind)).then(|| path.clone())
            }
            None => self.hidden_by(path),
        };
        self.gone.extend(by);
    }
}
