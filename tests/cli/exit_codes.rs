//! How a run ends, what that says of the image, and that a clean one is left as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{Place, root_filesystem};
use crate::support::oracle;

#[test]
fn a_filesystem_of_the_guest_that_cannot_be_opened_is_told_by_the_exit_code() {
    let place = Place::new();
    let image = place.image();
    oracle::succeed("qemu-io", "qemu-utils", &["-c", "write -P 0 1M 64k", image.to_str().unwrap()]);
    let (text, _) = place.expect("seal image.qcow2", 3);
    assert!(
        text.contains(
            "Left alone: /boot/efi (all operations): no filesystem that we read has this UUID"
        ),
        "{text}"
    );
    assert!(text.contains("Stays readable: all of part1: "), "{text}");
    let (_, note) = place.expect("audit -q image.qcow2", 3);
    assert!(note.lines().count() == 1 && note.contains("left alone"), "{note}");
}

#[test]
fn an_internal_snapshot_is_told_by_the_exit_code() {
    let place = Place::new();
    let image = place.image();
    oracle::succeed("qemu-img", "qemu-utils", &["snapshot", "-c", "a", image.to_str().unwrap()]);
    let (_, error) = place.expect("seal -q image.qcow2", 3);
    assert!(error.contains("internal snapshots keep all of it"), "{error}");
    place.expect("audit -q image.qcow2", 3);
    place.expect("seal -q image.qcow2 --output without.qcow2", 0);
    place.expect("audit -q without.qcow2", 0);
}

#[test]
fn a_backing_file_is_told_by_the_exit_code_where_something_went() {
    let place = Place::new();
    let create = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "image.qcow2"];
    let overlay = place.path("overlay.qcow2");
    let args = [&create[..], &[overlay.to_str().unwrap()]].concat();
    oracle::succeed("qemu-img", "qemu-utils", &args);
    let (text, _) = place.expect("audit overlay.qcow2", 3);
    assert!(text.contains("; the backing file would keep what it has of it"), "{text}");
    place.expect("seal -q overlay.qcow2 --output whole.qcow2", 0);
    let (text, _) = place.expect("audit whole.qcow2", 0);
    assert!(!text.contains("Stays readable: the backing file"), "{text}");
    let (_, error) = place.expect("seal -q overlay.qcow2", 3);
    assert!(error.contains("the backing file keeps what it has of it"), "{error}");
    // With nothing to go there is nothing that it would keep, but it is named.
    let (text, _) = place.expect("audit overlay.qcow2", 0);
    assert!(text.contains("Stays readable: the backing file keeps its content"), "{text}");
    place.expect("seal -q overlay.qcow2", 0);
}

#[test]
fn a_dry_run_ends_as_an_audit_does() {
    let place = Place::new();
    let root = root_filesystem(&place, &place.image(), "qcow2");
    let immutable = "set_inode_field /etc/ssh/ssh_host_rsa_key flags 0x80010";
    oracle::succeed("debugfs", "e2fsprogs", &["-w", "-R", immutable, root.to_str().unwrap()]);
    for options in ["", " -q", " --json", " -q --operations defaults,-tmp-files"] {
        let (audited, dry) = (format!("audit{options}"), format!("seal -n{options}"));
        let (text, error) = place.expect(&format!("{audited} root.ext4"), 3);
        let (again, same) = place.expect(&format!("{dry} root.ext4"), 3);
        assert_eq!(error, same, "{options}");
        assert_eq!(text.lines().last(), again.lines().last(), "{options}");
        assert_eq!(text.is_empty(), options.contains("-q"), "{text}");
        let told = format!("{text}{error}").contains("1 path would be left alone");
        assert!(told, "{options}: {text}{error}");
    }
    place.expect("seal -q image.qcow2", 0);
    place.expect("seal -n -q image.qcow2", 0);
}

#[test]
fn what_no_operation_names_is_told_and_changes_no_exit_code() {
    let place = Place::new();
    let raw = place.path("disk.raw");
    oracle::qemu_img_convert(&place.image(), "qcow2", &raw, &["-O", "raw"]);
    let disk = raw.to_str().unwrap();
    oracle::succeed("sgdisk", "gdisk", &["-n", "3:0:0", "-t", "3:ef02", disk]);
    let told = "Stays readable: all of part3: nothing known is on it";
    let (text, _) = place.expect("seal disk.raw", 0);
    assert!(text.contains(told), "{text}");
    let (text, _) = place.expect("audit disk.raw", 0);
    assert!(text.contains(told), "{text}");
}

#[test]
fn what_is_sealed_stays_as_it_is_to_the_last_byte_at_any_time() {
    let place = Place::new();
    let root = root_filesystem(&place, &place.image(), "qcow2");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o600)).unwrap();
    let at = |epoch: Option<&str>, words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sysprep-rs"));
        command.args(words.split(' ')).current_dir(place.folder.path());
        match epoch {
            Some(epoch) => command.env("SOURCE_DATE_EPOCH", epoch),
            None => command.env_remove("SOURCE_DATE_EPOCH"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    at(Some("1600000000"), "seal image.qcow2 --output other.raw");
    for image in ["image.qcow2", "other.raw", "root.ext4"] {
        at(Some("1600000000"), &format!("seal {image}"));
        let sealed = fs::read(place.path(image)).unwrap();
        for keep in ["", " --keep-free-space"] {
            let text = at(None, &format!("seal{keep} {image}"));
            let clean = format!("{image}: already clean, every byte is as it was\n");
            assert!(text.contains(&clean), "{text}");
            assert!(fs::read(place.path(image)).unwrap() == sealed, "{image}{keep} is another");
        }
    }
    // What changes is dated.
    let time = || {
        let said = oracle::succeed("dumpe2fs", "e2fsprogs", &["-h", root.to_str().unwrap()]);
        let said = String::from_utf8(said).unwrap();
        said.lines().find(|it| it.starts_with("Last write time")).unwrap().to_owned()
    };
    let before = time();
    at(None, "seal --touch /new root.ext4");
    assert_ne!(time(), before);
    oracle::e2fsck_clean(&root);
}
