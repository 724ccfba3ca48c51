//! One path's change while it is still growing.

use super::{Extra, Owned, Target, difference, privileges};
use crate::digest::Digest;
use crate::fs::{FsError, Kind, MetaChange, NewMeta, Stat};
use crate::guest::Place;
use crate::operation::action::{Action, Objects, Replaced};
use crate::operation::before::{self, Shared, Survey};
use crate::operation::content::Content;
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// What is on the disk.
#[derive(Clone)]
pub(super) struct Original {
    pub(super) place: Place,
    pub(super) stat: Stat,
    /// Everything below, once the path is to go.
    pub(super) survey: Option<Survey>,
}

/// What is moved to a path.
#[derive(Clone)]
pub(super) struct From {
    /// What it is on the disk; its place is shown where it goes.
    pub(super) original: Original,
    /// The path within its filesystem that it has on the disk.
    pub(super) path: GuestPath,
}

/// What will be at the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    Absent,
    /// A regular file; without content its own stays.
    File {
        content: Option<Content>,
        owned: Owned,
    },
    Directory {
        owned: Owned,
    },
    Symlink {
        target: Vec<u8>,
        owned: Owned,
    },
    Special {
        kind: Kind,
        device: (u32, u32),
        owned: Owned,
    },
    /// A regular file, zero from a byte on.
    Wiped {
        from: u64,
        owned: Owned,
    },
    /// What is there now, with this owner and mode.
    Same {
        kind: Kind,
        owned: Owned,
    },
}

impl After {
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Absent => None,
            Self::File { .. } | Self::Wiped { .. } => Some(Kind::File),
            Self::Directory { .. } => Some(Kind::Directory),
            Self::Symlink { .. } => Some(Kind::Symlink),
            Self::Special { kind, .. } | Self::Same { kind, .. } => Some(*kind),
        }
    }

    pub(super) fn owned(&self) -> Option<Owned> {
        match self {
            Self::Absent => None,
            Self::File { owned, .. }
            | Self::Directory { owned }
            | Self::Symlink { owned, .. }
            | Self::Special { owned, .. }
            | Self::Wiped { owned, .. }
            | Self::Same { owned, .. } => Some(*owned),
        }
    }

    /// The byte from which on what is on the disk is zeroed, where it is.
    pub(super) fn wiped_from(&self) -> Option<u64> {
        match self {
            Self::Wiped { from, .. } => Some(*from),
            _ => None,
        }
    }

    /// Whether what is on the disk stays the same object.
    pub(super) fn keeps(&self, original: &Original) -> bool {
        match self {
            Self::Same { .. } | Self::Wiped { .. } => true,
            Self::File { .. } => original.stat.kind == Kind::File,
            Self::Absent | Self::Directory { .. } | Self::Symlink { .. } | Self::Special { .. } => {
                false
            }
        }
    }

    pub(super) fn with(mut self, new: Owned) -> Self {
        match &mut self {
            Self::Absent => {}
            Self::File { owned, .. }
            | Self::Directory { owned }
            | Self::Symlink { owned, .. }
            | Self::Special { owned, .. }
            | Self::Wiped { owned, .. }
            | Self::Same { owned, .. } => *owned = new,
        }
        self
    }
}

/// One path's change so far.
pub(super) struct Pending {
    pub(super) volume: VolumeId,
    pub(super) fs_path: GuestPath,
    pub(super) original: Option<Box<Original>>,
    /// That is somewhere else now, and does not go.
    pub(super) left: bool,
    /// What comes here from elsewhere, to be what `after` says.
    pub(super) from: Option<Box<From>>,
    pub(super) after: After,
    /// Times and extended attributes that it is given.
    pub(super) extra: Option<Extra>,
    /// Files of one group are names of one file.
    pub(super) group: Option<usize>,
    /// The operations that ask for it, by their place in the run; the deciding one first.
    pub(super) by: Vec<usize>,
    pub(super) why: String,
}

impl Pending {
    pub(super) fn attribute(&mut self, by: &[usize]) {
        attribute(&mut self.by, by);
    }

    /// Whether what is below the path on the disk is out of sight.
    pub(super) fn hides(&self) -> bool {
        self.from.is_none() && !matches!(self.after, After::Same { .. })
    }

    /// What is on the disk of the object that will be here.
    pub(super) fn object(&self) -> Option<&Original> {
        self.from.as_ref().map(|from| &from.original).or(self.original.as_deref())
    }

    /// Whether what is on the disk stays the same object, and is not made anew.
    pub(super) fn keeps(&self) -> bool {
        self.group.is_none() && self.object().is_some_and(|was| self.after.keeps(was))
    }

    pub(super) fn target(&self, path: &GuestPath, matched: &str) -> Target {
        Target {
            path: path.clone(),
            volume: self.volume.clone(),
            fs_path: self.fs_path.clone(),
            kind: self.after.kind(),
            matched: matched.to_owned(),
            place: self.object().map(|original| original.place.clone()),
        }
    }

    /// The one action that leads from what is there to what will be; `None` when that is nothing.
    pub(super) fn into_proposal(self, path: &GuestPath) -> Result<Option<Proposal>, FsError> {
        let original = self.original.as_deref().filter(|_| !self.left);
        let (action, before, objects) = match (&self.from, original) {
            (Some(from), replaced) => self.moved(from, replaced)?,
            (None, None) => match (self.made(None), self.after.kind()) {
                (Some(action), Some(kind)) => (action, before::absent(), Objects::one(kind)),
                _ => return Ok(None),
            },
            (None, Some(original)) => match self.changed(original)? {
                Some(changed) => changed,
                None => return Ok(None),
            },
        };
        let removes = !matches!(action, Action::Update { .. } | Action::Wipe { .. });
        let kept = self.object().filter(|_| !removes || self.from.is_some());
        let goes = self.original.as_ref().filter(|_| removes && !self.left);
        let goes = goes.map_or(0, |it| it.survey.as_ref().map_or(u64::MAX, |it| it.allocated));
        let frees = kept.map_or(0, |it| it.stat.allocated).saturating_add(goes);
        let survey = self.original.filter(|_| !self.left).and_then(|original| original.survey);
        let shared = survey.filter(|_| removes).map(|survey| survey.shared).unwrap_or_default();
        Ok(Some(Proposal {
            path: path.clone(),
            shared,
            volume: self.volume,
            fs_path: self.fs_path,
            by: self.by,
            before,
            action,
            objects,
            frees,
            why: self.why,
        }))
    }

    /// The action that makes a new object.
    fn made(&self, replaces: Option<Replaced>) -> Option<Action> {
        let Extra { mtime, atime, xattrs, .. } = self.extra.clone().unwrap_or_default();
        let meta = |owned: &Owned| NewMeta {
            mode: owned.mode,
            uid: owned.uid,
            gid: owned.gid,
            mtime,
            atime,
            xattrs: xattrs.clone(),
        };
        match &self.after {
            After::Absent | After::Wiped { .. } | After::Same { .. } => None,
            After::File { content, owned } => Some(Action::CreateFile {
                content: content.clone().unwrap_or_else(|| Vec::new().into()),
                meta: meta(owned),
                replaces,
            }),
            After::Directory { owned } => {
                Some(Action::CreateDirectory { meta: meta(owned), replaces })
            }
            After::Symlink { target, owned } => {
                Some(Action::CreateSymlink { target: target.clone(), meta: meta(owned), replaces })
            }
            After::Special { kind, device, owned } => Some(Action::CreateSpecial {
                kind: *kind,
                device: *device,
                meta: meta(owned),
                replaces,
            }),
        }
    }

    /// What turns the metadata of what is on the disk into what it will be.
    fn meta(&self, original: &Original, new_content: bool) -> Result<MetaChange, FsError> {
        let Original { place, stat, .. } = original;
        let was = Owned { mode: stat.mode, uid: stat.uid, gid: stat.gid };
        let mut meta =
            self.after.owned().map_or_else(MetaChange::default, |to| difference(was, to));
        if stat.kind == Kind::Symlink {
            // A symlink's mode means nothing.
            meta.mode = None;
        }
        let touched = new_content || meta != MetaChange::default();
        let there = match touched || self.extra.is_some() {
            true => place.xattrs()?,
            false => Vec::new(),
        };
        privileges::follow(&mut meta, stat.kind, new_content, &there);
        let Some(extra) = &self.extra else { return Ok(meta) };
        if let Some(mtime) = extra.mtime
            // Names that come into a directory and go from it set its time.
            && (new_content
                || stat.kind == Kind::Directory
                || mtime.seconds != stat.mtime.seconds)
        {
            (meta.mtime, meta.atime) = (Some(mtime), extra.atime);
        }
        // What is asked for comes after what follows by itself.
        meta.xattrs.retain(|(name, _)| {
            extra.xattrs.iter().all(|it| it.name != *name)
                && !extra.without.contains(&name.as_str())
        });
        let gone = extra.without.iter().filter(|name| there.iter().any(|it| it.name == **name));
        meta.xattrs.extend(gone.map(|name| ((*name).to_owned(), None)));
        let other = extra.xattrs.iter().filter(|it| !there.contains(it));
        meta.xattrs.extend(other.map(|it| (it.name.clone(), Some(it.value.clone()))));
        Ok(meta)
    }

    /// The action that moves what is elsewhere to here, and the rest as of [`changed`](Self::changed).
    fn moved(
        &self,
        from: &From,
        replaced: Option<&Original>,
    ) -> Result<(Action, Digest, Objects), FsError> {
        let Original { place, stat, .. } = &from.original;
        let content = match &self.after {
            After::File { content: Some(content), .. } if !is_content(&from.original, content)? => {
                Some(content.clone())
            }
            _ => None,
        };
        let survey = match replaced {
            Some(Original { survey: Some(survey), .. }) => Some(survey.clone()),
            Some(original) => Some(before::survey(&**original.place.fs(), original.place.node)?),
            None => None,
        };
        let digest = before::of_move(
            &**place.fs(),
            place.node,
            content.as_ref(),
            survey.as_ref().map(|it| it.digest),
        )?;
        let meta = self.meta(&from.original, content.is_some())?;
        let action = Action::Move {
            from: from.path.clone(),
            kind: stat.kind,
            content,
            wiped_from: self.after.wiped_from(),
            bytes_before: if stat.kind == Kind::File { stat.size } else { 0 },
            meta,
            replaces: survey.zip(replaced).map(|(Survey { nodes, bytes, .. }, original)| {
                Replaced { kind: original.stat.kind, nodes, bytes }
            }),
        };
        Ok((action, digest, Objects::one(stat.kind)))
    }

    /// The action that changes what is there, the digest of what it finds, and how much that is.
    fn changed(&self, original: &Original) -> Result<Option<(Action, Digest, Objects)>, FsError> {
        let Original { place, stat, survey } = original;
        let fs = &**place.fs();
        let whole = || match survey {
            Some(survey) => Ok(survey.clone()),
            None => before::survey(fs, place.node),
        };
        let update = |content: Option<Content>| {
            let meta = self.meta(original, content.is_some())?;
            if content.is_none() && meta == MetaChange::default() {
                return Ok(None);
            }
            let digest = match &content {
                Some(content) if !content.is_empty() => before::with_content(fs, place.node)?,
                _ => before::of_node(fs, place.node)?,
            };
            let bytes_before = if stat.kind == Kind::File { stat.size } else { 0 };
            let action = Action::Update { content, bytes_before, meta };
            Ok(Some((action, digest, Objects::one(stat.kind))))
        };
        match &self.after {
            After::Absent => {
                let Survey { digest, nodes, directories, bytes, .. } = whole()?;
                let action = Action::Remove { kind: stat.kind, nodes, bytes };
                Ok(Some((action, digest, Objects::among(nodes, directories))))
            }
            After::Wiped { from, .. } => {
                let bytes = stat.size.saturating_sub(*from);
                let meta = self.meta(original, false)?;
                let action = Action::Wipe { from: *from, bytes, meta };
                Ok(Some((action, before::of_node(fs, place.node)?, Objects::one(stat.kind))))
            }
            After::Same { .. } => update(None),
            After::File { content, .. } if stat.kind == Kind::File && self.group.is_none() => {
                let content = match content {
                    Some(content) if is_content(original, content)? => None,
                    content => content.clone(),
                };
                update(content)
            }
            After::Symlink { target, .. }
                if stat.kind == Kind::Symlink && fs.link_target(place.node)? == *target =>
            {
                update(None)
            }
            _ => {
                let Survey { digest, nodes, directories, bytes, .. } = whole()?;
                let objects = Objects::among(nodes, directories);
                let replaced = Replaced { kind: stat.kind, nodes, bytes };
                Ok(self.made(Some(replaced)).map(|action| (action, digest, objects)))
            }
        }
    }
}

/// Whether a file holds exactly this.
pub(super) fn is_content(original: &Original, content: &Content) -> Result<bool, FsError> {
    let Original { place, stat, .. } = original;
    Ok(stat.size == content.len()
        && before::of_content(&**place.fs(), place.node, stat.size)? == content.digest())
}

fn attribute(to: &mut Vec<usize>, by: &[usize]) {
    for operation in by {
        if !to.contains(operation) {
            to.push(*operation);
        }
    }
}

/// A finished change of one path.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The path in the guest.
    pub path: GuestPath,
    /// The volume of its filesystem.
    pub volume: VolumeId,
    /// The path within that filesystem.
    pub fs_path: GuestPath,
    /// The operations that ask for it, by their place in the run; the deciding one first.
    pub by: Vec<usize>,
    /// The digest of what is there.
    pub before: Digest,
    /// What is done.
    pub action: Action,
    /// How many objects that is.
    pub objects: Objects,
    /// How many bytes of storage it frees, at most.
    pub frees: u64,
    /// Files of which it takes names away, and not all.
    pub shared: Vec<Shared>,
    /// Which pattern or argument asks for it.
    pub why: String,
}

impl Proposal {
    pub(super) fn attribute(&mut self, by: &[usize]) {
        attribute(&mut self.by, by);
    }

    /// Whether it changes a file that stays the same object.
    pub(super) fn is_update(&self) -> bool {
        matches!(self.action, Action::Update { .. } | Action::Wipe { .. })
    }
}
