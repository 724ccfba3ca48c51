//! systemd-networkd: `*.network` files, of which the first that fits an interface counts
//! (systemd.network(5)).

use std::collections::BTreeMap;

use super::daemon_user::Daemon;
use super::key_file::{Setting, all, flag, last, settings};
use super::link::{Chance, Fits};
use super::look::Look;
use super::pins::pin;
use super::{Component, Method, Part, Profile};
use crate::guest::GuestError;
use crate::path::GuestPath;

/// Where its files are, the folder that counts most first. What `/run` holds is made anew at boot.
const FOLDERS: &[&str] = &[
    "/etc/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
];

/// How many drop-ins of one file are read.
const DROP_INS: usize = 256;

/// One `.network` file, or what netplan's generator makes one of.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Its name, by which files are ordered.
    pub(super) name: Vec<u8>,
    pub(super) by: Component,
    pub(super) file: GuestPath,
    pub(super) fits: Fits,
    pub(super) method: Method,
    /// The bridge or bond that its interface becomes a port of.
    pub(super) port_of: Option<String>,
    /// Interfaces made over it (VLANs and the like).
    pub(super) carries: Vec<String>,
    /// Why networkd leaves the interface down.
    pub(super) idle: Option<String>,
    /// Why networkd reads nothing of it, so that the next one that fits counts.
    pub(super) unread: Option<String>,
}

/// Every setting.
pub(super) fn read(look: &Look<'_>, starts: bool, planned: Vec<Unit>) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let mut units = planned;
    let daemon = Daemon::read(look)?;
    for (name, file) in look.layered(FOLDERS, ".network")? {
        let Some(unit) = unit(look, &daemon, &name, file, &mut part)? else { continue };
        match unit.unread {
            None => units.push(unit),
            Some(why) => part.profiles.push(Profile {
                by: unit.by,
                starts,
                file: unit.file,
                fits: unit.fits,
                over: None,
                method: unit.method,
                idle: Some(why),
            }),
        }
    }
    let unmade = unmade(look, &daemon)?;
    // An equal name in /run, where netplan's are, is hidden by one in /etc; `sort` keeps the order.
    units.sort_by(|a, b| a.name.cmp(&b.name));
    for unit in &units {
        let chance = unit.fits.chance(look.naming, &[]);
        let starts = starts || unit.by == Component::Netplan;
        let profile = |method: &Method, over: Option<&str>| Profile {
            by: unit.by,
            starts,
            file: unit.file.clone(),
            fits: unit.fits.clone(),
            over: over.map(str::to_owned),
            method: method.clone(),
            idle: unit.idle.clone(),
        };
        // What is for bridges, wireless and virtual interfaces is found by their names below.
        if matches!(chance, Chance::Never(_)) && !matches!(unit.fits, Fits::Macs(_)) {
            let own = !matches!(unit.method, Method::Nothing | Method::LinkLocal);
            let named = match &unit.fits {
                Fits::Names(names) => names.iter().any(|it| !it.contains('*')),
                _ => false,
            };
            if own && named && !units.iter().any(|it| is_over(it, unit)) {
                part.profiles.push(profile(&unit.method, None));
            }
            continue;
        }
        let over = unit.port_of.iter().chain(&unit.carries);
        let upper = over.filter_map(|name| {
            let upper = units.iter().find(|it| it.fits.takes(name))?;
            Some((name, upper))
        });
        for (name, upper) in upper {
            let mut profile = profile(&upper.method, Some(name));
            profile.idle = unmade.get(name).cloned().or(profile.idle);
            part.profiles.push(profile);
        }
        if unit.port_of.is_none() {
            part.profiles.push(profile(&unit.method, None));
        }
        if chance == Chance::Sure {
            break;
        }
    }
    Ok(part)
}

/// Whether an interface of one file goes under that of another.
fn is_over(lower: &Unit, upper: &Unit) -> bool {
    lower.port_of.iter().chain(&lower.carries).any(|name| upper.fits.takes(name))
}

/// Interfaces that networkd would make of a file if it could read it, and why it cannot.
fn unmade(look: &Look<'_>, daemon: &Daemon) -> Result<BTreeMap<String, String>, GuestError> {
    let mut unmade = BTreeMap::new();
    for (_, file) in look.layered(FOLDERS, ".netdev")? {
        let Some(why) = daemon.cannot_read(look, &file)? else { continue };
        let Some(text) = look.text(&file)? else { continue };
        if let Some(name) = last(&settings(&text, true), "NetDev", "Name") {
            unmade.insert(name.to_owned(), format!("{file}, which makes {name}: {why}"));
        }
    }
    Ok(unmade)
}

fn unit(
    look: &Look<'_>,
    daemon: &Daemon,
    name: &[u8],
    file: GuestPath,
    part: &mut Part,
) -> Result<Option<Unit>, GuestError> {
    let Some(text) = look.text(&file)? else { return Ok(None) };
    let mut unread = daemon.cannot_read(look, &file)?;
    let mut lines = settings(&text, true);
    let drop_ins = String::from_utf8_lossy(name).into_owned() + ".d";
    let folders: Vec<String> = FOLDERS.iter().map(|it| format!("{it}/{drop_ins}")).collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    for (count, (_, drop_in)) in look.layered(&folders, ".conf")?.into_iter().enumerate() {
        if count == DROP_INS {
            look.odd(&file, format!("more than {DROP_INS} drop-ins: the rest is not read"));
            break;
        }
        // One that cannot be read is the end of the file that it adds to.
        if unread.is_none()
            && let Some(why) = daemon.cannot_read(look, &drop_in)?
        {
            unread = Some(format!("{drop_in}: {why}"));
        }
        if let Some(text) = look.text(&drop_in)? {
            lines.extend(settings(&text, true));
        }
    }
    let Some(fits) = fits(&lines) else { return Ok(None) };
    if let Fits::Macs(macs) = &fits {
        part.pins.push(pin(&file, format!("fits MAC address {} alone", macs.join(" "))));
    }
    if let Some(mac) = last(&lines, "Link", "MACAddress").filter(|it| it.contains(':')) {
        part.pins.push(pin(&file, format!("gives every clone MAC address {mac}")));
    }
    let ports = ["Bridge", "Bond"].iter().find_map(|key| last(&lines, "Network", key));
    let carries = ["VLAN", "VRF", "MACVLAN", "IPVLAN"]
        .iter()
        .flat_map(|key| all(&lines, "Network", key))
        .flat_map(str::split_whitespace);
    Ok(Some(Unit {
        name: name.to_owned(),
        by: Component::Networkd,
        method: method(&lines),
        port_of: ports.filter(|it| !it.is_empty()).map(str::to_owned),
        carries: carries.map(str::to_owned).collect(),
        idle: idle(&lines),
        unread,
        fits,
        file,
    }))
}

/// Which interface a file is for; `None` where it names none, and networkd passes it over.
fn fits(lines: &[Setting]) -> Option<Fits> {
    let words = |key: &str| -> Vec<String> {
        let values = all(lines, "Match", key);
        values
            .iter()
            .flat_map(|it| it.split_whitespace())
            .map(|it| it.trim_matches('"').to_owned())
            .collect()
    };
    let mut conditions = Vec::new();
    let mut any = false;
    for key in ["MACAddress", "PermanentMACAddress"] {
        let macs = words(key);
        if !macs.is_empty() {
            return Some(Fits::Macs(macs));
        }
    }
    for (key, ethernet) in [("Type", "ether"), ("Kind", "")] {
        let values = words(key);
        let Some(first) = values.first() else { continue };
        any = true;
        let turned = first.starts_with('!');
        // A network card has no kind: no pattern takes it, and `Kind=!*` is what says so.
        let listed = !ethernet.is_empty()
            && values.iter().any(|it| super::link::matches(it.trim_start_matches('!'), ethernet));
        if listed == turned {
            return Some(Fits::NoEthernet);
        }
    }
    let virtual_machine = words("Virtualization");
    if let Some(value) = virtual_machine.last() {
        any = true;
        let (turned, kind) = match value.strip_prefix('!') {
            Some(kind) => (true, kind),
            None => (false, value.as_str()),
        };
        let container = matches!(
            kind,
            "container"
                | "docker"
                | "lxc"
                | "lxc-libvirt"
                | "systemd-nspawn"
                | "podman"
                | "openvz"
                | "rkt"
                | "wsl"
                | "proot"
                | "pouch"
                | "no"
                | "false"
                | "0"
        );
        let machine = matches!(kind, "vm" | "yes" | "true" | "1");
        match (container, machine, turned) {
            (true, _, false) | (_, true, true) => return Some(Fits::NoEthernet),
            (true, _, true) | (_, true, false) => {}
            _ => conditions.push(format!("of a machine with Virtualization={value}")),
        }
    }
    let drivers = words("Driver");
    if let Some(first) = drivers.first() {
        any = true;
        const VIRTUAL: &[&str] = &[
            "veth",
            "bridge",
            "bonding",
            "dummy",
            "tun",
            "wireguard",
            "vxlan",
            "openvswitch",
            "802.1Q VLAN Support",
        ];
        let all_virtual = drivers.iter().all(|it| VIRTUAL.contains(&it.trim_start_matches('!')));
        match (first.starts_with('!'), all_virtual) {
            (false, true) => return Some(Fits::NoEthernet),
            (true, true) => {}
            _ => conditions.push(format!("with Driver={}", drivers.join(" "))),
        }
    }
    for key in ["WLANInterfaceType", "SSID", "BSSID"] {
        if !words(key).is_empty() {
            return Some(Fits::NoEthernet);
        }
    }
    for key in [
        "Path",
        "Property",
        "Host",
        "KernelCommandLine",
        "KernelVersion",
        "Version",
        "Architecture",
        "Credential",
        "Firmware",
        "OriginalName",
    ] {
        let values = words(key);
        if !values.is_empty() {
            any = true;
            conditions.push(format!("with {key}={}", values.join(" ")));
        }
    }
    let names = words("Name");
    match (names.is_empty(), conditions.is_empty(), any) {
        (true, true, false) => None,
        (true, true, true) => Some(Fits::Any),
        (false, true, _) if names == ["*"] => Some(Fits::Any),
        (false, true, _) => Some(Fits::Names(names)),
        (no_names, ..) => {
            if !no_names {
                conditions.insert(0, format!("named {}", names.join(" ")));
            }
            Some(Fits::Where(conditions.join(" ")))
        }
    }
}

/// Why an interface stays down.
fn idle(lines: &[Setting]) -> Option<String> {
    if last(lines, "Link", "Unmanaged").and_then(flag) == Some(true) {
        return Some("Unmanaged=yes leaves the interface alone".into());
    }
    match last(lines, "Link", "ActivationPolicy") {
        Some(policy @ ("manual" | "down" | "always-down")) => {
            Some(format!("ActivationPolicy={policy} keeps it down"))
        }
        _ => None,
    }
}

fn method(lines: &[Setting]) -> Method {
    let dhcp = last(lines, "Network", "DHCP").unwrap_or_default();
    if matches!(dhcp, "ipv4" | "ipv6" | "both" | "v4" | "v6") || flag(dhcp) == Some(true) {
        return Method::Dhcp;
    }
    let mut addresses = all(lines, "Network", "Address");
    addresses.extend(all(lines, "Address", "Address"));
    addresses.retain(|it| !it.starts_with("0.0.0.0") && !it.starts_with("::/"));
    if !addresses.is_empty() {
        return Method::Static(addresses.into_iter().map(str::to_owned).collect());
    }
    if last(lines, "Network", "IPv6AcceptRA").and_then(flag) == Some(true) {
        return Method::RouterAdvertisements;
    }
    match last(lines, "Network", "LinkLocalAddressing").map(flag) {
        Some(Some(false)) => Method::Nothing,
        _ => Method::LinkLocal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_match_section_is_for() {
        for (section, wanted) in [
            ("Name=en*\nName=eth*", Some(Fits::names(["en*", "eth*"]))),
            ("Name=*", Some(Fits::Any)),
            ("", None),
            ("Type=ether", Some(Fits::Any)),
            ("Type=ether\nKind=!*", Some(Fits::Any)),
            ("Type=!loopback bridge tunnel vxlan wireguard\nDriver=!veth dummy", Some(Fits::Any)),
            ("Type=wlan", Some(Fits::NoEthernet)),
            ("Type=!ether", Some(Fits::NoEthernet)),
            ("Kind=veth\nName=ve-*", Some(Fits::NoEthernet)),
            ("Driver=ena ixgbevf vif", Some(Fits::Where("with Driver=ena ixgbevf vif".into()))),
            ("Virtualization=container\nName=host0", Some(Fits::NoEthernet)),
            ("Virtualization=!container\nName=e*", Some(Fits::names(["e*"]))),
            ("MACAddress=52:54:00:12:34:56", Some(Fits::Macs(vec!["52:54:00:12:34:56".into()]))),
            ("Name=e*\nHost=web", Some(Fits::Where("named e* with Host=web".into()))),
            ("Name=e*\nMACAddress=52:54:00:12:34:56\nMACAddress=", Some(Fits::names(["e*"]))),
        ] {
            let lines = settings(&format!("[Match]\n{section}\n"), true);
            assert_eq!(fits(&lines), wanted, "{section}");
        }
    }
}
