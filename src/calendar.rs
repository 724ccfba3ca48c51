//! The Gregorian calendar in UTC, for formats that keep dates as numbers of years, months and days.

/// Seconds a day.
pub const DAY: i64 = 86_400;

/// An instant as a calendar and a clock show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Civil {
    /// The instant this many seconds after 1970 began. Years that no format holds are cut to a
    /// million days around it.
    pub fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY).clamp(-1_000_000, 1_000_000);
        let second = seconds.rem_euclid(DAY);
        // A year begins in March here, so that the leap day is its last.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let in_era = days.rem_euclid(146_097);
        let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year + year / 4 - year / 100);
        let month = (5 * in_year + 2) / 153;
        let day = in_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let small = |number: i64| u8::try_from(number).unwrap_or_default();
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month: small(month),
            day: small(day),
            hour: small(second / 3600),
            minute: small(second / 60 % 60),
            second: small(second % 60),
        }
    }
}

/// Days from 1970-01-01 to a date.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let in_era = year.rem_euclid(400);
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let of = |seconds| {
            let it = Civil::of(seconds);
            (it.year, it.month, it.day, it.hour, it.minute, it.second)
        };
        assert_eq!(of(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(of(-1), (1969, 12, 31, 23, 59, 59));
        assert_eq!(of(1_709_210_096), (2024, 2, 29, 12, 34, 56));
        assert_eq!(of(4_107_542_400), (2100, 3, 1, 0, 0, 0));
        assert_eq!(of(i64::MAX).0, 4707);
    }

    #[test]
    fn every_day_comes_back() {
        for day in (-200_000..200_000).step_by(7) {
            let it = Civil::of(day * DAY);
            assert_eq!(days_of(it.year, it.month.into(), it.day.into()), day);
        }
    }
}
