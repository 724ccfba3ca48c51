//! One line of a file of tmpfiles.d (tmpfiles.d(5)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Kinds of lines that make something where nothing is. All others change or remove what they find.
const MAKES: &[u8] = b"fFdDvqQpLcbC";

/// Kinds whose argument is what a file holds.
const WRITES: &[u8] = b"fFw";

const KINDS: &[u8] = b"fFwdDevqQpLcbCxXrRmzZtThHaA";

/// `+ ! - = ~ ^` and, of newer releases, `$` and `?`.
const MODIFIERS: &[u8] = b"+!-=~^$?";

/// How many fields there are before the argument.
const FIELDS: usize = 6;

/// A line that makes something where nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) kind: u8,
    /// `+`: it takes the place of what another line made.
    pub(super) force: bool,
    /// `?`: a symlink is made only where it leads somewhere.
    pub(super) leads: bool,
    pub(super) path: Vec<u8>,
    pub(super) rest: Rest,
}

/// What else a line says; two lines of one path that say the same go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    mode: Mode,
    pub(super) user: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) age: Vec<u8>,
    pub(super) argument: Option<Vec<u8>>,
}

/// Reads a line; `None` where it makes nothing by itself, an error where systemd passes over it.
pub(super) fn parse(line: &[u8]) -> Result<Option<Line>, &'static str> {
    let mut rest = line.trim_ascii_start();
    if rest.is_empty() || rest.starts_with(b"#") {
        return Ok(None);
    }
    let mut fields = Vec::new();
    while fields.len() < FIELDS {
        let Some(field) = word(&mut rest)? else { break };
        fields.push(field);
    }
    let mut fields = fields.into_iter();
    let (Some(action), Some(path)) = (fields.next(), fields.next()) else {
        return Err("no type, or no path");
    };
    let Some((&kind, modifiers)) = action.split_first() else { return Err("no type") };
    for (at, modifier) in modifiers.iter().enumerate() {
        if !MODIFIERS.contains(modifier) || modifiers[..at].contains(modifier) {
            return Err("modifiers that are not known");
        }
    }
    if !KINDS.contains(&kind) {
        return Err("a type that is not known");
    }
    let has = |modifier| modifiers.contains(&modifier);
    if (has(b'~') || has(b'^')) && !WRITES.contains(&kind) {
        return Err("a modifier that this type does not take");
    }
    let zero = |name: Vec<u8>| if name == b"root" { b"0".to_vec() } else { name };
    let given = |field: Option<Vec<u8>>| field.filter(|it| it != b"-").unwrap_or_default();
    let (mode, user, group) = (given(fields.next()), given(fields.next()), given(fields.next()));
    let age = given(fields.next());
    let argument = rest.trim_ascii_start();
    let argument = (!argument.is_empty() && argument != b"-").then(|| argument.to_vec());
    let mode = Mode::parse(&mode, kind).ok_or("a mode that is none")?;
    if !is_age(&age) {
        return Err("an age that is none");
    }
    // A credential is not set in a clone's first boot, and the line passed over.
    if !MAKES.contains(&kind) || has(b'^') {
        return Ok(None);
    }
    // What directories and pipes are given is passed over.
    let mut argument = argument.filter(|_| !b"dDvqQp".contains(&kind));
    if let Some(text) = &mut argument {
        *text = match has(b'~') {
            true => STANDARD.decode(text.trim_ascii()).map_err(|_| "no base64")?,
            false => unescaped(text)?,
        };
    }
    match (kind, argument.as_deref()) {
        (b'c' | b'b', text) if !text.is_some_and(is_device) => return Err("no device's numbers"),
        (b'C', Some(text)) if !text.starts_with(b"/") => return Err("a source that is no path"),
        _ => {}
    }
    let rest = Rest { mode, user: zero(user), group: zero(group), age, argument };
    let force = has(b'+') || kind == b'F';
    Ok(Some(Line { kind, force, leads: has(b'?'), path, rest }))
}

/// The next word, quotes taken off.
fn word(rest: &mut &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut left = rest.trim_ascii_start();
    if left.is_empty() {
        *rest = left;
        return Ok(None);
    }
    let (mut word, mut quote) = (Vec::new(), None);
    while let Some((&byte, after)) = left.split_first() {
        match (quote, byte) {
            (None, byte) if byte.is_ascii_whitespace() => break,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            (_, b'\\') => return Err("an escape, which releases of systemd read differently"),
            (_, byte) => word.push(byte),
        }
        left = after;
    }
    if quote.is_some() {
        return Err("a quote that stays open");
    }
    *rest = left.trim_ascii_start();
    Ok(Some(word))
}

/// A text with its escapes taken off.
fn unescaped(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut bytes, mut left) = (Vec::new(), text);
    while let Some((&byte, after)) = left.split_first() {
        left = after;
        if byte == b'\\' {
            let (found, length) = escape(after).ok_or("an escape that is none")?;
            bytes.extend(found);
            left = &after[length..];
        } else {
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

/// What stands behind a backslash, and how many bytes of it do.
fn escape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let number = |from: usize, digits: usize, radix: u32| {
        let digits = std::str::from_utf8(text.get(from..from + digits)?).ok()?;
        let all = digits.bytes().all(|it| char::from(it).is_digit(radix));
        u32::from_str_radix(digits, radix).ok().filter(|it| all && *it != 0)
    };
    let one = |byte: u8| Some((vec![byte], 1));
    let unicode = |digits: usize| {
        let c = char::from_u32(number(1, digits, 16)?)?;
        Some((c.to_string().into_bytes(), digits + 1))
    };
    match text.first()? {
        b'a' => one(7),
        b'b' => one(8),
        b'f' => one(12),
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b't' => one(b'\t'),
        b'v' => one(11),
        b's' => one(b' '),
        byte @ (b'\\' | b'"' | b'\'') => one(*byte),
        b'x' => Some((vec![u8::try_from(number(1, 2, 16)?).ok()?], 3)),
        b'u' => unicode(4),
        b'U' => unicode(8),
        b'0'..=b'7' => Some((vec![u8::try_from(number(0, 3, 8)?).ok()?], 3)),
        _ => None,
    }
}

/// Permission bits, and what stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    bits: u32,
    given: bool,
    /// `~` and `:`.
    masked: bool,
    at_creation: bool,
}

impl Mode {
    /// `None` where a text is none; an empty one is the default of the line's kind.
    fn parse(text: &[u8], kind: u8) -> Option<Self> {
        let start = text.iter().take_while(|it| matches!(it, b'~' | b':')).count();
        let (before, digits) = text.split_at(start);
        let bits = match text.is_empty() {
            true if b"dDvqQ".contains(&kind) => 0o755,
            true => 0o644,
            false => {
                let digits = std::str::from_utf8(digits).ok()?;
                let digits = Some(digits).filter(|it| it.bytes().all(|it| it.is_ascii_digit()))?;
                u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777)?
            }
        };
        let has = |byte| before.contains(&byte);
        Some(Self { bits, given: !text.is_empty(), masked: has(b'~'), at_creation: has(b':') })
    }
}

fn is_device(text: &[u8]) -> bool {
    let number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    std::str::from_utf8(text)
        .ok()
        .and_then(|it| it.split_once(':'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// Units of a span of time (systemd.time(7)).
const UNITS: &[&str] = &[
    "", "usec", "us", "µs", "μs", "msec", "ms", "seconds", "second", "sec", "s", "minutes",
    "minute", "min", "m", "hours", "hour", "hr", "h", "days", "day", "d", "weeks", "week", "w",
    "months", "month", "M", "years", "year", "y",
];

/// Whether a text is an age: `10d`, `~1h 30min`, `bm:2w`.
fn is_age(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    if text.is_empty() {
        return true;
    }
    let text = text.strip_prefix('~').unwrap_or(text);
    let span = match text.split_once(':') {
        Some((by, span)) if !by.is_empty() && by.chars().all(|it| "aAbBcCmM".contains(it)) => span,
        Some(_) => return false,
        None => text,
    };
    let mut left = span.trim();
    if left == "infinity" {
        return true;
    }
    let mut any = false;
    while !left.is_empty() {
        let digits = left.bytes().take_while(u8::is_ascii_digit).count();
        let mut after = &left[digits..];
        if digits == 0 {
            return false;
        }
        if let Some(fraction) = after.strip_prefix('.') {
            after = fraction.trim_start_matches(|it: char| it.is_ascii_digit());
        }
        let unit = after.trim_start();
        let length = unit.find(|it: char| it.is_ascii_digit() || it.is_whitespace());
        let (unit, next) = unit.split_at(length.unwrap_or(unit.len()));
        if !UNITS.contains(&unit) {
            return false;
        }
        any = true;
        left = next.trim_start();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &str) -> Result<Option<String>, &'static str> {
        parse(line.as_bytes()).map(|it| it.map(|it| String::from_utf8(it.path).unwrap()))
    }

    #[test]
    fn fields_are_words_and_the_argument_is_the_rest() {
        let line = parse(b"L+! \"/a b\" - - - - \t../x  y ").unwrap().unwrap();
        assert_eq!((line.kind, line.force), (b'L', true));
        assert_eq!(line.path, b"/a b");
        assert_eq!(line.rest.argument.as_deref(), Some(&b"../x  y "[..]));
        assert_eq!(path("d '/a'/\"b c\"").unwrap().unwrap(), "/a/b c");
        assert_eq!(path("f /a 0644 root root 1h30min x\\ty").unwrap().unwrap(), "/a");
        assert_eq!(path("d /a ~:1777 - - bm:~1d").map(drop), Err("an age that is none"));
        assert_eq!(path("d /a ~:1777 - - ~bm:1d").unwrap().unwrap(), "/a");
        for nothing in ["", "  # d /a", "z /a 0755", "r! /a", "e /a 0755", "f^ /a - - - - cred"] {
            assert_eq!(path(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn what_systemd_passes_over_makes_nothing() {
        for wrong in [
            "d",
            "k /a",
            "d++ /a",
            "d# /a",
            "d~ /a",
            "f~ /a - - - - !!",
            "f /a - - - - \\q",
            "d \"/a",
            "d /a\\",
            "d /a 99",
            "d /a 10000",
            "d /a - - - 5x",
            "d /a - - - m",
            "c /a - - - - 1",
            "C /a - - - - b",
        ] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
