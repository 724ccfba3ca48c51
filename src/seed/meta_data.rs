//! meta-data: which machine it is, as NoCloud reads it.

use super::said::{Origin, START, Said};
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
            "instance-id" if !is_name => {
                let message = "'instance-id' is a text that is not empty; put it in quotes";
                said.wrong(origin, entry.at, message);
            }
            "local-hostname" | "hostname" if !is_name => {
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
