//! Names of systemd units (systemd.unit(5)): `prefix.type`, `prefix@.type`, `prefix@instance.type`.

/// The longest name, in bytes: systemd's `UNIT_NAME_MAX` counts the NUL.
const MAX: usize = 255;

/// Whether it is one of the types that units have.
fn is_type(text: &str) -> bool {
    matches!(
        text,
        "service"
            | "socket"
            | "target"
            | "device"
            | "mount"
            | "automount"
            | "swap"
            | "timer"
            | "path"
            | "slice"
            | "scope"
    )
}

/// What form a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Template,
    Instance,
}

/// A valid name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// What stands before `@`, or before the type's dot.
    pub(super) prefix: &'a str,
    /// What stands after `@`: empty in a template.
    pub(super) instance: Option<&'a str>,
    /// The type, without its dot.
    pub(super) kind: &'a str,
}

impl<'a> Name<'a> {
    /// Takes a name apart; `None` where it is no unit's.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (stem, kind) = name.rsplit_once('.')?;
        if stem.is_empty() || name.len() > MAX || !is_type(kind) {
            return None;
        }
        if !stem.bytes().all(|byte| byte == b'@' || fits(byte)) || stem.starts_with('@') {
            return None;
        }
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        Some(Self { prefix, instance, kind })
    }

    pub(super) fn form(&self) -> Form {
        match self.instance {
            None => Form::Plain,
            Some("") => Form::Template,
            Some(_) => Form::Instance,
        }
    }

    /// The template that this is one of.
    pub(super) fn template(&self) -> Option<String> {
        self.instance.map(|_| format!("{}@.{}", self.prefix, self.kind))
    }

    /// This template, or instance, for another instance.
    pub(super) fn with_instance(&self, instance: &str) -> Option<String> {
        let name = format!("{}@{instance}.{}", self.prefix, self.kind);
        (self.instance.is_some() && Name::parse(&name)?.form() == Form::Instance).then_some(name)
    }

    /// Whether units of this type may have other names by symlinks.
    pub(super) fn may_alias(&self) -> bool {
        matches!(self.kind, "service" | "socket" | "target" | "device" | "timer" | "path")
    }

    /// Whether units of this type may be templates.
    pub(super) fn may_template(&self) -> bool {
        matches!(self.kind, "service" | "socket" | "target" | "timer" | "path")
    }

    /// The name with the shorter prefix whose drop-ins hold for this one too: `a-b-c.service` has
    /// those of `a-b-.service`, that those of `a-.service`.
    pub(super) fn shortened(&self) -> Option<String> {
        let chopped = self.prefix.strip_suffix('-').unwrap_or(self.prefix);
        let dash = chopped.rfind('-').filter(|&dash| dash > 0)?;
        let prefix = &chopped[..=dash];
        Some(match self.instance {
            Some(instance) => format!("{prefix}@{instance}.{}", self.kind),
            None => format!("{prefix}.{}", self.kind),
        })
    }
}

/// Whether a byte may stand in a name outside of `@`.
pub(super) fn fits(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'\\')
}

/// A path as the prefix of a unit's name (systemd-escape(1) `--path`).
pub(super) fn escape_path(path: &crate::path::GuestPath) -> String {
    if path.is_root() {
        return "-".into();
    }
    let mut name = String::new();
    for part in path.names() {
        if !name.is_empty() {
            name.push('-');
        }
        for &byte in part {
            if (byte == b'.' && name.is_empty()) || byte == b'-' || byte == b'\\' || !fits(byte) {
                name.push_str(&format!("\\x{byte:02x}"));
            } else {
                name.push(char::from(byte));
            }
        }
    }
    name
}

/// The reverse of systemd-escape(1), as bytes: `%I`.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let code = tail
                    .strip_prefix(b"x")
                    .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                if let Some(code) = code {
                    bytes.push(code);
                    rest = &tail[3..];
                }
            }
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// A value with its specifiers (`%i` …) filled in for a unit; `None` where one is not known from
/// the unit's name alone.
pub(super) fn expand(value: &str, unit: &str) -> Option<String> {
    let name = Name::parse(unit)?;
    let known = name.instance.filter(|it| !it.is_empty()).or(name.instance.is_none().then_some(""));
    expand_as(value, unit, known)
}

/// The same with the instance given: that of a template's `[Install]` section is its default one.
pub(super) fn expand_as(value: &str, unit: &str, known: Option<&str>) -> Option<String> {
    if !value.contains('%') {
        return Some(value.into());
    }
    let name = Name::parse(unit)?;
    let bare = |text: &str| String::from_utf8(unescape(text)).ok();
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next()? {
            '%' => text.push('%'),
            'i' => text.push_str(known?),
            'I' => text.push_str(&bare(known?)?),
            'p' => text.push_str(name.prefix),
            'P' => text.push_str(&bare(name.prefix)?),
            'j' => text.push_str(name.prefix.rsplit('-').next()?),
            'J' => text.push_str(&bare(name.prefix.rsplit('-').next()?)?),
            'n' => text.push_str(known.and(Some(unit))?),
            'N' => text.push_str(known.and(unit.rsplit_once('.'))?.0),
            'f' => {
                text.push('/');
                text.push_str(&bare(known.filter(|it| !it.is_empty()).unwrap_or(name.prefix))?);
            }
            _ => return None,
        }
        if text.len() > 4096 {
            return None;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_systemd_does() {
        let name = Name::parse("sshd-keygen@rsa.service").unwrap();
        assert_eq!(
            (name.prefix, name.instance, name.kind),
            ("sshd-keygen", Some("rsa"), "service")
        );
        assert_eq!(name.template().unwrap(), "sshd-keygen@.service");
        assert_eq!(name.with_instance("a@b").unwrap(), "sshd-keygen@a@b.service");
        assert_eq!(name.with_instance("a/b"), None);
        assert_eq!(Name::parse("a.service").unwrap().form(), Form::Plain);
        assert_eq!(Name::parse("a@.timer").unwrap().form(), Form::Template);
        let long = format!("{}.service", "a".repeat(248));
        for bad in
            ["", ".service", "@a.service", "a b.service", "a.conf", "a", "a/b.service", &long]
        {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
        let short = |name| Name::parse(name).unwrap().shortened();
        assert_eq!(short("a-b-c.service").as_deref(), Some("a-b-.service"));
        assert_eq!(short("a-b-.service").as_deref(), Some("a-.service"));
        assert_eq!(short("a-@x.service"), None);
        assert_eq!(short("-a.mount"), None);
    }

    #[test]
    fn paths_and_specifiers_are_written_as_systemd_escape_writes_them() {
        let path = |text: &str| text.parse::<crate::path::GuestPath>().unwrap();
        assert_eq!(escape_path(&path("/")), "-");
        assert_eq!(escape_path(&path("/.a/b-c/d e")), "\\x2ea-b\\x2dc-d\\x20e");
        assert_eq!(
            expand("/x/%i_%I.%p", "a-b@c\\x2dd-e.service").unwrap(),
            "/x/c\\x2dd-e_c-d/e.a-b"
        );
        assert_eq!(expand("100%%", "a.service").unwrap(), "100%");
        assert_eq!(expand("%i", "a@.service"), None);
        assert_eq!(expand("%m", "a.service"), None);
    }
}
