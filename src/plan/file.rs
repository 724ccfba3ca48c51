//! A plan as a file: JSON in one form only, so that equal plans are equal bytes.

use std::fmt;
use std::io::{BufWriter, Write as _};

use super::{Plan, TIMES};
use crate::digest::Digest;
use crate::fs::NO_ID;
use crate::operation::{Action, VolumeAction};

/// The format's number; a change that an older reader would misunderstand raises it.
pub const SCHEMA: u32 = 3;

/// The longest plan there is. 50,000 changes of some 500 bytes are 25 MB; beside them, only files
/// that an operation rewrites are in a plan, 4 MiB of each at most, and small ones of the host.
pub const PLAN_BYTES: u64 = 256 << 20;

/// Why a file is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFileError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for PlanFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message } = self;
        write!(f, "{line}:{column}: {message}")
    }
}

impl std::error::Error for PlanFileError {}

impl From<serde_json::Error> for PlanFileError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let suffix = format!(" at line {line} column {column}");
        let message = text.strip_suffix(&suffix).unwrap_or(&text).to_owned();
        Self { line, column, message }
    }
}

impl Plan {
    /// The plan as JSON, with a line end at its end. Fields stand in one order and maps are
    /// sorted: equal plans give equal bytes.
    ///
    /// # Errors
    /// What serde says; no plan that was read or worked out fails.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// Not JSON, an unknown or missing field, another schema, or a value that contradicts the
    /// rest, with its place in the text.
    pub fn from_json(text: &str) -> Result<Self, PlanFileError> {
        #[derive(serde::Deserialize)]
        struct Header {
            schema: u32,
            /// What a report has, and no plan.
            command: Option<serde::de::IgnoredAny>,
        }
        let header: Header = serde_json::from_str(text)?;
        if header.command.is_some() {
            let message = "a report, and no plan: 'audit --save-plan FILE' writes one".to_owned();
            return Err(PlanFileError { line: 1, column: 1, message });
        }
        if header.schema != SCHEMA {
            let message = format!(
                "a plan of schema {}, and this tool reads {SCHEMA}; make it anew",
                header.schema
            );
            return Err(PlanFileError { line: 1, column: 1, message });
        }
        let plan: Self = serde_json::from_str(text)?;
        plan.check().map_err(|message| PlanFileError { line: 1, column: 1, message })?;
        Ok(plan)
    }

    /// The digest of the plan's JSON: what an approval can name.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        // Not by way of the text, which is as large as the plan itself.
        let mut hasher = BufWriter::new(blake3::Hasher::new());
        serde_json::to_writer_pretty(&mut hasher, self)?;
        hasher.write_all(b"\n").map_err(serde_json::Error::io)?;
        let hasher = hasher.into_inner().map_err(|it| serde_json::Error::io(it.into_error()))?;
        Ok(hasher.finalize().into())
    }

    /// What types do not say of a plan that came from a file.
    fn check(&self) -> Result<(), String> {
        if !TIMES.contains(&self.now.seconds) || self.now.nanos > 999_999_999 {
            let (first, last) = (TIMES.start(), TIMES.end());
            return Err(format!("'now' is not between {first} and {last} seconds since 1970"));
        }
        let mut earlier: Option<(u32, &crate::path::GuestPath)> = None;
        for (at, change) in self.changes.iter().enumerate() {
            let id = change.id;
            if u32::try_from(at + 1) != Ok(id) {
                return Err(format!("change {id} is not the {}. in the list", at + 1));
            }
            if usize::try_from(change.guest).is_ok_and(|guest| guest >= self.guests.len()) {
                return Err(format!(
                    "change {id} is for guest {}, which is not there",
                    change.guest
                ));
            }
            if change.path.is_root() || change.fs_path.is_root() {
                return Err(format!("change {id} is of a filesystem's root"));
            }
            if !self.filesystems.iter().any(|it| it.volume == change.volume) {
                return Err(format!("change {id} is on {}, which is not planned", change.volume));
            }
            let (mode, uid, gid) = match &change.action {
                Action::CreateFile { meta, .. }
                | Action::CreateDirectory { meta, .. }
                | Action::CreateSymlink { meta, .. }
                | Action::CreateSpecial { meta, .. } => {
                    (Some(meta.mode), Some(meta.uid), Some(meta.gid))
                }
                Action::Update { meta, .. }
                | Action::Wipe { meta, .. }
                | Action::Move { meta, .. } => (meta.mode, meta.uid, meta.gid),
                Action::Remove { .. } | Action::CreateLink { .. } => (None, None, None),
            };
            if let Some(mode) = mode.filter(|mode| *mode > 0o7777) {
                return Err(format!("change {id} sets the mode {mode:o}, beyond 7777"));
            }
            if uid == Some(NO_ID) || gid == Some(NO_ID) {
                return Err(format!("change {id} gives to {NO_ID}, which is no user or group"));
            }
            let here = (change.guest, &change.path);
            if earlier.is_some_and(|earlier| earlier >= here) {
                return Err(format!("change {id} is out of order, or of the same path as another"));
            }
            earlier = Some(here);
        }
        let mut earlier = None;
        for change in &self.volumes {
            let volume = &change.volume;
            if usize::try_from(change.guest).is_ok_and(|guest| guest >= self.guests.len()) {
                return Err(format!("a change of {volume} is for a guest that is not there"));
            }
            let planned = self.filesystems.iter().find(|it| it.volume == *volume);
            match (&change.action, planned) {
                (VolumeAction::SetUuid { from, .. }, Some(it))
                    if it.uuid.as_ref() != Some(from) =>
                {
                    return Err(format!("a change of the UUID of {volume}, which has another"));
                }
                (VolumeAction::WipeSwap { .. }, Some(_)) => {
                    return Err(format!("{volume} is a filesystem and no swap area"));
                }
                _ => {}
            }
            let here = (volume, change.action.rank());
            if earlier.is_some_and(|earlier| earlier >= here) {
                return Err(format!("a change of {volume} is out of order, or another's twin"));
            }
            earlier = Some(here);
        }
        Ok(())
    }
}
