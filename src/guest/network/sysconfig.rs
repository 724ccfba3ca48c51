//! `ifcfg` files: Red Hat's, which the `network` script and NetworkManager's plugin read, and
//! SUSE's, which wicked reads (ifcfg(5)).

use super::key_file::variable;
use super::link::Fits;
use super::look::Look;
use super::pins::pin;
use super::{Component, Method, Part, Profile, path};
use crate::guest::GuestError;
use crate::path::GuestPath;

/// Where Red Hat's are.
pub(super) const RED_HAT: &str = "/etc/sysconfig/network-scripts";

/// Where SUSE's are.
pub(super) const SUSE: &str = "/etc/sysconfig/network";

/// One file.
struct Ifcfg {
    file: GuestPath,
    /// What its name says after `ifcfg-`.
    name: String,
    text: String,
}

impl Ifcfg {
    fn get(&self, key: &str) -> Option<String> {
        variable(&self.text, key).filter(|it| !it.is_empty())
    }

    /// Of `key`, `key0`, `key_0` and so on, those that are set.
    fn addresses(&self) -> Vec<String> {
        let mut found = Vec::new();
        for key in ["IPADDR", "IPADDR0", "IPADDR1", "IPADDR_0", "IPADDR_1", "IPV6ADDR"] {
            found.extend(self.get(key));
        }
        found
    }
}

fn files(look: &Look<'_>, folder: &str) -> Result<Vec<Ifcfg>, GuestError> {
    let mut found = Vec::new();
    let folder = path(folder);
    for file_name in look.names(&folder)? {
        let name = String::from_utf8_lossy(&file_name);
        let Some(name) = name.strip_prefix("ifcfg-") else { continue };
        const LEFT: [&str; 9] = [
            "~",
            ".bak",
            ".old",
            ".orig",
            ".rpmnew",
            ".rpmorig",
            ".rpmsave",
            ".template",
            ".scpmbackup",
        ];
        if name == "lo" || LEFT.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let file = folder.join(&file_name);
        if let Some(text) = look.text(&file)? {
            found.push(Ifcfg { name: name.to_owned(), text, file });
        }
    }
    Ok(found)
}

/// Red Hat's files, for whichever reads them.
pub(super) fn red_hat(look: &Look<'_>) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let all = files(look, RED_HAT)?;
    for own in &all {
        let kind = own.get("TYPE").unwrap_or_default().to_ascii_lowercase();
        if !matches!(kind.as_str(), "" | "ethernet") {
            continue;
        }
        let device = own.get("DEVICE");
        let mac = own.get("HWADDR");
        if let Some(mac) = &mac {
            part.pins.push(pin(&own.file, format!("HWADDR={mac} fits that interface alone")));
        }
        if let Some(mac) = own.get("MACADDR").filter(|it| it.contains(':')) {
            part.pins.push(pin(&own.file, format!("MACADDR={mac} is given to every clone")));
        }
        let fits = match (mac, &device) {
            (Some(mac), _) => Fits::Macs(vec![mac]),
            (None, Some(device)) => Fits::names([device.as_str()]),
            // To NetworkManager, a connection without DEVICE is for any interface.
            (None, None) => Fits::Any,
        };
        let upper = ["BRIDGE", "MASTER", "TEAM_MASTER"].iter().find_map(|key| own.get(key));
        let (over, method) = match upper {
            None => (None, method(own)),
            Some(upper) => {
                let found = all.iter().find(|it| it.get("DEVICE").as_ref() == Some(&upper));
                (Some(upper), found.map_or(Method::Nothing, method))
            }
        };
        let off = own.get("ONBOOT").is_some_and(|it| it.eq_ignore_ascii_case("no"));
        part.profiles.push(Profile {
            by: Component::NetworkScripts,
            starts: false,
            file: own.file.clone(),
            fits,
            over,
            method,
            idle: off.then(|| "ONBOOT=no".into()),
        });
    }
    Ok(part)
}

fn method(own: &Ifcfg) -> Method {
    let proto = own.get("BOOTPROTO").unwrap_or_default().to_ascii_lowercase();
    let yes = |key: &str| own.get(key).is_some_and(|it| it.eq_ignore_ascii_case("yes"));
    if matches!(proto.as_str(), "dhcp" | "bootp" | "dhcp4" | "dhcp6" | "dhcp+autoip" | "ibft")
        || yes("DHCPV6C")
    {
        return Method::Dhcp;
    }
    let addresses = own.addresses();
    match () {
        () if !addresses.is_empty() => Method::Static(addresses),
        () if yes("IPV6_AUTOCONF") || proto == "auto6" => Method::RouterAdvertisements,
        () if proto == "autoip" => Method::LinkLocal,
        () => Method::Nothing,
    }
}

/// What the `network` script brings up.
pub(super) fn scripts(look: &Look<'_>, starts: bool) -> Result<Part, GuestError> {
    if look.first(&["/etc/rc.d/init.d/network", "/etc/init.d/network"])?.is_none()
        || look.files.names(&path(RED_HAT))?.is_empty()
    {
        return Ok(Part::default());
    }
    let mut part = red_hat(look)?;
    let general = look.text(&path("/etc/sysconfig/network"))?;
    let off = match &general {
        None => Some("there is no /etc/sysconfig/network, without which the network script ends"),
        Some(text) if variable(text, "NETWORKING").as_deref() == Some("no") => {
            Some("NETWORKING=no in /etc/sysconfig/network")
        }
        Some(_) => None,
    };
    for profile in &mut part.profiles {
        profile.starts = starts;
        if profile.fits == Fits::Any {
            // The script takes the name of the file where DEVICE is not set.
            let name = profile.file.name().unwrap_or_default();
            let name = String::from_utf8_lossy(name).replacen("ifcfg-", "", 1);
            profile.fits = Fits::names([name.as_str()]);
        }
        if profile.idle.is_none() {
            profile.idle = off.map(str::to_owned);
        }
    }
    Ok(part)
}

/// What wicked brings up.
pub(super) fn wicked(look: &Look<'_>, starts: bool) -> Result<Part, GuestError> {
    let mut part = Part::default();
    if look.program("wicked")?.is_none() && look.program("wickedd")?.is_none() {
        return Ok(part);
    }
    let xml = path("/etc/wicked/ifconfig");
    if look.names(&xml)?.iter().any(|it| it.ends_with(b".xml")) {
        look.odd(&xml, "settings of wicked's own kind, which are not read");
    }
    let all = files(look, SUSE)?;
    for own in &all {
        let over = all.iter().find(|it| {
            [
                "BRIDGE_PORTS",
                "BONDING_SLAVE0",
                "BONDING_SLAVE_0",
                "BONDING_SLAVE1",
                "BONDING_SLAVE_1",
            ]
            .iter()
            .filter_map(|key| it.get(key))
            .any(|ports| ports.split_whitespace().any(|port| port == own.name))
        });
        let mode = own.get("STARTMODE").unwrap_or_else(|| "manual".into()).to_ascii_lowercase();
        let up = matches!(
            mode.as_str(),
            "auto" | "onboot" | "on" | "boot" | "nfsroot" | "hotplug" | "ifplugd"
        );
        if let Some(mac) = own.get("LLADDR").filter(|it| it.contains(':')) {
            part.pins.push(pin(&own.file, format!("LLADDR={mac} is given to every clone")));
        }
        part.profiles.push(Profile {
            by: Component::Wicked,
            starts,
            file: own.file.clone(),
            fits: Fits::names([own.name.as_str()]),
            over: over.map(|it| it.name.clone()),
            method: over.map_or_else(|| method(own), method),
            idle: (!up).then(|| format!("STARTMODE={mode}")),
        });
    }
    Ok(part)
}
