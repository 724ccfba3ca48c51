//! `edit-lines`: a line editor, statement by statement on each line, as `perl -p` works.

use std::sync::Arc;

use regex::bytes::NoExpand;

use super::rewrite::rewrite;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::problem::Problem;

const STATEMENT: &[Field] = &[
    Field::optional("match", Shape::Regex, "what is replaced in the line, its line end included"),
    Field::optional("with", Shape::Text, "the new text; $1 or ${name} is what a group matched"),
    Field::optional("all", Shape::Bool, "wherever it is found in the line, and not only first"),
    Field::optional("set", Shape::Text, "the whole line's new text; '' takes it out"),
    Field::optional("if", Shape::Regex, "only where the line matches"),
    Field::optional("unless", Shape::Regex, "only where the line does not match"),
];

pub(super) const VERB: Verb = Verb {
    name: "edit-lines",
    help: "edits regular files line by line, every statement in order on each line; symlinks are followed",
    fields: &[
        TARGET_FIELDS,
        &[Field::required("do", Shape::Some(&Shape::Map(STATEMENT)), "the statements, in order")],
    ],
    short: None,
    build: |fields| {
        let statements =
            fields.maps("do").into_iter().map(Statement::from_fields).collect::<Result<_, _>>()?;
        let targets = Targets::from_fields(fields)?.following();
        Ok(Arc::new(EditLines { targets, statements }))
    },
};

#[derive(Debug)]
struct EditLines {
    targets: Targets,
    statements: Vec<Statement>,
}

#[derive(Debug)]
struct Statement {
    does: Does,
    when: Option<Expression>,
    unless: Option<Expression>,
}

#[derive(Debug)]
enum Does {
    /// What, with what, and how often at most; 0 is wherever it is found.
    Replace(Expression, Vec<u8>, usize),
    Set(Vec<u8>),
}

impl Statement {
    fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let does = match (fields.regex("match"), fields.text("with"), fields.text("set")) {
            (Some(regex), Some(with), None) => {
                let times = usize::from(!fields.flag("all", false));
                Does::Replace(regex, with.as_bytes().to_vec(), times)
            }
            (None, None, Some(text)) if !fields.has("all") => Does::Set(text.as_bytes().to_vec()),
            _ => return Err(Problem::new(fields.at(), "give either 'match' and 'with', or 'set'")),
        };
        Ok(Self { does, when: fields.regex("if"), unless: fields.regex("unless") })
    }

    fn on(&self, line: Vec<u8>) -> Vec<u8> {
        let asked = self.when.as_ref().is_none_or(|regex| regex.is_match(&line))
            && !self.unless.as_ref().is_some_and(|regex| regex.is_match(&line));
        match &self.does {
            _ if !asked => line,
            Does::Set(text) => text.clone(),
            // Text without a group needs no look at it for each match.
            Does::Replace(regex, with, times) if !with.contains(&b'$') => {
                regex.replacen(&line, *times, NoExpand(with)).into_owned()
            }
            Does::Replace(regex, with, times) => {
                regex.replacen(&line, *times, with.as_slice()).into_owned()
            }
        }
    }
}

impl EditLines {
    fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut edited = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            edited.extend(self.statements.iter().fold(line.to_vec(), |line, it| it.on(line)));
        }
        edited
    }
}

impl Propose for EditLines {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        rewrite(draft, &self.targets, &|content| self.of(content), &|file| {
            format!("edits {}", file.matched)
        })
    }

    fn paths(&self) -> Vec<String> {
        self.targets.describe()
    }

    fn scan(&self) -> Option<&Scan> {
        self.targets.scan()
    }
}
