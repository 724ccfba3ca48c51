//! The syntax of `--commands-from-file`.

/// The commands of a file, each with its value: a line each, the command up to its first space.
///
/// A backslash before a line end takes the next line in, with the line end between; blanks before
/// a command, empty lines and those that begin with `#` are left out.
pub(super) fn commands(text: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.split('\n') {
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let whole = match open.take() {
            Some(before) => format!("{before}\n{line}"),
            None => line.to_owned(),
        };
        if goes_on {
            open = Some(whole);
        } else {
            lines.push(whole);
        }
    }
    lines.extend(open);
    lines
        .iter()
        .map(|line| line.trim_start())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .map(|(command, value)| (command.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let text = "# c\n\n  delete /a b\nedit /f:\\\n  s/a/b/\nupdate\nwrite /x: y \n";
        let wanted =
            [("delete", "/a b"), ("edit", "/f:\n  s/a/b/"), ("update", ""), ("write", "/x: y ")];
        let found = commands(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(command, value)| (command.as_str(), value.as_str())).collect();
        assert_eq!(found, wanted);
    }
}
