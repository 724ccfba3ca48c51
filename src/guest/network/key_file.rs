//! Text of `[section]` and `key=value` lines, as systemd and NetworkManager write it, and of
//! `KEY=value` lines as a shell reads them.

/// A setting: section, key, value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// The settings of a file in their order. Lines that end in a backslash go on; comments begin with
/// `#` or `;`.
pub(super) fn settings(text: &str, continues: bool) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut held = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if continues && let Some(begun) = line.strip_suffix('\\') {
            held.push_str(begun);
            held.push(' ');
            continue;
        }
        let whole = std::mem::take(&mut held) + line;
        let whole = whole.trim();
        if let Some(name) = whole.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = whole.split_once('=') {
            found.push(Setting {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
    }
    found
}

/// The last value of a key.
pub(super) fn last<'a>(settings: &'a [Setting], section: &str, key: &str) -> Option<&'a str> {
    let of = |it: &&Setting| it.section == section && it.key == key;
    settings.iter().rev().find(of).map(|it| it.value.as_str())
}

/// Every value of a key of systemd's: they add up, and an empty one takes back those before.
pub(super) fn all<'a>(settings: &'a [Setting], section: &str, key: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    for setting in settings.iter().filter(|it| it.section == section && it.key == key) {
        if setting.value.is_empty() {
            values.clear();
        } else {
            values.push(setting.value.as_str());
        }
    }
    values
}

/// Whether a text is one of systemd's and NetworkManager's words for true or false.
pub(super) fn flag(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// The last value of a variable that a file of a shell sets; quotes taken off.
pub(super) fn variable(text: &str, name: &str) -> Option<String> {
    let mut found = None;
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if let Some(value) = line.strip_prefix(name).and_then(|it| it.strip_prefix('=')) {
            found = Some(unquoted(value));
        }
    }
    found
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    value.split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_systemd_and_a_shell_do() {
        let text = "# c\n[Match]\nName=a \\\n# between\n b\n; c\nName = c\n[Network]\nDNS=1\nDNS=\nDNS=2\n";
        let read = settings(text, true);
        assert_eq!(all(&read, "Match", "Name"), ["a  b", "c"]);
        assert_eq!(last(&read, "Match", "Name"), Some("c"));
        assert_eq!(all(&read, "Network", "DNS"), ["2"]);
        let text = "A=1\nexport A=\"two words\" # x\n#A=3\nB='x'\nC=y # z\nAB=5\n";
        assert_eq!(variable(text, "A").as_deref(), Some("two words"));
        assert_eq!(variable(text, "B").as_deref(), Some("x"));
        assert_eq!(variable(text, "C").as_deref(), Some("y"));
        assert_eq!(variable(text, "D"), None);
    }
}
