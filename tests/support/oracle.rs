//! The reference tools that judge what we did. A missing one fails the test and says its package.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a tool; panics when it cannot be run at all.
pub(crate) fn run(tool: &str, package: &str, args: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(tool)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("MTOOLS_SKIP_CHECK", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{tool} (package {package}) cannot be run: {error}"))
}

/// Runs a tool that has to succeed; gives its standard output.
pub(crate) fn succeed(tool: &str, package: &str, args: &[&str]) -> Vec<u8> {
    let output = run(tool, package, args);
    assert!(
        output.status.success(),
        "{tool} {} failed ({}):\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// What `e2fsck -fn` complains of; `None` when it finds nothing.
pub(crate) fn e2fsck_complaint(image: &Path) -> Option<String> {
    let output = run("e2fsck", "e2fsprogs", &["-fn", text(image)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint: Vec<&str> = said
        .lines()
        .filter(|line| {
            !(line.is_empty()
                || line.starts_with("Pass ")
                || line.contains(" non-contiguous), ") && line.ends_with(" blocks"))
        })
        .collect();
    let warned: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| !line.starts_with("e2fsck 1.") && !line.is_empty())
        .map(str::to_owned)
        .collect();
    if output.status.success() && complaint.is_empty() && warned.is_empty() {
        return None;
    }
    Some(format!("{}:\n{}\n{}", output.status, complaint.join("\n"), warned.join("\n")))
}

/// `e2fsck -fn` has to exit 0 and print nothing but its passes and its summary.
pub(crate) fn e2fsck_clean(image: &Path) {
    if let Some(complaint) = e2fsck_complaint(image) {
        panic!("e2fsck -fn {}: {complaint}", image.display());
    }
}

/// `fsck.vfat -n` has to find nothing.
pub(crate) fn fsck_vfat_clean(image: &Path) {
    let output = run("fsck.vfat", "dosfstools", &["-n", text(image)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = said.lines().any(|line| {
        !(line.starts_with("fsck.fat ") || line.contains(" files, ") || line.is_empty())
    });
    assert!(
        output.status.success() && !complaint && output.stderr.is_empty(),
        "fsck.vfat -n {}: {}\n{said}{}",
        image.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
}

/// `qemu-img check` has to find no error and no leak.
pub(crate) fn qemu_img_check(image: &Path) {
    succeed("qemu-img", "qemu-utils", &["check", "-q", "-f", "qcow2", text(image)]);
}

/// Converts between image formats.
pub(crate) fn qemu_img_convert(from: &Path, from_format: &str, to: &Path, to_args: &[&str]) {
    let mut args = vec!["convert", "-f", from_format];
    args.extend(to_args);
    args.extend([text(from), text(to)]);
    succeed("qemu-img", "qemu-utils", &args);
}

/// The free block ranges (first, last) as `dumpe2fs` lists them, and the block size in bytes.
pub(crate) fn free_blocks(image: &Path) -> (Vec<(u64, u64)>, u64) {
    let said = succeed("dumpe2fs", "e2fsprogs", &[text(image)]);
    let said = String::from_utf8_lossy(&said);
    let block_size = said
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"))
        .and_then(|size| size.trim().parse().ok())
        .expect("dumpe2fs prints a block size");
    let ranges = said
        .lines()
        .filter_map(|line| line.strip_prefix("  Free blocks: "))
        .flat_map(|line| line.split(", "))
        .filter(|range| !range.is_empty())
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (first.parse().expect("a block"), last.parse().expect("a block"))
        })
        .collect();
    (ranges, block_size)
}
