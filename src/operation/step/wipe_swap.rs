//! `wipe-swap`: discards what swap areas hold, in partitions and in the files that fstab and
//! systemd's swap units name.
//!
//! What was in memory goes; header, UUID and label stay, and a swap file keeps its blocks: swapon(8)
//! takes no file with holes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Propose, StepError, Verb};
use crate::fs::Kind;
use crate::guest::{fstab_swap_files, swap_unit_files};
use crate::operation::action::VolumeAction;
use crate::operation::draft::{Draft, Target};
use crate::operation::targets::{Scan, Targets};
use crate::path::GuestPath;
use crate::volume::swap::{HEAD, SwapArea};

/// Where fstab is.
const FSTAB: &str = "/etc/fstab";
/// Where tools keep swap files that no setting names: dphys-swapfile, swapspace, systemd-swap.
const OWN: &[&str] = &["/var/swap", "/var/lib/swapspace/*", "/var/lib/systemd-swap/swapfc/*"];

/// Where swap units are, and what is added to them.
const UNITS: &[&str] = &[
    "/{etc,lib,usr/lib,usr/local/lib}/systemd/system/*.swap",
    "/{etc,lib,usr/lib,usr/local/lib}/systemd/system/*.swap.d/*.conf",
];

pub(super) const VERB: Verb = Verb {
    name: "wipe-swap",
    help: "discards what swap partitions, and the swap files that /etc/fstab and systemd's swap units \
           name, hold; they stay swap areas with the same UUID and label",
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
        let mut named: Vec<(GuestPath, String)> = Vec::new();
        if let Some(text) = draft.content_at(&fstab)? {
            named.extend(fstab_swap_files(&text).into_iter().map(|it| (it, FSTAB.to_owned())));
        }
        for unit in draft.find(&Targets::of(UNITS))? {
            let Some(text) = draft.content_at(&unit.path)? else { continue };
            let by = unit.path.to_string();
            named.extend(swap_unit_files(&text).into_iter().map(|it| (it, by.clone())));
        }
        let mut seen = BTreeSet::new();
        for target in draft.find(&Targets::of(OWN))? {
            // Of what else is there nothing is known.
            if is_swap(draft, &target)? {
                seen.insert(target.path.clone());
                file(draft, &target, "where tools keep swap files")?;
            }
        }
        for (path, by) in named {
            if let Some(target) = draft.at(&path, true)?
                && seen.insert(target.path.clone())
            {
                file(draft, &target, &by)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = vec!["swap partitions".to_owned(), format!("swap files in {FSTAB}")];
        paths.push("swap files in systemd's swap units".to_owned());
        paths.extend(OWN.iter().map(|&it| it.to_owned()));
        paths
    }

    fn scan(&self) -> Option<&Scan> {
        None
    }
}

/// The swap area that a file is.
fn area(draft: &Draft<'_>, target: &Target) -> Result<Option<SwapArea>, StepError> {
    let mut head = Vec::new();
    draft.pieces(target, &mut |piece| {
        head.extend_from_slice(piece.get(..HEAD).unwrap_or(piece));
        std::ops::ControlFlow::Break(())
    })?;
    Ok(SwapArea::from_head(&head, draft.size(target)?))
}

fn is_swap(draft: &Draft<'_>, target: &Target) -> Result<bool, StepError> {
    Ok(target.kind == Some(Kind::File) && area(draft, target)?.is_some())
}

fn file(draft: &mut Draft<'_>, target: &Target, by: &str) -> Result<(), StepError> {
    if target.kind != Some(Kind::File) {
        return Ok(());
    }
    let Some(area) = area(draft, target)? else {
        let reason = format!("{by} names it as a swap file, and it is none: left as it is");
        draft.refuse(&target.path, reason);
        return Ok(());
    };
    if area.suspended {
        return Err(StepError::Suspended(target.path.to_string(), SUSPENDED));
    }
    let why = match by.starts_with('/') {
        true => format!("named as swap by {by}"),
        false => by.to_owned(),
    };
    // What lies behind the area is the file's all the same, and nothing else reads it.
    draft.wipe(target, area.page, why)
}
