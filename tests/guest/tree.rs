//! From a path to a node: symlinks stay in the guest.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sysprep_rs::fs::{Entry, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing, Xattr};
use sysprep_rs::guest::{Files, GuestError, Tree};
use sysprep_rs::path::GuestPath;
use sysprep_rs::volume::VolumeId;

use super::memory::MemoryFs;
use super::{path, single};

#[test]
fn symlinks_are_followed_inside_the_guest() {
    let tree = single(
        MemoryFs::new()
            .file("/usr/bin/sh", "x")
            .link("/bin", "usr/bin")
            .link("/abs", "/usr/bin")
            .link("/up", "../../../usr/./bin/")
            .link("/usr/self", ".")
            .link("/usr/sh", "bin/../bin//sh")
            .link("/chain", "abs")
            .link("/slash", "usr/bin/sh/")
            .link("/through", "usr/bin/sh/../sh")
            .link("/empty", "")
            .link("/gone", "nowhere")
            .link("/host", "/etc/passwd"),
    );
    for (from, located, followed) in [
        ("/bin/sh", Some("/usr/bin/sh"), Some("/usr/bin/sh")),
        ("/abs/sh", Some("/usr/bin/sh"), Some("/usr/bin/sh")),
        ("/up/sh", Some("/usr/bin/sh"), Some("/usr/bin/sh")),
        ("/usr/self/self/bin/sh", Some("/usr/bin/sh"), Some("/usr/bin/sh")),
        ("/usr/sh", Some("/usr/sh"), Some("/usr/bin/sh")),
        ("/chain", Some("/chain"), Some("/usr/bin")),
        ("/chain/sh", Some("/usr/bin/sh"), Some("/usr/bin/sh")),
        ("/", Some("/"), Some("/")),
        // A trailing slash and `..` need a directory, as in Linux.
        ("/slash", Some("/slash"), None),
        ("/through", Some("/through"), None),
        ("/empty", Some("/empty"), None),
        ("/gone", Some("/gone"), None),
        ("/gone/x", None, None),
        ("/host", Some("/host"), None),
        ("/usr/bin/sh/x", None, None),
        ("/nothing", None, None),
    ] {
        let show = |place: Option<sysprep_rs::guest::Place>| place.map(|it| it.path.to_string());
        assert_eq!(show(tree.locate(&path(from)).unwrap()).as_deref(), located, "{from}");
        assert_eq!(show(tree.follow(&path(from)).unwrap()).as_deref(), followed, "{from} followed");
    }
}

#[test]
fn no_symlink_leaves_the_guest() {
    let tree = single(
        MemoryFs::new()
            .file("/real/passwd", "guest")
            .link("/etc", "/../../../real")
            .link("/real/up", "../../../../../../../etc/passwd")
            .link("/a/b/proc", "/proc/self/root/etc/passwd"),
    );
    let place = tree.follow(&path("/etc/passwd")).unwrap().unwrap();
    assert_eq!(place.path, path("/real/passwd"));
    assert_eq!(place.read(100).unwrap(), b"guest");
    assert_eq!(tree.follow(&path("/etc/up")).unwrap().unwrap().path, path("/real/passwd"));
    assert!(tree.follow(&path("/a/b/proc")).unwrap().is_none());
}

#[test]
fn symlink_loops_end_where_linux_ends_them() {
    let mut fs = MemoryFs::new().link("/x", "y").link("/y", "x").link("/me", "me/me");
    fs = fs.file("/l0", "end");
    for at in 1..=41 {
        fs = fs.link(format!("/l{at}"), format!("l{}", at - 1));
    }
    let tree = single(fs);
    for from in ["/x", "/x/z", "/me", "/me/a"] {
        assert!(tree.follow(&path(from)).unwrap().is_none(), "{from}");
    }
    assert!(tree.follow(&path("/l40")).unwrap().is_some());
    assert!(tree.follow(&path("/l41")).unwrap().is_none());
}

#[test]
fn a_target_longer_than_path_max_leads_nowhere() {
    let tree = single(MemoryFs::new().dir("/d").link("/far", "d/../".repeat(1000)));
    assert!(tree.follow(&path("/far")).unwrap().is_none());
}

#[test]
fn encrypted_and_corrupt_directories_are_errors_not_absence() {
    let tree = single(
        MemoryFs::new()
            .file("/home/a/.ssh/id", "x")
            .file("/bad/x", "x")
            .encrypted("/home/a")
            .unreadable("/bad"),
    );
    assert!(tree.locate(&path("/home/a")).unwrap().is_some());
    let error = tree.locate(&path("/home/a/.ssh/id")).unwrap_err();
    assert!(error.to_string().contains("/home/a/.ssh: not supported"), "{error}");
    assert!(error.to_string().contains("encrypted"), "{error}");
    let error = tree.locate(&path("/bad/x")).unwrap_err();
    assert!(matches!(error, GuestError::Fs { .. }));
    assert!(error.to_string().contains("corrupt directory"), "{error}");
}

#[test]
fn entries_and_content() {
    let tree = single(
        MemoryFs::new()
            .file("/d/b", "bb")
            .dir("/d/a")
            .link("/d/c", "b")
            .fifo("/d/p")
            .huge("/huge", 10 << 30),
    );
    let dir = tree.locate(&path("/d")).unwrap().unwrap();
    let mut seen = Vec::new();
    tree.entries(&dir, &mut |entry| {
        seen.push((entry.path().to_string(), entry.kind));
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected = [
        ("/d/a", Kind::Directory),
        ("/d/b", Kind::File),
        ("/d/c", Kind::Symlink),
        ("/d/p", Kind::Fifo),
    ];
    assert_eq!(seen, expected.map(|(path, kind)| (path.to_owned(), kind)));
    assert_eq!(tree.read(&path("/d/c"), 2).unwrap().unwrap(), b"bb");
    assert_eq!(tree.read(&path("/d/p"), 2).unwrap(), None);
    assert_eq!(tree.read(&path("/d/a"), 2).unwrap(), None);
    assert_eq!(tree.read(&path("/none"), 2).unwrap(), None);
    assert!(tree.read(&path("/d/b"), 1).is_err());
    assert!(tree.read(&path("/huge"), 1 << 20).is_err());
    let odd = MemoryFs::new().file(b"/x/\xff\n", "x");
    let odd_path = GuestPath::from_bytes(b"/x/\xff\n").unwrap();
    assert!(single(odd).locate(&odd_path).unwrap().is_some());
    let file = tree.locate(&path("/d/b")).unwrap().unwrap();
    assert!(tree.child(&file, b"x").unwrap().is_none());
    let (child, kind) = tree.child(&dir, b"c").unwrap().unwrap();
    assert_eq!((child.path, kind), (path("/d/c"), Kind::Symlink));
}

/// Counts how often a name or a node is asked for.
struct Counted(Arc<dyn ReadFs>, Arc<AtomicUsize>);

impl ReadFs for Counted {
    fn folds_case(&self) -> bool {
        self.0.folds_case()
    }

    fn spelling(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        self.0.spelling(dir, name)
    }

    fn most_free(&self) -> Result<Option<u64>, FsError> {
        self.0.most_free()
    }

    fn bad_bytes(&self) -> Result<u64, FsError> {
        self.0.bad_bytes()
    }

    fn can_store(&self, what: &Storing<'_>) -> Result<(), FsError> {
        self.0.can_store(what)
    }

    fn info(&self) -> FsInfo {
        self.0.info()
    }

    fn root(&self) -> Node {
        self.0.root()
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lookup(dir, name)
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        self.0.entries(dir, visit)
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.stat(node)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        self.0.xattrs(node)
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        self.0.read_at(file, at, dst)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        self.0.link_target(link)
    }
}

#[test]
fn a_path_is_looked_up_once() {
    let mut files = MemoryFs::new().link("/bin", "usr/bin").dir("/many");
    for number in 0..20_000 {
        files = files.file(format!("/many/{number}"), "");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let fs = Counted(files.file("/usr/bin/sh", "x").open(), asked.clone());
    let tree = Tree::single(VolumeId("part1".into()), Arc::new(fs));
    let found = |name: &str| tree.follow(&path(name)).unwrap().map(|it| it.path.to_string());
    let first = (found("/bin/sh"), found("/bin/none"), asked.load(Ordering::Relaxed));
    assert_eq!((first.0.as_deref(), first.1.as_deref()), (Some("/usr/bin/sh"), None));
    let again = (found("/bin/sh"), found("/bin/none"), asked.load(Ordering::Relaxed));
    assert_eq!(again, first, "nothing is asked a second time");
    // More than is kept: asked again, and answered alike.
    for number in 0..20_000 {
        assert!(found(&format!("/many/{number}")).is_some());
    }
    assert_eq!((found("/bin/sh"), found("/bin/none")), (first.0, first.1));
}

#[test]
fn a_directory_that_is_searched_often_is_read_once() {
    let mut files = MemoryFs::new().dir("/many").dir("/large");
    for number in 0..3_000 {
        files = files.file(format!("/many/{number}"), "").link(format!("/many/to-{number}"), "0");
    }
    // More names than are kept of whole directories.
    let long = "n".repeat(200);
    for number in 0..12_000 {
        files = files.file(format!("/large/{number}-{long}"), "");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let fs = Counted(files.dir("/many/dir").open(), asked.clone());
    let tree = Tree::single(VolumeId("part1".into()), Arc::new(fs));
    let is_there = |name: String| tree.locate(&path(&name)).unwrap().is_some();
    for number in 0..3_000 {
        assert!(is_there(format!("/many/{number}")) && !is_there(format!("/many/{number}.")));
    }
    // Each of the 3,000 that are there is looked at; few names are searched for.
    let before = asked.load(Ordering::Relaxed);
    assert!(before < 3_010, "{before}");
    let names = Files::names(&tree, &path("/many")).unwrap();
    assert_eq!(names.len(), 6_001);
    assert!(names.is_sorted());
    assert_eq!(names.last(), Some(&(b"to-999".to_vec(), Kind::Symlink)));
    assert_eq!(asked.load(Ordering::Relaxed), before, "what was read is not read again");
    for number in 0..100 {
        assert!(is_there(format!("/large/{number}-{long}")));
        assert!(!is_there(format!("/large/{number}")));
    }
    assert_eq!(Files::names(&tree, &path("/large")).unwrap().len(), 12_000);
}
