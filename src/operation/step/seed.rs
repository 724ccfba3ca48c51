//! `seed`: has the guest's cloud-init find its user-data in the guest itself, as NoCloud.
//!
//! cloud-init's documentation: reference/datasources/nocloud; which of its files goes before which
//! is in its `util.read_conf_d` and in `ds-identify`.

use std::path::Path;
use std::sync::Arc;

use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::Family;
use crate::operation::draft::{Draft, Kept, New};
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;
use crate::seed::{self, BadSeed, Seed, SeedError, SeedFile};

/// Where NoCloud looks first.
const FOLDER: &str = "/var/lib/cloud/seed/nocloud";

/// Where cloud-init's settings are, of which the last by name counts.
const SETTINGS: &str = "/etc/cloud/cloud.cfg.d";

/// Behind every name that distributions and installers use.
const NAME: &str = "zz-sysprep-rs-seed.cfg";

/// On one line, as ds-identify reads it. `None` lets the guest boot without the seed, too.
const LIST: &str = "# sysprep-rs: cloud-init takes the seed in /var/lib/cloud/seed/nocloud, and looks nowhere else.\n\
                    datasource_list: [ NoCloud, None ]\n";

/// The longest file of settings that is looked into; real ones have a few KiB.
const SETTINGS_BYTES: u64 = 64 << 10;

/// How many files of settings are looked into.
const SETTINGS_FILES: usize = 1000;

/// How many problems of a seed are told where one line is all there is.
const PROBLEMS: usize = 5;

pub(super) const VERB: Verb = Verb {
    name: "seed",
    help: "tells the guest's cloud-init what to do at first boot: a NoCloud seed in /var/lib/cloud/seed/nocloud, found before any other; each file is checked as cloud-init would read it",
    fields: &[&[
        Field::optional(
            "user-data",
            Shape::Secret,
            "what the machine is to become: '#cloud-config …', '#!/bin/sh …'",
        ),
        Field::optional("user-data-file", Shape::Text, "the same, from a file of the host"),
        Field::optional(
            "meta-data",
            Shape::Secret,
            "which machine it is: 'instance-id: …'; without, a clone's own",
        ),
        Field::optional("meta-data-file", Shape::Text, "the same, from a file of the host"),
        Field::optional(
            "network-config",
            Shape::Secret,
            "its network, in version 1 or 2 (netplan's)",
        ),
        Field::optional("network-config-file", Shape::Text, "the same, from a file of the host"),
        Field::optional("vendor-data", Shape::Secret, "like user-data, which goes over it"),
        Field::optional("vendor-data-file", Shape::Text, "the same, from a file of the host"),
        Field::optional("check", Shape::Bool, "'false' takes the files as they are"),
    ]],
    short: None,
    build: |fields| Ok(Arc::new(SeedStep { seed: read(fields)? })),
};

/// Each file with the field that holds it, and the one that names a file of the host.
const FIELDS: [(SeedFile, &str, &str); 4] = [
    (SeedFile::UserData, "user-data", "user-data-file"),
    (SeedFile::MetaData, "meta-data", "meta-data-file"),
    (SeedFile::NetworkConfig, "network-config", "network-config-file"),
    (SeedFile::VendorData, "vendor-data", "vendor-data-file"),
];

fn read(fields: &Fields) -> Result<Seed, Problem> {
    let check = fields.flag("check", true);
    let mut seed = Seed::default();
    let mut any = false;
    for (file, inline, named) in FIELDS {
        let (field, read) = match (fields.text(inline), fields.text(named)) {
            (Some(_), Some(_)) => {
                let message = format!("'{inline}' and '{named}': give one");
                return Err(Problem::new(fields.at_field(named), message));
            }
            (None, None) => continue,
            (Some(text), None) => {
                let content = text.as_bytes().to_vec();
                let added = match check {
                    true => seed.add(file, inline, content),
                    false => {
                        seed.add_unchecked(file, content);
                        Ok(())
                    }
                };
                (inline, added.map_err(|it| BadSeed(vec![SeedError::Wrong(it)])))
            }
            (None, Some(path)) => {
                let files = [(file, Path::new(path))];
                let read = if check { Seed::read(files) } else { Seed::read_unchecked(files) };
                let take = |it: Seed| {
                    seed.add_unchecked(file, it.get(file).unwrap_or_default().to_vec());
                };
                (named, read.map(take))
            }
        };
        any = true;
        read.map_err(|error| Problem::new(fields.at_field(field), in_a_line(&error)))?;
    }
    if !any {
        let message = "give 'user-data', 'meta-data', 'network-config' or 'vendor-data', or one of \
                       them with '-file'";
        return Err(Problem::new(fields.at(), message));
    }
    Ok(seed)
}

fn in_a_line(error: &BadSeed) -> String {
    let text = error.to_string();
    let mut lines: Vec<&str> = text.lines().take(PROBLEMS).collect();
    if text.lines().count() > PROBLEMS {
        lines.push("…");
    }
    lines.join("; ")
}

#[derive(Debug)]
struct SeedStep {
    seed: Seed,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

impl SeedStep {
    /// Why the guest's cloud-init would not take the seed, and the path that says so.
    fn obstacle(&self, draft: &mut Draft<'_>) -> Result<Option<(GuestPath, String)>, StepError> {
        let facts = &draft.guest().facts;
        if facts.family != Family::Linux || !facts.cloud_init {
            let why = "cloud-init is not installed in this guest, and nothing else reads a seed; \
                       install it before";
            return Ok(Some((path(FOLDER), why.into())));
        }
        let pins = "the operation cloud-init-installer-pins removes it";
        let off = path("/etc/cloud/cloud-init.disabled");
        if draft.at(&off, true)?.is_some_and(|it| it.kind.is_some()) {
            return Ok(Some((off, format!("it turns cloud-init off; {pins}"))));
        }
        let identify = path("/etc/cloud/ds-identify.cfg");
        if let Some(content) = draft.content_at(&identify)?
            && let Some(why) = seed::ds_identify(&content)
        {
            return Ok(Some((identify, format!("{why}; {pins}"))));
        }
        let grub = path("/etc/default/grub");
        let content = draft.content_at(&grub)?.unwrap_or_default();
        let off = |line: &[u8]| !line.starts_with(b"#") && contains(line, b"cloud-init=disabled");
        if content.split(|&byte| byte == b'\n').any(off) {
            let why = "the kernel's command line turns cloud-init off";
            return Ok(Some((grub, why.into())));
        }
        if let Some(found) = self.other_settings(draft)? {
            return Ok(Some(found));
        }
        self.known_instance(draft)
    }

    /// Settings of the guest that go before the seed's.
    fn other_settings(
        &self,
        draft: &mut Draft<'_>,
    ) -> Result<Option<(GuestPath, String)>, StepError> {
        let Some(folder) = draft.at(&path(SETTINGS), true)? else { return Ok(None) };
        let mut files = match folder.kind {
            Some(Kind::Directory) => draft.children(&folder)?,
            _ => Vec::new(),
        };
        files.truncate(SETTINGS_FILES);
        files.extend(draft.at(&path("/etc/cloud/cloud.cfg"), true)?);
        for file in files {
            let name = file.path.name().unwrap_or_default().to_vec();
            if !name.ends_with(b".cfg") || name == NAME.as_bytes() {
                continue;
            }
            let Some(file) = draft.at(&file.path, true)? else { continue };
            if draft.size(&file)? > SETTINGS_BYTES {
                continue;
            }
            let Some(content) = draft.content(&file)? else { continue };
            if self.seed.get(SeedFile::NetworkConfig).is_some() && seed::sets(&content, "network") {
                let why = "it sets 'network', which goes before a seed's network-config; remove it, \
                           or leave network-config out";
                return Ok(Some((file.path, why.into())));
            }
            if name.as_slice() > NAME.as_bytes() && seed::sets(&content, "datasource_list") {
                let why = format!("it sets 'datasource_list', and counts after {NAME}");
                return Ok(Some((file.path, why)));
            }
        }
        Ok(None)
    }

    /// cloud-init has run for the instance that a changed seed is of: it would keep what it has.
    fn known_instance(
        &self,
        draft: &mut Draft<'_>,
    ) -> Result<Option<(GuestPath, String)>, StepError> {
        let known = path("/var/lib/cloud/data/instance-id");
        let Some(content) = draft.content_at(&known)? else { return Ok(None) };
        let meta = self.files().find(|it| it.0 == SeedFile::MetaData).map(|it| it.1);
        let instance = seed::instance(meta.unwrap_or_default());
        if content.trim_ascii() != instance.as_bytes() {
            return Ok(None);
        }
        for (file, content) in self.files() {
            if draft.content_at(&path(FOLDER).join(file.name().as_bytes()))?.as_deref()
                != Some(content)
            {
                let why = format!(
                    "cloud-init has run here as the instance '{instance}' and would not take the \
                     seed for news; name another 'instance-id' in meta-data, or have the operation \
                     cloud-init-state run, too"
                );
                return Ok(Some((known, why)));
            }
        }
        Ok(None)
    }

    fn files(&self) -> impl Iterator<Item = (SeedFile, &[u8])> {
        self.seed.nocloud()
    }
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|it| it == word)
}

impl Propose for SeedStep {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if let Some((at, why)) = self.obstacle(draft)? {
            draft.refuse(&at, why);
            return Ok(());
        }
        let why = "what cloud-init is told";
        // Passwords may be in it; cloud-init reads as root.
        let folder = Place::with(path(FOLDER), new::root(0o700));
        let Some(target) = folder.target(draft, false)? else { return Ok(()) };
        // Nor a link to one: what it leads to would become root's alone.
        if target.kind.is_some_and(|kind| kind != Kind::Directory) {
            draft.refuse(&target.path, "not a directory");
            return Ok(());
        }
        folder.make(draft, &target, New::Directory, 0o700)?;
        for (file, content) in self.files() {
            new::file(draft, path(FOLDER).join(file.name().as_bytes()), content, 0o600, why)?;
        }
        // What an earlier seed had and this one has not would be read with it.
        for file in SeedFile::ALL {
            if self.files().any(|it| it.0 == file) {
                continue;
            }
            let stale = draft.at(&path(FOLDER).join(file.name().as_bytes()), false)?;
            if let Some(stale) = stale.filter(|it| it.kind.is_some()) {
                draft.remove(&stale, &Kept::default())?;
            }
        }
        let list = path(SETTINGS).join(NAME.as_bytes());
        new::file(draft, list, LIST.as_bytes(), 0o644, "has cloud-init look for the seed alone")
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.files().map(|(file, _)| format!("{FOLDER}/{}", file.name())).collect();
        paths.push(format!("{SETTINGS}/{NAME}"));
        paths
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
