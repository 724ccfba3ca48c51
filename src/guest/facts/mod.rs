//! What a guest is: read off its files, nothing run.

mod architecture;
mod release;
mod settings;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::accounts::{self, Account};
use super::{GuestError, Tree};
use crate::fs::Kind;
use crate::path::{GuestPath, escape};
use release::Release;

/// The longest configuration file read; real ones have a few KiB.
const MAX_CONFIG: u64 = 256 * 1024;

/// The longest account file read: 100,000 accounts of 160 bytes.
const MAX_PASSWD: u64 = 16 * 1024 * 1024;

/// How many kernels are listed.
const MAX_KERNELS: usize = 64;

/// Which family of systems a guest belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Linux.
    Linux,
    /// FreeBSD, OpenBSD, NetBSD, DragonFly.
    Bsd,
    /// Windows.
    Windows,
    /// None of these.
    #[default]
    Unknown,
}

/// The package manager, by its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packages {
    /// Debian's and Ubuntu's.
    Dpkg,
    /// Red Hat's, SUSE's and their relatives'.
    Rpm,
    /// Alpine's.
    Apk,
    /// Arch's.
    Pacman,
    /// Gentoo's.
    Portage,
    /// FreeBSD's.
    Pkg,
}

/// The first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC, whichever program is process 1.
    Openrc,
    /// System V init.
    Sysvinit,
    /// Upstart.
    Upstart,
    /// runit.
    Runit,
    /// BusyBox's init, without OpenRC.
    Busybox,
    /// A BSD's own.
    Bsd,
}

/// The state of `/etc/machine-id` (machine-id(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineId {
    /// There is no such file.
    #[default]
    Absent,
    /// Empty: made anew at each boot, or at the next where it can be written.
    Empty,
    /// `uninitialized`: the next boot is a first boot.
    Uninitialized,
    /// It holds an id.
    Set,
}

/// What `/etc/selinux/config` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelinuxMode {
    /// The policy is enforced.
    Enforcing,
    /// Breaches are logged.
    Permissive,
    /// Off.
    Disabled,
}

/// What a guest is. What the guest does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The family.
    pub family: Family,
    /// The distribution, as os-release's `ID` writes it: `debian`, `rhel`, `opensuse-leap`.
    pub distro: Option<String>,
    /// Which distributions it is like, nearest first (`ID_LIKE`).
    pub like: Vec<String>,
    /// Its version (`VERSION_ID`).
    pub version: Option<String>,
    /// Its name for people (`PRETTY_NAME`).
    pub name: Option<String>,
    /// The host name it gives itself.
    pub hostname: Option<String>,
    /// The machine it runs on, as `uname -m` prints it.
    pub architecture: Option<String>,
    /// The package manager.
    pub package_manager: Option<Packages>,
    /// The first process.
    pub init: Option<Init>,
    /// Versions of installed kernels, sorted.
    pub kernels: Vec<String>,
    /// cloud-init is installed.
    pub cloud_init: bool,
    /// The state of the machine id.
    pub machine_id: MachineId,
    /// What SELinux is set to.
    pub selinux: Option<SelinuxMode>,
}

/// Reads facts off a tree. What cannot be read is noted and passed over: facts never fail.
pub(super) struct Reader<'a> {
    tree: &'a Tree,
    notes: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(tree: &'a Tree, notes: &'a mut Vec<String>) -> Self {
        Self { tree, notes }
    }

    /// The accounts.
    pub(super) fn accounts(&mut self) -> Vec<Account> {
        self.content("/etc/passwd", MAX_PASSWD)
            .map(|text| accounts::parse(&text))
            .unwrap_or_default()
    }

    /// The facts.
    pub(super) fn facts(&mut self) -> Facts {
        let release = self.release().unwrap_or_default();
        Facts {
            family: self.family(&release),
            hostname: self.hostname(),
            architecture: self.architecture(),
            package_manager: self.packages(),
            init: self.init(),
            kernels: self.kernels(),
            cloud_init: [
                "/usr/bin/cloud-init",
                "/usr/local/bin/cloud-init",
                "/usr/lib/systemd/system/cloud-init.service",
                "/lib/systemd/system/cloud-init.service",
                "/etc/init.d/cloud-init",
            ]
            .iter()
            .any(|path| self.is_there(path)),
            machine_id: self.machine_id(),
            selinux: self
                .config("/etc/selinux/config")
                .and_then(|text| settings::selinux_mode(&text)),
            distro: release.id,
            like: release.like,
            version: release.version,
            name: release.name,
        }
    }

    fn note(&mut self, error: &GuestError) {
        self.notes.push(format!("facts: {error}"));
    }

    /// The content of a regular file that is not longer than `limit` bytes.
    fn content(&mut self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let path: GuestPath = path.parse().ok()?;
        match self.tree.read(&path, limit) {
            Ok(content) => content,
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    fn config(&mut self, path: &str) -> Option<Vec<u8>> {
        self.content(path, MAX_CONFIG)
    }

    /// What a path leads to, symlinks followed.
    fn kind(&mut self, path: &str) -> Option<Kind> {
        let path: GuestPath = path.parse().ok()?;
        match self.tree.follow(&path) {
            Ok(place) => place?.stat().ok().map(|stat| stat.kind),
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    /// Whether there is something at a path; a symlink that leads nowhere counts.
    fn is_there(&self, path: &str) -> bool {
        path.parse().is_ok_and(|path| matches!(self.tree.locate(&path), Ok(Some(_))))
    }

    fn is_dir(&mut self, path: &str) -> bool {
        self.kind(path) == Some(Kind::Directory)
    }

    fn is_file(&mut self, path: &str) -> bool {
        self.kind(path) == Some(Kind::File)
    }

    fn release(&mut self) -> Option<Release> {
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            if let Some(text) = self.config(path) {
                let mut release = Release::from_os_release(&text);
                if release.version.is_none() && release.id.as_deref() == Some("debian") {
                    // Testing and unstable have no VERSION_ID.
                    release.version = self
                        .config("/etc/debian_version")
                        .and_then(|text| settings::first_line(&text));
                }
                if release.id.is_some() || release.name.is_some() {
                    return Some(release);
                }
            }
        }
        for (path, parse) in release::OLDER {
            if let Some(release) = self.config(path).and_then(|text| parse(&text)) {
                return Some(release);
            }
        }
        None
    }

    fn family(&mut self, release: &Release) -> Family {
        const BSDS: &[&str] = &["freebsd", "openbsd", "netbsd", "dragonfly"];
        let named = |id: &str| BSDS.contains(&id);
        if release.id.as_deref().is_some_and(named) || release.like.iter().any(|id| named(id)) {
            return Family::Bsd;
        }
        if release.id.is_some() || release.name.is_some() || self.is_dir("/lib/modules") {
            return Family::Linux;
        }
        if self.is_file("/bsd") || self.is_file("/netbsd") || self.is_file("/boot/kernel/kernel") {
            return Family::Bsd;
        }
        // What is left has an fstab or accounts beside a userland.
        Family::Linux
    }

    fn hostname(&mut self) -> Option<String> {
        for (path, parse) in settings::HOSTNAMES {
            if let Some(name) = self.config(path).and_then(|text| parse(&text)) {
                return Some(name);
            }
        }
        None
    }

    fn architecture(&mut self) -> Option<String> {
        for path in architecture::PROGRAMS {
            let Ok(path) = path.parse::<GuestPath>() else { continue };
            let Ok(Some(place)) = self.tree.follow(&path) else { continue };
            if !place.stat().is_ok_and(|stat| stat.kind == Kind::File) {
                continue;
            }
            let mut header = [0; architecture::HEADER];
            if let Ok(read) = place.fs().read_at(place.node, 0, &mut header)
                && let Some(name) = architecture::parse(header.get(..read)?)
            {
                return Some(name.to_owned());
            }
        }
        None
    }

    fn packages(&mut self) -> Option<Packages> {
        [
            (Packages::Dpkg, ["/var/lib/dpkg/status"].as_slice()),
            (
                Packages::Rpm,
                &[
                    "/var/lib/rpm/Packages",
                    "/var/lib/rpm/rpmdb.sqlite",
                    "/var/lib/rpm/Packages.db",
                    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
                    "/usr/lib/sysimage/rpm/Packages.db",
                    "/usr/share/rpm/rpmdb.sqlite",
                ],
            ),
            (Packages::Apk, &["/lib/apk/db/installed", "/usr/lib/apk/db/installed"]),
            (Packages::Pacman, &["/var/lib/pacman/local"]),
            (Packages::Pkg, &["/var/db/pkg/local.sqlite"]),
            (Packages::Portage, &["/var/db/pkg"]),
            // A database directory that is still empty.
            (Packages::Rpm, &["/var/lib/rpm", "/usr/lib/sysimage/rpm"]),
        ]
        .into_iter()
        .find(|(_, paths)| paths.iter().any(|path| self.kind(path).is_some()))
        .map(|(packages, _)| packages)
    }

    /// The name of the program at `/sbin/init`, and what a symlink there leads to.
    fn init_program(&self) -> (bool, String) {
        let Ok(path) = "/sbin/init".parse::<GuestPath>() else { return (false, String::new()) };
        match self.tree.locate(&path) {
            Ok(Some(place)) => (true, escape(&place.link_target().unwrap_or_default())),
            _ => (false, String::new()),
        }
    }

    fn init(&mut self) -> Option<Init> {
        let (there, target) = self.init_program();
        if target.contains("systemd") {
            return Some(Init::Systemd);
        }
        if target.contains("runit") {
            return Some(Init::Runit);
        }
        if target.contains("openrc")
            || ["/sbin/openrc", "/usr/bin/openrc", "/sbin/openrc-run"]
                .iter()
                .any(|path| self.is_there(path))
        {
            return Some(Init::Openrc);
        }
        if target.contains("busybox") {
            return Some(Init::Busybox);
        }
        if there && self.is_file("/sbin/initctl") && self.is_dir("/etc/init") {
            return Some(Init::Upstart);
        }
        if there && self.is_file("/etc/inittab") {
            return Some(Init::Sysvinit);
        }
        // The directory alone says nothing: Debian's packages bring services for runit along.
        if self.is_file("/etc/runit/2") {
            return Some(Init::Runit);
        }
        // NixOS has programs in its store alone.
        let systemd = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/NIXOS"];
        if systemd.iter().any(|path| self.is_file(path)) {
            return Some(Init::Systemd);
        }
        if there && self.is_dir("/etc/rc.d") && self.is_file("/etc/rc") {
            return Some(Init::Bsd);
        }
        (there && self.is_dir("/etc/init.d")).then_some(Init::Sysvinit)
    }

    fn kernels(&mut self) -> Vec<String> {
        let mut kernels = BTreeSet::new();
        for (path, kind, prefix) in [
            ("/boot", Kind::File, &b"vmlinuz-"[..]),
            ("/boot", Kind::File, b"vmlinux-"),
            ("/lib/modules", Kind::Directory, b""),
        ] {
            let Ok(path) = path.parse::<GuestPath>() else { continue };
            let Ok(Some(dir)) = self.tree.follow(&path) else { continue };
            let read = self.tree.entries(&dir, &mut |entry| {
                if let Some(version) = entry.name.strip_prefix(prefix) {
                    // A rescue image is named for the machine, and Alpine's image for its flavour.
                    let is_version = version.first().is_some_and(u8::is_ascii_digit)
                        && !version.starts_with(b"0-rescue-");
                    if entry.kind == kind && is_version && kernels.len() < MAX_KERNELS {
                        kernels.insert(escape(version));
                    }
                }
                ControlFlow::Continue(())
            });
            if let Err(error) = read {
                self.note(&error);
            }
        }
        kernels.into_iter().collect()
    }

    fn machine_id(&mut self) -> MachineId {
        match self.config("/etc/machine-id").as_deref().map(<[u8]>::trim_ascii) {
            None => MachineId::Absent,
            Some(b"") => MachineId::Empty,
            Some(b"uninitialized") => MachineId::Uninitialized,
            Some(_) => MachineId::Set,
        }
    }
}
