//! Which system it is: os-release(5), and the files that came before it.

use std::fmt::Write as _;

/// What a release file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) id: Option<String>,
    pub(super) like: Vec<String>,
    pub(super) version: Option<String>,
    pub(super) name: Option<String>,
}

/// Reads one kind of release file.
type ParseRelease = fn(&[u8]) -> Option<Release>;

/// The files before os-release and how each is read, the more telling first.
pub(super) const OLDER: &[(&str, ParseRelease)] = &[
    ("/etc/centos-release", red_hat),
    ("/etc/oracle-release", red_hat),
    ("/etc/rocky-release", red_hat),
    ("/etc/almalinux-release", red_hat),
    ("/etc/fedora-release", red_hat),
    ("/etc/redhat-release", red_hat),
    ("/etc/system-release", red_hat),
    ("/etc/SuSE-release", suse),
    ("/etc/slackware-version", slackware),
    ("/etc/alpine-release", alpine),
    ("/etc/gentoo-release", gentoo),
    ("/etc/arch-release", arch),
    ("/etc/lsb-release", lsb),
    ("/etc/debian_version", debian),
];

/// A value is cut after this many characters: it is printed in reports.
const MAX_VALUE: usize = 256;

impl Release {
    /// Reads os-release(5).
    pub(super) fn from_os_release(text: &[u8]) -> Self {
        let mut release = Self::default();
        let mut plain = None;
        for (key, value) in variables(text) {
            match key.as_str() {
                "ID" => release.id = some(value.to_ascii_lowercase()),
                "ID_LIKE" => {
                    release.like = value
                        .split_ascii_whitespace()
                        .take(16)
                        .map(str::to_ascii_lowercase)
                        .collect();
                }
                "VERSION_ID" => release.version = some(value),
                "PRETTY_NAME" => release.name = some(value),
                "NAME" => plain = some(value),
                _ => {}
            }
        }
        release.name = release.name.or(plain);
        release
    }

    fn new(id: &str, like: &[&str], version: Option<String>, name: String) -> Self {
        Self {
            id: Some(id.to_owned()),
            like: like.iter().map(|&id| id.to_owned()).collect(),
            version,
            name: some(name),
        }
    }
}

fn some(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

/// Printable text of bounded length.
fn clean(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(MAX_VALUE).collect()
}

fn first_line(text: &[u8]) -> String {
    let line = text.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    clean(line.unwrap_or_default().trim_ascii())
}

/// Shell assignments, with the quoting that os-release allows: single quotes, double quotes with
/// `\` before `"`, `$`, `` ` `` and `\`, and a `\` before any byte outside quotes.
pub(super) fn variables(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"export ").unwrap_or(line);
        let equals = line.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&line[..equals], &line[equals + 1..]);
        let is_name =
            !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        is_name.then(|| (clean(key), clean(&unquote(value))))
    })
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut quote = None;
    let mut rest = value.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match (quote, byte) {
            (None, b' ' | b'\t' | b'#') => break,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (Some(b'\''), _) => bytes.push(byte),
            (Some(_), b'\\') => match rest.peek() {
                Some(b'"' | b'$' | b'`' | b'\\') => bytes.extend(rest.next()),
                _ => bytes.push(byte),
            },
            (None, b'\\') => bytes.extend(rest.next()),
            _ => bytes.push(byte),
        }
    }
    bytes
}

/// `NAME release VERSION (CODE)`, as Red Hat and its relatives write it.
fn red_hat(text: &[u8]) -> Option<Release> {
    let line = first_line(text);
    let (system, version) = line.split_once(" release ").unwrap_or((&line, ""));
    let version = version.split_ascii_whitespace().next().map(str::to_owned);
    let (id, like): (&str, &[&str]) = match system {
        name if name.starts_with("CentOS") => ("centos", &["rhel", "fedora"]),
        name if name.starts_with("Red Hat Enterprise") => ("rhel", &["fedora"]),
        name if name.starts_with("Red Hat Linux") => ("redhat", &["fedora"]),
        name if name.starts_with("Fedora") => ("fedora", &[]),
        name if name.starts_with("Oracle") => ("ol", &["rhel", "fedora"]),
        name if name.starts_with("Enterprise Linux") => ("ol", &["rhel", "fedora"]),
        name if name.starts_with("Rocky") => ("rocky", &["rhel", "centos", "fedora"]),
        name if name.starts_with("AlmaLinux") => ("almalinux", &["rhel", "centos", "fedora"]),
        name if name.starts_with("Scientific") => ("scientific", &["rhel", "fedora"]),
        name if name.starts_with("Amazon") => ("amzn", &["rhel", "fedora"]),
        _ => return None,
    };
    Some(Release::new(id, like, version, line))
}

/// SUSE's: a line with the name, then `VERSION = 11` and `PATCHLEVEL = 4`.
fn suse(text: &[u8]) -> Option<Release> {
    let line = first_line(text);
    let setting = |name: &str| {
        text.split(|&byte| byte == b'\n').find_map(|line| {
            let line = clean(line);
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let mut version = setting("VERSION");
    if let (Some(version), Some(level)) = (&mut version, setting("PATCHLEVEL"))
        && level != "0"
    {
        let _ = write!(version, ".{level}");
    }
    let name = line.split(" (").next().unwrap_or_default().to_owned();
    match name.to_ascii_lowercase() {
        lower if lower.starts_with("opensuse") => {
            Some(Release::new("opensuse", &["suse"], version, name))
        }
        lower if lower.contains("desktop") => Some(Release::new("sled", &["suse"], version, name)),
        lower if lower.contains("suse") => Some(Release::new("sles", &["suse"], version, name)),
        _ => None,
    }
}

fn slackware(text: &[u8]) -> Option<Release> {
    let line = first_line(text);
    let version = line.strip_prefix("Slackware ")?.to_owned();
    Some(Release::new("slackware", &[], some(version), line))
}

fn alpine(text: &[u8]) -> Option<Release> {
    let version = first_line(text);
    Some(Release::new("alpine", &[], some(version.clone()), format!("Alpine Linux {version}")))
}

fn gentoo(text: &[u8]) -> Option<Release> {
    let line = first_line(text);
    let version = line.rsplit_once(" release ").map(|(_, version)| version.to_owned());
    Some(Release::new("gentoo", &[], version, line))
}

fn arch(_: &[u8]) -> Option<Release> {
    // The file is empty: that it is there is what it says.
    Some(Release::new("arch", &[], None, "Arch Linux".into()))
}

fn lsb(text: &[u8]) -> Option<Release> {
    let mut release = Release::default();
    for (key, value) in variables(text) {
        match key.as_str() {
            "DISTRIB_ID" => release.id = some(value.to_ascii_lowercase()),
            "DISTRIB_RELEASE" => release.version = some(value),
            "DISTRIB_DESCRIPTION" => release.name = some(value),
            _ => {}
        }
    }
    if release.id.as_deref() == Some("ubuntu") {
        release.like = vec!["debian".into()];
    }
    release.id.is_some().then_some(release)
}

fn debian(text: &[u8]) -> Option<Release> {
    let version = first_line(text);
    Some(Release::new("debian", &[], some(version.clone()), format!("Debian GNU/Linux {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_as_a_shell_would() {
        let release = Release::from_os_release(
            b"# comment\nPRETTY_NAME=\"My \\\"OS\\\" \\$1 \\n\"\nNAME=x\nID=MyOS\n\
              ID_LIKE='rhel  fedora'\nVERSION_ID=9\\ .1 # not this\nexport BAD-KEY=1\n=2\nlone\n",
        );
        assert_eq!(
            release,
            Release {
                id: Some("myos".into()),
                like: vec!["rhel".into(), "fedora".into()],
                version: Some("9 .1".into()),
                name: Some("My \"OS\" $1 \\n".into()),
            }
        );
    }

    #[test]
    fn values_are_printable_and_short() {
        let text = [b"ID=a\x1b[31mb\nNAME=".to_vec(), vec![b'x'; 10_000]].concat();
        let release = Release::from_os_release(&text);
        assert_eq!(release.id.as_deref(), Some("a[31mb"));
        assert_eq!(release.name.unwrap().len(), MAX_VALUE);
        for odd in [&b"ID="[..], b"ID=\"", b"ID='x", b"ID=\\", b"\xff=\xff", b""] {
            let _ = Release::from_os_release(odd);
        }
    }

    #[test]
    fn older_files_are_understood() {
        let read = |file: &str, text: &str| {
            let (_, parse) = OLDER.iter().find(|(path, _)| path.ends_with(file)).unwrap();
            parse(text.as_bytes()).map(|it| (it.id.unwrap(), it.version.unwrap_or_default()))
        };
        for (file, text, id, version) in [
            ("redhat-release", "CentOS release 6.10 (Final)\n", "centos", "6.10"),
            ("centos-release", "CentOS Linux release 7.9.2009 (Core)\n", "centos", "7.9.2009"),
            (
                "redhat-release",
                "Red Hat Enterprise Linux Server release 6.10 (Santiago)",
                "rhel",
                "6.10",
            ),
            ("fedora-release", "Fedora release 20 (Heisenbug)", "fedora", "20"),
            ("system-release", "Amazon Linux AMI release 2018.03", "amzn", "2018.03"),
            (
                "SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
                "sles",
                "11.4",
            ),
            (
                "SuSE-release",
                "openSUSE 13.1 (x86_64)\nVERSION = 13.1\nCODENAME = Bottle\n",
                "opensuse",
                "13.1",
            ),
            ("slackware-version", "Slackware 14.2\n", "slackware", "14.2"),
            ("alpine-release", "3.4.6\n", "alpine", "3.4.6"),
            ("gentoo-release", "Gentoo Base System release 2.14\n", "gentoo", "2.14"),
            ("arch-release", "", "arch", ""),
            (
                "lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=12.04\nDISTRIB_DESCRIPTION=\"Ubuntu 12.04\"",
                "ubuntu",
                "12.04",
            ),
            ("debian_version", "6.0.10\n", "debian", "6.0.10"),
        ] {
            let expected = Some((id.to_owned(), version.to_owned()));
            assert_eq!(read(file, text), expected, "{file}: {text}");
        }
        assert_eq!(read("redhat-release", "Something else"), None);
        assert_eq!(read("lsb-release", "LSB_VERSION=1"), None);
    }
}
