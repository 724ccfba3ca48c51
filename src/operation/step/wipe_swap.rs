//! `wipe-swap`: discards what swap areas hold, in partitions and in the files that fstab names.
//!
//! What was in memory goes; header, UUID and label stay, and a swap file keeps its blocks: swapon(8)
//! takes no file with holes.

use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::fstab_swap_files;
use crate::operation::action::VolumeAction;
use crate::operation::draft::{Draft, Target};
use crate::operation::targets::Scan;
use crate::path::GuestPath;
use crate::volume::swap::{HEAD, SwapArea};

/// Where fstab is.
const FSTAB: &str = "/etc/fstab";

pub(super) const VERB: Verb = Verb {
    name: "wipe-swap",
    help: "discards what swap partitions, and the swap files that /etc/fstab names, hold; they stay \
           swap areas with the same UUID and label",
    fields: &[],
    short: None,
    build: |_| Ok(Arc::new(WipeSwap)),
};

#[derive(Debug)]
struct WipeSwap;

/// Why a suspended system ends the run.
const SUSPENDED: &str = "it holds a suspended system, which would go on with filesystems that were \
                         changed under it: start the guest, shut it down and seal it then";

impl Propose for WipeSwap {
    fn propose(&self, draft: &mut Draft<'_>) -> Result<(), StepError> {
        for (volume, swap) in draft.swap_volumes() {
            let area = &swap.area;
            if area.suspended {
                return Err(StepError::Suspended(volume.to_string(), SUSPENDED));
            }
            if let Some(problem) = &area.problem {
                draft.refuse(&GuestPath::root(), format!("{volume}, a swap area: {problem}"));
                continue;
            }
            let empty =
                swap.is_empty().map_err(|it| StepError::Fs(GuestPath::root(), it.into()))?;
            if !empty {
                let action = VolumeAction::WipeSwap { bytes: area.content() };
                draft.change_volume(volume, action, "every swap partition");
            }
        }
        let fstab: GuestPath = FSTAB.parse().unwrap_or_default();
        let Some(text) = draft.content_at(&fstab)? else { return Ok(()) };
        for path in fstab_swap_files(&text) {
            if let Some(target) = draft.at(&path, true)? {
                file(draft, &target)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        vec!["swap partitions".to_owned(), format!("swap files in {FSTAB}")]
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

fn file(draft: &mut Draft<'_>, target: &Target) -> Result<(), StepError> {
    if target.kind != Some(Kind::File) {
        return Ok(());
    }
    let mut head = Vec::new();
    draft.pieces(target, &mut |piece| {
        head.extend_from_slice(piece.get(..HEAD).unwrap_or(piece));
        std::ops::ControlFlow::Break(())
    })?;
    let size = draft.size(target)?;
    let Some(area) = SwapArea::from_head(&head, size) else {
        draft.refuse(&target.path, "fstab names it as a swap file, and it is none: left as it is");
        return Ok(());
    };
    if area.suspended {
        return Err(StepError::Suspended(target.path.to_string(), SUSPENDED));
    }
    // What lies behind the area is the file's all the same, and nothing else reads it.
    draft.wipe(target, area.page, "named as swap by /etc/fstab")
}
