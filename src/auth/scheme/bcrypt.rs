//! Bcrypt as crypt(3) stores it: `$2y$05$` and 53 characters; also `$2a$` and `$2b$`.

use bcrypt::HashParts;

use crate::auth::password::Unusable;

/// Highest accepted logarithm of the rounds; a step doubles the time (15: some 2 s of a fast core).
const MAX_COST: u32 = 15;
const MIN_COST: u32 = 4;

pub(crate) struct Bcrypt(String);

impl Bcrypt {
    pub(crate) fn parse(text: &str) -> Result<Bcrypt, Unusable> {
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|p| text.starts_with(p));
        let parts = text.parse::<HashParts>().ok().filter(|_| known);
        match parts.ok_or(Unusable::Malformed)?.get_cost() {
            MIN_COST..=MAX_COST => Ok(Bcrypt(text.to_owned())),
            0..MIN_COST => Err(Unusable::Malformed),
            _ => Err(Unusable::Costly),
        }
    }

    /// Only the first 72 octets of a password count, as everywhere with bcrypt.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.0).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What crypt(3) of libxcrypt answers.
    #[test]
    fn vectors() {
        let long = "x".repeat(100);
        for (password, hash) in [
            (&b"Hello world!"[..], "yeG8laUfZvsCmc.AE6qIDYSPGM2efmK"),
            (long.as_bytes(), "bzadhGtS2zEF.gu0yd0opP6cVzb.e0i"),
            (&long.as_bytes()[..72], "bzadhGtS2zEF.gu0yd0opP6cVzb.e0i"),
            (
                b"p\xc3\xa4ssw\xc3\xb6rd \xff",
                "7eATP2LIlBsYvUbN3Fdt9hoQhIzWQWC",
            ),
        ] {
            let stored = Bcrypt::parse(&format!("$2b$04$abcdefghijklmnopqrstuu{hash}"));
            let stored = stored.ok().unwrap();
            assert!(stored.verify(password), "{hash}");
            assert!(!stored.verify(b"x"), "{hash}");
        }
        let long_hash = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
        let stored = Bcrypt::parse(long_hash).ok().unwrap();
        assert!(!stored.verify(&long.as_bytes()[..71]));
    }

    #[test]
    fn faults() {
        let tail = "UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96";
        for (head, expected) in [
            ("$2a$04$", None),
            ("$2y$15$", None),
            ("$2y$16$", Some(Unusable::Costly)),
            ("$2y$31$", Some(Unusable::Costly)),
            ("$2y$03$", Some(Unusable::Malformed)),
            ("$2x$04$", Some(Unusable::Malformed)),
            ("$2$04$", Some(Unusable::Malformed)),
            ("$2y$+4$", None),
        ] {
            let result = Bcrypt::parse(&format!("{head}{tail}"));
            assert_eq!(result.err(), expected, "{head}");
        }
        assert!(Bcrypt::parse("$2y$05$short").is_err());
    }
}
