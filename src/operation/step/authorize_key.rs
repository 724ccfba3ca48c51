//! `authorize-key`: lets SSH keys log in as a user.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::{Account, parse_accounts};
use crate::operation::draft::{Draft, New, Owned};
use crate::operation::shape::{Field, Shape};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::problem::Problem;

pub(super) const VERB: Verb = Verb {
    name: "authorize-key",
    help: "lets SSH keys log in as a user: lines of ~/.ssh/authorized_keys, which is made where it is not there",
    fields: &[&[
        Field::required("user", Shape::Owner, "the account's name"),
        Field::required(
            "keys",
            Shape::Some(&Shape::Line),
            "public keys, each as its .pub file has it",
        ),
    ]],
    short: None,
    build: |fields| {
        let keys = fields.texts("keys");
        if keys.iter().any(|key| key.contains("PRIVATE KEY")) {
            let message = "a private key; name the public one (.pub)";
            return Err(Problem::new(fields.at_field("keys"), message));
        }
        let user = fields.text("user").unwrap_or_default().to_owned();
        Ok(Arc::new(AuthorizeKey { user, keys }))
    },
};

#[derive(Debug)]
struct AuthorizeKey {
    user: String,
    keys: Vec<String>,
}

impl AuthorizeKey {
    /// The account as the steps so far will leave it.
    fn account(&self, draft: &mut Draft<'_>) -> Result<Option<Account>, StepError> {
        let passwd = GuestPath::root().join(b"etc").join(b"passwd");
        let text = draft.content_at(&passwd)?.unwrap_or_default();
        let found = parse_accounts(&text).into_iter().find(|it| it.name == self.user);
        if found.is_none() {
            draft.refuse(&passwd, format!("the guest has no user '{}'", self.user));
        }
        Ok(found)
    }

    /// The file's content with the keys that it does not have yet.
    fn with_keys(&self, mut content: Vec<u8>) -> Vec<u8> {
        for key in &self.keys {
            let key = key.trim().as_bytes();
            if content.split(|&byte| byte == b'\n').any(|line| line.trim_ascii() == key) {
                continue;
            }
            if content.last().is_some_and(|&byte| byte != b'\n') {
                content.push(b'\n');
            }
            content.extend_from_slice(key);
            content.push(b'\n');
        }
        content
    }
}

impl Propose for AuthorizeKey {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        let Some(account) = self.account(draft)? else { return Ok(()) };
        let Some(home) = account.home else {
            let passwd = GuestPath::root().join(b"etc").join(b"passwd");
            draft.refuse(&passwd, format!("the user '{}' has no home", self.user));
            return Ok(());
        };
        let why = format!("lets keys log in as {}", self.user);
        let owned = |mode| Owned { mode, uid: account.uid, gid: account.gid };
        let folder = home.join(b".ssh");
        match draft.at(&folder, true)? {
            None => {
                let reason = format!("the home of '{}' is not there", self.user);
                draft.refuse(&folder, reason);
                return Ok(());
            }
            Some(target) => match target.kind {
                None => draft.create(&target, New::Directory, owned(0o700), why.clone())?,
                Some(Kind::Directory) => {}
                Some(_) => {
                    draft.refuse(&target.path, "not a directory");
                    return Ok(());
                }
            },
        }
        let Some(target) = draft.at(&folder.join(b"authorized_keys"), true)? else { return Ok(()) };
        match target.kind {
            None => {
                let new = New::File(self.with_keys(Vec::new()).into());
                draft.create(&target, new, owned(0o600), why)
            }
            Some(Kind::File) => {
                let Some(content) = draft.content(&target)? else { return Ok(()) };
                let longer = self.with_keys(content.clone());
                match longer == content {
                    true => Ok(()),
                    false => draft.set_content(&target, longer, why),
                }
            }
            Some(_) => {
                draft.refuse(&target.path, "not a regular file");
                Ok(())
            }
        }
    }

    fn paths(&self) -> Vec<String> {
        vec![format!("~{}/.ssh/authorized_keys", self.user)]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}
