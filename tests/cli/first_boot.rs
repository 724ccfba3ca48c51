//! What a clone needs at its first boot, as a user meets it: `--first-boot`, `--require-way-in`, and
//! the parameters of what comes back, on the carried Debian with its real units.

use std::fs;

use serde_json::{Value, json};

use super::Place;
use super::carried::{Carried, GONE, ROOT};
use crate::support::network_tools;
use crate::support::oracle::e2fsck_clean;
use crate::support::recipe::{self, Part};
use crate::support::spec::Spec;

const KEYS: &str = "SSH host keys: nothing known makes them, and the SSH server does not start without: \
                    leave them with --operations defaults,-ssh-hostkeys";
const MAKER: &str = "/usr/lib/sysprep-rs/ssh-host-keys";

impl Carried {
    /// Runs it on the image; words are split at spaces.
    fn run(&self, words: &str, code: i32) -> (String, String) {
        self.place.expect(&format!("{words} {ROOT}"), code)
    }

    fn report(&self, words: &str, code: i32) -> Value {
        serde_json::from_str(&self.run(words, code).0).unwrap()
    }

    /// The verdict on a thing, and its words.
    fn told(&self, words: &str, what: &str) -> (String, String) {
        let output = self.place.run(&format!("{words} --json {ROOT}"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let lines = report["first_boot"].as_array().unwrap_or_else(|| panic!("{words}: {report}"));
        let line = lines.iter().find(|it| it["what"] == what);
        let line = line.unwrap_or_else(|| panic!("{words}: no {what} in {report}"));
        let text = |field: &str| line[field].as_str().unwrap().to_owned();
        (text("is"), text("why"))
    }
}

/// A guest's part of a report as the text has to show it, made of the JSON.
fn shown(report: &Value, guest: u64) -> String {
    let all = report["first_boot"].as_array().unwrap().iter();
    let lines: Vec<&Value> = all.filter(|it| it["guest"] == guest).collect();
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let width = lines.iter().map(|it| text(it, "what").len()).max().unwrap();
    let mut part = "\nfirst boot\n".to_owned();
    for it in lines {
        let head = match text(it, "is").as_str() {
            "made" | "note" => "",
            "added" => "ADDED: ",
            "missing" => "MISSING: ",
            "unknown" => "NOT KNOWN: ",
            other => panic!("{other}"),
        };
        part += &format!("  {:<width$}  {head}{}\n", text(it, "what"), text(it, "why"));
    }
    part + "\n"
}

#[test]
fn each_mode_puts_in_tells_or_refuses() {
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    let untouched = |what: &str| assert!(guest.bytes() == before, "{what} changed the image");
    for command in ["audit", "seal -n"] {
        let dirty = "Exit code 3: there is something to clean";
        for (mode, is, code, end) in [
            ("", "added", 3, format!("{dirty}.\n")),
            (" --first-boot=auto", "added", 3, format!("{dirty}.\n")),
            (
                " --first-boot=report",
                "missing",
                3,
                format!(
                    "{dirty}; 1 thing does not come back at first boot ('first boot' in the \
                     report).\n"
                ),
            ),
            (" --first-boot=refuse", "missing", 1, String::new()),
        ] {
            // A dry run of a seal is an audit.
            if command != "audit" && is == "added" {
                continue;
            }
            let words = format!("{command}{mode}");
            let report = guest.report(&format!("{words} --json"), code);
            let lines = report["first_boot"].as_array().unwrap();
            let keys = lines.iter().find(|it| it["what"] == "SSH host keys").unwrap();
            assert_eq!(keys["is"], is, "{words}");
            assert_eq!((&keys["guest"], &keys["operation"]), (&json!(0), &json!("ssh-hostkeys")));
            let (text, error) = guest.run(&words, code);
            let part = shown(&report, 0);
            assert!(text.contains(&part), "{words}: {part} is not in {text}");
            let (quiet, note) = guest.run(&format!("{words} -q"), code);
            assert_eq!(quiet, "", "{words}");
            if code == 1 {
                assert_eq!(report["error"]["exit"], 1, "{words}: {report}");
                let message = report["error"]["message"].as_str().unwrap();
                let wanted = format!(
                    "root.ext4: not everything would come back at first boot ({KEYS}); \
                     --first-boot=auto puts in what it can, and --first-boot=report only tells"
                );
                assert_eq!(message, wanted, "{words}");
                assert_eq!(error, format!("sysprep-rs: {wanted}\n"), "{words}");
                assert_eq!(note, error, "{words}");
            } else {
                assert_eq!(report["error"], Value::Null, "{words}");
                assert!(text.ends_with(&end), "{words}: {text}");
                assert_eq!(error, "", "{words}");
            }
            untouched(&words);
        }
    }
    for words in ["seal", "seal --output new.raw", "seal --json", "seal -q"] {
        let (text, error) = guest.run(&format!("{words} --first-boot=refuse"), 1);
        assert_eq!(text.is_empty(), !words.contains("json"), "{words}: {text}");
        assert!(error.contains(KEYS) && error.lines().count() == 1, "{words}: {error}");
        untouched(words);
        assert!(!guest.place.path("new.raw").exists());
    }
    // What is not taken away need not come back.
    guest.run("seal --first-boot=refuse --operations=defaults,-ssh-hostkeys", 0);
    assert!(guest.has("/etc/ssh/ssh_host_ed25519_key") && !guest.has(MAKER));

    guest.reset(&before);
    for run in ["first", "second"] {
        let sealed = guest.bytes();
        let (text, error) = guest.run("seal --first-boot=report", 3);
        assert!(text.contains("\n  SSH host keys     MISSING: ") || run == "second", "{text}");
        let said = "sysprep-rs: root.ext4: sealed. Exit code 3: 1 thing does not come back at first \
                    boot ('first boot' in the report).\n";
        assert_eq!(error, said, "{run}");
        assert!(!guest.has("/etc/ssh/ssh_host_ed25519_key") && !guest.has("/usr/lib/sysprep-rs"));
        assert_eq!(guest.bytes() == sealed, run == "second");
    }
    e2fsck_clean(&guest.image);
    // A sealed one gets the means later, too, and none a second time.
    guest.run("seal", 0);
    e2fsck_clean(&guest.image);
    assert!(guest.asked("stat", MAKER).contains("Mode:  0755"));
    let sealed = guest.bytes();
    for words in ["seal", "seal --first-boot=report", "seal --first-boot=refuse"] {
        let (text, error) = guest.run(words, 0);
        assert!(text.contains("  SSH host keys     sysprep-rs-ssh-host-keys.service\n"), "{text}");
        assert_eq!(error, "");
        assert!(guest.bytes() == sealed, "{words} changes what is sealed");
    }
    guest.run("audit --first-boot=refuse --require-way-in", 0);
}

#[test]
fn a_quiet_run_points_at_nothing_that_is_not_printed() {
    let guest = Carried::with(&[]);
    let head = "sysprep-rs: root.ext4: ";
    let end = "1 thing does not come back at first boot; the report, which is printed without -q, says \
               more.\n";
    let (text, error) = guest.run("audit -q --first-boot=report", 3);
    let dirty = "Exit code 3: there is something to clean; ";
    assert_eq!((text.as_str(), error), ("", format!("{head}{dirty}{end}")));
    let (text, error) = guest.run("seal -q --first-boot=report", 3);
    assert_eq!((text.as_str(), error), ("", format!("{head}sealed. Exit code 3: {end}")));
    // The JSON has the report.
    let (_, error) = guest.run("seal -q --json --first-boot=report", 3);
    assert!(error.ends_with("('first boot' in the report).\n"), "{error}");
    guest.run("seal -q", 0);
}

#[test]
fn a_saved_plan_holds_what_its_mode_came_to() {
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    let plan = guest.place.path("plan.json");
    guest.run("audit -q --first-boot=report --save-plan plan.json", 3);
    let (text, error) = guest.run("seal --plan plan.json", 3);
    assert!(text.contains("MISSING: nothing known makes them"), "{text}");
    assert!(text.contains("Proved: planning again yields nothing"), "{text}");
    assert!(error.contains("1 thing does not come back at first boot"), "{error}");
    assert!(!guest.has(MAKER));

    // No plan of what is refused.
    guest.reset(&before);
    fs::remove_file(&plan).unwrap();
    guest.run("audit --first-boot=refuse --save-plan plan.json", 1);
    assert!(!plan.exists());
    guest.run("audit -q --save-plan plan.json", 3);
    let report = guest.report("seal -n --json --plan plan.json", 3);
    let (text, error) = guest.run("seal --plan plan.json", 0);
    assert!(text.contains(&shown(&report, 0)) && text.contains("  ADDED: ") || error.is_empty());
    assert!(text.contains("SSH host keys     ADDED: "), "{text}");
    assert!(guest.has(MAKER));
    let (_, error) = guest.run("seal --plan plan.json --first-boot=refuse", 2);
    let said =
        "--first-boot: --plan applies exactly the plan; give the flag to 'audit --save-plan'";
    assert_eq!(error, format!("sysprep-rs: {said}\n"));

    // A way in is asked for when it is applied, too.
    guest.reset(&before);
    guest.change(&[("/etc/shadow", LOCKED)]);
    let locked = guest.bytes();
    fs::remove_file(&plan).unwrap();
    guest.run("audit -q --require-way-in --save-plan plan.json", 1);
    assert!(!plan.exists());
    guest.run("audit -q --save-plan plan.json", 3);
    let (_, error) = guest.run("seal --plan plan.json --require-way-in", 1);
    assert!(error.contains("--require-way-in: nobody can log in"), "{error}");
    assert!(guest.bytes() == locked);
    let (_, error) = guest.run("seal -q --plan plan.json", 0);
    assert!(error.starts_with("sysprep-rs: root.ext4: nobody can log in: "), "{error}");
}

#[test]
fn what_is_not_known_is_a_usage_error_that_says_what_is() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    let operations = "; 'sysprep-rs operations' lists them";
    let of = |name: &str| format!("'sysprep-rs operations {name}' lists them");
    for (words, wanted) in [
        ("audit --first-boot=off", "--first-boot: 'off' is not one of auto, report, refuse".to_owned()),
        ("seal --first-boot", "--first-boot needs a value: one of auto, report, refuse".into()),
        ("seal --require-way-in=yes", "--require-way-in takes no value".into()),
        ("seal --set net.fallback=static", "'static' is not one of dhcp, none".into()),
        (
            "seal --set machine-id.leave=none",
            "'none' is not one of empty, uninitialized, absent".into(),
        ),
        ("audit --set leave", "--set 'leave': write NAME=VALUE".into()),
        (
            "audit --set machineid.leave=empty",
            format!("'machineid' is not a known operation; did you mean 'machine-id'?{operations}"),
        ),
        ("audit --set nothing.x=1", format!("'nothing' is not a known operation{operations}")),
        (
            "audit --set machine-id.leav=empty",
            format!("has no parameter 'leav'; did you mean 'leave'?; {}", of("machine-id")),
        ),
        ("audit --set machine-id.x=empty", format!("has no parameter 'x'; {}", of("machine-id"))),
        ("audit --set utmp.x=1", "the operation 'utmp' has no parameter 'x'; it has none".into()),
        (
            "audit --set nothing=1",
            "no operation has a parameter 'nothing'; 'sysprep-rs operations NAME' lists those of one"
                .into(),
        ),
        ("seal --hostname", "--hostname needs a value: write --hostname NAME".into()),
        ("seal --force", "--force is about the new file of --output NEW, which is not given".into()),
        ("seal --output-format raw", "--output-format is about the new file of --output NEW".into()),
        ("audit --allow-secrets list", "--secrets has to be given, too".into()),
        ("seal --verify=all", "--verify: 'all' is not one of touched, full".into()),
    ] {
        let needs_no_image = words.ends_with("hostname") || words.ends_with("boot");
        let words = if needs_no_image { words.into() } else { format!("{words} image.qcow2") };
        let (text, error) = place.expect(&words, 2);
        assert!(error.starts_with("sysprep-rs: ") && error.contains(&wanted), "{words}: {error}");
        assert_eq!((text.as_str(), error.lines().count()), ("", 1), "{words}: {error}");
        if !needs_no_image {
            let told = place.json(&format!("{words} --json"), 2);
            let message = told["error"]["message"].as_str().unwrap();
            assert_eq!(error, format!("sysprep-rs: {message}\n"), "{words}");
        }
    }
    assert!(fs::read(place.image()).unwrap() == before);
}

const LOCKED: &str = "root:*:20000:0:99999:7:::\nadmin:*:20000:0:99999:7:::\n";
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
fn each_guest_of_an_image_is_told_by_its_name() {
    let place = Place::new();
    let scratch = place.path("scratch");
    let system = |name: &str, shadow: &str| {
        let mut spec = Spec::default();
        for dir in ["/etc", "/usr", "/bin", "/sbin"] {
            spec.directory(dir);
        }
        spec.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        spec.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        spec.file("/etc/shadow", shadow);
        spec.file("/etc/inittab", "1:2345:respawn:/sbin/getty 38400 tty1\n");
        for program in ["/bin/sh", "/sbin/init", "/sbin/getty"] {
            spec.file(program, "x").mode = 0o755;
        }
        let at = scratch.join(name);
        fs::create_dir_all(&at).unwrap();
        let args = ["-t", "ext4", "-O", "^has_journal"];
        recipe::ext4(&at, &mut spec, &args, 8 << 20)
    };
    let open = "root:$6$salt$hash:20000:0:99999:7:::\n";
    for (shadows, locked) in [([open, LOCKED], &["part2"][..]), ([LOCKED; 2], &["part1", "part2"])]
    {
        let [first, second] = [system("1", shadows[0]), system("2", shadows[1])];
        let parts = [
            Part { kind: "8300", name: "first", image: &first },
            Part { kind: "8300", name: "second", image: &second },
        ];
        let (disk, _) = recipe::gpt(&scratch, &parts);
        fs::rename(disk, place.path("disk.img")).unwrap();
        let report = place.json("audit --json --operations=net disk.img", 0);
        let (text, error) = place.expect("audit --operations=net disk.img", 0);
        assert!(text.contains(&shown(&report, 0)) && text.contains(&shown(&report, 1)), "{text}");
        assert!(text.contains("\n\npart2: "), "a guest begins behind an empty line: {text}");
        let said: Vec<String> = locked
            .iter()
            .map(|it| format!("sysprep-rs: disk.img: {it}: nobody can log in: "))
            .collect();
        assert_eq!(error.lines().count(), said.len(), "{error}");
        assert!(error.lines().zip(&said).all(|(line, said)| line.starts_with(said)), "{error}");
        let before = fs::read(place.path("disk.img")).unwrap();
        let (_, error) = place.expect("seal --require-way-in --operations=net disk.img", 1);
        let head = format!("sysprep-rs: disk.img: --require-way-in: {}: nobody", locked[0]);
        assert!(error.starts_with(&head), "{error}");
        let (_, error) = place.expect("seal --first-boot=refuse --operations=net disk.img", 1);
        assert!(error.contains("(part1: network: no link comes up"), "{error}");
        assert!(error.contains("; part2: network: no link comes up"), "{error}");
        assert!(fs::read(place.path("disk.img")).unwrap() == before);
        fs::remove_dir_all(&scratch).unwrap();
    }
}

/// The carried guest without what brings its link up.
const NO_LINK: &[(&str, &str)] = &[
    ("/etc/network/interfaces.d/eth0", GONE),
    ("/usr/sbin/ifup", GONE),
    ("/etc/systemd/system/multi-user.target.wants/networking.service", GONE),
];

const NETWORKD: (&str, &str) = ("/usr/lib/systemd/systemd-networkd", "");
const MANAGER: &[(&str, &str)] = &[
    ("/usr/sbin/NetworkManager", ""),
    (
        "/usr/lib/systemd/system/NetworkManager.service",
        "[Unit]\nWants=network.target\n[Service]\nType=dbus\nBusName=org.freedesktop.NetworkManager\n\
         ExecStart=/usr/sbin/NetworkManager --no-daemon\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("/etc/NetworkManager/conf.d/no.conf", "[main]\nno-auto-default=*\n"),
];

/// Files, where something starts; what is written, and what brings the link up then.
type Dialect<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn the_fallback_of_each_dialect_brings_the_link_up_once_and_is_not_made_twice() {
    let ifupdown = &NO_LINK[..1];
    let wants = "/etc/systemd/system/multi-user.target.wants";
    let wicked = format!("{wants}/wicked.service");
    let scripts = format!("{wants}/network.service");
    let service = |program: &str| format!("[Service]\nExecStart={program}\n");
    let (wicked_unit, scripts_unit, dhcpcd_unit) = (
        service("/usr/sbin/wicked"),
        service("/etc/rc.d/init.d/network start"),
        service("/usr/sbin/dhcpcd"),
    );
    let cases: &[Dialect<'_>] = &[
        (ifupdown, "/etc/network/interfaces", "ifupdown (/etc/network/interfaces): DHCP on e*"),
        (
            &[NO_LINK, &[NETWORKD, ("/usr/lib/systemd/system-generators/netplan", "")]].concat(),
            "/etc/netplan/95-sysprep-dhcp.yaml",
            "netplan (/etc/netplan/95-sysprep-dhcp.yaml): DHCP on e*",
        ),
        (
            &[NO_LINK, &[NETWORKD]].concat(),
            "/etc/systemd/network/89-sysprep-dhcp.network",
            "systemd-networkd (/etc/systemd/network/89-sysprep-dhcp.network): DHCP on en* eth*",
        ),
        (
            &[NO_LINK, MANAGER].concat(),
            "/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection",
            "NetworkManager (/etc/NetworkManager/system-connections/sysprep-dhcp.nmconnection): DHCP \
             on any",
        ),
        (
            &[
                NO_LINK,
                &[
                    ("/usr/sbin/wicked", ""),
                    ("/usr/lib/systemd/system/wicked.service", &wicked_unit),
                    (&wicked, "-> /usr/lib/systemd/system/wicked.service"),
                ],
            ]
            .concat(),
            "/etc/sysconfig/network/ifcfg-eth0",
            "wicked (/etc/sysconfig/network/ifcfg-eth0): DHCP on eth0",
        ),
        (
            &[
                NO_LINK,
                &[
                    ("/etc/rc.d/init.d/network", ""),
                    ("/usr/lib/systemd/system/network.service", &scripts_unit),
                    (&scripts, "-> /usr/lib/systemd/system/network.service"),
                ],
            ]
            .concat(),
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "network-scripts (/etc/sysconfig/network-scripts/ifcfg-eth0): DHCP on eth0",
        ),
        // Of ifupdown the service alone is left.
        (
            &[
                NO_LINK,
                &[
                    ("/usr/sbin/dhcpcd", ""),
                    ("/usr/lib/systemd/system/dhcpcd.service", &dhcpcd_unit),
                ],
            ]
            .concat(),
            "/etc/systemd/system/multi-user.target.wants/dhcpcd.service",
            "dhcpcd (/usr/sbin/dhcpcd): DHCP on any",
        ),
    ];
    let guest = Carried::with(&[]);
    let before = guest.bytes();
    for (number, (files, at, by)) in cases.iter().enumerate() {
        guest.reset(&before);
        guest.change(files);
        let now = guest.bytes();
        let fallback = "--enable=net --set net.fallback=dhcp";
        let (is, why) = guest.told("audit --enable=net", "network");
        let hint = "no link comes up (--set net.fallback=dhcp has it ask for an address): ";
        assert!(is == "missing" && why.starts_with(hint), "{at}: {is}: {why}");
        assert_eq!(guest.told(&format!("audit {fallback}"), "network").0, "added", "{at}");
        if number == 0 {
            // The other modes put nothing in.
            for mode in ["report", "refuse"] {
                let words = format!("audit {fallback} --first-boot={mode}");
                assert_eq!(guest.told(&words, "network").0, "missing", "{mode}");
            }
            let (_, error) = guest.run(&format!("seal {fallback} --first-boot=refuse"), 1);
            assert!(error.contains("at first boot (network: no link comes up"), "{error}");
            assert!(guest.bytes() == now);
            // Nothing that is taken away is missed.
            let (text, error) = guest.run("seal", 0);
            assert!(text.contains("\n  network        MISSING: ") && error.is_empty(), "{text}");
            assert!(guest.cat(at) == before_of(&now, &guest, at));
            guest.reset(&now);
        }
        let (text, _) = guest.run(&format!("seal {fallback}"), 0);
        assert!(text.contains("  ADDED: DHCP on every Ethernet interface\n"), "{at}: {text}");
        e2fsck_clean(&guest.image);
        judge(&guest, at);
        let sealed = guest.bytes();
        let command = if number == 0 { "seal" } else { "audit" };
        let words = format!("{command} --enable=net");
        for words in [&words, &format!("{words} --set net.fallback=dhcp --first-boot=refuse")] {
            let (text, _) = guest.run(words, 0);
            assert!(text.contains(&format!("  {by}")), "{at}: {by} is not in {text}");
            assert!(guest.bytes() == sealed, "{at}: {words} changes what is sealed");
        }
    }
}

/// A file's content in an image that was.
fn before_of(bytes: &[u8], guest: &Carried, at: &str) -> String {
    let sealed = guest.bytes();
    guest.reset(bytes);
    let text = guest.cat(at);
    guest.reset(&sealed);
    text
}

/// Has the tool that reads what was written judge it, where it is at hand.
fn judge(guest: &Carried, at: &str) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join(at.trim_start_matches('/'));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if at.ends_with(".service") {
        assert!(
            guest.asked("stat", at).contains("Fast link dest: \"/usr/lib/systemd/system/dhcpcd")
        );
        return;
    }
    let text = guest.cat(at);
    fs::write(&file, &text).unwrap();
    let secret = at.contains("netplan") || at.ends_with("nmconnection");
    let mode = if secret { "Mode:  0600" } else { "Mode:  0644" };
    let stat = guest.asked("stat", at);
    assert!(stat.contains(mode) && stat.contains("User:     0   Group:     0"), "{at}: {stat}");
    match at {
        "/etc/netplan/95-sysprep-dhcp.yaml" => {
            network_tools::netplan_generates(place.path());
            let made = "run/systemd/network/10-netplan-sysprep-dhcp.network";
            let made = fs::read_to_string(place.path().join(made)).unwrap();
            assert!(made.contains("Name=e*\n") && made.contains("DHCP=yes\n"), "{made}");
        }
        "/etc/network/interfaces" => {
            network_tools::interfaces(&file, false);
            let state = place.path().join("state");
            let commands = network_tools::commands(&file, &state, "ens3=sysprep");
            let clients = ["dhclient", "udhcpc", "dhcpcd", "client software"];
            assert!(clients.iter().any(|it| commands.contains(it)), "{commands}");
        }
        _ => assert!(text.contains("DHCP on every Ethernet interface"), "{at}: {text}"),
    }
}

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
