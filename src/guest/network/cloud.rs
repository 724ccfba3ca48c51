//! What cloud-init's configuration comes to: it writes in the dialect of another component, and that
//! one has to start.

use super::look::Look;
use super::{Cloud, Component, interfaces, netplan};
use crate::guest::GuestError;

/// Whether what cloud-init writes brings a link up, and the words for it; and why that is not known.
type Outcome = (Option<(bool, String)>, Option<String>);

/// What is said where cloud-init is all that brings a link up, and does so on a condition.
pub(super) const ALONE: &str = "where not, no link comes up, and net.fallback=dhcp writes nothing \
                                beside cloud-init's own";

pub(super) fn read(
    look: &Look<'_>,
    running: &[(Component, String)],
) -> Result<Outcome, GuestError> {
    let (renderers, only_where, fixed) = match look.boot.cloud {
        Cloud::No => return Ok((None, None)),
        Cloud::NotKnown(why) => return Ok((None, Some(why.to_owned()))),
        Cloud::Writes { renderers, only_where, fixed } => (renderers, only_where, fixed),
    };
    let Some(renderer) = renderers.first() else {
        let words = "cloud-init finds no program that it could configure the network for";
        return Ok((Some((false, words.into())), None));
    };
    let starts = |component| running.iter().any(|it| it.0 == component);
    let lacks = match renderer.as_str() {
        "eni" => {
            if let Some(words) = interfaces::refused(look)? {
                return Ok((
                    Some((false, format!("cloud-init writes for eni, and {words}"))),
                    None,
                ));
            }
            let mut client = false;
            for name in interfaces::CLIENTS {
                client = client || look.program(name)?.is_some();
            }
            match () {
                () if !starts(Component::Ifupdown)
                    && !interfaces::handles_hotplug(look, false)? =>
                {
                    Some("ifupdown does not start")
                }
                () if !client => Some("ifupdown has no DHCP client"),
                () => None,
            }
        }
        // `netplan generate`, called while the guest boots, starts systemd-networkd itself.
        "netplan" => {
            if let Some((file, words)) = netplan::refused(look)? {
                let words = format!("cloud-init writes for netplan, and {file}: {words}");
                return Ok((None, Some(words)));
            }
            let networkd = ["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"];
            (look.first(&networkd)?.is_none() && !starts(Component::NetworkManager))
                .then_some("neither systemd-networkd is installed nor NetworkManager starts")
        }
        "network-manager" => {
            (!starts(Component::NetworkManager)).then_some("NetworkManager does not start")
        }
        "networkd" => (!starts(Component::Networkd)).then_some("systemd-networkd does not start"),
        "sysconfig" => {
            let readers = [Component::NetworkScripts, Component::Wicked, Component::NetworkManager];
            (!readers.into_iter().any(starts))
                .then_some("neither the network script, wicked nor NetworkManager starts")
        }
        other => {
            return Ok((
                None,
                Some(format!("cloud-init writes for '{other}', which is not known here")),
            ));
        }
    };
    let place = only_where.map(|it| format!(", where {it}")).unwrap_or_default();
    if let Some(lacks) = lacks {
        return Ok((
            Some((false, format!("cloud-init writes for {renderer}{place}, and {lacks}"))),
            None,
        ));
    }
    let what = match fixed {
        Some(file) => format!("what {file} fixes, the same in every clone"),
        None => "what its data source says, or DHCP on the first interface".into(),
    };
    Ok((Some((true, format!("cloud-init{place} (by {renderer}): {what}"))), None))
}
