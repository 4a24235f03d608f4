//! The server's side of SCRAM (RFC 5802, RFC 7677), where the secrets are: two messages of the client,
//! and what both sides said, from which each proves to the other that it knows the password.

use data_encoding::BASE64;

use super::credentials::{Credentials, MAX_NAME, Proof};
use super::saslprep;
use super::scheme::{Hash, Keys};
use super::secret::Secret;
use super::users::Users;

/// Longest message of a client, in octets.
pub(crate) const MAX_MESSAGE: usize = 2048;

/// What ties an exchange to the TLS connection below it (RFC 5056).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// `tls-exporter` (RFC 9266 section 3); only with TLS 1.3.
    pub(crate) exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 section 4).
    pub(crate) end_point: Option<Vec<u8>>,
}

impl Binding {
    /// True if nothing can be bound to.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Binding::default()
    }

    fn of(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.end_point.as_deref(),
            _ => None,
        }
    }
}

/// What the server knows before the client says anything.
#[derive(Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) hash: Hash,
    /// The mechanism is one with channel binding.
    pub(crate) plus: bool,
    /// The client was offered one with channel binding.
    pub(crate) offered: bool,
    pub(crate) binding: &'a Binding,
    /// Printable characters without a comma, never the same.
    pub(crate) nonce: &'a str,
    /// What salts are made from for those who have none.
    pub(crate) seed: &'a [u8],
    /// Iterations for them.
    pub(crate) iterations: u32,
}

/// What a proof is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Keys(Keys),
    /// A password that is stored as it is: prepared, not hashed yet.
    Plain(Secret),
}

/// What a client of this name is to use.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) known: Known,
    /// The user is there and can use SCRAM; if not, `known` is another's.
    pub(crate) real: bool,
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub(crate) struct Scram {
    authzid: String,
    authcid: String,
    hash: Hash,
    offer: Offer,
    nonce: String,
    /// `client-first-message-bare "," server-first-message ","`.
    said: String,
    /// What the client has to send back as `c=`.
    binding: Vec<u8>,
}

/// The proof of a client, and what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    hash: Hash,
    known: Known,
    salt: Vec<u8>,
    iterations: u32,
    real: bool,
    said: Vec<u8>,
    proof: Vec<u8>,
}

impl Scram {
    /// Takes the client's first message; with the server's answer. `None`: malformed, or the channel binding
    /// is not the one of this connection.
    pub(crate) fn begin(
        users: &Users,
        situation: &Situation<'_>,
        message: &[u8],
    ) -> Option<(Scram, Vec<u8>)> {
        let first = First::parse(message)?;
        let binding = first.binding(situation)?;
        let mut authzid = match first.authzid {
            "" => String::new(),
            authzid => name(authzid)?,
        };
        let mut authcid = name(first.username)?;
        let own = |user: &str| authzid.is_empty() || authzid.eq_ignore_ascii_case(user);
        if let Some((user, master)) = users.divided(&authcid).filter(|(user, _)| own(user)) {
            (authzid, authcid) = (user.to_owned(), master.to_owned());
        }
        let offer = users.offer(&authcid, situation)?;
        let nonce = format!("{}{}", first.nonce, situation.nonce);
        let salt = BASE64.encode(&offer.salt);
        let challenge = format!("r={nonce},s={salt},i={}", offer.iterations);
        let scram = Scram {
            authzid,
            authcid,
            hash: situation.hash,
            offer,
            nonce,
            said: format!("{},{challenge},", first.bare),
            binding,
        };
        Some((scram, challenge.into_bytes()))
    }

    /// Takes the client's last message. `None`: malformed, or not of this exchange.
    pub(crate) fn respond(self, message: &[u8]) -> Option<Credentials> {
        let (without_proof, proof) = text(message)?.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let binding = BASE64.decode(binding.as_bytes()).ok()?;
        if binding != self.binding || nonce != self.nonce || !attributes.all(is_attribute) {
            return None;
        }
        let proved = Proved {
            hash: self.hash,
            known: self.offer.known,
            salt: self.offer.salt,
            iterations: self.offer.iterations,
            real: self.offer.real,
            said: format!("{}{without_proof}", self.said).into_bytes(),
            proof: BASE64.decode(proof.as_bytes()).ok()?,
        };
        Some(Credentials {
            authzid: self.authzid,
            authcid: self.authcid,
            proof: Proof::Scram(Box::new(proved)),
            client: None,
        })
    }
}

impl Proved {
    /// True while the keys are still to be made, which takes milliseconds and more.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.known, Known::Plain(_))
    }

    /// Makes the keys if they are not there yet.
    pub(crate) fn derive(&mut self) {
        if let Known::Plain(password) = &self.known {
            let keys = Keys::derive(self.hash, password.bytes(), &self.salt, self.iterations);
            self.known = Known::Keys(keys);
        }
    }

    /// Whether the proof is right, of a user who is there.
    pub(crate) fn is_right(&self) -> bool {
        match &self.known {
            Known::Keys(keys) => {
                let right = keys.prove(self.hash, &self.said, &self.proof);
                right && self.real
            }
            Known::Plain(_) => false,
        }
    }

    /// `v=...`, what the server proves itself with (RFC 5802 section 7, server-final-message).
    pub(crate) fn server_final(&self) -> Vec<u8> {
        let Known::Keys(keys) = &self.known else {
            return Vec::new();
        };
        let signature = self.hash.mac(&keys.server, &self.said);
        format!("v={}", BASE64.encode(&signature)).into_bytes()
    }
}

/// `client-first-message` (RFC 5802 section 7).
struct First<'a> {
    /// `gs2-cbind-flag`.
    flag: &'a str,
    authzid: &'a str,
    /// `gs2-header` as it came.
    header: &'a str,
    bare: &'a str,
    username: &'a str,
    nonce: &'a str,
}

impl<'a> First<'a> {
    fn parse(message: &'a [u8]) -> Option<First<'a>> {
        let message = text(message)?;
        let mut parts = message.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        let authzid = match authzid {
            "" => "",
            authzid => authzid.strip_prefix("a=").filter(|name| !name.is_empty())?,
        };
        let header = message.get(..message.len() - bare.len())?;
        // A mandatory extension, `m=`, is none that this server knows.
        let mut attributes = bare.split(',');
        let username = attributes.next()?.strip_prefix("n=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let printable = !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic());
        let good = printable && attributes.all(is_attribute);
        good.then_some(First {
            flag,
            authzid,
            header,
            bare,
            username,
            nonce,
        })
    }

    /// What the client has to send back; `None` if it may not go on.
    fn binding(&self, situation: &Situation<'_>) -> Option<Vec<u8>> {
        let mut binding = self.header.as_bytes().to_vec();
        match (self.flag, situation.plus) {
            ("n", false) => {}
            // RFC 5802 section 6: somebody between has hidden that the server offers channel binding.
            ("y", false) if !situation.offered => {}
            (flag, true) => {
                let bound = situation.binding.of(flag.strip_prefix("p=")?)?;
                binding.extend_from_slice(bound);
            }
            _ => return None,
        }
        Some(binding)
    }
}

fn text(message: &[u8]) -> Option<&str> {
    let good = message.len() <= MAX_MESSAGE && !message.contains(&0);
    std::str::from_utf8(message).ok().filter(|_| good)
}

/// `ALPHA "=" value`.
fn is_attribute(text: &str) -> bool {
    let (name, rest) = text.as_bytes().split_at_checked(1).unwrap_or_default();
    name.iter().all(u8::is_ascii_alphabetic) && rest.starts_with(b"=")
}

/// `saslname`, in which `=2C` and `=3D` stand for a comma and an equals sign; prepared.
fn name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let (mark, after) = after.split_at_checked(2)?;
        name.push(match mark {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = after;
    }
    name.push_str(rest);
    let prepared = saslprep::prepared(name.as_bytes())?;
    (prepared.len() <= MAX_NAME).then(|| prepared.into_owned())
}

#[cfg(test)]
mod tests;
