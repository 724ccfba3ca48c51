//! The user that systemd-networkd runs as, and what it may read: a file of root's alone it passes
//! over (systemd-networkd.service(8), `User=systemd-network`).

use super::look::Look;
use super::path;
use crate::guest::{FileState, GuestError};
use crate::path::GuestPath;

/// The user and its group.
const USER: &str = "systemd-network";

/// Who may do what, of three groups of permission bits.
const READ: u16 = 0o4;
const SEARCH: u16 = 0o1;

/// Its numbers in a guest.
#[derive(Debug, Default)]
pub(super) struct Daemon {
    uid: Option<u32>,
    gids: Vec<u32>,
}

impl Daemon {
    pub(super) fn read(look: &Look<'_>) -> Result<Self, GuestError> {
        let mut daemon = Self::default();
        let number = |field: Option<&str>| field.and_then(|it| it.trim().parse::<u32>().ok());
        for line in look.text(&path("/etc/passwd"))?.unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if fields.first() == Some(&USER) {
                daemon.uid = number(fields.get(2).copied());
                daemon.gids.extend(number(fields.get(3).copied()));
                break;
            }
        }
        for line in look.text(&path("/etc/group"))?.unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let member = fields.get(3).is_some_and(|it| it.split(',').any(|it| it.trim() == USER));
            if member || fields.first() == Some(&USER) {
                daemon.gids.extend(number(fields.get(2).copied()));
            }
        }
        Ok(daemon)
    }

    /// Why it cannot read a file, in words; `None` where it can.
    pub(super) fn cannot_read(
        &self,
        look: &Look<'_>,
        file: &GuestPath,
    ) -> Result<Option<String>, GuestError> {
        let Some(state) = look.files.follow(file)? else { return Ok(None) };
        if !self.may(&state, READ) {
            return Ok(Some(told(&state, None)));
        }
        // By the names that lead to the file, a symlink's as well as its own. The root itself is
        // everybody's in a guest that boots at all.
        for (reached, listed) in [(file, READ), (&state.path, 0)] {
            let mut above = reached.parent();
            let mut wanted = SEARCH | listed;
            while let Some(folder) = above.filter(|it| *it != GuestPath::root()) {
                if let Some(state) = look.files.follow(&folder)?
                    && !self.may(&state, wanted)
                {
                    return Ok(Some(told(&state, Some(&folder))));
                }
                above = folder.parent();
                wanted = SEARCH;
            }
        }
        Ok(None)
    }

    fn may(&self, state: &FileState, wanted: u16) -> bool {
        let bits = if self.uid == Some(state.uid) {
            state.mode >> 6
        } else if self.gids.contains(&state.gid) {
            state.mode >> 3
        } else {
            state.mode
        };
        bits & wanted == wanted
    }
}

fn told(state: &FileState, folder: Option<&GuestPath>) -> String {
    let what = match folder {
        Some(folder) => format!("{folder} keeps"),
        None => "its permissions keep".into(),
    };
    let (mode, uid, gid) = (state.mode & 0o7777, state.uid, state.gid);
    format!("{what} out the user {USER}, as which it is read (mode {mode:04o} of {uid}:{gid})")
}
