//! Paths inside a guest or a filesystem: absolute, bytes, free of `.` and `..`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::printable;

/// An absolute path as a list of names, without `.`, `..`, empty names or NUL.
///
/// Guests may name files with any bytes, so a path is bytes. As text (`Display`,
/// serde) a byte that is not printable UTF-8 is written `\xNN` and a backslash
/// `\\`, and reading the text gives the same bytes back.
///
/// Paths are ordered name by name: a directory comes before what is in it, and that before the
/// directory's next sibling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath {
    /// Every name with a NUL before it. No name holds one and no byte is less, so that comparing
    /// the bytes compares name by name: plans look paths up by the thousand, and the deepest have
    /// two thousand names.
    joined: Vec<u8>,
}

/// What stands before each name.
const BEFORE: u8 = 0;

/// The names of a path, from the root down.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let names = self.rest.strip_prefix(&[BEFORE])?;
        let end = names.iter().position(|&byte| byte == BEFORE).unwrap_or(names.len());
        let (name, rest) = names.split_at(end);
        (self.rest, self.left) = (rest, self.left.saturating_sub(1));
        Some(name)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Names<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let at = self.rest.iter().rposition(|&byte| byte == BEFORE)?;
        let (rest, name) = self.rest.split_at(at);
        (self.rest, self.left) = (rest, self.left.saturating_sub(1));
        name.get(1..)
    }
}

impl ExactSizeIterator for Names<'_> {}

impl GuestPath {
    /// The root directory, `/`.
    pub const fn root() -> Self {
        Self { joined: Vec::new() }
    }

    /// Reads an absolute path; repeated and trailing slashes and `.` are dropped.
    ///
    /// # Errors
    /// A text when the path is relative or holds `..` or NUL.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let shown = || escape(bytes);
        let rest = bytes
            .strip_prefix(b"/")
            .ok_or_else(|| format!("'{}' is not an absolute path", shown()))?;
        let mut path = Self { joined: Vec::with_capacity(bytes.len()) };
        for name in rest.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(format!("'{}' holds '..'", shown())),
                _ if name.contains(&0) => return Err(format!("'{}' holds a NUL byte", shown())),
                _ => path.push(name),
            }
        }
        Ok(path)
    }

    /// This path with one more name at its end. The name comes from a directory
    /// or from a checked path: it is neither `.` nor `..` and holds neither slash nor NUL.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut joined = Vec::with_capacity(self.joined.len().saturating_add(name.len() + 1));
        joined.extend_from_slice(&self.joined);
        let mut path = Self { joined };
        path.push(name);
        path
    }

    /// Adds one more name at the end, under the same condition as [`join`](Self::join).
    pub fn push(&mut self, name: &[u8]) {
        debug_assert!(
            !name.contains(&b'/') && !name.contains(&0) && !matches!(name, b"" | b"." | b"..")
        );
        self.joined.push(BEFORE);
        self.joined.extend_from_slice(name);
    }

    /// Keeps the first `depth` names.
    pub fn truncate(&mut self, depth: usize) {
        let mut starts = self.joined.iter().enumerate().filter(|(_, byte)| **byte == BEFORE);
        if let Some((end, _)) = starts.nth(depth) {
            self.joined.truncate(end);
        }
    }

    /// How many names the path has; 0 for the root.
    pub fn depth(&self) -> usize {
        self.joined.iter().filter(|&&byte| byte == BEFORE).count()
    }

    /// How many names the two paths begin with alike.
    pub fn common_depth(&self, other: &Self) -> usize {
        self.names().zip(other.names()).take_while(|(own, other)| own == other).count()
    }

    /// The path without its last name; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let end = self.joined.iter().rposition(|&byte| byte == BEFORE)?;
        Some(Self { joined: self.joined.get(..end)?.to_vec() })
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.joined.rsplit(|&byte| byte == BEFORE).next().filter(|_| !self.is_root())
    }

    /// The names from the root down.
    pub fn names(&self) -> Names<'_> {
        Names { rest: &self.joined, left: self.depth() }
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// Whether `self` is `dir` or lies below it.
    pub fn starts_with(&self, dir: &Self) -> bool {
        self.rest(dir).is_some()
    }

    fn rest(&self, dir: &Self) -> Option<&[u8]> {
        let rest = self.joined.strip_prefix(dir.joined.as_slice())?;
        (rest.is_empty() || rest.starts_with(&[BEFORE])).then_some(rest)
    }

    /// The part of `self` below `dir`, as a path from the root; `None` when `self` is not below.
    pub fn below(&self, dir: &Self) -> Option<Self> {
        Some(Self { joined: self.rest(dir)?.to_vec() })
    }

    /// `rest` seen from `self`: `/mnt` with `/a/b` gives `/mnt/a/b`.
    #[must_use]
    pub fn append(&self, rest: &Self) -> Self {
        Self { joined: [self.joined.as_slice(), &rest.joined].concat() }
    }

    /// The path as raw bytes with a leading slash.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.is_root() {
            return b"/".to_vec();
        }
        self.joined.iter().map(|&byte| if byte == BEFORE { b'/' } else { byte }).collect()
    }
}

/// Bytes as printable text: `\xNN` for what is not UTF-8 or does not [fit](printable::fits) on a
/// line, `\\` for a backslash.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if printable::fits(c) => text.push(c),
                c => printable::bytes(c, &mut text),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The reverse of [`escape`].
///
/// # Errors
/// A text that names the backslash which starts no known escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            bytes.push(byte);
            rest = tail;
        } else if let Some(tail) = tail.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = tail;
        } else {
            let digits = tail
                .strip_prefix(b"x")
                .and_then(|hex| hex.get(..2))
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                .ok_or_else(|| {
                    format!("'{text}' has a backslash that starts neither '\\\\' nor '\\xNN'")
                })?;
            bytes.push(digits);
            rest = &tail[3..];
        }
    }
    Ok(bytes)
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.to_bytes()))
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<GuestPath> for String {
    fn from(path: GuestPath) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for GuestPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::from_bytes(&unescape(&text)?)
    }
}

impl std::str::FromStr for GuestPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_bytes(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_gives_the_same_bytes_back() {
        for bytes in [&b"/a/b"[..], b"/", b"/\xff\\x/\n", "/h\u{e9}/\u{7f}".as_bytes()] {
            let path = GuestPath::from_bytes(bytes).unwrap();
            let text = String::from(path.clone());
            assert!(text.chars().all(|c| !c.is_control()), "{text}");
            assert_eq!(GuestPath::try_from(text).unwrap(), path);
        }
    }

    #[test]
    fn paths_are_lists_of_names() {
        let path = |text: &str| text.parse::<GuestPath>().unwrap();
        let deep = path("//a/./b/cc/");
        assert_eq!(deep.names().collect::<Vec<_>>(), [&b"a"[..], b"b", b"cc"]);
        assert_eq!(deep.names().rev().collect::<Vec<_>>(), [&b"cc"[..], b"b", b"a"]);
        let mut ends = deep.names();
        assert_eq!(
            (ends.next(), ends.next_back(), ends.len()),
            (Some(&b"a"[..]), Some(&b"cc"[..]), 1)
        );
        assert_eq!((ends.next_back(), ends.next(), ends.len()), (Some(&b"b"[..]), None, 0));
        assert_eq!((deep.depth(), deep.name()), (3, Some(&b"cc"[..])));
        assert_eq!(deep.parent(), Some(path("/a/b")));
        assert_eq!(path("/a").parent(), Some(GuestPath::root()));
        assert_eq!((GuestPath::root().parent(), GuestPath::root().name()), (None, None));
        assert_eq!(path("/a/b").join(b"cc"), deep);
        assert!(deep.starts_with(&path("/a")) && deep.starts_with(&deep));
        assert!(!path("/ab").starts_with(&path("/a")) && deep.starts_with(&GuestPath::root()));
        assert_eq!(deep.below(&path("/a")), Some(path("/b/cc")));
        assert_eq!((deep.below(&deep), path("/ab").below(&path("/a"))), (Some(path("/")), None));
        assert_eq!(path("/m").append(&deep), path("/m/a/b/cc"));
        let mut short = deep.clone();
        short.truncate(9);
        assert_eq!(short, deep);
        short.truncate(1);
        assert_eq!(short, path("/a"));
        short.truncate(0);
        assert!(short.is_root() && short.to_bytes() == b"/");
    }

    #[test]
    fn paths_are_ordered_name_by_name() {
        let texts =
            ["/", "/a", "/a/b", "/a/b/c", "/a/z", "/a!", "/a!/b", "/a-b", "/ab", "/b", "/\u{1}"];
        for one in texts {
            for other in texts {
                let (one, other) = (one.parse::<GuestPath>().unwrap(), other.parse().unwrap());
                let names = one.names().cmp(GuestPath::names(&other));
                assert_eq!(one.cmp(&other), names, "{one} and {other}");
            }
        }
    }

    #[test]
    fn paths_that_escape_are_refused() {
        for bytes in [&b"a"[..], b"", b"/../etc", b"/a/..", b"/a\0b"] {
            assert!(GuestPath::from_bytes(bytes).is_err(), "{}", escape(bytes));
        }
    }
}
