//! SASL exchanges whose server has to know what is stored, and so run where the secrets are.

use super::credentials::{Credentials, MAX_NAME, Proof};
use super::scheme::Hash;
use super::scram::{Binding, Scram, Situation};
use super::users::Users;
use crate::config::Mechanism;

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub(crate) enum Dialogue {
    Scram(Box<Scram>),
    /// What the client was given to make a digest of.
    CramMd5(String),
}

/// What an exchange begins with.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) mechanism: Mechanism,
    /// The client's first message; empty where the server speaks first.
    pub(crate) message: &'a [u8],
    pub(crate) binding: &'a Binding,
    /// The client was offered mechanisms with channel binding.
    pub(crate) bindable: bool,
    /// As in [`Situation`], as the next two.
    pub(crate) nonce: &'a str,
    pub(crate) seed: &'a [u8],
    pub(crate) iterations: u32,
    pub(crate) hostname: &'a str,
}

impl Dialogue {
    /// Begins; with what the client is to be told. `None`: malformed, or nobody could log in with it.
    pub(crate) fn begin(users: &Users, opening: &Opening<'_>) -> Option<(Dialogue, Vec<u8>)> {
        let hash = match opening.mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Hash::Sha256,
            Mechanism::CramMd5 => {
                // RFC 2195 section 2: in the form of a message-id.
                let challenge = format!("<{}@{}>", opening.nonce, opening.hostname);
                let told = challenge.clone().into_bytes();
                return Some((Dialogue::CramMd5(challenge), told));
            }
            Mechanism::Plain | Mechanism::Login | Mechanism::External | Mechanism::Anonymous => {
                return None;
            }
        };
        let situation = Situation {
            hash,
            plus: opening.mechanism.binds(),
            offered: opening.bindable,
            binding: opening.binding,
            nonce: opening.nonce,
            seed: opening.seed,
            iterations: opening.iterations,
        };
        let (scram, told) = Scram::begin(users, &situation, opening.message)?;
        Some((Dialogue::Scram(Box::new(scram)), told))
    }

    /// Takes the client's last message. `None`: malformed.
    pub(crate) fn respond(self, message: &[u8]) -> Option<Credentials> {
        match self {
            Dialogue::Scram(scram) => scram.respond(message),
            Dialogue::CramMd5(challenge) => {
                // The name may have spaces, the digest has none.
                let (name, digest) = std::str::from_utf8(message).ok()?.rsplit_once(' ')?;
                let good = (1..=MAX_NAME).contains(&name.len()) && !name.contains('\0');
                good.then(|| Credentials {
                    authzid: String::new(),
                    authcid: name.to_owned(),
                    proof: Proof::CramMd5 {
                        challenge,
                        digest: digest.as_bytes().to_vec(),
                    },
                    client: None,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cram_md5_of_the_rfc() {
        // RFC 2195 section 2.
        let (users, _) = Users::parse(
            b"tim:{PLAIN}tanstaaftanstaaf\nsha:{SHA256}x\n\
              keyed:{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56\n",
        );
        let begun = || Dialogue::CramMd5("<1896.697170952@postoffice.reston.mci.net>".to_owned());
        for (message, expected) in [
            ("tim b913a602c7eda7a495b4e6e7334d3890", Some(true)),
            ("TIM b913a602c7eda7a495b4e6e7334d3890", Some(true)),
            ("tim b913a602c7eda7a495b4e6e7334d3891", Some(false)),
            // HMAC of this challenge with the key `secret`.
            ("keyed 733ba87e64ed7e441f062c4ac6db0103", Some(true)),
            ("keyed b913a602c7eda7a495b4e6e7334d3890", Some(false)),
            ("tim tanstaaftanstaaf", Some(false)),
            ("sha b913a602c7eda7a495b4e6e7334d3890", Some(false)),
            ("nobody b913a602c7eda7a495b4e6e7334d3890", Some(false)),
            ("tim ", Some(false)),
            ("tim", None),
            (" b913a602c7eda7a495b4e6e7334d3890", None),
            ("t\0m b913a602c7eda7a495b4e6e7334d3890", None),
        ] {
            let credentials = begun().respond(message.as_bytes());
            let accepted = credentials.map(|c| users.verify(&c).is_some());
            assert_eq!(accepted, expected, "{message:?}");
        }
    }

    #[test]
    fn passwords_have_exchanges_of_their_own() {
        let (users, _) = Users::parse(b"tim:{PLAIN}x\n");
        let none = Binding::default();
        for mechanism in Mechanism::ALL {
            let opening = Opening {
                mechanism,
                message: b"n,,n=tim,r=abc",
                binding: &none,
                bindable: false,
                nonce: "xyz",
                seed: b"seed",
                iterations: 4096,
                hostname: "mail.test",
            };
            let told = Dialogue::begin(&users, &opening).map(|(_, told)| told);
            match mechanism {
                Mechanism::CramMd5 => assert_eq!(told.unwrap(), b"<xyz@mail.test>"),
                Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                    assert!(told.unwrap().starts_with(b"r=abcxyz,s="));
                }
                _ => assert_eq!(told, None, "{mechanism:?}"),
            }
        }
    }
}
