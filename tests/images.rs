//! Images as the host's user meets them: what is refused and why, what an edit leaves in the file,
//! and new images written.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sysprep_rs::block::{HostFile, Memory, Overlay, WriteBlocks};
use sysprep_rs::image::{
    Access, ExportOptions, Format, Image, ImageError, OpenOptions, ResidueKind, export,
};

use crate::conformance::block::{commit, whole};
use crate::conformance::image::{content, judge, raw_file, run, text};
use crate::random::Random;

const ANY: OpenOptions = OpenOptions { format: None, allow_backing: false };

fn open(path: &Path, access: Access) -> Result<Image, ImageError> {
    Image::open(path, &ANY, access)
}

/// The error's text; opening must fail.
fn refused(path: &Path, access: Access) -> String {
    match open(path, access) {
        Ok(image) => panic!("{image:?} was opened"),
        Err(error) => error.to_string(),
    }
}

fn create(folder: &Path, arguments: &[&str]) -> PathBuf {
    let image = folder.join("image.qcow2");
    let head = ["create", "-q", "-f", "qcow2"];
    let (options, size) = arguments.split_at(arguments.len() - 1);
    run("qemu-img", &[&head[..], options, &[text(&image)], size].concat());
    image
}

fn io(image: &Path, commands: &[&str]) {
    let mut arguments = vec!["-f", "qcow2"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

/// Commits an edit to the image's file.
fn edit(path: &Path, change: impl FnOnce(&dyn WriteBlocks)) {
    let image = open(path, Access::Seal).unwrap();
    let staged = image.stage().unwrap();
    change(&*staged.disk());
    let overlay = staged.finish().unwrap();
    drop(image);
    commit(&overlay, &File::options().write(true).open(path).unwrap());
}

/// Whether the file holds these bytes anywhere.
fn holds(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_is_no_image_is_refused_by_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(refused(folder.path(), Access::Audit).contains("it is a directory"));
    assert!(refused(&at("missing"), Access::Audit).contains("no such file"));
    File::create(at("empty")).unwrap();
    assert!(refused(&at("empty"), Access::Seal).contains("it is empty"));
    run("mkfifo", &[text(&at("fifo"))]);
    assert!(refused(&at("fifo"), Access::Audit).contains("not a regular file"));
    assert!(refused(Path::new("/dev/null"), Access::Audit).contains("not a regular file"));
    fs::write(at("short"), b"QFI\xfb\0\0\0\x03").unwrap();
    assert!(refused(&at("short"), Access::Audit).contains("corrupt qcow2 header"));
}

#[test]
fn other_formats_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    for (format, name) in [
        ("vmdk", "a VMDK image"),
        ("vdi", "a VDI image"),
        ("vpc", "a VHD image"),
        ("vhdx", "a VHDX image"),
        ("qcow", "a qcow version 1 image"),
        ("qed", "a QED image"),
        ("parallels", "a Parallels image"),
    ] {
        run("qemu-img", &["create", "-q", "-f", format, text(&path), "1M"]);
        let error = refused(&path, Access::Audit);
        assert!(error.contains(name), "{format}: {error}");
    }
    run("qemu-img", &["create", "-q", "-f", "vpc", "-o", "subformat=fixed", text(&path), "1M"]);
    assert!(refused(&path, Access::Audit).contains("a VHD image of fixed size"));
    // The caller's word goes above the content.
    let raw = OpenOptions { format: Some(Format::Raw), allow_backing: false };
    assert_eq!(Image::open(&path, &raw, Access::Audit).unwrap().format(), Format::Raw);
}

#[test]
fn a_file_that_cannot_be_written_is_audited_and_not_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let path = raw_file(folder.path(), &mut Random::new("unwritable", 0), 1 << 20);
    // Root may write any file, but nobody a program that runs.
    let program = folder.path().join("program");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut child = Command::new(&program).arg("60").spawn().unwrap();
    let error = refused(&program, Access::Seal);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(error.contains("it cannot be written"), "{error}");
    open(&path, Access::Audit).unwrap();
}

#[test]
fn two_seals_exclude_each_other_and_two_audits_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = raw_file(folder.path(), &mut Random::new("two at once", 0), 1 << 20);
    let seal = open(&path, Access::Seal).unwrap();
    for access in [Access::Seal, Access::Audit] {
        let error = open(&path, access).unwrap_err();
        assert!(matches!(error, ImageError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
    }
    // What lies on the file keeps the lock.
    let staged = seal.stage().unwrap();
    drop(seal);
    open(&path, Access::Audit).unwrap_err();
    drop(staged);
    let audit = open(&path, Access::Audit).unwrap();
    open(&path, Access::Audit).unwrap();
    assert!(matches!(open(&path, Access::Seal), Err(ImageError::InUse { .. })));
    drop(audit);
    open(&path, Access::Seal).unwrap();
}

/// A `qemu-io` that has the image open.
fn qemu_io(path: &Path, arguments: &[&str]) -> Child {
    let mut child = Command::new("qemu-io")
        .args(arguments)
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its answer says that it is open.
    child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
    let mut answer = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    let mut rest = Vec::new();
    while !rest.ends_with(b"\n") {
        let mut byte = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        rest.push(byte[0]);
    }
    child
}

fn close(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn an_image_that_qemu_has_open_is_refused_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let image = create(folder.path(), &["4M"]);
    let writer = qemu_io(&image, &["-f", "qcow2"]);
    for access in [Access::Seal, Access::Audit] {
        let error = open(&image, access).unwrap_err();
        assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    }
    close(writer);
    let reader = qemu_io(&image, &["-r", "-f", "qcow2"]);
    open(&image, Access::Audit).unwrap();
    assert!(matches!(open(&image, Access::Seal), Err(ImageError::InUse { .. })));
    close(reader);

    let seal = open(&image, Access::Seal).unwrap();
    let output = Command::new("qemu-img").args(["info", text(&image)]).output().unwrap();
    assert!(!output.status.success(), "qemu-img read an image that is being sealed");
    drop(seal);
    let audit = open(&image, Access::Audit).unwrap();
    run("qemu-img", &["info", text(&image)]);
    let output = Command::new("qemu-io").args(["-c", "quit", text(&image)]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("lock"), "{output:?}");
    drop(audit);
}

#[test]
fn an_image_that_qemu_nbd_serves_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = create(folder.path(), &["4M"]);
    let socket = folder.path().join("nbd.sock");
    let mut server = Command::new("qemu-nbd")
        .args(["-t", "-f", "qcow2", "-k", text(&socket), text(&image)])
        .spawn()
        .unwrap();
    let started = Instant::now();
    let served = format!("nbd+unix:///?socket={}", text(&socket));
    while !Command::new("qemu-img").args(["info", &served]).output().unwrap().status.success() {
        assert!(started.elapsed() < Duration::from_secs(20), "qemu-nbd does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (seal, audit) = (open(&image, Access::Seal), open(&image, Access::Audit));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(matches!(seal, Err(ImageError::InUse { .. })));
    assert!(matches!(audit, Err(ImageError::InUse { .. })));
    open(&image, Access::Seal).unwrap();
}

/// A loop device, detached when it is dropped.
struct Loop(String);

impl Loop {
    /// `None` where the host makes none (it takes root, and the kernel's driver), which is said.
    fn attach(options: &[&str], file: &Path) -> Option<Self> {
        let made = Command::new("losetup").args(options).args(["-f", "--show"]).arg(file).output();
        match made {
            Ok(made) if made.status.success() => {
                Some(Self(String::from_utf8(made.stdout).unwrap().trim_end().to_owned()))
            }
            other => {
                // Past the harness, which keeps what a passing test prints to itself.
                let line = format!("left out, for want of a loop device: {other:?}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["-d", &self.0]);
    }
}

/// The unit tests of `image::loop_device` hold what is decided where the device cannot be asked.
#[test]
fn a_file_behind_a_loop_device_is_refused_whatever_became_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = raw_file(folder.path(), &mut Random::new("loop", 0), 1 << 20);
    let other_name = folder.path().join("other-name");
    fs::hard_link(&path, &other_name).unwrap();
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    let Some(device) = Loop::attach(&[], &path) else { return };
    let in_use = |image: &Path| {
        for access in [Access::Seal, Access::Audit] {
            let error = refused(image, access);
            assert!(
                error.contains(&format!("attached to the loop device {}", device.0)),
                "{error}"
            );
            assert!(error.contains(&format!("losetup -d {}", device.0)), "{error}");
        }
    };
    in_use(&path);
    in_use(&other_name);
    fs::remove_file(&path).unwrap();
    in_use(&other_name);
    // Another file has the name now, of another size; then one of the same.
    fs::write(&path, "x").unwrap();
    in_use(&other_name);
    fs::copy(&copy, &path).unwrap();
    in_use(&other_name);
    for not_attached in [&copy, &path] {
        open(not_attached, Access::Seal).unwrap();
    }
    // Grown since, it is still that file.
    File::options().write(true).open(&other_name).unwrap().set_len(2 << 20).unwrap();
    in_use(&other_name);
    let old = fs::read(&other_name).unwrap();
    let disk = Memory::from_bytes(vec![1; 512]);
    let overwrite = ExportOptions { overwrite: true, ..ExportOptions::default() };
    let error = export(&disk, &other_name, Format::Raw, &overwrite).unwrap_err();
    assert!(error.to_string().contains(&device.0), "{error}");
    assert!(fs::read(&other_name).unwrap() == old);
    drop(device);
    export(&disk, &other_name, Format::Raw, &overwrite).unwrap();
    open(&other_name, Access::Seal).unwrap();
}

#[test]
fn what_is_only_read_may_have_a_read_only_loop_device() {
    let folder = tempfile::tempdir().unwrap();
    let backing = raw_file(folder.path(), &mut Random::new("loop", 1), 1 << 20);
    let image = on_backing(folder.path(), text(&backing), "raw");
    let Some(device) = Loop::attach(&[], &backing) else { return };
    for access in [Access::Seal, Access::Audit] {
        let error = refused(&image, access);
        let named =
            format!("{}: it is attached to the loop device {}", backing.display(), device.0);
        assert!(error.starts_with(&named), "{error}");
    }
    drop(device);
    let Some(device) = Loop::attach(&["-r"], &backing) else { return };
    open(&image, Access::Seal).unwrap();
    open(&backing, Access::Audit).unwrap();
    assert!(refused(&backing, Access::Seal).contains(&device.0));
}

#[test]
fn a_block_device_that_is_mounted_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("fs");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run("mke2fs", &["-q", text(&image)]);
    let Some(device) = Loop::attach(&[], &image) else { return };
    drop(open(Path::new(&device.0), Access::Audit).unwrap());
    let at = folder.path().join("mount");
    fs::create_dir(&at).unwrap();
    run("mount", &[&device.0, text(&at)]);
    let looked = open(Path::new(&device.0), Access::Audit);
    run("umount", &[text(&at)]);
    let error = looked.unwrap_err();
    assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("the block device is mounted"), "{error}");
    open(Path::new(&device.0), Access::Audit).unwrap();
}

#[test]
fn what_qcow2_can_have_and_we_cannot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // Patched in: making a real one spends seconds on its key.
    for (method, name) in [(1, "AES"), (2, "LUKS")] {
        let image = create(folder.path(), &["1M"]);
        File::options().write(true).open(&image).unwrap().write_all_at(&[method], 35).unwrap();
        let error = refused(&image, Access::Audit);
        assert!(error.contains("an encrypted qcow2 image") && error.contains(name), "{error}");
    }
    let data = format!("data_file={}", text(&folder.path().join("data")));
    let image = create(folder.path(), &["-o", &data, "1M"]);
    assert!(refused(&image, Access::Audit).contains("external data file"));
    let image = create(folder.path(), &["-o", "compression_type=zstd", "1M"]);
    assert!(refused(&image, Access::Audit).contains("zstd"));

    let image = create(folder.path(), &["1M"]);
    run("qemu-img", &["bitmap", "--add", text(&image), "since"]);
    let opened = open(&image, Access::Seal).unwrap();
    assert_eq!(opened.residue()[0].kind, ResidueKind::Bitmaps);
    let error = opened.stage().err().unwrap().to_string();
    assert!(error.contains("bitmap --remove"), "{error}");
    drop(opened);

    for (bit, name, remedy) in
        [(1, "dirty bit", "check -r leaks"), (2, "corrupt", "check -r all"), (32, "unknown", "")]
    {
        let image = create(folder.path(), &["1M"]);
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(&[bit], 79).unwrap();
        let error = refused(&image, Access::Seal);
        assert!(error.contains(name) && error.contains(remedy), "{error}");
    }
}

/// An image whose header names this backing file, whether or not it is there.
fn on_backing(folder: &Path, name: &str, format: &str) -> PathBuf {
    create(folder, &["-u", "-b", name, "-F", format, "1M"])
}

#[test]
fn backing_files_are_opened_from_the_images_folder_only() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.raw");
    fs::write(&secret, vec![7; 1 << 20]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("base.raw");
    fs::write(&inside, vec![5; 1 << 20]).unwrap();
    symlink(&secret, folder.path().join("link.raw")).unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    symlink("../base.raw", folder.path().join("below/link.raw")).unwrap();

    for name in ["base.raw", text(&inside), "./base.raw", "below/link.raw"] {
        let image = on_backing(folder.path(), name, "raw");
        let opened = open(&image, Access::Audit).unwrap();
        whole(&*opened.disk(), &vec![5; 1 << 20]);
        assert_eq!(opened.residue()[0].kind, ResidueKind::BackingFile);
    }
    for name in [text(&secret), "link.raw", "/dev/zero", "/etc/passwd", "../"] {
        let image = on_backing(folder.path(), name, "raw");
        let error = refused(&image, Access::Audit);
        assert!(error.contains("outside the image's folder"), "{name}: {error}");
    }
    for name in ["json:{\"driver\":\"file\"}", "nbd:unix:/run/x", "file:base.raw", "fd:3"] {
        let image = on_backing(folder.path(), name, "raw");
        let error = refused(&image, Access::Audit);
        assert!(error.contains("not a file name"), "{name}: {error}");
    }
    let allowed = OpenOptions { format: None, allow_backing: true };
    let image = on_backing(folder.path(), text(&secret), "raw");
    let opened = Image::open(&image, &allowed, Access::Audit).unwrap();
    whole(&*opened.disk(), &vec![7; 1 << 20]);
    drop(opened);

    // By a link to the image, its folder is still its own.
    let elsewhere = tempfile::tempdir().unwrap();
    let image = on_backing(folder.path(), "base.raw", "raw");
    let link = elsewhere.path().join("link.qcow2");
    symlink(&image, &link).unwrap();
    open(&link, Access::Audit).unwrap();
}

#[test]
fn a_backing_format_is_never_guessed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("base.raw"), vec![5; 1 << 20]).unwrap();
    for compat in ["0.10", "1.1"] {
        let image = on_backing(folder.path(), "base.raw", "raw");
        run("qemu-img", &["amend", "-o", &format!("compat={compat}"), text(&image)]);
        open(&image, Access::Audit).unwrap();
        // The extension's type is made one that nobody knows.
        let bytes = fs::read(&image).unwrap();
        let at = bytes.windows(4).position(|it| it == [0xE2, 0x79, 0x2A, 0xCA]).unwrap();
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(b"none", at as u64).unwrap();
        let error = refused(&image, Access::Audit);
        assert!(error.contains("without its format") && error.contains("rebase -u"), "{error}");
    }
    let image = on_backing(folder.path(), "base.raw", "vmdk");
    assert!(refused(&image, Access::Audit).contains("of format 'vmdk'"));
}

#[test]
fn a_chain_of_backing_files_ends() {
    let folder = tempfile::tempdir().unwrap();
    // On itself, and on one that lies on it.
    let image = on_backing(folder.path(), "image.qcow2", "qcow2");
    assert!(refused(&image, Access::Audit).contains("comes back to"));
    fs::rename(&image, folder.path().join("other.qcow2")).unwrap();
    let image = on_backing(folder.path(), "other.qcow2", "qcow2");
    assert!(refused(&image, Access::Audit).contains("comes back to"));
    for depth in 0..40 {
        let name = format!("{}.qcow2", depth + 1);
        let image = on_backing(folder.path(), &name, "qcow2");
        fs::rename(image, folder.path().join(format!("{depth}.qcow2"))).unwrap();
    }
    fs::rename(create(folder.path(), &["1M"]), folder.path().join("40.qcow2")).unwrap();
    let error = refused(&folder.path().join("0.qcow2"), Access::Audit);
    assert!(error.contains("more than 32 backing files"), "{error}");
    open(&folder.path().join("20.qcow2"), Access::Audit).unwrap();
}

#[test]
fn a_guest_cannot_reach_the_host_by_writing_a_header_into_its_raw_disk() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"host secret").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = on_backing(folder.path(), text(&outside.path().join("secret")), "raw");
    let disk = folder.path().join("disk.raw");
    fs::rename(image, &disk).unwrap();
    assert!(refused(&disk, Access::Seal).contains("outside the image's folder"));
    let raw = OpenOptions { format: Some(Format::Raw), allow_backing: false };
    let opened = Image::open(&disk, &raw, Access::Seal).unwrap();
    assert_eq!(opened.virtual_size(), fs::metadata(&disk).unwrap().len());
}

const MARK: &[u8] = b"Zq7-what-was-removed-must-not-be-found";

/// A disk full of marks, in random order of compressibility.
fn marked(len: usize) -> Vec<u8> {
    let mut random = Random::new("marks", 0);
    let mut bytes = random.bytes(len);
    for at in (0..len - MARK.len()).step_by(3000) {
        bytes[at..at + MARK.len()].copy_from_slice(MARK);
    }
    bytes
}

#[test]
fn what_is_zeroed_is_gone_from_the_file_and_the_file_shrinks() {
    for options in ["compat=1.1", "compat=0.10", "cluster_size=4k", "extended_l2=on"] {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("content.raw");
        fs::write(&raw, marked(4 << 20)).unwrap();
        let image = folder.path().join("image.qcow2");
        let command = ["convert", "-f", "raw", "-O", "qcow2", "-o", options];
        run("qemu-img", &[&command[..], &[text(&raw), text(&image)]].concat());
        let before = fs::metadata(&image).unwrap().len();
        assert!(holds(&image, MARK));
        // Whole clusters, parts of clusters, and clusters bit by bit.
        edit(&image, |disk| {
            disk.zero(0, 1_000_000).unwrap();
            disk.zero(1_000_000, (1 << 20) - 1_000_000).unwrap();
            for at in ((1 << 20)..(4 << 20)).step_by(4096) {
                disk.zero(at, 4096).unwrap();
            }
        });
        assert!(!holds(&image, MARK), "{options}");
        judge(&image, Format::Qcow2, &vec![0; 4 << 20]);
        let after = fs::metadata(&image).unwrap().len();
        assert!(after < before / 4, "{options}: {before} → {after}");
    }
}

#[test]
fn what_is_zeroed_is_gone_from_compressed_clusters_too() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("content.raw");
    let mut bytes = Random::new("compressed", 0).bytes(4 << 20);
    for block in bytes.chunks_mut(1 << 16) {
        block[4000..].fill(0);
    }
    fs::write(&raw, &bytes).unwrap();
    let image = folder.path().join("image.qcow2");
    run("qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", text(&raw), text(&image)]);
    // The sixth cluster's compressed bytes, but for its neighbours' in its first and last sector.
    let file = fs::read(&image).unwrap();
    let word = |at: u64| u64::from_be_bytes(file[at as usize..at as usize + 8].try_into().unwrap());
    let entry = word((word(word(40)) & ((1 << 56) - 1)) + 5 * 8);
    assert_ne!(entry & 1 << 62, 0, "not compressed");
    let at = (entry & ((1 << 54) - 1)) as usize;
    let middle = file[at + 10..at + 3500].to_vec();
    edit(&image, |disk| disk.zero(5 << 16, 1 << 16).unwrap());
    bytes[5 << 16..6 << 16].fill(0);
    for part in middle.chunks_exact(16).step_by(20) {
        assert!(!holds(&image, part));
    }
    judge(&image, Format::Qcow2, &bytes);
}

#[test]
fn what_was_freed_or_leaked_earlier_is_gone_too_unless_kept() {
    for keep in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let image = create(folder.path(), &["4M"]);
        // Written, and taken off by a discard that leaves the bytes in the file.
        io(&image, &["write -P 0x5a 0 1M", "write -P 0x33 1M 64k", "discard 0 512k"]);
        // A leak: an L2 entry is forgotten, its count is not.
        let bytes = fs::read(&image).unwrap();
        let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let l2 = u64::from_be_bytes(bytes[l1..l1 + 8].try_into().unwrap()) & ((1 << 63) - 1);
        let file = File::options().write(true).open(&image).unwrap();
        file.write_all_at(&[0; 8], l2 + 15 * 8).unwrap();
        assert!(holds(&image, &[0x5a; 8192]));
        let expected = content(&image, Format::Qcow2);

        let opened = open(&image, Access::Seal).unwrap();
        let staged = opened.stage_with(keep, &opened.folder()).unwrap();
        staged.disk().zero(512 << 10, (512 << 10) - (64 << 10)).unwrap();
        let overlay = staged.finish().unwrap();
        drop(opened);
        commit(&overlay, &file);
        drop(overlay);
        // Kept: the leaked cluster; not kept: nothing. What the edit freed is gone either way.
        let left = fs::read(&image).unwrap().iter().filter(|byte| **byte == 0x5a).count();
        assert!(if keep { left >= 64 << 10 } else { left < 100 }, "{left} bytes left, keep {keep}");
        if !keep {
            let mut model = expected;
            model[512 << 10..960 << 10].fill(0);
            judge(&image, Format::Qcow2, &model);
        }
    }
}

#[test]
fn what_is_counted_behind_the_files_end_does_not_become_a_leak() {
    for keep in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let image = create(folder.path(), &["4M"]);
        io(&image, &["write -P 0x5a 0 64k"]);
        let bytes = fs::read(&image).unwrap();
        let table = u64::from_be_bytes(bytes[48..56].try_into().unwrap()) as usize;
        let block = u64::from_be_bytes(bytes[table..table + 8].try_into().unwrap());
        let file = File::options().write(true).open(&image).unwrap();
        let clusters = (bytes.len() as u64).div_ceil(65_536);
        for stray in [clusters + 1, clusters + 5, 30_000] {
            file.write_all_at(&[0, 3], block + 2 * stray).unwrap();
        }
        let opened = open(&image, Access::Seal).unwrap();
        let staged = opened.stage_with(keep, &opened.folder()).unwrap();
        staged.disk().write_at(1 << 20, &[0x33; 1 << 20]).unwrap();
        let overlay = staged.finish().unwrap();
        drop(opened);
        commit(&overlay, &file);
        drop(overlay);
        let mut model = vec![0; 4 << 20];
        model[..65_536].fill(0x5a);
        model[1 << 20..2 << 20].fill(0x33);
        // Among others, that qemu-img check finds no leak.
        judge(&image, Format::Qcow2, &model);
        let bytes = fs::read(&image).unwrap();
        assert_eq!(bytes[block as usize + 60_000..][..2], [0, 0]);
    }
}

#[test]
fn counts_that_are_too_low_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = create(folder.path(), &["4M"]);
    io(&image, &["write -P 0x5a 0 1M"]);
    let bytes = fs::read(&image).unwrap();
    let table = u64::from_be_bytes(bytes[48..56].try_into().unwrap()) as usize;
    let block = u64::from_be_bytes(bytes[table..table + 8].try_into().unwrap());
    let file = File::options().write(true).open(&image).unwrap();
    file.write_all_at(&[0, 0], block + 2 * 7).unwrap();
    let error = open(&image, Access::Seal).unwrap().stage().err().unwrap();
    assert!(matches!(error, ImageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("qemu-img check -r all"), "{error}");
}

#[test]
fn reserved_bits_in_a_table_are_refused_where_qemu_complains_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for (options, l2) in [
        ("compat=v3", &[1, 8, 56, 61][..]),
        ("compat=v3,extended_l2=on", &[0, 3, 60]),
        ("compat=0.10", &[0, 2, 57]),
    ] {
        let image = create(folder.path(), &["-o", options, "4M"]);
        io(&image, &["write -P 0x5a 0 1M"]);
        let sound = fs::read(&image).unwrap();
        let word = |at: usize| u64::from_be_bytes(sound[at..at + 8].try_into().unwrap());
        let (l1, counts) = (word(40), word(48));
        let table = word(l1 as usize) & 0x00ff_ffff_ffff_fe00;
        let file = File::options().write(true).open(&image).unwrap();
        let stage = || open(&image, Access::Seal).unwrap().stage().map(drop);
        stage().unwrap();
        for (structure, at, bits) in [
            ("L1 entry", l1, &[0, 8, 56, 62][..]),
            ("L2 entry", table, l2),
            ("refcount table entry", counts, &[0, 8]),
        ] {
            for bit in bits {
                let wrong = word(at as usize) | 1 << bit;
                file.write_all_at(&wrong.to_be_bytes(), at).unwrap();
                let error = stage().unwrap_err();
                assert!(matches!(error, ImageError::Corrupt { .. }), "{error}");
                let said = format!("{structure} at byte {at} of the image: reserved bits");
                assert!(error.to_string().contains(&said), "{options} {bit}: {error}");
                let check = ["check", "-q", "-f", "qcow2", text(&image)];
                let check = Command::new("qemu-img").args(check).output().unwrap();
                // QEMU itself takes bit 0 of an L2 entry for a zero cluster's in every version.
                let is_zero = structure == "L2 entry" && *bit == 0;
                assert!(is_zero || !check.status.success(), "{options} {structure} {bit}");
            }
            file.write_all_at(&word(at as usize).to_be_bytes(), at).unwrap();
        }
        stage().unwrap();
    }
}

#[test]
fn tens_of_thousands_of_zeroes_take_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let image = create(folder.path(), &["-o", "preallocation=metadata", "4G"]);
    let started = Instant::now();
    let opened = open(&image, Access::Seal).unwrap();
    let staged = opened.stage().unwrap();
    let disk = staged.disk();
    for at in (0..(4 << 30) - (100 << 10)).step_by(100 << 10) {
        disk.zero(at, 40 << 10).unwrap();
        disk.write_at(at + (70 << 10), &[1; 4096]).unwrap();
    }
    drop(disk);
    let overlay = staged.finish().unwrap();
    // Unoptimised, on a busy machine, with others beside it; it takes a tenth of that otherwise.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(overlay.staged_bytes() < 200 << 20, "{} bytes", overlay.staged_bytes());
}

#[test]
fn an_export_holds_the_same_disk_and_leaves_zeroes_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new("export", 0);
    for (index, len) in [1, 512, 65536, (9 << 20) + 512 * 7, 700_001].into_iter().enumerate() {
        let raw = raw_file(folder.path(), &mut random, len);
        let disk = HostFile::open(&raw).unwrap();
        for format in [Format::Raw, Format::Qcow2] {
            let to = folder.path().join(format!("new-{index}.{format}"));
            let exported = export(&disk, &to, format, &ExportOptions::default()).unwrap();
            assert_eq!(exported.file_size, fs::metadata(&to).unwrap().len());
            let mut model = fs::read(&raw).unwrap();
            if format == Format::Raw {
                assert!(fs::read(&to).unwrap() == model);
            }
            // qcow2 has whole sectors only, and so has qemu-img.
            let mut sectors = model.clone();
            sectors.resize(model.len().next_multiple_of(512), 0);
            judge(&to, format, &sectors);
            if format == Format::Qcow2 {
                model = sectors;
            }
            if len % 512 == 0 {
                let name = format.to_string();
                run("qemu-img", &["compare", "-f", "raw", "-F", &name, text(&raw), text(&to)]);
            }
            whole(&*open(&to, Access::Audit).unwrap().disk(), &model);
        }
    }
}

#[test]
fn an_export_of_a_vast_disk_is_small_and_quick() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Memory::new(4 << 40);
    for at in [0, 1 << 33, (4 << 40) - 5000] {
        disk.write_at(at, &[7; 5000]).unwrap();
    }
    // A cluster of zeroes that is no hole.
    let overlay = Overlay::new(Arc::new(disk));
    for format in [Format::Raw, Format::Qcow2] {
        let to = folder.path().join(format!("vast.{format}"));
        let started = Instant::now();
        let exported = export(&overlay, &to, format, &ExportOptions::default()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(exported.allocated < 1 << 20, "{exported:?}");
        let opened = open(&to, Access::Audit).unwrap();
        assert_eq!(opened.virtual_size(), 4 << 40);
        let mut end = [0; 5001];
        opened.disk().read_at((4 << 40) - 5001, &mut end).unwrap();
        assert_eq!((end[0], &end[1..]), (0, &[7; 5000][..]));
        if format == Format::Qcow2 {
            run("qemu-img", &["check", text(&to)]);
        }
    }
}

#[test]
fn an_export_replaces_nothing_unless_told_to_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new.raw");
    let disk = Memory::from_bytes(vec![3; 100_000]);
    fs::write(&to, b"old").unwrap();
    let error = export(&disk, &to, Format::Raw, &ExportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(fs::read(&to).unwrap(), b"old");
    export(&disk, &to, Format::Raw, &ExportOptions { overwrite: true, ..ExportOptions::default() })
        .unwrap();
    assert_eq!(fs::read(&to).unwrap(), vec![3; 100_000]);
    let nowhere = folder.path().join("missing/new.raw");
    export(&disk, &nowhere, Format::Raw, &ExportOptions::default()).unwrap_err();
    export(
        &disk,
        folder.path(),
        Format::Raw,
        &ExportOptions { overwrite: true, ..ExportOptions::default() },
    )
    .unwrap_err();
    // A device that fails halfway.
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&[1; 4 << 20], 0).unwrap();
    let failing = HostFile::from_file(file.try_clone().unwrap()).unwrap();
    file.set_len(2 << 20).unwrap();
    let other = folder.path().join("other.qcow2");
    export(&failing, &other, Format::Qcow2, &ExportOptions::default()).unwrap_err();
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["new.raw"]);
}

#[test]
fn an_image_tells_its_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let image = create(folder.path(), &["1G"]);
    let opened = open(&image, Access::Audit).unwrap();
    let metadata = fs::metadata(&image).unwrap();
    assert_eq!(opened.format(), Format::Qcow2);
    assert_eq!(opened.virtual_size(), 1 << 30);
    assert_eq!(opened.file_size(), metadata.len());
    assert_eq!(opened.allocated_size(), metadata.blocks() * 512);
    assert_eq!(opened.path(), image);
    assert!(opened.residue().is_empty());
}

/// Reads and edits whatever the image lets one; nothing may panic, hang or take much memory.
fn exercise(bytes: &[u8], seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.qcow2");
    fs::write(&path, bytes).unwrap();
    let format = Some(Format::Qcow2);
    let options = OpenOptions { format, allow_backing: false };
    let Ok(image) = Image::open(&path, &options, Access::Seal) else { return };
    let disk = image.disk();
    let mut random = Random::new("hostile", seed);
    let mut buffer = vec![0; 70_000];
    let size = disk.len();
    let mut at = 0;
    for _ in 0..200 {
        if at >= size {
            break;
        }
        let len = (size - at).min(buffer.len() as u64) as usize;
        let _ = disk.read_at(at, &mut buffer[..len]);
        at += disk.extent_at(at).map_or(65_536, |extent| extent.len());
    }
    let Ok(staged) = image.stage() else { return };
    let disk = staged.disk();
    for _ in 0..30 {
        let at = random.below(size.min(8 << 20));
        let len = random.below((size - at).min(70_000) + 1);
        let _ = disk.write_at(at, &buffer[..len as usize]);
        let _ = disk.zero(random.below(at + 1), len);
    }
    let _ = disk.zero(0, size);
    drop(disk);
    if let Ok(overlay) = staged.finish() {
        assert!(overlay.staged_bytes() < 64 << 20);
        let _ = image.reopen(overlay).map(|disk| disk.read_at(0, &mut buffer[..1]));
    }
}

#[test]
fn hostile_tables_are_an_error_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new("hostile images", 0);
    for (kind, options) in
        ["compat=1.1", "cluster_size=512", "extended_l2=on", "compat=0.10"].into_iter().enumerate()
    {
        let raw = raw_file(folder.path(), &mut random, 1 << 20);
        let image = folder.path().join("image.qcow2");
        let command = ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options];
        run("qemu-img", &[&command[..], &[text(&raw), text(&image)]].concat());
        io(&image, &["write -P 5 100k 300k"]);
        run("qemu-img", &["snapshot", "-c", "one", text(&image)]);
        io(&image, &["write -P 6 200k 300k"]);
        let good = fs::read(&image).unwrap();
        let cluster = 1 << good[23];
        // The header, and every cluster that looks like a table.
        let word = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
        let (l1, refcounts, snapshots) = (word(40) as usize, word(48) as usize, word(64) as usize);
        let l2 = (word(l1) & 0xff_ffff_ffff_ffff) as usize;
        let block = word(refcounts) as usize;
        for round in 0..60_u64 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(3) {
                let (start, len) = match random.below(6) {
                    0 | 1 => (0, 112),
                    2 => (l1, 16),
                    3 => (l2, cluster.min(256)),
                    4 => ([refcounts, block][random.below(2) as usize], 64),
                    _ => (snapshots, 64),
                };
                let at = start + random.below(len as u64) as usize;
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.number() as u8,
                    2 => bytes[at / 8 * 8..at / 8 * 8 + 8].fill(0xff),
                    _ => {
                        // An offset that exists, where another one was.
                        let target = random.below(good.len() as u64) / cluster as u64;
                        let entry = (target * cluster as u64) | (random.below(4) << 62);
                        bytes[at / 8 * 8..at / 8 * 8 + 8].copy_from_slice(&entry.to_be_bytes());
                    }
                }
            }
            if random.below(10) == 0 {
                bytes.truncate(random.below(bytes.len() as u64) as usize + 1);
            }
            exercise(&bytes, kind as u64 * 1000 + round);
        }
    }
}
