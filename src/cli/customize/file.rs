//! The syntax of `--commands-from-file`.

/// The commands of a file, each with its line, from 1, and its value: a line each, the command up to
/// its first space.
///
/// A backslash before a line end takes the next line in, with the line end between, as
/// virt-customize does it: an edit of several lines stays one. Blanks before
/// a command, empty lines and those that begin with `#` are left out.
pub(super) fn commands(text: &str) -> Vec<(u64, String, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u64, String)> = None;
    for (number, line) in (1..).zip(text.split('\n')) {
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let whole = match open.take() {
            Some((first, before)) => (first, format!("{before}\n{line}")),
            None => (number, line.to_owned()),
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
        .map(|(number, line)| (*number, line.trim_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (command, value) = line.split_once(' ').unwrap_or((line, ""));
            (number, command.to_owned(), value.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let text = "# c\n\n  delete /a b\nedit /f:\\\n  s/a/b/\nupdate\nwrite /x: y \n";
        let wanted = [
            (3, "delete", "/a b"),
            (4, "edit", "/f:\n  s/a/b/"),
            (6, "update", ""),
            (7, "write", "/x: y "),
        ];
        let found = commands(text);
        let found: Vec<(u64, &str, &str)> = found
            .iter()
            .map(|(number, it, value)| (*number, it.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, wanted);
    }
}
