//! Argon2id and Argon2i (RFC 9106) in the string form of the reference implementation:
//! `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, salt and hash in base64 without padding.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use subtle::ConstantTimeEq;

use crate::auth::credentials::Verdict;
use crate::auth::password::Unusable;
use crate::config::{MAX_ARGON2_MEMORY_KIB as MAX_MEMORY_KIB, MAX_ARGON2_WORK_KIB as MAX_WORK_KIB};

/// Octets of salt and of hash that are taken seriously.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=64;
const HASH_OCTETS: usize = 32;

pub(crate) struct Argon {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Argon {
    pub(crate) fn parse(text: &str) -> Result<Argon, Unusable> {
        let mut fields = text.split('$');
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        if !next()?.is_empty() {
            return Err(Unusable::Malformed);
        }
        let algorithm = match next()? {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            _ => return Err(Unusable::Malformed),
        };
        let mut costs = next()?;
        // The oldest hashes name no version.
        let mut version = Version::V0x10;
        if let Some(number) = costs.strip_prefix("v=") {
            version = number_of(number)?
                .try_into()
                .map_err(|_| Unusable::Malformed)?;
            costs = next()?;
        }
        let (salt, output) = (octets(next()?)?, octets(next()?)?);
        if fields.next().is_some() {
            return Err(Unusable::Malformed);
        }
        Ok(Argon {
            params: params(costs, output.len())?,
            algorithm,
            version,
            salt,
            output,
        })
    }

    /// Whether a new password would be hashed in this way, at this cost.
    pub(crate) fn is(&self, memory_kib: u32, passes: u32) -> bool {
        let modern = self.algorithm == Algorithm::Argon2id && self.version == Version::V0x13;
        modern && (self.params.m_cost(), self.params.t_cost()) == (memory_kib, passes)
    }

    /// Memory of one verification.
    pub(crate) fn memory_kib(&self) -> u32 {
        self.params.m_cost()
    }

    /// `Unavailable` when there is no memory to compute the hash in.
    pub(crate) fn check(&self, password: &[u8]) -> Verdict {
        let context = Argon2::new(self.algorithm, self.version, self.params.clone());
        let mut output = vec![0; self.output.len()];
        match context.hash_password_into(password, &self.salt, &mut output) {
            Ok(()) if bool::from(output.ct_eq(&self.output)) => Verdict::Accepted,
            Err(argon2::Error::OutOfMemory) => Verdict::Unavailable,
            Ok(()) | Err(_) => Verdict::Rejected,
        }
    }
}

/// `m=KiB,t=passes,p=lanes`.
fn params(text: &str, output: usize) -> Result<Params, Unusable> {
    let mut fields = text.split(',');
    let mut field = |name: &str| {
        let text = fields.next().and_then(|f| f.strip_prefix(name));
        text.ok_or(Unusable::Malformed).and_then(number_of)
    };
    let (memory, passes, lanes) = (field("m=")?, field("t=")?, field("p=")?);
    if fields.next().is_some() {
        return Err(Unusable::Malformed);
    }
    if memory > MAX_MEMORY_KIB || u64::from(memory) * u64::from(passes) > MAX_WORK_KIB {
        return Err(Unusable::Costly);
    }
    Params::new(memory, passes, lanes, Some(output)).map_err(|_| Unusable::Malformed)
}

fn number_of(text: &str) -> Result<u32, Unusable> {
    text.parse().map_err(|_| Unusable::Malformed)
}

fn octets(text: &str) -> Result<Vec<u8>, Unusable> {
    let bytes = BASE64_NOPAD.decode(text.as_bytes()).ok();
    bytes
        .filter(|b| LENGTHS.contains(&b.len()))
        .ok_or(Unusable::Malformed)
}

/// The stored form of a new password, `{ARGON2ID}$argon2id$v=19$...`, one lane. `memory_kib`
/// and `passes` are brought into what verification accepts. `None` when memory is lacking.
pub(crate) fn hash(
    password: &[u8],
    memory_kib: u32,
    passes: u32,
    salt: [u8; 16],
) -> Option<String> {
    let memory = memory_kib.clamp(Params::MIN_M_COST, MAX_MEMORY_KIB);
    let most = u32::try_from(MAX_WORK_KIB / u64::from(memory)).ok()?;
    let passes = passes.clamp(1, most);
    let params = Params::new(memory, passes, 1, Some(HASH_OCTETS)).ok()?;
    let mut output = [0; HASH_OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, &salt, &mut output)
        .ok()?;
    Some(format!(
        "{{ARGON2ID}}$argon2id$v=19$m={memory},t={passes},p=1${}${}",
        BASE64_NOPAD.encode(&salt),
        BASE64_NOPAD.encode(&output)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::Password;

    #[test]
    fn new_passwords_verify() {
        for (memory, passes, costs) in [(64, 2, "m=64,t=2,p=1"), (0, 0, "m=8,t=1,p=1")] {
            let stored = hash(b"tiger", memory, passes, [7; 16]).unwrap();
            let expected = format!("{{ARGON2ID}}$argon2id$v=19${costs}$BwcHBwcHBwcHBwcHBwcHBw$");
            assert!(stored.starts_with(&expected), "{stored}");
            let password = Password::parse(&stored).unwrap();
            assert!(password.verify(b"tiger") && !password.verify(b"tigeR"));
        }
        assert_ne!(
            hash(b"tiger", 64, 1, [1; 16]),
            hash(b"tiger", 64, 1, [2; 16])
        );
    }

    /// RFC 9106 gives no vector without key and associated data; this is the reference program's.
    #[test]
    fn reference_vector_without_version() {
        let old =
            "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
        let old = Argon::parse(old).unwrap();
        assert_eq!(old.check(b"password"), Verdict::Accepted);
        assert_eq!(old.check(b"passwore"), Verdict::Rejected);
    }

    #[test]
    fn faults() {
        let salt_and_hash = "BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw";
        for (head, expected) in [
            ("$argon2id$v=19$m=262144,t=16,p=1", None),
            ("$argon2id$v=19$m=262145,t=1,p=1", Some(Unusable::Costly)),
            ("$argon2id$v=19$m=262144,t=17,p=1", Some(Unusable::Costly)),
            (
                "$argon2id$v=19$m=4294967295,t=4294967295,p=1",
                Some(Unusable::Costly),
            ),
            ("$argon2id$v=19$m=7,t=1,p=1", Some(Unusable::Malformed)),
            ("$argon2id$v=19$m=8,t=0,p=1", Some(Unusable::Malformed)),
            ("$argon2id$v=19$m=8,t=1,p=0", Some(Unusable::Malformed)),
            ("$argon2id$v=19$m=8,t=1,p=2", Some(Unusable::Malformed)),
            ("$argon2id$v=19$m=8,t=1,p=1,x=1", Some(Unusable::Malformed)),
            ("$argon2id$v=19$t=1,m=8,p=1", Some(Unusable::Malformed)),
            ("$argon2id$v=18$m=8,t=1,p=1", Some(Unusable::Malformed)),
            ("$argon2d$v=19$m=8,t=1,p=1", Some(Unusable::Malformed)),
            ("argon2id$v=19$m=8,t=1,p=1", Some(Unusable::Malformed)),
            ("$argon2id", Some(Unusable::Malformed)),
        ] {
            let result = Argon::parse(&format!("{head}${salt_and_hash}"));
            assert_eq!(result.err(), expected, "{head}");
        }
        for tail in [
            "",
            "$",
            "$AAAA$BwcHBwcHBwcHBwcHBwcHBw",
            "$BwcHBwcHBwcHBwcHBwcHBw",
            "$BwcHBwcHBwcHBwcHBwcHBw$AA",
            "$BwcHBwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw$",
            "$Bw==BwcHBwcHBwcHBwcHBw$BwcHBwcHBwcHBwcHBwcHBw",
        ] {
            let result = Argon::parse(&format!("$argon2id$v=19$m=8,t=1,p=1{tail}"));
            assert_eq!(result.err(), Some(Unusable::Malformed), "{tail}");
        }
    }
}
