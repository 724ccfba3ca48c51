//! Operations: what to clean, written down in YAML, and the verbs they are made of.
//!
//! A file is read into a tree that knows its lines ([`LoadError`] tells every problem at once),
//! checked against the tables that the JSON Schema is made from too, and becomes an [`Operation`].
//! Its steps are worked out against a [`Draft`] of one guest.
//!
//! Within a step, `{name}` stands for the value of the declared parameter `name`, in a regular
//! expression as literal text; any other brace stays as it is. A path that begins with `~/` stands
//! for every home directory: root's, those in the guest's `passwd`, and `/home/*`.

mod action;
mod before;
mod catalogue;
mod comes_back;
mod content;
pub mod crypt;
mod draft;
pub mod evidence;
mod expression;
pub(crate) mod initramfs;
mod load;
mod mode;
mod moves;
mod reference;
mod schema;
mod selection;
mod shape;
mod step;
mod targets;
mod uuid;
mod volumes;
mod when;
mod yaml;

pub use crate::problem::{At, LoadError, Problem, nearest};
pub use action::{Action, Objects, Replaced, VolumeAction};
pub use before::{Seen, Shared, before, seen};
pub use catalogue::{Catalogue, CatalogueError, load_file};
pub use comes_back::{Comes, ComesBack, Remedy};
pub use content::{Content, ContentSource, GuestContent, HostContent, Originals};
pub use draft::{
    CHANGES, Draft, Drafted, EDITABLE_BYTES, Extra, Going, Kept, Labels, New, Owned, Proposal,
    Refused, Surroundings, Target, Told, VolumeProposal,
};
pub use load::{
    Class, DescribedEvidence, DescribedReturn, DescribedStep, Description, Operation, Parameter,
    ParameterType,
};
pub use moves::Moves;
pub use reference::markdown;
pub use schema::json_schema;
pub use selection::{CUSTOMIZE, MACHINE_ID, Selection, not_here};
pub use shape::{Field, Shape};
pub use step::{Propose, SEED, Step, StepError, VERBS, Verb};
pub use targets::{Scan, Targets};
pub use volumes::{VolumeFacts, Volumes};
pub use when::When;
