//! `tar-in`: unpacks a tar file of the host into a directory of the guest.

mod archive;

use std::collections::HashMap;
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

/// The longest name in a directory: Linux's `NAME_MAX`.
const MAX_NAME: usize = 255;

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
        let mut files: HashMap<usize, Several> = HashMap::new();
        let names = self.names_of_files();
        for (at, entry) in self.entries.iter().enumerate() {
            // A second name has what the file has.
            let (first, file) = match entry.body {
                Body::Link(first) => (first, self.entries.get(first).unwrap_or(entry)),
                _ => (at, entry),
            };
            if entry.replaced {
                continue;
            }
            if let Some(name) = entry.names.iter().find(|name| name.len() > MAX_NAME) {
                let message = format!(
                    "{} has a name of {} bytes; {MAX_NAME} are possible",
                    self.from,
                    name.len()
                );
                draft.refuse(&dir.path, message);
                continue;
            }
            let Some(target) = place(draft, &dir, entry, &why)? else { continue };
            if file.unnamed {
                let reason = "an extended attribute of it has a name that is not UTF-8";
                draft.refuse(&target.path, reason);
                continue;
            }
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
            let several = match (files.get(&first), file.several) {
                (_, false) => {
                    let names = std::slice::from_ref(&target);
                    let there = draft.is_unpacked(names, &new, file.owned, &file.extra)?;
                    Several { there, group: None }
                }
                (Some(several), true) => *several,
                (None, true) => {
                    let names = self.at_names(names.get(&first), draft, &dir)?;
                    let there = draft.is_unpacked(&names, &new, file.owned, &file.extra)?;
                    *files.entry(first).or_insert(Several { there, group: Some(draft.new_group()) })
                }
            };
            if !several.there {
                let extra = file.extra.clone();
                draft.unpack(&target, new, file.owned, extra, several.group, &why)?;
            }
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

/// A file with several names among the members.
#[derive(Clone, Copy)]
struct Several {
    /// It is on the disk already, under all of them and no other.
    there: bool,
    group: Option<usize>,
}

impl TarIn {
    /// The members that are names of one file, by the number of the first.
    fn names_of_files(&self) -> HashMap<usize, Vec<&Entry>> {
        let mut names: HashMap<usize, Vec<&Entry>> = HashMap::new();
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, it)| !it.replaced) {
            match entry.body {
                Body::Link(first) => names.entry(first).or_default().push(entry),
                _ if entry.several => names.entry(at).or_default().push(entry),
                _ => {}
            }
        }
        names
    }

    /// What is at the names of a file; nothing where it is not there under all of them.
    fn at_names(
        &self,
        names: Option<&Vec<&Entry>>,
        draft: &Draft<'_>,
        dir: &Target,
    ) -> Result<Vec<Target>, StepError> {
        let mut found = Vec::new();
        for entry in names.into_iter().flatten() {
            let path = entry.names.iter().fold(dir.path.clone(), |path, name| path.join(name));
            let Some(target) = draft.at(&path, false)? else { return Ok(Vec::new()) };
            found.push(target);
        }
        Ok(found)
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
    let found = draft.at(&at.path.join(name), false)?;
    match found {
        // A link that the guest needs, as /lib is in most, stays and leads on.
        Some(link)
            if link.kind == Some(Kind::Symlink)
                && matches!(entry.body, Body::Directory)
                && draft.needed(&link).is_some() =>
        {
            draft.followed(link)
        }
        found => Ok(found),
    }
}
