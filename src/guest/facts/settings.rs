//! Single settings out of configuration files.

use super::SelinuxMode;
use super::release::variables;

/// A host name's longest length, in bytes: Linux's `HOST_NAME_MAX`, and room for a domain.
const MAX_HOSTNAME: usize = 255;

/// Reads one file's host name.
type ParseHostname = fn(&[u8]) -> Option<String>;

/// Where a host name is written, and how.
pub(super) const HOSTNAMES: &[(&str, ParseHostname)] = &[
    ("/etc/hostname", first_line),
    ("/etc/sysconfig/network", sysconfig),
    ("/etc/HOSTNAME", first_line),
    ("/etc/conf.d/hostname", shell),
    ("/etc/rc.conf", shell),
    ("/etc/myname", first_line),
];

/// The first line that is neither empty nor a comment, as printable text.
pub(super) fn first_line(text: &[u8]) -> Option<String> {
    text.split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(hostname)
}

fn hostname(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.len() <= MAX_HOSTNAME && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

fn sysconfig(text: &[u8]) -> Option<String> {
    variables(text).filter(|(key, _)| key == "HOSTNAME").last().and_then(|(_, it)| hostname(&it))
}

fn shell(text: &[u8]) -> Option<String> {
    variables(text)
        .filter(|(key, _)| key.eq_ignore_ascii_case("hostname"))
        .last()
        .and_then(|(_, name)| hostname(&name))
}

/// `SELINUX=` of `/etc/selinux/config`.
pub(super) fn selinux_mode(text: &[u8]) -> Option<SelinuxMode> {
    let (_, mode) = variables(text).filter(|(key, _)| key == "SELINUX").last()?;
    match mode.to_ascii_lowercase().as_str() {
        "enforcing" => Some(SelinuxMode::Enforcing),
        "permissive" => Some(SelinuxMode::Permissive),
        "disabled" => Some(SelinuxMode::Disabled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_read() {
        let read = |file: &str, text: &[u8]| {
            let (_, parse) = HOSTNAMES.iter().find(|(path, _)| *path == file).unwrap();
            parse(text)
        };
        for (file, text, expected) in [
            ("/etc/hostname", &b"# set by me\n\nweb01\n"[..], Some("web01")),
            ("/etc/hostname", b"\n", None),
            ("/etc/hostname", b"a\x1b[2J\n", None),
            ("/etc/hostname", b"\xff\n", None),
            (
                "/etc/sysconfig/network",
                b"NETWORKING=yes\nHOSTNAME=old.example.org\n",
                Some("old.example.org"),
            ),
            ("/etc/sysconfig/network", b"NETWORKING=yes\n", None),
            ("/etc/conf.d/hostname", b"hostname=\"gentoo\"\n", Some("gentoo")),
            ("/etc/rc.conf", b"hostname=\"bsd.local\"\nsshd_enable=YES\n", Some("bsd.local")),
        ] {
            assert_eq!(read(file, text).as_deref(), expected, "{file}");
        }
        assert_eq!(read("/etc/hostname", &[b'x'; MAX_HOSTNAME + 1]), None);
    }

    #[test]
    fn the_last_selinux_setting_counts() {
        let text = b"# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n";
        assert_eq!(selinux_mode(text), Some(SelinuxMode::Enforcing));
        assert_eq!(
            selinux_mode(b"SELINUX=disabled\nSELINUX=Permissive"),
            Some(SelinuxMode::Permissive)
        );
        assert_eq!(selinux_mode(b"SELINUXTYPE=mls"), None);
    }
}
