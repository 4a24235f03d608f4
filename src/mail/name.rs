//! Names of mailboxes, patterns for them, and what a mailbox is for.

use std::fmt;
use std::path::Path;

/// The hierarchy delimiter inside [`MailboxName`] and in what clients see.
pub(crate) const DELIMITER: char = '/';

/// The name of a mailbox in UTF-8, its hierarchy parts separated by [`DELIMITER`].
///
/// Invariant: `INBOX` (and the first part of `INBOX/x`) is in upper case; no part is empty,
/// `.` or `..`; no control character; at most [`MailboxName::MAX_OCTETS`] and
/// [`MailboxName::MAX_DEPTH`]. So a name is safe as a path below a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct MailboxName(Box<str>);

/// Why a text is no mailbox name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidName {
    Empty,
    /// An empty part, `.` or `..` between delimiters.
    Part,
    /// A control character or a byte that is not UTF-8.
    Character,
    /// Over [`MailboxName::MAX_OCTETS`], [`MailboxName::MAX_PART_OCTETS`] or [`MailboxName::MAX_DEPTH`].
    TooLong,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidName::Empty => "a mailbox name must not be empty",
            InvalidName::Part => "a part of the mailbox name is empty, '.' or '..'",
            InvalidName::Character => "the mailbox name has a character that is not allowed",
            InvalidName::TooLong => "the mailbox name is too long or too deep",
        })
    }
}

/// A mailbox of the mail in a directory, as `DIRECTORY: NAME`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned<'a> {
    root: &'a Path,
    name: &'a MailboxName,
}

impl fmt::Display for Owned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.root.display(), self.name)
    }
}

impl MailboxName {
    pub(crate) const MAX_OCTETS: usize = 4096;
    /// Leaves room for the encoding on disk, where a file name has 255 octets.
    pub(crate) const MAX_PART_OCTETS: usize = 200;
    pub(crate) const MAX_DEPTH: usize = 32;

    /// Shows whose it is, too, by the directory of the mail: for lines of the log.
    pub(crate) fn of<'a>(&'a self, root: &'a Path) -> Owned<'a> {
        Owned { root, name: self }
    }

    pub(crate) fn inbox() -> MailboxName {
        MailboxName("INBOX".into())
    }

    /// Checks and normalises `text` (RFC 3501 section 5.1). One trailing delimiter is dropped, as
    /// CREATE demands (RFC 3501 section 6.3.3).
    pub(crate) fn new(text: &str) -> Result<MailboxName, InvalidName> {
        let text = text.strip_suffix(DELIMITER).unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidName::Character);
        }
        if text.len() > Self::MAX_OCTETS || text.split(DELIMITER).count() > Self::MAX_DEPTH {
            return Err(InvalidName::TooLong);
        }
        for part in text.split(DELIMITER) {
            if part.is_empty() || part == "." || part == ".." {
                return Err(InvalidName::Part);
            }
            if part.len() > Self::MAX_PART_OCTETS {
                return Err(InvalidName::TooLong);
            }
        }
        let first = text.split(DELIMITER).next().unwrap_or(text);
        if first.eq_ignore_ascii_case("INBOX") {
            return Ok(MailboxName(format!("INBOX{}", &text[first.len()..]).into()));
        }
        Ok(MailboxName(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it is in normal form C and on one line (RFC 5198 section 2; control characters are in
    /// no name).
    pub(crate) fn is_net_unicode(&self) -> bool {
        let lines = |c| matches!(c, '\u{2028}' | '\u{2029}');
        unicode_normalization::is_nfc(&self.0) && !self.0.contains(lines)
    }

    pub(crate) fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(DELIMITER)
    }

    /// The name one level up; `None` at the top.
    pub(crate) fn parent(&self) -> Option<MailboxName> {
        self.0
            .rsplit_once(DELIMITER)
            .map(|(parent, _)| MailboxName(parent.into()))
    }

    /// True if this name lies anywhere below `other`.
    pub(crate) fn is_below(&self, other: &MailboxName) -> bool {
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.starts_with(DELIMITER))
    }

    /// This name with the leading `from` replaced by `to`; `None` if it is neither `from` nor
    /// below it, or the result is no valid name.
    pub(crate) fn moved(&self, from: &MailboxName, to: &MailboxName) -> Option<MailboxName> {
        if self == from {
            return Some(to.clone());
        }
        let rest = self
            .0
            .strip_prefix(&*from.0)
            .filter(|rest| rest.starts_with(DELIMITER))?;
        MailboxName::new(&format!("{}{rest}", to.0)).ok()
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A LIST pattern: `*` any characters, `%` any but the delimiter (RFC 3501 section 6.3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Reference name and pattern put together as LIST has them. A leading `inbox` matches in
    /// any case; runs of wildcards are folded so that matching stays cheap.
    pub(crate) fn new(reference: &str, pattern: &str) -> Pattern {
        let mut folded = String::new();
        for c in reference.chars().chain(pattern.chars()) {
            match (folded.chars().last(), c) {
                (Some('*'), '*' | '%') | (Some('%'), '%') => {}
                (Some('%'), '*') => {
                    folded.pop();
                    folded.push('*');
                }
                _ => folded.push(c),
            }
        }
        if folded
            .get(..5)
            .is_some_and(|first| first.eq_ignore_ascii_case("inbox"))
            && matches!(folded.as_bytes().get(5), None | Some(b'/' | b'*' | b'%'))
        {
            folded.replace_range(..5, "INBOX");
        }
        Pattern(folded)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let pattern = self.0.as_bytes();
        let name = name.as_bytes();
        // Positions to fall back to: after the last `*` and after the last `%` behind it.
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        let mut percent: Option<(usize, usize)> = None;
        loop {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, n));
                    percent = None;
                    continue;
                }
                Some(b'%') => {
                    p += 1;
                    percent = Some((p, n));
                    continue;
                }
                Some(c) if name.get(n) == Some(c) => {
                    p += 1;
                    n += 1;
                    continue;
                }
                None if n == name.len() => return true,
                _ => {}
            }
            if let Some((to, at)) = percent
                && name.get(at).is_some_and(|&c| c != DELIMITER as u8)
            {
                percent = Some((to, at + 1));
                (p, n) = (to, at + 1);
            } else if let Some((to, at)) = star
                && at < name.len()
            {
                star = Some((to, at + 1));
                percent = None;
                (p, n) = (to, at + 1);
            } else {
                return false;
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a mailbox is for (RFC 6154 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpecialUse {
    Archive,
    Drafts,
    /// RFC 8457 section 3.
    Important,
    Junk,
    Sent,
    Trash,
}

impl SpecialUse {
    /// With the attribute as LIST writes it and the mailbox made for it at first login, if one is.
    pub(crate) const ALL: [(SpecialUse, &'static str, Option<&'static str>); 6] = [
        (SpecialUse::Archive, "\\Archive", Some("Archive")),
        (SpecialUse::Drafts, "\\Drafts", Some("Drafts")),
        (SpecialUse::Important, "\\Important", None),
        (SpecialUse::Junk, "\\Junk", Some("Junk")),
        (SpecialUse::Sent, "\\Sent", Some("Sent")),
        (SpecialUse::Trash, "\\Trash", Some("Trash")),
    ];

    /// The use of that attribute, in any case, with the backslash.
    pub(crate) fn named(attribute: &str) -> Option<SpecialUse> {
        Self::ALL
            .iter()
            .find(|(_, own, _)| own.eq_ignore_ascii_case(attribute))
            .map(|&(special_use, ..)| special_use)
    }

    /// The attribute as LIST writes it.
    pub(crate) fn attribute(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(s, ..)| *s == self)
            .map_or("", |&(_, attribute, _)| attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_networks() {
        let good = |name: &str| MailboxName::new(name).unwrap().is_net_unicode();
        assert!(good("a/b") && good("f\u{fc}r"));
        assert!(!good("fu\u{308}r") && !good("a\u{2028}b") && !good("a\u{2029}b"));
    }

    #[test]
    fn names_are_checked_and_inbox_is_folded() {
        assert_eq!(MailboxName::new("inbox").unwrap().as_str(), "INBOX");
        assert_eq!(MailboxName::new("InBox/a").unwrap().as_str(), "INBOX/a");
        assert_eq!(MailboxName::new("inboxes").unwrap().as_str(), "inboxes");
        assert_eq!(MailboxName::new("a/b/").unwrap().as_str(), "a/b");
        for (text, why) in [
            ("", InvalidName::Empty),
            ("/", InvalidName::Empty),
            ("a//b", InvalidName::Part),
            ("../b", InvalidName::Part),
            ("a/./b", InvalidName::Part),
            ("/a", InvalidName::Part),
            ("a\nb", InvalidName::Character),
            ("a\0", InvalidName::Character),
        ] {
            assert_eq!(MailboxName::new(text), Err(why), "{text:?}");
        }
        let deep = "a/".repeat(MailboxName::MAX_DEPTH) + "a";
        assert_eq!(MailboxName::new(&deep), Err(InvalidName::TooLong));
        assert_eq!(
            MailboxName::new(&"a".repeat(201)),
            Err(InvalidName::TooLong)
        );
    }

    #[test]
    fn patterns_match_as_list_does() {
        for (pattern, name, matched) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("%/c", "a/b/c", false),
            ("*/c", "a/b/c", true),
            ("%/%/c", "a/b/c", true),
            ("*%c", "a/b/c", true),
            ("a*%/d", "a/b/c/d", true),
            ("inbox", "INBOX", true),
            ("inb%", "INBOX", false),
            ("*x%y", "axb/xcy", true),
            ("", "", true),
        ] {
            assert_eq!(
                Pattern::new("", pattern).matches(name),
                matched,
                "{pattern} {name}"
            );
        }
        // Many wildcards against a long name must not take exponential time.
        assert!(
            !Pattern::new("", &"*a%".repeat(100)).matches(&"a".repeat(900).replace("aaa", "ab/"))
        );
    }

    #[test]
    fn moved_keeps_the_rest() {
        let name = |t: &str| MailboxName::new(t).unwrap();
        assert_eq!(
            name("a/b").moved(&name("a"), &name("x/y")),
            Some(name("x/y/b"))
        );
        assert_eq!(name("ab").moved(&name("a"), &name("x")), None);
    }
}
