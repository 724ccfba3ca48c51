//! `upload`: brings a file of the host, or a folder with what is in it, into the guest.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use super::host_file::HostFile;
use super::{Propose, StepError, Verb};
use crate::fs::{Kind, NO_ID};
use crate::operation::content;
use crate::operation::draft::{Draft, New, Owned, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

/// How many objects one step brings along.
const OBJECTS: usize = 10_000;

/// Folders in folders, so that reading ends.
const DEPTH: usize = 64;

pub(super) const VERB: Verb = Verb {
    name: "upload",
    help: "brings a file of the host into the guest, or with 'recursive' a folder; owner and mode come along",
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
        read(from, recursive, vec![name], &mut objects)
            .map_err(|message| wrong("from", message))?;
        Ok(Arc::new(Upload { to: to.map_err(|it| wrong("to", it))?, recursive, objects }))
    },
};

/// An object of the host, by its names below the folder that is brought along.
#[derive(Debug)]
struct Object {
    names: Vec<Vec<u8>>,
    body: Body,
    owned: Owned,
}

/// What it is.
#[derive(Debug)]
enum Body {
    File(HostFile),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    /// Nothing that is brought along: what it is.
    Left(&'static str),
}

/// Reads a file, or what is in a folder, a folder before what is in it and each by name.
fn read(
    path: &Path,
    recursive: bool,
    names: Vec<Vec<u8>>,
    objects: &mut Vec<Object>,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let metadata = if recursive { fs::symlink_metadata(path) } else { fs::metadata(path) };
    let metadata = metadata.map_err(failed)?;
    if objects.len() >= OBJECTS || names.len() > DEPTH {
        return Err(format!("{}: more than {OBJECTS} files, or {DEPTH} deep", path.display()));
    }
    let kind = metadata.file_type();
    let body = if kind.is_file() {
        // Whether it may be read is told before anything is looked at.
        content::open(path).map_err(failed)?;
        let path = std::path::absolute(path).map_err(failed)?;
        Body::File(HostFile::whole(path))
    } else if kind.is_dir() && recursive {
        Body::Directory
    } else if kind.is_symlink() {
        Body::Symlink(fs::read_link(path).map_err(failed)?.as_os_str().as_bytes().to_vec())
    } else if names.len() == 1 {
        return Err(format!("{}: not a regular file", path.display()));
    } else if kind.is_fifo() {
        Body::Fifo
    } else {
        Body::Left(if kind.is_socket() { "a socket" } else { "a device" })
    };
    let mode = if kind.is_symlink() { 0o777 } else { (metadata.mode() & 0o7777) as u16 };
    let owned = Owned { mode, uid: metadata.uid(), gid: metadata.gid() };
    if owned.uid == NO_ID || owned.gid == NO_ID {
        return Err(format!("{}: nobody's, by its owner's number", path.display()));
    }
    let folder = matches!(body, Body::Directory);
    objects.push(Object { names: names.clone(), body, owned });
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
            read(&path.join(&name), recursive, names, objects)?;
        }
    }
    Ok(())
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
        let owned = match draft.keeps_owners(&target.volume) {
            true => object.owned,
            false => draft.owned(&target)?.unwrap_or(Owned { mode: 0o755, uid: 0, gid: 0 }),
        };
        if let Body::File(file) = &object.body
            && let Some(size) = draft.size_of(&target.volume)
        {
            // Before all of it is read.
            file.fits(size, &target.volume)?;
        }
        let mut target = target;
        let new = match (&object.body, target.kind) {
            (Body::Left(what), _) => {
                let reason = format!("on the host it is {what}, which is not brought along");
                draft.refuse(&target.path, reason);
                return Ok(());
            }
            (Body::File(file), Some(Kind::File)) => {
                let host = file.content()?;
                if !draft.holds(&target, host.length, host.digest)? {
                    let content = draft.bring(host)?;
                    draft.set_content(&target, content, why.clone())?;
                }
                return draft.set_owned(&target, owned, why);
            }
            (Body::Directory, Some(Kind::Directory)) => {
                return draft.set_owned(&target, owned, why);
            }
            (Body::Symlink(link), Some(Kind::Symlink))
                if draft.link_target(&target)?.as_ref() == Some(link) =>
            {
                return draft.set_owned(&target, owned, why);
            }
            (Body::Fifo, Some(Kind::Fifo)) => return draft.set_owned(&target, owned, why),
            (Body::File(_) | Body::Symlink(_) | Body::Fifo, Some(Kind::File | Kind::Symlink))
            | (_, None) => {
                target.kind = None;
                match &object.body {
                    Body::File(file) => New::File(draft.bring(file.content()?)?),
                    Body::Directory => New::Directory,
                    Body::Symlink(link) => New::Symlink(link.clone()),
                    Body::Fifo | Body::Left(_) => New::Special(Kind::Fifo, (0, 0)),
                }
            }
            (_, Some(_)) => {
                draft.refuse(&target.path, "something of another kind is there");
                return Ok(());
            }
        };
        draft.create(&target, new, owned, why)
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
