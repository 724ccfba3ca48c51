//! OpenStack's `network_data.json` of cloud-init's network settings, as far as it can say them:
//! Ethernet interfaces that are known by their MAC address.
//!
//! Anything else is refused by its name, and not left out: a machine with a network other than the
//! one that was asked for cannot be reached to be told so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

/// Subnets of version 1 without a fixed address, and what they are in OpenStack's form.
const DHCP: [(&str, &str); 6] = [
    ("dhcp", "ipv4_dhcp"),
    ("dhcp4", "ipv4_dhcp"),
    ("dhcp6", "ipv6_dhcp"),
    ("ipv6_slaac", "ipv6_slaac"),
    ("ipv6_dhcpv6-stateless", "ipv6_dhcpv6-stateless"),
    ("ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateful"),
];

/// The three lists of the form.
#[derive(Default)]
struct NetworkData {
    links: Vec<Value>,
    networks: Vec<Value>,
    services: Vec<Value>,
}

/// Rewrites settings of version 1 or 2.
///
/// # Errors
/// What has no place in OpenStack's form, in words.
pub(super) fn of(mut settings: Object) -> Result<Value, String> {
    // They may be below a key of their own.
    if let Some(Value::Object(inner)) = settings.get_mut("network") {
        settings = std::mem::take(inner);
    }
    let mut made = NetworkData::default();
    match settings.remove("version").as_ref().and_then(Value::as_u64) {
        Some(1) => made.version_1(settings)?,
        Some(2) => made.version_2(settings)?,
        _ => return Err("it says no version, 1 or 2".into()),
    }
    Ok(json!({ "links": made.links, "networks": made.networks, "services": made.services }))
}

impl NetworkData {
    fn version_1(&mut self, mut settings: Object) -> Result<(), String> {
        let items = take_list(&mut settings, "config")?;
        nothing_left(&settings, "version 1")?;
        for item in items {
            let Value::Object(mut item) = item else { return Err("an item is no map".into()) };
            match take_text(&mut item, "type")?.as_deref() {
                Some("physical") => {
                    let name = take_text(&mut item, "name")?.ok_or("an interface has no name")?;
                    let mac = take_text(&mut item, "mac_address")?;
                    self.link(&name, mac, Some(&name), item.remove("mtu"))?;
                    for subnet in take_list(&mut item, "subnets")? {
                        let Value::Object(subnet) = subnet else {
                            return Err(format!("a subnet of '{name}' is no map"));
                        };
                        self.subnet(&name, subnet)?;
                    }
                    nothing_left(&item, &name)?;
                }
                Some("nameserver") => {
                    let search = item.remove("search");
                    self.servers(texts(item.remove("address"))?, search);
                    nothing_left(&item, "nameserver")?;
                }
                Some(kind) => return Err(format!("nothing in it stands for '{kind}'")),
                None => return Err("an item has no type".into()),
            }
        }
        Ok(())
    }

    /// A subnet of version 1.
    fn subnet(&mut self, link: &str, mut subnet: Object) -> Result<(), String> {
        let kind = take_text(&mut subnet, "type")?.unwrap_or_default();
        let mut network = Object::new();
        for key in ["gateway", "metric", "broadcast", "dns_nameservers", "dns_search"] {
            if let Some(value) = subnet.remove(key) {
                network.insert(key.into(), value);
            }
        }
        let routes = take_list(&mut subnet, "routes")?;
        if !routes.is_empty() {
            let routes: Result<Vec<_>, _> = routes.into_iter().map(route_1).collect();
            network.insert("routes".into(), routes?.into());
        }
        match DHCP.iter().find(|(from, _)| *from == kind) {
            Some((_, to)) => network.insert("type".into(), json!(to)),
            None if ["static", "static4", "static6"].contains(&kind.as_str()) => {
                let address = take_text(&mut subnet, "address")?.unwrap_or_default();
                let netmask = take_text(&mut subnet, "netmask")?;
                fixed(&mut network, &address, netmask)?;
                None
            }
            None => return Err(format!("nothing in it stands for a subnet of type '{kind}'")),
        };
        nothing_left(&subnet, &format!("a subnet of '{link}'"))?;
        self.network(link, network);
        Ok(())
    }

    fn version_2(&mut self, mut settings: Object) -> Result<(), String> {
        let ethernets = take_map(&mut settings, "ethernets")?;
        nothing_left(&settings, "version 2")?;
        for (id, interface) in ethernets {
            let Value::Object(mut it) = interface else { return Err(format!("'{id}' is no map")) };
            let mut by = take_map(&mut it, "match")?;
            let mac = take_text(&mut by, "macaddress")?;
            nothing_left(&by, &format!("match of '{id}'"))?;
            let name = take_text(&mut it, "set-name")?;
            self.link(&id, mac, name.as_deref(), it.remove("mtu"))?;
            let mut networks = Vec::new();
            for (key, kind) in [("dhcp4", "ipv4_dhcp"), ("dhcp6", "ipv6_dhcp")] {
                match it.remove(key) {
                    Some(Value::Bool(true)) => {
                        networks.push(Object::from_iter([("type".into(), json!(kind))]));
                    }
                    None | Some(Value::Bool(false)) => {}
                    Some(other) => return Err(format!("'{key}' of '{id}' is {other}")),
                }
            }
            let mut gateways = ["gateway4", "gateway6"].map(|key| it.remove(key));
            let mut names = take_map(&mut it, "nameservers")?;
            let (servers, search) = (texts(names.remove("addresses"))?, names.remove("search"));
            nothing_left(&names, &format!("nameservers of '{id}'"))?;
            for address in texts(it.remove("addresses"))? {
                let mut network = Object::new();
                fixed(&mut network, &address, None)?;
                // The first address of its kind has the gateway.
                if let Some(gateway) = gateways[usize::from(address.contains(':'))].take() {
                    network.insert("gateway".into(), gateway);
                }
                networks.push(network);
            }
            // cloud-init takes them for the whole machine's, and for the first fixed address's.
            let is_fixed = |it: &&mut Object| it.contains_key("ip_address");
            if let Some(first) = networks.iter_mut().find(is_fixed) {
                if !servers.is_empty() {
                    first.insert("dns_nameservers".into(), json!(servers));
                }
                if let Some(search) = &search {
                    first.insert("dns_search".into(), search.clone());
                }
            }
            self.servers(servers, search);
            let routes: Result<Vec<_>, _> =
                take_list(&mut it, "routes")?.into_iter().map(route_2).collect();
            match (routes?, networks.first_mut()) {
                (routes, _) if routes.is_empty() => {}
                (routes, Some(first)) => {
                    first.insert("routes".into(), routes.into());
                }
                _ => return Err(format!("routes of '{id}', which has no address")),
            }
            if gateways.iter().any(Option::is_some) {
                return Err(format!("a gateway of '{id}', which has no fixed address beside it"));
            }
            nothing_left(&it, &id)?;
            for network in networks {
                self.network(&id, network);
            }
        }
        Ok(())
    }

    /// An interface, which in OpenStack's form is the one with a MAC address.
    fn link(
        &mut self,
        id: &str,
        mac: Option<String>,
        name: Option<&str>,
        mtu: Option<Value>,
    ) -> Result<(), String> {
        let mac = mac.ok_or_else(|| {
            format!("'{id}' is not known by its MAC address, and nothing in it stands for less")
        })?;
        let mut link = json!({ "id": id, "type": "phy", "ethernet_mac_address": mac });
        // Its place is not OpenStack's, but cloud-init's own.
        if let Some(name) = name {
            link["name"] = name.into();
        }
        if let Some(mtu) = mtu {
            link["mtu"] = mtu;
        }
        self.links.push(link);
        Ok(())
    }

    /// Name servers of the whole machine, and the domains that are searched.
    fn servers(&mut self, addresses: Vec<String>, mut search: Option<Value>) {
        for address in addresses {
            let mut service = json!({ "type": "dns", "address": address });
            // Its place is not OpenStack's, but cloud-init's own.
            if let Some(search) = search.take() {
                service["search"] = search;
            }
            self.services.push(service);
        }
    }

    fn network(&mut self, link: &str, mut network: Object) {
        network.insert("id".into(), format!("network{}", self.networks.len()).into());
        network.insert("link".into(), link.into());
        self.networks.push(network.into());
    }
}

/// A fixed address, whose netmask stands beside it.
fn fixed(network: &mut Object, address: &str, netmask: Option<String>) -> Result<(), String> {
    let (address, mask) = address_and_mask(address, netmask)?;
    let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    network.insert("type".into(), kind.into());
    network.insert("ip_address".into(), address.to_string().into());
    if let Some(mask) = mask {
        network.insert("netmask".into(), mask.into());
    }
    Ok(())
}

/// An address, and the netmask behind its slash or beside it.
fn address_and_mask(
    text: &str,
    beside: Option<String>,
) -> Result<(IpAddr, Option<String>), String> {
    let bad = || format!("'{text}' is no address");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let prefix = match (prefix, &beside) {
        (Some(prefix), _) => Some(prefix),
        // It may be written as a length there, too.
        (None, Some(beside)) if beside.parse::<u32>().is_ok() => Some(beside.as_str()),
        _ => return Ok((address, beside)),
    };
    let prefix: Option<u32> = prefix.and_then(|it| it.parse().ok());
    let mask: IpAddr = match (address, prefix) {
        (IpAddr::V4(_), Some(len @ 0..=32)) => {
            Ipv4Addr::from(u32::MAX.checked_shl(32 - len).unwrap_or(0)).into()
        }
        (IpAddr::V6(_), Some(len @ 0..=128)) => {
            Ipv6Addr::from(u128::MAX.checked_shl(128 - len).unwrap_or(0)).into()
        }
        _ => return Err(bad()),
    };
    Ok((address, Some(mask.to_string())))
}

/// A route of version 1.
fn route_1(route: Value) -> Result<Value, String> {
    let Value::Object(mut route) = route else { return Err("a route is no map".into()) };
    let to = match take_text(&mut route, "destination")? {
        Some(to) => to,
        None => take_text(&mut route, "network")?.ok_or("a route has no destination")?,
    };
    let netmask = take_text(&mut route, "netmask")?;
    made_route(route, &to, netmask, "gateway")
}

/// A route of version 2.
fn route_2(route: Value) -> Result<Value, String> {
    let Value::Object(mut route) = route else { return Err("a route is no map".into()) };
    let to = take_text(&mut route, "to")?.ok_or("a route has no destination")?;
    let is_wide = matches!(route.get("via"), Some(Value::String(via)) if via.contains(':'));
    let to = match (to.as_str(), is_wide) {
        ("default", false) => "0.0.0.0/0",
        ("default", true) => "::/0",
        _ => &to,
    };
    made_route(route, to, None, "via")
}

fn made_route(
    mut route: Object,
    to: &str,
    netmask: Option<String>,
    gateway: &str,
) -> Result<Value, String> {
    let (network, netmask) = address_and_mask(to, netmask)?;
    let gateway = take_text(&mut route, gateway)?.ok_or("a route has no gateway")?;
    let mut made = json!({ "network": network.to_string(), "gateway": gateway });
    if let Some(netmask) = netmask {
        made["netmask"] = netmask.into();
    }
    if let Some(metric) = route.remove("metric") {
        made["metric"] = metric;
    }
    nothing_left(&route, "a route")?;
    Ok(made)
}

/// Refuses what nobody has taken out: it has no place.
fn nothing_left(object: &Object, of: &str) -> Result<(), String> {
    match object.keys().next() {
        Some(key) => Err(format!("nothing in it stands for '{key}' ({of})")),
        None => Ok(()),
    }
}

fn take_text(object: &mut Object, key: &str) -> Result<Option<String>, String> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("'{key}' is no text")),
    }
}

fn take_list(object: &mut Object, key: &str) -> Result<Vec<Value>, String> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("'{key}' is no list")),
    }
}

fn take_map(object: &mut Object, key: &str) -> Result<Object, String> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(format!("'{key}' is no map")),
    }
}

/// A text, or a list of them.
fn texts(value: Option<Value>) -> Result<Vec<String>, String> {
    let list = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let text = |value| match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{other} is no address")),
    };
    list.into_iter().map(text).collect()
}
