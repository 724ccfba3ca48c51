//! What a policy's `file_contexts` say of a path.
//!
//! The answer is libselinux's (its `label_file` backend): the path is substituted, then every line
//! is tried from the last one up, plain paths before expressions, and the first that matches the
//! path and the type of file has the word. Its versions before 3.8 and since search in other ways
//! and come to the same answer; where they do not, the answer is that it is not known.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::expression::{self, Compiled, Fit};
use super::substitutions::Substitutions;
use crate::fs::Kind;
use crate::path::{GuestPath, escape};

/// How many lines with a label the files may have together: ten times what the largest policies do.
pub(super) const MAX_LINES: usize = 100_000;

/// What the expressions compiled so far may take together, in bytes: more than all of a policy's.
const MAX_COMPILED: usize = 128 << 20;

/// The longest label that a filesystem takes as an extended attribute of one block.
const MAX_LABEL: usize = 4000;

/// The word for "no label of its own".
const NONE: &[u8] = b"<<none>>";

/// The labels that a guest's SELinux policy gives to paths.
#[derive(Debug, Default)]
pub struct Contexts {
    files: Vec<File>,
    /// Lines whose expression is a plain path, in their order.
    literal: Vec<Line>,
    /// The others.
    patterns: Vec<Line>,
    /// `file_contexts.subs`: done first.
    pub(super) local: Substitutions,
    /// `file_contexts.subs_dist`: done to what the first leave.
    pub(super) distribution: Substitutions,
    compiled: AtomicUsize,
}

#[derive(Debug)]
struct File {
    path: GuestPath,
    text: Vec<u8>,
}

/// A line: where, and what of it matters.
#[derive(Debug)]
struct Line {
    file: usize,
    number: usize,
    expression: Range<usize>,
    label: Range<usize>,
    kind: Option<Kind>,
    alternatives: bool,
    compiled: OnceLock<Result<Box<Compiled>, String>>,
}

/// Why the label of a path is not known: a line that may concern it is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelUnknown {
    /// The file with the line.
    pub file: GuestPath,
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for LabelUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}: {}", self.file, self.line, self.problem)
    }
}

impl std::error::Error for LabelUnknown {}

impl Contexts {
    /// Adds a file's lines after those that are there.
    ///
    /// # Errors
    /// The line for which libselinux refuses the whole file, or a limit.
    pub(super) fn add(&mut self, path: &GuestPath, text: Vec<u8>) -> Result<(), String> {
        let file = self.files.len();
        let mut start = 0;
        for (index, whole) in text.split(|&byte| byte == b'\n').enumerate() {
            let (line, at) = (c_string(whole), start);
            start += whole.len() + 1;
            let parsed = parse(line).map_err(|problem| {
                format!("{path}: line {}: {problem}: libselinux refuses the file", index + 1)
            })?;
            let Some((expression, kind, label)) = parsed else { continue };
            if self.literal.len() + self.patterns.len() >= MAX_LINES {
                return Err(format!("{path}: more than {MAX_LINES} lines with labels"));
            }
            let literal = expression::is_literal(&line[expression.clone()]);
            let lines = if literal { &mut self.literal } else { &mut self.patterns };
            lines.push(Line {
                file,
                number: index + 1,
                alternatives: expression::has_alternatives(&line[expression.clone()]),
                expression: at + expression.start..at + expression.end,
                label: at + label.start..at + label.end,
                kind,
                compiled: OnceLock::new(),
            });
        }
        self.files.push(File { path: path.clone(), text });
        Ok(())
    }

    /// The label of a file of this kind at a path; `None` where the policy gives none, so that the
    /// file has what its directory passes on. Symlinks on the way are not resolved: a policy names
    /// the place.
    ///
    /// # Errors
    /// A line that may concern the path is not understood.
    pub fn label(&self, path: &GuestPath, kind: Kind) -> Result<Option<&str>, LabelUnknown> {
        let path = path.to_bytes();
        let path = self.local.apply(path);
        let path = self.distribution.apply(path);
        let stem = expression::stem(&path);
        for line in self.literal.iter().rev().chain(self.patterns.iter().rev()) {
            if line.kind.is_none_or(|of| of == kind) && self.matches(line, &path, stem)? {
                return self.label_of(line);
            }
        }
        Ok(None)
    }

    fn matches(&self, line: &Line, path: &[u8], stem: Option<&[u8]>) -> Result<bool, LabelUnknown> {
        let expression = self.part(line, &line.expression);
        let fit = if line.alternatives { Fit::Perhaps } else { expression::fit(expression, path) };
        if fit == Fit::Differs {
            return Ok(false);
        }
        let own = expression::stem_of(expression);
        let escaped = own.is_some_and(|own| own.contains(&b'\\'));
        if own.is_some() && !escaped && own != stem {
            return Ok(false);
        }
        let matches = fit == Fit::Matches
            || self
                .compiled(line, expression)
                .and_then(|it| it.is_match(path))
                .map_err(|problem| self.unknown(line, &problem))?;
        if matches && escaped {
            return Err(self.unknown(
                line,
                "has a backslash in its first name: libselinux before 3.8 never matches it",
            ));
        }
        Ok(matches)
    }

    fn compiled<'a>(&self, line: &'a Line, expression: &[u8]) -> Result<&'a Compiled, String> {
        let compile = || {
            let cost = expression::cost(expression);
            if self.compiled.fetch_add(cost, Ordering::Relaxed).saturating_add(cost) > MAX_COMPILED
            {
                return Err("is one of too many expressions to compile".into());
            }
            expression::compile(expression).map(Box::new)
        };
        line.compiled.get_or_init(compile).as_deref().map_err(Clone::clone)
    }

    fn label_of(&self, line: &Line) -> Result<Option<&str>, LabelUnknown> {
        let label = self.part(line, &line.label);
        if label == NONE {
            return Ok(None);
        }
        let plain = label.len() <= MAX_LABEL
            && label.iter().all(u8::is_ascii_graphic)
            && label.iter().filter(|&&byte| byte == b':').count() >= 2;
        match std::str::from_utf8(label) {
            Ok(text) if plain => Ok(Some(text)),
            _ => Err(LabelUnknown {
                file: self.files[line.file].path.clone(),
                line: line.number,
                problem: "its label is not of the form user:role:type".into(),
            }),
        }
    }

    fn part(&self, line: &Line, of: &Range<usize>) -> &[u8] {
        &self.files[line.file].text[of.clone()]
    }

    fn unknown(&self, line: &Line, problem: &str) -> LabelUnknown {
        let mut shown = escape(self.part(line, &line.expression));
        if shown.len() > 80 {
            shown.truncate(80);
            shown.push('…');
        }
        LabelUnknown {
            file: self.files[line.file].path.clone(),
            line: line.number,
            problem: format!("'{shown}' {problem}"),
        }
    }
}

/// What C takes for the line: nothing behind a NUL.
fn c_string(line: &[u8]) -> &[u8] {
    memchr::memchr(0, line).map_or(line, |end| &line[..end])
}

/// Whether C calls a byte white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The words of a line, as places in it.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].iter().position(|&byte| !is_space(byte))?;
        let end = line[start..].iter().position(|&byte| is_space(byte));
        at = end.map_or(line.len(), |end| start + end);
        Some(start..at)
    })
}

/// Where a line's expression is, the kind it is for, and where its label is; `None` for an empty
/// line and a comment.
type Parsed = Option<(Range<usize>, Option<Kind>, Range<usize>)>;

fn parse(line: &[u8]) -> Result<Parsed, String> {
    let mut words = words(line);
    let Some(expression) = words.next() else { return Ok(None) };
    if line[expression.start] == b'#' {
        return Ok(None);
    }
    let second = words.next();
    let third = words.next();
    let said = [Some(&expression), second.as_ref(), third.as_ref()];
    if said.into_iter().flatten().any(|word| !line[word.clone()].is_ascii()) {
        return Err("characters that are not ASCII".into());
    }
    let (kind, label) = match (second, third) {
        (None, _) => return Err("no label".into()),
        (Some(label), None) => (None, label),
        (Some(kind), Some(label)) => (Some(kind_of(&line[kind])?), label),
    };
    Ok(Some((expression, kind, label)))
}

fn kind_of(word: &[u8]) -> Result<Kind, String> {
    Ok(match word {
        b"--" => Kind::File,
        b"-d" => Kind::Directory,
        b"-l" => Kind::Symlink,
        b"-b" => Kind::BlockDevice,
        b"-c" => Kind::CharDevice,
        b"-p" => Kind::Fifo,
        b"-s" => Kind::Socket,
        _ => return Err(format!("'{}' is no type of file", escape(&word[..word.len().min(40)]))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts(texts: &[&str]) -> Contexts {
        let mut contexts = Contexts::default();
        for (index, text) in texts.iter().enumerate() {
            let path = format!("/fc{index}").parse().unwrap();
            contexts.add(&path, text.as_bytes().to_vec()).unwrap();
        }
        contexts
    }

    fn label(contexts: &Contexts, path: &str, kind: Kind) -> Option<String> {
        contexts.label(&path.parse().unwrap(), kind).unwrap().map(str::to_owned)
    }

    #[test]
    fn the_last_line_has_the_word_and_plain_paths_before_all() {
        let policy = contexts(&[
            "# comment\n\n /plain\tu:r:plain_t:s0\n/.*\tu:r:any_t:s0\n/dev/.* -c u:r:dev_t:s0-s15:c0.c1023\n\
             /two u:r:first_t\n/two -p u:r:second_t more words\n/none/.* <<none>>\n\
             /typed -l u:r:link_t\n/typed -- u:r:file_t\n/end(/.*)? u:r:end_t",
            "/end/home u:r:home_t\n/dev/n.* u:r:n_t\n",
        ]);
        for (path, kind, expected) in [
            ("/plain", Kind::File, Some("u:r:plain_t:s0")),
            ("/other", Kind::File, Some("u:r:any_t:s0")),
            ("/dev/x", Kind::CharDevice, Some("u:r:dev_t:s0-s15:c0.c1023")),
            ("/dev/x", Kind::BlockDevice, Some("u:r:any_t:s0")),
            ("/dev/null", Kind::CharDevice, Some("u:r:n_t")),
            ("/two", Kind::Fifo, Some("u:r:second_t")),
            ("/none/a", Kind::File, None),
            ("/none", Kind::Directory, Some("u:r:any_t:s0")),
            ("/typed", Kind::Symlink, Some("u:r:link_t")),
            ("/typed", Kind::File, Some("u:r:file_t")),
            ("/typed", Kind::Socket, Some("u:r:any_t:s0")),
            ("/end/home", Kind::Directory, Some("u:r:home_t")),
            ("/end/home/a", Kind::Directory, Some("u:r:end_t")),
        ] {
            assert_eq!(label(&policy, path, kind).as_deref(), expected, "{path}");
        }
        assert_eq!(label(&contexts(&["/a u:r:t\n"]), "/b", Kind::File), None);
    }

    #[test]
    fn a_line_that_libselinux_refuses_is_named() {
        for (line, problem) in [
            ("/a", "no label"),
            ("/a -x u:r:t", "'-x' is no type of file"),
            ("/a --- u:r:t", "'---' is no type of file"),
            ("/\u{e9} u:r:t", "characters that are not ASCII"),
            ("/a u:r:\u{e9}", "characters that are not ASCII"),
        ] {
            let mut contexts = Contexts::default();
            let text = format!("# caf\u{e9}\n{line}\n");
            let error = contexts.add(&"/fc".parse().unwrap(), text.into_bytes()).unwrap_err();
            assert!(error.starts_with(&format!("/fc: line 2: {problem}")), "{error}");
        }
        let mut many = Contexts::default();
        let text = b"/a u:r:t\n".repeat(MAX_LINES + 1);
        assert!(many.add(&"/fc".parse().unwrap(), text).unwrap_err().contains("more than"));
        assert!(many.add(&"/fc".parse().unwrap(), b"\0/a".to_vec()).is_ok());
    }

    #[test]
    fn a_line_that_may_concern_the_path_and_is_not_understood_is_said() {
        let policy = contexts(&[
            "/.* u:r:any_t\n/a/(?=x).* u:r:a_t\n/b/x\\-y(/.*)? nolabel\n/c\\-d/e(/.*)? u:r:c_t\n\
             /e/.*\\Q u:r:e_t\n/e/known u:r:k_t\n",
        ]);
        for (path, expected) in [
            ("/a/x", "/fc0: line 2: '/a/(?=x).*' holds '(?'"),
            ("/b/x-y/z", "/fc0: line 3: its label"),
            ("/c-d/e", "/fc0: line 4: '/c\\\\-d/e(/.*)?' has a backslash"),
            ("/e/x", "/fc0: line 5: '/e/.*\\\\Q' holds '\\Q'"),
        ] {
            let error = policy.label(&path.parse().unwrap(), Kind::File).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        for path in ["/a", "/b/x", "/c-d", "/c-x/e", "/f/x"] {
            assert_eq!(label(&policy, path, Kind::File).as_deref(), Some("u:r:any_t"), "{path}");
        }
        assert_eq!(label(&policy, "/e/known", Kind::File).as_deref(), Some("u:r:k_t"));
        let long =
            contexts(&[&format!("/a u:r:{}\n/b {}\n", "t".repeat(MAX_LABEL), ":".repeat(9))]);
        assert!(long.label(&"/a".parse().unwrap(), Kind::File).is_err());
        assert!(
            contexts(&["/a u:r:\u{1b}[2J\n"]).label(&"/a".parse().unwrap(), Kind::File).is_err()
        );
    }

    #[test]
    fn expressions_without_end_stop_at_a_limit() {
        let text: String = (0..2000).map(|n| format!("/(a{{1,90}}){{1,9}}{n} u:r:t\n")).collect();
        let policy = contexts(&["/.* u:r:any_t\n", &text]);
        let error = policy.label(&"/x".parse().unwrap(), Kind::File).unwrap_err();
        assert!(error.problem.contains("too many expressions"), "{error}");
    }
}
