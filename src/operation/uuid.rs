//! Where a text names a UUID, and the same text with another one.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, BuildError};

/// A UUID and the one that takes its place, as `blkid` prints them; of the same length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

/// Looks for UUIDs in any case, plain and as systemd escapes them in the name of a unit
/// (`\x2d` for each dash, see systemd-escape(1)).
pub(super) struct Finder<'a> {
    pairs: Vec<Pair<'a>>,
    /// The plain form of the pair `n` is pattern `2n`, the escaped one pattern `2n + 1`.
    patterns: AhoCorasick,
    longest: usize,
}

/// A place where a UUID is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    start: usize,
    end: usize,
    pair: usize,
    escaped: bool,
}

const ESCAPED_DASH: &str = r"\x2d";

fn escaped(uuid: &str) -> String {
    uuid.replace('-', ESCAPED_DASH)
}

impl<'a> Finder<'a> {
    pub(super) fn new(pairs: Vec<Pair<'a>>) -> Result<Self, BuildError> {
        let mut forms = Vec::new();
        for pair in &pairs {
            forms.push(pair.from.to_owned());
            forms.push(escaped(pair.from));
        }
        let longest = forms.iter().map(String::len).max().unwrap_or(0);
        let patterns = AhoCorasick::builder().ascii_case_insensitive(true).build(&forms)?;
        Ok(Self { pairs, patterns, longest })
    }

    fn named(&self, text: &[u8]) -> Vec<Named> {
        let mut named = Vec::new();
        for hit in self.patterns.find_iter(text) {
            let (pattern, start, end) = (hit.pattern().as_usize(), hit.start(), hit.end());
            let pair = pattern / 2;
            let Some(Pair { from, .. }) = self.pairs.get(pair) else { continue };
            let (before, after) = (&text[..start], &text[end..]);
            // In the name of a unit a dash is a slash.
            let escaped = pattern % 2 == 1;
            let alone = |byte: Option<&u8>| {
                !byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' && !escaped)
            };
            let goes_on = after.starts_with(ESCAPED_DASH.as_bytes());
            if !alone(before.last()) || !alone(after.first()) || goes_on {
                continue;
            }
            // Eight digits may be anything, where the line does not say what they are.
            if from.len() < 36 && !line_around(text, start, end).windows(4).any(is_uuid) {
                continue;
            }
            named.push(Named { start, end, pair, escaped });
        }
        named
    }

    /// Which pairs a text names, by their place.
    pub(super) fn in_text(&self, text: &[u8]) -> BTreeSet<usize> {
        self.named(text).iter().map(|it| it.pair).collect()
    }

    /// Which pairs may be named where a text comes in pieces: `kept` is what is left of the pieces
    /// before.
    pub(super) fn in_piece(&self, kept: &mut Vec<u8>, piece: &[u8], found: &mut BTreeSet<usize>) {
        kept.extend_from_slice(piece);
        for hit in self.patterns.find_iter(kept.as_slice()) {
            found.insert(hit.pattern().as_usize() / 2);
        }
        let over = kept.len().saturating_sub(self.longest.saturating_sub(1));
        kept.drain(..over);
    }

    /// The text with the new UUIDs, but for those of the pairs that are left out.
    pub(super) fn rewritten(&self, text: &[u8], but: &BTreeSet<usize>) -> Vec<u8> {
        let mut written = Vec::with_capacity(text.len());
        let mut done = 0;
        for Named { start, end, pair, escaped: is_escaped } in self.named(text) {
            let Some(Pair { to, .. }) = self.pairs.get(pair).filter(|_| !but.contains(&pair))
            else {
                continue;
            };
            written.extend_from_slice(&text[done..start]);
            let to = in_case_of(&text[start..end], to);
            written.extend(if is_escaped { escaped(&to) } else { to }.into_bytes());
            done = end;
        }
        written.extend_from_slice(&text[done..]);
        written
    }
}

fn is_uuid(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"uuid")
}

/// The line that a stretch of a text lies in.
fn line_around(text: &[u8], start: usize, end: usize) -> &[u8] {
    let from = memchr::memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
    let to = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at);
    &text[from..to]
}

/// A UUID with its letters as another one's are; one without letters says nothing of them.
fn in_case_of(old: &[u8], new: &str) -> String {
    let letter = old.iter().find(|byte| matches!(byte, b'a'..=b'f' | b'A'..=b'F'));
    match letter {
        Some(letter) if letter.is_ascii_uppercase() => new.to_ascii_uppercase(),
        Some(_) => new.to_ascii_lowercase(),
        None => new.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "11111111-2222-4333-8444-55555555555a";
    const NEW: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

    fn finder() -> Finder<'static> {
        let pairs = vec![Pair { from: ROOT, to: NEW }, Pair { from: "ABCD-0123", to: "0F0F-1E1E" }];
        Finder::new(pairs).unwrap()
    }

    fn rewritten(text: &str) -> String {
        String::from_utf8(finder().rewritten(text.as_bytes(), &BTreeSet::new())).unwrap()
    }

    #[test]
    fn every_form_is_found() {
        for (old, new) in [
            (format!("UUID={ROOT} / ext4"), format!("UUID={NEW} / ext4")),
            (format!("UUID=\"{ROOT}\""), format!("UUID=\"{NEW}\"")),
            (format!("/dev/disk/by-uuid/{ROOT}"), format!("/dev/disk/by-uuid/{NEW}")),
            (ROOT.to_ascii_uppercase(), NEW.to_ascii_uppercase()),
            (
                format!(r"dev-disk-by\x2duuid-{}.device", escaped(ROOT)),
                format!(r"dev-disk-by\x2duuid-{}.device", escaped(NEW)),
            ),
            ("search --fs-uuid ABCD-0123".into(), "search --fs-uuid 0F0F-1E1E".into()),
            ("UUID=abcd-0123 /boot/efi vfat".into(), "UUID=0f0f-1e1e /boot/efi vfat".into()),
        ] {
            assert_eq!(rewritten(&old), new);
            assert_eq!(rewritten(&new), new);
        }
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        for text in [
            format!("0{ROOT}"),
            format!("{ROOT}-1"),
            "order number ABCD-0123".into(),
            "UUID=\n ABCD-0123".into(),
            "uuid 00000000-ABCD-0123-0000".into(),
            r"uuid 00000000\x2dABCD\x2d0123\x2d0000".into(),
        ] {
            assert_eq!(rewritten(&text), text);
        }
    }

    #[test]
    fn a_pair_can_be_left_out() {
        let text = format!("uuid {ROOT} ABCD-0123");
        let left = finder().rewritten(text.as_bytes(), &BTreeSet::from([0]));
        assert_eq!(left, format!("uuid {ROOT} 0F0F-1E1E").into_bytes());
    }

    #[test]
    fn pieces_are_looked_at_across_their_ends() {
        let text = format!("{}{ROOT}{}", "x".repeat(100), "y".repeat(100));
        for size in [1, 7, 36, 64] {
            let (mut kept, mut found) = (Vec::new(), BTreeSet::new());
            for piece in text.as_bytes().chunks(size) {
                finder().in_piece(&mut kept, piece, &mut found);
            }
            assert_eq!(found, BTreeSet::from([0]), "{size}");
        }
    }
}
