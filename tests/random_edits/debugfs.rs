//! The same random edits made by `debugfs` on a copy: both trees have to be the same.

use std::fs;
use std::path::Path;

use super::*;

/// Turns edits into debugfs commands.
struct Commands<'a> {
    lines: Vec<Vec<u8>>,
    /// Where contents and attribute values lie on the host.
    values: &'a Path,
    count: usize,
    now: i64,
}

fn quoted(text: &[u8]) -> Vec<u8> {
    assert!(!text.contains(&b'"') && !text.contains(&b'\n'), "debugfs cannot be given it");
    [b"\"".as_slice(), text, b"\""].concat()
}

impl Commands<'_> {
    fn say(&mut self, words: &[&[u8]]) {
        self.lines.push(words.join(&b' '));
    }

    fn value(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.count += 1;
        let file = self.values.join(self.count.to_string());
        fs::write(&file, bytes).unwrap();
        file.to_str().expect("text").as_bytes().to_vec()
    }

    fn set(&mut self, path: &GuestPath, field: &str, value: impl std::fmt::Display) {
        let path = quoted(&path.to_bytes());
        self.say(&[b"sif", &path, field.as_bytes(), value.to_string().as_bytes()]);
    }

    fn mode(&mut self, path: &GuestPath, kind: Kind, mode: u16) {
        let format = match kind {
            Kind::File => 0o100_000,
            Kind::Directory => 0o40000,
            Kind::Symlink => 0o120_000,
            Kind::BlockDevice => 0o60000,
            Kind::CharDevice => 0o20000,
            Kind::Socket => 0o140_000,
            Kind::Fifo => 0o10000,
        };
        self.set(path, "mode", format_args!("0{:o}", format | u32::from(mode)));
    }

    fn xattr(&mut self, path: &GuestPath, name: &str, value: Option<&[u8]>) {
        let at = quoted(&path.to_bytes());
        match value {
            Some(value) => {
                let file = self.value(value);
                self.say(&[b"ea_set", b"-f", &file, &at, name.as_bytes()]);
            }
            None => self.say(&[b"ea_rm", &at, name.as_bytes()]),
        }
    }

    /// Runs a command that takes a name in the current directory.
    fn within(&mut self, path: &GuestPath, words: &[&[u8]]) {
        self.say(&[b"cd", &quoted(&path.parent().expect("not the root").to_bytes())]);
        self.say(words);
        self.say(&[b"cd", b"/"]);
    }

    fn create(&mut self, path: &GuestPath, kind: &OwnedKind, meta: &NewMeta) {
        let name = quoted(path.name().expect("not the root"));
        let (kind, mode) = match kind {
            OwnedKind::File(content) => {
                let file = self.value(content);
                self.within(path, &[b"write", &file, &name]);
                (Kind::File, meta.mode)
            }
            OwnedKind::Directory => {
                self.within(path, &[b"mkdir", &name]);
                (Kind::Directory, meta.mode)
            }
            OwnedKind::Symlink(target) => {
                self.within(path, &[b"symlink", &name, &quoted(target)]);
                (Kind::Symlink, 0o777)
            }
            OwnedKind::Special(kind, major, minor) => {
                let (major, minor) = (major.to_string(), minor.to_string());
                match kind {
                    Kind::Fifo => self.within(path, &[b"mknod", &name, b"p"]),
                    Kind::CharDevice => {
                        self.within(
                            path,
                            &[b"mknod", &name, b"c", major.as_bytes(), minor.as_bytes()],
                        );
                    }
                    _ => {
                        self.within(
                            path,
                            &[b"mknod", &name, b"b", major.as_bytes(), minor.as_bytes()],
                        );
                    }
                }
                (*kind, meta.mode)
            }
        };
        self.mode(path, kind, mode);
        self.set(path, "uid", meta.uid);
        self.set(path, "gid", meta.gid);
        for Xattr { name, value } in &meta.xattrs {
            self.xattr(path, name, Some(value));
        }
        let now = meta.mtime.map_or(self.now, |mtime| mtime.seconds);
        self.set(path, "mtime", format_args!("@{now}"));
    }

    fn remove(&mut self, fs: &dyn ReadFs, path: &GuestPath) {
        let node = locate(fs, path);
        let at = quoted(&path.to_bytes());
        if fs.stat(node).unwrap().kind != Kind::Directory {
            return self.say(&[b"rm", &at]);
        }
        let mut below = Vec::new();
        fs.entries(node, &mut |entry| {
            below.push(path.join(entry.name));
            ControlFlow::Continue(())
        })
        .unwrap();
        below.iter().for_each(|path| self.remove(fs, path));
        self.say(&[b"rmdir", &at]);
    }

    /// Adds an edit to a tree as it is before it; `false` for one that debugfs cannot make.
    fn add(&mut self, fs: &dyn ReadFs, edit: &Edit) -> bool {
        match edit {
            Edit::Create(path, kind, meta) => self.create(path, kind, meta),
            Edit::Replace(path, content) => {
                let node = locate(fs, path);
                let stat = fs.stat(node).unwrap();
                // It cannot replace content, but make the file anew, which has one name then.
                if stat.links > 1 {
                    return false;
                }
                let meta = NewMeta {
                    mode: stat.mode,
                    uid: stat.uid,
                    gid: stat.gid,
                    xattrs: fs.xattrs(node).unwrap(),
                    ..NewMeta::default()
                };
                self.remove(fs, path);
                self.create(path, &OwnedKind::File(content.clone()), &meta);
            }
            Edit::Remove(path) | Edit::RemoveTree(path) => self.remove(fs, path),
            Edit::Rename(from, to) => {
                let kind = fs.stat(locate(fs, from)).unwrap().kind;
                // It leaves '..' as it is.
                if kind == Kind::Directory && from.parent() != to.parent() {
                    return false;
                }
                let (old, new) = (quoted(&from.to_bytes()), quoted(&to.to_bytes()));
                let dir = quoted(&to.parent().expect("not the root").to_bytes());
                self.say(&[b"expand_dir", &dir]);
                self.say(&[b"ln", &old, &new]);
                self.say(&[b"unlink", &old]);
            }
            Edit::Link(file, to) => {
                let links = fs.stat(locate(fs, file)).unwrap().links;
                let dir = quoted(&to.parent().expect("not the root").to_bytes());
                self.say(&[b"expand_dir", &dir]);
                self.say(&[b"ln", &quoted(&file.to_bytes()), &quoted(&to.to_bytes())]);
                self.set(file, "links_count", links + 1);
            }
            Edit::SetMeta(path, change) => {
                let node = locate(fs, path);
                if let Some(mode) = change.mode {
                    self.mode(path, fs.stat(node).unwrap().kind, mode);
                }
                change.uid.iter().for_each(|uid| self.set(path, "uid", uid));
                change.gid.iter().for_each(|gid| self.set(path, "gid", gid));
                let there = fs.xattrs(node).unwrap();
                for (name, value) in &change.xattrs {
                    if value.is_some() || there.iter().any(|xattr| xattr.name == *name) {
                        self.xattr(path, name, value.as_deref());
                    }
                }
                if let Some(mtime) = change.mtime {
                    self.set(path, "mtime", format_args!("@{}", mtime.seconds));
                }
            }
        }
        true
    }
}

/// debugfs leaves a directory's times as they are when its names change.
fn without_directory_times(mut tree: Snapshot) -> Snapshot {
    for object in tree.values_mut().filter(|object| object.kind == Some(Kind::Directory)) {
        object.mtime = None;
    }
    tree
}

fn beside_debugfs(shape: &Shape, seed: u64) {
    println!("SYSPREP_TEST_SEED={seed} {shape:?}");
    let limits = Limits {
        profile: model::UNIX,
        xattr: 150,
        long_xattrs: false,
        target: 1000,
        file: 200_000,
        burst: 40,
    };
    let mut source = Source { random: Random::new(seed), limits, next: 0 };
    let mut spec = source.tree(50);
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut spec, shape.args, shape.mib << 20);
    let copy = dir.path().join("by-debugfs.img");
    fs::copy(&image, &copy).unwrap();
    let values = dir.path().join("contents");
    fs::create_dir(&values).unwrap();
    let driver = crate::conformance::drivers::driver("ext4");
    let place = Arc::new(Mutex::new(Model::new(model::UNIX, &spec)));
    let mut made = 0;
    for step in 0..2 {
        let what = format!("{}, step {step}", shape.name);
        let now = Timestamp { seconds: 1_700_000_000 + 100 * step, nanos: 0 };
        let options = EditOptions { now, keep_free_space: false };
        let mut commands =
            Commands { lines: Vec::new(), values: &values, count: 0, now: now.seconds };
        let disk = Arc::new(Disk::from_file(&image));
        let mut ours = (driver.edit.expect("an editor"))(disk.clone(), &options).unwrap();
        let mut expected = ModelEditor::new(&place, &options);
        for _ in 0..12 {
            for edit in source.edits(expected.model()) {
                if commands.add(expected.model(), &edit) {
                    edit.make(&mut *ours).unwrap_or_else(|error| panic!("{what}: {error}"));
                    edit.make(&mut expected).unwrap();
                    made += 1;
                }
            }
        }
        ours.finish().unwrap();
        Box::new(expected).finish().unwrap();
        disk.save(&image);
        oracle::e2fsck_clean(&image);
        debugfs::script(&copy, true, &commands.lines);
        let theirs = without_directory_times(debugfs::snapshot(&copy));
        assert_same(&what, &theirs, &without_directory_times(debugfs::snapshot(&image)));
        let read = (driver.open)(Arc::new(Disk::from_file(&copy))).unwrap();
        let read = without_directory_times(of_fs(&*read).unwrap());
        assert_same(&format!("{what}, debugfs's edits as we read them"), &theirs, &read);
    }
    assert!(made > 10, "{}: {made} edits", shape.name);
}

/// Not those whose content debugfs shows or writes wrongly: inline data and values in inodes.
fn shapes() -> impl Iterator<Item = (u64, &'static Shape)> {
    let wrong = |shape: &Shape| {
        shape.args.iter().any(|arg| arg.contains("inline_data") || arg.contains("ea_inode"))
    };
    (0..).zip(SHAPES).filter(move |(_, shape)| !wrong(shape))
}

/// One test for each quarter of the shapes, so that they run beside each other.
macro_rules! quarters {
    ($($name:ident $share:literal),*) => {$(
        #[test]
        fn $name() {
            for (index, shape) in shapes().skip($share).step_by(4) {
                for round in 0..rounds(1) as u64 {
                    beside_debugfs(shape, seed(8128) + round * 1000 + index);
                }
            }
        }
    )*};
}

quarters!(one 0, two 1, three 2, four 3);
