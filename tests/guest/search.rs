//! Patterns and walks.

use sysprep_rs::fs::Kind;
use sysprep_rs::guest::{GuestError, NamePattern, Pattern, Tree, Walk, Walked};
use sysprep_rs::path::GuestPath;

use super::memory::MemoryFs;
use super::{path, shown, single};
use crate::support::random::{self, rounds};

fn glob(tree: &Tree, pattern: &str) -> Vec<String> {
    shown(&tree.glob(pattern).unwrap())
}

#[test]
fn names_match_as_glob_3_matches_them() {
    for (pattern, names, others) in [
        ("*", &["a", "a.b", "ä"][..], &[".a", "."][..]),
        ("*.log", &["a.log", "..log.log", ".log"][..0], &["a.log.1", ".a.log", ".log"]),
        ("a*b*c", &["abc", "aXbYc", "abcbc"], &["ab", "acb", "abcd"]),
        ("?", &["a"], &["", ".", "ab"]),
        (".?*", &[".a", ".ab"], &[".", "a"]),
        ("[a-c]x", &["ax", "cx"], &["dx", "-x", "Ax"]),
        ("[!a-c]x", &["dx", "-x"], &["ax", ".x"]),
        ("[^a]", &["b"], &["a"]),
        ("[]x]", &["]", "x"], &["a"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[\\]-a]", &["]", "^", "_", "`", "a"], &["b", "\\"]),
        ("[[:digit:]x]?", &["1a", "xa"], &["aa"]),
        ("\\*", &["*"], &["a"]),
        ("[*]", &["*"], &["a"]),
        ("ssh_host_*", &["ssh_host_rsa_key"], &["Ssh_host_x", "ssh_host"]),
        ("**", &["a"], &[".a"]),
        ("*a*a*a*a*a*a*b", &["aaaaaaaaab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
    ] {
        let parsed = NamePattern::parse(pattern.as_bytes()).unwrap();
        for name in names {
            assert!(parsed.matches(name.as_bytes()), "{pattern} matches {name}");
        }
        for name in others {
            assert!(!parsed.matches(name.as_bytes()), "{pattern} does not match {name}");
        }
    }
    assert!(NamePattern::parse(b"\xff*").unwrap().matches(b"\xff\xfe"));
    for wrong in ["", "a/b", "[a", "[[:foo:]]", "[b-a]", "a\\", "[", "[[:digit:", "[a\\"] {
        assert!(NamePattern::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn bad_patterns_are_the_callers_fault() {
    let many = format!("/{}", "{a,b}".repeat(11));
    let long = format!("/{}", "a".repeat(5000));
    for wrong in ["a", "", "/a/../b", "/./a", "/{a", "/a}", "/[a", "/{a,b}/[", &many, &long] {
        let error = Pattern::parse(wrong).unwrap_err();
        assert!(matches!(error, GuestError::BadPattern { .. }), "{wrong}");
        assert!(error.to_string().starts_with("pattern '"), "{error}");
    }
    assert!(Pattern::parse(&format!("/{}", "{a,b}".repeat(10))).is_ok());
}

#[test]
fn patterns_match_paths_by_name() {
    for (pattern, paths, others) in [
        ("/a/*", &["/a/b"][..], &["/a", "/a/b/c", "/a/.b"][..]),
        ("/a/**", &["/a/b", "/a/b/.c/d"], &["/a", "/b"]),
        ("/a/**/x", &["/a/x", "/a/b/x", "/a/.b/c/x"], &["/a/xx", "/x", "/a"]),
        ("/**", &["/a", "/a/b"], &["/"]),
        ("/{a,b/c}/d", &["/a/d", "/b/c/d"], &["/b/d"]),
        ("/x{,.old,.{1,2}}", &["/x", "/x.old", "/x.1", "/x.2"], &["/x."]),
        ("/", &["/"], &["/a"]),
        ("/a/", &["/a"], &["/a/b"]),
        ("/**/{a,*.b}", &["/a", "/x/y.b"], &["/x/y.c"]),
        ("/**/a/**/b", &["/a/b", "/x/a/y/z/b"], &["/b/a"]),
    ] {
        let parsed = Pattern::parse(pattern).unwrap();
        for it in paths {
            assert!(parsed.matches(&path(it)), "{pattern} matches {it}");
        }
        for it in others {
            assert!(!parsed.matches(&path(it)), "{pattern} does not match {it}");
        }
    }
}

fn sample() -> MemoryFs {
    MemoryFs::new()
        .file("/run/a.pid", "")
        .file("/run/b.pid", "")
        .file("/run/.hidden.pid", "")
        .file("/run/sub/c.pid", "")
        .file("/run/sub/.d/e.pid", "")
        .link("/var/run", "/run")
        .link("/var/lock", "../run/sub")
        .link("/var/gone", "nowhere")
        .link("/var/file", "/run/a.pid")
        .link("/run/sub/up", "..")
        .file("/var/log/B", "")
        .file("/var/log/a", "")
        .file(b"/var/log/\xff", "")
}

#[test]
fn globs_follow_links_on_the_way_and_not_at_the_end() {
    for kinds in [true, false] {
        let mut fs = sample();
        fs.kinds = kinds;
        let tree = single(fs);
        assert_eq!(glob(&tree, "/var/run/*.pid"), ["/run/a.pid", "/run/b.pid"]);
        assert_eq!(glob(&tree, "/var/*/*.pid"), ["/run/a.pid", "/run/b.pid", "/run/sub/c.pid"]);
        assert_eq!(
            glob(&tree, "/var/*"),
            ["/var/file", "/var/gone", "/var/lock", "/var/log", "/var/run"]
        );
        assert_eq!(glob(&tree, "/var/run"), ["/var/run"]);
        assert_eq!(glob(&tree, "/var/*/"), ["/var/log"]);
        assert_eq!(glob(&tree, "/var/log/*"), ["/var/log/B", "/var/log/a", "/var/log/\\xff"]);
        assert_eq!(glob(&tree, "/run/.*"), ["/run/.hidden.pid"]);
        assert_eq!(glob(&tree, "/nothing/*"), [""; 0]);
        assert_eq!(glob(&tree, "/run/a.pid/*"), [""; 0]);
        assert_eq!(glob(&tree, "/"), ["/"]);
        assert_eq!(glob(&tree, "/{run,var/run}/a.pid"), ["/run/a.pid"]);
    }
}

#[test]
fn any_depth_goes_everywhere_but_through_links() {
    let tree = single(sample());
    assert_eq!(
        glob(&tree, "/run/**"),
        [
            "/run/.hidden.pid",
            "/run/a.pid",
            "/run/b.pid",
            "/run/sub",
            "/run/sub/.d",
            "/run/sub/.d/e.pid",
            "/run/sub/c.pid",
            "/run/sub/up",
        ]
    );
    assert_eq!(
        glob(&tree, "/**/*.pid"),
        ["/run/a.pid", "/run/b.pid", "/run/sub/.d/e.pid", "/run/sub/c.pid"]
    );
    assert_eq!(glob(&tree, "/run/**/"), ["/run/sub", "/run/sub/.d"]);
    let several = ["/run/a.pid", "/run/sub/c.pid", "/var/log/B", "/var/log/a"];
    assert_eq!(glob(&tree, "/**/{[ac]*.pid,B,a}"), several);
    assert_eq!(glob(&tree, "/{run,var}/**/{[ac]*.pid,B,a}"), several);
    assert_eq!(glob(&tree, "/var/**/e.pid"), [""; 0]);
    // A link that a name of the pattern matches is followed, also behind `**`.
    assert_eq!(glob(&tree, "/var/**/lock/c.pid"), ["/run/sub/c.pid"]);
    assert_eq!(glob(&tree, "/**/up/**/up/a.pid"), ["/run/a.pid"]);
}

#[test]
fn what_a_search_cannot_read_is_told() {
    let tree = single(
        MemoryFs::new()
            .file("/home/a/.ssh/id", "")
            .file("/home/b/.ssh/id", "")
            .file("/home/c/.ssh/id", "")
            .encrypted("/home/a")
            .unreadable("/home/c/.ssh"),
    );
    for pattern in ["/home/*/.ssh/id", "/home/*/.ssh/*", "/home/**/id"] {
        let found = tree.search(&Pattern::parse(pattern).unwrap());
        assert_eq!(shown(&found.places), ["/home/b/.ssh/id"], "{pattern}");
        let unread: Vec<String> =
            found.unread.iter().map(|unread| unread.path.to_string()).collect();
        assert_eq!(unread, ["/home/a", "/home/c/.ssh"], "{pattern}");
        let error = tree.glob(pattern).unwrap_err();
        assert!(error.to_string().contains("encrypted"), "{error}");
    }
}

fn walk(tree: &Tree, from: &str) -> (Vec<String>, Walked) {
    let mut seen = Vec::new();
    let walked = tree
        .walk(&path(from), &mut |entry| {
            assert_eq!(tree.locate(&entry.path()).unwrap().unwrap().node, entry.node);
            assert_eq!(entry.place().path, entry.path());
            seen.push(entry.path().to_string());
            Walk::Into
        })
        .unwrap();
    (seen, walked)
}

#[test]
fn a_walk_sees_everything_once() {
    let tree = single(sample());
    let (mut seen, walked) = walk(&tree, "/");
    assert_eq!(walked, Walked::default());
    seen.sort();
    let count = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), count);
    assert_eq!(count, 18);
    assert!(seen.contains(&"/var/log/\\xff".to_owned()));
    let (below, _) = walk(&tree, "/var/lock");
    assert_eq!(below, [""; 0], "a link at the end is not followed");
    let (below, _) = walk(&tree, "/var/run/sub");
    assert_eq!(below, ["/run/sub/.d", "/run/sub/c.pid", "/run/sub/up", "/run/sub/.d/e.pid"]);
    assert_eq!(walk(&tree, "/nothing").0, [""; 0]);
    assert_eq!(walk(&tree, "/run/a.pid").0, [""; 0]);
}

#[test]
fn a_walk_can_pass_over_and_stop() {
    let tree = single(sample());
    let mut seen = Vec::new();
    let walked = tree
        .walk(&path("/run"), &mut |entry| {
            seen.push(entry.path().to_string());
            if entry.kind == Kind::Directory { Walk::Over } else { Walk::Into }
        })
        .unwrap();
    assert!(!walked.stopped);
    assert_eq!(seen.len(), 4, "{seen:?}");
    seen.clear();
    let walked = tree
        .walk(&path("/"), &mut |entry| {
            seen.push(entry.path().to_string());
            if entry.name == b"a.pid" { Walk::Stop } else { Walk::Into }
        })
        .unwrap();
    assert!(walked.stopped);
    assert_eq!(seen.last().map(String::as_str), Some("/run/a.pid"));
}

#[test]
fn hostile_directories_neither_loop_nor_explode() {
    // A directory that holds itself, one that holds its parent, and a ladder of doubled names
    // with 2^60 paths through it.
    let mut fs = MemoryFs::new().dir("/a/b").hard_link("/a/self", "/a").hard_link("/a/b/up", "/a");
    let mut at = String::from("/ladder");
    fs = fs.dir(&at);
    for _ in 0..60 {
        let down = format!("{at}/x");
        fs = fs.dir(&down).hard_link(format!("{at}/y"), &down);
        at = down;
    }
    let tree = single(fs);
    let (seen, walked) = walk(&tree, "/");
    assert_eq!(seen.len(), 2 + 3 + 120);
    assert_eq!(walked.unread.len(), 2 + 60);
    assert!(walked.unread.iter().all(|unread| unread.why.contains("another name")));
    assert!(tree.glob("/**/nothing").unwrap().is_empty());
    assert!(tree.glob("/**/y/**/y/**/y/nothing").unwrap().is_empty());
    assert!(!tree.glob("/**").unwrap().is_empty());
}

#[test]
fn walks_and_searches_end_at_a_depth() {
    let deep: Vec<u8> = b"/d".repeat(3000);
    let tree = single(MemoryFs::new().file([&deep, &b"/end"[..]].concat(), ""));
    let mut count = 0;
    let walked = tree
        .walk(&GuestPath::root(), &mut |_| {
            count += 1;
            Walk::Into
        })
        .unwrap();
    assert_eq!(count, 2049);
    assert_eq!(walked.unread.len(), 1);
    let found = tree.search(&Pattern::parse("/**/end").unwrap());
    assert!(found.places.is_empty());
    assert_eq!(found.unread.len(), 1);
}

#[test]
fn the_list_of_unread_places_is_bounded() {
    let mut fs = MemoryFs::new();
    for at in 0..1500 {
        let dir = format!("/home/u{at}");
        fs = fs.dir(&dir).encrypted(&dir);
    }
    let (seen, walked) = walk(&single(fs), "/");
    assert_eq!(seen.len(), 1501);
    assert_eq!(walked.unread.len(), 1001);
    assert!(walked.unread[1000].why.contains("further places"));
}

#[test]
fn a_search_finds_what_matching_every_path_finds() {
    let seed = random::seed(0x6755_6573_7401);
    let mut random = random::Random::new(seed);
    const NAMES: [&str; 6] = ["a", "b", "ab", ".a", "b.c", "ba"];
    const LEVELS: [&str; 12] =
        ["a", "b", "*", "?", "**", "**", "[!a]*", "*b*", ".*", "{a,b.c}", "{*b,.a}", "b\\.c"];
    let mut total = 0;
    for round in 0..rounds(300) {
        let mut fs = MemoryFs::new();
        for _ in 0..random.below(30) {
            let depth = 1 + random.below(5);
            let at: String = (0..depth).map(|_| format!("/{}", random.pick(&NAMES))).collect();
            fs = fs.dir(at);
        }
        let mut pattern: String =
            (0..=random.below(4)).map(|_| format!("/{}", random.pick(&LEVELS))).collect();
        if random.one_in(4) {
            pattern = format!("{{{pattern},/a/**/{}}}", random.pick(&LEVELS));
        }
        let tree = single(fs);
        let parsed = Pattern::parse(&pattern).unwrap();
        let mut expected = Vec::new();
        tree.walk(&GuestPath::root(), &mut |entry| {
            expected.extend(Some(entry.path()).filter(|path| parsed.matches(path)));
            Walk::Into
        })
        .unwrap();
        expected.sort();
        let found: Vec<GuestPath> =
            tree.search(&parsed).places.into_iter().map(|place| place.path).collect();
        assert_eq!(found, expected, "seed {seed:#x}, round {round}: {pattern}");
        total += found.len();
    }
    assert!(total > 0, "the patterns match something");
}
