//! 128-bit identifiers of mailboxes and messages.

use std::fmt;

/// 16 octets that name a mailbox or a message for ever; written as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guid(pub(crate) [u8; 16]);

impl Guid {
    /// `None` unless `text` is 32 hex digits.
    pub(crate) fn parse(text: &[u8]) -> Option<Guid> {
        let mut bytes = [0; 16];
        let all = data_encoding::HEXLOWER_PERMISSIVE;
        (text.len() == 32 && all.decode_mut(text, &mut bytes).is_ok()).then_some(Guid(bytes))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
