//! Planned changes, made with an editor.

use std::collections::BTreeMap;

use super::way::Way;
use crate::fs::{EditFs, FsError, Kind, MetaChange, NewKind, NewMeta, Node};
use crate::operation::{Action, Content, Moves, Originals, Replaced};
use crate::path::GuestPath;

/// Makes changes in their order, but for these: what is moved is taken from its place before all
/// else, what is removed goes first, so that there is room, and a directory's own metadata is set
/// last of all, because each name that comes or goes sets its times.
///
/// # Errors
/// The path where it failed, and what the editor said; the editor is spent then.
pub fn edit_all<'a>(
    editor: &mut dyn EditFs,
    changes: impl IntoIterator<Item = (&'a GuestPath, &'a Action)>,
) -> Result<(), (GuestPath, FsError)> {
    edit_all_from(editor, &|_| None, changes)
}

/// The same, where content comes from the guest's filesystems as they were.
///
/// # Errors
/// As [`edit_all`].
pub fn edit_all_from<'a>(
    editor: &mut dyn EditFs,
    originals: Originals<'_>,
    changes: impl IntoIterator<Item = (&'a GuestPath, &'a Action)>,
) -> Result<(), (GuestPath, FsError)> {
    let changes: Vec<(&GuestPath, &Action)> = changes.into_iter().collect();
    let moves = Moves::among(changes.iter().copied());
    let mut edits = Edits { editor, originals, way: Way::default(), moved: BTreeMap::new() };
    edits.take(&moves)?;
    let first = |(path, action): &&(&GuestPath, &Action)| {
        matches!(action, Action::Remove { .. }) && moves.origin(path).as_ref() == Some(*path)
    };
    // A second name needs the file.
    let last = |(_, action): &&(&GuestPath, &Action)| matches!(action, Action::CreateLink { .. });
    let then = changes.iter().filter(|it| !first(it) && !last(it));
    let mut later = Vec::new();
    for (path, action) in
        changes.iter().filter(first).chain(then).chain(changes.iter().filter(last))
    {
        let failed = |error| ((*path).clone(), error);
        match edits.at_last(path, action).map_err(failed)? {
            Some(meta) if matches!(action, Action::Update { .. }) => later.push((path, meta)),
            at_last => {
                edits.edit(path, action).map_err(failed)?;
                later.extend(at_last.map(|meta| (path, meta)));
            }
        }
    }
    for (path, meta) in later {
        edits
            .node(path)
            .and_then(|node| edits.editor.set_meta(node, &meta))
            .map_err(|error| ((*path).clone(), error))?;
    }
    Ok(())
}

/// Makes one change at `path` within the filesystem. No symlink is followed on the way: the plan's
/// paths are canonical, so one that is met is a change since, and `NotADirectory`.
///
/// # Errors
/// What the editor says; the editor is spent then.
pub fn edit(editor: &mut dyn EditFs, path: &GuestPath, action: &Action) -> Result<(), FsError> {
    edit_all(editor, [(path, action)]).map_err(|(_, error)| error)
}

/// Changes being made.
struct Edits<'a> {
    editor: &'a mut dyn EditFs,
    originals: Originals<'a>,
    way: Way,
    /// What is taken from its place, by where that was.
    moved: BTreeMap<GuestPath, Node>,
}

impl Edits<'_> {
    fn node(&mut self, path: &GuestPath) -> Result<Node, FsError> {
        self.way.find(self.editor.view(), path)?.ok_or(FsError::NotFound)
    }

    /// Takes everything that is moved from its place: one may go where another was.
    fn take(&mut self, moves: &Moves<'_>) -> Result<(), (GuestPath, FsError)> {
        let mut places = Vec::new();
        for from in moves.sources() {
            // Each is looked up while all are where the plan saw them.
            let (dir, name) = self.place(from).map_err(|error| (from.clone(), error))?;
            places.push((from, dir, name));
        }
        // What is in a directory before the directory, which is not looked at once it is taken.
        for (from, dir, name) in places.into_iter().rev() {
            let node = self.editor.detach(dir, name).map_err(|error| (from.clone(), error))?;
            self.moved.insert(from.clone(), node);
        }
        self.way = Way::default();
        Ok(())
    }

    /// The metadata that a directory is given at the end.
    fn at_last(
        &mut self,
        path: &GuestPath,
        action: &Action,
    ) -> Result<Option<MetaChange>, FsError> {
        let meta = match action {
            Action::Update { content: None, meta, .. } => {
                let node = self.node(path)?;
                let directory = self.editor.view().stat(node)?.kind == Kind::Directory;
                directory.then(|| meta.clone())
            }
            Action::Move { kind: Kind::Directory, meta, .. } => Some(meta.clone()),
            Action::CreateDirectory { meta, .. } => {
                let (mtime, atime) = (meta.mtime, meta.atime);
                Some(MetaChange { mtime, atime, ..MetaChange::default() })
            }
            _ => None,
        };
        Ok(meta.filter(|meta| *meta != MetaChange::default()))
    }

    fn edit(&mut self, path: &GuestPath, action: &Action) -> Result<(), FsError> {
        match action {
            Action::Remove { .. } => self.remove(path),
            Action::CreateFile { content, meta, replaces } => {
                let node = self.create(path, NewKind::File(b""), meta, replaces.as_ref())?;
                if content.is_empty() {
                    return Ok(());
                }
                self.fill(node, content)?;
                let (mtime, atime) = (meta.mtime, meta.atime);
                match mtime.is_some() || atime.is_some() {
                    true => {
                        let times = MetaChange { mtime, atime, ..MetaChange::default() };
                        self.editor.set_meta(node, &times)
                    }
                    false => Ok(()),
                }
            }
            Action::CreateDirectory { meta, replaces } => {
                self.create(path, NewKind::Directory, meta, replaces.as_ref()).map(drop)
            }
            Action::CreateSymlink { target, meta, replaces } => {
                self.create(path, NewKind::Symlink(target), meta, replaces.as_ref()).map(drop)
            }
            Action::CreateSpecial { kind, device, meta, replaces } => {
                let kind = NewKind::Special(*kind, *device);
                self.create(path, kind, meta, replaces.as_ref()).map(drop)
            }
            Action::CreateLink { to, replaces } => {
                if replaces.is_some() {
                    self.remove(path)?;
                }
                let node = self.node(to)?;
                let (dir, name) = self.place(path)?;
                self.editor.link(node, dir, name)
            }
            Action::Move { from, kind, content, wiped_from, meta, replaces, .. } => {
                let node = self.moved.remove(from).ok_or(FsError::NotFound)?;
                if replaces.is_some() {
                    self.remove(path)?;
                }
                let (dir, name) = self.place(path)?;
                self.editor.attach(node, dir, name)?;
                if let Some(content) = content {
                    self.fill(node, content)?;
                }
                if let Some(from) = wiped_from {
                    self.editor.wipe(node, *from)?;
                }
                if *meta != MetaChange::default() && *kind != Kind::Directory {
                    self.editor.set_meta(node, meta)?;
                }
                Ok(())
            }
            Action::Wipe { from, meta, .. } => {
                let node = self.node(path)?;
                self.editor.wipe(node, *from)?;
                if *meta != MetaChange::default() {
                    self.editor.set_meta(node, meta)?;
                }
                Ok(())
            }
            Action::Update { content, meta, .. } => {
                let node = self.node(path)?;
                if let Some(content) = content {
                    self.fill(node, content)?;
                }
                if *meta != MetaChange::default() {
                    self.editor.set_meta(node, meta)?;
                }
                Ok(())
            }
        }
    }

    fn fill(&mut self, file: Node, content: &Content) -> Result<(), FsError> {
        self.editor.replace_from(file, content.len(), &mut *content.source(self.originals)?)
    }

    fn remove(&mut self, path: &GuestPath) -> Result<(), FsError> {
        let (dir, name) = self.place(path)?;
        let node = self.editor.view().lookup(dir, name)?.ok_or(FsError::NotFound)?;
        // Its number may be given to what is made next.
        self.way.forget(path);
        if self.editor.view().stat(node)?.kind == Kind::Directory {
            self.editor.remove_tree(dir, name)
        } else {
            self.editor.remove(dir, name)
        }
    }

    fn create(
        &mut self,
        path: &GuestPath,
        kind: NewKind<'_>,
        meta: &NewMeta,
        replaces: Option<&Replaced>,
    ) -> Result<Node, FsError> {
        if replaces.is_some() {
            self.remove(path)?;
        }
        let (dir, name) = self.place(path)?;
        self.editor.create(dir, name, kind, meta)
    }

    /// The directory of a path and the name in it.
    fn place<'p>(&mut self, path: &'p GuestPath) -> Result<(Node, &'p [u8]), FsError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(FsError::BadName);
        };
        Ok((self.node(&parent)?, name))
    }
}
