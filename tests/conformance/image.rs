//! What every image format has to do: its guest's disk is a device like any other, an edit is the
//! edit asked for, and the reference tools find the result sound.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sysprep_rs::block::{HostFile, ReadBlocks};
use sysprep_rs::image::{Access, Format, Image, OpenOptions};

use super::block;
use crate::random::Random;

/// Runs a tool, which must succeed, and gives what it printed.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{tool} (tests/run installs it): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

/// The path as the tools take it.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The guest's disk as `qemu-img` reads it.
pub(crate) fn content(image: &Path, format: Format) -> Vec<u8> {
    let raw = image.with_extension("content");
    run("qemu-img", &["convert", "-f", &format.to_string(), "-O", "raw", text(image), text(&raw)]);
    let bytes = fs::read(&raw).unwrap();
    fs::remove_file(raw).unwrap();
    bytes
}

/// Edits the image at random, commits the edit to its file, and judges it.
pub(crate) fn edits(path: &Path, format: Format, random: &mut Random, unit: u64, steps: u32) {
    let before = content(path, format);
    let mut model = before.clone();
    let options = OpenOptions { format: Some(format), allow_backing: false };
    let image = Image::open(path, &options, Access::Seal).unwrap();
    assert_eq!(image.format(), format);
    assert_eq!(image.virtual_size(), model.len() as u64);
    block::reads(&*image.disk(), &model, random);

    let staged = image.stage().unwrap();
    block::reads(&*staged.disk(), &model, random);
    block::writes(&*staged.disk(), &mut model, random, unit, steps);
    let disk = staged.disk();
    let overlay = staged.finish().unwrap();
    block::whole(&*disk, &model);
    block::reads(&*image.reopen(overlay.clone()).unwrap(), &model, random);
    // The file itself is as it was.
    block::whole(&*image.disk(), &before);

    drop((image, disk));
    block::commit(&overlay, &File::options().write(true).open(path).unwrap());
    // The lock lasts as long as anything lies on the file.
    drop(overlay);
    judge(path, format, &model);
    let image = Image::open(path, &options, Access::Audit).unwrap();
    block::reads(&*image.disk(), &model, random);
}

/// Holds the file against the reference tools and the model.
pub(crate) fn judge(path: &Path, format: Format, model: &[u8]) {
    if format == Format::Qcow2 {
        run("qemu-img", &["check", "-f", "qcow2", text(path)]);
    }
    let now = content(path, format);
    assert_eq!(now.len(), model.len());
    if let Some(at) = (0..now.len()).find(|&at| now[at] != model[at]) {
        panic!("at {at}: {:#x} by qemu-img, {:#x} expected", now[at], model[at]);
    }
}

/// A raw file of random content and holes, and how long it is.
pub(crate) fn raw_file(folder: &Path, random: &mut Random, len: u64) -> PathBuf {
    let path = folder.join("content.raw");
    let file = File::create(&path).unwrap();
    file.set_len(len).unwrap();
    for _ in 0..12 {
        let at = random.below(len) / 512 * 512;
        let longest = if random.below(3) == 0 { 400_000 } else { 9_000 };
        let mut bytes = random.bytes(random.clone().below((len - at).min(longest)) as usize);
        // Something that compresses, and something that does not.
        if random.below(2) == 0 {
            let pattern = random.number() as u8;
            bytes.fill(pattern);
        }
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).unwrap();
    }
    path
}

/// Makes a qcow2 image of random content with these `qemu-img convert` arguments, edits and judges
/// it.
fn qcow2(name: &str, arguments: &[&str], len: u64) {
    // More than one seed where it is quick; the many variants are seeds of their own.
    for seed in 0..if arguments.is_empty() { 4 } else { 1 } {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(name, seed);
        let raw = raw_file(folder.path(), &mut random, len);
        let image = folder.path().join("image.qcow2");
        let mut command = vec!["convert", "-f", "raw", "-O", "qcow2"];
        command.extend(arguments);
        command.extend([text(&raw), text(&image)]);
        run("qemu-img", &command);
        edits(&image, Format::Qcow2, &mut random, 1, 60);
        edits(&image, Format::Qcow2, &mut random, 4096, 60);
    }
}

const LEN: u64 = (3 << 20) + 512 * 3;

#[test]
fn raw_conforms() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new("raw", seed);
        let image = raw_file(folder.path(), &mut random, LEN);
        edits(&image, Format::Raw, &mut random, 1, 80);
    }
}

#[test]
fn qcow2_conforms() {
    qcow2("version 3", &[], LEN);
}

#[test]
fn qcow2_version_2_conforms() {
    qcow2("version 2", &["-o", "compat=0.10"], LEN);
}

#[test]
fn qcow2_of_small_clusters_conforms() {
    qcow2("clusters of 512", &["-o", "cluster_size=512"], LEN);
    qcow2("clusters of 4096", &["-o", "cluster_size=4096"], LEN);
}

#[test]
fn qcow2_of_large_clusters_conforms() {
    qcow2("clusters of 2 MiB", &["-o", "cluster_size=2M"], LEN * 3);
    qcow2("compressed clusters of 2 MiB", &["-c", "-o", "cluster_size=2M"], LEN * 3);
}

#[test]
fn qcow2_compressed_conforms() {
    qcow2("compressed", &["-c"], LEN);
    qcow2("compressed clusters of 4096", &["-c", "-o", "cluster_size=4096"], LEN);
    qcow2("compressed version 2", &["-c", "-o", "compat=0.10"], LEN);
}

#[test]
fn qcow2_with_extended_l2_conforms() {
    qcow2("extended L2", &["-o", "extended_l2=on"], LEN);
    qcow2("extended L2, small", &["-o", "extended_l2=on,cluster_size=16k"], LEN);
    qcow2("extended L2, compressed", &["-c", "-o", "extended_l2=on"], LEN);
}

#[test]
fn qcow2_with_lazy_refcounts_conforms() {
    qcow2("lazy refcounts", &["-o", "lazy_refcounts=on"], LEN);
}

#[test]
fn qcow2_preallocated_conforms() {
    for how in ["metadata", "falloc", "full"] {
        qcow2(how, &["-o", &format!("preallocation={how}")], LEN);
    }
}

#[test]
fn qcow2_of_every_refcount_width_conforms() {
    for bits in [1, 2, 4, 8, 32, 64] {
        qcow2(
            &format!("{bits}-bit refcounts"),
            &["-o", &format!("refcount_bits={bits},cluster_size=4096")],
            LEN,
        );
    }
}

#[test]
fn qcow2_grows_its_refcount_table() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.qcow2");
    let options = "cluster_size=512,refcount_bits=64";
    run("qemu-img", &["create", "-f", "qcow2", "-o", options, text(&image), "12M"]);
    let mut random = Random::new("a refcount table that grows", 0);
    let opened = Image::open(&image, &OpenOptions::default(), Access::Seal).unwrap();
    let staged = opened.stage().unwrap();
    let model = random.bytes(12 << 20);
    staged.disk().write_at(0, &model).unwrap();
    let overlay = staged.finish().unwrap();
    drop(opened);
    block::commit(&overlay, &File::options().write(true).open(&image).unwrap());
    drop(overlay);
    judge(&image, Format::Qcow2, &model);
}

#[test]
fn qcow2_on_backing_files_conforms() {
    for (name, options) in [
        ("version 3", "compat=1.1"),
        ("version 2", "compat=0.10"),
        ("extended L2", "extended_l2=on"),
        ("clusters of 4096", "cluster_size=4096"),
    ] {
        for seed in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let mut random = Random::new(&format!("backing files, {name}"), seed);
            let raw = raw_file(folder.path(), &mut random, LEN);
            let middle = folder.path().join("middle.qcow2");
            let image = folder.path().join("image.qcow2");
            // Of different sizes, one longer and one shorter than what it lies on.
            let on_raw = ["create", "-f", "qcow2", "-b", "content.raw", "-F", "raw"];
            run("qemu-img", &[&on_raw[..], &[text(&middle), "2500K"]].concat());
            run("qemu-io", &["-f", "qcow2", "-c", "write -P 7 1M 100k", text(&middle)]);
            let on_middle = ["create", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2"];
            run("qemu-img", &[&on_middle[..], &["-o", options, text(&image), "3500K"]].concat());
            run(
                "qemu-io",
                &[
                    "-f",
                    "qcow2",
                    "-c",
                    "write -P 9 64k 70k",
                    "-c",
                    "write -z 512k 256k",
                    "-c",
                    "write -c -P 3 1M 64k",
                    text(&image),
                ],
            );
            edits(&image, Format::Qcow2, &mut random, 1, 60);
            edits(&image, Format::Qcow2, &mut random, 65536, 30);
            let opened = Image::open(&image, &OpenOptions::default(), Access::Audit).unwrap();
            let residue = opened.residue();
            assert!(residue[0].text.contains("middle.qcow2"), "{residue:?}");
            assert!(residue[0].text.contains("content.raw"), "{residue:?}");
            drop(raw);
        }
    }
}

#[test]
fn qcow2_keeps_internal_snapshots() {
    for (seed, options) in
        ["", "cluster_size=4096", "compat=0.10", "extended_l2=on"].into_iter().enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(&format!("snapshots {options}"), seed as u64);
        let raw = raw_file(folder.path(), &mut random, LEN);
        let image = folder.path().join("image.qcow2");
        let compress = if seed % 2 == 0 { "-c" } else { "-q" };
        let options = if options.is_empty() { "compat=1.1" } else { options };
        let command = ["convert", compress, "-f", "raw", "-O", "qcow2", "-o", options];
        run("qemu-img", &[&command[..], &[text(&raw), text(&image)]].concat());
        run("qemu-img", &["snapshot", "-c", "first one", text(&image)]);
        run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 64k 700k", text(&image)]);
        run("qemu-img", &["snapshot", "-c", "second", text(&image)]);
        let snapshots = ["first one", "second"].map(|name| snapshot(&image, name));
        edits(&image, Format::Qcow2, &mut random, 1, 60);
        edits(&image, Format::Qcow2, &mut random, 4096, 60);
        let now = ["first one", "second"].map(|name| snapshot(&image, name));
        assert!(snapshots == now, "a snapshot changed");
        let opened = Image::open(&image, &OpenOptions::default(), Access::Audit).unwrap();
        let residue = opened.residue();
        assert!(residue[0].text.contains("2 internal snapshot(s)"), "{residue:?}");
        assert!(residue[0].text.contains("first one, second"), "{residue:?}");
    }
}

/// An internal snapshot's content.
fn snapshot(image: &Path, name: &str) -> Vec<u8> {
    let raw = image.with_extension("snapshot");
    run("qemu-img", &["convert", "-l", name, "-O", "raw", text(image), text(&raw)]);
    fs::read(raw).unwrap()
}

#[test]
fn a_sparse_raw_image_stays_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1; 1 << 20], 1 << 30).unwrap();
    drop(file);
    let image = Image::open(&path, &OpenOptions::default(), Access::Seal).unwrap();
    assert_eq!((image.format(), image.virtual_size()), (Format::Raw, 1 << 40));
    let staged = image.stage().unwrap();
    staged.disk().zero(0, 1 << 40).unwrap();
    let overlay = staged.finish().unwrap();
    assert_eq!(overlay.staged_bytes(), 0);
    block::commit(&overlay, &File::options().write(true).open(&path).unwrap());
    let allocated = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
    assert_eq!(allocated, 0);
    assert_eq!(HostFile::open(&path).unwrap().len(), 1 << 40);
}
