//! Whether the addresses of a network-config make sense: what the schema has as texts.

use std::net::{IpAddr, Ipv6Addr};

use crate::problem::At;
use crate::yaml::{Node, Value};

/// What stands at a key.
#[derive(Clone, Copy)]
enum Due {
    /// An address.
    Ip,
    /// An address of this version of IP.
    Version(u8),
    /// An address and, behind a slash, how long its network's prefix is.
    Prefixed {
        /// The prefix may not be left out.
        needed: bool,
    },
    /// The same, or `default`.
    Destination,
    Netmask,
    Mac {
        /// Words that netplan takes in its place.
        words: &'static [&'static str],
    },
}

/// What netplan can be told in place of an address of a device's own.
const MAC_WORDS: &[&str] = &["permanent", "preserve", "random", "stable"];

/// What is wrong with the addresses of settings of version 1 or 2: where, and why.
pub(super) fn check(version: u8, settings: &Node) -> Vec<(At, String)> {
    let mut found = Vec::new();
    walk(version, "", settings, &mut found);
    found
}

/// Looks at everything below a node; `above` is the key that it stands at.
fn walk(version: u8, above: &str, node: &Node, found: &mut Vec<(At, String)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| walk(version, above, item, found)),
        Value::Map(entries) => {
            for entry in entries {
                let is_server = node.entry("type").and_then(|it| it.value.text());
                let is_server = is_server == Some("nameserver");
                match due(version, above, &entry.key, is_server) {
                    Some(due) => hold(due, &entry.key, &entry.value, found),
                    None => walk(version, &entry.key, &entry.value, found),
                }
            }
            if above == "routes" {
                route(node, found);
            }
        }
        _ => {}
    }
}

fn due(version: u8, above: &str, key: &str, is_server: bool) -> Option<Due> {
    Some(match (version, key) {
        (1, "address") if is_server => Due::Ip,
        (1, "address") if above == "subnets" => Due::Prefixed { needed: false },
        (1, "netmask") => Due::Netmask,
        (1, "gateway" | "dns_nameservers") => Due::Ip,
        (1, "broadcast") => Due::Version(4),
        (1, "destination" | "network") if !above.is_empty() => Due::Destination,
        (1, "mac_address") => Due::Mac { words: &[] },
        (2, "addresses") if above == "nameservers" => Due::Ip,
        (2, "addresses") => Due::Prefixed { needed: true },
        (2, "gateway4") => Due::Version(4),
        (2, "gateway6") => Due::Version(6),
        (2, "to") if above == "routes" => Due::Destination,
        (2, "via" | "from") if above == "routes" => Due::Ip,
        (2, "macaddress") if above == "match" => Due::Mac { words: &[] },
        (2, "macaddress") => Due::Mac { words: MAC_WORDS },
        _ => return None,
    })
}

/// Holds a value, or each of a list, to be what is due.
fn hold(due: Due, key: &str, node: &Node, found: &mut Vec<(At, String)>) {
    let problem = match &node.value {
        Value::List(items) => return items.iter().for_each(|item| hold(due, key, item, found)),
        // An address of netplan's may be a map with settings of its own.
        Value::Map(entries) => match due {
            Due::Prefixed { .. } => entries.iter().find_map(|it| wrong(due, &it.key)),
            _ => None,
        },
        Value::Text(text) => wrong(due, text),
        Value::Integer(_) if matches!(due, Due::Mac { .. }) => Some(
            "a number for cloud-init, which reads digits with colons in base 60 (YAML 1.1); put \
             the address in quotes"
                .to_owned(),
        ),
        // What else is no text is the schema's to tell.
        _ => None,
    };
    found.extend(problem.map(|problem| (node.at, format!("'{key}': {problem}"))));
}

/// Why a text is not what is due.
fn wrong(due: Due, text: &str) -> Option<String> {
    let no_address = || Some(format!("'{text}' is no IP address"));
    match due {
        Due::Ip => ip(text).is_none().then(no_address).flatten(),
        Due::Version(version) => match ip(text) {
            Some(it) if it.is_ipv4() == (version == 4) => None,
            Some(_) => Some(format!("'{text}' is an address, and none of IPv{version}")),
            None => no_address(),
        },
        Due::Destination if text == "default" => None,
        Due::Destination => prefixed(text, false),
        Due::Prefixed { needed } => prefixed(text, needed),
        Due::Netmask => (!is_netmask(text))
            .then(|| format!("'{text}' is no netmask, as in 255.255.255.0, and no prefix length")),
        Due::Mac { words } => (!is_mac(text) && !words.contains(&text))
            .then(|| format!("'{text}' is no MAC address, as in 52:54:00:12:34:56")),
    }
}

/// An IP address; an interface may stand behind one of IPv6.
fn ip(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => {
            address.parse().ok().map(|it: Ipv6Addr| it.into())
        }
        _ => text.parse().ok(),
    }
}

fn prefixed(text: &str, needed: bool) -> Option<String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Some(address) = address.parse::<IpAddr>().ok() else {
        return Some(format!("'{text}' is no IP address"));
    };
    let (longest, example) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
    let may_be_mask = !needed && prefix.is_some_and(|it| it.contains('.'));
    match prefix {
        None if needed => {
            Some(format!("'{text}' has no prefix length; write {address}/{example}, or what it is"))
        }
        Some(prefix) if !(is_prefix(prefix, longest) || may_be_mask && is_netmask(prefix)) => {
            Some(format!("'{text}': a prefix length of {address} is 0 to {longest}"))
        }
        _ => None,
    }
}

/// Whether it is a number of bits, written in digits alone.
fn is_prefix(text: &str, longest: u32) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    digits && text.parse::<u32>().is_ok_and(|it| it <= longest)
}

/// Whether it is ones and then zeroes, or how many ones.
fn is_netmask(text: &str) -> bool {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(mask)) => {
            let mask = u32::from(mask);
            mask.leading_ones() + mask.trailing_zeros().min(32 - mask.leading_ones()) == 32
        }
        Ok(IpAddr::V6(mask)) => {
            let mask = u128::from(mask);
            mask.leading_ones() + mask.trailing_zeros().min(128 - mask.leading_ones()) == 128
        }
        Err(_) => is_prefix(text, 128),
    }
}

/// Whether it is six bytes in hexadecimal, or the twenty of InfiniBand.
fn is_mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split(':').collect();
    let is_byte = |it: &&str| it.len() == 2 && it.bytes().all(|c| c.is_ascii_hexdigit());
    matches!(bytes.len(), 6 | 20) && bytes.iter().all(is_byte)
}

/// A route leads to its destination by a neighbour of the same version of IP.
fn route(node: &Node, found: &mut Vec<(At, String)>) {
    let address = |key: &str| {
        let text = node.entry(key)?.value.text()?;
        text.split('/').next()?.parse::<IpAddr>().ok()
    };
    let by = ["via", "gateway"].into_iter().find_map(|key| Some((key, address(key)?)));
    let to = ["to", "destination", "network"].into_iter().find_map(address);
    if let (Some((key, by)), Some(to)) = (by, to)
        && by.is_ipv4() != to.is_ipv4()
        && let Some(entry) = node.entry(key)
    {
        let problem = format!("'{key}': {by} is another kind of address than {to}, where it leads");
        found.push((entry.value.at, problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(bits: u32) -> std::net::Ipv4Addr {
        u32::MAX.checked_shl(32 - bits).unwrap_or(0).into()
    }

    #[test]
    fn netmasks_are_ones_and_then_zeroes() {
        assert!((0..=32).all(|bits| is_netmask(&mask(bits).to_string())));
        assert!(["ffff:ffff::", "::", "64", "0"].into_iter().all(is_netmask));
        for wrong in ["255.0.255.0", "255.255.255.1", "0.0.0.255", "ffff::1", "129", "", "+8"] {
            assert!(!is_netmask(wrong), "{wrong}");
        }
    }
}
