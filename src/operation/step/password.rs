//! `password`: sets, disables or locks an account's password.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::operation::crypt::{self, Method, SALT_BYTES, Secret};
use crate::operation::draft::{Draft, Target};
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;
use crate::text_file;

/// The longest password file, in bytes; its first line counts.
const FILE_BYTES: u64 = 64 << 10;

/// What no password is: it disables the account's (shadow(5)).
const DISABLED: &[u8] = b"*";

/// What locks a password that is there, as usermod(8) and virt-customize write it.
const LOCK: &[u8] = b"!!";

/// PAM's files that say how passwords are hashed.
const PAM: [&str; 3] =
    ["/etc/pam.d/common-password", "/etc/pam.d/system-auth", "/etc/pam.d/password-auth"];

pub(super) const VERB: Verb = Verb {
    name: "password",
    help: "sets an account's password from text, a file of the host or a hash, or disables or locks it",
    fields: &[&[
        Field::required("user", Shape::Owner, "the account's name"),
        Field::optional("password", Shape::Secret, "the password itself; 'file' keeps it apart"),
        Field::optional("file", Shape::Text, "a file of the host whose first line is the password"),
        Field::optional("hash", Shape::Secret, "what crypt(3) made of the password"),
        Field::optional("disabled", Shape::Bool, "no password opens the account"),
        Field::optional(
            "locked",
            Shape::Bool,
            "the password is kept and does not open the account",
        ),
        Field::optional(
            "crypto",
            Shape::OneOf(Method::WORDS),
            "how it is hashed; without, as the guest's PAM or login.defs says, or sha512",
        ),
        Field::optional("salt", Shape::Text, "fixes the salt, so that equal runs give equal bytes"),
    ]],
    short: None,
    build: |fields| Ok(Arc::new(Password::from_fields(fields)?)),
};

#[derive(Debug)]
struct Password {
    user: String,
    what: What,
    locked: bool,
    crypto: Option<Method>,
    salt: [u8; SALT_BYTES],
}

#[derive(Debug)]
enum What {
    /// Nothing opens the account.
    Disabled,
    /// What is there stays.
    Kept,
    Clear(Secret),
    Hash(Secret),
}

impl Password {
    fn from_fields(fields: &Fields) -> Result<Self, Problem> {
        let at = |name| fields.at_field(name);
        let given: Vec<&str> =
            ["password", "file", "hash"].into_iter().filter(|name| fields.has(name)).collect();
        let disabled = fields.flag("disabled", false);
        let locked = fields.flag("locked", false);
        if let [_, second, ..] = given.as_slice() {
            return Err(Problem::new(
                at(second),
                format!("'{}' and '{second}': give one", given[0]),
            ));
        }
        let text = |name| fields.text(name).unwrap_or_default().to_owned();
        let what = match (given.first().copied(), disabled) {
            (Some(name), true) => {
                return Err(Problem::new(at(name), "a disabled account takes no password"));
            }
            (Some("password"), _) => What::Clear(Secret::new(text("password"))),
            (Some("hash"), _) => {
                let hash = text("hash");
                if !crypt::is_hash(&hash) {
                    return Err(Problem::new(at("hash"), "'hash' is not what crypt(3) makes"));
                }
                What::Hash(Secret::new(hash))
            }
            (Some(_), _) => What::Clear(
                first_line(&text("file")).map_err(|message| Problem::new(at("file"), message))?,
            ),
            (None, true) => What::Disabled,
            (None, false) if locked => What::Kept,
            (None, false) => {
                let message = "give 'password', 'file' or 'hash', or 'disabled' or 'locked'";
                return Err(Problem::new(fields.at(), message));
            }
        };
        if let What::Clear(secret) = &what {
            let (field, problem) = (given[0], unfit(secret));
            if let Some(problem) = problem {
                return Err(Problem::new(at(field), problem));
            }
        }
        let salt = match fields.text("salt") {
            Some(text) => derived(text),
            None => drawn(),
        };
        let crypto = fields.text("crypto").and_then(Method::named);
        Ok(Self { user: text("user"), what, locked, crypto, salt })
    }

    /// The field as it is to be; `None` where it is so already.
    fn field(&self, now: &[u8], draft: &mut Draft<'_>) -> Result<Option<Vec<u8>>, StepError> {
        let locks = now.iter().take_while(|&&byte| byte == b'!').count();
        let hash = &now[locks..];
        let is = |wanted: bool| wanted && (locks > 0) == self.locked;
        let text = std::str::from_utf8(hash).unwrap_or_default();
        let wanted = match &self.what {
            What::Disabled => return Ok((now != DISABLED).then(|| DISABLED.to_vec())),
            What::Kept => return Ok((locks == 0).then(|| [LOCK, hash].concat())),
            What::Clear(secret) if is(crypt::is_of(text, secret)) => return Ok(None),
            What::Hash(secret) if is(text == secret.reveal()) => return Ok(None),
            What::Hash(secret) => secret.reveal().to_owned(),
            What::Clear(secret) => {
                let method = match self.crypto {
                    Some(method) => method,
                    None => usual(draft)?,
                };
                crypt::hash(method, secret, &self.salt).map_err(StepError::Password)?
            }
        };
        let lock = if self.locked { LOCK } else { b"" };
        Ok(Some([lock, wanted.as_bytes()].concat()))
    }
}

/// Why a password cannot be one: passwd(1) could not take it either.
fn unfit(secret: &Secret) -> Option<&'static str> {
    match secret.reveal() {
        "" => Some("the password is empty"),
        text if text.contains(['\n', '\r', '\0']) => Some("the password holds a line end or a NUL"),
        text if text.len() > 511 => Some("the password is longer than crypt(3) takes (511 bytes)"),
        _ => None,
    }
}

fn first_line(file: &str) -> Result<Secret, String> {
    let text = text_file::read(file.as_ref(), FILE_BYTES).map_err(|it| format!("{file}: {it}"))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn derived(text: &str) -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    let digest = blake3::derive_key("sysprep-rs 2026 salt of a password", text.as_bytes());
    salt.copy_from_slice(&digest[..SALT_BYTES]);
    salt
}

fn drawn() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    // Without the system's randomness the addresses and time that a hasher is seeded with do: a
    // salt has to differ, not to be secret.
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut it| std::io::Read::read_exact(&mut it, &mut salt));
    if read.is_err() {
        use std::hash::{BuildHasher as _, RandomState};
        salt = derived(&RandomState::new().hash_one("salt").to_string());
    }
    salt
}

/// How the guest itself would hash a password.
fn usual(draft: &mut Draft<'_>) -> Result<Method, StepError> {
    for file in PAM.into_iter().chain(["/etc/login.defs"]) {
        let Some(content) = draft.content_at(&file.parse().unwrap_or_default())? else { continue };
        let says = |word: &[u8]| {
            content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).any(|line| {
                !line.starts_with(b"#")
                    && line
                        .split(|byte| byte.is_ascii_whitespace())
                        .any(|it| it.eq_ignore_ascii_case(word))
            })
        };
        if says(b"yescrypt") {
            return Ok(Method::Yescrypt);
        }
        if says(b"sha512") {
            return Ok(Method::Sha512);
        }
    }
    Ok(Method::Sha512)
}

/// The file that holds the password: shadow(5), or passwd(5) where the guest has no shadow.
fn file(draft: &Draft<'_>) -> Result<Option<Target>, StepError> {
    for path in [&b"shadow"[..], b"passwd"] {
        let path = GuestPath::root().join(b"etc").join(path);
        let found = draft.at(&path, true)?;
        if let Some(file) = found.filter(|it| it.kind == Some(Kind::File)) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

impl Propose for Password {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let etc = GuestPath::root().join(b"etc");
        let Some(file) = file(draft)? else {
            draft.refuse(&etc.join(b"shadow"), "the guest has no such file");
            return Ok(());
        };
        let Some(content) = draft.content(&file)? else { return Ok(()) };
        let mut lines: Vec<Vec<u8>> =
            content.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
        let mine = |line: &Vec<u8>| {
            line.strip_prefix(self.user.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
        };
        let Some(line) = lines.iter_mut().find(|line| mine(line)) else {
            draft.refuse(&file.path, format!("the guest has no account '{}' in it", self.user));
            return Ok(());
        };
        let mut fields: Vec<Vec<u8>> =
            line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
        let Some(new) = self.field(&fields[1], draft)? else { return Ok(()) };
        fields[1] = new;
        *line = fields.join(&b':');
        draft.set_content(&file, lines.join(&b'\n'), format!("the password of {}", self.user))
    }

    fn paths(&self) -> Vec<String> {
        vec![format!("/etc/shadow (account {})", self.user)]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
