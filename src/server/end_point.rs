//! The hash of a certificate that clients can tie an exchange to (RFC 5929 section 4, `tls-server-end-point`).

use super::der::element;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Signature algorithms by the content of their identifier (RFC 3279, RFC 4055 and RFC 5758), and the octets of
/// their hash.
const ALGORITHMS: [(&[u8], usize); 9] = [
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], 16),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], 20),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], 32),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], 48),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], 64),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], 20),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], 32),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], 48),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], 64),
];

/// `None` where the algorithm of the signature names no single hash (Ed25519, RSASSA-PSS): then nothing is
/// defined.
pub(super) fn hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = algorithm(certificate)?;
    let mut known = ALGORITHMS.iter();
    let (_, octets) = known.find(|(content, _)| *content == algorithm)?;
    Some(match octets {
        // MD5 and SHA-1, too: SHA-256 stands for them.
        0..=32 => Sha256::digest(certificate).to_vec(),
        33..=48 => Sha384::digest(certificate).to_vec(),
        _ => Sha512::digest(certificate).to_vec(),
    })
}

/// Of `SEQUENCE { tbsCertificate, SEQUENCE { algorithm ... } ... }` (RFC 5280) the identifier.
fn algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (_, content, _) = element(certificate)?;
    let (_, _, behind) = element(content)?;
    let (_, algorithm, _) = element(behind)?;
    let (tag, identifier, _) = element(algorithm)?;
    (tag == 6).then_some(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let made = |key: KeyPair| {
            let params = CertificateParams::new(vec!["mail.test".to_owned()]).unwrap();
            params.self_signed(&key).unwrap().der().to_vec()
        };
        let der = made(KeyPair::generate().unwrap());
        assert_eq!(hash(&der), Some(Sha256::digest(&der).to_vec()));
        let der = made(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
        assert_eq!(hash(&der), Some(Sha384::digest(&der).to_vec()));
        for end in 0..100 {
            assert_eq!(hash(&der[..end]), None);
        }
        let der = made(KeyPair::generate_for(&PKCS_ED25519).unwrap());
        assert_eq!(hash(&der), None);
    }
}
