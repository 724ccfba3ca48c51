//! `/etc/fstab` (fstab(5)): what the guest mounts where, and which volume of the image that is.

use super::{Files, GuestError};
use crate::fs::Kind;
use crate::path::{GuestPath, escape};
use crate::volume::VolumeId;

/// How many lines are considered, so that ordering them stays cheap; real ones have a few dozen.
const MAX_LINES: usize = 256;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The device field, its `\040` escapes undone.
    pub(super) source: Vec<u8>,
    /// The mount point field, likewise.
    pub(super) at: Vec<u8>,
    /// The filesystem type.
    pub(super) kind: Vec<u8>,
    /// The mount options.
    pub(super) options: Vec<Vec<u8>>,
}

impl Line {
    pub(super) fn has_option(&self, name: &[u8]) -> bool {
        self.options.iter().any(|option| option == name)
    }

    /// The line as a note names it.
    pub(super) fn shown(&self) -> String {
        format!("fstab: {} on {}", escape(&self.source), escape(&self.at))
    }
}

/// What a line mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A filesystem by its UUID.
    Uuid(String),
    /// A filesystem by its label.
    Label(String),
    /// A partition by its UUID.
    PartUuid(String),
    /// A partition by its label.
    PartLabel(String),
    /// A device by its kernel name: the disk's, and the partition's number (0: the whole disk).
    Device { disk: String, partition: u32 },
    /// A directory of the guest, shown again; `true`: with what is mounted below it.
    Bind(GuestPath, bool),
    /// Nothing on a disk: `proc`, `tmpfs`, swap space. Not worth a note.
    Nothing,
    /// Something that may be in this image, in a container that is not opened; what.
    Contained(&'static str),
    /// Something that cannot be in this image, or that has no name by which to find it; why.
    Elsewhere(&'static str),
}

/// Reads the file. Lines that are no entry are left out, as mount(8) does; the second value tells
/// whether lines past a limit were left out too.
pub(super) fn parse(text: &[u8]) -> (Vec<Line>, bool) {
    let mut lines = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let mut fields =
            line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|it| !it.is_empty());
        let Some(source) = fields.next().filter(|field| !field.starts_with(b"#")) else { continue };
        let Some(at) = fields.next() else { continue };
        if lines.len() == MAX_LINES {
            return (lines, true);
        }
        let kind = fields.next().unwrap_or(b"auto");
        let options = fields.next().unwrap_or(b"defaults");
        lines.push(Line {
            source: unescape(source),
            at: unescape(at),
            kind: unescape(kind),
            options: unescape(options).split(|&byte| byte == b',').map(<[u8]>::to_vec).collect(),
        });
    }
    (lines, false)
}

/// The files that are swap areas, by their paths.
pub(crate) fn swap_files(text: &[u8]) -> Vec<GuestPath> {
    let (lines, _) = parse(text);
    let named = lines.iter().filter(|line| line.kind == b"swap" && line.source.starts_with(b"/"));
    let paths = named.filter_map(|line| GuestPath::from_bytes(&line.source).ok());
    paths.filter(|path| path.names().next() != Some(b"dev")).collect()
}

/// The longest file that is read.
const BYTES: u64 = 1 << 20;

/// What mounts the filesystem that a path is on, as `/etc/fstab` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountedAt {
    /// Where.
    pub(crate) at: GuestPath,
    /// The options and the type, as they are written.
    options: Vec<Vec<u8>>,
    is_network: bool,
}

impl MountedAt {
    /// The line with the mount point next above a path, which is followed as far as it is there;
    /// `None` where no line is for it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub(crate) fn of(files: &dyn Files, path: &GuestPath) -> Result<Option<Self>, GuestError> {
        let fstab = GuestPath::root().join(b"etc").join(b"fstab");
        let there = files.follow(&fstab)?;
        if !there.is_some_and(|it| it.kind == Kind::File && it.size <= BYTES) {
            return Ok(None);
        }
        let path = real(files, path)?;
        let (lines, _) = parse(&files.read(&fstab, BYTES)?.unwrap_or_default());
        let mut found: Option<Self> = None;
        for line in lines.into_iter().filter(|it| it.kind != b"swap") {
            let Ok(at) = GuestPath::from_bytes(&line.at) else { continue };
            let above = found.as_ref().is_none_or(|it| it.at.names().len() < at.names().len());
            if above && path.starts_with(&at) {
                let kind = String::from_utf8_lossy(&line.kind).into_owned();
                let is_network = NETWORK.contains(&&*kind) || line.has_option(b"_netdev");
                found = Some(Self { at, options: line.options, is_network });
            }
        }
        Ok(found)
    }

    fn has(&self, name: &[u8]) -> bool {
        self.options.iter().any(|it| it == name)
    }

    /// Whether it is mounted for reading alone: the last word on it counts.
    pub(crate) fn is_read_only(&self) -> bool {
        let last = self.options.iter().rfind(|it| matches!(it.as_slice(), b"ro" | b"rw"));
        last.is_some_and(|it| it == b"ro")
    }

    /// Why it may not be there once `local-fs.target` is reached; `None` where it is.
    pub(crate) fn is_late(&self) -> Option<&'static str> {
        if self.at.is_root() || self.has(b"x-systemd.automount") {
            return None;
        }
        let words: [(&[u8], &'static str); 2] = [(b"noauto", "noauto"), (b"nofail", "nofail")];
        let word = words.into_iter().find(|(word, _)| self.has(word)).map(|(_, word)| word);
        word.or(self.is_network.then_some("over the network"))
    }
}

/// A path without symlinks, as far as it is there.
fn real(files: &dyn Files, path: &GuestPath) -> Result<GuestPath, GuestError> {
    let mut below = Vec::new();
    let mut here = path.clone();
    loop {
        if let Some(found) = files.follow(&here)? {
            return Ok(below.iter().rev().fold(found.path, |dir, name: &Vec<u8>| dir.join(name)));
        }
        let Some((dir, name)) = here.parent().zip(here.name().map(<[u8]>::to_vec)) else {
            return Ok(path.clone());
        };
        below.push(name);
        here = dir;
    }
}

/// Undoes `\ooo`, an octal byte.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    bytes
}

/// Types that hold no files on a disk.
const VIRTUAL: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fdescfs",
    "fusectl",
    "hugetlbfs",
    "ignore",
    "linprocfs",
    "linsysfs",
    "mqueue",
    "nfsd",
    "proc",
    "procfs",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "swap",
    "sysfs",
    "tmpfs",
    "tracefs",
    "usbfs",
    "usbdevfs",
];

/// Types whose files are on other machines.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "ceph",
    "cifs",
    "davfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
    "sshfs",
    "vboxsf",
    "virtiofs",
];

/// What a line mounts.
pub(super) fn source(line: &Line) -> Source {
    let kind = String::from_utf8_lossy(&line.kind);
    let bind = line.has_option(b"bind") || line.has_option(b"rbind");
    if VIRTUAL.contains(&&*kind) || line.at == b"none" || line.at == b"swap" {
        return Source::Nothing;
    }
    if NETWORK.contains(&&*kind) || line.has_option(b"_netdev") && line.source.contains(&b':') {
        return Source::Elsewhere("a network filesystem");
    }
    if bind {
        return match GuestPath::from_bytes(&line.source) {
            Ok(path) => Source::Bind(path, line.has_option(b"rbind")),
            Err(_) => Source::Elsewhere("what it binds is not a plain absolute path"),
        };
    }
    if kind.starts_with("fuse") || kind == "overlay" || kind == "aufs" || kind == "unionfs" {
        return Source::Elsewhere("made by the running guest");
    }
    let Ok(text) = std::str::from_utf8(&line.source) else {
        return Source::Elsewhere("its device is not text");
    };
    if let Some((tag, value)) = text.split_once('=') {
        let value = value.trim_matches(['"', '\'']).to_owned();
        return match tag.to_ascii_uppercase().as_str() {
            "UUID" => Source::Uuid(value),
            "LABEL" => Source::Label(value),
            "PARTUUID" => Source::PartUuid(value),
            "PARTLABEL" => Source::PartLabel(value),
            _ => Source::Elsewhere("a kind of name we do not know"),
        };
    }
    let Some(device) = text.strip_prefix("/dev/") else {
        return if text.starts_with('/') {
            Source::Elsewhere("a filesystem in a file")
        } else {
            Source::Elsewhere("not a device")
        };
    };
    if let Some(name) = device.strip_prefix("disk/") {
        return match name.split_once('/') {
            Some(("by-uuid", value)) => Source::Uuid(udev_name(value)),
            Some(("by-label", value)) => Source::Label(udev_name(value)),
            Some(("by-partuuid", value)) => Source::PartUuid(udev_name(value)),
            Some(("by-partlabel", value)) => Source::PartLabel(udev_name(value)),
            Some(("by-id" | "by-path", value)) => match value.rsplit_once("-part") {
                Some((disk, number)) => match number.parse() {
                    Ok(partition) => Source::Device { disk: disk.to_owned(), partition },
                    Err(_) => Source::Elsewhere("a kind of name we do not know"),
                },
                None => Source::Device { disk: value.to_owned(), partition: 0 },
            },
            _ => Source::Elsewhere("a kind of name we do not know"),
        };
    }
    if device.starts_with("mapper/")
        || device.starts_with("dm-")
        || device.matches('/').count() == 1
    {
        return Source::Contained("on LVM or another mapped device, which is not opened");
    }
    if device.starts_with("md") {
        return Source::Contained("on a software RAID, which is not opened");
    }
    kernel_name(device).unwrap_or(Source::Elsewhere("not a disk of this image"))
}

/// Takes `sda1`, `vdb`, `nvme0n1p2`, `mmcblk0p1` apart.
fn kernel_name(device: &str) -> Option<Source> {
    let letters = ["sd", "vd", "xvd", "hd", "ubd"];
    let numbered = ["nvme", "mmcblk", "pmem", "nbd"];
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (disk, number) = if numbered.iter().any(|prefix| device.starts_with(prefix)) {
        match device.rsplit_once('p') {
            // The prefix of `pmem0` holds a `p` of its own, and nothing before it.
            Some((disk, number)) if !disk.is_empty() && digits(number) => (disk, number),
            _ => (device, ""),
        }
    } else {
        let rest = letters.iter().find_map(|prefix| device.strip_prefix(prefix))?;
        let name = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        if name.len() == rest.len() || !name.is_empty() && !digits(name) {
            return None;
        }
        (device.strip_suffix(name)?, name)
    };
    if disk.contains('/') {
        return None;
    }
    let partition = if number.is_empty() { 0 } else { number.parse().ok()? };
    Some(Source::Device { disk: disk.to_owned(), partition })
}

/// What the guest calls the image's only disk, where nothing says otherwise.
const FIRST_DISKS: &[&str] =
    &["sda", "vda", "xvda", "hda", "ubda", "nvme0n1", "mmcblk0", "pmem0", "nbd0"];

/// Whether a disk of this name is the image's: the root line's own, else the first of its kind.
fn is_only_disk(named: &str, root_disk: Option<&str>) -> bool {
    match root_disk {
        Some(disk) if disk == named => true,
        // A root line by `/dev/disk/by-id` says nothing about the kernel's names.
        Some(disk) if kernel_name(disk).is_some() => false,
        _ => FIRST_DISKS.contains(&named),
    }
}

/// Undoes udev's `\x20` in the names of its links.
fn udev_name(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| hex.get(..2))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &rest[4..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Puts the lines in an order in which each mount point and each bound directory is there when
/// its turn comes, as systemd does: what lies above goes first, otherwise the file's order.
pub(super) fn in_order(lines: Vec<(Line, GuestPath, Source)>) -> Vec<(Line, GuestPath, Source)> {
    let mut open: Vec<Option<(Line, GuestPath, Source)>> = lines.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(open.len());
    while sorted.len() < open.len() {
        let waits = |at: usize| {
            let Some((_, point, source)) = &open[at] else { return true };
            open.iter().enumerate().any(|(other, line)| {
                let Some((_, above, _)) = line else { return false };
                let bound = matches!(source, Source::Bind(from, _) if from.starts_with(above));
                other != at && (bound || point != above && point.starts_with(above))
            })
        };
        // Lines that wait for one another are taken as they come.
        let next = (0..open.len())
            .find(|&at| !waits(at))
            .or_else(|| open.iter().position(Option::is_some));
        let Some(line) = next.and_then(|at| open[at].take()) else { break };
        sorted.push(line);
    }
    sorted
}

/// A volume as `fstab` may name it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) id: VolumeId,
    pub(super) number: u32,
    pub(super) uuid: Option<String>,
    pub(super) label: Option<String>,
    pub(super) partition_uuid: Option<String>,
    pub(super) partition_label: Option<String>,
}

/// The volume that a line names; `root_disk`: the disk that the guest's root line names, where it does.
pub(super) fn volume_of<'a>(
    source: &Source,
    volumes: &'a [Named],
    root_disk: Option<&str>,
) -> Result<&'a Named, &'static str> {
    let by = |tag: fn(&Named) -> &Option<String>, value: &str, missing| {
        volumes
            .iter()
            .find(|volume| tag(volume).as_ref().is_some_and(|it| it.eq_ignore_ascii_case(value)))
            .ok_or(missing)
    };
    match source {
        Source::Uuid(value) => {
            by(|it| &it.uuid, value, "no filesystem that we read has this UUID in this image")
        }
        Source::Label(value) => volumes
            .iter()
            .find(|volume| volume.label.as_ref() == Some(value))
            .ok_or("no filesystem that we read has this label in this image"),
        Source::PartUuid(value) => {
            by(|it| &it.partition_uuid, value, "no partition of this image has this UUID")
        }
        Source::PartLabel(value) => volumes
            .iter()
            .find(|volume| volume.partition_label.as_ref() == Some(value))
            .ok_or("no partition of this image has this label"),
        Source::Device { disk: named, partition } => {
            if !is_only_disk(named, root_disk) {
                return Err("on another disk");
            }
            volumes
                .iter()
                .find(|volume| volume.number == *partition)
                .ok_or("this image has no such partition")
        }
        Source::Bind(..) | Source::Nothing => Err("not a device"),
        Source::Contained(why) | Source::Elsewhere(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let (lines, cut) = parse(text.as_bytes());
        assert!(!cut);
        assert_eq!(lines.len(), 1, "{text}");
        lines.into_iter().next().unwrap()
    }

    #[test]
    fn lines_are_split_and_unescaped() {
        let text = b"# a comment\n\n  # another\nUUID=1\t/\text4 defaults,noatime 0 1\n\
            /dev/vdb1 /mnt/my\\040disk\\134x auto\nalone\nLABEL=a /b\n";
        let (lines, cut) = parse(text);
        assert!(!cut);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].options, [b"defaults".to_vec(), b"noatime".to_vec()]);
        assert_eq!(lines[1].at, b"/mnt/my disk\\x");
        assert_eq!(lines[2].kind, b"auto");
    }

    #[test]
    fn more_lines_than_any_guest_has_are_cut() {
        let text = "/dev/sda1 /a ext4\n".repeat(MAX_LINES + 1);
        assert!(parse(text.as_bytes()).1);
    }

    #[test]
    fn sources_are_understood() {
        let device = |disk: &str, partition| Source::Device { disk: disk.into(), partition };
        for (text, expected) in [
            ("UUID=\"ab-CD\" / ext4", Source::Uuid("ab-CD".into())),
            ("LABEL=cloudimg-rootfs / ext4", Source::Label("cloudimg-rootfs".into())),
            ("PARTUUID=a-01 / ext4", Source::PartUuid("a-01".into())),
            ("PARTLABEL=boot /boot ext4", Source::PartLabel("boot".into())),
            ("/dev/disk/by-uuid/1-2 / ext4", Source::Uuid("1-2".into())),
            ("/dev/disk/by-label/my\\134x20disk / ext4", Source::Label("my disk".into())),
            ("/dev/disk/by-partuuid/x / ext4", Source::PartUuid("x".into())),
            ("/dev/disk/by-id/ata-QEMU-part2 / ext4", device("ata-QEMU", 2)),
            ("/dev/sda1 / ext4", device("sda", 1)),
            ("/dev/vdb /x ext4", device("vdb", 0)),
            ("/dev/xvda1 / ext4", device("xvda", 1)),
            ("/dev/nvme0n1p15 /x vfat", device("nvme0n1", 15)),
            ("/dev/nvme0n1 /x ext4", device("nvme0n1", 0)),
            ("/dev/mmcblk0p2 / ext4", device("mmcblk0", 2)),
            ("/dev/pmem0 / ext4", device("pmem0", 0)),
            ("/dev/pmem0p1 / ext4", device("pmem0", 1)),
            ("/home/x /srv/x none bind 0 0", Source::Bind("/home/x".parse().unwrap(), false)),
            ("/a /b none rw,rbind 0 0", Source::Bind("/a".parse().unwrap(), true)),
            ("proc /proc proc", Source::Nothing),
            ("tmpfs /tmp tmpfs", Source::Nothing),
            ("/swapfile none swap sw", Source::Nothing),
            ("server:/x /mnt nfs", Source::Elsewhere("a network filesystem")),
        ] {
            assert_eq!(source(&line(text)), expected, "{text}");
        }
        for text in ["/dev/mapper/vg-root / xfs", "/dev/vg0/home /home ext4", "/dev/md0 /x ext4"] {
            assert!(matches!(source(&line(text)), Source::Contained(_)), "{text}");
        }
        for text in [
            "/dev/sr0 /media/cdrom udf,iso9660 user,noauto",
            "/dev/root / ext4",
            "/dev/sda1x / ext4",
            "/images/x.img /mnt ext4 loop",
            "/a/../b /c none bind",
            "sshfs#user@host: /mnt fuse",
        ] {
            assert!(matches!(source(&line(text)), Source::Elsewhere(_)), "{text}");
        }
    }

    #[test]
    fn what_lies_above_is_mounted_first() {
        let lines =
            ["/dev/sda3 /a/b ext4", "/x/y /z none bind", "/dev/sda2 /a ext4", "/dev/sda4 /x ext4"]
                .map(|text| {
                    let line = line(text);
                    let at = GuestPath::from_bytes(&line.at).unwrap();
                    let source = source(&line);
                    (line, at, source)
                });
        let order: Vec<String> =
            in_order(lines.into()).into_iter().map(|(_, at, _)| at.to_string()).collect();
        assert_eq!(order, ["/a", "/a/b", "/x", "/z"]);
    }

    #[test]
    fn lines_that_wait_for_one_another_still_come() {
        let lines = ["/a/x /b none bind", "/b/y /a none bind"].map(|text| {
            let line = line(text);
            let at = GuestPath::from_bytes(&line.at).unwrap();
            let source = source(&line);
            (line, at, source)
        });
        assert_eq!(in_order(lines.into()).len(), 2);
    }

    #[test]
    fn device_names_are_the_only_disk_or_another() {
        let volumes = [1, 2].map(|number| Named {
            id: VolumeId(format!("part{number}")),
            number,
            uuid: Some(format!("AB-0{number}")),
            label: None,
            partition_uuid: None,
            partition_label: None,
        });
        let find = |text: &str, disk| {
            volume_of(&source(&line(text)), &volumes, disk).map(|volume| volume.number)
        };
        assert_eq!(find("/dev/sda2 /x ext4", None), Ok(2));
        assert_eq!(find("/dev/vda1 /x ext4", None), Ok(1));
        assert_eq!(find("/dev/sdb1 /x ext4", None), Err("on another disk"));
        assert_eq!(find("/dev/nvme1n1p1 /x ext4", None), Err("on another disk"));
        assert_eq!(find("/dev/sdb1 /x ext4", Some("sdb")), Ok(1));
        assert_eq!(find("/dev/sda1 /x ext4", Some("sdb")), Err("on another disk"));
        assert_eq!(find("/dev/sda9 /x ext4", None), Err("this image has no such partition"));
        assert_eq!(find("UUID=ab-01 /x vfat", None), Ok(1));
        assert!(find("UUID=zz /x vfat", None).is_err());
    }
}
