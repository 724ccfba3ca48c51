//! Accounts, from `/etc/passwd` (passwd(5)).

use crate::path::{GuestPath, escape};

/// How many accounts are read; the file's own size limit comes first for any real guest.
const MAX_ACCOUNTS: usize = 100_000;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name; bytes that are not printable UTF-8 are escaped as in [`GuestPath`].
    pub name: String,
    /// User number.
    pub uid: u32,
    /// Number of the main group.
    pub gid: u32,
    /// Home directory, where the field is a plain absolute path.
    pub home: Option<GuestPath>,
    /// Login shell; empty means `/bin/sh`.
    pub shell: String,
}

/// Reads the file. A line that is no account (NIS's `+` lines among them) is left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Account> {
    text.split(|&byte| byte == b'\n').filter_map(account).take(MAX_ACCOUNTS).collect()
}

fn account(line: &[u8]) -> Option<Account> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    let [name, _password, uid, gid, _gecos, home, shell] = fields.as_slice() else { return None };
    if name.is_empty() || matches!(name[0], b'#' | b'+' | b'-') {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    Some(Account {
        name: escape(name),
        uid: number(uid)?,
        gid: number(gid)?,
        home: GuestPath::from_bytes(home).ok(),
        shell: escape(shell.trim_ascii_end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_other_lines_left_out() {
        let text = b"root:x:0:0:root:/root:/bin/bash\n\
            # comment:x:1:1::/:\n\
            +::::::\n\
            short:x:1\n\
            number:x:many:1::/:\n\
            \n\
            j\xff:x:1000:1000:J,,,:/home/j\xff:\n\
            odd:x:4294967295:7::relative:/bin/sh\n\
            up:x:8:8::/home/../etc:/usr/sbin/nologin\r\n";
        let accounts = parse(text);
        let names: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
        assert_eq!(names, ["root", "j\\xff", "odd", "up"]);
        assert_eq!(accounts[0].home, Some("/root".parse().unwrap()));
        assert_eq!(accounts[1].home, Some(GuestPath::from_bytes(b"/home/j\xff").unwrap()));
        assert_eq!((accounts[1].uid, accounts[1].shell.as_str()), (1000, ""));
        assert_eq!(accounts[2].home, None);
        assert_eq!(accounts[2].uid, u32::MAX);
        assert_eq!(accounts[3].home, None);
        assert_eq!(accounts[3].shell, "/usr/sbin/nologin");
    }
}
