//! `ssh-host-keys`: removes the host keys that the SSH server's configuration names, wherever they
//! are.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::draft::{Draft, Kept, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

/// A private key is some KiB long; what is longer is none.
const KEY_BYTES: u64 = 64 << 10;

pub(super) const VERB: Verb = Verb {
    name: "ssh-host-keys",
    help: "removes the keys, and their public halves, that HostKey lines of the SSH server's configuration and of the files in the folder of its name and '.d' beside it name; a certificate that one names is told",
    fields: &[&[Field::required("configuration", Shape::Path, "sshd_config")]],
    short: Some("configuration"),
    build: |fields| {
        let path = fields.text("configuration").unwrap_or_default().parse::<GuestPath>();
        let path = path.map_err(|it| Problem::new(fields.at_field("configuration"), it))?;
        Ok(Arc::new(SshHostKeys { path }))
    },
};

#[derive(Debug)]
struct SshHostKeys {
    path: GuestPath,
}

/// The value of a line with this key (sshd_config(5): keys in any case, `=` or blanks between).
fn value<'a>(line: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let line = line.trim_ascii();
    let (found, rest) = line.split_at_checked(key.len())?;
    let rest = rest.strip_prefix(b"=").or_else(|| {
        let blank = rest.first().is_some_and(u8::is_ascii_whitespace);
        blank.then(|| rest.trim_ascii_start()).map(|it| it.strip_prefix(b"=").unwrap_or(it))
    })?;
    let value = rest.trim_ascii();
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next()?,
        None => value.split(u8::is_ascii_whitespace).next()?,
    };
    found.eq_ignore_ascii_case(key.as_bytes()).then_some(value)
}

impl SshHostKeys {
    /// The configuration's files.
    fn files(&self, draft: &mut Draft<'_>) -> Result<Vec<Target>, StepError> {
        let mut files = Vec::from_iter(draft.at(&self.path, true)?);
        let folder = [&self.path.to_bytes()[..], b".d"].concat();
        let folder = GuestPath::from_bytes(&folder).unwrap_or_default();
        if let Some(folder) = draft.at(&folder, true)?
            && folder.kind == Some(Kind::Directory)
        {
            for file in draft.children(&folder)? {
                if file.path.name().is_some_and(|name| name.ends_with(b".conf")) {
                    files.extend(draft.followed(file)?);
                }
            }
        }
        files.retain(|it| it.kind == Some(Kind::File));
        Ok(files)
    }

    fn remove(draft: &mut Draft<'_>, key: &GuestPath) -> Result<(), StepError> {
        let Some(found) = draft.at(key, false)? else { return Ok(()) };
        // What a link leads to is the key.
        if found.kind == Some(Kind::Symlink)
            && let Some(target) = draft.followed(found.clone())?
            && target.kind == Some(Kind::File)
            && draft.size(&target)? <= KEY_BYTES
        {
            draft.remove(&target, &Kept::default())?;
            return draft.remove(&found, &Kept::default());
        }
        let is_short = draft.size(&found)? <= KEY_BYTES;
        if found.kind != Some(Kind::File) || !is_short {
            if found.kind.is_some() {
                draft.refuse(
                    key,
                    "sshd's configuration calls it a host key, and it is no such file",
                );
            }
            return Ok(());
        }
        draft.remove(&found, &Kept::default())
    }
}

impl Propose for SshHostKeys {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        // The usual ones, where they are links: what these lead to goes with them.
        let folder = self.path.parent().unwrap_or_default();
        if let Some(folder) = draft.at(&folder, true)?
            && folder.kind == Some(Kind::Directory)
        {
            for child in draft.children(&folder)? {
                let name = child.path.name().unwrap_or_default();
                if child.kind == Some(Kind::Symlink) && name.starts_with(b"ssh_host_") {
                    Self::remove(draft, &child.path)?;
                }
            }
        }
        for file in self.files(draft)? {
            let content = draft.content(&file)?.unwrap_or_default();
            for line in content.split(|&byte| byte == b'\n') {
                if let Some(key) = value(line, "HostKey").filter(|it| it.starts_with(b"/"))
                    && let Ok(path) = GuestPath::from_bytes(key)
                {
                    Self::remove(draft, &path)?;
                    if let Ok(public) = GuestPath::from_bytes(&[key, b".pub"].concat()) {
                        Self::remove(draft, &public)?;
                    }
                }
                if let Some(certificate) = value(line, "HostCertificate")
                    && let Ok(path) = GuestPath::from_bytes(certificate)
                    && draft.at(&path, true)?.is_some_and(|it| it.kind.is_some())
                {
                    let why = "a certificate of a host key that goes: clones need their own, signed \
                               for the keys that they make";
                    draft.refuse(&path, why);
                }
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec![format!("what HostKey lines of {} and {0}.d/*.conf name", self.path)]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn lines_are_read_as_sshd_reads_them() {
        for line in [
            "HostKey /etc/k",
            "  hostkey\t/etc/k  # why",
            "HOSTKEY=/etc/k",
            "HostKey = \"/etc/k\"",
            "HostKey /etc/k\r",
        ] {
            assert_eq!(value(line.as_bytes(), "HostKey"), Some(&b"/etc/k"[..]), "{line}");
        }
        for line in ["#HostKey /etc/k", "HostKeyAgent /run/x", "HostKeys /etc/k", "", "HostKey"] {
            assert_eq!(value(line.as_bytes(), "HostKey"), None, "{line}");
        }
    }
}
