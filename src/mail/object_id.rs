//! Object identifiers (RFC 8474 section 4 and section 5).

use super::guid::Guid;
use std::fmt;

/// Names a mailbox, the content of a message or a thread for ever. Written as a letter, which keeps the
/// three apart (RFC 8474 section 8.1), and 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId {
    letter: char,
    guid: Guid,
}

const MAILBOX: char = 'F';
const EMAIL: char = 'M';
const THREAD: char = 'T';

impl ObjectId {
    /// MAILBOXID.
    pub(crate) fn mailbox(guid: Guid) -> ObjectId {
        let letter = MAILBOX;
        ObjectId { letter, guid }
    }

    /// EMAILID of a message that the store knows by this name in all its copies.
    pub(crate) fn email(origin: &str) -> ObjectId {
        let (letter, guid) = (EMAIL, Guid::of(origin.as_bytes()));
        ObjectId { letter, guid }
    }

    /// THREADID of all messages that go back to the same one.
    pub(crate) fn thread(first: &[u8]) -> ObjectId {
        let (letter, guid) = (THREAD, Guid::of(first));
        ObjectId { letter, guid }
    }

    /// `None` for what no object here is called; upper and lower case are different.
    pub(crate) fn parse(text: &str) -> Option<ObjectId> {
        let mut chars = text.chars();
        let letter = chars.next()?;
        let guid = Guid::parse(chars.as_str().as_bytes())?;
        let id = ObjectId { letter, guid };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter, self.guid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_come_back() {
        let email = ObjectId::email("1.a.host");
        let text = email.to_string();
        assert!(text.len() == 33 && text.starts_with('M'), "{text}");
        assert_eq!(ObjectId::parse(&text), Some(email));
        assert_ne!(ObjectId::thread(b"1.a.host").to_string(), text);
        assert_eq!(ObjectId::email("1.a.host"), email);
        assert_ne!(ObjectId::email("1.b.host"), email);
        for bad in [
            "",
            "M",
            "M123",
            &text.to_ascii_uppercase(),
            &text[1..],
            "\u{fc}",
        ] {
            assert_eq!(ObjectId::parse(bad), None, "{bad}");
        }
        // What is an identifier stays one.
        let digits = "0123456789abcdef0123456789abcdef";
        assert_eq!(ObjectId::email(digits).to_string(), format!("M{digits}"));
    }
}
