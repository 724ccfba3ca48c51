//! cloud-config: YAML that cloud-init's own schema describes.

use super::said::{Origin, START, Said};
use super::schema::{CLOUD_CONFIG, Kind};
use crate::yaml::{self, Value};

const HEADER: &str = "#cloud-config";

pub(super) fn check(text: &str, origin: &Origin, said: &mut Said) {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(problem) => {
            let hint = match text.contains("{{") {
                true => "; what is in '{{ }}' is rendered below '## template: jinja' alone",
                false => "",
            };
            return said.wrong(origin, problem.at, problem.message + hint);
        }
    };
    let first = text.trim_start().lines().next().unwrap_or_default().trim_end();
    if let Some(rest) = first.strip_prefix(HEADER)
        && !rest.is_empty()
        && !rest.starts_with(char::is_whitespace)
    {
        let message = format!("cloud-init takes '{first}' for '{HEADER}'");
        said.note(origin, START, message);
    }
    said.repeated(origin, &document);
    match document.root.value {
        Value::Map(_) => {}
        Value::Null => {
            let message = "no settings are in it, which cloud-init takes for an error; leave it \
                           out, or write {}";
            return said.wrong(origin, START, message);
        }
        _ => {
            let kind = document.root.value.kind();
            let message = format!("a cloud-config is a map of settings, not {kind}");
            return said.wrong(origin, document.root.at, message);
        }
    }
    for finding in CLOUD_CONFIG.check(&document.root) {
        match finding.kind {
            Kind::Note => said.note(origin, finding.at, finding.message()),
            _ => said.wrong(origin, finding.at, finding.message()),
        }
    }
}
