//! A Jinja template without its values: whether its marks are closed.

use super::said::place;
use crate::problem::{At, Problem};

/// What opens a mark, and what closes it.
const MARKS: [(&str, &str); 3] = [("{#", "#}"), ("{%", "%}"), ("{{", "}}")];

/// Tags that need an end, and what ends them.
const BLOCKS: &[&str] =
    &["if", "for", "macro", "call", "filter", "block", "raw", "with", "autoescape"];

/// Whether there is any mark in a template, all of which are closed.
///
/// # Errors
/// The first that is not, or an end of nothing.
pub(super) fn is_marked(text: &str) -> Result<bool, Problem> {
    let wrong = |byte, message: String| Problem::new(place(text, byte), message);
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut from = 0;
    let mut any = false;
    while let Some((start, (opens, closes))) = next(text, from) {
        any = true;
        let inner = start + opens.len();
        let end = end(text, inner, opens, closes)
            .ok_or_else(|| wrong(start, format!("'{opens}' is not closed by '{closes}'")))?;
        from = end + closes.len();
        if opens != "{%" {
            continue;
        }
        let tag = text.get(inner..end).unwrap_or_default();
        let tag = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if let Some(block) = name.strip_prefix("end") {
            match open.pop() {
                Some((last, _)) if last == block => {}
                Some((last, at)) => {
                    let At { line, .. } = place(text, at);
                    let message = format!("'{name}' where 'end{last}' is due, of line {line}");
                    return Err(wrong(start, message));
                }
                None => return Err(wrong(start, format!("'{name}' ends nothing"))),
            }
        } else if let Some(block) = BLOCKS.iter().find(|it| **it == name) {
            open.push((block, start));
            if name == "raw" {
                from = raw_end(text, from).unwrap_or(text.len());
            }
        } else if name == "set" && !tag.contains('=') {
            open.push(("set", start));
        }
    }
    match open.pop() {
        Some((block, at)) => Err(wrong(at, format!("'{block}' has no 'end{block}'"))),
        None => Ok(any),
    }
}

/// What stands before the first text of a template that is no mark and no blank.
pub(super) fn lead(text: &str) -> usize {
    let mut from = 0;
    loop {
        let rest = text.get(from..).unwrap_or_default();
        from = text.len() - rest.trim_start().len();
        let found = MARKS.iter().take(2).find(|it| rest.trim_start().starts_with(it.0));
        let Some((opens, closes)) = found else { return from };
        match end(text, from + 2, opens, closes) {
            Some(end) => from = end + closes.len(),
            None => return from,
        }
    }
}

type Mark = (&'static str, &'static str);

fn next(text: &str, from: usize) -> Option<(usize, Mark)> {
    let rest = text.get(from..)?;
    rest.match_indices('{').find_map(|(at, _)| {
        let mark =
            MARKS.iter().find(|it| rest.get(at..).is_some_and(|it2| it2.starts_with(it.0)))?;
        Some((from + at, *mark))
    })
}

/// Where a mark is closed: outside of quotes, which a comment has none of.
fn end(text: &str, from: usize, opens: &str, closes: &str) -> Option<usize> {
    let rest = text.get(from..)?;
    if opens == "{#" {
        return rest.find(closes).map(|at| from + at);
    }
    let mut quote = None;
    let mut braces = 0_u32;
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            // A map within an expression may end with the same braces.
            (None, '{') => braces += 1,
            (None, '}') if braces > 0 => braces -= 1,
            (None, _) if rest.get(at..).is_some_and(|it| it.starts_with(closes)) => {
                return Some(from + at);
            }
            _ => {}
        }
    }
    None
}

/// Where the tag stands that ends what is not to be rendered.
fn raw_end(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.match_indices("{%").map(|(at, _)| at).find_map(|at| {
        let tag = rest.get(at + 2..)?.trim_start_matches(['-', '+']).trim_start();
        tag.starts_with("endraw").then_some(from + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_closed() {
        for (text, marked) in [
            ("a: {b: {c: 1}}\n", false),
            ("{# {{ #}{% if x %}{{ v1.name }}{% elif y %}b{% else %}{% endif %}", true),
            ("{% for a in b -%}{%- set c = '%}' %}{{ {'a': {}} }}{%+ endfor %}", true),
            ("{% raw %}{{ {% if %}{% endraw %}{% set x %}a{% endset %}", true),
        ] {
            assert_eq!(is_marked(text), Ok(marked), "{text}");
        }
        for (text, column, part) in [
            ("ab {{ x", 4, "'{{' is not closed by '}}'"),
            ("{% if x %}", 1, "'if' has no 'endif'"),
            ("{% endif %}", 1, "ends nothing"),
            ("{% for a in b %}{% endif %}", 17, "'endfor' is due"),
            ("{# x", 1, "'#}'"),
            ("{{ '}} }", 1, "'{{'"),
        ] {
            let problem = is_marked(text).unwrap_err();
            assert!(problem.message.contains(part), "{text}: {problem:?}");
            assert_eq!(problem.at.column, column, "{text}");
        }
        assert_eq!(lead("\n {# a #}{% if x %}\n#cloud-config"), 20);
        assert_eq!(lead("{{ x }}"), 0);
    }
}
