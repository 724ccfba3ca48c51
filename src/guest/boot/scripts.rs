//! Which services other init systems start: OpenRC's runlevels, SysV's links, runit's directories,
//! BusyBox's scripts.

use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The longest `/etc/inittab`.
const MAX_INITTAB: u64 = 1 << 20;

/// How many runlevels of OpenRC are stacked on each other.
const MAX_STACKED: usize = 64;

fn path(text: &str) -> GuestPath {
    GuestPath::from_bytes(text.as_bytes()).unwrap_or_default()
}

/// Whether a name can be a service's: one name, that is.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\0'])
}

fn is_executable(files: &dyn Files, path: &GuestPath) -> Result<bool, GuestError> {
    Ok(files.follow(path)?.is_some_and(|it| it.kind == Kind::File && it.mode & 0o111 != 0))
}

/// The runlevel of OpenRC in which a script is started at boot: `sysinit`, `boot` or `default`, or
/// one stacked on these. A script that others only need, and that is in no runlevel, is not told.
///
/// # Errors
/// The guest cannot be read.
pub fn openrc_runlevel(files: &dyn Files, script: &str) -> Result<Option<String>, GuestError> {
    if !is_name(script) || !is_executable(files, &path("/etc/init.d").join(script.as_bytes()))? {
        return Ok(None);
    }
    let mut ahead: Vec<String> = ["default", "boot", "sysinit"].map(String::from).to_vec();
    let mut seen = Vec::new();
    while let Some(level) = ahead.pop() {
        if seen.contains(&level) || seen.len() == MAX_STACKED {
            continue;
        }
        let dir = path("/etc/runlevels").join(level.as_bytes());
        for (name, _) in files.names(&dir)? {
            let entry = dir.join(&name);
            let Some(found) = files.follow(&entry)? else { continue };
            if found.kind == Kind::Directory {
                // A runlevel stacked on this one.
                if let Ok(name) = String::from_utf8(name) {
                    ahead.push(name);
                }
            } else if name == script.as_bytes() {
                return Ok(Some(level));
            }
        }
        seen.push(level);
    }
    Ok(None)
}

/// The directory of links, such as `rc2.d`, by which SysV's init starts a script at boot: `rcS.d`, or
/// that of the runlevel that `/etc/inittab` makes the default.
///
/// # Errors
/// The guest cannot be read.
pub fn sysv_directory(files: &dyn Files, script: &str) -> Result<Option<String>, GuestError> {
    if !is_name(script) || !is_executable(files, &path("/etc/init.d").join(script.as_bytes()))? {
        return Ok(None);
    }
    let mut directories = vec!["rcS.d".to_owned()];
    directories.extend(default_runlevel(files)?.map(|level| format!("rc{level}.d")));
    for directory in directories {
        for parent in ["/etc", "/etc/rc.d", "/etc/init.d"] {
            let dir = path(parent).join(directory.as_bytes());
            for (name, _) in files.names(&dir)? {
                let [b'S', b'0'..=b'9', b'0'..=b'9', rest @ ..] = name.as_slice() else { continue };
                if rest == script.as_bytes() && is_executable(files, &dir.join(&name))? {
                    return Ok(Some(directory));
                }
            }
        }
    }
    // OpenWrt's init has one directory for all.
    let dir = path("/etc/rc.d");
    if files.follow(&path("/sbin/procd"))?.is_some() {
        for (name, _) in files.names(&dir)? {
            if name.get(3..) == Some(script.as_bytes())
                && name.starts_with(b"S")
                && is_executable(files, &dir.join(&name))?
            {
                return Ok(Some("rc.d".into()));
            }
        }
    }
    Ok(None)
}

/// The script in `/etc/init.d` by which BusyBox's init starts a service at boot, where its `rcS` runs
/// all of them in turn, as Buildroot's does: `S50sshd` of `sshd`.
///
/// # Errors
/// The guest cannot be read, or `rcS` is too long.
pub fn busybox_script(files: &dyn Files, service: &str) -> Result<Option<String>, GuestError> {
    let dir = path("/etc/init.d");
    let Some(all) = files.read(&dir.join(b"rcS"), MAX_INITTAB)? else { return Ok(None) };
    if !is_name(service) || !String::from_utf8_lossy(&all).contains("/etc/init.d/S") {
        return Ok(None);
    }
    for (name, _) in files.names(&dir)? {
        let [b'S', _, _, rest @ ..] = name.as_slice() else { continue };
        if rest == service.as_bytes() && is_executable(files, &dir.join(&name))? {
            return Ok(String::from_utf8(name).ok());
        }
    }
    Ok(None)
}

/// The default runlevel of `/etc/inittab` (inittab(5): the line whose action is `initdefault`).
///
/// # Errors
/// The guest cannot be read, or the file is too long.
pub fn default_runlevel(files: &dyn Files) -> Result<Option<char>, GuestError> {
    let Some(text) = files.read(&path("/etc/inittab"), MAX_INITTAB)? else { return Ok(None) };
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        let mut fields = line.split(|&byte| byte == b':');
        if line.starts_with(b"#") {
            continue;
        }
        if let (Some(_), Some([level @ (b'0'..=b'9' | b's' | b'S')]), Some(b"initdefault")) =
            (fields.next(), fields.next(), fields.next())
        {
            return Ok(Some(char::from(*level)));
        }
    }
    Ok(None)
}

/// The directory in which runit's `runsvdir` finds a service at boot. A service with a file `down`
/// is supervised and not started.
///
/// # Errors
/// The guest cannot be read.
pub fn runit_directory(files: &dyn Files, service: &str) -> Result<Option<GuestPath>, GuestError> {
    if !is_name(service) {
        return Ok(None);
    }
    for dir in [
        "/etc/runit/runsvdir/current",
        "/etc/runit/runsvdir/default",
        "/etc/service",
        "/var/service",
    ] {
        let entry = path(dir).join(service.as_bytes());
        if files.follow(&entry)?.is_some_and(|it| it.kind == Kind::Directory)
            && is_executable(files, &entry.join(b"run"))?
            && files.locate(&entry.join(b"down"))?.is_none()
        {
            return Ok(Some(path(dir)));
        }
    }
    Ok(None)
}
