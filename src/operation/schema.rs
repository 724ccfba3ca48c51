//! The operation's file as a table, and the JSON Schema made from it.

use serde_json::{Map, Value as Json, json};

use super::comes_back;
use super::evidence::EVIDENCE;
use super::shape::Keyed;
use super::shape::{Field, Shape};
use super::step::VERBS;
use super::when;

/// What an operation protects against.
pub(crate) const CLASSES: &[&str] =
    &["identity", "secret", "network", "log", "cache", "crash", "cloud", "user-data", "settings"];

/// The types a parameter may have.
pub(crate) const PARAMETER_TYPES: &[&str] = &["text", "integer", "boolean"];

const PARAMETER: &[Field] = &[
    Field::required("name", Shape::Name, "the name in '--set NAME=VALUE' and in '{NAME}'"),
    Field::required("type", Shape::OneOf(PARAMETER_TYPES), "what values it takes"),
    Field::required("default", Shape::Scalar, "the value where none is set"),
    Field::required("help", Shape::Line, "what it is for"),
];

/// The fields of an operation's file.
pub(crate) const OPERATION: &[Field] = &[
    Field::required("name", Shape::Name, "the operation's name"),
    Field::required("summary", Shape::Line, "what it does, in one line without a period"),
    Field::required("why", Shape::Line, "why an image is better without"),
    Field::required("class", Shape::OneOf(CLASSES), "what it protects against"),
    Field::required("default", Shape::Bool, "whether it runs when nothing is selected"),
    Field::optional("when", Shape::Map(when::FIELDS), "which guests it is for"),
    Field::optional(
        "parameters",
        Shape::List(&Shape::Map(PARAMETER)),
        "values that '--set' may change",
    ),
    Field::optional("steps", Shape::Steps, "what is done, in order"),
    Field::optional(
        "comes-back",
        Shape::Some(&Shape::Map(comes_back::FIELDS)),
        "what the guest needs again, and what makes it anew",
    ),
];

/// The JSON Schema (draft 2020-12) of an operation's file.
pub fn json_schema() -> Json {
    let mut schema = map(&[OPERATION]);
    let steps: Vec<Json> = VERBS.iter().map(|verb| entry(verb, verb.help)).collect();
    let evidence: Vec<Json> = EVIDENCE.iter().map(|kind| entry(kind, kind.help)).collect();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".into(), json!("sysprep-rs operation"));
        object.insert(
            "$defs".into(),
            json!({ "step": { "oneOf": steps }, "evidence": { "oneOf": evidence } }),
        );
    }
    schema
}

/// A map with one key.
fn entry(of: &impl Keyed, help: &str) -> Json {
    let mut arguments = map(&of.tables());
    if let Some(field) = of.short_field() {
        arguments = json!({ "anyOf": [arguments, shape(&field.shape)] });
    }
    json!({
        "type": "object",
        "description": help,
        "properties": { of.name(): arguments },
        "required": [of.name()],
        "additionalProperties": false,
    })
}

fn map(tables: &[&'static [Field]]) -> Json {
    let fields = || tables.iter().flat_map(|table| table.iter());
    let mut properties = Map::new();
    for field in fields() {
        let mut value = shape(&field.shape);
        if let Some(object) = value.as_object_mut() {
            object.insert("description".into(), json!(field.help));
        }
        properties.insert(field.name.into(), value);
    }
    let required: Vec<&str> =
        fields().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn shape(shape_of: &Shape) -> Json {
    match shape_of {
        Shape::Line => json!({ "type": "string", "pattern": "^[^\\n]+$" }),
        Shape::Text | Shape::Secret => json!({ "type": "string" }),
        // Within a step a boolean may be a parameter's value.
        Shape::Bool => {
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^\\{[a-z][a-z0-9-]*\\}$" }] })
        }
        Shape::Scalar => json!({ "type": ["string", "integer", "boolean"] }),
        Shape::Name => json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]*$" }),
        Shape::Mode => {
            json!({ "type": "string", "pattern": "^((0o)?[0-7]{3,5}|.*\\{[a-z][a-z0-9-]*\\}.*)$" })
        }
        Shape::ModeChange => json!({
            "type": "string",
            "pattern": "^((0o)?[0-7]{3,5}|[ugoa]*([-+=][rwxXst]*)+(,[ugoa]*([-+=][rwxXst]*)+)*|.*\\{[a-z][a-z0-9-]*\\}.*)$"
        }),
        Shape::Owner => json!({ "type": ["string", "integer"] }),
        Shape::Path => json!({ "type": "string", "pattern": "^(/|\\{)" }),
        Shape::Pattern => json!({ "type": "string", "pattern": "^(~?/|\\{)" }),
        Shape::FileName => json!({ "type": "string", "pattern": "^[^/]+$" }),
        // Not "format": "regex": a parameter in it makes it one only when it is filled in.
        Shape::Regex => json!({ "type": "string" }),
        // A parameter may stand for it.
        Shape::OneOf(words) => {
            json!({ "anyOf": [{ "enum": words }, { "pattern": r"^\{[a-z0-9-]+\}$" }] })
        }
        Shape::Some(one) => {
            let one = shape(one);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Shape::List(one) => json!({ "type": "array", "items": shape(one) }),
        Shape::Map(fields) => map(&[fields]),
        Shape::Steps => {
            json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } })
        }
        Shape::Evidence => {
            json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/evidence" } })
        }
    }
}
