//! What of a guest starts at boot: beside what systemctl and systemd say of the same files.

mod families;
mod hostile;
mod presets;
mod random;
mod real;
mod scripts;
mod walk;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sysprep_rs::fs::directory::Directory;
use sysprep_rs::guest::Tree;
use sysprep_rs::guest::boot::{UnitState, Units};
use sysprep_rs::volume::VolumeId;
use tempfile::TempDir;

use crate::support::oracle;

/// Where packages put units.
const LIB: &str = "/usr/lib/systemd/system";
/// Where an administrator does.
const ETC: &str = "/etc/systemd/system";

/// A guest's files in a directory of the host, so that its systemctl can look at them too.
struct GuestDir(TempDir);

impl GuestDir {
    /// A guest with a merged /usr, a machine id, and nothing else.
    fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        dir.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file(format!("{LIB}/.keep"), "")
            .file(format!("{ETC}/.keep"), "")
            .link("/lib", "usr/lib")
    }

    /// The units that every systemd brings and on which others hang.
    fn systemd() -> Self {
        Self::new()
            .unit("multi-user.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n")
            .unit("graphical.target", "[Unit]\nRequires=multi-user.target\n")
            .unit("basic.target", "[Unit]\nRequires=sysinit.target\nWants=sockets.target timers.target paths.target\n")
            .unit("sysinit.target", "[Unit]\nWants=local-fs.target swap.target\n")
            .unit("rescue.target", "[Unit]\nRequires=sysinit.target\n")
            .unit("local-fs.target", "[Unit]\nDefaultDependencies=no\n")
            .unit("remote-fs.target", "[Install]\nWantedBy=multi-user.target\n")
            .unit("swap.target", "")
            .unit("sockets.target", "[Unit]\n")
            .unit("timers.target", "[Unit]\n")
            .unit("paths.target", "[Unit]\n")
            .unit("dbus.socket", "[Socket]\nListenStream=/run/dbus/system_bus_socket\n")
            .link(format!("{LIB}/default.target"), "multi-user.target")
    }

    fn host(&self, path: impl AsRef<str>) -> PathBuf {
        self.0.path().join(path.as_ref().trim_start_matches('/'))
    }

    fn file(self, path: impl AsRef<str>, text: impl AsRef<[u8]>) -> Self {
        let host = self.host(path);
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        fs::write(host, text).unwrap();
        self
    }

    fn script(self, path: impl AsRef<str>) -> Self {
        let host = self.host(&path);
        let dir = self.file(path, "#!/bin/sh\n");
        fs::set_permissions(host, fs::Permissions::from_mode(0o755)).unwrap();
        dir
    }

    fn link(self, path: impl AsRef<str>, target: impl AsRef<str>) -> Self {
        let host = self.host(path);
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        symlink(target.as_ref(), host).unwrap();
        self
    }

    fn dir(self, path: impl AsRef<str>) -> Self {
        fs::create_dir_all(self.host(path)).unwrap();
        self
    }

    /// A unit of a package. An empty text would mask it.
    fn unit(self, name: &str, text: &str) -> Self {
        self.file(format!("{LIB}/{name}"), if text.is_empty() { "[Unit]\n" } else { text })
    }

    /// What `systemctl enable` makes of a `WantedBy=`.
    fn wanted(self, target: &str, unit: &str) -> Self {
        self.link(format!("{ETC}/{target}.wants/{unit}"), format!("{LIB}/{unit}"))
    }

    fn tree(&self) -> Tree {
        tree(self.0.path())
    }

    /// Holds the state of every unit against systemctl's.
    #[track_caller]
    fn agrees(&self) {
        let (wanted, found) = (systemctl_states(self.0.path()), our_states(&self.tree()));
        assert_eq!(found, wanted);
    }

    /// The way to the unit that is started, `-` in front of what only something later starts; or
    /// why there is none.
    fn way(&self, pattern: &str) -> String {
        let tree = self.tree();
        let units = Units::new(&tree).unwrap();
        let boot = units.boot().unwrap();
        match boot.starts(pattern).unwrap() {
            Some(found) => {
                let mut way = found.way.join(" ");
                if let Some(by) = &found.on_demand {
                    way = way.replacen(&format!("{by} "), &format!("{by} -"), 1);
                }
                for condition in &found.conditions {
                    way += &format!(" [{condition}]");
                }
                way
            }
            None => format!("{:?}", units.why_not(&boot, pattern).unwrap()),
        }
    }
}

fn tree(path: &Path) -> Tree {
    Tree::single(VolumeId("directory".into()), Arc::new(Directory::open(path).unwrap()))
}

/// `NAME STATE`, a line each, sorted.
fn our_states(tree: &Tree) -> Vec<String> {
    let units = Units::new(tree).unwrap();
    let state = |name: &String| match units.state(name).unwrap() {
        // A list of unit files has them all.
        UnitState::NotFound => UnitState::Bad,
        state => state,
    };
    units.all().iter().map(|name| format!("{name} {}", state(name))).collect()
}

fn systemctl_states(root: &Path) -> Vec<String> {
    let root = format!("--root={}", root.display());
    let words = [&root, "list-unit-files", "--no-legend", "--no-pager", "--full", "--plain"];
    // It fails where there is none.
    let output = oracle::run("systemctl", "systemd", &words);
    listed(&String::from_utf8(output.stdout).unwrap())
}

fn listed(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}
