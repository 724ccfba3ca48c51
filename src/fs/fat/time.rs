//! DOS dates and times (Microsoft FAT specification 1.03, section 6.3): from 1980 to 2107, in steps
//! of two seconds, without a time zone. They are taken as UTC.

use crate::fs::Timestamp;

const DAY: i64 = 86_400;

/// The date and time words of an instant; what they cannot hold is cut to what they can.
pub(super) fn to_dos(time: Timestamp) -> (u16, u16) {
    let days = time.seconds.div_euclid(DAY);
    let (year, month, day) = civil(days.clamp(-1_000_000, 1_000_000));
    if year < 1980 {
        return (0x21, 0);
    }
    if year > 2107 {
        return (0xff9f, 0xbf7d);
    }
    let second = time.seconds.rem_euclid(DAY);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let clock = ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2);
    (u16::try_from(date).unwrap_or(0x21), u16::try_from(clock).unwrap_or(0))
}

/// The instant of a date and a time word; parts that no calendar has are cut to the nearest.
pub(super) fn from_dos(date: u16, clock: u16) -> Timestamp {
    let (date, clock) = (i64::from(date), i64::from(clock));
    let days = days_of(1980 + (date >> 9), (date >> 5 & 15).clamp(1, 12), (date & 31).max(1));
    let second =
        (clock >> 11).min(23) * 3600 + (clock >> 5 & 63).min(59) * 60 + (clock & 31).min(29) * 2;
    Timestamp { seconds: days * DAY + second, nanos: 0 }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. A year begins in March here, so that
/// the leap day is its last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let in_era = year.rem_euclid(400);
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468
}

/// The reverse of [`days_of`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let in_era = days.rem_euclid(146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
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
