//! Plans as files: saved by `audit`, applied by `seal`, and planned again to prove the result.

use std::fs;
use std::path::{Path, PathBuf};

use sysprep_rs::image::Image;
use sysprep_rs::operation::Operation;
use sysprep_rs::plan::{PLAN_BYTES, Plan};
use sysprep_rs::text_file;

use super::catalogue;
use super::failure::Failure;
use super::opened::Opened;
use super::own_files;

/// Writes a plan to a file, which is never one that the image is read from.
pub(crate) fn save(plan: &Plan, file: &Path, image: &Image) -> Result<(), Failure> {
    own_files::refuse("--save-plan", file, image)?;
    own_files::in_a_folder(file)?;
    let json = plan.to_json().map_err(Failure::new)?;
    if json.len() as u64 > PLAN_BYTES {
        let problem = format!(
            "the plan is longer than {PLAN_BYTES} bytes, and 'seal --plan' reads no longer one; \
             seal without a plan file"
        );
        return Err(Failure::at(file, problem));
    }
    fs::write(file, json).map_err(|it| Failure::at(file, it))
}

/// Reads a plan.
pub(crate) fn load(file: &Path) -> Result<Plan, Failure> {
    let text = text_file::read(file, PLAN_BYTES).map_err(|it| Failure::at(file, it))?;
    Plan::from_json(&text).map_err(|it| Failure::new(format!("{}:{it}", file.display())))
}

/// The operations to plan again with once the plan is applied; the inner error is why that would
/// prove nothing about this plan.
pub(crate) fn operations(
    plan: &Plan,
    opened: &Opened,
    folders: &[PathBuf],
) -> Result<Result<Vec<Operation>, String>, Failure> {
    let catalogue = catalogue::load(folders)?;
    let mut operations = Vec::new();
    for planned in &plan.operations {
        let name = &planned.name;
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
    // A plan that was shortened by hand leaves on purpose what its operations would change.
    Ok(match opened.plan(&operations, plan.now, plan.keep_free_space) {
        Ok(same) if same.changes == plan.changes => Ok(operations),
        Ok(_) => Err("the plan is not all that its operations would change".into()),
        Err(error) => Err(error.to_string()),
    })
}
