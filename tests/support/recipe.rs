//! Images made with the reference tools, without root: filesystems with a given tree in them,
//! partitioned disks, qcow2.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use crate::support::disk::Disk;
use crate::support::oracle::{e2fsck_clean, run, succeed};
use crate::support::spec::{Body, Item, Spec, THEN};
use crate::support::{debugfs, spec};

fn host(dir: &Path, path: &GuestPath) -> PathBuf {
    let bytes = path.to_bytes();
    dir.join(OsStr::from_bytes(bytes.strip_prefix(b"/").unwrap_or(&bytes)))
}

fn write_sparse(at: &Path, content: &[u8]) {
    let file = File::create(at).unwrap();
    file.set_len(content.len() as u64).unwrap();
    // 1 KiB: the smallest block, so that a hole of one block stays one.
    for (index, piece) in content.chunks(1024).enumerate() {
        if piece.iter().any(|&byte| byte != 0) {
            file.write_all_at(piece, index as u64 * 1024).unwrap();
        }
    }
}

/// Makes the tree in a plain folder; what needs root is left out, and so are owners and times.
pub(crate) fn write_tree(dir: &Path, spec: &Spec) {
    fs::create_dir_all(dir).unwrap();
    for (path, item) in &spec.0 {
        let at = host(dir, path);
        match &item.body {
            Body::File(content) => write_sparse(&at, content),
            Body::Directory if path.is_root() => {}
            Body::Directory => fs::create_dir(&at).unwrap(),
            Body::Symlink(target) => symlink(OsStr::from_bytes(target), &at).unwrap(),
            Body::HardLink(first) => fs::hard_link(host(dir, first), &at).unwrap(),
            Body::Special(kind @ (Kind::Fifo | Kind::Socket), ..) => {
                let kind = match kind {
                    Kind::Fifo => rustix::fs::FileType::Fifo,
                    _ => rustix::fs::FileType::Socket,
                };
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, &at, kind, mode, 0).unwrap();
            }
            // Devices need root on the host: debugfs makes them in the image.
            Body::Special(..) => {}
        }
    }
}

fn quoted(path: &GuestPath) -> Vec<u8> {
    let bytes = path.to_bytes();
    assert!(!bytes.contains(&b'"') && !bytes.contains(&b'\n'), "debugfs cannot be given {path}");
    [b"\"".as_slice(), &bytes, b"\""].concat()
}

/// An ext2/3/4 filesystem of `len` bytes with the tree in it. `args` are mke2fs's (`-t`, `-b`, `-O` …).
///
/// Adds to `spec` what mke2fs itself makes (`/lost+found`). Inode metadata is set through debugfs.
pub(crate) fn ext4(dir: &Path, spec: &mut Spec, args: &[&str], len: u64) -> PathBuf {
    let lost = spec.directory("/lost+found");
    lost.mode = 0o700;
    let tree = dir.join("tree");
    let mut given = spec.clone();
    given.0.remove(&spec::path("/lost+found"));
    write_tree(&tree, &given);
    let image = dir.join("fs.img");
    let (image_text, tree_text) = (image.to_str().expect("text"), tree.to_str().expect("text"));
    let size = format!("{}k", len / 1024);
    let mut all = vec!["-q", "-F", "-E", "lazy_itable_init=0", "-d", tree_text];
    all.extend(args);
    all.extend([image_text, &size]);
    succeed("mke2fs", "e2fsprogs", &all);

    let mut commands: Vec<Vec<u8>> = Vec::new();
    let mut say = |words: &[&[u8]]| commands.push(words.join(&b' '));
    for (path, item) in &spec.0 {
        let Body::Special(kind @ (Kind::BlockDevice | Kind::CharDevice), major, minor) = item.body
        else {
            continue;
        };
        let letter: &[u8] = if kind == Kind::BlockDevice { b"b" } else { b"c" };
        let parent = path.parent().expect("not the root");
        // mknod takes a name in the current directory.
        say(&[b"cd", &quoted(&parent)]);
        let name = [b"\"", path.name().expect("not the root"), b"\""].concat();
        say(&[b"mknod", &name, letter, major.to_string().as_bytes(), minor.to_string().as_bytes()]);
        say(&[b"cd", b"/"]);
    }
    let values = dir.join("values");
    fs::create_dir(&values).unwrap();
    let root = Item {
        body: Body::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: THEN,
        xattrs: BTreeMap::new(),
    };
    let mut count = 0;
    for (path, item) in std::iter::once((&GuestPath::root(), &root)).chain(&spec.0) {
        let format = match item.body {
            Body::HardLink(_) => continue,
            Body::File(_) => 0o100_000,
            Body::Directory => 0o40000,
            Body::Symlink(_) => 0o120_000,
            Body::Special(Kind::BlockDevice, ..) => 0o60000,
            Body::Special(Kind::CharDevice, ..) => 0o20000,
            Body::Special(Kind::Socket, ..) => 0o140_000,
            Body::Special(..) => 0o10000,
        };
        let at = quoted(path);
        let mode = format!("0{:o}", format | u32::from(item.mode));
        say(&[b"sif", &at, b"mode", mode.as_bytes()]);
        if let Body::File(content) = &item.body
            && content.len() > 1024
            && content.ends_with(&[0; 1024])
        {
            // With inline_data, mke2fs forgets a hole at the end.
            say(&[b"sif", &at, b"size", content.len().to_string().as_bytes()]);
        }
        say(&[b"sif", &at, b"uid", item.uid.to_string().as_bytes()]);
        say(&[b"sif", &at, b"gid", item.gid.to_string().as_bytes()]);
        for (name, value) in &item.xattrs {
            let file = values.join(count.to_string());
            count += 1;
            fs::write(&file, value).unwrap();
            let file = file.to_str().expect("text").as_bytes();
            say(&[b"ea_set", b"-f", file, &at, name.as_bytes()]);
        }
        say(&[b"sif", &at, b"mtime", format!("@{}", item.mtime.seconds).as_bytes()]);
    }
    debugfs::script(&image, true, &commands);
    fs::remove_dir_all(tree).unwrap();
    fs::remove_dir_all(values).unwrap();
    if args.iter().any(|arg| arg.contains("ea_inode")) {
        // debugfs miscounts the blocks of an inode whose attributes have inodes of their own.
        run("e2fsck", "e2fsprogs", &["-fy", image_text]);
    }
    e2fsck_clean(&image);
    image
}

/// A FAT filesystem of `len` bytes with the tree in it; `bits` is 12, 16 or 32.
pub(crate) fn fat(dir: &Path, spec: &Spec, bits: u8, args: &[&str], len: u64) -> PathBuf {
    let tree = dir.join("fat-tree");
    write_tree(&tree, spec);
    for (path, item) in &spec.0 {
        if let Body::File(_) = item.body {
            let time = UNIX_EPOCH + Duration::from_secs(item.mtime.seconds as u64);
            File::options()
                .write(true)
                .open(host(&tree, path))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
    }
    let image = dir.join("fat.img");
    File::create(&image).unwrap().set_len(len).unwrap();
    let image_text = image.to_str().expect("text");
    let bits = bits.to_string();
    let mut all = vec!["-F", &bits, "--invariant"];
    all.extend(args);
    all.push(image_text);
    succeed("mkfs.vfat", "dosfstools", &all);
    let mut top: Vec<PathBuf> =
        fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()).collect();
    top.sort();
    if !top.is_empty() {
        let mut all = vec!["-i", image_text, "-s", "-m"];
        all.extend(top.iter().map(|path| path.to_str().expect("text")));
        all.push("::/");
        succeed("mcopy", "mtools", &all);
    }
    fs::remove_dir_all(tree).unwrap();
    image
}

/// A partition to put on a disk: its type (`8300`, `ef00` for GPT; `83`, `c` for MBR), name and image.
pub(crate) struct Part<'a> {
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) image: &'a Path,
}

const MIB: u64 = 1 << 20;

fn place(disk: &Path, parts: &[(u64, &Path)]) {
    let out = File::options().write(true).open(disk).unwrap();
    for (start, image) in parts {
        Disk::from_file(image).stored(|at, bytes| out.write_all_at(bytes, start + at).unwrap());
    }
}

/// A GPT disk holding the parts at MiB boundaries; gives its path and each partition's first byte.
pub(crate) fn gpt(dir: &Path, parts: &[Part<'_>]) -> (PathBuf, Vec<u64>) {
    let disk = dir.join("disk.img");
    let mut args: Vec<String> = vec!["-o".to_owned()];
    let mut placed = Vec::new();
    let mut start = MIB;
    for (index, part) in parts.iter().enumerate() {
        let number = index + 1;
        let len = fs::metadata(part.image).unwrap().len().next_multiple_of(MIB);
        args.push(format!("-n {number}:{}:{}", start / 512, (start + len) / 512 - 1));
        args.push(format!("-t {number}:{}", part.kind));
        args.push(format!("-c {number}:{}", part.name));
        placed.push((start, part.image));
        start += len;
    }
    File::create(&disk).unwrap().set_len(start + MIB).unwrap();
    // sgdisk takes an option and its value as two words.
    let mut words: Vec<&str> = args.iter().flat_map(|arg| arg.split(' ')).collect();
    words.push(disk.to_str().expect("text"));
    succeed("sgdisk", "gdisk", &words);
    place(&disk, &placed);
    (disk, placed.into_iter().map(|(start, _)| start).collect())
}

/// An MBR disk: the first part primary, the others logical in an extended partition.
pub(crate) fn mbr(dir: &Path, parts: &[Part<'_>]) -> (PathBuf, Vec<u64>) {
    let disk = dir.join("disk.img");
    let mut script = "label: dos\nunit: sectors\n".to_owned();
    let mut placed = Vec::new();
    let mut start = MIB;
    for (index, part) in parts.iter().enumerate() {
        if index == 1 {
            script.push_str(&format!("start={}, type=5\n", start / 512));
        }
        if index >= 1 {
            start += MIB;
        }
        let len = fs::metadata(part.image).unwrap().len().next_multiple_of(MIB);
        script.push_str(&format!(
            "start={}, size={}, type={}\n",
            start / 512,
            len / 512,
            part.kind
        ));
        placed.push((start, part.image));
        start += len;
    }
    File::create(&disk).unwrap().set_len(start + MIB).unwrap();
    let file = dir.join("sfdisk.script");
    fs::write(&file, script).unwrap();
    let line = format!("sfdisk -q {} < {}", disk.display(), file.display());
    succeed("sh", "dash", &["-c", &format!("PATH=$PATH:/usr/sbin:/sbin; {line}")]);
    place(&disk, &placed);
    (disk, placed.into_iter().map(|(start, _)| start).collect())
}
