//! What has to come back at first boot: by what it does, or what is put in so that it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::{PlanOptions, labels, notes, way_in};
use crate::guest::{Family, Guest, GuestError};
use crate::operation::evidence::Sight;
use crate::operation::{Class, Comes, ComesBack, Draft, Operation, Refused, StepError};

/// What is done where nothing in a guest makes anew what an operation takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstBoot {
    /// The means are put in.
    #[default]
    Auto,
    /// It is told.
    Report,
}

/// Something that the guest needs at first boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// What it is.
    pub what: String,
    /// The operation that takes it away, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// No operation takes it away: that it is missing is told, no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub informs: bool,
    /// Whether it comes.
    #[serde(flatten)]
    pub comes: Comeback,
}

/// Whether, and by what, something comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "why", rename_all = "kebab-case")]
pub enum Comeback {
    /// The guest has this by itself.
    Made(String),
    /// Nothing in the guest would; this is put in.
    Added(String),
    /// It does not come back, or in one way only for all clones.
    Missing(String),
    /// The guest cannot be read where it would say so.
    Unknown(String),
    /// Nothing has to come back: something to know.
    Note(String),
}

impl Comeback {
    /// What it says.
    pub fn words(&self) -> &str {
        match self {
            Self::Made(words)
            | Self::Added(words)
            | Self::Missing(words)
            | Self::Unknown(words)
            | Self::Note(words) => words,
        }
    }

    /// Whether somebody has to see to it.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Unknown(_))
    }
}

impl Return {
    /// What the report calls who can log in.
    pub const WAY_IN: &'static str = way_in::WAY_IN;

    /// Whether a run leaves the guest without something that it took away.
    pub fn is_lost(&self) -> bool {
        !self.informs && self.comes.is_open()
    }
}

/// The same of one guest, the operation by its place in the run.
pub(super) struct Found {
    pub(super) what: String,
    pub(super) by: Option<usize>,
    pub(super) informs: bool,
    pub(super) comes: Comeback,
}

impl Found {
    pub(super) fn of_all(what: &str, comes: Comeback) -> Self {
        Self { what: what.to_owned(), by: None, informs: true, comes }
    }
}

/// Why what comes back could not be worked out.
pub(super) enum Failed {
    /// A step of the remedy of the operation with this place in the run failed.
    Remedy(usize, StepError),
    /// The guest could not be read.
    Guest(StepError),
}

/// Looks for what brings each thing back that an operation takes away, in the guest as the run will
/// leave it, and puts in the means where nothing does and the options say so; then for who can log
/// in; then gives what is made its labels.
pub(super) fn work_out(
    draft: &mut Draft<'_>,
    guest: &Guest,
    operations: &[&Operation],
    early: &[Option<Outcome>],
    options: &PlanOptions,
) -> Result<Vec<Found>, Failed> {
    let runs = operations.iter().zip(early).enumerate().filter(|(_, (_, early))| early.is_none());
    let all: Vec<(usize, &ComesBack)> = runs
        .flat_map(|(at, (operation, _))| operation.comes_back.iter().map(move |it| (at, it)))
        .collect();
    let kept = kept(draft, operations);
    let mut sight = Sight::new(&*draft, &guest.facts);
    let looked: Vec<_> = all.iter().map(|(_, it)| it.look(&sight)).collect();
    let mut added = vec![None; all.len()];
    let is_missing = looked.iter().any(|it| matches!(it, Ok(Comes::Not(_))));
    if is_missing && options.first_boot == FirstBoot::Auto {
        let unit_files = sight.unit_files();
        drop(sight);
        for ((added, (at, thing)), looked) in added.iter_mut().zip(&all).zip(&looked) {
            if matches!(looked, Ok(Comes::Not(_))) {
                *added = put_in(draft, guest, *at, thing)?;
            }
        }
        sight = Sight::again(&*draft, &guest.facts, unit_files);
    }
    // What was put in may do for several things, and may be kept from starting.
    let any = added.iter().any(Option::is_some);
    let mut found = Vec::new();
    for (((at, thing), looked), added) in all.into_iter().zip(looked).zip(added) {
        let comes = match looked {
            Ok(Comes::NotNeeded) => continue,
            Ok(Comes::Back(by)) => Comeback::Made(by),
            Ok(Comes::Not(why)) => {
                let again = if any { thing.look(&sight) } else { Ok(Comes::Not(None)) };
                match (again, added) {
                    (Ok(Comes::Back(_)), Some(adds)) => Comeback::Added(adds),
                    (Ok(Comes::Back(by)), None) => Comeback::Added(by),
                    (again, Some(adds)) => {
                        let missing = &thing.missing;
                        let why = said(again).map(|why| format!(": {why}")).unwrap_or_default();
                        Comeback::Missing(format!(
                            "{missing} ({adds}: put in, and not found to work{why})"
                        ))
                    }
                    (again, None) => Comeback::Missing(match said(again).or(why) {
                        Some(why) => format!("{}: {why}", thing.missing),
                        None => thing.missing.clone(),
                    }),
                }
            }
            Err(error) => Comeback::Unknown(error.to_string()),
        };
        let comes = match kept.get(&at) {
            Some(words) if !thing.informs => Comeback::Missing(words.clone()),
            _ => comes,
        };
        let what = thing.what.clone();
        found.push(Found { what, by: Some(at), informs: thing.informs, comes });
    }
    if guest.facts.family == Family::Linux {
        let comes = way_in::look(&sight, options.now);
        found.push(Found::of_all(Return::WAY_IN, comes));
        found.extend(notes::read(&sight, &guest.tree));
    }
    found.extend(labels::give(draft).map_err(Failed::Guest)?);
    Ok(found)
}

/// Why nothing makes it, where there is something to say of that.
fn said(comes: Result<Comes, GuestError>) -> Option<String> {
    match comes {
        Ok(Comes::Not(why)) => why,
        _ => None,
    }
}

/// What an operation was to take away and did not, in words, by the operation's place in the run:
/// what makes such a thing anew finds the old one.
fn kept(draft: &Draft<'_>, operations: &[&Operation]) -> BTreeMap<usize, String> {
    let mut kept = BTreeMap::new();
    for Refused { by, path, reason, .. } in draft.refused().iter().filter(|it| it.stays) {
        if operations.get(*by).is_some_and(|it| it.class == Class::Identity) {
            let words = format!("{path} stays as it is in every clone: {reason}");
            kept.entry(*by).or_insert(words);
        }
    }
    kept
}

/// Puts the means in, where there are any for this guest; what that is, for the report.
fn put_in(
    draft: &mut Draft<'_>,
    guest: &Guest,
    at: usize,
    thing: &ComesBack,
) -> Result<Option<String>, Failed> {
    let Some(remedy) = &thing.otherwise else { return Ok(None) };
    draft.begin(at);
    let (before, refused) = (draft.asked(), draft.refused().len());
    for step in &remedy.steps {
        if step.when.refuses(&guest.facts).is_none() {
            step.does.propose(draft).map_err(|error| Failed::Remedy(at, error))?;
        }
    }
    let whole = draft.refused().len() == refused;
    Ok((whole && draft.asked() > before).then(|| remedy.adds.clone()))
}
