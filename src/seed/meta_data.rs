//! meta-data: which machine it is, as NoCloud reads it.

use super::said::{Origin, START, Said};
use crate::printable;
use crate::problem::nearest;
use crate::yaml::Value;

/// What NoCloud and cloud-init look for in it; anything else is there for templates to read.
const KEYS: [&str; 7] = [
    "instance-id",
    "local-hostname",
    "hostname",
    "public-keys",
    "network-interfaces",
    "dsmode",
    "seedfrom",
];

pub(super) fn check(content: &[u8], said: &mut Said) {
    let origin = &Origin::default();
    let Some(document) = said.document(origin, content) else { return };
    let root = &document.root;
    if !matches!(root.value, Value::Map(_) | Value::Null) {
        let message =
            format!("meta-data is a map such as 'instance-id: …', not {}", root.value.kind());
        return said.wrong(origin, root.at, message);
    }
    for entry in root.entries() {
        let (key, value) = (entry.key.as_str(), &entry.value);
        let is_name = match &value.value {
            Value::Text(text) => !text.trim().is_empty(),
            Value::Integer(_) => true,
            _ => false,
        };
        match key {
            "instance-id" | "local-hostname" | "hostname" if is_name => {
                let text = value.text().unwrap_or_default();
                let problem = match key {
                    "instance-id" => no_instance(text),
                    _ => no_host(text),
                };
                if let Some(problem) = problem {
                    said.wrong(origin, value.at, format!("'{key}': {problem}"));
                }
            }
            "instance-id" => {
                let message = "'instance-id' is a text that is not empty; put it in quotes";
                said.wrong(origin, entry.at, message);
            }
            "local-hostname" | "hostname" => {
                said.wrong(origin, entry.at, format!("'{key}' is a host's name; put it in quotes"));
            }
            "dsmode" => match value.text() {
                Some("disabled") => {
                    let message = "with 'dsmode: disabled' cloud-init would not take the seed";
                    said.wrong(origin, value.at, message);
                }
                Some("local" | "net" | "pass") => {}
                _ => said.wrong(origin, value.at, "'dsmode' is local, net or pass"),
            },
            "network-interfaces" => {
                let message = "cloud-init will not take 'network-interfaces' for ever; write a \
                               network-config";
                said.note(origin, entry.at, message);
            }
            "seedfrom" => {
                let message =
                    "what 'seedfrom' leads to is not looked at, and goes before this seed";
                said.note(origin, entry.at, message);
            }
            _ if KEYS.contains(&key) => {}
            _ => {
                if let Some(near) = nearest(key, KEYS).first() {
                    let message =
                        format!("'{key}' is nothing to cloud-init; did you mean '{near}'?");
                    said.note(origin, entry.at, message);
                }
            }
        }
    }
    if root.entry("instance-id").is_none() {
        said.note(origin, START, "without 'instance-id' cloud-init calls the instance 'nocloud'");
    }
}

/// How many bytes Linux takes in a file's name: an instance has a directory of its own.
const NAME_MAX: usize = 255;

/// How long a host's name is at most, and each part of it (RFC 1123, section 2.1).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Why a text names no instance.
fn no_instance(text: &str) -> Option<String> {
    if text.chars().any(|c| !printable::fits(c)) {
        return Some("has line ends or control characters".to_owned());
    }
    let text = text.trim();
    (text.len() > NAME_MAX || [".", ".."].contains(&text))
        .then(|| format!("an instance is a directory's name: {NAME_MAX} bytes at most"))
}

/// Why a text is no host's name.
fn no_host(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label = |it: &str| {
        (1..=LABEL_MAX).contains(&it.len())
            && it.chars().all(fits)
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    // A number is one, too, and has no text.
    let is_name = text.is_empty() || text.len() <= HOST_MAX && text.split('.').all(is_label);
    (!is_name).then(|| {
        format!(
            "no host's name: letters, digits and '-', in parts of {LABEL_MAX} at most with '.' between"
        )
    })
}
