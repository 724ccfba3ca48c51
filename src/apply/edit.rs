//! Planned changes, made with an editor.

use super::way::Way;
use crate::fs::{EditFs, FsError, Kind, MetaChange, NewKind, NewMeta, Node};
use crate::operation::{Action, Content, Replaced};
use crate::path::GuestPath;

/// Makes changes in their order; a directory's own metadata last of all, because each name that
/// comes or goes sets its times.
///
/// # Errors
/// The path where it failed, and what the editor said; the editor is spent then.
pub fn edit_all<'a>(
    editor: &mut dyn EditFs,
    changes: impl IntoIterator<Item = (&'a GuestPath, &'a Action)>,
) -> Result<(), (GuestPath, FsError)> {
    let mut edits = Edits { editor, way: Way::default() };
    let mut later = Vec::new();
    for (path, action) in changes {
        let metadata_only = matches!(action, Action::Update { content: None, .. });
        if metadata_only && edits.is_directory(path).map_err(|error| (path.clone(), error))? {
            later.push((path, action));
        } else {
            edits.edit(path, action).map_err(|error| (path.clone(), error))?;
        }
    }
    for (path, action) in later {
        edits.edit(path, action).map_err(|error| (path.clone(), error))?;
    }
    Ok(())
}

/// Makes one change at `path` within the filesystem. No symlink is followed on the way: the plan's
/// paths are canonical, so one that is met is a change since, and `NotADirectory`.
///
/// # Errors
/// What the editor says; the editor is spent then.
pub fn edit(editor: &mut dyn EditFs, path: &GuestPath, action: &Action) -> Result<(), FsError> {
    Edits { editor, way: Way::default() }.edit(path, action)
}

/// Changes being made.
struct Edits<'a> {
    editor: &'a mut dyn EditFs,
    way: Way,
}

impl Edits<'_> {
    fn node(&mut self, path: &GuestPath) -> Result<Node, FsError> {
        self.way.find(self.editor.view(), path)?.ok_or(FsError::NotFound)
    }

    fn is_directory(&mut self, path: &GuestPath) -> Result<bool, FsError> {
        let node = self.node(path)?;
        Ok(self.editor.view().stat(node)?.kind == Kind::Directory)
    }

    fn edit(&mut self, path: &GuestPath, action: &Action) -> Result<(), FsError> {
        match action {
            Action::Remove { .. } => self.remove(path),
            Action::CreateFile { content, meta, replaces } => {
                let node = self.create(path, NewKind::File(b""), meta, replaces.as_ref())?;
                if content.is_empty() { Ok(()) } else { self.fill(node, content) }
            }
            Action::CreateDirectory { meta, replaces } => {
                self.create(path, NewKind::Directory, meta, replaces.as_ref()).map(drop)
            }
            Action::CreateSymlink { target, meta, replaces } => {
                self.create(path, NewKind::Symlink(target), meta, replaces.as_ref()).map(drop)
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
        self.editor.replace_from(file, content.len(), &mut *content.source()?)
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
