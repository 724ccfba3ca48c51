//! A file that gets its name once it is whole: whatever ends the program before that leaves nothing.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, linkat};
use tempfile::{Builder, NamedTempFile};

/// How a file's temporary name begins and ends, where it needs one.
const TEMPORARY: (&str, &str) = (".sysprep-rs-", ".tmp");

/// A file that is being written.
pub(super) enum NewFile {
    /// It has no name: the host frees it when the program ends.
    Nameless(File),
    /// On a host that has no such files (NFS, FAT): under a temporary name, which a signal leaves.
    Named(NamedTempFile),
}

impl NewFile {
    /// A new file in `folder`, with those bits of `mode` that the umask leaves.
    pub(super) fn create_in(folder: &Path, mode: u32) -> io::Result<Self> {
        if let Some(umask) = umask()
            && let Ok(file) = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OFlags::TMPFILE.bits() as i32)
                .mode(0o600)
                .open(folder)
        {
            // Kernels before 6.0 forget the umask here.
            file.set_permissions(Permissions::from_mode(mode & !umask))?;
            return Ok(Self::Nameless(file));
        }
        let mut named = builder();
        named.permissions(Permissions::from_mode(mode)).tempfile_in(folder).map(Self::Named)
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Gives it its name in `folder`, in place of what has that name if it may be replaced.
    ///
    /// # Errors
    /// `AlreadyExists`; what the host says.
    pub(super) fn persist(self, to: &Path, folder: &Path, replace: bool) -> io::Result<File> {
        match self {
            Self::Named(file) if replace => Ok(file.persist(to)?),
            Self::Named(file) => Ok(file.persist_noclobber(to)?),
            Self::Nameless(file) => {
                let name = |path: &Path| {
                    linkat(CWD, own(&file), CWD, path, AtFlags::SYMLINK_FOLLOW)
                        .map_err(io::Error::from)
                };
                match name(to) {
                    // A link replaces nothing, a rename does: a second name for that long.
                    Err(error) if replace && error.kind() == io::ErrorKind::AlreadyExists => {
                        builder().make_in(folder, name)?.persist(to)?;
                    }
                    other => other?,
                }
                Ok(file)
            }
        }
    }
}

fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    builder
}

/// Where the kernel shows an open file of this process, by which it can be given a name.
fn own(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// What new files may not have; `None` without `/proc`, which is needed to give a file its name.
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(umask.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_file_has_a_name_when_it_is_given_one() {
        for is_named in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let to = folder.join("new");
            let make = |content: &[u8]| {
                let new = match is_named {
                    true => NewFile::Named(builder().tempfile_in(folder).unwrap()),
                    false => NewFile::create_in(folder, 0o640).unwrap(),
                };
                assert_eq!(is_named, matches!(new, NewFile::Named(_)));
                new.file().write_all(content).unwrap();
                new
            };
            let count = || fs::read_dir(folder).unwrap().count();
            drop(make(b"given up"));
            assert_eq!(count(), 0);
            let first = make(b"first");
            assert_eq!(count(), usize::from(is_named));
            first.persist(&to, folder, false).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"first");
            let error = make(b"second").persist(&to, folder, false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).unwrap(), b"first");
            make(b"third").persist(&to, folder, true).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"third");
            make(b"fourth").persist(&folder.join("other"), folder, true).unwrap();
            assert_eq!(fs::read(folder.join("other")).unwrap(), b"fourth");
            assert_eq!(count(), 2);
            if !is_named {
                let mode = fs::metadata(&to).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o640 & !umask().unwrap());
            }
        }
    }
}
