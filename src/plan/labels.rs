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
                "{} none ({}): {why}; --selinux-relabel has the guest label {}",
                new_files(without),
                some(&without_paths, without),
                if without == 1 { "it" } else { "them" }
            )),
        ),
        (None, None) if given > 0 => {
            let its = if given == 1 { "that" } else { "those" };
            let words = format!("{} {its} of the guest's policy", new_files(given));
            tell("labels", Comeback::Made(words));
        }
        (None, None) => {}
    }
    if !signed.is_empty() {
        let paths = some(&signed, signed.len() as u64);
        let words = match signed.len() {
            1 => format!(
                "the signature of a changed file no longer fits ({paths}): sign it anew, or a \
                 kernel that checks it refuses the file"
            ),
            many => format!(
                "the signatures of {many} changed files no longer fit ({paths}): sign them anew, \
                 or a kernel that checks them refuses the files"
            ),
        };
        tell("IMA/EVM", Comeback::Missing(words));
    }
    Ok(found)
}

/// So many, and the verb.
fn new_files(number: u64) -> String {
    match number {
        1 => "1 new file has".to_owned(),
        many => format!("{many} new files have"),
    }
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
