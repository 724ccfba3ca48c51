//! What a tree looked up, kept: the readers of a guest ask for the same few directories over and over,
//! and a directory's blocks and an inode's checksum are read anew each time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{FsError, Kind, Node, ReadFs, Stat};

/// How many answers of each kind are kept, and the longest name or target: a few megabytes at most.
const KEPT: usize = 8192;
const NAME: usize = 64;

/// How often a directory is searched for a name before all its names are read: a search for one that
/// is not there reads them all, too.
const SEARCHES: usize = 2;

/// How much memory the names of whole directories take, in bytes, all of them together.
const LISTED: usize = 2 << 20;

/// Answers of a tree's filesystems, which do not change while the tree is in use. What fails is asked
/// again.
#[derive(Default)]
pub(super) struct Looked(Mutex<Answers>);

/// Which filesystem of the tree, and a node of it.
type Spot = (usize, Node);

#[derive(Default)]
struct Answers {
    stats: HashMap<Spot, Stat>,
    targets: HashMap<Spot, Box<[u8]>>,
    names: HashMap<Spot, Names>,
    /// How many names that were asked for one by one are kept.
    kept: usize,
    /// How many bytes the listings take.
    listed: usize,
}

/// What is known of a directory's names.
#[derive(Default)]
struct Names {
    asked: HashMap<Box<[u8]>, Option<Node>>,
    all: All,
}

/// All names of a directory.
#[derive(Default)]
enum All {
    #[default]
    NotRead,
    Read(Arc<Listing>),
    /// They cannot be read, or are too many.
    TooMany,
}

impl Clone for Looked {
    /// A copy begins anew.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Looked {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of a name in a directory.
    pub(super) fn lookup(
        &self,
        fs: &dyn ReadFs,
        mount: usize,
        dir: Node,
        name: &[u8],
    ) -> Result<Option<Node>, FsError> {
        let mut searched = 0;
        if let Some(names) = self.answers().names.get(&(mount, dir)) {
            if let All::Read(listing) = &names.all {
                return Ok(listing.node(name));
            }
            if let Some(known) = names.asked.get(name) {
                return Ok(*known);
            }
            searched = names.asked.len();
        }
        if searched >= SEARCHES
            && let Some(listing) = self.list(fs, mount, dir)
        {
            return Ok(listing.node(name));
        }
        let found = fs.lookup(dir, name)?;
        if name.len() <= NAME {
            let answers = &mut *self.answers();
            if answers.kept >= KEPT {
                answers.names.retain(|_, names| {
                    names.asked.clear();
                    matches!(names.all, All::Read(_))
                });
                answers.kept = 0;
            }
            answers.kept += 1;
            answers.names.entry((mount, dir)).or_default().asked.insert(name.into(), found);
        }
        Ok(found)
    }

    /// All names of a directory; `None` where they are too many to be kept, cannot be read, or may be
    /// written in several ways.
    pub(super) fn list(&self, fs: &dyn ReadFs, mount: usize, dir: Node) -> Option<Arc<Listing>> {
        match self.answers().names.get(&(mount, dir)).map(|names| &names.all) {
            Some(All::Read(listing)) => return Some(Arc::clone(listing)),
            Some(All::TooMany) => return None,
            Some(All::NotRead) | None => {}
        }
        let left = LISTED.saturating_sub(self.answers().listed);
        let listing = match fs.folds_case() {
            true => None,
            false => Listing::read(fs, dir, left).map(Arc::new),
        };
        let answers = &mut *self.answers();
        answers.listed += listing.as_ref().map_or(0, |listing| listing.size());
        let names = answers.names.entry((mount, dir)).or_default();
        answers.kept = answers.kept.saturating_sub(names.asked.len());
        names.asked.clear();
        names.all = listing.clone().map_or(All::TooMany, All::Read);
        listing
    }

    /// What a node is.
    pub(super) fn stat(&self, fs: &dyn ReadFs, mount: usize, node: Node) -> Result<Stat, FsError> {
        if let Some(stat) = self.answers().stats.get(&(mount, node)) {
            return Ok(stat.clone());
        }
        let stat = fs.stat(node)?;
        let answers = &mut *self.answers();
        if answers.stats.len() >= KEPT {
            answers.stats.clear();
        }
        answers.stats.insert((mount, node), stat.clone());
        Ok(stat)
    }

    /// Where a symlink points.
    pub(super) fn target(
        &self,
        fs: &dyn ReadFs,
        mount: usize,
        link: Node,
    ) -> Result<Box<[u8]>, FsError> {
        if let Some(target) = self.answers().targets.get(&(mount, link)) {
            return Ok(target.clone());
        }
        let target: Box<[u8]> = fs.link_target(link)?.into();
        if target.len() <= NAME {
            let answers = &mut *self.answers();
            if answers.targets.len() >= KEPT {
                answers.targets.clear();
            }
            answers.targets.insert((mount, link), target.clone());
        }
        Ok(target)
    }
}

/// The names of a directory, sorted, each once.
pub(super) struct Listing {
    text: Vec<u8>,
    names: Vec<Name>,
}

struct Name {
    /// Where it begins in the text, and its length.
    at: u32,
    len: u16,
    kind: Option<Kind>,
    node: Node,
}

impl Listing {
    /// Reads a directory whose names take at most `limit` bytes; of two that are alike the first
    /// counts, as for who searches the directory.
    fn read(fs: &dyn ReadFs, dir: Node, limit: usize) -> Option<Self> {
        let mut listing = Self { text: Vec::new(), names: Vec::new() };
        let mut fits = true;
        let read = fs.entries(dir, &mut |entry| {
            let (at, len) = (u32::try_from(listing.text.len()), u16::try_from(entry.name.len()));
            match (at, len) {
                (Ok(at), Ok(len)) if listing.size() + entry.name.len() < limit => {
                    listing.text.extend_from_slice(entry.name);
                    listing.names.push(Name { at, len, kind: entry.kind, node: entry.node });
                    ControlFlow::Continue(())
                }
                _ => {
                    fits = false;
                    ControlFlow::Break(())
                }
            }
        });
        if read.is_err() || !fits {
            return None;
        }
        let Self { text, mut names } = listing;
        names.sort_by(|a, b| a.of(&text).cmp(b.of(&text)));
        names.dedup_by(|later, first| later.of(&text) == first.of(&text));
        Some(Self { text, names })
    }

    /// About how much memory it takes, in bytes.
    fn size(&self) -> usize {
        self.text.len() + self.names.len() * size_of::<Name>()
    }

    fn node(&self, name: &[u8]) -> Option<Node> {
        let at = self.names.binary_search_by(|it| it.of(&self.text).cmp(name)).ok()?;
        self.names.get(at).map(|it| it.node)
    }

    /// Each name with its node, and what that is where the directory says it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Node, Option<Kind>)> {
        self.names.iter().map(|it| (it.of(&self.text), it.node, it.kind))
    }
}

impl Name {
    fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let at = self.at as usize;
        text.get(at..at + usize::from(self.len)).unwrap_or_default()
    }
}
