//! `/etc/network/interfaces`, which ifupdown, ifupdown2, ifupdown-ng and busybox read
//! (interfaces(5)).

use std::collections::{BTreeMap, HashSet};

use super::link::{Fits, matches};
use super::look::Look;
use super::pins::pin;
use super::{Component, Method, Part, Pin, Profile, path};
use crate::guest::GuestError;
use crate::path::{GuestPath, escape};

/// The file.
pub(super) const MAIN: &str = "/etc/network/interfaces";

/// How many files it may take in, and how deep.
const FILES: usize = 1024;
const DEPTH: usize = 32;

/// How many interfaces and how many names to bring up are read.
const STANZAS: usize = 4096;

/// The methods of each family of addresses that ifupdown knows.
const METHODS: &[(&str, &[&str])] = &[
    (
        "inet",
        &["static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll", "loopback"],
    ),
    ("inet6", &["static", "manual", "dhcp", "tunnel", "auto", "v4tunnel", "6to4", "loopback"]),
    ("ipx", &["static", "dynamic"]),
    ("can", &["static"]),
    ("meta", &["none"]),
];

/// Any of these asks for an address.
pub(super) const CLIENTS: &[&str] =
    &["dhclient", "dhcpcd", "udhcpc", "dhcpcd5", "pump", "dhclient3"];

/// What is read so far.
#[derive(Default)]
struct Interfaces {
    /// What is to be brought up: a name or pattern, the stanza that it takes, whether it waits for
    /// udev.
    wanted: Vec<(String, Option<String>, bool)>,
    stanzas: BTreeMap<String, Stanza>,
    seen: HashSet<GuestPath>,
    pins: Vec<Pin>,
    mapped: bool,
    reader: Reader,
    /// Why the reader takes nothing of any file.
    refused: Option<String>,
}

/// Whose parser reads the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reader {
    /// ifupdown, which brings nothing up where a line of the main file is wrong, and reads another
    /// file up to the line that is.
    Ifupdown,
    /// busybox, to which a wrong line of any file is the end.
    Busybox,
    /// ifupdown2, ifupdown-ng or none, which pass over what they do not understand.
    #[default]
    Lenient,
}

/// What a line below goes on with.
enum Open {
    Nothing,
    /// An interface; `None` of one that is not kept.
    Interface(Option<String>),
    /// A mapping, and whether it has its script.
    Mapping(bool),
}

#[derive(Default)]
struct Stanza {
    file: GuestPath,
    methods: Vec<(String, String)>,
    addresses: Vec<String>,
    ports: Vec<String>,
    inherits: Option<String>,
}

/// Why nothing of the file is taken, where a line of it is wrong.
pub(super) fn refused(look: &Look<'_>) -> Result<Option<String>, GuestError> {
    Ok(Interfaces::read(look)?.refused)
}

/// Every interface that the file brings up.
pub(super) fn read(look: &Look<'_>, starts: bool) -> Result<Part, GuestError> {
    let mut part = Part::default();
    let all = Interfaces::read(look)?;
    let has_ifup = look.program("ifup")?.is_some();
    let hotplug = has_ifup && handles_hotplug(look, starts)?;
    let mut client = false;
    for name in CLIENTS {
        client = client || look.program(name)?.is_some();
    }
    let no_client = "no DHCP client is installed that it calls (dhclient, dhcpcd, udhcpc)";
    helper(look, has_ifup, client, &mut part)?;
    for profile in &mut part.profiles {
        profile.idle = all.refused.clone().or(profile.idle.take());
    }
    if all.mapped && all.refused.is_none() {
        look.odd(&path(MAIN), "a mapping, whose script decides on interfaces and is not run");
    }
    for (name, stanza) in &all.stanzas {
        // A stanza that another inherits from, or that a pattern takes, is for no interface itself.
        let wanted: Vec<&(String, Option<String>, bool)> = all
            .wanted
            .iter()
            .filter(|(pattern, logical, _)| match logical {
                Some(logical) => logical == name,
                None => pattern.strip_prefix('/').map_or(pattern == name, |it| matches(it, name)),
            })
            .collect();
        let mut fits: Vec<String> = Vec::new();
        for (pattern, logical, _) in &wanted {
            match logical {
                Some(_) => fits.push(pattern.trim_start_matches('/').to_owned()),
                None => fits.push(name.clone()),
            }
        }
        fits.dedup();
        let over = (!stanza.ports.is_empty()).then(|| name.clone());
        let fits = match (&over, fits.is_empty()) {
            (Some(_), _) if stanza.ports.iter().any(|it| it == "all") => Fits::Any,
            (Some(_), _) => Fits::Names(stanza.ports.clone()),
            (None, true) => Fits::names([name.as_str()]),
            (None, false) => Fits::Names(fits),
        };
        let method = method(&all, stanza);
        let auto = wanted.iter().any(|it| !it.2);
        let idle = if all.refused.is_some() {
            all.refused.clone()
        } else if wanted.is_empty() {
            Some(format!("no 'auto {name}' or 'allow-hotplug {name}'"))
        } else if !has_ifup {
            Some("ifupdown is not installed".into())
        } else if method == Method::Dhcp && !client {
            Some(no_client.into())
        } else if !auto && !hotplug {
            Some("nothing handles allow-hotplug".into())
        } else {
            None
        };
        part.profiles.push(Profile {
            by: Component::Ifupdown,
            starts: match all.refused {
                Some(_) => starts || hotplug,
                None if auto => starts,
                None => hotplug,
            },
            file: stanza.file.clone(),
            fits,
            over,
            method,
            idle,
        });
    }
    if part.profiles.is_empty() && all.refused.is_some() {
        part.profiles.push(Profile {
            by: Component::Ifupdown,
            starts,
            file: path(MAIN),
            fits: Fits::Any,
            over: None,
            method: Method::Nothing,
            idle: all.refused,
        });
    }
    part.pins.extend(all.pins);
    Ok(part)
}

/// Whether what is marked `allow-hotplug` comes up: by ifupdown's udev rule, or by ifupdown2.
pub(super) fn handles_hotplug(look: &Look<'_>, starts: bool) -> Result<bool, GuestError> {
    if starts && look.is_file("/usr/share/ifupdown2/sbin/start-networking")? {
        return Ok(true);
    }
    for folder in ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"] {
        let rule = path(folder).join(b"80-ifupdown.rules");
        if look.files.locate(&rule)?.is_some() {
            return Ok(look.text(&rule)?.is_some_and(|it| it.contains("ifupdown-hotplug")));
        }
    }
    Ok(false)
}

/// Debian's cloud images of releases before 12 bring up whatever interface comes.
fn helper(
    look: &Look<'_>,
    has_ifup: bool,
    client: bool,
    part: &mut Part,
) -> Result<(), GuestError> {
    let script = path("/etc/network/cloud-ifupdown-helper");
    let rule = look.text(&path("/etc/udev/rules.d/75-cloud-ifupdown.rules"))?;
    if look.files.follow(&script)?.is_some()
        && rule.is_some_and(|it| it.contains("cloud-ifupdown-helper"))
    {
        part.profiles.push(Profile {
            by: Component::Ifupdown,
            starts: has_ifup,
            file: script,
            fits: Fits::Any,
            over: None,
            method: Method::Dhcp,
            idle: (!client).then(|| "no DHCP client is installed".into()),
        });
    }
    Ok(())
}

fn method(all: &Interfaces, stanza: &Stanza) -> Method {
    let base = stanza.inherits.as_ref().and_then(|it| all.stanzas.get(it));
    let methods = stanza.methods.iter().chain(base.iter().flat_map(|it| &it.methods));
    let mut best = Method::Nothing;
    for (family, how) in methods {
        let new = match (family.as_str(), how.as_str()) {
            (_, "dhcp" | "bootp") => return Method::Dhcp,
            (_, "static" | "v4tunnel") => {
                let base = base.iter().flat_map(|it| &it.addresses);
                Method::Static(stanza.addresses.iter().chain(base).cloned().collect())
            }
            ("inet6", "auto") => Method::RouterAdvertisements,
            ("inet", "ipv4ll") => Method::LinkLocal,
            _ => continue,
        };
        if !matches!(best, Method::Static(_)) {
            best = new;
        }
    }
    best
}

impl Reader {
    fn of(look: &Look<'_>) -> Result<Self, GuestError> {
        let Some(program) = look.program("ifup")? else { return Ok(Self::Lenient) };
        if look.is_file("/usr/share/ifupdown2/sbin/start-networking")?
            || look.is_file("/usr/libexec/ifupdown-ng/dhcp")?
        {
            return Ok(Self::Lenient);
        }
        let target = look.files.link_target(&program)?.unwrap_or_default();
        Ok(match target.rsplit(|&it| it == b'/').next() {
            Some(b"busybox") => Self::Busybox,
            // Another program by the name of ifup, such as ifupdown-ng's.
            Some(name) if !name.is_empty() && name != b"ifup" => Self::Lenient,
            _ => Self::Ifupdown,
        })
    }
}

impl Interfaces {
    fn read(look: &Look<'_>) -> Result<Self, GuestError> {
        let mut all = Self { reader: Reader::of(look)?, ..Self::default() };
        all.file(look, &path(MAIN), 0)?;
        Ok(all)
    }

    fn file(&mut self, look: &Look<'_>, file: &GuestPath, depth: usize) -> Result<(), GuestError> {
        let Some(state) = look.files.follow(file)? else { return Ok(()) };
        if !self.seen.insert(state.path) {
            return Ok(());
        }
        if depth > DEPTH || self.seen.len() > FILES {
            look.odd(file, format!("more than {FILES} files or {DEPTH} levels: not read"));
            return Ok(());
        }
        let Some(text) = look.text(file)? else { return Ok(()) };
        let mut open = Open::Nothing;
        for (number, line) in lines(&text) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            let rest = rest.trim();
            let wrong = match word {
                "iface" => {
                    let wrong = self.wrong_iface(rest);
                    open = Open::Interface(self.iface(look, file, rest));
                    wrong
                }
                "mapping" => {
                    self.mapped = true;
                    open = Open::Mapping(false);
                    None
                }
                _ if is_keyword(word) => {
                    match word {
                        "auto" | "allow-auto" => self.want(look, file, rest, false),
                        "allow-hotplug" => self.want(look, file, rest, true),
                        "source" => self.source(look, file, rest, depth)?,
                        "source-directory" => self.source_directory(look, file, rest, depth)?,
                        _ => {}
                    }
                    open = Open::Nothing;
                    None
                }
                // What goes on below `iface`, and a `mapping`'s own lines.
                _ => match &mut open {
                    Open::Nothing => Some("an option that belongs to no interface".to_owned()),
                    Open::Mapping(script) if word == "script" => std::mem::replace(script, true)
                        .then(|| "a second script of a mapping".to_owned()),
                    Open::Mapping(_) if word == "map" => None,
                    Open::Mapping(_) => Some("no line of a mapping".to_owned()),
                    Open::Interface(_) if rest.is_empty() => {
                        Some(format!("'{}' without a value", escape(word.as_bytes())))
                    }
                    Open::Interface(name) => {
                        self.option(file, name.as_deref(), word, rest);
                        None
                    }
                },
            };
            let Some(wrong) = wrong.filter(|_| self.reader != Reader::Lenient) else { continue };
            if depth > 0 && self.reader == Reader::Ifupdown {
                look.odd(file, format!("line {number}: {wrong}: ifup reads no further in it"));
                return Ok(());
            }
            let words =
                format!("{file} line {number}: {wrong}, and ifup takes nothing of any file");
            self.refused.get_or_insert(words);
            return Ok(());
        }
        Ok(())
    }

    /// What is wrong with what follows `iface`.
    fn wrong_iface(&self, rest: &str) -> Option<String> {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let Some((_, words)) = words.split_first() else {
            return Some("'iface' without a name".into());
        };
        let (family, words) = match words.split_first() {
            Some((&"inherits", _)) => (None, words),
            Some((family, rest)) => (Some(*family), rest),
            None => (None, words),
        };
        let known = family.map(|family| METHODS.iter().find(|it| it.0 == family));
        let methods = match known {
            Some(None) => {
                let family = escape(family.unwrap_or_default().as_bytes());
                return Some(format!("'{family}' is no family of addresses"));
            }
            Some(Some((_, methods))) => Some(*methods),
            None => None,
        };
        match words {
            [] if family.is_none() => Some("'iface' without a family of addresses".into()),
            [] => Some("'iface' without a method".into()),
            ["inherits", base @ ..] => self.wrong_base(family, base.first().copied()),
            [method, rest @ ..] => {
                if !methods.is_some_and(|it| it.contains(method)) {
                    return Some(format!("'{}' is no method", escape(method.as_bytes())));
                }
                match rest {
                    ["inherits", base @ ..] => self.wrong_base(family, base.first().copied()),
                    _ => None,
                }
            }
        }
    }

    /// What is wrong with an interface that another is to take its settings from.
    fn wrong_base(&self, family: Option<&str>, base: Option<&str>) -> Option<String> {
        let Some(base) = base else { return Some("'inherits' without a name".into()) };
        let of_family =
            |it: &Stanza| family.is_none_or(|family| it.methods.iter().any(|it| it.0 == family));
        let there = self.stanzas.get(base).is_some_and(of_family);
        let base = escape(base.as_bytes());
        (!there).then(|| format!("no interface '{base}' above it to inherit from"))
    }

    fn want(&mut self, look: &Look<'_>, file: &GuestPath, names: &str, hotplug: bool) {
        for name in names.split_whitespace() {
            if self.wanted.len() >= STANZAS {
                look.odd(file, format!("more than {STANZAS} interfaces: the rest is not read"));
                return;
            }
            let (name, logical) = match name.split_once('=') {
                Some((name, logical)) => (name, Some(logical.to_owned())),
                None => (name, None),
            };
            // The pattern of `/VALUE/OPTIONS`.
            let pattern = match name.strip_prefix('/') {
                Some(rest) => format!("/{}", rest.split('/').next().unwrap_or_default()),
                None => name.to_owned(),
            };
            self.wanted.push((pattern, logical, hotplug));
        }
    }

    fn iface(&mut self, look: &Look<'_>, file: &GuestPath, rest: &str) -> Option<String> {
        let mut words = rest.split_whitespace();
        let name = words.next()?;
        if name == "lo" {
            return None;
        }
        if self.stanzas.len() >= STANZAS && !self.stanzas.contains_key(name) {
            look.odd(file, format!("more than {STANZAS} interfaces: the rest is not read"));
            return None;
        }
        let stanza = self.stanzas.entry(name.to_owned()).or_default();
        stanza.file = file.clone();
        let words: Vec<&str> = words.collect();
        if let [family @ ("inet" | "inet6"), how, ..] = words[..]
            && how != "inherits"
        {
            stanza.methods.push((family.into(), how.into()));
        }
        let inherits = words.iter().position(|it| *it == "inherits");
        if let Some(base) = inherits.and_then(|at| words.get(at + 1)) {
            stanza.inherits = Some((*base).to_owned());
        }
        Some(name.to_owned())
    }

    fn option(&mut self, file: &GuestPath, open: Option<&str>, word: &str, rest: &str) {
        let Some(stanza) = open.and_then(|it| self.stanzas.get_mut(it)) else { return };
        match word {
            "address" => {
                stanza.addresses.push(rest.to_owned());
                // ifupdown2 and ifupdown-ng take a method as static where an address is given.
                if stanza.methods.is_empty() {
                    stanza.methods.push(("inet".into(), "static".into()));
                }
            }
            "use" if rest == "dhcp" => stanza.methods.push(("inet".into(), "dhcp".into())),
            "hwaddress" if rest.contains(':') && !rest.contains("random") => {
                let mac = rest.trim_start_matches("ether").trim();
                self.pins.push(pin(file, format!("hwaddress {mac} is given to every clone")));
            }
            "bridge_ports" | "bridge-ports" | "bond-slaves" | "bond_slaves" | "slaves" => {
                let ports = rest.split_whitespace().filter(|it| !matches!(*it, "none" | "regex"));
                stanza.ports.extend(ports.map(str::to_owned));
            }
            "inherit" | "inherits" => stanza.inherits = Some(rest.to_owned()),
            _ => {}
        }
    }

    /// Files that a pattern names, from the folder of the file that it stands in.
    fn source(
        &mut self,
        look: &Look<'_>,
        file: &GuestPath,
        pattern: &str,
        depth: usize,
    ) -> Result<(), GuestError> {
        let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
        let Some(folder) = beside(file, folder) else {
            look.odd(
                file,
                format!("source {pattern}: a pattern of folders, which is not followed"),
            );
            return Ok(());
        };
        if !name.contains(['*', '?', '[']) {
            return self.file(look, &folder.join(name.as_bytes()), depth + 1);
        }
        for own in look.names(&folder)? {
            let shown = String::from_utf8_lossy(&own);
            if !shown.starts_with('.') && matches(name, &shown) {
                self.file(look, &folder.join(&own), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Files of a folder whose names are of letters, digits, `_` and `-` alone.
    fn source_directory(
        &mut self,
        look: &Look<'_>,
        file: &GuestPath,
        folder: &str,
        depth: usize,
    ) -> Result<(), GuestError> {
        let folder = folder.trim_end_matches("/*").trim_end_matches('/');
        let Some(folder) = beside(file, folder) else {
            look.odd(file, format!("source-directory {folder}: a pattern, which is not followed"));
            return Ok(());
        };
        for own in look.names(&folder)? {
            if own.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-')) {
                self.file(look, &folder.join(&own), depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Whether a word ends what stands above it.
fn is_keyword(word: &str) -> bool {
    word.starts_with("allow-")
        || matches!(
            word,
            "auto"
                | "source"
                | "source-directory"
                | "source-dir"
                | "no-auto-down"
                | "no-scripts"
                | "rename"
        )
}

/// The lines that say something, trimmed, and where each begins; one that ends in a backslash goes
/// on, which a comment does not.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut rest = text.lines().enumerate();
    while let Some((number, line)) = rest.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let mut whole = line.to_owned();
        while let Some(begun) = whole.strip_suffix('\\') {
            let begun = begun.len();
            whole.truncate(begun);
            whole.push(' ');
            match rest.next() {
                Some((_, next)) => whole.push_str(next),
                None => break,
            }
        }
        let whole = whole.trim();
        if !whole.is_empty() {
            all.push((number + 1, whole.to_owned()));
        }
    }
    all
}

/// A folder, relative to that of a file; `None` of a pattern.
fn beside(file: &GuestPath, folder: &str) -> Option<GuestPath> {
    if folder.contains(['*', '?', '[', '$', '`']) {
        return None;
    }
    if folder.starts_with('/') {
        return folder.parse().ok();
    }
    let mut at = file.parent()?;
    for name in folder.split('/') {
        match name {
            "" | "." => {}
            ".." => at = at.parent().unwrap_or_default(),
            name => at.push(name.as_bytes()),
        }
    }
    Some(at)
}
