//! DOS dates and times (Microsoft FAT specification 1.03, section 6.3): from 1980 to 2107, in steps
//! of two seconds, without a time zone. They are taken as UTC.

use crate::calendar::{Civil, DAY, days_of};
use crate::fs::Timestamp;

/// The date and time words of an instant; what they cannot hold is cut to what they can.
pub(super) fn to_dos(time: Timestamp) -> (u16, u16) {
    let it = Civil::of(time.seconds);
    if it.year < 1980 {
        return (0x21, 0);
    }
    if it.year > 2107 {
        return (0xff9f, 0xbf7d);
    }
    let date = ((it.year - 1980) << 9) | (i64::from(it.month) << 5) | i64::from(it.day);
    let clock = (u16::from(it.hour) << 11) | (u16::from(it.minute) << 5) | u16::from(it.second / 2);
    (u16::try_from(date).unwrap_or(0x21), clock)
}

/// The instant of a date and a time word; parts that no calendar has are cut to the nearest.
pub(super) fn from_dos(date: u16, clock: u16) -> Timestamp {
    let (date, clock) = (i64::from(date), i64::from(clock));
    let days = days_of(1980 + (date >> 9), (date >> 5 & 15).clamp(1, 12), (date & 31).max(1));
    let second =
        (clock >> 11).min(23) * 3600 + (clock >> 5 & 63).min(59) * 60 + (clock & 31).min(29) * 2;
    Timestamp { seconds: days * DAY + second, nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_even_second_there_is_comes_back() {
        for seconds in (315_532_800..4_354_819_198).step_by(9_999_998) {
            let time = Timestamp { seconds, nanos: 0 };
            let (date, clock) = to_dos(time);
            assert_eq!(from_dos(date, clock), time);
        }
    }

    #[test]
    fn known_instants() {
        let at = |seconds| to_dos(Timestamp { seconds, nanos: 5 });
        // 2024-02-29 12:34:56
        assert_eq!(at(1_709_210_096), (44 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 28));
        assert_eq!(at(0), (0x21, 0));
        assert_eq!(at(i64::MIN), (0x21, 0));
        assert_eq!(at(i64::MAX), (0xff9f, 0xbf7d));
        assert_eq!(from_dos(0, 0xffff).seconds, 315_532_800 + 23 * 3600 + 59 * 60 + 58);
    }
}
