//! Accounts and what their passwords are: passwd(5), shadow(5), group(5).

use std::collections::{HashMap, HashSet};

use super::text;
use crate::guest::{Files, GuestError};
use crate::path::{GuestPath, escape};

/// The longest account file that is read: 100,000 accounts of 160 bytes.
const ACCOUNT_BYTES: u64 = 16 << 20;

/// How many accounts are looked at.
const ACCOUNTS: usize = 100_000;

/// How many members of groups are kept.
const MEMBERS: usize = 1_000_000;

/// What an account's password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// There is one.
    Set,
    /// There is one, and it is locked (`!`).
    Locked,
    /// No password opens the account (`*`, or what no password gives).
    Disabled,
    /// None is asked for.
    Empty,
}

/// What time has made of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Aging {
    /// Why nobody gets in any more.
    pub(super) over: Option<&'static str>,
    /// The password has to be changed at the next login.
    pub(super) must_change: bool,
}

/// An account.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: Option<GuestPath>,
    pub(super) shell: String,
    pub(super) password: Password,
    /// Whether the field begins with `!`, which sshd takes for the lock of an account.
    pub(super) bang: bool,
    pub(super) aging: Aging,
    /// Whether its password is said to be in `/etc/shadow`, which has no line for it.
    pub(super) no_shadow: bool,
}

/// The groups of accounts.
#[derive(Debug, Default)]
pub(super) struct Groups {
    names: HashMap<u32, String>,
    members: HashMap<String, Vec<String>>,
    gids: HashMap<u32, usize>,
}

impl Groups {
    /// The names of an account's groups.
    pub(super) fn of(&self, login: &Login) -> Vec<String> {
        let own = self.names.get(&login.gid);
        let others = self.members.get(&login.name).into_iter().flatten();
        let mut known = HashSet::new();
        own.into_iter().chain(others).filter(|it| known.insert(*it)).cloned().collect()
    }

    /// Whether a group has no member that it names.
    pub(super) fn is_private(&self, gid: u32) -> bool {
        self.gids.get(&gid).is_none_or(|&members| members == 0)
    }
}

/// The accounts of a guest.
pub(super) struct Accounts {
    pub(super) logins: Vec<Login>,
    pub(super) groups: Groups,
    /// What was not looked into.
    pub(super) notes: Vec<String>,
}

/// Reads them; `today` in days since 1970.
pub(super) fn read(files: &dyn Files, today: i64) -> Result<Accounts, GuestError> {
    let mut notes = Vec::new();
    let mut lines = |at: &str| -> Result<Vec<u8>, GuestError> {
        Ok(text::content(files, &text::path(at), ACCOUNT_BYTES, &mut notes)?.unwrap_or_default())
    };
    let (passwd, shadow, group) =
        (lines("/etc/passwd")?, lines("/etc/shadow")?, lines("/etc/group")?);
    let mut shadows: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
    for line in shadow.split(|&byte| byte == b'\n').take(ACCOUNTS) {
        let fields: Vec<Vec<u8>> = line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
        if let Some(name) = fields.first().filter(|it| !it.is_empty() && fields.len() > 1) {
            // The first entry of a name counts.
            shadows.entry(name.clone()).or_insert(fields);
        }
    }
    let has_shadow = files.follow(&text::path("/etc/shadow"))?.is_some();
    let mut logins = Vec::new();
    let mut known = HashSet::new();
    let mut elsewhere = false;
    for line in passwd.split(|&byte| byte == b'\n').take(ACCOUNTS) {
        elsewhere |= line.starts_with(b"+");
        let Some(mut login) = login(line, &shadows, today) else { continue };
        login.no_shadow &= has_shadow;
        if known.insert(login.name.clone()) {
            logins.push(login);
        }
    }
    if elsewhere {
        notes.push("/etc/passwd: accounts of a NIS server ('+') are not known here".into());
    }
    let switch = text::content(files, &text::path("/etc/nsswitch.conf"), 1 << 20, &mut notes)?;
    for line in String::from_utf8_lossy(&switch.unwrap_or_default()).lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some(sources) = line.trim().strip_prefix("passwd:") else { continue };
        let here = ["files", "compat", "systemd", "altfiles", "db"];
        let others =
            sources.split_whitespace().filter(|it| !it.starts_with('[') && !here.contains(it));
        let others: Vec<String> = others.map(|it| escape(it.as_bytes())).collect();
        if !others.is_empty() {
            notes.push(format!(
                "/etc/nsswitch.conf: accounts from {} are not known here",
                others.join(", ")
            ));
        }
    }
    Ok(Accounts { logins, groups: groups(&group), notes })
}

fn login(line: &[u8], shadows: &HashMap<Vec<u8>, Vec<Vec<u8>>>, today: i64) -> Option<Login> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    let [name, own, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    if name.is_empty() || matches!(name[0], b'#' | b'+' | b'-') {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let entry = shadows.get(*name);
    let field: &[u8] = match (*own, entry) {
        (b"x", Some(entry)) => entry.get(1).map_or(b"*", |it| it),
        (b"x", None) => b"*",
        (own, _) => own,
    };
    let shell = shell.trim_ascii_end();
    Some(Login {
        name: escape(name),
        uid: number(uid)?,
        gid: number(gid)?,
        home: GuestPath::from_bytes(home).ok(),
        shell: if shell.is_empty() { "/bin/sh".into() } else { escape(shell) },
        password: password(field),
        bang: field.starts_with(b"!"),
        no_shadow: *own == b"x" && entry.is_none(),
        aging: entry.map(|it| aging(it, today)).unwrap_or_default(),
    })
}

/// What a field of shadow(5) says.
pub(super) fn password(field: &[u8]) -> Password {
    match field {
        b"" => Password::Empty,
        [b'!', rest @ ..] => {
            let rest = rest.strip_prefix(b"!").unwrap_or(rest);
            if is_hash(rest) { Password::Locked } else { Password::Disabled }
        }
        field if is_hash(field) => Password::Set,
        _ => Password::Disabled,
    }
}

/// Whether crypt(3) may give this: `$id$…`, `_…`, or the 13 letters of DES.
fn is_hash(field: &[u8]) -> bool {
    let letters =
        |it: &[u8]| it.iter().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(byte));
    match field {
        [b'$', rest @ ..] => rest.iter().filter(|&&it| it == b'$').count() >= 1 && rest.len() > 4,
        [b'_', rest @ ..] => rest.len() == 19 && letters(rest),
        other => other.len() == 13 && letters(other),
    }
}

fn aging(entry: &[Vec<u8>], today: i64) -> Aging {
    let number = |at: usize| -> Option<i64> {
        std::str::from_utf8(entry.get(at)?).ok()?.trim().parse().ok().filter(|it| *it >= 0)
    };
    let (last, max, inactive, expire) = (number(2), number(4), number(6), number(7));
    let mut aging = Aging::default();
    if expire.is_some_and(|it| it <= today) {
        aging.over = Some("the account is expired");
    }
    match last {
        Some(0) => aging.must_change = true,
        Some(last) => {
            let Some(end) = max.filter(|it| *it < 99_999).and_then(|it| last.checked_add(it))
            else {
                return aging;
            };
            aging.must_change = end < today;
            let inactive = inactive.and_then(|it| end.checked_add(it));
            if inactive.is_some_and(|it| it < today) {
                aging.over = Some("the password is expired for too long");
            }
        }
        None => {}
    }
    aging
}

fn groups(content: &[u8]) -> Groups {
    let mut groups = Groups::default();
    let mut kept = 0;
    for line in content.split(|&byte| byte == b'\n').take(ACCOUNTS) {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let [name, _, gid, members] = fields.as_slice() else { continue };
        let gid = std::str::from_utf8(gid).ok().and_then(|it| it.parse::<u32>().ok());
        let Some(gid) = gid else { continue };
        let name = escape(name);
        let mut count = 0;
        for member in members.trim_ascii().split(|&byte| byte == b',') {
            if member.is_empty() || kept == MEMBERS {
                continue;
            }
            kept += 1;
            count += 1;
            groups.members.entry(escape(member)).or_default().push(name.clone());
        }
        groups.gids.entry(gid).and_modify(|it| *it += count).or_insert(count);
        groups.names.entry(gid).or_insert(name);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_shadow_are_told_apart() {
        for (field, wanted) in [
            ("", Password::Empty),
            ("*", Password::Disabled),
            ("!", Password::Disabled),
            ("!!", Password::Disabled),
            ("!*", Password::Disabled),
            ("x", Password::Disabled),
            ("NP", Password::Disabled),
            ("$6$salt$hash", Password::Set),
            ("$y$j9T$salt$hash", Password::Set),
            ("!$6$salt$hash", Password::Locked),
            ("!!$6$salt$hash", Password::Locked),
            ("abJnggxhB/yWI", Password::Set),
            ("_J9..rasmBYk8r9AiWNc", Password::Set),
        ] {
            assert_eq!(password(field.as_bytes()), wanted, "{field}");
        }
    }

    #[test]
    fn time_ends_accounts() {
        let aged = |line: &str| {
            let entry: Vec<Vec<u8>> = line.split(':').map(|it| it.as_bytes().to_vec()).collect();
            let aging = aging(&entry, 20_000);
            (aging.over.is_some(), aging.must_change)
        };
        for (line, wanted) in [
            ("a:x:19000:0:99999:7:::", (false, false)),
            ("a:x:0:0:99999:7:::", (false, true)),
            ("a:x:19000:0:99999:7::1:", (true, false)),
            ("a:x:19000:0:99999:7::20000:", (true, false)),
            ("a:x:19000:0:99999:7::20001:", (false, false)),
            ("a:x:19000:0:90:7:::", (false, true)),
            ("a:x:19000:0:90:7:30::", (true, true)),
            ("a:x:19990:0:90:7:30::", (false, false)),
            ("a:x::::::", (false, false)),
            ("a:x:9223372036854775807:0:1:7:1::", (false, false)),
            ("a:x", (false, false)),
        ] {
            assert_eq!(aged(line), wanted, "{line}");
        }
    }
}
