//! What SCRAM stores instead of a password (RFC 5802 section 3), in Dovecot's form:
//! `iterations,salt,stored key,server key`, all but the first in base64.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::auth::password::Unusable;
use crate::auth::saslprep;

/// Most iterations of a stored key; a second or two of a fast core.
const MAX_ITERATIONS: u32 = 2_000_000;
/// Octets of salt that are taken seriously.
const SALTS: std::ops::RangeInclusive<usize> = 4..=64;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    /// Octets of a digest.
    fn length(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }

    pub(crate) fn digest(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(octets).to_vec(),
            Hash::Sha256 => Sha256::digest(octets).to_vec(),
        }
    }

    /// HMAC (RFC 2104); the key may have any length.
    pub(crate) fn mac(self, key: &[u8], octets: &[u8]) -> Vec<u8> {
        fn of<M: Mac + KeyInit>(key: &[u8], octets: &[u8]) -> Vec<u8> {
            // No length is wrong.
            let mac = <M as KeyInit>::new_from_slice(key).map(|mac| mac.chain_update(octets));
            mac.map_or_else(|_| Vec::new(), |mac| mac.finalize().into_bytes().to_vec())
        }
        match self {
            Hash::Sha1 => of::<Hmac<Sha1>>(key, octets),
            Hash::Sha256 => of::<Hmac<Sha256>>(key, octets),
        }
    }

    /// The salted password (RFC 5802 section 2.2, Hi).
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Hash::Sha1 => {
                pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password, salt, iterations).to_vec()
            }
            Hash::Sha256 => {
                pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec()
            }
        })
    }
}

/// What tells that a client knows the password, and the client that the server knows of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) stored: Vec<u8>,
    pub(crate) server: Vec<u8>,
}

/// Says nothing of what it holds.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Those of a password, which is taken as it is.
    pub(crate) fn derive(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> Keys {
        let salted = hash.salted(password, salt, iterations);
        let client = Zeroizing::new(hash.mac(&salted, b"Client Key"));
        Keys {
            stored: hash.digest(&client),
            server: hash.mac(&salted, b"Server Key"),
        }
    }

    /// Whether the proof of a client fits what both have said (RFC 5802 section 3).
    pub(crate) fn prove(&self, hash: Hash, said: &[u8], proof: &[u8]) -> bool {
        let signature = hash.mac(&self.stored, said);
        let key = proof.iter().zip(&signature).map(|(one, other)| one ^ other);
        let key = Zeroizing::new(key.collect::<Vec<u8>>());
        let right: bool = hash.digest(&key).ct_eq(&self.stored).into();
        right && proof.len() == signature.len()
    }
}

/// A stored key.
pub(crate) struct Scram {
    pub(crate) hash: Hash,
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) keys: Keys,
}

impl Scram {
    pub(crate) fn parse(hash: Hash, text: &str) -> Result<Scram, Unusable> {
        let mut fields = text.split(',');
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        let iterations: u32 = next()?.parse().map_err(|_| Unusable::Malformed)?;
        let (salt, stored, server) = (octets(next()?)?, octets(next()?)?, octets(next()?)?);
        let lengths = stored.len() == hash.length() && server.len() == hash.length();
        if fields.next().is_some() || iterations == 0 || !lengths || !SALTS.contains(&salt.len()) {
            return Err(Unusable::Malformed);
        }
        if iterations > MAX_ITERATIONS {
            return Err(Unusable::Costly);
        }
        let keys = Keys { stored, server };
        Ok(Scram {
            hash,
            iterations,
            salt,
            keys,
        })
    }

    /// Whether a password that was sent is the one.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        saslprep::forms(password).iter().any(|password| {
            let keys = Keys::derive(self.hash, password.bytes(), &self.salt, self.iterations);
            keys.stored.ct_eq(&self.keys.stored).into()
        })
    }
}

fn octets(text: &str) -> Result<Vec<u8>, Unusable> {
    let text = text.trim_end_matches('=').as_bytes();
    BASE64_NOPAD.decode(text).map_err(|_| Unusable::Malformed)
}

/// The stored form of a new password, `{SCRAM-SHA-256}...`; `iterations` is brought into what verification accepts.
/// `None` for a password that SCRAM cannot use (RFC 4013).
pub(crate) fn scram_sha_256(password: &[u8], iterations: u32, salt: [u8; 16]) -> Option<String> {
    let iterations = iterations.clamp(1, MAX_ITERATIONS);
    let password = saslprep::prepared(password)?;
    let keys = Keys::derive(Hash::Sha256, password.as_bytes(), &salt, iterations);
    let [salt, stored, server] =
        [&salt[..], &keys.stored, &keys.server].map(|octets| BASE64.encode(octets));
    Some(format!(
        "{{SCRAM-SHA-256}}{iterations},{salt},{stored},{server}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::Password;

    /// Made with `doveadm pw -s SCRAM-SHA-1 -p secret`.
    const SHA_1: &str =
        "4096,aUFO5BV6TlKrulYXVcHV7g==,wXV76EFie8hl/Cgv0Pao5rqzj3A=,LIneUco2ZS9gi5S6lw9QyMV4PRs=";

    #[test]
    fn new_passwords_verify() {
        let stored = scram_sha_256(b"pencil", 4096, [7; 16]).unwrap();
        assert!(stored.starts_with("{SCRAM-SHA-256}4096,BwcHBwcHBwcHBwcHBwcHBw==,"));
        let password = Password::parse(&stored).unwrap();
        assert!(password.verify(b"pencil") && !password.verify(b"pencill"));
        assert!(scram_sha_256(b"\x07", 4096, [7; 16]).is_none());
        assert!(scram_sha_256(b"x", 0, [7; 16]).is_some_and(|s| Password::parse(&s).is_ok()));
        // RFC 4013: what looks the same is the same.
        let stored = scram_sha_256("\u{2168}".as_bytes(), 1, [7; 16]).unwrap();
        let password = Password::parse(&stored).unwrap();
        assert!(password.verify(b"IX") && password.verify("\u{2168}".as_bytes()));
    }

    #[test]
    fn faults() {
        assert!(Scram::parse(Hash::Sha1, SHA_1).is_ok());
        let tail = SHA_1.trim_start_matches("4096");
        for (hash, text, expected) in [
            (Hash::Sha256, SHA_1.to_owned(), Unusable::Malformed),
            (Hash::Sha1, format!("0{tail}"), Unusable::Malformed),
            (Hash::Sha1, format!("2000001{tail}"), Unusable::Costly),
            (Hash::Sha1, format!("{SHA_1},x"), Unusable::Malformed),
            (
                Hash::Sha1,
                SHA_1.replace("aUFO", "!!!!"),
                Unusable::Malformed,
            ),
            (Hash::Sha1, "4096,,,".to_owned(), Unusable::Malformed),
            (Hash::Sha1, "4096".to_owned(), Unusable::Malformed),
        ] {
            assert_eq!(Scram::parse(hash, &text).err(), Some(expected), "{text}");
        }
    }
}
