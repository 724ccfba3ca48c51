//! Password hashes of the guest's own accounts (shadow(5), passwd(5)).

use super::Spot;
use crate::guest::Account;

/// Below this, accounts are the system's (login.defs(5), `UID_MIN`).
const FIRST_USER: u32 = 1000;

/// The files, in which a hash is a secret only where a person's account has it: a package's own
/// account has none that opens it.
pub(super) const FILES: [&str; 6] =
    ["/etc/shadow", "/etc/shadow-", "/etc/passwd", "/etc/passwd-", "/etc/gshadow", "/etc/gshadow-"];

/// The lines with the hash of root's or of a user's password, in a file of [`FILES`].
pub(super) fn hashes(content: &[u8], accounts: &[Account]) -> Vec<Spot> {
    let person = |name: &[u8]| {
        let name = crate::path::escape(name);
        accounts
            .iter()
            .find(|account| account.name == name)
            .is_none_or(|account| account.uid == 0 || account.uid >= FIRST_USER)
    };
    (1..)
        .zip(content.split(|&byte| byte == b'\n'))
        .filter(|(_, line)| {
            let mut fields = line.split(|&byte| byte == b':');
            let (Some(name), Some(hash)) = (fields.next(), fields.next()) else { return false };
            is_hash(hash) && person(name)
        })
        .map(|(line, _)| Spot::Line(line))
        .collect()
}

/// Whether a password field can be logged in with, now or once it is unlocked: not `*`, `!`, `x` or
/// nothing, but what crypt(5) makes.
fn is_hash(field: &[u8]) -> bool {
    let start = field.iter().take_while(|&&byte| byte == b'!').count();
    let hash = &field[start..];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    match hash.first() {
        Some(b'$') => hash.len() > 20,
        // The extended form of DES, and DES itself.
        Some(b'_') => hash.len() == 20 && hash[1..].iter().all(plain),
        Some(_) => hash.len() == 13 && hash.iter().all(plain),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_s_hashes_are_told() {
        let account = |name: &str, uid| Account {
            name: name.into(),
            uid,
            gid: uid,
            home: None,
            shell: String::new(),
        };
        let accounts = [account("root", 0), account("daemon", 1), account("ann", 1000)];
        let hash = format!("$6$salt${}", "a".repeat(86));
        let shadow = format!(
            "root:{hash}:19000:0:99999:7:::\ndaemon:{hash}:1::::::\nann:!{hash}:1::::::\n\
             gone:abJnggxhB/yWI:1::::::\nbob:*:1::::::\ncarl:!!:1::::::\ndan:x:1\neve::1\n"
        );
        assert_eq!(
            hashes(shadow.as_bytes(), &accounts),
            [Spot::Line(1), Spot::Line(3), Spot::Line(4)]
        );
    }
}
