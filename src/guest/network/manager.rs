//! NetworkManager: its configuration, and the connection that it makes up for an Ethernet interface
//! that none fits (NetworkManager.conf(5)).

use super::key_file::{Setting, flag, settings};
use super::link::{Chance, Fits};
use super::look::Look;
use super::pins::pin;
use super::{Component, Method, Part, Profile, manager_profiles, path};
use crate::guest::GuestError;
use crate::path::GuestPath;

/// Its main file.
const MAIN: &str = "/etc/NetworkManager/NetworkManager.conf";

/// Files beside it that a package brings, which count less than it.
const PACKAGED: &str = "/usr/lib/NetworkManager/conf.d";

/// Files beside it that an administrator has, which count more.
const OWN: &str = "/etc/NetworkManager/conf.d";

/// How many devices of a list are compared.
const DEVICES: usize = 1024;

/// Its configuration: every setting and its file, the one that counts most last.
pub(super) struct Config {
    settings: Vec<(GuestPath, Setting)>,
}

impl Config {
    fn read(look: &Look<'_>, manages_all: bool) -> Result<Self, GuestError> {
        let mut files = Vec::new();
        for (name, file) in look.layered(&[OWN, PACKAGED], ".conf")? {
            // netplan writes an empty one of this name to /run.
            let packaged = file.starts_with(&path(PACKAGED));
            if manages_all && packaged && name == b"10-globally-managed-devices.conf" {
                continue;
            }
            files.push((if packaged { 0 } else { 2 }, file));
        }
        files.push((1, path(MAIN)));
        files.sort_by_key(|it| it.0);
        let mut all = Vec::new();
        for (_, file) in files {
            let Some(text) = look.text(&file)? else { continue };
            let own = settings(&text, false);
            let off = own.iter().any(|it| {
                it.section == ".config" && it.key == "enable" && flag(&it.value) == Some(false)
            });
            if !off {
                all.extend(own.into_iter().map(|it| (file.clone(), it)));
            }
        }
        Ok(Self { settings: all })
    }

    /// The words of a list, and the last file that changes it; `None` where nothing sets it.
    pub(super) fn list(&self, section: &str, key: &str) -> Option<(Vec<String>, GuestPath)> {
        let mut found: Option<(Vec<String>, GuestPath)> = None;
        for (file, setting) in self.settings.iter().filter(|it| it.1.section == section) {
            let values = words(&setting.value);
            match setting.key.strip_prefix(key) {
                Some("") => found = Some((values, file.clone())),
                Some("+") => {
                    let mut list = found.take().map(|it| it.0).unwrap_or_default();
                    list.extend(values);
                    found = Some((list, file.clone()));
                }
                Some("-") => {
                    let mut list = found.take().map(|it| it.0).unwrap_or_default();
                    list.retain(|it| !values.contains(it));
                    found = Some((list, file.clone()));
                }
                _ => {}
            }
        }
        found
    }

    /// Whether the clone's interface is among the devices that a key lists, and the file.
    fn devices(&self, look: &Look<'_>, section: &str, key: &str) -> Option<(Chance, GuestPath)> {
        let (list, file) = self.list(section, key)?;
        Some((among(look, &list), file))
    }

    /// What keeps NetworkManager off the clone's interface: for sure, or on a condition.
    fn unmanaged(&self, look: &Look<'_>) -> Option<(Chance, String)> {
        let mut maybe = None;
        let mut weigh = |chance: Chance, words: String| match chance {
            Chance::Never(_) => None,
            Chance::Sure => Some((Chance::Sure, words)),
            Chance::If(_) => {
                maybe = Some((chance, words));
                None
            }
        };
        if let Some((chance, file)) = self.devices(look, "keyfile", "unmanaged-devices")
            && let Some(sure) = weigh(chance, format!("unmanaged-devices in {file}"))
        {
            return Some(sure);
        }
        let mut sections: Vec<&str> = Vec::new();
        for (_, setting) in self.settings.iter().rev() {
            let section = setting.section.as_str();
            if section.starts_with("device")
                && setting.key == "managed"
                && !sections.contains(&section)
            {
                sections.push(section);
            }
        }
        for section in sections {
            let of = |key: &str| {
                self.settings.iter().rev().find(|it| it.1.section == section && it.1.key == key)
            };
            let Some((file, managed)) = of("managed") else { continue };
            let chance = match of("match-device") {
                None => Chance::Sure,
                Some((_, setting)) => among(look, &words(&setting.value)),
            };
            if flag(&managed.value) == Some(false) {
                if let Some(sure) = weigh(chance, format!("[{section}] managed in {file}")) {
                    return Some(sure);
                }
            } else if chance == Chance::Sure {
                break;
            }
        }
        maybe
    }
}

fn words(value: &str) -> Vec<String> {
    let parts = value.split([',', ';']).map(str::trim).filter(|it| !it.is_empty());
    parts.take(DEVICES).map(str::to_owned).collect()
}

/// Whether the clone's interface is in a list of devices.
fn among(look: &Look<'_>, list: &[String]) -> Chance {
    let one = |spec: &str| -> Chance {
        let fits = if spec == "*" || spec == "type:ethernet" {
            Fits::Any
        } else if let Some(name) = spec.strip_prefix("interface-name:") {
            Fits::names([name.trim_start_matches(['~', '='])])
        } else if let Some(driver) = spec.strip_prefix("driver:") {
            Fits::Where(format!("with driver {driver}"))
        } else if spec.starts_with("mac:") || spec.split(':').count() == 6 {
            Fits::Macs(vec![spec.to_owned()])
        } else if spec.contains(':') {
            Fits::NoEthernet
        } else {
            Fits::names([spec])
        };
        fits.chance(look.naming, &[])
    };
    let (but, of): (Vec<&String>, Vec<&String>) =
        list.iter().partition(|it| it.starts_with("except:"));
    let mut chance = match (of.is_empty(), but.is_empty()) {
        (true, false) => Chance::Sure,
        _ => Chance::Never("not in the list".into()),
    };
    for spec in of {
        match (one(spec), &chance) {
            (Chance::Sure, _) => chance = Chance::Sure,
            (new @ Chance::If(_), Chance::Never(_)) => chance = new,
            _ => {}
        }
    }
    for spec in but {
        match (one(spec.trim_start_matches("except:")), &chance) {
            (Chance::Sure, _) => return Chance::Never("excepted".into()),
            (Chance::If(words), Chance::Sure) => chance = Chance::If(format!("except {words}")),
            _ => {}
        }
    }
    chance
}

/// Every setting.
pub(super) fn read(
    look: &Look<'_>,
    starts: bool,
    manages_all: bool,
    planned: &[Profile],
) -> Result<Part, GuestError> {
    let Some(program) = look.program("NetworkManager")? else { return Ok(Part::default()) };
    let config = Config::read(look, manages_all)?;
    let mut part = manager_profiles::read(look, starts, &config)?;
    let state = path("/var/lib/NetworkManager/no-auto-default.state");
    if look.text(&state)?.is_some_and(|it| !it.trim().is_empty()) {
        part.pins.push(pin(&state, "MAC addresses that get no connection made up for them"));
    }
    let mut fits = Fits::Any;
    let mut idle = None;
    match config.devices(look, "main", "no-auto-default") {
        Some((Chance::Sure, file)) => {
            idle = Some(format!("no-auto-default in {file} turns it off"))
        }
        Some((Chance::If(_), file)) => {
            fits = Fits::Where(format!("that no-auto-default in {file} does not name"));
        }
        _ => {}
    }
    // What is bound to have a connection gets none made up.
    let has = |it: &Profile| {
        it.starts && it.idle.is_none() && it.fits.chance(look.naming, &[]) == Chance::Sure
    };
    let taken = part.profiles.iter().any(has)
        || planned.iter().any(|it| it.by == Component::Netplan && has(it));
    if !taken {
        part.profiles.push(Profile {
            by: Component::NetworkManager,
            starts,
            file: program,
            fits,
            over: None,
            method: Method::Dhcp,
            idle,
        });
    }
    match config.unmanaged(look) {
        Some((Chance::Sure, words)) => {
            for profile in &mut part.profiles {
                profile.idle = Some(format!("{words} keeps NetworkManager off"));
            }
        }
        Some((_, words)) => {
            for profile in part.profiles.iter_mut().filter(|it| it.fits == Fits::Any) {
                profile.fits = Fits::Where(format!("that {words} leaves to it"));
            }
        }
        None => {}
    }
    Ok(part)
}

/// Whether the guest's configuration keeps NetworkManager off the clone's interface for sure.
pub(super) fn is_off(look: &Look<'_>) -> Result<bool, GuestError> {
    let config = Config::read(look, false)?;
    Ok(matches!(config.unmanaged(look), Some((Chance::Sure, _))))
}
