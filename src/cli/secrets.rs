//! `audit --secrets`: looking for secrets in the whole of every guest.

use std::path::{Path, PathBuf};

use clap::Args;
use sysprep_rs::guest::Guest;
use sysprep_rs::operation::Action;
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::Plan;
use sysprep_rs::report::{Report, SearchReport, SecretReport};
use sysprep_rs::secret::{self, AllowList, Scanner};
use sysprep_rs::text_file;

use super::failure::Failure;

/// The longest allow list, in bytes.
const ALLOW_BYTES: u64 = 1 << 20;

/// Whether secrets are looked for.
#[derive(Debug, Args)]
pub(crate) struct SecretsArgs {
    /// Look for secrets by content in every file: private keys, tokens, password hashes, passwords
    ///
    /// Each is told by path, line and kind, never by what it is. Exit code 3 when one is found.
    #[arg(long)]
    pub(crate) secrets: bool,

    /// Secrets that are meant to be there: a line each, a pattern of paths, and behind a space a
    /// kind, or none for all of them
    #[arg(long, value_name = "FILE", requires = "secrets")]
    pub(crate) allow_secrets: Option<PathBuf>,
}

impl SecretsArgs {
    /// The allow list; an empty one where none is named.
    pub(crate) fn allowed(&self) -> Result<AllowList, Failure> {
        let Some(path) = &self.allow_secrets else { return Ok(AllowList::default()) };
        let text = text_file::read(path, ALLOW_BYTES).map_err(|it| Failure::at(path, it))?;
        AllowList::parse(&text).map_err(|it| Failure::new(format!("{}:{it}", path.display())))
    }
}

/// Looks through the guests and adds what is found to the report, but for what is allowed.
pub(crate) fn look(
    report: &mut Report,
    guests: &[Guest],
    plan: &Plan,
    allowed: &AllowList,
    image: &Path,
) -> Result<(), Failure> {
    let scanner = Scanner::new().map_err(Failure::new)?;
    let mut looked = SearchReport::default();
    for (number, guest) in (0_u32..).zip(guests) {
        let found = secret::search(guest, &scanner).map_err(|it| Failure::at(image, it))?;
        looked.add(found.files, found.bytes, found.more, &found.unread);
        for finding in found.findings {
            if allowed.allows(&finding) {
                looked.allowed += 1;
                continue;
            }
            let goes_with = taken_away(plan, number, &finding.path);
            report.secrets.push(SecretReport::new(number, finding, None, goes_with));
        }
    }
    report.searched = Some(looked);
    Ok(())
}

/// The operation that takes away all of a file's content.
fn taken_away(plan: &Plan, guest: u32, path: &GuestPath) -> Option<String> {
    let change = plan.changes.iter().find(|change| {
        change.guest == guest
            && match &change.action {
                Action::Remove { .. } => path.starts_with(&change.path),
                Action::CreateDirectory { replaces: Some(_), .. } => {
                    path.starts_with(&change.path) && *path != change.path
                }
                Action::Update { content: Some(content), .. } => {
                    *path == change.path && content.is_empty()
                }
                _ => false,
            }
    })?;
    Some(change.operation.clone())
}
