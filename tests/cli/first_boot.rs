//! What a clone needs at its first boot, as a user meets it: `--first-boot`, `--require-way-in`, and
//! the parameters of what comes back, on the carried Debian with its real units.

mod machine_id;
mod network;
mod way_in;

use std::fs;

use serde_json::{Value, json};

use super::Place;
use super::carried::{Carried, ROOT};
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
        ("audit --allow-secrets list", "--secrets is missing; --help says what for".into()),
        ("seal --require-way-in --require-way-in", "--require-way-in is given more than once".into()),
        ("seal --plan a --plan b", "--plan is given more than once".into()),
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
