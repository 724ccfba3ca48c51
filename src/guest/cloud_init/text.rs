//! Reading of a guest's small files: what is too long or no text is told, never taken for nothing.

use crate::fs::Kind;
use crate::guest::{FileState, Files, GuestError};
use crate::path::GuestPath;

/// The longest file of settings that is read; real ones have a few KiB.
pub(super) const FILE_BYTES: u64 = 1 << 20;

/// How many files of one directory are read.
pub(super) const FILES: usize = 1000;

/// What is odd about a guest's cloud-init, and where.
pub(super) type Odd = Vec<(GuestPath, String)>;

/// A path that is written in this program.
pub(super) fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

/// Whether a regular file is there, symlinks followed (`test -f`).
pub(super) fn is_file(files: &dyn Files, at: &GuestPath) -> Result<bool, GuestError> {
    Ok(files.follow(at)?.is_some_and(|it| it.kind == Kind::File))
}

/// Whether a directory is there, symlinks followed.
pub(super) fn is_directory(files: &dyn Files, at: &GuestPath) -> Result<bool, GuestError> {
    Ok(files.follow(at)?.is_some_and(|it| it.kind == Kind::Directory))
}

/// The program that is there, if anyone may run it.
pub(super) fn program(files: &dyn Files, at: &str) -> Result<Option<FileState>, GuestError> {
    let found = files.follow(&path(at))?;
    Ok(found.filter(|it| it.kind == Kind::File && it.mode & 0o111 != 0))
}

/// The content of a regular file; one that is too long is told and left out.
pub(super) fn content(
    files: &dyn Files,
    at: &GuestPath,
    odd: &mut Odd,
) -> Result<Option<Vec<u8>>, GuestError> {
    let Some(state) = files.follow(at)? else { return Ok(None) };
    if state.kind != Kind::File {
        return Ok(None);
    }
    if state.size > FILE_BYTES {
        odd.push((at.clone(), format!("longer than {FILE_BYTES} bytes, and was not read")));
        return Ok(None);
    }
    files.read(at, FILE_BYTES)
}

/// The paths of the regular files of a directory whose names end so, sorted.
pub(super) fn ending(
    files: &dyn Files,
    dir: &GuestPath,
    end: &[u8],
    odd: &mut Odd,
) -> Result<Vec<GuestPath>, GuestError> {
    let mut found = Vec::new();
    for (name, _) in files.names(dir)? {
        let at = dir.join(&name);
        if !name.ends_with(end) || !is_file(files, &at)? {
            continue;
        }
        if found.len() == FILES {
            odd.push((dir.clone(), format!("more than {FILES} files, and the rest was not read")));
            break;
        }
        found.push(at);
    }
    Ok(found)
}
