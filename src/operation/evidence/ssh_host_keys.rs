//! `ssh-host-keys`: the SSH server's configuration names host keys.

use std::sync::Arc;

use super::{Attest, Kind, Sight};
use crate::guest::way_in::HostKeys;
use crate::guest::{GuestError, MountedAt};
use crate::operation::shape::{Field, Shape};
use crate::path::GuestPath;

pub(super) const KIND: Kind = Kind {
    name: "ssh-host-keys",
    help: "a HostKey line of the SSH server's configuration, of a file that it includes, or of one in \
           the folder of its name and '.d' names a key",
    fields: &[
        Field::required("configuration", Shape::Some(&Shape::Path), "sshd_config"),
        Field::optional("besides", Shape::Some(&Shape::Path), "keys that do not count"),
        Field::optional(
            "out-of-reach",
            Shape::Bool,
            "only those on what /etc/fstab mounts for reading alone, or later than local-fs.target",
        ),
    ],
    short: Some("configuration"),
    build: |fields| {
        let paths = |name: &str| {
            let texts = fields.texts(name).into_iter();
            texts.filter_map(|it| it.parse().ok()).collect::<Vec<GuestPath>>()
        };
        Ok(Arc::new(SshHostKeys {
            configurations: paths("configuration"),
            besides: paths("besides"),
            out_of_reach: fields.flag("out-of-reach", false),
        }))
    },
};

#[derive(Debug)]
struct SshHostKeys {
    configurations: Vec<GuestPath>,
    besides: Vec<GuestPath>,
    out_of_reach: bool,
}

impl Attest for SshHostKeys {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let named = HostKeys::read(sight.files, &self.configurations)?;
        for key in named.keys.iter().filter(|it| !self.besides.contains(it)) {
            if !self.out_of_reach {
                return Ok(Some(key.to_string()));
            }
            let Some(mounted) = MountedAt::of(sight.files, key)? else { continue };
            let why = match mounted.is_late() {
                Some(why) => format!("'{why}'"),
                None if mounted.is_read_only() => "'ro'".to_owned(),
                None => continue,
            };
            return Ok(Some(format!("{key} is on {}, which is mounted {why}", mounted.at)));
        }
        Ok(None)
    }

    fn tells_why(&self) -> bool {
        self.out_of_reach
    }
}
