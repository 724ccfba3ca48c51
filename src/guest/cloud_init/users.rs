//! The accounts that cloud-init makes or changes, and how one logs in to them
//! (`distros/ug_util.py`, `cc_users_groups`, `cc_set_passwords`, `cc_ssh`).

use super::settings::{Settings, View};
use crate::path::escape;
use crate::yaml::Value;

/// How many accounts are looked at.
const USERS: usize = 1000;

/// An account that cloud-init makes, or changes where the guest has it already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it is the one that the keys of a cloud's metadata are for.
    pub is_default: bool,
    /// Whether its password is locked, one that the guest has already, too.
    pub lock_passwd: bool,
    /// Whether a password is set for it.
    pub has_password: bool,
    /// Whether that password is drawn at random and written to the console.
    pub random_password: bool,
    /// Whether the password has to be changed at the first login.
    pub must_change: bool,
    /// How many SSH keys are written for it.
    pub keys: usize,
    /// Whether further ones are fetched from the network (`ssh_import_id`).
    pub imports_keys: bool,
    /// Whether it may become root.
    pub sudo: bool,
    /// Whether a login to it by SSH only names another account (`ssh_redirect_user`).
    pub redirected: bool,
}

impl User {
    /// Whether someone who has what the settings name gets in.
    pub fn opens(&self) -> bool {
        let password = self.has_password && !self.lock_passwd;
        password || (!self.redirected && (self.keys > 0 || self.imports_keys))
    }
}

/// What the settings say of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) users: Vec<User>,
    pub(super) disable_root: bool,
    pub(super) ssh_pwauth: Option<bool>,
    /// SSH keys for the default user and, unless it is shut out, root.
    pub(super) keys: usize,
}

/// Which of the modules that deal with accounts run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Modules {
    pub(super) users_groups: bool,
    pub(super) set_passwords: bool,
    pub(super) ssh: bool,
}

/// Reads them.
pub(super) fn read(settings: &Settings, modules: Modules) -> Users {
    let mut found = Users {
        disable_root: settings.get("disable_root").is_none_or(|it| it.yes()),
        ..Users::default()
    };
    if modules.set_passwords
        && let Some(auth) = settings.get("ssh_pwauth")
    {
        found.ssh_pwauth = if auth.yes() { Some(true) } else { auth.no().then_some(false) };
    }
    if modules.ssh {
        found.keys = settings.get("ssh_authorized_keys").map_or(0, |it| keys(&it));
    }
    let (listed, default) = normalized(settings);
    for (name, view) in listed.iter().take(USERS) {
        let is_default = default.as_deref() == Some(name.as_str());
        let mut user = of(name, is_default, view);
        if !modules.users_groups {
            user = User { name: name.clone(), is_default, ..User::default() };
        }
        if is_default {
            user.keys += found.keys;
        }
        found.users.push(user);
    }
    if modules.set_passwords {
        passwords(settings, default.as_deref(), &mut found.users);
    }
    found
}

/// A key of an account's settings, which may be written with dashes.
fn setting<'a>(view: &View<'a>, key: &str) -> Option<View<'a>> {
    view.get(key).or_else(|| view.get(&key.replace('_', "-")))
}

fn of(name: &str, is_default: bool, view: &View<'_>) -> User {
    let says = |key: &str| setting(view, key).is_some_and(|it| it.truth());
    let password = ["plain_text_passwd", "hashed_passwd", "passwd"].iter().any(|key| {
        setting(view, key).is_some_and(|it| match it.text() {
            Some(text) => *key == "plain_text_passwd" && !text.is_empty() || is_hash(text),
            None => false,
        })
    });
    User {
        name: name.to_owned(),
        is_default,
        lock_passwd: setting(view, "lock_passwd").is_none_or(|it| it.truth()),
        has_password: password,
        random_password: false,
        must_change: false,
        keys: setting(view, "ssh_authorized_keys").map_or(0, |it| keys(&it)),
        imports_keys: says("ssh_import_id"),
        sudo: says("sudo") || says("doas"),
        redirected: says("ssh_redirect_user"),
    }
}

/// Whether a field of shadow(5) is a password's: neither empty nor what no password gives.
fn is_hash(text: &str) -> bool {
    text.len() > 2 && !text.starts_with(['!', '*'])
}

fn keys(view: &View<'_>) -> usize {
    match view.value() {
        Value::Text(text) => usize::from(!text.trim().is_empty()),
        Value::List(items) => items.len(),
        Value::Map(_) => view.keys().len(),
        _ => 0,
    }
}

/// Each account with its settings, and which of them is the default one.
fn normalized(settings: &Settings) -> (Vec<(String, View<'_>)>, Option<String>) {
    let of_distro = settings.get("system_info").and_then(|it| it.get("default_user"));
    let old = settings.get("user").filter(|it| it.truth());
    let old_name = old.as_ref().and_then(|it| it.text().map(str::to_owned));
    let old_map = old.clone().filter(|it| matches!(it.value(), Value::Map(_)));
    let has_old = old_name.is_some() || old_map.is_some();
    let mut listed: Vec<(String, Vec<View<'_>>)> = Vec::new();
    let base = settings.get("users");
    if let Some(base) = &base {
        match base.value() {
            Value::Text(text) => {
                text.split(',').for_each(|it| insert(&mut listed, it.trim(), None));
            }
            Value::Map(_) => {
                for key in base.keys().into_iter().take(USERS) {
                    let Some(value) = base.get(key) else { continue };
                    match value.value() {
                        Value::Map(_) => insert(&mut listed, key, Some(value)),
                        _ if value.yes() => insert(&mut listed, key, None),
                        _ => {}
                    }
                }
            }
            _ => {
                for item in base.items() {
                    match item.value() {
                        Value::Text(text) => {
                            text.split(',').for_each(|it| insert(&mut listed, it.trim(), None));
                        }
                        Value::List(_) => {
                            item.texts().iter().for_each(|it| insert(&mut listed, it, None));
                        }
                        Value::Map(_) => {
                            let name = item.get("name").and_then(|it| it.text());
                            insert(&mut listed, name.unwrap_or("default"), Some(item.clone()));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    if has_old {
        insert(&mut listed, "default", None);
    }
    let mut default = None;
    if let Some(at) = listed.iter().position(|it| it.0 == "default") {
        let (_, own) = listed.remove(at);
        let base: Vec<View<'_>> = old_map.into_iter().chain(of_distro).collect();
        let merged = View::merged(base.clone());
        let name = old_name.or_else(|| merged.get("name")?.text().map(str::to_owned));
        if let Some(name) = name.filter(|it| !it.is_empty()) {
            let name = escape(name.as_bytes());
            let mut views = base;
            views.extend(own);
            if let Some(at) = listed.iter().position(|it| it.0 == name) {
                views.extend(listed.remove(at).1);
            }
            listed.push((name.clone(), views));
            default = Some(name);
        }
    }
    (listed.into_iter().map(|(name, views)| (name, View::merged(views))).collect(), default)
}

fn insert<'a>(listed: &mut Vec<(String, Vec<View<'a>>)>, name: &str, view: Option<View<'a>>) {
    if name.is_empty() {
        return;
    }
    let name = escape(name.as_bytes());
    if let Some((_, views)) = listed.iter_mut().find(|it| it.0 == name) {
        views.extend(view);
    } else if listed.len() < USERS {
        listed.push((name, view.into_iter().collect()));
    }
}

/// Passwords that are set for accounts by name.
fn passwords(settings: &Settings, default: Option<&str>, users: &mut Vec<User>) {
    let change = settings.get("chpasswd");
    let expire = change.as_ref().and_then(|it| it.get("expire")).is_none_or(|it| it.yes());
    let mut set: Vec<(String, bool)> = Vec::new();
    if let Some(change) = &change {
        for item in change.get("users").map(|it| it.items()).unwrap_or_default() {
            let text = |key: &str| item.get(key).and_then(|it| it.text().map(str::to_owned));
            if let Some(name) = text("name") {
                let random =
                    text("type").as_deref() == Some("RANDOM") || item.get("password").is_none();
                set.push((name, random));
            }
        }
        let list = change.get("list");
        let lines = match list.as_ref().map(|it| (it.text(), it)) {
            Some((Some(text), _)) => text.lines().map(str::to_owned).collect(),
            Some((None, list)) => list.texts(),
            None => Vec::new(),
        };
        for line in lines {
            if let Some((name, password)) = line.split_once(':') {
                set.push((name.trim().to_owned(), matches!(password, "R" | "RANDOM")));
            }
        }
    }
    let password = settings.get("password").is_some_and(|it| it.truth());
    if set.is_empty()
        && password
        && let Some(default) = default
    {
        set.push((default.to_owned(), false));
    }
    for (name, random) in set.into_iter().take(USERS) {
        let name = escape(name.as_bytes());
        if !users.iter().any(|it| it.name == name) {
            users.push(User { name: name.clone(), ..User::default() });
        }
        for user in users.iter_mut().filter(|it| it.name == name) {
            user.has_password = true;
            user.lock_passwd = false;
            user.random_password = random;
            user.must_change = expire;
        }
    }
}
