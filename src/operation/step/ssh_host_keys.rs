//! `ssh-host-keys`: removes the host keys that the SSH server's configuration names, wherever they
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::way_in::HostKeys;
use crate::operation::draft::{Draft, Kept, Target};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;
use crate::volume::VolumeId;

/// A private key is some KiB long; what is longer is none.
const KEY_BYTES: u64 = 64 << 10;

pub(super) const VERB: Verb = Verb {
    name: "ssh-host-keys",
    help: "removes the keys, and their public halves, that HostKey lines of the SSH server's configuration name, of the files that it includes, and of those in the folder of its name and '.d' beside it; a certificate that one names is told, and so is another hard link of a key that goes",
    fields: &[&[Field::required("configuration", Shape::Some(&Shape::Path), "sshd_config")]],
    short: Some("configuration"),
    build: |fields| {
        let paths = fields.texts("configuration").into_iter().map(|it| it.parse::<GuestPath>());
        let paths = paths.collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(|it| Problem::new(fields.at_field("configuration"), it))?;
        Ok(Arc::new(SshHostKeys { paths }))
    },
};

#[derive(Debug)]
struct SshHostKeys {
    paths: Vec<GuestPath>,
}

/// How many names of each file go, by its volume and node; with how many it has, and one of them.
#[derive(Default)]
struct Names(BTreeMap<(VolumeId, u64), (u32, u32, GuestPath)>);

impl Names {
    /// Notes that a name of a private key goes.
    fn goes(&mut self, draft: &Draft<'_>, target: &Target) -> Result<(), StepError> {
        if target.kind == Some(Kind::File)
            && let Some((node, all)) = draft.names_of(target)?
        {
            let first = (0, all, target.path.clone());
            self.0.entry((target.volume.clone(), node)).or_insert(first).0 += 1;
        }
        Ok(())
    }

    /// Tells of those that have names left.
    fn tell(self, draft: &mut Draft<'_>) {
        for (gone, all, path) in self.0.into_values() {
            let left = all.saturating_sub(gone);
            if left > 0 {
                let names = if left == 1 { "name keeps" } else { "names keep" };
                let why = format!("{left} other {names} its content (hard links), in every clone");
                draft.refuse(&path, why);
            }
        }
    }
}

impl SshHostKeys {
    fn remove(draft: &mut Draft<'_>, key: &GuestPath, names: &mut Names) -> Result<(), StepError> {
        let Some(found) = draft.at(key, false)? else { return Ok(()) };
        // What a link leads to is the key.
        if found.kind == Some(Kind::Symlink)
            && let Some(target) = draft.followed(found.clone())?
            && target.kind == Some(Kind::File)
            && draft.size(&target)? <= KEY_BYTES
        {
            names.goes(draft, &target)?;
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
        names.goes(draft, &found)?;
        draft.remove(&found, &Kept::default())
    }

    /// The usual ones, which another step takes away: what links lead to goes with them, and other
    /// names of a file are told.
    fn usual(
        draft: &mut Draft<'_>,
        folder: &GuestPath,
        names: &mut Names,
    ) -> Result<(), StepError> {
        let Some(folder) = draft.at(folder, true)?.filter(|it| it.kind == Some(Kind::Directory))
        else {
            return Ok(());
        };
        for child in draft.children(&folder)? {
            let name = child.path.name().unwrap_or_default();
            if !name.starts_with(b"ssh_host_") {
                continue;
            }
            if child.kind == Some(Kind::Symlink) {
                Self::remove(draft, &child.path, names)?;
            } else if name.ends_with(b"_key") {
                names.goes(draft, &child)?;
            }
        }
        Ok(())
    }
}

impl Propose for SshHostKeys {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let named = HostKeys::read(&*draft, &self.paths)?;
        let mut names = Names::default();
        let folders: BTreeSet<GuestPath> =
            self.paths.iter().filter_map(GuestPath::parent).collect();
        for folder in &folders {
            Self::usual(draft, folder, &mut names)?;
        }
        for path in &named.keys {
            // What `usual` has counted goes once.
            let is_usual = path.parent().is_some_and(|it| folders.contains(&it))
                && path
                    .name()
                    .is_some_and(|it| it.starts_with(b"ssh_host_") && it.ends_with(b"_key"));
            let mut counted = Names::default();
            Self::remove(draft, path, if is_usual { &mut counted } else { &mut names })?;
            if let Ok(public) = GuestPath::from_bytes(&[&path.to_bytes()[..], b".pub"].concat()) {
                Self::remove(draft, &public, &mut Names::default())?;
            }
        }
        names.tell(draft);
        for path in &named.certificates {
            if draft.at(path, true)?.is_some_and(|it| it.kind.is_some()) {
                let why = "a certificate of a host key that goes: clones need their own, signed for \
                           the keys that they make";
                draft.refuse(path, why);
            }
        }
        // What was not looked into may name more of them.
        if let Some(configuration) = self.paths.first() {
            for note in named.notes {
                draft.refuse(configuration, format!("not all host keys are known: {note}"));
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        let name = |path| format!("what HostKey lines of {path} and {path}.d/*.conf name");
        self.paths.iter().map(name).collect()
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
