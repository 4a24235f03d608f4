//! Dovecot's CRAM-MD5, also called HMAC-MD5: what HMAC (RFC 2104) makes of the key alone, so that CRAM-MD5 can be
//! done without the password. Whoever has it can log in by CRAM-MD5, as with a password that is stored as it is.

use crate::auth::password::Unusable;
use data_encoding::HEXLOWER_PERMISSIVE;
use md5::digest::common::hazmat::SerializableState;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// Octets of a state of MD5.
const STATE: usize = 16;
/// Octets that MD5 takes at a time.
const BLOCK: usize = 64;

/// The states behind the outer and the inner key.
pub(crate) struct CramMd5 {
    outer: [u8; STATE],
    inner: [u8; STATE],
}

impl CramMd5 {
    /// Takes both states in hexadecimal.
    pub(crate) fn parse(hash: &str) -> Result<CramMd5, Unusable> {
        let octets = HEXLOWER_PERMISSIVE.decode(hash.as_bytes());
        let octets = octets.map_err(|_| Unusable::Malformed)?;
        let states = octets.split_at_checked(STATE).and_then(|(outer, inner)| {
            let (outer, inner) = (outer.try_into().ok()?, inner.try_into().ok()?);
            Some(CramMd5 { outer, inner })
        });
        states.ok_or(Unusable::Malformed)
    }

    fn of(password: &[u8]) -> CramMd5 {
        let mut key = match password.len() {
            0..=BLOCK => password.to_vec(),
            _ => Md5::digest(password).to_vec(),
        };
        key.resize(BLOCK, 0);
        let state = |mask: u8| {
            let block: Vec<u8> = key.iter().map(|octet| octet ^ mask).collect();
            let serialized = Md5::new_with_prefix(block).serialize();
            let mut state = [0; STATE];
            state
                .iter_mut()
                .zip(serialized)
                .for_each(|(own, octet)| *own = octet);
            state
        };
        CramMd5 {
            outer: state(0x5c),
            inner: state(0x36),
        }
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let other = CramMd5::of(password);
        let same = self.outer.ct_eq(&other.outer) & self.inner.ct_eq(&other.inner);
        same.into()
    }

    /// The keyed digest of a challenge.
    pub(crate) fn digest(&self, challenge: &[u8]) -> Vec<u8> {
        let inner = restored(&self.inner).map(|md5| md5.chain_update(challenge).finalize());
        let outer = inner.zip(restored(&self.outer));
        let digest = outer.map(|(inner, md5)| md5.chain_update(inner).finalize());
        digest.map(|digest| digest.to_vec()).unwrap_or_default()
    }
}

/// MD5 behind one block.
fn restored(state: &[u8; STATE]) -> Option<Md5> {
    let mut serialized = Md5::new().serialize();
    let blocks = 1u64.to_le_bytes();
    let known = state.iter().chain(&blocks);
    serialized
        .iter_mut()
        .zip(known)
        .for_each(|(own, octet)| *own = *octet);
    Md5::deserialize(&serialized).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};

    #[test]
    fn as_dovecot_stores_it() {
        // Of doveadm pw -s CRAM-MD5 -p secret.
        let stored = "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56";
        let own = CramMd5::parse(stored).ok().unwrap();
        assert!(own.verify(b"secret") && !own.verify(b"secreT") && !own.verify(b""));
        for (text, good) in [
            (&stored[2..], false),
            ("", false),
            ("x", false),
            (stored, true),
        ] {
            assert_eq!(CramMd5::parse(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn the_digest_is_that_of_hmac() {
        for length in [0, 6, 63, 64, 65, 200] {
            let password = vec![b'p'; length];
            let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
            let mac = <Hmac<Md5> as KeyInit>::new_from_slice(&password).unwrap();
            let expected = mac.chain_update(challenge).finalize().into_bytes().to_vec();
            assert_eq!(
                CramMd5::of(&password).digest(challenge),
                expected,
                "{length}"
            );
        }
    }
}
