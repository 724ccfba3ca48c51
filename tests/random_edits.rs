//! Random trees and random edits, in every filesystem and shape, against the model.
//!
//! After each `finish` the reference checker has to be content, and the whole tree as read by our
//! reader, by `ext4-view` and (now and then, it is slow) by debugfs or mtools has to be the model's.
//! All content, names, targets and attribute values carry numbered markers: those of what is gone
//! must be nowhere on the disk, and every free block must read as zeroes.
//!
//! `SYSPREP_TEST_SEED` gives another seed, `SYSPREP_TEST_ROUNDS` multiplies the rounds.

#[path = "random_edits/debugfs.rs"]
mod beside_debugfs;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sysprep_rs::fs::{
    EditFs, EditOptions, FsDriver, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Timestamp, Xattr,
};
use sysprep_rs::path::GuestPath;

use crate::support::disk::Disk;
use crate::support::ext4_shapes::{SHAPES, Shape};
use crate::support::marker::{self, content, marker, target};
use crate::support::model::{self, Model, ModelEditor, Profile};
use crate::support::random::{Random, rounds, seed};
use crate::support::snapshot::{Snapshot, assert_same, of_fs};
use crate::support::spec::{Body, Spec};
use crate::support::{debugfs, ext4_view, mtools, oracle, recipe};

/// What random edits may do with this filesystem.
#[derive(Clone, Copy)]
struct Limits {
    profile: Profile,
    /// The longest xattr value.
    xattr: usize,
    /// The tree has values that take an inode of their own. (The editor keeps and frees these, and
    /// makes none.)
    long_xattrs: bool,
    /// The longest symlink target.
    target: usize,
    /// The longest ordinary file.
    file: usize,
    /// How many names a burst makes.
    burst: usize,
}

/// Makes random trees and edits; hands out marker numbers.
struct Source {
    random: Random,
    limits: Limits,
    next: u32,
}

impl Source {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = marker(self.number());
        let more = match self.random.below(10) {
            0 => 200,
            1..4 => 40,
            _ => 4,
        };
        for _ in 0..self.random.below(more) {
            name.push(*self.random.pick(b"abcdefghijklmnopqrstuvwxyz0123456789_-. Z"));
        }
        // FAT drops dots and spaces at the end.
        name.push(b'e');
        name
    }

    fn length(&mut self) -> usize {
        match self.random.below(12) {
            0 => 0,
            1 => self.random.below(60),
            2 => self.random.below(170),
            3 | 4 => self.random.below(1100),
            5 | 6 => self.random.below(5000),
            7 => 1024 << self.random.below(4),
            8..11 => self.random.below(40_000),
            _ => self.random.below(self.limits.file),
        }
    }

    fn content(&mut self) -> Vec<u8> {
        let len = self.length();
        let mut bytes = content(self.number(), len);
        // Holes, also at the start and at the end.
        if self.random.one_in(5) && len > 10_000 {
            for _ in 0..=self.random.below(3) {
                let from = self.random.below(len);
                let to = (from + self.random.below(len)).min(len);
                bytes[from..to].fill(0);
            }
        }
        bytes
    }

    /// A file of single blocks with holes between: as many extents as it has blocks.
    fn comb(&mut self, block: usize, teeth: usize) -> Vec<u8> {
        let number = self.number();
        let mut bytes = vec![0; block * 2 * teeth];
        for tooth in bytes.chunks_mut(2 * block) {
            tooth[..block].copy_from_slice(&content(number, block));
        }
        bytes
    }

    fn xattr_value(&mut self) -> Vec<u8> {
        let len = match self.random.below(4) {
            0 => self.random.below(self.limits.xattr),
            1 => self.random.below(12),
            _ => self.random.below(100),
        };
        content(self.number(), len)
    }

    fn xattr_name(&mut self) -> String {
        (*self.random.pick(&["user.a", "user.bee", "security.selinux", "trusted.c"])).to_owned()
    }

    fn target(&mut self) -> Vec<u8> {
        let len = match self.random.below(3) {
            0 => 1 + self.random.below(59),
            1 => 59 + self.random.below(3),
            _ => 1 + self.random.below(self.limits.target),
        };
        target(self.number(), len)
    }

    fn owner(&mut self) -> u32 {
        *self.random.pick(&[0, 0, 1000, 65_535, 65_536, 4_000_000_000])
    }

    fn mode(&mut self) -> u16 {
        *self.random.pick(&[0o644, 0o600, 0o755, 0o4755, 0o2750, 0o1777, 0])
    }

    fn meta(&mut self) -> NewMeta {
        if !self.limits.profile.unix {
            return NewMeta { mode: 0o644, ..NewMeta::default() };
        }
        let mut xattrs = BTreeMap::new();
        while self.random.one_in(4) {
            xattrs.insert(self.xattr_name(), self.xattr_value());
        }
        NewMeta {
            mode: self.mode(),
            uid: self.owner(),
            gid: self.owner(),
            xattrs: xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect(),
            ..NewMeta::default()
        }
    }

    /// The same for what an edit makes, whose time may be given.
    fn made(&mut self) -> NewMeta {
        let mtime = self.random.one_in(4).then_some(Timestamp { seconds: 1_000_000_002, nanos: 0 });
        NewMeta { mtime, ..self.meta() }
    }

    /// A random tree of about `count` nodes.
    fn tree(&mut self, count: usize) -> Spec {
        let mut spec = Spec::default();
        let mut dirs = vec![GuestPath::root()];
        let mut files: Vec<GuestPath> = Vec::new();
        for _ in 0..count {
            let dir = self.random.pick(&dirs).clone();
            let path = dir.join(&self.name());
            let unix = self.limits.profile.unix;
            let body = match self.random.below(20) {
                0..4 => {
                    dirs.push(path.clone());
                    Body::Directory
                }
                4 | 5 if unix => Body::Symlink(self.target()),
                6 if unix => {
                    let kinds = [Kind::CharDevice, Kind::BlockDevice, Kind::Fifo, Kind::Socket];
                    let kind = *self.random.pick(&kinds);
                    Body::Special(
                        kind,
                        self.random.below(256) as u32,
                        self.random.below(256) as u32,
                    )
                }
                7 | 8 if unix && !files.is_empty() => {
                    let first = self.random.pick(&files).clone();
                    // A spec makes paths in order: the file has to come before its second name.
                    if path <= first {
                        continue;
                    }
                    Body::HardLink(first)
                }
                _ => {
                    files.push(path.clone());
                    Body::File(self.content())
                }
            };
            let link = matches!(body, Body::HardLink(_));
            let symlink = matches!(body, Body::Symlink(_));
            let file = matches!(body, Body::File(_));
            let meta = self.meta();
            let item = spec.add(path, body);
            item.mtime.seconds -= 2 * i64::from(self.next);
            if unix && !link {
                item.mode = if symlink { 0o777 } else { meta.mode };
                (item.uid, item.gid) = (meta.uid, meta.gid);
                if file {
                    item.xattrs =
                        meta.xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect();
                    if self.limits.long_xattrs && self.random.one_in(3) {
                        // Just too long for a block of 1 KiB, and what debugfs can set.
                        let value = content(self.number(), 1000 + self.random.below(24));
                        item.xattrs.insert("user.long".to_owned(), value);
                    }
                }
            }
        }
        spec
    }
}

/// One edit, by path, so that it can be made on the model and on the driver alike.
#[derive(Debug)]
enum Edit {
    Create(GuestPath, OwnedKind, NewMeta),
    Replace(GuestPath, Vec<u8>),
    Remove(GuestPath),
    RemoveTree(GuestPath),
    Rename(GuestPath, GuestPath),
    Link(GuestPath, GuestPath),
    SetMeta(GuestPath, MetaChange),
}

#[derive(Debug)]
enum OwnedKind {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Special(Kind, u32, u32),
}

fn locate(fs: &dyn ReadFs, path: &GuestPath) -> Node {
    path.names().fold(fs.root(), |dir, name| {
        fs.lookup(dir, name)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
            .unwrap_or_else(|| panic!("{path} is not there"))
    })
}

fn parent(fs: &dyn ReadFs, path: &GuestPath) -> Node {
    locate(fs, &path.parent().expect("not the root"))
}

impl Edit {
    fn make(&self, fs: &mut dyn EditFs) -> Result<(), FsError> {
        match self {
            Self::Create(path, kind, meta) => {
                let dir = parent(fs.view(), path);
                let kind = match kind {
                    OwnedKind::File(bytes) => NewKind::File(bytes),
                    OwnedKind::Directory => NewKind::Directory,
                    OwnedKind::Symlink(target) => NewKind::Symlink(target),
                    OwnedKind::Special(kind, major, minor) => {
                        NewKind::Special(*kind, (*major, *minor))
                    }
                };
                fs.create(dir, path.name().unwrap(), kind, meta).map(|_| ())
            }
            Self::Replace(path, bytes) => {
                let node = locate(fs.view(), path);
                fs.replace(node, bytes)
            }
            Self::Remove(path) => {
                let dir = parent(fs.view(), path);
                fs.remove(dir, path.name().unwrap())
            }
            Self::RemoveTree(path) => {
                let dir = parent(fs.view(), path);
                fs.remove_tree(dir, path.name().unwrap())
            }
            Self::Rename(from, to) => {
                let (old, new) = (parent(fs.view(), from), parent(fs.view(), to));
                fs.rename(old, from.name().unwrap(), new, to.name().unwrap())
            }
            Self::Link(file, to) => {
                let (node, dir) = (locate(fs.view(), file), parent(fs.view(), to));
                fs.link(node, dir, to.name().unwrap())
            }
            Self::SetMeta(path, change) => {
                let node = locate(fs.view(), path);
                fs.set_meta(node, change)
            }
        }
    }
}

/// What a tree holds, to choose from.
struct Choice {
    files: Vec<GuestPath>,
    dirs: Vec<GuestPath>,
    all: Vec<GuestPath>,
}

fn choices(fs: &dyn ReadFs) -> Choice {
    let mut choice = Choice { files: Vec::new(), dirs: Vec::new(), all: Vec::new() };
    let mut found = vec![(GuestPath::root(), fs.root())];
    while let Some((path, node)) = found.pop() {
        match fs.stat(node).unwrap().kind {
            Kind::Directory => {
                fs.entries(node, &mut |entry| {
                    found.push((path.join(entry.name), entry.node));
                    ControlFlow::Continue(())
                })
                .unwrap();
                choice.dirs.push(path.clone());
            }
            Kind::File => choice.files.push(path.clone()),
            _ => {}
        }
        // lost+found is mke2fs's: without it e2fsck has something to say.
        if !path.is_root() && path.name() != Some(b"lost+found") {
            choice.all.push(path);
        }
    }
    choice.dirs.sort();
    choice.files.sort();
    choice.all.sort();
    choice
}

impl Source {
    /// One or (bursts) many edits that fit the tree as it is.
    fn edits(&mut self, fs: &dyn ReadFs) -> Vec<Edit> {
        let choice = choices(fs);
        let unix = self.limits.profile.unix;
        let dir = self.random.pick(&choice.dirs).clone();
        if choice.files.is_empty() || choice.all.len() < 10 {
            let content = self.content();
            return vec![Edit::Create(
                dir.join(&self.name()),
                OwnedKind::File(content),
                self.meta(),
            )];
        }
        let one = self.random.pick(&choice.all).clone();
        let file = self.random.pick(&choice.files).clone();
        let edit = match self.random.below(26) {
            0..4 => {
                Edit::Create(dir.join(&self.name()), OwnedKind::File(self.content()), self.made())
            }
            4 | 5 => Edit::Create(dir.join(&self.name()), OwnedKind::Directory, self.made()),
            6 if unix => {
                let mut meta = self.made();
                // Symlinks take no user.* attributes in the kernel.
                meta.xattrs.retain(|xattr| !xattr.name.starts_with("user."));
                Edit::Create(dir.join(&self.name()), OwnedKind::Symlink(self.target()), meta)
            }
            7..10 => Edit::Replace(file, self.content()),
            10 => Edit::Replace(file, self.comb(1024, 40)),
            11..14 => match fs.stat(locate(fs, &one)).unwrap().kind {
                Kind::Directory if choice.all.len() > 20 => Edit::RemoveTree(one),
                Kind::Directory => Edit::SetMeta(one, MetaChange::default()),
                _ => Edit::Remove(one),
            },
            14 => Edit::Remove(file),
            15 | 16 => {
                let to = dir.join(&self.name());
                if to.starts_with(&one) {
                    return Vec::new();
                }
                Edit::Rename(one, to)
            }
            24 if unix => Edit::Link(file, dir.join(&self.name())),
            25 if unix => {
                let mut meta = self.made();
                meta.xattrs.retain(|xattr| !xattr.name.starts_with("user."));
                let special = *self.random.pick(&[
                    (Kind::Fifo, 0, 0),
                    (Kind::CharDevice, 1, 3),
                    // debugfs makes none with a longer number.
                    (Kind::BlockDevice, 259, 60_000),
                ]);
                let (kind, major, minor) = special;
                Edit::Create(dir.join(&self.name()), OwnedKind::Special(kind, major, minor), meta)
            }
            17..20 => Edit::SetMeta(one.clone(), self.change(fs, &one)),
            20 | 21 => return self.burst(&dir),
            22 => {
                // A whole directory's names, every second one.
                let dir = choice.dirs.iter().max_by_key(|dir| {
                    choice.all.iter().filter(|path| path.parent().as_ref() == Some(dir)).count()
                });
                let dir = dir.expect("the root at least");
                let names = choice.files.iter().filter(|path| path.parent().as_ref() == Some(dir));
                return names.step_by(2).cloned().map(Edit::Remove).collect();
            }
            _ => Edit::Replace(file, Vec::new()),
        };
        vec![edit]
    }

    fn change(&mut self, fs: &dyn ReadFs, path: &GuestPath) -> MetaChange {
        let seconds = 1_500_000_000 + 2 * i64::from(self.number());
        let mut change = MetaChange::default();
        if self.limits.profile.directory_times
            || fs.stat(locate(fs, path)).unwrap().kind != Kind::Directory
        {
            change.mtime = Some(Timestamp { seconds, nanos: 0 });
        }
        if !self.limits.profile.unix {
            return change;
        }
        let kind = fs.stat(locate(fs, path)).unwrap().kind;
        if self.random.one_in(2) && kind != Kind::Symlink {
            change.mode = Some(self.mode());
        }
        if self.random.one_in(2) {
            change.uid = Some(self.owner());
            change.gid = Some(self.owner());
        }
        if matches!(kind, Kind::File | Kind::Directory) {
            let mut seen = BTreeSet::new();
            for _ in 0..self.random.below(4) {
                let name = self.xattr_name();
                if seen.insert(name.clone()) {
                    let value = (!self.random.one_in(3)).then(|| self.xattr_value());
                    change.xattrs.push((name, value));
                }
            }
        }
        change
    }

    /// Many names into one directory, or many small files and every second of them gone again, which
    /// leaves the free space in pieces.
    fn burst(&mut self, dir: &GuestPath) -> Vec<Edit> {
        let count = self.limits.burst / 2 + self.random.below(self.limits.burst);
        let empty = self.random.one_in(2);
        let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
        let mut edits = Vec::new();
        let mut names = Vec::new();
        for _ in 0..count {
            let path = dir.join(&self.name());
            let bytes = if empty { Vec::new() } else { content(self.number(), 900) };
            names.push(path.clone());
            edits.push(Edit::Create(path, OwnedKind::File(bytes), meta.clone()));
        }
        if !empty {
            edits.extend(names.into_iter().step_by(2).map(Edit::Remove));
            let big = content(self.number(), self.limits.file);
            edits.push(Edit::Create(dir.join(&self.name()), OwnedKind::File(big), meta));
        }
        edits
    }
}

/// How a filesystem is judged.
struct Judges<'a> {
    driver: &'static FsDriver,
    checker: fn(&Path),
    free_space: bool,
    library: Option<fn(Arc<Disk>) -> Snapshot>,
    reference: fn(&Path) -> Snapshot,
    what: &'a str,
}

fn live_markers(fs: &dyn ReadFs) -> BTreeSet<u32> {
    let mut live = BTreeSet::new();
    let mut found = vec![fs.root()];
    while let Some(node) = found.pop() {
        let stat = fs.stat(node).unwrap();
        match stat.kind {
            Kind::Directory => fs
                .entries(node, &mut |entry| {
                    marker::markers(entry.name, &mut live);
                    found.push(entry.node);
                    ControlFlow::Continue(())
                })
                .unwrap(),
            Kind::File => marker::markers(&fs.read(node, u64::MAX).unwrap(), &mut live),
            Kind::Symlink => marker::markers(&fs.link_target(node).unwrap(), &mut live),
            _ => {}
        }
        for xattr in fs.xattrs(node).unwrap() {
            marker::markers(&xattr.value, &mut live);
        }
    }
    live
}

/// Runs `steps` sequences of edits on one image.
fn run(source: &mut Source, image: &Path, spec: &Spec, steps: usize, judges: &Judges<'_>) {
    let profile = source.limits.profile;
    let disk = Arc::new(Disk::from_file(image));
    let place = Arc::new(Mutex::new(Model::new(profile, spec)));
    let dir = tempfile::tempdir().unwrap();
    let reduced = |fs: &dyn ReadFs| profile.reduce(of_fs(fs).unwrap());
    {
        let opened = (judges.driver.open)(disk.clone()).unwrap();
        let model = place.lock().unwrap();
        assert_same(judges.what, &reduced(&*model), &reduced(&*opened));
    }
    for step in 0..steps {
        let what = format!("{}, step {step}", judges.what);
        let now = Timestamp { seconds: 1_700_000_000 + 100 * step as i64, nanos: 0 };
        let options = EditOptions { now, keep_free_space: false };
        let mut expected = ModelEditor::new(&place, &options);
        let mut found = (judges.driver.edit.expect("an editor"))(disk.clone(), &options)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        for _ in 0..=source.random.below(12) {
            for edit in source.edits(expected.model()) {
                match edit.make(&mut *found) {
                    Ok(()) => {}
                    // Each name and file fits; only a directory or a disk can be full.
                    Err(FsError::NoSpace) => {
                        let free = found.view().info();
                        panic!("{what}: no space with {} of {} free", free.free, free.size);
                    }
                    Err(error) => {
                        let shown: String = format!("{edit:?}").chars().take(300).collect();
                        panic!("{what}: {error} ({error:?}) in {shown}");
                    }
                }
                edit.make(&mut expected).unwrap();
            }
        }
        if source.random.one_in(4) {
            assert_same(&what, &reduced(expected.view()), &reduced(found.view()));
        }
        Box::new(expected).finish().unwrap();
        found.finish().unwrap_or_else(|error| panic!("{what}: finish: {error}"));

        let model = place.lock().unwrap().clone();
        let expected = reduced(&model);
        let opened = (judges.driver.open)(disk.clone()).unwrap();
        assert_same(&what, &expected, &reduced(&*opened));
        let saved = dir.path().join("saved.img");
        disk.save(&saved);
        println!("{what}");
        (judges.checker)(&saved);
        if let Some(library) = judges.library {
            assert_same(&format!("{what}, library"), &expected, &library(disk.clone()));
        }
        if step + 1 == steps {
            assert_same(&format!("{what}, tool"), &expected, &(judges.reference)(&saved));
        }
        let live = live_markers(&model);
        let left: Vec<u32> = marker::on_disk(&disk).difference(&live).copied().collect();
        assert!(
            left.is_empty(),
            "{what}: {} markers of what is gone are still there, {} at {:?}",
            left.len(),
            String::from_utf8_lossy(&marker(left[0])),
            disk.find(&marker(left[0])),
        );
        if judges.free_space {
            let (free, block) = oracle::free_blocks(&saved);
            for (first, last) in free {
                if let Some(at) = disk.first_nonzero(first * block, (last + 1 - first) * block) {
                    panic!("{what}: free block {} is not zeroes", at / block);
                }
            }
        }
    }
}

fn ext4(shape: &Shape, seed: u64, steps: usize) {
    println!("SYSPREP_TEST_SEED={seed} {shape:?}");
    let small_block = shape.args.contains(&"1024") && shape.args.contains(&"-b");
    let limits = Limits {
        profile: model::UNIX,
        // A block for all attributes of a node, with its header and entries.
        xattr: 150,
        long_xattrs: shape.ea_inode,
        // Shorter than a block: mke2fs itself chooses 1 KiB for small filesystems.
        target: 1000,
        file: 600_000,
        burst: 120,
    };
    let mut source = Source { random: Random::new(seed), limits, next: 0 };
    let mut spec = source.tree(80);
    // An extent tree of depth 2 with 1 KiB blocks: over 4 * 84 extents.
    let comb = source.comb(if small_block { 1024 } else { 4096 }, 400);
    spec.add(GuestPath::root().join(&source.name()), Body::File(comb));
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut spec, shape.args, shape.mib << 20);
    let judges = Judges {
        driver: crate::conformance::drivers::driver("ext4"),
        checker: oracle::e2fsck_clean,
        free_space: true,
        library: shape
            .ext4_view_reads()
            .then_some(|disk| ext4_view::snapshot(disk, &|_| false).unwrap()),
        reference: debugfs::snapshot,
        what: shape.name,
    };
    run(&mut source, &image, &spec, steps, &judges);
}

/// One test for each eighth of the shapes, so that they run beside each other.
macro_rules! eighths {
    ($($name:ident $share:literal),*) => {$(
        #[test]
        fn $name() {
            for (index, shape) in SHAPES.iter().enumerate().skip($share).step_by(8) {
                for round in 0..rounds(1) as u64 {
                    ext4(shape, seed(4711) + round * 1000 + index as u64, 3);
                }
            }
        }
    )*};
}

eighths!(ext4_one 0, ext4_two 1, ext4_three 2, ext4_four 3, ext4_five 4, ext4_six 5, ext4_seven 6, ext4_eight 7);

/// Directories of thousands of names: hash trees that split, at depth 2 with 1 KiB blocks.
#[test]
fn large_directories() {
    for args in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext3", "-b", "1024", "-I", "128"]] {
        let limits = Limits {
            profile: model::UNIX,
            xattr: 100,
            long_xattrs: false,
            target: 900,
            file: 100_000,
            burst: 2000,
        };
        let mut source = Source { random: Random::new(seed(99)), limits, next: 0 };
        let mut spec = Spec::default();
        spec.directory("/d");
        for _ in 0..1000 {
            let path: GuestPath = "/d".parse().unwrap();
            spec.add(path.join(&source.name()), Body::File(Vec::new()));
        }
        let dir = tempfile::tempdir().unwrap();
        let mut all = args.to_vec();
        all.extend(["-N", "16000"]);
        let image = recipe::ext4(dir.path(), &mut spec, &all, 32 << 20);
        let place = Arc::new(Mutex::new(Model::new(model::UNIX, &spec)));
        let disk = Arc::new(Disk::from_file(&image));
        let driver = crate::conformance::drivers::driver("ext4");
        for step in 0..2 {
            let options = crate::conformance::fs::OPTIONS;
            let mut expected = ModelEditor::new(&place, &options);
            let mut found = (driver.edit.expect("an editor"))(disk.clone(), &options).unwrap();
            let edits = if step == 0 {
                source.burst(&"/d".parse().unwrap())
            } else {
                let names = choices(expected.model()).files;
                names.into_iter().filter(|_| !source.random.one_in(10)).map(Edit::Remove).collect()
            };
            for edit in &edits {
                edit.make(&mut *found).unwrap_or_else(|error| panic!("{edit:?}: {error}"));
                edit.make(&mut expected).unwrap();
            }
            Box::new(expected).finish().unwrap();
            found.finish().unwrap();
            disk.save(&image);
            oracle::e2fsck_clean(&image);
            let model = place.lock().unwrap().clone();
            let opened = (driver.open)(disk.clone()).unwrap();
            let expected = of_fs(&model).unwrap();
            assert_same("our reader", &expected, &of_fs(&*opened).unwrap());
            let library = ext4_view::snapshot(disk.clone(), &|_| false).unwrap();
            assert_same("ext4-view", &expected, &library);
            let live = live_markers(&model);
            let left = marker::on_disk(&disk).difference(&live).count();
            assert_eq!(left, 0, "step {step}: names of what is gone are still there");
        }
    }
}

fn fat(bits: u8, mib: u64, args: &[&str], seed: u64, steps: usize) {
    println!("SYSPREP_TEST_SEED={seed} FAT{bits} {mib} MiB {args:?}");
    let limits = Limits {
        profile: model::FAT,
        xattr: 1,
        long_xattrs: false,
        target: 1,
        file: mib as usize * 40_000,
        burst: 30,
    };
    let mut source = Source { random: Random::new(seed), limits, next: 0 };
    let spec = source.tree(40);
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::fat(dir.path(), &spec, bits, args, mib << 20);
    let what = format!("FAT{bits}");
    let judges = Judges {
        driver: crate::conformance::drivers::driver("vfat"),
        checker: oracle::fsck_vfat_clean,
        free_space: false,
        library: None,
        reference: mtools::snapshot,
        what: &what,
    };
    run(&mut source, &image, &spec, steps, &judges);
}

#[test]
fn fat_12_16_32() {
    for round in 0..rounds(1) as u64 {
        fat(12, 4, &[], seed(12) + round, 4);
        fat(16, 20, &[], seed(16) + round, 4);
        fat(16, 36, &["-S", "4096", "-s", "1"], seed(17) + round, 2);
        fat(32, 40, &[], seed(32) + round, 4);
    }
}
