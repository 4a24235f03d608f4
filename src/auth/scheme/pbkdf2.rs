//! PBKDF2 with HMAC-SHA1 (RFC 8018) in Dovecot's form `$1$salt$rounds$hash`, the
//! salt as text, the hash of 20 octets in hexadecimal.

use data_encoding::HEXLOWER_PERMISSIVE;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::auth::password::Unusable;

/// Most rounds of a stored hash; a second or two of a fast core.
const MAX_ROUNDS: u32 = 2_000_000;

pub(crate) struct Pbkdf2 {
    salt: String,
    rounds: u32,
    hash: [u8; 20],
}

impl Pbkdf2 {
    pub(crate) fn parse(text: &str) -> Result<Pbkdf2, Unusable> {
        let mut fields = text.split('$');
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        if (next()?, next()?) != ("", "1") {
            return Err(Unusable::Malformed);
        }
        let salt = next()?.to_owned();
        let rounds: u32 = next()?.parse().map_err(|_| Unusable::Malformed)?;
        let hash = HEXLOWER_PERMISSIVE.decode(next()?.as_bytes()).ok();
        let hash = hash
            .and_then(|h| h.try_into().ok())
            .ok_or(Unusable::Malformed)?;
        if fields.next().is_some() || rounds == 0 {
            return Err(Unusable::Malformed);
        }
        if rounds > MAX_ROUNDS {
            return Err(Unusable::Costly);
        }
        Ok(Pbkdf2 { salt, rounds, hash })
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let hash: [u8; 20] =
            pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password, self.salt.as_bytes(), self.rounds);
        hash.ct_eq(&self.hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 6070.
    #[test]
    fn vectors() {
        for (rounds, hash) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
        ] {
            let stored = Pbkdf2::parse(&format!("$1$salt${rounds}${hash}"))
                .ok()
                .unwrap();
            assert!(stored.verify(b"password"), "{rounds}");
            assert!(!stored.verify(b"Password"), "{rounds}");
        }
    }

    #[test]
    fn faults() {
        let hash = "0c60c80f961f0e71f3a9b524af6012062fe037a6";
        for (text, expected) in [
            (format!("$1$salt$2000000${hash}"), None),
            (format!("$1$salt$2000001${hash}"), Some(Unusable::Costly)),
            (format!("$1$salt$0${hash}"), Some(Unusable::Malformed)),
            (format!("$2$salt$1${hash}"), Some(Unusable::Malformed)),
            (format!("$1$salt$1${hash}$"), Some(Unusable::Malformed)),
            (format!("$1$salt$1${hash}aa"), Some(Unusable::Malformed)),
            ("$1$salt$1".to_owned(), Some(Unusable::Malformed)),
        ] {
            assert_eq!(Pbkdf2::parse(&text).err(), expected, "{text}");
        }
    }
}
