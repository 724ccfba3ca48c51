//! network-config in cloud-init's version 1, or in version 2, which is netplan's.

use super::address;
use super::said::{Origin, START, Said};
use super::schema::{Finding, Kind, NETWORK_1, NETWORK_2, Schema};
use crate::problem::At;
use crate::yaml::{Node, Value};

pub(super) fn check(content: &[u8], said: &mut Said) {
    let origin = &Origin::default();
    if content.is_empty() {
        return;
    }
    let Some(document) = said.document(origin, content) else { return };
    let mut node = &document.root;
    // It may stand below a key of its own, as in /etc/netplan.
    if let Some(inner) = node.entry("network") {
        for entry in node.entries().iter().filter(|entry| entry.key != "network") {
            let message = format!("'{}' beside 'network'; move it below", entry.key);
            said.wrong(origin, entry.at, message);
        }
        node = &inner.value;
    }
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("a map with 'version' is due, not {}", node.value.kind());
        let at = if matches!(node.value, Value::Null) { START } else { node.at };
        return said.wrong(origin, at, message);
    }
    // How cloud-init is told to leave the network alone.
    if node.entry("config").and_then(|it| it.value.text()) == Some("disabled") {
        return;
    }
    match node.entry("version").map(|it| (it, &it.value.value)) {
        Some((_, Value::Integer(1))) => {
            let senseless = addresses(1, node, origin, said);
            for finding in findings(&NETWORK_1, 1, node) {
                if !senseless.contains(&finding.at) {
                    tell(&finding, origin, said);
                }
            }
        }
        Some((_, Value::Integer(2))) => {
            let senseless = addresses(2, node, origin, said);
            for finding in findings(&NETWORK_2, 2, node) {
                if senseless.contains(&finding.at) {
                    continue;
                }
                match &finding.kind {
                    // netplan has more keys than the schema, and reads every scalar as text.
                    Kind::Unknown => {
                        let message = format!(
                            "{}: cloud-init's schema of version 2 does not have it; a guest \
                             without netplan would do without",
                            finding.message()
                        );
                        said.note(origin, finding.at, message);
                    }
                    Kind::Type(types) if types.iter().any(|it| it == "string") => {
                        scalar(&finding, node, origin, said);
                    }
                    _ => tell(&finding, origin, said),
                }
            }
        }
        Some((entry, _)) => {
            said.wrong(origin, entry.value.at, "'version' is 1 or 2, a whole number");
        }
        None => {
            let message = "'version' is missing; write 'version: 2' for what netplan takes, or \
                           'version: 1'";
            said.wrong(origin, node.at, message);
        }
    }
}

/// Tells which addresses make no sense, and gives where they are: one mistake is told once.
fn addresses(version: u8, node: &Node, origin: &Origin, said: &mut Said) -> Vec<At> {
    let found = address::check(version, node);
    found.iter().for_each(|(at, problem)| said.wrong(origin, *at, problem));
    found.into_iter().map(|(at, _)| at).collect()
}

fn findings(schema: &Schema, version: u8, node: &Node) -> Vec<Finding> {
    schema.check_part(&format!("/$defs/network_config_version{version}"), node)
}

fn tell(finding: &Finding, origin: &Origin, said: &mut Said) {
    match finding.kind {
        Kind::Note => said.note(origin, finding.at, finding.message()),
        _ => said.wrong(origin, finding.at, finding.message()),
    }
}

/// Text is due, and something else is there: a list or map is wrong for netplan, too.
fn scalar(finding: &Finding, root: &Node, origin: &Origin, said: &mut Said) {
    match finding.value(root) {
        Some(Value::Bool(_) | Value::Integer(_) | Value::Fraction | Value::Date) => {
            said.note(origin, finding.at, finding.message());
        }
        _ => said.wrong(origin, finding.at, finding.message()),
    }
}
