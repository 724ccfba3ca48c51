//! What an audit found to do, or a seal did.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::digest::Digest;
use crate::operation::{Action, Class, Content, Objects, VolumeAction};
use crate::path::GuestPath;
use crate::plan::{
    Change, OperationOutcome, Outcome, Plan, Refusal, Return, TOOL, Unsettled, VolumeChange,
};
use crate::volume::VolumeId;

use super::{Inspection, SearchReport, SecretReport};

/// Which command a report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Nothing was written.
    Audit,
    /// The changes were committed.
    Seal,
    /// The same, of a seed alone.
    Seed,
}

/// One path of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct PathReport {
    /// The path in the guest.
    pub path: GuestPath,
    /// `remove`, `create-file`, `create-directory`, `create-symlink`, `create-special`,
    /// `create-link`, `move`, `rewrite`, `truncate`, `set-metadata`, `wipe`.
    #[serde(rename = "do")]
    pub action: &'static str,
    /// How many files and other objects that are no directories this is.
    pub files: u64,
    /// How many directories.
    pub directories: u64,
    /// How many bytes of content go.
    pub bytes: u64,
    /// How many bytes a file holds afterwards, where it is given content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
    /// The file of the host, or of the guest before the run, that this content comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Which pattern or argument of the operation asks for it.
    pub why: String,
    /// The operation that it is counted with in the sums.
    pub counted_with: String,
    /// Other operations that ask for the same.
    pub also: Vec<String>,
}

impl PathReport {
    fn of(change: &Change) -> Self {
        Self {
            path: change.path.clone(),
            action: name(&change.action),
            files: change.objects.files,
            directories: change.objects.directories,
            bytes: change.action.bytes(),
            writes: change.action.content().map(Content::len),
            from: change.action.content().and_then(source),
            why: change.why.clone(),
            counted_with: change.operation.clone(),
            also: change.also.clone(),
        }
    }
}

/// One volume that an operation changes as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedVolume {
    /// The volume.
    pub volume: VolumeId,
    /// What is done, and the values that this takes.
    #[serde(flatten)]
    pub action: VolumeAction,
}

/// One operation in one guest.
#[derive(Clone, Debug, Serialize)]
pub struct OperationReport {
    /// Which guest, by its place in the report.
    pub guest: u32,
    /// The operation.
    pub operation: String,
    /// What it is about.
    pub class: Class,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many files and other objects that are no directories are removed, made or changed.
    pub files: u64,
    /// How many directories are.
    pub directories: u64,
    /// How many bytes of content go.
    pub bytes: u64,
    /// Each path, those that are counted with another operation included; a removed directory is
    /// one.
    pub paths: Vec<PathReport>,
    /// Each volume that is changed as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<ChangedVolume>,
}

/// Sums over everything, each path counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Operations with something to change.
    pub operations: u64,
    /// Changed paths, and volumes that are changed as a whole.
    pub changes: u64,
    /// Those volumes.
    pub volumes: u64,
    /// Files and other objects that are no directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of content that go.
    pub bytes: u64,
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Milliseconds.
    pub ms: f64,
}

/// What a filesystem gave back.
#[derive(Clone, Debug, Serialize)]
pub struct FreedReport {
    /// The volume.
    pub volume: VolumeId,
    /// Bytes of storage freed by this run.
    pub bytes: u64,
    /// Inodes freed by this run.
    pub nodes: u64,
    /// Bytes of free space discarded, those freed included.
    pub discarded: u64,
}

/// What sealing did beside the plan's changes.
#[derive(Clone, Debug, Serialize)]
pub struct SealReport {
    /// The new file, where the source was left untouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What each filesystem gave back.
    pub filesystems: Vec<FreedReport>,
    /// What was proved before the commit, by whom, a line each.
    pub proofs: Vec<String>,
    /// What else could have been proved and was not, and why, a line each.
    pub not_proved: Vec<String>,
    /// Bytes written to the image.
    pub written: u64,
    /// Bytes of the image that held data and are holes or zeroes now.
    pub released: u64,
    /// The file's size afterwards, in bytes.
    pub file_size: u64,
    /// The host storage that the file takes afterwards, in bytes.
    pub allocated: u64,
    /// SHA-256 of the disk's content afterwards, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What an audit found to do, or a seal did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The format of this report.
    pub schema: u32,
    /// The tool's name and version.
    pub tool: String,
    /// Which command it is of.
    pub command: Command,
    /// What is in the image.
    pub found: Inspection,
    /// Digest of the plan, as an approval names it.
    pub plan: Digest,
    /// Every selected operation in every guest.
    pub operations: Vec<OperationReport>,
    /// Paths that are left alone although an operation names them.
    pub refusals: Vec<Refusal>,
    /// Files that the next run would change again.
    pub unsettled: Vec<Unsettled>,
    /// What the guests need at first boot, and whether it comes.
    pub first_boot: Vec<Return>,
    /// Sums.
    pub totals: Totals,
    /// What stays readable in the image and cannot be reached, a line each.
    pub residue: Vec<String>,
    /// Secrets that were found, those that go with the plan included.
    pub secrets: Vec<SecretReport>,
    /// What was looked at, where the whole tree was searched for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<SearchReport>,
    /// What sealing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealReport>,
    /// How long each stage took.
    pub timings: Vec<StageTime>,
}

impl Report {
    /// The report of a plan. `digest` is the plan's; `residue` what the image says it keeps.
    pub fn new(
        command: Command,
        found: Inspection,
        plan: &Plan,
        digest: Digest,
        residue: Vec<String>,
    ) -> Self {
        let class = |name: &str| {
            plan.operations.iter().find(|it| it.name == name).map_or(Class::UserData, |it| it.class)
        };
        let operations = plan
            .outcomes
            .iter()
            .map(|OperationOutcome { guest, operation, outcome }| {
                let mut objects = Objects::default();
                let mut bytes = 0_u64;
                for change in plan.changes_by(*guest, operation) {
                    objects += change.objects;
                    bytes = bytes.saturating_add(change.action.bytes());
                }
                let mine = |it: &&VolumeChange| it.guest == *guest && it.operation == *operation;
                for change in plan.volumes.iter().filter(mine) {
                    bytes = bytes.saturating_add(change.action.bytes());
                }
                OperationReport {
                    guest: *guest,
                    operation: operation.clone(),
                    class: class(operation),
                    outcome: outcome.clone(),
                    files: objects.files,
                    directories: objects.directories,
                    bytes,
                    paths: plan.changes_by(*guest, operation).map(PathReport::of).collect(),
                    volumes: plan
                        .volumes
                        .iter()
                        .filter(mine)
                        .map(|it| ChangedVolume {
                            volume: it.volume.clone(),
                            action: it.action.clone(),
                        })
                        .collect(),
                }
            })
            .collect();
        let mut totals = Totals::default();
        for outcome in &plan.outcomes {
            totals.operations += u64::from(outcome.outcome == Outcome::Changed);
        }
        for change in &plan.changes {
            totals.changes += 1;
            totals.files = totals.files.saturating_add(change.objects.files);
            totals.directories = totals.directories.saturating_add(change.objects.directories);
            totals.bytes = totals.bytes.saturating_add(change.action.bytes());
        }
        for change in &plan.volumes {
            totals.changes += 1;
            totals.bytes = totals.bytes.saturating_add(change.action.bytes());
        }
        totals.volumes =
            plan.volumes.iter().map(|it| &it.volume).collect::<BTreeSet<_>>().len() as u64;
        Self {
            schema: super::SCHEMA,
            tool: TOOL.to_owned(),
            command,
            found,
            plan: digest,
            operations,
            refusals: plan.refusals.clone(),
            unsettled: plan.unsettled.clone(),
            first_boot: plan.first_boot.clone(),
            totals,
            residue: residue.into_iter().chain(plan.residue.iter().cloned()).collect(),
            secrets: plan
                .secrets
                .iter()
                .map(|it| {
                    let by = Some(it.operation.clone());
                    SecretReport::new(it.guest, it.finding.clone(), by, None)
                })
                .collect(),
            searched: None,
            sealed: None,
            timings: Vec::new(),
        }
    }

    /// The path of the image that holds the result: the new file, or the image itself.
    pub fn place(&self) -> &str {
        let output = self.sealed.as_ref().and_then(|sealed| sealed.output.as_deref());
        output.unwrap_or(&self.found.image.path)
    }
}

/// Where content comes from, where that is a file.
fn source(content: &Content) -> Option<String> {
    match content {
        Content::Inline(_) => None,
        Content::Host(host) => Some(host.file.display().to_string()),
        Content::Guest(guest) => Some(format!("{} of {}", guest.file, guest.volume)),
    }
}

/// What an action is called.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Remove { .. } => "remove",
        Action::Wipe { .. } => "wipe",
        Action::CreateFile { .. } => "create-file",
        Action::CreateDirectory { .. } => "create-directory",
        Action::CreateSymlink { .. } => "create-symlink",
        Action::CreateSpecial { .. } => "create-special",
        Action::CreateLink { .. } => "create-link",
        Action::Move { .. } => "move",
        Action::Update { content: None, .. } => "set-metadata",
        Action::Update { content: Some(content), .. } if content.is_empty() => "truncate",
        Action::Update { .. } => "rewrite",
    }
}
