//! The carried image's Debian as one ext4 filesystem, changed before it is looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sysprep_rs::fs::ext4::DRIVER;
use sysprep_rs::fs::{Kind, ReadFs};
use sysprep_rs::path::GuestPath;

use super::{Place, root_filesystem};
use crate::support::debugfs;
use crate::support::disk::Disk;
use crate::support::oracle::{e2fsck_clean, succeed};
use crate::support::snapshot::{Snapshot, of_fs};
use crate::support::spec::path;

/// What a file that goes has for its content.
pub(super) const GONE: &str = "\0gone";

/// A folder with the filesystem in it.
pub(super) struct Carried {
    pub(super) place: Place,
    pub(super) image: PathBuf,
}

/// The name of the filesystem's file.
pub(super) const ROOT: &str = "root.ext4";

impl Carried {
    /// The guest with these files, which are root's: a content, `-> target` for a symlink, or
    /// [`GONE`]; one that ends with a slash is a directory.
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let image = root_filesystem(&place, &place.image(), "qcow2");
        assert_eq!(image, place.path(ROOT));
        // Every run reads and writes it: no larger than it has to be.
        succeed("resize2fs", "e2fsprogs", &["-f", image.to_str().unwrap(), "32M"]);
        let carried = Self { place, image };
        carried.change(files);
        carried
    }

    /// Changes these files, too.
    pub(super) fn change(&self, files: &[(&str, &str)]) {
        if files.is_empty() {
            return;
        }
        let fs = (DRIVER.open)(Arc::new(Disk::from_file(&self.image))).unwrap();
        let mut made = BTreeSet::new();
        let hosts = self.place.path("files");
        fs::create_dir_all(&hosts).unwrap();
        let mut commands: Vec<Vec<u8>> = Vec::new();
        for (number, (at, content)) in files.iter().enumerate() {
            let at = path(at);
            let dir = at.parent().unwrap();
            make(&*fs, &dir, &mut made, &mut commands);
            commands.push(format!("cd \"{dir}\"").into_bytes());
            let name = String::from_utf8(at.name().unwrap().to_vec()).unwrap();
            if kind_at(&*fs, &at).is_some() {
                commands.push(format!("rm \"{name}\"").into_bytes());
            }
            if *content == GONE {
                continue;
            }
            if let Some(target) = content.strip_prefix("-> ") {
                commands.push(format!("symlink \"{name}\" \"{target}\"").into_bytes());
                continue;
            }
            let host = hosts.join(number.to_string());
            fs::write(&host, content).unwrap();
            commands.push(format!("write {} \"{name}\"", host.display()).into_bytes());
            // A program is not told from a text by what it holds here.
            let mode = if content.is_empty() { "0100755" } else { "0100644" };
            for (field, value) in [("mode", mode), ("uid", "0"), ("gid", "0")] {
                commands.push(format!("sif \"{name}\" {field} {value}").into_bytes());
            }
        }
        self.script(commands);
    }

    /// Has debugfs do this, and e2fsck find it clean.
    pub(super) fn script(&self, commands: Vec<Vec<u8>>) {
        debugfs::script(&self.image, true, &commands);
        e2fsck_clean(&self.image);
    }

    /// The tree as it is now.
    pub(super) fn tree(&self) -> Snapshot {
        tree(&self.image)
    }

    /// What debugfs says of a path.
    pub(super) fn asked(&self, what: &str, at: &str) -> String {
        let command = format!("{what} \"{at}\"");
        let words = ["-R", &command, self.image.to_str().unwrap()];
        String::from_utf8(succeed("debugfs", "e2fsprogs", &words)).unwrap()
    }

    /// A file's content.
    pub(super) fn cat(&self, at: &str) -> String {
        self.asked("cat", at)
    }

    /// Whether something is at a path.
    pub(super) fn has(&self, at: &str) -> bool {
        let fs = (DRIVER.open)(Arc::new(Disk::from_file(&self.image))).unwrap();
        kind_at(&*fs, &path(at)).is_some()
    }

    /// Puts an image back.
    pub(super) fn reset(&self, bytes: &[u8]) {
        fs::write(&self.image, bytes).unwrap();
    }

    /// The image's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }
}

/// The tree of an ext4 filesystem in a file.
pub(super) fn tree(image: &Path) -> Snapshot {
    of_fs(&*(DRIVER.open)(Arc::new(Disk::from_file(image))).unwrap()).unwrap()
}

/// What is at a path; links are not followed.
fn kind_at(fs: &dyn ReadFs, at: &GuestPath) -> Option<Kind> {
    let mut node = fs.root();
    for name in at.names() {
        if fs.stat(node).unwrap().kind != Kind::Directory {
            return None;
        }
        node = fs.lookup(node, name).unwrap()?;
    }
    Some(fs.stat(node).unwrap().kind)
}

fn make(
    fs: &dyn ReadFs,
    dir: &GuestPath,
    made: &mut BTreeSet<GuestPath>,
    commands: &mut Vec<Vec<u8>>,
) {
    let kind = kind_at(fs, dir);
    assert!(matches!(kind, None | Some(Kind::Directory)), "{dir} is no directory");
    if kind.is_none() && made.insert(dir.clone()) {
        make(fs, &dir.parent().unwrap(), made, commands);
        commands.push(format!("mkdir \"{dir}\"").into_bytes());
    }
}
