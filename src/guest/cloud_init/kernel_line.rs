//! The kernel's command line of the next boot, from what the boot loader reads.

use super::text::{self, Odd};
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// The longest configuration of a boot loader that is read; GRUB's have tens of KiB.
const LOADER_BYTES: u64 = 4 << 20;

/// How many lines with a kernel's arguments are looked at.
const LINES: usize = 1000;

/// Where GRUB's own file is, which only what it boots is read from.
const GRUB: &[&str] =
    &["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst", "/boot/grub/grub.conf"];

/// Where the files of the Boot Loader Specification are.
const ENTRIES: &[&str] =
    &["/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries"];

/// Further files that a boot loader or the kernel's own installer takes arguments from.
const PLAIN: &[&str] = &["/boot/cmdline.txt", "/boot/firmware/cmdline.txt"];

/// The arguments of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelLine {
    /// The file.
    pub(super) path: GuestPath,
    /// The arguments.
    pub(super) arguments: Vec<String>,
}

impl KernelLine {
    /// The arguments that cloud-init looks at.
    pub(super) fn told(&self) -> impl Iterator<Item = &str> {
        let all = self.arguments.iter().map(String::as_str);
        all.filter(|it| {
            let keys = ["cloud-init=", "ds=", "ci.", "cc:"];
            keys.iter().any(|key| it.starts_with(key)) || it.contains("datasource_list")
        })
    }

    /// The last value of an argument.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let values = self.arguments.iter().rev();
        values.filter_map(|it| it.split_once('=')).find(|it| it.0 == key).map(|it| it.1)
    }
}

/// Every entry's arguments.
pub(super) fn read(files: &dyn Files, odd: &mut Odd) -> Result<Vec<KernelLine>, GuestError> {
    let mut lines = Vec::new();
    for grub in GRUB {
        each_line(files, &text::path(grub), odd, &mut |path, line| {
            let mut parts = line.split_whitespace();
            if let Some("linux" | "linux16" | "linuxefi" | "kernel") = parts.next() {
                let arguments = words(line).split_off(1);
                lines.push(KernelLine { path: path.clone(), arguments });
            }
        })?;
    }
    let kernelopts = kernelopts(files, odd)?;
    for folder in ENTRIES {
        for path in text::ending(files, &text::path(folder), b".conf", odd)? {
            let mut arguments = Vec::new();
            let mut any = false;
            each_line(files, &path, odd, &mut |_, line| {
                let mut parts = line.split_whitespace();
                if parts.next() == Some("options") {
                    arguments.extend(words(line).split_off(1));
                }
                any = true;
            })?;
            if let Some(at) = arguments.iter().position(|it| it == "$kernelopts") {
                arguments.splice(at..=at, kernelopts.iter().cloned());
            }
            if any {
                lines.push(KernelLine { path, arguments });
            }
        }
    }
    for folder in ["/boot/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg"] {
        each_line(files, &text::path(folder), odd, &mut |path, line| {
            let mut parts = line.split_whitespace();
            if parts.next().is_some_and(|it| it.eq_ignore_ascii_case("append")) {
                lines.push(KernelLine { path: path.clone(), arguments: words(line).split_off(1) });
            }
        })?;
    }
    for plain in PLAIN {
        each_line(files, &text::path(plain), odd, &mut |path, line| {
            lines.push(KernelLine { path: path.clone(), arguments: words(line) });
        })?;
    }
    if lines.is_empty() {
        lines = sources(files, odd)?;
    }
    if lines.len() > LINES {
        let path = lines.first().map(|it| it.path.clone()).unwrap_or_default();
        odd.push((path, format!("more than {LINES} kernels to boot, and the rest was not read")));
        lines.truncate(LINES);
    }
    Ok(lines)
}

/// The arguments that the next boot loader's file will have.
pub(super) fn sources(files: &dyn Files, odd: &mut Odd) -> Result<Vec<KernelLine>, GuestError> {
    let mut all: Vec<(GuestPath, bool)> = vec![(text::path("/etc/kernel/cmdline"), false)];
    all.push((text::path("/etc/default/grub"), true));
    let dropped = text::ending(files, &text::path("/etc/default/grub.d"), b".cfg", odd)?;
    all.extend(dropped.into_iter().map(|it| (it, true)));
    let mut lines: Vec<KernelLine> = Vec::new();
    for (path, is_grub) in all {
        let mut arguments = Vec::new();
        each_line(files, &path, odd, &mut |_, line| {
            let line = match (is_grub, line.split_once('=')) {
                (false, _) => line,
                (true, Some((key, value))) if key.starts_with("GRUB_CMDLINE_LINUX") => value,
                (true, _) => return,
            };
            arguments.extend(words(line));
        })?;
        if !arguments.is_empty() {
            lines.push(KernelLine { path, arguments });
        }
    }
    Ok(lines)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(|it| it.trim_matches(['"', '\'']).to_owned()).collect()
}

/// The arguments that entries name as `$kernelopts`, which GRUB keeps in its environment block.
fn kernelopts(files: &dyn Files, odd: &mut Odd) -> Result<Vec<String>, GuestError> {
    let mut found = Vec::new();
    for block in ["/boot/grub2/grubenv", "/boot/grub/grubenv"] {
        each_line(files, &text::path(block), odd, &mut |_, line| {
            if let Some(rest) = line.strip_prefix("kernelopts=") {
                found = rest.split_whitespace().map(str::to_owned).collect();
            }
        })?;
    }
    Ok(found)
}

fn each_line(
    files: &dyn Files,
    path: &GuestPath,
    odd: &mut Odd,
    take: &mut dyn FnMut(&GuestPath, &str),
) -> Result<(), GuestError> {
    let Some(state) = files.follow(path)? else { return Ok(()) };
    if state.size > LOADER_BYTES {
        odd.push((path.clone(), format!("longer than {LOADER_BYTES} bytes, and was not read")));
        return Ok(());
    }
    let Some(content) = files.read(path, LOADER_BYTES)? else { return Ok(()) };
    for line in String::from_utf8_lossy(&content).lines().map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            take(path, line);
        }
    }
    Ok(())
}
