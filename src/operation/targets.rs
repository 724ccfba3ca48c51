//! Which existing paths a step is about.

use std::fmt;

use super::expression::Expression;
use super::shape::{Field, Fields, Shape};
use crate::fs::Kind;
use crate::guest::NamePattern;
use crate::path::GuestPath;
use crate::problem::Problem;

/// The words of `only`.
const KINDS: &[&str] =
    &["file", "directory", "symlink", "device", "fifo", "socket", "non-directory", "non-symlink"];

/// The arguments of every verb that works on existing paths.
pub(crate) const TARGET_FIELDS: &[Field] = &[
    Field::optional("paths", Shape::Some(&Shape::Pattern), "paths with wildcards"),
    Field::optional("keep", Shape::Some(&Shape::Pattern), "paths that stay as they are"),
    Field::optional("only", Shape::Some(&Shape::OneOf(KINDS)), "kinds of object"),
    Field::optional(
        "names",
        Shape::Some(&Shape::FileName),
        "file names, looked for everywhere below 'under'; a leading dot is no exception",
    ),
    Field::optional("under", Shape::Some(&Shape::Path), "directories to look below for 'names'"),
    Field::optional("containing", Shape::Regex, "only files whose content matches"),
    Field::optional("unless", Shape::Regex, "no files whose content matches"),
    Field::optional("required", Shape::Bool, "say so, with exit code 3, where a path is not there"),
];

/// The argument of the verbs that can go on below a directory.
pub(crate) const RECURSIVE: Field = Field::optional(
    "recursive",
    Shape::Bool,
    "everything below a directory, too; symlinks in it are not followed",
);

/// Names to look for in whole trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Patterns, each with the text it was given as.
    names: Vec<(NamePattern, String)>,
    under: Vec<GuestPath>,
    text: String,
}

impl Scan {
    /// The directories to look below.
    pub fn under(&self) -> &[GuestPath] {
        &self.under
    }

    /// The pattern that a name matches, as it was given.
    pub fn matching(&self, name: &[u8]) -> Option<&str> {
        let found = self.names.iter().find(|(pattern, _)| pattern.matches(name));
        found.map(|(_, text)| text.as_str())
    }
}

/// Kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(&'static str);

impl Kinds {
    fn fits(self, kind: Kind) -> bool {
        match self.0 {
            "file" => kind == Kind::File,
            "directory" => kind == Kind::Directory,
            "symlink" => kind == Kind::Symlink,
            "device" => matches!(kind, Kind::BlockDevice | Kind::CharDevice),
            "fifo" => kind == Kind::Fifo,
            "socket" => kind == Kind::Socket,
            "non-directory" => kind != Kind::Directory,
            _ => kind != Kind::Symlink,
        }
    }
}

/// Which existing paths a step is about.
#[derive(Clone, Default)]
pub struct Targets {
    pub(super) patterns: Vec<String>,
    pub(super) keep: Vec<String>,
    only: Vec<Kinds>,
    pub(super) scan: Option<Scan>,
    pub(super) containing: Option<Expression>,
    pub(super) unless: Option<Expression>,
    follow: bool,
    /// A pattern that finds nothing is refused.
    pub(super) required: bool,
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.describe()).finish()
    }
}

impl Targets {
    /// Whatever these patterns find.
    pub(super) fn of(patterns: &[&str]) -> Self {
        let patterns = patterns.iter().map(|&it| it.to_owned()).collect();
        Self { patterns, ..Self::default() }
    }

    pub(crate) fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let only = fields.texts("only");
        let mut targets = Self {
            patterns: fields.texts("paths"),
            keep: fields.texts("keep"),
            only: KINDS
                .iter()
                .filter(|word| only.iter().any(|it| it == *word))
                .map(|it| Kinds(it))
                .collect(),
            scan: None,
            containing: fields.regex("containing"),
            unless: fields.regex("unless"),
            follow: false,
            required: fields.flag("required", false),
        };
        if fields.has("names") != fields.has("under") {
            let message =
                "'names' and 'under' go together: which names, and below which directories";
            return Err(Problem::new(fields.at(), message));
        }
        if fields.has("names") {
            let wrong = |message| Problem::new(fields.at_field("names"), message);
            let mut names = Vec::new();
            for name in fields.texts("names") {
                names.push((NamePattern::parse(name.as_bytes()).map_err(wrong)?, name.clone()));
                // A name pattern leaves hidden files alone, as glob(3) does; here they count.
                if name.starts_with(['*', '?', '[']) {
                    let hidden = format!(".{name}");
                    let hidden = NamePattern::parse(hidden.as_bytes()).map_err(wrong)?;
                    names.push((hidden, name.clone()));
                }
            }
            let under = fields.texts("under");
            let text = format!("{} below {}", fields.texts("names").join(", "), under.join(", "));
            let under = under
                .iter()
                .map(|path| path.parse())
                .collect::<Result<_, String>>()
                .map_err(|message| Problem::new(fields.at_field("under"), message))?;
            targets.scan = Some(Scan { names, under, text });
        }
        if targets.patterns.is_empty() && targets.scan.is_none() {
            let message = "the step names no path; give 'paths', or 'names' and 'under'";
            return Err(Problem::new(fields.at(), message));
        }
        Ok(targets)
    }

    /// Whether an object of this kind is meant.
    pub(super) fn fits(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.iter().any(|kinds| kinds.fits(kind))
    }

    /// The same for a verb that is about what a symlink leads to.
    pub(crate) fn following(mut self) -> Self {
        self.follow = true;
        self
    }

    /// Whether the content of a symlink is that of the file it leads to.
    pub(crate) fn follows(&self) -> bool {
        self.follow
    }

    /// Whether content decides too.
    pub(super) fn reads_content(&self) -> bool {
        self.containing.is_some() || self.unless.is_some()
    }

    /// Whether a file with this content is meant.
    pub(super) fn fits_content(&self, content: &[u8]) -> bool {
        self.containing.as_ref().is_none_or(|regex| regex.is_match(content))
            && !self.unless.as_ref().is_some_and(|regex| regex.is_match(content))
    }

    /// The paths and patterns, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut all = self.patterns.clone();
        all.extend(self.scan.iter().map(|scan| scan.text.clone()));
        all
    }

    /// What is looked for in whole trees.
    pub fn scan(&self) -> Option<&Scan> {
        self.scan.as_ref()
    }
}
