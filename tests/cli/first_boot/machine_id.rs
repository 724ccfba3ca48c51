//! `--set machine-id.leave`, over each shape that a machine id has in a guest.

use crate::cli::carried::{Carried, GONE};
use crate::support::oracle::e2fsck_clean;

/// Files, and what the machine id's file holds when the guest is sealed.
type Id<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

#[test]
fn no_machine_id_is_left_whatever_it_was_and_however_it_is_to_be() {
    let main = "/etc/machine-id";
    let copy = "/var/lib/dbus/machine-id";
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    let id = guest.cat(main);
    assert_eq!(id.len(), 33, "{id}");
    assert_eq!(guest.cat(copy), id, "D-Bus has a file of its own");
    let to_main = (copy, "-> /etc/machine-id");
    let to_copy = (main, "-> /var/lib/dbus/machine-id");
    let uninitialized = "uninitialized\n";
    for (leave, content) in
        [("empty", Some("")), ("uninitialized", Some(uninitialized)), ("absent", None)]
    {
        let cases: [Id<'_>; 6] = [
            (&[], content),
            (&[to_main], content),
            (&[to_copy], content),
            (&[(main, "\n")], content),
            (&[(main, GONE), (copy, GONE)], None),
            // It asks for a first boot already, and goes on doing so.
            (&[(main, uninitialized)], Some(uninitialized)),
        ];
        let some = if leave == "empty" { cases.len() } else { 3 };
        for (files, there) in cases.into_iter().take(some) {
            guest.reset(&before);
            guest.change(files);
            let set = format!("--enable=machine-id --set machine-id.leave={leave}");
            let (text, _) = guest.run(&format!("seal {set}"), 0);
            let what = format!("{leave}: {files:?}");
            let line = |it: &str| {
                it.starts_with("  machine id ")
                    && it.ends_with("systemd, before anything else starts")
            };
            assert!(text.lines().any(line), "{what}: {text}");
            let linked = files == [to_copy];
            let held = if linked { copy } else { main };
            assert_eq!(guest.has(held), there.is_some(), "{what}");
            assert!(there.is_some() || !guest.has(main), "{what}: a link that leads nowhere");
            if let Some(there) = there {
                assert_eq!(guest.cat(held), there, "{what}");
                let stat = guest.asked("stat", held);
                assert!(stat.contains("Mode:  0444"), "{what}: {stat}");
            }
            // D-Bus's copy: a link stays, a file goes, so that it is made of the new one.
            assert_eq!(guest.has(copy), files == [to_main] || linked && there.is_some(), "{what}");
            let whole = guest.bytes();
            // With its line end: a directory of the journal is named after it.
            assert!(memchr::memmem::find(&whole, id.as_bytes()).is_none(), "{what}");
            // There is nothing more to do, which leaves an image as it is.
            guest.run(&format!("audit -q {set}"), 0);
        }
    }
    e2fsck_clean(&guest.image);
}

#[test]
fn a_machine_id_that_is_none_is_told_or_goes_and_the_next_run_says_the_same() {
    let main = "/etc/machine-id";
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    let id = guest.cat(main);
    let sysvinit: &[(&str, &str)] = &[("/usr/sbin/init", "x"), ("/etc/inittab", "x")];
    let elsewhere: &[(&str, &str)] = &[(main, "-> ../srv/id"), ("/srv/id", &id)];
    let nowhere: &[(&str, &str)] = &[(main, "-> /nowhere/id")];
    let folder: &[(&str, &str)] = &[("/etc/machine-id/x", "x")];
    let absent = "machine-id.leave=absent";
    let empty = "machine-id.leave=empty";
    for (files, set, code, held) in [
        (elsewhere.to_vec(), absent, 0, None),
        ([sysvinit, elsewhere].concat(), absent, 0, None),
        ([sysvinit, elsewhere].concat(), empty, 0, None),
        (nowhere.to_vec(), absent, 0, None),
        (nowhere.to_vec(), empty, 3, Some(main)),
        ([&[(main, GONE)], folder].concat(), empty, 3, Some(main)),
        ([&[(main, GONE)], folder].concat(), absent, 3, Some(main)),
    ] {
        guest.reset(&before);
        for file in &files {
            guest.change(&[*file]);
        }
        let what = format!("{set}: {files:?}");
        let seal = format!("seal --enable=machine-id --set {set}");
        let (text, _) = guest.run(&seal, code);
        let sealed = guest.bytes();
        let (again, _) = guest.run(&seal, code);
        assert!(guest.bytes() == sealed, "{what}");
        for text in [text, again] {
            let missing =
                "  machine id        MISSING: /etc/machine-id stays as it is in every clone: ";
            assert_eq!(text.contains(missing), code == 3, "{what}: {text}");
        }
        let there = guest.asked("stat", main).contains("Inode:");
        assert_eq!(there, held.is_some(), "{what}");
        assert!(!guest.has("/srv/id"), "{what}");
    }
    e2fsck_clean(&guest.image);
}
