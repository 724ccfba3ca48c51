//! Identifiers of files and directories: eight and three capitals in the tree that every reader
//! knows (ECMA-119, section 7.5 and 7.6, interchange level 1), UCS-2 in Joliet's.

use std::collections::HashSet;

/// Behind each file's identifier: its version (section 7.5.1).
const VERSION: &str = ";1";

/// The identifiers of one directory in the plain tree.
pub(super) struct Plain {
    taken: HashSet<(String, String)>,
}

impl Plain {
    pub(super) fn new() -> Self {
        Self { taken: HashSet::new() }
    }

    /// The identifier of level 1, which nothing else in the directory has: `META_DAT.JSO;1` of
    /// `meta_data.json`. Where it is taken the base ends in a number.
    pub(super) fn identifier(&mut self, name: &str, directory: bool) -> Vec<u8> {
        // A name that begins with a dot has no extension.
        let (base, extension) = match name.rsplit_once('.') {
            Some((base, extension)) if !directory && !base.is_empty() => (base, extension),
            _ => (name, ""),
        };
        let (base, extension) = (capitals(base, 8), capitals(extension, 3));
        let mut own = base.clone();
        let mut number = 0_u32;
        while !self.taken.insert((own.clone(), extension.clone())) {
            let digits = number.to_string();
            own = base.chars().take(8_usize.saturating_sub(digits.len())).collect();
            own.push_str(&digits);
            number += 1;
        }
        if directory { own.into_bytes() } else { format!("{own}.{extension}{VERSION}").into() }
    }
}

/// The beginning of a name in d-characters (section 7.4.1).
fn capitals(name: &str, len: usize) -> String {
    let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().take(len).map(capital).collect()
}

/// UCS-2, the high byte first: an identifier in Joliet's tree, where files have no version in what
/// others write, either.
pub(super) fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// What entries of a directory are sorted by (section 9.3): the name, then the extension, each as
/// if it were filled up; so the dot between them stands before every other character, and the
/// version behind the name's end for nothing.
pub(super) fn order(identifier: &[u8]) -> Vec<u8> {
    let before = |byte: u8| match byte {
        b';' => 0,
        b'.' => 1,
        other => other,
    };
    identifier.iter().copied().map(before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_eight_and_three() {
        let mut names = Plain::new();
        let mut of =
            |name: &str, directory| String::from_utf8(names.identifier(name, directory)).unwrap();
        assert_eq!(of("user-data", false), "USER_DAT.;1");
        assert_eq!(of("user-dates", false), "USER_DA0.;1");
        assert_eq!(of("user_data.json", false), "USER_DAT.JSO;1");
        assert_eq!(of("user_data.jsonl", false), "USER_DA0.JSO;1");
        assert_eq!(of("user.dat.d", true), "USER_DA1");
        assert_eq!(of("a.tar.gz", false), "A_TAR.GZ;1");
        assert_eq!(of(".profile", false), "_PROFILE.;1");
        assert_eq!(of("..x", false), "_.X;1");
    }

    #[test]
    fn the_dot_stands_before_every_other_character() {
        let mut sorted = [&b"AB.;1"[..], b"A_B.C;1", b"A.X;1", b"A.;1", b"AB.C;1"];
        sorted.sort_by_key(|it| order(it));
        assert_eq!(sorted, [&b"A.;1"[..], b"A.X;1", b"AB.;1", b"AB.C;1", b"A_B.C;1"]);
    }
}
