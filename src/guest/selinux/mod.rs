//! Which label a guest's SELinux policy gives a path, and whether the guest will label itself anew.

mod contexts;
mod expression;
mod substitutions;

use super::{Files, GuestError};
use crate::fs::Kind;
use crate::path::GuestPath;

use contexts::is_space;
pub use contexts::{Contexts, LabelUnknown};
use substitutions::Substitutions;

/// The longest `/etc/selinux/config` that is read, in bytes.
const MAX_CONFIG: u64 = 256 << 10;

/// The longest file of contexts that is read, in bytes; the largest policies' are below one MiB.
const MAX_CONTEXTS: u64 = 16 << 20;

/// The longest file of substitutions that is read, in bytes.
const MAX_SUBSTITUTIONS: u64 = 1 << 20;

/// The policy of a guest whose configuration names none.
const DEFAULT_TYPE: &[u8] = b"targeted";

/// What asks for all files to be labelled anew at the next boot: everywhere, and where the root is
/// read-only (openSUSE MicroOS).
const RELABEL: [&str; 2] = ["/.autorelabel", "/etc/selinux/.autorelabel"];

/// A guest's SELinux policy, as far as it is about labels.
#[derive(Debug)]
pub enum Policy {
    /// The guest loads none: SELinux is disabled in its configuration, or no policy is installed.
    Off,
    /// The guest loads one, but what label a path has cannot be told, for this reason: files made
    /// without one need a relabel.
    Unusable(String),
    /// The labels.
    Labels(Contexts),
}

impl Policy {
    /// Reads a guest's policy: `/etc/selinux/config`, and the files of contexts of the policy that
    /// it names. What the kernel command line says (`selinux=0`) is not looked at.
    ///
    /// Files are read in libselinux's order: `file_contexts`, `.homedirs`, `.local`. The compiled
    /// copies beside them (`.bin`) say the same and are not read.
    pub fn read(files: &dyn Files) -> Self {
        match read(files) {
            Ok(Some(contexts)) => Self::Labels(contexts),
            Ok(None) => Self::Off,
            Err(reason) => Self::Unusable(reason),
        }
    }
}

/// Where the guest is asked to label all its files anew at its next boot; `None` where it is not.
///
/// # Errors
/// The guest cannot be read there.
pub fn relabel_flagged(files: &dyn Files) -> Result<Option<GuestPath>, GuestError> {
    for flag in RELABEL {
        let Ok(flag) = GuestPath::from_bytes(flag.as_bytes()) else { continue };
        if files.follow(&flag)?.is_some_and(|state| state.kind == Kind::File) {
            return Ok(Some(flag));
        }
    }
    Ok(None)
}

fn read(files: &dyn Files) -> Result<Option<Contexts>, String> {
    let config = path(b"/etc/selinux/config")?;
    let config = content(files, &config, MAX_CONFIG)?.unwrap_or_default();
    if is_disabled(&config) {
        return Ok(None);
    }
    let dir = path(&[b"/etc/selinux/", policy_type(&config)].concat())?;
    let main = dir.join(b"contexts").join(b"files").join(b"file_contexts");
    let beside = |suffix: &[u8]| path(&[&main.to_bytes(), suffix].concat());
    let Some(text) = content(files, &main, MAX_CONTEXTS)? else {
        return without_contexts(files, &dir, &main, &beside(b".bin")?);
    };
    let mut contexts = Contexts::default();
    contexts.add(&main, text)?;
    for suffix in [&b".homedirs"[..], b".local"] {
        let path = beside(suffix)?;
        if let Some(text) = content(files, &path, MAX_CONTEXTS)? {
            contexts.add(&path, text)?;
        }
    }
    let substitutions = |suffix: &[u8]| {
        let path = beside(suffix)?;
        let text = content(files, &path, MAX_SUBSTITUTIONS)?.unwrap_or_default();
        Substitutions::from_bytes(&text).map_err(|problem| format!("{path}: {problem}"))
    };
    contexts.local = substitutions(b".subs")?;
    contexts.distribution = substitutions(b".subs_dist")?;
    Ok(Some(contexts))
}

/// Whether a guest without contexts has a policy that it loads.
fn without_contexts(
    files: &dyn Files,
    dir: &GuestPath,
    main: &GuestPath,
    compiled: &GuestPath,
) -> Result<Option<Contexts>, String> {
    if files.follow(compiled).map_err(|error| error.to_string())?.is_some() {
        return Err(format!("{main}: not there, and its compiled copy is not read"));
    }
    let names = files.names(&dir.join(b"policy")).map_err(|error| error.to_string())?;
    match names.iter().find(|(name, _)| name.starts_with(b"policy.")) {
        Some((name, _)) => Err(format!(
            "{main}: not there, while the guest loads {}",
            dir.join(b"policy").join(name)
        )),
        None => match another(files, dir)? {
            Some(there) => Err(format!(
                "{main}: not there, while another policy is ({there}): /etc/selinux/config names \
                 one that is not installed"
            )),
            None => Ok(None),
        },
    }
}

/// The contexts of a policy that is installed and that the configuration does not name.
fn another(files: &dyn Files, named: &GuestPath) -> Result<Option<GuestPath>, String> {
    let all = path(b"/etc/selinux")?;
    for (name, _) in files.names(&all).map_err(|error| error.to_string())? {
        let dir = all.join(&name);
        let main = dir.join(b"contexts").join(b"files").join(b"file_contexts");
        if dir != *named && files.follow(&main).map_err(|error| error.to_string())?.is_some() {
            return Ok(Some(main));
        }
    }
    Ok(None)
}

fn path(bytes: &[u8]) -> Result<GuestPath, String> {
    GuestPath::from_bytes(bytes).map_err(|problem| format!("/etc/selinux/config: {problem}"))
}

fn content(files: &dyn Files, path: &GuestPath, limit: u64) -> Result<Option<Vec<u8>>, String> {
    files.read(path, limit).map_err(|error| error.to_string())
}

/// Whether `SELINUX=` says so: the first line that begins with it and has a word that is known.
fn is_disabled(config: &[u8]) -> bool {
    let begins = |text: &[u8], word: &str| {
        text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()))
    };
    config
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"SELINUX="))
        .map(trim_start)
        .find(|word| ["enforcing", "permissive", "disabled"].iter().any(|it| begins(word, it)))
        .is_some_and(|word| begins(word, "disabled"))
}

/// The policy's name: the last `SELINUXTYPE=`.
fn policy_type(config: &[u8]) -> &[u8] {
    const TAG: &[u8] = b"SELINUXTYPE=";
    config
        .split(|&byte| byte == b'\n')
        .map(trim_start)
        .rfind(|line| line.get(..TAG.len()).is_some_and(|it| it.eq_ignore_ascii_case(TAG)))
        .map_or(DEFAULT_TYPE, |line| {
            let value = trim_start(&line[TAG.len()..]);
            let end = value.iter().rposition(|&byte| !is_space(byte) && !byte.is_ascii_control());
            end.map_or(&[], |end| &value[..=end])
        })
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_space(byte)).unwrap_or(line.len());
    &line[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read_as_libselinux_reads_it() {
        for (config, disabled, policy) in [
            ("", false, "targeted"),
            ("SELINUX=enforcing\nSELINUXTYPE=mls\n", false, "mls"),
            ("SELINUX=disabled\nSELINUX=enforcing\n", true, "targeted"),
            ("SELINUX=odd\nSELINUX= DISABLED # now\n", true, "targeted"),
            (" SELINUX=disabled\n# SELINUX=disabled\n", false, "targeted"),
            ("SELINUXTYPE=a\n  selinuxtype=  default \t\r\n#SELINUXTYPE=b", false, "default"),
            ("SELINUXTYPE= \n", false, ""),
        ] {
            let config = config.as_bytes();
            assert_eq!(is_disabled(config), disabled, "{config:?}");
            assert_eq!(policy_type(config), policy.as_bytes(), "{config:?}");
        }
    }
}
