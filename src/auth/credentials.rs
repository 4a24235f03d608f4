//! What a client claims, and what became of the claim.

use super::closed::Closed;
use super::scram::Proved;
use super::secret::Secret;
use super::shown::Shown;
use std::net::IpAddr;

/// Longest user name accepted from a client or a file, in octets.
pub(crate) const MAX_NAME: usize = 255;
/// Longest password accepted from a client, in octets; some schemes take time quadratic in it.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// Longest trace of an anonymous client, in characters (RFC 4505 section 2).
pub(super) const MAX_TRACE: usize = 255;

/// A claim to be someone, not yet verified.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// Whom the client wants to act as; empty for itself (RFC 4616 section 2).
    pub(crate) authzid: String,
    /// Whose password it is.
    pub(crate) authcid: String,
    pub(crate) proof: Proof,
    /// For whom the peer connects, if it is trusted to say so: who pays for a failure.
    pub(crate) client: Option<IpAddr>,
}

/// How a client shows that it knows a password.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Password(Secret),
    /// APOP (RFC 1939 section 7): the digest, in hexadecimal, of this and the password.
    Apop {
        stamp: String,
        digest: Vec<u8>,
    },
    /// CRAM-MD5 (RFC 2195 section 2): the digest, in hexadecimal, of this keyed with the password.
    CramMd5 {
        challenge: String,
        digest: Vec<u8>,
    },
    /// ANONYMOUS: what the client says of itself.
    Anonymous(String),
    /// EXTERNAL: what came with the connection.
    Certificate(Box<Shown>),
    /// A certificate that was found to be good, and to be the user's. Only where the secrets are.
    Certified,
    /// Only where the secrets are.
    Scram(Box<Proved>),
}

impl Credentials {
    /// A claim without an authorization identity, as the LOGIN command makes it.
    pub(crate) fn new(authcid: String, password: Secret) -> Credentials {
        Credentials {
            authzid: String::new(),
            authcid,
            proof: Proof::Password(password),
            client: None,
        }
    }

    /// Whether the client asks to be itself; only a master user may act as another.
    pub(crate) fn is_own(&self) -> bool {
        self.authzid.is_empty() || self.authzid.eq_ignore_ascii_case(&self.authcid)
    }

    /// Does once what takes long.
    pub(crate) fn derive(&mut self) {
        if let Proof::Scram(proved) = &mut self.proof {
            proved.derive();
        }
    }

    /// What the client is told with the verdict that it is accepted; may be nothing.
    pub(crate) fn server_final(&self) -> Vec<u8> {
        match &self.proof {
            Proof::Scram(proved) => proved.server_final(),
            _ => Vec::new(),
        }
    }

    /// The password that was sent, if one was.
    #[cfg(test)]
    pub(crate) fn password(&self) -> &[u8] {
        match &self.proof {
            Proof::Password(password) => password.bytes(),
            _ => b"",
        }
    }
}
/// The answer to [`Credentials`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// The password is right, and the user may not log in here.
    Closed(Box<Closed>),
    /// The credentials are right, and the user has logged in too recently (RFC 2449 section 8.1.1).
    TooSoon,
    /// Unknown user, wrong password, locked account or foreign authorization identity: the
    /// client is not told which.
    Rejected,
    /// Nobody could judge (no memory for the hash, no room in the queue): try again later.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_oneself_may_be_acted_as() {
        let claim = |authzid: &str, authcid: &str| Credentials {
            authzid: authzid.into(),
            ..Credentials::new(authcid.into(), Secret::default())
        };
        for (authzid, authcid, own) in [
            ("", "ann", true),
            ("ann", "ann", true),
            ("Ann", "ann", true),
            ("bob", "ann", false),
            ("ann", "", false),
            ("an", "ann", false),
        ] {
            assert_eq!(
                claim(authzid, authcid).is_own(),
                own,
                "{authzid:?} {authcid:?}"
            );
        }
    }
}
