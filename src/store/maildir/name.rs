//! Names of message files.

use crate::mail::{SystemFlags, Uid};
use std::sync::atomic::{AtomicU32, Ordering};

/// Flag letters in the order in which they stand in a name.
const LETTERS: [(u8, SystemFlags); 5] = [
    (b'D', SystemFlags::DRAFT),
    (b'F', SystemFlags::FLAGGED),
    (b'R', SystemFlags::ANSWERED),
    (b'S', SystemFlags::SEEN),
    (b'T', SystemFlags::DELETED),
];

/// What separates the base name from the flags.
const INFO: &str = ":2,";

/// Base name, flags and keyword letters of a file name.
pub(crate) fn split(name: &str) -> (&str, SystemFlags, u32) {
    let Some(at) = name.find(':') else {
        return (name, SystemFlags::NONE, 0);
    };
    let (base, info) = name.split_at(at);
    let (mut flags, mut letters) = (SystemFlags::NONE, 0);
    for byte in info.strip_prefix(INFO).unwrap_or_default().bytes() {
        match byte {
            b'a'..=b'z' => letters |= 1 << (byte - b'a'),
            b',' => break,
            _ => {
                if let Some((_, flag)) = LETTERS.iter().find(|(letter, _)| *letter == byte) {
                    flags = flags.with(*flag);
                }
            }
        }
    }
    (base, flags, letters)
}

/// The file name in `cur/`.
pub(crate) fn with_flags(base: &str, flags: SystemFlags, letters: u32) -> String {
    let mut name = String::with_capacity(base.len() + 10);
    name.push_str(base);
    name.push_str(INFO);
    name.extend(
        LETTERS
            .iter()
            .filter(|(_, flag)| flags.contains(*flag))
            .map(|(letter, _)| char::from(*letter)),
    );
    name.extend(
        (b'a'..=b'z')
            .filter(|letter| letters >> (letter - b'a') & 1 == 1)
            .map(char::from),
    );
    name
}

/// The file name in `cur/` of a file that is called `old`; letters that mean nothing to this server
/// (`P` for passed, what other programs made up) stay.
pub(crate) fn reflagged(old: &str, flags: SystemFlags, letters: u32) -> String {
    let (base, info) = old.split_once(':').unwrap_or((old, ""));
    let mut name = with_flags(base, flags, letters);
    let info = info.strip_prefix("2,").unwrap_or_default();
    let (named, rest) = info.split_at(info.find(',').unwrap_or(info.len()));
    let is_own = |letter: char| {
        letter.is_ascii_lowercase() || LETTERS.iter().any(|(own, _)| char::from(*own) == letter)
    };
    let others: Vec<char> = named.chars().filter(|letter| !is_own(*letter)).collect();
    if !others.is_empty() {
        let own = name.split_off(base.len() + INFO.len());
        let mut all: Vec<char> = own.chars().chain(others).collect();
        all.sort_unstable();
        all.dedup();
        name.extend(all);
    }
    name.push_str(rest);
    name
}

/// The number behind `,X=` in a base name.
fn number(base: &[u8], key: u8) -> Option<u64> {
    let mut fields = base.split(|&b| b == b',').skip(1);
    let field = fields.find(|f| f.first() == Some(&key) && f.get(1) == Some(&b'='))?;
    std::str::from_utf8(field.get(2..)?).ok()?.parse().ok()
}

/// The UID in a base name.
pub(crate) fn uid(base: &[u8]) -> Option<Uid> {
    number(base, b'U')
        .and_then(|n| u32::try_from(n).ok())
        .and_then(Uid::new)
}

/// RFC822.SIZE in a base name.
pub(crate) fn wire_octets(base: &[u8]) -> Option<u64> {
    number(base, b'W')
}

/// Size of the file in a base name.
pub(crate) fn stored_octets(base: &[u8]) -> Option<u64> {
    number(base, b'S')
}

/// The base name with its UID set to `uid`.
pub(crate) fn with_uid(base: &str, uid: Uid) -> String {
    let mut name: String = base
        .split(',')
        .enumerate()
        .filter(|(at, field)| *at == 0 || !field.starts_with("U="))
        .flat_map(|(at, field)| [if at == 0 { "" } else { "," }, field])
        .collect();
    name.push_str(&format!(",U={uid}"));
    name
}

/// A name that no other process on no other host gives.
pub(crate) fn unique(host: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = crate::sys::clock::now();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{}.M{}P{}Q{count}.{host}",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id()
    )
}

/// The base name of a message: unique part, sizes, UID.
pub(crate) fn base(unique: &str, stored: u64, wire: u64, uid: Uid) -> String {
    format!("{unique},S={stored},W={wire},U={uid}")
}

/// The host's name as it may stand in a file name.
pub(crate) fn host() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let short: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != ',')
        .take(64)
        .collect();
    let escaped = short.replace('/', "\\057").replace(':', "\\072");
    if escaped.is_empty() {
        "localhost".to_owned()
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (name, base, flags, letters) in [
            ("1.a.h", "1.a.h", SystemFlags::NONE, 0),
            ("1.a.h:2,", "1.a.h", SystemFlags::NONE, 0),
            (
                "1.a.h,S=3:2,FSac",
                "1.a.h,S=3",
                SystemFlags::FLAGGED.with(SystemFlags::SEEN),
                5,
            ),
            ("1:2,DFRST", "1", SystemFlags::from_bits(31), 0),
            ("1:2,PS,x", "1", SystemFlags::SEEN, 0),
            ("1:1,S", "1", SystemFlags::NONE, 0),
        ] {
            assert_eq!(split(name), (base, flags, letters), "{name}");
        }
        assert_eq!(
            with_flags("1", SystemFlags::from_bits(31), 1 << 25 | 1),
            "1:2,DFRSTaz"
        );
    }

    #[test]
    fn letters_of_others_stay() {
        let flags = SystemFlags::SEEN.with(SystemFlags::FLAGGED);
        for (old, new) in [
            ("1", "1:2,FSb"),
            ("1:2,", "1:2,FSb"),
            ("1:2,PS", "1:2,FPSb"),
            ("1:2,SFPTac", "1:2,FPSb"),
            ("1:2,P9,x=P,y", "1:2,9FPSb,x=P,y"),
            ("1:1,P", "1:2,FSb"),
        ] {
            assert_eq!(reflagged(old, flags, 2), new, "{old}");
        }
    }

    #[test]
    fn numbers_in_base_names() {
        let base = b"1.a.h,S=30,W=31,U=7";
        assert_eq!(
            (stored_octets(base), wire_octets(base), uid(base)),
            (Some(30), Some(31), Uid::new(7))
        );
        assert_eq!(
            (
                uid(b"U=7"),
                uid(b"a,U=0"),
                uid(b"a,U=x"),
                uid(b"a,U=99999999999")
            ),
            (None, None, None, None)
        );
        assert_eq!(with_uid("1.a,U=3,S=1", Uid::new(9).unwrap()), "1.a,S=1,U=9");
        assert_ne!(unique("h"), unique("h"));
    }
}
