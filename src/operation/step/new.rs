//! What the verbs that make something have in common: where, with which owner and mode.

use super::StepError;
use crate::fs::{Kind, NO_ID};
use crate::operation::draft::{Draft, New, Owned, Target};
use crate::operation::shape::{Field, Fields, Shape};
use crate::path::GuestPath;
use crate::problem::Problem;

/// The arguments of every verb that makes something at one path.
pub(super) const FIELDS: &[Field] = &[
    Field::required("path", Shape::Path, "where"),
    Field::optional("mode", Shape::Mode, "permission bits; an existing object's are set to them"),
    Field::optional("owner", Shape::Owner, "user; root for a new object"),
    Field::optional("group", Shape::Owner, "group; root for a new object"),
    Field::optional("parents", Shape::Bool, "make missing directories above, 0755 root"),
];

/// `/etc/group` is a few KiB in any guest; a larger one is read no further.
const GROUP_BYTES: u64 = 4 << 20;

/// Where to make something, and as whose.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: GuestPath,
    parents: bool,
    meta: Meta,
    /// The mode is what was asked for, and not one that a step is content to come near.
    strict: bool,
}

/// Owner, group and mode as a step gives them.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) mode: Option<u16>,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
}

impl Meta {
    pub(super) fn from_fields(fields: &Fields) -> Self {
        Self {
            mode: fields.mode("mode"),
            owner: fields.text("owner").map(str::to_owned),
            group: fields.text("group").map(str::to_owned),
        }
    }

    /// `from` with what the step gives; `None` with a refusal for a name that the guest does not
    /// have.
    pub(super) fn over(
        &self,
        from: Owned,
        path: &GuestPath,
        draft: &mut Draft<'_>,
    ) -> Result<Option<Owned>, StepError> {
        let mut owned = from;
        if let Some(mode) = self.mode {
            owned.mode = mode;
        }
        if let Some(name) = &self.owner {
            let accounts = draft.guest().accounts();
            let named = accounts.iter().find(|it| it.name == *name).map(|it| it.uid);
            let Some(uid) = name.parse().ok().or(named) else {
                draft.refuse(path, format!("the guest has no user '{name}'"));
                return Ok(None);
            };
            owned.uid = uid;
        }
        if let Some(name) = &self.group {
            let gid = match name.parse() {
                Ok(gid) => Some(gid),
                Err(_) => group(name, draft)?,
            };
            let Some(gid) = gid else {
                draft.refuse(path, format!("the guest has no group '{name}'"));
                return Ok(None);
            };
            owned.gid = gid;
        }
        if owned.uid == NO_ID && self.owner.is_some() || owned.gid == NO_ID && self.group.is_some()
        {
            draft.refuse(path, format!("the guest gives a name the number {NO_ID}, which is none"));
            return Ok(None);
        }
        Ok(Some(owned))
    }
}

/// A group's number from `/etc/group` (group(5)).
fn group(name: &str, draft: &Draft<'_>) -> Result<Option<u32>, StepError> {
    let path = GuestPath::root().join(b"etc").join(b"group");
    let text = draft.guest().tree.read(&path, GROUP_BYTES)?.unwrap_or_default();
    Ok(text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let found = fields.next()? == name.as_bytes();
        let number = fields.nth(1).filter(|_| found)?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }))
}

impl Place {
    pub(super) fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let path = fields
            .text("path")
            .unwrap_or_default()
            .parse()
            .map_err(|message: String| Problem::new(fields.at_field("path"), message))?;
        let meta = Meta::from_fields(fields);
        let strict = meta.mode.is_some();
        Ok(Self { path, parents: fields.flag("parents", false), meta, strict })
    }

    /// A place for a step that other verbs are made of.
    pub(super) fn at(path: GuestPath) -> Self {
        Self { path, parents: false, meta: Meta::default(), strict: false }
    }

    /// A place with owner and mode, whose directories are made where they are not there.
    pub(super) fn with(path: GuestPath, meta: Meta) -> Self {
        Self { path, parents: true, meta, strict: false }
    }

    /// What is at the path now. `None`, with a refusal, when its directory is not there and the
    /// step does not make it.
    pub(super) fn target(
        &self,
        draft: &mut Draft<'_>,
        follow: bool,
    ) -> Result<Option<Target>, StepError> {
        if self.parents {
            // From directory to directory, and not each from the root again.
            let mut above = draft.at(&GuestPath::root(), true)?;
            let names = self.path.names().len().saturating_sub(1);
            for name in self.path.names().take(names) {
                let Some(dir) = above else { break };
                above = draft.within(&dir, name)?;
                if let Some(missing) = above.as_mut().filter(|it| it.kind.is_none()) {
                    let owned = Owned { mode: 0o755, uid: 0, gid: 0 };
                    let why = format!("leads to {}", self.path);
                    draft.create(missing, New::Directory, owned, why)?;
                    missing.kind = Some(Kind::Directory);
                }
                if let Some(other) = above.as_ref().filter(|it| it.kind != Some(Kind::Directory)) {
                    draft.refuse(&self.path, format!("{} is no directory", other.path));
                    return Ok(None);
                }
            }
        }
        let found = draft.at(&self.path, follow)?;
        if found.is_none() {
            draft.refuse(&self.path, "its directory is not there ('parents: true' makes it)");
        }
        let devices = |path: &GuestPath| path.names().next() == Some(b"dev");
        if found.as_ref().is_some_and(|it| devices(&it.path)) && !devices(&self.path) {
            draft.refuse(&self.path, "a symlink into /dev, where a booted guest has its devices");
            return Ok(None);
        }
        Ok(found)
    }

    /// Makes `new`, or where an object of its kind is there already, sets owner and mode on it
    /// and leaves the rest.
    pub(super) fn make(
        &self,
        draft: &mut Draft<'_>,
        target: &Target,
        new: New,
        mode: u16,
    ) -> Result<(), StepError> {
        let kind = match &new {
            New::File(_) => Kind::File,
            New::Directory => Kind::Directory,
            New::Symlink(_) => Kind::Symlink,
            New::Special(kind, _) => *kind,
        };
        let there = target.kind == Some(kind);
        let from = match draft.owned(target)? {
            Some(owned) if there => owned,
            _ => Owned { mode, uid: 0, gid: 0 },
        };
        let Some(owned) = self.meta.over(from, &self.path, draft)? else { return Ok(()) };
        let why = format!("names {}", self.path);
        if there {
            draft.set_owned(target, owned, why)
        } else if self.strict
            && kind != Kind::Symlink
            && !draft.can_have_mode(target, kind, owned.mode)?
        {
            Ok(())
        } else {
            draft.create(target, new, owned, why)
        }
    }
}

/// These permission bits, as root's.
pub(super) fn root(mode: u16) -> Meta {
    Meta { mode: Some(mode), owner: Some("0".into()), group: Some("0".into()) }
}

/// Makes a file of root's with these permission bits, and the directories that lead there; one that
/// is there gets content and owner.
pub(super) fn file(
    draft: &mut Draft<'_>,
    path: GuestPath,
    content: &[u8],
    mode: u16,
    why: &str,
) -> Result<(), StepError> {
    let place = Place::with(path, root(mode));
    let Some(target) = place.target(draft, true)? else { return Ok(()) };
    if target.kind.is_some_and(|kind| kind != Kind::File) {
        draft.refuse(&target.path, "not a regular file");
        return Ok(());
    }
    if target.kind == Some(Kind::File) && draft.content(&target)?.as_deref() != Some(content) {
        draft.set_content(&target, content.to_vec(), why)?;
    }
    place.make(draft, &target, New::File(content.to_vec().into()), mode)
}
