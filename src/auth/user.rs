//! A user, and which names a user may have.

use std::path::PathBuf;

use super::credentials::MAX_NAME;

/// Who owns an account. What is `None` comes from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// ASCII letters in lower case; passes [`check_name`].
    pub(crate) name: String,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) home: Option<PathBuf>,
    /// What is said of where the mail is, as `config::own_words` has it; may be wrong.
    pub(crate) mail: Option<Box<str>>,
}

/// Why a name cannot be a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    Empty,
    /// Longer than 255 octets.
    TooLong,
    /// A control character, white space or one of `: / \ " * %`.
    Character(char),
    /// `.`, `#` or `@` in front, `.` behind an `@`, `@` at the end: not safe in a path or a file of users.
    Shape,
}

impl std::fmt::Display for NameFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NameFault::Empty => f.write_str("a user name must not be empty"),
            NameFault::TooLong => write!(f, "a user name has at most {MAX_NAME} octets"),
            NameFault::Character(c) => write!(f, "a user name must not contain {c:?}"),
            NameFault::Shape => f.write_str(
                "neither a user name nor its domain begins with a dot, '#' or '@', or is empty",
            ),
        }
    }
}

/// Whether `name` may name a user. Names stand in paths (`{user}`, `{local_part}`, `{domain}`),
/// logs and lines of the users file, and must be harmless in each.
pub(crate) fn check_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameFault::TooLong);
    }
    let bad = |c: &char| c.is_control() || c.is_whitespace() || ":/\\\"*%".contains(*c);
    if let Some(c) = name.chars().find(bad) {
        return Err(NameFault::Character(c));
    }
    let risky = |part: &str| part.is_empty() || part.starts_with('.');
    if name.starts_with('#') || name.split('@').any(risky) {
        return Err(NameFault::Shape);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(MAX_NAME + 1);
        for (name, expected) in [
            ("ann", Ok(())),
            ("ann.b-c_d+e@example.org", Ok(())),
            ("zoë", Ok(())),
            ("a@b@c", Ok(())),
            ("", Err(NameFault::Empty)),
            (&long[..], Err(NameFault::TooLong)),
            (&long[1..], Ok(())),
            ("a:b", Err(NameFault::Character(':'))),
            ("a/b", Err(NameFault::Character('/'))),
            ("a\\b", Err(NameFault::Character('\\'))),
            ("a\nb", Err(NameFault::Character('\n'))),
            ("a\u{9b}31m", Err(NameFault::Character('\u{9b}'))),
            ("a b", Err(NameFault::Character(' '))),
            ("*", Err(NameFault::Character('*'))),
            ("..", Err(NameFault::Shape)),
            (".ann", Err(NameFault::Shape)),
            ("ann@..", Err(NameFault::Shape)),
            ("ann@", Err(NameFault::Shape)),
            ("@example.org", Err(NameFault::Shape)),
            ("#ann", Err(NameFault::Shape)),
        ] {
            assert_eq!(check_name(name), expected, "{name:?}");
        }
    }
}
