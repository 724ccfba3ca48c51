//! The program as a user runs it, on the image that the repository carries.

mod boot_code;
mod carried;
mod customize;
mod elsewhere;
mod errors;
mod exit_codes;
mod first_boot;
mod initramfs;
mod interrupted;
mod labels;
mod plans;
mod printed;
mod reports;
mod secrets;
mod seed;
mod seeded;
mod stored;
mod swap;
mod uuids;
mod unpacked;
mod virt_sysprep;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::oracle;

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/images/debian-mini.qcow2");

/// A folder of its own with a copy of the image in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::copy(IMAGE, place.image()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("image.qcow2")
    }

    /// Runs the program in the folder; words are split at spaces.
    fn run(&self, words: &str) -> Output {
        self.run_words(&words.split(' ').collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
            .args(words)
            .current_dir(self.folder.path())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap()
    }

    /// Runs it, wants this exit code, and gives standard output and error.
    fn expect(&self, words: &str, code: i32) -> (String, String) {
        self.expect_words(&words.split(' ').collect::<Vec<_>>(), code)
    }

    fn expect_words(&self, words: &[&str], code: i32) -> (String, String) {
        let output = self.run_words(words);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(code), "{words:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    fn json(&self, words: &str, code: i32) -> Value {
        serde_json::from_str(&self.expect(words, code).0).unwrap()
    }
}

/// Runs it on the folder's image with words that may hold spaces.
fn seal(place: &Place, words: &[&str], code: i32) -> (String, String) {
    place.expect_words(&[words, &["image.qcow2"]].concat(), code)
}

/// The ext4 filesystem of an image's second partition, taken out by other tools.
fn root_filesystem(place: &Place, image: &Path, format: &str) -> PathBuf {
    partition(place, image, format, 1, "root.ext4")
}

/// A partition of an image, counted from 0, taken out by other tools into a file of this name.
fn partition(place: &Place, image: &Path, format: &str, number: usize, name: &str) -> PathBuf {
    let raw = place.path("whole.raw");
    oracle::qemu_img_convert(image, format, &raw, &["-O", "raw"]);
    let layout = oracle::succeed("sfdisk", "fdisk", &["--json", raw.to_str().unwrap()]);
    let layout: Value = serde_json::from_slice(&layout).unwrap();
    let partition = &layout["partitiontable"]["partitions"][number];
    let bytes = |field: &str| usize::try_from(partition[field].as_u64().unwrap()).unwrap() * 512;
    let disk = fs::read(&raw).unwrap();
    let file = place.path(name);
    fs::write(&file, &disk[bytes("start")..bytes("start") + bytes("size")]).unwrap();
    file
}

#[test]
fn audit_says_what_to_clean_and_writes_nothing() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    let (text, _) = place.expect("audit -v image.qcow2", 3);
    for part in ["ssh-hostkeys", "/etc/ssh/ssh_host_ed25519_key", "Nothing was written."] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let report = place.json("audit --json image.qcow2", 3);
    assert_eq!(report["command"], "audit");
    assert_eq!(report["found"]["guests"][0]["facts"]["distro"], "debian");
    assert!(report["totals"]["files"].as_u64().unwrap() > 30, "{}", report["totals"]);
    assert_eq!(fs::read(place.image()).unwrap(), before);
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "an audit leaves nothing beside the image: {left:?}");
}

#[test]
fn seal_cleans_and_a_second_run_finds_nothing() {
    let place = Place::new();
    let (text, _) = place.expect("seal image.qcow2", 0);
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    oracle::qemu_img_check(&place.image());
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let listing =
        oracle::succeed("debugfs", "e2fsprogs", &["-R", "ls -p /etc/ssh", root.to_str().unwrap()]);
    let listing = String::from_utf8(listing).unwrap();
    assert!(listing.contains("sshd_config") && !listing.contains("ssh_host_"), "{listing}");
    let (text, _) = place.expect("audit image.qcow2", 0);
    assert!(text.contains("Nothing to clean."), "{text}");
    let sealed = fs::read(place.image()).unwrap();
    place.expect("seal image.qcow2", 0);
    assert_eq!(fs::read(place.image()).unwrap(), sealed, "sealing twice changes nothing");
}

#[test]
fn a_filesystem_that_cannot_be_edited_has_one_line() {
    let place = Place::new();
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", "ssv state 3", root.to_str().unwrap()]);
    let text = String::from_utf8(place.run("audit root.ext4").stdout).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Left alone")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("more: ext4 cannot be edited: it records errors"), "{text}");
    assert!(text.contains("Refused: "), "{text}");
    // Each with -v.
    let text = String::from_utf8(place.run("audit -v root.ext4").stdout).unwrap();
    assert!(text.lines().filter(|line| line.starts_with("Left alone")).count() > 10, "{text}");
}

#[test]
fn messages_are_said_once_and_say_what_to_do() {
    let place = Place::new();
    fs::write(place.path("zero.img"), vec![0; 1 << 20]).unwrap();
    // The report has the reason; the error does not repeat it, unless there is no report.
    let (text, error) = place.expect("audit zero.img", 1);
    assert!(text.contains("(disk: nothing known)"), "{text}");
    assert_eq!(error, "sysprep-rs: zero.img: no operating system found, see above\n");
    let (_, error) = place.expect("audit -q zero.img", 1);
    assert!(error.contains("(disk: nothing known)"), "{error}");
    for words in ["audit --format raw", "seal --format raw", "inspect --format raw"] {
        let output = place.run(&format!("{words} image.qcow2"));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let hint = "the content looks like qcow2: --format raw treats it as a raw disk";
        assert_eq!(said.matches(hint).count(), 1, "{words}: {said}");
    }
    fs::write(place.path("new.qcow2"), "").unwrap();
    let (_, error) = place.expect("seal --output new.qcow2 image.qcow2", 1);
    assert_eq!(error, "sysprep-rs: new.qcow2: the file exists already; --force replaces it\n");
    place.expect("seal -q image.qcow2", 0);
    let (text, _) = place.expect("seal -n image.qcow2", 0);
    assert!(text.contains("Nothing to clean. Nothing was written."), "{text}");
    let (help, _) = place.expect("inspect --help", 0);
    assert!(!help.contains("--list-operations"), "{help}");
    place.expect("inspect -a image.qcow2", 0);
    place.expect("recover -a image.qcow2", 0);
    place.expect("recover image.qcow2 -a image.qcow2", 2);
    for words in ["support", "operations", "operations machine-id", "operations ssh-userdir"] {
        let (text, _) = place.expect(words, 0);
        assert!(text.lines().all(|line| line == line.trim_end()), "{words}:\n{text}");
    }
}

#[test]
fn every_command_has_json() {
    let place = Place::new();
    fs::copy("operations/linux/machine-id.yaml", place.path("own.yaml")).unwrap();
    for (words, code) in [
        ("audit --json image.qcow2", 3),
        ("seal --json -n image.qcow2", 3),
        ("seal --json image.qcow2", 0),
        ("seal --json --list-operations", 0),
        ("inspect --json image.qcow2", 0),
        ("operations --json", 0),
        ("operations --json machine-id", 0),
        ("check --json own.yaml", 0),
        ("schema --json", 0),
        ("support --json", 0),
        ("recover --json image.qcow2", 0),
    ] {
        let (text, error) = place.expect(words, code);
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{words}: {text}");
        assert!(error.is_empty(), "nothing is shown on a pipe: {error}");
    }
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let (one, two) = (Place::new(), Place::new());
    one.expect("seal image.qcow2", 0);
    two.expect("seal image.qcow2", 0);
    assert_eq!(fs::read(one.image()).unwrap(), fs::read(two.image()).unwrap());
}

#[test]
fn output_goes_to_a_new_file_and_leaves_the_source() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    place.expect("seal -q --verify full image.qcow2 --output new.raw --output-format raw", 0);
    place.expect("seal -q image.qcow2 --output new.qcow2", 0);
    assert_eq!(fs::read(place.image()).unwrap(), before);
    oracle::e2fsck_clean(&root_filesystem(&place, &place.path("new.raw"), "raw"));
    oracle::qemu_img_check(&place.path("new.qcow2"));
    let (raw, qcow2) = (place.path("new.raw"), place.path("new.qcow2"));
    oracle::succeed(
        "qemu-img",
        "qemu-utils",
        &["compare", "-q", raw.to_str().unwrap(), qcow2.to_str().unwrap()],
    );
    place.expect("audit --format raw new.raw", 0);
    // Neither an existing file nor the source is overwritten by accident.
    place.expect("seal -q image.qcow2 --output new.raw", 1);
    place.expect("seal -q image.qcow2 --force --output image.qcow2", 2);
    assert_eq!(fs::read(place.image()).unwrap(), before);
}

#[test]
fn output_never_replaces_a_file_that_somebody_has_open() {
    let place = Place::new();
    let new = place.path("new.qcow2");
    fs::copy(IMAGE, &new).unwrap();
    for read_only in [&["-r"][..], &[]] {
        let mut reader = Command::new("qemu-io")
            .args(read_only)
            .args(["-f", "qcow2", "new.qcow2"])
            .current_dir(place.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its answer says that it is open.
        reader.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        reader.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
        let (_, error) = place.expect("seal -q --force --output new.qcow2 image.qcow2", 1);
        assert!(error.starts_with("sysprep-rs: new.qcow2: the image is in use"), "{error}");
        drop(reader.stdin.take());
        reader.wait().unwrap();
        assert_eq!(fs::read(&new).unwrap(), fs::read(IMAGE).unwrap());
    }
    place.expect("seal -q --force --output new.qcow2 image.qcow2", 0);
    place.expect("audit -q new.qcow2", 0);
}

#[test]
fn output_never_replaces_a_file_that_the_image_is_read_from() {
    let place = Place::new();
    for (base, overlay) in [("image.qcow2", "middle.qcow2"), ("middle.qcow2", "top.qcow2")] {
        let (base, overlay) = (place.path(base), place.path(overlay));
        let args = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
        let paths = [base.to_str().unwrap(), overlay.to_str().unwrap()];
        oracle::succeed("qemu-img", "qemu-utils", &[&args[..], &paths[..]].concat());
    }
    fs::hard_link(place.image(), place.path("link")).unwrap();
    std::os::unix::fs::symlink("middle.qcow2", place.path("symlink")).unwrap();
    let files = ["image.qcow2", "middle.qcow2", "top.qcow2"];
    let before = files.map(|file| fs::read(place.path(file)).unwrap());
    for (to, named) in [
        ("image.qcow2", "image.qcow2, a backing file"),
        ("middle.qcow2", "middle.qcow2, a backing file"),
        ("link", "image.qcow2, a backing file"),
        ("symlink", "middle.qcow2, a backing file"),
        ("top.qcow2", "the image itself"),
    ] {
        let (_, error) = place.expect(&format!("seal -q --force --output {to} top.qcow2"), 2);
        assert!(error.contains(named) && error.lines().count() == 1, "{to}: {error}");
        let (_, error) = place.expect(&format!("audit -q --save-plan {to} top.qcow2"), 2);
        assert!(error.contains(named) && error.lines().count() == 1, "{to}: {error}");
    }
    assert_eq!(files.map(|file| fs::read(place.path(file)).unwrap()), before);
    place.expect("seal -q --output new.qcow2 top.qcow2", 0);
    place.expect("audit -q new.qcow2", 0);
}

#[test]
fn digests_are_of_the_disks_content() {
    let place = Place::new();
    let report = place.json("seal --json --digest image.qcow2 --output new.qcow2", 0);
    for (image, digest) in [
        ("image.qcow2", &report["found"]["image"]["sha256"]),
        ("new.qcow2", &report["sealed"]["sha256"]),
    ] {
        let raw = place.path("content.raw");
        oracle::qemu_img_convert(&place.path(image), "qcow2", &raw, &["-O", "raw"]);
        let sum = oracle::succeed("sha256sum", "coreutils", &[raw.to_str().unwrap()]);
        let sum = String::from_utf8(sum).unwrap();
        assert_eq!(sum.split(' ').next(), digest.as_str(), "{image}");
    }
}

#[test]
fn mistakes_get_one_line_and_lose_nothing() {
    let place = Place::new();
    fs::write(place.path("empty.img"), b"").unwrap();
    fs::write(place.path("zero.img"), vec![0; 1 << 20]).unwrap();
    fs::write(place.path("plan.json"), b"{\"schema\": 99}").unwrap();
    fs::write(place.path("bad.yaml"), "name: bad\nsteps:\n  - remvoe: /x\n").unwrap();
    for (words, code, part) in [
        ("audit missing.qcow2", 1, "missing.qcow2: no such file"),
        ("seal .", 1, "directory"),
        ("audit empty.img", 1, "empty.img"),
        ("audit zero.img", 1, "no operating system found"),
        ("audit --format vmdk image.qcow2", 2, "vmdk"),
        ("audit --enable ssh-hostkey image.qcow2", 2, "ssh-hostkeys"),
        ("audit --set no=1 image.qcow2", 2, "no"),
        ("seal --plan plan.json image.qcow2", 1, "plan.json:"),
        ("seal --plan missing.json image.qcow2", 1, "missing.json"),
        ("check bad.yaml", 1, "bad.yaml:3:"),
        ("operations ssh-hostkey", 2, "ssh-hostkeys"),
    ] {
        let (_, error) = place.expect(words, code);
        assert!(error.contains(part), "{words}: {part} is not in {error}");
        let lines = error.lines().count();
        assert!(lines == 1 || words.starts_with("check"), "{words}: {error}");
    }
}

#[test]
fn what_is_named_on_the_command_line_is_read_with_bounds() {
    let place = Place::new();
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    let fifo = folder.join("pipe.yaml");
    oracle::succeed("mkfifo", "coreutils", &[fifo.to_str().unwrap()]);
    let (_, error) = place.expect("audit --operations-dir mine image.qcow2", 1);
    assert!(error.contains("pipe.yaml: not a regular file"), "{error}");
    fs::remove_file(&fifo).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.yaml")).unwrap();
    for words in [
        "audit --operations-dir mine image.qcow2",
        "check mine/zero.yaml",
        "seal --plan /dev/zero image.qcow2",
        "seal --plan mine image.qcow2",
    ] {
        let (_, error) = place.expect(words, 1);
        let one = error.lines().count() == 1;
        assert!(one && error.contains("not a regular file"), "{words}: {error}");
    }
    fs::remove_file(folder.join("zero.yaml")).unwrap();
    // Longer than an operation can be; written as a hole.
    fs::File::create(folder.join("long.yaml")).unwrap().set_len(2 << 20).unwrap();
    let (_, error) = place.expect("check mine/long.yaml", 1);
    assert!(error.contains("longer than 1048576 bytes"), "{error}");
    fs::remove_file(folder.join("long.yaml")).unwrap();
    fs::File::create(place.path("long.json")).unwrap().set_len(300 << 20).unwrap();
    let (_, error) = place.expect("seal --plan long.json image.qcow2", 1);
    assert!(error.contains("long.json: longer than"), "{error}");
    // A symlink to a regular file is one.
    fs::write(
        place.path("own"),
        "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps: [{remove: /etc/none}]\n",
    )
    .unwrap();
    std::os::unix::fs::symlink("../own", folder.join("own.yaml")).unwrap();
    place.expect("audit --enable own --operations-dir mine image.qcow2", 0);
}

#[test]
fn what_an_operation_cannot_ask_for_is_said_when_it_is_read() {
    let place = Place::new();
    let file = |step: &str| {
        let text = format!(
            "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps:\n  - {step}\n"
        );
        fs::write(place.path("own.yaml"), text).unwrap();
        place.expect("check own.yaml", 1).1
    };
    let error = file(&format!("symlink: {{ path: /l, target: {} }}", "t".repeat(5000)));
    assert!(error.starts_with("own.yaml:7:34: 'target' is 5000 bytes long"), "{error}");
    let error = file(&format!("mkdir: /{}", "n".repeat(256)));
    assert!(error.starts_with("own.yaml:7:12: 'path': a name of 256 bytes"), "{error}");
    let error = file(&format!("mkdir: {}", "/n".repeat(2500)));
    assert!(error.starts_with("own.yaml:7:12: 'path': a path of 5000 bytes"), "{error}");
}

#[test]
fn times_that_no_filesystem_holds_are_usage_errors() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    for (epoch, code) in [
        ("15032385536", 2),
        ("-1", 2),
        ("99999999999999999999", 2),
        ("tomorrow", 2),
        ("15032385535", 0),
        ("0", 0),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
            .args(["seal", "-q", "--force", "--output", "new.qcow2", "image.qcow2"])
            .current_dir(place.folder.path())
            .env("SOURCE_DATE_EPOCH", epoch)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{epoch}: {error}");
        let named = error.contains("SOURCE_DATE_EPOCH") && error.contains("to 15032385535");
        assert_eq!(named, code == 2, "{epoch}: {error}");
        assert!(error.lines().count() <= 1, "{error}");
    }
    place.expect("audit -q --save-plan plan.json image.qcow2", 3);
    let plan = fs::read_to_string(place.path("plan.json")).unwrap();
    let late = plan.replacen("\"seconds\": 1700000000", "\"seconds\": 15032385536", 1);
    assert_ne!(late, plan);
    fs::write(place.path("plan.json"), late).unwrap();
    let (_, error) = place.expect("seal --plan plan.json image.qcow2", 1);
    assert!(error.contains("plan.json:1:1: 'now' is not between"), "{error}");
    assert_eq!(fs::read(place.image()).unwrap(), before);
}

#[test]
fn whole_directories_go_and_what_the_filesystem_needs_stays() {
    let place = Place::new();
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("own.yaml"),
        "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps:\n\
         - remove: ['/var/**', '/*', '/boot/*', /var/lib/dpkg/status]\n",
    )
    .unwrap();
    let own = "--enable own --operations-dir mine";
    let report = place.json(&format!("seal --json {own} image.qcow2"), 3);
    let left: Vec<&str> = report["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    for path in ["/lost+found", "/var/lib", "/etc", "/boot/efi"] {
        assert!(left.contains(&path), "{path} is not in {left:?}");
    }
    oracle::qemu_img_check(&place.image());
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let report = place.json(&format!("audit --json {own} image.qcow2"), 3);
    assert_eq!(report["totals"]["changes"], 0, "{report}");
}

#[test]
fn files_and_directories_are_counted_apart() {
    let place = Place::new();
    let words =
        "audit --json --first-boot report --enable cloud-init-state,ssh-hostkeys image.qcow2";
    let report = place.json(words, 3);
    let of = |name: &str| {
        let found = report["operations"].as_array().unwrap();
        let it = found.iter().find(|it| it["operation"] == name).unwrap().clone();
        (it["files"].as_u64().unwrap(), it["directories"].as_u64().unwrap())
    };
    assert_eq!(of("ssh-hostkeys").1, 0);
    let (files, directories) = of("cloud-init-state");
    assert!(files > 0 && directories > 0, "{report}");
    let (text, _) = place.expect("audit --enable cloud-init-state image.qcow2", 3);
    let shown = format!("{files} files, {directories} directories");
    assert!(text.contains(&shown), "{shown} is not in\n{text}");
    assert_eq!(report["totals"]["directories"], directories);
}

#[test]
fn an_operation_of_ones_own_replaces_ours() {
    let place = Place::new();
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("ssh-hostkeys.yaml"),
        "name: ssh-hostkeys\nsummary: Remove one key\nwhy: A test.\nclass: identity\n\
         default: true\nsteps:\n  - remove: /etc/ssh/ssh_host_rsa_key\n",
    )
    .unwrap();
    let report =
        place.json("audit --json --enable ssh-hostkeys --operations-dir mine image.qcow2", 3);
    assert_eq!(report["totals"]["changes"], 1, "{}", report["operations"]);
    let (text, _) = place.expect("check mine/ssh-hostkeys.yaml", 0);
    assert!(text.contains("ssh-hostkeys"), "{text}");
}

#[test]
fn an_image_that_qemu_has_open_is_refused() {
    let place = Place::new();
    let mut qemu = Command::new("qemu-io")
        .arg(place.image())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("qemu-io, of the package qemu-utils");
    // Its prompt comes when the image is open and locked.
    let mut prompt = [0; 8];
    std::io::Read::read_exact(qemu.stdout.as_mut().unwrap(), &mut prompt).unwrap();
    let before = fs::read(place.image()).unwrap();
    let (_, error) = place.expect("seal image.qcow2", 1);
    assert!(error.contains("image.qcow2"), "{error}");
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    assert_eq!(fs::read(place.image()).unwrap(), before);
    place.expect("seal -q image.qcow2", 0);
}

#[test]
fn the_exit_code_tells_what_became_of_the_image() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    // A plan never lands on the image, and none is saved of an image without a guest.
    place.expect("audit -q --save-plan image.qcow2 image.qcow2", 2);
    assert_eq!(fs::read(place.image()).unwrap(), before);
    fs::write(place.path("zero.img"), vec![0; 1 << 20]).unwrap();
    place.expect("audit -q --save-plan plan.json zero.img", 1);
    assert!(!place.path("plan.json").exists());
    place.expect("recover missing.qcow2", 1);
    // A reader that goes away does not make a dirty image clean.
    let mut audit = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .args(["audit", "-v"])
        .arg(place.image())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(audit.stdout.take());
    assert_eq!(audit.wait().unwrap().code(), Some(3));
    // A key that cannot be removed: said, and not exit code 0.
    let raw = root_filesystem(&place, &place.image(), "qcow2");
    let debugfs = |request: &str| {
        oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", request, raw.to_str().unwrap()]);
    };
    debugfs("set_inode_field /etc/ssh/ssh_host_rsa_key flags 0x80010");
    place.expect("audit -q root.ext4", 3);
    let (_, error) = place.expect("seal -q root.ext4", 3);
    assert!(error.contains("left alone"), "{error}");
    place.expect("audit -q root.ext4", 3);
    // The report is lost, and the image is sealed all the same: said so.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .arg("seal")
        .arg(place.image())
        .stdout(full)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("is sealed"), "{error}");
}

#[test]
fn a_full_or_closed_standard_error_ends_nothing() {
    let place = Place::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut key = "[identity]\n".to_owned();
    key.push_str("not yaml: [");
    fs::write(place.path("bad.yaml"), key).unwrap();
    let run = |words: &str, to_full: (bool, bool)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"));
        command.args(words.split(' ')).current_dir(place.folder.path());
        if to_full.0 {
            command.stdout(full());
        }
        if to_full.1 {
            command.stderr(full());
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (words, code) in [
        ("audit -x image.qcow2", 3),
        ("audit missing.qcow2", 1),
        ("audit --no-such-flag image.qcow2", 2),
        ("check bad.yaml", 1),
        ("seal -x image.qcow2 --output new.qcow2", 0),
    ] {
        assert_eq!(run(words, (false, true)).0, Some(code), "{words}");
    }
    oracle::qemu_img_check(&place.path("new.qcow2"));
    for (words, said) in [
        ("--help", "standard output"),
        ("--version", "standard output"),
        ("operations", "standard output"),
        ("recover image.qcow2", "nothing to do"),
    ] {
        let (code, error) = run(words, (true, false));
        assert!(code == Some(1) && error.contains(said), "{words}: {code:?} {error}");
        assert_eq!(run(words, (true, true)).0, Some(1), "{words}");
    }
    // Its reader is gone before it says anything.
    let mut audit = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .args(["audit", "-x"])
        .arg(place.image())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(audit.stderr.take());
    assert_eq!(audit.wait().unwrap().code(), Some(3));
}

#[test]
fn the_readmes_table_of_operations_is_the_catalogues() {
    let (table, _) = Place::new().expect("operations --markdown", 0);
    let readme = include_str!("../README.md");
    assert!(readme.contains(&table), "README.md has another table of operations");
}

#[test]
fn the_reference_of_operation_files_is_what_checks_them() {
    let (reference, _) = Place::new().expect("schema --markdown", 0);
    let file = include_str!("../docs/operation-files.md");
    assert!(reference == file, "make docs/operation-files.md anew: sysprep-rs schema --markdown");
}

#[test]
fn a_new_file_is_what_its_name_says_and_no_more_readable_than_the_source() {
    let place = Place::new();
    fs::set_permissions(place.image(), fs::Permissions::from_mode(0o600)).unwrap();
    place.expect("seal -q image.qcow2 --output new.raw", 0);
    assert_eq!(fs::metadata(place.path("new.raw")).unwrap().len(), 128 << 20);
    assert_eq!(fs::metadata(place.path("new.raw")).unwrap().permissions().mode() & 0o777, 0o600);
    place.expect("seal -q image.qcow2 --output new.RAW2", 0);
    assert_eq!(fs::read(place.path("new.RAW2")).unwrap()[..4], *b"QFI\xfb");
    for (words, code, what) in [
        ("seal image.qcow2 --output new.vmdk", 2, "vmdk is not written yet"),
        ("seal image.qcow2 --output new --output-format auto", 2, "--output-format 'auto'"),
        ("seal image.qcow2 --operations -ssh-userdir", 2, "no operation is selected"),
        ("seal image.qcow2 --operations lvm-uuids", 2, "not built here yet"),
        ("seal -q -n image.qcow2 --operations defaults,-lvm-uuids,-customize", 3, ""),
    ] {
        let (_, error) = place.expect(words, code);
        assert!(error.contains(what), "{words}: {error}");
    }
    oracle::succeed("mkfifo", "coreutils", &[place.path("pipe").to_str().unwrap()]);
    let (_, error) = place.expect("seal image.qcow2 --output pipe --force", 1);
    assert!(error.contains("--force replaces regular files only"), "{error}");
}

#[test]
fn the_readmes_first_output_is_the_programs() {
    let place = Place::new();
    let output = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"))
        .args(["seal", "fixtures/images/debian-mini.qcow2", "--output"])
        .arg(place.path("sealed.qcow2"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The last lines tell of the host: how it allocates, and how fast it is.
    let (said, of_the_host) =
        text.split_once(place.path("sealed.qcow2").to_str().unwrap()).unwrap();
    assert_eq!(of_the_host.lines().count(), 2, "{text}");
    // So does the first.
    let (_, said) = said.split_once(" on the host, GPT\n").unwrap();
    assert!(include_str!("../README.md").contains(said), "README.md shows another output: {text}");
}
