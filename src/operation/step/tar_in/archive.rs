//! Reading tar files: ustar, GNU tar's long names and pax
//! ([pax, "ustar Interchange Format"](https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html)).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use tar::{EntryType, Header};

use crate::fs::{Kind, NO_ID, Timestamp, Xattr};
use crate::operation::content;
use crate::operation::draft::{CHANGES, Extra, Owned};
use crate::operation::step::host_file::HostFile;

/// The unit of a tar file, in bytes.
const BLOCK: u64 = 512;

/// The longest extended header: names are at most some KiB, and of extended attributes Linux takes
/// 64 KiB each.
const MAX_EXTENDED: u64 = 1 << 20;

/// The longest name or link: Linux's `PATH_MAX`.
const MAX_NAME: usize = 4096;

/// How many bytes of extended attributes there are in all: a plan holds them.
const MAX_XATTRS: usize = 16 << 20;

/// What tells compressed files, and what they are.
const COMPRESSED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
];

/// One member.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its names below the directory that is unpacked into; none for that directory.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) body: Body,
    pub(super) owned: Owned,
    pub(super) extra: Extra,
    /// An extended attribute of it has a name that is not UTF-8, which no filesystem here stores.
    pub(super) unnamed: bool,
    /// It has other names among the members.
    pub(super) several: bool,
    /// A later member takes its place.
    pub(super) replaced: bool,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Body {
    File(HostFile),
    Directory,
    Symlink(Vec<u8>),
    Special(Kind, (u32, u32)),
    /// One more name of the file that is the member of this number.
    Link(usize),
}

/// Fields of extended headers.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// Reads the members of a tar file, of files where they lie in it.
///
/// # Errors
/// What the host says, what is no tar file or is not supported, with its place in the file.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let file = content::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let mut reader = Reader { file: BufReader::new(file), at: 0, size };
    let mut members = Members::default();
    let (mut global, mut local) = (Fields::new(), Fields::new());
    while let Some(header) = reader.header()? {
        let place = reader.at - BLOCK;
        let wrong = |problem: &str| format!("byte {place}: {problem}");
        let number = |field: io::Result<u64>| field.map_err(|error| wrong(&error.to_string()));
        let mut size = number(header.entry_size())?;
        let kind = header.entry_type();
        match kind {
            EntryType::XGlobalHeader => {
                let data = reader.data(size).map_err(|it| wrong(&it))?;
                global.extend(records(&data).ok_or_else(|| wrong("a pax header that is none"))?);
                continue;
            }
            EntryType::XHeader => {
                let data = reader.data(size).map_err(|it| wrong(&it))?;
                local.extend(records(&data).ok_or_else(|| wrong("a pax header that is none"))?);
                continue;
            }
            EntryType::GNULongName | EntryType::GNULongLink => {
                let mut data = reader.data(size).map_err(|it| wrong(&it))?;
                data.truncate(data.iter().position(|&byte| byte == 0).unwrap_or(data.len()));
                let field = if kind == EntryType::GNULongName { "path" } else { "linkpath" };
                local.insert(field.into(), data);
                continue;
            }
            _ => {}
        }
        let fields: Fields = global.clone().into_iter().chain(local.drain()).collect();
        let text = |name: &str| {
            fields.get(name.as_bytes()).and_then(|value| std::str::from_utf8(value).ok())
        };
        let given = |name: &str| match text(name) {
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| wrong(&format!("the pax field '{name}' is no number"))),
            None => Ok(None),
        };
        size = given("size")?.unwrap_or(size);
        let at = reader.at;
        reader.skip(size).map_err(|it| wrong(&it))?;
        if kind == EntryType::GNUSparse || fields.keys().any(|it| it.starts_with(b"GNU.sparse.")) {
            return Err(wrong(
                "a sparse file is not supported; make the tar file without --sparse",
            ));
        }
        let name = match fields.get(&b"path"[..]) {
            Some(name) => name.clone(),
            None => header.path_bytes().into_owned(),
        };
        let link = match fields.get(&b"linkpath"[..]) {
            Some(link) => link.clone(),
            None => header.link_name_bytes().map(|it| it.into_owned()).unwrap_or_default(),
        };
        let names = names(&name).map_err(|it| wrong(&it))?;
        let device = || -> Result<(u32, u32), String> {
            let half = |half: io::Result<Option<u32>>| match half {
                Ok(half) => Ok(half.unwrap_or(0)),
                Err(error) => Err(wrong(&error.to_string())),
            };
            Ok((half(header.device_major())?, half(header.device_minor())?))
        };
        let file = || HostFile::part(path.clone(), at, size);
        let body = match kind {
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => Body::Directory,
            EntryType::Regular | EntryType::Continuous => Body::File(file()),
            EntryType::Directory => Body::Directory,
            EntryType::Symlink => Body::Symlink(link.clone()),
            EntryType::Char => Body::Special(Kind::CharDevice, device()?),
            EntryType::Block => Body::Special(Kind::BlockDevice, device()?),
            EntryType::Fifo => Body::Special(Kind::Fifo, (0, 0)),
            EntryType::Link => {
                let to = self::names(&link).map_err(|it| wrong(&it))?;
                members.link(&to).ok_or_else(|| {
                    wrong("a second name of a file that is not before it in the tar file")
                })?
            }
            // A volume's label.
            other if other.as_byte() == b'V' => continue,
            other => {
                let what = char::from(other.as_byte()).escape_default();
                return Err(wrong(&format!("a member of the type '{what}' is not supported")));
            }
        };
        if matches!(&body, Body::Symlink(link) if link.is_empty() || link.len() > MAX_NAME || link.contains(&0))
        {
            return Err(wrong("a symlink to what is no name"));
        }
        if names.is_empty() && !matches!(body, Body::Directory) {
            return Err(wrong("a file without a name"));
        }
        let id = |name: &str, field: io::Result<u64>| -> Result<u32, String> {
            let id = match given(name)? {
                Some(id) => id,
                None => number(field)?,
            };
            u32::try_from(id)
                .ok()
                .filter(|id| *id != NO_ID)
                .ok_or_else(|| wrong(&format!("{id} is no user's or group's number")))
        };
        let mode = header.mode().map_err(|error| wrong(&error.to_string()))? & 0o7777;
        let mode = if matches!(body, Body::Symlink(_)) { 0o777 } else { mode as u16 };
        let (uid, gid) = (id("uid", header.uid())?, id("gid", header.gid())?);
        let mtime = match text("mtime").and_then(time) {
            Some(time) => time,
            None => Timestamp {
                seconds: i64::try_from(number(header.mtime())?).unwrap_or(i64::MAX),
                nanos: 0,
            },
        };
        let (mut xattrs, mut unnamed) = (Vec::new(), false);
        for (field, value) in fields {
            let Some(name) = field.strip_prefix(b"SCHILY.xattr.") else { continue };
            match String::from_utf8(name.to_vec()) {
                Ok(name) => xattrs.push(Xattr { name, value }),
                Err(_) => unnamed = true,
            }
        }
        xattrs.sort();
        members.add(Entry {
            names,
            body,
            owned: Owned { mode, uid, gid },
            extra: Extra { mtime: Some(mtime), xattrs, ..Extra::default() },
            unnamed,
            several: false,
            replaced: false,
        })?;
    }
    members.mark_replaced();
    Ok(members.all)
}

/// The members so far.
#[derive(Default)]
struct Members {
    all: Vec<Entry>,
    /// Files, by their names.
    files: HashMap<Vec<Vec<u8>>, usize>,
    /// Symlinks, by their names.
    symlinks: HashMap<Vec<Vec<u8>>, usize>,
    /// Bytes of extended attributes.
    xattrs: usize,
}

impl Members {
    fn add(&mut self, entry: Entry) -> Result<(), String> {
        if self.all.len() >= CHANGES {
            return Err(format!("more than {CHANGES} members"));
        }
        let xattrs = entry.extra.xattrs.iter().map(|it| it.name.len() + it.value.len());
        self.xattrs += xattrs.sum::<usize>();
        if self.xattrs > MAX_XATTRS {
            return Err(format!("more than {MAX_XATTRS} bytes of extended attributes"));
        }
        self.symlinks.remove(&entry.names);
        if matches!(entry.body, Body::Symlink(_)) {
            self.symlinks.insert(entry.names.clone(), self.all.len());
        }
        match entry.body {
            Body::File(_) => {
                self.files.insert(entry.names.clone(), self.all.len());
            }
            Body::Link(first) => {
                self.files.insert(entry.names.clone(), first);
            }
            _ => {
                self.files.remove(&entry.names);
            }
        }
        self.all.push(entry);
        Ok(())
    }

    /// Marks members whose name a later one takes, where nothing is unpacked below it before that:
    /// what they are is not to be seen at the end.
    fn mark_replaced(&mut self) {
        let mut later: HashMap<Vec<Vec<u8>>, bool> = HashMap::new();
        for entry in self.all.iter_mut().rev() {
            let directory = matches!(entry.body, Body::Directory);
            for above in 0..entry.names.len() {
                later.remove(&entry.names[..above]);
            }
            let by = later.insert(entry.names.clone(), directory);
            entry.replaced = by.is_some_and(|by| !(by && directory));
        }
    }

    /// One more name of an earlier file; of a symlink it is one like it.
    fn link(&mut self, to: &[Vec<u8>]) -> Option<Body> {
        let Some(&first) = self.files.get(to) else {
            return match &self.all.get(*self.symlinks.get(to)?)?.body {
                Body::Symlink(target) => Some(Body::Symlink(target.clone())),
                _ => None,
            };
        };
        self.all.get_mut(first)?.several = true;
        Some(Body::Link(first))
    }
}

/// The names of a path, a leading slash left out as tar(1) does.
fn names(path: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if path.len() > MAX_NAME {
        return Err(format!("a name of {} bytes; {MAX_NAME} are possible", path.len()));
    }
    let names: Vec<Vec<u8>> = path
        .split(|&byte| byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect();
    let bad = names.iter().any(|name| name == b".." || name.contains(&0));
    match bad {
        true => Err(format!(
            "the name '{}' leads elsewhere, or is none",
            crate::path::escape(path).chars().take(300).collect::<String>()
        )),
        false => Ok(names),
    }
}

/// The records of a pax header: `LENGTH KEY=VALUE` and a line end, the length of all that.
fn records(mut data: &[u8]) -> Option<Fields> {
    let mut fields = Fields::new();
    while !data.is_empty() {
        let space = data.iter().position(|&byte| byte == b' ')?;
        let length: usize = std::str::from_utf8(data.get(..space)?).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        fields.insert(record.get(..equals)?.to_vec(), record.get(equals + 1..)?.to_vec());
        data = data.get(length..)?;
    }
    Some(fields)
}

/// A time of a pax header: seconds, with a fraction or not.
fn time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    Some(match (whole.starts_with('-'), nanos) {
        (_, 0) => Timestamp { seconds, nanos: 0 },
        (true, nanos) => {
            Timestamp { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos }
        }
        (false, nanos) => Timestamp { seconds, nanos },
    })
}

struct Reader {
    file: BufReader<File>,
    at: u64,
    size: u64,
}

impl Reader {
    /// The next header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, String> {
        let mut block = [0; BLOCK as usize];
        if self.at == self.size && self.at > 0 {
            return Ok(None);
        }
        let place = self.at;
        let mut read = Vec::new();
        let taken = self.file.by_ref().take(BLOCK).read_to_end(&mut read);
        taken.map_err(|error| error.to_string())?;
        let compressed = COMPRESSED.iter().find(|(magic, _)| read.starts_with(magic));
        if let (0, Some((_, how))) = (place, compressed) {
            return Err(format!("compressed by {how}; unpack it to a plain tar file first"));
        }
        if read.len() < block.len() {
            return Err(match place {
                0 => "no tar file".into(),
                _ => format!("byte {place}: the file ends here"),
            });
        }
        block.copy_from_slice(&read);
        self.at += BLOCK;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        // The field of the sum itself counts as spaces.
        let sum: u32 = (0..)
            .zip(block)
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(match place {
                0 => "no tar file".into(),
                _ => format!("byte {place}: no header of a tar file, by its checksum"),
            });
        }
        Ok(Some(header.clone()))
    }

    /// The data of an extended header.
    fn data(&mut self, size: u64) -> Result<Vec<u8>, String> {
        if size > MAX_EXTENDED {
            return Err(format!("an extended header of {size} bytes"));
        }
        let mut data = vec![0; size as usize];
        let read = self.file.read_exact(&mut data);
        read.map_err(|_| "the file ends in an extended header".to_owned())?;
        self.at += size;
        self.skip(size.next_multiple_of(BLOCK) - size)?;
        Ok(data)
    }

    /// Leaves data out, up to the next header.
    fn skip(&mut self, size: u64) -> Result<(), String> {
        // Its last block is filled up, so a file that ends before was cut.
        let end = self.at.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK));
        self.at = end.filter(|end| *end <= self.size).ok_or("the file ends in this member")?;
        self.file.seek(SeekFrom::Start(self.at)).map(drop).map_err(|error| error.to_string())
    }
}
