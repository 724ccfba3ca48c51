//! What is done with hostile input: one function a parser, shared with the fuzz targets. Each opens
//! the input, looks at everything, and where there is an editor, edits. Errors are fine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use sysprep_rs::apply::redo::Log;
use sysprep_rs::block::{Extent, Memory};
use sysprep_rs::fs::{
    EditFs, EditOptions, FsDriver, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Timestamp,
};
use sysprep_rs::guest::cloud_init::CloudInit;
use sysprep_rs::guest::{self, Facts, FileState, Files, GuestError, Init};
use sysprep_rs::image::{Access, Format, Image, OpenOptions};
use sysprep_rs::operation::Operation;
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::Plan;
use sysprep_rs::seed::{Seed, SeedFile};
use sysprep_rs::volume;

use crate::support::disk::Disk;

/// The walks below stop here: a hostile tree may have no end, which is the caller's to bound.
const NODES: usize = 3000;

/// Looks at every node of a filesystem; gives the names in the root and some files.
fn look(fs: &dyn ReadFs) -> (Vec<Vec<u8>>, Vec<Node>) {
    let _ = fs.info();
    let root = fs.root();
    let mut names = Vec::new();
    let mut files = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut found = vec![root];
    let mut buffer = vec![0; 5000];
    while let Some(node) = found.pop() {
        let Ok(stat) = fs.stat(node) else { continue };
        let _ = fs.xattrs(node);
        match stat.kind {
            Kind::Directory => {
                let mut sample = Vec::new();
                let _ = fs.entries(node, &mut |entry| {
                    if node == root && names.len() < 100 {
                        names.push(entry.name.to_vec());
                    }
                    if sample.len() < 5 {
                        sample.push(entry.name.to_vec());
                    }
                    if seen.len() < NODES && seen.insert(entry.node) {
                        found.push(entry.node);
                    }
                    ControlFlow::Continue(())
                });
                sample.push(b"not there".to_vec());
                for name in sample {
                    let _ = fs.lookup(node, &name);
                }
            }
            Kind::Symlink => {
                let _ = fs.link_target(node);
            }
            Kind::File => {
                files.push(node);
                let mut at = 0;
                for _ in 0..20 {
                    match fs.read_at(node, at, &mut buffer) {
                        Ok(read) if read > 0 => at += read as u64,
                        _ => break,
                    }
                }
                for at in [stat.size / 2, stat.size.saturating_sub(100), stat.size] {
                    let _ = fs.read_at(node, at, &mut buffer);
                }
                let _ = fs.read(node, 1 << 16);
            }
            _ => {}
        }
    }
    (names, files)
}

fn edit(fs: &mut dyn EditFs, names: &[Vec<u8>], files: &[Node]) -> Result<(), FsError> {
    let root = fs.view().root();
    if let Some(&file) = files.first() {
        fs.replace(file, &[b'x'; 5000])?;
    }
    if let Some(&file) = files.last() {
        let change = MetaChange {
            mode: Some(0o600),
            xattrs: vec![("user.x".to_owned(), Some(vec![b'v'; 100]))],
            ..MetaChange::default()
        };
        // FAT stores neither.
        let _ = fs.set_meta(file, &change);
    }
    for (index, name) in names.iter().enumerate() {
        match index % 4 {
            0 => fs.remove_tree(root, name)?,
            1 => fs.rename(root, name, root, format!("moved-{index}").as_bytes())?,
            _ => {}
        }
    }
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    let dir = fs.create(root, b"made", NewKind::Directory, &meta)?;
    for number in 0..30 {
        fs.create(dir, format!("file-{number}").as_bytes(), NewKind::File(&[7; 300]), &meta)?;
    }
    look(fs.view());
    Ok(())
}

/// A filesystem by its driver: read, then edited.
pub(crate) fn filesystem(driver: &FsDriver, device: Arc<Disk>) {
    let _ = (driver.probe)(&*device);
    let (names, files) = match (driver.open)(device.clone()) {
        Ok(fs) => look(&*fs),
        Err(_) => return,
    };
    if let Some(open) = driver.edit {
        let options = EditOptions {
            now: Timestamp { seconds: 1_700_000_000, nanos: 0 },
            keep_free_space: names.len() % 2 == 1,
        };
        if let Ok(mut fs) = open(device, &options)
            && edit(&mut *fs, &names, &files).is_ok()
        {
            let _ = fs.finish();
        }
    }
}

/// A whole disk: its partitions, filesystems and guests.
pub(crate) fn disk(device: Arc<Disk>) {
    let _ = volume::scan(&*device);
    let Ok(disk) = guest::Disk::open(device) else { return };
    let Ok(guests) = disk.guests() else { return };
    for guest in &guests {
        let mut count = 0;
        let _ = guest.tree.walk(&GuestPath::root(), &mut |_| {
            count += 1;
            if count < NODES { guest::Walk::Into } else { guest::Walk::Stop }
        });
        for pattern in ["/etc/*", "/var/log/**", "/{bin,sbin}/?sh"] {
            let _ = guest.tree.glob(pattern);
        }
    }
}

/// A qcow2 file: read whole (as far as it goes), then edited on its overlay and opened again.
pub(crate) fn qcow2(path: &Path) {
    let options = OpenOptions { format: Some(Format::Qcow2), allow_backing: false };
    let Ok(image) = Image::open(path, &options, Access::Audit) else { return };
    let disk = image.disk();
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    for _ in 0..500 {
        if at >= disk.len() {
            break;
        }
        let Ok(extent) = disk.extent_at(at) else { break };
        if let Extent::Data(len) = extent {
            let len = len.min(1 << 16) as usize;
            let _ = disk.read_at(at, &mut buffer[..len]);
            at += len as u64;
        } else {
            at += extent.len();
        }
    }
    let _ = disk.read_at(disk.len().saturating_sub(100), &mut [0; 100]);
    let _ = image.residue();
    let Ok(staged) = image.stage() else { return };
    let guest = staged.disk();
    for at in [0, 70_000, 1 << 20, guest.len() / 2] {
        if guest.write_at(at, &[9; 3000]).is_err() {
            return;
        }
    }
    if guest.zero(4096, (guest.len() / 2).min(8 << 20)).is_err() {
        return;
    }
    drop(guest);
    if let Ok(overlay) = staged.finish() {
        let _ = image.reopen(overlay);
    }
}

/// A redo log.
pub(crate) fn redo(bytes: &[u8]) {
    if let Ok(mut log) = Log::open(Cursor::new(bytes)) {
        while let Ok(Some(_)) = log.next() {}
    }
    if let Ok(log) = Log::open(Cursor::new(bytes)) {
        let _ = log.check(&Memory::from_bytes(vec![1; 10_000]));
    }
}

/// A plan file.
pub(crate) fn plan(text: &str) {
    let _ = Plan::from_json(text);
}

/// An operation file.
pub(crate) fn operation(text: &str) {
    let _ = Operation::from_yaml("hostile.yaml", text);
}

/// A file of a seed; and the same bytes as a guest's own settings for cloud-init.
pub(crate) fn seed(file: SeedFile, bytes: &[u8]) {
    let mut seed = Seed::default();
    match seed.add(file, "hostile", bytes.to_vec()) {
        Ok(()) => assert_eq!(seed.get(file), Some(bytes)),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    let facts = Facts { init: Some(Init::Systemd), ..Facts::default() };
    CloudInit::read(&Told(bytes), &facts).unwrap();
}

/// A guest in which these bytes are each file that tells cloud-init something.
struct Told<'a>(&'a [u8]);

const TOLD: [&str; 9] = [
    "/usr/bin/cloud-init",
    "/usr/lib/systemd/system/cloud-init.service",
    "/usr/lib/systemd/system/multi-user.target.wants/cloud-init.target",
    "/usr/lib/systemd/system/cloud-init.target.wants/cloud-init.service",
    "/usr/lib/cloud-init/ds-identify",
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d/90.cfg",
    "/etc/cloud/ds-identify.cfg",
    "/etc/default/grub",
];
const SEED: &str = "/var/lib/cloud/seed/nocloud";

impl Told<'_> {
    fn paths() -> impl Iterator<Item = GuestPath> {
        let seed = ["meta-data", "user-data"].map(|it| format!("{SEED}/{it}"));
        let paths = TOLD.iter().map(|it| (*it).to_owned()).chain(seed);
        paths.map(|it| it.parse().unwrap())
    }
}

impl Files for Told<'_> {
    fn locate(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        let (kind, size) = match Self::paths().find(|it| it.starts_with(path)) {
            Some(file) if file == *path => (Kind::File, self.0.len() as u64),
            Some(_) => (Kind::Directory, 0),
            None => return Ok(None),
        };
        Ok(Some(FileState {
            path: path.clone(),
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size,
            file: None,
        }))
    }

    fn follow(&self, path: &GuestPath) -> Result<Option<FileState>, GuestError> {
        self.locate(path)
    }

    fn read(&self, path: &GuestPath, _: u64) -> Result<Option<Vec<u8>>, GuestError> {
        Ok(Self::paths().any(|it| it == *path).then(|| self.0.to_vec()))
    }

    fn link_target(&self, _: &GuestPath) -> Result<Option<Vec<u8>>, GuestError> {
        Ok(None)
    }

    fn names(&self, dir: &GuestPath) -> Result<Vec<(Vec<u8>, Kind)>, GuestError> {
        let rest = Self::paths().filter_map(|it| it.below(dir));
        let names = rest.filter_map(|it| {
            let kind = if it.depth() > 1 { Kind::Directory } else { Kind::File };
            Some((it.names().next()?.to_vec(), kind))
        });
        Ok(names.collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}
