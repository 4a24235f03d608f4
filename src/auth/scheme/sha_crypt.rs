//! SHA-crypt as crypt(3) stores it: `$5$` or `$6$`, an optional `rounds=N$`, salt, `$`, hash in
//! an alphabet of its own.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};
use subtle::ConstantTimeEq;

use crate::auth::password::Unusable;

/// Most rounds of a stored hash; a second or two of a fast core.
const MAX_ROUNDS: u32 = 1_000_000;
const MAX_SALT: usize = 16;

pub(crate) struct ShaCrypt {
    /// SHA-512 rather than SHA-256.
    wide: bool,
    params: Params,
    salt: String,
    /// In the order of the digest, not of the text.
    digest: Vec<u8>,
}

impl ShaCrypt {
    pub(crate) fn parse(text: &str) -> Result<ShaCrypt, Unusable> {
        let mut fields = text.split('$');
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        let wide = match (next()?, next()?) {
            ("", "5") => false,
            ("", "6") => true,
            _ => return Err(Unusable::Malformed),
        };
        let mut salt = next()?;
        let mut rounds = Params::RECOMMENDED_ROUNDS;
        if let Some(number) = salt.strip_prefix("rounds=") {
            rounds = number.parse().map_err(|_| Unusable::Malformed)?;
            salt = next()?;
        }
        let digest = digest_of(next()?.as_bytes(), wide).ok_or(Unusable::Malformed)?;
        if fields.next().is_some() || salt.len() > MAX_SALT {
            return Err(Unusable::Malformed);
        }
        if rounds > MAX_ROUNDS {
            return Err(Unusable::Costly);
        }
        Ok(ShaCrypt {
            params: Params::new(rounds).map_err(|_| Unusable::Malformed)?,
            salt: salt.to_owned(),
            wide,
            digest,
        })
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let salt = self.salt.as_bytes();
        if self.wide {
            let digest = sha512_crypt(password, salt, self.params);
            digest[..].ct_eq(&self.digest).into()
        } else {
            let digest = sha256_crypt(password, salt, self.params);
            digest[..].ct_eq(&self.digest).into()
        }
    }
}

/// The digest that the text after the last `$` stands for.
fn digest_of(text: &[u8], wide: bool) -> Option<Vec<u8>> {
    let stored = decode(text)?;
    let order = order(wide);
    let mut digest = vec![0; order.len()];
    if stored.len() != order.len() {
        return None;
    }
    for (octet, at) in stored.iter().zip(order) {
        *digest.get_mut(at)? = *octet;
    }
    Some(digest)
}

/// Where in the digest each stored octet belongs. Three columns are read in turn, their order
/// rotating from row to row; what is left of the last column ends the list.
fn order(wide: bool) -> Vec<usize> {
    let column = if wide { 21 } else { 10 };
    let mut places = Vec::with_capacity(64);
    let mut row = [2 * column, column, 0];
    for _ in 0..column {
        places.extend(row);
        let [a, b, c] = row.map(|place| place + 1);
        row = if wide { [c, a, b] } else { [b, c, a] };
    }
    places.extend(if wide { 63..64 } else { 30..32 });
    places
}

/// Six bits a character, the lowest first; `None` for a foreign character or bits left over.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(64);
    let (mut bits, mut count) = (0u32, 0);
    for &character in text {
        let digit = match character {
            b'.' => 0,
            b'/' => 1,
            b'0'..=b'9' => character - b'0' + 2,
            b'A'..=b'Z' => character - b'A' + 12,
            b'a'..=b'z' => character - b'a' + 38,
            _ => return None,
        };
        bits |= u32::from(digit) << count;
        count += 6;
        if count >= 8 {
            octets.push(bits.to_le_bytes()[0]);
            bits >>= 8;
            count -= 8;
        }
    }
    (bits == 0 && count < 6).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH_5: &str = "OyWalln7/8ZyVyoM1HJsSrgX0sn.UVieh/z.1vZWur0";

    #[test]
    fn the_order_is_a_permutation() {
        for (wide, length) in [(false, 32), (true, 64)] {
            let mut places = order(wide);
            places.sort_unstable();
            assert_eq!(places, (0..length).collect::<Vec<_>>());
        }
    }

    /// What crypt(3) of libxcrypt answers: long, longer than a digest, not UTF-8; short, long
    /// and no salt.
    #[test]
    fn passwords_and_salts_of_all_lengths() {
        let long = "x".repeat(100);
        let line =
            "a very much longer text to encrypt.  This one even stretches over morethan one line.";
        for (password, stored) in [
            (
                &b"Hello world!"[..],
                "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                b"Hello world!",
                "$6$rounds=1400$anotherlongsalt$KyRRYbPBu8ZT7y2Q5EXHGEGyfZxrS.x2BR8YV58TRufACTl704P2.S6sXtvdbTBRaVLSBZCKqGp7YqCvEMO7G.",
            ),
            (
                b"Hello world!",
                "$5$$mAwMsDaqjtxAtGqstEIf7OBR15rgcx.jSKGM94IKRj/",
            ),
            (
                long.as_bytes(),
                "$5$saltstring$Oa4FAe3j12NEBjTMwR61FXUth0v2z1HlRVgHK3bteq/",
            ),
            (
                long.as_bytes(),
                "$6$s$Ry4ZPOXCn8T2Vsfwu/WXZRluJIbjyELSq6ml2qfjBoLUw0RjK7drmwYPczkn3j4NYpDktoCI4V4Al5zm713vM.",
            ),
            (
                line.as_bytes(),
                "$6$s$ifsR6lXDO6p1w..VWQzOr43rSICdArRAlMcpBHcUFIaCb/quwKpQM2MaiMFFCzG/2iXzhDNlnsKgSKZAP3IoP/",
            ),
            (
                b"p\xc3\xa4ssw\xc3\xb6rd \xff",
                "$5$saltstring$oyrvLozNTFwvH3GYYvIEj2lEy/lzHElIpgFZgx8DNJ/",
            ),
        ] {
            let hash = ShaCrypt::parse(stored).ok().unwrap();
            assert!(hash.verify(password), "{stored}");
            assert!(!hash.verify(&password[1..]), "{stored}");
        }
    }

    #[test]
    fn faults() {
        for (text, expected) in [
            (format!("$5$zL.twC97azC8xX2O${HASH_5}"), None),
            (format!("$5$rounds=1000000$salt${HASH_5}"), None),
            (
                format!("$5$rounds=1000001$salt${HASH_5}"),
                Some(Unusable::Costly),
            ),
            // crypt(3) would write such a hash with rounds=1000, so none has this.
            (
                format!("$5$rounds=999$salt${HASH_5}"),
                Some(Unusable::Malformed),
            ),
            (format!("$6$salt${HASH_5}"), Some(Unusable::Malformed)),
            (format!("$5$salt${HASH_5}$"), Some(Unusable::Malformed)),
            (format!("$5$salt${HASH_5}."), Some(Unusable::Malformed)),
            (
                format!("$5$12345678901234567${HASH_5}"),
                Some(Unusable::Malformed),
            ),
            (
                format!("$5$salt${}", HASH_5.replace('/', "=")),
                Some(Unusable::Malformed),
            ),
            ("$5$salt".to_owned(), Some(Unusable::Malformed)),
            (
                format!("$5$salt${}z", &HASH_5[..42]),
                Some(Unusable::Malformed),
            ),
        ] {
            assert_eq!(ShaCrypt::parse(&text).err(), expected, "{text}");
        }
    }
}
