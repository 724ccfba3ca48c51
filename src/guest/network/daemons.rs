//! Services that ask for an address on whatever interface there is: dhcpcd and ConnMan
//! (dhcpcd.conf(5), connman.conf(5)).

use super::key_file::{flag, last, settings};
use super::link::Fits;
use super::look::Look;
use super::pins::pin;
use super::{Component, Method, Part, Profile, path};
use crate::fs::Kind;
use crate::guest::GuestError;

/// What dhcpcd does as a service.
pub(super) fn dhcpcd(look: &Look<'_>, starts: bool) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let Some(program) = look.program("dhcpcd")? else { return Ok(part) };
    let config = path("/etc/dhcpcd.conf");
    let text = look.text(&config)?.unwrap_or_default();
    let mut allowed: Vec<String> = Vec::new();
    let mut denied: Vec<String> = Vec::new();
    let mut interface: Option<String> = None;
    let mut fixed: Vec<(Option<String>, String)> = Vec::new();
    let mut off: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let names = rest.split_whitespace().map(str::to_owned);
        match word {
            "allowinterfaces" => allowed.extend(names),
            "denyinterfaces" => denied.extend(names),
            "interface" => interface = rest.split_whitespace().next().map(str::to_owned),
            "static" | "inform" => {
                let address = rest.strip_prefix("ip_address=").or_else(|| {
                    rest.strip_prefix("ip6_address=").or((word == "inform").then_some(rest))
                });
                fixed.extend(address.map(|it| (interface.clone(), it.trim().to_owned())));
            }
            "nodhcp" | "noipv4" if interface.is_none() => off = Some("nodhcp"),
            "ssid" | "profile" | "fallback" => {}
            _ => {}
        }
    }
    let fits = match (allowed.is_empty(), denied.is_empty()) {
        (false, _) => Fits::Names(allowed),
        (true, true) => Fits::Any,
        (true, false) => Fits::Names(denied.iter().map(|it| format!("!{it}")).collect()),
    };
    let file = if text.is_empty() { program } else { config };
    let base = |fits: Fits, method: Method| Profile {
        by: Component::Dhcpcd,
        starts,
        file: file.clone(),
        fits,
        over: None,
        method,
        idle: None,
    };
    for (name, address) in fixed {
        let fits = name.map_or(Fits::Any, |it| Fits::names([it.as_str()]));
        part.profiles.push(base(fits, Method::Static(vec![address])));
    }
    let mut own = base(fits, Method::Dhcp);
    own.idle = off.map(|it| format!("{it} is set"));
    part.profiles.push(own);
    instances(look, &mut part)?;
    Ok(part)
}

/// `dhcpcd@ens3.service` and its like, one for an interface.
fn instances(look: &Look<'_>, part: &mut Part) -> Result<(), GuestError> {
    let folder = path("/etc/systemd/system/multi-user.target.wants");
    for name in look.names(&folder)? {
        let unit = String::from_utf8_lossy(&name).into_owned();
        let instance = unit.strip_prefix("dhcpcd@").and_then(|it| it.strip_suffix(".service"));
        let Some(instance) = instance else {
            if unit.starts_with("netctl@") || unit.starts_with("netctl-ifplugd@") {
                look.odd(&folder.join(&name), "a profile of netctl, which is not read");
            }
            continue;
        };
        part.profiles.push(Profile {
            by: Component::Dhcpcd,
            starts: (look.boot.starts)(&unit)?.is_some(),
            file: folder.join(&name),
            fits: Fits::names([instance]),
            over: None,
            method: Method::Dhcp,
            idle: None,
        });
    }
    Ok(())
}

/// What ConnMan does.
pub(super) fn connman(look: &Look<'_>, starts: bool) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let Some(program) = look.program("connmand")? else { return Ok(part) };
    let config = path("/etc/connman/main.conf");
    let lines = settings(&look.text(&config)?.unwrap_or_default(), false);
    let listed = last(&lines, "General", "NetworkInterfaceBlacklist").unwrap_or_default();
    let denied: Vec<String> = listed
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        // It compares beginnings.
        .map(|it| format!("!{it}*"))
        .collect();
    let state = path("/var/lib/connman");
    let saved = settings(&look.text(&state.join(b"settings"))?.unwrap_or_default(), false);
    let wired = last(&saved, "Wired", "Enable").and_then(flag) == Some(false);
    let offline = last(&saved, "global", "OfflineMode").and_then(flag) == Some(true);
    let idle = match (wired, offline) {
        (true, _) => Some("/var/lib/connman/settings turns wired links off".to_owned()),
        (_, true) => Some("/var/lib/connman/settings has OfflineMode on".to_owned()),
        _ => None,
    };
    for (name, kind) in look.files.names(&state)?.into_iter().take(super::look::FILES) {
        if kind == Kind::Directory && name.starts_with(b"ethernet_") {
            part.pins
                .push(pin(&state.join(&name), "what was set for the builder's interface alone"));
        }
    }
    part.profiles.push(Profile {
        by: Component::Connman,
        starts,
        file: if lines.is_empty() { program } else { config },
        fits: if denied.is_empty() { Fits::Any } else { Fits::Names(denied) },
        over: None,
        method: Method::Dhcp,
        idle,
    });
    Ok(part)
}
