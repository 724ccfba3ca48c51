//! Who may log in by SSH, and how: OpenSSH's server and dropbear.

use super::accounts::{Accounts, Login, Password};
use super::keys::{self, Trust};
use super::pam::Shut;
use super::sshd_config::{Effective, SshdConfig, Who};
use super::text;
use super::wildcard;
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::{GuestPath, escape};

/// Where the server is.
const SSHD: &[&str] = &["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];
const DROPBEAR: &[&str] = &["/usr/sbin/dropbear", "/usr/bin/dropbear", "/usr/local/sbin/dropbear"];

/// Its configuration: the administrator's, or the distribution's where that is missing.
const CONFIG: &[&str] = &["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"];

/// Files whose words become options of the server, and the settings that hold them.
const OPTIONS: &[(&str, &str)] = &[
    ("/etc/default/ssh", "SSHD_OPTS"),
    ("/etc/sysconfig/sshd", "OPTIONS"),
    ("/etc/sysconfig/ssh", "SSHD_OPTS"),
    ("/etc/conf.d/sshd", "command_args"),
];
const DROPBEAR_OPTIONS: &[(&str, &str)] = &[
    ("/etc/default/dropbear", "DROPBEAR_EXTRA_ARGS"),
    ("/etc/sysconfig/dropbear", "OPTIONS"),
    ("/etc/conf.d/dropbear", "DROPBEAR_OPTS"),
];

/// One way in by SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    Password,
    EmptyPassword,
    Key { file: GuestPath, keys: usize },
    Both { file: GuestPath },
}

/// A way in and what makes it unsure, or is to be known of it.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) opens: Opens,
    pub(super) unsure: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// The servers of a guest.
#[derive(Debug, Default)]
pub(super) struct Servers {
    pub(super) sshd: Option<(GuestPath, SshdConfig)>,
    pub(super) dropbear: Option<(GuestPath, Vec<String>)>,
    pub(super) notes: Vec<String>,
    has_pam: bool,
    /// Why PAM lets nobody in, whatever one logs in with, or by a password.
    pam_shuts: Option<String>,
    pam_shuts_passwords: bool,
    shells: Vec<String>,
}

impl Servers {
    /// Reads what is installed and its settings. `command` is how sshd is started; empty where that is
    /// not known.
    pub(super) fn read(files: &dyn Files, command: &[String]) -> Result<Self, GuestError> {
        let mut servers = Self::default();
        let program = |places: &[&str]| -> Result<Option<GuestPath>, GuestError> {
            for at in places.iter().map(|it| text::path(it)) {
                if text::is_program(files, &at)? {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        };
        if let Some(at) = program(SSHD)? {
            let words = sshd_options(files, command, &mut servers.notes)?;
            let (mut first, mut config) = (Vec::new(), None);
            let mut words = words.iter();
            while let Some(word) = words.next() {
                if word == "-o" {
                    first.extend(words.next().cloned());
                } else if word == "-f" {
                    config = words.next().and_then(|it| GuestPath::from_bytes(it.as_bytes()).ok());
                } else if let Some(option) = word.strip_prefix("-o") {
                    first.push(option.to_owned());
                }
            }
            for place in CONFIG {
                if config.is_none() && files.follow(&text::path(place))?.is_some() {
                    config = Some(text::path(place));
                }
            }
            match config {
                Some(config) => {
                    let config = SshdConfig::read(files, &config, &first)?;
                    servers.notes.extend(config.notes.iter().cloned());
                    servers.sshd = Some((at, config));
                }
                None => servers
                    .notes
                    .push("/etc/ssh/sshd_config: not there; sshd does not start".into()),
            }
        }
        if let Some(at) = program(DROPBEAR)? {
            servers.dropbear = Some((at, options(files, DROPBEAR_OPTIONS, &mut servers.notes)?));
        }
        for place in ["/etc/pam.d/sshd", "/usr/lib/pam.d/sshd", "/usr/etc/pam.d/sshd"] {
            servers.has_pam = servers.has_pam || files.follow(&text::path(place))?.is_some();
        }
        servers.shells = text::lines(files, &text::path("/etc/shells"), &mut servers.notes)?;
        Ok(servers)
    }

    /// The same where PAM lets nobody pass.
    pub(super) fn with_pam(mut self, shut: &Shut) -> Self {
        self.pam_shuts = shut.ssh.clone();
        self.pam_shuts_passwords = shut.ssh_password.is_some();
        self
    }

    /// How an account gets in. `password` is what it will be then.
    pub(super) fn ways(
        &self,
        files: &dyn Files,
        accounts: &Accounts,
        login: &Login,
        password_auth: Option<bool>,
        today: i64,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Way>, GuestError> {
        let mut ways = Vec::new();
        if let Some((_, config)) = &self.sshd {
            let listens_to_itself = config.listens_to_itself();
            let groups = accounts.groups.of(login);
            let who = Who { user: &login.name, groups: &groups };
            let cases = config.effective(who);
            let mut found: Vec<Vec<Way>> = Vec::new();
            for mut case in cases {
                if let Some(flag) = password_auth {
                    case.password = flag;
                }
                found.push(self.sshd_ways(files, accounts, login, &groups, &case, today, notes)?);
            }
            // What holds for some clients alone is not known to hold.
            let all = found.len();
            let mut merged: Vec<(Way, usize)> = Vec::new();
            for way in found.into_iter().flatten() {
                match merged.iter_mut().find(|it| it.0.opens == way.opens) {
                    Some((_, count)) => *count += 1,
                    None => merged.push((way, 1)),
                }
            }
            for (mut way, count) in merged {
                if count < all {
                    way.unsure.push(
                        "a 'Match' block of sshd_config has it for some clients alone".into(),
                    );
                }
                if let Some(why) = &config.refused {
                    way.unsure.push(format!("sshd may not start: {why}"));
                }
                if listens_to_itself {
                    way.unsure.push(
                        "by 'ListenAddress' sshd takes connections of the guest itself alone"
                            .into(),
                    );
                }
                ways.push(way);
            }
        }
        if let Some((_, options)) = &self.dropbear {
            ways.extend(self.dropbear_ways(files, accounts, login, options, today, notes)?);
        }
        Ok(ways)
    }

    #[allow(clippy::too_many_arguments)]
    fn sshd_ways(
        &self,
        files: &dyn Files,
        accounts: &Accounts,
        login: &Login,
        groups: &[String],
        case: &Effective,
        today: i64,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Way>, GuestError> {
        let mut unsure = Vec::new();
        match admitted(login, groups, case) {
            Admitted::No => return Ok(Vec::new()),
            Admitted::Unsure(why) => unsure.push(why),
            Admitted::Yes => {}
        }
        let is_root = login.uid == 0;
        if is_root && case.permit_root == "no" {
            return Ok(Vec::new());
        }
        if let Some(command) = &case.force_command {
            let command = escape(command.as_bytes());
            if command.split_whitespace().next() == Some("internal-sftp") {
                notes.push(format!("{}: SFTP and no session ('ForceCommand')", login.name));
                return Ok(Vec::new());
            }
            unsure.push(format!("'ForceCommand {command}' runs in place of a session"));
        }
        if let Some(dir) = case.chroot.as_deref().filter(|it| *it != "/") {
            let dir = escape(dir.as_bytes());
            unsure.push(format!("'ChrootDirectory {dir}' has to hold all that a session needs"));
        }
        if let Some(setting) = &case.shuts_out {
            notes.push(format!("{}: sshd gives it no session ('{setting}')", login.name));
            return Ok(Vec::new());
        }
        if case.max_auth_tries_0 {
            unsure.push(
                "by 'MaxAuthTries 0' sshd hangs up on a client that first asks what it takes, as \
                 OpenSSH's does"
                    .to_owned(),
            );
        }
        let uses_pam = case.use_pam && self.has_pam;
        if uses_pam && (self.pam_shuts.is_some() || login.no_shadow) {
            if login.no_shadow {
                notes.push(format!(
                    "{}: /etc/shadow has no line for it, and PAM refuses such an account",
                    login.name
                ));
            }
            return Ok(Vec::new());
        }
        // Without PAM sshd looks at the lock itself, whatever one logs in with.
        if !uses_pam && login.bang {
            notes.push(format!(
                "{}: sshd runs without PAM and takes the account for locked ('!')",
                login.name
            ));
            return Ok(Vec::new());
        }
        let root_by_password = !is_root || case.permit_root == "yes";
        let asks = case.password || case.keyboard_interactive && uses_pam;
        let asks = asks && !(uses_pam && self.pam_shuts_passwords);
        let password = match login.password {
            Password::Set => asks && root_by_password,
            Password::Empty => asks && root_by_password && case.empty_passwords,
            Password::Locked | Password::Disabled => false,
        };
        let mut key = None;
        let mut key_unsure = Vec::new();
        let mut key_notes = Vec::new();
        let mut takes_keys = case.pubkey;
        if let Some(list) = case.revoked_keys.as_deref().filter(|_| takes_keys) {
            let at = GuestPath::from_bytes(list.as_bytes()).ok();
            let is_there = match &at {
                Some(at) => files.follow(at)?.is_some_and(|it| it.kind == Kind::File),
                None => false,
            };
            let list = escape(list.as_bytes());
            match is_there {
                true => key_unsure.push(format!("{list} names the key ('RevokedKeys')")),
                false => {
                    notes.push(format!("{list} ('RevokedKeys') is missing: sshd takes no key"))
                }
            }
            takes_keys = is_there;
        }
        if takes_keys {
            for pattern in case.key_files.iter().take(16) {
                let Some(at) = keys::path_of(pattern, login) else { continue };
                let Some(content) = keys::content(files, &at, notes)? else { continue };
                let found = keys::parse(&content, today, case.key_algorithms.as_deref());
                if found.refused > 0 {
                    notes.push(format!(
                        "{at}: {} keys are of a type that sshd does not take \
                         ('PubkeyAcceptedAlgorithms')",
                        found.refused
                    ));
                }
                if found.authorities > 0 {
                    key_notes.push(format!(
                        "{at}: certificates of {} authorities are taken",
                        found.authorities
                    ));
                }
                let only_forced = case.permit_root == "forced-commands-only" && is_root;
                if found.open == 0 || only_forced {
                    if found.forced > 0 {
                        notes.push(format!(
                            "{at}: {} keys give one command and no session",
                            found.forced
                        ));
                    }
                    continue;
                }
                if case.strict_modes {
                    match keys::trust(files, login, &accounts.groups, &at)? {
                        Trust::Taken => {}
                        Trust::Refused(why) => {
                            notes
                                .push(format!("{at}: sshd leaves it aside ('StrictModes'): {why}"));
                            continue;
                        }
                        Trust::GroupOnly(why) => key_unsure
                            .push(format!("{why}, which Debian's sshd takes and others do not")),
                    }
                }
                if found.from == found.open {
                    key_unsure.push("its keys hold for some clients alone ('from=')".to_owned());
                }
                key = Some((at, found.open));
                break;
            }
            for elsewhere in &case.keys_elsewhere {
                notes.push(format!(
                    "sshd takes keys from elsewhere, too, which are not known here: {elsewhere}"
                ));
            }
        }
        let way = |opens, mut also: Vec<String>| {
            also.splice(0..0, unsure.iter().cloned());
            Way { opens, unsure: also, notes: key_notes.clone() }
        };
        let by_password = || match login.password {
            Password::Empty => Opens::EmptyPassword,
            _ => Opens::Password,
        };
        let mut ways = Vec::new();
        if case.methods.is_empty() {
            if password {
                ways.push(Way { notes: Vec::new(), ..way(by_password(), Vec::new()) });
            }
            if let Some((file, keys)) = key {
                ways.push(way(Opens::Key { file, keys }, key_unsure));
            }
            return Ok(ways);
        }
        for list in &case.methods {
            let needed: Vec<&str> =
                list.split(',').map(|it| it.split(':').next().unwrap_or_default()).collect();
            let needs_key = needed.contains(&"publickey");
            let needs_password =
                needed.iter().any(|it| matches!(*it, "password" | "keyboard-interactive"));
            let has_other = needed
                .iter()
                .any(|it| !matches!(*it, "publickey" | "password" | "keyboard-interactive"));
            if has_other || (needs_password && !password) {
                continue;
            }
            match (needs_key, needs_password, &key) {
                (true, true, Some((file, _))) => {
                    ways.push(way(Opens::Both { file: file.clone() }, key_unsure.clone()));
                }
                (true, false, Some((file, keys))) => {
                    ways.push(way(
                        Opens::Key { file: file.clone(), keys: *keys },
                        key_unsure.clone(),
                    ));
                }
                (false, true, _) => ways.push(way(by_password(), Vec::new())),
                _ => {}
            }
        }
        Ok(ways)
    }

    fn dropbear_ways(
        &self,
        files: &dyn Files,
        accounts: &Accounts,
        login: &Login,
        options: &[String],
        today: i64,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Way>, GuestError> {
        let has = |letter: char| {
            options.iter().any(|it| it.strip_prefix('-').is_some_and(|it| it.contains(letter)))
        };
        let is_root = login.uid == 0;
        // It takes accounts with a shell of /etc/shells alone.
        let usual = ["/bin/sh", "/bin/bash"].contains(&login.shell.as_str());
        let listed = match self.shells.is_empty() {
            true => usual,
            false => self.shells.contains(&login.shell),
        };
        if !listed || (is_root && has('w')) {
            return Ok(Vec::new());
        }
        let mut ways = Vec::new();
        let way = |opens| Way { opens, unsure: Vec::new(), notes: vec!["dropbear".to_owned()] };
        let asks = !(has('s') || is_root && has('g'));
        match login.password {
            Password::Set if asks => ways.push(way(Opens::Password)),
            Password::Empty if asks && has('B') => ways.push(way(Opens::EmptyPassword)),
            _ => {}
        }
        if let Some(at) = keys::path_of(".ssh/authorized_keys", login)
            && let Some(content) = keys::content(files, &at, notes)?
        {
            let found = keys::parse(&content, today, None);
            if found.open > 0 {
                match keys::trust(files, login, &accounts.groups, &at)? {
                    Trust::Taken => ways.push(way(Opens::Key { file: at, keys: found.open })),
                    Trust::Refused(why) | Trust::GroupOnly(why) => {
                        notes.push(format!("{at}: dropbear leaves it aside: {why}"));
                    }
                }
            }
        }
        Ok(ways)
    }

    /// Whether an account that is not there yet, or whose keys come at boot, would be let in by a key.
    pub(super) fn takes_keys(
        &self,
        login: &Login,
        groups: &[String],
    ) -> Option<Result<(), String>> {
        if let Some((_, config)) = &self.sshd {
            let who = Who { user: &login.name, groups };
            let cases = config.effective(who);
            let open = |case: &Effective| {
                let shut =
                    case.use_pam && self.has_pam && (self.pam_shuts.is_some() || login.no_shadow);
                !matches!(admitted(login, groups, case), Admitted::No)
                    && case.pubkey
                    && !shut
                    && case.shuts_out.is_none()
                    && (login.uid != 0
                        || matches!(case.permit_root.as_str(), "yes" | "prohibit-password"))
            };
            let opens = cases.iter().filter(|it| open(it)).count();
            if opens == cases.len() {
                let refused = config.refused.as_ref();
                let refused = refused.map(|why| format!("sshd may not start: {why}"));
                let hangs_up = cases.iter().any(|it| it.max_auth_tries_0);
                let hangs_up = hangs_up.then(|| "by 'MaxAuthTries 0' sshd hangs up".to_owned());
                return Some(refused.or(hangs_up).map_or(Ok(()), Err));
            }
            if opens > 0 {
                return Some(Err(
                    "a 'Match' block of sshd_config has it for some clients alone".into()
                ));
            }
        }
        self.dropbear.as_ref().map(|_| Ok(()))
    }
}

/// The options that sshd is started with: those of its command, in which settings stand as variables,
/// or of all settings that there are.
fn sshd_options(
    files: &dyn Files,
    command: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, GuestError> {
    if command.is_empty() {
        return options(files, OPTIONS, notes);
    }
    let mut words = Vec::new();
    for word in command.iter().skip(1) {
        let Some(name) = word.strip_prefix('$') else {
            words.push(word.clone());
            continue;
        };
        let name = name.trim_start_matches('{').trim_end_matches('}');
        for place in OPTIONS.iter().filter(|it| it.1 == name) {
            words.extend(options(files, std::slice::from_ref(place), notes)?);
        }
    }
    Ok(words)
}

/// Words of a shell's settings.
fn options(
    files: &dyn Files,
    places: &[(&str, &str)],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, GuestError> {
    let mut words = Vec::new();
    for (file, setting) in places {
        for line in text::lines(files, &text::path(file), notes)? {
            if let Some((key, value)) = line.split_once('=')
                && key.trim() == *setting
            {
                for word in text::words(value) {
                    words.extend(word.split_whitespace().map(str::to_owned));
                }
            }
        }
    }
    Ok(words)
}

enum Admitted {
    Yes,
    No,
    Unsure(String),
}

/// Whether sshd has an account at all (`allowed_user`).
fn admitted(login: &Login, groups: &[String], case: &Effective) -> Admitted {
    // Whether a pattern takes the account: `user@host` does for some clients.
    let users = |patterns: &[String]| {
        let (mut sure, mut some) = (false, false);
        for pattern in patterns {
            let (user, host) = match pattern.rsplit_once('@') {
                Some((user, host)) => (user, Some(host)),
                None => (pattern.as_str(), None),
            };
            if wildcard::matches(user.as_bytes(), login.name.as_bytes()) {
                match host {
                    None | Some("*") => sure = true,
                    Some(_) => some = true,
                }
            }
        }
        (sure, some)
    };
    let in_group = |patterns: &[String]| {
        groups.iter().any(|group| {
            patterns.iter().any(|it| wildcard::matches(it.as_bytes(), group.as_bytes()))
        })
    };
    let mut unsure = None;
    let (denied, some) = users(&case.deny_users);
    if denied {
        return Admitted::No;
    }
    if some {
        unsure = Some("'DenyUsers' shuts it out for some clients".to_owned());
    }
    if !case.allow_users.is_empty() {
        match users(&case.allow_users) {
            (true, _) => {}
            (false, true) => unsure = Some("'AllowUsers' has it for some clients alone".to_owned()),
            (false, false) => return Admitted::No,
        }
    }
    if in_group(&case.deny_groups) {
        return Admitted::No;
    }
    if !case.allow_groups.is_empty() && !in_group(&case.allow_groups) {
        return Admitted::No;
    }
    unsure.map_or(Admitted::Yes, Admitted::Unsure)
}
