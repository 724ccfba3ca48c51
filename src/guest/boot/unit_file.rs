//! The text of unit files and their drop-ins (systemd.syntax(7)).

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its section, without brackets.
    pub section: String,
    /// What stands before `=`.
    pub key: String,
    /// What stands after `=`, lines joined, white space around it left out; empty where the
    /// assignment resets.
    pub value: String,
}

/// The assignments of a unit in their order: its file's, then those of its drop-ins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

impl Settings {
    /// Reads a file; `None` where systemd refuses the whole of it: a broken section header, or
    /// bytes that are not UTF-8.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut settings = Vec::new();
        let mut section: Option<String> = None;
        let mut joined = String::new();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        // systemd looks at a comment's bytes as little as here.
        for line in text.split(|&byte| byte == b'\n' || byte == b'\0') {
            if matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
                continue;
            }
            joined.push_str(std::str::from_utf8(line).ok()?);
            let slashes = joined.bytes().rev().take_while(|&byte| byte == b'\\').count();
            if slashes % 2 == 1 {
                joined.pop();
                joined.push(' ');
                continue;
            }
            read_line(joined.trim_matches(WHITE), &mut section, &mut settings)?;
            joined.clear();
        }
        read_line(joined.trim_matches(WHITE), &mut section, &mut settings)?;
        Some(Self(settings))
    }

    /// Puts the assignments of a drop-in behind these.
    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(super) fn push(&mut self, section: &str, key: &str, value: &str) {
        let (section, key, value) = (section.into(), key.into(), value.into());
        self.0.push(Setting { section, key, value });
    }

    /// Every assignment, resets among them.
    pub fn iter(&self) -> std::slice::Iter<'_, Setting> {
        self.0.iter()
    }

    fn of<'a>(&'a self, section: &str, key: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |it| it.section == section && it.key == key)
            .map(|it| it.value.as_str())
    }

    /// About how much memory they take, in bytes.
    pub(super) fn size(&self) -> u64 {
        let length = |it: &Setting| it.section.len() + it.key.len() + it.value.len() + 64;
        self.0.iter().map(|it| length(it) as u64).sum()
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

fn read_line(line: &str, section: &mut Option<String>, into: &mut Vec<Setting>) -> Option<()> {
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Some(());
    }
    if let Some(header) = line.strip_prefix('[') {
        let name = header.strip_suffix(']')?;
        if name.contains(|c: char| c.is_ascii_control() || matches!(c, '"' | '\'' | '\\')) {
            return None;
        }
        *section = Some(name.into());
    } else if let (Some(section), Some((key, value))) = (section, line.split_once('='))
        && !key.is_empty()
    {
        into.push(Setting {
            section: section.clone(),
            key: key.trim_matches(WHITE).into(),
            value: value.trim_matches(WHITE).into(),
        });
    }
    Some(())
}

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
