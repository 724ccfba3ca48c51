//! YAML as netplan reads it, by libyaml alone: every scalar is its text, so that `52:54:00:12:34:56`
//! is no number of base 60.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser};

use crate::yaml_error;

/// How many values a document may come to with its aliases written out.
const VALUES: usize = 100_000;

/// Lists and maps within each other.
const DEPTH: usize = 64;

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    List(Vec<Rc<Value>>),
    Map(Vec<(String, Rc<Value>)>),
}

impl Value {
    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Rc<Self>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What a map has under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Rc<Self>> {
        self.entries().iter().find(|it| it.0 == key).map(|it| &it.1)
    }

    /// A scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A list or map that is not at its end yet.
struct Open {
    anchor: usize,
    is_map: bool,
    values: Vec<Rc<Value>>,
}

/// Reads a document; of an empty one, an empty text.
///
/// # Errors
/// Where it is none, with its line.
pub(super) fn parse(text: &str) -> Result<Rc<Value>, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, (Rc<Value>, usize)> = HashMap::new();
    let mut root = None;
    let mut count: usize = 0;
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| {
            format!("line {}: {}", error.marker().line(), yaml_error::in_words(&error.info()))
        })?;
        let failed = |words: &str| Err(format!("line {}: {words}", span.start.line()));
        let is_alias = matches!(event, Event::Alias(_));
        let (value, anchor, size) = match event {
            Event::Scalar(text, _, anchor, _) => {
                (Rc::new(Value::Text(text.into_owned())), anchor, 1)
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some((value, size)) => (value.clone(), 0, *size),
                None => return failed("an alias of what it stands in itself"),
            },
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                if open.len() >= DEPTH {
                    return failed("nested too deep");
                }
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(Open { anchor, is_map, values: Vec::new() });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                let value = match done.is_map {
                    false => Value::List(done.values),
                    true => {
                        let mut entries = Vec::new();
                        for pair in done.values.chunks_exact(2) {
                            let [key, value] = pair else { continue };
                            let Some(key) = key.text() else {
                                return failed("a list or map as a key");
                            };
                            entries.push((key.to_owned(), value.clone()));
                        }
                        Value::Map(entries)
                    }
                };
                let size = if done.anchor == 0 { 0 } else { size_of(&value) };
                (Rc::new(value), done.anchor, size)
            }
            Event::DocumentStart(..) if root.is_some() => {
                return failed("a second document");
            }
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, (value.clone(), size));
        }
        // What a list or map holds is counted already, and what an alias stands for is not.
        count = count.saturating_add(if is_alias { size } else { 1 });
        if count > VALUES {
            return failed("too many values");
        }
        match open.last_mut() {
            Some(open) => open.values.push(value),
            None => root = Some(value),
        }
    }
    Ok(root.unwrap_or_else(|| Rc::new(Value::Text(String::new()))))
}

/// How many values one comes to, at most a little more than [`VALUES`].
fn size_of(value: &Value) -> usize {
    let mut size: usize = 1;
    let mut add = |inner: &Rc<Value>| {
        if size <= VALUES {
            size = size.saturating_add(size_of(inner));
        }
    };
    match value {
        Value::Text(_) => {}
        Value::List(items) => items.iter().for_each(&mut add),
        Value::Map(entries) => entries.iter().for_each(|it| add(&it.1)),
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_their_texts() {
        let read = parse("a: 52:54:00:12:34:56\nb: &x [yes, 0o7]\nc: *x\n").unwrap();
        assert_eq!(read.get("a").and_then(|it| it.text()), Some("52:54:00:12:34:56"));
        assert_eq!(format!("{:?}", read.get("c").unwrap()), r#"List([Text("yes"), Text("0o7")])"#);
        assert_eq!(parse("").unwrap().text(), Some(""));
        for (text, part) in [
            ("a: [", "line "),
            ("a: &x [*x]", "itself"),
            ("a: 1\n---\nb: 2\n", "line 2: a second"),
            ("{[1]: 2}", "as a key"),
        ] {
            let words = parse(text).unwrap_err();
            assert!(words.contains(part), "{text}: {words}");
        }
    }

    #[test]
    fn aliases_of_aliases_are_no_way_to_hold_us_up() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for level in b'b'..=b'z' {
            let (above, level) = (char::from(level - 1), char::from(level));
            let aliases = vec![format!("*{above}"); 9].join(", ");
            text.push_str(&format!("{level}: &{level} [{aliases}]\n"));
        }
        assert!(parse(&text).unwrap_err().contains("too many"));
        let deep = "[".repeat(DEPTH + 1) + &"]".repeat(DEPTH + 1);
        assert!(parse(&deep).unwrap_err().contains("too deep"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
    }
}
