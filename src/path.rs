//! Paths inside a guest or a filesystem: absolute, bytes, free of `.` and `..`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An absolute path as a list of names, without `.`, `..`, empty names or NUL.
///
/// Guests may name files with any bytes, so a path is bytes. As text (`Display`,
/// serde) a byte that is not printable UTF-8 is written `\xNN` and a backslash
/// `\\`, and reading the text gives the same bytes back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath {
    names: Vec<Box<[u8]>>,
}

impl GuestPath {
    /// The root directory, `/`.
    pub const fn root() -> Self {
        Self { names: Vec::new() }
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
        let mut names = Vec::new();
        for name in rest.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(format!("'{}' holds '..'", shown())),
                _ if name.contains(&0) => return Err(format!("'{}' holds a NUL byte", shown())),
                _ => names.push(name.into()),
            }
        }
        Ok(Self { names })
    }

    /// This path with one more name at its end. The name comes from a directory
    /// or from a checked path: it is neither `.` nor `..` and holds no slash.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        debug_assert!(!name.contains(&b'/') && name != b"." && name != b"..");
        let mut names = self.names.clone();
        names.push(name.into());
        Self { names }
    }

    /// Adds one more name at the end, under the same condition as [`join`](Self::join).
    pub fn push(&mut self, name: &[u8]) {
        debug_assert!(!name.contains(&b'/') && name != b"." && name != b"..");
        self.names.push(name.into());
    }

    /// Keeps the first `depth` names.
    pub fn truncate(&mut self, depth: usize) {
        self.names.truncate(depth);
    }

    /// How many names the path has; 0 for the root.
    pub fn depth(&self) -> usize {
        self.names.len()
    }

    /// The path without its last name; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.names.split_last()?;
        Some(Self { names: rest.to_vec() })
    }

    /// The last name; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names.last().map(|name| &**name)
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.names.iter().map(|name| &**name)
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `self` is `dir` or lies below it.
    pub fn starts_with(&self, dir: &Self) -> bool {
        self.names.starts_with(&dir.names)
    }

    /// The part of `self` below `dir`, as a path from the root; `None` when `self` is not below.
    pub fn below(&self, dir: &Self) -> Option<Self> {
        let rest = self.names.strip_prefix(dir.names.as_slice())?;
        Some(Self { names: rest.to_vec() })
    }

    /// `rest` seen from `self`: `/mnt` with `/a/b` gives `/mnt/a/b`.
    #[must_use]
    pub fn append(&self, rest: &Self) -> Self {
        Self { names: self.names.iter().chain(&rest.names).cloned().collect() }
    }

    /// The path as raw bytes with a leading slash.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.names.is_empty() {
            return b"/".to_vec();
        }
        self.names
            .iter()
            .flat_map(|name| std::iter::once(&b'/').chain(name.iter()))
            .copied()
            .collect()
    }
}

/// Bytes as printable text: `\xNN` for what is not printable UTF-8, `\\` for a backslash.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
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
    fn paths_that_escape_are_refused() {
        for bytes in [&b"a"[..], b"", b"/../etc", b"/a/..", b"/a\0b"] {
            assert!(GuestPath::from_bytes(bytes).is_err(), "{}", escape(bytes));
        }
    }
}
