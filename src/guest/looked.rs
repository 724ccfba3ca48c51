//! What a tree looked up, kept: the readers of a guest ask for the same few directories over and over,
//! and a directory's blocks and an inode's checksum are read anew each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::fs::{FsError, Node, ReadFs, Stat};

/// How many answers of each kind are kept, and the longest name: a few megabytes at most.
const KEPT: usize = 8192;
const NAME: usize = 64;

/// Answers of a tree's filesystems, which do not change while the tree is in use. What fails is asked
/// again.
#[derive(Default)]
pub(super) struct Looked(Mutex<Answers>);

/// The names of a directory that were asked for.
type Names = HashMap<Box<[u8]>, Option<Node>>;

#[derive(Default)]
struct Answers {
    /// By the mount and the node.
    stats: HashMap<(usize, Node), Stat>,
    /// By the mount and the directory, then the name.
    names: HashMap<(usize, Node), Names>,
    kept: usize,
}

impl Clone for Looked {
    /// A copy begins anew.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Looked {
    /// The node of a name in a directory.
    pub(super) fn lookup(
        &self,
        fs: &dyn ReadFs,
        mount: usize,
        dir: Node,
        name: &[u8],
    ) -> Result<Option<Node>, FsError> {
        let known = |answers: &Answers| answers.names.get(&(mount, dir))?.get(name).copied();
        if let Some(known) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(known);
        }
        let found = fs.lookup(dir, name)?;
        if name.len() <= NAME {
            let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.kept >= KEPT {
                answers.names.clear();
                answers.kept = 0;
            }
            answers.kept += 1;
            answers.names.entry((mount, dir)).or_default().insert(name.into(), found);
        }
        Ok(found)
    }

    /// What a node is.
    pub(super) fn stat(&self, fs: &dyn ReadFs, mount: usize, node: Node) -> Result<Stat, FsError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stat) = known.stats.get(&(mount, node)) {
            return Ok(stat.clone());
        }
        drop(known);
        let stat = fs.stat(node)?;
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.stats.len() >= KEPT {
            answers.stats.clear();
        }
        answers.stats.insert((mount, node), stat.clone());
        Ok(stat)
    }
}
