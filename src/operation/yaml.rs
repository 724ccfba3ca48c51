//! A YAML document as a tree whose every node knows its line and column.
//!
//! Reading into a tree first, and only then into an operation, is what lets every
//! problem of a file be told at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::problem::{At, Problem};
use crate::yaml_error;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Yaml,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Integer(i64),
    Fraction,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: At,
    pub(crate) key: String,
    pub(crate) value: Node,
}

impl Yaml {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Fraction => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl From<&serde_json::Value> for Node {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let at = At { line: 1, column: 1 };
        let value = match value {
            Json::Null => Yaml::Null,
            Json::Bool(flag) => Yaml::Bool(*flag),
            Json::Number(number) => number.as_i64().map_or(Yaml::Fraction, Yaml::Integer),
            Json::String(text) => Yaml::Text(text.clone()),
            Json::Array(list) => Yaml::List(list.iter().map(Self::from).collect()),
            Json::Object(map) => {
                let entry = |(key, value): (&String, &Json)| Entry {
                    at,
                    key: key.clone(),
                    value: Self::from(value),
                };
                Yaml::Map(map.iter().map(entry).collect())
            }
        };
        Self { at, value }
    }
}

/// Reads one document. Keys that are given twice stay in it, for the reader to tell.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    // `y`, `no` and `on` are text, as in YAML 1.2: a file's content may well be one of them.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let at = error
            .location()
            .map_or(At { line: 1, column: 1 }, |it| At { line: it.line(), column: it.column() });
        Problem::new(at, in_words(error.without_snippet()))
    })
}

/// A parser's error in words that say what to do.
fn in_words(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::MultipleDocuments { .. } = error {
        return "a second document begins here, and a file holds one operation; put the other into \
                a file of its own"
            .into();
    }
    yaml_error::in_words(&error.to_string())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        let (line, column) = (spanned.referenced.line(), spanned.referenced.column());
        Ok(Self { at: At { line, column }, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(i64::try_from(value).map_or_else(|_| Yaml::Text(value.to_string()), Yaml::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Yaml, E> {
        Ok(Yaml::Fraction)
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = At { line: key.referenced.line(), column: key.referenced.column() };
            entries.push(Entry { at, key: key.value, value: map.next_value()? });
        }
        Ok(Yaml::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_place() {
        let node = parse("a: 1\nlist:\n  - x\n  - {k: [true, null]}\n").unwrap();
        let Yaml::Map(entries) = &node.value else { panic!("{node:?}") };
        assert_eq!(entries[1].at, At { line: 2, column: 1 });
        let Yaml::List(items) = &entries[1].value.value else { panic!() };
        assert_eq!(items[1].at, At { line: 4, column: 5 });
        let Yaml::Map(inner) = &items[1].value else { panic!() };
        assert_eq!(inner[0].value.at, At { line: 4, column: 9 });
    }

    #[test]
    fn a_broken_document_says_where_and_what_to_do() {
        for (text, line, column, part) in [
            ("a: [1\nb: 2\n", 2, 2, "close the bracket"),
            ("a: [1\n", 1, 4, "unclosed"),
            ("a: b: c\n", 1, 5, "': ' has to be in quotes"),
            ("a: {b: c: d}\n", 1, 9, "has to be in quotes"),
            ("a: [b: c: d]\n", 1, 9, "has to be in quotes"),
            ("a: 1\n  b: 2\n", 2, 4, "begin in the same column"),
            ("a:\n  - b: 1\n   - c: 2\n", 3, 4, "stand in the same column"),
            ("a: 1\n---\na: 2\n", 3, 1, "a second document begins here"),
            ("a:\n\t- b\n", 2, 2, "indent with spaces"),
            ("a: @b\n", 1, 4, "put it in quotes"),
            ("a: \"b\n", 1, 4, "the quote is not closed"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.message.contains(part), "{text}: {problem:?}");
            assert_eq!(problem.at, At { line, column }, "{text}: {problem:?}");
        }
    }
}
