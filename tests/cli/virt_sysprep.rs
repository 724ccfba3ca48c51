//! A script that calls virt-sysprep ports by the command's name, or learns why not.

use std::fs;

use super::Place;

#[test]
fn virt_syspreps_flags_mean_what_they_mean_there() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    for dry_run in ["seal -n -a image.qcow2", "seal --dry-run --format qcow2 -a image.qcow2"] {
        let (text, _) = place.expect(dry_run, 3);
        assert!(text.contains("Would clean:"), "{text}");
    }
    let (list, _) = place.expect("seal --list-operations", 0);
    assert!(list.lines().any(|it| it.starts_with("ssh-hostkeys") && it.contains(" * ")), "{list}");
    let (text, _) = place.expect("audit --enable machine-id,ssh-hostkeys -a image.qcow2", 3);
    assert!(text.contains("machine-id") && !text.contains("logfiles"), "{text}");
    let (text, _) = place.expect("audit --operations defaults,-logfiles -a image.qcow2", 3);
    assert!(text.contains("machine-id") && !text.contains("logfiles"), "{text}");
    let (text, _) = place.expect("audit -q image.qcow2", 3);
    assert!(text.is_empty(), "{text}");
    let (_, error) = place.expect("audit -x image.qcow2", 3);
    assert!(error.contains("plan"), "{error}");
    // The last one counts.
    assert_eq!(place.expect("audit -v -q image.qcow2", 3).0, "");
    let (text, _) = place.expect("audit -q -v -v image.qcow2", 3);
    assert!(text.contains("/etc/ssh/ssh_host_rsa_key"), "{text}");
    // --enable once and first; --operations go on from it.
    place.expect("audit -q --enable machine-id,utmp --operations -machine-id image.qcow2", 0);
    for words in ["--operations machine-id --enable utmp", "--enable utmp --enable machine-id,utmp"]
    {
        let (_, error) = place.expect(&format!("audit {words} image.qcow2"), 2);
        assert!(error.contains("--enable can be given once, and before any"), "{words}: {error}");
    }
    let version = place.expect("--version", 0);
    assert_eq!(place.expect("seal -V", 0), version);
    assert_eq!(fs::read(place.image()).unwrap(), before);
}

#[test]
fn virt_syspreps_other_flags_are_answered() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    for (flags, part) in [
        ("-d guest", "libvirt is not asked"),
        ("--connect qemu:///system -d guest", "libvirt is not asked"),
        ("--mount-options /:noatime image.qcow2", "nothing is mounted"),
        ("--inject-qemu-ga qemu-ga.iso image.qcow2", "not supported yet"),
        ("--run-command --quiet image.qcow2", "--at-first-boot"),
        ("--update image.qcow2", "nothing of the guest is run"),
        ("--sm-register image.qcow2", "at first boot"),
        ("--key all:key:x image.qcow2", "cryptsetup"),
        ("--keys-from-stdin image.qcow2", "cryptsetup"),
        ("--keep-user-accounts x image.qcow2", "--operations defaults,user-account"),
        ("--script x image.qcow2", "an operation of your own"),
        ("--machine-readable image.qcow2", "--json"),
        ("--machine-readable=format image.qcow2", "--json"),
        ("--dump-pod", "--help"),
    ] {
        for command in ["audit", "seal"] {
            let (text, error) = place.expect(&format!("{command} {flags}"), 2);
            assert!(text.is_empty() && error.lines().count() == 1, "{flags}: {text}{error}");
            let flag = flags.split([' ', '=']).next().unwrap();
            let flag = if flag == "-d" { "--domain" } else { flag };
            assert!(error.contains(flag) && error.contains(part), "{flags}: {error}");
        }
    }
    // What changes nothing is taken, and said.
    let flags = "--network --no-network --smp 2 --memsize=512 -m 512 --colors --colour --wrap \
                 --echo-keys";
    let (_, error) = place.expect(&format!("audit {flags} -a image.qcow2"), 3);
    assert_eq!(error.matches(" is ignored: ").count(), 8, "{error}");
    assert_eq!(error.lines().count(), 8, "{error}");
    assert_eq!(place.expect(&format!("audit -q {flags} -a image.qcow2"), 3).1, "");
    assert_eq!(fs::read(place.image()).unwrap(), before);
}

/// What `virt-sysprep --long-options` and `--short-options` of version 1.48 print.
const VIRT_SYSPREP_FLAGS: &str = "\
    --add --append-line --connect --chmod --color --colors --colour --colours \
    --commands-from-file --copy --copy-in --domain --delete --dryrun --dry-run \
    --dump-pod --dump-pod-options --echo-keys --edit --enable --firstboot \
    --firstboot-command --firstboot-install --format --help --hostname --install \
    --keep-user-accounts --key --keys-from-stdin --link --list-operations --mkdir \
    --mount-options --move --network --no-logfile --no-network --no-selinux-relabel \
    --operation --operations --password --password-crypto --quiet --remove-user-accounts \
    --root-password --run --run-command --script --scriptdir --scrub --selinux-relabel \
    --sm-attach --sm-credentials --sm-register --sm-remove --sm-unregister --ssh-inject \
    --timezone --touch --truncate --truncate-recursive --uninstall --update --upload \
    --version --verbose --wrap --write -a -c -d -n -q -V -v -x";

#[test]
fn every_flag_of_virt_sysprep_is_known() {
    let place = Place::new();
    for flag in VIRT_SYSPREP_FLAGS.split(' ') {
        let error = String::from_utf8(place.run(&format!("seal {flag}")).stderr).unwrap();
        assert!(!error.contains("there is no option"), "{error}");
    }
}

#[test]
fn one_image_a_run() {
    let place = Place::new();
    for command in ["audit", "seal", "inspect", "recover"] {
        for images in ["-a a.img -a b.img", "a.img b.img", "-a b.img a.img"] {
            let (_, error) = place.expect(&format!("{command} {images}"), 2);
            assert!(error.contains("one image a run: ") && error.lines().count() == 1, "{error}");
        }
        let (_, error) = place.expect(command, 2);
        assert!(error.contains("no image is named") && error.lines().count() == 1, "{error}");
        let (help, _) = place.expect(&format!("help {command}"), 0);
        assert!(help.contains(&format!("sysprep-rs {command} [OPTIONS] [IMAGE]\n")), "{help}");
        assert_eq!(place.expect(&format!("{command} --help"), 0).0, help);
    }
    assert_eq!(place.expect("help", 0), place.expect("--help", 0));
}

#[test]
fn users_are_removed_and_kept_by_virt_syspreps_flags() {
    let place = Place::new();
    let accounts = |flags: &str| {
        let words = format!("audit --json --enable user-account {flags} image.qcow2");
        let report = place.json(words.trim(), if flags.contains("keep") { 0 } else { 3 });
        let paths = report["operations"][0]["paths"].as_array().unwrap().clone();
        paths.iter().any(|it| it["path"] == "/home/admin")
    };
    assert!(accounts("--remove-user-accounts admin"));
    assert!(!accounts("--keep-user-accounts other,admin"));
    let select = "--operations defaults,user-account --remove-user-accounts admin";
    place.expect(&format!("seal {select} image.qcow2"), 0);
    place.expect(&format!("audit {select} image.qcow2"), 0);
}
