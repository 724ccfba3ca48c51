//! What cloud-init is told about a guest: user-data and its like, as a NoCloud seed holds them.
//!
//! A [`Seed`] is read from files of the host and checked as a whole before anything is written.
//! Where it goes is for others to say: a directory of the guest, or a volume of its own.

mod address;
mod cloud_config;
mod gzip;
mod jinja;
mod meta_data;
mod mime;
mod network;
mod said;
mod schema;
mod user_data;

pub mod volume;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use crate::problem::{LoadError, did_you_mean};
use crate::text_file;
use said::Said;

/// The longest file of a seed, in bytes. cloud-init has no limit; the services that hand out
/// user-data take 16 to 64 KiB, and a plan holds the content.
pub const FILE_BYTES: u64 = 4 << 20;

/// How many problems of one file are told; the first show what to do about the rest.
const PROBLEMS: usize = 100;

/// A file of a seed, by cloud-init's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeedFile {
    /// What the machine is to become: cloud-config, a script, …
    UserData,
    /// Which machine it is: `instance-id`, `local-hostname`.
    MetaData,
    /// How its network is set up, in cloud-init's version 1 or 2 (netplan's).
    NetworkConfig,
    /// The same as user-data, from whoever makes the image; user-data goes over it.
    VendorData,
}

impl SeedFile {
    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::UserData, Self::MetaData, Self::NetworkConfig, Self::VendorData];

    /// Its name, which is the file's name in a NoCloud seed, too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserData => "user-data",
            Self::MetaData => "meta-data",
            Self::NetworkConfig => "network-config",
            Self::VendorData => "vendor-data",
        }
    }

    /// The one of this name.
    ///
    /// # Errors
    /// A text for the caller, with the names there are.
    pub fn named(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let near = did_you_mean(name, names);
            format!("a seed has no '{name}'{near} (it has {})", names.join(", "))
        })
    }
}

/// A seed whose every file was found right.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Seed {
    files: BTreeMap<SeedFile, Vec<u8>>,
    notes: Vec<String>,
}

impl fmt::Debug for Seed {
    /// The files without their content, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.files.iter().map(|(file, content)| (file.name(), content.len()));
        f.debug_map().entries(lengths).finish()
    }
}

/// Why files are no seed: all that is wrong with them.
#[derive(Debug)]
pub struct BadSeed(pub Vec<SeedError>);

/// What is wrong with one file of a seed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SeedError {
    /// It cannot be read, or is too long.
    Unreadable {
        /// The file as the caller named it.
        file: String,
        /// What the host says.
        why: io::Error,
    },
    /// It is not what cloud-init takes.
    Wrong(LoadError),
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, why } => write!(f, "{file}: {why}"),
            Self::Wrong(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SeedError {}

impl BadSeed {
    /// A line for each problem.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flat_map(|error| match error {
            SeedError::Wrong(error) => error.lines().collect(),
            other => vec![other.to_string()],
        })
    }
}

impl fmt::Display for BadSeed {
    /// A line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for BadSeed {}

impl Seed {
    /// Reads a seed from files of the host, and checks them.
    ///
    /// # Errors
    /// What is wrong with any of them.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (SeedFile, &'a Path)>,
    ) -> Result<Self, BadSeed> {
        Self::of(files, Self::add)
    }

    /// The same, whatever is in the files: for a cloud-init that takes other settings than the
    /// schema here has.
    ///
    /// # Errors
    /// Files that cannot be read, or are too long.
    pub fn read_unchecked<'a>(
        files: impl IntoIterator<Item = (SeedFile, &'a Path)>,
    ) -> Result<Self, BadSeed> {
        Self::of(files, |seed, file, _, content| {
            seed.add_unchecked(file, content);
            Ok(())
        })
    }

    fn of<'a>(
        files: impl IntoIterator<Item = (SeedFile, &'a Path)>,
        add: fn(&mut Self, SeedFile, &str, Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<Self, BadSeed> {
        let mut seed = Self::default();
        let mut errors = Vec::new();
        for (file, path) in files {
            let name = path.display().to_string();
            let added = match text_file::read_bytes(path, FILE_BYTES) {
                Ok(content) => add(&mut seed, file, &name, content).map_err(SeedError::Wrong),
                Err(why) => Err(SeedError::Unreadable { file: name, why }),
            };
            errors.extend(added.err());
        }
        if errors.is_empty() { Ok(seed) } else { Err(BadSeed(errors)) }
    }

    /// Checks a file's content and adds it, or takes it in place of the one that is there; `name`
    /// names it in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line and column.
    pub fn add(&mut self, file: SeedFile, name: &str, content: Vec<u8>) -> Result<(), LoadError> {
        let mut said = Said::default();
        match file {
            SeedFile::UserData | SeedFile::VendorData => user_data::check(&content, &mut said),
            SeedFile::MetaData => meta_data::check(&content, &mut said),
            SeedFile::NetworkConfig => network::check(&content, &mut said),
        }
        let Said { mut problems, mut notes } = said;
        if !problems.is_empty() {
            problems.truncate(PROBLEMS);
            return Err(LoadError::new(name, problems));
        }
        notes.sort();
        notes.truncate(PROBLEMS);
        self.notes.extend(LoadError::new(name, notes).lines());
        self.add_unchecked(file, content);
        Ok(())
    }

    /// Adds a file's content, whatever it is.
    pub fn add_unchecked(&mut self, file: SeedFile, content: Vec<u8>) {
        self.files.insert(file, content);
    }

    /// A file's content, where the seed has it.
    pub fn get(&self, file: SeedFile) -> Option<&[u8]> {
        self.files.get(&file).map(Vec::as_slice)
    }

    /// The files of a NoCloud seed, those included that cloud-init wants to be there: without
    /// `user-data` or `meta-data` it takes a folder for none.
    ///
    /// A `meta-data` that was not given names no instance. cloud-init calls it `nocloud` then, and
    /// a seed that comes to a clone by a volume of its own can still name it.
    pub fn nocloud(&self) -> impl Iterator<Item = (SeedFile, &[u8])> {
        SeedFile::ALL.into_iter().filter_map(|file| {
            let otherwise = match file {
                SeedFile::UserData => Some(&b""[..]),
                SeedFile::MetaData => Some(&b"{}\n"[..]),
                SeedFile::NetworkConfig | SeedFile::VendorData => None,
            };
            Some((file, self.get(file).or(otherwise)?))
        })
    }

    /// What cloud-init takes and will not for ever, `FILE:LINE:COLUMN: …` each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
