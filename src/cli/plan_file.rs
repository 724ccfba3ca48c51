//! Plans as files: saved by `audit`, applied by `seal`, and planned again to prove the result.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sysprep_rs::image::{Image, folder_of};
use sysprep_rs::operation::{CUSTOMIZE, Moves, Operation};
use sysprep_rs::plan::{self, Change, OperationOutcome, Outcome, PLAN_BYTES, Plan, VolumeChange};
use sysprep_rs::text_file;

use super::catalogue;
use super::failure::Failure;
use super::opened::{Asked, Opened};
use super::own_files;

/// Writes a plan to a file, which is never one that the image is read from.
pub(crate) fn save(plan: &Plan, file: &Path, image: &Image) -> Result<(), Failure> {
    own_files::refuse("--save-plan", file, image)?;
    own_files::in_a_folder(file)?;
    if own_files::is_standard_output(file) {
        return Err(Failure::usage("--save-plan writes a file; for one called '-' write ./-"));
    }
    if !may_replace(file) {
        let problem = "the file exists and is no plan; name another, or remove it first";
        return Err(Failure::at(file, problem));
    }
    let json = plan.to_json().map_err(Failure::new)?;
    if json.len() as u64 > PLAN_BYTES {
        let problem = format!(
            "the plan is longer than {PLAN_BYTES} bytes, and 'seal --plan' reads no longer one; \
             seal without a plan file"
        );
        return Err(Failure::at(file, problem));
    }
    write(file, json.as_bytes()).map_err(|it| Failure::at(file, it))
}

/// Writes a regular file under its name only once it is whole; anything else (a pipe, a terminal)
/// takes what is written.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // A pipe behind /dev/stdout has no name of its own, and is asked for before one is looked for.
    let file = match file.metadata() {
        Ok(it) if !it.is_file() => {
            return OpenOptions::new().write(true).open(file)?.write_all(bytes);
        }
        // What a symlink leads to is replaced, not the link.
        Ok(_) => file.canonicalize()?,
        Err(_) if file.is_symlink() => {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "a symlink that leads nowhere; name a file",
            ));
        }
        Err(_) => file.to_owned(),
    };
    // It holds what files are going to (password hashes, keys): tempfile makes it its owner's alone.
    let mut whole =
        tempfile::Builder::new().prefix(".sysprep-plan-").tempfile_in(folder_of(&file))?;
    whole.write_all(bytes)?;
    whole.as_file().sync_all()?;
    whole.persist(&file)?;
    Ok(())
}

/// Whether nothing but a plan is lost where a plan is written: what is no regular file loses
/// nothing, and an empty one neither.
fn may_replace(file: &Path) -> bool {
    match file.metadata() {
        Ok(it) if it.is_file() && it.len() > 0 => {
            text_file::read(file, PLAN_BYTES).is_ok_and(|text| Plan::from_json(&text).is_ok())
        }
        _ => true,
    }
}

/// Reads a plan.
pub(crate) fn load(file: &Path) -> Result<Plan, Failure> {
    let text = text_file::read(file, PLAN_BYTES).map_err(|it| Failure::at(file, it))?;
    Plan::from_json(&text).map_err(|it| Failure::new(format!("{}:{it}", file.display())))
}

/// A plan from a file, and what planning again says of it.
pub(crate) struct Approved {
    /// What is done: the file's changes, and nothing but what the file says.
    pub(crate) plan: Plan,
    /// What is told of it where it is not all that the file says: only the changes are the file's,
    /// the rest comes from planning again.
    pub(crate) told: Option<Plan>,
    /// The operations to plan again with once the plan is applied, or why that would prove nothing
    /// about this plan.
    pub(crate) operations: Result<Vec<Operation>, String>,
}

impl Approved {
    /// Plans again with the plan's own operations, and compares.
    ///
    /// A file says how much goes where, for people to approve: a file that says it wrongly is
    /// refused.
    pub(crate) fn new(
        plan: Plan,
        file: &Path,
        opened: &Opened,
        folders: &[PathBuf],
    ) -> Result<Self, Failure> {
        let again = operations(&plan, folders)?.and_then(|operations| {
            match opened.plan(&operations, Asked::again(&plan), plan.new_uuids()) {
                Ok(again) => Ok((operations, again)),
                Err(error) => Err(error.to_string()),
            }
        });
        let (operations, told) = match again {
            Ok((operations, again)) => {
                // A plan that was shortened by hand leaves on purpose what its operations would
                // change.
                let operations = if again.changes == plan.changes && again.volumes == plan.volumes {
                    Ok(operations)
                } else {
                    Err(SHORTENED.into())
                };
                let changes = attributed(&plan.changes, &again.changes);
                let filesystems = plan.filesystems.clone();
                let volumes = plan.volumes.clone();
                (operations, Some(Plan { changes, volumes, filesystems, ..again }))
            }
            Err(why) => (Err(why), None),
        };
        if operations.is_err() {
            check_counts(&plan, file, opened)?;
        }
        Ok(Self { plan, told, operations })
    }
}

/// Why planning again would not prove that a plan is done.
const SHORTENED: &str = "the plan is not all that its operations would change";

/// Whether all changes of an operation were taken out of a plan by hand: it says of each whether it
/// changes something.
fn is_shortened(plan: &Plan) -> bool {
    let idle = |it: &OperationOutcome| {
        let mine =
            |change: &VolumeChange| change.guest == it.guest && change.operation == it.operation;
        it.outcome == Outcome::Changed
            && plan.changes_by(it.guest, &it.operation).next().is_none()
            && !plan.volumes.iter().any(mine)
    };
    plan.outcomes.iter().any(idle)
}

/// The plan's own operations, where they are here; the inner error is which is not.
fn operations(plan: &Plan, folders: &[PathBuf]) -> Result<Result<Vec<Operation>, String>, Failure> {
    let catalogue = catalogue::load(folders)?;
    let mut operations = Vec::new();
    for planned in &plan.operations {
        let name = &planned.name;
        if name == CUSTOMIZE {
            return Ok(Err(match is_shortened(plan) {
                true => SHORTENED.into(),
                false => {
                    "'customize' is what flags asked for when the plan was made, and they are \
                          not here to say whether the plan is all of it"
                        .into()
                }
            }));
        }
        let Some(mut operation) = catalogue.get(name).cloned() else {
            return Ok(Err(format!("the operation '{name}' is not here (--operations-dir)")));
        };
        if operation.digest != planned.digest {
            return Ok(Err(format!("the operation '{name}' here is not the plan's")));
        }
        for (parameter, value) in &planned.parameters {
            if let Err(wrong) = operation.set(parameter, value) {
                return Ok(Err(wrong));
            }
        }
        operations.push(operation);
    }
    Ok(Ok(operations))
}

/// Changes with who asks for each, and why, from the same changes planned again.
fn attributed(changes: &[Change], again: &[Change]) -> Vec<Change> {
    let by_path: BTreeMap<_, _> = again.iter().map(|it| ((it.guest, &it.path), it)).collect();
    let attributed = |change: &Change| match by_path.get(&(change.guest, &change.path)) {
        Some(same) if same.action == change.action => Change { id: change.id, ..(*same).clone() },
        _ => change.clone(),
    };
    changes.iter().map(attributed).collect()
}

/// Makes sure that the plan counts what is there.
fn check_counts(plan: &Plan, file: &Path, opened: &Opened) -> Result<(), Failure> {
    for change in &plan.changes {
        let mine = plan.changes.iter().filter(|it| it.volume == change.volume);
        let moves = Moves::among(mine.map(|it| (&it.fs_path, &it.action)));
        let found = opened.disk.filesystems.iter().find(|it| it.volume == change.volume);
        // What is not there, or not as it was, is for staging to tell.
        let Some(Ok(fs)) = found.map(|it| &it.fs) else { continue };
        let Ok(seen) = plan::seen(&**fs, &moves, &change.fs_path, &change.action) else { continue };
        let counted = seen.objects == change.objects && seen.action == change.action;
        if seen.digest == change.before && !counted {
            return Err(Failure::at(
                file,
                format!(
                    "change {} says something else of {} than what is there; the file was edited, \
                     so plan again",
                    change.id, change.path
                ),
            ));
        }
    }
    Ok(())
}
