//! The files that make a guest ask for an address by DHCP on every Ethernet interface, in the
//! dialect of what it has.

use super::link::{Chance, Naming};
use super::look::Look;
use super::{Boot, Component, interfaces, manager, netplan, networkd, path, sysconfig};
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// What is to be written and linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// What brings the link up then.
    pub by: Component,
    /// Files: path, whole content, mode; owned by root.
    pub files: Vec<(GuestPath, Vec<u8>, u16)>,
    /// Symlinks that make it start: path, target.
    pub links: Vec<(GuestPath, Vec<u8>)>,
}

impl Fallback {
    fn new(by: Component) -> Self {
        Self { by, files: Vec::new(), links: Vec::new() }
    }

    fn file(mut self, at: &str, content: impl Into<Vec<u8>>, mode: u16) -> Self {
        self.files.push((path(at), content.into(), mode));
        self
    }
}

/// What is said at the head of each file.
const HEAD: &str = "# Written by sysprep-rs: DHCP on every Ethernet interface.\n";

/// What makes the guest ask for an address by DHCP on every Ethernet interface; in words, why there
/// is nothing that could.
///
/// What starts anyway is taken before what would have to be made to start. Nothing is left out of
/// the guest's own configuration, so that reading the guest again with these files tells whether
/// they are enough.
///
/// # Errors
/// The guest cannot be read.
pub fn fallback(files: &dyn Files, boot: Boot<'_>) -> Result<Result<Fallback, String>, GuestError> {
    let look = Look::new(files, boot)?;
    // Of the two that fit an interface by pattern, the one that runs; netplan hands down to them.
    let manager = look.started(Component::NetworkManager)?.is_some();
    let networkd = look.started(Component::Networkd)?.is_some();
    let has_networkd = look
        .first(&["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"])?
        .is_some();
    let has_networkd = has_networkd && !has_another_init(&look)?;
    if netplan::generates(&look)? && (manager || has_networkd) {
        if let Some((file, words)) = netplan::refused(&look)? {
            return Ok(Err(format!("{file}: {words}: correct that file")));
        }
        let renderer = if manager && !networkd { "NetworkManager" } else { "networkd" };
        let text = format!(
            "{HEAD}network:\n  version: 2\n  ethernets:\n    sysprep-dhcp:\n      renderer: {renderer}\n      \
             match:\n        name: \"e*\"\n      dhcp4: true\n      dhcp6: true\n"
        );
        let mut found = Fallback::new(Component::Netplan).file(
            "/etc/netplan/95-sysprep-dhcp.yaml",
            text,
            0o600,
        );
        if renderer == "NetworkManager" {
            found = managed(&look, found)?;
        }
        return Ok(Ok(found));
    }
    if networkd {
        return Ok(Ok(for_networkd(&look)?));
    }
    if manager {
        return Ok(Ok(for_manager(&look)?));
    }
    let mut why = None;
    for component in [Component::Ifupdown, Component::Wicked, Component::NetworkScripts] {
        if look.started(component)?.is_some() {
            match named(&look, component)? {
                Ok(found) => return Ok(Ok(found)),
                Err(words) => why = why.or(Some(words)),
            }
        }
    }
    // dhcpcd and ConnMan take every interface unless they are told not to; that is not undone here.
    for component in [Component::Dhcpcd, Component::Connman] {
        if look.started(component)?.is_some() {
            why = why.or(Some(format!(
                "{component} starts, and its own configuration keeps it off Ethernet interfaces"
            )));
        }
    }
    if let Some(why) = why {
        return Ok(Err(why));
    }
    idle(&look, has_networkd)
}

/// Whether another init system than systemd starts the guest, which may be installed all the same.
fn has_another_init(look: &Look<'_>) -> Result<bool, GuestError> {
    let init = path("/sbin/init");
    Ok(match look.files.link_target(&init)? {
        Some(target) => !target.windows(7).any(|it| it == b"systemd"),
        None => look.files.locate(&init)?.is_some(),
    })
}

/// What is installed and does not start is made to.
fn idle(look: &Look<'_>, has_networkd: bool) -> Result<Result<Fallback, String>, GuestError> {
    let systemd = look.first(&["/usr/lib/systemd/systemd", "/lib/systemd/systemd"])?.is_some();
    if systemd && !has_another_init(look)? {
        if has_networkd && let Some(link) = unit(look, "systemd-networkd.service")? {
            let mut found = for_networkd(look)?;
            found.links.push(link);
            return Ok(Ok(found));
        }
        if let Some(link) = unit(look, "NetworkManager.service")? {
            let mut found = for_manager(look)?;
            found.links.push(link);
            return Ok(Ok(found));
        }
        let mut why = None;
        if let Some(link) = unit(look, "networking.service")? {
            match named(look, Component::Ifupdown)? {
                Ok(mut found) => {
                    found.links.push(link);
                    return Ok(Ok(found));
                }
                Err(words) => why = Some(words),
            }
        }
        if let Some(link) = unit(look, "dhcpcd.service")? {
            let mut found = Fallback::new(Component::Dhcpcd);
            found.links.push(link);
            return Ok(Ok(found));
        }
        if let Some(why) = why {
            return Ok(Err(why));
        }
    } else if let Some((script, runlevels)) = openrc(look)? {
        let link = |name: &str, level: &str| {
            (
                runlevels.join(level.as_bytes()).join(name.as_bytes()),
                script.join(name.as_bytes()).to_bytes(),
            )
        };
        if look.is_file("/etc/init.d/networking")?
            && let Ok(mut found) = named(look, Component::Ifupdown)?
        {
            found.links.push(link("networking", "boot"));
            return Ok(Ok(found));
        }
        if look.is_file("/etc/init.d/dhcpcd")? && look.program("dhcpcd")?.is_some() {
            let mut found = Fallback::new(Component::Dhcpcd);
            found.links.push(link("dhcpcd", "default"));
            return Ok(Ok(found));
        }
    } else if look.is_file("/etc/sv/dhcpcd/run")? && look.program("dhcpcd")?.is_some() {
        let mut found = Fallback::new(Component::Dhcpcd);
        found.links.push((path("/etc/runit/runsvdir/default/dhcpcd"), b"/etc/sv/dhcpcd".to_vec()));
        return Ok(Ok(found));
    }
    Ok(Err("nothing is installed that could ask for an address: install NetworkManager, \
            systemd-networkd, ifupdown with a DHCP client, or dhcpcd"
        .into()))
}

/// Where OpenRC's scripts and runlevels are.
fn openrc(look: &Look<'_>) -> Result<Option<(GuestPath, GuestPath)>, GuestError> {
    let levels = path("/etc/runlevels");
    let there = look.files.follow(&levels)?.is_some_and(|it| it.kind == Kind::Directory);
    Ok(there.then(|| (path("/etc/init.d"), levels)))
}

/// The link that makes a unit start in multi-user.target; `None` where the unit is not installed or
/// is masked.
fn unit(look: &Look<'_>, name: &str) -> Result<Option<(GuestPath, Vec<u8>)>, GuestError> {
    let own = path("/etc/systemd/system").join(name.as_bytes());
    if look.files.link_target(&own)?.is_some_and(|it| it == b"/dev/null") {
        return Ok(None);
    }
    for folder in ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"] {
        let file = path(folder).join(name.as_bytes());
        if look.files.follow(&file)?.is_some_and(|it| it.kind == Kind::File) {
            let wants = path("/etc/systemd/system/multi-user.target.wants");
            return Ok(Some((wants.join(name.as_bytes()), file.to_bytes())));
        }
    }
    Ok(None)
}

fn for_networkd(look: &Look<'_>) -> Result<Fallback, GuestError> {
    // The first file that fits an interface counts: one that fits all and brings none up is put
    // behind.
    let now = networkd::read(look, true, Vec::new())?;
    let sure = now.profiles.iter().any(|it| it.fits.chance(look.naming, &[]) == Chance::Sure);
    let name = if sure { "05-sysprep-dhcp" } else { "89-sysprep-dhcp" };
    let text = format!("{HEAD}[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n");
    let at = format!("/etc/systemd/network/{name}.network");
    Ok(Fallback::new(Component::Networkd).file(&at, text, 0o644))
}

fn for_manager(look: &Look<'_>) -> Result<Fallback, GuestError> {
    let text = format!(
        "{HEAD}[connection]\nid=sysprep-dhcp\ntype=ethernet\nautoconnect-priority=-100\n\n\
         [ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
    );
    let at = "/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection";
    managed(look, Fallback::new(Component::NetworkManager).file(at, text, 0o600))
}

/// Where a setting keeps NetworkManager off every interface, one that takes it back.
fn managed(look: &Look<'_>, found: Fallback) -> Result<Fallback, GuestError> {
    if !manager::is_off(look)? {
        return Ok(found);
    }
    let text = format!(
        "{HEAD}[keyfile]\nunmanaged-devices=\n\n[device-sysprep-dhcp]\nmatch-device=type:ethernet\nmanaged=1\n"
    );
    Ok(found.file("/etc/NetworkManager/conf.d/zz-sysprep-dhcp.conf", text, 0o644))
}

/// Those that know interfaces by their names alone.
fn named(look: &Look<'_>, component: Component) -> Result<Result<Fallback, String>, GuestError> {
    if component == Component::Ifupdown {
        return ifupdown(look);
    }
    if look.naming == Naming::Predictable {
        return Ok(Err(format!(
            "{component} knows interfaces by name alone, and the clone's is not known: boot with \
             net.ifnames=0, so that it is eth0"
        )));
    }
    Ok(Ok(match component {
        Component::Wicked => Fallback::new(component).file(
            &format!("{}/ifcfg-eth0", sysconfig::SUSE),
            format!("{HEAD}BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"),
            0o644,
        ),
        _ => {
            let found = Fallback::new(component).file(
                &format!("{}/ifcfg-eth0", sysconfig::RED_HAT),
                format!("{HEAD}DEVICE=eth0\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n"),
                0o644,
            );
            // Without it the network script ends before it begins.
            match look.is_file("/etc/sysconfig/network")? {
                true => found,
                false => found.file("/etc/sysconfig/network", "NETWORKING=yes\n", 0o644),
            }
        }
    }))
}

fn ifupdown(look: &Look<'_>) -> Result<Result<Fallback, String>, GuestError> {
    let mut client = false;
    for name in interfaces::CLIENTS {
        client = client || look.program(name)?.is_some();
    }
    if !client {
        return Ok(Err(
            "ifupdown has no DHCP client: install isc-dhcp-client, dhcpcd or udhcpc".into()
        ));
    }
    let Some(program) = look.program("ifup")? else {
        return Ok(Err("ifupdown is not installed, only its service".into()));
    };
    if let Some(words) = interfaces::refused(look)? {
        return Ok(Err(format!("{words}: correct that line")));
    }
    let target = look.files.link_target(&program)?.unwrap_or_default();
    let busybox = target.ends_with(b"busybox");
    let other = busybox
        || look.is_file("/usr/share/ifupdown2/sbin/start-networking")?
        || look.is_file("/usr/libexec/ifupdown-ng/dhcp")?;
    let stanza = match (other, look.naming) {
        (false, _) => "auto /e*=sysprep\niface sysprep inet dhcp\n",
        (true, Naming::Predictable) => {
            return Ok(Err(
                "this ifupdown knows interfaces by name alone, and the clone's is not \
                           known: boot with net.ifnames=0, so that it is eth0"
                    .into(),
            ));
        }
        (true, _) => {
            let now = interfaces::read(look, true)?;
            // A second stanza for it would be an error.
            match now.profiles.iter().any(|it| it.fits.takes("eth0")) {
                true => "auto eth0\n",
                false => "auto eth0\niface eth0 inet dhcp\n",
            }
        }
    };
    let main = path(interfaces::MAIN);
    let mut text = look.text(&main)?.unwrap_or_default();
    if text.is_empty() {
        text.push_str("auto lo\niface lo inet loopback\n");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let added = format!("\n{HEAD}{stanza}");
    // Once, also where it is not enough.
    if !text.contains(&added) {
        text.push_str(&added);
    }
    let mut found = Fallback::new(Component::Ifupdown).file(interfaces::MAIN, text, 0o644);
    let units =
        ["/usr/lib/systemd/system/networking.service", "/lib/systemd/system/networking.service"];
    if !other && look.first(&units)?.is_some() {
        // A pattern takes the interfaces that there are by then, and ifupdown waits for udev only
        // where it knows of one.
        found = found.file(
            "/etc/systemd/system/networking.service.d/sysprep-dhcp.conf",
            format!("{HEAD}[Service]\nExecStartPre=-/usr/bin/udevadm settle\n"),
            0o644,
        );
    }
    Ok(Ok(found))
}
