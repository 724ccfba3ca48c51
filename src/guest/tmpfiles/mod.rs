//! What `systemd-tmpfiles --create --remove --boot` makes at boot where nothing is, read off the files
//! of tmpfiles.d (tmpfiles.d(5)). Whether it runs at all is for [`super::boot`] to say.

mod line;

use std::collections::{BTreeMap, BTreeSet};

use super::{Files, GuestError};
use crate::fs::Kind;
use crate::path::GuestPath;
use line::{Line, Rest};

/// Where its files are; of one name, that in the first counts. Not `/run`: what an image holds there
/// is under a tmpfs as soon as the guest boots.
const FOLDERS: [&str; 4] =
    ["/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d", "/lib/tmpfiles.d"];

/// Where copies and links come from that name no other place.
const FACTORY: &str = "/usr/share/factory";

/// The longest file, how many are read, and how many lines are kept. Real guests have some thirty
/// files of some KiB.
const FILE: u64 = 1 << 20;
const FILES: usize = 4096;
const RULES: usize = 100_000;

/// The longest `/etc/passwd` or `/etc/group`.
const ACCOUNTS: u64 = 16 << 20;

/// How many notes of what was not understood are kept.
const NOTES: usize = 100;

/// Something that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The file of tmpfiles.d that says so.
    pub file: GuestPath,
    /// What it is.
    pub kind: Kind,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Rule {
    file: GuestPath,
    kind: u8,
    force: bool,
    leads: bool,
    rest: Rest,
}

/// What its lines make, by path.
#[derive(Clone, Debug, Default)]
pub struct Tmpfiles {
    rules: BTreeMap<GuestPath, Vec<Rule>>,
    notes: Vec<(GuestPath, String)>,
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap_or_default()
}

impl Tmpfiles {
    /// Reads a guest's.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn read(files: &dyn Files) -> Result<Self, GuestError> {
        let mut all: BTreeMap<Vec<u8>, GuestPath> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for folder in FOLDERS {
            let folder = path(folder);
            let Some(found) = files.follow(&folder)? else { continue };
            if !seen.insert(found.path) {
                continue;
            }
            for (name, kind) in files.names(&folder)? {
                let is_file = matches!(kind, Kind::File | Kind::Symlink);
                if is_file && name.ends_with(b".conf") && !name.starts_with(b".") {
                    all.entry(name.clone()).or_insert_with(|| folder.join(&name));
                }
            }
        }
        let mut read = Self::default();
        let accounts = Accounts::read(files)?;
        let mut left = RULES;
        for file in all.into_values().take(FILES) {
            let Some(found) = files.follow(&file)?.filter(|it| it.kind == Kind::File) else {
                continue;
            };
            if found.size > FILE {
                read.note(&file, format!("longer than {} MiB: not read", FILE >> 20));
                continue;
            }
            let text = files.read(&file, FILE)?.unwrap_or_default();
            for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
                let problem = match line::parse(line) {
                    Ok(None) => continue,
                    Ok(Some(_)) if left == 0 => "past the last line that is looked at",
                    Ok(Some(line)) => match read.take(files, &file, line, &accounts)? {
                        Ok(()) => {
                            left -= 1;
                            continue;
                        }
                        Err(problem) => problem,
                    },
                    Err(problem) => problem,
                };
                read.note(&file, format!("line {number}: {problem}"));
            }
        }
        Ok(read)
    }

    /// What was passed over, where, and why; systemd does so, too, but for what is too much.
    pub fn notes(&self) -> &[(GuestPath, String)] {
        &self.notes
    }

    fn note(&mut self, file: &GuestPath, words: String) {
        if self.notes.len() < NOTES {
            self.notes.push((file.clone(), words));
        }
    }

    /// Takes a line in, unless one of the same path says something else.
    fn take(
        &mut self,
        files: &dyn Files,
        file: &GuestPath,
        line: Line,
        accounts: &Accounts,
    ) -> Result<Result<(), &'static str>, GuestError> {
        let Line { kind, force, leads, path, mut rest } = line;
        let Some(path) = expanded(&path) else {
            return Ok(Err("a path that is known at boot only"));
        };
        let Ok(at) = GuestPath::from_bytes(&path) else { return Ok(Err("no absolute path")) };
        if path.split(|&byte| byte == b'/').any(|it| it == b"..") {
            return Ok(Err("a path that goes back"));
        }
        if !accounts.users.knows(&rest.user) || !accounts.groups.knows(&rest.group) {
            return Ok(Err("an account or a group that the guest does not have"));
        }
        if let (b'L' | b'C', argument) = (kind, &mut rest.argument) {
            let text = match argument.take() {
                Some(text) => expanded(&text),
                None => Some([FACTORY.as_bytes(), &at.to_bytes()].concat()),
            };
            let Some(text) = text else {
                return Ok(Err("an argument that is known at boot only"));
            };
            if kind == b'C' {
                let source = GuestPath::from_bytes(&text).ok();
                if source.map_or(Ok(None), |it| files.locate(&it))?.is_none() {
                    return Ok(Err("a source that is not there"));
                }
            }
            *argument = Some(text);
        }
        let rules = self.rules.entry(at).or_default();
        if rules.iter().any(|it| it.rest != rest) {
            return Ok(Err("a path that another line says something else of"));
        }
        rules.push(Rule { file: file.clone(), kind, force, leads, rest });
        // That is the order in which they are done.
        rules.sort_by_key(|it| it.kind);
        Ok(Ok(()))
    }

    /// What is made at a path where nothing is, be it on the way to something else; `None` where
    /// nothing is made, or it cannot be.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn makes(&self, files: &dyn Files, at: &GuestPath) -> Result<Option<Made>, GuestError> {
        let mut above = at.parent();
        while let Some(dir) = above {
            let in_the_way = match files.follow(&dir)? {
                Some(found) => found.kind != Kind::Directory,
                None => files.locate(&dir)?.is_some() || self.blocks(files, &dir)?,
            };
            if in_the_way {
                return Ok(None);
            }
            above = dir.parent();
        }
        if let Some(made) = self.made(files, at)? {
            return Ok(Some(made));
        }
        let below = self.rules.range(at.clone()..).take_while(|(path, _)| path.starts_with(at));
        for (path, _) in below.filter(|(path, _)| *path != at) {
            let Some(Made { file, .. }) = self.made(files, path)? else { continue };
            let mut between = path.parent();
            let mut open = true;
            while let Some(dir) = between.filter(|it| it != at) {
                open &= !self.blocks(files, &dir)?;
                between = dir.parent();
            }
            if open {
                return Ok(Some(Made { file, kind: Kind::Directory, target: None }));
            }
        }
        Ok(None)
    }

    /// Whether what its own lines make at a path is no directory.
    fn blocks(&self, files: &dyn Files, at: &GuestPath) -> Result<bool, GuestError> {
        Ok(self.made(files, at)?.is_some_and(|it| it.kind != Kind::Directory))
    }

    /// What the lines of a path make.
    fn made(&self, files: &dyn Files, at: &GuestPath) -> Result<Option<Made>, GuestError> {
        let mut made: Option<Made> = None;
        for rule in self.rules.get(at).into_iter().flatten() {
            // What is there already is replaced by these alone.
            if made.is_some() && !(rule.force && b"Lpcb".contains(&rule.kind)) {
                continue;
            }
            let argument = rule.rest.argument.clone();
            if rule.leads {
                let target = argument.as_deref().and_then(|it| GuestPath::from_bytes(it).ok());
                if target.map_or(Ok(None), |it| files.follow(&it))?.is_none() {
                    continue;
                }
            }
            let (kind, target) = match rule.kind {
                b'd' | b'D' | b'v' | b'q' | b'Q' => (Kind::Directory, None),
                b'f' | b'F' => (Kind::File, None),
                b'L' => (Kind::Symlink, argument),
                b'p' => (Kind::Fifo, None),
                b'c' => (Kind::CharDevice, None),
                b'b' => (Kind::BlockDevice, None),
                _ => {
                    let source = GuestPath::from_bytes(&argument.unwrap_or_default()).ok();
                    let Some(source) = source else { continue };
                    let Some(found) = files.locate(&source)? else { continue };
                    (found.kind, files.link_target(&source)?)
                }
            };
            made = Some(Made { file: rule.file.clone(), kind, target });
        }
        Ok(made)
    }
}

/// A text with its specifiers filled in; `None` where one is known at boot only, or is none.
fn expanded(text: &[u8]) -> Option<Vec<u8>> {
    let (mut full, mut left) = (Vec::with_capacity(text.len()), text.iter());
    while let Some(&byte) = left.next() {
        if byte != b'%' {
            full.push(byte);
            continue;
        }
        full.extend_from_slice(match left.next()? {
            b'%' => b"%",
            b'C' => b"/var/cache",
            b'L' => b"/var/log",
            b'S' => b"/var/lib",
            b'T' => b"/tmp",
            b'V' => b"/var/tmp",
            b't' => b"/run",
            b'h' => b"/root",
            b'u' | b'g' => b"root",
            b'U' | b'G' => b"0",
            _ => return None,
        });
    }
    Some(full)
}

/// Names of accounts and groups.
struct Accounts {
    users: Names,
    groups: Names,
}

struct Names(BTreeSet<Vec<u8>>);

impl Names {
    fn read(files: &dyn Files, file: &str) -> Result<Self, GuestError> {
        let file = path(file);
        let there = files.follow(&file)?.is_some_and(|it| it.size <= ACCOUNTS);
        let text = if there { files.read(&file, ACCOUNTS)? } else { None }.unwrap_or_default();
        let lines = text.split(|&byte| byte == b'\n');
        Ok(Self(
            lines.filter_map(|it| it.split(|&it| it == b':').next()).map(<[u8]>::to_vec).collect(),
        ))
    }

    /// Whether a field names one, by name or number, or none at all.
    fn knows(&self, field: &[u8]) -> bool {
        let name = field.strip_prefix(b":").unwrap_or(field);
        let number = std::str::from_utf8(name).ok().and_then(|it| it.parse::<u32>().ok());
        name.is_empty() || name == b"root" || number.is_some() || self.0.contains(name)
    }
}

impl Accounts {
    fn read(files: &dyn Files) -> Result<Self, GuestError> {
        let users = Names::read(files, "/etc/passwd")?;
        Ok(Self { users, groups: Names::read(files, "/etc/group")? })
    }
}
