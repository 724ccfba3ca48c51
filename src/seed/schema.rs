//! A document against a JSON Schema: the part of draft 4 that cloud-init's schemas use, with
//! cloud-init's own meaning of `deprecated` and `changed`, which say something and refuse nothing.
//!
//! Nothing of a value is ever told: it may be a password.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

use crate::problem::{At, did_you_mean};
use crate::yaml::scalar::is_date;
use crate::yaml::{Node, Value};

/// Schemas within each other. cloud-init's are a dozen deep, and a document as deep as it may be
/// ends them.
const DEPTH: usize = 200;

/// How much is told of one document: so many mistakes, or so many notes.
const FINDINGS: usize = 100;

/// How many items that are no text are compared with each other.
const COMPARED: usize = 1000;

/// Of a longer list of words only the nearest is told.
const WORDS: usize = 12;

/// A schema: a whole file, whose parts name each other.
#[derive(Debug)]
pub(super) struct Schema(Json);

macro_rules! schema {
    ($name:literal) => {
        LazyLock::new(|| {
            // Its text is this repository's own, and a test reads it.
            Schema(
                serde_json::from_str(include_str!(concat!("schemas/", $name))).unwrap_or_default(),
            )
        })
    };
}

/// Of cloud-config.
pub(super) static CLOUD_CONFIG: LazyLock<Schema> = schema!("schema-cloud-config-v1.json");
/// Of network-config, version 1.
pub(super) static NETWORK_1: LazyLock<Schema> = schema!("schema-network-config-v1.json");
/// Of network-config, version 2.
pub(super) static NETWORK_2: LazyLock<Schema> = schema!("schema-network-config-v2.json");

/// What a schema says of a place in a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) at: At,
    /// The keys that lead there.
    path: Vec<String>,
    pub(super) kind: Kind,
    message: String,
}

/// What kind of finding it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It has to be another way.
    Wrong,
    /// The same: a value of another type than these.
    Type(Vec<String>),
    /// The same: a key that the schema does not have.
    Unknown,
    /// It is taken, and something is to be known.
    Note,
}

impl Finding {
    fn is_wrong(&self) -> bool {
        self.kind != Kind::Note
    }

    /// The value it is about, in the document it was found in.
    pub(super) fn value<'a>(&self, root: &'a Node) -> Option<&'a Value> {
        let mut node = root;
        for name in &self.path {
            node = match &node.value {
                Value::List(items) => items.get(name.parse::<usize>().ok()?)?,
                _ => &node.entries().iter().find(|it| it.key == *name)?.value,
            };
        }
        Some(&node.value)
    }

    /// The finding with the path it is about.
    pub(super) fn message(&self) -> String {
        match self.path.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", self.path.join("."), self.message),
        }
    }
}

/// A node on the way through a schema.
#[derive(Clone)]
struct Place<'a> {
    node: &'a Node,
    /// Where its key stands, if it has one.
    key: Option<At>,
    path: Vec<String>,
    depth: usize,
}

impl Place<'_> {
    /// Where to point: at a scalar itself, else at the key, whose value begins on another line.
    fn at(&self) -> At {
        match (self.key, &self.node.value) {
            (Some(key), Value::Null | Value::List(_) | Value::Map(_)) => key,
            _ => self.node.at,
        }
    }

    fn finding(&self, kind: Kind, message: impl Into<String>) -> Finding {
        Finding { at: self.at(), path: self.path.clone(), kind, message: message.into() }
    }

    fn wrong(&self, message: impl Into<String>) -> Finding {
        self.finding(Kind::Wrong, message)
    }
}

impl Schema {
    /// Everything that the schema says of a document.
    pub(super) fn check(&self, root: &Node) -> Vec<Finding> {
        self.check_part("", root)
    }

    /// Everything that a part of the schema, by its JSON pointer, says of a value.
    pub(super) fn check_part(&self, pointer: &str, node: &Node) -> Vec<Finding> {
        let place = Place { node, key: None, path: Vec::new(), depth: 0 };
        let check = Check { whole: &self.0, patterns: RefCell::default() };
        let mut found = Vec::new();
        if let Some(part) = self.0.pointer(pointer) {
            check.walk(part, &place, &mut found);
        }
        // The same part of a schema may be gone through twice.
        found.sort_by(|a, b| (a.at, &a.path, &a.message).cmp(&(b.at, &b.path, &b.message)));
        found.dedup();
        found
    }
}

/// A check while it is made.
struct Check<'a> {
    whole: &'a Json,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl Check<'_> {
    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        if !patterns.contains_key(pattern) {
            patterns.insert(pattern.to_owned(), Regex::new(pattern).ok());
        }
        patterns.get(pattern).and_then(Option::as_ref).is_some_and(|it| it.is_match(text))
    }

    fn walk(&self, schema: &Json, place: &Place<'_>, found: &mut Vec<Finding>) {
        let Some(schema) = schema.as_object() else { return };
        if is_full(found) {
            return;
        }
        if place.depth > DEPTH {
            found.push(place.wrong("nested too deep"));
            return;
        }
        let place = &Place { depth: place.depth + 1, ..place.clone() };
        if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            let part = target.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
            self.walk(part.unwrap_or(&Json::Null), place, found);
        }
        for word in ["deprecated", "changed"] {
            if schema.get(word) == Some(&Json::Bool(true)) && found.len() < FINDINGS {
                let of = |part: &str| {
                    let text = schema.get(&format!("{word}_{part}")).and_then(Json::as_str);
                    text.unwrap_or_default().replace("``", "'")
                };
                let note = format!("{word} in cloud-init {}. {}", of("version"), of("description"));
                found.push(place.finding(Kind::Note, note.trim_end()));
            }
        }
        let types = words(schema.get("type"));
        if !types.is_empty() && !types.iter().any(|it| is_a(&place.node.value, it)) {
            found.push(of_type(place, types));
        }
        if let Some(values) = schema.get("enum").and_then(Json::as_array)
            && !values.iter().any(|it| equal(&place.node.value, it))
        {
            found.push(place.wrong(one_of(place.node, values)));
        }
        match &place.node.value {
            Value::Map(_) => self.map(schema, place, found),
            Value::List(items) => {
                let count = items.len() as u64;
                limits(schema, "Items", count, "item", place, found);
                if schema.get("uniqueItems") == Some(&Json::Bool(true)) {
                    found.extend(twice(items).map(|item| Finding {
                        at: item.at,
                        ..place.wrong("an item stands in it twice")
                    }));
                }
                if let Some(of_items) = schema.get("items") {
                    for (number, item) in items.iter().enumerate() {
                        let mut path = place.path.clone();
                        path.push(number.to_string());
                        let inner = Place { node: item, key: None, path, depth: place.depth };
                        self.walk(of_items, &inner, found);
                    }
                }
            }
            Value::Text(text) => self.text(schema, text, place, found),
            Value::Integer(number) => {
                let limit = |name: &str| schema.get(name).and_then(Json::as_i64);
                if let Some(least) = limit("minimum").filter(|it| number < it) {
                    found.push(place.wrong(format!("is {least} at least")));
                }
                if let Some(most) = limit("maximum").filter(|it| number > it) {
                    found.push(place.wrong(format!("is {most} at most")));
                }
            }
            _ => {}
        }
        self.combined(schema, place, found);
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn combined(
        &self,
        schema: &serde_json::Map<String, Json>,
        place: &Place<'_>,
        found: &mut Vec<Finding>,
    ) {
        let list = |name: &str| schema.get(name).and_then(Json::as_array);
        for part in list("allOf").into_iter().flatten() {
            self.walk(part, place, found);
        }
        for (parts, only) in [(list("anyOf"), false), (list("oneOf"), true)] {
            let Some(parts) = parts else { continue };
            let mut tried: Vec<Vec<Finding>> = Vec::new();
            for part in parts {
                let mut inner = Vec::new();
                self.walk(part, place, &mut inner);
                tried.push(inner);
            }
            let fits = |found: &Vec<Finding>| !found.iter().any(Finding::is_wrong);
            match tried.iter().filter(|it| fits(it)).count() {
                0 => found.extend(nearest(place, tried)),
                1 => found.extend(tried.into_iter().find(fits).unwrap_or_default()),
                _ if only => found.push(place.wrong("fits several forms that exclude each other")),
                _ => found.extend(tried.into_iter().find(fits).unwrap_or_default()),
            }
        }
        if let Some(part) = schema.get("not") {
            let mut inner = Vec::new();
            self.walk(part, place, &mut inner);
            if !inner.iter().any(Finding::is_wrong) {
                let names = words(part.get("required")).join("' and '");
                found.push(place.wrong(format!("'{names}' do not go together; keep one")));
            }
        }
    }

    fn map(
        &self,
        schema: &serde_json::Map<String, Json>,
        place: &Place<'_>,
        found: &mut Vec<Finding>,
    ) {
        let entries = place.node.entries();
        limits(schema, "Properties", entries.len() as u64, "key", place, found);
        for key in words(schema.get("required")) {
            if place.node.entry(&key).is_none() {
                found.push(place.wrong(format!("'{key}' is missing")));
            }
        }
        let known = schema.get("properties").and_then(Json::as_object);
        let patterns = schema.get("patternProperties").and_then(Json::as_object);
        for entry in entries {
            if is_full(found) {
                return;
            }
            let mut path = place.path.clone();
            path.push(entry.key.clone());
            let inner = Place { node: &entry.value, key: Some(entry.at), path, depth: place.depth };
            let is_text = entry.odd.is_none();
            let mut taken = false;
            if let Some(part) = known.filter(|_| is_text).and_then(|it| it.get(&entry.key)) {
                taken = true;
                self.walk(part, &inner, found);
            }
            for (pattern, part) in patterns.into_iter().flatten() {
                if is_text && self.matches(pattern, &entry.key) {
                    taken = true;
                    self.walk(part, &inner, found);
                }
            }
            match schema.get("additionalProperties") {
                _ if taken => {}
                Some(Json::Bool(false)) => {
                    let message = match entry.odd {
                        Some(kind) => format!(
                            "the key '{}' is {kind} for cloud-init (YAML 1.1); put it in quotes",
                            entry.key
                        ),
                        None => {
                            let names = known.into_iter().flatten().map(|(name, _)| name.as_str());
                            let near = did_you_mean(&entry.key, names);
                            format!("there is no key '{}'{near}", entry.key)
                        }
                    };
                    found.push(Finding {
                        at: entry.at,
                        path: place.path.clone(),
                        kind: Kind::Unknown,
                        message,
                    });
                }
                Some(part) => self.walk(part, &inner, found),
                None => {}
            }
        }
    }

    fn text(
        &self,
        schema: &serde_json::Map<String, Json>,
        text: &str,
        place: &Place<'_>,
        found: &mut Vec<Finding>,
    ) {
        let word = |name: &str| schema.get(name).and_then(Json::as_str);
        if let Some(most) = schema.get("maxLength").and_then(Json::as_u64)
            && text.chars().count() as u64 > most
        {
            found.push(place.wrong(format!("has {most} characters at most")));
        }
        if let Some(pattern) = word("pattern").filter(|pattern| !self.matches(pattern, text)) {
            found.push(place.wrong(format!("does not have the form {pattern}")));
        }
        // The other formats need packages that cloud-init does not ask for, and are not looked at.
        if word("format") == Some("date") {
            let mut parts = text.splitn(3, '-').map(|part| part.parse::<u32>().ok());
            let mut part = || parts.next().flatten();
            let is = match (part(), part(), part()) {
                (Some(year), Some(month), Some(day)) => {
                    text.len() == 10 && is_date(year, month, day)
                }
                _ => false,
            };
            if !is {
                found.push(place.wrong("takes a date, as in 2030-12-31"));
            }
        }
    }
}

/// Whether enough is wrong to be told.
fn is_full(found: &[Finding]) -> bool {
    found.len() >= FINDINGS && found.iter().filter(|it| it.is_wrong()).count() >= FINDINGS
}

/// Of forms none of which fits, what is wrong with the one that was meant.
fn nearest(place: &Place<'_>, tried: Vec<Vec<Finding>>) -> Vec<Finding> {
    let here = place.path.len();
    let wrong = tried
        .into_iter()
        .map(|found| found.into_iter().filter(Finding::is_wrong).collect::<Vec<Finding>>());
    let (others, meant): (Vec<_>, Vec<_>) = wrong.partition(|found| {
        found.iter().any(|it| it.path.len() == here && matches!(it.kind, Kind::Type(_)))
    });
    if meant.is_empty() {
        let mut types: Vec<String> = Vec::new();
        for finding in others.into_iter().flatten() {
            match finding.kind {
                Kind::Type(more) if finding.path.len() == here => types.extend(more),
                _ => {}
            }
        }
        let mut known = Vec::new();
        types.retain(|it| {
            !known.contains(it) && {
                known.push(it.clone());
                true
            }
        });
        return vec![of_type(place, types)];
    }
    // A key named 'type' says which form it is.
    let by_type = |found: &Vec<Finding>| {
        found
            .iter()
            .any(|it| it.path.len() == here + 1 && it.path.last().is_some_and(|it| it == "type"))
    };
    meant.into_iter().min_by_key(|found| (by_type(found), found.len())).unwrap_or_default()
}

/// A finding of a value's type.
fn of_type(place: &Place<'_>, types: Vec<String>) -> Finding {
    let named: Vec<&str> = types
        .iter()
        .map(|it| match it.as_str() {
            "string" => "text",
            "object" => "a map",
            "array" => "a list",
            "boolean" => "true or false",
            "integer" => "a whole number",
            "number" => "a number",
            "null" => "nothing",
            other => other,
        })
        .collect();
    let is = place.node.value.kind();
    let hint = match &place.node.value {
        Value::Bool(_) if named.contains(&"text") => {
            "; yes, no, on and off are booleans for cloud-init (YAML 1.1): put it in quotes"
        }
        Value::Integer(_) | Value::Fraction | Value::Date if named.contains(&"text") => {
            "; put it in quotes"
        }
        Value::Map(_) if named.contains(&"text") => "; text that holds ': ' has to be in quotes",
        _ => "",
    };
    let message = format!("takes {}, not {is}{hint}", named.join(" or "));
    place.finding(Kind::Type(types), message)
}

fn one_of(node: &Node, values: &[Json]) -> String {
    let names: Vec<String> = values
        .iter()
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    let near = node.text().map(|text| did_you_mean(text, names.iter().map(String::as_str)));
    let near = near.unwrap_or_default();
    match names.len() <= WORDS {
        true => format!("takes one of {}{near}", names.join(", ")),
        false => format!("takes one of {} words, and this is none of them{near}", names.len()),
    }
}

/// A text or a list of texts.
fn words(value: Option<&Json>) -> Vec<String> {
    match value {
        Some(Json::String(word)) => vec![word.clone()],
        Some(Json::Array(list)) => {
            list.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Integer(_) => name == "integer" || name == "number",
        Value::Fraction => name == "number",
        Value::Date => false,
        Value::Text(_) | Value::Binary(_) => name == "string",
        Value::List(_) => name == "array",
        Value::Map(_) => name == "object",
    }
}

fn equal(value: &Value, json: &Json) -> bool {
    match (value, json) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Integer(a), Json::Number(b)) => b.as_i64() == Some(*a),
        (Value::Text(a), Json::String(b)) => a == b,
        _ => false,
    }
}

fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Binary(a), Value::Binary(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(_)) => {
            a.len() == b.entries().len()
                && a.iter().all(|it| {
                    b.entries()
                        .iter()
                        .any(|other| it.key == other.key && same(&it.value, &other.value))
                })
        }
        _ => false,
    }
}

/// The first item that stands in the list before.
fn twice(items: &[Rc<Node>]) -> Option<&Node> {
    let mut texts = HashSet::new();
    let mut others: Vec<&Node> = Vec::new();
    for item in items {
        let again = match item.text() {
            Some(text) => !texts.insert(text),
            None => others.iter().any(|it| same(it, item)),
        };
        if again {
            return Some(item);
        }
        if item.text().is_none() && others.len() < COMPARED {
            others.push(item);
        }
    }
    None
}

/// `minItems` and its like.
fn limits(
    schema: &serde_json::Map<String, Json>,
    what: &str,
    count: u64,
    one: &str,
    place: &Place<'_>,
    found: &mut Vec<Finding>,
) {
    let limit = |which: &str| schema.get(&format!("{which}{what}")).and_then(Json::as_u64);
    let many = |limit: u64| if limit == 1 { one.to_owned() } else { format!("{one}s") };
    if let Some(least) = limit("min").filter(|least| count < *least) {
        found.push(place.wrong(format!("has {least} {} at least, and {count} here", many(least))));
    }
    if let Some(most) = limit("max").filter(|most| count > *most) {
        found.push(place.wrong(format!("has {most} {} at most, and {count} here", many(most))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every keyword that is used, wherever a schema stands.
    fn keywords(schema: &Json, used: &mut std::collections::BTreeSet<String>) {
        let Some(map) = schema.as_object() else { return };
        for (key, value) in map {
            used.insert(key.clone());
            match (key.as_str(), value) {
                ("properties" | "patternProperties" | "$defs", Json::Object(parts)) => {
                    parts.values().for_each(|it| keywords(it, used));
                }
                ("oneOf" | "anyOf" | "allOf", Json::Array(parts)) => {
                    parts.iter().for_each(|it| keywords(it, used));
                }
                ("items", Json::Array(_)) => panic!("a list of items is not known here"),
                ("items" | "additionalProperties" | "not", part) => keywords(part, used),
                _ => {}
            }
        }
    }

    #[test]
    fn no_schema_uses_what_is_not_known_here() {
        let known = "$defs $ref $schema additionalProperties allOf anyOf changed changed_description \
            changed_version deprecated deprecated_description deprecated_version enum format items \
            maxItems maxLength maximum minItems minProperties minimum not oneOf pattern \
            patternProperties properties required type uniqueItems";
        // Of draft 4 these say nothing where 'items' is no list, or nothing at all.
        let idle = "additionalItems default description hidden label prefixItems";
        for schema in [&CLOUD_CONFIG, &NETWORK_1, &NETWORK_2] {
            let mut used = std::collections::BTreeSet::new();
            keywords(&schema.0, &mut used);
            assert!(used.len() > 5);
            for word in used {
                assert!(known.split(' ').chain(idle.split(' ')).any(|it| it == word), "{word}");
            }
            let text = schema.0.to_string();
            for (at, _) in text.match_indices("\"$ref\":\"") {
                let rest = &text[at + 8..];
                let target = &rest[..rest.find('"').unwrap()];
                assert!(schema.0.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
            }
        }
    }
}
