//! What the base names of messages tell: a part by which all copies of a message are known, and behind it
//! fields `,X=value`.

use std::ops::RangeInclusive;

/// The number behind `,X=` in a base name.
pub(crate) fn number(base: &[u8], key: u8) -> Option<u64> {
    let mut fields = base.split(|&b| b == b',').skip(1);
    let field = fields.find(|f| f.first() == Some(&key) && f.get(1) == Some(&b'='))?;
    std::str::from_utf8(field.get(2..)?).ok()?.parse().ok()
}

/// RFC822.SIZE in a base name.
pub(crate) fn wire_octets(base: &[u8]) -> Option<u64> {
    number(base, b'W')
}

/// Octets as stored in a base name.
pub(crate) fn stored_octets(base: &str) -> Option<u64> {
    number(base.as_bytes(), b'S')
}

/// The CRC-32 of the octets as stored in a base name, as a copy has it that somebody keeps.
pub(crate) fn checksum(base: &str) -> Option<u32> {
    let digits = field(base, CHECKSUM)?;
    let is_one = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(&digits, 16).ok().filter(|_| is_one)
}

/// The field with that checksum.
pub(crate) fn checksum_field(sum: u32) -> String {
    format!(",{CHECKSUM}={sum:08x}")
}

/// What it begins with; Dovecot and Courier have nothing of that name.
const CHECKSUM: &str = "C";

/// The value behind `,X=` in a base name.
pub(crate) fn field(base: &str, key: &str) -> Option<String> {
    let mut fields = base.split(',').skip(1);
    fields.find_map(|field| Some(field.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

/// What is the same in the names of all copies of a message, wherever they went.
pub(crate) fn origin(base: &str) -> String {
    let first = || base.split(',').next().unwrap_or_default().to_owned();
    field(base, "G").unwrap_or_else(first)
}

/// What stays of a name that says where a message lies, which a purge changes: that of a dbox or mbox, which has the
/// fields of the message in it. `None` for the name of a file.
pub(crate) fn lasting(base: &str) -> Option<String> {
    field(base, "R").map(|_| origin(base))
}

/// When the message was put where it is, in seconds since 1970, if the name tells: where it was carried
/// on, or else at its beginning, as Maildir has it.
pub(crate) fn saved(base: &str) -> Option<i64> {
    if let Some(carried) = field(base, "D") {
        return carried.parse().ok();
    }
    let digits = base
        .split('.')
        .next()
        .filter(|d| SECONDS.contains(&d.len()))?;
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

/// Digits of seconds since 1970, from 1973 on.
const SECONDS: RangeInclusive<usize> = 9..=11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_a_checksum_in_one_way() {
        let name = format!("1.a,S=3{},U=7", checksum_field(0xab));
        assert_eq!(name, "1.a,S=3,C=000000ab,U=7");
        assert_eq!(checksum(&name), Some(0xab));
        for bad in [
            "1.a,C=ab",
            "1.a,C=000000zz",
            "1.a,C=+00000ab",
            "C=000000ab",
            "1.a",
        ] {
            assert_eq!(checksum(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_tell_when_a_message_was_saved() {
        for (base, time) in [
            ("1275660208.M1P2.h,S=3", Some(1_275_660_208)),
            (
                "1275660208.M1P2.h,S=3,D=1700000000,U=4",
                Some(1_700_000_000),
            ),
            ("1275660208", Some(1_275_660_208)),
            ("1.foreign", None),
            ("12756602x8.a", None),
            ("127566020812.a", None),
            ("", None),
            ("1275660208.a,D=x", None),
        ] {
            assert_eq!(saved(base), time, "{base}");
        }
    }
}
