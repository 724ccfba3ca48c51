//! `seed`: has the guest's cloud-init find its user-data in the guest itself, as NoCloud.
//!
//! cloud-init's documentation: reference/datasources/nocloud; which of its files goes before which
//! is in its `util.read_conf_d` and in `ds-identify`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use self::with::With;
use super::new::{self, Place};
use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::Family;
use crate::guest::cloud_init::{CloudInit, Network, Runs};
use crate::operation::draft::{Draft, Kept, New};
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::Scan;
use crate::path::{GuestPath, escape};
use crate::problem::Problem;
use crate::seed::{BadSeed, Seed, SeedError, SeedFile};

mod with;

/// Where NoCloud looks first.
const FOLDER: &str = "/var/lib/cloud/seed/nocloud";

/// Where cloud-init's settings are, of which the last by name counts.
const SETTINGS: &str = "/etc/cloud/cloud.cfg.d";

/// Behind every name that distributions and installers use.
const NAME: &str = "zz-sysprep-rs-seed.cfg";

/// On one line, as ds-identify reads it. `None` lets the guest boot without the seed, too.
const LIST: &str = "# sysprep-rs: cloud-init takes the seed in /var/lib/cloud/seed/nocloud, and looks nowhere else.\n\
                    datasource_list: [ NoCloud, None ]\n";

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
        let (folder, list) = (path(FOLDER), path(SETTINGS).join(NAME.as_bytes()));
        let mut added: BTreeMap<GuestPath, Vec<u8>> = self
            .files()
            .map(|(file, content)| (folder.join(file.name().as_bytes()), content.to_vec()))
            .collect();
        added.insert(list.clone(), LIST.as_bytes().to_vec());
        if facts.family != Family::Linux || !facts.cloud_init {
            let why = "cloud-init is not installed in this guest, and nothing else reads a seed; \
                       install it before";
            return Ok(Some((folder, why.into())));
        }
        // Installed where it is not known, it is not known what it would do.
        let Some(cloud) = CloudInit::read(&With { files: &*draft, added }, facts)? else {
            return Ok(None);
        };
        if let Runs::No { at, reason } = &cloud.runs {
            let removes =
                cloud.leftovers.iter().find(|it| it.at == *at).and_then(|it| it.operation);
            let hint = removes.map(|it| format!("; the operation {it} removes it"));
            return Ok(Some((at.clone(), format!("{reason}{}", hint.unwrap_or_default()))));
        }
        if let Some(sources) = cloud.datasources.filter(|it| it.at != list)
            && sources.names.first().is_none_or(|it| !it.eq_ignore_ascii_case("NoCloud"))
        {
            let names = escape(sources.names.join(", ").as_bytes());
            let why = format!("it has cloud-init look for {names}, and counts before {NAME}");
            return Ok(Some((sources.at, why)));
        }
        if self.seed.get(SeedFile::NetworkConfig).is_some()
            && let Network::Disabled(at) | Network::Renders { fixed: Some(at), .. } = cloud.network
        {
            let why = "it sets 'network', which goes before a seed's network-config; remove it, or \
                       leave network-config out";
            return Ok(Some((at, why.into())));
        }
        let Some(known) = cloud.recorded.filter(|it| it.same) else { return Ok(None) };
        // It has run for the instance that the seed is of; what has changed is no news to it.
        for (file, content) in self.files() {
            let there = draft.content_at(&folder.join(file.name().as_bytes()))?;
            if there.as_deref() != Some(content) {
                let why = format!(
                    "cloud-init has run here as the instance '{}' and would not take the seed for \
                     news; name another 'instance-id' in meta-data, or have the operation \
                     cloud-init-state run, too",
                    known.instance
                );
                return Ok(Some((known.at, why)));
            }
        }
        Ok(None)
    }

    fn files(&self) -> impl Iterator<Item = (SeedFile, &[u8])> {
        self.seed.nocloud()
    }
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
