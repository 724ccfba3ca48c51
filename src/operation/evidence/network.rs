//! `network`: a link of a clone comes up at the next boot.

use std::sync::Arc;

use super::{Attest, Kind, Sight};
use crate::guest::GuestError;
use crate::guest::network::Verdict;
use crate::operation::shape::{Field, Shape};

pub(super) const KIND: Kind = Kind {
    name: "network",
    help: "something brings a network link of a clone up: cloud-init, NetworkManager, \
           systemd-networkd, netplan, ifupdown, wicked, network-scripts, dhcpcd or connman",
    fields: &[Field::required("link", Shape::OneOf(&["up"]), "what is to come of it")],
    short: Some("link"),
    build: |_| Ok(Arc::new(Network)),
};

#[derive(Debug)]
struct Network;

impl Attest for Network {
    fn attest(&self, sight: &Sight<'_>) -> Result<Option<String>, GuestError> {
        match sight.network()?.verdict() {
            Verdict::Up(words) => Ok(Some(words)),
            Verdict::Nothing(_) => Ok(None),
            Verdict::NotKnown(words) => Err(GuestError::NotKnown(words)),
        }
    }

    fn why_not(&self, sight: &Sight<'_>) -> Option<String> {
        match sight.network().ok()?.verdict() {
            Verdict::Nothing(words) => Some(words),
            _ => None,
        }
    }
}
