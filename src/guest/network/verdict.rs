//! Whether a link comes up, in words.

use std::collections::BTreeSet;

use super::link::Chance;
use super::{Component, Method, Network, Profile, cloud};
use crate::printable;

/// How many settings are told.
const TOLD: usize = 4;

/// Whether a clone's link comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does, by what these words say, and on the conditions in them.
    Up(String),
    /// It does not; why.
    Nothing(String),
    /// It is not known; why.
    NotKnown(String),
}

impl Verdict {
    /// The words alone, on one line.
    pub fn words(&self) -> &str {
        match self {
            Self::Up(words) | Self::Nothing(words) | Self::NotKnown(words) => words,
        }
    }
}

impl Network {
    /// Whether a clone's link comes up.
    pub fn verdict(&self) -> Verdict {
        let mut up = Vec::new();
        let mut down = Vec::new();
        match &self.cloud {
            Some((true, words)) => up.push(words.clone()),
            Some((false, words)) => down.push(words.clone()),
            None => {}
        }
        for profile in &self.profiles {
            match self.outcome(profile) {
                Ok(words) => up.push(words),
                Err(words) => down.push(words),
            }
        }
        let conditional = matches!(&self.cloud, Some((true, _))) && self.cloud_on_condition;
        if conditional && up.len() == 1 {
            up.push(cloud::ALONE.to_owned());
        }
        if !up.is_empty() {
            return Verdict::Up(told(up));
        }
        for (component, _) in &self.running {
            let told = |it: &Profile| {
                it.by == *component
                    || (it.by == Component::Netplan && *component == Component::Networkd)
            };
            if !self.profiles.iter().any(told) {
                down.push(format!(
                    "{component} starts, and has no settings for an Ethernet interface"
                ));
            }
        }
        if self.running.is_empty() {
            down.insert(0, "nothing that brings a link up starts at boot".into());
        }
        let unclear: Vec<String> = self
            .cloud_not_known
            .iter()
            .cloned()
            .chain(self.odd.iter().map(|(path, words)| format!("{path}: {words}")))
            .collect();
        match unclear.is_empty() {
            true => Verdict::Nothing(told(down)),
            false => Verdict::NotKnown(told(unclear)),
        }
    }

    /// Settings that give every clone the same address, or one that they bring up on a condition,
    /// are told in the words.
    fn outcome(&self, profile: &Profile) -> Result<String, String> {
        let Profile { by, file, .. } = profile;
        let place = format!("{by} ({file})");
        match &profile.idle {
            // Of netplan, which is no service, `idle` says what does not run.
            Some(idle) if profile.starts || *by == Component::Netplan => {
                return Err(format!("{place}: {idle}"));
            }
            _ if !profile.starts => return Err(format!("{place}: it does not start")),
            _ => {}
        }
        let condition = match profile.fits.chance(self.naming, &self.given) {
            Chance::Sure => String::new(),
            Chance::If(words) => format!(", {words}"),
            Chance::Never(words) => return Err(format!("{place}: {words}")),
        };
        let method = match &profile.method {
            Method::Dhcp => "DHCP".to_owned(),
            Method::RouterAdvertisements => "IPv6 router advertisements".to_owned(),
            Method::Static(addresses) => {
                format!("the fixed address {}, the same in every clone", addresses.join(" "))
            }
            Method::LinkLocal => return Err(format!("{place}: link-local addresses alone")),
            Method::Nothing => return Err(format!("{place}: no address")),
        };
        let over = profile.over.as_ref().map(|it| format!(" by {it}")).unwrap_or_default();
        Ok(match condition.is_empty() {
            true => format!("{place}: {method} on {}{over}", profile.fits),
            false => format!("{place}: {method}{over}{condition}"),
        })
    }
}

/// The first of several, on one line.
fn told(all: Vec<String>) -> String {
    let mut known = BTreeSet::new();
    let all: Vec<String> = all.into_iter().filter(|it| known.insert(it.clone())).collect();
    let mut words = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > TOLD {
        words.push_str(&format!("; and {} more", all.len() - TOLD));
    }
    printable::line(&words).into_owned()
}
