//! Which interfaces a setting is for, against the one that a clone has.

use std::fmt;

use super::look::Look;
use super::path;
use crate::guest::{GuestError, NamePattern};

/// The longest pattern for a name that is compared: Linux's names have 15 bytes, their other names
/// 127.
const PATTERN: usize = 256;

/// How many patterns of one setting are compared.
const PATTERNS: usize = 256;

/// Names that udev gives an Ethernet interface, one of each kind.
const PREDICTABLE: &[&str] = &["ens3", "enp1s0", "eno1", "enX0", "end0"];

/// The first of the kernel's own names.
const KERNEL: &str = "eth0";

/// How the guest names its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// As the kernel does: `eth0`.
    Kernel,
    /// By where they are plugged in: `enp1s0`. The kernel's names stay where udev finds no place.
    Predictable,
    /// Either: the kernel's command line decides.
    NotKnown,
}

impl Naming {
    pub(super) fn read(look: &Look<'_>) -> Result<Self, GuestError> {
        // udev's, and eudev's.
        let mut rules = false;
        for rule in ["80-net-setup-link.rules", "80-net-name-slot.rules"] {
            for folder in ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"] {
                let file = path(folder).join(rule.as_bytes());
                if look.files.locate(&file)?.is_some() {
                    rules = rules || is_set(look, &file)?;
                    break;
                }
            }
        }
        let link = path("/etc/systemd/network/99-default.link");
        let turned_off = look.files.locate(&link)?.is_some() && !is_set(look, &link)?;
        if !rules || turned_off {
            return Ok(Self::Kernel);
        }
        Ok(match look.boot.kernel {
            None => Self::NotKnown,
            Some(words) => {
                let last = words.iter().rev().find_map(|it| it.strip_prefix("net.ifnames="));
                match last.map(super::key_file::flag) {
                    Some(Some(false)) => Self::Kernel,
                    _ => Self::Predictable,
                }
            }
        })
    }

    /// Names that a clone's interface may have.
    fn samples(self) -> Vec<&'static str> {
        match self {
            Self::Kernel => vec![KERNEL],
            Self::Predictable => PREDICTABLE.to_vec(),
            Self::NotKnown => PREDICTABLE.iter().copied().chain([KERNEL]).collect(),
        }
    }
}

/// Whether a file is there, has a content and is not masked.
fn is_set(look: &Look<'_>, file: &crate::path::GuestPath) -> Result<bool, GuestError> {
    let null = look.files.link_target(file)?.is_some_and(|it| it == b"/dev/null");
    let content = look.text(file)?;
    Ok(!null && content.is_some_and(|it| !it.trim().is_empty()))
}

/// Which interfaces a setting is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fits {
    /// Every Ethernet interface.
    Any,
    /// Those of these names or patterns; a `!` before the first turns them round.
    Names(Vec<String>),
    /// Those with one of these MAC addresses.
    Macs(Vec<String>),
    /// Those of which something holds that only the clone's machine decides, in words.
    Where(String),
    /// None that is Ethernet, or none of a virtual machine.
    NoEthernet,
}

impl fmt::Display for Fits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any Ethernet interface"),
            Self::Names(names) => match names.first().and_then(|it| it.strip_prefix('!')) {
                Some(first) => {
                    let rest = names.iter().skip(1).map(|it| it.trim_start_matches('!'));
                    let names: Vec<&str> = std::iter::once(first).chain(rest).collect();
                    write!(f, "any interface but {}", names.join(" "))
                }
                None => f.write_str(&names.join(" ")),
            },
            Self::Macs(macs) => write!(f, "the interface with MAC address {}", macs.join(" ")),
            Self::Where(words) => write!(f, "interfaces {words}"),
            Self::NoEthernet => f.write_str("no Ethernet interface"),
        }
    }
}

/// Whether a setting is for the clone's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    /// It is.
    Sure,
    /// It is on this condition.
    If(String),
    /// It is not; why.
    Never(String),
}

impl Fits {
    /// Patterns of names, sorted out of a text.
    pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Names(names.into_iter().map(str::to_owned).collect())
    }

    /// Whether it takes an interface of this name.
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Names(patterns) => list_takes(patterns, name),
            _ => false,
        }
    }

    /// Whether it is for the clone's interface. `given` are names that an interface has only where
    /// it has the builder's MAC address.
    pub(super) fn chance(&self, naming: Naming, given: &[String]) -> Chance {
        let patterns = match self {
            Self::Any => return Chance::Sure,
            Self::Macs(macs) => {
                return Chance::Never(format!("only for the MAC address {}", macs.join(" ")));
            }
            Self::Where(words) => return Chance::If(format!("where it is one {words}")),
            Self::NoEthernet => return Chance::Never("for no Ethernet interface".into()),
            Self::Names(patterns) => patterns,
        };
        let samples = naming.samples();
        let taken = samples.iter().filter(|it| list_takes(patterns, it)).count();
        if taken == samples.len() {
            return Chance::Sure;
        }
        let shown = patterns.join(" ");
        let has = format!("where its interface is named {shown}");
        if taken > 0 {
            return Chance::If(has);
        }
        let plain = |it: &&String| !it.contains(['*', '?', '[', '!', '\\']);
        let name = match patterns.iter().find(plain) {
            Some(name) => name,
            // Of a pattern that takes none of the usual names, such as `enp3s*`, one may still be
            // the clone's.
            None if naming != Naming::Kernel
                && patterns.iter().any(|it| it.len() <= PATTERN && may_be_ethernet(it)) =>
            {
                return Chance::If(has);
            }
            None => return Chance::Never(format!("for interfaces named {shown}")),
        };
        if given.iter().any(|it| it == name) {
            return Chance::Never(format!("only the builder's interface is named {name}"));
        }
        match naming {
            _ if !may_be_ethernet(name) => Chance::Never(format!("for {name}")),
            Naming::Kernel if name.starts_with("en") => Chance::Never(format!(
                "for {name}, and the guest names its interfaces eth0, eth1 and so on"
            )),
            _ => Chance::If(has),
        }
    }
}

/// Whether a name, or the names of a pattern, may be an Ethernet interface's.
fn may_be_ethernet(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "lo",
        "wl",
        "ww",
        "br",
        "bond",
        "docker",
        "veth",
        "ve-",
        "vb-",
        "vz-",
        "vt-",
        "6rd",
        "tun",
        "tap",
        "virbr",
        "vlan",
        "dummy",
        "wg",
        "host0",
        "ib",
        "sit",
        "gre",
        "ppp",
        "sl",
        "team",
        "lxc",
        "cni",
        "cali",
        "flannel",
        "podman",
        "zt",
        "tailscale",
        "mv-",
        "vxlan",
        "can",
        "usb",
    ];
    !OTHERS.iter().any(|it| name.starts_with(it))
}

/// Whether a list of patterns takes a name. In systemd's lists, a `!` before the first turns all
/// round.
fn list_takes(patterns: &[String], name: &str) -> bool {
    let inverted = patterns.first().is_some_and(|it| it.starts_with('!'));
    let any = patterns.iter().take(PATTERNS).any(|it| matches(it.trim_start_matches('!'), name));
    any != inverted
}

/// Whether a pattern takes a name.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    pattern.len() <= PATTERN
        && (pattern == name
            || NamePattern::parse(pattern.as_bytes()).is_ok_and(|it| it.matches(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_the_naming_lets_them() {
        use Naming::{Kernel, NotKnown, Predictable};
        for (names, naming, wanted) in [
            ("en* eth*", NotKnown, "sure"),
            ("e*", NotKnown, "sure"),
            ("!lo wl*", NotKnown, "sure"),
            ("en*", NotKnown, "if"),
            ("en*", Predictable, "sure"),
            ("en*", Kernel, "never"),
            ("eth*", Kernel, "sure"),
            ("eth0", Kernel, "sure"),
            ("eth1", Kernel, "if"),
            ("eth0", NotKnown, "if"),
            ("eth0", Predictable, "if"),
            ("ens3", NotKnown, "if"),
            ("enp3s*", NotKnown, "if"),
            ("ens3", Kernel, "never"),
            ("enp7s0", Predictable, "if"),
            ("lan0", NotKnown, "never"),
            ("lan1", NotKnown, "if"),
            ("br0", NotKnown, "never"),
            ("wl*", NotKnown, "never"),
            ("host0", Predictable, "never"),
            ("ve-*", NotKnown, "never"),
        ] {
            let fits = Fits::names(names.split(' '));
            let chance = match fits.chance(naming, &["lan0".into()]) {
                Chance::Sure => "sure",
                Chance::If(_) => "if",
                Chance::Never(_) => "never",
            };
            assert_eq!(chance, wanted, "{names} {naming:?}");
        }
        let endless = "*a".repeat(120);
        assert!(!matches(&endless, &"a".repeat(100)));
    }
}
