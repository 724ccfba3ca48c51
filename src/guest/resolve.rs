//! The way from a path to a node: symlinks resolve inside the guest.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::tree::{Place, Spot, Tree, encrypted};
use super::{FileId, FileState, GuestError, NAMES};
use crate::fs::{FsError, Kind, Node, ReadFs, Stat};
use crate::path::GuestPath;

/// How many symlinks one path may lead through: Linux's `MAXSYMLINKS`.
const MAX_SYMLINKS: u32 = 40;

/// The longest symlink target followed, in bytes: Linux's `PATH_MAX`.
const MAX_TARGET: u64 = 4096;

/// Where a path leads.
#[derive(Debug)]
pub enum Way {
    /// To something.
    To(Reached),
    /// Nothing is there, or the way leads through a non-directory or too many symlinks.
    Nowhere,
    /// It comes by a path that whoever asked goes another way from.
    Turned,
}

/// What a path leads to.
#[derive(Debug)]
pub struct Reached {
    path: GuestPath,
    spot: Spot,
    stat: Stat,
}

impl Reached {
    /// What is there.
    pub fn state(self) -> FileState {
        let Self { path, spot: Spot { mount, node }, stat } = self;
        let Stat { kind, mode, uid, gid, size, .. } = stat;
        let file = Some(FileId { mount, node });
        FileState { path, kind, mode, uid, gid, size, file }
    }

    /// The path, without symlinks.
    pub fn path(&self) -> &GuestPath {
        &self.path
    }

    /// What kind of object is there.
    pub fn kind(&self) -> Kind {
        self.stat.kind
    }

    /// Its length, in bytes.
    pub fn size(&self) -> u64 {
        self.stat.size
    }

    fn failed(&self, source: FsError) -> GuestError {
        GuestError::Fs { path: self.path.clone(), source }
    }
}

/// A directory, or the last name, on the way down a path.
struct Step {
    spot: Spot,
    stat: Stat,
}

impl Tree {
    /// Where a path leads: symlinks to directories on the way are followed inside the guest, one at
    /// its end with `follow` alone. `passes` is shown each path that is looked at on the way, without
    /// symlinks and whether anything is there or not; the way ends where it says no, and wherever one
    /// name may be written in several ways.
    ///
    /// # Errors
    /// A filesystem failed on the way, or a directory on the way is encrypted.
    pub fn way(
        &self,
        path: &GuestPath,
        follow: bool,
        passes: &mut dyn FnMut(&GuestPath) -> bool,
    ) -> Result<Way, GuestError> {
        self.reach(path, follow, Some(passes))
    }

    /// What a path leads to.
    pub(super) fn reached(
        &self,
        path: &GuestPath,
        follow: bool,
    ) -> Result<Option<Reached>, GuestError> {
        Ok(match self.reach(path, follow, None)? {
            Way::To(reached) => Some(reached),
            Way::Nowhere | Way::Turned => None,
        })
    }

    pub(super) fn resolve(
        &self,
        path: &GuestPath,
        follow: bool,
    ) -> Result<Option<Place>, GuestError> {
        Ok(self.reached(path, follow)?.map(|it| self.place_of(it)))
    }

    pub(super) fn place_of(&self, reached: Reached) -> Place {
        self.place(reached.path, reached.spot)
    }

    fn reach(
        &self,
        path: &GuestPath,
        follow: bool,
        mut passes: Option<&mut dyn FnMut(&GuestPath) -> bool>,
    ) -> Result<Way, GuestError> {
        let mut here = GuestPath::root();
        let mut steps: Vec<Step> = Vec::with_capacity(path.depth());
        // The names still to go, the next one last; a name may be empty, `.` or `..` once a
        // symlink's target is among them.
        let mut ahead: Vec<Cow<'_, [u8]>> = path.names().rev().map(Cow::Borrowed).collect();
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            let (dir, kind, locked) = steps.last().map_or_else(
                || (self.root_spot(), Kind::Directory, false),
                |step| (step.spot, step.stat.kind, step.stat.encrypted),
            );
            if kind != Kind::Directory {
                return Ok(Way::Nowhere);
            }
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    steps.pop();
                    here.truncate(steps.len());
                    continue;
                }
                _ => {}
            }
            let fs = self.fs(dir.mount);
            here.push(&name);
            if let Some(passes) = &mut passes
                && (fs.folds_case() || !passes(&here))
            {
                return Ok(Way::Turned);
            }
            let failed = |source| GuestError::Fs { path: here.clone(), source };
            if locked {
                return Err(failed(encrypted()));
            }
            let found = self.looked.lookup(&**fs, dir.mount, dir.node, &name).map_err(failed)?;
            let Some(node) = found else { return Ok(Way::Nowhere) };
            if let Cow::Owned(name) = spelled(&**fs, dir.node, &name).map_err(failed)? {
                here.truncate(steps.len());
                here.push(&name);
            }
            let spot = self.cross(Spot { mount: dir.mount, node });
            let stat = self
                .stat_of(spot)
                .map_err(|source| GuestError::Fs { path: here.clone(), source })?;
            if stat.kind == Kind::Symlink && (follow || !ahead.is_empty()) {
                symlinks += 1;
                if symlinks > MAX_SYMLINKS || stat.size == 0 || stat.size > MAX_TARGET {
                    return Ok(Way::Nowhere);
                }
                let target = self
                    .looked
                    .target(&**fs, dir.mount, node)
                    .map_err(|source| GuestError::Fs { path: here.clone(), source })?;
                if target.is_empty() || target.contains(&0) {
                    return Ok(Way::Nowhere);
                }
                if target.first() == Some(&b'/') {
                    steps.clear();
                }
                here.truncate(steps.len());
                let names = target.split(|&byte| byte == b'/').rev();
                ahead.extend(names.map(|name| Cow::Owned(name.to_vec())));
                continue;
            }
            steps.push(Step { spot, stat });
        }
        let Step { spot, stat } = match steps.pop() {
            Some(step) => step,
            None => {
                let spot = self.root_spot();
                let failed = |source| GuestError::Fs { path: GuestPath::root(), source };
                Step { spot, stat: self.stat_of(spot).map_err(failed)? }
            }
        };
        Ok(Way::To(Reached { path: here, spot, stat }))
    }

    fn stat_of(&self, spot: Spot) -> Result<Stat, FsError> {
        self.looked.stat(&**self.fs(spot.mount), spot.mount, spot.node)
    }

    /// What a place is, asked of its filesystem once.
    ///
    /// # Errors
    /// What the filesystem says.
    pub fn stat(&self, place: &Place) -> Result<Stat, FsError> {
        self.stat_of(Spot { mount: place.mount, node: place.node })
    }

    /// A regular file's content, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is longer, or the filesystem failed.
    pub fn content(&self, file: &Reached, limit: u64) -> Result<Vec<u8>, GuestError> {
        self.fs(file.spot.mount).read(file.spot.node, limit).map_err(|error| file.failed(error))
    }

    /// A symlink's target.
    ///
    /// # Errors
    /// The filesystem failed.
    pub fn target(&self, link: &Reached) -> Result<Vec<u8>, GuestError> {
        let Spot { mount, node } = link.spot;
        let target = self.looked.target(&**self.fs(mount), mount, node);
        target.map(Vec::from).map_err(|error| link.failed(error))
    }

    /// Each name in a directory and what it is, sorted; of more than [`NAMES`] that many.
    ///
    /// # Errors
    /// The filesystem failed, or the directory is encrypted.
    pub fn names(&self, dir: &Reached) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        if dir.kind() != Kind::Directory {
            return Ok(Vec::new());
        }
        if dir.stat.encrypted {
            return Err(dir.failed(encrypted()));
        }
        let Spot { mount, node } = dir.spot;
        let fs = self.fs(mount);
        let mut names = Vec::new();
        if let Some(listing) = self.looked.list(&**fs, mount, node) {
            for (name, node, kind) in listing.iter() {
                let kind = match kind {
                    Some(kind) => kind,
                    None => {
                        let path = || dir.path.join(name);
                        let stat = self.stat_of(Spot { mount, node });
                        stat.map_err(|source| GuestError::Fs { path: path(), source })?.kind
                    }
                };
                names.push((name.to_vec(), kind));
            }
            return Ok(names);
        }
        self.entries(&self.place(dir.path.clone(), dir.spot), &mut |entry| {
            names.push((entry.name.to_vec(), entry.kind));
            if names.len() < NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        names.sort();
        Ok(names)
    }
}

/// A name that a directory has, as it is written there: what is found has one path.
pub(super) fn spelled<'n>(
    fs: &dyn ReadFs,
    dir: Node,
    name: &'n [u8],
) -> Result<Cow<'n, [u8]>, FsError> {
    if !fs.folds_case() {
        return Ok(Cow::Borrowed(name));
    }
    Ok(fs.spelling(dir, name)?.map_or(Cow::Borrowed(name), Cow::Owned))
}
