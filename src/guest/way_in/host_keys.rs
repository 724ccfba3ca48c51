//! The host keys that the SSH server's configuration names.

use std::collections::BTreeSet;

use super::sshd_config::SshdConfig;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// What it names, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostKeys {
    /// Private keys.
    pub(crate) keys: BTreeSet<GuestPath>,
    /// Certificates of them.
    pub(crate) certificates: BTreeSet<GuestPath>,
    /// What was not looked into.
    pub(crate) notes: Vec<String>,
}

impl HostKeys {
    /// Reads files of the configuration and what they include, and what is in the folder of a
    /// file's name with `.d` whether that is included or not.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(crate) fn read(
        files: &dyn Files,
        configurations: &[GuestPath],
    ) -> Result<Self, GuestError> {
        let mut found = Self::default();
        for at in configurations {
            found.add(files, at)?;
            let folder = [&at.to_bytes()[..], b".d"].concat();
            let Ok(folder) = GuestPath::from_bytes(&folder) else { continue };
            for (name, _) in files.names(&folder)? {
                if name.ends_with(b".conf") {
                    found.add(files, &folder.join(&name))?;
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, files: &dyn Files, at: &GuestPath) -> Result<(), GuestError> {
        let config = SshdConfig::read(files, at, &[])?;
        self.keys.extend(config.host_keys());
        self.certificates.extend(config.host_certificates());
        let is_text = |it: &&GuestPath| !it.to_string().contains('\u{fffd}');
        let odd = !self.keys.iter().chain(&self.certificates).all(|it| is_text(&it));
        let odd = odd.then(|| format!("{at}: names a host key in bytes that are not UTF-8"));
        for note in config.notes.into_iter().chain(odd) {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }
}
