//! The date of a Date: field (RFC 5322 section 3.3, with the obsolete forms of section 4.3).

use super::token::Cursor;
use crate::mail::{Date, DateTime};

/// The moment a Date: field names; `None` if it names no day. Blanks and comments may stand
/// anywhere. Without a valid time it is 00:00:00 UTC of the day (RFC 5256 section 2.2).
pub(crate) fn sent_date(value: &[u8]) -> Option<DateTime> {
    let mut cursor = Cursor::new(value);
    cursor.skip();
    let mut word = cursor.atom();
    if word.first().is_some_and(u8::is_ascii_alphabetic) {
        // The day of the week, which says nothing that the rest does not.
        cursor.skip();
        cursor.eat(b',');
        cursor.skip();
        word = cursor.atom();
    }
    // `7-Feb-94` of old mail: split what an atom took in.
    let mut parts = word.split(|&b| b == b'-').filter(|p| !p.is_empty());
    let mut next = |cursor: &mut Cursor<'_>| match parts.next() {
        Some(part) => part.to_vec(),
        None => {
            cursor.skip();
            cursor.atom().to_vec()
        }
    };
    let day = number(&next(&mut cursor))?;
    let month = next(&mut cursor);
    let month = Date::month_named(month.get(..3)?)?;
    let year = year(&next(&mut cursor))?;
    let date = Date::new(year, month, u8::try_from(day).ok()?)?;
    cursor.skip();
    let moment = time(&mut cursor).and_then(|(hour, minute, second)| {
        cursor.skip();
        DateTime::from_fields(date, hour, minute, second, zone(cursor.atom()))
    });
    moment.or_else(|| DateTime::from_fields(date, 0, 0, 0, 0))
}

fn number(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// RFC 5322 section 4.3: two and three digits mean years since 1900, two below 50 since 2000. By
/// section 3.3 there is no other year before 1900.
fn year(text: &[u8]) -> Option<u16> {
    let year = number(text)?;
    let year = match text.len() {
        2 if year < 50 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    };
    (year >= 1900).then_some(year)
}

/// `hour ":" minute [":" second]`.
fn time(cursor: &mut Cursor<'_>) -> Option<(u8, u8, u8)> {
    let mut fields = [0u8; 3];
    for (at, field) in fields.iter_mut().enumerate() {
        if at > 0 {
            cursor.skip();
            if !(cursor.eat(b':') || cursor.eat(b'.')) {
                // Seconds may be left out.
                return partial(fields, at);
            }
            cursor.skip();
        }
        *field = u8::try_from(number(cursor.atom())?).ok()?;
    }
    Some((fields[0], fields[1], fields[2]))
}

/// Hour and minute without seconds.
fn partial(fields: [u8; 3], told: usize) -> Option<(u8, u8, u8)> {
    (told == 2).then_some((fields[0], fields[1], 0))
}

/// Minutes east of UTC; unknown zones count as UTC (RFC 5322 section 4.3).
fn zone(text: &[u8]) -> i16 {
    let sign = match text.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return named_zone(text),
    };
    match number(text.get(1..).unwrap_or_default()) {
        Some(digits) if text.len() == 5 && digits / 100 < 24 && digits % 100 < 60 => {
            sign * i16::try_from(digits / 100 * 60 + digits % 100).unwrap_or(0)
        }
        _ => 0,
    }
}

fn named_zone(text: &[u8]) -> i16 {
    const ZONES: [(&str, i16); 8] = [
        ("EST", -5),
        ("EDT", -4),
        ("CST", -6),
        ("CDT", -5),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
    ];
    let named = |z: &&(&str, i16)| text.eq_ignore_ascii_case(z.0.as_bytes());
    ZONES.iter().find(named).map_or(0, |z| z.1 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_old_and_new() {
        for (text, seconds, offset) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706, -360),
            ("21 Nov 97 09:55:06 GMT", 880_106_106, 0),
            ("Thu, 13 Feb 1969 23:32 -0330", -27_723_480, -210),
            (
                "Thu,\r\n 13 (day)\r\n Feb 1969 23:32:00(x) -0330 (Newfoundland Time)",
                -27_723_480,
                -210,
            ),
            ("Fri, 21-Nov-97 09:55:06 EST", 880_124_106, -300),
            ("Friday, 21 November 1997 9:55:06 +0000", 880_106_106, 0),
            ("1 Jan 2000 00:00:00 XYZ", 946_684_800, 0),
            ("1 Jan 2000", 946_684_800, 0),
            ("1 Jan 2000 25:00 +0100", 946_684_800, 0),
        ] {
            let expected = DateTime {
                seconds,
                offset_minutes: offset,
            };
            assert_eq!(sent_date(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "31 Feb 2000 00:00:00 +0000", "1 J"] {
            assert_eq!(sent_date(text.as_bytes()), None, "{text}");
        }
    }
}
