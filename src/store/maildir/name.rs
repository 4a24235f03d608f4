//! Names of message files.

use crate::config::InfoSeparator;
use crate::mail::{Guid, SystemFlags, Uid};
use crate::store::side::base::{number, origin};
use crate::store::side::unique::unique;

/// Flag letters in the order in which they stand in a name.
const LETTERS: [(u8, SystemFlags); 5] = [
    (b'D', SystemFlags::DRAFT),
    (b'F', SystemFlags::FLAGGED),
    (b'R', SystemFlags::ANSWERED),
    (b'S', SystemFlags::SEEN),
    (b'T', SystemFlags::DELETED),
];

/// What is between the separator and the flags.
const INFO: &str = "2,";

/// Octets of a file name that are its base name: all before `:`, or before what stands for it where file systems
/// take none in names.
pub(super) fn base_octets(name: &[u8]) -> usize {
    let ends = |at: &usize| {
        let (separator, info) = name.split_at(*at).1.split_first().unwrap_or((&0, &[]));
        *separator == b':' || info.starts_with(INFO.as_bytes())
    };
    let mut separators = memchr::memchr3_iter(b':', b';', b'!', name);
    separators.find(ends).unwrap_or(name.len())
}

/// The end of a file name that says its flags, with the separator, whatever is before it.
pub(super) fn flags_behind(name: &[u8]) -> Option<&[u8]> {
    let starts = memchr::memrchr3_iter(b':', b';', b'!', name);
    let mut ends = starts.filter_map(|at| name.get(at..));
    ends.find(|end| {
        end.get(1..)
            .is_some_and(|info| info.starts_with(INFO.as_bytes()))
    })
}

/// Base name, flags and keyword letters of a file name.
pub(crate) fn split(name: &str) -> (&str, SystemFlags, u32) {
    let (base, info) = name.split_at(base_octets(name.as_bytes()));
    let (mut flags, mut letters) = (SystemFlags::NONE, 0);
    for byte in flags_in(info).bytes() {
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

/// What of the end of a file name is behind its separator and `2,`.
fn flags_in(info: &str) -> &str {
    let behind = info.get(1..).and_then(|info| info.strip_prefix(INFO));
    behind.unwrap_or_default()
}

/// The file name in `cur/`, where nothing else is said.
pub(crate) fn with_flags(base: &str, flags: SystemFlags, letters: u32) -> String {
    separated(base, InfoSeparator::Colon, flags, letters)
}

/// The file name in `cur/` with that before its flags.
pub(super) fn separated(
    base: &str,
    separator: InfoSeparator,
    flags: SystemFlags,
    letters: u32,
) -> String {
    let mut name = String::with_capacity(base.len() + 10);
    name.push_str(base);
    name.push_str(separator.as_str());
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
pub(super) fn reflagged(
    old: &str,
    separator: InfoSeparator,
    flags: SystemFlags,
    letters: u32,
) -> String {
    let (base, info) = old.split_at(base_octets(old.as_bytes()));
    let mut name = separated(base, separator, flags, letters);
    let info = flags_in(info);
    let (named, rest) = info.split_at(info.find(',').unwrap_or(info.len()));
    let is_own = |letter: char| {
        letter.is_ascii_lowercase() || LETTERS.iter().any(|(own, _)| char::from(*own) == letter)
    };
    let others: Vec<char> = named.chars().filter(|letter| !is_own(*letter)).collect();
    if !others.is_empty() {
        let own = name.split_off(base.len() + separator.as_str().len() + INFO.len());
        let mut all: Vec<char> = own.chars().chain(others).collect();
        all.sort_unstable();
        all.dedup();
        name.extend(all);
    }
    name.push_str(rest);
    name
}

/// The UID in a base name.
pub(crate) fn uid(base: &[u8]) -> Option<Uid> {
    number(base, b'U')
        .and_then(|n| u32::try_from(n).ok())
        .and_then(Uid::new)
}

/// Of a longer base name only what this server needs is carried on: there has to be room for what
/// comes behind it.
const MAX_CARRIED: usize = 150;

/// The base name of a message that is copied or moved at that time (seconds since 1970) to where it has
/// another UID.
pub(crate) fn carried(base: &str, uid: Uid, time: i64, host: &str) -> String {
    let mut fields = base.split(',');
    let first = fields.next().unwrap_or_default();
    let mut name = match first.len() > MAX_CARRIED {
        false => first.to_owned(),
        true => unique(host),
    };
    let is = |field: &str, keys: &[&str]| keys.iter().any(|key| field.starts_with(key));
    let stays = |field: &&str| match base.len() > MAX_CARRIED {
        false => !is(field, &["U=", "D=", "G="]),
        true => is(field, &["S=", "W="]),
    };
    for field in fields.filter(stays) {
        name.push(',');
        name.push_str(field);
    }
    let origin = origin(base);
    if name.split(',').next().is_none_or(|first| first != origin) {
        name.push_str(&format!(",G={}", Guid::of(origin.as_bytes())));
    }
    name.push_str(&format!(",D={time},U={uid}"));
    name
}

/// The base name of a message: unique part, sizes, what it is known by if that is not the unique part, and
/// since when it is where it is, UID.
pub(crate) fn base(
    unique: &str,
    stored: u64,
    wire: u64,
    identity: Option<(Guid, Option<i64>)>,
    uid: Uid,
) -> String {
    let mut name = format!("{unique},S={stored},W={wire}");
    if let Some((guid, saved)) = identity {
        name.push_str(&format!(",G={guid}"));
        if let Some(saved) = saved {
            name.push_str(&format!(",D={saved}"));
        }
    }
    name.push_str(&format!(",U={uid}"));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::side::base::wire_octets;

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
            ("1;2,Sb", "1", SystemFlags::SEEN, 2),
            ("1!2,", "1", SystemFlags::NONE, 0),
            ("a;b!c:2,S", "a;b!c", SystemFlags::SEEN, 0),
            ("a;b!", "a;b!", SystemFlags::NONE, 0),
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
            let colon = InfoSeparator::Colon;
            assert_eq!(reflagged(old, colon, flags, 2), new, "{old}");
            for (separator, other) in [
                (InfoSeparator::Semicolon, ";2,"),
                (InfoSeparator::Exclamation, "!2,"),
            ] {
                let (old, new) = (old.replace(":2,", other), new.replace(":2,", other));
                assert_eq!(reflagged(&old, separator, flags, 2), new, "{old}");
                assert_eq!(reflagged(&old, colon, flags, 2), new.replace(other, ":2,"));
            }
        }
    }

    #[test]
    fn copies_are_known_by_their_origin() {
        let carried = |base: &str| carried(base, Uid::new(9).unwrap(), 77, "h");
        assert_eq!(carried("1.a,U=3,S=1"), "1.a,S=1,D=77,U=9");
        assert_eq!(carried("1.a"), "1.a,D=77,U=9");
        assert_eq!(carried("1.a,x=y"), "1.a,x=y,D=77,U=9");
        let long = format!("{},S=3,x=y,U=4", "z".repeat(200));
        let copy = carried(&long);
        assert!(copy.len() < 150, "{copy}");
        assert_eq!(number(copy.as_bytes(), b'S'), Some(3));
        let id = |base: &str| Guid::of(origin(base).as_bytes());
        for base in ["1.a,U=3", &long, &copy] {
            let twice = carried(&carried(base));
            assert_eq!(id(&twice), id(base), "{base} {twice}");
            assert_eq!(uid(twice.as_bytes()), Uid::new(9));
        }
        assert_ne!(id(&long), id("1.a"));
    }

    #[test]
    fn numbers_in_base_names() {
        let base = b"1.a.h,S=30,W=31,U=7";
        assert_eq!(
            (number(base, b'S'), wire_octets(base), uid(base)),
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
        assert_ne!(unique("h"), unique("h"));
    }
}
