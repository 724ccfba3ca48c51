//! Secrets that are meant to be in the image.

use std::fmt;

use super::{Finding, KINDS};
use crate::guest::Pattern;

/// What is wrong with an allow list, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub struct BadAllowList {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for BadAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.problem)
    }
}

impl std::error::Error for BadAllowList {}

/// Findings that are not told: a line each, a pattern of paths and, behind a space, a kind; without
/// a kind all of them. Empty lines and those that begin with `#` say nothing.
#[derive(Debug, Default)]
pub struct AllowList {
    lines: Vec<(Pattern, Option<String>)>,
}

impl AllowList {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that is none, and why.
    pub fn parse(text: &str) -> Result<Self, BadAllowList> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |problem| BadAllowList { line: number, problem };
            let (pattern, kind) = match line.rsplit_once([' ', '\t']) {
                Some((pattern, kind)) if !kind.contains('/') => (pattern.trim_end(), Some(kind)),
                _ => (line, None),
            };
            let pattern = Pattern::parse(pattern).map_err(|error| bad(error.to_string()))?;
            if let Some(kind) = kind
                && !KINDS.iter().any(|it| it.name == kind)
            {
                let kinds: Vec<_> = KINDS.iter().map(|it| it.name).collect();
                return Err(bad(format!(
                    "'{kind}' is not a kind of secret; they are {}",
                    kinds.join(", ")
                )));
            }
            lines.push((pattern, kind.map(str::to_owned)));
        }
        Ok(Self { lines })
    }

    /// Whether the finding is meant to be there.
    pub fn allows(&self, finding: &Finding) -> bool {
        self.lines.iter().any(|(pattern, kind)| {
            kind.as_ref().is_none_or(|kind| *kind == finding.kind) && pattern.matches(&finding.path)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Spot;

    fn finding(path: &str, kind: &str) -> Finding {
        Finding { path: path.parse().unwrap(), at: Spot::Line(1), kind: kind.into() }
    }

    #[test]
    fn a_line_allows_a_kind_or_all() {
        let text = "# snake oil\n\n/etc/ssl/private/*.key private-key\n/srv/a b/**\n";
        let list = AllowList::parse(text).unwrap();
        assert!(list.allows(&finding("/etc/ssl/private/a.key", "private-key")));
        assert!(!list.allows(&finding("/etc/ssl/private/a.key", "password")));
        assert!(!list.allows(&finding("/etc/ssl/private/sub/a.key", "private-key")));
        assert!(list.allows(&finding("/srv/a b/c/d", "password")));
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        let bad = |text| AllowList::parse(text).unwrap_err().to_string();
        assert!(
            bad("/a\n/b no-such").starts_with("2: 'no-such' is not a kind of secret; they are ")
        );
        assert!(bad("etc/a").starts_with("1: pattern 'etc/a': not an absolute path"));
    }
}
