//! netplan: the YAML files that its generator turns into files of systemd-networkd or
//! NetworkManager at each boot (netplan-yaml(5)).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::key_file::flag;
use super::link::Fits;
use super::look::Look;
use super::networkd::Unit;
use super::pins::pin;
use super::plain_yaml::{self, Value};
use super::{Component, Method, Pin, Profile, path};
use crate::guest::GuestError;
use crate::path::{GuestPath, escape};

/// Where its files are, the folder that counts most first.
const FOLDERS: &[&str] = &["/etc/netplan", "/usr/lib/netplan", "/lib/netplan"];

/// Where its generator is, and where one of the administrator's hides it.
const GENERATORS: &[&str] = &[
    "/etc/systemd/system-generators/netplan",
    "/usr/local/lib/systemd/system-generators/netplan",
    "/usr/lib/systemd/system-generators/netplan",
    "/lib/systemd/system-generators/netplan",
];

/// What it writes for.
const RENDERERS: &[&str] = &["networkd", "NetworkManager", "sriov"];

/// The kinds of interfaces that a release or another knows.
const KINDS: &[&str] = &[
    "ethernets",
    "wifis",
    "modems",
    "bridges",
    "bonds",
    "vlans",
    "vrfs",
    "tunnels",
    "dummy-devices",
    "virtual-ethernets",
    "nm-devices",
];

/// How many interfaces are read.
const INTERFACES: usize = 4096;

/// What netplan's files come to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Those for NetworkManager, and those that nothing generates.
    pub(super) profiles: Vec<Profile>,
    /// Those for systemd-networkd, to be put in order with its own.
    pub(super) networkd: Vec<Unit>,
    pub(super) pins: Vec<Pin>,
    /// Whether its generator starts systemd-networkd.
    pub(super) starts_networkd: bool,
    /// Whether its generator lets NetworkManager have every interface.
    pub(super) manages_all: bool,
}

/// Whether its generator runs at boot.
pub(super) fn generates(look: &Look<'_>) -> Result<bool, GuestError> {
    for generator in GENERATORS {
        let generator = path(generator);
        if look.files.locate(&generator)?.is_none() {
            continue;
        }
        if look.files.link_target(&generator)?.is_some_and(|it| it == b"/dev/null") {
            return Ok(false);
        }
        return Ok(look.files.follow(&generator)?.is_some_and(|it| it.mode & 0o111 != 0));
    }
    Ok(false)
}

/// A definition of an interface, of all files that add to it.
#[derive(Debug, Default)]
struct Definition {
    /// `ethernets`, `bridges` and so on.
    kind: String,
    /// The last file that it stands in.
    file: GuestPath,
    /// Scalars by their path, the last one given.
    scalars: BTreeMap<String, String>,
    /// Lists by their path, all given.
    lists: BTreeMap<String, Vec<String>>,
}

/// Reads its files.
pub(super) fn read(look: &Look<'_>, running: &[(Component, String)]) -> Result<Plan, GuestError> {
    let mut plan = Plan::default();
    let mut definitions = BTreeMap::new();
    let mut renderer = None;
    let documents = match documents(look)? {
        Ok(documents) => documents,
        Err((file, words)) => {
            look.odd(&file, words);
            return Ok(plan);
        }
    };
    for (file, document) in documents {
        let Some(network) = document.get("network") else { continue };
        for (key, value) in network.entries() {
            match key.as_str() {
                "renderer" => renderer = value.text().map(str::to_owned).or(renderer),
                "version" => {}
                _ => add(look, &file, key, value, &mut definitions),
            }
        }
    }
    let generates = generates(look)?;
    let networkd = look
        .first(&["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"])?
        .is_some();
    let manager = running.iter().any(|it| it.0 == Component::NetworkManager);
    plan.manages_all = generates && renderer.as_deref() == Some("NetworkManager");
    for (id, own) in &definitions {
        let of_manager = match own.scalars.get("renderer").or(renderer.as_ref()).map(String::as_str)
        {
            Some("NetworkManager") => true,
            Some("sriov") => continue,
            _ => own.kind == "nm-devices" || own.kind == "modems",
        };
        let fits = own.fits(id);
        if let Fits::Macs(macs) = &fits {
            plan.pins
                .push(pin(&own.file, format!("{id} fits MAC address {} alone", macs.join(" "))));
        }
        if let Some(name) = own.scalars.get("set-name") {
            plan.pins.push(pin(&own.file, format!("{id} is renamed {name}")));
        }
        if let Some(mac) = own.scalars.get("macaddress") {
            plan.pins.push(pin(&own.file, format!("{id} gets MAC address {mac} in every clone")));
        }
        let over = definitions.iter().find(|(_, it)| it.is_over(id));
        let kept = own.scalars.get("activation-mode");
        let kept = kept.map(|mode| format!("activation-mode {mode} keeps it down"));
        if of_manager || !generates || !networkd {
            let idle = match () {
                () if !generates => Some("netplan's generator does not run".to_owned()),
                () if !of_manager => Some("systemd-networkd is not installed".to_owned()),
                () if !manager => Some("NetworkManager does not start".to_owned()),
                () => kept.clone(),
            };
            if own.is_physical() {
                plan.profiles.push(Profile {
                    by: Component::Netplan,
                    starts: generates && (!of_manager || manager),
                    file: own.file.clone(),
                    fits,
                    over: over.map(|it| it.0.clone()),
                    method: over.map_or_else(|| own.method(), |it| it.1.method()),
                    idle,
                });
            }
            continue;
        }
        plan.starts_networkd = true;
        if fits == Fits::Any && !own.scalars.contains_key("match.name") {
            plan.profiles.push(Profile {
                by: Component::Netplan,
                starts: true,
                file: own.file.clone(),
                fits,
                over: None,
                method: own.method(),
                idle: Some("its match is empty, and systemd-networkd passes that over".into()),
            });
            continue;
        }
        let is_port = over.is_some_and(|it| matches!(it.1.kind.as_str(), "bridges" | "bonds"));
        plan.networkd.push(Unit {
            name: format!("10-netplan-{id}.network").into_bytes(),
            by: Component::Netplan,
            file: own.file.clone(),
            fits,
            method: own.method(),
            port_of: over.filter(|_| is_port).map(|it| it.0.clone()),
            carries: definitions
                .iter()
                .filter(|it| it.1.scalars.get("link") == Some(id))
                .map(|it| it.0.clone())
                .collect(),
            idle: kept,
            unread: None,
        });
    }
    Ok(plan)
}

type Documents = Vec<(GuestPath, Rc<Value>)>;

/// The documents of all files, those that count first at the front; in words, why netplan makes
/// nothing of any.
fn documents(look: &Look<'_>) -> Result<Result<Documents, (GuestPath, String)>, GuestError> {
    let mut documents = Vec::new();
    for (_, file) in look.layered(FOLDERS, ".yaml")? {
        let Some(text) = look.text(&file)? else { continue };
        let read = plain_yaml::parse(&text);
        match read.and_then(|it| wrong(&it).map_or(Ok(it), Err)) {
            Ok(document) => documents.push((file, document)),
            Err(words) => {
                return Ok(Err((file, format!("{words}; netplan makes nothing of any file then"))));
            }
        }
    }
    Ok(Ok(documents))
}

/// A file that netplan makes nothing of, nor of any other then, and why; that of cloud-init apart,
/// which it writes anew.
pub(super) fn refused(look: &Look<'_>) -> Result<Option<(GuestPath, String)>, GuestError> {
    let refused = documents(look)?.err();
    Ok(refused.filter(|it| it.0.name() != Some(b"50-cloud-init.yaml")))
}

/// What is wrong with a document by the outline of what netplan reads.
fn wrong(document: &Value) -> Option<String> {
    let named = |text: &str| escape(text.as_bytes());
    let entries = match document {
        // An empty one.
        Value::Text(text) if text.is_empty() => return None,
        Value::Map(entries) => entries,
        _ => return Some("no mapping".into()),
    };
    for (key, network) in entries {
        if key != "network" {
            return Some(format!("'{}' is none of its keys", named(key)));
        }
        let Value::Map(entries) = &**network else {
            return Some("'network' is no mapping".into());
        };
        for (key, value) in entries {
            let text = value.text().unwrap_or_default();
            match key.as_str() {
                "version" if version(text) != Some(2) => {
                    return Some(format!("'version: {}', and only 2 is read", named(text)));
                }
                "renderer" if !RENDERERS.contains(&text) => {
                    return Some(format!("'renderer: {}' is not known", named(text)));
                }
                "version" | "renderer" | "openvswitch" => {}
                key if KINDS.contains(&key) => {
                    if let Some(words) = wrong_kind(value) {
                        return Some(format!("'{key}': {words}"));
                    }
                }
                key => return Some(format!("'{}' is none of its keys", named(key))),
            }
        }
    }
    None
}

/// What is wrong with the interfaces of one kind.
fn wrong_kind(interfaces: &Value) -> Option<String> {
    let Value::Map(interfaces) = interfaces else { return Some("no mapping".into()) };
    for (id, value) in interfaces {
        if id == "renderer" {
            continue;
        }
        let id = escape(id.as_bytes());
        if !matches!(**value, Value::Map(_)) {
            return Some(format!("'{id}' is no mapping"));
        }
        for key in ["dhcp4", "dhcp6"] {
            let Some(value) = value.get(key) else { continue };
            let text = value.text().unwrap_or_default();
            if !is_flag(text) {
                let text = escape(text.as_bytes());
                return Some(format!("'{id}': '{key}: {text}' is neither true nor false"));
            }
        }
    }
    None
}

/// The digits at the front of a version.
fn version(text: &str) -> Option<u32> {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Whether netplan takes a text for true or false.
fn is_flag(text: &str) -> bool {
    let flags = ["true", "on", "yes", "y", "false", "off", "no", "n"];
    flags.iter().any(|it| text.eq_ignore_ascii_case(it))
}

/// Adds what a file says of the interfaces of one kind.
fn add(
    look: &Look<'_>,
    file: &GuestPath,
    kind: &str,
    node: &Value,
    definitions: &mut BTreeMap<String, Definition>,
) {
    for (id, value) in node.entries() {
        // `renderer:` also stands beside the interfaces of a kind.
        if id == "renderer" && value.text().is_some() {
            continue;
        }
        if definitions.len() >= INTERFACES && !definitions.contains_key(id) {
            look.odd(file, format!("more than {INTERFACES} interfaces: the rest is not read"));
            return;
        }
        let own = definitions.entry(id.clone()).or_default();
        kind.clone_into(&mut own.kind);
        own.file = file.clone();
        for (key, value) in value.entries() {
            own.take(key, value);
            if key == "match" {
                for (key, value) in value.entries() {
                    own.take(&format!("match.{key}"), value);
                }
            }
        }
    }
}

impl Definition {
    fn take(&mut self, key: &str, value: &Value) {
        match value {
            Value::Text(text) => {
                self.scalars.insert(key.to_owned(), text.clone());
            }
            Value::List(items) => {
                let list = self.lists.entry(key.to_owned()).or_default();
                for item in items {
                    match &**item {
                        Value::Text(text) => list.push(text.clone()),
                        // An address with its options: `- 192.0.2.1/24: {lifetime: 0}`.
                        Value::Map(entries) => list.extend(entries.iter().map(|it| it.0.clone())),
                        Value::List(_) => {}
                    }
                }
            }
            // That `match:` is there at all makes the interface's key no name.
            Value::Map(_) if key == "match" => {
                self.lists.entry("match".into()).or_default();
            }
            Value::Map(_) => {}
        }
    }

    fn is_physical(&self) -> bool {
        matches!(self.kind.as_str(), "ethernets" | "nm-devices")
    }

    /// Whether the interface named goes under this one.
    fn is_over(&self, id: &str) -> bool {
        let ports = self.lists.get("interfaces");
        (matches!(self.kind.as_str(), "bridges" | "bonds" | "vrfs")
            && ports.is_some_and(|it| it.iter().any(|it| it == id)))
            || self.scalars.get("link").is_some_and(|it| it == id)
    }

    fn fits(&self, id: &str) -> Fits {
        if !matches!(self.kind.as_str(), "ethernets") {
            return match self.kind.as_str() {
                "wifis" | "modems" | "nm-devices" => Fits::NoEthernet,
                _ => Fits::names([id]),
            };
        }
        if !self.lists.contains_key("match") {
            return Fits::names([id]);
        }
        if let Some(mac) = self.scalars.get("match.macaddress") {
            return Fits::Macs(vec![mac.clone()]);
        }
        let name = self.scalars.get("match.name");
        let drivers = match self.scalars.get("match.driver") {
            Some(driver) => vec![driver.clone()],
            None => self.lists.get("match.driver").cloned().unwrap_or_default(),
        };
        match (name, drivers.is_empty()) {
            (None, true) => Fits::Any,
            (Some(name), true) if name == "*" => Fits::Any,
            (Some(name), true) => Fits::names([name.as_str()]),
            (name, false) => {
                let named = name.map(|it| format!("named {it} ")).unwrap_or_default();
                Fits::Where(format!("{named}with Driver={}", drivers.join(" ")))
            }
        }
    }

    fn method(&self) -> Method {
        let on = |key: &str| self.scalars.get(key).and_then(|it| flag(it)) == Some(true);
        if on("dhcp4") || on("dhcp6") {
            return Method::Dhcp;
        }
        let addresses = self.lists.get("addresses").cloned().unwrap_or_default();
        if !addresses.is_empty() {
            return Method::Static(addresses);
        }
        if on("accept-ra") {
            return Method::RouterAdvertisements;
        }
        Method::LinkLocal
    }
}
