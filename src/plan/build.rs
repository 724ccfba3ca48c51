//! Working a plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::first_boot::{self, Found, Return};
use super::outcome::{OperationOutcome, Outcome, Refusal, Secret, Unsettled};
use super::packages;
use super::room::{self, NoRoom};
use super::{Change, OperationRef, Plan, PlanOptions, PlannedGuest, SCHEMA, TOOL, VolumeChange};
use crate::fs::Node;
use crate::guest::Guest;
use crate::operation::{
    CHANGES, CUSTOMIZE, Draft, Drafted, MACHINE_ID, Operation, Proposal, SEED, Shared, StepError,
    Surroundings, VolumeAction,
};
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// How many files that keep other names are told one by one.
const OTHER_NAMES: usize = 20;

/// Why there is no plan.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlanError {
    /// A guest cannot be read where every operation needs it.
    Guest(VolumeId, StepError),
    /// More paths would change than a plan holds.
    TooMany(usize),
    /// What files are to hold does not fit.
    NoRoom(NoRoom),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(root, error) => write!(f, "guest on {root}: {error}"),
            Self::TooMany(limit) => write!(f, "more than {limit} paths would change"),
            Self::NoRoom(no_room) => no_room.fmt(f),
        }
    }
}

impl std::error::Error for PlanError {}

/// Works out what the operations change in the guests. Nothing is written, no clock is read, and
/// the same guests, operations and options give the same plan.
///
/// Operations run by name, whatever their order here, but for those that seed cloud-init, whose state
/// others clean, for `customize`, which comes after these as in virt-sysprep, and for `machine-id`:
/// whatever is asked for, no template has one. An operation that fails is told in its outcome and
/// adds no change; the others go on.
///
/// # Errors
/// A guest that cannot be read at all, or more changes than a plan holds.
pub fn plan(
    guests: &[Guest],
    operations: &[Operation],
    options: &PlanOptions,
) -> Result<Plan, PlanError> {
    let mut sorted: Vec<&Operation> = operations.iter().collect();
    sorted.sort_by_key(|it| {
        (it.name == MACHINE_ID, it.name == CUSTOMIZE, it.has_step(SEED), &it.name)
    });
    let mut plan = Plan {
        schema: SCHEMA,
        tool: TOOL.to_owned(),
        image: options.image.clone(),
        now: options.now,
        keep_free_space: options.keep_free_space,
        remedies: options.first_boot,
        guests: Vec::new(),
        operations: sorted.iter().map(|operation| reference(operation)).collect(),
        filesystems: filesystems(guests, options),
        changes: Vec::new(),
        volumes: Vec::new(),
        outcomes: Vec::new(),
        refusals: Vec::new(),
        first_boot: Vec::new(),
        residue: Vec::new(),
        secrets: Vec::new(),
        unsettled: Vec::new(),
    };
    for ((number, guest), worked) in (0u32..).zip(guests).zip(together(guests, &sorted, options)?) {
        plan.guests.push(PlannedGuest {
            root: guest.root.clone(),
            facts: guest.facts.clone(),
            notes: guest.notes.clone(),
        });
        if let Some(no_room) = room::missing(guest, &worked.drafted.proposals)
            .map_err(|(volume, error)| PlanError::Guest(volume, error))?
        {
            return Err(PlanError::NoRoom(no_room));
        }
        add(&mut plan, number, &sorted, worked);
        plan.refusals.extend(guest.unseen.iter().map(|unseen| Refusal {
            guest: number,
            operation: None,
            path: unseen.path.clone(),
            reason: unseen.reason.clone(),
        }));
        if plan.changes.len() > CHANGES {
            return Err(PlanError::TooMany(CHANGES));
        }
    }
    for (id, change) in (1u32..).zip(&mut plan.changes) {
        change.id = id;
    }
    plan.volumes.sort_by_key(|it| (it.volume.clone(), it.action.rank()));
    Ok(plan)
}

/// Which guest each volume belongs to: a filesystem to the one that mounts it, what is no
/// filesystem that is opened to the first.
fn owners(guests: &[Guest], options: &PlanOptions) -> BTreeMap<VolumeId, u32> {
    let mut owners = BTreeMap::new();
    for facts in options.volumes.all.iter().filter(|it| it.fs.is_none()) {
        owners.insert(facts.volume.clone(), 0);
    }
    for (number, guest) in (0u32..).zip(guests) {
        for volume in guest.volumes() {
            owners.entry(volume.clone()).or_insert(number);
        }
    }
    owners
}

/// What the operations come to in each guest.
///
/// What one guest cannot be told anew of a volume's UUID holds for every guest of the disk: they are
/// worked out again with that volume as it is.
fn together(
    guests: &[Guest],
    operations: &[&Operation],
    options: &PlanOptions,
) -> Result<Vec<Worked>, PlanError> {
    let owners = owners(guests, options);
    let mut kept = BTreeSet::new();
    loop {
        let mut all = Vec::new();
        for (number, guest) in (0u32..).zip(guests) {
            let around = Surroundings {
                volumes: &options.volumes,
                owners: &owners,
                kept: &kept,
                guest: number,
            };
            let worked = work_out(guest, operations, options, around)
                .map_err(|error| PlanError::Guest(guest.root.clone(), error))?;
            all.push(worked);
        }
        let mut more = BTreeSet::new();
        for worked in &all {
            more.extend(worked.drafted.kept.iter().filter(|it| !kept.contains(*it)).cloned());
        }
        // In one guest that is seen to already, where one step alone is about it.
        let torn = all.iter().flat_map(|it| &it.drafted.volumes).any(|it| {
            more.contains(&it.volume) && matches!(it.action, VolumeAction::SetUuid { .. })
        });
        if more.is_empty() || guests.len() < 2 && !torn {
            return Ok(all);
        }
        kept.extend(more);
    }
}

fn reference(operation: &Operation) -> OperationRef {
    OperationRef {
        name: operation.name.clone(),
        class: operation.class,
        digest: operation.digest,
        parameters: operation.values(),
    }
}

/// The filesystems of the guests that can be edited, in the disk's order.
fn filesystems(guests: &[Guest], options: &PlanOptions) -> Vec<super::PlannedFilesystem> {
    let used: BTreeSet<&VolumeId> = guests.iter().flat_map(Guest::volumes).collect();
    options
        .filesystems
        .iter()
        .filter(|it| it.read_only.is_none() && used.contains(&it.filesystem.volume))
        .map(|it| it.filesystem.clone())
        .collect()
}

/// What the operations come to in one guest.
struct Worked {
    drafted: Drafted,
    /// Of each operation that has one already: it was skipped, or it failed.
    early: Vec<Option<Outcome>>,
    /// What has to come back, and the operation that takes it away.
    returns: Vec<Found>,
}

fn work_out(
    guest: &Guest,
    operations: &[&Operation],
    options: &PlanOptions,
    around: Surroundings<'_>,
) -> Result<Worked, StepError> {
    let read_only = |volume: &VolumeId| {
        let known = options.filesystems.iter().find(|it| it.filesystem.volume == *volume);
        match known {
            Some(known) => known.read_only.clone(),
            None => Some(format!("the filesystem on {volume} is not among those planned")),
        }
    };
    let mut early: Vec<Option<Outcome>> = operations
        .iter()
        .map(|operation| operation.when.refuses(&guest.facts).map(Outcome::Skipped))
        .collect();
    // A failed operation leaves nothing behind: the others are worked out again without it.
    loop {
        let scans: Vec<_> = operations
            .iter()
            .zip(&early)
            .filter(|(_, early)| early.is_none())
            .flat_map(|(operation, _)| operation.every_step())
            .filter(|step| step.when.refuses(&guest.facts).is_none())
            .filter_map(|step| step.does.scan())
            .collect();
        let mut draft = Draft::new(guest, &read_only, &scans, around);
        if run(&mut draft, guest, operations, &mut early) {
            continue;
        }
        // What stays is there for what is looked for at first boot.
        packages::keep(&mut draft, guest, operations)?;
        match first_boot::work_out(&mut draft, guest, operations, &early, options) {
            Ok(returns) => {
                return Ok(Worked { drafted: draft.finish()?, early, returns });
            }
            Err(first_boot::Failed::Remedy(at, error)) => early[at] = Some(failure(&error)),
            Err(first_boot::Failed::Guest(error)) => return Err(error),
        }
    }
}

/// Works every operation out that has no outcome yet; whether one failed.
fn run(
    draft: &mut Draft<'_>,
    guest: &Guest,
    operations: &[&Operation],
    early: &mut [Option<Outcome>],
) -> bool {
    for (at, (operation, outcome)) in operations.iter().zip(early).enumerate() {
        if outcome.is_some() {
            continue;
        }
        draft.begin(at);
        let mut skipped = None;
        let mut any = false;
        for step in &operation.steps {
            if let Some(reason) = step.when.refuses(&guest.facts) {
                skipped.get_or_insert(reason);
                continue;
            }
            any = true;
            if let Err(error) = step.does.propose(draft) {
                *outcome = Some(failure(&error));
                return true;
            }
        }
        if let (false, Some(reason)) = (any, skipped) {
            *outcome = Some(Outcome::Skipped(reason));
        }
    }
    false
}

fn failure(error: &StepError) -> Outcome {
    match error.is_damage() {
        true => Outcome::Damaged(error.to_string()),
        false => Outcome::Failed(error.to_string()),
    }
}

fn add(plan: &mut Plan, guest: u32, operations: &[&Operation], worked: Worked) {
    let Drafted { proposals, volumes, refused, found, unsettled, .. } = worked.drafted;
    let name = |by: usize| operations.get(by).map(|it| it.name.clone()).unwrap_or_default();
    plan.first_boot.extend(worked.returns.into_iter().map(|it| Return {
        guest,
        what: it.what,
        operation: it.by.map(name),
        informs: it.informs,
        comes: it.comes,
    }));
    for (by, early) in worked.early.into_iter().enumerate() {
        let changes = proposals.iter().any(|proposal| proposal.by.contains(&by))
            || volumes.iter().any(|proposal| proposal.by == by);
        let reason = refused.iter().find(|refused| refused.by == by);
        let outcome = match (early, reason) {
            (Some(early), _) => early,
            (None, _) if changes => Outcome::Changed,
            (None, Some(refused)) => {
                Outcome::Refused(format!("{}: {}", refused.path, refused.reason))
            }
            (None, None) if found.iter().any(|told| told.by == by) => Outcome::Found,
            (None, None) => Outcome::AlreadyClean,
        };
        plan.outcomes.push(OperationOutcome { guest, operation: name(by), outcome });
    }
    for refused in refused {
        plan.refusals.push(Refusal {
            guest,
            operation: Some(name(refused.by)),
            path: refused.path,
            reason: refused.reason,
        });
    }
    plan.secrets.extend(found.into_iter().map(|told| Secret {
        guest,
        operation: name(told.by),
        finding: told.finding,
    }));
    plan.unsettled.extend(unsettled.into_iter().map(|it| Unsettled {
        guest,
        operation: name(it.by),
        path: it.path,
    }));
    plan.volumes.extend(volumes.into_iter().map(|proposal| VolumeChange {
        guest,
        operation: name(proposal.by),
        volume: proposal.volume,
        action: proposal.action,
        why: proposal.why,
    }));
    plan.residue.extend(other_names(&proposals));
    for proposal in proposals {
        let mut by = proposal.by.iter().map(|&by| name(by));
        plan.changes.push(Change {
            id: 0,
            guest,
            operation: by.next().unwrap_or_default(),
            also: by.collect(),
            volume: proposal.volume,
            fs_path: proposal.fs_path,
            path: proposal.path,
            before: proposal.before,
            action: proposal.action,
            objects: proposal.objects,
            why: proposal.why,
        });
    }
}

/// Files that lose names and keep others, a line each: what they hold stays.
fn other_names(proposals: &[Proposal]) -> Vec<String> {
    let mut files: BTreeMap<(&VolumeId, Node), (&GuestPath, Shared)> = BTreeMap::new();
    for proposal in proposals {
        for shared in &proposal.shared {
            files
                .entry((&proposal.volume, shared.node))
                .and_modify(|(_, all)| all.names = all.names.saturating_add(shared.names))
                .or_insert((&proposal.path, *shared));
        }
    }
    let left: Vec<_> = files.values().filter(|(_, file)| file.names < file.links).collect();
    let mut lines: Vec<String> = left
        .iter()
        .take(OTHER_NAMES)
        .map(|(path, Shared { names, links, .. })| {
            format!("{path}: a file that goes there has other names, too ({} left)", links - names)
        })
        .collect();
    if left.len() > OTHER_NAMES {
        lines.push(format!("{} more files that have other names, too", left.len() - OTHER_NAMES));
    }
    lines
}
