//! Text of others as it can be printed: whatever a guest, a file's name or a message holds, it moves
//! no cursor, ends no line and turns no reading direction.

use std::borrow::Cow;

/// Whether a character shows as itself and changes nothing around it.
///
/// Control characters do not (a terminal obeys them), nor do line and paragraph separators and the
/// marks that change the direction of what follows (Unicode's Bidi_Control property).
pub fn fits(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        ))
}

/// The text on one line: `\xNN` for every byte of what does not [fit](fits), line ends too. For
/// people: a backslash stays as it is, so that it cannot be read back.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, fits, bytes)
}

/// The same for text of several lines: line ends stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || fits(c), bytes)
}

/// The same for a JSON text, in which a string may hold what serde_json does not escape: JSON's own
/// escapes.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| c == '\n' || fits(c),
        |c, into| {
            let mut buffer = [0; 2];
            for unit in c.encode_utf16(&mut buffer) {
                into.push_str(&format!("\\u{unit:04x}"));
            }
        },
    )
}

/// Adds `\xNN` for each byte of a character.
pub(crate) fn bytes(c: char, into: &mut String) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        into.push_str(&format!("\\x{byte:02x}"));
    }
}

fn escaped(
    text: &str,
    fits: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if text.chars().all(&fits) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if fits(c) { escaped.push(c) } else { escape(c, &mut escaped) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let text = "a\\b\n\x1b[2J\u{9b}1m\r\u{202e}é";
        assert_eq!(line(text), "a\\b\\x0a\\x1b[2J\\xc2\\x9b1m\\x0d\\xe2\\x80\\xaeé");
        assert!(lines(text).starts_with("a\\b\n\\x1b"));
        assert!(matches!(line("plain é ✓"), Cow::Borrowed(_)));
        let value = serde_json::json!({ "text": text });
        let printed = json(&serde_json::to_string_pretty(&value).unwrap()).into_owned();
        assert!(printed.chars().all(|c| c == '\n' || fits(c)), "{printed}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }
}
