//! What cloud-init would do at the next boot. Its own code is the judge: `ds-identify` and the
//! generator of whether it runs, its Python modules of what it makes of the settings.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use sysprep_rs::fs::directory::Directory;
use sysprep_rs::guest::cloud_init::{CloudInit, HostKeys, Network, Runs};
use sysprep_rs::guest::{Facts, Init, Tree};
use sysprep_rs::volume::VolumeId;

use crate::support::cloud_init;

const WANTS: &str = "/etc/systemd/system/cloud-init.target.wants/cloud-init.service";
const GENERATOR: &str = "/usr/lib/systemd/system-generators/cloud-init-generator";
const IDENTIFY: &str = "/usr/lib/cloud-init/ds-identify";

/// A file of the unpacked package.
fn packaged(path: &str) -> Vec<u8> {
    let path = cloud_init::unpacked().join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What every guest with systemd and cloud-init has, with a machine id.
fn installed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("/usr/bin/cloud-init", b"#!/usr/bin/python3\n".to_vec()),
        ("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n".to_vec()),
        (WANTS, b"[Unit]\n".to_vec()),
        ("/usr/lib/systemd/system/cloud-init.service", b"[Unit]\n".to_vec()),
        (GENERATOR, packaged("lib/systemd/system-generators/cloud-init-generator")),
        (IDENTIFY, packaged("usr/lib/cloud-init/ds-identify")),
        ("/etc/cloud/cloud.cfg", packaged("etc/cloud/cloud.cfg")),
    ]
}

fn facts(init: Init) -> Facts {
    let architecture = Some("x86_64".to_owned());
    Facts { init: Some(init), architecture, ..Facts::default() }
}

fn read_folder(folder: &Path) -> CloudInit {
    let fs = Arc::new(Directory::open(folder).unwrap());
    let tree = Tree::single(VolumeId("host".into()), fs);
    CloudInit::read(&tree, &facts(Init::Systemd)).unwrap().unwrap()
}

fn write(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// What the generator decides in a tree, and the datasources that ds-identify hands on.
fn generated(folder: &Path, kernel: &str) -> (bool, Option<Vec<String>>) {
    let shown = folder.display().to_string();
    let code = String::from_utf8(packaged("lib/systemd/system-generators/cloud-init-generator"));
    let code = code
        .unwrap()
        .replace("/etc/cloud/cloud-init.", &format!("{shown}/etc/cloud/cloud-init."))
        .replace("\"/usr/lib/cloud-init", &format!("\"{shown}/usr/lib/cloud-init"))
        .replace("/run/cloud-init", &format!("{shown}/run/cloud-init"))
        .replace("/lib/systemd/system/cloud-init.target", "/dev/null");
    assert!(code.matches(&shown).count() >= 4, "the generator names other places by now");
    write(folder, "/generator", code.as_bytes());
    for place in ["run/cloud-init", "sys/class/dmi/id", "out"] {
        fs::create_dir_all(folder.join(place)).unwrap();
    }
    for place in ["/proc/cmdline", "/proc/1/cmdline"] {
        write(folder, place, format!("{kernel}\n").as_bytes());
    }
    let out = folder.join("out");
    let output = Command::new("sh")
        .arg(folder.join("generator"))
        .args([&out, &out, &out])
        .env("PATH_ROOT", folder)
        .env("KERNEL_CMDLINE", kernel)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let runs = out.join("multi-user.target.wants/cloud-init.target").symlink_metadata().is_ok();
    let settings = fs::read_to_string(folder.join("run/cloud-init/cloud.cfg")).unwrap_or_default();
    let list = settings.lines().find_map(|it| it.strip_prefix("datasource_list: ["));
    let names =
        list.map(|it| it.trim_end_matches(']').split(',').map(|it| it.trim().to_owned()).collect());
    (runs, names)
}

/// Files, and the kernel's command line, of guests of which ds-identify may think otherwise.
const GUESTS: &[(&[(&str, &str)], &str)] = &[
    (&[], "root=/dev/vda1"),
    (&[("/etc/cloud/cloud-init.disabled", "")], "quiet"),
    (&[("/etc/cloud/cloud-init.disabled", ""), ("/etc/cloud/cloud-init.enabled", "")], ""),
    (&[("/etc/cloud/cloud-init.disabled", ""), (DI, "policy: enabled\n")], "cloud-init=enabled"),
    (&[(DI, "policy: enabled\n")], "cloud-init=disabled"),
    (&[(DI, "policy: enabled\n")], "cloud-init=disabled cloud-init=enabled"),
    (&[(DI, "policy: disabled\n")], ""),
    (&[(DI, "policy: enabled\n")], ""),
    (&[(DI, "policy: \"enabled\" # x\n")], ""),
    (&[(DI, "policy: enabled")], ""),
    (&[(DI, "  policy : search,notfound=enabled\n")], ""),
    (&[(DI, "policy: search,found=all,maybe=all,notfound=disabled\n")], ""),
    (&[(DI, "policy: report\n")], ""),
    (&[(DI, "policy: nonsense\n")], ""),
    (&[(DI, "#policy: enabled\n")], ""),
    (&[(DI, "datasource: Ec2\n")], ""),
    (&[(DI, "datasource: 'NoCloud, Ec2'\n")], ""),
    (&[(DI, "datasource: Ec2\npolicy: disabled\n")], ""),
    (&[(DI, "datasource:\npolicy: search\n")], ""),
    (&[(DI, "policy: disabled\n")], "ci.di.policy=enabled"),
    (&[], "ci.ds=OpenStack"),
    (&[], "ci.datasource=NoCloud quiet"),
    (&[], "ds=nocloud;s=http://10.0.0.1/"),
    (&[], "ds=nocloud-net"),
    (&[(LIST, "datasource_list: [ NoCloud, None ]\n")], ""),
    (&[(LIST, "datasource_list: [NoCloud]\n")], ""),
    (&[(LIST, "datasource_list: [NoCloud]")], ""),
    (&[(LIST, "datasource_list: [ NoCloud ] # one\n")], ""),
    (&[(LIST, "datasource_list: [ 'NoCloud', \"None\" ]\n")], ""),
    (&[(LIST, "datasource_list: NoCloud\n")], ""),
    (&[(LIST, "datasource_list:  [NoCloud]\n")], ""),
    (&[(LIST, "datasource_list: [ None, NoCloud ]\n")], ""),
    (&[(LIST, "datasource_list: [ NoCloud, Ec2 ]\n")], ""),
    (&[(LIST, "datasource_list:\n  - NoCloud\n")], ""),
    (&[(LIST, "datasource_list: [NoCloud,\n  None]\n")], ""),
    (&[(LIST, "a:\n  datasource_list: [ Azure ]\n")], ""),
    (&[(LIST, "datasource_list : [ Azure ]\n")], ""),
    (&[(LIST, "datasource_list: []\n")], ""),
    (&[(LIST, "datasource_list: [ None ]\n")], ""),
    (&[(LIST, "datasource_list: [ Azure ]\n"), (LATER, "datasource_list: [ Ec2, GCE ]\n")], ""),
    (&[(LIST, "datasource_list: [ Ec2, GCE ]\n"), (LATER, "datasource_list: [ Azure ]\n")], ""),
    (&[("/etc/cloud/cloud.cfg.d/.x.cfg", "datasource_list: [ Azure ]\n")], ""),
    (&[("/etc/cloud/cloud.cfg.d/x.yaml", "datasource_list: [ Azure ]\n")], ""),
    (&[(META, "{}"), (USER, "")], ""),
    (&[(META, "{}")], ""),
    (&[(META, "{}"), (USER, ""), (LIST, "datasource_list: [ Ec2, GCE ]\n")], ""),
    (&[(META, "{}"), (USER, ""), (DI, "policy: disabled\n")], ""),
    (&[("/var/lib/cloud/seed/nocloud-net/meta-data", ""), (NET_USER, "")], ""),
    (&[("/var/lib/cloud/seed/opennebula/meta-data", "")], ""),
    (&[("/var/lib/cloud/seed/ovf/ovf-env.xml", "")], ""),
    (&[("/var/lib/cloud/seed/ec2/meta-data", ""), ("/var/lib/cloud/seed/ec2/user-data", "")], ""),
    (&[("/var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json", "{}")], ""),
    (&[("/etc/vultr", "")], ""),
    (&[(LIST, "NoCloud:\n  user-data: |\n  meta-data: |\n")], ""),
    (&[(META, "{}"), (USER, ""), ("/etc/vultr", "")], ""),
    (&[("/var/lib/cloud/instance/manual-clean", "")], ""),
];

const DI: &str = "/etc/cloud/ds-identify.cfg";
const LIST: &str = "/etc/cloud/cloud.cfg.d/90_dpkg.cfg";
const LATER: &str = "/etc/cloud/cloud.cfg.d/95.cfg";
const META: &str = "/var/lib/cloud/seed/nocloud/meta-data";
const USER: &str = "/var/lib/cloud/seed/nocloud/user-data";
const NET_USER: &str = "/var/lib/cloud/seed/nocloud-net/user-data";

#[test]
fn it_runs_where_its_generator_lets_it() {
    let (mut on, mut off) = (0, 0);
    for (changes, kernel) in GUESTS {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in installed() {
            write(folder.path(), path, &content);
        }
        for (path, content) in *changes {
            write(folder.path(), path, content.as_bytes());
        }
        let entry = format!("title x\noptions root=/dev/vda1 {kernel}\n");
        write(folder.path(), "/boot/loader/entries/x.conf", entry.as_bytes());
        let ours = read_folder(folder.path());
        let (runs, names) = generated(folder.path(), kernel);
        // Nothing of what this machine could be found by is in the tree: where it depends on a
        // datasource there is none.
        match (&ours.runs, runs) {
            (Runs::Yes, true) => on += 1,
            (Runs::No { .. } | Runs::WithSource(_), false) => off += 1,
            _ => panic!("{changes:?} {kernel}: {:?}, and the generator says {runs}", ours.runs),
        }
        if let Some(names) = names.filter(|_| runs) {
            let mut taken: Vec<String> = ours.datasources.unwrap().names;
            if !taken.iter().any(|it| it == "None") {
                taken.push("None".into());
            }
            assert_eq!(taken.join(", "), names.join(", "), "{changes:?} {kernel}");
        }
    }
    assert!(on > 20 && off > 15, "{on} and {off}: the table tells nothing");
}

/// Files of settings, cloud-init's own beside them.
const SETTINGS: &[&[(&str, &str)]] = &[
    &[],
    &[("90.cfg", "ssh_genkeytypes: []\n")],
    &[("90.cfg", "ssh_genkeytypes: ~\n")],
    &[("90.cfg", "ssh_genkeytypes: ed25519\n")],
    &[
        ("90.cfg", "ssh_genkeytypes: [rsa]\nssh_deletekeys: false\n"),
        ("99.cfg", "ssh_genkeytypes: [ed25519]\n"),
    ],
    &[("90.cfg", "ssh_deletekeys: 0\n"), ("80.cfg", "ssh_deletekeys: yes\n")],
    &[("90.cfg", "ssh_deletekeys: 'off'\ndisable_root: no\nssh_pwauth: yes\n")],
    &[("90.cfg", "disable_root: \ndisable_root: 'True'\nssh_pwauth: unchanged\n")],
    &[("90.cfg", "ssh_pwauth: 0\n")],
    &[("90.cfg", "cloud_init_modules: [users-groups]\n")],
    &[(
        "90.cfg",
        "cloud_init_modules: [[cc_ssh, always], {name: users_groups}]\ncloud_config_modules: []\n",
    )],
    &[("90.cfg", "cloud_init_modules: {a: b}\n")],
    &[("90.cfg", "network: {config: disabled}\n")],
    &[("90.cfg", "network:\n  network: {config: disabled}\n")],
    &[("90.cfg", "network: {version: 2}\n"), ("91.cfg", "network: {config: disabled}\n")],
    &[
        ("90.cfg", "network: {config: disabled}\n"),
        ("91.cfg", "network: {config: [], version: 1}\n"),
    ],
    &[("90.cfg", "datasource_list: [Ec2]\n"), ("10.cfg", "datasource_list: [GCE]\n")],
    &[("90.cfg", "datasource_list: [Ec2]\n"), ("95.cfg", "datasource_list:\n- [\n")],
    &[("90.cfg", "- a\n"), ("95.cfg", ""), ("96.cfg", "just text\n")],
    &[("90.cfg", "system_info: {default_user: {name: admin}}\n")],
    &[("90.cfg", "system_info: {default_user: {name: admin, lock_passwd: false, sudo: }}\n")],
    &[("90.cfg", "system_info: text\n")],
    &[("90.cfg", "system_info: 5\n"), ("91.cfg", "system_info: {default_user: {name: x}}\n")],
    &[("90.cfg", "users: []\n")],
    &[("90.cfg", "users: [default, bob, 'carol,dave']\n")],
    &[("90.cfg", "users: 'default,bob'\n")],
    &[("90.cfg", "users: {default: true, bob: false, carol: {sudo: x}}\n")],
    &[(
        "90.cfg",
        "users:\n- default\n- {name: bob, lock-passwd: false, plain_text_passwd: x, ssh-authorized-keys: [a, b]}\n",
    )],
    &[(
        "90.cfg",
        "users:\n- {name: bob, ssh_authorized_keys: one}\n- {name: bob, sudo: ALL, lock_passwd: false}\n",
    )],
    &[("90.cfg", "users:\n- default\n- {name: debian, lock_passwd: false, sudo: false}\n")],
    &[("90.cfg", "users:\n- {lock_passwd: false, hashed_passwd: $6$a$bbbbbb}\n")],
    &[("90.cfg", "user: alice\n")],
    &[("90.cfg", "user: {name: alice, lock_passwd: false}\nusers: [bob]\n")],
    &[("90.cfg", "user: {lock_passwd: false}\n")],
    &[("90.cfg", "user: {name: alice}\nusers: {bob: yes}\n")],
    &[(
        "seed",
        "#cloud-config\nusers: [default, {name: eve, ssh_authorized_keys: [k]}]\nssh_pwauth: true\n",
    )],
    &[("seed", "#cloud-config\nsystem_info: {default_user: {name: other}}\ndisable_root: false\n")],
];

#[test]
fn its_settings_are_merged_as_its_own_code_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut trees = Vec::new();
    for (number, settings) in SETTINGS.iter().enumerate() {
        let tree = folder.path().join(number.to_string());
        for (path, content) in installed() {
            write(&tree, path, &content);
        }
        for (name, content) in *settings {
            if *name == "seed" {
                write(&tree, META, b"instance-id: i-1\n");
                write(&tree, USER, content.as_bytes());
            } else {
                write(&tree, &format!("/etc/cloud/cloud.cfg.d/{name}"), content.as_bytes());
            }
        }
        trees.push(tree);
    }
    let words: Vec<&str> = trees.iter().map(|it| it.to_str().unwrap()).collect();
    let Value::Array(answers) = cloud_init::run(include_str!("cloud_init.py"), &words) else {
        panic!("no list")
    };
    assert_eq!(answers.len(), SETTINGS.len());
    for ((settings, tree), theirs) in SETTINGS.iter().zip(&trees).zip(answers) {
        let ours = read_folder(tree);
        let users: serde_json::Map<String, Value> = ours
            .users
            .iter()
            .map(|it| {
                let user = json!({
                    "default": it.is_default,
                    "lock": it.lock_passwd,
                    "sudo": it.sudo,
                    "keys": it.keys,
                    "password": it.has_password,
                });
                (it.name.clone(), user)
            })
            .collect();
        if theirs["ssh"] == json!(true) || settings.is_empty() {
            assert_eq!(Value::Object(users), theirs["users"], "{settings:?}");
            assert_eq!(json!(ours.ssh_pwauth), theirs["auth"], "{settings:?}");
        }
        assert_eq!(json!(ours.disable_root), theirs["root"], "{settings:?}");
        let disabled = matches!(ours.network, Network::Disabled(_));
        assert_eq!(json!(disabled), theirs["disabled"], "{settings:?}");
        match &ours.host_keys {
            HostKeys::Off { reason, .. } if theirs["ssh"] == json!(false) => {
                assert!(reason.contains("'ssh'"), "{settings:?}: {reason}");
            }
            HostKeys::Off { .. } => assert_eq!(theirs["types"], json!([]), "{settings:?}"),
            HostKeys::Made { types, deletes } => {
                assert_eq!(theirs["ssh"], json!(true), "{settings:?}");
                assert_eq!(json!(deletes), theirs["deletes"], "{settings:?}");
                if !theirs["types"].is_null() {
                    assert_eq!(json!(types), theirs["types"], "{settings:?}");
                }
            }
            HostKeys::Fixed(at) => panic!("{settings:?}: {at}"),
        }
        if let Some(pinned) = &ours.datasources
            && pinned.at.to_string().ends_with(".cfg")
            && theirs["list"].as_array().unwrap().len() < 5
        {
            assert_eq!(json!(pinned.names), theirs["list"], "{settings:?}");
        }
    }
}
