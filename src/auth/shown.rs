//! A certificate as a client showed it, with what shows that it has the key.

use std::fmt;

/// Certificates of a chain.
const MAX_CHAIN: usize = 8;
/// Octets of all of them.
const MAX_CHAIN_OCTETS: usize = 32 << 10;

/// What a client signed in the handshake of TLS 1.3 (RFC 8446 section 4.4.3), and with which certificate. As a
/// password does, it comes by the process that talks with the client, and is judged where the secrets are: that
/// process cannot make one.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// DER, the client's own first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The number of the signature's scheme.
    pub(crate) scheme: u16,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Shown {
    /// Whether a chain is short enough to be looked at.
    pub(crate) fn bounded<'a>(chain: impl Iterator<Item = &'a [u8]>) -> bool {
        let sizes: Vec<usize> = chain.take(MAX_CHAIN + 1).map(<[u8]>::len).collect();
        sizes.len() <= MAX_CHAIN && sizes.iter().sum::<usize>() <= MAX_CHAIN_OCTETS
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({} certificates)", self.chain.len())
    }
}
