//! virt-customize's flags, through the real program.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::{Place, root_filesystem, seal};
use crate::support::oracle;

/// A path of the sealed image's root filesystem, as debugfs prints it with `how`.
fn debugfs(root: &std::path::Path, how: &str, path: &str) -> String {
    let command = format!("{how} \"{path}\"");
    let text = oracle::succeed("debugfs", "e2fsprogs", &["-R", &command, root.to_str().unwrap()]);
    String::from_utf8(text).unwrap()
}

#[test]
fn flags_change_the_guest_in_the_order_of_the_command_line() {
    let place = Place::new();
    let commands = "# a comment\n\nmkdir /opt/b\n  write /opt/b/c:one \nedit /opt/b/c:\\\n  s/^one /two/\n\
                    no-logfile\nlink ../c:/opt/l1:/opt/l2\n";
    fs::write(place.path("commands"), commands).unwrap();
    let words = [
        "seal",
        "--verify=full",
        "--write",
        "/etc/motd:{name} $x 'y'\nline",
        "--append-line",
        "/etc/motd:- last",
        "--chmod",
        "0640:/etc/motd",
        "--chown=7:8:/etc/motd",
        "--commands-from-file",
        "commands",
        "--hostname",
        "web.example.org",
        // What an operation removes by default is there when a flag asks for it.
        "--write",
        "/etc/ssh/ssh_host_rsa_key:mine",
        "--touch",
        "/opt/gone",
        "--delete",
        "/opt/g*",
        "--truncate-recursive",
        "/etc/cloud",
        "--scrub",
        "/etc/issue",
        "--write",
        "/etc/issue:again",
        "--no-selinux-relabel",
    ];
    let (text, _) = seal(&place, &words, 0);
    assert!(text.contains("settings\n  customize"), "{text}");
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    oracle::qemu_img_check(&place.image());
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let cat = |path: &str| debugfs(&root, "cat", path);
    assert_eq!(cat("/etc/motd"), "{name} $x 'y'\nline\n- last\n");
    let stat = debugfs(&root, "stat", "/etc/motd");
    assert!(stat.contains("Mode:  0640") && stat.contains("User:     7   Group:     8"), "{stat}");
    assert_eq!(cat("/opt/b/c"), "two");
    assert!(debugfs(&root, "stat", "/opt/l2").contains("Fast link dest: \"../c\""));
    assert_eq!(cat("/etc/hostname"), "web.example.org\n");
    assert_eq!(cat("/etc/ssh/ssh_host_rsa_key"), "mine");
    assert_eq!(cat("/etc/issue"), "again");
    assert!(!debugfs(&root, "ls -p", "/opt").contains("gone"));
    assert_eq!(cat("/etc/cloud/cloud.cfg"), "");
    // The same again finds nothing to do.
    let sealed = fs::read(place.image()).unwrap();
    seal(&place, &words, 0);
    assert_eq!(fs::read(place.image()).unwrap(), sealed);
}

/// Perl's own result of an expression, run as virt-customize runs it.
fn perl(expression: &str, text: &str) -> String {
    let program = "my $expr = shift; while (<STDIN>) { eval $expr; die if $@; print STDOUT $_ }";
    let mut child = Command::new("perl")
        .args(["-e", program, expression])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("perl (Debian package perl): {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{expression}");
    String::from_utf8(output.stdout).unwrap()
}

const TEXT: &str = "# comment: a@b.c\nPermitRootLogin yes\nOPT=one two\tthree\n\nGRUB_TIMEOUT=5\n\
                    path=/usr/lib:/lib $HOME\nx[1]&&y -- ~z #end\nGr\u{fc}\u{df}e a.b\nlast line";

#[test]
fn edits_are_what_perl_makes_of_them() {
    let expressions = [
        r"s/^PermitRootLogin.*/PermitRootLogin no/",
        r"s/^OPT=.*/OPT=ok/",
        r"s{/usr/lib}{/opt/\$x}",
        r"s|/lib|\|slash|g",
        r"s,a\@b,A\@B,; s/#\s+COMMENT/# C/i",
        r#"$_ = "" if /^#/"#,
        r#"$_ = "" unless /[A-Z]/"#,
        r#"$_ = "none\t\$\n" if /^$/"#,
        r"$_ = '' unless m{=} ;",
        r"s/\n//",
        r"s/(?<n>T)IMEOUT=(\d)/$1IME=${2}0/",
        r"s/x\[1\]&&y/[]/",
        r"s/[[&~]//g",
        r"s/[[:digit:]]+/N/g",
        r"s/ .* $ /all/x",
        r"s/ ^ (P\w+) # the key
           \s /\1:/x",
        r"s/\s+$/;/",
        r"s/\h(three)\Z/_$1/",
        r"s/l.*?e/L/",
        r"s/Gr../gr/",
        r"s/gr\W+e/G/i",
        r"s(one)(1); s<two>{2} ; s/\bthree$/$&4/ if !/two/",
        r"$_ =~ s/yes/no/ if $_ !~ /OPT/",
        r"s/one/two/ if (/OPT/)",
        r"s/END/fin/i",
    ];
    let place = Place::new();
    let mut words = vec!["seal".to_owned(), "--enable=customize".to_owned()];
    for (number, expression) in expressions.iter().enumerate() {
        words.push(format!("--write=/opt-{number}:{TEXT}"));
        words.push(format!("--edit=/opt-{number}:{expression}"));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    seal(&place, &words, 0);
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    for (number, expression) in expressions.iter().enumerate() {
        let edited = debugfs(&root, "cat", &format!("/opt-{number}"));
        assert_eq!(edited, perl(expression, TEXT), "{expression}");
        assert_ne!(edited, TEXT, "{expression} shows nothing");
    }
}

#[test]
fn edits_that_are_not_taken_say_why() {
    let place = Place::new();
    for (expression, part) in [
        ("s/a/b/e", "code of Perl"),
        ("s/a/$x/", "variables"),
        ("s/$x/a/", "variables"),
        ("s/a/a@b/", "write \\@"),
        ("s/a@b/c/", "write \\@"),
        ("s/a/\\U$1/", "not supported"),
        ("s/(a)\\1/b/", "not supported"),
        ("s/a(?=b)/c/", "look-around"),
        ("s/a++/c/", "possessive"),
        ("s//c/", "empty pattern"),
        ("s/a/b", "closing '/'"),
        ("s/a/b/q", "flag 'q'"),
        ("s/[a--z]/b/", "--"),
        ("y/a/b/", "taken are s/"),
        ("tr/a/b/", "taken are s/"),
        ("print if /a/", "taken are s/"),
        ("s/a/b/ if $. == 1", "taken are s/"),
        ("s/a/b/ if /a/ && /b/", "taken are s/"),
        ("next if /a/", "taken are s/"),
        ("$_ .= \"x\"", "taken are s/"),
        ("", "empty"),
    ] {
        let (_, error) = seal(&place, &["audit", &format!("--edit=/etc/motd:{expression}")], 2);
        assert!(error.starts_with("sysprep-rs: --edit: "), "{error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{expression}: {error}");
    }
}

/// As virt-customize does it: once more each time.
#[test]
fn an_edit_that_matches_its_own_result_is_done_and_that_is_said() {
    let place = Place::new();
    let edit = "--edit=/etc/hostname:s/b/bb/";
    let note = "Note: /etc/hostname (customize): the edit matches its own result; sealing again \
                would change it again\n";
    let (text, _) = seal(&place, &["audit", edit], 3);
    assert!(text.contains(note), "{text}");
    let said = "Not proved: planning again yields nothing: an edit would change /etc/hostname \
                again, as it matches its own result\n";
    let mut name = "build-07\n".to_owned();
    for _ in 0..2 {
        let (text, _) = seal(&place, &["seal", edit, "--operations=customize"], 0);
        assert!(text.contains(note) && text.contains(said), "{text}");
        name = perl("s/b/bb/", &name);
        let root = root_filesystem(&place, &place.image(), "qcow2");
        oracle::e2fsck_clean(&root);
        assert_eq!(debugfs(&root, "cat", "/etc/hostname"), name);
    }
    // An operation of one's own, by a saved plan; what has no more to do is not told.
    fs::create_dir(place.path("mine")).unwrap();
    let text = "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: false\nsteps:\n\
                - edit: { paths: /etc/hosts, replace: { match: \"^\", with: x } }\n";
    fs::write(place.path("mine/own.yaml"), text).unwrap();
    let words = ["--operations-dir=mine", "--operations=own"];
    seal(&place, &[&["audit", "--save-plan=plan.json"][..], &words].concat(), 3);
    let (text, _) = seal(&place, &["seal", "--plan=plan.json", "--operations-dir=mine"], 0);
    assert!(text.contains("Note: /etc/hosts (own)"), "{text}");
    assert!(text.contains("an edit would change /etc/hosts again"), "{text}");
    let report = place.json("audit --json --operations-dir mine --operations own image.qcow2", 3);
    assert_eq!(report["unsettled"][0]["path"], "/etc/hosts");
    let words = ["seal", edit, "--delete=/etc/hostname", "--operations=customize"];
    let (text, _) = seal(&place, &words, 0);
    assert!(!text.contains("Note: ") && text.contains("Proved: planning again"), "{text}");
}

#[test]
fn flags_that_say_nothing_right_are_usage_errors() {
    let place = Place::new();
    fs::write(place.path("loop"), "commands-from-file loop\n").unwrap();
    fs::write(place.path("update"), "touch /a\nupdate\n").unwrap();
    fs::write(place.path("odd"), "frobnicate /a\n").unwrap();
    fs::write(place.path("private"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    fs::write(place.path("valued"), "no-logfile x\n").unwrap();
    for (flag, part) in [
        ("--write=/a", "--write: write FILE:CONTENT"),
        ("--write=a:b", "absolute"),
        ("--write=/a*:b", "wildcard"),
        ("--chmod=644:/a", "leading 0"),
        ("--chmod=0888:/a", "--chmod: "),
        ("--chown=1:/a", "UID:GID:PATH"),
        ("--delete=/", "whole guest"),
        ("--append-line=/a:b\nc", "without a line end"),
        ("--mkdir=/a/../b", "--mkdir: "),
        ("--hostname=a b", "no host name"),
        ("--timezone=../x", "no time zone"),
        ("--link=/a", "TARGET:LINK"),
        ("--selinux-relabel --no-selinux-relabel", "contradict"),
        ("--commands-from-file=loop", "names no other"),
        ("--commands-from-file=update", "update: nothing of the guest is run"),
        ("--run=x", "with --at-first-boot the guest does it"),
        ("--at-first-boot --run=missing", "missing: "),
        ("--firstboot-install=a,-b", "no package's name"),
        ("--firstboot-install=a;b", "no package's name"),
        ("--ssh-inject=root:key", "no selector"),
        ("--ssh-inject=root:string:", "no key"),
        ("--ssh-inject=root:file:private", "a private key"),
        ("--commands-from-file=odd", "frobnicate: no such command"),
        ("--commands-from-file=valued", "no value"),
        ("--enable=utmp --operations=-utmp,-customize --touch=/a", "no operation is selected"),
    ] {
        let words: Vec<&str> = ["audit"].into_iter().chain(flag.split(' ')).collect();
        let words = if flag.starts_with("--hostname") { vec!["audit", flag] } else { words };
        let (_, error) = seal(&place, &words, 2);
        assert!(error.contains(part) && error.lines().count() == 1, "{flag}: {error}");
    }
    let (_, error) = seal(&place, &["audit", "--commands-from-file=none"], 1);
    assert!(error.contains("none"), "{error}");
    // A flag adds the operation to any list, and -customize takes it out.
    let changed = |words: &[&str]| {
        let (text, _) = seal(&place, words, 3);
        text.contains("customize")
    };
    assert!(changed(&["audit", "--operations=machine-id", "--touch=/a"]));
    assert!(changed(&["audit", "--enable=customize", "--touch=/a"]));
    assert!(!changed(&["audit", "--operations=machine-id,-customize", "--touch=/a"]));
    assert!(!changed(&["audit", "--operations=machine-id,customize"]));
    // A path that is not there is left alone, which is told.
    let (text, _) = seal(&place, &["seal", "--truncate=/nowhere"], 3);
    assert!(text.contains("/nowhere") && text.contains("nothing is there"), "{text}");
}

#[test]
fn a_plan_holds_what_flags_ask_for() {
    let place = Place::new();
    seal(&place, &["audit", "--enable=customize", "--write=/a:b", "--save-plan=plan.json"], 3);
    let (_, error) = seal(&place, &["seal", "--plan=plan.json", "--write=/a:b"], 2);
    assert!(error.contains("--write: --plan applies exactly the plan"), "{error}");
    seal(&place, &["seal", "--plan=plan.json"], 0);
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    assert_eq!(debugfs(&root, "cat", "/a"), "b");
}

/// A field of an account in the sealed image's shadow file.
fn hash_of(place: &Place, image: &str, user: &str) -> String {
    let root = root_filesystem(place, &place.path(image), "qcow2");
    let dump = ["-R", "cat /etc/shadow", root.to_str().unwrap()];
    let shadow = oracle::succeed("debugfs", "e2fsprogs", &dump);
    let shadow = String::from_utf8(shadow).unwrap();
    let line = shadow.lines().find(|it| it.starts_with(&format!("{user}:"))).unwrap();
    line.split(':').nth(1).unwrap().to_owned()
}

/// What the system's crypt(3) makes of a password with a hash's own method and salt.
fn crypt(password: &str, hash: &str) -> String {
    let program = "print crypt($ARGV[0], $ARGV[1])";
    let made = oracle::succeed("perl", "perl-base", &["-e", program, password, hash]);
    String::from_utf8(made).unwrap()
}

#[test]
fn passwords_are_set_and_told_nowhere_but_where_they_were_drawn() {
    let place = Place::new();
    fs::write(place.path("pw"), "from a file\n").unwrap();
    let secret = "s3cret-on-the-line";
    let flags = format!(
        "--root-password file:pw --password admin:password:{secret} --password-crypto yescrypt"
    );
    place.expect(&format!("audit -q {flags} --save-plan plan.json image.qcow2"), 3);
    let (text, error) =
        place.expect(&format!("seal -v -x {flags} image.qcow2 --output a.qcow2"), 0);
    let json = place.expect(&format!("seal --json {flags} image.qcow2 --output b.qcow2"), 0).0;
    let plan = fs::read_to_string(place.path("plan.json")).unwrap();
    for said in [&text, &error, &json, &plan] {
        assert!(!said.contains(secret) && !said.contains("from a file"), "{said}");
    }
    let (root, admin) = (hash_of(&place, "a.qcow2", "root"), hash_of(&place, "a.qcow2", "admin"));
    assert!(root.starts_with("$y$j9T$") && crypt("from a file", &root) == root, "{root}");
    assert_eq!(crypt(secret, &admin), admin);
    // With SOURCE_DATE_EPOCH, which the tests set, equal runs give equal bytes.
    assert!(fs::read(place.path("a.qcow2")).unwrap() == fs::read(place.path("b.qcow2")).unwrap());

    // A plan has the hash alone, so the password is told when it is saved.
    fs::copy(place.image(), place.path("planned.qcow2")).unwrap();
    let (_, error) =
        place.expect("audit -q --password admin:random --save-plan drawn.json planned.qcow2", 3);
    let (_, drawn) = error.split_once("the password of admin is ").unwrap();
    let drawn = drawn.lines().next().unwrap();
    place.expect("seal -q --plan drawn.json planned.qcow2", 0);
    let admin = hash_of(&place, "planned.qcow2", "admin");
    assert_eq!(crypt(drawn, &admin), admin);

    let (_, error) =
        place.expect("seal -q --password admin:random --root-password locked image.qcow2", 0);
    let (_, drawn) = error.trim().split_once("the password of admin is ").unwrap();
    let admin = hash_of(&place, "image.qcow2", "admin");
    assert_eq!(crypt(drawn, &admin), admin);
    assert!(hash_of(&place, "image.qcow2", "root").starts_with('!'));
    for (flags, said) in [
        ("--root-password hunter2", "write file:FILE"),
        ("--password admin", "write USER:SELECTOR"),
        ("--password-crypto md5 --root-password random", "md5 is no protection"),
        ("--root-password file:none", "none"),
    ] {
        let (_, error) = place.expect(&format!("audit {flags} image.qcow2"), 2);
        assert!(error.contains(said) && !error.contains("hunter2"), "{flags}: {error}");
    }
}

#[test]
fn a_guest_does_by_itself_at_first_boot_what_is_not_run_here() {
    let place = Place::new();
    fs::write(place.path("script"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::write(place.path("key.pub"), "# mine\nssh-ed25519 AAAA me\n").unwrap();
    fs::write(place.path("more"), "install c\n").unwrap();
    let words = [
        "seal",
        "--at-first-boot",
        "--run-command=echo 'hi'",
        "--firstboot=script",
        "--install=a,b",
        "--commands-from-file=more",
        "--firstboot-command=echo 'hi'",
        "--ssh-inject=root:file:key.pub",
        "--ssh-inject=admin:string:ssh-rsa BBBB",
    ];
    seal(&place, &words, 0);
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let folder = "/usr/lib/sysprep-rs/firstboot/scripts";
    let listing = debugfs(&root, "ls -p", folder);
    let names: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split('/').nth(5))
        .filter(|it| it.starts_with("run-"))
        .collect();
    let begins = [
        "run-0001-echo",
        "run-0002-script",
        "run-0003-install-a-b",
        "run-0004-install-c",
        "run-0005-echo",
    ];
    assert_eq!(names.len(), begins.len(), "{listing}");
    for (name, begin) in names.iter().zip(begins) {
        assert!(name.starts_with(begin), "{listing}");
    }
    let cat = |path: &str| debugfs(&root, "cat", path);
    assert_eq!(cat(&format!("{folder}/{}", names[0])), "#!/bin/sh\necho 'hi'\n");
    assert_eq!(cat(&format!("{folder}/{}", names[1])), "#!/bin/sh\nexit 0\n");
    let install = place.path("install");
    fs::write(&install, cat(&format!("{folder}/{}", names[2]))).unwrap();
    oracle::succeed("sh", "dash", &["-n", install.to_str().unwrap()]);
    assert!(fs::read_to_string(&install).unwrap().contains("apt-get -q -y install a b\n"));
    // ssh-userdir took the folders, and with them every other key.
    assert_eq!(cat("/root/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
    assert_eq!(cat("/home/admin/.ssh/authorized_keys"), "ssh-rsa BBBB\n");
    let sealed = fs::read(place.image()).unwrap();
    seal(&place, &words, 0);
    assert_eq!(fs::read(place.image()).unwrap(), sealed);
}

#[test]
fn flags_that_work_on_each_others_results_are_done_and_that_is_said() {
    let place = Place::new();
    let words = ["seal", "--append-line=/etc/hosts:10.0.0.1 a", "--edit=/etc/hosts:s/ a$/ b/"];
    let (text, _) = seal(&place, &words, 0);
    let said = "Not proved: planning again yields nothing: the flags would change /etc/hosts again";
    assert!(text.contains(said) && !text.contains("Proved: planning again"), "{text}");
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    assert!(debugfs(&root, "cat", "/etc/hosts").ends_with("\n10.0.0.1 b\n"));
}

#[test]
fn files_of_the_host_come_along() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    let place = Place::new();
    let write = |name: &str, content: &[u8], mode: u32| {
        fs::write(place.path(name), content).unwrap();
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("one", b"\x00\xff one", 0o640);
    fs::create_dir_all(place.path("dir/sub")).unwrap();
    fs::set_permissions(place.path("dir/sub"), fs::Permissions::from_mode(0o750)).unwrap();
    write("dir/sub/two", b"two", 0o755);
    symlink("sub/two", place.path("dir/link")).unwrap();
    let large: Vec<u8> = (0..5 << 18_u32).flat_map(|it: u32| it.to_le_bytes()).collect();
    write("large", &large, 0o644);
    let words = [
        "seal",
        "--upload=one:/etc/motd",
        "--upload=one:/opt",
        "--mkdir=/opt/in",
        "--copy-in=dir:/opt/in",
        "--copy-in=dir/sub/two:/opt/in",
        "--upload=large:/opt/in",
        "--upload=one:/boot/efi/one",
        "--upload=large:/boot/efi",
    ];
    seal(&place, &words, 0);
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let one = &b"\x00\xff one"[..];
    for (file, held) in [("/etc/motd", one), ("/opt/one", one), ("/opt/in/large", &large)] {
        let dumped = place.path("dumped");
        let how = format!("dump {file} {}", dumped.display());
        oracle::succeed("debugfs", "e2fsprogs", &["-R", &how, root.to_str().unwrap()]);
        assert!(fs::read(&dumped).unwrap() == held, "{file}");
    }
    let me = fs::metadata(place.path("one")).unwrap();
    let stat = debugfs(&root, "stat", "/opt/one");
    let owner = format!("User: {:5}   Group: {:5}", me.uid(), me.gid());
    assert!(stat.contains("Mode:  0640") && stat.contains(&owner), "{owner} {stat}");
    assert!(debugfs(&root, "stat", "/opt/in/dir/sub").contains("Mode:  0750"));
    assert!(debugfs(&root, "stat", "/opt/in/dir/sub/two").contains("Mode:  0755"));
    assert!(debugfs(&root, "stat", "/opt/in/dir/link").contains("dest: \"sub/two\""));
    assert_eq!(debugfs(&root, "cat", "/opt/in/two"), "two");
    let sealed = fs::read(place.image()).unwrap();
    seal(&place, &words, 0);
    assert_eq!(fs::read(place.image()).unwrap(), sealed);
    for (flag, part) in [
        ("--upload=dir:/opt", "not a regular file"),
        ("--upload=none:/opt", "none: "),
        ("--upload=/dev/null:/opt", "not a regular file"),
        ("--copy-in=none:/opt", "none: "),
    ] {
        let (_, error) = seal(&place, &["audit", flag], 2);
        assert!(error.contains(part) && error.lines().count() == 1, "{flag}: {error}");
    }
    for (flag, part) in
        [("--copy-in=one:/nowhere", "no directory"), ("--upload=dir/sub/two:/opt/in/dir/sub", "")]
    {
        let (text, _) = seal(&place, &["seal", flag], if part.is_empty() { 0 } else { 3 });
        assert!(text.contains(part), "{text}");
    }
}

/// A plan that is saved says where the content is, and what it was.
#[test]
fn a_file_that_changed_since_the_plan_leaves_the_image_as_it_is() {
    let place = Place::new();
    let content: Vec<u8> = (0..5 << 18_u32).flat_map(|it: u32| it.to_le_bytes()).collect();
    fs::write(place.path("large"), &content).unwrap();
    fs::write(place.path("small"), "what is small stands in the plan").unwrap();
    let words = ["--upload=large:/opt", "--upload=small:/opt", "--save-plan=plan.json"];
    seal(&place, &[&["audit"][..], &words].concat(), 3);
    let plan = fs::read_to_string(place.path("plan.json")).unwrap();
    // What files are going to hold is nobody else's.
    assert_eq!(fs::metadata(place.path("plan.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(plan.len() < 200_000 && plan.contains("what is small"), "{} bytes", plan.len());
    let named = format!("\"host-file\": \"{}\"", place.path("large").display());
    assert!(plan.contains(&named), "{plan}");
    fs::remove_file(place.path("small")).unwrap();
    let before = fs::read(place.image()).unwrap();
    let mut other = content.clone();
    other[5 << 19] ^= 1;
    let longer = [&content[..], b"more"].concat();
    for now in [&other[..], &other[..1000], &longer[..]] {
        fs::write(place.path("large"), now).unwrap();
        let (_, error) = seal(&place, &["seal", "--plan=plan.json"], 1);
        assert!(error.contains("/large of the host: it changed since the plan"), "{error}");
        assert!(error.contains("/opt/large") && error.lines().count() == 1, "{error}");
        assert!(fs::read(place.image()).unwrap() == before);
    }
    fs::remove_file(place.path("large")).unwrap();
    let (_, error) = seal(&place, &["seal", "--plan=plan.json"], 1);
    assert!(error.contains("/large of the host: No such file"), "{error}");
    fs::write(place.path("large"), &content).unwrap();
    seal(&place, &["seal", "--plan=plan.json"], 0);
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    assert_eq!(debugfs(&root, "cat", "/opt/small"), "what is small stands in the plan");
}

#[test]
fn what_is_no_ssh_key_lets_nobody_in() {
    let place = Place::new();
    let (_, error) = seal(&place, &["seal", "--ssh-inject=root:string:foo"], 2);
    assert!(error.contains("its 1. key is no public key"), "{error}");
    let (_, error) = seal(&place, &["seal", "--set=net.fallback=static"], 2);
    let said = "'fallback': 'static' is not one of dhcp, none";
    assert!(error.contains(said) && !error.contains("steps"), "{error}");
}

/// The image stays as it is, and the one line names what does not fit.
#[test]
fn what_does_not_fit_into_the_guest_is_an_error() {
    let place = Place::new();
    let file = fs::File::create(place.path("huge")).unwrap();
    file.set_len(200 << 20).unwrap();
    let before = fs::read(place.image()).unwrap();
    let (_, error) = seal(&place, &["seal", "--enable=customize", "--upload=huge:/opt"], 1);
    let said = "part2 (/): the files to be written need 209715200 bytes and ";
    assert!(error.contains(said), "{error}");
    assert!(fs::read(place.image()).unwrap() == before);
}

#[test]
fn what_is_no_file_in_a_folder_stops_no_copy() {
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    fs::write(place.path("tree/z"), "last").unwrap();
    oracle::succeed("mkfifo", "coreutils", &[place.path("tree/pipe").to_str().unwrap()]);
    let _socket = std::os::unix::net::UnixListener::bind(place.path("tree/socket")).unwrap();
    let words = ["seal", "--enable=customize", "--copy-in=tree:/srv"];
    let (text, _) = seal(&place, &words, 3);
    let left = "Left alone: /srv/tree/socket (customize): on the host it is a socket, which is not \
                brought along\n";
    assert!(text.contains(left), "{text}");
    let root = root_filesystem(&place, &place.image(), "qcow2");
    oracle::e2fsck_clean(&root);
    let stat = |path: &str| {
        let asked = format!("stat {path}");
        let args = ["-R", asked.as_str(), root.to_str().unwrap()];
        String::from_utf8(oracle::succeed("debugfs", "e2fsprogs", &args)).unwrap()
    };
    assert!(stat("/srv/tree/pipe").contains("Type: FIFO"), "{}", stat("/srv/tree/pipe"));
    assert!(stat("/srv/tree/z").contains("Type: regular"));
    assert!(!stat("/srv/tree/socket").contains("Type:"));
    // Sealed again nothing of it is changed.
    let (text, _) = seal(&place, &words, 3);
    assert!(text.contains("already clean, every byte is as it was"), "{text}");
    // Alone it is what was asked for.
    let (_, error) = seal(&place, &["seal", "--copy-in=tree/pipe:/srv"], 2);
    assert!(error.contains("tree/pipe: not a regular file"), "{error}");
}

#[test]
fn a_file_that_no_filesystem_here_can_hold_is_refused_by_its_size() {
    let place = Place::new();
    let large = place.path("large");
    oracle::succeed("fallocate", "util-linux", &["-l", "200M", large.to_str().unwrap()]);
    let (_, error) = seal(&place, &["seal", "--upload=large:/srv/large"], 1);
    assert!(
        error.contains("209715200 bytes, and the whole filesystem of part2 has 83886080"),
        "{error}"
    );
}
