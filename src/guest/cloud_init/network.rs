//! What cloud-init does with the network at first boot (`stages.py`, `net/renderers.py`).

use super::settings::Settings;
use super::text;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// What becomes of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// It is configured: by the datasource, or by DHCP on the first interface where that says nothing.
    Renders {
        /// The dialects that the guest understands, the one that is taken first; empty where
        /// cloud-init finds none, and nothing is configured.
        renderers: Vec<String>,
        /// The settings that fix it, the same for every clone.
        fixed: Option<GuestPath>,
    },
    /// cloud-init leaves it alone; this file says so.
    Disabled(GuestPath),
}

/// cloud-init's own order of renderers. Which of `sysconfig` and `netplan` comes first depends on the
/// version, and only one of the two is in a guest.
const ORDER: &[&str] = &["eni", "sysconfig", "netplan", "network-manager", "networkd"];

/// What it does.
pub(super) fn read(files: &dyn Files, settings: &Settings) -> Result<Network, GuestError> {
    let upgraded = text::path("/var/lib/cloud/data/upgraded-network");
    if files.follow(&upgraded)?.is_some() {
        return Ok(Network::Disabled(upgraded));
    }
    let mut fixed = None;
    if let Some(network) = settings.get("network").filter(|it| it.truth()) {
        let inner = network.get("network").unwrap_or_else(|| network.clone());
        if let Some(config) = inner.get("config")
            && config.text() == Some("disabled")
        {
            return Ok(Network::Disabled(config.path()));
        }
        fixed = Some(network.path());
    }
    let listed = settings.get("system_info").and_then(|it| it.get("network")?.get("renderers"));
    let order: Vec<String> = match listed.filter(|it| it.truth()) {
        Some(list) => list.texts(),
        None => ORDER.iter().map(|it| (*it).to_owned()).collect(),
    };
    let mut renderers = Vec::new();
    for name in order {
        if is_there(files, &name)? && !renderers.contains(&name) {
            renderers.push(name);
        }
    }
    Ok(Network::Renders { renderers, fixed })
}

/// Whether the guest has what a renderer looks for.
fn is_there(files: &dyn Files, name: &str) -> Result<bool, GuestError> {
    let all = |programs: &[&str], folders: &[&str]| -> Result<bool, GuestError> {
        for program in programs {
            let mut one = false;
            for folder in folders {
                one = one || text::program(files, &format!("{folder}/{program}"))?.is_some();
            }
            if !one {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let any_file = |paths: &[&str]| -> Result<bool, GuestError> {
        for path in paths {
            if text::is_file(files, &text::path(path))? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    // Beside the folders that a renderer names itself, the ones of PATH.
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    match name {
        "eni" => Ok(all(&["ifquery", "ifup", "ifdown"], &folders)?
            && any_file(&["/etc/network/interfaces"])?),
        "sysconfig" => Ok(all(&["ifup", "ifdown"], &folders)?
            && any_file(&[
                "/etc/sysconfig/network-scripts/network-functions",
                "/etc/sysconfig/config",
                "/etc/sysconfig/network/config",
            ])?),
        "netplan" => all(&["netplan"], &folders),
        "network-manager" => Ok(all(&["nmcli"], &folders)?
            && any_file(&["/etc/NetworkManager/NetworkManager.conf"])?
            && has_network_manager(files)?),
        "networkd" => all(&["ip", "systemctl"], &folders),
        _ => Ok(false),
    }
}

/// Whether NetworkManager is enabled where units are.
fn has_network_manager(files: &dyn Files) -> Result<bool, GuestError> {
    if !text::is_directory(files, &text::path("/etc/systemd/system"))? {
        return Ok(true);
    }
    for folder in ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] {
        let link = format!("{folder}/multi-user.target.wants/NetworkManager.service");
        if files.locate(&text::path(&link))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
