//! Names and passwords in the form in which SCRAM compares them (RFC 4013).

use std::borrow::Cow;

use super::secret::Secret;

/// The text as SASLprep has it; `None` for what is no UTF-8, has characters that it forbids, or is empty then.
pub(super) fn prepared(text: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(text).ok()?;
    stringprep::saslprep(text)
        .ok()
        .filter(|text| !text.is_empty())
}

/// Passwords that `password` may have been hashed as: prepared or, by programs that do not prepare, as it is.
pub(super) fn forms(password: &[u8]) -> Vec<Secret> {
    let mut forms: Vec<Secret> = prepared(password)
        .map(|prepared| Secret::from(prepared.as_bytes()))
        .into_iter()
        .collect();
    if forms.iter().all(|form| form.bytes() != password) {
        forms.push(Secret::from(password));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        // RFC 4013 section 3.
        for (text, expected) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}1", None),
            ("", None),
            ("\u{ad}", None),
            ("a\u{a0}b", Some("a b")),
        ] {
            assert_eq!(prepared(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
        assert_eq!(prepared(b"\xff"), None);
    }

    #[test]
    fn a_password_may_have_been_hashed_as_it_is() {
        let shown = |password: &[u8]| -> Vec<Vec<u8>> {
            forms(password).iter().map(|f| f.bytes().to_vec()).collect()
        };
        assert_eq!(shown(b"tiger"), [b"tiger"]);
        assert_eq!(
            shown("\u{2168}".as_bytes()),
            [b"IX".to_vec(), "\u{2168}".into()]
        );
        assert_eq!(shown(b"\xff"), [b"\xff"]);
    }
}
