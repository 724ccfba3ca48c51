//! The operations there are: those in the binary, and the user's own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::expression::Author;
use super::load::Operation;
use crate::problem::{At, LoadError, Problem, did_you_mean};
use crate::text_file;

/// `(file, text)` of every file under `operations/`.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/operations.rs"));

/// An operation is a page of text; a file beyond this is something else.
const FILE_BYTES: u64 = 1 << 20;

/// Folders below folders that are looked into, so that a loop of symlinks ends.
const FOLDER_DEPTH: usize = 8;

/// Every operation by name, its self-checks passed.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    operations: BTreeMap<String, Operation>,
}

/// Why a catalogue cannot be had.
#[derive(Debug)]
pub enum CatalogueError {
    /// A file or folder cannot be read.
    Read(PathBuf, io::Error),
    /// Files that are no operations, each with all its problems.
    Load(Vec<LoadError>),
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Load(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    error.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for CatalogueError {}

/// Reads files side by side: a YAML parser takes longer for the catalogue than an audit does.
fn read_all(files: &[(String, String)], author: Author) -> Vec<Result<Operation, LoadError>> {
    let read = |files: &[(String, String)]| -> Vec<_> {
        files.iter().map(|(file, text)| Operation::by(author, file, text)).collect()
    };
    let (first, second) = files.split_at(files.len() / 2);
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, || read(second));
        let mut all = read(first);
        all.extend(match other.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(rest)) => rest,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // No thread to be had.
            Err(_) => read(second),
        });
        all
    })
}

impl Catalogue {
    /// The operations in the binary.
    ///
    /// # Errors
    /// One of them is wrong: a defect of the build, which a test rules out.
    pub fn embedded() -> Result<Self, CatalogueError> {
        let files = EMBEDDED.iter().map(|&(file, text)| (file.to_owned(), text.to_owned()));
        let mut catalogue = Self::default();
        catalogue.add(files, Author::Program)?;
        Ok(catalogue)
    }

    /// Adds the operations of a folder and those below it (`*.yaml`, `*.yml`); one whose name is
    /// in the catalogue takes its place.
    ///
    /// # Errors
    /// A file that cannot be read or is no operation; two files with the same name in them.
    pub fn with_dir(mut self, folder: &Path) -> Result<Self, CatalogueError> {
        let mut paths = Vec::new();
        collect(folder, FOLDER_DEPTH, &mut paths)?;
        paths.sort();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            files.push((path.display().to_string(), read(&path)?));
        }
        self.add(files.into_iter(), Author::User)?;
        Ok(self)
    }

    /// Adds the operation that flags are made into.
    ///
    /// # Errors
    /// A text for the caller: an operation of that name is there, the user's own.
    pub fn customized(&mut self, operation: Operation) -> Result<(), String> {
        if let Some(own) = self.operations.get(&operation.name) {
            return Err(format!(
                "the operation '{}' in {} has the name of the one that flags such as --write make; \
                 give it another",
                own.name, own.file
            ));
        }
        self.operations.insert(operation.name.clone(), operation);
        Ok(())
    }

    fn add(
        &mut self,
        files: impl Iterator<Item = (String, String)>,
        author: Author,
    ) -> Result<(), CatalogueError> {
        let mut added: BTreeMap<String, Operation> = BTreeMap::new();
        let mut errors = Vec::new();
        let files: Vec<_> = files.collect();
        for ((file, _), read) in files.iter().zip(read_all(&files, author)) {
            match read {
                Ok(operation) => match added.get(&operation.name) {
                    Some(other) => {
                        let message =
                            format!("the operation '{}' is in {} too", operation.name, other.file);
                        let problem = Problem::new(At { line: 1, column: 1 }, message);
                        errors.push(LoadError::new(file, vec![problem]));
                    }
                    None => {
                        added.insert(operation.name.clone(), operation);
                    }
                },
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(CatalogueError::Load(errors));
        }
        self.operations.extend(added);
        Ok(())
    }

    /// Every operation, by name.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// The operation of that name.
    pub fn get(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// Takes `--set NAME=VALUE`; NAME is a parameter that one operation declares, or
    /// `OPERATION.PARAMETER`.
    ///
    /// # Errors
    /// A text for the caller: no `=`, no such parameter, several operations that declare it, or
    /// a value that does not fit.
    pub fn set(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("--set '{setting}': write NAME=VALUE"))?;
        let (operation, parameter) = match name.split_once('.') {
            Some((operation, parameter)) => (operation.to_owned(), parameter),
            None => (self.declaring(name)?, name),
        };
        let near = || did_you_mean(&operation, self.operations.keys().map(String::as_str));
        let unknown = format!(
            "--set: '{operation}' is not a known operation{}; 'sysprep-rs operations' lists them",
            near()
        );
        self.operations
            .get_mut(&operation)
            .ok_or(unknown)?
            .set(parameter, value)
            .map_err(|wrong| format!("--set: {wrong}"))
    }

    fn declaring(&self, parameter: &str) -> Result<String, String> {
        let declares = |it: &&Operation| it.parameters.iter().any(|it| it.name == parameter);
        let found: Vec<&str> =
            self.operations().filter(declares).map(|it| it.name.as_str()).collect();
        match found.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => {
                let known = self.operations().flat_map(|it| &it.parameters);
                let near = did_you_mean(parameter, known.map(|it| it.name.as_str()));
                Err(format!(
                    "--set: no operation has a parameter '{parameter}'{near}; 'sysprep-rs operations \
                     NAME' lists those of one"
                ))
            }
            several => Err(format!(
                "--set: {} each have a parameter '{parameter}'; write OPERATION.{parameter}=VALUE",
                several.join(" and ")
            )),
        }
    }
}

/// Reads one operation's file (`sysprep-rs check FILE.yaml`).
///
/// # Errors
/// The file cannot be read, or every problem it has.
pub fn load_file(path: &Path) -> Result<Operation, CatalogueError> {
    let text = read(path)?;
    Operation::from_yaml(&path.display().to_string(), &text)
        .map_err(|error| CatalogueError::Load(vec![error]))
}

fn read(path: &Path) -> Result<String, CatalogueError> {
    text_file::read(path, FILE_BYTES).map_err(|error| CatalogueError::Read(path.to_owned(), error))
}

fn collect(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) -> Result<(), CatalogueError> {
    let failed =
        |error| CatalogueError::Read(folder.to_owned(), text_file::absent(error, "no such folder"));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, into)?;
            }
        } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_in_the_binary_is_one() {
        for (file, text) in EMBEDDED {
            Operation::by(Author::User, file, text).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
