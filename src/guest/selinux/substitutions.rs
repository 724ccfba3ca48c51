//! `file_contexts.subs` and `.subs_dist`: what a policy takes a path for.

use super::contexts::words;

/// How many there may be: distributions have a few dozen.
const MAX_LINES: usize = 10_000;

/// The substitutions of one file.
#[derive(Debug, Default)]
pub(super) struct Substitutions(Vec<(Vec<u8>, Vec<u8>)>);

impl Substitutions {
    /// Reads a file: a path and what it is taken for, on each line.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn from_bytes(text: &[u8]) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for line in text.split(|&byte| byte == b'\n') {
            let line = memchr::memchr(0, line).map_or(line, |end| &line[..end]);
            let mut words = words(line).map(|word| &line[word]);
            let (Some(path), Some(taken_for)) = (words.next(), words.next()) else { continue };
            if path.starts_with(b"#") {
                continue;
            }
            if pairs.len() >= MAX_LINES {
                return Err(format!("more than {MAX_LINES} lines"));
            }
            pairs.push((path.to_vec(), taken_for.to_vec()));
        }
        Ok(Self(pairs))
    }

    /// The path with its beginning replaced, by the last line that has it; once.
    pub(super) fn apply(&self, path: Vec<u8>) -> Vec<u8> {
        for (from, to) in self.0.iter().rev() {
            let Some(rest) = path.strip_prefix(from.as_slice()) else { continue };
            match rest.strip_prefix(b"/") {
                Some(below) if to == b"/" => return [b"/", below].concat(),
                None if !rest.is_empty() => {}
                _ => return [to.as_slice(), rest].concat(),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_has_a_whole_name_counts_once() {
        let text =
            b"# a comment\n/a /x\n  /a/b\t/y  more\n/c /\n/d/ /never\n/alone\n/x /not-again\n";
        let subs = Substitutions::from_bytes(text).unwrap();
        for (path, expected) in [
            ("/a", "/x"),
            ("/a/c", "/x/c"),
            ("/ab", "/ab"),
            ("/a/b/c", "/y/c"),
            ("/c", "/"),
            ("/c/d", "/d"),
            ("/d/e", "/d/e"),
            ("/alone", "/alone"),
        ] {
            let result = subs.apply(path.as_bytes().to_vec());
            assert_eq!(String::from_utf8(result).unwrap(), expected, "{path}");
        }
        assert!(Substitutions::from_bytes(&b"/a /b\n".repeat(MAX_LINES + 1)).is_err());
    }
}
