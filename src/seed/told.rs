//! What a guest's own files tell its cloud-init: enough to know whether a seed would be read.

use crate::yaml::{self, Value};

/// Whether a file of `/etc/cloud/cloud.cfg.d` sets a key, to anything but nothing.
pub fn sets(content: &[u8], key: &str) -> bool {
    let text = String::from_utf8_lossy(content);
    match yaml::parse(&text) {
        Ok(document) => document.root.entry(key).is_some_and(|entry| match &entry.value.value {
            Value::Null => false,
            Value::Map(entries) => !entries.is_empty(),
            _ => true,
        }),
        // A template, or what no loader takes: by its lines.
        Err(_) => text.lines().any(|line| {
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'))
        }),
    }
}

/// Why ds-identify, which decides before cloud-init starts, would leave it off or have it look
/// elsewhere than in a NoCloud seed, by the content of `/etc/cloud/ds-identify.cfg`.
pub fn ds_identify(content: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(content);
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let (key, value) = line.split_once(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        match key.trim() {
            "policy" if value.split(',').any(|word| word == "disabled") => {
                Some("it turns cloud-init off ('policy: disabled')")
            }
            "datasource" if !value.is_empty() && !value.eq_ignore_ascii_case("nocloud") => {
                Some("it names another datasource than NoCloud")
            }
            _ => None,
        }
    })
}

/// The instance that a seed's meta-data names, or that cloud-init makes of it.
pub fn instance(meta_data: &[u8]) -> String {
    let text = String::from_utf8_lossy(meta_data);
    let document = yaml::parse(&text).ok();
    let entry = document.as_ref().and_then(|it| it.root.entry("instance-id"));
    match entry.map(|it| &it.value.value) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(number)) => number.to_string(),
        _ => "nocloud".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_is_told_is_found() {
        for (text, found) in [
            ("network: {config: disabled}\n", true),
            ("network:\n  version: 2\n", true),
            ("network:\n", false),
            ("network: {}\n", false),
            ("system_info: {network: {renderers: [a]}}\n", false),
            ("# network: x\n", false),
            ("## template: jinja\n{% if x %}\nnetwork:\n{% endif %}\n", true),
            ("{% if x %}\nnetworks: a\n", false),
        ] {
            assert_eq!(sets(text.as_bytes(), "network"), found, "{text}");
        }
        let off = ["policy: disabled", "policy:\"disabled\" # x", "datasource: Ec2"];
        assert!(off.iter().all(|it| ds_identify(it.as_bytes()).is_some()));
        let on = [
            "policy: search,found=all,maybe=none,notfound=disabled",
            "#policy: disabled",
            "datasource: NoCloud",
            "policy: enabled",
        ];
        // 'notfound=disabled' speaks of a guest without a seed.
        assert!(on.iter().all(|it| ds_identify(it.as_bytes()).is_none()));
        assert_eq!(instance(b"instance-id: i-7\n"), "i-7");
        assert_eq!(instance(b"{\"instance-id\": 12}"), "12");
        assert_eq!(instance(b"{}"), "nocloud");
    }
}
