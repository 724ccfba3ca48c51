//! Fields of fixed form (ECMA-119, sections 7 and 8.4.26).

use crate::calendar::Civil;
use crate::fs::Timestamp;

/// A number of 16 bits in both byte orders (section 7.2.3).
pub(super) fn both16(number: u16) -> [u8; 4] {
    let [a, b] = number.to_le_bytes();
    [a, b, b, a]
}

/// A number of 32 bits in both byte orders (section 7.3.3).
pub(super) fn both32(number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [a, b, c, d, d, c, b, a]
}

/// The seven bytes of a directory record's date (section 9.1.5), in UTC: years from 1900 to 2155,
/// and what is beyond them is cut to them.
pub(super) fn short_date(time: Timestamp) -> [u8; 7] {
    let it = Civil::of(time.seconds);
    match u8::try_from(it.year - 1900) {
        Ok(year) => [year, it.month, it.day, it.hour, it.minute, it.second, 0],
        Err(_) if it.year < 1900 => [0, 1, 1, 0, 0, 0, 0],
        Err(_) => [255, 12, 31, 23, 59, 59, 0],
    }
}

/// The seventeen bytes of a volume descriptor's date (section 8.4.26.1), in UTC.
pub(super) fn long_date(time: Timestamp) -> [u8; 17] {
    let it = Civil::of(time.seconds);
    let nanos = time.nanos / 10_000_000;
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{nanos:02}",
        it.year.clamp(1, 9999),
        it.month,
        it.day,
        it.hour,
        it.minute,
        it.second
    );
    let mut date = [0; 17];
    for (to, from) in date.iter_mut().zip(text.bytes().take(16)) {
        *to = from;
    }
    date
}

/// The date that says that there is none.
pub(super) const NO_DATE: [u8; 17] = *b"0000000000000000\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        assert_eq!(short_date(at(1_709_210_096)), [124, 2, 29, 12, 34, 56, 0]);
        assert_eq!(short_date(at(i64::MAX)), [255, 12, 31, 23, 59, 59, 0]);
        assert_eq!(short_date(at(-2_300_000_000)), [0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(&long_date(at(1_709_210_096)), b"2024022912345600\0");
        assert_eq!(both32(0x0102_0304), [4, 3, 2, 1, 1, 2, 3, 4]);
        assert_eq!(both16(0x0102), [2, 1, 1, 2]);
    }
}
