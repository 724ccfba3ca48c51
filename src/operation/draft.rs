//! A guest and what is going to be done to it, while the steps are worked out one after another.
//!
//! A later step sees what the earlier ones will do. At the end each path has one change at most.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::action::Action;
use super::before::{self, Survey};
use super::content::{Content, ContentSource, HostContent};
use super::step::StepError;
use super::targets::Scan;
use crate::digest::Digest;
use crate::fs::{FsError, Kind, MetaChange, ReadFs, Stat, Storing, Timestamp, Xattr};
use crate::guest::{Guest, Place, Unread};
use crate::path::GuestPath;
use crate::secret::{Finding, Spot};
use crate::volume::VolumeId;

mod copying;
mod files;
mod follow;
mod labels;
mod moving;
mod pending;
mod privileges;
mod removal;
mod search;
mod storing;
mod unpacking;
mod volumes;

pub use labels::Labels;
pub use pending::Proposal;
use pending::{After, Original, Pending};
pub(crate) use volumes::Renewal;
pub use volumes::{Surroundings, VolumeProposal};

/// The largest file whose content a step edits or tests. Configuration and login records are
/// far smaller; a plan holds the new content.
pub const EDITABLE_BYTES: u64 = 4 << 20;

/// The longest file of the host whose bytes stand in a plan; of a longer one it says where it is.
const INLINE_BYTES: u64 = 64 << 10;

/// How many bytes of the host's files stand in the plan of one guest: it is held in memory.
const INLINE_TOTAL: u64 = 4 << 20;

/// How many paths one plan changes at most. A removed directory is one path, so no real guest
/// comes near, and a hostile one cannot make the plan fill the memory.
pub const CHANGES: usize = 50_000;

/// How much of a file is shown at a time.
const PIECE: usize = 256 << 10;

/// How many refusals are listed one by one for an operation.
const REFUSALS: usize = 1000;

/// Symlinks that one path may lead through, those not yet made included: Linux's `MAXSYMLINKS`.
const SYMLINKS: usize = 40;

/// A path that a step did not change although it was asked to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which operation, by its place in the run.
    pub by: usize,
    /// Where.
    pub path: GuestPath,
    /// Why.
    pub reason: String,
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

/// What all steps together come to.
#[derive(Debug, Default)]
pub struct Drafted {
    /// Every change, by path.
    pub proposals: Vec<Proposal>,
    /// Every change of a volume as a whole, in the order they were asked for.
    pub volumes: Vec<VolumeProposal>,
    /// Volumes that keep their UUIDs, those of other guests included.
    pub kept: BTreeSet<VolumeId>,
    /// What is left alone.
    pub refused: Vec<Refused>,
    /// Secrets in files that stay.
    pub found: Vec<Told>,
    /// What the next run would change again.
    pub unsettled: Vec<Unsettled>,
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
    homes: Vec<GuestPath>,
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
            homes: homes(guest),
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
    fn child(
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

    /// A regular file's content as the steps so far will leave it. `None` when it is no regular
    /// file, and with a refusal when it is too large or encrypted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn content(&mut self, target: &Target) -> Result<Option<Vec<u8>>, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(None);
        }
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if let Some(content) = self.new_content(target) {
            let size = content.len();
            if size <= EDITABLE_BYTES {
                return content.bytes(&|volume| self.filesystem(volume)).map(Some).map_err(failed);
            }
            self.refuse(&target.path, too_long(size));
            return Ok(None);
        }
        let Some(place) = &target.place else { return Ok(None) };
        let stat = place.stat().map_err(failed)?;
        if stat.encrypted {
            self.refuse(&target.path, "encrypted by its filesystem");
            return Ok(None);
        }
        if stat.size > EDITABLE_BYTES {
            self.refuse(&target.path, too_long(stat.size));
            return Ok(None);
        }
        let mut content = place.read(EDITABLE_BYTES).map_err(failed)?;
        self.wipe_piece(target, 0, &mut content);
        Ok(Some(content))
    }

    /// Zeroes of what was read of a file, from the byte `at` on, what is to be wiped.
    fn wipe_piece(&self, target: &Target, at: u64, piece: &mut [u8]) {
        let Some(from) = self.wiped_from(target) else { return };
        let kept = usize::try_from(from.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(wiped) = piece.get_mut(kept..) {
            wiped.fill(0);
        }
    }

    /// The byte from which on a file is to be zeroed, where it is.
    fn wiped_from(&self, target: &Target) -> Option<u64> {
        self.pending.get(&target.path).and_then(|pending| pending.after.wiped_from())
    }

    /// The content of the regular file that a path leads to, as [`content`](Self::content); `None`
    /// where there is none.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn content_at(&mut self, path: &GuestPath) -> Result<Option<Vec<u8>>, StepError> {
        match self.at(path, true)? {
            Some(target) => self.content(&target),
            None => Ok(None),
        }
    }

    /// The content that the steps so far give a file, where they do.
    fn new_content(&self, target: &Target) -> Option<&Content> {
        match self.pending.get(&target.path).map(|pending| &pending.after) {
            Some(After::File { content, .. }) => content.as_ref(),
            _ => None,
        }
    }

    /// Whether a regular file will hold this, as the steps so far leave it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn holds(&self, target: &Target, length: u64, digest: Digest) -> Result<bool, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(false);
        }
        if let Some(content) = self.new_content(target) {
            return Ok(content.len() == length && content.digest() == digest);
        }
        let Some(place) = &target.place else { return Ok(length == 0) };
        let failed = |error| StepError::Fs(target.path.clone(), error);
        let stat = place.stat().map_err(failed)?;
        if stat.size != length || stat.encrypted || self.wiped_from(target).is_some() {
            return Ok(false);
        }
        Ok(before::of_content(&**place.fs(), place.node, length).map_err(failed)? == digest)
    }

    /// What a host's file holds, as a plan has it: the bytes of a few small ones, of others where
    /// they are.
    ///
    /// # Errors
    /// The file changed since, or is gone.
    pub fn bring(&mut self, host: &HostContent) -> Result<Content, StepError> {
        let content = Content::Host(host.clone());
        if host.length > INLINE_BYTES.min(self.inline_left) {
            return Ok(content);
        }
        self.inline_left -= host.length;
        let bytes = content.bytes(&|_| None).map_err(|error| StepError::Host(error.to_string()))?;
        Ok(bytes.into())
    }

    /// Shows a regular file's content in pieces, as the steps so far will leave it, until `Break`.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn pieces(
        &self,
        target: &Target,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StepError> {
        let failed = |error| StepError::Fs(target.path.clone(), error);
        let mut piece = vec![0; PIECE];
        if let Some(content) = self.new_content(target) {
            let originals = |volume: &VolumeId| self.filesystem(volume);
            let mut source = content.source(&originals).map_err(failed)?;
            let mut left = content.len();
            while left > 0 {
                let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                source(&mut piece[..len]).map_err(failed)?;
                if visit(&piece[..len]).is_break() {
                    break;
                }
                left -= len as u64;
            }
            return Ok(());
        }
        let Some(place) = target.place.as_ref().filter(|_| target.kind == Some(Kind::File)) else {
            return Ok(());
        };
        let mut at = 0;
        loop {
            let read = place.fs().read_at(place.node, at, &mut piece).map_err(failed)?.min(PIECE);
            self.wipe_piece(target, at, &mut piece[..read]);
            if read == 0 || visit(&piece[..read]).is_break() {
                return Ok(());
            }
            at += read as u64;
        }
    }

    /// Reads a regular file from its beginning, as the steps so far will leave it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn reading<T>(
        &self,
        target: &Target,
        with: impl FnOnce(&mut dyn Read) -> T,
    ) -> Result<T, StepError> {
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if let Some(content) = self.new_content(target) {
            let originals = |volume: &VolumeId| self.filesystem(volume);
            let source = content.source(&originals).map_err(failed)?;
            return Ok(with(&mut SourceReader { source, left: content.len() }));
        }
        match target.place.as_ref().filter(|_| target.kind == Some(Kind::File)) {
            Some(place) => {
                let kept = self.wiped_from(target).unwrap_or(u64::MAX);
                let wiped = self.size(target)?.saturating_sub(kept);
                let kept = place.reader().take(kept);
                Ok(with(&mut kept.chain(io::repeat(0).take(wiped))))
            }
            None => Ok(with(&mut std::io::empty())),
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
        let stat = place.stat().map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(before::obstacle(&stat).map(str::to_owned))
    }

    /// A file's length as the steps so far will leave it; 0 for what is no regular file.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn size(&self, target: &Target) -> Result<u64, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(0);
        }
        if let Some(content) = self.new_content(target) {
            return Ok(content.len());
        }
        match &target.place {
            Some(place) => {
                let stat = place.stat();
                Ok(stat.map_err(|error| StepError::Fs(target.path.clone(), error))?.size)
            }
            None => Ok(0),
        }
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
        let stat = place.stat().map_err(|error| StepError::Fs(target.path.clone(), error))?;
        Ok(Some(Owned { mode: stat.mode, uid: stat.uid, gid: stat.gid }))
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
        let refused = Refused { by: self.by, path: path.clone(), reason: reason.into() };
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

    /// Gives a regular file new content; owner, mode and extended attributes stay.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn set_content(
        &mut self,
        target: &Target,
        content: impl Into<Content>,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(owned) = self.owned(target)? else { return Ok(()) };
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        let content = content.into();
        if !self.can_store(target, &Storing::Content(content.len()))? {
            return Ok(());
        }
        let content = Some(content);
        self.put(target, original, After::File { content, owned }, why.into())?;
        self.each_name(&target.path, |pending| {
            if let Some(extra) = &mut pending.extra {
                (extra.mtime, extra.atime) = (None, None);
            }
        });
        Ok(())
    }

    /// Zeroes a regular file's content from a byte on, where it is not zero; length, storage, owner,
    /// mode and extended attributes stay.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn wipe(
        &mut self,
        target: &Target,
        from: u64,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(owned) = self.owned(target)? else { return Ok(()) };
        // What gets other content keeps nothing of it.
        if matches!(
            self.pending.get(&target.path).map(|pending| &pending.after),
            Some(After::File { content: Some(_), .. })
        ) {
            return Ok(());
        }
        let from = self.wiped_from(target).map_or(from, |earlier| earlier.min(from));
        let Some(place) = &target.place else { return Ok(()) };
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if place.fs().is_zero(place.node, from).map_err(failed)? {
            return Ok(());
        }
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        self.put(target, original, After::Wiped { from, owned }, why.into())
    }

    /// Changes permission bits or owner.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn set_owned(
        &mut self,
        target: &Target,
        owned: Owned,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        let Some(now) = self.owned(target)? else { return Ok(()) };
        let Some(kind) = target.kind.filter(|_| now != owned) else { return Ok(()) };
        let change = difference(now, owned);
        if !self.can_store(target, &Storing::Meta(self.node(target), kind, &change))? {
            return Ok(());
        }
        let Some(original) = self.original(target, false)? else { return Ok(()) };
        let after = match self.pending.get(&target.path) {
            Some(pending) => pending.after.clone().with(owned),
            None => After::Same { kind, owned },
        };
        self.put(target, original, after, why.into())?;
        self.each_name(&target.path, |_| {});
        Ok(())
    }

    /// Changes what a path will be, and with it all other names of a file that is made with them.
    fn each_name(&mut self, path: &GuestPath, change: impl Fn(&mut Pending)) {
        let Some(pending) = self.pending.get_mut(path) else { return };
        change(pending);
        let (after, group) = (pending.after.clone(), pending.group);
        if group.is_some() {
            for pending in self.pending.values_mut().filter(|it| it.group == group) {
                pending.after = after.clone();
                change(pending);
            }
        }
    }

    /// Makes a new object at a path where nothing is, or in place of what is there.
    ///
    /// # Errors
    /// The guest cannot be read; too many changes.
    pub fn create(
        &mut self,
        target: &Target,
        new: New,
        owned: Owned,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        self.create_with(target, new, owned, None, why)
    }

    /// The same, with times and extended attributes.
    fn create_with(
        &mut self,
        target: &Target,
        new: New,
        owned: Owned,
        extra: Option<Extra>,
        why: impl Into<String>,
    ) -> Result<(), StepError> {
        if !self.can_create(target, &new, owned, extra.as_ref())? {
            return Ok(());
        }
        if new == New::Directory && self.made_again(target, owned)? {
            return Ok(());
        }
        let moved = self.pending.get(&target.path).is_some_and(|it| it.from.is_some());
        let free = Target { place: None, kind: None, ..target.clone() };
        let target = if moved { &free } else { target };
        self.goes_at_home(&target.path);
        let Some(original) = self.original(target, true)? else { return Ok(()) };
        if original.is_none() && !self.may_create(target)? {
            return Ok(());
        }
        // Its other names keep what they have.
        let several =
            original.as_ref().is_some_and(|it| it.stat.kind == Kind::File && it.stat.links > 1);
        let group = matches!(new, New::File(_)) && several;
        let group = group.then(|| self.new_group());
        let after = match new {
            New::File(content) => After::File { content: Some(content), owned },
            New::Directory => After::Directory { owned },
            New::Symlink(target) => After::Symlink { target, owned },
            New::Special(kind, device) => After::Special { kind, device, owned },
        };
        self.put(target, original, after, why.into())?;
        if let Some(pending) = self.pending.get_mut(&target.path) {
            (pending.extra, pending.group) = (extra, group);
        }
        Ok(())
    }

    /// Whether the directory of a new path takes it.
    fn may_create(&mut self, target: &Target) -> Result<bool, StepError> {
        if let Some(reason) = (self.read_only)(&target.volume) {
            self.refuse(&target.path, reason);
            return Ok(false);
        }
        let Some(dir) = target.path.parent() else { return Ok(false) };
        if self.pending.contains_key(&dir) {
            return Ok(true);
        }
        let Some(place) = self.locate(&dir)? else { return Ok(true) };
        let stat = place.stat().map_err(|error| StepError::Fs(dir.clone(), error))?;
        if let Some(reason) = before::obstacle(&stat) {
            self.refuse(&target.path, format!("its directory: {reason}"));
            return Ok(false);
        }
        Ok(true)
    }

    /// What is at a path on the disk, surveyed with everything below where `whole`. The outer
    /// `None` is a refusal, which is noted; the inner one says that nothing is there.
    #[allow(clippy::option_option, reason = "refused, absent and present are three answers")]
    fn original(
        &mut self,
        target: &Target,
        whole: bool,
    ) -> Result<Option<Option<Box<Original>>>, StepError> {
        if let Some(pending) = self.pending.get(&target.path) {
            let mut original = pending.original.clone();
            if let (Some(original), true) = (&mut original, whole)
                && original.survey.is_none()
            {
                match survey(&original.place)? {
                    Ok(survey) => original.survey = Some(survey),
                    Err(reason) => {
                        self.refuse(&target.path, reason);
                        return Ok(None);
                    }
                }
            }
            return Ok(Some(original));
        }
        let Some(place) = target.place.clone() else { return Ok(Some(None)) };
        if let Some(reason) = (self.read_only)(&target.volume) {
            self.refuse(&target.path, reason);
            return Ok(None);
        }
        let stat: Stat = place.stat().map_err(|error| StepError::Fs(target.path.clone(), error))?;
        if let Some(reason) = before::obstacle(&stat) {
            self.refuse(&target.path, reason);
            return Ok(None);
        }
        let mut original = Original { place, stat, survey: None };
        if whole {
            match survey(&original.place)? {
                Ok(survey) => original.survey = Some(survey),
                Err(reason) => {
                    self.refuse(&target.path, reason);
                    return Ok(None);
                }
            }
        }
        Ok(Some(Some(Box::new(original))))
    }

    fn put(
        &mut self,
        target: &Target,
        original: Option<Box<Original>>,
        after: After,
        why: String,
    ) -> Result<(), StepError> {
        self.asked += 1;
        let mut by = vec![self.by];
        let (mut left, mut from, mut extra, mut group) = (false, None, None, None);
        let was_there = match self.pending.get(&target.path) {
            Some(earlier) => earlier.after.kind().is_some(),
            None => original.is_some(),
        };
        if was_there != after.kind().is_some() {
            self.changes_names_at(&target.path);
        }
        if let Some(earlier) = self.pending.remove(&target.path) {
            by.extend(earlier.by);
            (left, from) = (earlier.left, earlier.from);
            (extra, group) = (earlier.extra, earlier.group);
        } else if self.pending.len() >= CHANGES {
            return Err(StepError::TooMany(CHANGES));
        }
        let pending = Pending {
            volume: target.volume.clone(),
            fs_path: target.fs_path.clone(),
            original,
            left,
            from,
            after,
            extra,
            group,
            by: Vec::new(),
            why,
        };
        self.pending.insert(target.path.clone(), pending);
        self.attribute(&target.path, &by);
        Ok(())
    }

    /// A name comes or goes: its directory has the time of the run, whatever it was given before.
    fn changes_names_at(&mut self, path: &GuestPath) {
        let dir = path.parent().and_then(|dir| self.pending.get_mut(&dir));
        if let Some(Pending { extra: Some(extra), .. }) = dir {
            (extra.mtime, extra.atime) = (None, None);
        }
    }

    /// Whether nothing of the file's content will be left.
    fn goes(&self, path: &GuestPath) -> bool {
        match self.pending.get(path).map(|pending| &pending.after) {
            Some(After::File { content: Some(content), .. }) => content.is_empty(),
            Some(after) => after.kind() != Some(Kind::File),
            None => self.hidden(path),
        }
    }

    /// What the steps come to, changes by path. Changes that undo each other are none; what
    /// shows at two paths is changed once.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn finish(mut self) -> Result<Drafted, StepError> {
        // A later step may have taken the file away.
        let mut found = std::mem::take(&mut self.found);
        found.retain(|told| !self.goes(&told.finding.path));
        let mut unsettled = std::mem::take(&mut self.unsettled);
        unsettled.retain(|it| !self.goes(&it.path));
        let mut proposals: Vec<Proposal> = Vec::new();
        let mut places: HashMap<(VolumeId, GuestPath), usize> = HashMap::new();
        let mut files: HashMap<(VolumeId, u64), usize> = HashMap::new();
        let mut refused = std::mem::take(&mut self.refused);
        let mut firsts = HashMap::new();
        for (group, anchor) in std::mem::take(&mut self.anchors) {
            // A later step may have taken it away.
            if self.at(&anchor.path, false)?.is_some_and(|it| it.kind == Some(Kind::File)) {
                firsts.insert((group, anchor.volume), anchor.fs_path);
            }
        }
        for (path, pending) in self.pending {
            let node = pending.object().map(|original| original.place.node.0);
            let several = pending.object().is_some_and(|it| it.stat.links > 1);
            let failed = |error: FsError| StepError::Fs(path.clone(), error);
            let group = pending.group;
            let Some(mut proposal) = pending.into_proposal(&path).map_err(failed)? else {
                continue;
            };
            if let (Some(group), Action::CreateFile { replaces, .. }) = (group, &proposal.action) {
                match firsts.entry((group, proposal.volume.clone())) {
                    Entry::Occupied(first) => {
                        let (to, replaces) = (first.get().clone(), *replaces);
                        proposal.action = Action::CreateLink { to, replaces };
                    }
                    Entry::Vacant(first) => {
                        first.insert(proposal.fs_path.clone());
                    }
                }
            }
            let place = (proposal.volume.clone(), proposal.fs_path.clone());
            let mut earlier = places.get(&place).copied();
            // Content and metadata belong to the file, whichever of its names led to it.
            if let (true, Some(node), None) = (several && proposal.is_update(), node, earlier) {
                let file = (proposal.volume.clone(), node);
                earlier = files.get(&file).copied();
                files.entry(file).or_insert(proposals.len());
            }
            match earlier.and_then(|index| proposals.get_mut(index)) {
                Some(same) if same.action == proposal.action => same.attribute(&proposal.by),
                Some(other) => {
                    let reason = format!("the same file as {}, which is to differ", other.path);
                    for by in proposal.by {
                        refused.push(Refused { by, path: path.clone(), reason: reason.clone() });
                    }
                }
                None => {
                    places.insert(place, proposals.len());
                    proposals.push(proposal);
                }
            }
        }
        let (proposals, refused) = removal::once(proposals, refused);
        unsettled.retain(|it| proposals.iter().any(|proposal| proposal.path == it.path));
        let (volumes, kept) = (self.volumes, self.kept);
        Ok(Drafted { proposals, volumes, kept, refused, found, unsettled })
    }
}

/// New content, read.
struct SourceReader<'a> {
    source: ContentSource<'a>,
    left: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(dst.len());
        (self.source)(&mut dst[..len]).map_err(io::Error::other)?;
        self.left -= len as u64;
        Ok(len)
    }
}

/// Surveys a place; the inner error is why it is not to be touched.
fn survey(place: &Place) -> Result<Result<Survey, String>, StepError> {
    match before::survey(&**place.fs(), place.node) {
        Ok(Survey { obstacle: Some(reason), .. }) => Ok(Err(reason)),
        Ok(survey) => Ok(Ok(survey)),
        Err(FsError::Block(error)) => Err(StepError::Fs(place.path.clone(), error.into())),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Why a file is not edited.
fn too_long(size: u64) -> String {
    format!("{size} bytes long, more than {EDITABLE_BYTES}")
}

/// Root's home and those of every account, each once.
fn homes(guest: &Guest) -> Vec<GuestPath> {
    let mut homes: BTreeSet<GuestPath> = BTreeSet::new();
    homes.extend("/root".parse());
    homes.extend(guest.accounts().iter().filter_map(|account| account.home.clone()));
    // `/home/*` is looked at anyway.
    let plain = |home: &GuestPath| home.parent().is_some_and(|dir| dir.to_bytes() == b"/home");
    homes.into_iter().filter(|home| !plain(home)).collect()
}

/// What [`MetaChange`] turns `from` into `to`.
fn difference(from: Owned, to: Owned) -> MetaChange {
    MetaChange {
        mode: (from.mode != to.mode).then_some(to.mode),
        uid: (from.uid != to.uid).then_some(to.uid),
        gid: (from.gid != to.gid).then_some(to.gid),
        ..MetaChange::default()
    }
}
