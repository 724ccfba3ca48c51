//! The console: whether anything asks for a login there, and whether anyone is let in unasked.

use std::collections::{BTreeMap, BTreeSet};

use super::pam::Shut;
use super::text;
use crate::fs::Kind;
use crate::guest::boot::runit_directory;
use crate::guest::{Facts, Files, GuestError, Init};
use crate::path::{GuestPath, escape};

/// Where systemd's units are; what comes first counts.
const FOLDERS: &[&str] = &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The terminals that a systemd guest opens by itself.
const USUAL: &[&str] =
    &["getty@tty1.service", "serial-getty@ttyS0.service", "console-getty.service"];

/// Where runit's services are that are on.
const RUNIT: &[&str] = &["/etc/runit/runsvdir/current", "/etc/runit/runsvdir/default"];

/// How many terminals are looked at.
const TERMINALS: usize = 200;

/// How many files are looked at for the settings of one.
const FILES: usize = 200;

/// What the console offers.
#[derive(Clone, Debug, Default)]
pub(super) struct Console {
    /// What asks for a login.
    pub(super) asks: Vec<GuestPath>,
    /// Accounts that are let in unasked, and what says so.
    pub(super) autologins: Vec<(String, GuestPath)>,
    /// Whether no password opens it.
    pub(super) takes_no_password: bool,
    pub(super) notes: Vec<String>,
}

impl Console {
    /// The same where PAM lets nobody pass.
    pub(super) fn with_pam(mut self, shut: &Shut) -> Self {
        if shut.console.is_some() {
            self.autologins.clear();
            self.takes_no_password = true;
        }
        self.takes_no_password |= shut.console_password.is_some();
        self
    }
}

/// What it offers.
pub(super) fn read(files: &dyn Files, facts: &Facts) -> Result<Console, GuestError> {
    let mut console = Console::default();
    let is_systemd = facts.init == Some(Init::Systemd);
    if is_systemd {
        systemd(files, &mut console)?;
    } else {
        inittab(files, &mut console)?;
        openrc(files, &mut console)?;
        runit(files, &mut console)?;
    }
    desktop(files, &mut console)?;
    console.autologins.sort();
    console.autologins.dedup();
    Ok(console)
}

fn systemd(files: &dyn Files, console: &mut Console) -> Result<(), GuestError> {
    let mut names: BTreeSet<String> = USUAL.iter().map(|it| (*it).to_owned()).collect();
    for folder in FOLDERS {
        let folder = text::path(folder);
        let mut take = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).into_owned();
            let unit = name.strip_suffix(".d").unwrap_or(&name);
            let is_terminal = unit.ends_with(".service")
                && (unit.contains("getty") || unit.starts_with("autovt@"));
            // A template by itself starts nothing.
            if is_terminal && !unit.ends_with("@.service") && names.len() < TERMINALS {
                names.insert(unit.to_owned());
            }
        };
        for (name, _) in files.names(&folder)? {
            take(&name);
        }
        for (name, _) in files.names(&folder.join(b"getty.target.wants"))? {
            take(&name);
        }
    }
    for name in names {
        let Some((at, starts)) = unit(files, &name, console)? else { continue };
        let mut auto = None;
        for command in &starts {
            auto = auto.or_else(|| autologin(&text::words(command)));
        }
        // A serial line's is started where there is one.
        if !starts.is_empty() && name != "console-getty.service" {
            console.asks.push(at.clone());
        }
        if let Some(user) = auto {
            console.autologins.push((escape(user.as_bytes()), at));
        }
    }
    Ok(())
}

/// What a unit starts, drop-ins counted in, and the file that says so; `None` where it is masked or
/// not there.
fn unit(
    files: &dyn Files,
    name: &str,
    console: &mut Console,
) -> Result<Option<(GuestPath, Vec<String>)>, GuestError> {
    let template = name.split_once('@').map(|it| format!("{}@.service", it.0));
    let mut main = None;
    'found: for unit in [Some(name.to_owned()), template.clone()].into_iter().flatten() {
        for folder in FOLDERS {
            let at = text::path(folder).join(unit.as_bytes());
            let Some(state) = files.locate(&at)? else { continue };
            let empty = state.kind == Kind::File && state.size == 0;
            if empty || files.link_target(&at)?.is_some_and(|it| it == b"/dev/null") {
                return Ok(None);
            }
            if files.follow(&at)?.is_some_and(|it| it.kind == Kind::File) {
                main = Some(at);
                break 'found;
            }
        }
    }
    let Some(main) = main else { return Ok(None) };
    // Of drop-ins with one name, that of the folder that comes first counts.
    let mut dropins: BTreeMap<Vec<u8>, GuestPath> = BTreeMap::new();
    for unit in [Some(name.to_owned()), template].into_iter().flatten() {
        for folder in FOLDERS {
            let folder = text::path(folder).join(format!("{unit}.d").as_bytes());
            for (file, _) in files.names(&folder)? {
                if file.ends_with(b".conf") && dropins.len() < FILES {
                    dropins.entry(file.clone()).or_insert_with(|| folder.join(&file));
                }
            }
        }
    }
    let (mut starts, mut says) = (Vec::new(), main.clone());
    for at in std::iter::once(&main).chain(dropins.values()) {
        let mut whole = String::new();
        for line in text::lines(files, at, &mut console.notes)? {
            if let Some(part) = line.strip_suffix('\\') {
                whole.push_str(part);
                whole.push(' ');
                continue;
            }
            whole.push_str(&line);
            let line = std::mem::take(&mut whole);
            let Some((key, value)) = line.split_once('=') else { continue };
            if key.trim_end() == "ExecStart" && !line.starts_with(['#', ';']) {
                match value.trim() {
                    "" => starts.clear(),
                    value => {
                        says = at.clone();
                        starts.push(value.trim_start_matches(['-', '@', '+', '!', ':']).to_owned());
                    }
                }
            }
        }
    }
    Ok(Some((says, starts)))
}

/// The account that a command lets in unasked: `agetty --autologin root`, `login -f root`.
fn autologin(words: &[String]) -> Option<String> {
    let mut words = words.iter().map(String::as_str);
    let program = words.next()?.rsplit('/').next()?.to_owned();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if let Some(user) = word.strip_prefix("--autologin=") {
            return Some(user.to_owned());
        }
        let names = match program.as_str() {
            "login" => word == "-f",
            "sh" | "bash" | "setsid" | "openvt" => {
                let inner = text::words(word);
                if inner.len() > 1
                    && let Some(user) = autologin(&inner)
                {
                    return Some(user);
                }
                false
            }
            _ => word == "--autologin" || word == "-a",
        };
        if names {
            return words.next().map(str::to_owned);
        }
        // The program that a getty starts in the stead of login.
        if word.ends_with("/login") {
            let rest: Vec<String> =
                std::iter::once("login").chain(words.by_ref()).map(str::to_owned).collect();
            return autologin(&rest);
        }
    }
    None
}

fn inittab(files: &dyn Files, console: &mut Console) -> Result<(), GuestError> {
    let at = text::path("/etc/inittab");
    for line in text::lines(files, &at, &mut console.notes)? {
        if line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.splitn(4, ':').collect();
        let [_, _, action, command] = fields.as_slice() else { continue };
        // The last two are OpenWrt's.
        let starts =
            ["respawn", "askfirst", "once", "wait", "askconsole", "respawnlate"].contains(action);
        if !starts {
            continue;
        }
        let words = text::words(command.trim_start_matches('-'));
        if let Some(user) = autologin(&words) {
            console.autologins.push((escape(user.as_bytes()), at.clone()));
            continue;
        }
        let program = words.first().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        // OpenWrt's script lets root in unasked, or asks for a login where its settings say so.
        if program.ends_with("getty") || matches!(program, "login" | "login.sh") {
            console.asks.push(at.clone());
        }
        if matches!(program, "sh" | "ash" | "bash") {
            console.autologins.push(("root".to_owned(), at.clone()));
        }
    }
    Ok(())
}

/// runit's services for terminals, of Void: `agetty-tty1`.
fn runit(files: &dyn Files, console: &mut Console) -> Result<(), GuestError> {
    for folder in RUNIT {
        for (name, _) in files.names(&text::path(folder))? {
            let Ok(name) = String::from_utf8(name) else { continue };
            if !name.contains("getty") || console.asks.len() >= TERMINALS {
                continue;
            }
            let Some(folder) = runit_directory(files, &name)? else { continue };
            let at = folder.join(name.as_bytes());
            console.asks.push(at.clone());
            for file in [&b"conf"[..], b"run"] {
                for line in text::lines(files, &at.join(file), &mut console.notes)? {
                    let value = line.split_once("GETTY_ARGS=").map_or(line.as_str(), |it| it.1);
                    let words = text::words(value.trim_matches(['"', '\'']));
                    if !line.trim_start().starts_with('#')
                        && let Some(user) = autologin(&[vec!["agetty".to_owned()], words].concat())
                    {
                        console.autologins.push((escape(user.as_bytes()), at.clone()));
                    }
                }
            }
        }
    }
    Ok(())
}

/// OpenRC's `agetty.tty1`, a link to `agetty` with settings of its own.
fn openrc(files: &dyn Files, console: &mut Console) -> Result<(), GuestError> {
    for level in ["default", "boot", "sysinit"] {
        let folder = text::path("/etc/runlevels").join(level.as_bytes());
        for (name, _) in files.names(&folder)? {
            if !name.starts_with(b"agetty.") || console.asks.len() >= TERMINALS {
                continue;
            }
            let at = folder.join(&name);
            console.asks.push(at);
            let conf = text::path("/etc/conf.d").join(&name);
            for line in text::lines(files, &conf, &mut console.notes)? {
                let Some((key, value)) = line.split_once('=') else { continue };
                let words = text::words(value.trim_matches(['"', '\'']));
                if key == "agetty_options"
                    && let Some(user) = autologin(&[vec!["agetty".to_owned()], words].concat())
                {
                    console.autologins.push((escape(user.as_bytes()), conf.clone()));
                }
            }
        }
    }
    Ok(())
}

/// Display managers that open a session by themselves.
fn desktop(files: &dyn Files, console: &mut Console) -> Result<(), GuestError> {
    let mut all: Vec<(GuestPath, &str, &str)> = [
        ("/etc/gdm3/daemon.conf", "daemon", "automaticlogin"),
        ("/etc/gdm3/custom.conf", "daemon", "automaticlogin"),
        ("/etc/gdm/custom.conf", "daemon", "automaticlogin"),
        ("/etc/lightdm/lightdm.conf", "seat:", "autologin-user"),
        ("/etc/sddm.conf", "autologin", "user"),
        ("/etc/greetd/config.toml", "initial_session", "user"),
    ]
    .into_iter()
    .map(|it| (text::path(it.0), it.1, it.2))
    .collect();
    for (folder, section, key) in [
        ("/etc/lightdm/lightdm.conf.d", "seat:", "autologin-user"),
        ("/usr/share/lightdm/lightdm.conf.d", "seat:", "autologin-user"),
        ("/etc/sddm.conf.d", "autologin", "user"),
    ] {
        let folder = text::path(folder);
        for (name, _) in files.names(&folder)?.into_iter().take(FILES) {
            all.push((folder.join(&name), section, key));
        }
    }
    for (at, section, key) in all {
        let (mut within, mut user, mut enabled) = (false, None, section != "daemon");
        for line in text::lines(files, &at, &mut console.notes)? {
            if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
                let name = name.to_ascii_lowercase();
                within = name == section || (section == "seat:" && name.starts_with(section));
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            if !within || line.starts_with('#') {
                continue;
            }
            if name == key && !value.is_empty() {
                user = Some(value.to_owned());
            }
            if name == "automaticloginenable" {
                enabled = value.eq_ignore_ascii_case("true") || value == "1";
            }
        }
        if let Some(user) = user.filter(|_| enabled) {
            console.autologins.push((escape(user.as_bytes()), at));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_let_in_unasked_is_seen() {
        for (command, wanted) in [
            ("/sbin/agetty --autologin root --noclear %I $TERM", Some("root")),
            (
                "/sbin/agetty -o '-p -f -- \\\\u' --noclear --autologin=vagrant - $TERM",
                Some("vagrant"),
            ),
            ("/sbin/agetty -a bob tty1", Some("bob")),
            ("/sbin/agetty -o '-p -- \\\\u' --noclear - $TERM", None),
            ("/sbin/mingetty --autologin alice tty1", Some("alice")),
            ("/bin/login -f root", Some("root")),
            ("/sbin/getty -n -l /bin/login -f root 38400 tty1", Some("root")),
            ("/bin/sh -c 'exec /bin/login -f root'", Some("root")),
            ("/sbin/getty 38400 tty1", None),
            ("", None),
        ] {
            assert_eq!(autologin(&text::words(command)).as_deref(), wanted, "{command}");
        }
    }
}
