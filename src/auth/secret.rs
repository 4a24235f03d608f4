//! Bytes that must not stay in memory or reach a log.

use std::fmt;

use zeroize::Zeroize;

/// A password as the client sent it; wiped when dropped, never printed.
#[derive(Clone, Default)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Secret {
        Secret(bytes.to_vec())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_bytes_nor_length() {
        let shown = |bytes: &[u8]| format!("{:?}", Secret::from(bytes));
        assert_eq!(shown(b"tiger"), shown(b"something longer"));
        assert!(!shown(b"tiger").contains("tiger"));
    }

    #[test]
    fn bytes_are_what_was_given() {
        assert_eq!(Secret::new(b"a\xff".to_vec()).bytes(), b"a\xff");
    }
}
