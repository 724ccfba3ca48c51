//! What an operation takes away and a guest needs again: what makes it anew, and what does where
//! nothing would.

use super::evidence::{Evidence, Sight};
use super::shape::{Field, Fields, Shape};
use super::step::Step;
use crate::guest::GuestError;
use crate::problem::Problem;

/// The remedy's fields.
const REMEDY: &[Field] = &[
    Field::required("adds", Shape::Line, "what is put in, for the report"),
    Field::required("steps", Shape::Steps, "the steps that do it"),
];

/// The fields of `comes-back`.
pub(crate) const FIELDS: &[Field] = &[
    Field::required("what", Shape::Line, "what comes back, as the report calls it"),
    Field::optional(
        "needed-by",
        Shape::Evidence,
        "it is needed where one of these holds; always where this is left out",
    ),
    Field::required("evidence", Shape::Evidence, "what may make it anew, the likeliest first"),
    Field::optional(
        "otherwise",
        Shape::Map(REMEDY),
        "what is done where nothing makes it anew; a piece of evidence has to find it, or the next run says that it is missing",
    ),
    Field::optional(
        "informs",
        Shape::Bool,
        "nothing is taken away: that it is missing is told, and the exit code stays",
    ),
    Field::optional("missing", Shape::Line, "what is said where that is not possible either"),
];

/// Something that has to come back at first boot.
#[derive(Clone, Debug)]
pub struct ComesBack {
    /// What it is, as the report calls it.
    pub what: String,
    /// It is needed where one of these holds; always where there is none.
    pub needed_by: Vec<Evidence>,
    /// What may make it anew.
    pub evidence: Vec<Evidence>,
    /// What is done where nothing does.
    pub otherwise: Option<Remedy>,
    /// What is said where that is not possible either.
    pub missing: String,
    /// Nothing is taken away: that it is missing is told, no more.
    pub informs: bool,
}

/// What is done where nothing makes something anew.
#[derive(Clone, Debug)]
pub struct Remedy {
    /// What is put in, for the report.
    pub adds: String,
    /// The steps that do it.
    pub steps: Vec<Step>,
}

/// Whether something comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comes {
    /// The guest does not need it.
    NotNeeded,
    /// This makes it anew.
    Back(String),
    /// Nothing that is known does; why, where there is something to say of that.
    Not(Option<String>),
}

impl ComesBack {
    /// Reads one or several; what is wrong is told and left out.
    pub(crate) fn list(fields: &Fields, problems: &mut Vec<Problem>) -> Vec<Self> {
        let one = |fields: &Fields| Self {
            what: fields.text("what").unwrap_or_default().to_owned(),
            needed_by: Evidence::list(fields, "needed-by", problems),
            evidence: Evidence::list(fields, "evidence", problems),
            otherwise: fields.map("otherwise").map(|fields| Remedy {
                adds: fields.text("adds").unwrap_or_default().to_owned(),
                steps: Step::list(fields, problems),
            }),
            informs: fields.flag("informs", false),
            missing: fields.text("missing").unwrap_or("nothing known makes it anew").to_owned(),
        };
        fields.maps("comes-back").into_iter().map(one).collect()
    }

    /// Whether it comes back in a guest as the run will leave it.
    ///
    /// # Errors
    /// The guest cannot be read, so that it is not known.
    pub fn look(&self, sight: &Sight<'_>) -> Result<Comes, GuestError> {
        let mut needed = self.needed_by.is_empty();
        for evidence in &self.needed_by {
            needed = needed || evidence.attest(sight)?.is_some();
        }
        if !needed {
            return Ok(Comes::NotNeeded);
        }
        // What is not known of one may not matter beside another.
        let mut unknown = None;
        for evidence in &self.evidence {
            match evidence.attest(sight) {
                Ok(Some(found)) => return Ok(Comes::Back(found)),
                Ok(None) => {}
                Err(error) => unknown = unknown.or(Some(error)),
            }
        }
        let why = || {
            let mut all: Vec<String> = Vec::new();
            for why in self.evidence.iter().filter_map(|it| it.why_not(sight)) {
                if !all.contains(&why) {
                    all.push(why);
                }
            }
            (!all.is_empty()).then(|| all.join("; "))
        };
        unknown.map_or_else(|| Ok(Comes::Not(why())), Err)
    }
}
