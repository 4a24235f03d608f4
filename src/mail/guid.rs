//! 128-bit identifiers of mailboxes and messages.

use sha2::{Digest, Sha256};
use std::fmt;

/// 16 octets that name a mailbox or a message for ever; written as 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guid(pub(crate) [u8; 16]);

impl Guid {
    /// The one that `text` writes, else one made of it that no other text has.
    pub(crate) fn of(text: &[u8]) -> Guid {
        Guid::parse(text).unwrap_or_else(|| {
            let digest = Sha256::digest(text);
            Guid(digest.first_chunk().copied().unwrap_or_default())
        })
    }

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
