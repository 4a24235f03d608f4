//! Plain and salted SHA digests as LDAP servers store them: the digest, then the salt, in
//! base64 or hexadecimal.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::auth::password::Unusable;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sha1,
    Sha256,
    Sha512,
}

impl Kind {
    /// Octets of a digest.
    pub(crate) fn length(self) -> usize {
        match self {
            Kind::Sha1 => 20,
            Kind::Sha256 => 32,
            Kind::Sha512 => 64,
        }
    }

    fn digest(self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        fn of<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
            D::new()
                .chain_update(password)
                .chain_update(salt)
                .finalize()
                .to_vec()
        }
        match self {
            Kind::Sha1 => of::<Sha1>(password, salt),
            Kind::Sha256 => of::<Sha256>(password, salt),
            Kind::Sha512 => of::<Sha512>(password, salt),
        }
    }
}

/// A digest of password and salt; the salt may be empty.
pub(crate) struct Salted {
    kind: Kind,
    digest: Vec<u8>,
    salt: Vec<u8>,
}

impl Salted {
    /// Takes the decoded octets; what follows the digest is the salt, which only salted
    /// schemes may have.
    pub(crate) fn new(kind: Kind, salted: bool, octets: &[u8]) -> Result<Salted, Unusable> {
        let (digest, salt) = octets
            .split_at_checked(kind.length())
            .ok_or(Unusable::Malformed)?;
        if salt.is_empty() == salted {
            return Err(Unusable::Malformed);
        }
        Ok(Salted {
            kind,
            digest: digest.to_vec(),
            salt: salt.to_vec(),
        })
    }

    /// The octets that [`Salted::new`] takes.
    pub(crate) fn make(kind: Kind, password: &[u8], salt: &[u8]) -> Vec<u8> {
        [&kind.digest(password, salt), salt].concat()
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let digest = self.kind.digest(password, &self.salt);
        digest.ct_eq(&self.digest).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_is_what_follows_the_digest() {
        let stored = Salted::make(Kind::Sha1, b"tiger", b"pepper");
        let salted = Salted::new(Kind::Sha1, true, &stored).ok().unwrap();
        assert!(salted.verify(b"tiger") && !salted.verify(b"tigerpepper"));
        for (salted, length) in [(true, 20), (false, 21), (false, 19), (true, 0)] {
            assert!(Salted::new(Kind::Sha1, salted, &vec![0; length]).is_err());
        }
    }
}
