//! `edit`: replaces text in files, and takes lines out.

use std::sync::Arc;

use regex::bytes::Regex;

use super::rewrite::rewrite;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::problem::Problem;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};

const REPLACE: &[Field] = &[
    Field::required("match", Shape::Regex, "what is replaced, wherever it is found"),
    Field::required("with", Shape::Text, "the new text; $1 or ${name} is what a group matched"),
];

pub(super) const VERB: Verb = Verb {
    name: "edit",
    help: "replaces text in regular files and takes lines out; symlinks are followed",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::optional("replace", Shape::Some(&Shape::Map(REPLACE)), "replacements, in order"),
            Field::optional(
                "delete-lines",
                Shape::Some(&Shape::Regex),
                "lines that match any of these go",
            ),
        ],
    ],
    short: None,
    build: |fields| {
        let mut replace = Vec::new();
        for one in fields.maps("replace") {
            if let (Some(regex), Some(with)) = (one.regex("match"), one.text("with")) {
                replace.push((regex, with.as_bytes().to_vec()));
            }
        }
        let delete = fields.regexes("delete-lines");
        if replace.is_empty() && delete.is_empty() {
            return Err(Problem::new(fields.at(), "give 'replace', 'delete-lines' or both"));
        }
        Ok(Arc::new(Edit { targets: Targets::from_fields(fields)?.following(), replace, delete }))
    },
};

#[derive(Debug)]
struct Edit {
    targets: Targets,
    replace: Vec<(Regex, Vec<u8>)>,
    delete: Vec<Regex>,
}

impl Edit {
    fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut edited = content.to_vec();
        if !self.delete.is_empty() {
            edited = edited
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| {
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    !self.delete.iter().any(|regex| regex.is_match(line))
                })
                .collect::<Vec<_>>()
                .concat();
        }
        for (regex, with) in &self.replace {
            edited = regex.replace_all(&edited, with.as_slice()).into_owned();
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
    use crate::operation::shape::compile;

    #[test]
    fn lines_go_and_text_is_replaced() {
        let edit = Edit {
            targets: Targets::default(),
            replace: vec![(compile("^(a)=.*$").unwrap(), b"${1}=x".to_vec())],
            delete: vec![compile("^HWADDR=").unwrap()],
        };
        let content = b"HWADDR=1\r\na=1\nXHWADDR=2\nHWADDR=3";
        assert_eq!(edit.of(content), b"a=x\nXHWADDR=2\n");
    }
}
