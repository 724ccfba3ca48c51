//! Edits beside those that mtools makes, and what FAT cannot store.

use super::*;

/// One edit, for our editor and for mtools.
enum Step {
    Create(String, Vec<u8>),
    Directory(String),
    Replace(String, Vec<u8>),
    Remove(String),
    RemoveTree(String),
    Rename(String, String),
    ReadOnly(String, bool),
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap()
}

fn ours(editor: &mut dyn EditFs, step: &Step) {
    let dir = |editor: &dyn EditFs, path: &str| at(editor.view(), split(path).0);
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    match step {
        Step::Create(path, bytes) => {
            let dir = dir(editor, path);
            editor.create(dir, split(path).1.as_bytes(), NewKind::File(bytes), &meta).unwrap();
        }
        Step::Directory(path) => {
            let dir = dir(editor, path);
            editor.create(dir, split(path).1.as_bytes(), NewKind::Directory, &meta).unwrap();
        }
        Step::Replace(path, bytes) => {
            let node = at(editor.view(), path);
            editor.replace(node, bytes).unwrap();
        }
        Step::Remove(path) => {
            let dir = dir(editor, path);
            editor.remove(dir, split(path).1.as_bytes()).unwrap();
        }
        Step::RemoveTree(path) => {
            let dir = dir(editor, path);
            editor.remove_tree(dir, split(path).1.as_bytes()).unwrap();
        }
        Step::Rename(from, to) => {
            let node = at(editor.view(), from);
            let (from_dir, to_dir) = (dir(editor, from), dir(editor, to));
            let (name, new_name) = (split(from).1.as_bytes(), split(to).1.as_bytes());
            editor.rename(from_dir, name, to_dir, new_name).unwrap();
            assert_eq!(at(editor.view(), to), node, "a node stays what it is");
        }
        Step::ReadOnly(path, read_only) => {
            let mode = Some(if *read_only { 0o555 } else { 0o755 });
            let node = at(editor.view(), path);
            editor.set_meta(node, &MetaChange { mode, ..MetaChange::default() }).unwrap();
        }
    }
}

fn theirs(image: &Path, dir: &Path, step: &Step) {
    let image = image.to_str().unwrap();
    let place = |path: &str| format!("::{path}");
    let tool = |name: &str, args: &[&str]| {
        let mut all = vec!["-i", image];
        all.extend(args);
        succeed(name, "mtools", &all);
    };
    match step {
        Step::Create(path, bytes) | Step::Replace(path, bytes) => {
            let file = dir.join("content");
            fs::write(&file, bytes).unwrap();
            tool("mcopy", &["-D", "o", "-o", file.to_str().unwrap(), &place(path)]);
        }
        Step::Directory(path) => tool("mmd", &[&place(path)]),
        Step::Remove(path) => {
            tool("mattrib", &["-r", &place(path)]);
            tool("mdel", &[&place(path)]);
        }
        Step::RemoveTree(path) => tool("mdeltree", &[&place(path)]),
        Step::Rename(from, to) => tool("mmove", &[&place(from), &place(to)]),
        Step::ReadOnly(path, on) => tool("mattrib", &[if *on { "+r" } else { "-r" }, &place(path)]),
    }
}

/// The paths there are.
struct Paths {
    files: Vec<String>,
    directories: Vec<String>,
}

impl Paths {
    fn step(&mut self, random: &mut Random, number: u64, largest: u64) -> Step {
        let file = |paths: &Self, random: &mut Random| {
            paths.files[random.below(paths.files.len() as u64) as usize].clone()
        };
        let dir = |paths: &Self, random: &mut Random| {
            paths.directories[random.below(paths.directories.len() as u64) as usize].clone()
        };
        let kind = random.below(10);
        let new = |paths: &Self, random: &mut Random| {
            let names = [
                "NEW",
                "new name",
                "a rather long new name that takes slots",
                "ein neuer Name mit ü ",
            ];
            let name = names[random.below(names.len() as u64) as usize];
            format!("{}/{name}{number}", dir(paths, random))
        };
        let bytes = |random: &mut Random| {
            let len = random.below(largest) as usize;
            random.bytes(len)
        };
        match kind {
            0..=2 => {
                let path = new(self, random);
                self.files.push(path.clone());
                Step::Create(path, bytes(random))
            }
            3 => {
                let path = new(self, random);
                self.directories.push(path.clone());
                Step::Directory(path)
            }
            4 if !self.files.is_empty() => Step::Replace(file(self, random), bytes(random)),
            5 | 6 if !self.files.is_empty() => {
                let path = file(self, random);
                self.files.retain(|other| *other != path);
                Step::Remove(path)
            }
            7 if self.directories.len() > 2 => {
                let path = self.directories
                    [1 + random.below(self.directories.len() as u64 - 1) as usize]
                    .clone();
                let below = format!("{path}/");
                self.files.retain(|other| !other.starts_with(&below));
                self.directories.retain(|other| *other != path && !other.starts_with(&below));
                Step::RemoveTree(path)
            }
            8 if !self.files.is_empty() => {
                let from = file(self, random);
                let to = new(self, random);
                self.files.retain(|other| *other != from);
                self.files.push(to.clone());
                Step::Rename(from, to)
            }
            9 if self.directories.len() > 2 => {
                let from = self.directories
                    [1 + random.below(self.directories.len() as u64 - 1) as usize]
                    .clone();
                let to = new(self, random);
                let below = format!("{from}/");
                if to.starts_with(&below) {
                    return self.step(random, number, largest);
                }
                for path in self.files.iter_mut().chain(&mut self.directories) {
                    if *path == from || path.starts_with(&below) {
                        *path = format!("{to}{}", &path[from.len()..]);
                    }
                }
                Step::Rename(from, to)
            }
            _ => match self.files.first() {
                Some(path) => Step::ReadOnly(path.clone(), number.is_multiple_of(2)),
                None => {
                    let path = new(self, random);
                    self.files.push(path.clone());
                    Step::Create(path, bytes(random))
                }
            },
        }
    }
}

fn random_edits(which: usize, keep_free_space: bool) {
    let shape = SHAPES[which];
    let mut random = Random::new("random FAT edits", which as u64 + 70);
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), shape);
    let disk = Arc::new(Disk::from_file(&path));
    let mut paths = Paths { files: Vec::new(), directories: vec![String::new()] };
    for (path, object) in snapshot::of_fs(&*open(&disk)).unwrap() {
        let text = String::from_utf8(path.to_bytes()).unwrap();
        match object.kind {
            _ if path.is_root() => {}
            Some(Kind::Directory) => paths.directories.push(text),
            _ => paths.files.push(text),
        }
    }
    let mut number = 0;
    for round in 0..3 {
        let options = EditOptions { now: NOW, keep_free_space };
        let mut editor = edit(&disk, &options);
        for _ in 0..12 {
            number += 1;
            let step = paths.step(&mut random, number, 20_000);
            ours(&mut *editor, &step);
            theirs(&path, dir.path(), &step);
        }
        let seen = snapshot::of_fs(editor.view()).unwrap();
        editor.finish().unwrap();
        let mut mtools_did = mtools::snapshot(&path);
        // The other image's new files have the time of the test.
        for object in mtools_did.values_mut() {
            object.mtime = None;
        }
        let we_did = right(&disk, dir.path());
        assert_same(&format!("round {round}"), &mtools_did, &we_did);
        assert_same("the editor's view", &seen, &snapshot::of_fs(&*open(&disk)).unwrap());
        // What was made read-only is so for both.
        let fs = open(&disk);
        for file in &paths.files {
            let mode = fs.stat(at(&*fs, file)).unwrap().mode;
            let place = format!("::{file}");
            let listed = succeed("mattrib", "mtools", &["-i", text(&path), &place]);
            let listed = String::from_utf8_lossy(&listed).into_owned();
            let flags = listed.split("::").next().unwrap();
            assert_eq!(mode == 0o555, flags.contains('R'), "{file}: {listed}");
        }
    }
}

#[test]
fn random_edits_of_fat12() {
    random_edits(0, false);
    random_edits(1, true);
}

#[test]
fn random_edits_of_fat16() {
    random_edits(2, false);
    random_edits(4, false);
}

#[test]
fn random_edits_of_fat32() {
    random_edits(5, false);
    random_edits(6, true);
}

#[test]
fn the_same_edit_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let base = Disk::from_file(&image(dir.path(), SHAPES[5]));
    let run = || {
        let disk = Arc::new(base.clone());
        let mut editor = edit(&disk, &options());
        for step in [
            Step::RemoveTree("/many".to_owned()),
            Step::Create("/new file".to_owned(), content(9, 5000)),
            Step::Rename("/EFI/debian".to_owned(), "/Debian".to_owned()),
        ] {
            ours(&mut *editor, &step);
        }
        editor.finish().unwrap();
        let mut hasher = blake3::Hasher::new();
        disk.stored(|at, bytes| {
            hasher.update(&at.to_le_bytes());
            hasher.update(bytes);
        });
        hasher.finalize()
    };
    assert_eq!(run(), run());
}

#[test]
fn what_fat_cannot_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::from_file(&image(dir.path(), SHAPES[2])));
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    let file = NewKind::File(b"x");
    for name in [&b""[..], b".", b"..", b"a/b", b"a:b", b"dot.", b"blank ", b"\xff", &[b'x'; 256]] {
        let made = editor.create(root, name, file, &meta);
        assert!(matches!(made, Err(FsError::BadName)), "{name:?}: {made:?}");
    }
    let exists = editor.create(root, b"efi", file, &meta);
    assert!(matches!(exists, Err(FsError::Exists)), "names differ by more than their case");
    let link = editor.create(root, b"link", NewKind::Symlink(b"x"), &meta);
    assert!(matches!(link, Err(FsError::CannotStore(_))));
    let owned = editor.create(root, b"o", file, &NewMeta { uid: 1, ..meta.clone() });
    assert!(matches!(owned, Err(FsError::CannotStore(_))));
    let special = editor.create(root, b"o", file, &NewMeta { mode: 0o4755, ..meta.clone() });
    assert!(matches!(special, Err(FsError::CannotStore(_))));
    assert!(matches!(editor.remove(root, b"EFI"), Err(FsError::IsADirectory)));
    assert!(matches!(editor.remove(root, b"none"), Err(FsError::NotFound)));
    let efi = at(editor.view(), "/efi");
    assert!(matches!(editor.replace(efi, b""), Err(FsError::IsADirectory)));
    let below = at(editor.view(), "/EFI/BOOT");
    assert!(matches!(editor.rename(root, b"EFI", below, b"x"), Err(FsError::BadName)));
    assert!(matches!(editor.rename(root, b"EFI", root, b"many"), Err(FsError::Exists)));
    editor.rename(root, b"EFI", root, b"Efi").unwrap();
    let boot = at(editor.view(), "/EFI/BOOT/bootx64.efi");
    let change = |mode| MetaChange { mode: Some(mode), ..MetaChange::default() };
    for mode in [0o644, 0o600, 0o777, 0o4755] {
        assert!(matches!(editor.set_meta(boot, &change(mode)), Err(FsError::CannotStore(_))));
    }
    editor.set_meta(boot, &change(0o555)).unwrap();
    assert_eq!(editor.view().stat(boot).unwrap().mode, 0o555);
    let times = MetaChange { mtime: Some(THEN), atime: Some(THEN), ..MetaChange::default() };
    editor.set_meta(boot, &times).unwrap();
    assert_eq!(editor.view().stat(boot).unwrap().mtime, THEN);
    let owner = MetaChange { uid: Some(0), gid: Some(0), ..MetaChange::default() };
    editor.set_meta(boot, &owner).unwrap();
    let owner = MetaChange { uid: Some(5), ..MetaChange::default() };
    assert!(matches!(editor.set_meta(boot, &owner), Err(FsError::CannotStore(_))));
    // Reading what is not there, or is something else.
    let view = editor.view();
    assert!(matches!(view.stat(Node(77)), Err(FsError::NotFound)));
    assert!(matches!(view.read_at(efi, 0, &mut [0]), Err(FsError::IsADirectory)));
    assert!(matches!(view.lookup(boot, b"x"), Err(FsError::NotADirectory)));
    editor.finish().unwrap();
    right(&disk, dir.path());
    assert!(snapshot::of_fs(&*open(&disk)).unwrap().contains_key(&"/Efi/BOOT".parse().unwrap()));
}

#[test]
fn full_directories_and_full_disks() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::from_file(&image(dir.path(), SHAPES[0])));
    let meta = NewMeta { mode: 0o644, ..NewMeta::default() };
    // Whether the root directory of FAT12, which cannot grow, takes what fits, and no more.
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    let fill = |editor: &mut dyn EditFs, dir: Node, len: usize| {
        let mut made = 0;
        loop {
            let name = format!("one more file of a long name {made}");
            match editor.create(dir, name.as_bytes(), NewKind::File(&vec![7; len]), &meta) {
                Ok(_) => made += 1,
                Err(FsError::NoSpace) => return made,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let made = fill(&mut *editor, root, 0);
    assert!(made > 100, "{made}");
    editor.finish().unwrap();
    right(&disk, dir.path());
    // A directory grows cluster by cluster, until the disk is full; then all of it goes.
    let before = open(&disk).info().free;
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    let made = fill(&mut *editor, many, 4000);
    assert!(made > 100, "{made}");
    let view = snapshot::of_fs(editor.view()).unwrap();
    assert!(view.len() > made);
    let disk = Arc::new(Disk::from_file(&dir.path().join("fat.img")));
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    for n in 0..150 {
        let name = format!("one more file of a long name {n}");
        editor.create(many, name.as_bytes(), NewKind::File(&[7; 600]), &meta).unwrap();
    }
    editor.finish().unwrap();
    right(&disk, dir.path());
    let mut editor = edit(&disk, &options());
    let many = at(editor.view(), "/many");
    for n in (0..150).step_by(2) {
        editor.remove(many, format!("ONE MORE file of a long name {n}").as_bytes()).unwrap();
    }
    editor.finish().unwrap();
    right(&disk, dir.path());
    let mut editor = edit(&disk, &options());
    let root = editor.view().root();
    editor.remove_tree(root, b"many").unwrap();
    editor.finish().unwrap();
    right(&disk, dir.path());
    assert!(open(&disk).info().free > before);
}

#[test]
fn fat32_of_fewer_clusters_than_the_specification_asks_for() {
    // As many an ESP is made. mtools takes it for FAT16 and fatfs refuses it; firmware, the kernel
    // and fsck.vfat go by the boot sector.
    let dir = tempfile::tempdir().unwrap();
    let path = recipe::fat(dir.path(), &Spec::default(), 32, &["-s", "1"], 24 * MIB);
    let disk = Arc::new(Disk::from_file(&path));
    let mut editor = edit(&disk, &options());
    for path in ["/EFI", "/EFI/BOOT", "/EFI/debian"] {
        ours(&mut *editor, &Step::Directory(path.to_owned()));
    }
    for (number, path) in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/debian/grub.cfg"].iter().enumerate() {
        let bytes = content(number as u32, 60_000);
        ours(&mut *editor, &Step::Create((*path).to_owned(), bytes));
    }
    ours(&mut *editor, &Step::Rename("/EFI/debian".to_owned(), "/moved to the root".to_owned()));
    editor.finish().unwrap();
    disk.save(&path);
    clean_but_for_its_size(&path);
    assert_eq!(check(&disk), Vec::<String>::new());
    let tree = snapshot::of_fs(&*open(&disk)).unwrap();
    assert_eq!(tree.len(), 6);
    assert_same("the judge", &judged(&disk), &tree);
    let mut editor = edit(&disk, &options());
    ours(&mut *editor, &Step::RemoveTree("/EFI".to_owned()));
    editor.finish().unwrap();
    disk.save(&path);
    clean_but_for_its_size(&path);
    assert!(!on_disk(&disk).contains(&0) && on_disk(&disk).contains(&1));
}

/// `fsck.vfat -n` finds nothing but that there are few clusters, which it warns of.
fn clean_but_for_its_size(image: &Path) {
    let found = run("fsck.vfat", "dosfstools", &["-n", text(image)]);
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    let complaint =
        said.lines().find(|line| !(line.starts_with("fsck.fat ") || line.contains(" files, ")));
    assert!(found.status.success() && complaint.is_none(), "{said}");
    let warned = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(warned.contains("has only 48364 clusters") && warned.lines().count() == 3, "{warned}");
}
