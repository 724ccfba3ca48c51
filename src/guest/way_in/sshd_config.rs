//! `sshd_config`: what holds for one account. The first value counts; what a `Match` block says goes
//! before what stands outside of any (sshd_config(5), `servconf.c`).

use super::sshd_keywords;
use super::text;
use super::wildcard;
use crate::guest::{Files, GuestError, NamePattern};
use crate::path::{GuestPath, escape};

/// How deep files may include each other, as in sshd.
const DEPTH: usize = 16;

/// How many files are read in all.
const FILES: usize = 200;

/// How many names the patterns of all `Include` lines look at.
const NAMES: usize = 50_000;

/// How many lines of all files are kept.
const LINES: usize = 2000;

/// How many blocks that hold for some clients alone are tried one by one.
const UNSURE_BLOCKS: usize = 8;

/// A line that says something.
#[derive(Clone, Debug)]
struct Line {
    key: String,
    values: Vec<String>,
    /// The blocks it stands in, by their number: all of them have to hold.
    within: Vec<usize>,
}

/// The criteria of a block.
#[derive(Clone, Debug, Default)]
struct Block {
    criteria: Vec<(String, String)>,
}

/// All that is set.
#[derive(Clone, Debug, Default)]
pub struct SshdConfig {
    lines: Vec<Line>,
    blocks: Vec<Block>,
    /// How many names patterns have looked at.
    looked_at: usize,
    /// The first line that sshd does not start with, and why.
    pub refused: Option<String>,
    /// What was not looked into.
    pub notes: Vec<String>,
}

/// What holds for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// `yes`, `prohibit-password`, `forced-commands-only` or `no`.
    pub permit_root: String,
    /// `PasswordAuthentication`.
    pub password: bool,
    /// `KbdInteractiveAuthentication`.
    pub keyboard_interactive: bool,
    /// `PubkeyAuthentication`.
    pub pubkey: bool,
    /// `PermitEmptyPasswords`.
    pub empty_passwords: bool,
    /// `UsePAM`.
    pub use_pam: bool,
    /// `StrictModes`.
    pub strict_modes: bool,
    /// `AuthorizedKeysFile`, tokens as they are.
    pub key_files: Vec<String>,
    /// Programs and authorities that keys may come from, too.
    pub keys_elsewhere: Vec<String>,
    /// `AllowUsers`.
    pub allow_users: Vec<String>,
    /// `DenyUsers`.
    pub deny_users: Vec<String>,
    /// `AllowGroups`.
    pub allow_groups: Vec<String>,
    /// `DenyGroups`.
    pub deny_groups: Vec<String>,
    /// Each a list of methods of which all are needed; empty where any one does.
    pub methods: Vec<String>,
    /// `ForceCommand`: what runs in place of a session.
    pub force_command: Option<String>,
    /// `ChrootDirectory`.
    pub chroot: Option<String>,
    /// `RevokedKeys`.
    pub revoked_keys: Option<String>,
    /// `PubkeyAcceptedAlgorithms`, as it is written.
    pub key_algorithms: Option<String>,
    /// The setting that lets nobody have a session.
    pub shuts_out: Option<String>,
    /// Whether `MaxAuthTries` is 0: the first refusal ends the connection, and a client's first
    /// request is refused in any case.
    pub max_auth_tries_0: bool,
}

/// Whom a block is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The account.
    pub user: &'a str,
    /// The names of all its groups.
    pub groups: &'a [String],
}

/// Whether a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// For some clients.
    Some,
}

impl SshdConfig {
    /// Reads a file and what it includes; `first` are options of the command line, which count before.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn read(files: &dyn Files, at: &GuestPath, first: &[String]) -> Result<Self, GuestError> {
        let mut config = Self::default();
        for option in first {
            let (_, wrong) = config.line(option, &[]);
            if let Some(wrong) = wrong {
                config.refused.get_or_insert(format!("an option of its command: {wrong}"));
            }
        }
        let mut read = 0;
        config.file(files, at, &[], 0, &mut read)?;
        Ok(config)
    }

    fn file(
        &mut self,
        files: &dyn Files,
        at: &GuestPath,
        within: &[usize],
        depth: usize,
        read: &mut usize,
    ) -> Result<(), GuestError> {
        if depth > DEPTH || *read >= FILES {
            self.note(at, "included too deep or among too many files, and was not read");
            return Ok(());
        }
        *read += 1;
        let mut notes = Vec::new();
        let lines = text::lines(files, at, &mut notes)?;
        self.notes.append(&mut notes);
        // A block that begins in a file ends with it.
        let mut within = within.to_vec();
        let outer = within.len();
        for (number, line) in lines.into_iter().enumerate() {
            if self.lines.len() >= LINES || self.blocks.len() >= LINES {
                self.note(at, "more lines than are read");
                return Ok(());
            }
            let (special, wrong) = self.line(&line, &within);
            if let Some(wrong) = wrong {
                self.refused.get_or_insert(format!("{at} line {}: {wrong}", number + 1));
            }
            match special {
                Some(Special::Match(block)) => {
                    within.truncate(outer);
                    within.push(block);
                }
                Some(Special::Include(patterns)) => {
                    for pattern in patterns {
                        let pattern = match pattern.starts_with('/') {
                            true => pattern,
                            false => format!("/etc/ssh/{pattern}"),
                        };
                        for path in self.glob(files, &pattern)? {
                            self.file(files, &path, &within, depth + 1, read)?;
                        }
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    fn note(&mut self, at: &GuestPath, what: &str) {
        if self.notes.len() < FILES {
            self.notes.push(format!("{at}: {what}"));
        }
    }

    /// Takes a line in; what else is to be done, and why sshd would not start with it.
    fn line(&mut self, line: &str, within: &[usize]) -> (Option<Special>, Option<String>) {
        if line.is_empty() || line.starts_with('#') {
            return (None, None);
        }
        let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
        let (key, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let values = text::words(rest);
        let key = key.to_ascii_lowercase();
        if key.is_empty() {
            return (None, Some("no keyword at its front".into()));
        }
        let some = within.iter().any(|&it| self.blocks.get(it).is_none_or(|it| !it.is_for_all()));
        let wrong = sshd_keywords::refuses(&key, &values, some).or_else(|| {
            text::has_open_quote(rest).then(|| "a quote that is not closed".to_owned())
        });
        match key.as_str() {
            "include" => (Some(Special::Include(values)), wrong),
            "match" => {
                let mut criteria = Vec::new();
                let mut words = values.into_iter();
                while let Some(word) = words.next() {
                    let (name, value) = match word.split_once('=') {
                        Some((name, value)) => (name.to_owned(), value.to_owned()),
                        None => match word.to_ascii_lowercase().as_str() {
                            "all" | "invalid-user" => (word, String::new()),
                            _ => (word, words.next().unwrap_or_default()),
                        },
                    };
                    criteria.push((name.to_ascii_lowercase(), value));
                }
                let wrong = wrong.or_else(|| sshd_keywords::refuses_block(&criteria));
                self.blocks.push(Block { criteria });
                (Some(Special::Match(self.blocks.len() - 1)), wrong)
            }
            _ => {
                let key = match key.as_str() {
                    "challengeresponseauthentication" | "skeyauthentication" => {
                        "kbdinteractiveauthentication".to_owned()
                    }
                    "dsaauthentication" => "pubkeyauthentication".to_owned(),
                    "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms".to_owned(),
                    _ => key,
                };
                self.lines.push(Line { key, values, within: within.to_vec() });
                (None, wrong)
            }
        }
    }

    /// The files that a pattern names, sorted.
    fn glob(&mut self, files: &dyn Files, pattern: &str) -> Result<Vec<GuestPath>, GuestError> {
        let mut found = vec![GuestPath::root()];
        for part in pattern.split('/').filter(|it| !it.is_empty() && *it != ".") {
            if part == ".." {
                return Ok(Vec::new());
            }
            let mut next = Vec::new();
            let Ok(wanted) = NamePattern::parse(part.as_bytes()) else {
                let at = text::path("/etc/ssh/sshd_config");
                let pattern = escape(pattern.as_bytes());
                self.note(&at, &format!("'Include {pattern}' was not looked into"));
                return Ok(Vec::new());
            };
            for dir in &found {
                if !part.contains(['*', '?', '[', '\\']) {
                    let path = dir.join(part.as_bytes());
                    if files.follow(&path)?.is_some() {
                        next.push(path);
                    }
                    continue;
                }
                let names = files.names(dir)?;
                self.looked_at += names.len() + 1;
                if self.looked_at > NAMES {
                    let at = text::path("/etc/ssh/sshd_config");
                    self.note(&at, "its 'Include' lines name more files than are looked at");
                    return Ok(Vec::new());
                }
                for (name, _) in names {
                    if next.len() < FILES && wanted.matches(&name) {
                        next.push(dir.join(&name));
                    }
                }
            }
            found = next;
        }
        Ok(found)
    }

    /// What holds for an account, once for each set of clients that sshd may tell apart; the first
    /// is that of a client that no block is for.
    pub fn effective(&self, who: Who<'_>) -> Vec<Effective> {
        let holds: Vec<Holds> = self.blocks.iter().map(|it| it.holds(who)).collect();
        let unsure: Vec<usize> =
            (0..holds.len()).filter(|&it| holds.get(it) == Some(&Holds::Some)).collect();
        let with = |also: &[usize]| {
            let mut active: Vec<bool> = holds.iter().map(|it| *it == Holds::Yes).collect();
            for &at in also {
                if let Some(it) = active.get_mut(at) {
                    *it = true;
                }
            }
            self.values(&active)
        };
        let mut all = vec![with(&[])];
        let mut add = |it: Effective| {
            if !all.contains(&it) {
                all.push(it);
            }
        };
        for block in unsure.iter().take(UNSURE_BLOCKS) {
            add(with(&[*block]));
        }
        if !unsure.is_empty() {
            add(with(&unsure));
        }
        all
    }

    /// The files of host keys that it names, in order; none where the compiled-in ones hold.
    pub fn host_keys(&self) -> Vec<GuestPath> {
        self.paths("hostkey")
    }

    /// The certificates of host keys that it names, in order.
    pub fn host_certificates(&self) -> Vec<GuestPath> {
        self.paths("hostcertificate")
    }

    /// The files that lines name, those behind `Match all` among them: sshd takes them nowhere else
    /// within a block. A path that does not begin with a slash is one from where the server is
    /// started (`derelativise_path`): init starts it in `/`.
    fn paths(&self, key: &str) -> Vec<GuestPath> {
        let lines = self.lines.iter().filter(|it| it.key == key);
        let named = lines.filter_map(|it| it.values.first());
        let named = named.filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("none"));
        named.filter_map(|it| GuestPath::from_bytes(format!("/{it}").as_bytes()).ok()).collect()
    }

    /// Whether it names addresses to listen on, and each is the guest's own: nobody else reaches it.
    pub fn listens_to_itself(&self) -> bool {
        let mut named = self.lines.iter().filter(|it| it.key == "listenaddress").peekable();
        named.peek().is_some()
            && named.all(|it| {
                let address = it.values.first().map_or("", String::as_str);
                let address = address.trim_start_matches('[');
                ["127.", "::1", "localhost"].iter().any(|own| address.starts_with(own))
            })
    }

    fn values(&self, holds: &[bool]) -> Effective {
        let active = |line: &Line| line.within.iter().all(|&it| holds.get(it) == Some(&true));
        // Lines of blocks first, then those outside.
        let of = |key: &'static str| {
            let blocks = self.lines.iter().filter(|it| !it.within.is_empty());
            let outside = self.lines.iter().filter(|it| it.within.is_empty());
            blocks.chain(outside).filter(move |it| it.key == key && active(it))
        };
        let first = |key: &'static str| of(key).next().map(|it| it.values.clone());
        let word = |key| first(key).and_then(|it| it.first().map(|it| it.to_ascii_lowercase()));
        let flag = |key, default| match word(key).as_deref() {
            Some("yes" | "true") => true,
            Some("no" | "false") => false,
            _ => default,
        };
        // Lists grow line by line; those of blocks stand in for those outside.
        let list = |key: &'static str| {
            let lines: Vec<&Line> = of(key).collect();
            let of_block = lines.iter().any(|it| !it.within.is_empty());
            let taken = lines.into_iter().filter(|it| it.within.is_empty() != of_block);
            taken.flat_map(|it| it.values.iter().cloned()).collect::<Vec<String>>()
        };
        let some = |key: &'static str| {
            first(key).filter(|it| it.first().is_some_and(|it| !it.eq_ignore_ascii_case("none")))
        };
        let mut keys_elsewhere = Vec::new();
        for (key, name) in [
            ("authorizedkeyscommand", "AuthorizedKeysCommand"),
            ("trustedusercakeys", "TrustedUserCAKeys"),
        ] {
            if let Some(values) = some(key) {
                keys_elsewhere.push(format!("{name} {}", escape(values.join(" ").as_bytes())));
            }
        }
        let permit_root = match word("permitrootlogin").as_deref() {
            Some("without-password") | None => "prohibit-password".to_owned(),
            Some(other) => other.to_owned(),
        };
        let is_0 = |key| word(key).is_some_and(|it| it.parse() == Ok(0));
        let shuts_out = if is_0("maxsessions") {
            Some("MaxSessions 0".to_owned())
        } else {
            flag("refuseconnection", false).then(|| "RefuseConnection yes".to_owned())
        };
        let methods = first("authenticationmethods").unwrap_or_default();
        let key_files = first("authorizedkeysfile").unwrap_or_else(|| {
            vec![".ssh/authorized_keys".to_owned(), ".ssh/authorized_keys2".to_owned()]
        });
        Effective {
            permit_root,
            password: flag("passwordauthentication", true),
            keyboard_interactive: flag("kbdinteractiveauthentication", true),
            pubkey: flag("pubkeyauthentication", true),
            empty_passwords: flag("permitemptypasswords", false),
            use_pam: flag("usepam", false),
            strict_modes: flag("strictmodes", true),
            key_files: key_files.into_iter().filter(|it| it != "none").collect(),
            keys_elsewhere,
            allow_users: list("allowusers"),
            deny_users: list("denyusers"),
            allow_groups: list("allowgroups"),
            deny_groups: list("denygroups"),
            methods: methods.into_iter().filter(|it| it != "any").collect(),
            force_command: some("forcecommand").map(|it| it.join(" ")),
            chroot: some("chrootdirectory").and_then(|it| it.into_iter().next()),
            revoked_keys: some("revokedkeys").and_then(|it| it.into_iter().next()),
            key_algorithms: first("pubkeyacceptedalgorithms").and_then(|it| it.into_iter().next()),
            shuts_out,
            max_auth_tries_0: is_0("maxauthtries"),
        }
    }
}

enum Special {
    Match(usize),
    Include(Vec<String>),
}

impl Block {
    /// Whether it ends a block and holds for all, as what stands outside does.
    fn is_for_all(&self) -> bool {
        matches!(&self.criteria[..], [(name, _)] if name == "all")
    }

    fn holds(&self, who: Who<'_>) -> Holds {
        let mut all = Holds::Yes;
        for (name, value) in &self.criteria {
            let one = match name.as_str() {
                "all" => Holds::Yes,
                "user" => yes(wildcard::list_matches(value, who.user)),
                "group" => yes(in_groups(value, who.groups)),
                // An account that is there is never invalid.
                "invalid-user" => Holds::No,
                "host" | "address" | "localaddress" | "localport" | "rdomain" if value == "*" => {
                    Holds::Yes
                }
                _ => Holds::Some,
            };
            all = match (all, one) {
                (Holds::No, _) | (_, Holds::No) => Holds::No,
                (Holds::Some, _) | (_, Holds::Some) => Holds::Some,
                _ => Holds::Yes,
            };
        }
        if self.criteria.is_empty() { Holds::No } else { all }
    }
}

fn yes(flag: bool) -> Holds {
    if flag { Holds::Yes } else { Holds::No }
}

/// Whether a pattern list names one of the groups, and none that it excludes (`ga_match_pattern_list`).
fn in_groups(list: &str, groups: &[String]) -> bool {
    let mut any = false;
    for group in groups {
        for pattern in list.split(',') {
            let name = group.as_bytes();
            match pattern.strip_prefix('!') {
                Some(not) if wildcard::matches(not.as_bytes(), name) => return false,
                Some(_) => {}
                None => any |= wildcard::matches(pattern.as_bytes(), name),
            }
        }
    }
    any
}
