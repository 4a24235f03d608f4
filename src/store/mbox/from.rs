//! The line that begins a message: `From SENDER DATE`, where the date is as asctime(3) writes it (appendix A
//! of RFC 4155). Programs put a zone, by name or as +0300, before or behind the year, leave
//! out the seconds, or add words: what Dovecot takes for such a line is one here.

use crate::mail::{Date, DateTime};

/// What it begins with.
pub(super) const PREFIX: &[u8] = b"From ";
/// A longer line is none.
pub(super) const MAX_LINE: usize = 1024;
/// The sender where nobody is known.
const NOBODY: &str = "MAILER-DAEMON";
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The date of such a line, in seconds since 1970; without a zone it is UTC. `None`: it is no such line.
pub(super) fn parse(line: &[u8]) -> Option<i64> {
    let rest = line.strip_prefix(PREFIX)?;
    if rest.len() > MAX_LINE {
        return None;
    }
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    let rest = std::str::from_utf8(behind_sender(rest)?).ok()?;
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let day = words.next()?;
    if day.len() != 3 || !day.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let month = Date::month_named(words.next()?.as_bytes())?;
    let day = number(words.next()?, 1..=2)?;
    let (hour, minute, second) = time(words.next()?)?;
    let (year, zone) = year(words)?;
    let date = Date::new(year, month, u8::try_from(day).ok()?)?;
    Some(DateTime::from_fields(date, hour, minute, second, zone.unwrap_or(0))?.seconds)
}

/// What stands behind the sender, which may be in quotes, or be missing.
fn behind_sender(line: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let mut bytes = line.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b' ' if !quoted => return line.get(at..),
            _ => {}
        }
    }
    None
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && digits.contains(&text.len());
    plain.then(|| text.parse().ok()).flatten()
}

/// `hh:mm:ss` or `hh:mm`.
fn time(text: &str) -> Option<(u8, u8, u8)> {
    let mut parts = text.split(':').map(|part| {
        let part = number(part, 2..=2)?;
        u8::try_from(part).ok()
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    parts.next().is_none().then_some((hour, minute, second))
}

/// The year, and the minutes east of UTC that stand before or behind it.
fn year<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<(u16, Option<i16>)> {
    let first = words.next()?;
    let (year, before) = match number(first, 4..=4) {
        Some(year) => (year, None),
        None => (number(words.next()?, 4..=4)?, zone(first)),
    };
    Some((year, before.or_else(|| words.next().and_then(zone))))
}

fn zone(text: &str) -> Option<i16> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let digits = i16::try_from(number(digits, 4..=4)?).ok()?;
    Some(sign * (digits / 100 * 60 + digits % 100))
}

/// The line, with LF. `sender`: from Return-Path, if it tells.
pub(super) fn line(sender: Option<&str>, seconds: i64) -> String {
    let (date, hour, minute, second) = DateTime::utc(seconds).fields();
    let day = seconds.div_euclid(86_400).rem_euclid(7);
    let day = usize::try_from(day).ok().and_then(|day| DAYS.get(day));
    let (month, year) = (date.month_name(), date.year);
    let sender = sender.filter(|sender| is_plain(sender)).unwrap_or(NOBODY);
    format!(
        "From {sender} {} {month} {:2} {hour:02}:{minute:02}:{second:02} {year:04} +0000\n",
        day.copied().unwrap_or("Thu"),
        date.day,
    )
}

/// True of a sender that may stand there as it is.
fn is_plain(sender: &str) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() && b != b'"';
    (1..=320).contains(&sender.len()) && sender.bytes().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_programs_are_read() {
        let moment = 1_005_345_232;
        for (line, seconds) in [
            ("From a@b Fri Nov  9 22:33:52 2001", moment),
            ("From a@b  Fri Nov  9 22:33:52 2001\r\n", moment),
            ("From a Fri Nov 09 22:33:52 2001\n", moment),
            ("From a Fri Nov 9 22:33:52 2001 +0300", moment - 3 * 3600),
            ("From a Fri Nov 9 22:33:52 +0300 2001", moment - 3 * 3600),
            ("From a Fri Nov 9 22:33:52 2001 -0030", moment + 1800),
            ("From a Fri Nov 9 22:33:52 GMT 2001", moment),
            ("From a Fri Nov 9 22:33:52 2001 EET", moment),
            ("From a Fri Nov 9 22:33 2001", moment - 52),
            ("From a Fri Nov 9 22:33:52 2001 remote from b", moment),
            ("From \"a b\"@c Fri Nov 9 22:33:52 2001", moment),
            ("From  Fri Nov 9 22:33:52 2001", moment),
        ] {
            assert_eq!(parse(line.as_bytes()), Some(seconds), "{line}");
        }
        for line in [
            "From",
            "From ",
            "from a Fri Nov 9 22:33:52 2001",
            ">From a Fri Nov 9 22:33:52 2001",
            "From a",
            "From me to you, with love and more words",
            "From a Fri Nov 9 22:33:52 01",
            "From a Fri Nov 32 22:33:52 2001",
            "From a Fri Foo 9 22:33:52 2001",
            "From a Fri Nov 9 25:33:52 2001",
            "From a 9 Nov 2001 22:33:52",
            "From: a Fri Nov 9 22:33:52 2001",
            "From \"a Fri Nov 9 22:33:52 2001",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn lines_are_written_and_read() {
        for (seconds, text) in [
            (0, "From MAILER-DAEMON Thu Jan  1 00:00:00 1970 +0000\n"),
            (
                1_005_345_232,
                "From MAILER-DAEMON Fri Nov  9 22:33:52 2001 +0000\n",
            ),
            (-1, "From MAILER-DAEMON Wed Dec 31 23:59:59 1969 +0000\n"),
        ] {
            assert_eq!(line(None, seconds), text);
            assert_eq!(parse(text.as_bytes()), Some(seconds));
        }
        assert!(line(Some("a@b"), 0).starts_with("From a@b Thu "));
        for bad in ["", "a b", "a\nb", "\"a", "\u{e4}"] {
            assert!(line(Some(bad), 0).starts_with("From MAILER-DAEMON "));
        }
    }
}
