//! The text of unit files and their drop-ins (systemd.syntax(7)).

use std::ops::Range;

use memchr::memchr2;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Its section, without brackets.
    pub section: &'a str,
    /// What stands before `=`.
    pub key: &'a str,
    /// What stands after `=`, lines joined, white space around it left out; empty where the
    /// assignment resets.
    pub value: &'a str,
}

/// The assignments of a unit in their order: its file's, then those of its drop-ins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Every section, key and value: a large guest has some ten thousand of them.
    text: String,
    list: Vec<Assignment>,
}

/// Where the parts of an assignment are in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assignment {
    section: Range<usize>,
    key: Range<usize>,
    value: Range<usize>,
}

impl Settings {
    /// Reads a file; `None` where systemd refuses the whole of it: a broken section header, or
    /// bytes that are not UTF-8.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut settings = Self::default();
        let mut section = None;
        let mut joined = String::new();
        let mut rest = Some(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        while let Some(text) = rest {
            let end = memchr2(b'\n', b'\0', text);
            let line = &text[..end.unwrap_or(text.len())];
            rest = end.and_then(|end| text.get(end + 1..));
            // systemd looks at a comment's bytes as little as here.
            if matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
                continue;
            }
            let line = std::str::from_utf8(line).ok()?;
            if joined.is_empty() && !line.ends_with('\\') {
                settings.read_line(line.trim_matches(WHITE), &mut section)?;
                continue;
            }
            joined.push_str(line);
            let slashes = joined.bytes().rev().take_while(|&byte| byte == b'\\').count();
            if slashes % 2 == 1 {
                joined.pop();
                joined.push(' ');
                continue;
            }
            settings.read_line(joined.trim_matches(WHITE), &mut section)?;
            joined.clear();
        }
        settings.read_line(joined.trim_matches(WHITE), &mut section)?;
        Some(settings)
    }

    fn read_line(&mut self, line: &str, section: &mut Option<Range<usize>>) -> Option<()> {
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Some(());
        }
        if let Some(header) = line.strip_prefix('[') {
            let name = header.strip_suffix(']')?;
            if name.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\'' | '\\')) {
                return None;
            }
            *section = Some(self.add(name));
        } else if let (Some(section), Some((key, value))) = (section, line.split_once('='))
            && !key.is_empty()
        {
            let section = section.clone();
            let (key, value) =
                (self.add(key.trim_matches(WHITE)), self.add(value.trim_matches(WHITE)));
            self.list.push(Assignment { section, key, value });
        }
        Some(())
    }

    fn add(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    /// Puts the assignments of a drop-in behind these.
    pub(super) fn extend(&mut self, other: &Self) {
        let before = self.text.len();
        let moved = |range: &Range<usize>| range.start + before..range.end + before;
        self.text.push_str(&other.text);
        self.list.extend(other.list.iter().map(|it| Assignment {
            section: moved(&it.section),
            key: moved(&it.key),
            value: moved(&it.value),
        }));
    }

    pub(super) fn push(&mut self, section: &str, key: &str, value: &str) {
        let (section, key, value) = (self.add(section), self.add(key), self.add(value));
        self.list.push(Assignment { section, key, value });
    }

    /// Every assignment, resets among them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Setting<'_>> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.list.iter().map(move |it| Setting {
            section: text(&it.section),
            key: text(&it.key),
            value: text(&it.value),
        })
    }

    fn of<'a>(&'a self, section: &str, key: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.iter().filter(move |it| it.section == section && it.key == key).map(|it| it.value)
    }

    /// About how much memory they take, in bytes.
    pub(super) fn size(&self) -> u64 {
        let length = |it: &Assignment| it.section.len() + it.key.len() + it.value.len() + 64;
        self.list.iter().map(|it| length(it) as u64).sum()
    }

    /// The values of a key that takes a list, those before an empty assignment left out.
    pub fn list(&self, section: &str, key: &str) -> Vec<String> {
        let mut list = Vec::new();
        for value in self.of(section, key) {
            if value.is_empty() {
                list.clear();
            } else {
                list.push(value.to_owned());
            }
        }
        list
    }

    /// The words of a key that takes a list of words.
    pub fn words(&self, section: &str, key: &str) -> Vec<String> {
        self.list(section, key).iter().flat_map(|value| words(value)).collect()
    }

    /// The names of units of a dependency, which no empty assignment resets.
    pub fn dependencies(&self, key: &str) -> Vec<String> {
        self.of("Unit", key).flat_map(words).collect()
    }

    /// The value of a key that takes one.
    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.of(section, key).next_back()
    }

    /// Whether a key says yes; `None` where it does not stand there or says neither.
    pub fn flag(&self, section: &str, key: &str) -> Option<bool> {
        truth(self.last(section, key)?)
    }
}

/// systemd's words for yes and no.
pub(super) fn truth(value: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else {
        is(&["0", "no", "n", "false", "f", "off"]).then_some(false)
    }
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The words of a value, quotes taken off; those before a quote that stays open.
pub(super) fn words(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if WHITE.contains(&c) => words.extend(word.take()),
            (_, '\\') => {
                let word = word.get_or_insert_default();
                word.push('\\');
                word.extend(chars.next());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_none() {
        words.extend(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let text = b"\xef\xbb\xbfWants=outside.service\n[Unit]\n ; \xff comment\nWants = a.service \\\n\
            # a comment in the middle\n  b.service\nWants=\nBroken\n=no\n[Service]\nExecStart=one\n\
            ExecStart=\nExecStart=two \"three four\"\n[X-Other]\nKey=value\n[Unit]\nWants=c.service";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.dependencies("Wants"), ["a.service", "b.service", "c.service"]);
        assert_eq!(settings.list("Service", "ExecStart"), ["two \"three four\""]);
        assert_eq!(settings.words("Service", "ExecStart"), ["two", "three four"]);
        assert_eq!(settings.last("X-Other", "Key"), Some("value"));
        assert_eq!(settings.iter().count(), 7);
    }

    #[test]
    fn what_systemd_refuses_is_no_unit_file() {
        assert_eq!(Settings::parse(b"[Unit\nWants=a.service\n"), None);
        assert_eq!(Settings::parse(b"[Unit]\nDescription=\xff\n"), None);
        assert!(Settings::parse(b"").is_some());
    }

    #[test]
    fn words_keep_escapes_and_end_at_an_open_quote() {
        assert_eq!(words("a\\x2db 'c d'e  f\\ g"), ["a\\x2db", "c de", "f\\ g"]);
        assert_eq!(words("a \"b"), ["a"]);
        assert_eq!(words("a ''"), ["a", ""]);
    }

    #[test]
    fn yes_and_no_have_many_words() {
        assert_eq!((truth("Yes"), truth("off"), truth("maybe")), (Some(true), Some(false), None));
    }
}
