//! A staged image, read back cold and compared with the image as it is.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::commit::{self, Written};
use super::recover::no_log_beside;
use super::stage::volume;
use super::verify::{Comparison, Expected, Finding, VerifyLevel, Witness, compare};
use super::{ApplyError, FileHost, Staged, Timings};
use crate::block::{Extent, Overlay, ReadBlocks, Window, check_file_size_limit, reads_as_zero};
use crate::fs::{self, EditOptions, Freed, FsDriver, Judge, Timestamp};
use crate::guest::Disk;
use crate::image::{Access, ExportOptions, Exported, Format, Image, export};
use crate::operation::{CUSTOMIZE, VolumeAction};
use crate::path::GuestPath;
use crate::plan::{Change, Plan, PlanError, PlannedFilesystem};
use crate::volume::swap::{SwapArea, UUID_AT};
use crate::volume::{self as volumes, Layout, Volume, VolumeId};

/// How much is compared at a time outside the edited filesystems.
const CHUNK: u64 = 1 << 20;

/// Plans again, with the operations the plan was made with.
pub type Replan<'a> = &'a (dyn Fn(&Disk) -> Result<Plan, PlanError> + Sync);

/// What one filesystem was proved by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its volume.
    pub volume: VolumeId,
    /// The reader that compared before and after: the independent one's name, or our own, opened
    /// afresh.
    pub by: String,
    /// Why the independent reader did not, where it did not.
    pub why_not_independent: Option<String>,
    /// How many paths were compared.
    pub paths: u64,
    /// How many directories' names were compared.
    pub directories: u64,
    /// How many looks our own reader took in the independent one's place.
    pub own_looks: u64,
    /// How many objects nobody can read, before and after alike.
    pub unread: u64,
    /// Whether the filesystem's accounting was checked: free space, inodes, checksums.
    pub accounting: bool,
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { volume, by, paths, directories, own_looks, unread, .. } = self;
        let (some, dirs) =
            (count(*paths, "path", "paths"), count(*directories, "directory", "directories"));
        write!(f, "{volume}: {some} and {dirs} as planned, by {by}")?;
        if let Some(why) = &self.why_not_independent {
            write!(f, " ({why})")?;
        }
        if *own_looks > 0 {
            let looks = count(*own_looks, "look", "looks");
            write!(f, "; {looks} by this program's own reader, where {by} is blind")?;
        }
        if *unread > 0 {
            write!(f, "; {unread} that nobody can read, before and after alike")?;
        }
        if self.accounting {
            f.write_str("; free space and checksums counted")?;
        }
        Ok(())
    }
}

/// A staged image that was found to be what the plan says. Only this can be committed.
#[derive(Debug)]
pub struct Verified<'a> {
    image: &'a Image,
    overlay: Arc<Overlay>,
    freed: Vec<(VolumeId, Freed)>,
    level: VerifyLevel,
    proofs: Vec<Proof>,
    replanned: bool,
    unsettled: Vec<GuestPath>,
    timings: Timings,
}

/// What a run did and how it was proved.
#[derive(Clone, Debug)]
pub struct Committed {
    /// How much was read back.
    pub level: VerifyLevel,
    /// What each filesystem was proved by.
    pub proofs: Vec<Proof>,
    /// Whether planning again was found to yield nothing.
    pub replanned: bool,
    /// Paths of the guest that would be changed again: flags are done in their order each time, and
    /// one may work on what another made; an edit may match its own result.
    pub unsettled: Vec<GuestPath>,
    /// What each filesystem gained.
    pub freed: Vec<(VolumeId, Freed)>,
    /// Bytes written to the image.
    pub bytes_written: u64,
    /// Bytes of data that became holes.
    pub bytes_punched: u64,
    /// The redo log's size in bytes.
    pub log_bytes: u64,
    /// The image file's size and what it took on the host before, in bytes.
    pub before: Size,
    /// The same after; of the new file where one was written.
    pub after: Size,
    /// How long each stage took.
    pub timings: Timings,
}

/// A file's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Its length in bytes.
    pub file: u64,
    /// What it takes on the host, in bytes.
    pub allocated: u64,
}

impl<'a> Staged<'a> {
    /// Reads the staged image back from nothing but its bytes and compares it with the image as it
    /// is: the difference has to be the plan's. With `replan`, planning again has to yield nothing.
    ///
    /// # Errors
    /// [`ApplyError::NotAsPlanned`] with what was found; what reading says. Nothing was written.
    pub fn verify(
        self,
        level: VerifyLevel,
        replan: Option<Replan<'_>>,
    ) -> Result<Verified<'a>, ApplyError> {
        let started = Instant::now();
        let before = self.image.disk();
        let after = self.image.reopen(self.overlay.clone())?;
        let layout = volumes::scan(&*before)?;
        let not_as_planned = |volume: &VolumeId, problem: String| ApplyError::NotAsPlanned {
            volume: volume.clone(),
            findings: at_root([problem]),
            more: 0,
        };
        let whole = VolumeId("disk".to_owned());
        if volumes::scan(&*after)? != self.planned(&layout) || before.len() != after.len() {
            return Err(not_as_planned(&whole, "the disk's layout changed".to_owned()));
        }
        if let Some(at) = self.outside(&layout, &*before, &*after, level)? {
            let problem = format!("byte {at} of the disk, outside every edited volume, changed");
            return Err(not_as_planned(&whole, problem));
        }
        for change in &self.plan.volumes {
            if self.plan.filesystems.iter().any(|it| it.volume == change.volume) {
                continue;
            }
            let at = volume(&layout, &change.volume)?;
            if let Some(problem) = self.swap(at, &*before, &*after, level)? {
                return Err(not_as_planned(&at.id, problem));
            }
        }
        let mut pairs = Vec::new();
        for filesystem in &self.plan.filesystems {
            let at = volume(&layout, &filesystem.volume)?;
            let window = |disk: &Arc<dyn ReadBlocks>| {
                Window::new(disk.clone(), at.start, at.len)
                    .map(|window| Arc::new(window) as Arc<dyn ReadBlocks>)
                    .map_err(|error| ApplyError::fs(&filesystem.volume, error.into()))
            };
            pairs.push(Pair::new(filesystem, window(&before)?, window(&after)?)?);
        }
        // Three looks that share nothing but the bytes, so none waits for another.
        let (compared, counted, again) = thread::scope(|scope| {
            let counted = thread::Builder::new()
                .spawn_scoped(scope, || pairs.iter().try_for_each(Pair::account));
            let again = thread::Builder::new().spawn_scoped(scope, || {
                replan.map_or(Ok(Vec::new()), |it| nothing_left(self.plan, it, after))
            });
            let compared: Result<Vec<_>, _> =
                pairs.iter().map(|pair| pair.compare(self.plan, level)).collect();
            let counted = counted.map_err(ApplyError::Host).and_then(join);
            (compared, counted, again.map_err(ApplyError::Host).and_then(join))
        });
        let proofs = compared?;
        counted?;
        let unsettled = again?;
        let Staged { image, overlay, freed, mut timings, .. } = self;
        timings.verify = started.elapsed();
        let replanned = replan.is_some() && unsettled.is_empty();
        Ok(Verified { image, overlay, freed, level, proofs, replanned, unsettled, timings })
    }

    /// The layout as the plan leaves it.
    fn planned(&self, layout: &Layout) -> Layout {
        let mut layout = layout.clone();
        for (id, (from, to)) in self.plan.new_uuids() {
            // Only of what is no filesystem is the UUID in the layout.
            let volume = layout.volumes.iter_mut().find(|it| it.id == id);
            if let Some(uuid) = volume.and_then(|it| it.uuid.as_mut()).filter(|it| **it == from) {
                *uuid = to;
            }
        }
        layout
    }

    /// What is wrong with a swap area that the plan changes: of its header nothing may have changed
    /// but the UUID, which the layout was compared for.
    fn swap(
        &self,
        at: &Volume,
        before: &dyn ReadBlocks,
        after: &dyn ReadBlocks,
        level: VerifyLevel,
    ) -> Result<Option<String>, ApplyError> {
        let mine = || self.plan.volumes.iter().filter(|it| it.volume == at.id);
        let read = |disk| SwapArea::read(disk, at.start, at.len);
        let (Some(old), Some(new)) = (read(before)?, read(after)?) else {
            return Ok(Some("it is no swap area any more".to_owned()));
        };
        let same = |from: u64, to: u64| differ(before, after, at.start + from, at.start + to);
        if old != (SwapArea { uuid: old.uuid, ..new }) {
            return Ok(Some("its header changed".to_owned()));
        }
        let (before_uuid, behind_uuid) = (UUID_AT as u64, UUID_AT as u64 + 16);
        let mut changed = same(0, before_uuid)?.or(same(behind_uuid, old.page)?);
        if mine().any(|it| matches!(it.action, VolumeAction::WipeSwap { .. })) {
            if !reads_as_zero(after, at.start + old.page, old.content())? {
                return Ok(Some("it still holds something".to_owned()));
            }
            changed = changed.or(same(old.end, at.len)?);
        } else if level == VerifyLevel::Full {
            changed = changed.or(same(old.page, at.len)?);
        }
        Ok(changed.map(|at| format!("byte {at} of the disk changed")))
    }

    /// The first byte of the disk that changed and lies in no edited volume. In a raw image the
    /// overlay tells; in another format the rest of the disk has to be read, which `Full` does.
    fn outside(
        &self,
        layout: &Layout,
        before: &dyn ReadBlocks,
        after: &dyn ReadBlocks,
        level: VerifyLevel,
    ) -> Result<Option<u64>, ApplyError> {
        let mut edited = Vec::new();
        let filesystems = self.plan.filesystems.iter().map(|it| &it.volume);
        let others = self.plan.volumes.iter().map(|it| &it.volume);
        for id in filesystems.chain(others) {
            let volume = volume(layout, id)?;
            edited.push((volume.start, volume.start.saturating_add(volume.len)));
        }
        edited.sort_unstable();
        let mut rest = Vec::new();
        let mut at = 0;
        for (start, end) in edited {
            if start > at {
                rest.push((at, start));
            }
            at = at.max(end);
        }
        if at < before.len() {
            rest.push((at, before.len()));
        }
        for (start, end) in rest {
            if self.image.format() == Format::Raw {
                let changes = self.overlay.changes();
                let hit = changes
                    .pieces
                    .iter()
                    .find(|(at, piece)| *at < end && at.saturating_add(piece.len()) > start);
                if let Some((at, _)) = hit {
                    return Ok(Some((*at).max(start)));
                }
            } else if level == VerifyLevel::Full
                && let Some(at) = differ(before, after, start, end)?
            {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

/// Waits for a look; what made it panic goes on here.
fn join<T>(look: thread::ScopedJoinHandle<'_, T>) -> T {
    look.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Plans again on the staged disk: nothing may be left to do, but for what flags ask for and what the
/// plan says would be changed again; the paths of these are given.
fn nothing_left(
    planned: &Plan,
    replan: Replan<'_>,
    disk: Arc<dyn ReadBlocks>,
) -> Result<Vec<GuestPath>, ApplyError> {
    let mut plan = replan(&Disk::open(disk)?)?;
    let asked = |change: &Change| {
        change.operation == CUSTOMIZE
            || change.also.iter().any(|it| it == CUSTOMIZE)
            || planned.unsettled.iter().any(|it| it.guest == change.guest && it.path == change.path)
    };
    let unsettled: Vec<GuestPath> =
        plan.changes.extract_if(.., |it| asked(it)).map(|change| change.path).collect();
    if let (None, Some(change)) = (plan.changes.first(), plan.volumes.first()) {
        return Err(ApplyError::NotAsPlanned {
            volume: change.volume.clone(),
            findings: at_root([format!(
                "planning again would change it again ({})",
                change.operation
            )]),
            more: plan.volumes.len() as u64 - 1,
        });
    }
    let Some(change) = plan.changes.first() else {
        return Ok(unsettled);
    };
    Err(ApplyError::NotAsPlanned {
        volume: change.volume.clone(),
        findings: vec![Finding {
            path: change.fs_path.clone(),
            problem: format!("planning again would change it again ({})", change.operation),
        }],
        more: plan.changes.len() as u64 - 1,
    })
}

/// An edited filesystem as it was and as it is staged.
struct Pair<'a> {
    id: &'a VolumeId,
    driver: &'static FsDriver,
    before: Arc<dyn ReadBlocks>,
    after: Arc<dyn ReadBlocks>,
}

impl<'a> Pair<'a> {
    fn new(
        filesystem: &'a PlannedFilesystem,
        before: Arc<dyn ReadBlocks>,
        after: Arc<dyn ReadBlocks>,
    ) -> Result<Self, ApplyError> {
        let id = &filesystem.volume;
        let driver = fs::probe(&*after)
            .map_err(|source| ApplyError::fs(id, source))?
            .filter(|driver| driver.name == filesystem.driver)
            .ok_or_else(|| ApplyError::WrongImage(format!("{id} is no {}", filesystem.driver)))?;
        Ok(Self { id, driver, before, after })
    }

    fn failed(&self, source: fs::FsError) -> ApplyError {
        ApplyError::fs(self.id, source)
    }

    fn not_as_planned(&self, findings: Vec<Finding>, more: u64) -> ApplyError {
        ApplyError::NotAsPlanned { volume: self.id.clone(), findings, more }
    }

    /// The tree differs from what it was by the plan's changes and by nothing else.
    fn compare(&self, plan: &Plan, level: VerifyLevel) -> Result<Proof, ApplyError> {
        let Self { id, driver, before, after } = self;
        let failed = |source| self.failed(source);
        let old = (driver.open)(before.clone()).map_err(failed)?;
        let new = (driver.open)(after.clone()).map_err(failed)?;
        let (judges, why_not_independent) = judges(driver, before, after).map_err(failed)?;
        let (old_judge, new_judge) = match &judges {
            Some((old, new)) => (Some(&**old), Some(&**new)),
            None => (None, None),
        };
        let renewed = plan.volumes.iter().find(|change| change.volume == **id);
        // Another UUID changes what every object's checksum begins with.
        let level = if renewed.is_some() { level.at_least(VerifyLevel::Names) } else { level };
        let changes = plan
            .changes
            .iter()
            .filter(|change| change.volume == **id)
            .map(|change| (&change.fs_path, &change.action));
        let Comparison { findings, more, paths, directories, own_looks, unread } = compare(
            Witness { own: &*old, judge: old_judge },
            Witness { own: &*new, judge: new_judge },
            Expected::new(changes, plan.now),
            level,
        );
        if !findings.is_empty() {
            return Err(self.wrong_result(findings, more)?);
        }
        let uuid = match renewed.map(|change| &change.action) {
            Some(VolumeAction::SetUuid { to, .. }) => Some(to.clone()),
            _ => old.info().uuid,
        };
        if new.info().uuid != uuid || old.info().label != new.info().label {
            let problem = "the filesystem's UUID or label is not the planned one".to_owned();
            return Err(self.not_as_planned(at_root([problem]), 0));
        }
        let by = if judges.is_some() { driver.judge_name } else { "this program's own reader" };
        Ok(Proof {
            volume: (*id).clone(),
            by: by.to_owned(),
            why_not_independent,
            paths,
            directories,
            own_looks,
            unread,
            accounting: driver.check.is_some(),
        })
    }

    /// The filesystem's own accounting adds up.
    fn account(&self) -> Result<(), ApplyError> {
        let Some(check) = self.driver.check else {
            return Ok(());
        };
        let mut wrong = check(&*self.after).map_err(|source| self.failed(source))?;
        if !wrong.is_empty() {
            // What was wrong before is not the edit's doing, as long as it is no worse.
            let known = check(&*self.before).map_err(|source| self.failed(source))?;
            wrong.retain(|it| !known.contains(it));
        }
        if wrong.is_empty() { Ok(()) } else { Err(self.wrong_result(at_root(wrong), 0)?) }
    }

    /// Why the result is not as planned: an editor that was led astray by what is wrong on the disk
    /// is not to blame.
    fn wrong_result(&self, findings: Vec<Finding>, more: u64) -> Result<ApplyError, ApplyError> {
        let found = inconsistency(self.driver, &self.before).map_err(|it| self.failed(it))?;
        Ok(match found {
            Some(problem) => ApplyError::Inconsistent { volume: self.id.clone(), problem },
            None => self.not_as_planned(findings, more),
        })
    }
}

/// Problems of a filesystem as a whole.
fn at_root(problems: impl IntoIterator<Item = String>) -> Vec<Finding> {
    let root = GuestPath::root;
    problems.into_iter().map(|problem| Finding { path: root(), problem }).collect()
}

/// What is wrong with a filesystem as it was before the edit: what an edit of nothing comes upon, or
/// leaves wrong.
fn inconsistency(
    driver: &FsDriver,
    before: &Arc<dyn ReadBlocks>,
) -> Result<Option<String>, fs::FsError> {
    let Some(edit) = driver.edit else { return Ok(None) };
    let options = EditOptions { now: Timestamp::default(), keep_free_space: false };
    let overlay = Arc::new(Overlay::new(before.clone()));
    let edited = edit(overlay.clone(), &options).and_then(|editor| editor.finish());
    match (edited, driver.check) {
        (Err(error @ fs::FsError::Corrupt(_)), _) => Ok(Some(error.to_string())),
        (Err(error), _) => Err(error),
        (Ok(_), Some(check)) => Ok(check(&*overlay)?.into_iter().next()),
        (Ok(_), None) => Ok(None),
    }
}

type Judges = (Box<dyn Judge>, Box<dyn Judge>);

/// The independent reader on both states, or why there is none.
fn judges(
    driver: &FsDriver,
    before: &Arc<dyn ReadBlocks>,
    after: &Arc<dyn ReadBlocks>,
) -> Result<(Option<Judges>, Option<String>), fs::FsError> {
    let Some(open) = driver.judge else {
        return Ok((None, Some(format!("there is none for {}", driver.name))));
    };
    match open(before.clone()) {
        Ok(old) => Ok((Some((old, open(after.clone())?)), None)),
        Err(fs::FsError::Unsupported(what)) => {
            Ok((None, Some(format!("{} cannot read {what}", driver.judge_name))))
        }
        Err(error) => Ok((None, Some(format!("{} cannot read it: {error}", driver.judge_name)))),
    }
}

/// The first byte of `start..end` in which two disks differ.
fn differ(
    before: &dyn ReadBlocks,
    after: &dyn ReadBlocks,
    start: u64,
    end: u64,
) -> Result<Option<u64>, ApplyError> {
    let mut at = start;
    let (mut old, mut new) = (Vec::new(), Vec::new());
    while at < end {
        let (a, b) = (before.extent_at(at)?, after.extent_at(at)?);
        let step = a.len().min(b.len()).min(end - at);
        if let (Extent::Zero(_), Extent::Zero(_)) = (a, b) {
            at += step;
            continue;
        }
        let step = step.min(CHUNK);
        old.resize(step as usize, 0);
        new.resize(step as usize, 0);
        before.read_at(at, &mut old)?;
        after.read_at(at, &mut new)?;
        if let Some(n) = old.iter().zip(&new).position(|(old, new)| old != new) {
            return Ok(Some(at + n as u64));
        }
        at += step;
    }
    Ok(None)
}

impl Verified<'_> {
    /// What each filesystem was proved by.
    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// Writes the staged image in place. A crash at any instant leaves the old image or the new
    /// one, once a recovery has run.
    ///
    /// # Errors
    /// The image was opened for reading only; as [`commit::commit`].
    pub fn commit(self) -> Result<Committed, ApplyError> {
        if self.image.access() != Access::Seal {
            return Err(ApplyError::NotWritable);
        }
        let file = self.image.file().try_clone().map_err(ApplyError::Host)?;
        check_file_size_limit(ReadBlocks::len(&*self.overlay)).map_err(ApplyError::Host)?;
        let mut host = FileHost::new(self.image.path(), file).map_err(ApplyError::Host)?;
        let before = host.size().map_err(ApplyError::Host)?;
        let written = commit::commit(&mut host, &self.overlay)?;
        let after = host.size().map_err(ApplyError::Host)?;
        Ok(self.done(written, before, after))
    }

    /// Writes the staged disk to a new file; the image stays as it is.
    ///
    /// # Errors
    /// [`ApplyError::LogOfAnother`] when a log lies where the new image's would; what reading or
    /// writing says; the new file is there only when it is whole.
    pub fn export(
        self,
        to: &Path,
        format: Format,
        options: &ExportOptions,
    ) -> Result<Committed, ApplyError> {
        let started = Instant::now();
        no_log_beside(to)?;
        let disk = self.image.reopen(self.overlay.clone())?;
        let Exported { file_size, allocated } = export(&*disk, to, format, options)?;
        let before = Size { file: self.image.file_size(), allocated: self.image.allocated_size() };
        let after = Size { file: file_size, allocated };
        let written =
            Written { bytes: allocated, writing: started.elapsed(), ..Written::default() };
        Ok(self.done(written, before, after))
    }

    fn done(self, written: Written, before: Size, after: Size) -> Committed {
        let Written { log_bytes, bytes, punched, logging, writing } = written;
        Committed {
            level: self.level,
            proofs: self.proofs,
            replanned: self.replanned,
            unsettled: self.unsettled,
            freed: self.freed,
            bytes_written: bytes,
            bytes_punched: punched,
            log_bytes,
            before,
            after,
            timings: Timings { log: logging, write: writing, ..self.timings },
        }
    }
}
