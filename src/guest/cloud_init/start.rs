//! Whether cloud-init starts at the next boot: the kernel's command line, its own switch files, the
//! init system's links, and ds-identify.

use super::identify::{self, Verdict};
use super::kernel_line::{self, KernelLine};
use super::settings::Settings;
use super::text::{self, Odd};
use super::{Datasources, Runs};
use crate::fs::Kind;
use crate::guest::{Facts, Files, GuestError, Init};
use crate::path::GuestPath;

/// Where systemd looks for generators, the first of which counts.
const GENERATORS: &[&str] = &[
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];

/// The services of a stage that everything else depends on, by version.
const UNITS: &[&str] = &[
    "cloud-init-local.service",
    "cloud-init-main.service",
    "cloud-init-network.service",
    "cloud-init.service",
];

/// Where systemd's units are, the first of which counts.
const UNIT_FOLDERS: &[&str] =
    &["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// How many kernels that tell cloud-init different things are looked into.
const KERNELS: usize = 16;

/// What starts it, and what it would take its data from.
pub(super) struct Start {
    pub(super) runs: Runs,
    /// The datasources that ds-identify hands on.
    pub(super) takes: Option<Datasources>,
}

fn no(at: GuestPath, reason: impl Into<String>) -> Start {
    Start { runs: Runs::No { at, reason: reason.into() }, takes: None }
}

/// Whether it starts.
pub(super) fn read(
    files: &dyn Files,
    settings: &Settings,
    facts: &Facts,
    odd: &mut Odd,
) -> Result<Start, GuestError> {
    let kernels = kernel_line::read(files, odd)?;
    match facts.init {
        Some(Init::Systemd) => {}
        Some(Init::Openrc | Init::Busybox) => {
            if let Some(stop) = not_in_runlevels(files)? {
                return Ok(stop);
            }
        }
        Some(Init::Sysvinit | Init::Upstart) => return sysv(files),
        Some(Init::Bsd) => {
            let reason = "whether a BSD's rc.conf starts it was not looked into".to_owned();
            return Ok(Start {
                runs: Runs::NotKnown { at: text::path("/etc/rc.conf"), reason },
                takes: None,
            });
        }
        Some(Init::Runit) | None => {
            let reason = "what starts services in this guest is not known".to_owned();
            return Ok(Start {
                runs: Runs::NotKnown { at: text::path("/sbin/init"), reason },
                takes: None,
            });
        }
    }
    if facts.init == Some(Init::Systemd)
        && let Some(stop) = not_enabled(files)?
    {
        return Ok(stop);
    }
    let can_be_forced = can_be_forced(files, odd)?;
    let mut verdicts: Vec<Start> = Vec::new();
    let mut lines: Vec<Option<&KernelLine>> = Vec::new();
    for kernel in &kernels {
        if !lines.iter().flatten().any(|it| it.told().eq(kernel.told())) {
            lines.push(Some(kernel));
        }
    }
    if let Some(Some(beyond)) = lines.get(KERNELS) {
        let what = format!(
            "more than {KERNELS} kernels that tell cloud-init different things, and the rest was not looked into"
        );
        odd.push((beyond.path.clone(), what));
        lines.truncate(KERNELS);
    }
    if lines.is_empty() {
        lines.push(None);
    }
    for line in lines {
        let next = of_kernel(files, settings, facts, line, can_be_forced, odd)?;
        if !verdicts.iter().any(|it| it.runs == next.runs) {
            verdicts.push(next);
        }
    }
    // The entries of a boot loader may differ, and which of them boots is not known.
    let offs = verdicts.iter().filter(|it| matches!(it.runs, Runs::No { .. })).count();
    if offs > 0 && offs < verdicts.len() {
        let off = verdicts.into_iter().find_map(|it| match it.runs {
            Runs::No { at, reason } => Some((at, reason)),
            _ => None,
        });
        let (at, reason) = off.unwrap_or_default();
        let reason = format!("one of the kernels to boot has it off: {reason}");
        return Ok(Start { runs: Runs::NotKnown { at, reason }, takes: None });
    }
    let first = verdicts.into_iter().next();
    let runs = Runs::Yes;
    Ok(first.unwrap_or(Start { runs, takes: None }))
}

/// Whether the guest's version lets 'cloud-init=enabled' and cloud-init.enabled overrule
/// cloud-init.disabled: its generator looks for both (`etc_file`).
fn can_be_forced(files: &dyn Files, odd: &mut Odd) -> Result<bool, GuestError> {
    for folder in GENERATORS {
        let at = text::path(folder).join(b"cloud-init-generator");
        if let Some(code) = text::content(files, &at, odd)? {
            return Ok(code.windows(b"etc_file".len()).any(|it| it == b"etc_file"));
        }
    }
    Ok(false)
}

/// What the generator, or its like under OpenRC, decides for one kernel.
fn of_kernel(
    files: &dyn Files,
    settings: &Settings,
    facts: &Facts,
    kernel: Option<&KernelLine>,
    can_be_forced: bool,
    odd: &mut Odd,
) -> Result<Start, GuestError> {
    let disabled = text::path("/etc/cloud/cloud-init.disabled");
    let off_by_line = |line: &KernelLine| {
        no(line.path.clone(), "the kernel's command line turns it off ('cloud-init=disabled')")
    };
    let said = kernel.and_then(|it| it.value("cloud-init"));
    match kernel.filter(|it| it.arguments.iter().any(|it| it.contains("cloud-init=disabled"))) {
        Some(line) if !can_be_forced || said == Some("disabled") => return Ok(off_by_line(line)),
        _ => {}
    }
    let forced = can_be_forced
        && (said == Some("enabled")
            || text::is_file(files, &text::path("/etc/cloud/cloud-init.enabled"))?);
    if !forced && text::is_file(files, &disabled)? {
        return Ok(no(disabled, "the file turns it off"));
    }
    let architecture = facts.architecture.as_deref();
    let verdict = identify::verdict(files, &settings.texts, kernel, architecture, odd)?;
    let without = || {
        // cloud-init's own list ends with None, which a list of the settings may leave out.
        let list = settings.get("datasource_list").map(|it| it.texts());
        match list {
            Some(list) if !list.iter().any(|it| it == "None") => {
                Runs::WithSource(format!("it finds a datasource, {}", identify::listed(&list)))
            }
            _ => Runs::Yes,
        }
    };
    Ok(match verdict {
        Verdict::Absent | Verdict::On => Start { runs: without(), takes: None },
        Verdict::Off { at, reason } => no(at, reason),
        Verdict::Takes { names, at } => {
            let takes = Some(Datasources { names, at });
            Start { runs: Runs::Yes, takes }
        }
        Verdict::Search(list) => {
            let what =
                format!("ds-identify finds a datasource at boot, {}", identify::listed(&list));
            Start { runs: Runs::WithSource(what), takes: None }
        }
        Verdict::Unknown { at, reason } => {
            Start { runs: Runs::NotKnown { at, reason }, takes: None }
        }
    })
}

/// Whether a path is a link to nowhere, or an empty file, as systemd masks what it has.
fn is_masked(files: &dyn Files, at: &GuestPath) -> Result<bool, GuestError> {
    let Some(state) = files.locate(at)? else { return Ok(false) };
    Ok(match state.kind {
        Kind::Symlink => files.link_target(at)?.is_some_and(|it| it == b"/dev/null"),
        Kind::File => state.size == 0,
        _ => false,
    })
}

/// Why systemd would not start it, but for what the generator decides.
fn not_enabled(files: &dyn Files) -> Result<Option<Start>, GuestError> {
    for unit in ["cloud-init.target"].iter().chain(UNITS) {
        let at = text::path(UNIT_FOLDERS[0]).join(unit.as_bytes());
        if is_masked(files, &at)? {
            return Ok(Some(no(at, format!("{unit} is masked"))));
        }
    }
    let mut wanted = false;
    let mut pulled = false;
    let mut there = None;
    for folder in UNIT_FOLDERS {
        let folder = text::path(folder);
        for target in ["cloud-init.target.wants", "multi-user.target.wants"] {
            for unit in UNITS {
                let link = folder.join(target.as_bytes()).join(unit.as_bytes());
                wanted |= files.locate(&link)?.is_some();
            }
        }
        let link = folder.join(b"multi-user.target.wants").join(b"cloud-init.target");
        pulled |= files.locate(&link)?.is_some();
        for unit in UNITS {
            let unit = folder.join(unit.as_bytes());
            if there.is_none() && text::is_file(files, &unit)? {
                there = Some(unit);
            }
        }
    }
    let Some(there) = there else {
        let at = text::path("/usr/lib/systemd/system");
        return Ok(Some(no(at, "none of its services is there")));
    };
    if !wanted {
        // A first boot enables units by their presets.
        let id = text::path("/etc/machine-id");
        let preset = match files.read(&id, 1 << 10) {
            Ok(Some(id)) => id.trim_ascii() == b"uninitialized",
            Ok(None) => true,
            Err(_) => false,
        };
        let reason = "none of its services is enabled";
        return Ok(Some(match preset {
            true => Start {
                runs: Runs::NotKnown {
                    at: there,
                    reason: format!("{reason}, unless the presets of a first boot do"),
                },
                takes: None,
            },
            false => no(there, reason),
        }));
    }
    for folder in GENERATORS {
        let at = text::path(folder).join(b"cloud-init-generator");
        if is_masked(files, &at)? {
            break;
        }
        pulled |= text::is_file(files, &at)?;
        if pulled {
            break;
        }
    }
    match pulled {
        true => Ok(None),
        false => {
            let at = text::path("/usr/lib/systemd/system-generators");
            Ok(Some(no(at, "nothing brings cloud-init.target up: its generator is not there")))
        }
    }
}

fn not_in_runlevels(files: &dyn Files) -> Result<Option<Start>, GuestError> {
    let levels = text::path("/etc/runlevels");
    for (level, kind) in files.names(&levels)? {
        if kind != Kind::Directory {
            continue;
        }
        for name in ["cloud-init-local", "cloud-init", "cloud-init-network"] {
            if files.follow(&levels.join(&level).join(name.as_bytes()))?.is_some() {
                return Ok(None);
            }
        }
    }
    Ok(Some(no(levels, "none of its services is in a runlevel")))
}

/// The scripts of System V init start it by themselves, and ask neither switch files nor
/// ds-identify.
fn sysv(files: &dyn Files) -> Result<Start, GuestError> {
    for level in ["rcS.d", "rc2.d", "rc3.d", "rc4.d", "rc5.d"] {
        for base in ["/etc", "/etc/rc.d"] {
            let folder = text::path(base).join(level.as_bytes());
            for (name, _) in files.names(&folder)? {
                let starts = name.starts_with(b"S")
                    && name
                        .get(3..)
                        .is_some_and(|it| it == b"cloud-init" || it == b"cloud-init-local");
                if starts && files.follow(&folder.join(&name))?.is_some() {
                    return Ok(Start { runs: Runs::Yes, takes: None });
                }
            }
        }
    }
    Ok(no(text::path("/etc/init.d"), "none of its scripts is started in a runlevel"))
}
