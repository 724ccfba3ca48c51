//! What may stand in an operation's file, as tables: the reader that checks a file and the
//! JSON Schema are both made from them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::crypt::Secret;
use super::evidence::{EVIDENCE, Kind as EvidenceKind};
use super::expression::{Author, Expression};
use super::mode::{self, ModeChange};
use super::step::{VERBS, Verb};
use super::yaml::{Entry, Node, Yaml};
use crate::fs::NO_ID;
use crate::guest::{GuestError, NamePattern, Pattern};
use crate::path::GuestPath;
use crate::problem::{At, Problem, did_you_mean};

mod keyed;

pub(crate) use keyed::Keyed;

/// A field of a map.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// Whether it has to be there.
    pub required: bool,
    /// What it says, in one line.
    pub help: &'static str,
}

impl Field {
    /// A field that has to be there.
    pub const fn required(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: true, help }
    }

    /// A field that may be left out.
    pub const fn optional(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: false, help }
    }
}

/// What a field takes.
#[derive(Debug)]
pub enum Shape {
    /// Text on one line, not empty.
    Line,
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// `true` or `false`.
    Bool,
    /// Text, a number or a boolean: a parameter's default.
    Scalar,
    /// A name of lower-case letters, digits and `-`.
    Name,
    /// Permission bits in octal, in quotes: `"0644"`.
    Mode,
    /// Permission bits in octal, or changes to them: `"go-w,a+rX"`.
    ModeChange,
    /// A user's or group's name, or its number.
    Owner,
    /// One absolute path, without wildcards.
    Path,
    /// Absolute paths with wildcards; `~/` stands for every home directory.
    Pattern,
    /// A file's name with wildcards, without a slash.
    FileName,
    /// A regular expression (the `regex` crate's syntax); `^` and `$` are a line's ends.
    Regex,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these, or a list of them.
    Some(&'static Shape),
    /// A list of these.
    List(&'static Shape),
    /// A map with these fields and no other.
    Map(&'static [Field]),
    /// A list of steps, each a map with one key: the verb.
    Steps,
    /// A list of pieces of evidence, each a map with one key: its kind.
    Evidence,
}

/// A checked value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A boolean.
    Bool(bool),
    /// Text; paths, patterns, names and owners too.
    Text(String),
    /// Text that is never shown.
    Secret(Secret),
    /// Permission bits.
    Mode(u16),
    /// A regular expression.
    Regex(Expression),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Fields),
    /// Steps: the verb and its arguments.
    Steps(Vec<(&'static Verb, Fields)>),
    /// Evidence: the kind and its arguments.
    Evidence(Vec<(&'static EvidenceKind, Fields)>),
}

impl Value {
    fn to_json(&self) -> Json {
        match self {
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Text(text) => text.as_str().into(),
            Self::Secret(_) => Secret::SHOWN.into(),
            Self::Mode(mode) => format!("{mode:04o}").into(),
            Self::Regex(regex) => regex.as_str().into(),
            Self::List(list) => list.iter().map(Self::to_json).collect(),
            Self::Map(fields) => fields.to_json(),
            Self::Steps(_) => Json::Null,
            Self::Evidence(pieces) => pieces
                .iter()
                .map(|(kind, fields)| serde_json::json!({ kind.name: fields.to_json() }))
                .collect(),
        }
    }
}

/// A checked map: only fields of its table, each in its shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    at: At,
    values: BTreeMap<&'static str, (At, Value)>,
}

impl Fields {
    fn to_json(&self) -> Json {
        let field =
            |(name, (_, value)): (&&str, &(At, Value))| ((*name).to_owned(), value.to_json());
        Json::Object(self.values.iter().map(field).collect())
    }

    /// Whether a field is a secret.
    pub(crate) fn holds_secrets(&self) -> bool {
        self.values.values().any(|(_, value)| matches!(value, Value::Secret(_)))
    }

    /// Where the map stands.
    pub(crate) fn at(&self) -> At {
        self.at
    }

    /// Where the field stands, or else the map.
    pub(crate) fn at_field(&self, name: &str) -> At {
        self.values.get(name).map_or(self.at, |(at, _)| *at)
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(_, value)| value)
    }

    /// A text-like field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            Value::Secret(secret) => Some(secret.reveal()),
            _ => None,
        }
    }

    /// A boolean, or `otherwise` where it is left out.
    pub(crate) fn flag(&self, name: &str, otherwise: bool) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            _ => otherwise,
        }
    }

    /// Permission bits.
    pub(crate) fn mode(&self, name: &str) -> Option<u16> {
        match self.get(name)? {
            Value::Mode(mode) => Some(*mode),
            _ => None,
        }
    }

    /// A regular expression.
    pub(crate) fn regex(&self, name: &str) -> Option<Expression> {
        match self.get(name)? {
            Value::Regex(regex) => Some(regex.clone()),
            _ => None,
        }
    }

    fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// A list of text-like values; empty where it is left out.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.list(name)
            .iter()
            .filter_map(|value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// A list of regular expressions; empty where it is left out.
    pub(crate) fn regexes(&self, name: &str) -> Vec<Expression> {
        self.list(name)
            .iter()
            .filter_map(|value| match value {
                Value::Regex(regex) => Some(regex.clone()),
                _ => None,
            })
            .collect()
    }

    /// A list of maps; empty where it is left out.
    pub(crate) fn maps(&self, name: &str) -> Vec<&Fields> {
        self.list(name)
            .iter()
            .filter_map(|value| match value {
                Value::Map(fields) => Some(fields),
                _ => None,
            })
            .collect()
    }

    /// A map.
    pub(crate) fn map(&self, name: &str) -> Option<&Fields> {
        match self.get(name)? {
            Value::Map(fields) => Some(fields),
            _ => None,
        }
    }

    /// Steps; empty where they are left out.
    pub(crate) fn steps(&self, name: &str) -> &[(&'static Verb, Fields)] {
        match self.get(name) {
            Some(Value::Steps(steps)) => steps,
            _ => &[],
        }
    }

    /// Evidence; empty where it is left out.
    pub(crate) fn evidence(&self, name: &str) -> &[(&'static EvidenceKind, Fields)] {
        match self.get(name) {
            Some(Value::Evidence(evidence)) => evidence,
            _ => &[],
        }
    }

    /// The fields of these tables that are given, in the tables' order, as JSON: what a reader of
    /// the file gave, parameters filled in.
    pub(crate) fn given(&self, tables: &[&'static [Field]]) -> Vec<(&'static str, Json)> {
        names(tables).filter_map(|name| Some((name, self.get(name)?.to_json()))).collect()
    }

    /// A scalar as text, whatever it was written as.
    pub(crate) fn scalar(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }
}

/// Reads a tree against the tables, collecting every problem.
pub(crate) struct Reader<'a> {
    /// Parameters to put in place of `{name}`.
    pub(crate) parameters: &'a BTreeMap<String, String>,
    /// Which of them the steps named.
    pub(crate) used: BTreeSet<String>,
    author: Author,
    /// Parameters are put in place within steps only.
    within_steps: bool,
    /// Whether every step and piece of evidence is one, so that `used` is complete.
    pub(crate) steps_are_right: bool,
    /// What was wrong.
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(parameters: &'a BTreeMap<String, String>, author: Author) -> Self {
        Self {
            parameters,
            author,
            used: BTreeSet::new(),
            within_steps: false,
            steps_are_right: true,
            problems: Vec::new(),
        }
    }

    fn wrong(&mut self, at: At, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    /// Reads a map whose fields stand in one of `tables`; `what` names it in messages. `None` where
    /// anything in it is wrong.
    pub(crate) fn map(
        &mut self,
        node: &Node,
        what: &str,
        tables: &[&'static [Field]],
    ) -> Option<Fields> {
        let before = self.problems.len();
        let fields = self.right_fields(node, what, tables)?;
        (self.problems.len() == before).then_some(fields)
    }

    /// The same, with those fields that are right: more may be found out from them.
    pub(crate) fn right_fields(
        &mut self,
        node: &Node,
        what: &str,
        tables: &[&'static [Field]],
    ) -> Option<Fields> {
        let Yaml::Map(entries) = &node.value else {
            let names = names(tables).collect::<Vec<_>>().join(", ");
            self.wrong(
                node.at,
                format!("{what} is a map with the fields {names}, not {}", node.value.kind()),
            );
            return None;
        };
        let mut values = BTreeMap::new();
        for (place, Entry { at, key, value }) in entries.iter().enumerate() {
            if let Some(first) = entries.iter().take(place).find(|it| it.key == *key) {
                let line = first.at.line;
                self.wrong(*at, format!("'{key}' is given twice, first on line {line}; keep one"));
                continue;
            }
            let field = tables.iter().flat_map(|table| table.iter()).find(|it| it.name == key);
            let Some(field) = field else {
                let near = did_you_mean(key, names(tables));
                let known = names(tables).collect::<Vec<_>>().join(", ");
                self.wrong(*at, format!("unknown field '{key}' in {what}{near} (it has {known})"));
                continue;
            };
            if let Some(read) = self.value(value, field.name, &field.shape) {
                values.insert(field.name, (value.at, read));
            }
        }
        for field in tables.iter().flat_map(|table| table.iter()).filter(|it| it.required) {
            if !entries.iter().any(|entry| entry.key == field.name) {
                self.wrong(
                    node.at,
                    format!("{what} has no '{}' ({}); add it", field.name, field.help),
                );
            }
        }
        Some(Fields { at: node.at, values })
    }

    fn value(&mut self, node: &Node, name: &str, shape: &Shape) -> Option<Value> {
        match shape {
            Shape::Some(one) => {
                let nodes = match &node.value {
                    Yaml::List(nodes) => nodes.as_slice(),
                    _ => std::slice::from_ref(node),
                };
                self.list(nodes, name, one)
            }
            Shape::List(one) => match &node.value {
                Yaml::List(nodes) => self.list(nodes, name, one),
                other => {
                    self.wrong(node.at, format!("'{name}' is a list, not {}", other.kind()));
                    None
                }
            },
            Shape::Map(fields) => self.map(node, &format!("'{name}'"), &[fields]).map(Value::Map),
            Shape::Steps => {
                let steps = self.keyed(node, name, VERBS)?;
                self.steps_are_right &= steps.len() == count(node);
                Some(Value::Steps(steps))
            }
            Shape::Evidence => {
                let evidence = self.keyed(node, name, EVIDENCE)?;
                self.steps_are_right &= evidence.len() == count(node);
                Some(Value::Evidence(evidence))
            }
            Shape::Bool => match &node.value {
                Yaml::Bool(flag) => Some(Value::Bool(*flag)),
                Yaml::Text(text) if self.is_parameter(text) => {
                    let flag = self.fill(text, |value| value.to_owned());
                    match flag.as_str() {
                        "true" => Some(Value::Bool(true)),
                        "false" => Some(Value::Bool(false)),
                        other => {
                            self.wrong(
                                node.at,
                                format!(
                                    "'{name}' is true or false, and the parameter says '{other}'"
                                ),
                            );
                            None
                        }
                    }
                }
                other => {
                    self.wrong(node.at, format!("'{name}' is true or false, not {}", other.kind()));
                    None
                }
            },
            Shape::Scalar => match &node.value {
                Yaml::Bool(flag) => Some(Value::Bool(*flag)),
                Yaml::Integer(number) => Some(Value::Text(number.to_string())),
                Yaml::Text(text) => Some(Value::Text(text.clone())),
                other => {
                    self.wrong(
                        node.at,
                        format!(
                            "'{name}' is text, a whole number or a boolean, not {}",
                            other.kind()
                        ),
                    );
                    None
                }
            },
            Shape::Owner => match &node.value {
                Yaml::Integer(number) => self.scalar(node.at, name, shape, &number.to_string()),
                _ => self.text(node, name, shape),
            },
            _ => self.text(node, name, shape),
        }
    }

    fn list(&mut self, nodes: &[Node], name: &str, one: &Shape) -> Option<Value> {
        let values: Vec<Option<Value>> =
            nodes.iter().map(|node| self.value(node, name, one)).collect();
        values.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
    }

    fn text(&mut self, node: &Node, name: &str, shape: &Shape) -> Option<Value> {
        match &node.value {
            Yaml::Text(text) => self.scalar(node.at, name, shape, text),
            other => {
                let quote = match other {
                    Yaml::Bool(_) | Yaml::Integer(_) | Yaml::Fraction => "; put it in quotes",
                    Yaml::Map(_) => "; text that holds ': ' has to be in quotes",
                    _ => "",
                };
                self.wrong(node.at, format!("'{name}' is text, not {}{quote}", other.kind()));
                None
            }
        }
    }

    fn scalar(&mut self, at: At, name: &str, shape: &Shape, text: &str) -> Option<Value> {
        let filled = match shape {
            Shape::Regex => self.fill(text, regex::escape),
            _ => self.fill(text, str::to_owned),
        };
        if matches!(shape, Shape::Secret) && filled != text {
            let problem = "takes no parameter, whose value plans would show; use 'file'";
            self.wrong(at, format!("'{name}' {problem}"));
            return None;
        }
        match checked(shape, filled, self.author) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(at, format!("'{name}': {problem}"));
                None
            }
        }
    }

    fn is_parameter(&self, text: &str) -> bool {
        text.strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|name| self.parameters.contains_key(name))
    }

    /// Puts declared parameters in place of `{name}`; any other brace stays.
    fn fill(&mut self, text: &str, quote: impl Fn(&str) -> String) -> String {
        if !self.within_steps {
            return text.to_owned();
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            filled.push_str(before);
            let inside = from.find('}').and_then(|close| Some((from.get(1..close)?, close)));
            let known = inside.and_then(|it| Some((it, self.parameters.get(it.0)?)));
            match known {
                Some(((name, close), value)) => {
                    self.used.insert(name.to_owned());
                    filled.push_str(&quote(value));
                    rest = &from[close + 1..];
                }
                None => {
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// How many entries a list has.
fn count(node: &Node) -> usize {
    match &node.value {
        Yaml::List(nodes) => nodes.len(),
        _ => 0,
    }
}

fn names<'a>(tables: &'a [&'static [Field]]) -> impl Iterator<Item = &'static str> + 'a {
    tables.iter().flat_map(|table| table.iter()).map(|field| field.name)
}

/// Checks one text against its shape.
fn checked(shape: &Shape, text: String, author: Author) -> Result<Value, String> {
    match shape {
        Shape::Line if text.trim().is_empty() => Err("is empty; write one line of text".into()),
        Shape::Line if text.contains('\n') => Err("is one line of text, without a line end".into()),
        Shape::Name => check_name(&text).map(|()| Value::Text(text)),
        Shape::Mode => mode::octal(&text).map(Value::Mode),
        Shape::ModeChange => ModeChange::parse(&text).map(|_| Value::Text(text)),
        Shape::Owner => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
            if text.is_empty() || text.starts_with('-') || !text.chars().all(fits) {
                return Err(format!("'{text}' is neither a user or group name nor a number"));
            }
            let is_number = text.bytes().all(|it| it.is_ascii_digit());
            if is_number && !text.parse().is_ok_and(|id: u32| id != NO_ID) {
                return Err(format!(
                    "'{text}' is no user or group; the largest number is {}",
                    NO_ID - 1
                ));
            }
            Ok(Value::Text(text))
        }
        Shape::Path => {
            if let Some(c) = text.chars().find(|c| "*?[]{}".contains(*c)) {
                return Err(format!("'{text}' is one path and takes no wildcard ('{c}')"));
            }
            check_path(&text)?;
            Ok(Value::Text(text))
        }
        Shape::Pattern => check_pattern(&text).map(|()| Value::Text(text)),
        Shape::FileName => {
            if text.is_empty() || text.contains('/') {
                return Err(format!("'{text}' is a file's name, without a slash"));
            }
            no_parameter(&text)?;
            NamePattern::parse(text.as_bytes())?;
            Ok(Value::Text(text))
        }
        Shape::Regex => Expression::new(&text, author).map(Value::Regex),
        Shape::Secret => Ok(Value::Secret(Secret::new(text))),
        Shape::OneOf(words) => {
            if words.contains(&text.as_str()) {
                return Ok(Value::Text(text));
            }
            let near = did_you_mean(&text, words.iter().copied());
            Err(format!("'{text}' is not one of {}{near}", words.join(", ")))
        }
        _ => Ok(Value::Text(text)),
    }
}

/// An operation's or parameter's name: lower-case letters, digits and `-`, beginning with a letter.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return Err(format!(
            "'{name}' is no name; use lower-case letters, digits and '-', a letter first"
        ));
    }
    // Words that a selection list gives a meaning of their own.
    if ["all", "defaults"].contains(&name) {
        return Err(format!("'{name}' has a meaning of its own in --operations; choose another"));
    }
    Ok(())
}

/// Linux's `PATH_MAX` without the final NUL: neither a path nor a symlink's target is longer.
pub(crate) const PATH_BYTES: usize = 4095;

/// Linux's `NAME_MAX`, and that of every filesystem here.
const NAME_BYTES: usize = 255;

/// A path that can be made.
fn check_path(text: &str) -> Result<(), String> {
    if text.len() > PATH_BYTES {
        return Err(format!("a path of {} bytes; {PATH_BYTES} are possible", text.len()));
    }
    let path = absolute(text)?;
    match path.names().find(|name| name.len() > NAME_BYTES) {
        Some(name) => {
            Err(format!("a name of {} bytes in it; {NAME_BYTES} are possible", name.len()))
        }
        None => Ok(()),
    }
}

fn absolute(text: &str) -> Result<GuestPath, String> {
    let path = GuestPath::from_bytes(text.as_bytes())?;
    if path.is_root() {
        return Err("'/' is the whole guest; name what is in it".into());
    }
    Ok(path)
}

/// A path pattern: absolute or `~/…`.
pub(crate) fn check_pattern(text: &str) -> Result<(), String> {
    let from_root = text.strip_prefix('~').unwrap_or(text);
    if !from_root.starts_with('/') {
        return Err(format!("'{text}' begins neither with '/' nor with '~/'"));
    }
    if text.len() > 1 && text.ends_with('/') {
        return Err(format!("'{text}' ends with a slash; leave it out"));
    }
    no_parameter(text)?;
    absolute(from_root)?;
    Pattern::parse(from_root).map(drop).map_err(|error| match error {
        GuestError::BadPattern { problem, .. } => format!("'{text}': {problem}"),
        other => other.to_string(),
    })
}

/// `{name}` without a comma is no choice of patterns: it was meant as a parameter.
fn no_parameter(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        let Some(close) = rest.find('}') else { break };
        let name = &rest[..close];
        if check_name(name).is_ok() {
            return Err(format!("'{text}' names the parameter '{name}', which is not declared"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked() {
        for good in ["/etc/*", "~/.ssh", "/a/{b,c}/[!]x]*", "/var/**"] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in ["etc", "/", "/../x", "/a/", "/a/{b", "/a/[b", "/a}", "/{x}/a", "~x/a"] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_declared_parameters_are_filled_in() {
        let parameters = BTreeMap::from([("dir".to_owned(), "a.b".to_owned())]);
        let mut reader = Reader::new(&parameters, Author::User);
        reader.within_steps = true;
        assert_eq!(reader.fill("/{dir}/{x,y}/{z", str::to_owned), "/a.b/{x,y}/{z");
        assert_eq!(reader.fill("^{dir}{2}$", regex::escape), r"^a\.b{2}$");
    }
}
