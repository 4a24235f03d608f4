//! A stored password: `{SCHEME}hash` of a passwd-file, or a bare crypt(3) hash.

use std::fmt;

use data_encoding::{BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::credentials::{MAX_PASSWORD, Verdict};
use super::current::Current;
use super::saslprep;
use super::scheme::{Argon, Bcrypt, CramMd5, Hash, Kind, Pbkdf2, Salted, Scram, ShaCrypt};
use super::scram::Known;
use super::secret::Secret;
use crate::config::Scheme::{Argon2id, ScramSha256};

/// Why nobody can log in with a stored password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Empty, `!` or `*`: so meant.
    Locked,
    /// A scheme this program does not verify.
    Scheme,
    Malformed,
    /// Asks for more memory or rounds than one login may cost.
    Costly,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Locked => "the password is locked",
            Unusable::Scheme => "the password scheme is not supported",
            Unusable::Malformed => "the password hash is malformed",
            Unusable::Costly => "the password hash costs more memory or time than is allowed",
        })
    }
}

impl std::error::Error for Unusable {}

/// What a password is verified against.
pub(crate) struct Password(Scheme);

/// What SCRAM can be done with.
pub(super) struct Ability<'a> {
    pub(super) known: Known,
    /// The salt and the iterations, if they are stored with it.
    pub(super) fixed: Option<(&'a [u8], u32)>,
}

enum Scheme {
    Argon(Argon),
    Bcrypt(Bcrypt),
    ShaCrypt(ShaCrypt),
    Pbkdf2(Pbkdf2),
    Salted(Salted),
    Scram(Scram),
    CramMd5(CramMd5),
    Plain(Secret),
}

impl Password {
    /// Reads `{SCHEME}hash`; the scheme's letter case does not matter, without one it is CRYPT.
    /// A scheme may end in `.HEX`, `.B64` or `.BASE64` when the hash is encoded so.
    pub(crate) fn parse(text: &str) -> Result<Password, Unusable> {
        let prefixed = text.strip_prefix('{').and_then(|t| t.split_once('}'));
        let (scheme, hash) = prefixed.unwrap_or(("CRYPT", text));
        if hash.is_empty() || hash == "!" || hash == "*" {
            return Err(Unusable::Locked);
        }
        let scheme = scheme.to_ascii_uppercase();
        let (scheme, encoding) = match scheme.rsplit_once('.') {
            Some((scheme, "HEX")) => (scheme, Encoding::Hex),
            Some((scheme, "B64" | "BASE64")) => (scheme, Encoding::Base64),
            Some(_) => return Err(Unusable::Scheme),
            None => (scheme.as_str(), Encoding::Usual),
        };
        if let Some((kind, salted)) = digest_kind(scheme) {
            let octets = encoding.octets(hash, kind, salted)?;
            return Salted::new(kind, salted, &octets).map(|s| Password(Scheme::Salted(s)));
        }
        textual(scheme, encoding.text(hash)?.bytes()).map(Password)
    }

    /// Whether `password` is the one; false, too, where [`Password::check`] says `Unavailable`.
    #[cfg(test)]
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        self.check(password) == Verdict::Accepted
    }

    /// Never longer than some seconds, nor more than 256 MiB of memory; comparison takes the same
    /// time wherever the difference is. `Unavailable` when memory is lacking.
    pub(crate) fn check(&self, password: &[u8]) -> Verdict {
        // No protocol carries a NUL; crypt(3) ends there, and HMAC takes "x\0" for "x".
        if password.len() > MAX_PASSWORD || password.contains(&0) {
            return Verdict::Rejected;
        }
        let right = match &self.0 {
            Scheme::Argon(argon) => return argon.check(password),
            Scheme::Bcrypt(bcrypt) => bcrypt.verify(password),
            Scheme::ShaCrypt(crypt) => crypt.verify(password),
            Scheme::Pbkdf2(pbkdf2) => pbkdf2.verify(password),
            Scheme::Salted(salted) => salted.verify(password),
            Scheme::Scram(scram) => scram.verify(password),
            Scheme::CramMd5(keyed) => keyed.verify(password),
            Scheme::Plain(secret) => same(secret.bytes(), password),
        };
        if right {
            Verdict::Accepted
        } else {
            Verdict::Rejected
        }
    }

    /// Whether `digest` is that of `stamp` and the password, which only one that is stored as it is can tell
    /// (RFC 1939 section 7, APOP).
    pub(crate) fn check_apop(&self, stamp: &str, digest: &[u8]) -> Verdict {
        self.check_digest(digest, |password| {
            let mut md5 = Md5::new();
            md5.update(stamp);
            md5.update(password);
            md5.finalize().to_vec()
        })
    }

    /// Whether `digest` is that of `challenge`, keyed with the password (RFC 2195 section 2, CRAM-MD5).
    pub(crate) fn check_cram_md5(&self, challenge: &str, digest: &[u8]) -> Verdict {
        if let Scheme::CramMd5(keyed) = &self.0 {
            return judged(digest, &keyed.digest(challenge.as_bytes()));
        }
        self.check_digest(digest, |password| {
            let mac = <Hmac<Md5> as KeyInit>::new_from_slice(password);
            let mac = mac.map(|mac| mac.chain_update(challenge).finalize());
            mac.map_or_else(|_| Vec::new(), |mac| mac.into_bytes().to_vec())
        })
    }

    fn check_digest(&self, digest: &[u8], expected: impl FnOnce(&[u8]) -> Vec<u8>) -> Verdict {
        let Scheme::Plain(secret) = &self.0 else {
            return Verdict::Rejected;
        };
        judged(digest, &expected(secret.bytes()))
    }

    /// Whether it is to be stored anew. Keys for SCRAM stay what they are, unless they cost less than now.
    pub(super) fn is_outdated(&self, current: &Current) -> bool {
        match (&self.0, current.scheme) {
            (Scheme::Argon(argon), Argon2id) => !argon.is(current.memory_kib, current.passes),
            (Scheme::Scram(_), Argon2id) => false,
            (Scheme::Scram(scram), ScramSha256) => {
                scram.hash != Hash::Sha256 || scram.iterations < current.iterations
            }
            _ => true,
        }
    }

    /// What SCRAM with this hash can be done with.
    pub(super) fn scram(&self, hash: Hash) -> Option<Ability<'_>> {
        match &self.0 {
            Scheme::Scram(scram) if scram.hash == hash => {
                let known = Known::Keys(scram.keys.clone());
                let fixed = Some((&scram.salt[..], scram.iterations));
                Some(Ability { known, fixed })
            }
            Scheme::Plain(secret) => {
                let prepared = saslprep::prepared(secret.bytes())?;
                let known = Known::Plain(Secret::from(prepared.as_bytes()));
                Some(Ability { known, fixed: None })
            }
            _ => None,
        }
    }

    /// Whether CRAM-MD5 can be done with it.
    pub(super) fn serves_cram_md5(&self) -> bool {
        self.is_plain() || matches!(self.0, Scheme::CramMd5(_))
    }

    /// Whether it is stored as it is.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.0, Scheme::Plain(_))
    }

    /// Memory that verification takes, in KiB, where that is much.
    pub(super) fn memory_kib(&self) -> u32 {
        match &self.0 {
            Scheme::Argon(argon) => argon.memory_kib(),
            _ => 0,
        }
    }

    /// Whether verification takes milliseconds and more, so that it belongs on another thread.
    pub(crate) fn is_slow(&self) -> bool {
        !matches!(
            self.0,
            Scheme::Salted(_) | Scheme::Plain(_) | Scheme::CramMd5(_)
        )
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// How the hash of a scheme is written.
#[derive(Clone, Copy)]
enum Encoding {
    /// As is customary with the scheme; digests in base64 or hexadecimal, told by their length.
    Usual,
    Hex,
    Base64,
}

impl Encoding {
    fn octets(self, hash: &str, kind: Kind, salted: bool) -> Result<Vec<u8>, Unusable> {
        let hex = || HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok();
        // Some programs leave the padding out.
        let base64 = || {
            BASE64_NOPAD
                .decode(hash.trim_end_matches('=').as_bytes())
                .ok()
        };
        let fits = |octets: &Vec<u8>| octets.len() == kind.length() || salted;
        let octets = match self {
            Encoding::Hex => hex(),
            Encoding::Base64 => base64(),
            Encoding::Usual => hex()
                .filter(|o| o.len() >= kind.length() && fits(o))
                .or_else(base64),
        };
        octets.ok_or(Unusable::Malformed)
    }

    /// The text of a scheme whose hash is text by itself.
    fn text(self, hash: &str) -> Result<Secret, Unusable> {
        let octets = match self {
            Encoding::Usual => Some(hash.as_bytes().to_vec()),
            Encoding::Hex => HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok(),
            Encoding::Base64 => BASE64_NOPAD
                .decode(hash.trim_end_matches('=').as_bytes())
                .ok(),
        };
        octets.map(Secret::new).ok_or(Unusable::Malformed)
    }
}

fn digest_kind(scheme: &str) -> Option<(Kind, bool)> {
    Some(match scheme {
        "SHA" | "SHA1" => (Kind::Sha1, false),
        "SHA256" => (Kind::Sha256, false),
        "SHA512" => (Kind::Sha512, false),
        "SSHA" => (Kind::Sha1, true),
        "SSHA256" => (Kind::Sha256, true),
        "SSHA512" => (Kind::Sha512, true),
        _ => return None,
    })
}

fn textual(scheme: &str, hash: &[u8]) -> Result<Scheme, Unusable> {
    if matches!(scheme, "PLAIN" | "CLEAR" | "CLEARTEXT") {
        return Ok(Scheme::Plain(Secret::from(hash)));
    }
    let hash = std::str::from_utf8(hash).map_err(|_| Unusable::Malformed)?;
    // What passwd -l and usermod -L put in front of a hash.
    if hash.starts_with(['!', '*']) {
        return Err(Unusable::Locked);
    }
    match scheme {
        "ARGON2ID" | "ARGON2I" | "ARGON2" => Argon::parse(hash).map(Scheme::Argon),
        "SCRAM-SHA-1" => Scram::parse(Hash::Sha1, hash).map(Scheme::Scram),
        "SCRAM-SHA-256" => Scram::parse(Hash::Sha256, hash).map(Scheme::Scram),
        "CRAM-MD5" | "HMAC-MD5" => CramMd5::parse(hash).map(Scheme::CramMd5),
        "PBKDF2" => Pbkdf2::parse(hash).map(Scheme::Pbkdf2),
        "CRYPT" | "BLF-CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" => crypt(hash),
        _ => Err(Unusable::Scheme),
    }
}

/// What crypt(3) calls a setting tells the scheme.
fn crypt(hash: &str) -> Result<Scheme, Unusable> {
    if hash.starts_with("$2") {
        Bcrypt::parse(hash).map(Scheme::Bcrypt)
    } else if hash.starts_with("$5$") || hash.starts_with("$6$") {
        ShaCrypt::parse(hash).map(Scheme::ShaCrypt)
    } else {
        Err(Unusable::Scheme)
    }
}

/// Whether a digest, in hexadecimal, is the right one.
fn judged(digest: &[u8], expected: &[u8]) -> Verdict {
    let expected = HEXLOWER_PERMISSIVE.encode(expected);
    match same(expected.as_bytes(), digest) {
        true => Verdict::Accepted,
        false => Verdict::Rejected,
    }
}

/// Equality in a time that tells nothing but the lengths' order of magnitude.
fn same(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.ct_eq(&other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `doveadm pw -s SCHEME -p secret`; slow or not.
    const SECRET: &[(&str, bool)] = &[
        (
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$l7iQmAFW2lJxWDnOfqQ2MQ$tjQntaXo3ZPAW5Tg0b4XAdGbSg5McirApuSxd/9AM7U",
            true,
        ),
        (
            "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$qB+v3tIq1fMdHIJn5gxWlQ$tm51yxq+LD65StXFJtDHP7r1PK8YzT563vLp/c7aq1o",
            true,
        ),
        (
            "{BLF-CRYPT}$2y$05$JlSWYXEzCeuLkkVm5VY8uuhmjJzm8iUF3VWsY/N1xROoEWJwygwdC",
            true,
        ),
        (
            "{CRYPT}$2y$05$ghdN18NCYqaN7b5jjAuRvezCy1aBR8VwDr3qWJWqrEJnZ4HyppxF2",
            true,
        ),
        (
            "$2y$04$cRXRCP4BzJqukPUXtiWGeeIN9Fqjp/Xj/GSD6ajowxyXZCTVCG6hi",
            true,
        ),
        (
            "{SHA512-CRYPT}$6$7jd0gVbWt.FNQDvV$f7nkE7nFQoXW5KMzdEr824gesmD/yM0OpIS1yfKjfEpzwboBK6aE.K/jSM4KCwb4N1Kzo5M.bcofJ74uM7fOH/",
            true,
        ),
        (
            "{sha512-crypt}$6$rounds=7777$7XS2qUJsnTW.80Iv$nG2RUHBMoqR43lhLjqroZlevd5x0MJ0bQHWWk/N2NwMb4UlN.DSIq23Q1Mf0cJ5wLRel5uBOzUnZxdJSlaOe//",
            true,
        ),
        (
            "{SHA256-CRYPT}$5$zL.twC97azC8xX2O$OyWalln7/8ZyVyoM1HJsSrgX0sn.UVieh/z.1vZWur0",
            true,
        ),
        (
            "$5$rounds=1234$ypNw7U4V5c5iW90.$VxvyHP7LSusUO86xBNdF6m5CmzJkyrN5T9ZnyM8N5V4",
            true,
        ),
        (
            "{PBKDF2}$1$dctexcmXyZCjxRwC$5000$0cfc6deb3f21c730d7482a8c5df1d72e4327c584",
            true,
        ),
        (
            "{PBKDF2.B64}JDEkMnltLmxsNlRlRk9nU1RISyQ1MDAwJDNmM2E1NzQxM2RiZGE3MDY5ZjE4OWY3NGFkNGUyMTA1NGE4MGUzMmI=",
            true,
        ),
        (
            "{CRYPT.B64}JDJ5JDA1JFVvYVBpZlU1MDEwTm5nT2RZTGdLdnU1bHh0N1MzblRnMW1nNmN1ZmpZa2RoalNYMlR2dExL",
            true,
        ),
        ("{SSHA}VUEw7XJ8Rbte00nnAQlNHplGx3xaNMMH", false),
        (
            "{SSHA.HEX}00f7753df1c778c840aa919c642f4817fbaa20c76410991c",
            false,
        ),
        (
            "{SSHA256}nseS7kNFf18RnOTc9HjBsMIEGkcGV3sM/rvRcWIjR5GSCais",
            false,
        ),
        (
            "{SSHA256.B64}cSJRB/GXUhAbom6BGN9Ak3deu8V3D1Jx54CVhOaPhKmswlbU",
            false,
        ),
        (
            "{SSHA512}+9M2Cb3tRgsKTRI0htIf6XACOkd02k3Jw51j8zokuQPS8yXWYpYlBvGw3DcHVV6WodTgysqCP0NZD0GaD7SolqM/tgk=",
            false,
        ),
        (
            "{SSHA512}+9M2Cb3tRgsKTRI0htIf6XACOkd02k3Jw51j8zokuQPS8yXWYpYlBvGw3DcHVV6WodTgysqCP0NZD0GaD7SolqM/tgk",
            false,
        ),
        (
            "{SSHA512.HEX}7c3412440ac0a8256b01f26771cc3351a0292a75921ee6527ce3b0eddd7aa09d10f3e65259c4019287ae28bec799cecac1ba104db2d11b4f98f1124d4de20af970bc8af3",
            false,
        ),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", false),
        ("{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ=", false),
        ("{SHA1.HEX}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", false),
        ("{SHA}E5E9FA1BA31ECD1AE84F75CAAA474F3A663F05F4", false),
        (
            "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
            false,
        ),
        (
            "{SHA256}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            false,
        ),
        (
            "{SHA512.B64}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
            false,
        ),
        (
            "{SHA512.HEX}bd2b1aaf7ef4f09be9f52ce2d8d599674d81aa9d6a4421696dc4d93dd0619d682ce56b4d64a9ef097761ced99e0f67265b5f76085e5b0ee7ca4696b2ad6fe2b2",
            false,
        ),
        ("{PLAIN}secret", false),
        ("{CLEAR}secret", false),
        ("{cleartext}secret", false),
        ("{PLAIN.B64}c2VjcmV0", false),
        ("{PLAIN.HEX}736563726574", false),
        (
            "{SCRAM-SHA-1}4096,aUFO5BV6TlKrulYXVcHV7g==,wXV76EFie8hl/Cgv0Pao5rqzj3A=,LIneUco2ZS9gi5S6lw9QyMV4PRs=",
            true,
        ),
        (
            "{SCRAM-SHA-256}4096,8fvsUbnhSO9ltREMIDaGdg==,fbOMO2OSNdWPq1QqD0kKmAH2nvd8fbpHOMprgDjBQuY=,oLXwfxJ1q3ozJKVW8ayuuEG6nntR8ciELVMHawvyeFQ=",
            true,
        ),
    ];

    #[test]
    fn every_scheme_takes_the_password_and_no_other() {
        for (stored, slow) in SECRET {
            let password = Password::parse(stored).unwrap();
            assert_eq!(password.is_slow(), *slow, "{stored}");
            assert_eq!(password.check(b"secret"), Verdict::Accepted, "{stored}");
            assert!(password.verify(b"secret"), "{stored}");
            for wrong in [&b"secres"[..], b"secre", b"secret\0", b"Secret", b""] {
                assert_eq!(
                    password.check(wrong),
                    Verdict::Rejected,
                    "{stored} {wrong:?}"
                );
            }
        }
    }

    #[test]
    fn an_overlong_password_is_never_hashed() {
        let long = vec![b'x'; MAX_PASSWORD + 1];
        let text = String::from_utf8(long.clone()).unwrap();
        let stored = Password::parse(&format!("{{PLAIN}}{text}")).unwrap();
        assert!(!stored.verify(&long));
        let stored = Password::parse(&format!("{{PLAIN}}{}", &text[1..])).unwrap();
        assert!(stored.verify(&long[1..]));
    }

    #[test]
    fn unusable() {
        for (stored, expected) in [
            ("", Unusable::Locked),
            ("!", Unusable::Locked),
            ("*", Unusable::Locked),
            ("!!", Unusable::Locked),
            ("{SHA}", Unusable::Locked),
            ("{PLAIN}*", Unusable::Locked),
            ("!$6$salt$hash", Unusable::Locked),
            (
                "{BLF-CRYPT}!$2y$04$cRXRCP4BzJqukPUXtiWGeeIN9Fqjp/Xj/GSD6ajowxyXZCTVCG6hi",
                Unusable::Locked,
            ),
            ("x", Unusable::Scheme),
            ("$1$V9dU5..D$l5T/8sJ2EHqyRq.h0JpYe0", Unusable::Scheme),
            ("{OTP}x", Unusable::Scheme),
            ("{SHA.B32}x", Unusable::Scheme),
            ("{PLAIN", Unusable::Scheme),
            ("{SHA}e5e9", Unusable::Malformed),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQAAA==", Unusable::Malformed),
            ("{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", Unusable::Malformed),
            (
                "{SHA1.HEX}5en6G6MezRroT3XKqkdPOmY/BfQ=",
                Unusable::Malformed,
            ),
            ("{PLAIN.HEX}7", Unusable::Malformed),
            ("{CRYPT.HEX}ff", Unusable::Malformed),
            ("{ARGON2ID}secret", Unusable::Malformed),
        ] {
            assert_eq!(Password::parse(stored).err(), Some(expected), "{stored}");
        }
    }

    #[test]
    fn a_password_beginning_with_a_mark_is_no_lock() {
        assert!(
            Password::parse("{PLAIN}!secret")
                .unwrap()
                .verify(b"!secret")
        );
    }
}
