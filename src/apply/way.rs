//! From a path to its node.

use crate::fs::{FsError, Node, ReadFs};
use crate::path::GuestPath;

/// The way to the path that was looked up last. Paths come in order, so the next one shares most of
/// it: then a look costs what the paths differ in, and not the whole depth.
#[derive(Debug, Default)]
pub(super) struct Way {
    path: GuestPath,
    /// The nodes of the path's names as far as they were found, one each.
    nodes: Vec<Node>,
}

impl Way {
    /// The node at a path, without following symlinks; `None` when nothing is there.
    ///
    /// # Errors
    /// What the filesystem says.
    pub(super) fn find(
        &mut self,
        fs: &dyn ReadFs,
        path: &GuestPath,
    ) -> Result<Option<Node>, FsError> {
        self.nodes.truncate(self.path.common_depth(path));
        self.path.clone_from(path);
        let mut node = self.nodes.last().copied().unwrap_or_else(|| fs.root());
        for name in path.names().skip(self.nodes.len()) {
            match fs.lookup(node, name) {
                Ok(Some(next)) => node = next,
                Ok(None) | Err(FsError::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            }
            self.nodes.push(node);
        }
        Ok(Some(node))
    }

    /// Forgets what was at a path and below, which is about to go.
    pub(super) fn forget(&mut self, path: &GuestPath) {
        if self.path.starts_with(path) {
            self.nodes.truncate(path.depth().saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::directory::Directory;

    #[test]
    fn a_look_gives_what_a_look_from_the_root_gives() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(folder.path().join("a/d")).unwrap();
        std::fs::write(folder.path().join("a/d/file"), "x").unwrap();
        let fs = Directory::open(folder.path()).unwrap();
        let mut way = Way::default();
        let paths =
            ["/", "/a", "/a/b/c", "/a/b/c/no/thing", "/a/b", "/a/d/file/no", "/a/d/file", "/x"];
        for path in paths.iter().chain(paths.iter().rev()) {
            let path = GuestPath::from_bytes(path.as_bytes()).unwrap();
            let found = way.find(&fs, &path).unwrap();
            assert_eq!(found, Way::default().find(&fs, &path).unwrap(), "{path}");
        }
    }
}
