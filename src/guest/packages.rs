//! Which package owns a file, by the lists that dpkg keeps (dpkg-query(1)): text, and so cheap to
//! ask. What other package managers own is in databases and is not asked.

use std::collections::BTreeMap;

use memchr::memmem;

use super::{Files, GuestError};
use crate::path::{GuestPath, escape};

/// Where dpkg's lists are, a file a package, its name and `.list`.
const LISTS: &str = "/var/lib/dpkg/info";

/// The longest list that is read; the kernel sources' have some 5 MiB.
const LIST_BYTES: u64 = 16 << 20;

/// How many lists are read.
const PACKAGES: usize = 20_000;

/// The package that owns each of these paths, where dpkg says that one does.
///
/// # Errors
/// The guest cannot be read.
pub(crate) fn owners(
    files: &dyn Files,
    paths: &[GuestPath],
) -> Result<BTreeMap<GuestPath, String>, GuestError> {
    let mut owners = BTreeMap::new();
    if paths.is_empty() {
        return Ok(owners);
    }
    // A list has the paths as they were before `/lib` became `/usr/lib`, in many packages.
    let mut wanted: Vec<(Vec<u8>, &GuestPath)> = Vec::new();
    for path in paths {
        let bytes = path.to_bytes();
        if let Some(old) = bytes.strip_prefix(b"/usr") {
            wanted.push((line(old), path));
        }
        wanted.push((line(&bytes), path));
    }
    let folder: GuestPath = LISTS.parse().unwrap_or_default();
    for (name, _) in files.names(&folder)?.into_iter().take(PACKAGES) {
        let Some(package) = name.strip_suffix(b".list") else { continue };
        let list = folder.join(&name);
        if files.follow(&list)?.is_none_or(|it| it.size > LIST_BYTES) {
            continue;
        }
        let Some(content) = files.read(&list, LIST_BYTES)? else { continue };
        for (line, path) in &wanted {
            if content.starts_with(&line[1..]) || memmem::find(&content, line).is_some() {
                owners.entry((*path).clone()).or_insert_with(|| escape(package));
            }
        }
    }
    Ok(owners)
}

fn line(path: &[u8]) -> Vec<u8> {
    [b"\n", path, b"\n"].concat()
}
