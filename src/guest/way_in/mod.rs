//! Ways into a guest: which account can log in at the next boot, and how.
//!
//! What cannot be decided from the guest's files is said with the way that it concerns. Whether the
//! SSH server starts is not asked here.

mod accounts;
mod console;
mod host_keys;
mod keys;
mod pam;
mod ssh;
mod sshd_config;
mod sshd_keywords;
mod text;
mod wildcard;

use super::cloud_init::{CloudInit, Runs, User};
use super::{Facts, Files, GuestError};
use crate::fs::Kind;
use crate::path::GuestPath;
use accounts::{Accounts, Aging, Login};
use ssh::{Opens, Servers};

pub use accounts::Password;
pub(crate) use host_keys::HostKeys;
pub use sshd_config::{Effective, SshdConfig, Who};
pub(crate) use text::words;

/// How many accounts that could log in are looked into.
const ACCOUNTS: usize = 200;

/// How many notes are kept.
const NOTES: usize = 200;

/// What an account logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Its password, at a console.
    ConsolePassword,
    /// At a console, where it has no password and none is asked for.
    ConsoleEmptyPassword,
    /// Nothing: a console lets it in; this file says so.
    Autologin(GuestPath),
    /// Its password, by SSH.
    SshPassword,
    /// By SSH, where it has no password and none is asked for.
    SshEmptyPassword,
    /// A key, by SSH.
    SshKey {
        /// The file with the public keys.
        file: GuestPath,
        /// How many of them give a session.
        keys: usize,
    },
    /// A key and the password, by SSH.
    SshKeyAndPassword {
        /// The file with the public keys.
        file: GuestPath,
    },
    /// What cloud-init gives it at first boot, in words.
    CloudInit(String),
}

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayIn {
    /// The account.
    pub account: String,
    /// What it logs in with.
    pub by: By,
    /// What is not known and may make it none; empty where it is sure.
    pub unsure: Vec<String>,
    /// What else is to be known of it.
    pub notes: Vec<String>,
}

impl WayIn {
    /// Whether nothing that is not known stands in its way.
    pub fn is_sure(&self) -> bool {
        self.unsure.is_empty()
    }

    /// Whether it needs the SSH server.
    pub fn is_ssh(&self) -> bool {
        matches!(
            self.by,
            By::SshPassword
                | By::SshEmptyPassword
                | By::SshKey { .. }
                | By::SshKeyAndPassword { .. }
        )
    }
}

/// The ways into a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaysIn {
    /// Each of them.
    pub ways: Vec<WayIn>,
    /// The SSH servers that are installed; whether they start is another question.
    pub servers: Vec<GuestPath>,
    /// Why accounts that seem to be able to log in are not, and what was not looked into.
    pub notes: Vec<String>,
    /// Rules of PAM's modules that may shut out whom all else lets in.
    pub rules: Vec<String>,
}

impl WaysIn {
    /// Reads them off a guest. `cloud` is what its cloud-init would do, `today` the day, counted from
    /// 1970, at which accounts and keys are asked whether they are expired, `sshd` the words of the
    /// command that starts OpenSSH's server; none where that is not known.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn read(
        files: &dyn Files,
        facts: &Facts,
        cloud: Option<&CloudInit>,
        today: i64,
        sshd: &[String],
    ) -> Result<Self, GuestError> {
        let cloud = cloud.filter(|it| !matches!(it.runs, Runs::No { .. }));
        let accounts = accounts::read(files, today)?;
        let servers = Servers::read(files, sshd)?;
        let console = console::read(files, facts)?;
        let mut found = Self { notes: accounts.notes.clone(), ..Self::default() };
        found.servers.extend(servers.sshd.iter().map(|it| it.0.clone()));
        found.servers.extend(servers.dropbear.iter().map(|it| it.0.clone()));
        found.notes.extend(servers.notes.iter().cloned());
        found.notes.extend(console.notes.iter().cloned());
        let closed = files.follow(&text::path("/etc/nologin"))?.is_some();
        if closed {
            found.notes.push("/etc/nologin: nobody but root logs in".into());
        }
        pam::rules(files, &mut found)?;
        let shut = pam::Shut::read(files)?;
        found.notes.extend(shut.notes().cloned());
        let servers = servers.with_pam(&shut);
        let console = console.with_pam(&shut);
        let mut looked = 0;
        for login in &accounts.logins {
            let Some(session) = session(files, login)? else { continue };
            if let Some(why) = login.aging.over {
                let opens = matches!(login.password, Password::Set | Password::Empty);
                if opens {
                    found.notes.push(format!("{}: {why}", login.name));
                }
                continue;
            }
            if closed && login.uid != 0 {
                continue;
            }
            if looked == ACCOUNTS {
                found.notes.push(format!("/etc/passwd: more than {ACCOUNTS} accounts with a shell, and the rest was not looked into"));
                break;
            }
            looked += 1;
            let ways = of_account(files, &accounts, &servers, &console, cloud, login, today)?;
            found.notes.extend(ways.1);
            found.ways.extend(ways.0.into_iter().map(|mut way| {
                way.notes.extend(session.iter().cloned());
                way
            }));
        }
        for (user, at) in &console.autologins {
            let is_there = accounts.logins.iter().any(|it| it.name == *user);
            if !is_there {
                found.notes.push(format!("{at}: lets '{user}' in, whom the guest does not have"));
            }
        }
        if let Some(cloud) = cloud {
            of_cloud(cloud, &accounts, &servers, closed, &mut found);
        }
        let mut known = std::collections::HashSet::new();
        found.notes.retain(|it| known.insert(it.clone()));
        found.notes.truncate(NOTES);
        Ok(found)
    }

    /// Whether there is a way in that nothing unknown stands in the way of.
    pub fn is_sure(&self) -> bool {
        self.ways.iter().any(WayIn::is_sure)
    }
}

/// What is to be known of an account's shell; `None` where it gives no session.
fn session(files: &dyn Files, login: &Login) -> Result<Option<Vec<String>>, GuestError> {
    let name = login.shell.rsplit('/').next().unwrap_or_default();
    if matches!(name, "nologin" | "false" | "true" | "sync" | "shutdown" | "halt" | "git-shell") {
        return Ok(None);
    }
    let shell = crate::path::unescape(&login.shell).ok();
    let Some(shell) = shell.and_then(|it| GuestPath::from_bytes(&it).ok()) else { return Ok(None) };
    // NixOS's are in what is made at boot.
    let made = shell.names().next() == Some(b"run");
    let state = files.follow(&shell)?;
    if !made && !state.is_some_and(|it| it.kind == Kind::File && it.mode & 0o111 != 0) {
        return Ok(None);
    }
    let mut notes = Vec::new();
    if made {
        notes.push(format!("its shell is made at boot ({shell})"));
    }
    if login.home.is_none() {
        notes.push("it has no home".to_owned());
    }
    Ok(Some(notes))
}

type Found = (Vec<WayIn>, Vec<String>);

fn of_account(
    files: &dyn Files,
    accounts: &Accounts,
    servers: &Servers,
    console: &console::Console,
    cloud: Option<&CloudInit>,
    login: &Login,
    today: i64,
) -> Result<Found, GuestError> {
    let (mut ways, mut notes) = (Vec::new(), Vec::new());
    let mut add = |by: By, unsure: Vec<String>, notes: Vec<String>| {
        ways.push(WayIn { account: login.name.clone(), by, unsure, notes });
    };
    // cloud-init locks the password of an account that it makes, of one that is there, too.
    let locks = cloud.and_then(|it| Some((it, it.users.iter().find(|it| it.name == login.name)?)));
    let locks = locks.filter(|(_, user)| user.lock_passwd);
    let mut login = login.clone();
    let mut password_unsure = Vec::new();
    match locks {
        Some((cloud, _)) if cloud.runs == Runs::Yes => {
            if matches!(login.password, Password::Set | Password::Empty) {
                notes
                    .push(format!("{}: cloud-init locks its password ('lock_passwd')", login.name));
            }
            if login.password == Password::Set {
                login.password = Password::Locked;
            }
            login.bang = true;
        }
        Some((_, user)) if matches!(login.password, Password::Set | Password::Empty) => {
            password_unsure.push(format!(
                "cloud-init locks the password of '{}' where it runs ('lock_passwd')",
                user.name
            ));
        }
        _ => {}
    }
    let login = &login;
    let must_change: Vec<String> = match login.aging.must_change {
        true => vec!["the password has to be changed at the first login".to_owned()],
        false => Vec::new(),
    };
    for (user, at) in &console.autologins {
        if *user == login.name {
            add(By::Autologin(at.clone()), Vec::new(), Vec::new());
        }
    }
    if !console.asks.is_empty() && !console.takes_no_password && console_takes(files, login)? {
        match login.password {
            Password::Set => add(By::ConsolePassword, password_unsure.clone(), must_change.clone()),
            Password::Empty => {
                let mut unsure = password_unsure.clone();
                if !nullok(files)? {
                    unsure.push(
                        "PAM takes empty passwords with 'nullok' alone, which was not found".into(),
                    );
                }
                add(By::ConsoleEmptyPassword, unsure, must_change.clone());
            }
            Password::Locked | Password::Disabled => {}
        }
    }
    let auth = cloud.filter(|it| it.runs == Runs::Yes).and_then(|it| it.ssh_pwauth);
    let maybe = cloud.filter(|it| it.runs != Runs::Yes).and_then(|it| it.ssh_pwauth);
    for way in servers.ways(files, accounts, login, auth, today, &mut notes)? {
        let (mut unsure, mut notes) = (way.unsure, way.notes);
        let has_password = !matches!(way.opens, Opens::Key { .. });
        if has_password {
            unsure.extend(password_unsure.iter().cloned());
            notes.extend(must_change.iter().cloned());
            if maybe == Some(false) {
                unsure.push(
                    "cloud-init turns passwords off for SSH where it runs ('ssh_pwauth')".into(),
                );
            }
        } else if login.aging.must_change {
            notes.push(
                "a new password is asked for at the first login, and the old one with it".into(),
            );
            if login.password != Password::Set {
                unsure.push("the password is expired, and there is none to change it with".into());
            }
        }
        let by = match way.opens {
            Opens::Password => By::SshPassword,
            Opens::EmptyPassword => By::SshEmptyPassword,
            Opens::Key { file, keys } => By::SshKey { file, keys },
            Opens::Both { file } => By::SshKeyAndPassword { file },
        };
        add(by, unsure, notes);
    }
    Ok((ways, notes))
}

/// Whether a console lets an account in by password: root, on the terminals of securetty alone.
fn console_takes(files: &dyn Files, login: &Login) -> Result<bool, GuestError> {
    let list = text::path("/etc/securetty");
    if login.uid != 0 || files.follow(&list)?.is_none() {
        return Ok(true);
    }
    let mut asks = false;
    for line in text::lines(files, &text::path("/etc/pam.d/login"), &mut Vec::new())? {
        asks |= line.starts_with("auth") && line.contains("pam_securetty");
    }
    let lines = text::lines(files, &list, &mut Vec::new())?;
    let has_any = lines.iter().any(|it| !it.is_empty() && !it.starts_with('#'));
    Ok(!asks || has_any)
}

/// Whether PAM takes empty passwords at a console; where there is no PAM, login does by itself.
fn nullok(files: &dyn Files) -> Result<bool, GuestError> {
    let mut any = false;
    for service in
        ["login", "common-auth", "system-auth", "base-auth", "system-login", "system-local-login"]
    {
        let at = text::path("/etc/pam.d").join(service.as_bytes());
        for line in text::lines(files, &at, &mut Vec::new())? {
            any = true;
            if !line.starts_with('#') && line.contains("pam_unix") && line.contains("nullok") {
                return Ok(true);
            }
        }
    }
    Ok(!any)
}

/// What cloud-init gives accounts.
fn of_cloud(
    cloud: &CloudInit,
    accounts: &Accounts,
    servers: &Servers,
    closed: bool,
    found: &mut WaysIn,
) {
    let mut unsure = Vec::new();
    match &cloud.runs {
        Runs::Yes => {}
        Runs::WithSource(what) => unsure.push(format!("cloud-init runs where {what}")),
        Runs::NotKnown { at, reason } => {
            unsure.push(format!("whether cloud-init runs is not known: {at}: {reason}"));
        }
        Runs::No { .. } => return,
    }
    if cloud.recorded.as_ref().is_some_and(|it| it.same) {
        unsure.push("cloud-init takes the guest for an instance that it has configured".into());
    }
    for user in cloud.users.iter().take(ACCOUNTS) {
        if closed && user.name != "root" {
            continue;
        }
        let there = accounts.logins.iter().find(|it| it.name == user.name);
        let login = there.cloned().unwrap_or_else(|| Login {
            name: user.name.clone(),
            uid: if user.name == "root" { 0 } else { u32::MAX },
            gid: u32::MAX,
            home: None,
            shell: "/bin/bash".into(),
            password: Password::Disabled,
            bang: true,
            aging: Aging::default(),
            no_shadow: false,
        });
        let groups = match there {
            Some(login) => accounts.groups.of(login),
            None => vec![user.name.clone()],
        };
        let mut add = |what: String, also: Option<String>| {
            let mut unsure = unsure.clone();
            unsure.extend(also);
            let mut notes = Vec::new();
            if user.must_change && user.has_password {
                notes.push("the password has to be changed at the first login".to_owned());
            }
            let by = By::CloudInit(what);
            found.ways.push(WayIn { account: user.name.clone(), by, unsure, notes });
        };
        if user.has_password && !user.lock_passwd {
            add(
                if user.random_password {
                    "a password that it writes to the console"
                } else {
                    "a password of its settings"
                }
                .to_owned(),
                None,
            );
        }
        keys_of(user, cloud, servers.takes_keys(&login, &groups), &mut add, &mut found.notes);
    }
}

fn keys_of(
    user: &User,
    cloud: &CloudInit,
    takes: Option<Result<(), String>>,
    add: &mut dyn FnMut(String, Option<String>),
    notes: &mut Vec<String>,
) {
    let shut = user.name == "root" && cloud.disable_root && user.keys == 0;
    if user.redirected || shut {
        return;
    }
    let metadata = user.is_default && cloud.metadata_keys;
    if user.keys == 0 && !user.imports_keys && !metadata {
        return;
    }
    let also = match takes {
        None => {
            notes.push(format!(
                "{}: cloud-init has a key for it, and no SSH server takes it",
                user.name
            ));
            return;
        }
        Some(Ok(())) => None,
        Some(Err(why)) => Some(why),
    };
    if user.keys > 0 {
        let keys = if user.keys == 1 { "a key".into() } else { format!("{} keys", user.keys) };
        add(format!("{keys} of its settings"), also);
    } else if user.imports_keys {
        add(
            "keys that it fetches ('ssh_import_id')".to_owned(),
            also.or_else(|| Some("the keys have to be there".into())),
        );
    } else {
        let source = "the cloud has to hand on a key".to_owned();
        add("a key of the cloud's metadata".to_owned(), Some(also.unwrap_or(source)));
    }
}
