//! The verbs, one a file: what a step asks for, worked out against a [`Draft`].

mod append;
mod authorize_key;
mod chmod;
mod chown;
mod copy;
mod edit;
mod edit_lines;
mod empty;
mod firstboot;
mod fs_uuid;
mod host_file;
mod hostname;
mod keymap;
mod machine_id;
mod mkdir;
mod move_path;
mod network_dhcp;
mod new;
mod password;
mod remove;
mod remove_accounts;
mod rewrite;
mod scan;
mod seed;
mod set_key;
mod ssh_host_keys;
mod symlink;
mod tar_in;
mod timezone;
mod touch;
mod truncate;
mod upload;
mod wipe_swap;
mod write;

use std::fmt;
use std::sync::Arc;

use super::draft::Draft;
use super::shape::{Field, Fields, Shape};
use super::targets::Scan;
use super::when::{self, When};
use crate::fs::FsError;
use crate::guest::GuestError;
use crate::path::GuestPath;
use crate::problem::{At, Problem};

/// A verb: its name, its arguments, and how a step is made from them.
#[derive(Debug)]
pub struct Verb {
    /// The key that a step has.
    pub name: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Its arguments, in one or more tables.
    pub fields: &'static [&'static [Field]],
    /// The argument that a plain list or text stands for.
    pub short: Option<&'static str>,
    pub(crate) build: fn(&Fields) -> Result<Arc<dyn Propose>, Problem>,
}

/// The verb whose operations run after those that clean up.
pub const SEED: &str = seed::VERB.name;

/// Every verb, in the order that documentation lists them.
pub const VERBS: &[Verb] = &[
    remove::VERB,
    truncate::VERB,
    empty::VERB,
    write::VERB,
    append::VERB,
    upload::VERB,
    tar_in::VERB,
    copy::VERB,
    move_path::VERB,
    edit::VERB,
    edit_lines::VERB,
    set_key::VERB,
    touch::VERB,
    mkdir::VERB,
    symlink::VERB,
    chmod::VERB,
    chown::VERB,
    password::VERB,
    remove_accounts::VERB,
    authorize_key::VERB,
    firstboot::VERB,
    seed::VERB,
    machine_id::VERB,
    ssh_host_keys::VERB,
    hostname::VERB,
    timezone::VERB,
    keymap::VERB,
    network_dhcp::VERB,
    fs_uuid::VERB,
    wipe_swap::VERB,
    scan::VERB,
];

impl Verb {
    /// Every table of arguments, those of every step last.
    pub(crate) fn tables(&self) -> Vec<&'static [Field]> {
        self.fields.iter().copied().chain([STEP_FIELDS]).collect()
    }

    /// The field that a plain list or text stands for.
    pub(crate) fn short_field(&self) -> Option<&'static Field> {
        let name = self.short?;
        self.fields.iter().copied().flatten().find(|field| field.name == name)
    }
}

/// What every step may have beside its verb's own arguments.
pub(crate) const STEP_FIELDS: &[Field] =
    &[Field::optional("when", Shape::Map(when::FIELDS), "which guests this step is for")];

/// One step of an operation.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its verb.
    pub verb: &'static str,
    /// Where it stands in the operation's file.
    pub at: At,
    /// Which guests it is for, within those of the operation.
    pub when: When,
    /// What it does.
    pub does: Arc<dyn Propose>,
    /// What it was made from.
    pub(crate) given: Fields,
}

impl Step {
    /// Reads the steps of a map; those that are wrong are told and left out.
    pub(crate) fn list(fields: &Fields, problems: &mut Vec<Problem>) -> Vec<Self> {
        let mut steps = Vec::new();
        for (verb, given) in fields.steps("steps") {
            match (verb.build)(given) {
                Ok(does) => steps.push(Self {
                    verb: verb.name,
                    at: given.at(),
                    when: given.map("when").map(When::from_fields).unwrap_or_default(),
                    does,
                    given: given.clone(),
                }),
                Err(problem) => problems.push(problem),
            }
        }
        steps
    }

    /// Whether an argument is a secret.
    pub(crate) fn holds_secrets(&self) -> bool {
        self.given.holds_secrets()
    }

    /// The verb's arguments as they are given, parameters filled in, in the order that the verb's
    /// tables have.
    pub fn arguments(&self) -> Vec<(&'static str, serde_json::Value)> {
        let verb = VERBS.iter().find(|verb| verb.name == self.verb);
        verb.map_or_else(Vec::new, |verb| self.given.given(verb.fields))
    }
}

/// A step that can be worked out.
///
/// Contract: reads the guest through the draft only, proposes changes through it, and proposes
/// nothing where the guest already is as the step would leave it.
pub trait Propose: fmt::Debug + Send + Sync {
    /// Adds the step's changes to the draft.
    ///
    /// # Errors
    /// The guest cannot be read, or the step contradicts itself; what the draft holds by then is
    /// not to be used.
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError>;

    /// The paths and patterns it names, for people.
    fn paths(&self) -> Vec<String>;

    /// Names that it looks for in whole trees, so that one walk serves every step.
    fn scan(&self) -> Option<&Scan>;
}

/// Why a step could not be worked out.
#[derive(Debug)]
#[non_exhaustive]
pub enum StepError {
    /// The guest's tree failed.
    Guest(GuestError),
    /// A filesystem failed at a path of the guest.
    Fs(GuestPath, FsError),
    /// More paths than a plan holds.
    TooMany(usize),
    /// A file of the host cannot be brought along.
    Host(String),
    /// A swap area holds a suspended system: which, and what that means.
    Suspended(String, &'static str),
    /// A password cannot be hashed.
    Password(String),
    /// The tables to search files with cannot be made.
    Scanner(String),
}

impl StepError {
    /// Whether a filesystem of the guest is damaged. Nothing is looked for that no name leads to:
    /// what is named and not there is a name of an inode that is not in use.
    pub fn is_damage(&self) -> bool {
        let (Self::Fs(_, error) | Self::Guest(GuestError::Fs { source: error, .. })) = self else {
            return false;
        };
        matches!(error, FsError::Corrupt(_) | FsError::NotFound)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(GuestError::Fs { path, source: FsError::NotFound })
            | Self::Fs(path, FsError::NotFound) => {
                write!(f, "{path}: corrupt directory: the name leads to nothing that is in use")
            }
            Self::Guest(error) => error.fmt(f),
            Self::Fs(path, error) => write!(f, "{path}: {error}"),
            Self::TooMany(limit) => write!(f, "more than {limit} paths would change"),
            Self::Suspended(what, why) => write!(f, "{what}: {why}"),
            Self::Host(why) | Self::Password(why) => f.write_str(why),
            Self::Scanner(why) => write!(f, "the tables to search with: {why}"),
        }
    }
}

impl std::error::Error for StepError {}

impl From<GuestError> for StepError {
    fn from(error: GuestError) -> Self {
        Self::Guest(error)
    }
}
