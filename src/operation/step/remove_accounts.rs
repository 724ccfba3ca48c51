//! `remove-accounts`: takes users' accounts away, with their homes, mail and subordinate ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::Account;
use crate::operation::draft::{Draft, Kept};
use crate::operation::shape::{Field, Fields, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;

/// What login.defs(5) says where it says nothing.
const UID_MIN: u32 = 1000;
const UID_MAX: u32 = 60_000;

pub(super) const VERB: Verb = Verb {
    name: "remove-accounts",
    help: "takes users' accounts away (user ids from UID_MIN to UID_MAX of login.defs), with their groups, homes, mail and subordinate ids",
    fields: &[&[
        Field::optional("only", Shape::Text, "these alone, by commas; empty for all"),
        Field::optional("keep", Shape::Text, "these stay, by commas"),
    ]],
    short: None,
    build: |fields| Ok(Arc::new(RemoveAccounts::from_fields(fields))),
};

#[derive(Debug)]
struct RemoveAccounts {
    only: BTreeSet<String>,
    keep: BTreeSet<String>,
}

impl RemoveAccounts {
    fn from_fields(fields: &Fields) -> Self {
        let names = |field| {
            let text = fields.text(field).unwrap_or_default();
            text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
        };
        Self { only: names("only"), keep: names("keep") }
    }

    fn is_for(&self, account: &Account) -> bool {
        (self.only.is_empty() || self.only.contains(&account.name))
            && !self.keep.contains(&account.name)
    }
}

fn etc(name: &str) -> GuestPath {
    GuestPath::root().join(b"etc").join(name.as_bytes())
}

/// UID_MIN and UID_MAX of the guest.
fn range(draft: &mut Draft<'_>) -> Result<(u32, u32), StepError> {
    let content = draft.content_at(&etc("login.defs"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let value = |name: &str| {
        text.lines().rev().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == name).then(|| words.next()?.parse().ok()).flatten()
        })
    };
    Ok((value("UID_MIN").unwrap_or(UID_MIN), value("UID_MAX").unwrap_or(UID_MAX)))
}

/// A line of an account file without what is of these users; `None` where all of it is.
type Edit = fn(&[u8], &BTreeSet<&[u8]>) -> Option<Vec<u8>>;

/// passwd(5), shadow(5), subuid(5), subgid(5): a line is one account's.
fn own_line(line: &[u8], gone: &BTreeSet<&[u8]>) -> Option<Vec<u8>> {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    (!gone.contains(name)).then(|| line.to_vec())
}

/// group(5), gshadow(5): the group of that name goes, and the user leaves the others, as userdel(8)
/// does. gshadow's third field names administrators.
fn group_line(line: &[u8], gone: &BTreeSet<&[u8]>) -> Option<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
    if fields.len() < 4 {
        return Some(line.to_vec());
    }
    let without = |list: &[u8]| {
        let left: Vec<&[u8]> =
            list.split(|&byte| byte == b',').filter(|member| !gone.contains(*member)).collect();
        left.join(&b',')
    };
    // A group that others are in, too, stays.
    let members = without(&fields[3]);
    if gone.contains(fields[0].as_slice()) && members.is_empty() {
        return None;
    }
    if fields[3] != members {
        fields[3] = members;
    }
    let number = !fields[2].is_empty() && fields[2].iter().all(u8::is_ascii_digit);
    if !number {
        fields[2] = without(&fields[2]);
    }
    Some(fields.join(&b':'))
}

const FILES: [(&str, Edit); 6] = [
    ("passwd", own_line),
    ("shadow", own_line),
    ("group", group_line),
    ("gshadow", group_line),
    ("subuid", own_line),
    ("subgid", own_line),
];

impl Propose for RemoveAccounts {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let (first, last) = range(draft)?;
        let all: Vec<Account> = draft.guest().accounts().to_vec();
        for name in self.only.iter().filter(|name| !all.iter().any(|it| it.name == **name)) {
            // Gone already is what was asked for; only a reader of the report may wonder.
            if name.contains(['/', ':']) {
                draft.refuse(&etc("passwd"), format!("'{name}' is no account's name"));
            }
        }
        let (gone, kept): (Vec<&Account>, Vec<&Account>) =
            all.iter().partition(|it| (first..=last).contains(&it.uid) && self.is_for(it));
        if gone.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<&[u8]> = gone.iter().map(|account| account.name.as_bytes()).collect();
        for (file, edit) in FILES {
            let Some(target) = draft.at(&etc(file), true)? else { continue };
            if target.kind != Some(Kind::File) {
                continue;
            }
            let Some(content) = draft.content(&target)? else { continue };
            let lines: Vec<Vec<u8>> = content
                .split(|&byte| byte == b'\n')
                .filter_map(|line| edit(line, &names))
                .collect();
            let left = lines.join(&b'\n');
            if left != content {
                draft.set_content(&target, left, "accounts taken out")?;
            }
        }
        for account in gone {
            self.belongings(account, &kept, draft)?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = FILES.iter().map(|(file, _)| format!("/etc/{file}")).collect();
        paths.extend(["every removed account's home", "/var/mail/NAME"].map(str::to_owned));
        paths
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

impl RemoveAccounts {
    /// Takes an account's home and mail away, but not what an account that stays lives in.
    fn belongings(
        &self,
        account: &Account,
        kept: &[&Account],
        draft: &mut Draft<'_>,
    ) -> Result<(), StepError> {
        let mail =
            |dir: &str| dir.parse().ok().map(|dir: GuestPath| dir.join(account.name.as_bytes()));
        // A home under no directory of its own (`/`, `/nonexistent`) is nobody's to remove.
        let home = account.home.clone().filter(|home| home.depth() > 1);
        for path in home.into_iter().chain(mail("/var/mail")).chain(mail("/var/spool/mail")) {
            let lives =
                |other: &&Account| other.home.as_ref().is_some_and(|home| home.starts_with(&path));
            if let Some(other) = kept.iter().copied().find(|other| lives(other)) {
                draft.refuse(&path, format!("the home of '{}', which stays, is in it", other.name));
                continue;
            }
            let Some(target) = draft.at(&path, false)?.filter(|it| it.kind.is_some()) else {
                continue;
            };
            if draft.owned(&target)?.is_some_and(|owned| owned.uid != account.uid) {
                draft.refuse(&path, format!("it does not belong to '{}'", account.name));
                continue;
            }
            draft.remove(&target, &Kept::default())?;
        }
        Ok(())
    }
}
