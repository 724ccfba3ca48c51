//! What is moved within one filesystem, and so what is where before a run and after it.

use std::collections::BTreeMap;

use super::action::Action;
use crate::fs::{FsError, Node, ReadFs};
use crate::path::GuestPath;

/// The moves of one filesystem. All other changes name paths as they are once these are done.
#[derive(Clone, Debug, Default)]
pub struct Moves<'a> {
    /// Where from, by where to.
    to: BTreeMap<&'a GuestPath, &'a GuestPath>,
    /// Where to, by where from.
    from: BTreeMap<&'a GuestPath, &'a GuestPath>,
}

impl<'a> Moves<'a> {
    /// Those among the changes of one filesystem.
    pub fn among(changes: impl IntoIterator<Item = (&'a GuestPath, &'a Action)>) -> Self {
        let mut moves = Self::default();
        for (path, action) in changes {
            if let Action::Move { from, .. } = action {
                moves.to.insert(path, from);
                moves.from.insert(from, path);
            }
        }
        moves
    }

    /// Where each comes from.
    pub fn sources(&self) -> impl Iterator<Item = &'a GuestPath> {
        self.from.keys().copied()
    }

    /// Where what will be at a path is before the moves; `None` where they leave nothing.
    pub fn origin(&self, path: &GuestPath) -> Option<GuestPath> {
        let Some((to, from)) = nearest(&self.to, path) else {
            return nearest(&self.from, path).is_none().then(|| path.clone());
        };
        let before = from.append(&path.below(to).unwrap_or_default());
        let left =
            nearest(&self.from, &before).is_some_and(|(left, _)| left.depth() > from.depth());
        (!left).then_some(before)
    }

    /// Where that is before the moves whose place something takes at a path.
    pub fn replaced(&self, path: &GuestPath) -> Option<GuestPath> {
        let before = self.origin(&path.parent()?)?.join(path.name()?);
        (!self.from.contains_key(&before)).then_some(before)
    }

    /// The same, where names are not told apart by the size of their letters: what is moved away is
    /// not replaced, however the name is written.
    pub(super) fn replaced_in(
        &self,
        fs: &dyn ReadFs,
        path: &GuestPath,
    ) -> Result<Option<GuestPath>, FsError> {
        let Some(before) = self.replaced(path) else { return Ok(None) };
        let (true, Some(dir), Some(name)) = (fs.folds_case(), before.parent(), before.name())
        else {
            return Ok(Some(before));
        };
        let Some(node) = node_at(fs, &dir)? else { return Ok(Some(before)) };
        let spelled = fs.spelling(node, name)?.map(|name| dir.join(&name));
        Ok(spelled.is_none_or(|it| !self.from.contains_key(&it)).then_some(before))
    }

    /// Where the moves put what was at a path.
    pub fn now_at(&self, before: &GuestPath) -> GuestPath {
        match nearest(&self.from, before) {
            Some((from, to)) => to.append(&before.below(from).unwrap_or_default()),
            None => before.clone(),
        }
    }
}

/// The entry of a path, or of the nearest directory above it that has one.
fn nearest<'m>(
    map: &BTreeMap<&'m GuestPath, &'m GuestPath>,
    path: &GuestPath,
) -> Option<(&'m GuestPath, &'m GuestPath)> {
    if map.is_empty() {
        return None;
    }
    let mut above = Some(path.clone());
    while let Some(path) = above {
        if let Some((key, value)) = map.get_key_value(&path) {
            return Some((key, value));
        }
        above = path.parent();
    }
    None
}

/// The node at a path; `None` where nothing is.
pub(super) fn node_at(fs: &dyn ReadFs, path: &GuestPath) -> Result<Option<Node>, FsError> {
    let mut node = fs.root();
    for name in path.names() {
        match fs.lookup(node, name) {
            Ok(Some(next)) => node = next,
            Ok(None) | Err(FsError::NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Kind, MetaChange};

    fn path(text: &str) -> GuestPath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_before_and_after() {
        let change = |to: &str, from: &str| {
            let action = Action::Move {
                from: path(from),
                kind: Kind::Directory,
                content: None,
                wiped_from: None,
                bytes_before: 0,
                meta: MetaChange::default(),
                replaces: None,
            };
            (path(to), action)
        };
        // /a/x out of /a, /a to /c, and something into what was /a; /s and /t change places.
        let changes = [
            change("/b", "/a/x"),
            change("/c", "/a"),
            change("/c/y", "/d"),
            change("/s", "/t"),
            change("/t", "/s"),
        ];
        let moves = Moves::among(changes.iter().map(|(path, action)| (path, action)));
        for (now, before) in [
            ("/c/f", Some("/a/f")),
            ("/c", Some("/a")),
            ("/c/x", None),
            ("/c/x/f", None),
            ("/b/f", Some("/a/x/f")),
            ("/c/y/f", Some("/d/f")),
            ("/a", None),
            ("/a/f", None),
            ("/d", None),
            ("/e", Some("/e")),
            ("/s/f", Some("/t/f")),
            ("/t/f", Some("/s/f")),
        ] {
            assert_eq!(moves.origin(&path(now)), before.map(path), "{now}");
            if let Some(before) = before {
                assert_eq!(moves.now_at(&path(before)), path(now), "{before}");
            }
        }
        for (now, before) in
            [("/b", Some("/b")), ("/c/y", Some("/a/y")), ("/c/x", None), ("/s", None), ("/a", None)]
        {
            assert_eq!(moves.replaced(&path(now)), before.map(path), "{now}");
        }
    }
}
