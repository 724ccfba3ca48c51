//! A tree of directories: its records (ECMA-119, section 9.1) and its path tables (section 9.4).
//!
//! A volume has two over the same files: the one every reader knows, with Rock Ridge beside it, and
//! Joliet's.

use super::field::{both16, both32, short_date};
use super::name::{self, Plain};
use super::{BLOCK, rock_ridge};
use crate::fs::Timestamp;

/// A folder of the volume, by its place in a list that begins with the root.
pub(super) struct Folder<'a> {
    /// Its name; the root has none.
    pub(super) name: &'a str,
    /// The folder it is in; the root is in itself.
    pub(super) parent: usize,
}

/// A file of the volume.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    /// The folder it is in.
    pub(super) folder: usize,
    pub(super) extent: Extent,
}

/// Where something lies: its first block, and its length in bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) block: u32,
    pub(super) len: u32,
}

/// One of a volume's trees.
pub(super) struct Hierarchy<'a> {
    joliet: bool,
    /// In the path table's order: by level, then by the directory above, then by identifier.
    directories: Vec<Directory<'a>>,
    /// Where the path tables begin: with the low byte first, with the high byte first.
    tables: (u32, u32),
}

struct Directory<'a> {
    /// The folder's name.
    name: &'a str,
    identifier: Vec<u8>,
    /// The number in the order of the one it is in; the root's own.
    parent: usize,
    /// Of which folder it is.
    folder: usize,
    /// How many directories are in it.
    directories: usize,
    entries: Vec<Entry>,
    extent: Extent,
}

/// What a record in a directory is of, without `.` and `..`.
struct Entry {
    identifier: Vec<u8>,
    of: Of,
}

#[derive(Clone, Copy)]
enum Of {
    /// A file, by its place in the list of files.
    File(usize),
    /// A folder, by its number in the path table's order.
    Directory(usize),
}

impl<'a> Hierarchy<'a> {
    pub(super) fn new(folders: &[Folder<'a>], files: &[File<'_>], joliet: bool) -> Self {
        let root = Directory::new("", vec![0], 0, 0);
        let mut directories = vec![root];
        let mut number = 0;
        // Each directory in turn, whose own directories go behind all that are there already.
        while let Some(directory) = directories.get(number) {
            let folder = directory.folder;
            let mut names = Plain::new();
            let mut identifier = |name: &str, is_directory| match joliet {
                true => name::ucs2(name),
                false => names.identifier(name, is_directory),
            };
            let below = folders.iter().enumerate().skip(1).filter(|(_, it)| it.parent == folder);
            let mut children: Vec<(Vec<u8>, Result<usize, usize>)> =
                below.map(|(at, it)| (identifier(it.name, true), Err(at))).collect();
            let within = files.iter().enumerate().filter(|(_, it)| it.folder == folder);
            children.extend(within.map(|(at, it)| (identifier(it.name, false), Ok(at))));
            children.sort_by_key(|(identifier, _)| name::order(identifier));
            let mut entries = Vec::new();
            for (identifier, child) in children {
                let of = match child {
                    Ok(file) => Of::File(file),
                    Err(folder) => {
                        let name = folders[folder].name;
                        let it = Directory::new(name, identifier.clone(), number, folder);
                        directories.push(it);
                        Of::Directory(directories.len() - 1)
                    }
                };
                entries.push(Entry { identifier, of });
            }
            let is_directory = |entry: &&Entry| matches!(entry.of, Of::Directory(_));
            directories[number].directories = entries.iter().filter(is_directory).count();
            directories[number].entries = entries;
            number += 1;
        }
        Self { joliet, directories, tables: (0, 0) }
    }

    /// Gives path tables and directories their places from `next` on.
    pub(super) fn place(&mut self, files: &[File<'_>], next: &mut u32) {
        let mut take = |len: u32| {
            let block = *next;
            *next += len.div_ceil(BLOCK as u32);
            Extent { block, len }
        };
        let table = self.path_table_size();
        self.tables = (take(table).block, take(table).block);
        for number in 0..self.directories.len() {
            // How long it is does not depend on what the records say.
            let len = self.directory(number, files, Timestamp::default(), 0).len();
            self.directories[number].extent = take(u32::try_from(len).unwrap_or(u32::MAX));
        }
    }

    /// The first blocks of the path tables.
    pub(super) fn path_tables(&self) -> (u32, u32) {
        self.tables
    }

    /// How long each path table is, in bytes.
    pub(super) fn path_table_size(&self) -> u32 {
        u32::try_from(self.path_table(|_| [0; 4], |_| [0; 2]).len()).unwrap_or(u32::MAX)
    }

    /// The record of the root that a volume descriptor holds.
    pub(super) fn root_record(&self, now: Timestamp) -> Vec<u8> {
        record(&[0], self.directories[0].extent, true, now, &[])
    }

    /// Every path table and directory with the block it begins in. `continuation` is where the
    /// root's own record goes on.
    pub(super) fn bytes(
        &self,
        files: &[File<'_>],
        now: Timestamp,
        continuation: u32,
    ) -> Vec<(u32, Vec<u8>)> {
        let little = self.path_table(u32::to_le_bytes, u16::to_le_bytes);
        let big = self.path_table(u32::to_be_bytes, u16::to_be_bytes);
        let mut all = vec![(self.tables.0, little), (self.tables.1, big)];
        for (number, directory) in self.directories.iter().enumerate() {
            let bytes = self.directory(number, files, now, continuation);
            all.push((directory.extent.block, bytes));
        }
        all
    }

    fn path_table(&self, long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mut table = Vec::new();
        for directory in &self.directories {
            let parent = u16::try_from(directory.parent + 1).unwrap_or(u16::MAX);
            table.extend([u8::try_from(directory.identifier.len()).unwrap_or(u8::MAX), 0]);
            table.extend(long(directory.extent.block));
            table.extend(short(parent));
            table.extend(&directory.identifier);
            if !directory.identifier.len().is_multiple_of(2) {
                table.push(0);
            }
        }
        table
    }

    /// A directory's records, none of which lies across the end of a block.
    fn directory(
        &self,
        number: usize,
        files: &[File<'_>],
        now: Timestamp,
        continuation: u32,
    ) -> Vec<u8> {
        let own = &self.directories[number];
        let above = &self.directories[own.parent];
        let system_use = |bytes: Vec<u8>| if self.joliet { Vec::new() } else { bytes };
        let first = match number {
            0 => rock_ridge::root(own.links(), now, continuation),
            _ => rock_ridge::unnamed(own.links(), now),
        };
        let mut records = vec![
            record(&[0], own.extent, true, now, &system_use(first)),
            record(
                &[1],
                above.extent,
                true,
                now,
                &system_use(rock_ridge::unnamed(above.links(), now)),
            ),
        ];
        for entry in &own.entries {
            records.push(match entry.of {
                Of::File(at) => {
                    let beside = system_use(rock_ridge::file(files[at].name, now));
                    record(&entry.identifier, files[at].extent, false, now, &beside)
                }
                Of::Directory(at) => {
                    let it = &self.directories[at];
                    let beside = system_use(rock_ridge::directory(it.name, it.links(), now));
                    record(&entry.identifier, it.extent, true, now, &beside)
                }
            });
        }
        let mut bytes = Vec::new();
        for record in records {
            if bytes.len() % BLOCK + record.len() > BLOCK {
                bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            }
            bytes.extend(record);
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

impl<'a> Directory<'a> {
    fn new(name: &'a str, identifier: Vec<u8>, parent: usize, folder: usize) -> Self {
        let (entries, extent) = (Vec::new(), Extent::default());
        Self { name, identifier, parent, folder, directories: 0, entries, extent }
    }

    /// Its name above, its own `.`, and a `..` in each directory in it.
    fn links(&self) -> u32 {
        u32::try_from(self.directories + 2).unwrap_or(u32::MAX)
    }
}

/// A directory record (section 9.1).
fn record(
    identifier: &[u8],
    extent: Extent,
    is_directory: bool,
    now: Timestamp,
    system_use: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(both32(extent.block));
    bytes.extend(both32(extent.len));
    bytes.extend(short_date(now));
    bytes.extend([if is_directory { 2 } else { 0 }, 0, 0]);
    bytes.extend(both16(1));
    bytes.push(u8::try_from(identifier.len()).unwrap_or(u8::MAX));
    bytes.extend(identifier);
    if identifier.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes.extend(system_use);
    if !bytes.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes[0] = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    bytes
}
