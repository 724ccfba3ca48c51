//! `tar-in`: unpacks a tar file of the host into a directory of the guest.

mod archive;

use std::path::Path;
use std::sync::Arc;

use self::archive::{Body, Entry};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, Extra, New, Owned, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "tar-in",
    help: "unpacks a tar file of the host, which is not compressed, into a directory of the guest, with owners by number, modes, times, links, devices and extended attributes",
    fields: &[&[
        Field::required("from", Shape::Text, "the tar file of the host"),
        // The root is a directory, too.
        Field::required("to", Shape::Line, "the directory, by its absolute path; it is there"),
    ]],
    short: None,
    build: |fields| {
        let wrong = |name: &str, message: String| Problem::new(fields.at_field(name), message);
        let from = fields.text("from").unwrap_or_default();
        let to = fields.text("to").unwrap_or_default().parse().map_err(|it| wrong("to", it))?;
        let entries = archive::read(Path::new(from))
            .map_err(|message| wrong("from", format!("{from}: {message}")))?;
        Ok(Arc::new(TarIn { from: from.to_owned(), to, entries }))
    },
};

#[derive(Debug)]
struct TarIn {
    from: String,
    to: GuestPath,
    entries: Vec<Entry>,
}

impl Propose for TarIn {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let dir = draft.at(&self.to, true)?.filter(|it| it.kind == Some(Kind::Directory));
        let Some(dir) = dir else {
            draft.refuse(&self.to, "no directory is there to unpack into; make it first");
            return Ok(());
        };
        let why = format!("unpacked from {}", self.from);
        let mut directories = Vec::new();
        let mut groups: Vec<Option<usize>> = vec![None; self.entries.len()];
        for (at, entry) in self.entries.iter().enumerate() {
            // A second name has what the file has.
            let (first, file) = match entry.body {
                Body::Link(first) => (first, self.entries.get(first).unwrap_or(entry)),
                _ => (at, entry),
            };
            let several = file.several;
            let group = several.then(|| {
                let slot = groups.get(first).copied().flatten();
                slot.unwrap_or_else(|| draft.new_group())
            });
            if let Some(slot) = groups.get_mut(first) {
                *slot = group;
            }
            let Some(target) = place(draft, &dir, entry, &why)? else { continue };
            let new = match &file.body {
                Body::File(content) => New::File(draft.bring(content.content()?)?),
                Body::Directory => New::Directory,
                Body::Symlink(link) => New::Symlink(link.clone()),
                Body::Special(kind, device) => New::Special(*kind, *device),
                Body::Link(_) => continue,
            };
            if new == New::Directory {
                directories.push((target.path.clone(), file.extra.clone()));
            }
            draft.make(&target, new, file.owned, file.extra.clone(), group, &why)?;
        }
        draft.set_times(directories, &why)
    }

    fn paths(&self) -> Vec<String> {
        vec![self.to.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

/// Where an entry goes: links to directories lead on within the guest, and directories that are not
/// there are made. `None`, with a refusal, where something else is on the way.
fn place(
    draft: &mut Draft<'_>,
    dir: &Target,
    entry: &Entry,
    why: &str,
) -> Result<Option<Target>, StepError> {
    let Some((name, above)) = entry.names.split_last() else { return Ok(Some(dir.clone())) };
    let mut at = dir.clone();
    for name in above {
        let path = at.path.join(name);
        let next = draft.within(&at, name)?;
        at = match next {
            Some(next) if next.kind == Some(Kind::Directory) => next,
            Some(next) if next.kind.is_none() => {
                let owned = Owned { mode: 0o755, uid: 0, gid: 0 };
                draft.make(&next, New::Directory, owned, Extra::default(), None, why)?;
                match draft.at(&next.path, false)? {
                    Some(made) if made.kind.is_some() => made,
                    // It was refused.
                    _ => return Ok(None),
                }
            }
            _ => {
                draft.refuse(&path, "not a directory, which the tar file takes it for");
                return Ok(None);
            }
        };
    }
    draft.at(&at.path.join(name), matches!(entry.body, Body::Directory))
}
