//! SELinux's labels of what a seal makes and rewrites, held against `matchpathcon` and Debian's own
//! policy, path by path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use super::carried::{Carried, GONE, ROOT, tree};
use super::{Place, partition};
use crate::support::debugfs::{script, snapshot};
use crate::support::oracle::{self, e2fsck_clean};
use crate::support::recipe::{self, Part};
use crate::support::selinux::{debian, matchpathcon};
use crate::support::snapshot::{Object, Snapshot};
use crate::support::spec::{Body, Spec};

const LABEL: &str = "security.selinux";

/// What everything in the guest has before it is sealed, which no policy gives.
const HAD: &str = "system_u:object_r:had_before_t:s0";

const CONTEXTS: &str = "/etc/selinux/default/contexts/files";
const CONFIG: (&str, &str) =
    ("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=default\nSETLOCALDEFS=0\n");

/// What an administrator added to the policy.
const LOCAL: &str = "/srv/app(/.*)?  system_u:object_r:httpd_sys_content_t:s0\n\
                     /srv/app/run/.* -p system_u:object_r:httpd_var_run_t:s0\n\
                     /srv/none(/.*)? <<none>>\n";
const SUBS: &str = "/people /home\n";

/// The files of Debian's policy and what is added, by name.
fn policy() -> BTreeMap<String, String> {
    let dir = debian();
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&dir).unwrap_or_else(|it| panic!("{}: {it}", dir.display())) {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let name = entry.file_name().into_string().unwrap();
            files.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    for name in ["file_contexts", "file_contexts.homedirs", "file_contexts.subs_dist"] {
        assert!(files.contains_key(name), "{name} is of the package");
    }
    files.insert("file_contexts.local".into(), LOCAL.into());
    files.insert("file_contexts.subs".into(), SUBS.into());
    files
}

/// The carried guest with Debian's policy, everything in it labelled.
fn labelled(files: &[(&str, &str)]) -> Carried {
    let policy = policy();
    let paths: Vec<String> = policy.keys().map(|name| format!("{CONTEXTS}/{name}")).collect();
    let mut all = vec![CONFIG];
    all.extend(paths.iter().map(String::as_str).zip(policy.values().map(String::as_str)));
    all.extend(files);
    let guest = Carried::with(&all);
    label_all(&guest, HAD);
    guest
}

fn label_all(guest: &Carried, label: &str) {
    let value = guest.place.path("label");
    fs::write(&value, format!("{label}\0")).unwrap();
    let head = format!("ea_set -f {} \"", value.display());
    let tail = format!("\" {LABEL}");
    let set = |at: &GuestPath| [head.as_bytes(), &at.to_bytes(), tail.as_bytes()].concat();
    guest.script(guest.tree().keys().map(set).collect());
}

fn label(tree: &Snapshot, at: &GuestPath) -> Option<String> {
    let value = tree.get(at)?.xattrs.as_ref()?.get(LABEL)?;
    let text = String::from_utf8(value.clone()).unwrap();
    assert!(text.ends_with('\0'), "{at}: {text:?} has no NUL at its end");
    Some(text.trim_end_matches('\0').to_owned())
}

/// Holds every label of a sealed tree against the policy of the guest; gives the labels of the paths
/// that are new.
fn judge(place: &Place, before: &Snapshot, after: &Snapshot) -> BTreeMap<String, String> {
    let dir = place.path("policy");
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in policy() {
        fs::write(dir.join(name), text).unwrap();
    }
    // A symlink that leads elsewhere is another one.
    let is_new = |at: &GuestPath| {
        let object = |it: &Object| (it.kind, it.target.clone());
        before.get(at).map(object) != Some(object(&after[at]))
    };
    let new: Vec<&GuestPath> = after.keys().filter(|at| is_new(at)).collect();
    let asked: Vec<(Kind, Vec<u8>)> =
        new.iter().map(|at| (after[*at].kind.unwrap(), at.to_bytes())).collect();
    let said = matchpathcon(&dir.join("file_contexts"), &asked);
    let mut found = BTreeMap::new();
    for (at, said) in new.iter().zip(said) {
        let got = label(after, at).unwrap_or_else(|| "<<none>>".to_owned());
        found.insert(at.to_string(), got.clone());
        let brought = BROUGHT.iter().find(|(path, _)| **at == path.parse().unwrap());
        assert_eq!(got, brought.map_or(said, |it| it.1.to_owned()), "{at}");
    }
    for (at, _) in before.iter().filter(|(at, _)| after.contains_key(at) && !is_new(at)) {
        assert_eq!(label(after, at).as_deref(), Some(HAD), "{at} was there and keeps its label");
    }
    found
}

/// What has a label from elsewhere: moved and copied as mv and cp -a do it, or brought by a tar file.
const BROUGHT: [(&str, &str); 5] = [
    ("/srv/issue.moved", HAD),
    ("/srv/issue.copied", HAD),
    ("/etc/mine/copied", HAD),
    ("/srv/app/own", OWN),
    ("/opt/app/own", OWN),
];

/// An operation with every verb that makes or rewrites something.
const MINE: &str = r##"name: mine
summary: Set up
why: Every verb that writes
class: settings
default: true
steps:
  - mkdir: { path: /etc/mine, mode: "0750" }
  - write: { path: /etc/mine/written, content: "w\n" }
  - write: { path: /etc/systemd/system/mine.service.d/a.conf, content: "[Service]\n", parents: true }
  - append: { path: /etc/mine/appended, lines: [one, two] }
  - append: { path: /etc/motd, lines: added }
  - touch: /etc/mine/touched
  - symlink: { path: /etc/mine/link, target: written }
  - copy: { from: /etc/issue, to: /etc/mine/copied }
  - copy: { from: /etc/mine/written, to: /etc/mine/copied-of-new }
  - move: { from: /etc/mine/touched, to: /etc/mine/moved }
  - edit: { paths: /etc/login.defs, insert: { line: "# mine" , after: "^UMASK" } }
  - set-key: { paths: /etc/adduser.conf, format: shell, key: MINE, value: "1" }
  - chmod: { paths: /etc/shells, mode: "0600" }
  - mkdir: { path: /usr/local/lib64, parents: true }
  - upload: { from: up, to: /usr/local/lib64/mine.so }
  - tar-in: { from: app.tar, to: /srv }
  - authorize-key: { user: root, keys: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIf1ck3YlWRfcMeWGfcLvXxWjMhjFKf2TG0G2BMiIgVw mine" }
  - firstboot: { name: mine, script: "true\n" }
  - keymap: de
"##;

/// Files of the host that a seal brings along.
fn host_files(place: &Place) {
    let at = |name: &str| place.path(name);
    fs::create_dir(at("mine")).unwrap();
    fs::write(at("mine/mine.yaml"), MINE).unwrap();
    fs::write(at("up"), "brought along\n").unwrap();
    fs::write(at("script"), "#!/bin/sh\ntrue\n").unwrap();
    fs::create_dir_all(at("www/cgi-bin")).unwrap();
    fs::write(at("www/cgi-bin/a"), "1").unwrap();
    fs::write(at("www/index.html"), "2").unwrap();
    symlink("index.html", at("www/start")).unwrap();
    oracle::succeed("mkfifo", "coreutils", &[at("www/pipe").to_str().unwrap()]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut member = |name: &str, kind: tar::EntryType, content: &str, own: Option<&str>| {
        if let Some(own) = own {
            let label = format!("{own}\0");
            let one = [("SCHILY.xattr.security.selinux", label.as_bytes())];
            builder.append_pax_extensions(one).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000_000);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_size(0);
            header.set_link_name(content).unwrap();
        }
        if kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_path(name).unwrap();
        header.set_cksum();
        let content = if header.size().unwrap() == 0 { "" } else { content };
        builder.append(&header, content.as_bytes()).unwrap();
    };
    use tar::EntryType as Type;
    member("app", Type::Directory, "", None);
    member("app/run", Type::Directory, "", None);
    member("app/run/pipe", Type::Fifo, "", None);
    member("app/null", Type::Char, "", None);
    member("app/page", Type::Regular, "page", None);
    member("app/page-too", Type::Link, "app/page", None);
    member("app/link", Type::Symlink, "page", None);
    member("app/own", Type::Regular, "own", Some(OWN));
    member("none", Type::Directory, "", None);
    member("none/x", Type::Regular, "x", None);
    member("was", Type::Regular, "anew", None);
    fs::write(at("app.tar"), builder.into_inner().unwrap()).unwrap();
}

/// What a member of the tar file brings along.
const OWN: &str = "system_u:object_r:brought_t:s0";

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDGjjyvyOcBxcN8SsVJcmYRnzZlNFsGcGZnCfyXQtzTf me";

/// What a seal is told so that it makes all that it can make.
fn everything() -> Vec<String> {
    let mut words: Vec<String> = [
        "--operations-dir=mine",
        "--set=net.fallback=dhcp",
        "--mkdir=/usr/local/bin",
        "--upload=up:/usr/local/bin/up",
        "--upload=up:/var/lib/dpkg/status-of-mine",
        "--copy-in=www:/var",
        "--mkdir=/var/lib/new/deep/er",
        "--mkdir=/people/bob/.ssh",
        "--link=/etc/passwd:/opt/link:/usr/lib64/libx.so:/etc/hosts.deny",
        "--write=/etc/new.conf:text",
        "--write=/etc/motd:rewritten",
        "--write=/var/run/of-a-link:x",
        "--write=/tmp/none:no label is given here",
        "--append-line=/etc/securetty:tty1",
        "--append-line=/etc/hosts:192.0.2.1 other",
        "--hostname=web.example.org",
        "--tar-in=app.tar:/opt",
        "--touch=/home/admin/.forward",
        "--mkdir=/home/admin/public_html",
        "--write=/home/admin/public_html/x:y",
        "--firstboot=script",
        "--firstboot-command=touch /x",
        "--root-password=password:secret",
        "--password=admin:password:secret",
        "--timezone=Etc/UTC",
        "--copy=/etc/issue:/srv/issue.copied",
        "--move=/etc/issue.net:/srv/issue.moved",
        "--chmod=0600:/etc/environment",
        "--edit=/etc/profile:s/^# .*//",
        "--truncate=/etc/crontab",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--ssh-inject=admin:string:{KEY}"));
    words
}

#[test]
fn everything_that_a_seal_makes_has_the_label_of_the_guests_policy() {
    // Nothing brings a link up without the file that goes, so that the fallback is written.
    let guest = labelled(&[
        ("/etc/network/interfaces.d/eth0", GONE),
        ("/etc/default/keyboard", "XKBLAYOUT=us\n"),
        ("/var/run", "-> ../run"),
        ("/srv/was", "was there"),
        ("/opt/was", "was there"),
    ]);
    let place = &guest.place;
    host_files(place);
    let before = guest.tree();
    let words = everything();
    let of = |command: &str, more: &[&str], code: i32| {
        let words = [&[command][..], more, &words.iter().map(String::as_str).collect::<Vec<_>>()];
        place.expect_words(&[&words.concat()[..], &[ROOT]].concat(), code)
    };
    let report: Value = serde_json::from_str(&of("audit", &["--json"], 3).0).unwrap();
    let labels = |report: &Value| {
        let lines = report["first_boot"].as_array().unwrap().iter();
        lines.filter(|it| it["what"] == "labels").cloned().collect::<Vec<_>>()
    };
    let (text, _) = of("seal", &["--verify=full"], 0);
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    e2fsck_clean(&guest.image);
    let after = snapshot(&guest.image);
    let found = judge(place, &before, &after);
    // What they are in Debian's policy, so that the oracle itself is not beside the point.
    for (at, wanted) in [
        ("/home/admin/.ssh/authorized_keys", "ssh_home_t"),
        ("/home/admin/public_html", "httpd_user_content_t"),
        ("/people/bob/.ssh", "ssh_home_t"),
        ("/run/of-a-link", "<<none>>"),
        ("/etc/hosts.deny", "etc_t"),
        ("/usr/local/lib64/mine.so", "lib_t"),
        ("/etc/systemd/system/sysprep-rs-ssh-host-keys.service", "systemd_unit_t"),
        (
            "/etc/systemd/system/multi-user.target.wants/sysprep-rs-ssh-host-keys.service",
            "systemd_unit_t",
        ),
        ("/usr/lib/sysprep-rs/firstboot/run", "lib_t"),
        ("/var/www/cgi-bin/a", "httpd_sys_script_exec_t"),
        ("/var/www/pipe", "httpd_sys_content_t"),
        ("/srv/app/page-too", "httpd_sys_content_t"),
        ("/srv/app/run/pipe", "httpd_var_run_t"),
        ("/srv/none/x", "<<none>>"),
        ("/tmp/none", "<<none>>"),
    ] {
        let found = found.get(at).unwrap_or_else(|| panic!("{at} is not new in {found:?}"));
        assert!(found.split(':').any(|it| it == wanted), "{at}: {found}");
    }
    assert!(!after.contains_key(&"/.autorelabel".parse().unwrap()));
    // What is counted is what was labelled by the policy.
    let brought = |at: &str| BROUGHT.iter().any(|(path, _)| *path == at);
    let given = found.iter().filter(|(at, label)| *label != "<<none>>" && !brought(at)).count();
    let said = format!("{given} new files have those of the guest's policy");
    assert!(text.contains(&format!("\n  labels         {said}\n")), "{said} is not in {text}");
    let wanted =
        json!({ "guest": 0, "what": "labels", "informs": true, "is": "made", "why": said });
    assert_eq!(labels(&report), [wanted]);
    // The same again changes nothing.
    let sealed = guest.bytes();
    let (text, _) = of("seal", &[], 0);
    assert!(!text.contains("labels"), "{text}");
    assert!(guest.bytes() == sealed, "sealed twice it is another: {text}");
}

/// Partitioned, with an EFI system partition that stores no labels.
#[test]
fn a_new_file_on_fat_has_no_label_and_none_is_missed() {
    let guest = labelled(&[]);
    let place = &guest.place;
    // The whole disk that the filesystem was taken out of.
    fs::rename(place.path("whole.raw"), place.path("disk.raw")).unwrap();
    let disk = fs::File::options().write(true).open(place.path("disk.raw")).unwrap();
    disk.write_all_at(&guest.bytes(), ROOT_AT).unwrap();
    drop(disk);
    let before = guest.tree();
    let words = [
        "seal",
        "--write=/boot/efi/new.txt:x",
        "--mkdir=/boot/efi/loader/entries",
        "--write=/boot/new.txt:x",
        "--hostname=web",
        "disk.raw",
    ];
    let (text, _) = place.expect_words(&words, 0);
    let root = partition(place, &place.path("disk.raw"), "raw", 1, ROOT);
    e2fsck_clean(&root);
    let found = judge(place, &before, &snapshot(&root));
    assert!(found["/boot/new.txt"].contains("boot_t"), "{found:?}");
    let said = format!("\n  labels            {} new files have those of", found.len());
    assert!(text.contains(&said), "{said} is not in {text}");
    let esp = partition(place, &place.path("disk.raw"), "raw", 0, "esp.vfat");
    oracle::fsck_vfat_clean(&esp);
    let listed = oracle::succeed("mdir", "mtools", &["-b", "-i", esp.to_str().unwrap(), "::/"]);
    assert!(String::from_utf8(listed).unwrap().contains("new.txt"));
    // Only there, and nothing is said of labels.
    let words = ["seal", "--write=/boot/efi/other.txt:x", "disk.raw"];
    let (text, _) = place.expect_words(&words, 0);
    assert!(!text.contains("labels"), "{text}");
}

/// The policy names the place in the guest, whichever filesystem is there.
#[test]
fn what_is_made_below_a_mount_has_the_label_of_its_path_in_the_guest() {
    const HOME: &str = "11111111-2222-4333-8444-555555555555";
    let small = Small::new(&[
        (CONFIG.0, Some(CONFIG.1)),
        (&format!("{CONTEXTS}/file_contexts"), Some(&policy()["file_contexts"])),
        (&format!("{CONTEXTS}/file_contexts.homedirs"), Some(&policy()["file_contexts.homedirs"])),
        ("/etc/fstab", Some(&format!("UUID={HOME} /home ext4 defaults 0 2\n"))),
        ("/home", None),
    ]);
    let place = &small.place;
    let scratch = place.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let mut home = Spec::default();
    home.directory("/bob");
    let args = ["-t", "ext4", "-O", "^has_journal", "-U", HOME];
    let home = recipe::ext4(&scratch, &mut home, &args, 8 << 20);
    let part = |name, image| Part { kind: "8300", name, image };
    recipe::gpt(place.folder.path(), &[part("root", &small.image), part("home", &home)]);
    let words = [
        "seal",
        "--operations=customize",
        "--mkdir=/home/bob/.ssh",
        "--write=/home/bob/.ssh/authorized_keys:k",
        "--mkdir=/home/eve",
        "disk.img",
    ];
    let (text, _) = place.expect_words(&words, 0);
    assert!(text.contains("  labels  3 new files have those of the guest's policy\n"), "{text}");
    let sealed = partition(place, &place.path("disk.img"), "raw", 1, "home.ext4");
    e2fsck_clean(&sealed);
    let tree = snapshot(&sealed);
    for (at, is) in [
        ("/bob/.ssh", "ssh_home_t"),
        ("/bob/.ssh/authorized_keys", "ssh_home_t"),
        ("/eve", "user_home_dir_t"),
    ] {
        let found = label(&tree, &at.parse().unwrap()).unwrap_or_default();
        assert!(found.split(':').any(|it| it == is), "{at}: {found}");
    }
    assert_eq!(label(&tree, &"/bob".parse().unwrap()), None, "what was there stays as it is");
}

/// Where the carried image's second partition begins.
const ROOT_AT: u64 = 83_968 * 512;

/// A path and its content; a directory has none.
type File<'a> = (&'a str, Option<&'a str>);

/// A small guest with these files, each with a label, and what is said of `/etc/new` in it.
struct Small {
    place: Place,
    image: PathBuf,
}

const POLICY: &str = "/.* system_u:object_r:default_t:s0\n/etc(/.*)? system_u:object_r:etc_t:s0\n";

impl Small {
    fn new(files: &[File<'_>]) -> Self {
        let place = Place::new();
        let mut spec = Spec::default();
        let always = [("/etc/os-release", Some("ID=debian\nVERSION_ID=12\n")), ("/usr/", None)];
        for (at, content) in always.iter().chain(files) {
            let path: GuestPath = at.parse().unwrap();
            let mut above = path.parent();
            while let Some(dir) = above.filter(|it| !it.is_root() && !spec.0.contains_key(it)) {
                above = dir.parent();
                spec.add(dir, Body::Directory);
            }
            let body = content.map_or(Body::Directory, |text| Body::File(text.into()));
            let item = spec.add(path, body);
            item.xattrs.insert(LABEL.into(), format!("{HAD}\0").into_bytes());
        }
        let image = recipe::ext4(
            place.folder.path(),
            &mut spec,
            &["-t", "ext4", "-O", "^has_journal"],
            8 << 20,
        );
        Self { place, image }
    }

    /// A run of customize alone, which makes a file; gives what is printed.
    fn run(&self, words: &[&str], code: i32) -> (String, String) {
        let words = [words, &["--operations=customize", "--write=/etc/new:x", "fs.img"]].concat();
        self.place.expect_words(&words, code)
    }

    /// The verdict on labels, and its words.
    fn labels(&self) -> Vec<(String, String)> {
        let report: Value = serde_json::from_str(&self.run(&["audit", "--json"], 3).0).unwrap();
        let lines = report["first_boot"].as_array().unwrap().iter();
        let of = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
        lines.filter(|it| it["what"] == "labels").map(|it| (of(it, "is"), of(it, "why"))).collect()
    }

    fn label(&self, at: &str) -> Option<String> {
        e2fsck_clean(&self.image);
        label(&tree(&self.image), &at.parse().unwrap())
    }
}

#[test]
fn a_policy_that_gives_no_labels_is_told_and_refused() {
    let main = format!("{CONTEXTS}/file_contexts");
    let local = format!("{CONTEXTS}/file_contexts.local");
    let homedirs = format!("{CONTEXTS}/file_contexts.homedirs");
    let compiled = format!("{CONTEXTS}/file_contexts.bin");
    let subs = format!("{CONTEXTS}/file_contexts.subs");
    let binary = "/etc/selinux/default/policy/policy.33";
    let config = (CONFIG.0, Some(CONFIG.1));
    let main_is = |text: &'static str| (main.as_str(), Some(text));
    let large = "\0".repeat((16 << 20) + 1);
    let many = "/a /b\n".repeat(10_001);
    let lies = "another policy is (/etc/selinux/targeted/contexts/files/file_contexts)";
    let cases: &[(&[File<'_>], &str)] = &[
        (&[(binary, Some("binary"))], "not there, while the guest loads"),
        (&[(&compiled, Some("binary"))], "its compiled copy is not read"),
        (&[(&main, None), (binary, Some("binary"))], "not there, while the guest loads"),
        (&[("/etc/selinux/targeted/contexts/files/file_contexts", Some(POLICY))], lies),
        (&[main_is("/.* system_u:object_r:default_t:s0\n/etc(/.*\n")], "line 2: no label"),
        (&[main_is("/.* -x system_u:object_r:default_t:s0\n")], "'-x' is no type of file"),
        (&[main_is("/etc/n(ew u:r:t:s0\n")], "line 1: '/etc/n(ew'"),
        (&[main_is("/etc/(?=n).* u:r:t:s0\n")], "line 1: '/etc/(?=n).*' holds '(?'"),
        (&[main_is("/etc/new nolabel\n")], "line 1: its label is not of the form"),
        (&[main_is(POLICY), (&local, Some("/etc/new\n"))], "local: line 1: no label"),
        (&[main_is(POLICY), (&homedirs, Some("/home/[^/]+ -q u:r:t:s0\n"))], "homedirs: line 1"),
        (&[(&main, Some(&large))], "file_contexts"),
        (&[main_is(POLICY), (&subs, Some(&many))], "subs: more than 10000 lines"),
    ];
    for (number, (files, wanted)) in cases.iter().enumerate() {
        let first = number == 0;
        let small = Small::new(&[&[config], *files].concat());
        let before = fs::read(&small.image).unwrap();
        let labels = small.labels();
        let [(is, why)] = labels.as_slice() else { panic!("{wanted}: {labels:?}") };
        assert_eq!(is, "missing", "{wanted}: {why}");
        assert!(why.starts_with("1 new file has none (/etc/new): "), "{wanted}: {why}");
        assert!(why.contains(wanted) && why.lines().count() == 1 && why.len() < 400, "{why}");
        assert!(why.ends_with("; --selinux-relabel has the guest label it"), "{why}");
        let commands: &[&str] = match first {
            true => &["audit", "seal -n", "seal --verify=full", "seal"],
            false => &["seal"],
        };
        for command in commands {
            let words: Vec<&str> = command.split(' ').chain(["--first-boot=refuse"]).collect();
            let (_, error) = small.run(&words, 1);
            assert!(error.contains(&format!("(labels: {why})")), "{command}: {error}");
            assert!(error.lines().count() == 1 && error.contains("--first-boot=report"), "{error}");
        }
        assert!(fs::read(&small.image).unwrap() == before, "{wanted}: refused is untouched");
        let (text, _) = small.run(&["seal"], 0);
        assert!(text.contains(&format!("\n  labels  MISSING: {why}\n")), "{text}");
        assert_eq!(small.label("/etc/new"), None, "{wanted}");
        if !first {
            continue;
        }
        // What it is told to do about it.
        let (text, _) = small.run(&["seal", "--first-boot=refuse", "--selinux-relabel"], 0);
        let said = "  labels  the guest labels every file and boots once more (/.autorelabel)\n";
        assert!(text.contains(said), "{wanted}: {text}");
    }
}

#[test]
fn where_selinux_is_off_no_label_is_given_and_none_is_missed() {
    let main = format!("{CONTEXTS}/file_contexts");
    let policy = (main.as_str(), Some(POLICY));
    let binary = ("/etc/selinux/default/policy/policy.33", Some("binary"));
    let off: &[File<'_>] =
        &[("/etc/selinux/config", Some("SELINUX=disabled\nSELINUXTYPE=default\n")), policy, binary];
    let absent: &[File<'_>] =
        &[("/etc/selinux/config", Some("SELINUX=enforcing\nSELINUXTYPE=mls\n"))];
    for files in [off, absent, &[]] {
        let small = Small::new(files);
        assert_eq!(small.labels(), [], "{files:?}");
        let (text, _) = small.run(&["seal", "--first-boot=refuse"], 0);
        assert!(!text.contains("labels"), "{text}");
        assert_eq!(small.label("/etc/new"), None);
        // It is relabelled where it is asked for and SELinux is on.
        let (text, _) = small.run(&["seal", "--selinux-relabel"], 0);
        let flagged = tree(&small.image).contains_key(&"/.autorelabel".parse().unwrap());
        assert_eq!(flagged, files == absent, "{text}");
        assert_eq!(text.contains("labels"), files == absent, "{text}");
    }
    // Permissive is not off.
    let permissive = ("/etc/selinux/config", Some("SELINUX=permissive\nSELINUXTYPE=default\n"));
    let small = Small::new(&[permissive, policy]);
    let label = Some("system_u:object_r:etc_t:s0");
    // A saved plan brings them along.
    let fresh = fs::read(&small.image).unwrap();
    small.run(&["audit", "--save-plan=plan.json"], 3);
    small.place.expect("seal --plan plan.json fs.img", 0);
    assert_eq!(small.label("/etc/new").as_deref(), label);
    fs::write(&small.image, fresh).unwrap();
    small.run(&["seal", "--first-boot=refuse"], 0);
    assert_eq!(small.label("/etc/new").as_deref(), label);
}

#[test]
fn a_relabel_is_flagged_where_it_is_asked_for_and_told_where_it_is_due() {
    let main = format!("{CONTEXTS}/file_contexts");
    let policy = [(CONFIG.0, Some(CONFIG.1)), (main.as_str(), Some(POLICY))];
    let said = |flag: &str| format!("the guest labels every file and boots once more ({flag})");
    let small = Small::new(&policy);
    let (text, _) = small.run(&["seal", "--selinux-relabel"], 0);
    assert!(text.contains(&format!("\n  labels  {}\n", said("/.autorelabel"))), "{text}");
    // The flag is a file like others, and what else is made has its label all the same.
    let labelled = |at: &str, is: &str| {
        assert_eq!(small.label(at), Some(format!("system_u:object_r:{is}:s0")), "{at}");
    };
    labelled("/.autorelabel", "default_t");
    labelled("/etc/new", "etc_t");
    labelled("/etc/os-release", "had_before_t");
    let sealed = fs::read(&small.image).unwrap();
    small.run(&["seal", "--selinux-relabel"], 0);
    assert!(fs::read(&small.image).unwrap() == sealed);
    // It was flagged before: told by a run that makes nothing, too.
    for flag in ["/.autorelabel", "/etc/selinux/.autorelabel"] {
        let flagged = Small::new(&[&policy[..], &[(flag, Some(""))]].concat());
        assert_eq!(flagged.labels(), [("made".to_owned(), said(flag))]);
        let (text, _) = flagged.place.expect("audit --operations=utmp fs.img", 0);
        assert!(text.contains(&said(flag)), "{text}");
    }
}

/// What the kernel's IMA and EVM hold of a file.
#[test]
fn what_was_signed_and_changes_is_told() {
    let small = Small::new(&[("/etc/motd", Some("welcome\n")), ("/etc/issue", Some("issue\n"))]);
    let value = small.place.path("value");
    fs::write(&value, "\u{3}signature").unwrap();
    let set = |at: &str, name: &str| format!("ea_set -f {} {at} {name}", value.display());
    let both = [set("/etc/motd", "security.ima"), set("/etc/issue", "security.evm")];
    script(&small.image, true, &both.map(String::into_bytes));
    let said = |words: &[&str]| {
        let (text, _) = small.run(&[&["audit"], words].concat(), 3);
        let lines = text.lines().filter_map(|it| it.strip_prefix("  IMA/EVM  MISSING: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = |at: &str| {
        format!(
            "the signature of a changed file no longer fits ({at}): sign it anew, or a kernel that \
             checks it refuses the file"
        )
    };
    assert_eq!(said(&["--write=/etc/motd:other"]), [one("/etc/motd")]);
    assert_eq!(said(&["--write=/etc/issue:other"]), [one("/etc/issue")]);
    // IMA's is of the content alone, EVM's of owner and mode, too.
    assert_eq!(said(&["--chmod=0600:/etc/motd"]), Vec::<String>::new());
    assert_eq!(said(&["--chown=7:7:/etc/issue"]), [one("/etc/issue")]);
    // What is there already is not changed, and what goes needs no signature.
    let same = ["--write=/etc/motd:welcome\n", "--chmod=0644:/etc/issue"];
    assert_eq!(said(&same), Vec::<String>::new());
    assert_eq!(said(&["--delete=/etc/motd", "--delete=/etc/issue"]), Vec::<String>::new());
    let all = ["--truncate=/etc/motd", "--append-line=/etc/issue:more"];
    let (_, error) = small.run(&[&["seal", "--first-boot=refuse"][..], &all].concat(), 1);
    let wanted = "the signatures of 2 changed files no longer fit (/etc/issue, /etc/motd): sign them \
                  anew, or a kernel that checks them refuses the files";
    assert!(error.contains(wanted), "{error}");
    let (text, _) = small.run(&[&["seal"][..], &all].concat(), 0);
    assert!(text.contains(wanted), "{text}");
}
