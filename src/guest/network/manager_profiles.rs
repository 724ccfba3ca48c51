//! NetworkManager's connections: key files, and Red Hat's `ifcfg` files where its plugin is
//! installed (nm-settings-keyfile(5), nm-settings-ifcfg-rh(5)).

use super::key_file::{Setting, flag, last, settings};
use super::link::Fits;
use super::look::Look;
use super::manager::Config;
use super::pins::pin;
use super::{Component, Method, Part, Profile, path, sysconfig};
use crate::fs::Kind;
use crate::guest::GuestError;
use crate::path::GuestPath;

/// Where key files are that an administrator has.
const OWN: &str = "/etc/NetworkManager/system-connections";

/// Where a package's are.
const PACKAGED: &str = "/usr/lib/NetworkManager/system-connections";

/// The plugin that reads `ifcfg` files.
const PLUGIN: &str = "libnm-settings-plugin-ifcfg-rh.so";

/// A key file.
struct Connection {
    file: GuestPath,
    lines: Vec<Setting>,
    idle: Option<String>,
}

impl Connection {
    fn get(&self, key: &str) -> Option<&str> {
        last(&self.lines, "connection", key).filter(|it| !it.is_empty())
    }

    fn ethernet(&self, key: &str) -> Option<&str> {
        let new = last(&self.lines, "ethernet", key);
        new.or_else(|| last(&self.lines, "802-3-ethernet", key)).filter(|it| !it.is_empty())
    }

    fn fits(&self) -> Fits {
        if let Some(mac) = self.ethernet("mac-address") {
            return Fits::Macs(vec![mac.to_owned()]);
        }
        let list = |key: &str| -> Vec<String> {
            let value = last(&self.lines, "match", key).unwrap_or_default();
            value
                .split([';', ','])
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect()
        };
        for (key, shown) in
            [("driver", "Driver"), ("path", "Path"), ("kernel-command-line", "KernelCommandLine")]
        {
            let values = list(key);
            if !values.is_empty() {
                return Fits::Where(format!("with {shown}={}", values.join(" ")));
            }
        }
        let mut names = list("interface-name");
        if let Some(name) = self.get("interface-name") {
            names = vec![name.to_owned()];
        }
        for name in &mut names {
            // `|` and `&` before a pattern join it to the others; only `!` turns it round.
            *name = name.trim_start_matches(['|', '&']).to_owned();
        }
        match names.is_empty() || names == ["*"] {
            true => Fits::Any,
            false => Fits::Names(names),
        }
    }

    fn method(&self) -> Method {
        let of = |section: &str| last(&self.lines, section, "method").unwrap_or("auto");
        let addresses = |section: &str| -> Vec<String> {
            let own = self.lines.iter().filter(|it| {
                it.section == section && it.key.starts_with("address") && !it.value.is_empty()
            });
            own.map(|it| it.value.split([',', ';']).next().unwrap_or_default().to_owned()).collect()
        };
        match (of("ipv4"), of("ipv6")) {
            ("auto", _) | (_, "dhcp") => Method::Dhcp,
            ("manual", _) => Method::Static(addresses("ipv4")),
            (_, "manual") => Method::Static(addresses("ipv6")),
            (_, "auto") => Method::RouterAdvertisements,
            ("link-local", _) | (_, "link-local") => Method::LinkLocal,
            _ => Method::Nothing,
        }
    }
}

/// Every connection for an Ethernet interface.
pub(super) fn read(look: &Look<'_>, starts: bool, config: &Config) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let connections = connections(look)?;
    for own in &connections {
        if !matches!(own.get("type"), Some("ethernet" | "802-3-ethernet")) {
            continue;
        }
        let fits = own.fits();
        if let Fits::Macs(macs) = &fits {
            part.pins.push(pin(&own.file, format!("fits MAC address {} alone", macs.join(" "))));
        }
        if let Some(mac) = own.ethernet("cloned-mac-address").filter(|it| it.contains(':')) {
            part.pins.push(pin(&own.file, format!("gives every clone MAC address {mac}")));
        }
        let upper = own.get("controller").or_else(|| own.get("master"));
        let over = upper.map(|upper| {
            let named = |it: &&Connection| {
                it.get("interface-name") == Some(upper) || it.get("uuid") == Some(upper)
            };
            let found = connections.iter().find(named);
            let name = found.and_then(|it| it.get("interface-name")).unwrap_or(upper).to_owned();
            (name, found.map_or(Method::Nothing, Connection::method))
        });
        let off = own.get("autoconnect").and_then(flag) == Some(false);
        let (over, method) = match over {
            Some((name, method)) => (Some(name), method),
            None => (None, own.method()),
        };
        part.profiles.push(Profile {
            by: Component::NetworkManager,
            starts,
            file: own.file.clone(),
            fits,
            over,
            method,
            idle: own.idle.clone().or_else(|| off.then(|| "autoconnect is off".into())),
        });
    }
    if reads_ifcfg(look, config)? {
        let ifcfg = sysconfig::red_hat(look)?;
        part.pins.extend(ifcfg.pins);
        for mut profile in ifcfg.profiles {
            profile.by = Component::NetworkManager;
            profile.starts = starts;
            part.profiles.push(profile);
        }
    }
    Ok(part)
}

fn connections(look: &Look<'_>) -> Result<Vec<Connection>, GuestError> {
    let mut found = Vec::new();
    for (_, file) in look.layered(&[OWN, PACKAGED], "")? {
        let name = file.name().unwrap_or_default().to_vec();
        let own = file.starts_with(&path(OWN));
        const LEFT: [&[u8]; 8] =
            [b"~", b".bak", b".swp", b".orig", b".rpmsave", b".rpmnew", b".pem", b".der"];
        if name.starts_with(b".")
            || LEFT.iter().any(|end| name.ends_with(end))
            || (!own && !name.ends_with(b".nmconnection"))
        {
            continue;
        }
        let Some(text) = look.text(&file)? else { continue };
        let idle = match look.files.follow(&file)? {
            Some(state) if own && state.mode & 0o077 != 0 => Some(format!(
                "NetworkManager passes it over, because its mode {:04o} lets others at it",
                state.mode
            )),
            Some(state) if own && state.uid != 0 => {
                Some("NetworkManager passes it over, because root does not own it".to_owned())
            }
            _ => None,
        };
        found.push(Connection { lines: settings(&text, false), file, idle });
    }
    Ok(found)
}

/// Whether NetworkManager reads `ifcfg` files: its plugin is installed and not left out.
fn reads_ifcfg(look: &Look<'_>, config: &Config) -> Result<bool, GuestError> {
    if let Some((plugins, _)) = config.list("main", "plugins")
        && !plugins.is_empty()
        && !plugins.iter().any(|it| it == "ifcfg-rh")
    {
        return Ok(false);
    }
    for folder in ["/usr/lib64/NetworkManager", "/usr/lib/NetworkManager"] {
        let folder = path(folder);
        for (name, kind) in look.files.names(&folder)?.into_iter().take(super::look::FILES) {
            if name == PLUGIN.as_bytes() {
                return Ok(true);
            }
            let plugin = folder.join(&name).join(PLUGIN.as_bytes());
            if kind == Kind::Directory && look.files.follow(&plugin)?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
