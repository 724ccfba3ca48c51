//! Evidence, one kind a file: what in a guest makes anew what an operation takes away.
//!
//! It is looked for in the guest as the run will leave it.

mod all;
mod cloud_init;
mod file;
mod line;
mod network;
mod none;
mod paths;
mod script;
mod sight;
mod ssh_host_keys;
mod tmpfiles;
mod unit;

use std::fmt;
use std::sync::Arc;

use super::shape::{Field, Fields, Shape};
use super::when::{self, When};
use crate::guest::GuestError;
use crate::problem::Problem;

pub use sight::Sight;

/// A kind of evidence: its name, its arguments, and how a piece is made from them.
#[derive(Debug)]
pub struct Kind {
    /// The key that a piece of it has.
    pub name: &'static str,
    /// When it holds, in one line.
    pub help: &'static str,
    /// Its arguments.
    pub fields: &'static [Field],
    /// The argument that a plain list or text stands for.
    pub short: Option<&'static str>,
    pub(crate) build: fn(&Fields) -> Result<Arc<dyn Attest>, Problem>,
}

/// Every kind, in the order that documentation lists them.
pub const EVIDENCE: &[Kind] = &[
    unit::KIND,
    script::KIND,
    cloud_init::KIND,
    network::KIND,
    tmpfiles::KIND,
    file::KIND,
    line::KIND,
    ssh_host_keys::KIND,
    all::KIND,
    none::KIND,
];

/// What every piece of evidence may have beside its kind's own arguments.
pub(crate) const COMMON_FIELDS: &[Field] = &[
    Field::optional("says", Shape::Line, "what the report says where it holds"),
    Field::optional(
        "else",
        Shape::Line,
        "what the report says where it does not hold, and nothing else makes it anew",
    ),
    Field::optional("when", Shape::Map(when::FIELDS), "in which guests it counts"),
];

impl Kind {
    /// Every table of arguments, those of every piece last.
    pub(crate) fn tables(&self) -> Vec<&'static [Field]> {
        vec![self.fields, COMMON_FIELDS]
    }

    /// The field that a plain list or text stands for.
    pub(crate) fn short_field(&self) -> Option<&'static Field> {
        let name = self.short?;
        self.fields.iter().find(|field| field.name == name)
    }
}

/// What can be looked for.
///
/// Contract: reads the guest through [`Sight`] only.
pub trait Attest: fmt::Debug + Send + Sync {
    /// What was found, in a few words; `None` where it does not hold.
    ///
    /// # Errors
    /// The guest cannot be read, so that it is not known.
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError>;

    /// Whether what was found tells why, where it stands in the way of something.
    fn tells_why(&self) -> bool {
        false
    }

    /// Why it does not hold, where that says more than that it does not.
    fn why_not(&self, _sight: &Sight<'_>) -> Option<String> {
        None
    }
}

/// A piece of evidence.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its kind.
    pub kind: &'static str,
    /// In which guests it counts.
    pub when: When,
    /// What the report says where it holds, instead of what was found.
    pub says: Option<String>,
    /// What the report says where it does not hold, and nothing else makes it anew.
    pub otherwise: Option<String>,
    attests: Arc<dyn Attest>,
    given: Fields,
}

impl Evidence {
    /// Reads the pieces that another is made of.
    ///
    /// # Errors
    /// The first of them that is wrong.
    fn pieces(fields: &Fields) -> Result<Vec<Self>, Problem> {
        let mut problems = Vec::new();
        let of = Self::list(fields, "of", &mut problems);
        problems.into_iter().next().map_or(Ok(of), Err)
    }

    /// Reads a list of pieces; those that are wrong are told and left out.
    pub(crate) fn list(fields: &Fields, name: &str, problems: &mut Vec<Problem>) -> Vec<Self> {
        let mut list = Vec::new();
        for (kind, given) in fields.evidence(name) {
            match (kind.build)(given) {
                Ok(attests) => list.push(Self {
                    kind: kind.name,
                    when: given.map("when").map(When::from_fields).unwrap_or_default(),
                    says: given.text("says").map(str::to_owned),
                    otherwise: given.text("else").map(str::to_owned),
                    attests,
                    given: given.clone(),
                }),
                Err(problem) => problems.push(problem),
            }
        }
        list
    }

    /// The arguments as they are given, parameters filled in.
    pub fn arguments(&self) -> Vec<(&'static str, serde_json::Value)> {
        let kind = EVIDENCE.iter().find(|kind| kind.name == self.kind);
        kind.map_or_else(Vec::new, |kind| self.given.given(&kind.tables()))
    }

    /// What the report says of it; `None` where it does not hold.
    ///
    /// # Errors
    /// The guest cannot be read, so that it is not known.
    pub fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        if self.when.refuses(sight.facts).is_some() {
            return Ok(None);
        }
        let found = self.attests.attest(sight)?;
        Ok(found.map(|found| self.says.clone().unwrap_or(found)))
    }

    /// Whether what the report says of it tells why, where it stands in the way of something.
    pub(crate) fn tells_why(&self) -> bool {
        self.says.is_some() || self.attests.tells_why()
    }

    /// Why it does not hold, where there is something to say of that.
    pub fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        if self.when.refuses(sight.facts).is_some() {
            return None;
        }
        self.otherwise.clone().or_else(|| self.attests.why_not(sight))
    }
}
