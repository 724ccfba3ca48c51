//! `network-dhcp`: has the guest ask for an address by DHCP on every Ethernet interface, by what it
//! has for that.

use std::sync::Arc;

use super::new::{self, Meta, Place};
use super::symlink::Symlink;
use super::{Propose, StepError, Verb};
use crate::operation::draft::Draft;
use crate::operation::evidence::Sight;
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;

pub(super) const VERB: Verb = Verb {
    name: "network-dhcp",
    help: "has the guest ask for an address by DHCP on every Ethernet interface, in the dialect of \
           what it has: netplan, systemd-networkd, NetworkManager, ifupdown, wicked, network-scripts",
    fields: &[&[Field::required(
        "fallback",
        Shape::OneOf(&["dhcp", "none"]),
        "'none' writes nothing",
    )]],
    short: Some("fallback"),
    build: |fields| Ok(Arc::new(NetworkDhcp { writes: fields.text("fallback") == Some("dhcp") })),
};

#[derive(Debug)]
struct NetworkDhcp {
    writes: bool,
}

impl Propose for NetworkDhcp {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        if !self.writes {
            return Ok(());
        }
        let facts = draft.guest().facts.clone();
        let found = Sight::new(&*draft, &facts).network_fallback()?;
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                draft.refuse(&"/etc".parse().unwrap_or_default(), why);
                return Ok(());
            }
        };
        let why = format!("DHCP by {}", found.by);
        for (path, content, mode) in found.files {
            new::file(draft, path, &content, mode, &why)?;
        }
        for (path, target) in found.links {
            let place = Place::with(path.clone(), Meta::default());
            if place.target(draft, false)?.is_some() {
                Symlink::in_place(path, target).propose(draft)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
