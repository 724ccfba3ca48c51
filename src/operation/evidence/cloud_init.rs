//! `cloud-init`: it runs at the next boot, and does something.

use std::sync::Arc;

use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::guest::cloud_init::{self, HostKeys, Runs};
use crate::operation::shape::{Field, Shape};

pub(super) const KIND: Kind = Kind {
    name: "cloud-init",
    help: "cloud-init is installed, will run, and does this",
    fields: &[Field::required(
        "does",
        Shape::OneOf(&["host-keys", "anything"]),
        "it makes the SSH server's host keys; or whatever it does",
    )],
    short: Some("does"),
    build: |fields| {
        let host_keys = fields.text("does") == Some("host-keys");
        Ok(Arc::new(CloudInit { host_keys }))
    },
};

#[derive(Debug)]
struct CloudInit {
    host_keys: bool,
}

/// Whether it would take a clone for the instance that it has configured already.
fn remembers(cloud: &cloud_init::CloudInit) -> bool {
    cloud.recorded.as_ref().is_some_and(|it| it.same)
}

/// Whether the stage that makes host keys starts where cloud-init's target does: the name differs by
/// version.
fn stage_starts(sight: &Sight<'_>) -> Result<bool, GuestError> {
    const STAGES: [&str; 2] = ["cloud-init.service", "cloud-init-network.service"];
    let Some(units) = sight.units()? else { return Ok(true) };
    let boot = units.started_with("cloud-init.target")?;
    for stage in STAGES {
        if boot.starts(stage)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it makes host keys in a clone, where it runs.
pub(super) fn makes_host_keys(
    cloud: &cloud_init::CloudInit,
    sight: &Sight<'_>,
) -> Result<bool, GuestError> {
    let makes = matches!(cloud.host_keys, HostKeys::Made { .. }) && !remembers(cloud);
    Ok(makes && stage_starts(sight)?)
}

impl Attest for CloudInit {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        let Some(cloud) = sight.cloud()? else { return Ok(None) };
        if self.host_keys && !makes_host_keys(cloud, sight)? {
            return Ok(None);
        }
        match &cloud.runs {
            Runs::Yes => Ok(Some("cloud-init".to_owned())),
            Runs::WithSource(condition) if !self.host_keys => {
                Ok(Some(format!("cloud-init, where {condition}")))
            }
            // A clone that no datasource is found for has to have keys, too.
            Runs::WithSource(_) | Runs::No { .. } => Ok(None),
            Runs::NotKnown { at, reason } => Err(GuestError::NotKnown(format!("{at}: {reason}"))),
        }
    }

    fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        let cloud = sight.cloud().ok()??;
        match (&cloud.runs, &cloud.host_keys) {
            (Runs::WithSource(condition), HostKeys::Made { .. }) if self.host_keys => {
                Some(format!("cloud-init does where {condition}"))
            }
            _ => None,
        }
    }
}
