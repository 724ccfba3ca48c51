//! cloud-init's seed in a guest.

use sysprep_rs::operation::Operation;

use super::sample::{Sample, embedded, with_steps};
use super::steps::{changes, content, refusals, sealed};

const GUEST: &str = "/usr/bin/cloud-init = \"\"\n\
    /usr/lib/systemd/systemd = \"\"\n\
    /sbin/init -> /usr/lib/systemd/systemd\n\
    /usr/lib/systemd/system/cloud-init.service = \"[Unit]\\n\"\n\
    /usr/lib/systemd/system/cloud-init.target = \"[Unit]\\n\"\n\
    /etc/systemd/system/cloud-init.target.wants/cloud-init.service -> /usr/lib/systemd/system/cloud-init.service\n\
    /usr/lib/systemd/system-generators/cloud-init-generator 0755 = \"#!/bin/sh\\n\"\n\
    /usr/lib/cloud-init/ds-identify 0755 = \"#!/bin/sh\\n\"\n\
    /etc/cloud/cloud.cfg = \"datasource_list: [ Ec2 ]\\n\"\n\
    /etc/cloud/cloud.cfg.d/90_dpkg.cfg = \"datasource_list: [ Azure, None ]\\n\"\n\
    /var/lib/cloud/\n";
const FOLDER: &str = "/var/lib/cloud/seed/nocloud";
const LIST: &str = "/etc/cloud/cloud.cfg.d/zz-sysprep-rs-seed.cfg";
const STEP: &str = "  - seed: { user-data: \"#cloud-config\\nruncmd: [ls]\\n\" }\n";

#[test]
fn a_seed_stands_where_nocloud_looks_for_it() {
    let steps = "
  - seed:
      user-data: |
        #!/bin/sh
        echo {hello}
      meta-data: 'instance-id: i-1'
      vendor-data: ''
";
    let (plan, mut sample) = sealed(Sample::new(GUEST), &with_steps(steps));
    let wanted = [
        format!("{LIST} file"),
        "/var/lib/cloud/seed directory".to_owned(),
        format!("{FOLDER} directory"),
        format!("{FOLDER}/meta-data file"),
        format!("{FOLDER}/user-data file"),
        format!("{FOLDER}/vendor-data file"),
    ];
    assert_eq!(changes(&plan), wanted);
    assert_eq!(refusals(&plan), [""; 0]);
    assert_eq!(content(&mut sample, &format!("{FOLDER}/user-data")), "#!/bin/sh\necho {hello}\n");
    assert_eq!(content(&mut sample, &format!("{FOLDER}/meta-data")), "instance-id: i-1");
    assert!(content(&mut sample, LIST).ends_with("\ndatasource_list: [ NoCloud, None ]\n"));
    let tree = sample.tree("part1");
    for (path, mode) in [
        (FOLDER.to_owned(), 0o700),
        ("/var/lib/cloud/seed".to_owned(), 0o755),
        (format!("{FOLDER}/user-data"), 0o600),
        (format!("{FOLDER}/meta-data"), 0o600),
        (format!("{FOLDER}/vendor-data"), 0o600),
        (LIST.to_owned(), 0o644),
    ] {
        let stat = &tree[&path.parse().unwrap()];
        assert_eq!((stat.mode, stat.owner), (Some(mode), Some((0, 0))), "{path}");
    }
    // The next one is another whole: what it does not have goes.
    let (plan, sample) = sealed(sample, &with_steps(STEP));
    let wanted = [
        format!("{FOLDER}/meta-data update"),
        format!("{FOLDER}/user-data update"),
        format!("{FOLDER}/vendor-data remove"),
    ];
    assert_eq!(changes(&plan), wanted);
    drop(sample);
}

#[test]
fn a_seed_is_no_secret_of_reports_and_digests() {
    let secret = "sup3r-s3cret";
    let with = |word: &str| {
        let text = format!("#cloud-config\\npassword: {word}\\n");
        with_steps(&format!("  - seed: {{ user-data: \"{text}\" }}\n"))
    };
    let (one, other): (Operation, Operation) = (with(secret), with("another"));
    assert_eq!(one.digest, other.digest);
    for shown in [format!("{one:?}"), serde_json::to_string(&one.describe()).unwrap()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn seeding_comes_after_what_cleans_seeds() {
    let tree = format!(
        "{GUEST}/var/lib/cloud/data/instance-id = \"nocloud\\n\"\n{FOLDER}/user-data = \"old\"\n\
         {FOLDER}/network-config = \"old\"\n"
    );
    // By its name it would run first.
    let mut seeding = with_steps(STEP);
    seeding.name = "a-seed".into();
    let operations = [seeding, embedded("cloud-init-seed"), embedded("cloud-init-state")];
    let mut sample = Sample::new(&tree);
    let plan = sample.plan(&operations);
    assert_eq!(refusals(&plan), [""; 0]);
    sample.seal(&plan);
    assert_eq!(
        content(&mut sample, &format!("{FOLDER}/user-data")),
        "#cloud-config\nruncmd: [ls]\n"
    );
    assert_eq!(content(&mut sample, &format!("{FOLDER}/meta-data")), "{}\n");
    let files = sample.files("part1");
    assert!(
        !files.iter().any(|it| it.ends_with("network-config") || it.contains("/data/")),
        "{files:?}"
    );
    assert!(sample.plan(&operations[..1]).changes.is_empty());
}

#[test]
fn a_guest_that_would_not_read_a_seed_gets_none() {
    let network = "  - seed: { network-config: \"version: 2\\n\" }\n";
    for (tree, steps, part) in [
        ("/etc/cloud/ 0755", STEP, "/var/lib/cloud/seed/nocloud: cloud-init is not installed"),
        (
            "/etc/cloud/cloud-init.disabled = \"\"",
            STEP,
            "cloud-init.disabled: the file turns it off; the operation cloud-init-installer-pins",
        ),
        ("/etc/cloud/ds-identify.cfg = \"policy: disabled\\n\"", STEP, "keep cloud-init off"),
        (
            "/etc/cloud/ds-identify.cfg = \"datasource: Ec2\\n\"",
            STEP,
            "ds-identify.cfg: it has cloud-init look for Ec2",
        ),
        (
            "/etc/default/grub = \"A=1\\nGRUB_CMDLINE_LINUX='x cloud-init=disabled'\\n\"",
            STEP,
            "/etc/default/grub",
        ),
        (
            "/etc/cloud/cloud.cfg.d/zz-z.cfg = \"datasource_list: [Ec2]\\n\"",
            STEP,
            "zz-z.cfg: it has cloud-init look for Ec2",
        ),
        (
            "/etc/systemd/system/cloud-init.service -> /dev/null",
            STEP,
            "cloud-init.service is masked",
        ),
        (
            "/boot/loader/entries/a.conf = \"title a\\nlinux /vmlinuz\\noptions cloud-init=disabled\\n\"",
            STEP,
            "/boot/loader/entries/a.conf: the kernel's command line turns it off",
        ),
        (
            "/etc/cloud/cloud.cfg.d/99-net.cfg = \"network: {config: disabled}\\n\"",
            network,
            "goes before",
        ),
        (
            "/var/lib/cloud/data/instance-id = \"nocloud\\n\"",
            STEP,
            "has run here as the instance 'nocloud'",
        ),
        ("/var/lib/cloud/seed/nocloud = \"\"", STEP, "not a directory"),
    ] {
        let guest = if part.contains("not installed") { "" } else { GUEST };
        let (plan, _) = sealed(Sample::new(&format!("{guest}{tree}\n")), &with_steps(steps));
        let refused = refusals(&plan);
        assert!(refused.len() == 1 && refused[0].contains(part), "{tree}: {refused:?}");
        assert!(!changes(&plan).iter().any(|it| it.contains("user-data")), "{tree}");
    }
    // None of these stands in the way.
    for tree in [
        "/etc/cloud/ds-identify.cfg = \"policy: search,found=all,maybe=none,notfound=disabled\\n\"",
        "/etc/default/grub = \"# cloud-init=disabled\\n\"",
        "/etc/cloud/cloud.cfg.d/99-net.cfg = \"network: {config: disabled}\\n\"",
        "/etc/cloud/cloud.cfg.d/zz-z.cfg.off = \"datasource_list: [Ec2]\\n\"",
        "/var/lib/cloud/data/instance-id = \"i-0\\n\"",
    ] {
        let (plan, _) = sealed(Sample::new(&format!("{GUEST}{tree}\n")), &with_steps(STEP));
        assert_eq!(refusals(&plan), [""; 0], "{tree}");
        assert!(changes(&plan).contains(&format!("{FOLDER}/user-data file")), "{tree}");
    }
}

#[test]
fn a_seed_that_is_wrong_is_told_where_the_step_stands() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user-data");
    std::fs::write(&file, "#cloud-config\nusres: []\nruncmd: ls\n").unwrap();
    let place = file.display();
    for (step, line, column, part) in [
        (
            "- seed: { user-data: \"#cloud-config\\nrun-cmd: [ls]\\n\" }".to_owned(),
            7,
            22,
            "user-data:2:1: there is no key 'run-cmd'; did you mean 'runcmd'".to_owned(),
        ),
        (
            format!("- seed: {{ user-data-file: {place} }}"),
            7,
            27,
            format!("{place}:2:1: there is no"),
        ),
        (
            format!("- seed: {{ vendor-data-file: {place} }}"),
            7,
            29,
            format!("; {place}:3:9: runcmd"),
        ),
        (
            format!("- seed: {{ meta-data-file: {place}x }}"),
            7,
            27,
            format!("{place}x: no such file"),
        ),
        (
            format!("- seed: {{ user-data: '', user-data-file: {place} }}"),
            7,
            42,
            "'user-data' and 'user-data-file': give one".into(),
        ),
        ("- seed: { check: true }".into(), 7, 3, "give 'user-data'".into()),
    ] {
        let text = format!(
            "name: sample\nsummary: A sample\nwhy: To see.\nclass: log\ndefault: true\nsteps:\n{step}\n"
        );
        let error = Operation::from_yaml("f.yaml", &text).unwrap_err();
        let found = &error.problems[0];
        assert!(found.message.contains(&part), "{step}: {found:?}");
        assert_eq!((found.at.line, found.at.column), (line, column), "{step}: {found:?}");
    }
    let unchecked = format!("  - seed: {{ user-data-file: {place}, check: false }}\n");
    let (plan, _) = sealed(Sample::new(GUEST), &with_steps(&unchecked));
    assert!(changes(&plan).contains(&format!("{FOLDER}/user-data file")));
}

/// What a link leads to would become root's alone: here every account's `/etc`.
#[test]
fn a_seed_does_not_follow_a_link_in_place_of_its_directory() {
    let tree = format!("{GUEST}/etc/passwd = \"\"\n{FOLDER} -> /etc");
    let (plan, _) = sealed(Sample::new(&tree), &with_steps(STEP));
    assert_eq!(refusals(&plan), [format!("{FOLDER}: not a directory")]);
    assert!(changes(&plan).is_empty(), "{:?}", changes(&plan));
}
