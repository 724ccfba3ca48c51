//! YAML as cloud-init reads it, by PyYAML's safe loader: YAML 1.1, one document, every node with its
//! place.
//!
//! What that loader takes silently and no author means (a key given twice) is told beside the tree.

pub(crate) mod scalar;

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::problem::{At, Problem};
use crate::yaml_error;

/// How many values a document may come to with its aliases written out. Real ones have hundreds;
/// aliases of aliases ("billion laughs") would have any number.
const VALUES: usize = 100_000;

/// Lists and maps within each other.
const DEPTH: usize = 100;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
    /// Whether it is a text after `|`, line for line: it stands where its first line that is not
    /// empty does.
    pub(crate) literal: bool,
    /// How many values it comes to, itself included.
    values: usize,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Fraction,
    /// A date or time, which YAML 1.1 knows by its look.
    Date,
    Text(String),
    /// What `!!binary` stands for.
    Binary(Vec<u8>),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: At,
    pub(crate) key: String,
    /// What the key is where it is no text, as in `on: x`.
    pub(crate) odd: Option<&'static str>,
    pub(crate) value: Rc<Node>,
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Fraction => "a number",
            Self::Date => "a date",
            Self::Text(_) | Self::Binary(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a map with this key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.odd.is_none() && entry.key == key)
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Rc<Node>,
    /// Keys that stand in a map twice, of which the loader takes the last.
    pub(crate) repeated: Vec<Problem>,
}

/// Reads a document; an empty one is nothing.
///
/// # Errors
/// What the loader would stop at.
pub(crate) fn parse(text: &str) -> Result<Document, Problem> {
    if let Some(problem) = unprintable(text) {
        return Err(problem);
    }
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| {
            let at = at(error.marker());
            Problem::new(at, yaml_error::in_words(&error.info()))
        })?;
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents > 1 {
                let message = "a second document begins here; cloud-init takes none of a file that \
                               has several";
                return Err(Problem::new(at(&span.start), message));
            }
        }
        let start = span.tag_start().unwrap_or(span.start);
        builder.take(event, at(&start))?;
    }
    let nothing = || Rc::new(leaf(At { line: 1, column: 1 }, Value::Null));
    Ok(Document { root: builder.root.unwrap_or_else(nothing), repeated: builder.repeated })
}

fn at(marker: &Marker) -> At {
    At { line: marker.line() as u64, column: marker.col() as u64 + 1 }
}

fn leaf(at: At, value: Value) -> Node {
    Node { at, value, literal: false, values: 1 }
}

/// The first character that the loader takes in no document, not even in a comment.
fn unprintable(text: &str) -> Option<Problem> {
    let printable = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let (mut line, mut column) = (1, 1);
    for c in text.chars() {
        if !printable(c) {
            let message = format!("the character U+{:04X}, which YAML does not take", c as u32);
            return Some(Problem::new(At { line, column }, message));
        }
        match c {
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    None
}

/// A list or map that is not at its end yet.
enum Open {
    List { at: At, anchor: usize, items: Vec<Rc<Node>> },
    Map { at: At, anchor: usize, pairs: Vec<(Key, Rc<Node>)>, key: Option<Key> },
}

/// A key on its way into a map.
struct Key {
    at: At,
    text: String,
    odd: Option<&'static str>,
    /// Whether it is `<<`, whose maps are taken in.
    merges: bool,
}

/// Makes a tree of a parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    repeated: Vec<Problem>,
    /// How many values there are so far, aliases written out.
    values: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: At) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                collection(tag.as_deref(), "seq", at)?;
                self.begin(Open::List { at, anchor, items: Vec::new() }, at)
            }
            Event::MappingStart(_, anchor, tag) => {
                collection(tag.as_deref(), "map", at)?;
                self.begin(Open::Map { at, anchor, pairs: Vec::new(), key: None }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::new(at, "an alias of what it stands in itself"));
                };
                self.place(node, at)
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: At,
    ) -> Result<(), Problem> {
        let is_key = matches!(self.open.last(), Some(Open::Map { key: None, .. }));
        let plain = style == ScalarStyle::Plain && tag.is_none();
        if is_key && plain && text == "<<" {
            return self.key(Key { at, text: text.into(), odd: None, merges: true });
        }
        if is_key && plain && text == "=" {
            return self.key(Key { at, text: text.into(), odd: None, merges: false });
        }
        let value = match tag {
            None if plain => scalar::plain(text),
            None => Ok(Value::Text(text.to_owned())),
            Some(tag) => scalar::tagged(text, tag),
        };
        let mut node = leaf(at, value.map_err(|message| Problem::new(at, message))?);
        node.literal = style == ScalarStyle::Literal;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, at)
    }

    fn begin(&mut self, open: Open, at: At) -> Result<(), Problem> {
        if self.open.len() >= DEPTH {
            return Err(Problem::new(at, format!("nested deeper than {DEPTH} lists and maps")));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let (at, anchor, value) = match self.open.pop() {
            Some(Open::List { at, anchor, items }) => (at, anchor, Value::List(items)),
            Some(Open::Map { at, anchor, pairs, .. }) => {
                (at, anchor, Value::Map(self.merged(pairs)?))
            }
            None => return Ok(()),
        };
        let inner = match &value {
            Value::List(items) => items.iter().map(|it| it.values).sum(),
            Value::Map(entries) => entries.iter().map(|it| it.value.values).sum(),
            _ => 0,
        };
        let node = Rc::new(Node { at, value, literal: false, values: 1 + inner });
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        // Its parts are counted by now.
        self.values -= inner.min(self.values);
        self.place(node, at)
    }

    /// Puts a value where it belongs, which is at `at`: an alias stands elsewhere than its value.
    fn place(&mut self, node: Rc<Node>, at: At) -> Result<(), Problem> {
        self.values += node.values;
        if self.values > VALUES {
            let message = format!("more than {VALUES} values, its aliases written out");
            return Err(Problem::new(at, message));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: key @ Some(_), pairs, .. }) => {
                pairs.extend(key.take().map(|key| (key, node)));
            }
            Some(Open::Map { .. }) => {
                let odd = match &node.value {
                    Value::Text(_) => None,
                    Value::List(_) | Value::Map(_) => {
                        let message = "a list or map as a key: text that holds ': ', '{' or '[' has \
                                       to be in quotes";
                        return Err(Problem::new(at, message));
                    }
                    other => Some(other.kind()),
                };
                let text = match &node.value {
                    Value::Text(text) => text.clone(),
                    Value::Bool(flag) => flag.to_string(),
                    Value::Integer(number) => number.to_string(),
                    other => format!("({})", other.kind()),
                };
                return self.key(Key { at, text, odd, merges: false });
            }
        }
        Ok(())
    }

    fn key(&mut self, new: Key) -> Result<(), Problem> {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
        Ok(())
    }

    /// A map's entries with those that `<<` takes in, which come after its own.
    fn merged(&mut self, pairs: Vec<(Key, Rc<Node>)>) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut taken = Vec::new();
        for (Key { at, text, odd, merges }, value) in pairs {
            if merges {
                taken.extend(maps(&value, at)?);
                continue;
            }
            let entry = Entry { at, key: text, odd, value };
            match known.get(&entry.key) {
                Some(&index) => {
                    let first = entries.get(index).map_or(0, |it| it.at.line);
                    self.repeated.push(Problem::new(
                        at,
                        format!(
                            "'{}' is given twice, first on line {first}, and cloud-init takes the \
                             last alone; keep one",
                            entry.key
                        ),
                    ));
                    if let Some(place) = entries.get_mut(index) {
                        *place = entry;
                    }
                }
                None => {
                    known.insert(entry.key.clone(), entries.len());
                    entries.push(entry);
                }
            }
        }
        for map in taken {
            for entry in map.entries() {
                if !known.contains_key(&entry.key) {
                    known.insert(entry.key.clone(), entries.len());
                    entries.push(entry.clone());
                }
            }
        }
        Ok(entries)
    }
}

/// The maps that `<<` names, the first of which counts most.
fn maps(value: &Rc<Node>, at: At) -> Result<Vec<Rc<Node>>, Problem> {
    let wrong = || Problem::new(at, "'<<' takes a map or a list of maps");
    match &value.value {
        Value::Map(_) => Ok(vec![value.clone()]),
        Value::List(items) if items.iter().all(|it| matches!(it.value, Value::Map(_))) => {
            Ok(items.clone())
        }
        _ => Err(wrong()),
    }
}

/// Whether a list or map is tagged as what it is.
fn collection(tag: Option<&Tag>, name: &str, at: At) -> Result<(), Problem> {
    match tag {
        Some(tag) if scalar::name(tag).as_deref() != Some(name) && scalar::name(tag).is_some() => {
            Err(Problem::new(at, format!("the tag {} is not taken here", tag.original())))
        }
        Some(tag) if scalar::name(tag).is_none() && tag.original() != "!" => {
            Err(Problem::new(at, scalar::unknown(tag)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as JSON, with `{"(a date)": …}` and its like for what JSON has not.
    fn shown(node: &Node) -> serde_json::Value {
        use serde_json::{Value as Json, json};
        match &node.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => json!(flag),
            Value::Integer(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::Fraction | Value::Date => json!(format!("({})", node.value.kind())),
            Value::Binary(bytes) => json!(format!("({} bytes)", bytes.len())),
            Value::List(items) => items.iter().map(|it| shown(it)).collect(),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|it| (it.key.clone(), shown(&it.value))).collect())
            }
        }
    }

    #[test]
    fn values_are_those_of_yaml_1_1() {
        for (text, wanted) in [
            ("[yes, No, on, OFF, y, true]", r#"[true, false, true, false, "y", true]"#),
            (
                "[0644, 0o644, 0x1F, 0b11, 1_000, 1:30, -7, 08]",
                r#"[420, "0o644", 31, 3, 1000, 90, -7, "08"]"#,
            ),
            (
                "[1.5, 1e3, 1.0e+3, .5, .inf, 1.2.3]",
                r#"["(a number)", "1e3", "(a number)", "(a number)", "(a number)", "1.2.3"]"#,
            ),
            ("[~, null, '', \"~\", Null]", r#"[null, null, "", "~", null]"#),
            (
                "[2024-01-31, 2024-1-31, '2024-01-31', 2001-12-14t21:59:43.10-05:00]",
                r#"["(a date)", "2024-1-31", "2024-01-31", "(a date)"]"#,
            ),
            ("[!!str 5, !!int '5', !!binary aGk=, ! x]", r#"["5", 5, "(2 bytes)", "x"]"#),
            ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}"#),
            (
                "- &p {k: 1}\n- &q {k: 2, l: 2}\n- {<<: [*p, *q], m: 3}\n",
                r#"[{"k":1},{"k":2,"l":2},{"k":1,"l":2,"m":3}]"#,
            ),
            ("on: 1\n5: 2\n=: 3\n", r#"{"true":1,"5":2,"=":3}"#),
            ("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#),
            ("", "null"),
            ("# nothing\n", "null"),
            ("\u{feff}a: 1", r#"{"a":1}"#),
            ("a: 1\r\nb: [x,\r\n  y]\r\n", r#"{"a":1,"b":["x","y"]}"#),
        ] {
            let document = parse(text).unwrap_or_else(|it| panic!("{text}: {it:?}"));
            let wanted: serde_json::Value = serde_json::from_str(wanted).unwrap();
            assert_eq!(shown(&document.root), wanted, "{text}");
            assert_eq!(document.repeated, [], "{text}");
        }
    }

    #[test]
    fn what_the_loader_stops_at_is_told_with_its_place() {
        let deep = "[".repeat(DEPTH + 1) + &"]".repeat(DEPTH + 1);
        for (text, line, column, part) in [
            ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
            ("a: *b\n", 1, 4, "anchor"),
            ("a: &b [*b]\n", 1, 8, "what it stands in"),
            ("{[1]: 2}", 1, 2, "as a key"),
            ("a: !unknown x\n", 1, 4, "!unknown"),
            ("a: !!python/object:x {}\n", 1, 4, "python/object:x"),
            ("a: !!set {b}\n", 1, 4, "!!set"),
            ("a: !!int x\n", 1, 4, "!!int"),
            ("a: =\n", 1, 4, "in quotes"),
            ("a: <<\n", 1, 4, "in quotes"),
            ("<<: 5\n", 1, 1, "a map or a list of maps"),
            ("a: 2024-13-01\n", 1, 4, "no date"),
            ("a: \u{7}\n", 1, 4, "U+0007"),
            ("a:\n\tb\n", 2, 2, "a tab"),
            (deep.as_str(), 1, 101, "nested deeper"),
        ] {
            let problem = parse(text).map(|it| shown(&it.root)).unwrap_err();
            assert!(problem.message.contains(part), "{text}: {problem:?}");
            assert_eq!(problem.at, At { line, column }, "{text}: {problem:?}");
        }
    }

    #[test]
    fn keys_given_twice_are_told() {
        let document = parse("a: 1\nb: {c: 1, c: 2}\na: 3\n").unwrap();
        let places: Vec<At> = document.repeated.iter().map(|it| it.at).collect();
        assert_eq!(places, [At { line: 2, column: 11 }, At { line: 3, column: 1 }]);
        assert_eq!(shown(&document.root).to_string(), r#"{"a":3,"b":{"c":2}}"#);
    }

    #[test]
    fn aliases_of_aliases_are_no_way_to_hold_us_up() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for level in b'b'..=b'z' {
            let (above, level) = (char::from(level - 1), char::from(level));
            let aliases = vec![format!("*{above}"); 9].join(", ");
            text.push_str(&format!("{level}: &{level} [{aliases}]\n"));
        }
        let problem = parse(&text).unwrap_err();
        assert!(problem.message.contains("values"), "{problem:?}");
        assert_eq!(problem.at.line, 6);
        let many = format!("[{}]", "1,".repeat(VALUES + 1));
        assert!(parse(&many).unwrap_err().message.contains("values"));
    }
}
