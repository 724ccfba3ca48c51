//! What a plan says the difference between two states of one filesystem is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::witness::Own;
use crate::fs::{Kind, MetaChange, Node, Timestamp};
use crate::operation::{Action, Content, Moves};
use crate::path::GuestPath;

/// What becomes of an object that stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Update {
    /// Its new content, where it gets one.
    pub(super) content: Option<Content>,
    /// The byte from which on its content becomes zero, where it does.
    pub(super) wiped_from: Option<u64>,
    /// Its metadata that changes.
    pub(super) meta: MetaChange,
}

impl Update {
    /// What an action makes of an object that stays; `None` where it does not.
    pub(super) fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Update { content, meta, .. } => {
                Some(Self { content: content.clone(), wiped_from: None, meta: meta.clone() })
            }
            Action::Move { content, wiped_from, meta, .. } => {
                Some(Self { content: content.clone(), wiped_from: *wiped_from, meta: meta.clone() })
            }
            Action::Wipe { from, meta, .. } => {
                Some(Self { content: None, wiped_from: Some(*from), meta: meta.clone() })
            }
            _ => None,
        }
    }

    /// This update and then another one, as when a file is changed under two of its names.
    fn then(&mut self, other: Self) {
        let Self { content, wiped_from, meta } = other;
        self.wiped_from = wiped_from.or(self.wiped_from);
        let mtime = match content {
            // New content sets the time, whatever was set before.
            Some(_) => meta.mtime,
            None => meta.mtime.or(self.meta.mtime),
        };
        self.content = content.or(self.content.take());
        self.meta = MetaChange {
            mode: meta.mode.or(self.meta.mode),
            uid: meta.uid.or(self.meta.uid),
            gid: meta.gid.or(self.meta.gid),
            mtime,
            atime: meta.atime.or(self.meta.atime),
            xattrs: self.meta.xattrs.iter().chain(&meta.xattrs).cloned().collect(),
        };
    }
}

/// The changes of one filesystem, by path.
pub struct Expected<'a> {
    pub(super) actions: BTreeMap<&'a GuestPath, &'a Action>,
    /// Directories in which a name comes or goes, with the paths that do.
    pub(super) renamed_in: BTreeMap<GuestPath, Vec<GuestPath>>,
    /// What is moved.
    pub(super) moves: Moves<'a>,
    /// Paths, as they are at the end, that something was moved away from.
    pub(super) left: BTreeSet<GuestPath>,
    /// Files with several names whose content or metadata changes, by their node before: the
    /// other names show the change too.
    pub(super) shared: HashMap<Node, Update>,
    /// The time given to what is changed.
    pub(super) now: Timestamp,
}

impl<'a> Expected<'a> {
    /// The changes of one filesystem: each path within it with what is to be done, made at `now`.
    pub fn new(
        changes: impl IntoIterator<Item = (&'a GuestPath, &'a Action)>,
        now: Timestamp,
    ) -> Self {
        let actions: BTreeMap<_, _> = changes.into_iter().collect();
        let moves = Moves::among(actions.iter().map(|(path, action)| (*path, *action)));
        let left: BTreeSet<GuestPath> = moves
            .sources()
            .filter_map(|from| Some(moves.now_at(&from.parent()?).join(from.name()?)))
            .collect();
        let mut renamed_in: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let renamed = actions
            .iter()
            .filter(|(_, action)| !matches!(action, Action::Update { .. } | Action::Wipe { .. }))
            .map(|(path, _)| *path);
        for path in renamed.chain(&left) {
            if let Some(dir) = path.parent() {
                renamed_in.entry(dir).or_default().push(path.clone());
            }
        }
        Self { actions, renamed_in, moves, left, shared: HashMap::new(), now }
    }

    /// Finds the files with several names among those that are updated.
    pub(super) fn look_for_shared(&mut self, before: &Own<'_>) {
        for (path, action) in &self.actions {
            if let Some(update) = Update::of(action)
                && let Some(origin) = self.origin(path)
                && let Ok(Some(node)) = before.find(&origin)
                && let Ok(stat) = before.fs.stat(node)
                && stat.links > 1
                && stat.kind != Kind::Directory
            {
                self.shared.entry(node).or_default().then(update);
            }
        }
    }

    /// Where what is at a path at the end was before; `None` where it was nowhere.
    pub(super) fn origin(&self, path: &GuestPath) -> Option<GuestPath> {
        self.moves.origin(path)
    }

    /// What happens to the name at `path`.
    pub(super) fn action(&self, path: &GuestPath) -> Option<&'a Action> {
        self.actions.get(path).copied()
    }

    /// Whether a directory above a path goes or is replaced.
    fn goes(&self, path: &GuestPath) -> bool {
        let mut dir = path.parent();
        while let Some(path) = dir {
            let replaced = self.action(&path).is_some_and(|action| {
                !matches!(
                    action,
                    Action::Update { .. } | Action::Move { .. } | Action::CreateDirectory { .. }
                )
            });
            if replaced {
                return true;
            }
            dir = path.parent();
        }
        false
    }

    /// Every directory on the way to a changed path, and every new one.
    pub(super) fn touched(&self) -> BTreeSet<GuestPath> {
        let mut touched = BTreeSet::new();
        for (path, action) in &self.actions {
            if matches!(action, Action::CreateDirectory { .. }) {
                touched.insert((*path).clone());
            }
            above(path, &mut touched);
        }
        // What a directory was moved out of may be gone itself.
        for path in self.left.iter().filter(|path| !self.goes(path)) {
            above(path, &mut touched);
        }
        touched
    }

    /// The names a directory has to have, given those it had; both sorted.
    pub(super) fn names(&self, dir: &GuestPath, before: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut names: BTreeSet<Vec<u8>> = before.iter().cloned().collect();
        for path in self.renamed_in.get(dir).into_iter().flatten() {
            let Some(name) = path.name() else { continue };
            match self.action(path) {
                Some(Action::Remove { .. }) | None => {
                    names.remove(name);
                }
                Some(
                    Action::CreateFile { .. }
                    | Action::CreateDirectory { .. }
                    | Action::CreateSymlink { .. }
                    | Action::CreateSpecial { .. }
                    | Action::CreateLink { .. }
                    | Action::Move { .. },
                ) => {
                    names.insert(name.to_vec());
                }
                Some(Action::Update { .. } | Action::Wipe { .. }) => {}
            }
        }
        names.into_iter().collect()
    }
}

/// Adds the directories above a path.
fn above(path: &GuestPath, to: &mut BTreeSet<GuestPath>) {
    let mut dir = path.parent();
    while let Some(path) = dir {
        dir = path.parent();
        if !to.insert(path) {
            break;
        }
    }
}
