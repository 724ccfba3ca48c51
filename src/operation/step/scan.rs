//! `scan`: finds secrets and tells where they are; changes nothing.

use std::sync::{Arc, OnceLock};

use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::problem::{Problem, did_you_mean};
use crate::secret::{KINDS, Scanner, Spot};

/// How many findings of one file are told.
const FINDINGS: usize = 100;

pub(super) const VERB: Verb = Verb {
    name: "scan",
    help: "tells where files hold secrets: what 'regex' matches, or the known kinds; changes nothing",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::optional("regex", Shape::Regex, "what a secret looks like; never printed"),
            Field::optional(
                "kind",
                Shape::Name,
                "what to call it in reports; without 'regex', the only known kind to look for",
            ),
        ],
    ],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(Look::from_fields(fields)?)),
};

#[derive(Debug)]
struct Look {
    targets: Targets,
    what: What,
}

#[derive(Debug)]
enum What {
    /// What matches is of this kind.
    Own(Expression, String),
    /// Every known kind, or one of them. The tables are made when they are first needed.
    Known(OnceLock<Result<Scanner, String>>, Option<String>),
}

impl Look {
    fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let targets = Targets::from_fields(fields)?.following();
        let kind = fields.text("kind").map(str::to_owned);
        let what = match (fields.regex("regex"), kind) {
            (Some(regex), kind) => What::Own(regex, kind.unwrap_or_else(|| "secret".into())),
            (None, Some(kind)) if !KINDS.iter().any(|known| known.name == kind) => {
                let near = did_you_mean(&kind, KINDS.iter().map(|known| known.name));
                return Err(Problem::new(
                    fields.at_field("kind"),
                    format!(
                        "'{kind}' is not a known kind of secret{near}; 'regex' says what it looks like"
                    ),
                ));
            }
            (None, kind) => What::Known(OnceLock::new(), kind),
        };
        Ok(Self { targets, what })
    }

    fn look(&self, content: &[u8]) -> Result<Vec<(Spot, String)>, StepError> {
        let mut found = Vec::new();
        match &self.what {
            What::Own(regex, kind) => {
                let (mut counted, mut lines) = (0, 1);
                for hit in regex.find_iter(content).take(FINDINGS) {
                    let newlines = memchr::memchr_iter(b'\n', &content[counted..hit.start()]);
                    lines += newlines.count() as u64;
                    counted = hit.start();
                    found.push((Spot::Line(lines), kind.clone()));
                }
            }
            What::Known(scanner, only) => {
                let scanner = scanner.get_or_init(Scanner::new).as_ref();
                let scanner = scanner.map_err(|why| StepError::Scanner(why.clone()))?;
                scanner.bytes(content, &mut |spot, kind| {
                    let kind = KINDS[kind].name;
                    if only.as_ref().is_none_or(|only| only == kind) {
                        found.push((spot, kind.to_owned()));
                    }
                });
            }
        }
        Ok(found)
    }
}

impl Propose for Look {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        for target in draft.find(&self.targets)? {
            let Some(file) = draft.file(target)? else { continue };
            let Some(content) = draft.content(&file)? else { continue };
            for (at, kind) in self.look(&content)? {
                draft.tell(&file.path, at, kind)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        self.targets.describe()
    }

    fn scan(&self) -> Option<&Scan> {
        self.targets.scan()
    }
}
