//! Which guests an operation or a step is for.

use serde::Serialize;

use super::shape::{Field, Fields, Shape};
use crate::guest::{Facts, Family, SelinuxMode};

const FAMILIES: &[&str] = &["linux", "bsd", "windows"];
const PACKAGES: &[&str] = &["dpkg", "rpm", "apk", "pacman", "portage", "pkg"];
const INITS: &[&str] = &["systemd", "openrc", "sysvinit", "upstart", "runit", "busybox", "bsd"];

/// The fields of `when`.
pub(crate) const FIELDS: &[Field] = &[
    Field::optional("family", Shape::Some(&Shape::OneOf(FAMILIES)), "kinds of system"),
    Field::optional(
        "distro",
        Shape::Some(&Shape::Line),
        "os-release IDs; a guest that is like one (ID_LIKE) counts too",
    ),
    Field::optional("package-manager", Shape::Some(&Shape::OneOf(PACKAGES)), "package databases"),
    Field::optional("init", Shape::Some(&Shape::OneOf(INITS)), "init systems"),
    Field::optional("cloud-init", Shape::Bool, "whether cloud-init is in the guest"),
    Field::optional("selinux", Shape::Bool, "whether SELinux is on in the guest"),
];

/// Conditions on the guest: all that are given have to hold; an empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct When {
    /// Kinds of system: `linux`, `bsd`, `windows`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<String>,
    /// os-release IDs, matched against the guest's ID and ID_LIKE.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distro: Vec<String>,
    /// Package managers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub package_manager: Vec<String>,
    /// Init systems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init: Vec<String>,
    /// Whether cloud-init has to be in the guest, or must not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<bool>,
    /// Whether SELinux has to be on, or must not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux: Option<bool>,
}

impl When {
    pub(crate) fn from_fields(fields: &Fields) -> Self {
        Self {
            family: fields.texts("family"),
            distro: fields.texts("distro"),
            package_manager: fields.texts("package-manager"),
            init: fields.texts("init"),
            cloud_init: fields.has("cloud-init").then(|| fields.flag("cloud-init", false)),
            selinux: fields.has("selinux").then(|| fields.flag("selinux", false)),
        }
    }

    /// Why the guest is not meant; `None` when it is.
    pub fn refuses(&self, facts: &Facts) -> Option<String> {
        let family = match facts.family {
            Family::Linux => "linux",
            Family::Bsd => "bsd",
            Family::Windows => "windows",
            Family::Unknown => "of an unknown kind",
        };
        if !self.family.is_empty() && !self.family.iter().any(|it| it == family) {
            return Some(format!("the guest is {family}; for {}", self.family.join(", ")));
        }
        let ids = || facts.distro.iter().chain(&facts.like);
        if !self.distro.is_empty() && !ids().any(|id| self.distro.contains(id)) {
            let distro = facts.distro.as_deref().unwrap_or("an unknown distribution");
            return Some(format!("the guest is {distro}; for {}", self.distro.join(", ")));
        }
        let one = |wanted: &[String], found: Option<String>, what: &str| {
            let fits = |found: &String| wanted.contains(found);
            (!wanted.is_empty() && !found.as_ref().is_some_and(fits)).then(|| {
                let found = found.as_deref().unwrap_or("unknown");
                format!("the guest's {what} is {found}; for {}", wanted.join(", "))
            })
        };
        let packages = facts.package_manager.as_ref().and_then(word);
        if let Some(reason) = one(&self.package_manager, packages, "package manager") {
            return Some(reason);
        }
        let init = facts.init.as_ref().and_then(word);
        if let Some(reason) = one(&self.init, init, "init system") {
            return Some(reason);
        }
        let has = |wanted: Option<bool>, found: bool, not: &str, is: &str| {
            let said = if found { is } else { not };
            wanted.is_some_and(|wanted| wanted != found).then(|| said.to_owned())
        };
        let (not, is) = ("cloud-init is not in the guest", "cloud-init is in the guest");
        if let Some(reason) = has(self.cloud_init, facts.cloud_init, not, is) {
            return Some(reason);
        }
        let selinux = facts.selinux.is_some_and(|mode| mode != SelinuxMode::Disabled);
        has(self.selinux, selinux, "SELinux is not on in the guest", "SELinux is on in the guest")
    }
}

/// The word that a fact is written as.
fn word(fact: &impl Serialize) -> Option<String> {
    Some(serde_json::to_value(fact).ok()?.as_str()?.to_owned())
}
