//! `script`: OpenRC, System V init, runit or BusyBox starts a script at the next boot.

use std::sync::Arc;

use super::{Attest, Kind, Sight};
use crate::guest::boot::busybox_script;
use crate::guest::{GuestError, Init};
use crate::operation::EDITABLE_BYTES;
use crate::operation::expression::Expression;
use crate::operation::shape::{Field, Shape};
use crate::path::GuestPath;

pub(super) const KIND: Kind = Kind {
    name: "script",
    help: "OpenRC, System V init, Upstart, runit or BusyBox starts one of the scripts at the next boot",
    fields: &[
        Field::required("names", Shape::Some(&Shape::Name), "the scripts"),
        Field::optional("holds", Shape::Regex, "only those with text that matches"),
    ],
    short: Some("names"),
    build: |fields| {
        Ok(Arc::new(Script { names: fields.texts("names"), holds: fields.regex("holds") }))
    },
};

#[derive(Debug)]
struct Script {
    names: Vec<String>,
    holds: Option<Expression>,
}

/// Where the script stands.
fn place(name: &str, sight: &Sight<'_>) -> Result<GuestPath, GuestError> {
    let text = match sight.facts.init {
        Some(Init::Runit) => format!("/etc/sv/{name}/run"),
        Some(Init::Busybox) => {
            let script = busybox_script(sight.files, name)?;
            format!("/etc/init.d/{}", script.as_deref().unwrap_or(name))
        }
        _ => format!("/etc/init.d/{name}"),
    };
    Ok(text.parse().unwrap_or_default())
}

impl Attest for Script {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        for name in &self.names {
            let Some(started) = sight.script(name)? else { continue };
            if let Some(holds) = &self.holds {
                let text = sight.files.read(&place(name, sight)?, EDITABLE_BYTES)?;
                if !text.is_some_and(|text| holds.is_match(&text)) {
                    continue;
                }
            }
            return Ok(Some(started));
        }
        Ok(None)
    }
}
