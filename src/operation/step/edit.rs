//! `edit`: replaces text in files, takes lines out and puts lines in.

use std::sync::Arc;

use super::rewrite::rewrite;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::problem::Problem;

const REPLACE: &[Field] = &[
    Field::required("match", Shape::Regex, "what is replaced, wherever it is found"),
    Field::required("with", Shape::Text, "the new text; $1 or ${name} is what a group matched"),
    Field::optional("first", Shape::Bool, "only where it is found first in a file"),
];

const INSERT: &[Field] = &[
    Field::required("line", Shape::Line, "the line; a file that has it already stays as it is"),
    Field::optional("before", Shape::Regex, "before the first line that matches"),
    Field::optional("after", Shape::Regex, "after the last line that matches"),
];

pub(super) const VERB: Verb = Verb {
    name: "edit",
    help: "takes lines out of regular files, replaces text and puts lines in, in this order; symlinks are followed",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::optional("replace", Shape::Some(&Shape::Map(REPLACE)), "replacements, in order"),
            Field::optional(
                "delete-lines",
                Shape::Some(&Shape::Regex),
                "lines that match any of these go",
            ),
            Field::optional(
                "insert",
                Shape::Some(&Shape::Map(INSERT)),
                "lines to put in, in order; nowhere where no line matches ('append' adds at the end)",
            ),
        ],
    ],
    short: None,
    build: |fields| {
        let mut replace = Vec::new();
        for one in fields.maps("replace") {
            if let (Some(regex), Some(with)) = (one.regex("match"), one.text("with")) {
                let times = if one.flag("first", false) { 1 } else { 0 };
                replace.push(Replace { regex, with: with.as_bytes().to_vec(), times });
            }
        }
        let delete = fields.regexes("delete-lines");
        let mut insert = Vec::new();
        for one in fields.maps("insert") {
            let place = match (one.regex("before"), one.regex("after")) {
                (Some(regex), None) => Beside::Before(regex),
                (None, Some(regex)) => Beside::After(regex),
                _ => return Err(Problem::new(one.at(), "give either 'before' or 'after'")),
            };
            insert.push((one.text("line").unwrap_or_default().as_bytes().to_vec(), place));
        }
        if replace.is_empty() && delete.is_empty() && insert.is_empty() {
            let message = "give 'replace', 'delete-lines' or 'insert'";
            return Err(Problem::new(fields.at(), message));
        }
        Ok(Arc::new(Edit {
            targets: Targets::from_fields(fields)?.following(),
            replace,
            delete,
            insert,
        }))
    },
};

#[derive(Debug)]
struct Edit {
    targets: Targets,
    replace: Vec<Replace>,
    delete: Vec<Expression>,
    insert: Vec<(Vec<u8>, Beside)>,
}

#[derive(Debug)]
struct Replace {
    regex: Expression,
    with: Vec<u8>,
    /// How often at most; 0 is wherever it is found.
    times: usize,
}

/// Where a line is put in.
#[derive(Debug)]
enum Beside {
    Before(Expression),
    After(Expression),
}

/// A line without its end.
fn text_of(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Puts a line in, with the line end of the one it stands beside.
fn insert(content: &[u8], line: &[u8], place: &Beside) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.iter().any(|it| text_of(it) == line) {
        return None;
    }
    let at = match place {
        Beside::Before(regex) => lines.iter().position(|it| regex.is_match(text_of(it)))?,
        Beside::After(regex) => lines.iter().rposition(|it| regex.is_match(text_of(it)))? + 1,
    };
    let (before, after) = lines.split_at_checked(at)?;
    let mut edited = before.concat();
    let end: &[u8] = if lines.iter().any(|it| it.ends_with(b"\r\n")) { b"\r\n" } else { b"\n" };
    if edited.last().is_some_and(|&byte| byte != b'\n') {
        edited.extend_from_slice(end);
    }
    edited.extend_from_slice(line);
    edited.extend_from_slice(end);
    edited.extend(after.concat());
    Some(edited)
}

impl Edit {
    fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut edited = content.to_vec();
        if !self.delete.is_empty() {
            edited = edited
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| !self.delete.iter().any(|it| it.is_match(text_of(line))))
                .collect::<Vec<_>>()
                .concat();
        }
        for Replace { regex, with, times } in &self.replace {
            edited = regex.replacen(&edited, *times, with.as_slice()).into_owned();
        }
        for (line, place) in &self.insert {
            edited = insert(&edited, line, place).unwrap_or(edited);
        }
        edited
    }
}

impl Propose for Edit {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::expression::Author;

    fn expression(text: &str) -> Expression {
        Expression::new(text, Author::User).unwrap()
    }

    #[test]
    fn lines_go_and_text_is_replaced() {
        let edit = Edit {
            targets: Targets::default(),
            replace: vec![Replace {
                regex: expression("^(a)=.*$"),
                with: b"${1}=x".to_vec(),
                times: 0,
            }],
            delete: vec![expression("^HWADDR=")],
            insert: Vec::new(),
        };
        let content = b"HWADDR=1\r\na=1\nXHWADDR=2\nHWADDR=3";
        assert_eq!(edit.of(content), b"a=x\nXHWADDR=2\n");
    }

    #[test]
    fn lines_are_put_in_once_and_beside_what_matches() {
        let regex = || expression("^a");
        let put = |content: &str, place: &Beside| {
            insert(content.as_bytes(), b"new", place).map(|it| String::from_utf8(it).unwrap())
        };
        let (before, after) = (Beside::Before(regex()), Beside::After(regex()));
        assert_eq!(put("x\na1\na2\n", &before).as_deref(), Some("x\nnew\na1\na2\n"));
        assert_eq!(put("x\na1\na2\ny\n", &after).as_deref(), Some("x\na1\na2\nnew\ny\n"));
        assert_eq!(put("a1", &after).as_deref(), Some("a1\nnew\n"));
        assert_eq!(put("a1\r\n", &before).as_deref(), Some("new\r\na1\r\n"));
        assert_eq!(put("a1\nnew\n", &before), None);
        assert_eq!(put("b\n", &after), None);
        let first = Replace { regex: regex(), with: b"b".to_vec(), times: 1 };
        let edit = Edit {
            targets: Targets::default(),
            replace: vec![first],
            delete: Vec::new(),
            insert: vec![(b"new".to_vec(), Beside::After(expression("^b")))],
        };
        assert_eq!(edit.of(b"a1\na2\n"), b"b1\nnew\na2\n");
    }
}
