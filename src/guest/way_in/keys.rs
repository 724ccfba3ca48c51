//! Files with the public keys of those who may log in (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::accounts::{Groups, Login};
use super::{text, wildcard};
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The types of keys that sshd takes.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// What is in such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// Keys that give a session.
    pub(super) open: usize,
    /// Those among them that hold for some clients alone (`from=`).
    pub(super) from: usize,
    /// Keys that give one command and nothing else.
    pub(super) forced: usize,
    /// Authorities whose certificates are taken.
    pub(super) authorities: usize,
    /// Keys of a type that the server does not take.
    pub(super) refused: usize,
}

/// Counts the keys of a file; `today` in days since 1970, `algorithms` what the server is told to take
/// (`PubkeyAcceptedAlgorithms`).
pub(super) fn parse(content: &[u8], today: i64, algorithms: Option<&str>) -> Keys {
    let mut keys = Keys::default();
    for line in String::from_utf8_lossy(content).lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (options, rest) = match is_key(line) {
            true => ("", line),
            false => split_options(line),
        };
        if !is_key(rest) {
            continue;
        }
        let options = options_of(options);
        let has = |name: &str| options.iter().any(|(key, _)| key == name);
        let expired = options.iter().any(|(key, value)| {
            key == "expiry-time" && day_of(value).is_some_and(|day| day < today)
        });
        if expired {
            continue;
        }
        let name = rest.split([' ', '\t']).next().unwrap_or_default();
        if has("cert-authority") {
            keys.authorities += 1;
        } else if !algorithms.is_none_or(|it| is_taken(name, it)) {
            keys.refused += 1;
        } else if has("command") {
            keys.forced += 1;
        } else {
            keys.open += 1;
            keys.from += usize::from(has("from"));
        }
    }
    keys
}

/// Whether a server takes keys of a type: one that is told a list, or what to add to its own, to take
/// from it, or to prefer (`+`, `-`, `^`).
fn is_taken(name: &str, algorithms: &str) -> bool {
    // Its own list has no SHA-1.
    let (own, other): (&[&str], &[&str]) = match name {
        "ssh-rsa" => (&["rsa-sha2-256", "rsa-sha2-512"], &["ssh-rsa"]),
        _ => (&[name], &[]),
    };
    let listed = |list: &str, name: &&str| wildcard::list_matches(list, name);
    match algorithms.split_at_checked(1) {
        Some(("+" | "^", _)) => true,
        Some(("-", list)) => own.iter().any(|it| !listed(list, it)),
        _ => own.iter().chain(other).any(|it| listed(algorithms, it)),
    }
}

/// Whether a line begins with a key: its type, and what of base64 names the same type.
fn is_key(line: &str) -> bool {
    let mut words = line.split([' ', '\t']).filter(|it| !it.is_empty());
    let (Some(name), Some(body)) = (words.next(), words.next()) else { return false };
    if !TYPES.contains(&name) {
        return false;
    }
    let Ok(bytes) = STANDARD.decode(body) else { return false };
    let mut wanted = (name.len() as u32).to_be_bytes().to_vec();
    wanted.extend_from_slice(name.as_bytes());
    bytes.starts_with(&wanted) && bytes.len() > wanted.len()
}

/// Options end with the first blank outside of quotes.
fn split_options(line: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let (options, rest) = line.split_at(at);
                return (options, rest.trim_start());
            }
            _ => {}
        }
        escaped = false;
    }
    (line, "")
}

fn options_of(text: &str) -> Vec<(String, String)> {
    let mut options = Vec::new();
    let mut one = String::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut push = |one: &mut String| {
        let (key, value) = one.split_once('=').unwrap_or((one, ""));
        options.push((key.to_ascii_lowercase(), value.trim_matches('"').to_owned()));
        one.clear();
    };
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                push(&mut one);
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        one.push(c);
    }
    if !one.is_empty() {
        push(&mut one);
    }
    options
}

/// The day of a time as `YYYYMMDD…`.
fn day_of(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Days of the civil calendar, of which a day more or less does not matter here.
    let months = (year - 1970) * 12 + month - 1;
    Some(months * 30_436_875 / 1_000_000 + day - 1)
}

/// Why sshd leaves a file aside that others may write to (`StrictModes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It takes it.
    Taken,
    /// It does not.
    Refused(String),
    /// Debian's sshd takes it, and others' do not.
    GroupOnly(String),
}

/// Whether a file and the folders that it is in are the account's or root's, and only theirs to write.
pub(super) fn trust(
    files: &dyn Files,
    login: &Login,
    groups: &Groups,
    file: &GuestPath,
) -> Result<Trust, GuestError> {
    let Some(state) = files.follow(file)? else { return Ok(Trust::Refused("not there".into())) };
    let home = match &login.home {
        Some(home) => files.follow(home)?.map(|it| it.path),
        None => None,
    };
    let mut at = state.path;
    let mut group_only = None;
    while let Some(state) = files.locate(&at)? {
        if state.uid != 0 && state.uid != login.uid {
            return Ok(Trust::Refused(format!("{at} belongs to user {}", state.uid)));
        }
        if state.mode & 0o002 != 0 {
            return Ok(Trust::Refused(format!("anyone may write to {at}")));
        }
        if state.mode & 0o020 != 0 {
            let own = state.gid == login.gid && groups.is_private(state.gid);
            if !own {
                return Ok(Trust::Refused(format!("group {} may write to {at}", state.gid)));
            }
            group_only.get_or_insert(format!("the account's own group may write to {at}"));
        }
        if home.as_ref() == Some(&at) {
            break;
        }
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    Ok(group_only.map_or(Trust::Taken, Trust::GroupOnly))
}

/// The path that an entry of `AuthorizedKeysFile` is for an account; `None` where its home is unknown
/// or it cannot be a path.
pub(super) fn path_of(pattern: &str, login: &Login) -> Option<GuestPath> {
    let home = login.home.as_ref().map(|it| it.to_bytes());
    let mut bytes = Vec::new();
    let mut letters = pattern.bytes();
    while let Some(c) = letters.next() {
        match c {
            b'%' => match letters.next()? {
                b'%' => bytes.push(b'%'),
                b'h' => bytes.extend_from_slice(home.as_ref()?),
                b'u' => bytes.extend(crate::path::unescape(&login.name).ok()?),
                b'U' => bytes.extend_from_slice(login.uid.to_string().as_bytes()),
                _ => return None,
            },
            c => bytes.push(c),
        }
    }
    if bytes.first() != Some(&b'/') {
        let mut whole = home?;
        whole.push(b'/');
        whole.extend_from_slice(&bytes);
        bytes = whole;
    }
    GuestPath::from_bytes(&bytes).ok()
}

/// The content of such a file, if it is there.
pub(super) fn content(
    files: &dyn Files,
    at: &GuestPath,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, GuestError> {
    text::content(files, at, text::FILE_BYTES, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_what_they_give() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";
        let keys = |line: String| {
            let keys = parse(line.as_bytes(), 20_000, None);
            (keys.open, keys.forced, keys.authorities)
        };
        for (line, wanted) in [
            (format!("{key} me@x"), (1, 0, 0)),
            (format!("  {key}\n# {key}\n\n{key}\n"), (2, 0, 0)),
            (format!("no-pty,from=\"10.0.0.0/8,1.2.3.4\" {key}"), (1, 0, 0)),
            (
                format!("command=\"echo \\\"no, ssh-rsa AAAA\\\"; sleep 10\",no-pty {key}"),
                (0, 1, 0),
            ),
            (format!("cert-authority,principals=\"a,b\" {key}"), (0, 0, 1)),
            (format!("expiry-time=\"20200101\" {key}"), (0, 0, 0)),
            (format!("expiry-time=\"20990101Z\" {key}"), (1, 0, 0)),
            (format!("restrict {}", &key[..30]), (0, 0, 0)),
            (key.replace("ssh-ed25519", "ssh-rsa"), (0, 0, 0)),
            (key.replace("ssh-ed25519", "ssh-dss"), (0, 0, 0)),
            (format!("command=\"unclosed {key}"), (0, 0, 0)),
        ] {
            assert_eq!(keys(line.clone()), wanted, "{line}");
        }
        assert_eq!(parse(format!("from=\"*.x\" {key}").as_bytes(), 0, None).from, 1);
    }
}
