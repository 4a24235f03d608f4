//! Sizes and spans of time as text.

const SIZES: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

const DURATIONS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AmountFault {
    /// Not a whole number with one of the units behind it.
    Syntax,
    /// More than 2^64 - 1.
    Overflow,
}

/// Returns the octets of `64KiB`, `25MB`, `100B`, `100`.
pub(super) fn parse_size(text: &str) -> Result<u64, AmountFault> {
    let (number, unit) = split(text);
    if unit.is_empty() || unit.eq_ignore_ascii_case("B") {
        return times(number, 1);
    }
    let found = SIZES.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit));
    times(number, found.ok_or(AmountFault::Syntax)?.1)
}

/// As `parse_size`; `None` for what is no size.
pub(crate) fn size(text: &str) -> Option<u64> {
    parse_size(text).ok()
}

/// Returns the milliseconds of `30s`, `5m`, `1h`, `2d`, `250ms`.
pub(super) fn parse_duration(text: &str) -> Result<u64, AmountFault> {
    let (number, unit) = split(text);
    let found = DURATIONS.iter().find(|(u, _)| *u == unit);
    times(number, found.ok_or(AmountFault::Syntax)?.1)
}

/// The shortest text that `parse_size` reads as `octets`.
pub(super) fn size_text(octets: u64) -> String {
    text(octets, &SIZES).unwrap_or_else(|| octets.to_string())
}

/// The shortest text that `parse_duration` reads as `milliseconds`.
pub(super) fn duration_text(milliseconds: u64) -> String {
    text(milliseconds, &DURATIONS).unwrap_or_else(|| "0s".to_owned())
}

fn text(amount: u64, units: &[(&str, u64)]) -> Option<String> {
    let whole = |(_, factor): &&(&str, u64)| amount > 0 && amount.is_multiple_of(*factor);
    let texts = units.iter().filter(whole);
    texts
        .map(|(unit, factor)| format!("{}{unit}", amount / factor))
        .min_by_key(String::len)
}

/// The digits in front and what follows them after spaces.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

fn times(digits: &str, factor: u64) -> Result<u64, AmountFault> {
    if digits.is_empty() {
        return Err(AmountFault::Syntax);
    }
    let number: u64 = digits.parse().map_err(|_| AmountFault::Overflow)?;
    number.checked_mul(factor).ok_or(AmountFault::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Ok(0)),
            ("1000", Ok(1000)),
            ("64KiB", Ok(65_536)),
            ("64 kib", Ok(65_536)),
            ("25MB", Ok(25_000_000)),
            ("1GiB", Ok(1 << 30)),
            ("7B", Ok(7)),
            ("", Err(AmountFault::Syntax)),
            ("KiB", Err(AmountFault::Syntax)),
            ("-1", Err(AmountFault::Syntax)),
            ("1.5MB", Err(AmountFault::Syntax)),
            ("5M", Err(AmountFault::Syntax)),
            ("5m", Err(AmountFault::Syntax)),
            ("18446744073709551616", Err(AmountFault::Overflow)),
            ("18446744073709551615KB", Err(AmountFault::Overflow)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("30s", Ok(30_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            ("2d", Ok(172_800_000)),
            ("250ms", Ok(250)),
            ("0s", Ok(0)),
            ("30", Err(AmountFault::Syntax)),
            ("30S", Err(AmountFault::Syntax)),
            ("1h30m", Err(AmountFault::Syntax)),
            ("s", Err(AmountFault::Syntax)),
            ("99999999999999999999d", Err(AmountFault::Overflow)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_read_back() {
        for octets in [
            0,
            1,
            999,
            1000,
            1024,
            65_536,
            25_000_000,
            10 << 20,
            u64::MAX,
        ] {
            assert_eq!(parse_size(&size_text(octets)), Ok(octets));
        }
        for milliseconds in [0, 1, 250, 1000, 60_000, 90_000, 86_400_000, u64::MAX] {
            assert_eq!(
                parse_duration(&duration_text(milliseconds)),
                Ok(milliseconds)
            );
        }
        assert_eq!(size_text(100_000_000), "100MB");
        assert_eq!(size_text(65_536), "64KiB");
        assert_eq!(duration_text(1_800_000), "30m");
    }
}
