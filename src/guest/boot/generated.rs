//! Units that generators make at boot of a guest's own files: of `/etc/fstab`
//! (systemd-fstab-generator(8)), of `/etc/rc.local` (systemd-rc-local-generator(8)), and of SysV
//! scripts (systemd-sysv-generator(8)).

use std::collections::{BTreeMap, BTreeSet};

use super::name::{Name, escape_path};
use super::store::Store;
use super::unit_file::Settings;
use crate::fs::Kind;
use crate::guest::GuestError;
use crate::guest::fstab;
use crate::path::GuestPath;

/// The longest `/etc/fstab`.
const MAX_FSTAB: u64 = 1 << 20;

/// Filesystems that are mounted with the network (systemd's `fstype_is_network`).
const NETWORK: [&[u8]; 14] = [
    b"afs",
    b"ceph",
    b"cifs",
    b"smb3",
    b"smbfs",
    b"sshfs",
    b"ncpfs",
    b"ncp",
    b"nfs",
    b"nfs4",
    b"gfs",
    b"gfs2",
    b"glusterfs",
    b"pvfs2",
];

/// The runlevels that start scripts, with the target that stands for each.
const RUNLEVELS: [(&str, &str); 5] = [
    ("rc1.d", "rescue.target"),
    ("rc2.d", "multi-user.target"),
    ("rc3.d", "multi-user.target"),
    ("rc4.d", "multi-user.target"),
    ("rc5.d", "graphical.target"),
];

/// A unit that a generator makes.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    pub(super) name: String,
    /// What it is made from.
    pub(super) source: GuestPath,
    pub(super) settings: Settings,
}

/// What generators make.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) units: Vec<Generated>,
    /// The directory of each link, such as `local-fs.target.requires`, and the unit.
    pub(super) links: BTreeSet<(String, String)>,
}

/// Generators whose work is done here, or whose inputs are no files of the guest: the kernel's
/// command line, the partition table, the machine.
const UNDERSTOOD: [&str; 18] = [
    "systemd-fstab-generator",
    "systemd-rc-local-generator",
    "systemd-sysv-generator",
    // Reported by what reads cloud-init.
    "cloud-init-generator",
    "systemd-bless-boot-generator",
    "systemd-debug-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-veritysetup-generator",
    "systemd-cryptsetup-generator",
    "systemd-integritysetup-generator",
    "systemd-tpm2-generator",
    "systemd-ssh-generator",
    "systemd-import-generator",
    "systemd-factory-reset-generator",
];

const GENERATORS: [&str; 4] = [
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];

/// Whether a guest has a generator and does not mask it.
fn has(store: &Store<'_>, generator: &str) -> Result<bool, GuestError> {
    for dir in GENERATORS {
        let Ok(dir) = GuestPath::from_bytes(dir.as_bytes()) else { continue };
        let path = dir.join(generator.as_bytes());
        if store.files.locate(&path)?.is_some() {
            return Ok(!store.masks(&path)?);
        }
    }
    Ok(false)
}

/// The generators of a guest of which nothing is known here, so that there may be units and links
/// that its files do not show.
pub(super) fn others(store: &Store<'_>) -> Result<Vec<String>, GuestError> {
    let mut names = BTreeSet::new();
    for dir in GENERATORS {
        let Ok(dir) = GuestPath::from_bytes(dir.as_bytes()) else { continue };
        names.extend(store.names(&dir)?.into_iter().map(|(name, _)| name));
    }
    let mut others = Vec::new();
    for name in names {
        let Ok(name) = String::from_utf8(name) else { continue };
        if !UNDERSTOOD.contains(&name.as_str()) && has(store, &name)? {
            others.push(name);
        }
    }
    Ok(others)
}

/// The link that `/etc/rc.local` brings.
pub(super) fn from_rc_local(store: &Store<'_>) -> Result<Made, GuestError> {
    let mut made = Made::default();
    let script = GuestPath::root().join(b"etc").join(b"rc.local");
    let runs = store
        .files
        .follow(&script)?
        .is_some_and(|it| it.kind == Kind::File && it.mode & 0o111 != 0);
    if runs && has(store, "systemd-rc-local-generator")? {
        made.links.insert(("multi-user.target.wants".into(), "rc-local.service".into()));
    }
    Ok(made)
}

/// The mount units of `/etc/fstab`.
pub(super) fn from_fstab(store: &Store<'_>) -> Result<Made, GuestError> {
    let mut made = Made::default();
    let source = GuestPath::root().join(b"etc").join(b"fstab");
    if !has(store, "systemd-fstab-generator")? {
        return Ok(made);
    }
    made.links.insert(("local-fs.target.wants".into(), "systemd-remount-fs.service".into()));
    let Some(text) = store.text(&source, MAX_FSTAB)? else { return Ok(made) };
    let (lines, cut) = fstab::parse(&text);
    if cut {
        store.note(&source, "its lines past the first are not looked at: too many");
    }
    for line in lines {
        if let Ok(at) = GuestPath::from_bytes(&line.at)
            && line.kind != b"swap"
        {
            add_mount(&line, &at, &source, &mut made);
        }
    }
    Ok(made)
}

fn add_mount(line: &fstab::Line, at: &GuestPath, source: &GuestPath, made: &mut Made) {
    let escaped = escape_path(at);
    let name = format!("{escaped}.mount");
    if Name::parse(&name).is_none() {
        return;
    }
    let has = |option: &str| line.options.iter().any(|it| it == option.as_bytes());
    let values = |option: &str| -> Vec<&str> {
        let texts = line.options.iter().filter_map(|it| std::str::from_utf8(it).ok());
        texts.filter_map(|it| it.strip_prefix(option)).collect()
    };
    let remote = NETWORK.contains(&line.kind.as_slice()) || has("_netdev");
    let target = if remote { "remote-fs.target" } else { "local-fs.target" };
    let how = if has("nofail") { "wants" } else { "requires" };
    let mut settings = Settings::default();
    for unit in values("x-systemd.requires=") {
        settings.push("Unit", "Requires", unit);
    }
    for unit in values("x-systemd.wants=") {
        settings.push("Unit", "Wants", unit);
    }
    if has("x-systemd.growfs") {
        let grow = match at.is_root() {
            true => "systemd-growfs-root.service".into(),
            false => format!("systemd-growfs@{escaped}.service"),
        };
        settings.push("Unit", "Wants", &grow);
    }
    let (wanted, required) = (values("x-systemd.wanted-by="), values("x-systemd.required-by="));
    if has("x-systemd.automount") {
        let automount = format!("{escaped}.automount");
        made.links.insert((format!("{target}.{how}"), automount.clone()));
        made.units.push(Generated {
            name: automount,
            source: source.clone(),
            settings: Settings::default(),
        });
    } else if !wanted.is_empty() || !required.is_empty() {
        made.links.extend(wanted.iter().map(|it| (format!("{it}.wants"), name.clone())));
        made.links.extend(required.iter().map(|it| (format!("{it}.requires"), name.clone())));
    } else if !has("noauto") {
        made.links.insert((format!("{target}.{how}"), name.clone()));
    }
    made.units.push(Generated { name, source: source.clone(), settings });
}

/// The services of SysV scripts that have no unit of their own. `native` tells whether a name has
/// one.
pub(super) fn from_sysv(
    store: &Store<'_>,
    native: impl Fn(&str) -> bool,
) -> Result<Made, GuestError> {
    let mut made = Made::default();
    if !has(store, "systemd-sysv-generator")? {
        return Ok(made);
    }
    let root = GuestPath::root().join(b"etc");
    let scripts = root.join(b"init.d");
    let mut units: BTreeMap<String, Generated> = BTreeMap::new();
    for (script, _) in store.names(&scripts)? {
        let path = scripts.join(&script);
        let Some(found) = store.files.follow(&path)? else { continue };
        if found.kind != Kind::File || found.mode & 0o100 == 0 {
            continue;
        }
        let Some(name) = service(&script) else { continue };
        if native(&name) || units.contains_key(&name) {
            continue;
        }
        let settings = Settings::default();
        units.insert(name.clone(), Generated { name, source: path, settings });
    }
    for (dir, target) in RUNLEVELS {
        for (link, _) in store.names(&root.join(dir.as_bytes()))? {
            let [b'S', b'0'..=b'9', b'0'..=b'9', script @ ..] = link.as_slice() else { continue };
            if let Some(name) = service(script).filter(|name| units.contains_key(name)) {
                made.links.insert((format!("{target}.wants"), name));
            }
        }
    }
    made.units = units.into_values().collect();
    Ok(made)
}

/// The name of the service that a script becomes.
fn service(script: &[u8]) -> Option<String> {
    let script = std::str::from_utf8(script).ok()?;
    let stem = script.strip_suffix(".sh").unwrap_or(script);
    let name =
        if Name::parse(stem).is_some() { stem.to_owned() } else { format!("{stem}.service") };
    Name::parse(&name).is_some().then_some(name)
}
