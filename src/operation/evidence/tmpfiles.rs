//! `tmpfiles`: systemd-tmpfiles makes something at the next boot.

use std::sync::Arc;

use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::operation::shape::{Field, Shape};
use crate::path::escape;

pub(super) const KIND: Kind = Kind {
    name: "tmpfiles",
    help: "systemd-tmpfiles runs at the next boot, and a line of tmpfiles.d has it make one of the paths",
    fields: &[Field::required("paths", Shape::Some(&Shape::Path), "what is to be made")],
    short: Some("paths"),
    build: |fields| Ok(Arc::new(Tmpfiles { paths: fields.texts("paths") })),
};

#[derive(Debug)]
struct Tmpfiles {
    paths: Vec<String>,
}

impl Attest for Tmpfiles {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let Some(tmpfiles) = sight.tmpfiles()? else { return Ok(None) };
        for path in &self.paths {
            let Some(made) = tmpfiles.makes(sight.files, &path.parse().unwrap_or_default())? else {
                continue;
            };
            let name = escape(made.file.name().unwrap_or_default());
            return Ok(Some(format!("systemd-tmpfiles, at boot (tmpfiles.d/{name})")));
        }
        Ok(None)
    }
}
