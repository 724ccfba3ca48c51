//! What steps share that turn a file's content into other content.

use super::StepError;
use crate::operation::draft::{Draft, Target};
use crate::operation::targets::Targets;

/// Puts `of` a regular file's content in its place, in every file that the targets lead to and
/// whose content that changes; `why` is the change's reason.
///
/// # Errors
/// What the draft says.
pub(super) fn rewrite(
    draft: &mut Draft<'_>,
    targets: &Targets,
    of: &dyn Fn(&[u8]) -> Vec<u8>,
    why: &dyn Fn(&Target) -> String,
) -> Result<(), StepError> {
    for target in draft.find(targets)? {
        let Some(file) = draft.file(target)? else { continue };
        let Some(content) = draft.content(&file)? else { continue };
        let edited = of(&content);
        if edited == content {
            continue;
        }
        // A sealed guest has nothing more to change; an edit that would go on and on is done once.
        if of(&edited) != edited {
            draft.unsettle(&file.path);
        }
        draft.set_content(&file, edited, why(&file))?;
    }
    Ok(())
}
