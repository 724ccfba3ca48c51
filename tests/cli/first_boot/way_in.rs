//! Who is told to be able to log in, and `--require-way-in`.

use std::fs;

use super::LOCKED;
use crate::cli::carried::{Carried, GONE};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDGjjyvyOcBxcN8SsVJcmYRnzZlNFsGcGZnCfyXQtzTf me\n";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                      admin:x:1000:1000::/srv/people/admin:/bin/bash\n";

/// Files, flags, the verdict, and words that are in it.
type Way<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

#[test]
fn the_way_in_is_what_the_sealed_guest_lets_in() {
    let hash = |root: &str, admin: &str| format!("root:{root}\nadmin:{admin}\n");
    let (open, shut) = ("$6$salt$hash:20000:0:99999:7:::", "*:20000:0:99999:7:::");
    let roots = hash(open, shut);
    let expired = hash("$6$salt$hash:20000:0:99999:7::10000:", shut);
    let too_long = hash("$6$salt$hash:10000:0:10:7:1::", shut);
    let locked_hash = hash("!$6$salt$hash:20000:0:99999:7:::", shut);
    // Those of a user go with the operation ssh-userdir.
    let keys_stay = "--operations=net";
    let inject = "--operations=ssh-userdir --ssh-inject=admin:file:key";
    let lock = "--operations=ssh-userdir --password=root:locked";
    let set = "--operations=ssh-userdir --root-password=password:x";
    let go = "--operations=ssh-userdir";
    let key_at = |home| (home, KEY);
    let there = key_at("/srv/people/admin/.ssh/authorized_keys");
    let elsewhere = key_at("/home/admin/.ssh/authorized_keys");
    let moved = ("/etc/passwd", PASSWD);
    let at_home = ("/srv/people/admin/.profile", "x");
    let no_root = ("/etc/ssh/sshd_config.d/a.conf", "PermitRootLogin no\n");
    let root_by_password = ("/etc/ssh/sshd_config.d/a.conf", "PermitRootLogin yes\n");
    let no_roots_key = ("/root/.ssh/authorized_keys", GONE);
    let cases: &[Way<'_>] = &[
        (&[], go, "missing", "nobody can log in: --password or --ssh-inject lets somebody in"),
        (&[("/etc/shadow", &roots)], go, "made", "root with its password, at a console"),
        (
            &[("/etc/shadow", &roots), root_by_password],
            go,
            "made",
            "root with its password, at a console; root with its password, by SSH",
        ),
        (&[("/etc/shadow", &expired)], go, "missing", "(root: the account is expired)"),
        (
            &[("/etc/shadow", &too_long)],
            go,
            "missing",
            "(root: the password is expired for too long)",
        ),
        (&[("/etc/shadow", &locked_hash)], go, "missing", "nobody can log in"),
        (&[("/etc/shadow", &roots)], lock, "missing", "nobody can log in"),
        (&[], set, "made", "root with its password, at a console"),
        (&[], keys_stay, "made", "root with a key, by SSH (/root/.ssh/authorized_keys)"),
        (&[no_root], keys_stay, "missing", "nobody can log in"),
        // The home is the one that passwd names.
        (
            &[moved, there, no_roots_key],
            keys_stay,
            "made",
            "admin with a key, by SSH (/srv/people/",
        ),
        (&[moved, elsewhere, no_roots_key], keys_stay, "missing", "nobody can log in"),
        (&[moved, at_home], inject, "made", "(/srv/people/admin/.ssh/authorized_keys)"),
        (&[moved], inject, "missing", "nobody can log in"),
    ];
    let guest = Carried::with(&[("/etc/shadow", LOCKED)]);
    fs::write(guest.place.path("key"), KEY).unwrap();
    let before = guest.bytes();
    for (files, flags, wanted, part) in cases {
        guest.reset(&before);
        guest.change(files);
        let now = guest.bytes();
        let what = format!("{files:?} {flags}");
        let (is, why) = guest.told(&format!("audit {flags}"), "way in");
        assert!(is == *wanted && why.contains(part), "{what}: {is}: {why}");
        let words = format!("seal --require-way-in {flags}");
        let is_missing = is == "missing";
        let (text, error) = guest.run(&words, i32::from(is_missing));
        if is_missing {
            let left = match *flags == inject {
                true => "; left alone: /srv/people/admin/.ssh: the home of 'admin' is not there",
                false => "",
            };
            assert_eq!(error, format!("sysprep-rs: root.ext4: --require-way-in: {why}{left}\n"));
            assert!(guest.bytes() == now && text.is_empty(), "{what}");
        } else {
            assert!(
                error.is_empty() && text.contains(&format!("  {why}\n")),
                "{what}: {error}{text}"
            );
        }
    }
    // Said loudly where the report is not looked at, too; it is sealed all the same.
    guest.reset(&before);
    let (_, why) = guest.told("audit", "way in");
    let note = format!("sysprep-rs: root.ext4: {why}\n");
    for (words, code) in [
        ("audit", 3),
        ("audit -q", 3),
        ("audit --json", 3),
        ("seal -n", 3),
        ("seal", 0),
        ("seal -q", 0),
    ] {
        let (text, error) = guest.run(words, code);
        assert_eq!(error, note, "{words}");
        let printed = words == "audit" || words.starts_with("seal") && !words.contains('q');
        assert_eq!(text.contains(&format!("  MISSING: {why}\n")), printed, "{words}: {text}");
    }
}

#[test]
fn a_way_that_is_not_known_is_none_that_was_required() {
    let unit = "/usr/lib/systemd/system/cloud-init.service";
    let wants = "/etc/systemd/system/cloud-init.target.wants/cloud-init.service";
    let link = format!("-> {unit}");
    let guest = Carried::with(&[
        ("/etc/shadow", LOCKED),
        ("/usr/bin/cloud-init", ""),
        ("/usr/lib/systemd/system/cloud-init.target", "[Unit]\n"),
        (wants, &link),
        ("/usr/lib/systemd/system-generators/cloud-init-generator", "#!/bin/sh\n"),
        ("/usr/lib/cloud-init/ds-identify", "#!/bin/sh\n"),
        (
            "/etc/cloud/cloud.cfg",
            "datasource_list: [ Ec2 ]\nusers: [ default ]\nsystem_info:\n  default_user: { name: debian }\n\
             cloud_init_modules: [ users-groups, ssh ]\n",
        ),
    ]);
    let (is, why) = guest.told("audit", "way in");
    assert!(
        is == "unknown" && why.starts_with("debian with a key of the cloud's metadata"),
        "{why}"
    );
    let before = guest.bytes();
    for words in ["audit", "seal"] {
        let (_, error) = guest.run(&format!("{words} --require-way-in"), 1);
        let said = format!("--require-way-in: it is not known whether anybody can log in: {why}");
        assert_eq!(error, format!("sysprep-rs: root.ext4: {said}\n"), "{words}");
    }
    assert!(guest.bytes() == before);
    let (text, error) = guest.run("seal", 0);
    assert!(text.contains(&format!("  NOT KNOWN: {why}\n")) && error.is_empty(), "{text}");
}
