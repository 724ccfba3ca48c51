//! Where systemd looks for unit files, and what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::name::Name;
use super::store::Store;
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The directories, the first first. Without those in `/run`: what an image holds there is under a
/// tmpfs as soon as the guest boots.
const SYSTEM: [&str; 6] = [
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    // Of their own only where /usr is not merged, and there before /usr/lib's.
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// Where `systemctl enable` makes its symlinks.
pub(super) const CONFIG: &str = "/etc/systemd/system";

/// How many symlinks are followed one after the other, as by Linux.
const MAX_LINKS: usize = 40;

/// How a link in a `.wants` directory binds.
pub(super) const BINDING: [&str; 3] = [".wants", ".requires", ".upholds"];

/// One directory of the search path.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) path: GuestPath,
    /// Files and symlinks that have a unit's name.
    pub(super) units: BTreeMap<String, Kind>,
    /// Directories, and symlinks to some, that belong to a unit: `NAME.wants`, `NAME.d` …
    beside: BTreeSet<String>,
    /// For each symlink with a unit's name, the last name of its target.
    pub(super) links: BTreeMap<String, String>,
    /// The reverse of `links`.
    pub(super) linked_as: BTreeMap<String, Vec<String>>,
    /// The names of the symlinks in its own `.wants`, `.requires`, `.upholds` directories.
    pub(super) enabled: BTreeSet<String>,
    /// The templates that some of `enabled` are instances of.
    pub(super) enabled_templates: BTreeSet<String>,
}

/// The directories of a guest.
#[derive(Debug, Default)]
pub(super) struct SearchPath {
    pub(super) dirs: Vec<Dir>,
    /// Every directory's path, as written.
    pub(super) written: Vec<GuestPath>,
    /// The same and where they lead.
    pub(super) expanded: Vec<GuestPath>,
    /// For each directory that belongs to a unit, those of `dirs` that have it.
    having: HashMap<String, Vec<usize>>,
}

impl SearchPath {
    pub(super) fn read(store: &Store<'_>) -> Result<Self, GuestError> {
        let mut search = Self::default();
        let mut seen = Vec::new();
        for text in SYSTEM {
            let path = GuestPath::from_bytes(text.as_bytes()).unwrap_or_default();
            search.written.push(path.clone());
            search.expanded.push(path.clone());
            let Some(found) = store.files.follow(&path)? else { continue };
            if found.kind != Kind::Directory || seen.contains(&found.path) {
                continue;
            }
            // A directory that another leads to is the same: `/lib`'s in a merged /usr goes by its
            // own name, `/usr/lib`.
            let own = if text.starts_with("/lib/") && found.path.starts_with(&usr()) {
                found.path.clone()
            } else {
                path
            };
            seen.push(found.path.clone());
            search.expanded.push(found.path);
            let dir = Dir::read(store, own)?;
            for beside in &dir.beside {
                search.having.entry(beside.clone()).or_default().push(search.dirs.len());
            }
            search.dirs.push(dir);
        }
        Ok(search)
    }

    /// The directories of this name, such as `NAME.wants`, each below one of the search path, the
    /// first first.
    pub(super) fn beside(&self, name: &str) -> impl Iterator<Item = GuestPath> {
        let dirs = self.having.get(name).into_iter().flatten();
        dirs.filter_map(|&at| self.dirs.get(at)).map(|dir| dir.path.join(name.as_bytes()))
    }
}

fn usr() -> GuestPath {
    GuestPath::root().join(b"usr")
}

impl Dir {
    fn read(store: &Store<'_>, path: GuestPath) -> Result<Self, GuestError> {
        let mut dir = Self {
            path,
            units: BTreeMap::new(),
            beside: BTreeSet::new(),
            links: BTreeMap::new(),
            linked_as: BTreeMap::new(),
            enabled: BTreeSet::new(),
            enabled_templates: BTreeSet::new(),
        };
        for (name, kind) in store.names(&dir.path)? {
            let Ok(name) = String::from_utf8(name) else { continue };
            let is_unit = Name::parse(&name).is_some();
            if is_unit && kind == Kind::Symlink {
                let target =
                    store.files.link_target(&dir.path.join(name.as_bytes()))?.unwrap_or_default();
                let last = target.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                if let Ok(last) = std::str::from_utf8(last) {
                    dir.linked_as.entry(last.into()).or_default().push(name.clone());
                    dir.links.insert(name.clone(), last.into());
                }
            }
            if is_unit && matches!(kind, Kind::File | Kind::Symlink) {
                dir.units.insert(name, kind);
            } else if matches!(kind, Kind::Directory | Kind::Symlink)
                && (name.ends_with(".d") || BINDING.iter().any(|end| name.ends_with(end)))
            {
                if kind == Kind::Directory && !name.ends_with(".d") {
                    dir.read_enabled(store, &name)?;
                }
                dir.beside.insert(name);
            }
        }
        Ok(dir)
    }

    fn read_enabled(&mut self, store: &Store<'_>, beside: &str) -> Result<(), GuestError> {
        for (name, kind) in store.names(&self.path.join(beside.as_bytes()))? {
            let Ok(name) = String::from_utf8(name) else { continue };
            if kind != Kind::Symlink {
                continue;
            }
            self.enabled_templates.extend(Name::parse(&name).and_then(|it| it.template()));
            self.enabled.insert(name);
        }
        Ok(())
    }
}

/// Where a symlink leads, without asking whether anything is there; symlinks on the way are
/// followed, one at its end is not.
pub(super) fn destination(
    files: &dyn Files,
    link: &GuestPath,
    target: &[u8],
) -> Result<GuestPath, GuestError> {
    let mut here = if target.starts_with(b"/") {
        GuestPath::root()
    } else {
        link.parent().unwrap_or_default()
    };
    if let Some(found) = files.follow(&here)? {
        here = found.path;
    }
    let mut names =
        target.split(|&byte| byte == b'/').filter(|it| !matches!(*it, b"" | b".")).peekable();
    while let Some(name) = names.next() {
        if name == b".." {
            here = here.parent().unwrap_or_default();
            continue;
        }
        if name.contains(&0) {
            continue;
        }
        here = here.join(name);
        if names.peek().is_some()
            && let Some(found) = files.follow(&here)?
        {
            here = found.path;
        }
    }
    Ok(here)
}

/// Whether a path that leads to nothing that is there leads to `/dev/null`: a guest's own is often not
/// in its image.
pub(super) fn leads_to_dev_null(files: &dyn Files, path: &GuestPath) -> Result<bool, GuestError> {
    let mut here = path.clone();
    for _ in 0..MAX_LINKS {
        let Some(target) = files.link_target(&here)? else { return Ok(false) };
        here = destination(files, &here, &target)?;
        if is_dev_null(&here) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn is_dev_null(path: &GuestPath) -> bool {
    path.names().eq([&b"dev"[..], b"null"])
}
