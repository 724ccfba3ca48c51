//! What of the machine that a guest was built on stays in every clone, and is told.

use sysprep_rs::plan::{Comeback, Plan};

use super::sample::{Sample, embedded};

const SYSTEMD: &str = "/usr/lib/systemd/systemd = \"\"\n/sbin/init -> /usr/lib/systemd/systemd\n\
                       /etc/machine-id = \"0123456789abcdef0123456789abcdef\\n\"\n";

/// The lines of the first boot part about the machine id.
fn machine_id(plan: &Plan) -> Vec<String> {
    let lines = plan.first_boot.iter().filter(|it| it.what == "machine id");
    lines.map(|it| it.comes.words().to_owned()).collect()
}

#[test]
fn what_cannot_be_taken_away_does_not_come_back() {
    let mut sample = Sample::new(SYSTEMD);
    let fs = sample.fs("part1");
    let id = fs.model.at(b"/etc/machine-id");
    fs.immutable.insert(id);
    let plan = sample.plan(&[embedded("machine-id")]);
    let found: Vec<_> = plan.first_boot.iter().filter(|it| it.what == "machine id").collect();
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.is_lost());
    let Comeback::Missing(why) = &only.comes else { panic!("{only:?}") };
    assert!(
        why.starts_with("/etc/machine-id stays as it is in every clone: the immutable"),
        "{why}"
    );
}

/// A cpio archive as the tree's text has it: the empty files `names`, then `etc/machine-id`.
fn initramfs(names: &[&str], id: &str) -> String {
    let mut archive = String::new();
    let entries = names.iter().map(|it| (*it, "")).chain([("etc/machine-id", id)]);
    for (name, content) in entries.chain([("TRAILER!!!", "")]) {
        archive.push_str("070701");
        for number in 0..13 {
            let value = match number {
                6 => content.len(),
                11 => name.len() + 1,
                _ => 0,
            };
            archive.push_str(&format!("{value:08x}"));
        }
        for part in [format!("{name}\0"), content.to_owned()] {
            archive.push_str(&part);
            archive.push_str(&"\0".repeat(archive.len().next_multiple_of(4) - archive.len()));
        }
    }
    serde_json::to_string(&archive).unwrap()
}

#[test]
fn an_initramfs_with_the_id_of_the_build_is_told() {
    let id = "fedcba9876543210fedcba9876543210\n";
    let with = |path: &str, content: &str| {
        let sample = Sample::new(&format!("{SYSTEMD}{path} = {content}\n"));
        machine_id(&sample.plan(&[embedded("machine-id")]))
    };
    let carries = initramfs(&["etc"], id);
    for path in [
        "/boot/initramfs-6.1.img",
        "/boot/0123456789abcdef0123456789abcdef/6.1/initrd",
        "/efi/debian/6.1/initrd.img-6.1",
    ] {
        let told = with(path, &carries);
        let line = format!("{path}: it carries the machine id of the build, which is used");
        assert!(told.iter().any(|it| it.starts_with(&line)), "{told:?}");
    }
    let only_systemd = ["systemd, before anything else starts"];
    for (path, content) in [
        ("/boot/initramfs-6.1.img", initramfs(&["etc"], "")),
        ("/boot/grub/initramfs-6.1.img", carries.clone()),
        ("/boot/vmlinuz-6.1", carries.clone()),
        ("/boot/init.txt", "\"no archive\"".to_owned()),
    ] {
        assert_eq!(with(path, &content), only_systemd, "{path}");
    }
    let damaged = with("/boot/initramfs-6.1.img", "\"070701cut off\"");
    assert!(
        damaged[1].contains("not searched for a machine id: what begins at byte 0"),
        "{damaged:?}"
    );
    let other =
        Sample::new(&format!("/etc/machine-id = \"\"\n/boot/initramfs-6.1.img = {carries}\n"));
    assert!(!machine_id(&other.plan(&[])).iter().any(|it| it.contains("initramfs")));
}
