//! Volumes that carry a seed, read back by implementations that are not ours.

mod cloud_init;
mod iso9660;
mod structure;
mod vfat;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sysprep_rs::fs::Timestamp;
use sysprep_rs::image::{self, ExportOptions};
use sysprep_rs::seed::volume::{self, Format, Tree};
use sysprep_rs::seed::{Seed, SeedFile};

use crate::random::Random;
use crate::support::oracle::succeed;

/// What a ConfigDrive can carry of a seed.
const CARRIED: [SeedFile; 3] = [SeedFile::UserData, SeedFile::MetaData, SeedFile::VendorData];

/// An even second, as FAT keeps them.
const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };

/// What a reader found at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Permission bits.
    mode: u32,
    mtime: i64,
    /// `None`: a directory.
    content: Option<Vec<u8>>,
}

type Everything = BTreeMap<String, Found>;

/// A folder with volumes in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a volume; gives its path.
    fn volume(&self, name: &str, tree: &Tree<'_>, label: &str, format: Format) -> PathBuf {
        let disk = volume::build(tree, label, format, NOW).unwrap();
        let path = self.path(name);
        let options = ExportOptions { overwrite: true, ..ExportOptions::default() };
        image::export(&disk, &path, image::Format::Raw, &options).unwrap();
        path
    }
}

/// Everything below a folder, which is left so that it can be removed.
fn everything(folder: &Path) -> Everything {
    let mut found = Everything::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let content = metadata.is_file().then(|| fs::read(&path).unwrap());
            let mode = metadata.permissions().mode() & 0o7777;
            found.insert(name, Found { mode, mtime: metadata.mtime(), content });
            if metadata.is_dir() {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                todo.push(path);
            }
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    found
}

/// Paths and contents of files alone.
fn contents(found: &Everything) -> BTreeMap<&str, &[u8]> {
    found.iter().filter_map(|(path, it)| Some((path.as_str(), it.content.as_deref()?))).collect()
}

/// Those of a tree.
fn given<'a>(tree: &'a Tree<'_>) -> BTreeMap<&'a str, &'a [u8]> {
    tree.files().collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `blkid -p` says under a name.
fn blkid(volume: &Path, tag: &str) -> String {
    let said = succeed("blkid", "util-linux", &["-p", "-s", tag, "-o", "value", text(volume)]);
    String::from_utf8(said).unwrap().trim_end().to_owned()
}

/// Files at the edges of blocks and clusters, in folders and beside them. The last is empty.
fn edges() -> Tree<'static> {
    let mut random = Random::new("files at the edges", 7);
    let mut tree = Tree::default();
    for size in [0, 1, 511, 512, 2047, 2048, 2049, 4096, 4 << 20] {
        tree.insert(&format!("size-{size}"), random.bytes(size)).unwrap();
        tree.insert(&format!("folder/below/{size}.data"), random.bytes(size.min(5000))).unwrap();
    }
    tree.insert("zz.empty", Vec::new()).unwrap();
    tree
}

/// A random tree: names that are cut to the same one, of every length, down to eight levels.
fn random_tree(random: &mut Random) -> Tree<'static> {
    const ALPHABET: &[u8] = b"abcXYZ019._-";
    let mut tree = Tree::default();
    let mut folders = vec![String::new()];
    let count = random.below(90);
    for _ in 0..count {
        let mut name = |most: u64| {
            let stem = ["", "user-data", "user_data.json", "a.b", "."][random.below(5) as usize];
            let len = random.below(most) as usize;
            let tail = random.bytes(len);
            let tail =
                tail.iter().map(|it| char::from(ALPHABET[usize::from(*it) % ALPHABET.len()]));
            format!("{stem}{}", tail.collect::<String>())
        };
        let (name, folder) = (name(50), name(20));
        let above = &folders[random.below(folders.len() as u64) as usize];
        let size = match random.below(4) {
            0 => 0,
            1 => 2048 * random.below(3),
            _ => random.below(6000),
        };
        let path = match random.below(6) {
            0 => format!("{above}{folder}/{name}"),
            _ => format!("{above}{name}"),
        };
        // Not every name can be in a volume, nor beside the others.
        if tree.insert(&path, random.bytes(size as usize)).is_ok()
            && let Some((folder, _)) = path.rsplit_once('/')
        {
            folders.push(format!("{folder}/"));
        }
    }
    tree
}

/// A seed with these files in it.
fn seed(files: &[SeedFile]) -> Seed {
    let mut seed = Seed::default();
    let contents = [
        (
            SeedFile::UserData,
            "#cloud-config\nhostname: web\nusers: [{name: ops, lock_passwd: true}]\n",
        ),
        (
            SeedFile::MetaData,
            "instance-id: i-0a1b\nlocal-hostname: web1.example\n\
             public-keys: [ssh-ed25519 AAAA one, ssh-ed25519 BBBB two]\nrole: front\n",
        ),
        (
            SeedFile::NetworkConfig,
            "version: 2\nethernets:\n  nic:\n    match: {macaddress: '52:54:00:12:34:56'}\n    \
             dhcp4: true\n",
        ),
        (SeedFile::VendorData, "#cloud-config\ntimezone: Europe/Berlin\n"),
    ];
    for (file, content) in contents.into_iter().filter(|(it, _)| files.contains(it)) {
        seed.add(file, file.name(), content.as_bytes().to_vec()).unwrap();
    }
    seed
}

#[test]
fn a_volume_is_the_same_for_the_same_files_at_the_same_time() {
    let place = Place::new();
    let (tree, seed) = (edges(), seed(&SeedFile::ALL));
    let other = volume::nocloud::tree(&seed).unwrap();
    for format in [Format::Iso9660, Format::Vfat] {
        let read = |tree| fs::read(place.volume("volume", tree, "cidata", format)).unwrap();
        assert!(read(&tree) == read(&tree), "{format}");
        assert!(read(&tree) != read(&other), "{format}");
    }
}
