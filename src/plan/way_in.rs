//! Who can log in to the guest as the run leaves it.

use super::first_boot::Comeback;
use crate::fs::Timestamp;
use crate::guest::boot::Loaded;
use crate::guest::way_in::{By, WayIn, WaysIn, words as words_of};
use crate::guest::{GuestError, Init};
use crate::operation::evidence::Sight;

/// What the report calls it.
pub(super) const WAY_IN: &str = "way in";

/// How many ways are told one by one.
const TOLD: usize = 5;

/// How many reasons are told why there is none.
const REASONS: usize = 3;

/// Units and scripts of SSH servers.
const UNITS: [&str; 7] = [
    "ssh.service",
    "sshd.service",
    "ssh.socket",
    "sshd.socket",
    "dropbear*.service",
    "dropbear.socket",
    "tinysshd*.socket",
];
const SCRIPTS: [&str; 4] = ["ssh", "sshd", "dropbear", "tinysshd"];

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The ways into a guest, and whether there is one.
pub(super) fn look(sight: &Sight<'_>, now: Timestamp) -> Comeback {
    match found(sight, now) {
        Ok(comes) => comes,
        Err(error) => Comeback::Unknown(error.to_string()),
    }
}

fn found(sight: &Sight<'_>, now: Timestamp) -> Result<Comeback, GuestError> {
    let today = now.seconds.div_euclid(DAY);
    let WaysIn { ways, mut notes, rules, .. } =
        WaysIn::read(sight.files, sight.facts, sight.cloud()?, today, &sshd_command(sight)?)?;
    let ssh = match ways.iter().any(WayIn::is_ssh) {
        true => ssh_starts(sight)?,
        false => None,
    };
    let console = match ways.iter().any(|it| !starts_elsewhere(it)) {
        true => console_starts(sight)?,
        false => None,
    };
    if ssh == Some(false) {
        notes.push("the SSH server does not start at boot".to_owned());
    }
    if console == Some(false) {
        notes.push("no console asks for a login at boot".to_owned());
    }
    let starts = |way: &WayIn| match way.is_ssh() {
        true => ssh,
        false if starts_elsewhere(way) => Some(true),
        false => console,
    };
    let ways: Vec<&WayIn> = ways.iter().filter(|it| starts(it) != Some(false)).collect();
    let (sure, unsure): (Vec<&WayIn>, Vec<&WayIn>) =
        ways.into_iter().partition(|it| it.is_sure() && starts(it) == Some(true));
    // They hold for whoever else is let in, and seldom shut everybody out.
    let rules: String = rules.iter().take(REASONS).map(|it| format!("; {it}")).collect();
    if !sure.is_empty() {
        return Ok(Comeback::Made(list(&sure) + &rules));
    }
    let mut given = given_at_boot(sight)?;
    if !unsure.is_empty() {
        given.insert(0, list(&unsure));
    }
    if !given.is_empty() {
        return Ok(Comeback::Unknown(given.join("; ") + &rules));
    }
    notes.truncate(REASONS);
    let why = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    Ok(Comeback::Missing(format!(
        "nobody can log in{why}: --password or --ssh-inject lets somebody in, or --operations \
         defaults,-ssh-userdir leaves the keys that there are"
    )))
}

/// What Ignition reads at a first boot, where its mark says that the next one is; Fedora CoreOS's and
/// Flatcar's.
const IGNITION: [&str; 2] = ["/boot/ignition.firstboot", "/boot/flatcar/first_boot"];

/// Units that put a cloud's keys in, of Afterburn and of what it was called before.
const AFTERBURN: [&str; 2] = ["afterburn-sshkeys@*.service", "coreos-metadata-sshkeys@*.service"];

/// Who is let in by what only the clone's machine is told.
fn given_at_boot(sight: &Sight<'_>) -> Result<Vec<String>, GuestError> {
    let mut given = Vec::new();
    for mark in IGNITION {
        if sight.files.follow(&mark.parse().unwrap_or_default())?.is_some() {
            given.push(format!("whom Ignition's configuration names ({mark})"));
        }
    }
    let Some(boot) = sight.boot()? else { return Ok(given) };
    for unit in AFTERBURN {
        if let Some(found) = boot.starts(unit)? {
            let account = found.unit.split_once('@').and_then(|it| it.1.strip_suffix(".service"));
            let account = account.unwrap_or("an account");
            given
                .push(format!("{account} with a key of the cloud's metadata, from {}", found.unit));
        }
    }
    Ok(given)
}

/// Whether a way depends on neither a console nor, as far as is asked here, the SSH server.
fn starts_elsewhere(way: &WayIn) -> bool {
    way.is_ssh() || matches!(way.by, By::CloudInit(_))
}

/// Units that ask for a login at a console or a display.
const CONSOLES: [&str; 9] = [
    "getty@*.service",
    "autovt@*.service",
    "serial-getty@*.service",
    "console-getty.service",
    "display-manager.service",
    "gdm*.service",
    "lightdm.service",
    "sddm.service",
    "greetd.service",
];

/// Whether booting starts something that asks for a login at a console; `None` where that is not
/// known: of a guest without systemd the reader of ways has asked, and systemd's generator may add
/// serial consoles where their target starts.
fn console_starts(sight: &Sight<'_>) -> Result<Option<bool>, GuestError> {
    let Some(boot) = sight.boot()? else { return Ok(Some(true)) };
    for unit in CONSOLES {
        if boot.starts(unit)?.is_some() {
            return Ok(Some(true));
        }
    }
    Ok(boot.starts("getty.target")?.is_none().then_some(false))
}

/// The words of the command by which systemd starts OpenSSH's server; none where it does not.
fn sshd_command(sight: &Sight<'_>) -> Result<Vec<String>, GuestError> {
    let (Some(units), Some(boot)) = (sight.units()?, sight.boot()?) else { return Ok(Vec::new()) };
    for name in UNITS {
        let Some(found) = boot.starts(name)? else { continue };
        let base = found.unit.rsplit_once('.').map_or("", |it| it.0);
        for service in [format!("{base}.service"), format!("{base}@.service")] {
            let Loaded::Unit(unit) = units.unit(&service)? else { continue };
            // Signs before the program say how it is run (systemd.service(5)).
            let commands = unit.settings.list("Service", "ExecStart");
            let mut words =
                commands.iter().map(|it| it.trim_start_matches(['-', '@', ':', '+', '!']));
            if let Some(command) = words.find(|it| it.contains("/sshd")) {
                return Ok(words_of(command));
            }
        }
    }
    Ok(Vec::new())
}

/// Whether booting starts an SSH server; `None` where that is not known.
fn ssh_starts(sight: &Sight<'_>) -> Result<Option<bool>, GuestError> {
    if let Some(boot) = sight.boot()? {
        for unit in UNITS {
            if boot.starts(unit)?.is_some() {
                return Ok(Some(true));
            }
        }
        return Ok(Some(false));
    }
    let known = [Init::Openrc, Init::Sysvinit, Init::Runit, Init::Busybox];
    for script in SCRIPTS {
        if sight.script(script)?.is_some() {
            return Ok(Some(true));
        }
    }
    Ok(sight.facts.init.is_some_and(|init| known.contains(&init)).then_some(false))
}

fn list(ways: &[&WayIn]) -> String {
    let mut words: Vec<String> = ways.iter().take(TOLD).map(|way| one(way)).collect();
    if ways.len() > TOLD {
        words.push(format!("{} more", ways.len() - TOLD));
    }
    words.join("; ")
}

fn one(way: &WayIn) -> String {
    let by = match &way.by {
        By::ConsolePassword => "its password, at a console".to_owned(),
        By::ConsoleEmptyPassword => "no password, at a console".to_owned(),
        By::Autologin(file) => format!("nothing, at a console ({file})"),
        By::SshPassword => "its password, by SSH".to_owned(),
        By::SshEmptyPassword => "no password, by SSH".to_owned(),
        By::SshKey { file, keys: 1 } => format!("a key, by SSH ({file})"),
        By::SshKey { file, keys } => format!("{keys} keys, by SSH ({file})"),
        By::SshKeyAndPassword { file } => format!("a key and its password, by SSH ({file})"),
        By::CloudInit(words) => format!("{words}, from cloud-init"),
    };
    let unsure = match way.unsure.first() {
        Some(why) => format!(", unless: {why}"),
        None => String::new(),
    };
    format!("{} with {by}{unsure}", way.account)
}
