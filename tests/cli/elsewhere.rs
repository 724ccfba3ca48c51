//! What is moved and copied within the guest is what mv(1) and cp(1) make of the same tree in a
//! plain folder.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sysprep_rs::fs::Kind;
use sysprep_rs::fs::directory::Directory;
use sysprep_rs::fs::ext4::DRIVER;

use crate::support::disk::Disk;
use crate::support::marker::{content, on_disk};
use crate::support::oracle::{e2fsck_clean, run};
use crate::support::snapshot::{assert_same, of_fs};
use crate::support::spec::{Body, Spec, THEN, path};
use crate::support::{debugfs, recipe};

/// The time that the program gives to what it changes.
const NOW: i64 = 1_700_000_000;

/// A guest with files of many kinds below `/work`.
fn guest() -> Spec {
    let mut spec = Spec::default();
    for dir in ["/etc", "/opt", "/work", "/work/a", "/work/a/deep", "/work/a/deep/er", "/work/b"] {
        spec.directory(dir);
    }
    spec.directory("/work/empty").mode = 0o700;
    spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
    spec.file("/work/a/one", content(1, 5000)).mode = 0o4755;
    spec.file("/work/a/deep/two", content(2, 100_000)).mode = 0o600;
    spec.file("/work/a/deep/er/none", "");
    spec.add(path("/work/a/twin"), Body::HardLink(path("/work/a/one")));
    spec.symlink("/work/a/link", "deep/two");
    spec.symlink("/work/a/long", "x/".repeat(60));
    spec.add(path("/work/a/pipe"), Body::Special(Kind::Fifo, 0, 0)).mode = 0o640;
    spec.file("/work/b/three", content(3, 3000));
    spec.file("/work/b/outside", content(4, 3000));
    spec.add(path("/work/b/outside2"), Body::HardLink(path("/work/b/outside")));
    spec.symlink("/work/to-b", "b");
    spec.symlink("/work/to-three", "b/three");
    for number in 0..60 {
        spec.file(&format!("/work/a/deep/many-names-in-one-directory-{number:04}"), "x");
    }
    spec
}

/// A guest in an image, and the same tree in a plain folder.
pub(super) struct Guest {
    pub(super) folder: tempfile::TempDir,
    pub(super) image: PathBuf,
}

impl Guest {
    pub(super) fn new(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = guest();
        spec.directory("/");
        let image = recipe::ext4(folder.path(), &mut spec.clone(), args, 24 << 20);
        let guest = Self { folder, image };
        recipe::write_tree(&guest.host(""), &spec);
        // Deepest first: a directory's time changes with what is made in it.
        for (at, item) in spec.0.iter().rev() {
            let host = guest.host(&at.to_string());
            match item.body {
                Body::File(_) | Body::Directory => {
                    fs::set_permissions(&host, Permissions::from_mode(item.mode.into())).unwrap();
                    let then = UNIX_EPOCH + Duration::from_secs(THEN.seconds as u64);
                    File::open(&host).unwrap().set_modified(then).unwrap();
                }
                Body::Special(..) => {
                    fs::set_permissions(&host, Permissions::from_mode(item.mode.into())).unwrap();
                }
                _ => {}
            }
        }
        guest
    }

    /// Where a path of the guest is in the plain folder.
    pub(super) fn host(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path.trim_start_matches('/'))
    }

    pub(super) fn seal(&self, words: &[String]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
            .args(["seal", "--verify=full", "--operations=customize"])
            .args(words)
            .arg(&self.image)
            .current_dir(self.folder.path())
            .env("SOURCE_DATE_EPOCH", NOW.to_string())
            .output()
            .unwrap()
    }

    /// The same with flags that have to do what they say, and where they are `settled` to leave
    /// nothing for a second run.
    pub(super) fn sealed(&self, words: &[String], settled: bool) {
        let output = self.seal(words);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        let proved = said.contains("Proved: planning again yields nothing");
        assert_eq!(proved, settled, "{words:?}: {said}");
        e2fsck_clean(&self.image);
        if settled {
            let sealed = fs::read(&self.image).unwrap();
            let output = self.seal(words);
            // What a later one took away is not there for an earlier one.
            assert!(matches!(output.status.code(), Some(0 | 3)), "{words:?}: {output:?}");
            assert!(fs::read(&self.image).unwrap() == sealed, "{words:?}: {output:?}");
        }
    }

    /// What is in the image has to be what is in the plain folder.
    pub(super) fn compare(&self, what: &str) {
        let mut wanted =
            of_fs(&Directory::open(&self.folder.path().join("tree")).unwrap()).unwrap();
        for object in wanted.values_mut() {
            // Who runs the tests owns the plain folder.
            (object.owner, object.xattrs) = (None, None);
            let kept = object.mtime == Some(THEN.seconds);
            object.mtime = Some(if kept { THEN.seconds } else { NOW });
            if matches!(object.kind, Some(Kind::Symlink | Kind::Fifo)) {
                object.mtime = None;
            }
        }
        let disk = Arc::new(Disk::from_file(&self.image));
        let ours = of_fs(&*(DRIVER.open)(disk).unwrap()).unwrap();
        for (reader, mut found) in [("ours", ours), ("debugfs", debugfs::snapshot(&self.image))] {
            found.remove(&path("/lost+found"));
            assert_same(&format!("{what}: {reader}"), &wanted, &found);
        }
    }
}

/// Runs these as flags and as commands: `mv from to`.
fn as_commands(steps: &[&str], settled: bool) {
    // Directories of several blocks: with an index on ext4.
    let kinds =
        [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "1024", "-O", "^dir_index"]];
    for args in kinds {
        let guest = Guest::new(args);
        let mut flags = Vec::new();
        for step in steps {
            let words: Vec<&str> = step.split(' ').collect();
            let [verb, from, to] = words[..] else { panic!("{step}") };
            let (flag, tool, options) = match verb {
                "mv" => ("move", "mv", ["-f", "-fT"]),
                "cp" => ("copy", "cp", ["-a", "-aT"]),
                _ => panic!("{verb}"),
            };
            flags.push(format!("--{flag}={from}:{to}"));
            let host = |path: &str| guest.host(path).display().to_string();
            // What the guest's links lead to is in the guest.
            let (from, to) = (host(from), host(to));
            let option = options[usize::from(!Path::new(&to).is_dir())];
            let output = run(tool, "coreutils", &[option, &from, &to]);
            assert!(output.status.success(), "{step}: {output:?}");
        }
        guest.sealed(&flags, settled);
        guest.compare(&format!("{steps:?} {args:?}"));
    }
}

#[test]
fn what_is_moved_is_where_mv_puts_it() {
    for steps in [
        &["mv /work/a/one /work/b"][..],
        &["mv /work/a /opt"],
        &["mv /work/b/three /"],
        &["mv /work/a /work/renamed"],
        &["mv /work/a/deep/two /work/b/three"],
        &["mv /work/a/link /work/b", "mv /work/a/pipe /opt/p"],
        &["mv /work/a/one /work/to-b"],
        &["mv /work/a/one /work/to-three"],
        &["mv /work/b /work/empty/", "mv /work/empty /work/a/deep"],
        // Out of what is moved, and into it.
        &["mv /work/a/deep /work/x", "mv /work/a /work/c", "mv /work/b /work/c/y"],
        &["mv /work/a /work/c", "mv /work/c/deep /work/x", "mv /work/x /work/c/deeper"],
        &["mv /work/a /opt", "mv /opt/a /work/again", "mv /work/again/one /opt"],
        &["mv /work/a/twin /opt"],
    ] {
        as_commands(steps, true);
    }
    // Each other's place.
    as_commands(&["mv /work/a /work/t", "mv /work/b /work/a", "mv /work/t /work/b"], false);
}

#[test]
fn what_is_moved_away_and_back_is_not_touched() {
    let guest = Guest::new(&["-t", "ext4"]);
    let flags = ["--move=/work/a:/opt", "--move=/opt/a:/work"].map(String::from);
    let output = guest.seal(&flags);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("Nothing to clean"), "{output:?}");
    guest.compare("back again");
}

/// What is changed below a moved directory, and moved on; what comes back as a copy.
#[test]
fn what_was_moved_is_changed_and_taken_on_in_order() {
    let guest = Guest::new(&["-t", "ext4"]);
    let flags = [
        "--move=/work/a:/opt",
        "--append-line=/opt/a/deep/two:line",
        "--move=/opt/a/deep/two:/opt/two",
        "--chmod=0600:/opt/a/one",
        "--move=/opt/a/one:/work/b/one",
        "--move=/opt/a:/work/z",
    ];
    guest.sealed(&flags.map(String::from), true);
    let at = |path: &str| guest.host(path);
    fs::rename(at("/work/a"), at("/work/z")).unwrap();
    let old = fs::read(at("/work/z/deep/two")).unwrap();
    fs::remove_file(at("/work/z/deep/two")).unwrap();
    fs::write(at("/opt/two"), [&old[..], b"\nline\n"].concat()).unwrap();
    fs::set_permissions(at("/opt/two"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(at("/work/z/one"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(at("/work/z/one"), at("/work/b/one")).unwrap();
    guest.compare("moved on");
    // A copy of what was moved, where that was; links and all.
    as_commands(&["mv /work/a /opt", "cp /opt/a /work/a"], true);
    for steps in [
        &["mv /work/b /opt", "cp /opt/b /work/b", "mv /work/b/three /work/a"][..],
        &["mv /work/a/one /opt/o", "cp /opt/o /work/a/one"],
        &["mv /work/a/deep /work/a/t", "cp /work/b /work/a/deep", "mv /work/a/t /work/a/deep/in"],
    ] {
        as_commands(steps, false);
    }
}

/// What other flags make, change and remove goes with what they are in.
#[test]
fn flags_before_and_after_a_move_are_about_the_same_files() {
    let guest = Guest::new(&["-t", "ext4", "-O", "inline_data"]);
    fs::write(guest.folder.path().join("mine"), "mine").unwrap();
    let flags = [
        "--upload=mine:/work/a/deep",
        "--write=/work/a/deep/two:other",
        "--delete=/work/a/deep/er",
        "--mkdir=/work/new",
        "--write=/work/new/file:new",
        "--move=/work/a/deep:/work/x",
        "--move=/work/new:/work/x",
        "--append-line=/work/x/two:line",
        "--chmod=0600:/work/x/new/file",
        "--delete=/work/x/many-*-002*",
        "--write=/work/a/deep:a file now",
        "--move=/work/b:/opt",
        "--delete=/opt/b/outside",
        "--move=/work/empty:/opt/e",
        "--delete=/opt/e",
    ];
    guest.sealed(&flags.map(String::from), false);
    let at = |path: &str| guest.host(path);
    fs::write(at("/work/a/deep/mine"), "mine").unwrap();
    fs::write(at("/work/a/deep/two"), "other\nline\n").unwrap();
    fs::remove_dir_all(at("/work/a/deep/er")).unwrap();
    fs::create_dir(at("/work/new")).unwrap();
    fs::write(at("/work/new/file"), "new").unwrap();
    fs::set_permissions(at("/work/new/file"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(at("/work/a/deep"), at("/work/x")).unwrap();
    fs::rename(at("/work/new"), at("/work/x/new")).unwrap();
    for number in 20..30 {
        fs::remove_file(at(&format!("/work/x/many-names-in-one-directory-00{number}"))).unwrap();
    }
    fs::write(at("/work/a/deep"), "a file now").unwrap();
    fs::rename(at("/work/b"), at("/opt/b")).unwrap();
    fs::remove_file(at("/opt/b/outside")).unwrap();
    fs::remove_dir(at("/work/empty")).unwrap();
    guest.compare("flags");
}

#[test]
fn what_cannot_be_moved_stays_and_is_told() {
    let guest = Guest::new(&["-t", "ext4"]);
    let before = fs::read(&guest.image).unwrap();
    for (flag, code, part) in [
        ("--move=/work/nothing:/opt", 3, "nothing is there"),
        ("--move=/work/nothing:/nowhere/x", 3, "nothing is there"),
        ("--move=/work/a:/nowhere/x", 3, "its directory is not there"),
        ("--move=/work/a:/work/a/deep", 3, "cannot go into itself"),
        ("--move=/work/a/one:/work/a", 3, "it is there already"),
        ("--move=/etc:/work", 3, "a directory that the guest needs"),
        ("--move=/lost+found:/work", 3, "e2fsck"),
        ("--move=/work", 2, "write SOURCE:DEST"),
        ("--move=work:/opt", 2, "no absolute path"),
        ("--move=/:/opt", 2, "the whole guest"),
    ] {
        let output = guest.seal(&[flag.to_owned()]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{flag}: {said}");
        assert!(said.contains(part), "{flag}: {said}");
    }
    let flags =
        ["--mkdir=/work/b/empty", "--write=/work/b/empty/x:x", "--move=/work/empty:/work/b"];
    let output = guest.seal(&flags.map(String::from));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("a directory that is not empty is there"), "{said}");
    let output = guest
        .seal(&["--move=/work/a/one:/work/empty/".into(), "--write=/work/empty/one/x:x".into()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(fs::read(&guest.image).unwrap() != before);
}

/// Directory entries keep nothing of what had a name there.
#[test]
fn the_name_of_what_was_moved_stays_nowhere() {
    const NAME: &[u8] = b"a-name-that-no-other-file-has";
    let folder = tempfile::tempdir().unwrap();
    let name = String::from_utf8_lossy(NAME).into_owned();
    let mut spec = guest();
    spec.file(&format!("/work/a/{name}"), content(9, 3000));
    spec.directory(&format!("/work/b/{name}"));
    spec.file(&format!("/work/b/{name}/x"), "x");
    for args in [&["-t", "ext4"][..], &["-t", "ext4", "-O", "inline_data"], &["-t", "ext3"]] {
        let image = recipe::ext4(folder.path(), &mut spec.clone(), args, 24 << 20);
        let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
            .arg("seal")
            .arg(format!("--move=/work/a/{name}:/opt/moved"))
            .arg(format!("--move=/work/b/{name}:/work/empty/moved"))
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        e2fsck_clean(&image);
        let disk = Disk::from_file(&image);
        assert_eq!(disk.find(NAME), None, "{args:?}");
        assert!(on_disk(&disk).contains(&9), "what it holds is there");
    }
}

#[test]
fn what_is_copied_is_what_cp_makes() {
    for steps in [
        &["cp /work/a/one /work/b"][..],
        &["cp /work/a /opt"],
        &["cp /work/b/three /"],
        &["cp /work/a /work/new"],
        // Over what is there: a file's content, and what is in a directory beside it.
        &["cp /work/a/deep/two /work/b/three", "cp /work/a/one /work/to-three"],
        &["cp /work/a/link /work/b/three", "cp /work/a/pipe /work/b", "cp /work/a/long /opt/l"],
        &["cp /work/empty /opt", "cp /work/to-b /opt/link"],
        // What has more in it is no copy: another goes into it.
        &["cp /work/b /work/c", "cp /work/a/one /work/c", "cp /work/b /work/c"],
        // What a copy is made of is what earlier ones left.
        &["mv /work/a/deep /work/d", "cp /work/d /opt", "cp /work/d/er /work/a"],
    ] {
        as_commands(steps, true);
    }
    // What was changed after is no copy any more: a second run goes into it, as with cp(1).
    for steps in [
        &["cp /work/b /work/c", "mv /work/c/three /opt"][..],
        &["cp /work/a/deep /work/b", "mv /work/b /work/a/deep/er"],
        &[
            "cp /work/a /work/c",
            "mv /work/c/deep /work/d",
            "cp /work/d/two /work/c",
            "cp /work/c /opt",
        ],
    ] {
        as_commands(steps, false);
    }
}

/// What other flags make and change is copied as it is then, and a copy is changed by itself.
#[test]
fn flags_before_and_after_a_copy_are_about_its_own_files() {
    let guest = Guest::new(&["-t", "ext4"]);
    let flags = [
        "--write=/work/a/deep/two:other",
        "--mkdir=/work/a/made",
        "--copy=/work/a:/work/c",
        "--append-line=/work/c/deep/two:line",
        "--chmod=0755:/work/c/one",
        "--delete=/work/c/deep/er",
        "--write=/work/c/twin:both",
        "--copy=/etc/os-release:/work/c",
    ];
    guest.sealed(&flags.map(String::from), false);
    let at = |path: &str| guest.host(path);
    fs::write(at("/work/a/deep/two"), "other").unwrap();
    fs::create_dir(at("/work/a/made")).unwrap();
    let output = run(
        "cp",
        "coreutils",
        &["-a", at("/work/a").to_str().unwrap(), at("/work/c").to_str().unwrap()],
    );
    assert!(output.status.success());
    fs::write(at("/work/c/deep/two"), "other\nline\n").unwrap();
    fs::set_permissions(at("/work/c/one"), Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir_all(at("/work/c/deep/er")).unwrap();
    fs::write(at("/work/c/twin"), "both").unwrap();
    let output = run(
        "cp",
        "coreutils",
        &["-a", at("/etc/os-release").to_str().unwrap(), at("/work/c").to_str().unwrap()],
    );
    assert!(output.status.success());
    guest.compare("flags");
}

#[test]
fn what_cannot_be_copied_stays_and_is_told() {
    let guest = Guest::new(&["-t", "ext4"]);
    for (flag, code, part) in [
        ("--copy=/work/nothing:/opt", 3, "nothing is there"),
        ("--copy=/work/a:/nowhere/x", 3, "its directory is not there"),
        ("--copy=/work/a:/work/a/deep", 3, "cannot go into itself"),
        ("--copy=/work/a/one:/work/a", 3, "it is this file itself"),
        ("--copy=/work", 2, "write SOURCE:DEST"),
        ("--copy=work:/opt", 2, "no absolute path"),
    ] {
        let output = guest.seal(&[flag.to_owned()]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{flag}: {said}");
        assert!(said.contains(part), "{flag}: {said}");
    }
}

/// To another filesystem goes a copy, of what that can store.
#[test]
fn a_move_to_another_filesystem_is_a_copy_and_a_removal() {
    let place = super::Place::new();
    let one = content(5, 200_000);
    fs::write(place.path("one"), &one).unwrap();
    let seal = |words: &str, code| place.expect(&format!("seal {words} image.qcow2"), code);
    seal("--upload=one:/boot/efi --copy=/etc/hosts:/boot/efi --link=hosts:/etc/alias", 0);
    let flags = "--move=/boot/efi/one:/opt --move=/etc/issue:/boot/efi/issue2 \
                 --copy=/boot/efi/hosts:/opt --copy=/boot/efi/issue2:/opt";
    seal(flags, 0);
    let (said, _) = seal("--move=/etc/alias:/boot/efi", 3);
    assert!(said.contains("stores files and directories only"), "{said}");
    let root = super::root_filesystem(&place, &place.image(), "qcow2");
    e2fsck_clean(&root);
    let tree = of_fs(&*(DRIVER.open)(Arc::new(Disk::from_file(&root))).unwrap()).unwrap();
    let digest = sysprep_rs::digest::Digest::of(&one);
    assert_eq!(tree[&path("/opt/one")].content, Some(digest));
    assert_eq!(tree[&path("/opt/hosts")].content, tree[&path("/etc/hosts")].content);
    assert!(tree.contains_key(&path("/opt/issue2")) && !tree.contains_key(&path("/etc/issue")));
    assert!(tree.contains_key(&path("/etc/alias")), "what cannot be copied stays");
}
