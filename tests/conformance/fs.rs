//! The contract of `ReadFs` and `EditFs`, which every driver and the model run.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sysprep_rs::digest::Digest;
use sysprep_rs::fs::{
    EditFs, EditOptions, FsDriver, FsError, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs,
    Timestamp, Xattr,
};

use crate::support::disk::Disk;
use crate::support::marker::{content, target};
use crate::support::model::{self, Model, ModelEditor, Profile};
use crate::support::random::Random;
use crate::support::snapshot::{Snapshot, assert_same, of_fs};
use crate::support::spec::{Body, Spec, path};

/// A filesystem under test, made from a spec.
pub(crate) trait Made {
    fn open(&self) -> Box<dyn ReadFs>;
    fn edit(&self, options: &EditOptions) -> Box<dyn EditFs>;
    /// What the reference checker and the independent readers say; panics on any complaint.
    fn check(&self, expected: &Model);
    /// A copy whose edits do not reach this one.
    fn copy(&self) -> Box<dyn Made>;
    /// A digest of the whole device, where there is one.
    fn digest(&self) -> Option<Digest>;
}

/// How one driver's filesystems are made.
pub(crate) struct Subject<'a> {
    pub(crate) profile: Profile,
    /// Adds to the spec what making the filesystem adds by itself.
    #[allow(clippy::type_complexity, reason = "the one place that says it")]
    pub(crate) make: &'a dyn Fn(&mut Spec) -> Box<dyn Made>,
}

/// The time every edit is given.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_735_689_600, nanos: 0 };

pub(crate) const OPTIONS: EditOptions = EditOptions { now: NOW, keep_free_space: false };

/// A driver's filesystem on a test disk, judged by a reference checker.
pub(crate) struct DriverImage {
    pub(crate) disk: Arc<Disk>,
    pub(crate) driver: &'static FsDriver,
    pub(crate) profile: Profile,
    /// The reference checker.
    pub(crate) check: fn(&Path),
    /// Reads the tree with a tool that is not ours.
    pub(crate) reference: fn(&Path) -> Snapshot,
    /// Reads the tree with a library that is not ours, where there is one.
    pub(crate) library: Option<fn(Arc<Disk>) -> Snapshot>,
}

impl DriverImage {
    pub(crate) fn saved(&self, dir: &Path) -> PathBuf {
        let image = dir.join("saved.img");
        self.disk.save(&image);
        image
    }
}

impl Made for DriverImage {
    fn open(&self) -> Box<dyn ReadFs> {
        assert!((self.driver.probe)(&*self.disk).unwrap(), "the driver knows its own filesystem");
        (self.driver.open)(self.disk.clone()).unwrap()
    }

    fn edit(&self, options: &EditOptions) -> Box<dyn EditFs> {
        (self.driver.edit.expect("an editor"))(self.disk.clone(), options).unwrap()
    }

    fn check(&self, expected: &Model) {
        let dir = tempfile::tempdir().unwrap();
        let image = self.saved(dir.path());
        (self.check)(&image);
        let expected = self.profile.reduce(of_fs(expected).unwrap());
        assert_same("the reference reader", &expected, &(self.reference)(&image));
        if let Some(library) = self.library {
            assert_same("the library", &expected, &library(self.disk.clone()));
        }
    }

    fn copy(&self) -> Box<dyn Made> {
        Box::new(Self { disk: Arc::new(Disk::clone(&self.disk)), ..*self })
    }

    fn digest(&self) -> Option<Digest> {
        let mut hasher = blake3::Hasher::new();
        self.disk.stored(|at, bytes| {
            hasher.update(&at.to_le_bytes());
            hasher.update(bytes);
        });
        Some(hasher.finalize().into())
    }
}

struct ModelMade(Arc<Mutex<Model>>);

impl Made for ModelMade {
    fn open(&self) -> Box<dyn ReadFs> {
        Box::new(self.0.lock().unwrap().clone())
    }
    fn edit(&self, options: &EditOptions) -> Box<dyn EditFs> {
        Box::new(ModelEditor::new(&self.0, options))
    }
    fn check(&self, _: &Model) {}
    fn copy(&self) -> Box<dyn Made> {
        Box::new(Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone()))))
    }
    fn digest(&self) -> Option<Digest> {
        None
    }
}

/// The node at a path, which has to be there.
pub(crate) fn at(fs: &dyn ReadFs, text: &str) -> Node {
    find(fs, text).unwrap_or_else(|| panic!("{text} is not there"))
}

fn find(fs: &dyn ReadFs, text: &str) -> Option<Node> {
    text.split('/')
        .filter(|name| !name.is_empty())
        .try_fold(fs.root(), |node, name| fs.lookup(node, name.as_bytes()).unwrap())
}

fn family(error: &FsError) -> &'static str {
    match error {
        FsError::NotFound => "NotFound",
        FsError::NotADirectory => "NotADirectory",
        FsError::IsADirectory => "IsADirectory",
        FsError::Exists => "Exists",
        FsError::BadName => "BadName",
        FsError::NoSpace => "NoSpace",
        FsError::CannotStore(_) => "CannotStore",
        FsError::Unsupported(_) => "Unsupported",
        FsError::Corrupt(_) => "Corrupt",
        FsError::Block(_) => "Block",
        _ => "another",
    }
}

fn fails<T>(what: &str, result: Result<T, FsError>, expected: &[&str]) {
    match result {
        Ok(_) => panic!("{what} succeeded; {expected:?} was expected"),
        Err(error) => {
            assert!(expected.contains(&family(&error)), "{what}: {error:?}, not {expected:?}");
        }
    }
}

/// How many names the big directory has. mtools takes time that grows with their square.
fn big_names(profile: &Profile) -> usize {
    if profile.unix { 400 } else { 120 }
}

/// A tree with what the profile can store.
fn tree(profile: &Profile) -> Spec {
    let mut spec = Spec::default();
    spec.directory("/etc");
    spec.directory("/etc/deep");
    spec.directory("/etc/deep/er");
    spec.directory("/empty-dir");
    spec.directory("/big");
    for number in 0..big_names(profile) {
        spec.file(&format!("/big/a rather long name number {number:05}.txt"), "");
    }
    for (name, len) in [("zero", 0), ("one", 1), ("tiny", 59), ("small", 1023), ("page", 4096)] {
        spec.file(&format!("/etc/{name}"), content(len, len as usize));
    }
    spec.file("/etc/large", content(9, 300_001));
    let mut holes = vec![0; 200_000];
    holes[..4096].copy_from_slice(&content(10, 4096));
    holes[100_000..100_100].fill(b'x');
    holes[199_999] = b'y';
    spec.file("/etc/holes", holes);
    spec.file("/etc/hostname", "build-07\n").mode = 0o640;
    spec.file("/etc/deep/er/leaf", "leaf");
    if profile.unix {
        let shadow = spec.file("/etc/shadow", "root:!::");
        (shadow.mode, shadow.uid, shadow.gid) = (0o600, 70_000, 80_000);
        shadow.xattrs.insert("user.zeta".to_owned(), b"z".to_vec());
        shadow
            .xattrs
            .insert("security.selinux".to_owned(), b"system_u:object_r:shadow_t\0".to_vec());
        shadow.xattrs.insert("user.alpha".to_owned(), content(3, 200));
        spec.symlink("/etc/short-link", "hostname");
        spec.symlink("/etc/long-link", target(12, 300));
        spec.add(path("/etc/z-twin"), Body::HardLink(path("/etc/large")));
        spec.add(path("/etc/null"), Body::Special(Kind::CharDevice, 1, 3));
        spec.add(path("/etc/pipe"), Body::Special(Kind::Fifo, 0, 0));
        spec.directory("/sticky").mode = 0o1777;
    }
    spec
}

/// The reader's contract.
pub(crate) fn reads(subject: &Subject<'_>) {
    let mut spec = tree(&subject.profile);
    let made = (subject.make)(&mut spec);
    let model = Model::new(subject.profile, &spec);
    let fs = made.open();
    let fs = &*fs;
    let reduced = |fs: &dyn ReadFs| subject.profile.reduce(of_fs(fs).unwrap());
    assert_same("the whole tree", &reduced(&model), &reduced(fs));
    made.check(&model);

    let info = fs.info();
    assert!(info.size > 0 && info.block_size > 0 && info.free <= info.size, "{info:?}");
    assert!(!info.dirty && info.read_only_because.is_none(), "{info:?}");

    // Names.
    let etc = at(fs, "/etc");
    assert_eq!(fs.lookup(etc, b"nothing").unwrap(), None);
    let file = at(fs, "/etc/hostname");
    fails("lookup in a file", fs.lookup(file, b"x"), &["NotADirectory"]);
    fails(
        "entries of a file",
        fs.entries(file, &mut |_| ControlFlow::Continue(())),
        &["NotADirectory"],
    );
    for odd in [&b""[..], b"a/b", b"nul\0", &[b'x'; 256], &[b'x'; 100_000]] {
        if let Ok(Some(_)) = fs.lookup(etc, odd) {
            panic!("a name that cannot be was found");
        }
    }
    let big = at(fs, "/big");
    let mut seen = 0;
    let mut samples = Vec::new();
    fs.entries(big, &mut |entry| {
        assert!(entry.name != b"." && entry.name != b"..");
        if seen % 37 == 0 {
            samples.push((entry.name.to_vec(), entry.node, entry.kind));
        }
        seen += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, big_names(&subject.profile));
    for (name, node, kind) in samples {
        assert_eq!(fs.lookup(big, &name).unwrap(), Some(node));
        assert!(kind.is_none_or(|kind| kind == Kind::File));
    }
    let mut shown = 0;
    fs.entries(big, &mut |_| {
        shown += 1;
        if shown == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(shown, 3, "Break stops");
    if subject.profile.folds_case {
        assert_eq!(fs.lookup(etc, b"HOSTNAME").unwrap(), Some(file), "case is folded");
    }

    // Content at odd places.
    let mut random = Random::new(7);
    for name in ["/etc/large", "/etc/holes", "/etc/tiny", "/etc/one", "/etc/zero"] {
        let node = at(fs, name);
        let Body::File(whole) = &spec.0[&path(name)].body else { unreachable!() };
        assert_eq!(fs.read(node, 1 << 20).unwrap(), *whole, "{name}");
        for _ in 0..60 {
            let from = random.below(whole.len() + 5000);
            let mut buffer = vec![0xee; random.below(9000)];
            let read = fs.read_at(node, from as u64, &mut buffer).unwrap();
            let rest = whole.get(from..).unwrap_or(&[]);
            let rest = &rest[..rest.len().min(buffer.len())];
            assert_eq!(read, rest.len(), "{name} at {from}: short only at the end");
            assert_eq!(&buffer[..read], rest, "{name} at {from}");
        }
        for far in [1 << 32, 1 << 44, i64::MAX as u64, u64::MAX] {
            assert_eq!(fs.read_at(node, far, &mut [0; 8]).unwrap(), 0, "{name} at {far}");
        }
    }
    fails("a file over the limit", fs.read(at(fs, "/etc/large"), 1000), &["Unsupported"]);
    let mut byte = [0];
    assert!(fs.read_at(etc, 0, &mut byte).is_err(), "a directory is not read as a file");
    assert!(fs.link_target(file).is_err(), "a file has no target");

    if subject.profile.unix {
        let names: Vec<String> =
            fs.xattrs(at(fs, "/etc/shadow")).unwrap().into_iter().map(|xattr| xattr.name).collect();
        assert_eq!(names, ["security.selinux", "user.alpha", "user.zeta"], "sorted");
        assert_eq!(fs.link_target(at(fs, "/etc/long-link")).unwrap(), target(12, 300));
        assert_eq!(fs.stat(at(fs, "/etc/null")).unwrap().device, Some((1, 3)));
    }

    // Nodes that are not.
    let mut odd: Vec<u64> = (0..200).map(|_| random.next()).collect();
    odd.extend((0..40).map(|_| random.next() >> 32));
    odd.extend(0..20);
    odd.extend([u64::MAX, u64::from(u32::MAX), 1 << 32, (1 << 32) + 2, 1 << 63]);
    for node in odd.into_iter().map(Node) {
        let _ = fs.lookup(node, b"x");
        let _ = fs.entries(node, &mut |_| ControlFlow::Continue(()));
        let _ = fs.xattrs(node);
        let _ = fs.read_at(node, 5, &mut [0; 100]);
        let _ = fs.link_target(node);
        let stat = fs.stat(node);
        if node.0 == u64::MAX {
            fails("stat of no node", stat, &["NotFound", "Corrupt"]);
        }
    }
}

/// Applies edits to the model and to the subject, then compares in every way there is.
fn both(
    subject: &Subject<'_>,
    made: &dyn Made,
    model: &Arc<Mutex<Model>>,
    edits: &dyn Fn(&mut dyn EditFs),
) {
    let mut expected: Box<dyn EditFs> = Box::new(ModelEditor::new(model, &OPTIONS));
    let mut found = made.edit(&OPTIONS);
    edits(&mut *expected);
    edits(&mut *found);
    let reduced = |fs: &dyn ReadFs| subject.profile.reduce(of_fs(fs).unwrap());
    assert_same("the view before finish", &reduced(expected.view()), &reduced(found.view()));
    expected.finish().unwrap();
    found.finish().unwrap();
    let model = model.lock().unwrap().clone();
    assert_same("after finish", &reduced(&model), &reduced(&*made.open()));
    made.check(&model);
}

fn meta(profile: &Profile) -> NewMeta {
    if !profile.unix {
        return NewMeta { mode: 0o644, ..NewMeta::default() };
    }
    NewMeta {
        mode: 0o2751,
        uid: 1000,
        gid: 70_000,
        xattrs: vec![Xattr { name: "user.made".to_owned(), value: content(77, 90) }],
        ..NewMeta::default()
    }
}

/// The editor's effects, one kind after another, each judged.
pub(crate) fn edits(subject: &Subject<'_>) {
    let profile = subject.profile;
    let mut spec = tree(&profile);
    let made = (subject.make)(&mut spec);
    let model = Arc::new(Mutex::new(Model::new(profile, &spec)));
    let meta = meta(&profile);
    let step = |edits: &dyn Fn(&mut dyn EditFs)| both(subject, &*made, &model, edits);

    step(&|fs| {
        let etc = at(fs.view(), "/etc");
        for (name, len) in
            [("new-empty", 0), ("new-tiny", 50), ("new-small", 150), ("new-big", 99_999)]
        {
            let bytes = content(len + 100, len as usize);
            let node = fs.create(etc, name.as_bytes(), NewKind::File(&bytes), &meta).unwrap();
            assert_eq!(fs.view().lookup(etc, name.as_bytes()).unwrap(), Some(node));
            assert_eq!(fs.view().read(node, 1 << 20).unwrap(), bytes, "the view sees it");
        }
        let dir = fs.create(etc, b"new-dir", NewKind::Directory, &meta).unwrap();
        fs.create(dir, b"inside", NewKind::File(b"x"), &meta).unwrap();
        if profile.unix {
            fs.create(etc, b"new-link", NewKind::Symlink(b"short"), &meta).unwrap();
            fs.create(etc, b"new-long", NewKind::Symlink(&target(5, 700)), &meta).unwrap();
        }
    });
    step(&|fs| {
        for (name, from) in [("large", 5000), ("page", 0), ("holes", 4000), ("new-big", 99_998)] {
            let node = at(fs.view(), &format!("/etc/{name}"));
            let before = fs.view().stat(node).unwrap();
            let size = before.size;
            assert!(!fs.view().is_zero(node, from).unwrap(), "{name} holds something there");
            fs.wipe(node, from).unwrap();
            assert_eq!(fs.view().stat(node).unwrap(), before, "{name} is what it was otherwise");
            assert!(
                fs.view().is_zero(node, from).unwrap() && fs.view().is_zero(node, size).unwrap()
            );
            if from > 0 {
                assert!(!fs.view().is_zero(node, from - 1).unwrap(), "{name} keeps what is before");
            }
        }
    });
    step(&|fs| {
        for (name, len) in
            [("large", 10), ("tiny", 200_000), ("page", 0), ("hostname", 13), ("holes", 70)]
        {
            let node = at(fs.view(), &format!("/etc/{name}"));
            fs.replace(node, &content(len + 200, len as usize)).unwrap();
            assert_eq!(fs.view().stat(node).unwrap().size, u64::from(len));
        }
    });
    step(&|fs| {
        let etc = at(fs.view(), "/etc");
        for name in [&b"one"[..], b"zero", b"new-big", b"large"] {
            fs.remove(etc, name).unwrap();
            assert_eq!(fs.view().lookup(etc, name).unwrap(), None);
        }
        let root = fs.view().root();
        fs.remove(root, b"empty-dir").unwrap();
        fs.remove_tree(etc, b"deep").unwrap();
        if profile.unix {
            for name in [&b"null"[..], b"pipe", b"long-link", b"short-link", b"z-twin"] {
                fs.remove(etc, name).unwrap();
            }
        }
    });
    step(&|fs| {
        let (root, etc, big) = (fs.view().root(), at(fs.view(), "/etc"), at(fs.view(), "/big"));
        fs.rename(etc, b"hostname", etc, b"hostname.old").unwrap();
        fs.rename(etc, b"hostname.old", root, b"moved").unwrap();
        fs.rename(etc, b"new-dir", big, b"dir with a new place and name").unwrap();
        assert_eq!(
            find(fs.view(), "/big/dir with a new place and name/inside").map(|_| ()),
            Some(())
        );
    });
    step(&|fs| {
        // Each other's place, which no order of renames alone gives.
        let (root, etc, big) = (fs.view().root(), at(fs.view(), "/etc"), at(fs.view(), "/big"));
        let moved = fs.detach(root, b"moved").unwrap();
        let tiny = fs.detach(etc, b"tiny").unwrap();
        let dir = fs.detach(big, b"dir with a new place and name").unwrap();
        fs.create(etc, b"in between", NewKind::File(b"x"), &meta).unwrap();
        fs.attach(tiny, root, b"moved").unwrap();
        fs.attach(moved, etc, b"tiny").unwrap();
        fs.attach(dir, big, b"dir with a new place and name").unwrap();
        let mtime = Some(Timestamp { seconds: 1_000_000_000, nanos: 0 });
        let old = NewMeta { mtime, ..meta.clone() };
        let old = fs.create(etc, b"old", NewKind::File(b"old"), &old).unwrap();
        assert_eq!(fs.view().stat(old).unwrap().mtime.seconds, 1_000_000_000);
        if profile.unix {
            fs.link(old, root, b"older").unwrap();
            assert_eq!(fs.view().stat(old).unwrap().links, 2);
            let device = (259, 70_000);
            let node = fs
                .create(etc, b"disk", NewKind::Special(Kind::BlockDevice, device), &meta)
                .unwrap();
            assert_eq!(fs.view().stat(node).unwrap().device, Some(device));
            fs.create(etc, b"fifo", NewKind::Special(Kind::Fifo, (0, 0)), &meta).unwrap();
        }
    });
    step(&|fs| {
        let big = at(fs.view(), "/big");
        for number in (0..big_names(&profile)).step_by(3) {
            let name = format!("a rather long name number {number:05}.txt");
            fs.remove(big, name.as_bytes()).unwrap();
        }
        for number in 0..300 {
            let name = format!("other long names come in here {number:06}");
            fs.create(big, name.as_bytes(), NewKind::File(b""), &NewMeta::default()).unwrap();
        }
    });
    step(&|fs| {
        let node = at(fs.view(), "/etc/small");
        let mtime = Some(Timestamp { seconds: 1_000_000_000, nanos: 0 });
        fs.set_meta(node, &MetaChange { mtime, ..MetaChange::default() }).unwrap();
        if profile.unix {
            let change = MetaChange {
                mode: Some(0o4711),
                uid: Some(3),
                gid: Some(99_999),
                xattrs: vec![
                    ("user.one".to_owned(), Some(content(1, 30))),
                    ("user.two".to_owned(), Some(content(2, 300))),
                ],
                ..MetaChange::default()
            };
            fs.set_meta(node, &change).unwrap();
            let shadow = at(fs.view(), "/etc/shadow");
            let change = MetaChange {
                xattrs: vec![
                    ("user.zeta".to_owned(), None),
                    ("user.not-there".to_owned(), None),
                    ("user.alpha".to_owned(), Some(b"short".to_vec())),
                ],
                ..MetaChange::default()
            };
            fs.set_meta(shadow, &change).unwrap();
            fs.replace(shadow, b"xattrs and owner stay").unwrap();
        }
    });
    step(&|fs| {
        let root = fs.view().root();
        fs.remove_tree(root, b"big").unwrap();
        fs.remove_tree(root, b"moved").unwrap();
    });
    // No edit at all is an edit too.
    step(&|_| {});
}

/// What has to be refused, and as what.
pub(crate) fn refusals(subject: &Subject<'_>) {
    let mut spec = tree(&subject.profile);
    let made = (subject.make)(&mut spec);
    let meta = meta(&subject.profile);
    let refused =
        |what: &str, expected: &[&str], edit: &dyn Fn(&mut dyn EditFs) -> Result<(), FsError>| {
            let spent = made.copy();
            let mut editor = spent.edit(&OPTIONS);
            fails(what, edit(&mut *editor), expected);
        };
    let file = NewKind::File(b"x");
    for (what, name, expected) in [
        ("an empty name", &b""[..], "BadName"),
        ("a dot", b".", "BadName"),
        ("two dots", b"..", "BadName"),
        ("a slash", b"a/b", "BadName"),
        ("a NUL", b"a\0b", "BadName"),
        ("a long name", &[b'n'; 256], "BadName"),
        ("a taken name", b"hostname", "Exists"),
        ("a taken directory", b"deep", "Exists"),
    ] {
        refused(what, &[expected], &|fs| {
            let etc = at(fs.view(), "/etc");
            fs.create(etc, name, file, &meta).map(|_| ())
        });
        refused(what, &[expected], &|fs| {
            let etc = at(fs.view(), "/etc");
            fs.rename(etc, b"tiny", etc, name)
        });
    }
    refused("create in a file", &["NotADirectory"], &|fs| {
        let node = at(fs.view(), "/etc/hostname");
        fs.create(node, b"x", file, &meta).map(|_| ())
    });
    refused("create in no node", &["NotFound", "Corrupt", "NotADirectory"], &|fs| {
        fs.create(Node(u64::MAX), b"x", file, &meta).map(|_| ())
    });
    refused("remove what is not there", &["NotFound"], &|fs| {
        let etc = at(fs.view(), "/etc");
        fs.remove(etc, b"nothing")
    });
    refused("remove_tree of what is not there", &["NotFound"], &|fs| {
        let etc = at(fs.view(), "/etc");
        fs.remove_tree(etc, b"nothing")
    });
    refused("remove in a file", &["NotADirectory"], &|fs| {
        let node = at(fs.view(), "/etc/hostname");
        fs.remove(node, b"x")
    });
    refused("remove of a directory that is not empty", &["IsADirectory"], &|fs| {
        let root = fs.view().root();
        fs.remove(root, b"etc")
    });
    refused("replace of a directory", &["IsADirectory"], &|fs| {
        let node = at(fs.view(), "/etc");
        fs.replace(node, b"x")
    });
    refused("replace of no node", &["NotFound", "Corrupt"], &|fs| fs.replace(Node(u64::MAX), b"x"));
    refused("wiping a directory", &["IsADirectory"], &|fs| {
        let node = at(fs.view(), "/etc");
        fs.wipe(node, 0)
    });
    refused("wiping no node", &["NotFound", "Corrupt"], &|fs| fs.wipe(Node(u64::MAX), 0));
    refused("set_meta of no node", &["NotFound", "Corrupt"], &|fs| {
        fs.set_meta(Node(u64::MAX), &MetaChange { mode: Some(0), ..MetaChange::default() })
    });
    refused("rename of what is not there", &["NotFound"], &|fs| {
        let etc = at(fs.view(), "/etc");
        fs.rename(etc, b"nothing", etc, b"x")
    });
    refused("rename of a directory below itself", &["BadName"], &|fs| {
        let (root, below) = (fs.view().root(), at(fs.view(), "/etc/deep/er"));
        fs.rename(root, b"etc", below, b"x")
    });
    refused("rename of a directory into itself", &["BadName"], &|fs| {
        let (root, etc) = (fs.view().root(), at(fs.view(), "/etc"));
        fs.rename(root, b"etc", etc, b"x")
    });
    if subject.profile.folds_case {
        refused("a name that differs in case only", &["Exists"], &|fs| {
            let etc = at(fs.view(), "/etc");
            fs.create(etc, b"HostName", file, &meta).map(|_| ())
        });
    }
    refused("a detached directory put below itself", &["BadName"], &|fs| {
        let (root, below) = (fs.view().root(), at(fs.view(), "/etc/deep/er"));
        let node = fs.detach(root, b"etc").unwrap();
        fs.attach(node, below, b"x")
    });
    refused("a second name that is taken", &["Exists", "CannotStore"], &|fs| {
        let (etc, node) = (at(fs.view(), "/etc"), at(fs.view(), "/etc/tiny"));
        fs.link(node, etc, b"hostname")
    });
    refused("a second name of a directory", &["IsADirectory", "CannotStore"], &|fs| {
        let (root, etc) = (fs.view().root(), at(fs.view(), "/etc"));
        fs.link(etc, root, b"x")
    });
    if !subject.profile.unix {
        refused("a pipe", &["CannotStore"], &|fs| {
            let etc = at(fs.view(), "/etc");
            fs.create(etc, b"pipe2", NewKind::Special(Kind::Fifo, (0, 0)), &meta).map(|_| ())
        });
        refused("a symlink", &["CannotStore"], &|fs| {
            let etc = at(fs.view(), "/etc");
            fs.create(etc, b"link", NewKind::Symlink(b"x"), &meta).map(|_| ())
        });
    }
}

/// What `finish` counts, and that the same edits give the same bytes.
pub(crate) fn finishes(subject: &Subject<'_>) {
    let mut spec = tree(&subject.profile);
    for number in 0..10 {
        spec.file(&format!("/etc/gone-{number}"), content(number, 10_000));
    }
    let made = (subject.make)(&mut spec);
    let edit = |made: &dyn Made, options: &EditOptions| {
        let mut editor = made.edit(options);
        let etc = at(editor.view(), "/etc");
        for number in 0..10 {
            editor.remove(etc, format!("gone-{number}").as_bytes()).unwrap();
        }
        editor.create(etc, b"made", NewKind::File(b"x"), &NewMeta::default()).unwrap();
        editor.finish().unwrap()
    };
    for keep_free_space in [false, true] {
        let options = EditOptions { keep_free_space, ..OPTIONS };
        let (one, two) = (made.copy(), made.copy());
        let freed = edit(&*one, &options);
        let again = edit(&*two, &options);
        assert_eq!(freed, again);
        assert_eq!(one.digest(), two.digest(), "the same edits give the same bytes");
        if one.digest().is_some() {
            // One of the ten is used again by the new file.
            assert!((9..=10).contains(&freed.nodes), "{freed:?}");
            assert!(freed.bytes >= 9 * 10_000, "{freed:?}");
            assert!(freed.discarded >= freed.bytes, "{freed:?}");
        } else {
            assert_eq!(freed.nodes, 10);
        }
    }
}

/// Every part of the suite.
pub(crate) fn suite(subject: &Subject<'_>) {
    reads(subject);
    edits(subject);
    refusals(subject);
    finishes(subject);
}

#[test]
fn the_model_keeps_the_contract() {
    for profile in [model::UNIX, model::FAT] {
        let make = |spec: &mut Spec| -> Box<dyn Made> {
            Box::new(ModelMade(Arc::new(Mutex::new(Model::new(profile, spec)))))
        };
        suite(&Subject { profile, make: &make });
    }
}
