//! The expressions of `file_contexts`.
//!
//! libselinux compiles each as `^EXPRESSION$` with PCRE2, bytes instead of characters, `.` for line
//! ends too. What PCRE2 and the `regex` crate read alike, or what can be written so, is translated;
//! the rest is refused by name instead of being matched differently.

use regex::bytes::{Regex, RegexBuilder};

/// An expression's greatest length, in bytes; libselinux since 3.8 has the same.
const MAX_LENGTH: usize = 4095;

/// What a compiled expression may take, in bytes: policies' own stay below a tenth of it.
const MAX_COMPILED: usize = 256 << 10;

/// What ends an expression's literal beginning.
const META: &[u8] = b".^$?*+|[({)";

/// How far a path goes with an expression's literal beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The path begins otherwise: the expression does not match.
    Differs,
    /// All of the expression is literal, or ends in `(/.*)?`, and matches.
    Matches,
    /// It has to be compiled to know.
    Perhaps,
}

/// Whether an expression is a plain path. libselinux searches these before all others.
pub(super) fn is_literal(expression: &[u8]) -> bool {
    let mut bytes = expression.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b')' => {}
            byte if META.contains(byte) => return false,
            _ => {}
        }
    }
    true
}

/// The first name of a path that has more than one: libselinux tries an expression that begins with
/// a plain name and a slash only on paths with the same first name.
pub(super) fn stem(path: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'/', path.get(1..)?)?;
    path.get(..=end)
}

/// The stem of an expression, as it is written.
pub(super) fn stem_of(expression: &[u8]) -> Option<&[u8]> {
    stem(expression).filter(|stem| !stem.iter().any(|byte| META.contains(byte) && *byte != b')'))
}

/// Whether an expression has alternatives that are not in parentheses, so that its beginning is not
/// the beginning of all that it matches.
pub(super) fn has_alternatives(expression: &[u8]) -> bool {
    if memchr::memchr(b'|', expression).is_none() {
        return false;
    }
    let (mut depth, mut rest) = (0_usize, expression);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => rest = rest.get(1..).unwrap_or_default(),
            b'[' => rest = class_end(rest),
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// What follows a bracketed class.
fn class_end(class: &[u8]) -> &[u8] {
    let class = class.strip_prefix(b"^").unwrap_or(class);
    let mut at = usize::from(class.starts_with(b"]"));
    while let Some(byte) = class.get(at) {
        match byte {
            b'\\' => at += 1,
            b']' => return &class[at + 1..],
            b'[' if class.get(at + 1) == Some(&b':') => {
                at += class[at..].windows(2).position(|pair| pair == b":]").map_or(0, |it| it + 1);
            }
            _ => {}
        }
        at += 1;
    }
    &[]
}

/// Compares a path with an expression without [alternatives](has_alternatives) as far as that
/// takes no compiling: plain text, `[^/]+` for a whole name, and the endings that most lines have.
pub(super) fn fit(expression: &[u8], path: &[u8]) -> Fit {
    let (mut left, mut path) = (expression, path);
    loop {
        let end = match left {
            // PCRE2's `$` also stands before a line end that ends the text.
            b"" => Some(matches!(path, b"" | b"\n")),
            b".*" => Some(true),
            b"(/.*)?" => Some(matches!(path, b"" | b"\n" | [b'/', ..])),
            b"(/.+)?" => Some(matches!(path, b"" | b"\n" | [b'/', _, ..])),
            _ => None,
        };
        if let Some(matches) = end {
            return if matches { Fit::Matches } else { Fit::Differs };
        }
        if let Some(after) = left.strip_prefix(b"[^/]+") {
            // What follows must not take a part of the name.
            if !matches!(after, b"" | b"(/.*)?" | b"(/.+)?" | [b'/', ..]) {
                return Fit::Perhaps;
            }
            let name = memchr::memchr(b'/', path).unwrap_or(path.len());
            if name == 0 {
                return Fit::Differs;
            }
            (left, path) = (after, &path[name..]);
            continue;
        }
        let (literal, after) = match left {
            [b'\\', escaped, after @ ..] if !escaped.is_ascii_alphanumeric() => (escaped, after),
            [b'\\', ..] => return Fit::Perhaps,
            [byte, ..] if META.contains(byte) => return Fit::Perhaps,
            [byte, after @ ..] => (byte, after),
            [] => return Fit::Perhaps,
        };
        if matches!(after, [b'?' | b'*' | b'+' | b'{', ..]) {
            return Fit::Perhaps;
        }
        match path.split_first() {
            Some((byte, rest)) if byte == literal => (left, path) = (after, rest),
            _ => return Fit::Differs,
        }
    }
}

/// A compiled expression, and whether a `$` inside it makes it unsafe to ask about a name that ends
/// in a line end.
#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    inner_end: bool,
}

impl Compiled {
    /// Whether the expression matches a path.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn is_match(&self, path: &[u8]) -> Result<bool, String> {
        if self.inner_end && path.ends_with(b"\n") {
            return Err("has a '$' inside, and the path ends in a line end".into());
        }
        Ok(self.regex.is_match(path))
    }
}

/// What compiling an expression may take, in bytes, at most about.
pub(super) fn cost(expression: &[u8]) -> usize {
    if expression.contains(&b'{') { MAX_COMPILED } else { 8192 + 64 * expression.len() }
}

/// Compiles an expression.
///
/// # Errors
/// What is not understood.
pub(super) fn compile(expression: &[u8]) -> Result<Compiled, String> {
    if expression.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    let mut translation = Translation::default();
    translation.all(expression)?;
    let regex = RegexBuilder::new(&format!("^{}\\n?\\z", translation.text))
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("takes more than {limit} bytes when compiled")
            }
            _ => "is not a valid expression".into(),
        })?;
    Ok(Compiled { regex, inner_end: translation.inner_end })
}

/// An expression on its way from PCRE2's language to the `regex` crate's.
#[derive(Default)]
struct Translation {
    text: String,
    inner_end: bool,
}

impl Translation {
    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || byte == b'/' {
            self.text.push(char::from(byte));
        } else {
            self.text.push_str(&format!("\\x{byte:02x}"));
        }
    }

    fn all(&mut self, expression: &[u8]) -> Result<(), String> {
        let mut rest = expression;
        // Whether something stands before that can be repeated.
        let mut item = false;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            item = match byte {
                b'\\' => {
                    rest = self.escape(rest)?;
                    true
                }
                b'[' => {
                    rest = self.class(rest)?;
                    true
                }
                b'(' => {
                    if let Some(after) = rest.strip_prefix(b"?:") {
                        rest = after;
                    } else if let Some(b'?' | b'*') = rest.first() {
                        return Err("holds '(?' or '(*' of a kind that is not known".into());
                    }
                    self.text.push_str("(?:");
                    false
                }
                b')' => {
                    self.text.push(')');
                    true
                }
                b'.' => {
                    self.text.push('.');
                    true
                }
                b'|' => {
                    self.text.push('|');
                    false
                }
                b'^' => {
                    self.text.push('^');
                    false
                }
                b'$' => {
                    self.text.push_str("\\z");
                    self.inner_end = true;
                    false
                }
                b'?' | b'*' | b'+' => {
                    self.repeat(&[byte], item)?;
                    rest = self.lazy(rest);
                    false
                }
                b'{' => match counted(rest)? {
                    Some((counts, after)) => {
                        self.repeat(&[b"{", counts, b"}"].concat(), item)?;
                        rest = self.lazy(after);
                        false
                    }
                    None => {
                        self.literal(byte);
                        true
                    }
                },
                byte => {
                    self.literal(byte);
                    true
                }
            };
        }
        Ok(())
    }

    fn repeat(&mut self, how: &[u8], item: bool) -> Result<(), String> {
        if !item {
            return Err(format!("repeats nothing with '{}'", String::from_utf8_lossy(how)));
        }
        self.text.push_str(&String::from_utf8_lossy(how));
        Ok(())
    }

    /// Takes the `?` of a lazy repetition, which changes nothing of what matches as a whole.
    fn lazy<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        rest.strip_prefix(b"?").unwrap_or(rest)
    }

    fn escape<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], String> {
        let (&byte, after) = rest.split_first().ok_or("ends in a backslash")?;
        match byte {
            b'd' | b'D' | b's' | b'S' | b'w' | b'W' => {
                self.text.push('\\');
                self.text.push(char::from(byte));
                Ok(after)
            }
            b'x' => {
                let digits = after.get(..2).filter(|it| it.iter().all(u8::is_ascii_hexdigit));
                let digits = digits.ok_or("holds '\\x' without two digits after it")?;
                self.text.push_str(&format!("\\x{}", String::from_utf8_lossy(digits)));
                Ok(&after[2..])
            }
            byte if byte.is_ascii_alphanumeric() => {
                Err(format!("holds '\\{}', which is not known", char::from(byte)))
            }
            byte => {
                self.literal(byte);
                Ok(after)
            }
        }
    }

    fn class<'a>(&mut self, class: &'a [u8]) -> Result<&'a [u8], String> {
        self.text.push('[');
        let mut rest = class;
        if let Some(after) = rest.strip_prefix(b"^") {
            self.text.push('^');
            rest = after;
        }
        if let Some(after) = rest.strip_prefix(b"]") {
            self.literal(b']');
            rest = after;
        }
        loop {
            let (&byte, after) = rest.split_first().ok_or("has a '[' without its ']'")?;
            rest = after;
            match byte {
                b']' => break,
                b'\\' => rest = self.escape(rest)?,
                b'[' if matches!(rest.first(), Some(b':' | b'.' | b'=')) => {
                    let end = rest.windows(2).position(|pair| pair == b":]");
                    let name = end.and_then(|end| rest.get(1..end));
                    let name = name.filter(|it| it.iter().all(u8::is_ascii_lowercase));
                    let name = name.ok_or("holds '[[' with a class that is not known")?;
                    self.text.push_str(&format!("[:{}:]", String::from_utf8_lossy(name)));
                    rest = &rest[name.len() + 3..];
                }
                // Between two characters a range, at either end itself: as the `regex` crate.
                b'-' if self.text.ends_with('-') => return Err("holds '--' in a class".into()),
                b'-' => self.text.push('-'),
                byte => self.literal(byte),
            }
        }
        self.text.push(']');
        Ok(rest)
    }
}

/// What was taken off the beginning of an expression, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The counts of `{2}`, `{2,}` or `{2,4}` and what follows; `None` where PCRE2 takes the brace for
/// itself.
fn counted(rest: &[u8]) -> Result<Option<Split<'_>>, String> {
    let Some(end) = memchr::memchr(b'}', rest) else { return Ok(None) };
    let (counts, after) = (&rest[..end], &rest[end + 1..]);
    let mut parts = counts.splitn(2, |&byte| byte == b',');
    let least = parts.next().unwrap_or_default();
    let most = parts.next();
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if !digits(least) || !most.is_none_or(digits) || matches!(counts, b"" | b",") {
        return Ok(None);
    }
    if least.is_empty() {
        return Err("holds '{,', which versions of PCRE2 read differently".into());
    }
    Ok(Some((counts, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, path: &str) -> Result<bool, String> {
        compile(expression.as_bytes())?.is_match(path.as_bytes())
    }

    #[test]
    fn what_pcre2_reads_otherwise_is_written_otherwise() {
        for (expression, path, expected) in [
            (r"/a\.b", "/a.b", true),
            (r"/a\.b", "/axb", false),
            ("/a.b", "/a\nb", true),
            ("/a[^/]b", "/a\nb", true),
            ("/a", "/a\n", true),
            ("/a", "/a\n\n", false),
            ("/a|/b", "/a/and/more", true),
            ("/a|/b", "/in/b", true),
            ("/a&b~~c--d#e f<>", "/a&b~~c--d#e f<>", true),
            (r"/a\<b\>\-\_\,", "/a<b>-_,", true),
            (r"/a\x2db", "/a-b", true),
            (r"/\d\D\w\W\s\S", "/1xy- z", true),
            ("/a{b", "/a{b", true),
            ("/a{}{,}", "/a{}{,}", true),
            ("/a{2}", "/aa", true),
            ("/a{2,}b{1,2}", "/aaabb", true),
            ("/a{2,3}", "/aaaa", false),
            ("/a*?b+?c??", "/b", true),
            ("/(?:a|b)(c)?", "/bc", true),
            ("/[]a]", "/]", true),
            ("/[^]a]", "/]", false),
            ("/[a&&b]", "/&", true),
            ("/[a[b]", "/[", true),
            ("/[a~^]", "/^", true),
            ("/[a-c-]", "/-", true),
            (r"/[\]\-x]", "/]", true),
            ("/[[:digit:]x]", "/7", true),
            ("^/a$", "/a", true),
            ("/(a$|b/c)", "/a", true),
        ] {
            assert_eq!(matches(expression, path), Ok(expected), "{expression} on {path:?}");
        }
        let raw = compile(b"/[^/]+/.").unwrap();
        assert_eq!(raw.is_match(b"/\xff\xc3/\xa9"), Ok(true));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for expression in [
            "/(?=a)",
            "/(?!a)",
            "/(?<=a)b",
            "/(?>a)",
            "/(?i)a",
            "/(?P<n>a)",
            "/(?#a)",
            "/(*F)",
            "/(?R)",
            r"/(a)\1",
            r"/\Qa\E",
            r"/\h",
            r"/\v",
            r"/\x4",
            r"/\x{41}",
            r"/\b",
            r"/\",
            "/a++",
            "/a**",
            "/a{2}{3}",
            "/a?+",
            "*",
            "/(*a)",
            "/(",
            "/)",
            "/[a",
            "/[",
            "/[b-a]",
            "/[[:^alpha:]]",
            "/[[.a.]]",
            "/[a--b]",
            "/a{,2}",
            "/a{3,2}",
            "/(((a{200}){200}){200}){200}",
        ] {
            assert!(compile(expression.as_bytes()).is_err(), "{expression}");
        }
        assert!(compile(&b"a".repeat(MAX_LENGTH)).is_ok());
        assert!(compile(&b"a".repeat(MAX_LENGTH + 1)).is_err());
        assert!(compile(&b"(".repeat(MAX_LENGTH)).is_err());
        let nested = [b"(".repeat(1000), b")".repeat(1000)].concat();
        assert!(compile(&nested).is_err());
        let end_inside = compile(b"/(a$|b)").unwrap();
        assert!(end_inside.is_match(b"/a\n").is_err());
    }

    #[test]
    fn the_quick_answer_is_the_expressions() {
        let parts =
            ["/a", "/[^/]+", "[^/]+", "(/.*)?", "(/.+)?", ".*", r"\.", "b?", "b", r"\d", "/", "{"];
        let paths = [
            "/", "/a", "/ab", "/a/", "/a/a", "/ab/a", "/a/b", "/a/b/a", "/a.", "/a.b", "/a/.",
            "/a\n", "/a/\n", "/a/b\n", "/\n", "/b/a/a/a", "/{", "/a/a{", "/1", "/a/a/1", "/aa/b",
            "/aab", "/a/bb", "/a//", "//a",
        ];
        let (mut quick, mut slow) = (0, 0);
        for one in parts {
            for two in parts.into_iter().chain([""]) {
                for three in parts.into_iter().chain([""]) {
                    let expression = [one, two, three].concat();
                    let Ok(compiled) = compile(expression.as_bytes()) else { continue };
                    for path in paths {
                        let expected = compiled.is_match(path.as_bytes()).unwrap();
                        match fit(expression.as_bytes(), path.as_bytes()) {
                            Fit::Perhaps => slow += 1,
                            fit => {
                                quick += 1;
                                assert_eq!(fit == Fit::Matches, expected, "{expression}: {path:?}");
                            }
                        }
                    }
                }
            }
        }
        assert!(quick > 10_000 && slow > 10_000, "{quick} quick, {slow} slow");
    }

    #[test]
    fn beginnings_are_libselinuxs() {
        assert_eq!(stem(b"/usr/bin/x"), Some(&b"/usr"[..]));
        assert_eq!((stem(b"/usr"), stem(b"/"), stem(b"")), (None, None, None));
        assert_eq!(stem_of(b"/usr/(.*/)?bin"), Some(&b"/usr"[..]));
        assert_eq!((stem_of(b"/usr(/.*)?"), stem_of(b"/lost\\+found/x")), (None, None));
        assert_eq!(stem_of(b"(/usr|/opt)/x"), None);
        for literal in ["/a/b", r"/a\.b", r"/a\", "/a]b)}"] {
            assert!(is_literal(literal.as_bytes()), "{literal}");
        }
        for pattern in ["/a.b", "/a(b)", "/a{2}", "/[a]", "^/a"] {
            assert!(!is_literal(pattern.as_bytes()), "{pattern}");
        }
        for (expression, expected) in [
            ("/a|/b", true),
            ("/(a|b)", false),
            (r"/a\|b", false),
            ("/[|]", false),
            ("/[]|]x", false),
            ("/[^]|]|x", true),
            ("/[[:alpha:]|]", false),
            ("/(a)|b", true),
        ] {
            assert_eq!(has_alternatives(expression.as_bytes()), expected, "{expression}");
        }
    }
}
