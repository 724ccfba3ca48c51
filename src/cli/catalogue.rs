//! `operations`, `check` and `schema`: what operations there are and how one is written.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use sysprep_rs::operation::{self, Catalogue, CatalogueError, LoadError, Operation};
use sysprep_rs::printable;

use super::args::{CheckArgs, OperationsArgs, SchemaArgs};
use super::failure::Failure;
use super::{explain, out};

/// The embedded catalogue with the user's folders laid over it.
pub(crate) fn load(folders: &[PathBuf]) -> Result<Catalogue, Failure> {
    let embedded = Catalogue::embedded().map_err(failed)?;
    folders
        .iter()
        .try_fold(embedded, |catalogue, folder| catalogue.with_dir(folder).map_err(failed))
}

fn failed(error: CatalogueError) -> Failure {
    match error {
        CatalogueError::Load(errors) => Failure::lines(errors.iter().flat_map(LoadError::lines)),
        error => Failure::new(error),
    }
}

/// The list as virt-sysprep prints it: name, a star where it runs by default, what it does.
pub(crate) fn list(folders: &[PathBuf], json: bool) -> Result<ExitCode, Failure> {
    let catalogue = load(folders)?;
    if json {
        out::json(&catalogue.operations().map(Operation::describe).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = catalogue.operations().map(|it| it.name.len()).max().unwrap_or(0);
    let text: String = catalogue
        .operations()
        .map(|it| {
            let star = if it.default { '*' } else { ' ' };
            format!("{:<width$} {star} {}\n", it.name, it.summary)
        })
        .collect();
    out::text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `operations [NAME]`.
pub(crate) fn operations(args: &OperationsArgs) -> Result<ExitCode, Failure> {
    let catalogue = load(&args.operations_dir)?;
    let Some(name) = &args.name else {
        if args.markdown {
            out::text(&markdown(&catalogue))?;
            return Ok(ExitCode::SUCCESS);
        }
        return list(&args.operations_dir, args.json.json);
    };
    let Some(operation) = catalogue.get(name) else {
        if name == operation::CUSTOMIZE {
            let why = "'customize' is made of flags of 'seal' and 'audit', such as --write; their \
                       --help lists them";
            return Err(Failure::usage(why));
        }
        if let Some(why) = operation::not_here(name) {
            return Err(Failure::usage(why));
        }
        let near = operation::nearest(name, catalogue.operations().map(|it| it.name.as_str()));
        let hint = match near.as_slice() {
            [] => "'sysprep-rs operations' lists them".to_owned(),
            near => format!("did you mean {}?", near.join(", ")),
        };
        return Err(Failure::usage(format!("there is no operation '{name}'; {hint}")));
    };
    if args.json.json {
        out::json(&operation.describe())?;
    } else {
        out::text(&explain::operation(operation))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn markdown(catalogue: &Catalogue) -> String {
    let mut text = String::from("| operation | default | what it does |\n|---|---|---|\n");
    for it in catalogue.operations() {
        let default = if it.default { "yes" } else { "" };
        text.push_str(&format!("| {} | {default} | {} |\n", it.name, it.summary));
    }
    text
}

/// One problem in one file, for `check --json`; without a place where the file cannot be read.
#[derive(Serialize)]
struct Found {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    message: String,
}

/// `check FILE…`: every problem of every file.
pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let mut found = Vec::new();
    for file in &args.files {
        match operation::load_file(file) {
            Ok(operation) if !args.json.json => {
                let steps = operation.steps.len();
                let steps = if steps == 1 { "1 step".into() } else { format!("{steps} steps") };
                let file = file.display().to_string();
                let file = printable::line(&file);
                out::text(&format!("{file}: {} is valid, {steps}\n", operation.name))?;
            }
            Ok(_) => {}
            Err(CatalogueError::Load(errors)) => {
                for error in errors {
                    found.extend(error.problems.into_iter().map(|problem| Found {
                        file: error.file.clone(),
                        line: Some(problem.at.line),
                        column: Some(problem.at.column),
                        message: problem.message,
                    }));
                }
            }
            Err(CatalogueError::Read(path, error)) => found.push(Found {
                file: path.display().to_string(),
                line: None,
                column: None,
                message: error.to_string(),
            }),
        }
    }
    if args.json.json {
        out::json(&found)?;
    } else {
        for Found { file, line, column, message } in &found {
            let place = line.zip(*column).map(|(line, column)| format!(":{line}:{column}"));
            out::note(format_args!("{file}{}: {message}", place.unwrap_or_default()));
        }
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `schema`.
pub(crate) fn schema(args: &SchemaArgs) -> Result<ExitCode, Failure> {
    if args.markdown {
        out::text(&operation::markdown())?;
        return Ok(ExitCode::SUCCESS);
    }
    out::json(&operation::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
