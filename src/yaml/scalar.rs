//! What a scalar of YAML 1.1 is: yaml.org/type, as PyYAML's safe loader has it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, general_purpose};
use granit_parser::Tag;
use regex::Regex;

use super::Value;

/// The loader's own patterns, first match first: booleans, fractions, integers, dates.
static FRACTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    )
});
static INTEGER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    )
});
static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"^(?:[0-9]{4}-[0-9][0-9]-[0-9][0-9]|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9][0-9]:[0-9][0-9](?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?)$",
    )
});

/// Bits that are left over at the end do not count for Python.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
);

const NAMESPACE: &str = "tag:yaml.org,2002:";

fn compiled(pattern: &str) -> Option<Regex> {
    // All of ASCII, and tested below.
    Regex::new(pattern).ok()
}

fn is(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|it| it.is_match(text))
}

/// A scalar without quotes or tag.
///
/// # Errors
/// What the loader has no value for.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    if let Some(flag) = boolean(text) {
        return Ok(Value::Bool(flag));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "=" | "<<" => {
            return Err(format!("'{text}' has a meaning of its own in YAML; put it in quotes"));
        }
        _ => {}
    }
    // Most texts begin otherwise.
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Ok(Value::Text(text.to_owned()));
    }
    if is(&FRACTION, text) {
        Ok(Value::Fraction)
    } else if is(&INTEGER, text) {
        integer(text)
    } else if is(&DATE, text) {
        date(text)
    } else {
        Ok(Value::Text(text.to_owned()))
    }
}

/// A tag's name in YAML's own namespace.
pub(super) fn name(tag: &Tag) -> Option<String> {
    tag.suffix_in_namespace(NAMESPACE).map(|it| it.into_owned())
}

/// What to say of a tag that the loader does not know.
pub(super) fn unknown(tag: &Tag) -> String {
    format!(
        "the tag {} is known to nobody here; text that begins with '!' has to be in quotes",
        tag.original()
    )
}

/// A scalar with a tag.
///
/// # Errors
/// A tag that the loader does not know, or a text that is not what the tag says.
pub(super) fn tagged(text: &str, tag: &Tag) -> Result<Value, String> {
    let Some(name) = name(tag) else {
        return match tag.original().as_str() {
            "!" => Ok(Value::Text(text.to_owned())),
            _ => Err(unknown(tag)),
        };
    };
    let value = match name.as_str() {
        "str" => Some(Value::Text(text.to_owned())),
        "null" => Some(Value::Null),
        "bool" => boolean(&text.to_lowercase()).map(Value::Bool),
        "int" => plain(text).ok().filter(|it| matches!(it, Value::Integer(_))),
        "float" => plain(text)
            .ok()
            .filter(|it| matches!(it, Value::Integer(_) | Value::Fraction))
            .map(|_| Value::Fraction),
        "timestamp" => plain(text).ok().filter(|it| matches!(it, Value::Date)),
        "binary" => binary(text).map(Value::Binary),
        "seq" | "map" | "set" | "omap" | "pairs" => None,
        _ => return Err(unknown(tag)),
    };
    value.ok_or_else(|| format!("this is nothing that {} could be", tag.original()))
}

/// Base64 as Python's `base64.decodebytes` takes it: what is no letter of it is passed over, and the
/// `=` at its end have to be there.
fn binary(text: &str) -> Option<Vec<u8>> {
    let is_letter = |c: &char| c.is_ascii_alphanumeric() || "+/".contains(*c);
    let letters: String = text.chars().filter(is_letter).collect();
    let fill = text.matches('=').count();
    if (1..4).contains(&(letters.len() % 4)) && letters.len() % 4 + fill < 4 {
        return None;
    }
    LENIENT.decode(letters).ok()
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| {
        let (first, rest) = word.split_at(1);
        text == word || text == word.to_uppercase() || text == first.to_uppercase() + rest
    };
    if ["yes", "true", "on"].into_iter().any(is) {
        Some(true)
    } else {
        ["no", "false", "off"].into_iter().any(is).then_some(false)
    }
}

fn integer(text: &str) -> Result<Value, String> {
    let digits = text.replace('_', "");
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.trim_start_matches('+')),
    };
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    let value = if let Some(rest) = digits.strip_prefix("0b") {
        radix(rest, 2)
    } else if let Some(rest) = digits.strip_prefix("0x") {
        radix(rest, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        radix(digits, 8)
    } else if digits.contains(':') {
        // Minutes and seconds, as in 1:30.
        digits
            .split(':')
            .try_fold(0_i64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))
    } else {
        radix(digits, 10)
    };
    // One beyond 64 bits is larger than any limit, which is all that is asked of it.
    let value = value.unwrap_or(i64::MAX);
    Ok(Value::Integer(if negative { -value } else { value }))
}

fn date(text: &str) -> Result<Value, String> {
    let number = |part: Option<&str>| part?.parse::<u32>().ok();
    let mut parts = text.get(..10).unwrap_or(text).splitn(3, '-');
    let (year, month) = (number(parts.next()), number(parts.next()));
    let day = parts.next().unwrap_or_default();
    let end = day.find(|c: char| !c.is_ascii_digit()).unwrap_or(day.len());
    let day = number(day.get(..end));
    let (Some(year), Some(month), Some(day)) = (year, month, day) else {
        return Err("this looks like a date and is no date".into());
    };
    match is_date(year, month, day) {
        true => Ok(Value::Date),
        false => Err("this looks like a date and is no date; put it in quotes".into()),
    }
}

/// Whether the calendar has this day.
pub(crate) fn is_date(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_are_right() {
        assert!(FRACTION.is_some() && INTEGER.is_some() && DATE.is_some());
        assert!(is_date(2024, 2, 29) && !is_date(2023, 2, 29) && !is_date(2024, 0, 1));
        assert!(matches!(plain("99999999999999999999"), Ok(Value::Integer(i64::MAX))));
        assert!(matches!(plain("2001-1-1 1:02:03"), Ok(Value::Date)));
        assert_eq!(binary("aG.k\n=="), Some(b"hi".to_vec()));
        assert_eq!((binary("aGk"), binary("a==="), binary("")), (None, None, Some(Vec::new())));
    }
}
