//! `--cloud-init`: files of the host that become one seed.

use std::path::Path;

use serde_json::{Value as Json, json};
use sysprep_rs::seed::{BadSeed, Seed, SeedFile};

/// What makes cloud-init's check of the files ours to leave out.
const UNCHECKED: &str = "unchecked";

/// The files that were given, in the order of the command line.
#[derive(Clone, Default)]
pub(super) struct SeedFiles {
    files: Vec<(SeedFile, String)>,
    unchecked: bool,
}

impl SeedFiles {
    /// These.
    pub(super) fn of(files: &[(SeedFile, &Path)], unchecked: bool) -> Result<Self, String> {
        let named = |(kind, path): &(SeedFile, &Path)| {
            let text = path.to_str().ok_or(format!("{}: its name is no text", path.display()))?;
            Ok((*kind, text.to_owned()))
        };
        let files = files.iter().map(named).collect::<Result<_, String>>()?;
        Ok(Self { files, unchecked })
    }

    /// Takes a flag's value: `user-data=FILE,meta-data=FILE,…`.
    pub(super) fn take(&mut self, value: &str) -> Result<(), String> {
        for part in value.split(',') {
            if part == UNCHECKED {
                self.unchecked = true;
                continue;
            }
            let (name, file) = part.split_once('=').ok_or_else(|| {
                format!("'{part}': write user-data=FILE,meta-data=FILE,… without commas in names")
            })?;
            let kind = SeedFile::named(name)?;
            if file.is_empty() {
                return Err(format!("'{part}' names no file"));
            }
            if self.files.iter().any(|it| it.0 == kind) {
                return Err(format!("{name} is given twice"));
            }
            self.files.push((kind, file.to_owned()));
        }
        Ok(())
    }

    /// The step that they are; `None` without any.
    pub(super) fn step(&self) -> Result<Option<Json>, String> {
        if self.files.is_empty() {
            return match self.unchecked {
                true => Err(format!("'{UNCHECKED}' without a file")),
                false => Ok(None),
            };
        }
        let mut fields = json!({ "check": !self.unchecked });
        for (kind, file) in &self.files {
            fields[format!("{}-file", kind.name())] = json!(file);
        }
        Ok(Some(json!({ "seed": fields })))
    }

    /// Reads them, as the step does: what is to be known of them.
    pub(super) fn read(&self) -> Result<Vec<String>, BadSeed> {
        let files = self.files.iter().map(|(kind, file)| (*kind, Path::new(file)));
        let seed = if self.unchecked { Seed::read_unchecked(files) } else { Seed::read(files) };
        Ok(seed?.notes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_name_files() {
        let mut files = SeedFiles::default();
        files.take("user-data=a=b,meta-data=/c").unwrap();
        files.take("vendor-data=d,unchecked").unwrap();
        let fields = files.step().unwrap().unwrap()["seed"].clone();
        let wanted = json!({
            "check": false,
            "user-data-file": "a=b",
            "meta-data-file": "/c",
            "vendor-data-file": "d",
        });
        assert_eq!(fields, wanted);
        for (wrong, part) in [
            ("user-data=e", "given twice"),
            ("userdata=e", "did you mean 'user-data'?"),
            ("network-config=", "names no file"),
            ("/etc/passwd", "without commas"),
        ] {
            let error = files.take(wrong).unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
        let mut none = SeedFiles::default();
        assert!(none.step().unwrap().is_none());
        none.take("unchecked").unwrap();
        assert!(none.step().is_err());
    }
}
