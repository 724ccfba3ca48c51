//! Removing: what may go, and that everything goes once.

use std::collections::HashMap;

use super::pending::{After, Pending};
use super::{Draft, Kept, Owned, Proposal, Refused, Target};
use crate::fs::Kind;
use crate::guest::Place;
use crate::operation::action::Action;
use crate::operation::step::StepError;
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// Directories that a guest does not live without: what is in them may go, they do not.
const ESSENTIAL: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

/// Those of them that are there to be emptied.
const TEMPORARY: &[&str] = &["/run", "/tmp", "/var/tmp"];

/// Where `e2fsck` puts what it finds without a name, in the root of an ext filesystem; it cannot
/// always make one when it needs it.
const LOST_FOUND: &[u8] = b"/lost+found";

impl Draft<'_> {
    /// Removes a path, a directory with everything below it. What the guest or its filesystems need
    /// stays, and is noted; a directory on the way to what stays is emptied around it. A symlink
    /// goes itself, never what it points at.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn remove(&mut self, target: &Target, kept: &Kept) -> Result<(), StepError> {
        if kept.0.contains(&target.path) {
            return Ok(());
        }
        // A search finds a directory and what is in it; that went with the directory.
        if !self.pending.contains_key(&target.path)
            && let Some(dir) = self.hidden_by(&target.path)
        {
            if self.pending.get(&dir).is_some_and(|it| it.after == After::Absent) {
                self.attribute(&dir, &[self.by]);
            }
            return Ok(());
        }
        let is_directory = target.kind == Some(Kind::Directory);
        let below = |path: &GuestPath| path != &target.path && path.starts_with(&target.path);
        let around = is_directory && kept.0.iter().any(below);
        if !around && let Some(reason) = self.needed(target) {
            self.refuse(&target.path, reason);
            return Ok(());
        }
        if around || is_directory && self.guest.tree.mounts().iter().any(|mount| below(&mount.at)) {
            for child in self.children(target)? {
                self.remove(&child, kept)?;
            }
            return Ok(());
        }
        // Whatever was planned below goes with it.
        let below: Vec<GuestPath> = self
            .pending
            .range(target.path.clone()..)
            .skip_while(|(path, _)| **path == target.path)
            .take_while(|(path, _)| path.starts_with(&target.path))
            .map(|(path, _)| path.clone())
            .collect();
        let moved = self.pending.get(&target.path).is_some_and(|it| it.from.is_some());
        if moved {
            for path in below.iter().chain([&target.path]) {
                self.goes_at_home(path);
            }
            for path in below {
                self.pending.remove(&path);
            }
            return Ok(());
        }
        let Some(original) = self.original(target, true)? else { return Ok(()) };
        let mut by = Vec::new();
        for path in below {
            self.goes_at_home(&path);
            if let Some(pending) = self.pending.remove(&path)
                && pending.after == After::Absent
            {
                by.extend(pending.by);
            }
        }
        let why = format!("matches {}", target.matched);
        self.put(target, original, After::Absent, why)?;
        self.attribute(&target.path, &by);
        Ok(())
    }

    /// The essential directories that a place is: a mount or a link may show one at another path.
    fn essentials(&self, place: &Place) -> Vec<&'static str> {
        let tree = &self.guest.tree;
        let is_it = |path: &&&str| {
            // In the root filesystem it is one even where a mount hides it.
            place.volume == self.guest.root && path.as_bytes() == place.fs_path.to_bytes()
                || path
                    .parse()
                    .ok()
                    .and_then(|path| tree.locate(&path).ok().flatten())
                    .is_some_and(|it| it.volume == place.volume && it.fs_path == place.fs_path)
        };
        // Only what lies in the right place of its filesystem is worth looking up.
        let name = place.fs_path.name();
        let may_be = |path: &&&str| {
            place.fs_path.is_root() || path.as_bytes().rsplit(|&it| it == b'/').next() == name
        };
        ["/"].iter().chain(ESSENTIAL).filter(may_be).filter(is_it).copied().collect()
    }

    /// Why what is in a directory stays: it is found under another path than its own, and a guest
    /// does not live without it there.
    pub fn is_elsewhere(&self, named: &GuestPath, dir: &Target) -> Option<String> {
        let place = dir.place.as_ref()?;
        if *named == dir.path && place.fs_path == dir.path {
            return None;
        }
        self.essentials(place)
            .into_iter()
            .find(|it| it.as_bytes() != named.to_bytes() && !TEMPORARY.contains(it))
            .map(|it| format!("it leads to {it}, which the guest needs"))
    }

    /// Why a path stays whoever asks: the guest or its filesystem does not do without.
    pub fn needed(&self, target: &Target) -> Option<&'static str> {
        let path = target.path.to_bytes();
        match target.kind {
            _ if target.path.is_root() => Some("the guest's root directory"),
            // `/bin` is a symlink in most guests, and they do not start without it.
            Some(Kind::Directory | Kind::Symlink)
                if ESSENTIAL.iter().any(|it| it.as_bytes() == path) =>
            {
                Some("a directory that the guest needs; what is in it can go ('empty')")
            }
            Some(Kind::Directory) => {
                let place = target.place.as_ref()?;
                if place.fs_path != target.path && !self.essentials(place).is_empty() {
                    Some("a directory that the guest needs, shown here, too")
                } else if self.guest.tree.is_mount_point(place) {
                    Some("another filesystem is mounted there; what is in it can go ('empty')")
                } else if place.fs_path.to_bytes() == LOST_FOUND
                    && place.fs().info().kind.starts_with("ext")
                {
                    Some("the directory that e2fsck saves lost files in")
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// A directory that was removed and is wanted again stays, and keeps its labels: what is in it
    /// goes. Whether this is such a one.
    pub(super) fn made_again(&mut self, target: &Target, owned: Owned) -> Result<bool, StepError> {
        let Some(Pending { original: Some(original), left: false, after: After::Absent, .. }) =
            self.pending.get(&target.path)
        else {
            return Ok(false);
        };
        if original.stat.kind != Kind::Directory {
            return Ok(false);
        }
        let place = original.place.clone();
        let Some(removed) = self.pending.remove(&target.path) else { return Ok(false) };
        let Some(dir) = self.target(place, &target.matched)? else { return Ok(false) };
        for child in self.children(&dir)? {
            self.remove(&child, &Kept::default())?;
            if let Some(pending) = self.pending.get_mut(&child.path) {
                pending.by.clone_from(&removed.by);
                pending.why.clone_from(&removed.why);
            }
        }
        self.set_owned(&dir, owned, format!("names {}", target.path))?;
        Ok(true)
    }
}

/// Leaves out what goes with a directory that shows at another path of the guest, too (a bind
/// mount): it is removed there. What would be made or changed in it is refused.
pub(super) fn once(
    proposals: Vec<Proposal>,
    mut refused: Vec<Refused>,
) -> (Vec<Proposal>, Vec<Refused>) {
    let taken: HashMap<(VolumeId, GuestPath), usize> = proposals
        .iter()
        .enumerate()
        .filter(|(_, it)| takes_away(&it.action))
        .map(|(at, it)| ((it.volume.clone(), it.fs_path.clone()), at))
        .collect();
    let mut with: Vec<Option<usize>> = vec![None; proposals.len()];
    for (proposal, with) in proposals.iter().zip(&mut with) {
        let mut above = (proposal.volume.clone(), proposal.fs_path.clone());
        while let Some(dir) = above.1.parent() {
            above.1 = dir;
            let Some(other) = taken.get(&above) else { continue };
            // Below a directory that takes the place of something, new things are made.
            if proposals.get(*other).is_some_and(|it| !proposal.path.starts_with(&it.path)) {
                *with = Some(*other);
            }
        }
    }
    let mut by: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut left = Vec::with_capacity(proposals.len());
    let names: Vec<GuestPath> = proposals.iter().map(|it| it.path.clone()).collect();
    for ((at, proposal), with) in proposals.into_iter().enumerate().zip(with) {
        match with {
            None => left.push((at, proposal)),
            Some(other) if matches!(proposal.action, Action::Remove { .. }) => {
                by.entry(other).or_default().extend(proposal.by);
            }
            Some(other) => {
                let reason = match names.get(other) {
                    Some(dir) => format!("the same directory shows at {dir}, which is removed"),
                    None => "its directory is removed".to_owned(),
                };
                refused.extend(proposal.by.iter().map(|&by| Refused {
                    by,
                    path: proposal.path.clone(),
                    reason: reason.clone(),
                    stays: false,
                }));
            }
        }
    }
    let left = left.into_iter().map(|(at, mut proposal)| {
        proposal.attribute(by.get(&at).map_or(&[], Vec::as_slice));
        proposal
    });
    (left.collect(), refused)
}

/// Whether what is below a path goes with this.
fn takes_away(action: &Action) -> bool {
    match action {
        Action::Remove { kind, .. } => *kind == Kind::Directory,
        Action::CreateFile { replaces, .. }
        | Action::CreateDirectory { replaces, .. }
        | Action::CreateSymlink { replaces, .. }
        | Action::CreateSpecial { replaces, .. }
        | Action::CreateLink { replaces, .. }
        | Action::Move { replaces, .. } => replaces.is_some_and(|it| it.kind == Kind::Directory),
        Action::Update { .. } | Action::Wipe { .. } => false,
    }
}
