//! Passwords: set so that the guest's own crypt(3) takes them, and shown nowhere.

use sysprep_rs::operation::Operation;
use sysprep_rs::plan::Outcome;

use super::sample::{Sample, with_steps};
use crate::support::oracle;

const SHADOW: &str = "root:*:19000:0:99999:7:::\nann:!:19001:0:99999:7:::\nbob:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1:1::::::\n";

fn guest(more: &str) -> Sample {
    let shadow = serde_json::to_string(SHADOW).unwrap();
    Sample::new(&format!(
        "/etc/passwd = \"root:x:0:0::/root:/bin/sh\\n\"\n/etc/shadow 0640 0:42 = {shadow}\n{more}"
    ))
}

/// Plans and seals; a second plan has to be empty, whatever salt it would take. The accounts'
/// fields.
fn sealed(mut sample: Sample, operation: &Operation) -> Vec<(String, String)> {
    let before = sample.tree("part1");
    let plan = sample.plan(std::slice::from_ref(operation));
    assert_eq!(plan.outcomes[0].outcome, Outcome::Changed);
    sample.seal(&plan);
    assert_eq!(sample.plan(std::slice::from_ref(operation)).changes, []);
    let path = "/etc/shadow".parse().unwrap();
    let object = sample.tree("part1")[&path].clone();
    let was = &before[&path];
    assert_eq!((object.mode, object.owner), (was.mode, was.owner));
    let text = super::steps::content(&mut sample, "/etc/shadow");
    assert_eq!(text.lines().count(), 3, "{text}");
    let field = |line: &str| {
        let mut fields = line.split(':').map(str::to_owned);
        (fields.next().unwrap(), fields.next().unwrap())
    };
    text.lines().map(field).collect()
}

/// Whether the system's crypt(3) makes the same of the password.
fn crypt_takes(password: &str, hash: &str) -> bool {
    let program = "print crypt($ARGV[0], $ARGV[1])";
    let made = oracle::succeed("perl", "perl-base", &["-e", program, password, hash]);
    String::from_utf8(made).unwrap() == hash
}

#[test]
fn crypt_takes_what_is_set() {
    for crypto in ["sha256", "sha512", "yescrypt"] {
        let step =
            format!("  - password: {{ user: ann, password: 's3cret: x', crypto: {crypto} }}");
        let fields = sealed(guest(""), &with_steps(&step));
        assert_eq!(fields[0], ("root".into(), "*".into()));
        let (name, hash) = &fields[1];
        assert!(name == "ann" && crypt_takes("s3cret: x", hash), "{crypto}: {hash}");
        assert!(!crypt_takes("s3cret", hash));
    }
}

#[test]
fn the_guest_says_how_passwords_are_hashed() {
    let step = with_steps("  - password: { user: ann, password: abcdefgh }");
    for (more, prefix) in [
        ("", "$6$"),
        ("/etc/login.defs = \"# ENCRYPT_METHOD YESCRYPT\\nENCRYPT_METHOD SHA512\\n\"", "$6$"),
        ("/etc/login.defs = \"ENCRYPT_METHOD YESCRYPT\\n\"", "$y$j9T$"),
        (
            "/etc/pam.d/common-password = \"password [success=1] pam_unix.so obscure yescrypt\\n\"\n\
             /etc/login.defs = \"ENCRYPT_METHOD SHA512\\n\"",
            "$y$j9T$",
        ),
    ] {
        let fields = sealed(guest(more), &step);
        assert!(fields[1].1.starts_with(prefix), "{more}: {}", fields[1].1);
    }
}

#[test]
fn accounts_are_disabled_and_locked() {
    let fields = sealed(guest(""), &with_steps("  - password: { user: bob, disabled: true }"));
    assert_eq!(fields[2].1, "*");
    let fields = sealed(guest(""), &with_steps("  - password: { user: bob, locked: true }"));
    assert!(fields[2].1.starts_with("!!$6$saltstring$"), "{}", fields[2].1);
    let step = "  - password: { user: bob, password: 'Hello world!', locked: true }";
    let fields = sealed(guest(""), &with_steps(step));
    assert!(crypt_takes("Hello world!", fields[2].1.strip_prefix("!!").unwrap()));
    // What is so already stays as it is, to the salt.
    let step = with_steps("  - password: { user: bob, password: 'Hello world!' }");
    assert_eq!(guest("").plan(&[step]).changes, []);
}

#[test]
fn a_fixed_salt_gives_the_same_hash_and_another_another() {
    let step = |salt: &str| {
        with_steps(&format!(
            "  - password: {{ user: ann, password: abcdefgh, crypto: sha512{salt} }}"
        ))
    };
    let hash = |salt: &str| sealed(guest(""), &step(salt))[1].1.clone();
    assert_eq!(hash(", salt: one"), hash(", salt: one"));
    assert_ne!(hash(", salt: one"), hash(", salt: two"));
    assert_ne!(hash(""), hash(""));
}

#[test]
fn a_password_comes_from_a_file_and_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pw");
    std::fs::write(&file, "from a file\nsecond line\n").unwrap();
    let step = with_steps(&format!("  - password: {{ user: ann, file: {} }}", file.display()));
    let fields = sealed(guest(""), &step);
    assert!(crypt_takes("from a file", &fields[1].1));
    let secret = "sup3r-s3cret";
    let step = with_steps(&format!("  - password: {{ user: ann, password: {secret} }}"));
    let other = with_steps("  - password: { user: ann, password: another-one }");
    assert_eq!(step.digest, other.digest, "a digest that tells passwords apart can be tried");
    let plan = guest("").plan(std::slice::from_ref(&step));
    let described = serde_json::to_string(&step.describe()).unwrap();
    for shown in [format!("{step:?}"), plan.to_json().unwrap(), described] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_is_no_password_or_account_is_said() {
    let problem = |step: &str| {
        let text = format!(
            "name: sample\nsummary: A sample\nwhy: To see.\nclass: log\ndefault: true\n\
             parameters:\n- {{ name: pw, type: text, default: x, help: Which }}\nsteps:\n{step}"
        );
        Operation::from_yaml("sample.yaml", &text).unwrap_err().to_string()
    };
    for (step, said) in [
        ("- password: { user: ann }", "give 'password', 'file' or 'hash'"),
        ("- password: { user: ann, password: a, hash: b }", "give one"),
        ("- password: { user: ann, password: a, disabled: true }", "takes no password"),
        ("- password: { user: ann, password: '' }", "is empty"),
        ("- password: { user: ann, password: \"a\\nb\" }", "line end"),
        ("- password: { user: ann, password: '{pw}' }", "takes no parameter"),
        ("- password: { user: ann, hash: secret }", "not what crypt(3) makes"),
        ("- password: { user: ann, file: /no/such/file }", "/no/such/file"),
    ] {
        let problem = problem(step);
        assert!(problem.contains(said), "{step}: {problem}");
    }
    let plan = guest("").plan(&[with_steps("  - password: { user: eve, disabled: true }")]);
    assert!(plan.refusals[0].reason.contains("no account 'eve'"), "{:?}", plan.refusals);
}
