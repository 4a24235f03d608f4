//! Names of annotations (RFC 5464 section 3.2).

use std::fmt;

/// The name of an entry such as `/private/comment`, in lower case as names mean the same in any.
///
/// Invariant: begins with `/private` or `/shared`; printable ASCII without `*` and `%`; no part is
/// empty; at most [`EntryName::MAX_OCTETS`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EntryName(Box<str>);

/// How far below an entry others are looked for (RFC 5464 section 4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Depth {
    #[default]
    Zero,
    One,
    Infinity,
}

impl EntryName {
    pub(crate) const MAX_OCTETS: usize = 255;

    /// `None` if `text` is no such name.
    pub(crate) fn new(text: &[u8]) -> Option<EntryName> {
        let printable = |b: &u8| (b' '..=b'~').contains(b) && !b"*%".contains(b);
        if text.len() > Self::MAX_OCTETS || !text.iter().all(printable) {
            return None;
        }
        let name = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
        let mut parts = name.strip_prefix('/')?.split('/');
        let scope = parts.next()?;
        let named = scope == "private" || scope == "shared";
        (named && parts.all(|part| !part.is_empty())).then(|| EntryName(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it can have a value: has two parts, or four below `vendor`.
    pub(crate) fn can_have_value(&self) -> bool {
        let mut parts = self.0.split('/').skip(2);
        match parts.next() {
            None => false,
            Some("vendor") => parts.count() >= 2,
            Some(_) => true,
        }
    }

    /// True for `base` itself and what lies below it, up to `depth`.
    pub(crate) fn is_within(&self, base: &EntryName, depth: Depth) -> bool {
        match self.0.strip_prefix(&*base.0) {
            Some("") => true,
            Some(rest) => match (rest.strip_prefix('/'), depth) {
                (None, _) | (_, Depth::Zero) => false,
                (Some(below), Depth::One) => !below.contains('/'),
                (Some(_), Depth::Infinity) => true,
            },
            None => false,
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for (text, valid, can_have_value) in [
            ("/private/comment", true, true),
            ("/SHARED/Comment", true, true),
            ("/shared", true, false),
            ("/private/vendor", true, false),
            ("/private/vendor/x", true, false),
            ("/private/vendor/x/y", true, true),
            ("/shared/a b", true, true),
            ("", false, false),
            ("/", false, false),
            ("comment", false, false),
            ("/other/comment", false, false),
            ("/shared/", false, false),
            ("/shared//x", false, false),
            ("/shared/x/", false, false),
            ("/shared/x*", false, false),
            ("/shared/%", false, false),
            ("/shared/a\tb", false, false),
            ("/shared/\u{fc}", false, false),
        ] {
            let name = EntryName::new(text.as_bytes());
            assert_eq!(name.is_some(), valid, "{text}");
            assert_eq!(
                name.is_some_and(|n| n.can_have_value()),
                can_have_value,
                "{text}"
            );
        }
        assert!(EntryName::new(format!("/shared/{}", "x".repeat(247)).as_bytes()).is_some());
        assert!(EntryName::new(format!("/shared/{}", "x".repeat(248)).as_bytes()).is_none());
    }

    #[test]
    fn depths() {
        let name = |text: &str| EntryName::new(text.as_bytes()).unwrap();
        let within = |text: &str, depth| name(text).is_within(&name("/shared/A"), depth);
        let depths = [Depth::Zero, Depth::One, Depth::Infinity];
        for (text, expected) in [
            ("/shared/a", [true, true, true]),
            ("/shared/a/b", [false, true, true]),
            ("/shared/a/b/c", [false, false, true]),
            ("/shared/ab", [false, false, false]),
            ("/private/a", [false, false, false]),
        ] {
            assert_eq!(depths.map(|depth| within(text, depth)), expected, "{text}");
        }
    }
}
