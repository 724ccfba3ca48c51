//! A guest and what is going to be done to it, while the steps are worked out one after another.
//!
//! A later step sees what the earlier ones will do. At the end each path has one change at most.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::before;
use super::content::Content;
use super::step::StepError;
use super::targets::Scan;
use crate::fs::{Kind, ReadFs, Timestamp, Xattr};
use crate::guest::{Guest, Place, Unread};
use crate::path::GuestPath;
use crate::secret::{Finding, Spot};
use crate::volume::VolumeId;

mod changing;
mod content;
mod copying;
mod files;
mod finish;
mod follow;
mod homes;
mod labels;
mod leaving;
mod lookup;
mod moving;
mod pending;
mod privileges;
mod removal;
mod search;
mod storing;
mod unpacking;
mod volumes;

pub use changing::CHANGES;
use changing::difference;
pub use content::EDITABLE_BYTES;
pub use finish::Drafted;
use homes::Home;
pub use labels::Labels;
pub use leaving::Going;
use pending::Pending;
pub use pending::Proposal;
pub(crate) use volumes::Renewal;
pub use volumes::{Surroundings, VolumeProposal};

/// How many bytes of the host's files stand in the plan of one guest: it is held in memory.
const INLINE_TOTAL: u64 = 4 << 20;

/// How many refusals are listed one by one for an operation.
const REFUSALS: usize = 1000;

/// A path that a step did not change although it was asked to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which operation, by its place in the run.
    pub by: usize,
    /// Where.
    pub path: GuestPath,
    /// Why.
    pub reason: String,
    /// It is on the disk and was to be changed or taken away; what is only told, is not.
    pub stays: bool,
}

/// A secret that a step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which operation, by its place in the run.
    pub by: usize,
    /// Where, and of what kind.
    pub finding: Finding,
}

/// A file that an edit would change again, because it matches its own result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Which operation, by its place in the run.
    pub by: usize,
    /// Where.
    pub path: GuestPath,
}

/// A path as the steps so far will leave it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The path in the guest; its directory is canonical.
    pub path: GuestPath,
    /// The volume of its filesystem.
    pub volume: VolumeId,
    /// The path within that filesystem.
    pub fs_path: GuestPath,
    /// What is there; `None` when nothing is, and the directory is.
    pub kind: Option<Kind>,
    /// The pattern that found it.
    pub matched: String,
    place: Option<Place>,
}

/// Paths that stay as they are, and with them the directories that lead there.
#[derive(Clone, Debug, Default)]
pub struct Kept(BTreeSet<GuestPath>);

/// A new object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    /// A regular file with this content.
    File(Content),
    /// A directory.
    Directory,
    /// A symlink to this target.
    Symlink(Vec<u8>),
    /// A device with its major and minor number, a pipe or a socket.
    Special(Kind, (u32, u32)),
}

/// Metadata beside owner and mode: what is `None` becomes the time of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Modification time.
    pub mtime: Option<Timestamp>,
    /// Access time.
    pub atime: Option<Timestamp>,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
    /// Names of extended attributes that it is not to have.
    pub without: Vec<&'static str>,
}

/// A new object's permission bits and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Tells why a volume's filesystem cannot be edited, where it cannot.
pub(crate) type ReadOnly<'a> = &'a dyn Fn(&VolumeId) -> Option<String>;

/// The guest and its pending changes.
pub struct Draft<'a> {
    guest: &'a Guest,
    read_only: ReadOnly<'a>,
    by: usize,
    homes: Vec<Arc<Home>>,
    scans: Vec<(Scan, Vec<GuestPath>)>,
    /// Directories that the walk for the scans left out.
    unread: Vec<Unread>,
    /// The walk for the scans found more than a plan holds.
    overflow: bool,
    pending: BTreeMap<GuestPath, Pending>,
    /// Paths that the last search would have found, were they not removed by now.
    gone: Vec<GuestPath>,
    refused: Vec<Refused>,
    found: Vec<Told>,
    unsettled: Vec<Unsettled>,
    /// How many more bytes of the host's files the plan holds.
    inline_left: u64,
    around: Surroundings<'a>,
    volumes: Vec<VolumeProposal>,
    kept: BTreeSet<VolumeId>,
    /// How many groups of names there are.
    groups: usize,
    /// How many changes were asked for.
    asked: u64,
    /// Existing files that are the one of a group.
    anchors: HashMap<usize, Target>,
}

impl<'a> Draft<'a> {
    /// A draft without changes. `scans` are what the steps look for in whole trees; they are
    /// answered by one walk, now.
    pub fn new(
        guest: &'a Guest,
        read_only: ReadOnly<'a>,
        scans: &[&Scan],
        around: Surroundings<'a>,
    ) -> Self {
        let mut draft = Self {
            guest,
            read_only,
            by: 0,
            homes: homes::of(guest),
            scans: Vec::new(),
            unread: Vec::new(),
            overflow: false,
            pending: BTreeMap::new(),
            gone: Vec::new(),
            refused: Vec::new(),
            found: Vec::new(),
            unsettled: Vec::new(),
            inline_left: INLINE_TOTAL,
            around,
            volumes: Vec::new(),
            kept: BTreeSet::new(),
            groups: 0,
            asked: 0,
            anchors: HashMap::new(),
        };
        draft.walk(scans);
        draft
    }

    /// Everything from now on is asked for by the operation with this place in the run.
    pub fn begin(&mut self, operation: usize) {
        self.by = operation;
    }

    /// The guest.
    pub fn guest(&self) -> &Guest {
        self.guest
    }

    /// How many changes were asked for so far, one that replaces another included.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// What was refused.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Says that the running operation asks for the removal, too, of what its last search would
    /// have found were it not removed by now.
    pub fn agree(&mut self) {
        for path in std::mem::take(&mut self.gone) {
            self.attribute(&path, &[self.by]);
        }
    }

    fn attribute(&mut self, path: &GuestPath, by: &[usize]) {
        if let Some(pending) = self.pending.get_mut(path) {
            pending.attribute(by);
        }
    }

    /// Why what is at a path cannot be changed, where it cannot.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn obstacle(&self, target: &Target) -> Result<Option<String>, StepError> {
        if let Some(reason) = (self.read_only)(&target.volume) {
            return Ok(Some(reason));
        }
        let Some(place) = &target.place else { return Ok(None) };
        let stat = self.guest.tree.stat(place);
        let stat = stat.map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(before::obstacle(&stat).map(str::to_owned))
    }

    /// Permission bits and owner as the steps so far will leave them; `None` where nothing is.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn owned(&self, target: &Target) -> Result<Option<Owned>, StepError> {
        if let Some(pending) = self.pending.get(&target.path) {
            return Ok(pending.after.owned());
        }
        let Some(place) = &target.place else { return Ok(None) };
        let stat = self.guest.tree.stat(place);
        let stat = stat.map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(Some(Owned { mode: stat.mode, uid: stat.uid, gid: stat.gid }))
    }

    /// The node of an existing file that is there as it was, and how many names it has.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn names_of(&self, target: &Target) -> Result<Option<(u64, u32)>, StepError> {
        let Some(place) = &target.place else { return Ok(None) };
        let stat = place.stat().map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(Some((place.node.0, stat.links)))
    }

    /// A volume's filesystem, as it is before the run.
    fn filesystem(&self, volume: &VolumeId) -> Option<Arc<dyn ReadFs>> {
        let mount = self.guest.tree.mounts().iter().find(|mount| mount.volume == *volume);
        mount.map(|mount| Arc::clone(&mount.fs))
    }

    /// Whether a volume's filesystem keeps owners and modes; FAT does not.
    pub fn keeps_owners(&self, volume: &VolumeId) -> bool {
        self.filesystem(volume).is_none_or(|fs| fs.info().kind != "vfat")
    }

    /// Notes that a path is left alone, and why.
    pub fn refuse(&mut self, path: &GuestPath, reason: impl Into<String>) {
        self.refuse_as(path, reason.into(), false);
    }

    fn refuse_as(&mut self, path: &GuestPath, reason: String, stays: bool) {
        let refused = Refused { by: self.by, path: path.clone(), reason, stays };
        let mine = self.refused.iter().filter(|it| it.by == self.by).count();
        if mine < REFUSALS && !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }

    /// Notes that the next run would change a file again.
    pub fn unsettle(&mut self, path: &GuestPath) {
        let unsettled = Unsettled { by: self.by, path: path.clone() };
        if !self.unsettled.contains(&unsettled) {
            self.unsettled.push(unsettled);
        }
    }

    /// Notes a secret in a file.
    ///
    /// # Errors
    /// More secrets than a plan holds.
    pub fn tell(&mut self, path: &GuestPath, at: Spot, kind: String) -> Result<(), StepError> {
        if self.found.len() >= CHANGES {
            return Err(StepError::TooMany(CHANGES));
        }
        let finding = Finding { path: path.clone(), at, kind };
        self.found.push(Told { by: self.by, finding });
        Ok(())
    }
}
