//! Patterns that begin with `~`, which stands for every home directory.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fs::Kind;
use crate::guest::{Found, Guest, GuestError, Pattern, Place, Tree};
use crate::path::GuestPath;

/// A home directory.
#[derive(Debug)]
pub(super) struct Home {
    path: GuestPath,
    /// Where it is, `None` where it is nowhere: most system accounts have none. Why it cannot be
    /// reached is told where something is looked for in it.
    place: Result<Option<Place>, GuestError>,
}

/// Something to look for.
pub(super) struct Sought {
    pattern: Arc<Pattern>,
    /// The home directory below which the pattern holds, where it does not hold from the root.
    home: Option<Arc<Home>>,
}

/// Root's home and those of every account, each once.
pub(super) fn of(guest: &Guest) -> Vec<Arc<Home>> {
    let mut homes: BTreeSet<GuestPath> = BTreeSet::new();
    homes.extend("/root".parse());
    homes.extend(guest.accounts().iter().filter_map(|account| account.home.clone()));
    // `/home/*` is looked at anyway.
    let plain = |home: &GuestPath| home.parent().is_some_and(|dir| dir.to_bytes() == b"/home");
    // A home is a name, not a pattern; one that is not UTF-8 has no pattern.
    homes.retain(|home| !plain(home) && String::from_utf8(home.to_bytes()).is_ok());
    let home = |path: GuestPath| {
        let place = guest.tree.follow(&path).and_then(|place| match place {
            Some(place) => {
                let failed = |source| GuestError::Fs { path: place.path.clone(), source };
                let is_directory = guest.tree.stat(&place).map_err(failed)?.kind == Kind::Directory;
                Ok(is_directory.then_some(place))
            }
            None => Ok(None),
        });
        Arc::new(Home { path, place })
    };
    homes.into_iter().map(home).collect()
}

/// What a pattern stands for.
///
/// # Errors
/// It is none.
pub(super) fn expand(text: &str, homes: &[Arc<Home>]) -> Result<Vec<Sought>, GuestError> {
    let from_root = |text: &str| -> Result<Sought, GuestError> {
        Ok(Sought { pattern: Arc::new(Pattern::parse(text)?), home: None })
    };
    let Some(rest) = text.strip_prefix('~') else { return Ok(vec![from_root(text)?]) };
    let mut sought = vec![from_root(&format!("/home/*{rest}"))?];
    let below = Arc::new(Pattern::parse(rest)?);
    for home in homes {
        sought.push(match &home.place {
            Ok(_) => Sought { pattern: Arc::clone(&below), home: Some(Arc::clone(home)) },
            Err(_) => from_root(&format!("{}{rest}", quoted(&home.path)))?,
        });
    }
    Ok(sought)
}

impl Sought {
    /// Everything in the guest, as it is, that it means.
    pub(super) fn search(&self, tree: &Tree) -> Found {
        match self.home.as_ref().map(|home| &home.place) {
            Some(Ok(Some(place))) => tree.search_below(place, &self.pattern),
            Some(_) => Found::default(),
            None => tree.search(&self.pattern),
        }
    }

    /// Whether it means a path, by its names alone.
    pub(super) fn matches(&self, path: &GuestPath) -> bool {
        match &self.home {
            Some(home) => path.below(&home.path).is_some_and(|below| self.pattern.matches(&below)),
            None => self.pattern.matches(path),
        }
    }
}

/// A directory's path as a pattern to which names can be added.
fn quoted(path: &GuestPath) -> String {
    let mut quoted = String::new();
    for c in String::from_utf8_lossy(&path.to_bytes()).trim_end_matches('/').chars() {
        if "\\*?[]{},".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}
