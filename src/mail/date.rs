//! Dates as messages and IMAP have them.

use time::{Month, OffsetDateTime, UtcOffset};

/// A moment with the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateTime {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub(crate) seconds: i64,
    /// Zone: minutes east of UTC, -1439 to 1439.
    pub(crate) offset_minutes: i16,
}

impl DateTime {
    pub(crate) fn utc(seconds: i64) -> DateTime {
        DateTime {
            seconds,
            offset_minutes: 0,
        }
    }

    /// From the fields of a date as written. `None` where there is no such date or time.
    pub(crate) fn from_fields(
        date: Date,
        hour: u8,
        minute: u8,
        second: u8,
        offset_minutes: i16,
    ) -> Option<DateTime> {
        // A leap second is told as the second before it.
        let time = time::Time::from_hms(hour, minute, second.min(59))
            .ok()
            .filter(|_| second <= 60)?;
        let local = time::PrimitiveDateTime::new(date.calendar()?, time).assume_utc();
        (offset_minutes.unsigned_abs() < 24 * 60).then(|| DateTime {
            seconds: local.unix_timestamp() - i64::from(offset_minutes) * 60,
            offset_minutes,
        })
    }

    /// Year, month, day, hour, minute, second in the zone it was written in; a moment outside
    /// the years 1 to 9999 is told as 1970-01-01.
    pub(crate) fn fields(self) -> (Date, u8, u8, u8) {
        let offset = UtcOffset::from_whole_seconds(i32::from(self.offset_minutes) * 60)
            .unwrap_or(UtcOffset::UTC);
        let local = OffsetDateTime::from_unix_timestamp(self.seconds)
            .ok()
            .and_then(|t| t.checked_to_offset(offset))
            .filter(|t| (1..=9999).contains(&t.year()))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = Date {
            year: local.year().unsigned_abs() as u16,
            month: local.month() as u8,
            day: local.day(),
        };
        (date, local.hour(), local.minute(), local.second())
    }

    /// The calendar day in the zone it was written in.
    pub(crate) fn date(self) -> Date {
        self.fields().0
    }
}

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    pub(crate) year: u16,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
}

impl Date {
    pub(crate) const MONTHS: [&'static str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];

    /// 1 to 12 for an English month name of three letters in any case.
    pub(crate) fn month_named(name: &[u8]) -> Option<u8> {
        let at = Self::MONTHS
            .iter()
            .position(|m| m.as_bytes().eq_ignore_ascii_case(name))?;
        u8::try_from(at + 1).ok()
    }

    /// `None` where the calendar has no such day.
    pub(crate) fn new(year: u16, month: u8, day: u8) -> Option<Date> {
        let date = Date { year, month, day };
        date.calendar().map(|_| date)
    }

    /// The three-letter English name of the month.
    pub(crate) fn month_name(self) -> &'static str {
        Self::MONTHS
            .get(usize::from(self.month).wrapping_sub(1))
            .copied()
            .unwrap_or("Jan")
    }

    /// `2026-11-26` (ISO 8601); `None` for what is written otherwise, and where the calendar has no such day.
    pub(crate) fn parse(text: &str) -> Option<Date> {
        let digits = |from: usize, count: usize| {
            let digits = text.get(from..from + count)?;
            let all = digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| all)
        };
        let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
        let shape = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let date = Date::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        date.filter(|_| shape)
    }

    fn calendar(self) -> Option<time::Date> {
        let month = Month::try_from(self.month).ok()?;
        time::Date::from_calendar_date(i32::from(self.year), month, self.day).ok()
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_way_there_and_back() {
        for (seconds, offset) in [
            (0, 0),
            (1_000_000_000, 330),
            (1_709_164_800, -480),
            (-86_401, 0),
        ] {
            let moment = DateTime {
                seconds,
                offset_minutes: offset,
            };
            let (date, h, m, s) = moment.fields();
            assert_eq!(DateTime::from_fields(date, h, m, s, offset), Some(moment));
        }
        assert_eq!(Date::new(2023, 2, 29), None);
        assert_eq!(Date::month_named(b"feb"), Some(2));
    }

    #[test]
    fn days_are_read_as_they_are_shown() {
        for text in ["2026-11-26", "0001-01-01", "2024-02-29"] {
            assert_eq!(Date::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "2026-11-2",
            "2026-11-266",
            "2026/11/26",
            "2026-13-01",
            "2023-02-29",
            "+026-11-26",
            "",
            "2026-11\u{e9}26",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
