//! A comparison of two trees accepts exactly the plan's difference.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sysprep_rs::apply::verify::{Comparison, Expected, VerifyLevel, Witness, compare};
use sysprep_rs::apply::{edit, edit_all};
use sysprep_rs::fs::{
    EditFs, EditOptions, Kind, MetaChange, NewKind, NewMeta, Node, ReadFs, Timestamp, Xattr,
};
use sysprep_rs::operation::{Action, Content, Replaced};
use sysprep_rs::path::GuestPath;

use crate::support::model::{Model, ModelEditor, UNIX};
use crate::support::random::{Random, rounds, seed};
use crate::support::spec::{Body, Spec, path};

const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };
const OPTIONS: EditOptions = EditOptions { now: NOW, keep_free_space: false };

/// A tree of a few dozen paths: files, directories, links, hard links, a device.
pub(crate) fn tree(random: &mut Random) -> Spec {
    let mut spec = Spec::default();
    let mut dirs = vec![GuestPath::root()];
    for n in 0..8 {
        let dir = random.pick(&dirs).join(format!("dir{n}").as_bytes());
        spec.add(dir.clone(), Body::Directory);
        dirs.push(dir);
    }
    for n in 0..30 {
        let path = random.pick(&dirs).join(format!("name{n}").as_bytes());
        let item = match random.below(8) {
            0 => spec.add(path, Body::Symlink(format!("to{n}").into_bytes())),
            1 => spec.add(path, Body::Special(Kind::Fifo, 0, 0)),
            _ => {
                let len = random.below(6000);
                let content = (0..len).map(|_| random.below(256) as u8).collect();
                spec.add(path, Body::File(content))
            }
        };
        item.uid = random.below(3) as u32 * 500;
        if random.one_in(4) && matches!(item.body, Body::File(_)) {
            item.xattrs.insert("user.note".to_owned(), vec![n as u8; 9]);
        }
    }
    spec.file("/linked", "two names");
    spec.add(path("/linked-too"), Body::HardLink(path("/linked")));
    spec
}

/// Every path below the root with its node and kind.
fn paths(fs: &dyn ReadFs) -> Vec<(GuestPath, Node, Kind)> {
    let mut found = Vec::new();
    let mut ahead = vec![(GuestPath::root(), fs.root())];
    while let Some((dir, node)) = ahead.pop() {
        fs.entries(node, &mut |entry| {
            let kind = fs.stat(entry.node).unwrap().kind;
            found.push((dir.join(entry.name), entry.node, kind));
            if kind == Kind::Directory {
                ahead.push((dir.join(entry.name), entry.node));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    found.sort();
    found
}

fn meta(random: &mut Random) -> NewMeta {
    NewMeta {
        mode: 0o600 + random.below(64) as u16,
        uid: random.below(3) as u32,
        gid: 7,
        xattrs: if random.one_in(2) {
            vec![Xattr { name: "user.new".to_owned(), value: b"value".to_vec() }]
        } else {
            Vec::new()
        },
        ..NewMeta::default()
    }
}

/// A plan's changes for a tree: in the order of paths, one a path, nothing below what is removed.
pub(crate) fn changes(random: &mut Random, fs: &dyn ReadFs) -> BTreeMap<GuestPath, Action> {
    let mut changes: BTreeMap<GuestPath, Action> = BTreeMap::new();
    for (path, node, kind) in paths(fs) {
        if path.name() == Some(b"lost+found")
            || changes.iter().any(|(dir, action)| {
                path.starts_with(dir) && !matches!(action, Action::Update { .. })
            })
        {
            continue;
        }
        let stat = fs.stat(node).unwrap();
        let action = match (random.below(12), kind) {
            (0, _) => Action::Remove { kind, nodes: 1, bytes: stat.size },
            (1, Kind::File) => Action::Update {
                content: Some(format!("new content of {path}\n").into_bytes().into()),
                bytes_before: stat.size,
                meta: MetaChange::default(),
            },
            (2, Kind::File) => Action::Update {
                content: Some(Vec::new().into()),
                bytes_before: stat.size,
                meta: MetaChange { mode: Some(0o640), ..MetaChange::default() },
            },
            (3, Kind::File | Kind::Directory) => Action::Update {
                content: None,
                bytes_before: stat.size,
                meta: MetaChange {
                    mode: Some(0o700),
                    gid: Some(77),
                    mtime: random.one_in(2).then_some(Timestamp { seconds: 5, nanos: 0 }),
                    xattrs: vec![
                        ("user.note".to_owned(), None),
                        ("user.more".to_owned(), Some(vec![1, 2, 3])),
                    ],
                    ..MetaChange::default()
                },
            },
            (7, _) => {
                let replaces = Some(Replaced { kind, nodes: 1, bytes: stat.size });
                let content = b"in its place\n".to_vec().into();
                Action::CreateFile { content, meta: meta(random), replaces }
            }
            (8, _) => {
                let replaces = Some(Replaced { kind, nodes: 1, bytes: stat.size });
                let content = b"in a new place\n".to_vec().into();
                let file = Action::CreateFile { content, meta: meta(random), replaces: None };
                changes.insert(path.join(b"dir1"), file);
                Action::CreateDirectory { meta: meta(random), replaces }
            }
            (4 | 5, Kind::Directory) => {
                let meta = meta(random);
                let content = b"made anew\n".to_vec().into();
                changes.insert(
                    path.join(b"new file"),
                    Action::CreateFile { content, meta, replaces: None },
                );
                continue;
            }
            (6, Kind::Directory) => {
                let new = path.join(b"new directory");
                let target = b"/somewhere/else".to_vec();
                let symlink = Action::CreateSymlink { target, meta: meta(random), replaces: None };
                changes.insert(new.join(b"new link"), symlink);
                changes.insert(new, Action::CreateDirectory { meta: meta(random), replaces: None });
                continue;
            }
            _ => continue,
        };
        changes.insert(path, action);
    }
    changes
}

/// Something that is done and not planned, or planned and not done.
#[derive(Debug)]
enum Deviation {
    LeaveOut(GuestPath),
    /// Done, but not quite.
    Alter(GuestPath),
    Remove(GuestPath),
    Rewrite(GuestPath),
    Chmod(GuestPath),
    Xattr(GuestPath),
    Create(GuestPath),
    Rename(GuestPath),
}

impl Deviation {
    fn path(&self) -> &GuestPath {
        match self {
            Self::LeaveOut(path)
            | Self::Alter(path)
            | Self::Remove(path)
            | Self::Rewrite(path)
            | Self::Chmod(path)
            | Self::Xattr(path)
            | Self::Create(path)
            | Self::Rename(path) => path,
        }
    }

    /// Every deviation there can be after `changes` were made to give `fs`.
    fn all(changes: &BTreeMap<GuestPath, Action>, fs: &dyn ReadFs) -> Vec<Self> {
        let mut all = Vec::new();
        let both = ["/linked", "/linked-too"].iter().all(|it| changes.contains_key(&path(it)));
        for (path, action) in changes {
            // One file under two names: what is done to one may be done to the other too.
            if both && path.to_string().starts_with("/linked") {
                continue;
            }
            // Without the directory, what is in it cannot be made.
            if !matches!(action, Action::CreateDirectory { .. }) {
                all.push(Self::LeaveOut(path.clone()));
            }
            if !matches!(action, Action::Remove { .. } | Action::CreateSymlink { .. }) {
                all.push(Self::Alter(path.clone()));
            }
        }
        all.push(Self::Create(path("/unplanned")));
        for (path, _, kind) in paths(fs) {
            all.push(Self::Remove(path.clone()));
            all.push(Self::Rename(path.clone()));
            match kind {
                Kind::File => all.push(Self::Rewrite(path.clone())),
                Kind::Directory => all.push(Self::Create(path.join(b"unplanned"))),
                _ => {}
            }
            if kind != Kind::Symlink {
                all.push(Self::Chmod(path.clone()));
            }
            if matches!(kind, Kind::File | Kind::Directory) {
                all.push(Self::Xattr(path));
            }
        }
        all
    }

    /// Makes the changes with this deviation.
    fn make(&self, editor: &mut dyn EditFs, changes: &BTreeMap<GuestPath, Action>) {
        let mut changes = changes.clone();
        match self {
            Self::LeaveOut(path) => drop(changes.remove(path)),
            Self::Alter(path) => {
                let action = altered(&changes[path]);
                changes.insert(path.clone(), action);
            }
            _ => {}
        }
        edit_all(editor, &changes).unwrap();
        let path = self.path();
        let node = |editor: &dyn EditFs, path: &GuestPath| {
            let fs = editor.view();
            path.names().fold(fs.root(), |dir, name| fs.lookup(dir, name).unwrap().unwrap())
        };
        let update = |editor: &mut dyn EditFs, meta: MetaChange| {
            let action = Action::Update { content: None, bytes_before: 0, meta };
            edit(editor, path, &action).unwrap();
        };
        match self {
            Self::LeaveOut(_) | Self::Alter(_) => {}
            Self::Remove(_) => {
                let action = Action::Remove { kind: Kind::File, nodes: 1, bytes: 0 };
                edit(editor, path, &action).unwrap();
            }
            Self::Rewrite(_) => {
                // One byte, the length the same where there is one to change.
                let file = node(editor, path);
                let mut content = editor.view().read(file, 1 << 20).unwrap();
                match content.last_mut() {
                    Some(last) => *last ^= 1,
                    None => content.push(b'x'),
                }
                editor.replace(file, &content).unwrap();
            }
            Self::Chmod(_) => {
                let mode = editor.view().stat(node(editor, path)).unwrap().mode ^ 0o1;
                update(editor, MetaChange { mode: Some(mode), ..MetaChange::default() });
            }
            Self::Xattr(_) => {
                let xattrs = vec![("user.unplanned".to_owned(), Some(vec![1]))];
                update(editor, MetaChange { xattrs, ..MetaChange::default() });
            }
            Self::Create(_) => {
                let dir = node(editor, &path.parent().unwrap());
                let kind = NewKind::File(b"unplanned");
                editor.create(dir, path.name().unwrap(), kind, &NewMeta::default()).unwrap();
            }
            Self::Rename(_) => {
                let dir = node(editor, &path.parent().unwrap());
                editor.rename(dir, path.name().unwrap(), dir, b"unplanned").unwrap();
            }
        }
    }
}

/// The action with one thing about it changed.
fn altered(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::CreateFile { content: Content::Inline(content), .. } => content[0] ^= 1,
        Action::CreateDirectory { meta, .. } => meta.uid += 1,
        Action::Update { content: Some(Content::Inline(content)), .. } => content.push(b'!'),
        Action::Update { meta, .. } => meta.gid = Some(78),
        _ => unreachable!("not altered"),
    }
    action
}

fn judge(
    before: &dyn ReadFs,
    after: &dyn ReadFs,
    changes: &BTreeMap<GuestPath, Action>,
    level: VerifyLevel,
) -> Comparison {
    let before = Witness { own: before, judge: None };
    let after = Witness { own: after, judge: None };
    compare(before, after, Expected::new(changes, NOW), level)
}

/// Each looked up from the root, this would be half a million lookups.
#[test]
fn paths_that_share_their_way_are_not_looked_up_from_the_root_each() {
    const DEPTH: u64 = 1000;
    let mut deep = GuestPath::root();
    let meta = NewMeta { mode: 0o755, ..NewMeta::default() };
    let mut changes = BTreeMap::new();
    for _ in 0..DEPTH {
        deep.push(b"d");
        let made = Action::CreateDirectory { meta: meta.clone(), replaces: None };
        changes.insert(deep.clone(), made);
    }
    let before = Model::new(UNIX, &Spec::default());
    let place = Arc::new(Mutex::new(before.clone()));
    let mut editor = ModelEditor::new(&place, &OPTIONS);
    let looked_up = || before.lookups.swap(0, std::sync::atomic::Ordering::Relaxed);
    edit_all(&mut editor, &changes).unwrap();
    let editing = looked_up();
    assert!((DEPTH - 1..3 * DEPTH).contains(&editing), "{editing} lookups to edit");
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        let result = judge(&before, editor.view(), &changes, level);
        assert_eq!((result.findings, result.paths >= DEPTH), (vec![], true));
        let comparing = looked_up();
        assert!((DEPTH..20 * DEPTH).contains(&comparing), "{comparing} lookups to compare");
        println!("{editing} lookups to edit, {comparing} to compare");
    }
}

#[test]
fn a_deviation_from_the_plan_is_always_found() {
    let first = seed(1);
    let mut kinds = BTreeMap::new();
    for seed in first..first + rounds(6) as u64 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let before = Model::new(UNIX, &tree(&mut random));
        let changes = changes(&mut random, &before);
        let place = Arc::new(Mutex::new(before.clone()));
        let mut editor = ModelEditor::new(&place, &OPTIONS);
        edit_all(&mut editor, &changes).unwrap();
        for level in [VerifyLevel::Touched, VerifyLevel::Full] {
            let result = judge(&before, editor.view(), &changes, level);
            assert!(result.findings.is_empty(), "{changes:#?}\n{:#?}", result.findings);
            assert_eq!((result.unread, result.more), (0, 0));
            assert!(result.paths >= changes.len() as u64);
        }

        // The directories that the default level lists, and so answers for.
        let mut touched: Vec<GuestPath> = vec![];
        for (path, action) in &changes {
            let parents = std::iter::successors(path.parent(), GuestPath::parent);
            touched.extend(parents);
            if matches!(action, Action::CreateDirectory { .. }) {
                touched.push(path.clone());
            }
        }
        for deviation in Deviation::all(&changes, editor.view()) {
            let mut other = ModelEditor::new(&place, &OPTIONS);
            deviation.make(&mut other, &changes);
            let full = judge(&before, other.view(), &changes, VerifyLevel::Full);
            assert!(!full.findings.is_empty(), "seed {seed}: full misses {deviation:?}");
            if deviation.path().parent().is_some_and(|dir| touched.contains(&dir)) {
                let result = judge(&before, other.view(), &changes, VerifyLevel::Touched);
                assert!(!result.findings.is_empty(), "seed {seed}: missed {deviation:?}");
                let kind = std::mem::discriminant(&deviation);
                *kinds.entry(format!("{kind:?}")).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}
