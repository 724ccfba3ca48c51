//! SELinux labels of what a run makes, for the report.

use super::first_boot::{Comeback, Found};
use crate::guest::selinux::relabel_flagged;
use crate::operation::{Draft, Labels, StepError};
use crate::path::GuestPath;

/// Gives new files their labels; what is to be told of that.
pub(super) fn give(draft: &mut Draft<'_>) -> Result<Vec<Found>, StepError> {
    let Labels { given, without, without_paths, why, signed } = draft.give_labels()?;
    let flagged = relabel_flagged(&*draft)?;
    let mut found = Vec::new();
    let mut tell = |what: &str, comes| found.push(Found::of_all(what, comes));
    match (&flagged, why) {
        (Some(flag), _) => {
            let words = format!("the guest labels every file and boots once more ({flag})");
            tell("labels", Comeback::Made(words));
        }
        (None, Some(why)) => tell(
            "labels",
            Comeback::Missing(format!(
                "{without} new files have none ({}): {why}; --selinux-relabel has the guest label \
                 them",
                some(&without_paths, without)
            )),
        ),
        (None, None) if given > 0 => {
            let words = format!("{given} new files have those of the guest's policy");
            tell("labels", Comeback::Made(words));
        }
        (None, None) => {}
    }
    if !signed.is_empty() {
        let words = format!(
            "the signatures of {} changed files no longer fit ({}): sign them anew, or a kernel that \
             checks them refuses the files",
            signed.len(),
            some(&signed, signed.len() as u64)
        );
        tell("IMA/EVM", Comeback::Missing(words));
    }
    Ok(found)
}

/// How many paths are named.
const NAMED: usize = 3;

fn some(paths: &[GuestPath], all: u64) -> String {
    let mut words: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    if all > words.len() as u64 {
        words.push("…".to_owned());
    }
    words.join(", ")
}
