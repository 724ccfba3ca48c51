//! `upload`: brings a file of the host, or a folder with what is in it, into the guest.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::{Kind, NO_ID};
use crate::operation::draft::{Draft, EDITABLE_BYTES, New, Owned, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

/// How much one step brings along: a plan holds it, several times over while it is proved.
const TOTAL_BYTES: u64 = EDITABLE_BYTES;

/// How many objects one step brings along.
const OBJECTS: usize = 10_000;

/// Folders in folders, so that reading ends.
const DEPTH: usize = 64;

pub(super) const VERB: Verb = Verb {
    name: "upload",
    help: "brings a file of the host into the guest, or with 'recursive' a folder (up to 4 MiB); owner and mode come along",
    fields: &[&[
        Field::required("from", Shape::Text, "the file of the host"),
        Field::required("to", Shape::Path, "its path in the guest, or a directory that is there"),
        Field::optional(
            "recursive",
            Shape::Bool,
            "a folder, too, and symlinks as they are; 'to' is a directory that is there",
        ),
    ]],
    short: None,
    build: |fields| {
        let wrong = |name: &str, message: String| Problem::new(fields.at_field(name), message);
        let from = Path::new(fields.text("from").unwrap_or_default());
        let recursive = fields.flag("recursive", false);
        let to = fields.text("to").unwrap_or_default().parse();
        let failed = |why: io::Error| wrong("from", format!("{}: {why}", from.display()));
        // What `..` or `.` is called is known once it is looked up.
        let whole = from.canonicalize().map_err(failed)?;
        let name = match (from.file_name(), whole.file_name()) {
            (Some(name), _) | (None, Some(name)) => name.as_bytes().to_vec(),
            (None, None) => return Err(wrong("from", "the whole host".into())),
        };
        let mut objects = Vec::new();
        let mut left = TOTAL_BYTES;
        read(from, recursive, vec![name], &mut objects, &mut left)
            .map_err(|message| wrong("from", message))?;
        Ok(Arc::new(Upload { to: to.map_err(|it| wrong("to", it))?, recursive, objects }))
    },
};

/// An object of the host, by its names below the folder that is brought along.
#[derive(Debug)]
struct Object {
    names: Vec<Vec<u8>>,
    new: New,
    owned: Owned,
}

/// Reads a file, or what is in a folder, a folder before what is in it and each by name.
fn read(
    path: &Path,
    recursive: bool,
    names: Vec<Vec<u8>>,
    objects: &mut Vec<Object>,
    left: &mut u64,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let metadata = if recursive { fs::symlink_metadata(path) } else { fs::metadata(path) };
    let metadata = metadata.map_err(failed)?;
    if objects.len() >= OBJECTS || names.len() > DEPTH {
        return Err(format!("{}: more than {OBJECTS} files, or {DEPTH} deep", path.display()));
    }
    let kind = metadata.file_type();
    let (new, folder) = if kind.is_file() {
        (New::File(content(path, &metadata, left)?), false)
    } else if kind.is_dir() && recursive {
        (New::Directory, true)
    } else if kind.is_symlink() {
        (New::Symlink(fs::read_link(path).map_err(failed)?.as_os_str().as_bytes().to_vec()), false)
    } else {
        return Err(format!("{}: not a regular file", path.display()));
    };
    let mode = if kind.is_symlink() { 0o777 } else { (metadata.mode() & 0o7777) as u16 };
    let owned = Owned { mode, uid: metadata.uid(), gid: metadata.gid() };
    if owned.uid == NO_ID || owned.gid == NO_ID {
        return Err(format!("{}: nobody's, by its owner's number", path.display()));
    }
    objects.push(Object { names: names.clone(), new, owned });
    if folder {
        let mut below = fs::read_dir(path)
            .and_then(|entries| {
                entries.map(|it| it.map(|it| it.file_name())).collect::<io::Result<Vec<_>>>()
            })
            .map_err(failed)?;
        below.sort();
        for name in below {
            let mut names = names.clone();
            names.push(name.as_bytes().to_vec());
            read(&path.join(&name), recursive, names, objects, left)?;
        }
    }
    Ok(())
}

fn content(path: &Path, metadata: &Metadata, left: &mut u64) -> Result<Vec<u8>, String> {
    let limit = *left;
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut content))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let length = content.len() as u64;
    if length > limit {
        return Err(format!(
            "{}: {} bytes long; a plan holds what is brought along, {TOTAL_BYTES} bytes at most, \
             and more is not supported yet",
            path.display(),
            metadata.len()
        ));
    }
    *left -= length;
    Ok(content)
}

#[derive(Debug)]
struct Upload {
    to: GuestPath,
    recursive: bool,
    objects: Vec<Object>,
}

impl Upload {
    fn put(&self, object: &Object, target: Target, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let why = format!("brought to {}", self.to);
        match (&object.new, target.kind) {
            (New::File(content), Some(Kind::File)) => {
                let same = draft.size(&target)? == content.len() as u64
                    && draft.content(&target)?.as_ref() == Some(content);
                if !same {
                    draft.set_content(&target, content.clone(), why.clone())?;
                }
                draft.set_owned(&target, object.owned, why)
            }
            (New::Directory, Some(Kind::Directory)) => draft.set_owned(&target, object.owned, why),
            (New::Symlink(link), Some(Kind::Symlink))
                if draft.link_target(&target)?.as_ref() == Some(link) =>
            {
                draft.set_owned(&target, object.owned, why)
            }
            (New::File(_) | New::Symlink(_), Some(Kind::File | Kind::Symlink)) => {
                let mut free = target;
                free.kind = None;
                draft.create(&free, object.new.clone(), object.owned, why)
            }
            (_, Some(_)) => {
                draft.refuse(&target.path, "something of another kind is there");
                Ok(())
            }
            (_, None) => draft.create(&target, object.new.clone(), object.owned, why),
        }
    }
}

impl Propose for Upload {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let there = draft.at(&self.to, true)?;
        let into = there.as_ref().is_some_and(|it| it.kind == Some(Kind::Directory));
        if !into && (self.recursive || there.is_none()) {
            draft.refuse(&self.to, "no directory is there to put it in; make it first");
            return Ok(());
        }
        for object in &self.objects {
            // One file takes the place of what a link leads to; what a folder holds goes where it
            // belongs, whatever is there.
            let target = match into {
                true => {
                    let path = object.names.iter().fold(self.to.clone(), |path, it| path.join(it));
                    draft.at(&path, !self.recursive)?
                }
                false => there.clone(),
            };
            // What its folder could not become is told already.
            if let Some(target) = target {
                self.put(object, target, draft)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec![self.to.to_string()]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
