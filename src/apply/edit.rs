//! Planned changes, made with an editor.

use super::verify::find;
use crate::fs::{EditFs, FsError, Kind, MetaChange, NewKind, NewMeta, Node};
use crate::operation::{Action, Replaced};
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
    let mut later = Vec::new();
    for (path, action) in changes {
        let metadata_only = matches!(action, Action::Update { content: None, .. });
        if metadata_only && is_directory(editor, path).map_err(|error| (path.clone(), error))? {
            later.push((path, action));
        } else {
            edit(editor, path, action).map_err(|error| (path.clone(), error))?;
        }
    }
    for (path, action) in later {
        edit(editor, path, action).map_err(|error| (path.clone(), error))?;
    }
    Ok(())
}

fn is_directory(editor: &dyn EditFs, path: &GuestPath) -> Result<bool, FsError> {
    let node = find(editor.view(), path)?.ok_or(FsError::NotFound)?;
    Ok(editor.view().stat(node)?.kind == Kind::Directory)
}

/// Makes one change at `path` within the filesystem. No symlink is followed on the way: the plan's
/// paths are canonical, so one that is met is a change since, and `NotADirectory`.
///
/// # Errors
/// What the editor says; the editor is spent then.
pub fn edit(editor: &mut dyn EditFs, path: &GuestPath, action: &Action) -> Result<(), FsError> {
    match action {
        Action::Remove { .. } => remove(editor, path),
        Action::CreateFile { content, meta, replaces } => {
            create(editor, path, NewKind::File(content), meta, replaces.as_ref())
        }
        Action::CreateDirectory { meta, replaces } => {
            create(editor, path, NewKind::Directory, meta, replaces.as_ref())
        }
        Action::CreateSymlink { target, meta, replaces } => {
            create(editor, path, NewKind::Symlink(target), meta, replaces.as_ref())
        }
        Action::Update { content, meta, .. } => {
            let node = find(editor.view(), path)?.ok_or(FsError::NotFound)?;
            if let Some(content) = content {
                editor.replace(node, content)?;
            }
            if *meta != MetaChange::default() {
                editor.set_meta(node, meta)?;
            }
            Ok(())
        }
    }
}

fn remove(editor: &mut dyn EditFs, path: &GuestPath) -> Result<(), FsError> {
    let (dir, name) = place(editor, path)?;
    let node = editor.view().lookup(dir, name)?.ok_or(FsError::NotFound)?;
    if editor.view().stat(node)?.kind == Kind::Directory {
        editor.remove_tree(dir, name)
    } else {
        editor.remove(dir, name)
    }
}

fn create(
    editor: &mut dyn EditFs,
    path: &GuestPath,
    kind: NewKind<'_>,
    meta: &NewMeta,
    replaces: Option<&Replaced>,
) -> Result<(), FsError> {
    if replaces.is_some() {
        remove(editor, path)?;
    }
    let (dir, name) = place(editor, path)?;
    editor.create(dir, name, kind, meta).map(|_| ())
}

/// The directory of a path and the name in it.
fn place<'a>(editor: &dyn EditFs, path: &'a GuestPath) -> Result<(Node, &'a [u8]), FsError> {
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
        return Err(FsError::BadName);
    };
    let dir = find(editor.view(), &parent)?.ok_or(FsError::NotFound)?;
    Ok((dir, name))
}
