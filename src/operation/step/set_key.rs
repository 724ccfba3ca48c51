//! `set-key`: sets or takes out one key of a configuration file, leaving every other byte.

use std::sync::Arc;

use super::rewrite::rewrite;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::{Scan, TARGET_FIELDS, Targets};
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "set-key",
    help: "sets one key in existing configuration files, or takes it out; symlinks are followed",
    fields: &[
        TARGET_FIELDS,
        &[
            Field::required(
                "format",
                Shape::OneOf(&["ini", "shell", "yaml"]),
                "ini: [section] and key=value; shell: KEY=VALUE; yaml: a key of the top level",
            ),
            Field::optional(
                "section",
                Shape::Line,
                "the ini section; without it, before the first",
            ),
            Field::required("key", Shape::Line, "the key"),
            Field::optional("value", Shape::Text, "the value, as it stands in the file"),
            Field::optional("remove", Shape::Bool, "take the key out instead"),
        ],
    ],
    short: None,
    build: |fields| {
        let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
        let format = match fields.text("format") {
            Some("ini") => Format::Ini,
            Some("yaml") => Format::Yaml,
            _ => Format::Shell,
        };
        if fields.has("value") == fields.flag("remove", false) {
            return Err(Problem::new(fields.at(), "give either 'value' or 'remove: true'"));
        }
        if fields.has("section") && format != Format::Ini {
            let message = "only 'format: ini' has sections";
            return Err(Problem::new(fields.at_field("section"), message));
        }
        let key = text("key");
        if key.contains(['=', ':', '[', ']', '#', ' ', '\n']) {
            return Err(Problem::new(fields.at_field("key"), format!("'{key}' is no key")));
        }
        if text("value").contains('\n') {
            return Err(Problem::new(fields.at_field("value"), "'value' is one line"));
        }
        Ok(Arc::new(SetKey {
            targets: Targets::from_fields(fields)?.following(),
            format,
            section: text("section").trim_matches(['[', ']']).to_owned(),
            key,
            value: fields.text("value").map(str::to_owned),
        }))
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ini,
    Shell,
    Yaml,
}

#[derive(Debug)]
struct SetKey {
    targets: Targets,
    format: Format,
    section: String,
    key: String,
    /// `None` takes the key out.
    value: Option<String>,
}

/// A file's text with a shell-style key set in it.
pub(super) fn set_in_shell(key: &str, value: &str, content: &[u8]) -> Vec<u8> {
    let set = SetKey {
        targets: Targets::default(),
        format: Format::Shell,
        section: String::new(),
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    set.of(content)
}

impl SetKey {
    fn line(&self, value: &str) -> Vec<u8> {
        let between = if self.format == Format::Yaml { ": " } else { "=" };
        format!("{}{between}{value}\n", self.key).into_bytes()
    }

    /// Whether the line gives the key its value. Comments and indented YAML do not.
    fn is_key(&self, line: &[u8]) -> bool {
        let line = match self.format {
            Format::Yaml => line,
            _ => line.trim_ascii_start(),
        };
        let line = match self.format {
            Format::Shell => line.strip_prefix(b"export ").unwrap_or(line),
            _ => line,
        };
        let Some(rest) = line.strip_prefix(self.key.as_bytes()) else { return false };
        match self.format {
            Format::Shell => rest.starts_with(b"="),
            Format::Ini => rest.trim_ascii_start().starts_with(b"="),
            Format::Yaml => rest.trim_ascii_start().starts_with(b":"),
        }
    }

    fn of(&self, content: &[u8]) -> Vec<u8> {
        let mut edited: Vec<u8> = Vec::with_capacity(content.len());
        let mut within = self.section.is_empty();
        let mut found_section = within;
        let mut done = false;
        // Where a missing key belongs: after the last line of its section that is not blank.
        let mut end = None;
        // What follows a removed or replaced YAML key and belongs to it.
        let mut skipping = false;
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            let text = line.trim_ascii();
            if skipping {
                if text.is_empty() || line.starts_with(b" ") || line.starts_with(b"- ") {
                    continue;
                }
                skipping = false;
            }
            if self.format == Format::Ini && text.starts_with(b"[") {
                let name = text.strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]"));
                within = name.is_some_and(|name| name.trim_ascii() == self.section.as_bytes());
                found_section |= within;
            }
            if within && self.is_key(line) {
                skipping = self.format == Format::Yaml;
                // A key given twice: the file's reader takes the last, so one is left, at the
                // first one's place.
                if let (Some(value), false) = (&self.value, done) {
                    edited.extend(self.line(value));
                    end = Some(edited.len());
                }
                done = true;
                continue;
            }
            edited.extend_from_slice(line);
            if within && !text.is_empty() {
                end = Some(edited.len());
            }
        }
        if let (Some(value), false) = (&self.value, done) {
            if found_section {
                let mut line = self.line(value);
                let at = end.unwrap_or(0);
                if at > 0 && edited.get(at - 1) != Some(&b'\n') {
                    line.insert(0, b'\n');
                }
                edited.splice(at..at, line);
            } else {
                if edited.last().is_some_and(|&byte| byte != b'\n') {
                    edited.push(b'\n');
                }
                edited.extend(format!("[{}]\n", self.section).bytes());
                edited.extend(self.line(value));
            }
        }
        edited
    }
}

impl Propose for SetKey {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        rewrite(draft, &self.targets, &|content| self.of(content), &|_| {
            let what = if self.value.is_some() { "sets" } else { "takes out" };
            format!("{what} {}", self.key)
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

    fn edited(format: Format, section: &str, value: Option<&str>, content: &str) -> String {
        let set = SetKey {
            targets: Targets::default(),
            format,
            section: section.into(),
            key: "id".into(),
            value: value.map(Into::into),
        };
        let once = set.of(content.as_bytes());
        assert_eq!(set.of(&once), once, "a second time changes nothing");
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn shell_keys() {
        let set = |content| edited(Format::Shell, "", Some("x"), content);
        assert_eq!(set("a=1\nid=2\n#id=3\n"), "a=1\nid=x\n#id=3\n");
        assert_eq!(set("a=1"), "a=1\nid=x\n");
        assert_eq!(set(""), "id=x\n");
        assert_eq!(set("id=1\nid=2\n"), "id=x\n");
        assert_eq!(edited(Format::Shell, "", None, "export id=1\nidx=2\n"), "idx=2\n");
    }

    #[test]
    fn ini_keys_stay_in_their_section() {
        let set = |content| edited(Format::Ini, "b", Some("x"), content);
        assert_eq!(set("[a]\nid=1\n\n[b]\nk=1\n\n[c]\n"), "[a]\nid=1\n\n[b]\nk=1\nid=x\n\n[c]\n");
        assert_eq!(set("[a]\nid=1\n"), "[a]\nid=1\n[b]\nid=x\n");
        assert_eq!(set("[b]\nid = 1\n"), "[b]\nid=x\n");
        assert_eq!(edited(Format::Ini, "", None, "id=1\n[a]\nid=2\n"), "[a]\nid=2\n");
    }

    #[test]
    fn yaml_keys_go_with_what_they_hold() {
        let content = "a: 1\nid:\n  - x\n  - y\nb: 2\n";
        assert_eq!(edited(Format::Yaml, "", None, content), "a: 1\nb: 2\n");
        assert_eq!(edited(Format::Yaml, "", Some("z"), content), "a: 1\nid: z\nb: 2\n");
        assert_eq!(edited(Format::Yaml, "", Some("z"), "a:\n  id: 1\n"), "a:\n  id: 1\nid: z\n");
    }
}
