//! Making a plan's changes on an image, before anything is written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::edit::edit_all_from;
use super::recover::{self, Pending};
use super::{ApplyError, Changed};
use crate::block::{Overlay, ReadBlocks, Window, WindowMut, WriteBlocks};
use crate::fs::{self, EditFs, EditOptions, Freed, FsError, FsInfo, ReadFs, UuidChange, uuid};
use crate::image::{Access, Image};
use crate::operation::{Action, Content, GuestContent, Moves, VolumeAction};
use crate::plan::{self, Change, Plan, PlannedFilesystem, VolumeChange};
use crate::volume::swap::{self, SwapArea};
use crate::volume::{self, Layout, Volume, VolumeId};

/// How long each stage of a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Checking that nothing changed since the plan, and editing.
    pub stage: Duration,
    /// Reading the result back.
    pub verify: Duration,
    /// Writing the redo log and making it durable.
    pub log: Duration,
    /// Writing the image in place and making it durable, or writing a new one.
    pub write: Duration,
}

/// An image with a plan's changes made to it, none of them written to its file.
#[derive(Debug)]
pub struct Staged<'a> {
    pub(super) image: &'a Image,
    pub(super) plan: &'a Plan,
    pub(super) overlay: Arc<Overlay>,
    pub(super) freed: Vec<(VolumeId, Freed)>,
    pub(super) timings: Timings,
}

/// A planned filesystem being edited.
struct Edited<'a> {
    volume: &'a VolumeId,
    editor: Box<dyn EditFs>,
    changes: Vec<&'a Change>,
}

/// Makes the plan's changes on an overlay over the image; the image is not touched. What memory has
/// no room for is held in a temporary file beside it.
///
/// # Errors
/// [`ApplyError::RecoveryPending`]; [`ApplyError::WrongImage`] when the plan was made for another
/// image or holds what no plan does; [`ApplyError::ChangedSince`] when something the plan saw is
/// not as it was (all of it is checked before the first edit); what the image, its volumes and
/// filesystems say.
pub fn stage<'a>(image: &'a Image, plan: &'a Plan) -> Result<Staged<'a>, ApplyError> {
    stage_in(image, plan, &image.folder())
}

/// As [`stage`], with the temporary file in `folder`.
///
/// # Errors
/// As [`stage`].
pub fn stage_in<'a>(
    image: &'a Image,
    plan: &'a Plan,
    folder: &Path,
) -> Result<Staged<'a>, ApplyError> {
    let started = Instant::now();
    match (recover::pending(image.path())?, image.access()) {
        (Pending::Nothing, _) | (Pending::Unfinished, Access::Audit) => {}
        _ => return Err(ApplyError::RecoveryPending),
    }
    let staged = image.stage_with(plan.keep_free_space, folder)?;
    let disk = staged.disk();
    let layout = volume::scan(&*disk)?;
    belongs(image, &layout, plan)?;
    let mut edited = Vec::new();
    let options = EditOptions { now: plan.now, keep_free_space: plan.keep_free_space };
    for filesystem in &plan.filesystems {
        edited.push(Edited {
            volume: &filesystem.volume,
            editor: open(&disk, &layout, filesystem, &options)?,
            changes: Vec::new(),
        });
    }
    for change in &plan.changes {
        let Some(edited) = edited.iter_mut().find(|it| *it.volume == change.volume) else {
            return Err(ApplyError::WrongImage(format!(
                "change {} is on {}, which the plan does not list as edited",
                change.id, change.volume
            )));
        };
        edited.changes.push(change);
    }
    unchanged_since(&edited)?;
    let originals = originals(image, &layout, plan)?;
    let original = |volume: &VolumeId| originals.get(volume).cloned();
    for Edited { volume, editor, changes } in &mut edited {
        let FsInfo { free, block_size, .. } = editor.view().info();
        let made = changes.iter().map(|change| (&change.fs_path, &change.action));
        edit_all_from(&mut **editor, &original, made).map_err(|(path, source)| {
            let volume = volume.clone();
            match source {
                FsError::NoSpace => {
                    let actions = changes.iter().map(|change| &change.action);
                    let needed = plan::content_bytes(actions, block_size.into());
                    ApplyError::NoRoom { volume, path, needed, free }
                }
                source => ApplyError::Fs { volume, path: Some(path), source },
            }
        })?;
    }
    let mut freed = Vec::new();
    for Edited { volume, editor, .. } in edited {
        let by = editor.finish().map_err(|source| ApplyError::Fs {
            volume: volume.clone(),
            path: None,
            source,
        })?;
        freed.push((volume.clone(), by));
    }
    for change in &plan.volumes {
        let edited = plan.filesystems.iter().any(|it| it.volume == change.volume);
        change_volume(&disk, &layout, change, edited)?;
    }
    drop(disk);
    let overlay = staged.finish()?;
    let timings = Timings { stage: started.elapsed(), ..Timings::default() };
    Ok(Staged { image, plan, overlay, freed, timings })
}

impl Staged<'_> {
    /// What will be written to the image file.
    pub fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// What each edited filesystem gained.
    pub fn freed(&self) -> &[(VolumeId, Freed)] {
        &self.freed
    }
}

/// Whether the plan was made for this image, and is one.
fn belongs(image: &Image, layout: &Layout, plan: &Plan) -> Result<(), ApplyError> {
    let differs = |what: &str, planned: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(ApplyError::WrongImage(format!("{what} was {planned} and is {found}")))
    };
    let facts = &plan.image;
    if facts.virtual_size != image.virtual_size() {
        return differs("the disk's size", &facts.virtual_size, &image.virtual_size());
    }
    if facts.disk_uuid != layout.disk_uuid {
        let name = |uuid: &Option<String>| uuid.clone().unwrap_or_else(|| "none".to_owned());
        return differs("the disk's id", &name(&facts.disk_uuid), &name(&layout.disk_uuid));
    }
    // A plan file may have been written by anyone.
    let mut volumes = BTreeSet::new();
    if let Some(twice) = plan.filesystems.iter().find(|it| !volumes.insert(&it.volume)) {
        return Err(ApplyError::WrongImage(format!("the plan lists {} twice", twice.volume)));
    }
    let mut paths = BTreeSet::new();
    if let Some(twice) = plan.changes.iter().find(|it| !paths.insert((&it.volume, &it.fs_path))) {
        return Err(ApplyError::WrongImage(format!("the plan changes {} twice", twice.path)));
    }
    for VolumeChange { volume, action, .. } in &plan.volumes {
        let planned = plan.filesystems.iter().find(|it| it.volume == *volume);
        let fits = match (action, planned) {
            (VolumeAction::SetUuid { from, .. }, Some(it)) => it.uuid.as_ref() == Some(from),
            // Then it has to be a swap area.
            (_, planned) => planned.is_none(),
        };
        let same = |it: &&VolumeChange| it.volume == *volume && it.action.rank() == action.rank();
        if !fits || plan.volumes.iter().filter(same).count() > 1 {
            let problem = format!("the plan changes {volume} twice, or as what it is not");
            return Err(ApplyError::WrongImage(problem));
        }
    }
    let mut sources = BTreeSet::new();
    for change in &plan.changes {
        if let Action::Move { from, .. } = &change.action
            && (from.is_root() || !sources.insert((&change.volume, from)))
        {
            return Err(ApplyError::WrongImage(format!("the plan moves {from} twice")));
        }
    }
    Ok(())
}

/// The filesystems that content comes from, as they are in the image.
fn originals(
    image: &Image,
    layout: &Layout,
    plan: &Plan,
) -> Result<BTreeMap<VolumeId, Arc<dyn ReadFs>>, ApplyError> {
    let mut originals = BTreeMap::new();
    for change in &plan.changes {
        let Some(Content::Guest(GuestContent { volume: id, .. })) = change.action.content() else {
            continue;
        };
        if originals.contains_key(id) {
            continue;
        }
        let failed = |source| ApplyError::Fs { volume: id.clone(), path: None, source };
        let at = volume(layout, id)?;
        let window =
            Window::new(image.disk(), at.start, at.len).map_err(|error| failed(error.into()))?;
        let window: Arc<dyn ReadBlocks> = Arc::new(window);
        let driver = fs::probe(&*window).map_err(failed)?;
        let driver =
            driver.ok_or_else(|| ApplyError::WrongImage(format!("{id} holds no files")))?;
        originals.insert(id.clone(), Arc::from((driver.open)(window).map_err(failed)?));
    }
    Ok(originals)
}

/// The volume a plan names.
pub(super) fn volume<'a>(layout: &'a Layout, id: &VolumeId) -> Result<&'a Volume, ApplyError> {
    layout
        .volumes
        .iter()
        .find(|volume| volume.id == *id)
        .ok_or_else(|| ApplyError::WrongImage(format!("there is no volume {id}")))
}

/// Makes a change of a volume as a whole, on which every other change was made; `edited` where its
/// filesystem is one of those that the plan edits.
fn change_volume(
    disk: &Arc<dyn WriteBlocks>,
    layout: &Layout,
    change: &VolumeChange,
    edited: bool,
) -> Result<(), ApplyError> {
    let id = &change.volume;
    let at = volume(layout, id)?;
    let failed = |source| ApplyError::Fs { volume: id.clone(), path: None, source };
    let window = WindowMut::new(disk.clone(), at.start, at.len).map_err(|it| failed(it.into()))?;
    let window: Arc<dyn WriteBlocks> = Arc::new(window);
    let driver = fs::probe(&*window).map_err(failed)?;
    if let (Some(driver), VolumeAction::SetUuid { to, .. }) = (driver, &change.action) {
        let Some(UuidChange { set, .. }) = driver.uuid.filter(|_| edited) else {
            return Err(ApplyError::WrongImage(format!(
                "{id} holds {}, which is not edited",
                driver.name
            )));
        };
        return set(&window, to).map_err(failed);
    }
    let area = SwapArea::read(&*window, 0, at.len).map_err(|it| failed(it.into()))?;
    let sound = |area: &SwapArea| !area.suspended && area.problem.is_none();
    let Some(area) = area.filter(sound).filter(|_| at.is_swap()) else {
        return Err(ApplyError::WrongImage(format!("{id} is not what the plan changes")));
    };
    let done = match &change.action {
        VolumeAction::WipeSwap { bytes } if *bytes == area.content() => area.wipe(&*window),
        VolumeAction::WipeSwap { bytes } => {
            let found = area.content();
            let problem = format!("the swap area on {id} had {bytes} bytes and has {found}");
            return Err(ApplyError::WrongImage(problem));
        }
        VolumeAction::SetUuid { from, to } => {
            let found = area.uuid.map(uuid::text).unwrap_or_else(|| "none".to_owned());
            let Some(to) = uuid::parse(to).filter(|_| found == *from) else {
                let problem = format!("the swap area on {id} had the UUID {from} and has {found}");
                return Err(ApplyError::WrongImage(problem));
            };
            swap::set_uuid(&*window, to)
        }
    };
    done.map_err(|it| failed(it.into()))
}

/// Opens a planned filesystem for editing, once it is the one that was planned for.
fn open(
    disk: &Arc<dyn WriteBlocks>,
    layout: &Layout,
    planned: &PlannedFilesystem,
    options: &EditOptions,
) -> Result<Box<dyn EditFs>, ApplyError> {
    let id = &planned.volume;
    let at = volume(layout, id)?;
    let failed = |source| ApplyError::Fs { volume: id.clone(), path: None, source };
    let window = WindowMut::new(disk.clone(), at.start, at.len).map_err(|it| failed(it.into()))?;
    let window: Arc<dyn WriteBlocks> = Arc::new(window);
    let driver = fs::probe(&*window).map_err(failed)?;
    let found = driver.map_or("nothing that is known", |driver| driver.name);
    let Some(driver) = driver.filter(|driver| driver.name == planned.driver) else {
        return Err(ApplyError::WrongImage(format!(
            "{id} held {} and holds {found}",
            planned.driver
        )));
    };
    let Some(edit) = driver.edit else {
        return Err(ApplyError::CannotEdit { volume: id.clone(), driver: driver.name });
    };
    let editor = edit(window, options).map_err(failed)?;
    let uuid = editor.view().info().uuid;
    if uuid != planned.uuid {
        let name = |uuid: &Option<String>| uuid.clone().unwrap_or_else(|| "none".to_owned());
        return Err(ApplyError::WrongImage(format!(
            "the filesystem on {id} had the UUID {} and has {}",
            name(&planned.uuid),
            name(&uuid)
        )));
    }
    Ok(editor)
}

/// The moves among the changes of one filesystem.
fn moves<'a>(changes: &[&'a Change]) -> Moves<'a> {
    Moves::among(changes.iter().map(|change| (&change.fs_path, &change.action)))
}

/// Checks that everything the plan saw is as it was.
fn unchanged_since(edited: &[Edited<'_>]) -> Result<(), ApplyError> {
    let mut changed = BTreeMap::new();
    for Edited { volume, editor, changes } in edited {
        let moves = moves(changes);
        for change in changes {
            let failed = |source| ApplyError::Fs {
                volume: (*volume).clone(),
                path: Some(change.fs_path.clone()),
                source,
            };
            let now = plan::before(editor.view(), &moves, &change.fs_path, &change.action)
                .map_err(failed)?;
            if now != change.before {
                let changed_path =
                    Changed { guest: change.guest, path: change.path.clone(), change: change.id };
                changed.insert(change.id, changed_path);
            }
        }
    }
    if changed.is_empty() {
        Ok(())
    } else {
        Err(ApplyError::ChangedSince(changed.into_values().collect()))
    }
}
