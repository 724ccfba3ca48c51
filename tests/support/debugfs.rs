//! An ext2/3/4 tree as `debugfs` shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use crate::support::oracle::run;
use crate::support::snapshot::{Object, Snapshot};

/// Runs a command file; gives each command's output. What debugfs says on standard error fails.
pub(crate) fn script(image: &Path, write: bool, commands: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("commands");
    let mut bytes = commands.join(&b'\n');
    bytes.push(b'\n');
    fs::write(&file, bytes).unwrap();
    let mut args = vec!["-f", file.to_str().expect("text"), image.to_str().expect("text")];
    if write {
        args.insert(0, "-w");
    }
    let output = run("debugfs", "e2fsprogs", &args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: Vec<&str> =
        complaint.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
    assert!(
        output.status.success() && complaint.is_empty(),
        "debugfs on {}: {}",
        image.display(),
        complaint.join("\n"),
    );
    // Each command is echoed behind this prompt.
    let mut outputs: Vec<Vec<u8>> = Vec::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        if line.starts_with(b"debugfs: ") {
            outputs.push(Vec::new());
        } else if let Some(last) = outputs.last_mut() {
            last.extend_from_slice(line);
            last.push(b'\n');
        }
    }
    assert_eq!(outputs.len(), commands.len(), "debugfs answered every command");
    outputs
}

struct Listed {
    name: Vec<u8>,
    inode: u64,
    mode: u32,
}

fn listing(output: &[u8]) -> Vec<Listed> {
    let mut entries = Vec::new();
    for line in output.split(|&byte| byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b'/').collect();
        if fields.len() < 7 {
            continue;
        }
        let number = |field: &[u8], radix| {
            u64::from_str_radix(std::str::from_utf8(field).expect("digits"), radix).expect("digits")
        };
        let inode = number(fields[1], 10);
        let name = fields[5].to_vec();
        if inode != 0 && name != b"." && name != b".." {
            entries.push(Listed { name, inode, mode: number(fields[2], 8) as u32 });
        }
    }
    entries
}

fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let at = text.find(label)? + label.len();
    text[at..].trim_start().split(|c: char| c.is_whitespace()).next()
}

/// The whole tree. Names may not hold a newline or a slash.
pub(crate) fn snapshot(image: &Path) -> Snapshot {
    // Directories, level by level.
    let mut all: BTreeMap<GuestPath, (u64, u32)> = BTreeMap::new();
    all.insert(GuestPath::root(), (2, 0o40755));
    let mut level = vec![(GuestPath::root(), 2)];
    while !level.is_empty() {
        let commands: Vec<Vec<u8>> =
            level.iter().map(|(_, inode)| format!("ls -p <{inode}>").into_bytes()).collect();
        let mut next = Vec::new();
        for ((dir, _), output) in level.iter().zip(script(image, false, &commands)) {
            for entry in listing(&output) {
                let path = dir.join(&entry.name);
                if entry.mode & 0o170_000 == 0o40000 {
                    next.push((path.clone(), entry.inode));
                }
                all.insert(path, (entry.inode, entry.mode));
            }
        }
        level = next;
    }
    // Inodes, once each.
    let out = tempfile::tempdir().unwrap();
    let inodes: Vec<u64> =
        all.values().map(|(inode, _)| *inode).collect::<BTreeSet<_>>().into_iter().collect();
    let mode_of: BTreeMap<u64, u32> = all.values().copied().collect();
    let mut commands = Vec::new();
    for inode in &inodes {
        commands.push(format!("stat <{inode}>").into_bytes());
        commands.push(format!("ea_list <{inode}>").into_bytes());
    }
    let said = script(image, false, &commands);
    let mut dumps = Vec::new();
    let mut objects: BTreeMap<u64, Object> = BTreeMap::new();
    for (index, &inode) in inodes.iter().enumerate() {
        let stat = String::from_utf8_lossy(&said[2 * index]).into_owned();
        let kind = match mode_of[&inode] & 0o170_000 {
            0o100_000 => Kind::File,
            0o40000 => Kind::Directory,
            0o120_000 => Kind::Symlink,
            0o60000 => Kind::BlockDevice,
            0o20000 => Kind::CharDevice,
            0o10000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            other => panic!("debugfs gives inode {inode} the mode {other:o}"),
        };
        // Owners from 2^31 up are printed as negative.
        let number = |label: &str| -> u32 {
            after(&stat, label)
                .and_then(|text| text.parse::<i64>().ok())
                .map(|number| number as u32)
                .unwrap_or_else(|| panic!("no '{label}' in:\n{stat}"))
        };
        let file = kind == Kind::File;
        let target = if kind == Kind::Symlink {
            let fast = stat.split_once("Fast link dest: \"").map(|(_, rest)| {
                rest.rsplit_once('"').expect("a closing quote").0.as_bytes().to_vec()
            });
            if fast.is_none() {
                dumps.push(inode);
            }
            fast
        } else {
            None
        };
        if file && number("Size:") != 0 {
            dumps.push(inode);
        }
        let device = matches!(kind, Kind::BlockDevice | Kind::CharDevice).then(|| {
            let (major, minor) =
                after(&stat, "major/minor number: ").unwrap().split_once(':').expect("a pair");
            (major.parse().expect("a number"), minor.parse().expect("a number"))
        });
        let mtime = after(&stat, "mtime: 0x").expect("a time");
        let seconds = i64::from_str_radix(&mtime[..8], 16).expect("hexadecimal");
        let names: Vec<String> = String::from_utf8_lossy(&said[2 * index + 1])
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter_map(|line| line.split_once(" ("))
            .map(|(name, _)| name.to_owned())
            // Where inline data that does not fit into the block map goes on.
            .filter(|name| name != "system.data")
            .collect();
        let xattrs = names.into_iter().map(|name| (name, Vec::new())).collect();
        objects.insert(
            inode,
            Object {
                kind: Some(kind),
                mode: Some((mode_of[&inode] & 0o7777) as u16),
                owner: Some((number("User:"), number("Group:"))),
                size: if file { u64::from(number("Size:")) } else { 0 },
                content: file.then(|| Digest::of(b"")),
                target,
                device,
                xattrs: Some(xattrs),
                mtime: Some(seconds),
                links: file.then(|| number("Links:")),
                same_as: None,
            },
        );
    }
    // The root's mode is only in stat.
    let root = String::from_utf8_lossy(&said[2 * inodes.iter().position(|&i| i == 2).unwrap()])
        .into_owned();
    let mode = after(&root, "Mode:").and_then(|mode| u16::from_str_radix(mode, 8).ok());
    objects.get_mut(&2).expect("the root").mode = mode;

    // Contents, long symlinks and xattr values go to files.
    let mut commands: Vec<Vec<u8>> = Vec::new();
    let place = out.path().to_str().expect("text");
    for &inode in &dumps {
        commands.push(format!("dump <{inode}> {place}/{inode}").into_bytes());
    }
    for (inode, object) in &objects {
        for (index, name) in object.xattrs.iter().flatten().map(|(name, _)| name).enumerate() {
            let line = format!("ea_get -f {place}/{inode}.{index} <{inode}> {name}");
            commands.push(line.into_bytes());
        }
    }
    if !commands.is_empty() {
        script(image, false, &commands);
    }
    for inode in dumps {
        let mut bytes = fs::read(out.path().join(inode.to_string())).unwrap();
        let object = objects.get_mut(&inode).expect("listed");
        if object.kind == Some(Kind::File) {
            // Of inline data debugfs dumps the room it has and not what is used of it.
            bytes.truncate(object.size as usize);
            object.content = Some(Digest::of(&bytes));
        } else {
            object.target = Some(bytes);
        }
    }
    for (inode, object) in &mut objects {
        for (index, value) in object.xattrs.iter_mut().flatten().map(|(_, value)| value).enumerate()
        {
            *value = fs::read(out.path().join(format!("{inode}.{index}"))).unwrap();
        }
    }
    let mut first = BTreeMap::new();
    all.into_iter()
        .map(|(path, (inode, _))| {
            let mut object = objects[&inode].clone();
            if object.kind == Some(Kind::File) {
                object.same_as = Some(first.entry(inode).or_insert_with(|| path.clone()).clone());
            }
            (path, object)
        })
        .collect()
}
