//! What is wrong with a file that a user wrote, and where in it.

use std::fmt;

/// A position in a file: line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub at: At,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// Why a file is not what it should be: every problem found, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file as the caller named it.
    pub file: String,
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
}

impl LoadError {
    pub(crate) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { file: file.to_owned(), problems }
    }

    /// `FILE:LINE:COLUMN: MESSAGE` for each problem.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.problems.iter().map(|Problem { at: At { line, column }, message }| {
            format!("{}:{line}:{column}: {message}", self.file)
        })
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for LoadError {}

/// The names in `known` that are nearest to `name`, best first; none when nothing is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // Two slips in a short word, more in a long one; a part of a name counts as near too.
    let allowed = 1 + name.len() / 3;
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let distance = slips(name.as_bytes(), candidate.as_bytes());
            if distance <= allowed {
                Some((distance, candidate))
            } else if is_part(name, candidate) || is_part(candidate, name) {
                Some((allowed + 1, candidate))
            } else {
                None
            }
        })
        .collect();
    near.sort_unstable();
    // Beside a name with one slip, one that is much farther away is no suggestion.
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| best > 1 || *distance <= best + 1);
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Whether a name begins or ends as another does, or has it as a word of its own: letters within a
/// word are chance.
fn is_part(part: &str, of: &str) -> bool {
    part.len() >= 3
        && (of.starts_with(part) || of.ends_with(part) || of.split('-').any(|word| word == part))
}

/// How many letters have to be put in, taken out or replaced (Levenshtein's distance).
fn slips(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// `; did you mean 'a' or 'b'?`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near: Vec<String> = nearest(name, known).iter().map(|it| format!("'{it}'")).collect();
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["ssh-hostkeys", "ssh-userdir", "logfiles", "machine-id"];
        assert_eq!(nearest("ssh-hostkey", known), ["ssh-hostkeys"]);
        assert_eq!(nearest("machineid", known), ["machine-id"]);
        assert_eq!(nearest("ssh", known), ["ssh-hostkeys", "ssh-userdir"]);
        assert!(nearest("zzz", known).is_empty());
        assert!(nearest("run", ["truncate", "remove"]).is_empty());
        assert_eq!(nearest("trunc", ["truncate", "remove"]), ["truncate"]);
        assert_eq!(nearest("ssh-hostkey", ["ssh-hostkeys", "zsh-history"]), ["ssh-hostkeys"]);
    }
}
