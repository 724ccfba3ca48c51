//! `hostname`: sets the host name, where the guest's distribution keeps it.

use std::sync::Arc;

use super::set_key::set_in_shell;
use super::write::Write;
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::{Facts, Init, Packages};
use crate::operation::draft::Draft;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

/// Linux's `HOST_NAME_MAX`.
const NAME_BYTES: usize = 64;

/// Names that stand for the machine itself whatever it is called.
const LOCAL: &[&[u8]] = &[b"localhost", b"localhost.localdomain"];

pub(super) const VERB: Verb = Verb {
    name: "hostname",
    help: "sets the host name: /etc/hostname, or where the distribution keeps it; on Debian also in /etc/hosts",
    fields: &[&[Field::required("name", Shape::Line, "the name, with or without a domain")]],
    short: Some("name"),
    build: |fields| {
        let name = fields.text("name").unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let labels = name.split('.').all(|it| !it.is_empty() && !it.starts_with('-'));
        if name.len() > NAME_BYTES || !name.chars().all(fits) || !labels {
            let message = format!(
                "'{name}' is no host name: letters, digits, '-' and '.', {NAME_BYTES} at most"
            );
            return Err(Problem::new(fields.at_field("name"), message));
        }
        Ok(Arc::new(Hostname(name.to_owned())))
    },
};

#[derive(Debug)]
struct Hostname(String);

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

/// The first line of a file.
fn first_line(draft: &mut Draft<'_>, file: &str) -> Result<Option<Vec<u8>>, StepError> {
    let content = draft.content_at(&path(file))?.unwrap_or_default();
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii();
    Ok((!line.is_empty()).then(|| line.to_vec()))
}

/// The name up to its first dot.
fn short(name: &[u8]) -> &[u8] {
    name.split(|&byte| byte == b'.').next().unwrap_or_default()
}

fn is_like(facts: &Facts, ids: &[&str]) -> bool {
    facts.distro.iter().chain(&facts.like).any(|id| ids.contains(&id.as_str()))
}

/// A hosts file (hosts(5)) with the old name replaced by the new one, with and without its domain.
/// Debian's installer writes `unassigned-hostname` where it was given none.
fn renamed(hosts: &[u8], old: Option<&[u8]>, new: &[u8]) -> Vec<u8> {
    let old = old.filter(|old| !LOCAL.contains(&short(old)));
    let mut edited = Vec::with_capacity(hosts.len());
    for line in hosts.split_inclusive(|&byte| byte == b'\n') {
        let comment = line.iter().position(|&byte| byte == b'#').unwrap_or(line.len());
        let (text, rest) = line.split_at(comment);
        let rename = Rename::on(text, old, new);
        let mut address = true;
        for word in text.split_inclusive(u8::is_ascii_whitespace) {
            let bare = word.trim_ascii_end();
            match rename.of(bare).filter(|_| !address) {
                Some(name) => edited.extend(name),
                None => edited.extend_from_slice(bare),
            }
            edited.extend_from_slice(word.get(bare.len()..).unwrap_or_default());
            address &= bare.is_empty();
        }
        edited.extend_from_slice(rest);
    }
    edited
}

/// What becomes of the names on one line of a hosts file.
struct Rename<'a> {
    old: Option<&'a [u8]>,
    new: &'a [u8],
    /// Whether the old name in any domain is this host: the line is of this host.
    any_domain: bool,
    /// Whether a name with its domain is on the line, so that the one without stays without.
    has_full: bool,
}

impl<'a> Rename<'a> {
    fn on(line: &[u8], old: Option<&'a [u8]>, new: &'a [u8]) -> Self {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty());
        let address = words.next().unwrap_or_default();
        let names: Vec<&[u8]> = words.collect();
        let is_short = |it: &&[u8]| Some(*it) == old.map(short);
        let any_domain =
            address.starts_with(b"127.") || address == b"::1" || names.iter().any(is_short);
        let mut rename = Self { old, new, any_domain, has_full: false };
        rename.has_full = names.iter().any(|it| rename.is_full(it));
        rename
    }

    /// Whether it is the old name with a domain.
    fn is_full(&self, word: &[u8]) -> bool {
        let same = Some(short(word)) == self.old.map(short);
        same && word.contains(&b'.') && (self.any_domain || Some(word) == self.old)
    }

    fn of(&self, word: &[u8]) -> Option<Vec<u8>> {
        let (new, name) = (self.new, short(self.new));
        match word {
            // Without a domain of its own it stays in the old one.
            word if self.is_full(word) && !new.contains(&b'.') => {
                let domain = word.get(short(word).len()..).unwrap_or_default();
                Some([name, domain].concat())
            }
            word if self.is_full(word) => Some(new.to_vec()),
            word if Some(word) == self.old && !self.has_full => Some(new.to_vec()),
            word if Some(word) == self.old.map(short) => Some(name.to_vec()),
            b"unassigned-hostname" => Some(name.to_vec()),
            b"unassigned-hostname.unassigned-domain" if new.contains(&b'.') => Some(new.to_vec()),
            _ => None,
        }
    }
}

impl Hostname {
    /// Sets `key` in a file of shell variables, which is made where it is not there.
    fn set(&self, draft: &mut Draft<'_>, file: &str, key: &str) -> Result<(), StepError> {
        let file = path(file);
        let content = match draft.at(&file, true)? {
            Some(target) if target.kind == Some(Kind::File) => draft.content(&target)?,
            _ => Some(Vec::new()),
        };
        // What is too large to be read is refused by then.
        let Some(content) = content else { return Ok(()) };
        Write::of(file, set_in_shell(key, &self.0, &content)).propose(draft)
    }

    fn write(&self, draft: &mut Draft<'_>, file: &str) -> Result<(), StepError> {
        Write::of(path(file), format!("{}\n", self.0).into_bytes()).propose(draft)
    }
}

impl Propose for Hostname {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let facts = draft.guest().facts.clone();
        let systemd = facts.init == Some(Init::Systemd);
        let is_file = |draft: &Draft<'_>, file: &str| -> Result<bool, StepError> {
            Ok(draft.at(&path(file), false)?.and_then(|it| it.kind) == Some(Kind::File))
        };
        let suse = is_like(&facts, &["suse", "opensuse", "sles"]);
        if !systemd && !suse && facts.package_manager == Some(Packages::Rpm) {
            return self.set(draft, "/etc/sysconfig/network", "HOSTNAME");
        }
        if is_file(draft, "/etc/conf.d/hostname")? && !is_file(draft, "/etc/hostname")? {
            return self.set(draft, "/etc/conf.d/hostname", "hostname");
        }
        let old = first_line(draft, "/etc/hostname")?;
        let old = old.or_else(|| facts.hostname.clone().map(String::into_bytes));
        if suse && (!systemd || is_file(draft, "/etc/HOSTNAME")?) {
            self.write(draft, "/etc/HOSTNAME")?;
        }
        if !suse || systemd {
            self.write(draft, "/etc/hostname")?;
        }
        if systemd && is_like(&facts, &["fedora", "rhel", "centos"]) {
            self.set(draft, "/etc/machine-info", "PRETTY_HOSTNAME")?;
        }
        let debian = is_like(&facts, &["debian", "ubuntu"]);
        if (debian || facts.package_manager == Some(Packages::Dpkg))
            && let Some(hosts) = draft.at(&path("/etc/hosts"), true)?
            && let Some(content) = draft.content(&hosts)?
        {
            let edited = renamed(&content, old.as_deref(), self.0.as_bytes());
            if edited != content {
                draft.set_content(&hosts, edited, "names the host")?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        let paths = [
            "/etc/hostname",
            "/etc/HOSTNAME",
            "/etc/hosts",
            "/etc/sysconfig/network",
            "/etc/conf.d/hostname",
            "/etc/machine-info",
        ];
        paths.map(str::to_owned).to_vec()
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_names_the_new_host() {
        let hosts = |text: &str, old: Option<&str>, new: &str| {
            let edited = renamed(text.as_bytes(), old.map(str::as_bytes), new.as_bytes());
            let again = renamed(&edited, Some(new.as_bytes()), new.as_bytes());
            assert_eq!(again, edited, "a second time changes nothing");
            String::from_utf8(edited).unwrap()
        };
        let debian = "127.0.0.1\tlocalhost\n127.0.1.1\told.lan old # old\n10.0.0.1 older\n";
        let edited = "127.0.0.1\tlocalhost\n127.0.1.1\tnew.org new # old\n10.0.0.1 older\n";
        assert_eq!(hosts(debian, Some("old.lan"), "new.org"), edited);
        assert_eq!(hosts("::1 old", Some("old"), "new"), "::1 new");
        // The name in /etc/hostname has no domain, and the one in the hosts file has.
        let (short, line) = (Some("old"), "127.0.1.1\told.lan old\n10.0.0.1 old.far\n");
        assert_eq!(hosts(line, short, "new.org"), "127.0.1.1\tnew.org new\n10.0.0.1 old.far\n");
        assert_eq!(hosts(line, short, "new"), "127.0.1.1\tnew.lan new\n10.0.0.1 old.far\n");
        assert_eq!(hosts("127.0.1.1 old.lan\n", short, "new"), "127.0.1.1 new.lan\n");
        let local = "127.0.0.1 localhost.lan localhost\n";
        assert_eq!(hosts(local, Some("localhost.lan"), "n"), local);
        assert_eq!(hosts("old old\n", Some("old"), "new"), "old new\n");
        assert_eq!(hosts("127.0.0.1 localhost\n", Some("localhost"), "n"), "127.0.0.1 localhost\n");
        let unassigned = "127.0.1.1 unassigned-hostname.unassigned-domain unassigned-hostname\n";
        assert_eq!(hosts(unassigned, None, "a.b"), "127.0.1.1 a.b a\n");
    }
}
