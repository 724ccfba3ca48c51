//! The part of Perl that `--edit` takes, as statements of the step `edit-lines`.
//!
//! virt-customize runs the expression for each line, the line in `$_`, and writes `$_`. Taken are
//! `s/…/…/`, `$_ = "…"`, each with `if` or `unless` and a match, and several of these with `;`.

use serde_json::{Map, Value as Json, json};

/// What can be written instead of what is not taken.
const TAKEN: &str = "taken are s/…/…/ with the flags g, i, m, s and x, and $_ = \"…\", each with 'if /…/' or \
                     'unless /…/' behind it, several of them with ';' between";

/// Statements of `edit-lines` that do what the expression does.
pub(super) fn statements(expression: &str) -> Result<Vec<Json>, String> {
    let mut text = Text { rest: expression };
    let mut statements = Vec::new();
    loop {
        text.space();
        if text.rest.is_empty() {
            break;
        }
        if text.word(";") {
            continue;
        }
        statements.push(statement(&mut text)?);
        text.space();
        if !text.rest.is_empty() && !text.word(";") {
            return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
        }
    }
    if statements.is_empty() {
        return Err(format!("the expression is empty: {TAKEN}"));
    }
    Ok(statements)
}

/// What is left of an expression.
struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    /// Passes over blanks and comments.
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.rest.strip_prefix(word).map(|rest| self.rest = rest).is_some()
    }

    /// A word that is not the beginning of a longer one.
    fn whole_word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if ends {
            self.rest = rest;
        }
        ends
    }

    /// The delimiter that opens a quoted part.
    fn delimiter(&mut self) -> Result<char, String> {
        match self.rest.chars().next() {
            Some('\'') => Err("a pattern in apostrophes is not taken; write /…/".into()),
            Some(c) if c.is_ascii_punctuation() && !"_\\)]}>".contains(c) => {
                self.rest = &self.rest[1..];
                Ok(c)
            }
            _ => Err(format!("'{}' is not understood: {TAKEN}", self.rest)),
        }
    }

    /// What stands before the closing delimiter, escapes as they are.
    fn until_closed(&mut self, open: char) -> Result<&'a str, String> {
        let close = closing(open);
        let mut depth = 0;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == close && depth == 0 {
                let (inside, rest) = (&self.rest[..at], &self.rest[at + c.len_utf8()..]);
                self.rest = rest;
                return Ok(inside);
            } else if c == close {
                depth -= 1;
            } else if c == open {
                depth += 1;
            }
        }
        Err(format!("the closing '{close}' is missing"))
    }

    fn flags(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let (flags, rest) = self.rest.split_at(end);
        // `s/a/b/if /c/`, as Perl reads it, is flags as well: they are asked for what they are.
        self.rest = rest;
        flags
    }
}

fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        '<' => '>',
        other => other,
    }
}

fn statement(text: &mut Text<'_>) -> Result<Json, String> {
    let mut fields = Map::new();
    let on_line = text.word("$_");
    text.space();
    if on_line && text.word("=~") {
        text.space();
        substitution(text, &mut fields)?;
    } else if on_line && text.word("=") {
        text.space();
        fields.insert("set".into(), literal(text)?.into());
    } else if on_line {
        return Err(format!("'$_ {}' is not understood: {TAKEN}", text.rest));
    } else {
        substitution(text, &mut fields)?;
    }
    text.space();
    for word in ["if", "unless"] {
        if text.whole_word(word) {
            text.space();
            let (regex, holds) = condition(text)?;
            let field = if (word == "if") == holds { "if" } else { "unless" };
            fields.insert(field.into(), regex.into());
            break;
        }
    }
    Ok(Json::Object(fields))
}

fn substitution(text: &mut Text<'_>, fields: &mut Map<String, Json>) -> Result<(), String> {
    if !text.word("s") {
        return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
    }
    let open = text.delimiter()?;
    let from = text.until_closed(open)?;
    let to = if closing(open) == open {
        text.until_closed(open)?
    } else {
        text.space();
        let open = text.delimiter()?;
        text.until_closed(open)?
    };
    let mut flags = text.flags().to_owned();
    if flags.contains('e') {
        return Err("the flag 'e' is code of Perl, which is not run".into());
    }
    let all = flags.contains('g');
    flags.retain(|c| c != 'g');
    fields.insert("match".into(), pattern(from, &flags)?.into());
    fields.insert("with".into(), replacement(to)?.into());
    if all {
        fields.insert("all".into(), json!(true));
    }
    Ok(())
}

/// `/…/`, `m{…}`, `!/…/`, `$_ =~ /…/` or `$_ !~ /…/`; whether it has to match.
fn condition(text: &mut Text<'_>) -> Result<(String, bool), String> {
    let enclosed = text.word("(");
    text.space();
    let mut holds = true;
    if text.word("$_") {
        text.space();
        if text.word("!~") {
            holds = false;
        } else if !text.word("=~") {
            return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
        }
        text.space();
    }
    if text.word("!") {
        holds = !holds;
        text.space();
    }
    if !text.rest.starts_with('/') && !text.word("m") {
        return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
    }
    let open = text.delimiter()?;
    let inside = text.until_closed(open)?;
    let regex = pattern(inside, text.flags())?;
    text.space();
    if enclosed && !text.word(")") {
        return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
    }
    Ok((regex, holds))
}

/// A string in quotes.
fn literal(text: &mut Text<'_>) -> Result<String, String> {
    if text.word("'") {
        let inside = text.until_closed('\'')?;
        return Ok(inside.replace("\\'", "'").replace("\\\\", "\\"));
    }
    if !text.word("\"") {
        return Err(format!("'{}' is not understood: {TAKEN}", text.rest));
    }
    let inside = text.until_closed('"')?;
    pieces(inside)?
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(c) => Ok(c),
            Piece::Group(_) => Err("groups are for s/…/…/ alone".to_owned()),
        })
        .collect()
}

/// What a string in double quotes is made of.
enum Piece {
    Text(char),
    Group(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n') => pieces.push(Piece::Text('\n')),
                Some('t') => pieces.push(Piece::Text('\t')),
                Some('r') => pieces.push(Piece::Text('\r')),
                Some(digit @ '1'..='9') => pieces.push(Piece::Group(digit.to_string())),
                Some(c) if c.is_ascii_alphanumeric() => {
                    return Err(format!("'\\{c}' in the new text is not supported"));
                }
                Some(c) => pieces.push(Piece::Text(c)),
                None => return Err("a backslash at the end of the new text".into()),
            },
            '$' => {
                let braced = rest.next_if_eq(&'{').is_some();
                let mut name = String::new();
                let whole = rest.next_if_eq(&'&').is_some();
                if whole {
                    name.push('0');
                }
                while !whole && let Some(digit) = rest.next_if(|c| c.is_ascii_digit()) {
                    name.push(digit);
                }
                let closed = !braced || rest.next_if_eq(&'}').is_some();
                if name.is_empty() || !closed {
                    return Err("a '$' in the new text that is no group: variables are not \
                                supported, write \\$ for the character"
                        .into());
                }
                pieces.push(Piece::Group(name));
            }
            '@' if rest.peek().is_some_and(|c| c.is_ascii_alphabetic() || "_{$:".contains(*c)) => {
                return Err("a '@' in the new text: Perl takes it for a list; write \\@".into());
            }
            c => pieces.push(Piece::Text(c)),
        }
    }
    Ok(pieces)
}

/// The new text as the `regex` crate reads it.
fn replacement(text: &str) -> Result<String, String> {
    let mut new = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Text('$') => new.push_str("$$"),
            Piece::Text(c) => new.push(c),
            Piece::Group(number) => new.push_str(&format!("${{{number}}}")),
        }
    }
    Ok(new)
}

/// A pattern as the `regex` crate reads it: bytes as Perl sees them, `^` the line's beginning, and
/// `$` before its line end, too.
fn pattern(text: &str, flags: &str) -> Result<String, String> {
    let mut inline = String::from("(?-u");
    let mut extended = false;
    let mut set = String::new();
    for flag in flags.chars() {
        match flag {
            // Within one line there is but one place for each of `^` and `$`.
            'm' | 'o' => {}
            'i' | 's' => set.push(flag),
            'x' => extended = true,
            other => return Err(format!("the flag '{other}' is not supported: {TAKEN}")),
        }
    }
    if text.is_empty() {
        return Err("an empty pattern: Perl takes it for the last one that matched".into());
    }
    inline.push(')');
    let mut out = inline;
    if !set.is_empty() {
        out.push_str(&format!("(?{set})"));
    }
    let mut rest = text.chars().peekable();
    let mut quantified = false;
    while let Some(c) = rest.next() {
        let after_quantifier = std::mem::take(&mut quantified);
        match c {
            '\\' => match rest.next() {
                Some('h') => out.push_str("[\\t ]"),
                Some('v') => out.push_str("[\\n\\x0B\\f\\r]"),
                Some('Z') => out.push('$'),
                Some(c @ ('<' | '>')) => out.push(c),
                Some(c) if "ABDSWbdswznrtfax".contains(c) || !c.is_ascii_alphanumeric() => {
                    out.push('\\');
                    out.push(c);
                }
                Some(c @ '0'..='9') => {
                    return Err(format!("'\\{c}' in a pattern is not supported"));
                }
                Some(c) => return Err(format!("'\\{c}' in a pattern is not supported")),
                None => return Err("a backslash at the end of the pattern".into()),
            },
            '[' => class(&mut rest, &mut out)?,
            '^' => out.push_str("\\A"),
            '$' if rest
                .peek()
                .is_none_or(|c| ")|".contains(*c) || extended && c.is_whitespace()) =>
            {
                out.push('$');
            }
            '$' => {
                return Err(
                    "a '$' in the middle of a pattern: variables are not supported, write \
                            \\$ for the character"
                        .into(),
                );
            }
            '@' if rest.peek().is_some_and(|c| c.is_ascii_alphabetic() || "_{$:".contains(*c)) => {
                return Err("a '@' in a pattern: Perl takes it for a list; write \\@".into());
            }
            '#' if extended => while rest.next_if(|c| *c != '\n').is_some() {},
            c if extended && c.is_whitespace() => {}
            '+' if after_quantifier => {
                return Err("possessive quantifiers ('++', '*+', '?+') are not supported".into());
            }
            c => {
                quantified = "*+?}".contains(c);
                out.push(c);
            }
        }
    }
    Ok(out)
}

/// A class, after its `[`: what means more in the `regex` crate than in Perl is escaped.
fn class(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Result<(), String> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some(c) = rest.next() else { return Err("a '[' without its ']'".into()) };
        match c {
            ']' if !first => break,
            ']' => out.push_str("\\]"),
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                while let Some(c) = rest.next_if(|c| *c != ']') {
                    out.push(c);
                }
                rest.next();
                out.push(']');
            }
            '[' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '-' if rest.peek() == Some(&'-') => {
                return Err("'--' in a class of characters is not supported; write \\-".into());
            }
            '$' | '@' if rest.peek().is_some_and(|c| c.is_ascii_alphabetic() || *c == '_') => {
                return Err(format!(
                    "a '{c}' before a name: variables are not supported; write \\{c}"
                ));
            }
            '\\' => match rest.next() {
                Some('h') => out.push_str("\\t "),
                Some(c @ ('<' | '>')) => out.push(c),
                Some(c) if "dDsSwWnrtfax".contains(c) || !c.is_ascii_alphanumeric() => {
                    out.push('\\');
                    out.push(c);
                }
                Some(c) => {
                    return Err(format!("'\\{c}' in a class of characters is not supported"));
                }
                None => return Err("a backslash at the end of the pattern".into()),
            },
            c => out.push(c),
        }
        first = false;
    }
    out.push(']');
    Ok(())
}
