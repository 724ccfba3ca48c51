//! Which component brings a network link up when the guest first boots as a clone, read off its
//! files, and what in them is tied to the machine that it was built on.
//!
//! A clone is taken to have one Ethernet interface, with another MAC address than the builder's and
//! a name that only its machine decides.

mod cloud;
mod daemon_user;
mod daemons;
mod fallback;
mod interfaces;
mod key_file;
mod link;
mod look;
mod manager;
mod manager_profiles;
mod netplan;
mod networkd;
mod pins;
mod plain_yaml;
mod sysconfig;
mod verdict;

use std::fmt;

use super::{Files, GuestError};
use crate::path::GuestPath;
use look::Look;

pub use fallback::{Fallback, fallback};
pub use link::{Fits, Naming};
pub use verdict::Verdict;

/// What can bring a link up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// cloud-init, by whichever of the others it writes for.
    CloudInit,
    /// netplan, by systemd-networkd or NetworkManager.
    Netplan,
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
    /// ifupdown, ifupdown2, ifupdown-ng or busybox: `/etc/network/interfaces`.
    Ifupdown,
    /// wicked.
    Wicked,
    /// The `network` script of network-scripts.
    NetworkScripts,
    /// dhcpcd as a service of its own.
    Dhcpcd,
    /// ConnMan.
    Connman,
}

impl Component {
    /// What is asked whether it starts, units and scripts of every init system.
    pub(crate) fn starters(self) -> &'static [&'static str] {
        match self {
            Self::CloudInit | Self::Netplan => &[],
            Self::NetworkManager => &["NetworkManager.service", "NetworkManager", "networkmanager"],
            Self::Networkd => &["systemd-networkd.service", "systemd-networkd.socket"],
            Self::Ifupdown => &["networking.service", "networking"],
            Self::Wicked => &["wicked.service", "wicked"],
            Self::NetworkScripts => &["network.service", "network"],
            Self::Dhcpcd => &["dhcpcd.service", "dhcpcd5.service", "dhcpcd"],
            Self::Connman => &["connman.service", "connman", "connmand"],
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudInit => "cloud-init",
            Self::Netplan => "netplan",
            Self::NetworkManager => "NetworkManager",
            Self::Networkd => "systemd-networkd",
            Self::Ifupdown => "ifupdown",
            Self::Wicked => "wicked",
            Self::NetworkScripts => "network-scripts",
            Self::Dhcpcd => "dhcpcd",
            Self::Connman => "ConnMan",
        })
    }
}

/// How an interface gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// By DHCP, of either version.
    Dhcp,
    /// By IPv6 router advertisements alone.
    RouterAdvertisements,
    /// These addresses, the same in every clone.
    Static(Vec<String>),
    /// Link-local addresses, which reach nothing beyond the link.
    LinkLocal,
    /// None.
    Nothing,
}

/// One setting for an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What reads it.
    pub by: Component,
    /// Whether booting starts that.
    pub starts: bool,
    /// Where it stands; the program or folder where it is a default that no file states.
    pub file: GuestPath,
    /// Which interface it is for.
    pub fits: Fits,
    /// The bridge, bond or the like over that interface that gets the address.
    pub over: Option<String>,
    /// How the address comes.
    pub method: Method,
    /// Why it brings nothing up although it fits and has a method.
    pub idle: Option<String>,
}

/// Something that ties the guest's network to the machine that it was built on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// The file.
    pub file: GuestPath,
    /// What it holds, in words.
    pub words: String,
}

/// What cloud-init does with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud<'a> {
    /// It does not run, or leaves the network alone.
    No,
    /// That is not known; why.
    NotKnown(&'a str),
    /// It writes a configuration.
    Writes {
        /// The dialects whose programs the guest has, the one that it takes first; by its own names.
        renderers: &'a [String],
        /// Where it does not run on every machine: the condition, in words ("a data source is found").
        only_where: Option<&'a str>,
        /// The settings that fix the configuration, the same for every clone.
        fixed: Option<&'a GuestPath>,
    },
}

/// What a reader of the network has to be told about the guest's boot.
#[derive(Clone, Copy)]
pub struct Boot<'a> {
    /// Whether booting starts something, and what says so, in words; `None` where nothing starts it.
    ///
    /// A name that ends in `.service` or `.socket` is a systemd unit, and is nothing in a guest with
    /// another init system. Any other name is a script of OpenRC, SysV init or runit, and is nothing
    /// in a guest with systemd (which knows the script as a unit).
    pub starts: &'a dyn Fn(&str) -> Result<Option<String>, GuestError>,
    /// What cloud-init does.
    pub cloud: Cloud<'a>,
    /// The words of the kernel's command line; `None` where that is not known.
    pub kernel: Option<&'a [String]>,
}

/// How a guest's network comes up.
#[derive(Clone, Debug)]
pub struct Network {
    /// Every setting for an interface other than loopback, of what starts and of what does not.
    pub profiles: Vec<Profile>,
    /// What ties it to the builder.
    pub pins: Vec<Pin>,
    /// How interfaces are named.
    pub naming: Naming,
    /// What starts, and by what.
    pub running: Vec<(Component, String)>,
    /// What could not be looked into or is not understood, one line each.
    pub odd: Vec<(GuestPath, String)>,
    /// What cloud-init comes to: what it does, and whether that brings a link up.
    cloud: Option<(bool, String)>,
    /// Whether it does so on a condition.
    cloud_on_condition: bool,
    /// Whether it is not known what cloud-init does, and why.
    cloud_not_known: Option<String>,
    /// Names that an interface has only where it has the builder's MAC address.
    given: Vec<String>,
}

/// Reads it off a guest.
///
/// # Errors
/// The guest cannot be read.
pub fn read(files: &dyn Files, boot: Boot<'_>) -> Result<Network, GuestError> {
    let look = Look::new(files, boot)?;
    let mut running = Vec::new();
    for component in [
        Component::NetworkManager,
        Component::Networkd,
        Component::Ifupdown,
        Component::Wicked,
        Component::NetworkScripts,
        Component::Dhcpcd,
        Component::Connman,
    ] {
        if let Some(by) = look.started(component)? {
            running.push((component, by));
        }
    }
    let mut pins = pins::read(&look)?;
    let given = pins.given;
    let plan = netplan::read(&look, &running)?;
    if plan.starts_networkd && !running.iter().any(|it| it.0 == Component::Networkd) {
        running.push((Component::Networkd, "netplan's generator".into()));
    }
    let starts = |component| running.iter().any(|it| it.0 == component);
    pins.pins.extend(plan.pins);
    let mut profiles = plan.profiles;
    let parts = [
        networkd::read(&look, starts(Component::Networkd), plan.networkd)?,
        manager::read(&look, starts(Component::NetworkManager), plan.manages_all, &profiles)?,
        interfaces::read(&look, starts(Component::Ifupdown))?,
        sysconfig::scripts(&look, starts(Component::NetworkScripts))?,
        sysconfig::wicked(&look, starts(Component::Wicked))?,
        daemons::dhcpcd(&look, starts(Component::Dhcpcd))?,
        daemons::connman(&look, starts(Component::Connman))?,
    ];
    for part in parts {
        profiles.extend(part.profiles);
        pins.pins.extend(part.pins);
    }
    let (cloud, cloud_not_known) = cloud::read(&look, &running)?;
    let cloud_on_condition = matches!(boot.cloud, Cloud::Writes { only_where: Some(_), .. });
    let openwrt = path("/etc/config/network");
    if look.is_file("/etc/config/network")? && look.is_file("/sbin/netifd")? {
        look.odd(&openwrt, "OpenWrt's settings, which are not looked into");
    }
    if look.is_file("/etc/NIXOS")? {
        look.odd(
            &path("/etc/NIXOS"),
            "NixOS's programs are in its store, which is not looked into",
        );
    }
    for word in boot.kernel.unwrap_or_default().iter().filter(|it| it.starts_with("ip=")) {
        look.odd(&path("/proc/cmdline"), format!("{word}: the initramfs may bring a link up"));
    }
    let mut pins = pins.pins;
    pins.sort();
    pins.dedup();
    let (naming, odd) = look.end();
    Ok(Network {
        profiles,
        pins,
        naming,
        running,
        odd,
        cloud,
        cloud_on_condition,
        cloud_not_known,
        given,
    })
}

/// What one component's files come to.
#[derive(Debug, Default)]
struct Part {
    profiles: Vec<Profile>,
    pins: Vec<Pin>,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}
