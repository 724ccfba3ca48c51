//! Paths with wildcards, looked up in a guest as a run will leave it.

use crate::fs::Kind;
use crate::guest::{Files, GuestError, NamePattern};
use crate::path::GuestPath;

/// How many paths one pattern finds at most.
const FOUND: usize = 10_000;

/// The paths that a pattern finds, sorted. `*`, `?` and `[…]` match within a name.
pub(super) fn find(files: &dyn Files, pattern: &str) -> Result<Vec<GuestPath>, GuestError> {
    let mut found = vec![GuestPath::root()];
    for name in pattern.split('/').filter(|name| !name.is_empty()) {
        let mut next = Vec::new();
        if name.contains(['*', '?', '[', '{', '\\']) {
            let pattern = NamePattern::parse(name.as_bytes()).map_err(|problem| {
                GuestError::BadPattern { pattern: pattern.to_owned(), problem }
            })?;
            for dir in &found {
                let names = files.names(dir)?;
                let fits = names.iter().filter(|(name, _)| pattern.matches(name));
                next.extend(fits.map(|(name, _)| dir.join(name)));
            }
        } else {
            for dir in &found {
                let path = dir.join(name.as_bytes());
                if files.locate(&path)?.is_some() {
                    next.push(path);
                }
            }
        }
        next.truncate(FOUND);
        found = next;
    }
    Ok(found)
}

/// The regular files among them, symlinks followed.
pub(super) fn regular(files: &dyn Files, pattern: &str) -> Result<Vec<GuestPath>, GuestError> {
    let mut regular = Vec::new();
    for path in find(files, pattern)? {
        if files.follow(&path)?.is_some_and(|it| it.kind == Kind::File) {
            regular.push(path);
        }
    }
    Ok(regular)
}
