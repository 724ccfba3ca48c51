//! From an operation's file to an [`Operation`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::comes_back::ComesBack;
use super::evidence::Evidence;
use super::expression::Author;
use super::schema::OPERATION;
use super::shape::{Fields, Reader};
use super::step::Step;
use super::when::When;
use super::yaml::{self, Node, Yaml};
use crate::digest::Digest;
use crate::problem::{At, LoadError, Problem, did_you_mean};

/// An operation's summary has to fit on a line of a list beside its name.
const SUMMARY_CHARS: usize = 80;

/// What an operation protects against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// What tells one machine from another.
    Identity,
    /// Keys, passwords, tokens.
    Secret,
    /// Addresses and interfaces of the machine the image was built on.
    Network,
    /// Records of what happened.
    Log,
    /// What can be fetched or made again.
    Cache,
    /// Dumps of crashed programs and kernels.
    Crash,
    /// State of cloud agents.
    Cloud,
    /// What users left.
    UserData,
    /// What is put in on request.
    Settings,
}

impl Class {
    fn from_word(word: &str) -> Self {
        match word {
            "identity" => Self::Identity,
            "secret" => Self::Secret,
            "network" => Self::Network,
            "log" => Self::Log,
            "cache" => Self::Cache,
            "crash" => Self::Crash,
            "cloud" => Self::Cloud,
            "settings" => Self::Settings,
            _ => Self::UserData,
        }
    }
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
}

impl ParameterType {
    fn from_word(word: &str) -> Self {
        match word {
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            _ => Self::Text,
        }
    }

    fn check(self, value: &str) -> Result<(), String> {
        let fits = match self {
            Self::Text => true,
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Boolean => matches!(value, "true" | "false"),
        };
        let wanted = match self {
            Self::Integer => "a whole number",
            _ => "true or false",
        };
        if fits { Ok(()) } else { Err(format!("'{value}' is not {wanted}")) }
    }
}

/// A value that `--set NAME=VALUE` changes and `{NAME}` in a step stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What values it takes.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The value where none is set.
    pub default: String,
    /// What it is for.
    pub help: String,
}

/// An operation as data for people and for `--json`: everything but how it is worked out.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// Why an image is better without.
    pub why: String,
    /// What it protects against.
    pub class: Class,
    /// Whether it runs when nothing is selected.
    pub default: bool,
    /// Which guests it is for.
    pub when: When,
    /// What may be set.
    pub parameters: Vec<Parameter>,
    /// What it does, in order.
    pub steps: Vec<DescribedStep>,
    /// What the guest needs again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comes_back: Vec<DescribedReturn>,
    /// The digest of its file; of what can be shown, where it holds secrets.
    pub digest: Digest,
}

/// A step of a [`Description`].
#[derive(Clone, Debug, Serialize)]
pub struct DescribedStep {
    /// Its verb.
    pub verb: &'static str,
    /// Which guests it is for, within those of the operation.
    pub when: When,
    /// The paths and patterns it names, parameters filled in.
    pub paths: Vec<String>,
    /// Every argument of the verb that is given, paths too, parameters filled in.
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

/// What comes back, of a [`Description`].
#[derive(Clone, Debug, Serialize)]
pub struct DescribedReturn {
    /// What it is.
    pub what: String,
    /// It is needed where one of these holds; always where there is none.
    pub needed_by: Vec<DescribedEvidence>,
    /// What may make it anew.
    pub evidence: Vec<DescribedEvidence>,
    /// What is put in where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adds: Option<String>,
    /// The steps that put it in.
    pub otherwise: Vec<DescribedStep>,
    /// What is said where that is not possible.
    pub missing: String,
}

/// A piece of evidence of a [`Description`].
#[derive(Clone, Debug, Serialize)]
pub struct DescribedEvidence {
    /// Its kind.
    pub kind: &'static str,
    /// Every argument that is given, parameters filled in.
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

impl DescribedEvidence {
    fn of(evidence: &Evidence) -> Self {
        Self { kind: evidence.kind, arguments: named(evidence.arguments()) }
    }
}

impl DescribedStep {
    fn of(step: &Step) -> Self {
        Self {
            verb: step.verb,
            when: step.when.clone(),
            paths: step.does.paths(),
            arguments: named(step.arguments()),
        }
    }
}

impl DescribedReturn {
    fn of(thing: &ComesBack) -> Self {
        let evidence = |all: &[Evidence]| all.iter().map(DescribedEvidence::of).collect();
        let remedy = thing.otherwise.as_ref();
        let steps = remedy.into_iter().flat_map(|it| &it.steps);
        Self {
            what: thing.what.clone(),
            needed_by: evidence(&thing.needed_by),
            evidence: evidence(&thing.evidence),
            adds: remedy.map(|it| it.adds.clone()),
            otherwise: steps.map(DescribedStep::of).collect(),
            missing: thing.missing.clone(),
        }
    }
}

fn named(
    arguments: Vec<(&'static str, serde_json::Value)>,
) -> serde_json::Map<String, serde_json::Value> {
    arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One thing to clean: what it is, why, in which guests, and the steps that do it.
#[derive(Clone)]
pub struct Operation {
    /// Its name, virt-sysprep's where it has the operation.
    pub name: String,
    /// What it does, in one line.
    pub summary: String,
    /// Why an image is better without.
    pub why: String,
    /// What it protects against.
    pub class: Class,
    /// Whether it runs when nothing is selected.
    pub default: bool,
    /// Which guests it is for.
    pub when: When,
    /// What may be set.
    pub parameters: Vec<Parameter>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What the guest needs again, and what makes it anew.
    pub comes_back: Vec<ComesBack>,
    /// The digest of the operation's file.
    pub digest: Digest,
    /// The file it was read from, as it was named.
    pub file: String,
    settings: BTreeMap<String, String>,
    document: Arc<Node>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("name", &self.name)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Operation {
    /// Reads an operation; `file` names it in messages.
    ///
    /// # Errors
    /// Every problem that the text has, each with its line and column.
    pub fn from_yaml(file: &str, text: &str) -> Result<Self, LoadError> {
        Self::by(Author::User, file, text)
    }

    /// Reads a file of this author.
    pub(crate) fn by(author: Author, file: &str, text: &str) -> Result<Self, LoadError> {
        let document = yaml::parse(text).map_err(|problem| LoadError::new(file, vec![problem]))?;
        let digest = Digest::of(text.as_bytes());
        Self::read(file, digest, Arc::new(document), &BTreeMap::new(), author)
    }

    /// Makes an operation of values that stand for its file; `file` names them in messages. No text
    /// in them is taken for anything else: without declared parameters a brace is a brace.
    ///
    /// # Errors
    /// Every problem that the values have, without a place worth telling.
    pub fn from_values(file: &str, values: &serde_json::Value) -> Result<Self, LoadError> {
        let digest = Digest::of(values.to_string().as_bytes());
        let document = Arc::new(Node::from(values));
        Self::read(file, digest, document, &BTreeMap::new(), Author::User)
    }

    /// The operation as data.
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.clone(),
            summary: self.summary.clone(),
            why: self.why.clone(),
            class: self.class,
            default: self.default,
            when: self.when.clone(),
            parameters: self.parameters.clone(),
            steps: self.steps.iter().map(DescribedStep::of).collect(),
            comes_back: self.comes_back.iter().map(DescribedReturn::of).collect(),
            digest: self.digest,
        }
    }

    /// Every step, those of the remedies last.
    pub fn every_step(&self) -> impl Iterator<Item = &Step> {
        let remedies = self.comes_back.iter().filter_map(|it| it.otherwise.as_ref());
        self.steps.iter().chain(remedies.flat_map(|it| &it.steps))
    }

    /// Whether a step has this verb.
    pub fn has_step(&self, verb: &str) -> bool {
        self.steps.iter().any(|step| step.verb == verb)
    }

    /// The values that were set, by parameter; those left at their default are not in it.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Every parameter's value, set or default.
    pub fn values(&self) -> BTreeMap<String, String> {
        let set = |it: &Parameter| self.settings.get(&it.name).unwrap_or(&it.default).clone();
        self.parameters.iter().map(|it| (it.name.clone(), set(it))).collect()
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// A text for the caller: no such parameter, a value that is not of its type, or one that
    /// makes a step wrong (a path that is not absolute, …).
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(parameter) = self.parameters.iter().find(|it| it.name == name) else {
            let near = did_you_mean(name, self.parameters.iter().map(|it| it.name.as_str()));
            let hint = match self.parameters.is_empty() {
                true => "; it has none".to_owned(),
                false => format!("{near}; 'sysprep-rs operations {}' lists them", self.name),
            };
            return Err(format!("the operation '{}' has no parameter '{name}'{hint}", self.name));
        };
        parameter
            .kind
            .check(value)
            .map_err(|wrong| format!("parameter '{name}' of '{}': {wrong}", self.name))?;
        let mut settings = self.settings.clone();
        settings.insert(name.to_owned(), value.to_owned());
        let document = self.document.clone();
        *self = Self::read(&self.file, self.digest, document, &settings, Author::User).map_err(
            |error| {
                let why = error.to_string().replace('\n', "; ");
                format!("parameter '{name}' of '{}' cannot be '{value}': {why}", self.name)
            },
        )?;
        Ok(())
    }

    fn read(
        file: &str,
        digest: Digest,
        document: Arc<Node>,
        settings: &BTreeMap<String, String>,
        author: Author,
    ) -> Result<Self, LoadError> {
        let values = values(&document, settings);
        let mut reader = Reader::new(&values, author);
        let fields = reader.right_fields(&document, "an operation", &[OPERATION]);
        let Reader { mut problems, used, steps_are_right, .. } = reader;
        let Some(fields) = fields else { return Err(LoadError::new(file, problems)) };

        let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
        let summary = text("summary");
        if summary.ends_with('.') {
            let at = fields.at_field("summary");
            problems.push(Problem::new(at, "'summary' ends with a period; leave it out"));
        }
        if summary.chars().count() > SUMMARY_CHARS {
            let message = format!("'summary' is longer than {SUMMARY_CHARS} characters");
            problems.push(Problem::new(fields.at_field("summary"), message));
        }
        let parameters = parameters(&fields, &mut problems);
        for (parameter, at) in &parameters {
            if steps_are_right && !used.contains(&parameter.name) {
                let message = format!(
                    "no step uses the parameter '{0}'; write '{{{0}}}' where it belongs",
                    parameter.name
                );
                problems.push(Problem::new(*at, message));
            }
        }
        if !has(&document, "comes-back") && !has(&document, "steps") {
            let message = "an operation has no 'steps' (what is done, in order); add it";
            problems.push(Problem::new(fields.at(), message));
        }
        let steps = Step::list(&fields, &mut problems);
        let comes_back = ComesBack::list(&fields, &mut problems);
        if !problems.is_empty() {
            return Err(LoadError::new(file, problems));
        }
        let mut operation = Self {
            name: text("name"),
            summary,
            why: text("why"),
            class: Class::from_word(&text("class")),
            default: fields.flag("default", false),
            when: fields.map("when").map(When::from_fields).unwrap_or_default(),
            parameters: parameters.into_iter().map(|(parameter, _)| parameter).collect(),
            steps,
            comes_back,
            digest,
            file: file.to_owned(),
            settings: settings.clone(),
            document,
        };
        if operation.every_step().any(Step::holds_secrets) {
            // A plan tells the digest, and of a text that is known but for a password it would
            // tell the password to who tries many: it is of what can be shown.
            operation.digest = Digest::of(b"");
            let shown = serde_json::to_vec(&operation.describe()).unwrap_or_default();
            operation.digest = Digest::of(&shown);
        }
        Ok(operation)
    }
}

/// Whether a document has a field, right or wrong.
fn has(document: &Node, name: &str) -> bool {
    matches!(&document.value, Yaml::Map(entries) if entries.iter().any(|it| it.key == name))
}

fn parameters(fields: &Fields, problems: &mut Vec<Problem>) -> Vec<(Parameter, At)> {
    let mut found: Vec<(Parameter, At)> = Vec::new();
    for declared in fields.maps("parameters") {
        let text = |name: &str| declared.text(name).unwrap_or_default().to_owned();
        let parameter = Parameter {
            name: text("name"),
            kind: ParameterType::from_word(&text("type")),
            default: declared.scalar("default").unwrap_or_default(),
            help: text("help"),
        };
        if let Err(wrong) = parameter.kind.check(&parameter.default) {
            problems
                .push(Problem::new(declared.at_field("default"), format!("'default': {wrong}")));
        }
        if found.iter().any(|(other, _)| other.name == parameter.name) {
            let message = format!("the parameter '{}' is declared twice", parameter.name);
            problems.push(Problem::new(declared.at_field("name"), message));
        }
        found.push((parameter, declared.at_field("name")));
    }
    found
}

/// The parameters' values, read ahead of everything else because the steps need them. What is
/// wrong with the declarations is told when they are read in their turn.
fn values(document: &Node, settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let none = BTreeMap::new();
    let Yaml::Map(entries) = &document.value else { return none };
    let Some(entry) = entries.iter().find(|entry| entry.key == "parameters") else { return none };
    let Yaml::List(nodes) = &entry.value.value else { return none };
    let mut found = BTreeMap::new();
    for node in nodes {
        let Yaml::Map(fields) = &node.value else { continue };
        let field = |name: &str| fields.iter().find(|it| it.key == name).map(|it| &it.value.value);
        let Some(Yaml::Text(name)) = field("name") else { continue };
        let default = match field("default") {
            Some(Yaml::Text(text)) => text.clone(),
            Some(Yaml::Bool(flag)) => flag.to_string(),
            Some(Yaml::Integer(number)) => number.to_string(),
            _ => continue,
        };
        found.insert(name.clone(), settings.get(name).cloned().unwrap_or(default));
    }
    found
}
