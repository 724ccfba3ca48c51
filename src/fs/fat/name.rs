//! Names: the 8.3 name every entry has, and the long one in the slots before it (Microsoft FAT
//! specification 1.03, sections 6.1 and 7).

use crate::fs::folded_alike;

/// Units of UTF-16 that a long name may have.
pub(super) const MAX_UNITS: usize = 255;

/// Units of UTF-16 in one slot of a long name.
pub(super) const UNITS_A_SLOT: usize = 13;

/// Code page 437 above 0x7F, which Linux takes where nothing else is asked for.
const CODE_PAGE: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ',
    'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ',
    'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕',
    '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦',
    '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐',
    '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±',
    '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

/// A byte of a short name as a character.
pub(super) fn decode(byte: u8) -> char {
    match byte.checked_sub(0x80) {
        // What no name may hold and a path could not either.
        None if byte < b' ' || byte == b'/' => '_',
        None => char::from(byte),
        Some(high) => CODE_PAGE.get(usize::from(high)).copied().unwrap_or('_'),
    }
}

/// A character as a byte of a short name.
pub(super) fn encode(c: char) -> Option<u8> {
    if c.is_ascii() {
        return u8::try_from(c).ok();
    }
    let at = CODE_PAGE.iter().position(|&other| other == c)?;
    u8::try_from(at + 0x80).ok()
}

/// The short name as text, in small letters where the entry's case flags (byte 12) say so.
pub(super) fn short_text(raw: &[u8; 11], case: u8) -> String {
    let mut raw = *raw;
    if raw[0] == 0x05 {
        // Stands for 0xE5, which at this place would say that the entry is free.
        raw[0] = 0xe5;
    }
    let part = |bytes: &[u8], lower: bool| -> String {
        let len = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        let text = bytes.iter().take(len).map(|&byte| decode(byte));
        if lower { text.flat_map(char::to_lowercase).collect() } else { text.collect() }
    };
    let (base, extension) = raw.split_at(8);
    let mut text = part(base, case & 0x08 != 0);
    let extension = part(extension, case & 0x10 != 0);
    if !extension.is_empty() {
        text.push('.');
        text.push_str(&extension);
    }
    if text.is_empty() { "_".to_owned() } else { text }
}

/// The checksum of a short name that each slot of its long name repeats.
pub(super) fn checksum(raw: &[u8; 11]) -> u8 {
    raw.iter().fold(0_u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// Whether two names are the same to FAT, which does not tell capitals from small letters.
pub(super) fn same(a: &str, b: &str) -> bool {
    folded_alike(a.as_bytes(), b.as_bytes())
}

/// A name that can be given to a file, as text; `None` when FAT cannot store it.
pub(super) fn storable(name: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(name).ok()?;
    let bad = |c: char| c < ' ' || c == '\u{7f}' || "\"*/:<>?\\|".contains(c);
    let fits = !text.is_empty()
        && text.encode_utf16().count() <= MAX_UNITS
        && !text.contains(bad)
        // Trailing dots and blanks are not part of a name to Windows and Linux.
        && !text.ends_with(['.', ' ']);
    fits.then_some(text)
}

/// Whether a character may stand in a short name.
fn is_short(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "$%'-_@~`!(){}^#&".contains(c)
}

/// The short name that says all of `name`: capitals in 8.3 form.
pub(super) fn exact_short(name: &str) -> Option<[u8; 11]> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && !name.ends_with('.')
        && base.chars().chain(extension.chars()).all(is_short);
    fits.then(|| padded(base, extension))
}

fn padded(base: &str, extension: &str) -> [u8; 11] {
    let mut raw = [b' '; 11];
    for (to, from) in raw.iter_mut().zip(base.bytes().take(8)) {
        *to = from;
    }
    for (to, from) in raw.iter_mut().skip(8).zip(extension.bytes().take(3)) {
        *to = from;
    }
    raw
}

/// A short name for a long one, which `taken` has no entry under: the name itself in capitals
/// where that loses nothing else, or its beginning with a number.
pub(super) fn alias(name: &str, taken: impl Fn(&[u8; 11]) -> bool) -> Option<[u8; 11]> {
    let upper: String = name.chars().flat_map(char::to_uppercase).collect();
    if let Some(raw) = exact_short(&upper)
        && !taken(&raw)
    {
        return Some(raw);
    }
    let clean = |text: &str| -> String {
        text.chars()
            .filter(|c| !matches!(c, ' ' | '.'))
            .map(|c| if is_short(c) { c } else { '_' })
            .collect()
    };
    let (base, extension) = match upper.trim_start_matches('.').rsplit_once('.') {
        Some((base, extension)) => (clean(base), clean(extension)),
        None => (clean(&upper), String::new()),
    };
    (1..1_000_000_u32)
        .map(|number| {
            let tail = format!("~{number}");
            let kept: String = base.chars().take(8 - tail.len()).collect();
            padded(&(kept + &tail), &extension)
        })
        .find(|raw| !taken(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_as_text() {
        assert_eq!(short_text(b"BOOTX64 EFI", 0), "BOOTX64.EFI");
        assert_eq!(short_text(b"BOOTX64 EFI", 0x18), "bootx64.efi");
        assert_eq!(short_text(b"GRUB       ", 0x08), "grub");
        assert_eq!(short_text(b"\x05BC     \x81  ", 0), "σBC.ü");
    }

    #[test]
    fn names_that_cannot_be_stored() {
        for name in ["", ".", "..", "a.", "a ", "a/b", "a:b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert_eq!(storable(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(storable(b"\xff"), None);
        for name in ["a", ".a", "a b.c.d", "grün", &"ü".repeat(255)] {
            assert_eq!(storable(name.as_bytes()), Some(name));
        }
    }

    #[test]
    fn aliases_are_free_and_fit() {
        let none = |_: &[u8; 11]| false;
        assert_eq!(exact_short("BOOTX64.EFI"), Some(*b"BOOTX64 EFI"));
        for name in ["bootx64.efi", "TOO-LONG-NAME", "A.B.C", ".A", "A+B", "A.TEXT"] {
            assert_eq!(exact_short(name), None, "{name}");
        }
        assert_eq!(alias("grub.cfg", none), Some(*b"GRUB    CFG"));
        assert_eq!(alias("grub.cfg", |raw| raw == b"GRUB    CFG"), Some(*b"GRUB~1  CFG"));
        assert_eq!(alias("a long name.text", none), Some(*b"ALONGN~1TEX"));
        assert_eq!(alias(".hidden", none), Some(*b"HIDDEN~1   "));
        assert_eq!(alias("über", none), Some(*b"_BER~1     "));
        let many = |raw: &[u8; 11]| raw[7] != b'2' || raw[6] != b'1';
        assert_eq!(alias("a long name.text", many), Some(*b"ALONG~12TEX"));
    }
}
